/* bench.c: how long this library takes, alone or beside others.
 * Map:    1 the clock, medians   2 what is measured   3 this library
 *         4 OpenSSL   5 libsodium   6 BearSSL   7 Mbed TLS   8 wolfSSL
 *         9 side by side   10 key generation   11 growth   12 over a network
 *         13 main
 * Usage:  bench [-r ROUNDS] [-k KEYS] [-t]          everything in one process
 *         bench -g [-r ROUNDS] [-t]                 cost as the work grows
 *         bench -l PORT [-c CLIENTS] [-s SECONDS] [-i KEYFILE]
 *                      handshakes with the secchan server on 127.0.0.1:PORT
 *         bench -e PORT [-c CLIENTS]   echo times there, all others idle; then
 *                      holds the connections until standard input ends
 *         -t: for programs: tab-separated, see print_line.
 * Needs:  POSIX.1-2008; with BENCH_COMPARE also sections 4 to 8's libraries.
 *
 * How it is fair: every library does the same work on the same bytes, and its
 * result is compared with ours before anything is timed.  The libraries take
 * turns within each round, so that a slow moment of the machine hits all; a
 * time is the median over the rounds, a ratio the median of the rounds' ratios.
 * The clock counts this process's processor time, not its waiting. */

#if !defined(_POSIX_C_SOURCE) && defined(__linux__)
#define _POSIX_C_SOURCE 200809L
#endif

#define SECCHAN_INTERNAL
#include "secchan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef BENCH_COMPARE
#include <wolfssl/options.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>
/* wolfSSL first: OpenSSL makes macros of its names */
#include <bearssl.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/version.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <sodium.h>
#endif

/* ---- 1. the clock, medians ----------------------------------------------- */

#define ROUNDS_MAX 101
#define SLICE_NS 10e6           /* a library's turn lasts at least this long */

static unsigned n_rounds = 15;
static int for_programs;        /* -t */

/* fail: the one way out when something is wrong: no number is better than a
 * wrong one. */
static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

static void must(int result, const char *what)
{
    if (result != SC_OK)
        fail(what, sc_strerror(result));
}

static double clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        fail("clock_gettime", "there is no such clock");
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static double cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* median: of x[0..n), which it puts in order. */
static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, compare_doubles);
    return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

/* ---- 2. what is measured ------------------------------------------------- */

enum op { DO_SHA256, DO_SEAL, DO_OPEN, DO_PRIVATE, DO_PUBLIC, DO_KEYGEN,
          DO_HANDSHAKE, DO_MESSAGE, N_OPS };

/* A library does an operation once: from the inputs below to result, giving 1,
 * or 0 if it failed.  size: bytes, but bits for RSA and key generation, and for
 * a handshake 1 if the client has a key.  NULL: it has no such operation. */
typedef int (*op_fn)(size_t size);
struct library {
    const char *name;
    void (*set_key)(void);      /* private_key is another one now */
    op_fn op[N_OPS];
};

#define AD_LEN SC_HEADER_LEN    /* associated data as in every record */
#define BOX_MAX (SC_RECORD_MAX + SC_TAG_LEN)

static uint8_t aead_key[32], nonce[12], ad[AD_LEN];
static uint8_t plain[SC_RECORD_MAX];
static uint8_t box[BOX_MAX];            /* plain, sealed */
static sc_private_key private_key;
static uint8_t number[SC_MODULUS_MAX];  /* below the modulus */
static uint8_t result[BOX_MAX];

struct work {
    const char *id, *words;
    enum op op;
    size_t size;
};
static const struct work works[] = {
    { "sha256-64", "SHA-256, 64 B", DO_SHA256, 64 },
    { "sha256-1k", "SHA-256, 1 KiB", DO_SHA256, 1024 },
    { "sha256-16k", "SHA-256, 16 KiB", DO_SHA256, 16384 },
    { "seal-64", "AEAD seal, 64 B", DO_SEAL, 64 },
    { "seal-1k", "AEAD seal, 1 KiB", DO_SEAL, 1024 },
    { "seal-16k", "AEAD seal, 16 KiB", DO_SEAL, 16384 },
    { "open-64", "AEAD open, 64 B", DO_OPEN, 64 },
    { "open-1k", "AEAD open, 1 KiB", DO_OPEN, 1024 },
    { "open-16k", "AEAD open, 16 KiB", DO_OPEN, 16384 },
    { "private-2048", "RSA-2048 private", DO_PRIVATE, 2048 },
    { "private-3072", "RSA-3072 private", DO_PRIVATE, 3072 },
    { "private-4096", "RSA-4096 private", DO_PRIVATE, 4096 },
    { "public-2048", "RSA-2048 public", DO_PUBLIC, 2048 },
    { "public-3072", "RSA-3072 public", DO_PUBLIC, 3072 },
    { "public-4096", "RSA-4096 public", DO_PUBLIC, 4096 },
    { "handshake", "handshake, anonymous", DO_HANDSHAKE, 0 },
    { "handshake-keyed", "handshake, client key", DO_HANDSHAKE, 1 }
};
#define N_WORKS (sizeof works / sizeof *works)

static size_t result_len(const struct work *w)
{
    switch (w->op) {
    case DO_SHA256:
        return SC_HASH_LEN;
    case DO_SEAL:
        return w->size + SC_TAG_LEN;
    case DO_OPEN:
        return w->size;
    case DO_PRIVATE:
    case DO_PUBLIC:
        return w->size / 8;
    default:
        return 0;
    }
}

/* ---- 3. this library ----------------------------------------------------- */

static int our_sha256(size_t len)
{
    sc_sha256 s;
    sc_sha256_init(&s);
    sc_sha256_add(&s, plain, len);
    sc_sha256_end(&s, result);
    return 1;
}

static int our_seal(size_t len)
{
    sc_aead_seal(result, aead_key, nonce, ad, AD_LEN, plain, len);
    return 1;
}

static int our_open(size_t len)
{
    return sc_aead_open(result, aead_key, nonce, ad, AD_LEN, box,
                        len + SC_TAG_LEN) != 0;
}

static int our_private(size_t n_bits)
{
    sc_word ok = 0;
    (void)n_bits;
    return sc_rsa_private(&private_key, number, result, &ok, sc_os_random,
                          NULL) == SC_OK && ok != 0;
}

static int our_public(size_t n_bits)
{
    (void)n_bits;
    sc_rsa_public(&private_key.pub, number, result);
    return 1;
}

static int our_keygen(size_t n_bits)
{
    sc_private_key key;
    int e = sc_key_generate(&key, (unsigned)n_bits, NULL, NULL);
    sc_wipe(&key, sizeof key);
    return e == SC_OK;
}

/* Both ends of a conversation in this process. */
static sc_private_key host_key, client_key;     /* of 2048 bits */
static sc_server server;
static sc_channel near, far;                    /* the client's, the server's */

static int believe(void *ctx, const sc_public_key *key)
{
    (void)ctx;
    (void)key;
    return SC_OK;
}

static void start_server(void)
{
    sc_server_options o;
    memset(&o, 0, sizeof o);
    o.host_key = &host_key;
    o.authorise = believe;
    o.short_key_uses = UINT32_MAX;
    must(sc_key_generate(&host_key, 2048, NULL, NULL), "host key");
    must(sc_key_generate(&client_key, 2048, NULL, NULL), "client key");
    must(sc_server_init(&server, &o, sc_now_ms()), "sc_server_init");
}

/* our_handshake: near and far become ready.  Frames go to and fro until there
 * is nothing left to say. */
static int our_handshake(size_t with_key)
{
    sc_client_options o;
    sc_event event;
    uint8_t frame[SC_REPLY_MAX], reply[SC_REPLY_MAX];
    size_t frame_len, reply_len;
    sc_channel *to = &far;
    int e;
    memset(&o, 0, sizeof o);
    o.judge_host = believe;
    o.identity = with_key ? &client_key : NULL;
    sc_end(&near);
    sc_end(&far);
    e = sc_client_init(&near, &o, frame, &frame_len);
    if (e == SC_OK)
        e = sc_server_accept(&far, &server);
    while (e == SC_OK && frame_len > 0) {
        e = sc_input(to, frame, frame_len, &event, reply, &reply_len);
        memcpy(frame, reply, sizeof frame);
        frame_len = reply_len;
        to = to == &far ? &near : &far;
    }
    return e == SC_OK && sc_ready(&near) && sc_ready(&far);
}

/* our_message: len bytes from near to far, in records. */
static int our_message(size_t len)
{
    static uint8_t frame[SC_FRAME_MAX];
    uint8_t reply[SC_REPLY_MAX];
    size_t frame_len, reply_len, n;
    sc_event event;
    do {
        n = len < SC_RECORD_MAX ? len : SC_RECORD_MAX;
        len -= n;
        if (sc_seal(&near, len > 0, plain, n, frame, &frame_len) != SC_OK
            || sc_input(&far, frame, frame_len, &event, reply, &reply_len)
               != SC_OK
            || event.data_len != n)
            return 0;
    } while (len > 0);
    return event.kind == SC_EVENT_MESSAGE;
}

#ifdef BENCH_COMPARE

/* ---- 4. OpenSSL ---------------------------------------------------------- */

static EVP_PKEY *openssl_key;
static EVP_PKEY_CTX *openssl_private_ctx, *openssl_public_ctx;

static void openssl_set_key(void)
{
    char pem[SC_PEM_MAX];
    size_t pem_len;
    BIO *bio;
    must(sc_key_write_pem(&private_key, pem, sizeof pem, &pem_len), "PEM");
    EVP_PKEY_CTX_free(openssl_private_ctx);
    EVP_PKEY_CTX_free(openssl_public_ctx);
    EVP_PKEY_free(openssl_key);
    bio = BIO_new_mem_buf(pem, (int)pem_len);
    openssl_key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    openssl_private_ctx = EVP_PKEY_CTX_new(openssl_key, NULL);
    openssl_public_ctx = EVP_PKEY_CTX_new(openssl_key, NULL);
    if (EVP_PKEY_decrypt_init(openssl_private_ctx) != 1
        || EVP_PKEY_encrypt_init(openssl_public_ctx) != 1
        || EVP_PKEY_CTX_set_rsa_padding(openssl_private_ctx,
                                        RSA_NO_PADDING) != 1
        || EVP_PKEY_CTX_set_rsa_padding(openssl_public_ctx,
                                        RSA_NO_PADDING) != 1)
        fail("OpenSSL", "does not take the key");
}

static int openssl_private(size_t n_bits)
{
    size_t len = sizeof result;
    return EVP_PKEY_decrypt(openssl_private_ctx, result, &len, number,
                            n_bits / 8) == 1;
}

static int openssl_public(size_t n_bits)
{
    size_t len = sizeof result;
    return EVP_PKEY_encrypt(openssl_public_ctx, result, &len, number,
                            n_bits / 8) == 1;
}

static int openssl_keygen(size_t n_bits)
{
    EVP_PKEY *key = EVP_RSA_gen((unsigned)n_bits);
    int made = key != NULL;
    EVP_PKEY_free(key);
    return made;
}

static int openssl_sha256(size_t len)
{
    return SHA256(plain, len, result) != NULL;
}

/* One context for all messages; a message sets its nonce, as in TLS. */
static EVP_CIPHER_CTX *openssl_aead(int sealing)
{
    static EVP_CIPHER_CTX *ctx[2];
    EVP_CIPHER_CTX **c = &ctx[sealing];
    if (*c == NULL) {
        *c = EVP_CIPHER_CTX_new();
        if (EVP_CipherInit_ex(*c, EVP_chacha20_poly1305(), NULL, aead_key,
                              nonce, sealing) != 1)
            fail("OpenSSL", "has no ChaCha20-Poly1305");
    }
    return *c;
}

static int openssl_seal(size_t len)
{
    EVP_CIPHER_CTX *c = openssl_aead(1);
    int n;
    return EVP_EncryptInit_ex(c, NULL, NULL, NULL, nonce) == 1
        && EVP_EncryptUpdate(c, NULL, &n, ad, AD_LEN) == 1
        && EVP_EncryptUpdate(c, result, &n, plain, (int)len) == 1
        && EVP_EncryptFinal_ex(c, result + len, &n) == 1
        && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SC_TAG_LEN,
                               result + len) == 1;
}

static int openssl_open(size_t len)
{
    EVP_CIPHER_CTX *c = openssl_aead(0);
    int n;
    return EVP_DecryptInit_ex(c, NULL, NULL, NULL, nonce) == 1
        && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SC_TAG_LEN,
                               box + len) == 1
        && EVP_DecryptUpdate(c, NULL, &n, ad, AD_LEN) == 1
        && EVP_DecryptUpdate(c, result, &n, box, (int)len) == 1
        && EVP_DecryptFinal_ex(c, result + len, &n) == 1;
}

/* ---- 5. libsodium -------------------------------------------------------- */

static int sodium_sha256(size_t len)
{
    return crypto_hash_sha256(result, plain, len) == 0;
}

static int sodium_seal(size_t len)
{
    return crypto_aead_chacha20poly1305_ietf_encrypt(
        result, NULL, plain, len, ad, AD_LEN, NULL, nonce, aead_key) == 0;
}

static int sodium_open(size_t len)
{
    return crypto_aead_chacha20poly1305_ietf_decrypt(
        result, NULL, NULL, box, len + SC_TAG_LEN, ad, AD_LEN, nonce,
        aead_key) == 0;
}

/* ---- 6. BearSSL ---------------------------------------------------------- */

/* The fastest of its implementations that run here, as it chooses them itself.
 * Its private operation is constant-time, but neither blinded nor checked. */
static int bear_sha256(size_t len)
{
    br_sha256_context c;
    br_sha256_init(&c);
    br_sha256_update(&c, plain, len);
    br_sha256_out(&c, result);
    return 1;
}

static br_chacha20_run bear_chacha20(void)
{
    br_chacha20_run fast = br_chacha20_sse2_get();
    return fast != 0 ? fast : br_chacha20_ct_run;
}

static br_poly1305_run bear_aead(void)
{
    br_poly1305_run fast = br_poly1305_ctmulq_get();
    return fast != 0 ? fast : br_poly1305_ctmul_run;
}

static int bear_seal(size_t len)
{
    memcpy(result, plain, len);
    bear_aead()(aead_key, nonce, result, len, ad, AD_LEN, result + len,
                bear_chacha20(), 1);
    return 1;
}

static int bear_open(size_t len)
{
    uint8_t tag[SC_TAG_LEN];
    memcpy(result, box, len);
    bear_aead()(aead_key, nonce, result, len, ad, AD_LEN, tag,
                bear_chacha20(), 0);
    return memcmp(tag, box + len, SC_TAG_LEN) == 0;
}

static br_rsa_private_key bear_private_key;
static br_rsa_public_key bear_public_key;

static void bear_set_key(void)
{
    static unsigned char e[] = { 1, 0, 1 };
    sc_private_key *k = &private_key;
    br_rsa_private_key *b = &bear_private_key;
    b->n_bitlen = (uint32_t)(8 * k->pub.n_len);
    b->p = k->p;
    b->q = k->q;
    b->dp = k->dp;
    b->dq = k->dq;
    b->iq = k->qinv;
    b->plen = b->qlen = b->dplen = b->dqlen = b->iqlen = k->pub.n_len / 2;
    bear_public_key.n = k->pub.n;
    bear_public_key.nlen = k->pub.n_len;
    bear_public_key.e = e;
    bear_public_key.elen = sizeof e;
}

static int bear_private(size_t n_bits)
{
    memcpy(result, number, n_bits / 8);
    return br_rsa_private_get_default()(result, &bear_private_key) == 1;
}

static int bear_public(size_t n_bits)
{
    memcpy(result, number, n_bits / 8);
    return br_rsa_public_get_default()(result, n_bits / 8,
                                       &bear_public_key) == 1;
}

static int bear_keygen(size_t n_bits)
{
    static br_hmac_drbg_context random;
    static unsigned char numbers[BR_RSA_KBUF_PRIV_SIZE(SC_MODULUS_MAX * 8)];
    br_rsa_private_key key;
    uint8_t seed[32];
    if (random.vtable == NULL) {
        must(sc_os_random(NULL, seed, sizeof seed), "random bytes");
        br_hmac_drbg_init(&random, &br_sha256_vtable, seed, sizeof seed);
    }
    return br_rsa_keygen_get_default()(&random.vtable, &key, numbers, NULL,
                                       NULL, (unsigned)n_bits, 65537) == 1;
}

/* ---- 7. Mbed TLS --------------------------------------------------------- */

static mbedtls_pk_context mbed_key;
static mbedtls_ctr_drbg_context mbed_random;

static void mbed_start(void)
{
    static mbedtls_entropy_context entropy;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&mbed_random);
    if (mbedtls_ctr_drbg_seed(&mbed_random, mbedtls_entropy_func, &entropy,
                              NULL, 0) != 0)
        fail("Mbed TLS", "no random bytes");
    mbedtls_pk_init(&mbed_key);
}

static void mbed_set_key(void)
{
    char pem[SC_PEM_MAX];
    size_t pem_len;
    must(sc_key_write_pem(&private_key, pem, sizeof pem, &pem_len), "PEM");
    mbedtls_pk_free(&mbed_key);
    mbedtls_pk_init(&mbed_key);
    if (mbedtls_pk_parse_key(&mbed_key, (unsigned char *)pem, pem_len + 1,
                             NULL, 0) != 0)
        fail("Mbed TLS", "does not take the key");
}

static int mbed_sha256(size_t len)
{
    return mbedtls_sha256_ret(plain, len, result, 0) == 0;
}

static mbedtls_chachapoly_context *mbed_aead(void)
{
    static mbedtls_chachapoly_context ctx;
    static int has_key;
    if (!has_key) {
        mbedtls_chachapoly_init(&ctx);
        has_key = mbedtls_chachapoly_setkey(&ctx, aead_key) == 0;
    }
    return &ctx;
}

static int mbed_seal(size_t len)
{
    return mbedtls_chachapoly_encrypt_and_tag(mbed_aead(), len, nonce, ad,
                                              AD_LEN, plain, result,
                                              result + len) == 0;
}

static int mbed_open(size_t len)
{
    return mbedtls_chachapoly_auth_decrypt(mbed_aead(), len, nonce, ad, AD_LEN,
                                           box + len, box, result) == 0;
}

static int mbed_private(size_t n_bits)
{
    (void)n_bits;
    return mbedtls_rsa_private(mbedtls_pk_rsa(mbed_key),
                               mbedtls_ctr_drbg_random, &mbed_random, number,
                               result) == 0;
}

static int mbed_public(size_t n_bits)
{
    (void)n_bits;
    return mbedtls_rsa_public(mbedtls_pk_rsa(mbed_key), number, result) == 0;
}

static int mbed_keygen(size_t n_bits)
{
    mbedtls_rsa_context key;
    int e;
    mbedtls_rsa_init(&key, MBEDTLS_RSA_PKCS_V15, 0);
    e = mbedtls_rsa_gen_key(&key, mbedtls_ctr_drbg_random, &mbed_random,
                            (unsigned)n_bits, 65537);
    mbedtls_rsa_free(&key);
    return e == 0;
}

/* ---- 8. wolfSSL ---------------------------------------------------------- */

static RsaKey wolf_key;
static WC_RNG wolf_random;

static void wolf_start(void)
{
    if (wc_InitRng(&wolf_random) != 0 || wc_InitRsaKey(&wolf_key, NULL) != 0)
        fail("wolfSSL", "does not start");
}

static void wolf_set_key(void)
{
    unsigned char *der = NULL;
    int der_len = i2d_PrivateKey(openssl_key, &der);
    word32 i = 0;
    wc_FreeRsaKey(&wolf_key);
    if (der_len < 0 || wc_InitRsaKey(&wolf_key, NULL) != 0
        || wc_RsaPrivateKeyDecode(der, &i, &wolf_key, (word32)der_len) != 0
        || wc_RsaSetRNG(&wolf_key, &wolf_random) != 0)
        fail("wolfSSL", "does not take the key");
    OPENSSL_free(der);
}

static int wolf_sha256(size_t len)
{
    return wc_Sha256Hash(plain, (word32)len, result) == 0;
}

static int wolf_seal(size_t len)
{
    return wc_ChaCha20Poly1305_Encrypt(aead_key, nonce, ad, AD_LEN, plain,
                                       (word32)len, result,
                                       result + len) == 0;
}

static int wolf_open(size_t len)
{
    return wc_ChaCha20Poly1305_Decrypt(aead_key, nonce, ad, AD_LEN, box,
                                       (word32)len, box + len, result) == 0;
}

static int wolf_private(size_t n_bits)
{
    word32 len = sizeof result;
    return wc_RsaDirect(number, (word32)(n_bits / 8), result, &len, &wolf_key,
                        RSA_PRIVATE_DECRYPT, &wolf_random) > 0;
}

static int wolf_public(size_t n_bits)
{
    word32 len = sizeof result;
    return wc_RsaDirect(number, (word32)(n_bits / 8), result, &len, &wolf_key,
                        RSA_PUBLIC_ENCRYPT, &wolf_random) > 0;
}

static int wolf_keygen(size_t n_bits)
{
    RsaKey key;
    int e = wc_InitRsaKey(&key, NULL);
    if (e == 0)
        e = wc_MakeRsaKey(&key, (int)n_bits, 65537, &wolf_random);
    wc_FreeRsaKey(&key);
    return e == 0;
}

#endif /* BENCH_COMPARE */

/* ---- 9. side by side ----------------------------------------------------- */

static const struct library libraries[] = {
    { "secchan", NULL,
      { our_sha256, our_seal, our_open, our_private, our_public, our_keygen,
        our_handshake, our_message } },
#ifdef BENCH_COMPARE
    { "OpenSSL", openssl_set_key,
      { openssl_sha256, openssl_seal, openssl_open, openssl_private,
        openssl_public, openssl_keygen, NULL, NULL } },
    { "libsodium", NULL,
      { sodium_sha256, sodium_seal, sodium_open, NULL, NULL, NULL, NULL,
        NULL } },
    { "BearSSL", bear_set_key,
      { bear_sha256, bear_seal, bear_open, bear_private, bear_public,
        bear_keygen, NULL, NULL } },
    { "Mbed TLS", mbed_set_key,
      { mbed_sha256, mbed_seal, mbed_open, mbed_private, mbed_public,
        mbed_keygen, NULL, NULL } },
    { "wolfSSL", wolf_set_key,
      { wolf_sha256, wolf_seal, wolf_open, wolf_private, wolf_public,
        wolf_keygen, NULL, NULL } },
#endif
};
#define N_LIBRARIES (sizeof libraries / sizeof *libraries)

/* Of one library and one work: nanoseconds, in the order of the rounds, and the
 * repetitions that make a turn long enough. */
struct timing {
    double ns[ROUNDS_MAX];
    unsigned long n_repeats;
};

static double repeat_ns(op_fn f, size_t size, unsigned long n)
{
    double begin = cpu_ns();
    unsigned long i;
    for (i = 0; i < n; i++)
        if (!f(size))
            fail("measuring", "an operation failed");
    return cpu_ns() - begin;
}

static unsigned long calibrate(op_fn f, size_t size)
{
    unsigned long n = 1;
    double ns;
    while ((ns = repeat_ns(f, size, n)) < SLICE_NS / 4)
        n *= 2;
    return 1 + (unsigned long)(SLICE_NS * (double)n / ns);
}

/* prepare: the inputs of a work. */
static void prepare(const struct work *w)
{
    size_t i;
    if (w->op == DO_OPEN)
        sc_aead_seal(box, aead_key, nonce, ad, AD_LEN, plain, w->size);
    if (w->op != DO_PRIVATE && w->op != DO_PUBLIC)
        return;
    if (8 * private_key.pub.n_len != w->size) {
        must(sc_key_generate(&private_key, (unsigned)w->size, NULL, NULL),
             "key generation");
        for (i = 1; i < N_LIBRARIES; i++)
            if (libraries[i].set_key != NULL)
                libraries[i].set_key();
    }
    must(sc_os_random(NULL, number, sizeof number), "random bytes");
    number[0] = 0;              /* below every modulus */
}

/* check_same: every library does this work, and with our result. */
static void check_same(const struct work *w)
{
    static uint8_t ours[BOX_MAX];
    size_t i, len = result_len(w);
    for (i = 0; i < N_LIBRARIES; i++) {
        op_fn f = libraries[i].op[w->op];
        if (f == NULL)
            continue;
        memset(result, 0xaa, sizeof result);
        if (!f(w->size))
            fail(libraries[i].name, w->words);
        if (i == 0)
            memcpy(ours, result, len);
        else if (memcmp(ours, result, len) != 0)
            fail(libraries[i].name, "another result than ours");
    }
}

/* print_line: speed: theirs' time over ours.  For programs:
 * id, library, ns, speed. */
static void print_line(const char *id, const char *words, const char *name,
                       double ns, double speed)
{
    if (for_programs)
        printf("%s\t%s\t%.1f\t%.4f\n", id, name, ns, speed);
    else if (N_LIBRARIES == 1)
        printf("%-24s %14.2f us %14.0f /s\n", words, ns / 1e3, 1e9 / ns);
    else
        printf("%-24s %-10s %14.2f us %14.0f /s   %6.2f of our time\n",
               words, name, ns / 1e3, 1e9 / ns, speed);
    fflush(stdout);
}

static void measure(const struct work *w)
{
    static struct timing timings[N_LIBRARIES];
    static double ratio[N_LIBRARIES][ROUNDS_MAX];
    size_t i, turn;
    unsigned round;
    prepare(w);
    check_same(w);
    for (i = 0; i < N_LIBRARIES; i++)
        if (libraries[i].op[w->op] != NULL)
            timings[i].n_repeats = calibrate(libraries[i].op[w->op], w->size);
    for (round = 0; round < n_rounds; round++)
        for (turn = 0; turn < N_LIBRARIES; turn++) {
            struct timing *t;
            i = (turn + round) % N_LIBRARIES;   /* nobody is always first */
            t = &timings[i];
            if (libraries[i].op[w->op] != NULL)
                t->ns[round] = repeat_ns(libraries[i].op[w->op], w->size,
                                         t->n_repeats) / (double)t->n_repeats;
        }
    for (i = 0; i < N_LIBRARIES; i++)
        for (round = 0; round < n_rounds; round++)
            ratio[i][round] = timings[i].ns[round] / timings[0].ns[round];
    for (i = 0; i < N_LIBRARIES; i++)
        if (libraries[i].op[w->op] != NULL)
            print_line(w->id, w->words, libraries[i].name,
                       median(timings[i].ns, n_rounds),
                       median(ratio[i], n_rounds));
}

/* ---- 10. key generation -------------------------------------------------- */

/* How long a key takes is a matter of luck, so that a mean is told, with its
 * standard error; the median would flatter. */
static void measure_keygen(unsigned n_keys)
{
    double sum[N_LIBRARIES] = { 0 }, squares[N_LIBRARIES] = { 0 }, ns, mean;
    size_t i;
    unsigned key;
    for (key = 0; key < n_keys; key++)
        for (i = 0; i < N_LIBRARIES; i++) {
            if (libraries[i].op[DO_KEYGEN] == NULL)
                continue;
            ns = repeat_ns(libraries[i].op[DO_KEYGEN], 2048, 1);
            sum[i] += ns;
            squares[i] += ns * ns;
        }
    for (i = 0; n_keys > 0 && i < N_LIBRARIES; i++) {
        char words[40];
        if (libraries[i].op[DO_KEYGEN] == NULL)
            continue;
        mean = sum[i] / n_keys;
        ns = n_keys > 1 ? sqrt((squares[i] / n_keys - mean * mean)
                               / (n_keys - 1)) : 0;
        snprintf(words, sizeof words, "RSA-2048 key, +-%.0f %%",
                 100 * ns / mean);
        print_line("keygen-2048", words, libraries[i].name, mean,
                   sum[i] / sum[0]);
        if (for_programs)
            print_line("keygen-2048-error", words, libraries[i].name, ns, 0);
    }
}

/* ---- 11. growth ---------------------------------------------------------- */

#define GROWTH_SIZES 13         /* the powers of 4 up to SC_MESSAGE_MAX */

static void print_growth(const char *what, size_t size, const char *unit,
                         double ns)
{
    if (for_programs)
        printf("%s\t%zu\t%.1f\n", what, size, ns);
    else
        printf("%-24s %9zu %-6s %14.2f us %14.2f ns each\n", what, size, unit,
               ns / 1e3, ns / (double)size);
    fflush(stdout);
}

/* measure_growth: of this library, sizes[0..n_sizes) taking turns. */
static void measure_growth(const char *what, const char *unit, enum op op,
                           const size_t *sizes, size_t n_sizes)
{
    static struct timing timings[GROWTH_SIZES];
    op_fn f = libraries[0].op[op];
    size_t i;
    unsigned round;
    for (i = 0; i < n_sizes; i++)
        timings[i].n_repeats = calibrate(f, sizes[i]);
    for (round = 0; round < n_rounds; round++)
        for (i = 0; i < n_sizes; i++)
            timings[i].ns[round] = repeat_ns(f, sizes[i], timings[i].n_repeats)
                                   / (double)timings[i].n_repeats;
    for (i = 0; i < n_sizes; i++)
        print_growth(what, sizes[i], unit, median(timings[i].ns, n_rounds));
}

static void growth(void)
{
    size_t sizes[GROWTH_SIZES], size, n = 0;
    if (!our_handshake(0))
        fail("handshake", "failed");
    for (size = 1; size <= SC_MESSAGE_MAX; size *= 4)
        sizes[n++] = size;
    measure_growth("message", "bytes", DO_MESSAGE, sizes, n);
    for (size = 2048; size <= 4096; size += 256) {
        struct work w = { "", "", DO_PRIVATE, 0 };
        w.size = size;
        prepare(&w);            /* a key of that size */
        measure_growth("private", "bits", DO_PRIVATE, &size, 1);
        measure_growth("public", "bits", DO_PUBLIC, &size, 1);
    }
}

/* ---- 12. over a network -------------------------------------------------- */

/* The options of a client that believes this machine's servers. */
static sc_client_options local_options(const sc_private_key *identity)
{
    sc_client_options o;
    memset(&o, 0, sizeof o);
    o.accept_any_host_insecure = 1;
    o.identity = identity;
    return o;
}

/* handshakes_for: as many as fit; in a process of its own. */
static unsigned long handshakes_for(unsigned port, double seconds,
                                    const sc_private_key *identity)
{
    static sc_conn c;
    sc_client_options o = local_options(identity);
    double end = clock_ns(CLOCK_MONOTONIC) + 1e9 * seconds;
    unsigned long n = 0;
    do {
        must(sc_connect(&c, "127.0.0.1", port, &o), "sc_connect");
        must(sc_close(&c), "sc_close");
        n++;
    } while (clock_ns(CLOCK_MONOTONIC) < end);
    return n;
}

/* load: clients, each in its own process, say how many handshakes they did. */
static void load(unsigned port, unsigned n_clients, double seconds,
                 const char *key_path)
{
    sc_private_key key;
    unsigned long n, sum = 0;
    double begin;
    int pipe_fd[2], status;
    unsigned i;
    if (key_path != NULL)
        must(sc_key_load(&key, key_path), key_path);
    if (pipe(pipe_fd) != 0)
        fail("pipe", "failed");
    begin = clock_ns(CLOCK_MONOTONIC);
    for (i = 0; i < n_clients; i++) {
        pid_t child = fork();
        if (child < 0)
            fail("fork", "failed");
        if (child > 0)
            continue;
        n = handshakes_for(port, seconds, key_path != NULL ? &key : NULL);
        _exit(write(pipe_fd[1], &n, sizeof n) != (ssize_t)sizeof n);
    }
    for (i = 0; i < n_clients; i++) {
        if (wait(&status) < 0 || status != 0
            || read(pipe_fd[0], &n, sizeof n) != (ssize_t)sizeof n)
            fail("a client", "failed");
        sum += n;
    }
    printf("%lu handshakes in %.3f seconds\n", sum,
           (clock_ns(CLOCK_MONOTONIC) - begin) / 1e9);
}

/* echo_ns: the median time of a message to the server and back. */
static double echo_ns(sc_conn *c, size_t len)
{
    static double ns[1000];
    static uint8_t echo[SC_RECORD_MAX];
    size_t echo_len, i;
    for (i = 0; i < 1000; i++) {
        double begin = clock_ns(CLOCK_MONOTONIC);
        must(sc_send(c, plain, len), "sc_send");
        must(sc_recv_whole(c, echo, sizeof echo, &echo_len), "sc_recv_whole");
        ns[i] = clock_ns(CLOCK_MONOTONIC) - begin;
        if (echo_len != len)
            fail("echo", "not as long as the message");
    }
    return median(ns, 1000);
}

/* echo: n_clients connections, of which the first one talks. */
static void echo(unsigned port, unsigned n_clients)
{
    sc_client_options o = local_options(NULL);
    struct rlimit limit;
    sc_conn *c = (sc_conn *)calloc(n_clients, sizeof *c);
    unsigned i;
    if (c == NULL)
        fail("calloc", "no memory");
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;        /* if not, connecting fails */
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (i = 0; i < n_clients; i++)
        must(sc_connect(&c[i], "127.0.0.1", port, &o), "sc_connect");
    print_growth("echo-16", n_clients, "clients", echo_ns(c, 16));
    print_growth("echo-16k", n_clients, "clients", echo_ns(c, SC_RECORD_MAX));
    while (getchar() != EOF)
        continue;
    for (i = 0; i < n_clients; i++)
        (void)sc_close(&c[i]);
    free(c);
}

/* ---- 13. main ------------------------------------------------------------ */

static void start(void)
{
    must(sc_os_random(NULL, aead_key, sizeof aead_key), "random bytes");
    must(sc_os_random(NULL, nonce, sizeof nonce), "random bytes");
    must(sc_os_random(NULL, plain, sizeof plain), "random bytes");
#ifdef BENCH_COMPARE
    if (sodium_init() < 0)
        fail("libsodium", "does not start");
    mbed_start();
    wolf_start();
#endif
}

static void everything(unsigned n_keys)
{
    size_t i;
    start_server();
    if (!for_programs) {
        printf("secchan " SC_VERSION ", medians of %u rounds; a channel is "
               "%zu bytes\n", n_rounds, sizeof(sc_channel));
#ifdef BENCH_COMPARE
        printf("beside %s, libsodium %s, BearSSL, %s, wolfSSL %s\n",
               OpenSSL_version(OPENSSL_VERSION), sodium_version_string(),
               MBEDTLS_VERSION_STRING_FULL, LIBWOLFSSL_VERSION_STRING);
#endif
    }
    if (for_programs)
        printf("channel\tsecchan\t%zu\t0\n", sizeof(sc_channel));
    for (i = 0; i < N_WORKS; i++)
        measure(&works[i]);
    measure_keygen(n_keys);
}

static unsigned read_number(const char *text, unsigned least, unsigned most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || n < least || n > most)
        fail(text, "not a number, or out of range");
    return (unsigned)n;
}

int main(int argc, char **argv)
{
    unsigned n_keys = 20, n_clients = 1, seconds = 5, port = 0;
    const char *key_path = NULL;
    int option, mode = 0;
    while ((option = getopt(argc, argv, "r:k:tgl:e:c:s:i:")) != -1)
        switch (option) {
        case 'r':
            n_rounds = read_number(optarg, 1, ROUNDS_MAX);
            break;
        case 'k':
            n_keys = read_number(optarg, 0, 100000);
            break;
        case 't':
            for_programs = 1;
            break;
        case 'c':
            n_clients = read_number(optarg, 1, 10000);
            break;
        case 's':
            seconds = read_number(optarg, 1, 3600);
            break;
        case 'i':
            key_path = optarg;
            break;
        case 'l':
        case 'e':
            port = read_number(optarg, 1, 65535);
            mode = option;
            break;
        case 'g':
            mode = option;
            break;
        default:
            fail("usage", "see the top of bench/bench.c");
        }
    start();
    if (mode == 'l')
        load(port, n_clients, seconds, key_path);
    else if (mode == 'e')
        echo(port, n_clients);
    else if (mode == 'g') {
        start_server();
        growth();
    } else
        everything(n_keys);
    return 0;
}
