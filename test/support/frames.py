# Talk whose every byte is compared, over IPv4 and IPv6, and what a device shows of it: `frames.py
# ROLE OPTIONS-AS-JSON`. Tells what it sees as lines of JSON. Bounded by itself: it ends after 100
# seconds.
import errno
import functools
import json
import random
import select
import signal
import socket
import struct
import sys
import threading

SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_BINDTODEVICE = 25
IP_OPTIONS = 4
IP_MTU = 14
IPV6_MTU = 24
IP_MTU_DISCOVER = 10
IPV6_MTU_DISCOVER = 23
PMTUDISC_DO = 2
TCP_MAXSEG = 2
BUFFER = 16 << 20
LONGEST = 1 << 20
LONGEST_DATAGRAM = 65507
LENGTH_FIELD = 8
# Far fewer packets than any queue on the way takes (1000), however late a busy machine looks at it.
ROW = 250

role = sys.argv[1]
options = json.loads(sys.argv[2])


def tell(**message):
    print(json.dumps(message), flush=True)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def content(length, seed):
    return random.Random(seed).randbytes(length)


def place_of(asked):
    """Where to send: with the device's index for an address that is good on one link alone."""
    if ":" not in asked["address"]:
        return asked["address"], asked["port"]
    scope = socket.if_nametoindex(asked["device"]) if "device" in asked else 0
    return asked["address"], asked["port"], 0, scope


def made(asked, kind):
    ours = socket.socket(family_of(asked["address"]), kind)
    ours.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    ours.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
    if "options" in asked:
        ours.setsockopt(socket.IPPROTO_IP, IP_OPTIONS, bytes.fromhex(asked["options"]))
    if "device" in asked:
        ours.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, asked["device"].encode())
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    return ours


def ask_datagrams(asked):
    """One datagram after the other, each once the answer to the one before has come."""
    with made(asked, socket.SOCK_DGRAM) as ours:
        same = 0
        for seed, length in enumerate(asked["lengths"]):
            said = content(length, seed)
            ours.sendto(said, place_of(asked))
            same += ours.recv(LONGEST) == said
        return {"same": same == len(asked["lengths"])}


def ask_burst(asked):
    """`count` datagrams of one length, each another one, in rows, each row before its answers."""
    with made(asked, socket.SOCK_DGRAM) as ours:
        ours.connect(place_of(asked))
        said = [content(asked["length"], seed) for seed in range(asked["count"])]
        heard = set()
        for first in range(0, len(said), ROW):
            row = said[first : first + ROW]
            for each in row:
                ours.send(each)
            heard.update(ours.recv(LONGEST) for _ in row)
        return {"same": heard == set(said)}


def read_to_end(connection):
    parts = []
    while part := connection.recv(LONGEST):
        parts.append(part)
    return b"".join(parts)


def ask_stream(asked):
    """So many bytes at once, behind their number; the same ones come back."""
    with made(asked, socket.SOCK_STREAM) as ours:
        ours.connect(place_of(asked))
        said = content(asked["bytes"], asked["bytes"])
        ours.sendall(len(said).to_bytes(LENGTH_FIELD, "big") + said)
        ours.shutdown(socket.SHUT_WR)
        # Both ends have closed by then: nothing of this connection comes later.
        heard = read_to_end(ours)
        return {
            "same": heard == said,
            "segment": ours.getsockopt(socket.IPPROTO_TCP, TCP_MAXSEG),
        }


def ask():
    """Says something to each of `asked`, which has to say the same, and tells whether it did."""
    for asked in options["asked"]:
        one_by_one = ask_burst if "count" in asked else ask_datagrams
        how = ask_stream if asked["transport"] == "tcp" else one_by_one
        tell(event="answered", **how(asked))


def listening(port, kind):
    """For both families."""
    ours = socket.socket(socket.AF_INET6, kind)
    ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ours.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    ours.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER)
    ours.bind(("::", port))
    return ours


def repeat(connection):
    """Says all of it at once, so that there are super-packets."""
    with connection:
        length = int.from_bytes(connection.recv(LENGTH_FIELD, socket.MSG_WAITALL), "big")
        connection.sendall(connection.recv(length, socket.MSG_WAITALL))


def repeat_streams(ours):
    ours.listen()
    while True:
        connection, _ = ours.accept()
        threading.Thread(target=repeat, args=(connection,), daemon=True).start()


def repeat_datagrams(ours):
    while True:
        said, peer = ours.recvfrom(LONGEST)
        ours.sendto(said, peer)


def join(ours, group, device):
    index = socket.if_nametoindex(device)
    if ":" in group:
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
        ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        return
    # struct ip_mreqn
    request = socket.inet_aton(group) + bytes(4) + struct.pack("@i", index)
    ours.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


def echo():
    """Answers all that comes to `ports` with the same, as a member of `groups` of a `device` too."""
    for port in options["ports"]:
        datagrams = listening(port, socket.SOCK_DGRAM)
        for group in options.get("groups", []):
            join(datagrams, group, options["device"])
        streams = listening(port, socket.SOCK_STREAM)
        threading.Thread(target=repeat_datagrams, args=(datagrams,), daemon=True).start()
        threading.Thread(target=repeat_streams, args=(streams,), daemon=True).start()
    tell(event="ready")
    signal.pause()


def discovered(asked):
    is_ipv4 = ":" not in asked["address"]
    level = socket.IPPROTO_IP if is_ipv4 else socket.IPPROTO_IPV6
    headers = 28 if is_ipv4 else 48
    with made(asked, socket.SOCK_DGRAM) as ours:
        ours.setsockopt(level, IP_MTU_DISCOVER if is_ipv4 else IPV6_MTU_DISCOVER, PMTUDISC_DO)
        ours.connect(place_of(asked))
        path_mtu = functools.partial(ours.getsockopt, level, IP_MTU if is_ipv4 else IPV6_MTU)
        before = path_mtu()
        ours.send(bytes(min(before - headers, LONGEST_DATAGRAM)))
        waiting = select.poll()
        waiting.register(ours, 0)
        waiting.poll()
        error = ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        after = path_mtu()
        said = content(after - headers, after)
        ours.send(said)
        same = ours.recv(LONGEST) == said
        return {"before": before, "after": after, "error": errno.errorcode[error], "same": same}


def discover():
    """
    To each of `asked` sends what is as long as its path is said to allow and nobody may cut up,
    waits until the socket hears that it was too long, and says the longest that fits then.
    """
    for asked in options["asked"]:
        tell(event="discovered", **discovered(asked))


def hear():
    """Tells the bytes of each of the next `count` datagrams that come to `port`, in hex."""
    with listening(options["port"], socket.SOCK_DGRAM) as ours:
        tell(event="ready")
        tell(event="heard", datagrams=[ours.recv(LONGEST).hex() for _ in range(options["count"])])


signal.alarm(100)
{"ask": ask, "discover": discover, "echo": echo, "hear": hear}[role]()
