/* The sparse remainder of a side: levels outside the dense window, sorted, in runs of up to MDTOOL_RUN.
 *
 * Rule: no run is empty, keys ascend within a run and from run to run, and firsts[i] is the first key of run i. A
 * change moves at most one run and the table of runs, so no order of arrival makes it slow.
 */
#ifndef MDTOOL_STRAYS_H
#define MDTOOL_STRAYS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MDTOOL_RUN 128

typedef struct {
    int64_t count;
    int64_t keys[MDTOOL_RUN];
    int64_t sizes[MDTOOL_RUN];
} mdtool_run;

typedef struct {
    mdtool_run **runs;
    int64_t *firsts;
    int64_t used; /* runs */
    int64_t room;
    int64_t count; /* levels */
} mdtool_strays;

static void mdtool_strays_clear(mdtool_strays *s) {
    for (int64_t i = 0; i < s->used; i++)
        free(s->runs[i]);
    free(s->runs);
    free(s->firsts);
    memset(s, 0, sizeof *s);
}

/* The run a key is in or belongs into: the last that does not begin above it, else the first. There must be a run. */
static inline int64_t mdtool_strays_run(const mdtool_strays *s, int64_t key) {
    int64_t low = 0, count = s->used;
    while (count > 1) {
        int64_t half = count >> 1;
        low += s->firsts[low + half] <= key ? half : 0;
        count -= half;
    }
    return low;
}

/* How many keys of the run are below `key`. */
static inline int64_t mdtool_run_below(const mdtool_run *run, int64_t key) {
    const int64_t *base = run->keys;
    int64_t count = run->count;
    while (count > 1) {
        int64_t half = count >> 1;
        base += base[half - 1] < key ? half : 0;
        count -= half;
    }
    return (base - run->keys) + (count == 1 && *base < key);
}

/* A new empty run at place `at` of the table, NULL without memory. */
static mdtool_run *mdtool_strays_open(mdtool_strays *s, int64_t at) {
    mdtool_run *run;
    if (s->used == s->room) {
        int64_t room = s->room ? 2 * s->room : 8;
        void *runs = realloc(s->runs, (size_t)room * sizeof *s->runs);
        if (runs == NULL)
            return NULL;
        s->runs = runs;
        void *firsts = realloc(s->firsts, (size_t)room * sizeof *s->firsts);
        if (firsts == NULL)
            return NULL;
        s->firsts = firsts;
        s->room = room;
    }
    run = malloc(sizeof *run);
    if (run == NULL)
        return NULL;
    run->count = 0;
    memmove(s->runs + at + 1, s->runs + at, (size_t)(s->used - at) * sizeof *s->runs);
    memmove(s->firsts + at + 1, s->firsts + at, (size_t)(s->used - at) * sizeof *s->firsts);
    s->runs[at] = run;
    s->used++;
    return run;
}

static void mdtool_strays_drop(mdtool_strays *s, int64_t at) {
    free(s->runs[at]);
    s->used--;
    memmove(s->runs + at, s->runs + at + 1, (size_t)(s->used - at) * sizeof *s->runs);
    memmove(s->firsts + at, s->firsts + at + 1, (size_t)(s->used - at) * sizeof *s->firsts);
}

/* Appends a key above every other; 0 or -1 without memory. Leaves a quarter of each run free. */
static int mdtool_strays_append(mdtool_strays *s, int64_t key, int64_t size) {
    mdtool_run *run = s->used ? s->runs[s->used - 1] : NULL;
    if (run == NULL || run->count >= MDTOOL_RUN * 3 / 4) {
        run = mdtool_strays_open(s, s->used);
        if (run == NULL)
            return -1;
        s->firsts[s->used - 1] = key;
    }
    run->keys[run->count] = key;
    run->sizes[run->count++] = size;
    s->count++;
    return 0;
}

/* Moves the later half of run `at` into a new one behind it. */
static int mdtool_strays_split(mdtool_strays *s, int64_t at) {
    mdtool_run *later = mdtool_strays_open(s, at + 1), *run = s->runs[at];
    const int64_t half = MDTOOL_RUN / 2;
    if (later == NULL)
        return -1;
    memcpy(later->keys, run->keys + half, (size_t)(run->count - half) * sizeof(int64_t));
    memcpy(later->sizes, run->sizes + half, (size_t)(run->count - half) * sizeof(int64_t));
    later->count = run->count - half;
    run->count = half;
    s->firsts[at + 1] = later->keys[0];
    return 0;
}

static void mdtool_strays_remove(mdtool_strays *s, int64_t at, int64_t pos) {
    mdtool_run *run = s->runs[at];
    run->count--;
    s->count--;
    memmove(run->keys + pos, run->keys + pos + 1, (size_t)(run->count - pos) * sizeof(int64_t));
    memmove(run->sizes + pos, run->sizes + pos + 1, (size_t)(run->count - pos) * sizeof(int64_t));
    if (run->count == 0) {
        mdtool_strays_drop(s, at);
        return;
    }
    s->firsts[at] = run->keys[0];
    if (at + 1 < s->used && run->count + s->runs[at + 1]->count <= MDTOOL_RUN / 2) {
        const mdtool_run *next = s->runs[at + 1]; /* two thin runs become one, so levels gone leave no memory behind */
        memcpy(run->keys + run->count, next->keys, (size_t)next->count * sizeof(int64_t));
        memcpy(run->sizes + run->count, next->sizes, (size_t)next->count * sizeof(int64_t));
        run->count += next->count;
        mdtool_strays_drop(s, at + 1);
    }
}

/* Sets a level, 0 removes it; -1 without memory, and then nothing has changed. */
static int mdtool_strays_set(mdtool_strays *s, int64_t key, int64_t size) {
    int64_t at, pos;
    mdtool_run *run;
    if (s->used == 0)
        return size == 0 ? 0 : mdtool_strays_append(s, key, size);
    at = mdtool_strays_run(s, key);
    run = s->runs[at];
    pos = mdtool_run_below(run, key);
    if (pos < run->count && run->keys[pos] == key) {
        if (size == 0)
            mdtool_strays_remove(s, at, pos);
        else
            run->sizes[pos] = size;
        return 0;
    }
    if (size == 0)
        return 0;
    if (run->count == MDTOOL_RUN) {
        if (mdtool_strays_split(s, at) < 0)
            return -1;
        if (pos > run->count) {
            pos -= run->count;
            run = s->runs[++at];
        }
    }
    memmove(run->keys + pos + 1, run->keys + pos, (size_t)(run->count - pos) * sizeof(int64_t));
    memmove(run->sizes + pos + 1, run->sizes + pos, (size_t)(run->count - pos) * sizeof(int64_t));
    run->keys[pos] = key;
    run->sizes[pos] = size;
    run->count++;
    s->count++;
    s->firsts[at] = run->keys[0];
    return 0;
}

static int64_t mdtool_strays_get(const mdtool_strays *s, int64_t key) {
    const mdtool_run *run;
    int64_t pos;
    if (s->used == 0)
        return 0;
    run = s->runs[mdtool_strays_run(s, key)];
    pos = mdtool_run_below(run, key);
    return pos < run->count && run->keys[pos] == key ? run->sizes[pos] : 0;
}

#endif
