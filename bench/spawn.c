/* spawn.c - what a preloaded library adds to the start of a process.
 * SPDX-License-Identifier: MIT
 *
 *     spawn COUNT PROGRAM LIBRARY...
 *
 * Runs PROGRAM COUNT times without any library and COUNT times with each of them, in turn, by
 * posix_spawn and waitpid. Prints the median milliseconds: without, then one per library.
 */
#include "bench.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;
enum { MOST = 8, VARIABLES = 256 };

static double run_ms(char *program, const char *library)
{
    static char preload[4096];
    char *argv[] = {program, NULL}, *env[VARIABLES + 2];
    size_t n = 0;
    for (size_t i = 0; environ[i] && n < VARIABLES; i++)
        if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
            env[n++] = environ[i];
    if (library) {
        snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library);
        env[n++] = preload;
    }
    env[n] = NULL;
    pid_t pid;
    int status;
    uint64_t begin = now_ns();
    if ((errno = posix_spawn(&pid, program, NULL, NULL, argv, env)) != 0 || waitpid(pid, &status, 0) < 0)
        die(program);
    uint64_t end = now_ns();
    if (status != 0) {
        fprintf(stderr, "%s failed with %s\n", program, library ? library : "no library");
        exit(2);
    }
    return (double)(end - begin) / 1e6;
}

int main(int argc, char **argv)
{
    size_t count = argc > 2 ? strtoul(argv[1], NULL, 10) : 0, ways = argc > 2 ? (size_t)argc - 2 : 0;
    if (!count || ways > MOST) {
        fprintf(stderr, "usage: spawn COUNT PROGRAM LIBRARY...\n");
        return 2;
    }
    double *ms = own_memory(ways * count * sizeof *ms);
    for (size_t i = 0; i < count; i++)
        for (size_t way = 0; way < ways; way++)
            ms[way * count + i] = run_ms(argv[2], way ? argv[2 + way] : NULL);
    for (size_t way = 0; way < ways; way++)
        printf("%.4f%c", median(ms + way * count, count), way + 1 < ways ? ' ' : '\n');
    return 0;
}
