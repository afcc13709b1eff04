/* oaep.c: the library's RSA on the command line, for interop.sh to set beside
 * openssl and ssh-keygen.
 *
 *   oaep make BITS             a new key as PEM
 *   oaep pem KEY               the key in KEY (a private one), written again
 *   oaep show KEY              its public line, fingerprint and picture
 *   oaep encrypt KEY LABEL     standard input, as long as OAEP has room for
 *   oaep decrypt KEY LABEL N   the same back: N bytes
 *
 * KEY is a file: a private key as PEM or a public ssh-rsa line.  LABEL is hex,
 * perhaps "".  Exit status: 0 done, 1 failure, 2 usage. */

#define SECCHAN_INTERNAL
#include "secchan.h"

#include <stdio.h>
#include <stdlib.h>

enum { DONE = 0, FAILED = 1, USAGE = 2 };

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "oaep: %s: %s\n", what, why);
    return FAILED;
}

/* put: to standard output, all of it. */
static int put(const void *bytes, size_t len)
{
    if (fwrite(bytes, 1, len, stdout) != len || fflush(stdout) == EOF)
        return fail("standard output", "cannot be written");
    return DONE;
}

/* read_key: *is_private says which kind the file held. */
static int read_key(sc_private_key *key, int *is_private, const char *path)
{
    char text[8192];
    FILE *file = fopen(path, "rb");
    size_t text_len;
    int result;
    if (file == NULL)
        return fail(path, "cannot be opened");
    text_len = fread(text, 1, sizeof text, file);
    fclose(file);
    if (text_len == sizeof text)
        return fail(path, "is too long for a key");
    memset(key, 0, sizeof *key);
    *is_private = text_len < 8 || memcmp(text, "ssh-rsa ", 8) != 0;
    if (*is_private) {
        result = sc_key_read_pem(key, text, text_len);
    } else {
        while (text_len > 0 && text[text_len - 1] == '\n')
            text_len--;
        result = sc_public_read_line(&key->pub, text, text_len);
    }
    return result == SC_OK ? DONE : fail(path, sc_strerror(result));
}

static int write_pem(const sc_private_key *key)
{
    char text[SC_PEM_MAX];
    size_t text_len;
    int result = sc_key_write_pem(key, text, sizeof text, &text_len);
    if (result != SC_OK)
        return fail("writing the key", sc_strerror(result));
    return put(text, text_len);
}

static int make(unsigned n_bits)
{
    sc_private_key key;
    int result = sc_key_generate(&key, n_bits, NULL, NULL);
    if (result != SC_OK)
        return fail("making a key", sc_strerror(result));
    return write_pem(&key);
}

static int show(const sc_public_key *key)
{
    char line[SC_PUBLIC_LINE_MAX], fingerprint[SC_FINGERPRINT_MAX];
    char picture[SC_RANDOMART_MAX];
    size_t line_len;
    int result = sc_public_write_line(key, "oaep", line, sizeof line,
                                      &line_len);
    if (result != SC_OK)
        return fail("writing the public line", sc_strerror(result));
    sc_fingerprint(key, fingerprint);
    sc_randomart(key, picture);
    printf("%s\n%s\n%s", line, fingerprint, picture);
    return put("", 0);
}

/* read_label: hex digits to bytes. */
static int read_label(uint8_t label[64], size_t *label_len, const char *hex)
{
    size_t i, hex_len = strlen(hex);
    if (hex_len % 2 != 0 || hex_len > 128
        || strspn(hex, "0123456789abcdef") != hex_len)
        return fail(hex, "is not a label of up to 64 bytes in hex");
    for (i = 0; i < hex_len / 2; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };
        label[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    *label_len = hex_len / 2;
    return DONE;
}

static int encrypt(const sc_public_key *key, const uint8_t *label,
                   size_t label_len)
{
    uint8_t msg[SC_MODULUS_MAX], c[SC_MODULUS_MAX];
    size_t msg_len = fread(msg, 1, sizeof msg, stdin);
    int result = sc_oaep_encrypt(key, label, label_len, msg, msg_len, c,
                                 sc_os_random, NULL);
    if (result != SC_OK)
        return fail("encrypting", sc_strerror(result));
    return put(c, key->n_len);
}

static int decrypt(const sc_private_key *key, const uint8_t *label,
                   size_t label_len, size_t msg_len)
{
    uint8_t msg[SC_MODULUS_MAX], c[SC_MODULUS_MAX + 1];
    sc_word is_good = 0;
    int result;
    if (msg_len > key->pub.n_len - SC_OAEP_OVERHEAD)
        return fail("decrypting", "no message of this key is that long");
    if (fread(c, 1, sizeof c, stdin) != key->pub.n_len)
        return fail("decrypting", "the ciphertext is not as long as the key");
    result = sc_oaep_decrypt(key, label, label_len, c, msg, msg_len, &is_good,
                             sc_os_random, NULL);
    if (result != SC_OK)
        return fail("decrypting", sc_strerror(result));
    if (!is_good)
        return fail("decrypting", "the ciphertext is not well-formed");
    return put(msg, msg_len);
}

static int misused(void)
{
    fail("usage", "see the top of tests/oaep.c");
    return USAGE;
}

int main(int argc, char **argv)
{
    sc_private_key key;
    const char *verb = argv[1];
    uint8_t label[64];
    size_t label_len = 0;
    int is_private;
    if (argc < 3)
        return misused();
    if (strcmp(verb, "make") == 0)
        return make((unsigned)strtoul(argv[2], NULL, 10));
    if (read_key(&key, &is_private, argv[2]) != DONE)
        return FAILED;
    if (argc > 3 && read_label(label, &label_len, argv[3]) != DONE)
        return FAILED;
    if (strcmp(verb, "show") == 0)
        return show(&key.pub);
    if (strcmp(verb, "pem") == 0 && is_private)
        return write_pem(&key);
    if (strcmp(verb, "encrypt") == 0 && argc == 4)
        return encrypt(&key.pub, label, label_len);
    if (strcmp(verb, "decrypt") == 0 && argc == 5 && is_private)
        return decrypt(&key, label, label_len,
                       (size_t)strtoul(argv[4], NULL, 10));
    return misused();
}
