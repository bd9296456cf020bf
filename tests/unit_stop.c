/* unit_stop.c - stopping all threads for a moment, a few hundred times: no call of theirs fails or ends early because of it,
 * no signal comes that nobody sent, none is lost, and nothing runs while all are stopped.
 */
static long listed(long number, long a, long b, long c, long d, long e, long f);
#define BIGMAAC_SYS listed
#include "../bigmaac.c"
#include "check.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { STOPS = 100, SIGNALS = 10, SPAN_MS = 20, THREADS_MAX = 40 };

static atomic_bool over;
static atomic_long rounds[THREADS_MAX], counted;
static int ends[2], lock_file[2], queue, semaphores;

static uint64_t clock_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct timespec span_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

static const uint64_t span_ns = (uint64_t)SPAN_MS * 1000000;

static atomic_int skips, lists; /* listings of the threads that skip `skipped` yet; all of them */
static pid_t skipped, ended;            /* a thread, and one that listings show in its place: it has ended meanwhile */

/* As the kernel lists threads when one ends that it has shown: the next one is passed over. */
static long listed(long number, long a, long b, long c, long d, long e, long f)
{
    long n = syscall(number, a, b, c, d, e, f);
    int saved = errno;
    if (number == SYS_getdents64 && n == 0) {
        lists++;
        skips -= skips > 0;
    }
    for (long at = 0; number == SYS_getdents64 && skips > 0 && at < n;) {
        char *name = (char *)b + at + 19, other[16];
        unsigned short length;
        memcpy(&length, (char *)b + at + 16, sizeof length);
        snprintf(other, sizeof other, "%d", ended);
        if (atoi(name) == skipped)
            memcpy(name, other, strlen(other) + 1 <= length - 19u ? strlen(other) + 1 : 1);
        at += length;
    }
    errno = saved;
    return n;
}

/* --- calls that end after a while; true: as they should ------------------------------------------------ */

static bool polls(void) { return poll(NULL, 0, SPAN_MS) == 0; }

/* By a system call whose instruction lies across two pages, as glibc's have it that open a folder, for one. */
static bool polls_across(void)
{
#ifdef __x86_64__
    static const unsigned char code[] = {0xb8, SYS_poll, 0, 0, 0, 0x0f, 0x05, 0xc3}; /* mov $SYS_poll, %eax; syscall; ret */
    size_t page = sys_page();
    char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(two != MAP_FAILED);
    memcpy(two + page - 6, code, sizeof code);
    int (*poll_there)(struct pollfd *, nfds_t, int) = (int (*)(struct pollfd *, nfds_t, int))(uintptr_t)(two + page - 6);
    bool right = mprotect(two, 2 * page, PROT_READ | PROT_EXEC) != 0 ? polls() : poll_there(NULL, 0, SPAN_MS) == 0;
    munmap(two, 2 * page);
    return right;
#else
    return polls();
#endif
}

static bool polls_span(void)
{
    struct timespec t = span_of(span_ns);
    return ppoll(NULL, 0, &t, NULL) == 0;
}

static bool epolls(void)
{
    struct epoll_event event;
    int fd = epoll_create1(0);
    bool right = epoll_wait(fd, &event, 1, SPAN_MS) == 0;
    close(fd);
    return right;
}

static bool selects(void)
{
    struct timeval t = {.tv_usec = SPAN_MS * 1000};
    return select(0, NULL, NULL, NULL, &t) == 0;
}

static bool selects_span(void)
{
    struct timespec t = span_of(span_ns);
    return pselect(0, NULL, NULL, NULL, &t, NULL) == 0;
}

static bool sleeps(void)
{
    struct timespec t = span_of(span_ns);
    return nanosleep(&t, NULL) == 0;
}

static bool sleeps_until(void)
{
    struct timespec t = span_of(clock_of(CLOCK_MONOTONIC) + span_ns);
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == 0;
}

static bool sleeps_clock(void)
{
    struct timespec t = span_of(span_ns), left;
    return clock_nanosleep(CLOCK_REALTIME, 0, &t, &left) == 0;
}

static bool sleeps_short(void) { return usleep(SPAN_MS * 1000) == 0; }

static bool waits_semaphore(void)
{
    sem_t s;
    struct timespec t = span_of(clock_of(CLOCK_REALTIME) + span_ns);
    sem_init(&s, 0, 0);
    return sem_timedwait(&s, &t) == -1 && errno == ETIMEDOUT;
}

static bool waits_signal(void)
{
    sigset_t all, old;
    struct timespec t = span_of(span_ns);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool right = sigtimedwait(&all, NULL, &t) == -1 && errno == EAGAIN;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return right;
}

static bool signal_descriptor(void)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    struct pollfd p = {.fd = signalfd(-1, &all, 0), .events = POLLIN};
    bool right = poll(&p, 1, SPAN_MS) == 0;
    close(p.fd);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return right;
}

static bool receives(void)
{
    int pair[2];
    char byte;
    struct timeval t = {.tv_usec = SPAN_MS * 1000};
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    bool right = recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN;
    close(pair[0]);
    close(pair[1]);
    return right;
}

/* As inline: who makes the call again knows its number from the instruction before it. */
#ifdef __x86_64__
#define inline_call(number, a, b, c, d, e, f)                                                                            \
    ({                                                                                                                   \
        register long r10 __asm__("r10") = (long)(d), r8 __asm__("r8") = (long)(e), r9 __asm__("r9") = (long)(f);        \
        long result_;                                                                                                    \
        __asm__ volatile("mov %1, %%eax\n\tsyscall" : "=&a"(result_) : "i"(number), "D"((long)(a)), "S"((long)(b)),      \
                         "d"((long)(c)), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");                           \
        errno = result_ < 0 ? (int)-result_ : 0;                                                                         \
        result_ < 0 ? -1 : result_;                                                                                      \
    })
#else
#define inline_call syscall
#endif

/* A ring in which nothing comes; true, too, where there are none. */
static bool waits_ring(void)
{
    uint32_t ring_of_5_1[30] = {0};
    struct timespec t = span_of(span_ns);
    struct ring_wait wait = {.span = (uintptr_t)&t};
    int ring = (int)syscall(425 /* io_uring_setup */, 1, ring_of_5_1);
    long result = ring < 0 ? -1 : inline_call(SYS_io_uring_enter, ring, 0, 1, 1 << 0 | 1 << 3, &wait, sizeof wait);
    bool right = result == -1 && errno == ETIME;
    if (ring < 0 || errno == EINVAL) /* before 5.11 there are no time limits */
        right = usleep(SPAN_MS * 1000) == 0;
    close(ring);
    return right;
}

static bool waits_events(void)
{
    unsigned long context = 0;
    struct timespec t = span_of(span_ns);
    char event[32];
    if (syscall(SYS_io_setup, 1, &context) != 0)
        return usleep(SPAN_MS * 1000) == 0;
    bool right = inline_call(SYS_io_pgetevents, context, 1, 1, event, &t, NULL) == 0;
    syscall(SYS_io_destroy, context);
    return right;
}

/* Sockets with a time limit, where the kernel restarts no call by itself: one of a pair that nobody reads from, which is full. */
static int full_socket(int pair[2])
{
    static const char text[4096];
    struct timeval t = {.tv_usec = SPAN_MS * 1000};
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    while (send(pair[0], text, sizeof text, MSG_DONTWAIT) > 0)
        ;
    return pair[0];
}

static bool close_pair(int pair[2], bool right)
{
    close(pair[0]);
    close(pair[1]);
    return right;
}

static bool sends_several(void)
{
    int pair[2];
    struct iovec part = {.iov_base = pair, .iov_len = 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}; /* several_hold has more */
    return close_pair(pair, sendmmsg(full_socket(pair), &message, 1, 0) == -1 && errno == EAGAIN);
}

static bool reads_limited(void)
{
    int pair[2];
    char byte;
    return close_pair(pair, read(full_socket(pair), &byte, 1) == -1 && errno == EAGAIN);
}

static bool reads_parts(void)
{
    int pair[2];
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    return close_pair(pair, preadv2(full_socket(pair), &part, 1, -1, 0) == -1 && errno == EAGAIN);
}

static bool writes_parts(void)
{
    int pair[2];
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    return close_pair(pair, pwritev2(full_socket(pair), &part, 1, -1, 0) == -1 && errno == EAGAIN);
}

static bool connects(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct timeval t = {.tv_usec = SPAN_MS * 1000};
    socklen_t bytes = sizeof name;
    int server = socket(AF_UNIX, SOCK_STREAM, 0), pair[2] = {socket(AF_UNIX, SOCK_STREAM, 0), socket(AF_UNIX, SOCK_STREAM, 0)};
    bind(server, (struct sockaddr *)&name, sizeof name.sun_family); /* the kernel names it */
    listen(server, 0);
    getsockname(server, (struct sockaddr *)&name, &bytes);
    connect(pair[0], (struct sockaddr *)&name, bytes); /* there is no room for another one */
    setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    bool right = connect(pair[1], (struct sockaddr *)&name, bytes) == -1 && errno == EAGAIN;
    close(server);
    return close_pair(pair, right);
}

/* --- calls that end when somebody lets them -------------------------------------------------------------- */

static bool reads(void)
{
    char byte;
    return read(ends[0], &byte, 1) == 1;
}

static bool receives_message(void)
{
    struct { long type; char text[8]; } message;
    return msgrcv(queue, &message, sizeof message.text, 0, 0) >= 0;
}

static bool takes_semaphore(void)
{
    struct sembuf down = {.sem_op = -1};
    return semop(semaphores, &down, 1) == 0;
}

static bool locks_file(void)
{
    return flock(lock_file[1], LOCK_EX) == 0 && flock(lock_file[1], LOCK_UN) == 0;
}

static const struct call {
    const char *name;
    bool (*make)(void);
    bool ends;
} calls[] = {
    {"poll", polls, true}, {"poll, across pages", polls_across, true}, {"ppoll", polls_span, true}, {"epoll_wait", epolls, true}, {"select", selects, true},
    {"pselect", selects_span, true}, {"nanosleep", sleeps, true}, {"clock_nanosleep, absolute", sleeps_until, true},
    {"clock_nanosleep", sleeps_clock, true}, {"usleep", sleeps_short, true}, {"sem_timedwait", waits_semaphore, true},
    {"sigtimedwait", waits_signal, true}, {"signalfd", signal_descriptor, true}, {"recv", receives, true},
    {"read, limited", reads_limited, true}, {"sendmmsg", sends_several, true}, {"preadv2", reads_parts, true}, {"pwritev2", writes_parts, true}, {"connect", connects, true},
    {"io_uring_enter", waits_ring, true}, {"io_pgetevents", waits_events, true},
    {"read", reads, false}, {"msgrcv", receives_message, false}, {"semop", takes_semaphore, false}, {"flock", locks_file, false}};
enum { CALLS = sizeof calls / sizeof calls[0] };

static void *call_main(void *number)
{
    intptr_t i = (intptr_t)number;
    do { /* once at least, however late it begins */
        uint64_t began = clock_of(CLOCK_MONOTONIC);
        errno = 0;
        bool right = calls[i].make();
        uint64_t lasted = clock_of(CLOCK_MONOTONIC) - began;
        if (!right || (calls[i].ends && lasted + 100000 < span_ns)) {
            fprintf(stderr, "%s: %s, errno %d, after %llu us\n", calls[i].name, right ? "right" : "wrong", errno,
                    (unsigned long long)lasted / 1000);
            checks_failed++;
        }
        rounds[i]++;
    } while (calls[i].ends && !atomic_load(&over));
    return NULL;
}

/* --- threads of other kinds ----------------------------------------------------------------------------- */

static __thread volatile sig_atomic_t handled;
static void handle(int sig) { handled += sig == SIGUSR1; }
static atomic_int asked, sent, signalled;

/* Lets the signal in while it waits only: then the call must end with EINTR, once for each signal. */
static void *handles_main(void *unused)
{
    sigset_t open, usr1;
    sigemptyset(&open);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    for (int i = 0; !atomic_load(&over); i++) {
        struct timespec t = {.tv_sec = 1000};
        atomic_fetch_add(&asked, 1);
        int result = i % 2 ? ppoll(NULL, 0, &t, &open) : sigsuspend(&open);
        CHECK(result == -1 && errno == EINTR && handled == i + 1);
        atomic_fetch_add(&signalled, 1);
    }
    return unused;
}

/* Blocks what libc lets it. */
static void *blocks_main(void *unused)
{
    sigset_t all;
    uint64_t waiting;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    while (!atomic_load(&over)) {
        usleep(1000);
        syscall(SYS_rt_sigpending, &waiting, sizeof waiting);
        CHECK(waiting == 0);
    }
    return unused;
}

/* Blocks every signal nearly always, as threads do that begin or end, but for no long time. */
static void *begins_main(void *unused)
{
    const sigmask none = 0, all = ~none;
    while (!atomic_load(&over)) {
        sys_sigmask(SIG_SETMASK, &all, NULL);
        usleep(2000);
        sys_sigmask(SIG_SETMASK, &none, NULL);
    }
    return unused;
}

/* Counts, mostly without a system call; but not while all are stopped. */
static void *counts_main(void *unused)
{
    for (long i = 1; !atomic_load(&over); i++) {
        atomic_fetch_add(&counted, 1);
        if (i % 10000 == 0)
            usleep(100);
    }
    return unused;
}

static void *nothing_main(void *unused) { return unused; }

static void *makes_main(void *unused)
{
    while (!atomic_load(&over)) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, nothing_main, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        usleep(100);
    }
    return unused;
}

/* glibc tells all threads, by the same signal, which ends calls early then. */
static void *setuid_main(void *unused)
{
    while (!atomic_load(&over)) {
        CHECK(setuid(getuid()) == 0 && setgid(getgid()) == 0);
        usleep(300);
    }
    return unused;
}

static void *forever_main(void *unused)
{
    for (;;)
        sleep(1000);
    return unused;
}

static void *cancels_main(void *unused)
{
    while (!atomic_load(&over)) {
        pthread_t thread;
        void *result = NULL;
        CHECK(pthread_create(&thread, NULL, forever_main, NULL) == 0);
        usleep(500);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
    return unused;
}

/* Its signals are handled on a stack of the kernel's least size. */
static void *small_main(void *unused)
{
    size_t bytes = (size_t)sysconf(_SC_MINSIGSTKSZ) + 1024;
    bytes = round_up(bytes, sys_page());
    char *stack = mmap(NULL, bytes + sys_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t use = {.ss_sp = stack + sys_page(), .ss_size = bytes}, now;
    CHECK(mprotect(stack, sys_page(), PROT_NONE) == 0 && sigaltstack(&use, NULL) == 0);
    while (!atomic_load(&over)) {
        usleep(1000);
        CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == use.ss_sp);
    }
    use.ss_flags = SS_DISABLE;
    sigaltstack(&use, NULL);
    munmap(stack, bytes + sys_page());
    return unused;
}

#ifdef __x86_64__
static void file_is_copied(int from, int to, size_t bytes)
{
    off_t at[2] = {0};
    CHECK(lseek(to, 0, SEEK_SET) == 0 && sendfile(to, from, &at[0], bytes) == (ssize_t)bytes && at[0] == (off_t)bytes);
    at[0] = 0;
    ssize_t n = copy_file_range(from, &at[0], to, &at[1], bytes, 0); /* not every file system can */
    CHECK(n < 0 || (n == (ssize_t)bytes && at[0] == n && at[1] == n));
}

/* Copies between files, which a signal ends early. */
static void *copies_main(void *unused)
{
    char path[2][32] = {"/tmp/unit_stop.XXXXXX", "/tmp/unit_stop.XXXXXX"};
    const size_t bytes = 4 << 20;
    int from = mkstemp(path[0]), to = mkstemp(path[1]);
    unlink(path[0]);
    unlink(path[1]);
    CHECK(from >= 0 && to >= 0 && ftruncate(from, (off_t)bytes) == 0);
    while (!atomic_load(&over) && sys_unfiltered()) /* else it is left as it is */
        file_is_copied(from, to, bytes);
    close(from);
    close(to);
    return unused;
}
#else
#define copies_main counts_main
#endif

/* --- the stopper ---------------------------------------------------------------------------------------- */

/* Stops all threads again and again. In between it sends the handler a signal whenever that waits for one: that may take
 * longer than the stops where there is little processor for the handler. */
static void *stop_main(void *handler)
{
    sigmask saved;
    signals_hold(&saved);
    for (int i = 0; i < STOPS || (handler && atomic_load(&sent) < SIGNALS); i++) {
        home_lock();
        bool stopped_all = stop_surely();
        CHECK(stopped_all);
        if (stopped_all) {
            long before = atomic_load(&counted);
            sleep_ns(200000);
            CHECK(atomic_load(&counted) == before);
            stop_end();
        }
        home_unlock();
        if (handler && atomic_load(&signalled) == atomic_load(&sent) && atomic_load(&asked) > atomic_load(&sent)) {
            atomic_fetch_add(&sent, 1);
            pthread_kill(*(pthread_t *)handler, SIGUSR1); /* beside the next stop, as a rule */
        }
        sleep_ns((uint64_t)(i % 7) * 500000);
    }
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    return NULL;
}

/* Runs these threads, in which a stop is seen by nobody. */
static void others_run(void *(*const *others)(void *), int count, pthread_t *handler)
{
    pthread_t other[8], stopper;
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&other[i], NULL, others[i], NULL) == 0);
    CHECK(pthread_create(&stopper, NULL, stop_main, handler) == 0);
    pthread_join(stopper, NULL);
    atomic_store(&over, true);
    for (int i = 0; i < count; i++)
        pthread_join(other[i], NULL);
}

static void let_go(void)
{
    struct { long type; char text[8]; } message = {.type = 1};
    struct sembuf up = {.sem_op = 1};
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(msgsnd(queue, &message, sizeof message.text, 0) == 0);
    CHECK(semop(semaphores, &up, 1) == 0);
    CHECK(flock(lock_file[0], LOCK_UN) == 0);
}

static void open_all(char *path)
{
    CHECK(pipe(ends) == 0);
    queue = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    lock_file[0] = mkstemp(path);
    lock_file[1] = open(path, O_RDWR);
    unlink(path);
    CHECK(queue >= 0 && semaphores >= 0 && flock(lock_file[0], LOCK_EX) == 0);
    signal(SIGUSR1, handle);
}

static void calls_hold(void)
{
    static void *(*const others[])(void *) = {blocks_main, counts_main, makes_main, cancels_main, small_main, copies_main};
    pthread_t threads[CALLS], handler;
    for (intptr_t i = 0; i < CALLS; i++)
        CHECK(pthread_create(&threads[i], NULL, call_main, (void *)i) == 0);
    CHECK(pthread_create(&handler, NULL, handles_main, NULL) == 0);
    others_run(others, sizeof others / sizeof others[0], &handler);
    for (int i = 0; i < CALLS; i++)
        CHECK(calls[i].ends || rounds[i] == 0);
    let_go();
    if (atomic_load(&signalled) == atomic_load(&sent))
        pthread_kill(handler, SIGUSR1);
    pthread_join(handler, NULL);
    for (int i = 0; i < CALLS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CALLS; i++)
        CHECK(rounds[i] > 0);
}

static atomic_bool done;

static void *poll_main(void *unused)
{
    CHECK(poll(NULL, 0, 10 * SPAN_MS) == 0);
    atomic_store(&done, true);
    return unused;
}

static void *socket_main(void *sends)
{
    char byte = 0;
    int pair[2], fd = full_socket(pair);
    struct timeval t = {.tv_usec = 10 * SPAN_MS * 1000};
    CHECK(setsockopt(fd, SOL_SOCKET, sends ? SO_SNDTIMEO : SO_RCVTIMEO, &t, sizeof t) == 0);
    uint64_t began = clock_of(CLOCK_MONOTONIC);
    ssize_t n = sends ? send(fd, &byte, 1, 0) : recv(fd, &byte, 1, 0);
    CHECK(close_pair(pair, n == -1 && errno == EAGAIN && clock_of(CLOCK_MONOTONIC) - began > 9 * span_ns));
    atomic_store(&done, true);
    return NULL;
}

/* A wait ends in its time though stops never do: at each its thread sleeps in the handler, too. */
static void wait_ends(void *(*waits)(void *), void *how)
{
    pthread_t thread;
    sigmask saved;
    unsigned stops = 0, most = 500; /* 33 suffice */
    atomic_store(&done, false);
    CHECK(pthread_create(&thread, NULL, waits, how) == 0);
    signals_hold(&saved);
    for (; !atomic_load(&done) && stops < most; stops++) {
        home_lock();
        CHECK(stop_surely());
        sleep_ns(1000000);
        stop_end();
        home_unlock();
        sleep_ns(span_ns / 4);
    }
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    CHECK(stops < most);
    pthread_join(thread, NULL);
}

static void setuid_holds(void)
{
    static void *(*const others[])(void *) = {setuid_main, setuid_main, counts_main, nothing_main};
    atomic_store(&over, false);
    others_run(others, sizeof others / sizeof others[0], NULL);
}

/* Stops all threads once, if it can in that time. */
static bool stop_in(uint64_t ms)
{
    sigmask saved;
    signals_hold(&saved);
    home_lock();
    bool all = stop_begin(ms);
    if (all)
        stop_end();
    home_unlock();
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    return all;
}

static bool stop_once(void) { return stop_in(2000); }

enum { SEVERAL = 3 };
static int datagrams[2], received[2];

/* Receives several messages, twice. */
static void *several_main(void *tid)
{
    char byte[SEVERAL];
    struct iovec part[SEVERAL];
    struct mmsghdr message[SEVERAL] = {0};
    for (int i = 0; i < SEVERAL; i++) {
        part[i] = (struct iovec){byte + i, 1};
        message[i].msg_hdr.msg_iov = &part[i];
        message[i].msg_hdr.msg_iovlen = 1;
    }
    atomic_store((atomic_int *)tid, sys_gettid());
    for (int i = 0; i < 2; i++)
        received[i] = recvmmsg(datagrams[0], message, SEVERAL, 0, NULL);
    CHECK(received[1] == SEVERAL || errno == EINTR || !sys_unfiltered() || !fprintf(stderr, "recvmmsg: errno %d\n", errno));
    return NULL;
}

/* Who has some of several messages is not interrupted for a while; then it gets fewer, but no errno that is none. */
static void several_hold(void)
{
    atomic_int tid = 0;
    struct stopped s = {0};
    pthread_t thread;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) == 0 && send(datagrams[1], "a", 1, 0) == 1);
    CHECK(pthread_create(&thread, NULL, several_main, &tid) == 0);
    stop.several = true;
    for (s.call = -1; s.call != SYS_recvmmsg; usleep(1000)) {
        s.tid = tid;
        if (s.tid)
            thread_call(&s);
    }
    stop.halves = 0;
    CHECK(!stop_once() && stop.put_off && received[0] == 0);
    stop.halves = stop_halves;
    CHECK(stop_once());
    for (int i = 0; i < 2 * SEVERAL; i++)
        CHECK(send(datagrams[1], "b", 1, 0) == 1);
    pthread_join(thread, NULL);
    CHECK(received[0] > 0 && (received[1] == SEVERAL || !sys_unfiltered())); /* a filter may not like what takes the errno */
    close(datagrams[0]);
    close(datagrams[1]);
}

static void *vforks_main(void *end)
{
    char byte = 0;
    pid_t child = vfork();
    if (child == 0) {
        (void)!(write(*(int *)end, &byte, 1) && read(*(int *)end, &byte, 1));
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
    return NULL;
}

/* Who waits for its child by vfork can't be stopped; that is not tried again and again, each time as long as all tries together. */
static void vfork_holds(void)
{
    int pair[2];
    char byte;
    pthread_t thread;
    sigmask saved;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pthread_create(&thread, NULL, vforks_main, &pair[0]) == 0);
    CHECK(read(pair[1], &byte, 1) == 1);
    signals_hold(&saved);
    home_lock();
    unsigned round = atomic_load(&stop_round);
    CHECK(!stop_surely() && atomic_load(&stop_round) - round < 20);
    home_unlock();
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    CHECK(write(pair[1], "x", 1) == 1);
    pthread_join(thread, NULL);
    close(pair[0]);
    close(pair[1]);
}

/* Who blocks the signal for a moment is waited for: the others stand meanwhile. Without that it were luck to find it
 * unblocked, one time in a thousand; and sometimes it has no processor for longer than we wait. */
static void blocked_holds(void)
{
    pthread_t thread;
    int held = 0;
    atomic_store(&over, false);
    CHECK(pthread_create(&thread, NULL, begins_main, NULL) == 0);
    usleep(1000);
    for (int i = 0; i < 1000 && held < 10; i++, usleep(500)) {
        stop.deaf = 0; /* nor to find it unblocked before the next try */
        held += stop_once();
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    CHECK(held >= 10);
}

static void *tells_main(void *tid)
{
    atomic_store((atomic_int *)tid, sys_gettid());
    return atomic_load(&over) ? NULL : counts_main(NULL);
}

/* A listing that skips a thread is no reason to let it run; a thread that is never listed is one. */
static void skipped_holds(void)
{
    static const int skip[] = {0, 1, 2, 5, 1 << 30};
    atomic_int tid = 0;
    pthread_t thread;
    atomic_store(&over, true);
    CHECK(pthread_create(&thread, NULL, tells_main, &tid) == 0 && pthread_join(thread, NULL) == 0);
    ended = tid;
    tid = 0;
    while (thread_exists(ended))
        usleep(1000);
    atomic_store(&over, false);
    CHECK(pthread_create(&thread, NULL, tells_main, &tid) == 0);
    while (!tid)
        usleep(1000);
    skipped = tid;
    sigmask saved;
    signals_hold(&saved);
    home_lock();
    for (size_t i = 0; i < sizeof skip / sizeof skip[0]; i++) {
        lists = 0;
        skips = skip[i];
        bool all = stop_begin(20000);
        long before = atomic_load(&counted);
        sleep_ns(2000000);
        CHECK(all == (skip[i] < 10) && (!all || atomic_load(&counted) == before));
        CHECK(lists >= 2 && lists < 40);
        if (all)
            stop_end();
    }
    skips = 3;
    sleepers_rouse();
    CHECK(stop_knows(skipped) && skips == 0);
    home_unlock();
    sys_sigmask(SIG_SETMASK, &saved, NULL);
    skipped = 0;
    atomic_store(&over, true);
    pthread_join(thread, NULL);
}

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
static char *late_page;
static atomic_int late_tid;

/* Waits for a page; blocks every signal, or none. */
static void *faults_main(void *blocks)
{
    const sigmask none = 0, all = ~none;
    sys_sigmask(SIG_SETMASK, blocks ? &all : &none, NULL);
    atomic_store(&late_tid, sys_gettid());
    *(volatile char *)late_page = 1;
    return NULL;
}

/* A thread that waits for a page is as good as stopped, unless it blocks the signal: then it would run on. */
static void faults_hold(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    struct uffdio_api api = {.api = UFFD_API};
    if (fd < 0)
        return; /* under a filter */
    CHECK(ioctl(fd, UFFDIO_API, &api) == 0);
    for (int blocks = 0; blocks < 2; blocks++) {
        size_t bytes = sys_page();
        pthread_t thread;
        late_page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct uffdio_range range = {(uintptr_t)late_page, bytes};
        struct uffdio_register registered = {.range = range, .mode = UFFDIO_REGISTER_MODE_MISSING};
        struct uffdio_zeropage zero = {.range = range};
        struct uffd_msg fault;
        CHECK(late_page != MAP_FAILED && ioctl(fd, UFFDIO_REGISTER, &registered) == 0);
        CHECK(pthread_create(&thread, NULL, faults_main, blocks ? late_page : NULL) == 0);
        CHECK(read(fd, &fault, sizeof fault) == sizeof fault);
        usleep(20000); /* it sleeps by then */
        struct stopped late = {.tid = late_tid};
        stop.several = true;
        for (int i = 0; i < 5000 && !blocks && !stop_is_held(&late); i++)
            usleep(1000);
        CHECK(stop_is_held(&late) == !blocks);
        stack_t frames = {.ss_sp = bigmaac_malloc(1 << 20), .ss_size = 1 << 20}, none = {.ss_flags = SS_DISABLE};
        CHECK(altstack_set(&frames, NULL) == 0 && !stop_is_held(&late)); /* a frame may be written there, by any thread's signal */
        CHECK(altstack_set(&none, NULL) == 0);
        bigmaac_free(frames.ss_sp);
        atomic_store(&stop.frames, false);
        CHECK(stop_once() == !blocks);
        CHECK(ioctl(fd, UFFDIO_ZEROPAGE, &zero) == 0);
        pthread_join(thread, NULL);
        munmap(late_page, bytes);
    }
    close(fd);
}

#ifdef __x86_64__
/* A wait by syscall() that stops end twice, each before its thread was looked at, is made again twice. */
static void raw_wait_repeats(void)
{
    static unsigned char code[64]; /* in the place of libc's function */
    struct timespec second = {.tv_sec = 1};
    const struct raw_call call = {SYS_futex, {1, FUTEX_WAIT_PRIVATE, 3, (long)&second, 5, 6}};
    long (*libc)(long, ...) = next.syscall;
    const struct stopped unseen = {.call = -1};
    ucontext_t u = {0};
    greg_t *reg = u.uc_mcontext.gregs;
    memcpy(code + 20, "\x0f\x05", 2);
    memcpy(&next.syscall, &(void *){code}, sizeof next.syscall);
    reg[REG_RDI] = 1, reg[REG_RSI] = FUTEX_WAIT_PRIVATE, reg[REG_RDX] = 3, reg[REG_R10] = (greg_t)&second, reg[REG_R8] = 5, reg[REG_R9] = 6;
    raw_call = &call;
    for (int i = 0; i < 2; i++) {
        reg[REG_RIP] = reg[REG_RCX] = (greg_t)(code + 22);
        reg[REG_RAX] = -EINTR;
        stop_repeat(&u, &unseen);
        CHECK(reg[REG_RAX] == SYS_futex && reg[REG_RIP] == (greg_t)(code + 20));
        CHECK(reg[REG_R10] == (greg_t)&stop_wait.left && stop_wait.left.tv_sec <= 1);
    }
    reg[REG_RDX] = 4; /* another call's */
    reg[REG_RIP] = reg[REG_RCX] = (greg_t)(code + 22);
    reg[REG_RAX] = -EINTR;
    stop_repeat(&u, &unseen);
    CHECK(reg[REG_RAX] == -EINTR);
    raw_call = NULL;
    next.syscall = libc;
}
#else
static void raw_wait_repeats(void) {}
#endif

static int vfork_end[2];

/* Its child by vfork waits for a byte before it ends. */
static void *vfork_waits_main(void *tid)
{
    char byte;
    atomic_store((atomic_int *)tid, sys_gettid());
    pid_t child = vfork();
    if (child == 0) {
        sys(SYS_read, vfork_end[0], &byte, 1);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
    return NULL;
}

/* Who waits for a child by vfork takes no signal, and the others don't stand until it does; they are stopped when it is over. */
static void vfork_is_deaf(void)
{
    atomic_int tid = 0;
    pthread_t thread;
    CHECK(pipe(vfork_end) == 0 && pthread_create(&thread, NULL, vfork_waits_main, &tid) == 0);
    while (!tid || !thread_waits_for_exec(tid))
        usleep(1000);
    stop.deaf = 0;
    CHECK(!stop_once() && stop.deaf == tid);
    CHECK(write(vfork_end[1], "x", 1) == 1);
    pthread_join(thread, NULL);
    CHECK(stop_once());
}

/* A debugger's process: keeps a thread until it is told to let it go. Tells whether it can. */
static int keeps(pid_t tid, int told)
{
    char byte;
    if (read(told, &byte, 1) != 1)
        return 1;
    bool kept = ptrace(PTRACE_SEIZE, tid, 0, 0) == 0 && ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0 && waitpid(tid, NULL, __WALL) == tid;
    if (write(told, &kept, 1) != 1 || read(told, &byte, 1) != 1)
        return 1;
    ptrace(PTRACE_DETACH, tid, 0, 0);
    return 0;
}

static int kept_end[2];

static void *kept_main(void *tid)
{
    char byte;
    atomic_store((atomic_int *)tid, sys_gettid());
    CHECK(read(kept_end[0], &byte, 1) == 1);
    return NULL;
}

/* Who does not come to take its signal, in the middle of a call, is waited for once, and the others don't stand for it again until
 * it has. */
static void kept_is_deaf(void)
{
    atomic_int tid = 0;
    int pair[2], held = 0;
    bool kept = false;
    pthread_t thread;
    struct stopped s = {.call = -1};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(kept_end) == 0);
    CHECK(pthread_create(&thread, NULL, kept_main, &tid) == 0);
    stop.several = true;
    for (; s.call != SYS_read; usleep(1000)) {
        s.tid = tid;
        if (s.tid)
            thread_call(&s);
    }
    pid_t debugger = fork();
    if (debugger == 0)
        _exit(keeps(tid, pair[1]));
    prctl(PR_SET_PTRACER, debugger);
    CHECK(write(pair[0], "x", 1) == 1 && read(pair[0], &kept, 1) == 1);
    if (kept && !stop_is_held(&s)) { /* aarch64 has ended its call by then: it takes our signal before it runs on */
        stop.deaf = 0;
        for (int i = 0; i < 50 && stop.deaf != tid; i++) /* beside much load somebody else may be late */
            CHECK(!stop_in(100));
        CHECK(stop.deaf == tid);
        unsigned round = atomic_load(&stop_round);
        CHECK(!stop_in(100) && atomic_load(&stop_round) == round);
    }
    CHECK(write(pair[0], "x", 1) == 1 && waitpid(debugger, NULL, 0) == debugger);
    for (int i = 0; i < 1000 && !held; i++, usleep(1000))
        held = stop_once();
    CHECK(held && write(kept_end[1], "x", 1) == 1);
    pthread_join(thread, NULL);
    close_pair(pair, true);
    close_pair(kept_end, true);
}

static void *fails_main(void *unused)
{
    while (!atomic_load(&over)) {
        bool begun = exec_begin();
        for (uint64_t began = now_ns(); now_ns() - began < 200000;)
            ;
        exec_end(begun);
    }
    return unused;
}

/* One exec after the other that fails leaves time to stop. */
static void failing_execs_hold(void)
{
    pthread_t thread;
    int held = 0;
    atomic_store(&over, false);
    CHECK(pthread_create(&thread, NULL, fails_main, NULL) == 0);
    for (int i = 0; i < 200 && held < 10; i++)
        held += stop_once();
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    CHECK(held >= 10);
}

static atomic_int exec_state; /* 1: an exec has begun, 2: it is to end, 3: it has, 4: another one has begun */

static void *execs_main(void *unused)
{
    bool begun = exec_begin();
    CHECK(begun);
    atomic_store(&exec_state, 1);
    while (atomic_load(&exec_state) < 2)
        ;
    exec_end(begun);
    atomic_store(&exec_state, 3);
    return unused;
}

static void *execs_late_main(void *unused)
{
    bool begun = exec_begin();
    atomic_store(&exec_state, 4);
    exec_end(begun);
    return unused;
}

/* Nobody is sent a signal while some thread is in an exec, whose new program would die of it; and while some are stopped, none
 * begins. A signal handler's exec may come in the middle of another one. */
static void execs_hold(void)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, execs_main, NULL) == 0);
    while (atomic_load(&exec_state) < 1)
        sched_yield();
    CHECK(!stop_once() && stop.put_off && stop.threads == 0);
    atomic_store(&exec_state, 2);
    pthread_join(thread, NULL);
    bool own = exec_begin(), inner = exec_begin();
    CHECK(own && inner && exec_depth == 2);
    pid_t child = fork(); /* by libc: as in a child of ours then */
    if (child == 0) {
        atomic_store(&stop.execs, 7);
        child_forget_threads();
        _exit(atomic_load(&stop.execs) != 2 || !exec_begin());
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    exec_end(inner);
    exec_end(own);
    CHECK(atomic_load(&stop.execs) == 0);
    atomic_store(&stop.on, 1);
    CHECK(pthread_create(&thread, NULL, execs_late_main, NULL) == 0);
    usleep(20000);
    CHECK(atomic_load(&exec_state) == 3 && atomic_load(&stop.execs) == 0);
    stop_off();
    pthread_join(thread, NULL);
    CHECK(atomic_load(&exec_state) == 4);
}

int main(void)
{
#ifdef __SANITIZE_THREAD__
    return 0; /* it can't bear a handler that it has not installed, in a thread that begins */
#endif
    char path[] = "/tmp/unit_stop.XXXXXX";
    setenv("BIGMAAC_MIN_BIGMAAC_SIZE", "64K", 1);
    setenv("BIGMAAC_RECYCLE", "0", 1); /* nothing for a monitor to do */
    config_load();
    route_set_limit();
    bigmaac_free(bigmaac_malloc(1 << 20));
    open_all(path);
    calls_hold();
    wait_ends(poll_main, NULL);
    if (sys_unfiltered()) { /* else it begins anew at each */
        wait_ends(socket_main, NULL);
        wait_ends(socket_main, ends);
    }
    raw_wait_repeats();
    setuid_holds();
    several_hold();
    vfork_holds();
    blocked_holds();
    skipped_holds();
    faults_hold();
    execs_hold();
    failing_execs_hold();
    vfork_is_deaf();
    kept_is_deaf();
    msgctl(queue, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    return check_result();
}
