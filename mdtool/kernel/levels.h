/* The shortcut of ladder.pyx: one level `["price","size"]` without blanks, eight digits at once in a register.
 *
 * mdtool_level answers "not for me" (0) to whatever it cannot read exactly; the strict parser then takes the same bytes
 * and is the one that refuses. Takes numbers of at most 7 integer and 8 fraction digits, at 0 to 8 decimals.
 */
#ifndef MDTOOL_LEVELS_H
#define MDTOOL_LEVELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MDTOOL_QUICK_DIGITS 8
#define MDTOOL_QUICK_BYTES 64 /* 48 in which the four quotes must be, and 16 that the last number's loads may overrun */

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define MDTOOL_QUICK 1
#else
#define MDTOOL_QUICK 0 /* the first character must be in the lowest byte */
#endif

#define MDTOOL_ZEROS 0x3030303030303030ull /* "00000000" */
#define MDTOOL_HIGH_BITS 0x8080808080808080ull

/* A number of at most eight characters with exactly `places` decimals, its last character in the highest byte. */
typedef struct {
    int places;
    int shortest;
    int shift;      /* bits by which the integer digits move up over the dot */
    uint64_t whole; /* the bytes of the integer digits */
    uint64_t fraction;
    uint64_t dot;
    uint64_t dot_is;
    int64_t power; /* 10 ** places */
} mdtool_form;

static mdtool_form mdtool_form_of(int places) {
    mdtool_form form = {places, 1, 0, ~0ull, 0, 0, 0, 1};
    for (int i = 0; i < places; i++)
        form.power *= 10;
    if (places > 6) { /* with a digit and the dot these are more than eight characters */
        form.shortest = 9;
    } else if (places > 0) {
        form.shortest = places + 2;
        form.shift = 8;
        form.fraction = ~0ull << (64 - 8 * places);
        form.dot = 0xFFull << (56 - 8 * places);
        form.dot_is = (uint64_t)('.' ^ '0') << (56 - 8 * places);
        form.whole = ~(form.fraction | form.dot);
    }
    return form;
}

/* The high bit of each byte that is no digit value; exact up to the first one. */
static inline uint64_t mdtool_no_digits(uint64_t digits) {
    return ((digits + 0x7676767676767676ull) | digits) & MDTOOL_HIGH_BITS;
}

/* The number of eight digit values, the first in the lowest byte. */
static inline uint64_t mdtool_eight_digits(uint64_t digits) {
    digits = digits * 10 + (digits >> 8);
    return ((digits & 0x000000FF000000FFull) * 0x000F424000000064ull +
            ((digits >> 16) & 0x000000FF000000FFull) * 0x0000271000000001ull) >> 32;
}

/* The end of the number at `p` and its mantissa; NULL: not for me. Reads 17 bytes. */
static inline const unsigned char *mdtool_number(const unsigned char *p, const mdtool_form *form, int64_t *value) {
    uint64_t digits, others;
    int length;
    memcpy(&digits, p, 8);
    digits ^= MDTOOL_ZEROS;
    others = mdtool_no_digits(digits);
    if (others == 0)
        return NULL;
    length = __builtin_ctzll(others) >> 3;
    if (length == 0)
        return NULL;
    *value = (int64_t)mdtool_eight_digits(digits << (64 - 8 * length)) * form->power;
    p += length;
    if (*p != '.')
        return p;
    p++;
    memcpy(&digits, p, 8);
    digits ^= MDTOOL_ZEROS;
    others = mdtool_no_digits(digits);
    length = 8;
    if (others != 0) {
        length = __builtin_ctzll(others) >> 3;
        if (length == 0)
            return NULL;
        digits &= (1ull << (8 * length)) - 1;
    }
    /* Two shifts each, as one of 64 bits is undefined. */
    if (digits >> (4 * form->places) >> (4 * form->places) != 0)
        return NULL; /* more digits than fit */
    *value += (int64_t)mdtool_eight_digits(digits << (32 - 4 * form->places) << (32 - 4 * form->places));
    return p + length;
}

/* Whether the `length` bytes at `p` are a number; then its mantissa. Reads 17 bytes. */
static inline int mdtool_number_of(const unsigned char *p, int length, const mdtool_form *form, int64_t *value) {
    if (form->shortest <= length && length <= 8) {
        uint64_t digits, moved;
        memcpy(&digits, p, 8);
        digits = (digits ^ MDTOOL_ZEROS) << (64 - 8 * length);
        moved = (digits & form->fraction) | ((digits & form->whole) << form->shift);
        if ((digits & form->dot) == form->dot_is && mdtool_no_digits(moved) == 0) {
            *value = (int64_t)mdtool_eight_digits(moved);
            return 1;
        }
    }
    return mdtool_number(p, form, value) == p + length;
}

/* Bit i: p[i] is a quote, of 48 bytes. */
#if defined(__SSE2__) && !defined(MDTOOL_NO_SSE2)
#include <emmintrin.h>
static inline uint64_t mdtool_quotes(const unsigned char *p) {
    const __m128i quote = _mm_set1_epi8('"');
    uint64_t mask = 0;
    for (int i = 0; i < 3; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(p + 16 * i));
        mask |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << (16 * i);
    }
    return mask;
}
#else
static inline uint64_t mdtool_quotes(const unsigned char *p) {
    const uint64_t low = 0x7f7f7f7f7f7f7f7full;
    uint64_t mask = 0, bytes;
    for (int i = 0; i < 6; i++) {
        memcpy(&bytes, p + 8 * i, 8);
        bytes ^= 0x2222222222222222ull;
        bytes = ~(((bytes & low) + low) | bytes | low) >> 7; /* 1 in each byte that was a quote */
        mask |= (bytes * 0x0102040810204080ull >> 56) << (8 * i);
    }
    return mask;
}
#endif

/* Bytes of the level at `p`, or 0: not for me. MDTOOL_QUICK_BYTES must be readable.
 *
 * Where the next level starts comes from the quotes alone, so the processor reads on while it still multiplies. */
static inline ptrdiff_t mdtool_level(const unsigned char *p, const mdtool_form *price_form,
                                     const mdtool_form *size_form, int64_t *price, int64_t *size) {
    uint64_t quotes = mdtool_quotes(p);
    int price_end, size_end;
    if (p[0] != '[' || p[1] != '"')
        return 0;
    quotes &= quotes - 1;
    if (quotes == 0)
        return 0;
    price_end = __builtin_ctzll(quotes);
    if (p[price_end + 1] != ',' || p[price_end + 2] != '"')
        return 0;
    quotes &= quotes - 1;
    quotes &= quotes - 1;
    if (quotes == 0)
        return 0;
    size_end = __builtin_ctzll(quotes);
    if (p[size_end + 1] != ']')
        return 0;
    if (!mdtool_number_of(p + 2, price_end - 2, price_form, price))
        return 0;
    if (!mdtool_number_of(p + price_end + 3, size_end - price_end - 3, size_form, size))
        return 0;
    return size_end + 2;
}

#endif
