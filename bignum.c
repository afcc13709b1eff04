/* bignum.c: constant-time integers, and integers modulo an odd m.
 * Needs:   stdint.h, string.h.  No random numbers, no hash, no I/O.
 * Map:     1 bytes to limbs and back   2 add, subtract, compare, choose
 *          3 multiply, remainder   4 the public exponent   5 Montgomery
 *          6 powers
 * Secret:  values and exponents.   Public: sizes, and the bit length of a
 *          modulus.  Nothing else shows in time or addresses: no branch and no
 *          index below depends on a value, and there is no division.
 * Numbers: an array of n limbs of w = SC_WORD_BITS bits, least significant
 *          first; W = 2^w.  1 <= n <= SC_LIMBS_MAX unless said otherwise.
 * Sources: Handbook of Applied Cryptography ch. 14 (Menezes, van Oorschot,
 *          Vanstone 1996); Koc, Acar, Kaliski, "Analyzing and comparing
 *          Montgomery multiplication algorithms", IEEE Micro 16(3), 1996. */

#define SECCHAN_INTERNAL
#include "secchan.h"

/* ---- 1. bytes to limbs and back ------------------------------------------ */

/* sc_bn_decode: d = the big-endian number bytes[0..len).
 * shape  d: n limbs.   needs  the number fits: bytes before the last
 * n * SC_WORD_BYTES are passed over.   time  CT(n, len). */
void sc_bn_decode(sc_word *d, size_t n, const uint8_t *bytes, size_t len)
{
    size_t i, at;
    memset(d, 0, n * sizeof *d);
    for (i = 0; i < len && i < n * SC_WORD_BYTES; i++) {
        at = i % SC_WORD_BYTES * 8;     /* byte i from the end is digit i */
        d[i / SC_WORD_BYTES] |= (sc_word)bytes[len - 1 - i] << at;
    }
}

/* sc_bn_encode: bytes[0..len) = x, big-endian, zeros in front.
 * shape  x: n limbs.   needs  x < 256^len.   time  CT(n, len). */
void sc_bn_encode(uint8_t *bytes, size_t len, const sc_word *x, size_t n)
{
    size_t i;
    for (i = 0; i < len; i++)
        bytes[len - 1 - i] = i >= n * SC_WORD_BYTES ? 0 : (uint8_t)
            (x[i / SC_WORD_BYTES] >> i % SC_WORD_BYTES * 8);
}

/* ---- 2. add, subtract, compare, choose ----------------------------------- */

/* sc_bn_add: d = x + y mod W^n; gives the carry, 0 or 1.
 * shape  d, x, y: n limbs.   alias  any.   time  CT(n).
 * bound  x[i] + y[i] + carry <= 2 (W - 1) + 1 < 2 W: the carry is one bit. */
sc_word sc_bn_add(sc_word *d, const sc_word *x, const sc_word *y, size_t n)
{
    sc_word carry = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        sc_dword sum = (sc_dword)x[i] + y[i] + carry;
        d[i] = (sc_word)sum;
        carry = (sc_word)(sum >> SC_WORD_BITS);
    }
    return carry;
}

/* sc_bn_sub: d = x - y mod W^n; gives the borrow: 1 if x < y, else 0.
 * shape  d, x, y: n limbs.   alias  any.   time  CT(n).
 * bound  x[i] - y[i] - borrow >= -W: as a double word it is that number plus
 *        W^2, so its upper half is 0 or W - 1 and its lowest bit the borrow. */
sc_word sc_bn_sub(sc_word *d, const sc_word *x, const sc_word *y, size_t n)
{
    sc_word borrow = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        sc_dword difference = (sc_dword)x[i] - y[i] - borrow;
        d[i] = (sc_word)difference;
        borrow = (sc_word)(difference >> SC_WORD_BITS) & 1;
    }
    return borrow;
}

/* sc_bn_select: d = mask ? yes : no.  shape  n limbs.  alias  any.  CT(n). */
void sc_bn_select(sc_word *d, sc_word mask, const sc_word *yes,
                  const sc_word *no, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        d[i] = sc_select(mask, yes[i], no[i]);
}

/* sc_bn_is_zero, sc_bn_equal: a mask.  time  CT(n). */
sc_word sc_bn_is_zero(const sc_word *x, size_t n)
{
    sc_word any = 0;
    size_t i;
    for (i = 0; i < n; i++)
        any |= x[i];
    return sc_mask_is_zero(any);
}

sc_word sc_bn_equal(const sc_word *x, const sc_word *y, size_t n)
{
    sc_word difference = 0;
    size_t i;
    for (i = 0; i < n; i++)
        difference |= x[i] ^ y[i];
    return sc_mask_is_zero(difference);
}

sc_word sc_bytes_equal(const void *a, const void *b, size_t len)
{
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
    sc_word difference = 0;
    size_t i;
    for (i = 0; i < len; i++)
        difference |= (sc_word)(x[i] ^ y[i]);
    return sc_mask_is_zero(difference);
}

/* bn_reduce_once: d = t - m if that is not negative, else t, where
 * t = carry * W^n + x.
 * needs  t < 2 m.   gives  d < m.   alias  d may be x.   time  CT(n).
 * why    t >= m exactly if the subtraction does not borrow, or if what it
 *        borrows is the carry. */
static void bn_reduce_once(sc_word *d, sc_word carry, const sc_word *x,
                           const sc_word *m, size_t n)
{
    sc_word less[SC_LIMBS_MAX];
    sc_word borrow = sc_bn_sub(less, x, m, n);
    sc_bn_select(d, sc_mask_bit(borrow & (carry ^ 1)), x, less, n);
    sc_wipe(less, n * sizeof *less);
}

/* sc_bn_add_mod, sc_bn_sub_mod: d = x + y mod m, d = x - y mod m.
 * needs  x < m, y < m.   gives  d < m.   alias  any but m.   time  CT(n). */
void sc_bn_add_mod(sc_word *d, const sc_word *x, const sc_word *y,
                   const sc_word *m, size_t n)
{
    sc_word carry = sc_bn_add(d, x, y, n);      /* carry * W^n + d < 2 m */
    bn_reduce_once(d, carry, d, m, n);
}

void sc_bn_sub_mod(sc_word *d, const sc_word *x, const sc_word *y,
                   const sc_word *m, size_t n)
{
    sc_word again[SC_LIMBS_MAX];
    sc_word borrow = sc_bn_sub(d, x, y, n);     /* d = x - y + borrow * W^n */
    (void)sc_bn_add(again, d, m, n);            /* its carry repays the borrow */
    sc_bn_select(d, sc_mask_bit(borrow), again, d, n);
    sc_wipe(again, n * sizeof *again);
}

/* ---- 3. multiply, remainder ---------------------------------------------- */

/* sc_bn_mul: d = x * y, as on paper: one row for each limb of y.
 * shape  d: x_n + y_n limbs.   alias  d overlaps neither.   time  CT(sizes).
 * bound  d + x y + carry <= (W-1) + (W-1)^2 + (W-1) = W^2 - 1: the double word
 *        cannot wrap. */
void sc_bn_mul(sc_word *d, const sc_word *x, size_t x_n, const sc_word *y,
               size_t y_n)
{
    size_t i, j;
    memset(d, 0, (x_n + y_n) * sizeof *d);
    for (i = 0; i < y_n; i++) {
        sc_word carry = 0;
        for (j = 0; j < x_n; j++) {
            sc_dword t = d[i + j] + (sc_dword)x[j] * y[i] + carry;
            d[i + j] = (sc_word)t;
            carry = (sc_word)(t >> SC_WORD_BITS);
        }
        d[i + x_n] = carry;
    }
}

/* sc_bn_mod: d = x mod m, for any m >= 1, bit after bit: slow, and only used
 * where m is even (p - 1) and Montgomery's method does not work.
 * shape  x: x_n limbs, of any number; d, m: n limbs.
 * alias  d overlaps neither.   time  CT(x_n, n).
 * bound  d < m before, so 2 d + bit < 2 m, as bn_reduce_once needs. */
void sc_bn_mod(sc_word *d, const sc_word *x, size_t x_n, const sc_word *m,
               size_t n)
{
    size_t i = x_n * SC_WORD_BITS;
    memset(d, 0, n * sizeof *d);
    while (i-- > 0) {
        sc_word carry = sc_bn_add(d, d, d, n);
        d[0] |= x[i / SC_WORD_BITS] >> (i % SC_WORD_BITS) & 1;
        bn_reduce_once(d, carry, d, m, n);
    }
}

/* word_inverse: 1 / x mod W, for odd x.
 * why    x is its own inverse mod 8, and y (2 - x y) doubles the number of
 *        right bits of y (Newton): 3, 6, 12, 24, 48, 96 >= 64. */
static sc_word word_inverse(sc_word x)
{
    sc_word y = x;
    int i;
    for (i = 0; i < 5; i++)
        y *= 2 - x * y;
    return y;
}

/* ---- 4. the public exponent ---------------------------------------------- */

/* e = 65537 = 2^16 + 1 is the only exponent of secchan/1 and makes two things
 * easy.  2^16 = -1 mod e, so a number mod e is the sum of its 16-bit digits
 * with alternating signs.  And e is prime and small, so d = 1/e mod m needs no
 * Euclid: with k = -1/m mod e, the number 1 + k m is a multiple of e, and
 * d = (1 + k m) / e is what is wanted: e d = 1 + k m = 1 mod m. */

/* fold_65537: v mod 65537.
 * needs  v <= 2^32 = 65536^2, the largest product.   time  CT.
 * bound  r = low - middle + high + e lies in 2 .. 2 e - 2 (high is 1 for 2^32
 *        only, whose other digits are 0): one conditional subtraction. */
static uint32_t fold_65537(uint64_t v)
{
    uint32_t low = (uint32_t)v & 0xffff, middle = (uint32_t)(v >> 16) & 0xffff;
    uint32_t r = low + (uint32_t)(v >> 32) + 65537 - middle;
    uint32_t less = r - 65537;          /* top bit set if r < 65537 */
    return (uint32_t)sc_select(sc_mask_bit(less >> 31), r, less);
}

/* sc_bn_mod_65537: x mod 65537.  shape  x: n limbs.  time  CT(n).
 * bound  at most SC_LIMBS_MAX * w / 32 = 128 digits have each sign, so both
 *        sums stay below 2^23, and e * 2^8 > 2^24 keeps the difference
 *        positive and below 2^25. */
sc_word sc_bn_mod_65537(const sc_word *x, size_t n)
{
    uint32_t even = 0, odd = 0;
    size_t i;
    unsigned at;
    for (i = 0; i < n; i++) {
        for (at = 0; at < SC_WORD_BITS; at += 32) {
            even += (uint32_t)(x[i] >> at) & 0xffff;
            odd += (uint32_t)(x[i] >> at >> 16) & 0xffff;
        }
    }
    return fold_65537((uint64_t)even + 65537u * 256u - odd);
}

/* sc_bn_inverse_65537: d = 1/65537 mod m.
 * shape  d, m: n limbs.   needs  m not a multiple of 65537; else d is only some
 * number of n limbs.   gives  d < m.   alias  d may be m.   time  CT(n).
 * why    exact division from the low end: with carry c, the digit must satisfy
 *        digit * e + c = t mod W, and the upper half of the left side is the
 *        next c.  k < e, so 1 + k m <= (e-1) m + 1 < e m: d < m fits n limbs.
 * bound  m[i] k + carry <= (W-1)(e-1) + (e-1) = W (e-1): the carry stays below
 *        e, and digit * e + c <= (W-1) e + e - 1 < W e. */
void sc_bn_inverse_65537(sc_word *d, const sc_word *m, size_t n)
{
    const sc_word e = 65537, e_inverse = word_inverse(65537);
    uint32_t u = (uint32_t)sc_bn_mod_65537(m, n), v = u;
    sc_word k, carry = 1, c = 0;
    size_t i;
    for (i = 0; i < 15; i++)                    /* v = u^(2^16 - 1) = 1/u */
        v = fold_65537((uint64_t)fold_65537((uint64_t)v * v) * u);
    k = e - v;
    for (i = 0; i < n; i++) {
        sc_dword t = (sc_dword)m[i] * k + carry;
        carry = (sc_word)(t >> SC_WORD_BITS);
        d[i] = ((sc_word)t - c) * e_inverse;
        c = (sc_word)(((sc_dword)d[i] * e + c) >> SC_WORD_BITS);
    }
}

/* ---- 5. Montgomery ------------------------------------------------------- */

/* Division by m is slow, division by R = W^n is free: it drops limbs.  So
 * numbers are kept as x R mod m (the Montgomery form of x), and the product of
 * two of them is (x R)(y R) / R = (x y) R mod m again.  To divide t by R mod m,
 * add multiples of m that make its low limbs zero, one limb at a time. */

/* sc_mont_mul: d = x y / R mod m (Koc, Acar, Kaliski 1996: CIOS).
 * shape  d, x, y: n limbs.   needs  y < m; x may be any number of n limbs.
 * gives  d < m.   alias  any but mod.   time  CT(n).
 * bound  t + x y + carry <= W^2 - 1, as in sc_bn_mul.  And t < 2 m always: if
 *        t < 2 m then (t + x[i] y + q m) / W < (2 m + (W-1) m + (W-1) m) / W
 *        = 2 m.  Since 2 m < 2 R, t fits n limbs and one bit, t[n]. */
void sc_mont_mul(sc_word *d, const sc_word *x, const sc_word *y,
                 const sc_modulus *mod)
{
    sc_word t[SC_LIMBS_MAX + 2];
    const sc_word *m = mod->m;
    size_t i, j, n = mod->n;
    memset(t, 0, (n + 2) * sizeof *t);
    for (i = 0; i < n; i++) {
        sc_word carry = 0, x_i = x[i], q;
        sc_dword s;
        for (j = 0; j < n; j++) {               /* t += x[i] y */
            s = t[j] + (sc_dword)x_i * y[j] + carry;
            t[j] = (sc_word)s;
            carry = (sc_word)(s >> SC_WORD_BITS);
        }
        s = (sc_dword)t[n] + carry;
        t[n] = (sc_word)s;
        t[n + 1] = (sc_word)(s >> SC_WORD_BITS);

        q = t[0] * mod->m0inv;                  /* t + q m = 0 mod W */
        s = t[0] + (sc_dword)q * m[0];
        carry = (sc_word)(s >> SC_WORD_BITS);
        for (j = 1; j < n; j++) {               /* t = (t + q m) / W */
            s = t[j] + (sc_dword)q * m[j] + carry;
            t[j - 1] = (sc_word)s;
            carry = (sc_word)(s >> SC_WORD_BITS);
        }
        s = (sc_dword)t[n] + carry;
        t[n - 1] = (sc_word)s;
        t[n] = t[n + 1] + (sc_word)(s >> SC_WORD_BITS);
        SC_ASSERT(t[n] <= 1);
    }
    bn_reduce_once(d, t[n], t, m, n);
    sc_wipe(t, (n + 2) * sizeof *t);
}

/* sc_modulus_init: get ready to calculate modulo m.
 * shape  m: n limbs.   needs  m odd, m >= 3; any other m is safe, but means
 * nothing.   time  CT(n, bit length of m).
 * why    2^(bits-1) < m, and doubling it reaches 2 R mod m, the Montgomery form
 *        of 2.  R^2 mod m is the Montgomery form of R = 2^(w n): square and
 *        double along the bits of w n, which are public. */
void sc_modulus_init(sc_modulus *mod, const sc_word *m, size_t n)
{
    size_t bits = n * SC_WORD_BITS, e = bits, i;
    unsigned bit = 1;
    sc_word *x = mod->rr;
    mod->n = n;
    mod->m0inv = (sc_word)0 - word_inverse(m[0]);
    memcpy(mod->m, m, n * sizeof *m);
    for (; bits > 1; bits--) {
        sc_word top = m[(bits - 1) / SC_WORD_BITS]
                    >> (bits - 1) % SC_WORD_BITS & 1;
        SC_PUBLIC(&top, sizeof top);
        if (top)
            break;
    }
    memset(x, 0, n * sizeof *x);
    x[(bits - 1) / SC_WORD_BITS] = (sc_word)1 << (bits - 1) % SC_WORD_BITS;
    for (i = bits - 1; i < e + 1; i++)
        sc_bn_add_mod(x, x, x, m, n);
    while (bit <= e / 2)
        bit *= 2;                               /* the highest bit of e */
    for (bit /= 2; bit > 0; bit /= 2) {
        sc_mont_mul(x, x, x, mod);
        if (e & bit)
            sc_bn_add_mod(x, x, x, m, n);
    }
}

/* sc_mont_to: d = x R mod m.  x: any number of n limbs.
 * sc_mont_from: d = x / R mod m.  x: any number of n limbs.
 * sc_mont_one: d = R mod m, the Montgomery form of 1.
 * time  CT(n).   alias  any but mod. */
void sc_mont_to(sc_word *d, const sc_word *x, const sc_modulus *mod)
{
    sc_mont_mul(d, x, mod->rr, mod);
}

void sc_mont_from(sc_word *d, const sc_word *x, const sc_modulus *mod)
{
    sc_word one[SC_LIMBS_MAX];
    memset(one, 0, mod->n * sizeof *one);
    one[0] = 1;
    sc_mont_mul(d, x, one, mod);
}

void sc_mont_one(sc_word *d, const sc_modulus *mod)
{
    memset(d, 0, mod->n * sizeof *d);
    d[0] = 1;
    sc_mont_to(d, d, mod);
}

/* ---- 6. powers ----------------------------------------------------------- */

/* table_read: d = row `index` of a table of 16 rows of n limbs.
 * time   CT(n): every row is read, and a mask keeps the one that is wanted. */
static void table_read(sc_word *d, const sc_word *table, size_t n,
                       sc_word index)
{
    size_t i, row;
    memset(d, 0, n * sizeof *d);
    for (row = 0; row < 16; row++) {
        sc_word mask = sc_mask_is_zero((sc_word)row ^ index);
        for (i = 0; i < n; i++)
            d[i] |= mask & table[row * n + i];
    }
}

/* sc_mont_pow: d = x^e, one hexadecimal digit of e after the other: four
 * squarings, and one product with x^digit from a table.
 * shape  d, x, e: n limbs; d and x in Montgomery form, e plain.
 * needs  n <= SC_PRIME_LIMBS_MAX, x < m.   gives  d < m.
 * alias  d may be x, not e.   time  CT(n): always w n / 4 digits. */
void sc_mont_pow(sc_word *d, const sc_word *x, const sc_word *e,
                 const sc_modulus *mod)
{
    sc_word table[16 * SC_PRIME_LIMBS_MAX], factor[SC_PRIME_LIMBS_MAX];
    size_t i, n = mod->n, digit = n * (SC_WORD_BITS / 4);
    int k;
    SC_ASSERT(n <= SC_PRIME_LIMBS_MAX);
    sc_mont_one(table, mod);
    for (i = 1; i < 16; i++)
        sc_mont_mul(table + i * n, table + (i - 1) * n, x, mod);
    sc_mont_one(d, mod);
    while (digit-- > 0) {
        sc_word e_limb = e[digit / (SC_WORD_BITS / 4)];
        for (k = 0; k < 4; k++)
            sc_mont_mul(d, d, d, mod);
        table_read(factor, table, n,
                   e_limb >> (digit % (SC_WORD_BITS / 4) * 4) & 15);
        sc_mont_mul(d, d, factor, mod);
    }
    sc_wipe(table, 16 * n * sizeof *table);
    sc_wipe(factor, n * sizeof *factor);
}

/* sc_mont_pow_65536: d = x^65536, sixteen squarings; one product more is the
 * public operation.  As sc_mont_pow, for any n. */
void sc_mont_pow_65536(sc_word *d, const sc_word *x, const sc_modulus *mod)
{
    int i;
    sc_mont_mul(d, x, x, mod);
    for (i = 1; i < 16; i++)
        sc_mont_mul(d, d, d, mod);
}
