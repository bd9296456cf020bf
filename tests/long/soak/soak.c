/* soak.c - random programs for as long as one likes: memory of every size, malloc'ed and mapped, from several threads,
 * with forks, short threads, signals, resource limits that change, while a controller stops and continues the process,
 * changes its memory limit, fills the swap folder and takes it away. Every content is checked against what was written;
 * at the end leaks of memory, disk, descriptors, mappings and threads must be zero.
 *
 *     soak SEED SECONDS FOLDER GROUP LIMIT_MIB     the controller; LD_PRELOAD for the worker is in SOAK_PRELOAD
 *
 * FOLDER/swap is where swap files are; GROUP is a cgroup v1 memory group or "-". The seed chooses what each thread and
 * the controller do, in the same order again; what falls together in time is not repeated. soak.sh beside it runs it. */
#define _GNU_SOURCE
#include "bigmaac.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAX = 4, SMALL = 1024, LARGE = 24, MAIL = 32,
    CHUNK = 1 << 20, CHUNKS = 24,                  /* a block is at most CHUNKS large; each chunk has contents of its own */
    DENSE = 64 << 10,                              /* up to this size every word is checked, above one in STRIDE bytes */
    STRIDE = 1024, PAGE = 4096,
    ORDINARY_MAX = 16 << 20,                       /* bytes of larger blocks that the next malloc may serve at a time */
    HANG_SECONDS = 90,
    LIBC_OWN = 4096,                               /* bytes that libc keeps for stacks of ended threads */
    FRY_MAPPINGS = 256,                            /* of slabs that stay for these, and of free fries, which have no blocks */
    SPARE_BYTES = 16 << 20,                        /* of the empty slabs that a thread keeps, one of each size class */
    ANONYMOUS_KIB = 40 << 10,                      /* of libc's arenas and the library's tables */
    FDS_MAX = 20000,                               /* descriptors that are looked at */
    KEPT_MAX = 24,                                 /* files of the kernel's that the library keeps open */
};

struct block {
    unsigned char *p;
    size_t size;
    uint64_t seed[CHUNKS];
    bool ordinary;                                 /* large, but not the library's: counted in `ordinary` */
    bool mapped;                                   /* by mmap */
};

static struct worker {
    pthread_t thread;
    uint64_t state;                                /* of its dice */
    unsigned number;
    size_t live;                                   /* bytes in its large blocks */
    struct block small[SMALL], large[LARGE];
    uint64_t *log;                                 /* what its signal handler writes to: swapped memory */
    volatile uint64_t signals;
} worker[THREADS_MAX];

static struct { atomic_flag busy; struct block block; } mail[MAIL];
static struct progress { _Atomic uint64_t steps, forks, threads, refused, signals, waits; } *progress;
static uint64_t seed;
static unsigned threads;
static size_t budget;                              /* bytes of large blocks for each thread */
static pthread_mutex_t no_fork = PTHREAD_MUTEX_INITIALIZER;
static _Atomic size_t ordinary;
static atomic_bool ended;
static bool maps_are_swapped;
static __thread struct worker *self;

static uint64_t mixed(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t dice(uint64_t *state) { return mixed(*state += 0x9e3779b97f4a7c15u); }

static _Noreturn void die(const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text - 80, format, list);
    va_end(list);
    n += snprintf(text + n, 80, " (errno %d, thread %d, seed %llu)\n", errno, self ? (int)self->number : -1, (unsigned long long)seed);
    write(2, text, (size_t)n);
    abort();
}

/* --- contents ------------------------------------------------------------------------------------------------------- */

static size_t step_of(const struct block *b) { return b->size <= DENSE ? 8 : STRIDE; }

static void stamp_chunk(struct block *b, size_t chunk, uint64_t of)
{
    size_t end = (chunk + 1) * CHUNK < b->size ? (chunk + 1) * CHUNK : b->size;
    b->seed[chunk] = of;
    for (size_t at = chunk * CHUNK; at < end; at += step_of(b)) {
        uint64_t word = mixed(of + at);
        memcpy(b->p + at, &word, end - at < 8 ? end - at : 8);
    }
}

static void stamp(struct block *b, uint64_t of)
{
    for (size_t chunk = 0; chunk * CHUNK < b->size; chunk++)
        stamp_chunk(b, chunk, of + chunk);
}

static void verify_chunk(const struct block *b, size_t chunk, size_t kept, const char *when)
{
    size_t end = (chunk + 1) * CHUNK < kept ? (chunk + 1) * CHUNK : kept;
    for (size_t at = chunk * CHUNK; at < end; at += step_of(b)) {
        uint64_t word = mixed(b->seed[chunk] + at), there = 0;
        size_t bytes = end - at < 8 ? end - at : 8;
        memcpy(&there, b->p + at, bytes);
        if (memcmp(&there, &word, bytes) != 0)
            die("%s: block %p of %zu: at %zu there is %llx, not %llx", when, (void *)b->p, b->size, at,
                (unsigned long long)there, (unsigned long long)word);
    }
}

static void verify(const struct block *b, size_t kept, const char *when)
{
    for (size_t chunk = 0; chunk * CHUNK < kept; chunk++)
        verify_chunk(b, chunk, kept, when);
}

/* --- memory --------------------------------------------------------------------------------------------------------- */

static void count_ordinary(struct block *b)
{
    b->ordinary = b->size > PAGE && !(b->mapped && maps_are_swapped) && bigmaac_try_kind(b->p) == BIGMAAC_KIND_NONE;
    if (b->ordinary)
        ordinary += b->size;
}

static void forget(struct worker *w, struct block *b)
{
    if (b->ordinary)
        ordinary -= b->size;
    if (b->size > DENSE)
        w->live -= b->size;
    errno = 7777;
    if (b->mapped)
        munmap(b->p, b->size);
    else
        free(b->p);
    if (errno != 7777)
        die("free changed errno");
    b->p = NULL;
}

static void release(struct worker *w, struct block *b, const char *when)
{
    verify(b, b->size, when);
    forget(w, b);
}

static void settle(struct worker *w, struct block *b, uint64_t of)
{
    if (b->size > DENSE)
        w->live += b->size;
    count_ordinary(b);
    if (b->ordinary && ordinary > ORDINARY_MAX)
        forget(w, b);
    else
        stamp(b, of);
}

static void take(struct worker *w, struct block *b, size_t size, uint64_t r)
{
    size_t align = (size_t)16 << (r >> 8) % 10;
    unsigned how = r % 16;
    void *p = NULL;
    b->size = size;
    b->mapped = size > DENSE && how > 12;
    switch (how) {
    case 0: p = memalign(align, size); break;
    case 1: if (posix_memalign(&p, align, size)) p = NULL; break;
    case 2: case 3: case 4: p = calloc(1, size); break;
    case 5: p = reallocarray(NULL, 1, size); break;
    default: p = b->mapped ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : malloc(size);
    }
    p = p == MAP_FAILED ? NULL : p;
    b->p = p;
    if (!p) {
        progress->refused++;
        return;
    }
    if (how < 2 && (uintptr_t)p % align)
        die("%p is not aligned to %zu", p, align);
    for (size_t at = 0; how >= 2 && how <= 4 && at < size; at += size <= DENSE ? 1 : 256)
        if (b->p[at])
            die("calloc(%zu) is not zero at %zu", size, at);
    settle(w, b, r);
}

static void resize(struct worker *w, struct block *b, size_t size, uint64_t r)
{
    if (b->ordinary)
        ordinary -= b->size;
    if (b->size > DENSE)
        w->live -= b->size;
    unsigned char *p = b->mapped ? mremap(b->p, b->size, size, MREMAP_MAYMOVE) : realloc(b->p, size);
    if (!p || p == MAP_FAILED) {
        progress->refused++;
        verify(b, b->size, "after a refused realloc");
        settle(w, b, r);
        return;
    }
    b->p = p;
    verify(b, size < b->size ? size : b->size, "after realloc");
    b->size = size;
    settle(w, b, r);
}

static size_t small_size(uint64_t r) { return r % 32 ? 1 + (r >> 8) % 1500 : 1 + (r >> 8) % DENSE; }

static size_t large_size(uint64_t r)
{
    size_t top = (size_t)DENSE << (1 + r % 9); /* 128 KiB to 32 MiB */
    size_t size = DENSE + 1 + (r >> 8) % top;
    return size < CHUNKS * (size_t)CHUNK ? size : CHUNKS * (size_t)CHUNK;
}

static const int limits[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_DATA};

static void raise_limits(void)
{
    for (unsigned i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct rlimit l;
        getrlimit(limits[i], &l);
        l.rlim_cur = l.rlim_max;
        setrlimit(limits[i], &l);
    }
}

/* What programs do with a part of a block: advice, protection. */
static void decorate(struct block *b, uint64_t r)
{
    size_t chunk = (r >> 8) % ((b->size + CHUNK - 1) / CHUNK), end = chunk * CHUNK + CHUNK < b->size ? chunk * CHUNK + CHUNK : b->size;
    unsigned char *from = (unsigned char *)(((uintptr_t)b->p + chunk * CHUNK + PAGE - 1) & -(uintptr_t)PAGE);
    unsigned char *to = (unsigned char *)((uintptr_t)(b->p + end) & -(uintptr_t)PAGE);
    if (to <= from)
        return;
    verify_chunk(b, chunk, b->size, "before advice");
    switch (r % 4) {
    case 0:
        if ((b->mapped || bigmaac_try_kind(b->p) != BIGMAAC_KIND_NONE) && madvise(from, (size_t)(to - from), MADV_DONTNEED) == 0)
            for (unsigned char *at = from; at < to; at += 64)
                if (*at)
                    die("after MADV_DONTNEED %p is not zero", (void *)at);
        break;
    case 1:
        if (mprotect(from, (size_t)(to - from), PROT_READ) == 0) {
            sched_yield();
            verify_chunk(b, chunk, b->size, "read-only");
            while (mprotect(from, (size_t)(to - from), PROT_READ | PROT_WRITE)) {
                if (errno != ENOMEM)
                    die("mprotect back");
                raise_limits(); /* RLIMIT_DATA counts what is private and may be written */
            }
        }
        break;
    case 2: madvise(from, (size_t)(to - from), MADV_WILLNEED); break;
    case 3:
        if (bigmaac_try_kind(b->p) == BIGMAAC_KIND_BIGMAAC)
            bigmaac_try_advise(b->p, (int)((r >> 40) % 3));
    }
    stamp_chunk(b, chunk, r);
}

static void change_hands(struct worker *w, struct block *b, unsigned m)
{
    if (atomic_flag_test_and_set_explicit(&mail[m].busy, memory_order_acquire))
        return;
    struct block other = mail[m].block;
    mail[m].block = *b;
    *b = other;
    atomic_flag_clear_explicit(&mail[m].busy, memory_order_release);
    (void)w;
}

static void touch_memory(struct worker *w)
{
    uint64_t r = dice(&w->state), detail = dice(&w->state);
    bool large = r % 40 == 0;
    struct block *b = large ? &w->large[(r >> 8) % LARGE] : &w->small[(r >> 8) % SMALL];
    unsigned how = (r >> 32) % 20;
    size_t size = large ? large_size(detail) : small_size(detail);
    if (!b->p) {
        if (!large || w->live + size <= budget)
            take(w, b, size, detail);
        return;
    }
    size_t chunk = (detail >> 16) % ((b->size + CHUNK - 1) / CHUNK);
    if (how < 7)
        release(w, b, "before free");
    else if (how < 10 && (!large || w->live + size <= budget))
        resize(w, b, size, detail);
    else if (how < 12 && !large && b->size <= DENSE)
        change_hands(w, b, detail % MAIL);
    else if (how < 14 && large)
        decorate(b, detail);
    else if (how < 16 && !b->mapped && malloc_usable_size(b->p) < b->size)
        die("malloc_usable_size(%p) is below %zu", (void *)b->p, b->size);
    else if (how < 18)
        verify_chunk(b, chunk, b->size, "at a look");
    else
        stamp_chunk(b, chunk, detail);
}

/* --- what else a program does --------------------------------------------------------------------------------------- */

static void verify_all(struct worker *w, const char *when)
{
    for (unsigned i = 0; i < SMALL; i++)
        if (w->small[i].p)
            verify(&w->small[i], w->small[i].size, when);
    for (unsigned i = 0; i < LARGE; i++)
        if (w->large[i].p)
            verify(&w->large[i], w->large[i].size, when);
}

/* After _Fork libc's locks may be taken for ever: such a child allocates nothing. */
static void look_and_write(struct worker *w, uint64_t r)
{
    verify_all(w, "in a child of _Fork");
    for (unsigned i = 0; i < LARGE; i++)
        if (w->large[i].p)
            stamp_chunk(&w->large[i], 0, r);
    for (unsigned i = 0; i < SMALL; i++)
        if (w->small[i].p)
            stamp(&w->small[i], r);
    verify_all(w, "in a child of _Fork");
}

/* The child finds everything of the thread that forked, changes some, works on; nothing of that is in the parent. */
static void be_child(struct worker *w, uint64_t r)
{
    alarm(HANG_SECONDS);
    raise_limits();
    if (r % 5 == 0)
        verify_all(w, "in a child");
    for (unsigned i = 0; i < (r >> 8) % 600; i++)
        touch_memory(w);
    if (r % 17)
        return;
    pid_t pid = fork();
    int status = 0;
    for (unsigned i = 0; i < 100; i++)
        touch_memory(w);
    if (pid == 0)
        _exit(0);
    if (pid > 0 && (waitpid(pid, &status, 0) != pid || status))
        die("a grandchild: status %x", status);
}

static void fork_and_check(struct worker *w, uint64_t r)
{
    pthread_mutex_lock(&no_fork);
    pid_t pid = r % 3 ? fork() : _Fork();
    if (pid == 0) {
        if (r % 3)
            be_child(w, r);
        else
            look_and_write(w, r);
        _exit(0);
    }
    pthread_mutex_unlock(&no_fork);
    if (pid < 0) {
        progress->refused++;
        return;
    }
    for (unsigned i = 0; i < (r >> 16) % 300; i++)
        touch_memory(w);
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
    if (status)
        die("a child: status %x", status);
    if (r % 7 == 0)
        verify_all(w, "after a fork");
    progress->forks++;
}

static void spawn_true(void)
{
    char *arguments[] = {"/bin/true", NULL}, *nothing[] = {NULL};
    pid_t pid;
    int status;
    if (posix_spawn(&pid, arguments[0], NULL, NULL, arguments, nothing))
        return;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid");
}

struct errand { uint64_t r; struct block *block; struct worker *of; };

static void *short_life(void *argument)
{
    struct errand *e = argument;
    struct worker *w = e->of;
    self = w;
    if (!e->block->p)
        take(w, e->block, large_size(e->r) % (1 << 20) + 1, e->r);
    void *own[16];
    for (unsigned i = 0; i < 16; i++)
        own[i] = malloc(1 + (e->r >> i) % 3000);
    for (unsigned i = 0; i < 16; i++)
        free(own[i]);
    return NULL;
}

static void run_errand(struct worker *w, uint64_t r)
{
    struct errand e = {r, &w->large[r % LARGE], w};
    pthread_t thread;
    if (pthread_create(&thread, NULL, short_life, &e)) {
        progress->refused++;
        return;
    }
    pthread_join(thread, NULL);
    progress->threads++;
}

/* Waits of the program's end when it says, while its own signal is blocked: nobody else's may be seen. */
static void wait_a_moment(uint64_t r)
{
    sigset_t usr1, old;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, &old);
    struct timespec moment = {0, (long)(r % 5000000)}, until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += moment.tv_nsec;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    int result = 0;
    errno = 0;
    sem_t semaphore;
    switch (r >> 32 & 3) {
    case 0: result = nanosleep(&moment, NULL); break;
    case 1: result = poll(NULL, 0, (int)(r % 5)); break;
    case 2: result = clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL); errno = result; break;
    case 3:
        sem_init(&semaphore, 0, 0);
        result = sem_timedwait(&semaphore, &until);
        if (errno == ETIMEDOUT)
            result = 0;
    }
    if (result)
        die("a wait (%d) ended early", (int)(r >> 32 & 3));
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    progress->waits++;
}

static void on_signal(int number)
{
    int kept = errno;
    (void)number;
    if (self && self->log) {
        uint64_t n = self->signals++;
        if (n && self->log[(n - 1) * 509 % (PAGE * 64)] != n)
            die("the handler's memory differs");
        self->log[n * 509 % (PAGE * 64)] = n + 1;
    }
    progress->signals++;
    errno = kept;
}

static void change_limits(struct worker *w, uint64_t r)
{
    static const rlim_t lows[] = {24, 1 << 20, 64 << 20};
    struct rlimit low;
    getrlimit(limits[r % 3], &low);
    low.rlim_cur = r % 2 ? lows[r % 3] : 0;
    pthread_mutex_lock(&no_fork); /* without a descriptor the library can't see what mprotect has set: a fork would fail */
    setrlimit(limits[r % 3], &low);
    for (unsigned i = 0; i < 400; i++)
        touch_memory(w);
    raise_limits();
    pthread_mutex_unlock(&no_fork);
}

static void *life(void *argument)
{
    struct worker *w = argument;
    self = w;
    while (!ended) {
        uint64_t r = dice(&w->state);
        unsigned rare = (r >> 32) % 6000;
        if (rare < 6)
            fork_and_check(w, r & 0xffffffff);
        else if (rare < 12)
            run_errand(w, r & 0xffffffff);
        else if (rare < 24)
            wait_a_moment(mixed(r));
        else if (rare < 26 && w == worker)
            change_limits(w, r);
        else if (rare < 28)
            spawn_true();
        else if (rare < 60 && worker[r % threads].log)
            pthread_kill(worker[r % threads].thread, SIGUSR1);
        else
            touch_memory(w);
        progress->steps++;
    }
    return NULL;
}

/* --- the end: nothing may be left ----------------------------------------------------------------------------------- */

struct left { unsigned descriptors, swap, mappings, threads; unsigned long long disk, anonymous_kib; };

/* Reads all of a file of /proc; without malloc, which would change what is looked at. */
static char *text_of(const char *path)
{
    static char text[4 << 20];
    size_t used = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t n = 1; n > 0 && used < sizeof text - 1; used += n > 0 ? (size_t)n : 0)
        n = read(fd, text + used, sizeof text - 1 - used);
    close(fd);
    text[used] = 0;
    return text;
}

/* What the process has now, and what of that is in the swap folder. */
static struct left look(const char *swap)
{
    struct left left = {0};
    for (int fd = 0; fd < FDS_MAX; fd++) {
        char path[64], to[1024];
        struct stat s;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, to, sizeof to - 1);
        to[n > 0 ? n : 0] = 0;
        left.descriptors += n > 0;
        if (strstr(to, swap) && fstat(fd, &s) == 0)
            left.swap++, left.disk += (unsigned long long)s.st_blocks * 512;
    }
    for (const char *at = text_of("/proc/self/maps"); (at = strstr(at, swap)); at++)
        left.mappings++;
    const char *status = text_of("/proc/self/status");
    left.threads = (unsigned)strtoul(strstr(status, "Threads:") + 8, NULL, 10);
    left.anonymous_kib = strtoul(strstr(status, "RssAnon:") + 8, NULL, 10);
    return left;
}

static void free_everything(void)
{
    for (unsigned t = 0; t < threads; t++) {
        for (unsigned i = 0; i < SMALL; i++)
            if (worker[t].small[i].p)
                release(&worker[t], &worker[t].small[i], "at the end");
        for (unsigned i = 0; i < LARGE; i++)
            if (worker[t].large[i].p)
                release(&worker[t], &worker[t].large[i], "at the end");
        free(worker[t].log);
    }
    for (unsigned i = 0; i < MAIL; i++)
        if (mail[i].block.p)
            release(worker, &mail[i].block, "at the end, in the mail");
}

/* Warm blocks and fries go by themselves, the library's threads after them: it may take seconds on a loaded machine. */
static void check_leaks(const char *swap, unsigned descriptors_first)
{
    struct bigmaac_stats s = {.size = sizeof s};
    char told[512] = "";
    for (unsigned i = 0; i < 150; i++) {
        malloc_trim(0);
        bigmaac_try_stats(&s);
        struct left left = look(swap);
        snprintf(told, sizeof told, "live %llu+%llu warm %llu moved %llu files %llu; descriptors %u first %u swap %u; mappings %u; "
                 "disk %llu; threads %u; anonymous %llu KiB", (unsigned long long)s.bigmaac_bytes, (unsigned long long)s.fry_bytes,
                 (unsigned long long)s.warm_bytes, (unsigned long long)s.map_moved, (unsigned long long)s.files, left.descriptors,
                 descriptors_first, left.swap, left.mappings, left.disk, left.threads, left.anonymous_kib);
        bool moved = s.map_moved != 0; /* of libc's arenas and stacks */
        if (!s.bigmaac_bytes && s.fry_bytes <= LIBC_OWN && !s.warm_bytes && left.swap <= 2u + maps_are_swapped && /* its file stays open */
            left.mappings <= (s.files || moved || s.fry_bytes ? FRY_MAPPINGS : 2) && left.disk <= SPARE_BYTES + s.map_moved &&
            left.descriptors <= descriptors_first + left.swap + KEPT_MAX && left.threads == 1 &&
            left.anonymous_kib + (s.map_moved >> 10) < ANONYMOUS_KIB) {
            printf("    left at the end: %s\n", told);
            return;
        }
        usleep(200000);
    }
    die("left behind: %s", told);
}

static int work(unsigned seconds, const char *folder, size_t limit_mib)
{
    mallopt(M_MMAP_THRESHOLD, 128 << 10); /* else libc's arenas keep the more the larger blocks were */
    char swap[512];
    snprintf(swap, sizeof swap, "%s/swap", folder);
    unsigned descriptors_first = look(swap).descriptors;
    threads = 2 + seed % (THREADS_MAX - 1);
    budget = limit_mib * (2 << 20) / threads;
    const char *maps = getenv("BIGMAAC_MIN_MMAP_SIZE");
    maps_are_swapped = maps && maps[0] != '0';
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGXFSZ, SIG_DFL);
    for (unsigned t = 0; t < threads; t++) {
        worker[t].state = mixed(seed * THREADS_MAX + t);
        worker[t].number = t;
        worker[t].log = malloc(PAGE * 64 * 8);
        worker[t].thread = pthread_self();
    }
    for (unsigned t = 0; t < threads; t++)
        if (pthread_create(&worker[t].thread, NULL, life, &worker[t]))
            die("pthread_create");
    for (time_t end = time(NULL) + seconds; time(NULL) < end;)
        usleep(100000);
    ended = true;
    for (unsigned t = 0; t < threads; t++)
        pthread_join(worker[t].thread, NULL);
    free_everything();
    check_leaks(swap, descriptors_first);
    return 0;
}

/* --- the controller ------------------------------------------------------------------------------------------------- */

static void put(const char *folder, const char *file, long long number)
{
    char path[512], text[32];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        write(fd, text, (size_t)snprintf(text, sizeof text, "%lld", number));
        close(fd);
    }
}

static void fill_disk(const char *folder, useconds_t moment)
{
    char path[512];
    snprintf(path, sizeof path, "%s/filler", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    off_t at = 0;
    for (off_t piece = 64 << 20; piece >= 4096; piece /= 2)
        while (fallocate(fd, 0, at, piece) == 0)
            at += piece;
    usleep(moment);
    close(fd);
    unlink(path);
}

static char deeds[16][64]; /* the last ones, for the message */
static unsigned deed;

static void disturb(pid_t pid, uint64_t r, const char *folder, const char *group, size_t limit_mib)
{
    static const char *const names[] = {"stop", "limit", "limit", "fill", "away"};
    snprintf(deeds[deed++ % 16], sizeof deeds[0], "%s %llu at %ld", names[r % 5], (unsigned long long)(r >> 8) % 300000, (long)time(NULL) % 1000);
    char here[512], away[520];
    snprintf(here, sizeof here, "%s/swap", folder);
    snprintf(away, sizeof away, "%s/away", folder);
    switch (r % 5) {
    case 0:
        kill(pid, SIGSTOP);
        usleep((useconds_t)(r >> 8) % 300000);
        kill(pid, SIGCONT);
        break;
    case 1:
    case 2:
        if (group[0] == '/')
            put(group, "memory.limit_in_bytes", (long long)(limit_mib << 20) / 4 * (3 + (int)((r >> 8) % 3)));
        break;
    case 3: fill_disk(folder, (useconds_t)(r >> 8) % 500000); break;
    case 4:
        rename(here, away);
        usleep((useconds_t)(r >> 8) % 300000);
        rename(away, here);
    }
}

/* Where each thread hangs, for the log. */
static void show_threads(pid_t pid)
{
    char command[512];
    snprintf(command, sizeof command, "for t in /proc/%d/task/*; do echo $t $(cat $t/comm $t/wchan $t/syscall); done >&2; "
             "command -v gdb >/dev/null && gdb -p %d -batch -ex 'thread apply all bt' 2>/dev/null >&2", (int)pid, (int)pid);
    system(command);
}

static int control(char **argv, unsigned seconds, size_t limit_mib)
{
    const char *folder = argv[3], *group = argv[4];
    uint64_t state = mixed(seed + 1), last = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (group[0] == '/')
            put(group, "cgroup.procs", getpid());
        setenv("SOAK_WORKER", "1", 1);
        setenv("LD_PRELOAD", getenv("SOAK_PRELOAD") ? getenv("SOAK_PRELOAD") : "", 1);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    int status;
    time_t begin = time(NULL), moved = begin;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        uint64_t r = dice(&state);
        usleep(100000 + (useconds_t)(r >> 40) % 400000);
        if (time(NULL) - begin < seconds)
            disturb(pid, r, folder, group, limit_mib);
        if (progress->steps != last)
            last = progress->steps, moved = time(NULL);
        if (time(NULL) - moved > HANG_SECONDS) {
            show_threads(pid);
            kill(pid, SIGABRT);
            fprintf(stderr, "seed %llu: nothing moves\n", (unsigned long long)seed);
        }
    }
    printf("    %llu steps, %llu forks, %llu threads, %llu signals, %llu waits, %llu requests refused\n",
           (unsigned long long)progress->steps, (unsigned long long)progress->forks, (unsigned long long)progress->threads,
           (unsigned long long)progress->signals, (unsigned long long)progress->waits, (unsigned long long)progress->refused);
    for (unsigned i = 0; status && i < 16; i++)
        fprintf(stderr, "%s; ", deeds[(deed + i) % 16]);
    if (status)
        fprintf(stderr, "now %ld\nseed %llu: the worker's status is %x after %ld s\n", (long)time(NULL) % 1000, (unsigned long long)seed, status, (long)(time(NULL) - begin));
    return status != 0;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: soak SEED SECONDS FOLDER GROUP|- LIMIT_MIB\n");
        return 2;
    }
    seed = strtoull(argv[1], NULL, 10);
    unsigned seconds = (unsigned)strtoul(argv[2], NULL, 10);
    size_t limit_mib = strtoul(argv[5], NULL, 10);
    char path[512];
    snprintf(path, sizeof path, "%s/progress", argv[3]);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    static const char zeroes[PAGE];
    if (fd < 0 || (!getenv("SOAK_WORKER") && write(fd, zeroes, PAGE) != PAGE)) /* with a block: the disk will be full */
        return 2;
    progress = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return getenv("SOAK_WORKER") ? work(seconds, argv[3], limit_mib) : control(argv, seconds, limit_mib);
}
