/* rsa_mini.c: RSA as secchan/1 uses it: OAEP encryption with e = 65537.
 * Needs:   bignum.c, stdint.h, string.h.  Random bytes come from a callback.
 * Map:     1 SHA-256   2 MGF1, OAEP   3 primes, key generation
 *          4 public and private operation   5 base64   6 DER and SSH fields
 *          7 private key files   8 public keys: lines, fingerprints, pictures
 * Secret:  primes, private exponents, messages, seeds.   Public: sizes, public
 *          keys, ciphertexts, labels, and every candidate that is no prime.
 * Sources: FIPS 180-4; RFC 8017 (PKCS #1); FIPS 186-5 appendix A.1.3; Damgard,
 *          Landrock, Pomerance, Math. Comp. 61 (1993); RFC 4253 6.6 and RFC
 *          4251 5 (SSH); RFC 5958 (PKCS #8); RFC 7468 (PEM); OpenSSH's
 *          PROTOCOL.key. */

#define SECCHAN_INTERNAL
#include "secchan.h"

/* ---- 1. SHA-256 (FIPS 180-4) --------------------------------------------- */

static const uint32_t sha256_k[64] = {  /* 4.2.2: cube roots of primes */
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

static uint32_t rotate_right(uint32_t x, int n) /* 1 <= n <= 31 */
{
    return x >> n | x << (32 - n);
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16
         | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

/* A round of 6.2.2.  It changes only d and h; instead of moving all eight one
 * place down, the next round calls them by the next letters.  Ch and Maj are
 * those of 4.1.2 with fewer operations. */
#define SHA256_ROUND(a, b, c, d, e, f, g, h, t)                             \
    (h += sha256_k[t] + w[t] + (g ^ (e & (f ^ g)))                          \
        + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)), \
     d += h,                                                                \
     h += (b ^ ((a ^ b) & (b ^ c)))                                         \
        + (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)))

/* sha256_schedule: the 64 words of a block (6.2.2, step 1). */
static void sha256_schedule(uint32_t w[64], const uint8_t *block)
{
    int t;
    for (t = 0; t < 16; t++)
        w[t] = get_be32(block + 4 * t);
    SC_UNROLL(8)
    for (t = 16; t < 64; t++) {
        uint32_t s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18)
                    ^ w[t - 15] >> 3;
        uint32_t s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19)
                    ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
}

/* sha256_blocks: take n blocks of 64 bytes into s (6.2.2).  time  CT(n). */
static void sha256_blocks(uint32_t s[8], const uint8_t *p, size_t n)
{
    uint32_t w[64], a, b, c, d, e, f, g, h;
    int t;
    for (; n > 0; n--, p += 64) {
        sha256_schedule(w, p);
        a = s[0], b = s[1], c = s[2], d = s[3];
        e = s[4], f = s[5], g = s[6], h = s[7];
        for (t = 0; t < 64; t += 8) {
            SHA256_ROUND(a, b, c, d, e, f, g, h, t);
            SHA256_ROUND(h, a, b, c, d, e, f, g, t + 1);
            SHA256_ROUND(g, h, a, b, c, d, e, f, t + 2);
            SHA256_ROUND(f, g, h, a, b, c, d, e, t + 3);
            SHA256_ROUND(e, f, g, h, a, b, c, d, t + 4);
            SHA256_ROUND(d, e, f, g, h, a, b, c, t + 5);
            SHA256_ROUND(c, d, e, f, g, h, a, b, t + 6);
            SHA256_ROUND(b, c, d, e, f, g, h, a, t + 7);
        }
        s[0] += a, s[1] += b, s[2] += c, s[3] += d;
        s[4] += e, s[5] += f, s[6] += g, s[7] += h;
    }
    sc_wipe(w, sizeof w);
}

void sc_sha256_init(sc_sha256 *s)
{
    static const uint32_t start[8] = {  /* 5.3.3: square roots of primes */
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
    };
    memset(s, 0, sizeof *s);
    memcpy(s->h, start, sizeof start);
}

void sc_sha256_add(sc_sha256 *s, const void *data, size_t data_len)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t have = (size_t)(s->total_len % 64), n;
    if (data_len == 0)
        return;                         /* data may be NULL then */
    s->total_len += data_len;
    if (have > 0) {
        n = data_len < 64 - have ? data_len : 64 - have;
        memcpy(s->block + have, p, n);
        p += n;
        data_len -= n;
        if (have + n < 64)
            return;
        sha256_blocks(s->h, s->block, 1);
    }
    if (data_len >= 64)
        sha256_blocks(s->h, p, data_len / 64);
    memcpy(s->block, p + data_len / 64 * 64, data_len % 64);
}

/* sc_sha256_end works on a copy: T2..T5 are snapshots of one running hash. */
void sc_sha256_end(const sc_sha256 *s, uint8_t digest[32])
{
    sc_sha256 copy = *s;
    size_t have = (size_t)(s->total_len % 64);
    int i;
    copy.block[have++] = 0x80;          /* 5.1.1: 1, zeros, length in bits */
    memset(copy.block + have, 0, 64 - have);
    if (have > 56) {                    /* no room for the length */
        sha256_blocks(copy.h, copy.block, 1);
        memset(copy.block, 0, 56);
    }
    put_be32(copy.block + 56, (uint32_t)(s->total_len >> 29));
    put_be32(copy.block + 60, (uint32_t)(s->total_len << 3));
    sha256_blocks(copy.h, copy.block, 1);
    for (i = 0; i < 8; i++)
        put_be32(digest + 4 * i, copy.h[i]);
    sc_wipe(&copy, sizeof copy);
}

/* ---- 2. MGF1, OAEP (RFC 8017 B.2.1 and 7.1) ------------------------------ */

/* An encoded message, as long as the modulus:
 *
 *     00 | masked seed, 32 | masked data block
 *                            data block: lHash, 32 | 00 ... 00 | 01 | message
 *
 * The seed is random and masks the data block; the masked data block masks the
 * seed.  lHash is the hash of a label, which says what the message is for. */

/* mgf1_xor: x ^= MGF1-SHA-256(seed).  time  CT(lengths). */
static void mgf1_xor(uint8_t *x, size_t x_len, const uint8_t *seed,
                     size_t seed_len)
{
    sc_sha256 start, s;
    uint8_t mask[SC_HASH_LEN], counter_bytes[4];
    uint32_t counter = 0;
    size_t i, n;
    sc_sha256_init(&start);
    sc_sha256_add(&start, seed, seed_len);
    while (x_len > 0) {
        put_be32(counter_bytes, counter++);
        s = start;
        sc_sha256_add(&s, counter_bytes, 4);
        sc_sha256_end(&s, mask);
        n = x_len < SC_HASH_LEN ? x_len : SC_HASH_LEN;
        for (i = 0; i < n; i++)
            x[i] ^= mask[i];
        x += n;
        x_len -= n;
    }
    sc_wipe(&start, sizeof start);
    sc_wipe(&s, sizeof s);
    sc_wipe(mask, sizeof mask);
}

static void hash_label(uint8_t hash[SC_HASH_LEN], const void *label,
                       size_t label_len)
{
    sc_sha256 s;
    sc_sha256_init(&s);
    sc_sha256_add(&s, label, label_len);
    sc_sha256_end(&s, hash);
}

/* sc_oaep_encrypt: c = OAEP(key, msg, label), key->n_len bytes.
 * needs  msg_len <= n_len - SC_OAEP_OVERHEAD (7.1.1), key checked.
 * errors SC_ERR_ARGUMENT (message too long), SC_ERR_RANDOM.   time  CT(sizes).
 * alias  c overlaps nothing.   source  RFC 8017 7.1.1. */
int sc_oaep_encrypt(const sc_public_key *key, const void *label,
                    size_t label_len, const uint8_t *msg, size_t msg_len,
                    uint8_t *c, sc_random_fn random, void *ctx)
{
    uint8_t em[SC_MODULUS_MAX];
    uint8_t *seed = em + 1, *block = em + 1 + SC_HASH_LEN;
    size_t k = key->n_len, block_len = k - 1 - SC_HASH_LEN;
    if (msg_len > k - SC_OAEP_OVERHEAD)
        return SC_ERR_ARGUMENT;
    memset(em, 0, k);
    if (random(ctx, seed, SC_HASH_LEN) != SC_OK) {
        sc_wipe(em, sizeof em);
        return SC_ERR_RANDOM;
    }
    SC_SECRET(seed, SC_HASH_LEN);
    hash_label(block, label, label_len);
    block[block_len - msg_len - 1] = 1;
    if (msg_len > 0)
        memcpy(block + block_len - msg_len, msg, msg_len);
    mgf1_xor(block, block_len, seed, SC_HASH_LEN);
    mgf1_xor(seed, SC_HASH_LEN, block, block_len);
    sc_rsa_public(key, em, c);          /* em < n: it begins with 00 */
    SC_PUBLIC(c, k);
    sc_wipe(em, sizeof em);
    return SC_OK;
}

/* sc_oaep_decrypt: open c, n_len bytes, of which the receiver knows that a good
 * one holds exactly msg_len bytes.  Then "well-formed" is one comparison, with
 * no search for the 01 that attackers could time (Manger 2001).
 * gives  *ok: a mask; msg: the message, or zeros if *ok is 0.
 * errors SC_ERR_RANDOM, SC_ERR_ARGUMENT (msg_len cannot be); *ok is 0 then.  A
 *        bad ciphertext is no error here: the caller judges the mask.
 * time   CT(sizes).   source  RFC 8017 7.1.2. */
int sc_oaep_decrypt(const sc_private_key *key, const void *label,
                    size_t label_len, const uint8_t *c, uint8_t *msg,
                    size_t msg_len, sc_word *ok, sc_random_fn random,
                    void *ctx)
{
    uint8_t em[SC_MODULUS_MAX], want[SC_MODULUS_MAX];
    uint8_t *seed = em + 1, *block = em + 1 + SC_HASH_LEN;
    size_t k = key->pub.n_len, block_len = k - 1 - SC_HASH_LEN, head_len, i;
    int e;
    *ok = 0;
    memset(msg, 0, msg_len);
    if (msg_len > k - SC_OAEP_OVERHEAD)
        return SC_ERR_ARGUMENT;
    head_len = block_len - msg_len;     /* lHash | 00 ... 00 | 01 */
    memset(want, 0, sizeof want);
    hash_label(want, label, label_len);
    want[head_len - 1] = 1;
    e = sc_rsa_private(key, c, em, ok, random, ctx);
    if (e == SC_OK) {
        mgf1_xor(seed, SC_HASH_LEN, block, block_len);
        mgf1_xor(block, block_len, seed, SC_HASH_LEN);
        *ok &= sc_mask_is_zero(em[0]) & sc_bytes_equal(block, want, head_len);
        for (i = 0; i < msg_len; i++)
            msg[i] = (uint8_t)(block[head_len + i] & sc_barrier(*ok));
    }
    sc_wipe(em, sizeof em);
    return e;
}

/* ---- 3. primes, key generation (FIPS 186-5 A.1.3) ------------------------ */

/* Candidates are independent random numbers, so that time spent on those that
 * fail says nothing about the one that is kept.  They end in binary 11: then
 * (p - 1) / 2 is odd and the Miller-Rabin test is one power and one question.
 *
 * Six rounds: a random odd k-bit number that passes t rounds is composite with
 * probability at most k^1.5 2^t t^-0.5 4^(2 - sqrt(t k)) (Damgard, Landrock,
 * Pomerance 1993, for k >= 21, 3 <= t <= k / 9).  k = 1024, t = 6: 2^-133.
 * Fixing the second bit from the top and the second from below keeps one such
 * number in four: at worst 2^-131.  (One, then two at a time: it is seven.) */
#define MILLER_RABIN_ROUNDS 6
#define SMALL_PRIME_LIMIT 4096
/* One candidate in ln(2) / 4 n_bits is a prime: nobody needs 10 n_bits of them
 * (two times e^-28), except with a random source that repeats itself. */
#define TRIES_PER_BIT 10

/* keygen_sieve: the odd primes below 4096, after Eratosthenes. */
static void keygen_sieve(sc_keygen *g)
{
    uint8_t composite[SMALL_PRIME_LIMIT];
    size_t i, j, n = 0;
    memset(composite, 0, sizeof composite);
    for (i = 3; i < SMALL_PRIME_LIMIT; i += 2) {
        if (composite[i])
            continue;
        SC_ASSERT(n < sizeof g->small_prime / sizeof g->small_prime[0]);
        g->small_prime[n++] = (uint16_t)i;
        for (j = i * i; j < SMALL_PRIME_LIMIT; j += 2 * i)
            composite[j] = 1;
    }
}

int sc_keygen_init(sc_keygen *g, unsigned n_bits, sc_random_fn random,
                   void *ctx)
{
    memset(g, 0, sizeof *g);
    if (n_bits % 8 != 0 || n_bits < 8 * SC_MODULUS_MIN
        || n_bits > 8 * SC_MODULUS_MAX)
        return SC_ERR_KEY_SIZE;
    g->n_len = n_bits / 8;
    g->random = random;
    g->random_ctx = ctx;
    keygen_sieve(g);
    return SC_OK;
}

/* prime_divides: is x = 0 mod r?  A mask.
 * needs  r odd, 3 <= r < 4096.
 * time   CT(r): the quotient comes from a product with 2^32 / r, since
 *        division instructions take longer for some numbers than for others.
 * bound  rest < 2 r < 2^13 and v < 2^29.  quotient = floor(v * inverse / 2^32)
 *        where inverse > 2^32 / r - 1, so v / r - quotient < v / 2^32 + 1 < 2:
 *        the new rest = v - quotient * r < 2 r, and it is not negative. */
static sc_word prime_divides(uint32_t r, sc_word x)
{
    uint32_t inverse = (uint32_t)(((uint64_t)1 << 32) / r), rest = 0, v;
    unsigned at = SC_WORD_BITS;
    while (at > 0) {
        at -= 16;
        v = rest << 16 | ((uint32_t)(x >> at) & 0xffff);
        rest = v - (uint32_t)((uint64_t)v * inverse >> 32) * r;
    }
    return sc_mask_is_zero(rest) | sc_mask_is_zero(rest ^ r);
}

/* has_small_factor: 1 if a small prime divides x, or x = 1 mod 65537 so that e
 * would have no inverse.  As many primes at a time as have a product of a limb:
 * one pass over x leaves one limb to be divided by each.  VERDICT: stops at the
 * first group with a factor; a candidate without one goes through all. */
static int has_small_factor(const sc_keygen *g, const sc_word *x, size_t n)
{
    const size_t count = sizeof g->small_prime / sizeof g->small_prime[0];
    const sc_word room = ~(sc_word)0 / SMALL_PRIME_LIMIT;
    sc_word found = 0, product, residue;
    size_t first, end;
    for (first = 0; first < count; first = end) {
        product = 1;
        for (end = first; end < count && product <= room; end++)
            product *= g->small_prime[end];
        residue = sc_bn_residue(x, n, product);
        for (; first < end; first++)
            found |= prime_divides(g->small_prime[first], residue);
        SC_PUBLIC(&found, sizeof found);
        if (found)
            return 1;
    }
    found = sc_mask_is_zero(sc_bn_mod_65537(x, n) ^ 1);
    SC_PUBLIC(&found, sizeof found);
    return found != 0;
}

/* too_close: 1 unless |p - q| > 2^(bits of n / 2 - 100); else n could be
 * factored by Fermat's method.  Asks for a bit more: that the first 12 bytes of
 * the difference are not all 0, hence |p - q| >= 2^(8 half - 96), and 8 half is
 * at least the bits of n / 2.  VERDICT. */
static int too_close(const uint8_t *p_bytes, const uint8_t *q_bytes,
                     size_t half)
{
    sc_word p[SC_PRIME_LIMBS_MAX], q[SC_PRIME_LIMBS_MAX];
    sc_word d[SC_PRIME_LIMBS_MAX], e[SC_PRIME_LIMBS_MAX], close;
    uint8_t bytes[SC_PRIME_MAX];
    size_t n = SC_LIMBS(half);
    static const uint8_t zero[12] = { 0 };
    sc_bn_decode(p, n, p_bytes, half);
    sc_bn_decode(q, n, q_bytes, half);
    (void)sc_bn_sub(e, q, p, n);
    sc_bn_select(d, sc_mask_bit(sc_bn_sub(d, p, q, n)), e, d, n);
    sc_bn_encode(bytes, half, d, n);
    close = sc_bytes_equal(bytes, zero, sizeof zero);
    sc_wipe(p, sizeof p);
    sc_wipe(q, sizeof q);
    sc_wipe(d, sizeof d);
    sc_wipe(e, sizeof e);
    sc_wipe(bytes, sizeof bytes);
    SC_PUBLIC(&close, sizeof close);
    return close != 0;
}

/* keygen_candidate: a random number of 4 n_len bits, without small factors.
 * The two highest bits are set, so that p * q has all of its bits. */
static int keygen_candidate(sc_keygen *g, uint8_t *x, size_t half)
{
    sc_word limbs[SC_PRIME_LIMBS_MAX];
    size_t n = SC_LIMBS(half);
    do {
        if (g->tries++ >= TRIES_PER_BIT * 8 * g->n_len
            || g->random(g->random_ctx, x, half) != SC_OK) {
            sc_wipe(limbs, sizeof limbs);
            return SC_ERR_RANDOM;
        }
        SC_SECRET(x, half);
        if (g->n_len % 2 == 0)
            x[0] |= 0xc0;
        else
            x[0] = (uint8_t)((x[0] & 0x0f) | 0x0c);
        x[half - 1] |= 3;
        sc_bn_decode(limbs, n, x, half);
    } while (has_small_factor(g, limbs, n)
             || (g->stage == 1 && too_close(g->p, x, half)));
    sc_wipe(limbs, sizeof limbs);
    return SC_OK;
}

/* One Miller-Rabin round of x = 3 mod 4: a random base becomes its power. */
typedef struct {
    sc_modulus mod;
    sc_word power[SC_PRIME_LIMBS_MAX], e[SC_PRIME_LIMBS_MAX];
} prime_test;

/* prime_test_start: a random base, and e = (x - 1) / 2 = floor(x / 2). */
static int prime_test_start(prime_test *t, const sc_keygen *g, const uint8_t *x,
                            size_t half)
{
    uint8_t base[SC_PRIME_MAX];
    size_t i, n = SC_LIMBS(half);
    if (g->random(g->random_ctx, base, half) != SC_OK)
        return SC_ERR_RANDOM;
    sc_bn_decode(t->e, n, x, half);
    sc_modulus_init(&t->mod, t->e, n);
    for (i = 0; i + 1 < n; i++)
        t->e[i] = t->e[i] >> 1 | t->e[i + 1] << (SC_WORD_BITS - 1);
    t->e[n - 1] >>= 1;
    sc_bn_decode(t->power, n, base, half);
    sc_mont_to(t->power, t->power, &t->mod);
    sc_wipe(base, sizeof base);
    return SC_OK;
}

/* prime_test_passed: is the power 1 or -1?  A base that happens to be 0, 1 or
 * -1 mod x (one time in 2^1000) only costs a round.  VERDICT. */
static int prime_test_passed(const prime_test *t)
{
    sc_word one[SC_PRIME_LIMBS_MAX], minus_one[SC_PRIME_LIMBS_MAX], ok;
    size_t n = t->mod.n;
    sc_mont_one(one, &t->mod);
    (void)sc_bn_sub(minus_one, t->mod.m, one, n);
    ok = sc_bn_equal(t->power, one, n) | sc_bn_equal(t->power, minus_one, n);
    sc_wipe(one, sizeof one);
    sc_wipe(minus_one, sizeof minus_one);
    SC_PUBLIC(&ok, sizeof ok);
    return ok != 0;
}

/* miller_rabin: one round for x and one for y, which may be the same number:
 * two powers at once take hardly longer than one. */
static int miller_rabin(const sc_keygen *g, const uint8_t *x, const uint8_t *y,
                        size_t half, int *x_passed, int *y_passed)
{
    prime_test s, t;
    int result = prime_test_start(&s, g, x, half);
    if (result == SC_OK)
        result = prime_test_start(&t, g, y, half);
    if (result == SC_OK) {
        sc_mont_pow_pair(s.power, s.power, s.e, &s.mod,
                         t.power, t.power, t.e, &t.mod);
        *x_passed = prime_test_passed(&s);
        *y_passed = prime_test_passed(&t);
    }
    sc_wipe(&s, sizeof s);
    sc_wipe(&t, sizeof t);
    return result;
}

/* key_exponents: fill in dp and dq from p, q and n_len.  time  CT(n_len). */
static void key_exponents(sc_private_key *key)
{
    sc_word x[SC_PRIME_LIMBS_MAX];
    size_t half = (key->pub.n_len + 1) / 2, n = SC_LIMBS(half);
    sc_bn_decode(x, n, key->p, half);
    x[0] &= ~(sc_word)1;                /* p - 1: p is odd */
    sc_bn_inverse_65537(x, x, n);
    sc_bn_encode(key->dp, half, x, n);
    sc_bn_decode(x, n, key->q, half);
    x[0] &= ~(sc_word)1;
    sc_bn_inverse_65537(x, x, n);
    sc_bn_encode(key->dq, half, x, n);
    sc_wipe(x, sizeof x);
}

/* key_from_primes: fill in key from key->p and key->q.  time  CT(n_len). */
static void key_from_primes(sc_private_key *key, size_t n_len)
{
    sc_word p[SC_PRIME_LIMBS_MAX], q[SC_PRIME_LIMBS_MAX];
    sc_word x[2 * SC_PRIME_LIMBS_MAX];
    sc_modulus mod;
    size_t half = (n_len + 1) / 2, n = SC_LIMBS(half);
    sc_bn_decode(p, n, key->p, half);
    sc_bn_decode(q, n, key->q, half);
    sc_bn_mul(x, p, n, q, n);
    key->pub.n_len = n_len;
    sc_bn_encode(key->pub.n, n_len, x, 2 * n);

    sc_modulus_init(&mod, p, n);        /* qinv = q^(p-2) mod p (Fermat) */
    p[0] -= 2;
    sc_mont_to(x, q, &mod);
    sc_mont_pow(x, x, p, &mod);
    sc_mont_from(x, x, &mod);
    sc_bn_encode(key->qinv, half, x, n);

    key_exponents(key);
    sc_wipe(p, sizeof p);
    sc_wipe(q, sizeof q);
    sc_wipe(x, sizeof x);
    sc_wipe(&mod, sizeof mod);
    SC_PUBLIC(key->pub.n, n_len);
}

/* keygen_finish: the key of the two primes, tried once: the private operation
 * checks itself.  The number tried is n with its first byte cleared. */
static int keygen_finish(const sc_keygen *g, sc_private_key *key)
{
    uint8_t x[SC_MODULUS_MAX];
    sc_word ok;
    int result;
    memset(key, 0, sizeof *key);
    memcpy(key->p, g->p, sizeof g->p);
    memcpy(key->q, g->q, sizeof g->q);
    key_from_primes(key, g->n_len);
    memcpy(x, key->pub.n, sizeof x);
    x[0] = 0;
    result = sc_rsa_private(key, x, x, &ok, g->random, g->random_ctx);
    SC_PUBLIC(&ok, sizeof ok);
    if (result == SC_OK && !ok)
        result = SC_ERR_INTERNAL;
    if (result != SC_OK)
        sc_wipe(key, sizeof *key);
    sc_wipe(x, sizeof x);
    return result;
}

/* keygen_search: *found = 1 if one of two new candidates passes a round: x. */
static int keygen_search(sc_keygen *g, uint8_t *x, size_t half, int *found)
{
    uint8_t other[SC_PRIME_MAX];
    int first = 0, second = 0;
    int result = keygen_candidate(g, x, half);
    if (result == SC_OK)
        result = keygen_candidate(g, other, half);
    if (result == SC_OK)
        result = miller_rabin(g, x, other, half, &first, &second);
    if (!first && second)
        memcpy(x, other, half);
    *found = first || second;
    sc_wipe(other, sizeof other);
    return result;
}

/* sc_keygen_step: two Miller-Rabin rounds: one each for two new candidates, or
 * two for the one that passed the first.
 * gives  SC_MORE: call again; SC_OK: *key is the key and g is wiped.
 *        *mark: '.' two new candidates, '+' a prime, 0 neither.
 * errors SC_ERR_RANDOM, SC_ERR_INTERNAL (the key does not fit together: a fault
 *        of the machine); g is wiped. */
int sc_keygen_step(sc_keygen *g, sc_private_key *key, char *mark)
{
    size_t half = (g->n_len + 1) / 2;
    uint8_t *x = g->stage == 0 ? g->p : g->q;
    int first = 0, second = 0, result;
    *mark = 0;
    if (g->rounds == 0) {
        *mark = '.';
        result = keygen_search(g, x, half, &first);
        g->rounds = first ? 1 : 0;
    } else {
        result = miller_rabin(g, x, x, half, &first, &second);
        g->rounds = first && second ? g->rounds + 2 : 0;
    }
    if (result != SC_OK) {
        sc_wipe(g, sizeof *g);
        return result;
    }
    if (g->rounds < MILLER_RABIN_ROUNDS)
        return SC_MORE;
    *mark = '+';
    g->rounds = 0;
    if (g->stage++ == 0)
        return SC_MORE;
    result = keygen_finish(g, key);
    sc_wipe(g, sizeof *g);
    return result;
}

int sc_key_generate(sc_private_key *key, unsigned n_bits,
                    sc_progress_fn progress, void *ctx)
{
    sc_keygen g;
    char mark;
    int result = sc_keygen_init(&g, n_bits, sc_os_random, NULL);
    if (result != SC_OK)
        return result;
    do {
        result = sc_keygen_step(&g, key, &mark);
        if (progress != NULL && mark != 0)
            progress(ctx, mark);
    } while (result == SC_MORE);
    return result;
}

/* ---- 4. public and private operation ------------------------------------- */

int sc_public_check(const sc_public_key *key)
{
    if (key->n_len < SC_MODULUS_MIN || key->n_len > SC_MODULUS_MAX
        || key->n[0] < 0x80 || key->n[key->n_len - 1] % 2 == 0)
        return SC_ERR_PUBLIC_KEY;
    return SC_OK;
}

int sc_public_equal(const sc_public_key *a, const sc_public_key *b)
{
    return a->n_len == b->n_len && memcmp(a->n, b->n, a->n_len) == 0;
}

/* sc_rsa_public: y = x^65537 mod n (RFC 8017 5.1.1).
 * shape  x, y: n_len bytes.   needs  key checked.   alias  any.
 * time   CT(n). */
void sc_rsa_public(const sc_public_key *key, const uint8_t *x, uint8_t *y)
{
    sc_word modulus[SC_LIMBS_MAX], power[SC_LIMBS_MAX];
    size_t n = SC_LIMBS(key->n_len);
    sc_bn_decode(modulus, n, key->n, key->n_len);
    sc_bn_decode(power, n, x, key->n_len);
    sc_pow_65537(power, power, modulus, n);
    sc_bn_encode(y, key->n_len, power, n);
    sc_wipe(power, sizeof power);
}

/* The private operation raises a number that the attacker chose to a secret
 * power.  Blinding raises a random one instead.  Usually that costs a modular
 * inverse; here it does not.  For any w, with e dp = 1 mod p-1,
 *
 *     (c w^e)^(dp-1) * c * w^(e-1)
 *         = c^(dp-1) w^(e dp - e) * c * w^(e-1) = c^dp * w^(e dp - 1) = c^dp
 *
 * modulo p, and dp - 1 is dp with its lowest bit cleared: dp is odd, for e dp
 * is 1 more than a multiple of the even number p - 1.  (If p divides c or w,
 * both sides are 0, or the result is wrong, which the last check finds.) */

/* crt_half: one half of the work up to the power: what is left to do is
 * m = x^e m mod p.  All in Montgomery form, except e.
 * shape  m, x, e: n limbs; c: 2 n limbs, any number; p, dp: half bytes, n their
 * limbs.   gives  mod: initialized for p; m = c w^(e-1), x = c w^e, and dp - 1.
 * errors  SC_ERR_RANDOM.   time  CT(half).
 * why    c = c0 + R c1, and to(c0) + to(to(c1)) = (c0 + R c1) R mod p. */
static int crt_half(sc_word *m, sc_word *x, sc_word *e, sc_modulus *mod,
                    const sc_word *c, const uint8_t *p, const uint8_t *dp,
                    size_t half, sc_random_fn random, void *ctx)
{
    sc_word w[SC_PRIME_LIMBS_MAX], c_p[SC_PRIME_LIMBS_MAX];
    size_t n = SC_LIMBS(half);
    if (random(ctx, (uint8_t *)w, n * sizeof *w) != SC_OK)
        return SC_ERR_RANDOM;
    SC_SECRET(w, n * sizeof *w);
    sc_bn_decode(x, n, p, half);
    sc_modulus_init(mod, x, n);

    sc_mont_to(x, c + n, mod);
    sc_mont_to(x, x, mod);
    sc_mont_to(c_p, c, mod);
    sc_bn_add_mod(c_p, c_p, x, mod->m, n);      /* c */

    sc_mont_to(w, w, mod);
    sc_mont_pow_65536(m, w, mod);               /* w^(e-1) */
    sc_mont_mul(x, m, w, mod);
    sc_mont_mul(x, x, c_p, mod);                /* c w^e */
    sc_mont_mul(m, m, c_p, mod);                /* c w^(e-1) */
    sc_bn_decode(e, n, dp, half);
    e[0] &= ~(sc_word)1;

    sc_wipe(w, sizeof w);
    sc_wipe(c_p, sizeof c_p);
    return SC_OK;
}

/* sc_rsa_private: m = c^d mod n by the Chinese remainder theorem (RFC 8017
 * 5.1.2), blinded, and checked: m^e = c.  A fault in one of the halves would
 * otherwise give away the key (Boneh, DeMillo, Lipton 1997).
 * shape  c, m: n_len bytes.   alias  any.
 * gives  *ok: a mask; 0 if c >= n, or if anything went wrong; m is zeros then.
 * errors SC_ERR_RANDOM.   time  CT(n_len).
 * why    with h = qinv (m_p - m_q) mod p, m_q + q h is m_q mod q, m_p mod p,
 *        and at most q - 1 + q (p - 1) < n (Garner).  qinv may stand as it is
 *        in the last product: see sc_pow_65537. */
int sc_rsa_private(const sc_private_key *key, const uint8_t *c, uint8_t *m,
                   sc_word *ok, sc_random_fn random, void *ctx)
{
    sc_modulus mod_p, mod_q;
    sc_word m_p[SC_PRIME_LIMBS_MAX], m_q[2 * SC_PRIME_LIMBS_MAX];
    sc_word x_p[SC_PRIME_LIMBS_MAX], x_q[SC_PRIME_LIMBS_MAX];
    sc_word e_p[SC_PRIME_LIMBS_MAX], e_q[SC_PRIME_LIMBS_MAX];
    sc_word h[SC_PRIME_LIMBS_MAX], x[2 * SC_PRIME_LIMBS_MAX];
    uint8_t c_again[SC_MODULUS_MAX];
    size_t k = key->pub.n_len, half = (k + 1) / 2, n = SC_LIMBS(half), i;
    int e;
    *ok = 0;
    sc_bn_decode(x, 2 * n, c, k);
    e = crt_half(m_p, x_p, e_p, &mod_p, x, key->p, key->dp, half, random, ctx);
    if (e == SC_OK)
        e = crt_half(m_q, x_q, e_q, &mod_q, x, key->q, key->dq, half, random,
                     ctx);
    if (e == SC_OK) {
        sc_mont_pow_pair(x_p, x_p, e_p, &mod_p, x_q, x_q, e_q, &mod_q);
        sc_mont_mul(m_p, m_p, x_p, &mod_p);
        sc_mont_mul(m_q, m_q, x_q, &mod_q);
        sc_mont_from(m_q, m_q, &mod_q);
        sc_mont_to(h, m_q, &mod_p);
        sc_bn_sub_mod(m_p, m_p, h, mod_p.m, n);
        sc_bn_decode(h, n, key->qinv, half);
        sc_mont_mul(h, h, m_p, &mod_p);
        sc_bn_decode(m_p, n, key->q, half);
        sc_bn_mul(x, h, n, m_p, n);
        memset(m_q + n, 0, n * sizeof *m_q);
        (void)sc_bn_add(x, x, m_q, 2 * n);
        /* what is checked is m itself, not a number that m is made of later;
         * m may be c, and x is free from here on */
        memcpy(c_again, c, k);
        sc_bn_encode(m, k, x, 2 * n);
        sc_rsa_public(&key->pub, m, (uint8_t *)x);
        *ok = sc_bytes_equal(x, c_again, k);
        for (i = 0; i < k; i++)
            m[i] &= (uint8_t)sc_barrier(*ok);
    } else {
        memset(m, 0, k);
    }
    sc_wipe(&mod_p, sizeof mod_p);
    sc_wipe(&mod_q, sizeof mod_q);
    sc_wipe(m_p, sizeof m_p);
    sc_wipe(m_q, sizeof m_q);
    sc_wipe(x_p, sizeof x_p);
    sc_wipe(x_q, sizeof x_q);
    sc_wipe(e_p, sizeof e_p);
    sc_wipe(e_q, sizeof e_q);
    sc_wipe(h, sizeof h);
    sc_wipe(x, sizeof x);
    return e;
}

/* has_bits: a mask: does x, of half bytes, have exactly 4 n_len bits, and is it
 * odd?  With an odd n_len the number fills its first byte only half. */
static sc_word has_bits(const uint8_t *x, size_t n_len, size_t half)
{
    sc_word top = n_len % 2 == 0 ? x[0] >> 7 : x[0] >> 3;
    return sc_mask_is_zero(top ^ 1) & sc_mask_bit(x[half - 1] & 1);
}

/* sc_key_check: do the numbers of a key fit together?  Makes them again from p
 * and q and compares.  Not a test of primes: a key of composites only fails at
 * its own operations.
 * errors SC_ERR_KEY_SIZE, SC_ERR_KEY_CHECK.   time  CT(n_len) up to the VERDICT
 * at the end. */
int sc_key_check(const sc_private_key *key)
{
    sc_private_key again;
    sc_word x[SC_PRIME_LIMBS_MAX], ok;
    size_t k = key->pub.n_len, half = (k + 1) / 2, n = SC_LIMBS(half);
    if (k < SC_MODULUS_MIN || k > SC_MODULUS_MAX || key->pub.n[0] < 0x80)
        return SC_ERR_KEY_SIZE;
    memcpy(again.p, key->p, half);
    memcpy(again.q, key->q, half);
    key_from_primes(&again, k);
    ok = has_bits(key->p, k, half) & has_bits(key->q, k, half)
       & sc_bytes_equal(again.pub.n, key->pub.n, k)
       & sc_bytes_equal(again.dp, key->dp, half)
       & sc_bytes_equal(again.dq, key->dq, half)
       & sc_bytes_equal(again.qinv, key->qinv, half)
       & ~sc_bytes_equal(key->p, key->q, half);
    sc_bn_decode(x, n, key->p, half);
    ok &= ~sc_mask_is_zero(sc_bn_mod_65537(x, n) ^ 1);
    sc_bn_decode(x, n, key->q, half);
    ok &= ~sc_mask_is_zero(sc_bn_mod_65537(x, n) ^ 1);
    sc_wipe(&again, sizeof again);
    sc_wipe(x, sizeof x);
    SC_PUBLIC(&ok, sizeof ok);
    return ok ? SC_OK : SC_ERR_KEY_CHECK;
}

/* ---- 5. base64 (RFC 4648 4) ---------------------------------------------- */

/* Private keys pass through here, so there are no tables: a table read at a
 * secret place shows in the cache.  Each range of characters moves the value by
 * its own amount, under a mask. */

/* above: a mask: x > y, for x, y < 256. */
static sc_word above(sc_word x, sc_word y)
{
    return sc_mask_bit((y - x) >> (SC_WORD_BITS - 1));
}

static char base64_digit(sc_word v)     /* 0 <= v < 64; A-Z a-z 0-9 + / */
{
    v = v + 'A' + (above(v, 25) & 6) - (above(v, 51) & 75)
          - (above(v, 61) & 15) + (above(v, 62) & 3);
    return (char)v;
}

/* base64_value: 0..63, or all ones if c is no digit. */
static sc_word base64_value(sc_word c)
{
    static const uint8_t first[5] = { 'A', 'a', '0', '+', '/' };
    static const uint8_t count[5] = { 26, 26, 10, 1, 1 };
    sc_word v = ~(sc_word)0, base = 0;
    int i;
    for (i = 0; i < 5; i++) {
        sc_word in = ~above(first[i], c)
                     & above((sc_word)first[i] + count[i], c);
        v = sc_select(in, c - first[i] + base, v);
        base += count[i];
    }
    return v;
}

/* sc_base64_write: out[0..(len + 2) / 3 * 4) = the digits of bytes, with = at
 * the end; no NUL.  Gives their number.  time  CT(len). */
size_t sc_base64_write(char *out, const uint8_t *bytes, size_t len)
{
    size_t i, n = 0;
    for (i = 0; i < len; i += 3) {
        sc_word v = (sc_word)bytes[i] << 16;
        if (i + 1 < len)
            v |= (sc_word)bytes[i + 1] << 8;
        if (i + 2 < len)
            v |= bytes[i + 2];
        out[n++] = base64_digit(v >> 18 & 63);
        out[n++] = base64_digit(v >> 12 & 63);
        out[n++] = i + 1 < len ? base64_digit(v >> 6 & 63) : '=';
        out[n++] = i + 2 < len ? base64_digit(v & 63) : '=';
    }
    return n;
}

/* sc_base64_read: the bytes of text; spaces and line ends are passed over.
 * errors SC_ERR_KEY_FORMAT (other characters, padding wrong or missing, bits
 *        left over that are not 0), SC_ERR_SPACE.
 * time   CT(length, where the spaces and = are). */
int sc_base64_read(uint8_t *out, size_t out_max, size_t *out_len,
                   const char *text, size_t text_len)
{
    sc_word bits = 0, bad = 0, v, space;
    size_t i, n = 0, n_digits = 0, n_pads = 0, rest;
    *out_len = 0;
    for (i = 0; i < text_len; i++) {
        sc_word c = (uint8_t)text[i], pad = sc_mask_is_zero(c ^ '=');
        space = sc_mask_is_zero(c ^ '\n') | sc_mask_is_zero(c ^ '\r')
              | sc_mask_is_zero(c ^ ' ') | sc_mask_is_zero(c ^ '\t');
        SC_PUBLIC(&pad, sizeof pad);
        SC_PUBLIC(&space, sizeof space);
        if (space)
            continue;
        if (pad) {
            n_pads++;
            continue;
        }
        v = base64_value(c);
        bad |= v >> 8;                  /* all ones if c is no digit */
        bits = bits << 6 | (v & 63);
        bad |= (sc_word)n_pads;         /* a digit after the padding */
        if (n_digits++ % 4 == 0)
            continue;                   /* 6 bits, no byte yet */
        if (n == out_max)
            return SC_ERR_SPACE;
        out[n++] = (uint8_t)(bits >> (4 - n_digits % 4) % 4 * 2);
    }
    rest = (4 - n_digits % 4) % 4;      /* digits missing from the last four */
    bad |= bits & (((sc_word)1 << 2 * rest) - 1);
    SC_PUBLIC(&bad, sizeof bad);
    if (bad || rest == 3 || n_pads != rest)
        return SC_ERR_KEY_FORMAT;
    *out_len = n;
    return SC_OK;
}

/* ---- 6. DER and SSH fields ----------------------------------------------- */

/* Both formats are read through a cursor whose error sticks: after the first
 * bad field every further one is empty, and one test at the end is enough. */
typedef struct {
    const uint8_t *at, *end;
    int bad;
} cursor;

typedef struct {
    const uint8_t *bytes;
    size_t len;
} field;

static field take(cursor *c, size_t len)
{
    field f = { NULL, 0 };
    if (c->bad || len > (size_t)(c->end - c->at)) {
        c->bad = 1;
        return f;
    }
    f.bytes = c->at;
    f.len = len;
    c->at += len;
    return f;
}

static cursor enter(field f, const cursor *outer)       /* look inside f */
{
    cursor c;
    c.at = f.bytes;
    c.end = f.bytes == NULL ? NULL : f.bytes + f.len;
    c.bad = outer->bad;
    return c;
}

/* is_field: only ever asked about the public parts of a file. */
static int is_field(field f, const void *bytes, size_t len)
{
    SC_PUBLIC(f.bytes, f.len);
    return f.len == len && memcmp(f.bytes, bytes, len) == 0;
}

/* positive: the digits of a number that both formats store with its sign: a
 * leading 00 if and only if the next bit is set, so each has one encoding. */
static field positive(cursor *c, field f)
{
    sc_word first, second;
    if (c->bad || f.len == 0) {
        c->bad = 1;
        return f;
    }
    first = f.bytes[0];
    second = f.len > 1 ? f.bytes[1] >> 7 : 1;
    first = sc_mask_is_zero(first) | first >> 7;    /* 0, or 1: negative */
    SC_PUBLIC(&first, sizeof first);
    if (first == 0)
        return f;
    SC_PUBLIC(&second, sizeof second);
    if (first == 1 || second == 0 || f.len == 1) {
        c->bad = 1;
        return f;
    }
    f.bytes++;
    f.len--;
    return f;
}

/* der_get: the contents of the next element, which must have this tag (X.690
 * 8.1 and 10.1: definite length, as short as possible, here below 65536). */
static field der_get(cursor *c, uint8_t tag)
{
    field head = take(c, 2), more;
    size_t len, n;
    if (!c->bad)
        SC_PUBLIC(head.bytes, 2);
    if (c->bad || head.bytes[0] != tag) {
        c->bad = 1;
        return take(c, 0);
    }
    len = head.bytes[1];
    if (len >= 0x80) {
        n = len - 0x80;
        more = take(c, n);
        if (c->bad || n < 1 || n > 2) {
            c->bad = 1;
            return take(c, 0);
        }
        SC_PUBLIC(more.bytes, n);
        len = n == 1 ? more.bytes[0]
                     : (size_t)more.bytes[0] << 8 | more.bytes[1];
        if (len < (n == 1 ? 0x80u : 0x100u))
            c->bad = 1;
    }
    return take(c, len);
}

static field der_integer(cursor *c)
{
    return positive(c, der_get(c, 0x02));
}

/* ssh_string: length in 4 bytes, then that many (RFC 4251 5). */
static field ssh_string(cursor *c)
{
    field len = take(c, 4);
    if (c->bad)
        return len;
    SC_PUBLIC(len.bytes, 4);
    return take(c, get_be32(len.bytes));
}

static field ssh_mpint(cursor *c)
{
    return positive(c, ssh_string(c));
}

/* der_put_integer: gives the length; out has room for len + 5 bytes.
 * time   CT(len, the number's length): how many zeros lead it, and its sign. */
static size_t der_put_integer(uint8_t *out, const uint8_t *bytes, size_t len)
{
    size_t n = 0, sign;
    sc_word is_zero;
    for (; len > 1; bytes++, len--) {
        is_zero = sc_mask_is_zero(bytes[0]);
        SC_PUBLIC(&is_zero, sizeof is_zero);
        if (!is_zero)
            break;
    }
    sign = bytes[0] >> 7;               /* a 00 keeps the number positive */
    SC_PUBLIC(&sign, sizeof sign);
    out[n++] = 0x02;
    if (len + sign >= 0x100) {
        out[n++] = 0x82;
        out[n++] = (uint8_t)((len + sign) >> 8);
    } else if (len + sign >= 0x80) {
        out[n++] = 0x81;
    }
    out[n++] = (uint8_t)(len + sign);
    if (sign)
        out[n++] = 0;
    memcpy(out + n, bytes, len);
    return n + len;
}

/* ---- 7. private key files ------------------------------------------------ */

#define DER_MAX 4096            /* a 4096-bit key is 2400, a comment the rest */
static const uint8_t bytes_65537[3] = { 0x01, 0x00, 0x01 };

/* The numbers of a private key, as they were found.  OpenSSH's format has no dp
 * and dq: bytes is NULL. */
typedef struct {
    field n, e, d, p, q, dp, dq, qinv;
} key_fields;

/* set_number: out = the number in f, zeros in front; 0 if it is too long. */
static int set_number(uint8_t *out, size_t out_len, field f)
{
    memset(out, 0, out_len);
    if (f.len > out_len)
        return 0;
    if (f.len > 0)
        memcpy(out + out_len - f.len, f.bytes, f.len);
    return 1;
}

/* d_fits: is d = dp mod p-1 and d = dq mod q-1?  A mask.  time  CT(n_len).
 * Any d that fits will do: files differ in whether it was made from the product
 * of p-1 and q-1 or from their least common multiple. */
static sc_word d_fits(const sc_private_key *key, const uint8_t *d)
{
    sc_word x[2 * SC_PRIME_LIMBS_MAX], m[SC_PRIME_LIMBS_MAX];
    sc_word r[SC_PRIME_LIMBS_MAX], want[SC_PRIME_LIMBS_MAX], ok;
    size_t half = (key->pub.n_len + 1) / 2, n = SC_LIMBS(half);
    sc_bn_decode(x, 2 * n, d, key->pub.n_len);
    sc_bn_decode(m, n, key->p, half);
    m[0] &= ~(sc_word)1;                /* p - 1 */
    sc_bn_mod(r, x, 2 * n, m, n);
    sc_bn_decode(want, n, key->dp, half);
    ok = sc_bn_equal(r, want, n);
    sc_bn_decode(m, n, key->q, half);
    m[0] &= ~(sc_word)1;
    sc_bn_mod(r, x, 2 * n, m, n);
    sc_bn_decode(want, n, key->dq, half);
    ok &= sc_bn_equal(r, want, n);
    sc_wipe(x, sizeof x);
    sc_wipe(m, sizeof m);
    sc_wipe(r, sizeof r);
    sc_wipe(want, sizeof want);
    return ok;
}

/* key_from_fields: the key of what was found; sc_key_check is to follow.
 * needs  key: zeros. */
static int key_from_fields(sc_private_key *key, const key_fields *f)
{
    uint8_t d[SC_MODULUS_MAX];
    size_t k = f->n.len, half = (k + 1) / 2;
    sc_word ok;
    int e = SC_ERR_KEY_CHECK;
    SC_PUBLIC(f->n.bytes, k);
    if (k < SC_MODULUS_MIN || k > SC_MODULUS_MAX || f->n.bytes[0] < 0x80)
        return SC_ERR_KEY_SIZE;
    if (!is_field(f->e, bytes_65537, 3))
        return SC_ERR_KEY_EXPONENT;
    key->pub.n_len = k;
    memcpy(key->pub.n, f->n.bytes, k);
    if (set_number(key->p, half, f->p) && set_number(key->q, half, f->q)
        && set_number(key->dp, half, f->dp) && set_number(key->dq, half, f->dq)
        && set_number(key->qinv, half, f->qinv) && set_number(d, k, f->d)) {
        if (f->dp.bytes == NULL)
            key_exponents(key);
        ok = d_fits(key, d);
        SC_PUBLIC(&ok, sizeof ok);
        if (ok)
            e = SC_OK;
    }
    if (e != SC_OK)
        sc_wipe(key, sizeof *key);
    sc_wipe(d, sizeof d);
    return e;
}

/* read_pkcs1: RSAPrivateKey (RFC 8017 A.1.2), two primes. */
static int read_pkcs1(sc_private_key *key, field der)
{
    cursor file = { NULL, NULL, 0 }, c;
    key_fields f;
    field version;
    file = enter(der, &file);
    c = enter(der_get(&file, 0x30), &file);
    version = der_get(&c, 0x02);
    f.n = der_integer(&c);
    f.e = der_integer(&c);
    f.d = der_integer(&c);
    f.p = der_integer(&c);
    f.q = der_integer(&c);
    f.dp = der_integer(&c);
    f.dq = der_integer(&c);
    f.qinv = der_integer(&c);
    if (c.bad || !is_field(version, "\0", 1) || c.at != c.end
        || file.at != file.end)
        return SC_ERR_KEY_FORMAT;
    return key_from_fields(key, &f);
}

/* read_pkcs8: PrivateKeyInfo (RFC 5208 5): version 0, algorithm, octet string
 * that holds PKCS#1.  Attributes may follow and are not looked at. */
static int read_pkcs8(sc_private_key *key, field der)
{
    static const uint8_t rsa_encryption[9] = {  /* 1.2.840.113549.1.1.1 */
        0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01
    };
    cursor file = { NULL, NULL, 0 }, c, algorithm;
    field version, oid, inside;
    file = enter(der, &file);
    c = enter(der_get(&file, 0x30), &file);
    version = der_get(&c, 0x02);
    algorithm = enter(der_get(&c, 0x30), &c);
    oid = der_get(&algorithm, 0x06);
    inside = der_get(&c, 0x04);
    if (c.bad || algorithm.bad || !is_field(version, "\0", 1)
        || file.at != file.end)
        return SC_ERR_KEY_FORMAT;
    if (!is_field(oid, rsa_encryption, sizeof rsa_encryption))
        return SC_ERR_KEY_TYPE;
    return read_pkcs1(key, inside);
}

/* read_openssh: OpenSSH's PROTOCOL.key, one key, no passphrase. */
static int read_openssh(sc_private_key *key, field blob)
{
    cursor c = { NULL, NULL, 0 }, in;
    key_fields f;
    field magic, cipher, count, public_blob, check1, check2, type;
    sc_public_key shown;
    int e;
    c = enter(blob, &c);
    magic = take(&c, 15);
    cipher = ssh_string(&c);
    (void)ssh_string(&c);               /* key derivation */
    (void)ssh_string(&c);               /* and its settings */
    count = take(&c, 4);
    public_blob = ssh_string(&c);
    if (!c.bad && is_field(magic, "openssh-key-v1", 15)
        && !is_field(cipher, "none", 4))
        return SC_ERR_KEY_ENCRYPTED;
    in = enter(ssh_string(&c), &c);
    check1 = take(&in, 4);
    check2 = take(&in, 4);
    type = ssh_string(&in);
    if (!in.bad)
        SC_PUBLIC(check2.bytes, 4);     /* a random number, twice */
    if (in.bad || !is_field(magic, "openssh-key-v1", 15) || c.at != c.end
        || !is_field(count, "\0\0\0\1", 4)
        || !is_field(check1, check2.bytes, 4))
        return SC_ERR_KEY_FORMAT;
    if (!is_field(type, "ssh-rsa", 7))
        return SC_ERR_KEY_TYPE;
    f.n = ssh_mpint(&in);
    f.e = ssh_mpint(&in);
    f.d = ssh_mpint(&in);
    f.qinv = ssh_mpint(&in);
    f.p = ssh_mpint(&in);
    f.q = ssh_mpint(&in);
    f.dp.bytes = f.dq.bytes = NULL;     /* key_from_fields makes them */
    f.dp.len = f.dq.len = 0;
    if (in.bad)
        return SC_ERR_KEY_FORMAT;
    SC_PUBLIC(public_blob.bytes, public_blob.len);
    e = sc_key_blob_read(&shown, public_blob.bytes, public_blob.len);
    if (e == SC_OK && !is_field(f.n, shown.n, shown.n_len))
        e = SC_ERR_KEY_CHECK;
    return e == SC_OK ? key_from_fields(key, &f) : e;
}

/* The kinds of PEM block (RFC 7468) that hold a private key. */
static const struct {
    const char *label;
    int (*read)(sc_private_key *key, field der);
    int error;                          /* for those that are not read */
} pem_kinds[] = {
    { "RSA PRIVATE KEY", read_pkcs1, SC_OK },
    { "PRIVATE KEY", read_pkcs8, SC_OK },
    { "OPENSSH PRIVATE KEY", read_openssh, SC_OK },
    { "ENCRYPTED PRIVATE KEY", NULL, SC_ERR_KEY_ENCRYPTED },
    { "EC PRIVATE KEY", NULL, SC_ERR_KEY_TYPE },
    { "DSA PRIVATE KEY", NULL, SC_ERR_KEY_TYPE }
};

/* find: the first place of word in text, or text_len.
 * time   CT(where word's first character stands), and that is never a base64
 *        digit, so nothing of a key shows. */
static size_t find(const char *text, size_t text_len, const char *word)
{
    size_t i, word_len = strlen(word);
    for (i = 0; i + word_len <= text_len; i++) {
        sc_word first = sc_mask_is_zero((sc_word)(text[i] ^ word[0]));
        SC_PUBLIC(&first, sizeof first);
        if (!first)
            continue;
        SC_PUBLIC(text + i, word_len);
        if (memcmp(text + i, word, word_len) == 0)
            return i;
    }
    return text_len;
}

/* pem_line: "-----BEGIN " or "-----END ", a label, "-----": its place and,
 * through *line_len, its length; or text_len. */
static size_t pem_line(const char *text, size_t text_len, const char *begin,
                       const char *label, size_t *line_len)
{
    char line[64];
    size_t n = strlen(begin), m = strlen(label);
    memcpy(line, begin, n);
    memcpy(line + n, label, m);
    memcpy(line + n + m, "-----", 6);
    *line_len = n + m + 5;
    return find(text, text_len, line);
}

/* read_pem_body: decode what stands between the two lines and read it. */
static int read_pem_body(sc_private_key *key, const char *body, size_t body_len,
                         int (*read)(sc_private_key *key, field der))
{
    uint8_t der[DER_MAX];
    field f;
    int e;
    if (find(body, body_len, ":") < body_len)
        return SC_ERR_KEY_ENCRYPTED;    /* Proc-Type: 4,ENCRYPTED (RFC 1421) */
    e = sc_base64_read(der, sizeof der, &f.len, body, body_len);
    f.bytes = der;
    SC_SECRET(der, sizeof der);
    if (e == SC_OK)
        e = read(key, f);
    sc_wipe(der, sizeof der);
    return e == SC_ERR_SPACE ? SC_ERR_KEY_SIZE : e;
}

int sc_key_read_pem(sc_private_key *key, const char *text, size_t text_len)
{
    size_t i, begin, end, line_len;
    int e;
    memset(key, 0, sizeof *key);
    for (i = 0; i < sizeof pem_kinds / sizeof pem_kinds[0]; i++) {
        begin = pem_line(text, text_len, "-----BEGIN ", pem_kinds[i].label,
                         &line_len);
        if (begin == text_len)
            continue;
        if (pem_kinds[i].read == NULL)
            return pem_kinds[i].error;
        begin += line_len;
        end = pem_line(text + begin, text_len - begin, "-----END ",
                       pem_kinds[i].label, &line_len);
        if (end == text_len - begin)
            return SC_ERR_KEY_FORMAT;
        e = read_pem_body(key, text + begin, end, pem_kinds[i].read);
        if (e == SC_OK)                 /* here, where less stack is in use */
            e = sc_key_check(key);
        if (e != SC_OK)
            sc_wipe(key, sizeof *key);
        return e;
    }
    return SC_ERR_KEY_FORMAT;
}

/* write_pkcs1: RSAPrivateKey in DER; gives its length.  d = 1/e mod
 * (p-1)(q-1) (RFC 8017 3.2). */
static size_t write_pkcs1(uint8_t der[DER_MAX], const sc_private_key *key)
{
    sc_word p[SC_PRIME_LIMBS_MAX], q[SC_PRIME_LIMBS_MAX];
    sc_word x[2 * SC_PRIME_LIMBS_MAX];
    uint8_t d[SC_MODULUS_MAX];
    size_t k = key->pub.n_len, half = (k + 1) / 2, n = SC_LIMBS(half), len = 4;
    sc_bn_decode(p, n, key->p, half);
    sc_bn_decode(q, n, key->q, half);
    p[0] &= ~(sc_word)1;                /* p - 1, q - 1: both are odd */
    q[0] &= ~(sc_word)1;
    sc_bn_mul(x, p, n, q, n);
    sc_bn_inverse_65537(x, x, 2 * n);
    sc_bn_encode(d, k, x, 2 * n);

    memcpy(der + len, "\x02\x01\x00", 3);       /* version */
    len += 3;
    len += der_put_integer(der + len, key->pub.n, k);
    len += der_put_integer(der + len, bytes_65537, 3);
    len += der_put_integer(der + len, d, k);
    len += der_put_integer(der + len, key->p, half);
    len += der_put_integer(der + len, key->q, half);
    len += der_put_integer(der + len, key->dp, half);
    len += der_put_integer(der + len, key->dq, half);
    len += der_put_integer(der + len, key->qinv, half);
    der[0] = 0x30;
    der[1] = 0x82;                      /* 256 < len - 4 < 65536 */
    der[2] = (uint8_t)((len - 4) >> 8);
    der[3] = (uint8_t)(len - 4);
    sc_wipe(p, sizeof p);
    sc_wipe(q, sizeof q);
    sc_wipe(x, sizeof x);
    sc_wipe(d, sizeof d);
    return len;
}

int sc_key_write_pem(const sc_private_key *key, char *out, size_t out_max,
                     size_t *out_len)
{
    static const char begin[] = "-----BEGIN RSA PRIVATE KEY-----\n";
    static const char end[] = "-----END RSA PRIVATE KEY-----\n";
    uint8_t der[DER_MAX];
    size_t der_len, i, n = 0;
    *out_len = 0;
    if (sc_key_check(key) != SC_OK)
        return SC_ERR_ARGUMENT;
    der_len = write_pkcs1(der, key);
    if (sizeof begin + sizeof end + (der_len + 47) / 48 * 65 > out_max) {
        sc_wipe(der, sizeof der);
        return SC_ERR_SPACE;
    }
    memcpy(out, begin, sizeof begin - 1);
    n = sizeof begin - 1;
    for (i = 0; i < der_len; i += 48) { /* lines of 64 characters */
        n += sc_base64_write(out + n, der + i,
                             der_len - i < 48 ? der_len - i : 48);
        out[n++] = '\n';
    }
    memcpy(out + n, end, sizeof end);   /* with its NUL */
    *out_len = n + sizeof end - 1;
    sc_wipe(der, sizeof der);
    return SC_OK;
}

/* ---- 8. public keys: lines, fingerprints, pictures ----------------------- */

/* The SSH wire form (RFC 4253 6.6): string "ssh-rsa", mpint e, mpint n.  Both
 * numbers have a fixed shape here, so the blob is 23 bytes and then n:
 *
 *     00000007 "ssh-rsa" | 00000003 010001 | n_len + 1 | 00 n              */
#define BLOB_HEAD 23
#define BLOB_MAX (BLOB_HEAD + SC_MODULUS_MAX)

static size_t key_blob_write(uint8_t blob[BLOB_MAX], const sc_public_key *key)
{
    put_be32(blob, 7);
    memcpy(blob + 4, "ssh-rsa", 7);
    put_be32(blob + 11, 3);
    memcpy(blob + 15, bytes_65537, 3);
    put_be32(blob + 18, (uint32_t)key->n_len + 1);
    blob[22] = 0;                       /* n[0] >= 0x80 needs a sign byte */
    memcpy(blob + BLOB_HEAD, key->n, key->n_len);
    return BLOB_HEAD + key->n_len;
}

/* sc_key_blob_read: errors SC_ERR_KEY_FORMAT, _TYPE, _EXPONENT, _SIZE. */
int sc_key_blob_read(sc_public_key *key, const uint8_t *blob, size_t blob_len)
{
    cursor c = { NULL, NULL, 0 };
    field type, e, n;
    memset(key, 0, sizeof *key);
    c.at = blob;
    c.end = blob + blob_len;
    type = ssh_string(&c);
    if (!c.bad && !is_field(type, "ssh-rsa", 7))
        return SC_ERR_KEY_TYPE;
    e = ssh_mpint(&c);
    n = ssh_mpint(&c);
    if (c.bad || c.at != c.end)
        return SC_ERR_KEY_FORMAT;
    if (!is_field(e, bytes_65537, 3))
        return SC_ERR_KEY_EXPONENT;
    if (n.len < SC_MODULUS_MIN || n.len > SC_MODULUS_MAX || n.bytes[0] < 0x80)
        return SC_ERR_KEY_SIZE;
    if (n.bytes[n.len - 1] % 2 == 0)
        return SC_ERR_KEY_FORMAT;
    key->n_len = n.len;
    memcpy(key->n, n.bytes, n.len);
    return SC_OK;
}

int sc_public_write_line(const sc_public_key *key, const char *comment,
                         char *out, size_t out_max, size_t *out_len)
{
    uint8_t blob[BLOB_MAX];
    size_t n, blob_len, digits_len, i;
    size_t comment_len = comment == NULL ? 0 : strlen(comment);
    *out_len = 0;
    if (sc_public_check(key) != SC_OK)
        return SC_ERR_ARGUMENT;
    for (i = 0; i < comment_len; i++)   /* a newline would begin a new entry */
        if ((uint8_t)comment[i] < 0x20 || comment[i] == 0x7f)
            return SC_ERR_ARGUMENT;
    blob_len = key_blob_write(blob, key);
    digits_len = (blob_len + 2) / 3 * 4;
    n = 8 + digits_len + (comment_len > 0) + comment_len;
    if (n + 1 > out_max)
        return SC_ERR_SPACE;
    memcpy(out, "ssh-rsa ", 8);
    (void)sc_base64_write(out + 8, blob, blob_len);
    if (comment_len > 0) {
        out[8 + digits_len] = ' ';
        memcpy(out + 9 + digits_len, comment, comment_len);
    }
    out[n] = '\0';
    *out_len = n;
    return SC_OK;
}

static size_t blanks_len(const char *line, size_t len)  /* that lead it */
{
    size_t n = 0;
    while (n < len && (line[n] == ' ' || line[n] == '\t'))
        n++;
    return n;
}

static size_t word_len(const char *line, size_t len)    /* that leads it */
{
    size_t n = 0;
    while (n < len && line[n] != ' ' && line[n] != '\t' && line[n] != '\r'
           && line[n] != '\n')
        n++;
    return n;
}

/* is_other_type: does the blob begin with the very type that the line names, as
 * the blobs of all SSH keys do?  Its first 48 bytes hold any name in use. */
static int is_other_type(const char *type, size_t type_len, const char *digits,
                         size_t digits_len)
{
    uint8_t head[48];
    size_t len;
    return sc_base64_read(head, sizeof head, &len, digits,
                          digits_len < 64 ? digits_len : 64) == SC_OK
        && len >= 4 + type_len && get_be32(head) == type_len
        && memcmp(head + 4, type, type_len) == 0;
}

int sc_public_read_line(sc_public_key *key, const char *line, size_t line_len)
{
    uint8_t blob[BLOB_MAX];
    const char *type = line + blanks_len(line, line_len), *digits;
    const char *end = line + line_len;
    size_t type_len = word_len(type, (size_t)(end - type));
    size_t digits_len, blob_len;
    int e;
    memset(key, 0, sizeof *key);
    digits = type + type_len;
    digits += blanks_len(digits, (size_t)(end - digits));
    digits_len = word_len(digits, (size_t)(end - digits));
    if (type_len != 7 || memcmp(type, "ssh-rsa", 7) != 0)
        return type_len > 0 && is_other_type(type, type_len, digits, digits_len)
             ? SC_ERR_KEY_TYPE : SC_ERR_KEY_FORMAT;
    e = sc_base64_read(blob, sizeof blob, &blob_len, digits, digits_len);
    if (e == SC_ERR_SPACE)              /* a larger RSA key */
        return SC_ERR_KEY_SIZE;
    return e == SC_OK ? sc_key_blob_read(key, blob, blob_len) : e;
}

/* hash_blob: what SSH calls the fingerprint, before it is written out. */
static void hash_blob(uint8_t hash[SC_HASH_LEN], const sc_public_key *key)
{
    uint8_t blob[BLOB_MAX];
    sc_sha256 s;
    sc_sha256_init(&s);
    sc_sha256_add(&s, blob, key_blob_write(blob, key));
    sc_sha256_end(&s, hash);
}

void sc_fingerprint(const sc_public_key *key, char out[SC_FINGERPRINT_MAX])
{
    uint8_t hash[SC_HASH_LEN];
    char digits[44];
    hash_blob(hash, key);
    (void)sc_base64_write(digits, hash, sizeof hash);
    memcpy(out, "SHA256:", 7);
    memcpy(out + 7, digits, 43);        /* without the one = at the end */
    out[SC_FINGERPRINT_MAX - 1] = '\0';
}

/* sc_randomart: OpenSSH's "drunken bishop".  He starts in the middle of a room
 * of 17 by 9 squares and takes one diagonal step for each two bits of the hash,
 * lowest first; walls make him slide.  The picture shows how often he was on a
 * square, S where he started and E where he ended (Loss, Limmer, von Gernler,
 * "The drunken bishop", 2009). */
#define ART_WIDTH 17
#define ART_HEIGHT 9

static void bishop_walk(uint8_t visits[ART_HEIGHT][ART_WIDTH],
                        const uint8_t hash[SC_HASH_LEN])
{
    int x = ART_WIDTH / 2, y = ART_HEIGHT / 2, i, step;
    memset(visits, 0, ART_HEIGHT * ART_WIDTH);
    for (i = 0; i < 4 * SC_HASH_LEN; i++) {
        step = hash[i / 4] >> i % 4 * 2 & 3;
        x += step & 1 ? 1 : -1;
        y += step & 2 ? 1 : -1;
        x = x < 0 ? 0 : x >= ART_WIDTH ? ART_WIDTH - 1 : x;
        y = y < 0 ? 0 : y >= ART_HEIGHT ? ART_HEIGHT - 1 : y;
        if (visits[y][x] < 14)
            visits[y][x]++;
    }
    visits[ART_HEIGHT / 2][ART_WIDTH / 2] = 15;
    visits[y][x] = 16;
}

/* art_border: "+---[title]----+", the title a little left of the middle. */
static char *art_border(char *out, const char *title, size_t title_len)
{
    memset(out, '-', ART_WIDTH + 2);
    memcpy(out + 1 + (ART_WIDTH - title_len) / 2, title, title_len);
    out[0] = out[ART_WIDTH + 1] = '+';
    out[ART_WIDTH + 2] = '\n';
    return out + ART_WIDTH + 3;
}

void sc_randomart(const sc_public_key *key, char out[SC_RANDOMART_MAX])
{
    static const char symbol[] = " .o+=*BOX@%&#/^SE";
    uint8_t hash[SC_HASH_LEN], visits[ART_HEIGHT][ART_WIDTH];
    char title[] = "[RSA 0000]";
    size_t bits = 8 * key->n_len;
    int x, y;
    hash_blob(hash, key);
    bishop_walk(visits, hash);
    for (x = 8; x >= 5; x--, bits /= 10)
        title[x] = (char)('0' + bits % 10);
    out = art_border(out, title, sizeof title - 1);
    for (y = 0; y < ART_HEIGHT; y++) {
        *out++ = '|';
        for (x = 0; x < ART_WIDTH; x++)
            *out++ = symbol[visits[y][x]];
        *out++ = '|';
        *out++ = '\n';
    }
    out = art_border(out, "[SHA256]", 8);
    *out = '\0';
}
