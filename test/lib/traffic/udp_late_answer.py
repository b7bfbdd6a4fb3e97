# SPDX-License-Identifier: Apache-2.0
"""udp_late_answer.py ADDRESS PORT: waits for one datagram, answers it late, and prints what it hears of the answer: an
errno's name, or "nothing". Says "ready" first."""
import errno
import socket
import sys
import time

address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as server:
    server.bind((address, port))
    print("ready", flush=True)
    _, client = server.recvfrom(1500)
    server.connect(client)
    server.settimeout(2)
    time.sleep(0.3)
    try:
        server.send(b"late")
        server.recv(1500)
        print("an answer")
    except TimeoutError:
        print("nothing")
    except OSError as error:
        print(errno.errorcode[error.errno])
