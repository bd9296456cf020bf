/* fork_decorated.c - what the program has set on a part of a block stays set over forks: protections, locks, advice,
 * mappings of its own. In the parent, a child and a grandchild, and after a move by realloc.
 */
#include "fork_common.h"

#include <sys/syscall.h>

enum {
    NONE = 2, READ = 5, EXEC = 8, LOCKED = 11, KEPT_AWAY = 14, UNDUMPED = 17, WIPED = 20, OWN = 23, /* pages of each block */
    PAGES = 25, BLOCKS = 4
};

#define AT_LEAST(bytes) ((bytes) < PAGES * PAGE ? PAGES * PAGE : (bytes))
static const size_t sizes[BLOCKS] = {AT_LEAST(FRY_LARGE), AT_LEAST(BIG_SMALL), BIG_LARGE, 9 << 20};
static unsigned char *blocks[BLOCKS];
static unsigned char *own; /* the memory that is mapped into each block, by another address */

static const unsigned char code[] = {
#if defined(__x86_64__)
    0xb8, 42, 0, 0, 0, 0xc3 /* mov $42, %eax; ret */
#elif defined(__aarch64__)
    0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6 /* mov w0, #42; ret */
#endif
};

static unsigned char *page_of(int block, int page) { return blocks[block] + (size_t)page * PAGE; }

static void decorate(int i, int memory)
{
    blocks[i] = pages_new(sizes[i], (uint64_t)i + 1);
    memcpy(page_of(i, EXEC), code, sizeof code);
    REQUIRE(mprotect(page_of(i, NONE), PAGE, PROT_NONE) == 0);
    REQUIRE(syscall(SYS_mprotect, page_of(i, READ), PAGE, PROT_READ) == 0);
    REQUIRE(mprotect(page_of(i, EXEC), PAGE, PROT_READ | PROT_EXEC) == 0);
    REQUIRE(mlock(page_of(i, LOCKED), PAGE) == 0);
    REQUIRE(madvise(page_of(i, KEPT_AWAY), PAGE, MADV_DONTFORK) == 0);
    REQUIRE(madvise(page_of(i, UNDUMPED), PAGE, MADV_DONTDUMP) == 0);
    REQUIRE(madvise(page_of(i, WIPED), PAGE, MADV_WIPEONFORK) == 0);
    REQUIRE(mmap(page_of(i, OWN), PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory, i * PAGE) == page_of(i, OWN));
}

/* In the process `depth` forks below the first one. */
static void require_decorated(int i, int depth, const char *who)
{
    int (*run)(void) = (int (*)(void))(void *)page_of(i, EXEC);
    char access[] = {access_of(page_of(i, NONE)), access_of(page_of(i, READ)), access_of(page_of(i, EXEC)),
                     access_of(page_of(i, LOCKED)), access_of(page_of(i, KEPT_AWAY)), access_of(page_of(i, WIPED)), 0};
    const char *right = depth == 0 ? "-rrwww" : "-rrw-w";
    if (strcmp(access, right) != 0)
        fail("%s: the pages of block %d can be accessed as %s, not %s", who, i, access, right);
    REQUIRE(run() == 42);
    REQUIRE(has_flag(page_of(i, UNDUMPED), "dd"));
    if (depth == 0)
        REQUIRE(has_flag(page_of(i, LOCKED), "lo"));
    for (int page = 0; page < (int)(sizes[i] / PAGE); page++) {
        size_t first = (size_t)page * PAGE / 8;
        if (page == NONE || page == EXEC || page == OWN || page == KEPT_AWAY || (page == WIPED && depth > 0))
            continue;
        for (size_t word = 0; word < PAGE / 8; word += 64)
            if (((uint64_t *)page_of(i, page))[word] != content_word((uint64_t)i + 1, first + word))
                fail("%s: block %d, page %d has another content", who, i, page);
    }
    if (depth > 0)
        REQUIRE(*page_of(i, WIPED) == 0);
}

/* What one side writes to the program's own memory, all see. */
static void require_own(int i, unsigned char value)
{
    *page_of(i, OWN) = value;
    REQUIRE(own[i * PAGE] == value);
    own[i * PAGE + 1] = value;
    REQUIRE(page_of(i, OWN)[1] == value);
}

static void family(int depth)
{
    static const char *const who[] = {"parent", "child", "grandchild"};
    for (int i = 0; i < BLOCKS; i++) {
        require_decorated(i, depth, who[depth]);
        require_own(i, (unsigned char)(10 + depth));
    }
    if (depth == 2)
        return;
    for (int round = 0; round < 2; round++) {
        pid_t child = require_fork();
        if (child == 0) {
            family(depth + 1);
            _exit(0);
        }
        require_exit_0(child, who[depth + 1]);
        for (int i = 0; i < BLOCKS; i++) {
            REQUIRE(*page_of(i, OWN) == 11 + depth && own[i * PAGE] == 11 + depth); /* the child's last */
            require_decorated(i, depth, who[depth]);
            require_own(i, (unsigned char)(10 + depth));
        }
    }
}

/* Grown to where it has to move, with fries and small ones between. A fry that is protected can't be copied by anybody. */
static void blocks_move(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (sizes[i] < BIG_SMALL)
            continue;
        unsigned char *before = blocks[i];
        blocks[i] = realloc(blocks[i], 40 << 20);
        REQUIRE(blocks[i] != NULL);
        if (preloaded() && blocks[i] == before)
            printf("block %d has not moved\n", i);
        REQUIRE(access_of(blocks[i] + (40 << 20) - 1) == 'w');
    }
}

/* BIGMAAC_KEEP is a lock: the parent's. Nothing to see for users who may lock little. */
static void keep(size_t size)
{
    void *other = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool may = mlock(other, 2 * size) == 0;
    munmap(other, 2 * size);
    if (!may)
        return;
    unsigned char *kept = pages_new(size, 1);
    REQUIRE(bigmaac_try_advise(kept, BIGMAAC_KEEP) == 0 && has_flag(kept, "lo"));
    pid_t child = require_fork();
    if (child == 0) {
        content_require(kept, size, 1, "child");
        _exit(0);
    }
    require_exit_0(child, "child");
    REQUIRE(has_flag(kept, "lo") && has_flag(kept + size - 1, "lo"));
    free(kept);
}

int main(int argc, char **argv)
{
    (void)argc;
    fork_test_begin(argv);
    int memory = memfd_create("own", MFD_CLOEXEC);
    REQUIRE(ftruncate(memory, BLOCKS * PAGE) == 0);
    own = mmap(NULL, BLOCKS * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    REQUIRE(own != MAP_FAILED);
    for (int i = 0; i < BLOCKS; i++)
        decorate(i, memory);
    family(0);
    if (preloaded()) { /* the next realloc in line would copy what can't be read */
        blocks_move();
        family(0);
        keep(BIG_SMALL);
        keep(9 << 20);
    }
    printf("ok: %d blocks, mode %s\n", BLOCKS, fork_mode());
    return 0;
}
