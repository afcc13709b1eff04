/* known.c: the library beside OpenSSL's: random and extreme cases, worked out
 * by both.  And cases for known.py, which works them out with Python's numbers.
 *
 *   known check SEED AMOUNT KEY...  everything beside OpenSSL; AMOUNT: 1, or
 *                                   more for more cases; the first line says
 *                                   which kernel this is
 *   known numbers SEED AMOUNT       powers and other results, in hexadecimal
 *   known sessions SEED N KEY...    N whole conversations, every byte of them
 *
 * KEY is a file: a private key that both read (PKCS#1 or PKCS#8); for sessions,
 * the first two have 2048 bits.  check prints "NAME: N passed, N failed" for
 * each section, after it has seen that the section finds one wrong bit in what
 * OpenSSL answered; "control" counts these.  Exit status: 0 all agree, 1 not
 * so, 2 usage.
 * Needs:  libcrypto (OpenSSL 3).
 * Map:    1 harness   2 random and extreme values   3 hashes   4 cipher
 *         5 big numbers   6 RSA   7 for known.py   8 main */

#define SECCHAN_INTERNAL
#include "secchan.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- 1. harness ---------------------------------------------------------- */

static unsigned long n_passed, n_failed;
static uint64_t random_state;
static char what[160];                  /* is being compared just now */
static unsigned long spoil_in;  /* answers up to the one to spoil; 0: none */
static jmp_buf found_spoiled;

static void die(const char *why)
{
    fprintf(stderr, "known: %s\n", why);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* need: a call that has no reason to fail did not. */
static void need(int holds, const char *call)
{
    if (!holds)
        die(call);
}

static void describe(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
}

static uint64_t random_word(void)       /* splitmix64 (Steele et al., 2014) */
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static size_t below(size_t n)
{
    return (size_t)(random_word() % n);
}

static void show(const char *whose, const uint8_t *bytes, size_t len)
{
    size_t i;
    printf("    %s ", whose);
    for (i = 0; i < len && i < 600; i++)
        printf("%02x", bytes[i]);
    printf(len > 600 ? "...\n" : "\n");
}

/* agree: our answer is theirs, or the case has failed.  The control: when it is
 * this answer's turn, one bit of theirs is wrong, and must be found. */
static int agree(const void *ours, const void *theirs, size_t len)
{
    static uint8_t answer[70000];
    int is_spoiled = 0, same;
    need(len <= sizeof answer, "an answer is too long");
    if (len > 0)
        memcpy(answer, theirs, len);
    if (spoil_in > 0 && len > 0 && --spoil_in == 0) {
        answer[below(len)] ^= (uint8_t)(1 << below(8));
        is_spoiled = 1;
    }
    same = len == 0 || memcmp(ours, answer, len) == 0;
    if (is_spoiled && !same)
        longjmp(found_spoiled, 1);
    if (same) {
        n_passed++;
    } else if (n_failed++ < 3) {
        printf("    not so: %s\n", what);
        show("ours:  ", (const uint8_t *)ours, len);
        show("theirs:", answer, len);
    }
    return same;
}

/* agree_that: two verdicts, 0 or 1. */
static int agree_that(int ours, int theirs)
{
    uint8_t a = ours != 0, b = theirs != 0;
    return agree(&a, &b, 1);
}

/* ---- 2. random and extreme values ---------------------------------------- */

static void fill(uint8_t *bytes, size_t len)
{
    size_t i;
    for (i = 0; i < len; i++)
        bytes[i] = (uint8_t)(random_word() >> 32);
}

static int draw(void *ctx, uint8_t *out, size_t len)    /* a sc_random_fn */
{
    (void)ctx;
    fill(out, len);
    return SC_OK;
}

/* runs: long runs of ones and of zeros, whatever the width of a limb is: they
 * make carries that go far. */
static void runs(uint8_t *bytes, size_t len)
{
    size_t bit = 0, end;
    memset(bytes, 0, len);
    while (bit < 8 * len) {
        end = bit + 1 + below(below(2) ? 8 * len : 70);
        for (; bit < end && bit < 8 * len; bit++)
            bytes[bit / 8] |= (uint8_t)(1 << bit % 8);
        bit += 1 + below(below(2) ? 8 * len : 70);
    }
}

/* edges: words of 32 or 64 bits that are 0, 1, all ones, one less, or only the
 * top bit; some at random. */
static void edges(uint8_t *bytes, size_t len)
{
    static const uint64_t edge[] = {
        0, 0, 1, 2, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)1,
        (uint64_t)1 << 63, ((uint64_t)1 << 63) - 1,
        (uint64_t)1 << 32, ((uint64_t)1 << 32) - 1
    };
    size_t n = sizeof edge / sizeof *edge, i, k;
    for (i = 0; i < len; i += 8) {
        uint64_t x = below(n + 1) < n ? edge[below(n)] : random_word();
        for (k = 0; k < 8 && i + k < len; k++)
            bytes[len - 1 - i - k] = (uint8_t)(x >> 8 * k);
    }
}

/* number: big-endian, of one of these kinds. */
enum { ZERO, ONE, ONES, ONES_BUT_ONE, ONE_BIT, RUNS, EDGES, SMALL, RANDOM,
       N_KINDS };
static void number(uint8_t *bytes, size_t len, size_t kind)
{
    size_t small = len / 2 + below(len - len / 2);
    memset(bytes, kind == ONES || kind == ONES_BUT_ONE ? 0xff : 0, len);
    if (kind == ONE)
        bytes[len - 1] = 1;
    else if (kind == ONES_BUT_ONE)
        bytes[len - 1] = 0xfe;
    else if (kind == ONE_BIT)
        bytes[below(len)] = (uint8_t)(1 << below(8));
    else if (kind == RUNS)
        runs(bytes, len);
    else if (kind == EDGES)
        edges(bytes, len);
    else if (kind == SMALL)
        fill(bytes + small, len - small);
    else if (kind == RANDOM)
        fill(bytes, len);
}

/* any_number: of any of the kinds, the plain ones less often. */
static void any_number(uint8_t *bytes, size_t len)
{
    number(bytes, len, below(3) ? RUNS + below(N_KINDS - RUNS)
                                : below(N_KINDS));
}

/* modulus: odd, >= 3, of exactly `bits` bits, of an extreme shape or random:
 * 2^bits - 1, 2^(bits-1) + 1, 2^bits - 2^k + 1, 2^(bits-1) + 2^k - 1; a lowest
 * word of 1 or of all ones (what Montgomery's method inverts); a top word of
 * ones or of one bit. */
static void modulus(uint8_t *bytes, size_t len, size_t bits)
{
    size_t shape = below(10), n = (bits + 7) / 8, k = below(n);
    size_t word = n < 8 ? n : 8;
    uint8_t top = (uint8_t)(1 << (bits - 1) % 8);
    memset(bytes, 0, len);
    bytes += len - n;
    number(bytes, n, shape < 2 ? shape == 0 ? ONES : ZERO
                               : RUNS + below(N_KINDS - RUNS));
    if (shape == 2 || shape == 3) {
        memset(bytes, shape == 2 ? 0xff : 0, n - k);
        memset(bytes + n - k, shape == 2 ? 0 : 0xff, k);
    }
    if (shape == 4 || shape == 5)
        memset(bytes + n - word, shape == 4 ? 0 : 0xff, word);
    if (shape == 6 || shape == 7)
        memset(bytes, shape == 6 ? 0 : 0xff, word);
    bytes[0] = (uint8_t)((bytes[0] & (top - 1)) | top);
    bytes[n - 1] |= 1;
}

/* ---- 3. hashes ----------------------------------------------------------- */

#define LEN_MAX 4096            /* every length up to here is tried */
#define ROOM 66000
static uint8_t text_room[ROOM + 64], out_room[ROOM + 128], want[ROOM + 64];

/* text: len bytes that begin at any place of a cache line; zeros, ones, or
 * random. */
static uint8_t *text(size_t len)
{
    uint8_t *at = text_room + below(64);
    size_t kind = below(8);
    if (kind < 2)
        memset(at, kind == 0 ? 0 : 0xff, len);
    else
        fill(at, len);
    return at;
}

static void sha256_theirs(uint8_t digest[32], const uint8_t *bytes, size_t len)
{
    need(EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL),
         "EVP_Digest");
}

/* Every length whole, and again in pieces: of any lengths, 0 too; after each,
 * the digest of what has been taken so far. */
static void section_sha256(size_t amount)
{
    uint8_t ours[32], theirs[32];
    sc_sha256 s;
    size_t len, at, n, round;
    for (round = 0; round < amount; round++) {
        for (len = 0; len <= LEN_MAX; len++) {
            const uint8_t *bytes = text(len);
            describe("SHA-256 of %u bytes", (unsigned)len);
            sc_sha256_init(&s);
            sc_sha256_add(&s, bytes, len);
            sc_sha256_end(&s, ours);
            sha256_theirs(theirs, bytes, len);
            agree(ours, theirs, 32);
            sc_sha256_init(&s);
            for (at = 0; at < len; at += n) {
                n = below(4) ? below(len - at + 1) : below(130);
                n = n < len - at ? n : len - at;
                sc_sha256_add(&s, bytes + at, n);
                if (below(4) == 0) {
                    describe("SHA-256 of %u of %u bytes, in pieces",
                             (unsigned)(at + n), (unsigned)len);
                    sc_sha256_end(&s, ours);
                    sha256_theirs(theirs, bytes, at + n);
                    agree(ours, theirs, 32);
                }
            }
            sc_sha256_end(&s, ours);
            sha256_theirs(theirs, bytes, len);
            agree(ours, theirs, 32);
        }
    }
}

static void hmac_theirs(uint8_t tag[32], const uint8_t *key, size_t key_len,
                        const uint8_t *bytes, size_t len)
{
    need(HMAC(EVP_sha256(), key, (int)key_len, bytes, len, tag, NULL) != NULL,
         "HMAC");
}

/* Every length of the text, and of the key. */
static void section_hmac(size_t amount)
{
    uint8_t key[LEN_MAX], ours[32], theirs[32];
    size_t len, key_len, n, round;
    for (round = 0; round < 2 * amount; round++) {
        for (n = 0; n <= LEN_MAX; n++) {
            const uint8_t *bytes = text(LEN_MAX);
            len = round % 2 ? n : below(200);
            key_len = round % 2 ? below(200) : n;
            fill(key, key_len);
            describe("HMAC of %u bytes, key of %u", (unsigned)len,
                     (unsigned)key_len);
            sc_hmac(ours, key, key_len, bytes, len);
            hmac_theirs(theirs, key, key_len, bytes, len);
            agree(ours, theirs, 32);
        }
    }
}

static EVP_KDF_CTX *kdf;

/* hkdf_theirs: mode is EVP_KDF_HKDF_MODE_...; unused fields have length 0.
 * OpenSSL takes no empty key, and no empty output. */
static void hkdf_theirs(int mode, uint8_t *out, size_t out_len, uint8_t *key,
                        size_t key_len, uint8_t *salt, size_t salt_len,
                        uint8_t *info, size_t info_len)
{
    char name[] = "SHA256";
    OSSL_PARAM p[6], *end = p;
    *end++ = OSSL_PARAM_construct_int("mode", &mode);
    *end++ = OSSL_PARAM_construct_utf8_string("digest", name, 0);
    *end++ = OSSL_PARAM_construct_octet_string("key", key, key_len);
    if (salt_len > 0)
        *end++ = OSSL_PARAM_construct_octet_string("salt", salt, salt_len);
    if (info_len > 0)
        *end++ = OSSL_PARAM_construct_octet_string("info", info, info_len);
    *end = OSSL_PARAM_construct_end();
    EVP_KDF_CTX_reset(kdf);
    need(EVP_KDF_derive(kdf, out, out_len, p), "EVP_KDF_derive");
}

/* Extract: every length of the key material (salts of any).  Expand: every
 * length of the result up to the longest, 255 * 32. */
static void section_hkdf(size_t amount)
{
    static uint8_t salt[300], info[600], prk[32], okm[8160 + 8];
    size_t len, salt_len, info_len, round;
    for (round = 0; round < amount; round++) {
        for (len = 1; len <= 8160; len++) {
            uint8_t *ikm = text(LEN_MAX);
            size_t ikm_len = len <= LEN_MAX ? len : 1 + below(100);
            salt_len = below(2) ? 32 : below(sizeof salt);
            info_len = below(2) ? below(40) : below(sizeof info);
            fill(salt, salt_len);
            fill(info, info_len);
            describe("HKDF-Extract of %u bytes, salt of %u", (unsigned)ikm_len,
                     (unsigned)salt_len);
            sc_hkdf_extract(prk, salt, salt_len, ikm, ikm_len);
            hkdf_theirs(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, want, 32, ikm, ikm_len,
                        salt, salt_len, NULL, 0);
            agree(prk, want, 32);
            describe("HKDF-Expand to %u bytes, info of %u", (unsigned)len,
                     (unsigned)info_len);
            memset(okm, 0x5c, sizeof okm);
            sc_hkdf_expand(prk, (const char *)info, info_len, okm, len);
            memset(want, 0x5c, len + 8);
            hkdf_theirs(EVP_KDF_HKDF_MODE_EXPAND_ONLY, want, len, prk, 32, NULL,
                        0, info, info_len);
            agree(okm, want, len < 8160 ? len + 8 : len);
            if (len > LEN_MAX)
                len += below(60);
        }
    }
}

/* ---- 4. cipher ----------------------------------------------------------- */

static EVP_CIPHER_CTX *cipher;
static EVP_MAC_CTX *mac;

/* fill_edgy: random, or now and then all zeros or all ones. */
static void fill_edgy(uint8_t *bytes, size_t len)
{
    size_t kind = below(10);
    fill(bytes, len);
    if (kind < 2)
        memset(bytes, kind == 0 ? 0 : 0xff, len);
}

/* Keystream from block number counter on, up to the last that there is. */
static void section_chacha20(size_t amount)
{
    uint8_t key[32], iv[16], *out;
    uint32_t counter;
    size_t len, i;
    int n;
    for (i = 0; i < amount * (LEN_MAX + 1); i++) {
        const uint8_t *in;
        len = i % (LEN_MAX + 1);
        in = text(len);
        out = out_room + below(64);
        fill_edgy(key, 32);
        fill_edgy(iv + 4, 12);
        counter = (uint32_t)random_word();
        if (below(4) == 0)              /* the last block is the last of all */
            counter = 0 - (uint32_t)((len + 63) / 64);
        else if (below(4) == 0)
            counter = (uint32_t)below(3);
        else if ((uint64_t)counter + (len + 63) / 64 > (uint64_t)1 << 32)
            counter = 5;
        for (n = 0; n < 4; n++)
            iv[n] = (uint8_t)(counter >> 8 * n);
        describe("ChaCha20, %u bytes from block %lu on", (unsigned)len,
                 (unsigned long)counter);
        need(EVP_EncryptInit_ex(cipher, EVP_chacha20(), NULL, key, iv)
             && EVP_EncryptUpdate(cipher, want, &n, in, (int)len)
             && n == (int)len, "EVP_chacha20");
        memset(out, 0x5c, len + 8);
        memset(want + len, 0x5c, 8);
        sc_chacha20_xor(out, in, len, key, iv + 4, counter);
        agree(out, want, len + 8);
    }
}

static void poly1305_case(const uint8_t key[32], const uint8_t *msg, size_t len)
{
    uint8_t tag[16];
    size_t want_len;
    describe("Poly1305 of %u bytes", (unsigned)len);
    sc_poly1305(tag, key, msg, len);
    need(EVP_MAC_init(mac, key, 32, NULL) && EVP_MAC_update(mac, msg, len)
         && EVP_MAC_final(mac, want, &want_len, 16), "EVP_MAC");
    agree(tag, want, 16);
}

/* Three blocks whose sum, with r = 1, is just below or above 2^130 - 5: does
 * the end take the modulus away exactly when it should?  Each block counts
 * 2^128 more, so their bytes have to be 2^128 - 5 and a little, in all. */
static void poly1305_edge(void)
{
    uint8_t key[32] = { 1 }, msg[48];
    int i, k, rest;
    fill(key + 16, 16);
    fill(msg, 32);
    memset(msg + 32, 0xff, 16);
    msg[32] = (uint8_t)(0xf8 + below(8));
    for (k = 0; k < 32; k += 16) {
        msg[k + 15] &= 0x7f;
        for (i = 0, rest = 0; i < 16; i++) {    /* the third less this one */
            rest += msg[32 + i] - msg[k + i];
            msg[32 + i] = (uint8_t)rest;
            rest = rest < 0 ? -1 : 0;
        }
    }
    poly1305_case(key, msg, 48);
}

/* Keys of few or of all bits; blocks of ones, of zeros, and of nearly ones. */
static void section_poly1305(size_t amount)
{
    uint8_t key[32], *msg;
    size_t len, i, k;
    for (i = 0; i < amount * 3 * (LEN_MAX + 1); i++) {
        len = i % (LEN_MAX + 1);
        msg = text(len);
        fill_edgy(key, 16);
        fill_edgy(key + 16, 16);
        if (below(3) == 0) {            /* a small r: h stays near the text */
            memset(key, 0, 16);
            key[below(2) * 4] = (uint8_t)(below(4) + 1);
        }
        if (below(2) == 0)
            for (k = 0; k < len; k += 16)
                memset(msg + k, below(3) ? 0xff : 0,
                       len - k < 16 ? len - k : 16);
        if (below(2) == 0 && len >= 16) /* near the end, as 2^128 - few */
            msg[len / 16 * 16 - 16] = (uint8_t)(0xff - below(8));
        poly1305_case(key, msg, len);
        if (i % 16 == 0)
            poly1305_edge();
    }
}

/* What an AEAD is given. */
typedef struct {
    uint8_t key[32], nonce[12], ad[700];
    size_t ad_len;
} aead_input;

static void aead_theirs(const aead_input *a, uint8_t *out, const uint8_t *in,
                        size_t len)
{
    int n, m;
    need(EVP_EncryptInit_ex(cipher, EVP_chacha20_poly1305(), NULL, a->key,
                            a->nonce)
         && (a->ad_len == 0 || EVP_EncryptUpdate(cipher, NULL, &n, a->ad,
                                                 (int)a->ad_len))
         && EVP_EncryptUpdate(cipher, out, &n, in, (int)len)
         && EVP_EncryptFinal_ex(cipher, out + n, &m) && n + m == (int)len
         && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, 16, out + len),
         "EVP_chacha20_poly1305");
}

/* opened_theirs: 1 if it is good. */
static int opened_theirs(const aead_input *a, uint8_t *out, uint8_t *box,
                         size_t len)
{
    int n = 0, m;
    need(EVP_DecryptInit_ex(cipher, EVP_chacha20_poly1305(), NULL, a->key,
                            a->nonce)
         && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, 16, box + len)
         && (a->ad_len == 0 || EVP_DecryptUpdate(cipher, NULL, &n, a->ad,
                                                 (int)a->ad_len))
         && EVP_DecryptUpdate(cipher, out, &n, box, (int)len),
         "EVP_chacha20_poly1305");
    return EVP_DecryptFinal_ex(cipher, out + n, &m) == 1;
}

static int opened_ours(const aead_input *a, uint8_t *out, const uint8_t *box,
                       size_t len, int how)
{
    uint8_t tag[16];
    if (how == 0)
        return sc_aead_open(out, a->key, a->nonce, a->ad, a->ad_len, box,
                            len + 16) != 0;
    sc_aead(out, tag, box, len, a->key, a->nonce, a->ad, a->ad_len,
            SC_AEAD_OPEN | how);
    return memcmp(tag, box + len, 16) == 0;
}

/* aead_case: sealed by both, opened by both; then with one bit wrong.  how: 0,
 * or SC_AEAD_PORTABLE. */
static void aead_case(size_t len, int how)
{
    static uint8_t box[ROOM + 64], plain[ROOM + 64], again[ROOM + 64];
    aead_input a;
    uint8_t *in, *out = out_room + below(64);
    size_t bit;
    fill_edgy(a.key, 32);
    fill_edgy(a.nonce, 12);
    a.ad_len = below(3) ? below(70) : below(sizeof a.ad);
    fill(a.ad, a.ad_len);
    in = text(len);
    memcpy(plain, in, len);
    describe("AEAD of %u bytes and %u, %s", (unsigned)len, (unsigned)a.ad_len,
             how == 0 ? "as usual" : "portable");
    aead_theirs(&a, want, plain, len);
    if (below(2))
        out = in;
    if (how == 0)
        sc_aead_seal(out, a.key, a.nonce, a.ad, a.ad_len, in, len);
    else
        sc_aead(out, out + len, in, len, a.key, a.nonce, a.ad, a.ad_len, how);
    agree(out, want, len + 16);
    memcpy(box, out, len + 16);
    in = below(2) ? out : plain;
    agree_that(opened_ours(&a, in, out, len, how),
               opened_theirs(&a, again, box, len));
    agree(in, again, len);
    bit = below(8 * (len + 16 + a.ad_len + 44));
    if (bit < 8 * (len + 16))
        box[bit / 8] ^= (uint8_t)(1 << bit % 8);
    else if ((bit -= 8 * (len + 16)) < 96)
        a.nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
    else if ((bit -= 96) < 256)
        a.key[bit / 8] ^= (uint8_t)(1 << bit % 8);
    else
        a.ad[(bit - 256) / 8] ^= (uint8_t)(1 << bit % 8);
    describe("AEAD of %u bytes and %u, one bit wrong", (unsigned)len,
             (unsigned)a.ad_len);
    agree_that(opened_ours(&a, out_room, box, len, how),
               opened_theirs(&a, again, box, len));
}

static void section_aead(size_t amount)
{
    size_t i;
    for (i = 0; i < amount * (LEN_MAX + 1); i++) {
        aead_case(i % (LEN_MAX + 1), 0);
        aead_case(i % (LEN_MAX + 1), SC_AEAD_PORTABLE);
        if (i % 32 == 0)                /* long ones; records have 16384 */
            aead_case(i % 64 ? below(65537) : 16384 - below(3),
                      i % 128 < 64 ? 0 : SC_AEAD_PORTABLE);
    }
}

/* ---- 5. big numbers ------------------------------------------------------ */

static BN_CTX *bn_ctx;
static BIGNUM *bn[6];

#define BYTES_MAX (2 * SC_MODULUS_MAX)

/* A number, as bytes, as limbs, as OpenSSL has it: bn[i]. */
typedef struct {
    size_t n;                           /* limbs */
    uint8_t bytes[BYTES_MAX];
    sc_word limbs[2 * SC_LIMBS_MAX];
} operand;

static void take_bytes(operand *x, size_t i)
{
    sc_bn_decode(x->limbs, x->n, x->bytes, x->n * SC_WORD_BYTES);
    need(BN_bin2bn(x->bytes, (int)(x->n * SC_WORD_BYTES), bn[i]) != NULL,
         "BN_bin2bn");
}

static void take_number(operand *x, size_t n, size_t i)
{
    x->n = n;
    any_number(x->bytes, n * SC_WORD_BYTES);
    take_bytes(x, i);
}

/* take_below: m - 1, (m - 1) / 2, or any number mod m; m is bn[i_m]. */
static void take_below(operand *x, const operand *m, size_t i, size_t i_m)
{
    size_t kind = below(12);
    take_number(x, m->n, i);
    if (kind < 2)
        need(BN_sub(bn[i], bn[i_m], BN_value_one()) != 0, "BN_sub");
    else
        need(BN_nnmod(bn[i], bn[i], bn[i_m], bn_ctx), "BN_nnmod");
    if (kind == 1)
        need(BN_rshift1(bn[i], bn[i]), "BN_rshift1");
    need(BN_bn2binpad(bn[i], x->bytes, (int)(x->n * SC_WORD_BYTES)) > 0,
         "BN_bn2binpad");
    take_bytes(x, i);
}

static void take_modulus(operand *m, size_t n, size_t bits, size_t i)
{
    m->n = n;
    modulus(m->bytes, n * SC_WORD_BYTES, bits);
    take_bytes(m, i);
}

/* any_bits: a length for a modulus of n limbs: nearly always in the top one. */
static size_t any_bits(size_t n, size_t least)
{
    size_t all = n * SC_WORD_BITS, kind = below(8);
    size_t bits = kind < 3 ? all : kind < 7 ? all - below(SC_WORD_BITS)
                                            : least + below(all - least);
    return bits < least ? least : bits;
}

/* agree_number: limbs[0..n) are bn[i]. */
static int agree_number(const sc_word *limbs, size_t n, size_t i)
{
    uint8_t ours[BYTES_MAX + 16], theirs[BYTES_MAX + 16];
    size_t len = n * SC_WORD_BYTES;
    sc_bn_encode(ours, len, limbs, n);
    if (BN_bn2binpad(bn[i], theirs, (int)len) < 0)
        memset(theirs, 0xff, len);      /* theirs is longer */
    return agree(ours, theirs, len);
}

/* on_failure: what was worked on. */
static void on_failure(int agreed, const operand *x, const operand *y,
                       const operand *m)
{
    if (agreed || n_failed > 3)
        return;
    show("x:", x->bytes, x->n * SC_WORD_BYTES);
    show("y:", y->bytes, y->n * SC_WORD_BYTES);
    if (m != NULL)
        show("m:", m->bytes, m->n * SC_WORD_BYTES);
}

/* Sums, products, remainders, inverses: bn[0] x, bn[1] y, bn[2] m. */
static void sums_case(operand *x, operand *y, size_t n)
{
    sc_word d[2 * SC_LIMBS_MAX], high;
    describe("x + y, x - y, x y of %u limbs", (unsigned)n);
    take_number(x, n, 0);
    take_number(y, n, 1);
    d[n] = sc_bn_add(d, x->limbs, y->limbs, n);
    need(BN_add(bn[3], bn[0], bn[1]), "BN_add");
    on_failure(agree_number(d, n + 1, 3), x, y, NULL);
    high = sc_bn_sub(d, x->limbs, y->limbs, n);
    on_failure(agree_that((int)high, BN_cmp(bn[0], bn[1]) < 0), x, y, NULL);
    if (!high) {
        need(BN_sub(bn[3], bn[0], bn[1]), "BN_sub");
        on_failure(agree_number(d, n, 3), x, y, NULL);
    }
    sc_bn_mul(d, x->limbs, n, y->limbs, n);
    need(BN_mul(bn[3], bn[0], bn[1], bn_ctx), "BN_mul");
    on_failure(agree_number(d, 2 * n, 3), x, y, NULL);
}

static void modular_case(operand *x, operand *y, operand *m, size_t n)
{
    static sc_modulus mod;
    sc_word d[SC_LIMBS_MAX];
    describe("x y mod m, %u limbs", (unsigned)n);
    take_modulus(m, n, any_bits(n, 2), 2);
    sc_modulus_init(&mod, m->limbs, n);
    take_number(x, n, 0);               /* x is any number */
    take_below(y, m, 1, 2);
    sc_mont_to(d, x->limbs, &mod);
    sc_mont_mul(d, d, y->limbs, &mod);
    need(BN_mod_mul(bn[3], bn[0], bn[1], bn[2], bn_ctx), "BN_mod_mul");
    on_failure(agree_number(d, n, 3), x, y, m);
    describe("y to Montgomery form and back, %u limbs", (unsigned)n);
    sc_mont_to(d, y->limbs, &mod);
    sc_mont_from(d, d, &mod);
    on_failure(agree_number(d, n, 1), x, y, m);
    describe("x + y, x - y mod m, %u limbs", (unsigned)n);
    take_below(x, m, 0, 2);
    sc_bn_add_mod(d, x->limbs, y->limbs, m->limbs, n);
    need(BN_mod_add(bn[3], bn[0], bn[1], bn[2], bn_ctx), "BN_mod_add");
    on_failure(agree_number(d, n, 3), x, y, m);
    sc_bn_sub_mod(d, x->limbs, y->limbs, m->limbs, n);
    need(BN_mod_sub(bn[3], bn[0], bn[1], bn[2], bn_ctx), "BN_mod_sub");
    on_failure(agree_number(d, n, 3), x, y, m);
}

/* Here m may be even, as p - 1 is. */
static void remainder_case(operand *x, operand *m, size_t n)
{
    sc_word d[SC_LIMBS_MAX];
    describe("m mod 65537 and 1/65537 mod m, %u limbs", (unsigned)n);
    take_modulus(m, n, any_bits(n, 2), 2);
    m->bytes[n * SC_WORD_BYTES - 1] &= (uint8_t)~below(2);
    take_bytes(m, 2);
    need(BN_set_word(bn[4], 65537), "BN_set_word");
    d[0] = sc_bn_mod_65537(m->limbs, n);
    need(BN_nnmod(bn[3], bn[2], bn[4], bn_ctx), "BN_nnmod");
    on_failure(agree_number(d, 1, 3), m, m, m);
    if (!BN_is_zero(bn[3])) {
        sc_bn_inverse_65537(d, m->limbs, n);
        need(BN_mod_inverse(bn[3], bn[4], bn[2], bn_ctx) != NULL,
             "BN_mod_inverse");
        on_failure(agree_number(d, n, 3), m, m, m);
    }
    if (n <= SC_PRIME_LIMBS_MAX && (n < 9 || below(8) == 0)) {   /* slow */
        describe("x mod m, %u limbs", (unsigned)n);
        take_number(x, 1 + below(2 * n), 0);
        sc_bn_mod(d, x->limbs, x->n, m->limbs, n);
        need(BN_nnmod(bn[3], bn[0], bn[2], bn_ctx), "BN_nnmod");
        on_failure(agree_number(d, n, 3), x, x, m);
    }
}

static void section_arithmetic(size_t amount)
{
    static operand x, y, m;
    size_t i, n;
    for (i = 0; i < 40 * amount; i++) {
        for (n = 1; n <= SC_LIMBS_MAX; n++) {
            if (n > 5 && i % 4 != n % 4)
                continue;
            sums_case(&x, &y, n);
            modular_case(&x, &y, &m, n);
            remainder_case(&x, &m, n);
        }
    }
}

/* Two powers at once, as the private operation takes them; and the plain one.
 * bn[0] x, bn[1] e, bn[2] m. */
static void pair_case(size_t n, int is_plain)
{
    static operand x[2], e[2], m[2];
    static sc_modulus mod[2];
    sc_word d[2][SC_PRIME_LIMBS_MAX];
    size_t i;
    for (i = 0; i < 2; i++) {
        take_modulus(&m[i], n, any_bits(n, 2), 2);
        sc_modulus_init(&mod[i], m[i].limbs, n);
        take_below(&x[i], &m[i], 0, 2);
        take_number(&e[i], n, 1);
        sc_mont_to(d[i], x[i].limbs, &mod[i]);
    }
    if (is_plain)
        for (i = 0; i < 2; i++)
            sc_mont_pow(d[i], d[i], e[i].limbs, &mod[i]);
    else
        sc_mont_pow_pair(d[0], d[0], e[0].limbs, &mod[0], d[1], d[1],
                         e[1].limbs, &mod[1]);
    for (i = 0; i < 2; i++) {
        describe("power %u of two, %u limbs, %s", (unsigned)i + 1, (unsigned)n,
                 is_plain ? "one by one" : "at once");
        take_bytes(&x[i], 0);
        take_bytes(&e[i], 1);
        take_bytes(&m[i], 2);
        sc_mont_from(d[i], d[i], &mod[i]);
        need(BN_mod_exp(bn[3], bn[0], bn[1], bn[2], bn_ctx), "BN_mod_exp");
        on_failure(agree_number(d[i], n, 3), &x[i], &e[i], &m[i]);
    }
}

static void section_powers(size_t amount)
{
    size_t i, n;
    for (i = 0; i < 24 * amount; i++) {
        for (n = 4; n <= SC_PRIME_LIMBS_MAX; n++) {
            if (SC_WORD_BITS == 32 && n > 32 && n % 8 != i % 8)
                continue;               /* slower, and there are more sizes */
            pair_case(n, 0);
            if (i % 3 == 0)
                pair_case(n % 3 == 0 ? 1 + n % 7 : n, 1);
        }
    }
}

/* x^65537; bn[0] x, bn[1] 65537, bn[2] m.  x is any number of n limbs. */
static void public_case(operand *x, operand *m, size_t bits)
{
    sc_word d[SC_LIMBS_MAX];
    describe("x^65537, %u limbs, modulus of %u bits", (unsigned)m->n,
             (unsigned)bits);
    need(BN_set_word(bn[1], 65537)
         && BN_mod_exp(bn[3], bn[0], bn[1], bn[2], bn_ctx), "BN_mod_exp");
    sc_pow_65537(d, x->limbs, m->limbs, m->n);
    on_failure(agree_number(d, m->n, 3), x, x, m);
    sc_pow_65537(x->limbs, x->limbs, m->limbs, m->n);
    on_failure(agree_number(x->limbs, m->n, 3), x, x, m);
}

/* At 576 and 2432 bits, bignum.c's vectors have the least room above m.  The
 * largest modulus and x make the result reach as far up there as it can. */
static void public_largest(operand *x, operand *m, size_t bits)
{
    size_t len = bits / 8;
    m->n = x->n = SC_LIMBS(len);
    memset(m->bytes, 0xff, len);
    memset(x->bytes, 0xff, len);
    fill(m->bytes + len / 2, len / 2);
    fill(x->bytes + len / 2, len / 2);
    m->bytes[len - 1] |= 1;
    take_bytes(m, 2);
    take_bytes(x, 0);
    public_case(x, m, bits);
}

/* Moduli of every length that a public key can have, and others. */
static void section_public_power(size_t amount)
{
    static operand x, m;
    size_t i, n, bits;
    for (i = 0; i < 10 * amount; i++) {
        for (bits = 8 * SC_MODULUS_MIN; bits <= 8 * SC_MODULUS_MAX; bits += 8) {
            take_modulus(&m, SC_LIMBS(bits / 8), bits, 2);
            if (below(3) == 0)
                take_below(&x, &m, 0, 2);
            else
                take_number(&x, m.n, 0);
            public_case(&x, &m, bits);
        }
        for (n = 6; n <= SC_LIMBS_MAX; n++) {
            bits = any_bits(n, 65);
            take_modulus(&m, n, bits, 2);
            take_number(&x, n, 0);
            public_case(&x, &m, bits);
        }
        for (n = 0; n < 8; n++) {
            public_largest(&x, &m, 576);
            public_largest(&x, &m, 2432);
        }
    }
}

/* ---- 6. RSA -------------------------------------------------------------- */

/* A key as we have it and as OpenSSL has it. */
#define KEYS_MAX 32
static struct {
    const char *path;
    sc_private_key ours;
    EVP_PKEY *theirs;
} keys[KEYS_MAX];
static size_t n_keys;

static void keys_read(char **paths)
{
    char pem[8192];
    size_t len;
    for (; *paths != NULL && n_keys < KEYS_MAX; paths++, n_keys++) {
        FILE *file = fopen(*paths, "rb");
        BIO *bio;
        need(file != NULL, *paths);
        len = fread(pem, 1, sizeof pem, file);
        fclose(file);
        keys[n_keys].path = *paths;
        need(sc_key_read_pem(&keys[n_keys].ours, pem, len) == SC_OK, *paths);
        bio = BIO_new_mem_buf(pem, (int)len);
        keys[n_keys].theirs = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        need(keys[n_keys].theirs != NULL, *paths);
        BIO_free(bio);
    }
    need(n_keys >= 2, "some keys are needed");
}

/* rsa_theirs: 1 if it was done.  padding: RSA_NO_PADDING or OAEP. */
static int rsa_theirs(size_t k, int is_private, int padding,
                      const uint8_t *label, size_t label_len, uint8_t *out,
                      size_t *out_len, const uint8_t *in, size_t in_len)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(keys[k].theirs, NULL);
    int done;
    need(c != NULL && (is_private ? EVP_PKEY_decrypt_init(c)
                                  : EVP_PKEY_encrypt_init(c)) > 0
         && EVP_PKEY_CTX_set_rsa_padding(c, padding) > 0, "EVP_PKEY_CTX");
    if (padding == RSA_PKCS1_OAEP_PADDING) {
        need(EVP_PKEY_CTX_set_rsa_oaep_md(c, EVP_sha256()) > 0
             && EVP_PKEY_CTX_set_rsa_mgf1_md(c, EVP_sha256()) > 0, "OAEP");
        if (label_len > 0) {
            void *copy = OPENSSL_memdup(label, label_len);
            need(EVP_PKEY_CTX_set0_rsa_oaep_label(c, copy, (int)label_len) > 0,
                 "EVP_PKEY_CTX_set0_rsa_oaep_label");
        }
    }
    *out_len = SC_MODULUS_MAX;
    done = (is_private ? EVP_PKEY_decrypt(c, out, out_len, in, in_len)
                       : EVP_PKEY_encrypt(c, out, out_len, in, in_len)) > 0;
    EVP_PKEY_CTX_free(c);
    ERR_clear_error();
    return done;
}

/* on_rsa_failure: what was worked on, and the key, which was made for this. */
static void on_rsa_failure(int agreed, size_t k, const uint8_t *x)
{
    const sc_private_key *key = &keys[k].ours;
    if (agreed || n_failed > 3)
        return;
    show("input:", x, key->pub.n_len);
    show("p:", key->p, (key->pub.n_len + 1) / 2);
    show("q:", key->q, (key->pub.n_len + 1) / 2);
}

/* rsa_operand: extreme, or random: 0, 1, n - 1, multiples of p, and for `over`
 * also n, n + 1 and all ones, which are too large. */
static void rsa_operand(uint8_t *x, const sc_private_key *key, int over)
{
    size_t len = key->pub.n_len, half = (len + 1) / 2, kind = below(9);
    memcpy(x, key->pub.n, len);
    if (over && kind < 3) {
        if (kind == 1)
            memset(x, 0xff, len);
        if (kind == 2)                  /* n is odd, and no carry comes of it */
            x[len - 1] = (uint8_t)(x[len - 1] + (x[len - 1] < 0xff));
    } else if (kind < 3) {
        x[len - 1] &= 0xfe;             /* n - 1 */
    } else if (kind == 3 || kind == 4) {
        memset(x, 0, len);
        memcpy(x + len - half - below(len - half), kind == 3 ? key->p : key->q,
               half);
    } else {
        any_number(x, len);
        if (!over || below(2))
            x[0] = 0;
    }
}

/* The operations without padding: both ways, and what is not below n. */
static void section_rsa(size_t amount)
{
    static uint8_t x[SC_MODULUS_MAX], ours[SC_MODULUS_MAX];
    sc_word ok;
    size_t k, i, len, len_theirs;
    for (i = 0; i < 12 * amount; i++) {
        for (k = 0; k < n_keys; k++) {
            const sc_private_key *key = &keys[k].ours;
            int done;
            len = key->pub.n_len;
            rsa_operand(x, key, 0);
            describe("public operation, %s", keys[k].path);
            sc_rsa_public(&key->pub, x, ours);
            done = rsa_theirs(k, 0, RSA_NO_PADDING, NULL, 0, want, &len_theirs,
                              x, len);
            on_rsa_failure(agree_that(1, done) && agree(ours, want, len), k, x);
            rsa_operand(x, key, 1);
            describe("private operation, %s", keys[k].path);
            need(sc_rsa_private(key, x, ours, &ok, draw, NULL) == SC_OK,
                 "sc_rsa_private");
            done = rsa_theirs(k, 1, RSA_NO_PADDING, NULL, 0, want, &len_theirs,
                              x, len);
            if (!done)
                memset(want, 0, len);   /* as we promise */
            on_rsa_failure(agree_that(ok != 0, done) && agree(ours, want, len),
                           k, x);
        }
    }
}

/* A message for OAEP with key k, and a label. */
typedef struct {
    uint8_t msg[SC_MODULUS_MAX], label[300];
    size_t msg_len, label_len;
} oaep_input;

static void oaep_any(oaep_input *o, size_t k)
{
    size_t max = keys[k].ours.pub.n_len - SC_OAEP_OVERHEAD, kind = below(6);
    o->msg_len = kind == 0 ? 0 : kind == 1 ? max : kind < 4 ? 32
                                               : below(max + 1);
    o->label_len = below(4) == 0 ? 0 : below(2) ? 50 : below(sizeof o->label);
    fill_edgy(o->msg, o->msg_len);
    fill(o->label, o->label_len);
    describe("OAEP, %s, %u bytes, label of %u", keys[k].path,
             (unsigned)o->msg_len, (unsigned)o->label_len);
}

/* opened_both: c is opened, or not, by both; want: the message they get.  We
 * are told its length beforehand; to them any length is good. */
static void opened_both(size_t k, const oaep_input *o, const uint8_t *c,
                        int is_good)
{
    static uint8_t ours[SC_MODULUS_MAX];
    sc_word ok;
    size_t len;
    int done = rsa_theirs(k, 1, RSA_PKCS1_OAEP_PADDING, o->label, o->label_len,
                          want, &len, c, keys[k].ours.pub.n_len);
    need(sc_oaep_decrypt(&keys[k].ours, o->label, o->label_len, c, ours,
                         o->msg_len, &ok, draw, NULL) == SC_OK,
         "sc_oaep_decrypt");
    done = done && len == o->msg_len;
    if (!done)
        memset(want, 0, o->msg_len);    /* as we promise */
    on_rsa_failure(agree_that(ok != 0, done)
                   && agree(ours, want, o->msg_len)
                   && (!is_good || agree(ours, o->msg, o->msg_len)), k, c);
}

static void section_oaep_ours(size_t amount)
{
    static oaep_input o;
    static uint8_t c[SC_MODULUS_MAX];
    size_t k, i, len;
    int done;
    for (i = 0; i < 25 * amount; i++) {
        for (k = 0; k < n_keys; k++) {
            oaep_any(&o, k);
            need(sc_oaep_encrypt(&keys[k].ours.pub, o.label, o.label_len,
                                 o.msg, o.msg_len, c, draw, NULL) == SC_OK,
                 "sc_oaep_encrypt");
            done = rsa_theirs(k, 1, RSA_PKCS1_OAEP_PADDING, o.label,
                              o.label_len, want, &len, c,
                              keys[k].ours.pub.n_len);
            on_rsa_failure(agree_that(1, done && len == o.msg_len)
                           && agree(o.msg, want, o.msg_len), k, c);
        }
    }
}

/* And once more with one bit of it, or the label, or the length altered. */
static void section_oaep_theirs(size_t amount)
{
    static oaep_input o;
    static uint8_t c[SC_MODULUS_MAX];
    size_t k, i, len;
    for (i = 0; i < 25 * amount; i++) {
        for (k = 0; k < n_keys; k++) {
            oaep_any(&o, k);
            need(rsa_theirs(k, 0, RSA_PKCS1_OAEP_PADDING, o.label, o.label_len,
                            c, &len, o.msg, o.msg_len), "EVP_PKEY_encrypt");
            opened_both(k, &o, c, 1);
            switch (below(3)) {
            case 0:
                c[below(len)] ^= (uint8_t)(1 << below(8));
                break;
            case 1:
                o.label_len += o.label_len == 0 ? 1 : (size_t)0 - 1;
                break;
            default:
                o.msg_len += o.msg_len == 0 ? 1 : (size_t)0 - 1;
            }
            opened_both(k, &o, c, 0);
        }
    }
}

/* mgf1_theirs: x ^= MGF1(seed), made with their hash. */
static void mgf1_theirs(uint8_t *x, size_t x_len, const uint8_t *seed,
                        size_t seed_len)
{
    uint8_t in[SC_MODULUS_MAX + 4], mask[32];
    size_t i;
    memcpy(in, seed, seed_len);
    memset(in + seed_len, 0, 4);
    for (i = 0; i < x_len; i++) {
        if (i % 32 == 0) {
            in[seed_len + 3] = (uint8_t)(i / 32);
            sha256_theirs(mask, in, seed_len + 4);
        }
        x[i] ^= mask[i % 32];
    }
}

/* Blocks with one thing wrong with them, or nothing: the first byte, the hash
 * of the label, the zeros, the 01, the length. */
static void block_case(size_t k)
{
    static oaep_input o;
    static uint8_t em[SC_MODULUS_MAX], c[SC_MODULUS_MAX];
    size_t n = keys[k].ours.pub.n_len, db_len = n - 33, zeros, len;
    size_t fault = below(8);
    uint8_t *seed = em + 1, *db = em + 33;
    oaep_any(&o, k);
    zeros = db_len - 33 - o.msg_len;
    memset(em, 0, n);
    fill(seed, 32);
    sha256_theirs(db, o.label, o.label_len);
    db[32 + zeros] = 1;
    memcpy(db + 33 + zeros, o.msg, o.msg_len);
    if (fault == 1)
        db[below(32)] ^= (uint8_t)(1 << below(8));
    if ((fault == 2 || fault == 3) && zeros > 0)
        db[32 + below(zeros)] = (uint8_t)(fault == 2 ? 1 : 1 + below(255));
    if (fault == 4)
        db[32 + zeros] = (uint8_t)(2 + below(254));
    if (fault == 5)
        memset(db + 32, 0, db_len - 32);
    if (fault == 6)
        o.msg_len = below(n - SC_OAEP_OVERHEAD + 1);
    mgf1_theirs(db, db_len, seed, 32);
    mgf1_theirs(seed, 32, db, db_len);
    if (fault == 7)
        em[0] = (uint8_t)(1 + below(127));      /* n begins with 80 or more */
    describe("OAEP block, fault %u, %s, %u bytes", (unsigned)fault,
             keys[k].path, (unsigned)o.msg_len);
    need(rsa_theirs(k, 0, RSA_NO_PADDING, NULL, 0, c, &len, em, n),
         "EVP_PKEY_encrypt");
    opened_both(k, &o, c, fault == 0);
}

static void section_blocks(size_t amount)
{
    size_t k, i;
    for (i = 0; i < 25 * amount; i++)
        for (k = 0; k < n_keys; k++)
            block_case(k);
}

/* ---- 7. for known.py ----------------------------------------------------- */

static void put_hex(const uint8_t *bytes, size_t len)
{
    size_t i;
    putchar(' ');
    if (len == 0)
        putchar('-');
    for (i = 0; i < len; i++)
        printf("%02x", bytes[i]);
}

static void put_limbs(const sc_word *x, size_t n)
{
    uint8_t bytes[BYTES_MAX];
    sc_bn_encode(bytes, n * SC_WORD_BYTES, x, n);
    put_hex(bytes, n * SC_WORD_BYTES);
}

/* One line for each result: what it is, x, y, m, and the result. */
static void put_result(const char *name, const operand *x, const operand *y,
                       const operand *m, const sc_word *d, size_t d_n)
{
    fputs(name, stdout);
    put_hex(x->bytes, x->n * SC_WORD_BYTES);
    put_hex(y->bytes, y->n * SC_WORD_BYTES);
    put_hex(m->bytes, m->n * SC_WORD_BYTES);
    put_limbs(d, d_n);
    putchar('\n');
}

static void numbers_pair(size_t n)
{
    static operand x[2], e[2], m[2];
    static sc_modulus mod[2];
    sc_word d[2][SC_PRIME_LIMBS_MAX];
    size_t i;
    for (i = 0; i < 2; i++) {
        take_modulus(&m[i], n, any_bits(n, 2), 2);
        sc_modulus_init(&mod[i], m[i].limbs, n);
        take_number(&x[i], n, 0);
        take_number(&e[i], n, 1);
        sc_mont_to(d[i], x[i].limbs, &mod[i]);
    }
    sc_mont_pow_pair(d[0], d[0], e[0].limbs, &mod[0], d[1], d[1], e[1].limbs,
                     &mod[1]);
    for (i = 0; i < 2; i++) {
        sc_mont_from(d[i], d[i], &mod[i]);
        put_result("power", &x[i], &e[i], &m[i], d[i], n);
    }
}

static void numbers(size_t amount)
{
    static operand x, y, m;
    static sc_modulus mod;
    sc_word d[2 * SC_LIMBS_MAX];
    size_t i, n;
    for (i = 0; i < 200 * amount; i++) {
        if (i % 4 == 0)
            numbers_pair(4 + below(SC_PRIME_LIMBS_MAX - 3));
        n = 6 + below(SC_LIMBS_MAX - 5);
        take_number(&x, n, 0);
        take_number(&y, n, 1);
        take_modulus(&m, n, any_bits(n, 65), 2);
        sc_pow_65537(d, x.limbs, m.limbs, n);
        put_result("public", &x, &y, &m, d, n);
        sc_bn_mul(d, x.limbs, n, y.limbs, n);
        put_result("product", &x, &y, &m, d, 2 * n);
        sc_modulus_init(&mod, m.limbs, n);
        take_below(&y, &m, 1, 2);
        sc_mont_to(d, x.limbs, &mod);
        sc_mont_mul(d, d, y.limbs, &mod);
        put_result("times", &x, &y, &m, d, n);
        sc_bn_inverse_65537(d, m.limbs, n);
        put_result("inverse", &x, &y, &m, d, n);
        n = (n + 1) / 2;
        take_number(&x, 2 * n, 0);
        take_number(&m, n, 2);
        m.bytes[0] |= 1;                /* not 0; perhaps even */
        take_bytes(&m, 2);
        if (i % 4 == 1) {
            sc_bn_mod(d, x.limbs, 2 * n, m.limbs, n);
            put_result("mod", &x, &x, &m, d, n);
        }
    }
}

/* Both ends of a conversation. */
enum { CLIENT = 0, SERVER = 1 };
static const char *const side_name[2] = { "client", "server" };
static sc_channel end_of[2];
static sc_server server;

static int let_in(void *ctx, const sc_public_key *key)
{
    (void)ctx;
    return sc_public_check(key);
}

static void put_value(void *ctx, const char *sender, const char *name,
                      const uint8_t *bytes, size_t len)
{
    (void)sender;
    if (strstr(name, "header") != NULL)
        return;
    printf("value %s", (const char *)ctx);
    for (putchar(' '); *name != '\0'; name++)
        putchar(*name == ' ' ? '_' : *name);
    put_hex(bytes, len);
    putchar('\n');
}

/* tell: side has said this frame; what the other says to it. */
static size_t tell(int side, uint8_t *frame, size_t len, uint8_t *reply,
                   sc_event *event)
{
    size_t frame_len = 0, reply_len = 0;
    printf("frame %s", side_name[side]);
    put_hex(frame, len);
    putchar('\n');
    need(sc_frame_len(&end_of[!side], frame, &frame_len) == SC_OK
         && frame_len == len && sc_input(&end_of[!side], frame, len, event,
                                         reply, &reply_len) == SC_OK,
         "sc_input");
    return reply_len;
}

static void one_record(int side, int more, size_t len)
{
    static uint8_t frame[SC_FRAME_MAX], reply[SC_REPLY_MAX];
    const uint8_t *plain = text(len);
    sc_event event;
    size_t frame_len;
    printf("plain %s %s", side_name[side], more ? "more" : "last");
    put_hex(plain, len);
    putchar('\n');
    need(sc_seal(&end_of[side], more, plain, len, frame, &frame_len) == SC_OK,
         "sc_seal");
    need(tell(side, frame, frame_len, reply, &event) == 0
         && event.kind == (more ? SC_EVENT_PART : SC_EVENT_MESSAGE)
         && event.data_len == len
         && (len == 0 || memcmp(event.data, plain, len) == 0),
         "what arrived is not what was sent");
}

/* many_records: n of them, of one byte each, that are not shown. */
static void many_records(int side, unsigned n)
{
    uint8_t frame[32], reply[SC_REPLY_MAX], zero = 0;
    sc_event event;
    size_t frame_len, reply_len;
    printf("skip %s %u\n", side_name[side], n);
    for (; n > 0; n--)
        need(sc_seal(&end_of[side], 0, &zero, 1, frame, &frame_len) == SC_OK
             && sc_input(&end_of[!side], frame, frame_len, &event, reply,
                         &reply_len) == SC_OK, "a record");
}

static void records(int is_long)
{
    static const size_t lengths[] = { 0, 1, 63, 64, 65, 512, 1000, 16384 };
    uint8_t frame[SC_CLOSE_LEN], reply[SC_REPLY_MAX];
    sc_event event;
    size_t i, len;
    int side;
    for (i = 0; i < 10; i++) {
        len = i < 2 ? lengths[below(8)] : below(300);
        one_record((int)below(2), 0, len);
        if (i % 5 == 4) {
            side = (int)below(2);
            one_record(side, 1, 1 + below(200));
            one_record(side, 1, 1);
            one_record(side, 0, below(200));
        }
    }
    for (side = 0; is_long && side < 2; side++) {
        many_records(side, 65534 - end_of[side].sending.counter);
        for (i = 0; i < 4; i++)         /* the key changes among these */
            one_record(side, 0, below(100));
    }
    for (side = 0; side < 2; side++) {
        need(sc_shut(&end_of[side], frame, &len) == SC_OK, "sc_shut");
        printf("plain %s close 00\n", side_name[side]);
        need(tell(side, frame, len, reply, &event) == 0
             && event.kind == SC_EVENT_CLOSED, "CLOSE");
    }
}

/* One conversation of the client key, or none, with the host key; the others
 * are tried in turn.  One in four is long enough for new keys. */
static void one_session(size_t number)
{
    static uint8_t said[2][SC_FRAME_MAX];
    sc_client_options client;
    sc_server_options options;
    sc_event event;
    size_t short_k = number % 2, host_k = number % n_keys, len = 0;
    size_t client_k = below(n_keys);
    int side = CLIENT;
    if (host_k == short_k)
        host_k = !short_k;
    memset(&client, 0, sizeof client);
    memset(&options, 0, sizeof options);
    client.accept_any_host_insecure = 1;
    client.identity = number % 3 ? &keys[client_k].ours : NULL;
    client.trace = options.trace = put_value;
    client.trace_ctx = (void *)(uintptr_t)side_name[CLIENT];
    options.trace_ctx = (void *)(uintptr_t)side_name[SERVER];
    options.host_key = &keys[host_k].ours;
    options.authorise = let_in;
    printf("session %u\nkeys %s %s %s\n", (unsigned)number, keys[host_k].path,
           keys[short_k].path, number % 3 ? keys[client_k].path : "-");
    need(sc_server_init_with(&server, &options, &keys[short_k].ours, 1) == SC_OK
         && sc_server_accept(&end_of[SERVER], &server) == SC_OK
         && sc_client_init(&end_of[CLIENT], &client, said[0], &len) == SC_OK,
         "a session");
    end_of[CLIENT].random = end_of[SERVER].random = draw;
    for (; len > 0; side = !side)
        len = tell(side, said[side], len, said[!side], &event);
    need(sc_ready(&end_of[0]) && sc_ready(&end_of[1]), "a handshake");
    fputs("ready", stdout);
    put_hex(sc_session_id(&end_of[CLIENT]), 32);
    put_hex(sc_session_id(&end_of[SERVER]), 32);
    putchar('\n');
    end_of[CLIENT].trace = end_of[SERVER].trace = NULL;
    records(number % 4 == 3);
    sc_end(&end_of[CLIENT]);
    sc_end(&end_of[SERVER]);
    sc_server_end(&server);
}

/* ---- 8. main ------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(size_t amount);
} sections[] = {
    { "SHA-256", section_sha256 },
    { "HMAC", section_hmac },
    { "HKDF", section_hkdf },
    { "ChaCha20", section_chacha20 },
    { "Poly1305", section_poly1305 },
    { "AEAD", section_aead },
    { "sums, products, remainders", section_arithmetic },
    { "powers", section_powers },
    { "powers of 65537", section_public_power },
    { "RSA without padding", section_rsa },
    { "OAEP, ours opened by them", section_oaep_ours },
    { "OAEP, theirs opened by us", section_oaep_theirs },
    { "OAEP blocks with a fault", section_blocks }
};

static int bites(void (*run)(size_t amount))
{
    spoil_in = 1 + below(40);
    if (setjmp(found_spoiled) != 0)
        return 1;
    run(1);
    return 0;
}

/* kernel: what does the work in this build, on this processor. */
static const char *kernel(void)
{
#ifdef SC_AVX2
    if (__builtin_cpu_supports("avx2"))
        return "AVX2";
#endif
    return SC_WORD_BITS == 64 ? "portable, 64 bits" : "portable, 32 bits";
}

/* check: each section finds one wrong bit in one of the first answers; then it
 * is run in earnest. */
static int check(size_t amount)
{
    const size_t n = sizeof sections / sizeof *sections;
    size_t i, n_bit = 0;
    int bad = 0;
    printf("kernel: %s\n", kernel());
    for (i = 0; i < n; i++) {
        if (bites(sections[i].run))
            n_bit++;
        else
            printf("    a wrong bit was not found: %s\n", sections[i].name);
        spoil_in = 0;
        n_passed = n_failed = 0;
        sections[i].run(amount);
        printf("%s: %lu passed, %lu failed\n", sections[i].name, n_passed,
               n_failed);
        fflush(stdout);
        bad |= n_failed > 0 || n_passed == 0;
    }
    printf("control: %u passed, %u failed\n", (unsigned)n_bit,
           (unsigned)(n - n_bit));
    return bad || n_bit < n;
}

static void open_peer(void)
{
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_MAC *poly = EVP_MAC_fetch(NULL, "POLY1305", NULL);
    size_t i;
    need(hkdf != NULL && poly != NULL, "HKDF or POLY1305");
    kdf = EVP_KDF_CTX_new(hkdf);
    mac = EVP_MAC_CTX_new(poly);
    cipher = EVP_CIPHER_CTX_new();
    bn_ctx = BN_CTX_new();
    need(kdf != NULL && mac != NULL && cipher != NULL && bn_ctx != NULL,
         "no memory");
    for (i = 0; i < sizeof bn / sizeof *bn; i++)
        need((bn[i] = BN_new()) != NULL, "no memory");
    EVP_KDF_free(hkdf);
    EVP_MAC_free(poly);
}

int main(int argc, char **argv)
{
    size_t amount, i;
    if (argc < 4) {
        fprintf(stderr, "known: see the top of tests/known.c\n");
        return 2;
    }
    random_state = strtoull(argv[2], NULL, 10);
    amount = strtoul(argv[3], NULL, 10);
    open_peer();
    if (strcmp(argv[1], "numbers") == 0) {
        numbers(amount);
        return 0;
    }
    keys_read(argv + 4);
    if (strcmp(argv[1], "check") == 0)
        return check(amount);
    if (strcmp(argv[1], "sessions") == 0)
        for (i = 0; i < amount; i++)
            one_session(i);
    return 0;
}
