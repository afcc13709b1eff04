/* faults_calls.c: every call of the library that touches the system, with every
 * system call in it failing, at every occurrence, in every way that faults.c
 * knows; for files also with a second one failing after it.
 * Build:   cc -I. -o faults_calls tests/faults_calls.c tests/faults.c and the
 *          library's objects
 * Usage:   faults_calls KEYFILE FOLDER [all | TRIAL]
 *          KEYFILE is any private key, FOLDER an empty one for files; all: the
 *          full run, not a sample; TRIAL: only those that begin so.
 *          FAULTS_SEED repeats a run.
 * Prints:  a line for each trial: its name, calls, runs; "FAILED: ..." for
 *          what was wrong.  Exit status 0: nothing was.
 * After each run: the result is right or is an error; files and messages are
 * whole or are not there; as many descriptors are open as before; what must be
 * wiped is wiped, and no random number that was drawn, no piece of a key that
 * was read or written is left anywhere in the memory that can be written to. */

#define _GNU_SOURCE
#include "secchan.h"
#include "tests/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#define MASK 0xa5
#define N_MESSAGES 3
#define PATIENCE 12             /* ticks of 5 s for one run.  Ticks, because a
                                   machine that stands still does not tick */

static const char *key_path, *folder, *only;
static char path[512], pub_path[520], in_path[520];
static int is_full, n_failed;
static unsigned long n_runs_in_all;
static sc_private_key masked;   /* the key, each byte XOR MASK */
static sc_private_key key;
static sc_public_key other;     /* differs from key's */
static char pem[SC_PEM_MAX];    /* what its file holds, XOR MASK */
static size_t pem_len;
static unsigned port;
static int listener = -1;
static sc_conn conn;
static sc_server server;
static char message[40000], answer[40001];

/* What the peer process tells. */
static struct peer_notes {
    volatile unsigned long session; /* number of the one that is going on */
    volatile unsigned n_messages;   /* of its messages, that came */
    volatile unsigned n_wrong;      /* messages that are not what was sent */
} *peer;
static unsigned long session;
static unsigned n_sent;

/* ---- 1. small things ----------------------------------------------------- */

static void mask(void *to, const void *from, size_t len)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    while (len-- > 0)
        *t++ = (unsigned char)(*f++ ^ MASK);
}

static int is_zero(const void *p, size_t len)
{
    const unsigned char *bytes = p;
    while (len > 0 && bytes[len - 1] == 0)
        len--;
    return len == 0;
}

static unsigned count_open(void)
{
    unsigned n = 0;
    long fd;
    for (fd = 0; fd < 256; fd++)
        n += syscall(SYS_fcntl, fd, F_GETFD) >= 0;
    return n;
}

static uint32_t dice_state = 1;
static uint32_t dice(uint32_t n)        /* 0 .. n-1; POSIX's own example */
{
    dice_state = dice_state * 1103515245u + 12345u;
    return (dice_state >> 16) % n;
}

static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    if (f == NULL || fputs(text, f) == EOF || fclose(f) == EOF) {
        perror(name);
        exit(1);
    }
}

/* holds: does the file hold exactly this?  text NULL: is it not there? */
static int holds(const char *name, const char *text, size_t len)
{
    static char have[16384];    /* stdio would leave copies in its buffers */
    int file = open(name, O_RDONLY), is_same;
    ssize_t n = file >= 0 ? read(file, have, sizeof have) : 0;
    if (file < 0 || text == NULL || n < 0)
        return file < 0 && text == NULL;
    close(file);
    is_same = (size_t)n == len && memcmp(have, text, len) == 0;
    sc_wipe(have, sizeof have);
    return is_same;
}

static int exists(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0;
}

/* ---- 2. what is left in memory ------------------------------------------- */

#ifndef HAS_SANITIZER           /* which keeps what was freed, on purpose */

enum { PIECE = FAULTS_DRAWN_LEN, PIECES_MAX = 64 };
static unsigned char piece[PIECES_MAX][PIECE];
static size_t n_pieces;
static unsigned char begins[256];

/* look_for: PIECE bytes, masked; backwards too, as numbers lie in memory. */
static void look_for(const unsigned char *bytes)
{
    size_t i;
    if (n_pieces + 2 > PIECES_MAX)
        return;
    memcpy(piece[n_pieces++], bytes, PIECE);
    for (i = 0; i < PIECE; i++)
        piece[n_pieces][i] = bytes[PIECE - 1 - i];
    n_pieces++;
}

static size_t search(const unsigned char *from, const unsigned char *to)
{
    size_t i, k, n_found = 0;
    for (; from + PIECE <= to; from++) {
        if (!begins[*from])
            continue;
        for (i = 0; i < n_pieces; i++) {
            for (k = 0; k < PIECE && (from[k] ^ MASK) == piece[i][k]; k++)
                continue;
            n_found += k == PIECE;
        }
    }
    return n_found;
}

static size_t search_memory(void)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t i, n_found = 0;
    memset(begins, 0, sizeof begins);
    for (i = 0; i < n_pieces; i++)
        begins[piece[i][0] ^ MASK] = 1;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3
            && strncmp(rights, "rw", 2) == 0)
            n_found += search((const unsigned char *)from,
                              (const unsigned char *)to);
    }
    if (maps != NULL)
        fclose(maps);
    n_pieces = 0;
    return n_found;
}

static int remains(void)
{
    const sc_private_key *k = &masked;
    size_t i;
    look_for(k->p + 32);
    look_for(k->q + 32);
    look_for(k->dp + 32);
    look_for(k->dq + 32);
    look_for(k->qinv + 32);
    look_for((const unsigned char *)pem + pem_len / 2);
    for (i = 0; i < faults_n_drawn && i < 20; i++)
        look_for(faults_drawn[i]);
    return search_memory() > 0;
}

/* The search finds what is there. */
static int search_works(void)
{
    size_t i;
    for (i = 0; i < PIECE; i++)
        answer[i] = (char)(masked.p[32 + i] ^ MASK);
    if (!remains())
        return 0;
    for (i = 0; i < PIECE; i++)
        answer[i] = (char)(masked.p[47 - i] ^ MASK);
    if (!remains())
        return 0;
    sc_wipe(answer, PIECE);
    return !remains();
}

#else

static int remains(void) { return 0; }
static int search_works(void) { return 1; }

#endif

/* ---- 3. a run, a trial --------------------------------------------------- */

typedef struct {
    const char *name;
    int want;                           /* the result when nothing fails */
    int (*act)(void);                   /* gives the library's result */
    const char *(*judge)(int result);   /* gives what is wrong, or NULL */
    void (*prepare)(void);
    int has_pairs;                      /* a second fault after the first */
    unsigned long at_once;              /* calls that are all tried; then a */
} trial;                                /* sample (0: all) */

/* does_not_matter: nobody may notice that it happened. */
static int does_not_matter(const struct faults_plan *p)
{
    static const char *const small[] = { "recv", "send", "read", "write",
                                         "poll", "pread" };
    size_t i;
    if (p->hits == 0 || p->to_the_end)
        return p->hits == 0;
    if (strcmp(p->name, "setsockopt") == 0 || strcmp(p->name, "shutdown") == 0)
        return 1;
    if (strcmp(p->name, "getrandom") == 0)
        return p->how == EINTR;
    for (i = 0; i < sizeof small / sizeof *small; i++)
        if (strcmp(p->name, small[i]) == 0)
            break;
    if (i == sizeof small / sizeof *small)
        return 0;
    if (i == 5)                         /* pread is for one byte */
        return 0;
    return p->how == FAULTS_SHORT || p->how == FAULTS_HALF || p->how == EINTR
        || (p->how == EAGAIN && i != 2 && i != 3)
        || (p->how == FAULTS_NOTHING && i == 4);
}

static int was_hit(const char *name)
{
    int i;
    for (i = 0; i < 2; i++)
        if (faults_plan[i].hits > 0 && strcmp(faults_plan[i].name, name) == 0)
            return 1;
    return 0;
}

static void failed(const trial *t, int result, const char *why)
{
    const struct faults_plan *p = faults_plan;
    n_failed++;
    printf("FAILED: %s: %s; result %d; faults: %s %d (call %lu%s), %s %d (call "
           "%lu)\n", t->name, why, result, p[0].hits ? p[0].name : "none",
           p[0].how, p[0].at, p[0].to_the_end ? " and on" : "",
           p[1].hits ? p[1].name : "none", p[1].how, p[1].at);
    fflush(stdout);
}

/* A run that hangs: say which. */
static const trial *running;
static volatile int n_ticks;
static unsigned long n_calls;           /* in the last run */
static void on_alarm(int number)
{
    (void)number;
    if (++n_ticks < PATIENCE)
        return;
    failed(running, 0, "it hangs");
    _exit(1);
}

/* The system saves the registers where the handler runs, key and all. */
static char ticking_stack[65536];

static void start_ticking(void)
{
    struct itimerval every;
    struct sigaction action;
    stack_t elsewhere;
    memset(&elsewhere, 0, sizeof elsewhere);
    elsewhere.ss_sp = ticking_stack;
    elsewhere.ss_size = sizeof ticking_stack;
    sigaltstack(&elsewhere, NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGALRM, &action, NULL);
    memset(&every, 0, sizeof every);
    every.it_interval.tv_sec = every.it_value.tv_sec = 5;
    setitimer(ITIMER_REAL, &every, NULL);
}

/* run: one run with these faults; 0: the last of them was not reached, or
 * is beyond what can happen there. */
static int run(const trial *t, const struct faults_plan *first,
               const struct faults_plan *second)
{
    unsigned n_open;
    const char *why;
    int result;
    faults_forget();
    if (t->prepare != NULL)
        t->prepare();
    n_open = count_open();
    running = t;
    n_ticks = 0;
    faults_forget();
    if (first != NULL)
        faults_plan[0] = *first;
    if (second != NULL)
        faults_plan[1] = *second;
    result = t->act();
    n_calls = faults_calls;
    faults_plan[0].at = faults_plan[1].at = 0;          /* no more of them */
    sc_wipe(ticking_stack, sizeof ticking_stack);
    why = t->judge(result);
    if (why == NULL && count_open() != n_open)
        why = "a descriptor more or less is open";
    if (why == NULL && result != t->want && does_not_matter(&faults_plan[0])
        && does_not_matter(&faults_plan[1]))
        why = "it failed for something that can be tried again";
    if (why == NULL && result != t->want && result >= 0)
        why = "neither the right result nor an error";
    if (why == NULL && sc_strerror(result)[0] == '\0')
        why = "an error without words";
    /* by a clock that says 0 the server's next key is due: what is drawn for
     * that is where it belongs */
    if (why == NULL && second == NULL && !was_hit("clock_gettime")
        && remains())
        why = "something secret is left in memory";
    faults_plan[0].at = first != NULL ? first->at : 0;
    faults_plan[1].at = second != NULL ? second->at : 0;
    if (why != NULL)
        failed(t, result, why);
    if (first == NULL)
        return result == t->want;
    first = &faults_plan[second != NULL];
    return first->hits > 0 && !first->is_beyond;
}

static struct faults_plan any(unsigned long at, int variant, int to_the_end)
{
    struct faults_plan p;
    memset(&p, 0, sizeof p);
    memcpy(p.call, "any", 4);
    p.at = at;
    p.variant = variant;
    p.to_the_end = to_the_end;
    return p;
}

/* pairs: after this first fault, everything that comes. */
static unsigned long pairs(const trial *t, const struct faults_plan *first)
{
    unsigned long at, n_runs = 0;
    int variant;
    for (at = first->at + 1; ; at++) {
        for (variant = 0; ; variant++) {
            struct faults_plan second = any(at, variant, 0);
            n_runs++;
            if (!run(t, first, &second))
                break;
        }
        if (faults_plan[1].hits == 0)
            return n_runs;
    }
}

/* lasts: can such a fault go on for ever?  A clock that does would end every
 * time-out, too. */
static int lasts(const struct faults_plan *p)
{
    return p->how > 0 && p->how != EINTR && p->how != EAGAIN
        && p->how != ECONNABORTED && strcmp(p->name, "clock_gettime") != 0;
}

/* try_all: every call, every variant; once, and from then on. */
static void try_all(const trial *t)
{
    unsigned long at, n_runs = 0, n_clean;
    int variant;
    if (only != NULL && strncmp(t->name, only, strlen(only)) != 0)
        return;
    (void)run(t, NULL, NULL);           /* what is done once, is done here */
    if (!run(t, NULL, NULL))
        failed(t, t->want, "it fails without faults");
    n_clean = n_calls;
    for (at = 1; at <= n_clean + 20; at++) {
        if (t->at_once != 0 && at > t->at_once && at < n_clean
            && !is_full && dice((uint32_t)(n_clean / 8 + 1)) != 0)
            continue;
        for (variant = 0; ; variant++) {
            struct faults_plan first = any(at, variant, 0);
            n_runs++;
            if (!run(t, &first, NULL))
                break;
            if (t->has_pairs)
                n_runs += pairs(t, &first);
            if (lasts(&faults_plan[0]) && (is_full || variant <= 1)) {
                /* by name: in a conversation other calls may be at this place
                 * next time, and one interrupted for ever is no fault */
                snprintf(first.call, sizeof first.call, "%s",
                         faults_plan[0].name);
                first.at = faults_plan[0].nth;
                first.to_the_end = 1;
                n_runs++;
                (void)run(t, &first, NULL);
            }
        }
        if (faults_plan[0].hits == 0)
            break;
    }
    printf("%s: %lu calls, %lu runs\n", t->name, n_clean, n_runs);
    n_runs_in_all += n_runs;
    faults_forget();
    fflush(stdout);
}

/* ---- 4. keys ------------------------------------------------------------- */

static void unmask_key(void)
{
    mask(&key, &masked, sizeof key);
}

static void prepare_save(void)
{
    unlink(path);
    unlink(pub_path);
    unmask_key();
}

static int act_save(void)
{
    int e = sc_key_save(&key, path, "faults");
    sc_wipe(&key, sizeof key);
    return e;
}

static const char *judge_save(int result)
{
    static char line[SC_PUBLIC_LINE_MAX + 1], text[SC_PEM_MAX];
    const char *why = NULL;
    size_t len = 0;
    (void)sc_public_write_line(&masked.pub, NULL, line, sizeof line, &len);
    if (result == SC_OK) {
        mask(text, pem, pem_len);
        if (!holds(path, text, pem_len))
            why = "\"done\", but the key file is not whole";
        sc_wipe(text, sizeof text);
        unmask_key();
        if (sc_public_write_line(&key.pub, "faults", line, sizeof line - 1,
                                 &len) != SC_OK)
            why = "no line";
        sc_wipe(&key, sizeof key);
        line[len++] = '\n';
        if (!holds(pub_path, line, len))
            why = "\"done\", but the public line is not whole";
        return why;
    }
    if (!was_hit("unlink") && (exists(path) || exists(pub_path)))
        return "it failed, and a file is left";
    return NULL;
}

static void prepare_save_exists(void)
{
    unlink(path);
    put_file(pub_path, "mine\n");
    unmask_key();
}

static const char *judge_save_exists(int result)
{
    if (result == SC_OK || !holds(pub_path, "mine\n", 5))
        return "a file was overwritten";
    if (!was_hit("unlink") && exists(path))
        return "it failed, and a file is left";
    return NULL;
}

static int act_load(void)
{
    return sc_key_load(&key, key_path);
}

static const char *judge_load(int result)
{
    const char *why = NULL;
    mask(&key, &key, sizeof key);
    if (result == SC_OK && memcmp(&key, &masked, sizeof key) != 0)
        why = "\"done\", but another key";
    mask(&key, &key, sizeof key);
    if (result != SC_OK && !is_zero(&key, sizeof key))
        why = "it failed, and left something of the key";
    sc_wipe(&key, sizeof key);
    return why;
}

/* ---- 5. known_hosts, authorized_keys ------------------------------------- */

static sc_known_hosts known;
static sc_authorized_keys listed;
static char before[8192], line_of_key[1200], line_of_other[1200];
static int was_there;

/* make_lines: for known_hosts; for authorized_keys without the host's name. */
static void make_lines(void)
{
    char line[SC_PUBLIC_LINE_MAX];
    size_t len;
    if (sc_public_write_line(&key.pub, NULL, line, sizeof line, &len) == SC_OK)
        snprintf(line_of_key, sizeof line_of_key, "[host.example]:4422 %s\n",
                 line);
    if (sc_public_write_line(&other, NULL, line, sizeof line, &len) == SC_OK)
        snprintf(line_of_other, sizeof line_of_other,
                 "[host.example]:4422 %s\n", line);
}

static void start_known(const char *name)
{
    memset(&known, 0, sizeof known);
    known.path = name;
    known.host = "host.example";
    known.port = 4422;
    known.accept_new = 1;
}

static void write_known(const char *end)
{
    int i;
    before[0] = '\0';
    for (i = 0; i < 30; i++)
        strcat(before, "# a line that says nothing, thirty times over\n");
    strcat(before, end);
    put_file(path, before);
    start_known(path);
}

static void prepare_changed(void) { write_known(line_of_other); }
static void prepare_same(void) { write_known(line_of_key); }

static int act_judge(void)
{
    sc_public_key shown;
    mask(&shown, &masked.pub, sizeof shown);
    return sc_judge_known_hosts(&known, &shown);
}

static const char *judge_changed(int result)
{
    return result >= 0 || known.is_new ? "a changed key was believed" : NULL;
}

static const char *judge_same(int result)
{
    (void)result;
    return known.is_new ? "a known host counts as new" : NULL;
}

/* A channel on which the host has proved its key, as far as the library can
 * tell from outside. */
static int act_remember(void)
{
    sc_channel ch;
    memset(&ch, 0, sizeof ch);
    ch.is_ready = 1;
    mask(&ch.peer, &masked.pub, sizeof ch.peer);
    return sc_known_hosts_remember(&known, &ch);
}

static const char *judge_remember(int result)
{
    static char after[sizeof before + 1300];
    size_t len = strlen(before);
    memcpy(after, before, len + 1);
    if (len > 0 && after[len - 1] != '\n')
        strcat(after, "\n");
    strcat(after, line_of_key);
    if (result == SC_OK && known.is_new)
        return "\"done\", but still new";
    if (result == SC_OK)
        return holds(known.path, after, strlen(after)) ? NULL
             : "\"done\", but the line is not there, whole";
    if (!known.is_new)
        return "it failed, and does not count as new any more";
    if (was_hit("ftruncate") || holds(known.path, before, len)
        || (!was_there && !exists(known.path)))
        return NULL;
    return "it failed, and the file is not as before";
}

static void prepare_remember(void)
{
    write_known("x.example ssh-ed25519 AAAA\n");
    was_there = 1;
    known.is_new = 1;
    mask(&known.shown, &masked.pub, sizeof known.shown);
}

static void prepare_remember_no_newline(void)
{
    prepare_remember();
    before[strlen(before) - 1] = '\0';
    put_file(path, before);
}

static void prepare_remember_first(void)
{
    prepare_remember();
    unlink(in_path);
    *strrchr(in_path, '/') = '\0';
    rmdir(in_path);
    in_path[strlen(in_path)] = '/';
    before[0] = '\0';
    was_there = 0;
    known.path = in_path;
}

static void prepare_listed(void)
{
    write_known(strchr(line_of_key, ' ') + 1);
    listed.path = path;
}

static void prepare_unlisted(void)
{
    write_known(strchr(line_of_other, ' ') + 1);
    listed.path = path;
}

static int act_authorise(void)
{
    sc_public_key shown;
    mask(&shown, &masked.pub, sizeof shown);
    return sc_authorise_by_file(&listed, &shown);
}

static const char *judge_listed(int result)
{
    (void)result;
    return NULL;
}

static const char *judge_unlisted(int result)
{
    return result >= 0 ? "a key that is not listed was let in" : NULL;
}

/* ---- 6. sockets ---------------------------------------------------------- */

static int fd = -1;

static void prepare_fd(void) { fd = -2; }
static int act_listen(void) { return sc_listen("127.0.0.1", 0, &fd); }
static int act_listen_all(void) { return sc_listen(NULL, 0, &fd); }
static int act_dial(void) { return sc_dial("127.0.0.1", port, 20000, &fd); }

static const char *judge_fd(int result)
{
    if (result != SC_OK)
        return fd == -1 ? NULL : "it failed, and gave a descriptor";
    return fd >= 0 && close(fd) == 0 ? NULL : "\"done\", but no descriptor";
}

/* ---- 7. conversations ---------------------------------------------------- */

/* A message says which it is; number 1 is longer than two records. */
static size_t make_message(char *text, size_t max, unsigned long in,
                           unsigned number)
{
    size_t len = number == 1 ? max : 40;
    memset(text, 'a' + (int)(in % 26), len);
    snprintf(text, 40, "session %lu, message %u", in, number);
    return len;
}

/* peer_serves: the other process: notes what comes, and sends it back. */
static void peer_serves(void)
{
    static sc_conn c;
    unsigned long in;
    unsigned number;
    size_t len;
    int e;
    for (;;) {
        if (sc_accept(&c, listener, &server) != SC_OK)
            continue;
        sc_set_timeout(&c, 20000);
        while (sc_recv_whole(&c, answer, sizeof answer, &len) == SC_OK) {
            e = sscanf(answer, "session %lu, message %u", &in, &number) != 2;
            if (in != peer->session && !e) {
                peer->n_messages = 0;
                peer->session = in;
            }
            e = e || number != peer->n_messages
                || make_message(message, sizeof message, in, number) != len
                || memcmp(message, answer, len) != 0;
            if (e)
                peer->n_wrong++;
            peer->n_messages++;
            if (sc_send(&c, answer, len) != SC_OK)
                break;
        }
        sc_close(&c);
    }
}

/* peer_calls: the other process: sends, and wants the same back. */
static void peer_calls(const sc_client_options *o)
{
    static sc_conn c;
    unsigned long in;
    for (in = 0; ; in++) {
        unsigned i;
        size_t len, got;
        if (sc_connect(&c, "127.0.0.1", port, o) != SC_OK)
            continue;
        sc_set_timeout(&c, 20000);
        for (i = 0; i < N_MESSAGES; i++) {
            len = make_message(message, sizeof message, in, i);
            if (sc_send(&c, message, len) != SC_OK
                || sc_recv_whole(&c, answer, sizeof answer, &got) != SC_OK)
                break;
            if (got != len || memcmp(message, answer, len) != 0)
                peer->n_wrong++;
        }
        sc_close(&c);
    }
}

static int judge_anyone(void *ctx, const sc_public_key *host_key)
{
    (void)ctx;
    return sc_public_equal(host_key, ctx) ? SC_OK : SC_ERR_PIN;
}

static sc_client_options client_options;
static sc_public_key host_public;
static sc_private_key identity;

static int act_call(void)
{
    unsigned i;
    size_t len, got;
    int e = sc_connect(&conn, "127.0.0.1", port, &client_options), closed;
    n_sent = 0;
    if (e == SC_OK)
        sc_set_timeout(&conn, 20000);
    for (i = 0; e == SC_OK && i < N_MESSAGES; i++) {
        len = make_message(message, sizeof message, session, i);
        e = sc_send(&conn, message, len);
        n_sent += e == SC_OK;
        if (e == SC_OK)
            e = sc_recv_whole(&conn, answer, sizeof answer, &got);
        if (e == SC_OK && (got != len || memcmp(message, answer, len) != 0)) {
            n_failed++;
            puts("FAILED: a client: an answer is not what was sent");
        }
        if (e == SC_CLOSED)
            e = SC_ERR_CUT_OFF;
    }
    closed = sc_close(&conn);
    return e == SC_OK ? closed : e;
}

static void prepare_call(void)
{
    session++;
}

static const char *judge_call(int result)
{
    int tries;
    for (tries = 0; result == SC_OK && tries < 500; tries++) {
        if (peer->session == session && peer->n_messages == n_sent)
            break;
        (void)usleep(10000);
    }
    if (peer->n_wrong > 0) {
        peer->n_wrong = 0;
        return "the peer got something that was not sent, or not in order";
    }
    if (result == SC_OK && (n_sent != N_MESSAGES || tries == 500))
        return "messages that were reported sent did not arrive";
    return is_zero(&conn, sizeof conn) ? NULL : "the connection is not wiped";
}

static int act_answer(void)
{
    unsigned i;
    size_t len;
    int e = sc_accept(&conn, listener, &server), closed;
    if (e == SC_OK)
        sc_set_timeout(&conn, 20000);
    for (i = 0; e == SC_OK && i <= N_MESSAGES; i++) {
        e = sc_recv_whole(&conn, answer, sizeof answer, &len);
        if (e == SC_OK)
            e = sc_send(&conn, answer, len);
    }
    if (e == SC_CLOSED)
        e = i == N_MESSAGES + 1 ? SC_OK : SC_ERR_CUT_OFF;
    closed = sc_close(&conn);
    return e == SC_OK ? closed : e;
}

/* ---- 8. random numbers --------------------------------------------------- */

static uint8_t bytes[1000];

static void prepare_random(void)
{
    memset(bytes, 1, sizeof bytes);
}

static int act_random(void)
{
    return sc_os_random(NULL, bytes, sizeof bytes);
}

static const char *judge_random(int result)
{
    size_t i, n = 0;
    if (result != SC_OK)
        return result != SC_ERR_RANDOM ? "another error"
             : is_zero(bytes, sizeof bytes) ? NULL : "bytes are left";
    for (i = 0; i < sizeof bytes; i++)
        n += bytes[i] == 1;
    sc_wipe(bytes, sizeof bytes);
    return n < 50 ? NULL : "bytes that are not random";
}

static int act_generate(void)
{
    return sc_key_generate(&key, 2048, NULL, NULL);
}

static const char *judge_generate(int result)
{
    const char *why = NULL;
    if (result != SC_OK && !is_zero(&key, sizeof key))
        why = "it failed, and something of a key is there";
    if (result != SC_OK && result != SC_ERR_RANDOM)
        why = "another error";
    sc_wipe(&key, sizeof key);
    faults_n_drawn = 0;                 /* thousands of refused candidates */
    return why;
}

static sc_private_key host_key;
static sc_server other_server;

static int act_server(void)
{
    sc_server_options o;
    memset(&o, 0, sizeof o);
    o.host_key = &host_key;
    return sc_server_init(&other_server, &o, 0);
}

static const char *judge_server(int result)
{
    const char *why = NULL;
    if (result != SC_OK && !is_zero(&other_server, sizeof other_server))
        why = "it failed, and something of a server is there";
    sc_server_end(&other_server);
    faults_n_drawn = 0;
    return why;
}

/* A short-lived key is due, and the random source fails while it is made: the
 * one before goes on being used, and later the making succeeds. */
static void prepare_tick(void)
{
    other_server = server;
    other_server.options.short_key_ms = 1;
    other_server.short_key[0].born_ms = 0;
    memset(&other_server.short_key[1], 0, sizeof other_server.short_key[1]);
    other_server.current = 0;
}

static int tick_until_made(void)
{
    unsigned wait_ms;
    uint32_t made = other_server.keys_made;
    int e = SC_OK;
    while (e == SC_OK && other_server.keys_made == made)
        e = sc_server_tick(&other_server, 3600000, &wait_ms);
    return e;
}

static const char *judge_tick(int result)
{
    const char *why = NULL;
    if (result != SC_OK && (other_server.current != 0
            || !other_server.short_key[0].is_alive
            || memcmp(&other_server.short_key[0].key, &server.short_key[0].key,
                      sizeof server.short_key[0].key) != 0))
        why = "it failed, and the key before is not in use any more";
    if (result != SC_OK && tick_until_made() != SC_OK)
        why = "it failed, and later it does so again";
    sc_server_end(&other_server);
    faults_n_drawn = 0;
    return why;
}

/* ---- 9. all of them ------------------------------------------------------ */

static const trial files[] = {
    { "sc_key_save", SC_OK, act_save, judge_save, prepare_save, 1, 0 },
    { "sc_key_save, .pub exists", SC_ERR_FILE_EXISTS, act_save,
      judge_save_exists, prepare_save_exists, 1, 0 },
    { "sc_key_load", SC_OK, act_load, judge_load, NULL, 1, 0 },
    { "sc_judge_known_hosts, changed key", SC_ERR_HOST_CHANGED, act_judge,
      judge_changed, prepare_changed, 1, 0 },
    { "sc_judge_known_hosts, known key", SC_OK, act_judge, judge_same,
      prepare_same, 1, 0 },
    { "sc_known_hosts_remember", SC_OK, act_remember, judge_remember,
      prepare_remember, 1, 0 },
    { "sc_known_hosts_remember, last line without newline", SC_OK,
      act_remember, judge_remember, prepare_remember_no_newline, 1, 0 },
    { "sc_known_hosts_remember, no file, no folder", SC_OK, act_remember,
      judge_remember, prepare_remember_first, 1, 0 },
    { "sc_authorise_by_file, listed", SC_OK, act_authorise, judge_listed,
      prepare_listed, 1, 0 },
    { "sc_authorise_by_file, not listed", SC_ERR_NOT_AUTHORISED, act_authorise,
      judge_unlisted, prepare_unlisted, 1, 0 },
    { "sc_listen", SC_OK, act_listen, judge_fd, prepare_fd, 1, 0 },
    { "sc_listen, every address", SC_OK, act_listen_all, judge_fd, prepare_fd,
      0, 0 },
    { "sc_os_random", SC_OK, act_random, judge_random, prepare_random, 0, 0 },
    { "sc_key_generate", SC_OK, act_generate, judge_generate, NULL, 0, 5 },
    { "sc_server_init", SC_OK, act_server, judge_server, NULL, 0, 2 },
    { "sc_server_tick", SC_OK, tick_until_made, judge_tick, prepare_tick, 0, 2 }
};
static const trial dial = { "sc_dial", SC_OK, act_dial, judge_fd, prepare_fd,
                            1, 0 };
static const trial caller = { "a client's conversation", SC_OK, act_call,
                              judge_call, prepare_call, 0, 40 };
static const trial answerer = { "a server's conversation", SC_OK, act_answer,
                                judge_call, NULL, 0, 40 };

static pid_t start_peer(int serves)
{
    sc_client_options o = client_options;
    pid_t pid;
    fflush(stdout);
    pid = fork();
    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    faults_forget();
    if (serves)
        peer_serves();
    else
        peer_calls(&o);
    _exit(0);
}

static void stop_peer(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

static void find_port(void)
{
    struct sockaddr_in here;
    socklen_t len = sizeof here;
    memset(&here, 0, sizeof here);
    if (sc_listen("127.0.0.1", 0, &listener) == SC_OK
        && getsockname(listener, (struct sockaddr *)&here, &len) == 0)
        port = ntohs(here.sin_port);
}

static void conversations(void)
{
    pid_t pid;
    find_port();
    host_public = host_key.pub;
    client_options.judge_host = judge_anyone;
    client_options.judge_ctx = &host_public;
    client_options.identity = &identity;
    pid = start_peer(1);
    try_all(&dial);
    try_all(&caller);
    stop_peer(pid);
    close(listener);
    find_port();
    client_options.identity = NULL;     /* the server lets no named key in */
    pid = start_peer(0);
    n_sent = N_MESSAGES;
    session = peer->session;
    peer->n_messages = n_sent;
    try_all(&answerer);
    stop_peer(pid);
    close(listener);
}

static int judge_yes(void *ctx, const sc_public_key *k)
{
    (void)ctx;
    (void)k;
    return SC_OK;
}

static int start(void)
{
    sc_server_options o;
    char text[SC_PEM_MAX];
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(pub_path, sizeof pub_path, "%s.pub", path);
    snprintf(in_path, sizeof in_path, "%s/new/file", folder);
    peer = mmap(NULL, sizeof *peer, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (peer == MAP_FAILED || sc_key_load(&key, key_path) != SC_OK
        || sc_key_write_pem(&key, text, sizeof text, &pem_len) != SC_OK)
        return 0;
    mask(pem, text, pem_len);
    sc_wipe(text, sizeof text);
    mask(&masked, &key, sizeof key);
    other = key.pub;
    other.n[200] ^= 1;
    make_lines();
    sc_wipe(&key, sizeof key);
    memset(&o, 0, sizeof o);
    o.host_key = &host_key;
    o.authorise = judge_yes;
    return sc_key_generate(&host_key, 2048, NULL, NULL) == SC_OK
        && sc_key_generate(&identity, 2048, NULL, NULL) == SC_OK
        && sc_server_init(&server, &o, sc_now_ms()) == SC_OK;
}

int main(int argc, char **argv)
{
    size_t i;
    if (argc < 3) {
        fputs("usage: faults_calls KEYFILE FOLDER [all | TRIAL]\n", stderr);
        return 2;
    }
    key_path = argv[1];
    folder = argv[2];
    is_full = argc > 3 && strcmp(argv[3], "all") == 0;
    only = argc > 3 && !is_full ? argv[3] : NULL;
    signal(SIGPIPE, SIG_IGN);
    start_ticking();
    if (getenv("FAULTS_SEED") != NULL)
        dice_state = (uint32_t)strtoul(getenv("FAULTS_SEED"), NULL, 10);
    if (!start()) {
        puts("FAILED: it cannot begin");
        return 1;
    }
    if (!search_works()) {
        puts("FAILED: the search of the memory does not find what is there, "
             "or finds what is not");
        n_failed++;
    }
    for (i = 0; i < sizeof files / sizeof *files; i++)
        try_all(&files[i]);
    conversations();
    sc_server_end(&server);
    printf("%lu runs, %d wrong\n", n_runs_in_all, n_failed);
    return n_failed != 0;
}
