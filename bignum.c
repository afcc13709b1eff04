/* bignum.c: constant-time integers, and integers modulo an odd m.
 * Needs:   stdint.h, string.h.  No random numbers, no hash, no I/O.
 * Map:     1 bytes to limbs and back   2 add, subtract, compare, choose
 *          3 multiply, remainder   4 the public exponent   5 Montgomery
 *          6 powers, in digits   7 Montgomery in vectors (AVX2)
 * Secret:  values and exponents.   Public: sizes, and the bit length of a
 *          modulus.  Nothing else shows in time or addresses: no branch and no
 *          index below depends on a value, and nothing is divided; only what
 *          says VARTIME does so, and it is given public moduli.
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
    (void)sc_bn_add(again, d, m, n);            /* its carry pays the borrow */
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

/* sc_bn_residue: c < r so that x + c W^n is a multiple of r: then a divisor of
 * r divides x exactly if it divides c.
 * shape  x: n limbs.   needs  r odd.   time  CT(n).
 * why    exact division from the low end: q r + c = x[i] mod W, and what is too
 *        much is carried to the next limb.
 * bound  q r + c <= (W-1) r + r - 1 < W r, so its upper half is below r. */
sc_word sc_bn_residue(const sc_word *x, size_t n, sc_word r)
{
    sc_word r_inverse = word_inverse(r), c = 0, q;
    size_t i;
    for (i = 0; i < n; i++) {
        q = (x[i] - c) * r_inverse;
        c = (sc_word)(((sc_dword)q * r + c) >> SC_WORD_BITS);
    }
    return c;
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
 * why    2^(bits-1) < m, and doubling it reaches the Montgomery form of any
 *        small power of 2.  R^2 mod m is the Montgomery form of R = 2^(w n):
 *        double up to the highest five bits of w n, which are public; then
 *        square and double along the rest. */
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
    while (e / bit >= 32)
        bit *= 2;
    for (i = bits - 1; i < e + e / bit; i++)
        sc_bn_add_mod(x, x, x, m, n);
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

/* ---- 6. powers, in digits ------------------------------------------------ */

/* Section 5 spends half of its time on carries.  A power is many products with
 * the same modulus, so it pays to cut the numbers in another way first: into n
 * digits of `bits` bits, B = 2^bits, with bits a little less than w.  Then a
 * whole column of products x[i] y[j], i + j = k, can be summed in one double
 * word, and carries wait until the end.
 *
 * Dividing by B is dropping the lowest digit q, and adding what q stood for:
 *
 *     t = q + B t'    so    t / B = t' + q u mod m,   u = 1 / B mod m.
 *
 * This leaves t below B m at best, because q and u are what they are; the last
 * few digits go by Montgomery's own way, which makes them 0 instead:
 *
 *     (t + q m) / B   with   q = t (-1 / m) mod B,  so that B divides it.
 *
 * All that together divides by R' = B^n, not by R.  But R' = 2^shift R,
 * and with one factor shifted left that far, (2^shift x) y / R' = x y / R.
 *
 * bound  if x y <= R' m, the product is below 3 m: each step by u makes t at
 *        most t / B + (B-1) m, so all of them together leave less than
 *        x y / B^steps + B m; each of the others, at least one, makes that at
 *        most t / B + m; and the sum is below x y / R' + m + m.  R' >= 64 R, so
 *        x, y < 6 m will do: 36 m^2 < R' m.  And so will x < R', y <= m.
 * bound  a column gets at most n products from x y and as many from the
 *        reduction, and one carry, of what is in the column below it divided by
 *        B: digit_modulus_init sees to 2 n B^2 <= W^2, and
 *        2 n (B-1)^2 + W^2 / B <= W^2 (1 - 2/B + 1/B^2 + 1/B) < W^2.
 *
 * Four rows of the product are added at a time: that saves most of the reading
 * and writing of columns.  Behind its digits, each number has three zeros. */

/* The most limbs in digits, with six bits of room and three zeros behind them:
 * digit_modulus_init makes bits w - 5 at least, w - 4 for primes. */
#define DIGITS_MAX ((8 * SC_MODULUS_MAX + 6) / (SC_WORD_BITS - 5) + 1 + 3)
#define PRIME_DIGITS_MAX ((8 * SC_PRIME_MAX + 6) / (SC_WORD_BITS - 4) + 1 + 3)

/* A modulus in digits: sc_modulus again, made when it is used. */
typedef struct {
    size_t n_limbs, n;          /* limbs; digits */
    unsigned bits, shift;
    sc_word k;                  /* -1 / m mod B */
    const sc_word *rr;          /* R^2 mod m, in limbs */
    sc_word *m, *u;             /* m and 1 / B mod m, in digits */
} digit_modulus;

#define PRODUCT(x, y) ((sc_dword)(x) * (y))

/* drop_digit: sum / B, rounded down: without a double word that is shifted by a
 * variable number of bits, for which compilers have no good answer. */
static sc_dword drop_digit(sc_dword sum, unsigned bits)
{
    sc_word low = (sc_word)sum, high = (sc_word)(sum >> SC_WORD_BITS);
    low = low >> bits | high << (SC_WORD_BITS - bits);
    return (sc_dword)(high >> bits) << SC_WORD_BITS | low;
}

/* digits_load: d = 2^shift x.   shape  x: n limbs.   needs  shift = 0 or
 * mod->shift.   time  CT(n).
 * bound  `have` < bits when a limb comes: have + w < 2 w. */
static void digits_load(sc_word *d, const sc_word *x, unsigned shift,
                        const digit_modulus *mod)
{
    sc_word mask = ((sc_word)1 << mod->bits) - 1;
    sc_dword rest = 0;
    unsigned have = shift;
    size_t i = 0, j;
    for (j = 0; j < mod->n; j++) {
        if (have < mod->bits && i < mod->n_limbs) {
            rest |= (sc_dword)x[i++] << have;
            have += SC_WORD_BITS;
        }
        d[j] = (sc_word)rest & mask;
        rest >>= mod->bits;
        have = have > mod->bits ? have - mod->bits : 0;
    }
    memset(d + j, 0, 3 * sizeof *d);
}

/* digits_store: x = d mod m; d is spoilt.   shape  x: n limbs.
 * needs  d < 3 m.   gives  x < m.   time  CT(n).
 * why    twice: m is taken away, if that does not borrow. */
static void digits_store(sc_word *x, sc_word *d, const digit_modulus *mod)
{
    sc_word mask = ((sc_word)1 << mod->bits) - 1, difference, borrow, yes;
    sc_dword rest = 0;
    unsigned have = 0;
    size_t i, j;
    for (i = 0; i < 2; i++) {
        for (borrow = 0, j = 0; j < mod->n; j++)
            borrow = (d[j] - mod->m[j] - borrow) >> (SC_WORD_BITS - 1);
        yes = sc_mask_bit(borrow ^ 1);
        for (borrow = 0, j = 0; j < mod->n; j++) {
            difference = d[j] - (mod->m[j] & yes) - borrow;
            d[j] = difference & mask;
            borrow = difference >> (SC_WORD_BITS - 1);
        }
    }
    for (i = j = 0; j < mod->n; j++) {
        rest |= (sc_dword)d[j] << have;
        have += mod->bits;
        if (have >= SC_WORD_BITS && i < mod->n_limbs) {
            x[i++] = (sc_word)rest;
            rest >>= SC_WORD_BITS;
            have -= SC_WORD_BITS;
        }
    }
}

/* add_rows: t += (x0 + x1 B + x2 B^2 + x3 B^3) y in columns from..to-1, which
 * have four products each.   needs  from >= 3.   time  CT(from, to). */
static inline void add_rows(sc_dword *t, sc_word x0, sc_word x1, sc_word x2,
                            sc_word x3, const sc_word *y, size_t from,
                            size_t to)
{
    size_t j;
    for (j = from; j < to; j++) {
        sc_dword sum = t[j];
        sum += PRODUCT(x3, y[j - 3]);
        sum += PRODUCT(x2, y[j - 2]);
        sum += PRODUCT(x1, y[j - 1]);
        sum += PRODUCT(x0, y[j]);
        t[j] = sum;
    }
}

/* columns_mul: t = x y.   shape  t: 2 n + 3 columns; x, y: n digits. */
static void columns_mul(sc_dword *t, const sc_word *x, const sc_word *y,
                        size_t n)
{
    size_t i, j;
    memset(t, 0, (2 * n + 3) * sizeof *t);
    for (i = 0; i + 4 <= n; i += 4, t += 4, x += 4) {
        t[0] += PRODUCT(x[0], y[0]);
        t[1] += PRODUCT(x[0], y[1]) + PRODUCT(x[1], y[0]);
        t[2] += PRODUCT(x[0], y[2]) + PRODUCT(x[1], y[1]) + PRODUCT(x[2], y[0]);
        add_rows(t, x[0], x[1], x[2], x[3], y, 3, n + 3);
    }
    for (; i < n; i++, t++, x++)
        for (j = 0; j < n; j++)
            t[j] += PRODUCT(x[0], y[j]);
}

/* columns_square: t = x^2.  As columns_mul, but x[i] x[j] and x[j] x[i] are one
 * product with 2 x[i].   bound  2 x[i] < 2 B < W. */
static void columns_square(sc_dword *t, const sc_word *x, size_t n)
{
    size_t i, j;
    memset(t, 0, (2 * n + 3) * sizeof *t);
    for (i = 0; i + 4 <= n; i += 4, t += 8, x += 4) {
        sc_word y0 = 2 * x[0], y1 = 2 * x[1], y2 = 2 * x[2], y3 = 2 * x[3];
        t[0] += PRODUCT(x[0], x[0]);
        t[1] += PRODUCT(y0, x[1]);
        t[2] += PRODUCT(y0, x[2]) + PRODUCT(x[1], x[1]);
        t[3] += PRODUCT(y0, x[3]) + PRODUCT(y1, x[2]);
        t[4] += PRODUCT(y0, x[4]) + PRODUCT(y1, x[3]) + PRODUCT(x[2], x[2]);
        t[5] += PRODUCT(y0, x[5]) + PRODUCT(y1, x[4]) + PRODUCT(y2, x[3]);
        t[6] += PRODUCT(y0, x[6]) + PRODUCT(y1, x[5]) + PRODUCT(y2, x[4])
              + PRODUCT(x[3], x[3]);
        add_rows(t, y0, y1, y2, y3, x, 7, n - i + 3);
    }
    for (; i < n; i++, t += 2, x++) {
        t[0] += PRODUCT(x[0], x[0]);
        for (j = 1; j < n - i; j++)
            t[j] += PRODUCT(2 * x[0], x[j]);
    }
}

/* columns_reduce: d = t / R' mod m; t is spoilt.   time  CT(n).
 * shape  t: 2 n + 3 columns.   gives  d < 3 m: see above. */
static void columns_reduce(sc_word *d, sc_dword *t, const digit_modulus *mod)
{
    const sc_word *m = mod->m, *u = mod->u;
    sc_word mask = ((sc_word)1 << mod->bits) - 1, q0, q1, q2, q3;
    size_t n = mod->n, i, j;
    unsigned bits = mod->bits;
    sc_dword sum;
    for (i = 0; i + 4 < n; i += 4, t += 4) {
        q0 = (sc_word)t[0] & mask;
        sum = t[1] + drop_digit(t[0], bits) + PRODUCT(q0, u[0]);
        q1 = (sc_word)sum & mask;
        sum = t[2] + drop_digit(sum, bits) + PRODUCT(q0, u[1])
            + PRODUCT(q1, u[0]);
        q2 = (sc_word)sum & mask;
        sum = t[3] + drop_digit(sum, bits) + PRODUCT(q0, u[2])
            + PRODUCT(q1, u[1]) + PRODUCT(q2, u[0]);
        q3 = (sc_word)sum & mask;
        t[4] += drop_digit(sum, bits);
        add_rows(t + 1, q0, q1, q2, q3, u, 3, n + 3);
    }
    for (; i < n; i++, t++) {
        q0 = (sc_word)t[0] * mod->k & mask;
        for (j = 0; j < n; j++)
            t[j] += PRODUCT(q0, m[j]);
        t[1] += drop_digit(t[0], bits);
    }
    for (sum = 0, i = 0; i < n; i++) {
        sum += t[i];
        d[i] = (sc_word)sum & mask;
        sum = drop_digit(sum, bits);
    }
    SC_ASSERT(sum == 0);
    memset(d + n, 0, 3 * sizeof *d);
}

/* digits_mul: d = x y / R' mod m; a square if x and y are the same array.
 * shape  d, x, y: digits; t: 2 DIGITS_MAX columns for scratch, which the
 * caller wipes.   alias  any.   time  CT(n).  Numbers: see above. */
static void digits_mul(sc_word *d, const sc_word *x, const sc_word *y,
                       sc_dword *t, const digit_modulus *mod)
{
    if (x == y)
        columns_square(t, x, mod->n);
    else
        columns_mul(t, x, y, mod->n);
    columns_reduce(d, t, mod);
}

/* digit_modulus_init: choose the digits, and make m and u in them.
 * why    u = (k m + 1) / B: B u = 1 mod m, and u <= m since k < B. */
static void digit_modulus_init(digit_modulus *dm, sc_word *room,
                               const sc_modulus *mod)
{
    size_t all = mod->n * SC_WORD_BITS, j;
    unsigned bits = SC_WORD_BITS - 2;
    sc_word mask;
    sc_dword sum = 1;
    do {                                /* until 2 n B^2 <= W^2 */
        bits--;
        dm->n = (all + 6 + bits - 1) / bits;
    } while (dm->n > (size_t)1 << (2 * (SC_WORD_BITS - bits) - 1));
    dm->n_limbs = mod->n;
    dm->bits = bits;
    dm->shift = (unsigned)(dm->n * bits - all);
    mask = ((sc_word)1 << bits) - 1;
    dm->k = mod->m0inv & mask;
    dm->rr = mod->rr;
    dm->m = room;
    dm->u = room + dm->n + 3;
    digits_load(dm->m, mod->m, 0, dm);
    memset(dm->u, 0, (dm->n + 3) * sizeof *dm->u);
    for (j = 0; j < dm->n; j++) {
        sum += PRODUCT(dm->k, dm->m[j]);
        if (j > 0)
            dm->u[j - 1] = (sc_word)sum & mask;
        sum >>= bits;
    }
    dm->u[j - 1] = (sc_word)sum;
}

/* A power stays in digits, in Montgomery form for R' instead of R, from the
 * first product to the last. */

/* power_one: d = R' mod m, the form of 1: R^2 2^shift / R.
 * power_enter: d = x 2^shift mod m: from the form for R to that for R'.
 * power_leave: x = d / 2^shift mod m, the way back: times R, divided by R'; and
 * R is R^2 2^shift / R'.   It spoils d.
 * shape  d, other (scratch): digits; x: n limbs; t: see digits_mul.
 * bound  power_one gives d < 2^shift + 2 m, which is below 3 m unless m has
 *        hardly any bits; then R' m has enough for any product.
 *        power_enter: x 2^shift d / R' + 2 m < 3 m + 2 m = 5 m. */
static void power_one(sc_word *d, sc_word *other, sc_dword *t,
                      const digit_modulus *mod)
{
    memset(other, 0, (mod->n + 3) * sizeof *other);
    other[mod->shift / mod->bits] = (sc_word)1 << mod->shift % mod->bits;
    digits_load(d, mod->rr, mod->shift, mod);
    digits_mul(d, d, other, t, mod);
}

static void power_enter(sc_word *d, const sc_word *x, const sc_word *one,
                        sc_dword *t, const digit_modulus *mod)
{
    digits_load(d, x, mod->shift, mod);
    digits_mul(d, d, one, t, mod);
}

static void power_leave(sc_word *x, sc_word *d, sc_word *other, sc_dword *t,
                        const digit_modulus *mod)
{
    static const sc_word one[DIGITS_MAX] = { 1 };
    digits_load(other, mod->rr, mod->shift, mod);
    digits_mul(other, other, one, t, mod);
    digits_mul(d, d, other, t, mod);
    digits_store(x, d, mod);
}

/* table_write, table_read: row `index` of a table of 16 rows of n digits, in
 * which digit i of all rows stands together.
 * time   CT(n): all of it is read, and masks keep the row that is wanted. */
static void table_write(sc_word *table, const sc_word *d, size_t n,
                        size_t index)
{
    size_t i;
    for (i = 0; i < n; i++)
        table[16 * i + index] = d[i];
}

static void table_read(sc_word *d, const sc_word *table, size_t n,
                       sc_word index)
{
    sc_word mask[16], found;
    size_t i, row;
    for (row = 0; row < 16; row++)
        mask[row] = sc_mask_is_zero((sc_word)row ^ index);
    for (i = 0; i < n; i++) {
        found = 0;
        for (row = 0; row < 16; row++)
            found |= mask[row] & table[16 * i + row];
        d[i] = found;
    }
}

static sc_word hex_digit(const sc_word *e, size_t place)
{
    return e[place / (SC_WORD_BITS / 4)] >> place % (SC_WORD_BITS / 4) * 4 & 15;
}

/* sc_mont_pow: d = x^e, one hexadecimal digit of e after the other: four
 * squarings, and one product with x^digit from a table.
 * shape  d, x, e: n limbs; d and x in Montgomery form, e plain.
 * needs  n <= SC_PRIME_LIMBS_MAX, x < m.   gives  d < m.
 * alias  d may be x, not e.   time  CT(n): always w n / 4 digits. */
void sc_mont_pow(sc_word *d, const sc_word *x, const sc_word *e,
                 const sc_modulus *mod)
{
    sc_word table[16 * (PRIME_DIGITS_MAX - 3)];
    sc_word factor[PRIME_DIGITS_MAX], power[PRIME_DIGITS_MAX];
    sc_word room[2 * PRIME_DIGITS_MAX];
    sc_dword t[2 * PRIME_DIGITS_MAX];
    digit_modulus dm;
    size_t i, n, place = mod->n * (SC_WORD_BITS / 4) - 1;
    int k;
    SC_ASSERT(mod->n <= SC_PRIME_LIMBS_MAX);
    digit_modulus_init(&dm, room, mod);
    n = dm.n;
    power_one(power, factor, t, &dm);
    power_enter(factor, x, power, t, &dm);
    table_write(table, power, n, 0);
    for (i = 1; i < 16; i++) {
        digits_mul(power, power, factor, t, &dm);
        table_write(table, power, n, i);
    }
    table_read(power, table, n, hex_digit(e, place));
    while (place-- > 0) {
        for (k = 0; k < 4; k++)
            digits_mul(power, power, power, t, &dm);
        table_read(factor, table, n, hex_digit(e, place));
        digits_mul(power, power, factor, t, &dm);
    }
    power_leave(d, power, factor, t, &dm);
    sc_wipe(table, 16 * n * sizeof *table);
    sc_wipe(room, 2 * (n + 3) * sizeof *room);
    sc_wipe(factor, n * sizeof *factor);
    sc_wipe(power, n * sizeof *power);
    sc_wipe(t, 2 * n * sizeof *t);
}

/* sc_mont_pow_65536: d = x^65536, sixteen squarings; one product more is the
 * public operation.  As sc_mont_pow, for any n. */
void sc_mont_pow_65536(sc_word *d, const sc_word *x, const sc_modulus *mod)
{
    sc_word power[DIGITS_MAX], other[DIGITS_MAX];
    sc_word room[2 * DIGITS_MAX];
    sc_dword t[2 * DIGITS_MAX];
    digit_modulus dm;
    int i;
    digit_modulus_init(&dm, room, mod);
    power_one(other, power, t, &dm);
    power_enter(power, x, other, t, &dm);
    for (i = 0; i < 16; i++)
        digits_mul(power, power, power, t, &dm);
    power_leave(d, power, other, t, &dm);
    sc_wipe(power, dm.n * sizeof *power);
    sc_wipe(other, dm.n * sizeof *other);
    sc_wipe(room, 2 * (dm.n + 3) * sizeof *room);
    sc_wipe(t, 2 * dm.n * sizeof *t);
}

/* ---- 7. Montgomery in vectors (AVX2) ------------------------------------- */

/* The same numbers, on a processor that multiplies four pairs of 32-bit numbers
 * at once.  Sections 1 to 6 do without this one, and SC_NO_SIMD removes it.
 *
 * A limb has w = 29 or 28 bits and lies in a lane of 64, so that many products
 * can be added up before a carry has to move.  A number is cut into parts of h
 * limbs, and vector i has limb i of all parts side by side:
 *
 *     lane      0         1         2         3
 *     pair    x[i]    x[h + i]    y[i]    y[h + i]      two numbers x, y
 *     quad    x[i]    x[h + i]  x[2h + i] x[3h + i]     one number x
 *
 * A pair is for work modulo p and q at the same time, a quad for work modulo n;
 * they differ in the two permutations spread and down, and in nothing else.
 *
 * As in section 5, row j adds a b[j] + q m, where the digit q makes the lowest
 * limb zero, and then drops that limb: V = 2^(w limbs) takes the place of R.
 * The lowest limb of a higher part is not zero, but it is also limb h of the
 * part below, and goes there.
 *
 * V > 4 m, so nothing need be subtracted from one product to the next (Walter,
 * "Montgomery exponentiation needs no final subtractions", 1999): if a and b
 * are below 2 m, (a b + Q m) / V < (4 m m + V m) / V < 2 m. */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(SC_NO_SIMD) \
    && SC_WORD_BITS == 64
#define BN_VECTORS
#include <immintrin.h>

/* Only these functions may use AVX2; the rest of the file runs anywhere. */
#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((target("avx2"), always_inline))
#define LANES __attribute__((aligned(32))) uint64_t
#define LANES_MAX (4 * 38)      /* h <= 37, and the last load may look beyond */
#define VEC_ROW(h) (4 * (((h) + 1) / 2))        /* lanes of a row of a table */

#define VEC_TABLE_MAX (16 * VEC_ROW(37))

typedef struct {
    LANES m[LANES_MAX];
    LANES m0inv[4];             /* -1 / m mod 2^w, times 2^(32 - w) */
    LANES t[LANES_MAX];         /* where vec_mul works; wiped at the end */
    size_t n, h, parts;         /* limbs of 64 bits; of w bits, each part */
    unsigned w;
} vec_modulus;

/* vec_modulus_shape: choose h and w.  parts: 2, a pair; 4, a quad.
 * gives  V >= 4 W^n, and 2 h at most 62 for w = 29, ceil(2050 / 28) = 74 for
 *        w = 28: then 2 h 2^(2 w) < 2^63.96, as vec_mul needs. */
static void vec_modulus_shape(vec_modulus *mod, size_t n, size_t parts)
{
    size_t bits = n * SC_WORD_BITS + 2, w = 29;
    if (bits > 31 * parts * w)
        w = 28;
    mod->n = n;
    mod->h = (bits + parts * w - 1) / (parts * w);
    mod->parts = parts;
    mod->w = (unsigned)w;
    SC_ASSERT(4 <= mod->h && mod->h <= 37);
}

/* vec_set: the parts of v from lane on = x, n limbs of 64 bits. */
static void vec_set(uint64_t *v, size_t lane, const sc_word *x,
                    const vec_modulus *mod)
{
    sc_dword bits = 0;
    size_t end = lane + mod->parts, have = 0, at = 0, i;
    for (; lane < end; lane++) {
        for (i = 0; i < mod->h; i++) {
            if (have < mod->w) {
                bits |= (sc_dword)(at < mod->n ? x[at++] : 0) << have;
                have += SC_WORD_BITS;
            }
            v[4 * i + lane] = (uint64_t)bits & (((uint64_t)1 << mod->w) - 1);
            bits >>= mod->w;
            have -= mod->w;
        }
    }
}

/* vec_get: x = those parts, back in n limbs; gives the carry: 0 or 1 for a
 * number below 2 m.  bound  limbs are below 2^30: bits < 2^64 + 2^(63 + 30). */
static sc_word vec_get(sc_word *x, const uint64_t *v, size_t lane,
                       const vec_modulus *mod)
{
    sc_dword bits = 0;
    size_t end = lane + mod->parts, have = 0, at = 0, i;
    for (; lane < end; lane++) {
        for (i = 0; i < mod->h; i++) {
            bits += (sc_dword)v[4 * i + lane] << have;
            have += mod->w;
            if (have >= SC_WORD_BITS && at < mod->n) {
                x[at++] = (sc_word)bits;
                bits >>= SC_WORD_BITS;
                have -= SC_WORD_BITS;
            }
        }
    }
    return (sc_word)bits;
}

/* vec_modulus_set: the modulus of the parts from lane on. */
static void vec_modulus_set(vec_modulus *mod, size_t lane, const sc_word *m,
                            sc_word m0inv)
{
    size_t i;
    vec_set(mod->m, lane, m, mod);
    for (i = lane; i < lane + mod->parts; i++)
        mod->m0inv[i] = (uint32_t)m0inv << (32 - mod->w);
}

AVX2_INLINE __m256i load(const uint64_t *v)
{
    return _mm256_loadu_si256((const __m256i *)v);
}

AVX2_INLINE void store(uint64_t *v, __m256i x)
{
    _mm256_storeu_si256((__m256i *)v, x);
}

/* mul_add: t + x y, where only the lower 32 bits of a lane of x and y count. */
AVX2_INLINE __m256i mul_add(__m256i t, __m256i x, __m256i y)
{
    return _mm256_add_epi64(t, _mm256_mul_epu32(x, y));
}

/* spread: the lowest lane of each number, in all its lanes. */
AVX2_INLINE __m256i spread(__m256i x, int quad)
{
    return quad ? _mm256_permute4x64_epi64(x, 0x00)
                : _mm256_unpacklo_epi64(x, x);
}

/* down: lane k + 1 of each number in its lane k; lane 0 goes to the top. */
AVX2_INLINE __m256i down(__m256i x, int quad)
{
    return quad ? _mm256_permute4x64_epi64(x, 0x39)
                : _mm256_shuffle_epi32(x, 0x4e);
}

/* quotient: q < 2^w with t + q m = 0 mod 2^w in the lowest lane, in all lanes.
 * why    m0inv 2^(32-w) pushes what is above 2^w out of the lower 32 bits, and
 *        a shift of 32-bit pieces brings q back.  (With a mask instead of the
 *        shifts, clang 14 no longer sees that a mul_epu32 is one.) */
AVX2_INLINE __m256i quotient(__m256i t, __m256i m0inv, int quad, int w)
{
    return _mm256_srli_epi32(spread(_mm256_mul_epu32(t, m0inv), quad), 32 - w);
}

/* Two rows at a time: limbs j and j + 1 of b, their quotients, and what remains
 * of the two columns that they finish: digits for the part below, a carry. */
typedef struct {
    __m256i b0, b1, q0, q1, digit0, digit1, carry;
} vec_rows;

/* vec_rows_start: t0, t1: columns 0 and 1 before these rows; b0, b1: where
 * limbs j and j + 1 lie. */
AVX2_INLINE vec_rows vec_rows_start(__m256i t0, __m256i t1, const uint64_t *a,
                                    const uint64_t *b0, const uint64_t *b1,
                                    const vec_modulus *mod, int quad, int w)
{
    const __m256i mask = _mm256_set1_epi64x((1LL << w) - 1);
    const __m256i m0inv = load(mod->m0inv);
    const uint64_t *m = mod->m;
    vec_rows r;
    r.b0 = spread(load(b0), quad);
    r.b1 = spread(load(b1), quad);
    t0 = mul_add(t0, load(a), r.b0);
    r.q0 = quotient(t0, m0inv, quad, w);
    t0 = mul_add(t0, load(m), r.q0);
    t1 = mul_add(mul_add(t1, load(a + 4), r.b0), load(a), r.b1);
    t1 = mul_add(t1, load(m + 4), r.q0);
    t1 = _mm256_add_epi64(t1, _mm256_srli_epi64(t0, w));
    r.q1 = quotient(t1, m0inv, quad, w);
    t1 = mul_add(t1, load(m), r.q1);
    r.digit0 = down(_mm256_and_si256(t0, mask), quad);
    r.digit1 = down(_mm256_and_si256(t1, mask), quad);
    r.carry = _mm256_srli_epi64(t1, w);
    return r;
}

/* vec_carry: d = t, carried: lane by lane, then from part to part.
 * gives  limbs below 2^w, except that limb 1 of a part may reach 2^w + 2^8: it
 *        takes what is left of a carry < 2^36 that came to limb 0. */
AVX2_INLINE void vec_carry(uint64_t *d, const uint64_t *t, size_t h, int quad,
                           int w)
{
    const __m256i mask = _mm256_set1_epi64x((1LL << w) - 1);
    __m256i x = _mm256_setzero_si256();
    size_t i;
    for (i = 0; i < 4 * h; i += 4) {
        x = _mm256_add_epi64(x, load(t + i));
        store(d + i, _mm256_and_si256(x, mask));
        x = _mm256_srli_epi64(x, w);
    }
    x = quad ? _mm256_permute4x64_epi64(x, 0x93)        /* the highest is 0 */
             : _mm256_bslli_epi128(x, 8);
    x = _mm256_add_epi64(x, load(d));
    store(d, _mm256_and_si256(x, mask));
    store(d + 4, _mm256_add_epi64(load(d + 4), _mm256_srli_epi64(x, w)));
}

/* vec_limb_after: the place of the limb after the one at place j. */
static inline size_t vec_limb_after(size_t j, size_t h)
{
    return j + 4 < 4 * h ? j + 4 : j + 5 - 4 * h;
}

/* vec_mul_as: d = a b / V mod m, with layout and w known to the compiler.
 * needs  a b < m V, as when a, b < 2 m.   gives  d < 2 m.   alias  any.
 * time   CT(h, parts).
 * how    rows j and j + 1 turn column i into column i - 2:
 *            t[i - 2] = t[i] + a[i] b0 + a[i - 1] b1 + m[i] q0 + m[i - 1] q1
 *        Columns 0 and 1 are made first, for then the next quotients, a long
 *        chain of dependent steps, are found while the others are added up.
 *        (The last time they are found in vain.)
 * bound  a column comes in at the top of a part as a digit < 2^w, meets two
 *        products in each of h rows while it moves down, and last a carry
 *        < 2^36.  Factors are at most 2^w + 2^8, so it stays below
 *        2 h 2^(2 w) (1 + 2^-18) + 2^37 < 2^64. */
AVX2_INLINE void vec_mul_as(uint64_t *d, const uint64_t *a, const uint64_t *b,
                            vec_modulus *mod, int quad, int w)
{
    const uint64_t *m = mod->m;
    uint64_t *t = mod->t;
    size_t h = mod->h, end = 4 * h, j0 = 0, j1 = 4, row, i;
    __m256i t0 = _mm256_setzero_si256(), t1 = t0, x, a_i, m_i, t_i;
    vec_rows r, next = vec_rows_start(t0, t1, a, b, b + 4, mod, quad, w);
    for (i = 0; i < end; i += 4)
        store(t + i, t0);
    for (row = 0; row < mod->parts * h; row += 2) {
        r = next;
        t0 = _mm256_add_epi64(r.carry, load(t + 8));
        t0 = mul_add(mul_add(t0, load(a + 8), r.b0), load(a + 4), r.b1);
        t0 = mul_add(mul_add(t0, load(m + 8), r.q0), load(m + 4), r.q1);
        t1 = mul_add(load(t + 12), load(a + 12), r.b0);
        t1 = mul_add(t1, load(a + 8), r.b1);
        t1 = mul_add(mul_add(t1, load(m + 12), r.q0), load(m + 8), r.q1);
        j0 = vec_limb_after(j1, h);
        j1 = vec_limb_after(j0, h);
        next = vec_rows_start(t0, t1, a, b + j0, b + j1, mod, quad, w);
        x = mul_add(_mm256_mul_epu32(load(a + 12), r.b1), load(m + 12), r.q1);
        for (i = 16; i < end; i += 4) {
            a_i = load(a + i);
            m_i = load(m + i);
            t_i = _mm256_add_epi64(x, load(t + i));
            t_i = mul_add(mul_add(t_i, a_i, r.b0), m_i, r.q0);
            x = mul_add(_mm256_mul_epu32(a_i, r.b1), m_i, r.q1);
            store(t + i - 8, t_i);
        }
        store(t + end - 8, _mm256_add_epi64(x, r.digit0));
        store(t + end - 4, r.digit1);
    }
    store(t, t0);
    store(t + 4, t1);
    vec_carry(d, t, h, quad, w);
}

AVX2 static void vec_mul(uint64_t *d, const uint64_t *a, const uint64_t *b,
                         vec_modulus *mod)
{
    if (mod->parts == 2 && mod->w == 29)
        vec_mul_as(d, a, b, mod, 0, 29);
    else if (mod->parts == 2)
        vec_mul_as(d, a, b, mod, 0, 28);
    else if (mod->w == 29)
        vec_mul_as(d, a, b, mod, 1, 29);
    else
        vec_mul_as(d, a, b, mod, 1, 28);
}

/* vec_table_write, vec_table_read: one row of a table, packed: two limbs share
 * a lane.  p, q: the rows to read for the two numbers of a pair.
 * time   CT(h), as table_read. */
static void vec_table_write(uint64_t *table, size_t row, const uint64_t *v,
                            size_t h)
{
    size_t half = VEC_ROW(h), i;
    for (i = 0; i < half; i++)
        table[row * half + i] = (v[i] & 0xffffffff)
                              | (half + i < 4 * h ? v[half + i] << 32 : 0);
}

AVX2 static void vec_table_read(uint64_t *v, const uint64_t *table, sc_word p,
                                sc_word q, size_t h)
{
    const long long a = (long long)sc_barrier(p), b = (long long)sc_barrier(q);
    const __m256i wanted = _mm256_set_epi64x(b, b, a, a);
    __m256i mask[16], x;
    size_t half = VEC_ROW(h), i, row;
    for (row = 0; row < 16; row++)
        mask[row] = _mm256_cmpeq_epi64(wanted,
                                       _mm256_set1_epi64x((long long)row));
    for (i = 0; i < half; i += 4) {
        const uint64_t *at = table + i;
        x = _mm256_setzero_si256();
        for (row = 0; row < 16; row++, at += half)
            x = _mm256_or_si256(x, _mm256_and_si256(mask[row], load(at)));
        store(v + i, x);                /* mul_add ignores the upper halves */
        store(v + half + i, _mm256_srli_epi64(x, 32));
    }
    sc_wipe(mask, sizeof mask);
}

/* bits_from: 64 bits of x, n limbs, from bit `at` on. */
static sc_word bits_from(const sc_word *x, size_t n, size_t at)
{
    size_t i = at / SC_WORD_BITS;
    sc_word above = i + 1 < n ? x[i + 1] : 0;
    return x[i] >> at % SC_WORD_BITS
         | above << 1 << (SC_WORD_BITS - 1 - at % SC_WORD_BITS);
}

/* vec_set_bit: both numbers of a pair = 2^bit. */
static void vec_set_bit(uint64_t *v, size_t bit, const vec_modulus *mod)
{
    size_t limb = bit / mod->w;
    memset(v, 0, 4 * mod->h * sizeof *v);
    v += limb % mod->h * 4 + limb / mod->h;
    v[0] = v[2] = (uint64_t)1 << bit % mod->w;
}

/* vec_pow_pair: see sc_mont_pow_pair.
 * why    V = 2^g R, with section 5's R.  Products with two factors lead here
 *        and back: in = R^2 2^(3 g) / V = V^2 / R makes x V of x R, out = R
 *        makes x R of x V, and in out / V = V is 1.  R and 2^(3 g) are at most
 *        V / 4: that is small enough for vec_mul. */
static void vec_pow_pair(sc_word *d_p, const sc_word *x_p, const sc_word *e_p,
                         const sc_modulus *mod_p, sc_word *d_q,
                         const sc_word *x_q, const sc_word *e_q,
                         const sc_modulus *mod_q)
{
    LANES table[VEC_TABLE_MAX], y[LANES_MAX], factor[LANES_MAX];
    vec_modulus mod;
    size_t n = mod_p->n, place = n * (SC_WORD_BITS / 4) - 1, row, i;
    vec_modulus_shape(&mod, n, 2);
    vec_modulus_set(&mod, 0, mod_p->m, mod_p->m0inv);
    vec_modulus_set(&mod, 2, mod_q->m, mod_q->m0inv);
    vec_set(y, 0, mod_p->rr, &mod);
    vec_set(y, 2, mod_q->rr, &mod);
    vec_set_bit(table, 3 * (mod.w * 2 * mod.h - n * SC_WORD_BITS), &mod);
    vec_mul(y, y, table, &mod);                 /* in */
    vec_set(factor, 0, x_p, &mod);
    vec_set(factor, 2, x_q, &mod);
    vec_mul(factor, factor, y, &mod);           /* x */
    vec_set_bit(table, n * SC_WORD_BITS, &mod); /* out */
    vec_mul(y, y, table, &mod);                 /* 1 */
    for (row = 0; row < 16; row++) {            /* x^row */
        vec_table_write(table, row, y, mod.h);
        vec_mul(y, y, factor, &mod);
    }
    vec_table_read(y, table, hex_digit(e_p, place), hex_digit(e_q, place),
                   mod.h);
    while (place-- > 0) {                       /* as in sc_mont_pow */
        for (i = 0; i < 4; i++)
            vec_mul(y, y, y, &mod);
        vec_table_read(factor, table, hex_digit(e_p, place),
                       hex_digit(e_q, place), mod.h);
        vec_mul(y, y, factor, &mod);
    }
    vec_set_bit(factor, n * SC_WORD_BITS, &mod);
    vec_mul(y, y, factor, &mod);
    bn_reduce_once(d_p, vec_get(d_p, y, 0, &mod), d_p, mod_p->m, n);
    bn_reduce_once(d_q, vec_get(d_q, y, 2, &mod), d_q, mod_q->m, n);
    sc_wipe(table, sizeof table);
    sc_wipe(y, sizeof y);
    sc_wipe(factor, sizeof factor);
    sc_wipe(&mod, sizeof mod);
}

/* bn_two_to_vartime: d = 2^e mod m, up to 58 bits at a time.
 * shape  d: n + 1 limbs; m: n limbs, public.   needs  e >= bits of m > 63.
 * gives  d < 2 m.   time  VARTIME: it divides.
 * why    with M = floor(m / 2^k) >= 2^62, X = floor(d / 2^k) < 2 (M + 1), the
 *        true quotient d 2^s / m < (X + 1) 2^s / M is at most 3 2^s / M <= 3/16
 *        more than X 2^s / (M + 1), which is less than 1 more than q: what
 *        remains is not negative, and below 2 m.  To add only, -q m is
 *        written as q (W^n - 1 - m) + q - q W^n.
 * bound  q < 2^60: t < 2^58 W + 2^60 W + 2^61 < W^2. */
static void bn_two_to_vartime(sc_word *d, size_t e, const sc_word *m, size_t n)
{
    size_t bits = n * SC_WORD_BITS, i, s;
    sc_word high, q, carry;
    while ((m[(bits - 1) / SC_WORD_BITS] >> (bits - 1) % SC_WORD_BITS & 1) == 0)
        bits--;
    memset(d, 0, (n + 1) * sizeof *d);
    d[(bits - 1) / SC_WORD_BITS] = (sc_word)1 << (bits - 1) % SC_WORD_BITS;
    high = bits_from(m, n, bits - 63);
    for (e -= bits - 1; e > 0; e -= s) {
        s = e < 58 ? e : 58;
        q = (sc_word)(((sc_dword)bits_from(d, n + 1, bits - 63) << s)
                      / (high + 1));
        carry = q;
        for (i = 0; i < n; i++) {               /* d = d 2^s - q m */
            sc_dword t = ((sc_dword)d[i] << s) + (sc_dword)q * ~m[i] + carry;
            d[i] = (sc_word)t;
            carry = (sc_word)(t >> SC_WORD_BITS);
        }
        d[n] = (d[n] << s) + carry - q;
    }
}

/* vec_pow_65537: see sc_pow_65537.
 * why    V = 2^(4 w h), so (2^(2 w h) V)^2 / V = V V; that times x makes x V,
 *        and x^65536 V times x makes x^65537. */
static void vec_pow_65537(sc_word *d, const sc_word *x, const sc_word *m,
                          size_t n)
{
    LANES y[LANES_MAX], plain[LANES_MAX];
    vec_modulus mod;
    sc_word v[SC_LIMBS_MAX + 1];
    int i;
    vec_modulus_shape(&mod, n, 4);
    vec_modulus_set(&mod, 0, m, (sc_word)0 - word_inverse(m[0]));
    bn_two_to_vartime(v, mod.w * 6 * mod.h, m, n);
    bn_reduce_once(v, v[n], v, m, n);
    vec_set(y, 0, v, &mod);
    vec_set(plain, 0, x, &mod);
    vec_mul(y, y, y, &mod);
    vec_mul(y, y, plain, &mod);
    for (i = 0; i < 16; i++)
        vec_mul(y, y, y, &mod);
    vec_mul(y, y, plain, &mod);
    bn_reduce_once(d, vec_get(d, y, 0, &mod), d, m, n);
    sc_wipe(y, sizeof y);
    sc_wipe(plain, sizeof plain);
    sc_wipe(&mod, sizeof mod);
}
#endif /* BN_VECTORS */

/* sc_mont_pow_pair: two powers at once: d_p = x_p^e_p mod p, d_q = x_q^e_q mod
 * q.  Else as sc_mont_pow.   needs  moduli of the same n >= 4. */
void sc_mont_pow_pair(sc_word *d_p, const sc_word *x_p, const sc_word *e_p,
                      const sc_modulus *mod_p, sc_word *d_q,
                      const sc_word *x_q, const sc_word *e_q,
                      const sc_modulus *mod_q)
{
#ifdef BN_VECTORS
    if (__builtin_cpu_supports("avx2")) {
        vec_pow_pair(d_p, x_p, e_p, mod_p, d_q, x_q, e_q, mod_q);
        return;
    }
#endif
    sc_mont_pow(d_p, x_p, e_p, mod_p);
    sc_mont_pow(d_q, x_q, e_q, mod_q);
}

/* sc_pow_65537: d = x^65537 mod m.
 * shape  d, x, m: n >= 6 limbs.   needs  m odd, public, of more than 63 bits; x
 * may be any number of n limbs.   gives  d < m.   alias  any.   time  CT(n, m).
 * why    the last product takes x as it is: x^65536 R times x, divided by R,
 *        leaves Montgomery's world by itself. */
void sc_pow_65537(sc_word *d, const sc_word *x, const sc_word *m, size_t n)
{
    sc_modulus mod;
    sc_word y[SC_LIMBS_MAX];
#ifdef BN_VECTORS
    if (__builtin_cpu_supports("avx2")) {
        vec_pow_65537(d, x, m, n);
        return;
    }
#endif
    sc_modulus_init(&mod, m, n);
    sc_mont_to(y, x, &mod);
    sc_mont_pow_65536(y, y, &mod);
    sc_mont_mul(d, x, y, &mod);
    sc_wipe(y, sizeof y);
}
