"""Renders what the nodes of the example ask for, with nothing but Python.

    python3 examples/deferred/worker.py [PORT [SECONDS]]

PORT is that of Redis on this machine, 6379 by default; SECONDS is what one report takes, 0 by default.
"""

import os
import socket
import sys
import time


def varint(n):
    size = next(size for size in (1, 2, 4, 8) if n < 1 << 8 * size - 2)
    return (n | (size.bit_length() - 1) << 8 * size - 2).to_bytes(size, "big")


def block(content):
    return varint(len(content)) + content


def fields(lines):
    return block(b"".join(block(name) + block(value) for name, value in lines))


def message(address, status, headers, content, trailers=()):
    headers = [(b"memolock-address", address), *headers] if address else headers
    return b"\x01" + varint(status) + fields(headers) + block(content) + fields(trailers)


class Redis:
    """As much of a client as this takes; a real worker has one already."""

    def __init__(self, port):
        self.io = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def __call__(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.io.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        self.io.flush()
        return self.reply()

    def reply(self):
        line = self.io.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"$":
            return self.io.read(int(rest) + 2)[:-2]
        if kind in (b"+", b":"):
            return rest
        raise OSError(f"Redis says {line}")


def render(report, seconds):
    """300 KiB, no two the same."""
    time.sleep(seconds)
    head = b"%%PDF-1.7\n%% report %b, rendering %b\n" % (report, os.urandom(16).hex().encode())
    return head.ljust(300 * 1024, b"\xa5")


def main(port=6379, seconds=0):
    redis = Redis(int(port))
    print("waiting for reports", flush=True)
    while True:
        _, job = redis("BLPOP", "jobs", 0)
        form, key, channel, report = job.split(b"\n", 3)
        print("rendering", report.decode(), flush=True)
        value = render(report, float(seconds))
        if form == b"message":
            value = message(key, 200, [(b"content-type", b"application/pdf")], value)
        redis("SET", key, value, "PX", 60000)
        redis("PUBLISH", channel, value)
        print("rendered", report.decode(), flush=True)


main(*sys.argv[1:])
