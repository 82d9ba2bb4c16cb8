"""Asks the kernel which socket has a connection: sock_diag(7), one question and one answer, however many there are."""

import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBBI")
ANY_INTERFACE_NO_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
LOOPBACK = socket.inet_aton("127.0.0.1") + bytes(12)
INODE_AT = HEADER.size + 4 + 48 + 16
"""After the header: four bytes, the ports and addresses, and four numbers."""
ALL_STATES = 0xFFFFFFFF


def inode_of(local_port: int, remote_port: int) -> int | None:
    """The inode of the socket on 127.0.0.1 that is connected from one port to the other, None when it is gone."""
    ports = struct.pack("!HH", local_port, remote_port)
    body = REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ALL_STATES)
    body += ports + LOOPBACK + LOOPBACK + ANY_INTERFACE_NO_COOKIE
    head = HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(head + body)
        answer = kernel.recv(4096)
    kind = HEADER.unpack_from(answer)[1]
    if kind != SOCK_DIAG_BY_FAMILY:
        return None
    return int(struct.unpack_from("=I", answer, INODE_AT)[0]) or None
