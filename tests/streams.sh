#!/usr/bin/env bash
# A stream through more than the memory holds, time and again: the kernel alone keeps nothing that
# the next pass needs, and reads all of it each time. Under adaptive paging a part stays, whether the
# stream only reads or writes as well; under a fixed policy it does not. The contents are right.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/stream.c" <<'END'
#include "check.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* stream MIB MOST WRITES: prints what a pass of the later ones read, in percent of the data: once it is at most MOST, or
 * when the thread that looks, which comes late on a loaded machine, has had passes enough. */
int main(int argc, char **argv)
{
    size_t words = strtoul(argv[1], NULL, 10) << 17, writes = argc > 3 && argv[3][0] == '1';
    unsigned long long most = strtoull(argv[2], NULL, 10), percent = ~0ull;
    uint64_t *p = malloc(words * 8);
    CHECK(p);
    for (size_t i = 0; i < words; i++)
        p[i] = i * 0x9E3779B97F4A7C15;
    unsigned long long before = process_io("read_bytes");
    for (size_t pass = 0; pass < 40 && percent > most; pass++) {
        uint64_t wrong = 0;
        for (size_t i = 0; i < words; i++) {
            wrong |= p[i] ^ (i * 0x9E3779B97F4A7C15 + pass * writes);
            if (writes)
                p[i]++;
        }
        CHECK(wrong == 0);
        if (pass % 4 == 3) {
            percent = pass == 3 ? ~0ull : (process_io("read_bytes") - before) * 100 / (4 * words * 8);
            before = process_io("read_bytes");
        }
    }
    printf("%llu\n", percent);
    return check_result();
}
END
compile_c "$TMP/stream" "$TMP/stream.c"
percent() { # PAGING MOST WRITES: what a pass reads
    limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_PAGING="$1" "$TMP/stream" 640 "$2" "$3" >"$TMP/out" || fail "$1, writes $3: status $?"
    echo "paging=$1 writes=$3: a pass reads $(cat "$TMP/out") % of the data" >&2
    cat "$TMP/out"
}
fixed=$(percent sequential 1000 0) || exit $?
[ "$fixed" -ge 90 ] || fail "the kernel alone reads $fixed %: this proves nothing"
keeps() { # MOST WRITES
    local part
    part=$(percent adaptive "$1" "$2") || exit $?
    [ "$part" -le "$1" ] || fail "a stream, writes $2: $part %"
}
keeps 90 0
keeps 95 1

# A stream beside picks at random from another array: the kernel lets the stream push them out, which gains
# it nothing. Prints how much of the array that is picked from is in memory, in percent.
cat >"$TMP/beside.c" <<'END'
#include "sys_blocks.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>

static const size_t words = (size_t)256 << 17;
static const uint64_t step = 0x9E3779B97F4A7C15;
static atomic_bool done;

static void *pick(void *data)
{
    uint64_t *p = data, wrong = 0;
    while (!atomic_load(&done)) {
        size_t i = random_below(words);
        wrong |= p[i] ^ i * step;
    }
    CHECK(wrong == 0);
    return NULL;
}

int main(void)
{
    uint64_t *streamed = malloc(words * 8), *picked = malloc(words * 8), wrong = 0;
    unsigned char *vector = mmap(NULL, words / 512, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    CHECK(streamed && picked && vector != MAP_FAILED);
    for (size_t i = 0; i < words; i++)
        streamed[i] = picked[i] = i * step;
    CHECK(pthread_create(&thread, NULL, pick, picked) == 0);
    size_t resident = 0;
    for (int pass = 0; pass < 100 && (pass < 10 || resident * 100 < words / 512 * 40); pass++) {
        for (size_t i = 0; i < words; i++)
            wrong |= streamed[i] ^ i * step;
        CHECK(mincore(picked, words * 8, vector) == 0);
        resident = 0;
        for (size_t i = 0; i < words / 512; i++)
            resident += vector[i] & 1;
    }
    CHECK(wrong == 0);
    atomic_store(&done, true);
    pthread_join(thread, NULL);
    printf("%zu\n", resident * 100 / (words / 512));
    return check_result();
}
END
compile_c "$TMP/beside" "$TMP/beside.c"
limited $((256 << 20)) env LD_PRELOAD="$LIB" BIGMAAC_PAGING=adaptive "$TMP/beside" >"$TMP/out" || fail "picks beside a stream: status $?"
echo "picks beside a stream: $(cat "$TMP/out") % of them in memory" >&2
[ "$(cat "$TMP/out")" -ge 40 ] || fail "a stream pushes out what is picked at random"
exit 0
