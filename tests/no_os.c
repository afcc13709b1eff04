/* no_os.c: sc_os_random for programs built with -DSC_NO_OS.  Under WASI the
 * bytes are the host's.  Elsewhere they are NOT RANDOM: SHA-256 of a counter,
 * good for tests, since every run is the same, and for nothing else. */

#include "secchan.h"

#ifdef __wasi__
#include <unistd.h>

int sc_os_random(void *ctx, uint8_t *out, size_t len)
{
    size_t n;
    (void)ctx;
    for (; len > 0; out += n, len -= n) {
        n = len < 256 ? len : 256;      /* as much as getentropy gives */
        if (getentropy(out, n) != 0)
            return SC_ERR_RANDOM;
    }
    return SC_OK;
}
#else
#include <string.h>

int sc_os_random(void *ctx, uint8_t *out, size_t len)
{
    static uint32_t counter;
    size_t n;
    (void)ctx;
    for (; len > 0; out += n, len -= n) {
        sc_sha256 s;
        uint8_t block[32];
        n = len < 32 ? len : 32;
        counter++;
        sc_sha256_init(&s);
        sc_sha256_add(&s, &counter, sizeof counter);
        sc_sha256_end(&s, block);
        memcpy(out, block, n);
    }
    return SC_OK;
}
#endif
