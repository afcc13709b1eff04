/* test.c: what secchan claims, tried.  "make test" runs it all, "./test NAME"
 * the tests whose names contain NAME, "./test -l" lists them.
 * Map:    1 harness   1b the system   2 hashes and cipher   3 big numbers
 *         4 RSA   5 key files   6 known_hosts, authorized_keys   7 handshake
 *         8 records   9 server's short-lived key   10 blocking layer   11 main
 * Needs:  a C compiler.  tests/session.txt and ../shared/vectors are read when
 *         they are there; what is missing is said and counted as skipped.
 * Names:  test_<room>_<claim>: the name is the sentence that is tested. */

#if !defined(_XOPEN_SOURCE) && defined(__linux__)
#define _XOPEN_SOURCE 700               /* POSIX of 2008, and sigaltstack */
#endif

#define SECCHAN_INTERNAL
#include "secchan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- 1. harness ---------------------------------------------------------- */

static int test_failed_checks;  /* of the test that is running */
static int test_was_skipped;

/* CHECK(x): x holds, or the running test has failed; it goes on either way. */
#define CHECK(x) test_check((x) != 0, #x, __LINE__)
static int test_check(int holds, const char *what, int line)
{
    if (!holds && test_failed_checks++ < 5)
        printf("    test.c:%d: not so: %s\n", line, what);
    return holds;
}

/* SKIP(why): say that the running test could not be tried here. */
static void test_skip(const char *why)
{
    printf("    skipped: %s\n", why);
    test_was_skipped = 1;
}

/* Reproducible random bytes: SHA-256(seed, counter), block after block. */
typedef struct {
    uint8_t seed[32];
    uint32_t counter;
    int fail_after;             /* calls that still succeed; -1: all */
    int recovers;               /* only one fails */
} test_random;

static int test_random_bytes(void *ctx, uint8_t *out, size_t len)
{
    test_random *r = (test_random *)ctx;
    if (r->fail_after == 0) {
        r->fail_after = r->recovers ? -1 : 0;
        return SC_ERR_RANDOM;
    }
    if (r->fail_after > 0)
        r->fail_after--;
    while (len > 0) {
        sc_sha256 s;
        uint8_t block[32];
        size_t n = len < 32 ? len : 32;
        sc_sha256_init(&s);
        sc_sha256_add(&s, r->seed, 32);
        sc_sha256_add(&s, &r->counter, sizeof r->counter);
        sc_sha256_end(&s, block);
        r->counter++;
        memcpy(out, block, n);
        out += n;
        len -= n;
    }
    return SC_OK;
}

static void test_random_init(test_random *r, const char *seed)
{
    sc_sha256 s;
    sc_sha256_init(&s);
    sc_sha256_add(&s, seed, strlen(seed));
    sc_sha256_end(&s, r->seed);
    r->counter = 0;
    r->fail_after = -1;
    r->recovers = 0;
}

/* Hex digits (spaces are passed over) to bytes; says how many. */
static size_t test_unhex(uint8_t *out, size_t out_max, const char *hex)
{
    size_t n = 0;
    int high = -1;
    for (; *hex != '\0' && *hex != '\n'; hex++) {
        int v;
        if (*hex >= '0' && *hex <= '9') v = *hex - '0';
        else if (*hex >= 'a' && *hex <= 'f') v = *hex - 'a' + 10;
        else continue;
        if (high < 0) {
            high = v;
        } else if (n < out_max) {
            out[n++] = (uint8_t)(high << 4 | v);
            high = -1;
        } else {
            return 0;
        }
    }
    return n;
}

/* CHECK_HEX(bytes, len, hex): the bytes are the ones written in hex. */
#define CHECK_HEX(bytes, len, hex) test_check_hex(bytes, len, hex, __LINE__)
static int test_check_hex(const uint8_t *bytes, size_t len, const char *hex,
                          int line)
{
    static uint8_t want[70000];
    size_t n = test_unhex(want, sizeof want, hex);
    return test_check(n == len && (len == 0 || memcmp(want, bytes, len) == 0),
                      "bytes as in the vector", line);
}

typedef struct {
    const char *name;
    void (*run)(void);
} test_case;

/* What was on the stack before must not get into a key or a tag.  Called
 * through a pointer, so that it lies below its caller. */
static void fill_the_stack(void)
{
    volatile uint8_t junk[20000];
    size_t i;
    for (i = 0; i < sizeof junk; i++)
        junk[i] = 0x5a;
}
static void (*volatile spoil_the_stack)(void) = fill_the_stack;

/* ---- 1b. the system ------------------------------------------------------ */

#ifndef SC_NO_OS

/* Files, sockets and processes, as far as tests want them.  A test's other end
 * is a process of its own: a copy of this one that does other_end(fd). */
typedef void (*test_end_fn)(int fd);
static unsigned test_port;              /* what it is told: see section 10 */
static size_t test_lost_left;

#if !defined(_WIN32)

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_POSIX 1                    /* modes, symbolic links, signals */
typedef pid_t test_process;

static int test_make_temporary(char *path)      /* a new folder */
{
    (void)strcpy(path, "/tmp/secchan-test-XXXXXX");
    return mkdtemp(path) != NULL;
}

static int test_make_folder(const char *path)
{
    return mkdir(path, 0700);
}

static int test_remove(const char *path)        /* a file or a folder */
{
    return remove(path);
}

static int test_chmod(const char *path, unsigned mode)
{
    return chmod(path, (mode_t)mode);
}

static unsigned test_umask(unsigned mask)
{
    return (unsigned)umask((mode_t)mask);
}

static int test_link(const char *to, const char *path)
{
    return symlink(to, path);
}

static int test_reads_anything(void)    /* whatever its mode */
{
    return geteuid() == 0;
}

static void test_sleep_ms(long ms)
{
    struct timespec t;
    t.tv_sec = ms / 1000;
    t.tv_nsec = ms % 1000 * 1000000;
    nanosleep(&t, NULL);
}

static int test_has_network(void)       /* can a socket have 127.0.0.1? */
{
    struct sockaddr_in a;
    int holds, fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    holds = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return holds;
}

static unsigned test_port_of(int fd)    /* 0: cannot be told */
{
    struct sockaddr_in a;
    socklen_t a_len = sizeof a;
    return getsockname(fd, (struct sockaddr *)&a, &a_len) == 0
           ? ntohs(a.sin_port) : 0;
}

static int test_never_block(int fd)
{
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int test_take_little(int fd)     /* at a time */
{
    int n = 4096;
    return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
}

static long test_read(int fd, void *buf, size_t len)
{
    return (long)read(fd, buf, len);
}

static long test_write(int fd, const void *buf, size_t len)
{
    return (long)write(fd, buf, len);
}

static void test_close(int fd)
{
    close(fd);
}

static int test_is_closed(int fd)
{
    return fcntl(fd, F_GETFD) == -1;
}

static void test_no_sigpipe(void)
{
    signal(SIGPIPE, SIG_IGN);
}

/* test_spawn: start other_end, with the other end of a new pair of sockets if
 * fd is not NULL. */
static test_process test_spawn(test_end_fn other_end, int *fd)
{
    int ends[2] = {-1, -1};
    pid_t pid;
    if (fd != NULL)
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        test_failed_checks = 0;
        signal(SIGPIPE, SIG_DFL);
        close(ends[0]);
        other_end(ends[1]);
        fflush(stdout);
        _exit(test_failed_checks > 0);
    }
    CHECK(pid > 0);
    close(ends[1]);
    if (fd != NULL)
        *fd = ends[0];
    return pid;
}

static int test_wait(test_process pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static void test_kill(test_process pid)
{
    CHECK(kill(pid, SIGKILL) == 0);
    (void)test_wait(pid);
}

static int test_lowest(void)            /* the next descriptor's number */
{
    int fd = dup(1);
    close(fd);
    return fd;
}

/* test_limit: until test_unlimit, no file grows beyond this, no other can be
 * opened. */
static struct rlimit test_unlimited[2];
static void test_limit(int is_full, rlim_t file_len)
{
    struct rlimit r[2];
    fflush(stdout);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_NOFILE, &r[0]) == 0);
    CHECK(getrlimit(RLIMIT_FSIZE, &r[1]) == 0);
    memcpy(test_unlimited, r, sizeof r);
    if (is_full)
        r[0].rlim_cur = (rlim_t)test_lowest();
    if (file_len < r[1].rlim_cur)
        r[1].rlim_cur = file_len;
    CHECK(setrlimit(RLIMIT_NOFILE, &r[0]) == 0);
    CHECK(setrlimit(RLIMIT_FSIZE, &r[1]) == 0);
}

static void test_unlimit(void)
{
    int error = errno;
    CHECK(setrlimit(RLIMIT_NOFILE, &test_unlimited[0]) == 0);
    CHECK(setrlimit(RLIMIT_FSIZE, &test_unlimited[1]) == 0);
    signal(SIGXFSZ, SIG_DFL);
    errno = error;
}

/* A program may have closed its standard input: its next file is number 0. */
static int test_free_0(void)
{
    int in = dup(0);
    close(0);
    return in;
}

static void test_restore_0(int in)
{
    if (in >= 0) {
        CHECK(dup2(in, 0) == 0);
        close(in);
    }
}

#else

#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <direct.h>
#include <process.h>
#include <sys/stat.h>

#define TEST_POSIX 0
typedef intptr_t test_process;

static int test_make_temporary(char *path)
{
    static unsigned turn;
    char folder[MAX_PATH + 1];
    if (GetTempPathA(sizeof folder, folder) > 250)
        return 0;
    do
        sprintf(path, "%ssecchan-test-%lu-%u", folder, GetCurrentProcessId(),
                turn++);
    while (_mkdir(path) != 0 && errno == EEXIST);
    return GetFileAttributesA(path) != INVALID_FILE_ATTRIBUTES;
}

static int test_make_folder(const char *path)
{
    return _mkdir(path);
}

static int test_remove(const char *path)
{
    return remove(path) == 0 ? 0 : _rmdir(path);
}

static int test_chmod(const char *path, unsigned mode)
{
    (void)path; (void)mode;
    return 0;
}

static unsigned test_umask(unsigned mask)
{
    return mask;
}

static int test_link(const char *to, const char *path)
{
    (void)to; (void)path;
    return -1;
}

static int test_reads_anything(void)
{
    return 1;
}

static void test_sleep_ms(long ms)
{
    Sleep((DWORD)ms);
}

static int test_has_network(void)
{
    return 1;
}

static unsigned test_port_of(int fd)
{
    struct sockaddr_in a;
    int a_len = (int)sizeof a;
    return getsockname((SOCKET)fd, (struct sockaddr *)&a, &a_len) == 0
           ? ntohs(a.sin_port) : 0;
}

static int test_blocking(int fd, u_long is_not)
{
    return ioctlsocket((SOCKET)fd, (long)FIONBIO, &is_not);
}

static int test_never_block(int fd)
{
    return test_blocking(fd, 1);
}

static int test_take_little(int fd)     /* much less is very slow here */
{
    int n = 32768;
    return setsockopt((SOCKET)fd, SOL_SOCKET, SO_SNDBUF, (char *)&n, sizeof n)
        || setsockopt((SOCKET)fd, SOL_SOCKET, SO_RCVBUF, (char *)&n, sizeof n);
}

static long test_read(int fd, void *buf, size_t len)
{
    return recv((SOCKET)fd, (char *)buf, (int)len, 0);
}

static long test_write(int fd, const void *buf, size_t len)
{
    return send((SOCKET)fd, (const char *)buf, (int)len, 0);
}

static void test_close(int fd)
{
    closesocket((SOCKET)fd);
}

static int test_is_closed(int fd)
{
    return test_port_of(fd) == 0;
}

static void test_no_sigpipe(void)
{
}

/* Nothing forks here: the new process is told by its arguments what to be, and
 * calls back, which makes the pair of sockets. */
static const char *test_end_name(test_end_fn other_end);
static test_process test_spawn(test_end_fn other_end, int *fd)
{
    char self[MAX_PATH + 1], number[3][24];
    const char *arguments[7] = { "test", "--other-end" };
    int i, listener = -1;
    test_process p;
    if (fd != NULL)
        CHECK(sc_listen("127.0.0.1", 0, &listener) == SC_OK
              && test_blocking(listener, 0) == 0);
    CHECK(GetModuleFileNameA(NULL, self, sizeof self) < sizeof self);
    sprintf(number[0], "%u", fd == NULL ? 0 : test_port_of(listener));
    sprintf(number[1], "%u", test_port);
    sprintf(number[2], "%lu", (unsigned long)test_lost_left);
    arguments[2] = test_end_name(other_end);
    for (i = 0; i < 3; i++)
        arguments[3 + i] = number[i];
    fflush(stdout);
    p = _spawnv(_P_NOWAIT, self, arguments);
    CHECK(p != -1);
    if (fd != NULL) {
        *fd = (int)accept((SOCKET)listener, NULL, NULL);
        CHECK(*fd >= 0 && test_take_little(*fd) == 0);
        test_close(listener);
    }
    return p;
}

static int test_wait(test_process p)
{
    DWORD status = 1;
    WaitForSingleObject((HANDLE)p, INFINITE);
    GetExitCodeProcess((HANDLE)p, &status);
    CloseHandle((HANDLE)p);
    return (int)status;
}

static void test_kill(test_process p)
{
    CHECK(TerminateProcess((HANDLE)p, 9));
    (void)test_wait(p);
}

#endif /* _WIN32 */

/* test_reap: its checks held, and no signal such as SIGPIPE ended it. */
static void test_reap(test_process pid)
{
    CHECK(test_wait(pid) == 0);
}

#endif /* SC_NO_OS */

/* ---- 2. hashes and cipher ------------------------------------------------ */

/* Bytes written as text: the pointer and the length. */
#define BYTES(s) (const uint8_t *)(s), sizeof(s) - 1
#define X10(s) s s s s s s s s s s
#define X50(s) X10(s) X10(s) X10(s) X10(s) X10(s)

static void test_sha256(uint8_t digest[32], const void *data, size_t len)
{
    sc_sha256 s;
    sc_sha256_init(&s);
    sc_sha256_add(&s, data, len);
    sc_sha256_end(&s, digest);
}

/* Files of vectors are lines of fields with spaces between them; "-" is no
 * bytes.  They lie in tests, in the folder that SC_VECTORS names, or in
 * ../shared/vectors. */
#define VECTOR_FIELDS 9
typedef struct {
    FILE *file;
    char line[20000];
    char *field[VECTOR_FIELDS];
} test_vectors;

static int vectors_open(test_vectors *v, const char *name)
{
    const char *folder[3] = { "tests", NULL, "../shared/vectors" };
    char path[1000];
    size_t i;
    folder[1] = getenv("SC_VECTORS");
    v->file = NULL;
    for (i = 0; i < 3 && v->file == NULL; i++) {
        if (folder[i] == NULL)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder[i], name);
        v->file = fopen(path, "r");
    }
    if (v->file == NULL)
        test_skip(path);
    return v->file != NULL;
}

/* vectors_next: the next line's fields; says how many, 0 at the end. */
static int vectors_next(test_vectors *v)
{
    while (fgets(v->line, sizeof v->line, v->file) != NULL) {
        int n = 0;
        char *word = strtok(v->line, " \n");
        if (word == NULL || *word == '#')
            continue;
        for (; word != NULL && n < VECTOR_FIELDS; word = strtok(NULL, " \n"))
            v->field[n++] = word;
        return n;
    }
    (void)fclose(v->file);
    return 0;
}

/* FIPS 180-2 B.1 to B.3 (180-4 moved its examples to the NIST web); RFC 6234
 * 8.5 test 4; and the digest of nothing. */
static void test_hash_sha256_fips_180_vectors(void)
{
    static const struct {
        const char *text;
        size_t times;
        const char *digest;
    } v[] = {
        { "", 1, "e3b0c44298fc1c149afbf4c8996fb924"
                 "27ae41e4649b934ca495991b7852b855" },
        { "abc", 1, "ba7816bf8f01cfea414140de5dae2223"
                    "b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
        { "a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67"
                        "f1809a48a497200e046d39ccc7112cd0" },
        { "01234567", 80, "594847328451bdfa85056225462cc1d8"
                          "67d877fb388df0ce35f25ab5562bfbb5" },
    };
    uint8_t digest[32];
    size_t i, k;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        sc_sha256 s;
        sc_sha256_init(&s);
        for (k = 0; k < v[i].times; k++)
            sc_sha256_add(&s, v[i].text, strlen(v[i].text));
        sc_sha256_end(&s, digest);
        CHECK_HEX(digest, 32, v[i].digest);
    }
}

/* The digests of 00 01 02 ... of every length from 0 to 300, in a row, have
 * this digest; it was made with another implementation. */
static void test_hash_sha256_every_length_and_every_split(void)
{
    uint8_t data[300], whole[32], parts[32];
    sc_sha256 all, s;
    size_t len, cut;
    for (len = 0; len < sizeof data; len++)
        data[len] = (uint8_t)len;
    sc_sha256_init(&all);
    for (len = 0; len <= sizeof data; len++) {
        int same = 1;
        test_sha256(whole, data, len);
        sc_sha256_add(&all, whole, 32);
        for (cut = 0; cut <= len; cut++) {
            sc_sha256_init(&s);
            sc_sha256_add(&s, data, cut);
            sc_sha256_end(&s, parts);           /* s goes on after this */
            sc_sha256_add(&s, data + cut, len - cut);
            sc_sha256_end(&s, parts);
            same &= memcmp(whole, parts, 32) == 0;
        }
        CHECK(same);
    }
    sc_sha256_end(&all, whole);
    CHECK_HEX(whole, 32, "ddbdb189f5834c274dbe603d6d2874ad"
                         "f7234fd8a075c3d1bfbadc2107a75676");
    sc_sha256_init(&s);
    sc_sha256_add(&s, NULL, 0);         /* nothing, from nowhere */
    for (len = 0; len < sizeof data; len++)
        sc_sha256_add(&s, data + len, 1);
    sc_sha256_end(&s, parts);
    test_sha256(whole, data, sizeof data);
    CHECK(memcmp(whole, parts, 32) == 0);
}

/* FIPS 180-4 5.1.1: the length in the padding is 64 bits of bits, though only
 * messages of 512 MiB and more need the upper 32.  The state is told that it
 * has taken so much; then its digest is its h after the padding, made here. */
static void test_hash_sha256_counts_beyond_2_to_the_32_bits(void)
{
    uint8_t padding[64] = { 0x80 }, digest[32];
    sc_sha256 s;
    size_t i;
    sc_sha256_init(&s);
    s.total_len = (uint64_t)0x1234560 << 32;
    for (i = 0; i < 8; i++)
        padding[56 + i] = (uint8_t)(s.total_len * 8 >> (56 - 8 * i));
    sc_sha256_end(&s, digest);
    sc_sha256_add(&s, padding, 64);
    for (i = 0; i < 32; i++)
        CHECK(digest[i] == (uint8_t)(s.h[i / 4] >> (24 - i % 4 * 8)));
}

/* RFC 4231 4.2 to 4.8. */
static void test_hash_hmac_rfc_4231_vectors(void)
{
    static const struct {
        const uint8_t *key;
        size_t key_len;
        const uint8_t *msg;
        size_t msg_len;
        const char *tag;
    } v[] = {
        { BYTES(X10("\x0b") X10("\x0b")), BYTES("Hi There"),
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
        { BYTES("Jefe"), BYTES("what do ya want for nothing?"),
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
        { BYTES(X10("\xaa") X10("\xaa")), BYTES(X50("\xdd")),
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
        { BYTES("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
                "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19"),
          BYTES(X50("\xcd")),
          "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
        { BYTES(X10("\x0c") X10("\x0c")), BYTES("Test With Truncation"),
          "a3b6167473100ee06e0c796c2955552b" },
        { BYTES(X50("\xaa") X50("\xaa") X10("\xaa") X10("\xaa") X10("\xaa")
                "\xaa"),
          BYTES("Test Using Larger Than Block-Size Key - Hash Key First"),
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
        { BYTES(X50("\xaa") X50("\xaa") X10("\xaa") X10("\xaa") X10("\xaa")
                "\xaa"),
          BYTES("This is a test using a larger than block-size key and a "
                "larger than block-size data. The key needs to be hashed "
                "before being used by the HMAC algorithm."),
          "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
    };
    uint8_t tag[32];
    size_t i;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        sc_hmac(tag, v[i].key, v[i].key_len, v[i].msg, v[i].msg_len);
        CHECK_HEX(tag, strlen(v[i].tag) / 2, v[i].tag);
    }
}

/* HMAC as RFC 2104 2 defines it: H(K ^ opad, H(K ^ ipad, text)), for keys on
 * both sides of the block length. */
static void test_hash_hmac_is_its_definition_for_every_key_length(void)
{
    uint8_t key[150], block[64], want[32], tag[32];
    size_t key_len, i;
    sc_sha256 s;
    for (i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(255 - i);
    for (key_len = 0; key_len <= sizeof key; key_len++) {
        memset(block, 0, 64);
        if (key_len > 64)
            test_sha256(block, key, key_len);
        else
            memcpy(block, key, key_len);
        for (i = 0; i < 64; i++)
            block[i] ^= 0x36;
        sc_sha256_init(&s);
        sc_sha256_add(&s, block, 64);
        sc_sha256_add(&s, key, key_len);        /* the text: the key again */
        sc_sha256_end(&s, want);
        for (i = 0; i < 64; i++)
            block[i] ^= 0x36 ^ 0x5c;
        sc_sha256_init(&s);
        sc_sha256_add(&s, block, 64);
        sc_sha256_add(&s, want, 32);
        sc_sha256_end(&s, want);
        sc_hmac(tag, key, key_len, key, key_len);
        CHECK(memcmp(tag, want, 32) == 0);
    }
}

static void test_hash_hmac_wycheproof_vectors(void)
{
    static test_vectors v;
    static uint8_t key[300], msg[300], want[32];
    uint8_t tag[32];
    if (!vectors_open(&v, "hmac_sha256.txt"))
        return;
    while (vectors_next(&v) == 5) {     /* id result key message tag */
        size_t key_len = test_unhex(key, sizeof key, v.field[2]);
        size_t msg_len = test_unhex(msg, sizeof msg, v.field[3]);
        size_t tag_len = test_unhex(want, sizeof want, v.field[4]);
        sc_hmac(tag, key, key_len, msg, msg_len);
        CHECK(tag_len >= 16 && (memcmp(tag, want, tag_len) == 0)
                                   == (strcmp(v.field[1], "valid") == 0));
    }
}

/* RFC 5869 A.1 to A.3. */
static void test_hash_hkdf_rfc_5869_vectors(void)
{
    static const struct {
        size_t ikm_len, salt_len, info_len;
        const char *ikm, *salt, *info, *prk, *okm;
    } v[] = {
        { 22, 13, 10, "0b", "00", "f0",
          "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
          "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
          "34007208d5b887185865" },
        { 80, 80, 80, "00", "60", "b0",
          "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
          "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
          "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
          "cc30c58179ec3e87c14c01d5c1f3434f1d87" },
        { 22, 0, 0, "0b", "00", "00",
          "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
          "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
          "9d201395faa4b61a96c8" },
    };
    uint8_t ikm[80], salt[80], info[80], prk[32], okm[82];
    size_t i, k;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        (void)test_unhex(ikm, 1, v[i].ikm);     /* each counts up from its */
        (void)test_unhex(salt, 1, v[i].salt);   /* first byte, but 0b 0b .. */
        (void)test_unhex(info, 1, v[i].info);
        for (k = 1; k < 80; k++) {
            ikm[k] = (uint8_t)(ikm[0] == 0x0b ? 0x0b : ikm[0] + k);
            salt[k] = (uint8_t)(salt[0] + k);
            info[k] = (uint8_t)(info[0] + k);
        }
        sc_hkdf_extract(prk, salt, v[i].salt_len, ikm, v[i].ikm_len);
        CHECK_HEX(prk, 32, v[i].prk);
        sc_hkdf_expand(prk, (const char *)info, v[i].info_len, okm,
                       strlen(v[i].okm) / 2);
        CHECK_HEX(okm, strlen(v[i].okm) / 2, v[i].okm);
    }
}

/* RFC 5869 2.3: a shorter output is the beginning of a longer one. */
static void test_hash_hkdf_gives_every_length_and_not_a_byte_more(void)
{
    uint8_t prk[32] = { 1 }, all[300], okm[301];
    size_t len;
    sc_hkdf_expand(prk, "info", 4, all, sizeof all);
    for (len = 0; len <= sizeof all; len++) {
        memset(okm, 0x5a, sizeof okm);
        sc_hkdf_expand(prk, "info", 4, okm, len);
        CHECK(memcmp(okm, all, len) == 0 && okm[len] == 0x5a);
    }
}

static void test_hash_hkdf_wycheproof_vectors(void)
{
    static test_vectors v;
    static uint8_t ikm[100], salt[100], info[100], want[8200], okm[8200];
    uint8_t prk[32];
    if (!vectors_open(&v, "hkdf_sha256.txt"))
        return;
    while (vectors_next(&v) == 7) {     /* id result ikm salt info size okm */
        size_t ikm_len = test_unhex(ikm, sizeof ikm, v.field[2]);
        size_t salt_len = test_unhex(salt, sizeof salt, v.field[3]);
        size_t info_len = test_unhex(info, sizeof info, v.field[4]);
        size_t okm_len = test_unhex(want, sizeof want, v.field[6]);
        if (strcmp(v.field[1], "valid") != 0)
            continue;                   /* asks for more than there can be */
        sc_hkdf_extract(prk, salt, salt_len, ikm, ikm_len);
        sc_hkdf_expand(prk, (const char *)info, info_len, okm, okm_len);
        CHECK(okm_len > 0 && memcmp(okm, want, okm_len) == 0);
    }
}

/* Texts that RFC 8439 uses several times. */
#define TEXT_SUNSCREEN "Ladies and Gentlemen of the class of '99: If I could " \
    "offer you only one tip for the future, sunscreen would be it."
#define TEXT_IETF "Any submission to the IETF intended by the Contributor for" \
    " publication as all or part of an IETF Internet-Draft or RFC and any " \
    "statement made within the context of an IETF activity is considered an " \
    "\"IETF Contribution\". Such statements include oral statements in IETF " \
    "sessions, as well as written and electronic communications made at any " \
    "time or place, which are addressed to"
#define TEXT_JABBERWOCKY "'Twas brillig, and the slithy toves\nDid gyre and " \
    "gimble in the wabe:\nAll mimsy were the borogoves,\nAnd the mome raths " \
    "outgrabe."

/* RFC 8439 2.4.2 and A.2. */
static void test_cipher_chacha20_rfc_8439_vectors(void)
{
    static const struct {
        const char *key, *nonce;
        uint32_t counter;
        const uint8_t *text;
        size_t text_len;
        const char *out;
    } v[] = {
        { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
          "000000000000004a00000000", 1, BYTES(TEXT_SUNSCREEN),
          "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b"
          "f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8"
          "07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
          "5af90bbf74a35be6b40b8eedf2785e42874d" },
        { "0000000000000000000000000000000000000000000000000000000000000000",
          "000000000000000000000000", 0,
          BYTES(X50("\0") X10("\0") "\0\0\0\0"),
          "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
          "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586" },
        { "0000000000000000000000000000000000000000000000000000000000000001",
          "000000000000000000000002", 1, BYTES(TEXT_IETF),
          "a3fbf07df3fa2fde4f376ca23e82737041605d9f4f4f57bd8cff2c1d4b7955ec"
          "2a97948bd3722915c8f3d337f7d370050e9e96d647b7c39f56e031ca5eb6250d"
          "4042e02785ececfa4b4bb5e8ead0440e20b6e8db09d881a7c6132f420e527950"
          "42bdfa7773d8a9051447b3291ce1411c680465552aa6c405b7764d5e87bea85a"
          "d00f8449ed8f72d0d662ab052691ca66424bc86d2df80ea41f43abf937d3259d"
          "c4b2d0dfb48a6c9139ddd7f76966e928e635553ba76c5c879d7b35d49eb2e62b"
          "0871cdac638939e25e8a1e0ef9d5280fa8ca328b351c3c765989cbcf3daa8b6c"
          "cc3aaf9f3979c92b3720fc88dc95ed84a1be059c6499b9fda236e7e818b04b0b"
          "c39c1e876b193bfe5569753f88128cc08aaa9b63d1a16f80ef2554d7189c411f"
          "5869ca52c5b83fa36ff216b9c1d30062bebcfd2dc5bce0911934fda79a86f6e6"
          "98ced759c3ff9b6477338f3da4f9cd8514ea9982ccafb341b2384dd902f3d1ab"
          "7ac61dd29c6f21ba5b862f3730e37cfdc4fd806c22f221" },
        { "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
          "000000000000000000000002", 42, BYTES(TEXT_JABBERWOCKY),
          "62e6347f95ed87a45ffae7426f27a1df5fb69110044c0d73118effa95b01e5cf"
          "166d3df2d721caf9b21e5fb14c616871fd84c54f9d65b283196c7fe4f60553eb"
          "f39c6402c42234e32a356b3e764312a61a5532055716ead6962568f87d3f3f77"
          "04c6a8d1bcd1bf4d50d6154b6da731b187b58dfd728afa36757a797ac188d1" },
    };
    uint8_t key[32], nonce[12], out[400];
    size_t i;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        CHECK(test_unhex(key, 32, v[i].key) == 32);
        CHECK(test_unhex(nonce, 12, v[i].nonce) == 12);
        sc_chacha20_xor(out, v[i].text, v[i].text_len, key, nonce,
                        v[i].counter);
        CHECK_HEX(out, v[i].text_len, v[i].out);
    }
}

/* One keystream block, said as RFC 8439 2.3 says it. */
static uint32_t slow_turn(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static void slow_chacha20_block(uint8_t out[64], const uint8_t key[32],
                                const uint8_t nonce[12], uint32_t counter)
{
    static const uint8_t quarter_round[8][4] = {
        { 0, 4, 8, 12 }, { 1, 5, 9, 13 }, { 2, 6, 10, 14 }, { 3, 7, 11, 15 },
        { 0, 5, 10, 15 }, { 1, 6, 11, 12 }, { 2, 7, 8, 13 }, { 3, 4, 9, 14 },
    };
    uint8_t start[64];
    uint32_t s[16], t[16];
    unsigned i;
    memcpy(start, "expand 32-byte k", 16);
    memcpy(start + 16, key, 32);
    for (i = 0; i < 4; i++)
        start[48 + i] = (uint8_t)(counter >> 8 * i);
    memcpy(start + 52, nonce, 12);
    for (i = 0; i < 16; i++)
        t[i] = s[i] = (uint32_t)start[4 * i] | (uint32_t)start[4 * i + 1] << 8
                    | (uint32_t)start[4 * i + 2] << 16
                    | (uint32_t)start[4 * i + 3] << 24;
    for (i = 0; i < 10 * 8; i++) {
        const uint8_t *q = quarter_round[i % 8];
        uint32_t *a = t + q[0], *b = t + q[1], *c = t + q[2], *d = t + q[3];
        *a += *b;   *d = slow_turn(*d ^ *a, 16);
        *c += *d;   *b = slow_turn(*b ^ *c, 12);
        *a += *b;   *d = slow_turn(*d ^ *a, 8);
        *c += *d;   *b = slow_turn(*b ^ *c, 7);
    }
    for (i = 0; i < 64; i++)
        out[i] = (uint8_t)((t[i / 4] + s[i / 4]) >> i % 4 * 8);
}

/* Every length, apart and in place, from the first block to the very last. */
static void test_cipher_chacha20_is_its_definition_at_every_length(void)
{
    static const uint32_t counter[] = { 0, 1, 0xff, 0x7fffffff, 0xffffffee,
                                        0xfffffff0, 0xffffffff };
    static uint8_t stream[1100 + 64], in[1100], out[1101];
    uint8_t key[32], nonce[12];
    test_random r;
    size_t i, k, len, max;
    test_random_init(&r, "chacha20");
    for (i = 0; i < sizeof counter / sizeof *counter; i++) {
        (void)test_random_bytes(&r, key, sizeof key);
        (void)test_random_bytes(&r, nonce, sizeof nonce);
        (void)test_random_bytes(&r, in, sizeof in);
        for (k = 0; k < sizeof in; k += 64)
            slow_chacha20_block(stream + k, key, nonce,
                                (uint32_t)(counter[i] + k / 64));
        for (k = 0; k < sizeof in; k++)
            stream[k] ^= in[k];
        max = 0xffffffff - counter[i] < 17 ? 64 * (0 - counter[i]) : sizeof in;
        for (len = 0; len <= max; len++) {
            memset(out, 0x5a, sizeof out);
            sc_chacha20_xor(out, in, len, key, nonce, counter[i]);
            CHECK(memcmp(out, stream, len) == 0 && out[len] == 0x5a);
            sc_chacha20_xor(out, out, len, key, nonce, counter[i]);
            CHECK(memcmp(out, in, len) == 0 && out[len] == 0x5a);
        }
    }
}

/* RFC 8439 2.5.2 and A.3. */
static void test_cipher_poly1305_rfc_8439_vectors(void)
{
    static const struct {
        const char *r, *s, *msg;        /* msg: hex, or NULL: text */
        const uint8_t *text;
        size_t text_len;
        const char *tag;
    } v[] = {
        { "85d6be7857556d337f4452fe42d506a8",
          "0103808afb0db2fd4abff6af4149f51b", NULL,
          BYTES("Cryptographic Forum Research Group"),
          "a8061dc1305136c6c22b8baf0c0127a9" },
        { "00000000000000000000000000000000",
          "00000000000000000000000000000000", NULL,
          BYTES(X50("\0") X10("\0") "\0\0\0\0"),
          "00000000000000000000000000000000" },
        { "00000000000000000000000000000000",
          "36e5f6b5c5e06070f0efca96227a863e", NULL, BYTES(TEXT_IETF),
          "36e5f6b5c5e06070f0efca96227a863e" },
        { "36e5f6b5c5e06070f0efca96227a863e",
          "00000000000000000000000000000000", NULL, BYTES(TEXT_IETF),
          "f3477e7cd95417af89a6b8794c310cf0" },
        { "1c9240a5eb55d38af333888604f6b5f0",
          "473917c1402b80099dca5cbc207075c0", NULL, BYTES(TEXT_JABBERWOCKY),
          "4541669a7eaaee61e708dc7cbcc5eb62" },
        { "02000000000000000000000000000000",
          "00000000000000000000000000000000",
          "ffffffffffffffffffffffffffffffff", NULL, 0,
          "03000000000000000000000000000000" },
        { "02000000000000000000000000000000",
          "ffffffffffffffffffffffffffffffff",
          "02000000000000000000000000000000", NULL, 0,
          "03000000000000000000000000000000" },
        { "01000000000000000000000000000000",
          "00000000000000000000000000000000",
          "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff"
          "11000000000000000000000000000000", NULL, 0,
          "05000000000000000000000000000000" },
        { "01000000000000000000000000000000",
          "00000000000000000000000000000000",
          "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe"
          "01010101010101010101010101010101", NULL, 0,
          "00000000000000000000000000000000" },
        { "02000000000000000000000000000000",
          "00000000000000000000000000000000",
          "fdffffffffffffffffffffffffffffff", NULL, 0,
          "faffffffffffffffffffffffffffffff" },
        { "01000000000000000400000000000000",
          "00000000000000000000000000000000",
          "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
          "0000000000000000000000000000000001000000000000000000000000000000",
          NULL, 0, "14000000000000005500000000000000" },
        { "01000000000000000400000000000000",
          "00000000000000000000000000000000",
          "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000"
          "00000000000000000000000000000000", NULL, 0,
          "13000000000000000000000000000000" },
    };
    uint8_t key[32], msg[64], tag[16];
    size_t i;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        CHECK(test_unhex(key, 16, v[i].r) == 16);
        CHECK(test_unhex(key + 16, 16, v[i].s) == 16);
        if (v[i].msg != NULL)
            sc_poly1305(tag, key, msg, test_unhex(msg, sizeof msg, v[i].msg));
        else
            sc_poly1305(tag, key, v[i].text, v[i].text_len);
        CHECK_HEX(tag, 16, v[i].tag);
    }
}

/* Slow numbers, to hold the fast ones against: here Poly1305's, in sections 3
 * and 4 the big ones.  Digits of 16 bits, least significant first, no zeros at
 * the top, and the method taught at school. */
#define SLOW_MAX 520            /* 8320 bits: more than any product has */
typedef struct {
    size_t n;
    uint16_t d[SLOW_MAX];
} slow_bn;

static slow_bn slow_trim(slow_bn x)
{
    while (x.n > 0 && x.d[x.n - 1] == 0)
        x.n--;
    return x;
}

static slow_bn slow_bytes(const uint8_t *bytes, size_t len, int big_endian)
{
    slow_bn x;
    size_t i;
    memset(&x, 0, sizeof x);
    x.n = (len + 1) / 2;
    for (i = 0; i < len; i++) {
        unsigned byte = bytes[big_endian ? len - 1 - i : i];
        x.d[i / 2] = (uint16_t)(x.d[i / 2] | byte << i % 2 * 8);
    }
    return slow_trim(x);
}

static slow_bn slow_le(const uint8_t *bytes, size_t len)
{
    return slow_bytes(bytes, len, 0);
}

static slow_bn slow_be(const uint8_t *bytes, size_t len)
{
    return slow_bytes(bytes, len, 1);
}

static slow_bn slow_small(unsigned v)      /* below 65536 */
{
    slow_bn x;
    x.n = 1;
    x.d[0] = (uint16_t)v;
    return slow_trim(x);
}

static slow_bn slow_power_of_2(size_t k)
{
    slow_bn x;
    memset(&x, 0, sizeof x);
    x.n = k / 16 + 1;
    x.d[k / 16] = (uint16_t)(1u << k % 16);
    return x;
}

static int slow_compare(slow_bn x, slow_bn y) /* -1, 0, 1 */
{
    size_t i = x.n;
    if (x.n != y.n)
        return x.n < y.n ? -1 : 1;
    while (i-- > 0)
        if (x.d[i] != y.d[i])
            return x.d[i] < y.d[i] ? -1 : 1;
    return 0;
}

static slow_bn slow_add(slow_bn x, slow_bn y)
{
    slow_bn sum;
    uint32_t t = 0;
    size_t i;
    sum.n = (x.n > y.n ? x.n : y.n) + 1;
    for (i = 0; i < sum.n; i++, t >>= 16) {
        t += (i < x.n ? x.d[i] : 0u) + (i < y.n ? y.d[i] : 0u);
        sum.d[i] = (uint16_t)t;
    }
    return slow_trim(sum);
}

static slow_bn slow_sub(slow_bn x, slow_bn y)    /* x >= y */
{
    uint32_t borrow = 0, t;
    size_t i;
    for (i = 0; i < x.n; i++) {
        t = 65536u + x.d[i] - (i < y.n ? y.d[i] : 0u) - borrow;
        x.d[i] = (uint16_t)t;
        borrow = 1 - (t >> 16);
    }
    return slow_trim(x);
}

static slow_bn slow_mul(slow_bn x, slow_bn y)
{
    slow_bn product;
    size_t i, k;
    memset(&product, 0, sizeof product);
    product.n = x.n + y.n;
    for (i = 0; i < x.n; i++) {
        uint32_t t = 0;
        for (k = 0; k < y.n; k++, t >>= 16) {
            t += product.d[i + k] + (uint32_t)x.d[i] * y.d[k];
            product.d[i + k] = (uint16_t)t;
        }
        product.d[i + k] = (uint16_t)t;
    }
    return slow_trim(product);
}

/* Bit after bit: rest = 2 rest + bit, and m is taken off when it goes in. */
static slow_bn slow_mod(slow_bn x, slow_bn m)
{
    slow_bn rest;
    size_t i, bit = 16 * x.n;
    rest.n = 0;
    while (bit-- > 0) {
        uint32_t t = (uint32_t)x.d[bit / 16] >> bit % 16 & 1;
        for (i = 0; i < rest.n; i++, t >>= 16) {
            t += 2u * rest.d[i];
            rest.d[i] = (uint16_t)t;
        }
        if (t != 0)
            rest.d[rest.n++] = (uint16_t)t;
        if (rest.n >= m.n && slow_compare(rest, m) >= 0)
            rest = slow_sub(rest, m);
    }
    return rest;
}

/* RFC 8439 2.5.1, with those numbers. */
static void slow_poly1305(uint8_t tag[16], const uint8_t key[32],
                          const uint8_t *msg, size_t msg_len)
{
    slow_bn p = slow_sub(slow_power_of_2(130), slow_small(5));
    slow_bn r, acc = slow_small(0);
    uint8_t block[17];
    size_t i, n;
    memcpy(block, key, 16);
    for (i = 3; i < 16; i += 4)
        block[i] &= 15;
    for (i = 4; i < 16; i += 4)
        block[i] &= 252;
    r = slow_le(block, 16);
    for (; msg_len > 0; msg += n, msg_len -= n) {
        n = msg_len < 16 ? msg_len : 16;
        memcpy(block, msg, n);
        block[n] = 1;
        acc = slow_add(acc, slow_le(block, n + 1));
        acc = slow_mod(slow_mul(acc, r), p);
    }
    acc = slow_add(acc, slow_le(key + 16, 16));
    for (i = 0; i < 16; i++)
        tag[i] = (uint8_t)(i / 2 < acc.n ? acc.d[i / 2] >> i % 2 * 8 : 0);
}

/* Random and extreme: r as large as the clamp lets it be or 1, 2, 255, with s
 * and the blocks full of ones, so that every carry there can be is carried. */
static void test_cipher_poly1305_is_its_definition_at_every_length(void)
{
    static const uint8_t small_r[] = { 1, 2, 255 };
    uint8_t key[32], msg[290], tag[16], want[16];
    test_random rnd;
    size_t len;
    int kind;
    test_random_init(&rnd, "poly1305");
    for (kind = 0; kind < 10; kind++) {
        for (len = 0; len <= sizeof msg; len += len < 70 ? 1 : 11) {
            (void)test_random_bytes(&rnd, key, sizeof key);
            (void)test_random_bytes(&rnd, msg, sizeof msg);
            if (kind & 1)
                memset(msg, 0xff, sizeof msg);
            if (kind >= 2)
                memset(key, 0xff, 32);
            if (kind >= 4) {
                memset(key, 0, 16);
                key[0] = small_r[kind / 2 - 2];
            }
            sc_poly1305(tag, key, msg, len);
            slow_poly1305(want, key, msg, len);
            CHECK(memcmp(tag, want, 16) == 0);
        }
    }
}

/* RFC 8439 2.8.2 and A.5. */
/* Sums at the edge.  0: h is over 2^130, in limbs of 26 bits: the carry goes
 * all the way, and comes back.  1: h is 2^130 - 2^64, and 5 more changes no
 * other word of 64 bits.  2: h is 2^130 - 1, and they change all. */
static void test_cipher_poly1305_carries_where_it_must(void)
{
    static const struct {
        uint8_t r[16], msg[48];
        size_t msg_len;
    } v[] = {
        { { 0xf5, 0xb1, 0x65, 0x02, 0x48, 0x58, 0xb7, 0x01,
            0xdc, 0x6a, 0xf1, 0x08, 0x30, 0x3e, 0x61, 0x0d },
          { 0xf6, 0x45, 0x74, 0x73, 0x9d, 0x3d, 0xd3, 0xf7,
            0xa5, 0x9f, 0x2e, 0x2d, 0x28, 0xe9, 0x61, 0x1a }, 16 },
        { { 1 }, { 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
                   0xff, 0xff, 0xff, 0xff }, 48 },
        { { 1 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 48 }
    };
    uint8_t key[32] = { 0 }, tag[16], want[16];
    size_t i;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        memcpy(key, v[i].r, 16);
        slow_poly1305(want, key, v[i].msg, v[i].msg_len);
        spoil_the_stack();
        sc_poly1305(tag, key, v[i].msg, v[i].msg_len);
        CHECK(memcmp(tag, want, 16) == 0);
    }
}

static void test_cipher_aead_rfc_8439_vectors(void)
{
    static const struct {
        const char *key, *nonce, *ad;
        const uint8_t *text;
        size_t text_len;
        const char *box;
    } v[] = {
        { "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
          "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
          BYTES(TEXT_SUNSCREEN),
          "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
          "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
          "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
          "3ff4def08e4b7a9de576d26586cec64b6116"
          "1ae10b594f09e26a7e902ecbd0600691" },
        { "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
          "000000000102030405060708", "f33388860000000000004e91",
          BYTES("Internet-Drafts are draft documents valid for a maximum of "
                "six months and may be updated, replaced, or obsoleted by "
                "other documents at any time. It is inappropriate to use "
                "Internet-Drafts as reference material or to cite them other "
                "than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d"),
          "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2"
          "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf"
          "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
          "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4"
          "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e"
          "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
          "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10"
          "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29"
          "a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38" },
    };
    uint8_t key[32], nonce[12], ad[12], box[300], text[300];
    size_t i;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        size_t len = v[i].text_len;
        CHECK(test_unhex(key, 32, v[i].key) == 32);
        CHECK(test_unhex(nonce, 12, v[i].nonce) == 12);
        CHECK(test_unhex(ad, 12, v[i].ad) == 12);
        sc_aead_seal(box, key, nonce, ad, 12, v[i].text, len);
        CHECK_HEX(box, len + 16, v[i].box);
        CHECK(sc_aead_open(text, key, nonce, ad, 12, box, len + 16)
              == ~(sc_word)0);
        CHECK(memcmp(text, v[i].text, len) == 0);
    }
}

/* RFC 8439 2.8, put together from the slow pieces; and in place. */
static void test_cipher_aead_is_its_definition_at_every_length(void)
{
    uint8_t key[32], nonce[12], ad[40], text[150], otk[64], mac[256];
    uint8_t box[166], want[166], out[166];
    size_t ad_len, len, n;
    test_random r;
    test_random_init(&r, "aead");
    (void)test_random_bytes(&r, key, sizeof key);
    (void)test_random_bytes(&r, nonce, sizeof nonce);
    (void)test_random_bytes(&r, ad, sizeof ad);
    (void)test_random_bytes(&r, text, sizeof text);
    slow_chacha20_block(otk, key, nonce, 0);
    for (ad_len = 0; ad_len <= sizeof ad; ad_len++) {
        for (len = ad_len % 3; len <= sizeof text; len += 3) {
            sc_chacha20_xor(want, text, len, key, nonce, 1);
            memset(mac, 0, sizeof mac);
            memcpy(mac, ad, ad_len);
            n = (ad_len + 15) / 16 * 16;
            memcpy(mac + n, want, len);
            n += (len + 15) / 16 * 16;
            mac[n] = (uint8_t)ad_len;           /* 8 bytes little-endian */
            mac[n + 8] = (uint8_t)len;
            slow_poly1305(want + len, otk, mac, n + 16);
            sc_aead_seal(box, key, nonce, ad, ad_len, text, len);
            CHECK(memcmp(box, want, len + 16) == 0);
            memcpy(out, text, len);
            sc_aead_seal(out, key, nonce, ad, ad_len, out, len);
            CHECK(memcmp(out, want, len + 16) == 0);
            CHECK(sc_aead_open(out, key, nonce, ad, ad_len, out, len + 16)
                  == ~(sc_word)0);
            CHECK(memcmp(out, text, len) == 0);
        }
    }
}

/* Every bit of key, nonce, additional data, ciphertext and tag, and every other
 * length. */
static void test_cipher_aead_refuses_every_altered_bit(void)
{
    struct {
        uint8_t key[32], nonce[12], ad[13], box[37 + 16];
    } good, bad;
    uint8_t text[37], out[37];
    test_random r;
    size_t i, len;
    test_random_init(&r, "altered");
    (void)test_random_bytes(&r, (uint8_t *)&good, sizeof good);
    memset(text, 0xa5, sizeof text);
    sc_aead_seal(good.box, good.key, good.nonce, good.ad, sizeof good.ad, text,
                 sizeof text);
    for (i = 0; i < 8 * sizeof good; i++) {
        bad = good;
        ((uint8_t *)&bad)[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK(sc_aead_open(out, bad.key, bad.nonce, bad.ad, sizeof bad.ad,
                           bad.box, sizeof bad.box) == 0);
    }
    for (len = 16; len < sizeof good.box; len++)
        CHECK(sc_aead_open(out, good.key, good.nonce, good.ad, sizeof good.ad,
                           good.box, len) == 0);
    for (len = 0; len < sizeof good.ad; len++)
        CHECK(sc_aead_open(out, good.key, good.nonce, good.ad, len, good.box,
                           sizeof good.box) == 0);
}

static void test_cipher_aead_wycheproof_vectors(void)
{
    static test_vectors v;
    static uint8_t ad[1000], text[1000], box[1100], out[1100];
    uint8_t key[32], nonce[32];
    if (!vectors_open(&v, "chacha20_poly1305.txt"))
        return;
    while (vectors_next(&v) == 8) { /* id result key nonce ad text box tag */
        size_t ad_len = test_unhex(ad, sizeof ad, v.field[4]);
        size_t len = test_unhex(text, sizeof text, v.field[5]);
        int valid = strcmp(v.field[1], "valid") == 0;
        sc_word ok;
        CHECK(test_unhex(key, 32, v.field[2]) == 32);
        if (test_unhex(nonce, sizeof nonce, v.field[3]) != 12)
            continue;                   /* this AEAD has no other nonces */
        CHECK(test_unhex(box, sizeof box, v.field[6]) == len);
        CHECK(test_unhex(box + len, 16, v.field[7]) == 16);
        ok = sc_aead_open(out, key, nonce, ad, ad_len, box, len + 16);
        CHECK(ok == (valid ? ~(sc_word)0 : 0));
        CHECK(!valid || memcmp(out, text, len) == 0);
        sc_aead_seal(out, key, nonce, ad, ad_len, text, len);
        CHECK((memcmp(out, box, len + 16) == 0) == valid);
    }
}

/* RFC 8439 2.8 put together from the plain pieces, against the batches that the
 * processor runs fastest (SC_AEAD_SEAL, SC_AEAD_OPEN alone) and the portable
 * ones: at every length over four of the widest batches and at some long ones,
 * wherever they lie in memory, from one buffer to another and in place; and not
 * one byte beyond. */
static void test_cipher_aead_fast_equals_portable(void)
{
    static uint8_t text[20000], want[20016], box[20032], mac[20096];
    uint8_t key[32], nonce[12], ad[64], tag[16], otk[32];
    size_t i, n, len, ad_len;
    int how;
    test_random r;
    test_random_init(&r, "fast equals portable");
    (void)test_random_bytes(&r, text, sizeof text);
    (void)test_random_bytes(&r, ad, sizeof ad);
    for (i = 0; i < 2201 + 60; i++) {
        uint8_t *at = box + i % 8;
        (void)test_random_bytes(&r, key, sizeof key);
        (void)test_random_bytes(&r, nonce, sizeof nonce);
        len = i < 2201 ? i : 2201 + key[0] + 64u * key[1];
        ad_len = i % 65;
        sc_chacha20_xor(want, text, len, key, nonce, 1);
        memset(mac, 0, sizeof mac);
        memcpy(mac, ad, ad_len);
        n = (ad_len + 15) / 16 * 16;
        memcpy(mac + n, want, len);
        n += (len + 15) / 16 * 16;
        mac[n] = (uint8_t)ad_len;               /* 8 bytes little-endian */
        mac[n + 8] = (uint8_t)len;
        mac[n + 9] = (uint8_t)(len >> 8);
        memset(otk, 0, sizeof otk);
        sc_chacha20_xor(otk, otk, sizeof otk, key, nonce, 0);
        sc_poly1305(want + len, otk, mac, n + 16);
        for (how = 0; how <= SC_AEAD_PORTABLE; how += SC_AEAD_PORTABLE) {
            memset(at, 0x5c, len + 24);
            sc_aead(at, at + len, text, len, key, nonce, ad, ad_len,
                    SC_AEAD_SEAL | how);
            CHECK(memcmp(at, want, len + 16) == 0);
            memcpy(at, text, len);
            sc_aead(at, at + len, at, len, key, nonce, ad, ad_len,
                    SC_AEAD_SEAL | how);
            CHECK(memcmp(at, want, len + 16) == 0);
            sc_aead(at, tag, at, len, key, nonce, ad, ad_len,
                    SC_AEAD_OPEN | how);
            CHECK(memcmp(at, text, len) == 0);
            CHECK(memcmp(tag, want + len, 16) == 0);
            memset(at, 0x5c, len);
            sc_aead(at, tag, want, len, key, nonce, ad, ad_len,
                    SC_AEAD_OPEN | how);
            CHECK(memcmp(at, text, len) == 0);
            CHECK(memcmp(tag, want + len, 16) == 0);
            for (n = len + 16; n < len + 24; n++)
                CHECK(at[n] == 0x5c);
        }
    }
}

/* ---- 3. big numbers ------------------------------------------------------ */

static slow_bn slow_words(const sc_word *x, size_t n)
{
    const size_t per_word = SC_WORD_BITS / 16;
    slow_bn y;
    size_t i;
    y.n = n * per_word;
    for (i = 0; i < y.n; i++)
        y.d[i] = (uint16_t)(x[i / per_word] >> i % per_word * 16);
    return slow_trim(y);
}

static void slow_to_words(sc_word *x, size_t n, slow_bn y)
{
    const size_t per_word = SC_WORD_BITS / 16;
    size_t i;
    memset(x, 0, n * sizeof *x);
    for (i = 0; i < y.n && i < n * per_word; i++)
        x[i / per_word] |= (sc_word)y.d[i] << i % per_word * 16;
}

static int slow_equal(slow_bn x, slow_bn y)
{
    return slow_compare(x, y) == 0;
}

/* bn_operand: a number of n limbs: 0 zero, 1 one, 2 all ones, 3 one single bit,
 * 4 whole bytes of ones and of zeros, 5 only the top bit and the bottom bit, 6
 * one limb, 7 a small top limb, and random from there. */
#define BN_KINDS 9
static void bn_operand(sc_word *x, size_t n, int kind, test_random *r)
{
    uint8_t *bytes = (uint8_t *)x;
    size_t i, len = n * sizeof *x;
    (void)test_random_bytes(r, bytes, len);
    i = (size_t)x[0] % (n * SC_WORD_BITS);
    if (kind <= 3 || kind == 5)
        memset(x, kind == 2 ? 0xff : 0, len);
    if (kind == 1 || kind == 5)
        x[0] |= 1;
    if (kind == 3)
        x[i / SC_WORD_BITS] |= (sc_word)1 << i % SC_WORD_BITS;
    if (kind == 5)
        x[n - 1] |= (sc_word)1 << (SC_WORD_BITS - 1);
    for (i = 0; kind == 4 && i < len; i++)
        bytes[i] = bytes[i] & 1 ? 0xff : 0;
    if (kind == 6)
        memset(x + 1, 0, len - sizeof *x);
    if (kind == 7)
        x[n - 1] = 1;
}

/* bn_next: the sizes that are tried: the small ones, then every ninth, max. */
static size_t bn_next(size_t n, size_t max)
{
    return n < 12 ? n + 1 : n < max && max < n + 9 ? max : n + 9;
}

/* bn_modulus: odd, 3 or more. */
static void bn_modulus(sc_word *m, size_t n, int kind, test_random *r)
{
    bn_operand(m, n, kind, r);
    m[0] |= 1;
    if (slow_words(m, n).n == 1 && m[0] == 1)
        m[0] = 3;
}

/* bn_below: an operand below m: m - 1 for kind 0, else one as above mod m. */
static void bn_below(sc_word *x, const sc_word *m, size_t n, int kind,
                     test_random *r)
{
    slow_bn s = slow_words(m, n);
    bn_operand(x, n, kind, r);
    s = kind == 0 ? slow_sub(s, slow_small(1)) : slow_mod(slow_words(x, n), s);
    slow_to_words(x, n, s);
}

static void test_bn_masks_are_all_ones_or_all_zeros(void)
{
    const sc_word ones = ~(sc_word)0;
    uint8_t a[70], b[70];
    size_t i, len;
    CHECK(sc_mask_bit(0) == 0 && sc_mask_bit(1) == ones);
    CHECK(sc_mask_is_zero(0) == ones && sc_mask_is_zero(ones) == 0);
    for (i = 0; i < SC_WORD_BITS; i++) {
        CHECK(sc_mask_is_zero((sc_word)1 << i) == 0);
        CHECK(sc_mask_is_zero(ones << i) == 0);
        CHECK(sc_mask_is_zero(ones >> i) == 0);
    }
    CHECK(sc_select(ones, 5, ones - 5) == 5);
    CHECK(sc_select(0, 5, ones - 5) == ones - 5);
    for (len = 0; len < sizeof a; len++) {
        memset(a, 0xc3, sizeof a);
        memset(b, 0xc3, sizeof b);
        b[len] ^= 1;                    /* just behind: is not looked at */
        CHECK(sc_bytes_equal(a, b, len) == ones);
        b[len] ^= 1;
        for (i = 0; i < 8 * len; i++) {
            b[i / 8] ^= (uint8_t)(1 << i % 8);
            CHECK(sc_bytes_equal(a, b, len) == 0);
            b[i / 8] ^= (uint8_t)(1 << i % 8);
        }
    }
}

/* One bit anywhere makes a difference; choose gives one or the other whole. */
static void test_bn_compare_and_select_see_every_bit(void)
{
    const sc_word ones = ~(sc_word)0;
    sc_word x[5], y[5], z[5];
    size_t i, n;
    for (n = 1; n <= 4; n++) {
        memset(x, 0, sizeof x);
        memset(y, 0, sizeof y);
        x[n] = 1;                       /* just behind: is not looked at */
        CHECK(sc_bn_is_zero(x, n) == ones && sc_bn_equal(x, y, n) == ones);
        for (i = 0; i < n * SC_WORD_BITS; i++) {
            x[i / SC_WORD_BITS] ^= (sc_word)1 << i % SC_WORD_BITS;
            CHECK(sc_bn_is_zero(x, n) == 0 && sc_bn_equal(x, y, n) == 0);
            sc_bn_select(z, ones, x, y, n);
            CHECK(sc_bn_equal(z, x, n) == ones);
            sc_bn_select(z, 0, x, y, n);
            CHECK(sc_bn_equal(z, y, n) == ones);
            x[i / SC_WORD_BITS] = 0;
        }
    }
}

/* Leading zeros, lengths that fill no whole limb, more limbs than bytes; and of
 * more bytes than there are limbs, the last ones. */
static void test_bn_decode_and_encode_keep_the_number(void)
{
    uint8_t bytes[40], again[44];
    sc_word x[13];
    size_t len, n, out_len, i, zeros;
    for (len = 0; len <= sizeof bytes; len++) {
        memset(bytes, 0, sizeof bytes);
        zeros = len % 5 == 0 ? len / 3 : 0;
        for (i = zeros; i < len; i++)
            bytes[i] = (uint8_t)(0xd1 + i);
        for (n = len == 0 ? 1 : SC_LIMBS(len); n <= SC_LIMBS(len) + 2; n++) {
            memset(x, 0x5a, sizeof x);
            sc_bn_decode(x, n, bytes, len);
            CHECK(slow_equal(slow_words(x, n), slow_be(bytes, len)));
            CHECK(memcmp(&x[n], X10("\x5a"), sizeof *x) == 0);
            for (out_len = len - zeros; out_len <= len + 3; out_len++) {
                memset(again, 0x5a, sizeof again);
                sc_bn_encode(again, out_len, x, n);
                CHECK(slow_equal(slow_be(again, out_len), slow_words(x, n)));
                CHECK(again[out_len] == 0x5a);
            }
        }
        for (n = 1; n < SC_LIMBS(len); n++) {
            memset(x, 0x5a, sizeof x);
            sc_bn_decode(x, n, bytes, len);
            CHECK(slow_equal(slow_words(x, n),
                             slow_be(bytes + len - n * SC_WORD_BYTES,
                                     n * SC_WORD_BYTES)));
            CHECK(memcmp(&x[n], X10("\x5a"), sizeof *x) == 0);
        }
    }
}

static void test_bn_add_sub_and_mul_agree_with_slow_numbers(void)
{
    sc_word x[SC_LIMBS_MAX], y[SC_LIMBS_MAX], d[2 * SC_LIMBS_MAX], carry;
    size_t n, y_n;
    int i, k;
    test_random r;
    test_random_init(&r, "add, sub, mul");
    for (n = 1; n <= SC_LIMBS_MAX; n = bn_next(n, SC_LIMBS_MAX)) {
        slow_bn w = slow_power_of_2(n * SC_WORD_BITS);
        for (i = 0; i < BN_KINDS; i++) {
            for (k = 0; k < BN_KINDS; k++) {
                slow_bn sx, sy;
                bn_operand(x, n, i, &r);
                bn_operand(y, n, k, &r);
                sx = slow_words(x, n);
                sy = slow_words(y, n);
                carry = sc_bn_add(d, x, y, n);
                CHECK(slow_equal(slow_add(sx, sy),
                                 slow_add(slow_words(d, n),
                                          carry ? w : slow_small(0))));
                carry = sc_bn_sub(d, x, y, n);
                CHECK(carry == (sc_word)(slow_compare(sx, sy) < 0));
                CHECK(slow_equal(slow_add(slow_words(d, n), sy),
                                 slow_add(sx, carry ? w : slow_small(0))));
                memcpy(d, x, n * sizeof *x);    /* in place */
                (void)sc_bn_add(d, d, y, n);
                (void)sc_bn_sub(d, d, y, n);
                CHECK(memcmp(d, x, n * sizeof *x) == 0);
                y_n = k % 2 ? n : (n + 1) / 2;
                sc_bn_mul(d, x, n, y, y_n);
                CHECK(slow_equal(slow_words(d, n + y_n),
                                 slow_mul(sx, slow_words(y, y_n))));
            }
        }
    }
}

static void test_bn_add_mod_and_sub_mod_agree_with_slow_numbers(void)
{
    sc_word m[SC_LIMBS_MAX], x[SC_LIMBS_MAX], y[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    size_t n;
    int i;
    test_random r;
    test_random_init(&r, "add_mod, sub_mod");
    for (n = 1; n <= SC_LIMBS_MAX; n = bn_next(n, SC_LIMBS_MAX)) {
        for (i = 0; i < 4 * BN_KINDS; i++) {
            slow_bn sm, sx, sy;
            bn_modulus(m, n, i % BN_KINDS, &r);
            bn_below(x, m, n, i / BN_KINDS, &r);
            bn_below(y, m, n, i % 5, &r);
            sm = slow_words(m, n);
            sx = slow_words(x, n);
            sy = slow_words(y, n);
            sc_bn_add_mod(d, x, y, m, n);
            CHECK(slow_equal(slow_words(d, n), slow_mod(slow_add(sx, sy), sm)));
            sc_bn_sub_mod(d, x, y, m, n);
            CHECK(slow_equal(slow_words(d, n),
                             slow_mod(slow_sub(slow_add(sx, sm), sy), sm)));
            sc_bn_add_mod(d, d, y, m, n);       /* in place: x comes back */
            CHECK(memcmp(d, x, n * sizeof *x) == 0);
        }
    }
}

/* Any x of up to twice the limbs; m odd or even, down to 1. */
static void test_bn_mod_agrees_with_slow_numbers(void)
{
    sc_word x[2 * SC_LIMBS_MAX], m[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    size_t n, x_n;
    int i;
    test_random r;
    test_random_init(&r, "mod");
    for (n = 1; n <= SC_PRIME_LIMBS_MAX;
         n = bn_next(n, SC_PRIME_LIMBS_MAX)) {
        for (x_n = 1; x_n <= 2 * n; x_n += n) {
            for (i = 0; i < BN_KINDS * BN_KINDS; i++) {
                bn_operand(m, n, i % BN_KINDS, &r);
                bn_operand(x, x_n, i / BN_KINDS, &r);
                if (sc_bn_is_zero(m, n))
                    m[0] = 1;
                sc_bn_mod(d, x, x_n, m, n);
                CHECK(slow_equal(slow_words(d, n),
                                 slow_mod(slow_words(x, x_n),
                                          slow_words(m, n))));
            }
        }
    }
}

/* x + c W^n is a multiple of r, and c < r: the slow remainder says so. */
static void test_bn_residue_makes_a_multiple(void)
{
    sc_word x[SC_LIMBS_MAX + 1], r[1], rest[1];
    size_t n;
    int k;
    test_random random;
    test_random_init(&random, "residue");
    for (n = 1; n <= SC_LIMBS_MAX; n += n < 8 ? 1 : 13) {
        for (k = 0; k < 4 * (BN_KINDS + 1); k++) {
            bn_operand(x, n, k % (BN_KINDS + 1), &random);
            bn_operand(r, 1, k % 4 == 0 ? k / 4 : BN_KINDS, &random);
            r[0] |= 1;
            if (k % 4 == 1)
                r[0] %= 4096;
            x[n] = sc_bn_residue(x, n, r[0]);
            CHECK(x[n] < r[0]);
            sc_bn_mod(rest, x, n + 1, r, 1);
            CHECK(rest[0] == 0);
        }
    }
}

/* x mod 65537, and d with 65537 d = 1 mod m and d < m, for m odd and even. */
static void test_bn_65537_remainder_and_inverse_are_right(void)
{
    sc_word x[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    slow_bn e = slow_add(slow_power_of_2(16), slow_small(1));
    size_t n;
    int i;
    test_random r;
    test_random_init(&r, "65537");
    for (n = 1; n <= SC_LIMBS_MAX; n = bn_next(n, SC_LIMBS_MAX)) {
        for (i = 0; i <= 2 * BN_KINDS; i++) {
            slow_bn m, rest;
            bn_operand(x, n, i / 2, &r);
            x[0] ^= (sc_word)i & 1;
            if (i == 2 * BN_KINDS) {    /* -1, whose square is 2^32 */
                memset(x, 0, n * sizeof *x);
                x[n - 1] = n == 1 ? 0 : 65537;
                x[0] += 65536;
            }
            m = slow_words(x, n);
            rest = slow_mod(m, e);
            d[0] = sc_bn_mod_65537(x, n);
            CHECK(slow_equal(slow_words(d, 1), rest));
            if (rest.n == 0 || slow_compare(m, slow_small(2)) < 0)
                continue;               /* there is no inverse */
            sc_bn_inverse_65537(d, x, n);
            rest = slow_mul(slow_words(d, n), e);
            CHECK(slow_equal(slow_mod(rest, m), slow_small(1)));
            CHECK(slow_compare(slow_words(d, n), m) < 0);
        }
    }
}

/* d = x y / R mod m means d R = x y mod m: no division, no inverse needed. */
static int mont_product_is_right(const sc_word *d, const sc_word *x,
                                 const sc_word *y, const sc_modulus *mod)
{
    size_t n = mod->n;
    slow_bn m = slow_words(mod->m, n), sd = slow_words(d, n);
    slow_bn xy = slow_mul(slow_words(x, n), slow_words(y, n));
    slow_bn big_r = slow_power_of_2(n * SC_WORD_BITS);
    if (slow_compare(sd, m) >= 0)
        return 0;
    return slow_mod(slow_add(xy, slow_mul(slow_sub(m, sd), big_r)), m).n == 0;
}

/* Every number of limbs there can be, and every kind of modulus at some. */
static void test_bn_montgomery_agrees_with_slow_numbers(void)
{
    static sc_modulus mod;
    sc_word m[SC_LIMBS_MAX], x[SC_LIMBS_MAX], y[SC_LIMBS_MAX];
    sc_word d[SC_LIMBS_MAX], one[SC_LIMBS_MAX] = { 1 };
    size_t n, len;
    int i;
    test_random r;
    test_random_init(&r, "montgomery");
    for (n = 1; n <= SC_LIMBS_MAX; n++) {
        len = n * sizeof *x;
        for (i = 0; i < (n <= 5 ? BN_KINDS * BN_KINDS : 3); i++) {
            bn_modulus(m, n, n <= 5 ? i / BN_KINDS : (int)n % BN_KINDS, &r);
            sc_modulus_init(&mod, m, n);
            bn_operand(x, n, i, &r);    /* x may be any number: 0, 1, ... */
            bn_below(y, m, n, n <= 5 ? i % BN_KINDS : 2 * i, &r);
            sc_mont_mul(d, x, y, &mod);
            CHECK(mont_product_is_right(d, x, y, &mod));
            memcpy(x, y, len);
            sc_mont_mul(x, x, x, &mod);         /* all three the same */
            CHECK(mont_product_is_right(x, y, y, &mod));
            sc_mont_to(d, y, &mod);
            CHECK(mont_product_is_right(y, d, one, &mod));
            sc_mont_from(x, d, &mod);
            CHECK(memcmp(x, y, len) == 0);
            sc_mont_one(d, &mod);
            sc_mont_mul(d, d, y, &mod);
            CHECK(memcmp(d, y, len) == 0);
        }
    }
}

/* x^e by square and multiply, which is right if sc_mont_mul is. */
static void slow_mont_pow(sc_word *d, const sc_word *x, const sc_word *e,
                          const sc_modulus *mod)
{
    size_t bit = mod->n * SC_WORD_BITS;
    sc_mont_one(d, mod);
    while (bit-- > 0) {
        sc_mont_mul(d, d, d, mod);
        if (e[bit / SC_WORD_BITS] >> bit % SC_WORD_BITS & 1)
            sc_mont_mul(d, d, x, mod);
    }
}

/* Every number of limbs, for the powers work in digits of other sizes, four at
 * a time and what is left over. */
static void test_bn_powers_agree_with_square_and_multiply(void)
{
    static sc_modulus mod;
    sc_word m[SC_LIMBS_MAX], x[SC_LIMBS_MAX], e[SC_LIMBS_MAX];
    sc_word d[SC_LIMBS_MAX + 1], want[SC_LIMBS_MAX];
    size_t n, len;
    int k, squarings;
    test_random r;
    test_random_init(&r, "powers");
    for (n = 1; n <= SC_PRIME_LIMBS_MAX; n++) {
        len = n * sizeof *x;
        for (k = 0; k < BN_KINDS + 20; k++) {   /* e: as above; 0 to 19 */
            if (n % 16 > 4 && k > BN_KINDS)
                break;
            bn_modulus(m, n, k % 2 ? BN_KINDS : k % BN_KINDS, &r);
            sc_modulus_init(&mod, m, n);
            bn_below(x, m, n, k % 3 ? BN_KINDS : k % BN_KINDS, &r);
            bn_operand(e, n, k < BN_KINDS ? k : 0, &r);
            if (k >= BN_KINDS)
                e[0] = (sc_word)(k - BN_KINDS);
            d[n] = 0x5a;                /* just behind: stays as it is */
            sc_mont_pow(d, x, e, &mod);
            slow_mont_pow(want, x, e, &mod);
            CHECK(memcmp(d, want, len) == 0 && d[n] == 0x5a);
            memcpy(d, x, len);
            sc_mont_pow(d, d, e, &mod);         /* in place */
            CHECK(memcmp(d, want, len) == 0);
        }
    }
    for (n = 1; n <= SC_LIMBS_MAX; n++) {
        for (k = 0; k <= BN_KINDS; k++) {
            bn_modulus(m, n, k, &r);
            sc_modulus_init(&mod, m, n);
            bn_below(x, m, n, (k + (int)n) % (BN_KINDS + 1), &r);
            memcpy(want, x, n * sizeof *x);
            for (squarings = 0; squarings < 16; squarings++)
                sc_mont_mul(want, want, want, &mod);
            d[n] = 0x5a;
            sc_mont_pow_65536(d, x, &mod);
            CHECK(memcmp(d, want, n * sizeof *d) == 0 && d[n] == 0x5a);
        }
    }
}

/* Moduli of ones, in which -1 is a number of ones in any form, and k and u of
 * section 6 too: so the columns are as full as they can be.  And a result of
 * m - 1, which only its lowest digit keeps from being reduced. */
static void test_bn_powers_of_numbers_of_ones_are_right(void)
{
    static sc_modulus mod;
    sc_word m[SC_LIMBS_MAX], x[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    sc_word want[SC_LIMBS_MAX], pair[SC_LIMBS_MAX], e[SC_LIMBS_MAX] = { 1 };
    size_t n, len;
    int k, i;
    for (n = 1; n <= SC_LIMBS_MAX; n += n < 8 ? 1 : 4) {
        len = n * sizeof *x;
        for (k = 0; k < 6; k++) {
            memset(m, 0xff, len);
            m[0] -= k / 2 == 0 ? 0 : k / 2 == 1 ? 0x10 : m[0] - 1;
            if (n == 1 && k / 2 == 2)
                m[0] = 3;
            sc_modulus_init(&mod, m, n);
            memcpy(x, m, len);
            x[0] = k % 2 == 0 ? x[0] - 1 : x[0] >> 1;
            memcpy(want, x, len);
            for (i = 0; i < 16; i++)
                sc_mont_mul(want, want, want, &mod);
            sc_mont_pow_65536(d, x, &mod);
            CHECK(memcmp(d, want, len) == 0);
            if (n <= SC_PRIME_LIMBS_MAX && k % 2 == 0) {
                sc_mont_pow(d, x, e, &mod);
                CHECK(memcmp(d, x, len) == 0);
            }
            if (n > SC_LIMBS(32) && n <= SC_PRIME_LIMBS_MAX) {
                sc_mont_pow_pair(d, x, e, &mod, pair, x, e, &mod);
                CHECK(memcmp(d, x, len) == 0 && memcmp(pair, x, len) == 0);
            }
            if (n < SC_LIMBS(256))
                continue;
            memset(x, 0xff, len);               /* x, as it is, to 65537 */
            sc_mont_to(want, x, &mod);
            for (i = 0; i < 16; i++)
                sc_mont_mul(want, want, want, &mod);
            sc_mont_mul(want, x, want, &mod);
            sc_pow_65537(d, x, m, n);
            CHECK(memcmp(d, want, len) == 0);
        }
    }
}

/* 0 mod m as it comes of factors that are none: as a multiple of m, which is to
 * be taken away until nothing is left.  m is a square, x its root. */
static void test_bn_powers_that_vanish_are_nought(void)
{
    static sc_modulus mod;
    sc_word m[SC_LIMBS_MAX], x[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    sc_word pair[SC_LIMBS_MAX], e[SC_LIMBS_MAX] = { 2 };
    const sc_word ones = ~(sc_word)0;
    size_t n;
    for (n = 2; n <= SC_LIMBS_MAX; n += n < 8 ? 2 : 4) {
        memset(x, 0, sizeof x);
        memset(x, 0xff, n / 2 * sizeof *x);
        sc_bn_mul(m, x, n / 2, x, n / 2);
        sc_modulus_init(&mod, m, n);
        sc_mont_mul(d, x, x, &mod);
        CHECK(sc_bn_is_zero(d, n) == ones);
        sc_mont_pow_65536(d, x, &mod);
        CHECK(sc_bn_is_zero(d, n) == ones);
        if (n <= SC_PRIME_LIMBS_MAX) {
            sc_mont_pow(d, x, e, &mod);
            CHECK(sc_bn_is_zero(d, n) == ones);
        }
        if (n > SC_LIMBS(32) && n <= SC_PRIME_LIMBS_MAX) {
            sc_mont_pow_pair(d, x, e, &mod, pair, x, e, &mod);
            CHECK(sc_bn_is_zero(d, n) == ones);
            CHECK(sc_bn_is_zero(pair, n) == ones);
        }
        if (n >= SC_LIMBS(256)) {
            sc_pow_65537(d, x, m, n);
            CHECK(sc_bn_is_zero(d, n) == ones);
        }
    }
}

/* bn_cut: an odd number of exactly `bits` bits of what is in m. */
static void bn_cut(sc_word *m, size_t n, size_t bits)
{
    size_t i = (bits - 1) / SC_WORD_BITS, at = (bits - 1) % SC_WORD_BITS;
    memset(m + i + 1, 0, (n - i - 1) * sizeof *m);
    m[i] = (m[i] & (((sc_word)1 << at) - 1)) | (sc_word)1 << at;
    m[0] |= 1;
}

/* Where the processor has AVX2: the vectors beside the portable code, for
 * primes and moduli of every length in use.  Any number below m is a Montgomery
 * form. */
static void test_bn_fast_powers_equal_the_portable_ones(void)
{
    sc_modulus mod[2];
    sc_word m[2][SC_LIMBS_MAX], x[2][SC_LIMBS_MAX], e[2][SC_LIMBS_MAX];
    sc_word d[2][SC_LIMBS_MAX + 1], want[SC_LIMBS_MAX];
    size_t bits, n, k, i;
    test_random r;
    test_random_init(&r, "fast powers");
    for (bits = 1024; bits <= 2048; bits += 4) {
        n = SC_LIMBS((bits + 7) / 8);
        for (i = 0; i < 2; i++) {           /* of different kinds: lanes mix */
            k = bits / 4 + 5 * i;
            bn_operand(m[i], n, (int)(k % BN_KINDS), &r);
            bn_cut(m[i], n, bits);
            bn_below(x[i], m[i], n, (int)(k / 3 % BN_KINDS), &r);
            bn_operand(e[i], n, (int)(k / 2 % BN_KINDS), &r);
            sc_modulus_init(&mod[i], m[i], n);
        }
        d[0][n] = d[1][n] = 0x5a;           /* just behind: stays as it is */
        sc_mont_pow_pair(d[0], x[0], e[0], &mod[0], d[1], x[1], e[1], &mod[1]);
        for (i = 0; i < 2; i++) {
            sc_mont_pow(want, x[i], e[i], &mod[i]);
            CHECK(sc_bn_equal(d[i], want, n) && d[i][n] == 0x5a);
        }
        sc_mont_pow_pair(x[0], x[0], e[0], &mod[0], x[1], x[1], e[1], &mod[1]);
        CHECK(sc_bn_equal(d[0], x[0], n) && sc_bn_equal(d[1], x[1], n));
    }
    for (bits = 1985; bits <= 4096; bits += bits < 2048 ? 1 : 8) {
        n = SC_LIMBS((bits + 7) / 8);           /* keys have whole bytes */
        for (k = 0; k < BN_KINDS; k++) {
            bn_operand(m[0], n, (int)k, &r);
            bn_cut(m[0], n, bits);
            sc_modulus_init(&mod[0], m[0], n);
            bn_operand(x[0], n, (int)((k + bits / 8) % BN_KINDS), &r);
            sc_mont_to(want, x[0], &mod[0]);
            sc_mont_pow_65536(want, want, &mod[0]);
            sc_mont_mul(want, x[0], want, &mod[0]);
            d[0][n] = 0x5a;
            sc_pow_65537(d[0], x[0], m[0], n);
            CHECK(sc_bn_equal(d[0], want, n) && d[0][n] == 0x5a);
            sc_pow_65537(x[0], x[0], m[0], n);          /* in place */
            CHECK(sc_bn_equal(d[0], x[0], n));
        }
    }
}

/* 2^e mod m, from which the vectors begin, may come out above m: seldom, and
 * most often of 39 limbs of 64 bits; and then above 2^2496, if m is near it. */
static void test_bn_fast_powers_with_moduli_near_the_top(void)
{
    const size_t n = SC_LIMBS(39 * 8);
    sc_modulus mod;
    sc_word m[SC_LIMBS_MAX], x[SC_LIMBS_MAX], d[SC_LIMBS_MAX];
    sc_word want[SC_LIMBS_MAX];
    test_random r;
    int i;
    test_random_init(&r, "near the top");
    for (i = 0; i < 1000; i++) {
        bn_operand(m, n, BN_KINDS, &r);
        memset(m + n - SC_LIMBS(8), 0xff, 8);
        m[0] |= 1;
        bn_operand(x, n, BN_KINDS, &r);
        sc_modulus_init(&mod, m, n);
        sc_mont_to(want, x, &mod);
        sc_mont_pow_65536(want, want, &mod);
        sc_mont_mul(want, x, want, &mod);
        sc_pow_65537(d, x, m, n);
        CHECK(sc_bn_equal(d, want, n));
    }
}

/* ---- 4. RSA -------------------------------------------------------------- */

/* The key of Project Wycheproof's rsa_oaep_2048_sha256 vectors, as openssl
 * writes it.  PUBLISHED HERE AND THERE: never use it. */
static const char published_key[] =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEowIBAAKCAQEAorRRoH0KpfluRVZxUTVQUUqKW0YuvvcXCU+h/ugiJOY3+XRt\n"
    "P3yv0xh42AMltu9aFwD2WQO0aUKeidbqyIRQl7WrOTGJ25JRLtincRoSU/rNIPec\n"
    "Fegkfz0+QuRuSMmOJUov6XZTE6A+/48X4aApOXofomqNzib0kO2BKZYV2YFMItph\n"
    "BCjgnH2WWFlCZvXAIdD87KCNlFoSvoLeTR7Oa0wDFFtdNJXU7VQR64eNrwX9evw+\n"
    "Ca2g8RJkIvWQl1oZaYFvSGmLy7obTZyuedRg2Pn4Xnl1AF2bwixOWsD3waRdElaa\n"
    "YoB9O5oC5aUw53MGb0U9H1tMLpz3ggKD90K51QIDAQABAoIBACTNxiMX9dcqb2um\n"
    "zJYyiZsB0f8ohn1y9haImVvIVaTkIKhAUlAIm9sTz44JVDgnt0i50n+7K02eIK+M\n"
    "WmqGJ5bRpMwYrRbqZ4vBvUqDu76cXldFO1znOI5Bo7pM4rd7RDiiKelU9yDa4DU9\n"
    "wIisinaybcJ2+OG3hR3dY5itFv8ueBlRI7mwNulFw4ydEkNPbfdv4iNZ6z4aycAR\n"
    "Z4/JJvrTrkdaT///Vf6y0UfpyJT0wOKaWZ52JGJILZaL9CeAlF/A0sMcVzxEMbj0\n"
    "/ouMZ77IFavUT3qG7cocIwhzc1jSwq5eLg4trfcwmAJiN35YsTt9mZIGCgvIcMz9\n"
    "tKkxnuECgYEA3EMQUPeC6JT7UkgkfZjLfVi40eJPO1XQQcVuTeCGsNW7AovaQu61\n"
    "0jTVaB5YCdQV5qKJrUz794+Xj2w1gU9Q7r/xxbgKafeI6B5rq13ap4Np1lnRQ+xv\n"
    "F+eYE6V1z62cVpFWuQET4ukRCtnntIock0im5lMyEZEpDqNs+zpbGPECgYEAvRqB\n"
    "55d/mJgSInOuMiK1mOpfsZ606rw4MIpeMhlmA7LlAP+3n1uIaBZhHevEcvrEVUQH\n"
    "C+sFfJQTeKaGivO3oD0/mIDsR9XgiblPveVCq6mujXLFcIjXq/WxMfOQmPe8Fg+Q\n"
    "U2q8lJL9Tgbz7XKZ1Ll7sDZ3IH2VZp8UDPvCDyUCgYEAqUtSiyjykVmRIdkZUv/R\n"
    "x/IdfBR52Z1HiIX7Fhhw7hIYvwhHJhLb5Ul+jZxlBojgnHhpYa4+LDVNxIrjRRR1\n"
    "nEwjxFiEiJYdwGtBTmHA4ef7vSkj0xUy/iifltoiBxHljBQBmAjgBBQnaTO7B+Tv\n"
    "ubSps3ZWkXIFIJ8z8JUV18ECgYA68OcqkzrvCf8lA994uv7VMcAv8aK8Q3xUDNy9\n"
    "StNUNc9RF2NZZUNIBimxFMp/eA/376MuoMtuAA1tnqHy73H9nPmUhCKhZVV+N+dV\n"
    "7f5w2QuSBQLrR4vJimP3iM46D4Vtbt5yUaODv6j6SAqBqSWvezzFOMS6uMn3WX/7\n"
    "aAEdjQKBgCZA+/vP77Fj7nqHtkg6Zu5B+VbZD6ink5v8BC7gkksbeZPQRF91jVGT\n"
    "PoUXnAMgsMlotIqRw4tb6SPhCXwMVi+I1CKUtqJ1m6+lQop08ScIdORfb8xg8hYC\n"
    "3l7M0UPPMSQfWSG1rTmD+1TvF747KFNn5QyZnGcke1Uv5L/OlF97\n"
    "-----END RSA PRIVATE KEY-----\n";

/* Two 2048-bit primes.  PUBLISHED HERE, like the key: never use them. */
static const char published_p[] =
    "fe4c1324f050a0d98b0aeb9ebf40c809bf4b96c374a1d627557921a98db231be"
    "5076b1c030c175089a32b51cc5d113e95019b5cca2928462b8b8de83a7b651a0"
    "4e06b92b6fa1c4ee8916bd1812ccc45a8b27bf92da117f287fb7b36b6d216484"
    "fed9d196b189f74739348da19603c5141bd3375e530233be943a7afcbe105c6e"
    "be1e3ebaa1dea611c0d321f1c4987b4176978be192c8ba8f6bd073a81b275ec8"
    "751a54bac9526c6e093358a9c11fa20bc5a4264c4a7ecf7f09947b0ef2e4d3ef"
    "636fcdb9505fbd901bfb668a02d1ac47fdf4a429c4d257d267833fdb67c80a77"
    "a99fdfe352ecdeb0264929a63abc393fa18ded8f83c91c33025601f52e298859";
static const char published_q[] =
    "f28be2028ad54b99e99baa481017b1db68f317fcbde3dc36fb80ad4ef8d64776"
    "67d89740bcd2f8b0349c7dce516fb0772e66b85c0f5e85ecfe43d58a27df8ee9"
    "b04dd9395c9dbe85c1aa534c00c27bfe20f796c3ecf44299a41fdfc48393a29f"
    "805388bda178c771dadc109b89a06c97a670689f977811a7e3c4a4380094bde8"
    "db42bde402ae8fff18bc82dba3577ffa5f54dd2d0fe50b30148581e3c8f9fd84"
    "3f6a5d352f93bb61c648bcf5f55ed87e0d197abaf8e156ed023d47fd280f9267"
    "b05816715ae56e42a197b6d95c5e5486bf7fe9f02f6432de11f22473eec0b53a"
    "b85814d1cc28846038e9c0c13eb48874576a0456a1fc9491a42ddde1ba982569";

/* Two 1024-bit primes such as the library makes.  PUBLISHED HERE: never use
 * them.  The first and q of the key above make a key whose d, dp and qinv have
 * zeros in front; the second byte of the product of the two is nought. */
static const char prime_of_short_numbers[] =
    "d497cbc3303d18567b1e90e47df709867203fd95b166581bc02dcc2f18ad4ad7"
    "4e3a8790b9073db76eed5e2c3b0f819f1e92d167621ae197432a4b43ae5091ca"
    "998e784c2244a4f05452fc412975d161e2788b27ad711cd55ff8eb21281594ba"
    "ffdd729fff5077bd946bc58725d1d91ce38cae7497319af87393abd2124c2b67";
static const char other_prime[] =
    "d3f0712a76e75234b7c1eda393705c9af950a8b064735f894211daabf4e1bb81"
    "17da7e1b893201764b235677f7cde126c98c612ec73ed219de17d99a7332537c"
    "59cd7fbdb43477240110af3f7b88aa273396c7a7fbd07fa5ba4336b0721e1137"
    "9da34485615fa829546e452e142de7d2d71fab941735dfe82a37cd1c1f4bc26b";

static int all_are(const void *bytes, size_t len, int value)
{
    const uint8_t *b = (const uint8_t *)bytes;
    while (len > 0 && *b == value) {
        b++;
        len--;
    }
    return len == 0;
}

/* test_key_from_primes: all the numbers of the key whose p and q are set. */
static void test_key_from_primes(sc_private_key *key, size_t n_len)
{
    static sc_modulus mod;
    sc_word p[SC_PRIME_LIMBS_MAX], q[SC_PRIME_LIMBS_MAX], x[SC_LIMBS_MAX + 2];
    size_t half = (n_len + 1) / 2, n = SC_LIMBS(half);
    sc_bn_decode(p, n, key->p, half);
    sc_bn_decode(q, n, key->q, half);
    sc_bn_mul(x, p, n, q, n);
    key->pub.n_len = n_len;
    sc_bn_encode(key->pub.n, n_len, x, 2 * n);
    sc_modulus_init(&mod, p, n);
    sc_mont_to(x, q, &mod);
    p[0] -= 2;                          /* 1/q = q^(p-2) mod p (Fermat) */
    sc_mont_pow(x, x, p, &mod);
    sc_mont_from(x, x, &mod);
    sc_bn_encode(key->qinv, half, x, n);
    p[0] = (p[0] + 2) & ~(sc_word)1;    /* p - 1, of an odd p */
    q[0] &= ~(sc_word)1;
    sc_bn_inverse_65537(x, p, n);
    sc_bn_encode(key->dp, half, x, n);
    sc_bn_inverse_65537(x, q, n);
    sc_bn_encode(key->dq, half, x, n);
}

/* A key of n_bits for the tests, always the same one: 2048 and 4096 are those
 * above, others are made from a seed. */
static const sc_private_key *test_key(unsigned n_bits)
{
    static sc_private_key made[4];
    sc_private_key *key = made;
    sc_keygen g;
    test_random r;
    char mark;
    while (key->pub.n_len != 0 && key->pub.n_len != n_bits / 8)
        key++;
    if (key->pub.n_len != 0)
        return key;
    if (n_bits == 2048) {
        CHECK(sc_key_read_pem(key, published_key, strlen(published_key))
              == SC_OK);
    } else if (n_bits == 4096) {
        CHECK(test_unhex(key->p, 256, published_p) == 256);
        CHECK(test_unhex(key->q, 256, published_q) == 256);
        test_key_from_primes(key, 512);
    } else {
        test_random_init(&r, "test_key");
        CHECK(sc_keygen_init(&g, n_bits, test_random_bytes, &r) == SC_OK);
        while (sc_keygen_step(&g, key, &mark) == SC_MORE)
            ;
    }
    CHECK(key->pub.n_len == n_bits / 8);
    return key;
}

/* What FIPS 186-5 A.1.1 and A.1.3 and RFC 8017 3.2 ask of the numbers, said in
 * slow numbers.  From a random key, 2^(p-1) = 1 mod p proves enough here. */
static void check_key_numbers(const sc_private_key *key, size_t n_bits)
{
    size_t half = (key->pub.n_len + 1) / 2, n = SC_LIMBS(half);
    slow_bn one = slow_small(1), e = slow_add(slow_power_of_2(16), one);
    slow_bn p = slow_be(key->p, half), q = slow_be(key->q, half);
    slow_bn dp = slow_be(key->dp, half), dq = slow_be(key->dq, half);
    slow_bn p1 = slow_sub(p, one), q1 = slow_sub(q, one);
    slow_bn low = slow_power_of_2(n_bits - 1);
    slow_bn high = slow_power_of_2(n_bits / 2);
    int i;
    CHECK(key->pub.n_len == n_bits / 8 && sc_public_check(&key->pub) == SC_OK);
    CHECK(slow_equal(slow_mul(p, q), slow_be(key->pub.n, key->pub.n_len)));
    CHECK(slow_compare(slow_mul(p, p), low) >= 0 && slow_compare(p, high) < 0);
    CHECK(slow_compare(slow_mul(q, q), low) >= 0 && slow_compare(q, high) < 0);
    CHECK(slow_compare(slow_compare(p, q) > 0 ? slow_sub(p, q) : slow_sub(q, p),
                       slow_power_of_2(n_bits / 2 - 100)) > 0);
    CHECK(slow_compare(dp, p1) < 0 && slow_compare(dq, q1) < 0);
    CHECK(slow_equal(slow_mod(slow_mul(dp, e), p1), one));
    CHECK(slow_equal(slow_mod(slow_mul(dq, e), q1), one));
    CHECK(slow_equal(slow_mod(slow_mul(slow_be(key->qinv, half), q), p), one));
    CHECK(slow_compare(slow_be(key->qinv, half), p) < 0);
    for (i = 0; i < 2; i++) {
        static sc_modulus mod;
        sc_word x[SC_PRIME_LIMBS_MAX], y[SC_PRIME_LIMBS_MAX];
        slow_to_words(x, n, i == 0 ? p : q);
        sc_modulus_init(&mod, x, n);
        x[0] -= 1;
        sc_mont_one(y, &mod);
        sc_bn_add_mod(y, y, y, mod.m, n);
        sc_mont_pow(y, y, x, &mod);
        sc_mont_one(x, &mod);
        CHECK(sc_bn_equal(x, y, n));
    }
    CHECK(sc_key_check(key) == SC_OK);
}

/* Random numbers as small and as large as they can come. */
static int low_random_bytes(void *ctx, uint8_t *out, size_t len)
{
    int result = test_random_bytes(ctx, out, len);
    memset(out, 0, len < 4 ? len : 4);
    return result;
}

static int high_random_bytes(void *ctx, uint8_t *out, size_t len)
{
    int result = test_random_bytes(ctx, out, len);
    memset(out, 0xff, len < 4 ? len : 4);
    return result;
}

static void test_rsa_keygen_makes_keys_as_fips_186_5_asks(void)
{
    static const struct {
        unsigned n_bits;
        sc_random_fn random;
    } v[] = {
        { 2048, test_random_bytes }, { 2048, low_random_bytes },
        { 2048, high_random_bytes }, { 2056, test_random_bytes },
        { 2056, low_random_bytes }, { 2056, high_random_bytes },
        { 3072, test_random_bytes },
    };
    sc_private_key key;
    sc_keygen g;
    test_random r;
    size_t i;
    test_random_init(&r, "keygen");
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        int result, n_dots = 0, n_primes = 0;
        char mark;
        CHECK(sc_keygen_init(&g, v[i].n_bits, v[i].random, &r) == SC_OK);
        do {
            result = sc_keygen_step(&g, &key, &mark);
            n_dots += mark == '.';
            n_primes += mark == '+';
        } while (result == SC_MORE);
        CHECK(result == SC_OK && n_dots >= 1 && n_primes == 2);
        check_key_numbers(&key, v[i].n_bits);
        if (v[i].random != test_random_bytes) { /* two bits are set, no more */
            int low = v[i].n_bits == 2048 ? 0xc0 : 0x0c;
            int high = v[i].n_bits == 2048 ? 0xff : 0x0f;
            int want = v[i].random == low_random_bytes ? low : high;
            CHECK(key.p[0] == want && key.q[0] == want);
        }
        CHECK(all_are(&g, sizeof g, 0));        /* no trace of the primes */
    }
}

static void count_mark(void *ctx, char mark)
{
    int *count = (int *)ctx;
    count[mark == '+']++;
    CHECK(mark == '+' || mark == '.');
}

static void test_rsa_key_generate_uses_the_system_and_tells_progress(void)
{
    sc_private_key a, b;
    int count[2] = { 0, 0 };
    CHECK(sc_key_generate(&a, 2048, count_mark, count) == SC_OK);
    CHECK(count[0] >= 1 && count[1] == 2);
    CHECK(sc_key_generate(&b, 2048, NULL, NULL) == SC_OK);
    CHECK(!sc_public_equal(&a.pub, &b.pub) && sc_public_equal(&a.pub, &a.pub));
    check_key_numbers(&a, 2048);
}

static void test_rsa_keygen_refuses_sizes_outside_2048_to_4096_by_8(void)
{
    static const unsigned bad[] = { 0, 1, 8, 1024, 2040, 2047, 2049, 2052, 4095,
                                    4097, 4104, 8192, 65536, 0xfffffff8u };
    sc_private_key key;
    sc_keygen g;
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(sc_keygen_init(&g, bad[i], sc_os_random, NULL)
              == SC_ERR_KEY_SIZE);
        CHECK(sc_key_generate(&key, bad[i], NULL, NULL) == SC_ERR_KEY_SIZE);
    }
    for (i = 2048; i <= 4096; i += 8)
        CHECK(sc_keygen_init(&g, (unsigned)i, sc_os_random, NULL) == SC_OK);
}

/* The source fails at the first draw, the second, the third, the fifth, ..., at
 * the last one at the latest; nothing of a half-made key stays behind. */
static void test_rsa_keygen_ends_when_the_random_source_fails(void)
{
    sc_private_key key;
    sc_keygen g;
    test_random r;
    char mark;
    int draws = 0, step = 1, result = SC_ERR_RANDOM, next;
    while (result == SC_ERR_RANDOM) {
        test_random_init(&r, "keygen");
        r.fail_after = draws;
        memset(&key, 0x5a, sizeof key);
        CHECK(sc_keygen_init(&g, 2048, test_random_bytes, &r) == SC_OK);
        do
            result = sc_keygen_step(&g, &key, &mark);
        while (result == SC_MORE);
        CHECK(all_are(&g, sizeof g, 0));
        if (result == SC_OK)
            break;
        CHECK(all_are(&key, sizeof key, 0) || all_are(&key, sizeof key, 0x5a));
        next = draws + step;            /* Fibonacci's numbers */
        step = draws;
        draws = next;
    }
    CHECK(result == SC_OK && draws > 20);
    /* the same with as many draws as it took, less one: the very last fails */
    next = r.fail_after;
    test_random_init(&r, "keygen");
    r.fail_after = draws - next - 1;
    CHECK(sc_keygen_init(&g, 2048, test_random_bytes, &r) == SC_OK);
    do
        result = sc_keygen_step(&g, &key, &mark);
    while (result == SC_MORE);
    CHECK(result == SC_ERR_RANDOM);
    CHECK(all_are(&key, sizeof key, 0) || all_are(&key, sizeof key, 0x5a));
}

/* A random source with a script: draw i is draw[i], and where[i] is where it
 * was wanted.  Behind the last one it fails. */
typedef struct {
    size_t n, at;
    const uint8_t *where[601];
    uint8_t draw[600][SC_LIMBS(129) * SC_WORD_BYTES];
} test_script;

static int script_bytes(void *ctx, uint8_t *out, size_t len)
{
    test_script *s = (test_script *)ctx;
    s->where[s->at] = out;
    if (s->at == s->n || len > sizeof s->draw[0])
        return SC_ERR_RANDOM;
    memcpy(out, s->draw[s->at++], len);
    return SC_OK;
}

static void script_add(test_script *s, const uint8_t *bytes, size_t len)
{
    memset(s->draw[s->n], 0, sizeof s->draw[0]);
    memcpy(s->draw[s->n++], bytes, len);
}

/* script_candidate: x, but with those bits wrong that candidates have fixed. */
static void script_candidate(test_script *s, const uint8_t *x, size_t half)
{
    script_add(s, x, half);
    s->draw[s->n - 1][0] ^= x[0] >= 0xc0 ? 0xc0 : 0xfc;
    s->draw[s->n - 1][half - 1] ^= 3;
}

static void script_base(test_script *s, size_t half, int base)
{
    memset(s->draw[s->n], 0, sizeof s->draw[0]);
    s->draw[s->n++][half - 1] = (uint8_t)base;
}

static unsigned rest_of(const uint8_t *x, size_t len, unsigned r)  /* x mod r */
{
    uint32_t rest = 0;
    size_t i;
    for (i = 0; i < len; i++)
        rest = (rest << 8 | x[i]) % r;
    return (unsigned)rest;
}

/* step_by: x += v 256^place. */
static void step_by(uint8_t *x, size_t len, size_t place, long v)
{
    for (; v != 0 && place < len; place++) {
        uint8_t *digit = &x[len - 1 - place];
        v += *digit;
        *digit = (uint8_t)((unsigned long)v & 0xff);
        v = (v - *digit) / 256;
    }
}

/* step_to_candidate: the next number after as many steps that no small prime
 * divides and that is not 1 mod 65537. */
static void step_to_candidate(uint8_t *x, size_t len, long v)
{
    unsigned r;
    do {
        step_by(x, len, 0, v);
        for (r = 3; r < 4096 && rest_of(x, len, r) != 0; r += 2)
            ;
    } while (r < 4096 || rest_of(x, len, 65537) == 1);
}

/* One number for each odd prime below 4096, divisible by that one only, and one
 * that is 1 mod 65537: each is drawn again, in the same place, before anything
 * is done with it.  The last one is none of these, and its companion's turn
 * comes. */
static void test_rsa_keygen_tries_no_multiple_of_a_small_prime(void)
{
    static test_script s;
    unsigned prime[563], rest[563], rest_e, d;
    uint8_t base[128];
    test_random r;
    sc_private_key key;
    sc_keygen g;
    size_t i, k, n = 0;
    char mark;
    test_random_init(&r, "sieve");
    (void)test_random_bytes(&r, base, sizeof base);
    base[0] |= 0xc0;
    memset(base + 124, 0, 4);
    for (d = 3; d < 4096; d += 2) {
        for (k = 0; k < n && d % prime[k] != 0; k++)
            ;
        if (k == n && CHECK(n < 563)) {
            prime[n] = d;
            rest[n++] = rest_of(base, sizeof base, d);
        }
    }
    CHECK(n == 563);
    rest_e = rest_of(base, sizeof base, 65537);
    s.n = s.at = 0;
    for (i = 0; i < n + 2; i++) {
        for (d = 3, k = 0; k < n; d += 4) {
            if (i < n ? (rest[i] + d) % prime[i] != 0
                      : (rest_e + d) % 65537 != (i == n ? 1 : 2))
                continue;
            for (k = 0; k < n && (k == i || (rest[k] + d) % prime[k] != 0); k++)
                ;
        }
        script_add(&s, base, sizeof base);
        step_by(s.draw[i], sizeof base, 0, (long)d - 4);
    }
    CHECK(sc_keygen_init(&g, 2048, script_bytes, &s) == SC_OK);
    CHECK(sc_keygen_step(&g, &key, &mark) == SC_ERR_RANDOM);
    CHECK(s.at == n + 2);
    for (i = 0; i < n + 2; i++)
        CHECK(s.where[i] == g.p);
    CHECK(s.where[n + 2] != g.p);
}

static int zero_bytes(void *ctx, uint8_t *out, size_t len)
{
    ++*(unsigned *)ctx;
    memset(out, 0, len);
    return SC_OK;
}

/* A source that repeats itself: c0 00 .. 00 03 is a multiple of 3. */
static void test_rsa_keygen_gives_up_after_10_candidates_a_bit(void)
{
    unsigned draws = 0;
    sc_private_key key;
    sc_keygen g;
    char mark;
    CHECK(sc_keygen_init(&g, 2048, zero_bytes, &draws) == SC_OK);
    CHECK(sc_keygen_step(&g, &key, &mark) == SC_ERR_RANDOM);
    CHECK(draws == 20480 && all_are(&g, sizeof g, 0));
}

/* script_first_prime: p, to be found at once, and passed by the base 1, as all
 * numbers are. */
static void script_first_prime(test_script *s, const uint8_t *p, size_t half)
{
    int i;
    s->n = s->at = 0;
    script_candidate(s, p, half);
    script_candidate(s, p, half);
    for (i = 0; i < 8; i++)
        script_base(s, half, 1);
}

/* p and q have to differ by 2^928 (FIPS 186-5 A.1.3: by more than 2^924). */
static void test_rsa_keygen_takes_no_second_prime_close_to_the_first(void)
{
    static test_script s;
    uint8_t p[128], q[128];
    sc_private_key key;
    sc_keygen g;
    size_t i;
    char mark;
    CHECK(test_unhex(p, sizeof p, other_prime) == 128);
    script_first_prime(&s, p, sizeof p);
    script_add(&s, p, sizeof p);
    for (i = 0; i < 4; i++) {
        memcpy(q, p, sizeof q);         /* too close: above, below; or not */
        step_by(q, sizeof q, 116, i % 2 == 0 ? 1 : -1);
        step_to_candidate(q, sizeof q, (i % 2 == 0) == (i < 2) ? -4 : 4);
        script_add(&s, q, sizeof q);
    }
    CHECK(sc_keygen_init(&g, 2048, script_bytes, &s) == SC_OK);
    for (i = 0; i < 4; i++)
        CHECK(sc_keygen_step(&g, &key, &mark) == SC_MORE);
    CHECK(mark == '+' && memcmp(g.p, p, sizeof p) == 0);
    CHECK(sc_keygen_step(&g, &key, &mark) == SC_ERR_RANDOM && s.at == 15);
    for (i = 10; i < 14; i++)
        CHECK(s.where[i] == g.q);       /* the last of these is far enough */
    CHECK(s.where[14] != g.q);          /* and so is this one: a base is next */
    CHECK(s.where[15] != g.q && s.where[15] != s.where[14]);
}

/* What is drawn decides: a candidate that fails in any round is dropped, one
 * that is a prime is kept, the first of two if both are; and what was drawn is
 * in the key, but for the bits that are fixed.  n is composite; 1, as a base,
 * passes for any number, and 2 for primes. */
static void test_rsa_keygen_asks_a_prime_to_pass_every_round(void)
{
    static const struct {
        char x, other;                  /* the candidates drawn, if any */
        uint8_t base[2];
        char mark;
    } step[] = {
        { 'n', 'n', { 2, 2 }, '.' }, { 'p', 'q', { 2, 2 }, '.' },
        { 0, 0, { 2, 2 }, 0 }, { 0, 0, { 2, 2 }, 0 }, { 0, 0, { 2, 2 }, '+' },
        { 'n', 'n', { 1, 2 }, '.' }, { 0, 0, { 1, 2 }, 0 },
        { 'n', 'n', { 1, 2 }, '.' }, { 0, 0, { 2, 1 }, 0 },
        { 'n', 'n', { 1, 1 }, '.' }, { 0, 0, { 1, 1 }, 0 },
        { 0, 0, { 1, 1 }, 0 }, { 0, 0, { 2, 2 }, 0 },
        { 'n', 'q', { 2, 2 }, '.' },
        { 0, 0, { 2, 2 }, 0 }, { 0, 0, { 2, 2 }, 0 }, { 0, 0, { 2, 2 }, '+' },
    };
    const size_t n_steps = sizeof step / sizeof *step;
    static test_script s;
    sc_private_key want, key;
    sc_keygen g;
    uint8_t n[129];
    size_t i, k, len;
    char mark;
    for (k = 0; k < 2; k++) {
        memset(&want, 0, sizeof want);
        CHECK(test_unhex(want.p, 128, prime_of_short_numbers) == 128);
        CHECK(test_unhex(want.q, 128, other_prime) == 128);
        test_key_from_primes(&want, 256);
        if (k == 1)
            want = *test_key(2056);
        len = (want.pub.n_len + 1) / 2;
        memcpy(n, want.q, len);
        n[0] |= 3;
        step_to_candidate(n, len, 4);
        s.n = s.at = 0;
        for (i = 0; i < n_steps; i++) {
            if (step[i].x != 0) {
                script_candidate(&s, step[i].x == 'p' ? want.p : n, len);
                script_candidate(&s, step[i].other == 'q' ? want.q : n, len);
            }
            script_base(&s, len, step[i].base[0]);
            script_base(&s, len, step[i].base[1]);
        }
        script_base(&s, len, 2);        /* the key is tried: blinding */
        script_base(&s, len, 2);
        memset(&key, 0x5a, sizeof key);
        CHECK(sc_keygen_init(&g, (unsigned)want.pub.n_len * 8, script_bytes, &s)
              == SC_OK);
        for (i = 0; i < n_steps; i++) {
            CHECK(sc_keygen_step(&g, &key, &mark)
                  == (i + 1 < n_steps ? SC_MORE : SC_OK));
            CHECK(mark == step[i].mark);
            if (i == 0)
                CHECK(memcmp(g.p, n, len) == 0);
        }
        CHECK(s.at == s.n && memcmp(&key, &want, sizeof key) == 0);
    }
}

/* A composite number can pass, by chance in no time there is; then the key that
 * it makes is not given out. */
static void test_rsa_keygen_tries_the_key_before_it_gives_it(void)
{
    static test_script s;
    uint8_t p[128], n[128];
    sc_private_key key;
    sc_keygen g;
    int i, result = SC_MORE;
    char mark;
    CHECK(test_unhex(p, sizeof p, prime_of_short_numbers) == 128);
    CHECK(test_unhex(n, sizeof n, other_prime) == 128);
    step_to_candidate(n, sizeof n, 4);
    script_first_prime(&s, p, sizeof p);
    script_candidate(&s, n, sizeof n);
    script_candidate(&s, n, sizeof n);
    for (i = 0; i < 10; i++)
        script_base(&s, sizeof n, i < 8 ? 1 : 2);
    memset(&key, 0x5a, sizeof key);
    CHECK(sc_keygen_init(&g, 2048, script_bytes, &s) == SC_OK);
    for (i = 0; i < 8 && result == SC_MORE; i++)
        result = sc_keygen_step(&g, &key, &mark);
    CHECK(result == SC_ERR_INTERNAL && s.at == s.n && mark == '+');
    CHECK(all_are(&key, sizeof key, 0) && all_are(&g, sizeof g, 0));
}

/* flip: turn over one bit of a big-endian number of len bytes; 0 is the lowest,
 * counted modulo its length. */
static void flip(uint8_t *number, size_t len, size_t bit)
{
    number[len - 1 - bit / 8 % len] ^= (uint8_t)(1 << bit % 8);
}

static void test_rsa_key_check_finds_a_bit_wrong_in_any_number(void)
{
    static const size_t bits[] = { 0, 1, 5, 500, 1022, 1023 };
    const sc_private_key *good = test_key(2048);
    sc_private_key bad = *good;
    uint8_t *number[6];
    size_t i, k;
    number[0] = bad.p;
    number[1] = bad.q;
    number[2] = bad.dp;
    number[3] = bad.dq;
    number[4] = bad.qinv;
    number[5] = bad.pub.n;
    for (i = 0; i < 6; i++) {
        for (k = 0; k < sizeof bits / sizeof *bits; k++) {
            flip(number[i], i < 5 ? 128 : 256, bits[k]);
            CHECK(sc_key_check(&bad) != SC_OK);
            flip(number[i], i < 5 ? 128 : 256, bits[k]);
        }
    }
    CHECK(sc_key_check(&bad) == SC_OK);
    memcpy(bad.p, good->q, 128);        /* p = q */
    CHECK(sc_key_check(&bad) != SC_OK);
    test_key_from_primes(&bad, 256);
    CHECK(sc_key_check(&bad) != SC_OK);
}

/* Numbers that fit together, but p or q is even, or 1 more than a multiple of
 * 65537, or of another length than half of n's. */
static void test_rsa_key_check_refuses_factors_it_would_not_make(void)
{
    static char text[SC_PEM_MAX];
    sc_private_key key;
    uint8_t *x;
    size_t i, len;
    for (i = 0; i < 2; i++) {
        key = *test_key(2048);
        x = i == 0 ? key.p : key.q;
        x[127] ^= 1;
        test_key_from_primes(&key, 256);
        CHECK(sc_key_check(&key) == SC_ERR_KEY_CHECK);
        step_by(x, 128, 0, 1 - (long)rest_of(x, 128, 65537));
        if (x[127] % 2 == 0)
            step_by(x, 128, 0, 65537);
        test_key_from_primes(&key, 256);
        CHECK(sc_key_check(&key) == SC_ERR_KEY_CHECK);
        key = *test_key(2056);
        key.p[0] = i == 0 ? 0x18 : 0x07;
        key.q[0] = i == 0 ? 0x07 : 0x18;
        test_key_from_primes(&key, 257);
        CHECK(key.pub.n[0] >= 0x80);
        CHECK(sc_key_check(&key) == SC_ERR_KEY_CHECK);
    }
    for (i = 0; i < 2; i++) {           /* just long enough, just too short */
        key = *test_key(2048);
        key.p[0] = 0xc0;
        key.q[0] = i == 0 ? 0xab : 0xaa;
        key.p[1] = key.q[1] = 0;
        test_key_from_primes(&key, 256);
        CHECK(key.pub.n[0] == (i == 0 ? 0x80 : 0x7f));
        CHECK(sc_key_check(&key) == (i == 0 ? SC_OK : SC_ERR_KEY_SIZE));
        if (i == 0)
            CHECK(sc_key_write_pem(&key, text, sizeof text, &len) == SC_OK
                  && sc_key_read_pem(&key, text, len) == SC_OK);
    }
}

static void test_rsa_key_check_names_a_size_it_does_not_take(void)
{
    static const size_t bad_len[] = { 0, 128, 255, 513 };
    sc_private_key key = *test_key(2048);
    size_t i;
    for (i = 0; i < sizeof bad_len / sizeof *bad_len; i++) {
        key.pub.n_len = bad_len[i];
        CHECK(sc_key_check(&key) == SC_ERR_KEY_SIZE);
    }
    key.pub.n_len = 256;
    CHECK(sc_key_check(&key) == SC_OK);
    key.pub.n[0] &= 0x7f;
    CHECK(sc_key_check(&key) == SC_ERR_KEY_SIZE);
}

static void test_rsa_public_check_knows_a_usable_modulus(void)
{
    static const size_t bad_len[] = { 0, 1, 128, 255, 513, 1000 };
    struct {
        sc_public_key key;
        uint8_t behind[512];            /* odd, too */
    } k;
    sc_public_key key = test_key(2048)->pub;
    size_t i;
    CHECK(sc_public_check(&key) == SC_OK);
    CHECK(sc_public_check(&test_key(4096)->pub) == SC_OK);
    key.n[255] ^= 1;
    CHECK(sc_public_check(&key) == SC_ERR_PUBLIC_KEY);
    key.n[255] ^= 1;
    key.n[0] &= 0x7f;
    CHECK(sc_public_check(&key) == SC_ERR_PUBLIC_KEY);
    key.n[0] = 0x80;
    CHECK(sc_public_check(&key) == SC_OK);
    memset(&k, 0xff, sizeof k);
    for (i = 0; i < sizeof bad_len / sizeof *bad_len; i++) {
        k.key.n_len = bad_len[i];
        CHECK(sc_public_check(&k.key) == SC_ERR_PUBLIC_KEY);
    }
}

static void test_rsa_public_equal_sees_every_byte_and_the_length(void)
{
    const sc_public_key *key = &test_key(2048)->pub;
    sc_public_key other = *key;
    size_t i;
    for (i = 255; i <= 257; i++) {
        other.n_len = i;
        CHECK(sc_public_equal(key, &other) == (i == 256));
        CHECK(sc_public_equal(&other, key) == (i == 256));
    }
    other.n_len = 256;
    for (i = 0; i < 256; i++) {
        other.n[i] ^= 1;
        CHECK(!sc_public_equal(key, &other));
        other.n[i] ^= 1;
    }
}

/* RFC 8017 5.1: x^65537 mod n in slow numbers, and m^e^d = m. */
static void test_rsa_public_and_private_operation_are_each_others_inverse(void)
{
    static const unsigned sizes[] = { 2048, 2056, 4096 };
    uint8_t x[SC_MODULUS_MAX], y[SC_MODULUS_MAX], z[SC_MODULUS_MAX];
    test_random r;
    size_t i, k, kind;
    sc_word ok;
    test_random_init(&r, "operations");
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const sc_private_key *key = test_key(sizes[i]);
        size_t len = key->pub.n_len;
        for (kind = 0; kind < 5; kind++) {      /* 0, 1, 2, n - 1, random */
            memset(x, 0, sizeof x);
            x[len - 1] = (uint8_t)kind;
            if (kind == 3) {
                memcpy(x, key->pub.n, len);
                x[len - 1] ^= 1;
            } else if (kind == 4) {
                (void)test_random_bytes(&r, x + 1, len - 1);
            }
            sc_rsa_public(&key->pub, x, y);
            CHECK(sc_rsa_private(key, y, z, &ok, test_random_bytes, &r)
                  == SC_OK);
            CHECK(ok == ~(sc_word)0 && memcmp(z, x, len) == 0);
            memcpy(z, y, len);                  /* in place */
            CHECK(sc_rsa_private(key, z, z, &ok, test_random_bytes, &r)
                  == SC_OK);
            CHECK(ok == ~(sc_word)0 && memcmp(z, x, len) == 0);
        }
        if (sizes[i] == 2048) {
            slow_bn n = slow_be(key->pub.n, len), s = slow_be(x, len);
            for (k = 0; k < 16; k++)
                s = slow_mod(slow_mul(s, s), n);
            s = slow_mod(slow_mul(s, slow_be(x, len)), n);
            CHECK(slow_equal(s, slow_be(y, len)));
        }
    }
}

/* A ciphertext of n or more is refused, though n + c would open as c does. */
static void test_rsa_private_refuses_what_is_not_below_the_modulus(void)
{
    static const unsigned sizes[] = { 2048, 2056, 4096 };
    uint8_t c[SC_MODULUS_MAX], m[SC_MODULUS_MAX + 1];
    sc_word ok;
    size_t i, at;
    int kind;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const sc_private_key *key = test_key(sizes[i]);
        size_t len = key->pub.n_len;
        for (kind = 0; kind < 3; kind++) {      /* n, n + 1, all ff */
            memcpy(c, key->pub.n, len);
            for (at = len; kind == 1 && at-- > 0 && ++c[at] == 0; )
                ;
            if (kind == 2)
                memset(c, 0xff, len);
            ok = ~(sc_word)0;
            m[len] = 0x5a;                      /* just behind: stays */
            CHECK(sc_rsa_private(key, c, m, &ok, sc_os_random, NULL) == SC_OK);
            CHECK(ok == 0 && all_are(m, len, 0) && m[len] == 0x5a);
        }
    }
}

/* Files of other programs may hold p < q as well as p > q. */
static void test_rsa_private_takes_the_primes_in_either_order(void)
{
    sc_private_key key = *test_key(2048);
    uint8_t x[256] = { 0, 1, 2 }, y[256], z[256];
    sc_word ok;
    int i;
    for (i = 0; i < 2; i++) {
        uint8_t p[128];
        memcpy(p, key.p, 128);
        memcpy(key.p, key.q, 128);
        memcpy(key.q, p, 128);
        test_key_from_primes(&key, 256);
        CHECK(sc_key_check(&key) == SC_OK);
        sc_rsa_public(&key.pub, x, y);
        CHECK(sc_rsa_private(&key, y, z, &ok, sc_os_random, NULL) == SC_OK);
        CHECK(ok == ~(sc_word)0 && memcmp(z, x, 256) == 0);
    }
}

/* A wrong bit in the key, as a fault of the machine may make one: the answer is
 * "not well-formed" and zeros, or it was a bit that is not looked at, but never
 * a wrong number (Boneh, DeMillo, Lipton 1997: one is enough to factor n). */
static void test_rsa_private_gives_nothing_away_after_a_fault(void)
{
    static const size_t bits[] = { 0, 1, 5, 63, 64, 500, 1022, 1023 };
    sc_private_key bad = *test_key(2048);
    uint8_t c[256], em[256], m[256], secret[32];
    uint8_t *number[5];
    size_t i, k, n_noticed = 0;
    sc_word ok;
    number[0] = bad.p;
    number[1] = bad.q;
    number[2] = bad.dp;
    number[3] = bad.dq;
    number[4] = bad.qinv;
    memset(secret, 0xa5, sizeof secret);
    CHECK(sc_oaep_encrypt(&bad.pub, "", 0, secret, 32, c, sc_os_random, NULL)
          == SC_OK);
    CHECK(sc_rsa_private(&bad, c, em, &ok, sc_os_random, NULL) == SC_OK && ok);
    for (i = 0; i < 5; i++) {
        for (k = 0; k < sizeof bits / sizeof *bits; k++) {
            flip(number[i], 128, bits[k]);
            memset(m, 0x5a, sizeof m);
            CHECK(sc_rsa_private(&bad, c, m, &ok, sc_os_random, NULL) == SC_OK);
            n_noticed += ok == 0;
            CHECK(ok ? memcmp(m, em, 256) == 0 : all_are(m, 256, 0));
            CHECK(sc_oaep_decrypt(&bad, "", 0, c, m, 32, &ok, sc_os_random,
                                  NULL) == SC_OK);
            CHECK(ok ? memcmp(m, secret, 32) == 0 : all_are(m, 32, 0));
            flip(number[i], 128, bits[k]);
        }
    }
    CHECK(n_noticed >= 38);             /* of 40; dp and dq are always odd */
    CHECK(sc_oaep_decrypt(&bad, "", 0, c, m, 32, &ok, sc_os_random, NULL)
          == SC_OK);
    CHECK(ok == ~(sc_word)0 && memcmp(m, secret, 32) == 0);
}

static void test_rsa_operations_end_when_the_random_source_fails(void)
{
    const sc_private_key *key = test_key(2048);
    uint8_t c[256], m[256], secret[32] = { 1 };
    test_random r;
    sc_word ok;
    int draws;
    test_random_init(&r, "fails");
    r.fail_after = 0;
    CHECK(sc_oaep_encrypt(&key->pub, "", 0, secret, 32, c, test_random_bytes,
                          &r) == SC_ERR_RANDOM);
    CHECK(sc_oaep_encrypt(&key->pub, "", 0, secret, 32, c, sc_os_random, NULL)
          == SC_OK);
    for (draws = 0; draws < 10; draws++) {
        int result;
        memset(m, 0x5a, sizeof m);
        ok = ~(sc_word)0;
        r.fail_after = draws;
        result = sc_oaep_decrypt(key, "", 0, c, m, 32, &ok, test_random_bytes,
                                 &r);
        if (result == SC_OK)
            break;
        CHECK(result == SC_ERR_RANDOM && ok == 0 && all_are(m, 32, 0));
    }
    CHECK(draws > 0 && draws < 10);     /* blinding took some, then it worked */
    CHECK(ok == ~(sc_word)0 && memcmp(m, secret, 32) == 0);
    for (; draws > 0; draws--) {
        memset(m, 0x5a, sizeof m);
        ok = ~(sc_word)0;
        r.fail_after = draws - 1;
        CHECK(sc_rsa_private(key, c, m, &ok, test_random_bytes, &r)
              == SC_ERR_RANDOM);
        CHECK(ok == 0 && all_are(m, 256, 0));
    }
}

/* Wycheproof, rsa_oaep_2048_sha256, cases 8 (a label) and 11 (longest message:
 * RFC 8017 7.1.1, 256 - 2 * 32 - 2). */
static void test_rsa_oaep_opens_published_ciphertexts(void)
{
    static const char case_8[] =
    "6583e2f176aa7e7f655d2c53497349c156c8851fb23325589e85fb83bfa85734"
    "6caba222cdaa3234e71564154298c24dbb85e18822a1d5e7faa47863a64d7687"
    "4a3cbc70f4d9f137426a344c473fac1dd7008a9973765e9f66c5b492535a647c"
    "273c4f78ceb5aa7ba963a2142f2ce4a81f804c002b9b2eabb3c75e80a3c6ceaf"
    "e5384a544c672a5d28d32bb87115f43eb79775fd9b3f4a2f6e6a89368bdd95ef"
    "1d014877b60afdb1234acd57653a65459f01b2fbe381f22a739504b4897a7e6c"
    "33b6349b276db6083abad9c169405859b800c812237634b503de6ada43013c1d"
    "86697a135be78a9784576d796d62aa7819e2ea0e2d902ffdd9cfdd1ae66212ee";
    static const char case_11[] =
    "7efb69f1137d6a6e813b7ab75bf0400b3d07a442b88ab048675dc06b0215fc1a"
    "2e033263ec31a6c1d2eac56cb0470d69022a48131d1f000bbed70586b80cf635"
    "6465c8834daced7ea2a5ff8ef9c44d5ab828ffbf0556a6394752a4a28a70cae2"
    "0084e1236f042f6c29de5cb34ef73acba5abcc7ccb3a26342701df3b9daa945d"
    "9fa5bf0b9b10306655e56370183f50fb8321f8f0cd1c72114791fca5df216629"
    "6b509b01a0b291c46110787cebe69d41b3b1e89590bc2f5e5d49ea24ae0f1207"
    "eef1aee54b9760553e80c5506a8a8a75732e92875025f0bfd5ead71e4340c8a9"
    "fa16dcd5a7dc96d8c4a7dc4e91f47a69366445c4695c8bad578ffe52bb672f65";
    const sc_private_key *key = test_key(2048);
    uint8_t c[256], m[190], label[8] = { 0 };
    sc_word ok;
    CHECK(test_unhex(c, sizeof c, case_8) == 256);
    CHECK(sc_oaep_decrypt(key, label, 8, c, m, 6, &ok, sc_os_random, NULL)
          == SC_OK);
    CHECK(ok == ~(sc_word)0 && memcmp(m, "123400", 6) == 0);
    CHECK(sc_oaep_decrypt(key, label, 7, c, m, 6, &ok, sc_os_random, NULL)
          == SC_OK);
    CHECK(ok == 0);
    CHECK(test_unhex(c, sizeof c, case_11) == 256);
    CHECK(sc_oaep_decrypt(key, NULL, 0, c, m, 190, &ok, sc_os_random, NULL)
          == SC_OK);
    CHECK(ok == ~(sc_word)0 && all_are(m, 190, 'x'));
}

/* A key from the hex digits of n, e, d, p, q, dp, dq, qinv (d is not kept). */
static int key_from_hex(sc_private_key *key, char *const hex[8])
{
    memset(key, 0, sizeof *key);
    key->pub.n_len = test_unhex(key->pub.n, sizeof key->pub.n, hex[0]);
    return test_unhex(key->p, sizeof key->p, hex[3]) == key->pub.n_len / 2
        && test_unhex(key->q, sizeof key->q, hex[4]) == key->pub.n_len / 2
        && test_unhex(key->dp, sizeof key->dp, hex[5]) == key->pub.n_len / 2
        && test_unhex(key->dq, sizeof key->dq, hex[6]) == key->pub.n_len / 2
        && test_unhex(key->qinv, sizeof key->qinv, hex[7]) == key->pub.n_len / 2
        && sc_key_check(key) == SC_OK;
}

static void test_rsa_oaep_wycheproof_vectors(void)
{
    static test_vectors v;
    sc_private_key key;
    uint8_t label[100], c[300], want[300], m[300];
    sc_word ok;
    if (!vectors_open(&v, "rsa_oaep_2048_sha256.txt"))
        return;
    while (vectors_next(&v) > 0) {
        size_t label_len, m_len;
        int valid = strcmp(v.field[2], "valid") == 0;
        if (strcmp(v.field[0], "key") == 0) {
            CHECK(key_from_hex(&key, v.field + 1));
            continue;
        }
        label_len = test_unhex(label, sizeof label, v.field[3]);
        m_len = test_unhex(want, sizeof want, v.field[5]);
        if (test_unhex(c, sizeof c, v.field[4]) != key.pub.n_len) {
            CHECK(!valid);              /* its callers see to the length */
            continue;
        }
        CHECK(sc_oaep_decrypt(&key, label, label_len, c, m, m_len, &ok,
                              sc_os_random, NULL) == SC_OK);
        CHECK(ok == (valid ? ~(sc_word)0 : 0));
        CHECK(!valid || memcmp(m, want, m_len) == 0);
    }
}

/* RFC 8017 7.1.1 step 2, to look at what the library makes and to make what it
 * would not.  A block em of k bytes:  00, seed (32), lHash (32), 00 .. 00, 01,
 * message; then the mask over the rest from the seed and over the seed from the
 * masked rest.  undo: takes the masks off again. */
static void oaep_block(uint8_t *em, size_t k, const void *label,
                       size_t label_len, const uint8_t *msg, size_t msg_len,
                       const uint8_t seed[32])
{
    memset(em, 0, k);
    memcpy(em + 1, seed, 32);
    test_sha256(em + 33, label, label_len);
    em[k - msg_len - 1] = 1;
    memcpy(em + k - msg_len, msg, msg_len);
}

static void mgf1_mask(uint8_t *x, size_t x_len, const uint8_t *z, size_t z_len)
{
    uint8_t input[SC_MODULUS_MAX + 4], mask[32];
    size_t i;
    memcpy(input, z, z_len);
    memset(input + z_len, 0, 4);
    for (i = 0; i < x_len; i++) {
        input[z_len + 3] = (uint8_t)(i / 32);
        if (i % 32 == 0)
            test_sha256(mask, input, z_len + 4);
        x[i] ^= mask[i % 32];
    }
}

static void oaep_mask(uint8_t *em, size_t k, int undo)
{
    if (undo)
        mgf1_mask(em + 1, 32, em + 33, k - 33);
    mgf1_mask(em + 33, k - 33, em + 1, 32);
    if (!undo)
        mgf1_mask(em + 1, 32, em + 33, k - 33);
}

/* Every size of key, label and message: the block inside is the one RFC 8017
 * describes, the message comes out again, and only under its label. */
static void test_rsa_oaep_goes_both_ways_with_every_label_and_length(void)
{
    static const unsigned sizes[] = { 2048, 2056, 4096 };
    static const size_t label_lens[] = { 0, 1, 64, 300 };
    uint8_t label[300], msg[SC_MODULUS_MAX], c[SC_MODULUS_MAX];
    uint8_t em[SC_MODULUS_MAX], want[SC_MODULUS_MAX];
    test_random r;
    size_t i, j, l, len;
    sc_word ok;
    test_random_init(&r, "oaep");
    (void)test_random_bytes(&r, label, sizeof label);
    (void)test_random_bytes(&r, msg, sizeof msg);
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const sc_private_key *key = test_key(sizes[i]);
        size_t k = key->pub.n_len, msg_lens[5];
        msg_lens[0] = 0;
        msg_lens[1] = 1;
        msg_lens[2] = 32;
        msg_lens[3] = k - 67;
        msg_lens[4] = k - 66;
        for (j = 0; j < 20; j += sizes[i] == 2048 ? 1 : 3) {
            l = label_lens[j / 5];
            len = msg_lens[j % 5];
            CHECK(sc_oaep_encrypt(&key->pub, label, l, msg, len, c,
                                  test_random_bytes, &r) == SC_OK);
            CHECK(sc_rsa_private(key, c, em, &ok, test_random_bytes, &r)
                  == SC_OK && ok);
            oaep_mask(em, k, 1);
            oaep_block(want, k, label, l, msg, len, em + 1);
            CHECK(memcmp(em, want, k) == 0);
            CHECK(sc_oaep_decrypt(key, label, l, c, em, len, &ok,
                                  test_random_bytes, &r) == SC_OK);
            CHECK(ok == ~(sc_word)0 && memcmp(em, msg, len) == 0);
            label[0] ^= 1;
            CHECK(sc_oaep_decrypt(key, label, l, c, em, len, &ok,
                                  test_random_bytes, &r) == SC_OK);
            CHECK(ok == (l == 0 ? ~(sc_word)0 : 0));
        }
        CHECK(sc_oaep_encrypt(&key->pub, label, 1, msg, k - 65, c,
                              test_random_bytes, &r) == SC_ERR_ARGUMENT);
        ok = ~(sc_word)0;
        CHECK(sc_oaep_decrypt(key, label, 1, c, em, k - 65, &ok,
                              test_random_bytes, &r) == SC_ERR_ARGUMENT);
        CHECK(ok == 0 && all_are(em, k - 65, 0));
    }
}

/* The masks end anywhere in a hash, after any number of hashes.  Nobody has the
 * private keys of these moduli: what is encrypted is made again here. */
static void test_rsa_oaep_block_is_rfc_8017_s_for_every_size(void)
{
    static test_script s;
    uint8_t seed[32], c[SC_MODULUS_MAX], em[SC_MODULUS_MAX];
    sc_public_key key;
    test_random r;
    size_t k;
    test_random_init(&r, "sizes");
    (void)test_random_bytes(&r, seed, sizeof seed);
    (void)test_random_bytes(&r, key.n, sizeof key.n);
    key.n[0] |= 0x80;
    for (k = SC_MODULUS_MIN; k <= SC_MODULUS_MAX; k += k < 290 ? 1 : 37) {
        key.n_len = k;
        key.n[k - 1] |= 1;
        s.n = s.at = 0;
        script_add(&s, seed, sizeof seed);
        CHECK(sc_oaep_encrypt(&key, "label", 5, seed, 7, c, script_bytes, &s)
              == SC_OK);
        oaep_block(em, k, "label", 5, seed, 7, seed);
        oaep_mask(em, k, 0);
        sc_rsa_public(&key, em, em);
        CHECK(memcmp(em, c, k) == 0);
    }
}

/* Two encryptions of one message have nothing in common. */
static void test_rsa_oaep_takes_a_fresh_seed_each_time(void)
{
    const sc_private_key *key = test_key(2048);
    uint8_t a[256], b[256], msg[32] = { 0 };
    CHECK(sc_oaep_encrypt(&key->pub, "", 0, msg, 32, a, sc_os_random, NULL)
          == SC_OK);
    CHECK(sc_oaep_encrypt(&key->pub, "", 0, msg, 32, b, sc_os_random, NULL)
          == SC_OK);
    CHECK(memcmp(a, b, 256) != 0);
    CHECK(sc_oaep_encrypt(&key->pub, NULL, 0, NULL, 0, b, sc_os_random, NULL)
          == SC_OK);                    /* nothing is no special case */
}

/* One byte wrong anywhere before the message, and every wrong length: one and
 * the same answer, and zeros for a message. */
static void test_rsa_oaep_refuses_every_malformed_block(void)
{
    const sc_private_key *key = test_key(2048);
    uint8_t em[256], c[256], m[256], secret[32], seed[32];
    test_random r;
    size_t at, len;
    sc_word ok;
    test_random_init(&r, "malformed");
    (void)test_random_bytes(&r, secret, sizeof secret);
    (void)test_random_bytes(&r, seed, sizeof seed);
    for (at = 0; at <= 256 - 32; at++) {
        oaep_block(em, 256, "label", 5, secret, 32, seed);
        if (at < 256 - 32)
            em[at] ^= (uint8_t)(at == 0 || at % 8 == 7 ? 1 : 1 << at % 8);
        else
            em[at - 1] = 2;             /* 02 where the 01 should be */
        oaep_mask(em, 256, 0);
        sc_rsa_public(&key->pub, em, c);
        memset(m, 0x5a, sizeof m);
        CHECK(sc_oaep_decrypt(key, "label", 5, c, m, 32, &ok,
                              test_random_bytes, &r) == SC_OK);
        if (at >= 1 && at <= 32)        /* the seed may be anything */
            CHECK(ok == ~(sc_word)0 && memcmp(m, secret, 32) == 0);
        else
            CHECK(ok == 0 && all_are(m, 32, 0));
    }
    for (len = 0; len <= 190; len += len < 40 ? 1 : 15) {
        memset(em, 0, sizeof em);
        CHECK(sc_oaep_encrypt(&key->pub, "label", 5, em, len, c,
                              test_random_bytes, &r) == SC_OK);
        CHECK(sc_oaep_decrypt(key, "label", 5, c, m, 32, &ok,
                              test_random_bytes, &r) == SC_OK);
        CHECK(ok == (len == 32 ? ~(sc_word)0 : 0));
    }
    for (at = 0; at < 2; at++) {        /* c = 0 and 1 open as 0 and 1 */
        memset(c, 0, sizeof c);
        c[255] = (uint8_t)at;
        CHECK(sc_oaep_decrypt(key, "", 0, c, m, 32, &ok, test_random_bytes, &r)
              == SC_OK && ok == 0);
    }
    memcpy(c, key->pub.n, 256);
    c[255] ^= 1;                        /* n - 1 opens as n - 1 */
    CHECK(sc_oaep_decrypt(key, "", 0, c, m, 32, &ok, test_random_bytes, &r)
          == SC_OK && ok == 0);
}

/* The malformed ciphertexts of the session vectors, made by another
 * implementation ("name = hex" a line). */
static void test_rsa_oaep_refuses_the_malformed_session_vectors(void)
{
    static test_vectors v;
    static uint8_t label[200], secret[32];
    static char hex[8][600];
    static const char *const numbers[8] = { "host.n", "", "", "host.p",
        "host.q", "host.dp", "host.dq", "host.qinv" };
    char *const number[8] = { hex[0], hex[1], hex[2], hex[3], hex[4], hex[5],
                              hex[6], hex[7] };
    sc_private_key key;
    uint8_t c[257], m[32];
    size_t label_len = 0, i;
    sc_word ok;
    int n_bad = 0, n_good = 0;
    if (!vectors_open(&v, "session.txt"))
        return;
    while (vectors_next(&v) > 0) {
        const char *name = v.field[0];
        for (i = 0; i < 8; i++)
            if (strcmp(name, numbers[i]) == 0)
                (void)snprintf(hex[i], sizeof hex[i], "%s", v.field[2]);
        if (strncmp(name, "malformed.", 10) != 0)
            continue;
        name += 10;
        if (strcmp(name, "label") == 0) {
            CHECK(key_from_hex(&key, number));
            label_len = test_unhex(label, sizeof label, v.field[2]);
        } else if (strcmp(name, "good_secret") == 0) {
            CHECK(test_unhex(secret, sizeof secret, v.field[2]) == 32);
        } else if (test_unhex(c, sizeof c, v.field[2]) == 256) {
            CHECK(sc_oaep_decrypt(&key, label, label_len, c, m, 32, &ok,
                                  sc_os_random, NULL) == SC_OK);
            if (strcmp(name, "good") == 0)
                n_good += CHECK(ok && memcmp(m, secret, 32) == 0);
            else
                n_bad += CHECK(ok == 0 && all_are(m, 32, 0));
        }
    }
    CHECK(n_good == 1 && n_bad >= 18);
}

/* ---- 5. key files -------------------------------------------------------- */

/* The key of section 4 as written by "openssl pkcs8 -topk8 -nocrypt" and by
 * "ssh-keygen -p", what ssh-keygen -y and -lv say of it, and what -lv says of
 * the key that is made of the two primes there. */
static const char published_pkcs8[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCitFGgfQql+W5F\n"
    "VnFRNVBRSopbRi6+9xcJT6H+6CIk5jf5dG0/fK/TGHjYAyW271oXAPZZA7RpQp6J\n"
    "1urIhFCXtas5MYnbklEu2KdxGhJT+s0g95wV6CR/PT5C5G5IyY4lSi/pdlMToD7/\n"
    "jxfhoCk5eh+iao3OJvSQ7YEplhXZgUwi2mEEKOCcfZZYWUJm9cAh0PzsoI2UWhK+\n"
    "gt5NHs5rTAMUW100ldTtVBHrh42vBf16/D4JraDxEmQi9ZCXWhlpgW9IaYvLuhtN\n"
    "nK551GDY+fheeXUAXZvCLE5awPfBpF0SVppigH07mgLlpTDncwZvRT0fW0wunPeC\n"
    "AoP3QrnVAgMBAAECggEAJM3GIxf11ypva6bMljKJmwHR/yiGfXL2FoiZW8hVpOQg\n"
    "qEBSUAib2xPPjglUOCe3SLnSf7srTZ4gr4xaaoYnltGkzBitFupni8G9SoO7vpxe\n"
    "V0U7XOc4jkGjukzit3tEOKIp6VT3INrgNT3AiKyKdrJtwnb44beFHd1jmK0W/y54\n"
    "GVEjubA26UXDjJ0SQ09t92/iI1nrPhrJwBFnj8km+tOuR1pP//9V/rLRR+nIlPTA\n"
    "4ppZnnYkYkgtlov0J4CUX8DSwxxXPEQxuPT+i4xnvsgVq9RPeobtyhwjCHNzWNLC\n"
    "rl4uDi2t9zCYAmI3flixO32ZkgYKC8hwzP20qTGe4QKBgQDcQxBQ94LolPtSSCR9\n"
    "mMt9WLjR4k87VdBBxW5N4Iaw1bsCi9pC7rXSNNVoHlgJ1BXmoomtTPv3j5ePbDWB\n"
    "T1Duv/HFuApp94joHmurXdqng2nWWdFD7G8X55gTpXXPrZxWkVa5ARPi6REK2ee0\n"
    "ihyTSKbmUzIRkSkOo2z7OlsY8QKBgQC9GoHnl3+YmBIic64yIrWY6l+xnrTqvDgw\n"
    "il4yGWYDsuUA/7efW4hoFmEd68Ry+sRVRAcL6wV8lBN4poaK87egPT+YgOxH1eCJ\n"
    "uU+95UKrqa6NcsVwiNer9bEx85CY97wWD5BTaryUkv1OBvPtcpnUuXuwNncgfZVm\n"
    "nxQM+8IPJQKBgQCpS1KLKPKRWZEh2RlS/9HH8h18FHnZnUeIhfsWGHDuEhi/CEcm\n"
    "EtvlSX6NnGUGiOCceGlhrj4sNU3EiuNFFHWcTCPEWISIlh3Aa0FOYcDh5/u9KSPT\n"
    "FTL+KJ+W2iIHEeWMFAGYCOAEFCdpM7sH5O+5tKmzdlaRcgUgnzPwlRXXwQKBgDrw\n"
    "5yqTOu8J/yUD33i6/tUxwC/xorxDfFQM3L1K01Q1z1EXY1llQ0gGKbEUyn94D/fv\n"
    "oy6gy24ADW2eofLvcf2c+ZSEIqFlVX4351Xt/nDZC5IFAutHi8mKY/eIzjoPhW1u\n"
    "3nJRo4O/qPpICoGpJa97PMU4xLq4yfdZf/toAR2NAoGAJkD7+8/vsWPueoe2SDpm\n"
    "7kH5VtkPqKeTm/wELuCSSxt5k9BEX3WNUZM+hRecAyCwyWi0ipHDi1vpI+EJfAxW\n"
    "L4jUIpS2onWbr6VCinTxJwh05F9vzGDyFgLeXszRQ88xJB9ZIbWtOYP7VO8Xvjso\n"
    "U2flDJmcZyR7VS/kv86UX3s=\n"
    "-----END PRIVATE KEY-----\n";

static const char published_openssh[] =
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAABFwAAAAdzc2gtcn\n"
    "NhAAAAAwEAAQAAAQEAorRRoH0KpfluRVZxUTVQUUqKW0YuvvcXCU+h/ugiJOY3+XRtP3yv\n"
    "0xh42AMltu9aFwD2WQO0aUKeidbqyIRQl7WrOTGJ25JRLtincRoSU/rNIPecFegkfz0+Qu\n"
    "RuSMmOJUov6XZTE6A+/48X4aApOXofomqNzib0kO2BKZYV2YFMItphBCjgnH2WWFlCZvXA\n"
    "IdD87KCNlFoSvoLeTR7Oa0wDFFtdNJXU7VQR64eNrwX9evw+Ca2g8RJkIvWQl1oZaYFvSG\n"
    "mLy7obTZyuedRg2Pn4Xnl1AF2bwixOWsD3waRdElaaYoB9O5oC5aUw53MGb0U9H1tMLpz3\n"
    "ggKD90K51QAAA8AjKSQ5IykkOQAAAAdzc2gtcnNhAAABAQCitFGgfQql+W5FVnFRNVBRSo\n"
    "pbRi6+9xcJT6H+6CIk5jf5dG0/fK/TGHjYAyW271oXAPZZA7RpQp6J1urIhFCXtas5MYnb\n"
    "klEu2KdxGhJT+s0g95wV6CR/PT5C5G5IyY4lSi/pdlMToD7/jxfhoCk5eh+iao3OJvSQ7Y\n"
    "EplhXZgUwi2mEEKOCcfZZYWUJm9cAh0PzsoI2UWhK+gt5NHs5rTAMUW100ldTtVBHrh42v\n"
    "Bf16/D4JraDxEmQi9ZCXWhlpgW9IaYvLuhtNnK551GDY+fheeXUAXZvCLE5awPfBpF0SVp\n"
    "pigH07mgLlpTDncwZvRT0fW0wunPeCAoP3QrnVAAAAAwEAAQAAAQAkzcYjF/XXKm9rpsyW\n"
    "MombAdH/KIZ9cvYWiJlbyFWk5CCoQFJQCJvbE8+OCVQ4J7dIudJ/uytNniCvjFpqhieW0a\n"
    "TMGK0W6meLwb1Kg7u+nF5XRTtc5ziOQaO6TOK3e0Q4oinpVPcg2uA1PcCIrIp2sm3Cdvjh\n"
    "t4Ud3WOYrRb/LngZUSO5sDbpRcOMnRJDT233b+IjWes+GsnAEWePySb6065HWk///1X+st\n"
    "FH6ciU9MDimlmediRiSC2Wi/QngJRfwNLDHFc8RDG49P6LjGe+yBWr1E96hu3KHCMIc3NY\n"
    "0sKuXi4OLa33MJgCYjd+WLE7fZmSBgoLyHDM/bSpMZ7hAAAAgCZA+/vP77Fj7nqHtkg6Zu\n"
    "5B+VbZD6ink5v8BC7gkksbeZPQRF91jVGTPoUXnAMgsMlotIqRw4tb6SPhCXwMVi+I1CKU\n"
    "tqJ1m6+lQop08ScIdORfb8xg8hYC3l7M0UPPMSQfWSG1rTmD+1TvF747KFNn5QyZnGcke1\n"
    "Uv5L/OlF97AAAAgQDcQxBQ94LolPtSSCR9mMt9WLjR4k87VdBBxW5N4Iaw1bsCi9pC7rXS\n"
    "NNVoHlgJ1BXmoomtTPv3j5ePbDWBT1Duv/HFuApp94joHmurXdqng2nWWdFD7G8X55gTpX\n"
    "XPrZxWkVa5ARPi6REK2ee0ihyTSKbmUzIRkSkOo2z7OlsY8QAAAIEAvRqB55d/mJgSInOu\n"
    "MiK1mOpfsZ606rw4MIpeMhlmA7LlAP+3n1uIaBZhHevEcvrEVUQHC+sFfJQTeKaGivO3oD\n"
    "0/mIDsR9XgiblPveVCq6mujXLFcIjXq/WxMfOQmPe8Fg+QU2q8lJL9Tgbz7XKZ1Ll7sDZ3\n"
    "IH2VZp8UDPvCDyUAAAAJcHVibGlzaGVkAQI=\n"
    "-----END OPENSSH PRIVATE KEY-----\n";

static const char published_line[] =
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCitFGgfQql+W5FVnFRNVBRSopb"
    "Ri6+9xcJT6H+6CIk5jf5dG0/fK/TGHjYAyW271oXAPZZA7RpQp6J1urIhFCXtas5"
    "MYnbklEu2KdxGhJT+s0g95wV6CR/PT5C5G5IyY4lSi/pdlMToD7/jxfhoCk5eh+i"
    "ao3OJvSQ7YEplhXZgUwi2mEEKOCcfZZYWUJm9cAh0PzsoI2UWhK+gt5NHs5rTAMU"
    "W100ldTtVBHrh42vBf16/D4JraDxEmQi9ZCXWhlpgW9IaYvLuhtNnK551GDY+fhe"
    "eXUAXZvCLE5awPfBpF0SVppigH07mgLlpTDncwZvRT0fW0wunPeCAoP3QrnV pub"
    "lished";

static const char published_picture[] =
    "+---[RSA 2048]----+\n"
    "|                 |\n"
    "|                 |\n"
    "|    .            |\n"
    "|     + .         |\n"
    "|    . o S      + |\n"
    "|       +  .   = =|\n"
    "|    .   B= +.+ @ |\n"
    "|  .+E oo==+ *o% o|\n"
    "| .B* oo+=+ o =o= |\n"
    "+----[SHA256]-----+\n";

static const char published_4096_picture[] =
    "+---[RSA 4096]----+\n"
    "|                 |\n"
    "|      o          |\n"
    "|     * +         |\n"
    "|    o = +        |\n"
    "|   o   oSo       |\n"
    "|  * . o.o        |\n"
    "|.o B + =....     |\n"
    "|+ + . +o+oE .o . |\n"
    "| .    .B@@+=+++..|\n"
    "+----[SHA256]-----+\n";

/* Of the modulus 80 00 .. 00 3f e3, 2056 bits: the bishop runs into every wall,
 * and he is on one square seventeen times. */
static const char walls_picture[] =
    "+---[RSA 2056]----+\n"
    "|           .   .E|\n"
    "|            o . .|\n"
    "|           . o   |\n"
    "|       .  . .    |\n"
    "| . .  . S.       |\n"
    "|. o . ooo .      |\n"
    "|.o.o *.+o. .     |\n"
    "|..+.X.@O oo      |\n"
    "| o.o=^X+O.       |\n"
    "+----[SHA256]-----+\n";

/* Files that cannot be used, from openssl and ssh-keygen, and how they are
 * named to the user. */
static const struct {
    int error;
    const char *text;
} refused_file[] = {
    { SC_ERR_KEY_ENCRYPTED, /* openssl rsa -traditional -aes128 */
      "-----BEGIN RSA PRIVATE KEY-----\n"
      "Proc-Type: 4,ENCRYPTED\n"
      "DEK-Info: AES-128-CBC,52559E746B9F66D9B56EA1C799EB457A\n"
      "\n"
      "FxH4ijTmzUnW9JG8LB0w26lAU4SBByj3bZf6XqcRUhFLGfW1zTZmGMrIZQ2/VziV\n"
      "ho6CRECDtkRS0BOkve56HOZw/7xfQ2j3yvf4sOQVA6cJEo3R0YO70k5esBNj32an\n"
      "atlkkoodb2rOn+n6gMO0ihbWV0ZsyJlX0Sd0GD9lwXwONGs858fHvjZYguecz8rN\n"
      "g8hvcg7WKAjx4YJf8/2u6ZJ9CBz1BEeswI06L953C9V/uRa/oSyXgRRVOPNco/mj\n"
      "BK6cDsorkb47NECPnRo9g+Wfgg3wW495D6AGAJAUxvoJ0c+/5cTAeWKYdTxKf4Qp\n"
      "437Ws9W4EvHB9zdU23+qegumoyWrormrNBDpsLjO3SJklGUb9aCrlJkKde3+MiBT\n"
      "qCva1Gx//yqjuA6dRvpXReiqOqb0ixs7u90HqEd0zbQ=\n"
      "-----END RSA PRIVATE KEY-----\n" },
    { SC_ERR_KEY_ENCRYPTED, /* openssl pkcs8 -topk8 */
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
      "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiYp4y6IbadxgICCAAw\n"
      "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFq/Gr3mBRE0Ltr7Hu3fMY4EgZCg\n"
      "S+6gJWc6WFI7F8itzrfLhGlwZb0oYYTnvX6Vh+DJOlGWBjSWXo/37Zs0jD/5f86x\n"
      "QrQJE75HCYIky2+E7laKF5+ik6AGOpbMvto/0OpbBQ2Zk+GRA+IVGU6oo7J+xNre\n"
      "WxCSl/w+TfCUJJZ20iA71sQMR/01NefBPfRtpb1Mnpzl1WaO/bOmtIoQyVnZkWI=\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n" },
    { SC_ERR_KEY_ENCRYPTED, /* ssh-keygen -t rsa -b 1024 -N test */
      "-----BEGIN OPENSSH PRIVATE KEY-----\n"
      "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCFQW0Mx0\n"
      "cUopHp+ekCQLpaAAAAEAAAAAEAAACXAAAAB3NzaC1yc2EAAAADAQABAAAAgQDQ9Fg2K+rc\n"
      "TE89I+AtMSbrU5q7GzusB3vh4MIgmNs/sngoAmtUBlQxpPzOci0Qks5aLjk67U6+ZGbre2\n"
      "Ppzi+gscZDHbGjUyoUi2ta8WKWx4TfyKOqlhAKp05BPBV98QuMFmZqP7w2v5BW0vGxOOpA\n"
      "/doQXRtbO9jC5XMUASQ4dwAAAgA9CMq09VBJSaGviK9wztL287PNTjoHnh2vZ0rErbEs0Q\n"
      "OcXoYNM1aFejld9bWaZ5AX3LBXgz2LbKCgMWswtOOWm/8qNgszzanToRC7cp8He3rHJKNW\n"
      "/u4rShlXOTseQN8W8GjD7npwYcyy9iigf191cOiTIakvJkFjNYfhFZd8ot9nM35mdNCEJN\n"
      "Gj6p1dhilzdR64R3prsutBRDTW66GE6UABEgeIzTUgN8/80e5qQSAdbIlm/VoFiiWHJbDA\n"
      "2PDqn7ifPih9TPe/nBvMOVgCYcvC9KGF/6t4BjiKsU7/OxcnOxpYNO1+lEi+py/PJE6hpk\n"
      "rnf0f5Pzhck2ioFBnkTXEL2D8h6Av8rUBpeu43x8mtVVtjc165kpYBi208MANr7+M48rZW\n"
      "NYrSlaxBRCwdmb101XPbyEHdbSXkigNyNUjagp0rUHteIYtYFGVyHPUdruEXYm2CLXtmgL\n"
      "7grfdkzAAphBxB+Ved+J9lpOrI84M7ISj31/PX6scFrSP9nkiGHhFqQwh8PyZxLyGLMWW2\n"
      "9fIEKquJjAGTzdCI9xQSpQIbVjo3gLKhqyMx/Q4Wn7KojM4sAe3wb5MhiHIchjlw/lK9H1\n"
      "KWc1QLwteMJjMd2PQifSz4GJndtXaZ/4C+VivAmSrbdCPG/fW5GC8R4rQj79YgLYuVs67f\n"
      "qdtL6nOP9Q==\n"
      "-----END OPENSSH PRIVATE KEY-----\n" },
    { SC_ERR_KEY_TYPE, /* openssl ecparam -genkey */
      "-----BEGIN EC PRIVATE KEY-----\n"
      "MHcCAQEEIJ3S6Az6DNV5Nt5nOZcRulMDE1lbn9ofy6ZWFrkXScKdoAoGCCqGSM49\n"
      "AwEHoUQDQgAEbIRWxF7ByzRCCu/ul6t17BjbS1h7Gh+Ug2PE/ExR+y9p+dAB+Nhf\n"
      "vyrCfjw/eA+SXYd/9l69FAlXCDAAax77cg==\n"
      "-----END EC PRIVATE KEY-----\n" },
    { SC_ERR_KEY_TYPE, /* openssl pkcs8 -topk8 -nocrypt of that */
      "-----BEGIN PRIVATE KEY-----\n"
      "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgndLoDPoM1Xk23mc5\n"
      "lxG6UwMTWVuf2h/LplYWuRdJwp2hRANCAARshFbEXsHLNEIK7+6Xq3XsGNtLWHsa\n"
      "H5SDY8T8TFH7L2n50AH42F+/KsJ+PD94D5Jdh3/2Xr0UCVcIMABrHvty\n"
      "-----END PRIVATE KEY-----\n" },
    { SC_ERR_KEY_TYPE, /* ssh-keygen -t ed25519 -N "" */
      "-----BEGIN OPENSSH PRIVATE KEY-----\n"
      "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n"
      "QyNTUxOQAAACBp97R/ceotuz1HU9S5D95oetoKqU8313wcYdRyuIOPmwAAAJCt1kAArdZA\n"
      "AAAAAAtzc2gtZWQyNTUxOQAAACBp97R/ceotuz1HU9S5D95oetoKqU8313wcYdRyuIOPmw\n"
      "AAAEDVQDDBAMfFn+MOnCKUwx1tA+8m7ILSYxRNnZ9BgBAEVWn3tH9x6i27PUdT1LkP3mh6\n"
      "2gqpTzfXfBxh1HK4g4+bAAAACXB1Ymxpc2hlZAECAwQ=\n"
      "-----END OPENSSH PRIVATE KEY-----\n" },
    { SC_ERR_KEY_FORMAT, "" },
    { SC_ERR_KEY_FORMAT, "-----BEGIN RSA PRIVATE KEY-----\n" },
    { SC_ERR_KEY_FORMAT, "-----BEGIN RSA PRIVATE KEY-----\n"
                         "-----END RSA PRIVATE KEY-----\n" },
    { SC_ERR_KEY_FORMAT, "-----BEGIN PRIVATE KEY-----\nAAAA\n"
                         "-----END PRIVATE KEY-----\n" },
    { SC_ERR_KEY_FORMAT, "-----BEGIN CERTIFICATE-----\nAAAA\n"
                         "-----END CERTIFICATE-----\n" },
    { SC_ERR_KEY_FORMAT, "-----BEGIN PUBLIC KEY-----\nAAAA\n"
                         "-----END PUBLIC KEY-----\n" },
    { SC_ERR_KEY_FORMAT, published_line },
    { SC_ERR_KEY_TYPE, "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n"
                       "-----END DSA PRIVATE KEY-----\n" },
};

/* key_read: sc_key_read_pem on a copy that ends where the text ends, so that a
 * sanitizer sees a step too far; and after an error nothing is in the key. */
static int key_read(sc_private_key *key, const char *text, size_t text_len)
{
    char *copy = (char *)malloc(text_len + 1);
    int result;
    if (copy == NULL)
        return SC_ERR_INTERNAL;
    memcpy(copy + 1, text, text_len);   /* the end of the block is the end */
    memset(key, 0x5a, sizeof *key);
    result = sc_key_read_pem(key, copy + 1, text_len);
    CHECK(result == SC_OK || all_are(key, sizeof *key, 0));
    free(copy);
    return result;
}

static int same_key(const sc_private_key *a, const sc_private_key *b)
{
    size_t half = (a->pub.n_len + 1) / 2;
    return sc_public_equal(&a->pub, &b->pub) && memcmp(a->p, b->p, half) == 0
        && memcmp(a->q, b->q, half) == 0 && memcmp(a->dp, b->dp, half) == 0
        && memcmp(a->dq, b->dq, half) == 0
        && memcmp(a->qinv, b->qinv, half) == 0;
}

/* Bytes that are being put together. */
typedef struct {
    size_t len;
    uint8_t bytes[5000];
} test_bytes;

static void put(test_bytes *b, const void *bytes, size_t len)
{
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
}

static void put_number(test_bytes *b, size_t value, int n_bytes)
{
    while (n_bytes-- > 0)
        b->bytes[b->len++] = (uint8_t)(value >> 8 * n_bytes);
}

static void put_der(test_bytes *b, unsigned tag, const void *body, size_t len)
{
    put_number(b, tag, 1);
    if (len >= 0x80)
        put_number(b, len < 0x100 ? 0x81 : 0x82, 1);
    put_number(b, len, len < 0x100 ? 1 : 2);
    put(b, body, len);
}

static void put_ssh(test_bytes *b, const void *bytes, size_t len)
{
    put_number(b, len, 4);
    put(b, bytes, len);
}

/* put_text: text and a NUL; gives the length without it. */
static size_t put_text(char *out, const char *text)
{
    size_t len = strlen(text);
    memcpy(out, text, len + 1);
    return len;
}

static size_t put_pem_line(char *out, const char *end, const char *label)
{
    size_t n = put_text(out, end);
    n += put_text(out + n, label);
    return n + put_text(out + n, "-----\n");
}

static size_t put_pem(char *out, const char *label, const test_bytes *b)
{
    size_t n = put_pem_line(out, "-----BEGIN ", label), i;
    for (i = 0; i < b->len; i += 48) {
        n += sc_base64_write(out + n, b->bytes + i,
                             b->len - i < 48 ? b->len - i : 48);
        out[n++] = '\n';
    }
    return n + put_pem_line(out + n, "-----END ", label);
}

/* pem_bytes: what is inside a PEM text; gives the label, too. */
static void pem_bytes(test_bytes *b, char label[32], const char *text)
{
    const char *begin = strchr(text, '\n') + 1, *end = strstr(begin, "-----");
    CHECK(sscanf(text, "-----BEGIN %31[A-Z ]-----", label) == 1);
    CHECK(sc_base64_read(b->bytes, sizeof b->bytes, &b->len, begin,
                         (size_t)(end - begin)) == SC_OK);
}

/* The nine numbers of a PKCS#1 key (RFC 8017 A.1.2), with their sign bytes. */
enum { KEY_VERSION, KEY_N, KEY_E, KEY_D, KEY_P, KEY_Q, KEY_DP, KEY_DQ, KEY_QINV,
       KEY_NUMBERS };
typedef struct {
    size_t len;
    uint8_t bytes[600];
} test_number;

static int numbers_read(test_number v[KEY_NUMBERS], const char *text)
{
    test_bytes b;
    char label[32];
    size_t at = 4, i;
    pem_bytes(&b, label, text);
    if (b.bytes[0] != 0x30 || b.bytes[1] != 0x82
        || (size_t)b.bytes[2] << 8 != b.len - 4 - b.bytes[3])
        return 0;
    for (i = 0; i < KEY_NUMBERS; i++, at += v[i - 1].len) {
        size_t len = b.bytes[at + 1];
        if (b.bytes[at] != 0x02)
            return 0;
        at += 2;
        if (len == 0x81) {
            len = b.bytes[at++];
        } else if (len == 0x82) {
            len = (size_t)b.bytes[at] << 8 | b.bytes[at + 1];
            at += 2;
        }
        v[i].len = len;
        memcpy(v[i].bytes, b.bytes + at, len);
    }
    return at == b.len;
}

static size_t pkcs1_pem(char *out, const test_number v[KEY_NUMBERS])
{
    test_bytes all = { 0, { 0 } }, file = { 0, { 0 } };
    size_t i;
    for (i = 0; i < KEY_NUMBERS; i++)
        put_der(&all, 0x02, v[i].bytes, v[i].len);
    put_der(&file, 0x30, all.bytes, all.len);
    return put_pem(out, "RSA PRIVATE KEY", &file);
}

/* What is wrong first is what is said: the modulus is looked at before the
 * exponent, the form of a PKCS#8 file before the algorithm that it names. */
static void test_keyfile_says_what_is_wrong_first(void)
{
    static test_number v[KEY_NUMBERS];
    static char text[6000];
    test_bytes cut = { 0, { 0 } };
    sc_private_key key;
    CHECK(numbers_read(v, published_key));
    memmove(v[KEY_N].bytes, v[KEY_N].bytes + 1, 256);   /* no sign byte */
    v[KEY_N].bytes[0] = 0x7f;                           /* 2047 bits */
    v[KEY_N].len = 256;
    v[KEY_E].len = 1;
    v[KEY_E].bytes[0] = 3;
    CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_SIZE);
    /* version 0, an elliptic curve's algorithm, and there it ends */
    put(&cut, "\x30\x0e\2\1\0\x30\x09\6\7\x2a\x86\x48\xce\x3d\2\1", 16);
    CHECK(key_read(&key, text, put_pem(text, "PRIVATE KEY", &cut))
          == SC_ERR_KEY_FORMAT);
}

/* Of p = (3 q - 1) / 2, qinv is 3: a number of a key may be one byte. */
static void test_keyfile_takes_a_number_of_one_byte(void)
{
    static const char file[] =
        "-----BEGIN RSA PRIVATE KEY-----\n"
        "MIIEIwIBAAKCAQEAqJP1Gb8XkAiHdzK3D6KoWNNMDpBMcp584pbhs56SAUD/UR0k\n"
        "VmOKndQ/7/KMjFdDLruwqGg+Cf0TWpgs6jpRd3fJh/ah6R9P9wkE0yL9b3UFEzdK\n"
        "nvWqcyLyl6itwS8Z0JXqisA/c1s9frC4DNxXGCfQlLy+X8P9eMeb+cb4r9aQOjpM\n"
        "J8wBK0fxmfZXfZ+xw2lSs2jP8DVxqbZtrw9TkDQpedeAyFevSXNz4fULCOGv4yAl\n"
        "HqwvSVvxtOjYgczyQJTjWCkeFBFuCP116UwuZx6uWhRczcTUAUOTQrrcoti5EAm3\n"
        "jVIacNdtzeOTFXfgPqPyWHpNEJ341GZH3QdCBwIDAQABAoIBACl0WO1/5FdzAXz6\n"
        "Z7HcmfFd5HIgYew9tRAzckUtVVIhnadgtzLXP5sYOrDSwGUygD7ZwNNo7vid10iL\n"
        "61+d/7KVLmXU7HPbU1q4SQtyq0fhSuIy0pLMbqHpkiZhQHklEAAPHaIJLJE9ep3Q\n"
        "7zGabYBvKgepclcyZv5wd5awqy7x+DZ39fE8rmyRq+/neZe/s5HVvKVgP9hTJ8fH\n"
        "IqV9X8l2v4SRvWawFou4ltds/os+r5KQZmyMtVcuFMxIpH8Htu+EbO19jR0rp1Wt\n"
        "z/c8RZdPRb2+9TSmLGYw8O0p8cwL+hX2YsT2CNV/kL3xdfJQ1n/tHr22UQ9wWDAQ\n"
        "ozQD5+ECgYEA/m27xiNd0DJAoAEw+XLIIRpZBJrfTMKIwLg5Fxscb6R1+x4W9NGX\n"
        "VtYl8pxQrAlvQM3ta7xnrI50xkKYlfXZ1rSc6/ebrS8lN0HsY9z9K2ZtXI3qfPTk\n"
        "EtBnper5hkTU2yM8wmP+/3nMam6DIdmdxawWg8UvDIVc6y+3JGbtXgMCgYEAqZ59\n"
        "LsI+iswrFVYgpkyFa2bmAxHqMyxbKyV7ZLy9n8L5UhQPTeEPjzluob2LHVufgIlI\n"
        "8n2acwmjLtcQY/k75HhonU+9Hh9uJNadl+iox5mePbPxqKNCtzWabpymWYM4khd9\n"
        "1u1UqlEy8Z8CFpET2R1kV9jKCFjonMp6GESePq0CgYBAyFIKdlDZxSHdW9BLg6Vf\n"
        "gGTwHjsDQXkukPnAX1/TMW30/clcls1RB//rkU+dLl3Mg2KTjwpazn7/SE+vx0Sr\n"
        "PZvDHW3fH+T69+cn2koANflcmqn9HSHBhJ0Piw/z1yzXi1ZaLLnt9OZOp0ruYImi\n"
        "nlmxPZDoQEDThXe9ZhPEXwKBgQCVl5Ch13AfKzdoBuCeqegVM9fxpzAc16bEI7dy\n"
        "vb6jEuqeB9EDh1UYpLc8cBUr3C2MyAcMzdeUU1CWs9fhw+KdedARxUxuL5wNYzXz\n"
        "zp5kAsh7dKLRbsMdH2pG2WMgmMkglxVFo2RDHX/Hdsv5qROPLQvdKfXsbLUh6rTJ\n"
        "iGLjtQIBAw==\n"
        "-----END RSA PRIVATE KEY-----\n";
    static char out[SC_PEM_MAX];
    sc_private_key key, again;
    size_t len = 0;
    CHECK(key_read(&key, file, sizeof file - 1) == SC_OK);
    CHECK(sc_key_write_pem(&key, out, sizeof out, &len) == SC_OK);
    CHECK(strcmp(out, file) == 0);
    CHECK(key_read(&again, out, len) == SC_OK && same_key(&again, &key));
}

/* A key blob (RFC 4253 6.6). */
static void put_blob(test_bytes *b, const char *type, const test_number *e,
                     const test_number *n)
{
    put_ssh(b, type, strlen(type));
    put_ssh(b, e->bytes, e->len);
    put_ssh(b, n->bytes, n->len);
}

/* An unencrypted file of OpenSSH's (its PROTOCOL.key): shown_n is the modulus
 * in the part that is never encrypted, check a number that must be 77. */
static size_t openssh_pem(char *out, const test_number *v,
                          const test_number *shown_n, size_t n_keys,
                          size_t check, const char *comment)
{
    static const uint8_t order[] = { KEY_N, KEY_E, KEY_D, KEY_QINV, KEY_P,
                                     KEY_Q };
    test_bytes blob = { 0, { 0 } }, in = { 0, { 0 } }, file = { 0, { 0 } };
    size_t i;
    put_blob(&blob, "ssh-rsa", &v[KEY_E], shown_n);
    put_number(&in, 77, 4);
    put_number(&in, check, 4);
    put_ssh(&in, "ssh-rsa", 7);
    for (i = 0; i < sizeof order; i++)
        put_ssh(&in, v[order[i]].bytes, v[order[i]].len);
    put_ssh(&in, comment, strlen(comment));
    for (i = 1; in.len % 8 != 0; i++)
        put_number(&in, i, 1);
    put(&file, "openssh-key-v1", 15);
    put_ssh(&file, "none", 4);
    put_ssh(&file, "none", 4);
    put_ssh(&file, "", 0);
    put_number(&file, n_keys, 4);
    put_ssh(&file, blob.bytes, blob.len);
    put_ssh(&file, in.bytes, in.len);
    return put_pem(out, "OPENSSH PRIVATE KEY", &file);
}

/* RFC 4648 10, and 9 for + and /; every character; paddings that are wrong. */
static void test_keyfile_base64_is_rfc_4648_s(void)
{
    static const struct {
        const char *bytes, *text;
    } v[] = {
        { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" }, { "\x14\xfb\x9c\x03\xd9\x7e", "FPucA9l+" },
        { "\xff\xff\xfe", "///+" },
    };
    static const char *const bad[] = {
        "A", "A===", "Zg", "Zg=", "Zg===", "Zm8", "Zm8==", "Zm9vY", "=", "====",
        "Zh==", "Zm9=", "Zg==Zg==", "Z=g=", "Zm9v=", "Zi==", "Zk==", "Zo==",
        "Zm+=",
    };
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[8];
    char text[8];
    size_t i, len;
    for (i = 0; i < 256; i++) {
        const char *digit = strchr(digits, (int)i);
        int is_digit = i != 0 && digit != NULL;
        int is_space = i == '\n' || i == '\r' || i == ' ' || i == '\t';
        (void)strcpy(text, "AAA");
        text[3] = (char)i;
        CHECK((sc_base64_read(bytes, sizeof bytes, &len, text, 4) == SC_OK)
              == (is_digit || i == '='));
        CHECK(!is_digit || (len == 3 && bytes[2] == digit - digits));
        if (is_digit)
            CHECK(sc_base64_write(text + 4, bytes, 3) == 4
                  && memcmp(text, text + 4, 4) == 0);
        (void)strcpy(text, "AAAA");
        text[4] = (char)i;
        CHECK((sc_base64_read(bytes, sizeof bytes, &len, text, 5) == SC_OK)
              == is_space);
    }
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        size_t want = strlen(v[i].bytes);
        CHECK(sc_base64_write(text, (const uint8_t *)v[i].bytes, want)
              == strlen(v[i].text));
        CHECK(memcmp(text, v[i].text, strlen(v[i].text)) == 0);
        CHECK(sc_base64_read(bytes, want, &len, v[i].text, strlen(v[i].text))
              == SC_OK);
        CHECK(len == want && memcmp(bytes, v[i].bytes, len) == 0);
        CHECK(want == 0 || sc_base64_read(bytes, want - 1, &len, v[i].text,
                                          strlen(v[i].text)) == SC_ERR_SPACE);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        len = 9;
        CHECK(sc_base64_read(bytes, sizeof bytes, &len, bad[i], strlen(bad[i]))
              == SC_ERR_KEY_FORMAT && len == 0);
    }
    CHECK(sc_base64_read(bytes, 8, &len, "Z\nm\r9\t v\n", 9) == SC_OK);
    CHECK(len == 3 && memcmp(bytes, "foo", 3) == 0);
}

static void test_keyfile_reads_what_openssl_and_ssh_keygen_wrote(void)
{
    sc_private_key key;
    check_key_numbers(test_key(2048), 2048);
    CHECK(key_read(&key, published_pkcs8, sizeof published_pkcs8 - 1) == SC_OK);
    CHECK(same_key(&key, test_key(2048)));
    CHECK(key_read(&key, published_openssh, sizeof published_openssh - 1)
          == SC_OK);
    CHECK(same_key(&key, test_key(2048)));
}

/* CR LF for LF; words before and behind, even another kind of PEM block; no
 * line end at the end; blanks at the ends of lines. */
static void test_keyfile_reads_any_line_ends_and_text_around_the_key(void)
{
    static const char *const file[] = { published_key, published_pkcs8,
                                        published_openssh };
    static const char *const line_end[] = { "\n", "\r\n", " \r\n", "\n\n" };
    static char text[4000];
    sc_private_key key;
    size_t i, k, n;
    const char *c;
    for (i = 0; i < 3; i++) {
        for (k = 0; k < sizeof line_end / sizeof *line_end; k++) {
            n = put_text(text, "Key of nobody\n\xff\x80 - --\n"
                         "-----BEGIN X-----\nAAAA\n-----END X-----\n");
            for (c = file[i]; *c != '\0'; c++) {
                text[n] = *c;
                n += *c == '\n' ? put_text(text + n, line_end[k]) : 1;
            }
            n += put_text(text + n, "and more\n");
            CHECK(key_read(&key, text, n) == SC_OK);
            CHECK(same_key(&key, test_key(2048)));
        }
        CHECK(key_read(&key, file[i], strlen(file[i]) - 1) == SC_OK);
        CHECK(same_key(&key, test_key(2048)));
    }
}

static void test_keyfile_names_what_it_cannot_use(void)
{
    sc_private_key key;
    size_t i;
    for (i = 0; i < sizeof refused_file / sizeof *refused_file; i++)
        CHECK(key_read(&key, refused_file[i].text, strlen(refused_file[i].text))
              == refused_file[i].error);
}

/* Written: the numbers of RFC 8017 A.1.2 in lines of 64 characters (RFC 7468
 * 2), d among them, which the key itself does not hold. */
static void test_keyfile_writes_pkcs1_and_reads_it_back(void)
{
    static const unsigned sizes[] = { 2048, 2056, 4096 };
    static char text[SC_PEM_MAX];
    static test_number v[KEY_NUMBERS];
    sc_private_key key;
    size_t i, len;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const sc_private_key *want = test_key(sizes[i]);
        slow_bn one = slow_small(1), e = slow_add(slow_power_of_2(16), one);
        slow_bn p1, q1, d;
        const char *line = text, *next;
        CHECK(sc_key_write_pem(want, text, sizeof text, &len) == SC_OK);
        CHECK(len == strlen(text));
        for (; *line != '\0' && (next = strchr(line, '\n')) != NULL;
             line = next + 1)
            CHECK(next - line == 64 || strncmp(line, "-----", 5) == 0
                  || strncmp(next + 1, "-----END", 8) == 0);
        CHECK(*line == '\0' && numbers_read(v, text));
        p1 = slow_sub(slow_be(v[KEY_P].bytes, v[KEY_P].len), one);
        q1 = slow_sub(slow_be(v[KEY_Q].bytes, v[KEY_Q].len), one);
        d = slow_mul(slow_be(v[KEY_D].bytes, v[KEY_D].len), e);
        CHECK(slow_equal(slow_mod(d, p1), one));
        CHECK(slow_equal(slow_mod(d, q1), one));
        CHECK(v[KEY_N].bytes[0] == 0 && v[KEY_N].bytes[1] >= 0x80);
        CHECK(key_read(&key, text, len) == SC_OK && same_key(&key, want));
        len = openssh_pem(text, v, &v[KEY_N], 1, 77, "no comment");
        CHECK(key_read(&key, text, len) == SC_OK && same_key(&key, want));
    }
}

/* Lengths at the edge: base64 that fills its last line, or has one byte more,
 * and a sequence of 256 bytes, times a number, or a few bytes less.  p and q
 * need not be primes. */
static void test_keyfile_of_any_length_is_written_well(void)
{
    static const size_t n_len[] = { 258, 277, 276 };    /* that come to that */
    static char text[SC_PEM_MAX];
    static test_number v[KEY_NUMBERS];
    sc_private_key key, again;
    test_random r;
    test_bytes b;
    char label[32];
    size_t i, half, len, lines, n_full = 0, n_over = 0, n_256 = 0;
    size_t n_less = 0;
    int k;
    test_random_init(&r, "lengths");
    for (i = 0; i < 3; i++) {
        half = (n_len[i] + 1) / 2;
        for (k = 0; k < 12; k++) {
            memset(&key, 0, sizeof key);
            (void)test_random_bytes(&r, key.p, half);
            (void)test_random_bytes(&r, key.q, half);
            key.p[0] = key.q[0] = n_len[i] % 2 == 0 ? 0xe1 : 0x0e;
            key.p[half - 1] |= 1;
            key.q[half - 1] |= 1;
            test_key_from_primes(&key, n_len[i]);
            CHECK(sc_key_write_pem(&key, text, sizeof text, &len) == SC_OK);
            CHECK(numbers_read(v, text));
            pem_bytes(&b, label, text);
            lines = (b.len + 47) / 48;
            CHECK(len == 32 + (b.len + 2) / 3 * 4 + lines + 30);
            CHECK(key_read(&again, text, len) == SC_OK);
            CHECK(same_key(&again, &key));
            n_full += b.len % 48 == 0;
            n_over += b.len % 48 == 1;
            n_256 += (b.len - 4) % 256 == 0;
            n_less += (b.len - 4) % 256 > 250;
            text[len] = 'x';            /* no room for the NUL */
            lines = len;
            CHECK(sc_key_write_pem(&key, text, lines, &len) == SC_ERR_SPACE);
            CHECK(text[lines] == 'x');
        }
    }
    CHECK(n_full > 0 && n_over > 0 && n_256 > 0 && n_less > 0);
}

static void test_keyfile_numbers_with_zeros_in_front_are_written_short(void)
{
    static char text[SC_PEM_MAX], longer[SC_PEM_MAX];
    static test_number v[KEY_NUMBERS];
    static test_bytes b;
    char label[32];
    sc_private_key key = *test_key(2048), again;
    size_t len, i, at;
    CHECK(test_unhex(key.p, 128, prime_of_short_numbers) == 128);
    test_key_from_primes(&key, 256);
    CHECK(key.dp[0] == 0 && key.dp[1] != 0 && key.dp[1] < 0x80);
    CHECK(key.qinv[0] == 0 && key.qinv[1] >= 0x80);
    spoil_the_stack();
    CHECK(sc_key_write_pem(&key, text, sizeof text, &len) == SC_OK);
    CHECK(numbers_read(v, text) && v[KEY_DP].len == 127);
    CHECK(memcmp(v[KEY_DP].bytes, key.dp + 1, 127) == 0);
    CHECK(v[KEY_QINV].len == 128 && v[KEY_D].len == 255);
    CHECK(memcmp(v[KEY_QINV].bytes, key.qinv, 128) == 0);
    for (i = 0; i < 2; i++) {           /* lengths in a byte too many */
        pem_bytes(&b, label, text);
        at = 4 + 3 + (4 + 257) + 5 + (i == 0 ? 0 : (3 + 255) + 2 * (3 + 129));
        CHECK(b.bytes[at + 1] == (i == 0 ? 0x81 : 127));
        memmove(b.bytes + at + 2, b.bytes + at + 1, b.len++ - at - 1);
        b.bytes[at + 1] = 0x81;
        if (i == 0)
            memcpy(b.bytes + at + 1, "\x82", 2);
        b.bytes[2] = (uint8_t)((b.len - 4) >> 8);
        b.bytes[3] = (uint8_t)(b.len - 4);
        CHECK(key_read(&again, longer, put_pem(longer, label, &b))
              == SC_ERR_KEY_FORMAT);
    }
    spoil_the_stack();
    CHECK(key_read(&again, text, len) == SC_OK && same_key(&again, &key));
    len = openssh_pem(text, v, &v[KEY_N], 1, 77, "");
    spoil_the_stack();
    CHECK(key_read(&again, text, len) == SC_OK && same_key(&again, &key));
}

/* A buffer too small is an error, and is not written behind its end. */
static void test_keyfile_writes_only_into_room_enough(void)
{
    const sc_private_key *key = test_key(4096);
    char *out;
    size_t need, len, room, i;
    out = (char *)malloc(SC_PEM_MAX);
    if (out == NULL)
        return;
    CHECK(sc_key_write_pem(key, out, SC_PEM_MAX, &need) == SC_OK);
    free(out);
    for (i = 0; i < 6; i++) {
        room = i < 3 ? i * need / 3 : need - (i - 3);
        out = (char *)malloc(room + 1);
        if (out == NULL)
            return;
        out[room] = 0x5a;
        CHECK(sc_key_write_pem(key, out, room, &len) == SC_ERR_SPACE);
        CHECK(out[room] == 0x5a && len == 0);
        free(out);
    }
}

/* A number of the key that is not what it should be; the file is well made. */
static void test_keyfile_refuses_a_wrong_number_in_any_place(void)
{
    static test_number v[KEY_NUMBERS], good;
    static char text[4000];
    static const uint8_t openssh_has[] = { KEY_N, KEY_E, KEY_D, KEY_P, KEY_Q,
                                           KEY_QINV };
    sc_private_key key;
    size_t i, bit, len;
    CHECK(numbers_read(v, published_key));
    CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_OK);
    CHECK(same_key(&key, test_key(2048)));
    for (i = KEY_N; i < KEY_NUMBERS; i++) {
        for (bit = 1; bit < 8 * v[i].len - 9; bit += 337) {
            flip(v[i].bytes, v[i].len, bit);
            CHECK(key_read(&key, text, pkcs1_pem(text, v))
                  == (i == KEY_E ? SC_ERR_KEY_EXPONENT : SC_ERR_KEY_CHECK));
            len = openssh_pem(text, v, &v[KEY_N], 1, 77, "");
            if (memchr(openssh_has, (int)i, sizeof openssh_has) != NULL)
                CHECK(key_read(&key, text, len) != SC_OK);
            flip(v[i].bytes, v[i].len, bit);
        }
    }
    for (i = KEY_D; i < KEY_NUMBERS; i++) {
        good = v[i];
        v[i].len = 1;
        v[i].bytes[0] = 1;
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_CHECK);
        v[i].bytes[0] = 0;              /* nought is not positive */
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_FORMAT);
        len = good.bytes[0] == 0;       /* a byte longer than there is room */
        memcpy(v[i].bytes + 1, good.bytes + len, good.len - len);
        v[i].bytes[0] = 1;
        v[i].len = good.len - len + 1;
        CHECK(v[i].len == (i == KEY_D ? 257 : 129));
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_CHECK);
        v[i] = good;
    }
    for (i = KEY_P; i <= KEY_Q; i++) {  /* a d that fits one prime only */
        sc_word x[SC_LIMBS(256)];
        slow_bn one = slow_small(1), prime = slow_be(v[i].bytes, v[i].len);
        good = v[KEY_D];
        slow_to_words(x, SC_LIMBS(256), slow_add(slow_sub(prime, one),
                                                 slow_be(good.bytes, 256)));
        sc_bn_encode(v[KEY_D].bytes, good.len, x, SC_LIMBS(256));
        CHECK(good.len == 256);
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_CHECK);
        v[KEY_D] = good;
    }
    v[0] = v[KEY_P];                /* p and q, but not what goes with them */
    v[KEY_P] = v[KEY_Q];
    v[KEY_Q] = v[0];
    v[KEY_VERSION].len = 1;
    v[KEY_VERSION].bytes[0] = 0;
    CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_CHECK);
}

static void test_keyfile_refuses_other_sizes_and_exponents(void)
{
    static const struct {
        size_t n_len;
        uint8_t first;
    } size[] = { { 128, 0x80 }, { 255, 0xff }, { 256, 0x7f }, { 257, 0x01 },
                 { 257, 0x7f }, { 512, 0x7f }, { 513, 0x01 }, { 513, 0x80 } };
    static const struct {
        size_t len;
        const char *bytes;
    } e[] = { { 1, "\1" }, { 1, "\3" }, { 1, "\x11" }, { 3, "\1\0\3" },
              { 3, "\3\0\1" }, { 5, "\1\0\0\0\1" }, { 2, "\0\x80" } };
    static test_number v[KEY_NUMBERS], good;
    static char text[6000];
    sc_private_key key;
    sc_public_key pub;
    test_bytes blob;
    uint8_t *exact;
    size_t i;
    CHECK(numbers_read(v, published_key));
    good = v[KEY_N];
    for (i = 0; i < sizeof size / sizeof *size; i++) {
        memset(v[KEY_N].bytes, 0xff, sizeof v[KEY_N].bytes);
        v[KEY_N].bytes[0] = 0;
        v[KEY_N].bytes[size[i].first >= 0x80] = size[i].first;
        v[KEY_N].len = size[i].n_len + (size[i].first >= 0x80);
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_SIZE);
        CHECK(key_read(&key, text, openssh_pem(text, v, &v[KEY_N], 1, 77, ""))
              == SC_ERR_KEY_SIZE);
        blob.len = 0;
        put_blob(&blob, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
        CHECK(sc_key_blob_read(&pub, blob.bytes, blob.len) == SC_ERR_KEY_SIZE);
    }
    v[KEY_N].bytes[1] = 0x80;           /* just large enough */
    v[KEY_N].len = 257;
    blob.len = 0;
    put_blob(&blob, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    CHECK(sc_key_blob_read(&pub, blob.bytes, blob.len) == SC_OK);
    v[KEY_N] = good;
    memset(&blob, 0, sizeof blob);
    for (blob.len = 4096; blob.len <= 4097; blob.len++)     /* room for 4096 */
        CHECK(key_read(&key, text, put_pem(text, "PRIVATE KEY", &blob))
              == (blob.len == 4096 ? SC_ERR_KEY_FORMAT : SC_ERR_KEY_SIZE));
    for (i = 0; i < sizeof e / sizeof *e; i++) {
        v[KEY_E].len = e[i].len;
        memcpy(v[KEY_E].bytes, e[i].bytes, e[i].len);
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_EXPONENT);
        CHECK(key_read(&key, text, openssh_pem(text, v, &v[KEY_N], 1, 77, ""))
              == SC_ERR_KEY_EXPONENT);
        blob.len = 0;
        put_blob(&blob, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
        memset(&pub, 0x5a, sizeof pub);
        CHECK(sc_key_blob_read(&pub, blob.bytes, blob.len)
              == SC_ERR_KEY_EXPONENT);
        CHECK(all_are(&pub, sizeof pub, 0));
    }
    v[KEY_E].len = 3;                   /* one byte, and nothing behind it */
    memcpy(v[KEY_E].bytes, "\1\0\1", 3);
    v[KEY_N].len = 1;
    v[KEY_N].bytes[0] = 0;
    blob.len = 0;
    put_blob(&blob, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    exact = (uint8_t *)malloc(blob.len);
    if (exact == NULL)
        return;
    memcpy(exact, blob.bytes, blob.len);
    CHECK(sc_key_blob_read(&pub, exact, blob.len) == SC_ERR_KEY_FORMAT);
    CHECK(sc_key_blob_read(&pub, exact, 10) == SC_ERR_KEY_FORMAT);
    free(exact);
}

/* X.690 10.1 and 8.3: one way to write a number; nothing more, nothing less. */
static void test_keyfile_refuses_der_that_is_not_der(void)
{
    static const struct {
        size_t len;
        const char *bytes;
    } e[] = { { 2, "\2\3" }, { 3, "\2\x81\3" }, { 4, "\2\x82\0\3" },
              { 5, "\2\x83\0\0\3" }, { 10, "\2\x88\0\0\0\0\0\0\0\3" } };
    static test_number v[KEY_NUMBERS], good;
    static char text[4000];
    static test_bytes b, file;
    char label[32];
    sc_private_key key;
    size_t i, at;
    CHECK(numbers_read(v, published_key));
    for (i = KEY_VERSION; i < KEY_NUMBERS; i++) {
        good = v[i];                    /* a zero too many in front */
        memmove(v[i].bytes + 1, v[i].bytes, v[i].len++);
        v[i].bytes[0] = 0;
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_FORMAT);
        v[i] = good;                    /* no digit at all */
        v[i].len = 0;
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_FORMAT);
        v[i] = good;                    /* negative */
        v[i].bytes[0] |= 0x80;
        CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_FORMAT);
        v[i] = good;
    }
    good = v[KEY_E];                    /* a zero in front of two digits */
    v[KEY_E].len = 2;
    v[KEY_E].bytes[0] = 0;
    v[KEY_E].bytes[1] = 0x7f;
    CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_FORMAT);
    v[KEY_E] = good;
    v[KEY_VERSION].bytes[0] = 1;            /* more than two primes */
    CHECK(key_read(&key, text, pkcs1_pem(text, v)) == SC_ERR_KEY_FORMAT);
    v[KEY_VERSION].bytes[0] = 0;
    pem_bytes(&b, label, published_key);
    put_number(&b, 0, 1);               /* a byte behind the end */
    CHECK(key_read(&key, text, put_pem(text, label, &b)) == SC_ERR_KEY_FORMAT);
    b.bytes[3]++;                       /* a byte behind the last number */
    CHECK(key_read(&key, text, put_pem(text, label, &b)) == SC_ERR_KEY_FORMAT);
    b.bytes[3]--;
    b.len--;
    for (i = 0; i < sizeof e / sizeof *e; i++) {
        file.len = 0;                   /* longer ways to say how long e is */
        at = 4 + 3 + 4 + v[KEY_N].len;
        put(&file, b.bytes, at);
        put(&file, e[i].bytes, e[i].len);
        put(&file, b.bytes + at + 2, b.len - at - 2);
        file.bytes[3] = (uint8_t)(file.bytes[3] + e[i].len - 2);
        CHECK((key_read(&key, text, put_pem(text, label, &file)) == SC_OK)
              == (i == 0));
    }
    file.len = 0;                       /* and to say how long qinv is */
    at = b.len - 128 - 2;
    CHECK(b.bytes[at] == 0x81 && b.bytes[at + 1] == 128);
    put(&file, b.bytes, at);
    put(&file, b.bytes + at + 1, 1 + 128);
    file.bytes[3]--;
    CHECK(key_read(&key, text, put_pem(text, label, &file))
          == SC_ERR_KEY_FORMAT);
    file.len = 4 + 3;                   /* and n, if that had 256 bytes */
    put(&file, "\2\x80\1", 4);
    put(&file, v[KEY_N].bytes + 1, 254);
    put(&file, b.bytes + 4 + 3 + 4 + 257, b.len - (4 + 3 + 4 + 257));
    file.bytes[2] = (uint8_t)((file.len - 4) >> 8);
    file.bytes[3] = (uint8_t)(file.len - 4);
    CHECK(key_read(&key, text, put_pem(text, label, &file))
          == SC_ERR_KEY_FORMAT);
    file.len = 4 + 3;                   /* and n, in three bytes for 257 */
    put(&file, "\2\x83\1\1\0", 5);
    put(&file, b.bytes + 4 + 3 + 4, b.len - (4 + 3 + 4));
    file.bytes[2] = (uint8_t)((file.len - 4) >> 8);
    file.bytes[3] = (uint8_t)(file.len - 4);
    CHECK(key_read(&key, text, put_pem(text, label, &file))
          == SC_ERR_KEY_FORMAT);
    file.len = 0;                       /* "until the end" */
    put(&file, "\x30\x80", 2);
    put(&file, b.bytes + 4, b.len - 4);
    put(&file, "\0\0", 2);
    CHECK(key_read(&key, text, put_pem(text, label, &file))
          == SC_ERR_KEY_FORMAT);
}

static void test_keyfile_refuses_openssh_files_that_contradict_themselves(void)
{
    static test_number v[KEY_NUMBERS], other;
    static char text[4000];
    static test_bytes b;
    char label[32];
    sc_private_key key;
    CHECK(numbers_read(v, published_key));
    CHECK(key_read(&key, text, openssh_pem(text, v, &v[KEY_N], 1, 77, "c"))
          == SC_OK);
    CHECK(key_read(&key, text, openssh_pem(text, v, &v[KEY_N], 1, 78, "c"))
          == SC_ERR_KEY_FORMAT);
    CHECK(key_read(&key, text, openssh_pem(text, v, &v[KEY_N], 0, 77, "c"))
          == SC_ERR_KEY_FORMAT);
    CHECK(key_read(&key, text, openssh_pem(text, v, &v[KEY_N], 2, 77, "c"))
          == SC_ERR_KEY_FORMAT);
    (void)openssh_pem(text, v, &v[KEY_N], 1, 77, "c");
    pem_bytes(&b, label, text);
    b.bytes[0] ^= 1;                    /* another name of the format */
    CHECK(key_read(&key, text, put_pem(text, label, &b)) == SC_ERR_KEY_FORMAT);
    b.bytes[0] ^= 1;
    put_number(&b, 0, 1);               /* a byte behind the private part */
    CHECK(key_read(&key, text, put_pem(text, label, &b)) == SC_ERR_KEY_FORMAT);
    pem_bytes(&b, label, refused_file[2].text);
    b.bytes[0] ^= 1;                    /* encrypted, but not by OpenSSH */
    CHECK(key_read(&key, text, put_pem(text, label, &b)) == SC_ERR_KEY_FORMAT);
    other = v[KEY_N];
    flip(other.bytes, other.len, 100);
    CHECK(key_read(&key, text, openssh_pem(text, v, &other, 1, 77, "c"))
          == SC_ERR_KEY_CHECK);
}

/* PKCS #8 (RFC 5208 5) around a PKCS #1 key, with one element out of five that
 * is not as it should be: 'l', its length in three bytes, 't', another tag. */
static size_t pkcs8_pem(char *out, const test_bytes *pkcs1, size_t odd,
                        char how, int version, const char *behind)
{
    static const uint8_t rsa[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1,
                                   1 };
    static const uint8_t tag[5] = { 0x02, 0x06, 0x30, 0x04, 0x30 };
    static test_bytes body[5], part[5];
    size_t i;
    for (i = 0; i < 5; i++) {
        body[i].len = part[i].len = 0;
        if (i == 0) {
            put_number(&body[i], (size_t)version, 1);
        } else if (i == 1) {
            put(&body[i], rsa, sizeof rsa);
        } else if (i == 2) {
            put(&body[i], part[1].bytes, part[1].len);
            put(&body[i], "\5", 2);             /* NULL: no parameters */
        } else if (i == 3) {
            put(&body[i], pkcs1->bytes, pkcs1->len);
        } else {
            put(&body[i], part[0].bytes, part[0].len);
            put(&body[i], part[2].bytes, part[2].len);
            put(&body[i], part[3].bytes, part[3].len);
            put(&body[i], behind, strlen(behind));
        }
        if (i == odd && how == 'l') {
            put_number(&part[i], tag[i], 1);
            put_number(&part[i], 0x83, 1);
            put_number(&part[i], body[i].len, 3);
            put(&part[i], body[i].bytes, body[i].len);
        } else {
            put_der(&part[i], tag[i] ^ (i == odd && how == 't'), body[i].bytes,
                    body[i].len);
        }
    }
    if (odd == 5)                               /* a byte behind the end */
        put_number(&part[4], 0, 1);
    return put_pem(out, "PRIVATE KEY", &part[4]);
}

static void test_keyfile_refuses_pkcs8_that_is_not_quite(void)
{
    static char text[4000];
    static test_bytes pkcs1;
    char label[32];
    sc_private_key key;
    size_t odd;
    pem_bytes(&pkcs1, label, published_key);
    CHECK(key_read(&key, text, pkcs8_pem(text, &pkcs1, 9, 0, 0, "")) == SC_OK);
    CHECK(same_key(&key, test_key(2048)));
    CHECK(key_read(&key, text, pkcs8_pem(text, &pkcs1, 9, 0, 0, "\xa0\2\5"))
          == SC_OK);                            /* attributes */
    CHECK(key_read(&key, text, pkcs8_pem(text, &pkcs1, 9, 0, 1, ""))
          == SC_ERR_KEY_FORMAT);
    CHECK(key_read(&key, text, pkcs8_pem(text, &pkcs1, 5, 0, 0, ""))
          == SC_ERR_KEY_FORMAT);
    for (odd = 0; odd < 5; odd++) {
        CHECK(key_read(&key, text, pkcs8_pem(text, &pkcs1, odd, 'l', 0, ""))
              == SC_ERR_KEY_FORMAT);
        CHECK(key_read(&key, text, pkcs8_pem(text, &pkcs1, odd, 't', 0, ""))
              == SC_ERR_KEY_FORMAT);
    }
}

/* The sequence of PKCS #1 and of PKCS #8 and OpenSSH's private part, cut at any
 * byte, with a length that says so: nothing is read behind the end.  (OpenSSH's
 * comment and what fills up the last block are not looked at.) */
static void test_keyfile_refuses_contents_that_end_early(void)
{
    static const char *const file[] = { published_key, published_pkcs8,
                                        published_openssh };
    static char text[4000];
    static test_bytes all, cut;
    char label[32];
    sc_private_key key;
    size_t i, len, head;
    for (i = 0; i < 3; i++) {
        pem_bytes(&all, label, file[i]);
        head = i < 2 ? 4 : 15 + 8 + 8 + 4 + 4 + (4 + 279) + 4;
        for (len = 0; len < all.len - head; len += len % 64 < 32 ? 1 : 3) {
            int result;
            cut.len = 0;
            if (i < 2) {
                put_der(&cut, 0x30, all.bytes + head, len);
            } else {
                put(&cut, all.bytes, head - 4);
                put_ssh(&cut, all.bytes + head, len);
            }
            result = key_read(&key, text, put_pem(text, label, &cut));
            CHECK(result == SC_ERR_KEY_FORMAT
                  || (result == SC_OK && i == 2 && len + 24 > all.len - head));
        }
        for (len = 0; len < all.len; len += len % 64 < 32 ? 1 : 3) {
            cut.len = 0;                /* and with one that does not */
            put(&cut, all.bytes, len);
            CHECK(key_read(&key, text, put_pem(text, label, &cut))
                  == SC_ERR_KEY_FORMAT);
        }
    }
}

/* Cut short at every byte, and with any one line missing: an error. */
static void test_keyfile_refuses_a_file_cut_at_any_byte(void)
{
    static const char *const file[] = { published_key, published_pkcs8,
                                        published_openssh };
    static char text[4000];
    sc_private_key key;
    const char *line, *next;
    size_t i, len;
    for (i = 0; i < 3; i++) {
        for (len = 0; len + 1 < strlen(file[i]); len++)
            CHECK(key_read(&key, file[i], len) != SC_OK);
        for (line = file[i]; *line != '\0'; line = next) {
            next = strchr(line, '\n') + 1;
            memcpy(text, file[i], (size_t)(line - file[i]));
            (void)put_text(text + (line - file[i]), next);
            CHECK(key_read(&key, text, strlen(text)) != SC_OK);
        }
    }
}

/* One bit of the bytes inside turned over: refused, or it was one that says
 * nothing about the key (a comment), which is the same as before. */
static void test_keyfile_with_any_byte_altered_is_refused_or_the_same(void)
{
    static const char *const file[] = { published_key, published_pkcs8,
                                        published_openssh };
    static char text[4000];
    static test_bytes b;
    char label[32];
    sc_private_key key;
    size_t i, at, n_same;
    for (i = 0; i < 3; i++) {
        pem_bytes(&b, label, file[i]);
        n_same = 0;
        for (at = 0; at < b.len; at += at < 64 || b.len - at < 64 ? 1 : 5) {
            b.bytes[at] ^= (uint8_t)(1 << at % 8);
            if (key_read(&key, text, put_pem(text, label, &b)) == SC_OK) {
                n_same++;
                CHECK(same_key(&key, test_key(2048)));
            }
            b.bytes[at] ^= (uint8_t)(1 << at % 8);
        }
        CHECK(n_same <= (i == 0 ? 0u : 32u));
    }
}

static void test_keyfile_public_line_is_ssh_keygen_s(void)
{
    static char line[SC_PUBLIC_LINE_MAX], want[SC_PUBLIC_LINE_MAX];
    static const unsigned sizes[] = { 2048, 2056, 4096 };
    sc_public_key key;
    size_t len, i;
    CHECK(sc_public_write_line(&test_key(2048)->pub, "published", line,
                               sizeof line, &len) == SC_OK);
    CHECK(strcmp(line, published_line) == 0 && len == strlen(line));
    *strrchr(strcpy(want, published_line), ' ') = '\0';
    CHECK(sc_public_write_line(&test_key(2048)->pub, NULL, line, sizeof line,
                               &len) == SC_OK && strcmp(line, want) == 0);
    CHECK(sc_public_write_line(&test_key(2048)->pub, "", line, sizeof line,
                               &len) == SC_OK && strcmp(line, want) == 0);
    CHECK(sc_public_write_line(&test_key(2048)->pub, "x", line, sizeof line,
                               &len) == SC_OK);
    CHECK(strcmp(line, strcat(want, " x")) == 0);
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK(sc_public_write_line(&test_key(sizes[i])->pub, "a b  c ", line,
                                   sizeof line, &len) == SC_OK);
        CHECK(strcmp(line + len - 8, " a b  c ") == 0);
        CHECK(sc_public_read_line(&key, line, len) == SC_OK);
        CHECK(sc_public_equal(&key, &test_key(sizes[i])->pub));
    }
}

static void test_keyfile_public_line_is_written_only_into_room_enough(void)
{
    size_t need = strlen(published_line) + 1, room, len;
    for (room = 0; room <= need; room++) {
        char *out = (char *)malloc(room + 1);
        if (out == NULL)
            return;
        out[room] = 0x5a;
        CHECK(sc_public_write_line(&test_key(2048)->pub, "published", out, room,
                                   &len)
              == (room == need ? SC_OK : SC_ERR_SPACE));
        CHECK(out[room] == 0x5a && len == (room == need ? need - 1 : 0));
        free(out);
    }
}

/* A key that does not fit together, or a line that would end early or hide what
 * comes after, is not written at all. */
static void test_keyfile_writes_no_key_that_could_not_be_read_back(void)
{
    static char out[SC_PEM_MAX];
    sc_private_key key = *test_key(2048);
    size_t len = 9, i;
    char comment[] = "a b", one[] = "a";
    key.dp[100] ^= 1;
    CHECK(sc_key_write_pem(&key, out, sizeof out, &len) == SC_ERR_ARGUMENT);
    CHECK(len == 0 && all_are(out, sizeof out, 0));
    key.pub.n[255] ^= 1;                /* even */
    len = 9;
    CHECK(sc_public_write_line(&key.pub, NULL, out, sizeof out, &len)
          == SC_ERR_ARGUMENT && len == 0);
    for (i = 1; i < 256; i++) {
        int is_control = i < 0x20 || i == 0x7f;
        comment[1] = one[0] = (char)i;
        CHECK(sc_public_write_line(&test_key(2048)->pub, one, out,
                                   sizeof out, &len)
              == (is_control ? SC_ERR_ARGUMENT : SC_OK));
        CHECK(sc_public_write_line(&test_key(2048)->pub, comment, out,
                                   sizeof out, &len)
              == (is_control ? SC_ERR_ARGUMENT : SC_OK));
        CHECK((len == 0) == is_control);
    }
}

/* public_line: type, a blank, base64 of the blob and what follows it. */
static size_t public_line(char *out, const char *type, const test_bytes *blob,
                          const char *rest)
{
    size_t n = put_text(out, type);
    n += put_text(out + n, " ");
    n += sc_base64_write(out + n, blob->bytes, blob->len);
    return n + put_text(out + n, rest);
}

/* line_read: as key_read. */
static int line_read(const char *line, size_t line_len)
{
    sc_public_key key;
    char *copy = (char *)malloc(line_len + 1);
    int result;
    if (copy == NULL)
        return SC_ERR_INTERNAL;
    memcpy(copy + 1, line, line_len);
    memset(&key, 0x5a, sizeof key);
    result = sc_public_read_line(&key, copy + 1, line_len);
    CHECK(result == SC_OK ? sc_public_check(&key) == SC_OK
                          : all_are(&key, sizeof key, 0));
    free(copy);
    return result;
}

static void test_keyfile_refuses_every_bad_public_line(void)
{
    static const char *const other_type[] = { "ssh-dss", "ssh-ed25519",
        "ecdsa-sha2-nistp256", "ssh-rsa-cert-v01@openssh.com",
        "sk-ssh-ed25519@openssh.com", "x" };
    static test_number v[KEY_NUMBERS], good;
    static char line[2000];
    static test_bytes b;
    size_t i, len, base64_end = (size_t)(strrchr(published_line, ' ')
                                         - published_line);
    CHECK(numbers_read(v, published_key));
    for (len = 0; len < strlen(published_line); len++)
        CHECK((line_read(published_line, len) == SC_OK) == (len >= base64_end));
    put_blob(&b, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, "\r\n")) == SC_OK);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, "\n!"))
          == SC_OK);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, "\r!"))
          == SC_OK);
    CHECK(line_read(line, public_line(line, " \tssh-rsa\t", &b, "\tx"))
          == SC_OK);
    CHECK(line_read(line, public_line(line, "ssh-rsb", &b, "")) != SC_OK);
    CHECK(line_read(line, public_line(line, "ssh-rsaa", &b, "")) != SC_OK);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, "!"))
          == SC_ERR_KEY_FORMAT);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, "="))
          == SC_ERR_KEY_FORMAT);
    for (i = 0; i < sizeof other_type / sizeof *other_type; i++) {
        b.len = 0;
        put_blob(&b, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
        CHECK(line_read(line, public_line(line, other_type[i], &b, " x"))
              == SC_ERR_KEY_FORMAT);    /* says one type and holds another */
        b.len = 0;
        put_blob(&b, other_type[i], &v[KEY_E], &v[KEY_N]);
        CHECK(line_read(line, public_line(line, other_type[i], &b, " x"))
              == SC_ERR_KEY_TYPE);
        b.len = 4 + strlen(other_type[i]);          /* nothing but the type */
        CHECK(line_read(line, public_line(line, other_type[i], &b, ""))
              == SC_ERR_KEY_TYPE);
        b.len--;
        CHECK(line_read(line, public_line(line, other_type[i], &b, ""))
              == SC_ERR_KEY_FORMAT);
        b.len++;
        b.bytes[0] = 1;                             /* a length like no other */
        CHECK(line_read(line, public_line(line, other_type[i], &b, ""))
              == SC_ERR_KEY_FORMAT);
    }
    b.len = 0;                          /* the digits cut anywhere */
    put_blob(&b, "ssh-dss", &v[KEY_E], &v[KEY_N]);
    (void)public_line(line, "ssh-dss", &b, "");
    for (i = 0; i < 70; i++)
        CHECK(line_read(line, 8 + i)
              == (i >= 64 || (i >= 16 && i % 4 == 0) ? SC_ERR_KEY_TYPE
                                                     : SC_ERR_KEY_FORMAT));
    b.len = 0;
    put_blob(&b, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    CHECK(line_read(line, public_line(line, "no-such", &b, " x")) != SC_OK);
    CHECK(line_read(line, public_line(line, "#ssh-rsa", &b, " x")) != SC_OK);
    put_number(&b, 0, 1);               /* a byte behind the key */
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, ""))
          == SC_ERR_KEY_FORMAT);
    while (b.len-- > 0) {               /* the blob cut at every byte */
        len = public_line(line, "ssh-rsa", &b, "");
        CHECK((line_read(line, len) == SC_OK) == (b.len == 279));
    }
    b.len = 0;                          /* two types in one line */
    put_blob(&b, "ssh-dss", &v[KEY_E], &v[KEY_N]);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, ""))
          == SC_ERR_KEY_TYPE);
    b.len = 0;                          /* even, negative, zeros in front */
    v[KEY_N].bytes[256] ^= 1;
    put_blob(&b, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, ""))
          == SC_ERR_KEY_FORMAT);
    v[KEY_N].bytes[256] ^= 1;
    b.len = 0;
    v[KEY_N].bytes[0] = 0xff;
    put_blob(&b, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, ""))
          == SC_ERR_KEY_FORMAT);
    b.len = 0;                          /* too long to be looked at */
    good = v[KEY_N];
    v[KEY_N].bytes[0] = 0;
    v[KEY_N].len = 600;
    put_blob(&b, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, ""))
          == SC_ERR_KEY_SIZE);
    v[KEY_N] = good;
    b.len = 0;
    memmove(v[KEY_N].bytes + 1, v[KEY_N].bytes, 257);
    memset(v[KEY_N].bytes, 0, 2);
    v[KEY_N].len++;
    put_blob(&b, "ssh-rsa", &v[KEY_E], &v[KEY_N]);
    CHECK(line_read(line, public_line(line, "ssh-rsa", &b, ""))
          == SC_ERR_KEY_FORMAT);
}

static void test_keyfile_fingerprint_and_picture_are_ssh_keygen_s(void)
{
    static const char want[] =
        "SHA256:iPE/bBu8Ynt7d+PwwniVdszaTDo54ZMC2piLol66OXs";
    static const char want_4096[] =
        "SHA256:fvoGhLm+Lb//za2yK2k+ozzYoCGzGZp4kZXl5D3r7n4";
    char fingerprint[SC_FINGERPRINT_MAX], picture[SC_RANDOMART_MAX];
    sc_public_key key = { 257, { 0x80 } };
    key.n[255] = 0x3f;
    key.n[256] = 0xe3;
    memset(picture, 'x', sizeof picture);       /* its NUL is to be written */
    sc_randomart(&key, picture);
    CHECK(strcmp(picture, walls_picture) == 0);
    memset(fingerprint, 'x', sizeof fingerprint);
    sc_fingerprint(&test_key(2048)->pub, fingerprint);
    CHECK(strcmp(fingerprint, want) == 0);
    sc_randomart(&test_key(2048)->pub, picture);
    CHECK(strcmp(picture, published_picture) == 0);
    sc_fingerprint(&test_key(4096)->pub, fingerprint);
    CHECK(strcmp(fingerprint, want_4096) == 0);
    sc_randomart(&test_key(4096)->pub, picture);
    CHECK(strcmp(picture, published_4096_picture) == 0);
}

/* -- key files on disk -- */

#if !defined(SC_NO_OS)
#define TEST_FILES 1

/* A new folder for the files of the running test. */
static char test_folder[300];

static int folder_begin(void)
{
    return CHECK(test_make_temporary(test_folder));
}

/* in_folder: the path of one of the files folder_end knows how to remove. */
static const char *in_folder(const char *name)
{
    static char path[8][400];
    static unsigned turn;
    char *p = path[turn++ % 8];
    (void)snprintf(p, sizeof path[0], "%s/%s", test_folder, name);
    return p;
}

static void folder_end(void)
{
    static const char *const names[] = { "key", "key.pub", "link", "hosts",
                                         "keys", "new/hosts", "new", "" };
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        (void)test_remove(in_folder(names[i]));
}

static void file_write(const char *name, const char *text, size_t len)
{
    FILE *f = fopen(in_folder(name), "wb");
    CHECK(f != NULL && fwrite(text, 1, len, f) == len && fclose(f) == 0);
}

/* file_holds: is this exactly what is in the file? */
static int file_holds(const char *name, const char *text, size_t len)
{
    static char got[200000];
    FILE *f = fopen(in_folder(name), "rb");
    size_t n = f == NULL ? 0 : fread(got, 1, sizeof got, f);
    return f != NULL && fclose(f) == 0 && n == len && memcmp(got, text, n) == 0;
}

/* file_is: there, with this mode where there are modes. */
static int file_is(const char *name, unsigned mode)
{
    struct stat st;
    return stat(in_folder(name), &st) == 0
        && (!TEST_POSIX || ((unsigned)st.st_mode & 0777) == mode);
}

static int file_is_missing(const char *name)
{
    struct stat st;
    return stat(in_folder(name), &st) != 0;
}

/* The private half is its owner's alone from its first moment, whatever the
 * umask; the public half is the line ssh-keygen would write. */
static void test_keyfile_save_makes_a_private_file_and_its_public_line(void)
{
    static const unsigned masks[] = { 0, 022, 077 };
    static char line[SC_PUBLIC_LINE_MAX];
    sc_private_key key;
    size_t i, len;
    for (i = 0; i < sizeof masks / sizeof *masks; i++) {
        unsigned before = test_umask(masks[i]);
        if (!folder_begin())
            return;
        CHECK(sc_key_save(test_key(2048), in_folder("key"), "published")
              == SC_OK);
        (void)test_umask(before);
        CHECK(file_is("key", 0600));
        CHECK(file_is("key.pub", 0644 & ~masks[i]));
        len = put_text(line, published_line);
        CHECK(file_holds("key.pub", line, len + put_text(line + len, "\n")));
        CHECK(sc_key_load(&key, in_folder("key")) == SC_OK);
        CHECK(same_key(&key, test_key(2048)));
        folder_end();
    }
}

/* A comment that just fits is written whole; one that does not, not at all. */
static void test_keyfile_save_writes_the_longest_public_line_whole(void)
{
    static char line[SC_PUBLIC_LINE_MAX + 1], comment[SC_PUBLIC_LINE_MAX];
    const sc_private_key *key = test_key(2048);
    size_t len, n;
    if (!folder_begin())
        return;
    CHECK(sc_public_write_line(&key->pub, NULL, line, sizeof line, &len)
          == SC_OK);
    n = SC_PUBLIC_LINE_MAX - 1 - len - 1;       /* less the NUL and a space */
    memset(comment, 'c', n + 1);
    CHECK(sc_key_save(key, in_folder("key"), comment) == SC_ERR_SPACE);
    CHECK(file_is_missing("key") && file_is_missing("key.pub"));
    comment[n] = '\0';
    CHECK(sc_key_save(key, in_folder("key"), comment) == SC_OK);
    line[len] = ' ';
    memcpy(line + len + 1, comment, n);
    line[SC_PUBLIC_LINE_MAX - 1] = '\n';
    CHECK(file_holds("key.pub", line, SC_PUBLIC_LINE_MAX));
    folder_end();
}

static void test_keyfile_save_overwrites_nothing(void)
{
    if (!folder_begin())
        return;
    file_write("key", "mine", 4);
    CHECK(sc_key_save(test_key(2048), in_folder("key"), "")
          == SC_ERR_FILE_EXISTS);
    CHECK(file_holds("key", "mine", 4) && file_is_missing("key.pub"));
    CHECK(remove(in_folder("key")) == 0);
    file_write("key.pub", "mine", 4);
    CHECK(sc_key_save(test_key(2048), in_folder("key"), "")
          == SC_ERR_FILE_EXISTS && errno == EEXIST);
    CHECK(file_holds("key.pub", "mine", 4));
    CHECK(file_is_missing("key"));              /* and no half of a pair */
    CHECK(remove(in_folder("key.pub")) == 0);
    if (TEST_POSIX) {
        CHECK(test_link(in_folder("new"), in_folder("key")) == 0);
        CHECK(sc_key_save(test_key(2048), in_folder("key"), "")
              == SC_ERR_FILE_EXISTS);           /* does not follow a link */
        CHECK(file_is_missing("new"));
    }
    CHECK(sc_key_save(test_key(2048), in_folder("nowhere/key"), "")
          == SC_ERR_FILE);
    folder_end();
}

static void test_keyfile_load_refuses_a_file_others_can_touch(void)
{
    static const unsigned bad[] = { 0644, 0640, 0604, 0620, 0602, 0610, 0601,
                                    0666, 0777 };
    static const unsigned good[] = { 0600, 0400, 0700 };
    sc_private_key key;
    size_t i;
    if (!TEST_POSIX) {
        test_skip("files have no modes here");
        return;
    }
    if (!folder_begin())
        return;
    file_write("key", published_key, strlen(published_key));
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(test_chmod(in_folder("key"), bad[i]) == 0);
        memset(&key, 0, sizeof key);
        CHECK(sc_key_load(&key, in_folder("key")) == SC_ERR_FILE_MODE);
        CHECK(all_are(&key, sizeof key, 0));
    }
    for (i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(test_chmod(in_folder("key"), good[i]) == 0);
        CHECK(sc_key_load(&key, in_folder("key")) == SC_OK);
        CHECK(same_key(&key, test_key(2048)));
    }
    folder_end();
}

/* ".pub" must fit behind the path: cut off, it would name another file. */
/* What is not part of the key counts, too; a key's own file takes 3,400. */
static void test_keyfile_load_takes_files_of_6143_bytes(void)
{
    static char text[6145];
    sc_private_key key;
    size_t len;
    if (!folder_begin())
        return;
    CHECK(sc_key_write_pem(test_key(2048), text, sizeof text, &len) == SC_OK);
    memset(text + len, '\n', sizeof text - len);
    file_write("key", text, 6143);
    CHECK(test_chmod(in_folder("key"), 0600) == 0);
    CHECK(sc_key_load(&key, in_folder("key")) == SC_OK);
    file_write("key", text, 6144);
    CHECK(sc_key_load(&key, in_folder("key")) == SC_ERR_KEY_FORMAT);
    folder_end();
}

static void test_keyfile_save_takes_no_path_too_long_for_its_public_half(void)
{
    static char path[2000];
    size_t len;
    if (!folder_begin())
        return;
    for (len = 1000; len < 1040; len++) {
        int result;
        (void)snprintf(path, sizeof path, "%s", in_folder("nowhere/"));
        memset(path + strlen(path), 'x', len - strlen(path));
        path[len] = '\0';
        result = sc_key_save(test_key(2048), path, "");
        CHECK(result == (len + sizeof ".pub" <= 1024 ? SC_ERR_FILE
                                                    : SC_ERR_ARGUMENT));
    }
    folder_end();
}

/* No file, a folder, an empty file, an encrypted key, a file far too long, and
 * the longest good one: OpenSSH's of 4096 bits with a long comment. */
/* load_fails: with this error, and without half a key. */
static int load_fails(const char *name, int error)
{
    sc_private_key key;
    memset(&key, 0xaa, sizeof key);
    return sc_key_load(&key, in_folder(name)) == error
        && all_are(&key, sizeof key, 0);
}

static void test_keyfile_load_tells_its_failures_apart(void)
{
    static char text[100000], comment[200];
    static test_number v[KEY_NUMBERS];
    sc_private_key key;
    size_t len;
    if (!folder_begin())
        return;
    errno = 0;
    CHECK(load_fails("key", SC_ERR_FILE));
    CHECK(errno == ENOENT);
    CHECK(test_make_folder(in_folder("new")) == 0);
    CHECK(load_fails("new", SC_ERR_FILE));
    CHECK(!TEST_POSIX || errno == EISDIR);
    file_write("key", "", 0);
    CHECK(test_chmod(in_folder("key"), 0600) == 0);
    CHECK(load_fails("key", SC_ERR_KEY_FORMAT));
    file_write("key", refused_file[0].text, strlen(refused_file[0].text));
    CHECK(load_fails("key", SC_ERR_KEY_ENCRYPTED));
    memset(text, 'x', sizeof text);
    file_write("key", text, sizeof text);
    CHECK(load_fails("key", SC_ERR_KEY_FORMAT));
    CHECK(sc_key_write_pem(test_key(4096), text, sizeof text, &len) == SC_OK);
    CHECK(numbers_read(v, text));
    memset(comment, 'c', sizeof comment - 1);
    file_write("key", text, openssh_pem(text, v, &v[KEY_N], 1, 77, comment));
    CHECK(sc_key_load(&key, in_folder("key")) == SC_OK);
    CHECK(same_key(&key, test_key(4096)));
    folder_end();
}

/* ---- 6. known_hosts, authorized_keys ------------------------------------- */

/* A line in short: %K stands for the key that is shown, with its type before
 * it, %O for another RSA key, %P for one of 4096 bits, %E for an ed25519 key,
 * %3 for an RSA key with e = 3, %S for one that is too short, %M for the first
 * with another type before it, %0 for a NUL byte, %X for 5000 letters.
 * Everything else stands for itself. */
static size_t line_make(char *out, const char *line)
{
    static const char ed25519[] =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGn3tH9x6i27PUdT1LkP3mh62gqp"
        "TzfXfBxh1HK4g4+b";
    static test_number v[KEY_NUMBERS];
    test_bytes b = { 0, { 0 } };
    size_t n = 0, len;
    for (; *line != '\0'; line++) {
        if (*line != '%') {
            out[n++] = *line;
            continue;
        }
        line++;
        len = 0;
        if (*line == 'K' || *line == 'O' || *line == 'P')
            (void)sc_public_write_line(&test_key(*line == 'K' ? 2048
                                                 : *line == 'O' ? 2056 : 4096)
                                           ->pub, NULL, out + n,
                                       SC_PUBLIC_LINE_MAX, &len);
        else if (*line == 'E')
            len = put_text(out + n, ed25519);
        else if (*line == '0')
            out[n + len++] = '\0';
        else if (*line == 'X')
            memset(out + n, 'x', len = 5000);
        else {                          /* 3, S, M */
            b.len = 0;
            CHECK(numbers_read(v, published_key));
            v[KEY_E].len = *line == '3' ? 1 : 3;
            v[KEY_E].bytes[0] = *line == '3' ? 3 : 1;
            put_blob(&b, "ssh-rsa", &v[KEY_E],
                     &v[*line == 'S' ? KEY_P : KEY_N]);
            len = public_line(out + n, *line == 'M' ? "ssh-dss" : "ssh-rsa",
                              &b, "");
        }
        n += len;
    }
    return n;
}

/* Both kinds of line, on a copy whose end is the end of its memory, behind the
 * end of another line. */
static int hosts_line(const char *line, const char *host, unsigned port)
{
    static char text[20000];
    size_t len = line_make(text, line);
    char *copy = (char *)malloc(len + 1);
    int result;
    if (copy == NULL)
        return SC_ERR_INTERNAL;
    copy[0] = '\r';
    memcpy(copy + 1, text, len);
    result = sc_known_hosts_line(copy + 1, len, host, port,
                                 &test_key(2048)->pub);
    free(copy);
    return result;
}

static int keys_line(const char *line)
{
    static char text[20000];
    size_t len = line_make(text, line);
    char *copy = (char *)malloc(len + 1);
    int result;
    if (copy == NULL)
        return SC_ERR_INTERNAL;
    copy[0] = '\r';
    memcpy(copy + 1, text, len);
    result = sc_authorized_keys_line(copy + 1, len, &test_key(2048)->pub);
    free(copy);
    return result;
}

/* Each line is asked about example.org, port 4422, and %K was shown. */
static void test_hosts_line_means_what_it_says(void)
{
    static const struct {
        const char *line;
        int result;
    } v[] = {
        /* the host and its key */
        { "example.org %K", SC_OK },
        { "[example.org]:4422 %K", SC_OK },
        { "example.org %K root@example", SC_OK },
        { "example.org\t%K", SC_OK },
        { "  example.org   %K  ", SC_OK },
        { "\texample.org %K\r", SC_OK },
        { "EXAMPLE.Org %K", SC_OK },
        { "[Example.ORG]:4422 %K", SC_OK },
        { "other,example.org %K", SC_OK },
        { "other,[example.org]:22,[example.org]:4422,10.0.0.1 %K", SC_OK },
        /* the host, but another key */
        { "example.org %O", SC_ERR_HOST_CHANGED },
        { "example.org %P", SC_ERR_HOST_CHANGED },
        { "other,[example.org]:4422 %O", SC_ERR_HOST_CHANGED },
        /* nothing about this host, or nothing about RSA keys */
        { "", SC_MORE },
        { "   \t ", SC_MORE },
        { "\r", SC_MORE },
        { "#", SC_MORE },
        { "# example.org %K", SC_MORE },
        { "  #example.org %O", SC_MORE },
        { "other %K", SC_MORE },
        { "example.or %O", SC_MORE },
        { "example.orgg %O", SC_MORE },
        { "xample.org %O", SC_MORE },
        { "www.example.org %O", SC_MORE },
        { "example.org.example.net %O", SC_MORE },
        { "[example.org]:4423 %K", SC_MORE },
        { "[example.org]:442 %K", SC_MORE },
        { "[example.org]:44220 %K", SC_MORE },
        { "[example.or]:4422 %K", SC_MORE },
        { "example.org %E", SC_MORE },
        { "[example.org]:4422 %E comment", SC_MORE },
        { "* %E", SC_MORE },
        { "|1|YWJj|ZGVm %E", SC_MORE },
        { "other ssh-rsa", SC_MORE },
        { "e*x %O", SC_MORE },
        { "example.org?* %O", SC_MORE },
        { "exam~ple %O", SC_MORE },
        { ";example.org=:4422 %K", SC_MORE },
        { "example.o*.org %O", SC_MORE },
        { "!other %O", SC_MORE },
        { "example.org|x %O", SC_MORE },
        { "#,example.org %O", SC_MORE },
        { "#,* %O", SC_MORE },
        { "@revoked e*x %O", SC_MORE },
        { "other ssh-rsa !!!!", SC_MORE },
        { "other", SC_MORE },
        { "@revoked * %E", SC_MORE },
        { "@revoked other %O", SC_MORE },
        { "example.or", SC_MORE },
        /* the shown key is revoked, for whatever host */
        { "@revoked * %K", SC_ERR_HOST_REVOKED },
        { "@revoked example.org %K", SC_ERR_HOST_REVOKED },
        { "@revoked other %K comment", SC_ERR_HOST_REVOKED },
        { "  @revoked\tother\t%K\r", SC_ERR_HOST_REVOKED },
        { "@revoked |1|YWJj|ZGVm %K", SC_ERR_HOST_REVOKED },
        /* may name the host, and cannot be used */
        { "|1|YWJj|ZGVm %K", SC_ERR_HOST_LINE },
        { "|1|YWJj|ZGVm %O", SC_ERR_HOST_LINE },
        { "|1|YWJj|ZGVm,example.org %K", SC_ERR_HOST_LINE },
        { "* %K", SC_ERR_HOST_LINE },
        { "* %O", SC_ERR_HOST_LINE },
        { "*.org %K", SC_ERR_HOST_LINE },
        { "e?ample.org %K", SC_ERR_HOST_LINE },
        { "[example.*]:4422 %K", SC_ERR_HOST_LINE },
        { "other,exam*.org %O", SC_ERR_HOST_LINE },
        { "*.org,!example.org %K", SC_ERR_HOST_LINE },
        { "!example.org %K", SC_ERR_HOST_LINE },
        { "!example.org,example.org %K", SC_ERR_HOST_LINE },
        { "!other,example.org %K", SC_ERR_HOST_LINE },
        { "!,example.org %K", SC_ERR_HOST_LINE },
        { "@cert-authority * %K", SC_ERR_HOST_LINE },
        { "@cert-authority example.org %K", SC_ERR_HOST_LINE },
        { "@cert-authority *.org %O", SC_ERR_HOST_LINE },
        { "@revoked * %O", SC_ERR_HOST_LINE },
        { "@revoked example.org %O", SC_ERR_HOST_LINE },
        { "@nonsense example.org %K", SC_ERR_HOST_LINE },
        { "@ example.org %K", SC_ERR_HOST_LINE },
        { "@nothing example.org %K", SC_ERR_HOST_LINE },
        { "example.org", SC_ERR_HOST_LINE },
        { "example.org ", SC_ERR_HOST_LINE },
        { "example.org ssh-rsa", SC_ERR_HOST_LINE },
        { "example.org ssh-rsa ", SC_ERR_HOST_LINE },
        { "example.org ssh-rsa !!!!", SC_ERR_HOST_LINE },
        { "example.org ssh-rsa AAAAB3NzaC1yc2E=", SC_ERR_HOST_LINE },
        { "[example.org]:4422 ssh-rsa AAAA", SC_ERR_HOST_LINE },
        { "example.org %Kx", SC_ERR_HOST_LINE },
        { "example.org %K=", SC_ERR_HOST_LINE },
        { "example.org ssh-ed25519", SC_ERR_HOST_LINE },
        { "example.org ssh-ed25519 AAAA", SC_ERR_HOST_LINE },
        { "example.org ssh-ed25519 !", SC_ERR_HOST_LINE },
        { "example.org %M", SC_ERR_HOST_LINE },
        { "@revoked other ssh-rsa !!!!", SC_ERR_HOST_LINE },
        { "@revoked", SC_ERR_HOST_LINE },
        { "example.org 2048 65537 25195908475657893494027183240048398571429282",
          SC_ERR_HOST_LINE },
        { "example.org%0 %K", SC_ERR_HOST_LINE },
        { "# comment\rexample.org %O", SC_ERR_HOST_LINE },
        { "other %K\rexample.org %K", SC_ERR_HOST_LINE },
        { "example.org %K\r\r", SC_ERR_HOST_LINE },
        { "e* %K", SC_ERR_HOST_LINE },
        { "| %K", SC_ERR_HOST_LINE },
        { "other,|x %K", SC_ERR_HOST_LINE },
        { "example.org** %K", SC_ERR_HOST_LINE },
        { "*exam*ple.org %K", SC_ERR_HOST_LINE },
        { "*x*m*.org* %K", SC_ERR_HOST_LINE },
        { "exam\177ple %K", SC_ERR_HOST_LINE },
        { "exam\200ple %K", SC_ERR_HOST_LINE },
        { "ex\001ample %K", SC_ERR_HOST_LINE },
        { "example.org %0%K", SC_ERR_HOST_LINE },
    };
    size_t i;
    for (i = 0; i < sizeof v / sizeof *v; i++)
        if (!CHECK(hosts_line(v[i].line, "example.org", 4422) == v[i].result))
            printf("    the line: %s (says %d)\n", v[i].line,
                   hosts_line(v[i].line, "example.org", 4422));
    /* known with a key this library does not take: no stranger in any case */
    CHECK(hosts_line("example.org %3", "example.org", 4422) < 0);
    CHECK(hosts_line("example.org %S", "example.org", 4422) < 0);
}

/* The host as the user types it: in capitals, as an address. */
static void test_hosts_line_compares_names_and_ports(void)
{
    static const struct {
        const char *line, *host;
        unsigned port;
        int result;
    } v[] = {
        { "example.org %K", "EXAMPLE.ORG", 1, SC_OK },
        { "[example.org]:22 %K", "Example.org", 22, SC_OK },
        { "[example.org]:65535 %K", "example.org", 65535, SC_OK },
        { "[example.org]:4422 %K", "example.org", 22, SC_MORE },
        { "127.0.0.1 %K", "127.0.0.1", 4422, SC_OK },
        { "127.0.0.1 %K", "127.0.0.11", 4422, SC_MORE },
        { "::1 %K", "::1", 4422, SC_OK },
        { "[::1]:4422 %K", "::1", 4422, SC_OK },
        { "[::1]:4422 %O", "::1", 4422, SC_ERR_HOST_CHANGED },
        { "[::1]:4423 %K", "::1", 4422, SC_MORE },
        { "[fe80::AB]:4422 %K", "fe80::ab", 4422, SC_OK },
        { "a,,b %K", "a", 4422, SC_OK },
        { "azAZ %K", "AZaz", 4422, SC_OK },
        { "x@ %K", "x`", 4422, SC_MORE },
        { "x[ %K", "x{", 4422, SC_MORE },
        { "| %K", "|", 22, SC_ERR_HOST_LINE },  /* names that no host has */
        { "a!b %K", "a!b", 22, SC_ERR_HOST_LINE },
    };
    size_t i;
    for (i = 0; i < sizeof v / sizeof *v; i++)
        if (!CHECK(hosts_line(v[i].line, v[i].host, v[i].port) == v[i].result))
            printf("    the line: %s (says %d)\n", v[i].line,
                   hosts_line(v[i].line, v[i].host, v[i].port));
}

/* Cut at any byte, the line never accepts; and once the name of the host is
 * whole, it never makes him a stranger. */
static void test_hosts_line_cut_at_any_byte_accepts_nothing(void)
{
    static char text[2000];
    const sc_public_key *key = &test_key(2048)->pub;
    size_t whole = line_make(text, "example.org %K"), len;
    for (len = 0; len < whole; len++) {
        int result = sc_known_hosts_line(text, len, "example.org", 4422, key);
        CHECK(result == (len < 11 ? SC_MORE : SC_ERR_HOST_LINE));
    }
}

static void test_hosts_authorized_keys_line_means_what_it_says(void)
{
    static const struct {
        const char *line;
        int result;
    } v[] = {
        { "%K", SC_OK },
        { "%K a comment", SC_OK },
        { "  %K\r", SC_OK },
        { "\t%K\t", SC_OK },
        { "%O", SC_MORE },
        { "%P %K", SC_MORE },
        { "%E comment", SC_MORE },
        { "", SC_MORE },
        { "  \t\r", SC_MORE },
        { "# %K", SC_MORE },
        { "  #%K", SC_MORE },
        { "no-pty %K", SC_ERR_KEY_FORMAT },
        { "command=\"ls %K\" %K", SC_ERR_KEY_FORMAT },
        { "from=\"10.0.0.1\",no-pty %K comment", SC_ERR_KEY_FORMAT },
        { "cert-authority %K", SC_ERR_KEY_FORMAT },
        { "ssh-rsa", SC_ERR_KEY_FORMAT },
        { "ssh-rsa ", SC_ERR_KEY_FORMAT },
        { "ssh-rsa AAAA", SC_ERR_KEY_FORMAT },
        { "ssh-rsa !!!!", SC_ERR_KEY_FORMAT },
        { "%Kx", SC_ERR_KEY_FORMAT },
        { "%K=", SC_ERR_KEY_FORMAT },
        { "x%K", SC_ERR_KEY_FORMAT },
        { "%M", SC_ERR_KEY_FORMAT },
        { "ssh-rsa %K", SC_ERR_KEY_FORMAT },
        { "%0%K", SC_ERR_KEY_FORMAT },
        { "example.org %K", SC_ERR_KEY_FORMAT },
        { "# comment\r%K", SC_ERR_KEY_FORMAT },
        { "%K\r\r", SC_ERR_KEY_FORMAT },
    };
    static char text[2000];
    size_t i, whole, len;
    for (i = 0; i < sizeof v / sizeof *v; i++)
        if (!CHECK(keys_line(v[i].line) == v[i].result))
            printf("    the line: %s (says %d)\n", v[i].line,
                   keys_line(v[i].line));
    CHECK(keys_line("%3") != SC_OK && keys_line("%S") != SC_OK);
    whole = line_make(text, "%K");
    for (len = 1; len < whole; len++)
        CHECK(sc_authorized_keys_line(text, len, &test_key(2048)->pub)
              == SC_ERR_KEY_FORMAT);
}

/* hosts_judge: what a file of these lines says of %K at example.org:4422. */
static int hosts_judge(sc_known_hosts *known, const char *lines, int accept_new)
{
    static char text[30000];
    memset(known, 0, sizeof *known);
    known->path = in_folder("hosts");
    known->host = "example.org";
    known->port = 4422;
    known->accept_new = accept_new;
    known->line = 99;                   /* told about another host */
    known->is_new = 1;
    if (lines != NULL)
        file_write("hosts", text, line_make(text, lines));
    return sc_judge_known_hosts(known, &test_key(2048)->pub);
}

static void test_hosts_file_decides_by_the_line_it_names(void)
{
    static const struct {
        const char *lines;
        int result;
        size_t line;
    } v[] = {
        { "", SC_ERR_HOST_UNKNOWN, 0 },
        { "\n\n# nothing\n", SC_ERR_HOST_UNKNOWN, 0 },
        { "other %O\n", SC_ERR_HOST_UNKNOWN, 0 },
        { "example.org %E\n", SC_ERR_HOST_UNKNOWN, 0 },
        { "example.org %K\n", SC_OK, 1 },
        { "example.org %K", SC_OK, 1 },
        { "#\n\nother %O\n[example.org]:4422 %K\n", SC_OK, 4 },
        { "#\r\n\r\nother %O\r\n[example.org]:4422 %K\r\n", SC_OK, 4 },
        { "# %X%X%X\nother %O %X\nexample.org %K\n", SC_OK, 3 },
        { "%0%0%0\n# %0\nexample.org %K", SC_OK, 3 },
        { "other %E\nexample.org %O\n", SC_ERR_HOST_CHANGED, 2 },
        { "*.org %O\nexample.org %O\n", SC_ERR_HOST_CHANGED, 2 },
        { "example.org %O\nexample.org %K\n", SC_OK, 2 },
        { "\n@revoked * %K\nexample.org %K\n", SC_ERR_HOST_REVOKED, 2 },
        { "example.org %K\n\n@revoked * %K", SC_ERR_HOST_REVOKED, 3 },
        { "example.org %O\n\n@revoked * %K", SC_ERR_HOST_REVOKED, 3 },
        { "*.org %O\n@revoked x %K", SC_ERR_HOST_REVOKED, 2 },
        { "|1|YWJj|ZGVm %O\n*.org %O\nexample.org %K\n", SC_OK, 3 },
        { "example.org %K\n*.org %O\n", SC_OK, 1 },
        { "\n|1|YWJj|ZGVm %K\nother %K\n", SC_ERR_HOST_LINE, 2 },
        { "@cert-authority *.org %K\n", SC_ERR_HOST_LINE, 1 },
        { "example.org ssh-rsa AAAA\n", SC_ERR_HOST_LINE, 1 },
        { "#\nexample.org ssh-rsa AAAA%X\n", SC_ERR_HOST_LINE, 2 },
    };
    sc_known_hosts known;
    size_t i, accept_new;
    if (!folder_begin())
        return;
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        for (accept_new = 0; accept_new < 2; accept_new++) {
            int is_new = accept_new && v[i].result == SC_ERR_HOST_UNKNOWN;
            int result = hosts_judge(&known, v[i].lines, (int)accept_new);
            if (!CHECK(result == (is_new ? SC_OK : v[i].result)
                       && known.line == v[i].line && known.is_new == is_new))
                printf("    %s: %d, line %lu\n", v[i].lines, result,
                       (unsigned long)known.line);
            CHECK(sc_public_equal(&known.shown, &test_key(2048)->pub));
        }
    }
    /* names beyond any buffer: found or not, he is no stranger */
    CHECK(hosts_judge(&known, "%X,example.org %O\n", 1) < 0);
    folder_end();
}

/* A name that a line could not hold, or that could name others, is no name. */
static void test_hosts_judge_refuses_what_no_line_can_hold(void)
{
    static const char *const bad[] = { "", "a b", "a\tb", "a\nb", "a\177",
        "a\200", "a,b", "*", "ex?mple", "!a", "|1|a", "@a", "#a", "[a", "a]" };
    static const char *const good[] = { "a", "~", "a.b-c_d", "::1%eth0" };
    static char name[300];
    sc_known_hosts known;
    size_t i;
    if (!folder_begin())
        return;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(hosts_judge(&known, "", 1) == SC_OK);
        known.host = bad[i];
        CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub)
              == SC_ERR_ARGUMENT && !known.is_new);
    }
    for (i = 0; i < sizeof good / sizeof *good; i++) {
        known.host = good[i];
        CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub)
              == SC_OK && known.is_new);
    }
    memset(name, 'n', 256);
    known.host = name;
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub)
          == SC_ERR_ARGUMENT);
    name[255] = '\0';
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub) == SC_OK);
    known.port = 65536;
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub)
          == SC_ERR_ARGUMENT);
    known.port = 65535;
    known.host = NULL;
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub)
          == SC_ERR_ARGUMENT);
    known.host = "a";
    known.path = NULL;
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub)
          == SC_ERR_ARGUMENT);
    folder_end();
}

/* Of a longer one, the end of the key is missing. */
static void test_hosts_file_lines_of_4096_bytes_are_read_whole(void)
{
    static char text[4097], key[1000];
    sc_known_hosts known;
    size_t len, key_len = line_make(key, "%K");
    if (!folder_begin())
        return;
    for (len = 4096; len <= 4097; len++) {
        memset(text, ' ', sizeof text);
        memcpy(text, "example.org", 11);
        memcpy(text + len - key_len, key, key_len);
        file_write("hosts", text, len);
        CHECK(hosts_judge(&known, NULL, 1)
              == (len == 4096 ? SC_OK : SC_ERR_HOST_LINE));
        CHECK(known.line == 1);
    }
    folder_end();
}

/* Of these, a comment is cut, and the key ends with the second last byte that
 * is read. */
static void test_hosts_file_lines_that_are_longer_lose_a_comment(void)
{
    static char text[4495], key[1000];
    sc_known_hosts known;
    sc_authorized_keys keys;
    size_t key_len = line_make(key, "%K");
    if (!folder_begin())
        return;
    memset(text, ' ', 4095);
    memset(text + 4095, 'c', sizeof text - 4095);
    memcpy(text + 4094 - key_len, key, key_len);
    file_write("keys", text, sizeof text);
    memset(&keys, 0, sizeof keys);
    keys.path = in_folder("keys");
    CHECK(sc_authorise_by_file(&keys, &test_key(2048)->pub) == SC_OK);
    memcpy(text, "example.org", 11);
    file_write("hosts", text, sizeof text);
    CHECK(hosts_judge(&known, NULL, 1) == SC_OK);
    CHECK(known.line == 1 && !known.is_new);
    folder_end();
}

static void test_hosts_file_missing_and_unreadable_are_different_answers(void)
{
    sc_known_hosts known;
    if (!folder_begin())
        return;
    CHECK(hosts_judge(&known, NULL, 0) == SC_ERR_HOST_UNKNOWN);
    CHECK(known.line == 0 && !known.is_new);
    CHECK(hosts_judge(&known, NULL, 1) == SC_OK && known.is_new);
    known.path = in_folder("new/hosts");        /* nor is its folder */
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub) == SC_OK);
    CHECK(test_make_folder(in_folder("hosts")) == 0);
    CHECK(hosts_judge(&known, NULL, 0) == SC_ERR_FILE);
    CHECK(!TEST_POSIX || errno == EISDIR);
    CHECK(hosts_judge(&known, NULL, 1) == SC_ERR_FILE && !known.is_new);
    CHECK(test_remove(in_folder("hosts")) == 0);
    if (!test_reads_anything()) {       /* as root does */
        file_write("hosts", "", 0);
        CHECK(test_chmod(in_folder("hosts"), 0) == 0);
        CHECK(hosts_judge(&known, NULL, 1) == SC_ERR_FILE);
    }
    folder_end();
}

/* A channel as it is when the host has proved that the key is its own. */
static void channel_of_host(sc_channel *ch, int is_ready)
{
    memset(ch, 0, sizeof *ch);
    ch->is_ready = (uint8_t)is_ready;
    ch->peer = test_key(2048)->pub;
}

static void test_hosts_remember_writes_a_line_only_when_it_should(void)
{
    static char text[5000];
    unsigned before = test_umask(0);
    sc_known_hosts known;
    sc_channel ch;
    if (!folder_begin())
        return;
    CHECK(hosts_judge(&known, NULL, 1) == SC_OK);
    known.path = in_folder("new/hosts");
    channel_of_host(&ch, 0);
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_STATE);
    CHECK(file_is_missing("new"));
    channel_of_host(&ch, 1);
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    (void)test_umask(before);
    CHECK(file_is("new", 0700) && file_is("new/hosts", 0600));
    CHECK(file_holds("new/hosts", text,
                     line_make(text, "[example.org]:4422 %K\n")));
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub) == SC_OK);
    CHECK(known.line == 1 && !known.is_new);
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    CHECK(file_holds("new/hosts", text, strlen(text)));
    CHECK(sc_judge_known_hosts(&known, &test_key(2056)->pub)
          == SC_ERR_HOST_CHANGED);
    CHECK(known.line == 1 && !known.is_new);
    CHECK(hosts_judge(&known, NULL, 1) == SC_OK);
    before = test_umask(0);             /* the folder is there, not the file */
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    (void)test_umask(before);
    CHECK(file_is("hosts", 0600));
    folder_end();
}

/* The longest name there may be: the line is whole, and found again. */
static void test_hosts_remember_writes_the_longest_line_whole(void)
{
    static char name[256], text[5000], want[5000];
    sc_known_hosts known;
    sc_channel ch;
    if (!folder_begin())
        return;
    memset(name, 'n', 255);
    channel_of_host(&ch, 1);
    ch.peer = test_key(4096)->pub;
    (void)hosts_judge(&known, "", 1);
    known.host = name;
    known.port = 65535;
    CHECK(sc_judge_known_hosts(&known, &ch.peer) == SC_OK && known.is_new);
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK && !known.is_new);
    (void)snprintf(text, sizeof text, "[%s]:65535 %%P\n", name);
    CHECK(file_holds("hosts", want, line_make(want, text)));
    CHECK(sc_judge_known_hosts(&known, &ch.peer) == SC_OK && known.line == 1);
    folder_end();
}

#if TEST_POSIX

/* Only the key that was judged, of a host, is written down. */
static void test_hosts_remember_writes_no_other_key(void)
{
    static char known_path[200];
    sc_known_hosts known;
    sc_channel ch;
    if (!folder_begin())
        return;
    CHECK(hosts_judge(&known, NULL, 1) == SC_OK && known.is_new);
    channel_of_host(&ch, 1);
    ch.peer = test_key(2056)->pub;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_STATE);
    channel_of_host(&ch, 1);
    ch.is_server = 1;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_STATE);
    CHECK(file_is_missing("hosts") && known.is_new);
    ch.is_server = 0;
    CHECK(symlink(in_folder("nowhere"), in_folder("link")) == 0);
    (void)strcpy(known_path, in_folder("link/hosts"));
    known.path = known_path;            /* a folder that cannot be made */
    errno = 0;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
    CHECK(errno == ENOENT && known.is_new);
    known.path = "";                    /* nor is there one to make */
    errno = 0;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
    CHECK(errno == ENOENT && known.is_new);
    if (!test_reads_anything()) {       /* the folder's error, not the file's */
        CHECK(chmod(test_folder, 0500) == 0);
        known.path = in_folder("new/hosts");
        CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
        CHECK(errno == EACCES && known.is_new);
        CHECK(chmod(test_folder, 0700) == 0);
    }
    folder_end();
}

/* Slashes, of which two are one, make a folder's name any length. */
static void test_hosts_remember_makes_folders_of_names_of_1023(void)
{
    static char path[1100];
    sc_known_hosts known;
    sc_channel ch;
    size_t len;
    if (pathconf("/", _PC_PATH_MAX) < (long)sizeof path) {
        test_skip("paths are shorter here");
        return;
    }
    if (!folder_begin())
        return;
    CHECK(hosts_judge(&known, NULL, 1) == SC_OK);
    channel_of_host(&ch, 1);
    known.path = path;
    for (len = 1025; len >= 1023; len--) {      /* with the last slash */
        (void)strcpy(path, in_folder("new"));
        memset(path + strlen(path), '/', len - strlen(path));
        (void)strcpy(path + len, "hosts");
        CHECK(sc_known_hosts_remember(&known, &ch)
              == (len > 1024 ? SC_ERR_FILE : SC_OK));
        CHECK(file_is_missing("new") == (len > 1024));
        (void)test_remove(in_folder("new/hosts"));
        (void)test_remove(in_folder("new"));
        known.is_new = 1;
    }
    folder_end();
}

/* A device takes bytes, or has no room for them, and cannot promise to keep
 * them; in a system's own folder nobody makes another.  What failed last is
 * what errno says. */
static void test_hosts_remember_cannot_use_a_device(void)
{
#if defined(__linux__)
    sc_known_hosts known;
    sc_channel ch;
    if (!folder_begin())
        return;
    channel_of_host(&ch, 1);
    CHECK(hosts_judge(&known, NULL, 1) == SC_OK);
    known.path = "/dev/null";           /* fsync */
    errno = 0;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
    CHECK(errno == EINVAL && known.is_new);
    known.path = "/dev/full";           /* write, and to take it back */
    errno = 0;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
    CHECK(errno == EINVAL && known.is_new);
    known.path = "/sys/new/hosts";      /* mkdir, not open */
    errno = 0;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
    CHECK((errno == EPERM || errno == EACCES || errno == EROFS)
          && known.is_new);
    folder_end();
#else
    test_skip("it is written for Linux");
#endif
}

#else

static void test_hosts_remember_cannot_use_a_device(void)
{
    test_skip("it is written for POSIX");
}

static void test_hosts_remember_writes_no_other_key(void)
{
    test_skip("it is written for POSIX");
}

static void test_hosts_remember_makes_folders_of_names_of_1023(void)
{
    test_skip("it is written for POSIX");
}

#endif

static void test_hosts_remember_begins_a_new_line(void)
{
    static const char *const before[] = { "", "# end", "# end\n", "other %O",
                                          "other %O\r\n" };
    static const char *const after[] = { "", "# end\n", "# end\n", "other %O\n",
                                         "other %O\r\n" };
    static const char *const host[] = { "example.org", "::1", "EXAMPLE.org" };
    static char text[5000], format[200];
    sc_known_hosts known;
    sc_channel ch;
    size_t i, k;
    if (!folder_begin())
        return;
    channel_of_host(&ch, 1);
    for (i = 0; i < sizeof before / sizeof *before; i++) {
        for (k = 0; k < 2; k++) {
            file_write("hosts", text, line_make(text, before[i]));
            CHECK(hosts_judge(&known, before[i], 1) == SC_OK && known.is_new);
            known.host = host[k];
            CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
            (void)snprintf(format, sizeof format, "%s[%s]:4422 %%K\n",
                           after[i], host[k]);
            CHECK(file_holds("hosts", text, line_make(text, format)));
        }
    }
    CHECK(hosts_judge(&known, "", 1) == SC_OK);
    known.host = host[2];               /* in capitals, asked for without */
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    CHECK(hosts_judge(&known, NULL, 0) == SC_OK && known.line == 1);
    known.path = in_folder("no/such/folder");
    known.is_new = 1;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
    folder_end();
}

typedef struct {
    size_t n, line[8];
} test_complaints;

static void complain(void *ctx, const char *path, size_t line, const char *why)
{
    test_complaints *c = (test_complaints *)ctx;
    CHECK(strcmp(path, in_folder("keys")) == 0);
    CHECK(strncmp(why, "not used: it has options, or", 28) == 0);
    if (c->n < 8)
        c->line[c->n] = line;
    c->n++;
}

static void test_hosts_authorized_keys_file_lets_in_and_complains(void)
{
    static const struct {
        const char *lines;
        int result;
        const char *complaints;         /* line numbers */
    } v[] = {
        { "", SC_ERR_NOT_AUTHORISED, "" },
        { "%O\n%P\n%E\n#\n\n", SC_ERR_NOT_AUTHORISED, "" },
        { "%K\n", SC_OK, "" },
        { "%K", SC_OK, "" },
        { "# comment %X%X\r\n\r\n%O\r\n%K me\r\n", SC_OK, "" },
        { "%K\n\n#\nno-pty %O\n", SC_OK, "" },
        { "no-pty %K\n", SC_ERR_NOT_AUTHORISED, "\1" },
        { "\nno-pty %K\nssh-rsa AAAA\n%O\n%0\n", SC_ERR_NOT_AUTHORISED,
          "\2\3\5" },
        { "no-pty %O\n\n%K\n", SC_OK, "\1" },
        { "%O %X\nssh-rsa %X\n%K", SC_OK, "\2" },
        { "no-pty %K", SC_ERR_NOT_AUTHORISED, "\1" },
    };
    sc_authorized_keys keys;
    test_complaints told;
    static char text[30000];
    size_t i, k;
    if (!folder_begin())
        return;
    keys.path = in_folder("keys");
    for (i = 0; i < sizeof v / sizeof *v; i++) {
        int result;
        memset(&told, 0, sizeof told);
        file_write("keys", text, line_make(text, v[i].lines));
        keys.path = in_folder("keys");
        keys.complain = complain;
        keys.complain_ctx = &told;
        result = sc_authorise_by_file(&keys, &test_key(2048)->pub);
        if (!CHECK(result == v[i].result
                   && told.n == strlen(v[i].complaints)))
            printf("    %s: %d, %lu complaints\n", v[i].lines, result,
                   (unsigned long)told.n);
        for (k = 0; k < told.n && k < strlen(v[i].complaints); k++)
            CHECK(told.line[k] == (size_t)v[i].complaints[k]);
        keys.complain = NULL;
        CHECK(sc_authorise_by_file(&keys, &test_key(2048)->pub) == result);
    }
    CHECK(remove(keys.path) == 0);
    CHECK(sc_authorise_by_file(&keys, &test_key(2048)->pub) == SC_ERR_FILE);
    CHECK(test_make_folder(keys.path) == 0);
    CHECK(sc_authorise_by_file(&keys, &test_key(2048)->pub) == SC_ERR_FILE);
    folder_end();
}

/* Every call that opens a file closes it, whatever it finds. */
static void test_hosts_and_keyfile_calls_leave_no_file_open(void)
{
    static char text[30000];
    sc_known_hosts known;
    sc_authorized_keys keys;
    sc_private_key key;
    sc_channel ch;
    int first = dup(0);
    if (!CHECK(first >= 0) || !folder_begin())
        return;
    (void)close(first);
    CHECK(hosts_judge(&known, "other %O\n# end", 1) == SC_OK);
    channel_of_host(&ch, 1);
    errno = ENOENT;                     /* of something long ago */
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    CHECK(sc_judge_known_hosts(&known, &test_key(2048)->pub) == SC_OK);
    CHECK(sc_key_save(test_key(2048), in_folder("key"), "") == SC_OK);
    CHECK(sc_key_save(test_key(2048), in_folder("key"), "") < 0);
    CHECK(sc_key_load(&key, in_folder("key")) == SC_OK);
#if TEST_POSIX
    CHECK(chmod(in_folder("key"), 0644) == 0);
    CHECK(sc_key_load(&key, in_folder("key")) == SC_ERR_FILE_MODE);
#endif
    file_write("keys", text, line_make(text, "%O\n%K"));
    keys.path = in_folder("keys");
    keys.complain = NULL;
    CHECK(sc_authorise_by_file(&keys, &test_key(2048)->pub) == SC_OK);
    CHECK(dup(0) == first);
    (void)close(first);
    folder_end();
}

#if TEST_POSIX

static void test_hosts_and_keyfile_calls_take_descriptor_0(void)
{
    static char text[30000];
    sc_known_hosts known;
    sc_authorized_keys keys;
    sc_private_key key;
    sc_channel ch;
    int in;
    if (!folder_begin())
        return;
    channel_of_host(&ch, 1);
    in = test_free_0();
    CHECK(sc_key_save(test_key(2048), in_folder("key"), "") == SC_OK);
    CHECK(sc_key_load(&key, in_folder("key")) == SC_OK);
    errno = 0;
    CHECK(hosts_judge(&known, "other %O\n", 1) == SC_OK && known.is_new);
    errno = ENOENT;                     /* of something long ago */
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    CHECK(file_holds("hosts", text,
                     line_make(text, "other %O\n[example.org]:4422 %K\n")));
    CHECK(sc_judge_known_hosts(&known, &ch.peer) == SC_OK && known.line == 2);
    CHECK(hosts_judge(&known, "", 1) == SC_OK);
    known.path = in_folder("new/hosts");
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    CHECK(file_holds("new/hosts", text,
                     line_make(text, "[example.org]:4422 %K\n")));
    file_write("keys", text, line_make(text, "%O\n%K"));
    keys.path = in_folder("keys");
    keys.complain = NULL;
    CHECK(sc_authorise_by_file(&keys, &ch.peer) == SC_OK);
    CHECK(close(0) != 0);               /* and every call has closed it */
    test_restore_0(in);
    folder_end();
}

/* An interrupted call is made again.  That another one was, long ago, does not
 * matter. */
static void test_hosts_and_keyfile_calls_mind_no_old_errno(void)
{
    static char text[5000];
    uint8_t bytes[300];
    sc_known_hosts known;
    sc_private_key key;
    sc_channel ch;
    if (!folder_begin())
        return;
    channel_of_host(&ch, 1);
    (void)test_key(2048);
    (void)hosts_judge(&known, "", 1);
    errno = EINTR;
    CHECK(sc_os_random(NULL, bytes, sizeof bytes) == SC_OK);
    errno = EINTR;
    CHECK(sc_key_save(test_key(2048), in_folder("key"), "") == SC_OK);
    errno = EINTR;
    CHECK(sc_key_load(&key, in_folder("key")) == SC_OK);
    CHECK(same_key(&key, test_key(2048)));
    errno = EINTR;
    CHECK(sc_judge_known_hosts(&known, &ch.peer) == SC_OK && known.is_new);
    errno = EINTR;
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_OK);
    CHECK(file_holds("hosts", text,
                     line_make(text, "[example.org]:4422 %K\n")));
    folder_end();
}

static void test_note_signal(int number)
{
    (void)number;
}

/* Writes a file, through a pipe, in pieces; the reader is interrupted. */
static void test_write_in_pieces(int unused)
{
    static char text[5000];
    size_t len = line_make(text, "# comment\n%O\n%K"), i, n;
    int fd = open(in_folder("keys"), O_WRONLY);
    (void)unused;
    for (i = 0; i < len; i += n) {
        n = len - i < 150 ? len - i : 150;
        test_sleep_ms(3);
        CHECK(kill(getppid(), SIGUSR1) == 0);
        test_sleep_ms(3);
        CHECK(test_write(fd, text + i, n) == (long)n);
    }
    test_close(fd);
}

static void test_hosts_files_may_come_in_pieces(void)
{
    struct sigaction handle, before;
    sc_authorized_keys keys;
    test_process pid;
    if (!folder_begin())
        return;
    memset(&handle, 0, sizeof handle);
    handle.sa_handler = test_note_signal;       /* and no SA_RESTART */
    sigemptyset(&handle.sa_mask);
    CHECK(sigaction(SIGUSR1, &handle, &before) == 0);
    (void)test_key(2048);
    (void)test_key(2056);
    keys.path = in_folder("keys");
    keys.complain = NULL;
    if (CHECK(mkfifo(keys.path, 0600) == 0)) {
        pid = test_spawn(test_write_in_pieces, NULL);
        CHECK(sc_authorise_by_file(&keys, &test_key(2048)->pub) == SC_OK);
        test_reap(pid);
    }
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
    folder_end();
}

/* The system opens no file more: a host that may be known is no new one, and
 * nothing is made. */
static void test_hosts_and_keyfile_calls_need_a_descriptor(void)
{
    sc_known_hosts known;
    sc_authorized_keys keys;
    sc_private_key key;
    sc_channel ch;
    int e[5], reason[5], i;
    if (!folder_begin())
        return;
    channel_of_host(&ch, 1);
    CHECK(hosts_judge(&known, "example.org %O\n", 1) == SC_ERR_HOST_CHANGED);
    keys.path = in_folder("hosts");
    keys.complain = NULL;
    test_limit(1, RLIM_INFINITY);
    e[0] = sc_judge_known_hosts(&known, &ch.peer);
    reason[0] = errno;
    CHECK(!known.is_new);
    known.path = in_folder("new/hosts");
    known.is_new = 1;
    e[1] = sc_known_hosts_remember(&known, &ch);
    reason[1] = errno;
    e[2] = sc_authorise_by_file(&keys, &ch.peer);
    reason[2] = errno;
    e[3] = sc_key_save(test_key(2048), in_folder("key"), "");
    reason[3] = errno;
    e[4] = sc_key_load(&key, in_folder("key"));
    reason[4] = errno;
    test_unlimit();
    for (i = 0; i < 5; i++)
        CHECK(e[i] == SC_ERR_FILE && reason[i] == EMFILE);
    CHECK(file_is_missing("new") && file_is_missing("key"));
    folder_end();
}

/* A disk that is full after so many bytes: what was there before is there
 * still, no line and no key is cut short, and the reason is in errno. */
static void test_hosts_and_keyfile_calls_leave_no_half_on_a_full_disk(void)
{
    static const char *const before[] = { "", "# end", "# end\n" };
    sc_known_hosts known;
    sc_channel ch;
    size_t i, room;
    int e;
    if (!folder_begin())
        return;
    channel_of_host(&ch, 1);
    for (i = 0; i < sizeof before / sizeof *before; i++) {
        for (room = strlen(before[i]); room < 100; room += room < 8 ? 1 : 50) {
            CHECK(hosts_judge(&known, before[i], 1) == SC_OK);
            test_limit(0, room);
            e = sc_known_hosts_remember(&known, &ch);
            test_unlimit();
            CHECK(e == SC_ERR_FILE && errno == EFBIG && known.is_new);
            CHECK(file_holds("hosts", before[i], strlen(before[i])));
        }
    }
    for (room = 0; room < 1600; room += 500) {
        test_limit(0, room);
        e = sc_key_save(test_key(2048), in_folder("key"), "");
        test_unlimit();
        CHECK(e == SC_ERR_FILE && errno == EFBIG);
        CHECK(file_is_missing("key") && file_is_missing("key.pub"));
    }
    folder_end();
}

/* The folder of a new file is made if its name is no longer than any path may
 * be; and no folder, if there is none in the path. */
static void test_hosts_remember_makes_the_folder_it_needs(void)
{
    static char path[2000];
    sc_known_hosts known;
    sc_channel ch;
    size_t len, longer;
    if (!folder_begin())
        return;
    channel_of_host(&ch, 1);
    for (longer = 0; longer < 2; longer++) {
        CHECK(hosts_judge(&known, NULL, 1) == SC_OK);
        len = strlen(test_folder);
        memcpy(path, test_folder, len);
        memset(path + len, '/', 1024 + longer - len);
        (void)strcpy(path + 1024 + longer - 4, "new/hosts");
        known.path = path;
        CHECK(sc_known_hosts_remember(&known, &ch)
              == (longer ? SC_ERR_FILE : SC_OK));
        CHECK(longer ? errno == ENOENT && file_is_missing("new")
                     : file_is("new", 0700) && file_is("new/hosts", 0600));
        (void)test_remove(in_folder("new/hosts"));
        (void)test_remove(in_folder("new"));
    }
    known.path = "";
    CHECK(sc_known_hosts_remember(&known, &ch) == SC_ERR_FILE);
    CHECK(errno == ENOENT);
    folder_end();
}

#else

static void test_hosts_and_keyfile_calls_take_descriptor_0(void)
{
    test_skip("it is written for POSIX");
}

static void test_hosts_and_keyfile_calls_mind_no_old_errno(void)
{
    test_skip("it is written for POSIX");
}

static void test_hosts_and_keyfile_calls_need_a_descriptor(void)
{
    test_skip("it is written for POSIX");
}

static void test_hosts_and_keyfile_calls_leave_no_half_on_a_full_disk(void)
{
    test_skip("it is written for POSIX");
}

static void test_hosts_remember_makes_the_folder_it_needs(void)
{
    test_skip("it is written for POSIX");
}

static void test_hosts_files_may_come_in_pieces(void)
{
    test_skip("it is written for POSIX");
}

#endif

#endif /* TEST_FILES */

#define TEST(name) {#name, test_##name}
static const test_case test_cases_a[] = {
    TEST(hash_sha256_fips_180_vectors),
    TEST(hash_sha256_every_length_and_every_split),
    TEST(hash_sha256_counts_beyond_2_to_the_32_bits),
    TEST(hash_hmac_rfc_4231_vectors),
    TEST(hash_hmac_is_its_definition_for_every_key_length),
    TEST(hash_hmac_wycheproof_vectors),
    TEST(hash_hkdf_rfc_5869_vectors),
    TEST(hash_hkdf_gives_every_length_and_not_a_byte_more),
    TEST(hash_hkdf_wycheproof_vectors),
    TEST(cipher_chacha20_rfc_8439_vectors),
    TEST(cipher_chacha20_is_its_definition_at_every_length),
    TEST(cipher_poly1305_rfc_8439_vectors),
    TEST(cipher_poly1305_is_its_definition_at_every_length),
    TEST(cipher_poly1305_carries_where_it_must),
    TEST(cipher_aead_rfc_8439_vectors),
    TEST(cipher_aead_is_its_definition_at_every_length),
    TEST(cipher_aead_refuses_every_altered_bit),
    TEST(cipher_aead_wycheproof_vectors),
    TEST(cipher_aead_fast_equals_portable),
    TEST(bn_masks_are_all_ones_or_all_zeros),
    TEST(bn_compare_and_select_see_every_bit),
    TEST(bn_decode_and_encode_keep_the_number),
    TEST(bn_add_sub_and_mul_agree_with_slow_numbers),
    TEST(bn_add_mod_and_sub_mod_agree_with_slow_numbers),
    TEST(bn_mod_agrees_with_slow_numbers),
    TEST(bn_residue_makes_a_multiple),
    TEST(bn_65537_remainder_and_inverse_are_right),
    TEST(bn_montgomery_agrees_with_slow_numbers),
    TEST(bn_powers_agree_with_square_and_multiply),
    TEST(bn_powers_of_numbers_of_ones_are_right),
    TEST(bn_powers_that_vanish_are_nought),
    TEST(bn_fast_powers_equal_the_portable_ones),
    TEST(bn_fast_powers_with_moduli_near_the_top),
    TEST(rsa_keygen_makes_keys_as_fips_186_5_asks),
    TEST(rsa_key_generate_uses_the_system_and_tells_progress),
    TEST(rsa_keygen_refuses_sizes_outside_2048_to_4096_by_8),
    TEST(rsa_keygen_ends_when_the_random_source_fails),
    TEST(rsa_keygen_tries_no_multiple_of_a_small_prime),
    TEST(rsa_keygen_gives_up_after_10_candidates_a_bit),
    TEST(rsa_keygen_takes_no_second_prime_close_to_the_first),
    TEST(rsa_keygen_asks_a_prime_to_pass_every_round),
    TEST(rsa_keygen_tries_the_key_before_it_gives_it),
    TEST(rsa_key_check_finds_a_bit_wrong_in_any_number),
    TEST(rsa_key_check_refuses_factors_it_would_not_make),
    TEST(rsa_key_check_names_a_size_it_does_not_take),
    TEST(rsa_public_check_knows_a_usable_modulus),
    TEST(rsa_public_equal_sees_every_byte_and_the_length),
    TEST(rsa_public_and_private_operation_are_each_others_inverse),
    TEST(rsa_private_refuses_what_is_not_below_the_modulus),
    TEST(rsa_private_takes_the_primes_in_either_order),
    TEST(rsa_private_gives_nothing_away_after_a_fault),
    TEST(rsa_operations_end_when_the_random_source_fails),
    TEST(rsa_oaep_opens_published_ciphertexts),
    TEST(rsa_oaep_wycheproof_vectors),
    TEST(rsa_oaep_goes_both_ways_with_every_label_and_length),
    TEST(rsa_oaep_block_is_rfc_8017_s_for_every_size),
    TEST(rsa_oaep_takes_a_fresh_seed_each_time),
    TEST(rsa_oaep_refuses_every_malformed_block),
    TEST(rsa_oaep_refuses_the_malformed_session_vectors),
    TEST(keyfile_base64_is_rfc_4648_s),
    TEST(keyfile_reads_what_openssl_and_ssh_keygen_wrote),
    TEST(keyfile_reads_any_line_ends_and_text_around_the_key),
    TEST(keyfile_names_what_it_cannot_use),
    TEST(keyfile_writes_pkcs1_and_reads_it_back),
    TEST(keyfile_of_any_length_is_written_well),
    TEST(keyfile_numbers_with_zeros_in_front_are_written_short),
    TEST(keyfile_writes_only_into_room_enough),
    TEST(keyfile_refuses_a_wrong_number_in_any_place),
    TEST(keyfile_refuses_other_sizes_and_exponents),
    TEST(keyfile_refuses_der_that_is_not_der),
    TEST(keyfile_refuses_openssh_files_that_contradict_themselves),
    TEST(keyfile_refuses_pkcs8_that_is_not_quite),
    TEST(keyfile_refuses_contents_that_end_early),
    TEST(keyfile_says_what_is_wrong_first),
    TEST(keyfile_takes_a_number_of_one_byte),
    TEST(keyfile_refuses_a_file_cut_at_any_byte),
    TEST(keyfile_with_any_byte_altered_is_refused_or_the_same),
    TEST(keyfile_public_line_is_ssh_keygen_s),
    TEST(keyfile_public_line_is_written_only_into_room_enough),
    TEST(keyfile_writes_no_key_that_could_not_be_read_back),
    TEST(keyfile_refuses_every_bad_public_line),
    TEST(keyfile_fingerprint_and_picture_are_ssh_keygen_s),
#ifdef TEST_FILES
    TEST(keyfile_save_makes_a_private_file_and_its_public_line),
    TEST(keyfile_save_writes_the_longest_public_line_whole),
    TEST(keyfile_save_overwrites_nothing),
    TEST(keyfile_load_takes_files_of_6143_bytes),
    TEST(keyfile_save_takes_no_path_too_long_for_its_public_half),
    TEST(keyfile_load_refuses_a_file_others_can_touch),
    TEST(keyfile_load_tells_its_failures_apart),
    TEST(hosts_line_means_what_it_says),
    TEST(hosts_line_compares_names_and_ports),
    TEST(hosts_line_cut_at_any_byte_accepts_nothing),
    TEST(hosts_authorized_keys_line_means_what_it_says),
    TEST(hosts_file_decides_by_the_line_it_names),
    TEST(hosts_judge_refuses_what_no_line_can_hold),
    TEST(hosts_file_lines_of_4096_bytes_are_read_whole),
    TEST(hosts_file_lines_that_are_longer_lose_a_comment),
    TEST(hosts_file_missing_and_unreadable_are_different_answers),
    TEST(hosts_remember_writes_a_line_only_when_it_should),
    TEST(hosts_remember_writes_the_longest_line_whole),
    TEST(hosts_remember_writes_no_other_key),
    TEST(hosts_remember_cannot_use_a_device),
    TEST(hosts_remember_makes_folders_of_names_of_1023),
    TEST(hosts_remember_begins_a_new_line),
    TEST(hosts_authorized_keys_file_lets_in_and_complains),
    TEST(hosts_and_keyfile_calls_leave_no_file_open),
    TEST(hosts_and_keyfile_calls_take_descriptor_0),
    TEST(hosts_and_keyfile_calls_mind_no_old_errno),
    TEST(hosts_and_keyfile_calls_need_a_descriptor),
    TEST(hosts_and_keyfile_calls_leave_no_half_on_a_full_disk),
    TEST(hosts_remember_makes_the_folder_it_needs),
    TEST(hosts_files_may_come_in_pieces),
#endif
};

/* ---- 7. handshake -------------------------------------------------------- */

/* The keys of tests/session.txt.  They are PUBLISHED: never use one. */
static const char test_pem_host[] =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEogIBAAKCAQEAtdIZJhtdvGxPkrfKeWTmpld0KgxyMxGAopMDbhDkcnWD+Ni7\n"
    "rk42si3odz0a++sDl6ZDxtAunruqTztMYL1Q4/RB2W0kDZZNDsMZHLJgFeF4aMyE\n"
    "qfX2h2uV7M2FuGoxtAIwhCZjD1tIvsBJd2eDB4WyYJ45UgQNLLwkTJEawQS3RxZD\n"
    "3Y7amFjpojD0uIj3RiP5friWZazl4V6BYzTTmoU80LeXwc+Ri78F7uTF/RLrjQgm\n"
    "BISdCHuOKA4QvzOdIuVw298Nk0H882kMVbCsp/yLWYpqr+ht7S0Kw+7rd7qeVyzT\n"
    "n/gtP8TD7gYokpnpRYrmmw0OO8+ltijI3N2/HwIDAQABAoIBAB1ELUIiA4uRz5kp\n"
    "NlEl+a5qw0sFZ9hqh88jZNjxpSP7YHvMvyEGe+1gUFvpHQ/Ru2lMnPpChk6MnJRW\n"
    "Uiv8LSoUJglOdRAu0kZ/BurEl4zOFyifSvdknQMdQSu1xUFy7n8wHwkWeLl/Ew2J\n"
    "PAoZQlESpyzAKy/VcR1zR1B/xtOsnUjn9GXZowDlDdmVx8zeDsLFLhqdezX7Yd+S\n"
    "VuiMHoUFnvxwcM86IrxGYkecxX9qg62a3hEv4yd/nuaGVFrbhv7I7vXvF2P603kj\n"
    "fF+ulAu8oy7Rpa2gSgJaCT5dRHHeRt3HMFPqAXqxWseFylOjypPw9BEWTnSmHy+K\n"
    "Da9GTrkCgYEA/buATBiAqBPj04k3OnGMAEGVQJ5jkkCZhVpOG1Ox5JMhKIBQEZX7\n"
    "8nnw3JoB3wGfFneqoTqgVTLowKGI2lxyuwtvjNDMg/RUmeQlJ5FasJIX+62rHOXV\n"
    "nxsh7910bHrvZ5j5iyyoZldiTgeiISR6yzdH/PmDoTj9IkaUt9Mi5f0CgYEAt3IT\n"
    "G+i6Z43AINUn/y6N0+5OMokG5xXMAl652TB3YXKaK/92FCUz8Nd8tKDXzyvLHvnI\n"
    "sV35bwqgy6125b1Y/ygiV+BPu5xNFni7z+q6ghWJV0Mc2+T2fw+up6rjjjlr2SQf\n"
    "kzd70DWoMciTgBQohypmJi2NarTosreyOdL1NksCgYB+jfb//XiuXL1V1Srmy5u4\n"
    "xP1craOcXvwzt0cd+jDQgVIYkWdeXiC8YHXykh48zOI8opNIt6Ug2bOd4PQRdesD\n"
    "wEBzS/G2HzfTSif+BFHnn/a2YXjngPt70Fys9xgKw4aFdZeCA1Q7N3qg0M3dGgTl\n"
    "Nz2AwDMXRwV7AxlKVtUhQQKBgH/7K+26reF0+WdujprvRa9ngFKtWo15nXzBzXMC\n"
    "5yarJ3gun5hqZBRQogX6eNVmPi18IlHruAuKJKg0etDJCv/oZh1ctwOyhe15ib4C\n"
    "iuAaWljwz39x+66lqDn9dQhSczVoiEbS3KRj6tXgk1c1uRijseRMv26EjBuzILpK\n"
    "vRyFAoGAWNmsZcfk2KkG6DShkc1QQ+TzoLAJN0lU9YObbNiieFIic92Z6krCfFNI\n"
    "Ew4/lEANIM2RWP0kFT13UPUy9heQpCb4IRHqa4m8fsMGVk6n7a9QJSPBU5ByXOB/\n"
    "ZLU2RVHXhQg4mYIyzM0lnzBM9mgQRcQf3tWJ8PSwThSKo5TkoBg=\n"
    "-----END RSA PRIVATE KEY-----\n";
static const char test_pem_short[] =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEowIBAAKCAQEAu8KkHer0s/dwhhcSrODH6ietAXzt5zqfVBKP0LGiPZ/Cp4D4\n"
    "wQF/NWmA+GuNasSRn+9ohJwz0CcIvaDKXBumhiKPpJzfORkN5kWkrRG9LSsk4O0i\n"
    "t3kT80B3hNYC6tL30TD2WFaRyvI39NSI8jDNHc+K0BbpqlEZ5VINbCVJLChn1VbY\n"
    "4eGMRynz1O/YTKMUAfHySlKtY/DXeArBB6IpglXjBVpOCZOt0TsN7ci9/pGjAKQi\n"
    "WWHH4edQ3v2pqSGzEI5w5jC8Gq9XClmzqvlBLZIILo7DW0L6Hn4blR9yhdGH5LbF\n"
    "+2R2eZJS0msP7bBPMjrdzu9QuXgn5Vz8M9cqkwIDAQABAoIBAAWEVkQsHN0+M7KM\n"
    "8lcyvPe2thD+yxK/Qzfk2mWcbT2i+G+UN5BG61D2H6cCVK5tcNtNMo9Vnk7LHCj4\n"
    "6i6YqrpIQQY/jG47ZpAnPbZ5eKCKIv7vmNSL8eJ043jQvQHfXw6+LI7d7vy9RJhP\n"
    "YmgTYljc5KGb+r5ZZwm48SdbVRy/VO5k68VIB7hUENLIYSReYvoZFn9b0T3gRlv0\n"
    "QwEz/HoaqrIDCxjnV1fxnSWSuCE3QszDc8i1vCbB7oA8bIfBDT3OSKMpZKxaoEnY\n"
    "a8PlktFRSFEbs0gkg++2qoGprkef3oSo2twhTe/EXAdB7TvY9vqAzOOJY/Pm/8Zx\n"
    "+/ubB4ECgYEA7UvvTDs1sXvu08demD/KmAd7JKJYq4dc+F7F2z028j2rcw1i8ZQ4\n"
    "Q1Fe+oXpRgAHyP8Wb4WWJrMLWm+MKGkqn6fjfgOpRoN4Fm5Ue7fsT8teX0omzpB0\n"
    "PasYDX1nLkzxWL8abSAkVZHdpdxVHjsAOyqIebJBSck2ybgiVE8lJtMCgYEAyo8v\n"
    "VnkOAlzUbidgEnDKkXNMfkZ9Lzw5+NvbQmOGEXTne+MsbzXMHfnnt9+JoNwwEe05\n"
    "bgftjEpHQYZRt/90qUvtUOdPmgzUK5Ye+OSl3OzYjh5/vsAcUZ/akhqH7YxjHK+7\n"
    "KibfQAD4MUnYMbeJMahzrfAm2YW7UU+aq8JDFUECgYBAP1769M0E0NlI3aHu9taT\n"
    "cvMUaCA50NyLIp3PTjOiQrA45lbzsX3KPC3LBpayLS/ua6JXb4PH1pIsWidIibDQ\n"
    "qVQeuj8KqG3LJPQayyFgOV/DzP/UzaerSreob1uQXaS6soMlKJ6tzGCGl7E0DiVx\n"
    "34Iz8N9cau46j3A8A3G7oQKBgQCJW0k1cUdfsMVYoRjTyGqE8VOouXIASu3g5G2t\n"
    "ekGaqtSiPO2PyEJO/Xz1Qf9Y9pceQOhVxch+/ouNUmEtzWu1tcgKuaBQDWz+1YDR\n"
    "NHOI+Y7r6KCloC5T53tW4ejU3AMFm+Dmd4+iHkYvXizdoeDFrL4s8BHYJYhdXga7\n"
    "fDLzQQKBgGWUnvNALfNDhCLfYvvIxXHnuTYlAO4A2zJyivahqcWAUmDjoiD5zVDZ\n"
    "zXfr5jTUWtv7YUMieIAcuxSvevchrPewq71c56heDYrzmVV3QdQC75sRxc6dV4BF\n"
    "J8U6HykbY5/Y4r3oIEWhIiXvvspV/G8+Py0fXC9l3YlXSi3sbp7Z\n"
    "-----END RSA PRIVATE KEY-----\n";
static const char test_pem_client[] =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEowIBAAKCAQEAkAtYRUAA2GycLMWJEN3SMI1skYS8/0mRKyfNLcbbF2JN1HjR\n"
    "0dpGujHh1nxC99OyaspH8qGuSeLHzm91e54quNESy04z5ZnrjS5WNsPBQ0dideJw\n"
    "mlR4nkWlC8Uihm84KawRDLBt1H/ZNhrjJAAqlS80dPf9dwazMEq7dnd9E0r6AKlU\n"
    "fFbuoNbbXVUK1Vk0SjAlrfL7qeB9RSKdIGtddEQahcuD52uGwjPfX1rHLwkInrHS\n"
    "vCUG2ElC9Xb7mR2n3/x5rRS/RT8OKhoztqvMZSn41f36gasHV6wffWJSwtxJktaN\n"
    "PFMVonXhW3jJZzYkOp4umaxakroHU5Yud512tQIDAQABAoIBABkXPM49Pph0XMTo\n"
    "uL4tIXCPJe74I/LFBgoyIemcJqw9VajRzdyjzKegykGx/flM0RqMdzlio+kfXWYO\n"
    "YLTCgZcVZhRvYBdZtx/txxs9gIPfYp19rtcXKTaKk5wIAAJSS8JohETFU7BM/9FO\n"
    "oCu0crZvVVAdpXNPAbYDAoH5gNoz9Y9yF9gZpglnMAuDPK215CPQgFE40dTdvv/I\n"
    "CF8iAN98YeJzStIdQAZzEzSrQ/JbjMaeEr8eGkFQFJG3EHpniu/qBZ1zpgthQxTK\n"
    "4pNvD0LssL0ByW4mITqQfrT5avJr0caHwwANZ/lw8MChmFYY0rIGqMEPU6mmaWcL\n"
    "gzseCcECgYEAwNGSk4kYdA0UJjB6l+7uzW6IJujRcg4lCdB8IT6c9nElb6TX5QEb\n"
    "45j8ULD6JQi+lrkrVOhhEbCH/GYQnboBa2GXi1FQcYAfUrFuEdFDcegJySsr1v+1\n"
    "wNTqOwrUkEhoTUIOQbYImTBoMUSPdA7LpsgNwneTxFyGhOl0uVDUk0ECgYEAvz5h\n"
    "IDgYVg6BWFvMtvkJxP/1mxASo/K3udBhNYwlG/BIVKtAKbPHroPOit54CA1mIaIY\n"
    "pokqe5LWu8lh+m2IMc8hoH5I0GsYzcZR/Hj8C/qIrZ0eVz5yIVeiaC9MQ17byYmC\n"
    "+Pnjnw57aOkSftgslC3FyykV1D7vI7muJCptqnUCgYA+JAxqEdfYptJkkGEiD/XU\n"
    "LRgh+gxuBpL3O8KVcDljzwkyltyhSB811XsTgkXLo6rQpnKJla6a5dqdhEM8odKN\n"
    "SdFuK9GSEqmFm/sOMPPchNyKgahKTPTFZZjrWE0zBrLemzg/Ayx4OjqKDj9xNsd5\n"
    "Q6Xzk1gDA5KyyQ4+HwezQQKBgQCF0vzcMuS0s4nHbtWd5D7137baPzEMELiICk07\n"
    "z0nYdxfmR7+qbud4MzvA6VRNLjMdrfRZ9PoJZwNkfNNXDnaThEIfsL77OTYuKG0O\n"
    "owqcx0AFXUDyA/yRYGWBSjevnR1nthY0a4jgsJ2jGBWdNWBcgHs8Yw+najKlaTV2\n"
    "kUoUUQKBgFE9IXs1R7pE+PwKtmCLvpqX4X88aMXDY/eetSEsYNOWjLBEB6LGYQA0\n"
    "q0dzvcyf/sCkOpEt7JKYIpOjdFxiY+YOpIaWcb0anaiUGLcCsxe2NAWtUawWp6fO\n"
    "zQrQ2ow+d27f/vS4CIpmNo05RoPeoWzjTKdt2hi18sxT+6bAOAff\n"
    "-----END RSA PRIVATE KEY-----\n";

/* Sessions here draw the random values of the published ones, so that all of
 * their bytes are known: a draw of 32 bytes is the next of names, SHA-256 of
 * "secchan/1 vectors SESSION NAME"; a draw of any other length is blinding. */
typedef struct {
    const char *session;
    const char *const *names;
    test_random blinding;
} test_source;

static const char *const test_names[2][5] = {
    {"s1", "C1_seed", "s2", "C2_seed", NULL},
    {"server_random", "s3", "Q_seed", NULL, NULL}
};

static void test_value(uint8_t out[32], const char *session, const char *name)
{
    static const char prefix[] = "secchan/1 vectors ";
    sc_sha256 s;
    sc_sha256_init(&s);
    sc_sha256_add(&s, prefix, sizeof prefix - 1);
    sc_sha256_add(&s, session, strlen(session));
    sc_sha256_add(&s, " ", 1);
    sc_sha256_add(&s, name, strlen(name));
    sc_sha256_end(&s, out);
}

static int test_source_bytes(void *ctx, uint8_t *out, size_t len)
{
    test_source *s = (test_source *)ctx;
    if (len != 32 || *s->names == NULL || s->blinding.fail_after == 0)
        return test_random_bytes(&s->blinding, out, len);
    if (s->blinding.fail_after > 0)
        s->blinding.fail_after--;
    test_value(out, s->session, *s->names++);
    return SC_OK;
}

/* One end of a conversation, and what came of the last frame it was told. */
typedef struct {
    sc_channel ch;
    test_source source;
    sc_event event;
    size_t said_len;
    uint8_t said[SC_REPLY_MAX], frame[SC_FRAME_MAX];
} test_end;

/* Two ends.  Frame M[i] is told to end[i % 2]; M[at] is the next. */
enum { TEST_CLIENT = 0, TEST_SERVER = 1 };
typedef struct {
    const char *session;                /* "anonymous" or "keyed" */
    sc_client_options client_options;
    sc_server_options server_options;
    char pin[SC_FINGERPRINT_MAX];
    const sc_private_key *short_key;
    sc_server server;
    test_end end[2];
    int at;
    uint8_t m[7][SC_REPLY_MAX];
    size_t m_len[7];
    int judge_result, n_judged;         /* of both sides' judge_fn */
} test_pair;

static sc_private_key test_host, test_short, test_client;
static test_pair test_now;              /* the one in use, nearly always */

static int test_judge(void *ctx, const sc_public_key *key)
{
    test_pair *p = (test_pair *)ctx;
    p->n_judged++;
    return sc_public_check(key) == SC_OK ? p->judge_result : SC_ERR_INTERNAL;
}

static int test_is_zero(const void *bytes, size_t len)
{
    const uint8_t *b = (const uint8_t *)bytes;
    while (len > 0 && b[len - 1] == 0)
        len--;
    return len == 0;
}

/* The usual wishes: a pinned host, a judge who lets every client in. */
static test_pair *test_pair_init(int keyed)
{
    test_pair *p = &test_now;
    if (test_host.pub.n_len == 0) {
        CHECK(sc_key_read_pem(&test_host, test_pem_host,
                              sizeof test_pem_host - 1) == SC_OK);
        CHECK(sc_key_read_pem(&test_short, test_pem_short,
                              sizeof test_pem_short - 1) == SC_OK);
        CHECK(sc_key_read_pem(&test_client, test_pem_client,
                              sizeof test_pem_client - 1) == SC_OK);
    }
    memset(p, 0, sizeof *p);
    p->session = keyed ? "keyed" : "anonymous";
    sc_fingerprint(&test_host.pub, p->pin);
    p->client_options.pin = p->pin;
    p->client_options.identity = keyed ? &test_client : NULL;
    p->server_options.host_key = &test_host;
    p->server_options.authorise = test_judge;
    p->server_options.authorise_ctx = p;
    p->short_key = &test_short;
    return p;
}

static void test_end_source(test_end *e, const char *session, int side)
{
    e->source.session = session;
    e->source.names = test_names[side];
    test_random_init(&e->source.blinding, session);
    e->ch.random = test_source_bytes;
    e->ch.random_ctx = &e->source;
}

/* Both ends begin; M1 is made. */
static int test_pair_start(test_pair *p)
{
    int r;
    for (r = 0; r < 2; r++)             /* what was there does not matter */
        memset(&p->end[r].ch, 0xaa, sizeof p->end[r].ch);
    memset(&p->server, 0xaa, sizeof p->server);
    r = sc_server_init_with(&p->server, &p->server_options, p->short_key, 1000);
    p->at = 1;
    if (r == SC_OK)
        r = sc_server_accept(&p->end[TEST_SERVER].ch, &p->server);
    if (r == SC_OK)
        r = sc_client_init(&p->end[TEST_CLIENT].ch, &p->client_options,
                           p->m[1], &p->m_len[1]);
    test_end_source(&p->end[TEST_CLIENT], p->session, TEST_CLIENT);
    test_end_source(&p->end[TEST_SERVER], p->session, TEST_SERVER);
    return r;
}

/* test_tell: bytes arrive at e, and after them the transport ends if they stop
 * inside a frame. */
static int test_tell(test_end *e, const uint8_t *bytes, size_t len)
{
    size_t frame_len = 0;
    int r;
    memset(&e->event, 0, sizeof e->event);
    e->said_len = 0;
    if (len < SC_HEADER_LEN)
        return sc_eof(&e->ch);
    r = sc_frame_len(&e->ch, bytes, &frame_len);
    if (r != SC_OK)
        return r;
    if (frame_len > len)
        return sc_eof(&e->ch);
    memcpy(e->frame, bytes, frame_len);
    r = sc_input(&e->ch, e->frame, frame_len, &e->event, e->said,
                 &e->said_len);
    if (r == SC_OK && frame_len < len)
        return test_tell(e, bytes + frame_len, len - frame_len);
    return r;
}

/* test_pair_run: tell frames, until M[at] is made or one is not taken. */
static int test_pair_run(test_pair *p, int at)
{
    int r = SC_OK;
    while (r == SC_OK && p->at < at) {
        test_end *e = &p->end[p->at % 2];
        r = test_tell(e, p->m[p->at], p->m_len[p->at]);
        p->at++;
        p->m_len[p->at] = e->said_len;
        memcpy(p->m[p->at], e->said, e->said_len);
    }
    return r;
}

static int test_last(int keyed)         /* at, when all is told */
{
    return keyed ? 6 : 5;
}

/* test_pair_at: the usual session when M[at] has just been made.  Each is made
 * once and remembered. */
static test_pair *test_pair_at(int keyed, int at)
{
    static test_pair saved[2][7];
    test_pair *p = &test_now;
    if (saved[keyed][at].at == 0) {
        if (at == 1)
            CHECK(test_pair_start(test_pair_init(keyed)) == SC_OK);
        else
            CHECK(test_pair_run(test_pair_at(keyed, at - 1), at) == SC_OK);
        saved[keyed][at] = *p;
    }
    *p = saved[keyed][at];
    return p;
}

static test_pair *test_pair_ready(int keyed)
{
    return test_pair_at(keyed, test_last(keyed));
}

/* test_reason: the CLOSE that an end owes, as the other reads it; -1: none. */
static int test_reason(test_pair *p, int side)
{
    static const int reads[4] = {
        SC_OK, SC_ERR_REFUSED, SC_ERR_PEER_PROTOCOL, SC_ERR_PEER_INTERNAL
    };
    uint8_t out[SC_CLOSE_LEN];
    size_t len = sizeof out + 1;
    int i, r;
    (void)sc_shut(&p->end[side].ch, out, &len);
    if (len == 0)
        return -1;
    r = len == sizeof out ? test_tell(&p->end[!side], out, len) : SC_MORE;
    for (i = 0; i < 4; i++) {
        if (r == reads[i])
            return i > 0 || p->end[!side].event.kind == SC_EVENT_CLOSED
                   ? i : 9;
    }
    return 9;
}

/* test_ended_silently: the end is over with this error, and sent nothing. */
static int test_ended_silently(test_pair *p, int side, int error)
{
    test_end *e = &p->end[side];
    uint8_t out[SC_FRAME_MAX];
    size_t len = 0;
    return e->said_len == 0 && e->event.data_len == 0 && !sc_ready(&e->ch)
        && test_reason(p, side) == -1
        && sc_seal(&e->ch, 0, (const uint8_t *)"x", 1, out, &len) == error
        && len == 0
        && sc_eof(&e->ch) == error;
}

/* ---- the published sessions ---- */

static char test_text[65536];           /* the vector file */

/* test_vectors_load: from $SC_VECTORS, tests or ../shared/vectors. */
static int test_vectors_load(const char *file)
{
    const char *folders[3] = {NULL, "tests", "../shared/vectors"};
    int i;
    folders[0] = getenv("SC_VECTORS");
    for (i = 0; i < 3; i++) {
        char path[512];
        FILE *f;
        size_t n;
        if (folders[i] == NULL || strlen(folders[i]) > 400)
            continue;
        snprintf(path, sizeof path, "%s/%s", folders[i], file);
        f = fopen(path, "rb");
        if (f == NULL)
            continue;
        n = fread(test_text, 1, sizeof test_text - 1, f);
        test_text[n] = '\0';
        return CHECK(fclose(f) == 0 && n > 0 && n < sizeof test_text - 1);
    }
    test_text[0] = '\0';
    test_skip(file);
    return 0;
}

/* test_vector: the hex after "SESSION.NAME = ", or NULL. */
static const char *test_vector(const char *session, const char *name)
{
    char line[80];
    const char *at;
    snprintf(line, sizeof line, "\n%s.%s =", session, name);
    at = strstr(test_text, line);
    return at == NULL ? NULL : at + strlen(line);
}

static size_t test_vector_bytes(uint8_t *out, size_t out_max, const char *key,
                                const char *name)
{
    const char *hex = test_vector(key, name);
    return CHECK(hex != NULL) ? test_unhex(out, out_max, hex) : 0;
}

static void test_vector_key(sc_private_key *k, const char *name)
{
    memset(k, 0, sizeof *k);
    k->pub.n_len = test_vector_bytes(k->pub.n, sizeof k->pub.n, name, "n");
    test_vector_bytes(k->p, sizeof k->p, name, "p");
    test_vector_bytes(k->q, sizeof k->q, name, "q");
    test_vector_bytes(k->dp, sizeof k->dp, name, "dp");
    test_vector_bytes(k->dq, sizeof k->dq, name, "dq");
    test_vector_bytes(k->qinv, sizeof k->qinv, name, "qinv");
    CHECK(sc_key_check(k) == SC_OK);
}

/* test_said: what one side said goes into its digest, and is what the file
 * holds under this name, if there is one. */
static void test_said(test_pair *p, sc_sha256 *digest, const char *side,
                      const char *name, const uint8_t *bytes, size_t len)
{
    char full[40];
    const char *hex;
    snprintf(full, sizeof full, "%s%s", side, name);
    hex = test_vector(p->session, full);
    sc_sha256_add(digest, bytes, len);
    if (test_text[0] != '\0' && len > 0 && CHECK(hex != NULL))
        CHECK_HEX(bytes, len, hex);
}

static const char *const test_side[2] = {"client.", "server."};

/* One record of the vectors, said and heard. */
static void test_play_record(test_pair *p, int side, sc_sha256 *digest,
                             const char *name, int more, const void *plain,
                             size_t plain_len)
{
    test_end *other = &p->end[!side];
    uint8_t out[512];
    size_t len = 0;
    CHECK(sc_seal(&p->end[side].ch, more, (const uint8_t *)plain, plain_len,
                  out, &len) == SC_OK);
    test_said(p, digest, test_side[side], name, out, len);
    CHECK(test_tell(other, out, len) == SC_OK);
    CHECK(other->event.kind == (more ? SC_EVENT_PART : SC_EVENT_MESSAGE)
          && other->event.data_len == plain_len
          && memcmp(other->event.data, plain, plain_len) == 0);
}

/* Records 0 to 6 of the vectors, from one side; the last is its CLOSE. */
static void test_play_records(test_pair *p, int side, sc_sha256 *digest)
{
    static const char *const hello[2] = {
        "short, from the client", "short, from the server"
    };
    static const char tail[] = "and a few more bytes, so that three ChaCha20 "
                               "blocks are not enough";
    uint8_t bytes[256 + sizeof tail - 1], out[SC_CLOSE_LEN];
    size_t i, len = 0;
    for (i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    memcpy(bytes + 256, tail, sizeof tail - 1);
    test_play_record(p, side, digest, "record.0", 0, hello[side], 22);
    test_play_record(p, side, digest, "record.1", 0, "", 0);
    test_play_record(p, side, digest, "record.2", 0, bytes, sizeof bytes);
    test_play_record(p, side, digest, "record.3", 1, "frag", 4);
    test_play_record(p, side, digest, "record.4", 1, "m", 1);
    test_play_record(p, side, digest, "record.5", 0, "ented", 5);
    CHECK(sc_shut(&p->end[side].ch, out, &len) == SC_OK);
    test_said(p, digest, test_side[side], "record.6", out, len);
    CHECK(test_tell(&p->end[!side], out, len) == SC_OK
          && p->end[!side].event.kind == SC_EVENT_CLOSED);
}

/* The last record under the first key, the key after it, and the next one. */
static void test_play_rekey(test_pair *p, int side, sc_sha256 *digest)
{
    sc_direction *out = &p->end[side].ch.sending;
    sc_direction *in = &p->end[!side].ch.receiving;
    sc_sha256 unused;
    uint8_t record[SC_CLOSE_LEN];
    size_t len;
    sc_sha256_init(&unused);
    out->counter = in->counter = 65535;
    test_play_record(p, side, digest, "record.65535", 0,
                     "the last under this key", 23);
    test_said(p, &unused, test_side[side], "key_after_rekey", out->key, 32);
    test_play_record(p, side, digest, "rekeyed.record.0", 0,
                     "after the rekey", 15);
    out->counter = 65535;
    CHECK(sc_seal(&p->end[side].ch, 0, out->key, 1, record, &len) == SC_OK);
    test_said(p, digest, test_side[side], "key_after_second_rekey", out->key,
              32);
}

/* A whole published session, from both ends; said: digests over what each
 * said and its key after the second rekey. */
static void test_play(test_pair *p, uint8_t said[2][32])
{
    sc_sha256 digest[2];
    test_pair ready;
    int i;
    sc_sha256_init(&digest[0]);
    sc_sha256_init(&digest[1]);
    CHECK(test_pair_start(p) == SC_OK);
    CHECK(test_pair_run(p, test_last(p->client_options.identity != NULL))
          == SC_OK);
    for (i = 1; i <= 5; i++) {
        char name[3] = {'M', (char)('0' + i), '\0'};
        test_said(p, &digest[!(i % 2)], "", name, p->m[i], p->m_len[i]);
    }
    ready = *p;
    for (i = 0; i < 2; i++)
        test_play_records(p, i, &digest[i]);
    CHECK(sc_eof(&p->end[0].ch) == SC_CLOSED);
    CHECK(sc_eof(&p->end[1].ch) == SC_CLOSED);
    *p = ready;
    for (i = 0; i < 2; i++) {
        test_play_rekey(p, i, &digest[i]);
        sc_sha256_end(&digest[i], said[i]);
    }
}

static void test_handshake_says_the_published_bytes(void)
{
    static const char *const want[2][3] = {
        {"ddb385e45f2e806b371e06a0ff55230774126f8bf033e953c71b201238495f3b",
         "fb49223541604f8a53f12f8c4da17aaccd94df0dededf68079a3ec5bba721eab",
         "0fd142292ec58982536a4763ac99c39c057d66e1a0e9c0874775d3b4b16991b3"},
        {"c4375244b57b102ea6d5754a7d3e401d49944c9d32475b4312b32bc14f0ee92a",
         "3c514e3fd65f333d3d5dec47a5ba05aa8bfdc9adc494d2a7154166be3c7ca1b4",
         "abd4a40d21d99baf08069f540f74154b62faa26a79693c6728dcc4c443ecaa18"}
    };
    uint8_t said[2][32];
    int keyed;
    test_text[0] = '\0';
    for (keyed = 0; keyed < 2; keyed++) {
        test_pair *p = test_pair_init(keyed);
        test_play(p, said);
        CHECK_HEX(said[0], 32, want[keyed][0]);
        CHECK_HEX(said[1], 32, want[keyed][1]);
        CHECK_HEX(sc_session_id(&p->end[0].ch), 32, want[keyed][2]);
        CHECK_HEX(sc_session_id(&p->end[1].ch), 32, want[keyed][2]);
    }
}

/* The values that the trace names are those of the file, which writes spaces
 * as _; traced: how many of them the file knows. */
static void test_trace(void *traced, const char *sender, const char *name,
                       const uint8_t *bytes, size_t len)
{
    char spelt[40];
    const char *hex;
    size_t i;
    (void)sender;
    for (i = 0; i + 1 < sizeof spelt && name[i] != '\0'; i++)
        spelt[i] = (char)(name[i] == ' ' ? '_' : name[i]);
    spelt[i] = '\0';
    hex = test_vector(test_now.session, spelt);
    if (hex != NULL) {
        CHECK_HEX(bytes, len, hex);
        ++*(int *)traced;
    }
}

static void test_vector_session(const char *session, int keyed)
{
    static sc_private_key key[3];
    test_pair *p = test_pair_init(keyed);
    uint8_t said[2][32];
    int traced[2] = {0, 0};
    test_vector_key(&key[0], "host");
    test_vector_key(&key[1], "short");
    test_vector_key(&key[2], "client");
    p->session = session;
    sc_fingerprint(&key[0].pub, p->pin);
    p->server_options.host_key = &key[0];
    p->short_key = &key[1];
    if (keyed)
        p->client_options.identity = &key[2];
    p->client_options.trace = p->server_options.trace = test_trace;
    p->client_options.trace_ctx = &traced[0];
    p->server_options.trace_ctx = &traced[1];
    test_play(p, said);
    CHECK_HEX(sc_session_id(&p->end[0].ch), 32,
              test_vector(session, "session_id"));
    CHECK(traced[0] >= 12 && traced[1] >= 12);
}

static void test_handshake_is_session_txt_byte_for_byte(void)
{
    if (!test_vectors_load("session.txt"))
        return;
    test_vector_session("anonymous", 0);
    test_vector_session("keyed", 1);
}

static void test_handshake_is_session_odd_sizes_txt_byte_for_byte(void)
{
    if (test_vectors_load("session-odd-sizes.txt"))
        test_vector_session("odd", 1);
}

/* ---- what may come when ---- */

/* Every moment of a conversation, at one of its ends. */
enum { TEST_PLAIN, TEST_GOT_CLOSE, TEST_SENT_CLOSE, TEST_IN_MESSAGE };
typedef struct {
    int keyed, at, side;
    int so_far;                 /* TEST_*, after the handshake */
    int turn;                   /* handshake frame due; 0: records; -1: none */
    int at_eof;                 /* what the end of the transport means */
    int may_send;               /* records */
    int may_close;              /* an error is told to the peer */
} test_moment;

static const test_moment test_moments[] = {
    {0, 1, TEST_SERVER, 0, 1, SC_ERR_CUT_OFF, 0, 0},
    {0, 2, TEST_CLIENT, 0, 2, SC_ERR_SERVER_ENDED, 0, 0},
    {0, 3, TEST_SERVER, 0, 3, SC_ERR_CUT_OFF, 0, 0},
    {0, 4, TEST_CLIENT, 0, 4, SC_ERR_SERVER_ENDED, 0, 0},
    {1, 4, TEST_CLIENT, 0, 4, SC_ERR_SERVER_ENDED, 0, 0},
    {0, 4, TEST_SERVER, 0, 0, SC_ERR_CUT_OFF, 1, 1},
    {1, 5, TEST_SERVER, 0, 5, SC_ERR_CUT_OFF, 0, 0},
    {1, 5, TEST_CLIENT, 0, 0, SC_ERR_CUT_OFF, 1, 1},
    {0, 5, TEST_CLIENT, 0, 0, SC_ERR_CUT_OFF, 1, 1},
    {1, 6, TEST_SERVER, 0, 0, SC_ERR_CUT_OFF, 1, 1},
    {0, 5, TEST_SERVER, TEST_GOT_CLOSE, -1, SC_CLOSED, 1, 1},
    {1, 6, TEST_CLIENT, TEST_GOT_CLOSE, -1, SC_CLOSED, 1, 1},
    {0, 5, TEST_CLIENT, TEST_SENT_CLOSE, 0, SC_ERR_CUT_OFF, 0, 0},
    {1, 6, TEST_SERVER, TEST_SENT_CLOSE, 0, SC_ERR_CUT_OFF, 0, 0},
    {0, 5, TEST_CLIENT, TEST_IN_MESSAGE, 0, SC_ERR_CUT_OFF, 1, 1},
    {1, 6, TEST_SERVER, TEST_IN_MESSAGE, 0, SC_ERR_CUT_OFF, 1, 1}
};
#define TEST_MOMENTS (sizeof test_moments / sizeof test_moments[0])

/* test_send: a record from one end, told to the other. */
static int test_send(test_pair *p, int side, int more, const void *data,
                     size_t data_len)
{
    static uint8_t out[SC_FRAME_MAX];
    size_t len = 0;
    int r = sc_seal(&p->end[side].ch, more, (const uint8_t *)data, data_len,
                    out, &len);
    return r != SC_OK ? r : test_tell(&p->end[!side], out, len);
}

static test_pair *test_pair_then(const test_moment *m)
{
    test_pair *p = test_pair_at(m->keyed, m->at);
    if (m->so_far == TEST_GOT_CLOSE)
        CHECK(test_reason(p, !m->side) == 0);
    if (m->so_far == TEST_SENT_CLOSE)
        CHECK(test_reason(p, m->side) == 0);
    if (m->so_far == TEST_IN_MESSAGE)
        CHECK(test_send(p, !m->side, 1, "part", 4) == SC_OK);
    return p;
}

/* The lengths of the page; with keys of 2048 bits where they are known. */
static int test_may_come(const test_moment *m, unsigned type, unsigned len)
{
    if (m->turn != (type < 6 ? (int)type : 0))
        return 0;
    switch (type) {
    case 1: return len == 0;
    case 2: return len >= 544 && len <= 800;
    case 3: return len == 528 || (len >= 528 + 256 && len <= 528 + 512);
    case 4: return len == (m->keyed ? 256 + 16 : 16);
    case 5: return len == 16;
    case 6: return len >= 16 && len <= 16400;
    case 7: return len >= 17 && len <= 16400;
    case 8: return len == 17;
    default: return 0;
    }
}

/* A header that may not come: its error, and everything after it too. */
static void test_header(const test_moment *m, const sc_channel *then,
                        unsigned type, unsigned version, unsigned len)
{
    uint8_t header[4];
    size_t frame_len = 0;
    sc_channel ch = *then;
    int r;
    header[0] = (uint8_t)type;
    header[1] = (uint8_t)version;
    header[2] = (uint8_t)(len >> 8);
    header[3] = (uint8_t)len;
    r = sc_frame_len(&ch, header, &frame_len);
    if (version == 1 && test_may_come(m, type, len)) {
        CHECK(r == SC_OK && frame_len == len + 4);
    } else {
        CHECK(r == SC_ERR_FRAME || (m->turn < 0 && r == SC_ERR_CLOSE));
        CHECK(sc_eof(&ch) == r);
    }
}

static void test_handshake_every_length_of_every_type_at_every_moment(void)
{
    size_t i;
    unsigned type, len;
    for (i = 0; i < TEST_MOMENTS; i++) {
        const test_moment *m = &test_moments[i];
        sc_channel then = test_pair_then(m)->end[m->side].ch;
        for (type = 0; type <= 9; type++) {
            for (len = 0; len < 65536; len++)
                test_header(m, &then, type, 1, len);
        }
    }
}

static void test_handshake_other_types_and_versions_are_errors(void)
{
    static const unsigned lengths[] = {0, 544, 528, 784, 16, 272, 17, 18};
    size_t i, k;
    unsigned x;
    for (i = 0; i < TEST_MOMENTS; i++) {
        const test_moment *m = &test_moments[i];
        sc_channel then = test_pair_then(m)->end[m->side].ch;
        for (k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            for (x = 0; x < 256; x++) {
                test_header(m, &then, x, 1, lengths[k]);
                test_header(m, &then, (unsigned)k + 1, x, lengths[k]);
                test_header(m, &then, (unsigned)m->turn, x, lengths[k]);
                test_header(m, &then, 6, x, lengths[k]);
            }
        }
    }
}

/* sc_input does not trust its caller: a frame shorter or longer than its
 * header says is an error. */
static void test_handshake_frame_cut_at_every_byte_is_an_error(void)
{
    static uint8_t frame[SC_REPLY_MAX + 1], out[SC_REPLY_MAX];
    int keyed, at;
    for (keyed = 0; keyed < 2; keyed++) {
        for (at = 1; at < test_last(keyed); at++) {
            test_pair *p = test_pair_at(keyed, at);
            size_t len, out_len;
            for (len = 0; len <= p->m_len[at] + 1; len++) {
                sc_channel ch = p->end[at % 2].ch;
                sc_event event;
                if (len == p->m_len[at])
                    continue;
                memset(frame, 0, sizeof frame);
                memcpy(frame, p->m[at], len < p->m_len[at] ? len
                                                           : p->m_len[at]);
                out_len = 0;
                CHECK(sc_input(&ch, len > 0 ? frame : NULL, len, &event, out,
                               &out_len) == SC_ERR_FRAME);
                CHECK(out_len == 0 && !sc_ready(&ch));
            }
        }
    }
}

static void test_handshake_transport_that_ends_says_at_which_moment(void)
{
    size_t i;
    for (i = 0; i < TEST_MOMENTS; i++) {
        const test_moment *m = &test_moments[i];
        test_pair *p = test_pair_then(m);
        CHECK(sc_eof(&p->end[m->side].ch) == m->at_eof);
        if (m->at_eof != SC_CLOSED)
            CHECK(test_reason(p, m->side) == -1);   /* reported, not answered */
    }
}

static void test_handshake_no_record_leaves_before_its_last_frame(void)
{
    size_t i;
    for (i = 0; i < TEST_MOMENTS; i++) {
        const test_moment *m = &test_moments[i];
        sc_channel *ch = &test_pair_then(m)->end[m->side].ch;
        uint8_t out[64];
        size_t len = 9;
        int r = sc_seal(ch, 0, (const uint8_t *)"early", 5, out, &len);
        CHECK(r == (m->may_send ? SC_OK : SC_ERR_STATE));
        CHECK(len == (m->may_send ? 25u : 0u));
        CHECK(sc_ready(ch) == (m->turn <= 0));
        CHECK((sc_session_id(ch) != NULL) == (m->turn <= 0 || m->turn == 5));
        CHECK((sc_peer_key(ch) != NULL)
              == (m->turn <= 0 && (m->side == TEST_CLIENT || m->keyed)));
    }
}

/* sc_shut has nothing to say before there is anything to close, and the
 * handshake goes on as if it had not been called. */
static void test_handshake_shut_too_early_does_nothing(void)
{
    size_t i;
    for (i = 0; i < TEST_MOMENTS; i++) {
        const test_moment *m = &test_moments[i];
        test_pair *p = test_pair_then(m);
        uint8_t out[SC_CLOSE_LEN];
        size_t len = 9;
        if (m->turn <= 0)
            continue;
        CHECK(sc_shut(&p->end[m->side].ch, out, &len) == SC_OK && len == 0);
        CHECK(test_pair_run(p, test_last(m->keyed)) == SC_OK);
        CHECK(test_send(p, TEST_CLIENT, 0, "to", 2) == SC_OK);
        CHECK(test_send(p, TEST_SERVER, 0, "fro", 3) == SC_OK);
    }
}

/* An error is silent until this side's handshake is over, and while it is not
 * must it say CLOSE 2, or 3 for a fault of its own. */
static void test_handshake_error_is_told_by_close_only_after_it(void)
{
    static const struct { int error, reason; } faults[] = {
        {SC_ERR_FRAME, 2}, {SC_ERR_TOO_LONG, 2}, {SC_ERR_NOT_AUTHORISED, 1},
        {SC_ERR_INTERNAL, 3}, {SC_ERR_FILE, 3}, {SC_ERR_RANDOM, 3}
    };
    size_t i, k;
    for (i = 0; i < TEST_MOMENTS; i++) {
        for (k = 0; k < sizeof faults / sizeof faults[0]; k++) {
            const test_moment *m = &test_moments[i];
            test_pair *p = test_pair_then(m);
            int reason = m->may_close ? faults[k].reason : -1;
            sc_channel *ch = &p->end[m->side].ch;
            CHECK(sc_fail(ch, faults[k].error) == faults[k].error);
            CHECK(sc_fail(ch, SC_ERR_IO) == faults[k].error);
            if (test_pair_run(p, test_last(m->keyed)) == SC_OK)
                CHECK(test_reason(p, m->side) == reason);
            CHECK(test_reason(p, m->side) == -1);   /* once */
        }
    }
}

/* What one end has traced. */
typedef struct {
    size_t n;
    struct {
        const char *sender, *name;
        size_t len;
        uint8_t digest[32];
        uint8_t first[32];
    } said[100];
} test_log;

static void test_trace_log(void *ctx, const char *sender, const char *name,
                           const uint8_t *bytes, size_t len)
{
    test_log *log = (test_log *)ctx;
    if (!CHECK(log->n < 100))
        return;
    log->said[log->n].sender = sender;
    log->said[log->n].name = name;
    log->said[log->n].len = len;
    if (len > 0)
        memcpy(log->said[log->n].first, bytes, len < 32 ? len : 32);
    test_sha256(log->said[log->n++].digest, bytes, len);
}

/* test_traced: the value of this name that was traced after as many others of
 * it as turn says; or NULL. */
static const uint8_t *test_traced(const test_log *log, const char *name,
                                  const char *sender, int turn, size_t *len)
{
    size_t i;
    for (i = 0; i < log->n; i++) {
        if (strcmp(log->said[i].name, name) != 0 || turn-- > 0)
            continue;
        *len = log->said[i].len;
        return strcmp(log->said[i].sender, sender) == 0 ? log->said[i].digest
                                                        : NULL;
    }
    return NULL;
}

/* Both ends tell every value of the conversation, by the names of the page and
 * with its sender: the one as it makes it, the other as it reads it. */
static void test_handshake_both_ends_trace_the_same_conversation(void)
{
    static const char *const names[3][20] = {
        { "M1 KEY_REQUEST header", "M3 SESSION_KEY header", "C1", "C2", "P",
          "identity box", "M5 CLIENT_CONFIRM header", "proof box" },
        { "M2 PUBLIC_KEYS header", "server random", "Ke", "Kh",
          "M4 CONFIRM header", "Q", "confirm box" },
        { "T2", "T3", "T4", "T5", "s1", "s2", "s3", "HS", "k_identity",
          "k_confirm", "k_chain", "MS", "k_client", "k_server", "k_proof",
          "session_id" }
    };
    static const char *const senders[3] = { "client", "server", "both" };
    static const char *const of_record[6] = { "DATA header", "DATA_MORE header",
        "CLOSE header", "plaintext", "ciphertext", "tag" };
    static test_log log[2];
    test_pair *p = test_pair_init(1);
    int i, k, side, n[2] = {0, 0};
    memset(log, 0, sizeof log);
    p->client_options.trace = p->server_options.trace = test_trace_log;
    p->client_options.trace_ctx = &log[TEST_CLIENT];
    p->server_options.trace_ctx = &log[TEST_SERVER];
    CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 6) == SC_OK);
    for (side = 0; side < 2; side++) {
        CHECK(test_send(p, side, 1, "one", 3) == SC_OK);
        CHECK(test_send(p, side, 0, side ? "four" : "three", 5) == SC_OK);
    }
    CHECK(test_reason(p, TEST_CLIENT) == 0 && test_reason(p, TEST_SERVER) == 0);
    for (side = 0; side < 2; side++)
        for (i = 0; i < 3; i++)
            for (k = 0; k < 20 && names[i][k] != NULL; k++) {
                size_t a_len = 0, b_len = 1;
                const uint8_t *a = test_traced(&log[0], names[i][k], senders[i],
                                               0, &a_len);
                const uint8_t *b = test_traced(&log[1], names[i][k], senders[i],
                                               0, &b_len);
                if (!CHECK(a != NULL && b != NULL && a_len == b_len
                           && memcmp(a, b, 32) == 0))
                    printf("    %s\n", names[i][k]);
                n[side]++;
            }
    for (k = 0; k < 6; k++)
        for (i = 0; i < (k < 3 ? 2 : 6); i++) {
            const char *sender = k < 3 ? senders[i] : senders[i < 2 ? 0
                                                    : i < 4 ? 1 : i - 4];
            size_t a_len = 0, b_len = 1;
            const uint8_t *a = test_traced(&log[0], of_record[k], sender, i,
                                           &a_len);
            const uint8_t *b = test_traced(&log[1], of_record[k], sender, i,
                                           &b_len);
            if (!CHECK(a != NULL && b != NULL && a_len == b_len
                       && memcmp(a, b, 32) == 0 && (k < 5 || a_len == 16)))
                printf("    %s %d\n", of_record[k], i);
        }
    CHECK(log[0].n == (size_t)n[0] + 24 && log[1].n == (size_t)n[1] + 24);
    for (i = 0; i < (int)log[0].n; i++) {       /* named as their first byte */
        const char *name = log[0].said[i].name;
        for (k = 0; k < 3; k++)
            CHECK(strcmp(name, of_record[k]) != 0
                  || log[0].said[i].first[0] == 6 + k);
    }
}

/* A client that names no key has no secret of its own, and proves nothing. */
static void test_handshake_without_client_key_traces_nothing_of_one(void)
{
    static const char *const absent[] = { "s3", "Q", "M5 CLIENT_CONFIRM header",
                                          "proof box" };
    static test_log log[2];
    test_pair *p = test_pair_init(0);
    size_t side, i, k;
    memset(log, 0, sizeof log);
    p->client_options.trace = p->server_options.trace = test_trace_log;
    p->client_options.trace_ctx = &log[TEST_CLIENT];
    p->server_options.trace_ctx = &log[TEST_SERVER];
    CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 5) == SC_OK);
    for (side = 0; side < 2; side++) {
        CHECK(log[side].n > 20);
        for (i = 0; i < log[side].n; i++)
            for (k = 0; k < sizeof absent / sizeof *absent; k++)
                CHECK(strcmp(log[side].said[i].name, absent[k]) != 0);
    }
}

static void test_handshake_first_error_sticks(void)
{
    size_t i;
    for (i = 0; i < TEST_MOMENTS; i++) {
        const test_moment *m = &test_moments[i];
        test_end *e = &test_pair_then(m)->end[m->side];
        uint8_t frame[64] = {1, 1, 0, 0}, out[SC_REPLY_MAX];
        size_t len = 0;
        CHECK(sc_fail(&e->ch, SC_ERR_TOO_LONG) == SC_ERR_TOO_LONG);
        CHECK(sc_frame_len(&e->ch, frame, &len) == SC_ERR_TOO_LONG);
        CHECK(sc_input(&e->ch, frame, 4, &e->event, out, &len)
              == SC_ERR_TOO_LONG);
        len = 9;
        CHECK(sc_seal(&e->ch, 0, frame, 1, out, &len) == SC_ERR_TOO_LONG);
        CHECK(sc_eof(&e->ch) == SC_ERR_TOO_LONG && len == 0);
        sc_end(&e->ch);
        CHECK(test_is_zero(&e->ch, sizeof e->ch));
    }
}

/* Calls at the wrong moment, and with what cannot be meant, change nothing. */
static void test_handshake_calls_out_of_place_are_named_so(void)
{
    uint8_t frame[SC_FRAME_MAX] = {1, 1, 0, 0}, out[SC_REPLY_MAX];
    sc_client_options options;
    sc_private_key even;
    sc_server_options o;
    sc_server server;
    sc_event event;
    sc_channel ch;
    size_t len = 9;
    test_pair *p = test_pair_init(1);
    memset(&ch, 0, sizeof ch);
    CHECK(sc_frame_len(&ch, frame, &len) == SC_ERR_STATE && len == 0);
    len = 9;
    CHECK(sc_input(&ch, frame, 4, &event, out, &len) == SC_ERR_STATE);
    CHECK(sc_input(&ch, frame, 3, &event, out, &len) == SC_ERR_STATE);
    CHECK(len == 0 && sc_seal(&ch, 0, frame, 1, out, &len) == SC_ERR_STATE);
    CHECK(sc_peer_key(&ch) == NULL && sc_session_id(&ch) == NULL);
    CHECK(test_is_zero(&ch, sizeof ch));
    len = 9;
    CHECK(sc_client_init(&ch, NULL, out, &len) == SC_ERR_NO_JUDGE && len == 0);
    even = test_client;
    even.pub.n[255] ^= 1;
    options = p->client_options;
    options.identity = &even;
    CHECK(sc_client_init(&ch, &options, out, &len) == SC_ERR_PUBLIC_KEY);
    CHECK(len == 0 && test_is_zero(&ch, sizeof ch));
    CHECK(sc_server_accept(&ch, NULL) == SC_ERR_ARGUMENT);
    memset(&server, 0, sizeof server);
    CHECK(sc_server_accept(&ch, &server) == SC_ERR_ARGUMENT);
    CHECK(test_is_zero(&ch, sizeof ch));
    o = p->server_options;
    memset(&server, 0xaa, sizeof server);
    CHECK(sc_server_init_with(&server, &o, test_key(2056), 0)
          == SC_ERR_ARGUMENT && test_is_zero(&server, sizeof server));
    o.host_key = NULL;
    CHECK(sc_server_init_with(&server, &o, &test_short, 0) == SC_ERR_ARGUMENT);
    CHECK(sc_server_init(&server, &o, 0) == SC_ERR_ARGUMENT);
    o.host_key = &even;
    CHECK(sc_server_init_with(&server, &o, &test_short, 0) == SC_ERR_ARGUMENT);
    CHECK(sc_server_init(&server, &o, 0) == SC_ERR_ARGUMENT);
    CHECK(test_is_zero(&server, sizeof server));
}

/* A result to fail with that is no error would leave the channel open. */
static void test_handshake_fails_with_an_error_in_any_case(void)
{
    static const int results[] = { SC_OK, SC_MORE, SC_CLOSED, 77 };
    size_t i;
    for (i = 0; i < sizeof results / sizeof *results; i++) {
        test_pair *p = test_pair_ready(0);
        CHECK(sc_fail(&p->end[0].ch, results[i]) == SC_ERR_INTERNAL);
        CHECK(!sc_ready(&p->end[0].ch) && test_reason(p, TEST_CLIENT) == 3);
    }
}

/* After the first error no key is left that only a good end would need: to say
 * CLOSE, the sending key is enough, and it goes with the CLOSE. */
static void test_handshake_error_wipes_the_keys(void)
{
    int at;
    for (at = 3; at <= 6; at++) {
        sc_channel *ch = &test_pair_at(1, at)->end[at % 2 ? TEST_CLIENT
                                                           : TEST_SERVER].ch;
        uint8_t out[SC_CLOSE_LEN];
        size_t len;
        CHECK(sc_fail(ch, SC_ERR_FRAME) == SC_ERR_FRAME);
        CHECK(test_is_zero(&ch->transcript, sizeof ch->transcript));
        CHECK(test_is_zero(ch->k_confirm, 32) && test_is_zero(ch->k_chain, 32));
        CHECK(test_is_zero(ch->k_proof, 32));
        CHECK(test_is_zero(&ch->receiving, sizeof ch->receiving));
        (void)sc_shut(ch, out, &len);
        CHECK(test_is_zero(&ch->sending, sizeof ch->sending));
    }
}

/* What only the handshake needs does not outlive it. */
static void test_handshake_keys_are_wiped_when_it_is_over(void)
{
    int keyed, side;
    for (keyed = 0; keyed < 2; keyed++) {
        for (side = 0; side < 2; side++) {
            const sc_channel *ch = &test_pair_ready(keyed)->end[side].ch;
            CHECK(test_is_zero(ch->k_confirm, 32));
            CHECK(test_is_zero(ch->k_chain, 32));
            CHECK(test_is_zero(ch->k_proof, 32));
            CHECK(test_is_zero(&ch->transcript, sizeof ch->transcript));
        }
    }
}

static void test_handshake_ended_channel_is_all_zero(void)
{
    size_t i;
    for (i = 0; i < TEST_MOMENTS; i++) {
        const test_moment *m = &test_moments[i];
        sc_channel *ch = &test_pair_then(m)->end[m->side].ch;
        sc_end(ch);
        CHECK(test_is_zero(ch, sizeof *ch));
    }
}

/* ---- altered, strange and missing bytes ---- */

/* test_flip: the session goes wrong when this bit of M[at] flips: one end finds
 * it, says nothing and releases nothing. */
static void test_flip(test_pair *p, int keyed, size_t bit)
{
    int at = p->at, r, side;
    p->m[at][bit / 8] ^= (uint8_t)(1u << bit % 8);
    r = test_pair_run(p, test_last(keyed));
    side = (p->at - 1) % 2;
    if (bit < 32 || at == 2)
        CHECK(r < 0);
    else
        CHECK(r == SC_ERR_HANDSHAKE);
    CHECK(test_ended_silently(p, side, r));
}

/* All bits of the headers and of the short bodies; every 7th, 9th or 3rd bit of
 * the bodies that cost RSA operations. */
static void test_handshake_flipped_bit_anywhere_ends_it(void)
{
    static const struct { int keyed, at; size_t step; } frames[] = {
        {0, 1, 1}, {0, 2, 9}, {0, 4, 1},
        {1, 1, 1}, {1, 3, 7}, {1, 4, 3}, {1, 5, 1}
    };
    size_t i, bit;
    for (i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        int keyed = frames[i].keyed, at = frames[i].at;
        size_t n_bits = 8 * test_pair_at(keyed, at)->m_len[at];
        for (bit = 0; bit < n_bits; bit += bit < 32 ? 1 : frames[i].step)
            test_flip(test_pair_at(keyed, at), keyed, bit);
    }
    for (bit = 8 * (4 + 512); bit < 8 * (4 + 528); bit++)
        test_flip(test_pair_at(0, 3), 0, bit);  /* box of the anonymous M3 */
}

/* A client that believes anyone: what M2 claims still has to be proved. */
static void test_handshake_flipped_m2_ends_it_without_a_pin_too(void)
{
    size_t bit;
    for (bit = 32; bit < 8 * 548; bit += 97) {
        test_pair *p = test_pair_init(0);
        p->client_options.pin = NULL;
        p->client_options.accept_any_host_insecure = 1;
        CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 2) == SC_OK);
        test_flip(p, 0, bit);
    }
}

static void test_handshake_pin_sees_every_bit_of_the_host_key(void)
{
    size_t bit;
    for (bit = 8 * (4 + 32 + 256); bit < 8 * 548; bit++) {
        test_pair *p = test_pair_at(0, 2);
        int r;
        p->m[2][bit / 8] ^= (uint8_t)(1u << bit % 8);
        r = test_pair_run(p, 3);
        CHECK(r == SC_ERR_PIN || r == SC_ERR_PUBLIC_KEY);
        CHECK(test_ended_silently(p, TEST_CLIENT, r));
    }
}

/* A frame of another run of the same session, whose random values differ. */
static void test_handshake_frame_of_another_session_ends_it(void)
{
    int at;
    for (at = 3; at <= 5; at++) {
        uint8_t other[SC_REPLY_MAX];
        test_pair *p = test_pair_init(1);
        p->session = "other";
        CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, at) == SC_OK);
        memcpy(other, p->m[at], p->m_len[at]);
        p = test_pair_at(1, at);
        CHECK(memcmp(other, p->m[at], p->m_len[at]) != 0);
        memcpy(p->m[at], other, p->m_len[at]);
        CHECK(test_pair_run(p, 6) == SC_ERR_HANDSHAKE);
        CHECK(test_ended_silently(p, at % 2, SC_ERR_HANDSHAKE));
    }
}

static void test_handshake_reflected_frame_is_an_error(void)
{
    int at;
    for (at = 1; at <= 5; at++) {
        test_pair *p = test_pair_at(1, at);
        CHECK(test_tell(&p->end[!(at % 2)], p->m[at], p->m_len[at])
              == SC_ERR_FRAME);
    }
}

/* Each draw of either side fails in its turn, with all behind it or alone. */
static void test_handshake_ends_when_random_bytes_fail(void)
{
    int which, n;
    for (which = 0; which < 8; which++) {
        int keyed = which & 1, side = which >> 1 & 1;
        for (n = 0; n < 100; n++) {
            test_pair *p = test_pair_at(keyed, 1);
            int r;
            p->end[side].source.blinding.fail_after = n;
            p->end[side].source.blinding.recovers = which >> 2;
            r = test_pair_run(p, test_last(keyed));
            if (r == SC_OK)
                break;
            CHECK(r == SC_ERR_RANDOM && (p->at - 1) % 2 == side);
            CHECK(test_ended_silently(p, side, SC_ERR_RANDOM));
        }
        CHECK(n >= (side == TEST_CLIENT ? 4 : 3) && n < 100);
    }
}

/* ---- the host's keys ---- */

static int test_client_told_m2(test_pair *p)
{
    CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 2) == SC_OK);
    return test_pair_run(p, 3);
}

/* M2 as an attacker writes it, to a client that believes anyone. */
static void test_handshake_client_refuses_malformed_host_keys(void)
{
    static const struct { size_t at; uint8_t byte; } edits[] = {
        {36, 0x00}, {36, 0x7f}, {291, 0x00}, {291, 0xfe},      /* Ke */
        {292, 0x00}, {292, 0x7f}, {547, 0x00}, {547, 0xfe}     /* Kh */
    };
    size_t i;
    for (i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        test_pair *p = test_pair_init(0);
        p->client_options.pin = NULL;
        p->client_options.judge_host = test_judge;
        p->client_options.judge_ctx = p;
        CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 2) == SC_OK);
        p->m[2][edits[i].at] = edits[i].byte;
        CHECK(test_pair_run(p, 3) == SC_ERR_PUBLIC_KEY);
        CHECK(test_ended_silently(p, TEST_CLIENT, SC_ERR_PUBLIC_KEY));
        CHECK(p->n_judged == 0);
    }
}

/* Any whole number of bytes is a fit size for a host key. */
static void test_handshake_client_takes_host_keys_of_2048_to_4096_bits(void)
{
    static const size_t kh_len[] = {256, 257, 300, 511, 512};
    size_t i;
    for (i = 0; i < sizeof kh_len / sizeof kh_len[0]; i++) {
        test_pair *p = test_pair_init(1);
        p->client_options.pin = NULL;
        p->client_options.accept_any_host_insecure = 1;
        if (kh_len[i] == 512)           /* and the longest reply there is */
            p->client_options.identity = test_key(4096);
        CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 2) == SC_OK);
        memset(p->m[2] + 292, 0xc1, kh_len[i]);
        p->m_len[2] = 292 + kh_len[i];
        p->m[2][2] = (uint8_t)((288 + kh_len[i]) >> 8);
        p->m[2][3] = (uint8_t)(288 + kh_len[i]);
        CHECK(test_pair_run(p, 3) == SC_OK);
        CHECK(p->m_len[3] == (kh_len[i] == 512 ? SC_REPLY_MAX
                              : 4 + kh_len[i] + 256 + 256 + 16));
        CHECK(p->m[3][0] == 3 && p->m[3][1] == 1);
        CHECK(p->m[3][2] * 256u + p->m[3][3] + 4 == p->m_len[3]);
    }
}

static void test_handshake_client_refuses_one_key_shown_as_both(void)
{
    test_pair *p = test_pair_at(0, 2);
    memcpy(p->m[2] + 36, p->m[2] + 292, 256);
    CHECK(test_pair_run(p, 3) == SC_ERR_SAME_KEYS);
    CHECK(test_ended_silently(p, TEST_CLIENT, SC_ERR_SAME_KEYS));
}

static void test_handshake_needs_exactly_one_judge(void)
{
    int set;
    for (set = 0; set < 8; set++) {
        test_pair *p = test_pair_init(0);
        sc_client_options *o = &p->client_options;
        int n = (set & 1) + (set >> 1 & 1) + (set >> 2);
        int r;
        o->pin = set & 1 ? p->pin : NULL;
        o->judge_host = set & 2 ? test_judge : NULL;
        o->judge_ctx = p;
        o->accept_any_host_insecure = set >> 2;
        r = sc_client_init(&p->end[0].ch, o, p->m[1], &p->m_len[1]);
        CHECK(r == (n == 1 ? SC_OK : SC_ERR_NO_JUDGE));
        CHECK(p->m_len[1] == (n == 1 ? 4u : 0u));
    }
}

/* By its fingerprint, by a judge's yes, or because any would do. */
static void test_handshake_goes_on_with_a_host_that_is_believed(void)
{
    int how;
    for (how = 0; how < 3; how++) {
        test_pair *p = test_pair_init(0);
        sc_client_options *o = &p->client_options;
        o->pin = how == 0 ? p->pin : NULL;
        o->judge_host = how == 1 ? test_judge : NULL;
        o->judge_ctx = p;
        o->accept_any_host_insecure = how == 2;
        CHECK(test_pair_start(p) == SC_OK);
        CHECK(test_pair_run(p, test_last(0)) == SC_OK);
        CHECK(p->n_judged == (how == 1));
    }
}

static void test_handshake_pin_that_is_no_fingerprint_sends_nothing(void)
{
    static const char *const pins[] = {
        "", "SHA256", "SHA256:", "MD5:00:11:22:33",
        "SHA256-eWvdNu6eunBLYW+BqNXIUHgmsoYAnPc9+zFwXHrquOk",
        "sha256:eWvdNu6eunBLYW+BqNXIUHgmsoYAnPc9+zFwXHrquOk",
        "SHA256:eWvdNu6eunBLYW+BqNXIUHgmsoYAnPc9+zFwXHrquO",
        "SHA256:eWvdNu6eunBLYW+BqNXIUHgmsoYAnPc9+zFwXHrquOkk",
        "SHA256:eWvdNu6eunBLYW*BqNXIUHgmsoYAnPc9+zFwXHrquOk",
        "SHA256:*WvdNu6eunBLYW+BqNXIUHgmsoYAnPc9+zFwXHrquOk",
        "SHA256:eWvdNu6eunBLYW+BqNXIUHgmsoYAnPc9+zFwXHrquO*",
        "eWvdNu6eunBLYW+BqNXIUHgmsoYAnPc9+zFwXHrquOk"
    };
    static const char *const good[] = {         /* every digit of base64 */
        "SHA256:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq",
        "SHA256:VWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    };
    size_t i;
    for (i = 0; i < sizeof pins / sizeof pins[0]; i++) {
        test_pair *p = test_pair_init(0);
        p->client_options.pin = pins[i];
        CHECK(test_pair_start(p) == SC_ERR_PIN_FORMAT && p->m_len[1] == 0);
    }
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        test_pair *p = test_pair_init(0);
        p->client_options.pin = good[i];
        CHECK(test_pair_start(p) == SC_OK && p->m_len[1] > 0);
    }
}

static void test_handshake_pin_of_another_key_sends_nothing(void)
{
    size_t i;
    for (i = 7; i < SC_FINGERPRINT_MAX; i++) {
        test_pair *p = test_pair_init(0);
        if (i < SC_FINGERPRINT_MAX - 1)         /* one character is wrong */
            p->pin[i] = p->pin[i] == 'A' ? 'B' : 'A';
        else
            sc_fingerprint(&test_short.pub, p->pin);
        CHECK(test_client_told_m2(p) == SC_ERR_PIN);
        CHECK(test_ended_silently(p, TEST_CLIENT, SC_ERR_PIN));
    }
}

/* Also a judge that answers with a number that is no error. */
static void test_handshake_host_the_judge_refuses_is_sent_nothing(void)
{
    static const int results[] = {
        SC_ERR_HOST_UNKNOWN, SC_ERR_HOST_CHANGED, SC_ERR_FILE, SC_MORE, 77
    };
    size_t i;
    for (i = 0; i < sizeof results / sizeof results[0]; i++) {
        test_pair *p = test_pair_init(0);
        int r;
        p->client_options.pin = NULL;
        p->client_options.judge_host = test_judge;
        p->client_options.judge_ctx = p;
        p->judge_result = results[i];
        r = test_client_told_m2(p);
        CHECK(r == (results[i] < 0 ? results[i] : SC_ERR_INTERNAL));
        CHECK(p->n_judged == 1 && test_ended_silently(p, TEST_CLIENT, r));
    }
}

static void test_handshake_both_ends_know_the_peer_by_its_key(void)
{
    int keyed;
    for (keyed = 0; keyed < 2; keyed++) {
        test_pair *p = test_pair_ready(keyed);
        const sc_public_key *kh = sc_peer_key(&p->end[TEST_CLIENT].ch);
        const sc_public_key *kc = sc_peer_key(&p->end[TEST_SERVER].ch);
        CHECK(kh != NULL && sc_public_equal(kh, &test_host.pub));
        CHECK(keyed ? kc != NULL && sc_public_equal(kc, &test_client.pub)
                    : kc == NULL);
    }
}

#ifndef SC_NO_OS
static void test_handshake_new_host_is_remembered_only_after_m4(void)
{
    int at;
    for (at = 2; at <= 4; at++) {
        sc_known_hosts known;
        memset(&known, 0, sizeof known);
        known.path = "no/such/folder/known_hosts";
        known.host = "host";
        known.port = 1;
        known.is_new = 1;
        known.shown = test_host.pub;
        CHECK(sc_known_hosts_remember(&known,
                                      &test_pair_at(0, at)->end[0].ch)
              == SC_ERR_STATE);
    }
}
#endif

/* ---- the client's key ---- */

static void test_handshake_key_is_looked_up_only_after_m5(void)
{
    int known;
    for (known = 0; known < 2; known++) {
        test_pair *p = test_pair_init(1);
        p->judge_result = known ? SC_OK : SC_ERR_NOT_AUTHORISED;
        CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 5) == SC_OK);
        CHECK(p->m_len[4] == 4 + 256 + 16 && p->m_len[5] == 4 + 16);
        CHECK(p->n_judged == 0);
        p->m[5][4] ^= 1;                        /* a stranger's proof */
        CHECK(test_pair_run(p, 6) == SC_ERR_HANDSHAKE && p->n_judged == 0);
        CHECK(test_ended_silently(p, TEST_SERVER, SC_ERR_HANDSHAKE));
    }
    CHECK(test_pair_ready(1)->n_judged == 1);
}

/* The frame that ends the handshake is told as that, to each side, and no other
 * is. */
static void test_handshake_end_is_an_event(void)
{
    int keyed, at;
    for (keyed = 0; keyed < 2; keyed++) {
        test_pair *p = test_pair_at(keyed, 1);
        for (at = 2; at <= test_last(keyed); at++) {
            CHECK(test_pair_run(p, at) == SC_OK);
            CHECK(p->end[(at - 1) % 2].event.kind
                  == (at >= test_last(keyed) - 1 ? SC_EVENT_READY
                                                 : SC_EVENT_NONE));
        }
    }
}

/* M5 and the first record come together; without M5 there is no record. */
static void test_handshake_record_is_not_taken_before_m5(void)
{
    test_pair *p = test_pair_at(1, 5);
    test_end *server = &p->end[TEST_SERVER];
    uint8_t sent[20 + 25];
    size_t len = 0;
    memcpy(sent, p->m[5], 20);
    CHECK(sc_seal(&p->end[TEST_CLIENT].ch, 0, (const uint8_t *)"hello", 5,
                  sent + 20, &len) == SC_OK && len == 25);
    CHECK(test_tell(server, sent, sizeof sent) == SC_OK);
    CHECK(server->event.kind == SC_EVENT_MESSAGE
          && server->event.data_len == 5);
    server = &test_pair_at(1, 5)->end[TEST_SERVER];
    CHECK(test_tell(server, sent + 20, 25) == SC_ERR_FRAME);
    CHECK(test_ended_silently(p, TEST_SERVER, SC_ERR_FRAME));
}

/* test_refused: the server ended so; the client is told by CLOSE 1. */
static void test_refused(test_pair *p, int r, int error)
{
    CHECK(r == error);
    CHECK(p->at < 5 ? test_pair_run(p, 5) == SC_OK : 1);
    CHECK(test_reason(p, TEST_SERVER) == 1);
    CHECK(sc_eof(&p->end[TEST_CLIENT].ch) == SC_ERR_REFUSED);
    CHECK(test_reason(p, TEST_CLIENT) == -1);
}

static void test_handshake_anonymous_is_refused_after_m4_if_keys_are_due(void)
{
    test_pair *p = test_pair_init(0);
    int r;
    p->server_options.require_client_key = 1;
    CHECK(test_pair_start(p) == SC_OK);
    r = test_pair_run(p, 4);
    CHECK(p->m_len[4] == 20 && p->n_judged == 0);
    test_refused(p, r, SC_ERR_ANONYMOUS);
}

static void test_handshake_unlisted_key_is_refused_after_m5(void)
{
    test_pair *p = test_pair_init(1);
    p->judge_result = SC_ERR_NOT_AUTHORISED;
    CHECK(test_pair_start(p) == SC_OK);
    test_refused(p, test_pair_run(p, 6), SC_ERR_NOT_AUTHORISED);
}

/* A list that cannot be read, or a judge who says 1 for yes: no way in. */
static void test_handshake_judge_lets_in_by_ok_and_nothing_else(void)
{
    static const int results[] = {SC_ERR_FILE, SC_MORE, 77};
    size_t i;
    for (i = 0; i < sizeof results / sizeof results[0]; i++) {
        test_pair *p = test_pair_init(1);
        test_end *server = &p->end[TEST_SERVER];
        uint8_t out[64];
        size_t len = 0;
        p->judge_result = results[i];
        CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 6) < 0);
        CHECK(!sc_ready(&server->ch) && sc_eof(&server->ch) < 0);
        CHECK(sc_seal(&server->ch, 0, out, 1, out + 16, &len) < 0 && len == 0);
        CHECK(test_send(p, TEST_CLIENT, 0, "data", 4) < 0);
        CHECK(server->event.data_len == 0);
        CHECK(sc_eof(&server->ch) == (results[i] < 0 ? results[i]
                                                     : SC_ERR_NOT_AUTHORISED));
        CHECK(test_reason(p, TEST_SERVER) == (results[i] < 0 ? 3 : 1));
    }
}

/* Neither is a named key treated as no key. */
static void test_handshake_server_without_a_list_authorises_no_key(void)
{
    int required;
    for (required = 0; required < 2; required++) {
        test_pair *p = test_pair_init(1);
        p->server_options.authorise = NULL;
        p->server_options.require_client_key = required;
        CHECK(test_pair_start(p) == SC_OK);
        test_refused(p, test_pair_run(p, 6), SC_ERR_NOT_AUTHORISED);
    }
}

/* ---- frames as only an attacker makes them ---- */

static void test_hash_frames(const test_pair *p, int n, size_t m3_len,
                             uint8_t digest[32])
{
    sc_sha256 s;
    int i;
    sc_sha256_init(&s);
    for (i = 1; i <= n; i++)
        sc_sha256_add(&s, p->m[i], i == 3 ? m3_len : p->m_len[i]);
    sc_sha256_end(&s, digest);
}

/* test_m3_make: M3 from these ciphertexts, a box that fits these secrets, and
 * this client key. */
static void test_m3_make(test_pair *p, const uint8_t *c1,
                         const uint8_t s1[32], const uint8_t *c2,
                         const uint8_t s2[32], const uint8_t *kc,
                         size_t kc_len)
{
    static const uint8_t nonce[12] = {0};
    uint8_t *m3 = p->m[3], t3[32], secrets[64], hs[32], k[32];
    size_t len = 512 + kc_len + 16;
    m3[2] = (uint8_t)(len >> 8);
    m3[3] = (uint8_t)len;
    memmove(m3 + 4, c1, 256);
    memmove(m3 + 260, c2, 256);
    p->m_len[3] = 4 + len;
    test_hash_frames(p, 3, 516, t3);
    memcpy(secrets, s1, 32);
    memcpy(secrets + 32, s2, 32);
    sc_hkdf_extract(hs, t3, 32, secrets, 64);
    sc_hkdf_expand(hs, "secchan/1 client identity", 25, k, 32);
    sc_aead_seal(m3 + 516, k, nonce, t3, 32, kc, kc_len);
}

/* What a client knows when it makes M3. */
typedef struct {
    test_pair *p;
    uint8_t s1[32], s2[32];
    uint8_t c1_label[18 + 32], c2_label[25 + 32];
} test_m3;

static test_m3 test_m3_begin(int keyed)
{
    test_m3 m;
    m.p = test_pair_at(keyed, 3);
    test_value(m.s1, m.p->session, "s1");
    test_value(m.s2, m.p->session, "s2");
    memcpy(m.c1_label, "secchan/1 host key", 18);
    memcpy(m.c2_label, "secchan/1 short-lived key", 25);
    test_hash_frames(m.p, 2, 0, m.c1_label + 18);
    test_hash_frames(m.p, 2, 0, m.c2_label + 25);
    return m;
}

/* test_m3_spoiled: an M3 with a bad ciphertext ends the server as every other
 * does, after the same work, told by the random bytes it drew; and this though
 * its box fits: the secrets that the client has chosen, or, worse, the ones
 * that the server's own decoder leaves behind. */
static void test_m3_spoiled(test_m3 *m)
{
    test_pair *p = m->p;
    test_end *server = &p->end[TEST_SERVER];
    uint8_t c[512];
    uint32_t drawn[3];
    int i;
    memcpy(c, p->m[3] + 4, 512);
    for (i = 0; i < 2; i++) {
        test_random source;
        sc_word ok;
        m->p = test_pair_at(0, 3);
        test_random_init(&source, "decoder");
        if (i == 1) {
            CHECK(sc_oaep_decrypt(&test_host, m->c1_label, 50, c, m->s1, 32,
                                  &ok, test_random_bytes, &source) == SC_OK);
            CHECK(sc_oaep_decrypt(&test_short, m->c2_label, 57, c + 256, m->s2,
                                  32, &ok, test_random_bytes, &source)
                  == SC_OK);
        }
        test_m3_make(p, c, m->s1, c + 256, m->s2, m->s2, 0);
        CHECK(test_pair_run(p, 4) == SC_ERR_HANDSHAKE);
        drawn[i] = server->source.blinding.counter;
        CHECK(server->event.kind == SC_EVENT_NONE);
        CHECK(test_ended_silently(p, TEST_SERVER, SC_ERR_HANDSHAKE));
    }
    CHECK(test_pair_run(test_pair_at(0, 3), 4) == SC_OK);
    drawn[2] = server->source.blinding.counter;
    CHECK(drawn[0] == drawn[2] && drawn[1] == drawn[2]);
}

/* The box fits each time, so only the key inside it can be the reason. */
static void test_handshake_malformed_client_key_ends_it_silently(void)
{
    static const struct { size_t len; uint8_t first, last; int fits; } kc[] = {
        {256, 0xff, 0x01, 1}, {257, 0x80, 0x03, 1}, {512, 0x80, 0x01, 1},
        {256, 0xff, 0x02, 0}, {256, 0x7f, 0x01, 0}, {256, 0x00, 0x01, 0},
        {512, 0xff, 0xfe, 0}, {512, 0x7f, 0xff, 0}
    };
    size_t i;
    for (i = 0; i < sizeof kc / sizeof kc[0]; i++) {
        test_m3 m = test_m3_begin(1);
        uint8_t n[SC_MODULUS_MAX];
        memset(n, 0xa5, sizeof n);
        n[0] = kc[i].first;
        n[kc[i].len - 1] = kc[i].last;
        test_m3_make(m.p, m.p->m[3] + 4, m.s1, m.p->m[3] + 260, m.s2, n,
                     kc[i].len);
        if (kc[i].fits) {       /* a stranger's key gets M4 like any other */
            CHECK(test_pair_run(m.p, 4) == SC_OK && m.p->n_judged == 0);
            CHECK(m.p->m_len[4] == 4 + kc[i].len + 16);
        } else {
            int r = test_pair_run(m.p, 4);
            CHECK(r == SC_ERR_HANDSHAKE || r == SC_ERR_PUBLIC_KEY);
            CHECK(sc_peer_key(&m.p->end[TEST_SERVER].ch) == NULL);
            CHECK(test_ended_silently(m.p, TEST_SERVER, r));
        }
    }
}

/* Secrets of a wrong length or under a wrong label, in either ciphertext or in
 * both.  bad: bits 0 and 1 choose C1 and C2. */
static void test_handshake_spoiled_secrets_all_look_the_same(void)
{
    static const size_t lens[] = {32, 32, 0, 31, 33, 190};
    size_t i;
    int bad;
    for (i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (bad = 1; bad <= 3; bad++) {
            test_m3 m = test_m3_begin(0);
            uint8_t *c1 = m.p->m[3] + 4, *c2 = c1 + 256, s[2][190] = {{0}};
            uint8_t wrong = i == 1;             /* the label */
            test_random source;
            test_random_init(&source, "spoiled");
            memcpy(s[0], m.s1, 32);
            memcpy(s[1], m.s2, 32);
            m.c1_label[49] ^= wrong;
            m.c2_label[0] ^= wrong;
            CHECK(!(bad & 1)
                  || sc_oaep_encrypt(&test_host.pub, m.c1_label, 50, s[0],
                                     lens[i], c1, test_random_bytes, &source)
                     == SC_OK);
            CHECK(!(bad & 2)
                  || sc_oaep_encrypt(&test_short.pub, m.c2_label, 57, s[1],
                                     lens[i], c2, test_random_bytes, &source)
                     == SC_OK);
            m.c1_label[49] ^= wrong;
            m.c2_label[0] ^= wrong;
            test_m3_make(m.p, c1, m.s1, c2, m.s2, m.s2, 0);
            if (i == 0)                         /* nothing is wrong with it */
                CHECK(test_pair_run(m.p, 4) == SC_OK);
            else
                test_m3_spoiled(&m);
        }
    }
}

/* The numbers at the edges of the modulus are ciphertexts of nothing. */
static void test_handshake_ciphertext_not_below_modulus_is_malformed(void)
{
    int which, i;
    for (which = 0; which < 2; which++) {
        const sc_public_key *key = which ? &test_short.pub : &test_host.pub;
        for (i = 0; i < 6; i++) {
            test_m3 m = test_m3_begin(0);
            uint8_t *c = m.p->m[3] + 4 + 256 * which;
            memset(c, i == 5 ? 0xff : 0, 256);
            c[255] |= (uint8_t)(i == 1);
            if (i >= 2 && i <= 4) {
                memcpy(c, key->n, 256);
                c[255] = (uint8_t)(c[255] + i - 3);     /* n - 1, n, n + 1 */
            }
            test_m3_spoiled(&m);
        }
    }
}

/* The C1s of the vector file, with the secret that is inside them. */
static void test_handshake_malformed_c1_of_the_vectors_look_the_same(void)
{
    static const char *const names[] = {
        "good", "first_byte", "lhash", "ps_first", "ps_last", "no_01",
        "is_02", "secret_0", "secret_31", "secret_33", "secret_190",
        "other_label", "zero", "one", "n_minus_1", "n", "n_plus_1", "all_ff",
        "good_plus_n"
    };
    size_t i;
    if (!test_vectors_load("session.txt"))
        return;
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        test_m3 m = test_m3_begin(0);
        uint8_t *c1 = m.p->m[3] + 4;
        CHECK(test_vector_bytes(c1, 256, "malformed", names[i]) == 256);
        CHECK(test_vector_bytes(m.s1, 32, "malformed", "good_secret") == 32);
        test_m3_make(m.p, c1, m.s1, c1 + 256, m.s2, m.s2, 0);
        if (i == 0)
            CHECK(test_pair_run(m.p, 4) == SC_OK);
        else
            test_m3_spoiled(&m);
    }
}

/* A fault in one half of a private operation must not give the key away. */
static void test_handshake_fault_in_a_private_operation_ends_it(void)
{
    int i;
    for (i = 0; i < 4; i++) {
        test_pair *p = test_pair_at(0, 3);
        sc_private_key *key = &p->server.short_key[p->server.current].key;
        uint8_t *part[4];
        part[0] = key->dp;
        part[1] = key->dq;
        part[2] = key->qinv;
        part[3] = key->p;
        part[i][100] ^= 0x10;
        CHECK(test_pair_run(p, 4) == SC_ERR_HANDSHAKE);
        CHECK(test_ended_silently(p, TEST_SERVER, SC_ERR_HANDSHAKE));
    }
}

/* M4 with a box that fits but a Q that does not: as if the box did not. */
static void test_handshake_spoiled_m4_all_look_the_same(void)
{
    static const uint8_t nonce[12] = {0};
    static const size_t lens[] = {32, 32, 0, 31, 33};
    size_t i;
    for (i = 0; i < 7; i++) {
        test_pair *p = test_pair_at(1, 4);
        uint8_t ad[36], label[20 + 32], q[256], secret[33] = {0};
        test_random source;
        memcpy(ad, p->m[4], 4);
        test_hash_frames(p, 3, p->m_len[3], ad + 4);
        memcpy(label, "secchan/1 client key", 20);
        memcpy(label + 20, ad + 4, 32);
        label[51] ^= (uint8_t)(i == 1);
        test_random_init(&source, "spoiled");
        memcpy(q, test_client.pub.n, 256);              /* Q = n */
        q[255] = (uint8_t)(q[255] - (i == 6));          /* Q = n - 1 */
        if (i < 5)
            CHECK(sc_oaep_encrypt(&test_client.pub, label, 52, secret,
                                  lens[i], q, test_random_bytes, &source)
                  == SC_OK);
        sc_aead_seal(p->m[4] + 4, p->end[TEST_CLIENT].ch.k_confirm, nonce, ad,
                     36, q, 256);
        if (i == 0) {                           /* nothing wrong with it */
            CHECK(test_pair_run(p, 5) == SC_OK);
            continue;
        }
        CHECK(test_pair_run(p, 5) == SC_ERR_HANDSHAKE);
        CHECK(test_ended_silently(p, TEST_CLIENT, SC_ERR_HANDSHAKE));
    }
}

/* ---- 8. records ---------------------------------------------------------- */

/* test_forge: the record of any type that someone with the key could make. */
static size_t test_forge(const sc_direction *d, unsigned type,
                         const void *plain, size_t len, uint8_t *out)
{
    uint8_t nonce[12] = {0};
    nonce[4] = (uint8_t)d->counter;
    nonce[5] = (uint8_t)(d->counter >> 8);
    nonce[6] = (uint8_t)(d->counter >> 16);
    out[0] = (uint8_t)type;
    out[1] = 1;
    out[2] = (uint8_t)((len + 16) >> 8);
    out[3] = (uint8_t)(len + 16);
    sc_aead_seal(out + 4, d->key, nonce, out, 4, (const uint8_t *)plain, len);
    return 4 + len + 16;
}

static void test_records_messages_of_every_size_arrive_whole(void)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 1048576};
    static uint8_t sent[1048576];
    test_random r;
    size_t i;
    int side;
    test_random_init(&r, "message");
    CHECK(test_random_bytes(&r, sent, sizeof sent) == SC_OK);
    for (side = 0; side < 2; side++) {
        test_pair *p = test_pair_ready(0);
        const sc_event *event = &p->end[!side].event;
        for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t at = 0, n;
            do {
                n = sizes[i] - at;
                if (n > SC_RECORD_MAX)
                    n = SC_RECORD_MAX;
                CHECK(test_send(p, side, at + n < sizes[i], sent + at, n)
                      == SC_OK);
                CHECK(event->kind == (at + n < sizes[i] ? SC_EVENT_PART
                                                        : SC_EVENT_MESSAGE));
                CHECK(event->data_len == n
                      && memcmp(event->data, sent + at, n) == 0);
                at += n;
            } while (at < sizes[i]);
        }
    }
}

static void test_records_are_sealed_in_place_as_well(void)
{
    test_pair *p = test_pair_ready(0);
    sc_channel other = p->end[0].ch;
    uint8_t a[64], b[64];
    size_t a_len = 0, b_len = 0;
    memcpy(a + SC_HEADER_LEN, "in place", 8);
    CHECK(sc_seal(&other, 0, a + SC_HEADER_LEN, 8, a, &a_len) == SC_OK);
    CHECK(sc_seal(&p->end[0].ch, 0, (const uint8_t *)"in place", 8, b,
                  &b_len) == SC_OK);
    CHECK(a_len == 28 && b_len == 28 && memcmp(a, b, 28) == 0);
}

/* The calls that would make a record the page does not know. */
static void test_records_too_long_or_empty_parts_are_not_made(void)
{
    static uint8_t data[SC_RECORD_MAX + 1], out[SC_FRAME_MAX + 1];
    test_pair *p = test_pair_ready(0);
    size_t len = 0;
    CHECK(sc_seal(&p->end[0].ch, 1, data, 0, out, &len) == SC_ERR_ARGUMENT);
    CHECK(sc_seal(&p->end[0].ch, 0, data, sizeof data, out, &len)
          == SC_ERR_ARGUMENT);
    CHECK(sc_seal(&p->end[0].ch, 1, data, sizeof data, out, &len)
          == SC_ERR_ARGUMENT);
    CHECK(len == 0 && test_is_zero(out, sizeof out));
    CHECK(test_send(p, 0, 1, data, SC_RECORD_MAX) == SC_OK);    /* unharmed */
    CHECK(test_send(p, 0, 0, data, 0) == SC_OK);
}

/* Two sealed records of different length and data, from side. */
static void test_two_records(test_pair *p, int side, uint8_t a[64],
                             uint8_t b[64], size_t len[2])
{
    sc_channel *ch = &p->end[side].ch;
    CHECK(sc_seal(ch, 0, (const uint8_t *)"first", 5, a, &len[0]) == SC_OK);
    CHECK(sc_seal(ch, 1, (const uint8_t *)"second", 6, b, &len[1]) == SC_OK);
}

/* test_record_fails: told these bytes, an end finds a bad record; it releases
 * nothing and its peer reads CLOSE 2. */
static void test_record_fails(test_pair *p, int side, const uint8_t *bytes,
                              size_t len)
{
    test_end *e = &p->end[side];
    CHECK(test_tell(e, bytes, len) == SC_ERR_RECORD);
    CHECK(e->event.kind == SC_EVENT_NONE && e->event.data_len == 0);
    CHECK(sc_eof(&e->ch) == SC_ERR_RECORD);
    CHECK(test_reason(p, side) == 2);
}

static void test_records_reordered_replayed_or_dropped_are_errors(void)
{
    uint8_t a[64], b[64];
    size_t len[2];
    int side;
    for (side = 0; side < 2; side++) {
        test_pair *p = test_pair_ready(0);
        test_two_records(p, side, a, b, len);
        test_record_fails(p, !side, b, len[1]);         /* a is missing */
        p = test_pair_ready(0);
        test_two_records(p, side, a, b, len);
        CHECK(test_tell(&p->end[!side], a, len[0]) == SC_OK);
        test_record_fails(p, !side, a, len[0]);         /* again */
        p = test_pair_ready(0);
        test_two_records(p, side, a, b, len);
        CHECK(test_tell(&p->end[!side], a, len[0]) == SC_OK);
        CHECK(test_tell(&p->end[!side], b, len[1]) == SC_OK);
        test_record_fails(p, side, a, len[0]);          /* reflected */
    }
}

static void test_records_of_another_session_are_errors(void)
{
    uint8_t a[64], b[64];
    size_t len[2];
    test_two_records(test_pair_ready(1), 0, a, b, len);
    test_record_fails(test_pair_ready(0), 1, a, len[0]);
}

/* What kinds of records there are, to be altered: 0 a message, 1 an empty one,
 * 2 a part, 3 CLOSE. */
static size_t test_record_of_kind(test_pair *p, int kind, uint8_t out[64])
{
    static const char *const text[3] = {"whole", "", "part"};
    size_t len = 0;
    if (kind == 3)
        CHECK(sc_shut(&p->end[0].ch, out, &len) == SC_OK);
    else
        CHECK(sc_seal(&p->end[0].ch, kind == 2, (const uint8_t *)text[kind],
                      strlen(text[kind]), out, &len) == SC_OK);
    return len;
}

static void test_records_with_any_bit_flipped_are_errors(void)
{
    uint8_t record[64];
    size_t bit, len = 0;
    int kind;
    for (kind = 0; kind < 4; kind++) {
        for (bit = 0; bit == 0 || bit < 8 * len; bit++) {
            test_pair *p = test_pair_ready(0);
            test_end *e = &p->end[TEST_SERVER];
            int r;
            len = test_record_of_kind(p, kind, record);
            record[bit / 8] ^= (uint8_t)(1u << bit % 8);
            r = test_tell(e, record, len);
            CHECK(r == SC_ERR_RECORD
                  || (bit < 32 && (r == SC_ERR_FRAME || r == SC_ERR_CUT_OFF)));
            CHECK(e->event.kind == SC_EVENT_NONE && e->event.data == NULL);
            CHECK(test_reason(p, TEST_SERVER)
                  == (r == SC_ERR_CUT_OFF ? -1 : 2));
        }
    }
}

/* Cut short by the transport, by a header that was made to fit, and by a
 * caller who says so. */
static void test_records_cut_at_every_byte_are_errors(void)
{
    uint8_t record[64], out[SC_REPLY_MAX];
    size_t cut, len = 0, out_len;
    int kind;
    for (kind = 0; kind < 4; kind++) {
        for (cut = 0; cut == 0 || cut < len; cut++) {
            test_pair *p = test_pair_ready(0);
            test_end *e = &p->end[TEST_SERVER];
            sc_channel ch = e->ch;
            len = test_record_of_kind(p, kind, record);
            CHECK(test_tell(e, record, cut) == SC_ERR_CUT_OFF);
            CHECK(e->event.kind == SC_EVENT_NONE);
            CHECK(test_reason(p, TEST_SERVER) == -1);
            e->ch = ch;
            CHECK(sc_input(&e->ch, record, cut, &e->event, out, &out_len)
                  == SC_ERR_FRAME);
            CHECK(e->event.kind == SC_EVENT_NONE);
            if (cut >= 20 && record[0] == 6) {
                e->ch = ch;
                len = test_record_of_kind(test_pair_ready(0), kind, record);
                record[3] = (uint8_t)(cut - 4);
                CHECK(test_tell(e, record, cut) == SC_ERR_RECORD);
            }
        }
    }
}

static void test_records_that_fail_leave_no_plaintext_behind(void)
{
    static uint8_t plain[SC_RECORD_MAX], record[SC_FRAME_MAX];
    test_pair *p = test_pair_ready(0);
    test_end *e = &p->end[TEST_SERVER];
    size_t len, i;
    for (i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i % 251);
    len = test_forge(&e->ch.receiving, 6, plain, sizeof plain, record);
    record[len - 1] ^= 1;
    CHECK(test_tell(e, record, len) == SC_ERR_RECORD);
    for (i = 0; i + 16 <= sizeof plain; i += 16)
        CHECK(memcmp(e->frame + SC_HEADER_LEN + i, plain + i, 16) != 0);
}

/* Records that only a peer with the keys can make. */
static void test_records_close_means_what_its_reason_says(void)
{
    static const struct {
        const char *body; int in_message, result, answer;
    } closes[] = {
        {"\0", 0, SC_OK, 0}, {"\0", 1, SC_ERR_CLOSE, 2},
        {"\1", 0, SC_ERR_REFUSED, -1}, {"\1", 1, SC_ERR_REFUSED, -1},
        {"\2", 0, SC_ERR_PEER_PROTOCOL, -1},
        {"\2", 1, SC_ERR_PEER_PROTOCOL, -1},
        {"\3", 0, SC_ERR_PEER_INTERNAL, -1},
        {"\3", 1, SC_ERR_PEER_INTERNAL, -1},
        {"\4", 0, SC_ERR_CLOSE, 2}, {"\4", 1, SC_ERR_CLOSE, 2},
        {"\177", 0, SC_ERR_CLOSE, 2}, {"\377", 0, SC_ERR_CLOSE, 2}
    };
    size_t i;
    int side;
    for (i = 0; i < 2 * (sizeof closes / sizeof closes[0]); i++) {
        size_t k = i / 2, len;
        test_pair *p = test_pair_ready(0);
        test_end *e = &p->end[side = (int)(i % 2)];
        uint8_t record[SC_CLOSE_LEN];
        if (closes[k].in_message)
            CHECK(test_send(p, !side, 1, "part", 4) == SC_OK);
        len = test_forge(&e->ch.receiving, 8, closes[k].body, 1, record);
        CHECK(test_tell(e, record, len) == closes[k].result);
        CHECK(e->event.kind == (closes[k].result == SC_OK ? SC_EVENT_CLOSED
                                                          : SC_EVENT_NONE));
        CHECK(e->event.data_len == 0);
        CHECK(sc_eof(&e->ch) == (closes[k].result == SC_OK
                                 ? SC_CLOSED : closes[k].result));
        CHECK(test_reason(p, side) == closes[k].answer);
    }
}

static void test_records_after_close_are_errors(void)
{
    static const unsigned types[] = {6, 7, 8};
    size_t i, len;
    for (i = 0; i < 3; i++) {
        test_pair *p = test_pair_ready(0);
        test_end *e = &p->end[TEST_SERVER];
        uint8_t record[SC_CLOSE_LEN];
        CHECK(test_reason(p, TEST_CLIENT) == 0);
        len = test_forge(&e->ch.receiving, types[i], "", 1, record);
        CHECK(test_tell(e, record, len) == SC_ERR_CLOSE);
        CHECK(e->event.kind == SC_EVENT_NONE && e->event.data_len == 0);
        CHECK(test_reason(p, TEST_SERVER) == 2);
    }
}

static void test_records_close_ends_only_the_direction_of_its_sender(void)
{
    int side;
    for (side = 0; side < 2; side++) {
        test_pair *p = test_pair_ready(1);
        CHECK(test_send(p, !side, 1, "begun", 5) == SC_OK);
        CHECK(test_reason(p, side) == 0);
        CHECK(test_is_zero(&p->end[side].ch.sending,
                           sizeof p->end[side].ch.sending));
        CHECK(test_send(p, side, 0, "no more", 7) == SC_ERR_STATE);
        CHECK(test_reason(p, side) == -1);              /* once */
        CHECK(test_send(p, !side, 0, "ended", 5) == SC_OK
              && p->end[side].event.kind == SC_EVENT_MESSAGE);
        CHECK(sc_eof(&p->end[!side].ch) == SC_CLOSED);
        CHECK(test_reason(p, !side) == 0);
        CHECK(sc_eof(&p->end[side].ch) == SC_CLOSED);
    }
}

static void test_records_message_left_unfinished_is_closed_as_a_fault(void)
{
    test_pair *p = test_pair_ready(0);
    CHECK(test_send(p, 0, 1, "part", 4) == SC_OK);
    CHECK(test_reason(p, 0) == 3);
    CHECK(sc_eof(&p->end[1].ch) == SC_ERR_PEER_INTERNAL);
}

static void test_records_transport_that_ends_is_never_a_normal_end(void)
{
    test_pair *p = test_pair_ready(0);
    CHECK(test_send(p, 0, 0, "message", 7) == SC_OK);
    CHECK(test_send(p, 0, 1, "part", 4) == SC_OK);
    CHECK(sc_eof(&p->end[1].ch) == SC_ERR_CUT_OFF);
    CHECK(test_reason(p, 1) == -1);
}

/* Every record of two keys and two more, for real, both ways at once: the keys
 * change after 65536 and at no other record. */
static void test_records_key_changes_after_exactly_65536(void)
{
    test_pair *p = test_pair_ready(0);
    uint8_t key[2][32];
    uint32_t i;
    int side;
    for (side = 0; side < 2; side++) {
        sc_direction *d = &p->end[side].ch.sending;
        const sc_direction *in = &p->end[!side].ch.receiving;
        const sc_direction back = p->end[side].ch.receiving;
        memcpy(key[0], d->key, 32);
        sc_hkdf_expand(key[0], "secchan/1 rekey", 15, key[1], 32);
        for (i = 1; i <= 2 * 65536 + 2; i++) {
            CHECK(test_send(p, side, 0, &i, i % 5) == SC_OK);
            CHECK(d->counter == i % 65536 && in->counter == i % 65536);
            if (i == 65535)
                CHECK(memcmp(d->key, key[0], 32) == 0);
            if (i == 65536 || i == 131071)
                CHECK(memcmp(d->key, key[1], 32) == 0
                      && memcmp(in->key, key[1], 32) == 0);
        }
        sc_hkdf_expand(key[1], "secchan/1 rekey", 15, key[0], 32);
        CHECK(memcmp(d->key, key[0], 32) == 0
              && memcmp(in->key, key[0], 32) == 0);
        CHECK(memcmp(&back, &p->end[side].ch.receiving, sizeof back) == 0);
    }
}

/* CLOSE counts too, and the old key opens nothing any more. */
static void test_records_under_the_wrong_key_at_the_edge_are_errors(void)
{
    int i;
    for (i = 0; i < 4; i++) {
        test_pair *p = test_pair_ready(0);
        test_end *e = &p->end[TEST_SERVER];
        sc_direction d = e->ch.receiving;
        uint8_t record[32];
        size_t len;
        p->end[TEST_CLIENT].ch.sending.counter = 65535;
        e->ch.receiving.counter = 65535;
        if (i < 3)
            CHECK(test_send(p, TEST_CLIENT, 0, "last", 4) == SC_OK);
        else                                    /* one record too early */
            sc_hkdf_expand(d.key, "secchan/1 rekey", 15, d.key, 32);
        d.counter = i == 0 ? 0 : i == 1 ? 65536 : 65535;
        len = test_forge(&d, 6, "x", 1, record);
        test_record_fails(p, TEST_SERVER, record, len);
    }
}

static void test_records_close_is_counted(void)
{
    test_pair *p = test_pair_ready(0);
    sc_direction *d = &p->end[TEST_CLIENT].ch.sending;
    p->end[TEST_SERVER].ch.receiving.counter = d->counter = 65535;
    CHECK(test_reason(p, TEST_CLIENT) == 0);
    CHECK(p->end[TEST_SERVER].ch.receiving.counter == 0);
}

/* ---- 9. server's short-lived key ----------------------------------------- */

/* A server with the published keys on a clock of the test's own, from 1000. */
static sc_server *test_server_init(unsigned short_key_ms, unsigned uses)
{
    static test_random source;
    test_pair *p = test_pair_init(0);
    p->server_options.short_key_ms = short_key_ms;
    p->server_options.short_key_uses = uses;
    CHECK(test_pair_start(p) == SC_OK);
    test_random_init(&source, "short-lived keys");
    p->server.random = test_random_bytes;
    p->server.random_ctx = &source;
    return &p->server;
}

/* test_visit: a client begins; says where the Ke lives that M2 showed it. */
static int test_visit(sc_server *s, sc_channel *ch)
{
    static const uint8_t m1[4] = {1, 1, 0, 0};
    uint8_t frame[4], out[SC_REPLY_MAX];
    size_t out_len = 0;
    sc_event event;
    memcpy(frame, m1, 4);
    CHECK(sc_server_accept(ch, s) == SC_OK);
    CHECK(sc_input(ch, frame, 4, &event, out, &out_len) == SC_OK);
    CHECK(out_len == 548 && memcmp(out + 36 + 256, test_host.pub.n, 256) == 0);
    CHECK(memcmp(out + 36, s->short_key[s->current].key.pub.n, 256) == 0);
    return s->current;
}

/* test_tick: all the work there is at this moment; says when the next is due.
 * A server that is never done is stopped. */
static unsigned test_tick(sc_server *s, uint64_t now_ms)
{
    unsigned wait_ms = 0;
    int n = 0;
    do
        CHECK(sc_server_tick(s, now_ms, &wait_ms) == SC_OK);
    while (wait_ms == 0 && ++n < 100000);
    return wait_ms;
}

static void test_server_key_turns_over_when_it_is_old(void)
{
    sc_server *s = test_server_init(60000, 0);
    sc_public_key old = s->short_key[s->current].key.pub;
    unsigned wait_ms = 1;
    sc_channel ch;
    CHECK(test_tick(s, 1000) > 0 && test_tick(s, 1000) <= 60000);
    CHECK(test_tick(s, 60000) > 0 && test_tick(s, 60000) <= 1000);
    CHECK(test_tick(s, 60700) > 0 && test_tick(s, 60700) <= 300);
    CHECK(test_tick(s, 60999) == 1);
    test_visit(s, &ch);
    sc_end(&ch);
    CHECK(sc_server_tick(s, 61000, &wait_ms) == SC_OK && wait_ms == 0);
    test_visit(s, &ch);                 /* no visitor waits for the next key */
    sc_end(&ch);
    CHECK(sc_public_equal(&old, &s->short_key[s->current].key.pub));
    CHECK(test_tick(s, 61000) > 0);
    CHECK(!sc_public_equal(&old, &s->short_key[s->current].key.pub));
    CHECK(s->short_key[s->current].key.pub.n_len == 256);
    CHECK(sc_key_check(&s->short_key[s->current].key) == SC_OK);
    CHECK(test_is_zero(&s->short_key[!s->current], sizeof s->short_key[0]));
    CHECK(test_is_zero(&s->making, sizeof s->making));
    test_visit(s, &ch);
    sc_end(&ch);
    CHECK(test_tick(s, 120999) > 0 && test_tick(s, 120999) <= 60000);
}

static void test_server_key_turns_over_when_it_was_shown_often(void)
{
    sc_server *s = test_server_init(0, 3);
    sc_public_key old = s->short_key[s->current].key.pub;
    unsigned wait_ms = 99;
    sc_channel ch[4];
    int i;
    for (i = 0; i < 4; i++) {
        test_visit(s, &ch[i]);
        sc_end(&ch[i]);
        if (i == 2)             /* it is time, yet the fourth sees it still */
            break;
        CHECK(test_tick(s, 1000) > 0);
        CHECK(sc_server_tick(s, 1000, &wait_ms) == SC_OK && wait_ms > 0);
        CHECK(sc_public_equal(&old, &s->short_key[s->current].key.pub));
    }
    CHECK(sc_server_tick(s, 1000, &wait_ms) == SC_OK && wait_ms == 0);
    test_visit(s, &ch[3]);
    sc_end(&ch[3]);
    CHECK(test_tick(s, 1000) > 0);
    CHECK(!sc_public_equal(&old, &s->short_key[s->current].key.pub));
    CHECK(test_is_zero(&s->short_key[!s->current], sizeof s->short_key[0]));
}

/* Two handshakes hold the old key, and a third rotation waits for them: one
 * finishes, one is given up. */
static void test_server_old_key_lives_until_its_handshakes_are_over(void)
{
    sc_server *s = test_server_init(1000, 0);
    test_pair *p = &test_now;
    sc_public_key old = s->short_key[s->current].key.pub, second;
    sc_channel slow;
    int slot = test_visit(s, &slow);
    CHECK(test_pair_run(p, 3) == SC_OK);        /* M2 shown, M3 under way */
    CHECK(test_tick(s, 2000) > 0 && s->current == !slot);
    second = s->short_key[s->current].key.pub;
    CHECK(!sc_public_equal(&old, &second));
    CHECK(test_tick(s, 5000) > 0);              /* due, but there is no room */
    CHECK(sc_public_equal(&old, &s->short_key[slot].key.pub));
    CHECK(sc_public_equal(&second, &s->short_key[!slot].key.pub));
    CHECK(test_pair_run(p, 5) == SC_OK && sc_ready(&p->end[0].ch));
    sc_end(&p->end[TEST_SERVER].ch);
    CHECK(test_tick(s, 5001) > 0);
    CHECK(sc_public_equal(&old, &s->short_key[slot].key.pub));
    sc_end(&slow);
    test_tick(s, 5002);
    CHECK(s->current == slot);                  /* its place was needed */
    CHECK(!sc_public_equal(&old, &s->short_key[slot].key.pub));
    CHECK(test_is_zero(&s->short_key[!slot], sizeof s->short_key[0]));
}

/* A handshake that nobody ended does not keep the old key for ever: after twice
 * its 30 seconds the key goes, and its M3 is not opened any more, not even when
 * a newer key has come to the same place. */
static void test_server_old_key_goes_though_its_handshake_was_forgotten(void)
{
    int which;
    for (which = 0; which < 4; which++) {
        int next = which & 1, slot;
        sc_server *s = test_server_init(1000, 0);
        test_pair *p = &test_now;
        uint64_t later = 0;
        if (which >= 2) {               /* the key is not the first */
            CHECK(test_tick(s, 2000) > 0 && s->current == 1);
            later = 1000;
        }
        slot = s->current;
        CHECK(test_pair_run(p, 3) == SC_OK && s->current == slot);
        CHECK(test_tick(s, later + 2000) > 0 && s->current == !slot);
        CHECK(test_tick(s, later + 61999) > 0 && s->short_key[slot].is_alive);
        if (!next)
            s->options.short_key_ms = 3600000;
        CHECK(test_tick(s, later + 62000) > 0);
        CHECK(next ? s->current == slot
                   : test_is_zero(&s->short_key[slot],
                                  sizeof s->short_key[0]));
        CHECK(test_pair_run(p, 4) == SC_ERR_TIMEOUT);
        CHECK(test_ended_silently(p, TEST_SERVER, SC_ERR_TIMEOUT));
        sc_end(&p->end[TEST_SERVER].ch);
        CHECK(s->short_key[s->current].is_alive);
        CHECK(s->short_key[0].in_flight == 0 && s->short_key[1].in_flight == 0);
    }
}

/* Every way out of a handshake lets go of the key, once. */
static void test_server_key_in_flight_is_counted_exactly(void)
{
    sc_server *s = test_server_init(0, 0);
    sc_short_key *k = &s->short_key[s->current];
    test_pair *p = &test_now;
    sc_channel other[2];
    CHECK(s->options.short_key_ms == 3600000);
    CHECK(s->options.short_key_uses == 65536);
    test_visit(s, &other[0]);
    test_visit(s, &other[1]);
    CHECK(k->shown == 2 && k->in_flight == 2);
    CHECK(test_pair_run(p, 3) == SC_OK && k->in_flight == 3);
    CHECK(test_pair_run(p, 4) == SC_OK && k->in_flight == 2);
    sc_end(&p->end[TEST_SERVER].ch);
    CHECK(k->in_flight == 2);
    CHECK(sc_eof(&other[0]) == SC_ERR_CUT_OFF && k->in_flight == 1);
    sc_end(&other[0]);
    CHECK(k->in_flight == 1);
    CHECK(sc_fail(&other[1], SC_ERR_TIMEOUT) == SC_ERR_TIMEOUT);
    sc_end(&other[1]);
    sc_end(&other[1]);
    CHECK(k->shown == 3 && k->in_flight == 0);
    p = test_pair_at(0, 3);
    p->m[3][100] ^= 1;
    CHECK(test_pair_run(p, 4) == SC_ERR_HANDSHAKE);
    sc_end(&p->end[TEST_SERVER].ch);
    CHECK(p->server.short_key[0].in_flight == 0);
    CHECK(p->server.short_key[1].in_flight == 0);
}

static void test_server_makes_its_own_first_key_and_wipes_it(void)
{
    test_pair *p = test_pair_init(1);
    sc_channel ch;
    unsigned wait_ms = 0;
    CHECK(sc_server_init(&p->server, &p->server_options, 7) == SC_OK);
    CHECK(sc_key_check(&p->server.short_key[p->server.current].key) == SC_OK);
    CHECK(sc_server_tick(&p->server, 7, &wait_ms) == SC_OK);
    CHECK(wait_ms > 0 && wait_ms <= 3600000);
    test_visit(&p->server, &ch);
    sc_end(&ch);
    sc_server_end(&p->server);
    CHECK(test_is_zero(&p->server, sizeof p->server));
}

/* No key is made of what the system could not give; the old one stays. */
static void test_server_key_stays_when_random_bytes_fail(void)
{
    sc_server *s = test_server_init(1000, 0);
    sc_public_key old = s->short_key[s->current].key.pub;
    unsigned wait_ms = 0;
    sc_channel ch;
    int i, r = SC_OK;
    ((test_random *)s->random_ctx)->fail_after = 0;
    for (i = 0; i < 1000 && r == SC_OK; i++)
        r = sc_server_tick(s, 3000, &wait_ms);
    CHECK(r == SC_ERR_RANDOM);
    CHECK(sc_public_equal(&old, &s->short_key[s->current].key.pub));
    CHECK(sc_server_accept(&ch, s) == SC_OK);
    sc_end(&ch);
    ((test_random *)s->random_ctx)->fail_after = 3;     /* on the way */
    for (i = 0, r = SC_OK; i < 1000 && r == SC_OK; i++)
        r = sc_server_tick(s, 3000, &wait_ms);
    CHECK(r == SC_ERR_RANDOM);
    CHECK(sc_public_equal(&old, &s->short_key[s->current].key.pub));
    ((test_random *)s->random_ctx)->fail_after = -1;    /* and in the end */
    CHECK(test_tick(s, 3000) > 0);
    CHECK(!sc_public_equal(&old, &s->short_key[s->current].key.pub));
    CHECK(sc_key_check(&s->short_key[s->current].key) == SC_OK);
    sc_server_end(s);
    CHECK(test_is_zero(s, sizeof *s));
}

/* ---- 10. blocking layer -------------------------------------------------- */

/* A wire to a peer that lives in the same thread: what is written is told to
 * the peer at once, what it says can be read. */
typedef struct {
    test_pair *p;
    int side;                           /* of the blocking end */
    size_t step;                        /* bytes that move in one call */
    size_t left;                        /* bytes until the wire is cut */
    int peer_result;                    /* the first that was not SC_OK */
    size_t in_len, back_len, back_at;
    uint8_t in[SC_FRAME_MAX], back[8 * SC_FRAME_MAX];
} test_wire;

static test_wire test_line;
static sc_conn test_conn;               /* the blocking end */
static uint8_t test_big[2][4194304];

static void test_wire_back(test_wire *w, const uint8_t *bytes, size_t len)
{
    if (CHECK(len <= sizeof w->back - w->back_len)) {
        memcpy(w->back + w->back_len, bytes, len);
        w->back_len += len;
    }
}

/* The peer takes the frame in w->in; data comes back as it is, and CLOSE is
 * answered. */
static void test_wire_tell(test_wire *w)
{
    test_end *peer = &w->p->end[!w->side];
    static uint8_t out[SC_FRAME_MAX];
    size_t len = 0;
    int r = test_tell(peer, w->in, w->in_len);
    w->in_len = 0;
    if (w->peer_result == SC_OK)
        w->peer_result = r;
    if (r != SC_OK)
        return;
    test_wire_back(w, peer->said, peer->said_len);
    if (peer->event.kind == SC_EVENT_CLOSED)
        CHECK(sc_shut(&peer->ch, out, &len) == SC_OK);
    else if (peer->event.kind >= SC_EVENT_PART)
        CHECK(sc_seal(&peer->ch, peer->event.kind == SC_EVENT_PART,
                      peer->event.data, peer->event.data_len, out, &len)
              == SC_OK);
    test_wire_back(w, out, len);
}

static long test_wire_write(void *io, const void *buf, size_t len)
{
    test_wire *w = (test_wire *)io;
    size_t i, n = len < w->step ? len : w->step;
    for (i = 0; i < n; i++) {
        w->in[w->in_len++] = ((const uint8_t *)buf)[i];
        if (w->in_len >= 4 && w->in_len == 4u + w->in[2] * 256u + w->in[3])
            test_wire_tell(w);
    }
    return (long)n;
}

static long test_wire_read(void *io, void *buf, size_t len)
{
    test_wire *w = (test_wire *)io;
    size_t n = len < w->step ? len : w->step;
    if (n > w->back_len - w->back_at)
        n = w->back_len - w->back_at;
    if (n > w->left)
        n = w->left;
    memcpy(buf, w->back + w->back_at, n);
    w->back_at += n;
    w->left -= n;
    if (w->back_at == w->back_len)
        w->back_at = w->back_len = 0;
    return (long)n;
}

/* test_wire_join: test_conn does its handshake over a new wire to an end of p;
 * test_wire_open: of the usual pair. */
static int test_wire_join(test_pair *p, int side, size_t step, size_t left)
{
    test_wire *w = &test_line;
    memset(w, 0, sizeof *w);
    w->p = p;
    w->side = side;
    w->step = step;
    w->left = left;
    if (side == TEST_CLIENT)
        return sc_connect_over(&test_conn, test_wire_read, test_wire_write, w,
                               &p->client_options);
    test_wire_back(w, p->m[1], p->m_len[1]);
    return sc_accept_over(&test_conn, test_wire_read, test_wire_write, w,
                          &p->server);
}

static int test_wire_open(int keyed, int side, size_t step, size_t left)
{
    return test_wire_join(test_pair_at(keyed, 1), side, step, left);
}

static int test_conn_is_wiped(void)
{
    const sc_conn *c = &test_conn;
    return test_is_zero(&c->channel, sizeof c->channel)
        && test_is_zero(c->in, sizeof c->in) && c->in_len == 0
        && test_is_zero(c->out, sizeof c->out) && c->data_len == 0;
}

/* test_recv_all: a message in pieces of at most n bytes into test_big[1]. */
static int test_recv_all(sc_conn *c, size_t n, size_t *total)
{
    int r = SC_MORE;
    *total = 0;
    while (r == SC_MORE) {
        size_t len = 0, room = sizeof test_big[1] - *total;
        r = sc_recv(c, test_big[1] + *total, n < room ? n : room, &len);
        CHECK(len <= n && (r >= 0 || len == 0));
        CHECK(r != SC_MORE || len > 0);
        *total += len;
    }
    return r;
}

static void test_big_fill(void)
{
    test_random r;
    test_random_init(&r, "big");
    CHECK(test_random_bytes(&r, test_big[0], sizeof test_big[0]) == SC_OK);
}

static void test_blocking_works_over_any_step_of_the_transport(void)
{
    static const size_t steps[] = {1, 7, SC_FRAME_MAX};
    size_t i, len = 9;
    int which;
    test_big_fill();
    for (which = 0; which < 4; which++) {
        for (i = 0; i < 3; i++) {
            memset(&test_conn, 0xaa, sizeof test_conn);
            CHECK(test_wire_open(which & 1, which >> 1, steps[i],
                                 (size_t)-1) == SC_OK);
            CHECK(sc_fd(&test_conn) == -1);
            CHECK(sc_send(&test_conn, test_big[0], 40000) == SC_OK);
            CHECK(test_recv_all(&test_conn, 1000, &len) == SC_OK);
            CHECK(len == 40000 && memcmp(test_big[0], test_big[1], len) == 0);
            CHECK(sc_finish(&test_conn) == SC_OK);
            CHECK(sc_send(&test_conn, "x", 1) == SC_ERR_STATE);
            CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
            CHECK(len == 0 && test_line.peer_result == SC_OK);
            CHECK(sc_close(&test_conn) == SC_OK && test_conn_is_wiped());
        }
    }
}

/* Messages of few bytes, buffers of fewer: no byte and no boundary is lost. */
static void test_blocking_recv_hands_out_messages_in_pieces(void)
{
    static const size_t sizes[] = {0, 1, 2, 3, 7, 16384, 16385, 32768, 33000};
    size_t i, n, len = 9;
    test_big_fill();
    CHECK(test_wire_open(0, TEST_CLIENT, 1000, (size_t)-1) == SC_OK);
    for (n = 1; n <= 7; n += 2) {
        for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            CHECK(sc_send(&test_conn, test_big[0], sizes[i]) == SC_OK);
            CHECK(test_recv_all(&test_conn, n, &len) == SC_OK);
            CHECK(len == sizes[i]
                  && memcmp(test_big[0], test_big[1], len) == 0);
        }
    }
    CHECK(sc_send(&test_conn, "abc", 3) == SC_OK && !sc_pending(&test_conn));
    CHECK(sc_recv(&test_conn, test_big[1], 2, &len) == SC_MORE && len == 2);
    CHECK(sc_pending(&test_conn));
    CHECK(sc_recv(&test_conn, test_big[1], 2, &len) == SC_OK && len == 1);
    CHECK(!sc_pending(&test_conn));
    CHECK(sc_recv(&test_conn, test_big[1], 0, &len) == SC_ERR_ARGUMENT);
    sc_close(&test_conn);
}

static void test_blocking_message_may_be_sent_in_parts(void)
{
    size_t len = 0;
    CHECK(test_wire_open(0, TEST_SERVER, 1000, (size_t)-1) == SC_OK);
    CHECK(sc_send_part(&test_conn, test_big[0], 3) == SC_OK);
    CHECK(sc_send_part(&test_conn, test_big[0], 0) == SC_OK);
    CHECK(sc_send_part(&test_conn, test_big[0] + 3, 20000) == SC_OK);
    CHECK(sc_send(&test_conn, "", 0) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 30000, &len) == SC_OK);
    CHECK(len == 20003 && memcmp(test_big[0], test_big[1], len) == 0);
    CHECK(sc_send_part(&test_conn, test_big[0], 20) == SC_OK);
    CHECK(sc_send(&test_conn, "", 0) == SC_OK);        /* the room is full */
    CHECK(sc_recv_whole(&test_conn, test_big[1], 20, &len) == SC_OK);
    CHECK(len == 20 && memcmp(test_big[0], test_big[1], len) == 0);
    CHECK(sc_send_part(&test_conn, "no end", 6) == SC_OK);
    CHECK(sc_close(&test_conn) == SC_ERR_STATE);
    CHECK(test_line.peer_result == SC_ERR_PEER_INTERNAL);
}

static void test_blocking_recv_whole_refuses_a_longer_message(void)
{
    size_t len = 9;
    CHECK(test_wire_open(0, TEST_CLIENT, 1000, (size_t)-1) == SC_OK);
    CHECK(sc_send(&test_conn, test_big[0], 20000) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 20000, &len) == SC_OK);
    CHECK(len == 20000 && memcmp(test_big[0], test_big[1], len) == 0);
    CHECK(sc_send(&test_conn, "", 0) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 1, &len) == SC_OK && len == 0);
    CHECK(sc_send(&test_conn, test_big[0], 20001) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 20000, &len)
          == SC_ERR_TOO_LONG && len == 0);
    CHECK(sc_recv(&test_conn, test_big[1], 1, &len) == SC_ERR_TOO_LONG);
    sc_close(&test_conn);
    CHECK(test_line.peer_result == SC_ERR_PEER_PROTOCOL);
    CHECK(test_wire_open(0, TEST_CLIENT, 1000, (size_t)-1) == SC_OK);
    CHECK(sc_send(&test_conn, test_big[0], 21000) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 20000, &len)
          == SC_ERR_TOO_LONG && len == 0 && !sc_pending(&test_conn));
    CHECK(sc_recv(&test_conn, test_big[1], 1, &len) == SC_ERR_TOO_LONG);
    sc_close(&test_conn);
}

/* The wire is cut after each byte the client could read of M2 and M4. */
static void test_blocking_handshake_cut_anywhere_fails_for_the_client(void)
{
    int keyed;
    for (keyed = 0; keyed < 2; keyed++) {
        size_t all = 548 + (keyed ? 276u : 20u), cut;
        for (cut = 0; cut < all; cut += cut < 548 ? 1 : keyed ? 25 : 1) {
            CHECK(test_wire_open(keyed, TEST_CLIENT, 600, cut)
                  == SC_ERR_SERVER_ENDED);
            CHECK(test_conn_is_wiped());
        }
        CHECK(test_wire_open(keyed, TEST_CLIENT, 600, all) == SC_OK);
        sc_close(&test_conn);
    }
}

/* And of M1, M3 and M5 for the server. */
static void test_blocking_handshake_cut_anywhere_fails_for_the_server(void)
{
    int keyed;
    for (keyed = 0; keyed < 2; keyed++) {
        size_t all = 4 + (keyed ? 788 + 20u : 532u), cut;
        for (cut = keyed ? 785 : 0; cut < all; cut++) {
            CHECK(test_wire_open(keyed, TEST_SERVER, 600, cut)
                  == SC_ERR_CUT_OFF);
            CHECK(test_conn_is_wiped());
        }
        CHECK(test_wire_open(keyed, TEST_SERVER, 600, all) == SC_OK);
        sc_close(&test_conn);
    }
}

/* A message, one of two parts, and CLOSE, cut at every byte: whole messages
 * are delivered, and only CLOSE is an end. */
static void test_blocking_records_cut_anywhere_are_cut_off(void)
{
    static sc_conn ready;
    static test_wire wire;
    size_t cut, len = 9;
    CHECK(test_wire_open(0, TEST_CLIENT, 600, (size_t)-1) == SC_OK);
    CHECK(sc_send(&test_conn, "first", 5) == SC_OK);
    CHECK(sc_send_part(&test_conn, "sec", 3) == SC_OK);
    CHECK(sc_send(&test_conn, "ond", 3) == SC_OK);
    CHECK(sc_finish(&test_conn) == SC_OK && test_line.back_len == 92);
    ready = test_conn;
    wire = test_line;
    for (cut = 0; cut <= 92; cut++) {
        int r, n = 0;
        test_conn = ready;
        test_line = wire;
        test_line.left = cut;
        while ((r = sc_recv_whole(&test_conn, test_big[1], 99, &len)) == SC_OK)
            CHECK(len == (n++ == 0 ? 5u : 6u));
        CHECK(r == (cut < 92 ? SC_ERR_CUT_OFF : SC_CLOSED) && len == 0);
        CHECK(n == (cut >= 25) + (cut >= 71));
    }
    sc_close(&test_conn);
    CHECK(test_conn_is_wiped());
}

/* A transport that fails: its own error is the result. */
static long test_broken_read(void *io, void *buf, size_t len)
{
    test_wire *w = (test_wire *)io;
    long n = test_wire_read(io, buf, len);
    return n > 0 || w->left > 0 ? n : (long)SC_ERR_IO;
}

static long test_broken_write(void *io, const void *buf, size_t len)
{
    (void)io; (void)buf; (void)len;
    return SC_ERR_TIMEOUT;
}

static int test_writes;         /* that still succeed */
static long test_tired_write(void *io, const void *buf, size_t len)
{
    return test_writes-- > 0 ? test_wire_write(io, buf, len)
                             : (long)SC_ERR_TIMEOUT;
}

static void test_blocking_error_of_the_transport_is_passed_on(void)
{
    test_wire *w = &test_line;
    CHECK(test_wire_open(0, TEST_CLIENT, 600, 0) == SC_ERR_SERVER_ENDED);
    w->p = test_pair_at(0, 1);
    w->left = 548;
    w->back_at = w->back_len = 0;
    test_writes = 1;                    /* M1, but not M3 */
    CHECK(sc_connect_over(&test_conn, test_wire_read, test_tired_write, w,
                          &w->p->client_options) == SC_ERR_TIMEOUT);
    CHECK(test_wire_open(0, TEST_CLIENT, 600, 0) == SC_ERR_SERVER_ENDED);
    w->p = test_pair_at(0, 1);
    CHECK(sc_connect_over(&test_conn, test_broken_read, test_wire_write, w,
                          &w->p->client_options) == SC_ERR_IO);
    CHECK(sc_connect_over(&test_conn, test_wire_read, test_broken_write, w,
                          &w->p->client_options) == SC_ERR_TIMEOUT);
    CHECK(test_conn_is_wiped());
}

/* A transport that says it moved what it cannot have moved. */
static long test_lying_read(void *io, void *buf, size_t len)
{
    long n = test_wire_read(io, buf, len);
    return ((test_wire *)io)->left == 0 ? (long)len + 1 : n;
}

static int test_honest;         /* calls that still say the truth */
static size_t test_lie;         /* and then: 0, or so many bytes too many */
static long test_lying_write(void *io, const void *buf, size_t len)
{
    if (test_honest-- > 0)
        return test_wire_write(io, buf, len);
    return (long)(test_lie == 0 ? 0 : len + test_lie);
}

static void test_blocking_transport_that_lies_has_failed(void)
{
    test_wire *w = &test_line;
    CHECK(test_wire_open(0, TEST_CLIENT, 600, 0) == SC_ERR_SERVER_ENDED);
    w->p = test_pair_at(0, 1);
    w->back_len = 0;
    w->left = 30;
    CHECK(sc_connect_over(&test_conn, test_lying_read, test_wire_write, w,
                          &w->p->client_options) == SC_ERR_IO);
    for (test_lie = 0; test_lie < 2; test_lie++) {
        CHECK(test_wire_open(0, TEST_CLIENT, 600, 0) == SC_ERR_SERVER_ENDED);
        w->p = test_pair_at(0, 1);
        w->back_len = 0;
        w->left = (size_t)-1;
        test_honest = 2;                /* M1, M3 */
        CHECK(sc_connect_over(&test_conn, test_wire_read, test_lying_write, w,
                              &w->p->client_options) == SC_OK);
        CHECK(sc_send(&test_conn, "x", 1) == SC_ERR_IO);
        CHECK(test_honest == -1);       /* it was not believed once */
        /* nobody knows how much of the record went out: no other follows */
        test_honest = 99;
        CHECK(sc_send(&test_conn, "x", 1) == SC_ERR_STATE);
        CHECK(sc_finish(&test_conn) == SC_ERR_STATE);
        CHECK(test_honest == 99);
        CHECK(sc_close(&test_conn) == SC_ERR_IO);
        CHECK(test_honest == 99 && test_conn_is_wiped());
    }
    CHECK(test_wire_open(0, TEST_CLIENT, 600, 0) == SC_ERR_SERVER_ENDED);
    w->p = test_pair_at(0, 1);
    w->back_len = 0;
    w->left = (size_t)-1;
    test_honest = 2;
    test_lie = 0;
    CHECK(sc_connect_over(&test_conn, test_wire_read, test_lying_write, w,
                          &w->p->client_options) == SC_OK);
    CHECK(sc_finish(&test_conn) == SC_ERR_IO);
    CHECK(sc_close(&test_conn) == SC_OK);       /* CLOSE was tried already */
}

static int test_n_reads;
static long test_counting_read(void *io, void *buf, size_t len)
{
    test_n_reads++;
    CHECK(len <= SC_FRAME_MAX);
    return test_wire_read(io, buf, len);
}

/* Behind a frame that is wrong, nothing is read, and its error stays. */
static void test_blocking_reads_nothing_behind_an_error(void)
{
    static const struct {
        const char *frame;
        int result, n_reads;            /* header; the rest */
    } cases[] = {
        { "\6\1\377\377aaaaaaaaaaaaaaaa", SC_ERR_FRAME, 1 },
        { "\6\1\0\20aaaaaaaaaaaaaaaa", SC_ERR_RECORD, 2 },
    };
    test_wire *w = &test_line;
    size_t len, i;
    int k;
    for (i = 0; i < 2; i++) {
        CHECK(test_wire_open(0, TEST_CLIENT, 600, (size_t)-1) == SC_OK);
        test_wire_back(w, (const uint8_t *)cases[i].frame, 20);
        test_conn.read = test_counting_read;
        test_n_reads = 0;
        for (k = 0; k < 2; k++) {
            len = 9;
            CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == cases[i].result);
            CHECK(len == 0 && test_n_reads == cases[i].n_reads);
        }
        CHECK(w->peer_result == SC_ERR_PEER_PROTOCOL);
        sc_close(&test_conn);
    }
}

static void test_blocking_calls_on_no_connection_are_harmless(void)
{
    size_t len = 9;
#ifndef SC_NO_OS
    int has_no_input = test_is_closed(0);
#endif
    memset(&test_conn, 0, sizeof test_conn);
    CHECK(sc_send(&test_conn, "x", 1) == SC_ERR_STATE);
    CHECK(sc_send_part(&test_conn, "x", 1) == SC_ERR_STATE);
    CHECK(sc_send_part(&test_conn, "", 0) == SC_ERR_STATE);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_ERR_STATE);
    CHECK(len == 0 && sc_finish(&test_conn) == SC_ERR_STATE);
    len = 9;
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_ERR_STATE);
    CHECK(len == 0 && sc_fd(&test_conn) == -1 && !sc_pending(&test_conn));
    CHECK(sc_close(&test_conn) == SC_OK);
    CHECK(test_is_zero(&test_conn, sizeof test_conn));
#ifndef SC_NO_OS
    CHECK(test_is_closed(0) == has_no_input);   /* which is no socket of it */
#endif
}

/* What was handed out is in the caller's buffer and nowhere else. */
static void test_blocking_recv_keeps_no_plaintext(void)
{
    size_t len, i;
    CHECK(test_wire_open(0, TEST_CLIENT, 1000, (size_t)-1) == SC_OK);
    memset(test_big[0], 'p', 100);
    CHECK(sc_send(&test_conn, test_big[0], 100) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 60, &len) == SC_MORE && len == 60);
    for (i = 0; i < 60; i++)
        CHECK(test_conn.in[4 + i] == 0);
    CHECK(test_conn.in[64] == 'p');
    CHECK(sc_recv(&test_conn, test_big[1], 60, &len) == SC_OK && len == 40);
    for (i = 0; i < 100; i++)
        CHECK(test_conn.in[4 + i] == 0);
    test_conn.channel.receiving.key[0] ^= 1;    /* and of an error, nothing */
    CHECK(sc_send(&test_conn, test_big[0], 100) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 60, &len) == SC_ERR_RECORD);
    CHECK(test_is_zero(test_conn.in, sizeof test_conn.in));
    CHECK(test_line.peer_result == SC_ERR_PEER_PROTOCOL);       /* at once */
    CHECK(sc_finish(&test_conn) == SC_ERR_RECORD);
    sc_close(&test_conn);
}

/* Half a message is never taken for a whole one: not when its beginning has
 * been handed out before, and not when an error comes before its end. */
static void test_blocking_recv_whole_gives_no_half(void)
{
    size_t len = 9;
    CHECK(test_wire_open(0, TEST_CLIENT, 1000, (size_t)-1) == SC_OK);
    CHECK(sc_send(&test_conn, "halves", 6) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 3, &len) == SC_MORE && len == 3);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_ERR_STATE);
    CHECK(len == 0);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_OK && len == 3);
    CHECK(sc_send_part(&test_conn, "first", 5) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_MORE && len == 5);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_ERR_STATE);
    CHECK(sc_send(&test_conn, "last", 4) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_OK && len == 4);
    CHECK(sc_send_part(&test_conn, "1", 1) == SC_OK);
    test_conn.read = test_broken_read;
    test_line.left = 22;                /* the first part, and a byte */
    CHECK(sc_send(&test_conn, "last", 4) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_ERR_IO);
    test_conn.read = test_wire_read;
    test_line.left = (size_t)-1;
    CHECK(len == 0 && sc_recv_whole(&test_conn, test_big[1], 9, &len) < 0);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_ERR_IO && len == 0);
    sc_close(&test_conn);
}

/* The peer is in the middle of a message of test_whole_left bytes more. */
static size_t test_whole_left;
static long test_whole_read(void *io, void *buf, size_t len)
{
    test_wire *w = (test_wire *)io;
    size_t n = test_whole_left < SC_RECORD_MAX ? test_whole_left
                                               : SC_RECORD_MAX;
    if (w->back_len == 0 && n > 0) {
        static uint8_t data[SC_RECORD_MAX];
        test_whole_left -= n;
        CHECK(sc_seal(&w->p->end[TEST_SERVER].ch, test_whole_left > 0, data, n,
                      w->back, &w->back_len) == SC_OK);
    }
    return test_wire_read(io, buf, len);
}

/* Whatever the buffer holds, a message has at most SC_MESSAGE_MAX bytes. */
static void test_blocking_recv_whole_has_its_own_maximum(void)
{
    uint8_t *room = (uint8_t *)malloc(SC_MESSAGE_MAX + 1);
    size_t len, longer;
    if (room == NULL)
        return;
    for (longer = 0; longer < 2; longer++) {
        CHECK(test_wire_open(0, TEST_CLIENT, SC_FRAME_MAX, (size_t)-1)
              == SC_OK);
        test_whole_left = SC_MESSAGE_MAX + longer;
        test_conn.read = test_whole_read;
        CHECK(sc_recv_whole(&test_conn, room, SC_MESSAGE_MAX + 1, &len)
              == (longer ? SC_ERR_TOO_LONG : SC_OK));
        CHECK(len == (longer ? 0 : SC_MESSAGE_MAX));
        sc_close(&test_conn);
    }
    free(room);
}

static void test_blocking_closed_is_said_again(void)
{
    size_t len = 9;
    CHECK(test_wire_open(0, TEST_CLIENT, 1000, (size_t)-1) == SC_OK);
    CHECK(sc_finish(&test_conn) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    CHECK(!sc_pending(&test_conn));
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED && len == 0);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    test_conn.read = test_broken_read;  /* and nobody has to be asked */
    test_line.left = 0;
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED && len == 0);
    CHECK(sc_close(&test_conn) == SC_OK);
    CHECK(sc_close(&test_conn) == SC_OK);
}

/* Every result has a sentence of its own, which fits on a line. */
static void test_blocking_every_result_has_its_own_words(void)
{
    static const int results[] = {
        SC_OK, SC_MORE, SC_CLOSED, SC_ERR_ARGUMENT, SC_ERR_STATE, SC_ERR_SPACE,
        SC_ERR_RANDOM, SC_ERR_INTERNAL, SC_ERR_IO, SC_ERR_TIMEOUT,
        SC_ERR_CUT_OFF, SC_ERR_SERVER_ENDED, SC_ERR_RESOLVE, SC_ERR_CONNECT,
        SC_ERR_LISTEN, SC_ERR_FRAME, SC_ERR_PUBLIC_KEY, SC_ERR_SAME_KEYS,
        SC_ERR_HANDSHAKE, SC_ERR_RECORD, SC_ERR_CLOSE, SC_ERR_TOO_LONG,
        SC_ERR_NO_JUDGE, SC_ERR_PIN, SC_ERR_PIN_FORMAT, SC_ERR_HOST_UNKNOWN,
        SC_ERR_HOST_CHANGED, SC_ERR_HOST_REVOKED, SC_ERR_HOST_LINE,
        SC_ERR_REFUSED, SC_ERR_PEER_PROTOCOL, SC_ERR_PEER_INTERNAL,
        SC_ERR_NOT_AUTHORISED, SC_ERR_ANONYMOUS, SC_ERR_FILE,
        SC_ERR_FILE_EXISTS, SC_ERR_FILE_MODE, SC_ERR_KEY_FORMAT,
        SC_ERR_KEY_ENCRYPTED, SC_ERR_KEY_TYPE, SC_ERR_KEY_SIZE,
        SC_ERR_KEY_EXPONENT, SC_ERR_KEY_CHECK
    };
    size_t n = sizeof results / sizeof *results, i, k;
    int r, n_known = 0;
    for (i = 0; i < n; i++) {
        const char *words = sc_strerror(results[i]);
        CHECK(strlen(words) > 3 && strchr(words, '\n') == NULL);
        CHECK(strcmp(words, sc_strerror(-9999)) != 0);
        for (k = 0; k < i; k++)
            CHECK(results[k] != results[i]
                  && strcmp(words, sc_strerror(results[k])) != 0);
    }
    for (r = -200; r < 200; r++)
        n_known += strcmp(sc_strerror(r), sc_strerror(-9999)) != 0;
    CHECK((size_t)n_known == n);
    CHECK(strcmp(sc_strerror(-9999), "an unknown error") == 0);
    /* compiled programs know them by number: the last of each kind */
    CHECK(SC_CLOSED == 2 && SC_ERR_INTERNAL == -5 && SC_ERR_LISTEN == -16);
    CHECK(SC_ERR_TOO_LONG == -26 && SC_ERR_HOST_LINE == -36);
    CHECK(SC_ERR_ANONYMOUS == -44 && SC_ERR_KEY_CHECK == -58);
    CHECK(SC_EVENT_NONE == 0 && SC_EVENT_CLOSED == 4);
}

/* The server refuses in sc_accept; the client hears why, after M4. */
static void test_blocking_server_refuses_and_the_client_is_told(void)
{
    int keyed;
    for (keyed = 0; keyed < 2; keyed++) {
        test_pair *p = test_pair_at(keyed, 1);
        p->judge_result = SC_ERR_NOT_AUTHORISED;
        p->server.options.require_client_key = 1;
        CHECK(test_wire_join(p, TEST_SERVER, 600, (size_t)-1)
              == (keyed ? SC_ERR_NOT_AUTHORISED : SC_ERR_ANONYMOUS));
        CHECK(test_line.peer_result == SC_ERR_REFUSED);
        CHECK(p->n_judged == keyed && test_conn_is_wiped());
    }
}

#ifndef SC_NO_OS

/* Bytes that are the same twelve times were not written; those around, never
 * are. */
static void test_blocking_random_bytes_of_the_system_fill_every_place(void)
{
    static const size_t sizes[] = { 0, 1, 255, 256, 257, 600 };
    uint8_t first[602], next[602], changed[602];
    size_t i, k, n;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(first, 0, sizeof first);
        memset(changed, 0, sizeof changed);
        for (k = 0; k < 12; k++) {
            memset(next, 0, sizeof next);
            CHECK(sc_os_random(NULL, next + 1, sizes[i]) == SC_OK);
            for (n = 0; n < sizeof next; n++)
                changed[n] |= next[n] != first[n];
        }
        for (n = 0; n < sizeof next; n++)
            CHECK(changed[n] == (n >= 1 && n <= sizes[i]));
    }
}

/* ---- over a pair of sockets ---- */

static int test_connect_fd(int fd)
{
    return sc_connect_fd(&test_conn, fd, &test_now.client_options);
}

static int test_accept_fd(int fd)
{
    return sc_accept_fd(&test_conn, fd, &test_now.server);
}

/* Server: sends everything back as it comes, until the client is done.  Its
 * socket takes little at a time and never blocks. */
static void test_echo(int fd)
{
    int r;
    size_t len = 0;
    CHECK(test_take_little(fd) == 0);
    CHECK(test_never_block(fd) == 0);
    r = test_accept_fd(fd);
    CHECK(r == SC_OK);
    while (r >= 0 && r != SC_CLOSED) {
        r = sc_recv(&test_conn, test_big[1], 30000, &len);
        if (r == SC_OK)
            CHECK(sc_send(&test_conn, test_big[1], len) == SC_OK);
        if (r == SC_MORE)
            CHECK(sc_send_part(&test_conn, test_big[1], len) == SC_OK);
    }
    CHECK(r == SC_CLOSED);
    CHECK(sc_close(&test_conn) == SC_OK);
}

/* What arrives while sc_send is at work. */
static void test_gather(void *ctx, int result, const uint8_t *data,
                        size_t data_len)
{
    size_t *total = (size_t *)ctx;
    if (CHECK(data_len > 0 && data_len <= sizeof test_big[1] - *total))
        memcpy(test_big[1] + *total, data, data_len);
    *total += data_len;
    CHECK(result == (*total < sizeof test_big[1] ? SC_MORE : SC_OK));
}

/* Client of the echo: a message that is longer than all buffers on its way, so
 * that both sides send at once. */
static void test_echo_client(int fd)
{
    size_t len = 0, total = 0, n = sizeof test_big[0];
    int r = SC_MORE;
    memset(&test_conn, 0xaa, sizeof test_conn);
    CHECK(test_connect_fd(fd) == SC_OK && sc_fd(&test_conn) == fd);
    CHECK(test_conn.deadline_ms == 0);  /* 30 s are for the handshake only */
    test_big_fill();
    sc_set_on_data(&test_conn, test_gather, &total);
    CHECK(sc_send(&test_conn, test_big[0], n) == SC_OK);
    CHECK(total > 0);
    if (!CHECK(sc_recv_whole(&test_conn, test_big[1] + total, n - total, &len)
               == SC_ERR_STATE))        /* its beginning is gone already */
        total = n;
    while (r == SC_MORE && total < n) {
        r = sc_recv(&test_conn, test_big[1] + total, n - total, &len);
        total += len;
    }
    CHECK(total == n && memcmp(test_big[0], test_big[1], n) == 0);
    CHECK(sc_finish(&test_conn) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    CHECK(sc_close(&test_conn) == SC_OK && test_conn_is_wiped());
    CHECK(test_is_closed(fd));
}

static void test_blocking_both_sides_send_4_mib_at_once(void)
{
    int fd;
    test_process pid;
    test_pair_at(0, 1);
    pid = test_spawn(test_echo, &fd);
    test_echo_client(fd);
    test_reap(pid);
}

#if !defined(_WIN32)                    /* where nothing interrupts a call */

/* Neither faster nor slower than the system's own. */
static void test_blocking_clock_counts_milliseconds(void)
{
    struct timespec t[2];
    uint64_t now;
    int i;
    for (i = 0; i < 5; i++) {
        clock_gettime(CLOCK_MONOTONIC, &t[0]);
        now = sc_now_ms();
        clock_gettime(CLOCK_MONOTONIC, &t[1]);
        CHECK(now >= (uint64_t)t[0].tv_sec * 1000
                     + (uint64_t)t[0].tv_nsec / 1000000);
        CHECK(now <= (uint64_t)t[1].tv_sec * 1000
                     + (uint64_t)t[1].tv_nsec / 1000000);
        test_sleep_ms(3);
    }
}

/* A gnat: a process that sends signals to two others all the time. */
static test_process test_stung[2];
static void test_sting(int unused)
{
    (void)unused;
    while (getppid() == test_stung[0] && kill(test_stung[0], SIGUSR1) == 0) {
        kill(test_stung[1], SIGUSR1);
        test_sleep_ms(1);
    }
}

static void test_stung_once(int signal_number)
{
    (void)signal_number;
}

static void test_blocking_signals_interrupt_nothing(void)
{
    struct sigaction handle, before;
    int fd;
    test_process pid, gnat;
    memset(&handle, 0, sizeof handle);
    handle.sa_handler = test_stung_once;        /* and no SA_RESTART */
    sigemptyset(&handle.sa_mask);
    CHECK(sigaction(SIGUSR1, &handle, &before) == 0);
    test_pair_at(0, 1);
    pid = test_spawn(test_echo, &fd);
    test_stung[0] = getpid();
    test_stung[1] = pid;
    gnat = test_spawn(test_sting, NULL);
    test_echo_client(fd);
    test_reap(pid);
    test_kill(gnat);
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
}

#else

static void test_blocking_clock_counts_milliseconds(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_signals_interrupt_nothing(void)
{
    test_skip("there are no signals here");
}

#endif

/* A client whose server goes away: the result at each moment, and no SIGPIPE.
 * test_lost_left: bytes the server still sends; M2 and M4 are 568. */
static void test_lose_server(int fd)
{
    size_t len = 0;
    int r = test_connect_fd(fd), i;
    if (test_lost_left < 568) {         /* after 548: while M3 is written */
        CHECK(r == SC_ERR_SERVER_ENDED
              || (r == SC_ERR_IO && test_lost_left == 548));
        CHECK(test_conn_is_wiped());
        return;
    }
    CHECK(r == SC_OK && sc_send(&test_conn, "hello", 5) == SC_OK);
    r = sc_recv_whole(&test_conn, test_big[1], 9, &len);
    if (test_lost_left < 568 + 25) {
        CHECK(r == SC_ERR_CUT_OFF && len == 0);
        CHECK(sc_send(&test_conn, "hello", 5) == SC_ERR_CUT_OFF);
    } else {
        CHECK(r == SC_OK && len == 5);
        for (i = 0; i < 1000 && r == SC_OK; i++) {
            r = sc_send(&test_conn, test_big[0], 20000);
            test_sleep_ms(1);
        }
        CHECK(r == SC_ERR_IO || r == SC_ERR_CUT_OFF);
    }
    sc_close(&test_conn);
    CHECK(test_conn_is_wiped());
}

/* The server of those clients: sends test_lost_left bytes and vanishes. */
static void test_vanish(int fd)
{
    test_wire *w = &test_line;
    uint8_t buf[1024];
    memset(w, 0, sizeof *w);
    w->p = test_pair_at(0, 1);
    w->side = TEST_CLIENT;
    w->step = sizeof buf;
    w->left = test_lost_left;
    while (w->left > 0) {
        long n = test_read(fd, buf, sizeof buf);
        if (!CHECK(n > 0))
            break;
        CHECK(test_wire_write(w, buf, (size_t)n) == n);
        n = test_wire_read(w, buf, sizeof buf);
        CHECK(test_write(fd, buf, (size_t)n) == n);
    }
    test_close(fd);
}

static void test_blocking_server_that_vanishes_raises_no_signal(void)
{
    static const size_t lefts[] = {1, 4, 300, 548, 560, 569, 580, 593};
    size_t i;
    for (i = 0; i < sizeof lefts / sizeof lefts[0]; i++) {
        int fd;
        test_process pid;
        test_lost_left = lefts[i];
        test_pair_at(0, 1);
        pid = test_spawn(test_lose_server, &fd);
        test_vanish(fd);
        test_reap(pid);
    }
}

/* Server: half a record, a pause, the other half; then it neither reads nor
 * writes any more. */
static void test_sulk(int fd)
{
    uint8_t record[25];
    size_t len = 0;
    CHECK(test_accept_fd(fd) == SC_OK);
    CHECK(sc_seal(&test_conn.channel, 0, (const uint8_t *)"later", 5, record,
                  &len) == SC_OK);
    CHECK(test_write(fd, record, 13) == 13);
    test_sleep_ms(400);
    CHECK(test_write(fd, record + 13, 12) == 12);
    for (;;)
        test_sleep_ms(1000);
}

static void test_blocking_timeout_ends_the_wait(void)
{
    uint64_t start, took[2];
    size_t len = 9;
    int fd, i;
    test_process pid;
    test_pair_at(0, 1);
    pid = test_spawn(test_sulk, &fd);
    CHECK(test_connect_fd(fd) == SC_OK);
    sc_set_timeout(&test_conn, 200);
    start = sc_now_ms();
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_ERR_TIMEOUT);
    took[0] = sc_now_ms() - start;
    CHECK(len == 0);
    sc_set_timeout(&test_conn, 0);      /* what was waited for is not lost */
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_OK);
    CHECK(len == 5 && memcmp(test_big[1], "later", 5) == 0);
    for (i = 0; i < 3; i++) {           /* whichever of the two ends first */
        sc_set_timeout(&test_conn, i == 0 ? 0 : i == 1 ? 60000 : 50);
        start = sc_now_ms();
        test_conn.deadline_ms = start + (i == 2 ? 60000 : 50);
        CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_ERR_TIMEOUT);
        start = sc_now_ms() - start;
        CHECK(start >= 40 && start < 5000);
    }
    test_conn.deadline_ms = 0;
    sc_set_timeout(&test_conn, 200);
    start = sc_now_ms();
    CHECK(sc_send(&test_conn, test_big[0], sizeof test_big[0])
          == SC_ERR_TIMEOUT);
    took[1] = sc_now_ms() - start;
    CHECK(sc_send(&test_conn, "x", 1) == SC_ERR_TIMEOUT);
    CHECK(sc_finish(&test_conn) == SC_ERR_TIMEOUT);
    CHECK(took[0] >= 190 && took[0] < 5000);
    CHECK(took[1] >= 190 && took[1] < 5000);
    test_kill(pid);
    sc_close(&test_conn);
}

#if TEST_POSIX

/* Server: reads nothing, and what it says is wrong, cut off, altered, or right,
 * but late and slowly, or at once, or all that it will ever say, or more than
 * that. */
static int test_spoil;
static void test_speak_badly(int fd)
{
    uint8_t record[25], byte;
    size_t len = 0, i;
    CHECK(test_accept_fd(fd) == SC_OK);
    if (test_spoil >= 6)
        CHECK(sc_shut(&test_conn.channel, record, &len) == SC_OK);
    else
        CHECK(sc_seal(&test_conn.channel, test_spoil == 5,
                      (const uint8_t *)"later", 5, record, &len) == SC_OK);
    record[0] = test_spoil == 0 ? 9 : record[0];
    record[len - 1] ^= test_spoil == 2;
    for (i = 0; test_spoil == 7 && i < 4; i++)
        record[len++] = (uint8_t)"\6\1\0\20"[i];
    while (test_spoil == 3 && recv(fd, &byte, 1, MSG_PEEK) < 1)
        test_sleep_ms(1);               /* until the client sends */
    for (i = 0; i < (test_spoil == 1 ? 13 : len); i++) {
        CHECK(write(fd, record + i, 1) == 1);
        if (test_spoil == 3)
            test_sleep_ms(10);
    }
    if (test_spoil == 1)
        shutdown(fd, SHUT_WR);
    if (test_spoil == 5)
        CHECK(sc_send(&test_conn, "later", 5) == SC_OK);
    for (;;)
        pause();
}

static void test_hear_end(void *ctx, int result, const uint8_t *data,
                          size_t data_len)
{
    (void)data;
    CHECK(result == SC_CLOSED && data_len == 0);
    ++*(size_t *)ctx;
}

/* sc_send to that server, and what comes of it. */
static void test_send_to_bad_speaker(int i)
{
    static const int want[] = { SC_ERR_FRAME, SC_ERR_CUT_OFF, SC_ERR_RECORD,
                                SC_ERR_TIMEOUT, SC_ERR_TIMEOUT,
                                SC_ERR_TIMEOUT, SC_ERR_TIMEOUT,
                                SC_ERR_TIMEOUT };
    uint64_t start;
    size_t total, len;
    int fd;
    pid_t pid;
    test_spoil = i;
    test_pair_at(0, 1);
    pid = test_spawn(test_speak_badly, &fd);
    CHECK(test_connect_fd(fd) == SC_OK);
    sc_set_timeout(&test_conn, i < 3 ? 20000 : i < 5 ? 300 : 100);
    total = sizeof test_big[1] - 5;             /* and 5 bytes end it */
    sc_set_on_data(&test_conn, test_gather, &total);
    if (i == 5) {               /* two of ten are taken before */
        CHECK(sc_recv(&test_conn, test_big[1], 2, &len) == SC_MORE);
        total -= 3;
    }
    if (i >= 6) {
        sc_set_on_data(&test_conn, test_hear_end, &total);
        total = sizeof test_big[1] - 1;
    }
    if (i == 4) {               /* a wait that is over, though all is there */
        while (recv(fd, test_big[1], 25, MSG_PEEK) < 25)
            test_sleep_ms(1);
        test_conn.deadline_ms = 1;
        CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == want[i]);
    } else {
        start = sc_now_ms();
        CHECK(sc_send(&test_conn, test_big[0], sizeof test_big[0]) == want[i]);
        if (i == 3)             /* 250 ms of bytes, and nothing for 300 */
            CHECK(sc_now_ms() - start >= 500);
        CHECK(total == sizeof test_big[1] - (i < 3 ? 5 : 0));
        CHECK(i < 3 || i >= 6 || test_is_zero(test_conn.in + 4, 5)); /* wiped */
        CHECK(sc_send(&test_conn, "x", 1) == want[i]);
    }
    test_kill(pid);
    sc_close(&test_conn);
}

/* What sc_send takes in while it waits is judged as sc_recv would judge it;
 * after the peer's CLOSE nothing is taken in. */
static void test_blocking_errors_are_found_while_sending(void)
{
    int i;
    for (i = 0; i < 8; i++)
        if (i != 3 && i != 5)
            test_send_to_bad_speaker(i);
}

/* It goes on where sc_recv left off; and as long as something comes, however
 * slowly, sc_send waits on. */
static void test_blocking_sending_takes_in_what_comes_slowly(void)
{
    test_send_to_bad_speaker(3);
    test_send_to_bad_speaker(5);
}

/* Server: two records, the first perhaps altered; then it reads to the end, but
 * late: the last is CLOSE. */
static void test_read_late(int fd)
{
    uint8_t record[2][25];
    size_t len[2] = {0, 0}, total = 0;
    long n = 1;
    int i;
    CHECK(test_accept_fd(fd) == SC_OK);
    for (i = 0; i < 2; i++)
        CHECK(sc_seal(&test_conn.channel, 0, (const uint8_t *)"later", 5,
                      record[i], &len[i]) == SC_OK);
    record[0][24] ^= (uint8_t)test_spoil;
    CHECK(write(fd, record, sizeof record) == 50);
    test_sleep_ms(100);
    while (n > 0) {
        n = read(fd, test_big[1] + total, sizeof test_big[1] - total);
        if (n > 0)
            total += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            n = (test_sleep_ms(1), 1);
    }
    CHECK(n == 0 && total > 21);
    CHECK(total > 21
          && memcmp(test_big[1] + total - 21, "\10\1\0\21", 4) == 0);
}

/* While CLOSE waits to be sent, nothing is taken in any more, and nobody is
 * told of it: after an error (0: by sc_close, 1: in sc_recv). */
static void test_blocking_close_is_sent_though_it_waits_and_more_comes(void)
{
    size_t total, len;
    memset(test_big[0], 0, 4096);
    for (test_spoil = 0; test_spoil < 2; test_spoil++) {
        int fd;
        pid_t pid;
        test_pair_at(0, 1);
        pid = test_spawn(test_read_late, &fd);
        CHECK(test_connect_fd(fd) == SC_OK);
        total = 0;
        sc_set_on_data(&test_conn, test_gather, &total);
        for (len = 4096; len > 0; len = len > 1 ? 1 : 0)
            while (write(fd, test_big[0], len) > 0)
                continue;               /* there is no room for CLOSE */
        if (test_spoil)
            CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_ERR_RECORD);
        CHECK(sc_close(&test_conn) == (test_spoil ? SC_ERR_RECORD : SC_OK));
        CHECK(total == 0);
        test_reap(pid);
    }
}

/* An end that says CLOSE, something that may not follow it, and goes. */
static void test_junk_behind_close(int fd)
{
    uint8_t buf[SC_REPLY_MAX + 4];
    size_t len = 0;
    CHECK(test_accept_fd(fd) == SC_OK);
    CHECK(sc_shut(&test_conn.channel, buf, &len) == SC_OK);
    memcpy(buf + len, "junk", 4);
    CHECK(test_write(fd, buf, len + 4) == (long)len + 4);
    test_close(fd);
}

/* Behind CLOSE nothing is read: when sending fails, that is the error. */
static void test_blocking_looks_for_no_words_behind_close(void)
{
    test_process pid;
    size_t len = 9;
    int fd;
    test_pair_at(0, 1);
    pid = test_spawn(test_junk_behind_close, &fd);
    CHECK(test_connect_fd(fd) == SC_OK);
    test_reap(pid);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    CHECK(sc_send(&test_conn, "x", 1) == SC_ERR_IO);
    sc_close(&test_conn);
}

/* An end that answers CLOSE with a byte, and goes later. */
static void test_a_byte_for_close(int fd)
{
    uint8_t close_record[4 + 1 + 16];
    long n;
    CHECK(test_accept_fd(fd) == SC_OK);
    while ((n = test_read(fd, close_record, sizeof close_record)) < 0
           && errno == EAGAIN)
        test_sleep_ms(1);
    CHECK(n == (long)sizeof close_record);
    CHECK(test_write(fd, "x", 1) == 1);
    test_sleep_ms(200);
    test_close(fd);
}

static void test_blocking_close_waits_though_a_byte_comes(void)
{
    test_process pid;
    uint64_t start;
    int fd;
    test_pair_at(0, 1);
    pid = test_spawn(test_a_byte_for_close, &fd);
    CHECK(test_connect_fd(fd) == SC_OK);
    start = sc_now_ms();
    CHECK(sc_close(&test_conn) == SC_OK);
    CHECK(sc_now_ms() - start >= 150);
    test_reap(pid);
}

/* An end that says ten bytes, and listens late. */
static void test_ten_bytes_and_late(int fd)
{
    size_t len;
    CHECK(test_accept_fd(fd) == SC_OK);
    CHECK(sc_send(&test_conn, "0123456789", 10) == SC_OK);
    test_sleep_ms(200);
    CHECK(test_recv_all(&test_conn, sizeof test_big[1], &len) == SC_OK);
    sc_close(&test_conn);
}

static int test_n_told;
static void test_on_data_counts(void *ctx, int result, const uint8_t *data,
                                size_t data_len)
{
    CHECK(ctx == NULL && data != NULL && data_len > 0 && result >= 0);
    test_n_told++;
}

/* What sc_recv has begun to hand out is not handed out elsewhere. */
static void test_blocking_sending_leaves_to_recv_what_it_began(void)
{
    test_process pid;
    size_t len = 0;
    int fd;
    test_pair_at(0, 1);
    pid = test_spawn(test_ten_bytes_and_late, &fd);
    CHECK(test_connect_fd(fd) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 1, &len) == SC_MORE);
    test_n_told = 0;
    sc_set_on_data(&test_conn, test_on_data_counts, NULL);
    CHECK(sc_send(&test_conn, test_big[0], 3000000) == SC_OK);
    CHECK(test_n_told == 0);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_OK && len == 9);
    sc_close(&test_conn);
    test_reap(pid);
}

/* A wait that fails is an error of the transport, and not waited for again. */
static void test_blocking_wait_that_fails_is_told(void)
{
    struct rlimit before, none;
    struct pollfd p;
    size_t len;
    int fd, can_fail, e = SC_ERR_IO;
    pid_t pid;
    test_pair_at(0, 1);
    pid = test_spawn(test_sulk, &fd);
    CHECK(test_connect_fd(fd) == SC_OK);
    sc_set_timeout(&test_conn, 200);
    p.fd = fd;
    p.events = POLLIN;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    can_fail = poll(&p, 1, 0) < 0;      /* more descriptors than are allowed */
    if (can_fail)
        e = sc_recv(&test_conn, test_big[1], 9, &len);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(e == SC_ERR_IO);
    if (!can_fail)
        test_skip("poll() does not fail here");
    test_kill(pid);
    sc_close(&test_conn);
}

/* Server: is gone when something has come, which it leaves unread. */
static void test_read_nothing(int fd)
{
    char byte;
    CHECK(test_accept_fd(fd) == SC_OK);
    while (recv(fd, &byte, 1, MSG_PEEK) < 1)
        test_sleep_ms(1);
    close(fd);
}

/* Server: says something last, or nothing, and is gone. */
static int test_last_words;
static void test_go(int fd)
{
    uint8_t bye[25];
    size_t len = 0;
    CHECK(test_accept_fd(fd) == SC_OK);
    if (test_last_words == 1)
        CHECK(sc_send(&test_conn, "later", 5) == SC_OK);
    if (test_last_words == 0)
        (void)sc_fail(&test_conn.channel, SC_ERR_NOT_AUTHORISED);
    if (test_last_words < 2)
        (void)sc_shut(&test_conn.channel, bye, &len);
    CHECK(test_write(fd, bye, len) == (long)len);
    test_close(fd);
}

/* The system may call that a reset; the channel, an end that was not due, as
 * any other without a CLOSE.  Old errors do not matter. */
static void test_blocking_reset_connection_is_cut_off(void)
{
    size_t len = 9;
    int fd, is_reset;
    pid_t pid;
    test_last_words = 2;
    for (is_reset = 0; is_reset < 2; is_reset++) {
        test_pair_at(0, 1);
        pid = test_spawn(is_reset ? test_read_nothing : test_go, &fd);
        CHECK(test_connect_fd(fd) == SC_OK);
        if (is_reset)
            CHECK(sc_send(&test_conn, "x", 1) == SC_OK);
        test_reap(pid);
        errno = EINTR;
        CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_ERR_CUT_OFF);
        CHECK(len == 0 && test_conn.in_len == 0);
        CHECK(sc_close(&test_conn) == SC_ERR_CUT_OFF);
    }
}

/* Nothing can be sent to a peer that has gone, but what it said last is found:
 * why it went, or data, which stay to be received.  All by descriptor 0. */
static void test_blocking_last_words_are_found_when_sending_fails(void)
{
    static const int want[] = { SC_ERR_REFUSED, SC_ERR_IO, SC_ERR_CUT_OFF };
    int in = test_free_0();
    size_t len;
    for (test_last_words = 0; test_last_words < 3; test_last_words++) {
        int fd;
        test_process pid;
        test_pair_at(0, 1);
        pid = test_spawn(test_go, &fd);
        CHECK(fd == 0 && test_connect_fd(fd) == SC_OK);
        test_reap(pid);
        CHECK(sc_send(&test_conn, "x", 1) == want[test_last_words]);
        CHECK(test_conn.deadline_ms == 0);
        if (test_last_words == 1) {
            CHECK(sc_pending(&test_conn));
            CHECK(sc_send(&test_conn, "x", 1) == SC_ERR_STATE);
            CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_OK);
            CHECK(len == 5 && memcmp(test_big[1], "later", 5) == 0);
            CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
            CHECK(sc_close(&test_conn) == SC_ERR_IO);
        } else {
            CHECK(sc_send(&test_conn, "x", 1) == want[test_last_words]);
            CHECK(sc_recv(&test_conn, test_big[1], 9, &len)
                  == want[test_last_words]);
            CHECK(sc_close(&test_conn) == want[test_last_words]);
        }
    }
    test_restore_0(in);
}

#else

static void test_blocking_last_words_are_found_when_sending_fails(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_errors_are_found_while_sending(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_sending_takes_in_what_comes_slowly(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_close_is_sent_though_it_waits_and_more_comes(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_wait_that_fails_is_told(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_looks_for_no_words_behind_close(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_close_waits_though_a_byte_comes(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_sending_leaves_to_recv_what_it_began(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_reset_connection_is_cut_off(void)
{
    test_skip("it is written for POSIX");
}

#endif

/* Client: begins M3 and dribbles on for longer than a handshake may take. */
static void test_dribble(int fd)
{
    int i;
    CHECK(test_write(fd, "\1\1\0\0\3\1\2\020", 8) == 8);
    test_no_sigpipe();
    for (i = 0; i < 80 && test_write(fd, "x", 1) == 1; i++)
        test_sleep_ms(500);
    CHECK(i > 50 && i < 70);
}

static void test_blocking_handshake_ends_after_30_seconds(void)
{
    uint64_t took = sc_now_ms();
    int fd;
    test_process pid;
    if (getenv("SC_SLOW") == NULL) {
        test_skip("takes 30 s; set SC_SLOW to run it");
        return;
    }
    test_pair_at(0, 1);
    pid = test_spawn(test_dribble, &fd);
    CHECK(test_accept_fd(fd) == SC_ERR_TIMEOUT);
    took = sc_now_ms() - took;
    CHECK(took >= SC_HANDSHAKE_MS - 100 && took < SC_HANDSHAKE_MS + 3000);
    test_reap(pid);
}

#if TEST_POSIX

/* ---- what is left on the stack ---- */

/* Work is done on a stack of its own, that of a signal, which can be searched
 * afterwards: a secret that a function copied and did not wipe is still there,
 * unless a later call has written over it. */
static uint8_t test_stack[1 << 19];
static size_t test_stack_len;           /* below the handler: the work's part */
static void (*test_work)(void);

/* To MemorySanitizer, what was left behind is undefined; it is searched. */
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define MAY_BE_SEARCHED(p, len) __msan_unpoison(p, len)
#endif
#endif
#ifndef MAY_BE_SEARCHED
#define MAY_BE_SEARCHED(p, len) (void)0
#endif

/* Above the handler's frame lies what the signal saved: registers, with what
 * the test itself had looked for last. */
static void test_on_signal(int number)
{
    volatile uint8_t here = (uint8_t)number;
    test_stack_len = (size_t)((uintptr_t)&here - (uintptr_t)test_stack);
    test_work();
    here = 0;                           /* so that this frame stays until now */
}

/* test_lies_there: is this on the stack, as it is or as limbs are stored? */
static int test_lies_there(const uint8_t *secret, size_t len)
{
    uint8_t limbs[100];
    size_t i;
    CHECK(len <= sizeof limbs && test_stack_len <= sizeof test_stack);
    for (i = 0; i < len; i++)
        limbs[i] = secret[len - 1 - i];
    for (i = 0; i + len <= test_stack_len; i++)
        if ((test_stack[i] == secret[0]
             && memcmp(test_stack + i, secret, len) == 0)
            || (test_stack[i] == limbs[0]
                && memcmp(test_stack + i, limbs, len) == 0))
            return 1;
    return 0;
}

static void test_on_stack(void (*work)(void))
{
    struct sigaction action, action_before;
    stack_t stack, stack_before;
    memset(test_stack, 0, sizeof test_stack);
    memset(&stack, 0, sizeof stack);
    stack.ss_sp = test_stack;
    stack.ss_size = sizeof test_stack;
    memset(&action, 0, sizeof action);
    action.sa_handler = test_on_signal;
    action.sa_flags = SA_ONSTACK;
    test_work = work;
    CHECK(sigaltstack(&stack, &stack_before) == 0);
    CHECK(sigaction(SIGUSR2, &action, &action_before) == 0);
    CHECK(raise(SIGUSR2) == 0);
    MAY_BE_SEARCHED(test_stack, sizeof test_stack);
    CHECK(sigaction(SIGUSR2, &action_before, NULL) == 0);
    CHECK(sigaltstack(&stack_before, NULL) == 0);
}

/* A piece from the middle of a number of the key, wherever limbs begin. */
#define KEY_PIECE(number) ((number) + 14), 100
static void test_no_key_on_stack(const sc_private_key *key)
{
    CHECK(!test_lies_there(KEY_PIECE(key->p)));
    CHECK(!test_lies_there(KEY_PIECE(key->q)));
    CHECK(!test_lies_there(KEY_PIECE(key->dp)));
    CHECK(!test_lies_there(KEY_PIECE(key->dq)));
    CHECK(!test_lies_there(KEY_PIECE(key->qinv)));
}

/* What the work is done with. */
static struct {
    uint8_t key[32], text[600], out[700], hash[32], label[7];
    char pem[SC_PEM_MAX];
    size_t pem_len;
    sc_private_key private_key;
    sc_keygen keygen;
    test_random random;
    sc_word ok;
    int result;
} test_args;

static void test_work_leak(void)        /* the control: leaves a copy */
{
    uint8_t copy[32];
    memcpy(copy, test_args.key, 32);
    test_sha256(test_args.hash, copy, 32);
}

static void test_work_hmac(void)
{
    sc_hmac(test_args.hash, test_args.key, 32, test_args.text, 100);
}

static void test_work_hkdf(void)
{
    sc_hkdf_expand(test_args.key, "info", 4, test_args.out, 32);
}

static void test_work_seal(void)
{
    sc_aead_seal(test_args.out, test_args.key, test_args.hash, NULL, 0,
                 test_args.text, 600);
}

static void test_work_open(void)
{
    test_args.ok = sc_aead_open(test_args.out, test_args.key, test_args.hash,
                                NULL, 0, test_args.out, 316);
}

static void test_work_chacha20(void)
{
    sc_chacha20_xor(test_args.out, test_args.text, 600, test_args.key,
                    test_args.hash, 1);
}

static void test_work_encrypt(void)
{
    test_args.result = sc_oaep_encrypt(&test_args.private_key.pub, "label", 5,
                                       test_args.key, 32, test_args.out,
                                       test_random_bytes, &test_args.random);
}

static void test_work_decrypt(void)
{
    test_args.result = sc_oaep_decrypt(&test_args.private_key, "label", 5,
                                       test_args.out, test_args.hash, 32,
                                       &test_args.ok, test_random_bytes,
                                       &test_args.random);
}

static void test_work_private(void)
{
    test_args.result = sc_rsa_private(&test_args.private_key, test_args.out,
                                      test_args.text, &test_args.ok,
                                      test_random_bytes, &test_args.random);
}

static void test_work_write(void)
{
    test_args.result = sc_key_write_pem(&test_args.private_key, test_args.pem,
                                        sizeof test_args.pem,
                                        &test_args.pem_len);
}

static void test_work_write_short(void)
{
    test_args.result = sc_key_write_pem(&test_args.private_key, test_args.pem,
                                        100, &test_args.pem_len);
}

static void test_work_read(void)
{
    test_args.result = sc_key_read_pem(&test_args.private_key, test_args.pem,
                                       test_args.pem_len);
}

#ifdef TEST_FILES
static void test_work_save(void)
{
    test_args.result = sc_key_save(&test_args.private_key, in_folder("key"),
                                   "");
}

static void test_work_load(void)
{
    test_args.result = sc_key_load(&test_args.private_key, in_folder("key"));
}
#endif

static void test_work_check(void)
{
    test_args.result = sc_key_check(&test_args.private_key);
}

static void test_work_generate(void)
{
    char mark;
    do
        test_args.result = sc_keygen_step(&test_args.keygen,
                                          &test_args.private_key, &mark);
    while (test_args.result == SC_MORE);
}

/* test_stack_can_be_searched: fills in the arguments, and finds the control. */
static int test_stack_can_be_searched(void)
{
    memset(&test_args, 0, sizeof test_args);
    test_random_init(&test_args.random, "stack");
    (void)test_random_bytes(&test_args.random, test_args.key, 32);
    (void)test_random_bytes(&test_args.random, test_args.text, 600);
    test_args.private_key = *test_key(2048);
    test_on_stack(test_work_leak);
    if (!test_lies_there(test_args.key, 32)) {
        test_skip("local variables do not live on the stack here");
        return 0;
    }
    return 1;
}

static void test_wiping_hashes_and_cipher_leave_no_secret_on_the_stack(void)
{
    static const uint8_t zero[64] = {0};
    uint8_t pad[2][64], stream[2][64];
    sc_sha256 s;
    size_t i, k;
    if (!test_stack_can_be_searched())
        return;
    for (k = 0; k < 2; k++) {
        memset(pad[k], k == 0 ? 0x36 : 0x5c, 64);
        for (i = 0; i < 32; i++)
            pad[k][i] ^= test_args.key[i];
    }
    for (k = 0; k < 2; k++) {
        test_on_stack(k == 0 ? test_work_hmac : test_work_hkdf);
        CHECK(!test_lies_there(test_args.key, 32));
        CHECK(!test_lies_there(pad[0], 64) && !test_lies_there(pad[1], 64));
        for (i = 0; i < 2; i++) {       /* the hash of it, to go on from */
            sc_sha256_init(&s);
            sc_sha256_add(&s, pad[i], 64);
            CHECK(!test_lies_there((const uint8_t *)&s, 40));
        }
        CHECK(!test_lies_there(k == 0 ? test_args.hash : test_args.out, 32));
    }
    for (k = 0; k < 2; k++)
        sc_chacha20_xor(stream[k], zero, 64, test_args.key, test_args.hash,
                        (uint32_t)k);
    test_on_stack(test_work_seal);
    CHECK(!test_lies_there(test_args.key, 32));
    CHECK(!test_lies_there(test_args.text, 32));
    CHECK(!test_lies_there(test_args.text + 560, 32));
    CHECK(!test_lies_there(stream[0], 32) && !test_lies_there(stream[1], 32));
    sc_aead_seal(test_args.out, test_args.key, test_args.hash, NULL, 0,
                 test_args.text, 300);
    test_on_stack(test_work_open);
    CHECK(test_args.ok != 0);
    CHECK(memcmp(test_args.out, test_args.text, 300) == 0);
    CHECK(!test_lies_there(test_args.key, 32));
    CHECK(!test_lies_there(test_args.text, 32));
    CHECK(!test_lies_there(test_args.text + 100, 32));
    CHECK(!test_lies_there(test_args.text + 260, 32));
    test_on_stack(test_work_chacha20);
    CHECK(!test_lies_there(test_args.key, 32));
    for (i = 0; i < 24; i++)            /* of the last, shorter block */
        stream[0][i] = test_args.out[576 + i] ^ test_args.text[576 + i];
    CHECK(!test_lies_there(stream[0], 24));
}

/* Nor are p and q there in the digits of 61 bits, each in a word, that powers
 * modulo one of them are calculated with. */
static void test_no_digits_on_stack(const sc_private_key *key)
{
    const uint8_t *const prime[] = { key->p, key->q };
    uint64_t digits[6];
    size_t i, k, bit;
    for (i = 0; i < 2; i++) {
        memset(digits, 0, sizeof digits);
        for (k = 0; k < 6 * 61; k++) {
            bit = 5 * 61 + k;
            digits[k / 61] |= (uint64_t)(prime[i][127 - bit / 8] >> bit % 8 & 1)
                              << k % 61;
        }
        CHECK(!test_lies_there((const uint8_t *)digits, sizeof digits));
    }
}

static void test_wiping_rsa_leaves_no_secret_on_the_stack(void)
{
    static uint8_t em[256];
    sc_word m[2 * SC_LIMBS(128)], prime[SC_LIMBS(128)], rest[SC_LIMBS(128)];
    uint8_t mask[32], half[128];
    size_t i;
    if (!test_stack_can_be_searched())
        return;
    test_on_stack(test_work_encrypt);
    CHECK(test_args.result == SC_OK && !test_lies_there(test_args.key, 32));
    test_on_stack(test_work_private);
    CHECK(test_args.result == SC_OK && test_args.ok != 0);
    test_no_key_on_stack(test_key(2048));
    test_no_digits_on_stack(test_key(2048));
    CHECK(!test_lies_there(KEY_PIECE(test_args.text)));
    memcpy(em, test_args.text, 256);
    for (i = 0; i < 2; i++) {           /* m mod q gives q away: gcd(c-m^e,n) */
        sc_bn_decode(m, 2 * SC_LIMBS(128), em, 256);
        sc_bn_decode(prime, SC_LIMBS(128), i == 0 ? test_key(2048)->p
                                                  : test_key(2048)->q, 128);
        sc_bn_mod(rest, m, 2 * SC_LIMBS(128), prime, SC_LIMBS(128));
        sc_bn_encode(half, 128, rest, SC_LIMBS(128));
        CHECK(!test_lies_there(KEY_PIECE(half)));
    }
    test_on_stack(test_work_decrypt);
    CHECK(test_args.result == SC_OK && test_args.ok != 0);
    CHECK(memcmp(test_args.hash, test_args.key, 32) == 0);
    CHECK(!test_lies_there(test_args.key, 32));
    test_no_key_on_stack(test_key(2048));
    test_random_init(&test_args.random, "stack");       /* the same seed */
    for (i = 0; i < 2; i++)
        (void)test_random_bytes(&test_args.random, test_args.text,
                                i == 0 ? 32 : 600);
    (void)test_random_bytes(&test_args.random, mask, 32);
    test_random_init(&test_args.random, "stack");
    for (i = 0; i < 2; i++)
        (void)test_random_bytes(&test_args.random, test_args.text,
                                i == 0 ? 32 : 600);
    test_on_stack(test_work_encrypt);
    CHECK(!test_lies_there(mask, 32));          /* the seed, and its mask */
    for (i = 0; i < 32; i++)
        mask[i] ^= em[1 + i];
    CHECK(!test_lies_there(mask, 32));
    CHECK(!test_lies_there(KEY_PIECE(em)));
}

static void test_wiping_key_files_leave_no_secret_on_the_stack(void)
{
    uint8_t d[64];
    if (!test_stack_can_be_searched())
        return;
    test_on_stack(test_work_check);
    CHECK(test_args.result == SC_OK);
    test_no_key_on_stack(test_key(2048));
    test_no_digits_on_stack(test_key(2048));
    test_on_stack(test_work_write_short);
    CHECK(test_args.result == SC_ERR_SPACE);
    test_no_key_on_stack(test_key(2048));
    test_on_stack(test_work_write);
    CHECK(test_args.result == SC_OK);
    test_no_key_on_stack(test_key(2048));
    (void)sc_base64_read(test_args.out, sizeof test_args.out,
                         &test_args.pem_len, test_args.pem + 32 + 6 * 65, 64);
    memcpy(d, test_args.out, 48);       /* a piece of d */
    CHECK(!test_lies_there(d, 48));
    test_args.pem_len = strlen(test_args.pem);
    test_on_stack(test_work_read);
    CHECK(test_args.result == SC_OK);
    test_no_key_on_stack(test_key(2048));
    CHECK(!test_lies_there(d, 48));
    test_args.pem[1000] ^= 1;           /* and of a file that is refused */
    test_on_stack(test_work_read);
    CHECK(test_args.result < 0);
    test_no_key_on_stack(test_key(2048));
    CHECK(!test_lies_there(d, 48));
    test_args.private_key = *test_key(2048);
#ifdef TEST_FILES
    if (folder_begin()) {
        const uint8_t *text = (const uint8_t *)test_args.pem + 1200;
        test_on_stack(test_work_save);
        CHECK(test_args.result == SC_OK && !test_lies_there(text, 100));
        test_on_stack(test_work_load);
        CHECK(test_args.result == SC_OK && !test_lies_there(text, 100));
        folder_end();
    }
#endif
    CHECK(sc_keygen_init(&test_args.keygen, 2048, test_random_bytes,
                         &test_args.random) == SC_OK);
    test_on_stack(test_work_generate);
    CHECK(test_args.result == SC_OK);
    test_no_key_on_stack(&test_args.private_key);
}

static void test_work_frame(void)
{
    test_args.result = test_pair_run(&test_now, test_now.at + 1);
}

static void test_wiping_handshake_leaves_no_secret_on_the_stack(void)
{
    static const char *const secret[] = { "s1", "s2", "s3", "HS", "MS",
        "k_identity", "k_confirm", "k_chain", "k_client", "k_server",
        "k_proof" };
    static test_log log;
    test_pair *p = test_pair_init(1);
    size_t i, k, n_found = 0;
    if (!test_stack_can_be_searched())
        return;
    memset(&log, 0, sizeof log);
    p->client_options.trace = test_trace_log;
    p->client_options.trace_ctx = &log;
    CHECK(test_pair_start(p) == SC_OK && test_pair_run(p, 6) == SC_OK);
    p = test_pair_init(1);              /* the same values once more */
    CHECK(test_pair_start(p) == SC_OK);
    while (p->at < 6) {
        test_on_stack(test_work_frame);
        CHECK(test_args.result == SC_OK);
        for (i = 0; i < log.n; i++)
            for (k = 0; k < sizeof secret / sizeof *secret; k++) {
                if (strcmp(log.said[i].name, secret[k]) != 0)
                    continue;
                n_found++;
                if (!CHECK(!test_lies_there(log.said[i].first, 32)))
                    printf("    %s, after M%d\n", secret[k], p->at - 1);
            }
        test_no_key_on_stack(&test_host);
        test_no_key_on_stack(&test_short);
        test_no_key_on_stack(&test_client);
    }
    CHECK(n_found == 5 * sizeof secret / sizeof *secret);
    for (i = 3; i <= 4; i++) {          /* and of a frame that is refused */
        p = test_pair_at(1, (int)i);
        p->m[i][p->m_len[i] - 1] ^= 1;
        test_on_stack(test_work_frame);
        CHECK(test_args.result == SC_ERR_HANDSHAKE);
        CHECK(i == 4 || test_is_zero(&p->end[TEST_SERVER].ch.peer,
                                     sizeof p->end[TEST_SERVER].ch.peer));
        for (k = 0; k < log.n; k++)
            CHECK((strcmp(log.said[k].name, "s1") != 0
                   && strcmp(log.said[k].name, "s2") != 0
                   && strcmp(log.said[k].name, "s3") != 0
                   && strcmp(log.said[k].name, "k_identity") != 0)
                  || !test_lies_there(log.said[k].first, 32));
    }
}

#else

static void test_wiping_hashes_and_cipher_leave_no_secret_on_the_stack(void)
{
    test_skip("it is written for POSIX");
}

static void test_wiping_rsa_leaves_no_secret_on_the_stack(void)
{
    test_skip("it is written for POSIX");
}

static void test_wiping_key_files_leave_no_secret_on_the_stack(void)
{
    test_skip("it is written for POSIX");
}

static void test_wiping_handshake_leaves_no_secret_on_the_stack(void)
{
    test_skip("it is written for POSIX");
}

#endif

/* ---- over the network of this machine ---- */

/* test_listen: a socket that listens on a free port of 127.0.0.1, and does not
 * block; -1, said, where there is no such network. */
static int test_listen(void)
{
    int fd = -1;
    if (!test_has_network()) {
        test_skip("no sockets on 127.0.0.1");
        return -1;
    }
    test_pair_at(0, 1);                 /* whose options and server serve */
    if (!CHECK(sc_listen("127.0.0.1", 0, &fd) == SC_OK))
        return -1;
    CHECK(test_never_block(fd) == 0);
    test_port = test_port_of(fd);
    CHECK(test_port > 0);
    return fd;
}

static int test_connect(void)
{
    return sc_connect(&test_conn, "127.0.0.1", test_port,
                      &test_now.client_options);
}

static int test_accept(int listen_fd)
{
    return sc_accept(&test_conn, listen_fd, &test_now.server);
}

/* Clients: nobody, a stranger who speaks HTTP, one who vanishes after the
 * handshake, one who half-closes and waits for its answer. */
static void test_odd_clients(int unused)
{
    int fd = -1;
    size_t len = 0;
    char byte;
    (void)unused;
    CHECK(sc_dial("127.0.0.1", test_port, 5000, &fd) == SC_OK);
    test_close(fd);
    CHECK(sc_dial("127.0.0.1", test_port, 5000, &fd) == SC_OK);
    CHECK(test_write(fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
    CHECK(test_read(fd, &byte, 1) <= 0);        /* nothing is said to it */
    test_close(fd);
    CHECK(test_connect() == SC_OK);
    test_close(sc_fd(&test_conn));
    CHECK(test_connect() == SC_OK);
    CHECK(sc_send(&test_conn, "question", 8) == SC_OK);
    CHECK(sc_finish(&test_conn) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_OK
          && len == 6 && memcmp(test_big[1], "answer", 6) == 0);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    CHECK(sc_close(&test_conn) == SC_OK);
}

static void test_blocking_server_goes_on_after_odd_clients(void)
{
    int fd = test_listen();
    size_t len = 9;
    test_process pid;
    if (fd < 0)
        return;
    pid = test_spawn(test_odd_clients, NULL);
    CHECK(test_accept(fd) == SC_ERR_CUT_OFF && test_conn_is_wiped());
    CHECK(test_accept(fd) == SC_ERR_FRAME && test_conn_is_wiped());
    CHECK(test_accept(fd) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_ERR_CUT_OFF);
    CHECK(len == 0);
    sc_close(&test_conn);
    CHECK(test_accept(fd) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_OK);
    CHECK(len == 8 && memcmp(test_big[1], "question", 8) == 0);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    CHECK(sc_send(&test_conn, "answer", 6) == SC_OK);
    CHECK(sc_close(&test_conn) == SC_OK);
    test_reap(pid);
    test_close(fd);
}

#if TEST_POSIX

/* A client that sends what nobody reads, and only then looks at what came; it
 * tells when it is about to close. */
static int test_told[2];
static void test_late_reader(int unused)
{
    uint64_t now;
    size_t len = 9;
    (void)unused;
    CHECK(test_connect() == SC_OK);
    CHECK(sc_send(&test_conn, test_big[0], 50000) == SC_OK);
    test_sleep_ms(400);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    now = sc_now_ms();
    CHECK(test_write(test_told[1], &now, sizeof now) == (long)sizeof now);
    CHECK(sc_close(&test_conn) == SC_OK);
}

/* To close a TCP socket with bytes unread is to reset it, and the CLOSE under
 * way with it; so they are read, until the other side closes, too. */
static void test_blocking_close_arrives_though_bytes_are_unread(void)
{
    uint64_t start, end, told = (uint64_t)-1;
    int fd = test_listen();
    clock_t work;
    pid_t pid;
    if (fd < 0 || !CHECK(pipe(test_told) == 0))
        return;
    pid = test_spawn(test_late_reader, NULL);
    CHECK(test_accept(fd) == SC_OK);
    test_sleep_ms(100);
    start = sc_now_ms();
    work = clock();
    CHECK(sc_close(&test_conn) == SC_OK && test_conn_is_wiped());
    CHECK(clock() - work < CLOCKS_PER_SEC / 10);        /* it sleeps */
    end = sc_now_ms();
    CHECK(end - start < 1900);
    test_reap(pid);
    CHECK(test_read(test_told[0], &told, sizeof told) == (long)sizeof told);
    CHECK(told <= end);
    close(test_told[0]);
    close(test_told[1]);
    close(fd);
}

#else

static void test_blocking_close_arrives_though_bytes_are_unread(void)
{
    test_skip("it is written for POSIX");
}

#endif

static void test_blocking_connect_says_why_it_cannot(void)
{
    static const char label_of_64[] =   /* no name server has to be asked */
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl";
    int fd = test_listen();
    sc_client_options none;
    if (fd < 0)
        return;
    memset(&none, 0, sizeof none);
    memset(&test_conn, 0xaa, sizeof test_conn);
    CHECK(sc_connect(&test_conn, "127.0.0.1", test_port, &none)
          == SC_ERR_NO_JUDGE && test_conn_is_wiped());
    test_close(fd);
    CHECK(test_connect() == SC_ERR_CONNECT && test_conn_is_wiped());
    CHECK(sc_connect(&test_conn, label_of_64, 1, &test_now.client_options)
          == SC_ERR_RESOLVE && test_conn_is_wiped());
    CHECK(sc_listen(label_of_64, 0, &fd) == SC_ERR_RESOLVE && fd == -1);
}

static void test_blocking_listen_and_dial_refuse_what_no_port_is(void)
{
    int fd = 9, other = 9;
    CHECK(sc_dial("127.0.0.1", 0, 1000, &fd) == SC_ERR_ARGUMENT && fd == -1);
    fd = 9;
    CHECK(sc_dial("127.0.0.1", 65536, 1000, &fd) == SC_ERR_ARGUMENT);
    CHECK(fd == -1 && sc_dial(NULL, 1, 1000, &fd) == SC_ERR_ARGUMENT);
    fd = 9;
    CHECK(sc_listen("127.0.0.1", 65536, &fd) == SC_ERR_ARGUMENT && fd == -1);
    fd = test_listen();
    if (fd < 0)
        return;
    CHECK(sc_listen("127.0.0.1", test_port, &other) == SC_ERR_LISTEN);
    CHECK(errno == EADDRINUSE && other == -1);
    other = 9;
    CHECK(sc_dial("127.0.0.1", test_port, 0, &other) == SC_ERR_TIMEOUT);
    CHECK(other == -1);
    other = 9;                          /* nor is what cannot be tried */
    CHECK(sc_dial("255.255.255.255", 9, 0, &other) == SC_ERR_TIMEOUT);
    CHECK(other == -1);
    test_close(fd);
    CHECK(sc_listen("127.0.0.1", 65535, &other) != SC_ERR_ARGUMENT);
    if (other >= 0)
        test_close(other);
    CHECK(sc_dial("127.0.0.1", 65535, 1000, &other) != SC_ERR_ARGUMENT);
    if (other >= 0)
        test_close(other);
    CHECK(sc_dial("127.0.0.1", 1, 1000, &other) != SC_ERR_ARGUMENT);
    if (other >= 0)
        test_close(other);
}

#if TEST_POSIX

/* test_ipv6: a socket that listens on a port of ::1, and of nothing else; -1
 * where there is no such network. */
static int test_ipv6(unsigned port)
{
    struct sockaddr_in6 a;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    memset(&a, 0, sizeof a);
    a.sin6_family = AF_INET6;
    a.sin6_port = htons((uint16_t)port);
    a.sin6_addr.s6_addr[15] = 1;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0
        && listen(fd, 1) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* test_option: is this on? */
static int test_option(int fd, int level, int option)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, option, &value, &len) == 0 && value != 0;
}

/* With no host named, a server can be reached by any address of the machine. */
static void test_blocking_listen_on_every_address_hears_ipv4(void)
{
    struct sockaddr_storage a;
    socklen_t a_len = sizeof a;
    int fd = test_listen(), any = -1, client = -1, got;
    unsigned port;
    if (fd < 0)
        return;
    close(fd);
    if (!CHECK(sc_listen(NULL, 0, &any) == SC_OK))
        return;
    CHECK(getsockname(any, (struct sockaddr *)&a, &a_len) == 0);
    port = a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                  : ((struct sockaddr_in6 *)&a)->sin6_port;
    port = ntohs((uint16_t)port);
    CHECK(sc_dial("127.0.0.1", port, 5000, &client) == SC_OK);
    CHECK((fcntl(client, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(client, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((fcntl(any, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(test_option(client, IPPROTO_TCP, TCP_NODELAY));
    CHECK(test_option(any, SOL_SOCKET, SO_REUSEADDR));
    CHECK((got = accept(any, NULL, NULL)) >= 0);
    close(got);
    close(client);
    if ((got = test_ipv6(0)) >= 0) {    /* and by IPv6, if it has that */
        close(got);
        CHECK(sc_dial("::1", port, 5000, &client) == SC_OK);
        close(any);
        close(client);
        if ((got = test_ipv6(test_port)) >= 0) {        /* all, or none */
            CHECK(sc_listen(NULL, test_port, &any) == SC_ERR_LISTEN);
            CHECK(errno == EADDRINUSE && any == -1);
            close(got);
        }
    } else {
        close(any);
    }
}

/* Client: is descriptor 0, since the standard input is closed. */
static void test_talk_as_0(int unused)
{
    size_t len = 0;
    (void)unused;
    CHECK(test_connect() == SC_OK && sc_fd(&test_conn) == 0);
    errno = EINTR;                      /* of something long ago */
    CHECK(sc_send(&test_conn, "question", 8) == SC_OK);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_OK && len == 6);
    CHECK(sc_finish(&test_conn) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    CHECK(sc_close(&test_conn) == SC_OK && test_is_closed(0));
}

static void test_blocking_descriptor_0_is_one_like_any_other(void)
{
    int in = test_free_0(), fd = test_listen(), listener = -1;
    size_t len = 0;
    char byte;
    long n = -1;
    test_process pid;
    if (fd < 0) {
        test_restore_0(in);
        return;
    }
    CHECK(fd == 0 && (listener = dup(fd)) > 0);
    close(0);
    pid = test_spawn(test_talk_as_0, NULL);
    CHECK(test_accept(listener) == SC_OK && sc_fd(&test_conn) == 0);
    CHECK(sc_recv_whole(&test_conn, test_big[1], 9, &len) == SC_OK && len == 8);
    errno = EINTR;
    CHECK(sc_send(&test_conn, "answer", 6) == SC_OK);
    CHECK(sc_recv(&test_conn, test_big[1], 9, &len) == SC_CLOSED);
    while (n < 0 && (n = test_read(0, &byte, 1)) < 0 && errno == EAGAIN)
        test_sleep_ms(1);
    CHECK(n == 0);              /* sc_finish has also ended what TCP sends */
    CHECK(sc_close(&test_conn) == SC_OK && test_is_closed(0));
    test_reap(pid);
    close(listener);
    test_restore_0(in);
}

/* What is no socket, or not even open, is told as one that fails. */
static void test_blocking_what_is_no_socket_has_failed(void)
{
    int ends[2];
    test_pair_at(0, 1);
    CHECK(pipe(ends) == 0);
    CHECK(test_accept_fd(ends[0]) == SC_ERR_IO && test_is_closed(ends[0]));
    CHECK(test_connect_fd(ends[1]) == SC_ERR_SERVER_ENDED);
    CHECK(test_is_closed(ends[1]));
    CHECK(test_accept_fd(ends[0]) == SC_ERR_IO && test_conn_is_wiped());
    CHECK(test_connect_fd(ends[1]) == SC_ERR_IO && test_conn_is_wiped());
}

/* A call that fails gives -1 and the reason in errno, and leaves no socket
 * open. */
static void test_blocking_what_fails_leaves_no_socket_open(void)
{
    int fd = test_listen(), other = 9, none = 9, lowest, e[4], reason[4], i;
    unsigned port = test_port;
    struct sockaddr_in nowhere;
    if (fd < 0)
        return;
    lowest = test_lowest();
    CHECK(sc_listen("127.0.0.1", port, &other) == SC_ERR_LISTEN);
    CHECK(errno == EADDRINUSE && other == -1 && test_lowest() == lowest);
    CHECK(sc_dial("127.0.0.1", port, 5000, &other) == SC_OK);
    lowest = test_lowest();
    test_limit(1, RLIM_INFINITY);       /* a client waits, but no room for it */
    e[0] = test_accept(fd);
    reason[0] = errno;
    e[1] = sc_listen("127.0.0.1", 0, &none);
    reason[1] = errno;
    CHECK(none == -1);
    e[2] = sc_listen(NULL, 0, &none);
    reason[2] = errno;
    CHECK(none == -1);
    e[3] = sc_dial("127.0.0.1", port, 5000, &none);
    reason[3] = errno;
    CHECK(none == -1);
    test_unlimit();
    for (i = 0; i < 4; i++)
        CHECK(e[i] == (i < 3 ? SC_ERR_LISTEN : SC_ERR_IO)
              && reason[i] == EMFILE);
    CHECK(test_lowest() == lowest);
    close(other);
    close(fd);
    lowest = test_lowest();
    CHECK(sc_dial("127.0.0.1", port, 5000, &other) == SC_ERR_CONNECT);
    CHECK(errno == ECONNREFUSED && other == -1);
    CHECK(test_connect() == SC_ERR_CONNECT && test_lowest() == lowest);
    memset(&nowhere, 0xff, sizeof nowhere);     /* connect() itself refuses */
    nowhere.sin_family = AF_INET;
    CHECK((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
    CHECK(test_never_block(fd) == 0);
    if (connect(fd, (struct sockaddr *)&nowhere, sizeof nowhere) < 0
        && errno != EINPROGRESS) {
        reason[0] = errno;
        CHECK(sc_dial("255.255.255.255", 65535, 200, &other)
              == SC_ERR_CONNECT);
        CHECK(errno == reason[0] && other == -1);
    }
    close(fd);
    CHECK(test_lowest() == lowest);
}

/* A server that takes nobody: once its queue is full, nothing answers.  Signals
 * come all the time, and answer nothing either. */
static void test_blocking_dial_gives_up_in_time(void)
{
    int fd = test_listen(), queued[8], i, e = SC_OK;
    struct sigaction handle, before;
    test_process gnat;
    struct sockaddr_in a;
    socklen_t a_len = sizeof a;
    uint64_t took = 0;
    clock_t work;
    if (fd < 0)
        return;
    CHECK(listen(fd, 0) == 0);
    memset(&handle, 0, sizeof handle);
    handle.sa_handler = test_stung_once;
    sigemptyset(&handle.sa_mask);
    CHECK(sigaction(SIGUSR1, &handle, &before) == 0);
    test_stung[0] = test_stung[1] = getpid();
    gnat = test_spawn(test_sting, NULL);
    for (i = 0; i < 8 && e == SC_OK; i++) {
        took = sc_now_ms();
        work = clock();
        e = sc_dial("127.0.0.1", test_port, 150, &queued[i]);
        took = sc_now_ms() - took;
        work = clock() - work;
        CHECK(work < CLOCKS_PER_SEC / 20);      /* it sleeps meanwhile */
        CHECK(e != SC_OK || getpeername(queued[i], (struct sockaddr *)&a,
                                        &a_len) == 0);
    }
    test_kill(gnat);
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
    if (e == SC_OK)
        test_skip("this system's queues are longer");
    else if (CHECK(e == SC_ERR_TIMEOUT && errno == ETIMEDOUT))
        CHECK(took >= 140 && took < 5000 && queued[i - 1] == -1);
    while (i-- > 0)
        if (queued[i] >= 0)
            close(queued[i]);
    close(fd);
}

/* What is no listening socket gives no clients, and says so at once; nor does a
 * server without random bytes for the key that is due. */
static void test_blocking_accept_ends_when_there_can_be_no_client(void)
{
    int ends[2];
    test_pair_at(0, 1);
    CHECK(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    memset(&test_conn, 0xaa, sizeof test_conn);
    CHECK(test_accept(ends[0]) == SC_ERR_LISTEN && test_conn_is_wiped());
    close(ends[0]);
    close(ends[1]);
    CHECK(test_accept(ends[0]) == SC_ERR_LISTEN);
    test_now.server.options.short_key_ms = 1;
    test_now.server.random = test_source_bytes;
    test_now.server.random_ctx = &test_now.end[0].source;
    test_now.end[0].source.blinding.fail_after = 0;
    CHECK(test_accept(ends[0]) == SC_ERR_RANDOM && test_conn_is_wiped());
}

#else

static void test_blocking_listen_on_every_address_hears_ipv4(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_accept_ends_when_there_can_be_no_client(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_descriptor_0_is_one_like_any_other(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_what_is_no_socket_has_failed(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_what_fails_leaves_no_socket_open(void)
{
    test_skip("it is written for POSIX");
}

static void test_blocking_dial_gives_up_in_time(void)
{
    test_skip("it is written for POSIX");
}

#endif

/* Clients come until they are stopped. */
static void test_keep_calling(int unused)
{
    (void)unused;
    for (;;) {
        if (test_connect() == SC_OK)
            sc_close(&test_conn);
        test_sleep_ms(150);
    }
}

static void test_blocking_accept_keeps_the_short_lived_key_young(void)
{
    int i, fd = test_listen();
    sc_server *s = &test_now.server;
    sc_public_key old;
    test_process pid;
    if (fd < 0)
        return;
    old = s->short_key[s->current].key.pub;
    s->options.short_key_uses = 1;
    pid = test_spawn(test_keep_calling, NULL);
    for (i = 0; i < 100; i++) {
        if (test_accept(fd) == SC_OK)
            sc_close(&test_conn);
        if (!sc_public_equal(&old, &s->short_key[s->current].key.pub))
            break;
    }
    CHECK(i < 100);
    test_kill(pid);
    test_close(fd);
}

#endif /* SC_NO_OS */

/* ---- the list of part B ---- */

#define TEST(name) {#name, test_##name}
static const test_case test_cases_b[] = {
    TEST(handshake_says_the_published_bytes),
    TEST(handshake_is_session_txt_byte_for_byte),
    TEST(handshake_is_session_odd_sizes_txt_byte_for_byte),
    TEST(handshake_both_ends_trace_the_same_conversation),
    TEST(handshake_without_client_key_traces_nothing_of_one),
    TEST(handshake_every_length_of_every_type_at_every_moment),
    TEST(handshake_other_types_and_versions_are_errors),
    TEST(handshake_frame_cut_at_every_byte_is_an_error),
    TEST(handshake_transport_that_ends_says_at_which_moment),
    TEST(handshake_no_record_leaves_before_its_last_frame),
    TEST(handshake_shut_too_early_does_nothing),
    TEST(handshake_error_is_told_by_close_only_after_it),
    TEST(handshake_first_error_sticks),
    TEST(handshake_calls_out_of_place_are_named_so),
    TEST(handshake_fails_with_an_error_in_any_case),
    TEST(handshake_error_wipes_the_keys),
    TEST(handshake_keys_are_wiped_when_it_is_over),
    TEST(handshake_ended_channel_is_all_zero),
    TEST(handshake_flipped_bit_anywhere_ends_it),
    TEST(handshake_flipped_m2_ends_it_without_a_pin_too),
    TEST(handshake_pin_sees_every_bit_of_the_host_key),
    TEST(handshake_frame_of_another_session_ends_it),
    TEST(handshake_reflected_frame_is_an_error),
    TEST(handshake_ends_when_random_bytes_fail),
    TEST(handshake_client_refuses_malformed_host_keys),
    TEST(handshake_client_takes_host_keys_of_2048_to_4096_bits),
    TEST(handshake_client_refuses_one_key_shown_as_both),
    TEST(handshake_needs_exactly_one_judge),
    TEST(handshake_goes_on_with_a_host_that_is_believed),
    TEST(handshake_pin_that_is_no_fingerprint_sends_nothing),
    TEST(handshake_pin_of_another_key_sends_nothing),
    TEST(handshake_host_the_judge_refuses_is_sent_nothing),
    TEST(handshake_both_ends_know_the_peer_by_its_key),
#ifndef SC_NO_OS
    TEST(handshake_new_host_is_remembered_only_after_m4),
#endif
    TEST(handshake_key_is_looked_up_only_after_m5),
    TEST(handshake_end_is_an_event),
    TEST(handshake_record_is_not_taken_before_m5),
    TEST(handshake_anonymous_is_refused_after_m4_if_keys_are_due),
    TEST(handshake_unlisted_key_is_refused_after_m5),
    TEST(handshake_judge_lets_in_by_ok_and_nothing_else),
    TEST(handshake_server_without_a_list_authorises_no_key),
    TEST(handshake_malformed_client_key_ends_it_silently),
    TEST(handshake_spoiled_secrets_all_look_the_same),
    TEST(handshake_ciphertext_not_below_modulus_is_malformed),
    TEST(handshake_malformed_c1_of_the_vectors_look_the_same),
    TEST(handshake_fault_in_a_private_operation_ends_it),
    TEST(handshake_spoiled_m4_all_look_the_same),
    TEST(records_messages_of_every_size_arrive_whole),
    TEST(records_are_sealed_in_place_as_well),
    TEST(records_too_long_or_empty_parts_are_not_made),
    TEST(records_reordered_replayed_or_dropped_are_errors),
    TEST(records_of_another_session_are_errors),
    TEST(records_with_any_bit_flipped_are_errors),
    TEST(records_cut_at_every_byte_are_errors),
    TEST(records_that_fail_leave_no_plaintext_behind),
    TEST(records_close_means_what_its_reason_says),
    TEST(records_after_close_are_errors),
    TEST(records_close_ends_only_the_direction_of_its_sender),
    TEST(records_message_left_unfinished_is_closed_as_a_fault),
    TEST(records_transport_that_ends_is_never_a_normal_end),
    TEST(records_key_changes_after_exactly_65536),
    TEST(records_under_the_wrong_key_at_the_edge_are_errors),
    TEST(records_close_is_counted),
    TEST(server_key_turns_over_when_it_is_old),
    TEST(server_key_turns_over_when_it_was_shown_often),
    TEST(server_old_key_lives_until_its_handshakes_are_over),
    TEST(server_old_key_goes_though_its_handshake_was_forgotten),
    TEST(server_key_in_flight_is_counted_exactly),
    TEST(server_makes_its_own_first_key_and_wipes_it),
    TEST(server_key_stays_when_random_bytes_fail),
    TEST(blocking_works_over_any_step_of_the_transport),
    TEST(blocking_recv_hands_out_messages_in_pieces),
    TEST(blocking_message_may_be_sent_in_parts),
    TEST(blocking_recv_whole_refuses_a_longer_message),
    TEST(blocking_handshake_cut_anywhere_fails_for_the_client),
    TEST(blocking_handshake_cut_anywhere_fails_for_the_server),
    TEST(blocking_records_cut_anywhere_are_cut_off),
    TEST(blocking_error_of_the_transport_is_passed_on),
    TEST(blocking_transport_that_lies_has_failed),
    TEST(blocking_reads_nothing_behind_an_error),
    TEST(blocking_calls_on_no_connection_are_harmless),
    TEST(blocking_recv_keeps_no_plaintext),
    TEST(blocking_recv_whole_gives_no_half),
    TEST(blocking_recv_whole_has_its_own_maximum),
    TEST(blocking_closed_is_said_again),
    TEST(blocking_every_result_has_its_own_words),
    TEST(blocking_server_refuses_and_the_client_is_told),
#ifndef SC_NO_OS
    TEST(blocking_both_sides_send_4_mib_at_once),
    TEST(blocking_clock_counts_milliseconds),
    TEST(blocking_signals_interrupt_nothing),
    TEST(blocking_server_that_vanishes_raises_no_signal),
    TEST(blocking_timeout_ends_the_wait),
    TEST(blocking_errors_are_found_while_sending),
    TEST(blocking_sending_takes_in_what_comes_slowly),
    TEST(blocking_close_is_sent_though_it_waits_and_more_comes),
    TEST(blocking_wait_that_fails_is_told),
    TEST(blocking_looks_for_no_words_behind_close),
    TEST(blocking_close_waits_though_a_byte_comes),
    TEST(blocking_sending_leaves_to_recv_what_it_began),
    TEST(blocking_reset_connection_is_cut_off),
    TEST(blocking_handshake_ends_after_30_seconds),
    TEST(wiping_hashes_and_cipher_leave_no_secret_on_the_stack),
    TEST(wiping_rsa_leaves_no_secret_on_the_stack),
    TEST(wiping_key_files_leave_no_secret_on_the_stack),
    TEST(wiping_handshake_leaves_no_secret_on_the_stack),
    TEST(blocking_server_goes_on_after_odd_clients),
    TEST(blocking_close_arrives_though_bytes_are_unread),
    TEST(blocking_connect_says_why_it_cannot),
    TEST(blocking_listen_and_dial_refuse_what_no_port_is),
    TEST(blocking_listen_on_every_address_hears_ipv4),
    TEST(blocking_accept_ends_when_there_can_be_no_client),
    TEST(blocking_accept_keeps_the_short_lived_key_young),
    TEST(blocking_descriptor_0_is_one_like_any_other),
    TEST(blocking_what_is_no_socket_has_failed),
    TEST(blocking_what_fails_leaves_no_socket_open),
    TEST(blocking_dial_gives_up_in_time),
    TEST(blocking_last_words_are_found_when_sending_fails),
    TEST(blocking_random_bytes_of_the_system_fill_every_place),
#endif
};

/* ---- 11. main ------------------------------------------------------------ */

#if defined(_WIN32) && !defined(SC_NO_OS)

static const struct {
    const char *name;
    test_end_fn be;
} test_ends[] = {
    TEST(echo), TEST(lose_server), TEST(sulk), TEST(dribble), TEST(odd_clients),
    TEST(keep_calling)
};

static const char *test_end_name(test_end_fn other_end)
{
    size_t i = 0;
    while (test_ends[i].be != other_end)
        i++;
    return test_ends[i].name;
}

/* test --other-end NAME PAIR PORT BYTES: this is a process of test_spawn, which
 * waits for us at port PAIR. */
static int test_be_other_end(char **argv)
{
    unsigned pair = (unsigned)strtoul(argv[3], NULL, 10);
    int fd = -1;
    size_t i;
    test_port = (unsigned)strtoul(argv[4], NULL, 10);
    test_lost_left = strtoul(argv[5], NULL, 10);
    if (pair != 0 && (!CHECK(sc_dial("127.0.0.1", pair, 9000, &fd) == SC_OK)
                      || !CHECK(test_blocking(fd, 0) == 0)
                      || !CHECK(test_take_little(fd) == 0)))
        return 1;
    test_pair_at(0, 1);
    for (i = 0; i < sizeof test_ends / sizeof *test_ends; i++)
        if (strcmp(argv[2], test_ends[i].name) == 0)
            test_ends[i].be(fd);
    return test_failed_checks > 0;
}

#endif

static int n_passed, n_failed, n_skipped;

/* run_tests: those of a table whose names contain part. */
static void run_tests(const test_case *tests, size_t n, const char *part,
                      int only_list)
{
    size_t i;
    for (i = 0; i < n; i++) {
        if (strstr(tests[i].name, part) == NULL)
            continue;
        if (only_list) {
            puts(tests[i].name);
            continue;
        }
        test_failed_checks = test_was_skipped = 0;
        tests[i].run();
        n_failed += test_failed_checks > 0;
        n_skipped += test_failed_checks == 0 && test_was_skipped;
        n_passed += test_failed_checks == 0 && !test_was_skipped;
        printf("%s %s\n", test_failed_checks > 0 ? "FAILED " :
               test_was_skipped ? "skipped" : "ok     ", tests[i].name);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    int only_list = argc == 2 && strcmp(argv[1], "-l") == 0;
    const char *part = argc == 2 && !only_list ? argv[1] : "";
#if defined(_WIN32) && !defined(SC_NO_OS)
    if (argc == 6 && strcmp(argv[1], "--other-end") == 0)
        return test_be_other_end(argv);
#endif
    if (argc > 2) {
        fprintf(stderr, "usage: test [-l | NAME]\n");
        return 2;
    }
    run_tests(test_cases_a, sizeof test_cases_a / sizeof *test_cases_a, part,
              only_list);
    run_tests(test_cases_b, sizeof test_cases_b / sizeof *test_cases_b, part,
              only_list);
    if (only_list)
        return 0;
    if (n_passed + n_failed + n_skipped == 0) {
        fprintf(stderr, "no test has \"%s\" in its name; test -l lists them\n",
                part);
        return 2;
    }
    if (n_skipped > 0)
        printf("%d skipped, for the reasons above\n", n_skipped);
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed > 0;
}
