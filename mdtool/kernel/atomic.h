/* The two orderings the store rests on: what was written before a release-store is seen after the acquire-load that
 * sees it. 8-byte aligned addresses only. */
#ifndef MDTOOL_ATOMIC_H
#define MDTOOL_ATOMIC_H

#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static inline void mdtool_store_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t mdtool_load_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

#endif
