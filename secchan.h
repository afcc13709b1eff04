/* secchan.h: a secure channel (secchan/1) in four files: secchan.h, secchan.c,
 * rsa_mini.c, bignum.c.  C99 or C++, no dependencies, no malloc.
 *
 * Map:    1 results   2 keys   3 known_hosts, authorized_keys   4 the blocking
 *         layer   5 the layer without I/O   6 the server's long-lived half
 *         7 the door to the operating system   -- then the fence: what the .c
 *         files share.
 * Units:  every _len and _max is bytes, every _ms milliseconds.
 * Errors: functions that can fail return SC_OK (0), sometimes SC_MORE or
 *         SC_CLOSED (above 0), or a negative SC_ERR_*; sc_strerror says it in
 *         words.  A function that fails leaves its outputs untouched or zeroed
 *         (sc_input is the exception: what it put in out is to be sent).
 * Thread: no mutable global state.  A channel belongs to one thread at a time.
 *         A sc_server is shared by its channels until they are ready: let one
 *         thread do its handshakes and ticks, or lock around those calls.
 * SC_NO_OS builds without an operating system: sections 3 (files), 4 (sockets)
 *         and 7 shrink to what needs none, and you supply sc_os_random.
 * SC_NO_SIMD leaves out what is only there to be fast. */

#if defined(SECCHAN_INTERNAL) && !defined(SC_NO_OS)
#if defined(__linux__) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L         /* before any other header */
#elif defined(__APPLE__) && !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE
#elif defined(_WIN32) && !defined(_WIN32_WINNT)
#define _WIN32_WINNT 0x0600             /* Windows Vista */
#endif
#endif

#ifndef SC_SECCHAN_H
#define SC_SECCHAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SC_VERSION "1.0.0"

/* ---- 1. results ---------------------------------------------------------- */

enum {
    SC_OK = 0,
    SC_MORE = 1,               /* done so far; more is to come */
    SC_CLOSED = 2,             /* the peer has said all it had to say */

    SC_ERR_ARGUMENT = -1,      /* the call itself is wrong */
    SC_ERR_STATE = -2,         /* right call, wrong moment */
    SC_ERR_SPACE = -3,         /* the caller's buffer is too small */
    SC_ERR_RANDOM = -4,        /* no random bytes from the system */
    SC_ERR_INTERNAL = -5,      /* a fault of this side's own */

    SC_ERR_IO = -10,           /* the transport failed: reset, unreachable */
    SC_ERR_TIMEOUT = -11,      /* it took longer than was allowed */
    SC_ERR_CUT_OFF = -12,      /* transport ended without a CLOSE */
    SC_ERR_SERVER_ENDED = -13, /* the server ended the handshake */
    SC_ERR_RESOLVE = -14,      /* no address for this host name */
    SC_ERR_CONNECT = -15,      /* nobody listens at that address */
    SC_ERR_LISTEN = -16,       /* cannot listen on that address */

    SC_ERR_FRAME = -20,        /* header: type, version, turn or length */
    SC_ERR_PUBLIC_KEY = -21,   /* a modulus even, short, long, below 0x80.. */
    SC_ERR_SAME_KEYS = -22,    /* the short-lived key is the host key, too */
    SC_ERR_HANDSHAKE = -23,    /* a box or ciphertext of the handshake is bad */
    SC_ERR_RECORD = -24,       /* a record is altered, replayed or reordered */
    SC_ERR_CLOSE = -25,        /* CLOSE with a reason that does not exist, CLOSE
                                  0 inside a message, or a record after CLOSE */
    SC_ERR_TOO_LONG = -26,     /* a message longer than its receiver takes */

    SC_ERR_NO_JUDGE = -30,     /* client: nothing said which host to believe */
    SC_ERR_PIN = -31,          /* the host key is not the pinned one */
    SC_ERR_PIN_FORMAT = -32,   /* the pin is not SHA256:... */
    SC_ERR_HOST_UNKNOWN = -33, /* host not in known_hosts */
    SC_ERR_HOST_CHANGED = -34, /* known host, another key */
    SC_ERR_HOST_REVOKED = -35, /* the key is marked @revoked */
    SC_ERR_HOST_LINE = -36,    /* a line that cannot be used may name it */

    SC_ERR_REFUSED = -40,      /* the peer refused us (CLOSE 1) */
    SC_ERR_PEER_PROTOCOL = -41,/* the peer found an error of ours (CLOSE 2) */
    SC_ERR_PEER_INTERNAL = -42,/* the peer had a fault of its own (CLOSE 3) */
    SC_ERR_NOT_AUTHORISED = -43, /* we refused the client's key */
    SC_ERR_ANONYMOUS = -44,    /* we refused a client that named no key */

    SC_ERR_FILE = -50,         /* a file cannot be read or written; see errno */
    SC_ERR_FILE_EXISTS = -51,  /* it is there already and is not overwritten */
    SC_ERR_FILE_MODE = -52,    /* others can read or change this private file */
    SC_ERR_KEY_FORMAT = -53,   /* not a key file this library reads */
    SC_ERR_KEY_ENCRYPTED = -54,/* the key has a passphrase */
    SC_ERR_KEY_TYPE = -55,     /* a key, but not RSA */
    SC_ERR_KEY_SIZE = -56,     /* RSA, but not 2048..4096 bits in steps of 8 */
    SC_ERR_KEY_EXPONENT = -57, /* RSA, but e is not 65537 */
    SC_ERR_KEY_CHECK = -58     /* the numbers of the key do not fit together */
};

const char *sc_strerror(int result);    /* one sentence, no newline; not NULL */

/* ---- 2. keys ------------------------------------------------------------- */

#define SC_MODULUS_MIN 256      /* bytes: 2048 bits */
#define SC_MODULUS_MAX 512      /* bytes: 4096 bits */
#define SC_PRIME_MAX 256        /* bytes: half a modulus */
#define SC_PEM_MAX 3400         /* holds any private key's PKCS#1 PEM and NUL */
#define SC_PUBLIC_LINE_MAX 1024 /* holds "ssh-rsa AAAA... comment" and NUL */
#define SC_FINGERPRINT_MAX 51   /* "SHA256:" + 43 characters + NUL */
#define SC_RANDOMART_MAX 221    /* 11 lines of 19 characters + newlines + NUL */

/* An RSA public key: its modulus; the exponent is 65537.  n: n_len bytes, most
 * significant first, odd, n[0] >= 0x80. */
typedef struct {
    size_t n_len;
    uint8_t n[SC_MODULUS_MAX];
} sc_public_key;

/* An RSA private key.  p, q, dp, dq, qinv: (n_len + 1) / 2 bytes each, most
 * significant first; dp = d mod p-1, dq = d mod q-1, qinv = 1/q mod p.
 * Secret but for pub; wipe it with sc_wipe after its last use. */
typedef struct {
    sc_public_key pub;
    uint8_t p[SC_PRIME_MAX], q[SC_PRIME_MAX];
    uint8_t dp[SC_PRIME_MAX], dq[SC_PRIME_MAX], qinv[SC_PRIME_MAX];
} sc_private_key;

/* Fill out[0..len) with random bytes; SC_OK or SC_ERR_RANDOM. */
typedef int (*sc_random_fn)(void *ctx, uint8_t *out, size_t len);

/* The operating system's random bytes (ctx is not used).  With SC_NO_OS this
 * is yours to write. */
int sc_os_random(void *ctx, uint8_t *out, size_t len);

/* sc_key_generate: make a key of n_bits: 2048 to 4096 in steps of 8.
 * progress, unless NULL, is called now and then: '.' two more candidates
 * are tried, '+' one is a prime.  Takes tenths of a second; more for 4096. */
typedef void (*sc_progress_fn)(void *ctx, char mark);
int sc_key_generate(sc_private_key *key, unsigned n_bits,
                    sc_progress_fn progress, void *ctx);

/* Key text, in memory.  Written: PKCS#1 PEM.  Read: PEM of PKCS#1 (RSA PRIVATE
 * KEY), PKCS#8 (PRIVATE KEY) and OpenSSH (OPENSSH PRIVATE KEY), not encrypted;
 * every number of the key is checked against the others.  Time: CT but for the
 * file's layout and the lengths of its numbers. */
int sc_key_write_pem(const sc_private_key *key, char *out, size_t out_max,
                     size_t *out_len);
int sc_key_read_pem(sc_private_key *key, const char *text, size_t text_len);

/* "ssh-rsa AAAA... comment" without a newline; NUL-terminated when written. */
int sc_public_write_line(const sc_public_key *key, const char *comment,
                         char *out, size_t out_max, size_t *out_len);
int sc_public_read_line(sc_public_key *key, const char *line, size_t line_len);

/* sc_public_check: SC_OK, or SC_ERR_PUBLIC_KEY if it may not be used. */
int sc_public_check(const sc_public_key *key);
int sc_public_equal(const sc_public_key *a, const sc_public_key *b); /* 1, 0 */

/* What ssh-keygen -lf prints of the key, and its picture (ssh-keygen -lv). */
void sc_fingerprint(const sc_public_key *key, char out[SC_FINGERPRINT_MAX]);
void sc_randomart(const sc_public_key *key, char out[SC_RANDOMART_MAX]);

/* SHA-256 (FIPS 180-4), for comparing files as the demos do. */
typedef struct {
    uint32_t h[8];
    uint64_t total_len;
    uint8_t block[64];
} sc_sha256;
void sc_sha256_init(sc_sha256 *s);
void sc_sha256_add(sc_sha256 *s, const void *data, size_t data_len);
void sc_sha256_end(const sc_sha256 *s, uint8_t digest[32]); /* s may go on */

void sc_wipe(void *p, size_t len);      /* zeroes that no compiler removes */

/* ---- 3. known_hosts, authorized_keys ------------------------------------- */

/* A judge says whether a public key is believed: SC_OK, or the error that ends
 * the handshake. */
typedef int (*sc_judge_fn)(void *ctx, const sc_public_key *key);

/* A line of a file that was not used, and why; for a person to read. */
typedef void (*sc_complain_fn)(void *ctx, const char *path, size_t line,
                               const char *why);

#ifndef SC_NO_OS
/* What a client knows of its hosts: give sc_judge_known_hosts as the judge and
 * one of these as its context.  Answers: SC_OK; SC_ERR_HOST_UNKNOWN, _CHANGED,
 * _REVOKED or _LINE (line says where); SC_ERR_FILE (not readable; a file that
 * is not there knows no host). */
typedef struct {
    const char *path;          /* the known_hosts file */
    const char *host;          /* as the user typed it */
    unsigned port;
    int accept_new;            /* 1: take an unknown host's key */
    /* told by the judge: */
    sc_public_key shown;       /* the key the host showed */
    size_t line;               /* the line that decided, from 1; 0: none */
    int is_new;                /* the host was unknown, has been taken, and is
                                  not yet written down */
} sc_known_hosts;
int sc_judge_known_hosts(void *known_hosts, const sc_public_key *host_key);

/* sc_authorise_by_file: a judge for servers: is the key in this file?
 * SC_OK, SC_ERR_NOT_AUTHORISED, or SC_ERR_FILE.  The file is read each time. */
typedef struct {
    const char *path;
    sc_complain_fn complain;   /* told of lines that cannot be used; or NULL */
    void *complain_ctx;
} sc_authorized_keys;
int sc_authorise_by_file(void *authorized_keys, const sc_public_key *key);

/* sc_key_load: read a private key; one that other users can read is refused.
 * sc_key_save: write it to path (0600) and its public line to path.pub; never
 * over an existing file.  Windows has no such modes: there a new file is open
 * to whom its folder is, and none is refused. */
int sc_key_load(sc_private_key *key, const char *path);
int sc_key_save(const sc_private_key *key, const char *path,
                const char *comment);
#endif

/* ---- 4. blocking layer --------------------------------------------------- */

#define SC_HEADER_LEN 4
#define SC_TAG_LEN 16
#define SC_RECORD_MAX 16384     /* plaintext bytes in one record */
#define SC_FRAME_MAX (SC_HEADER_LEN + SC_RECORD_MAX + SC_TAG_LEN)
#define SC_REPLY_MAX 1300       /* a handshake's longest: M3 of 4096-bit keys */
#define SC_CLOSE_LEN (SC_HEADER_LEN + 1 + SC_TAG_LEN)
#define SC_HANDSHAKE_MS 30000
#ifndef SC_MESSAGE_MAX
#define SC_MESSAGE_MAX 16777216 /* sc_recv_whole's limit, however big buf is */
#endif

/* Every value of the conversation as it arises, named as on the protocol page;
 * secrets too.  For class and debugging: leave NULL. */
typedef void (*sc_trace_fn)(void *ctx, const char *sender, const char *name,
                            const uint8_t *bytes, size_t len);

/* What a client wants.  Zero it first; then fill in exactly one of pin,
 * judge_host and accept_any_host_insecure, or nothing will be sent
 * (SC_ERR_NO_JUDGE).  What the pointers point to must live until the channel
 * is ready. */
typedef struct {
    const char *pin;                 /* fingerprint: "SHA256:..." */
    sc_judge_fn judge_host;          /* sc_judge_known_hosts, or your own */
    void *judge_ctx;
    int accept_any_host_insecure;    /* 1: believe anyone; only for tests */
    const sc_private_key *identity;  /* the client's own key, or NULL */
    sc_trace_fn trace;               /* or NULL */
    void *trace_ctx;
} sc_client_options;

typedef struct sc_server sc_server;  /* section 6 */
typedef struct sc_conn sc_conn;      /* about 34 KiB; below */

#ifndef SC_NO_OS
/* sc_connect: reach host:port, do the handshake within SC_HANDSHAKE_MS, leave c
 * ready for sc_send and sc_recv.  On error c is closed already. */
int sc_connect(sc_conn *c, const char *host, unsigned port,
               const sc_client_options *options);

/* sc_listen: a listening socket on host (NULL: every address) and port (0: any
 * free one).  sc_accept: the next client of that socket, handshake done.
 * SC_ERR_LISTEN: the socket or the system gives no more clients; SC_ERR_RANDOM;
 * any other error is about one client (c is closed then) and no reason to stop.
 * The short-lived key is turned over in here, so come back in time: use
 * sc_set_timeout on each client. */
int sc_listen(const char *host, unsigned port, int *listen_fd);
int sc_accept(sc_conn *c, int listen_fd, sc_server *server);

/* The same for a stream socket that is connected already; it is c's from now
 * on, and closed by sc_close, also when the handshake fails.  On Windows every
 * such int is a SOCKET, which fits. */
int sc_connect_fd(sc_conn *c, int fd, const sc_client_options *options);
int sc_accept_fd(sc_conn *c, int fd, sc_server *server);

/* sc_dial: a connected socket, for users of the layer without I/O. */
int sc_dial(const char *host, unsigned port, unsigned timeout_ms, int *fd);
#endif

/* The same over any two-way byte stream.  read: up to len bytes into buf; says
 * how many (1 or more), 0 at the end of the stream, or a negative SC_ERR_*.
 * write: takes 1 to len bytes; says how many, or a negative SC_ERR_*.  They
 * repeat by themselves what was interrupted (EINTR). */
typedef long (*sc_read_fn)(void *io, void *buf, size_t len);
typedef long (*sc_write_fn)(void *io, const void *buf, size_t len);
int sc_connect_over(sc_conn *c, sc_read_fn read, sc_write_fn write, void *io,
                    const sc_client_options *options);
int sc_accept_over(sc_conn *c, sc_read_fn read, sc_write_fn write, void *io,
                   sc_server *server);

/* sc_send: one message of any length.  sc_send_part: a piece of a message whose
 * end (sc_send, perhaps of 0 bytes) comes later. */
int sc_send(sc_conn *c, const void *message, size_t message_len);
int sc_send_part(sc_conn *c, const void *part, size_t part_len);

/* sc_recv: up to buf_max bytes of the message that is arriving.
 * SC_OK:     they end the message.     SC_MORE: more of it follows.
 * SC_CLOSED: no message: the peer has finished; *len is 0.
 * A message longer than buf comes in pieces; nothing is lost.  buf_max >= 1. */
int sc_recv(sc_conn *c, void *buf, size_t buf_max, size_t *len);

/* sc_recv_whole: one whole message, or SC_CLOSED.  One of more than buf_max (or
 * SC_MESSAGE_MAX) bytes is SC_ERR_TOO_LONG and ends the channel; so does an
 * error in the middle of one, a time-out too.  SC_ERR_STATE after half a
 * message. */
int sc_recv_whole(sc_conn *c, void *buf, size_t buf_max, size_t *len);

int sc_finish(sc_conn *c);      /* nothing more to send; receiving goes on */

/* sc_close: end both ways, close the socket, wipe c.  Waits up to 2 s for the
 * peer to close, too.  SC_OK, or the error that had ended the channel before.
 * Harmless, and SC_OK, on a c that is closed already. */
int sc_close(sc_conn *c);

/* From here on, sc_send and sc_recv give up with SC_ERR_TIMEOUT when nothing
 * moves for timeout_ms; 0 (as at first): they wait for ever.  Sockets only.
 * After a time-out sc_recv can be called again; sc_send cannot. */
void sc_set_timeout(sc_conn *c, unsigned timeout_ms);

/* While sc_send waits for a peer that is itself sending, hand what arrives to
 * on_data (result as sc_recv's) instead of waiting for ever.  Sockets only.
 * on_data must not send, receive, finish or close on c. */
typedef void (*sc_data_fn)(void *ctx, int result, const uint8_t *data,
                           size_t data_len);
void sc_set_on_data(sc_conn *c, sc_data_fn on_data, void *ctx);

int sc_fd(const sc_conn *c);            /* the socket, for poll(); or -1 */
int sc_pending(const sc_conn *c);       /* 1: sc_recv has bytes, unread */

/* ---- 5. the layer without I/O -------------------------------------------- */

typedef struct {
    uint8_t key[32];
    uint32_t counter;                   /* records under this key: 0..65535 */
} sc_direction;

/* One end of one conversation.  The fields are the library's: use the calls.
 *
 *   client: sc_client_init, send what it put in out
 *   server: sc_server_accept
 *   both:   read SC_HEADER_LEN bytes; sc_frame_len says how long the frame is;
 *           read the rest; sc_input; send what it put in out; act on the event
 *           ... sc_seal, send ... sc_shut, send ... sc_end
 *   on any error: send what is in out, then what sc_shut makes (it knows what
 *   the protocol lets you say), shut down writing, drain briefly, sc_end.
 *
 * Yours to do, as there is no clock in here: end every handshake that is not
 * finished SC_HANDSHAKE_MS after its transport was made, however slowly bytes
 * still arrive; a server bounds the unfinished ones (64 or more; the oldest
 * makes room) and calls sc_server_tick; every channel is given to sc_end. */

typedef struct sc_channel {
    uint8_t state;                      /* SC_STATE_*, in secchan.c */
    uint8_t is_server, is_ready;
    uint8_t sent_close, got_close;      /* this side's, the peer's CLOSE */
    uint8_t sending_part, getting_part; /* inside an unfinished message */
    int error;                          /* the first error; sticks */
    sc_random_fn random;
    void *random_ctx;
    sc_client_options client;
    sc_server *server;
    struct sc_short_key *short_key;     /* server: the Ke shown in M2 */
    uint32_t short_key_number;
    sc_trace_fn trace;
    void *trace_ctx;
    sc_sha256 transcript;               /* T2..T5 are its snapshots */
    sc_public_key peer;                 /* host's or client's; len 0: none */
    uint8_t k_confirm[32], k_chain[32]; /* client: from M3 to M4 */
    uint8_t k_proof[32];                /* server: from M4 to M5 */
    uint8_t session_id[32];
    sc_direction sending, receiving;
} sc_channel;

/* out: SC_REPLY_MAX bytes of room, here and in sc_input. */
int sc_client_init(sc_channel *ch, const sc_client_options *options,
                   uint8_t *out, size_t *out_len);
int sc_server_accept(sc_channel *ch, sc_server *server);

/* sc_frame_len: length of the whole frame that begins with header, or an error
 * if such a frame may not come now. */
int sc_frame_len(sc_channel *ch, const uint8_t header[SC_HEADER_LEN],
                 size_t *frame_len);

enum {
    SC_EVENT_NONE = 0,          /* the handshake goes on */
    SC_EVENT_READY,             /* handshake finished: messages may be sent */
    SC_EVENT_PART,              /* data: a piece of a message; more follows */
    SC_EVENT_MESSAGE,           /* data: a message, or the last piece of one */
    SC_EVENT_CLOSED             /* the peer has finished (CLOSE 0) */
};
typedef struct {
    int kind;                   /* SC_EVENT_* */
    uint8_t *data;              /* inside the frame that was given */
    size_t data_len;
} sc_event;

/* sc_input: take one whole frame, which is overwritten.  *out_len is set on an
 * error, too: a client that names no key where one is required is answered M4,
 * so that sc_shut can tell it why. */
int sc_input(sc_channel *ch, uint8_t *frame, size_t frame_len, sc_event *event,
             uint8_t *out, size_t *out_len);

/* sc_seal: one record of data_len <= SC_RECORD_MAX bytes, into out: data_len +
 * SC_HEADER_LEN + SC_TAG_LEN bytes.  more: 1 if the message goes on (data_len
 * >= 1 then).  data may be out + SC_HEADER_LEN; else it may not overlap out. */
int sc_seal(sc_channel *ch, int more, const uint8_t *data, size_t data_len,
            uint8_t *out, size_t *out_len);

/* sc_shut: the CLOSE this side owes: reason 0 on a healthy channel, else the
 * one that goes with its error (half a message sent is one: SC_ERR_STATE);
 * *out_len is 0 if none may be sent.  Gives the channel's error, also when
 * there is something to send.  out: SC_CLOSE_LEN bytes. */
int sc_shut(sc_channel *ch, uint8_t *out, size_t *out_len);

/* sc_fail: give up for a reason of the caller's own: SC_ERR_TOO_LONG, _FRAME
 * (CLOSE 2), _NOT_AUTHORISED (CLOSE 1), _IO, _CUT_OFF (none), anything else
 * (CLOSE 3).  Gives back the channel's error, which is the first. */
int sc_fail(sc_channel *ch, int error);

/* sc_eof: the transport has ended.  SC_CLOSED if the peer had said so before,
 * else SC_ERR_CUT_OFF, or SC_ERR_SERVER_ENDED to a client without M4. */
int sc_eof(sc_channel *ch);

void sc_end(sc_channel *ch);    /* wipes it; always call it last */

int sc_ready(const sc_channel *ch);                     /* 1 or 0 */
/* The key that the peer has proved to hold; NULL: none (yet). */
const sc_public_key *sc_peer_key(const sc_channel *ch);
/* 32 bytes, the same at both ends: for logs, for people to compare, to bind
 * another protocol to this channel; not a key.  NULL before there are keys. */
const uint8_t *sc_session_id(const sc_channel *ch);

#ifndef SC_NO_OS
/* sc_known_hosts_remember: write a newly accepted host to its file, made (0600,
 * in a new 0700 folder if need be) when it is missing; nothing if it was known.
 * SC_ERR_STATE before the channel is ready: only then has the host proved that
 * the key is its own. */
int sc_known_hosts_remember(sc_known_hosts *known, const sc_channel *ch);
#endif

/* channel may be given to sc_peer_key, sc_session_id, sc_known_hosts_remember;
 * the rest is the library's.  While open, it must not be moved or copied. */
struct sc_conn {
    sc_channel channel;
    sc_read_fn read;
    sc_write_fn write;
    void *io;
    int fd;                             /* -1 with callbacks */
    unsigned timeout_ms;
    uint64_t deadline_ms;               /* 0: none */
    int is_writing;                     /* a frame is under way or broke off */
    int is_inside;                      /* half a message has been handed out */
    sc_data_fn on_data;
    void *on_data_ctx;
    size_t in_len;                      /* bytes of the frame in in[] */
    uint8_t *data;                      /* text not yet handed out, in in[] */
    size_t data_len;
    int event;                          /* SC_EVENT_* that data belongs to */
    uint8_t in[SC_FRAME_MAX], out[SC_FRAME_MAX];
};

/* ---- 6. the server's long-lived half ------------------------------------- */

/* What a server wants.  Zero it first.  What the pointers point to must live as
 * long as the server. */
typedef struct {
    const sc_private_key *host_key;
    int require_client_key;     /* 1: refuse clients that name no key */
    sc_judge_fn authorise;      /* which named keys are let in; NULL: none */
    void *authorise_ctx;
    unsigned short_key_ms;      /* life of a short-lived key; 0: one hour */
    unsigned short_key_uses;    /* M2s that show it; 0: 65536 */
    sc_trace_fn trace;          /* or NULL */
    void *trace_ctx;
} sc_server_options;

/* Key generation in steps of about a millisecond per kilobit, so that a server
 * can make its next key between two clients.  The fields are the library's. */
typedef struct {
    sc_random_fn random;
    void *random_ctx;
    size_t n_len;
    unsigned tries;             /* candidates drawn */
    unsigned rounds;            /* of Miller-Rabin, passed by this one */
    int stage;                  /* 0 looking for p, 1 for q */
    uint8_t p[SC_PRIME_MAX], q[SC_PRIME_MAX];
    uint16_t small_prime[563];  /* the odd primes below 4096 */
} sc_keygen;

typedef struct sc_short_key {
    sc_private_key key;
    uint64_t born_ms;
    uint32_t shown;             /* M2s that carried it */
    uint32_t in_flight;         /* handshakes between M2 and M3 */
    uint32_t number;            /* of the keys made, from 1 */
    int is_alive;
} sc_short_key;

struct sc_server {
    sc_server_options options;
    sc_random_fn random;
    void *random_ctx;
    int current;                /* which of the two is shown */
    int is_making;
    uint32_t keys_made;
    sc_short_key short_key[2];  /* the other: handshakes in flight, or empty */
    sc_keygen making;
};

/* sc_server_init: makes the first short-lived key (some tenths of a second).
 * now_ms: any clock that never goes back; the one given to sc_server_tick.
 * sc_server_tick: turn the short-lived key over when it is due, in small steps.
 * Call it again after *wait_ms at the latest (0: at once, a key is being made).
 * sc_server_end: wipes it; after the last of its channels has ended. */
int sc_server_init(sc_server *s, const sc_server_options *o, uint64_t now_ms);
int sc_server_tick(sc_server *s, uint64_t now_ms, unsigned *wait_ms);
void sc_server_end(sc_server *s);

/* ---- 7. the door to the operating system --------------------------------- */

#ifndef SC_NO_OS
uint64_t sc_now_ms(void);       /* a clock that never goes back */
#endif

#ifdef __cplusplus
}
#endif

#endif /* SC_SECCHAN_H */

/* ======================= the fence: library only ========================== */

#if defined(SECCHAN_INTERNAL) && !defined(SC_SECCHAN_INTERNAL_H)
#define SC_SECCHAN_INTERNAL_H

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Time classes in the comments below: CT: instructions and addresses depend on
 * sizes only.  CT(x): and on x.  VARTIME: on everything.  VERDICT: the one
 * place where branching on the outcome becomes legal. */

/* Where a secret is born and where it ends.  Empty, except in the build that
 * checks constant time. */
#ifndef SC_SECRET
#define SC_SECRET(p, len) ((void)(p), (void)(len))
#define SC_PUBLIC(p, len) ((void)(p), (void)(len))
#endif

#ifdef SC_DEBUG
#include <assert.h>
#define SC_ASSERT(x) assert(x)
#else
#define SC_ASSERT(x) ((void)0)
#endif

/* SC_INLINE: in any case.  SC_UNROLL(n): n rounds at once of the loop below. */
#if defined(__GNUC__)
#define SC_INLINE static inline __attribute__((always_inline))
#define SC_PRAGMA(text) _Pragma(#text)
#define SC_UNROLL(n) SC_PRAGMA(GCC unroll n)
#else
#define SC_INLINE static inline
#define SC_UNROLL(n)
#endif

/* SC_AVX2: fast paths for x86-64 processors with AVX2 are compiled in, and
 * taken if the processor says that it has it.  Not without an operating system,
 * which must save the wide registers; nor on Windows, whose stack gcc misaligns
 * for them. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(SC_NO_SIMD)     \
    && !defined(SC_NO_OS) && !defined(SC_WORD32) && !defined(__CYGWIN__) \
    && !defined(_WIN32)
#define SC_AVX2
#endif

/* ---- bignum.c ------------------------------------------------------------ */

/* A number is an array of n limbs, least significant first. */
#if defined(__SIZEOF_INT128__) && !defined(SC_WORD32)
typedef uint64_t sc_word;
__extension__ typedef unsigned __int128 sc_dword;
#define SC_WORD_BITS 64
#else
typedef uint32_t sc_word;
typedef uint64_t sc_dword;
#define SC_WORD_BITS 32
#endif
#define SC_WORD_BYTES (SC_WORD_BITS / 8)
#define SC_LIMBS(bytes) (((bytes) + SC_WORD_BYTES - 1) / SC_WORD_BYTES)
#define SC_LIMBS_MAX SC_LIMBS(SC_MODULUS_MAX)
#define SC_PRIME_LIMBS_MAX SC_LIMBS(SC_PRIME_MAX)

/* sc_barrier: x, but the compiler no longer knows anything about it.  Without
 * it, compilers turn masks made from a comparison back into branches. */
static inline sc_word sc_barrier(sc_word x)
{
#if defined(__GNUC__)
    __asm__("" : "+r"(x));
    return x;
#else
    volatile sc_word y = x;
    return y;
#endif
}

/* A mask is all ones (true) or all zeros (false). */
static inline sc_word sc_mask_bit(sc_word bit)          /* bit: 0 or 1 */
{
    return (sc_word)0 - sc_barrier(bit);
}

static inline sc_word sc_mask_is_zero(sc_word x)
{
    /* the top bit of ~x & (x - 1) is set for x = 0 only */
    return sc_mask_bit((~x & (x - 1)) >> (SC_WORD_BITS - 1));
}

static inline sc_word sc_select(sc_word mask, sc_word yes, sc_word no)
{
    return no ^ (sc_barrier(mask) & (yes ^ no));
}

/* sc_bytes_equal: a mask: a[0..len) = b[0..len)?  CT. */
sc_word sc_bytes_equal(const void *a, const void *b, size_t len);

/* An odd modulus m of n limbs and what Montgomery's method wants to know of
 * it, with R = 2^(SC_WORD_BITS * n). */
typedef struct {
    size_t n;
    sc_word m0inv;                      /* -1 / m mod 2^SC_WORD_BITS */
    sc_word m[SC_LIMBS_MAX];
    sc_word rr[SC_LIMBS_MAX];           /* R^2 mod m */
} sc_modulus;

void sc_bn_decode(sc_word *d, size_t n, const uint8_t *bytes, size_t len);
void sc_bn_encode(uint8_t *bytes, size_t len, const sc_word *x, size_t n);
sc_word sc_bn_add(sc_word *d, const sc_word *x, const sc_word *y, size_t n);
sc_word sc_bn_sub(sc_word *d, const sc_word *x, const sc_word *y, size_t n);
void sc_bn_select(sc_word *d, sc_word mask, const sc_word *yes,
                  const sc_word *no, size_t n);
sc_word sc_bn_equal(const sc_word *x, const sc_word *y, size_t n);
sc_word sc_bn_is_zero(const sc_word *x, size_t n);
void sc_bn_mul(sc_word *d, const sc_word *x, size_t x_n, const sc_word *y,
               size_t y_n);
void sc_bn_mod(sc_word *d, const sc_word *x, size_t x_n, const sc_word *m,
               size_t n);
void sc_bn_add_mod(sc_word *d, const sc_word *x, const sc_word *y,
                   const sc_word *m, size_t n);
void sc_bn_sub_mod(sc_word *d, const sc_word *x, const sc_word *y,
                   const sc_word *m, size_t n);
sc_word sc_bn_residue(const sc_word *x, size_t n, sc_word r);
sc_word sc_bn_mod_65537(const sc_word *x, size_t n);
void sc_bn_inverse_65537(sc_word *d, const sc_word *m, size_t n);

void sc_modulus_init(sc_modulus *mod, const sc_word *m, size_t n);
void sc_mont_mul(sc_word *d, const sc_word *x, const sc_word *y,
                 const sc_modulus *mod);
void sc_mont_from(sc_word *d, const sc_word *x, const sc_modulus *mod);
void sc_mont_to(sc_word *d, const sc_word *x, const sc_modulus *mod);
void sc_mont_one(sc_word *d, const sc_modulus *mod);
void sc_mont_pow(sc_word *d, const sc_word *x, const sc_word *e,
                 const sc_modulus *mod);
void sc_mont_pow_65536(sc_word *d, const sc_word *x, const sc_modulus *mod);
void sc_mont_pow_pair(sc_word *d_p, const sc_word *x_p, const sc_word *e_p,
                      const sc_modulus *mod_p, sc_word *d_q,
                      const sc_word *x_q, const sc_word *e_q,
                      const sc_modulus *mod_q);
void sc_pow_65537(sc_word *d, const sc_word *x, const sc_word *m, size_t n);

/* ---- rsa_mini.c ---------------------------------------------------------- */

#define SC_HASH_LEN 32
#define SC_OAEP_OVERHEAD 66     /* RFC 8017 7.1.1: 2 hLen + 2 */

int sc_keygen_init(sc_keygen *g, unsigned n_bits, sc_random_fn random,
                   void *ctx);
int sc_keygen_step(sc_keygen *g, sc_private_key *key, char *mark);
int sc_key_check(const sc_private_key *key);

void sc_rsa_public(const sc_public_key *key, const uint8_t *x, uint8_t *y);
int sc_rsa_private(const sc_private_key *key, const uint8_t *c, uint8_t *m,
                   sc_word *ok, sc_random_fn random, void *ctx);
int sc_oaep_encrypt(const sc_public_key *key, const void *label,
                    size_t label_len, const uint8_t *msg, size_t msg_len,
                    uint8_t *c, sc_random_fn random, void *ctx);
int sc_oaep_decrypt(const sc_private_key *key, const void *label,
                    size_t label_len, const uint8_t *c, uint8_t *msg,
                    size_t msg_len, sc_word *ok, sc_random_fn random,
                    void *ctx);

size_t sc_base64_write(char *out, const uint8_t *bytes, size_t len);
int sc_base64_read(uint8_t *out, size_t out_max, size_t *out_len,
                   const char *text, size_t text_len);
int sc_key_blob_read(sc_public_key *key, const uint8_t *blob, size_t blob_len);

/* ---- secchan.c ----------------------------------------------------------- */

void sc_hmac(uint8_t tag[32], const uint8_t *key, size_t key_len,
             const uint8_t *data, size_t data_len);
void sc_hkdf_extract(uint8_t prk[32], const uint8_t *salt, size_t salt_len,
                     const uint8_t *ikm, size_t ikm_len);
void sc_hkdf_expand(const uint8_t prk[32], const char *info, size_t info_len,
                    uint8_t *okm, size_t okm_len);
void sc_chacha20_xor(uint8_t *out, const uint8_t *in, size_t len,
                     const uint8_t key[32], const uint8_t nonce[12],
                     uint32_t counter);
void sc_poly1305(uint8_t tag[16], const uint8_t key[32], const uint8_t *msg,
                 size_t msg_len);
/* sc_aead: what both of the next call; SC_AEAD_PORTABLE is for the tests. */
enum { SC_AEAD_SEAL = 0, SC_AEAD_OPEN = 1, SC_AEAD_PORTABLE = 2 };
void sc_aead(uint8_t *out, uint8_t tag[16], const uint8_t *in, size_t len,
             const uint8_t key[32], const uint8_t nonce[12], const uint8_t *ad,
             size_t ad_len, int how);
void sc_aead_seal(uint8_t *out, const uint8_t key[32], const uint8_t nonce[12],
                  const uint8_t *ad, size_t ad_len, const uint8_t *plaintext,
                  size_t len);
sc_word sc_aead_open(uint8_t *out, const uint8_t key[32],
                     const uint8_t nonce[12], const uint8_t *ad, size_t ad_len,
                     const uint8_t *box, size_t box_len);
int sc_server_init_with(sc_server *s, const sc_server_options *o,
                        const sc_private_key *short_key, uint64_t now_ms);

#ifndef SC_NO_OS
int sc_known_hosts_line(const char *line, size_t line_len, const char *host,
                        unsigned port, const sc_public_key *shown);
int sc_authorized_keys_line(const char *line, size_t line_len,
                            const sc_public_key *key);
#endif

#ifdef __cplusplus
}
#endif

#endif /* SECCHAN_INTERNAL */
