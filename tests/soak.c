/* soak.c: long conversations: very many messages through pairs of channels,
 * one pair a thread, all with the same keys.  Every message is compared, and
 * memory may not grow; keys have to change when they must.
 * Usage:   soak MESSAGES THREADS         MESSAGES: each way, in each thread
 * Prints:  messages and bytes carried, rekeys seen, memory before and after.
 * Status:  0 if all came through, in order, and nothing grew.
 * Needs:   POSIX threads, getrusage. */

#if !defined(_POSIX_C_SOURCE) && defined(__linux__)
#define _POSIX_C_SOURCE 200809L
#endif

#include "secchan.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define THREADS_MAX 64
#define RECORDS_A_KEY 65536     /* protocol page, section 6 */
#define SMALL 64                /* bytes of most messages: 0 to 63 */

typedef struct {
    sc_server server;
    sc_channel client, server_side;
    uint8_t frame[SC_FRAME_MAX];
    unsigned long wanted, done;         /* messages each way */
    unsigned long long n_bytes;
    unsigned long n_rekeys;             /* seen: the next key is another */
    const char *error;                  /* NULL: none */
} pair;

static sc_private_key host_key, client_key;     /* shared, and only read */

static int believe(void *ctx, const sc_public_key *key)
{
    return ctx == NULL && sc_public_equal(key, &client_key.pub)
           ? SC_OK : SC_ERR_NOT_AUTHORISED;
}

static int believe_host(void *ctx, const sc_public_key *key)
{
    return ctx == NULL && sc_public_equal(key, &host_key.pub)
           ? SC_OK : SC_ERR_HOST_UNKNOWN;
}

static int handshake(pair *p)
{
    sc_client_options o;
    sc_event event;
    uint8_t reply[SC_REPLY_MAX];
    size_t frame_len, reply_len;
    sc_channel *to = &p->server_side;
    int e;
    memset(&o, 0, sizeof o);
    o.judge_host = believe_host;
    o.identity = &client_key;
    e = sc_client_init(&p->client, &o, p->frame, &frame_len);
    if (e == SC_OK)
        e = sc_server_accept(&p->server_side, &p->server);
    while (e == SC_OK && frame_len > 0) {
        e = sc_input(to, p->frame, frame_len, &event, reply, &reply_len);
        memcpy(p->frame, reply, reply_len);
        frame_len = reply_len;
        to = to == &p->client ? &p->server_side : &p->client;
    }
    return e == SC_OK && sc_ready(&p->client) && sc_ready(&p->server_side);
}

/* message: number i, from one channel to the other.  Its bytes say which it is;
 * now and then it is as long as a record can be. */
static int message(pair *p, sc_channel *from, sc_channel *to, unsigned long i)
{
    uint8_t *data = p->frame + SC_HEADER_LEN, reply[SC_REPLY_MAX], key[32];
    size_t len = i % 4099 == 7 ? SC_RECORD_MAX : i % SMALL, k;
    size_t frame_len, reply_len;
    uint8_t first = (uint8_t)(i * 0x9e3779b1u >> 16);
    sc_event event;
    for (k = 0; k < len; k++)
        data[k] = (uint8_t)(first + k);
    memcpy(key, from->sending.key, 32);
    if (sc_seal(from, 0, data, len, p->frame, &frame_len) != SC_OK
        || sc_input(to, p->frame, frame_len, &event, reply, &reply_len) != SC_OK
        || event.kind != SC_EVENT_MESSAGE || event.data_len != len)
        return 0;
    for (k = 0; k < len; k++)
        if (event.data[k] != (uint8_t)(first + k))
            return 0;
    p->n_rekeys += memcmp(key, from->sending.key, 32) != 0;
    p->n_bytes += len;
    return 1;
}

/* close_both: each end says CLOSE and hears the other's. */
static int close_both(pair *p)
{
    uint8_t reply[SC_REPLY_MAX];
    size_t len, reply_len;
    sc_event event;
    return sc_shut(&p->client, p->frame, &len) == SC_OK
        && sc_input(&p->server_side, p->frame, len, &event, reply, &reply_len)
           == SC_OK && event.kind == SC_EVENT_CLOSED
        && sc_shut(&p->server_side, p->frame, &len) == SC_OK
        && sc_input(&p->client, p->frame, len, &event, reply, &reply_len)
           == SC_OK && event.kind == SC_EVENT_CLOSED
        && sc_eof(&p->client) == SC_CLOSED
        && sc_eof(&p->server_side) == SC_CLOSED;
}

static void *converse(void *argument)
{
    pair *p = (pair *)argument;
    sc_server_options o;
    memset(&o, 0, sizeof o);
    o.host_key = &host_key;
    o.authorise = believe;
    if (sc_server_init(&p->server, &o, 0) != SC_OK || !handshake(p))
        p->error = "the handshake failed";
    for (; p->error == NULL && p->done < p->wanted; p->done++)
        if (!message(p, &p->client, &p->server_side, p->done)
            || !message(p, &p->server_side, &p->client, ~p->done))
            p->error = "a message did not come through";
    if (p->error == NULL && !close_both(p))
        p->error = "the channel did not close";
    sc_end(&p->client);
    sc_end(&p->server_side);
    sc_server_end(&p->server);
    return NULL;
}

static long memory_kib(void)
{
    struct rusage use;
    return getrusage(RUSAGE_SELF, &use) == 0 ? use.ru_maxrss : -1;
}

static int run(pair *pairs, unsigned n, unsigned long wanted)
{
    pthread_t threads[THREADS_MAX];
    unsigned i, started;
    for (started = 0; started < n; started++) {
        memset(&pairs[started], 0, sizeof *pairs);
        pairs[started].wanted = wanted;
        if (pthread_create(&threads[started], NULL, converse, &pairs[started]))
            break;
    }
    for (i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < started; i++)
        if (pairs[i].error != NULL) {
            fprintf(stderr, "soak: thread %u, message %lu: %s\n", i,
                    pairs[i].done, pairs[i].error);
            return 0;
        }
    if (started < n)
        fprintf(stderr, "soak: only %u threads could be started\n", started);
    return started == n;
}

int main(int argc, char **argv)
{
    static pair pairs[THREADS_MAX];
    unsigned long wanted = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    unsigned n = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0, i;
    unsigned long long n_bytes = 0;
    unsigned long n_rekeys = 0;
    long before, after;
    if (wanted == 0 || n == 0 || n > THREADS_MAX) {
        fprintf(stderr, "usage: soak MESSAGES THREADS (1 to %d)\n",
                THREADS_MAX);
        return 2;
    }
    if (sc_key_generate(&host_key, 2048, NULL, NULL) != SC_OK
        || sc_key_generate(&client_key, 2048, NULL, NULL) != SC_OK) {
        fprintf(stderr, "soak: no keys\n");
        return 1;
    }
    if (!run(pairs, n, 1))              /* now all that is needed is there */
        return 1;
    before = memory_kib();
    if (!run(pairs, n, wanted))
        return 1;
    after = memory_kib();
    for (i = 0; i < n; i++) {
        n_bytes += pairs[i].n_bytes;
        n_rekeys += pairs[i].n_rekeys;
    }
    printf("%lu messages, %llu bytes, %lu rekeys, %ld KiB before, %ld after\n",
           2 * n * wanted, n_bytes, n_rekeys, before, after);
    if (n_rekeys != 2 * n * (wanted / RECORDS_A_KEY)) {
        fprintf(stderr, "soak: each end rekeys after %d records\n",
                RECORDS_A_KEY);
        return 1;
    }
    if (after - before > 256 * (long)n) {
        fprintf(stderr, "soak: memory grew\n");
        return 1;
    }
    return 0;
}
