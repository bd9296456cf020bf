/* settings.c - libFuzzer target for the settings. The input is the values of all variables, each
 * ended by a zero byte; one that is "-" is not set. A second reading of the grammar, written from
 * the manual and sharing no code with the library's, says what each field must be and who is told
 * about; a rejected setting prints exactly one line, switches everything off, and changes nothing. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static char *fuzz_getenv(const char *name);
static long fuzz_sys(long number, long a, long b, long c, long d, long e, long f);
static void fuzz_exit(int status) __attribute__((noreturn));
#define secure_getenv fuzz_getenv
#define BIGMAAC_SYS fuzz_sys
#include "../../bigmaac.c"

static const char *const names[] = {
    "BIGMAAC_STRICT", "BIGMAAC_VERBOSE", "BIGMAAC_STATS", "BIGMAAC_PROFILE",
    "BIGMAAC_MIN_BIGMAAC_SIZE", "BIGMAAC_MIN_FRY_SIZE", "SIZE_BIGMAAC", "SIZE_FRIES",
    "BIGMAAC_RECYCLE", "BIGMAAC_RESERVE", "BIGMAAC_PAGING", "BIGMAAC_FORK", "BIGMAAC_TEMPLATE",
};
enum { STRICT, VERBOSE, STATS, PROFILE, MIN_BIG, MIN_FRY, SPACE_BIG, SPACE_FRY, RECYCLE, RESERVE,
       PAGING, FORK, TEMPLATE, NAMES };

static char *value[NAMES];   /* NULL: not set */
static char out[8192];       /* what was printed */
static size_t out_used;
static int exit_status;      /* of fuzz_exit; -1: it was not called */
static jmp_buf exited;

#define MUST(condition) ((condition) ? (void)0 : wrong(#condition, __LINE__))

static void wrong(const char *what, int line)
{
    fprintf(stderr, "settings.c:%d: %s\nprinted: %.*s\n", line, what, (int)out_used, out);
    for (int i = 0; i < NAMES; i++)
        if (value[i])
            fprintf(stderr, "%s=\"%s\"\n", names[i], value[i]);
    abort();
}

static char *fuzz_getenv(const char *name)
{
    for (int i = 0; i < NAMES; i++)
        if (strcmp(name, names[i]) == 0)
            return value[i];
    return NULL;
}

static void fuzz_exit(int status)
{
    exit_status = status;
    longjmp(exited, 1);
}

/* Messages are kept, everything else happens. */
static long fuzz_sys(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_exit_group)
        fuzz_exit((int)a);
    if (number != SYS_write || a != STDERR_FILENO)
        return syscall(number, a, b, c, d, e, f);
    MUST(out_used + (size_t)c <= sizeof out);
    memcpy(out + out_used, (const void *)b, (size_t)c);
    out_used += (size_t)c;
    return c;
}

/* --- what the manual says --------------------------------------------------------------------- */

/* digits [K|M|G|T, perhaps iB] [B], any case; below 2^64. */
static bool is_size(const char *text, size_t *to)
{
    const char *digits = "0123456789";
    size_t n = strspn(text, digits), zeros = strspn(text, "0"), shift = 0;
    const char *rest = text + n;
    if (n == 0)
        return false;
    const char *units = "KkMmGgTt", *unit = *rest ? strchr(units, *rest) : NULL;
    if (unit) {
        shift = 10 * ((size_t)(unit - units) / 2 + 1);
        rest++;
    }
    bool suffix = !*rest || strcasecmp(rest, "B") == 0 || (unit && strcasecmp(rest, "iB") == 0 && *rest == 'i');
    if (!suffix || n - zeros > 20)
        return false;
    unsigned __int128 number = 0;
    for (size_t i = zeros; i < n; i++)
        number = number * 10 + (unsigned)(strchr(digits, text[i]) - digits);
    number <<= shift;
    if (number >> 64)
        return false;
    *to = (size_t)number;
    return true;
}

static bool is_word(const char *text, const char *const *words, size_t *to)
{
    for (size_t i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0) {
            *to = i;
            return true;
        }
    return false;
}

/* Made absolute it has at most that many characters. */
static bool is_path(const char *text, size_t most, char *to)
{
    char cwd[4096], whole[20000];
    if (strlen(text) > 4096 || !getcwd(cwd, sizeof cwd))
        return false;
    snprintf(whole, sizeof whole, "%s%s%s", *text == '/' ? "" : cwd, *text == '/' ? "" : "/", text);
    if (strlen(whole) > most)
        return false;
    strcpy(to, whole);
    return true;
}

/* Ends in six X. */
static bool is_template(const char *text, char *to)
{
    size_t n = strlen(text);
    return n >= 6 && strspn(text + n - 6, "X") == 6 && is_path(text, 511, to);
}

static bool folder_is_usable(const char *template)
{
    char folder[512];
    strcpy(folder, template);
    char *slash = folder + strlen(folder);
    while (*slash != '/')
        slash--;
    slash[slash == folder] = 0;
    return access(folder, W_OK | X_OK) == 0;
}

/* 0, 1, or a file in a folder that can be written: something with a slash, but not at its end. */
static bool is_summary(const char *text, char *file, size_t *on)
{
    static const char *const flags[] = {"0", "1", NULL};
    char to[512];
    if (is_word(text, flags, on))
        return true;
    if (!strchr(text, '/') || strrchr(text, '/')[1] == 0 || !is_path(text, 479, to) || !folder_is_usable(to))
        return false;
    strcpy(file, to);
    return *on = true;
}

/* Takes one value into the expected settings. */
static bool expect_value(struct config *c, int i, const char *text)
{
    static const char *const flags[] = {"0", "1", NULL};
    static const char *const paging[] = {"adaptive", "sequential", "normal", "random", NULL};
    static const char *const forks[] = {"private", "copy", NULL};
    size_t n = 0;
    switch (i) {
    case STRICT: return is_word(text, flags, &c->strict);
    case VERBOSE: return is_word(text, flags, &c->verbose);
    case STATS: return is_summary(text, c->summary, &c->stats);
    case PROFILE: return is_summary(text, c->summary, &c->profile);
    case RESERVE: return is_word(text, flags, &c->reserve);
    case PAGING: return is_word(text, paging, &c->paging);
    case FORK: return is_word(text, forks, &c->fork_mode);
    case MIN_BIG: return is_size(text, &c->min_bigmaac);
    case MIN_FRY: return is_size(text, &c->min_fry);
    case SPACE_BIG: case SPACE_FRY:
        if (!is_size(text, &n) || n < 1ul << 20 || n > 8ul << 40)
            return false;
        *(i == SPACE_BIG ? &c->size_bigmaac : &c->size_fries) = n;
        return true;
    case RECYCLE:
        if (strcmp(text, "auto") != 0)
            return is_size(text, &c->recycle);
        c->recycle = SIZE_MAX;
        return true;
    default:
        if (!is_template(text, c->template))
            return false;
        c->template_set = true;
        return true;
    }
}

/* The settings that must come out; returns whom the message is about, -1: nobody. */
static int expect(struct config *c)
{
    int bad = -1;
    for (int i = 0; i < NAMES; i++) {
        bool good = !value[i] || !value[i][0] || expect_value(c, i, value[i]); /* empty: not set */
        if (i == TEMPLATE && good)
            good = folder_is_usable(c->template);
        if (!good && bad < 0)
            bad = i;
        if (bad >= 0 && c->strict)
            return bad;
    }
    return bad < 0 && c->min_fry > c->min_bigmaac ? MIN_FRY : bad;
}

static bool same(const struct config *a, const struct config *b)
{
    return a->min_bigmaac == b->min_bigmaac && a->min_fry == b->min_fry && a->recycle == b->recycle &&
           a->size_bigmaac == b->size_bigmaac && a->size_fries == b->size_fries &&
           a->reserve == b->reserve && a->paging == b->paging && a->fork_mode == b->fork_mode &&
           a->stats == b->stats && a->verbose == b->verbose && a->strict == b->strict &&
           a->profile == b->profile && a->template_set == b->template_set &&
           strcmp(a->template, b->template) == 0;
}

static size_t lines_printed(void)
{
    size_t lines = 0;
    for (size_t i = 0; i < out_used; i++) {
        lines += out[i] == '\n';
        MUST(out[i] == '\n' || !iscntrl((unsigned char)out[i]));
    }
    MUST(out_used == 0 || out[out_used - 1] == '\n');
    return lines;
}

/* One line: who, the value without what would disturb a terminal, what happens next. */
static void check_rejection(int bad, bool strict)
{
    char begin[256];
    const char *end = strict ? "; exiting\n" : "; passing all requests through\n";
    int n = snprintf(begin, sizeof begin, "bigmaac[%d]: %s=\"%.124s%s", (int)getpid(), names[bad],
                     value[bad] ? value[bad] : "", value[bad] && strlen(value[bad]) > 124 ? "...\"" : "\"");
    for (int i = 0; i < n; i++)
        begin[i] = iscntrl((unsigned char)begin[i]) ? '?' : begin[i];
    MUST(lines_printed() == 1);
    MUST(!value[bad] || (out_used > (size_t)n && memcmp(out, begin, (size_t)n) == 0));
    MUST(out_used > strlen(end) && memcmp(out + out_used - strlen(end), end, strlen(end)) == 0);
}

static void split(char *text, size_t bytes)
{
    char *end = text + bytes;
    for (int i = 0; i < NAMES; i++) {
        value[i] = text < end && strcmp(text, "-") != 0 ? text : NULL;
        text += text < end ? strlen(text) + 1 : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct config untouched;
    if (!untouched.min_bigmaac)
        untouched = cfg;
    static char text[8192];
    bytes = bytes < sizeof text - 1 ? bytes : sizeof text - 1;
    memcpy(text, data, bytes);
    text[bytes] = 0;
    split(text, bytes);
    struct config wanted = untouched;
    int bad = expect(&wanted);
    cfg = untouched;
    out_used = 0;
    exit_status = -1;
    if (setjmp(exited) == 0)
        config_load();
    MUST(same(&cfg, &wanted));
    MUST(bad >= 0 || strcmp(cfg.summary, wanted.summary) == 0);
    MUST(cfg.off == (bad >= 0));
    MUST(exit_status == (bad >= 0 && wanted.strict ? 2 : -1));
    if (bad >= 0)
        check_rejection(bad, wanted.strict);
    else
        MUST(lines_printed() == (wanted.verbose ? 2 : 0));
    memset(value, 0, sizeof value);
    cfg = untouched; /* the report at exit must not be ours */
    return 0;
}
