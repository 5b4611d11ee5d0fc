/* Orders by id, in FIFO per price level, over two sides of a book that hold each level's total.
 *
 * Rule: an operation happens whole or not at all. What may fail (memory, a total beyond 64 bits) is done before
 * anything is changed. Orders and levels stand in pools, and refer to each other by index; NONE is no index.
 */
#ifndef MDTOOL_ORDERS_H
#define MDTOOL_ORDERS_H

#include "side.h"

#define MDTOOL_NONE (-1)

typedef enum { MDTOOL_DONE, MDTOOL_REFUSED, MDTOOL_NO_MEMORY, MDTOOL_OVERFLOW, MDTOOL_TOO_MUCH } mdtool_outcome;

/* Which changes of an order at its price keep its place in the queue; a change of price never does. */
typedef enum { MDTOOL_KEEP_ON_REDUCE, MDTOOL_KEEP_ALWAYS, MDTOOL_KEEP_NEVER } mdtool_priority;

/* A map from 64 bits to an index: open addressing, at most half full, no tombstones. */
typedef struct {
    uint64_t key;
    int64_t value; /* MDTOOL_NONE: free */
} mdtool_entry;

typedef struct {
    mdtool_entry *entries;
    uint64_t mask;
    int64_t used;
} mdtool_map;

typedef struct {
    uint64_t id;
    int64_t size;
    int64_t level;
    int64_t before, after; /* in the queue; `after` of a free one: the next free */
} mdtool_order;

typedef struct {
    int64_t key; /* of the side */
    int64_t total;
    int64_t count;
    int64_t first, last; /* of the queue; `first` of a free one: the next free */
    int is_ask;
} mdtool_level;

typedef struct {
    mdtool_side *sides; /* [2], not owned */
    mdtool_map ids;
    mdtool_map prices[2]; /* by key */
    mdtool_order *orders;
    mdtool_level *levels;
    int64_t orders_room, free_order, levels_room, free_level;
    mdtool_priority priority;
} mdtool_orders;

static inline uint64_t mdtool_mix(uint64_t x) {
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

/* Where a key stands, or the free entry where it would. */
static inline uint64_t mdtool_map_at(const mdtool_map *map, uint64_t key) {
    uint64_t at = mdtool_mix(key) & map->mask;
    while (map->entries[at].value != MDTOOL_NONE && map->entries[at].key != key)
        at = (at + 1) & map->mask;
    return at;
}

static inline int64_t mdtool_map_get(const mdtool_map *map, uint64_t key) {
    return map->entries == NULL ? MDTOOL_NONE : map->entries[mdtool_map_at(map, key)].value;
}

/* Makes sure that one more key finds room. */
static int mdtool_map_reserve(mdtool_map *map) {
    uint64_t room = map->entries == NULL ? 64 : 2 * (map->mask + 1);
    mdtool_map grown = {NULL, room - 1, map->used};
    if (map->entries != NULL && 2 * (uint64_t)(map->used + 1) <= map->mask + 1)
        return 0;
    grown.entries = malloc(room * sizeof *grown.entries);
    if (grown.entries == NULL)
        return -1;
    for (uint64_t i = 0; i < room; i++)
        grown.entries[i].value = MDTOOL_NONE;
    if (map->entries != NULL)
        for (uint64_t i = 0; i <= map->mask; i++)
            if (map->entries[i].value != MDTOOL_NONE)
                grown.entries[mdtool_map_at(&grown, map->entries[i].key)] = map->entries[i];
    free(map->entries);
    *map = grown;
    return 0;
}

/* A key that is not there, after a reserve. */
static inline void mdtool_map_put(mdtool_map *map, uint64_t key, int64_t value) {
    mdtool_entry *entry = map->entries + mdtool_map_at(map, key);
    entry->key = key;
    entry->value = value;
    map->used++;
}

/* Takes out a key that is there, and moves up what had to stand further on because of it. */
static void mdtool_map_remove(mdtool_map *map, uint64_t key) {
    uint64_t hole = mdtool_map_at(map, key), at = hole;
    map->used--;
    for (;;) {
        map->entries[hole].value = MDTOOL_NONE;
        do {
            at = (at + 1) & map->mask;
            if (map->entries[at].value == MDTOOL_NONE)
                return;
        } while (((at - mdtool_mix(map->entries[at].key)) & map->mask) < ((at - hole) & map->mask));
        map->entries[hole] = map->entries[at];
        hole = at;
    }
}

static void mdtool_orders_init(mdtool_orders *o, mdtool_side *sides, mdtool_priority priority) {
    memset(o, 0, sizeof *o);
    o->sides = sides;
    o->priority = priority;
    o->free_order = o->free_level = MDTOOL_NONE;
}

static void mdtool_orders_free(mdtool_orders *o) {
    free(o->ids.entries);
    free(o->prices[0].entries);
    free(o->prices[1].entries);
    free(o->orders);
    free(o->levels);
    mdtool_orders_init(o, o->sides, o->priority);
}

/* Makes sure that there is a free order and a free level. */
static int mdtool_pools_reserve(mdtool_orders *o) {
    if (o->free_order == MDTOOL_NONE) {
        int64_t room = o->orders_room ? 2 * o->orders_room : 64;
        mdtool_order *orders = realloc(o->orders, (size_t)room * sizeof *orders);
        if (orders == NULL)
            return -1;
        o->orders = orders;
        for (int64_t i = o->orders_room; i < room; i++)
            orders[i].after = i + 1 < room ? i + 1 : MDTOOL_NONE;
        o->free_order = o->orders_room;
        o->orders_room = room;
    }
    if (o->free_level == MDTOOL_NONE) {
        int64_t room = o->levels_room ? 2 * o->levels_room : 64;
        mdtool_level *levels = realloc(o->levels, (size_t)room * sizeof *levels);
        if (levels == NULL)
            return -1;
        o->levels = levels;
        for (int64_t i = o->levels_room; i < room; i++)
            levels[i].first = i + 1 < room ? i + 1 : MDTOOL_NONE;
        o->free_level = o->levels_room;
        o->levels_room = room;
    }
    return 0;
}

/* Adds `size` to the total at a key and says which level that is, with no order in it yet if it is new. */
static mdtool_outcome mdtool_level_raise(mdtool_orders *o, int is_ask, int64_t key, int64_t size, int64_t *level) {
    mdtool_map *prices = o->prices + is_ask;
    mdtool_level *found;
    *level = mdtool_map_get(prices, (uint64_t)key);
    if (*level == MDTOOL_NONE) {
        if (mdtool_pools_reserve(o) < 0 || mdtool_map_reserve(prices) < 0 ||
            mdtool_side_set(o->sides + is_ask, key, size) < 0)
            return MDTOOL_NO_MEMORY;
        *level = o->free_level;
        found = o->levels + *level;
        o->free_level = found->first;
        *found = (mdtool_level){key, size, 0, MDTOOL_NONE, MDTOOL_NONE, is_ask};
        mdtool_map_put(prices, (uint64_t)key, *level);
        return MDTOOL_DONE;
    }
    found = o->levels + *level;
    if (size > INT64_MAX - found->total)
        return MDTOOL_OVERFLOW;
    found->total += size;
    mdtool_side_set(o->sides + is_ask, key, found->total); /* no memory needed: the level is there */
    return MDTOOL_DONE;
}

/* Takes `size` from a level's total; without an order in it the level is gone. */
static void mdtool_level_lower(mdtool_orders *o, int64_t level, int64_t size) {
    mdtool_level *from = o->levels + level;
    from->total -= size;
    mdtool_side_set(o->sides + from->is_ask, from->key, from->total); /* a removal or a change: no memory needed */
    if (from->count == 0) {
        mdtool_map_remove(o->prices + from->is_ask, (uint64_t)from->key);
        from->first = o->free_level;
        o->free_level = level;
    }
}

static void mdtool_queue_leave(mdtool_orders *o, int64_t index) {
    const mdtool_order *order = o->orders + index;
    mdtool_level *level = o->levels + order->level;
    *(order->before == MDTOOL_NONE ? &level->first : &o->orders[order->before].after) = order->after;
    *(order->after == MDTOOL_NONE ? &level->last : &o->orders[order->after].before) = order->before;
    level->count--;
}

static void mdtool_queue_join(mdtool_orders *o, int64_t index, int64_t at) {
    mdtool_order *order = o->orders + index;
    mdtool_level *level = o->levels + at;
    order->level = at;
    order->before = level->last;
    order->after = MDTOOL_NONE;
    *(level->last == MDTOOL_NONE ? &level->first : &o->orders[level->last].after) = index;
    level->last = index;
    level->count++;
}

/* REFUSED: the id is there. */
static mdtool_outcome mdtool_orders_add(mdtool_orders *o, uint64_t id, int is_ask, int64_t price, int64_t size) {
    mdtool_outcome outcome;
    int64_t index, level;
    if (mdtool_map_get(&o->ids, id) != MDTOOL_NONE)
        return MDTOOL_REFUSED;
    if (mdtool_map_reserve(&o->ids) < 0 || mdtool_pools_reserve(o) < 0)
        return MDTOOL_NO_MEMORY;
    outcome = mdtool_level_raise(o, is_ask, mdtool_key_of(price, is_ask), size, &level);
    if (outcome != MDTOOL_DONE)
        return outcome;
    index = o->free_order;
    o->free_order = o->orders[index].after;
    o->orders[index].id = id;
    o->orders[index].size = size;
    mdtool_queue_join(o, index, level);
    mdtool_map_put(&o->ids, id, index);
    return MDTOOL_DONE;
}

/* REFUSED: no such id. */
static mdtool_outcome mdtool_orders_delete(mdtool_orders *o, uint64_t id) {
    int64_t index = mdtool_map_get(&o->ids, id), level;
    if (index == MDTOOL_NONE)
        return MDTOOL_REFUSED;
    level = o->orders[index].level;
    mdtool_map_remove(&o->ids, id);
    mdtool_queue_leave(o, index);
    mdtool_level_lower(o, level, o->orders[index].size);
    o->orders[index].after = o->free_order;
    o->free_order = index;
    return MDTOOL_DONE;
}

/* The order's price and size are now these. REFUSED: no such id. */
static mdtool_outcome mdtool_orders_modify(mdtool_orders *o, uint64_t id, int64_t price, int64_t size) {
    int64_t index = mdtool_map_get(&o->ids, id), old_level, old_size, level;
    mdtool_outcome outcome;
    int is_ask, stays;
    if (index == MDTOOL_NONE)
        return MDTOOL_REFUSED;
    old_level = o->orders[index].level;
    old_size = o->orders[index].size;
    is_ask = o->levels[old_level].is_ask;
    stays = o->levels[old_level].key == mdtool_key_of(price, is_ask);
    if (stays && size <= old_size) { /* a total never goes through one that does not fit */
        mdtool_level_lower(o, old_level, old_size - size);
        level = old_level;
    } else {
        outcome = mdtool_level_raise(o, is_ask, mdtool_key_of(price, is_ask), stays ? size - old_size : size, &level);
        if (outcome != MDTOOL_DONE)
            return outcome;
    }
    o->orders[index].size = size;
    if (!stays || o->priority == MDTOOL_KEEP_NEVER || (o->priority == MDTOOL_KEEP_ON_REDUCE && size > old_size)) {
        mdtool_queue_leave(o, index);
        mdtool_queue_join(o, index, level);
    }
    if (!stays)
        mdtool_level_lower(o, old_level, old_size);
    return MDTOOL_DONE;
}

/* Takes `size` off the order, which keeps its place, and goes when nothing is left. REFUSED: no such id; TOO_MUCH: more
 * than there is. */
static mdtool_outcome mdtool_orders_execute(mdtool_orders *o, uint64_t id, int64_t size) {
    int64_t index = mdtool_map_get(&o->ids, id);
    if (index == MDTOOL_NONE)
        return MDTOOL_REFUSED;
    if (size > o->orders[index].size)
        return MDTOOL_TOO_MUCH;
    if (size == o->orders[index].size)
        return mdtool_orders_delete(o, id);
    o->orders[index].size -= size;
    mdtool_level_lower(o, o->orders[index].level, size);
    return MDTOOL_DONE;
}

#endif
