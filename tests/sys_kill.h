/* sys_kill.h - SIGKILL at random moments, for kill.sh: a worker that allocates, grows, frees and
 * forks as fast as it can, and the one that starts and kills workers.
 *     program work COUNTERS | program kill COUNTERS HOW_MANY SEED COMMAND... (a worker's) */
#ifndef SYS_KILL_H
#define SYS_KILL_H

#include "sys_blocks.h"
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum { KILL_WORKERS = 4, KILL_BLOCKS = 40, KILL_MS = 100, KILL_MET = 10 /* steps */ };

/* Shared by all; what tells whether the kills met anything. */
struct kill_counters {
    uint64_t bigmaacs, fries, forks, steps;
    uint64_t met; /* kills of workers that had made bigmaacs and fries */
    uint64_t step_of[KILL_WORKERS];
};

static inline struct kill_counters *kill_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ftruncate(fd, sizeof(struct kill_counters));
    void *p = mmap(NULL, sizeof(struct kill_counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static inline void kill_count(uint64_t *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); }

static inline size_t kill_size(void)
{
    switch (random_below(4)) {
    case 0: return 65537 + random_below(1 << 20);
    case 1: return 65537 + random_below(200000);
    default: return 129 + random_below(60000);
    }
}

/* Never returns. A disk that is full for a moment is no failure here. */
static inline void kill_work(struct kill_counters *shared, unsigned slot)
{
    static struct block blocks[KILL_BLOCKS];
    for (;;) {
        struct block *b = &blocks[random_below(KILL_BLOCKS)];
        size_t size = kill_size();
        if (!b->p && (b->p = opaque(malloc(size)))) {
            int kind = bigmaac_try_kind(b->p);
            kill_count(kind == BIGMAAC_KIND_BIGMAAC ? &shared->bigmaacs : &shared->fries);
            b->size = size;
        } else if (random_below(3) == 0) {
            void *p = opaque(realloc(b->p, size));
            b->p = p ? p : b->p;
            b->size = p ? size : b->size;
        } else {
            block_drop(b);
        }
        for (size_t at = 0; b->p && at < b->size; at += 4096)
            ((char *)b->p)[at] = 1;
        kill_count(&shared->steps);
        __atomic_fetch_add(&shared->step_of[slot], 1, __ATOMIC_RELAXED);
        if (random_below(40) == 0 && fork() == 0) {
            kill_count(&shared->forks);
            for (struct block *c = blocks; c < blocks + KILL_BLOCKS; c++)
                if (c->p && (random_below(2) || !(c->p = realloc(c->p, c->size * 2 + 1))))
                    block_drop(c);
            _exit(0);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

static inline uint64_t kill_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Starts a worker with a process group of its own; its children die with it. */
static inline pid_t kill_start(unsigned slot, char **command)
{
    char seed[32], number[8];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)random_word());
    snprintf(number, sizeof number, "%u", slot);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        setenv("KILL_SEED", seed, 1);
        setenv("KILL_SLOT", number, 1);
        execvp(command[0], command);
        _exit(127);
    }
    setpgid(pid, pid);
    return pid;
}

/* Kills `kills` workers, each after a random time, every second one not before it has made something. 0: all of them died
 * of it. */
static inline int kill_all(struct kill_counters *shared, unsigned kills, char **command)
{
    pid_t worker[KILL_WORKERS] = {0};
    uint64_t due[KILL_WORKERS];
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (unsigned killed = 0; killed < kills; killed++) {
        unsigned next = 0;
        for (unsigned i = 0; i < KILL_WORKERS; i++) {
            if (!worker[i]) {
                shared->step_of[i] = 0;
                worker[i] = kill_start(i, command);
                due[i] = kill_now_us() + random_below(KILL_MS * 1000);
            }
            next = due[i] < due[next] ? i : next;
        }
        uint64_t now = kill_now_us();
        if (due[next] > now)
            usleep((useconds_t)(due[next] - now));
        int status;
        if (killed % 2 && shared->step_of[next] <= KILL_MET && waitpid(worker[next], &status, WNOHANG) == 0) {
            due[next] = kill_now_us() + random_below(KILL_MS * 1000); /* it may take longer than that to begin */
            killed--;
            continue;
        }
        CHECK(kill(-worker[next], SIGKILL) == 0);
        CHECK(waitpid(worker[next], &status, 0) == worker[next]);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        shared->met += shared->step_of[next] > KILL_MET;
        worker[next] = 0;
    }
    for (unsigned i = 0; i < KILL_WORKERS; i++)
        if (worker[i])
            kill(-worker[i], SIGKILL);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    return check_result();
}

#endif
