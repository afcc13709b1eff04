/* m3.h: M3s as an attacker makes them, for ct.c and timing.c: OAEP blocks that
 * are wrong in every way that RFC 8017 7.1.2 tells apart, and messages around
 * them.  Only public keys are needed.
 * Needs:   secchan.h inside its fence */

#ifndef SC_TESTS_M3_H
#define SC_TESTS_M3_H

#include "secchan.h"

/* random_bytes: a stream that a seed decides: SHA-256 of the seed, counted. */
typedef struct {
    char seed[64];
    uint64_t count;
} random_stream;

static int random_bytes(void *stream, uint8_t *out, size_t len)
{
    random_stream *r = (random_stream *)stream;
    uint8_t digest[SC_HASH_LEN];
    sc_sha256 s;
    size_t n;
    for (; len > 0; out += n, len -= n) {
        sc_sha256_init(&s);
        sc_sha256_add(&s, r->seed, sizeof r->seed);
        sc_sha256_add(&s, &r->count, sizeof r->count);
        sc_sha256_end(&s, digest);
        r->count++;
        n = len < sizeof digest ? len : sizeof digest;
        memcpy(out, digest, n);
    }
    return SC_OK;
}

/* A block is  00 | seed, 32 | lHash, 32 | PS: 00 ... 00 | 01 | message;  a kind
 * of block is what is written over it before the masks are put on: from
 * `offset` after the place `from` on, count bytes become (old & keep) ^ value.
 * from   'e' the block, 'h' lHash, 'p' PS, 'm' the middle of PS, 'o' the 01.
 * count  -1: all of PS, up to the 01. */
typedef struct {
    const char *name;
    struct {
        char from;
        int offset, count;
        uint8_t keep, value;
    } patch[2];
} block_kind;

#define NOT_PATCHED { 0, 0, 0, 0, 0 }
#define ONE_PATCH(from, offset, count, keep, value) \
    { { from, offset, count, keep, value }, NOT_PATCHED }
#define TWO_PATCHES(from, offset, value, from2, offset2, value2) \
    { { from, offset, 1, 0, value }, { from2, offset2, 1, 0, value2 } }

enum { BLOCK_GOOD, BLOCK_FIRST_BYTE, BLOCK_LABEL };
static const block_kind block_kinds[] = {
    { "well-formed", { NOT_PATCHED, NOT_PATCHED } },
    { "first byte 01", ONE_PATCH('e', 0, 1, 0, 0x01) },
    { "lHash of another label", ONE_PATCH('h', 0, 32, 0xff, 0x55) },
    { "first byte 7f", ONE_PATCH('e', 0, 1, 0, 0x7f) },
    { "lHash: first bit", ONE_PATCH('h', 0, 1, 0xff, 0x80) },
    { "lHash: last bit", ONE_PATCH('h', 31, 1, 0xff, 0x01) },
    { "no 01", ONE_PATCH('o', 0, 1, 0, 0x00) },
    { "02 for 01", ONE_PATCH('o', 0, 1, 0, 0x02) },
    { "81 for 01", ONE_PATCH('o', 0, 1, 0, 0x81) },
    { "PS begins with 80", ONE_PATCH('p', 0, 1, 0, 0x80) },
    { "PS has 40 in the middle", ONE_PATCH('m', 0, 1, 0, 0x40) },
    { "PS ends with ff", ONE_PATCH('o', -1, 1, 0, 0xff) },
    { "PS all a5", ONE_PATCH('p', 0, -1, 0, 0xa5) },
    { "01 where PS begins", TWO_PATCHES('p', 0, 1, 'o', 0, 0) },
    { "01 in the middle of PS", TWO_PATCHES('m', 0, 1, 'o', 0, 0) },
    { "01 in the middle of PS, too", ONE_PATCH('m', 0, 1, 0, 0x01) },
    { "message of 33 bytes", TWO_PATCHES('o', -1, 1, 'o', 0, 0x5a) },
    { "message of 31 bytes", TWO_PATCHES('o', 0, 0, 'o', 1, 1) },
    { "message of no bytes", TWO_PATCHES('o', 0, 0, 'o', 32, 1) },
    { "all wrong", { { 'e', 0, 1, 0, 0x55 }, { 'h', 0, 100, 0, 0x55 } } }
};
#define N_BLOCK_KINDS (sizeof block_kinds / sizeof block_kinds[0])

/* block_xor_mask: MGF1 (RFC 8017 B.2.1). */
static void block_xor_mask(uint8_t *x, size_t x_len, const uint8_t *seed,
                           size_t seed_len)
{
    uint8_t counter[4] = { 0 }, digest[SC_HASH_LEN];
    sc_sha256 s;
    size_t i;
    for (i = 0; i < x_len; i++) {
        if (i % SC_HASH_LEN == 0) {
            counter[3] = (uint8_t)(i / SC_HASH_LEN);
            sc_sha256_init(&s);
            sc_sha256_add(&s, seed, seed_len);
            sc_sha256_add(&s, counter, sizeof counter);
            sc_sha256_end(&s, digest);
        }
        x[i] ^= digest[i % SC_HASH_LEN];
    }
}

/* block_patch: write over a block of k bytes as its kind says. */
static void block_patch(uint8_t *em, size_t k, const block_kind *kind)
{
    size_t hash = 1 + SC_HASH_LEN, ps = hash + SC_HASH_LEN, one = k - 33, at;
    int i, n, p;
    for (p = 0; p < 2 && kind->patch[p].from != 0; p++) {
        switch (kind->patch[p].from) {
        case 'h': at = hash; break;
        case 'p': at = ps; break;
        case 'm': at = (ps + one) / 2; break;
        case 'o': at = one; break;
        default: at = 0; break;
        }
        at += (size_t)kind->patch[p].offset;
        n = kind->patch[p].count < 0 ? (int)(one - ps) : kind->patch[p].count;
        for (i = 0; i < n; i++, at++)
            em[at] = (uint8_t)((em[at] & kind->patch[p].keep)
                               ^ kind->patch[p].value);
    }
}

/* block_encrypt: c = a block of this kind around msg, 32 bytes, enciphered.
 * Does the same work for every kind. */
static void block_encrypt(uint8_t *c, const sc_public_key *key,
                          const void *label, size_t label_len,
                          const uint8_t msg[32], const block_kind *kind,
                          random_stream *random)
{
    uint8_t em[SC_MODULUS_MAX] = { 0 }, *seed = em + 1;
    uint8_t *block = seed + SC_HASH_LEN;
    size_t k = key->n_len, block_len = k - 1 - SC_HASH_LEN;
    sc_sha256 s;
    (void)random_bytes(random, seed, SC_HASH_LEN);
    sc_sha256_init(&s);
    sc_sha256_add(&s, label, label_len);
    sc_sha256_end(&s, block);
    em[k - 33] = 1;
    memcpy(em + k - 32, msg, 32);
    block_patch(em, k, kind);
    block_xor_mask(block, block_len, seed, SC_HASH_LEN);
    block_xor_mask(seed, SC_HASH_LEN, block, block_len);
    sc_rsa_public(key, em, c);
}

/* How the identity box of an M3 is sealed. */
enum {
    BOX_GOOD,           /* with the secrets that are in C1 and C2 */
    BOX_BAD_TAG,        /* the same, one bit of the tag wrong */
    BOX_ZEROS           /* with 32 zeros for a secret whose block is bad: what
                           a server that went on regardless would calculate */
};
typedef struct {
    int block1, block2, box;
} m3_kind;

/* m3_make: M3, anonymous, to this M1 and M2; gives its length. */
static size_t m3_make(uint8_t *m3, const uint8_t *m1, const uint8_t *m2,
                      size_t m2_len, const m3_kind *kind,
                      random_stream *random)
{
    static const char host[] = "secchan/1 host key";
    static const char short_lived[] = "secchan/1 short-lived key";
    static const char identity[] = "secchan/1 client identity";
    sc_public_key kh, ke;
    sc_sha256 transcript;
    uint8_t label[64], t2[32], t3[32], s[64], hs[32], key[32];
    const uint8_t nonce[12] = { 0 };
    size_t body_len;
    memset(&kh, 0, sizeof kh);
    ke = kh;
    ke.n_len = 256;
    memcpy(ke.n, m2 + 36, ke.n_len);
    kh.n_len = m2_len - 292;
    memcpy(kh.n, m2 + 292, kh.n_len);
    body_len = kh.n_len + ke.n_len + SC_TAG_LEN;
    m3[0] = 3;
    m3[1] = 1;
    m3[2] = (uint8_t)(body_len >> 8);
    m3[3] = (uint8_t)body_len;

    sc_sha256_init(&transcript);
    sc_sha256_add(&transcript, m1, SC_HEADER_LEN);
    sc_sha256_add(&transcript, m2, m2_len);
    sc_sha256_end(&transcript, t2);
    (void)random_bytes(random, s, sizeof s);
    memcpy(label, host, sizeof host - 1);
    memcpy(label + sizeof host - 1, t2, 32);
    block_encrypt(m3 + 4, &kh, label, sizeof host - 1 + 32, s,
                  &block_kinds[kind->block1], random);
    memcpy(label, short_lived, sizeof short_lived - 1);
    memcpy(label + sizeof short_lived - 1, t2, 32);
    block_encrypt(m3 + 4 + kh.n_len, &ke, label, sizeof short_lived - 1 + 32,
                  s + 32, &block_kinds[kind->block2], random);
    if (kind->box == BOX_ZEROS) {
        if (kind->block1 != BLOCK_GOOD)
            memset(s, 0, 32);
        if (kind->block2 != BLOCK_GOOD)
            memset(s + 32, 0, 32);
    }
    sc_sha256_add(&transcript, m3, 4 + kh.n_len + ke.n_len);
    sc_sha256_end(&transcript, t3);
    sc_hkdf_extract(hs, t3, 32, s, sizeof s);
    sc_hkdf_expand(hs, identity, sizeof identity - 1, key, 32);
    sc_aead_seal(m3 + 4 + kh.n_len + ke.n_len, key, nonce, t3, 32, NULL, 0);
    m3[4 + body_len - 1] ^= (uint8_t)(kind->box == BOX_BAD_TAG);
    return SC_HEADER_LEN + body_len;
}

#endif
