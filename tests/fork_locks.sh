# Forks beside threads in libc's functions that hold locks of its own while they allocate. A deadlock is ended by an alarm.
# timeout: 1500
. "$TOP/tests/lib.sh"
cat >"$TMP/locks.c" <<'C'
/* locks FOLDER WHAT...: two threads for each of these, and one that forks, until that has been done FORKS times. */
#define _GNU_SOURCE
#include "check.h"
#include <dlfcn.h>
#include <grp.h>
#include <locale.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FORKS = 30, LINE = 50000 };
static char file[256];
static atomic_int over;
static atomic_long rounds[16];

static void flush(void) { CHECK(fflush(NULL) == 0); }

static void open_close(void)
{
    FILE *f = fopen(file, "r");
    CHECK(f && fgetc(f) == 'x' && fclose(f) == 0);
}

static void line(void)
{
    char *text = NULL;
    size_t space = 0;
    FILE *f = fopen(file, "r");
    CHECK(f && getline(&text, &space, f) == LINE + 1);
    free(text);
    if (f)
        fclose(f);
}

static void pipes(void)
{
    FILE *f = popen("echo x", "r");
    CHECK(f && fgetc(f) == 'x' && pclose(f) == 0);
}

static void names(void)
{
    const struct passwd *user = getpwnam("root");
    CHECK(user && getgrnam("nogroup"));
}

static void objects(void)
{
    void *object = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL), *other = dlopen("libresolv.so.2", RTLD_NOW);
    CHECK(object && dlsym(object, "cos"));
    if (object)
        dlclose(object);
    if (other)
        dlclose(other);
}

static void locales(void)
{
    locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    CHECK(locale && setlocale(LC_ALL, "C.UTF-8") && setlocale(LC_ALL, "C"));
    if (locale)
        freelocale(locale);
}

static void temporary(void)
{
    FILE *f = tmpfile();
    CHECK(f && fputs("x", f) >= 0 && fclose(f) == 0);
}

static void environment(void)
{
    char value[5000];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = 0;
    CHECK(setenv("LONG", value, 1) == 0);
}

static void clocks(void)
{
    time_t now = time(NULL);
    struct tm t;
    tzset();
    CHECK(localtime_r(&now, &t));
}

static void buffers(void)
{
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    for (int i = 0; i < 3000; i++)
        fputs("some text", f);
    CHECK(fclose(f) == 0 && bytes == 27000);
    free(text);
}

static const struct { const char *name; void (*run)(void); } all[] = {
    {"flush", flush}, {"open", open_close}, {"line", line}, {"pipes", pipes}, {"names", names}, {"objects", objects},
    {"locales", locales}, {"temporary", temporary}, {"environment", environment}, {"clocks", clocks}, {"buffers", buffers}};

static void *run(void *number)
{
    int i = (int)(intptr_t)number;
    while (!over) {
        all[i].run();
        rounds[i]++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[32];
    int threads = 0, status;
    alarm(600);
    snprintf(file, sizeof file, "%s/line", argv[1]);
    FILE *f = fopen(file, "w");
    for (int i = 0; i < LINE; i++)
        fputc('x', f);
    fputc('\n', f);
    fclose(f);
    for (int a = 2; a < argc; a++)
        for (intptr_t i = 0; i < (intptr_t)(sizeof all / sizeof all[0]); i++)
            for (int n = 0; n < 2 && strcmp(argv[a], all[i].name) == 0; n++)
                CHECK(pthread_create(&thread[threads++], NULL, run, (void *)i) == 0);
    CHECK(threads == 2 * (argc - 2));
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(600);
            fflush(NULL);
            open_close();
            free(opaque(malloc(10000)));
            _exit(check_result());
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    over = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < (int)(sizeof all / sizeof all[0]); i++)
        for (int a = 2; a < argc; a++)
            CHECK(strcmp(argv[a], all[i].name) != 0 || rounds[i] > 0);
    return check_result();
}
C
compile_c "$TMP/locks" "$TMP/locks.c"
while read -r what; do
    # shellcheck disable=SC2086
    "$TMP/locks" "$TMP" $what || fail "without the library: $what: status $?"
    for mode in private copy; do
        for sizes in "4096 4096" "1M 1"; do
            read -r bigmaacs fries <<<"$sizes"
            # shellcheck disable=SC2086
            with BIGMAAC_FORK=$mode BIGMAAC_MIN_BIGMAAC_SIZE="$bigmaacs" BIGMAAC_MIN_FRY_SIZE="$fries" "$TMP/locks" "$TMP" $what ||
                fail "$what: $mode, thresholds $sizes: status $?"
        done
    done
done <<'END'
flush line
flush open buffers
pipes open flush
names objects
locales clocks
temporary environment flush
END
exit 0
