#!/usr/bin/env python3
"""mutate.py: spoils the library in one place at a time and asks whether the
tests of test.c notice.

A mutant is the library with one small change: another operator, a constant one
off, a statement left out, two arguments swapped, a condition turned round.  It
is compiled, and the tests that execute its function are run, the likeliest
and fastest first, until one fails: then it is killed.

Usage:  sh tests/mutate.sh                 a sample, drawn by SC_SEED
        SC_FULL=1 sh tests/mutate.sh       all of them: hours
        python3 tests/mutate.py --help     parts of it, resumed, listed
Needs:  python3, gcc, gcov, Linux.

Verdicts:
 killed     by a test of test.c, built plainly; else in the first of these:
            asan (address and undefined behaviour checked), nosimd, word32,
            asan32 (both)
 same code  gcc -O2 makes the same object files, in each build that has the line
 no code    it does not compile
 explained  it survives, and tests/mutants.txt says why that is no fault
 left       it survives"""

import argparse
import bisect
import collections
import concurrent.futures
import glob
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

LIBRARY = ["secchan.c", "rsa_mini.c", "bignum.c"]
HEADER = "secchan.h"
C99 = ["gcc", "-std=c99", "-Werror=incompatible-pointer-types",
       "-Werror=int-conversion", "-Werror=implicit-function-declaration",
       "-Werror=return-type"]
ASAN = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
BUILDS = {"default": [], "asan": ASAN, "nosimd": ["-DSC_NO_SIMD"],
          "word32": ["-DSC_WORD32"], "asan32": ["-DSC_WORD32"] + ASAN}
BESIDE = {"asan": "default", "asan32": "word32"}    # whose coverage is theirs
PLATFORMS = ["default", "nosimd", "word32"]     # that have lines of their own

# ---- 1. C in tokens ----------------------------------------------------------

TOKEN = re.compile(r"""(?P<skip>\s+|/\*.*?\*/|\\\n)
    |(?P<string>"(?:\\.|[^"\\])*")|(?P<char>'(?:\\.|[^'\\])*')
    |(?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*)|(?P<name>[A-Za-z_]\w*)
    |(?P<op><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
    """, re.X | re.S)
TYPES = {"const", "static", "unsigned", "struct", "volatile", "register",
         "typedef", "extern", "inline", "SC_INLINE", "AVX2_INLINE", "LANES"}
NOT_TYPES = {"return", "goto", "case", "else", "do", "sizeof", "if", "while",
             "for", "switch", "break", "continue", "default"}
OPEN, CLOSE = {"(": ")", "[": "]", "{": "}"}, {")": "(", "]": "[", "}": "{"}


class Token:
    """kind: string, char, number, name, op.  where: "code" (a function's body),
    "macro" (the text of a #define), "table" (a global initializer or an enum),
    or None.  mate: the index of the other bracket.  first: whether a statement
    begins here."""
    def __init__(self, kind, text, start):
        self.kind, self.text, self.start = kind, text, start
        self.end = start + len(text)
        self.where, self.mate, self.function = None, None, ""
        self.first = self.declares = False


def tokens_of(text):
    """The tokens of a C file; of its directives, only the texts of #define."""
    tokens, at, line_start = [], 0, True
    while at < len(text):
        m = TOKEN.match(text, at)
        if line_start and m.group() == "#":
            end = at
            while True:
                end = text.find("\n", end)
                if end < 0 or text[end - 1] != "\\":
                    break
                end += 1
            end = len(text) if end < 0 else end
            line = text[at:end]
            d = re.match(r"#define \w+(\([^)]*\))?", line)
            if d:
                body = tokens_of(" " * d.end() + line[d.end():])
                for t in body:
                    t.start, t.end, t.where = t.start + at, t.end + at, "macro"
                    t.function = d.group().split("(")[0]
                    t.mate = None if t.mate is None else t.mate + len(tokens)
                tokens += body
            at = end
            continue
        at = m.end()
        line_start = "\n" in m.group() or (line_start and m.lastgroup == "skip")
        if m.lastgroup != "skip":
            tokens.append(Token(m.lastgroup, m.group(), m.start()))
    stack = []
    for i, t in enumerate(tokens):
        if t.kind == "op" and t.text in OPEN and t.mate is None:
            stack.append(i)
        elif t.kind == "op" and t.text in CLOSE and t.mate is None and stack:
            t.mate = stack.pop()
            tokens[t.mate].mate = i
    return tokens


def place_tokens(tokens):
    """Say of each token where it is and whether a statement begins there."""
    i, name = 0, ""
    while i < len(tokens):
        t = tokens[i]
        if t.where == "macro":
            i += 1
        elif t.text == "{" and tokens[i - 1].text == ")":
            name = tokens[tokens[i - 1].mate - 1].text
            for u in tokens[i:t.mate + 1]:
                if u.where is None:
                    u.where, u.function = "code", name
            place_statements(tokens, i, t.mate)
            i = t.mate + 1
        elif t.text == "{" and tokens[i - 1].kind != "string":
            words = [u.text for u in tokens[max(0, i - 2):i]]
            if tokens[i - 1].text == "=" or "enum" in words:
                for u in tokens[i:t.mate]:
                    u.where = "table"
            i = t.mate + 1
        else:
            i += 1


def place_statements(tokens, start, end):
    begins, i = True, start + 1
    while i < end:
        t = tokens[i]
        if t.where == "macro":
            i += 1
            continue
        if begins and t.text not in ("{", "}", ";", "else", "do", "default"):
            t.first = True
            after = tokens[i + 1]
            t.declares = t.text in TYPES or (
                t.kind == "name" and t.text not in NOT_TYPES
                and (after.kind == "name" or (after.text == "*"
                     and after.end == tokens[i + 2].start)))
        if t.text in ("if", "while", "for", "switch", "SC_UNROLL") and begins:
            i = tokens[i + 1].mate + 1
            continue
        begins = t.text in ("{", "}", ";", "else", "do") or (
            t.text == ":" and ((tokens[i - 2].text in ("case", ";", "}", "{"))
                               or tokens[i - 1].text == "default"))
        i += 1


# ---- 2. what can be changed --------------------------------------------------

# Of the changes to one place, only those that are hard to notice: "<" to "<=",
# and not to ">=", which every test sees that sees this one.
SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
         "+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "&": "|", "|": "&",
         "^": "|", "<<": ">>", ">>": "<<", "+=": "-=", "-=": "+=", "*=": "+=",
         "/=": "*=", "|=": "&=", "&=": "|=", "^=": "|=", ">>=": "<<=",
         "<<=": ">>=", "++": "--", "--": "++"}
# What these are given changes nothing that a test could see: they are empty in
# these builds, or say only how often a loop is unrolled.
NO_MATTER = {"SC_PUBLIC", "SC_SECRET", "SC_ASSERT", "SC_UNROLL"}
MAY_BE_UNARY = {"+", "-", "*", "&"}

Mutant = collections.namedtuple(
    "Mutant", "file line last function before after start end text key")


def operand_before(tokens, i, stop):
    """The index at which the operand that ends before token i begins."""
    i -= 1
    while i >= 0:
        t = tokens[i]
        if t.text in CLOSE and t.mate is not None:
            i = t.mate - 1
            continue
        if t.text in stop or t.text in OPEN:
            return i + 1
        i -= 1
    return 0


def operand_after(tokens, i, stop):
    """The index behind the operand that begins after token i."""
    i += 1
    while i < len(tokens):
        t = tokens[i]
        if t.text in OPEN and t.mate is not None:
            i = t.mate + 1
            continue
        if t.text in stop or t.text in CLOSE:
            return i
        i += 1
    return i


COMPARE = {"<", "<=", ">", ">=", "==", "!=", "&&", "||", "!"}
LOGIC_STOP = {"&&", "||", "?", ":", ";", ",", "return", "="}


def change_operator(text, tokens, i):
    t = tokens[i]
    if t.text in SWAPS and t.kind == "op":
        spaced = text[t.start - 1].isspace() and text[t.end:t.end + 1].isspace()
        if t.text not in MAY_BE_UNARY or spaced:
            yield t.start, t.end, SWAPS[t.text]
    if t.text in ("!", "~"):
        yield t.start, t.end, ""
    if t.text in ("&&", "||"):
        a = operand_before(tokens, i, LOGIC_STOP)
        yield tokens[a].start, tokens[i + 1].start, ""      # left one out
        b = operand_after(tokens, i, LOGIC_STOP)
        yield tokens[i - 1].end, tokens[b - 1].end, ""      # right one out
    if t.text == "?":
        a = operand_before(tokens, i, LOGIC_STOP - {"&&", "||"})
        b = tokens[i - 1].end
        yield tokens[a].start, b, "!(%s)" % text[tokens[a].start:b]
    if t.text in ("if", "while") and tokens[i + 1].text == "(":
        end = tokens[i + 1].mate
        a, b = tokens[i + 1].start, tokens[end].end
        if not any(u.text in COMPARE for u in tokens[i:end]):
            yield a, b, "(!%s)" % text[a:b]


def is_array_size(tokens, i):
    """Is token i in the [] of a declaration, outside its initializer?"""
    k = i - 1
    while k > 0 and not tokens[k].first:
        if tokens[k].text in ("=", ";", "{"):
            return False
        k -= 1
    if not tokens[k].declares:
        return False
    while i > k:
        if tokens[i].text == "[":
            return True
        i -= 1
    return False


def change_constant(text, tokens, i):
    t = tokens[i]
    if t.kind == "number":
        before = "".join([u.text for u in tokens[max(0, i - 5):i]])
        if before.endswith("(void)") or re.search(r"sizeof[\w>.-]+\[$",
                                                  before):
            return      # ((void)0), sizeof x[0]: the same with another number
        digits = t.text.rstrip("uUlL")
        tail = t.text[len(digits):]
        n = int(digits, 16 if digits[:2] in ("0x", "0X") else
                8 if digits[0] == "0" and len(digits) > 1 else 10)
        if t.where == "table" or len(digits) == 10:
            others = [n ^ 1]
        elif is_array_size(tokens, i):
            others = [n - 1] if n > 1 else []
        elif tokens[i - 1].text == "[" and tokens[i + 1].text == "]":
            others = [n + 1]
        else:
            others = [n + 1] + ([n - 1] if n > 0 else [])
        for other in others:
            yield t.start, t.end, str(other) + tail
    elif t.kind == "char" and len(t.text) == 3:
        yield t.start, t.end, "'%c'" % (ord(t.text[1]) ^ 1)
    elif t.kind == "string" and len(t.text) > 2 and t.where != "macro" and not (
            tokens[i - 1].text == "," and tokens[i - 2].text.startswith("SC_")
            or tokens[i - 1].kind == "string"):
        if t.text[1] != "\\":
            other = chr(ord(t.text[1]) ^ 1)
            yield t.start, t.end, '"%s%s' % (other, t.text[2:])
    elif re.match("SC_ERR_", t.text) and tokens[i - 1].text != "case":
        yield t.start, t.end, ("SC_ERR_STATE" if t.text != "SC_ERR_STATE"
                               else "SC_ERR_ARGUMENT")
    elif t.text in ("SC_OK", "SC_MORE", "SC_CLOSED") and t.where == "code":
        yield t.start, t.end, "SC_ERR_INTERNAL"


def change_statement(text, tokens, i):
    t = tokens[i]
    if not t.first or t.declares or t.text in ("if", "while", "for", "switch",
                                               "case", "SC_UNROLL"):
        return
    end = i
    while tokens[end].text != ";":
        if tokens[end].text in ("{", "}", ":") and tokens[end].mate != end:
            if tokens[end].text == ":" and "?" in [
                    u.text for u in tokens[i:end]]:
                end += 1
                continue
            return
        end = tokens[end].mate + 1 if tokens[end].text in OPEN else end + 1
    if end > i:
        yield t.start, tokens[end].start, ""


# The first of two arguments that may stand in either order: factors and such
# (of memcmp, nobody asks which is greater; SHA256_ROUND's b and c only meet in
# Maj).
EITHER_ORDER = {
    "memcmp": 0, "sc_bytes_equal": 0, "sc_bn_equal": 0, "sc_public_equal": 0,
    "too_close": 0,
    "sc_bn_add": 1, "sc_bn_add_mod": 1, "PRODUCT": 0, "SHA256_ROUND": 1,
    "digits_mul": 1, "vec_mul": 1, "vec_mul_as": 1, "mul_add": 1,
    "_mm256_add_epi64": 0, "_mm256_mul_epu32": 0, "_mm256_and_si256": 0,
    "_mm256_or_si256": 0, "_mm256_cmpeq_epi64": 0}


def change_arguments(text, tokens, i):
    t = tokens[i]
    if t.kind != "name" or tokens[i + 1].text != "(" or t.text in NOT_TYPES \
            or t.where != "code" or tokens[i + 1].start != t.end:
        return
    end, args, at = tokens[i + 1].mate, [], i + 2
    k = at
    while k <= end:
        if k == end or tokens[k].text == ",":
            if k > at:
                args.append((tokens[at].start, tokens[k - 1].end))
            at = k + 1
        k = tokens[k].mate + 1 if tokens[k].text in OPEN else k + 1
    for n, ((a, b), (c, d)) in enumerate(zip(args, args[1:])):
        if text[a:b] != text[c:d] and EITHER_ORDER.get(t.text) != n:
            yield a, d, text[c:d] + text[b:c] + text[a:b]


def squeeze(text):
    return " ".join(re.sub(r"/\*.*?\*/|\\\n", " ", text, flags=re.S).split())


def mutants_of(name, text):
    """All mutants of a file, in the order of the file."""
    tokens = tokens_of(text)
    place_tokens(tokens)
    lines = [0] + [m.end() for m in re.finditer("\n", text)]
    line_of = lambda at: bisect.bisect_right(lines, at)
    seen, result, skip_until = collections.Counter(), [], 0
    for i, t in enumerate(tokens[:-1]):
        if t.where is None or i < skip_until:
            continue
        if t.text in NO_MATTER:
            skip_until = tokens[i + 1].mate
            continue
        kinds = [change_operator, change_constant]
        if t.where == "code":
            kinds += [change_statement, change_arguments]
        for kind in kinds:
            for start, end, other in kind(text, tokens, i):
                a = lines[line_of(start) - 1]
                b = text.find("\n", end)
                before = squeeze(text[a:b])
                after = squeeze(text[a:start] + other + text[end:b]) or ";"
                key = "%s %s: %s -> %s" % (name, t.function, before, after)
                seen[key] += 1
                result.append(Mutant(
                    name, line_of(t.start), line_of(end), t.function, before,
                    after, start, end, other, "%s #%d" % (key, seen[key])))
    return result


# ---- 2b. one function of a file ----------------------------------------------

class Functions:
    """A file cut up so that one function of it can be compiled alone, in a
    fifth of the time: the rest of the file is built once, with every function
    global and weak (-fPIC, so that the compiler relies on none of them), and
    the mutant's takes the place of one."""
    def __init__(self, text):
        tokens = tokens_of(text)
        self.text, self.bodies, self.statics, start = text, [], [], 0
        i = 0
        while i < len(tokens):
            t = tokens[i]
            if t.where == "macro":
                start = i + 1
            elif t.text == "{" and i > 0 and tokens[i - 1].kind == "string":
                start = i + 1                           # extern "C" {
            elif t.text == "{":
                words = [u.text for u in tokens[start:i]]
                if tokens[i - 1].text == ")" and "=" not in words:
                    self.take(tokens, start, i, words)
                    start = t.mate + 1
                i = t.mate
            elif t.text == ";":
                words = [u.text for u in tokens[start:i]]
                if "(" in words and "=" not in words and "typedef" not in words:
                    self.strip_static(tokens[start:i])
                start = i + 1
            i += 1

    def take(self, tokens, start, i, words):
        name = tokens[tokens[i - 1].mate - 1].text
        if not any(w.endswith("INLINE") or w == "inline" for w in words):
            self.bodies.append((name, tokens[i].start,
                                tokens[tokens[i].mate].end))
            self.strip_static(tokens[start:i])

    def strip_static(self, tokens):
        self.statics += [(t.start, t.end, "") for t in tokens
                         if t.text == "static"]

    def rest(self):
        """The file with every function global."""
        return self.edited([])

    def alone(self, m):
        """The mutant's function; only prototypes of the others.  None if it is
        not a function of its own."""
        if not any(a <= m.start and m.end <= b for n, a, b in self.bodies):
            return None
        others = [(a, b, ";" + "\n" * self.text.count("\n", a, b))
                  for n, a, b in self.bodies if not a <= m.start < b]
        return self.edited(others + [(m.start, m.end, m.text)])

    def edited(self, edits):
        text = self.text
        for a, b, other in sorted(self.statics + edits, reverse=True):
            text = text[:a] + other + text[b:]
        return text


# ---- 3. building and running -------------------------------------------------

def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **more)


def must(command, **more):
    r = run(command, **more)
    if r.returncode != 0:
        sys.exit("failed: %s\n%s" % (" ".join(command), r.stdout[-3000:]))
    return r.stdout


def live_lines(build, folder, f):
    """The lines of a file that are not left out by #if in a build; of a macro's
    text, all its lines, though the preprocessor makes one of them."""
    source = os.path.join(folder, LIBRARY[0] if f == HEADER else f)
    preprocessed = must(C99 + BUILDS[build] + [
        "-w", "-E", "-dD", "-fdirectives-only", "-DSECCHAN_INTERNAL", "-I",
        folder, source])
    lines, at, here = set(), 0, False
    for row in preprocessed.splitlines():
        mark = re.match(r'# (\d+) "(.*?)"', row)
        if mark:
            at = int(mark[1])
            here = os.path.basename(mark[2]) == f
            continue
        if here and row.strip():
            lines.add(at)
        at += 1
    with open(os.path.join(folder, f)) as text:
        before = ""
        for at, row in enumerate(text, 1):
            if before.endswith("\\\n") and at - 1 in lines:
                lines.add(at)
            before = row
    return lines


class Build:
    """The whole program as it is, in one configuration."""
    def __init__(self, name, sources, scratch, tests):
        self.name, self.flags = name, BUILDS[name]
        self.folder = os.path.join(scratch, name)
        self.sources, self.tests = sources, list(tests)
        self.cover, self.live_lines, self.reference = None, {}, {}
        self.functions, self.sleeps = {}, {}
        self.callers = collections.defaultdict(set)
        self.lock, self.is_ready = threading.RLock(), False
        os.makedirs(self.folder)
        for level in ("-O1", "-O2"):
            self.precompile(level)

    def prepare(self, with_coverage):
        """What is needed to run mutants, and not only to compile them."""
        with self.lock:
            if self.is_ready:
                return
            for f in LIBRARY + ["test.c"]:
                self.compile(os.path.join(self.sources, f), f, self.object(f),
                             "-O2", check=True)
            for f in LIBRARY:
                rest = os.path.join(self.folder, f)
                with open(os.path.join(self.sources, f)) as c:
                    self.functions[f] = Functions(c.read())
                with open(rest, "w") as c:
                    c.write(self.functions[f].rest())
                must(C99 + self.flags + ["-O2", "-fPIC", "-I", self.sources,
                                         "-c", "-o", self.rest(f), rest])
                self.weaken(self.rest(f))
            if with_coverage:
                self.measure_coverage()
            else:
                program = self.folder + "/test"
                self.link(program, [self.object(f) for f in LIBRARY])
                self.seconds = {n: self.time_test(program, n)
                                for n in list(self.tests)}
            self.is_ready = True

    def object(self, f):
        return os.path.join(self.folder, f[:-2] + ".o")

    def rest(self, f):
        """Its object with weak functions."""
        return os.path.join(self.folder, f[:-2] + "-rest.o")

    def weaken(self, path):
        """What the object defines, and not what it wants: a weak wish for one
        of the compiler's own functions would be left unfulfilled."""
        names = [row.split()[-1] for row in must(
            ["nm", "-g", "--defined-only", path]).splitlines()]
        must(["objcopy"] + ["--weaken-symbol=" + n for n in names] + [path])

    def precompile(self, level):
        """The headers, once: gcc takes most of its time for them."""
        folder = self.folder + "/" + level[1:]
        os.makedirs(folder)
        with open(folder + "/pre.h", "w") as h:
            h.write("#define SECCHAN_INTERNAL\n#include \"secchan.h\"\n")
            names = set()
            for f in LIBRARY:
                with open(os.path.join(self.sources, f)) as c:
                    names |= set(re.findall(r"#include <(.*?)>", c.read()))
            for n in sorted(names):
                h.write("#if __has_include(<%s>)\n#include <%s>\n#endif\n"
                        % (n, n))
        must(C99 + self.flags + [level, "-I", self.sources, "-o",
                                 folder + "/pre.h.gch", folder + "/pre.h"])

    def compile(self, path, f, out, level, check=False, header=None):
        """path: the text of file f, changed or not.  header: a folder with
        another secchan.h.  True if it compiles."""
        command = C99 + self.flags + [level]
        if header is None and f != "test.c":
            command += ["-I", self.folder + "/" + level[1:], "-include",
                        "pre.h"]
        command += ["-I", header or self.sources, "-c", "-o", out, path]
        if check:
            must(command)
            return True
        return run(command).returncode == 0

    def link(self, out, objects, test=None):
        must(["gcc"] + self.flags + ["-o", out, test or self.object("test.c")]
             + objects)

    def time_test(self, program, name):
        """How long a test takes with nothing changed, when it must pass: of
        the processor's time, and, through self.sleeps, of the clock's."""
        start, before = time.monotonic(), os.times()
        r = run([program, name], env=test_env(), cwd=self.sources)
        after = os.times()
        if r.returncode != 0:
            sys.exit("%s: %s fails with nothing changed\n%s"
                     % (self.name, name, r.stdout))
        if "skipped" in r.stdout:
            self.tests.remove(name)
        self.sleeps[name] = time.monotonic() - start
        return (after.children_user + after.children_system
                - before.children_user - before.children_system)

    def measure_coverage(self):
        """Which tests execute which lines, by gcov; a child process of a test
        counts, too, unless it is killed."""
        folder = self.folder + "/cover"
        os.makedirs(folder)
        flags = self.flags + ["--coverage", "-O1", "-D_exit=exit", "-I",
                              self.sources]
        for f in LIBRARY + ["test.c"]:
            must(C99 + flags + ["-c", "-o", f[:-2] + ".o",
                                os.path.join(self.sources, f)], cwd=folder)
        must(["gcc"] + self.flags + ["--coverage", "-o", "test", "test.o"]
             + [f[:-2] + ".o" for f in LIBRARY], cwd=folder)
        cover = {f: collections.defaultdict(set) for f in LIBRARY + [HEADER]}
        self.seconds = {}
        for name in list(self.tests):
            for old in glob.glob(folder + "/*.gcda"):
                os.remove(old)
            self.seconds[name] = self.time_test(folder + "/test", name)
            for line in must(["gcov", "--json-format", "--stdout"]
                             + [f[:-2] + ".gcda" for f in LIBRARY],
                             cwd=folder).splitlines():
                for entry in json.loads(line)["files"]:
                    f = os.path.basename(entry["file"])
                    for row in entry["lines"] if f in cover else []:
                        tests = cover[f][row["line_number"]]
                        if row["count"] > 0:
                            tests.add(name)
                            self.callers[f, row.get("function_name")].add(name)
        self.cover = cover

    def tests_for(self, m):
        """The tests that execute the mutant's function, since gcov of optimised
        code counts lines too low, or all if it knows nothing of that (tables,
        macros, the header)."""
        if self.cover is None or m.file == HEADER or m.function.startswith("#"):
            return set(self.tests)
        return self.tests_of_lines(m) | self.callers[m.file, m.function]

    def tests_of_lines(self, m):
        """Those that, as far as gcov says, execute the mutant's own lines."""
        known = [self.cover[m.file][n] for n in range(m.line, m.last + 1)
                 if n in self.cover[m.file]]
        above = m.line
        while not known and m.function and above > m.line - 5:
            above -= 1                  # a statement that began further up
            if above in self.cover[m.file]:
                known = [self.cover[m.file][above]]
        return set().union(*known) if known else set(self.tests)

    def live(self, f):
        """The lines of a file that this build's compiler sees."""
        with self.lock:
            if f not in self.live_lines:
                self.live_lines[f] = live_lines(self.name, self.sources, f)
            return self.live_lines[f]

    def plain_object(self, f):
        """What gcc -O2 makes of file f."""
        with self.lock:
            if f not in self.reference:
                out = self.folder + "/plain-" + f[:-2] + ".o"
                self.compile(os.path.join(self.sources, f), f, out, "-O2", True)
                with open(out, "rb") as o:
                    self.reference[f] = o.read()
            return self.reference[f]


def test_env():
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", LC_ALL="C")
    env.setdefault("SC_VECTORS", "/nonexistent")
    env.pop("SC_SLOW", None)
    return env


def test_fails(build, program, name):
    """Run one test of a mutant: does it fail, crash, hang or eat memory?  It
    hangs if it uses too much time of the processor or sleeps too long; a busy
    machine makes it neither."""
    limit = 2 + 10 * build.seconds[name]
    left = 4 + 10 * build.sleeps[name]
    limits = "ulimit -t %d && ulimit -f %d && " % (limit + 1, 1 << 19)
    if build.name not in BESIDE:
        limits += "ulimit -v %d && " % (1 << 20)
    p = subprocess.Popen(["sh", "-c", limits + 'exec "$0" "$1"', program, name],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, env=test_env(),
                         cwd=build.sources, start_new_session=True)
    fd = os.pidfd_open(p.pid)
    try:
        while left > 0 and not select.select([fd], [], [], 0.25)[0]:
            with open("/proc/%d/stat" % p.pid) as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] != "R":
                    left -= 0.25
    except (ProcessLookupError, FileNotFoundError):
        pass
    finally:
        os.close(fd)
        try:
            os.killpg(p.pid, signal.SIGKILL)    # and children it left behind
        except ProcessLookupError:
            pass
    return p.wait() != 0


# ---- 4. one mutant -----------------------------------------------------------

class Campaign:
    def __init__(self, sources, scratch, args):
        self.sources, self.scratch = sources, scratch
        self.full, self.quick = args.full, args.quick
        self.texts, self.builds = {}, {}
        self.lock, self.recent = threading.RLock(), {}
        for f in LIBRARY + [HEADER]:
            with open(os.path.join(sources, f)) as c:
                self.texts[f] = c.read()
        self.names = None

    def build(self, name):
        with self.lock:
            if name not in self.builds:
                if self.names is None:
                    self.names = self.test_names()
                self.builds[name] = Build(name, self.sources, self.scratch,
                                          self.names)
            return self.builds[name]

    def test_names(self):
        program = self.scratch + "/names"
        must(["gcc", "-std=c99", "-w", "-o", program]
             + [os.path.join(self.sources, f) for f in LIBRARY + ["test.c"]])
        names = must([program, "-l"]).split()
        for n in names:                 # a name asks for all that contain it
            if sum(n in other for other in names) > 1:
                print("note: the name %s is part of another" % n)
        return names

    def write(self, m, folder):
        """The mutant's text; of the header's, all files beside it."""
        text = self.texts[m.file]
        with open(os.path.join(folder, m.file), "w") as c:
            c.write(text[:m.start] + m.text + text[m.end:])
        if m.file == HEADER:
            for f in LIBRARY + ["test.c"]:
                shutil.copy(os.path.join(self.sources, f), folder)

    def compile(self, m, build, folder, level):
        """Whole object files of the mutant by name, or None."""
        files = LIBRARY + ["test.c"] if m.file == HEADER else [m.file]
        header = folder if m.file == HEADER else None
        objects = {}
        for f in files:
            out = os.path.join(folder, f[:-2] + level + ".o")
            if not build.compile(os.path.join(folder, f), f, out, level,
                                 header=header):
                return None
            objects[f] = out
        return objects

    def same_code(self, m, build, folder):
        objects = self.compile(m, build, folder, "-O2")
        for f, path in (objects or {}).items():
            with open(path, "rb") as o:
                if o.read() != build.plain_object(f):
                    return False
        return objects is not None

    def make(self, m, build, folder):
        """The test program of the mutant, or None if it does not compile."""
        program = os.path.join(folder, "test")
        alone = build.functions[m.file].alone(m) if m.file != HEADER else None
        if alone is None:
            objects = self.compile(m, build, folder, "-O1")
        else:
            source, out = folder + "/alone.c", folder + "/alone.o"
            with open(source, "w") as c:
                c.write(alone)
            objects = {m.file: out} if build.compile(source, m.file, out,
                                                     "-O1") else None
        if objects is None:
            return None
        files = [objects.get(f, build.object(f)) for f in LIBRARY]
        if alone is not None:
            files.append(build.rest(m.file))
        try:
            build.link(program, files, objects.get("test.c"))
        except SystemExit:
            return None
        return program

    def order(self, m, build, tests):
        where = (m.file, m.function)
        recent = [n for n in self.recent.get(where, []) if n in tests]
        likely = set() if build.cover is None else build.tests_of_lines(m)
        rest = sorted(tests - set(recent),
                      key=lambda n: (n not in likely, build.seconds[n]))
        return recent + rest

    def verdict(self, m):
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            self.write(m, folder)
            builds = [b for b in PLATFORMS
                      if m.line in self.build(b).live(m.file)]
            if not builds:
                return "elsewhere", "for another system or compiler"
            covered = asked = False
            if self.quick:
                builds = builds[:1]
            else:
                builds = [b for b in BUILDS if BESIDE.get(b, b) in builds]
            for name in builds:
                build = self.build(name)
                build.prepare(name == "default" or (self.full
                                                    and name not in BESIDE))
                source = self.build(BESIDE.get(name, name))
                tests = source.tests_for(m) & set(build.tests)
                covered = covered or bool(tests)
                program = self.make(m, build, folder)
                if program is None:
                    return "no code", ""
                tests = self.order(m, build, tests)
                if self.quick:
                    tests = [t for t in tests if build.seconds[t] < 0.3]
                for test in tests:
                    if not asked and build.seconds[test] > 0.05:
                        asked = True    # before it becomes expensive
                        if self.is_same_code(m, builds, folder):
                            return "same code", ""
                    if test_fails(build, program, test):
                        self.remember(m, test)
                        return "killed", "%s %s" % (name, test)
                if not asked:
                    asked = True
                    if self.is_same_code(m, builds, folder):
                        return "same code", ""
            return "left", "" if covered else "no test executes it"

    def is_same_code(self, m, builds, folder):
        return all(self.same_code(m, self.build(b), folder) for b in builds
                   if b not in BESIDE)

    def remember(self, m, killer):
        with self.lock:
            old = self.recent.setdefault((m.file, m.function), [])
            self.recent[m.file, m.function] = (
                [killer] + [n for n in old if n != killer])[:4]


# ---- 5. explanations, results, main ------------------------------------------

class Explained:
    """tests/mutants.txt: paragraphs of "why: a reason" and lines
    FILE [FUNCTION]: BEFORE -> AFTER, where ... stands for anything."""
    def __init__(self, path):
        self.rules, why = [], ""
        with open(path) as f:
            for number, line in enumerate(f, 1):
                line = line.strip()
                if line.startswith("why:"):
                    why = line[4:].strip()
                elif line and not line.startswith("#"):
                    pattern = ".*".join(re.escape(p) for p in
                                        line.split("..."))
                    self.rules.append((number, re.compile(pattern), why))
        self.used = collections.Counter()

    def why(self, m):
        for number, pattern, why in self.rules:
            if any(pattern.fullmatch("%s%s: %s -> %s"
                                     % (m.file, f, m.before, m.after))
                   for f in ("", " " + m.function)):
                self.used[number] += 1
                return why
        return None

    def unused(self):
        return [n for n, _, _ in self.rules if self.used[n] == 0]


def read_results(path):
    rows = {}
    if path and os.path.exists(path):
        with open(path) as f:
            for line in f:
                key, what, more = line.rstrip("\n").split("\t")
                rows[key] = (what, more)
    return rows


def describe(m):
    return "%s:%d: %s: %s -> %s" % (m.file, m.line, m.function, m.before,
                                    m.after)


def campaign(mutants, rows, args, explained, everything):
    """Judge the mutants that rows lacks, and add them to it."""
    random.Random(args.seed).shuffle(mutants)
    todo = [m for m in mutants if m.key not in rows
            or (rows[m.key][0] == "left" and explained.why(m) is None)]
    todo.sort(key=lambda m: m.key not in rows)   # there may be new tests
    if not args.full:
        for m in todo:
            if explained.why(m) is not None:
                rows[m.key] = "left", ""
        todo = [m for m in todo if m.key not in rows]
    if args.results:
        print("evidence: verdicts of earlier runs, by the tests of their day | "
              "measured | %d of %d" % (len(mutants) - len(todo), len(mutants)))
    stop = time.monotonic() + args.minutes * 60
    with tempfile.TemporaryDirectory(prefix="secchan.") as scratch:
        sources = copy_sources(scratch)
        work = Campaign(sources, scratch, args)
        control(work, everything, args.seed)
        out = open(args.results, "a") if args.results else None

        def judge(m):
            if time.monotonic() > stop:
                return
            what, more = work.verdict(m)
            rows[m.key] = what, more
            if out:
                out.write("%s\t%s\t%s\n" % (m.key, what, more))
                out.flush()
            if what == "left" and explained.why(m) is None:
                print("left: %s%s" % (describe(m), more and " (%s)" % more),
                      flush=True)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for f in [pool.submit(judge, m) for m in todo]:
                f.result()


def control(work, mutants, seed):
    """Does the judge judge?  A function put in the place of itself is no
    mutant, and nothing works without addition."""
    functions = sorted({(m.file, m.function): m for m in mutants
                        if m.function and not m.function.startswith("#")
                        and m.file != HEADER}.values())
    rng, same = random.Random(seed), []
    for f in LIBRARY:
        same += rng.sample([m for m in functions if m.file == f], 2)
    same = [m._replace(text=work.texts[m.file][m.start:m.end]) for m in same]
    wrong = [m for m in mutants if m.function == "sc_bn_add"]
    for claim, tried, verdict in (
            ("functions replaced by themselves: no change", same,
             ("same code", "elsewhere")),
            ("%d mutants of sc_bn_add: killed, or no code" % len(wrong), wrong,
             ("killed", "no code"))):
        found = [(m.function, *work.verdict(m)) for m in tried]
        bad = [f for f in found if f[1] not in verdict]
        fine = not bad and any(f[1] == verdict[0] for f in found)
        print("%s: control: %s" % ("ok" if fine else "FAILED", claim))
        if not fine:
            sys.exit("control: %s" % "; ".join(" ".join(f) for f in bad))


def copy_sources(scratch):
    """The sources, with the folder that test.c writes to in scratch."""
    sources = scratch + "/sources"
    os.makedirs(sources + "/tests")
    for f in LIBRARY + [HEADER]:
        shutil.copy(f, sources)
    shutil.copy("tests/session.txt", sources + "/tests")
    with open("test.c") as f, open(sources + "/test.c", "w") as t:
        t.write(f.read().replace('"/tmp/secchan-test-', '"%s/t' % scratch))
    return sources


def report(mutants, rows, explained, all_mutants):
    """The rows of the evidence page; whether enough is noticed.  What no build
    here compiles is in none of the numbers."""
    left = noticed = 0
    for f in LIBRARY + [HEADER]:
        live = set().union(*[live_lines(b, ".", f) for b in PLATFORMS])
        count, kinds = collections.Counter(), collections.Counter()
        for m in mutants:
            if m.file != f or m.key not in rows:
                continue
            what, more = rows[m.key]
            if what == "left" and explained.why(m) is not None:
                what = "explained"
            count[what] += 1
            if what == "killed":
                kinds[more.split()[0]] += 1
        tried = sum(count.values()) - count["elsewhere"]
        by = ", ".join("%d %s" % (kinds[b], "plainly" if b == "default" else
                                  "else with " + b) for b in BUILDS if kinds[b])
        if tried == 0 and not count:
            continue
        print("evidence: mutants of %s | %s | %d of %d tried: %d killed (%s), "
              "%d same code, %d do not compile, %d explained, %d left"
              % (f, "FAILED" if count["left"] else "passed", tried,
                 sum(m.file == f and m.line in live for m in all_mutants),
                 count["killed"],
                 by or "-", count["same code"], count["no code"],
                 count["explained"], count["left"]))
        left += count["left"]
        noticed += count["killed"] + count["explained"]
    print("%s: of %d mutants that differ, %d were killed or are explained"
          % ("FAILED" if left else "ok", noticed + left, noticed))
    return not left


def main():
    p = argparse.ArgumentParser(description="mutation testing of the library")
    p.add_argument("--sample", type=int, default=0, help="0: all")
    p.add_argument("--seed", default="1")
    p.add_argument("--files", default="", help="comma-separated")
    p.add_argument("--function", default="", help="only in this one")
    p.add_argument("--results", help="a file to add to and to resume from; "
                   "what was left there is tried again first")
    p.add_argument("--quick", action="store_true",
                   help="only one build, only tests of less than 0.3 s")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--minutes", type=float, default=1e9)
    p.add_argument("--list", action="store_true", help="say them, try none")
    p.add_argument("--report", action="store_true", help="of --results only")
    args = p.parse_args()
    args.full = args.sample == 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    explained = Explained("tests/mutants.txt")
    everything = []
    for f in LIBRARY + [HEADER]:
        with open(f) as c:
            everything += mutants_of(f, c.read())
    mutants = [m for m in everything
               if (not args.files or m.file in args.files.split(","))
               and (not args.function or m.function == args.function)]
    if args.sample:
        mutants = random.Random(args.seed).sample(mutants, min(args.sample,
                                                               len(mutants)))
    if args.list:
        for m in mutants:
            print(describe(m))
        print(len(mutants), "mutants")
        return 0
    rows = read_results(args.results)
    if not args.report:
        campaign(mutants, rows, args, explained, everything)
    fine = report(mutants, rows, explained, everything)
    for m in everything:
        explained.why(m)
    for number in explained.unused():
        print("FAILED: mutants.txt:%d explains no mutant there is" % number)
    return not fine or bool(explained.unused())


if __name__ == "__main__":
    sys.exit(main())
