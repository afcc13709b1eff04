/* demo_server.c: many secure channels in one thread.  It sends every message
 * back, or (-r) receives files.
 * Map:    0 the system   1 what is remembered   2 words   3 -t: the
 *         conversation, drawn   4 a client leaves   5 sending messages back
 *         6 receiving files   7 a client speaks   8 a client comes   9 the loop
 *         10 the start   11 arguments and main
 * Needs:  the public part of secchan.h; POSIX.1-2008 sockets, poll and files,
 *         or Windows with mingw-w64.
 *
 * The life of a client.  Whoever is slow waits alone: every socket is
 * non-blocking, and a client gets at most FRAMES_PER_TURN frames of attention
 * before the next one's turn.
 *
 *     accept
 *       |
 *   HANDSHAKE --- error, 30 s over, making room ---+   CLOSE is queued, if the
 *       | SC_EVENT_READY                           |   protocol lets us send it
 *    TALKING ---- CLOSE 0, error, server stops ----+
 *       | transport cut off                        v
 *       |                                       LEAVING    send what is queued
 *       |                                          | sent: shut down writing
 *       |                                          v
 *       |                                       DRAINING   read and forget, so
 *       v                                          |       that no TCP reset
 *     GONE <--- end of stream, deadline -----------+       destroys the CLOSE
 *
 * The output queue of a client holds the answer to one frame.  Until it has
 * been sent, nothing more is read from that client: who does not read is not
 * heard (back-pressure), and memory stays bounded.  A client that is idle has
 * no buffers at all. */

#if !defined(_POSIX_C_SOURCE) && defined(__linux__)
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64    /* large files on 32-bit systems too */
#endif

#include "secchan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS_MAX 1100        /* conversations at one time */

/* ---- 0. the system ------------------------------------------------------- */

/* What is asked of POSIX and of Windows in different words.  What fails gives
 * -1 and leaves its reason in errno. */
#if !defined(_WIN32)

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define HOME "HOME"
#define LINE_BY_LINE _IOLBF
typedef int poll_fd;

static const char *words(int error)
{
    return strerror(error);
}

/* -- sockets -- */

static int set_flags(int fd)            /* never blocks, is not inherited */
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void turn_on(int fd, int level, int option)
{
    static const int yes = 1;
    setsockopt(fd, level, option, &yes, sizeof yes);
}

static ssize_t send_bytes(int fd, const void *bytes, size_t len)
{
    return send(fd, bytes, len, 0);
}

static ssize_t recv_bytes(int fd, void *bytes, size_t len)
{
    return recv(fd, bytes, len, 0);
}

static int accept_from(int fd, struct sockaddr *from, socklen_t *from_len)
{
    return accept(fd, from, from_len);
}

static void shut_writing(int fd)
{
    shutdown(fd, SHUT_WR);
}

static void close_socket(int fd)
{
    close(fd);
}

/* -- the folder of -r: names in it are relative to its descriptor -- */

static int folder_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;
    if (fd < 0 || faccessat(fd, ".", W_OK | X_OK, 0) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void folder_close(int folder)
{
    close(folder);
}

static int folder_has(int folder, const char *name)
{
    struct stat there;
    return fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0;
}

static int folder_create(int folder, const char *name)
{
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
                                | O_CLOEXEC, 0600);
}

static void folder_remove(int folder, const char *name)
{
    unlinkat(folder, name, 0);
}

/* folder_publish: the file *fd gets its name, for ever, and is closed.  link()
 * never overwrites, as rename() would. */
static int folder_publish(int folder, int *fd, const char *temporary,
                          const char *name)
{
    if (linkat(folder, temporary, folder, name, 0) != 0)
        return -1;
    unlinkat(folder, temporary, 0);
    close(*fd);
    *fd = -1;
    if (fsync(folder) != 0 && errno != EINVAL) { /* EINVAL: cannot, need not */
        int error = errno;
        unlinkat(folder, name, 0);
        errno = error;
        return -1;
    }
    return 0;
}

static const char *name_fault_here(const char *name)
{
    (void)name;
    return NULL;
}

static int make_folder(const char *path)
{
    return mkdir(path, 0700);
}

/* -- the process -- */

static int stop_pipe[2] = { -1, -1 };   /* the handler writes, poll() reads */

static void on_signal(int signal_number)
{
    int error = errno;
    if (write(stop_pipe[1], "", 1) < 0) {
        /* the pipe is full: the loop knows already */
    }
    (void)signal_number;
    errno = error;
}

/* catch_signals: the descriptor from which a signal can be read. */
static int catch_signals(void)
{
    struct sigaction action;
    if (pipe(stop_pipe) != 0 || set_flags(stop_pipe[0]) != 0
        || set_flags(stop_pipe[1]) != 0)
        return -1;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);   /* the terminal was closed */
    action.sa_handler = SIG_IGN;        /* these are told by errno: a client */
    sigaction(SIGPIPE, &action, NULL);  /* has left, a file exceeds ulimit -f */
    sigaction(SIGXFSZ, &action, NULL);
    return stop_pipe[0];
}

static void forget_signals(int fd)
{
    char byte[16];
    while (read(fd, byte, sizeof byte) > 0)
        continue;
}

/* A socket must not become descriptor 0, 1 or 2: printing would write to it. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Room for every client's socket and file, if the system lets us. */
static void raise_descriptor_limit(void)
{
    const rlim_t wanted = 2 * CLIENTS_MAX + 32;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

#else

#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <direct.h>
#include <io.h>

#define HOME "USERPROFILE"
#define LINE_BY_LINE _IONBF     /* _IOLBF waits for a full buffer here */
#define EDQUOT ENOSPC
#define poll WSAPoll
#define fsync _commit
typedef SOCKET poll_fd;
typedef ULONG nfds_t;

/* Texts that not every C library here has. */
static const char *words(int error)
{
    return error == EADDRINUSE ? "the address is in use"
         : error == EADDRNOTAVAIL ? "not an address of this machine"
         : error == ECONNRESET ? "the connection was reset" : strerror(error);
}

/* -- sockets -- */

/* socket_result: -1 and errno if a call of Winsock has failed. */
static int socket_result(int result)
{
    int error = result < 0 ? WSAGetLastError() : 0;
    if (error != 0)
        errno = error == WSAEWOULDBLOCK ? EAGAIN
              : error == WSAECONNRESET ? ECONNRESET
              : error == WSAECONNABORTED ? ECONNABORTED
              : error == WSAEMFILE ? EMFILE : EIO;
    return result;
}

static int set_flags(int fd)
{
    u_long one = 1;
    (void)SetHandleInformation((HANDLE)(SOCKET)fd, HANDLE_FLAG_INHERIT, 0);
    return socket_result(ioctlsocket((SOCKET)fd, (long)FIONBIO, &one));
}

static void turn_on(int fd, int level, int option)
{
    static const int yes = 1;
    setsockopt((SOCKET)fd, level, option, (const char *)&yes, sizeof yes);
}

static ssize_t send_bytes(int fd, const void *bytes, size_t len)
{
    return socket_result(send((SOCKET)fd, (const char *)bytes, (int)len, 0));
}

static ssize_t recv_bytes(int fd, void *bytes, size_t len)
{
    return socket_result(recv((SOCKET)fd, (char *)bytes, (int)len, 0));
}

static int accept_from(int fd, struct sockaddr *from, socklen_t *from_len)
{
    return socket_result((int)accept((SOCKET)fd, from, from_len));
}

static void shut_writing(int fd)
{
    shutdown((SOCKET)fd, SD_SEND);
}

static void close_socket(int fd)
{
    closesocket((SOCKET)fd);
}

/* -- the folder of -r: there is but one, and its path stands in for it -- */

static const char *folder_path;

/* in_folder: the path of a name in it, in out; NULL if that is too long. */
static const char *in_folder(char out[1300], const char *name)
{
    int n = snprintf(out, 1300, "%s\\%s", folder_path, name);
    errno = ENAMETOOLONG;
    return n > 0 && n < 1300 ? out : NULL;
}

static int folder_open(const char *path)
{
    DWORD what = GetFileAttributesA(path);
    folder_path = path;
    errno = what == INVALID_FILE_ATTRIBUTES ? ENOENT : ENOTDIR;
    return errno == ENOTDIR && (what & FILE_ATTRIBUTE_DIRECTORY) != 0 ? 0 : -1;
}

static void folder_close(int folder)
{
    (void)folder;
}

static int folder_has(int folder, const char *name)
{
    char path[1300];
    (void)folder;
    return in_folder(path, name) != NULL
           && GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES;
}

static int folder_create(int folder, const char *name)
{
    char path[1300];
    (void)folder;
    return in_folder(path, name) == NULL ? -1 :
           open(path, O_WRONLY | O_CREAT | O_EXCL | O_BINARY | O_NOINHERIT,
                _S_IREAD | _S_IWRITE);
}

static void folder_remove(int folder, const char *name)
{
    char path[1300];
    (void)folder;
    if (in_folder(path, name) != NULL)
        DeleteFileA(path);
}

/* Does not overwrite, as it is not told to; does not return before the new name
 * is on the disk. */
static int folder_publish(int folder, int *fd, const char *temporary,
                          const char *name)
{
    char from[1300], to[1300];
    close(*fd);
    *fd = -1;
    if (in_folder(from, temporary) != NULL && in_folder(to, name) != NULL) {
        if (MoveFileExA(from, to, MOVEFILE_WRITE_THROUGH))
            return 0;
        errno = GetLastError() == ERROR_ALREADY_EXISTS ? EEXIST : EIO;
    }
    folder_remove(folder, temporary);
    return -1;
}

/* Names that are devices here, name more than a file, or change on the way. */
static const char *name_fault_here(const char *name)
{
    static const char *const device[] = {
        "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "COM?", "LPT?"
    };
    size_t i, len = strlen(name), stem_len = strcspn(name, ". ");
    if (strcspn(name, "<>:\"|?*") < len)
        return "a name has none of < > : \" | ? * on this system";
    if (name[len - 1] == '.' || name[len - 1] == ' ')
        return "a name does not end with a dot or a space on this system";
    for (i = 0; i < sizeof device / sizeof device[0]; i++) {
        size_t device_len = strlen(device[i]);
        size_t fixed_len = strcspn(device[i], "?");
        if (stem_len == device_len
            && _strnicmp(name, device[i], fixed_len) == 0)
            return "this name is a device of the system";
    }
    return NULL;
}

static int make_folder(const char *path)
{
    return _mkdir(path);
}

/* -- the process -- */

static int stop_fd;             /* a socket whose peer is itself */

/* Ctrl-C, Ctrl-Break, the window was closed, the system shuts down: told in a
 * thread of its own; after the last two the process ends when this returns. */
static BOOL WINAPI on_control(DWORD what)
{
    send((SOCKET)stop_fd, "", 1, 0);
    if (what != CTRL_C_EVENT && what != CTRL_BREAK_EVENT)
        Sleep(INFINITE);
    return TRUE;
}

static int catch_signals(void)
{
    WSADATA unused;
    struct sockaddr_in here;
    int len = (int)sizeof here;
    SOCKET s;
    memset(&here, 0, sizeof here);
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    errno = EIO;
    if (WSAStartup(MAKEWORD(2, 2), &unused) != 0)
        return -1;
    s = socket(AF_INET, SOCK_DGRAM, 0);
    stop_fd = (int)s;
    if (s == INVALID_SOCKET || bind(s, (struct sockaddr *)&here, len) != 0
        || getsockname(s, (struct sockaddr *)&here, &len) != 0
        || connect(s, (struct sockaddr *)&here, len) != 0
        || set_flags(stop_fd) != 0 || !SetConsoleCtrlHandler(on_control, TRUE))
        return -1;
    return stop_fd;
}

static void forget_signals(int fd)
{
    char byte[16];
    while (recv_bytes(fd, byte, sizeof byte) > 0)
        continue;
}

static void fill_standard_descriptors(void)     /* sockets are never these */
{
}

static void raise_descriptor_limit(void)        /* there is none to be raised */
{
}

#endif /* _WIN32 */

/* ---- 1. what is remembered ----------------------------------------------- */

#define HANDSHAKES_MAX 512      /* of these, not finished with the handshake */
#define FRAMES_PER_TURN 8       /* at most, of one client, before the next */
#define LEAVE_MS 60000          /* for a slow reader to take our last bytes */
#define DRAIN_MS 5000           /* for the client to close after our CLOSE */
#define STOP_MS 1000            /* both of these, once a signal came */
#define RETRY_MS 1000           /* pause after accept() found no resources */

#define HOST_KEY_BITS 3072
#define PREVIEW_LEN 60          /* bytes of a message that are shown */
#define TRACE_LEN 1024          /* bytes of a value that -t shows: all of every
                                   handshake value, the beginning of a record */
#define NAME_LEN_MAX 255        /* NAME_MAX of every usual file system */
#define SYNC_BYTES 33554432     /* fsync as we go: no long stop at the end */
#ifndef DEMO_FILE_MAX
#define DEMO_FILE_MAX 17179869184u /* 16 GiB: the largest file received */
#endif

/* The longest answer to one frame: a handshake reply or a record (never both),
 * and the CLOSE after it. */
#define QUEUE_LEN (SC_FRAME_MAX + SC_CLOSE_LEN)

struct buffers {
    uint8_t in[SC_FRAME_MAX];   /* the frame that is arriving */
    uint8_t out[QUEUE_LEN];     /* what is still to be sent */
};

enum phase { HANDSHAKE, TALKING, LEAVING, DRAINING, GONE };

/* The file a client is sending (-r). */
struct upload {
    int has_name;               /* 1: the contents come next */
    size_t name_len;
    char name[NAME_LEN_MAX + 1];
    char temporary[32];         /* its name until it is whole */
    int fd;                     /* of the temporary file; -1: none yet */
    uint64_t len, unsynced_len;
    sc_sha256 sum;
};

struct client {
    struct server *server;
    unsigned long number;       /* from 1, in order of arrival */
    int fd;
    enum phase phase;
    int is_ready;               /* its handshake has finished */
    int ended_well;
    uint64_t deadline_ms;       /* 0: none */
    sc_channel channel;
    struct buffers *io;         /* NULL while it is idle */
    size_t in_len, in_want;     /* bytes of the frame: here, wanted */
    size_t out_sent, out_len;   /* bytes of the queue: sent, in all */
    int in_message;             /* some of a message is here, not all */
    uint64_t message_len;
    uint8_t preview[PREVIEW_LEN + 1];
    struct upload file;
};

struct options {
    char host[256];
    unsigned port;
    const char *key_path, *clients_path, *folder, *make_key;
    int once, trace, quiet;
};

struct server {
    struct options options;
    char key_path[1024];
    sc_private_key host_key;    /* secret */
    sc_server channels;         /* secret */
    int channels_started;
    sc_authorized_keys clients;
    int folder_fd, listen_fd, stop_fd;  /* -1: none */
    uint64_t now_ms;
    uint64_t accept_again_ms;   /* 0: at once; later: accept() had no means */
    int accept_complained;
    int is_stopping, status;
    unsigned long last_number;
    unsigned long traced;       /* the client -t is about; 0: none */
    size_t n_clients;
    struct client *client[CLIENTS_MAX];
    struct pollfd poll[2 + CLIENTS_MAX]; /* signals, listener, clients */
};

/* ---- 2. words ------------------------------------------------------------ */

/* trouble: one line on standard error; gives 1, the exit status. */
static int trouble(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("demo_server: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

/* say: one line about a client. */
static void say(const struct client *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("client %lu: ", c->number);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* What a result means; for files and sockets the system knows it better. */
static const char *reason(int result)
{
    int system = result == SC_ERR_FILE || result == SC_ERR_LISTEN;
    return system && errno != 0 ? words(errno) : sc_strerror(result);
}

/* char_len: length of the UTF-8 character at p if it may be sent to a terminal,
 * else 0: not for control characters (C0, DEL, C1), for those that reorder or
 * hide text, or for what is not UTF-8 (RFC 3629). */
static size_t char_len(const uint8_t *p, size_t len)
{
    size_t i, n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t code = p[0] & (0x7fu >> n);
    if (p[0] < 0x80)
        return p[0] >= 0x20 && p[0] != 0x7f;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
        return 0;
    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    if ((n == 3 && code < 0x800) || (n == 4 && code < 0x10000)
        || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    if (code < 0xa0 || (code >= 0x200b && code <= 0x200f)
        || (code >= 0x2028 && code <= 0x202e)
        || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff)
        return 0;
    return n;
}

static void hex(char *out, const uint8_t *bytes, size_t len)
{
    static const char digit[] = "0123456789abcdef";
    for (; len > 0; len--) {
        *out++ = digit[*bytes >> 4];
        *out++ = digit[*bytes++ & 15];
    }
    *out = '\0';
}

/* show: bytes as text that is safe to print; 4 * len + 1 fit in out. */
static void show(char *out, const void *bytes, size_t len)
{
    const uint8_t *p = bytes, *end = p + len;
    while (p < end) {
        size_t n = char_len(p, (size_t)(end - p));
        if (*p == '"' || *p == '\\') {
            *out++ = '\\';
            *out++ = (char)*p++;
        } else if (n > 0) {
            memcpy(out, p, n);
            out += n;
            p += n;
        } else {
            *out++ = '\\';
            *out++ = 'x';
            hex(out, p++, 1);
            out += 2;
        }
    }
    *out = '\0';
}

/* One line for a whole message: how long, and how it begins. */
static void say_message(const struct client *c)
{
    char text[4 * PREVIEW_LEN + 1];
    size_t n = PREVIEW_LEN;
    if (c->message_len <= PREVIEW_LEN)
        n = (size_t)c->message_len;
    else                        /* cut before a character, not inside one */
        while (n > PREVIEW_LEN - 4 && (c->preview[n] & 0xc0) == 0x80)
            n--;
    show(text, c->preview, n);
    say(c, "message of %" PRIu64 " byte%s: \"%s\"%s", c->message_len,
        c->message_len == 1 ? "" : "s", text, c->message_len > n ? "..." : "");
}

/* ---- 3. -t: the conversation, drawn -------------------------------------- */

static const char *frame_name(uint8_t type)
{
    static const char *const name[] = {
        "KEY_REQUEST", "PUBLIC_KEYS", "SESSION_KEY", "CONFIRM",
        "CLIENT_CONFIRM", "DATA", "DATA_MORE", "CLOSE"
    };
    return type >= 1 && type <= 8 ? name[type - 1] : "unknown frame";
}

/* Rows of 32 bytes in groups of 4. */
static void draw_hex(const uint8_t *bytes, size_t len)
{
    size_t i, shown = len < TRACE_LEN ? len : TRACE_LEN;
    for (i = 0; i < shown; i++)
        printf("%s%02x%s", i % 32 == 0 ? "    " : i % 4 == 0 ? " " : "",
               bytes[i], i % 32 == 31 || i + 1 == shown ? "\n" : "");
    if (shown < len)
        printf("    ... and %zu bytes more\n", len - shown);
}

/* draw: one value of a conversation (sc_trace_fn).  A header opens a box;
 * what belongs to the frame or was derived from it follows. */
static void draw(void *ctx, const char *sender, const char *name,
                 const uint8_t *bytes, size_t len)
{
    static const char line[] = "----------------------------------------"
                               "------------------------------------";
    const struct server *s = ctx;
    size_t name_len = strlen(name);
    if (len == SC_HEADER_LEN && name_len >= 6
        && strcmp(name + name_len - 6, "header") == 0)
        printf("\n+%s+\n| client %-6lu  %s sends  %-14s  4 + %5u bytes %14s|\n"
               "+%s+\n", line, s->traced, sender, frame_name(bytes[0]),
               256u * bytes[2] + bytes[3], "", line);
    printf("  %s (%s), %zu byte%s\n", name, sender, len, len == 1 ? "" : "s");
    draw_hex(bytes, len);
}

/* ---- 4. a client leaves -------------------------------------------------- */

static int would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

static int borrow_buffers(struct client *c)
{
    if (c->io == NULL)
        c->io = malloc(sizeof *c->io);
    return c->io != NULL;
}

/* Plaintext has been in the buffers: they are wiped. */
static void give_back_buffers(struct client *c)
{
    if (c->io == NULL)
        return;
    sc_wipe(c->io, sizeof *c->io);
    free(c->io);
    c->io = NULL;
}

/* upload_forget: whatever has arrived of a file is removed. */
static void upload_forget(struct client *c)
{
    struct upload *f = &c->file;
    if (f->fd >= 0) {
        close(f->fd);
        folder_remove(c->server->folder_fd, f->temporary);
    }
    memset(f, 0, sizeof *f);
    f->fd = -1;
}

/* drop: this was the last of the client; sweep frees it. */
static void drop(struct client *c)
{
    if (c->phase == GONE)
        return;
    if (c->server->options.once && c->is_ready && !c->ended_well)
        c->server->status = 1;
    upload_forget(c);
    sc_end(&c->channel);
    give_back_buffers(c);
    c->out_sent = c->out_len = 0;
    close_socket(c->fd);
    c->phase = GONE;
}

/* Why it ended, said once: a client that leaves already has had its line. */
static void say_ended(const struct client *c, const char *why)
{
    if (c->phase < LEAVING)
        say(c, "ended%s: %s", c->is_ready ? "" : " in the handshake", why);
}

static void drop_saying(struct client *c, const char *why)
{
    say_ended(c, why);
    drop(c);
}

/* flush: send of the queue what the client takes now. */
static void flush(struct client *c)
{
    while (c->out_sent < c->out_len) {
        ssize_t n = send_bytes(c->fd, c->io->out + c->out_sent,
                               c->out_len - c->out_sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && would_block(errno))
            return;
        if (n < 0) {
            drop_saying(c, words(errno));
            return;
        }
        c->out_sent += (size_t)n;
    }
    c->out_sent = c->out_len = 0;
    if (c->phase == LEAVING) {
        shut_writing(c->fd);
        c->phase = DRAINING;
        c->deadline_ms = c->server->now_ms
                         + (c->server->is_stopping ? STOP_MS : DRAIN_MS);
    }
}

/* leave: queue the CLOSE that the channel owes, and begin to end. */
static void leave(struct client *c)
{
    size_t n = 0;
    upload_forget(c);
    if (!borrow_buffers(c)) {
        drop(c);
        return;
    }
    sc_shut(&c->channel, c->io->out + c->out_len, &n);
    c->out_len += n;
    sc_end(&c->channel);
    c->phase = LEAVING;
    c->deadline_ms = c->server->now_ms
                     + (c->server->is_stopping ? STOP_MS : LEAVE_MS);
    flush(c);
}

static void leave_saying(struct client *c, const char *why)
{
    say_ended(c, why);
    leave(c);
}

/* drain: read and forget, until the client has closed its side too. */
static void drain(struct client *c)
{
    uint8_t forgotten[SC_RECORD_MAX];
    int i;
    for (i = 0; i < FRAMES_PER_TURN; i++) {
        ssize_t n = recv_bytes(c->fd, forgotten, sizeof forgotten);
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (n == 0 || !would_block(errno))
            drop(c);
        return;
    }
}

/* The deadline is over: of the handshake, of leaving or of draining. */
static void run_out_of_time(struct client *c)
{
    if (c->phase != HANDSHAKE) {
        drop(c);
        return;
    }
    c->out_sent = c->out_len = 0;
    sc_fail(&c->channel, SC_ERR_TIMEOUT);
    leave_saying(c, "not finished after 30 seconds");
}

/* ---- 5. sending messages back -------------------------------------------- */

/* queue_record: seal one record for the client. */
static int queue_record(struct client *c, int more, const void *data,
                        size_t data_len)
{
    size_t n = 0;
    int r = sc_seal(&c->channel, more, data, data_len,
                    c->io->out + c->out_len, &n);
    if (r == SC_OK)
        c->out_len += n;
    else
        leave_saying(c, sc_strerror(r));
    return r;
}

/* echo: the record goes back as it came: same bytes, same length, and the
 * message goes on or ends where the client's did. */
static void echo(struct client *c, const sc_event *event)
{
    if (!c->in_message)
        c->message_len = 0;
    if (c->message_len < sizeof c->preview) {
        size_t n = sizeof c->preview - (size_t)c->message_len;
        if (n > event->data_len)
            n = event->data_len;
        if (n > 0)
            memcpy(c->preview + c->message_len, event->data, n);
    }
    c->message_len += event->data_len;
    c->in_message = event->kind == SC_EVENT_PART;
    if (queue_record(c, c->in_message, event->data, event->data_len) == SC_OK
        && !c->in_message && !c->server->options.quiet)
        say_message(c);
}

/* ---- 6. receiving files -------------------------------------------------- */

/* A conversation: name, contents, answer; name, contents, answer; ...  The
 * contents go to a temporary file that gets its name only when the message's
 * authenticated end has come and the disk has everything. */

/* refuse: answer "error: ..." and finish; what still comes is drained. */
static void refuse(struct client *c, const char *why, const char *what_to_do)
{
    char name[4 * NAME_LEN_MAX + 1], text[256];
    snprintf(text, sizeof text, "error: not stored: %s; %s", why, what_to_do);
    if (queue_record(c, 0, text, strlen(text)) != SC_OK)
        return;
    show(name, c->file.name, c->file.name_len);
    say(c, "ended: \"%s\" was not stored: %s", name, why);
    leave(c);
}

/* refuse_errno: the same, for a reason of the file system's. */
static void refuse_errno(struct client *c, int error)
{
    if (error == EEXIST)
        refuse(c, "a file of this name exists and is not overwritten",
               "send it under another name");
    else if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        refuse(c, "the server's disk is full, or takes no larger file",
               "make room there, then send it again");
    else
        refuse(c, strerror(error), "ask whoever runs the server");
}

/* name_fault: why such a name is refused, or NULL if it may be used. */
static const char *name_fault(const char *name, size_t len)
{
    size_t i;
    if (len == 0)
        return "a name has at least one byte";
    if (name[0] == '.')
        return "a name does not begin with a dot";
    for (i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)name[i];
        if (byte < 0x20 || byte == 0x7f)
            return "a name has no control bytes";
        if (byte == '/' || byte == '\\')
            return "a name has no slashes: it is not a path";
        if (byte == '.' && i + 1 < len && name[i + 1] == '.')
            return "a name has no \"..\"";
    }
    return name_fault_here(name);
}

static void take_name(struct client *c, const sc_event *event)
{
    static const char advice[] = "send it under another name";
    struct upload *f = &c->file;
    const char *fault;
    if (event->data_len > NAME_LEN_MAX - f->name_len) {
        refuse(c, "a name has at most 255 bytes", advice);
        return;
    }
    if (event->data_len > 0)
        memcpy(f->name + f->name_len, event->data, event->data_len);
    f->name_len += event->data_len;
    if (event->kind == SC_EVENT_PART)
        return;
    f->name[f->name_len] = '\0';
    fault = name_fault(f->name, f->name_len);
    if (fault != NULL)
        refuse(c, fault, advice);
    else if (folder_has(c->server->folder_fd, f->name))
        refuse_errno(c, EEXIST);
    else
        f->has_name = 1;
}

static int upload_open(struct client *c)
{
    struct upload *f = &c->file;
    uint8_t random[8];
    if (sc_os_random(NULL, random, sizeof random) != SC_OK) {
        errno = EIO;
        return -1;
    }
    strcpy(f->temporary, ".part-");
    hex(f->temporary + 6, random, sizeof random);
    f->fd = folder_create(c->server->folder_fd, f->temporary);
    sc_sha256_init(&f->sum);
    return f->fd < 0 ? -1 : 0;
}

static int upload_sync(struct upload *f)
{
    int r;
    do
        r = fsync(f->fd);
    while (r != 0 && errno == EINTR);
    f->unsynced_len = 0;
    return r;
}

static int upload_write(struct upload *f, const uint8_t *data, size_t data_len)
{
    sc_sha256_add(&f->sum, data, data_len);
    f->len += data_len;
    f->unsynced_len += data_len;
    while (data_len > 0) {
        ssize_t n = write(f->fd, data, (unsigned)data_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        data += n;
        data_len -= (size_t)n;
    }
    return f->unsynced_len < SYNC_BYTES ? 0 : upload_sync(f);
}

static void take_contents(struct client *c, const sc_event *event)
{
    struct upload *f = &c->file;
    uint8_t digest[32];
    char text[65], name[4 * NAME_LEN_MAX + 1];
    c->in_message = event->kind == SC_EVENT_PART;
    if (f->len + event->data_len > DEMO_FILE_MAX) {
        snprintf(text, sizeof text, "it has more than %" PRIu64 " bytes",
                 (uint64_t)DEMO_FILE_MAX);
        refuse(c, text, "send it in pieces");
        return;
    }
    if ((f->fd < 0 && upload_open(c) != 0)
        || upload_write(f, event->data, event->data_len) != 0
        || (!c->in_message
            && (upload_sync(f) != 0
                || folder_publish(c->server->folder_fd, &f->fd, f->temporary,
                                  f->name) != 0))) {
        refuse_errno(c, errno);
        return;
    }
    if (c->in_message)
        return;
    sc_sha256_end(&f->sum, digest);
    hex(text, digest, sizeof digest);
    show(name, f->name, f->name_len);
    if (queue_record(c, 0, text, 64) != SC_OK)
        return;
    if (!c->server->options.quiet)
        say(c, "stored \"%s\": %" PRIu64 " bytes, SHA-256 %s", name, f->len,
            text);
    upload_forget(c);
}

/* ---- 7. a client speaks -------------------------------------------------- */

static void close_listener(struct server *s)
{
    if (s->listen_fd >= 0)
        close_socket(s->listen_fd);
    s->listen_fd = -1;
}

/* With -1 the first client to finish its handshake is the only one. */
static void serve_no_other(struct client *c)
{
    struct server *s = c->server;
    size_t i;
    close_listener(s);
    for (i = 0; i < s->n_clients; i++)
        if (s->client[i] != c)
            drop_saying(s->client[i], "this server serves one client (-1)");
}

static void take_ready(struct client *c)
{
    const sc_public_key *key = sc_peer_key(&c->channel);
    char who[SC_FINGERPRINT_MAX + 4] = "anonymous", session[9];
    if (key != NULL) {
        memcpy(who, "key ", 4);
        sc_fingerprint(key, who + 4);
    }
    hex(session, sc_session_id(&c->channel), 4);
    say(c, "handshake finished: %s, session %s", who, session);
    c->phase = TALKING;
    c->is_ready = 1;
    c->deadline_ms = 0;
    if (c->server->options.once)
        serve_no_other(c);
}

/* The client has finished, and everything it sent has been answered. */
static void take_close(struct client *c)
{
    if (c->file.name_len > 0) {
        refuse(c, "its contents never came", "send name and contents again");
        return;
    }
    c->ended_well = 1;
    leave_saying(c, "the client has finished");
}

/* The library found an error, or the client told us one. */
static void take_error(struct client *c, int error)
{
    const char *list = c->server->options.clients_path;
    char fingerprint[SC_FINGERPRINT_MAX], line[256];
    snprintf(line, sizeof line, "%s", sc_strerror(error));
    if (error == SC_ERR_NOT_AUTHORISED) {
        sc_fingerprint(sc_peer_key(&c->channel), fingerprint);
        snprintf(line, sizeof line, "refused %s: not in %.160s", fingerprint,
                 list != NULL ? list : "any list (start with -a FILE)");
    } else if (error == SC_ERR_FILE) {
        snprintf(line, sizeof line, "cannot look its key up in %.160s: %s",
                 list, strerror(errno));
    }
    leave_saying(c, line);
}

/* read_frame: 1 when a whole frame is there; 0: not yet, or never. */
static int read_frame(struct client *c)
{
    while (c->in_len < c->in_want) {
        ssize_t n = recv_bytes(c->fd, c->io->in + c->in_len,
                               c->in_want - c->in_len);
        int r;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                drop_saying(c, sc_strerror(sc_eof(&c->channel)));
            else if (!would_block(errno))
                drop_saying(c, words(errno));
            return 0;
        }
        c->in_len += (size_t)n;
        if (c->in_len != SC_HEADER_LEN)
            continue;
        r = sc_frame_len(&c->channel, c->io->in, &c->in_want);
        if (r != SC_OK) {
            take_error(c, r);
            return 0;
        }
    }
    return 1;
}

static void take_frame(struct client *c)
{
    sc_event event = { SC_EVENT_NONE, NULL, 0 };
    int r = sc_input(&c->channel, c->io->in, c->in_len, &event, c->io->out,
                     &c->out_len);
    c->in_len = 0;
    c->in_want = SC_HEADER_LEN;
    if (r != SC_OK)
        take_error(c, r);
    else if (event.kind == SC_EVENT_READY)
        take_ready(c);
    else if (event.kind == SC_EVENT_CLOSED)
        take_close(c);
    else if (event.kind == SC_EVENT_NONE)
        return;
    else if (c->server->folder_fd < 0)
        echo(c, &event);
    else if (!c->file.has_name)
        take_name(c, &event);
    else
        take_contents(c, &event);
}

static void converse(struct client *c)
{
    int i;
    if (!borrow_buffers(c)) {
        drop_saying(c, "the server has no memory left");
        return;
    }
    for (i = 0; i < FRAMES_PER_TURN; i++) {
        if (c->phase > TALKING || c->out_len > 0 || !read_frame(c))
            return;
        take_frame(c);
        flush(c);
    }
}

/* One client's turn.  events: what poll() said of its socket. */
static void serve_client(struct client *c, short events)
{
    c->server->traced = c->number;
    if (c->phase != GONE && c->deadline_ms != 0
        && c->server->now_ms >= c->deadline_ms)
        run_out_of_time(c);
    if (c->phase == GONE || events == 0)
        return;
    if (c->out_len > 0)
        flush(c);
    if (c->phase == DRAINING)
        drain(c);
    else if (c->phase < LEAVING)
        converse(c);
    if (c->in_len == 0 && c->out_len == 0)
        give_back_buffers(c);
}

/* ---- 8. a client comes --------------------------------------------------- */

/* sweep: free the clients that are gone. */
static void sweep(struct server *s)
{
    size_t i, kept = 0;
    for (i = 0; i < s->n_clients; i++) {
        struct client *c = s->client[i];
        if (c->phase != GONE) {
            s->client[kept++] = c;
            continue;
        }
        sc_wipe(c, sizeof *c);
        free(c);
    }
    s->n_clients = kept;
}

/* Nothing is lost but patience when such a client goes. */
static int is_expendable(const struct client *c)
{
    return !c->is_ready || c->phase == DRAINING;
}

static size_t count_expendable(const struct server *s)
{
    size_t i, n = 0;
    for (i = 0; i < s->n_clients; i++)
        n += (size_t)is_expendable(s->client[i]);
    return n;
}

static int is_full(const struct server *s)
{
    return s->n_clients == CLIENTS_MAX
           || count_expendable(s) >= HANDSHAKES_MAX;
}

/* make_room: the oldest unfinished handshake ends; 0 if there is none. */
static int make_room(struct server *s)
{
    size_t i;
    for (i = 0; i < s->n_clients; i++)  /* the table is in order of arrival */
        if (is_expendable(s->client[i])) {
            drop_saying(s->client[i], "not finished, made room for another");
            sweep(s);
            return 1;
        }
    return 0;
}

static void say_connected(struct client *c, const struct sockaddr *address,
                          socklen_t address_len)
{
    char host[64] = "?", port[8] = "?";
    getnameinfo(address, address_len, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    say(c, "connected from %s port %s", host, port);
}

/* welcome: a client for this socket; NULL if there are no means. */
static struct client *welcome(struct server *s, int fd)
{
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL || set_flags(fd) != 0
        || sc_server_accept(&c->channel, &s->channels) != SC_OK) {
        free(c);
        close_socket(fd);
        return NULL;
    }
    /* a short record does not wait for others; a dead peer is noticed */
    turn_on(fd, IPPROTO_TCP, TCP_NODELAY);
    turn_on(fd, SOL_SOCKET, SO_KEEPALIVE);
    c->server = s;
    c->number = ++s->last_number;
    c->fd = fd;
    c->deadline_ms = s->now_ms + SC_HANDSHAKE_MS;
    c->in_want = SC_HEADER_LEN;
    c->file.fd = -1;
    s->client[s->n_clients++] = c;
    return c;
}

/* No descriptor or memory for another client: wait, and say so once. */
static void pause_accepting(struct server *s, const char *why)
{
    s->accept_again_ms = s->now_ms + RETRY_MS;
    if (!s->accept_complained)
        trouble("cannot accept more clients now (%s): new ones wait until "
                "others have left", why);
    s->accept_complained = 1;
}

/* accept_one: one client a turn.  Where no place or descriptor is left, poll()
 * has promised that somebody is waiting, so room is not made for nobody. */
static void accept_one(struct server *s)
{
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    struct client *c = NULL;
    int fd;
    if (is_full(s) && !make_room(s)) {
        pause_accepting(s, "all places are taken");
        return;
    }
    fd = accept_from(s->listen_fd, (struct sockaddr *)&from, &from_len);
    if (fd < 0 && (would_block(errno) || errno == EINTR
                   || errno == ECONNABORTED))
        return;
    if (fd >= 0)
        c = welcome(s, fd);
    if (c != NULL) {
        s->accept_complained = 0;
        say_connected(c, (struct sockaddr *)&from, from_len);
    } else {
        const char *why = words(errno);
        if (!make_room(s))
            pause_accepting(s, why);
    }
}

/* ---- 9. the loop --------------------------------------------------------- */

/* stop: nobody else comes in; those who talk are told and get STOP_MS to
 * leave.  The second time, nobody waits. */
static void stop(struct server *s)
{
    uint64_t deadline = s->now_ms + (s->is_stopping ? 0 : STOP_MS);
    size_t i;
    forget_signals(s->stop_fd);
    s->is_stopping = 1;
    close_listener(s);
    for (i = 0; i < s->n_clients; i++) {
        struct client *c = s->client[i];
        s->traced = c->number;
        if (c->phase == TALKING && c->in_message)
            sc_fail(&c->channel, SC_ERR_INTERNAL);
        if (c->phase == HANDSHAKE)
            drop_saying(c, "the server was stopped");
        else if (c->phase == TALKING)
            leave_saying(c, "the server was stopped");
        if (c->deadline_ms > deadline)
            c->deadline_ms = deadline;
    }
}

/* sleep_until: *wait_ms shrinks to what is left until then. */
static void sleep_until(const struct server *s, uint64_t then_ms, int *wait_ms)
{
    uint64_t left = then_ms <= s->now_ms ? 0 : then_ms - s->now_ms;
    if (left < (uint64_t)*wait_ms)
        *wait_ms = (int)left;
}

static void want(struct pollfd *p, int fd, short events)
{
    p->fd = (poll_fd)fd;        /* poll() passes over -1 */
    p->events = events;
    p->revents = 0;
}

/* wait_for_something: a byte, a place in a queue, a client, a signal, or time
 * for something.  The short-lived key is turned over here, step by step. */
static int wait_for_something(struct server *s)
{
    unsigned tick_ms;
    int wait_ms = 60000;
    size_t i;
    int r = sc_server_tick(&s->channels, s->now_ms, &tick_ms);
    if (r != SC_OK)
        return r;
    sleep_until(s, s->now_ms + tick_ms, &wait_ms);
    want(&s->poll[0], s->stop_fd, POLLIN);
    if (s->accept_again_ms > s->now_ms)
        sleep_until(s, s->accept_again_ms, &wait_ms);
    want(&s->poll[1], s->accept_again_ms > s->now_ms ? -1 : s->listen_fd,
         POLLIN);
    for (i = 0; i < s->n_clients; i++) {
        const struct client *c = s->client[i];
        int is_sending = c->out_len > 0;
        want(&s->poll[2 + i], c->fd, is_sending ? POLLOUT : POLLIN);
        if (c->deadline_ms != 0)
            sleep_until(s, c->deadline_ms, &wait_ms);
    }
    if (poll(s->poll, (nfds_t)(2 + s->n_clients), wait_ms) < 0
        && errno != EINTR && errno != EAGAIN)
        return SC_ERR_INTERNAL;
    s->now_ms = sc_now_ms();
    return SC_OK;
}

/* serve: until nobody is here and nobody can come. */
static void serve(struct server *s)
{
    s->now_ms = sc_now_ms();
    while (s->listen_fd >= 0 || s->n_clients > 0) {
        int r = wait_for_something(s);
        size_t i;
        if (r != SC_OK) {
            s->status = trouble("the server cannot go on: %s; start it again "
                                "when that is mended", r == SC_ERR_INTERNAL ?
                                strerror(errno) : sc_strerror(r));
            return;
        }
        for (i = 0; i < s->n_clients; i++)
            serve_client(s->client[i], s->poll[2 + i].revents);
        if (s->poll[0].revents != 0)
            stop(s);
        if (s->poll[1].revents != 0 && s->listen_fd >= 0)
            accept_one(s);
        sweep(s);
    }
}

/* ---- 10. the start ------------------------------------------------------- */

static int start_signals(struct server *s)
{
    s->stop_fd = catch_signals();
    if (s->stop_fd < 0)
        return trouble("cannot make a pipe: %s; try again when the system has "
                       "more to give", words(errno));
    return 0;
}

static int key_trouble(const char *path, int result)
{
    const char *why = reason(result);
    if (result == SC_ERR_FILE_MODE)
        return trouble("%s: other users can read this private key; type "
                       "chmod 600 %s, or make a new one if somebody has", path,
                       path);
    if (result == SC_ERR_FILE_EXISTS)
        return trouble("%s or %s.pub: %s; choose another name, or move them "
                       "away", path, path, why);
    if (result == SC_ERR_FILE)
        return trouble("%s: %s; choose another place for the key", path, why);
    return trouble("%s: %s; make a new key with --make-key FILE and use it "
                   "with -k FILE", path, why);
}

static void show_progress(void *ctx, char mark)
{
    (void)ctx;
    fputc(mark, stderr);
}

/* make_key: a new key, in path and path.pub. */
static int make_key(sc_private_key *key, const char *path)
{
    int is_watched = isatty(STDERR_FILENO);
    int r = sc_key_generate(key, HOST_KEY_BITS,
                            is_watched ? show_progress : NULL, NULL);
    if (is_watched)
        fputc('\n', stderr);
    if (r == SC_OK)
        r = sc_key_save(key, path, "demo_server");
    if (r == SC_OK)
        printf("made a new %d-bit key: %s and %s.pub\n", HOST_KEY_BITS, path,
               path);
    return r;
}

static void print_key(const sc_private_key *key)
{
    char fingerprint[SC_FINGERPRINT_MAX], picture[SC_RANDOMART_MAX];
    sc_fingerprint(&key->pub, fingerprint);
    sc_randomart(&key->pub, picture);
    printf("key fingerprint %s\n%s", fingerprint, picture);
    if (picture[strlen(picture) - 1] != '\n')
        putchar('\n');
}

/* --make-key FILE */
static int make_key_only(const char *path)
{
    sc_private_key key;
    int r = make_key(&key, path);
    if (r == SC_OK)
        print_key(&key);
    sc_wipe(&key, sizeof key);
    return r == SC_OK ? 0 : key_trouble(path, r);
}

/* Without -k the key is ~/.secchan/host_key. */
static int choose_key_path(struct server *s)
{
    const char *home = getenv(HOME);
    size_t room = sizeof s->key_path;
    int n;
    if (s->options.key_path != NULL)
        return 0;
    if (home == NULL || home[0] == '\0')
        return trouble("no home folder for the host key: say where with "
                       "-k FILE");
    n = snprintf(s->key_path, room, "%s/.secchan", home);
    if (n < 0 || (size_t)n + sizeof "/host_key" > room)
        return trouble("%s: this path is too long; say where the host key is "
                       "with -k FILE", home);
    if (make_folder(s->key_path) != 0 && errno != EEXIST)
        return trouble("%s: %s; say where the host key is with -k FILE",
                       s->key_path, strerror(errno));
    memcpy(s->key_path + n, "/host_key", sizeof "/host_key");
    s->options.key_path = s->key_path;
    return 0;
}

/* The host key: who this server is.  It is made on the first start. */
static int load_host_key(struct server *s)
{
    const char *path;
    int r;
    if (choose_key_path(s) != 0)
        return 1;
    path = s->options.key_path;
    r = sc_key_load(&s->host_key, path);
    if (r == SC_ERR_FILE && errno == ENOENT)
        r = make_key(&s->host_key, path);
    if (r != SC_OK)
        return key_trouble(path, r);
    print_key(&s->host_key);
    return 0;
}

static void complain(void *ctx, const char *path, size_t line, const char *why)
{
    (void)ctx;
    trouble("%s, line %zu: %s", path, line, why);
}

/* -a: looking up a key in the list shows whether it can be read at all. */
static int check_client_list(struct server *s)
{
    int r;
    s->clients.path = s->options.clients_path;
    s->clients.complain = complain;
    if (s->clients.path == NULL)
        return 0;
    r = sc_authorise_by_file(&s->clients, &s->host_key.pub);
    if (r == SC_OK || r == SC_ERR_NOT_AUTHORISED)
        return 0;
    return trouble("%s: %s; -a wants a file with the clients' public keys, "
                   "one a line", s->clients.path, reason(r));
}

/* -r */
static int open_folder(struct server *s)
{
    const char *path = s->options.folder;
    if (path == NULL)
        return 0;
    s->folder_fd = folder_open(path);
    if (s->folder_fd < 0)
        return trouble("%s: %s; -r wants a folder that it can write to", path,
                       strerror(errno));
    return 0;
}

/* The first short-lived key is made here. */
static int start_channels(struct server *s)
{
    sc_server_options o;
    int r;
    memset(&o, 0, sizeof o);
    o.host_key = &s->host_key;
    if (s->options.clients_path != NULL) {
        o.require_client_key = 1;
        o.authorise = sc_authorise_by_file;
        o.authorise_ctx = &s->clients;
    }
    if (s->options.trace) {
        o.trace = draw;
        o.trace_ctx = s;
    }
    r = sc_server_init(&s->channels, &o, sc_now_ms());
    if (r != SC_OK)
        return trouble("cannot make the short-lived key: %s; try again when it "
                       "does", sc_strerror(r));
    s->channels_started = 1;
    return 0;
}

static int start_listening(struct server *s)
{
    const struct options *o = &s->options;
    struct sockaddr_storage here;
    socklen_t here_len = sizeof here;
    char host[64], port[8];
    int r = sc_listen(o->host, o->port, &s->listen_fd);
    if (r != SC_OK) {
        s->listen_fd = -1;
        return trouble("%s port %u: %s; choose another address with "
                       "-l HOST:PORT", o->host, o->port, reason(r));
    }
    if (set_flags(s->listen_fd) != 0
        || getsockname((poll_fd)s->listen_fd, (struct sockaddr *)&here,
                       &here_len) != 0
        || getnameinfo((struct sockaddr *)&here, here_len, host, sizeof host,
                       port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return trouble("%s port %u: cannot say where that is: %s; choose "
                       "another address with -l HOST:PORT", o->host, o->port,
                       words(errno));
    printf("listening on %s port %s\n", host, port);
    return 0;
}

static void print_manners(const struct options *o)
{
    if (o->clients_path != NULL)
        printf("clients: those with a key in %s\n", o->clients_path);
    else
        printf("clients: anyone, without a key (-a FILE: only listed keys)\n");
    if (o->folder != NULL)
        printf("files are received in %s\n", o->folder);
    else
        printf("every message is sent back as it came\n");
    if (o->trace)
        printf("WARNING: -t prints the secrets of every conversation, keys "
               "included: for class only\n");
}

/* Secrets are wiped, and no socket or file stays open. */
static void clean_up(struct server *s)
{
    size_t i;
    for (i = 0; i < s->n_clients; i++)
        drop(s->client[i]);
    sweep(s);
    close_listener(s);
    if (s->channels_started)
        sc_server_end(&s->channels);
    sc_wipe(&s->host_key, sizeof s->host_key);
    if (s->folder_fd >= 0)
        folder_close(s->folder_fd);
}

/* ---- 11. arguments and main ---------------------------------------------- */

static const char help[] =
    "usage: demo_server [-l [HOST:]PORT] [-k KEYFILE] [-a AUTHORIZED_KEYS]\n"
    "                   [-r DIR] [-1] [-t] [-q]\n"
    "       demo_server --make-key FILE\n"
    "\n"
    "A secure channel's server (secchan/1).  It sends every message back as\n"
    "it came, or receives files.\n"
    "\n"
    "  -l [HOST:]PORT  listen there (127.0.0.1:4422); [::1]:4422 for IPv6,\n"
    "                  0.0.0.0:4422 for every network, port 0 for a free one\n"
    "  -k KEYFILE      the host key (~/.secchan/host_key), made if missing\n"
    "  -a FILE         serve only clients that hold a key listed in FILE\n"
    "  -r DIR          receive files into DIR: a message is the name, the\n"
    "                  next one the contents, the answer their SHA-256\n"
    "  -1              serve one client that is let in, then end\n"
    "  -t              print the conversations byte by byte, secrets included\n"
    "  -q              print no line for each message\n"
    "  --make-key FILE make a key in FILE and FILE.pub, then end\n"
    "  -h, --help      print this    --version  print the version\n"
    "\n"
    "Exit status: 0 done, 1 failure, 2 wrong usage.\n";

/* What the arguments ask for besides serving. */
enum { GO_ON = -1, DONE = 0, WRONG_USAGE = 2 };

static int wrong_usage(const char *what, const char *why)
{
    trouble("%s: %s; demo_server --help tells more", what, why);
    return WRONG_USAGE;
}

/* PORT, HOST:PORT or [HOST]:PORT. */
static int read_address(struct options *o, const char *text)
{
    const char *colon = strrchr(text, ':'), *host = text;
    const char *port = colon == NULL ? text : colon + 1;
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - text);
    size_t n_digits = strspn(port, "0123456789");
    if (n_digits < 1 || n_digits > 5 || port[n_digits] != '\0'
        || strtoul(port, NULL, 10) > 65535)
        return wrong_usage(text, "-l wants a port of 0 to 65535 at the end");
    o->port = (unsigned)strtoul(port, NULL, 10);
    if (colon == NULL)
        return GO_ON;
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    } else if (memchr(host, ':', host_len) != NULL) {
        return wrong_usage(text, "-l wants brackets around an IPv6 address: "
                                 "[::1]:4422");
    }
    if (host_len == 0 || host_len >= sizeof o->host)
        return wrong_usage(text, "-l wants a host before the colon, or no "
                                 "colon");
    memcpy(o->host, host, host_len);
    o->host[host_len] = '\0';
    return GO_ON;
}

/* --help, --version, --make-key FILE, --make-key=FILE; word: after the --. */
static int read_long_option(struct options *o, const char *word, int argc,
                            char **argv)
{
    if (strcmp(word, "help") == 0) {
        fputs(help, stdout);
        return DONE;
    }
    if (strcmp(word, "version") == 0) {
        puts("demo_server (secchan) " SC_VERSION);
        return DONE;
    }
    if (strncmp(word, "make-key=", 9) == 0)
        o->make_key = word + 9;
    else if (strcmp(word, "make-key") != 0)
        return wrong_usage(argv[optind - 1], "there is no such option");
    else if (optind < argc)
        o->make_key = argv[optind++];
    if (o->make_key == NULL || o->make_key[0] == '\0')
        return wrong_usage("--make-key", "a file name is missing");
    return GO_ON;
}

/* getopt knows only short options.  To most, --word is the option '-' with the
 * argument "word"; some refuse that, so --word is looked for before. */
static int read_arguments(struct options *o, int argc, char **argv)
{
    int c, next = GO_ON;
    char option[3] = "-?";
    strcpy(o->host, "127.0.0.1");
    o->port = 4422;
    opterr = 0;
    while (next == GO_ON) {
        const char *word = optind < argc ? argv[optind] : "";
        if (strncmp(word, "--", 2) == 0 && word[2] != '\0') {
            optind++;
            next = read_long_option(o, word + 2, argc, argv);
            continue;
        }
        c = getopt(argc, argv, ":l:k:a:r:1tqh-:");
        if (c == -1)
            break;
        option[1] = (char)optopt;
        switch (c) {
        case 'l': next = read_address(o, optarg); break;
        case 'k': o->key_path = optarg; break;
        case 'a': o->clients_path = optarg; break;
        case 'r': o->folder = optarg; break;
        case '1': o->once = 1; break;
        case 't': o->trace = 1; break;
        case 'q': o->quiet = 1; break;
        case 'h': next = read_long_option(o, "help", argc, argv); break;
        case '-': next = read_long_option(o, optarg, argc, argv); break;
        case ':': next = wrong_usage(option, "its argument is missing"); break;
        default: next = wrong_usage(option, "there is no such option"); break;
        }
    }
    if (next == GO_ON && optind < argc)
        next = wrong_usage(argv[optind], "no argument is expected here");
    return next;
}

/* printed: the exit status, once standard output has taken everything. */
static int printed(int status)
{
    if (status == 0 && (fflush(stdout) == EOF || ferror(stdout)))
        return trouble("cannot write to standard output; some of the text is "
                       "lost (a key that was asked for is made)");
    return status;
}

int main(int argc, char **argv)
{
    static struct server s;
    int next = read_arguments(&s.options, argc, argv);
    fill_standard_descriptors();
    if (next != GO_ON)
        return printed(next);
    setvbuf(stdout, NULL, LINE_BY_LINE, BUFSIZ);    /* scripts wait for them */
    if (s.options.make_key != NULL)
        return printed(make_key_only(s.options.make_key));

    s.folder_fd = s.listen_fd = s.stop_fd = -1;
    raise_descriptor_limit();
    s.status = start_signals(&s);
    if (s.status == 0)
        s.status = load_host_key(&s);       /* who we are */
    if (s.status == 0)
        s.status = check_client_list(&s);   /* -a: who may come in */
    if (s.status == 0)
        s.status = open_folder(&s);         /* -r: where files go */
    if (s.status == 0)
        s.status = start_channels(&s);      /* the first short-lived key */
    if (s.status == 0) {
        print_manners(&s.options);
        s.status = start_listening(&s);
    }
    if (s.status == 0)
        serve(&s);                          /* everything else */
    clean_up(&s);
    return s.status;
}
