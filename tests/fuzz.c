/* fuzz.c: what may come from outside, invented by libFuzzer, which keeps the
 * inputs that reach new places in the code and goes on from these.
 * Run:    sh tests/fuzz.sh builds it and runs every target.  By hand:
 *           ./fuzz --target=NAME FOLDER -max_total_time=60     (goes on from
 *           ./fuzz --target=NAME FILE                  the inputs in FOLDER)
 *           ./fuzz --target=NAME --seeds=FOLDER        inputs to begin with
 * Needs:  clang's libFuzzer; tests/session.txt, for its keys; the library
 *         three times: as it is, and, its names prefixed p64_ and p32_, without
 *         the fast paths, with 64-bit and 32-bit words.  secchan.c calls the
 *         functions of section 3 instead of the system's.
 * Map:    1 what must hold   2 an input is a plan   3 the system, pretended
 *         4 keys, and conversations to begin in   5 a frame goes in
 *         6 client, server   7 handshake   8 records   9 life   10 blocking
 *         11 files   12 key, line   13 known_hosts, authorized_keys
 *         14 cipher, numbers   15 the targets
 *
 * An input is not only bytes for a parser.  No invented byte gets past a tag,
 * so most targets read their input as a plan (seal this, spoil that, time
 * passes) and hold the keys themselves.  And not to crash is not enough: each
 * target knows what must come out, and ENSURE says so. */

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE             /* memfd_create */
#endif

#define SECCHAN_INTERNAL
#include "secchan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The other two builds of the library.  Words have another size in p32_, so its
 * numbers and masks are handed over as bytes that nobody here looks into. */
void p64_sc_aead(uint8_t *out, uint8_t tag[16], const uint8_t *in, size_t len,
                 const uint8_t key[32], const uint8_t nonce[12],
                 const uint8_t *ad, size_t ad_len, int how);
void p32_sc_aead(uint8_t *out, uint8_t tag[16], const uint8_t *in, size_t len,
                 const uint8_t key[32], const uint8_t nonce[12],
                 const uint8_t *ad, size_t ad_len, int how);
void p32_sc_poly1305(uint8_t tag[16], const uint8_t key[32],
                     const uint8_t *msg, size_t msg_len);
void p64_sc_rsa_public(const sc_public_key *key, const uint8_t *x, uint8_t *y);
void p32_sc_rsa_public(const sc_public_key *key, const uint8_t *x, uint8_t *y);
void p64_sc_mont_pow_pair(sc_word *d_p, const sc_word *x_p, const sc_word *e_p,
                          const sc_modulus *mod_p, sc_word *d_q,
                          const sc_word *x_q, const sc_word *e_q,
                          const sc_modulus *mod_q);
void p64_sc_pow_65537(sc_word *d, const sc_word *x, const sc_word *m,
                      size_t n);
void p32_sc_bn_decode(void *d, size_t n, const uint8_t *bytes, size_t len);
void p32_sc_bn_encode(uint8_t *bytes, size_t len, const void *x, size_t n);
void p32_sc_modulus_init(void *mod, const void *m, size_t n);
void p32_sc_mont_to(void *d, const void *x, const void *mod);
void p32_sc_mont_from(void *d, const void *x, const void *mod);
void p32_sc_mont_pow(void *d, const void *x, const void *e, const void *mod);

/* ---- 1. what must hold --------------------------------------------------- */

#define ENSURE(x) ((x) ? (void)0 : broken(#x, __LINE__))
static void broken(const char *what, int line)
{
    fprintf(stderr, "fuzz.c:%d: not so: %s\n", line, what);
    abort();
}

static int all_zero(const void *p, size_t len)
{
    const uint8_t *bytes = p;           /* each byte is the one before */
    return len == 0
        || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* is_same: memcmp, also of nothing. */
static int is_same(const void *a, const void *b, size_t len)
{
    return len == 0 || memcmp(a, b, len) == 0;
}

/* room: a block of exactly this size, so that a byte too far is found. */
static void *room(size_t len)
{
    void *p = malloc(len > 0 ? len : 1);
    ENSURE(p != NULL);
    return p;
}

static void *copy_of(const void *bytes, size_t len)
{
    void *p = room(len);
    if (len > 0)
        memcpy(p, bytes, len);
    return p;
}

/* ---- 2. an input is a plan ----------------------------------------------- */

typedef struct {
    const uint8_t *at;
    size_t left;
} plan;

/* next: a byte of the plan; 0 when there is none left. */
static unsigned next(plan *p)
{
    if (p->left == 0)
        return 0;
    p->left--;
    return *p->at++;
}

/* next_len: 0..max: two bytes for any length, or one for a telling one. */
static size_t next_len(plan *p, size_t max)
{
    unsigned a = next(p);
    if (a < 0x80)
        return a % (max + 1);
    if (a < 0xa0)
        return max - (a & 31) % (max + 1);
    return ((a & 31) * 256u + next(p)) * max / 8191;
}

/* next_bytes: fills out; what the plan does not give is one byte repeated. */
static void next_bytes(plan *p, uint8_t *out, size_t len)
{
    size_t n = len < p->left ? len : p->left;
    if (n > 0)
        memcpy(out, p->at, n);
    if (len > n)
        memset(out + n, 0x5a, len - n);
    p->at += n;
    p->left -= n;
}

/* ---- 3. the system, pretended -------------------------------------------- */

/* Random bytes that are the same in every run (splitmix64), so that a recorded
 * conversation is good again. */
typedef struct {
    uint64_t x;
    int calls_left;             /* that still succeed; -1: all */
} stream;

static int stream_bytes(void *ctx, uint8_t *out, size_t len)
{
    stream *s = ctx;
    size_t i;
    uint64_t z = 0;
    if (s->calls_left == 0) {
        memset(out, 0, len);
        return SC_ERR_RANDOM;
    }
    if (s->calls_left > 0)
        s->calls_left--;
    for (i = 0; i < len; i++, z >>= 8) {
        if (i % 8 == 0) {
            z = s->x += 0x9e3779b97f4a7c15;
            z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
            z = (z ^ z >> 27) * 0x94d049bb133111eb;
            z ^= z >> 31;
        }
        out[i] = (uint8_t)z;
    }
    return SC_OK;
}

static void stream_start(stream *s, uint64_t seed)
{
    s->x = seed << 32;
    s->calls_left = -1;
}

static stream os_stream;        /* what sc_os_random gives */

ssize_t fuzz_getrandom(void *buf, size_t len, unsigned flags);
ssize_t fuzz_getrandom(void *buf, size_t len, unsigned flags)
{
    (void)flags;
    if (stream_bytes(&os_stream, buf, len) == SC_OK)
        return (ssize_t)len;
    errno = ENOSYS;
    return -1;
}

/* Opening two RSA ciphertexts takes most of a handshake's time, and most
 * inputs repeat the same two.  What has been opened is remembered; the first
 * time it is opened by the library itself, and so is everything while the
 * random source may fail. */
int __real_sc_oaep_decrypt(const sc_private_key *key, const void *label,
                           size_t label_len, const uint8_t *c, uint8_t *msg,
                           size_t msg_len, sc_word *ok, sc_random_fn random,
                           void *ctx);
int __wrap_sc_oaep_decrypt(const sc_private_key *key, const void *label,
                           size_t label_len, const uint8_t *c, uint8_t *msg,
                           size_t msg_len, sc_word *ok, sc_random_fn random,
                           void *ctx);
#define OPENED_MAX 1024
static struct opened {
    uint8_t name[32];           /* hash of key, label, ciphertext */
    uint8_t msg[32];
    sc_word ok;
} opened[OPENED_MAX];

int __wrap_sc_oaep_decrypt(const sc_private_key *key, const void *label,
                           size_t label_len, const uint8_t *c, uint8_t *msg,
                           size_t msg_len, sc_word *ok, sc_random_fn random,
                           void *ctx)
{
    stream blinding = { 0, -1 };
    uint8_t name[32];
    struct opened *o;
    sc_sha256 s;
    int e;
    if (os_stream.calls_left >= 0
        || (random == stream_bytes && ((stream *)ctx)->calls_left >= 0)
        || msg_len != sizeof o->msg)
        return __real_sc_oaep_decrypt(key, label, label_len, c, msg, msg_len,
                                      ok, random, ctx);
    sc_sha256_init(&s);
    sc_sha256_add(&s, key, sizeof *key);
    sc_sha256_add(&s, label, label_len);
    sc_sha256_add(&s, c, key->pub.n_len);
    sc_sha256_end(&s, name);
    o = &opened[(name[0] << 8 | name[1]) % OPENED_MAX];
    if (memcmp(o->name, name, sizeof name) != 0) {
        e = __real_sc_oaep_decrypt(key, label, label_len, c, o->msg, msg_len,
                                   &o->ok, stream_bytes, &blinding);
        ENSURE(e == SC_OK && (o->ok == 0 || o->ok == ~(sc_word)0));
        ENSURE(o->ok != 0 || all_zero(o->msg, sizeof o->msg));
        memcpy(o->name, name, sizeof name);
    }
    memcpy(msg, o->msg, sizeof o->msg);
    *ok = o->ok;
    return SC_OK;
}

/* A new short-lived key would take longer than everything else: target life
 * says when the next one of two is ready. */
int __real_sc_keygen_step(sc_keygen *g, sc_private_key *key, char *mark);
int __wrap_sc_keygen_step(sc_keygen *g, sc_private_key *key, char *mark);
static struct {
    const sc_private_key *key;  /* the next one; NULL: none is pretended */
    unsigned steps;
    int fails;
} keygen;

int __wrap_sc_keygen_step(sc_keygen *g, sc_private_key *key, char *mark)
{
    if (keygen.key == NULL)
        return __real_sc_keygen_step(g, key, mark);
    *mark = 0;
    if (keygen.steps > 0 && !keygen.fails) {
        keygen.steps--;
        return SC_MORE;
    }
    if (!keygen.fails)
        *key = *keygen.key;
    sc_wipe(g, sizeof *g);
    return keygen.fails ? SC_ERR_RANDOM : SC_OK;
}

/* One socket, whose other end is a plan: the plan says how many bytes move,
 * what goes wrong and how late it is.  secchan.c and demo_server.c call these.
 */
#define WIRE_FD 1000000
#define WIRE_MAX 400000
static struct {
    plan *plan;
    void (*refill)(void);       /* nothing is left to read: the peer may act */
    uint8_t in[WIRE_MAX], out[WIRE_MAX];
    size_t in_at, in_len;       /* in: read so far, there */
    size_t out_len;             /* out: written by the end under test */
    int is_over, is_broken;     /* its reading, its writing has ended */
    int may_wait;               /* 0: the end under test would wait for ever */
    unsigned n_closed, n_calls;
    uint64_t now_ms;
} wire;

static void wire_start(plan *p, void (*refill)(void))
{
    wire.plan = p;
    wire.refill = refill;
    wire.in_at = wire.in_len = wire.out_len = 0;
    wire.is_over = wire.is_broken = 0;
    wire.n_closed = wire.n_calls = 0;
    wire.now_ms = 1000;
}

static void wire_put(const uint8_t *bytes, size_t len)
{
    if (len <= WIRE_MAX - wire.in_len && len > 0) {
        memcpy(wire.in + wire.in_len, bytes, len);
        wire.in_len += len;
    }
}

/* wire_read: bytes moved; 0: the end; below 0: -errno. */
static long wire_read(void *buf, size_t len)
{
    unsigned how = wire.plan->left > 0 ? next(wire.plan) : 0xff;
    size_t n = wire.in_len - wire.in_at;
    ENSURE(len > 0 && ++wire.n_calls < 200000);
    memset(buf, 0xee, len);             /* all of it may be written to */
    if (n == 0 && !wire.is_over && wire.refill != NULL && how != 0xff) {
        wire.refill();
        n = wire.in_len - wire.in_at;
    }
    if (how >= 0xf0 && how < 0xff)
        return how < 0xf8 ? -EAGAIN : how < 0xfc ? -EINTR
             : how == 0xfc ? -ECONNRESET : -EIO;
    if (n == 0) {
        if (how == 0xff)
            wire.is_over = 1;
        return wire.is_over ? 0 : -EAGAIN;
    }
    n = n < len ? n : len;
    if (how > 0 && how < 0x80 && how < n)
        n = how;
    memcpy(buf, wire.in + wire.in_at, n);
    wire.in_at += n;
    return (long)n;
}

static long wire_write(const void *buf, size_t len)
{
    unsigned how = wire.plan->left > 0 ? next(wire.plan) : 0;
    size_t n = how > 0 && how < 0x80 && how < len ? how : len;
    ENSURE(len > 0 && ++wire.n_calls < 200000);
    if (wire.is_broken || how == 0xff || n > WIRE_MAX - wire.out_len) {
        wire.is_broken = 1;
        return -EPIPE;
    }
    if (how >= 0xe0)
        return how < 0xf0 ? -EAGAIN : -EINTR;
    memcpy(wire.out + wire.out_len, buf, n);
    wire.out_len += n;
    return (long)n;
}

static ssize_t moved(long n)
{
    if (n < 0)
        errno = (int)-n;
    return n < 0 ? -1 : n;
}

ssize_t fuzz_recv(int fd, void *buf, size_t len, int flags);
ssize_t fuzz_recv(int fd, void *buf, size_t len, int flags)
{
    ENSURE(fd == WIRE_FD && wire.n_closed == 0 && flags == 0);
    return moved(wire_read(buf, len));
}

ssize_t fuzz_send(int fd, const void *buf, size_t len, int flags);
ssize_t fuzz_send(int fd, const void *buf, size_t len, int flags)
{
    (void)flags;
    ENSURE(fd == WIRE_FD && wire.n_closed == 0);
    return moved(wire_write(buf, len));
}

/* fuzz_poll: time passes, or something may be tried again. */
int fuzz_poll(struct pollfd *p, nfds_t n, int timeout_ms);
int fuzz_poll(struct pollfd *p, nfds_t n, int timeout_ms)
{
    unsigned how = wire.plan->left > 0 ? next(wire.plan) : 0;
    ENSURE(n == 1 && p->fd == WIRE_FD && wire.n_closed == 0);
    ENSURE(timeout_ms >= 0 && ++wire.n_calls < 200000);
    if (how >= 0xf0) {
        wire.now_ms += how & 1 ? 0 : 1;
        errno = how >= 0xfe ? ENOMEM : EINTR;
        return -1;
    }
    if (how >= 0x80) {
        wire.now_ms += (uint64_t)timeout_ms;
        return 0;
    }
    wire.now_ms += (uint64_t)timeout_ms * how / 0x80;
    p->revents = (short)(p->events & (how & 1 ? POLLIN : POLLIN | POLLOUT));
    return p->revents != 0;
}

int fuzz_clock_gettime(clockid_t clock, struct timespec *t);
int fuzz_clock_gettime(clockid_t clock, struct timespec *t)
{
    ENSURE(clock == CLOCK_MONOTONIC);
    t->tv_sec = (time_t)(wire.now_ms / 1000);
    t->tv_nsec = (long)(wire.now_ms % 1000) * 1000000;
    return 0;
}

int fuzz_shutdown(int fd, int how);
int fuzz_shutdown(int fd, int how)
{
    ENSURE(fd == WIRE_FD && how == SHUT_WR && wire.n_closed == 0);
    return 0;
}

int fuzz_close(int fd);
int fuzz_close(int fd)
{
    if (fd != WIRE_FD)
        return close(fd);
    ENSURE(wire.n_closed++ == 0);
    return 0;
}

int fuzz_fcntl(int fd, int what, ...);
int fuzz_fcntl(int fd, int what, ...)
{
    ENSURE(fd == WIRE_FD && wire.n_closed == 0);
    (void)what;
    return 0;
}

int fuzz_setsockopt(int fd, int level, int name, const void *value,
                    socklen_t len);
int fuzz_setsockopt(int fd, int level, int name, const void *value,
                    socklen_t len)
{
    (void)level;
    (void)name;
    ENSURE(fd == WIRE_FD && value != NULL && len > 0);
    return 0;
}

/* ---- 4. keys, and conversations to begin in ------------------------------ */

/* A channel may not be copied while it is open: it may be here, as nothing in
 * it points into it.  What is recorded is the conversation before M1, after
 * M1, M2, M3, M4 and M5, for a client without and with a key. */
enum { BEFORE_M1, AFTER_M1, AFTER_M2, AFTER_M3, AFTER_M4, AFTER_M5, STAGES };
#define ENDS 2
enum { CLIENT, SERVER };

typedef struct {
    sc_channel end[ENDS];
    stream random[ENDS];
    sc_server house;
} scene;

static struct {
    sc_private_key host, client, brief[2];      /* brief: short-lived */
    sc_server_options options;
    sc_client_options asking;
    scene scene[2][STAGES];                     /* [1]: the client has a key */
    uint8_t m[2][6][SC_REPLY_MAX];              /* M1..M5 */
    size_t m_len[2][6];
    uint8_t s1_s2[2][64];
    uint8_t open;                               /* state of a finished one */
} known;

/* What takes part in the run: at fixed places, each with redzones around. */
static struct {
    sc_channel *end[ENDS];
    sc_server *house;
    stream random[ENDS];
    int verdict;                                /* the judge's, both sides' */
} now;

static int judge(void *ctx, const sc_public_key *key)
{
    (void)ctx;
    ENSURE(sc_public_check(key) == SC_OK);
    return now.verdict;
}

/* touch: what the library traces can be read, all of it. */
static void touch(void *ctx, const char *sender, const char *name,
                  const uint8_t *bytes, size_t len)
{
    static volatile uint8_t sum;
    size_t i;
    (void)ctx;
    ENSURE(strcmp(sender, "client") == 0 || strcmp(sender, "server") == 0
           || strcmp(sender, "both") == 0);
    ENSURE(name[0] != '\0');
    for (i = 0; i < len; i++)
        sum = (uint8_t)(sum + bytes[i]);
}

static int recording;           /* 0 or 1: which s1, s2 are being made */

static void record_secrets(void *ctx, const char *sender, const char *name,
                           const uint8_t *bytes, size_t len)
{
    touch(ctx, sender, name, bytes, len);
    if (strcmp(name, "s1") == 0 || strcmp(name, "s2") == 0)
        memcpy(known.s1_s2[recording] + (name[1] == '2' ? 32 : 0), bytes, 32);
}

/* number_of: "host.p = <hex>" in the text of session.txt. */
static void number_of(const char *text, const char *key, const char *name,
                      uint8_t *out, size_t len)
{
    char want[40];
    const char *at;
    unsigned byte;
    snprintf(want, sizeof want, "\n%s.%s = ", key, name);
    at = strstr(text, want);
    ENSURE(at != NULL);
    for (at += strlen(want); len > 0; len--, at += 2) {
        ENSURE(sscanf(at, "%2x", &byte) == 1);
        *out++ = (uint8_t)byte;
    }
}

static void key_of(const char *text, const char *name, sc_private_key *key)
{
    memset(key, 0, sizeof *key);
    key->pub.n_len = 256;
    number_of(text, name, "n", key->pub.n, 256);
    number_of(text, name, "p", key->p, 128);
    number_of(text, name, "q", key->q, 128);
    number_of(text, name, "dp", key->dp, 128);
    number_of(text, name, "dq", key->dq, 128);
    number_of(text, name, "qinv", key->qinv, 128);
    ENSURE(sc_key_check(key) == SC_OK);
}

static void make_keys(void)
{
    static char text[100000];
    FILE *file = fopen("tests/session.txt", "r");
    if (file == NULL) {
        perror("fuzz: tests/session.txt");
        exit(2);
    }
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    key_of(text, "host", &known.host);
    key_of(text, "client", &known.client);
    key_of(text, "short", &known.brief[0]);
    known.brief[1] = known.client;
}

static void start_streams(void)
{
    stream_start(&now.random[CLIENT], 1);
    stream_start(&now.random[SERVER], 2);
    stream_start(&os_stream, 3);
}

static void use_stream(int end)
{
    now.end[end]->random = stream_bytes;
    now.end[end]->random_ctx = &now.random[end];
}

static void record(int keyed, int stage)
{
    scene *s = &known.scene[keyed][stage];
    int i;
    for (i = 0; i < ENDS; i++) {
        s->end[i] = *now.end[i];
        s->random[i] = now.random[i];
        s->end[i].trace = NULL;
    }
    s->house = *now.house;
}

/* make_scenes: one whole handshake, and everything on the way. */
static void make_scenes(int keyed)
{
    uint8_t (*m)[SC_REPLY_MAX] = known.m[keyed], frame[SC_REPLY_MAX];
    size_t *len = known.m_len[keyed];
    sc_event event;
    int i, to;
    recording = keyed;
    start_streams();
    now.verdict = SC_OK;
    known.options.host_key = &known.host;
    known.options.authorise = judge;
    known.asking.judge_host = judge;
    known.asking.identity = keyed ? &known.client : NULL;
    known.asking.trace = record_secrets;
    ENSURE(sc_server_init_with(now.house, &known.options, &known.brief[0], 0)
           == SC_OK);
    ENSURE(sc_client_init(now.end[CLIENT], &known.asking, m[1], &len[1])
           == SC_OK);
    ENSURE(sc_server_accept(now.end[SERVER], now.house) == SC_OK);
    use_stream(CLIENT);
    use_stream(SERVER);
    record(keyed, BEFORE_M1);
    for (i = 1; i <= 5; i++) {
        to = i % 2 == 1 ? SERVER : CLIENT;
        memcpy(frame, m[i], len[i]);
        if (i < 5)
            ENSURE(sc_input(now.end[to], frame, len[i], &event, m[i + 1],
                            &len[i + 1]) == SC_OK);
        else if (keyed)
            ENSURE(sc_input(now.end[to], frame, len[i], &event, m[0], len)
                   == SC_OK);
        record(keyed, i);
    }
    known.asking.trace = NULL;
    ENSURE(sc_ready(now.end[CLIENT]) && sc_ready(now.end[SERVER]));
    known.open = now.end[CLIENT]->state;
}

/* enter: the run begins here. */
static void enter(int keyed, int stage)
{
    const scene *s = &known.scene[keyed][stage];
    int i;
    for (i = 0; i < ENDS; i++) {
        *now.end[i] = s->end[i];
        now.random[i] = s->random[i];
    }
    *now.house = s->house;
    now.verdict = SC_OK;
    stream_start(&os_stream, 3);
}

/* ---- 5. a frame goes in -------------------------------------------------- */

/* got: what sc_input gave.  frame is to be freed. */
typedef struct {
    int e;
    sc_event event;
    uint8_t *frame;
    uint8_t out[SC_REPLY_MAX];
    size_t out_len;
} got;

/* reopened: is this what the frame holds?  By the plain code, and the key that
 * the channel had before. */
static int reopened(const sc_direction *d, const uint8_t *frame, size_t len,
                    const uint8_t *text, size_t text_len)
{
    uint8_t nonce[12] = { 0 }, tag[16], *plain = room(len);
    int same;
    nonce[4] = (uint8_t)d->counter;
    nonce[5] = (uint8_t)(d->counter >> 8);
    p64_sc_aead(plain, tag, frame + SC_HEADER_LEN,
                len - SC_HEADER_LEN - SC_TAG_LEN, d->key, nonce, frame,
                SC_HEADER_LEN, SC_AEAD_OPEN);
    same = memcmp(tag, frame + len - SC_TAG_LEN, SC_TAG_LEN) == 0
           && (text == NULL || (len == text_len + SC_HEADER_LEN + SC_TAG_LEN
                                && is_same(plain, text, text_len)));
    free(plain);
    return same;
}

/* failed_well: a channel that has failed keeps nothing that it could still
 * lose, and releases nothing. */
static void failed_well(const sc_channel *ch, const got *g)
{
    ENSURE(g->event.kind == SC_EVENT_NONE && g->event.data == NULL);
    ENSURE(!sc_ready(ch));
    ENSURE(all_zero(ch->k_confirm, 32) && all_zero(ch->k_chain, 32));
    ENSURE(all_zero(ch->k_proof, 32) && ch->short_key == NULL);
    ENSURE(all_zero(&ch->receiving, sizeof ch->receiving));
    ENSURE(all_zero(&ch->transcript, sizeof ch->transcript));
}

static void succeeded_well(const sc_channel *before, const sc_channel *ch,
                           const uint8_t *bytes, size_t len, const got *g)
{
    int kind = g->event.kind, is_data = kind == SC_EVENT_PART
                                        || kind == SC_EVENT_MESSAGE;
    ENSURE(kind >= SC_EVENT_NONE && kind <= SC_EVENT_CLOSED);
    ENSURE((kind == SC_EVENT_READY) == (sc_ready(ch) && !sc_ready(before)));
    ENSURE(before->state != known.open || kind > SC_EVENT_READY);
    ENSURE((kind == SC_EVENT_CLOSED) == (ch->got_close && !before->got_close));
    if (kind <= SC_EVENT_READY)
        return;
    ENSURE(sc_ready(before) && g->out_len == 0);
    ENSURE(reopened(&before->receiving, bytes, len,
                    is_data ? g->event.data : NULL, g->event.data_len));
    if (!is_data)
        return;
    ENSURE(g->event.data == g->frame + SC_HEADER_LEN);
    ENSURE(bytes[0] == (kind == SC_EVENT_PART ? 7 : 6));
    ENSURE(kind == SC_EVENT_MESSAGE || g->event.data_len > 0);
}

/* give: one frame, and every promise of sc_input. */
static void give(sc_channel *ch, const uint8_t *bytes, size_t len, got *g)
{
    sc_channel before = *ch;
    uint8_t *out = room(SC_REPLY_MAX);
    memset(g, 0, sizeof *g);
    g->frame = copy_of(bytes, len);
    g->e = sc_input(ch, g->frame, len, &g->event, out, &g->out_len);
    ENSURE(g->e <= 0 && g->out_len <= SC_REPLY_MAX);
    memcpy(g->out, out, g->out_len);
    free(out);
    if (g->out_len > 0)
        ENSURE(g->out[0] >= 1 && g->out[0] <= 5 && g->out[1] == 1
               && (size_t)(g->out[2] << 8 | g->out[3]) + 4 == g->out_len);
    if (before.state == 0)
        ENSURE(g->e == SC_ERR_STATE && g->out_len == 0
               && all_zero(ch, sizeof *ch));
    else if (before.error != SC_OK)
        ENSURE(g->e == before.error && g->out_len == 0
               && memcmp(&before, ch, sizeof before) == 0);
    else if (g->e != SC_OK)
        ENSURE(ch->error == g->e);
    if (g->e == SC_OK)
        succeeded_well(&before, ch, bytes, len, g);
    else if (before.state != 0)
        failed_well(ch, g);
    if (g->e == SC_ERR_RECORD && before.error == SC_OK)
        ENSURE(all_zero(g->frame + SC_HEADER_LEN, len - SC_HEADER_LEN));
    ENSURE((sc_peer_key(ch) == NULL) == (ch->state != known.open
                                         || ch->peer.n_len == 0));
    ENSURE(before.is_ready || ch->state == known.open || !sc_ready(ch));
}

/* finish: a channel ends: at most one CLOSE, no record after it, nothing left.
 * Gives the CLOSE, perhaps of 0 bytes. */
static size_t finish(sc_channel *ch, uint8_t bye[SC_CLOSE_LEN])
{
    uint8_t *out = room(SC_CLOSE_LEN), *record_at = room(SC_HEADER_LEN + 16);
    sc_channel before = *ch;
    size_t len, again;
    got g;
    int e = sc_shut(ch, out, &len);
    ENSURE(e <= 0 && e == ch->error);
    ENSURE(before.error == SC_OK || e == before.error);
    ENSURE(len == 0 || (len == SC_CLOSE_LEN && before.state == known.open
                        && !before.sent_close));
    if (len > 0)
        ENSURE(reopened(&before.sending, out, len, NULL, 0));
    memcpy(bye, out, len);
    ENSURE(sc_shut(ch, out, &again) == e && again == 0);
    ENSURE(sc_seal(ch, 0, NULL, 0, record_at, &again) < 0 && again == 0);
    ENSURE(all_zero(&ch->sending, sizeof ch->sending)
           || (e == SC_OK && before.state != known.open));
    sc_end(ch);
    ENSURE(all_zero(ch, sizeof *ch));
    give(ch, (const uint8_t *)"\1\1\0\0", 4, &g);
    free(g.frame);
    free(out);
    free(record_at);
    return len;
}

/* ---- 6. client, server --------------------------------------------------- */

static void seal_plainly(uint8_t *body, size_t len, const uint8_t key[32],
                         const uint8_t nonce[12], const uint8_t *ad,
                         size_t ad_len)
{
    p64_sc_aead(body, body + len, body, len, key, nonce, ad, ad_len,
                SC_AEAD_SEAL);
}

/* seal_m3: the rest of M3, behind two good ciphertexts. */
static void seal_m3(const sc_channel *ch, int keyed, uint8_t *frame, size_t len)
{
    static const uint8_t zero[12] = { 0 };
    const size_t c_len = 256 + 256;
    sc_sha256 transcript = ch->transcript;
    uint8_t t3[32], key[32], *box = frame + SC_HEADER_LEN + c_len;
    memcpy(frame + SC_HEADER_LEN, known.m[keyed][3] + SC_HEADER_LEN, c_len);
    sc_sha256_add(&transcript, frame, SC_HEADER_LEN + c_len);
    sc_sha256_end(&transcript, t3);
    sc_hkdf_extract(key, t3, sizeof t3, known.s1_s2[keyed], 64);
    sc_hkdf_expand(key, "secchan/1 client identity", 25, key, 32);
    seal_plainly(box, len - (size_t)(box - frame) - SC_TAG_LEN, key, zero, t3,
                 sizeof t3);
}

/* seal_for: what the body says gets the tag that the channel waits for. */
static void seal_for(const sc_channel *ch, int keyed, uint8_t *frame,
                     size_t len)
{
    uint8_t nonce[12] = { 0 }, ad[SC_HEADER_LEN + 32];
    uint8_t *body = frame + SC_HEADER_LEN;
    size_t text_len = len - SC_HEADER_LEN - SC_TAG_LEN;
    memcpy(ad, frame, SC_HEADER_LEN);
    if (ch->state == known.open) {
        nonce[4] = (uint8_t)ch->receiving.counter;
        nonce[5] = (uint8_t)(ch->receiving.counter >> 8);
        seal_plainly(body, text_len, ch->receiving.key, nonce, ad,
                     SC_HEADER_LEN);
        return;
    }
    sc_sha256_end(&ch->transcript, ad + SC_HEADER_LEN);
    if (frame[0] == 3)
        seal_m3(ch, keyed, frame, len);
    else if (frame[0] == 4)
        seal_plainly(body, text_len, ch->k_confirm, nonce, ad, sizeof ad);
    else if (frame[0] == 5)
        seal_plainly(body, text_len, ch->k_proof, nonce, ad, sizeof ad);
}

/* may_arrive: what the protocol page lets come now, with keys of 2048 bits. */
static int may_arrive(const sc_channel *ch, const uint8_t h[SC_HEADER_LEN])
{
    const scene *s = known.scene[1];
    size_t len = (size_t)(h[2] << 8 | h[3]);
    if (h[1] != 1 || ch->got_close)
        return 0;
    if (ch->state == s[BEFORE_M1].end[SERVER].state)
        return h[0] == 1 && len == 0;
    if (ch->state == s[BEFORE_M1].end[CLIENT].state)
        return h[0] == 2 && len >= 544 && len <= 800;
    if (ch->state == s[AFTER_M1].end[SERVER].state)
        return h[0] == 3 && (len == 528 || (len >= 784 && len <= 1040));
    if (ch->state == s[AFTER_M2].end[CLIENT].state)
        return h[0] == 4 && len == (ch->client.identity != NULL ? 272u : 16u);
    if (ch->state == s[AFTER_M3].end[SERVER].state)
        return h[0] == 5 && len == 16;
    return (h[0] == 6 && len >= 16 && len <= 16400)
        || (h[0] == 7 && len >= 17 && len <= 16400) || (h[0] == 8 && len == 17);
}

/* take_all: the rest of the plan is what arrives; bit i % 8 of seals says if
 * frame i gets a good tag. */
static void take_all(sc_channel *ch, plan *p, int keyed, unsigned seals)
{
    uint8_t header[SC_HEADER_LEN], bye[SC_CLOSE_LEN], *frame;
    size_t want, i;
    got g;
    int e = SC_OK, may;
    for (i = 0; p->left > 0 && e == SC_OK && i < 40; i++) {
        next_bytes(p, header, sizeof header);
        may = may_arrive(ch, header);
        e = sc_frame_len(ch, header, &want);
        ENSURE(may ? e == SC_OK && want <= SC_FRAME_MAX : e < 0 && want == 0);
        if (e != SC_OK)
            break;
        frame = room(want);
        memcpy(frame, header, sizeof header);
        next_bytes(p, frame + SC_HEADER_LEN, want - SC_HEADER_LEN);
        if (header[0] > 2 && seals >> i % 8 & 1)
            seal_for(ch, keyed, frame, want);
        give(ch, frame, want, &g);
        e = g.e;
        free(frame);
        free(g.frame);
    }
    i = ch->got_close;
    e = sc_eof(ch);
    ENSURE(ch->error == SC_OK ? e == SC_CLOSED && i : e == ch->error);
    (void)finish(ch, bye);
}

/* ease: who decides what, and whether the random source fails. */
static int ease(plan *p, int end)
{
    static const int verdicts[4] = { SC_OK, SC_OK, SC_ERR_PIN, SC_MORE };
    unsigned a = next(p), b = next(p);
    int keyed = a & 1;
    enter(keyed, (int)(a >> 1 & 7) % STAGES);
    now.verdict = verdicts[a >> 4 & 3];
    now.house->options.require_client_key = a >> 6 & 1;
    now.house->options.authorise = a >> 7 ? NULL : judge;
    now.end[end]->trace = b & 1 ? touch : NULL;
    if (b >> 1 & 1)
        now.random[end].calls_left = (int)(b >> 2 & 7);
    return keyed;
}

static void fuzz_client(plan *p)
{
    int keyed = ease(p, CLIENT);
    unsigned seals = next(p);
    take_all(now.end[CLIENT], p, keyed, seals);
}

static void fuzz_server(plan *p)
{
    int keyed = ease(p, SERVER), slot = now.house->current;
    unsigned seals = next(p);
    take_all(now.end[SERVER], p, keyed, seals);
    ENSURE(now.house->short_key[slot].in_flight == 0);
    ENSURE(now.house->short_key[slot].is_alive);
}

/* ---- 7. handshake -------------------------------------------------------- */

/* Somebody sits in between and may do anything.  If both ends finish, nobody
 * was there: every byte has arrived as it was sent, and both hold the same
 * keys. */
typedef struct {
    uint8_t bytes[2 * SC_REPLY_MAX];
    size_t len;
} parcel;

/* meddle: what becomes of a frame.  0: it is not delivered. */
static int meddle(plan *p, parcel *x, int number)
{
    unsigned how = next(p) % 16;
    size_t at, n;
    uint8_t bytes[8];
    switch (how) {
    case 1:                             /* one bit */
        at = next_len(p, 8 * x->len - 1);
        x->bytes[at / 8] ^= (uint8_t)(1 << at % 8);
        return 1;
    case 2:                             /* some bytes */
        at = next_len(p, x->len - 1);
        n = next(p) % sizeof bytes;
        next_bytes(p, bytes, n);
        memcpy(x->bytes + at, bytes, at + n < x->len ? n : x->len - at);
        return 1;
    case 3:                             /* another length, header and all */
        n = next_len(p, SC_REPLY_MAX - SC_HEADER_LEN);
        if (n + SC_HEADER_LEN > x->len)
            memset(x->bytes + x->len, 0, n + SC_HEADER_LEN - x->len);
        x->len = n + SC_HEADER_LEN;
        x->bytes[2] = (uint8_t)(n >> 8);
        x->bytes[3] = (uint8_t)n;
        return 1;
    case 4:                             /* one from another conversation */
        at = next(p);
        n = 1 + (at >> 1) % 5;
        x->len = known.m_len[at & 1][n];
        memcpy(x->bytes, known.m[at & 1][n], x->len);
        return x->len > 0;
    case 5:                             /* another length, header as it was */
        x->len = next_len(p, x->len + 8);
        return 1;
    case 6:                             /* C1 in the place of C2 */
        if (number == 3)
            memmove(x->bytes + 260, x->bytes + 4, 256);
        return 1;
    case 7:
        return 0;
    default:
        return 1;
    }
}

/* meet: a client that may be somebody else.  junk: the key that it names, and
 * that nobody has. */
static int meet(plan *p, sc_private_key *junk)
{
    unsigned who = next(p), fails;
    int keyed = who & 1;
    sc_channel *client = now.end[CLIENT];
    enter(keyed, BEFORE_M1);
    now.random[CLIENT].x++;             /* it is none that was recorded */
    now.random[SERVER].x++;
    now.house->options.require_client_key = who >> 1 & 1;
    now.house->options.authorise = who >> 2 & 1 ? NULL : judge;
    now.verdict = who >> 3 & 1 ? SC_ERR_NOT_AUTHORISED : SC_OK;
    if (who >> 4 & 1) {
        fails = next(p);
        now.random[fails & 1].calls_left = (int)(fails >> 1) % 12;
    }
    if (who >> 5 & 1) {
        *junk = known.client;
        junk->pub.n_len = 256 + next_len(p, 256);
        next_bytes(p, junk->pub.n, junk->pub.n_len);
        if (who >> 6 & 1) {
            junk->pub.n[0] |= 0x80;
            junk->pub.n[junk->pub.n_len - 1] |= 1;
        }
        client->client.identity = junk;
        keyed = 1;
    }
    client->trace = now.end[SERVER]->trace = who >> 7 & 1 ? touch : NULL;
    return keyed;
}

static void both_finished(int keyed)
{
    const sc_channel *c = now.end[CLIENT], *s = now.end[SERVER];
    ENSURE(memcmp(sc_session_id(c), sc_session_id(s), 32) == 0);
    ENSURE(memcmp(&c->sending, &s->receiving, sizeof c->sending) == 0);
    ENSURE(memcmp(&c->receiving, &s->sending, sizeof c->sending) == 0);
    ENSURE(sc_public_equal(sc_peer_key(c), &known.host.pub));
    ENSURE((sc_peer_key(s) != NULL) == keyed);
    if (keyed)
        ENSURE(sc_public_equal(sc_peer_key(s), &known.client.pub));
}

static void fuzz_handshake(plan *p)
{
    static sc_private_key junk;
    uint8_t bye[SC_CLOSE_LEN];
    int keyed = meet(p, &junk), number, to, altered = 0;
    int is_junk = now.end[CLIENT]->client.identity == &junk;
    int is_kind = now.verdict == SC_OK && now.house->options.authorise != NULL
                  && (keyed || !now.house->options.require_client_key);
    int is_sure = now.random[0].calls_left < 0 && now.random[1].calls_left < 0;
    parcel x, sent;
    got g;
    memset(&x, 0, sizeof x);
    x.len = known.m_len[0][1];
    memcpy(x.bytes, known.m[0][1], x.len);
    for (number = 1; x.len > 0; number++) {
        to = number % 2 == 1 ? SERVER : CLIENT;
        sent = x;
        if (!meddle(p, &x, number)) {
            altered = 1;
            break;
        }
        altered |= x.len != sent.len || !is_same(x.bytes, sent.bytes, x.len);
        give(now.end[to], x.bytes, x.len, &g);
        free(g.frame);
        ENSURE(!altered || (number == 2 ? !sc_ready(now.end[to])
                                        : g.e != SC_OK));
        memcpy(x.bytes, g.out, g.out_len);
        x.len = g.out_len;
    }
    ENSURE(!is_junk || (!sc_ready(now.end[CLIENT])
                        && !sc_ready(now.end[SERVER])));
    if (!is_junk && !altered && is_kind && is_sure)
        ENSURE(sc_ready(now.end[CLIENT]) && sc_ready(now.end[SERVER]));
    if (sc_ready(now.end[CLIENT]) && sc_ready(now.end[SERVER]))
        both_finished(keyed);
    (void)finish(now.end[CLIENT], bye);
    (void)finish(now.end[SERVER], bye);
    ENSURE(now.house->short_key[0].in_flight == 0);
}

/* ---- 8. records ---------------------------------------------------------- */

/* Both ends are alive; between them, each way, are frames that can be spoiled,
 * moved, doubled and lost.  A model of a dozen lines says what each delivery
 * must give. */
#define FLYING_MAX 8
#define SENT_MAX 48

typedef struct {
    uint8_t *bytes;
    size_t len;
} flying;

typedef struct {                /* from one end to the other */
    flying queue[FLYING_MAX];
    size_t n_flying;
    flying sent[SENT_MAX];      /* every frame, as it was sealed */
    uint8_t *text[SENT_MAX];    /* and what is in it */
    size_t n_sent, n_taken;
    int error, got_close, inside;       /* what the receiver must know */
    int sent_close, is_ended;           /* and the sender */
    int sending_part, send_error;
} lane;

static lane lanes[ENDS];        /* by sender */

static void fly(lane *l, const uint8_t *bytes, size_t len)
{
    flying f;
    f.bytes = copy_of(bytes, len);      /* they may be the queue's own */
    f.len = len;
    if (l->n_flying == FLYING_MAX) {
        free(l->queue[0].bytes);
        memmove(l->queue, l->queue + 1, sizeof f * --l->n_flying);
    }
    l->queue[l->n_flying++] = f;
}

/* sealed: a new frame, remembered and on its way. */
static void sealed(lane *l, const uint8_t *text, size_t text_len,
                   const uint8_t *frame, size_t len)
{
    ENSURE(len == text_len + SC_HEADER_LEN + SC_TAG_LEN);
    l->text[l->n_sent] = copy_of(text, text_len);
    l->sent[l->n_sent].bytes = copy_of(frame, len);
    l->sent[l->n_sent++].len = len;
    fly(l, frame, len);
}

/* counted: a record has used up one number under one key, for good. */
static void counted(const sc_direction *before, const sc_direction *after)
{
    if (before->counter < 65535)
        ENSURE(after->counter == before->counter + 1
               && memcmp(after->key, before->key, 32) == 0);
    else
        ENSURE(after->counter == 0
               && memcmp(after->key, before->key, 32) != 0);
}

static void act_seal(plan *p, int end)
{
    lane *l = &lanes[end];
    sc_channel *ch = now.end[end];
    unsigned how = next(p);
    size_t len = next_len(p, how & 1 ? SC_RECORD_MAX + 2 : 600), out_len, i;
    int more = how >> 1 & 1, e, want = SC_OK;
    size_t out_max = len <= SC_RECORD_MAX ? len + SC_HEADER_LEN + SC_TAG_LEN
                                          : 1;
    uint8_t *text = room(len), *out = room(out_max);
    sc_direction before = ch->sending;
    for (i = 0; i < len; i++)
        text[i] = (uint8_t)(how + i * 7 + (i >> 8));
    if (l->is_ended)
        want = SC_ERR_STATE;
    else if (ch->error != SC_OK)
        want = ch->error;
    else if (l->sent_close)
        want = SC_ERR_STATE;
    else if (len > SC_RECORD_MAX || (more && len == 0))
        want = SC_ERR_ARGUMENT;
    if (how >> 2 & 1 && len <= SC_RECORD_MAX && len > 0) {      /* in place */
        memcpy(out + SC_HEADER_LEN, text, len);
        e = sc_seal(ch, more, out + SC_HEADER_LEN, len, out, &out_len);
    } else {
        e = sc_seal(ch, more, text, len, out, &out_len);
    }
    ENSURE(e == want && (e == SC_OK) == (out_len > 0));
    if (e == SC_OK) {
        counted(&before, &ch->sending);
        sealed(l, text, len, out, out_len);
        l->sending_part = more;
    }
    free(text);
    free(out);
}

/* act_forge: the peer holds the key and means harm. */
static void act_forge(plan *p, int end)
{
    lane *l = &lanes[end];
    sc_channel *ch = now.end[end];
    uint8_t frame[SC_HEADER_LEN + 64 + SC_TAG_LEN], nonce[12] = { 0 };
    uint8_t text[64];
    unsigned type = next(p);
    size_t len = next(p) % 65;
    if (l->is_ended || ch->error != SC_OK || l->sent_close)
        return;
    type = type & 0x80 ? type & 0x7f : 6 + type % 3;
    if (type == 8)
        len = 1;
    next_bytes(p, text, len);
    frame[0] = (uint8_t)type;
    frame[1] = 1;
    frame[2] = 0;
    frame[3] = (uint8_t)(len + SC_TAG_LEN);
    memcpy(frame + SC_HEADER_LEN, text, len);
    nonce[4] = (uint8_t)ch->sending.counter;
    nonce[5] = (uint8_t)(ch->sending.counter >> 8);
    seal_plainly(frame + SC_HEADER_LEN, len, ch->sending.key, nonce, frame,
                 SC_HEADER_LEN);
    if (ch->sending.counter == 65535)
        sc_hkdf_expand(ch->sending.key, "secchan/1 rekey", 15,
                       ch->sending.key, 32);
    ch->sending.counter = (ch->sending.counter + 1) % 65536;
    sealed(l, text, len, frame, SC_HEADER_LEN + len + SC_TAG_LEN);
}

/* expected: what the frame must give, from the protocol page alone. */
static int expected(const lane *l, const flying *f, int *kind)
{
    static const int close_errors[4] = {
        SC_OK, SC_ERR_REFUSED, SC_ERR_PEER_PROTOCOL, SC_ERR_PEER_INTERNAL
    };
    size_t len = f->len < 4 ? 0 : (size_t)(f->bytes[2] << 8 | f->bytes[3]);
    const flying *due = &l->sent[l->n_taken];
    const uint8_t *text = l->text[l->n_taken];
    *kind = SC_EVENT_NONE;
    if (l->error != SC_OK)
        return l->error;
    if (f->len < 4)
        return SC_ERR_FRAME;
    if (l->got_close)
        return SC_ERR_CLOSE;
    if (f->bytes[1] != 1 || f->bytes[0] < 6 || f->bytes[0] > 8 || len > 16400
        || len < (f->bytes[0] == 6 ? 16u : 17u)
        || (f->bytes[0] == 8 && len != 17) || f->len != len + 4)
        return SC_ERR_FRAME;
    if (l->n_taken == l->n_sent || f->len != due->len
        || memcmp(f->bytes, due->bytes, f->len) != 0)
        return SC_ERR_RECORD;
    *kind = f->bytes[0] == 6 ? SC_EVENT_MESSAGE
          : f->bytes[0] == 7 ? SC_EVENT_PART : SC_EVENT_CLOSED;
    if (f->bytes[0] != 8)
        return SC_OK;
    if (text[0] > 3 || (text[0] == 0 && l->inside))
        return SC_ERR_CLOSE;
    return close_errors[text[0]];
}

static void act_deliver(plan *p, int from)
{
    lane *l = &lanes[from];
    sc_channel *ch = now.end[1 - from];
    flying f = l->queue[0];
    int kind, want;
    got g;
    (void)p;
    if (l->n_flying == 0 || lanes[1 - from].is_ended)
        return;
    memmove(l->queue, l->queue + 1, sizeof f * --l->n_flying);
    want = expected(l, &f, &kind);
    give(ch, f.bytes, f.len, &g);
    ENSURE(g.e == want);
    if (g.e == SC_OK) {
        ENSURE(g.event.kind == kind);
        if (kind != SC_EVENT_CLOSED)
            ENSURE(g.event.data_len == f.len - SC_HEADER_LEN - SC_TAG_LEN
                   && is_same(g.event.data, l->text[l->n_taken],
                              g.event.data_len));
        l->got_close = kind == SC_EVENT_CLOSED;
        l->inside = kind == SC_EVENT_PART;
        l->n_taken++;
    } else {
        l->error = g.e;
        lanes[1 - from].send_error = g.e;
    }
    free(g.frame);
    free(f.bytes);
}

/* act_spoil: something happens to a frame on its way. */
static void act_spoil(plan *p, int from)
{
    lane *l = &lanes[from];
    unsigned how = next(p);
    flying *f, x;
    size_t at;
    if (l->n_flying == 0)
        return;
    f = &l->queue[next(p) % l->n_flying];
    at = next_len(p, f->len > 0 ? 8 * f->len - 1 : 0);
    switch (how % 7) {
    case 0:                             /* one bit */
        if (f->len > 0)
            f->bytes[at / 8] ^= (uint8_t)(1 << at % 8);
        break;
    case 1:                             /* changes places with the first */
        x = *f;
        *f = l->queue[0];
        l->queue[0] = x;
        break;
    case 2:                             /* twice */
        fly(l, f->bytes, f->len);
        break;
    case 3:                             /* lost */
        free(f->bytes);
        *f = l->queue[--l->n_flying];
        break;
    case 4:                             /* cut */
        if (at / 8 < f->len) {
            x.bytes = copy_of(f->bytes, at / 8);
            free(f->bytes);
            f->bytes = x.bytes;
            f->len = at / 8;
        }
        break;
    case 5:                             /* sent back */
        fly(&lanes[1 - from], f->bytes, f->len);
        break;
    default:                            /* an old one again */
        at %= l->n_sent > 0 ? l->n_sent : 1;
        if (l->n_sent > 0)
            fly(l, l->sent[at].bytes, l->sent[at].len);
    }
}

static void act_shut(plan *p, int end)
{
    lane *l = &lanes[end];
    sc_channel *ch = now.end[end];
    uint8_t *out = room(SC_CLOSE_LEN), reason;
    sc_direction before = ch->sending;
    size_t len;
    int error = ch->error, e, silent;
    (void)p;
    if (!l->is_ended) {
        e = sc_shut(ch, out, &len);
        if (error == SC_OK && l->sending_part && !l->sent_close)
            error = SC_ERR_STATE;
        ENSURE(e == error);
        silent = e == SC_ERR_REFUSED || e == SC_ERR_PEER_PROTOCOL
                 || e == SC_ERR_PEER_INTERNAL || e == SC_ERR_CUT_OFF
                 || e == SC_ERR_IO;
        ENSURE((len > 0) == (!l->sent_close && !silent));
        if (len > 0) {
            reason = e == SC_OK ? 0 : e == SC_ERR_NOT_AUTHORISED ? 1
                   : e <= SC_ERR_FRAME && e >= SC_ERR_TOO_LONG ? 2 : 3;
            ENSURE(reopened(&before, out, len, &reason, 1));
            sealed(l, &reason, 1, out, len);
            l->sent_close = 1;
        }
        lanes[1 - end].error = e;       /* this end takes nothing any more */
        ENSURE(all_zero(&ch->sending, sizeof ch->sending));
    }
    free(out);
}

static void act_stop(plan *p, int end)
{
    static const int errors[8] = {
        SC_ERR_TOO_LONG, SC_ERR_FRAME, SC_ERR_NOT_AUTHORISED, SC_ERR_IO,
        SC_ERR_CUT_OFF, SC_ERR_TIMEOUT, SC_ERR_INTERNAL, 1
    };
    lane *from = &lanes[1 - end];
    sc_channel *ch = now.end[end];
    unsigned how = next(p);
    uint8_t bye[SC_CLOSE_LEN];
    int e, before = ch->error;
    if (lanes[end].is_ended)
        return;
    if (how < 0x80) {
        e = sc_fail(ch, errors[how % 8]);
        ENSURE(e == (before != SC_OK ? before : errors[how % 8] < 0
                     ? errors[how % 8] : SC_ERR_INTERNAL));
        from->error = e;
    } else if (how < 0xc0) {
        e = sc_eof(ch);
        ENSURE(before != SC_OK ? e == before : from->got_close
               ? e == SC_CLOSED : e == SC_ERR_CUT_OFF);
        if (e < 0)
            from->error = e;
    } else {
        (void)finish(ch, bye);
        lanes[end].is_ended = 1;
        from->error = SC_ERR_STATE;
    }
}

/* act_hurry: all the numbers of a key but a few have been used. */
static void act_hurry(plan *p, int end)
{
    lane *l = &lanes[end];
    uint32_t counter = 65535 - next(p) % 4;
    if (l->n_taken != l->n_sent || l->error != SC_OK
        || now.end[end]->error != SC_OK || l->sent_close || l->is_ended
        || lanes[1 - end].is_ended
        || now.end[end]->sending.counter > counter)
        return;
    now.end[end]->sending.counter = counter;
    now.end[1 - end]->receiving.counter = counter;
}

static void fuzz_records(plan *p)
{
    static void (*const acts[16])(plan *p, int end) = {
        act_seal, act_seal, act_seal, act_seal, act_deliver, act_deliver,
        act_deliver, act_deliver, act_deliver, act_spoil, act_spoil, act_forge,
        act_forge, act_shut, act_stop, act_hurry
    };
    uint8_t bye[SC_CLOSE_LEN];
    unsigned act;
    size_t i;
    int end, keyed = next(p) & 1;
    enter(keyed, AFTER_M5);
    memset(lanes, 0, sizeof lanes);
    while (p->left > 0 && lanes[0].n_sent < SENT_MAX
           && lanes[1].n_sent < SENT_MAX) {
        act = next(p);
        acts[act % 16](p, (int)(act >> 7));
    }
    for (end = 0; end < ENDS; end++) {
        lane *l = &lanes[end];
        if (!l->is_ended)
            (void)finish(now.end[end], bye);
        for (i = 0; i < l->n_flying; i++)
            free(l->queue[i].bytes);
        for (i = 0; i < l->n_sent; i++) {
            free(l->sent[i].bytes);
            free(l->text[i]);
        }
    }
}

/* ---- 9. life ------------------------------------------------------------- */

/* Many clients of one server whose short-lived key grows old: each is served
 * with the key that it was shown, as long as that may live, and no key is kept
 * that nobody can still need. */
#define GUESTS 6
static struct {
    sc_channel *guest[GUESTS];
    stream random[GUESTS];
    int stage[GUESTS];          /* 0 not here, 1 accepted, 2 shown a key, 3 */
    uint32_t number[GUESTS];    /* of the key it was shown */
    uint8_t m3[2][SC_REPLY_MAX];        /* good for brief[0], brief[1] */
    size_t m3_len[2];
    uint64_t now_ms;
} life;

static void make_life(void)
{
    sc_server_options o = known.options;
    uint8_t m2[SC_REPLY_MAX], m1[4] = { 1, 1, 0, 0 };
    sc_event event;
    size_t len;
    int i;
    for (i = 0; i < GUESTS; i++)
        life.guest[i] = room(sizeof *life.guest[i]);
    for (i = 0; i < 2; i++) {
        enter(0, BEFORE_M1);
        ENSURE(sc_server_init_with(now.house, &o, &known.brief[i], 0)
               == SC_OK);
        ENSURE(sc_input(now.end[SERVER], m1, 4, &event, m2, &len) == SC_OK);
        ENSURE(sc_input(now.end[CLIENT], m2, len, &event, life.m3[i],
                        &life.m3_len[i]) == SC_OK);
    }
}

static int key_lives(uint32_t number)
{
    return now.house->short_key[0].number == number
        || now.house->short_key[1].number == number;
}

static void count_guests(void)
{
    int slot, i;
    for (slot = 0; slot < 2; slot++) {
        const sc_short_key *k = &now.house->short_key[slot];
        uint32_t n = 0;
        if (!k->is_alive) {
            ENSURE(slot != now.house->current && all_zero(k, sizeof *k));
            continue;
        }
        for (i = 0; i < GUESTS; i++)
            n += life.stage[i] == 2 && life.number[i] == k->number;
        ENSURE(k->in_flight == n);
        ENSURE(slot == now.house->current || n > 0);
        ENSURE(sc_public_equal(&k->key.pub,
                               &known.brief[(k->number - 1) % 2].pub));
    }
}

static void guest_m3(plan *p, int i)
{
    unsigned how = next(p);
    size_t which = (life.number[i] - 1) % 2, len;
    int good = 1, e;
    uint8_t m3[SC_REPLY_MAX];
    got g;
    if (how & 1) {
        which = 1 - which;              /* for the other key */
        good = 0;
    }
    len = life.m3_len[which];
    memcpy(m3, life.m3[which], len);
    if (how & 2) {
        m3[len - 1] ^= 1;
        good = 0;
    }
    e = !key_lives(life.number[i]) ? SC_ERR_TIMEOUT
      : good ? SC_OK : SC_ERR_HANDSHAKE;
    give(life.guest[i], m3, len, &g);
    free(g.frame);
    ENSURE(g.e == e);
    life.stage[i] = 3;
}

static void guest_acts(plan *p, int i, unsigned act)
{
    uint8_t bye[SC_CLOSE_LEN];
    sc_channel *ch = life.guest[i];
    const sc_short_key *k = &now.house->short_key[now.house->current];
    got g;
    if (life.stage[i] == 0) {
        ENSURE(sc_server_accept(ch, now.house) == SC_OK);
        stream_start(&life.random[i], 2);
        ch->random = stream_bytes;
        ch->random_ctx = &life.random[i];
        life.stage[i] = 1;
    } else if (act == 5) {
        ENSURE(sc_fail(ch, SC_ERR_TIMEOUT) < 0);
        life.stage[i] = 3;
    } else if (act == 6 || life.stage[i] == 3) {
        (void)finish(ch, bye);
        life.stage[i] = 0;
    } else if (life.stage[i] == 1) {
        give(ch, (const uint8_t *)"\1\1\0\0", 4, &g);
        ENSURE(g.e == SC_OK && memcmp(g.out + 36, k->key.pub.n, 256) == 0);
        free(g.frame);
        life.stage[i] = 2;
        life.number[i] = k->number;
    } else {
        guest_m3(p, i);
    }
}

static void tick(plan *p)
{
    static const unsigned steps_ms[8] = {
        0, 1, 999, 10000, 30000, 59999, 60000, 3600000
    };
    unsigned how = next(p), wait_ms, before = now.house->keys_made;
    int e;
    life.now_ms += steps_ms[how % 8];
    keygen.key = &known.brief[before % 2];
    keygen.steps = how >> 3 & 3;
    keygen.fails = how >> 5 == 7;
    e = sc_server_tick(now.house, life.now_ms, &wait_ms);
    ENSURE(e == SC_OK || (e == SC_ERR_RANDOM && keygen.fails));
    ENSURE(wait_ms <= 1000 && now.house->keys_made - before <= 1);
    keygen.key = NULL;
}

static void fuzz_life(plan *p)
{
    sc_server_options o = known.options;
    uint8_t bye[SC_CLOSE_LEN];
    unsigned act;
    int i;
    enter(0, BEFORE_M1);
    o.short_key_uses = 1 + next(p) % 8;
    life.now_ms = 1;
    memset(life.stage, 0, sizeof life.stage);
    ENSURE(sc_server_init_with(now.house, &o, &known.brief[0], 1) == SC_OK);
    while (p->left > 0) {
        act = next(p);
        if (act % 8 == 7)
            tick(p);
        else
            guest_acts(p, (int)(act >> 3) % GUESTS, act % 8);
        count_guests();
    }
    for (i = 0; i < GUESTS; i++)
        if (life.stage[i] != 0)
            (void)finish(life.guest[i], bye);
    sc_server_end(now.house);
    ENSURE(all_zero(now.house, sizeof *now.house));
}

/* ---- 10. blocking -------------------------------------------------------- */

/* What one side has said, to be compared with what the other side hears: the
 * same messages, in order, as far as they come. */
#define SAID_MAX 64
typedef struct {
    struct {
        size_t len;
        int more, is_spoiled;
        size_t from, to;        /* where its frame lies in wire.in */
    } piece[SAID_MAX];
    size_t n, at, offset;       /* heard: pieces before at, then offset bytes */
    int has_closed;
} book;

static uint8_t said_byte(size_t piece, size_t offset)
{
    return (uint8_t)(piece * 31 + offset * 7 + (offset >> 8));
}

static uint8_t *say_piece(book *b, size_t len, int more)
{
    uint8_t *text = room(len);
    size_t i;
    ENSURE(b->n < SAID_MAX);
    memset(&b->piece[b->n], 0, sizeof b->piece[0]);
    b->piece[b->n].len = len;
    b->piece[b->n].more = more;
    for (i = 0; i < len; i++)
        text[i] = said_byte(b->n, i);
    b->n++;
    return text;
}

/* skip_heard: past pieces that are all heard and not the end of a message. */
static void skip_heard(book *b)
{
    while (b->at < b->n && b->piece[b->at].more
           && b->offset == b->piece[b->at].len) {
        b->at++;
        b->offset = 0;
    }
}

static void hear(book *b, const uint8_t *bytes, size_t len, int is_end)
{
    size_t n;
    while (len > 0) {
        skip_heard(b);
        ENSURE(b->at < b->n && b->offset < b->piece[b->at].len);
        ENSURE(!b->piece[b->at].is_spoiled);
        n = b->piece[b->at].len - b->offset;
        for (n = n < len ? n : len, len -= n; n > 0; n--)
            ENSURE(*bytes++ == said_byte(b->at, b->offset++));
    }
    if (is_end)
        skip_heard(b);
    ENSURE(b->at < b->n && !b->piece[b->at].is_spoiled);
    ENSURE(is_end == (!b->piece[b->at].more
                      && b->offset == b->piece[b->at].len));
    if (is_end) {
        b->at++;
        b->offset = 0;
    }
}

static void hear_close(book *b)
{
    ENSURE(b->has_closed && b->at == b->n);
}

static struct {
    sc_conn *conn;              /* the end under test */
    sc_conn *finished[ENDS][2]; /* handshake done; [1]: over a socket */
    int has_failed, has_sent_close;
    int lies;                   /* a callback says that it did more */
    size_t out_taken;
    book peer, ours;
    sc_channel *peer_end;
} talk;

static long over_read(void *io, void *buf, size_t len)
{
    long n;
    ENSURE(io == &talk);
    do
        n = wire_read(buf, len);
    while (n == -EINTR);
    if (n > 0 && talk.lies && wire.plan->left % 16 == 1)
        return (long)len + 1;
    return n >= 0 ? n : n == -EAGAIN ? SC_ERR_TIMEOUT
         : n == -ECONNRESET ? -77 : SC_ERR_IO;
}

static long over_write(void *io, const void *buf, size_t len)
{
    long n;
    ENSURE(io == &talk);
    do
        n = wire_write(buf, len);
    while (n == -EINTR);
    if (n > 0 && talk.lies && wire.plan->left % 16 == 1)
        return (long)len + 1;
    return n > 0 ? n : n == -EAGAIN ? SC_ERR_TIMEOUT : SC_ERR_IO;
}

/* peer_says: a record, on its way to the end under test. */
static void peer_says(size_t len, int more)
{
    uint8_t *frame = room(len + SC_HEADER_LEN + SC_TAG_LEN), *text;
    book *b = &talk.peer;
    size_t frame_len;
    if (b->n < SAID_MAX && !b->has_closed && sc_ready(talk.peer_end)
        && wire.in_len + SC_FRAME_MAX < WIRE_MAX && (len > 0 || !more)) {
        text = say_piece(b, len, more);
        ENSURE(sc_seal(talk.peer_end, more, text, len, frame, &frame_len)
               == SC_OK);
        b->piece[b->n - 1].from = wire.in_len;
        wire_put(frame, frame_len);
        b->piece[b->n - 1].to = wire.in_len;
        free(text);
    }
    free(frame);
}

static void peer_closes(void)
{
    uint8_t bye[SC_CLOSE_LEN];
    size_t len;
    if (wire.in_len + SC_FRAME_MAX >= WIRE_MAX)
        return;
    if (sc_shut(talk.peer_end, bye, &len) == SC_OK && len > 0)
        talk.peer.has_closed = 1;
    wire_put(bye, len);
}

static void peer_acts(void)
{
    plan *p = wire.plan;
    unsigned how = next(p);
    size_t at, i;
    if (how < 0x80) {
        peer_says(next_len(p, how & 1 ? SC_RECORD_MAX : 300), how >> 1 & 1);
    } else if (how < 0x90) {
        peer_closes();
    } else if (how < 0x98) {
        wire.is_over = 1;
    } else if (how < 0xa0) {
        (void)sc_fail(talk.peer_end, SC_ERR_TOO_LONG);
        peer_closes();
    } else if (how < 0xb0 && wire.in_at < wire.in_len) {        /* spoil */
        at = wire.in_at + next_len(p, wire.in_len - wire.in_at - 1);
        for (i = 0; i < talk.peer.n; i++)
            if (at >= talk.peer.piece[i].from && at < talk.peer.piece[i].to
                && !talk.peer.piece[i].is_spoiled) {
                talk.peer.piece[i].is_spoiled = 1;
                wire.in[at] ^= (uint8_t)(1 << how % 8);
            }
    }
}

/* peer_hears: all whole frames that have been written. */
static void peer_hears(void)
{
    uint8_t *at;
    size_t len, left;
    got g;
    for (;;) {
        at = wire.out + talk.out_taken;
        left = wire.out_len - talk.out_taken;
        if (left < SC_HEADER_LEN)
            return;
        len = SC_HEADER_LEN + (size_t)(at[2] << 8 | at[3]);
        if (left < len)
            return;
        ENSURE(!talk.has_sent_close);
        talk.has_sent_close = at[0] == 8;
        talk.out_taken += len;
        if (talk.peer_end->error != SC_OK)
            continue;
        give(talk.peer_end, at, len, &g);
        ENSURE(g.e == SC_OK || g.e == SC_ERR_PEER_PROTOCOL
               || g.e == SC_ERR_PEER_INTERNAL);
        if (g.event.kind == SC_EVENT_PART || g.event.kind == SC_EVENT_MESSAGE)
            hear(&talk.ours, g.event.data, g.event.data_len,
                 g.event.kind == SC_EVENT_MESSAGE);
        free(g.frame);
    }
}

static void hear_result(int e, const uint8_t *data, size_t len)
{
    if (e == SC_CLOSED) {
        ENSURE(len == 0);
        hear_close(&talk.peer);
    } else if (e == SC_OK || e == SC_MORE) {
        hear(&talk.peer, data, len, e == SC_OK);
    } else {
        ENSURE(e < 0 && len == 0);
    }
}

static void on_data(void *ctx, int result, const uint8_t *data, size_t data_len)
{
    ENSURE(ctx == &talk && result >= 0);
    hear_result(result, data, data_len);
}

static void act_send(plan *p, int part)
{
    unsigned how = next(p);
    size_t len = next_len(p, how & 1 ? 40000 : 300);
    uint8_t *text;
    int e;
    if (talk.ours.n == SAID_MAX)
        return;
    text = say_piece(&talk.ours, len, part);
    e = part ? sc_send_part(talk.conn, text, len)
             : sc_send(talk.conn, text, len);
    ENSURE(e <= 0);
    if (len > 0 || !part) {
        ENSURE(e != SC_OK || !talk.has_failed);
        talk.has_failed |= e != SC_OK;
    }
    free(text);
}

/* between_messages: nothing of the next message has been heard. */
static int between_messages(book *b)
{
    skip_heard(b);
    return b->offset == 0 && (b->at == 0 || !b->piece[b->at - 1].more);
}

static void act_receive(plan *p, int whole)
{
    unsigned how = next(p);
    size_t max = next_len(p, how & 1 ? 40000 : 300), len = 999;
    uint8_t *buf = room(max);
    int stuck = talk.conn->channel.error, inside = talk.conn->is_inside, e;
    int pending = sc_pending(talk.conn), is_begin;
    is_begin = between_messages(&talk.peer);
    e = whole ? sc_recv_whole(talk.conn, buf, max, &len)
              : sc_recv(talk.conn, buf, max, &len);
    ENSURE(len <= max);
    if (whole)
        ENSURE(e != SC_MORE && (!inside || e == SC_ERR_STATE)
               && (e != SC_OK || is_begin));
    else if (max == 0)
        ENSURE(e == SC_ERR_ARGUMENT);
    if (stuck != SC_OK && !pending)
        ENSURE(e < 0);
    if (whole && e < 0 && talk.conn->channel.error != SC_OK)
        ENSURE(len == 0);
    hear_result(e, buf, len);
    free(buf);
}

/* recorded: what the peer of the end under test said in its handshake. */
static void put_recorded(int role, int keyed)
{
    int i;
    for (i = role == CLIENT ? 2 : 1; i <= 5; i += 2)
        wire_put(known.m[keyed][i], known.m_len[keyed][i]);
}

static int shake_hands(int role, int is_socket)
{
    sc_client_options o = known.asking;
    o.identity = NULL;
    stream_start(&os_stream, role == CLIENT ? 1 : 2);
    if (is_socket && role == CLIENT)
        return sc_connect_fd(talk.conn, WIRE_FD, &o);
    if (is_socket)
        return sc_accept_fd(talk.conn, WIRE_FD, now.house);
    if (role == CLIENT)
        return sc_connect_over(talk.conn, over_read, over_write, &talk, &o);
    return sc_accept_over(talk.conn, over_read, over_write, &talk, now.house);
}

static void make_talk(void)
{
    plan nothing = { NULL, 0 };
    int role, is_socket;
    talk.conn = room(sizeof *talk.conn);
    for (role = 0; role < ENDS; role++)
        for (is_socket = 0; is_socket < 2; is_socket++) {
            enter(0, BEFORE_M1);
            wire_start(&nothing, NULL);
            put_recorded(role, 0);
            ENSURE(shake_hands(role, is_socket) == SC_OK);
            ENSURE(memcmp(sc_session_id(&talk.conn->channel),
                          known.scene[0][AFTER_M5].end[role].session_id, 32)
                   == 0);
            talk.finished[role][is_socket] = copy_of(talk.conn,
                                                     sizeof *talk.conn);
        }
}

/* begin_talk: a connection; most of the time its handshake is done already. */
static int begin_talk(plan *p)
{
    unsigned how = next(p);
    int role = how & 1, is_socket = how >> 1 & 1, e = SC_OK;
    enter(0, AFTER_M5);
    memset(&talk.peer, 0, sizeof talk.peer);
    memset(&talk.ours, 0, sizeof talk.ours);
    talk.has_failed = talk.has_sent_close = 0;
    talk.lies = !is_socket && how >> 2 & 1;
    talk.out_taken = 0;
    talk.peer_end = now.end[1 - role];
    wire_start(p, NULL);
    if (how < 0xc0) {
        *talk.conn = *talk.finished[role][is_socket];
    } else {
        *now.house = known.scene[0][BEFORE_M1].house;
        put_recorded(role, 0);
        if (how & 8)
            wire.in[next_len(p, wire.in_len - 1)] ^= (uint8_t)next(p);
        e = shake_hands(role, is_socket);
        ENSURE(e <= 0);
        wire.in_len = wire.in_at = wire.out_len = 0;
    }
    if (e != SC_OK)
        ENSURE(all_zero(talk.conn, sizeof *talk.conn)
               && wire.n_closed == (unsigned)is_socket);
    else
        ENSURE(sc_fd(talk.conn) == (is_socket ? WIRE_FD : -1));
    wire.refill = peer_acts;
    return e == SC_OK;
}

static void fuzz_blocking(plan *p)
{
    unsigned act;
    int e, is_socket, n = 0;
    if (!begin_talk(p))
        return;
    is_socket = sc_fd(talk.conn) >= 0;
    while (p->left > 0 && n++ < 200) {
        act = next(p);
        if (act % 8 < 2)
            act_send(p, act % 8 == 1);
        else if (act % 8 < 5)
            act_receive(p, act % 8 == 4);
        else if (act % 8 < 7)
            peer_acts();
        else if (act < 0x60)
            ENSURE(sc_finish(talk.conn) <= 0);
        else if (act < 0x80)
            sc_set_timeout(talk.conn, act & 8 ? 100 : 0);
        else if (act < 0xa0)
            break;
        else
            sc_set_on_data(talk.conn, act & 8 ? on_data : NULL, &talk);
        peer_hears();
    }
    e = talk.conn->channel.error;
    ENSURE(sc_close(talk.conn) == e || e == SC_OK);
    peer_hears();
    ENSURE(all_zero(talk.conn, sizeof *talk.conn));
    ENSURE(wire.n_closed == (unsigned)is_socket);
    ENSURE(sc_close(talk.conn) == SC_OK && sc_pending(talk.conn) == 0);
}

/* ---- 11. files ----------------------------------------------------------- */

/* demo_server.c as it is, with a socket that is a plan.  Its clients send files
 * under names of their own choice. */
int demo_main(int argc, char **argv);
#define main demo_main
#define recv fuzz_recv
#define send fuzz_send
#define shutdown fuzz_shutdown
#define close fuzz_close
#define fcntl fuzz_fcntl
#define setsockopt fuzz_setsockopt
#include "demo_server.c"
#undef main
#undef recv
#undef send
#undef shutdown
#undef close
#undef fcntl
#undef setsockopt

#define FILES_MAX 24
static struct {
    struct server server;
    char root[64], folder[80];
    book said;                          /* records, names and contents */
    uint8_t *text[SAID_MAX];            /* what is in them */
    int is_bad_name;                    /* the name after those stored */
    size_t n_stored;                    /* files that ought to be stored: */
    char name[FILES_MAX][256];
    uint8_t hash[FILES_MAX][32];
    size_t len[FILES_MAX];
} files;

static void put_file(int folder, const char *name, const char *text)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ENSURE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void remove_files(void)
{
    char command[200];
    snprintf(command, sizeof command, "rm -rf '%s'", files.root);
    if (files.root[0] != '\0' && system(command) != 0)
        fprintf(stderr, "fuzz: %s is left\n", files.root);
}

/* make_files: the folder, with things in it that must stay as they are, beside
 * a file that must not be reached. */
static void make_files(void)
{
    int root;
    struct server *s = &files.server;
    snprintf(files.root, sizeof files.root, "%s/fuzz.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ENSURE(mkdtemp(files.root) != NULL && atexit(remove_files) == 0);
    snprintf(files.folder, sizeof files.folder, "%s/in", files.root);
    ENSURE(mkdir(files.folder, 0700) == 0);
    root = open(files.root, O_RDONLY | O_DIRECTORY);
    s->folder_fd = open(files.folder, O_RDONLY | O_DIRECTORY);
    ENSURE(root >= 0 && s->folder_fd >= 0);
    put_file(root, "out", "out");
    put_file(s->folder_fd, "taken", "taken");
    ENSURE(mkdirat(s->folder_fd, "sub", 0700) == 0
           && symlinkat("../out", s->folder_fd, "link") == 0);
    close(root);
    s->listen_fd = -1;
    ENSURE(freopen("/dev/null", "w", stdout) != NULL);
}

/* is_name: the rule for names, once more. */
static int is_name(const uint8_t *name, size_t len)
{
    size_t i;
    if (len == 0 || len > 255 || name[0] == '.')
        return 0;
    for (i = 0; i < len; i++)
        if (name[i] < 32 || name[i] == 127 || name[i] == '/'
            || name[i] == '\\' || (name[i] == '.' && i + 1 < len
                                   && name[i + 1] == '.'))
            return 0;
    return 1;
}

static int is_taken(const uint8_t *name, size_t len)
{
    static const char *const there[3] = { "taken", "sub", "link" };
    size_t i;
    for (i = 0; i < 3; i++)
        if (len == strlen(there[i]) && memcmp(name, there[i], len) == 0)
            return 1;
    for (i = 0; i < files.n_stored; i++)
        if (len == strlen(files.name[i])
            && memcmp(name, files.name[i], len) == 0)
            return 1;
    return 0;
}

/* send_record: by a client who is known. */
static void send_record(const uint8_t *text, size_t len, int more)
{
    book *b = &files.said;
    uint8_t *frame = room(len + SC_HEADER_LEN + SC_TAG_LEN);
    size_t frame_len;
    if (b->n < SAID_MAX && (len > 0 || !more) && !b->has_closed
        && wire.in_len + SC_FRAME_MAX < WIRE_MAX) {
        ENSURE(sc_seal(now.end[CLIENT], more, text, len, frame, &frame_len)
               == SC_OK);
        files.text[b->n] = copy_of(text, len);
        b->piece[b->n].len = len;
        b->piece[b->n].more = more;
        b->piece[b->n].is_spoiled = 0;
        b->n++;
        wire_put(frame, frame_len);
    }
    free(frame);
}

/* plan_files: what the client sends. */
static void plan_files(plan *p)
{
    static uint8_t text[SC_RECORD_MAX];
    uint8_t bye[SC_CLOSE_LEN];
    unsigned n = next(p) % 24, how;
    size_t len, bye_len;
    files.said.n = 0;
    files.said.has_closed = 0;
    for (; n > 0; n--) {
        how = next(p);
        if (how < 0x60) {               /* a name, or a part of one */
            len = next_len(p, 40);
            next_bytes(p, text, len);
        } else if (how < 0xe0) {        /* contents */
            len = next_len(p, how & 2 ? SC_RECORD_MAX : 300);
            memset(text, (int)how, len);
        } else if (how < 0xf8 || files.said.has_closed) {
            continue;
        } else {
            (void)sc_shut(now.end[CLIENT], bye, &bye_len);
            files.said.has_closed = 1;
            wire_put(bye, bye_len);
            continue;
        }
        send_record(text, len, (how & 7) == 1);
    }
}

/* expect_files: which files a receiver has to store, whose client was heard to
 * the end. */
static void expect_files(void)
{
    uint8_t name[2 * SC_RECORD_MAX];
    size_t i, name_len = 0;
    int has_name = 0;
    sc_sha256 sum;
    files.n_stored = 0;
    files.is_bad_name = 0;
    for (i = 0; i < files.said.n && files.n_stored < FILES_MAX; i++) {
        size_t len = files.said.piece[i].len, k = files.n_stored;
        if (!has_name) {
            files.is_bad_name = name_len + len > 255;
            if (files.is_bad_name)
                return;
            memcpy(name + name_len, files.text[i], len);
            name_len += len;
            if (files.said.piece[i].more)
                continue;
            files.is_bad_name = !is_name(name, name_len);
            if (files.is_bad_name || is_taken(name, name_len))
                return;
            has_name = 1;
            sc_sha256_init(&sum);
            files.len[k] = 0;
            continue;
        }
        sc_sha256_add(&sum, files.text[i], len);
        files.len[k] += len;
        if (files.said.piece[i].more)
            continue;
        memcpy(files.name[k], name, name_len);
        files.name[k][name_len] = '\0';
        sc_sha256_end(&sum, files.hash[k]);
        files.n_stored++;
        name_len = 0;
        has_name = 0;
    }
}

static void hash_file(int folder, const char *name, size_t len,
                      uint8_t hash[32])
{
    static uint8_t text[WIRE_MAX];
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW);
    sc_sha256 s;
    ENSURE(fd >= 0 && read(fd, text, sizeof text) == (ssize_t)len);
    close(fd);
    sc_sha256_init(&s);
    sc_sha256_add(&s, text, len);
    sc_sha256_end(&s, hash);
}

/* check_folder: the first files that were expected are there, whole, and
 * nothing else; they are removed.  Gives their number. */
static size_t check_folder(void)
{
    uint8_t hash[32];
    struct dirent *entry;
    struct stat st;
    size_t stored = 0, others = 0;
    int folder = files.server.folder_fd;
    DIR *dir;
    while (stored < files.n_stored
           && fstatat(folder, files.name[stored], &st, AT_SYMLINK_NOFOLLOW)
              == 0) {
        ENSURE(S_ISREG(st.st_mode) && st.st_nlink == 1
               && (st.st_mode & 07777) == 0600);
        hash_file(folder, files.name[stored], files.len[stored], hash);
        ENSURE(memcmp(hash, files.hash[stored], 32) == 0);
        ENSURE(unlinkat(folder, files.name[stored], 0) == 0);
        stored++;
    }
    dir = opendir(files.folder);
    ENSURE(dir != NULL);
    while ((entry = readdir(dir)) != NULL)
        others++;
    closedir(dir);
    ENSURE(others == 5);                /* . .. taken sub link */
    hash_file(folder, "taken", 5, hash);
    hash_file(folder, "../out", 3, hash);
    ENSURE(unlinkat(folder, "sub", AT_REMOVEDIR) == 0
           && mkdirat(folder, "sub", 0700) == 0);
    return stored;
}

/* check_answers: the client reads what came back: for each file its hash, or
 * every record as it was sent.  Gives the number of good answers. */
static size_t check_answers(int is_echo)
{
    size_t at = known.m_len[0][2] + known.m_len[0][4], len, n = 0;
    char text[65];
    sc_channel *ch = now.end[CLIENT];
    got g;
    *ch = known.scene[0][AFTER_M5].end[CLIENT];
    for (; at + 4 <= wire.out_len; at += len) {
        len = 4 + (size_t)(wire.out[at + 2] << 8 | wire.out[at + 3]);
        if (at + len > wire.out_len)
            break;
        give(ch, wire.out + at, len, &g);
        ENSURE(g.e == SC_OK || (g.e <= SC_ERR_REFUSED
                                && g.e >= SC_ERR_PEER_INTERNAL));
        if (g.event.kind == SC_EVENT_PART || g.event.kind == SC_EVENT_MESSAGE) {
            if (is_echo) {
                ENSURE(n < files.said.n
                       && g.event.data_len == files.said.piece[n].len
                       && is_same(g.event.data, files.text[n],
                                  g.event.data_len));
                n++;
            } else if (g.event.data_len == 64) {
                ENSURE(n < files.n_stored);
                hex(text, files.hash[n++], 32);
                ENSURE(memcmp(text, g.event.data, 64) == 0);
            } else {
                ENSURE(g.event.data_len > 7
                       && memcmp(g.event.data, "error: ", 7) == 0);
                ENSURE(!files.is_bad_name
                       || memmem(g.event.data, g.event.data_len, "a name ", 7)
                          != NULL);
            }
        }
        free(g.frame);
    }
    return n;
}

/* serve_plan: the server, until the client is gone. */
static void serve_plan(plan *p, unsigned how)
{
    struct server *s = &files.server;
    struct client *c = welcome(s, WIRE_FD);
    int turns = 0;
    ENSURE(c != NULL && s->n_clients == 1);
    while (c->phase != GONE && turns++ < 2000) {
        if (p->left % 32 == 1)
            s->now_ms += (uint64_t)(how >> 4) * 1000;
        if (how >> 3 & 1 && turns == 20)
            stop(s);
        serve_client(c, POLLIN | POLLOUT);
        ENSURE(c->in_len <= SC_FRAME_MAX && c->out_len <= QUEUE_LEN
               && c->out_sent <= c->out_len);
    }
    ENSURE(c->phase == GONE && c->io == NULL && c->file.fd == -1);
    ENSURE(all_zero(&c->channel, sizeof c->channel) && wire.n_closed == 1);
    sweep(s);
    ENSURE(s->n_clients == 0);
}

static void fuzz_files(plan *p)
{
    unsigned how = next(p);
    int is_echo = how & 1, folder = files.server.folder_fd;
    size_t i, stored, answered;
    enter(0, AFTER_M5);
    *now.house = known.scene[0][BEFORE_M1].house;
    files.server.channels = *now.house;
    stream_start(&os_stream, 2);
    wire_start(p, NULL);
    files.server.now_ms = 1;
    files.server.is_stopping = 0;
    files.server.options.quiet = 0;
    put_recorded(SERVER, 0);
    plan_files(p);
    if (how & 2)                        /* a bit that is not what it was */
        wire.in[next_len(p, wire.in_len - 1)] ^= (uint8_t)(1 << how % 8);
    if (is_echo)
        files.server.folder_fd = -1;
    expect_files();
    serve_plan(p, how);
    files.server.folder_fd = folder;
    answered = check_answers(is_echo);
    if (!is_echo) {
        stored = check_folder();
        ENSURE(stored >= answered);
    }
    for (i = 0; i < files.said.n; i++)
        free(files.text[i]);
}

/* ---- 12. key, line ------------------------------------------------------- */

static size_t put_string(uint8_t *out, const void *bytes, size_t len)
{
    out[0] = (uint8_t)(len >> 24);
    out[1] = (uint8_t)(len >> 16);
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
    memcpy(out + 4, bytes, len);
    return len + 4;
}

/* put_mpint: bytes, with the 00 that keeps them positive. */
static size_t put_mpint(uint8_t *out, const uint8_t *bytes, size_t len)
{
    uint8_t number[SC_MODULUS_MAX + 1] = { 0 };
    memcpy(number + 1, bytes, len);
    return bytes[0] >= 0x80 ? put_string(out, number, len + 1)
                            : put_string(out, bytes, len);
}

/* base64_lines: as in PEM; out has room for 2 * len + 100. */
static size_t base64_lines(char *out, const uint8_t *bytes, size_t len)
{
    size_t i, n = 0;
    for (i = 0; i < len; i += 48) {
        n += sc_base64_write(out + n, bytes + i, len - i < 48 ? len - i : 48);
        out[n++] = '\n';
    }
    return n;
}

static const char *const pem_labels[3] = {
    "RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY"
};

static size_t write_pem(char *out, const char *label, const uint8_t *der,
                        size_t len)
{
    size_t n = (size_t)sprintf(out, "-----BEGIN %s-----\n", label);
    n += base64_lines(out + n, der, len);
    return n + (size_t)sprintf(out + n, "-----END %s-----\n", label);
}

/* written_again: a key that was read is written, and read, and is the same. */
static void written_again(const sc_private_key *key)
{
    char *pem = room(SC_PEM_MAX), *exact;
    sc_private_key again;
    size_t len, exact_len;
    ENSURE(sc_key_check(key) == SC_OK && sc_public_check(&key->pub) == SC_OK);
    ENSURE(sc_key_write_pem(key, pem, SC_PEM_MAX, &len) == SC_OK);
    ENSURE(len < SC_PEM_MAX && pem[len] == '\0');
    exact = copy_of(pem, len);
    ENSURE(sc_key_read_pem(&again, exact, len) == SC_OK);
    ENSURE(memcmp(&again, key, sizeof again) == 0);
    free(exact);
    exact = room(len / 2);
    ENSURE(sc_key_write_pem(key, exact, len / 2, &exact_len) == SC_ERR_SPACE
           && exact_len == 0);
    free(exact);
    free(pem);
}

static void fuzz_key(plan *p)
{
    unsigned how = next(p) % 4;
    sc_private_key key;
    char *text, *exact;
    size_t len = p->left;
    int e;
    text = room(2 * len + 200);
    if (how < 3)
        len = write_pem(text, pem_labels[how], p->at, len);
    else if (len > 0)
        memcpy(text, p->at, len);
    exact = copy_of(text, len);
    memset(&key, 0xaa, sizeof key);
    e = sc_key_read_pem(&key, exact, len);
    ENSURE(e == SC_OK || (e <= SC_ERR_KEY_FORMAT && e >= SC_ERR_KEY_CHECK));
    if (e == SC_OK)
        written_again(&key);
    else
        ENSURE(all_zero(&key, sizeof key));
    free(exact);
    free(text);
}

/* line_again: a public key that was read is written, and read again. */
static void line_again(plan *p, const sc_public_key *key)
{
    char comment[40], *out, print[SC_FINGERPRINT_MAX], art[SC_RANDOMART_MAX];
    size_t comment_len = next(p) % sizeof comment, len, again_len, i;
    sc_public_key again;
    int fits = 1, e;
    next_bytes(p, (uint8_t *)comment, comment_len);
    comment[comment_len] = '\0';
    comment_len = strlen(comment);
    for (i = 0; i < comment_len; i++)
        fits &= (uint8_t)comment[i] >= 0x20 && comment[i] != 0x7f;
    out = room(SC_PUBLIC_LINE_MAX);
    e = sc_public_write_line(key, comment, out, SC_PUBLIC_LINE_MAX, &len);
    ENSURE(e == (fits ? SC_OK : SC_ERR_ARGUMENT));
    if (e == SC_OK) {
        ENSURE(strlen(out) == len);
        ENSURE(sc_public_read_line(&again, out, len) == SC_OK
               && memcmp(&again, key, sizeof again) == 0);
        free(out);
        out = room(len + 1);            /* as much as it takes, and less */
        ENSURE(sc_public_write_line(key, comment, out, len + 1, &again_len)
               == SC_OK && again_len == len);
        ENSURE(sc_public_write_line(key, comment, out, len, &again_len)
               == SC_ERR_SPACE && again_len == 0);
    }
    free(out);
    sc_fingerprint(key, print);
    ENSURE(strlen(print) == SC_FINGERPRINT_MAX - 1);
    sc_randomart(key, art);
    ENSURE(strlen(art) == SC_RANDOMART_MAX - 1);
    for (i = 0; i + 1 < sizeof art; i++)
        ENSURE((art[i] == '\n') == (i % 20 == 19));
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* base64_again: there is one way to write bytes, but for the blanks. */
static void base64_again(const char *text, size_t len)
{
    uint8_t *bytes = room(len);
    char *again = room(2 * len + 100);
    size_t n, i, k = 0;
    int e = sc_base64_read(bytes, len, &n, text, len);
    ENSURE(e == SC_OK || ((e == SC_ERR_KEY_FORMAT || e == SC_ERR_SPACE)
                          && n == 0));
    if (e == SC_OK) {
        n = sc_base64_write(again, bytes, n);
        for (i = 0; i < len; i++)
            if (!is_blank(text[i]))
                ENSURE(k < n && text[i] == again[k++]);
        ENSURE(k == n);
    }
    free(bytes);
    free(again);
}

/* typed_line: a line of any type over any bytes, and what it must be: a key of
 * another type only if the bytes begin with that type, too. */
static void typed_line(plan *type, const uint8_t *bytes, size_t len)
{
    char *text = room(2 * len + 100), *exact;
    uint8_t name[40];
    size_t type_len = next(type) % sizeof name, n, i;
    sc_public_key key;
    int e, same;
    next_bytes(type, name, type_len);
    for (i = 0; i < type_len; i++)
        if (is_blank((char)name[i]))
            name[i] = '-';
    if (type_len == 0 || (type_len == 7 && memcmp(name, "ssh-rsa", 7) == 0))
        name[type_len++] = 'x';
    memcpy(text, name, type_len);
    text[type_len] = ' ';
    n = type_len + 1 + sc_base64_write(text + type_len + 1, bytes, len);
    exact = copy_of(text, n);
    e = sc_public_read_line(&key, exact, n);
    same = len >= 4 + type_len && bytes[0] == 0 && bytes[1] == 0
           && bytes[2] == 0 && bytes[3] == type_len
           && memcmp(bytes + 4, name, type_len) == 0;
    ENSURE(e == (same ? SC_ERR_KEY_TYPE : SC_ERR_KEY_FORMAT));
    ENSURE(all_zero(&key, sizeof key));
    free(exact);
    free(text);
}

/* blob_line: the same bytes in a line, which says the same of them; and if they
 * are a key, there is no other way to write it. */
static void blob_line(plan *rest, const uint8_t *bytes, size_t len)
{
    char *text = room(2 * len + SC_PUBLIC_LINE_MAX), *exact;
    sc_public_key key, blob;
    size_t n = 8, m;
    int e = sc_key_blob_read(&blob, bytes, len), again;
    ENSURE(e == SC_OK || all_zero(&blob, sizeof blob));
    memcpy(text, "ssh-rsa ", n);
    n += sc_base64_write(text + n, bytes, len);
    exact = copy_of(text, n);
    again = sc_public_read_line(&key, exact, n);
    ENSURE(again == e || (len > 23 + SC_MODULUS_MAX && e != SC_OK));
    ENSURE(memcmp(&key, &blob, sizeof key) == 0);
    if (e == SC_OK) {
        ENSURE(sc_public_check(&key) == SC_OK);
        ENSURE(sc_public_write_line(&key, NULL, text, SC_PUBLIC_LINE_MAX, &m)
               == SC_OK);
        ENSURE(m == n && memcmp(text, exact, n) == 0);
        line_again(rest, &key);
    }
    free(exact);
    free(text);
}

static void fuzz_line(plan *p)
{
    unsigned how = next(p), tail = next(p) % 64;
    size_t len = p->left > tail ? p->left - tail : p->left;
    uint8_t *bytes = copy_of(p->at, len);
    plan rest;
    sc_public_key key;
    int e;
    rest.at = p->at + len;
    rest.left = p->left - len;
    if (how % 4 == 1) {
        blob_line(&rest, bytes, len);
    } else if (how % 4 == 2) {
        typed_line(&rest, bytes, len);
    } else {
        e = sc_public_read_line(&key, (const char *)bytes, len);
        ENSURE(e <= SC_OK && (e == SC_OK || all_zero(&key, sizeof key)));
        ENSURE(e != SC_OK || sc_public_check(&key) == SC_OK);
        base64_again((const char *)bytes, len);
        if (e == SC_OK)
            line_again(&rest, &key);
    }
    free(bytes);
}

/* ---- 13. known_hosts, authorized_keys ------------------------------------ */

/* Text whose bytes 1 to 6 stand for long words that nobody would invent. */
static struct {
    char *text;
    size_t len;
    char key[2][SC_PUBLIC_LINE_MAX];    /* the host's line, the client's */
    char host[300], path[40];
    unsigned port;
    int fd;
    unsigned n_complaints;
} lines;

static void make_lines(void)
{
    size_t n;
    ENSURE(sc_public_write_line(&known.host.pub, NULL, lines.key[0],
                                SC_PUBLIC_LINE_MAX, &n) == SC_OK);
    ENSURE(sc_public_write_line(&known.client.pub, NULL, lines.key[1],
                                SC_PUBLIC_LINE_MAX, &n) == SC_OK);
    lines.text = room(200000);
    lines.fd = memfd_create("lines", 0);
    ENSURE(lines.fd >= 0);
    snprintf(lines.path, sizeof lines.path, "/proc/self/fd/%d", lines.fd);
}

static void add_text(const char *text, size_t len)
{
    memcpy(lines.text + lines.len, text, len);
    lines.len += len;
}

static void write_out(plan *p)
{
    char name[320], blanks[200];
    memset(blanks, ' ', sizeof blanks);
    snprintf(name, sizeof name, "[%s]:%u", lines.host, lines.port);
    lines.len = 0;
    while (p->left > 0 && lines.len < 150000) {
        char c = (char)next(p);
        if (c == 1 || c == 2)
            add_text(lines.key[c - 1], strlen(lines.key[c - 1]));
        else if (c == 3)
            add_text(lines.host, strlen(lines.host));
        else if (c == 4)
            add_text(name, strlen(name));
        else if (c == 5)
            add_text("@revoked * ", 11);
        else if (c == 6)
            add_text(blanks, sizeof blanks);
        else
            add_text(&c, 1);
    }
    ENSURE(ftruncate(lines.fd, 0) == 0
           && pwrite(lines.fd, lines.text, lines.len, 0)
              == (ssize_t)lines.len);
}

/* next_line: a line of the text, in a block exactly as long; 0 at the end. */
static int next_line(size_t *at, char **line, size_t *len)
{
    const char *end;
    if (*at >= lines.len)
        return 0;
    end = memchr(lines.text + *at, '\n', lines.len - *at);
    *len = end == NULL ? lines.len - *at
                       : (size_t)(end - (lines.text + *at));
    *line = copy_of(lines.text + *at, *len);
    *at += *len + 1;
    return 1;
}

/* is_line: is the line "first second", and nothing else? */
static int is_line(const char *line, size_t len, const char *first,
                   const char *second)
{
    size_t n = strlen(first), m = strlen(second);
    return len == n + 1 + m && memcmp(line, first, n) == 0 && line[n] == ' '
        && memcmp(line + n + 1, second, m) == 0;
}

static int contains(const char *line, size_t len, const char *word, size_t n)
{
    return n == 0 || memmem(line, len, word, n) != NULL;
}

/* names: is the host somewhere in the line, in whatever case? */
static int names(const char *line, size_t len, const char *host)
{
    size_t n = strlen(host), i;
    for (i = 0; i + n <= len; i++)
        if (strncasecmp(line + i, host, n) == 0)
            return 1;
    return 0;
}

/* What lines alone say: the same as the whole file, unless one is too long. */
typedef struct {
    int answer;                 /* SC_MORE: none */
    size_t line;
    int has_key, is_long, is_plain, is_other, is_revoked;
} verdict;

static int weight(int answer)
{
    return answer == SC_ERR_HOST_REVOKED ? 4 : answer == SC_OK ? 3
         : answer == SC_ERR_HOST_CHANGED ? 2
         : answer == SC_ERR_HOST_LINE ? 1 : 0;
}

static void read_lines(verdict *v, const sc_public_key *shown)
{
    size_t at = 0, len, number = 1;
    char *line, name[320];
    const char *key = lines.key[shown == &known.client.pub];
    const char *other = lines.key[shown != &known.client.pub];
    int answer;
    snprintf(name, sizeof name, "[%s]:%u", lines.host, lines.port);
    memset(v, 0, sizeof *v);
    v->answer = SC_MORE;
    for (; next_line(&at, &line, &len); number++) {
        answer = sc_known_hosts_line(line, len, lines.host, lines.port, shown);
        ENSURE(weight(answer) > 0 || answer == SC_MORE);
        if (weight(answer) > weight(v->answer)) {
            v->answer = answer;
            v->line = number;
        }
        if (answer == SC_OK || answer == SC_ERR_HOST_REVOKED)
            ENSURE(contains(line, len, key + 8, strlen(key + 8)));
        if (answer == SC_OK)
            ENSURE(names(line, len, lines.host) && line[0] != '@'
                   && line[0] != '#' && line[0] != '|');
        v->is_long |= len > 4096;
        v->is_plain |= is_line(line, len, name, key)
                       || is_line(line, len, lines.host, key);
        v->is_other |= is_line(line, len, name, other)
                       || is_line(line, len, lines.host, other);
        v->is_revoked |= is_line(line, len, "@revoked *", key);
        free(line);
    }
}

/* remembered: what is written down is known from then on, and nothing that was
 * there before is lost. */
static void remembered(sc_known_hosts *k, const sc_public_key *shown)
{
    static char again[300000];
    const sc_public_key *other = shown == &known.host.pub ? &known.client.pub
                                                          : &known.host.pub;
    sc_channel ch = known.scene[0][AFTER_M5].end[CLIENT];
    verdict v;
    ssize_t n;
    int e;
    ch.peer = *shown;
    ENSURE(sc_known_hosts_remember(k, &ch) == SC_OK && !k->is_new);
    n = pread(lines.fd, again, sizeof again, 0);
    ENSURE(n > (ssize_t)lines.len && is_same(again, lines.text, lines.len));
    ENSURE(sc_judge_known_hosts(k, shown) == SC_OK && !k->is_new);
    e = sc_judge_known_hosts(k, other);
    read_lines(&v, other);
    ENSURE(v.is_long || e == (v.answer == SC_ERR_HOST_REVOKED ? v.answer
                              : SC_ERR_HOST_CHANGED));
}

static void fuzz_known_hosts(plan *p)
{
    unsigned how = next(p);
    const sc_public_key *shown = how & 1 ? &known.client.pub : &known.host.pub;
    sc_known_hosts k;
    verdict v;
    size_t n = 0;
    char c;
    int e;
    while (p->left > 0 && n < sizeof lines.host - 1
           && (c = (char)next(p)) != '\n' && c != '\0')
        lines.host[n++] = c;
    lines.host[n] = '\0';
    lines.port = how >> 2 == 63 ? next(p) * 300u : 4422;
    write_out(p);
    memset(&k, 0, sizeof k);
    k.path = lines.path;
    k.host = lines.host;
    k.port = lines.port;
    k.accept_new = how >> 1 & 1;
    e = sc_judge_known_hosts(&k, shown);
    if (e == SC_ERR_ARGUMENT) {
        ENSURE(lines.port > 65535 || n == 0 || n > 255
               || strpbrk(lines.host, ",*?!|@#[]") != NULL
               || lines.host[strcspn(lines.host, "\177 ")] != '\0'
               || strlen(lines.host) != n || k.line == 0);
        return;
    }
    read_lines(&v, shown);
    if (!v.is_long) {
        ENSURE(e == (v.answer != SC_MORE ? v.answer : k.accept_new ? SC_OK
                     : SC_ERR_HOST_UNKNOWN));
        ENSURE(k.line == v.line && k.is_new == (e == SC_OK && v.line == 0));
        ENSURE(!v.is_revoked || e == SC_ERR_HOST_REVOKED);
        ENSURE(v.is_revoked || !v.is_plain || e == SC_OK
               || e == SC_ERR_HOST_REVOKED);
        ENSURE(!v.is_other || (!k.is_new && e != SC_ERR_HOST_UNKNOWN));
    }
    if (k.is_new)
        remembered(&k, shown);
}

static void complaint(void *ctx, const char *path, size_t line,
                      const char *why)
{
    ENSURE(ctx == &lines && path == lines.path && line > 0 && why[0] != '\0');
    lines.n_complaints++;
}

static void fuzz_authorized_keys(plan *p)
{
    const sc_public_key *key = next(p) & 1 ? &known.client.pub
                                           : &known.host.pub;
    const char *digits = lines.key[key == &known.client.pub];
    sc_authorized_keys file = { NULL, complaint, NULL };
    size_t at = 0, len;
    unsigned n_bad = 0;
    int e, want = SC_ERR_NOT_AUTHORISED, is_long = 0, answer;
    char *line;
    lines.host[0] = '\0';
    write_out(p);
    file.path = lines.path;
    file.complain_ctx = &lines;
    lines.n_complaints = 0;
    e = sc_authorise_by_file(&file, key);
    ENSURE(e == SC_OK || e == SC_ERR_NOT_AUTHORISED);
    while (want != SC_OK && next_line(&at, &line, &len)) {
        answer = sc_authorized_keys_line(line, len, key);
        ENSURE(answer == SC_OK || answer == SC_MORE
               || answer == SC_ERR_KEY_FORMAT);
        if (answer == SC_OK) {
            want = SC_OK;
            ENSURE(contains(line, len, digits + 8, strlen(digits + 8)));
        }
        if (len == strlen(digits) && memcmp(line, digits, len) == 0)
            ENSURE(answer == SC_OK);
        n_bad += answer == SC_ERR_KEY_FORMAT;
        is_long |= len > 4096;
        free(line);
    }
    if (!is_long)
        ENSURE(e == want && lines.n_complaints == n_bad);
}

/* ---- 14. cipher, numbers ------------------------------------------------- */

/* The fast paths, the plain code, and the plain code with 32-bit words: three
 * ways to one result. */
static void fuzz_cipher(plan *p)
{
    uint8_t key[32], nonce[12], tag[3][16], *ad, *in, *out[3], *open;
    unsigned how = next(p);
    size_t ad_len = next_len(p, 300), len, i;
    int mode = how & 1 ? SC_AEAD_OPEN : SC_AEAD_SEAL;
    len = next_len(p, how & 2 ? 17000 : 2100);
    next_bytes(p, key, sizeof key);
    next_bytes(p, nonce, sizeof nonce);
    if (how & 4)
        memset(key, 0xff, sizeof key);
    ad = room(ad_len);
    in = room(len);
    next_bytes(p, ad, ad_len);
    next_bytes(p, in, len);
    for (i = 0; i < 3; i++)
        out[i] = copy_of(in, len);
    sc_aead(out[0], tag[0], how & 8 ? out[0] : in, len, key, nonce, ad, ad_len,
            mode);
    p64_sc_aead(out[1], tag[1], in, len, key, nonce, ad, ad_len, mode);
    p32_sc_aead(out[2], tag[2], how & 16 ? out[2] : in, len, key, nonce, ad,
                ad_len, mode);
    ENSURE(is_same(out[0], out[1], len) && is_same(out[0], out[2], len));
    ENSURE(memcmp(tag[0], tag[1], 16) == 0 && memcmp(tag[0], tag[2], 16) == 0);
    sc_aead(out[1], tag[1], in, len, key, nonce, ad, ad_len,
            mode | SC_AEAD_PORTABLE);
    ENSURE(is_same(out[0], out[1], len) && memcmp(tag[0], tag[1], 16) == 0);
    open = room(len + 16);
    sc_aead_seal(open, key, nonce, ad, ad_len, in, len);
    i = next_len(p, 8 * (len + 16) - 1);
    if (how & 32)
        open[i / 8] ^= (uint8_t)(1 << i % 8);
    ENSURE((sc_aead_open(open, key, nonce, ad, ad_len, open, len + 16) != 0)
           == !(how & 32));
    ENSURE(how & 32 || is_same(open, in, len));
    sc_poly1305(tag[0], key, in, len);
    p32_sc_poly1305(tag[1], key, in, len);
    ENSURE(memcmp(tag[0], tag[1], 16) == 0);
    for (i = 0; i < 3; i++)
        free(out[i]);
    free(open);
    free(ad);
    free(in);
}

/* next_number: n limbs: from the plan, with runs of ones and zeros and lonely
 * bits, which is where carries go wrong. */
static void next_number(plan *p, sc_word *x, size_t n)
{
    uint8_t bytes[SC_MODULUS_MAX];
    size_t len = n * SC_WORD_BYTES, i = 0, run;
    unsigned how = next(p);
    while (i < len) {
        run = 1 + how % 64;
        run = run < len - i ? run : len - i;
        if (how < 0x40)
            memset(bytes + i, 0, run);
        else if (how < 0x80)
            memset(bytes + i, 0xff, run);
        else if (how < 0xf0)
            next_bytes(p, bytes + i, run);
        else                            /* one bit */
            memset(bytes + i, 1 << how % 8, run = 1);
        i += run;
        how = next(p);
    }
    sc_bn_decode(x, n, bytes, len);
}

static void next_modulus(plan *p, sc_word *m, size_t n)
{
    next_number(p, m, n);
    m[0] |= 1;
    if (sc_bn_is_zero(m + 1, n - 1))
        m[n - 1] = ~(sc_word)0;
}

/* same_product: Montgomery's, and as on paper. */
static void same_product(plan *p, size_t n)
{
    sc_word x[SC_LIMBS_MAX], y[SC_LIMBS_MAX], m[SC_LIMBS_MAX];
    sc_word xy[2 * SC_LIMBS_MAX], want[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    sc_modulus mod;
    next_modulus(p, m, n);
    next_number(p, x, n);
    next_number(p, y, n);
    sc_modulus_init(&mod, m, n);
    sc_bn_mul(xy, x, n, y, n);
    sc_bn_mod(want, xy, 2 * n, m, n);
    sc_mont_to(d, y, &mod);
    ENSURE(sc_bn_sub(xy, d, m, n) == 1);        /* d < m */
    sc_mont_mul(d, x, d, &mod);
    ENSURE(sc_bn_equal(d, want, n));
    sc_bn_mod(x, d, n, m, n);
    ENSURE(sc_bn_equal(d, x, n));
    sc_bn_mod(x, y, n, m, n);
    sc_bn_add_mod(y, d, x, m, n);
    sc_bn_sub_mod(y, y, x, m, n);
    ENSURE(sc_bn_equal(d, y, n));
}

/* same_inverse: of 65537, and remainders of it and of small primes.  Half of
 * the numbers are moved to a remainder that is an edge. */
static void same_inverse(plan *p, size_t n)
{
    static const sc_word edges[4] = { 0, 1, 65535, 65536 };
    sc_word m[SC_LIMBS_MAX], d[SC_LIMBS_MAX], x[SC_LIMBS_MAX + 1];
    const sc_word e[1] = { 65537 };
    sc_word rest[1], r[1];
    unsigned how = next(p);
    next_number(p, m, n);
    sc_bn_mod(rest, m, n, e, 1);
    if (how & 4 && m[0] >= 65537 && m[0] < (sc_word)0 - 65537) {
        m[0] = m[0] - rest[0] + edges[how % 4];
        rest[0] = edges[how % 4];
    }
    ENSURE(rest[0] == sc_bn_mod_65537(m, n));
    r[0] = 3 + 2 * (how * 16 % 2047);
    memcpy(x, m, n * sizeof *x);
    x[n] = sc_bn_residue(m, n, r[0]);
    ENSURE(x[n] < r[0]);
    sc_bn_mod(d, x, n + 1, r, 1);
    ENSURE(d[0] == 0);
    sc_bn_inverse_65537(d, m, n);
    if (rest[0] == 0 || (sc_bn_is_zero(m + 1, n - 1) && m[0] < 2))
        return;
    ENSURE(sc_bn_sub(x, d, m, n) == 1);         /* d < m */
    sc_bn_mul(x, d, n, e, 1);
    sc_bn_mod(d, x, n + 1, m, n);
    ENSURE(d[0] == 1 && sc_bn_is_zero(d + 1, n - 1));
}

/* plain_power: d = x^e, bit after bit; x and d in Montgomery form. */
static void plain_power(sc_word *d, const sc_word *x, const sc_word *e,
                        const sc_modulus *mod)
{
    size_t i = mod->n * SC_WORD_BITS;
    sc_mont_one(d, mod);
    while (i-- > 0) {
        sc_mont_mul(d, d, d, mod);
        if (e[i / SC_WORD_BITS] >> i % SC_WORD_BITS & 1)
            sc_mont_mul(d, d, x, mod);
    }
}

/* same_powers: two at once by the fast path, and one after the other; short
 * ones bit after bit and with 32-bit words, too. */
static void same_powers(plan *p, size_t n)
{
    sc_modulus mod[2];
    sc_word x[2][SC_LIMBS_MAX], e[2][SC_LIMBS_MAX], m[2][SC_LIMBS_MAX];
    sc_word d[2][SC_LIMBS_MAX], want[2][SC_LIMBS_MAX];
    uint64_t small[3][SC_LIMBS_MAX], small_mod[4 * SC_LIMBS_MAX];
    uint8_t bytes[SC_MODULUS_MAX];
    size_t i;
    for (i = 0; i < 2; i++) {
        next_modulus(p, m[i], n);
        next_number(p, x[i], n);
        next_number(p, e[i], n);
        sc_modulus_init(&mod[i], m[i], n);
        sc_mont_to(x[i], x[i], &mod[i]);
    }
    sc_mont_pow_pair(d[0], x[0], e[0], &mod[0], d[1], x[1], e[1], &mod[1]);
    p64_sc_mont_pow_pair(want[0], x[0], e[0], &mod[0], want[1], x[1], e[1],
                         &mod[1]);
    ENSURE(sc_bn_equal(d[0], want[0], n) && sc_bn_equal(d[1], want[1], n));
    if (n > 7)
        return;
    plain_power(want[1], x[1], e[1], &mod[1]);
    ENSURE(sc_bn_equal(d[1], want[1], n));
    sc_mont_from(d[0], d[0], &mod[0]);
    sc_mont_from(x[0], x[0], &mod[0]);
    sc_bn_encode(bytes, 8 * n, m[0], n);
    p32_sc_bn_decode(small[0], 2 * n, bytes, 8 * n);
    p32_sc_modulus_init(small_mod, small[0], 2 * n);
    sc_bn_encode(bytes, 8 * n, x[0], n);
    p32_sc_bn_decode(small[1], 2 * n, bytes, 8 * n);
    sc_bn_encode(bytes, 8 * n, e[0], n);
    p32_sc_bn_decode(small[2], 2 * n, bytes, 8 * n);
    p32_sc_mont_to(small[1], small[1], small_mod);
    p32_sc_mont_pow(small[0], small[1], small[2], small_mod);
    p32_sc_mont_from(small[0], small[0], small_mod);
    p32_sc_bn_encode(bytes, 8 * n, small[0], 2 * n);
    sc_bn_decode(want[0], n, bytes, 8 * n);
    ENSURE(sc_bn_equal(d[0], want[0], n));
}

/* same_65537: the public power, any number to any modulus. */
static void same_65537(plan *p, size_t n)
{
    sc_word x[SC_LIMBS_MAX], m[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    sc_word y[SC_LIMBS_MAX];
    sc_modulus mod;
    int i;
    next_modulus(p, m, n);
    next_number(p, x, n);
    sc_modulus_init(&mod, m, n);
    sc_mont_to(y, x, &mod);
    for (i = 0; i < 16; i++)
        sc_mont_mul(y, y, y, &mod);
    sc_mont_mul(y, x, y, &mod);
    sc_pow_65537(d, x, m, n);
    ENSURE(sc_bn_equal(d, y, n));
    p64_sc_pow_65537(d, x, m, n);
    ENSURE(sc_bn_equal(d, y, n));
}

static void same_public(plan *p)
{
    sc_public_key key;
    uint8_t x[SC_MODULUS_MAX], y[3][SC_MODULUS_MAX];
    sc_word number[SC_LIMBS_MAX];
    key.n_len = 256 + next_len(p, 256);
    next_number(p, number, SC_LIMBS_MAX);
    sc_bn_encode(key.n, key.n_len, number, SC_LIMBS(key.n_len));
    key.n[0] |= 0x80;
    key.n[key.n_len - 1] |= 1;
    next_number(p, number, SC_LIMBS_MAX);
    sc_bn_encode(x, key.n_len, number, SC_LIMBS(key.n_len));
    sc_rsa_public(&key, x, y[0]);
    p64_sc_rsa_public(&key, x, y[1]);
    ENSURE(memcmp(y[0], y[1], key.n_len) == 0);
    if (next(p) < 0x40) {               /* it takes its time */
        p32_sc_rsa_public(&key, x, y[2]);
        ENSURE(memcmp(y[0], y[2], key.n_len) == 0);
    }
}

/* same_message: OAEP there and back, and once more altered. */
static void same_message(plan *p)
{
    uint8_t label[40], msg[190], c[256], again[190];
    size_t label_len = next(p) % sizeof label, len = next_len(p, sizeof msg);
    unsigned spoil = next(p);
    stream random;
    sc_word ok;
    stream_start(&random, next(p));
    next_bytes(p, label, label_len);
    next_bytes(p, msg, len);
    ENSURE(sc_oaep_encrypt(&known.host.pub, label, label_len, msg, len, c,
                           stream_bytes, &random) == SC_OK);
    if (spoil >= 0x80)
        c[next(p)] ^= (uint8_t)(1 << spoil % 8);
    ENSURE(__real_sc_oaep_decrypt(&known.host, label, label_len, c, again, len,
                                  &ok, stream_bytes, &random) == SC_OK);
    ENSURE(ok == (spoil >= 0x80 ? 0 : ~(sc_word)0));
    ENSURE(spoil >= 0x80 ? all_zero(again, len) : is_same(again, msg, len));
}

static void fuzz_numbers(plan *p)
{
    unsigned how = next(p);
    size_t n = next(p);
    switch (how % 8) {
    case 0:
        same_public(p);
        break;
    case 1:
        same_message(p);
        break;
    case 2:
        same_powers(p, 4 + n % (how >= 0xf0 ? SC_PRIME_LIMBS_MAX - 3 : 4));
        break;
    case 3:
        same_65537(p, 6 + n % (how >= 0xf0 ? SC_LIMBS_MAX - 5 : 8));
        break;
    case 4:
    case 5:
        same_inverse(p, 2 + n % (how >= 0xf0 ? SC_LIMBS_MAX - 1 : 8));
        break;
    default:
        same_product(p, 2 + n % (how >= 0xf0 ? SC_LIMBS_MAX - 1 : 8));
    }
}

/* ---- 15. the targets ----------------------------------------------------- */

static void nothing_to_make(void)
{
}

static const struct target {
    const char *name;
    void (*run)(plan *p);
    void (*make)(void);
} targets[] = {
    { "client", fuzz_client, nothing_to_make },
    { "server", fuzz_server, nothing_to_make },
    { "handshake", fuzz_handshake, nothing_to_make },
    { "records", fuzz_records, nothing_to_make },
    { "life", fuzz_life, make_life },
    { "blocking", fuzz_blocking, make_talk },
    { "files", fuzz_files, make_files },
    { "key", fuzz_key, nothing_to_make },
    { "line", fuzz_line, nothing_to_make },
    { "known_hosts", fuzz_known_hosts, make_lines },
    { "authorized_keys", fuzz_authorized_keys, make_lines },
    { "cipher", fuzz_cipher, nothing_to_make },
    { "numbers", fuzz_numbers, nothing_to_make }
};

static const struct target *target;

/* -- inputs to begin with: small ones that get far -- */

static const char *seed_folder;
static int n_seeds;

static void seed(const void *head, size_t head_len, const void *body,
                 size_t body_len)
{
    char path[1000];
    FILE *file;
    snprintf(path, sizeof path, "%s/seed%02d", seed_folder, n_seeds++);
    file = fopen(path, "wb");
    ENSURE(file != NULL);
    ENSURE(fwrite(head, 1, head_len, file) == head_len
           && fwrite(body, 1, body_len, file) == body_len);
    ENSURE(fclose(file) == 0);
}

/* seed_talks: whole conversations, for a client or a server. */
static void seed_talks(int end)
{
    uint8_t head[3] = { 0, 0, 0xff }, talk_bytes[4000];
    uint8_t last[25] = { 6, 1, 0, 21, 'h', 'e', 'l', 'l', 'o' };
    size_t len;
    int keyed, stage, i, far;
    for (keyed = 0; keyed < 2; keyed++)
        for (stage = 0; stage < STAGES; stage++) {
            far = stage;
            head[0] = (uint8_t)(keyed | stage << 1);
            for (i = far + 1, len = 0; i <= 5; i++)
                if (i % 2 == (end == SERVER)) {
                    memcpy(talk_bytes + len, known.m[keyed][i],
                           known.m_len[keyed][i]);
                    len += known.m_len[keyed][i];
                }
            memcpy(talk_bytes + len, last, sizeof last);
            len += sizeof last;
            memcpy(talk_bytes + len, "\10\1\0\21", 5);
            seed(head, 3, talk_bytes, len + 5);
        }
}

/* seed_keys: one key in the three forms that are read. */
static void seed_keys(void)
{
    static const uint8_t pkcs8[26] = {
        0x30, 0x82, 0, 0, 0x02, 0x01, 0x00, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86,
        0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x04, 0x82, 0, 0
    };
    const sc_private_key *k = &known.host;
    char pem[SC_PEM_MAX];
    uint8_t der[4096], blob[4096], in[4096], d[256];
    size_t pem_len, der_len, n = 0, m = 0;
    ENSURE(sc_key_write_pem(k, pem, sizeof pem, &pem_len) == SC_OK);
    seed("\3", 1, pem, pem_len);
    ENSURE(sc_base64_read(der + 26, sizeof der - 26, &der_len, pem + 32,
                          pem_len - 32 - 30) == SC_OK);
    seed("\0", 1, der + 26, der_len);
    memcpy(der, pkcs8, 26);
    der[24] = (uint8_t)(der_len >> 8);
    der[25] = (uint8_t)der_len;
    der[2] = (uint8_t)((der_len + 22) >> 8);
    der[3] = (uint8_t)(der_len + 22);
    seed("\1", 1, der, der_len + 26);
    memcpy(d, der + 26 + 4 + 3 + 4 + 257 + 5 + 4, 256);
    n = put_string(blob, "ssh-rsa", 7);
    n += put_string(blob + n, "\1\0\1", 3);
    n += put_mpint(blob + n, k->pub.n, 256);
    m = put_string(in, "\1\2\3\4", 0);
    memcpy(in, "\1\2\3\4\1\2\3\4", 8);
    m = 8 + put_string(in + 8, "ssh-rsa", 7);
    m += put_mpint(in + m, k->pub.n, 256);
    m += put_string(in + m, "\1\0\1", 3);
    m += put_mpint(in + m, d, 256);
    m += put_mpint(in + m, k->qinv, 128);
    m += put_mpint(in + m, k->p, 128);
    m += put_mpint(in + m, k->q, 128);
    m += put_string(in + m, "me", 2);
    memcpy(der, "openssh-key-v1", 15);
    der_len = 15 + put_string(der + 15, "none", 4);
    der_len += put_string(der + der_len, "none", 4);
    der_len += put_string(der + der_len, "", 0);
    memcpy(der + der_len, "\0\0\0\1", 4);
    der_len += 4;
    der_len += put_string(der + der_len, blob, n);
    der_len += put_string(der + der_len, in, m);
    seed("\2", 1, der, der_len);
    seed("\3", 1, "-----BEGIN EC PRIVATE KEY-----\n", 31);
    seed("\3", 1, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
                  "-----END RSA PRIVATE KEY-----\n", 86);
}

static void seed_lines(void)
{
    uint8_t blob[600];
    char line[SC_PUBLIC_LINE_MAX];
    size_t n = put_string(blob, "ssh-rsa", 7);
    n += put_string(blob + n, "\1\0\1", 3);
    n += put_mpint(blob + n, known.host.pub.n, 256);
    seed("\1\0", 2, blob, n);
    seed("\2\5\0\0\0\3abc\3abc", 2, "\0\0\0\3abcde\3abc", 13);
    seed("\0\0", 2, line,
         (size_t)snprintf(line, sizeof line, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"
                          "AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"));
    ENSURE(sc_public_write_line(&known.host.pub, "a b", line, sizeof line, &n)
           == SC_OK);
    seed("\0\0", 2, line, n);
    seed("\0\1", 2, "QUJDRA==", 8);
}

static void seed_hosts(void)
{
    static const char *const texts[] = {
        "\2h\n", "\2h\n# c\n\n\3 \1\n", "\0h\na,\4,b \2 x\n\3 \1 y\r\n",
        "\2h\n@revoked \3 \2\n\5\1\n", "\2h\n|1|a|b \1\n*.h,!x \1\n",
        "\2h\nh ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n", "\3h\n\3 \2",
        "\2h\n@cert-authority * \1\n\3 ssh-rsa AAAA\n\6\6\3 \1\n"
    };
    size_t i;
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
        seed(texts[i], 1, texts[i] + 1, strlen(texts[i] + 1));
    seed("\0\1\n\2\n", 5, "command=\"x\" \2\n", 14);
}

/* seed_plans: most of what the targets read as a plan can be any bytes. */
static void seed_plans(void)
{
    static const uint8_t tale[] = {     /* records: seal, deliver, close */
        0, 0, 0, 5, 4, 0x80, 0, 9, 0x84, 1, 2, 7, 4, 13, 4, 0x8d, 0x84
    };
    static const uint8_t files_tale[] = {
        0, 4, 2, 4, 'n', 'a', 'm', 'e', 0x62, 30, 2, 5, 's', 'u',
        'b', '/', 'x', 0x62, 10, 0xff
    };
    static const uint8_t life_tale[] = {
        1, 0, 0, 0, 0, 8, 8, 7, 0x3f, 7, 0x0f, 8, 8, 8, 0, 7, 7, 16, 16, 7, 6
    };
    uint8_t bytes[700];
    stream s;
    int i;
    seed(tale, 1, tale + 1, sizeof tale - 1);
    seed(files_tale, 1, files_tale + 1, sizeof files_tale - 1);
    seed(life_tale, 1, life_tale + 1, sizeof life_tale - 1);
    for (i = 0; i < 12; i++) {
        stream_start(&s, (uint64_t)i);
        (void)stream_bytes(&s, bytes, sizeof bytes);
        bytes[0] = (uint8_t)i;
        seed(bytes, 1, bytes + 1, (size_t)(i + 1) * 20);
    }
}

/* seed_handshakes: nothing is altered, or one bit of one message. */
static void seed_handshakes(void)
{
    uint8_t bytes[9] = { 0 };
    int keyed, number;
    for (keyed = 0; keyed < 2; keyed++)
        for (number = 1; number <= 6; number++) {
            memset(bytes, 0, sizeof bytes);
            bytes[0] = (uint8_t)keyed;
            bytes[number] = 1;
            bytes[number + 1] = 60;
            seed(bytes, 1, bytes + 1, sizeof bytes - 1);
        }
}

/* seed_numbers: powers of two, and one less, for each kind of arithmetic. */
static void seed_numbers(void)
{
    static const uint8_t numbers[] = {
        0, 0xf0, 0, 0xf1, 0x7f, 0x7f, 0x7f, 0xf7, 0x3f, 0x7f, 0xf3, 0x80, 0x80
    };
    uint8_t head[3];
    for (head[0] = 0; head[0] < 16; head[0]++) {
        head[1] = (uint8_t)(head[0] / 8);
        head[2] = (uint8_t)(head[0] / 4 * 16);
        seed(head, 2, numbers, 2);
        seed(head, 3, numbers, sizeof numbers);
    }
}

static void write_seeds(const char *folder)
{
    seed_folder = folder;
    if (strcmp(target->name, "client") == 0)
        seed_talks(CLIENT);
    else if (strcmp(target->name, "server") == 0)
        seed_talks(SERVER);
    else if (strcmp(target->name, "key") == 0)
        seed_keys();
    else if (strcmp(target->name, "line") == 0)
        seed_lines();
    else if (target->make == make_lines)
        seed_hosts();
    else if (strcmp(target->name, "handshake") == 0)
        seed_handshakes();
    else if (strcmp(target->name, "numbers") == 0)
        seed_numbers();
    else
        seed_plans();
}

/* argument: the rest of "--name=rest" among the arguments, or NULL. */
static const char *argument(int argc, char **argv, const char *start)
{
    int i;
    for (i = 1; i < argc; i++)
        if (strncmp(argv[i], start, strlen(start)) == 0)
            return argv[i] + strlen(start);
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = argument(*argc, *argv, "--target=");
    const char *folder = argument(*argc, *argv, "--seeds=");
    size_t i;
    for (i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (name != NULL && strcmp(targets[i].name, name) == 0)
            target = &targets[i];
    if (target == NULL) {
        fprintf(stderr, "fuzz: --target= one of:");
        for (i = 0; i < sizeof targets / sizeof targets[0]; i++)
            fprintf(stderr, " %s", targets[i].name);
        fprintf(stderr, "\n");
        exit(2);
    }
    for (i = 0; i < ENDS; i++)
        now.end[i] = room(sizeof *now.end[i]);
    now.house = room(sizeof *now.house);
    make_keys();
    make_scenes(0);
    make_scenes(1);
    target->make();
    if (folder != NULL) {
        write_seeds(folder);
        exit(0);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plan p;
    p.at = data;
    p.left = size;
    target->run(&p);
    return 0;
}
