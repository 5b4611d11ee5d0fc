/* One side of a book: price levels by key, of which the largest is the best.
 *
 * A key is a price, or for asks its complement ~price, which turns the order round and takes every int64. Around the
 * touch, sizes stand in a dense window by tick, with a bit for each that is not 0; all other levels are strays.
 *
 * Rule: a level is in the window if and only if it has a slot there, so it never stands twice, whatever came before. A
 * slot is found by one multiplication: `inverse` is that of the step's odd part modulo 2^64, so a difference that is
 * no multiple of the step, or lies outside, comes out as a slot beyond the window.
 */
#ifndef MDTOOL_SIDE_H
#define MDTOOL_SIDE_H

#include "strays.h"

#define MDTOOL_WIDTH 32768                        /* slots: 256 KiB, of which only the pages with levels are touched */
#define MDTOOL_LIMIT (INT64_C(1) << 61)           /* no window reaches beyond: differences stay below 2^64 */
#define MDTOOL_PATIENCE 64                        /* misses before a window is first thought of */
#define MDTOOL_SAMPLE 256                         /* levels next to the best whose distances give the step */

typedef struct {
    int64_t *slots; /* NULL: no window yet */
    uint64_t *bits;
    uint64_t width; /* 0 or MDTOOL_WIDTH */
    uint64_t inverse;
    int64_t origin; /* key of slot 0 */
    int64_t step;   /* keys from slot to slot */
    int64_t top;    /* highest slot with a level, -1: none */
    int64_t held;   /* levels in the window */
    int shift;
    mdtool_strays strays;
    int64_t misses; /* changes outside the window since it was last thought about */
    int64_t patience;
} mdtool_side;

static inline int64_t mdtool_key_of(int64_t price, int is_ask) { return price ^ -(int64_t)is_ask; }

static void mdtool_side_init(mdtool_side *s) {
    memset(s, 0, sizeof *s);
    s->top = -1;
    s->patience = MDTOOL_PATIENCE;
}

static void mdtool_side_free(mdtool_side *s) {
    mdtool_strays_clear(&s->strays);
    free(s->slots);
    free(s->bits);
    mdtool_side_init(s);
}

static inline int64_t mdtool_side_count(const mdtool_side *s) { return s->held + s->strays.count; }

static inline uint64_t mdtool_slot(const mdtool_side *s, int64_t key) {
    uint64_t product = ((uint64_t)key - (uint64_t)s->origin) * s->inverse;
    return s->shift ? product >> s->shift | product << (64 - s->shift) : product;
}

/* The highest slot with a level below `slot`, -1: none. */
static inline int64_t mdtool_slot_below(const mdtool_side *s, int64_t slot) {
    int64_t word = slot >> 6;
    uint64_t bits = s->bits[word] & ((UINT64_C(1) << (slot & 63)) - 1);
    while (bits == 0) {
        if (--word < 0)
            return -1;
        bits = s->bits[word];
    }
    return word << 6 | (63 - __builtin_clzll(bits));
}

static inline int64_t mdtool_slot_key(const mdtool_side *s, int64_t slot) { return s->origin + slot * s->step; }

/* A walk from the best level outwards. */
typedef struct {
    const mdtool_side *side;
    int64_t slot, run, pos;
} mdtool_walk;

static inline mdtool_walk mdtool_walk_of(const mdtool_side *s) {
    mdtool_walk walk = {s, s->top, s->strays.used - 1, -1};
    if (walk.run >= 0)
        walk.pos = s->strays.runs[walk.run]->count - 1;
    return walk;
}

/* 1 and the next level, or 0 behind the last. */
static inline int mdtool_next(mdtool_walk *walk, int64_t *key, int64_t *size) {
    const mdtool_side *s = walk->side;
    if (walk->run >= 0) {
        const mdtool_run *run = s->strays.runs[walk->run];
        if (walk->slot < 0 || run->keys[walk->pos] > mdtool_slot_key(s, walk->slot)) {
            *key = run->keys[walk->pos];
            *size = run->sizes[walk->pos];
            if (--walk->pos < 0 && --walk->run >= 0)
                walk->pos = s->strays.runs[walk->run]->count - 1;
            return 1;
        }
    } else if (walk->slot < 0) {
        return 0;
    }
    *key = mdtool_slot_key(s, walk->slot);
    *size = s->slots[walk->slot];
    walk->slot = mdtool_slot_below(s, walk->slot);
    return 1;
}

static inline int mdtool_best(const mdtool_side *s, int64_t *key, int64_t *size) {
    mdtool_walk walk = mdtool_walk_of(s);
    return mdtool_next(&walk, key, size);
}

/* Empties the window's slots, of which only those with levels are written to. */
static void mdtool_window_clear(mdtool_side *s) {
    for (int64_t slot = s->top; slot >= 0; slot = mdtool_slot_below(s, slot))
        s->slots[slot] = 0;
    if (s->top >= 0)
        memset(s->bits, 0, (size_t)(s->top / 64 + 1) * sizeof *s->bits);
    s->top = -1;
    s->held = 0;
}

static void mdtool_side_clear(mdtool_side *s) {
    mdtool_window_clear(s);
    mdtool_strays_clear(&s->strays);
    s->misses = 0;
}

static inline void mdtool_window_set(mdtool_side *s, int64_t slot, int64_t size) {
    uint64_t *word = s->bits + (slot >> 6), bit = UINT64_C(1) << (slot & 63);
    s->held += (size != 0) - ((*word & bit) != 0);
    s->slots[slot] = size;
    *word = (*word & ~bit) | (size != 0 ? bit : 0); /* no branch: whether a level comes, stays or goes is chance */
    if (__builtin_expect(slot < s->top, 1))
        return;
    if (size != 0)
        s->top = slot;
    else if (slot == s->top)
        s->top = mdtool_slot_below(s, slot);
}

/* Copies all levels, keys ascending, to a block of 2 * count (keys, then sizes), or NULL without memory. */
static int64_t *mdtool_side_dump(const mdtool_side *s) {
    int64_t count = mdtool_side_count(s), *levels = malloc((size_t)(2 * count + 1) * sizeof *levels);
    mdtool_walk walk = mdtool_walk_of(s);
    if (levels == NULL)
        return NULL;
    for (int64_t i = count - 1; i >= 0; i--)
        mdtool_next(&walk, levels + i, levels + count + i);
    return levels;
}

/* The greatest step that the levels next to the best have in common, 0 for a single level. */
static uint64_t mdtool_common_step(const mdtool_side *s) {
    mdtool_walk walk = mdtool_walk_of(s);
    int64_t key, size, last;
    uint64_t step = 0;
    mdtool_next(&walk, &last, &size);
    for (int i = 1; i < MDTOOL_SAMPLE && mdtool_next(&walk, &key, &size); i++) {
        uint64_t a = step, b = (uint64_t)last - (uint64_t)key;
        while (b != 0) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        step = a;
        last = key;
    }
    return step;
}

/* Thinks the window over, when enough changes missed it to pay for a move of all levels: the best level three quarters
 * up, the step what the levels have in common. Without memory every level stays where it is. */
static void mdtool_side_place(mdtool_side *s) {
    int64_t key, size, count = mdtool_side_count(s), *levels;
    mdtool_side next = *s;
    uint64_t step, odd, slot;
    s->misses = 0;
    if (s->patience < INT64_C(1) << 20)
        s->patience *= 2; /* unless it moves it is as good as it gets: the rest are strays by nature */
    if (!mdtool_best(s, &key, &size) || key > MDTOOL_LIMIT || key < -MDTOOL_LIMIT)
        return;
    step = mdtool_common_step(s);
    slot = mdtool_slot(s, key);
    if (step == 0 || step > MDTOOL_LIMIT / MDTOOL_WIDTH)
        return;
    if (s->width && step == (uint64_t)s->step && slot >= MDTOOL_WIDTH / 2 && slot < MDTOOL_WIDTH / 8 * 7)
        return;
    if (s->slots == NULL) {
        s->slots = calloc(MDTOOL_WIDTH, sizeof *s->slots);
        s->bits = calloc(MDTOOL_WIDTH / 64, sizeof *s->bits);
        if (s->slots == NULL || s->bits == NULL) {
            free(s->slots);
            free(s->bits);
            s->slots = NULL;
            s->bits = NULL;
            return;
        }
    }
    levels = mdtool_side_dump(s);
    if (levels == NULL)
        return;
    memset(&next.strays, 0, sizeof next.strays);
    next.slots = s->slots;
    next.bits = s->bits;
    next.width = MDTOOL_WIDTH;
    next.top = -1;
    next.held = 0;
    next.misses = 0;
    next.patience = MDTOOL_PATIENCE + count;
    next.step = (int64_t)step;
    next.shift = __builtin_ctzll(step);
    odd = step >> next.shift;
    next.inverse = odd; /* right to 3 bits; each turn doubles them */
    for (int i = 0; i < 5; i++)
        next.inverse *= 2 - odd * next.inverse;
    next.origin = key - (int64_t)step * (MDTOOL_WIDTH / 4 * 3);
    for (int64_t i = 0; i < count; i++) /* what may fail comes first */
        if (mdtool_slot(&next, levels[i]) >= next.width &&
            mdtool_strays_append(&next.strays, levels[i], levels[count + i]) < 0) {
            mdtool_strays_clear(&next.strays);
            free(levels);
            return;
        }
    mdtool_window_clear(s);
    mdtool_strays_clear(&s->strays);
    *s = next;
    for (int64_t i = 0; i < count; i++) {
        slot = mdtool_slot(s, levels[i]);
        if (slot < s->width)
            mdtool_window_set(s, (int64_t)slot, levels[count + i]);
    }
    free(levels);
}

/* Sets a level outside the window, 0 removes it; -1 without memory. */
static int mdtool_side_miss(mdtool_side *s, int64_t key, int64_t size) {
    if (mdtool_strays_set(&s->strays, key, size) < 0)
        return -1;
    if (++s->misses > s->patience)
        mdtool_side_place(s);
    return 0;
}

/* Sets levels by price, 0 removes one; -1 without memory, and then those before are set. */
static int mdtool_side_apply(mdtool_side *s, int is_ask, const int64_t *prices, const int64_t *sizes, int64_t count) {
    mdtool_side near = *s; /* a local that no store can change under the loop's feet */
    for (int64_t i = 0; i < count; i++) {
        int64_t key = mdtool_key_of(prices[i], is_ask);
        uint64_t slot = mdtool_slot(&near, key);
        if (__builtin_expect(slot < near.width, 1)) {
            mdtool_window_set(&near, (int64_t)slot, sizes[i]);
        } else {
            s->top = near.top;
            s->held = near.held;
            if (mdtool_side_miss(s, key, sizes[i]) < 0)
                return -1;
            near = *s;
        }
    }
    s->top = near.top;
    s->held = near.held;
    return 0;
}

/* Sets a level by key, 0 removes it; -1 without memory, which only a level that was not there needs. */
static inline int mdtool_side_set(mdtool_side *s, int64_t key, int64_t size) {
    uint64_t slot = mdtool_slot(s, key);
    if (slot >= s->width)
        return mdtool_side_miss(s, key, size);
    mdtool_window_set(s, (int64_t)slot, size);
    return 0;
}

static inline int64_t mdtool_side_get(const mdtool_side *s, int64_t key) {
    uint64_t slot = mdtool_slot(s, key);
    return slot < s->width ? s->slots[slot] : mdtool_strays_get(&s->strays, key);
}

#endif
