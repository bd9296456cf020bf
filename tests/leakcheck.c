/* leakcheck.c - preloaded behind bigmaac.so by the runner: when a program or a child of its ends,
 * compares what the library counts with what the kernel knows of the process, and writes one line
 * to the file in LEAKCHECK: "ok" or "LEAK PID PROGRAM: what". Checked are
 *   descriptors   no more swap files open than the library counts; each of them is mapped, but two
 *                 that may be new or nobody's any more; no more than 24 files of the kernel's kept
 *   mappings      each swap file that is mapped is open too, unless a fork has frozen it; none is,
 *                 but the fries', when nothing is live or warm. LEAKCHECK_LEFT more may be, of
 *                 blocks that were freed while the process had no mappings left
 *   disk blocks   the open swap files have no more than the library counts; of processes without
 *                 fries, since the kernel gives the whole of a large folio blocks when it is stored
 *                 to, and so brings punched pages' back
 *   threads       at most one of the library's
 * The library's thread may be at work meanwhile, so only what stays wrong for a second is.
 * Without any allocation, which would change what is looked at. Not a test. */
#define _GNU_SOURCE
#include "bigmaac.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 1 << 15, FILES_MAX = SLOTS / 2, KEPT_MAX = 24 };

static char folder[512], report_to[512];
static rlim_t limit_first;
static size_t left; /* mappings that may stay */
static pid_t process;      /* that of this memory: a child of vfork has another */
static int forked;         /* an ancestor's or an own fork may have frozen files */
static char what[256];     /* is wrong */

struct files { /* a set: each number in the first free slot from where it belongs */
    size_t count;
    ino_t slot[SLOTS];
};
static struct files opened, mapped;
static size_t descriptors, kept, blocks;

static rlim_t limit_now(void)
{
    struct rlimit l;
    return getrlimit(RLIMIT_NOFILE, &l) == 0 ? l.rlim_cur : 0;
}

static ino_t *files_slot(struct files *f, ino_t ino)
{
    size_t at = ino * 0x9e3779b97f4a7c15u >> 49;
    while (f->slot[at] && f->slot[at] != ino)
        at = (at + 1) % SLOTS;
    return &f->slot[at];
}

static void files_add(struct files *f, ino_t ino)
{
    ino_t *slot = files_slot(f, ino);
    if (*slot == 0 && f->count < FILES_MAX) {
        *slot = ino;
        f->count++;
    }
}

static size_t files_without(struct files *f, struct files *other)
{
    size_t missing = 0;
    for (size_t i = 0; i < SLOTS; i++)
        missing += f->slot[i] && !*files_slot(other, f->slot[i]);
    return missing;
}

static int is_swap_name(const char *name, size_t length)
{
    static const char gone[] = " (deleted)";
    size_t n = strlen(folder);
    return n && length > n + sizeof gone && memcmp(name, folder, n) == 0 && name[n] == '/' &&
           !memchr(name + n + 1, '/', length - n - 1) &&
           memcmp(name + length - (sizeof gone - 1), gone, sizeof gone - 1) == 0;
}

/* Calls look(name) for each entry of a folder. */
static void each_entry(const char *path, void (*look)(const char *))
{
    char entries[4096];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (long n; fd >= 0 && (n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0;)
        for (long at = 0; at < n;) {
            unsigned short length;
            memcpy(&length, entries + at + 16, sizeof length);
            if (entries[at + 19] != '.')
                look(entries + at + 19);
            at += length;
        }
    if (fd >= 0)
        close(fd);
}

/* Ours are close-on-exec and high, so that nobody's temporary file is taken for one. */
static void look_at_fd(const char *name)
{
    char path[64], target[1024];
    struct stat st;
    int fd = atoi(name);
    rlim_t high = limit_first > 4096 ? 2048 : limit_first / 2;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if ((rlim_t)fd < high || length <= 0 || (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
        return;
    target[length] = 0;
    kept += strncmp(target, "/proc/", 6) == 0 || strncmp(target, "/sys/", 5) == 0;
    if (!is_swap_name(target, (size_t)length) || fstat(fd, &st) != 0)
        return;
    blocks += (size_t)st.st_blocks * 512;
    descriptors++;
    files_add(&opened, st.st_ino);
}

static size_t threads;
static void look_at_thread(const char *name)
{
    char path[64], comm[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, comm, sizeof comm - 1) > 0)
        threads += strcmp(comm, "bigmaac\n") == 0;
    if (fd >= 0)
        close(fd);
}

/* "from-to perm offset dev inode    name" */
static void look_at_mapping(const char *line, size_t length)
{
    char *name = memchr(line, '/', length);
    if (!name || !is_swap_name(name, length - (size_t)(name - line)))
        return;
    forked |= strchr(line, ' ')[4] == 'p'; /* or as after a fork: held from the disk */
    for (int field = 0; field < 4; field++)
        line = strchr(line, ' ') + 1;
    files_add(&mapped, strtoul(line, NULL, 10));
}

static void look_at_mappings(void)
{
    static char text[1 << 16];
    size_t used = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t n; fd >= 0 && (n = read(fd, text + used, sizeof text - used)) > 0;) {
        char *at = text, *end;
        used += (size_t)n;
        while ((end = memchr(at, '\n', used - (size_t)(at - text)))) {
            look_at_mapping(at, (size_t)(end - at));
            at = end + 1;
        }
        used -= (size_t)(at - text);
        memmove(text, at, used);
    }
    if (fd >= 0)
        close(fd);
}

static int wrong(const char *text, size_t is, size_t at_most)
{
    if (is > at_most)
        snprintf(what, sizeof what, "%s: %zu, at most %zu", text, is, at_most);
    return is > at_most;
}

/* 1: something is wrong at the moment. */
static int look(void)
{
    struct bigmaac_stats s = {.size = sizeof s};
    memset(&opened, 0, sizeof opened);
    memset(&mapped, 0, sizeof mapped);
    descriptors = kept = blocks = threads = 0;
    if (bigmaac_stats(&s) != 0)
        return 0;
    each_entry("/proc/self/fd", look_at_fd);
    each_entry("/proc/self/task", look_at_thread);
    look_at_mappings();
    if (opened.count >= FILES_MAX || mapped.count >= FILES_MAX)
        return 0;
    if (wrong("threads of the library", threads, 2))
        return 1;
    if (limit_now() != limit_first)
        return 0; /* the program has moved what is a high descriptor */
    int nothing = s.bigmaac_bytes == 0 && s.warm_bytes == 0;
    size_t disk = s.file_bytes + s.file_bytes / 16 + (1 << 20);
    return wrong("swap files open that are not counted", descriptors, s.files) ||
           wrong("kernel's files kept open", kept, KEPT_MAX) ||
           wrong("swap files open and not mapped", files_without(&opened, &mapped), 2) ||
           (!forked && descriptors == s.files &&
            wrong("swap files mapped and not open", files_without(&mapped, &opened), left)) ||
           (nothing && !forked && wrong("swap files mapped with nothing live", mapped.count, 1 + left)) ||
           (nothing && wrong("swap files open with nothing live", descriptors, forked ? 2 : 1)) ||
           (!forked && s.fries == 0 && wrong("bytes of disk", blocks, disk));
}

static void check(void)
{
    char line[1024], name[64] = "";
    if (process != getpid() || !*report_to || !bigmaac_stats)
        return;
    int err = errno, bad = 1;
    char before[sizeof what] = "";
    for (int same = 0, all = 0; same < 20 && all < 600 && (bad = look()); all++) {
        same = strcmp(what, before) == 0 ? same + 1 : 0; /* the library's thread is at it: a slow machine takes longer */
        memcpy(before, what, sizeof before);
        usleep(50000);
    }
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, name, sizeof name - 1) : 0;
    close(fd);
    name[n > 0 ? n - 1 : 0] = 0;
    n = bad ? snprintf(line, sizeof line, "LEAK %d %s: %s\n", (int)process, name, what)
            : snprintf(line, sizeof line, "ok\n");
    fd = open(report_to, O_WRONLY | O_APPEND | O_CLOEXEC); /* made by the runner */
    if (fd >= 0 && write(fd, line, (size_t)n) == n)
        close(fd);
    errno = err;
}

static void in_parent(void) { forked = 1; }
static void in_child(void) { forked = 1, process = getpid(); }

__attribute__((constructor)) static void begin(void)
{
    const char *template = getenv("BIGMAAC_TEMPLATE"), *to = getenv("LEAKCHECK"), *may = getenv("LEAKCHECK_LEFT");
    const char *slash = template ? strrchr(template, '/') : NULL;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - template) : 4, slash ? template : "/tmp");
    snprintf(report_to, sizeof report_to, "%s", to ? to : "");
    limit_first = limit_now();
    left = may ? strtoul(may, NULL, 10) : 0;
    process = getpid();
    pthread_atfork(NULL, in_parent, in_child);
}

__attribute__((destructor)) static void end(void) { check(); }

/* Children of fork end this way. */
void _exit(int status)
{
    if (forked)
        check();
    syscall(SYS_exit_group, status);
    __builtin_unreachable();
}
