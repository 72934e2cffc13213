"""Makes unary gRPC calls, all at the same time, with Google's implementation of gRPC.

Reads lines from stdin, of fields between tabs:

    call    TARGET  METHOD  MESSAGE  DEADLINE  COMPRESSION
    cancel  CALL

where CALL is the number of a call, from 0 on, METHOD a path, MESSAGE hexadecimal, DEADLINE in seconds or empty, and
COMPRESSION `gzip` or empty. A call starts as soon as its line is read. For each that ends it prints

    CALL  CODE  DETAILS  REPLY  METADATA

where CODE is the number of the status, and DETAILS and REPLY are hexadecimal; METADATA is what came behind the reply,
as NAME=VALUE with hexadecimal values between spaces.
"""

import sys
import threading

import grpc

COMPRESSION = {"": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}
# A channel of its own for each target, not the one that others in this process may have.
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]

channels = {}
calls = []
printing = threading.Lock()


def encoded(value):
    return (value if isinstance(value, bytes) else value.encode()).hex()


def ended(number, call):
    code = call.code()
    reply = call.result() if code == grpc.StatusCode.OK else b""
    metadata = " ".join(f"{name}={encoded(value)}" for name, value in call.trailing_metadata() or ())
    with printing:
        print(number, code.value[0], encoded(call.details() or ""), reply.hex(), metadata, sep="\t", flush=True)


def start(target, method, message, deadline, compression):
    if target not in channels:
        channels[target] = grpc.insecure_channel(target, OPTIONS)
    # Without serializers, messages are bytes.
    unary = channels[target].unary_unary(method)
    call = unary.future(
        bytes.fromhex(message),
        timeout=float(deadline) if deadline else None,
        compression=COMPRESSION[compression],
    )
    number = len(calls)
    calls.append(call)
    call.add_done_callback(lambda call: ended(number, call))


for line in sys.stdin:
    command, *arguments = line.rstrip("\n").split("\t")
    if command == "call":
        start(*arguments)
    else:
        calls[int(arguments[0])].cancel()
