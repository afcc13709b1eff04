/* faults_key.c: a machine that calculates wrongly once: bits flipped in a
 * private key, limb by limb, and in every intermediate number of the private
 * operation, both halves of the Chinese remainder theorem included.
 * Build:   cc -I. -o faults_key tests/faults_key.c secchan.o bignum.o
 *          (rsa_mini.c is included below, its calls of bignum.c seen by us)
 * Usage:   faults_key [all]      all: every bit, and every key size
 *          FAULTS_SEED repeats a run.
 * Prints:  what was flipped, how often, how often it was caught and how often
 *          it made no difference; "FAILED: ..." for what was neither.
 * Wanted:  a private operation gives the right number, or says no and gives
 *          zeros.  A handshake becomes ready at both ends, with the same keys,
 *          or ends with nothing sent. */

#define SECCHAN_INTERNAL
#include "secchan.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- 1. between rsa_mini.c and bignum.c ---------------------------------- */

static struct {
    int is_on;
    unsigned calls;             /* since it was switched on */
    unsigned at;                /* the call whose result is changed */
    size_t limb, limbs;         /* which limb; of how many, to be told */
    unsigned bit;
    int has_flipped;
    unsigned halves_at;         /* told: the call that made the two halves */
} fault;

static void spoil(void *result, size_t len)
{
    uint8_t *bytes = (uint8_t *)result;
    size_t bit;
    if (!fault.is_on || ++fault.calls != fault.at)
        return;
    fault.limbs = len / SC_WORD_BYTES + (len % SC_WORD_BYTES != 0);
    bit = fault.limb * SC_WORD_BITS + fault.bit % SC_WORD_BITS;
    if (bit / 8 < len) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        fault.has_flipped = 1;
    }
}

static void spoil_limbs(sc_word *d, size_t n)
{
    spoil(d, n * sizeof *d);
}

static void hook_bn_decode(sc_word *d, size_t n, const uint8_t *bytes,
                           size_t len)
{
    sc_bn_decode(d, n, bytes, len);
    spoil_limbs(d, n);
}

static void hook_bn_encode(uint8_t *bytes, size_t len, const sc_word *x,
                           size_t n)
{
    sc_bn_encode(bytes, len, x, n);
    spoil(bytes, len);
}

static sc_word hook_bn_add(sc_word *d, const sc_word *x, const sc_word *y,
                           size_t n)
{
    sc_word carry = sc_bn_add(d, x, y, n);
    spoil_limbs(d, n);
    return carry;
}

static void hook_bn_mul(sc_word *d, const sc_word *x, size_t x_n,
                        const sc_word *y, size_t y_n)
{
    sc_bn_mul(d, x, x_n, y, y_n);
    spoil_limbs(d, x_n + y_n);
}

static void hook_bn_add_mod(sc_word *d, const sc_word *x, const sc_word *y,
                            const sc_word *m, size_t n)
{
    sc_bn_add_mod(d, x, y, m, n);
    spoil_limbs(d, n);
}

static void hook_bn_sub_mod(sc_word *d, const sc_word *x, const sc_word *y,
                            const sc_word *m, size_t n)
{
    sc_bn_sub_mod(d, x, y, m, n);
    spoil_limbs(d, n);
}

static void hook_modulus_init(sc_modulus *mod, const sc_word *m, size_t n)
{
    sc_modulus_init(mod, m, n);
    spoil_limbs(mod->m, n);
    spoil_limbs(mod->rr, n);
    spoil_limbs(&mod->m0inv, 1);
}

static void hook_mont_mul(sc_word *d, const sc_word *x, const sc_word *y,
                          const sc_modulus *mod)
{
    sc_mont_mul(d, x, y, mod);
    spoil_limbs(d, mod->n);
}

static void hook_mont_from(sc_word *d, const sc_word *x, const sc_modulus *mod)
{
    sc_mont_from(d, x, mod);
    spoil_limbs(d, mod->n);
}

static void hook_mont_to(sc_word *d, const sc_word *x, const sc_modulus *mod)
{
    sc_mont_to(d, x, mod);
    spoil_limbs(d, mod->n);
}

static void hook_mont_pow_65536(sc_word *d, const sc_word *x,
                                const sc_modulus *mod)
{
    sc_mont_pow_65536(d, x, mod);
    spoil_limbs(d, mod->n);
}

static void hook_mont_pow_pair(sc_word *d_p, const sc_word *x_p,
                               const sc_word *e_p, const sc_modulus *mod_p,
                               sc_word *d_q, const sc_word *x_q,
                               const sc_word *e_q, const sc_modulus *mod_q)
{
    sc_mont_pow_pair(d_p, x_p, e_p, mod_p, d_q, x_q, e_q, mod_q);
    fault.halves_at = fault.calls + 1;
    spoil_limbs(d_p, mod_p->n);
    spoil_limbs(d_q, mod_q->n);
}

static void hook_pow_65537(sc_word *d, const sc_word *x, const sc_word *m,
                           size_t n)
{
    sc_pow_65537(d, x, m, n);
    spoil_limbs(d, n);
}

#define sc_bn_decode hook_bn_decode
#define sc_bn_encode hook_bn_encode
#define sc_bn_add hook_bn_add
#define sc_bn_mul hook_bn_mul
#define sc_bn_add_mod hook_bn_add_mod
#define sc_bn_sub_mod hook_bn_sub_mod
#define sc_modulus_init hook_modulus_init
#define sc_mont_mul hook_mont_mul
#define sc_mont_from hook_mont_from
#define sc_mont_to hook_mont_to
#define sc_mont_pow_65536 hook_mont_pow_65536
#define sc_mont_pow_pair hook_mont_pow_pair
#define sc_pow_65537 hook_pow_65537
#include "rsa_mini.c"

/* ---- 2. small things ----------------------------------------------------- */

static int is_full, n_failed;
static unsigned n_caught, n_same, n_bad;
static unsigned n_flips_in_all, n_caught_in_all;

static uint32_t dice_state = 1;
static unsigned dice(unsigned n)        /* 0 .. n-1; POSIX's own example */
{
    dice_state = dice_state * 1103515245u + 12345u;
    return (dice_state >> 16) % n;
}

static int all_zero(const uint8_t *bytes, size_t len)
{
    while (len > 0 && bytes[len - 1] == 0)
        len--;
    return len == 0;
}

static void count(int verdict)          /* 0: caught, 1: no difference */
{
    n_caught += verdict == 0;
    n_same += verdict == 1;
    n_bad += verdict < 0;
}

/* report: caught_min: so many of 1000, or the flipping itself is broken. */
static void report(const char *what, unsigned bits, unsigned caught_min)
{
    unsigned n = n_caught + n_same + n_bad;
    printf("%u bits, %s: %u flips, %u caught, %u made no difference\n", bits,
           what, n, n_caught, n_same);
    if (n_bad > 0 || n == 0
        || (unsigned long)n_caught * 1000 < (unsigned long)n * caught_min) {
        printf("FAILED: %u bits, %s: %u wrong numbers got out\n", bits, what,
               n_bad);
        n_failed++;
    }
    fflush(stdout);
    n_flips_in_all += n;
    n_caught_in_all += n_caught;
    n_caught = n_same = n_bad = 0;
}

static uint8_t *part(sc_private_key *key, size_t i)
{
    return i == 0 ? key->p : i == 1 ? key->q : i == 2 ? key->dp
         : i == 3 ? key->dq : key->qinv;
}

/* limb_of: the number's bytes stand with the highest first. */
static uint8_t *limb_byte(uint8_t *number, size_t half, size_t limb,
                          unsigned bit)
{
    size_t byte = limb * SC_WORD_BYTES + bit / 8;
    return byte < half ? number + half - 1 - byte : NULL;
}

/* ---- 3. one private operation -------------------------------------------- */

static uint8_t plain[SC_MODULUS_MAX], cipher[SC_MODULUS_MAX], secret[32];

static int start_operation(const sc_private_key *key)
{
    sc_word ok;
    memset(secret, 0xa5, sizeof secret);
    return sc_oaep_encrypt(&key->pub, "label", 5, secret, 32, cipher,
                           sc_os_random, NULL) == SC_OK
        && sc_rsa_private(key, cipher, plain, &ok, sc_os_random, NULL)
           == SC_OK && ok == ~(sc_word)0;
}

/* operate: -1: a wrong number got out. */
static int operate(const sc_private_key *key)
{
    uint8_t m[SC_MODULUS_MAX];
    sc_word ok;
    memset(m, 0x5a, sizeof m);
    if (sc_rsa_private(key, cipher, m, &ok, sc_os_random, NULL) != SC_OK)
        return -1;
    if (ok == 0)
        return all_zero(m, key->pub.n_len) ? 0 : -1;
    return memcmp(m, plain, key->pub.n_len) == 0 ? 1 : -1;
}

static int open_box(const sc_private_key *key)
{
    uint8_t m[32];
    sc_word ok;
    memset(m, 0x5a, sizeof m);
    if (sc_oaep_decrypt(key, "label", 5, cipher, m, 32, &ok, sc_os_random,
                        NULL) != SC_OK)
        return -1;
    if (ok == 0)
        return all_zero(m, 32) ? 0 : -1;
    return memcmp(m, secret, 32) == 0 ? 1 : -1;
}

static int both(const sc_private_key *key)
{
    int a = operate(key), b = open_box(key);
    return a < 0 || b < 0 ? -1 : a;
}

/* Every limb of one number: some bits or all of them, and the whole limb 0, all
 * ones, and another. */
static void flip_limbs(const sc_private_key *good, size_t which)
{
    sc_private_key bad = *good;
    size_t half = (good->pub.n_len + 1) / 2, limb;
    unsigned i, n = is_full ? SC_WORD_BITS : 3;
    for (limb = 0; limb < SC_LIMBS(half); limb++) {
        for (i = 0; i < n; i++) {
            unsigned bit = is_full ? i : dice(SC_WORD_BITS);
            uint8_t *b = limb_byte(part(&bad, which), half, limb, bit);
            if (b == NULL)
                continue;
            *b ^= (uint8_t)(1u << bit % 8);
            count(both(&bad));
            *b ^= (uint8_t)(1u << bit % 8);
        }
        for (i = 0; i < 3; i++) {
            unsigned byte;
            for (byte = 0; byte < SC_WORD_BYTES; byte++) {
                uint8_t *b = limb_byte(part(&bad, which), half, limb, 8 * byte);
                if (b != NULL)
                    *b = i == 0 ? 0 : i == 1 ? 0xff : (uint8_t)dice(256);
            }
            count(operate(&bad));
            memcpy(part(&bad, which), part((sc_private_key *)good, which),
                   half);
        }
    }
}

static void flip_key(const sc_private_key *key)
{
    static const char *const name[] = { "p", "q", "dp", "dq", "qinv" };
    size_t i;
    unsigned bits = (unsigned)key->pub.n_len * 8;
    for (i = 0; i < 5; i++) {
        flip_limbs(key, i);
        /* the lowest bit of dp and dq is not looked at */
        report(name[i], bits, 970);
    }
}

static int operate_with_fault(const sc_private_key *key, unsigned at,
                              size_t limb, unsigned bit)
{
    int verdict;
    memset(&fault, 0, sizeof fault);
    fault.is_on = 1;
    fault.at = at;
    fault.limb = limb;
    fault.bit = bit;
    verdict = operate(key);
    fault.is_on = 0;
    return verdict;
}

/* Every bit of the two halves, as the power leaves them. */
static void flip_halves(const sc_private_key *key)
{
    unsigned half, bit, at;
    size_t limb;
    (void)operate_with_fault(key, 0, 0, 0);
    at = fault.halves_at;
    for (half = 0; half < 2; half++)
        for (limb = 0; limb < SC_LIMBS((key->pub.n_len + 1) / 2); limb++)
            for (bit = 0; bit < SC_WORD_BITS; bit++)
                count(operate_with_fault(key, at + half, limb, bit));
    report("both CRT halves", (unsigned)key->pub.n_len * 8, 1000);
}

/* Every limb of every number that bignum.c gives to the private operation. */
static void flip_inside(const sc_private_key *key)
{
    unsigned at, i, n = is_full ? SC_WORD_BITS : 2;
    size_t limb;
    for (at = 1; ; at++) {
        for (limb = 0; ; limb++) {
            for (i = 0; i < n; i++) {
                int verdict = operate_with_fault(key, at, limb, is_full ? i
                                                 : dice(SC_WORD_BITS));
                if (fault.has_flipped)
                    count(verdict);
            }
            if (limb + 1 >= fault.limbs)
                break;
        }
        if (fault.calls < at)
            break;
    }
    /* another w is as good: what blinds may be any number */
    report("intermediate numbers", (unsigned)key->pub.n_len * 8, 800);
}

/* ---- 4. handshakes ------------------------------------------------------- */

static sc_private_key host, small, identity;
enum { HOST, SHORT, CLIENT };

static int accept_any(void *ctx, const sc_public_key *key)
{
    (void)ctx;
    (void)key;
    return SC_OK;
}

static struct {
    sc_server server;
    sc_private_key host, identity;
    sc_channel client, served;
} pair;

static int start_pair(uint8_t *m1, size_t *m1_len)
{
    sc_client_options co;
    sc_server_options so;
    memset(&co, 0, sizeof co);
    memset(&so, 0, sizeof so);
    pair.host = host;
    pair.identity = identity;
    so.host_key = &pair.host;
    so.authorise = accept_any;
    co.accept_any_host_insecure = 1;
    co.identity = &pair.identity;
    return sc_server_init_with(&pair.server, &so, &small, 0) == SC_OK
        && sc_server_accept(&pair.served, &pair.server) == SC_OK
        && sc_client_init(&pair.client, &co, m1, m1_len) == SC_OK;
}

/* silent: this end has failed: does it say nothing, and know nothing? */
static int silent(sc_channel *ch, size_t out_len)
{
    uint8_t bye[SC_CLOSE_LEN], out[SC_FRAME_MAX];
    size_t bye_len, n;
    (void)sc_shut(ch, bye, &bye_len);
    return out_len == 0 && bye_len == 0 && !sc_ready(ch)
        && sc_seal(ch, 0, (const uint8_t *)"x", 1, out, &n) != SC_OK && n == 0;
}

/* talk: the two are ready: do they understand each other? */
static int talk(void)
{
    uint8_t frame[SC_FRAME_MAX], out[SC_REPLY_MAX];
    size_t len, out_len;
    sc_event event;
    if (!sc_ready(&pair.client) || !sc_ready(&pair.served)
        || memcmp(sc_session_id(&pair.client), sc_session_id(&pair.served), 32)
        || sc_seal(&pair.client, 0, (const uint8_t *)"plain", 5, frame, &len)
        || sc_input(&pair.served, frame, len, &event, out, &out_len))
        return -1;
    return event.kind == SC_EVENT_MESSAGE && event.data_len == 5
        && memcmp(event.data, "plain", 5) == 0 ? 1 : -1;
}

/* shake: frames to and fro.  A planned fault happens while the server (who 0)
 * takes M3, or the client (1) M4; not at all (2). */
static int shake(int who)
{
    static uint8_t frame[2][SC_REPLY_MAX];
    size_t len, out_len = 0;
    sc_event event;
    int turn, e, to_server = 1;
    if (!start_pair(frame[0], &len))
        return -1;
    for (turn = 1; turn <= 5; turn++, to_server = !to_server) {
        sc_channel *ch = to_server ? &pair.served : &pair.client;
        uint8_t *in = frame[(turn + 1) % 2], *out = frame[turn % 2];
        fault.is_on = (turn == 3 && who == 0) || (turn == 4 && who == 1);
        e = sc_input(ch, in, len, &event, out, &out_len);
        fault.is_on = 0;
        if (e != SC_OK)
            return e == SC_ERR_HANDSHAKE && silent(ch, out_len) ? 0 : -1;
        len = out_len;
        if (len == 0)
            break;
    }
    return talk();
}

static sc_private_key *victim(int which)
{
    return which == HOST ? &host : which == SHORT ? &small : &identity;
}

static int shake_and_end(int who)
{
    int verdict = shake(who);
    sc_end(&pair.client);
    sc_end(&pair.served);
    sc_server_end(&pair.server);
    return verdict;
}

static void flip_handshakes(void)
{
    static const char *const name[] = {
        "host key of a handshake", "short-lived key of a handshake",
        "client key of a handshake"
    };
    int which;
    size_t i, limb, half = 128;
    memset(&fault, 0, sizeof fault);
    if (shake_and_end(2) != 1) {
        puts("FAILED: a handshake without faults");
        n_failed++;
    }
    for (which = HOST; which <= CLIENT; which++) {
        for (i = 0; i < 5; i++)
            for (limb = 0; limb < SC_LIMBS(half); limb++) {
                unsigned bit = dice(SC_WORD_BITS);
                uint8_t *b = limb_byte(part(victim(which), i), half, limb, bit);
                *b ^= (uint8_t)(1u << bit % 8);
                count(shake_and_end(2));
                *b ^= (uint8_t)(1u << bit % 8);
            }
        report(name[which], 2048, 950);
    }
}

static void flip_inside_handshakes(void)
{
    static const char *const name[] = {
        "while the server opens M3", "while the client opens M4"
    };
    int who;
    for (who = 0; who < 2; who++) {
        unsigned at, i, n = is_full ? 20 : 2;
        for (at = 1; ; at++) {
            for (i = 0; i < n; i++) {
                int verdict;
                memset(&fault, 0, sizeof fault);
                fault.at = at;
                fault.limb = dice(16);
                fault.bit = dice(SC_WORD_BITS);
                verdict = shake_and_end(who);
                if (fault.has_flipped)
                    count(verdict);
            }
            if (fault.calls < at)
                break;
        }
        report(name[who], 2048, 700);
    }
}

/* ---- 5. all of them ------------------------------------------------------ */

static void flip_size(unsigned bits)
{
    static sc_private_key key;
    if (sc_key_generate(&key, bits, NULL, NULL) != SC_OK
        || !start_operation(&key)) {
        printf("FAILED: %u bits: no key, or it does not work\n", bits);
        n_failed++;
        return;
    }
    flip_key(&key);
    flip_halves(&key);
    flip_inside(&key);
}

int main(int argc, char **argv)
{
    is_full = argc > 1 && strcmp(argv[1], "all") == 0;
    if (getenv("FAULTS_SEED") != NULL)
        dice_state = (uint32_t)strtoul(getenv("FAULTS_SEED"), NULL, 10);
    flip_size(2048);
    flip_size(2056);                    /* its primes fill no whole limbs */
    if (is_full) {
        flip_size(3072);
        flip_size(4096);
    }
    if (sc_key_generate(&host, 2048, NULL, NULL) != SC_OK
        || sc_key_generate(&small, 2048, NULL, NULL) != SC_OK
        || sc_key_generate(&identity, 2048, NULL, NULL) != SC_OK)
        return 1;
    flip_handshakes();
    flip_inside_handshakes();
    printf("%u flips, %u caught, else no difference; %d of the lines above "
           "wrong\n", n_flips_in_all, n_caught_in_all, n_failed);
    return n_failed != 0;
}
