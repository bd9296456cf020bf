/* unit_watch.c - the thread that sees the program's faults: it asks for blocks, of every thread, and for
 * nothing else; the program's descriptors, thread count, forks and stops are as without it; it ends. */
#include "../bigmaac.c"
#include "check.h"
#include "evict.h"
#include "watch.h"
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { BYTES = 64 << 20, BLOCK = 16, APART = 128 }; /* pages */

static char *data;
static size_t offset;
static atomic_size_t next_block;

/* Nothing of it is in memory, and faults bring single pages. */
static void data_evict(void)
{
    evict(data, BYTES);
    mem_set_policy(offset, BYTES, POLICY_WATCHED, 4);
}

/* Touches a page that nobody has touched; returns how many it and those behind it are in memory: `wanted` of a block
 * at least, or 5 s later; where it should be alone, after a quarter of a second. */
static size_t touch(size_t wanted)
{
    unsigned char vector[APART];
    size_t n = atomic_fetch_add(&next_block, 1), pages = 0; /* never in equal strides */
    size_t page = n * (n + 1) / 2 % (BYTES / page_size / APART) * APART;
    *(volatile char *)(data + page * page_size);
    for (int ms = 0; ms < (wanted < BLOCK ? 250 : 5000) && pages < wanted; ms++) {
        CHECK(mincore(data + page * page_size, APART * page_size, vector) == 0);
        for (pages = 0; pages < APART && vector[pages] & 1;)
            pages++;
        if (pages < wanted)
            sleep_ms(1);
    }
    return pages;
}

/* Until the thread sees it: it looks for new threads and at its orders once a second, and later on a loaded machine. Another
 * test may have had all rings for a moment: the order is given again, as the monitor does. */
static size_t touch_seen(size_t wanted)
{
    size_t pages = 0;
    for (int i = 0; i < 40 && pages < wanted; i++) {
        pages = touch(wanted);
        watch_want(WATCH_BLOCKS, true);
    }
    return pages;
}

static void *touch_main(void *result)
{
    sleep_ms(1500);
    *(size_t *)result = touch_seen(BLOCK);
    return NULL;
}

/* TSan has a thread of its own, and believes in one table of descriptors. */
#ifdef __SANITIZE_THREAD__
static const bool tsan = true;
#else
static const bool tsan = false;
#endif

static size_t descriptors(void)
{
    if (tsan)
        return 0;
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

static void test_blocks(void)
{
    size_t other = 0;
    pthread_t thread;
    mem_set_piece(offset, BYTES, 1 + 4);
    CHECK(touch_seen(BLOCK) == BLOCK);
    CHECK(pthread_create(&thread, NULL, touch_main, &other) == 0);
    CHECK(touch_seen(BLOCK) == BLOCK);
    CHECK(pthread_join(thread, NULL) == 0 && other == BLOCK);
    atomic_store(&forking.probing, true);
    CHECK(touch(2) == 1);
    atomic_store(&forking.probing, false);
    mem_set_piece(offset, BYTES, 1 + 6);
    CHECK(touch_seen(64) == 64);
    mem_set_piece(offset, BYTES, 0);
    CHECK(touch(2) == 1);
    mem_set_piece(offset, BYTES, 1 + 4);
}

/* After many faults that are none of ours it rests; afterwards it is there again. That it failed long ago is forgotten. */
static void test_rest(void)
{
    size_t bytes = 256 << 20;
    atomic_store(&watch_failed_ms, 4 * watch_retry_ms);
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, anon_flags, -1, 0);
    CHECK(p != MAP_FAILED && syscall(SYS_madvise, p, bytes, MADV_NOHUGEPAGE) == 0);
    for (size_t at = 0; at < bytes; at += page_size)
        p[at] = 1;
    munmap(p, bytes);
    sleep_ms(2500);
    CHECK(touch_seen(BLOCK) == BLOCK && !atomic_load(&watch_failed_ms));
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void *nap_main(void *unused)
{
    sleep_ms(1500);
    return unused;
}

/* Threads that have ended cost nothing, nor does one that is parked. */
static void test_ended(void)
{
    pthread_t thread;
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&thread, NULL, nap_main, NULL) == 0 && pthread_join(thread, NULL) == 0);
    double before = cpu_seconds();
    sleep_ms(1000);
    watch_want(WATCH_BLOCKS, false);
    sleep_ms(2000); /* it looks at its orders once a second */
    CHECK(cpu_seconds() - before < 0.3);
    CHECK(touch(2) == 1);
    watch_want(WATCH_BLOCKS, true);
    sleep_ms(200);
    CHECK(touch_seen(BLOCK) == BLOCK);
}

/* Without the thread: what picks in ascending order and a walk in equal strides ask for. */
static void test_strides(void)
{
    struct watched w = {0};
    atomic_store(&watch.budget, 16 << 20);
    watcher.threads = 0;
    mem_set_piece(offset, BYTES, 1 + 4);
    watcher.asked = 0;
    for (size_t at = 0, i = 0; at < BYTES - (8 << 20); at += (1 + i * i % 11) << 16, i++)
        watch_fault(&w, offset + at);
    size_t picks = watcher.faults;
    CHECK(picks > 100 && watcher.asked < 2 * picks);
    memset(&w, 0, sizeof w);
    watcher.asked = watcher.faults = 0;
    for (size_t at = 12345; at < BYTES; at += 200000)
        watch_fault(&w, offset + at);
    CHECK(watcher.asked > watcher.faults && w.proof >= stride_proof && w.ahead >= stride_ahead);
    memset(&w, 0, sizeof w);
    atomic_store(&watch.budget, 128 << 10); /* three blocks, for all threads */
    for (size_t at = 0; at < 20 * 200000; at += 200000)
        watch_fault(&w, offset + at);
    CHECK(w.ahead == 3);
    memset(&w, 0, sizeof w);
    for (size_t at = BYTES - 1; at > 12 * 1000000; at -= 1000000) /* downwards; then off the edge */
        watch_fault(&w, offset + at);
    CHECK(w.proof >= stride_proof && w.stride < 0);
    watch_fault(&w, (size_t)-4096);
    watch_fault(&w, mem.size);
    mem_set_policy(offset, BYTES, POLICY_RANDOM, 0);
    CHECK(watch_bytes(offset) == 0 && watch_bytes(offset + BYTES - 1) == 0);
    mem_set_policy(offset, BYTES, POLICY_WATCHED, 4);
    watcher.asked = watcher.faults = 0;
}

/* Reclaim learns of what faults in a watched block, each page of it, and where single pages are read; of nothing else. */
static void test_told(void)
{
    struct watched w = {0};
    watch_faulted.count = 0;
    mem_set_piece(offset, BYTES, 0);
    watch_fault(&w, offset);
    watch_fault(&w, mem.size);
    CHECK(watch_faulted.count == 0);
    mem_set_piece(offset, BYTES, 1 + 4);
    char *at = data + page_size;
    for (size_t i = 0; i < 2; i++)
        watch_fault(&w, mem_offset(at) + i * sys_page() + 7);
    CHECK(watch_faulted.count == 2 && watch_faulted.page[1] == (uintptr_t)at + sys_page());
    *(volatile char *)at; /* read, and no longer mapped */
    CHECK(syscall(SYS_madvise, at, sys_page(), MADV_DONTNEED) == 0 && !hot_mapped((uintptr_t)at, 1));
    watch_activate();
    CHECK(hot_mapped((uintptr_t)at, 1) == 1);
    watch_faulted.count = 0;
    mem_set_policy(offset, BYTES, POLICY_RANDOM, 0);
    w = (struct watched){0};
    watcher.asked = watcher.faults = 0;
    for (size_t i = 0; i < 20; i++)
        watch_fault(&w, mem_offset(at) + 3 * i * sys_page());
    CHECK(watch_faulted.count == 20 && watcher.asked == 0 && watcher.faults == 0);
    watch_faulted.count = 0;
    mem_set_policy(offset, BYTES, POLICY_WATCHED, 4);
}

static void *nothing_main(void *unused) { return unused; }

/* Everybody is stopped but it; then they go on. */
static void test_stop(void)
{
    mon_self = true;
    atomic_store(&mon.tid, (int)syscall(SYS_gettid));
    pthread_t thread;
    size_t other = 0;
    CHECK(pthread_create(&thread, NULL, touch_main, &other) == 0);
    home_lock();
    CHECK(stop_surely());
    stop_end();
    home_unlock();
    CHECK(pthread_join(thread, NULL) == 0);
    atomic_store(&mon.tid, 0);
    mon_self = false;
}

/* A child has no such thread, and may have its own. */
static void test_fork(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(!atomic_load(&watch.running) && !atomic_load(&watch.tid) && thread_count() == 1);
        CHECK(watch_begin() && thread_count() == 1);
        CHECK(watch_end());
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(touch(1) >= 1); /* private now: no longer what WATCH is for */
}

/* Under a filter that would kill for it, nothing is tried. */
static void test_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof code[0], code};
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
        CHECK(watch_refused() && fcntl(0, F_GETFD) >= 0);
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* Uses up what a user may have of rings (`done` is then readable), and keeps it until that is closed. */
static void rings_fill(int done)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_PAGE_FAULTS,
                                   .exclude_kernel = 1, .exclude_hv = 1};
    char text[4096];
    for (size_t pages = 128; pages && !status_value("VmPin:", text, sizeof text);) {
        int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
        if (fd < 0)
            break;
        if (mmap(NULL, (pages + 1) * sys_page(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
            pages /= 2;
    }
    CHECK(write(done, "", 1) == 1);
    struct pollfd closed = {.fd = done};
    poll(&closed, 1, -1);
    _exit(0);
}

/* Another process has all of it: ours would count as pinned memory, beside which nothing is moved. So there are none. */
static void test_pinned(void)
{
    char any, text[4096];
    int ends[2], status = -1;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    pid_t holder = fork(), pid = -1;
    if (holder == 0) {
        close(ends[0]);
        rings_fill(ends[1]);
    }
    close(ends[1]);
    CHECK(read(ends[0], &any, 1) == 1);
    if ((pid = fork()) == 0) {
        CHECK(watch_refused());
        for (int ms = 0; ms < 5000 && status_value("VmPin:", text, sizeof text); ms++)
            sleep_ms(1);
        CHECK(!status_value("VmPin:", text, sizeof text));
        _exit(check_result());
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(ends[0]);
    CHECK(waitpid(holder, &status, 0) == holder);
}

static void *wait_main(void *over)
{
    while (!atomic_load((atomic_bool *)over))
        sleep_ms(10);
    return NULL;
}

/* More threads than can be watched: then none is. */
static void test_many(void)
{
    static pthread_t thread[WATCH_THREADS];
    atomic_bool over = false;
    for (int i = 0; i < WATCH_THREADS; i++)
        CHECK(pthread_create(&thread[i], NULL, wait_main, &over) == 0);
    CHECK(watch_refused());
    atomic_store(&over, true);
    for (int i = 0; i < WATCH_THREADS; i++)
        pthread_join(thread[i], NULL);
}

int main(void)
{
    test_filter(); /* forks come before there is a block, or after all: they freeze it */
    if (!tsan)
        test_pinned();
    data = bigmaac_malloc(BYTES);
    CHECK(data && mem_owns(data));
    offset = mem_offset(data);
    fill(data, BYTES, 1);
    data_evict();
    mon_open();
    size_t before = descriptors();
    CHECK(watch_open());
    if (!watch_begin()) {
        fprintf(stderr, "this machine can't show a process its own faults\n");
        return 77;
    }
    CHECK(descriptors() == before);
    CHECK(tsan || thread_count() == 1);
    test_blocks();
    test_rest();
    test_ended();
    if (!tsan)
        test_stop();
    CHECK(descriptors() == before);
    if (!tsan)
        test_fork();
    CHECK(watch_end());
    for (int ms = 0; ms < 30000 && atomic_load(&mon.alive); ms++) /* it counts itself off last */
        sleep_ms(1);
    CHECK(atomic_load(&mon.alive) == 0);
    test_strides();
    test_told();
    CHECK(is_filled(data, BYTES, 1));
    pthread_t thread; /* all is as it was */
    CHECK(pthread_create(&thread, NULL, nothing_main, NULL) == 0 && pthread_join(thread, NULL) == 0);
    test_many();
    CHECK(!extent_check(&big.space) && !big_check() && !fry_check());
    bigmaac_free(data);
    return check_result();
}
