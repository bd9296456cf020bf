# Programs that close every descriptor, ours too, and then get our numbers for their own files:
# their files stay as they are, our blocks too.
. "$TOP/tests/lib.sh"
cat >"$TMP/closefrom.c" <<'C'
#include "sys_churn.h"
#include <sys/resource.h>

enum { OWN_BYTES = 200000, OWN_LOW = 40, NUMBERS = 20000 };
static int own[NUMBERS];
static size_t own_count;

/* A file of the program's own on descriptor NUMBER. */
static void own_open(const char *folder, int number)
{
    char name[600];
    struct block content = {malloc(OWN_BYTES), OWN_BYTES, 0};
    snprintf(name, sizeof name, "%s/own.%d", folder, number);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    if (fd != number) {
        CHECK(dup2(fd, number) == number);
        close(fd);
    }
    block_paint(&content, 100000 + (uint64_t)number);
    CHECK(write(number, content.p, OWN_BYTES) == OWN_BYTES);
    free(content.p);
    own[own_count++] = number;
}

static void own_check(void)
{
    struct block content = {malloc(OWN_BYTES + 1), OWN_BYTES, 0};
    for (size_t i = 0; i < own_count; i++) {
        struct stat st;
        content.seed = 100000 + (uint64_t)own[i];
        CHECK(fstat(own[i], &st) == 0 && st.st_size == OWN_BYTES);
        CHECK(pread(own[i], content.p, OWN_BYTES + 1, 0) == OWN_BYTES && block_intact(&content));
    }
    free(content.p);
}

int main(int argc, char **argv)
{
    static int ours[NUMBERS];
    if (argc < 2)
        return 2;
    for (size_t i = 0; i < 3000; i++)
        churn_step();
    for (int round = 0; round < 2; round++) {
        size_t files = swap_fds(ours, NUMBERS);
        CHECK(files > (round ? 0 : 20));
        for (size_t i = 0; i < own_count; i++)
            close(own[i]);
        closefrom(3);
        own_count = 0;
        for (int fd = 3; fd < OWN_LOW; fd++)
            own_open(argv[1], fd);
        for (size_t i = 0; i < files; i++)
            if (ours[i] >= OWN_LOW)
                own_open(argv[1], ours[i]);
        CHECK(blocks_damaged(churn_blocks, CHURN_BLOCKS) == 0);
        churn(4000, 2);
        own_check();
        for (size_t i = 0; i < CHURN_BLOCKS; i++)
            if (churn_blocks[i].p && bigmaac_try_kind(churn_blocks[i].p) == BIGMAAC_KIND_BIGMAAC && i % 2)
                block_drop(&churn_blocks[i]);
        sleep(round ? 0 : 2); /* what the library does by itself comes too */
        own_check();
        CHECK(blocks_damaged(churn_blocks, CHURN_BLOCKS) == 0);
    }
    return check_result();
}
C
compile_c "$TMP/closefrom" "$TMP/closefrom.c"
ulimit -n "$(ulimit -Hn)"
for settings in "BIGMAAC_FORK=private" "BIGMAAC_FORK=copy" "BIGMAAC_RECYCLE=0"; do
    mkdir "$TMP/own"
    # shellcheck disable=SC2086
    with $settings BIGMAAC_MIN_BIGMAAC_SIZE=64K BIGMAAC_MIN_FRY_SIZE=128 "$TMP/closefrom" "$TMP/own" 2>"$TMP/err" ||
        fail "$settings: exit status $? with: $(head -n 10 "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "$settings: printed $(head -n 5 "$TMP/err")"
    rm -r "$TMP/own"
done
