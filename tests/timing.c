/* timing.c: how long does a server take to refuse an M3, and does that say why?
 * Times every kind of bad M3 against one whose blocks are well-formed and whose
 * tag alone is wrong, many times, in turns, and compares by Welch's t-test, as
 * dudect does (Reparaz, Balasch, Verbauwhede, "Dude, is my code constant
 * time?", 2017).
 *
 *   timing ROUNDS SEED KINDS            in one process, through sc_input
 *   timing ROUNDS SEED KINDS HOST PORT  a demo_server, until it hangs up
 *
 * KINDS: how many of the kinds, from the first; 0: all.
 *
 * Use:     by timing.sh.
 * Time:    in one process the thread's processor time, so that other processes
 *          do not count; over a socket what a clock on the wall shows.
 * Prints:  a line a kind, tabs between: its name; the median in ns; how much
 *          more that is than the first kind's; what difference of the faster
 *          halves' means would give |t| = 4.5; the largest |t|, over croppings
 *          of both kinds at the same time, from none to the faster half.
 * Status:  0 measured, whatever the figures are; 1 something went wrong. */

#define SECCHAN_INTERNAL
#include "m3.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The kinds of M3; blocks are named by their place in block_kinds. */
enum { NOTHING, C1_BIT, C1_IS_N, C1_IS_1 };
static const struct {
    const char *name;
    m3_kind m3;
    int spoilt;
} kinds[] = {
    { "both blocks good, tag wrong", { 0, 0, BOX_BAD_TAG }, NOTHING },
    { "the same once more", { 0, 0, BOX_BAD_TAG }, NOTHING },
    { "C1: first byte 01", { 1, 0, BOX_GOOD }, NOTHING },
    { "C1: lHash of another label", { 2, 0, BOX_GOOD }, NOTHING },
    { "C1: no 01", { 6, 0, BOX_GOOD }, NOTHING },
    { "C1: junk in PS", { 10, 0, BOX_GOOD }, NOTHING },
    { "C1: message of 33 bytes", { 16, 0, BOX_GOOD }, NOTHING },
    { "C1: all wrong", { 19, 0, BOX_GOOD }, NOTHING },
    { "C1: all wrong, tag right for zeros", { 19, 0, BOX_ZEROS }, NOTHING },
    { "C2: first byte 01", { 0, 1, BOX_GOOD }, NOTHING },
    { "C2: all wrong", { 0, 19, BOX_GOOD }, NOTHING },
    { "C1 and C2: all wrong", { 19, 19, BOX_GOOD }, NOTHING },
    { "C1: one bit of it turned", { 0, 0, BOX_GOOD }, C1_BIT },
    { "C1: the modulus itself", { 0, 0, BOX_GOOD }, C1_IS_N },
    { "C1: the number 1", { 0, 0, BOX_GOOD }, C1_IS_1 }
};
#define KINDS_MAX (sizeof kinds / sizeof kinds[0])
#define WARM_UP 20                      /* rounds that do not count */

static random_stream stream;
static sc_private_key host;
static sc_server server;
static double *times[KINDS_MAX];        /* ns, in the order measured */
static size_t n_kinds = KINDS_MAX, n_times;

static double now_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- 1. one M3 ----------------------------------------------------------- */

/* make_m3: of this kind, with the same work for each. */
static size_t make_m3(uint8_t *m3, const uint8_t *m1, const uint8_t *m2,
                      size_t m2_len, size_t kind)
{
    uint8_t c1[3][SC_MODULUS_MAX];
    size_t n = m2_len - 292, len, which = (size_t)kinds[kind].spoilt;
    len = m3_make(m3, m1, m2, m2_len, &kinds[kind].m3, &stream);
    memcpy(c1[0], m3 + 4, n);
    c1[0][n / 2] ^= 0x10;
    memcpy(c1[1], m2 + 292, n);
    memset(c1[2], 0, n);
    c1[2][n - 1] = 1;
    if (which != NOTHING)
        memcpy(m3 + 4, c1[which - 1], n);
    return len;
}

/* time_input: how long sc_input takes; negative: it did not refuse. */
static double time_input(size_t kind)
{
    static uint8_t m1[4], m2[SC_FRAME_MAX], m3[SC_FRAME_MAX], m4[SC_FRAME_MAX];
    static const uint8_t m1_as_sent[4] = { 1, 1, 0, 0 };
    sc_channel ch;
    sc_event event;
    size_t m2_len, m3_len, m4_len;
    double begin, end;
    int e;
    memcpy(m1, m1_as_sent, sizeof m1);
    if (sc_server_accept(&ch, &server) != SC_OK
        || sc_input(&ch, m1, sizeof m1, &event, m2, &m2_len) != SC_OK)
        return -1;
    m3_len = make_m3(m3, m1_as_sent, m2, m2_len, kind);
    begin = now_ns(CLOCK_THREAD_CPUTIME_ID);
    e = sc_input(&ch, m3, m3_len, &event, m4, &m4_len);
    end = now_ns(CLOCK_THREAD_CPUTIME_ID);
    sc_end(&ch);
    return e == SC_ERR_HANDSHAKE && m4_len == 0 ? end - begin : -1;
}

/* receive: up to len bytes, or 0 at the end; negative: none in 10 seconds. */
static long receive(int fd, uint8_t *buf, size_t len)
{
    struct pollfd p;
    ssize_t n;
    for (;;) {
        n = recv(fd, buf, len, 0);
        if (n >= 0 || errno == ECONNRESET)
            return n >= 0 ? (long)n : 0;
        p.fd = fd;
        p.events = POLLIN;
        if ((errno != EAGAIN && errno != EINTR) || poll(&p, 1, 10000) == 0)
            return -1;
    }
}

/* time_socket: from sending M3 to the end of the connection. */
static double time_socket(const char *name, unsigned port, size_t kind)
{
    static uint8_t m2[SC_FRAME_MAX], m3[SC_FRAME_MAX];
    static const uint8_t m1[4] = { 1, 1, 0, 0 };
    size_t m2_len = 4, have = 0, m3_len;
    double begin, took = -1;
    long n;
    int fd;
    if (sc_dial(name, port, 10000, &fd) != SC_OK)
        return -1;
    if (send(fd, m1, sizeof m1, MSG_NOSIGNAL) == sizeof m1) {
        while (have < m2_len) {
            n = receive(fd, m2 + have, m2_len - have);
            if (n <= 0)
                break;
            have += (size_t)n;
            if (have == 4)
                m2_len = 4 + ((size_t)m2[2] << 8) + m2[3];
        }
        if (have == m2_len && m2_len >= 292 + SC_MODULUS_MIN
            && m2_len <= 292 + SC_MODULUS_MAX) {
            m3_len = make_m3(m3, m1, m2, m2_len, kind);
            begin = now_ns(CLOCK_MONOTONIC);
            if (send(fd, m3, m3_len, MSG_NOSIGNAL) == (ssize_t)m3_len
                && receive(fd, m2, 1) == 0)
                took = now_ns(CLOCK_MONOTONIC) - begin;
        }
    }
    close(fd);
    return took;
}

/* measure: each kind once a round, in an order that chance decides. */
static int measure(size_t rounds, const char *name, unsigned port)
{
    size_t order[KINDS_MAX], round, i, j, swap;
    double t;
    for (i = 0; i < n_kinds; i++) {
        order[i] = i;
        times[i] = (double *)calloc(rounds, sizeof *times[i]);
        if (times[i] == NULL)
            return 0;
    }
    n_times = rounds;
    for (round = 0; round < WARM_UP + rounds; round++) {
        for (i = n_kinds - 1; i > 0; i--) {
            uint8_t random[4];
            (void)random_bytes(&stream, random, sizeof random);
            j = ((size_t)random[0] << 16 | (size_t)random[1] << 8 | random[2])
                % (i + 1);
            swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
        for (i = 0; i < n_kinds; i++) {
            t = name == NULL ? time_input(order[i])
                             : time_socket(name, port, order[i]);
            if (t < 0) {
                fprintf(stderr, "timing: %s: not refused as it should be\n",
                        kinds[order[i]].name);
                return 0;
            }
            if (round >= WARM_UP)
                times[order[i]][round - WARM_UP] = t;
        }
    }
    return 1;
}

/* ---- 2. what the figures say --------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* quantile: of the times of two kinds together. */
static double quantile(const double *a, const double *b, double q)
{
    double *all = (double *)malloc(2 * n_times * sizeof *all), found;
    if (all == NULL)
        return INFINITY;
    memcpy(all, a, n_times * sizeof *all);
    memcpy(all + n_times, b, n_times * sizeof *all);
    qsort(all, 2 * n_times, sizeof *all, by_size);
    found = all[(size_t)(q * (double)(2 * n_times - 1))];
    free(all);
    return found;
}

typedef struct {
    double n, mean, variance;
} summary;

/* summarise: the times that are not above limit. */
static summary summarise(const double *x, double limit)
{
    summary s = { 0, 0, 0 };
    double delta;
    size_t i;
    for (i = 0; i < n_times; i++) {     /* Welford */
        if (x[i] > limit)
            continue;
        s.n++;
        delta = x[i] - s.mean;
        s.mean += delta / s.n;
        s.variance += delta * (x[i] - s.mean);
    }
    s.variance = s.n > 1 ? s.variance / (s.n - 1) : 0;
    return s;
}

/* welch: t of b against a, both cropped at the q-quantile of the two; through
 * the pointers the difference of the means and its standard error. */
static double welch(const double *a, const double *b, double q,
                    double *difference, double *error)
{
    double limit = quantile(a, b, q);
    summary x = summarise(a, limit), y = summarise(b, limit);
    *difference = y.mean - x.mean;
    if (x.n < 2 || y.n < 2) {           /* all of one kind took longer */
        *error = 0;
        return 0;
    }
    *error = sqrt(x.variance / x.n + y.variance / y.n);
    return *error > 0 ? *difference / *error : 0;
}

static double median(const double *x)
{
    return quantile(x, x, 0.5);
}

static void report(size_t kind)
{
    static const double crop[] = { 1, 0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5 };
    double t, largest = 0, difference, error = 0;
    size_t i;
    for (i = 0; i < sizeof crop / sizeof crop[0]; i++) {
        t = welch(times[0], times[kind], crop[i], &difference, &error);
        largest = fabs(t) > largest ? fabs(t) : largest;
    }
    printf("%s\t%.0f\t%.0f\t%.0f\t%.2f\n", kinds[kind].name,
           median(times[kind]), median(times[kind]) - median(times[0]),
           4.5 * error, largest);
}

int main(int argc, char **argv)
{
    sc_server_options options;
    size_t rounds = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 0, i;
    size_t wanted = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 0;
    if ((argc != 4 && argc != 6) || rounds < 10 || wanted > KINDS_MAX) {
        fputs("usage: timing ROUNDS SEED KINDS [HOST PORT]\n", stderr);
        return 1;
    }
    n_kinds = wanted == 0 ? KINDS_MAX : wanted;
    snprintf(stream.seed, sizeof stream.seed, "%s", argv[2]);
    memset(&options, 0, sizeof options);
    options.host_key = &host;
    if (argc == 4 && (sc_key_generate(&host, 2048, NULL, NULL) != SC_OK
                      || sc_server_init(&server, &options, 0) != SC_OK))
        return 1;
    if (!measure(rounds, argc == 6 ? argv[4] : NULL,
                 argc == 6 ? (unsigned)strtoul(argv[5], NULL, 10) : 0))
        return 1;
    for (i = 0; i < n_kinds; i++)
        report(i);
    return 0;
}
