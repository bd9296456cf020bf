/* unit_class.c - size classes: an eighth of a block is wasted at most, beyond the granule of 16 bytes;
 * every class has the alignment that it is chosen for; the block of an address is found by multiplying. */
#include "../bigmaac.c"
#include "check.h"

static void check_size(size_t size)
{
    unsigned c = class_of(size);
    size_t bytes = class_size(c);
    CHECK(c < CLASS_COUNT && bytes >= size && (bytes - size < 16 || (bytes - size) * 8 <= bytes));
    CHECK(c == 0 || class_size(c - 1) < size);
}

static void check_alignment(size_t size, size_t align)
{
    unsigned c = class_for(size, align);
    if (c < CLASS_COUNT)
        CHECK(classes[c].size >= size && classes[c].size % align == 0);
    else
        CHECK(size > SLAB_MAX || align > page_size || class_size(CLASS_COUNT - 1) % align != 0);
}

static void check_slab(const struct class_info *k)
{
    size_t bytes = to_bytes(k->pages);
    CHECK(k->blocks > 0 && k->blocks <= 64 * SLAB_WORDS && (size_t)k->blocks * k->size <= bytes);
    struct slab s = {.size = k->size, .blocks = (uint16_t)k->blocks, .reciprocal = slab_reciprocal(k->size)};
    for (uint32_t i = 0; i < k->blocks; i++) {
        CHECK(slab_block(&s, s.start + (size_t)i * k->size) == i);
        CHECK(slab_block(&s, s.start + (size_t)i * k->size + 1) == no_block);
        CHECK(slab_block(&s, s.start + (size_t)i * k->size + k->size - 1) == no_block);
    }
    CHECK(slab_block(&s, s.start + (size_t)k->blocks * k->size) == no_block);
}

int main(void)
{
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        class_plan(&classes[c], class_size(c));
    for (size_t size = 1; size <= SLAB_MAX; size++)
        check_size(size);
    for (size_t align = 16; align <= 2 * page_size; align *= 2)
        for (size_t size = 1; size <= SLAB_MAX + 1; size += size < 512 ? 1 : 61)
            check_alignment(size, align);
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        check_slab(&classes[c]);
    return check_result();
}
