# SPDX-License-Identifier: Apache-2.0
"""marked.py PROTOCOL ADDRESS PORT MARK: asks a server of the lab from a socket whose packets carry a firewall mark
(SO_MARK), and prints its name, or "nothing". PROTOCOL is tcp, udp, or connected-udp."""
import json
import socket
import sys

protocol, address, port, mark = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
with socket.socket(family, kind) as client:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    client.settimeout(2)
    try:
        if protocol == "udp":
            client.sendto(b"1 ".ljust(64), (address, port))
        else:
            client.connect((address, port))
            client.send(b"whoami\n" if protocol == "tcp" else b"1 ".ljust(64))
        answer = client.recv(1500).decode()
        print(json.loads(answer[answer.index("{"):])["server"])
    except OSError:
        print("nothing")
