/* faults.c: system calls that fail on demand.  Linked into a program, or put
 * before one by LD_PRELOAD, it stands between the program and the C library:
 * it counts every call, and makes the one that was asked for fail, give less,
 * or kill the process just before or just after it.
 * Needs:   Linux, glibc (64 bits); -ldl where that is not part of libc.
 * From the environment:
 *     FAULTS_PLAN  CALL AT VARIANT [+], up to two of them with a comma between:
 *                  "fsync 2 0": what stands first below for fsync, the 2nd time
 *                  (+: and every time after that).  Variant 100: kill -9 before
 *                  the call; 101: after it.
 *     FAULTS_LOG   a file; a line for each call: name, which time, how many
 *                  variants, first argument (-1: no number), result, errno.  At
 *                  the end a line "left N WHAT" for each descriptor still open.
 *     FAULTS_SEED  random bytes are made from this number, so that a run can be
 *                  repeated.
 * "stdout" is a call, too: writes of standard output, which the C library does
 * behind our back.  malloc and calloc (with -DFAULTS_MALLOC) count only when
 * the program itself asks. */

#define _GNU_SOURCE
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- 1. what can happen -------------------------------------------------- */

/* Those first that a program is more likely to get wrong. */
static const struct {
    const char *name;
    int how[12];
} can[] = {
    { "accept", { EMFILE, ECONNABORTED, EINTR, EAGAIN, ENFILE, ENOBUFS, ENOMEM,
                  EPROTO, ENETDOWN, EPERM } },
    { "bind", { EADDRINUSE, EACCES, EADDRNOTAVAIL, ENOMEM } },
    { "calloc", { ENOMEM } },
    { "clock_gettime", { EINVAL } },
    { "close", { EIO, EINTR, ENOSPC, EDQUOT } },
    { "connect", { ECONNREFUSED, EINTR, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH,
                   EAGAIN, EADDRNOTAVAIL } },
    { "faccessat", { EACCES, EIO, EROFS } },
    { "fcntl", { EINVAL, ENOMEM } },
    { "fopen", { ENXIO, EMFILE } },
    { "fstat", { EIO, ENOMEM } },
    { "fstatat", { EIO, EACCES, ENOMEM } },
    { "fsync", { EIO, ENOSPC, EINTR, EDQUOT, EROFS } },
    { "ftruncate", { EIO, EINTR } },
    { "getaddrinfo", { EMFILE, ENOMEM, EAGAIN } },
    { "getnameinfo", { EMFILE, ENOMEM } },
    { "getrandom", { EIO, FAULTS_SHORT, EINTR, ENOSYS, EAGAIN } },
    { "getrlimit", { EINVAL } },
    { "getsockname", { ENOBUFS } },
    { "getsockopt", { ENOBUFS, ENOTSOCK } },
    { "linkat", { EIO, ENOSPC, EEXIST, EPERM, EMLINK, EINTR } },
    { "listen", { EADDRINUSE, ENOBUFS } },
    { "lseek", { EIO, ESPIPE } },
    { "malloc", { ENOMEM } },
    { "mkdir", { ENOSPC, EACCES, EIO, EROFS } },
    { "open", { EMFILE, EACCES, EINTR, EIO, ENFILE, ENOSPC, EROFS, ENOMEM } },
    { "openat", { EMFILE, EACCES, EINTR, EIO, ENOSPC, EDQUOT, EROFS, EEXIST } },
    { "pipe", { EMFILE, ENFILE } },
    { "poll", { EINTR, EAGAIN, FAULTS_NOTHING, ENOMEM } },
    { "pread", { EIO, EINTR, FAULTS_NOTHING } },
    { "read", { EIO, FAULTS_SHORT, EINTR, FAULTS_HALF, EISDIR } },
    { "recv", { ECONNRESET, FAULTS_SHORT, EINTR, EAGAIN, FAULTS_NOTHING,
                FAULTS_HALF, ETIMEDOUT, ENOMEM, EIO } },
    { "send", { EPIPE, FAULTS_SHORT, EINTR, EAGAIN, FAULTS_HALF, ECONNRESET,
                ENOBUFS, ENOMEM, ETIMEDOUT } },
    { "setrlimit", { EPERM } },
    { "setsockopt", { ENOPROTOOPT, ENOMEM } },
    { "shutdown", { ENOTCONN, ENOBUFS } },
    { "socket", { EMFILE, ENFILE, ENOBUFS, EACCES, EAFNOSUPPORT } },
    { "stdout", { ENOSPC, EIO, EPIPE, EINTR } },
    { "unlink", { EIO, EROFS } },
    { "unlinkat", { EIO, EROFS } },
    { "write", { ENOSPC, FAULTS_SHORT, EINTR, FAULTS_HALF, EIO, EDQUOT,
                 EFBIG } },
};
enum { N_CALLS = sizeof can / sizeof *can, HOW_MAX = 12 };

static unsigned long times[N_CALLS];
static int log_fd = -1;
static char was_open[1000];
static uint64_t seed;
static int is_seeded;

struct faults_plan faults_plan[2];
unsigned long faults_calls;
unsigned char faults_drawn[FAULTS_DRAWN_MAX][FAULTS_DRAWN_LEN];
size_t faults_n_drawn;

void faults_forget(void)
{
    memset(times, 0, sizeof times);
    memset(faults_plan, 0, sizeof faults_plan);
    faults_calls = 0;
    faults_n_drawn = 0;
}

static int variants(size_t call)
{
    int n = 0;
    while (n < HOW_MAX && can[call].how[n] != 0)
        n++;
    return n;
}

/* found: the function that the program meant, from the C library. */
static void found(void *function, size_t len, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL)
        abort();
    memcpy(function, &symbol, len);
}

/* ---- 2. before and after each call --------------------------------------- */

struct call {
    size_t index;
    long argument;
    int how;                    /* 0: nothing happens to it */
};

static int planned(struct faults_plan *p, size_t index)
{
    unsigned long now = times[index];
    if (strcmp(p->call, "any") == 0)
        now = faults_calls;
    else if (strcmp(p->call, can[index].name) != 0)
        return 0;
    if (p->at == 0 || now < p->at || (now > p->at && !p->to_the_end))
        return 0;
    /* "any", to the end: the same call again, not whatever comes */
    if (p->hits > 0 && p->name != can[index].name)
        return 0;
    p->hits++;
    p->name = can[index].name;
    p->nth = times[index];
    p->is_beyond = p->variant < 100 && p->variant >= variants(index);
    p->how = p->variant == 100 ? FAULTS_KILL
           : p->variant == 101 ? FAULTS_KILL_AFTER
           : p->is_beyond ? 0 : can[index].how[p->variant];
    return p->how;
}

static struct call begin(const char *name, long argument)
{
    struct call c = { 0, argument, 0 };
    int error = errno;
    while (strcmp(can[c.index].name, name) != 0)
        c.index++;
    times[c.index]++;
    faults_calls++;
    c.how = planned(&faults_plan[0], c.index);
    if (c.how == 0)
        c.how = planned(&faults_plan[1], c.index);
    if (c.how == FAULTS_KILL)
        raise(SIGKILL);
    errno = error;
    return c;
}

/* done: the call is over: log it.  Gives its result. */
static long done(struct call c, long result)
{
    char line[128];
    int error = errno, n;
    if (c.how > 0 && result == -1)
        errno = error = c.how;
    if (log_fd >= 0) {
        n = snprintf(line, sizeof line, "%s %lu %d %ld %ld %d%s\n",
                     can[c.index].name, times[c.index], variants(c.index),
                     c.argument, result, result < 0 ? error : 0,
                     c.how != 0 ? " fault" : "");
        syscall(SYS_write, log_fd, line, (size_t)n);
    }
    if (c.how == FAULTS_KILL_AFTER)
        raise(SIGKILL);
    errno = error;
    return result;
}

/* CALL: a function that says -1 when it fails. */
#define CALL(type, name, as, argument, params, args)            \
    type name params                                            \
    {                                                           \
        static type (*real) params;                             \
        struct call c = begin(as, argument);                    \
        type result = -1;                                       \
        if (real == NULL)                                       \
            found(&real, sizeof real, #name);                   \
        if (c.how <= 0)                                         \
            result = real args;                                 \
        return (type)done(c, (long)result);                     \
    }

/* MOVE: the same, for those that move len bytes and may move fewer. */
#define MOVE(name, as, params, args)                            \
    ssize_t name params                                         \
    {                                                           \
        static ssize_t (*real) params;                          \
        struct call c = begin(as, fd);                          \
        ssize_t result = -1;                                    \
        if (real == NULL)                                       \
            found(&real, sizeof real, #name);                   \
        if (c.how == FAULTS_SHORT && len > 1)                   \
            len = 1;                                            \
        if (c.how == FAULTS_HALF && len > 1)                    \
            len /= 2;                                           \
        if (c.how == FAULTS_NOTHING)                            \
            result = 0;                                         \
        else if (c.how <= 0)                                    \
            result = real args;                                 \
        return (ssize_t)done(c, (long)result);                  \
    }

/* ---- 3. the calls -------------------------------------------------------- */

MOVE(read, "read", (int fd, void *buf, size_t len), (fd, buf, len))
MOVE(recv, "recv", (int fd, void *buf, size_t len, int flags),
     (fd, buf, len, flags))
MOVE(send, "send", (int fd, const void *buf, size_t len, int flags),
     (fd, buf, len, flags))
MOVE(pread, "pread", (int fd, void *buf, size_t len, off_t at),
     (fd, buf, len, at))

CALL(int, bind, "bind", fd, (int fd, __CONST_SOCKADDR_ARG a, socklen_t n),
     (fd, a, n))
CALL(int, clock_gettime, "clock_gettime", -1,
     (clockid_t clock, struct timespec *t), (clock, t))
CALL(int, faccessat, "faccessat", fd,
     (int fd, const char *path, int mode, int flags), (fd, path, mode, flags))
CALL(int, fstat, "fstat", fd, (int fd, struct stat *st), (fd, st))
CALL(int, fstat64, "fstat", fd, (int fd, struct stat64 *st), (fd, st))
CALL(int, fstatat, "fstatat", fd,
     (int fd, const char *path, struct stat *st, int flags),
     (fd, path, st, flags))
CALL(int, fstatat64, "fstatat", fd,
     (int fd, const char *path, struct stat64 *st, int flags),
     (fd, path, st, flags))
CALL(int, fsync, "fsync", fd, (int fd), (fd))
CALL(int, ftruncate, "ftruncate", fd, (int fd, off_t len), (fd, len))
CALL(int, getrlimit, "getrlimit", -1,
     (__rlimit_resource_t what, struct rlimit *limit), (what, limit))
CALL(int, getrlimit64, "getrlimit", -1,
     (__rlimit_resource_t what, struct rlimit64 *limit), (what, limit))
CALL(int, setrlimit, "setrlimit", -1,
     (__rlimit_resource_t what, const struct rlimit *limit), (what, limit))
CALL(int, setrlimit64, "setrlimit", -1,
     (__rlimit_resource_t what, const struct rlimit64 *limit), (what, limit))
CALL(int, getsockname, "getsockname", fd,
     (int fd, __SOCKADDR_ARG a, socklen_t *n), (fd, a, n))
CALL(int, getsockopt, "getsockopt", fd,
     (int fd, int level, int name, void *value, socklen_t *len),
     (fd, level, name, value, len))
CALL(int, setsockopt, "setsockopt", fd,
     (int fd, int level, int name, const void *value, socklen_t len),
     (fd, level, name, value, len))
CALL(int, linkat, "linkat", from_fd,
     (int from_fd, const char *from, int to_fd, const char *to, int flags),
     (from_fd, from, to_fd, to, flags))
CALL(int, listen, "listen", fd, (int fd, int backlog), (fd, backlog))
CALL(off_t, lseek, "lseek", fd, (int fd, off_t at, int whence),
     (fd, at, whence))
CALL(int, mkdir, "mkdir", -1, (const char *path, mode_t mode), (path, mode))
CALL(int, pipe, "pipe", -1, (int fds[2]), (fds))
CALL(int, shutdown, "shutdown", fd, (int fd, int how), (fd, how))
CALL(int, socket, "socket", -1, (int family, int type, int protocol),
     (family, type, protocol))
CALL(int, unlink, "unlink", -1, (const char *path), (path))
CALL(int, unlinkat, "unlinkat", fd, (int fd, const char *path, int flags),
     (fd, path, flags))

/* A third or fourth argument that may be missing, and what it then is. */
#define EXTRA(type, last)                                       \
    type extra;                                                 \
    va_list rest;                                               \
    va_start(rest, last);                                       \
    extra = va_arg(rest, type);                                 \
    va_end(rest);

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...)                  \
    {                                                           \
        static int (*real)(const char *, int, ...);             \
        struct call c = begin("open", -1);                      \
        EXTRA(unsigned, flags)                                  \
        if (real == NULL)                                       \
            found(&real, sizeof real, #name);                   \
        return (int)done(c, c.how > 0 ? -1                      \
                                      : real(path, flags, extra)); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                            \
    int name(int fd, const char *path, int flags, ...)          \
    {                                                           \
        static int (*real)(int, const char *, int, ...);        \
        struct call c = begin("openat", fd);                    \
        EXTRA(unsigned, flags)                                  \
        if (real == NULL)                                       \
            found(&real, sizeof real, #name);                   \
        return (int)done(c, c.how > 0 ? -1                      \
                                      : real(fd, path, flags, extra)); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FCNTL(name)                                             \
    int name(int fd, int command, ...)                          \
    {                                                           \
        static int (*real)(int, int, ...);                      \
        struct call c = begin("fcntl", fd);                     \
        EXTRA(long, command)                                    \
        if (real == NULL)                                       \
            found(&real, sizeof real, #name);                   \
        return (int)done(c, c.how > 0 ? -1                      \
                                      : real(fd, command, extra)); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

#define FOPEN(name)                                             \
    FILE *name(const char *path, const char *mode)              \
    {                                                           \
        static FILE *(*real)(const char *, const char *);       \
        struct call c = begin("fopen", -1);                     \
        FILE *file = NULL;                                      \
        if (real == NULL)                                       \
            found(&real, sizeof real, #name);                   \
        if (c.how <= 0)                                         \
            file = real(path, mode);                            \
        (void)done(c, file == NULL ? -1 : 0);                   \
        return file;                                            \
    }
FOPEN(fopen)
FOPEN(fopen64)

/* A pipe that is written to by a signal's handler does not fail: what could be
 * done about it there? */
ssize_t write(int fd, const void *buf, size_t len)
{
    struct call c = { 0, fd, 0 };
    struct stat st;
    if (syscall(SYS_fstat, fd, &st) == 0 && S_ISFIFO(st.st_mode))
        return (ssize_t)syscall(SYS_write, fd, buf, len);
    c = begin("write", fd);
    if (c.how == FAULTS_SHORT && len > 1)
        len = 1;
    if (c.how == FAULTS_HALF && len > 1)
        len /= 2;
    if (c.how > 0)
        return (ssize_t)done(c, -1);
    return (ssize_t)done(c, syscall(SYS_write, fd, buf, len));
}

/* Linux closes the descriptor whatever it then says. */
int close(int fd)
{
    static int (*real)(int);
    struct call c = begin("close", fd);
    int result;
    if (real == NULL)
        found(&real, sizeof real, "close");
    result = real(fd);
    return (int)done(c, c.how > 0 ? -1 : result);
}

/* A client that has gone again leaves the queue; for other reasons it stays. */
int accept(int fd, __SOCKADDR_ARG a, socklen_t *n)
{
    static int (*real)(int, __SOCKADDR_ARG, socklen_t *);
    struct call c = begin("accept", fd);
    int result = -1;
    if (real == NULL)
        found(&real, sizeof real, "accept");
    if (c.how <= 0 || c.how == ECONNABORTED)
        result = real(fd, a, n);
    if (c.how == ECONNABORTED && result >= 0) {
        syscall(SYS_close, result);
        result = -1;
    }
    return (int)done(c, result);
}

/* An interrupted connect goes on behind the scenes. */
int connect(int fd, __CONST_SOCKADDR_ARG a, socklen_t n)
{
    static int (*real)(int, __CONST_SOCKADDR_ARG, socklen_t);
    struct call c = begin("connect", fd);
    int result = -1;
    if (real == NULL)
        found(&real, sizeof real, "connect");
    if (c.how <= 0 || c.how == EINTR)
        result = real(fd, a, n);
    return (int)done(c, c.how > 0 ? -1 : result);
}

int poll(struct pollfd *fds, nfds_t n, int wait_ms)
{
    static int (*real)(struct pollfd *, nfds_t, int);
    struct call c = begin("poll", (long)n);
    int result = -1;
    if (real == NULL)
        found(&real, sizeof real, "poll");
    if (c.how == FAULTS_NOTHING) {      /* and revents say the same */
        for (result = 0; n > 0; n--)
            fds[n - 1].revents = 0;
    } else if (c.how <= 0) {
        result = real(fds, n, wait_ms);
    }
    return (int)done(c, result);
}

/* Errors of names have numbers of their own. */
static int name_error(int how)
{
    return how == ENOMEM ? EAI_MEMORY : how == EAGAIN ? EAI_AGAIN : EAI_SYSTEM;
}

int getaddrinfo(const char *host, const char *service,
                const struct addrinfo *hints, struct addrinfo **list)
{
    static int (*real)(const char *, const char *, const struct addrinfo *,
                       struct addrinfo **);
    struct call c = begin("getaddrinfo", -1);
    if (real == NULL)
        found(&real, sizeof real, "getaddrinfo");
    if (c.how <= 0)
        return (int)done(c, real(host, service, hints, list));
    (void)done(c, -1);
    return name_error(c.how);
}

int getnameinfo(const struct sockaddr *a, socklen_t n, char *host,
                socklen_t host_len, char *service, socklen_t service_len,
                int flags)
{
    static int (*real)(const struct sockaddr *, socklen_t, char *, socklen_t,
                       char *, socklen_t, int);
    struct call c = begin("getnameinfo", -1);
    if (real == NULL)
        found(&real, sizeof real, "getnameinfo");
    if (c.how <= 0)
        return (int)done(c, real(a, n, host, host_len, service, service_len,
                                 flags));
    (void)done(c, -1);
    return name_error(c.how);
}

/* ---- 4. random bytes, memory, standard output ---------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014); only for repeating a run. */
static unsigned char random_byte(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned char)(z >> 56);
}

ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    static ssize_t (*real)(void *, size_t, unsigned);
    struct call c = begin("getrandom", (long)len);
    unsigned char *bytes = out;
    ssize_t result = -1;
    size_t i;
    if (real == NULL)
        found(&real, sizeof real, "getrandom");
    if (c.how == FAULTS_SHORT && len > 1)
        len /= 2;
    if (c.how <= 0 && !is_seeded) {
        result = real(out, len, flags);
    } else if (c.how <= 0) {
        for (i = 0; i < len; i++)
            bytes[i] = random_byte();
        result = (ssize_t)len;
    }
    if (result >= FAULTS_DRAWN_LEN && faults_n_drawn < FAULTS_DRAWN_MAX) {
        for (i = 0; i < FAULTS_DRAWN_LEN; i++)
            faults_drawn[faults_n_drawn][i] = (unsigned char)(bytes[i] ^ 0xa5);
        faults_n_drawn++;
    }
    return (ssize_t)done(c, (long)result);
}

#ifdef FAULTS_MALLOC

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);

/* is_ours: does this address lie in the program, not in a library? */
static int is_ours(void *address)
{
    Dl_info here, program;
    return dladdr(address, &here) != 0
        && dladdr((void *)getauxval(AT_ENTRY), &program) != 0
        && here.dli_fbase == program.dli_fbase;
}

void *malloc(size_t len)
{
    struct call c = { 0, 0, 0 };
    void *p = NULL;
    if (!is_ours(__builtin_return_address(0)))
        return __libc_malloc(len);
    c = begin("malloc", (long)len);
    if (c.how <= 0)
        p = __libc_malloc(len);
    (void)done(c, p == NULL ? -1 : 0);
    return p;
}

void *calloc(size_t n, size_t len)
{
    struct call c = { 0, 0, 0 };
    void *p = NULL;
    if (!is_ours(__builtin_return_address(0)))
        return __libc_calloc(n, len);
    c = begin("calloc", (long)(n * len));
    if (c.how <= 0)
        p = __libc_calloc(n, len);
    (void)done(c, p == NULL ? -1 : 0);
    return p;
}

#endif

static ssize_t write_stdout(void *cookie, const char *text, size_t len)
{
    struct call c = begin("stdout", STDOUT_FILENO);
    ssize_t result = -1;
    (void)cookie;
    if (c.how <= 0)
        result = (ssize_t)syscall(SYS_write, STDOUT_FILENO, text, len);
    return done(c, (long)result) < 0 ? 0 : result;      /* 0: it failed */
}

/* ---- 5. the beginning and the end ---------------------------------------- */

/* read_plan: CALL AT VARIANT [+]; what is not one is a mistake in a check. */
static void read_plan(struct faults_plan *p, const char *text)
{
    char plus = ' ';
    if (sscanf(text, "%15s %lu %d %c", p->call, &p->at, &p->variant, &plus) < 3)
        abort();
    p->to_the_end = plus == '+';
}

__attribute__((constructor)) static void faults_start(void)
{
    const char *plan = getenv("FAULTS_PLAN"), *path = getenv("FAULTS_LOG");
    const char *number = getenv("FAULTS_SEED"), *comma;
    cookie_io_functions_t io;
    long fd;
    if (number != NULL) {
        seed = strtoull(number, NULL, 10);
        is_seeded = 1;
    }
    if (path == NULL)
        return;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path,
                          O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log_fd >= 0) {          /* far from the numbers that programs meet */
        int low = log_fd;
        log_fd = (int)syscall(SYS_fcntl, low, F_DUPFD_CLOEXEC, 1000);
        syscall(SYS_close, low);
    }
    if (log_fd < 0)
        abort();
    for (fd = 0; fd < 1000; fd++)
        was_open[fd] = syscall(SYS_fcntl, fd, F_GETFD) >= 0;
    memset(&io, 0, sizeof io);
    io.write = write_stdout;
    stdout = fopencookie(NULL, "w", io);
    faults_forget();
    if (plan != NULL && plan[0] != '\0') {
        read_plan(&faults_plan[0], plan);
        comma = strchr(plan, ',');
        if (comma != NULL)
            read_plan(&faults_plan[1], comma + 1);
    }
}

__attribute__((destructor)) static void faults_end(void)
{
    char line[96], path[32];
    long fd;
    if (log_fd < 0)
        return;
    for (fd = 3; fd < 1000; fd++) {
        ssize_t n;
        size_t len;
        if (was_open[fd] || syscall(SYS_fcntl, fd, F_GETFD) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
        len = (size_t)snprintf(line, sizeof line, "left %ld ", fd);
        n = readlink(path, line + len, sizeof line - len - 1);
        len += n > 0 ? (size_t)n : 0;
        line[len++] = '\n';
        syscall(SYS_write, log_fd, line, len);
    }
}
