/* secchan.c: the protocol secchan/1: keys, handshake, records, and the blocking
 * layer over them.
 * Needs:   rsa_mini.c, bignum.c; an operating system, POSIX or Windows, only in
 *          section 2, which SC_NO_OS removes.
 * Map:     1 the wire   2 the door to the operating system   3 HMAC, HKDF
 *          4 ChaCha20   5 Poly1305   6 AEAD, 6b by AVX2
 *          7 which frame may come now
 *          8 key schedule   9 handshake, a function per message   10 records
 *          11 the layer without I/O   12 the server's long-lived half
 *          13 the blocking layer   14 known_hosts, authorized_keys, key files
 *          15 errors in words
 * Secret:  s1 s2 s3, HS, MS, k_*, record keys, plaintexts.   Public: lengths,
 *          frames, public keys, T2..T5, and each VERDICT once it has fallen.
 * Sources: the names are those of docs/PROTOCOL.md; RFC 2104, RFC 5869,
 *          RFC 8439. */

#define SECCHAN_INTERNAL
#include "secchan.h"

/* ---- 1. the wire --------------------------------------------------------- */

/* Everything is a frame:
 *
 *     type | version = 1 | length of the body, 2 bytes, high first | body
 *
 *  M1 KEY_REQUEST     ->   (nothing)
 *  M2 PUBLIC_KEYS     <-   server random, 32 | Ke, 256 | Kh, 256..512
 *  M3 SESSION_KEY     ->   C1, as Kh | C2, 256 | identity box, 16 or 16 + Kc
 *  M4 CONFIRM         <-   confirm box, 16 or 16 + Kc
 *  M5 CLIENT_CONFIRM  ->   proof box, 16        (only if the client named Kc)
 *     DATA           <->   0..16384 sealed bytes + 16: a message, or its end
 *     DATA_MORE      <->   1..16384 sealed bytes + 16: more of it follows
 *     CLOSE          <->   1 sealed byte + 16: the reason                    */
enum {
    KEY_REQUEST = 1, PUBLIC_KEYS = 2, SESSION_KEY = 3, CONFIRM = 4,
    CLIENT_CONFIRM = 5, DATA = 6, DATA_MORE = 7, CLOSE = 8
};
enum { CLOSE_DONE = 0, CLOSE_REFUSED = 1, CLOSE_PROTOCOL = 2,
       CLOSE_INTERNAL = 3 };

#define WIRE_VERSION 1
#define SECRET_LEN 32                   /* s1, s2, s3 */
#define RANDOM_LEN 32                   /* the server's, in M2 */
#define KE_LEN 256                      /* the short-lived key has 2048 bits */
#define KE_BITS (8 * KE_LEN)
#define RECORDS_PER_KEY 65536

/* What a side waits for.  OPEN: nothing of the handshake is left to do. */
enum { WAIT_M1 = 1, WAIT_M2, WAIT_M3, WAIT_M4, WAIT_M5, OPEN };

static const uint8_t nonce_0[12] = { 0 };

typedef char sc_channel_fits[sizeof(sc_channel) <= 1024 ? 1 : -1];

static void put_header(uint8_t *frame, int type, size_t body_len)
{
    frame[0] = (uint8_t)type;
    frame[1] = WIRE_VERSION;
    frame[2] = (uint8_t)(body_len >> 8);
    frame[3] = (uint8_t)body_len;
}

/* sc_wipe: the compiler cannot know what a volatile pointer points to, so it
 * must make the call. */
static void *(*const volatile wipe_memset)(void *, int, size_t) = memset;

void sc_wipe(void *p, size_t len)
{
    wipe_memset(p, 0, len);
}

/* ---- 2. the door to the operating system --------------------------------- */

#ifndef SC_NO_OS

/* The door itself is 2a: nothing else in this file calls the system.  The rest
 * of this section is made of it.  What fails leaves its reason in errno.
 *
 *   os_entropy          n <= 256 random bytes; 0 if they came
 *   sc_now_ms           a clock that never goes back
 *
 *   os_start_sockets    what a process owes before its first socket
 *   os_socket           a new one for this kind of address, or -1
 *   os_prepare_socket   it never blocks, nor is inherited; SC_OK, SC_ERR_IO
 *   os_option           set one of its options; 0 if that worked
 *   os_start_connect    0: connected, or under way
 *   os_socket_error     how that ended: 0, or an errno
 *   os_start_listening  0 if it does; no other socket can take its address
 *   os_accept           a socket; AGAIN: that client is lost, but not the next;
 *                       SC_ERR_LISTEN
 *   os_poll             what of events happened within wait_ms; 0: nothing yet,
 *                       ask again; -1
 *   os_recv, os_send    bytes moved, AGAIN, or SC_ERR_IO.  A reset connection
 *                       has ended: os_recv says 0, and the channel knows
 *                       whether it might
 *   os_shut_writing     the peer will read an end
 *   os_close_socket     keeps errno
 *
 *   os_open             a file (flags: O_*), or -1; mode: who else may read it
 *   os_read_some, os_write_some   bytes moved, or -1; EINTR: ask again
 *   os_seek, os_truncate, os_sync, os_close_file, os_remove   -1: failed
 *   os_is_private       1: no other user may touch it; 0; -1: failed
 *   os_make_folder      for this user alone; 0 if it is new
 *   os_file_name        where in path the last name begins */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define AGAIN (-1000)                   /* nothing could be moved just now */
#define PATH_LEN_MAX 1024
#define LINE_LEN_MAX 4096               /* what is longer is cut */

/* -- 2a. the door, by POSIX ------------------------------------------------ */

#if !defined(_WIN32)

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* These calls wait until the system has been seeded, and never give fewer bytes
 * than asked. */
#if defined(__linux__) || defined(__CYGWIN__)
#include <sys/random.h>
static int os_entropy(uint8_t *out, size_t n)
{
    ssize_t got;
    do
        got = getrandom(out, n, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)n ? 0 : -1;
}
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__OpenBSD__) \
    || defined(__NetBSD__) || defined(__DragonFly__) || defined(__sun)   \
    || defined(__wasi__) || defined(__EMSCRIPTEN__)
#if !defined(__OpenBSD__)
#include <sys/random.h>
#endif
static int os_entropy(uint8_t *out, size_t n)
{
    return getentropy(out, n);
}
#else
#error "secchan: no source of random bytes is known for this system. Compile \
with -DSC_NO_OS and write sc_os_random yourself (see secchan.h)."
#endif

uint64_t sc_now_ms(void)
{
    struct timespec t = { 0, 0 };       /* should there be no clock at all */
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0                  /* macOS: SO_NOSIGPIPE, below */
#endif

static void os_start_sockets(void)
{
}

static int os_socket(const struct addrinfo *a)
{
    return socket(a->ai_family, a->ai_socktype, a->ai_protocol);
}

static int os_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

static int os_prepare_socket(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0
        || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return SC_ERR_IO;
    /* Records are whole thoughts: no waiting for more to fill a packet.  Fails
     * harmlessly on sockets that are not TCP. */
    (void)os_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
#ifdef SO_NOSIGPIPE
    (void)os_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#endif
    return SC_OK;
}

static int os_start_connect(int fd, const struct addrinfo *a)
{
    return connect(fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS
           || errno == EINTR ? 0 : -1;
}

static int os_socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error
                                                                   : errno;
}

static int os_start_listening(int fd, const struct addrinfo *a)
{
    /* at once, although connections of the last server may still linger */
    (void)os_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    return bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 511) == 0
           ? 0 : -1;
}

/* is_about_one_client: accept() failed, but the next may not: the client has
 * gone, or its network has (Linux tells that here). */
static int is_about_one_client(int error)
{
    return error == EINTR || error == EAGAIN || error == EWOULDBLOCK
        || error == ECONNABORTED || error == EPROTO || error == ENETDOWN
        || error == ENETUNREACH || error == EHOSTUNREACH;
}

static int os_accept(int listen_fd)
{
    int fd = accept(listen_fd, NULL, NULL);
    if (fd >= 0)
        return fd;
    return is_about_one_client(errno) ? AGAIN : SC_ERR_LISTEN;
}

static int os_poll(int fd, int events, int wait_ms)
{
    struct pollfd p;
    p.fd = fd;
    p.events = (short)events;
    p.revents = 0;
    if (poll(&p, 1, wait_ms) >= 0)
        return p.revents;
    return errno == EINTR || errno == EAGAIN ? 0 : -1;
}

static long os_recv(int fd, void *buf, size_t len)
{
    ssize_t n;
    do
        n = recv(fd, buf, len, 0);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return (long)n;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return AGAIN;
    return errno == ECONNRESET || errno == EPIPE ? 0 : SC_ERR_IO;
}

static long os_send(int fd, const void *buf, size_t len)
{
    ssize_t n;
    do
        n = send(fd, buf, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return (long)n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? AGAIN : SC_ERR_IO;
}

static void os_shut_writing(int fd)
{
    (void)shutdown(fd, SHUT_WR);
}

static void os_close_socket(int fd)
{
    int error = errno;
    (void)close(fd);
    errno = error;
}

static int os_open(const char *path, int flags, unsigned mode)
{
    return open(path, flags | O_CLOEXEC, (mode_t)mode);
}

static long os_read_some(int fd, void *buf, size_t len)
{
    return (long)read(fd, buf, len);
}

static long os_write_some(int fd, const void *buf, size_t len)
{
    return (long)write(fd, buf, len);
}

static long os_seek(int fd, long offset, int whence)
{
    return (long)lseek(fd, (off_t)offset, whence);
}

static int os_truncate(int fd, long len)
{
    return ftruncate(fd, (off_t)len);
}

static int os_sync(int fd)
{
    return fsync(fd);
}

static int os_close_file(int fd)
{
    return close(fd);
}

static int os_remove(const char *path)
{
    return unlink(path);
}

static int os_is_private(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return -1;
    return (st.st_mode & 077) == 0;
}

static int os_make_folder(const char *path)
{
    return mkdir(path, 0700);
}

static const char *os_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

#else

/* -- 2a. the door, by Windows ---------------------------------------------- */

/* A SOCKET is a handle, of which Windows uses 32 bits: as an int it is whole,
 * and the invalid one is -1.  Needs ws2_32 (-lws2_32). */
#include <winsock2.h>                   /* before windows.h */
#include <ws2tcpip.h>
#include <windows.h>
#include <ntsecapi.h>
#include <direct.h>
#include <io.h>
#include <sys/stat.h>

/* RtlGenRandom is where rand_s and BCryptGenRandom arrive, too; it is in a
 * library that is always linked (advapi32), which bcrypt is not. */
static int os_entropy(uint8_t *out, size_t n)
{
    return RtlGenRandom(out, (ULONG)n) ? 0 : -1;
}

uint64_t sc_now_ms(void)
{
    return GetTickCount64();            /* goes on every 16 ms or sooner */
}

/* Winsock is asked whether it was started, so that we need not remember.  If
 * two threads start it at once, it counts that and works. */
static void os_start_sockets(void)
{
    WSADATA unused;
    if (closesocket(INVALID_SOCKET) != 0
        && WSAGetLastError() == WSANOTINITIALISED)
        (void)WSAStartup(MAKEWORD(2, 2), &unused);
}

/* set_errno: to what an error of Winsock is called elsewhere; gives that. */
static int set_errno(int error)
{
    static const struct {
        int winsock, posix;
    } same[] = {
        { 0, 0 }, { WSAEWOULDBLOCK, EAGAIN }, { WSAECONNRESET, ECONNRESET },
        { WSAECONNABORTED, ECONNRESET }, { WSAENETRESET, ECONNRESET },
        { WSAETIMEDOUT, ETIMEDOUT }, { WSAECONNREFUSED, ECONNREFUSED },
        { WSAEADDRINUSE, EADDRINUSE }, { WSAEACCES, EACCES },
        { WSAEADDRNOTAVAIL, EADDRNOTAVAIL }, { WSAEMFILE, EMFILE },
        { WSAEAFNOSUPPORT, EAFNOSUPPORT }
    };
    size_t i, n = sizeof same / sizeof same[0];
    for (i = 0; i < n && same[i].winsock != error; i++)
        continue;
    errno = i < n ? same[i].posix : EIO;
    return errno;
}

/* socket_result: -1 and errno if a call of Winsock has failed. */
static int socket_result(int result)
{
    return result >= 0 ? result : (set_errno(WSAGetLastError()), -1);
}

static int os_socket(const struct addrinfo *a)
{
    return socket_result((int)socket(a->ai_family, a->ai_socktype,
                                     a->ai_protocol));
}

static int os_option(int fd, int level, int option, int value)
{
    return socket_result(setsockopt((SOCKET)fd, level, option,
                                    (const char *)&value, (int)sizeof value));
}

static int os_prepare_socket(int fd)
{
    u_long one = 1;
    if (ioctlsocket((SOCKET)fd, (long)FIONBIO, &one) != 0)
        return SC_ERR_IO;
    (void)SetHandleInformation((HANDLE)(SOCKET)fd, HANDLE_FLAG_INHERIT, 0);
    (void)os_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);   /* as for POSIX */
    /* select() calls urgent bytes exceptional: let them be bytes like others */
    (void)os_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
    return SC_OK;
}

static int os_start_connect(int fd, const struct addrinfo *a)
{
    int r = socket_result(connect((SOCKET)fd, a->ai_addr, (int)a->ai_addrlen));
    return r == 0 || errno == EAGAIN ? 0 : -1;
}

static int os_socket_error(int fd)
{
    int error = 0, len = (int)sizeof error;
    if (getsockopt((SOCKET)fd, SOL_SOCKET, SO_ERROR, (char *)&error, &len) != 0)
        error = WSAGetLastError();
    return set_errno(error);
}

static int os_start_listening(int fd, const struct addrinfo *a)
{
    /* Without this other programs can take our port.  SO_REUSEADDR would invite
     * them to, and is not needed to start again at once. */
    (void)os_option(fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
    return socket_result(bind((SOCKET)fd, a->ai_addr, (int)a->ai_addrlen)) == 0
           ? socket_result(listen((SOCKET)fd, 511)) : -1;
}

static int os_accept(int listen_fd)
{
    int fd = socket_result((int)accept((SOCKET)listen_fd, NULL, NULL));
    if (fd >= 0)
        return fd;
    return errno == EAGAIN || errno == ECONNRESET ? AGAIN : SC_ERR_LISTEN;
}

/* By select(): WSAPoll() does not tell that a connect failed before Windows 10,
 * version 2004. */
static int os_poll(int fd, int events, int wait_ms)
{
    fd_set in, out, failed;
    struct timeval wait;
    in.fd_count = (events & POLLIN) != 0;
    out.fd_count = failed.fd_count = (events & POLLOUT) != 0;
    in.fd_array[0] = out.fd_array[0] = failed.fd_array[0] = (SOCKET)fd;
    wait.tv_sec = wait_ms / 1000;
    wait.tv_usec = wait_ms % 1000 * 1000;
    if (socket_result(select(0, in.fd_count > 0 ? &in : NULL,
                             out.fd_count > 0 ? &out : NULL,
                             failed.fd_count > 0 ? &failed : NULL, &wait)) < 0)
        return -1;
    return (in.fd_count > 0 ? POLLIN : 0)
         | (out.fd_count + failed.fd_count > 0 ? POLLOUT : 0);
}

static long os_recv(int fd, void *buf, size_t len)
{
    int want = len < SC_FRAME_MAX ? (int)len : SC_FRAME_MAX;
    int n = socket_result(recv((SOCKET)fd, (char *)buf, want, 0));
    if (n >= 0)
        return n;
    return errno == EAGAIN ? AGAIN : errno == ECONNRESET ? 0 : SC_ERR_IO;
}

static long os_send(int fd, const void *buf, size_t len)
{
    int want = len < SC_FRAME_MAX ? (int)len : SC_FRAME_MAX;
    int n = socket_result(send((SOCKET)fd, (const char *)buf, want, 0));
    if (n >= 0)
        return n;
    return errno == EAGAIN ? AGAIN : SC_ERR_IO;
}

static void os_shut_writing(int fd)
{
    (void)shutdown((SOCKET)fd, SD_SEND);
}

static void os_close_socket(int fd)
{
    (void)closesocket((SOCKET)fd);      /* has an error of its own, not errno */
}

/* Who may read a new file is inherited from its folder: mode says nothing. */
static int os_open(const char *path, int flags, unsigned mode)
{
    (void)mode;
    return _open(path, flags | _O_BINARY | _O_NOINHERIT, _S_IREAD | _S_IWRITE);
}

static long os_read_some(int fd, void *buf, size_t len)
{
    return _read(fd, buf, (unsigned)len);
}

static long os_write_some(int fd, const void *buf, size_t len)
{
    return _write(fd, buf, (unsigned)len);
}

static long os_seek(int fd, long offset, int whence)
{
    return _lseek(fd, offset, whence);
}

static int os_truncate(int fd, long len)
{
    return _chsize(fd, len);
}

static int os_sync(int fd)
{
    return _commit(fd);
}

static int os_close_file(int fd)
{
    return _close(fd);
}

static int os_remove(const char *path)
{
    return _unlink(path);
}

static int os_is_private(int fd)
{
    (void)fd;                           /* cannot be told by any mode bits */
    return 1;
}

static int os_make_folder(const char *path)
{
    return _mkdir(path);
}

static const char *os_file_name(const char *path)
{
    const char *name = path;
    for (; *path != '\0'; path++)
        if (*path == '/' || *path == '\\')
            name = path + 1;
    return name;
}

#endif /* _WIN32 */

/* -- 2b. random bytes, sockets --------------------------------------------- */

int sc_os_random(void *ctx, uint8_t *out, size_t len)
{
    size_t n, done;
    (void)ctx;
    for (done = 0; done < len; done += n) {
        n = len - done < 256 ? len - done : 256;
        if (os_entropy(out + done, n) != 0) {
            sc_wipe(out, len);
            return SC_ERR_RANDOM;
        }
    }
    return SC_OK;
}

/* os_wait: until fd is ready for events (POLLIN, POLLOUT), or until_ms (0: for
 * ever).  Gives what happened, or SC_ERR_TIMEOUT, SC_ERR_IO.  Sockets do not
 * block, so that this alone decides how long to wait. */
static int os_wait(int fd, int events, uint64_t until_ms)
{
    for (;;) {
        uint64_t now = sc_now_ms(), left = 60000;
        int happened;
        if (until_ms != 0 && now >= until_ms)
            return SC_ERR_TIMEOUT;
        if (until_ms != 0 && until_ms - now < left)
            left = until_ms - now;
        happened = os_poll(fd, events, (int)left);
        if (happened != 0)
            return happened > 0 ? happened : SC_ERR_IO;
    }
}

/* os_drain: shut down writing, then read and drop what still comes, until the
 * peer ends or until_ms.  Closing with bytes unread would reset the connection
 * and could destroy the CLOSE that is under way. */
static void os_drain(int fd, uint64_t until_ms)
{
    char dropped[1024];
    long n;
    os_shut_writing(fd);
    while (sc_now_ms() < until_ms) {
        n = os_recv(fd, dropped, sizeof dropped);
        if (n == AGAIN ? os_wait(fd, POLLIN, until_ms) < 0 : n <= 0)
            return;
    }
}

/* os_resolve: addresses of host:port, to be freed by the caller, or NULL. */
static struct addrinfo *os_resolve(const char *host, unsigned port, int family,
                                   int flags)
{
    struct addrinfo hints, *list = NULL;
    char service[8];
    os_start_sockets();
    memset(&hints, 0, sizeof hints);
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    (void)snprintf(service, sizeof service, "%u", port);
    return getaddrinfo(host, service, &hints, &list) == 0 ? list : NULL;
}

/* os_connect: a socket connected to one address, or an error. */
static int os_connect(const struct addrinfo *a, uint64_t until_ms, int *fd)
{
    int error, events;
    *fd = os_socket(a);
    if (*fd < 0)
        return SC_ERR_IO;
    if (os_prepare_socket(*fd) == SC_OK && os_start_connect(*fd, a) == 0) {
        events = os_wait(*fd, POLLOUT, until_ms);
        error = events == SC_ERR_TIMEOUT ? ETIMEDOUT : os_socket_error(*fd);
        if (events >= 0 && error == 0)
            return SC_OK;
    } else {
        error = errno;
    }
    os_close_socket(*fd);
    *fd = -1;
    errno = error;
    return error == ETIMEDOUT ? SC_ERR_TIMEOUT : SC_ERR_CONNECT;
}

int sc_dial(const char *host, unsigned port, unsigned timeout_ms, int *fd)
{
    struct addrinfo *list, *a;
    uint64_t until_ms = sc_now_ms() + timeout_ms, now;
    unsigned n_left = 0;
    int error, e = SC_ERR_RESOLVE;
    *fd = -1;
    if (host == NULL || port == 0 || port > 65535)
        return SC_ERR_ARGUMENT;
    list = os_resolve(host, port, AF_UNSPEC, 0);
    for (a = list; a != NULL; a = a->ai_next)
        n_left++;
    for (a = list; a != NULL; a = a->ai_next, n_left--) {
        now = sc_now_ms();              /* a silent address leaves time for */
        if (now >= until_ms) {          /* the others */
            e = SC_ERR_TIMEOUT;
            break;
        }
        e = os_connect(a, now + (until_ms - now + n_left - 1) / n_left, fd);
        if (e == SC_OK)
            break;
    }
    error = errno;
    if (list != NULL)
        freeaddrinfo(list);
    errno = error;
    return e;
}

static int os_listen(const struct addrinfo *a)
{
    int fd = os_socket(a);
    if (fd < 0)
        return -1;
    if (a->ai_family == AF_INET6)       /* "::" is to mean IPv4, too */
        (void)os_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (os_start_listening(fd, a) == 0 && os_prepare_socket(fd) == SC_OK)
        return fd;
    os_close_socket(fd);
    return -1;
}

/* os_listen_any: on the first address of the list that can be had. */
static int os_listen_any(const char *host, unsigned port, int family, int *fd)
{
    struct addrinfo *list = os_resolve(host, port, family, AI_PASSIVE), *a;
    int error;
    if (list == NULL)
        return SC_ERR_RESOLVE;
    for (a = list; a != NULL && *fd < 0; a = a->ai_next)
        *fd = os_listen(a);
    error = errno;
    freeaddrinfo(list);
    errno = error;
    return *fd >= 0 ? SC_OK : SC_ERR_LISTEN;
}

int sc_listen(const char *host, unsigned port, int *listen_fd)
{
    int e;
    *listen_fd = -1;
    if (port > 65535)
        return SC_ERR_ARGUMENT;
    if (host != NULL)
        return os_listen_any(host, port, AF_UNSPEC, listen_fd);
    e = os_listen_any(host, port, AF_INET6, listen_fd);
    if (e == SC_ERR_RESOLVE || (e == SC_ERR_LISTEN && errno == EAFNOSUPPORT))
        e = os_listen_any(host, port, AF_INET, listen_fd);  /* no IPv6 here */
    return e;
}

/* -- 2c. files ------------------------------------------------------------- */

/* os_read: up to len bytes from a file; fewer at its end only; -1: error. */
static long os_read(int fd, void *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        long n = os_read_some(fd, (char *)buf + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (long)done;
}

static int os_write(int fd, const void *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        long n = os_write_some(fd, (const char *)buf + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return SC_ERR_FILE;
        done += (size_t)n;
    }
    return SC_OK;
}

/* os_each_line: call take for each line of a file, without its end, until it
 * gives other than SC_MORE.  SC_MORE: end of file; SC_ERR_FILE; or take's. */
typedef int (*line_fn)(void *ctx, const char *line, size_t len, size_t number);
static int os_each_line(const char *path, line_fn take, void *ctx)
{
    char line[LINE_LEN_MAX], chunk[512];
    size_t len = 0, number = 1, i;
    long n = 1;
    int error, result = SC_MORE, fd = os_open(path, O_RDONLY, 0);
    if (fd < 0)
        return SC_ERR_FILE;
    while (result == SC_MORE && n > 0) {
        n = os_read(fd, chunk, sizeof chunk);
        for (i = 0; n > 0 && i < (size_t)n && result == SC_MORE; i++) {
            if (chunk[i] == '\n') {
                result = take(ctx, line, len, number++);
                len = 0;
            } else if (len < sizeof line) {
                line[len++] = chunk[i];
            } else {
                line[len - 1] = '\0';   /* no file's own character: damage */
            }
        }
    }
    if (n < 0)
        result = SC_ERR_FILE;
    else if (result == SC_MORE && len > 0)      /* no newline at the end */
        result = take(ctx, line, len, number);
    error = errno;
    (void)os_close_file(fd);
    errno = error;
    return result;
}

/* os_create: a new file with these contents, on disk when it is done; nothing
 * is left of it on error. */
static int os_create(const char *path, unsigned mode, const char *text,
                     size_t len)
{
    int error, e = SC_ERR_FILE;
    int fd = os_open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (fd < 0)
        return errno == EEXIST ? SC_ERR_FILE_EXISTS : SC_ERR_FILE;
    if (os_write(fd, text, len) == SC_OK && os_sync(fd) == 0)
        e = SC_OK;
    error = errno;
    if (os_close_file(fd) != 0 && e == SC_OK) {
        error = errno;
        e = SC_ERR_FILE;
    }
    if (e != SC_OK)
        (void)os_remove(path);
    errno = error;
    return e;
}

/* os_open_append: for adding lines; the file and the folder it is in are made,
 * for this user alone, if they are missing. */
static int os_open_append(const char *path)
{
    char folder[PATH_LEN_MAX];
    size_t folder_len = (size_t)(os_file_name(path) - path);
    int flags = O_RDWR | O_APPEND | O_CREAT;
    int fd = os_open(path, flags, 0600);
    if (fd >= 0 || errno != ENOENT || folder_len - 1 >= sizeof folder)
        return fd;                      /* no folder is named: 0 - 1 wraps */
    (void)snprintf(folder, sizeof folder, "%.*s", (int)folder_len - 1, path);
    if (os_make_folder(folder) != 0 && errno != EEXIST)
        return -1;                      /* it may exist by now */
    return os_open(path, flags, 0600);
}

/* os_append_line: add a line (with its newline) in one write; a last line that
 * somebody left without its newline gets one first. */
static int os_append_line(const char *path, const char *line, size_t len)
{
    char last;
    int error, e = SC_ERR_FILE, fd = os_open_append(path);
    long end;
    if (fd < 0)
        return SC_ERR_FILE;
    end = os_seek(fd, 0, SEEK_END);
    if (end >= 0
        && (end == 0 || (os_seek(fd, end - 1, SEEK_SET) >= 0
                         && os_read(fd, &last, 1) == 1
                         && (last == '\n' || os_write(fd, "\n", 1) == SC_OK)))
        && os_write(fd, line, len) == SC_OK && os_sync(fd) == 0)
        e = SC_OK;
    error = errno;
    if (e != SC_OK && end >= 0 && os_truncate(fd, end) != 0)
        error = errno;                  /* half a line is left */
    (void)os_close_file(fd);
    errno = error;
    return e;
}

/* os_read_private: a whole small file that only its owner may read. */
static int os_read_private(const char *path, char *buf, size_t buf_max,
                           size_t *len)
{
    long n;
    int is_private, error, e = SC_OK, fd = os_open(path, O_RDONLY, 0);
    *len = 0;
    if (fd < 0)
        return SC_ERR_FILE;
    is_private = os_is_private(fd);
    if (is_private < 0 || (n = os_read(fd, buf, buf_max)) < 0) {
        e = SC_ERR_FILE;
    } else if (!is_private) {
        e = SC_ERR_FILE_MODE;
    } else if ((size_t)n == buf_max) {
        e = SC_ERR_KEY_FORMAT;          /* too long for a key */
    } else {
        *len = (size_t)n;
    }
    error = errno;
    (void)os_close_file(fd);
    errno = error;
    return e;
}

#endif /* SC_NO_OS */

/* ---- 3. HMAC, HKDF (RFC 2104, RFC 5869, with SHA-256) -------------------- */

typedef struct {
    sc_sha256 inner, outer;
} hmac;

static void hmac_start(hmac *m, const uint8_t *key, size_t key_len)
{
    uint8_t block[64];
    int i;
    memset(block, 0, sizeof block);
    if (key_len > sizeof block) {       /* RFC 2104 2: long keys are hashed */
        sc_sha256_init(&m->inner);
        sc_sha256_add(&m->inner, key, key_len);
        sc_sha256_end(&m->inner, block);
    } else if (key_len > 0) {
        memcpy(block, key, key_len);
    }
    for (i = 0; i < 64; i++)
        block[i] ^= 0x36;
    sc_sha256_init(&m->inner);
    sc_sha256_add(&m->inner, block, sizeof block);
    for (i = 0; i < 64; i++)
        block[i] ^= 0x36 ^ 0x5c;
    sc_sha256_init(&m->outer);
    sc_sha256_add(&m->outer, block, sizeof block);
    sc_wipe(block, sizeof block);
}

static void hmac_end(hmac *m, uint8_t tag[SC_HASH_LEN])
{
    sc_sha256_end(&m->inner, tag);
    sc_sha256_add(&m->outer, tag, SC_HASH_LEN);
    sc_sha256_end(&m->outer, tag);
    sc_wipe(m, sizeof *m);
}

/* sc_hmac: any lengths; tag may be data or key.  time  CT(lengths). */
void sc_hmac(uint8_t tag[32], const uint8_t *key, size_t key_len,
             const uint8_t *data, size_t data_len)
{
    hmac m;
    hmac_start(&m, key, key_len);
    sc_sha256_add(&m.inner, data, data_len);
    hmac_end(&m, tag);
}

void sc_hkdf_extract(uint8_t prk[32], const uint8_t *salt, size_t salt_len,
                     const uint8_t *ikm, size_t ikm_len)
{
    sc_hmac(prk, salt, salt_len, ikm, ikm_len);
}

/* sc_hkdf_expand: needs  okm_len <= 255 * 32 (RFC 5869 2.3).  okm may be prk.
 * T(i) = HMAC(prk, T(i-1) | info | i). */
void sc_hkdf_expand(const uint8_t prk[32], const char *info, size_t info_len,
                    uint8_t *okm, size_t okm_len)
{
    hmac start, m;
    uint8_t t[SC_HASH_LEN], i = 0;
    size_t n;
    SC_ASSERT(okm_len <= 255 * SC_HASH_LEN);
    hmac_start(&start, prk, SC_HASH_LEN);
    while (okm_len > 0) {
        m = start;
        if (i > 0)
            sc_sha256_add(&m.inner, t, sizeof t);
        i++;
        sc_sha256_add(&m.inner, info, info_len);
        sc_sha256_add(&m.inner, &i, 1);
        hmac_end(&m, t);
        n = okm_len < sizeof t ? okm_len : sizeof t;
        memcpy(okm, t, n);
        okm += n;
        okm_len -= n;
    }
    sc_wipe(&start, sizeof start);
    sc_wipe(t, sizeof t);
}

/* ---- 4. ChaCha20 (RFC 8439 2.3, 2.4) ------------------------------------- */

/* The keystream comes in blocks of 64 bytes, made from the key, the nonce and
 * the number of the block.  The cipher is nothing but XOR with it, which is
 * safe exactly as long as no two messages share a keystream: see section 10. */

SC_INLINE uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16
         | (uint32_t)p[1] << 8 | p[0];
}

SC_INLINE void put_le32(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
    p[2] = (uint8_t)(x >> 16);
    p[3] = (uint8_t)(x >> 24);
}

/* The rounds are macros: section 6 has them work on vectors, too.  rotate(x, n)
 * is x rotated left by n bits. */
#define ROTATE_LEFT(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER_ROUND(rotate, a, b, c, d)                                   \
    (a += b, d ^= a, d = rotate(d, 16), c += d, b ^= c, b = rotate(b, 12),  \
     a += b, d ^= a, d = rotate(d, 8),  c += d, b ^= c, b = rotate(b, 7))
#define COLUMN_ROUND(rotate, x)                                             \
    (QUARTER_ROUND(rotate, x[0], x[4], x[8], x[12]),                        \
     QUARTER_ROUND(rotate, x[1], x[5], x[9], x[13]),                        \
     QUARTER_ROUND(rotate, x[2], x[6], x[10], x[14]),                       \
     QUARTER_ROUND(rotate, x[3], x[7], x[11], x[15]))
#define DIAGONAL_ROUND(rotate, x)                                           \
    (QUARTER_ROUND(rotate, x[0], x[5], x[10], x[15]),                       \
     QUARTER_ROUND(rotate, x[1], x[6], x[11], x[12]),                       \
     QUARTER_ROUND(rotate, x[2], x[7], x[8], x[13]),                        \
     QUARTER_ROUND(rotate, x[3], x[4], x[9], x[14]))

static void chacha20_start(uint32_t state[16], const uint8_t key[32],
                           const uint8_t nonce[12], uint32_t counter)
{
    int i;
    state[0] = 0x61707865;                      /* "expand 32-byte k" */
    state[1] = 0x3320646e;
    state[2] = 0x79622d32;
    state[3] = 0x6b206574;
    for (i = 0; i < 8; i++)
        state[4 + i] = get_le32(key + 4 * i);
    state[12] = counter;
    for (i = 0; i < 3; i++)
        state[13 + i] = get_le32(nonce + 4 * i);
}

/* chacha20_block: the next block of the keystream.  Only with its loops over
 * x[16] unrolled can a compiler keep x in registers. */
static void chacha20_block(uint8_t out[64], uint32_t state[16])
{
    uint32_t x[16];
    int i;
    SC_UNROLL(16)
    for (i = 0; i < 16; i++)
        x[i] = state[i];
    for (i = 0; i < 10; i++) {
        COLUMN_ROUND(ROTATE_LEFT, x);
        DIAGONAL_ROUND(ROTATE_LEFT, x);
    }
    SC_UNROLL(16)
    for (i = 0; i < 16; i++)
        put_le32(out + 4 * i, x[i] + state[i]);
    state[12]++;
}

/* sc_chacha20_xor: out = in XOR keystream from block number counter on.
 * alias  out may be in, else no overlap.   time  CT(len).
 * bound  the counter must not wrap: len <= 64 (2^32 - counter); records use 257
 *        blocks at most.
 * The AEAD goes its own, faster way in section 6. */
void sc_chacha20_xor(uint8_t *out, const uint8_t *in, size_t len,
                     const uint8_t key[32], const uint8_t nonce[12],
                     uint32_t counter)
{
    uint32_t state[16];
    uint8_t keystream[64];
    size_t i, n;
    chacha20_start(state, key, nonce, counter);
    for (; len > 0; out += n, in += n, len -= n) {
        chacha20_block(keystream, state);
        n = len < 64 ? len : 64;
        for (i = 0; i < n; i++)
            out[i] = in[i] ^ keystream[i];
    }
    sc_wipe(state, sizeof state);
    sc_wipe(keystream, sizeof keystream);
}

/* ---- 5. Poly1305 (RFC 8439 2.5) ------------------------------------------ */

/* The message, cut into numbers c1 c2 ... cq of 16 bytes with a 1 on top, is a
 * polynomial; the tag is its value at a secret point r, plus a secret s:
 *
 *     tag = (c1 r^q + c2 r^(q-1) + ... + cq r mod 2^130 - 5) + s mod 2^128
 *
 * What overflows 2^130 comes back times 5.  There are two ways to hold numbers
 * of 130 bits: limbs of 64, 64 and 2 bits where a product of 128 bits can be
 * had, five limbs of 26 bits elsewhere.  They share all but three functions. */

SC_INLINE void put_le64(uint8_t *p, uint64_t x)
{
    put_le32(p, (uint32_t)x);
    put_le32(p + 4, (uint32_t)(x >> 32));
}

#if SC_WORD_BITS == 64

SC_INLINE uint64_t get_le64(const uint8_t *p)
{
    return (uint64_t)get_le32(p + 4) << 32 | get_le32(p);
}

typedef struct {
    uint64_t r0, r1, r1_5;              /* r1_5 = r1 / 4 * 5 */
    uint64_t h0, h1, h2;
    uint64_t s0, s1;
} poly1305;

/* poly1305_start: r loses 22 bits (2.5: "clamped"): r0, r1 < 2^60, 4 | r1. */
static void poly1305_start(poly1305 *p, const uint8_t key[32])
{
    memset(p, 0, sizeof *p);
    p->r0 = get_le64(key) & 0x0ffffffc0fffffff;
    p->r1 = get_le64(key + 8) & 0x0ffffffc0ffffffc;
    p->r1_5 = p->r1 + (p->r1 >> 2);
    p->s0 = get_le64(key + 16);
    p->s1 = get_le64(key + 24);
}

/* poly1305_block: h = (h + block + top 2^128) r mod 2^130 - 5, up to carries.
 * With w = 2^64 the product is
 *
 *     h0 r0 + (h0 r1 + h1 r0) w + (h1 r1 + h2 r0) w^2 + h2 r1 w^3
 *
 * and since 4 divides r1, r1 w^2 = r1/4 2^130 = r1_5.  Three columns are left.
 * A sum has carried exactly if it is less than what was added.
 * bound  before: h2 <= 4, hence at most 4 + 1 + 1 with top and the carry.
 *        d0, d1 < 2^124 + 1.25 2^124 < 2^126: their upper halves < 2^62;
 *        c = h2 r1_5 + the upper half of d0 < 7.5 2^60 + 2^62 < 2^64;
 *        h2 r0 + the upper half of d1 + 1 <= 6 2^60 + 2^62 < 2^63.4, of which
 *        5/4, what comes back, is below 2^63.7.
 *        after: h2 <= 3 and a carry. */
SC_INLINE void poly1305_block(poly1305 *p, const uint8_t block[16],
                              uint32_t top)
{
    uint64_t m0 = get_le64(block), m1 = get_le64(block + 8), c;
    uint64_t h0 = p->h0 + m0, h1 = p->h1 + m1, h2 = p->h2 + top + (h1 < m1);
    sc_dword d0, d1;
    c = h0 < m0;
    h1 += c;
    h2 += h1 < c;
    d0 = (sc_dword)h0 * p->r0 + (sc_dword)h1 * p->r1_5;
    d1 = (sc_dword)h0 * p->r1 + (sc_dword)h1 * p->r0;
    c = h2 * p->r1_5 + (uint64_t)(d0 >> 64);
    h1 = (uint64_t)d1 + c;
    h2 = h2 * p->r0 + (uint64_t)(d1 >> 64) + (h1 < c);
    c = (h2 >> 2) + (h2 & ~(uint64_t)3);
    h0 = (uint64_t)d0 + c;
    c = h0 < c;
    h1 += c;
    h2 = (h2 & 3) + (h1 < c);
    p->h0 = h0;
    p->h1 = h1;
    p->h2 = h2;
}

/* poly1305_end: tag = (h mod 2^130 - 5) + s mod 2^128; wipes p.
 * bound  h2 <= 4, so h < 2 (2^130 - 5): it is to be reduced, once, exactly if
 *        h + 5 reaches 2^130, and h + 5 is then the remainder mod 2^128. */
static void poly1305_end(poly1305 *p, uint8_t tag[16])
{
    uint64_t g0 = p->h0 + 5, g1 = p->h1 + (g0 < 5);
    uint64_t g2 = p->h2 + (g1 < p->h1);
    sc_word mask = sc_mask_bit(g2 >> 2);
    g0 = sc_select(mask, g0, p->h0) + p->s0;
    g1 = sc_select(mask, g1, p->h1) + p->s1 + (g0 < p->s0);
    put_le64(tag, g0);
    put_le64(tag + 8, g1);
    sc_wipe(p, sizeof *p);
}

#else /* five limbs of 26 bits */

typedef struct {
    uint32_t r[5], h[5];
    uint8_t s[16];
} poly1305;

#define LIMB_26 0x3ffffff

/* poly1305_start: as above; limbs r[0..4] < 2^26. */
static void poly1305_start(poly1305 *p, const uint8_t key[32])
{
    memset(p, 0, sizeof *p);
    p->r[0] = get_le32(key) & 0x3ffffff;
    p->r[1] = get_le32(key + 3) >> 2 & 0x3ffff03;
    p->r[2] = get_le32(key + 6) >> 4 & 0x3ffc0ff;
    p->r[3] = get_le32(key + 9) >> 6 & 0x3f03fff;
    p->r[4] = get_le32(key + 12) >> 8 & 0x00fffff;
    memcpy(p->s, key + 16, 16);
}

/* poly1305_block: as above.
 * bound  before: h[i] < 2^26 + 2^4, hence below 2^27 + 2^4 with a block added.
 *        5 r[j] < 2^28.4, so a column is below 5 2^27.1 2^28.4 < 2^58, and with
 *        a carry below 2^59.  The carry out of the top is below 2^33; times 5,
 *        plus a limb, it is below 2^36, so h[1] receives less than 2^10 more.
 *        That is let stand: h[1] < 2^26 + 2^10, and all of the above holds with
 *        it. */
static void poly1305_block(poly1305 *p, const uint8_t block[16], uint32_t top)
{
    const uint32_t *r = p->r;
    uint32_t *h = p->h;
    uint64_t d[5], carry = 0;
    int i, j;
    h[0] += get_le32(block) & LIMB_26;
    h[1] += get_le32(block + 3) >> 2 & LIMB_26;
    h[2] += get_le32(block + 6) >> 4 & LIMB_26;
    h[3] += get_le32(block + 9) >> 6 & LIMB_26;
    h[4] += get_le32(block + 12) >> 8 | top << 24;
    for (i = 0; i < 5; i++) {
        d[i] = 0;
        for (j = 0; j < 5; j++) {       /* 2^26^5 = 2^130 = 5 */
            uint32_t r_j = j <= i ? r[i - j] : 5 * r[5 + i - j];
            d[i] += (uint64_t)h[j] * r_j;
        }
    }
    for (i = 0; i < 5; i++) {
        d[i] += carry;
        h[i] = (uint32_t)d[i] & LIMB_26;
        carry = d[i] >> 26;
    }
    d[0] = h[0] + 5 * carry;
    h[0] = (uint32_t)d[0] & LIMB_26;
    h[1] += (uint32_t)(d[0] >> 26);
}

/* poly1305_end: as above.
 * bound  only h[1] may be over 2^26, by less than 2^10.  If its carry runs out
 *        at the top, it has left zeros in h[2..4], less than 2^10 in h[1], and
 *        the 5 that comes back goes no further than that.  Then h < 2^130, and
 *        h - (2^130 - 5) is the remainder exactly if h + 5 reaches 2^130. */
static void poly1305_end(poly1305 *p, uint8_t tag[16])
{
    uint32_t *h = p->h, g[5], carry = 0, mask;
    uint64_t sum = 0;
    int i;
    for (i = 1; i < 5; i++) {
        h[i] += carry;
        carry = h[i] >> 26;
        h[i] &= LIMB_26;
    }
    h[0] += 5 * carry;
    h[1] += h[0] >> 26;
    h[0] &= LIMB_26;
    carry = 5;
    for (i = 0; i < 5; i++) {           /* g = h + 5, and whether it is 2^130 */
        g[i] = h[i] + carry;
        carry = g[i] >> 26;
        g[i] &= LIMB_26;
    }
    mask = (uint32_t)sc_mask_bit(carry);
    for (i = 0; i < 5; i++)
        h[i] ^= mask & (h[i] ^ g[i]);
    for (i = 0; i < 4; i++) {           /* 26-bit limbs to 32-bit words */
        sum += (uint64_t)(h[i] >> 6 * i | h[i + 1] << (26 - 6 * i))
             + get_le32(p->s + 4 * i);
        put_le32(tag + 4 * i, (uint32_t)sum);
        sum >>= 32;
    }
    sc_wipe(g, sizeof g);
    sc_wipe(p, sizeof *p);
}

#endif

/* poly1305_whole: n blocks of data.  The copy can live in registers. */
static void poly1305_whole(poly1305 *p, const uint8_t *data, size_t n)
{
    poly1305 mac = *p;
    for (; n > 0; n--, data += 16)
        poly1305_block(&mac, data, 1);
    *p = mac;
}

/* poly1305_padded: data, filled up to whole blocks with zeros: what the AEAD
 * feeds it (2.8). */
static void poly1305_padded(poly1305 *p, const uint8_t *data, size_t len)
{
    uint8_t last[16];
    poly1305_whole(p, data, len / 16);
    if (len % 16 > 0) {
        memset(last, 0, sizeof last);
        memcpy(last, data + len / 16 * 16, len % 16);
        poly1305_whole(p, last, 1);
    }
}

/* sc_poly1305: one message, any length; here a last piece that is not a whole
 * block gets the 1 right behind it (2.5).  time  CT(msg_len). */
void sc_poly1305(uint8_t tag[16], const uint8_t key[32], const uint8_t *msg,
                 size_t msg_len)
{
    poly1305 p;
    uint8_t last[16];
    poly1305_start(&p, key);
    poly1305_whole(&p, msg, msg_len / 16);
    if (msg_len % 16 > 0) {
        memset(last, 0, sizeof last);
        memcpy(last, msg + msg_len / 16 * 16, msg_len % 16);
        last[msg_len % 16] = 1;
        poly1305_block(&p, last, 0);
    }
    poly1305_end(&p, tag);
}

/* ---- 6. AEAD_CHACHA20_POLY1305 (RFC 8439 2.8) ---------------------------- */

/* The ciphertext is plaintext XOR keystream from block 1 on; the tag is
 * Poly1305 of ad | zeros | ciphertext | zeros | both lengths, under a key that
 * is the first half of block 0.
 *
 * Both are done in one pass, in batches of some blocks.  A batch function makes
 * out = in XOR the next blocks of the keystream, and the MAC takes in n blocks
 * of data, ciphertext already: the rounds keep adders and shifters busy and
 * Poly1305 the multiplier, and a processor that looks ahead does both at once.
 * alias  out may be in, and data may be either: data is read before out is
 *        written.   time  CT(n). */
typedef void (*batch_fn)(uint8_t *out, const uint8_t *in, uint32_t state[16],
                         poly1305 *mac, const uint8_t *data, size_t n);
/* chacha20_by_1: a batch of one block, the plain way. */
static void chacha20_by_1(uint8_t *out, const uint8_t *in, uint32_t state[16],
                          poly1305 *mac, const uint8_t *data, size_t n)
{
    uint8_t keystream[64];
    int i;
    poly1305_whole(mac, data, n);
    chacha20_block(keystream, state);
    for (i = 0; i < 64; i++)
        out[i] = in[i] ^ keystream[i];
    sc_wipe(keystream, sizeof keystream);
}

/* Blocks do not depend on each other, so several can be made side by side.
 * With GCC's vectors, x[i] is word i of four blocks, and +, ^, << and >> work
 * on all four: the rounds of section 4 need no change.  After each of the
 * twenty the MAC is due n / 20 blocks more. */
#if defined(__GNUC__) && (defined(__SSE2__) || defined(__ARM_NEON)) \
    && SC_WORD_BITS == 64
typedef uint32_t lanes_4 __attribute__((vector_size(16)));

SC_INLINE void poly1305_due(poly1305 *mac, const uint8_t **data, size_t n,
                            size_t *due)
{
    SC_UNROLL(1)
    for (*due += n; *due >= 20; *due -= 20, *data += 16)
        poly1305_block(mac, *data, 1);
}

/* chacha20_by_4: four blocks.   needs  n <= 16 for an even pace. */
static void chacha20_by_4(uint8_t *out, const uint8_t *in, uint32_t state[16],
                          poly1305 *mac, const uint8_t *data, size_t n)
{
    const lanes_4 zero = { 0, 0, 0, 0 }, number = { 0, 1, 2, 3 };
    lanes_4 x[16];
    uint32_t word[16][4];
    poly1305 m = *mac;
    size_t due = 0;
    int i, lane;
    SC_UNROLL(16)
    for (i = 0; i < 16; i++)
        x[i] = zero + state[i];
    x[12] += number;
    for (i = 0; i < 10; i++) {
        COLUMN_ROUND(ROTATE_LEFT, x);
        poly1305_due(&m, &data, n, &due);
        DIAGONAL_ROUND(ROTATE_LEFT, x);
        poly1305_due(&m, &data, n, &due);
    }
    *mac = m;
    x[12] += number;
    SC_UNROLL(16)
    for (i = 0; i < 16; i++) {
        x[i] += state[i];
        memcpy(word[i], &x[i], sizeof word[i]);
    }
    state[12] += 4;
    for (lane = 0; lane < 4; lane++)
        for (i = 0; i < 16; i++, in += 4, out += 4)
            put_le32(out, get_le32(in) ^ word[i][lane]);
    sc_wipe(word, sizeof word);
}

#define PORTABLE_BATCH chacha20_by_4
#define PORTABLE_LEN 256
#else
#define PORTABLE_BATCH chacha20_by_1
#define PORTABLE_LEN 64
#endif

#ifdef SC_AVX2
#define BATCH_MAX 512
#else
#define BATCH_MAX PORTABLE_LEN
#endif
static batch_fn best_batch(size_t *batch_len);      /* section 6b */

/* wipe_below: a batch function keeps keystream in registers and in stack slots
 * that the compiler picks and C has no name for.  Called from where it was
 * called, this zeroes the stack where its frame was.  Registers, and what the
 * system has saved of them elsewhere, C cannot reach. */
#if defined(__GNUC__)
__attribute__((noinline))
#endif
static void wipe_below(void)
{
    uint8_t frame[BATCH_MAX + 512];
    sc_wipe(frame, sizeof frame);
}

/* sc_aead: out = in XOR keystream, len bytes, and the tag of the ciphertext,
 * which is out, or with SC_AEAD_OPEN in.
 * alias  out may be in; tag may be out + len.   time  CT(lengths).
 * The first batch holds the MAC's key and, behind it, keystream for n bytes.
 * While a later one is enciphered, the MAC takes in the ciphertext of the batch
 * before; while one is deciphered, its own, so that opening more than a batch
 * needs nothing but the key at first.  Less than a batch goes through buf. */
void sc_aead(uint8_t *out, uint8_t tag[16], const uint8_t *in, size_t len,
             const uint8_t key[32], const uint8_t nonce[12], const uint8_t *ad,
             size_t ad_len, int how)
{
    size_t batch_len = PORTABLE_LEN, left, n, before;
    batch_fn batch = PORTABLE_BATCH;
    int is_open = how & SC_AEAD_OPEN, is_whole;
    uint32_t state[16];                 /* secret, as are: */
    uint8_t buf[BATCH_MAX];
    poly1305 mac;
    if (!(how & SC_AEAD_PORTABLE))
        batch = best_batch(&batch_len);
    memset(buf, 0, sizeof buf);
    memset(&mac, 0, sizeof mac);
    chacha20_start(state, key, nonce, 0);
    n = len < batch_len - 64 ? len : batch_len - 64;
    if (is_open && n < len)
        n = 0;
    if (n > 0)
        memcpy(buf + 64, in, n);
    (n > 0 ? batch : chacha20_by_1)(buf, buf, state, &mac, NULL, 0);
    poly1305_start(&mac, buf);
    poly1305_padded(&mac, ad, ad_len);
    if (is_open)
        poly1305_padded(&mac, in, n);
    if (n > 0)
        memcpy(out, buf + 64, n);
    for (left = len - n; left > 0; left -= n) {
        in += n;
        out += n;
        before = n;
        n = left < batch_len ? left : batch_len;
        is_whole = n == batch_len;
        if (!is_whole)
            memcpy(buf, in, n);
        batch(is_whole ? out : buf, is_whole ? in : buf, state, &mac,
              is_open ? in : out - before, (is_open ? n : before) / 16);
        if (is_open)
            poly1305_padded(&mac, in + n / 16 * 16, n % 16);
        if (!is_whole)
            memcpy(out, buf, n);
    }
    if (!is_open)
        poly1305_padded(&mac, out, n);
    put_le64(buf, ad_len);
    put_le64(buf + 8, len);
    poly1305_whole(&mac, buf, 1);
    poly1305_end(&mac, tag);
    sc_wipe(state, sizeof state);
    sc_wipe(buf, sizeof buf);
    wipe_below();
}

/* sc_aead_seal: out = ciphertext | tag, len + 16 bytes.
 * alias  out may be plaintext, else no overlap.   time  CT(lengths). */
void sc_aead_seal(uint8_t *out, const uint8_t key[32], const uint8_t nonce[12],
                  const uint8_t *ad, size_t ad_len, const uint8_t *plaintext,
                  size_t len)
{
    sc_aead(out, out + len, plaintext, len, key, nonce, ad, ad_len,
            SC_AEAD_SEAL);
    SC_PUBLIC(out, len + SC_TAG_LEN);
}

/* sc_aead_open: out = plaintext, box_len - 16 bytes; gives a mask: is the tag
 * right?  Deciphers either way and leaves the verdict to the caller, who must
 * use nothing of out, and wipe it, if the mask is 0.
 * needs  box_len >= 16.   alias  out may be box.   time  CT(lengths). */
sc_word sc_aead_open(uint8_t *out, const uint8_t key[32],
                     const uint8_t nonce[12], const uint8_t *ad, size_t ad_len,
                     const uint8_t *box, size_t box_len)
{
    uint8_t tag[SC_TAG_LEN];
    size_t len = box_len - SC_TAG_LEN;
    sc_word ok;
    sc_aead(out, tag, box, len, key, nonce, ad, ad_len, SC_AEAD_OPEN);
    ok = sc_bytes_equal(tag, box + len, SC_TAG_LEN);
    sc_wipe(tag, sizeof tag);
    return ok;
}

/* ---- 6b. a wider batch, with AVX2 ---------------------------------------- */

#ifdef SC_AVX2

/* chacha20_by_8 is chacha20_by_4 for vectors of eight numbers, compiled for a
 * processor with AVX2 whatever the rest is compiled for.  Two things are worth
 * writing out:
 *
 * To rotate by 16 or 8 bits is to move bytes: one instruction instead of three.
 * clang sees that by itself.
 *
 * In the end, x[i] has word i of each block, but memory wants the words of one
 * block side by side.  A vector is two halves of four numbers, here for blocks
 * 0 to 3 and 4 to 7, and it is cheap to shuffle both in the same way.  The
 * halves of four vectors a b c d become
 *
 *     a0 a1 a2 a3        a0 b0 a1 b1        a0 b0 c0 d0    of block 0 or 4
 *     b0 b1 b2 b3   ->   c0 d0 c1 d1   ->   a1 b1 c1 d1    of block 1 or 5
 *     c0 c1 c2 c3        a2 b2 a3 b3        a2 b2 c2 d2    of block 2 or 6
 *     d0 d1 d2 d3        c2 d2 c3 d3        a3 b3 c3 d3    of block 3 or 7  */
typedef uint32_t lanes_8 __attribute__((vector_size(32)));
typedef uint8_t bytes_32 __attribute__((vector_size(32)));

#if defined(__clang__)
#define SHUFFLE(x, y, i, j, k, l)                                           \
    __builtin_shufflevector(x, y, i, j, k, l, i + 4, j + 4, k + 4, l + 4)
#define ROTATE_BYTES ROTATE_LEFT
#else
#define SHUFFLE(x, y, i, j, k, l)                                           \
    __builtin_shuffle(x, y, __extension__(lanes_8)                          \
                      { i, j, k, l, i + 4, j + 4, k + 4, l + 4 })
static const bytes_32 rotate_16 = {
    2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
    18, 19, 16, 17, 22, 23, 20, 21, 26, 27, 24, 25, 30, 31, 28, 29
};
static const bytes_32 rotate_8 = {
    3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14,
    19, 16, 17, 18, 23, 20, 21, 22, 27, 24, 25, 26, 31, 28, 29, 30
};
#define ROTATE_BYTES(x, n)                                                  \
    ((n) == 16 ? (lanes_8)__builtin_shuffle((bytes_32)(x), rotate_16)       \
     : (n) == 8 ? (lanes_8)__builtin_shuffle((bytes_32)(x), rotate_8)       \
     : ROTATE_LEFT(x, n))
#endif

/* chacha20_by_8: eight blocks.   needs  n <= 32 for an even pace. */
__attribute__((target("avx2")))
static void chacha20_by_8(uint8_t *out, const uint8_t *in, uint32_t state[16],
                          poly1305 *mac, const uint8_t *data, size_t n)
{
    const lanes_8 zero = { 0, 0, 0, 0, 0, 0, 0, 0 };
    const lanes_8 number = { 0, 1, 2, 3, 4, 5, 6, 7 };
    lanes_8 x[16], t[4], y[4];
    poly1305 m = *mac;
    size_t due = 0;
    int i, j;
    SC_UNROLL(16)
    for (i = 0; i < 16; i++)
        x[i] = zero + state[i];
    x[12] += number;
    for (i = 0; i < 10; i++) {
        COLUMN_ROUND(ROTATE_BYTES, x);
        poly1305_due(&m, &data, n, &due);
        DIAGONAL_ROUND(ROTATE_BYTES, x);
        poly1305_due(&m, &data, n, &due);
    }
    *mac = m;
    x[12] += number;
    SC_UNROLL(16)
    for (i = 0; i < 16; i++)
        x[i] += state[i];
    state[12] += 8;
    SC_UNROLL(16)
    for (i = 0; i < 16; i += 4) {
        t[0] = SHUFFLE(x[i], x[i + 1], 0, 8, 1, 9);
        t[1] = SHUFFLE(x[i + 2], x[i + 3], 0, 8, 1, 9);
        t[2] = SHUFFLE(x[i], x[i + 1], 2, 10, 3, 11);
        t[3] = SHUFFLE(x[i + 2], x[i + 3], 2, 10, 3, 11);
        y[0] = SHUFFLE(t[0], t[1], 0, 1, 8, 9);
        y[1] = SHUFFLE(t[0], t[1], 2, 3, 10, 11);
        y[2] = SHUFFLE(t[2], t[3], 0, 1, 8, 9);
        y[3] = SHUFFLE(t[2], t[3], 2, 3, 10, 11);
        SC_UNROLL(16)
        for (j = 0; j < 4; j++) {       /* blocks j and j + 4 */
            lanes_4 half[2], z;
            memcpy(half, &y[j], sizeof half);
            memcpy(&z, in + 64 * j + 4 * i, sizeof z);
            z ^= half[0];
            memcpy(out + 64 * j + 4 * i, &z, sizeof z);
            memcpy(&z, in + 64 * (j + 4) + 4 * i, sizeof z);
            z ^= half[1];
            memcpy(out + 64 * (j + 4) + 4 * i, &z, sizeof z);
        }
    }
}

#endif

/* best_batch: the widest that this processor can do, and its bytes. */
static batch_fn best_batch(size_t *batch_len)
{
#ifdef SC_AVX2
    if (__builtin_cpu_supports("avx2")) {
        *batch_len = 512;
        return chacha20_by_8;
    }
#endif
    *batch_len = PORTABLE_LEN;
    return PORTABLE_BATCH;
}

/* ---- 7. which frame may come now ----------------------------------------- */

static void trace(const sc_channel *ch, const char *sender, const char *name,
                  const uint8_t *bytes, size_t len)
{
    if (ch->trace != NULL)
        ch->trace(ch->trace_ctx, sender, name, bytes, len);
}

/* release_short_key: this channel's M3 has been opened, or never will be.  A
 * key that was replaced is wiped when the last of its handshakes is over. */
static void release_short_key(sc_channel *ch)
{
    sc_short_key *k = ch->short_key;
    if (k == NULL)
        return;
    ch->short_key = NULL;
    if (k->number != ch->short_key_number)
        return;                         /* it was taken away: see tick */
    k->in_flight--;
    if (k->in_flight == 0 && k != &ch->server->short_key[ch->server->current])
        sc_wipe(k, sizeof *k);
}

/* sc_fail: the first error stays; secrets that no CLOSE needs go at once. */
int sc_fail(sc_channel *ch, int error)
{
    if (ch->error == SC_OK) {
        ch->error = error < 0 ? error : SC_ERR_INTERNAL;
        ch->is_ready = 0;
        release_short_key(ch);
        sc_wipe(&ch->transcript, sizeof ch->transcript);
        sc_wipe(ch->k_confirm, sizeof ch->k_confirm);
        sc_wipe(ch->k_chain, sizeof ch->k_chain);
        sc_wipe(ch->k_proof, sizeof ch->k_proof);
        sc_wipe(&ch->receiving, sizeof ch->receiving);
    }
    return ch->error;
}

static size_t host_key_len(const sc_channel *ch)
{
    return ch->is_server ? ch->server->options.host_key->pub.n_len
                         : ch->peer.n_len;
}

/* may_come: is a frame of this type and length what this channel waits for?
 * Everything is known before the body: M3's length from the host key, M4's from
 * the key that the client named. */
static int may_come(const sc_channel *ch, int type, size_t len)
{
    size_t m3 = host_key_len(ch) + KE_LEN + SC_TAG_LEN;
    size_t m4 = ch->client.identity == NULL ? SC_TAG_LEN
              : ch->client.identity->pub.n_len + SC_TAG_LEN;
    switch (ch->state) {
    case WAIT_M1:
        return type == KEY_REQUEST && len == 0;
    case WAIT_M2:
        return type == PUBLIC_KEYS
            && len >= RANDOM_LEN + KE_LEN + SC_MODULUS_MIN
            && len <= RANDOM_LEN + KE_LEN + SC_MODULUS_MAX;
    case WAIT_M3:
        return type == SESSION_KEY
            && (len == m3 || (len >= m3 + SC_MODULUS_MIN
                              && len <= m3 + SC_MODULUS_MAX));
    case WAIT_M4:
        return type == CONFIRM && len == m4;
    case WAIT_M5:
        return type == CLIENT_CONFIRM && len == SC_TAG_LEN;
    default:
        return (type == DATA && len >= SC_TAG_LEN
                && len <= SC_RECORD_MAX + SC_TAG_LEN)
            || (type == DATA_MORE && len >= 1 + SC_TAG_LEN
                && len <= SC_RECORD_MAX + SC_TAG_LEN)
            || (type == CLOSE && len == 1 + SC_TAG_LEN);
    }
}

int sc_frame_len(sc_channel *ch, const uint8_t header[SC_HEADER_LEN],
                 size_t *frame_len)
{
    size_t len = (size_t)header[2] << 8 | header[3];
    *frame_len = 0;
    if (ch->error != SC_OK)
        return ch->error;
    if (ch->state == 0)
        return SC_ERR_STATE;
    if (ch->got_close)
        return sc_fail(ch, SC_ERR_CLOSE);
    if (header[1] != WIRE_VERSION || !may_come(ch, header[0], len))
        return sc_fail(ch, SC_ERR_FRAME);
    *frame_len = SC_HEADER_LEN + len;
    return SC_OK;
}

/* ---- 8. key schedule ----------------------------------------------------- */

/*   s1 | s2 --Extract, T3--> HS --+--> k_identity
 *                                 +--> k_confirm
 *                                 +--> k_chain | s3 --Extract, T5--> MS
 *   MS --+--> k_client, k_server: records    +--> k_proof    +--> session_id */

static void transcript_add(sc_channel *ch, const uint8_t *bytes, size_t len)
{
    sc_sha256_add(&ch->transcript, bytes, len);
}

/* transcript_hash: t = H(everything said so far): T2, T3, T4 or T5. */
static void transcript_hash(const sc_channel *ch, const char *name,
                            uint8_t t[SC_HASH_LEN])
{
    sc_sha256_end(&ch->transcript, t);
    trace(ch, "both", name, t, SC_HASH_LEN);
}

static void expand(const sc_channel *ch, uint8_t key[32], const uint8_t prk[32],
                   const char *name, const char *label)
{
    sc_hkdf_expand(prk, label, strlen(label), key, 32);
    trace(ch, "both", name, key, 32);
}

/* handshake_keys: from s1 | s2. */
static void handshake_keys(sc_channel *ch, const uint8_t t3[SC_HASH_LEN],
                           const uint8_t s1_s2[2 * SECRET_LEN],
                           uint8_t k_identity[32])
{
    uint8_t hs[SC_HASH_LEN];
    trace(ch, "both", "s1", s1_s2, SECRET_LEN);
    trace(ch, "both", "s2", s1_s2 + SECRET_LEN, SECRET_LEN);
    sc_hkdf_extract(hs, t3, SC_HASH_LEN, s1_s2, 2 * SECRET_LEN);
    trace(ch, "both", "HS", hs, sizeof hs);
    expand(ch, k_identity, hs, "k_identity", "secchan/1 client identity");
    expand(ch, ch->k_confirm, hs, "k_confirm", "secchan/1 server confirm");
    expand(ch, ch->k_chain, hs, "k_chain", "secchan/1 chain");
    sc_wipe(hs, sizeof hs);
}

/* session_keys: from k_chain | s3; s3_len is 0 for an anonymous client. */
static void session_keys(sc_channel *ch, const uint8_t t5[SC_HASH_LEN],
                         const uint8_t *s3, size_t s3_len)
{
    uint8_t ms[SC_HASH_LEN], ikm[SC_HASH_LEN + SECRET_LEN];
    sc_direction *client = ch->is_server ? &ch->receiving : &ch->sending;
    sc_direction *server = ch->is_server ? &ch->sending : &ch->receiving;
    memcpy(ikm, ch->k_chain, SC_HASH_LEN);
    memcpy(ikm + SC_HASH_LEN, s3, s3_len);
    if (s3_len > 0)
        trace(ch, "both", "s3", s3, s3_len);
    sc_hkdf_extract(ms, t5, SC_HASH_LEN, ikm, SC_HASH_LEN + s3_len);
    trace(ch, "both", "MS", ms, sizeof ms);
    expand(ch, client->key, ms, "k_client", "secchan/1 client to server");
    expand(ch, server->key, ms, "k_server", "secchan/1 server to client");
    expand(ch, ch->k_proof, ms, "k_proof", "secchan/1 client confirm");
    expand(ch, ch->session_id, ms, "session_id", "secchan/1 session id");
    SC_PUBLIC(ch->session_id, sizeof ch->session_id);
    sc_wipe(ms, sizeof ms);
    sc_wipe(ikm, sizeof ikm);
    sc_wipe(ch->k_chain, sizeof ch->k_chain);
    sc_wipe(ch->k_confirm, sizeof ch->k_confirm);
}

/* ---- 9. handshake, a function per message -------------------------------- */

/* Each label names the key that opens the ciphertext, and the conversation it
 * belongs to: one cannot be moved into another place or session. */
#define LABEL_HOST "secchan/1 host key"
#define LABEL_SHORT "secchan/1 short-lived key"
#define LABEL_CLIENT "secchan/1 client key"
#define LABEL_MAX 64

static size_t make_label(uint8_t label[LABEL_MAX], const char *text,
                         const uint8_t t[SC_HASH_LEN])
{
    size_t n = strlen(text);
    memcpy(label, text, n);
    memcpy(label + n, t, SC_HASH_LEN);
    return n + SC_HASH_LEN;
}

/* make_secret: a fresh secret, and its OAEP for whoever has the other half of
 * key. */
static int make_secret(const sc_channel *ch, const sc_public_key *key,
                       const char *text, const uint8_t t[SC_HASH_LEN],
                       uint8_t secret[SECRET_LEN], uint8_t *ciphertext)
{
    uint8_t label[LABEL_MAX];
    size_t label_len = make_label(label, text, t);
    if (ch->random(ch->random_ctx, secret, SECRET_LEN) != SC_OK)
        return SC_ERR_RANDOM;
    SC_SECRET(secret, SECRET_LEN);
    return sc_oaep_encrypt(key, label, label_len, secret, SECRET_LEN,
                           ciphertext, ch->random, ch->random_ctx);
}

/* open_secret: the other side of it.  *ok is a mask, not to be looked at yet;
 * the result is only ever about random bytes. */
static int open_secret(const sc_channel *ch, const sc_private_key *key,
                       const char *text, const uint8_t t[SC_HASH_LEN],
                       const uint8_t *ciphertext, uint8_t secret[SECRET_LEN],
                       sc_word *ok)
{
    uint8_t label[LABEL_MAX];
    size_t label_len = make_label(label, text, t);
    return sc_oaep_decrypt(key, label, label_len, ciphertext, secret,
                           SECRET_LEN, ok, ch->random, ch->random_ctx);
}

/* M1, the client: give me your keys. */
static void client_make_m1(sc_channel *ch, uint8_t *out, size_t *out_len)
{
    put_header(out, KEY_REQUEST, 0);
    *out_len = SC_HEADER_LEN;
    trace(ch, "client", "M1 KEY_REQUEST header", out, SC_HEADER_LEN);
    transcript_add(ch, out, SC_HEADER_LEN);
    ch->state = WAIT_M2;
}

/* M2, the server:  header | server random, 32 | Ke, 256 | Kh */
static int server_make_m2(sc_channel *ch, uint8_t *out, size_t *out_len)
{
    const sc_public_key *kh = &ch->server->options.host_key->pub;
    sc_short_key *ke = &ch->server->short_key[ch->server->current];
    uint8_t *random = out + SC_HEADER_LEN;
    uint8_t *ke_at = random + RANDOM_LEN, *kh_at = ke_at + KE_LEN;
    size_t body_len = RANDOM_LEN + KE_LEN + kh->n_len;
    put_header(out, PUBLIC_KEYS, body_len);
    if (ch->random(ch->random_ctx, random, RANDOM_LEN) != SC_OK)
        return SC_ERR_RANDOM;
    memcpy(ke_at, ke->key.pub.n, KE_LEN);
    memcpy(kh_at, kh->n, kh->n_len);
    ch->short_key = ke;                 /* M3 is opened with this very key */
    ch->short_key_number = ke->number;
    ke->in_flight++;
    ke->shown++;
    *out_len = SC_HEADER_LEN + body_len;
    trace(ch, "server", "M2 PUBLIC_KEYS header", out, SC_HEADER_LEN);
    trace(ch, "server", "server random", random, RANDOM_LEN);
    trace(ch, "server", "Ke", ke_at, KE_LEN);
    trace(ch, "server", "Kh", kh_at, kh->n_len);
    transcript_add(ch, out, *out_len);
    ch->state = WAIT_M3;
    return SC_OK;
}

/* judge_host: does the client believe this host key?  Exactly one of three ways
 * to tell has been given. */
static int judge_host(const sc_channel *ch)
{
    char shown[SC_FINGERPRINT_MAX];
    int e;
    if (ch->client.pin != NULL) {
        sc_fingerprint(&ch->peer, shown);
        return strcmp(shown, ch->client.pin) == 0 ? SC_OK : SC_ERR_PIN;
    }
    if (ch->client.judge_host == NULL)
        return SC_OK;                   /* accept_any_host_insecure */
    e = ch->client.judge_host(ch->client.judge_ctx, &ch->peer);
    return e > 0 ? SC_ERR_INTERNAL : e; /* only SC_OK is a yes */
}

/* M3, the client:  header | C1, as long as Kh | C2, 256 | identity box
 * C1 and C2 carry a secret each: one that only the host can open, and one that
 * nobody can any more once the short-lived key is gone. */
static int client_make_m3(sc_channel *ch, const sc_public_key *ke, uint8_t *out,
                          size_t *out_len)
{
    const sc_private_key *identity = ch->client.identity;
    uint8_t t2[SC_HASH_LEN], t3[SC_HASH_LEN];
    uint8_t s1_s2[2 * SECRET_LEN], k_identity[32];
    size_t kc_len = identity == NULL ? 0 : identity->pub.n_len;
    size_t box_len = kc_len + SC_TAG_LEN;
    uint8_t *c1 = out + SC_HEADER_LEN, *c2 = c1 + ch->peer.n_len;
    uint8_t *box = c2 + KE_LEN;
    int e;
    put_header(out, SESSION_KEY, ch->peer.n_len + KE_LEN + box_len);
    trace(ch, "client", "M3 SESSION_KEY header", out, SC_HEADER_LEN);
    transcript_hash(ch, "T2", t2);
    e = make_secret(ch, &ch->peer, LABEL_HOST, t2, s1_s2, c1);
    if (e == SC_OK)
        e = make_secret(ch, ke, LABEL_SHORT, t2, s1_s2 + SECRET_LEN, c2);
    if (e == SC_OK) {
        transcript_add(ch, out, (size_t)(box - out));
        transcript_hash(ch, "T3", t3);
        handshake_keys(ch, t3, s1_s2, k_identity);
        sc_aead_seal(box, k_identity, nonce_0, t3, sizeof t3,
                     identity == NULL ? NULL : identity->pub.n, kc_len);
        transcript_add(ch, box, box_len);
        *out_len = (size_t)(box - out) + box_len;
        trace(ch, "client", "C1", c1, ch->peer.n_len);
        trace(ch, "client", "C2", c2, KE_LEN);
        trace(ch, "client", "P", identity == NULL ? NULL : identity->pub.n,
              kc_len);
        trace(ch, "client", "identity box", box, box_len);
        ch->state = WAIT_M4;
    }
    sc_wipe(s1_s2, sizeof s1_s2);
    sc_wipe(k_identity, sizeof k_identity);
    return e;
}

/* M2, the client: are these keys, and is it the host that is meant? */
static int client_take_m2(sc_channel *ch, const uint8_t *m2, size_t m2_len,
                          uint8_t *out, size_t *out_len)
{
    const uint8_t *ke_at = m2 + SC_HEADER_LEN + RANDOM_LEN;
    const uint8_t *kh_at = ke_at + KE_LEN;
    sc_public_key ke;
    int e;
    memset(&ke, 0, sizeof ke);
    ke.n_len = KE_LEN;
    memcpy(ke.n, ke_at, KE_LEN);
    ch->peer.n_len = m2_len - (size_t)(kh_at - m2);
    memcpy(ch->peer.n, kh_at, ch->peer.n_len);
    trace(ch, "server", "M2 PUBLIC_KEYS header", m2, SC_HEADER_LEN);
    trace(ch, "server", "server random", m2 + SC_HEADER_LEN, RANDOM_LEN);
    trace(ch, "server", "Ke", ke_at, KE_LEN);
    trace(ch, "server", "Kh", kh_at, ch->peer.n_len);
    if (sc_public_check(&ke) != SC_OK || sc_public_check(&ch->peer) != SC_OK)
        return SC_ERR_PUBLIC_KEY;
    if (sc_public_equal(&ke, &ch->peer))
        return SC_ERR_SAME_KEYS;
    e = judge_host(ch);
    if (e != SC_OK)
        return e;
    transcript_add(ch, m2, m2_len);
    return client_make_m3(ch, &ke, out, out_len);
}

/* M4, the server:  header | confirm box: Q; nothing for a client without key.
 * Q asks the client to prove that the key it named is its own. */
static int server_make_m4(sc_channel *ch, uint8_t *out, size_t *out_len)
{
    uint8_t t4[SC_HASH_LEN], t5[SC_HASH_LEN], s3[SECRET_LEN];
    uint8_t ad[SC_HEADER_LEN + SC_HASH_LEN];
    uint8_t *box = out + SC_HEADER_LEN;
    size_t kc_len = ch->peer.n_len, s3_len = kc_len == 0 ? 0 : SECRET_LEN;
    int e;
    put_header(out, CONFIRM, kc_len + SC_TAG_LEN);
    trace(ch, "server", "M4 CONFIRM header", out, SC_HEADER_LEN);
    transcript_hash(ch, "T4", t4);
    memcpy(ad, out, SC_HEADER_LEN);
    memcpy(ad + SC_HEADER_LEN, t4, SC_HASH_LEN);
    if (kc_len > 0) {
        e = make_secret(ch, &ch->peer, LABEL_CLIENT, t4, s3, box);
        if (e != SC_OK) {
            sc_wipe(s3, sizeof s3);
            return e;
        }
        trace(ch, "server", "Q", box, kc_len);
    }
    sc_aead_seal(box, ch->k_confirm, nonce_0, ad, sizeof ad, box, kc_len);
    *out_len = SC_HEADER_LEN + kc_len + SC_TAG_LEN;
    trace(ch, "server", "confirm box", box, kc_len + SC_TAG_LEN);
    transcript_add(ch, out, *out_len);
    transcript_hash(ch, "T5", t5);
    session_keys(ch, t5, s3, s3_len);
    sc_wipe(s3, sizeof s3);
    ch->state = kc_len > 0 ? WAIT_M5 : OPEN;
    if (kc_len > 0)
        return SC_OK;
    sc_wipe(&ch->transcript, sizeof ch->transcript);
    sc_wipe(ch->k_proof, sizeof ch->k_proof);
    if (ch->server->options.require_client_key)
        return SC_ERR_ANONYMOUS;        /* after M4, so that it can be said */
    ch->is_ready = 1;
    return SC_OK;
}

/* server_open_m3: what M3 holds.  Both ciphertexts are opened whatever one of
 * them gives, the box whatever both give, and the outcome is looked at once, at
 * the end: nothing before the VERDICT depends on a secret (Bleichenbacher 1998,
 * Manger 2001). */
static int server_open_m3(sc_channel *ch, uint8_t *m3, size_t m3_len)
{
    const sc_private_key *host_key = ch->server->options.host_key;
    uint8_t *c1 = m3 + SC_HEADER_LEN, *c2 = c1 + host_key->pub.n_len;
    uint8_t *box = c2 + KE_LEN;
    size_t box_len = m3_len - (size_t)(box - m3);
    uint8_t t2[SC_HASH_LEN], t3[SC_HASH_LEN];
    uint8_t s1_s2[2 * SECRET_LEN], k_identity[32];
    sc_word ok1, ok2, ok;
    int e1, e2;
    trace(ch, "client", "M3 SESSION_KEY header", m3, SC_HEADER_LEN);
    trace(ch, "client", "C1", c1, host_key->pub.n_len);
    trace(ch, "client", "C2", c2, KE_LEN);
    trace(ch, "client", "identity box", box, box_len);
    transcript_hash(ch, "T2", t2);
    e1 = open_secret(ch, host_key, LABEL_HOST, t2, c1, s1_s2, &ok1);
    e2 = open_secret(ch, &ch->short_key->key, LABEL_SHORT, t2, c2,
                     s1_s2 + SECRET_LEN, &ok2);
    release_short_key(ch);
    transcript_add(ch, m3, (size_t)(box - m3));
    transcript_hash(ch, "T3", t3);
    handshake_keys(ch, t3, s1_s2, k_identity);
    transcript_add(ch, box, box_len);
    ch->peer.n_len = box_len - SC_TAG_LEN;
    ok = ok1 & ok2 & sc_aead_open(ch->peer.n, k_identity, nonce_0, t3,
                                  sizeof t3, box, box_len);
    sc_wipe(s1_s2, sizeof s1_s2);
    sc_wipe(k_identity, sizeof k_identity);
    if (e1 != SC_OK || e2 != SC_OK)
        return SC_ERR_RANDOM;
    SC_PUBLIC(&ok, sizeof ok);
    if (!ok)                            /* VERDICT */
        return SC_ERR_HANDSHAKE;
    SC_PUBLIC(ch->peer.n, ch->peer.n_len);
    trace(ch, "client", "P", ch->peer.n, ch->peer.n_len);
    return SC_OK;
}

static int server_take_m3(sc_channel *ch, uint8_t *m3, size_t m3_len,
                          uint8_t *out, size_t *out_len)
{
    int e = SC_ERR_TIMEOUT;
    if (ch->short_key->number == ch->short_key_number)
        e = server_open_m3(ch, m3, m3_len);
    if (e == SC_OK && ch->peer.n_len > 0 && sc_public_check(&ch->peer) != SC_OK)
        e = SC_ERR_HANDSHAKE;
    if (e == SC_OK)
        return server_make_m4(ch, out, out_len);
    sc_wipe(&ch->peer, sizeof ch->peer);
    return e;
}

/* M5, the client:  header | proof box: nothing but a tag, which only somebody
 * who opened Q can make. */
static void client_make_m5(sc_channel *ch, const uint8_t t5[SC_HASH_LEN],
                           uint8_t *out, size_t *out_len)
{
    uint8_t ad[SC_HEADER_LEN + SC_HASH_LEN];
    put_header(out, CLIENT_CONFIRM, SC_TAG_LEN);
    memcpy(ad, out, SC_HEADER_LEN);
    memcpy(ad + SC_HEADER_LEN, t5, SC_HASH_LEN);
    sc_aead_seal(out + SC_HEADER_LEN, ch->k_proof, nonce_0, ad, sizeof ad,
                 NULL, 0);
    *out_len = SC_HEADER_LEN + SC_TAG_LEN;
    trace(ch, "client", "M5 CLIENT_CONFIRM header", out, SC_HEADER_LEN);
    trace(ch, "client", "proof box", out + SC_HEADER_LEN, SC_TAG_LEN);
}

/* M4, the client: the server has opened M3, so it holds the host key.  The OAEP
 * inside is opened whether or not the box is good: one error for both. */
static int client_take_m4(sc_channel *ch, const uint8_t *m4, size_t m4_len,
                          uint8_t *out, size_t *out_len)
{
    uint8_t t4[SC_HASH_LEN], t5[SC_HASH_LEN], s3[SECRET_LEN];
    uint8_t q[SC_MODULUS_MAX], ad[SC_HEADER_LEN + SC_HASH_LEN];
    size_t box_len = m4_len - SC_HEADER_LEN, q_len = box_len - SC_TAG_LEN;
    sc_word ok, ok3;
    int e = SC_OK;
    trace(ch, "server", "M4 CONFIRM header", m4, SC_HEADER_LEN);
    trace(ch, "server", "confirm box", m4 + SC_HEADER_LEN, box_len);
    transcript_hash(ch, "T4", t4);
    memcpy(ad, m4, SC_HEADER_LEN);
    memcpy(ad + SC_HEADER_LEN, t4, SC_HASH_LEN);
    ok = sc_aead_open(q, ch->k_confirm, nonce_0, ad, sizeof ad,
                      m4 + SC_HEADER_LEN, box_len);
    if (q_len > 0) {
        e = open_secret(ch, ch->client.identity, LABEL_CLIENT, t4, q, s3, &ok3);
        ok &= ok3;
    }
    SC_PUBLIC(&ok, sizeof ok);
    if (e == SC_OK && !ok)              /* VERDICT */
        e = SC_ERR_HANDSHAKE;
    if (e == SC_OK) {
        if (q_len > 0)
            trace(ch, "server", "Q", q, q_len);
        transcript_add(ch, m4, m4_len);
        transcript_hash(ch, "T5", t5);
        session_keys(ch, t5, s3, q_len > 0 ? SECRET_LEN : 0);
        if (q_len > 0)
            client_make_m5(ch, t5, out, out_len);
        sc_wipe(&ch->transcript, sizeof ch->transcript);
        sc_wipe(ch->k_proof, sizeof ch->k_proof);
        ch->state = OPEN;
        ch->is_ready = 1;
    }
    sc_wipe(s3, sizeof s3);
    sc_wipe(q, sizeof q);
    return e;
}

/* M5, the server: only now is it known that the client holds the key it named,
 * and only now is it looked up: who only knows a public key learns nothing. */
static int server_take_m5(sc_channel *ch, const uint8_t *m5)
{
    const sc_server_options *o = &ch->server->options;
    uint8_t t5[SC_HASH_LEN], ad[SC_HEADER_LEN + SC_HASH_LEN], nothing[1];
    sc_word ok;
    int e;
    trace(ch, "client", "M5 CLIENT_CONFIRM header", m5, SC_HEADER_LEN);
    trace(ch, "client", "proof box", m5 + SC_HEADER_LEN, SC_TAG_LEN);
    sc_sha256_end(&ch->transcript, t5);
    memcpy(ad, m5, SC_HEADER_LEN);
    memcpy(ad + SC_HEADER_LEN, t5, SC_HASH_LEN);
    ok = sc_aead_open(nothing, ch->k_proof, nonce_0, ad, sizeof ad,
                      m5 + SC_HEADER_LEN, SC_TAG_LEN);
    SC_PUBLIC(&ok, sizeof ok);
    if (!ok)                            /* VERDICT */
        return SC_ERR_HANDSHAKE;
    sc_wipe(&ch->transcript, sizeof ch->transcript);
    sc_wipe(ch->k_proof, sizeof ch->k_proof);
    ch->state = OPEN;                   /* from here on a CLOSE can be said */
    if (o->authorise == NULL)
        return SC_ERR_NOT_AUTHORISED;
    e = o->authorise(o->authorise_ctx, &ch->peer);
    ch->is_ready = e == SC_OK;
    return e > 0 ? SC_ERR_NOT_AUTHORISED : e;   /* only SC_OK is a yes */
}

/* ---- 10. records --------------------------------------------------------- */

/* A record is a frame whose body is sealed with the direction's key, the header
 * as additional data, and the record's number as nonce: no nonce comes twice
 * under a key, and a record that was changed, repeated, dropped or moved does
 * not open.  Each direction replaces its key after 65536 records, so that a key
 * that is stolen later opens no more than these. */

static void record_nonce(uint8_t nonce[12], const sc_direction *d)
{
    memset(nonce, 0, 12);
    put_le32(nonce + 4, d->counter);    /* 8 bytes, little-endian; < 2^16 */
}

static void count_record(sc_direction *d)
{
    static const char label[] = "secchan/1 rekey";
    if (++d->counter < RECORDS_PER_KEY)
        return;
    sc_hkdf_expand(d->key, label, sizeof label - 1, d->key, sizeof d->key);
    d->counter = 0;
}

static const char *record_name(int type)
{
    return type == DATA ? "DATA header" : type == DATA_MORE ? "DATA_MORE header"
                                                            : "CLOSE header";
}

/* record_seal: frame = header | AEAD(plaintext); plaintext may be where the
 * ciphertext goes. */
static size_t record_seal(sc_channel *ch, int type, const uint8_t *plaintext,
                          size_t len, uint8_t *frame)
{
    const char *sender = ch->is_server ? "server" : "client";
    uint8_t nonce[12], *box = frame + SC_HEADER_LEN;
    put_header(frame, type, len + SC_TAG_LEN);
    record_nonce(nonce, &ch->sending);
    trace(ch, sender, record_name(type), frame, SC_HEADER_LEN);
    trace(ch, sender, "plaintext", plaintext, len);
    sc_aead_seal(box, ch->sending.key, nonce, frame, SC_HEADER_LEN, plaintext,
                 len);
    trace(ch, sender, "ciphertext", box, len);
    trace(ch, sender, "tag", box + len, SC_TAG_LEN);
    count_record(&ch->sending);
    return SC_HEADER_LEN + len + SC_TAG_LEN;
}

/* take_close: the peer has sent CLOSE with this reason. */
static int take_close(sc_channel *ch, int reason, sc_event *event)
{
    static const int error[4] = {
        SC_OK, SC_ERR_REFUSED, SC_ERR_PEER_PROTOCOL, SC_ERR_PEER_INTERNAL
    };
    if (reason > CLOSE_INTERNAL || (reason == CLOSE_DONE && ch->getting_part))
        return SC_ERR_CLOSE;
    ch->got_close = 1;
    event->kind = SC_EVENT_CLOSED;
    return error[reason];
}

/* take_record: open a record in place; what fails is wiped, not released. */
static int take_record(sc_channel *ch, uint8_t *frame, size_t frame_len,
                       sc_event *event)
{
    const char *sender = ch->is_server ? "client" : "server";
    uint8_t nonce[12], *text = frame + SC_HEADER_LEN;
    size_t box_len = frame_len - SC_HEADER_LEN, len = box_len - SC_TAG_LEN;
    sc_word ok;
    trace(ch, sender, record_name(frame[0]), frame, SC_HEADER_LEN);
    trace(ch, sender, "ciphertext", text, len);
    trace(ch, sender, "tag", text + len, SC_TAG_LEN);
    record_nonce(nonce, &ch->receiving);
    ok = sc_aead_open(text, ch->receiving.key, nonce, frame, SC_HEADER_LEN,
                      text, box_len);
    SC_PUBLIC(&ok, sizeof ok);
    if (!ok) {                          /* VERDICT */
        sc_wipe(text, box_len);
        return SC_ERR_RECORD;
    }
    trace(ch, sender, "plaintext", text, len);
    count_record(&ch->receiving);
    if (frame[0] == CLOSE) {
        SC_PUBLIC(text, len);
        return take_close(ch, text[0], event);
    }
    ch->getting_part = frame[0] == DATA_MORE;
    event->kind = ch->getting_part ? SC_EVENT_PART : SC_EVENT_MESSAGE;
    event->data = text;
    event->data_len = len;
    return SC_OK;
}

/* ---- 11. the layer without I/O ------------------------------------------- */

static int is_fingerprint(const char *s)
{
    size_t i;
    if (strlen(s) != SC_FINGERPRINT_MAX - 1 || memcmp(s, "SHA256:", 7) != 0)
        return 0;
    for (i = 7; s[i] != '\0'; i++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                   "0123456789+/", s[i]) == NULL)
            return 0;
    return 1;
}

/* check_options: before anything is sent, or anybody called. */
static int check_options(const sc_client_options *options)
{
    if (options == NULL
        || (options->pin != NULL) + (options->judge_host != NULL)
           + (options->accept_any_host_insecure != 0) != 1)
        return SC_ERR_NO_JUDGE;
    if (options->pin != NULL && !is_fingerprint(options->pin))
        return SC_ERR_PIN_FORMAT;
    if (options->identity != NULL
        && sc_public_check(&options->identity->pub) != SC_OK)
        return SC_ERR_PUBLIC_KEY;
    return SC_OK;
}

int sc_client_init(sc_channel *ch, const sc_client_options *options,
                   uint8_t *out, size_t *out_len)
{
    int e = check_options(options);
    memset(ch, 0, sizeof *ch);
    *out_len = 0;
    if (e != SC_OK)
        return e;
    ch->client = *options;
    ch->trace = options->trace;
    ch->trace_ctx = options->trace_ctx;
    ch->random = sc_os_random;
    sc_sha256_init(&ch->transcript);
    client_make_m1(ch, out, out_len);
    return SC_OK;
}

int sc_server_accept(sc_channel *ch, sc_server *server)
{
    memset(ch, 0, sizeof *ch);
    if (server == NULL || !server->short_key[server->current].is_alive)
        return SC_ERR_ARGUMENT;
    ch->is_server = 1;
    ch->server = server;
    ch->trace = server->options.trace;
    ch->trace_ctx = server->options.trace_ctx;
    ch->random = sc_os_random;
    sc_sha256_init(&ch->transcript);
    ch->state = WAIT_M1;
    return SC_OK;
}

/* take_frame: the frame is of a kind and length that may come now. */
static int take_frame(sc_channel *ch, uint8_t *frame, size_t len,
                      sc_event *event, uint8_t *out, size_t *out_len)
{
    switch (ch->state) {
    case WAIT_M1:
        trace(ch, "client", "M1 KEY_REQUEST header", frame, SC_HEADER_LEN);
        transcript_add(ch, frame, SC_HEADER_LEN);
        return server_make_m2(ch, out, out_len);
    case WAIT_M2:
        return client_take_m2(ch, frame, len, out, out_len);
    case WAIT_M3:
        return server_take_m3(ch, frame, len, out, out_len);
    case WAIT_M4:
        return client_take_m4(ch, frame, len, out, out_len);
    case WAIT_M5:
        return server_take_m5(ch, frame);
    default:
        return take_record(ch, frame, len, event);
    }
}

int sc_input(sc_channel *ch, uint8_t *frame, size_t frame_len, sc_event *event,
             uint8_t *out, size_t *out_len)
{
    size_t want;
    int e, was_ready = ch->is_ready;
    memset(event, 0, sizeof *event);
    *out_len = 0;
    if (ch->state == 0)
        return SC_ERR_STATE;            /* never started, or ended */
    if (frame_len < SC_HEADER_LEN)
        return sc_fail(ch, SC_ERR_FRAME);
    e = sc_frame_len(ch, frame, &want);
    if (e != SC_OK)
        return e;
    if (frame_len != want)
        return sc_fail(ch, SC_ERR_FRAME);
    e = take_frame(ch, frame, frame_len, event, out, out_len);
    if (e != SC_OK) {
        memset(event, 0, sizeof *event);
        return sc_fail(ch, e);
    }
    if (ch->is_ready && !was_ready)
        event->kind = SC_EVENT_READY;
    return SC_OK;
}

int sc_seal(sc_channel *ch, int more, const uint8_t *data, size_t data_len,
            uint8_t *out, size_t *out_len)
{
    *out_len = 0;
    if (ch->error != SC_OK)
        return ch->error;
    if (!ch->is_ready || ch->sent_close)
        return SC_ERR_STATE;
    if (data_len > SC_RECORD_MAX || (more && data_len == 0))
        return SC_ERR_ARGUMENT;
    *out_len = record_seal(ch, more ? DATA_MORE : DATA, data, data_len, out);
    ch->sending_part = more != 0;
    return SC_OK;
}

/* close_reason: what CLOSE tells the peer, or -1 for nothing. */
static int close_reason(const sc_channel *ch)
{
    switch (ch->error) {
    case SC_OK:
        return CLOSE_DONE;
    case SC_ERR_NOT_AUTHORISED:
    case SC_ERR_ANONYMOUS:
        return CLOSE_REFUSED;
    case SC_ERR_FRAME:
    case SC_ERR_RECORD:
    case SC_ERR_CLOSE:
    case SC_ERR_TOO_LONG:
        return CLOSE_PROTOCOL;
    case SC_ERR_REFUSED:                /* the peer's own CLOSE: no answer */
    case SC_ERR_PEER_PROTOCOL:
    case SC_ERR_PEER_INTERNAL:
    case SC_ERR_CUT_OFF:                /* nobody there to hear it */
    case SC_ERR_IO:
        return -1;
    default:
        return CLOSE_INTERNAL;
    }
}

int sc_shut(sc_channel *ch, uint8_t *out, size_t *out_len)
{
    int reason;
    uint8_t plain;
    *out_len = 0;
    if (ch->sending_part)
        (void)sc_fail(ch, SC_ERR_STATE);        /* half a message was sent */
    reason = close_reason(ch);
    plain = (uint8_t)reason;
    if (ch->state == OPEN && !ch->sent_close && reason >= 0) {
        *out_len = record_seal(ch, CLOSE, &plain, 1, out);
        ch->sent_close = 1;
    }
    if (ch->sent_close || ch->error != SC_OK)   /* nothing is sent any more */
        sc_wipe(&ch->sending, sizeof ch->sending);
    return ch->error;
}

int sc_eof(sc_channel *ch)
{
    if (ch->error != SC_OK)
        return ch->error;
    if (ch->got_close)
        return SC_CLOSED;
    return sc_fail(ch, ch->state == WAIT_M2 || ch->state == WAIT_M4
                       ? SC_ERR_SERVER_ENDED : SC_ERR_CUT_OFF);
}

void sc_end(sc_channel *ch)
{
    release_short_key(ch);
    sc_wipe(ch, sizeof *ch);
}

int sc_ready(const sc_channel *ch)
{
    return ch->is_ready;
}

const sc_public_key *sc_peer_key(const sc_channel *ch)
{
    return ch->state != OPEN || ch->peer.n_len == 0 ? NULL : &ch->peer;
}

const uint8_t *sc_session_id(const sc_channel *ch)
{
    return ch->state == WAIT_M5 || ch->state == OPEN ? ch->session_id : NULL;
}

/* ---- 12. the server's long-lived half ------------------------------------ */

#define HOUR_MS 3600000u

/* server_start: everything but the first short-lived key itself. */
static int server_start(sc_server *s, const sc_server_options *o,
                        uint64_t now_ms)
{
    memset(s, 0, sizeof *s);
    if (o->host_key == NULL || sc_public_check(&o->host_key->pub) != SC_OK)
        return SC_ERR_ARGUMENT;
    s->options = *o;
    if (s->options.short_key_ms == 0)
        s->options.short_key_ms = HOUR_MS;
    if (s->options.short_key_uses == 0)
        s->options.short_key_uses = 65536;
    s->random = sc_os_random;
    s->short_key[0].born_ms = now_ms;
    s->short_key[0].is_alive = 1;
    s->short_key[0].number = s->keys_made = 1;
    return SC_OK;
}

int sc_server_init_with(sc_server *s, const sc_server_options *o,
                        const sc_private_key *short_key, uint64_t now_ms)
{
    int e = short_key->pub.n_len == KE_LEN ? server_start(s, o, now_ms)
                                           : SC_ERR_ARGUMENT;
    if (e != SC_OK)
        sc_wipe(s, sizeof *s);
    else
        s->short_key[0].key = *short_key;
    return e;
}

int sc_server_init(sc_server *s, const sc_server_options *o, uint64_t now_ms)
{
    int e = server_start(s, o, now_ms);
    if (e == SC_OK)
        e = sc_key_generate(&s->short_key[0].key, KE_BITS, NULL, NULL);
    if (e != SC_OK)
        sc_wipe(s, sizeof *s);
    return e;
}

/* due_ms: how long the current key may still be shown. */
static uint64_t due_ms(const sc_server *s, uint64_t now_ms)
{
    const sc_short_key *k = &s->short_key[s->current];
    uint64_t age = now_ms - k->born_ms;
    if (k->shown >= s->options.short_key_uses || age >= s->options.short_key_ms)
        return 0;
    return s->options.short_key_ms - age;
}

/* replace_short_key: the other slot now holds the key that is shown. */
static void replace_short_key(sc_server *s, uint64_t now_ms)
{
    sc_short_key *old = &s->short_key[s->current];
    s->current = 1 - s->current;
    s->short_key[s->current].born_ms = now_ms;
    s->short_key[s->current].is_alive = 1;
    s->short_key[s->current].number = ++s->keys_made;
    s->is_making = 0;
    if (old->in_flight == 0)
        sc_wipe(old, sizeof *old);
}

int sc_server_tick(sc_server *s, uint64_t now_ms, unsigned *wait_ms)
{
    sc_short_key *other = &s->short_key[1 - s->current];
    uint64_t due = due_ms(s, now_ms);
    char mark;
    int e;
    *wait_ms = 1000;                    /* uses are counted between the ticks */
    if (other->is_alive) {
        if (now_ms - s->short_key[s->current].born_ms < 2 * SC_HANDSHAKE_MS)
            return SC_OK;
        /* Its handshakes had 30 s.  A caller who forgot one does not keep the
         * key alive: that M3 would no longer be opened. */
        sc_wipe(other, sizeof *other);
    }
    if (due > 0) {
        if (due < *wait_ms)
            *wait_ms = (unsigned)due;
        return SC_OK;
    }
    if (!s->is_making) {
        e = sc_keygen_init(&s->making, KE_BITS, s->random, s->random_ctx);
        if (e != SC_OK)
            return e;
        s->is_making = 1;
    }
    e = sc_keygen_step(&s->making, &other->key, &mark);
    if (e < 0) {
        s->is_making = 0;
        return e;
    }
    if (e == SC_OK)
        replace_short_key(s, now_ms);
    *wait_ms = 0;
    return SC_OK;
}

void sc_server_end(sc_server *s)
{
    sc_wipe(s, sizeof *s);
}

/* ---- 13. the blocking layer ---------------------------------------------- */

#define DRAIN_MS 2000

/* conn_wants: how many bytes in[] must hold before something can be done. */
static int conn_wants(sc_conn *c, size_t *want)
{
    *want = SC_HEADER_LEN;
    if (c->in_len < SC_HEADER_LEN)
        return SC_OK;
    return sc_frame_len(&c->channel, c->in, want);
}

/* conn_write: all of it.  If it fails, half a frame may have gone out, and
 * nothing sensible can follow: is_writing stays 1. */
static int conn_write(sc_conn *c, const uint8_t *bytes, size_t len)
{
    if (c->is_writing)
        return c->channel.error != SC_OK ? c->channel.error : SC_ERR_IO;
    c->is_writing = 1;
    while (len > 0) {
        long n = c->write(c->io, bytes, len);
        if (n < 0)
            return (int)n;
        if (n == 0 || (size_t)n > len)
            return SC_ERR_IO;
        bytes += n;
        len -= (size_t)n;
    }
    c->is_writing = 0;
    return SC_OK;
}

/* conn_fail: the channel has failed: tell the peer, if that is allowed. */
static int conn_fail(sc_conn *c, int error)
{
    uint8_t bye[SC_CLOSE_LEN];
    size_t len;
    (void)sc_fail(&c->channel, error);
    (void)sc_shut(&c->channel, bye, &len);
    c->on_data = NULL;                  /* only the CLOSE still matters */
    c->event = SC_EVENT_NONE;           /* and the rest is not released */
    sc_wipe(c->in, sizeof c->in);
#ifndef SC_NO_OS
    c->deadline_ms = c->fd < 0 ? 0 : sc_now_ms() + DRAIN_MS;
#endif
    if (len > 0)
        (void)conn_write(c, bye, len);
    return c->channel.error;
}

/* conn_wrote: the result of writing a handshake frame: a peer that is gone has
 * ended the handshake. */
static int conn_wrote(sc_conn *c, int e)
{
    return e == SC_ERR_IO ? sc_eof(&c->channel) : e;
}

/* conn_take: in[] holds a whole frame. */
static int conn_take(sc_conn *c)
{
    size_t reply_len;
    sc_event event;
    /* out[] is free: only handshake frames have replies, and no record is on
     * its way then */
    int e = sc_input(&c->channel, c->in, c->in_len, &event, c->out, &reply_len);
    c->in_len = 0;
    if (reply_len > 0) {
        int written = conn_wrote(c, conn_write(c, c->out, reply_len));
        if (e == SC_OK)
            e = written;
    }
    if (e != SC_OK)
        return conn_fail(c, e);
    c->event = event.kind;
    c->data = event.data;
    c->data_len = event.data_len;
    return SC_OK;
}

/* conn_read_frame: read and take one frame.  What had arrived before an error
 * that passes (a time-out) stays in in[] for the next call. */
static int conn_read_frame(sc_conn *c)
{
    size_t want;
    long n;
    int e;
    if (c->channel.error != SC_OK)
        return c->channel.error;
    for (;;) {
        e = conn_wants(c, &want);
        if (e != SC_OK)
            return conn_fail(c, e);
        if (c->in_len == want)
            return conn_take(c);
        n = c->read(c->io, c->in + c->in_len, want - c->in_len);
        if (n == 0)
            return sc_eof(&c->channel);
        if (n < 0)
            return (int)n;
        if ((size_t)n > want - c->in_len)
            return SC_ERR_IO;
        c->in_len += (size_t)n;
    }
}

#ifndef SC_NO_OS

/* conn_deliver: hand out what has arrived through on_data. */
static void conn_deliver(sc_conn *c)
{
    int result = c->event == SC_EVENT_PART ? SC_MORE
               : c->event == SC_EVENT_CLOSED ? SC_CLOSED : SC_OK;
    if (c->event == SC_EVENT_NONE || c->on_data == NULL)
        return;
    c->event = SC_EVENT_NONE;
    c->is_inside = result == SC_MORE;
    c->on_data(c->on_data_ctx, result, c->data, c->data_len);
    sc_wipe(c->data, c->data_len);
    c->data_len = 0;
}

/* conn_pump: while sending waits, take what can be read without waiting. */
static int conn_pump(sc_conn *c)
{
    size_t want;
    long n;
    int e;
    conn_deliver(c);
    e = conn_wants(c, &want);
    if (e != SC_OK)
        return conn_fail(c, e);
    n = os_recv(c->fd, c->in + c->in_len, want - c->in_len);
    if (n == AGAIN)
        return SC_OK;
    if (n <= 0)
        return n == 0 ? sc_eof(&c->channel) : (int)n;
    c->in_len += (size_t)n;
    e = conn_wants(c, &want);
    if (e != SC_OK)
        return conn_fail(c, e);
    if (c->in_len < want)
        return SC_OK;
    e = conn_take(c);
    if (e == SC_OK)
        conn_deliver(c);
    return e;
}

/* until: when a wait that begins now must end; 0: never. */
static uint64_t until(const sc_conn *c)
{
    uint64_t idle = c->timeout_ms == 0 ? 0 : sc_now_ms() + c->timeout_ms;
    if (c->deadline_ms == 0)
        return idle;
    return idle == 0 || c->deadline_ms < idle ? c->deadline_ms : idle;
}

/* The callbacks of a socket: io is the sc_conn itself. */
static long socket_read(void *io, void *buf, size_t len)
{
    sc_conn *c = (sc_conn *)io;
    uint64_t until_ms = until(c);
    for (;;) {
        long n;
        int e;
        if (c->deadline_ms != 0 && sc_now_ms() >= c->deadline_ms)
            return SC_ERR_TIMEOUT;      /* however steadily bytes arrive */
        n = os_recv(c->fd, buf, len);
        if (n != AGAIN)
            return n;
        e = os_wait(c->fd, POLLIN, until_ms);
        if (e < 0)
            return e;
    }
}

static long socket_write(void *io, const void *buf, size_t len)
{
    sc_conn *c = (sc_conn *)io;
    uint64_t until_ms = until(c);
    for (;;) {
        /* after the peer's CLOSE there is nothing to take */
        int pump = c->on_data != NULL && !c->channel.got_close, e;
        long n = os_send(c->fd, buf, len);
        if (n != AGAIN)
            return n;
        e = os_wait(c->fd, pump ? POLLIN | POLLOUT : POLLOUT, until_ms);
        if (e >= 0 && pump && (e & POLLIN) != 0) {
            e = conn_pump(c);
            until_ms = until(c);
        }
        if (e < 0)
            return e;
    }
}

/* conn_start: an empty connection over a socket. */
static int conn_start(sc_conn *c, int fd)
{
    memset(c, 0, sizeof *c);
    c->fd = fd;
    c->read = socket_read;
    c->write = socket_write;
    c->io = c;
    c->deadline_ms = sc_now_ms() + SC_HANDSHAKE_MS;
    return os_prepare_socket(fd);
}

#endif /* SC_NO_OS */

static int conn_start_over(sc_conn *c, sc_read_fn read_fn, sc_write_fn write_fn,
                           void *io)
{
    memset(c, 0, sizeof *c);
    c->fd = -1;
    c->read = read_fn;
    c->write = write_fn;
    c->io = io;
    return SC_OK;
}

/* conn_handshake: first, e is the result of what came before; then frames until
 * both sides are ready.  On error c is closed. */
static int conn_handshake(sc_conn *c, int e, const uint8_t *first,
                          size_t first_len)
{
    if (e == SC_OK)
        e = conn_wrote(c, conn_write(c, first, first_len));
    while (e == SC_OK && !sc_ready(&c->channel))
        e = conn_read_frame(c);
    c->event = SC_EVENT_NONE;           /* "ready" is told by returning */
    c->deadline_ms = 0;
    if (e != SC_OK) {
        (void)sc_fail(&c->channel, e);
        (void)sc_close(c);
    }
    return e;
}

static int conn_client(sc_conn *c, int e, const sc_client_options *options)
{
    size_t m1_len = 0;
    if (e == SC_OK)
        e = sc_client_init(&c->channel, options, c->out, &m1_len);
    return conn_handshake(c, e, c->out, m1_len);
}

static int conn_server(sc_conn *c, int e, sc_server *server)
{
    if (e == SC_OK)
        e = sc_server_accept(&c->channel, server);
    return conn_handshake(c, e, NULL, 0);
}

int sc_connect_over(sc_conn *c, sc_read_fn read_fn, sc_write_fn write_fn,
                    void *io, const sc_client_options *options)
{
    return conn_client(c, conn_start_over(c, read_fn, write_fn, io), options);
}

int sc_accept_over(sc_conn *c, sc_read_fn read_fn, sc_write_fn write_fn,
                   void *io, sc_server *server)
{
    return conn_server(c, conn_start_over(c, read_fn, write_fn, io), server);
}

#ifndef SC_NO_OS

int sc_connect_fd(sc_conn *c, int fd, const sc_client_options *options)
{
    return conn_client(c, conn_start(c, fd), options);
}

int sc_accept_fd(sc_conn *c, int fd, sc_server *server)
{
    return conn_server(c, conn_start(c, fd), server);
}

int sc_connect(sc_conn *c, const char *host, unsigned port,
               const sc_client_options *options)
{
    int fd, e = check_options(options);
    memset(c, 0, sizeof *c);
    if (e == SC_OK)
        e = sc_dial(host, port, SC_HANDSHAKE_MS, &fd);
    return e == SC_OK ? sc_connect_fd(c, fd, options) : e;
}

int sc_accept(sc_conn *c, int listen_fd, sc_server *server)
{
    unsigned wait_ms;
    int fd, e;
    memset(c, 0, sizeof *c);
    for (;;) {
        e = sc_server_tick(server, sc_now_ms(), &wait_ms);
        if (e != SC_OK)
            return e;
        e = os_wait(listen_fd, POLLIN, sc_now_ms() + wait_ms);
        if (e == SC_ERR_TIMEOUT)
            continue;
        if (e < 0)
            return SC_ERR_LISTEN;
        fd = os_accept(listen_fd);
        if (fd >= 0)
            return sc_accept_fd(c, fd, server);
        if (fd != AGAIN)
            return fd;
    }
}

#endif /* SC_NO_OS */

/* conn_sent: the result of writing.  A peer that refuses us closes its end; our
 * writing fails then, and the reason lies unread: fetch it, if it has come.
 * Data that is found instead stays for sc_recv. */
static int conn_sent(sc_conn *c, int e)
{
    if (e == SC_ERR_TIMEOUT)
        return sc_fail(&c->channel, e);
#ifndef SC_NO_OS
    if (e == SC_ERR_IO && c->fd >= 0 && c->event == SC_EVENT_NONE
        && !c->channel.got_close) {
        uint64_t deadline_ms = c->deadline_ms;
        int read_e = SC_OK;
        c->deadline_ms = sc_now_ms() + DRAIN_MS;
        while (read_e == SC_OK && c->event == SC_EVENT_NONE)
            read_e = conn_read_frame(c);
        c->deadline_ms = deadline_ms;
        return c->channel.error != SC_OK ? c->channel.error : e;
    }
#endif
    return e;
}

static int conn_send(sc_conn *c, const uint8_t *p, size_t len, int more)
{
    size_t n, frame_len;
    int e, last;
    if (c->read == NULL || c->is_writing)
        return c->channel.error != SC_OK ? c->channel.error : SC_ERR_STATE;
    do {
        n = len < SC_RECORD_MAX ? len : SC_RECORD_MAX;
        last = n == len && !more;
        if (n == 0 && !last)
            return SC_OK;
        e = sc_seal(&c->channel, !last, p, n, c->out, &frame_len);
        if (e == SC_OK)
            e = conn_sent(c, conn_write(c, c->out, frame_len));
        if (e != SC_OK)
            return e;
        len -= n;
        if (len > 0)
            p += n;
    } while (len > 0);
    return SC_OK;
}

int sc_send(sc_conn *c, const void *message, size_t message_len)
{
    return conn_send(c, (const uint8_t *)message, message_len, 0);
}

int sc_send_part(sc_conn *c, const void *part, size_t part_len)
{
    return conn_send(c, (const uint8_t *)part, part_len, 1);
}

int sc_recv(sc_conn *c, void *buf, size_t buf_max, size_t *len)
{
    size_t n;
    int e;
    *len = 0;
    if (c->read == NULL)
        return SC_ERR_STATE;
    if (buf_max == 0)
        return SC_ERR_ARGUMENT;
    while (c->event == SC_EVENT_NONE) {
        if (c->channel.got_close && c->channel.error == SC_OK)
            return SC_CLOSED;
        e = conn_read_frame(c);
        if (e != SC_OK)
            return e;
    }
    if (c->event == SC_EVENT_CLOSED) {
        c->event = SC_EVENT_NONE;
        return SC_CLOSED;
    }
    n = c->data_len < buf_max ? c->data_len : buf_max;
    memcpy(buf, c->data, n);
    sc_wipe(c->data, n);
    c->data += n;
    c->data_len -= n;
    *len = n;
    c->is_inside = c->data_len > 0 || c->event == SC_EVENT_PART;
    if (c->data_len == 0)
        c->event = SC_EVENT_NONE;
    return c->is_inside ? SC_MORE : SC_OK;
}

int sc_recv_whole(sc_conn *c, void *buf, size_t buf_max, size_t *len)
{
    uint8_t extra;
    size_t n, have = 0;
    int e;
    *len = 0;
    if (c->is_inside)                   /* its beginning is gone already */
        return SC_ERR_STATE;
    if (buf_max > SC_MESSAGE_MAX)
        buf_max = SC_MESSAGE_MAX;
    do {
        if (have < buf_max)
            e = sc_recv(c, (uint8_t *)buf + have, buf_max - have, &n);
        else
            e = sc_recv(c, &extra, 1, &n);      /* is this the end? */
        if (e < 0 && have > 0)          /* the rest must not pass for a whole */
            return conn_fail(c, e);
        if (e != SC_OK && e != SC_MORE)
            return e;
        if (have == buf_max && n > 0)
            e = SC_ERR_TOO_LONG;
        if (have == buf_max)
            sc_wipe(&extra, sizeof extra);
        if (e == SC_ERR_TOO_LONG)
            return conn_fail(c, e);
        have += n;
    } while (e == SC_MORE);
    *len = have;
    return SC_OK;
}

/* conn_say_bye: the CLOSE that is owed, if it is; gives the channel's error. */
static int conn_say_bye(sc_conn *c)
{
    uint8_t bye[SC_CLOSE_LEN];
    size_t len;
    int e = sc_shut(&c->channel, bye, &len);
    if (len > 0 && e == SC_OK)
        e = conn_sent(c, conn_write(c, bye, len));
    else if (len > 0)
        (void)conn_write(c, bye, len);
    return e;
}

int sc_finish(sc_conn *c)
{
    int e;
    if (c->read == NULL || c->is_writing)
        return c->channel.error != SC_OK ? c->channel.error : SC_ERR_STATE;
    e = conn_say_bye(c);
#ifndef SC_NO_OS
    if (c->fd >= 0)
        os_shut_writing(c->fd);
#endif
    return e;
}

int sc_close(sc_conn *c)
{
    int e;
    if (c->read == NULL)                /* closed already, or never open */
        return SC_OK;
    c->on_data = NULL;
#ifndef SC_NO_OS
    c->deadline_ms = c->fd < 0 ? 0 : sc_now_ms() + DRAIN_MS;
#endif
    e = conn_say_bye(c);
#ifndef SC_NO_OS
    if (c->fd >= 0) {
        if (c->channel.sent_close)
            os_drain(c->fd, sc_now_ms() + DRAIN_MS);
        os_close_socket(c->fd);
    }
#endif
    sc_end(&c->channel);
    sc_wipe(c, sizeof *c);
    return e;
}

void sc_set_timeout(sc_conn *c, unsigned timeout_ms)
{
    c->timeout_ms = timeout_ms;
}

void sc_set_on_data(sc_conn *c, sc_data_fn on_data, void *ctx)
{
    c->on_data = on_data;
    c->on_data_ctx = ctx;
}

int sc_fd(const sc_conn *c)
{
    return c->read == NULL ? -1 : c->fd;
}

int sc_pending(const sc_conn *c)
{
    return c->event != SC_EVENT_NONE;
}

/* ---- 14. known_hosts, authorized_keys, key files ------------------------- */

#ifndef SC_NO_OS

/* A known_hosts line is   [marker] hosts key-type base64 [comment]
 * an authorized_keys line [options] key-type base64 [comment]. */

#define HOST_LEN_MAX 255
#define NAME_LEN_MAX (HOST_LEN_MAX + 9) /* "[host]:65535" and NUL */

typedef struct {
    const char *at;
    size_t len;
} word;

static int is_word(word w, const char *text)
{
    return w.len == strlen(text) && memcmp(w.at, text, w.len) == 0;
}

/* next_word: take the next word off the front of a line; empty at its end. */
static word next_word(word *line)
{
    word w;
    while (line->len > 0 && (*line->at == ' ' || *line->at == '\t')) {
        line->at++;
        line->len--;
    }
    w = *line;
    for (w.len = 0; w.len < line->len; w.len++)
        if (w.at[w.len] == ' ' || w.at[w.len] == '\t')
            break;
    line->at += w.len;
    line->len -= w.len;
    return w;
}

/* one_line: the line, less the CR that some systems end it with.  Another CR
 * may hide a line of its own: 0 then. */
static int one_line(word *line, const char *text, size_t len)
{
    line->at = text;
    line->len = len > 0 && text[len - 1] == '\r' ? len - 1 : len;
    return memchr(text, '\r', line->len) == NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* matches: does a pattern with * and ? match all of name?  Host names do not
 * care about case.  After a mismatch the last * takes one character more. */
static int matches(word pattern, const char *name)
{
    size_t p = 0, n = 0, star = pattern.len, star_n = 0;
    while (name[n] != '\0') {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            star_n = n;
        } else if (p < pattern.len && (pattern.at[p] == '?'
                   || lower(pattern.at[p]) == lower(name[n]))) {
            p++;
            n++;
        } else if (star < pattern.len) {
            p = star + 1;
            n = ++star_n;
        } else {
            return 0;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

/* write_name: name = "[host]:port", the form that is written.  needs  a host of
 * at most HOST_LEN_MAX bytes. */
static size_t write_name(char name[NAME_LEN_MAX], const char *host,
                         unsigned port)
{
    return (size_t)snprintf(name, NAME_LEN_MAX, "[%s]:%u", host, port);
}

enum { NAMES_NOT, NAMES_PLAINLY, NAMES_PERHAPS };

/* names_host: does this comma-separated list name host or [host]:port?
 * Patterns, hashed names and what cannot be printed are only ever a perhaps. */
static int names_host(word hosts, const char *host, unsigned port)
{
    char name[NAME_LEN_MAX];
    int plainly = 0, perhaps = 0, pattern, negated = 0;
    int hashed = hosts.len > 0 && hosts.at[0] == '|';   /* one name, no list */
    size_t i;
    (void)write_name(name, host, port);
    while (hosts.len > 0) {
        word one = hosts;
        for (one.len = 0, pattern = 0; one.len < hosts.len; one.len++) {
            uint8_t c = (uint8_t)hosts.at[one.len];
            if (c == ',')
                break;
            pattern |= c == '*' || c == '?' || c == '!';
            perhaps |= c < 0x21 || c > 0x7e || (one.len == 0 && c == '|');
        }
        i = one.len < hosts.len ? one.len + 1 : one.len;
        hosts.at += i;
        hosts.len -= i;
        if (one.len > 0 && one.at[0] == '!') {
            negated = 1;
            one.at++;
            one.len--;
        }
        if (matches(one, host) || matches(one, name)) {
            perhaps |= pattern;
            plainly |= !pattern;
        }
    }
    if (plainly && !negated && !hashed)
        return NAMES_PLAINLY;
    return plainly || perhaps ? NAMES_PERHAPS : NAMES_NOT;
}

/* sc_known_hosts_line: what one line says about host:port and the key it shows.
 * SC_OK                 this very key
 * SC_ERR_HOST_CHANGED   another RSA key
 * SC_ERR_HOST_REVOKED   the shown key is revoked, for whatever host
 * SC_ERR_HOST_LINE      it cannot be used, and might be about this host
 * SC_MORE               nothing */
int sc_known_hosts_line(const char *line, size_t line_len, const char *host,
                        unsigned port, const sc_public_key *shown)
{
    word rest, marker = { NULL, 0 }, hosts;
    sc_public_key key;
    int names, e;
    if (!one_line(&rest, line, line_len))
        return SC_ERR_HOST_LINE;
    hosts = next_word(&rest);
    if (hosts.len == 0 || hosts.at[0] == '#')
        return SC_MORE;
    if (hosts.at[0] == '@') {
        marker = hosts;
        hosts = next_word(&rest);
    }
    names = names_host(hosts, host, port);
    e = sc_public_read_line(&key, rest.at, rest.len);
    if (is_word(marker, "@revoked")) {
        if (e == SC_ERR_KEY_TYPE)
            return SC_MORE;
        if (e == SC_OK && sc_public_equal(&key, shown))
            return SC_ERR_HOST_REVOKED;
        return e != SC_OK || names ? SC_ERR_HOST_LINE : SC_MORE;
    }
    if (names == NAMES_NOT)
        return SC_MORE;
    if (marker.len > 0)
        return SC_ERR_HOST_LINE;
    if (e == SC_ERR_KEY_TYPE)
        return SC_MORE;
    if (e != SC_OK || names == NAMES_PERHAPS)
        return SC_ERR_HOST_LINE;
    return sc_public_equal(&key, shown) ? SC_OK : SC_ERR_HOST_CHANGED;
}

typedef struct {
    sc_known_hosts *known;
    int answer;
} host_search;

/* host_weight: which of two lines decides. */
static int host_weight(int answer)
{
    return answer == SC_ERR_HOST_REVOKED ? 4 : answer == SC_OK ? 3
         : answer == SC_ERR_HOST_CHANGED ? 2 : answer == SC_ERR_HOST_LINE;
}

static int host_line(void *ctx, const char *line, size_t len, size_t number)
{
    host_search *s = (host_search *)ctx;
    int answer = sc_known_hosts_line(line, len, s->known->host, s->known->port,
                                     &s->known->shown);
    if (host_weight(answer) > host_weight(s->answer)) {
        s->answer = answer;
        s->known->line = number;
    }
    return SC_MORE;
}

/* can_be_written: a host name that a known_hosts line can hold. */
static int can_be_written(const char *host)
{
    size_t n;
    for (n = 0; host[n] != '\0'; n++)
        if ((uint8_t)host[n] < 0x21 || (uint8_t)host[n] > 0x7e
            || strchr(",*?!|@#[]", host[n]) != NULL)
            return 0;
    return n > 0 && n <= HOST_LEN_MAX;
}

int sc_judge_known_hosts(void *known_hosts, const sc_public_key *host_key)
{
    sc_known_hosts *known = (sc_known_hosts *)known_hosts;
    host_search s;
    int e;
    known->shown = *host_key;
    known->line = 0;
    known->is_new = 0;
    if (known->host == NULL || known->path == NULL || known->port > 65535
        || !can_be_written(known->host))
        return SC_ERR_ARGUMENT;
    s.known = known;
    s.answer = SC_MORE;
    e = os_each_line(known->path, host_line, &s);
    if (e == SC_ERR_FILE && errno != ENOENT)
        return SC_ERR_FILE;
    if (s.answer != SC_MORE)
        return s.answer;
    if (!known->accept_new)
        return SC_ERR_HOST_UNKNOWN;
    known->is_new = 1;
    return SC_OK;
}

int sc_known_hosts_remember(sc_known_hosts *known, const sc_channel *ch)
{
    char line[NAME_LEN_MAX + SC_PUBLIC_LINE_MAX + 1];
    size_t n, key_len;
    int e;
    if (!known->is_new)
        return SC_OK;
    if (!ch->is_ready || ch->is_server
        || !sc_public_equal(&ch->peer, &known->shown))
        return SC_ERR_STATE;
    n = write_name(line, known->host, known->port);
    line[n++] = ' ';
    e = sc_public_write_line(&ch->peer, NULL, line + n, SC_PUBLIC_LINE_MAX,
                             &key_len);
    n += key_len;
    line[n++] = '\n';
    if (e == SC_OK)
        e = os_append_line(known->path, line, n);
    if (e == SC_OK)
        known->is_new = 0;
    return e;
}

/* sc_authorized_keys_line: SC_OK: this very key.  SC_MORE: nothing about it.
 * SC_ERR_KEY_FORMAT: options, or damage; the line is not used. */
int sc_authorized_keys_line(const char *line, size_t line_len,
                            const sc_public_key *key)
{
    word rest, first;
    sc_public_key listed;
    int e;
    if (!one_line(&rest, line, line_len))
        return SC_ERR_KEY_FORMAT;
    first = next_word(&rest);
    if (first.len == 0 || first.at[0] == '#')
        return SC_MORE;
    e = sc_public_read_line(&listed, line, line_len);
    if (e == SC_ERR_KEY_TYPE)
        return SC_MORE;
    if (e != SC_OK)
        return SC_ERR_KEY_FORMAT;
    return sc_public_equal(&listed, key) ? SC_OK : SC_MORE;
}

typedef struct {
    const sc_authorized_keys *file;
    const sc_public_key *key;
} key_search;

static int key_line(void *ctx, const char *line, size_t len, size_t number)
{
    const key_search *s = (const key_search *)ctx;
    int answer = sc_authorized_keys_line(line, len, s->key);
    if (answer != SC_ERR_KEY_FORMAT)
        return answer;
    if (s->file->complain != NULL)
        s->file->complain(s->file->complain_ctx, s->file->path, number,
                          "not used: it has options, or the key is damaged");
    return SC_MORE;
}

int sc_authorise_by_file(void *authorized_keys, const sc_public_key *key)
{
    key_search s;
    int e;
    s.file = (const sc_authorized_keys *)authorized_keys;
    s.key = key;
    e = os_each_line(s.file->path, key_line, &s);
    return e == SC_MORE ? SC_ERR_NOT_AUTHORISED : e;
}

int sc_key_load(sc_private_key *key, const char *path)
{
    char text[6144];                    /* a 4096-bit key's file takes 3400 */
    size_t len;
    int e = os_read_private(path, text, sizeof text, &len);
    memset(key, 0, sizeof *key);
    SC_SECRET(text, len);
    if (e == SC_OK)
        e = sc_key_read_pem(key, text, len);
    sc_wipe(text, sizeof text);
    return e;
}

int sc_key_save(const sc_private_key *key, const char *path,
                const char *comment)
{
    char pem[SC_PEM_MAX], line[SC_PUBLIC_LINE_MAX + 1], pub[PATH_LEN_MAX];
    size_t pem_len, line_len;
    int error, e;
    if (strlen(path) > sizeof pub - 5)
        return SC_ERR_ARGUMENT;
    (void)snprintf(pub, sizeof pub, "%s.pub", path);
    e = sc_public_write_line(&key->pub, comment, line, SC_PUBLIC_LINE_MAX,
                             &line_len);
    if (e == SC_OK)
        e = sc_key_write_pem(key, pem, sizeof pem, &pem_len);
    if (e == SC_OK)
        e = os_create(path, 0600, pem, pem_len);
    if (e == SC_OK) {
        line[line_len++] = '\n';
        e = os_create(pub, 0644, line, line_len);
        if (e != SC_OK) {               /* both, or none */
            error = errno;
            (void)os_remove(path);
            errno = error;
        }
    }
    sc_wipe(pem, sizeof pem);
    return e;
}

#endif /* SC_NO_OS */

/* ---- 15. errors in words ------------------------------------------------- */

static const struct {
    int result;
    const char *words;
} sc_words[] = {
    { SC_OK, "done" },
    { SC_MORE, "more is to come" },
    { SC_CLOSED, "the other side has finished" },
    { SC_ERR_ARGUMENT, "a value given to the library makes no sense" },
    { SC_ERR_STATE, "this cannot be done now: the channel is not ready, or is"
                    " closed" },
    { SC_ERR_SPACE, "the buffer is too small" },
    { SC_ERR_RANDOM, "the system gives no random bytes" },
    { SC_ERR_INTERNAL, "a fault inside this program or machine" },
    { SC_ERR_IO, "the connection failed" },
    { SC_ERR_TIMEOUT, "it took too long" },
    { SC_ERR_CUT_OFF, "the connection was cut off: what arrived may not be"
                      " all" },
    { SC_ERR_SERVER_ENDED, "the server ended the handshake" },
    { SC_ERR_RESOLVE, "no address is known for this host name" },
    { SC_ERR_CONNECT, "nobody answers at this address and port" },
    { SC_ERR_LISTEN, "cannot listen, or go on listening, on this address and"
                     " port" },
    { SC_ERR_FRAME, "the other side sent something that is not secchan/1, or"
                    " not now" },
    { SC_ERR_PUBLIC_KEY, "a public key is not one that may be used" },
    { SC_ERR_SAME_KEYS, "the server's short-lived key is its host key: what is"
                        " recorded today could be opened later" },
    { SC_ERR_HANDSHAKE, "the handshake failed: the other side does not hold the"
                        " key, or something was altered on the way" },
    { SC_ERR_RECORD, "a record was altered, repeated or out of order" },
    { SC_ERR_CLOSE, "the other side closed in a way the protocol does not"
                    " allow" },
    { SC_ERR_TOO_LONG, "a message is longer than this side takes" },
    { SC_ERR_NO_JUDGE, "say which host key to believe: exactly one of a pin, a"
                       " judge, or accept_any_host_insecure" },
    { SC_ERR_PIN, "the host key is not the pinned one" },
    { SC_ERR_PIN_FORMAT, "a pin is SHA256: and 43 base64 characters, as"
                         " ssh-keygen -lf prints it" },
    { SC_ERR_HOST_UNKNOWN, "the host is not in known_hosts" },
    { SC_ERR_HOST_CHANGED, "the host is known by another key: somebody may be"
                           " in between" },
    { SC_ERR_HOST_REVOKED, "the host key is marked as revoked" },
    { SC_ERR_HOST_LINE, "a known_hosts line that cannot be used may be about"
                        " this host" },
    { SC_ERR_REFUSED, "the other side refused us" },
    { SC_ERR_PEER_PROTOCOL, "the other side found an error in what we sent" },
    { SC_ERR_PEER_INTERNAL, "the other side had a fault of its own" },
    { SC_ERR_NOT_AUTHORISED, "the client's key is not authorised" },
    { SC_ERR_ANONYMOUS, "the client named no key, and one is required" },
    { SC_ERR_FILE, "the file cannot be read or written" },
    { SC_ERR_FILE_EXISTS, "the file exists already and is not overwritten" },
    { SC_ERR_FILE_MODE, "other users can read this private key; chmod 600 it" },
    { SC_ERR_KEY_FORMAT, "this is not a key file that can be read here" },
    { SC_ERR_KEY_ENCRYPTED, "the key has a passphrase; remove it with"
                            " ssh-keygen -p" },
    { SC_ERR_KEY_TYPE, "this is a key, but not an RSA key" },
    { SC_ERR_KEY_SIZE, "RSA keys must have 2048 to 4096 bits, in steps of 8" },
    { SC_ERR_KEY_EXPONENT, "RSA keys must have the exponent 65537" },
    { SC_ERR_KEY_CHECK, "the numbers of this key do not fit together" }
};

const char *sc_strerror(int result)
{
    size_t i;
    for (i = 0; i < sizeof sc_words / sizeof sc_words[0]; i++)
        if (sc_words[i].result == result)
            return sc_words[i].words;
    return "an unknown error";
}
