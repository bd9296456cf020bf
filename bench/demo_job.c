/* demo_job.c - what `job.py matrix` does, for machines without numpy.
 * SPDX-License-Identifier: MIT
 *
 *     demo_job MIB
 *
 * Prints the same lines: `step NAME SECONDS`, `total SECONDS`, `peak MIB`, `digits ...`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void step(const char *name, double *begin)
{
    double end = now();
    printf("step %s %.2f\n", name, end - *begin);
    fflush(stdout);
    *begin = end;
}

int main(int argc, char **argv)
{
    double start = now(), begin = start, total = 0, column = 0;
    size_t mib = argc == 2 ? strtoull(argv[1], NULL, 10) : 0, n = 1;
    if (!mib) {
        fprintf(stderr, "usage: demo_job MIB\n");
        return 2;
    }
    while ((n + 1) * (n + 1) * sizeof(double) <= mib << 20)
        n++;
    double *a = malloc(n * n * sizeof *a);
    if (!a) {
        perror("demo_job: malloc");
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            a[i * n + j] = (double)(j % 1000 + i);
    step("fill", &begin);
    for (size_t i = 0; i < n * n; i++)
        total += a[i];
    step("sum", &begin);
    for (size_t i = 0; i < n * n; i++)
        a[i] *= 2;
    step("scale", &begin);
    for (size_t i = 0; i < n; i++)
        column += a[i * n + n / 2];
    step("column", &begin);

    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("total %.2f\npeak %ld\n", now() - start, usage.ru_maxrss / 1024);
    printf("digits %.0f %.0f %.0f\n", total, column, a[n * n - 1]);
    free(a);
    return 0;
}
