/* unit_config.c - the size parser and the size classes, value by value. */
#include "../bigmaac.c"
#include "check.h"

static void good(const char *text, size_t expected)
{
    size_t value = 12345;
    const char *why = parse_size(text, &value);
    if (why || value != expected)
        fprintf(stderr, "\"%s\": %zu, %s\n", text, value, why ? why : "taken");
    CHECK(!why && value == expected);
}

static void bad(const char *text)
{
    size_t value = 12345;
    if (!parse_size(text, &value))
        fprintf(stderr, "\"%s\" was taken as %zu\n", text, value);
    CHECK(parse_size(text, &value) && value == 12345);
}

static void test_sizes(void)
{
    good("0", 0), good("1", 1), good("10485760", 10485760), good("10M", 10 << 20);
    good("1k", 1024), good("1K", 1024), good("1KB", 1024), good("1KiB", 1024), good("3kib", 3072);
    good("1GiB", (size_t)1 << 30), good("2T", (size_t)2 << 40), good("7B", 7);
    good("18446744073709551615", SIZE_MAX), good("16777215T", (size_t)16777215 << 40);
    bad(""), bad(" 1"), bad("1 "), bad("-1"), bad("+1"), bad("1.5G"), bad("M"), bad("1MM"), bad("1Mi");
    bad("0x10"), bad("1KiBB"), bad("10Q"), bad("18446744073709551616"), bad("16777216T"), bad("1e6");
    bad("99999999999999999999999999"), bad("1\n");
}

/* Every class is the smallest that holds its sizes, and wastes at most an eighth of a request. */
static void test_classes(void)
{
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        CHECK(class_of(class_size(c)) == c);
        CHECK(c + 1 == CLASS_COUNT || class_of(class_size(c) + 1) == c + 1);
        CHECK(class_size(c) % 16 == 0);
    }
    CHECK(class_size(CLASS_COUNT - 1) == SLAB_MAX);
    for (size_t size = 1; size <= SLAB_MAX; size++) {
        size_t block = class_size(class_of(size));
        CHECK(block >= size && (block - size <= 15 || (block - size) * 8 <= block));
    }
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        class_plan(&classes[c], class_size(c));
        CHECK((size_t)classes[c].blocks * classes[c].size <= to_bytes(classes[c].pages));
        CHECK(classes[c].blocks >= 8 && classes[c].blocks <= 64 * SLAB_WORDS);
    }
}

/* The division by multiplication finds every block of every class, and only starts of blocks. */
static void test_blocks(void)
{
    static char memory[4 << 20];
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        struct slab s = {.start = memory, .size = (uint32_t)class_size(c),
                         .blocks = (uint16_t)classes[c].blocks};
        s.reciprocal = slab_reciprocal(s.size);
        for (uint32_t i = 0; i < s.blocks; i++) {
            CHECK(slab_block(&s, memory + (size_t)i * s.size) == i);
            CHECK(slab_block(&s, memory + (size_t)i * s.size + 1) == no_block);
            CHECK(slab_block(&s, memory + (size_t)i * s.size + s.size - 1) == no_block);
        }
        CHECK(slab_block(&s, memory + (size_t)s.blocks * s.size) == no_block);
    }
}

int main(void)
{
    test_sizes();
    test_classes();
    test_blocks();
    return check_result();
}
