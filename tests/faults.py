"""faults.py: the demos, with their system calls failing one by one (faults.c),
and killed at many moments.  Called by faults.sh, which builds what it needs:
    python3 faults.py FOLDER SCENARIO [ONLY]
FOLDER has demo_client, demo_server and faults.so.  SCENARIO is one of those at
the end; ONLY: no other call than this fails.  SC_FULL=1: every occurrence in
every way, of a call made over 150 times 100 of them; else a sample, which
SC_SEED repeats.
Prints "FAILED: ..." for what was wrong, and figures last; exit status 0:
nothing was.  What is wanted of every run:
  - it ends by itself, within a time, by no signal; what it says in words is one
    line with a reason and, after a semicolon, what to do;
  - status 0 means that everything was done; else nothing is half there: no file
    under its name, no line of known_hosts, no key without its public line;
  - it leaves no descriptor open and no temporary file;
  - a server that goes on serves the next client."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
SCENARIO = sys.argv[2]
ONLY = sys.argv[3] if len(sys.argv) > 3 else None
FULL = os.environ.get("SC_FULL") == "1"
SEED = int(os.environ.get("SC_SEED", "1"))
WORK = tempfile.mkdtemp(prefix="faults.", dir=os.environ.get("TMPDIR"))
TICKS = 1200            # of 50 ms, for one run: a halted machine does not tick
PORT = 4422
# An address of our own, so that checks side by side do not meet.
ADDRESS = "127.%d.%d.%d" % (77, os.getpid() >> 8 & 255, os.getpid() % 253 + 1)
PLACE = "%s:%d" % (ADDRESS, PORT)
LISTENING = re.compile(r"^listen \d+ \d+ \d+ 0 ", re.M)
PAYLOAD = random.Random(7).randbytes(70000)
NAME = "payload.bin"
dice = random.Random(SEED)
seed = SEED             # of the programs' own random bytes
processes = []


def path(*parts):
    return os.path.join(WORK, *parts)


def read(name, mode="r"):
    try:
        with open(name, mode) as f:
            return f.read()
    except FileNotFoundError:
        return "" if mode == "r" else b""


class Wrong(Exception):
    """What a run did wrong, in words."""


def wanted(holds, words):
    if not holds:
        raise Wrong(words)


# ---- 1. programs ------------------------------------------------------------

class Program:
    """A demo, perhaps with a planned fault."""
    number = 0

    def __init__(self, name, *arguments, plan=None, stdin=None, logged=True):
        Program.number += 1
        self.name = name
        self.files = path("run.%d." % Program.number)
        self.log_path = self.files + "log"
        env = dict(os.environ, HOME=path("home"), LC_ALL="C")
        if logged:
            env.update(LD_PRELOAD=os.path.join(BUILD, "faults.so"),
                       FAULTS_LOG=self.log_path, FAULTS_PLAN=plan or "",
                       FAULTS_SEED=str(seed))
        with open(self.files + "out", "w") as out, \
                open(self.files + "err", "w") as err, \
                open(stdin or "/dev/null") as read_from:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, name)] + list(arguments), env=env,
                cwd=WORK, stdin=read_from, stdout=out, stderr=err)
        processes.append(self.process)

    @property
    def out(self):
        return read(self.files + "out", "rb").decode("utf-8", "replace")

    @property
    def err(self):
        return read(self.files + "err", "rb").decode("utf-8", "replace")

    @property
    def log(self):
        return read(self.log_path)

    @property
    def status(self):
        return self.process.poll()

    def until(self, what, ticks=TICKS, tick=0.05):
        """Wait until what() holds; gives whether it does."""
        for _ in range(ticks):
            if what():
                return True
            time.sleep(tick)
        return what()

    def end(self):
        """Wait for its own end."""
        for _ in range(TICKS):
            try:
                self.process.wait(0.05)
                break
            except subprocess.TimeoutExpired:
                pass
        else:
            self.process.kill()
            self.process.wait()
            raise Wrong("%s hangs" % self.name)
        if self.process in processes:
            processes.remove(self.process)
        return self

    def kill(self, number=signal.SIGKILL):
        if self.status is None:
            self.process.send_signal(number)

    def heard(self):
        """How many messages a server has told of."""
        return self.out.count(": message of ")

    def forget(self):
        for kind in ("out", "err", "log"):
            if os.path.exists(self.files + kind):
                os.remove(self.files + kind)

    def was_hit(self):
        return " fault\n" in self.log or self.status == -signal.SIGKILL

    def check_end(self, killed=False):
        """What every end has to be like."""
        if killed and self.status == -signal.SIGKILL:
            return
        wanted(self.status in (0, 1), "%s: status %s" % (self.name,
                                                         self.status))
        wanted("Sanitizer" not in self.err, "%s: %s" % (self.name, self.err))
        complaints = []
        for line in self.err.splitlines():
            wanted(line.startswith(self.name + ": ") and line.isprintable(),
                   "unclean words: %r" % line)
            if not line.startswith(self.name + ": from now on "):
                complaints.append(line)
        wanted(len(complaints) < 2, "more than one complaint: %s" % complaints)
        if self.status == 1 and self.name == "demo_client" or complaints:
            wanted(len(complaints) == 1, "it fails without a word")
            wanted(re.match(r"[a-z_]+: .+(; |\): |\?$).*", complaints[0])
                   and "Success" not in complaints[0],
                   "it does not say why and what to do: %s" % complaints[0])
        left = [line for line in self.log.splitlines()
                if re.match(r"left (?!.* (pipe:|/dev/null))", line)]
        wanted(not left, "descriptors left open: %s" % left)


def client(*arguments, **more):
    return Program("demo_client", *arguments, PLACE, **more)


def server(*arguments, **more):
    """A server that is listening, or has ended."""
    s = Program("demo_server", "-l", PLACE, "-k", path("host_key"),
                *arguments, **more)
    s.until(lambda: s.status is not None or LISTENING.search(s.log),
            tick=0.005, ticks=10 * TICKS)
    return s


def stop(s):
    s.kill(signal.SIGTERM)
    s.end()


# ---- 2. what is there before and after --------------------------------------

def make_keys():
    for name in ("host_key", "client.key"):
        Program("demo_server", "--make-key", path(name), logged=False).end()
    shutil.copy(path("client.key.pub"), path("listed"))
    line = subprocess.run(["cut", "-d", " ", "-f", "1,2",
                           path("host_key.pub")], capture_output=True,
                          text=True, check=True).stdout.strip()
    return "[%s]:%d %s\n" % (ADDRESS, PORT, line)


def fresh():
    """Nothing received, nobody known.  A server may be holding on to the folder
    itself."""
    for name in ("received", "home", "made"):
        os.makedirs(path(name), exist_ok=True)
        for entry in os.scandir(path(name)):
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                os.remove(entry)


def received(name=NAME):
    """Is the file there?  Half of it is wrong."""
    whole = os.path.exists(path("received", name))
    wanted(not whole or read(path("received", name), "rb") == PAYLOAD,
           "a file is there, but not whole")
    return whole


def temporary():
    return [n for n in os.listdir(path("received")) if n.startswith(".")]


def no_temporary(s):
    wanted(s.until(lambda: not temporary(), 100), "a temporary file is left")


def hash_line(name=NAME):
    return "%s  %s\n" % (hashlib.sha256(PAYLOAD).hexdigest(), name)


def check_known(c):
    """known_hosts has the whole line, or nothing."""
    known = read(path("home", ".secchan", "known_hosts"))
    wanted(known in ("", host_line), "known_hosts is %r" % known)
    if c.status == 0 and "warning" not in c.err:
        wanted(known == host_line, "the host is not remembered")


# ---- 3. clients -------------------------------------------------------------

MESSAGES = ["hello", "two words", ""]
LINES = [b"line %d" % i for i in range(40)] + [b"x" * 20000, b"", b"no newline"]


def start_echo():
    return server("-a", path("listed"))


def start_receive():
    return server("-r", path("received"))


def run_messages(plan):
    arguments = ["-y", "-i", path("client.key")]
    for text in MESSAGES:
        arguments += ["-m", text]
    before = standing.heard()
    c = client(*arguments, plan=plan).end()
    c.heard_before = before
    return c


def check_answers(c, lines):
    whole = b"".join(line + b"\n" for line in lines).decode()
    wanted(whole.startswith(c.out), "answers that nobody gave")
    wanted(c.status != 0 or c.out == whole, "status 0, and answers are missing")


def check_messages(c, s):
    check_known(c)
    check_answers(c, [text.encode() for text in MESSAGES])
    if c.status == 0:           # what it calls sent is in the server's log
        wanted(s.until(lambda: s.heard() - c.heard_before == len(MESSAGES),
                       40), "messages reported sent did not arrive")


def run_lines(plan):
    with open(path("lines"), "wb") as f:
        f.write(b"\n".join(LINES))
    return client("-y", "-i", path("client.key"), plan=plan,
                  stdin=path("lines")).end()


def check_lines(c, s):
    check_known(c)
    check_answers(c, LINES)


def run_file(plan):
    with open(path(NAME), "wb") as f:
        f.write(PAYLOAD)
    return client("-y", "-f", path(NAME), plan=plan).end()


def check_file(c, s):
    no_temporary(s)
    check_known(c)
    there = received()
    wanted(c.out in ("", hash_line()), "a hash that is none")
    wanted(c.status != 0 or (there and c.out), "status 0, and nothing stored")
    wanted(not c.out or there, "a hash, and nothing stored")


def run_make_key(plan):
    name = SCENARIO.split()[0]
    return Program(name, "--make-key", path("made", "key"), plan=plan).end()


made = {}


def check_make_key(c, s):
    have = {n: read(path("made", n)) for n in os.listdir(path("made"))}
    if not made and c.status == 0:      # the first run, without a fault
        made.update(have, out=c.out)
        wanted(len(have) == 2, "no key")
    whole = {n: made[n] for n in made if n != "out"}
    wanted(have in ({}, whole), "half a key: %s" % sorted(have))
    if c.status == 0:
        wanted(have == whole and c.out == made["out"],
               "status 0, and not all was done")
    elif "stdout" not in c.err and "standard output" not in c.err:
        wanted(have == {}, "it failed, and left %s" % sorted(have))


# ---- 4. servers -------------------------------------------------------------

def visit(s, kind, name):
    """A client without faults."""
    if kind == "echo":
        return client("-y", "-i", path("client.key"), "-m", name,
                      logged=False).end()
    if name != NAME:
        shutil.copy(path(NAME), path(name))
    return client("-y", "-f", path(name), logged=False).end()


def check_visit(c, s, kind, name):
    c.check_end()
    if kind == "echo":
        wanted(c.out in ("", name + "\n"), "an answer that is none")
        wanted(c.status != 0 or c.out, "status 0, no answer")
    else:
        there = received(name)
        wanted(c.out in ("", hash_line(name)), "a hash that is none")
        wanted(not c.out or there, "reported stored, and it is not there")


def run_server(kind, plan):
    """One server, two clients, SIGTERM."""
    with open(path(NAME), "wb") as f:
        f.write(PAYLOAD)
    s = start_echo_planned(plan) if kind == "echo" else \
        server("-r", path("received"), plan=plan)
    visits, lasts = [], plan is not None and plan.endswith("+")
    for name in ("first", "second", "third"):
        if s.status is None and (len(visits) < 2 or not lasts
                                 and visits[1][0].status != 0):
            visits.append((visit(s, kind, name), name))
    ended = s.status is not None
    stop(s)
    s.check_end()
    try:
        for c, name in visits:
            check_visit(c, s, kind, name)
        if kind == "receive" and "unlinkat" not in (plan or ""):
            no_temporary(s)
        if not ended:
            wanted(lasts or visits[-1][0].status == 0, "after the fault, it "
                   "does not serve: %s" % visits[-1][0].err)
            wanted(s.status == 0, "status %d after SIGTERM" % s.status)
        else:
            wanted(s.status == 1 and s.err, "it ended, status %d, saying %r"
                   % (s.status, s.err))
    finally:
        for c, _ in visits:
            c.forget()
    return s


def start_echo_planned(plan):
    return server("-a", path("listed"), plan=plan)


# ---- 5. every call ----------------------------------------------------------

def sites(log):
    """The calls of a run: name -> (how often, variants)."""
    found = {}
    for line in log.splitlines():
        if not line.startswith("left "):
            name, nth, variants = line.split()[:3]
            found[name] = (int(nth), int(variants))
    return found


# What may go on for ever.  (Not accept: its clients wait half a minute each.)
LASTING = {"fsync": [0], "getrandom": [0], "linkat": [0],
           "open": [0], "openat": [0], "recv": [0], "send": [0],
           "socket": [0], "stdout": [0], "write": [0], "close": [0],
           "setsockopt": [0], "malloc": [0], "calloc": [0], "read": [0]}


def plans(log):
    """Which faults to try: all, or a sample with everything in it once."""
    chosen = []
    for name, (n, variants) in sorted(sites(log).items()):
        if ONLY not in (None, name):
            continue
        for variant in range(variants):
            if FULL or ONLY:
                often = range(1, n + 1) if n <= 150 else \
                    sorted(dice.sample(range(1, n + 1), 100))
            elif variant == 0:
                often = sorted({1, n, dice.randint(1, n)})
            else:
                often = [dice.randint(1, n)]
            chosen += ["%s %d %d" % (name, k, variant) for k in often]
        for variant in LASTING.get(name, []):
            often = range(1, n + 1) if FULL and n <= 150 else [1]
            chosen += ["%s %d %d +" % (name, k, variant) for k in often]
    return chosen


def clean_run(run, check, s):
    fresh()
    clean = run(None)
    clean.check_end()
    check(clean, s)
    wanted(clean.status == 0, "without a fault: status %d, %s"
           % (clean.status, clean.err))
    return clean


def find_lucky_seed(run, check, s):
    """One by which primes are soon found, to save time."""
    global seed
    luck = []
    for seed in range(SEED, SEED + 8):
        made.clear()
        luck.append((sites(clean_run(run, check, s).log)["getrandom"], seed))
    seed = min(luck)[1]
    made.clear()


def try_plan(run, check, s, plan):
    fresh()
    c = None
    try:
        c = run(plan)
        c.check_end()
        check(c, s)
        return c.was_hit()
    finally:
        if c is not None:
            c.forget()


def try_all(run, check, s=None):
    """Every plan; what fails is tried once more, for a machine may have stood
    still in between.  Gives the number of failures."""
    clean = clean_run(run, check, s)
    if sites(clean.log).get("getrandom", (0, 0))[0] > 100:
        find_lucky_seed(run, check, s)
        clean = clean_run(run, check, s)
    n_runs = n_hit = n_failed = 0
    todo = plans(clean.log)
    names = {plan.split()[0] for plan in todo}
    for plan in todo:
        n_runs += 1
        for again in (True, False):
            try:
                n_hit += try_plan(run, check, s, plan)
                break
            except Wrong as wrong:
                if not again:
                    n_failed += 1
                    print("FAILED: %s: %s: %s" % (SCENARIO, plan, wrong),
                          flush=True)
    print("%d calls of %d kinds in a run; %d faults planned, %d met, %d wrong"
          % (sum(n for n, _ in sites(clean.log).values()), len(names), n_runs,
             n_hit, n_failed))
    return n_failed if n_hit > 0 else 1


def try_client(start, run, check):
    global standing
    s = standing = start()
    wanted(s.status is None, "no server: %s" % s.err)
    n_failed = try_all(run, check, s)
    wanted(s.status is None, "the server, which had no fault, has ended")
    stop(s)
    s.check_end()
    return n_failed


# ---- 6. the order of things -------------------------------------------------

def try_order():
    """What is reported stored is on disk: contents, then name, then answer."""
    fresh()
    s = run_server("receive", None)
    part, synced, linked, folder_synced, n = None, False, False, False, 0
    for line in s.log.splitlines():
        words = line.split()
        name, fd, result = words[0], words[3:4], words[4:5]
        if name == "openat":
            part, synced, linked, folder_synced = result, False, False, False
        elif name == "write" and fd == part:
            synced = False
        elif name == "fsync" and result == ["0"]:
            synced = synced or fd == part
            folder_synced = linked and fd != part
        elif name == "linkat":
            wanted(synced, "it gets its name before it is on the disk")
            linked = True
        elif name == "send" and linked:
            wanted(folder_synced, "it is reported before its name is on disk")
            linked = False
            n += 1
    wanted(n == 2, "%d files were stored" % n)
    print("2 files: written, fsync, name, fsync of the folder, answer")
    return 0


# ---- 7. killed --------------------------------------------------------------

def after_kill(s, c, number):
    """The server was sent a signal while a file came in."""
    s.end()
    c.end()
    try:
        c.check_end()
        s.check_end(killed=number == signal.SIGKILL)
        there = received()
        wanted(c.status != 0 or there, "stored, says the client; it is not")
        if number != signal.SIGKILL:
            wanted(s.status == 0, "status %d" % s.status)
            wanted(not temporary(), "a temporary file is left")
        # It starts again, as if nothing were; with other random bytes, or the
        # next temporary file would have the name of the one that was left.
        s = Program("demo_server", "-l", PLACE, "-k", path("host_key"), "-r",
                    path("received"), logged=False)
        s.until(lambda: "listening on" in s.out or s.status is not None,
                tick=0.01)
        c = visit(s, "receive", "again")
        stop(s)
        wanted(c.status == 0 and received("again"), "no new start: " + c.err)
        return there
    finally:
        c.forget()
        s.forget()


def try_kill_calls():
    """kill -9 of the server just before and just after each call."""
    fresh()
    clean = run_server("receive", None)
    todo, start = [], sites(clean.log[:clean.log.index("accept 1 ")])
    for name, (n, _) in sorted(sites(clean.log).items()):
        often = range(1 + start.get(name, (0, 0))[0], n + 1)
        if name in ("getrandom", "clock_gettime") or ONLY not in (None, name):
            continue
        if len(often) > 4 and not FULL and not ONLY:
            often = sorted(dice.sample(often, 3))
        todo += ["%s %d %d" % (name, k, when) for k in often
                 for when in (100, 101)]
    return kill_all(todo, lambda plan: (
        server("-r", path("received"), plan=plan), None, signal.SIGKILL))


def kill_all(todo, start):
    n_failed = n_whole = 0
    for plan in todo:
        for again in (True, False):
            fresh()
            s, moment, number = start(plan)
            try:
                c = client("-y", "-f", path(NAME), logged=False)
                if moment is not None:
                    time.sleep(moment)
                    s.kill(number)
                else:
                    c.end()
                    s.kill()
                n_whole += after_kill(s, c, number)
                break
            except Wrong as wrong:
                if not again:
                    n_failed += 1
                    print("FAILED: %s: %s: %s" % (SCENARIO, plan, wrong),
                          flush=True)
    print("%d times: %d times the whole file is there, else nothing of it; "
          "%d wrong" % (len(todo), n_whole, n_failed))
    return n_failed if 0 < n_whole < len(todo) else 1


def big_file():
    global PAYLOAD
    PAYLOAD = random.Random(8).randbytes(24000000)
    with open(path(NAME), "wb") as f:
        f.write(PAYLOAD)
    fresh()
    s = start_receive()
    began = time.time()
    c = visit(s, "receive", NAME)
    took = time.time() - began
    stop(s)
    wanted(c.status == 0, c.err)
    return took


def try_kill_moments():
    """Signals to the server at any moment of receiving 24 MB."""
    took = big_file()
    n = 60 if FULL else 6
    todo = [(number, dice.uniform(0, 1.1 * took)) for number in
            (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            for _ in range(3 * n if number == signal.SIGKILL else n)]
    return kill_all(todo, lambda plan: (start_receive(), plan[1], plan[0]))


def try_kill_client():
    """Signals to the client at any moment of sending 24 MB."""
    took = big_file()
    n_failed = n_whole = n = 0
    fresh()
    s = start_receive()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT,
                   signal.SIGHUP):
        for _ in range(40 if FULL else 4):
            n += 1
            try:
                c = client("-y", "-f", path(NAME), logged=False)
                time.sleep(dice.uniform(0, 1.1 * took))
                c.kill(number)
                c.end()
                no_temporary(s)
                n_whole += received()
                if received():
                    os.remove(path("received", NAME))
            except Wrong as wrong:
                n_failed += 1
                print("FAILED: %s: %s: %s" % (SCENARIO, number, wrong))
                fresh()
    c = visit(s, "receive", "again")
    wanted(c.status == 0 and received("again"), "the server does not go on")
    stop(s)
    s.check_end()
    print("%d times: %d times it was sent already, else nothing is left; %d "
          "wrong" % (n, n_whole, n_failed))
    return n_failed if n_whole < n else 1


# ---- 8. scenarios -----------------------------------------------------------

SCENARIOS = {
    "demo_client messages":
        lambda: try_client(start_echo, run_messages, check_messages),
    "demo_client lines":
        lambda: try_client(start_echo, run_lines, check_lines),
    "demo_client file":
        lambda: try_client(start_receive, run_file, check_file),
    "demo_client key": lambda: try_all(run_make_key, check_make_key),
    "demo_server key": lambda: try_all(run_make_key, check_make_key),
    "demo_server echo":
        lambda: try_all(lambda plan: run_server("echo", plan),
                        lambda c, s: None),
    "demo_server receive":
        lambda: try_all(lambda plan: run_server("receive", plan),
                        lambda c, s: None),
    "demo_server order": try_order,
    "demo_server killed": try_kill_calls,
    "demo_server signals": try_kill_moments,
    "demo_client signals": try_kill_client,
}


def main():
    global host_line
    try:
        fresh()
        host_line = make_keys()
        return SCENARIOS[SCENARIO]()
    except Wrong as wrong:
        print("FAILED: %s: %s" % (SCENARIO, wrong))
        return 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(WORK, ignore_errors=True)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
host_line = ""
standing = None         # the server that clients with faults talk to
sys.exit(main() != 0)
