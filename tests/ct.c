/* ct.c: which functions let time depend on a secret?  Each row of the table at
 * the end names one, what its comment says of time (taken from there by hand),
 * and what is to be seen when it runs under valgrind with its secrets marked
 * (ct.h).
 *
 *   ct keys FOLDER SEED          make the keys that the rows use
 *   ct path                      AVX2, or portable
 *   ct run FOLDER SEED HOW [ROW] all rows, or those whose name begins with ROW.
 *                                HOW: marked    the library was compiled with
 *                                               ct.h: its VERDICTs are marked
 *                                     shipped   without: as everybody gets it
 *                                     and -few, -most or -all of the cases
 *
 * Use:     by ct.sh, which compiles this file with -include tests/ct.h.
 * Status:  0 every row as expected, 1 not so, 2 usage.
 *
 * Prints a line a row: ok or FAILED, its name, what its comment says of time,
 * what is expected, reports seen, where they may be, tabs between; then "done".
 * A row must also prove that it tried something: what it gives has to be secret
 * still (reached), and right (that). */

#define SECCHAN_INTERNAL
#include "m3.h"

#include <stdio.h>
#include <stdlib.h>

enum { N_KEYS = 4, SHORT_KEY = 4 };
static const unsigned key_bits[N_KEYS + 1] = { 2048, 2056, 3072, 4096, 2048 };

static random_stream stream;
static sc_private_key keys[N_KEYS + 1];
static char pem[N_KEYS + 1][SC_PEM_MAX];
static size_t pem_len[N_KEYS + 1];
static const char *folder;
static int thorough, is_shipped;        /* thorough: 0 few cases, 1, 2 all */
static int n_wrong;                     /* answers in this row */
static volatile unsigned sink;          /* what the compiler must not drop */

/* ---- 1. secrets ---------------------------------------------------------- */

static void mark_key(sc_private_key *key)
{
    SC_SECRET(key->p, sizeof key->p);
    SC_SECRET(key->q, sizeof key->q);
    SC_SECRET(key->dp, sizeof key->dp);
    SC_SECRET(key->dq, sizeof key->dq);
    SC_SECRET(key->qinv, sizeof key->qinv);
}

static void fill(void *out, size_t len)
{
    (void)random_bytes(&stream, (uint8_t *)out, len);
}

/* secret_random: the library's random source, when it is compiled without
 * marks of its own. */
static int secret_random(void *ctx, uint8_t *out, size_t len)
{
    (void)ctx;
    fill(out, len);
    SC_SECRET(out, len);
    return SC_OK;
}

/* that: an answer is right.  It may be looked at now. */
static void that(int is_right, const char *what)
{
    SC_PUBLIC(&is_right, sizeof is_right);
    if (is_right)
        return;
    n_wrong++;
    printf("wrong: %s\n", what);
}

/* reached: some of these bytes are secret: the marks went all the way. */
static void reached(const void *p, size_t len, const char *what)
{
    uint8_t bits[64], any = 0;
    size_t i;
    len = len < sizeof bits ? len : sizeof bits;
    memset(bits, 0, sizeof bits);
    if (VALGRIND_GET_VBITS(p, bits, len) != 1)
        len = 0;
    for (i = 0; i < len; i++)
        any |= bits[i];
    if (any == 0) {
        n_wrong++;
        printf("wrong: no secret came to %s\n", what);
    }
}

static sc_word reveal(sc_word mask)
{
    SC_PUBLIC(&mask, sizeof mask);
    return mask;
}

/* ---- 2. leaks made on purpose -------------------------------------------- */

static void leak_branch(const sc_private_key *key)
{
    uint8_t s[2];
    (void)key;
    fill(s, sizeof s);
    SC_SECRET(s, sizeof s);
    if (s[0] > s[1])
        sink++;
}

static void leak_index(const sc_private_key *key)
{
    uint8_t s, table[256];
    (void)key;
    fill(table, sizeof table);
    fill(&s, 1);
    SC_SECRET(&s, 1);
    sink += *(volatile uint8_t *)&table[s];
}

static void leak_early_exit(const sc_private_key *key)
{
    uint8_t a[16], x[16];
    size_t i = 0;
    (void)key;
    fill(a, sizeof a);
    memcpy(x, a, sizeof x);
    SC_SECRET(a, sizeof a);
    while (i < sizeof a && a[i] == x[i])
        i++;
    sink += (unsigned)i;
}

/* leak_division: valgrind takes a quotient like any other result.  ct.sh looks
 * for the instruction instead. */
static void leak_division(const sc_private_key *key)
{
    uint32_t s;
    (void)key;
    fill(&s, sizeof s);
    s |= 1;
    SC_SECRET(&s, sizeof s);
    sink += 0xffffffff / s;
    SC_PUBLIC(&s, sizeof s);
}

/* ---- 3. bignum.c --------------------------------------------------------- */

static struct {
    sc_word x[2 * SC_LIMBS_MAX], y[SC_LIMBS_MAX], m[SC_LIMBS_MAX];
    sc_word d[2 * SC_LIMBS_MAX];
    sc_modulus mod;
    size_t n, half;
} b;

/* operands: x, y < m, all secret; m is a prime, and b.mod is ready for it. */
static void operands(const sc_private_key *key)
{
    uint8_t bytes[SC_PRIME_MAX];
    memset(&b, 0, sizeof b);
    b.half = (key->pub.n_len + 1) / 2;
    b.n = SC_LIMBS(b.half);
    fill(bytes, b.half);
    bytes[0] &= 3;
    sc_bn_decode(b.x, b.n, bytes, b.half);
    fill(bytes, b.half);
    bytes[0] &= 3;
    sc_bn_decode(b.y, b.n, bytes, b.half);
    sc_bn_decode(b.m, b.n, key->p, b.half);
    sc_modulus_init(&b.mod, b.m, b.n);
    SC_SECRET(b.x, sizeof b.x);
    SC_SECRET(b.y, sizeof b.y);
    SC_SECRET(b.m, sizeof b.m);
    SC_SECRET(&b.mod.m0inv, sizeof b.mod.m0inv);
    SC_SECRET(b.mod.m, sizeof b.mod.m);
    SC_SECRET(b.mod.rr, sizeof b.mod.rr);
}

/* BN_ROW: a row that does something with b and leaves d secret. */
#define BN_ROW(name, ...)                                                   \
    static void name(const sc_private_key *key)                             \
    {                                                                       \
        operands(key);                                                      \
        __VA_ARGS__;                                                        \
        reached(b.d, b.n * sizeof *b.d, "d");                               \
    }

BN_ROW(bn_decode, sc_bn_decode(b.d, b.n, (const uint8_t *)b.x, b.half))
BN_ROW(bn_encode, sc_bn_encode((uint8_t *)b.d, b.half, b.x, b.n))
BN_ROW(bn_add, b.d[b.n] = sc_bn_add(b.d, b.x, b.y, b.n))
BN_ROW(bn_sub, b.d[b.n] = sc_bn_sub(b.d, b.x, b.y, b.n))
BN_ROW(bn_select, sc_bn_select(b.d, sc_mask_bit(b.x[0] & 1), b.x, b.y, b.n))
BN_ROW(bn_is_zero, b.d[0] = sc_bn_is_zero(b.x, b.n))
BN_ROW(bn_equal, b.d[0] = sc_bn_equal(b.x, b.y, b.n))
BN_ROW(bn_add_mod, sc_bn_add_mod(b.d, b.x, b.y, b.m, b.n))
BN_ROW(bn_sub_mod, sc_bn_sub_mod(b.d, b.x, b.y, b.m, b.n))
BN_ROW(bn_mul, sc_bn_mul(b.d, b.x, b.n, b.y, b.n))
BN_ROW(bn_mod, b.m[0] &= ~(sc_word)1, sc_bn_mod(b.d, b.x, 2 * b.n, b.m, b.n))
BN_ROW(bn_residue, b.d[0] = sc_bn_residue(b.x, b.n, b.y[0] | 1))
BN_ROW(bn_mod_65537, b.d[0] = sc_bn_mod_65537(b.x, b.n))
BN_ROW(bn_inverse_65537, sc_bn_inverse_65537(b.d, b.x, b.n))
BN_ROW(modulus_init, sc_modulus_init(&b.mod, b.m, b.n),
       memcpy(b.d, b.mod.rr, sizeof b.mod.rr))
BN_ROW(mont_mul, sc_mont_mul(b.d, b.x, b.y, &b.mod))
BN_ROW(mont_to, sc_mont_to(b.d, b.x, &b.mod))
BN_ROW(mont_from, sc_mont_from(b.d, b.x, &b.mod))
BN_ROW(mont_one, sc_mont_one(b.d, &b.mod))
BN_ROW(mont_pow, sc_mont_pow(b.d, b.x, b.y, &b.mod))
BN_ROW(mont_pow_65536, sc_mont_pow_65536(b.d, b.x, &b.mod))
BN_ROW(mont_pow_pair, sc_mont_pow_pair(b.d, b.x, b.y, &b.mod, b.d + b.n, b.y,
                                       b.x, &b.mod))
BN_ROW(pow_65537, SC_PUBLIC(b.m, sizeof b.m),
       sc_pow_65537(b.d, b.x, b.m, b.n))
BN_ROW(pow_65537_secret_modulus, sc_pow_65537(b.d, b.x, b.m, b.n))

/* bytes_equal: equal, and with one byte different, at every place. */
static void bytes_equal(const sc_private_key *key)
{
    uint8_t tag[SC_TAG_LEN], other[SC_TAG_LEN];
    sc_word ok;
    size_t i;
    (void)key;
    for (i = 0; i <= sizeof tag; i++) {
        fill(tag, sizeof tag);
        memcpy(other, tag, sizeof tag);
        if (i < sizeof tag)
            other[i] ^= (uint8_t)(1 << i % 8);
        SC_SECRET(tag, sizeof tag);
        ok = sc_bytes_equal(tag, other, sizeof tag);
        reached(&ok, sizeof ok, "the mask");
        that((reveal(ok) != 0) == (i == sizeof tag), "sc_bytes_equal");
    }
}

/* ---- 4. hashes and ciphers ----------------------------------------------- */

static uint8_t data[2100], box[2100], secret_key[32];

static void secret_data(void)
{
    fill(data, sizeof data);
    fill(secret_key, sizeof secret_key);
    SC_SECRET(data, sizeof data);
    SC_SECRET(secret_key, sizeof secret_key);
}

/* next_len: lengths around what the code below treats in different ways. */
static size_t next_len(size_t len)
{
    static const size_t step[] = { 1, 14, 1, 1, 46, 1, 1, 190, 1, 1, 190, 64,
                                   1, 512, 1, 1000 };
    size_t i, at = 0;
    for (i = 0; i < sizeof step / sizeof step[0]; i++) {
        at += step[i];
        if (at > len)
            return at;
    }
    return sizeof data;
}

static void sha256(const sc_private_key *key)
{
    sc_sha256 s;
    uint8_t digest[32];
    size_t len;
    (void)key;
    for (len = 1; len < sizeof data; len = next_len(len)) {
        secret_data();
        sc_sha256_init(&s);
        sc_sha256_add(&s, data, len);
        sc_sha256_end(&s, digest);
        reached(digest, sizeof digest, "the digest");
    }
}

static void hmac(const sc_private_key *key)
{
    uint8_t tag[32];
    (void)key;
    secret_data();
    sc_hmac(tag, data, 32, data + 64, 100);
    reached(tag, sizeof tag, "the tag");
    sc_hmac(tag, data, 100, data, 7);
    reached(tag, sizeof tag, "the tag");
}

static void hkdf(const sc_private_key *key)
{
    uint8_t out[100];
    (void)key;
    secret_data();
    sc_hkdf_extract(out, data, 32, data + 32, 64);
    reached(out, 32, "the key");
    sc_hkdf_expand(data, "info", 4, out, sizeof out);
    reached(out, sizeof out, "the key");
}

static void chacha20(const sc_private_key *key)
{
    static const uint8_t nonce[12] = { 1 };
    size_t len;
    (void)key;
    for (len = 1; len < 600; len = next_len(len)) {
        secret_data();
        sc_chacha20_xor(box, data, len, secret_key, nonce, 1);
        reached(box, len, "the ciphertext");
    }
}

static void poly1305(const sc_private_key *key)
{
    uint8_t tag[16];
    size_t len;
    (void)key;
    for (len = 0; len < 600; len = next_len(len)) {
        secret_data();
        sc_poly1305(tag, secret_key, data, len);
        reached(tag, sizeof tag, "the tag");
    }
}

/* aead_how: seal, open, open spoilt. */
static void aead_how(int how)
{
    static const uint8_t nonce[12] = { 1 };
    uint8_t tag[SC_TAG_LEN];
    size_t len;
    for (len = 0; len < sizeof data - SC_TAG_LEN; len = next_len(len)) {
        secret_data();
        sc_aead(box, tag, data, len, secret_key, nonce, data, 36,
                SC_AEAD_SEAL | how);
        reached(tag, sizeof tag, "the tag");
        SC_PUBLIC(box, sizeof box);
        sc_aead(box, tag, box, len, secret_key, nonce, data, 36,
                SC_AEAD_OPEN | how);
        reached(tag, sizeof tag, "the tag");
        SC_PUBLIC(box, len);
        SC_PUBLIC(data, len);
        that(memcmp(box, data, len) == 0, "sc_aead");
    }
}

static void aead(const sc_private_key *key)
{
    (void)key;
    aead_how(0);
}

static void aead_portable(const sc_private_key *key)
{
    (void)key;
    aead_how(SC_AEAD_PORTABLE);
}

static void aead_seal_open(const sc_private_key *key)
{
    static const uint8_t nonce[12] = { 1 };
    size_t len, spoilt;
    sc_word ok;
    (void)key;
    for (len = 0; len < 700; len = next_len(len)) {
        for (spoilt = 0; spoilt <= len + SC_TAG_LEN; spoilt += 1 + len / 3) {
            secret_data();
            sc_aead_seal(box, secret_key, nonce, NULL, 0, data, len);
            SC_PUBLIC(box, sizeof box);
            if (spoilt > 0)
                box[spoilt - 1] ^= 0x10;
            ok = sc_aead_open(box, secret_key, nonce, NULL, 0, box,
                              len + SC_TAG_LEN);
            reached(&ok, sizeof ok, "the mask");
            that((reveal(ok) != 0) == (spoilt == 0), "sc_aead_open");
        }
    }
}

/* ---- 5. rsa_mini.c ------------------------------------------------------- */

/* numbers: what is raised to the private power: ordinary, 0, 1, n - 1, n, all
 * ones; the last two are not below n. */
static void number(uint8_t *c, const sc_public_key *key, int which)
{
    size_t k = key->n_len;
    if (which < 0) {
        fill(c, k);
        c[0] &= 0x7f;
        return;
    }
    memset(c, which == 4 ? 0xff : 0, k);
    if (which == 1)
        c[k - 1] = 1;
    if (which == 2 || which == 3)
        memcpy(c, key->n, k);
    if (which == 2)
        c[k - 1]--;                     /* n is odd */
}

static void rsa_private(const sc_private_key *key)
{
    sc_private_key k = *key;
    uint8_t c[SC_MODULUS_MAX], m[SC_MODULUS_MAX];
    sc_word ok;
    int i;
    mark_key(&k);
    for (i = -1; i < (thorough > 0 || key == keys ? 5 : 0); i++) {
        number(c, &key->pub, i);
        that(sc_rsa_private(&k, c, m, &ok, secret_random, NULL) == SC_OK,
             "sc_rsa_private");
        reached(&ok, sizeof ok, "the mask");
        reached(m, key->pub.n_len, "the message");
        that((reveal(ok) != 0) == (i < 3), "sc_rsa_private: the mask");
    }
}

static void rsa_public(const sc_private_key *key)
{
    uint8_t x[SC_MODULUS_MAX], y[SC_MODULUS_MAX];
    number(x, &key->pub, -1);
    SC_SECRET(x, sizeof x);
    sc_rsa_public(&key->pub, x, y);
    reached(y, key->pub.n_len, "the power");
}

static void oaep_encrypt(const sc_private_key *key)
{
    uint8_t c[SC_MODULUS_MAX];
    size_t len, max = key->pub.n_len - SC_OAEP_OVERHEAD;
    for (len = 0; len <= max; len += max / 2) {
        secret_data();
        that(sc_oaep_encrypt(&key->pub, "label", 5, data, len, c,
                             secret_random, NULL) == SC_OK, "sc_oaep_encrypt");
        if (is_shipped)                 /* else it has been made public */
            reached(c, key->pub.n_len, "the ciphertext");
    }
}

/* oaep_open: c is opened, well or not, and time does not say which. */
static void oaep_open(const sc_private_key *key, const uint8_t *c,
                      const uint8_t *want, const char *what)
{
    static const uint8_t zeros[32] = { 0 };
    uint8_t opened[32];
    sc_word ok;
    that(sc_oaep_decrypt(key, "label", 5, c, opened, 32, &ok, secret_random,
                         NULL) == SC_OK, what);
    reached(&ok, sizeof ok, "the mask");
    reached(opened, 32, "the message");
    that((reveal(ok) != 0) == (want != NULL), what);
    SC_PUBLIC(opened, sizeof opened);
    that(memcmp(opened, want == NULL ? zeros : want, 32) == 0, what);
}

static void oaep_decrypt(const sc_private_key *key)
{
    sc_private_key k = *key;
    uint8_t c[SC_MODULUS_MAX], msg[32];
    size_t i, step = thorough == 2 || (thorough == 1 && key == keys) ? 1 : 5;
    int which;
    if (thorough == 0 && key != keys)
        return;
    mark_key(&k);
    for (i = 0; i < N_BLOCK_KINDS; i += step) {
        fill(msg, sizeof msg);
        block_encrypt(c, &key->pub, "label", 5, msg, &block_kinds[i], &stream);
        oaep_open(&k, c, i == BLOCK_GOOD ? msg : NULL, block_kinds[i].name);
        if (i == BLOCK_GOOD) {
            c[key->pub.n_len / 2] ^= 1;
            oaep_open(&k, c, NULL, "a bit of the ciphertext wrong");
        }
    }
    for (which = thorough > 0 ? -1 : 3; which < 5; which++) {
        number(c, &key->pub, which);
        oaep_open(&k, c, NULL, "a ciphertext of no block");
    }
}

/* key_random: where a candidate is asked for, p or q of a key that is there
 * already; else, for the bases of the tests, random bytes. */
typedef struct {
    const sc_private_key *key;
    const sc_keygen *g;
    int n_candidates;                   /* the next calls of this step */
} key_again;

static int key_random(void *again, uint8_t *out, size_t len)
{
    key_again *a = (key_again *)again;
    if (a->n_candidates-- > 0)
        memcpy(out, a->g->stage == 0 ? a->key->p : a->key->q, len);
    else
        fill(out, len);
    SC_SECRET(out, len);
    return SC_OK;
}

static void keygen_accepted(const sc_private_key *key)
{
    sc_private_key made;
    sc_keygen g;
    char mark;
    key_again again;
    int e;
    if (thorough == 0 && key != keys)
        return;
    again.key = key;
    again.g = &g;
    e = sc_keygen_init(&g, (unsigned)key->pub.n_len * 8, key_random, &again);
    that(e == SC_OK, "sc_keygen_init");
    do {
        again.n_candidates = g.rounds == 0 ? 2 : 0;
        e = sc_keygen_step(&g, &made, &mark);
        SC_PUBLIC(&e, sizeof e);        /* a compiler may select, not branch */
        SC_PUBLIC(&g.rounds, sizeof g.rounds);
    } while (e == SC_MORE);
    that(e == SC_OK, "sc_keygen_step");
    reached(made.p, 64, "p");
    reached(made.dp, 64, "dp");
    reached(made.qinv, 64, "qinv");
    SC_PUBLIC(&made, sizeof made);
    that(memcmp(&made, key, sizeof made) == 0, "sc_keygen_step: another key");
}

/* keygen_any: with the candidates that come, most of them rejected. */
static void keygen_any(const sc_private_key *key)
{
    sc_private_key made;
    sc_keygen g;
    char mark;
    int e = sc_keygen_init(&g, 2048, secret_random, NULL);
    (void)key;
    that(e == SC_OK, "sc_keygen_init");
    do {
        e = sc_keygen_step(&g, &made, &mark);
        SC_PUBLIC(&e, sizeof e);
    } while (e == SC_MORE);
    that(e == SC_OK, "sc_keygen_step");
    reached(made.p, 64, "p");
}

static void key_check(const sc_private_key *key)
{
    sc_private_key k = *key;
    mark_key(&k);
    that(sc_key_check(&k) == SC_OK, "sc_key_check");
    k.dp[100] ^= 1;
    that(sc_key_check(&k) == SC_ERR_KEY_CHECK, "sc_key_check: dp");
    k.p[99] ^= 1;
    that(sc_key_check(&k) == SC_ERR_KEY_CHECK, "sc_key_check: p");
}

static void key_write(const sc_private_key *key)
{
    sc_private_key k = *key;
    char out[SC_PEM_MAX];
    size_t len;
    mark_key(&k);
    that(sc_key_write_pem(&k, out, sizeof out, &len) == SC_OK,
         "sc_key_write_pem");
    reached(out + len / 2, 64, "the text");
    SC_PUBLIC(out, sizeof out);
    that(memcmp(out, pem[key - keys], len) == 0, "sc_key_write_pem: the text");
}

/* key_read: a good key file; then one with a digit of p wrong. */
static void key_read(const sc_private_key *key)
{
    sc_private_key k;
    char text[SC_PEM_MAX];
    size_t i = (size_t)(key - keys), len = pem_len[i];
    int e;
    memcpy(text, pem[i], len);
    SC_SECRET(text, len);
    e = sc_key_read_pem(&k, text, len);
    that(e == SC_OK, "sc_key_read_pem");
    reached(k.p, 64, "p");
    reached(k.dq, 64, "dq");
    memcpy(text, pem[i], len);
    text[len * 6 / 10] = text[len * 6 / 10] == 'A' ? 'B' : 'A';
    SC_SECRET(text, len);
    e = sc_key_read_pem(&k, text, len);
    that(e == SC_ERR_KEY_CHECK, "sc_key_read_pem: a digit wrong");
}

#ifndef SC_NO_OS
/* key_load: the files of FOLDER by other programs, in other formats, if they
 * are there. */
static void key_load(const sc_private_key *key)
{
    static const char *const form[] = { "pem", "p8", "own" };
    char path[1000];
    sc_private_key k;
    FILE *file;
    size_t i;
    for (i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%u.%s", folder,
                 (unsigned)(8 * key->pub.n_len), form[i]);
        file = fopen(path, "rb");
        if (file == NULL && i > 0)
            continue;
        if (file != NULL)
            fclose(file);
        that(sc_key_load(&k, path) == SC_OK, path);
        if (!is_shipped)
            reached(k.p, 64, "p");
    }
}
#endif

static void base64(const sc_private_key *key)
{
    char text[200];
    uint8_t back[150];
    size_t len, text_len, back_len;
    (void)key;
    for (len = 46; len < 50; len++) {
        secret_data();
        text_len = sc_base64_write(text, data, len);
        reached(text, text_len, "the digits");
        that(sc_base64_read(back, sizeof back, &back_len, text, text_len)
             == SC_OK, "sc_base64_read");
        reached(back, len, "the bytes");
        SC_PUBLIC(back, sizeof back);
        SC_PUBLIC(data, sizeof data);
        that(back_len == len && memcmp(back, data, len) == 0, "base64");
    }
}

static void base64_write(const sc_private_key *key)
{
    char text[200];
    (void)key;
    secret_data();
    (void)sc_base64_write(text, data, 100);
    reached(text, 64, "the digits");
}

/* ---- 6. secchan.c -------------------------------------------------------- */

static sc_server server;
static sc_server_options server_options;
static sc_private_key host;
static sc_channel at_server, at_client;
static sc_event event;
static uint8_t to_server[SC_FRAME_MAX], to_client[SC_FRAME_MAX];
static size_t to_server_len, to_client_len;

static int says_yes(void *ctx, const sc_public_key *key)
{
    (void)ctx;
    (void)key;
    return SC_OK;
}

/* start: a server whose private keys are secret, and M2 in to_client. */
static void start(const sc_private_key *key)
{
    static const uint8_t m1[4] = { 1, 1, 0, 0 };
    uint8_t frame[4];
    host = *key;
    memset(&server_options, 0, sizeof server_options);
    server_options.host_key = &host;
    server_options.authorise = says_yes;
    that(sc_server_init_with(&server, &server_options, &keys[SHORT_KEY], 0)
         == SC_OK, "sc_server_init_with");
    mark_key(&host);
    mark_key(&server.short_key[0].key);
    memcpy(frame, m1, sizeof m1);
    that(sc_server_accept(&at_server, &server) == SC_OK, "sc_server_accept");
    that(sc_input(&at_server, frame, 4, &event, to_client, &to_client_len)
         == SC_OK, "M1");
    at_server.random = secret_random;
}

/* take_m3: what the server makes of one M3, of which bit `flip` is turned over
 * (-1: none).  Only a good one is answered. */
static void take_m3(const sc_private_key *key, const m3_kind *kind, long flip)
{
    static const uint8_t m1[4] = { 1, 1, 0, 0 };
    int is_good = kind->block1 == BLOCK_GOOD && kind->block2 == BLOCK_GOOD
                  && kind->box == BOX_GOOD && flip < 0;
    int e;
    start(key);
    to_server_len = m3_make(to_server, m1, to_client, to_client_len, kind,
                            &stream);
    SC_PUBLIC(to_server, to_server_len);
    if (flip >= 0)
        to_server[flip / 8] ^= (uint8_t)(1 << flip % 8);
    e = sc_input(&at_server, to_server, to_server_len, &event, to_client,
                 &to_client_len);
    SC_PUBLIC(&e, sizeof e);
    SC_PUBLIC(&to_client_len, sizeof to_client_len);
    that(e == (is_good ? SC_OK : SC_ERR_HANDSHAKE), "M3: the result");
    that(to_client_len == (is_good ? 20 : 0), "M3: the answer");
    if (is_good)
        reached(at_server.sending.key, 32, "the server's key");
    sc_end(&at_server);
}

static void m3_good(const sc_private_key *key)
{
    static const m3_kind good = { BLOCK_GOOD, BLOCK_GOOD, BOX_GOOD };
    if (thorough > 0 || key == keys)
        take_m3(key, &good, -1);
}

/* m3_blocks: C1, C2 or both are blocks of a bad kind; the box is right for what
 * they say, or for what the server puts in their place. */
static void m3_blocks(const sc_private_key *key)
{
    size_t i, step = thorough == 0 ? 11
                   : thorough == 2 || key == keys ? 1 : 7;
    m3_kind kind = { BLOCK_GOOD, BLOCK_GOOD, BOX_BAD_TAG };
    int bad;
    if (thorough == 0 && key != keys)
        return;
    take_m3(key, &kind, -1);
    for (i = 1; i < N_BLOCK_KINDS; i += step) {
        bad = (int)i;
        kind.box = i % 2 == 0 ? BOX_ZEROS : BOX_GOOD;
        kind.block1 = bad;
        kind.block2 = BLOCK_GOOD;
        take_m3(key, &kind, -1);
        kind.block1 = BLOCK_GOOD;
        kind.block2 = bad;
        take_m3(key, &kind, -1);
        if (thorough == 2 || i == 1) {
            kind.block1 = bad;
            kind.block2 = bad;
            kind.box = BOX_ZEROS;
            take_m3(key, &kind, -1);
        }
    }
}

/* m3_bits: a bit in the first, the middle and the last byte of C1, C2 and the
 * tag; with -all, in each byte; with -few, only the last one. */
static void m3_bits(const sc_private_key *key)
{
    static const m3_kind good = { BLOCK_GOOD, BLOCK_GOOD, BOX_GOOD };
    long c1 = (long)key->pub.n_len, ends[4], at, step;
    int part;
    if (thorough == 0 && key != keys)
        return;
    ends[0] = 4;
    ends[1] = 4 + c1;
    ends[2] = ends[1] + 256;
    ends[3] = ends[2] + SC_TAG_LEN;
    for (part = 0; part < 3; part++) {
        step = thorough == 2 && key == keys ? 1
             : (ends[part + 1] - ends[part]) / 2;
        for (at = ends[part]; thorough > 0 && at < ends[part + 1]; at += step)
            take_m3(key, &good, 8 * at + at % 8);
        take_m3(key, &good, 8 * ends[part + 1] - 1);
    }
}

/* turn: one frame goes over; the first error is what a spoilt one gets. */
static int turn(sc_channel *ch, uint8_t *in, size_t in_len, long flip,
                uint8_t *out, size_t *out_len)
{
    if (flip >= 0)
        in[flip] ^= 4;
    return sc_input(ch, in, in_len, &event, out, out_len);
}

/* talk: a whole conversation with a client that names a key, up to the frame
 * that is spoilt: 4 M4, 5 M5, 6 a record to the server; 0: none. */
static void talk(const sc_private_key *key, int spoilt, long at)
{
    static sc_private_key identity;
    sc_client_options options;
    int e;
    start(key);
    identity = keys[2];
    mark_key(&identity);
    memset(&options, 0, sizeof options);
    options.accept_any_host_insecure = 1;
    options.identity = &identity;
    that(sc_client_init(&at_client, &options, to_server, &to_server_len)
         == SC_OK, "sc_client_init");
    at_client.random = secret_random;
    e = turn(&at_client, to_client, to_client_len, -1, to_server,
             &to_server_len);
    e |= turn(&at_server, to_server, to_server_len, -1, to_client,
              &to_client_len);
    that(e == SC_OK, "M1 to M3");
    e = turn(&at_client, to_client, to_client_len, spoilt == 4 ? at : -1,
             to_server, &to_server_len);
    that(e == (spoilt == 4 ? SC_ERR_HANDSHAKE : SC_OK), "M4");
    if (e == SC_OK) {
        e = turn(&at_server, to_server, to_server_len, spoilt == 5 ? at : -1,
                 to_client, &to_client_len);
        that(e == (spoilt == 5 ? SC_ERR_HANDSHAKE : SC_OK), "M5");
    }
    if (e == SC_OK) {
        secret_data();
        (void)sc_seal(&at_client, 0, data, 700, to_server, &to_server_len);
        e = turn(&at_server, to_server, to_server_len, spoilt == 6 ? at : -1,
                 to_client, &to_client_len);
        that(e == (spoilt == 6 ? SC_ERR_RECORD : SC_OK), "a record");
        if (e == SC_OK)
            reached(event.data, event.data_len, "the plaintext");
        (void)sc_shut(&at_server, to_client, &to_client_len);
        e = turn(&at_client, to_client, to_client_len, -1, to_server,
                 &to_server_len);
        that(e == (spoilt == 6 ? SC_ERR_PEER_PROTOCOL : SC_OK), "CLOSE");
    }
    sc_end(&at_client);
    sc_end(&at_server);
}

static void conversation(const sc_private_key *key)
{
    if (thorough > 0 || key == keys)
        talk(key, 0, -1);
}

/* The first byte of each, the last, and in M4 one of the box between. */
static void m4_spoilt(const sc_private_key *key)
{
    talk(key, 4, 4);
    if (thorough > 0) {
        talk(key, 4, 200);
        talk(key, 4, 4 + 384 + 15);
    }
}

static void m5_spoilt(const sc_private_key *key)
{
    talk(key, 5, 19);
    if (thorough > 0)
        talk(key, 5, 4);
}

static void record_spoilt(const sc_private_key *key)
{
    talk(key, 6, 4 + 700 + 15);
    if (thorough > 0)
        talk(key, 6, 4);
}

/* ---- 7. what is not for secrets ------------------------------------------ */

static void public_equal(const sc_private_key *key)
{
    sc_public_key a = key->pub;
    SC_SECRET(a.n, sizeof a.n);
    sink += (unsigned)sc_public_equal(&a, &key->pub);
}

static void public_check(const sc_private_key *key)
{
    sc_public_key a = key->pub;
    SC_SECRET(a.n, sizeof a.n);
    sink += (unsigned)sc_public_check(&a);
}

static void public_read_line(const sc_private_key *key)
{
    char line[SC_PUBLIC_LINE_MAX];
    size_t len;
    sc_public_key a;
    (void)sc_public_write_line(&key->pub, "somebody", line, sizeof line, &len);
    SC_SECRET(line, len);
    sink += (unsigned)sc_public_read_line(&a, line, len);
}

static void randomart(const sc_private_key *key)
{
    sc_public_key a = key->pub;
    char out[SC_RANDOMART_MAX];
    SC_SECRET(a.n, sizeof a.n);
    sc_randomart(&a, out);
}

static void strerror_secret(const sc_private_key *key)
{
    int e = SC_ERR_RECORD;
    (void)key;
    SC_SECRET(&e, sizeof e);
    sink += (unsigned)sc_strerror(e)[0];
}

/* ---- 8. the table -------------------------------------------------------- */

/* What a row is expected to show:
 * CT       no report, either way.
 * VERDICT  with the library's marks none; without them some, and ct.sh sees to
 *          it that they all lie in these places, which the comments name.
 * MARKED   no report with the marks.  Not run without: what comes behind the
 *          first VERDICT handles lengths and public keys that are secret then.
 * BARE     a report without the marks; not run with them.
 * LEAK     a report, either way: the row is not for secrets.
 * UNSEEN   a leak, but none that valgrind reports.
 * keys     how many of the keys the row is run with; 0: it needs none. */
enum { CT, VERDICT, MARKED, BARE, LEAK, UNSEEN };
static const char *const verdict_words[] = {
    "CT", "VERDICT", "MARKED", "BARE", "LEAK", "UNSEEN"
};

typedef struct {
    const char *name, *time;
    int verdict;
    const char *places;
    int n_keys;
    void (*run)(const sc_private_key *key);
} row;

/* SIZE: the bit length of a prime.  Key generation learns what it asks for, and
 * bn_two_to_vartime is given n, of which nobody has said that it is public.
 * A compiler that has just seen a verdict to be 0 may take its register for the
 * next 0, and a loop then seems to count from it (gcc 12 -O1, -O3): hence
 * sc_bn_encode, and base64_value. */
#define SIZE "sc_modulus_init"
#define KEYGEN SIZE " has_small_factor too_close prime_test_passed" \
    " miller_rabin keygen_candidate keygen_search keygen_finish" \
    " sc_keygen_step bn_two_to_vartime sc_bn_encode"

static const row rows[] = {
    { "(a branch)", "none", LEAK, "", 0, leak_branch },
    { "(an index)", "none", LEAK, "", 0, leak_index },
    { "(an early exit)", "none", LEAK, "", 0, leak_early_exit },
    { "(a division)", "none", UNSEEN, "", 0, leak_division },

    { "sc_bn_decode", "CT(n, len)", CT, "", 4, bn_decode },
    { "sc_bn_encode", "CT(n, len)", CT, "", 4, bn_encode },
    { "sc_bn_add", "CT(n)", CT, "", 4, bn_add },
    { "sc_bn_sub", "CT(n)", CT, "", 4, bn_sub },
    { "sc_bn_select", "CT(n)", CT, "", 4, bn_select },
    { "sc_bn_is_zero", "CT(n)", CT, "", 4, bn_is_zero },
    { "sc_bn_equal", "CT(n)", CT, "", 4, bn_equal },
    { "sc_bytes_equal", "CT", CT, "", 0, bytes_equal },
    { "sc_bn_add_mod", "CT(n)", CT, "", 4, bn_add_mod },
    { "sc_bn_sub_mod", "CT(n)", CT, "", 4, bn_sub_mod },
    { "sc_bn_mul", "CT(sizes)", CT, "", 4, bn_mul },
    { "sc_bn_mod", "CT(x_n, n)", CT, "", 4, bn_mod },
    { "sc_bn_residue", "CT(n)", CT, "", 4, bn_residue },
    { "sc_bn_mod_65537", "CT(n)", CT, "", 4, bn_mod_65537 },
    { "sc_bn_inverse_65537", "CT(n)", CT, "", 4, bn_inverse_65537 },
    { "sc_modulus_init", "CT(n, bit length of m)", VERDICT, SIZE, 4,
      modulus_init },
    { "sc_mont_mul", "CT(n)", CT, "", 4, mont_mul },
    { "sc_mont_to", "CT(n)", CT, "", 4, mont_to },
    { "sc_mont_from", "CT(n)", CT, "", 4, mont_from },
    { "sc_mont_one", "CT(n)", CT, "", 4, mont_one },
    { "sc_mont_pow", "CT(n)", CT, "", 4, mont_pow },
    { "sc_mont_pow_65536", "CT(n)", CT, "", 4, mont_pow_65536 },
    { "sc_mont_pow_pair", "CT(n)", CT, "", 1, mont_pow_pair },
    { "sc_pow_65537", "CT(n, m)", CT, "", 4, pow_65537 },
    { "sc_pow_65537, m secret", "CT(n, m)", BARE, "", 4,
      pow_65537_secret_modulus },

    { "sc_sha256", "CT(len)", CT, "", 0, sha256 },
    { "sc_hmac", "CT(lengths)", CT, "", 0, hmac },
    { "sc_hkdf_extract, sc_hkdf_expand", "CT(lengths)", CT, "", 0, hkdf },
    { "sc_chacha20_xor", "CT(len)", CT, "", 0, chacha20 },
    { "sc_poly1305", "CT(msg_len)", CT, "", 0, poly1305 },
    { "sc_aead", "CT(lengths)", CT, "", 0, aead },
    { "sc_aead, portable", "CT(lengths)", CT, "", 0, aead_portable },
    { "sc_aead_seal, sc_aead_open", "CT(lengths)", CT, "", 0, aead_seal_open },

    { "sc_rsa_public", "CT(n)", CT, "", 4, rsa_public },
    { "sc_rsa_private", "CT(n_len)", VERDICT, SIZE, 4, rsa_private },
    { "sc_oaep_encrypt", "CT(sizes)", CT, "", 4, oaep_encrypt },
    { "sc_oaep_decrypt", "CT(sizes)", VERDICT, SIZE, 4, oaep_decrypt },
    { "sc_keygen_step, primes kept", "VERDICT", VERDICT, KEYGEN, 4,
      keygen_accepted },
    { "sc_key_check", "VERDICT", VERDICT, SIZE " sc_key_check", 4, key_check },
    { "sc_base64_write", "CT(len)", CT, "", 0, base64_write },
    { "sc_base64_read", "CT(length, layout)", VERDICT,
      "sc_base64_read base64_value", 0, base64 },
    { "sc_key_write_pem", "CT(layout, lengths)", MARKED, "", 4, key_write },
    { "sc_key_read_pem", "CT(layout, lengths)", MARKED, "", 4, key_read },
#ifndef SC_NO_OS
    { "sc_key_load", "CT(layout, lengths)", MARKED, "", 4, key_load },
#endif

    { "M3 at the server, good", "VERDICT", VERDICT, SIZE " server_open_m3", 4,
      m3_good },
    { "M3 at the server, blocks bad", "VERDICT", VERDICT,
      SIZE " server_open_m3", 4, m3_blocks },
    { "M3 at the server, bits wrong", "VERDICT", VERDICT,
      SIZE " server_open_m3", 4, m3_bits },
    { "M1 to CLOSE, client with a key", "VERDICT", MARKED, "", 4,
      conversation },
    { "M4 at the client, bits wrong", "VERDICT", MARKED, "", 1, m4_spoilt },
    { "M5 at the server, bits wrong", "VERDICT", MARKED, "", 1, m5_spoilt },
    { "a record, bits wrong", "VERDICT", MARKED, "", 1, record_spoilt },

    { "sc_public_equal", "none", LEAK, "", 1, public_equal },
    { "sc_public_check", "none", LEAK, "", 1, public_check },
    { "sc_public_read_line", "none", LEAK, "", 1, public_read_line },
    { "sc_randomart", "none", LEAK, "", 1, randomart },
    { "sc_strerror", "none", LEAK, "", 0, strerror_secret }
};

/* Rows that only -all runs. */
static const row slow_rows[] = {
    { "sc_keygen_step, as it comes", "VERDICT", MARKED, "", 0, keygen_any }
};

/* run_row: 1 if what was seen is what was expected. */
static int run_row(const row *r)
{
    int is_fine, i = 0;
    int wants_report = r->verdict == LEAK || r->verdict == BARE
                       || (is_shipped && r->verdict == VERDICT);
    unsigned before = VALGRIND_COUNT_ERRORS, n;
    if (r->verdict == (is_shipped ? MARKED : BARE))
        return 1;
    n_wrong = 0;
    VALGRIND_PRINTF("row %s\n", r->name);
    do
        r->run(&keys[i]);
    while (++i < r->n_keys);
    n = VALGRIND_COUNT_ERRORS - before;
    is_fine = n_wrong == 0 && (n > 0) == wants_report;
    printf("%s\t%s\t%s\t%s\t%u\t%s\n", is_fine ? "ok" : "FAILED", r->name,
           r->time, verdict_words[r->verdict], n, r->places);
    fflush(stdout);
    return is_fine;
}

static int run_rows(const row *r, size_t n, const char *name)
{
    size_t i;
    int is_fine = 1;
    for (i = 0; i < n; i++)
        if (strncmp(r[i].name, name, strlen(name)) == 0)
            is_fine &= run_row(&r[i]);
    return is_fine;
}

/* ---- 9. keys, main ------------------------------------------------------- */

static FILE *key_file(int i, const char *mode)
{
    char path[1000];
    snprintf(path, sizeof path, "%s/%s%u.pem", folder,
             i == SHORT_KEY ? "short" : "", key_bits[i]);
    return fopen(path, mode);
}

static int make_keys(void)
{
    sc_keygen g;
    FILE *file;
    char mark;
    int i, e;
    for (i = 0; i <= N_KEYS; i++) {
        e = sc_keygen_init(&g, key_bits[i], random_bytes, &stream);
        if (e == SC_OK)
            do
                e = sc_keygen_step(&g, &keys[i], &mark);
            while (e == SC_MORE);
        if (e == SC_OK)
            e = sc_key_write_pem(&keys[i], pem[i], sizeof pem[i], &pem_len[i]);
        file = e == SC_OK ? key_file(i, "wb") : NULL;
        if (file == NULL || fwrite(pem[i], 1, pem_len[i], file) != pem_len[i]
            || fclose(file) != 0)
            return 0;
    }
    return 1;
}

static int read_keys(void)
{
    FILE *file;
    int i;
    for (i = 0; i <= N_KEYS; i++) {
        file = key_file(i, "rb");
        if (file == NULL)
            return 0;
        pem_len[i] = fread(pem[i], 1, sizeof pem[i], file);
        fclose(file);
        if (sc_key_read_pem(&keys[i], pem[i], pem_len[i]) != SC_OK)
            return 0;
        SC_PUBLIC(pem[i], sizeof pem[i]);
        SC_PUBLIC(&keys[i], sizeof keys[i]);
    }
    return 1;
}

/* is_avx2: is the vector code compiled in, and does this processor, which may
 * be valgrind's, take it? */
static int is_avx2(void)
{
#ifdef SC_AVX2
    return __builtin_cpu_supports("avx2") != 0;
#else
    return 0;
#endif
}

int main(int argc, char **argv)
{
    const char *name = argc > 5 ? argv[5] : "";
    int is_fine;
    if (argc == 2 && strcmp(argv[1], "path") == 0) {
        puts(is_avx2() ? "AVX2" : "portable");
        return 0;
    }
    if (argc < 4)
        return 2;
    folder = argv[2];
    snprintf(stream.seed, sizeof stream.seed, "%s", argv[3]);
    if (strcmp(argv[1], "keys") == 0)
        return !make_keys();
    if (strcmp(argv[1], "run") != 0 || argc < 5)
        return 2;
    is_shipped = strncmp(argv[4], "shipped", 7) == 0;
    thorough = strstr(argv[4], "-all") != NULL ? 2
             : strstr(argv[4], "-most") != NULL;
    if (!RUNNING_ON_VALGRIND || !read_keys()) {
        puts("FAILED\tnot under valgrind, or no keys");
        return 1;
    }
    printf("path\t%s\n", is_avx2() ? "AVX2" : "portable");
    is_fine = run_rows(rows, sizeof rows / sizeof rows[0], name);
    if (thorough == 2)
        is_fine &= run_rows(slow_rows, sizeof slow_rows / sizeof slow_rows[0],
                            name);
    puts("done");
    return !is_fine;
}
