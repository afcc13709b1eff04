#!/usr/bin/env python3
"""stack.py: how deep a stack every function of the library needs.

Usage:   python3 tests/stack.py [FLAG...]     from the repository's root
         FLAG: for the compiler, after -O2; say -DSC_WORD32
Needs:   gcc 10 or later (CC names another one), for -fcallgraph-info
Counted: the library's own frames, from an sc_ function down, on the deepest way
         through the graph of calls, also if it is never gone.  Not counted: the
         C library's, and those of functions that a user hands in.
Status:  1 if a function is over the limit, or the depth cannot be known: a
         recursion, a frame without a bound, a call through a pointer that
         CALLED_THROUGH_POINTERS does not explain.
"""

import os
import re
import subprocess
import sys
import tempfile

LIMIT = 24 * 1024
SOURCES = ("secchan.c", "rsa_mini.c", "bignum.c")
SHOWN = 12

# Which functions a function may call through a pointer; those that users hand
# in, and memset, are not the library's: with them alone the list is empty.
RANDOM = ["sc_os_random"]
CALLED_THROUGH_POINTERS = {
    # rsa_mini.c
    "sc_oaep_encrypt": RANDOM,
    "keygen_candidate": RANDOM,
    "prime_test_start": RANDOM,
    "crt_half": RANDOM,
    "sc_key_generate": [],              # progress
    "read_pem_body": ["read_pkcs1", "read_pkcs8", "read_openssh"],
    # secchan.c
    "sc_aead": ["chacha20_by_1", "chacha20_by_4", "chacha20_by_8"],
    "sc_wipe": [],                      # memset
    "make_secret": RANDOM,
    "server_make_m2": RANDOM,
    "trace": [],
    "judge_host": ["sc_judge_known_hosts"],
    "server_take_m5": ["sc_authorise_by_file"],
    "conn_deliver": [],                 # on_data
    "conn_read_frame": ["socket_read"],
    "conn_write": ["socket_write"],
    "os_each_line": ["host_line", "key_line"],
    "key_line": [],                     # complain
}

# What some builds leave out (SC_NO_SIMD, SC_WORD32, other processors).
NOT_ALWAYS_THERE = {"sc_aead", "chacha20_by_4", "chacha20_by_8"}

# The one circle: while conn_write waits, socket_write takes what arrives, and
# an answer to that is written by conn_write, which then goes back at once
# (is_writing).  So its call through the pointer is not made below itself.
NOT_BELOW_ITSELF = {"conn_write"}


def function_lines(path):
    """[(line, name)] of the function definitions in a file, in house style:
    they begin in the first column, and so does their opening brace."""
    with open(path) as source:
        text = source.read()
    definition = re.compile(r"^\w[\w *]*?(\w+)\([^;{}]*\)\n\{", re.M)
    return [(text.count("\n", 0, m.start()) + 1, m.group(1))
            for m in definition.finditer(text)]


def plain(title):
    """secchan.c:conn_write.part.0 is a piece of conn_write, with a frame of its
    own; without the file and the piece it is a function's name."""
    return title.split(":")[-1].split(".")[0]


class Graph:
    def __init__(self):
        self.frame = {}         # title: bytes
        self.calls = {}         # title: set of (title, function whose pointer
                                #        it is called through, or None)
        self.pointer_calls = set()      # (title, the function in the source)
        self.known = {}         # title: what deepest() said of it
        self.complaints = []

    def compile(self, folder, source, flags):
        stem = os.path.splitext(source)[0]
        subprocess.run(
            [os.environ.get("CC", "gcc"), "-O2", *flags, "-c",
             "-fcallgraph-info=su", source, "-o", f"{folder}/{stem}.o"],
            check=True)
        with open(f"{folder}/{stem}.ci") as info:
            self.read(info, function_lines(source))

    def read(self, info, definitions):
        for line in info:
            words = re.findall(r'"([^"]*)"', line)
            if line.startswith("node:") and " bytes (" in words[1]:
                size, kind = re.search(r"(\d+) bytes \((.*?)\)",
                                       words[1]).groups()
                self.frame[words[0]] = int(size)
                if kind == "dynamic":
                    self.complaints.append(f"{words[0]}: a frame without bound")
            elif line.startswith("edge:"):
                caller, called = words[:2]
                if called == "__indirect_call":
                    number = int(words[2].split(":")[-2])
                    name = [n for at, n in definitions if at <= number][-1]
                    self.pointer_calls.add((caller, name))
                else:
                    self.calls.setdefault(caller, set()).add((called, None))

    def resolve_pointers(self):
        """Put what the table says into the graph; complain of what it does not
        say, and of what it says without need."""
        titles = {}
        for title in self.frame:
            titles.setdefault(plain(title), []).append(title)
        seen = set()
        for caller, name in sorted(self.pointer_calls):
            seen.add(name)
            if name not in CALLED_THROUGH_POINTERS:
                self.complaints.append(f"{name}: calls through a pointer")
            for called in CALLED_THROUGH_POINTERS.get(name, ()):
                self.calls.setdefault(caller, set()).update(
                    (title, name) for title in titles.get(called, ()))
        for name, called_names in CALLED_THROUGH_POINTERS.items():
            if name not in seen and name not in NOT_ALWAYS_THERE:
                self.complaints.append(f"{name}: no call through a pointer")
            for called in called_names:
                if called not in titles and called not in NOT_ALWAYS_THERE:
                    self.complaints.append(f"{called}: no such function")

    def deepest(self, title, inside=frozenset(), above=()):
        """(bytes, path) of the deepest way down from a function; inside: which
        of NOT_BELOW_ITSELF are on the way to it."""
        here = title, inside
        if here in above:
            self.complaints.append(f"{plain(title)}: calls itself, by way of "
                                   + ", ".join(plain(t) for t, _ in above))
            return 0, ()
        if here not in self.known:
            below = [self.deepest(called, inside | NOT_BELOW_ITSELF & {pointer},
                                  above + (here,))
                     for called, pointer in self.calls.get(title, ())
                     if called in self.frame and pointer not in inside]
            size, path = max(below, default=(0, ()))
            self.known[here] = self.frame[title] + size, (title,) + path
        return self.known[here]


def main():
    graph = Graph()
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            graph.compile(folder, source, sys.argv[1:])
    graph.resolve_pointers()
    depths = sorted((graph.deepest(title) for title in graph.frame
                     if title.startswith("sc_")), reverse=True)
    for size, path in depths[:SHOWN]:
        print(f"{size:7}  {path[0]}")
    if not depths:
        graph.complaints.append("no sc_ function was found")
    else:
        print("the deepest, frame by frame:")
        for title in depths[0][1]:
            print(f"{graph.frame[title]:7}    {plain(title)}")
    for size, path in depths:
        if size > LIMIT:
            graph.complaints.append(f"{path[0]}: {size} bytes of stack, over "
                                    f"{LIMIT}")
    for complaint in sorted(set(graph.complaints)):
        print(f"FAILED: {complaint}")
    if not graph.complaints:
        print(f"ok: {len(depths)} functions need at most {depths[0][0]} bytes "
              f"of stack, where {LIMIT} are allowed")
    return 1 if graph.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
