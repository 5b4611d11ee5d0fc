/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), incremental.
 *
 * Two implementations with the same result: the CPU's own instruction where it has one (asked at run time, so one
 * build serves every machine), and slicing-by-8 tables otherwise. Values are finished (inverted) on return: pass the
 * previous result as `crc` to continue, 0 to begin.
 */
#ifndef MDTOOL_CRC32C_H
#define MDTOOL_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MDTOOL_CRC32C_POLY 0x82F63B78u

static uint32_t mdtool_crc_table[8][256];

static void mdtool_crc_build_table(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int k = 0; k < 8; k++) c = (c & 1) ? (c >> 1) ^ MDTOOL_CRC32C_POLY : c >> 1;
        mdtool_crc_table[0][n] = c;
    }
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = mdtool_crc_table[0][n];
        for (int k = 1; k < 8; k++) {
            c = mdtool_crc_table[0][c & 0xff] ^ (c >> 8);
            mdtool_crc_table[k][n] = c;
        }
    }
}

static uint32_t mdtool_crc32c_table(uint32_t crc, const unsigned char *p, size_t n) {
    crc = ~crc;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        w ^= crc;
        crc = mdtool_crc_table[7][w & 0xff] ^ mdtool_crc_table[6][(w >> 8) & 0xff]
            ^ mdtool_crc_table[5][(w >> 16) & 0xff] ^ mdtool_crc_table[4][(w >> 24) & 0xff]
            ^ mdtool_crc_table[3][(w >> 32) & 0xff] ^ mdtool_crc_table[2][(w >> 40) & 0xff]
            ^ mdtool_crc_table[1][(w >> 48) & 0xff] ^ mdtool_crc_table[0][w >> 56];
        p += 8;
        n -= 8;
    }
#endif
    while (n--) crc = mdtool_crc_table[0][(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
__attribute__((target("sse4.2")))
static uint32_t mdtool_crc32c_hardware(uint32_t crc, const unsigned char *p, size_t n) {
    uint64_t c = (uint32_t)~crc;
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        c = _mm_crc32_u64(c, w);
        p += 8;
        n -= 8;
    }
    uint32_t c32 = (uint32_t)c;
    if (n >= 4) {
        uint32_t w;
        memcpy(&w, p, 4);
        c32 = _mm_crc32_u32(c32, w);
        p += 4;
        n -= 4;
    }
    while (n--) c32 = _mm_crc32_u8(c32, *p++);
    return ~c32;
}
static int mdtool_crc_has_hardware(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2") != 0;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
__attribute__((target("+crc")))
static uint32_t mdtool_crc32c_hardware(uint32_t crc, const unsigned char *p, size_t n) {
    uint32_t c = ~crc;
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        c = __builtin_aarch64_crc32cx(c, w);
        p += 8;
        n -= 8;
    }
    while (n--) c = __builtin_aarch64_crc32cb(c, *p++);
    return ~c;
}
static int mdtool_crc_has_hardware(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
static uint32_t mdtool_crc32c_hardware(uint32_t crc, const unsigned char *p, size_t n) {
    return mdtool_crc32c_table(crc, p, n);
}
static int mdtool_crc_has_hardware(void) { return 0; }
#endif

static int mdtool_crc_hardware = 0;

static void mdtool_crc_init(void) {
    mdtool_crc_build_table();
    mdtool_crc_hardware = mdtool_crc_has_hardware();
}

static inline uint32_t mdtool_crc32c(uint32_t crc, const unsigned char *p, size_t n) {
    return mdtool_crc_hardware ? mdtool_crc32c_hardware(crc, p, n) : mdtool_crc32c_table(crc, p, n);
}

#endif
