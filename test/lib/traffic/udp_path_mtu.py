# SPDX-License-Identifier: Apache-2.0
"""udp_path_mtu.py ADDRESS PORT SIZE: sends datagrams that must not be fragmented until the kernel knows that they are too
large for the path. Prints what ended it, an errno's name or "nothing", and the MTU of the path."""
import errno
import socket
import sys
import time

# include/uapi/linux/in.h, in6.h: IP_MTU_DISCOVER, IP_MTU and those of IPv6; IP_PMTUDISC_DO
options = {socket.AF_INET: (socket.IPPROTO_IP, 10, 14), socket.AF_INET6: (socket.IPPROTO_IPV6, 23, 24)}
always = 2

address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
level, discover, mtu = options[family]
with socket.socket(family, socket.SOCK_DGRAM) as sender:
    sender.setsockopt(level, discover, always)
    sender.connect((address, port))
    end = "nothing"
    for _ in range(40):
        try:
            sender.send(bytes(size))
        except OSError as error:
            end = errno.errorcode[error.errno]
            break
        time.sleep(0.05)
    print(end, sender.getsockopt(level, mtu))
