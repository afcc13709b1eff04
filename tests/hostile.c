/* hostile.c: an attacker against both ends of secchan/1, through real sockets
 * on loopback.  It composes every frame by itself, from docs/PROTOCOL.md; of
 * the library it borrows SHA-256, HKDF, the AEAD, the RSA operations, and
 * nothing that knows what a handshake or a record is.
 * Usage:  ./hostile [GROUP...]    run by hostile.sh, in a folder that holds
 *         demo_server, demo_client and small_server (-DDEMO_FILE_MAX=100000)
 *         hostile victim MODE KEY LIST    a server on the blocking layer, which
 *         logs as demo_server does
 *         SC_FULL=1: everything, not a sample.  SC_CONTROL=1: the first failure
 *         ends it.  Nothing is random but keys and secrets.
 * Needs:  POSIX, secchan.h's internal part; Linux's /proc for memory.
 * Map:    1 what is counted   2 bytes and ends   3 frames, keys
 *         4 spoilt OAEP   5 handshake frames   6 scripts   7 victims
 *         8 a case against a server   9 servers: headers
 *         10 servers: handshake, M3   11 servers: records, CLOSE, cuts
 *         12 servers: files   13 servers: memory   14 servers: a crowd
 *         15 the blocking server   16 a case against a client
 *         17 clients: M2, M4, hosts   18 clients: records, files
 *         19 patience   20 main
 *
 * A case is a script of words (section 6) and what the attacker then sees, as
 * words, too: "close:2 EOF" is a CLOSE with reason 2, then the end. */

#define SECCHAN_INTERNAL
#include "secchan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KE_LEN 256u
#define FRAME_MAX (4 + 65535)
#define PATIENCE_MS 10000       /* for something that must come */
#define COUNT(array) (sizeof (array) / sizeof (array)[0])

/* ---- 1. what is counted -------------------------------------------------- */

static int is_full;             /* SC_FULL=1: everything, not a sample */
static int is_control;          /* SC_CONTROL=1: the first failure is enough */
static unsigned long n_passed, n_failed, group_passed, group_failed;
static unsigned long group_pauses;
static int is_again, want_again;        /* a group, after standing still */
static unsigned long n_pauses;  /* times that this process stood still, */
static double paused_s;         /* and how long */
static char why[6000];          /* a case failed */

static void count(int good, const char *format, ...)
{
    va_list args;
    n_passed += good != 0;
    n_failed += good == 0;
    if (good)
        return;
    va_start(args, format);
    printf("FAILED: ");
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    if (is_control)
        exit(3);
}

static void begin(void)
{
    group_passed = n_passed;
    group_failed = n_failed;
    group_pauses = n_pauses;
}

/* evidence: a row about everything since begin; or none, if something failed
 * while the whole machine stood still: then once more. */
static void evidence(const char *what, const char *format, ...)
{
    unsigned long good = n_passed - group_passed, bad = n_failed - group_failed;
    va_list args;
    if (bad > 0 && n_pauses != group_pauses && !is_again) {
        printf("this machine stood still; what failed is done again\n");
        n_passed = group_passed;
        n_failed = group_failed;
        want_again = 1;
        return;
    }
    va_start(args, format);
    printf("evidence: %s | %s | %lu cases", what,
           bad == 0 && good > 0 ? "passed" : "FAILED", good + bad);
    if (bad > 0)
        printf(", %lu failed", bad);
    if (format[0] != '\0')
        printf("; ");
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    fflush(stdout);
}

static void measured(const char *what, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("evidence: %s | measured | ", what);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    fflush(stdout);
}

static void give_up(const char *what)
{
    fprintf(stderr, "hostile: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void random_bytes(uint8_t *p, size_t len)
{
    if (sc_os_random(NULL, p, len) != SC_OK)
        give_up("random bytes");
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* wait_fd: poll() in slices.  Patience is counted in slices, not by the clock:
 * when the whole machine stands still for a while nothing has become late. */
static int wait_fd(int fd, short events, long patience_ms)
{
    struct pollfd p;
    p.fd = fd;
    p.events = events;
    for (;;) {
        int slice = patience_ms < 50 ? (int)patience_ms : 50, n;
        uint64_t before = sc_now_ms();
        n = poll(&p, 1, slice);
        before = sc_now_ms() - before;
        if (before > 2000) {
            n_pauses++;
            paused_s += (double)before / 1000;
        }
        patience_ms -= slice;
        if (n > 0)
            return p.revents;
        if (patience_ms <= 0)
            return 0;
    }
}

static void sleep_ms(long ms)
{
    wait_fd(-1, 0, ms);
}

/* ---- 2. bytes and ends --------------------------------------------------- */

typedef struct {
    uint8_t key[32];
    uint32_t counter, rekey_at; /* 65536, but for a liar */
} way;

typedef struct {
    int fd, is_server;
    const char *end;            /* "EOF", "RST": what it came to; or NULL */
    const sc_private_key *identity;
    const sc_public_key *named; /* the key that M3 names, or NULL */
    uint8_t said[4096];         /* M1 to M5, as they should have been */
    size_t at[7], said_len;     /* Mn begins at said + at[n] */
    uint8_t s1_s2[64], s3[32], k_identity[32], k_confirm[32], k_chain[32];
    uint8_t k_proof[32];
    sc_public_key ke, kh, kc;
    int has_keys;               /* of records */
    way out, in;
    int m2_fault, q_fault;      /* rows of tables, 0: none */
    int is_blind;               /* a server that does not hold its host key */
    uint8_t last[FRAME_MAX], held[FRAME_MAX], heard[FRAME_MAX];
    uint8_t mirror[FRAME_MAX];  /* heard[], before it was opened */
    size_t last_len, held_len, heard_len, mirror_len;
    char seen[4000];
} attacker;

static sc_private_key host_key, short_key, client_key, other_key;
static char pin[SC_FINGERPRINT_MAX];

static void note(attacker *a, const char *format, ...)
{
    size_t n = strlen(a->seen);
    va_list args;
    if (n + 200 > sizeof a->seen)
        return;
    if (n > 0)
        a->seen[n++] = ' ';
    va_start(args, format);
    vsnprintf(a->seen + n, sizeof a->seen - n, format, args);
    va_end(args);
}

static void start(attacker *a, int fd, int is_server)
{
    int one = 1;
    memset(a, 0, sizeof *a);
    a->fd = fd;
    a->is_server = is_server;
    a->kh = host_key.pub;
    a->ke = short_key.pub;
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        give_up("a socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void hang_up(attacker *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

/* reset: the other side gets a RST, whatever is still on its way. */
static void reset(attacker *a)
{
    struct linger now = { 1, 0 };
    setsockopt(a->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    hang_up(a);
    a->end = "gone";
}

static int dial_to(unsigned port)
{
    struct sockaddr_in to;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* say: bytes as they are.  Nobody minds if the other side has gone: what it
 * said before that is still to be read. */
static int say(attacker *a, const uint8_t *bytes, size_t len)
{
    while (len > 0 && a->fd >= 0) {
        ssize_t n = send(a->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return 0;
        } else if (!wait_fd(a->fd, POLLOUT, PATIENCE_MS)) {
            return 0;
        }
    }
    return len == 0;
}

/* hear: 1: a whole frame is in heard[]; 0: not yet; -1: never.  The next call
 * after a frame begins with the next one. */
static int hear(attacker *a, long patience_ms)
{
    size_t want = 4;
    if (a->heard_len >= 4
        && a->heard_len == 4u + (size_t)(a->heard[2] << 8 | a->heard[3]))
        a->heard_len = 0;
    while (a->end == NULL) {
        ssize_t n;
        if (a->heard_len >= 4)
            want = 4u + (size_t)(a->heard[2] << 8 | a->heard[3]);
        if (a->heard_len == want)
            return 1;
        n = recv(a->fd, a->heard + a->heard_len, want - a->heard_len, 0);
        if (n > 0)
            a->heard_len += (size_t)n;
        else if (n == 0)
            a->end = "EOF";
        else if (errno == EAGAIN) {
            if (patience_ms == 0 || !wait_fd(a->fd, POLLIN, patience_ms))
                return 0;
        } else if (errno != EINTR)
            a->end = errno == ECONNRESET ? "RST" : strerror(errno);
    }
    return -1;
}

/* ---- 3. frames, keys ----------------------------------------------------- */

static size_t put_head(uint8_t *frame, int type, size_t body_len)
{
    frame[0] = (uint8_t)type;
    frame[1] = 1;
    frame[2] = (uint8_t)(body_len >> 8);
    frame[3] = (uint8_t)body_len;
    return 4 + body_len;
}

static void count_up(way *w)
{
    if (++w->counter != w->rekey_at)
        return;
    sc_hkdf_expand(w->key, "secchan/1 rekey", 15, w->key, 32);
    w->counter = 0;
}

static void nonce_of(uint8_t nonce[12], const way *w)
{
    int i;
    memset(nonce, 0, 12);
    for (i = 0; i < 4; i++)
        nonce[4 + i] = (uint8_t)(w->counter >> 8 * i);
}

static size_t seal(way *w, uint8_t *frame, int type, const uint8_t *text,
                   size_t len)
{
    uint8_t nonce[12];
    nonce_of(nonce, w);
    put_head(frame, type, len + 16);
    sc_aead_seal(frame + 4, w->key, nonce, frame, 4, text, len);
    count_up(w);
    return 4 + len + 16;
}

/* unseal: the record in heard[], in place. */
static int unseal(attacker *a)
{
    uint8_t nonce[12];
    nonce_of(nonce, &a->in);
    if (!sc_aead_open(a->heard + 4, a->in.key, nonce, a->heard, 4,
                      a->heard + 4, a->heard_len - 4))
        return 0;
    count_up(&a->in);
    return 1;
}

static void hash(const uint8_t *p, size_t len, uint8_t digest[32])
{
    sc_sha256 s;
    sc_sha256_init(&s);
    sc_sha256_add(&s, p, len);
    sc_sha256_end(&s, digest);
}

static void expand(uint8_t key[32], const uint8_t prk[32], const char *label)
{
    sc_hkdf_expand(prk, label, strlen(label), key, 32);
}

/* box_at: where M3's identity box begins in said[]. */
static size_t box_at(const attacker *a)
{
    return a->at[3] + 4 + a->kh.n_len + KE_LEN;
}

static void handshake_keys(attacker *a)
{
    uint8_t t3[32], hs[32];
    hash(a->said, box_at(a), t3);
    sc_hkdf_extract(hs, t3, 32, a->s1_s2, 64);
    expand(a->k_identity, hs, "secchan/1 client identity");
    expand(a->k_confirm, hs, "secchan/1 server confirm");
    expand(a->k_chain, hs, "secchan/1 chain");
}

static void session_keys(attacker *a)
{
    uint8_t t5[32], ms[32], ikm[64];
    way *client = a->is_server ? &a->in : &a->out;
    way *server = a->is_server ? &a->out : &a->in;
    hash(a->said, a->at[5], t5);
    memcpy(ikm, a->k_chain, 32);
    memcpy(ikm + 32, a->s3, 32);
    sc_hkdf_extract(ms, t5, 32, ikm, a->named != NULL ? 64 : 32);
    expand(client->key, ms, "secchan/1 client to server");
    expand(server->key, ms, "secchan/1 server to client");
    expand(a->k_proof, ms, "secchan/1 client confirm");
    client->rekey_at = server->rekey_at = 65536;
    a->has_keys = 1;
}

/* ---- 4. spoilt OAEP ------------------------------------------------------ */

#define LABEL_1 "secchan/1 host key"
#define LABEL_2 "secchan/1 short-lived key"
#define LABEL_3 "secchan/1 client key"

enum { WELL, FIRST_1, FIRST_7F, LHASH_FIRST, LHASH_LAST, PADDING_01, PADDING_FF,
       SEPARATOR_0, SEPARATOR_2, SECRET_31, SECRET_33, SECRET_0, LABEL_WRONG,
       OTHER_TALK, NO_LABEL, IS_0, IS_1, IS_N_LESS_1, IS_N, IS_N_MORE_1, PLUS_N,
       ALL_ONES, FIRST_BIT, LAST_BIT, RANDOM, N_FAULTS,
       ZEROS = 64 };            /* added to one of them: see make_secret */

static const char *const fault_name[N_FAULTS] = {
    "well-formed", "first byte 1", "first byte 7f", "lHash, first byte",
    "lHash, last byte", "01 at the beginning of the padding",
    "ff at the end of the padding", "no separator", "separator 2",
    "a secret of 31 bytes", "a secret of 33 bytes", "an empty secret",
    "another label", "another conversation's label", "no label",
    "ciphertext 0", "ciphertext 1", "ciphertext n-1", "ciphertext n",
    "ciphertext n+1", "n added", "all ones", "first bit flipped",
    "last bit flipped", "random bytes"
};

/* mask: p ^= MGF1(seed). */
static void mask(uint8_t *p, size_t len, const uint8_t *seed, size_t seed_len)
{
    uint8_t input[600], digest[32];
    size_t i;
    memcpy(input, seed, seed_len);
    memset(input + seed_len, 0, 4);
    for (i = 0; i < len; i++) {
        if (i % 32 == 0) {
            input[seed_len + 3] = (uint8_t)(i / 32);
            hash(input, seed_len + 4, digest);
        }
        p[i] ^= digest[i % 32];
    }
}

static void encode(uint8_t *em, size_t k, const uint8_t *label,
                   size_t label_len, const uint8_t *text, size_t text_len,
                   int fault)
{
    uint8_t *seed = em + 1, *block = em + 33, *one = em + k - text_len - 1;
    size_t block_len = k - 33;
    memset(em, 0, k);
    random_bytes(seed, 32);
    hash(label, label_len, block);
    *one = fault == SEPARATOR_0 ? 0 : fault == SEPARATOR_2 ? 2 : 1;
    memcpy(one + 1, text, text_len);
    if (fault == LHASH_FIRST)
        block[0] ^= 1;
    if (fault == LHASH_LAST)
        block[31] ^= 0x80;
    if (fault == PADDING_01)
        block[32] = 1;
    if (fault == PADDING_FF)
        one[-1] = 0xff;
    mask(block, block_len, seed, 32);
    mask(seed, 32, block, block_len);
    em[0] = fault == FIRST_1 ? 1 : fault == FIRST_7F ? 0x7f : 0;
}

/* careless: the secret that somebody finds in em who checks nothing. */
static void careless(uint8_t secret[32], const uint8_t *em, size_t k)
{
    uint8_t open[SC_MODULUS_MAX];
    memcpy(open, em, k);
    mask(open + 1, 32, open + 33, k - 33);
    mask(open + 33, k - 33, open + 1, 32);
    memcpy(secret, open + k - 32, 32);
}

/* add_to: c = x + y; 1 if it has no room. */
static int add_to(uint8_t *c, const uint8_t *x, const uint8_t *y, size_t k)
{
    unsigned carry = 0;
    while (k-- > 0) {
        carry += (unsigned)x[k] + y[k];
        c[k] = (uint8_t)carry;
        carry >>= 8;
    }
    return carry != 0;
}

/* forced: ciphertexts that are what they are, and what is in them. */
static void forced(const sc_public_key *key, int fault, uint8_t *c, uint8_t *em)
{
    size_t k = key->n_len;
    uint8_t one[SC_MODULUS_MAX] = { 0 };
    one[k - 1] = 1;
    if (fault >= IS_0 && fault <= IS_N_MORE_1) {
        memset(c, 0, k);
        memset(em, 0, k);
        em[k - 1] = fault == IS_1 || fault == IS_N_MORE_1;
        c[k - 1] = em[k - 1];
        if (fault == IS_N_LESS_1) {
            memcpy(c, key->n, k);
            c[k - 1] ^= 1;              /* n is odd */
            memcpy(em, c, k);           /* (-1)^d = -1 */
        }
        if (fault == IS_N)
            memcpy(c, key->n, k);
        if (fault == IS_N_MORE_1)
            add_to(c, key->n, one, k);
    }
    if (fault == ALL_ONES)
        memset(c, 0xff, k);
    if (fault == RANDOM)
        random_bytes(c, k);
    if (fault == FIRST_BIT)
        c[0] ^= 0x40;
    if (fault == LAST_BIT)
        c[k - 1] ^= 1;
}

/* make_secret: a secret and its OAEP; where it is spoilt, the secret that would
 * be found in it by somebody who does not look, or with ZEROS what would be
 * left by somebody who wipes it and does not say so: everything after it fits
 * together for them. */
static void make_secret(const sc_public_key *key, const char *text,
                        const uint8_t t[32], int fault, uint8_t secret[32],
                        uint8_t *c)
{
    uint8_t em[SC_MODULUS_MAX], plus[SC_MODULUS_MAX], fresh[33], label[64];
    size_t len, k = key->n_len, tries = 0;
    int is_zeros = fault & ZEROS;
    fault &= ~ZEROS;
    if (fault == LABEL_WRONG)
        text = text[10] == 'h' ? LABEL_2 : LABEL_1;
    len = strlen(text);
    memcpy(label, text, len);
    memcpy(label + len, t, 32);
    label[len] ^= fault == OTHER_TALK;
    do {
        random_bytes(fresh, sizeof fresh);
        encode(em, k, label, fault == NO_LABEL ? 0 : len + 32, fresh,
               fault == SECRET_31 ? 31 : fault == SECRET_33 ? 33
               : fault == SECRET_0 ? 0 : 32, fault);
        sc_rsa_public(key, em, c);
    } while (fault == PLUS_N && add_to(plus, c, key->n, k) && ++tries < 10000);
    if (fault == PLUS_N)
        memcpy(c, plus, k);
    forced(key, fault, c, em);
    careless(secret, em, k);
    if (is_zeros)
        memset(secret, 0, 32);
}

/* ---- 5. handshake frames ------------------------------------------------- */

/* remember_frame: the transcript goes on with this frame. */
static void remember_frame(attacker *a, int n, const uint8_t *frame, size_t len)
{
    if (a->said_len + len > sizeof a->said)
        return;
    a->at[n] = a->said_len;
    memcpy(a->said + a->said_len, frame, len);
    a->said_len += len;
    a->at[n + 1] = a->said_len;
}

static size_t make_m1(attacker *a, uint8_t *frame)
{
    size_t len = put_head(frame, 1, 0);
    remember_frame(a, 1, frame, len);
    return len;
}

/* What is wrong with one of M2's keys. */
enum { KE, KH };
static const struct {
    const char *what;
    int which;
    int first, fill, last;      /* bytes; -1: as they are */
    int more;                   /* bytes appended, or cut off */
    int error;
} m2_faults[] = {
    { "", KE, -1, -1, -1, 0, SC_OK },
    { "Ke even", KE, -1, -1, 0xfe, 0, SC_ERR_PUBLIC_KEY },
    { "Kh even", KH, -1, -1, 0xfe, 0, SC_ERR_PUBLIC_KEY },
    { "Ke below 2^2047", KE, 0x7f, -1, -1, 0, SC_ERR_PUBLIC_KEY },
    { "Kh below 2^2047", KH, 0x7f, -1, -1, 0, SC_ERR_PUBLIC_KEY },
    { "Ke short: first byte 0", KE, 0, -1, -1, 0, SC_ERR_PUBLIC_KEY },
    { "Kh short: first byte 0", KH, 0, -1, -1, 0, SC_ERR_PUBLIC_KEY },
    { "Ke 0", KE, 0, 0, 0, 0, SC_ERR_PUBLIC_KEY },
    { "Kh 0", KH, 0, 0, 0, 0, SC_ERR_PUBLIC_KEY },
    { "Ke 1", KE, 0, 0, 1, 0, SC_ERR_PUBLIC_KEY },
    { "Kh 1", KH, 0, 0, 1, 0, SC_ERR_PUBLIC_KEY },
    { "Ke 2^2047", KE, 0x80, 0, 0, 0, SC_ERR_PUBLIC_KEY },
    { "Kh 2^2047", KH, 0x80, 0, 0, 0, SC_ERR_PUBLIC_KEY },
    { "Kh 2^2047 + 1, not the host's", KH, 0x80, 0, 1, 0, SC_ERR_PIN },
    { "Kh all ones, not the host's", KH, 0xff, 0xff, 0xff, 0, SC_ERR_PIN },
    { "Kh a byte longer, not the host's", KH, -1, -1, -1, 1, SC_ERR_PIN },
    { "Kh a byte longer, even", KH, -1, -1, -1, 2, SC_ERR_PUBLIC_KEY },
    { "Kh 255 bytes", KH, -1, -1, -1, -1, SC_ERR_FRAME },
    { "Kh 513 bytes", KH, -1, -1, -1, 257, SC_ERR_FRAME },
    { "Kh 512 bytes, not the host's", KH, -1, -1, -1, 256, SC_ERR_PIN },
    { "Kh is Ke", KH, -1, -1, -1, 1000, SC_ERR_SAME_KEYS },
    { "Ke is Kh", KE, -1, -1, -1, 1000, SC_ERR_SAME_KEYS }
};

static size_t make_m2(attacker *a, uint8_t *frame)
{
    uint8_t *ke = frame + 36, *kh = ke + KE_LEN, *bad;
    size_t kh_len = host_key.pub.n_len, i;
    int f = a->m2_fault, more = m2_faults[f].more;
    random_bytes(frame + 4, 32);
    memcpy(ke, short_key.pub.n, KE_LEN);
    memcpy(kh, host_key.pub.n, kh_len);
    bad = m2_faults[f].which == KE ? ke : kh;
    if (m2_faults[f].fill >= 0)
        memset(bad, m2_faults[f].fill, 256);
    if (m2_faults[f].first >= 0)
        bad[0] = (uint8_t)m2_faults[f].first;
    if (m2_faults[f].last >= 0)
        bad[255] = (uint8_t)((m2_faults[f].fill < 0 ? bad[255] : 0xff)
                             & m2_faults[f].last);
    if (more == 1000)
        memcpy(bad, bad == ke ? host_key.pub.n : short_key.pub.n, 256);
    else if (more < 0)
        kh_len -= 1;
    else
        for (i = 0; i < (size_t)more; i++)
            kh[kh_len++] = i + 1 == (size_t)more && more == 2 ? 2 : 1;
    i = put_head(frame, 2, 32 + KE_LEN + kh_len);
    remember_frame(a, 2, frame, i);
    return i;
}

static void take_m2(attacker *a)
{
    const uint8_t *ke = a->heard + 36;
    remember_frame(a, 2, a->heard, a->heard_len);
    if (a->heard_len < 36 + KE_LEN + SC_MODULUS_MIN
        || a->heard_len > 36 + KE_LEN + SC_MODULUS_MAX)
        return;
    a->ke.n_len = KE_LEN;
    memcpy(a->ke.n, ke, KE_LEN);
    a->kh.n_len = a->heard_len - 36 - KE_LEN;
    memcpy(a->kh.n, ke + KE_LEN, a->kh.n_len);
}

/* How M3 is spoilt: each of its ciphertexts, or its box. */
enum { BOX_WELL, BOX_TAG, BOX_FIRST_BIT, BOX_ZEROS, BOX_OTHER_KEY, BOX_NO_AD,
       BOX_NONCE, KC_EVEN, KC_ZERO, KC_ONE, KC_SMALL, SWAPPED, N_BOXES };
static const char *const box_name[N_BOXES] = {
    "well", "box: tag", "box: first bit", "box: zeros", "box: another key",
    "box: no T3", "box: another nonce", "Kc even", "Kc 0", "Kc 1",
    "Kc below 2^2047", "C1 and C2 swapped"
};

static size_t put_kc(const attacker *a, uint8_t *kc, int box)
{
    size_t len = a->named == NULL ? 0 : a->named->n_len;
    if (len == 0)
        return 0;
    memcpy(kc, a->named->n, len);
    if (box == KC_ZERO || box == KC_ONE)
        memset(kc, 0, len);
    if (box == KC_ONE)
        kc[len - 1] = 1;
    if (box == KC_EVEN)
        kc[len - 1] ^= 1;
    if (box == KC_SMALL)
        kc[0] &= 0x7f;
    return len;
}

static size_t make_m3(attacker *a, uint8_t *frame, int c1, int c2, int box)
{
    uint8_t t2[32], t3[32], nonce[12] = { 0 }, kc[SC_MODULUS_MAX];
    uint8_t *at_c1 = frame + 4, *at_c2 = at_c1 + a->kh.n_len;
    uint8_t *at_box = at_c2 + KE_LEN;
    size_t kc_len = put_kc(a, kc, box), len;
    len = put_head(frame, 3, a->kh.n_len + KE_LEN + kc_len + 16);
    hash(a->said, a->said_len, t2);
    make_secret(&a->kh, LABEL_1, t2, c1, a->s1_s2, at_c1);
    make_secret(&a->ke, LABEL_2, t2, c2, a->s1_s2 + 32, at_c2);
    if (box == SWAPPED && a->kh.n_len == KE_LEN) {
        uint8_t c[KE_LEN];
        memcpy(c, at_c1, KE_LEN);
        memcpy(at_c1, at_c2, KE_LEN);
        memcpy(at_c2, c, KE_LEN);
    }
    remember_frame(a, 3, frame, len);
    handshake_keys(a);
    hash(a->said, box_at(a), t3);
    if (box == BOX_OTHER_KEY)
        random_bytes(a->k_identity, 32);
    nonce[11] = box == BOX_NONCE;
    sc_aead_seal(at_box, a->k_identity, nonce, t3, box == BOX_NO_AD ? 0 : 32,
                 kc, kc_len);
    if (box == BOX_TAG)
        frame[len - 1] ^= 1;
    if (box == BOX_FIRST_BIT)
        at_box[0] ^= 0x80;
    if (box == BOX_ZEROS)
        memset(at_box, 0, kc_len + 16);
    a->said_len = a->at[3];             /* again, with the box */
    remember_frame(a, 3, frame, len);
    return len;
}

/* take_m3: as an honest server would; but a blind one has to guess. */
static void take_m3(attacker *a)
{
    uint8_t t2[32], t3[32], nonce[12] = { 0 }, label[64];
    const uint8_t *c1 = a->heard + 4, *c2 = c1 + a->kh.n_len;
    sc_word ok1 = 0, ok2 = 0;
    size_t len = a->heard_len - 4 - a->kh.n_len - KE_LEN;
    hash(a->said, a->said_len, t2);
    memcpy(label, LABEL_1, 18);
    memcpy(label + 18, t2, 32);
    sc_oaep_decrypt(&host_key, label, 50, c1, a->s1_s2, 32, &ok1, sc_os_random,
                    NULL);
    memcpy(label, LABEL_2, 25);
    memcpy(label + 25, t2, 32);
    sc_oaep_decrypt(&short_key, label, 57, c2, a->s1_s2 + 32, 32, &ok2,
                    sc_os_random, NULL);
    if (a->is_blind)
        random_bytes(a->s1_s2, 32);
    remember_frame(a, 3, a->heard, a->heard_len);
    handshake_keys(a);
    hash(a->said, box_at(a), t3);
    a->kc.n_len = len - 16;
    if (a->is_blind)
        a->kc = client_key.pub;
    else if (!(ok1 & ok2 & sc_aead_open(a->kc.n, a->k_identity, nonce, t3, 32,
                                        a->said + box_at(a), len)))
        note(a, "bad-M3");
    a->named = len > 16 ? &a->kc : NULL;
}

static size_t make_m4(attacker *a, uint8_t *frame)
{
    uint8_t t4[32], ad[36], nonce[12] = { 0 }, q[SC_MODULUS_MAX];
    size_t kc_len = a->named == NULL ? 0 : a->named->n_len, len;
    len = put_head(frame, 4, kc_len + 16);
    hash(a->said, a->at[4], t4);
    memcpy(ad, frame, 4);
    memcpy(ad + 4, t4, 32);
    if (kc_len > 0)
        make_secret(a->named, LABEL_3, t4, a->q_fault, a->s3, q);
    sc_aead_seal(frame + 4, a->k_confirm, nonce, ad, 36, q, kc_len);
    remember_frame(a, 4, frame, len);
    session_keys(a);
    return len;
}

static int take_m4(attacker *a)
{
    uint8_t t4[32], ad[36], nonce[12] = { 0 }, q[SC_MODULUS_MAX], label[64];
    size_t len = a->heard_len - 4;
    sc_word ok = 0;
    if (len != 16 + (a->named == NULL ? 0 : a->named->n_len))
        return 0;
    hash(a->said, a->at[4], t4);
    memcpy(ad, a->heard, 4);
    memcpy(ad + 4, t4, 32);
    if (!sc_aead_open(q, a->k_confirm, nonce, ad, 36, a->heard + 4, len))
        return 0;
    memcpy(label, LABEL_3, 20);
    memcpy(label + 20, t4, 32);
    if (a->identity == NULL)
        random_bytes(a->s3, 32);        /* an impostor can only guess */
    else if (sc_oaep_decrypt(a->identity, label, 52, q, a->s3, 32, &ok,
                             sc_os_random, NULL) != SC_OK || !ok)
        return 0;
    remember_frame(a, 4, a->heard, a->heard_len);
    session_keys(a);
    return 1;
}

static size_t make_m5(attacker *a, uint8_t *frame)
{
    uint8_t t5[32], ad[36], nonce[12] = { 0 };
    size_t len = put_head(frame, 5, 16);
    hash(a->said, a->at[5], t5);
    memcpy(ad, frame, 4);
    memcpy(ad + 4, t5, 32);
    sc_aead_seal(frame + 4, a->k_proof, nonce, ad, 36, NULL, 0);
    return len;
}

/* ---- 6. scripts ---------------------------------------------------------- */

/* A script is words with a blank between them.
 *   M1 .. M5             that frame, made from what was said before
 *   data:T more:T close:N    a record: T its text, N the reason
 *   big:N bigmore:N      the same with a text of N times x
 *   hex:H  head:T,V,L  zeros:N     these bytes; a header alone; zeros
 *   oldM2 .. oldM5 oldR  that frame of another conversation (oldR: a record)
 *   again held reflect   the frame before; the held one; the one just heard
 *   ?W                   hear a frame, which must be W (a pattern, as of files)
 *   blind                a server that does not hold its host key
 *   as:client as:stranger as:impostor    who says M3: a key that is listed, one
 *                        that is not, one that is listed but not held
 *   fin rst pause:MS     end of writing; a reset; silence
 * A frame may be handled badly first, WHAT+frame:
 *   badtag badbyte typeN versionN longer shorter   changed
 *   drop hold half       not sent; sent later, by "held"; half of it sent
 *   otherkey randomkey   sealed with the peer's key, or with any key
 *   fault:N              N of m2_faults, or for M4 of fault_name
 * In a text ~ is a blank. */

static attacker recorded;       /* an honest conversation */
static uint8_t recorded_record[64];
static size_t recorded_record_len;

/* name_heard: what it is that was heard; records are opened. */
static void name_heard(attacker *a, char *name, size_t max)
{
    int type = a->heard[0];
    size_t len = a->heard_len - 4;
    memcpy(a->mirror, a->heard, a->heard_len);
    a->mirror_len = a->heard_len;
    if (type >= 6 && type <= 8 && len >= 16 && a->has_keys) {
        if (!unseal(a))
            snprintf(name, max, "sealed:%d", type);
        else if (type == 8)
            snprintf(name, max, "close:%d", a->heard[4]);
        else
            snprintf(name, max, "%s:%.*s", type == 6 ? "data" : "more",
                     len - 16 < 150 ? (int)(len - 16) : 150,
                     (const char *)a->heard + 4);
    } else if (type >= 1 && type <= 5) {
        snprintf(name, max, "M%d", type);
    } else {
        snprintf(name, max, "type:%d", type);
    }
}

/* take: a handshake frame that was expected has come. */
static int take(attacker *a)
{
    switch (a->heard[0]) {
    case 1: remember_frame(a, 1, a->heard, a->heard_len); return 1;
    case 2: take_m2(a); return 1;
    case 3: take_m3(a); return 1;
    case 4: return take_m4(a);
    default: return 1;
    }
}

static int expect(attacker *a, const char *wanted)
{
    char name[400];
    if (hear(a, PATIENCE_MS) != 1) {
        note(a, "(no %s: %s)", wanted, a->end != NULL ? a->end : "silence");
        return 0;
    }
    name_heard(a, name, sizeof name);
    if (fnmatch(wanted, name, 0) == 0 && (a->has_keys || take(a)))
        return 1;
    note(a, "(not %s:) %s", wanted, name);
    return 0;
}

static size_t make_record(attacker *a, way *w, const char *op, uint8_t *frame)
{
    static uint8_t many[65536];
    static char text[1000];
    const char *colon = strchr(op, ':');
    uint8_t reason;
    size_t n;
    if (colon == NULL)
        return 0;
    n = (size_t)strtoul(colon + 1, NULL, 10);
    snprintf(text, sizeof text, "%s", colon + 1);
    for (colon = text; (colon = strchr(colon, '~')) != NULL; )
        text[colon - text] = ' ';
    memset(many, 'x', sizeof many);
    if (!a->has_keys) {                 /* a record before there are keys */
        random_bytes(w->key, 32);
        w->rekey_at = 65536;
    }
    if (strncmp(op, "data:", 5) == 0)
        return seal(w, frame, 6, (const uint8_t *)text, strlen(text));
    if (strncmp(op, "more:", 5) == 0)
        return seal(w, frame, 7, (const uint8_t *)text, strlen(text));
    if (strncmp(op, "big:", 4) == 0)
        return seal(w, frame, 6, many, n);
    if (strncmp(op, "bigmore:", 8) == 0)
        return seal(w, frame, 7, many, n);
    if (strncmp(op, "close:", 6) != 0)
        return 0;
    reason = (uint8_t)n;
    return seal(w, frame, 8, &reason, 1);
}

static size_t from_hex(uint8_t *bytes, const char *h)
{
    size_t n = 0;
    unsigned byte;
    for (; sscanf(h, "%2x", &byte) == 1; h += 2)
        bytes[n++] = (uint8_t)byte;
    return n;
}

static size_t copy_old(uint8_t *frame, const char *op)
{
    size_t n = (size_t)(op[1] - '0');
    if (op[0] == 'R') {
        memcpy(frame, recorded_record, recorded_record_len);
        return recorded_record_len;
    }
    memcpy(frame, recorded.said + recorded.at[n],
           recorded.at[n + 1] - recorded.at[n]);
    return recorded.at[n + 1] - recorded.at[n];
}

static size_t make(attacker *a, way *w, const char *op, uint8_t *frame)
{
    unsigned type, version, len;
    if (strcmp(op, "M1") == 0) return make_m1(a, frame);
    if (strcmp(op, "M2") == 0) return make_m2(a, frame);
    if (strcmp(op, "M3") == 0) return make_m3(a, frame, WELL, WELL, BOX_WELL);
    if (strcmp(op, "M4") == 0) return make_m4(a, frame);
    if (strcmp(op, "M5") == 0) return make_m5(a, frame);
    if (strncmp(op, "old", 3) == 0) return copy_old(frame, op + 3);
    if (strncmp(op, "hex:", 4) == 0) return from_hex(frame, op + 4);
    if (sscanf(op, "head:%u,%u,%u", &type, &version, &len) == 3) {
        put_head(frame, (int)type, len);
        frame[1] = (uint8_t)version;
        return 4;
    }
    if (sscanf(op, "zeros:%u", &len) == 1) {
        memset(frame, 0, len);
        return len;
    }
    return make_record(a, w, op, frame);
}

/* handle_badly: what WHAT+ does to a frame that is made. */
static void handle_badly(attacker *a, const char *how, size_t how_len)
{
    uint8_t *f = a->last;
    int n;
    if (how_len == 0)
        return;
    n = how[how_len - 1] - '0';
    if (strncmp(how, "badtag", how_len) == 0)
        f[a->last_len - 1] ^= 1;
    else if (strncmp(how, "badbyte", how_len) == 0)
        f[4] ^= 1;
    else if (strncmp(how, "type", 4) == 0)
        f[0] = (uint8_t)n;
    else if (strncmp(how, "version", 7) == 0)
        f[1] = (uint8_t)n;
    else if (strncmp(how, "longer", how_len) == 0) {
        f[a->last_len++] = 0;
        put_head(f, f[0], a->last_len - 4);
    } else if (strncmp(how, "shorter", how_len) == 0) {
        put_head(f, f[0], --a->last_len - 4);
    }
}

/* do_frame: [WHAT+]frame. */
static int do_frame(attacker *a, const char *word)
{
    const char *plus = strchr(word, '+'), *op = plus != NULL ? plus + 1 : word;
    int fault = strncmp(word, "fault:", 6) == 0 ? atoi(word + 6) : 0;
    size_t how_len = plus != NULL ? (size_t)(plus - word) : 0, len;
    way strange = a->in, *w = &a->out;
    if (strncmp(word, "otherkey+", 9) == 0 || strncmp(word, "randomkey+", 10)
        == 0)
        w = &strange;
    strange.counter = a->out.counter;
    if (word[0] == 'r')
        random_bytes(strange.key, 32);
    a->m2_fault = a->q_fault = fault;
    a->last_len = make(a, w, op, a->last);
    if (a->last_len == 0) {
        note(a, "(no such word: %s)", word);
        return 0;
    }
    handle_badly(a, word, how_len);
    len = a->last_len;
    if (strncmp(word, "drop+", 5) == 0)
        return 1;
    if (strncmp(word, "hold+", 5) == 0) {
        memcpy(a->held, a->last, len);
        a->held_len = len;
        return 1;
    }
    if (strncmp(word, "half+", 5) == 0)
        len /= 2;
    say(a, a->last, len);
    return 1;
}

static void be(attacker *a, const char *who)
{
    a->identity = strcmp(who, "client") == 0 ? &client_key
                : strcmp(who, "stranger") == 0 ? &other_key : NULL;
    a->named = a->identity != NULL ? &a->identity->pub : &client_key.pub;
}

static int do_word(attacker *a, const char *word)
{
    if (word[0] == '?')
        return expect(a, word + 1);
    if (strncmp(word, "as:", 3) == 0)
        be(a, word + 3);
    else if (strcmp(word, "again") == 0)
        say(a, a->last, a->last_len);
    else if (strcmp(word, "held") == 0)
        say(a, a->held, a->held_len);
    else if (strcmp(word, "reflect") == 0)
        say(a, a->mirror, a->mirror_len);
    else if (strcmp(word, "blind") == 0)
        a->is_blind = 1;
    else if (strcmp(word, "fin") == 0)
        shutdown(a->fd, SHUT_WR);
    else if (strcmp(word, "rst") == 0)
        reset(a);
    else if (strncmp(word, "pause:", 6) == 0)
        sleep_ms(strtol(word + 6, NULL, 10));
    else
        return do_frame(a, word);
    return 1;
}

/* play: 1 if everything that had to be heard was. */
static int play(attacker *a, const char *script)
{
    char word[1000];
    while (*script != '\0') {
        size_t n = strcspn(script, " ");
        if (n > 0 && n < sizeof word) {
            memcpy(word, script, n);
            word[n] = '\0';
            if (!do_word(a, word))
                return 0;
        }
        script += n;
        script += strspn(script, " ");
    }
    return 1;
}

/* watch: everything that is still said, and how it ends, into seen[]. */
static void watch(attacker *a, long patience_ms)
{
    char name[400];
    int r;
    while ((r = hear(a, patience_ms)) == 1) {
        name_heard(a, name, sizeof name);
        note(a, "%s", name);
        if (!a->has_keys)
            take(a);
    }
    if (r < 0 && a->heard_len > 0)
        note(a, "(%u bytes)", (unsigned)a->heard_len);
    note(a, "%s", r == 0 ? "open" : a->end);
}

/* is_seen: is it one of the patterns, "this|or that"? */
static int is_seen(const char *seen, const char *patterns)
{
    char one[600];
    while (*patterns != '\0') {
        size_t n = strcspn(patterns, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, patterns);
        if (fnmatch(one, seen, 0) == 0)
            return 1;
        patterns += n + (patterns[n] == '|');
    }
    return 0;
}

/* ---- 7. victims ---------------------------------------------------------- */

enum { DEMO, DEMO_LISTED, BLOCKING, BLOCKING_LISTED, FILES, SMALL, WHOLE,
       N_VICTIMS };

typedef struct {
    int kind;
    pid_t pid;
    unsigned port;
    int log_fd;
    char log[9000];             /* read, but not yet looked at */
    size_t log_len;
    unsigned long n_canaries, n_finished;
    long rss_kib;               /* when the group began */
    int n_fds;
} victim;

static victim victims[N_VICTIMS];
static const char *own_path;

static const char *const victim_args[N_VICTIMS][7] = {
    { "./demo_server", "-l", "0", "-k", "host_key" },
    { "./demo_server", "-l", "0", "-k", "host_key", "-a", "listed" },
    { NULL, "victim", "echo", "host_key", "-" },
    { NULL, "victim", "echo", "host_key", "listed" },
    { "./demo_server", "-l", "0", "-k", "host_key", "-r", "received" },
    { "./small_server", "-l", "0", "-k", "host_key", "-r", "received" },
    { NULL, "victim", "whole", "host_key", "-" }
};

/* run: a program, with these files as its output and errors. */
static pid_t run(const char *const *args, const char *out, const char *err)
{
    const char *argv[20];
    size_t n = 0;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    for (; args[n] != NULL && n < 19; n++)
        argv[n] = args[n];
    argv[n] = NULL;
    close(0);
    if (open("/dev/null", O_RDONLY) != 0
        || dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), 1) != 1
        || dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600), 2) != 2)
        _exit(126);
    execv(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* next_line: of a victim's log; 0: there is none at the moment. */
static int next_line(victim *v, char *line, size_t max)
{
    char *end = memchr(v->log, '\n', v->log_len);
    size_t n;
    if (end == NULL && v->log_len < sizeof v->log) {
        ssize_t r = read(v->log_fd, v->log + v->log_len,
                         sizeof v->log - v->log_len);
        v->log_len += r > 0 ? (size_t)r : 0;
        end = memchr(v->log, '\n', v->log_len);
    }
    if (end == NULL)
        return 0;
    n = (size_t)(end - v->log);
    snprintf(line, max, "%.*s", (int)n, v->log);
    v->log_len -= n + 1;
    memmove(v->log, end + 1, v->log_len);
    v->n_canaries += strstr(line, "CANARY") != NULL;
    v->n_finished += strstr(line, "handshake finished") != NULL;
    return 1;
}

/* wait_line: the next line that holds text. */
static int wait_line(victim *v, const char *text, char *line, size_t max)
{
    long left_ms = PATIENCE_MS;
    for (;;) {
        while (next_line(v, line, max))
            if (strstr(line, text) != NULL)
                return 1;
        if (left_ms-- <= 0)
            break;
        sleep_ms(1);
    }
    line[0] = '\0';
    return 0;
}

static void start_victim(victim *v, int kind)
{
    const char *args[8] = { NULL };
    char log[40], err[40], line[400];
    memset(v, 0, sizeof *v);
    v->kind = kind;
    memcpy(args, victim_args[kind], sizeof victim_args[kind]);
    if (args[0] == NULL)
        args[0] = own_path;
    snprintf(log, sizeof log, "victim%d.%ld.log", kind, (long)getpid());
    snprintf(err, sizeof err, "victim%d.%ld.err", kind, (long)getpid());
    v->log_fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    v->pid = run(args, log, err);
    if (v->log_fd < 0 || v->pid < 0
        || !wait_line(v, "listening on", line, sizeof line))
        give_up(args[0]);
    v->port = (unsigned)strtoul(strrchr(line, ' '), NULL, 10);
}

static victim *get(int kind)
{
    if (victims[kind].pid == 0)
        start_victim(&victims[kind], kind);
    return &victims[kind];
}

static void stop_victims(void)
{
    int i;
    for (i = 0; i < N_VICTIMS; i++)
        if (victims[i].pid > 0) {
            kill(victims[i].pid, SIGKILL);
            waitpid(victims[i].pid, NULL, 0);
            victims[i].pid = 0;
        }
}

/* memory: a line of /proc/PID/status, in KiB; -1: no such thing here. */
static long memory(pid_t pid, const char *what)
{
    char path[60], line[200];
    long kib = -1;
    FILE *f;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    f = fopen(path, "r");
    if (f == NULL)
        return -1;
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtol(line + strlen(what) + 1, NULL, 10);
    fclose(f);
    return kib;
}

static int descriptors(pid_t pid)
{
    char path[60];
    int n = -1;
    DIR *d;
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)pid);
    d = opendir(path);
    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL)
        closedir(d);
    return n;
}

/* good_exchange: an honest client, by the library, is served. */
static int good_exchange(victim *v)
{
    static sc_conn c;
    sc_client_options o;
    char reply[200], line[400];
    size_t len = 0;
    int r, is_file = v->kind == FILES || v->kind == SMALL;
    memset(&o, 0, sizeof o);
    o.pin = pin;
    if (v->kind == DEMO_LISTED || v->kind == BLOCKING_LISTED)
        o.identity = &client_key;
    r = sc_connect(&c, "127.0.0.1", v->port, &o);
    sc_set_timeout(&c, PATIENCE_MS);
    if (r == SC_OK)
        r = sc_send(&c, "good", 4);
    if (r == SC_OK && is_file)
        r = sc_send(&c, "contents", 8);
    if (r == SC_OK)
        r = sc_recv_whole(&c, reply, sizeof reply, &len);
    if (r == SC_OK)
        r = sc_finish(&c);
    if (r == SC_OK && sc_recv_whole(&c, reply + 100, 1, &len) != SC_CLOSED)
        r = SC_ERR_STATE;
    sc_close(&c);
    if (is_file)
        unlink("received/good");
    snprintf(why, sizeof why, "%s", sc_strerror(r));
    return r == SC_OK
        && wait_line(v, "client has finished", line, sizeof line)
        && (is_file ? reply[0] != 'e' : v->kind == WHOLE ? reply[0] == '4'
            : memcmp(reply, "good", 4) == 0);
}

/* serves: it may have stood still for longer than it allows others to. */
static int serves(victim *v)
{
    unsigned long pauses = n_pauses;
    return good_exchange(v) || (n_pauses != pauses && good_exchange(v));
}

/* before, after: a group of cases against the victims of these kinds: what they
 * need before, and that they need no more after it. */
static void before(int first, int last)
{
    int i, k;
    for (k = first; k <= last; k++) {
        for (i = 0; i < 3; i++)
            count(serves(get(k)), "victim %d serves: %s", k, why);
        sleep_ms(200);                  /* the last of them has gone */
        victims[k].rss_kib = memory(victims[k].pid, "VmRSS:");
        victims[k].n_fds = descriptors(victims[k].pid);
    }
}

#define GROWTH_KIB 256          /* pages of code and libc not touched before */

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0          /* else freed memory is kept on purpose */
#endif

/* after: figures says what it came to. */
static const char *after(int first, int last)
{
    static char figures[200];
    long most = 0;
    int k, tries;
    for (k = first; k <= last; k++) {
        victim *v = get(k);
        long rss;
        count(serves(v), "victim %d still serves: %s", k, why);
        for (tries = 0; tries < 1000 && descriptors(v->pid) > v->n_fds; tries++)
            sleep_ms(10);
        rss = memory(v->pid, "VmRSS:");
        if (rss - v->rss_kib > most)
            most = rss - v->rss_kib;
        if (rss < 0)
            continue;
        count(descriptors(v->pid) == v->n_fds, "victim %d: %d descriptors, "
              "there were %d", k, descriptors(v->pid), v->n_fds);
        count(IS_SANITIZED || rss <= v->rss_kib + GROWTH_KIB,
              "victim %d: %ld KiB of memory, it had %ld", k, rss, v->rss_kib);
    }
    snprintf(figures, sizeof figures, "still served; memory grew by at most "
             "%ld KiB; descriptors as before", most);
    if (IS_SANITIZED)
        snprintf(figures, sizeof figures, "still served; memory not judged, "
                 "as a sanitizer keeps it; descriptors as before");
    if (memory(getpid(), "VmRSS:") < 0)
        snprintf(figures, sizeof figures, "still served (no /proc here: memory "
                 "not looked at)");
    return figures;
}

/* ---- 8. a case against a server ------------------------------------------ */

/* verdict of a server, as its log says it: SC_OK or an error; or ... */
enum { ANY = 99, NOT_FINISHED = 98 };   /* not a normal end */

typedef struct {
    const char *what;
    int listed;                 /* 1: a server that wants listed keys */
    const char *script, *sees;
    int verdict;
} server_case;

static int is_verdict(const char *line, int verdict)
{
    if (verdict == ANY)
        return 1;
    if (verdict == NOT_FINISHED)
        return strstr(line, "has finished") == NULL;
    if (verdict == SC_OK)
        return strstr(line, "the client has finished") != NULL;
    return strstr(line, sc_strerror(verdict)) != NULL
           || (verdict == SC_ERR_NOT_AUTHORISED
               && strstr(line, "refused SHA256:") != NULL);
}

static attacker a_client;       /* the one in most cases */

static int try_server(victim *v, const char *script, const char *sees,
                      int verdict)
{
    attacker *a = &a_client;
    char line[500];
    size_t n = strlen(sees);
    int good;
    v->n_canaries = 0;
    start(a, dial_to(v->port), 0);
    good = play(a, script);
    if (a->fd >= 0)
        watch(a, n >= 4 && strcmp(sees + n - 4, "open") == 0 ? 300
                                                             : PATIENCE_MS);
    hang_up(a);
    good &= wait_line(v, ": ended", line, sizeof line);
    good = good && is_seen(a->seen, sees) && is_verdict(line, verdict)
        && v->n_canaries == 0 && strstr(a->seen, "CANARY") == NULL;
    if (!good)
        snprintf(why, sizeof why, "%.200s -> saw: %.200s, not: %.100s; log: "
                 "%.200s%s", script, a->seen, sees, line,
                 v->n_canaries > 0 ? "; RELEASED" : "");
    return good;
}

/* against: one case.  What failed while all stood still is done again. */
static void against(int kind, const char *what, const char *script,
                    const char *sees, int verdict)
{
    unsigned long pauses;
    int good, tries = 0;
    do {
        pauses = n_pauses;
        good = try_server(get(kind), script, sees, verdict);
    } while (!good && n_pauses != pauses && ++tries < 3);
    count(good, "victim %d, %s: %s", kind, what, why);
}

static void against_both(const server_case *c, size_t n)
{
    for (; n > 0; n--, c++) {
        against(DEMO + c->listed, c->what, c->script, c->sees, c->verdict);
        against(BLOCKING + c->listed, c->what, c->script, c->sees, c->verdict);
    }
}

/* ---- 9. servers: headers ------------------------------------------------- */

#define SHOWN "M1 ?M2 "
#define TALK "M1 ?M2 M3 ?M4 "
#define NAMED "as:client M1 ?M2 M3 ?M4 "
#define KEYED NAMED "M5 "

enum { AT_DOOR, AT_M3, AT_M5, AT_TALK, AT_KEYED, AT_PART, AT_END, AT_M2, AT_M4,
       AT_M4_KEYED };

static const struct {
    const char *what, *script, *refused;
    int listed;
} server_stage[] = {
    { "waiting for M1", "", "EOF|RST", 0 },
    { "waiting for M3", SHOWN, "EOF|RST", 0 },
    { "waiting for M5", NAMED, "EOF|RST", 1 },
    { "open", TALK, "close:2 EOF", 0 },
    { "open, with a key", KEYED, "close:2 EOF", 1 },
    { "inside a message", TALK "more:part ?more:part ", "close:2 EOF", 0 },
    { "after CLOSE", TALK "close:0 ?close:0 ", "EOF", 0 }
};

static const unsigned some_len[] = {
    0, 1, 15, 16, 17, 18, 255, 256, 271, 272, 273, 527, 528, 529, 543, 544, 545,
    783, 784, 785, 799, 800, 801, 1039, 1040, 1041, 4096, 16383, 16384, 16399,
    16400, 16401, 32767, 32768, 65534, 65535
};

/* page_allows: may such a frame come?  As the table of docs/PROTOCOL.md says.
 * kh_len: the host key's. */
static int page_allows(int stage, unsigned kh_len, unsigned type,
                       unsigned version, unsigned len)
{
    unsigned m3 = kh_len + 256 + 16;
    if (version != 1)
        return 0;
    switch (stage) {
    case AT_DOOR: return type == 1 && len == 0;
    case AT_M2: return type == 2 && len >= 544 && len <= 800;
    case AT_M3: return type == 3 && (len == m3 || (len >= m3 + 256
                                                   && len <= m3 + 512));
    case AT_M4: return type == 4 && len == 16;
    case AT_M4_KEYED: return type == 4 && len == 256 + 16;
    case AT_M5: return type == 5 && len == 16;
    case AT_END: return 0;
    default: return (type == 6 && len >= 16 && len <= 16400)
                 || (type == 7 && len >= 17 && len <= 16400)
                 || (type == 8 && len == 17);
    }
}

/* header_says: sc_frame_len on a copy of this channel. */
static int header_says(const sc_channel *at, int stage, unsigned kh_len,
                       unsigned type, unsigned version, unsigned len)
{
    static sc_channel ch;
    uint8_t head[4];
    size_t frame_len = 1;
    int r;
    ch = *at;
    ch.short_key = NULL;        /* which copies must not give back */
    put_head(head, (int)type, len);
    head[1] = (uint8_t)version;
    r = sc_frame_len(&ch, head, &frame_len);
    if (page_allows(stage, kh_len, type, version, len))
        return r == SC_OK && frame_len == 4 + len && ch.error == SC_OK;
    return frame_len == 0 && ch.error == r
        && r == (stage == AT_END ? SC_ERR_CLOSE : SC_ERR_FRAME);
}

static unsigned long n_headers, n_headers_wrong;

static void try_headers(const sc_channel *at, int stage, unsigned kh_len)
{
    unsigned type, version, len, i;
    for (type = 0; type < 256; type++) {
        for (len = 0; len < 65536; len++) {
            if (type > 9 && type != 127 && type != 128 && type != 255
                && !is_full)
                break;
            n_headers++;
            n_headers_wrong += !header_says(at, stage, kh_len, type, 1, len);
        }
        for (version = 0; version < 256; version++)
            for (i = 0; i < COUNT(some_len); i++) {
                n_headers++;
                n_headers_wrong += !header_says(at, stage, kh_len, type,
                                                version, some_len[i]);
            }
    }
}

/* pass: what one channel has to say is given to the other. */
static void pass(sc_channel *to, uint8_t *frame, size_t *len)
{
    static uint8_t reply[SC_REPLY_MAX];
    sc_event event;
    size_t n = 0;
    sc_input(to, frame, *len, &event, reply, &n);
    memcpy(frame, reply, n);
    *len = n;
}

/* walk: a whole conversation in memory, and at each stop all headers. */
static void walk(const sc_private_key *kh, const sc_private_key *identity)
{
    static sc_server server;
    static sc_channel c, s;
    static uint8_t frame[SC_FRAME_MAX];
    unsigned kh_len = (unsigned)kh->pub.n_len;
    sc_server_options so;
    sc_client_options co;
    size_t n;
    memset(&so, 0, sizeof so);
    memset(&co, 0, sizeof co);
    so.host_key = kh;
    co.accept_any_host_insecure = 1;
    co.identity = identity;
    count(sc_server_init_with(&server, &so, &short_key, 0) == SC_OK
          && sc_server_accept(&s, &server) == SC_OK
          && sc_client_init(&c, &co, frame, &n) == SC_OK, "channels begin");
    try_headers(&s, AT_DOOR, kh_len);
    try_headers(&c, AT_M2, kh_len);
    pass(&s, frame, &n);
    try_headers(&s, AT_M3, kh_len);
    if (kh != &host_key)
        return;                         /* nobody holds that one */
    pass(&c, frame, &n);
    try_headers(&c, identity != NULL ? AT_M4_KEYED : AT_M4, kh_len);
    pass(&s, frame, &n);
    if (identity != NULL) {
        try_headers(&s, AT_M5, kh_len);
        return;
    }
    pass(&c, frame, &n);
    count(sc_ready(&c) && sc_ready(&s), "channels are ready");
    try_headers(&s, AT_TALK, kh_len);
    sc_seal(&c, 1, frame, 1, frame + 4, &n);
    memmove(frame, frame + 4, n);
    pass(&s, frame, &n);
    try_headers(&s, AT_PART, kh_len);
    sc_seal(&c, 0, frame, 0, frame + 4, &n);
    memmove(frame, frame + 4, n);
    pass(&s, frame, &n);
    sc_shut(&c, frame, &n);
    pass(&s, frame, &n);
    try_headers(&s, AT_END, kh_len);
    sc_shut(&s, frame, &n);
    pass(&c, frame, &n);
    try_headers(&c, AT_END, kh_len);
}

static void group_headers_memory(void)
{
    static const size_t lens[] = { 257, 258, 384, 511, 512 };
    static sc_private_key big;
    size_t i;
    begin();
    walk(&host_key, NULL);
    walk(&host_key, &client_key);
    for (i = 0; i < COUNT(lens); i++) {
        memset(&big, 0, sizeof big);
        big.pub.n_len = lens[i];
        big.pub.n[0] = 0x80;
        big.pub.n[lens[i] - 1] = 1;
        walk(&big, NULL);
    }
    count(n_headers_wrong == 0, "%lu headers were not judged as the page does",
          n_headers_wrong);
    evidence("both ends, sc_frame_len in memory: every length 0 to 65535 in "
             "every state", "%lu headers, each judged as the page does",
             n_headers);
}

/* One header over a socket; if it is taken, a body of zeros follows, which
 * shows that it was. */
static void try_header(int kind, int stage, unsigned type, unsigned version,
                       unsigned len)
{
    char script[300], what[100];
    const char *sees = server_stage[stage].refused;
    int verdict = stage == AT_END ? ANY : SC_ERR_FRAME;
    snprintf(script, sizeof script, "%shead:%u,%u,%u",
             server_stage[stage].script, type, version, len);
    snprintf(what, sizeof what, "%s: type %u, version %u, length %u",
             server_stage[stage].what, type, version, len);
    if (page_allows(stage, 256, type, version, len)) {
        size_t n = strlen(script);
        snprintf(script + n, sizeof script - n, " zeros:%u fin", len);
        verdict = stage >= AT_TALK ? SC_ERR_RECORD
                : stage == AT_DOOR ? SC_ERR_CUT_OFF : SC_ERR_HANDSHAKE;
        if (stage == AT_DOOR) {
            snprintf(script + n, sizeof script - n, " ?M2 fin");
            sees = "EOF";
        }
    }
    against(kind, what, script, sees, verdict);
}

static void group_headers(void)
{
    unsigned type, i;
    int k, stage;
    begin();
    before(DEMO, BLOCKING_LISTED);
    for (k = DEMO; k <= BLOCKING; k += 2)
        for (stage = AT_DOOR; stage <= AT_END; stage++)
            for (type = 0; type < 256; type++) {
                unsigned step = is_full || k == DEMO ? 1 : 3;
                int kind = k + server_stage[stage].listed;
                if (type > 9 && type != 255 && !is_full)
                    continue;
                for (i = type % step; i < COUNT(some_len); i += step)
                    if (type < 10 || i % 9 == 3)
                        try_header(kind, stage, type, 1, some_len[i]);
                if (type > 9)
                    continue;
                try_header(kind, stage, type, 0, 17);
                try_header(kind, stage, type, 2, 17);
                if (type == 3)
                    try_header(kind, stage, type, 255, 528);
            }
    evidence("servers: every frame type in every state, lengths and versions "
             "at their edges", "%s", after(DEMO, BLOCKING_LISTED));
}

/* ---- 10. servers: handshake, M3 ------------------------------------------ */

static const server_case handshake_cases[] = {
    { "honest", 0, TALK "data:hello ?data:hello close:0", "close:0 EOF",
      SC_OK },
    { "honest, with a key", 1, KEYED "data:hello ?data:hello close:0",
      "close:0 EOF", SC_OK },
    { "a hang-up at once", 0, "fin", "EOF", SC_ERR_CUT_OFF },
    { "HTTP", 0, "hex:474554202f20485454502f312e300d0a0d0a", "EOF|RST",
      SC_ERR_FRAME },
    { "SSH", 0, "hex:5353482d322e302d780d0a", "EOF|RST", SC_ERR_FRAME },
    { "TLS", 0, "hex:160301020001000000", "EOF|RST", SC_ERR_FRAME },
    { "M1 with a body", 0, "hex:0101000100", "EOF|RST", SC_ERR_FRAME },
    { "M1 twice, at once", 0, "M1 again", "M2 EOF", SC_ERR_FRAME },
    { "M1 twice", 0, SHOWN "again", "EOF", SC_ERR_FRAME },
    { "M1 dropped", 0, "drop+M1 head:3,1,528", "EOF", SC_ERR_FRAME },
    { "M2 sent back", 0, SHOWN "reflect", "EOF|RST", SC_ERR_FRAME },
    { "M3 dropped, M5", 0, SHOWN "head:5,1,16", "EOF", SC_ERR_FRAME },
    { "M3 dropped, data", 0, SHOWN "data:CANARY", "EOF|RST", SC_ERR_FRAME },
    { "M3 dropped, CLOSE", 0, SHOWN "close:0", "EOF|RST", SC_ERR_FRAME },
    { "M3 of another conversation", 1, SHOWN "oldM3", "EOF", SC_ERR_HANDSHAKE },
    { "a whole other conversation", 1, "M1 ?M2 oldM3 oldM5 oldR", "EOF|RST",
      SC_ERR_HANDSHAKE },
    { "M3 cut", 0, SHOWN "half+M3 fin", "EOF", SC_ERR_CUT_OFF },
    { "M3 twice", 0, TALK "again", "close:2 EOF", SC_ERR_FRAME },
    { "M3 twice, with a key", 1, NAMED "again", "EOF|RST", SC_ERR_FRAME },
    { "M4 sent back", 0, TALK "reflect", "close:2 EOF", SC_ERR_FRAME },
    { "M4 sent back, with a key", 1, NAMED "reflect", "EOF|RST", SC_ERR_FRAME },
    { "M5 with a wrong tag", 1, NAMED "badtag+M5", "EOF", SC_ERR_HANDSHAKE },
    { "M5 with a wrong tag, data", 1, NAMED "badtag+M5 data:CANARY", "EOF|RST",
      SC_ERR_HANDSHAKE },
    { "M5 of another conversation", 1, NAMED "oldM5 data:CANARY", "EOF|RST",
      SC_ERR_HANDSHAKE },
    { "M5 cut", 1, NAMED "half+M5 fin", "EOF", SC_ERR_CUT_OFF },
    { "M5 dropped, data", 1, NAMED "data:CANARY", "EOF|RST", SC_ERR_FRAME },
    { "M5 after data", 1, NAMED "data:CANARY M5", "EOF|RST", SC_ERR_FRAME },
    { "M5 dropped, CLOSE", 1, NAMED "close:0", "EOF|RST", SC_ERR_FRAME },
    { "M5 twice", 1, KEYED "again", "close:2 EOF", SC_ERR_FRAME },
    { "M5 of an anonymous client", 0, TALK "M5", "close:2 EOF", SC_ERR_FRAME },
    { "M5 and data at once", 1, KEYED "data:a ?data:a close:0", "close:0 EOF",
      SC_OK },
    { "a listed key, not held", 1, "as:impostor M1 ?M2 M3 ?M4 M5 data:CANARY",
      "EOF|RST", SC_ERR_HANDSHAKE },
    { "a key that is not listed", 1, "as:stranger M1 ?M2 M3 ?M4 M5",
      "close:1 EOF", SC_ERR_NOT_AUTHORISED },
    { "a key that is not listed, data", 1,
      "as:stranger M1 ?M2 M3 ?M4 M5 data:CANARY", "close:1 EOF",
      SC_ERR_NOT_AUTHORISED },
    { "a key, but no list", 0, KEYED "data:CANARY", "close:1 EOF",
      SC_ERR_NOT_AUTHORISED },
    { "no key, but a list", 1, TALK, "close:1 EOF", SC_ERR_ANONYMOUS },
    { "no key, but a list, data", 1, TALK "data:CANARY", "close:1 EOF",
      SC_ERR_ANONYMOUS }
};

/* record_one: an honest conversation, to be said again in others. */
static void record_one(void)
{
    victim *v = get(DEMO_LISTED);
    char line[400];
    start(&recorded, dial_to(v->port), 0);
    if (!play(&recorded, KEYED "data:one"))
        give_up(recorded.seen);
    recorded_record_len = recorded.last_len;
    memcpy(recorded_record, recorded.last, recorded.last_len);
    remember_frame(&recorded, 5, recorded.last, 20);
    recorded.said_len = recorded.at[5];
    make_m5(&recorded, recorded.said + recorded.at[5]);
    play(&recorded, "?data:one close:0 ?close:0");
    hang_up(&recorded);
    wait_line(v, ": ended", line, sizeof line);
}

static void group_handshake(void)
{
    begin();
    before(DEMO, BLOCKING_LISTED);
    record_one();
    against_both(handshake_cases, COUNT(handshake_cases));
    evidence("servers: handshake frames dropped, repeated, replayed, "
             "reflected, out of turn; keys not held or not listed", "%s",
             after(DEMO, BLOCKING_LISTED));
}

/* All the ways to spoil M3. */
typedef struct {
    char name[100];
    int c1, c2, box, is_old;
    unsigned n_times;
    double ms[1000];
} m3_way;

static m3_way m3_ways[200];
static size_t n_m3_ways;

static void add_way(int c1, int c2, int box, int is_old)
{
    m3_way *w = &m3_ways[n_m3_ways++];
    memset(w, 0, sizeof *w);
    w->c1 = c1;
    w->c2 = c2;
    w->box = box;
    w->is_old = is_old;
    snprintf(w->name, sizeof w->name, "C1 %s, C2 %s, %s%s%s",
             fault_name[c1 & ~ZEROS], fault_name[c2 & ~ZEROS], box_name[box],
             (c1 | c2) & ZEROS ? ", zeros" : "", is_old ? ", replayed" : "");
}

static void list_ways(void)
{
    int i;
    n_m3_ways = 0;
    for (i = 1; i < N_FAULTS; i++) {
        add_way(i, WELL, BOX_WELL, 0);
        add_way(WELL, i, BOX_WELL, 0);
        add_way(i, i, BOX_WELL, 0);
        add_way(i | ZEROS, WELL, BOX_WELL, 0);
        add_way(WELL, i | ZEROS, BOX_WELL, 0);
    }
    for (i = 1; i < N_BOXES; i++)
        add_way(WELL, WELL, i, 0);
    add_way(FIRST_1, WELL, KC_EVEN, 0);
    add_way(WELL, IS_0, BOX_TAG, 0);
    add_way(WELL, WELL, BOX_WELL, 1);
}

/* spoil_m3: 1 if all that comes is an orderly end; *ms: when. */
static int spoil_m3(victim *v, const m3_way *w, int is_named, double *ms)
{
    attacker *a = &a_client;
    char line[500];
    double began;
    int good;
    v->n_finished = 0;
    start(a, dial_to(v->port), 0);
    good = play(a, is_named ? "as:client M1 ?M2" : "M1 ?M2");
    a->last_len = w->is_old ? copy_old(a->last, "M3")
                            : make_m3(a, a->last, w->c1, w->c2, w->box);
    began = now_s();
    good &= say(a, a->last, a->last_len);
    watch(a, PATIENCE_MS);
    *ms = (now_s() - began) * 1000;
    hang_up(a);
    good &= wait_line(v, ": ended", line, sizeof line);
    good &= strcmp(a->seen, "EOF") == 0 && v->n_finished == 0
         && strstr(line, "ended in the handshake") != NULL
         && is_verdict(line, SC_ERR_HANDSHAKE);
    snprintf(why, sizeof why, "saw: %.200s; log: %.200s", a->seen, line);
    return good;
}

static void one_way(int k, m3_way *w, int is_named)
{
    unsigned long pauses;
    double ms = 0;
    int good, tries = 0;
    if (w->box >= KC_EVEN && w->box <= KC_SMALL && !is_named)
        return;
    do {
        pauses = n_pauses;
        good = spoil_m3(get(k + is_named), w, is_named, &ms);
    } while (!good && n_pauses != pauses && ++tries < 3);
    count(good, "victim %d, M3 spoilt: %s: %s", k + is_named, w->name, why);
    if (good && k == DEMO && is_named && w->n_times < COUNT(w->ms))
        w->ms[w->n_times++] = ms;
}

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* span: over all ways, of the fastest time (part 0) or the median (part 2). */
static void span(char *text, size_t max, unsigned part)
{
    double low = 1e9, high = 0;
    size_t i, slow = 0, fast = 0;
    for (i = 0; i < n_m3_ways; i++) {
        m3_way *w = &m3_ways[i];
        double ms;
        if (w->n_times == 0)
            continue;
        qsort(w->ms, w->n_times, sizeof w->ms[0], by_size);
        ms = w->ms[w->n_times * part / 4];
        if (ms < low) {
            low = ms;
            fast = i;
        }
        if (ms > high) {
            high = ms;
            slow = i;
        }
    }
    snprintf(text, max, "%.3f ms (%.99s) to %.3f ms (%.99s)", low,
             m3_ways[fast].name, high, m3_ways[slow].name);
}

static void say_times(void)
{
    char fastest[300], medians[300];
    span(fastest, sizeof fastest, 0);
    span(medians, sizeof medians, 2);
    measured("servers: time from a spoilt M3 to the end, as an attacker on the "
             "same machine sees it; no gate", "fastest of each of %u ways: %s; "
             "medians: %s; %u times each, in turn", (unsigned)n_m3_ways,
             fastest, medians, m3_ways[0].n_times);
}

static void group_m3(void)
{
    unsigned round, n_rounds = is_full ? 300 : 15;
    size_t i;
    begin();
    before(DEMO, BLOCKING_LISTED);
    record_one();
    list_ways();
    for (i = 0; i < n_m3_ways; i++) {
        one_way(DEMO, &m3_ways[i], 0);
        one_way(BLOCKING, &m3_ways[i], 0);
        one_way(BLOCKING, &m3_ways[i], 1);
    }
    for (round = 0; round < n_rounds; round++)
        for (i = 0; i < n_m3_ways; i++)
            one_way(DEMO, &m3_ways[(i + 7 * round) % n_m3_ways], 1);
    evidence("servers: every way to spoil M3 looks the same: no byte, then an "
             "orderly end; and the same words in the log", "%u ways; %s",
             (unsigned)n_m3_ways, after(DEMO, BLOCKING_LISTED));
    say_times();
}

/* ---- 11. servers: records, CLOSE, cuts ----------------------------------- */

#define BAD_RECORD "close:2 EOF", SC_ERR_RECORD
#define BAD_HEADER "close:2 EOF", SC_ERR_FRAME

static const server_case record_cases[] = {
    { "an empty message", 0, TALK "data: ?data: close:0", "close:0 EOF",
      SC_OK },
    { "the longest record", 0, TALK "big:16384 ?data:xx* close:0",
      "close:0 EOF", SC_OK },
    { "a byte too long", 0, TALK "big:16385", BAD_HEADER },
    { "the longest frame", 0, TALK "big:65519", BAD_HEADER },
    { "an empty part", 0, TALK "bigmore:0", BAD_HEADER },
    { "a part a byte too long", 0, TALK "bigmore:16385", BAD_HEADER },
    { "a CLOSE of two bytes", 0, TALK "type8+data:ab", BAD_HEADER },
    { "a CLOSE of no byte", 0, TALK "type8+data:", BAD_HEADER },
    { "tag changed", 0, TALK "badtag+data:CANARY", BAD_RECORD },
    { "text changed", 0, TALK "badbyte+data:CANARY", BAD_RECORD },
    { "tag changed, with a key", 1, KEYED "badtag+data:CANARY", BAD_RECORD },
    { "DATA made DATA_MORE", 0, TALK "type7+data:CANARY", BAD_RECORD },
    { "DATA_MORE made DATA", 0, TALK "type6+more:CANARY", BAD_RECORD },
    { "DATA made CLOSE", 0, TALK "type8+data:C", BAD_RECORD },
    { "CLOSE made DATA", 0, TALK "type6+close:0", BAD_RECORD },
    { "DATA made M3", 0, TALK "type3+data:CANARY", BAD_HEADER },
    { "another version", 0, TALK "version2+data:CANARY", BAD_HEADER },
    { "a byte longer", 0, TALK "longer+data:CANARY", BAD_RECORD },
    { "a byte shorter", 0, TALK "shorter+data:CANARY", BAD_RECORD },
    { "repeated", 0, TALK "data:one ?data:one again", BAD_RECORD },
    { "repeated, with a key", 1, KEYED "data:one ?data:one again", BAD_RECORD },
    { "a part repeated", 0, TALK "more:one ?more:one again", BAD_RECORD },
    { "reordered", 0, TALK "hold+data:CANARY1 data:CANARY2 held", BAD_RECORD },
    { "dropped", 0, TALK "drop+data:one data:CANARY", BAD_RECORD },
    { "a part dropped", 0, TALK "more:a ?more:a drop+more:b data:CANARY",
      BAD_RECORD },
    { "sent back", 0, TALK "data:one ?data:one reflect", BAD_RECORD },
    { "sent back, with a key", 1, KEYED "data:one ?data:one reflect",
      BAD_RECORD },
    { "sealed with the server's key", 0, TALK "otherkey+data:CANARY",
      BAD_RECORD },
    { "sealed with any key", 0, TALK "randomkey+data:CANARY", BAD_RECORD },
    { "of another conversation", 1, KEYED "oldR", BAD_RECORD },
    { "zeros", 0, TALK "head:6,1,30 zeros:30", BAD_RECORD },
    { "bad at the end of a message", 0,
      TALK "more:part ?more:part badtag+data:CANARY", BAD_RECORD },
    { "bad, then good ones", 0, TALK "badtag+data:CANARY data:CANARY close:0",
      BAD_RECORD },
    { "half a header, end", 0, TALK "hex:0601 fin", "EOF", SC_ERR_CUT_OFF },
    { "half a record, end", 0, TALK "half+data:CANARY fin", "EOF",
      SC_ERR_CUT_OFF },
    { "half a message, end", 0, TALK "more:part ?more:part fin", "EOF",
      SC_ERR_CUT_OFF },
    { "end without CLOSE", 0, TALK "data:one ?data:one fin", "EOF",
      SC_ERR_CUT_OFF }
};

/* shout: n records of len bytes, as fast as they are taken.  hears: what is
 * sent back is opened and counted, else not read at all. */
static int shout(attacker *a, unsigned long n, int type, size_t len, int hears,
                 unsigned long *n_heard)
{
    static uint8_t text[SC_RECORD_MAX], out[SC_FRAME_MAX * 4];
    size_t out_len = 0, sent = 0;
    char name[400];
    long idle_ms = 0;
    *n_heard = 0;
    memset(text, 'x', sizeof text);
    while (n > 0 || sent < out_len) {
        unsigned long before = *n_heard;
        ssize_t r = 0;
        int h = 0;
        if (sent == out_len)
            for (sent = out_len = 0; n > 0 && out_len + len + 20 <= sizeof out;
                 n--)
                out_len += seal(&a->out, out + out_len, type, text, len);
        if (sent < out_len)
            r = send(a->fd, out + sent, out_len - sent, MSG_NOSIGNAL);
        if (r < 0 && errno != EAGAIN)
            return 0;
        sent += r > 0 ? (size_t)r : 0;
        while (hears && (h = hear(a, 0)) == 1) {
            name_heard(a, name, sizeof name);
            if (a->heard[0] != type) {
                note(a, "%s", name);
                return 0;
            }
            ++*n_heard;
        }
        if (h < 0)
            return 0;
        idle_ms = r > 0 || *n_heard > before ? 0 : idle_ms + 10;
        if (idle_ms > 0)
            wait_fd(a->fd, (short)((sent < out_len ? POLLOUT : 0)
                                   | (hears ? POLLIN : 0)), 10);
        if (idle_ms > (hears ? PATIENCE_MS : 500))
            return 0;
    }
    return 1;
}

/* shout_all: and everything comes back. */
static int shout_all(attacker *a, unsigned long n, int type, size_t len)
{
    unsigned long n_heard;
    if (!shout(a, n, type, len, 1, &n_heard))
        return 0;
    while (n_heard < n && hear(a, PATIENCE_MS) == 1) {
        char name[400];
        name_heard(a, name, sizeof name);
        n_heard += a->heard[0] == type;
    }
    return n_heard == n;
}

/* Keys are replaced after 65536 records: not one sooner, not one later. */
static void rekey_cases(int kind)
{
    static const struct {
        const char *what;
        uint32_t at;
        const char *sees;
        int verdict;
    } cases[] = {
        { "the key is replaced in time", 65536, "data:last close:0 EOF",
          SC_OK },
        { "the key is not replaced", UINT32_MAX, BAD_RECORD },
        { "the key is replaced a record too soon", 65535, BAD_RECORD }
    };
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        attacker *a = &a_client;
        victim *v = get(kind);
        char line[400];
        int good;
        start(a, dial_to(v->port), 0);
        good = play(a, TALK) && shout_all(a, 65535, 7, 1);
        a->out.rekey_at = cases[i].at;
        if (cases[i].at == 65535) {
            a->out.counter--;
            count_up(&a->out);
        }
        good = good && play(a, cases[i].at == 65536
                            ? "more:y ?more:y data:last close:0"
                            : cases[i].at == 65535 ? "data:CANARY"
                            : "more:y ?more:y data:CANARY");
        watch(a, PATIENCE_MS);
        hang_up(a);
        good &= wait_line(v, ": ended", line, sizeof line)
             && is_verdict(line, cases[i].verdict) && v->n_canaries == 0
             && strcmp(a->seen, cases[i].sees) == 0;
        count(good, "victim %d, %s: saw %s; log %s", kind, cases[i].what,
              a->seen, line);
    }
}

/* The alarm that rings when something is released, rings. */
static void try_alarm(int kind)
{
    victim *v = get(kind);
    int rings = !try_server(v, TALK "data:CANARY ?data:CANARY close:0",
                            "close:0 EOF", SC_OK) && v->n_canaries > 0;
    count(rings, "victim %d: a released text would not be noticed: %s", kind,
          why);
}

static void group_records(void)
{
    begin();
    before(DEMO, BLOCKING_LISTED);
    record_one();
    try_alarm(DEMO);
    try_alarm(BLOCKING);
    against_both(record_cases, COUNT(record_cases));
    evidence("servers: records altered, repeated, reordered, dropped, "
             "reflected, cut, of other keys, at their longest",
             "none released; %s", after(DEMO, BLOCKING_LISTED));
    begin();
    before(DEMO, BLOCKING_LISTED);
    rekey_cases(DEMO);
    rekey_cases(BLOCKING);
    evidence("servers: record 65536 under the old key, or the new key one "
             "record early", "%s", after(DEMO, BLOCKING_LISTED));
}

static const server_case close_cases[] = {
    { "CLOSE 0 twice", 0, TALK "close:0 again", "close:0 EOF", SC_OK },
    { "two CLOSE 0", 0, TALK "close:0 close:0", "close:0 EOF", SC_OK },
    { "data after CLOSE 0", 0, TALK "close:0 data:CANARY", "close:0 EOF",
      SC_OK },
    { "data after CLOSE 0, with a key", 1, KEYED "close:0 data:CANARY",
      "close:0 EOF", SC_OK },
    { "data after CLOSE 0 was answered", 0,
      TALK "close:0 ?close:0 data:CANARY data:CANARY fin", "EOF", SC_OK },
    { "data, CLOSE 0, data", 0, TALK "data:one close:0 data:CANARY",
      "data:one close:0 EOF", SC_OK },
    { "garbage after CLOSE 0", 0, TALK "close:0 hex:ffffffffffff",
      "close:0 EOF", SC_OK },
    { "data after CLOSE 1", 0, TALK "close:1 data:CANARY", "EOF|RST",
      SC_ERR_REFUSED },
    { "data after CLOSE 2", 0, TALK "close:2 data:CANARY", "EOF|RST",
      SC_ERR_PEER_PROTOCOL },
    { "data after CLOSE 9", 0, TALK "close:9 data:CANARY", "close:2 EOF",
      SC_ERR_CLOSE },
    { "a forged CLOSE", 0, TALK "badtag+close:0", BAD_RECORD },
    { "a forged CLOSE, with a key", 1, KEYED "badtag+close:0", BAD_RECORD },
    { "CLOSE of another key", 0, TALK "otherkey+close:0", BAD_RECORD },
    { "CLOSE sent back", 0, TALK "close:0 ?close:0 reflect", "EOF", SC_OK },
    { "CLOSE inside a message, then its end", 0,
      TALK "more:part close:0 data:CANARY", "more:part close:2 EOF",
      SC_ERR_CLOSE },
    { "half a CLOSE, end", 0, TALK "half+close:0 fin", "EOF", SC_ERR_CUT_OFF },
    { "CLOSE, reset", 0, TALK "close:0 rst", "*", ANY }
};

static void every_reason(int kind)
{
    static const int verdicts[4] = { SC_OK, SC_ERR_REFUSED,
                                     SC_ERR_PEER_PROTOCOL, SC_ERR_PEER_INTERNAL
    };
    int reason;
    for (reason = 0; reason < 256; reason++) {
        int verdict = reason < 4 ? verdicts[reason] : SC_ERR_CLOSE;
        char script[100], what[60];
        snprintf(what, sizeof what, "CLOSE %d", reason);
        snprintf(script, sizeof script, TALK "close:%d", reason);
        against(kind, what, script, reason == 0 ? "close:0 EOF"
                : reason < 4 ? "EOF" : "close:2 EOF", verdict);
        snprintf(what, sizeof what, "CLOSE %d inside a message", reason);
        snprintf(script, sizeof script, TALK "more:part ?more:part close:%d",
                 reason);
        against(kind, what, script, reason >= 1 && reason < 4 ? "EOF"
                : "close:2 EOF", reason == 0 ? SC_ERR_CLOSE : verdict);
    }
}

static void group_close(void)
{
    begin();
    before(DEMO, BLOCKING_LISTED);
    against_both(close_cases, COUNT(close_cases));
    every_reason(DEMO);
    every_reason(BLOCKING);
    evidence("servers: CLOSE early, twice, forged, with each of 256 reasons, "
             "inside a message, with data after it", "%s",
             after(DEMO, BLOCKING_LISTED));
}

static const struct {
    const char *script;
    int listed;
} steps[] = {
    { "", 0 }, { "hex:01 ", 0 }, { "hex:010100 ", 0 }, { "M1 ", 0 },
    { SHOWN, 0 }, { SHOWN "hex:03 ", 0 }, { SHOWN "half+M3 ", 0 },
    { SHOWN "M3 ", 0 }, { SHOWN "as:client M3 ", 1 }, { NAMED, 1 },
    { NAMED "half+M5 ", 1 }, { KEYED, 1 }, { KEYED "half+data:CANARY ", 1 },
    { KEYED "data:one ", 1 }, { TALK, 0 }, { TALK "hex:0601 ", 0 },
    { TALK "half+data:CANARY ", 0 }, { TALK "data:one ", 0 },
    { TALK "data:one ?data:one ", 0 }, { TALK "more:one ", 0 },
    { TALK "more:one ?more:one ", 0 }, { TALK "big:16384 again ", 0 },
    { TALK "bigmore:16384 bigmore:16384 bigmore:16384 ", 0 },
    { TALK "badtag+data:CANARY ", 0 },
    { TALK "badtag+data:CANARY ?close:2 ", 0 }, { TALK "half+close:0 ", 0 },
    { "M1 ?M2 badtag+M3 ", 0 }
};

static void group_cuts(void)
{
    char script[300];
    size_t i, step = is_full ? 1 : 61, n;
    int k, rst;
    begin();
    before(DEMO, BLOCKING_LISTED);
    for (k = DEMO; k <= BLOCKING; k += 2)
        for (rst = 0; rst < 2; rst++) {
            for (i = 0; i < COUNT(steps); i++) {
                snprintf(script, sizeof script, "%s%s", steps[i].script,
                         rst ? "rst" : "fin");
                against(k + steps[i].listed, rst ? "reset" : "end", script, "*",
                        NOT_FINISHED);
            }
            for (n = 1; n < 784; n += step) {
                snprintf(script, sizeof script, "M1 ?M2 head:3,1,784 zeros:%u "
                         "%s", (unsigned)n, rst ? "rst" : "fin");
                against(k, "M3 cut", script, "*", NOT_FINISHED);
            }
        }
    evidence("servers: a reset (SO_LINGER 0) and an end of stream at every "
             "step", "never taken for a normal end; %s",
             after(DEMO, BLOCKING_LISTED));
}

/* ---- 12. servers: files -------------------------------------------------- */

#define PART TALK "data:name bigmore:16384 "

static const server_case file_cases[] = {
    { "half a file, reset", FILES, PART "rst", "*", NOT_FINISHED },
    { "half a file, end", FILES, PART "fin", "EOF", SC_ERR_CUT_OFF },
    { "half a file, CLOSE 0", FILES, PART "close:0", "close:2 EOF",
      SC_ERR_CLOSE },
    { "half a file, CLOSE 1", FILES, PART "close:1", "EOF", SC_ERR_REFUSED },
    { "half a file, CLOSE 3", FILES, PART "close:3", "EOF",
      SC_ERR_PEER_INTERNAL },
    { "a part repeated", FILES, PART "again data:", BAD_RECORD },
    { "a part dropped", FILES, PART "drop+more:x data:end", BAD_RECORD },
    { "the last part forged", FILES, PART "badtag+data:end", BAD_RECORD },
    { "DATA_MORE made DATA", FILES, PART "type6+more:end", BAD_RECORD },
    { "a name, and no contents", FILES, TALK "data:name close:0",
      "data:error*never came* close:0 EOF", ANY },
    { "half a name, CLOSE 0", FILES, TALK "more:name close:0", "close:2 EOF",
      SC_ERR_CLOSE },
    { "a path up", FILES, TALK "data:../name data:x", "data:error* close:0 EOF",
      ANY },
    { "a path", FILES, TALK "data:a/name data:x", "data:error* close:0 EOF",
      ANY },
    { "a backslash", FILES, TALK "data:..\\name data:x",
      "data:error* close:0 EOF", ANY },
    { "a hidden name", FILES, TALK "data:.name data:x",
      "data:error* close:0 EOF", ANY },
    { "no name", FILES, TALK "data: data:x", "data:error* close:0 EOF", ANY },
    { "a control byte", FILES, TALK "data:na\033me data:x",
      "data:error* close:0 EOF", ANY },
    { "a name of 256 bytes", FILES, TALK "big:256 data:x",
      "data:error* close:0 EOF", ANY },
    { "a name without end", FILES, TALK "bigmore:200 bigmore:200 bigmore:200",
      "data:error* close:0 EOF", ANY },
    { "more than is taken", SMALL, TALK "data:name bigmore:16384 bigmore:16384 "
      "bigmore:16384 bigmore:16384 bigmore:16384 bigmore:16384 bigmore:16384 "
      "bigmore:16384 data:", "data:error*more than* close:0 EOF", ANY }
};

static int files_in(const char *folder)
{
    DIR *d = opendir(folder);
    int n = -2;                         /* without . and .. */
    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL)
        closedir(d);
    return n;
}

static void group_files(void)
{
    size_t i;
    int n, tries;
    begin();
    before(FILES, SMALL);
    for (i = 0; i < COUNT(file_cases); i++) {
        const server_case *c = &file_cases[i];
        against(c->listed, c->what, c->script, c->sees, c->verdict);
        for (tries = 0; (n = files_in("received")) != 0 && tries < 500; tries++)
            sleep_ms(10);
        count(n == 0, "%s: %d files are left", c->what, n);
    }
    evidence("demo_server -r: files cut, forged, too long, with names that "
             "lead elsewhere", "no file left, no name taken; %s",
             after(FILES, SMALL));
}

/* ---- 13. servers: memory ------------------------------------------------- */

/* begin_talk: an anonymous conversation that goes on. */
static int begin_talk(attacker *a, victim *v)
{
    start(a, dial_to(v->port), 0);
    return play(a, TALK);
}

static void endless(victim *v, unsigned long n, int type, size_t len)
{
    attacker *a = &a_client;
    char line[400];
    long most;
    count(begin_talk(a, v) && shout_all(a, n, type, len), "victim %d: %lu "
          "records of %u bytes, type %d, all come back: %s", v->kind, n,
          (unsigned)len, type, a->seen);
    most = memory(v->pid, "VmRSS:");
    count(IS_SANITIZED || most < 0 || most <= v->rss_kib + GROWTH_KIB,
          "victim %d: %ld KiB while it goes on, it had %ld", v->kind, most,
          v->rss_kib);
    reset(a);
    wait_line(v, ": ended", line, sizeof line);
}

/* deaf: it sends, and never reads. */
static unsigned long deaf(victim *v)
{
    static attacker b;
    attacker *a = &b;
    unsigned long n_heard;
    char line[400];
    long most;
    count(begin_talk(a, v) && !shout(a, 1ul << 30, 7, SC_RECORD_MAX, 0,
                                     &n_heard), "victim %d: who does not read "
          "is not stopped", v->kind);
    most = memory(v->pid, "VmRSS:");
    count(IS_SANITIZED || most < 0 || most <= v->rss_kib + GROWTH_KIB,
          "victim %d: %ld KiB for a deaf client, it had %ld", v->kind, most,
          v->rss_kib);
    n_heard = a->out.counter;
    if (v->kind == DEMO)
        count(serves(v), "victim %d serves beside a deaf client: %s", v->kind,
              why);
    reset(a);
    wait_line(v, ": ended", line, sizeof line);
    return n_heard;
}

static void group_endless(void)
{
    unsigned long mib = is_full ? 1024 : 48, n_deaf;
    begin();
    before(DEMO, BLOCKING_LISTED);
    endless(get(DEMO), mib * 64, 7, SC_RECORD_MAX);
    endless(get(BLOCKING), mib * 64, 7, SC_RECORD_MAX);
    endless(get(DEMO), is_full ? 1000000 : 100000, 7, 1);
    endless(get(DEMO), is_full ? 200000 : 20000, 6, 0);
    n_deaf = deaf(get(DEMO));
    deaf(get(BLOCKING));
    evidence("servers: a message without end, parts of one byte, empty "
             "messages, a client that never reads",
             "%lu MiB of one message; the deaf one was stopped after %lu kB; "
             "%s", mib, n_deaf * SC_RECORD_MAX / 1000,
             after(DEMO, BLOCKING_LISTED));
}

/* sc_recv_whole has a maximum: 16 MiB, and not a byte more. */
static void group_whole(void)
{
    static const struct {
        const char *what;
        unsigned long n_parts;
        const char *then, *sees;
        int verdict;
    } cases[] = {
        { "16 MiB", 1024, "data:", "data:16777216 close:0 EOF", SC_OK },
        { "16 MiB and a byte", 1024, "data:x", "close:2 EOF", SC_ERR_TOO_LONG },
        { "without end", 1024, "bigmore:16384", "close:2 EOF",
          SC_ERR_TOO_LONG },
        { "half, cut off", 500, "fin", "EOF", SC_ERR_CUT_OFF },
        { "half, CLOSE 0", 500, "close:0", "close:2 EOF", SC_ERR_CLOSE },
        { "half, forged", 500, "badtag+data:x", BAD_RECORD }
    };
    attacker *a = &a_client;
    unsigned long n_heard;
    char line[400];
    size_t i;
    begin();
    before(WHOLE, WHOLE);
    for (i = 0; i < COUNT(cases); i++) {
        int good = begin_talk(a, get(WHOLE));
        good = good && shout(a, cases[i].n_parts, 7, SC_RECORD_MAX, 1,
                             &n_heard) && play(a, cases[i].then);
        if (cases[i].verdict == SC_OK)
            good = good && play(a, "close:0");
        watch(a, PATIENCE_MS);
        hang_up(a);
        good &= wait_line(get(WHOLE), ": ended", line, sizeof line)
             && is_verdict(line, cases[i].verdict)
             && strcmp(a->seen, cases[i].sees) == 0;
        count(good, "sc_recv_whole, %s: saw %s; log %s", cases[i].what, a->seen,
              line);
    }
    evidence("sc_recv_whole: a message of 16 MiB is taken, of a byte more is "
             "not; half a message is never handed out", "%s",
             after(WHOLE, WHOLE));
}

/* ---- 14. servers: a crowd ------------------------------------------------ */

#define CROWD 1000

/* How far each of the crowd gets before it stops. */
static const char *const stall[] = {
    "", "hex:0101", "M1", "M1 ?M2", "M1 ?M2 head:3,1,528",
    "M1 ?M2 head:3,1,784 zeros:700"
};

static int crowd[1200];

static void disperse(size_t n)
{
    while (n > 0)
        if (crowd[--n] >= 0) {
            close(crowd[n]);
            crowd[n] = -1;
        }
}

/* gather: n clients that do as the scripts say and then nothing more; how many
 * could do that. */
static size_t gather(victim *v, const char *const *scripts, size_t n_scripts,
                     size_t n)
{
    size_t i, good = 0;
    for (i = 0; i < n; i++) {
        start(&a_client, dial_to(v->port), 0);
        good += (size_t)play(&a_client, scripts[i % n_scripts]);
        crowd[i] = a_client.fd;
    }
    return good;
}

static size_t still_open(size_t n)
{
    char bytes[4096];
    size_t open = 0;
    ssize_t r;
    while (n-- > 0) {
        while ((r = recv(crowd[n], bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
            continue;
        open += r < 0 && errno == EAGAIN;
    }
    return open;
}

/* forget_lines: of the many that have left. */
static void forget_lines(victim *v)
{
    char line[400];
    sleep_ms(300);
    while (next_line(v, line, sizeof line))
        continue;
}

/* serve_good: n good clients, one after the other; *slowest in seconds. */
static int serve_good(victim *v, int n, double *slowest)
{
    int good = 0;
    *slowest = 0;
    while (n-- > 0) {
        double began = now_s();
        good += serves(v);
        if (now_s() - began > *slowest)
            *slowest = now_s() - began;
    }
    return good;
}

static int demo_is_served(victim *v)
{
    const char *args[] = { "./demo_client", "-p", pin, "-m", "hello", NULL,
                           NULL };
    char address[40], out[40] = "";
    int status;
    pid_t pid;
    FILE *f;
    snprintf(address, sizeof address, "127.0.0.1:%u", v->port);
    args[5] = address;
    pid = run(args, "client.out", "client.err");
    waitpid(pid, &status, 0);
    f = fopen("client.out", "r");
    if (f != NULL && fgets(out, sizeof out, f) == NULL)
        out[0] = '\0';
    if (f != NULL)
        fclose(f);
    return status == 0 && strcmp(out, "hello\n") == 0;
}

/* One crowd: everybody stalls, and others are served. */
static long stalled_crowd(victim *v, size_t *n_open, double *slowest)
{
    static attacker early;
    long most;
    count(begin_talk(&early, v), "a conversation before the crowd: %s",
          early.seen);
    count(gather(v, stall, COUNT(stall), CROWD) == CROWD,
          "not all of the crowd got as far as it wanted");
    forget_lines(v);
    count(serve_good(v, 50, slowest) == 50, "a good client beside the crowd: "
          "%s", why);
    count(demo_is_served(v), "demo_client beside the crowd");
    count(play(&early, "data:later ?data:later close:0 ?close:0"),
          "the conversation from before goes on: %s", early.seen);
    *n_open = still_open(CROWD);
    count(*n_open >= 64, "only %u handshakes are kept", (unsigned)*n_open);
    most = memory(v->pid, "VmRSS:");
    hang_up(&early);
    disperse(CROWD);
    forget_lines(v);
    return most;
}

/* A crowd that keeps coming: each stalls, and makes room for the next. */
static void rushing_crowd(victim *v, double *slowest, unsigned long *n_came)
{
    int pipes[2];
    pid_t pid = pipe(pipes) != 0 ? -1 : fork();
    if (pid < 0)
        give_up("a process");
    if (pid == 0) {
        unsigned long n;
        for (n = 0; getppid() != 1; n++) {
            size_t i = n % CROWD;
            if (n >= CROWD)
                close(crowd[i]);
            crowd[i] = dial_to(v->port);
            if (crowd[i] < 0 || (n % 2 == 0
                && send(crowd[i], "\1\1\0", 4, MSG_NOSIGNAL) < 0))
                sleep_ms(1);
            if (write(pipes[1], "", 1) < 0)
                break;
        }
        _exit(0);
    }
    close(pipes[1]);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    count(serve_good(v, is_full ? 500 : 50, slowest) >= (is_full ? 495 : 49),
          "a good client beside a crowd that keeps coming: %s", why);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    *n_came = 0;
    for (;;) {
        char bytes[4096];
        ssize_t r = read(pipes[0], bytes, sizeof bytes);
        if (r <= 0)
            break;
        *n_came += (unsigned long)r;
    }
    close(pipes[0]);
    forget_lines(v);
}

/* Conversations that say nothing: they keep their places, as long as they
 * like; what that costs, and what happens when all places are taken. */
static void idle_crowd(victim *v)
{
    static const char *const talk[] = { TALK };
    attacker *a = &a_client;
    long empty_kib, kib;
    double slow;
    size_t n;
    begin();
    before(DEMO, DEMO);
    empty_kib = v->rss_kib;
    n = gather(v, talk, 1, CROWD);
    forget_lines(v);
    count(n == CROWD && still_open(CROWD) == CROWD, "only %u can talk",
          (unsigned)n);
    count(serve_good(v, 10, &slow) == 10, "one more than 1,000: %s", why);
    kib = memory(v->pid, "VmRSS:");
    while (n < 1100) {
        start(a, dial_to(v->port), 0);
        if (!play(a, TALK))
            break;
        crowd[n++] = a->fd;
    }
    start(a, dial_to(v->port), 0);
    play(a, "M1");
    count(n == 1100 && hear(a, 1500) == 0, "place %u is the last: %s",
          (unsigned)n, a->seen);
    close(crowd[--n]);
    count(play(a, "?M2"), "a place is free, but not given: %s", a->seen);
    hang_up(a);
    disperse(n);
    forget_lines(v);
    evidence("demo_server: 1,000 idle conversations; good clients beside them; "
             "with 1,100 a new one waits until somebody leaves",
             "slowest good exchange %.0f ms; memory %ld KiB, %ld bytes a "
             "client; %s", slow * 1000, kib, (kib - empty_kib) * 1024 / CROWD,
             after(DEMO, DEMO));
}

static void group_crowd(void)
{
    victim *v = get(DEMO);
    size_t n_open;
    double slow, slow_rush;
    unsigned long n_came;
    long before_kib, first, second, left;
    begin();
    before(DEMO, DEMO);
    before_kib = v->rss_kib;
    first = stalled_crowd(v, &n_open, &slow);
    count(serves(v), "after the crowd: %s", why);
    left = v->rss_kib = memory(v->pid, "VmRSS:");
    count(IS_SANITIZED || left <= before_kib + 2 * GROWTH_KIB, "after the "
          "crowd: %ld KiB, before it %ld", left, before_kib);
    second = stalled_crowd(v, &n_open, &slow);
    count(IS_SANITIZED || second <= first + GROWTH_KIB, "a second crowd needs "
          "%ld KiB, the first %ld", second, first);
    evidence("demo_server: 1,000 stalled handshakes, twice, at six different "
             "points; good clients beside them", "slowest good exchange %.0f "
             "ms; %u of 1,000 kept; memory %ld KiB, with a crowd %ld, after it "
             "%ld, with a second %ld; %s", slow * 1000, (unsigned)n_open,
             before_kib, first, left, second, after(DEMO, DEMO));
    begin();
    before(DEMO, DEMO);
    rushing_crowd(v, &slow_rush, &n_came);
    evidence("demo_server: stalling clients that keep coming; good clients "
             "beside them", "slowest good exchange %.0f ms while %lu came; %s",
             slow_rush * 1000, n_came, after(DEMO, DEMO));
    idle_crowd(v);
}

/* ---- 15. the blocking server --------------------------------------------- */

/* What the application gets is said, so that it can be looked for. */
static void say_released(unsigned long n, const uint8_t *text, size_t len)
{
    size_t i;
    printf("client %lu: released %lu bytes: ", n, (unsigned long)len);
    for (i = 0; i < len && i < 40; i++)
        putchar(text[i] > ' ' && text[i] <= '~' ? text[i] : '?');
    putchar('\n');
}

static int echo_client(sc_conn *c, unsigned long n)
{
    static uint8_t text[SC_RECORD_MAX];
    size_t len;
    int r;
    for (;;) {
        r = sc_recv(c, text, sizeof text, &len);
        if (r != SC_OK && r != SC_MORE)
            return r;
        if (len > 1)
            say_released(n, text, len);
        r = r == SC_MORE ? sc_send_part(c, text, len) : sc_send(c, text, len);
        if (r != SC_OK)
            return r;
    }
}

static int whole_client(sc_conn *c, unsigned long n)
{
    static uint8_t text[SC_MESSAGE_MAX + 1000];
    char answer[30];
    size_t len;
    int r;
    memset(text, 1, sizeof text);       /* its memory is there from the start */
    for (;;) {
        r = sc_recv_whole(c, text, sizeof text, &len);
        if (r != SC_OK)
            return r;
        say_released(n, text, len);
        snprintf(answer, sizeof answer, "%lu", (unsigned long)len);
        r = sc_send(c, answer, strlen(answer));
        if (r != SC_OK)
            return r;
    }
}

/* be_victim: a server as docs and README.md have it, one client at a time. */
static int be_victim(const char *mode, const char *key_path, const char *list)
{
    static sc_private_key key;
    static sc_server server;
    static sc_conn c;
    static sc_authorized_keys clients;
    sc_server_options o;
    struct sockaddr_in here;
    socklen_t here_len = sizeof here;
    unsigned long n = 0;
    int listener, e;
    memset(&o, 0, sizeof o);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    signal(SIGPIPE, SIG_IGN);
    o.host_key = &key;
    if (list[0] != '-') {
        clients.path = list;
        o.require_client_key = 1;
        o.authorise = sc_authorise_by_file;
        o.authorise_ctx = &clients;
    }
    e = sc_key_load(&key, key_path);
    if (e == SC_OK)
        e = sc_server_init(&server, &o, sc_now_ms());
    if (e == SC_OK)
        e = sc_listen("127.0.0.1", 0, &listener);
    if (e != SC_OK
        || getsockname(listener, (struct sockaddr *)&here, &here_len) != 0)
        return 1;
    printf("listening on 127.0.0.1 port %u\n", ntohs(here.sin_port));
    while (e != SC_ERR_LISTEN && e != SC_ERR_RANDOM) {
        int r = e = sc_accept(&c, listener, &server);
        n++;
        sc_set_timeout(&c, 5000);
        if (e == SC_OK) {
            printf("client %lu: handshake finished\n", n);
            r = mode[0] == 'w' ? whole_client(&c, n) : echo_client(&c, n);
        }
        printf("client %lu: ended%s: %s\n", n, e == SC_OK ? ""
               : " in the handshake", r == SC_CLOSED ? "the client has finished"
               : sc_strerror(r));
        sc_close(&c);
    }
    return 1;
}

/* ---- 16. a case against a client ----------------------------------------- */

enum { ONE = 0, TWO = 1, FILE_MODE = 2, KEY = 4, FIRST_USE = 8, KNOWN = 16,
       WRONG_PIN = 32 };

typedef struct {
    const char *what;
    int mode;
    const char *script, *sees;
    int error;                  /* SC_OK: it ends with status 0 */
    const char *out;            /* all that it prints */
    const char *says;           /* other words of complaint, or NULL */
} client_case;

static int listener = -1;
static unsigned listener_port;
static attacker a_server;

static void start_listening(void)
{
    struct sockaddr_in here;
    socklen_t len = sizeof here;
    if (sc_listen("127.0.0.1", 0, &listener) != SC_OK
        || getsockname(listener, (struct sockaddr *)&here, &len) != 0)
        give_up("a listener");
    listener_port = ntohs(here.sin_port);
}

static pid_t start_client(int mode, const char *out, const char *err)
{
    static const char wrong_pin[] =
        "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const char *args[16] = { "./demo_client" };
    char address[40];
    size_t n = 1;
    snprintf(address, sizeof address, "127.0.0.1:%u", listener_port);
    if (mode & (FIRST_USE | KNOWN)) {
        args[n++] = "-H";
        args[n++] = "known";
        args[n++] = "-y";
    } else {
        args[n++] = "-p";
        args[n++] = mode & WRONG_PIN ? wrong_pin : pin;
    }
    if (mode & KEY) {
        args[n++] = "-i";
        args[n++] = "client_key";
    }
    if (mode & FILE_MODE) {
        args[n++] = "-f";
        args[n++] = "payload";
    } else {
        args[n++] = "-m";
        args[n++] = "one";
    }
    if (mode & TWO) {
        args[n++] = "-m";
        args[n++] = "two";
    }
    args[n++] = address;
    return run(args, out, err);
}

static int meet(attacker *a)
{
    int fd = -1;
    if (wait_fd(listener, POLLIN, PATIENCE_MS))
        fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return 0;
    start(a, fd, 1);
    return 1;
}

/* finish: the exit status; -1: it does not end, or not by itself. */
static int finish(pid_t pid)
{
    long left_ms = 3 * PATIENCE_MS;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        sleep_ms(1);
        if (left_ms-- == 0) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static size_t slurp(const char *path, char *text, size_t max)
{
    FILE *f = fopen(path, "rb");
    size_t n = f == NULL ? 0 : fread(text, 1, max - 1, f);
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    return n;
}

/* is_one_line: of text that may be sent to a terminal. */
static int is_one_line(const char *text)
{
    size_t n = strlen(text), i;
    for (i = 0; i + 1 < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            return 0;
    return n > 0 && text[n - 1] == '\n';
}

static int try_client(const client_case *c)
{
    attacker *a = &a_server;
    char out[2000], err[2000];
    const char *says = c->says != NULL ? c->says : sc_strerror(c->error);
    int status, good;
    pid_t pid = start_client(c->mode, "client.out", "client.err");
    good = meet(a) && play(a, c->script);
    if (a->fd >= 0)
        watch(a, PATIENCE_MS);
    hang_up(a);
    status = finish(pid);
    slurp("client.out", out, sizeof out);
    slurp("client.err", err, sizeof err);
    good = good && is_seen(a->seen, c->sees) && fnmatch(c->out, out, 0) == 0
        && strstr(out, "CANARY") == NULL
        && (c->error == SC_OK && c->says == NULL
            ? status == 0 && (err[0] == '\0' || c->mode & FIRST_USE)
            : status == 1 && is_one_line(err) && strstr(err, says) != NULL);
    if (!good)
        snprintf(why, sizeof why, "%.300s -> saw: %.300s, not: %.200s; status "
                 "%d, out: %.200s, err: %.400s, not: %.200s", c->script,
                 a->seen, c->sees, status, out, err, says);
    return good;
}

static void against_client(const client_case *c)
{
    unsigned long pauses;
    int good, tries = 0;
    do {
        pauses = n_pauses;
        if (c->mode & FIRST_USE)
            unlink("known");
        good = try_client(c);
    } while (!good && n_pauses != pauses && ++tries < 3);
    count(good, "client, %s: %s", c->what, why);
    if (c->mode & FIRST_USE)
        count((access("known", F_OK) == 0) == (strcmp(c->out, "one\n") == 0),
              "client, %s: known_hosts is %s", c->what,
              access("known", F_OK) == 0 ? "written" : "not written");
}

static void against_clients(const client_case *c, size_t n)
{
    for (; n > 0; n--, c++)
        against_client(c);
}

/* ---- 17. clients: M2, M4, hosts ------------------------------------------ */

#define TO_M3 "?M1 M2 ?M3 "
#define HELLO TO_M3 "M4 ?data:one "
#define HELLO_KEY TO_M3 "M4 ?M5 ?data:one "
#define END "close:0 ?close:0"

static const client_case m2_cases[] = {
    { "honest", ONE, HELLO "?close:0 data:one close:0", "EOF", SC_OK, "one\n",
      NULL },
    { "honest, first use", FIRST_USE, HELLO "?close:0 data:one close:0", "EOF",
      SC_OK, "one\n", NULL },
    { "honest, with a key", KEY, HELLO_KEY "?close:0 data:one close:0", "EOF",
      SC_OK, "one\n", NULL },
    { "silence, end", ONE, "?M1 fin", "EOF", SC_ERR_SERVER_ENDED, "", NULL },
    { "HTTP", ONE, "?M1 hex:485454502f312e3020343030", "EOF|RST", SC_ERR_FRAME,
      "", NULL },
    { "M1 sent back", ONE, "?M1 reflect", "EOF", SC_ERR_FRAME, "", NULL },
    { "M2 cut", ONE, "?M1 half+M2 fin", "EOF", SC_ERR_SERVER_ENDED, "", NULL },
    { "M2 twice", ONE, TO_M3 "again", "EOF|RST", SC_ERR_FRAME, "", NULL },
    { "M2 dropped, M4", ONE, "?M1 drop+M2 head:4,1,16", "EOF", SC_ERR_FRAME, "",
      NULL },
    { "M2 dropped, data", ONE, "?M1 drop+M2 data:CANARY", "EOF|RST",
      SC_ERR_FRAME, "", NULL },
    { "M2 dropped, CLOSE", ONE, "?M1 drop+M2 close:1", "EOF|RST", SC_ERR_FRAME,
      "", NULL },
    { "M2 replayed, M4 too", ONE, "blind ?M1 oldM2 ?M3 oldM4", "EOF|RST",
      SC_ERR_FRAME, "", NULL },
    { "M2 replayed, M4 too, with a key", KEY, "blind ?M1 oldM2 ?M3 oldM4",
      "EOF", SC_ERR_HANDSHAKE, "", NULL },
    { "M2 replayed, M4 guessed", ONE, "blind ?M1 oldM2 ?M3 head:4,1,16 "
      "zeros:16", "EOF", SC_ERR_HANDSHAKE, "", NULL },
    { "the host key is shown, but not held", KEY, "blind " TO_M3 "M4", "EOF",
      SC_ERR_HANDSHAKE, "", NULL },
    { "the same, first use", FIRST_USE | KEY, "blind " TO_M3 "M4", "EOF",
      SC_ERR_HANDSHAKE, "", NULL },
    { "another host key than the pinned one", WRONG_PIN, "?M1 M2", "EOF",
      SC_ERR_PIN, "", "shows another host key" }
};

static const client_case m4_cases[] = {
    { "M4: tag", ONE, TO_M3 "badtag+M4", "EOF", SC_ERR_HANDSHAKE, "", NULL },
    { "M4: tag, first use", FIRST_USE, TO_M3 "badtag+M4", "EOF",
      SC_ERR_HANDSHAKE, "", NULL },
    { "M4: tag, with a key", KEY, TO_M3 "badtag+M4", "EOF", SC_ERR_HANDSHAKE,
      "", NULL },
    { "M4: box, with a key", KEY, TO_M3 "badbyte+M4", "EOF", SC_ERR_HANDSHAKE,
      "", NULL },
    { "M4: tag, data", ONE, TO_M3 "badtag+M4 data:CANARY", "EOF|RST",
      SC_ERR_HANDSHAKE, "", NULL },
    { "M4: zeros", ONE, TO_M3 "head:4,1,16 zeros:16", "EOF", SC_ERR_HANDSHAKE,
      "", NULL },
    { "M4: zeros, with a key", KEY, TO_M3 "head:4,1,272 zeros:272", "EOF",
      SC_ERR_HANDSHAKE, "", NULL },
    { "M4: none for the key", KEY, TO_M3 "head:4,1,16 zeros:16", "EOF|RST",
      SC_ERR_FRAME, "", NULL },
    { "M4: of another conversation", KEY, TO_M3 "oldM4", "EOF",
      SC_ERR_HANDSHAKE, "", NULL },
    { "M4: cut", ONE, TO_M3 "half+M4 fin", "EOF", SC_ERR_SERVER_ENDED, "",
      NULL },
    { "M4: never, end", FIRST_USE, TO_M3 "fin", "EOF", SC_ERR_SERVER_ENDED, "",
      NULL },
    { "M3 sent back", ONE, TO_M3 "reflect", "EOF|RST", SC_ERR_FRAME, "", NULL },
    { "M4 dropped, data", ONE, TO_M3 "drop+M4 data:CANARY", "EOF|RST",
      SC_ERR_FRAME, "", NULL },
    { "M4 dropped, CLOSE", ONE, TO_M3 "drop+M4 close:1", "EOF|RST",
      SC_ERR_FRAME, "", NULL },
    { "M4 twice", ONE, HELLO "?close:0 again", "*EOF|*RST", SC_ERR_FRAME, "",
      NULL },
    { "M4 twice, with a key", KEY | TWO, TO_M3 "M4 again ?M5", "*EOF|*RST",
      SC_ERR_FRAME, "", NULL },
    { "M4, then CLOSE 1", TWO, TO_M3 "M4 close:1", "*EOF|*RST", SC_ERR_REFUSED,
      "", NULL }
};

static void group_client_handshake(void)
{
    client_case c;
    char what[200];
    size_t i;
    begin();
    record_one();
    against_clients(m2_cases, COUNT(m2_cases));
    memset(&c, 0, sizeof c);
    c.out = "";
    for (i = 1; i < COUNT(m2_faults); i++)
        for (c.mode = ONE; c.mode <= FIRST_USE; c.mode += FIRST_USE) {
            char script[60];
            c.error = m2_faults[i].error;
            if (c.error == SC_ERR_PIN && c.mode == FIRST_USE)
                continue;               /* a key that could be somebody's */
            snprintf(what, sizeof what, "M2: %s", m2_faults[i].what);
            snprintf(script, sizeof script, "?M1 fault:%u+M2", (unsigned)i);
            c.what = what;
            c.script = script;
            c.says = c.error == SC_ERR_PIN ? "shows another host key" : NULL;
            c.sees = c.error == SC_ERR_FRAME ? "EOF|RST" : "EOF";
            against_client(&c);
        }
    evidence("demo_client: M2 dropped, cut, replayed; its keys even, short, "
             "zero, one, too long, the same, not the pinned one, not held",
             "nothing was sent to a host that is not the right one; nothing "
             "was written to known_hosts");
    begin();
    against_clients(m4_cases, COUNT(m4_cases));
    for (i = 2; i < 2 * N_FAULTS; i++) {
        unsigned zeros = i % 2 ? ZEROS : 0;
        char script[60];
        snprintf(what, sizeof what, "M4: %s%s", fault_name[i / 2],
                 zeros ? ", zeros" : "");
        snprintf(script, sizeof script, TO_M3 "fault:%u+M4",
                 (unsigned)i / 2 + zeros);
        c.what = what;
        c.mode = KEY | (i % 3 ? FIRST_USE : 0);
        c.script = script;
        c.sees = "EOF";
        c.error = SC_ERR_HANDSHAKE;
        c.says = NULL;
        against_client(&c);
    }
    evidence("demo_client: every way to spoil M4, with a key and without",
             "no byte was sent after it; nothing was written to known_hosts");
}

/* write_known: this address is known by this key. */
static void write_known(const sc_public_key *key)
{
    char line[SC_PUBLIC_LINE_MAX];
    size_t len;
    FILE *f = fopen("known", "w");
    if (f == NULL || sc_public_write_line(key, NULL, line, sizeof line, &len)
        != SC_OK)
        give_up("known");
    fprintf(f, "[127.0.0.1]:%u %s\n", listener_port, line);
    fclose(f);
}

static const client_case known_cases[] = {
    { "a known host", KNOWN, HELLO "?close:0 data:one close:0", "EOF", SC_OK,
      "one\n", NULL },
    { "a known host that cannot prove it", KNOWN, "blind " TO_M3
      "head:4,1,16 zeros:16", "EOF", SC_ERR_HANDSHAKE, "", NULL },
    { "a known host whose M4 is altered", KNOWN, TO_M3 "badtag+M4", "EOF",
      SC_ERR_HANDSHAKE, "", NULL },
    { "a known host with an even key", KNOWN, "?M1 fault:2+M2", "EOF",
      SC_ERR_PUBLIC_KEY, "", NULL },
    { "a changed key", KNOWN, "?M1 M2", "EOF", SC_ERR_HOST_CHANGED, "",
      "shows another host key" },
    { "a changed key, with a key of our own", KNOWN | KEY, "?M1 M2", "EOF",
      SC_ERR_HOST_CHANGED, "", "shows another host key" }
};

static void group_client_hosts(void)
{
    char was[2000], is[2000];
    size_t i;
    begin();
    for (i = 0; i < COUNT(known_cases); i++) {
        write_known(known_cases[i].error == SC_ERR_HOST_CHANGED
                    ? &other_key.pub : &host_key.pub);
        slurp("known", was, sizeof was);
        against_client(&known_cases[i]);
        slurp("known", is, sizeof is);
        count(strcmp(was, is) == 0, "%s: known_hosts has changed",
              known_cases[i].what);
    }
    evidence("demo_client -y: a known host that shows another key, or spoils "
             "the handshake", "known_hosts stays as it was; a changed key gets "
             "no M3");
}

/* ---- 18. clients: records, files ----------------------------------------- */

#define CLIENT_BAD "close:2 EOF", SC_ERR_RECORD, "", NULL
#define CLIENT_HEADER "close:2 EOF", SC_ERR_FRAME, "", NULL
#define ANSWERED HELLO "data:ok ?data:two ?close:0 "

static const client_case client_records[] = {
    { "honest", TWO, ANSWERED "data:ok close:0", "EOF", SC_OK, "ok\nok\n",
      NULL },
    { "a longest record", TWO, HELLO "big:16384 ?data:two ?close:0 data: "
      "close:0", "EOF", SC_OK, "xxx*", NULL },
    { "a byte too long", TWO, HELLO "big:16385", CLIENT_HEADER },
    { "an empty part", TWO, HELLO "bigmore:0", CLIENT_HEADER },
    { "a CLOSE of two bytes", TWO, HELLO "type8+data:ab", CLIENT_HEADER },
    { "tag changed", TWO, HELLO "badtag+data:CANARY", CLIENT_BAD },
    { "tag changed, with a key", TWO | KEY, HELLO_KEY "badtag+data:CANARY",
      CLIENT_BAD },
    { "text changed", TWO, HELLO "badbyte+data:CANARY", CLIENT_BAD },
    { "DATA made DATA_MORE", TWO, HELLO "type7+data:CANARY", CLIENT_BAD },
    { "DATA_MORE made DATA", TWO, HELLO "type6+more:CANARY", CLIENT_BAD },
    { "DATA made CLOSE", TWO, HELLO "type8+data:C", CLIENT_BAD },
    { "CLOSE made DATA", TWO, HELLO "type6+close:0", CLIENT_BAD },
    { "another version", TWO, HELLO "version2+data:CANARY", CLIENT_HEADER },
    { "a byte longer", TWO, HELLO "longer+data:CANARY", CLIENT_BAD },
    { "a byte shorter", TWO, HELLO "shorter+data:CANARY", CLIENT_BAD },
    { "repeated", TWO, HELLO "more:a again", "close:2 EOF", SC_ERR_RECORD, "a",
      NULL },
    { "repeated, after our CLOSE", TWO, ANSWERED "again", "EOF|RST",
      SC_ERR_RECORD, "ok\n", NULL },
    { "reordered", TWO, HELLO "hold+data:CANARY data:CANARY held", CLIENT_BAD },
    { "dropped", TWO, HELLO "drop+data:one data:CANARY", CLIENT_BAD },
    { "sent back", TWO, HELLO "reflect", CLIENT_BAD },
    { "sealed with the client's key", TWO, HELLO "otherkey+data:CANARY",
      CLIENT_BAD },
    { "sealed with any key", TWO, HELLO "randomkey+data:CANARY", CLIENT_BAD },
    { "of another conversation", TWO, HELLO "oldR", CLIENT_BAD },
    { "half a record, end", TWO, HELLO "half+data:CANARY fin", "EOF",
      SC_ERR_CUT_OFF, "", NULL },
    { "half a message, end", TWO, HELLO "more:part fin", "EOF", SC_ERR_CUT_OFF,
      "part", NULL },
    { "half a message, bad end", TWO, HELLO "more:part badtag+data:CANARY",
      "close:2 EOF", SC_ERR_RECORD, "part", NULL },
    { "end without CLOSE", TWO, ANSWERED "data:ok fin", "EOF", SC_ERR_CUT_OFF,
      "ok\nok\n", NULL },
    { "a forged CLOSE at the end", TWO, ANSWERED "data:ok badtag+close:0",
      "EOF|RST", SC_ERR_RECORD, "ok\nok\n", NULL },
    { "CLOSE 0 instead of an answer", TWO, HELLO "close:0",
      "close:0 EOF|close:0 RST", SC_ERR_CLOSE, "", "without an answer" },
    { "CLOSE 0, then data", TWO, HELLO "close:0 data:CANARY",
      "close:0 EOF|close:0 RST", SC_ERR_CLOSE, "", "without an answer" },
    { "CLOSE 0 inside an answer", TWO, HELLO "more:part close:0", "close:2 EOF",
      SC_ERR_CLOSE, "part", NULL },
    { "CLOSE 1 at the end", TWO, ANSWERED "data:ok close:1", "EOF",
      SC_ERR_REFUSED, "ok\nok\n", NULL },
    { "CLOSE 9 at the end", TWO, ANSWERED "data:ok close:9", "EOF",
      SC_ERR_CLOSE, "ok\nok\n", NULL }
};

static void client_reasons(void)
{
    static const int errors[4] = { 0, SC_ERR_REFUSED, SC_ERR_PEER_PROTOCOL,
                                   SC_ERR_PEER_INTERNAL };
    client_case c = { "", TWO, "", "", 0, "", NULL };
    char what[60], script[200];
    int reason;
    c.what = what;
    c.script = script;
    for (reason = 1; reason < 256; reason += reason < 8 || is_full ? 1 : 31) {
        c.error = reason < 4 ? errors[reason] : SC_ERR_CLOSE;
        c.sees = reason < 4 ? "EOF" : "close:2 EOF";
        c.out = "";
        snprintf(what, sizeof what, "CLOSE %d", reason);
        snprintf(script, sizeof script, HELLO "close:%d", reason);
        against_client(&c);
        snprintf(what, sizeof what, "CLOSE %d inside an answer", reason);
        snprintf(script, sizeof script, HELLO "more:part close:%d", reason);
        c.out = "part";
        against_client(&c);
    }
}

static const char *const client_steps[] = {
    "", "?M1 ", "?M1 hex:02 ", "?M1 half+M2 ", "?M1 M2 ", TO_M3,
    TO_M3 "hex:0401 ", TO_M3 "half+M4 ", TO_M3 "M4 ", HELLO,
    HELLO "hex:0601 ", HELLO "half+data:CANARY ", HELLO "more:part ",
    HELLO "data:ok ", ANSWERED, ANSWERED "data:ok ", ANSWERED "half+close:0 "
};

static void client_cuts(void)
{
    client_case c = { "", TWO, "", "*", SC_ERR_IO, "*", "demo_client: " };
    char script[200], what[100];
    size_t i;
    int rst;
    c.script = script;
    c.what = what;
    for (i = 0; i < COUNT(client_steps); i++)
        for (rst = 0; rst < 2; rst++) {
            snprintf(script, sizeof script, "%s%s", client_steps[i],
                     rst ? "rst" : "fin");
            snprintf(what, sizeof what, "%s at step %u", rst ? "reset" : "end",
                     (unsigned)i);
            against_client(&c);
        }
}

/* One header against the client, as try_header. */
static void client_headers(void)
{
    static const struct {
        const char *script, *refused;
        int stage, mode, error;
    } stages[] = {
        { "?M1 ", "EOF|RST", AT_M2, ONE, SC_ERR_PUBLIC_KEY },
        { TO_M3, "EOF|RST", AT_M4, ONE, SC_ERR_HANDSHAKE },
        { TO_M3, "EOF|RST", AT_M4_KEYED, KEY, SC_ERR_HANDSHAKE },
        { HELLO, "close:2 EOF", AT_TALK, TWO, SC_ERR_RECORD },
        { HELLO "more:part ", "close:2 EOF", AT_PART, TWO, SC_ERR_RECORD }
    };
    client_case c = { "", 0, "", "", 0, "", NULL };
    char script[200];
    size_t s, i;
    unsigned type, step = is_full ? 1 : 5;
    c.what = "a header";
    c.script = script;
    for (s = 0; s < COUNT(stages); s++)
        for (type = 0; type < 11; type++)
            for (i = type % step; i < COUNT(some_len); i += step) {
                unsigned t = type == 10 ? 255 : type, len = some_len[i];
                unsigned version = i % 11 == 10 ? 2 : 1;
                int may = page_allows(stages[s].stage, 256, t, version, len);
                size_t n;
                snprintf(script, sizeof script, "%shead:%u,%u,%u",
                         stages[s].script, t, version, len);
                n = strlen(script);
                if (may)
                    snprintf(script + n, sizeof script - n, " zeros:%u", len);
                c.mode = stages[s].mode;
                c.sees = stages[s].refused;
                c.error = may ? stages[s].error : SC_ERR_FRAME;
                c.out = stages[s].stage == AT_PART ? "part" : "";
                against_client(&c);
            }
}

/* An answer without end: the client takes no more memory for it. */
static void client_endless(void)
{
    unsigned long mib = is_full ? 1024 : 64, n_heard;
    attacker *a = &a_server;
    long early, late;
    pid_t pid;
    int status;
    begin();
    pid = start_client(TWO, "/dev/null", "client.err");
    count(meet(a) && play(a, HELLO)
          && shout(a, 256, 7, SC_RECORD_MAX, 1, &n_heard),
          "an answer begins: %s", a->seen);
    early = memory(pid, "VmRSS:");
    count(shout(a, mib * 64, 7, SC_RECORD_MAX, 1, &n_heard),
          "an answer goes on: %s", a->seen);
    late = memory(pid, "VmRSS:");
    reset(a);
    status = finish(pid);
    count(status == 1, "after an answer without end: status %d", status);
    count(IS_SANITIZED || late <= early + GROWTH_KIB, "client: %ld KiB, it had "
          "%ld", late, early);
    evidence("demo_client: an answer without end, then a reset", "%lu MiB; "
             "memory grew by %ld KiB; status 1", mib, late - early);
}

/* rekeying, as a server that lies about it. */
static void client_rekey(uint32_t at)
{
    unsigned long n_heard;
    attacker *a = &a_server;
    char err[1000];
    int status, good;
    pid_t pid = start_client(TWO, "client.out", "client.err");
    good = meet(a) && play(a, HELLO) && shout(a, 65535, 7, 1, 1, &n_heard);
    a->out.rekey_at = at;
    good = good && play(a, "more:y data:ok");
    if (at == 65536)
        good = good && play(a, "?data:two ?close:0 data:ok close:0");
    watch(a, PATIENCE_MS);
    hang_up(a);
    status = finish(pid);
    slurp("client.err", err, sizeof err);
    good = good && (at == 65536 ? status == 0 && strcmp(a->seen, "EOF") == 0
        : status == 1 && strcmp(a->seen, "close:2 EOF") == 0
          && strstr(err, sc_strerror(SC_ERR_RECORD)) != NULL);
    count(good, "client, key replaced at %lu: saw %s, status %d, %s",
          (unsigned long)at, a->seen, status, err);
}

static void group_client_records(void)
{
    begin();
    record_one();
    against_clients(client_records, COUNT(client_records));
    client_rekey(65536);
    client_rekey(UINT32_MAX);
    evidence("demo_client: records altered, repeated, reordered, dropped, "
             "reflected, cut, of other keys, under an old key",
             "nothing of them was printed");
    begin();
    client_reasons();
    evidence("demo_client: CLOSE with other reasons, before and inside an "
             "answer", "");
    begin();
    client_cuts();
    evidence("demo_client: a reset (SO_LINGER 0) and an end of stream at every "
             "step", "each is told, status 1, one line");
    begin();
    client_headers();
    evidence("demo_client: every frame type in every state, lengths at their "
             "edges", "");
    client_endless();
}

/* What -f is told about its file.  HASH is filled in. */
static const struct {
    const char *what, *answer, *sees;
    int error;
    const char *out, *says;
} file_lies[] = {
    { "the truth", "data:HASH ?close:0 close:0", "EOF", SC_OK,
      "????????????????????????????????????????????????????????????????  "
      "payload\n", NULL },
    { "another hash", "data:00000000000000000000000000000000000000000000000000"
      "00000000000000", "*", 1, "", "stored something else" },
    { "a hash in capitals", "data:CAPITALS", "*", 1, "", "answered" },
    { "a byte more", "data:HASH0", "*", 1, "", "answered" },
    { "a byte less", "data:HAS", "*", 1, "", "answered" },
    { "nothing", "data:", "*", 1, "", "answered" },
    { "an error", "data:error:~no", "*", 1, "", "refused" },
    { "control bytes", "data:\033[2J\r\n\033]0;x\007", "*", 1, "", "answered" },
    { "an error with control bytes", "data:error:~\033[2J\033[1A", "*", 1, "",
      "refused" },
    { "16384 bytes", "big:16384", "*", 1, "", "answered" },
    { "an answer without end, cut", "more:HASH fin", "EOF", SC_ERR_CUT_OFF, "",
      NULL },
    { "CLOSE instead", "close:0", "*", 1, "", "without an answer" },
    { "CLOSE 2 instead", "close:2", "EOF", SC_ERR_PEER_PROTOCOL, "", NULL },
    { "the truth, forged", "badtag+data:HASH", "close:2 EOF", SC_ERR_RECORD, "",
      NULL },
    { "the truth, cut off", "data:HASH ?close:0 fin", "EOF", SC_ERR_CUT_OFF,
      "*payload\n", NULL },
    { "the truth, a forged CLOSE", "data:HASH ?close:0 badtag+close:0",
      "EOF|RST", SC_ERR_RECORD, "*payload\n", NULL }
};

static void write_payload(char hash_text[65], char capitals[65])
{
    static uint8_t bytes[20000];
    uint8_t digest[32];
    FILE *f = fopen("payload", "wb");
    size_t i;
    random_bytes(bytes, sizeof bytes);
    if (f == NULL || fwrite(bytes, 1, sizeof bytes, f) != sizeof bytes)
        give_up("payload");
    fclose(f);
    hash(bytes, sizeof bytes, digest);
    for (i = 0; i < 32; i++) {
        snprintf(hash_text + 2 * i, 3, "%02x", digest[i]);
        snprintf(capitals + 2 * i, 3, "%02X", digest[i]);
    }
}

static void group_client_files(void)
{
    char hash_text[65], capitals[65], script[600];
    client_case c = { "", FILE_MODE, "", "", 0, "", NULL };
    size_t i;
    begin();
    write_payload(hash_text, capitals);
    c.script = script;
    for (i = 0; i < COUNT(file_lies); i++) {
        const char *answer = file_lies[i].answer, *at;
        const char *text = hash_text;
        int skip = 4;
        size_t n;
        at = strstr(answer, "HAS");
        if (at != NULL && at[3] != 'H')
            skip = 3;
        if (strstr(answer, "CAPITALS") != NULL) {
            at = strstr(answer, "CAPITALS");
            text = capitals;
            skip = 8;
        }
        n = at == NULL ? strlen(answer) : (size_t)(at - answer);
        snprintf(script, sizeof script, TO_M3 "M4 ?data:payload ?more:* "
                 "?more:* ?data: %.*s%.*s%s", (int)n, answer,
                 at == NULL ? 0 : skip == 3 ? 63 : 64, text,
                 at == NULL ? "" : at + skip);
        c.what = file_lies[i].what;
        c.sees = file_lies[i].sees;
        c.error = file_lies[i].error;
        c.out = file_lies[i].out;
        c.says = file_lies[i].says;
        against_client(&c);
    }
    evidence("demo_client -f: a server that lies about the file, or ends in "
             "the middle", "status 1 and one line without control bytes");
}

/* ---- 19. patience -------------------------------------------------------- */

/* Slow ones, all at the same time, in a process of its own beside the other
 * groups: after its script each says one byte of the last frame that was not
 * sent ("drop+") every gap_ms. */
enum { AT_30, AT_5, STAYS, SERVED };

static const struct {
    const char *what;
    int kind, is_client;        /* the victim; 1: demo_client */
    const char *script;
    long gap_ms;
    int wants;
    const char *then;           /* when it has said everything */
} slow_ones[] = {
    { "nothing at all", DEMO, 0, "", 0, AT_30, NULL },
    { "M1, a byte in 11 s", DEMO, 0, "drop+M1", 11000, AT_30, NULL },
    { "M2 taken, then nothing", DEMO, 0, SHOWN, 0, AT_30, NULL },
    { "M3, a byte in 100 ms", DEMO, 0, SHOWN "drop+M3", 100, AT_30, NULL },
    { "M4 taken, then nothing", DEMO_LISTED, 0, NAMED, 0, AT_30, NULL },
    { "M5, a byte in 4 s", DEMO_LISTED, 0, NAMED "drop+M5", 4000, AT_30, NULL },
    { "CLOSE 2 taken, but no hang-up", DEMO, 0, TALK "badtag+data:x ?close:2 "
      "drop+zeros:200", 200, AT_5, NULL },
    { "M3, a byte in 100 ms, blocking layer", BLOCKING, 0, SHOWN "drop+M3", 100,
      AT_30, NULL },
    { "an idle conversation", DEMO, 0, TALK, 0, STAYS, NULL },
    { "half a record, then nothing", DEMO, 0, TALK "half+data:x", 0, STAYS,
      NULL },
    { "an honest M3, a byte in 20 ms", DEMO, 0, SHOWN "drop+M3", 20, SERVED,
      "?M4 data:a ?data:a close:0 ?close:0" },
    { "an honest record, a byte in 200 ms", DEMO_LISTED, 0, KEYED
      "drop+data:slow", 200, SERVED, "?data:slow close:0 ?close:0" },
    { "a server that says nothing", 0, 1, "?M1", 0, AT_30, NULL },
    { "a server: M2, a byte in 100 ms", 0, 1, "?M1 drop+M2", 100, AT_30, NULL },
    { "a server: M3 taken, then nothing", 0, 1, TO_M3, 0, AT_30, NULL },
    { "a server: M4, a byte in 3 s", 0, 1, TO_M3 "drop+M4", 3000, AT_30, NULL },
    { "a server: an honest M2, a byte in 20 ms", 0, 1, "?M1 drop+M2", 20,
      SERVED, "?M3 M4 ?data:one ?close:0 data:one close:0" },
    { "a server: an honest answer, a byte in 200 ms", 0, 1,
      HELLO "?close:0 drop+data:one", 200, SERVED, "close:0" }
};

#define N_SLOW COUNT(slow_ones)

static struct slow_state {
    attacker a;
    pid_t pid;                  /* of the client */
    double began, ended, next;
    size_t sent;
    int is_done, status;
} slow_state[N_SLOW];

static void begin_slow(size_t i)
{
    struct slow_state *s = &slow_state[i];
    char out[30], err[30];
    int good;
    s->began = s->next = now_s();
    if (slow_ones[i].is_client) {
        snprintf(out, sizeof out, "slow%u.out", (unsigned)i);
        snprintf(err, sizeof err, "slow%u.err", (unsigned)i);
        s->pid = start_client(ONE, out, err);
        good = meet(&s->a);
    } else {
        start(&s->a, dial_to(get(slow_ones[i].kind)->port), 0);
        good = 1;
    }
    good = good && play(&s->a, slow_ones[i].script);
    count(good, "patience, %s: %s", slow_ones[i].what, s->a.seen);
    if (slow_ones[i].gap_ms == 0)
        s->a.last_len = 0;
}

/* turn: one look at a slow one; 1 while it goes on. */
static int turn(size_t i)
{
    struct slow_state *s = &slow_state[i];
    uint8_t byte;
    ssize_t r = 1;
    if (s->is_done)
        return 0;
    if (s->sent < s->a.last_len && now_s() >= s->next) {
        s->next = now_s() + (double)slow_ones[i].gap_ms / 1000;
        r = send(s->a.fd, s->a.last + s->sent++, 1, MSG_NOSIGNAL);
    }
    if (slow_ones[i].wants == SERVED) {
        s->is_done = s->sent == s->a.last_len
            && (s->status = play(&s->a, slow_ones[i].then), 1);
    } else if (slow_ones[i].wants == AT_5) {
        s->is_done = r < 0;             /* the end of stream was there before */
    } else {
        r = r < 0 ? 0 : recv(s->a.fd, &byte, 1, 0);
        s->is_done = r == 0 || (r < 0 && errno != EAGAIN);
    }
    s->ended = now_s() - s->began;
    return !s->is_done;
}

static void judge_slow(size_t i, double *first, double *last)
{
    struct slow_state *s = &slow_state[i];
    char err[1000] = "";
    int good = 0, status = 0;
    if (slow_ones[i].wants == STAYS)
        good = !s->is_done;
    if (slow_ones[i].wants == SERVED)
        good = s->is_done && s->status;
    if (slow_ones[i].wants == AT_5)
        good = s->is_done && s->ended > 4 && s->ended < 9 + paused_s;
    if (slow_ones[i].wants == AT_30) {
        good = s->is_done && s->ended > 29.5 && s->ended < 34 + paused_s;
        *first = s->ended < *first ? s->ended : *first;
        *last = s->ended > *last ? s->ended : *last;
    }
    hang_up(&s->a);
    if (slow_ones[i].is_client) {
        char path[30];
        status = finish(s->pid);
        snprintf(path, sizeof path, "slow%u.err", (unsigned)i);
        slurp(path, err, sizeof err);
        good = good && (slow_ones[i].wants == SERVED ? status == 0
            : status == 1 && strstr(err, sc_strerror(SC_ERR_TIMEOUT)) != NULL);
    }
    count(good, "patience, %s: %s after %.1f s, %s, status %d: %s",
          slow_ones[i].what, s->is_done ? "ended" : "goes on", s->ended,
          s->a.seen, status, err);
}

static void group_patience(void)
{
    double began = now_s(), first = 1e9, last = 0;
    size_t i, n_left;
    begin();
    before(DEMO, BLOCKING);
    start_listening();
    for (i = 0; i < N_SLOW; i++)
        begin_slow(i);
    do {
        for (i = n_left = 0; i < N_SLOW; i++)
            n_left += (size_t)turn(i) && slow_ones[i].wants != STAYS;
        sleep_ms(5);
    } while (n_left > 0 && now_s() < began + 45 + paused_s);
    for (i = 0; i < N_SLOW; i++)
        judge_slow(i, &first, &last);
    evidence("servers and demo_client: slow bytes: one in 20 ms to one in 11 "
             "s, or none", "unfinished handshakes end after %.1f to %.1f s, "
             "slow honest ones are served, idle conversations stay; %s",
             first, last,
             after(DEMO, BLOCKING));
}

/* The files it needs, in a folder of its own. */
static void move_in(const char *folder)
{
    static const char *const files[] = { "demo_server", "demo_client",
                                         "hostile", "host_key",
                                         "client_key", "listed" };
    char from[60];
    size_t i;
    if (mkdir(folder, 0700) != 0 || chdir(folder) != 0)
        give_up(folder);
    for (i = 0; i < COUNT(files); i++) {
        snprintf(from, sizeof from, "../%s", files[i]);
        if (link(from, files[i]) != 0)
            give_up(files[i]);
    }
}

/* end_victims: after all that, who is asked to end ends, and is content. */
static void end_victims(int is_last)
{
    int i;
    begin();
    for (i = 0; i < N_VICTIMS; i++)
        if (victims[i].pid > 0 && victim_args[i][0] != NULL) {
            kill(victims[i].pid, SIGTERM);
            count(finish(victims[i].pid) == 0, "victim %d does not end well",
                  i);
            victims[i].pid = 0;
        }
    if (is_last && n_passed + n_failed > group_passed + group_failed)
        evidence("demo_server: after all of it, SIGTERM", "status 0");
}

static pid_t patience_pid;

static void begin_patience(void)
{
    fflush(stdout);
    patience_pid = fork();
    if (patience_pid != 0)
        return;
    if (freopen("patience.out", "w", stdout) == NULL)
        _exit(1);
    move_in("patience");
    n_passed = n_failed = 0;
    group_patience();
    end_victims(0);
    stop_victims();
    printf("counts %lu %lu\n", n_passed, n_failed);
    fflush(stdout);
    _exit(0);
}

static void end_patience(void)
{
    char line[1000];
    unsigned long good, bad, n_counts = 0;
    FILE *f;
    waitpid(patience_pid, NULL, 0);
    patience_pid = 0;
    f = fopen("patience.out", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "counts %lu %lu", &good, &bad) == 2) {
            n_counts++;
            n_passed += good;
            n_failed += bad;
        } else {
            fputs(line, stdout);
        }
    count(n_counts == 1, "patience: it did not come to its end");
}

/* ---- 20. main ------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    { "headers-memory", group_headers_memory }, { "headers", group_headers },
    { "handshake", group_handshake }, { "m3", group_m3 },
    { "records", group_records }, { "close", group_close },
    { "cuts", group_cuts }, { "files", group_files },
    { "endless", group_endless }, { "whole", group_whole },
    { "crowd", group_crowd }, { "client-handshake", group_client_handshake },
    { "client-hosts", group_client_hosts },
    { "client-records", group_client_records },
    { "client-files", group_client_files }
};

static void key_for(sc_private_key *key, const char *path)
{
    if (sc_key_generate(key, 2048, NULL, NULL) != SC_OK
        || sc_key_save(key, path, path) != SC_OK)
        give_up(path);
}

static void make_keys(void)
{
    key_for(&host_key, "host_key");
    key_for(&short_key, "short_key");
    key_for(&client_key, "client_key");
    key_for(&other_key, "other_key");
    sc_fingerprint(&host_key.pub, pin);
    if (rename("client_key.pub", "listed") != 0 || mkdir("received", 0700) != 0)
        give_up("a folder of its own is wanted");
}

static void on_signal(int number)
{
    int i;
    for (i = 0; i < N_VICTIMS; i++)
        if (victims[i].pid > 0)
            kill(victims[i].pid, SIGKILL);
    if (patience_pid > 0)
        kill(patience_pid, SIGTERM);
    _exit(128 + number);
}

/* Every descriptor of the crowd, and some more. */
static int raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_cur < 2300)
        limit.rlim_cur = limit.rlim_max < 2300 ? limit.rlim_max : 2300;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur >= 2300;
}

static int is_wanted(const char *name, int argc, char **argv)
{
    int i;
    for (i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return 1;
    return argc == 1;
}

int main(int argc, char **argv)
{
    const char *full = getenv("SC_FULL");
    size_t i;
    int has_room;
    FILE *f;
    if (argc == 5 && strcmp(argv[1], "victim") == 0)
        return be_victim(argv[2], argv[3], argv[4]);
    own_path = argv[0];
    is_full = full != NULL && full[0] == '1';
    is_control = getenv("SC_CONTROL") != NULL;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    atexit(stop_victims);
    has_room = raise_limit();
    make_keys();
    if (is_wanted("patience", argc, argv))
        begin_patience();
    start_listening();
    for (i = 0; i < COUNT(groups); i++) {
        double began = now_s();
        if (!is_wanted(groups[i].name, argc, argv))
            continue;
        if (groups[i].run == group_crowd && !has_room)
            printf("skipped: the crowd: at most a few descriptors are allowed, "
                   "raise ulimit -n to 2300\n");
        else
            groups[i].run();
        is_again = want_again;
        if (want_again)
            groups[i].run();
        is_again = want_again = 0;
        fprintf(stderr, "%s: %.1f s\n", groups[i].name, now_s() - began);
    }
    end_victims(1);
    if (patience_pid > 0)
        end_patience();
    f = fopen("counts", "w");
    if (f == NULL || fprintf(f, "%lu %lu\n", n_passed, n_failed) < 0
        || fclose(f) != 0)
        give_up("counts");
    return n_failed == 0 && n_passed > 0 ? 0 : 1;
}
