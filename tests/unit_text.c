/* unit_text.c - what stands in for libc's functions does what they do. */
#include "../bigmaac.c"
#include "check.h"

#define SAME(...)                                                                             \
    do {                                                                                      \
        char ours[40], libcs[40];                                                             \
        memset(ours, 'x', sizeof ours), memset(libcs, 'x', sizeof libcs);                     \
        for (size_t room = 1; room <= sizeof ours; room++) {                                  \
            size_t n = text_format(ours, room, __VA_ARGS__);                                  \
            CHECK(n == (size_t)snprintf(libcs, room, __VA_ARGS__) && strcmp(ours, libcs) == 0); \
        }                                                                                     \
    } while (0)

static void formats(void)
{
    SAME("plain");
    SAME("%d %d %d %d", 0, -1, INT32_MIN, INT32_MAX);
    SAME("%zd %ld", (ssize_t)-1, (long)INT64_MIN);
    SAME("%u %zu %lu", UINT32_MAX, SIZE_MAX, (unsigned long)0);
    SAME("%x %lx %p", 0xabcdu, 0x123456789abcdefUL, (void *)&checks_failed);
    SAME("%s|%5s|%6s|%3zu", "text", "ab", "longer than it", (size_t)7);
    SAME("%.3s|%.*s|%.0s|%8.2s", "cut here", 2, "and here", "nothing", "some");
    SAME("100 %% of %s%s", "", "it");
}

static void texts(void)
{
    const char *end, *line = "name: 12 345\n";
    CHECK(text_number(line + 5, &end) == 12 && text_number(end, &end) == 345 && *end == '\n');
    CHECK(text_number("no", NULL) == 0 && text_number("", NULL) == 0 && text_number("-3", NULL) == 0);
    CHECK(text_number("18446744073709551615", NULL) == SIZE_MAX && text_number("18446744073709551616000", NULL) == SIZE_MAX);
    CHECK(text_find(line, ':') == line + 4 && !text_find(line, 'z') && text_find(line, 0) == line + strlen(line));
    CHECK(text_find_last("/a/b/c", '/')[1] == 'c' && !text_find_last("abc", '/'));
    CHECK(text_same("", "") && text_same("ab", "ab") && !text_same("ab", "abc") && !text_same("abc", "ab"));
    CHECK(text_begins("abc", "ab") && text_begins("abc", "") && !text_begins("ab", "abc"));
    CHECK(text_contains("cpu,memory", "memory") && text_contains("x", "") == 1 && !text_contains("memor", "memory"));
    CHECK(text_length("") == 0 && text_length(line) == strlen(line));
}

/* Every length up to where the processor's own instructions take over, and beyond; nothing beside it changes. */
static void bytes(void)
{
    enum { MOST = COPY_BY_HAND + 100 };
    static unsigned char from[MOST + 64], to[MOST + 64];
    fill(from, sizeof from, 1);
    for (size_t n = 0; n <= MOST; n++)
        for (size_t at = 0; at < 17; at += 5) {
            memset(to, 0, sizeof to);
            CHECK(bytes_copy(to + at, from + at / 2, n) == to + at);
            CHECK(memcmp(to + at, from + at / 2, n) == 0 && is_zero(to, at) && is_zero(to + at + n, sizeof to - at - n));
            memset(to, 0, sizeof to);
            CHECK(bytes_set(to + at, 0x1a5, n) == to + at && is_zero(to, at) && is_zero(to + at + n, sizeof to - at - n));
            for (size_t i = 0; i < n; i++)
                CHECK(to[at + i] == 0xa5);
        }
}

int main(void)
{
    formats();
    texts();
    bytes();
    return check_result();
}
