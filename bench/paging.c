/* paging.c - one access pattern over data larger than the memory, measured and checked.
 * SPDX-License-Identifier: MIT
 *
 *     paging PATTERN MIB SECONDS [SEED] [--blocks N] [--phase SECONDS] [--verify]
 *
 * The data comes from plain malloc: under LD_PRELOAD it is a bigmaac (or, with --blocks N, many
 * blocks of N bytes, so fries), without it anonymous memory. It is filled first; then the pattern
 * runs for SECONDS. Patterns: see `kinds` below, and
 *     two     one array streamed by one thread, another one picked at random by a second thread
 *     phases  seqread, rand8r, rand64k in turn, 3 s each (--phase)
 *
 * Prints one line of key=value fields. `results` has NAME:UNIT:RATE:FINAL:SETTLE_MS, separated
 * by commas: one for most patterns, two for `two`, one per phase for `phases`. RATE is the mean,
 * FINAL the mean of the last third, SETTLE_MS the time until a slice of 50 ms first reached 80 %
 * of FINAL. MB are 10^6 bytes.
 *
 * Each word has a value that follows from its index and from how often it was written, and each
 * word that is read is compared with it. Exit status: 0, 1 a wrong word, 2 could not run.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

enum {
    PAGE_WORDS = 4096 / 8,
    CHUNK_WORDS = 65536 / 8, /* what a stream does between two looks at the clock's orders */
    STRIDE_WORDS = 16384 / 8,
    SLICE_MS = 50,
    MAX_KINDS = 8,
    MAX_WORKERS = 2
};
static const uint64_t step_per_word = 0x9E3779B97F4A7C15;

/* ---- The data: words in blocks ---------------------------------------------------------- */

struct data {
    uint64_t **blocks;  /* ordinary anonymous memory: the table itself is never swapped by us */
    size_t block_words; /* words per block; the only block has them all without --blocks */
    size_t words;
};

static uint64_t seed = 1;

static uint64_t value_of(size_t word)
{
    return seed + word * step_per_word;
}

static void die(const char *what)
{
    fprintf(stderr, "paging: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* Memory for book-keeping, which must be neither bigmaac nor fry. */
static void *own_memory(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        die("mmap");
    return p;
}

static void data_make(struct data *data, size_t words, size_t block_bytes)
{
    data->words = words;
    data->block_words = block_bytes ? block_bytes / 8 : words;
    size_t count = (words + data->block_words - 1) / data->block_words;
    data->blocks = own_memory(count * sizeof *data->blocks);
    for (size_t b = 0; b < count; b++)
        if (!(data->blocks[b] = malloc(data->block_words * 8)))
            die("malloc");
}

/* The address of a word; *run becomes how many follow it (at most `wanted`) without a gap. */
static uint64_t *data_run(const struct data *data, size_t word, size_t wanted, size_t *run)
{
    size_t block = word / data->block_words, offset = word % data->block_words;
    size_t left = data->block_words - offset;
    *run = left < wanted ? left : wanted;
    return data->blocks[block] + offset;
}

static uint64_t *data_word(const struct data *data, size_t word)
{
    size_t run;
    return data_run(data, word, 1, &run);
}

static void data_fill(struct data *data)
{
    for (size_t word = 0, run; word < data->words; word += run) {
        uint64_t *p = data_run(data, word, data->words - word, &run);
        uint64_t value = value_of(word);
        for (size_t i = 0; i < run; i++, value += step_per_word)
            p[i] = value;
    }
}

/* ---- Workers and their patterns --------------------------------------------------------- */

struct worker {
    _Alignas(64) _Atomic uint64_t done[MAX_KINDS]; /* bytes or operations, per kind; worker writes */
    _Atomic int kind;                              /* what to do now; the main thread writes */
    struct data data;
    uint64_t random;    /* state of the generator */
    size_t position;    /* next word of a stream */
    uint64_t pass;      /* whole passes done by a stream */
    uint16_t *written;  /* rand8w: how often each page's word was written */
    uint32_t *scatter;  /* zipf: from rank to page */
    pthread_t thread;
};

static _Atomic bool stop;
static _Atomic uint64_t wrong;

static uint64_t random_next(struct worker *w)
{
    uint64_t z = w->random += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static size_t random_below(struct worker *w, size_t limit)
{
    return (size_t)(((unsigned __int128)random_next(w) * limit) >> 64);
}

static void check_word(size_t word, uint64_t is, uint64_t should)
{
    if (is == should)
        return;
    if (atomic_fetch_add(&wrong, 1) == 0)
        fprintf(stderr, "paging: word %zu is %#jx, not %#jx\n", word, (uintmax_t)is,
                (uintmax_t)should);
    atomic_store(&stop, true);
}

/* Compares `count` words from `word` on with their values plus `writes`. */
static void check_range(struct worker *w, size_t word, size_t count, uint64_t writes)
{
    for (size_t end = word + count, run; word < end; word += run) {
        const uint64_t *p = data_run(&w->data, word, end - word, &run);
        uint64_t value = value_of(word) + writes, difference = 0;
        for (size_t i = 0; i < run; i++, value += step_per_word)
            difference |= p[i] ^ value;
        if (!difference)
            continue;
        for (size_t i = 0; i < run; i++)
            check_word(word + i, p[i], value_of(word + i) + writes);
    }
}

static void stream_advance(struct worker *w, size_t words)
{
    w->position += words;
    if (w->position >= w->data.words) {
        w->position = 0;
        w->pass++;
    }
}

static uint64_t step_seqread(struct worker *w)
{
    check_range(w, w->position, CHUNK_WORDS, 0);
    stream_advance(w, CHUNK_WORDS);
    return CHUNK_WORDS * 8;
}

static uint64_t step_seqrmw(struct worker *w)
{
    for (size_t word = w->position, end = word + CHUNK_WORDS, run; word < end; word += run) {
        uint64_t *p = data_run(&w->data, word, end - word, &run);
        uint64_t value = value_of(word) + w->pass, difference = 0;
        for (size_t i = 0; i < run; i++, value += step_per_word) {
            difference |= p[i] ^ value;
            p[i]++;
        }
        if (difference)
            check_range(w, word, run, w->pass + 1);
    }
    stream_advance(w, CHUNK_WORDS);
    return CHUNK_WORDS * 8;
}

static uint64_t step_rand8r(struct worker *w)
{
    size_t word = random_below(w, w->data.words);
    check_word(word, *data_word(&w->data, word), value_of(word));
    return 1;
}

/* Each page has one word that is written: so a small table knows what every word should be. */
static size_t written_word(size_t page)
{
    return page * PAGE_WORDS + (page * step_per_word >> 55);
}

static uint64_t step_rand8w(struct worker *w)
{
    size_t page = random_below(w, w->data.words / PAGE_WORDS), word = written_word(page);
    uint64_t *p = data_word(&w->data, word);
    check_word(word, *p, value_of(word) + w->written[page]);
    w->written[page]++;
    *p = value_of(word) + w->written[page];
    return 1;
}

static uint64_t read_block(struct worker *w, size_t words)
{
    check_range(w, random_below(w, w->data.words / words) * words, words, 0);
    return 1;
}

static uint64_t step_rand64k(struct worker *w) { return read_block(w, CHUNK_WORDS); }
static uint64_t step_rand256k(struct worker *w) { return read_block(w, 4 * CHUNK_WORDS); }

/* Every pass takes other pages: a quarter of the data would come to fit in the memory. */
static uint64_t step_stride16k(struct worker *w)
{
    size_t word = w->position + w->pass % (STRIDE_WORDS / PAGE_WORDS) * PAGE_WORDS;
    check_word(word, *data_word(&w->data, word), value_of(word));
    stream_advance(w, STRIDE_WORDS);
    return 1;
}

/* The rank comes from inverting the integral of x^-0.99, near enough to the sum. */
static uint64_t step_zipf(struct worker *w)
{
    double pages = (double)(w->data.words / PAGE_WORDS), s = 0.99;
    double u = (double)(random_next(w) >> 11) * 0x1p-53;
    double rank = pow(u * (pow(pages + 1, 1 - s) - 1) + 1, 1 / (1 - s)) - 1;
    size_t page = w->scatter[rank < pages ? (size_t)rank : (size_t)pages - 1];
    size_t word = page * PAGE_WORDS + random_below(w, PAGE_WORDS);
    check_word(word, *data_word(&w->data, word), value_of(word));
    return 1;
}

static const struct kind {
    const char *name, *unit;
    uint64_t (*step)(struct worker *); /* one operation; returns the work done */
    double scale;                      /* from work to unit */
} kinds[] = {
    {"seqread", "MB/s", step_seqread, 1e-6},   {"seqrmw", "MB/s", step_seqrmw, 1e-6},
    {"rand8r", "ops/s", step_rand8r, 1},       {"rand8w", "ops/s", step_rand8w, 1},
    {"rand64k", "ops/s", step_rand64k, 1},     {"stride16k", "ops/s", step_stride16k, 1},
    {"zipf", "ops/s", step_zipf, 1},           {"rand256k", "ops/s", step_rand256k, 1},
};
enum { KINDS = sizeof kinds / sizeof *kinds };
_Static_assert(sizeof kinds / sizeof *kinds <= (size_t)MAX_KINDS, "a counter for each kind");

static int kind_named(const char *name)
{
    for (int k = 0; k < KINDS; k++)
        if (!strcmp(kinds[k].name, name))
            return k;
    return -1;
}

static void *worker_run(void *argument)
{
    struct worker *w = argument;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        int kind = atomic_load_explicit(&w->kind, memory_order_relaxed);
        uint64_t work = kinds[kind].step(w);
        uint64_t before = atomic_load_explicit(&w->done[kind], memory_order_relaxed);
        atomic_store_explicit(&w->done[kind], before + work, memory_order_relaxed);
    }
    return NULL;
}

static void worker_make(struct worker *w, int kind, size_t words, size_t block_bytes, uint64_t n)
{
    size_t pages = words / PAGE_WORDS;
    w->kind = kind;
    w->random = (seed << 8) + n;
    data_make(&w->data, words, block_bytes);
    if (kinds[kind].step == step_rand8w)
        w->written = own_memory(pages * sizeof *w->written);
    if (kinds[kind].step == step_zipf) {
        w->scatter = own_memory(pages * sizeof *w->scatter);
        for (size_t i = 0; i < pages; i++) {
            size_t other = random_below(w, i + 1);
            w->scatter[i] = w->scatter[other];
            w->scatter[other] = (uint32_t)i;
        }
    }
}

/* Looks at every word once more, after the run. */
static void worker_verify(struct worker *w)
{
    bool rmw = kinds[w->kind].step == step_seqrmw;
    for (size_t word = 0; word < w->data.words; word++) {
        uint64_t writes = rmw ? w->pass + (word < w->position) : 0;
        if (w->written && word == written_word(word / PAGE_WORDS))
            writes += w->written[word / PAGE_WORDS];
        check_word(word, *data_word(&w->data, word), value_of(word) + writes);
    }
}

/* ---- Measuring -------------------------------------------------------------------------- */

struct sample {
    double time; /* seconds since the start */
    uint64_t done[MAX_WORKERS][MAX_KINDS];
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sample_take(struct sample *sample, struct worker *workers, int count, double begin)
{
    sample->time = now() - begin;
    for (int w = 0; w < count; w++)
        for (int k = 0; k < KINDS; k++)
            sample->done[w][k] = atomic_load_explicit(&workers[w].done[k], memory_order_relaxed);
}

static double rate_between(const struct sample *a, const struct sample *b, int w, int kind)
{
    return (double)(b->done[w][kind] - a->done[w][kind]) * kinds[kind].scale / (b->time - a->time);
}

/* Prints one result: what worker w did of one kind between two samples. */
static void print_result(const struct sample *first, const struct sample *last, int w, int kind,
                         const char *name, const char *separator)
{
    const struct sample *third = first;
    while (third + 1 < last && third->time < first->time + (last->time - first->time) * 2 / 3)
        third++;
    double final = rate_between(third, last, w, kind);
    const struct sample *slice = first;
    while (slice + 1 < last && rate_between(slice, slice + 1, w, kind) < 0.8 * final)
        slice++;
    printf("%s%s:%s:%.6g:%.6g:%.0f", separator, name, kinds[kind].unit,
           rate_between(first, last, w, kind), final, (slice->time - first->time) * 1e3);
}

static uint64_t bytes_read(void)
{
    unsigned long long bytes = 0;
    char line[128];
    FILE *io = fopen("/proc/self/io", "r");
    while (io && fgets(line, sizeof line, io))
        sscanf(line, "read_bytes: %llu", &bytes);
    if (io)
        fclose(io);
    return bytes;
}

static long major_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_majflt;
}

/* ---- The program ------------------------------------------------------------------------ */

static struct {
    const char *pattern;
    size_t mib, block_bytes;
    double seconds, phase_seconds;
    bool two, phases, verify;
} options = {.phase_seconds = 3};

static const char *const phase_names[] = {"seqread", "rand8r", "rand64k"};

static void usage(void)
{
    fprintf(stderr, "usage: paging PATTERN MIB SECONDS [SEED] [--blocks N] [--phase SECONDS]"
                    " [--verify]\npatterns:");
    for (int k = 0; k < KINDS; k++)
        fprintf(stderr, " %s", kinds[k].name);
    fprintf(stderr, " two phases\n");
    exit(2);
}

static void options_read(int argc, char **argv)
{
    const char *plain[4] = {0};
    int count = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--verify"))
            options.verify = true;
        else if (!strcmp(argv[i], "--blocks") && i + 1 < argc)
            options.block_bytes = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--phase") && i + 1 < argc)
            options.phase_seconds = atof(argv[++i]);
        else if (count < 4 && argv[i][0] != '-')
            plain[count++] = argv[i];
        else
            usage();
    }
    if (count < 3)
        usage();
    options.pattern = plain[0];
    options.mib = strtoull(plain[1], NULL, 10);
    options.seconds = atof(plain[2]);
    if (plain[3])
        seed = strtoull(plain[3], NULL, 10);
    options.two = !strcmp(options.pattern, "two");
    options.phases = !strcmp(options.pattern, "phases");
    if (!options.two && !options.phases && kind_named(options.pattern) < 0)
        usage();
    if (options.mib < 2 || options.seconds <= 0 || options.phase_seconds <= 0 ||
        options.block_bytes % 8)
        usage();
}

/* Runs the workers, sampling them; returns the number of samples. starts[n] is the sample at
 * which phase n began. */
static size_t measure(struct worker *workers, int count, struct sample *samples, size_t room,
                      size_t *starts, int *phases)
{
    size_t n = 0;
    double begin = now();
    sample_take(&samples[n++], workers, count, begin);
    starts[0] = 0, *phases = 1;
    for (int w = 0; w < count; w++)
        if ((errno = pthread_create(&workers[w].thread, NULL, worker_run, &workers[w])))
            die("pthread_create");
    while (n < room && !atomic_load(&stop)) {
        double wake = begin + (double)n * SLICE_MS * 1e-3, pause = wake - now();
        struct timespec t = {0, (long)(pause * 1e9)};
        if (pause > 0)
            nanosleep(&t, NULL);
        sample_take(&samples[n++], workers, count, begin);
        double time = samples[n - 1].time;
        if (time >= options.seconds)
            break;
        if (options.phases && time >= *phases * options.phase_seconds) {
            atomic_store(&workers[0].kind, kind_named(phase_names[*phases % 3]));
            starts[(*phases)++] = n - 1;
        }
    }
    atomic_store(&stop, true);
    for (int w = 0; w < count; w++)
        pthread_join(workers[w].thread, NULL);
    return n;
}

int main(int argc, char **argv)
{
    options_read(argc, argv);
    static struct worker workers[MAX_WORKERS];
    int count = options.two ? 2 : 1, phases;
    size_t words = options.mib * ((1 << 20) / 8) / (size_t)count;
    int first = options.two || options.phases ? kind_named("seqread") : kind_named(options.pattern);
    worker_make(&workers[0], first, words, options.block_bytes, 0);
    if (options.two)
        worker_make(&workers[1], kind_named("rand8r"), words, options.block_bytes, 1);

    double begin = now();
    for (int w = 0; w < count; w++)
        data_fill(&workers[w].data);
    double fill = (double)(words * 8) * count * 1e-9 / (now() - begin);

    size_t room = (size_t)(options.seconds * 1000 / SLICE_MS) + 2;
    struct sample *samples = own_memory(room * sizeof *samples);
    size_t *starts = own_memory(((size_t)(options.seconds / options.phase_seconds) + 3) * 8);
    long faults = major_faults();
    uint64_t bytes = bytes_read();
    size_t n = measure(workers, count, samples, room, starts, &phases);
    faults = major_faults() - faults;
    bytes = bytes_read() - bytes;

    printf("pattern=%s mib=%zu blocks=%zu seconds=%.2f fill_gb=%.3f majflt=%ld read_bytes=%ju "
           "results=", options.pattern, options.mib, options.block_bytes, samples[n - 1].time,
           fill, faults, (uintmax_t)bytes);
    if (options.two) {
        print_result(samples, samples + n - 1, 0, first, "stream", "");
        print_result(samples, samples + n - 1, 1, kind_named("rand8r"), "random", ",");
    } else if (options.phases) {
        for (int p = 0; p < phases; p++)
            print_result(samples + starts[p], samples + (p + 1 < phases ? starts[p + 1] : n - 1), 0,
                         kind_named(phase_names[p % 3]), phase_names[p % 3], p ? "," : "");
    } else {
        print_result(samples, samples + n - 1, 0, first, options.pattern, "");
    }
    if (options.verify && !wrong)
        for (int w = 0; w < count; w++)
            worker_verify(&workers[w]);
    printf(" verified=%d wrong=%ju\n", options.verify, (uintmax_t)wrong);
    return wrong != 0;
}
