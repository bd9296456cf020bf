#!/usr/bin/env bash
# redis-server with its data as fries: BGSAVE (a fork) while every key is overwritten. The dump must
# hold exactly the values of the moment of the fork, the server exactly the new ones.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need redis-server
need_python socket
mkdir "$TMP/data"
cat >"$TMP/job.py" <<'END'
"""Drives redis-server through its socket; argv: the library, the folder, BIGMAAC_FORK."""
import os, random, socket, subprocess, sys, time

library, folder, mode = sys.argv[1:]
keys = 20000

class Redis:
    def __init__(self, preload):
        path = f"{folder}/s"
        env = dict(os.environ, BIGMAAC_MIN_FRY_SIZE="64", BIGMAAC_MIN_BIGMAAC_SIZE="128K", BIGMAAC_FORK=mode,
                   BIGMAAC_STATS="1")
        if preload:
            env["LD_PRELOAD"] = library
        self.log = open(f"{folder}/log", "ab")
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", path, "--dir", folder, "--save", "", "--appendonly",
             "no", "--daemonize", "no"], env=env, stdout=self.log, stderr=self.log)
        for _ in range(200):
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
                break
            except OSError:
                assert self.process.poll() is None, "redis-server ended at once"
                time.sleep(0.05)
        self.file = self.socket.makefile("rb")
        while True:                                     # it may be loading its dump
            answer = self.ask("PING")
            if answer == b"PONG":
                break
            time.sleep(0.05)

    def send(self, commands):
        out = []
        for words in commands:
            words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
            out.append(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        self.socket.sendall(b"".join(out))

    def answer(self):
        line = self.file.readline()
        assert line, "redis-server hung up"
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def ask(self, *words):
        self.send([words])
        return self.answer()

    def many(self, commands, block=500):
        answers = []
        for at in range(0, len(commands), block):
            self.send(commands[at:at + block])
            answers += [self.answer() for _ in commands[at:at + block]]
        return answers

    def info(self, name):
        text = self.ask("INFO").decode()
        return dict(l.split(":", 1) for l in text.split("\r\n") if ":" in l)[name]

    def stop(self):
        self.send([("SHUTDOWN", "NOSAVE")])
        assert self.process.wait(300) == 0, self.process.returncode
        self.log.close()

def value(i, generation):
    """80 ... 4079 bytes; some of 300 KB, which are bigmaacs."""
    size = 300000 if i % 1000 == 0 else 80 + (i * 7919 + generation * 31) % 4000
    unit = b"%d/%d;" % (i, generation)
    return (unit * (size // len(unit) + 1))[:size]

def sets(generation):
    order = list(range(keys))
    random.Random(generation).shuffle(order)
    return [("SET", f"key:{i}", value(i, generation)) for i in order]

def differences(redis, generation):
    answers = redis.many([("GET", f"key:{i}") for i in range(keys)])
    return sum(answers[i] != value(i, generation) for i in range(keys))

server = Redis(True)
assert "bigmaac.so" in open(f"/proc/{server.process.pid}/maps").read()
assert set(server.many(sets(1))) == {b"OK"}
server.ask("RPUSH", "list", *[b"%d" % i * 40 for i in range(2000)])
server.ask("HSET", "hash", *[x for i in range(2000) for x in (f"field{i}", b"%d" % i * 50)])
for generation in (1, 2):
    server.ask("CONFIG", "SET", "rdb-key-save-delay", "50")  # microseconds a key: the child is slow
    begun = server.ask("BGSAVE")
    assert b"started" in begun, begun
    assert set(server.many(sets(generation + 1))) == {b"OK"}
    assert server.info("rdb_bgsave_in_progress") == "1", "the save was over before the writes were"
    # Lists and hashes go and come back while the child reads them.
    server.ask("DEL", "list", "hash")
    server.ask("RPUSH", "list", *[b"%d" % (i + 5) * 40 for i in range(2000)])
    while server.info("rdb_bgsave_in_progress") == "1":
        time.sleep(0.05)
    assert server.info("rdb_last_bgsave_status") == "ok"
    wrong = differences(server, generation + 1)
    assert wrong == 0, f"the server: {wrong} values are not those written after the fork"
    os.rename(f"{folder}/dump.rdb", f"{folder}/kept.rdb")
server.stop()
for preload in (False, True):
    os.rename(f"{folder}/kept.rdb", f"{folder}/dump.rdb")
    reader = Redis(preload)
    assert reader.ask("DBSIZE") == keys + 1, reader.ask("DBSIZE")
    wrong = differences(reader, 2)
    assert wrong == 0, f"the dump: {wrong} values are not those of the moment of the fork"
    assert reader.ask("LRANGE", "list", 0, -1) == [b"%d" % (i + 5) * 40 for i in range(2000)]
    reader.stop()
    os.rename(f"{folder}/dump.rdb", f"{folder}/kept.rdb")
print("done")
END
for mode in private copy; do
    rm -f "$TMP"/data/*
    out=$(timeout 600 "$PYTHON" "$TMP/job.py" "$LIB" "$TMP/data" $mode 2>"$TMP/err") ||
        fail "$mode: $(tail -n 5 "$TMP/err" "$TMP/data/log")"
    [ "$out" = "done" ] || fail "$mode: $out"
    fries=$(stat_of fries "$TMP/data/log")
    [ "${fries:-0}" -ge 20000 ] || fail "$mode: redis' data were not fries: $(grep stats "$TMP/data/log")"
    grep 'bigmaac\[' "$TMP/data/log" | grep -v ' stats ' && fail "$mode: complaints"
    grep fell_through "$TMP/data/log" && fail "$mode: not all was swapped"
done
exit 0
