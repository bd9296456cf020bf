/* unit_room.c - where the memory control group is found: lines as /proc/self/cgroup and /proc/self/mountinfo have
 * them on machines of several kinds, and folders made here in place of the mounts. */
#include "../bigmaac.c"
#include "check.h"

static char top[] = "/var/tmp/bigmaac-unit-room.XXXXXX";

static void make_group(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", top, name);
    CHECK(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/%s/cgroup.procs", top, name);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void write_in(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", top, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Sees the lines of both files; they end with a NULL. %s in one is the folder. */
static void see(const char *const *groups, const char *const *mounts)
{
    char line[1024];
    room.group[0] = room.cgroup[0] = 0;
    room.hidden = true;
    for (; *groups; groups++) {
        snprintf(line, sizeof line, "%s", *groups);
        if (room_see_group(line))
            break;
    }
    for (; *mounts; mounts++) {
        snprintf(line, sizeof line, *mounts, top);
        if (room_see_mount(line))
            break;
    }
}
#define LINES(...) (const char *const[]){__VA_ARGS__, NULL}

static void check_found(const char *name, bool v2, bool hidden)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s%s", top, *name ? "/" : "", name);
    if (strcmp(room.cgroup, path) != 0)
        fprintf(stderr, "found \"%s\", not \"%s\"\n", room.cgroup, path);
    CHECK(strcmp(room.cgroup, path) == 0 && room.top >= strlen(top));
    CHECK(room.v2 == v2 && room.hidden == hidden);
}

static void test_version_1(void)
{
    see(LINES("9:name=systemd:/user", "4:cpu,memory:/a/b", "0::/none"),
        LINES("23 1 254:0 / / rw - ext4 /dev/vda rw", "34 31 0:30 / %s rw shared:9 - cgroup cgroup rw,cpuset",
              "35 31 0:32 / %s rw shared:9 master:1 - cgroup cgroup rw,memory"));
    check_found("a/b", false, false);
    see(LINES("4:memory:/docker/0123"), LINES("35 31 0:32 /docker/0123 %s rw - cgroup cgroup rw,memory"));
    check_found("", false, false);
    see(LINES("4:memory:/docker/0123"), LINES("35 31 0:32 / %s rw - cgroup cgroup rw,memory")); /* the host's name */
    check_found("", false, true);
    see(LINES("4:memory:/docker/01234"), LINES("35 31 0:32 /docker/0123 %s rw - cgroup cgroup rw,memory"));
    check_found("", false, true);
}

static void test_version_2(void)
{
    see(LINES("0::/a/b"), LINES("41 31 0:38 / %s rw - cgroup2 cgroup2 rw"));
    check_found("a/b", true, false);
    see(LINES("0::/"), LINES("41 31 0:38 / %s rw - cgroup2 cgroup2 rw"));
    check_found("", true, false);
    see(LINES("0::/a"), LINES("40 31 0:38 /other %s/a rw - cgroup2 cgroup2 rw", "41 31 0:38 / %s rw - cgroup2 none rw"));
    check_found("a", true, false);
    see(LINES("0::/a"), LINES("41 31 0:38 / %s/with\\040space rw - cgroup2 none rw"));
    check_found("with space/a", true, true); /* its top is no first level */
    see(LINES("0::/"), LINES("41 31 0:38 /../.. %s/a rw - cgroup2 none rw"));
    check_found("a", true, true);
    see(LINES("0::/a"), LINES("23 1 254:0 / / rw - ext4 /dev/vda rw", "malformed", ""));
    CHECK(!room.cgroup[0] && room.hidden);
}

/* The lowest limit of all levels; what a level has in use, but for its page cache, is not to be had. */
static void test_levels(void)
{
    room_note_group(); /* that there is, else the first look would find it */
    see(LINES("0::/a/b"), LINES("41 31 0:38 / %s rw - cgroup2 cgroup2 rw"));
    atomic_store(&room.found, true);
    atomic_store(&room.read_ms, 0);
    CHECK(room_bytes() > 64 * mib);
    write_in("a/memory.max", "67108864\n");
    write_in("a/memory.high", "max\n");
    write_in("a/memory.current", "25165824\n");
    write_in("a/memory.stat", "anon 8388608\nfile 16777216\nshmem 0\n");
    write_in("a/b/memory.max", "max\n");
    CHECK(room_read() == 56 * mib);
    write_in("a/b/memory.high", "33554432\n");
    write_in("a/b/memory.current", "4194304\n");
    CHECK(room_read() == 32 * mib); /* what is in use is not known: memory.stat is missing */
    write_in("a/b/memory.stat", "file 1048576\nshmem 524288\n");
    CHECK(room_read() == 32 * mib - 4 * mib + 512 * kib);

    see(LINES("4:memory:/a/b"), LINES("41 31 0:38 / %s rw - cgroup cgroup rw,memory"));
    write_in("a/b/memory.stat", "total_cache 0\nhierarchical_memory_limit 50331648\n");
    write_in("a/b/memory.limit_in_bytes", "9223372036854771712\n");
    write_in("a/b/memory.usage_in_bytes", "2097152\n");
    CHECK(room_read() == 46 * mib);
    write_in("a/memory.limit_in_bytes", "41943040\n"); /* no usage there: all of it */
    CHECK(room_read() == 40 * mib);
}

/* Our own thread, which must open nothing, knows nothing then; another one finds the group that it is now. */
static void test_moved(void)
{
    see(LINES("0::/a/b"), LINES("41 31 0:38 / %s rw - cgroup2 cgroup2 rw"));
    room.hidden = false;
    room.groups++;
    atomic_store(&room.found, true);
    atomic_store(&mon.running, true);
    mon_self = true;
    room_read();
    CHECK(!atomic_load(&mon.wanted) && atomic_load(&room.found)); /* it can't even see that */
    mon_self = false;
    read_kept("/proc/self/cgroup", room.text, sizeof room.text, 0);
    mon_self = true;
    room_read();
    CHECK(atomic_load(&mon.wanted) && !atomic_load(&room.found) && room.hidden && text_begins(room.cgroup, top));
    mon_self = false;
    atomic_store(&mon.running, false);
    room_read();
    CHECK(atomic_load(&room.found) && !text_begins(room.cgroup, top));
    for (struct kept *k = kept; k < kept + KEPT_MAX && k->path[0]; k++)
        CHECK(!text_begins(k->path, top));
    atomic_store(&mon.wanted, false);
}

int main(void)
{
    CHECK(mkdtemp(top) != NULL);
    write_in("cgroup.procs", "");
    make_group("a");
    make_group("a/b");
    make_group("with space");
    make_group("with space/a");
    test_version_1();
    write_in("with space/cgroup.events", "");
    write_in("a/cgroup.events", "");
    test_version_2();
    test_levels();
    test_moved();
    CHECK(room_by_sysinfo() > 16 * mib);
    char command[600];
    snprintf(command, sizeof command, "rm -r %s", top);
    CHECK(system(command) == 0);
    return check_result();
}
