# SPDX-License-Identifier: Apache-2.0
"""One end of a TCP connection, which makes the calls that its standard input names and says when each has returned."""

import socket
import struct
import sys

listener = None
connection = None


def listen(port):
    global listener
    listener = socket.create_server(("", int(port)))


def accept():
    global connection
    connection, _ = listener.accept()


def connect(address, port, source_port):
    global connection
    connection = socket.create_connection((address, int(port)), timeout=5, source_address=("", int(source_port)))


def receive(length):
    """Of 0 bytes: until the other end has shut its half."""
    got = connection.recv(int(length) or 1)
    if len(got) != int(length):
        raise OSError(f"received {len(got)} bytes")


def abort():
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


calls = {
    "listen": listen,
    "accept": accept,
    "connect": connect,
    "send": lambda: connection.sendall(b"data"),
    "receive": receive,
    "shut": lambda: connection.shutdown(socket.SHUT_WR),
    "close": lambda: connection.close(),
    "abort": abort,
}

for line in sys.stdin:
    name, *words = line.split()
    try:
        calls[name](*words)
        print("done", flush=True)
    except ConnectionRefusedError:
        print("refused", flush=True)
    except OSError as error:
        print(f"failed: {error}", flush=True)
