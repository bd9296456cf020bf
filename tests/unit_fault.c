/* unit_fault.c - fault injection: each system call that the library makes fails at each point in
 * turn, once or from there on. The program gets NULL with ENOMEM or carries on: every block's
 * content, the extents, the counts, the descriptors and the files are right, and after the fault
 * the library works as before. Every run is a process. unit_fault most, unit_fault all: an errno at every point
 * (in one SETUP), see run_all; unit_fault SETUP CALL AT ERRNO STICKY: that one alone. */
#include "fault.h"
#include "check.h"
#include <dirent.h>
#include <sys/wait.h>

enum { BLOCKS = 64, ERRNO_KEPT = 4242, AT_ONCE = 2 };

static const char gave_up[] = "can't map the child's copy"; /* BIGMAAC_FORK=copy */

static const struct setup {
    const char *name, *fork, *reserve;
    bool plain;  /* named files without fallocate */
    bool margin; /* as on btrfs */
} setups[] = {
    {"private", "private", "1", false, false},
    {"copy", "copy", "1", false, true},
    {"plain", "private", "1", true, false},
    {"sparse", "private", "0", false, false},
};
enum { SETUPS = sizeof setups / sizeof setups[0] };

static const struct setup *setup = setups;
static char folder_path[256], prefix[32];

static struct block {
    unsigned char *p;
    size_t size;
    uint64_t seed;
} block[BLOCKS];

static char *fault_getenv(const char *name)
{
    static char template[300];
    if (!folder_path[0])
        return NULL;
    snprintf(template, sizeof template, "%s/%sXXXXXXXX", folder_path, prefix);
    return strcmp(name, "BIGMAAC_MIN_FRY_SIZE") == 0       ? (char *)"64"
           : strcmp(name, "BIGMAAC_MIN_BIGMAAC_SIZE") == 0 ? (char *)"200K"
           : strcmp(name, "BIGMAAC_FORK") == 0             ? (char *)setup->fork
           : strcmp(name, "BIGMAAC_RESERVE") == 0          ? (char *)setup->reserve
           : strcmp(name, "BIGMAAC_TEMPLATE") == 0         ? template
                                                           : NULL;
}

/* --- blocks whose content is known, at some places: touching every page takes time -------------- */

static size_t step_of(size_t size) { return size > 65536 ? 5 * page_size - 64 : 512; }
static size_t word_at(size_t i, size_t size) { return min_size(i * step_of(size), size - 8); }

static void stamp(struct block *b)
{
    static uint64_t seeds;
    b->seed = ++seeds << 32;
    for (size_t i = 0, at = 0; i == 0 || at < b->size - 8; i++) {
        uint64_t word = b->seed + (at = word_at(i, b->size));
        memcpy(b->p + at, &word, sizeof word);
    }
}

/* Is the content there, as far as `size` bytes go? */
static bool is_stamped(const struct block *b, size_t size)
{
    uint64_t word = 0;
    for (size_t at = 0; at + 16 <= size; at += step_of(b->size)) {
        memcpy(&word, b->p + at, sizeof word);
        if (word != b->seed + at)
            return false;
    }
    if (size < b->size)
        return true;
    memcpy(&word, b->p + size - 8, sizeof word);
    return word == b->seed + size - 8;
}

static bool is_zero_there(const void *p, size_t size)
{
    for (size_t at = 0; at < size; at += step_of(size))
        if (!is_zero((const char *)p + at, min_size(size - at, 16)))
            return false;
    return true;
}

static void check_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        CHECK(!block[i].p || is_stamped(&block[i], block[i].size));
}

/* What an allocation returned; errno was ERRNO_KEPT before it. */
static void *outcome(void *p)
{
    int err = errno;
    CHECK(p ? err == ERRNO_KEPT : err == ENOMEM && fault.fired);
    return p;
}

static void give(int i, void *p, size_t size)
{
    block[i] = (struct block){.p = outcome(p), .size = size};
    if (p) {
        CHECK(bigmaac_malloc_usable_size(p) >= size);
        stamp(&block[i]);
    }
}

static void give_malloc(int i, size_t size)
{
    errno = ERRNO_KEPT;
    give(i, bigmaac_malloc(size), size);
}

static void give_calloc(int i, size_t size)
{
    errno = ERRNO_KEPT;
    void *p = bigmaac_calloc(1, size);
    int err = errno;
    CHECK(!p || is_zero_there(p, size));
    errno = err;
    give(i, p, size);
}

static void give_aligned(int i, size_t align, size_t size)
{
    errno = ERRNO_KEPT;
    void *p = bigmaac_memalign(align, size);
    CHECK((uintptr_t)p % align == 0);
    give(i, p, size);
}

static void resize(int i, size_t size)
{
    struct block *b = &block[i];
    if (!b->p)
        return;
    errno = ERRNO_KEPT;
    void *p = outcome(bigmaac_realloc(b->p, size));
    if (!p) {
        CHECK(size > b->size && is_stamped(b, b->size));
        return;
    }
    b->p = p;
    CHECK(is_stamped(b, min_size(size, b->size)));
    b->size = size;
    stamp(b);
}

static void drop(int i)
{
    CHECK(!block[i].p || is_stamped(&block[i], block[i].size));
    errno = ERRNO_KEPT;
    bigmaac_free(block[i].p);
    CHECK(errno == ERRNO_KEPT);
    block[i].p = NULL;
}

static void drop_all(void)
{
    for (int i = 0; i < BLOCKS; i++)
        drop(i);
}

/* --- what the library does ---------------------------------------------------------------------- */

static struct big *big_of(int i)
{
    return block[i].p && bigmaac_kind(block[i].p) == BIGMAAC_KIND_BIGMAAC
               ? big_at(extent_at(&big.space, extent_lookup(&big.space, mem_offset(block[i].p)))->aux)
               : NULL;
}

static void close_file_of(int i)
{
    struct big *r = big_of(i);
    if (r && r->file.fd >= 0)
        close(r->file.fd);
}

static void use_bigmaacs(void)
{
    give_malloc(0, 300 * kib);
    give_calloc(1, 1200 * kib);
    give_aligned(2, 2 * mib, 2500 * kib);
    resize(0, 600 * kib);  /* moves */
    resize(0, 700 * kib);  /* stays */
    resize(2, 3500 * kib); /* stays */
    resize(2, 4200 * kib); /* takes what follows */
    resize(2, 1000 * kib); /* shrinks */
    resize(1, 5000);       /* becomes a fry */
    drop(0);
    give_malloc(0, 690 * kib); /* a warm one */
    drop(0);
    give_calloc(0, 690 * kib);
    give_malloc(3, 2100 * kib);
    close_file_of(3);
    resize(3, 2500 * kib);
    close_file_of(3);
    resize(3, 700 * kib);
    check_all();
}

/* Large enough for calloc to have the file zeroed; hardly touched. */
static void use_huge(void)
{
    for (int i = 0; i < 2; i++) {
        errno = ERRNO_KEPT;
        char *p = outcome(i ? bigmaac_calloc(1, 260 * mib) : bigmaac_malloc(260 * mib));
        if (!p)
            continue;
        for (size_t at = i ? 0 : SIZE_MAX; at < 260 * mib; at += 65 * mib)
            CHECK(is_zero(p + at, 64));
        memset(p + 65 * mib, 1, 100);
        bigmaac_free(p);
    }
}

static void use_fries(void)
{
    static const size_t size[] = {100, 1000, 40000, 150000, 65536, 190000};
    for (int round = 0; round < 3; round++) {
        for (int i = 8; i < 38; i++)
            if (!block[i].p && i % 2)
                give_malloc(i, size[(i + round) % 6]);
            else if (!block[i].p)
                give_calloc(i, size[(i + round) % 6]);
        resize(9, 80000); /* page runs: shrink, then grow */
        resize(9, 190000);
        give_aligned(40, 65536, 130000);
        check_all();
        for (int i = 8; i < 41; i += 1 + (round == 0))
            drop(i);
        fault.ms += 600; /* a purge is due, and what was free at the last one goes back */
    }
}

/* Leaves no descriptor of extents unused: the next one needs memory. */
static unsigned take_descriptors(struct space *s, uint32_t *taken, unsigned n, unsigned most)
{
    while (n < most && (s->extent_unused || (s->extent_count + 2) * sizeof(struct extent) <= s->extents.committed)) {
        taken[n] = extent_describe(s);
        extent_at(s, taken[n++])->state = EXTENT_UNUSED;
    }
    return n;
}

/* Splitting and trimming without memory for descriptors, or for all but one. */
static void use_short_pools(void)
{
    static const size_t first[] = {150000, 190000, 30000, 50000, 300 * 1024, 310 * 1024};
    static const size_t then[] = {80000, 80000, 100, 100, 210 * 1024, 220 * 1024};
    static uint32_t fries[50000], bigs[50000];
    unsigned n = 0, m = 0;
    for (int i = 0; i < 12 && atomic_load(&fry.open); i++) {
        fry_give_back();
        warm_expire(UINT64_MAX);
        n = take_descriptors(&fry.space, fries, n, 50000);
        m = take_descriptors(&big.space, bigs, m, 50000);
        if (i % 2 && n && m) {
            extent_forget(&fry.space, fries[--n]);
            extent_forget(&big.space, bigs[--m]);
        }
        if (i < 6)
            give_malloc(20 + i, first[i]);
        else
            resize(20 + i - 6, then[i - 6]);
    }
    for (int i = 20; i < 26; i++)
        drop(i);
    while (n)
        extent_forget(&fry.space, fries[--n]);
    while (m)
        extent_forget(&big.space, bigs[--m]);
}

static void use_madvise(void)
{
    static const size_t size[] = {500 * 1024, 150 * 1024};
    for (int i = 0; i < 2; i++) {
        give_malloc(42, size[i]);
        if (block[42].p && mem_owns(block[42].p)) {
            CHECK(madvise_own(block[42].p, size[i], MADV_DONTNEED) == 0);
            CHECK(is_zero_there(block[42].p, size[i]));
            stamp(&block[42]);
        }
        drop(42);
    }
}

static void use_advice(void)
{
    static const int advice[] = {BIGMAAC_RANDOM, BIGMAAC_SEQUENTIAL, BIGMAAC_KEEP, BIGMAAC_ADAPTIVE,
                                 BIGMAAC_OPT_OUT, BIGMAAC_KEEP, BIGMAAC_ADAPTIVE};
    give_malloc(43, 400 * kib);
    if (!big_of(43))
        return;
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++) {
        int err = bigmaac_advise(block[43].p, advice[i]);
        CHECK(err == 0 || ((err == ENOMEM || err == EAGAIN) && fault.fired));
        CHECK(is_stamped(&block[43], block[43].size));
    }
    CHECK(madvise_own(block[43].p, block[43].size, MADV_DONTNEED) == 0);
    CHECK(is_zero_there(block[43].p, block[43].size));
    stamp(&block[43]);
    resize(43, 900 * kib);
    drop(43);
}

/* The monitor's work, in the only thread there is. */
static void use_monitor(void)
{
    for (int i = 44; i < 47; i++)
        give_malloc(i, 500 * kib);
    atomic_store(&room.read_ms, 0);
    room_bytes();
    tables_bytes();
    if (pager_open())
        probe();
    memset(fry.policy, POLICY_RANDOM, sizeof fry.policy);
    split_begin();
    large_pages_split();
    memset(fry.policy, POLICY_NORMAL, sizeof fry.policy);
    check_all();
    drop(44);
    fault.ms += 2000;
    mon_tidy();
}

static void check_state(void);

static void change_some(void)
{
    for (int i = 0; i < BLOCKS; i += 2)
        if (block[i].p)
            stamp(&block[i]);
}

/* As the monitor has it come home, and the child of a fork that copies. */
static void all_home(void)
{
    struct coming c = {0};
    home_lock();
    for (size_t moved = 1; moved;) {
        home_look(true, UINT64_MAX);
        moved = home_move(&c);
    }
    home_unlock();
}

static void come_home(void)
{
    all_home();
    check_all();
    change_some();
}

/* Page runs and a slab from pages that were given back: they are zero. */
static void renew_fries(void)
{
    void *run[8];
    for (int i = 53; i < 58; i++)
        drop(i);
    fry_give_back();
    for (int i = 0; i < 8; i++) {
        run[i] = bigmaac_calloc(1, 150000);
        CHECK(run[i] ? is_zero(run[i], 150000) : fault.fired != 0);
    }
    for (int i = 0; i < 8; i++)
        bigmaac_free(run[i]);
    for (int i = 53; i < 58; i++)
        give_malloc(i, i == 53 ? 60000 : 150000);
}

static void in_child(void)
{
    alarm(600);
    check_all();
    for (int i = 0; i < BLOCKS; i++)
        if (block[i].p)
            stamp(&block[i]);
    give_malloc(60, 300 * kib);
    give_malloc(61, 1000);
    come_home();
    all_home();
    check_all();
    resize(50, 900 * kib);
    drop_all();
    check_state();
    _exit(checks_failed != 0);
}

static void fork_once(void)
{
    pid_t pid = fork();
    int status = 0;
    if (pid == 0)
        in_child();
    change_some();
    waitpid(pid, &status, 0);
    bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 127 && strstr(fault.shared->last, "no memory to isolate");
    CHECK(status == 0 || (ended && fault.fired) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(fault.shared->last, gave_up)));
    check_all();
}

static void use_fork(void)
{
    for (int i = 48; i < 56; i++)
        give_malloc(i, (size_t[]){300 * kib, 2200 * kib, 700 * kib, 100, 3000, 60000, 150000, 190000}[i - 48]);
    give_malloc(60, 500 * kib);
    drop(60); /* warm: it stays with the parent */
    fork_once();
    change_some();
    come_home();
    renew_fries();
    fork_once(); /* what came home is frozen in a second file */
    drop(54);
    drop(55);
    fork_once(); /* what is free is frozen too */
    give_malloc(54, 190000);
    give_malloc(55, 150000);
    come_home();
    renew_fries();
    if (fry.file.fd >= 0)
        close(fry.file.fd);
    close_file_of(48);
    fork_prepare(); /* a fork that fails */
    fork_parent();
    resize(48, 600 * kib);
    give_calloc(59, 190000);
    check_all();
}

/* --- what must be right at the end -------------------------------------------------------------- */

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n - 3; /* "." and "..", and d's own */
}

/* Files of this run that have a name; they are deleted now. Where that failed for good, empty ones
 * stay, which don't count. */
static unsigned named_files(void)
{
    unsigned n = 0;
    DIR *d = opendir(folder_path);
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0 || fstatat(dirfd(d), e->d_name, &st, 0) != 0)
            continue;
        n += st.st_size != 0 || !(fault.call == CALL_UNLINK && fault.sticky);
        unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    return n;
}

/* Bytes on disk of the files that the reservation maps. The fries' own file doesn't count, nor does
 * one of theirs that a small free part keeps; what a fork has frozen can't be emptied. */
static size_t disk_bytes_mapped(void)
{
    char line[512], path[100], sharing;
    size_t bytes = 0, from, to;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        struct stat st;
        if (sscanf(line, "%zx-%zx rw-%c", &from, &to, &sharing) != 3 || !mem_owns((void *)from))
            continue;
        snprintf(path, sizeof path, "/proc/self/map_files/%zx-%zx", from, to);
        bool small = mem_offset((void *)from) < mem.fry_end && (to - from < huge_size || fault.sticky);
        bool kept_frozen = fault.call == CALL_MMAP_ANON && fault.fired && sharing == 'p';
        if (small || kept_frozen || stat(path, &st) != 0 ||
            (st.st_dev == fry.file.dev && st.st_ino == fry.file.ino))
            continue;
        bytes += (size_t)st.st_blocks * 512;
    }
    fclose(maps);
    return bytes;
}

/* Accounts against what is there; everything was freed. */
static void check_state(void)
{
    if (!atomic_load(&fry.open))
        return;
    if (heap_self)
        heap_leave(heap_self);
    const char *wrong = extent_check(&big.space) ? extent_check(&big.space) : extent_check(&fry.space);
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    CHECK(!wrong);
    size_t runs = 0, slabs = 0, dirty = 0, records = 0;
    for (uint32_t i = 1; i <= fry.space.extent_count; i++) {
        const struct extent *x = extent_at(&fry.space, i);
        if (x->state == EXTENT_LIVE)
            *(x->flags & flag_slab ? &slabs : &runs) += to_bytes(x->pages);
        dirty += x->state == EXTENT_FREE && x->kind == KIND_DIRTY ? x->pages : 0;
        CHECK(x->state != EXTENT_BUSY);
    }
    for (uint32_t i = 1; i <= big.record_count; i++)
        records += big_at(i)->in_use;
    CHECK(!runs && !slabs && !fry.run_bytes && !fry.slab_bytes && dirty == fry.dirty_pages);
    CHECK(records == big.records_in_use && count.bigmaac_bytes == 0);
}

/* Everything was freed: what is left is known. */
static void check_empty(unsigned descriptors)
{
    unsigned ours = fry.file.fd >= 0;
    check_state();
    warm_expire(UINT64_MAX);
    fry_give_back();
    check_state();
    CHECK(big.live_bytes == 0 && big.warm_bytes == 0 && big.records_in_use == 0 && fry.dirty_pages == 0);
    CHECK(folder.files == ours && folder.bytes == fry.backed_bytes);
    CHECK(disk_bytes_mapped() == 0 || (fault.call == CALL_MMAP_ANON && fault.sticky));
    CHECK(named_files() == 0);
    for (struct kept *k = kept; k < kept + KEPT_MAX && k->path[0]; k++)
        ours += file_valid(&k->file);
    ours += file_valid(&stop.tasks) + file_valid(&beyond.spare);
    ours += folder.dir > 0;
    /* A descriptor that can't be looked at may be the program's by now: it is left alone. */
    unsigned left = open_descriptors() - descriptors - ours;
    CHECK(fault.call == CALL_STAT || fault.call == CALL_LSEEK ? left <= fault.fired : left == 0);
}

/* After the fault everything is as it should be, unless the start itself failed. */
static void check_works(void)
{
    bool off = cfg.off || mem.failed;
    CHECK(!off || fault.call == CALL_ACCESS || fault.call == CALL_KEY ||
          ((fault.call == CALL_MMAP_ANON || fault.call == CALL_MPROTECT) && fault.sticky));
    for (int i = 0; i < 2; i++) {
        give_calloc(0, 600 * kib);
        give_malloc(1, 3000);
        CHECK(off || bigmaac_kind(block[0].p) == BIGMAAC_KIND_BIGMAAC);
        CHECK(off || (fault.call == CALL_KEY && fault.sticky) || bigmaac_kind(block[1].p) == BIGMAAC_KIND_FRY);
        drop_all();
        fault.ms += 60000;
        warm_expire(UINT64_MAX);
    }
    give_malloc(0, 600 * kib);
    drop(0); /* warm */
    CHECK(off || !big.warm_bytes || atomic_load(&mon.running));
    char cgroup[sizeof room.cgroup];
    mon_self = false;
    fault.ms += 60000;
    room_bytes(); /* where it could not be found, the next thread of the program finds it */
    snprintf(cgroup, sizeof cgroup, "%s", room.cgroup);
    room_find_cgroup();
    CHECK(off || fault.call == CALL_ACCESS || strcmp(cgroup, room.cgroup) == 0);
}

/* --- runs --------------------------------------------------------------------------------------- */

static struct fault_shared *shared_memory(void)
{
    return mmap(NULL, sizeof(struct fault_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void run(void)
{
    unsigned descriptors = open_descriptors();
    snprintf(prefix, sizeof prefix, "fault%d.", (int)getpid());
    if (!fault.shared)
        fault.shared = shared_memory();
    cfg.off = false;
    atomic_store(&init.state, INIT_NONE);
    fault.armed = true;
    fault.ms = 1000000;
    init_run();
    folder.told_memory = true;
    folder.no_tmpfile = folder.no_fallocate = setup->plain;
    use_bigmaacs();
    folder.no_copy_on_write = setup->margin;
    use_fries();
    use_short_pools();
    use_madvise();
    use_advice();
    if (setup == setups)
        use_huge();
    drop_all();
    warm_expire(UINT64_MAX); /* some have no descriptor any more: such blocks are not copied */
    use_fork();
    use_monitor();
    drop_all();
    fault.at = 0;
    check_empty(descriptors);
    check_works();
    CHECK(fault.messages <= 2 || fault.sticky); /* what failed, and what that means */
}

static void describe(const char *result)
{
    fprintf(stderr, "%s: setup %s, %s number %u, errno %d%s: unit_fault %d %d %u %d %d\n", result, setup->name,
            calls[fault.call].name, fault.at, fault.err, fault.sticky ? ", and all later ones" : "",
            (int)(setup - setups), fault.call, fault.at, fault.err, fault.sticky);
}

/* The run that `fault` and `setup` describe, in this process. */
static int run_here(void)
{
    unsigned at = fault.at;
    alarm(600);
    run();
    fault.at = at;
    if (checks_failed) {
        describe("failed");
        fprintf(stderr, "%s", fault.said);
    }
    return checks_failed != 0;
}

static struct { pid_t pid; struct fault fault; const struct setup *setup; } running[AT_ONCE];
static unsigned runs, failures;

static void wait_for_one(void)
{
    int status;
    pid_t pid = wait(&status);
    for (int i = 0; i < AT_ONCE; i++) {
        if (running[i].pid != pid || pid <= 0)
            continue;
        running[i].pid = 0;
        struct fault now = fault;
        const struct setup *setup_now = setup;
        fault = running[i].fault;
        setup = running[i].setup;
        if (WIFSIGNALED(status))
            describe(strsignal(WTERMSIG(status)));
        failures += status != 0;
        fault = now;
        setup = setup_now;
    }
}

static void run_there(enum call call, unsigned at, int err, bool sticky)
{
    int slot = 0;
    if (running[0].pid && running[1].pid)
        wait_for_one();
    slot = running[0].pid != 0;
    fault = (struct fault){.call = call, .at = at, .err = err, .sticky = sticky};
    running[slot].fault = fault;
    running[slot].setup = setup;
    runs++;
    if ((running[slot].pid = fork()) == 0)
        exit(run_here());
}

#ifdef __SANITIZE_ADDRESS__
enum { SPARSE = 24 };
#else
enum { SPARSE = 12 };
#endif

/* Thorough: one errno at every point of every call, each at every third, and one for good at every fifth (no call has
 * five errnos: so all of them) or at every point (2); in the other setups at fewer points. Else some points, a few at least of each call. */
static void run_all(const unsigned *most, int thorough)
{
    static const unsigned each_else[] = {0, 6, 4}, lasting_first[] = {0, 5, 1}, lasting_else[] = {0, 10, 8};
    bool first = setup == setups;
    for (enum call c = 0; c < CALL_COUNT; c++) {
        unsigned errors = 0, shift = (unsigned)(setup - setups);
        unsigned each = thorough ? (first ? 1 : each_else[thorough]) : min_size(first ? SPARSE : 4 * SPARSE, most[c] / (first ? 3 : 1) + 1);
        unsigned lasting = thorough ? (first ? lasting_first[thorough] : lasting_else[thorough]) : most[c] / 2 + 1;
        while (errors < 8 && calls[c].errors[errors])
            errors++;
        for (unsigned at = 1; at <= most[c]; at++) {
            unsigned some = at / each % errors;
            for (unsigned e = 0; e < errors; e++)
                if ((thorough && first && at % 3 == 0) || (e == some && (at + shift) % each == 0))
                    run_there(c, at, calls[c].errors[e], false);
            if ((at + shift) % lasting == 0 && calls[c].errors[some] != EINTR)
                run_there(c, at, calls[c].errors[some], true);
        }
    }
    while (running[0].pid || running[1].pid)
        wait_for_one();
}

/* In memory where there is plenty: the disk makes it slow, and may be full by other tests' doing. */
static void find_folder(void)
{
    struct statfs fs;
    const char *tmp = getenv("TMP");
    if (statfs("/dev/shm", &fs) == 0 && (size_t)fs.f_bavail * (size_t)fs.f_bsize > gib)
        tmp = "/dev/shm";
    snprintf(folder_path, sizeof folder_path, "%s", tmp ? tmp : "/var/tmp");
}

int main(int argc, char **argv)
{
#ifdef __SANITIZE_THREAD__
    puts("one thread: nothing for TSan to see");
    return 0;
#endif
    int thorough = argc < 2 ? 0 : strcmp(argv[1], "most") == 0 ? 1 : 2 * (strcmp(argv[1], "all") == 0);
    find_folder();
    if (argc == 6) {
        setup = &setups[atoi(argv[1]) % SETUPS];
        fault = (struct fault){.call = (enum call)atoi(argv[2]), .at = (unsigned)atoi(argv[3]),
                               .err = atoi(argv[4]), .sticky = atoi(argv[5])};
        return run_here();
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; i < SETUPS; i++) {
        if (argc == 3 && i != atoi(argv[2]))
            continue;
        struct fault_shared *shared = shared_memory();
        setup = &setups[i];
        fault = (struct fault){.shared = shared};
        if (fork() == 0) {
            exit(run_here());
        }
        int status;
        wait(&status);
        failures += status != 0;
        for (int c = 0; c < CALL_COUNT; c++)
            printf("%s%s %u", c ? ", " : "", calls[c].name, shared->most[c]);
        puts("");
        run_all(shared->most, thorough);
    }
    printf("%u runs, %u failed\n", runs, failures);
    return failures != 0;
}
