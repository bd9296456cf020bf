/* sim_trace.h - traces of references to pages, and how fast somebody has gone through them. For sim.c, which
 * simulates that, and replay.c, which does it. SPDX-License-Identifier: MIT */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SIM_THREADS = 8, SIM_BLOCKS = 64, SIM_MARKS = 64, REFS_MAX = 1500000 };

/* A reference is a page number and, in the highest bit, whether it is changed. */
static const uint32_t ref_write = (uint32_t)1 << 31;

struct trace {
    uint32_t *refs;
    size_t count, mark[SIM_MARKS]; /* mark: where parts that count for themselves end */
    unsigned cpu_ns, marks;        /* cpu_ns: of the program's own work for each reference */
};

struct progress {
    const struct trace *trace;
    size_t at;
    uint64_t begin, end;    /* ns */
    const uint64_t *marked; /* when the parts ended */
    unsigned passed;        /* of them */
};

/* References in a millisecond: the geometric mean of all threads and of each one's parts, where they ended. */
static double progress_score(const struct progress *p, unsigned threads)
{
    double sum = 0;
    unsigned n = 0;
    for (unsigned i = 0; i < threads; i++, p++)
        for (unsigned k = 0; k < (p->trace->marks ? p->trace->marks : 1); k++, n++) {
            bool ended = k < p->passed;
            uint64_t from = ended && k ? p->marked[k - 1] : p->begin, to = ended ? p->marked[k] : p->end;
            size_t refs = ended ? p->trace->mark[k] - (k ? p->trace->mark[k - 1] : 0) : p->at;
            sum += log((double)(refs + 1) * 1e6 / (double)(to - from + 1));
        }
    return exp(sum / n);
}

#endif
