"""known.py: the library beside Python's own numbers and hashes, and beside key
files built here from their numbers.  Run by tests/known.sh.

  known.py numbers SEED < LINES      results of "known numbers", worked out anew
  known.py sessions SEED < LINES     conversations of "known sessions": every
                                     secret, key and byte, after the page of the
                                     protocol, from the frames and private keys
  known.py keys SEED AMOUNT OAEP KEY...   files of every form, made of the
                                     numbers of the KEYs; OAEP reads them
  known.py swap KEY                  the key with its primes in the other order

Each first tries itself: a wrong bit in an answer must be found.  The last line
is "N passed, N failed"; exit status 0 if none failed.
Needs: nothing but Python 3; keys, also openssl and ssh-keygen.
Map:   1 harness   2 numbers   3 ciphers   4 sessions   5 key files, built
       6 key files, tried   7 main"""

import base64
import hashlib
import hmac
import os
import random
import re
import subprocess
import sys
import tempfile
from math import gcd

# ---- 1. harness -------------------------------------------------------------

passed = failed = 0
dice = random.Random()


def count(holds, what, more=""):
    """One case; says so if it failed."""
    global passed, failed
    if holds:
        passed += 1
        return
    failed += 1
    if failed <= 5:
        print(f"    not so: {what}\n        {str(more)[:5000]}")


def control(found, what):
    """A wrong answer was given on purpose: was it found?"""
    count(found, f"a wrong bit was not found: {what}")


def flipped(data):
    """Bytes, with one bit wrong."""
    bit = dice.randrange(8 * len(data))
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def unhex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def to_int(data):
    return int.from_bytes(data, "big")


def to_bytes(number, length=None):
    if length is None:
        length = (number.bit_length() + 7) // 8
    return number.to_bytes(length, "big")


# ---- 2. numbers -------------------------------------------------------------

def worked_out(name, x, y, m):
    return {"power": lambda: pow(x, y, m), "public": lambda: pow(x, 65537, m),
            "product": lambda: x * y, "times": lambda: x * y % m,
            "inverse": lambda: pow(65537, -1, m),
            "mod": lambda: x % m}[name]()


def numbers():
    tried = set()
    for line in sys.stdin:
        name, *words = line.split()
        x, y, m, result = (to_int(unhex(word)) for word in words)
        if name == "inverse" and m % 65537 == 0:
            continue
        right = worked_out(name, x, y, m)
        if name not in tried:
            tried.add(name)
            control(to_int(flipped(unhex(words[3]))) != right, name)
        count(result == right, name, line)
    count(len(tried) == 6, "six kinds of numbers", tried)


# ---- 3. ciphers (RFC 8439, RFC 5869, RFC 8017) ------------------------------

def quarter_round(x, a, b, c, d):
    for one, two, three, bits in ((a, b, d, 16), (c, d, b, 12),
                                  (a, b, d, 8), (c, d, b, 7)):
        x[one] = (x[one] + x[two]) & 0xffffffff
        turned = x[three] ^ x[one]
        x[three] = (turned << bits | turned >> (32 - bits)) & 0xffffffff


def chacha20_block(key, counter, nonce):
    start = b"expand 32-byte k" + key + counter.to_bytes(4, "little") + nonce
    start = [int.from_bytes(start[i:i + 4], "little") for i in range(0, 64, 4)]
    x = list(start)
    for _ in range(10):
        for i in range(4):
            quarter_round(x, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter_round(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4,
                          12 + (i + 3) % 4)
    return b"".join((a + b & 0xffffffff).to_bytes(4, "little")
                    for a, b in zip(x, start))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    total = 0
    for i in range(0, len(message), 16):
        block = int.from_bytes(message[i:i + 16] + b"\1", "little")
        total = (total + block) * r % (2**130 - 5)
    total += int.from_bytes(key[16:32], "little")
    return (total & 2**128 - 1).to_bytes(16, "little")


def aead(key, nonce, ad, plain):
    stream = b"".join(chacha20_block(key, 1 + i, nonce)
                      for i in range((len(plain) + 63) // 64))
    sealed = bytes(a ^ b for a, b in zip(plain, stream))

    def padded(data):
        return data + bytes(-len(data) % 16)
    message = (padded(ad) + padded(sealed) + len(ad).to_bytes(8, "little")
               + len(sealed).to_bytes(8, "little"))
    return sealed + poly1305(chacha20_block(key, 0, nonce), message)


def extract(salt, secret):
    return hmac.new(salt, secret, hashlib.sha256).digest()


def expand(key, label):
    """32 bytes: one block of HKDF-Expand."""
    return hmac.new(key, label.encode() + b"\1", hashlib.sha256).digest()


def mgf1(seed, length):
    blocks = (hashlib.sha256(seed + i.to_bytes(4, "big")).digest()
              for i in range((length + 31) // 32))
    return b"".join(blocks)[:length]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def oaep_opened(key, sealed, label):
    """The 32 bytes in it, or None."""
    size = len(to_bytes(key["n"]))
    number = to_int(sealed)
    if len(sealed) != size or number >= key["n"]:
        return None
    m_p = pow(number, key["d"] % (key["p"] - 1), key["p"])
    m_q = pow(number, key["d"] % (key["q"] - 1), key["q"])
    h = (m_p - m_q) * pow(key["q"], -1, key["p"]) % key["p"]
    block = to_bytes(m_q + h * key["q"], size)
    seed = xor(block[1:33], mgf1(block[33:], 32))
    data = xor(block[33:], mgf1(seed, size - 33))
    start = hashlib.sha256(label).digest() + bytes(size - 98) + b"\1"
    if block[0] != 0 or data[:-32] != start:
        return None
    return data[-32:]


# ---- 4. sessions ------------------------------------------------------------

class Wrong(Exception):
    """What was said is not what the page says."""


def insist(holds, what):
    if not holds:
        raise Wrong(what)


def split(data, *lengths):
    parts = []
    for length in lengths:
        parts.append(data[:length])
        data = data[length:]
    return (*parts, data)


def framed(frame, kind):
    insist(frame[:2] == bytes([kind, 1])
           and to_int(frame[2:4]) == len(frame) - 4, f"header of type {kind}")
    return frame[4:]


def handshake(frames, host, short, client):
    """Every value of the handshake, by its name on the page."""
    m1, m2, m3, m4 = frames[:4]
    v = {"Kh": to_bytes(host["n"]), "Ke": to_bytes(short["n"])}
    kc = to_bytes(client["n"]) if client else b""
    insist(framed(m1, 1) == b"", "M1")
    v["server_random"], ke, kh = split(framed(m2, 2), 32, 256)
    insist(ke == v["Ke"] and kh == v["Kh"], "the keys in M2")
    v["T2"] = hashlib.sha256(m1 + m2).digest()
    v["C1"], v["C2"], box = split(framed(m3, 3), len(kh), 256)
    v["s1"] = oaep_opened(host, v["C1"], b"secchan/1 host key" + v["T2"])
    v["s2"] = oaep_opened(short, v["C2"],
                          b"secchan/1 short-lived key" + v["T2"])
    insist(v["s1"] and v["s2"], "C1 and C2")
    v["T3"] = hashlib.sha256(m1 + m2 + m3[:4] + v["C1"] + v["C2"]).digest()
    v["HS"] = extract(v["T3"], v["s1"] + v["s2"])
    v["k_identity"] = expand(v["HS"], "secchan/1 client identity")
    v["k_confirm"] = expand(v["HS"], "secchan/1 server confirm")
    v["k_chain"] = expand(v["HS"], "secchan/1 chain")
    v["P"] = kc
    v["identity_box"] = aead(v["k_identity"], bytes(12), v["T3"], kc)
    insist(box == v["identity_box"], "the identity box")
    v["T4"] = hashlib.sha256(m1 + m2 + m3).digest()
    body = framed(m4, 4)
    stream = b"".join(chacha20_block(v["k_confirm"], 1 + i, bytes(12))
                      for i in range(len(body) // 64 + 1))
    q = xor(body[:-16], stream)
    v["confirm_box"] = aead(v["k_confirm"], bytes(12), m4[:4] + v["T4"], q)
    insist(len(q) == len(kc) and body == v["confirm_box"], "the confirm box")
    v["s3"] = b""
    if client:
        v["Q"] = q
        v["s3"] = oaep_opened(client, q, b"secchan/1 client key" + v["T4"])
        insist(v["s3"], "Q")
    v["T5"] = hashlib.sha256(m1 + m2 + m3 + m4).digest()
    v["MS"] = extract(v["T5"], v["k_chain"] + v["s3"])
    v["k_client"] = expand(v["MS"], "secchan/1 client to server")
    v["k_server"] = expand(v["MS"], "secchan/1 server to client")
    v["k_proof"] = expand(v["MS"], "secchan/1 client confirm")
    v["session_id"] = expand(v["MS"], "secchan/1 session id")
    insist(len(frames) == (5 if client else 4), "how many frames")
    if client:
        m5 = frames[4]
        v["proof_box"] = aead(v["k_proof"], bytes(12), m5[:4] + v["T5"], b"")
        insist(framed(m5, 5) == v["proof_box"], "the proof box")
    return v


class Direction:
    """One side's records."""
    types = {"last": 6, "more": 7, "close": 8}

    def __init__(self, key):
        self.key = key
        self.counter = 0

    def count(self, n):
        self.counter += n
        insist(self.counter <= 65536, "a count")
        if self.counter == 65536:
            self.key = expand(self.key, "secchan/1 rekey")
            self.counter = 0

    def record(self, kind, plain):
        header = (bytes([self.types[kind], 1])
                  + (len(plain) + 16).to_bytes(2, "big"))
        nonce = bytes(4) + self.counter.to_bytes(8, "little")
        sealed = aead(self.key, nonce, header, plain)
        self.count(1)
        return header + sealed


WANTED = set("T2 T3 T4 T5 s1 s2 HS MS k_identity k_confirm k_chain k_client"
             " k_server k_proof session_id Kh Ke C1 C2 P server_random"
             " identity_box confirm_box".split())


def session(lines, keys):
    """Raises Wrong unless all lines are as they must be; gives their number."""
    frames, told, directions, plain, closed = [], {}, None, None, 0
    for line in lines:
        word, *rest = line.split()
        if word == "keys":
            host, short, client = (keys[k] if k != "-" else None for k in rest)
        elif word == "frame" and directions is None:
            insist(rest[0] == ("client", "server")[len(frames) % 2], "a turn")
            frames.append(unhex(rest[1]))
        elif word == "value":
            told[rest[0], rest[1]] = unhex(rest[2])
        elif word == "ready":
            v = handshake(frames, host, short, client)
            insist([unhex(r) for r in rest] == 2 * [v["session_id"]],
                   "session_id")
            for (side, name), value in told.items():
                insist(v.get(name) == value, f"{name} as {side} has it")
            for side in "client", "server":
                insist(WANTED <= {n for s, n in told if s == side}, "a trace")
            directions = {"client": Direction(v["k_client"]),
                          "server": Direction(v["k_server"])}
        elif word == "plain":
            plain = rest
        elif word == "skip":
            directions[rest[0]].count(int(rest[1]))
        elif word == "frame":
            side, kind, data = plain
            record = directions[side].record(kind, unhex(data))
            insist(side == rest[0] and record == unhex(rest[1]), "a record")
            closed += kind == "close"
        else:
            raise Wrong(line)
    insist(closed == 2, "it breaks off")
    return len(lines)


def is_wrong(lines, keys):
    try:
        session(lines, keys)
    except Wrong:
        return True
    return False


def sessions():
    keys, lines, all_lines = {}, [], []
    for line in sys.stdin:
        if line.startswith("session"):
            lines = []
            all_lines.append(lines)
        elif line.startswith("keys"):
            for path in line.split()[1:]:
                if path != "-" and path not in keys:
                    keys[path] = key_read(path)
        if not line.startswith("session"):
            lines.append(line)
    for lines in all_lines[:2]:         # without and with a client key
        for i, line in enumerate(lines):
            at = line.rindex(" ") + 1
            if not line.startswith(("frame", "value", "plain", "ready")) \
                    or line[at:].strip() == "-" or " close " in line \
                    or len(lines[i]) > 9000:
                continue
            wrong = line[:at] + flipped(unhex(line[at:].strip())).hex()
            control(is_wrong(lines[:i] + [wrong] + lines[i + 1:], keys), line)
    for number, lines in enumerate(all_lines):
        try:
            for _ in range(session(lines, keys)):
                count(True, "")
        except Wrong as wrong:
            count(False, f"session {number}: {wrong}", lines[0])
    count(len(all_lines) > 0, "some sessions")


# ---- 5. key files, built ----------------------------------------------------

NAMES = ("n", "e", "d", "p", "q", "dp", "dq", "qinv")
RSA_OID = bytes.fromhex("06092a864886f70d010101")


def der(tag, *parts):
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = to_bytes(len(body))
    return bytes([tag, 128 + len(size)]) + size + body


def der_int(number):
    return der(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def pkcs1(v, version=0, more=b""):
    return der(48, der_int(version), *(der_int(v[x]) for x in NAMES), more)


def pkcs8(inside, oid=RSA_OID, version=0, more=b""):
    return der(48, der_int(version), der(48, oid, b"\5\0"), der(4, inside),
               more)


def ssh_string(data):
    return len(data).to_bytes(4, "big") + data


def ssh_int(number):
    size = 0 if number == 0 else number.bit_length() // 8 + 1
    return ssh_string(number.to_bytes(size, "big"))


def ssh_blob(v, kind=b"ssh-rsa"):
    return ssh_string(kind) + ssh_int(v["e"]) + ssh_int(v["n"])


def openssh(v, comment=b"a key", cipher=b"none", shown=None, kind=b"ssh-rsa",
            count_of_keys=1, checks=(7, 7)):
    """OpenSSH's PROTOCOL.key."""
    inside = b"".join(c.to_bytes(4, "big") for c in checks)
    inside += ssh_string(kind)
    inside += b"".join(ssh_int(v[x]) for x in ("n", "e", "d", "qinv", "p",
                                               "q"))
    inside += ssh_string(comment)
    inside += bytes(range(1, 1 + -len(inside) % 8))
    return (b"openssh-key-v1\0" + ssh_string(cipher) + ssh_string(b"none")
            + ssh_string(b"") + count_of_keys.to_bytes(4, "big")
            + ssh_string(shown or ssh_blob(v)) + ssh_string(inside))


def pem(label, data, width=64, end="\n"):
    text = base64.b64encode(data).decode()
    lines = [text[i:i + width] for i in range(0, len(text), width)]
    return end.join([f"-----BEGIN {label}-----", *lines,
                     f"-----END {label}-----", ""])


def pem_all(v):
    """The forms that are read, with their names."""
    attribute = der(0xa0, der(48, bytes.fromhex("0603550403"),
                              der(49, der(12, b"a name"))))
    return [("PKCS#1", pem("RSA PRIVATE KEY", pkcs1(v))),
            ("PKCS#8", pem("PRIVATE KEY", pkcs8(pkcs1(v)))),
            ("PKCS#8 with attributes",
             pem("PRIVATE KEY", pkcs8(pkcs1(v), more=attribute))),
            ("OpenSSH", pem("OPENSSH PRIVATE KEY",
                            openssh(v, os.urandom(dice.randrange(30))), 70))]


def pem_bytes(text):
    label = re.search("-----BEGIN (.*)-----", text)[1]
    body = re.search("-----BEGIN .*-----\n([^-]*)-----END", text)[1]
    return label, base64.b64decode(body)


def der_parts(data):
    """The elements one after the other: (tag, contents)."""
    parts = []
    while data:
        tag, size, data = data[0], data[1], data[2:]
        if size > 127:
            size, data = to_int(data[:size - 128]), data[size - 128:]
        parts.append((tag, data[:size]))
        data = data[size:]
    return parts


def numbers_of(text):
    """The numbers in the PEM text of a PKCS#1 or PKCS#8 key."""
    label, data = pem_bytes(text)
    if label == "PRIVATE KEY":
        data = der_parts(der_parts(data)[0][1])[2][1]
    parts = [to_int(body) for _, body in der_parts(der_parts(data)[0][1])]
    return dict(zip(NAMES, parts[1:]))


def key_read(path):
    with open(path) as file:
        return numbers_of(file.read())


def key_made(p, q, e=65537, d=None):
    """d: by default mod (p - 1) (q - 1)."""
    if d is None:
        d = pow(e, -1, (p - 1) * (q - 1))
    return {"n": p * q, "e": e, "d": d, "p": p, "q": q, "dp": d % (p - 1),
            "dq": d % (q - 1), "qinv": pow(q, -1, p)}


# ---- 6. key files, tried ----------------------------------------------------

ENCRYPTED = "the key has a passphrase"
NOT_RSA = "not an RSA key"
FORMAT = "not a key file"
SIZE = "2048 to 4096 bits"
EXPONENT = "exponent 65537"
UNFIT = "do not fit together"
ANY = "[a-z]"                           # whatever the words are


class Reader:
    """The library's command line, tests/oaep.c."""

    def __init__(self, program, folder):
        self.program = program
        self.file = os.path.join(folder, "key")

    def run(self, verb, text):
        """What it said, or None and why."""
        mode = "wb" if isinstance(text, bytes) else "w"
        with open(self.file, mode, newline=None if mode == "wb" else "") as f:
            f.write(text)
        done = subprocess.run([self.program, verb, self.file],
                              capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout, ""
        if done.returncode == 1 and done.stdout == "":
            return None, done.stderr
        return None, f"exit status {done.returncode}"

    def same(self, text, v, spoil=False):
        """Read, and written again: are these its numbers?"""
        out, why = self.run("pem", text)
        if out is None:
            return why
        got = numbers_of(out)
        want = dict(v, d=pow(v["e"], -1, (v["p"] - 1) * (v["q"] - 1)))
        if spoil:
            name = dice.choice(NAMES)
            want[name] ^= 1 << dice.randrange(want[name].bit_length())
        return "" if got == want else f"other numbers: {got}"

    def accepts(self, what, text, v):
        why = self.same(text, v)
        count(why == "", f"{what}: is read", f"{why} {text}")

    def refused(self, text, words):
        out, why = self.run("show", text)
        return out is None and re.search(words, why) is not None

    def refuses(self, what, text, words):
        count(self.refused(text, words), f"{what}: is refused", text)


def fingerprint(v):
    digest = hashlib.sha256(ssh_blob(v)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def ssh_line(blob, kind="ssh-rsa", comment="somebody"):
    return f"{kind} {base64.b64encode(blob).decode()} {comment}\n"


def quietly(*command):
    return subprocess.run(command, capture_output=True, text=True)


def try_forms(reader, v, name):
    """Both orders of the primes, three values of d, every form."""
    phi = (v["p"] - 1) * (v["q"] - 1)
    lcm = phi // gcd(v["p"] - 1, v["q"] - 1)
    least = pow(v["e"], -1, lcm)
    values = {"d mod phi": pow(v["e"], -1, phi), "d mod lcm": least,
              "a larger d": least + lcm * dice.randrange(1, v["n"] // lcm)}
    for order, p, q in (("p, q", v["p"], v["q"]), ("q, p", v["q"], v["p"])):
        for which, d in values.items():
            made = key_made(p, q, v["e"], d)
            for form, text in pem_all(made):
                reader.accepts(f"{name}, {order}, {which}, {form}", text, made)
        try_ours(reader, made, f"{name}, {order}")
    shown = ssh_line(ssh_blob(v)).split(" ")[:2]
    for text in (pem_all(v)[0][1], ssh_line(ssh_blob(v)),
                 ssh_line(ssh_blob(v), comment=""),
                 ssh_line(ssh_blob(v)).replace(" ", "  \t ", 1)):
        out, why = reader.run("show", text)
        lines = out.split("\n") if out else [why, ""]
        count(lines[0].split(" ")[:2] == shown and lines[1] == fingerprint(v),
              f"{name}: line, fingerprint", text)


def try_ours(reader, v, name):
    """What we write, both of them accept."""
    out, why = reader.run("pem", pem_all(v)[3][1])
    count(out is not None, f"{name}: is written", why)
    with open(reader.file, "w") as file:
        file.write(out or "")
    os.chmod(reader.file, 0o600)
    done = quietly("openssl", "rsa", "-check", "-noout", "-in", reader.file)
    count("RSA key ok" in done.stdout + done.stderr, f"{name}: openssl -check",
          done.stderr)
    line = quietly("ssh-keygen", "-y", "-f", reader.file).stdout.split()
    count(line[:2] == ssh_line(ssh_blob(v)).split()[:2],
          f"{name}: ssh-keygen -y", line)


def converted(reader, path):
    """The forms that openssl and ssh-keygen make of a key file."""
    copy = reader.file + ".copy"
    forms = []

    def add(form, *command):
        done = quietly(*command)
        count(done.returncode == 0, " ".join(command), done.stderr)
        with open(copy) as file:
            forms.append((form, file.read()))
    add("openssl rsa -traditional", "openssl", "rsa", "-traditional", "-in",
        path, "-out", copy)
    add("openssl pkcs8", "openssl", "pkcs8", "-topk8", "-nocrypt", "-in", path,
        "-out", copy)
    os.chmod(copy, 0o600)
    for form in "RFC4716", "PEM", "PKCS8":
        add(f"ssh-keygen -m {form}", "ssh-keygen", "-q", "-p", "-P", "", "-N",
            "", "-m", form, "-f", copy)
    os.remove(copy)
    return forms


def try_locked(reader, path):
    """Encrypted by both, in every way they know."""
    copy = reader.file + ".copy"
    ways = [["openssl", "rsa", "-traditional", f"-{cipher}"]
            for cipher in ("aes256", "des3", "camellia128")]
    ways += [["openssl", "pkcs8", "-topk8", "-v2", cipher]
             for cipher in ("aes-256-cbc", "des3")]
    ways += [["openssl", "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"],
             ["openssl", "pkcs8", "-topk8", "-scrypt"]]
    for way in ways:
        done = quietly(*way, "-in", path, "-passout", "pass:a word", "-out",
                       copy)
        count(done.returncode == 0, " ".join(way), done.stderr)
        with open(copy) as file:
            reader.refuses(" ".join(way), file.read(), ENCRYPTED)
    for way in (["-Z", "aes256-ctr"], ["-Z", "aes128-gcm@openssh.com"],
                ["-Z", "chacha20-poly1305@openssh.com"], ["-Z", "3des-cbc"],
                ["-m", "PEM"], ["-m", "PKCS8"]):
        quietly("openssl", "rsa", "-traditional", "-in", path, "-out", copy)
        os.chmod(copy, 0o600)
        done = quietly("ssh-keygen", "-q", "-p", "-P", "", "-N", "a word",
                       *way, "-f", copy)
        count(done.returncode == 0, f"ssh-keygen {way}", done.stderr)
        with open(copy) as file:
            reader.refuses(f"ssh-keygen {' '.join(way)}", file.read(),
                           ENCRYPTED)
    os.remove(copy)


def try_other_types(reader, path):
    """Keys that are not RSA, or not just; and files that hold no key."""
    copy = reader.file + ".copy"
    genpkey = ["openssl", "genpkey", "-out", copy, "-algorithm"]
    curve = ["-pkeyopt", "ec_paramgen_curve:P-384"]
    rsa = ["-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt"]
    pub = ["openssl", "rsa", "-in", path, "-out", copy]
    for words, command in (
            (NOT_RSA, [*genpkey, "ED448"]), (NOT_RSA, [*genpkey, "X25519"]),
            (NOT_RSA, [*genpkey, "EC", *curve]),
            (FORMAT, [*genpkey, "RSA", *rsa, "rsa_keygen_primes:3"]),
            (EXPONENT, [*genpkey, "RSA", *rsa, "rsa_keygen_pubexp:17"]),
            (FORMAT, [*pub, "-pubout"]), (FORMAT, [*pub, "-RSAPublicKey_out"]),
            (FORMAT, ["openssl", "req", "-new", "-key", path, "-subj",
                      "/CN=a name", "-out", copy]),
            (NOT_RSA, ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "521", "-N",
                       "", "-f", copy]),
            (NOT_RSA, ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-m",
                       "PEM", "-f", copy]),
            (NOT_RSA, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-m",
                       "PKCS8", "-f", copy]),
            (SIZE, ["ssh-keygen", "-q", "-t", "rsa", "-b", "2047", "-N", "",
                    "-f", copy])):
        if os.path.exists(copy):
            os.remove(copy)
        done = quietly(*command)
        count(done.returncode == 0, " ".join(command), done.stderr)
        with open(copy) as file:
            reader.refuses(" ".join(command), file.read(), words)
    os.remove(copy)


def wrong_numbers(v):
    """The key with numbers that do not belong, and the words for it."""
    p, q, e, n = v["p"], v["q"], v["e"], v["n"]
    phi = (p - 1) * (q - 1)
    for name in ("d", "p", "q", "dp", "dq", "qinv"):
        for _ in range(3):
            bit = dice.randrange(v[name].bit_length())
            yield f"bit {bit} of {name}", dict(v, **{name: v[name] ^ 1 << bit})
        yield f"{name} = 0", dict(v, **{name: 0})
        yield f"{name} = 1", dict(v, **{name: 1})
        yield f"{name} is n", dict(v, **{name: n})
    for _ in range(3):
        bit = dice.randrange(n.bit_length() - 1)
        yield f"bit {bit} of n", dict(v, n=n ^ 1 << bit)
    yield "n + 2", dict(v, n=n + 2)
    yield "d + 1", dict(v, d=v["d"] + 1)
    yield "d right only mod p - 1", dict(v, d=(v["d"] + p - 1) % n)
    yield "d right only mod q - 1", dict(v, d=(v["d"] + q - 1) % n)
    yield "dp + p - 1", dict(v, dp=v["dp"] + p - 1)
    yield "qinv + p", dict(v, qinv=v["qinv"] + p)
    yield "qinv for the other order", dict(v, qinv=pow(p, -1, q))
    yield "dp and dq exchanged", dict(v, dp=v["dq"], dq=v["dp"])
    yield "primes exchanged, nothing else", dict(v, p=q, q=p)
    yield "p = 1, q = n", dict(v, p=1, q=n, dp=0, dq=v["d"], qinv=0)
    yield "p = n, q = 1", dict(v, p=n, q=1, dp=v["d"], dq=0, qinv=1)
    if (p * p).bit_length() == n.bit_length():
        yield "n = p p", dict(v, n=p * p, q=p, dq=v["dp"])
    yield "d mod phi + phi", dict(v, d=v["d"] + phi * (n // phi + 1))
    for bits in 8, 1:                   # not primes, which nobody asks
        yield f"p shorter by {bits} bits", key_uneven(n.bit_length(), bits, e)


def key_uneven(n_bits, by, e=65537):
    """p and q of different lengths; all fits but that."""
    while True:
        p = dice.getrandbits(n_bits // 2 - by) | 1 | 3 << n_bits // 2 - by - 2
        q = dice.getrandbits(n_bits // 2 + by) | 1 | 3 << n_bits // 2 + by - 2
        phi = (p - 1) * (q - 1)
        if (p * q).bit_length() == n_bits and gcd(p, q) == gcd(e, phi) == 1:
            return key_made(p, q, e)


def key_even(n_bits, e):
    """p and q of equal lengths that fit, for any odd e; not primes."""
    while True:
        p, q = (dice.getrandbits(n_bits // 2) | 3 << n_bits // 2 - 2 | 1
                for _ in range(2))
        if gcd(p, q) == 1 == gcd(e, (p - 1) * (q - 1)):
            return key_made(p, q, e)


def try_wrong_numbers(reader, v, name):
    for what, made in wrong_numbers(v):
        for form, text in pem_all(made):
            if form == "OpenSSH" and (made["dp"], made["dq"]) != (v["dp"],
                                                                  v["dq"]) \
                    and (made["p"], made["q"]) == (v["p"], v["q"]):
                continue                # this form has neither dp nor dq
            reader.refuses(f"{name}: {what}, {form}", text,
                           ANY if 0 in made.values() else UNFIT)
    for e in (1, 3, 17, 257, 65539, 2**32 + 15):
        while gcd(e, (v["p"] - 1) * (v["q"] - 1)) != 1:
            e += 2
        for form, text in pem_all(key_made(v["p"], v["q"], e)):
            reader.refuses(f"{name}: e = {e}, {form}", text, EXPONENT)
    phi = (v["p"] - 1) * (v["q"] - 1)
    for e in (0, 2, 65536, 65538, 65537 + phi):
        for form, text in pem_all(dict(v, e=e)):
            reader.refuses(f"{name}: e = {e}, {form}", text,
                           ANY if e == 0 else EXPONENT)
    for n_bits in (512, 2032, 2040, 2046, 2052, 4100, 4104, 6144):
        for form, text in pem_all(key_even(n_bits, 65537)):
            reader.refuses(f"{n_bits} bits, {form}", text, SIZE)


def try_structure(reader, v, name):
    """The right numbers in a file that says something else about them."""
    prime = der(48, der(48, der_int(3), der_int(1), der_int(2)))
    inside = pkcs1(v)
    pss = bytes.fromhex("06092a864886f70d01010a")
    other = dict(v, n=v["n"] ^ 2)
    for what, label, data, words in (
            ("version 1", "RSA PRIVATE KEY", pkcs1(v, 1), FORMAT),
            ("three primes", "RSA PRIVATE KEY", pkcs1(v, 1, prime), FORMAT),
            ("more numbers", "RSA PRIVATE KEY", pkcs1(v, 0, prime), FORMAT),
            ("bytes behind", "RSA PRIVATE KEY", inside + b"\0", FORMAT),
            ("a byte less", "RSA PRIVATE KEY", inside[:-1], FORMAT),
            ("long length", "RSA PRIVATE KEY", b"\x30\x83\0" + inside[2:],
             FORMAT),
            ("no length", "RSA PRIVATE KEY", b"\x30\x80" + inside[4:] + b"\0\0",
             FORMAT),
            ("PKCS#8 in it", "RSA PRIVATE KEY", pkcs8(inside), FORMAT),
            ("PKCS#1 in it", "PRIVATE KEY", inside, FORMAT),
            ("PSS", "PRIVATE KEY", pkcs8(inside, pss), NOT_RSA),
            ("version 1, PKCS#8", "PRIVATE KEY", pkcs8(inside, version=1),
             FORMAT),
            ("three primes, PKCS#8", "PRIVATE KEY",
             pkcs8(pkcs1(v, 1, prime)), FORMAT),
            ("bytes behind, PKCS#8", "PRIVATE KEY", pkcs8(inside + b"\0"),
             FORMAT),
            ("two keys", "OPENSSH PRIVATE KEY", openssh(v, count_of_keys=2),
             FORMAT),
            ("checks differ", "OPENSSH PRIVATE KEY", openssh(v, checks=(7, 8)),
             FORMAT),
            ("a cipher", "OPENSSH PRIVATE KEY",
             openssh(v, cipher=b"aes256-ctr"), ENCRYPTED),
            ("another type", "OPENSSH PRIVATE KEY",
             openssh(v, kind=b"ssh-dss"), NOT_RSA),
            ("another public key", "OPENSSH PRIVATE KEY",
             openssh(v, shown=ssh_blob(other)), UNFIT),
            ("public e = 3", "OPENSSH PRIVATE KEY",
             openssh(v, shown=ssh_blob(dict(v, e=3))), EXPONENT),
            ("bytes behind", "OPENSSH PRIVATE KEY", openssh(v) + b"\0",
             FORMAT)):
        reader.refuses(f"{name}: {label}, {what}", pem(label, data), words)


def try_damage(reader, v, name, amount):
    """A character altered, lost, added: refused, or the very same key."""
    digits = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
              "+/=-\n \t\0:~")
    for form, text in pem_all(v):
        for _ in range(amount):
            at = dice.randrange(len(text))
            new = dice.choice(("", dice.choice(digits),
                               text[at] + dice.choice(digits)))
            altered = text[:at] + new + text[at + 1:]
            why = reader.same(altered, v)
            count(not why.startswith("other") and "exit" not in why,
                  f"{name}: {form}, {new!r} at {at}", why)


def try_lines(reader, v, name):
    """Public lines that are refused."""
    blob, n = ssh_blob(v), v["n"]
    ed = ssh_string(b"ssh-ed25519") + ssh_string(bytes(32))
    good = ssh_line(blob)
    lines = [(f"e = {e}", ssh_line(ssh_blob(dict(v, e=e))), EXPONENT)
             for e in (1, 2, 3, 17, 65536, 65539, 2**64 + 13)]
    lines += [(f"n of {bits} bits",
               ssh_line(ssh_blob(dict(v, n=1 << bits - 1 | 1))), SIZE)
              for bits in (64, 2040, 2047, 2049, 4095, 4097, 4104, 16384)]
    lines += [
        ("even n", ssh_line(ssh_blob(dict(v, n=n ^ 1))), FORMAT),
        ("e = 0", ssh_line(ssh_blob(dict(v, e=0))), ANY),
        ("n = 0", ssh_line(ssh_blob(dict(v, n=0))), ANY),
        ("negative n", ssh_line(ssh_string(b"ssh-rsa") + ssh_int(65537)
                                + ssh_string(to_bytes(n))), FORMAT),
        ("n with zeros", ssh_line(ssh_string(b"ssh-rsa") + ssh_int(65537)
                                  + ssh_string(b"\0\0" + to_bytes(n))),
         FORMAT),
        ("e with zeros", ssh_line(ssh_string(b"ssh-rsa")
                                  + ssh_string(b"\0\1\0\1") + ssh_int(n)),
         FORMAT),
        ("e and n exchanged", ssh_line(ssh_string(b"ssh-rsa") + ssh_int(n)
                                       + ssh_int(65537)), ANY),
        ("bytes behind", ssh_line(blob + b"\0"), FORMAT),
        ("bytes lost", ssh_line(blob[:-1]), FORMAT),
        ("Ed25519", ssh_line(ed, "ssh-ed25519"), FORMAT),
        ("Ed25519 called RSA", ssh_line(ed), NOT_RSA),
        ("RSA called something else", ssh_line(blob, "rsa-sha2-256"), FORMAT),
        ("no key", "ssh-rsa \n", FORMAT),
        ("digits lost", good[:-20].rstrip() + "\n", FORMAT),
        ("options", "no-pty " + good, FORMAT)]
    for what, line, words in lines:
        if n.bit_length() > 4000:       # longer than any key that is taken
            words += "|" + SIZE
        reader.refuses(f"{name}, public line: {what}", line, words)


def keys(amount, program, paths):
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(os.path.abspath(program), folder)
        first = key_read(paths[0])
        for form, text in pem_all(first):
            control(reader.same(text, first) == "" and
                    reader.same(text, first, True) != "", f"{form}, a number")
            control(not reader.refused(text, ANY), f"{form}, a good key")
        for path in paths:
            v, name = key_read(path), os.path.basename(path)
            for form, text in converted(reader, path):
                reader.accepts(f"{name}, {form}", text, v)
            try_forms(reader, v, name)
            try_damage(reader, v, name, 5 * amount)
            try_lines(reader, v, name)
            try_structure(reader, v, name)
        for path in dice.sample(paths, min(len(paths), 2 * amount)):
            try_wrong_numbers(reader, key_read(path), os.path.basename(path))
            try_locked(reader, path)
        try_other_types(reader, paths[0])


# ---- 7. main ----------------------------------------------------------------

def main(verb, *words):
    if verb == "swap":
        v = key_read(words[0])
        print(pem("RSA PRIVATE KEY", pkcs1(key_made(v["q"], v["p"]))), end="")
        return 0
    dice.seed(words[0])
    if verb == "numbers":
        numbers()
    elif verb == "sessions":
        sessions()
    else:
        keys(int(words[1]), words[2], words[3:])
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
