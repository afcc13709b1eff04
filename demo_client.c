/* demo_client.c: the client of the demo: reaches a server, judges its host key,
 * then sends messages, a file, or the lines of standard input.
 * Map:    0 the system   1 settings, complaints   2 command line
 *         3 the printer of -t   4 our own key   5 the host key   6 what arrives
 *         7 messages   8 a file   9 standard input   10 main: the protocol
 * Needs:  secchan.h (the public part, blocking layer) and POSIX, or Windows
 *         with mingw-w64.
 * Output: replies go to standard output, and nothing else does while we talk;
 *         questions, progress, the printing of -t and every complaint go to
 *         standard error.  Nothing secret is ever written to disk, so an
 *         interrupt may simply end the program. */

#if !defined(_POSIX_C_SOURCE) && defined(__linux__)
#define _POSIX_C_SOURCE 200809L
#endif
#define _FILE_OFFSET_BITS 64    /* files over 2 GiB, where long is 32 bits */

#include "secchan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- 0. the system ------------------------------------------------------- */

#if !defined(_WIN32)

#include <poll.h>

#define HOME "HOME"
#define TERMINAL "/dev/tty"
#define END_KEY "Ctrl-D"
#define FOR_READING O_RDONLY
typedef int poll_fd;
static const int input_fd = STDIN_FILENO;   /* polled beside the server's */

/* prepare_system: what the channel expects of the process; 0, or -1 and
 * errno: a standard descriptor is shut, and nothing could take its place. */
static int prepare_system(void)
{
    int fd;
    /* A descriptor that is shut may stay so, but its number must not become the
     * socket's: replies would be printed into the connection. */
    for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0
            && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY)
               != fd)
            return -1;
    signal(SIGPIPE, SIG_IGN);   /* a closed pipe is an error like any other */
    return 0;
}

static int start_input(void)
{
    return 0;
}

static ssize_t read_bytes(void *buf, size_t len)
{
    return read(input_fd, buf, len);
}

/* file_name: what is left of a path without its folders. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

#else

#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <io.h>
#include <process.h>

#define HOME "USERPROFILE"
#define TERMINAL "CONIN$"
#define END_KEY "Ctrl-Z and Enter"
#define FOR_READING (O_RDONLY | O_BINARY)
#define poll WSAPoll
typedef SOCKET poll_fd;

/* Sockets can be polled here, but not standard input: so a thread reads that,
 * carries it into one end of a pair of sockets, and input_fd is the other. */
static int input_fd = -1, carrier_fd = -1;
static volatile LONG input_error;       /* errno of the thread's reading */

/* Bytes stay what they are; only a console has line ends and Ctrl-Z. */
static int prepare_system(void)
{
    (void)setmode(STDOUT_FILENO, O_BINARY);
    if (!isatty(STDIN_FILENO))
        (void)setmode(STDIN_FILENO, O_BINARY);
    return 0;
}

static void carry_input(void *unused)
{
    char bytes[4096];
    int n, sent, i;
    (void)unused;
    while ((n = read(STDIN_FILENO, bytes, sizeof bytes)) > 0)
        for (i = 0; i < n; i += sent) {
            sent = send((SOCKET)carrier_fd, bytes + i, n - i, 0);
            if (sent <= 0)
                return;
        }
    if (n < 0)
        InterlockedExchange(&input_error, errno);
    closesocket((SOCKET)carrier_fd);
}

/* start_input: make the pair, with nobody else at its other end, and start the
 * thread.  0, or -1. */
static int start_input(void)
{
    struct sockaddr_in here, there;
    int len = (int)sizeof here, listen_fd;
    u_long is_not_blocking = 0;
    if (sc_listen("127.0.0.1", 0, &listen_fd) != SC_OK
        || getsockname((SOCKET)listen_fd, (struct sockaddr *)&here, &len) != 0
        || sc_dial("127.0.0.1", ntohs(here.sin_port), 9000, &carrier_fd)
           != SC_OK
        || getsockname((SOCKET)carrier_fd, (struct sockaddr *)&here, &len) != 0
        || ioctlsocket((SOCKET)carrier_fd, (long)FIONBIO, &is_not_blocking) != 0
        || ioctlsocket((SOCKET)listen_fd, (long)FIONBIO, &is_not_blocking) != 0)
        return -1;
    do {
        if (input_fd >= 0)
            closesocket((SOCKET)input_fd);
        input_fd = (int)accept((SOCKET)listen_fd, (struct sockaddr *)&there,
                               &len);
    } while (input_fd >= 0
             && (there.sin_port != here.sin_port
                 || there.sin_addr.s_addr != here.sin_addr.s_addr));
    closesocket((SOCKET)listen_fd);
    return input_fd >= 0 && _beginthread(carry_input, 0, NULL) != (uintptr_t)-1
           ? 0 : -1;
}

static ssize_t read_bytes(void *buf, size_t len)
{
    int n = recv((SOCKET)input_fd, (char *)buf, (int)len, 0);
    errno = n < 0 ? EIO : (int)input_error;
    return n == 0 && input_error != 0 ? -1 : n;
}

static const char *file_name(const char *path)
{
    const char *name = path;
    for (; *path != '\0'; path++)
        if (strchr("/\\:", *path) != NULL)
            name = path + 1;
    return name;
}

#endif /* _WIN32 */

/* ---- 1. settings, complaints --------------------------------------------- */

#define DEFAULT_HOST "127.0.0.1"
#define DEFAULT_PORT 4422
#define KEY_BITS 3072           /* what ssh-keygen makes, too */
#define ANSWER_MS 30000         /* patience with a server that should answer */
#define STORE_MS 120000         /* the same, while it writes a file to disk */
#define TRACE_LEN 1024          /* bytes of a value that -t shows: all of every
                                   handshake value, the beginning of a record */

enum { GO_ON = -1, DONE = 0, FAILED = 1, USAGE = 2 };   /* but for GO_ON: the
                                                           exit statuses */
typedef struct {
    char host[256];
    unsigned port;
    char place[272];            /* the two, as people write them */
    const char *pin;
    const char *known_path;
    char known_default[1024];
    int accept_new;
    const char *identity_path;
    const char *make_key_path;
    char **messages;
    size_t n_messages;
    const char *file_path;
    int trace;
} settings;

static int bar_is_open;         /* a progress bar is on the terminal's line */

/* complain: one line on standard error.  Gives FAILED, to be returned. */
static int complain(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs(bar_is_open ? "\ndemo_client: " : "demo_client: ", stderr);
    bar_is_open = 0;
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return FAILED;
}

/* What to do about an error of the channel. */
static const char *advice(const settings *s, int result)
{
    switch (result) {
    case SC_ERR_REFUSED:
        return s->identity_path == NULL ?
            "it asks for a key on its list: name yours with -i" :
            "our key is not on its list: have the .pub line added there";
    case SC_ERR_RESOLVE:
        return "check the spelling, or give its address";
    case SC_ERR_CONNECT:
        return "is the server running, and is that its port?";
    case SC_ERR_TIMEOUT:
        return "is it a secchan server, well, and meant for this (-r or not)?  "
               "Its own log may tell";
    case SC_ERR_SERVER_ENDED:
    case SC_ERR_FRAME:
        return "is it a secchan server, and is it well?  Its own log may tell";
    case SC_ERR_IO:
    case SC_ERR_CUT_OFF:
        return "what was sent last may be lost, too; try again";
    case SC_ERR_HANDSHAKE:
    case SC_ERR_RECORD:
        return "somebody or something alters what is sent: trust none of it";
    case SC_ERR_RANDOM:
        return "wait until the system has gathered randomness";
    default:
        return "look into the server's log";
    }
}

static int complain_channel(const settings *s, int result)
{
    return complain("%s: %s; %s", s->place, sc_strerror(result),
                    advice(s, result));
}

/* ---- 2. command line ----------------------------------------------------- */

static const char help_text[] =
"usage: demo_client [-p FINGERPRINT | -H KNOWN_HOSTS] [-y] [-i KEYFILE]\n"
"                   [-m TEXT]... [-f FILE] [-t] [HOST[:PORT]]\n"
"       demo_client --make-key FILE\n"
"Talks to a secchan/1 server (default 127.0.0.1:4422) over a secure channel.\n"
"With neither -m nor -f, each line of standard input is sent as a message.\n"
"\n"
"  -p FINGERPRINT  believe only the host key with this SHA256:... fingerprint\n"
"  -H KNOWN_HOSTS  file of the hosts we know (default ~/.secchan/known_hosts)\n"
"  -y              believe and remember a host seen for the first time\n"
"  -i KEYFILE      prove to the server that this private key is ours\n"
"  -m TEXT         send TEXT and print the reply; may be given again\n"
"  -f FILE         send FILE to a server started with -r, compare its hash\n"
"  -t              print the whole conversation on standard error, SECRETS\n"
"                  INCLUDED\n"
"  --make-key FILE make a private key FILE and its public line FILE.pub\n"
"  -h, --help      this text\n"
"  --version       which version this is\n"
"An IPv6 address with a port is written [::1]:4422.\n"
"Exit status: 0 done, 1 failure, 2 usage.\n";

static int misused(const char *what, const char *which)
{
    complain("%s \"%s\"; demo_client --help shows how it is used", what, which);
    return USAGE;
}

/* A port number from 1 to 65535, or 0 if text is none. */
static unsigned read_port(const char *text)
{
    unsigned port = 0;
    if (strlen(text) > 5)
        return 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        port = 10 * port + (unsigned)(*text - '0');
    }
    return port <= 65535 ? port : 0;
}

/* HOST, HOST:PORT, [HOST], [HOST]:PORT.  Two colons or more without brackets
 * are an IPv6 address without a port. */
static int read_place(settings *s, const char *text)
{
    const char *host = text, *port = NULL, *colon = strchr(text, ':');
    size_t host_len = strlen(text);
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return misused("neither HOST:PORT nor [IPv6]:PORT:", text);
        host = text + 1;
        host_len = (size_t)(end - host);
        port = end[1] == ':' ? end + 2 : NULL;
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        host_len = (size_t)(colon - text);
        port = colon + 1;
    }
    if (host_len == 0 || host_len >= sizeof s->host)
        return misused("no usable host name in", text);
    memcpy(s->host, host, host_len);
    s->host[host_len] = '\0';
    s->port = port != NULL ? read_port(port) : DEFAULT_PORT;
    if (s->port == 0)
        return misused("no port from 1 to 65535 in", text);
    snprintf(s->place, sizeof s->place,
             strchr(s->host, ':') != NULL ? "[%s]:%u" : "%s:%u", s->host,
             s->port);
    return GO_ON;
}

/* One option with a value. */
static void set_value(settings *s, char letter, char *value)
{
    switch (letter) {
    case 'p': s->pin = value; break;
    case 'H': s->known_path = value; break;
    case 'i': s->identity_path = value; break;
    case 'm': s->messages[s->n_messages++] = value; break;
    case 'f': s->file_path = value; break;
    }
}

/* read_letters: argv[*i] is -abc, or -a VALUE, or -aVALUE. */
static int read_letters(settings *s, int argc, char **argv, int *i)
{
    char *letter;
    for (letter = argv[*i] + 1; *letter != '\0'; letter++) {
        char name[] = { '-', *letter, '\0' };
        if (*letter == 'h') {
            fputs(help_text, stdout);
            return DONE;
        } else if (*letter == 'y') {
            s->accept_new = 1;
        } else if (*letter == 't') {
            s->trace = 1;
        } else if (strchr("pHimf", *letter) == NULL) {
            return misused("there is no option", name);
        } else if (letter[1] != '\0') {
            set_value(s, *letter, letter + 1);
            return GO_ON;
        } else if (*i + 1 < argc) {
            set_value(s, *letter, argv[++*i]);
            return GO_ON;
        } else {
            return misused("a value is missing after", name);
        }
    }
    return GO_ON;
}

/* read_long: argv[*i] starts with two dashes. */
static int read_long(settings *s, int argc, char **argv, int *i)
{
    if (strcmp(argv[*i], "--help") == 0) {
        fputs(help_text, stdout);
        return DONE;
    }
    if (strcmp(argv[*i], "--version") == 0) {
        puts("demo_client (secchan) " SC_VERSION);
        return DONE;
    }
    if (strcmp(argv[*i], "--make-key") != 0)
        return misused("there is no option", argv[*i]);
    if (*i + 1 == argc)
        return misused("a value is missing after", argv[*i]);
    s->make_key_path = argv[++*i];
    return GO_ON;
}

/* What the options do not say, and which of them exclude each other. */
static int complete(settings *s)
{
    const char *home = getenv(HOME);
    int n;
    if (s->pin != NULL && s->known_path != NULL)
        return misused("these exclude each other:", "-p -H");
    if (s->n_messages > 0 && s->file_path != NULL)
        return misused("these exclude each other:", "-m -f");
    if (s->pin != NULL || s->known_path != NULL || s->make_key_path != NULL)
        return GO_ON;
    n = home == NULL || home[0] == '\0' ? -1 :
        snprintf(s->known_default, sizeof s->known_default,
                 "%s/.secchan/known_hosts", home);
    if (n < 0 || (size_t)n >= sizeof s->known_default)
        return complain("no usable home folder in $" HOME " to find "
                        "known_hosts in; name the file with -H");
    s->known_path = s->known_default;
    return GO_ON;
}

/* read_options: GO_ON, or the exit status. */
static int read_options(settings *s, int argc, char **argv)
{
    int i, only_places = 0, n_places = 0, status;
    memset(s, 0, sizeof *s);
    s->messages = argv;     /* gathered in front of what is still to be read */
    status = read_place(s, DEFAULT_HOST);
    for (i = 1; i < argc && status == GO_ON; i++) {
        if (only_places || argv[i][0] != '-') {
            if (++n_places > 1)
                return misused("one server at a time, and not also", argv[i]);
            status = read_place(s, argv[i]);
        } else if (strcmp(argv[i], "--") == 0) {
            only_places = 1;
        } else if (argv[i][1] == '-') {
            status = read_long(s, argc, argv, &i);
        } else {
            status = read_letters(s, argc, argv, &i);
        }
    }
    return status == GO_ON ? complete(s) : status;
}

/* ---- 3. the printer of -t ------------------------------------------------ */

static const char *frame_name(unsigned type)
{
    static const char *const names[] = {
        "?", "KEY_REQUEST", "PUBLIC_KEYS", "SESSION_KEY", "CONFIRM",
        "CLIENT_CONFIRM", "DATA", "DATA_MORE", "CLOSE"
    };
    return names[type < sizeof names / sizeof names[0] ? type : 0];
}

/* Rows of 32 bytes in groups of 4. */
static void print_hex(const uint8_t *bytes, size_t len)
{
    size_t i, shown_len = len < TRACE_LEN ? len : TRACE_LEN;
    for (i = 0; i < shown_len; i++) {
        const char *before = i % 32 == 0 ? "    " : i % 4 == 0 ? " " : "";
        const char *after = i % 32 == 31 || i + 1 == shown_len ? "\n" : "";
        fprintf(stderr, "%s%02x%s", before, bytes[i], after);
    }
    if (shown_len < len)
        fprintf(stderr, "    ... and %lu bytes more\n",
                (unsigned long)(len - shown_len));
}

/* print_value: a sc_trace_fn: a frame's header opens a box, everything that
 * belongs to the frame or was derived from it follows. */
static void print_value(void *ctx, const char *sender, const char *name,
                        const uint8_t *bytes, size_t len)
{
    static const char line[] = "----------------------------------------"
                               "------------------------------------";
    size_t name_len = strlen(name);
    (void)ctx;
    if (name_len >= 6 && strcmp(name + name_len - 6, "header") == 0
        && len == SC_HEADER_LEN) {
        fprintf(stderr, "\n+%s+\n| %-6s -> %-6s   type %u   %-14s   "
                "4 + %5u bytes %14s|\n+%s+\n", line, sender,
                strcmp(sender, "client") == 0 ? "server" : "client",
                bytes[0], frame_name(bytes[0]),
                (unsigned)bytes[2] << 8 | bytes[3], "", line);
    }
    fprintf(stderr, "  %s (%s), %lu byte%s\n", name, sender,
            (unsigned long)len, len == 1 ? "" : "s");
    print_hex(bytes, len);
}

/* ---- 4. our own key ------------------------------------------------------ */

static void print_mark(void *ctx, char mark)
{
    (void)ctx;
    fputc(mark, stderr);
}

/* --make-key */
static int make_key(const settings *s)
{
    const char *path = s->make_key_path;
    static sc_private_key key;
    char fingerprint[SC_FINGERPRINT_MAX], art[SC_RANDOMART_MAX];
    int is_watched = isatty(STDERR_FILENO), result, error;
    result = sc_key_generate(&key, KEY_BITS, is_watched ? print_mark : NULL,
                             NULL);
    if (is_watched)
        fputc('\n', stderr);
    if (result == SC_OK)
        result = sc_key_save(&key, path, "secchan");
    error = errno;
    sc_fingerprint(&key.pub, fingerprint);
    sc_randomart(&key.pub, art);
    sc_wipe(&key, sizeof key);
    if (result == SC_ERR_FILE_EXISTS)
        return complain("%s or %s.pub is there already; choose another name, "
                        "nothing is overwritten", path, path);
    if (result == SC_ERR_FILE)
        return complain("cannot write the key to %s: %s; choose another place",
                        path, strerror(error));
    if (result != SC_OK)
        return complain("no key made: %s; %s", sc_strerror(result),
                        advice(s, result));
    printf("private key, to be kept to yourself: %s\n"
           "public key, to be given to servers:  %s.pub\n%s\n%s",
           path, path, fingerprint, art);
    return DONE;
}

/* load_identity: -i; without it (path NULL) the key stays empty. */
static int load_identity(sc_private_key *key, const char *path)
{
    int result = path != NULL ? sc_key_load(key, path) : SC_OK;
    switch (result) {
    case SC_OK:
        return DONE;
    case SC_ERR_FILE:
        return complain("cannot read the key file %s: %s; name another, or "
                        "make one with --make-key", path, strerror(errno));
    case SC_ERR_FILE_MODE:
        return complain("other users can read the private key %s; if none "
                        "has, type chmod 600 %s", path, path);
    case SC_ERR_KEY_ENCRYPTED:
        return complain("the key %s has a passphrase, which cannot be given "
                        "here; take it off a copy with ssh-keygen -p -N '' -f "
                        "COPY, or openssl rsa -in %s -out COPY", path, path);
    default:
        return complain("%s: %s; make another key with --make-key", path,
                        sc_strerror(result));
    }
}

/* ---- 5. the host key ----------------------------------------------------- */

/* What a person has seen and believed, on top of what known_hosts says. */
typedef struct {
    sc_known_hosts known;
    sc_public_key believed;
} host_check;

static int judge_believed(void *ctx, const sc_public_key *host_key)
{
    host_check *seen = (host_check *)ctx;
    if (!sc_public_equal(host_key, &seen->believed))
        return SC_ERR_PIN;
    return sc_judge_known_hosts(&seen->known, host_key);
}

/* ask_person: 1 if somebody is there and believes in this key. */
static int ask_person(const settings *s, const sc_public_key *key)
{
    char fingerprint[SC_FINGERPRINT_MAX], art[SC_RANDOMART_MAX];
    char answer[16] = "";
    FILE *terminal;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return 0;
    sc_fingerprint(key, fingerprint);
    sc_randomart(key, art);
    fprintf(stderr, "%s is not known yet.  It shows this host key:\n%s\n%s"
            "Compare it with what the server printed when it started.\n"
            "Type yes to believe it: ", s->place, fingerprint, art);
    /* not from stdin, whose lines are messages to be sent */
    terminal = fopen(TERMINAL, "r");
    if (terminal != NULL) {
        if (fgets(answer, sizeof answer, terminal) == NULL)
            fputc('\n', stderr);        /* after our question */
        fclose(terminal);
    }
    return strcmp(answer, "yes\n") == 0;
}

/* complain_host: why the host key was not believed. */
static int complain_host(const settings *s, const sc_known_hosts *known,
                         int result, int error)
{
    char fingerprint[SC_FINGERPRINT_MAX] = "";
    unsigned long line = (unsigned long)known->line;
    if (known->shown.n_len > 0)
        sc_fingerprint(&known->shown, fingerprint);
    switch (result) {
    case SC_ERR_PIN_FORMAT:
        return misused("no fingerprint as demo_server prints it, SHA256: and "
                       "43 characters:", s->pin);
    case SC_ERR_PIN:
        return complain("%s shows another host key than the one you %s: "
                        "somebody may be in between, so nothing was sent; ask "
                        "its owner for the fingerprint", s->place,
                        s->pin != NULL ? "named with -p" : "just believed");
    case SC_ERR_HOST_UNKNOWN:
        return complain("%s is not in %s and its key was not believed: %s; "
                        "compare that with the server's own words, then use "
                        "-p %s, or -y to believe it unseen", s->place,
                        s->known_path, fingerprint, fingerprint);
    case SC_ERR_HOST_CHANGED:
        return complain("%s shows another host key (%s) than line %lu of %s "
                        "says: somebody may be in between, so nothing was "
                        "sent; only if its owner confirms the change, remove "
                        "that line", s->place, fingerprint, line,
                        s->known_path);
    case SC_ERR_HOST_REVOKED:
        return complain("%s shows a host key (%s) that line %lu of %s marks "
                        "as revoked, so nothing was sent; ask its owner for "
                        "the new one", s->place, fingerprint, line,
                        s->known_path);
    case SC_ERR_HOST_LINE:
        return complain("line %lu of %s may speak of %s but is hashed, a "
                        "pattern, marked or damaged, so its key (%s) was not "
                        "believed; mend or remove the line, or use -p", line,
                        s->known_path, s->place, fingerprint);
    case SC_ERR_FILE:
        return complain("cannot read %s, which knows the hosts: %s; make it "
                        "readable, name another with -H, or use -p",
                        s->known_path, strerror(error));
    default:
        return complain_channel(s, result);
    }
}

/* remember: the host has proved that the key is its own: write it down. */
static void remember(const settings *s, sc_known_hosts *known,
                     const sc_conn *c)
{
    char fingerprint[SC_FINGERPRINT_MAX];
    int is_new = known->is_new;
    int result = sc_known_hosts_remember(known, &c->channel);
    sc_fingerprint(&known->shown, fingerprint);
    if (result != SC_OK)
        complain("warning: cannot write %s to %s: %s; it will be unknown "
                 "again next time", s->place, s->known_path,
                 result == SC_ERR_FILE ? strerror(errno) : sc_strerror(result));
    else if (is_new)
        fprintf(stderr, "demo_client: from now on %s is known by the key %s "
                "(%s)\n", s->place, fingerprint, s->known_path);
}

/* connect_judged: the channel, to a host whose key is believed. */
static int connect_judged(sc_conn *c, const settings *s,
                          const sc_private_key *identity)
{
    static host_check seen;
    sc_client_options options;
    int result;
    memset(&options, 0, sizeof options);
    options.identity = identity->pub.n_len > 0 ? identity : NULL;
    options.pin = s->pin;
    if (s->pin == NULL) {
        seen.known.path = s->known_path;
        seen.known.host = s->host;
        seen.known.port = s->port;
        seen.known.accept_new = s->accept_new;
        options.judge_host = sc_judge_known_hosts;
        options.judge_ctx = &seen.known;
    }
    if (s->trace) {
        options.trace = print_value;
        fputs("WARNING: -t prints every secret of this conversation: whoever "
              "sees it can\nread all of it.  Use it for nothing that matters."
              "\n", stderr);
    }
    result = sc_connect(c, s->host, s->port, &options);
    if (result == SC_ERR_HOST_UNKNOWN && ask_person(s, &seen.known.shown)) {
        /* A handshake has 30 seconds and a person may want more, so that the
         * question was asked between two connections; the second insists on
         * exactly the key that was looked at. */
        seen.believed = seen.known.shown;
        seen.known.accept_new = 1;
        options.judge_host = judge_believed;
        options.judge_ctx = &seen;
        result = sc_connect(c, s->host, s->port, &options);
    }
    if (result != SC_OK)
        return complain_host(s, &seen.known, result, errno);
    if (s->pin == NULL)
        remember(s, &seen.known, c);
    return DONE;
}

/* ---- 6. what arrives ----------------------------------------------------- */

/* A conversation: the channel and what has come from the server so far.  Both
 * sc_recv and sc_send (which must not wait for ever for a server that is
 * itself sending) bring data here. */
typedef struct {
    const settings *set;
    sc_conn *conn;
    size_t n_replies;           /* messages that have arrived whole */
    int is_closed;              /* the server has said all it had to say */
    int print_error;            /* errno of standard output */
    int is_kept;                /* 1: replies go into text; 0: are printed */
    size_t text_len;
    char text[256];             /* of the first reply, as much as fits; the
                                   last byte stays 0 */
} talk;

/* put: to standard output as it came; a terminal gets no control characters, so
 * that no server moves its cursor or types into it. */
static int put(const uint8_t *data, size_t data_len)
{
    size_t i;
    if (!isatty(STDOUT_FILENO))
        return fwrite(data, 1, data_len, stdout) == data_len;
    for (i = 0; i < data_len; i++) {
        int byte = data[i];
        if ((byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7f)
            byte = '?';
        if (putchar(byte) == EOF)
            return 0;
    }
    return 1;
}

/* take: a sc_data_fn: one piece of a message, or the server's CLOSE. */
static void take(void *ctx, int result, const uint8_t *data, size_t data_len)
{
    talk *t = (talk *)ctx;
    if (result == SC_CLOSED) {
        t->is_closed = 1;
    } else if (result >= 0 && t->is_kept) {
        size_t room = sizeof t->text - 1 - t->text_len;
        size_t n = t->n_replies > 0 ? 0 : data_len < room ? data_len : room;
        memcpy(t->text + t->text_len, data, n);
        t->text_len += n;
    } else if (result >= 0) {
        if (!put(data, data_len)
            || (result == SC_OK && putchar('\n') == EOF)
            || fflush(stdout) == EOF)
            t->print_error = errno;
    }
    if (result == SC_OK)
        t->n_replies++;
}

/* Is all well after a call of the channel? */
static int check(const talk *t, int result)
{
    if (t->print_error != 0)
        return complain("cannot write to standard output: %s; the rest of the "
                        "replies is lost", strerror(t->print_error));
    return result < 0 ? complain_channel(t->set, result) : DONE;
}

static int say(talk *t, const void *message, size_t message_len)
{
    return check(t, sc_send(t->conn, message, message_len));
}

static int say_part(talk *t, const void *part, size_t part_len)
{
    return check(t, sc_send_part(t->conn, part, part_len));
}

/* listen_once: wait for the next piece. */
static int listen_once(talk *t)
{
    uint8_t piece[SC_RECORD_MAX];
    size_t piece_len = 0;
    int result = sc_recv(t->conn, piece, sizeof piece, &piece_len);
    if (result >= 0)
        take(t, result, piece, piece_len);
    return check(t, result);
}

/* listen_until: until n replies are there, or the server's CLOSE is. */
static int listen_until(talk *t, size_t n_replies)
{
    int status = DONE;
    while (status == DONE && t->n_replies < n_replies && !t->is_closed)
        status = listen_once(t);
    return status;
}

/* ---- 7. messages --------------------------------------------------------- */

/* send_messages: -m: each is answered before the next is sent, and our CLOSE
 * goes out with the last, so that a server waiting for more says so. */
static int send_messages(talk *t)
{
    size_t i;
    for (i = 0; i < t->set->n_messages; i++) {
        const char *text = t->set->messages[i];
        size_t wanted = t->n_replies + 1;
        int status = say(t, text, strlen(text));
        if (status == DONE && i + 1 == t->set->n_messages)
            status = check(t, sc_finish(t->conn));
        if (status == DONE)
            status = listen_until(t, wanted);
        if (status != DONE)
            return status;
        if (t->n_replies < wanted)
            return complain("%s closed the channel without an answer to "
                            "message %lu; look into its log", t->set->place,
                            (unsigned long)i + 1);
    }
    return DONE;
}

/* ---- 8. a file ----------------------------------------------------------- */

/* 1234567 becomes "1.2 MB". */
static void write_amount(char out[16], double amount)
{
    static const char units[] = "\0kMGTPE";
    size_t i = 0;
    while (amount >= 999.5 && i + 2 < sizeof units) {
        amount /= 1000;
        i++;
    }
    if (i == 0)
        snprintf(out, 16, "%.0f B", amount);
    else
        snprintf(out, 16, "%.1f %cB", amount, units[i]);
}

typedef struct {
    int is_shown;
    uint64_t start_ms, shown_ms;
    uint64_t sent, total;       /* bytes; total 0: not known beforehand */
} progress;

/* progress_show: draw the bar over the one before, ten times a second. */
static void progress_show(progress *p, int is_last)
{
    static const char bar[] = "####################....................";
    uint64_t now = sc_now_ms();
    double rate = (double)p->sent * 1000 / (double)(now - p->start_ms + 1);
    char sent[16], total[16], speed[16];
    if (!p->is_shown || (now - p->shown_ms < 100 && !is_last))
        return;
    p->shown_ms = now;
    write_amount(sent, (double)p->sent);
    write_amount(total, (double)p->total);
    write_amount(speed, rate);
    if (p->total > 0) {
        double part = (double)p->sent / (double)p->total;
        unsigned long left = p->sent == 0 ? 0 : /* seconds */
            (unsigned long)((double)(p->total - p->sent) / rate);
        fprintf(stderr, "\r[%.20s] %3.0f%%  %s of %s  %s/s  %lu:%02lu left  ",
                bar + 20 - (size_t)(20 * part), 100 * part, sent, total,
                speed, left / 60, left % 60);
    } else {
        fprintf(stderr, "\r%s  %s/s    ", sent, speed);
    }
    bar_is_open = !is_last;
    if (is_last)
        fputc('\n', stderr);
}

/* open_file: -f FILE for reading, its size in *total (0: not known). */
static int open_file(const char *path, int *fd, uint64_t *total)
{
    struct stat st;
    *fd = open(path, FOR_READING);
    if (*fd < 0 || fstat(*fd, &st) != 0)
        return complain("cannot open %s: %s; nothing was sent", path,
                        strerror(errno));
    if (S_ISDIR(st.st_mode))
        return complain("%s is a folder; name one file", path);
    *total = S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t)st.st_size : 0;
    return DONE;
}

/* complain_answer: what the server said instead of the hash. */
static int complain_answer(const talk *t)
{
    char answer[sizeof t->text];
    size_t i;
    if (t->n_replies == 0)
        return complain("%s closed the channel without an answer to %s; look "
                        "into its log", t->set->place, t->set->file_path);
    for (i = 0; i < t->text_len; i++) { /* nothing that moves the cursor */
        char byte = t->text[i];
        answer[i] = byte >= ' ' && byte <= '~' ? byte : '?';
    }
    answer[t->text_len] = '\0';
    if (strncmp(answer, "error: ", 7) == 0)
        return complain("%s refused %s: %s", t->set->place, t->set->file_path,
                        answer + 7);
    return complain("%s answered \"%s\" where the hash of %s was expected; was "
                    "it started with -r?", t->set->place, answer,
                    t->set->file_path);
}

/* An answer that came while we sent says more than how the sending failed. */
static int check_sent(talk *t, int result)
{
    if (result == SC_ERR_IO && sc_pending(t->conn))
        return listen_once(t);
    return t->n_replies > 0 ? DONE : check(t, result);
}

/* hear_objections: the server has no reason to speak before the file is whole;
 * if it does, it will not take the file. */
static int hear_objections(talk *t)
{
    struct pollfd p;
    p.fd = (poll_fd)sc_fd(t->conn);
    p.events = POLLIN;
    while (t->n_replies == 0 && !t->is_closed) {
        if (!sc_pending(t->conn) && poll(&p, 1, 0) <= 0)
            return DONE;
        if (listen_once(t) != DONE)
            return FAILED;
    }
    return complain_answer(t);
}

/* send_contents: one message, in parts as they are read, and their hash.  When
 * it fails the message stays unfinished, so that nobody takes it for whole. */
static int send_contents(talk *t, int fd, progress *p, uint8_t digest[32])
{
    uint8_t piece[SC_RECORD_MAX];
    const char *path = t->set->file_path;
    sc_sha256 hash;
    sc_sha256_init(&hash);
    while (hear_objections(t) == DONE) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return complain("cannot read on in %s: %s; the server drops what "
                            "it has", path, strerror(errno));
        p->sent += (uint64_t)n;
        if (p->total > 0 && (n == 0 ? p->sent < p->total : p->sent > p->total))
            return complain("%s changed its size while it was sent; the "
                            "server drops what it has; try again", path);
        if (n == 0) {
            sc_sha256_end(&hash, digest);
            return check_sent(t, sc_send(t->conn, "", 0));
        }
        sc_sha256_add(&hash, piece, (size_t)n);
        if (check_sent(t, sc_send_part(t->conn, piece, (size_t)n)) != DONE)
            return FAILED;
        progress_show(p, 0);
    }
    return FAILED;
}

/* compare: the server's answer with our own hash. */
static int compare(const talk *t, const uint8_t digest[32])
{
    char own[65];
    size_t i;
    for (i = 0; i < 32; i++)
        snprintf(own + 2 * i, 3, "%02x", digest[i]);
    if (t->text_len != 64 || strspn(t->text, "0123456789abcdef") != 64)
        return complain_answer(t);
    if (memcmp(own, t->text, 64) != 0)
        return complain("%s stored something else than %s: its SHA-256 is "
                        "%.64s, ours is %s; remove it there and send it again",
                        t->set->place, t->set->file_path, t->text, own);
    return DONE;
}

/* send_file: -f: one message is the name, one the contents; the answer is the
 * hash of what was stored. */
static int send_file(talk *t)
{
    const char *path = t->set->file_path;
    const char *name = file_name(path);
    uint8_t digest[32] = { 0 };
    progress p;
    int fd, status;
    memset(&p, 0, sizeof p);
    p.is_shown = isatty(STDERR_FILENO) && !t->set->trace;
    p.start_ms = p.shown_ms = sc_now_ms();
    status = open_file(path, &fd, &p.total);
    if (status == DONE)
        status = say(t, name, strlen(name));
    if (status == DONE)
        status = send_contents(t, fd, &p, digest);
    if (fd >= 0)
        close(fd);
    if (status == DONE) {
        progress_show(&p, 1);
        status = listen_until(t, 1);
    }
    if (status == DONE)
        status = compare(t, digest);
    if (status == DONE
        && (printf("%.64s  %s\n", t->text, name) < 0 || fflush(stdout) == EOF))
        t->print_error = errno;
    return status == DONE ? check(t, SC_OK) : status;
}

/* ---- 9. standard input --------------------------------------------------- */

/* The line that is being read. */
typedef struct {
    uint8_t bytes[SC_RECORD_MAX];
    size_t len;
    int is_partly_sent;         /* it is longer than bytes[] */
    int is_ended;               /* standard input is */
} input;

/* send_lines: send what is whole, keep the beginning of the next line. */
static int send_lines(talk *t, input *in)
{
    size_t done_len = 0;
    int status = DONE;
    while (status == DONE) {
        const uint8_t *line = in->bytes + done_len;
        const uint8_t *end = (const uint8_t *)memchr(line, '\n',
                                                     in->len - done_len);
        if (end == NULL)
            break;
        status = say(t, line, (size_t)(end - line));
        done_len += (size_t)(end - line) + 1;
        in->is_partly_sent = 0;
    }
    in->len -= done_len;
    memmove(in->bytes, in->bytes + done_len, in->len);
    if (status == DONE && in->len == sizeof in->bytes) {
        status = say_part(t, in->bytes, in->len);
        in->len = 0;
        in->is_partly_sent = 1;
    }
    return status;
}

/* read_input: some bytes of standard input, and the messages they complete. */
static int read_input(talk *t, input *in)
{
    ssize_t n = read_bytes(in->bytes + in->len, sizeof in->bytes - in->len);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return DONE;
    if (n < 0)
        return complain("cannot read standard input: %s; what was read before "
                        "has been sent", strerror(errno));
    if (n > 0) {
        in->len += (size_t)n;
        return send_lines(t, in);
    }
    in->is_ended = 1;
    if (in->len == 0 && !in->is_partly_sent)
        return DONE;
    in->is_partly_sent = 0;
    return say(t, in->bytes, in->len);
}

/* input_waits: is there more to be read, now? */
static int input_waits(void)
{
    struct pollfd p;
    char byte;
    p.fd = (poll_fd)input_fd;
    p.events = POLLIN;
    return poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0
        && read_bytes(&byte, 1) == 1;
}

/* send_input: lines go out and replies come in, whichever is there first. */
static int send_input(talk *t)
{
    static input in;
    int status = DONE;
    if (start_input() != 0)
        return complain("cannot read standard input beside the connection; "
                        "nothing was sent");
    while (status == DONE && !in.is_ended && !t->is_closed) {
        int has_more = sc_pending(t->conn);
        struct pollfd p[2];
        p[0].fd = (poll_fd)input_fd;
        p[1].fd = (poll_fd)sc_fd(t->conn);
        p[0].events = p[1].events = POLLIN;
        if (poll(p, 2, has_more ? 0 : -1) < 0) {
            if (errno == EINTR)
                continue;
            return complain("cannot wait for input: %s; try again",
                            strerror(errno));
        }
        if (has_more || p[1].revents != 0)
            status = listen_once(t);
        if (status == DONE && !t->is_closed && p[0].revents != 0)
            status = read_input(t, &in);
    }
    if (status == DONE && !in.is_ended
        && (in.is_partly_sent || in.len > 0 || input_waits()))
        return complain("%s closed the channel before all of our input was "
                        "sent; send the rest again", t->set->place);
    return status;
}

/* ---- 10. main: the protocol ---------------------------------------------- */

/* leave: the exit status, once standard output has taken everything. */
static int leave(int status)
{
    if (status == DONE && fflush(stdout) == EOF)
        return complain("cannot write to standard output: %s; the end of the "
                        "text is lost", strerror(errno));
    return status;
}

/* converse: what we have to say, and the answers. */
static int converse(talk *t)
{
    sc_set_on_data(t->conn, take, t);
    if (t->set->n_messages > 0) {
        sc_set_timeout(t->conn, ANSWER_MS);
        return send_messages(t);
    }
    if (t->set->file_path != NULL) {
        sc_set_timeout(t->conn, STORE_MS);
        return send_file(t);
    }
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "demo_client: connected to %s; each line is a message, "
                END_KEY " ends\n", t->set->place);
    return send_input(t);
}

int main(int argc, char **argv)
{
    static sc_private_key identity;
    static sc_conn conn;
    settings s;
    int status;
    if (prepare_system() != 0)          /* perhaps there is nowhere to say so */
        return complain("no /dev/null in place of a shut descriptor: %s; "
                        "give standard input, output and error to this program",
                        strerror(errno));
    status = read_options(&s, argc, argv);
    if (status == GO_ON && s.make_key_path != NULL)
        status = make_key(&s);
    if (status != GO_ON)
        return leave(status);

    /* 1. Our private key, if the server is to know who we are. */
    status = load_identity(&identity, s.identity_path);

    /* 2. The handshake: the server shows its keys, we judge the host key, both
     *    prove that they hold what they have shown. */
    if (status == DONE)
        status = connect_judged(&conn, &s, &identity);

    if (status == DONE) {
        talk t;
        memset(&t, 0, sizeof t);
        t.set = &s;
        t.conn = &conn;
        t.is_kept = s.file_path != NULL;

        /* 3. Messages, both ways. */
        status = converse(&t);

        /* 4. Our CLOSE: we have said everything.  Listen until the server's. */
        if (status == DONE)
            status = check(&t, sc_finish(&conn));
        if (status == DONE)
            status = listen_until(&t, SIZE_MAX);

        /* 5. The socket closed, the channel's keys wiped.  After a failure the
         *    server is told of it here. */
        sc_close(&conn);
    }
    sc_wipe(&identity, sizeof identity);
    return leave(status);
}
