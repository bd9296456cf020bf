/* unit_fork.c - fork while another thread's free is half-done: what a child makes of a slab of its own. */
#include "../bigmaac.c"
#include "check.h"

#include <sys/wait.h>

static const char *verdict(void)
{
    lock_take(&fry.lock);
    const char *wrong = fry_check();
    lock_drop(&fry.lock);
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    return wrong;
}

/* In a child: the books balance, and once all its blocks are free and a thread comes by, the slab goes. */
static void child_frees(void **block, unsigned blocks, const struct slab *s)
{
    uint32_t extent = s->extent;
    CHECK(!verdict());
    for (unsigned i = 0; i < blocks; i++)
        bigmaac_free(block[i]);
    lock_take(&fry.lock);
    heap_retire(heap_self);
    CHECK(extent_at(&fry.space, extent)->state != EXTENT_LIVE || !(extent_at(&fry.space, extent)->flags & flag_slab));
    lock_drop(&fry.lock);
    CHECK(!verdict());
    _exit(check_result());
}

static void fork_and_free(void **block, unsigned blocks, const struct slab *s)
{
    pid_t pid = fork();
    if (pid == 0)
        child_frees(block, blocks, s);
    int status = -1;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

/* Returns the slab of the first. */
static struct slab *take_blocks(void **block, unsigned blocks)
{
    for (unsigned b = 0; b < blocks; b++)
        CHECK((block[b] = bigmaac_malloc(1000)) != NULL);
    return slab_containing(mem_offset(block[0]));
}

static void free_and_check(void **block, unsigned blocks)
{
    for (unsigned b = 0; b < blocks; b++)
        bigmaac_free(block[b]);
    lock_take(&fry.lock);
    heap_collect(heap_self);
    lock_drop(&fry.lock);
    CHECK(!verdict());
}

/* Two other threads' frees at once: one counted after its bit was collected, one not counted yet. */
static void two_half_done(void)
{
    enum { BLOCKS = 20 };
    void *block[BLOCKS];
    struct slab *s = take_blocks(block, BLOCKS);
    for (unsigned b = 0; b < 2; b++) {
        uint64_t i = slab_block(s, block[b]);
        atomic_fetch_or(&slab_remote(s)[i / 64], slab_bit(i));
        if (b == 0)
            slab_collect(s);
    }
    if (atomic_fetch_add(&s->remote, 1) == 0)
        heap_push_visitor(atomic_load(&s->owner), s);
    fork_and_free(block + 2, BLOCKS - 2, s);
    atomic_fetch_add(&s->remote, 1);
    free_and_check(block + 2, BLOCKS - 2);
}

/* A free whose slab has been stolen before it could tell the owner, and the thief has ended since. */
static void *owned[64];
static atomic_uint stage;

static void stage_wait(unsigned n)
{
    while (atomic_load(&stage) < n)
        sched_yield();
}

static void *owner_main(void *unused)
{
    owned[0] = bigmaac_malloc(1000);
    return unused;
}

static void *thief_main(void *unused)
{
    bigmaac_free(bigmaac_malloc(5000));
    atomic_store(&stage, 1);
    stage_wait(2);
    owned[1] = bigmaac_malloc(1000);
    return unused;
}

static void stolen_and_idle(void)
{
    pthread_t owner, thief;
    pthread_create(&thief, NULL, thief_main, NULL);
    stage_wait(1);
    pthread_create(&owner, NULL, owner_main, NULL);
    pthread_join(owner, NULL);
    struct slab *s = slab_containing(mem_offset(owned[0]));
    uint64_t i = slab_block(s, owned[0]);
    atomic_fetch_or(&slab_remote(s)[i / 64], slab_bit(i));
    CHECK(atomic_fetch_add(&s->remote, 1) == 0);
    struct heap *first = atomic_load(&s->owner);
    atomic_store(&stage, 2);
    pthread_join(thief, NULL);
    CHECK(slab_containing(mem_offset(owned[1])) == s && atomic_load(&s->owner) != first);
    bigmaac_free(owned[1]);
    if (heap_self)
        heap_flush(heap_self);
    heap_push_visitor(first, s);
    CHECK(atomic_load(&first->idle));
    heap_collect_idle(first);
    CHECK(!slab_containing(mem_offset(owned[1])));
    CHECK(!verdict());
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <ucontext.h>
enum { MADE = 40 };
static const greg_t trap_flag = 0x100;
static volatile bool is_child;
static unsigned steps, inexact;

/* After each instruction of the free below: a child, in which it goes on. */
static void step(int sig, siginfo_t *info, void *context)
{
    int status = -1;
    (void)sig, (void)info;
    pid_t pid = fork();
    if (pid == 0) {
        is_child = true;
        checks_failed = 0;
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~trap_flag;
        return;
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && (status == 0 || status == 2 << 8));
    steps++;
    inexact += status != 0;
}

/* The slab of a live block stays, whatever its books say. */
static void stepped_child(struct slab *s)
{
    bool exact = slab_used(s) - atomic_load(&s->remote) == MADE - 1;
    for (unsigned i = 1; i < MADE - 1; i++)
        bigmaac_free(owned[i]);
    heap_flush(heap_self);
    const struct extent *x = extent_at(&fry.space, s->extent);
    CHECK(x->state == EXTENT_LIVE && x->flags & flag_slab && slab_used(s) - atomic_load(&s->remote) >= 1);
    _exit(checks_failed ? 1 : exact ? 0 : 2);
}

static void *maker_main(void *unused)
{
    for (unsigned i = 0; i < MADE; i++)
        owned[i] = bigmaac_malloc(1000);
    atomic_store(&stage, 4);
    stage_wait(5);
    return unused;
}

/* A handler that forks has interrupted a free of another thread's block, and the child returns from it. */
static void forks_at_each_instruction(void)
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO}, saved;
    pthread_t maker;
    pthread_create(&maker, NULL, maker_main, NULL);
    stage_wait(4);
    struct slab *s = slab_containing(mem_offset(owned[0]));
    heap_flush(heap_self ? heap_self : heap_get());
    sigaction(SIGTRAP, &action, &saved);
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
    bigmaac_free(owned[0]);
    heap_flush(heap_self);
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
    if (is_child)
        stepped_child(s);
    sigaction(SIGTRAP, &saved, NULL);
    CHECK(steps > 30 && inexact < steps / 3); /* where nobody can tell whether it was counted, it stays in use */
    atomic_store(&stage, 5);
    pthread_join(maker, NULL);
    for (unsigned i = 1; i < MADE; i++)
        bigmaac_free(owned[i]);
    heap_flush(heap_self);
    CHECK(!verdict());
}
#else
static void forks_at_each_instruction(void) {}
#endif

/* Another thread's free, in its two steps; `collected` between them. */
static void half_done(bool collected, bool counted)
{
    enum { BLOCKS = 20 };
    void *block[BLOCKS];
    struct slab *s = take_blocks(block, BLOCKS);
    uint64_t i = slab_block(s, block[0]);
    atomic_fetch_or(&slab_remote(s)[i / 64], slab_bit(i));
    if (collected)
        slab_collect(s);
    if (counted && atomic_fetch_add(&s->remote, 1) == 0)
        heap_push_visitor(atomic_load(&s->owner), s);
    fork_and_free(block + 1, BLOCKS - 1, s);
    if (!counted && atomic_fetch_add(&s->remote, 1) == 0)
        heap_push_visitor(atomic_load(&s->owner), s);
    fork_and_free(block + 1, BLOCKS - 1, s);
    free_and_check(block + 1, BLOCKS - 1);
}

int main(void)
{
    setenv("BIGMAAC_MIN_FRY_SIZE", "64", 1);
    config_load();
    route_set_limit();
    half_done(false, false);
    half_done(false, true);
    half_done(true, true);
    two_half_done();
    stolen_and_idle();
    forks_at_each_instruction();
    return check_result();
}
