/* cortex_m3.c: secchan on a processor with nothing around it: an ARM Cortex-M3
 * with 64 KiB of RAM.  A client and a server in that RAM make their keys, shake
 * hands, talk, are attacked and part.  Told of each step: how many
 * instructions it took and how deep its stack was.
 * How:    sh tests/machines.sh builds it with -DSC_NO_OS and runs it on
 *         qemu-system-arm -M lm3s6965evb -icount shift=0 -semihosting.
 * Counts: with -icount an instruction takes one nanosecond of the machine's own
 *         time, whatever the host does, and the processor's timer counts that
 *         time.  What a tick is worth is measured on loops of known length; if
 *         they do not agree, nothing is counted and the program fails.
 * Stack:  painted before each step; what is no longer painted has been used. */

#define SECCHAN_INTERNAL
#include "secchan.h"

/* ---- 1. the machine ------------------------------------------------------ */

extern uint32_t code_end[], data_begin[], __bss_start__[], __bss_end__[];
extern uint32_t end[], __stack[];

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define TIMER_CONTROL REGISTER(0xe000e010)
#define TIMER_RELOAD REGISTER(0xe000e014)
#define TIMER_VALUE REGISTER(0xe000e018)
#define INTERRUPTS REGISTER(0xe000ed04)
#define TIMER_PENDING ((uint32_t)1 << 26)
#define TIMER_BITS 24

void _start(void);
void on_fault(void);
void on_tick(void);
int main(void);

/* Semihosting: the debugger, here the emulator, does what r0 asks for. */
static void host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void put(const char *text)
{
    host(0x04, text);
}

static void put_number(uint64_t x)
{
    char text[21];
    char *p = text + sizeof text - 1;
    *p = '\0';
    do
        *--p = (char)('0' + x % 10);
    while ((x /= 10) > 0);
    put(p);
}

static void leave(int is_failure)
{
    host(0x18, (const void *)(is_failure ? 0x20023u : 0x20026u));
    for (;;)
        ;
}

void on_fault(void)
{
    put("\nnot so: no fault\n");
    leave(1);
}

void _start(void)
{
    uint32_t *d;
    for (d = __bss_start__; d < __bss_end__; )
        *d++ = 0;
    leave(main() != 0);
}

static volatile uint32_t n_wraps;

void on_tick(void)
{
    n_wraps = n_wraps + 1;
}

/* Ticks since the start.  The timer counts down; it may run out in here. */
static uint64_t ticks(void)
{
    uint32_t wraps, value;
    do {
        wraps = n_wraps;
        value = TIMER_VALUE;
    } while (wraps != n_wraps || (INTERRUPTS & TIMER_PENDING) != 0);
    return ((uint64_t)wraps << TIMER_BITS) + (((uint32_t)1 << TIMER_BITS) - 1
                                              - value);
}

/* ---- 2. what things cost ------------------------------------------------- */

static int n_failed;

static int expect(int holds, const char *what)
{
    if (!holds) {
        put("\nnot so: ");
        put(what);
        put("\n");
        n_failed++;
    }
    return holds;
}

/* Two instructions a turn. */
static uint64_t ticks_of_turns(uint32_t n)
{
    uint64_t start = ticks();
    __asm__ volatile("1: subs %0, #1\n bne 1b" : "+r"(n) : : "cc");
    return ticks() - start;
}

/* Instructions in a tick: by what 100,000,000 more turns of the loop cost.  A
 * whole number, and the same once more, or time is no measure here. */
static uint64_t instructions_per_tick;

static void timer_start(void)
{
    uint64_t few, many, again;
    TIMER_RELOAD = ((uint32_t)1 << TIMER_BITS) - 1;
    TIMER_VALUE = 0;
    TIMER_CONTROL = 7;          /* on, calls on_tick, the processor's clock */
    while (TIMER_VALUE == 0)
        ;                       /* it has not begun yet */
    few = ticks_of_turns(1000000);
    many = ticks_of_turns(101000000);
    again = ticks_of_turns(101000000);
    if (few > 100)
        instructions_per_tick = (200000000 + (many - few) / 2) / (many - few);
    expect(instructions_per_tick > 0 && again + 2 >= many && many + 2 >= again
           && (many - few) * instructions_per_tick < 200000000 + 200000
           && (many - few) * instructions_per_tick > 200000000 - 200000,
           "the same loop takes the same time; was -icount given?");
}

#define PAINT 0xa5c35a3cu
static uint32_t *deepest = __stack;     /* of all steps */

typedef struct {
    uint64_t instructions;
    uint32_t stack_len;
} cost;

static uint64_t step_start;
static uint32_t *step_stack;

static inline uint32_t *stack_now(void)
{
    uint32_t *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

static inline __attribute__((always_inline)) void step_begin(void)
{
    volatile uint32_t *p;
    step_stack = stack_now();
    for (p = end; p < step_stack; p++)  /* not called: nothing of ours below */
        *p = PAINT;
    step_start = ticks();
}

static __attribute__((noinline)) void step_end(cost *c)
{
    uint64_t took = ticks() - step_start;
    volatile uint32_t *p = end;
    uint32_t len;
    while (*p == PAINT)
        p++;
    c->instructions += took * instructions_per_tick;
    len = (uint32_t)(step_stack - p) * 4;
    if (c->stack_len < len)
        c->stack_len = len;
    if (deepest > p)
        deepest = (uint32_t *)p;
}

/* A row: tell, then put_cost or put_size once or more. */
static void tell(const char *step)
{
    put("\n");
    put(step);
    put(" | measured");
}

static void put_cost(const char *what, const cost *c)
{
    put(what);
    put_number(c->instructions);
    put(" instructions, ");
    put_number(c->stack_len);
    put(" bytes of stack");
}

static void put_size(const char *what, size_t len)
{
    put(what);
    put_number(len);
}

/* ---- 3. the two ends ----------------------------------------------------- */

#define MESSAGE_LEN 1024
static sc_private_key host_key, client_key;
static sc_server server;
static sc_channel client_end, server_end;
static uint8_t to_server[SC_REPLY_MAX], to_client[SC_REPLY_MAX];
static size_t to_server_len, to_client_len;
static sc_event event;
static char pin[SC_FINGERPRINT_MAX];

static int judge(void *ctx, const sc_public_key *key)
{
    return sc_public_equal((const sc_public_key *)ctx, key)
        ? SC_OK : SC_ERR_NOT_AUTHORISED;
}

/* hear: one frame arrives at an end, which may answer. */
static int hear(sc_channel *ch, uint8_t *frame, size_t len, uint8_t *out,
                size_t *out_len, cost *c)
{
    size_t frame_len = 0;
    int r;
    *out_len = 0;
    step_begin();
    r = len < SC_HEADER_LEN ? SC_ERR_CUT_OFF
        : sc_frame_len(ch, frame, &frame_len);
    if (r == SC_OK && frame_len <= len)
        r = sc_input(ch, frame, frame_len, &event, out, out_len);
    step_end(c);
    return r == SC_OK && frame_len != len ? SC_ERR_FRAME : r;
}

static int shake_hands(int keyed, cost *client, cost *server_cost)
{
    sc_client_options options;
    int r;
    memset(&options, 0, sizeof options);
    options.pin = pin;
    options.identity = keyed ? &client_key : NULL;
    to_client_len = 0;
    r = sc_server_accept(&server_end, &server);
    step_begin();
    if (r == SC_OK)
        r = sc_client_init(&client_end, &options, to_server, &to_server_len);
    step_end(client);
    while (r == SC_OK && to_server_len > 0) {
        r = hear(&server_end, to_server, to_server_len, to_client,
                 &to_client_len, server_cost);
        to_server_len = 0;
        if (r == SC_OK && to_client_len > 0)
            r = hear(&client_end, to_client, to_client_len, to_server,
                     &to_server_len, client);
    }
    return r;
}

static int is_zero(const void *bytes, size_t len)
{
    const uint8_t *b = (const uint8_t *)bytes;
    while (len > 0 && b[len - 1] == 0)
        len--;
    return len == 0;
}

/* One message each way; then one that was altered on its way. */
static void talk(cost *seal, cost *open)
{
    static sc_channel *const ends[2] = { &client_end, &server_end };
    static uint8_t said[MESSAGE_LEN];
    size_t i, n;
    int r;
    for (n = 0; n < 3; n++) {
        sc_channel *from = ends[n & 1], *to = ends[!(n & 1)];
        for (i = 0; i < MESSAGE_LEN; i++)
            said[i] = (uint8_t)(i * 7 + n);
        step_begin();
        r = sc_seal(from, 0, said, MESSAGE_LEN, to_server, &to_server_len);
        step_end(seal);
        expect(r == SC_OK && to_server_len == MESSAGE_LEN + 20, "sealed");
        to_server[500] ^= n == 2;
        r = hear(to, to_server, to_server_len, to_client, &to_client_len,
                 open);
        if (n == 2)
            expect(r == SC_ERR_RECORD, "an altered record is refused");
        else
            expect(r == SC_OK && event.kind == SC_EVENT_MESSAGE
                   && event.data_len == MESSAGE_LEN
                   && memcmp(event.data, said, MESSAGE_LEN) == 0,
                   "what was said is heard");
    }
}

static void part(void)
{
    cost unused;
    memset(&unused, 0, sizeof unused);
    expect(sc_shut(&client_end, to_server, &to_server_len) == SC_OK
           && hear(&server_end, to_server, to_server_len, to_client,
                   &to_client_len, &unused) == SC_OK
           && event.kind == SC_EVENT_CLOSED, "the server hears CLOSE");
    expect(sc_shut(&server_end, to_client, &to_client_len) == SC_OK
           && hear(&client_end, to_client, to_client_len, to_server,
                   &to_server_len, &unused) == SC_OK
           && event.kind == SC_EVENT_CLOSED, "the client hears CLOSE");
}

static void forget(void)
{
    sc_end(&client_end);
    sc_end(&server_end);
    expect(is_zero(&client_end, sizeof client_end)
           && is_zero(&server_end, sizeof server_end), "both ends are wiped");
}

/* ---- 4. what is tried ---------------------------------------------------- */

static void keys(void)
{
    cost make;
    sc_server_options options;
    int r;
    memset(&make, 0, sizeof make);
    step_begin();
    r = sc_key_generate(&host_key, 2048, NULL, NULL);
    step_end(&make);
    expect(r == SC_OK, "a host key is made");
    expect(sc_key_generate(&client_key, 2048, NULL, NULL) == SC_OK,
           "a client's key is made");
    sc_fingerprint(&host_key.pub, pin);
    memset(&options, 0, sizeof options);
    options.host_key = &host_key;
    options.authorise = judge;
    options.authorise_ctx = &client_key.pub;
    expect(sc_server_init(&server, &options, 0) == SC_OK,
           "the server makes its short-lived key");
    tell("a 2048-bit key is made (others take more luck, or less)");
    put_cost(" | ", &make);
}

static void operations(void)
{
    cost public_operation, private_operation;
    sc_word good = 0;
    int r;
    memset(&public_operation, 0, sizeof(cost));
    memset(&private_operation, 0, sizeof(cost));
    memset(to_server, 0x5a, SC_MODULUS_MIN);
    step_begin();
    sc_rsa_public(&host_key.pub, to_server, to_client);
    step_end(&public_operation);
    step_begin();
    r = sc_rsa_private(&host_key, to_client, to_client + 512, &good,
                       sc_os_random, NULL);
    step_end(&private_operation);
    expect(r == SC_OK && good == (sc_word)-1
           && memcmp(to_server, to_client + 512, SC_MODULUS_MIN) == 0,
           "the private operation takes back the public one");
    tell("RSA public operation, 2048 bits");
    put_cost(" | ", &public_operation);
    tell("RSA private operation, 2048 bits");
    put_cost(" | ", &private_operation);
}

static void conversations(void)
{
    cost client, serving, seal, open;
    int keyed, r;
    for (keyed = 0; keyed < 2; keyed++) {
        memset(&client, 0, sizeof client);
        memset(&serving, 0, sizeof serving);
        memset(&seal, 0, sizeof seal);
        memset(&open, 0, sizeof open);
        r = shake_hands(keyed, &client, &serving);
        expect(r == SC_OK && sc_ready(&client_end) && sc_ready(&server_end)
               && memcmp(sc_session_id(&client_end),
                         sc_session_id(&server_end), 32) == 0
               && (sc_peer_key(&server_end) != NULL) == keyed,
               "both ends are ready and agree");
        tell(keyed ? "handshake, client with a key"
                   : "handshake, client without a key");
        put_cost(" | client: ", &client);
        put_cost("; server: ", &serving);
        part();
        forget();
        r = shake_hands(keyed, &client, &serving);
        if (expect(r == SC_OK, "a second handshake"))
            talk(&seal, &open);
        forget();
    }
    seal.instructions /= 3;
    open.instructions /= 3;
    tell("1 KiB in a record");
    put_cost(" | sealed: ", &seal);
    put_cost("; opened: ", &open);
}

int main(void)
{
    timer_start();
    if (n_failed > 0)
        return 1;
    keys();
    operations();
    conversations();
    sc_server_end(&server);
    expect(is_zero(&server, sizeof server), "the server is wiped");
    tell("bytes of memory");
    put_size(" | code with this test ", (size_t)code_end);
    put_size(", sc_channel ", sizeof(sc_channel));
    put_size(", sc_server ", sizeof(sc_server));
    put_size(", variables of both ends and three keys ",
             (size_t)(end - data_begin) * 4);
    put_size(", deepest stack of all ", (size_t)(__stack - deepest) * 4);
    put("\n");
    expect(deepest > end + 16, "the stack keeps out of the variables");
    return n_failed > 0;
}
