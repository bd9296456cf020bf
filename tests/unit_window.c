/* unit_window.c - a child does not inherit the window through which the monitor reads ahead: nobody
 * would ever unmap it there, and the file would live as long as the child. */
#include "../bigmaac.c"
#include "check.h"
#include <sys/wait.h>

static atomic_bool reads, done;

static void *read_ahead(void *range)
{
    const struct range *g = range;
    struct scan s;
    scan_begin(&s, g);
    for (size_t unit = 0; !atomic_load(&done); unit = (unit + 1) % s.units)
        if (op_read(g, unit * s.unit, unit_bytes(&s, g, unit))) /* not any more once the fork has closed the file */
            atomic_store(&reads, true);
    return NULL;
}

static bool has_window(void)
{
    static char text[1 << 20];
    size_t used = 0;
    int fd = open("/proc/self/maps", O_RDONLY);
    for (long n = 1; n > 0 && used < sizeof text - 1; used += (size_t)(n > 0 ? n : 0))
        n = read(fd, text + used, sizeof text - 1 - used);
    close(fd);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, " r--s ") && strstr(line, "deleted"))
            return true;
    return false;
}

static bool child_has_window(void)
{
    const size_t bytes = 64 << 20;
    char *p = bigmaac_malloc(bytes);
    int status = -1;
    pthread_t thread;
    CHECK(p != NULL);
    memset(p, 1, bytes);
    ranges_find();
    CHECK(pager.ranges == 1);
    struct range g = pager.range[0];
    atomic_store(&reads, false);
    atomic_store(&done, false);
    pthread_create(&thread, NULL, read_ahead, &g);
    while (!atomic_load(&reads))
        sched_yield();
    pid_t pid = fork();
    if (pid == 0)
        _exit(has_window());
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    atomic_store(&done, true);
    pthread_join(thread, NULL);
    CHECK(madvise_own(p, bytes, MADV_FREE) == 0);
    bigmaac_free(p);
    return status != 0;
}

static bool place_see(const struct vma *v, void *end)
{
    if (v->from <= *(uintptr_t *)end && v->protection == PROT_NONE && !v->inode)
        *(uintptr_t *)end = v->to;
    return true;
}

/* Is all of the place taken, by nothing that could be read? */
static bool place_is_empty(void)
{
    uintptr_t from = (uintptr_t)own_area.start, to = from + own_start(OWN_TABLES), end = from;
    return own_area.pid == getpid() && vmas_walk(from, to, place_see, &end) && end == to;
}

static bool vma_exists(const struct vma *v, void *seen)
{
    (void)v;
    *(bool *)seen = true;
    return false;
}

/* In a child: the place is there, and empty; or something else has come to lie there, as the stack of the thread that TSan starts. */
static bool place_is_renewed(void)
{
    uintptr_t from = (uintptr_t)own_area.start;
    bool taken = false;
    return own_area.pid ? place_is_empty() : vmas_walk(from, from + own_start(OWN_TABLES), vma_exists, &taken) && taken;
}

static char *handlers_page; /* NULL: the handler has nothing to do */

/* Where a window of its parent was, a library's handler that runs before ours maps something. */
static void handler_map(void)
{
    char *at = own_area.start + own_start(OWN_WINDOW);
    if (!handlers_page)
        return;
    handlers_page = mmap(at, sys_page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (handlers_page == at)
        *at = 7;
}

__attribute__((constructor(101))) static void handler_register(void) { pthread_atfork(NULL, NULL, handler_map); }

/* It keeps what it has mapped; our threads' place is another. */
static bool handlers_page_stays(void)
{
    char *old = own_area.start, *at = old + own_start(OWN_WINDOW);
    if (handlers_page != at || *at != 7 || own_area.pid)
        return false;
    own_open();
    char *ring = own_map(OWN_RINGS, 0, sys_page(), PROT_READ, anon_flags, -1, 0);
    return own_area.pid == getpid() && own_area.start != old && ring == own_area.start + own_start(OWN_RINGS) && *at == 7;
}

/* What our threads map for a while is in a place of its own, and never where the program has unmapped something a moment
 * ago and maps it again: neither while it is there, nor after, nor in a child. */
static void test_place(void)
{
    enum { BYTES = 16 << 20 };
    char *p = bigmaac_malloc(BYTES);
    int status = -1;
    mon_open();
    CHECK(p && place_is_empty());
    memset(p, 1, BYTES);
    ranges_find();
    char *window = window_open(&pager.range[0], 0, BYTES);
    CHECK(window == own_area.start + own_start(OWN_WINDOW) && window[BYTES - 1] == 1 && !place_is_empty());
    pid_t pid = fork();
    if (pid == 0)
        _exit(!place_is_renewed());
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    handlers_page = p;
    pid = fork();
    if (pid == 0)
        _exit(!handlers_page_stays());
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    handlers_page = NULL;
    own_unmap(window, BYTES);
    CHECK(place_is_empty());
    char *ring = own_map(OWN_RINGS, 4 * sys_page(), 2 * sys_page(), PROT_READ, anon_flags, -1, 0);
    CHECK(ring == own_area.start + own_start(OWN_RINGS) + 4 * sys_page());
    CHECK(own_map(OWN_RINGS, 4 * sys_page(), 2 * sys_page(), PROT_READ, MAP_SHARED, -1, 0) == MAP_FAILED && place_is_empty());
    char *large = own_map(OWN_RINGS, 0, own_bytes[OWN_RINGS] + sys_page(), PROT_READ, anon_flags, -1, 0);
    CHECK(large != MAP_FAILED && (size_t)(large - own_area.start) >= own_start(OWN_PARTS));
    own_unmap(large, own_bytes[OWN_RINGS] + sys_page());
    own_area.pid++; /* a child by a bare call: it is not its own */
    CHECK(own_map(OWN_RINGS, 0, sys_page(), PROT_READ, MAP_SHARED, -1, 0) == MAP_FAILED);
    own_area.pid--;
    CHECK(place_is_empty());
    char *table = own_table(5000);
    CHECK(table == own_area.start + own_start(OWN_TABLES) && own_table(1) == table + round_up(5000, sys_page()) && !table[4999]);
    table[0] = 7;
    pid = fork();
    if (pid == 0)
        _exit(table[0] != 7 || !place_is_renewed());
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    bigmaac_free(p);
}

#ifdef __SANITIZE_THREAD__
enum { CHILDREN = 10 }; /* a second for each */
#else
enum { CHILDREN = 100 };
#endif

int main(void)
{
    test_place();
    int inherited = 0;
    for (int i = 0; i < CHILDREN; i++)
        inherited += child_has_window();
    fprintf(stderr, "%d of %d children\n", inherited, CHILDREN);
    CHECK(inherited == 0);
    CHECK(!extent_check(&big.space) && !big_check() && !fry_check());
    return check_result();
}
