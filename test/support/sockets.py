# Sockets with options that those of Node have not: `sockets.py ROLE OPTIONS-AS-JSON`. They are of the
# `family` "IPv4" (default) or "IPv6", or of their peer's. Tells what it sees as lines of JSON. Bounded by itself: it ends after 20 seconds.
import errno
import json
import signal
import socket
import sys
import time

SO_NO_CHECK = 11
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
IP_MTU_DISCOVER = 10
IP_PMTUDISC_DONT = 0
IP_PMTUDISC_DO = 2
IP_RECVERR = 11
IP_MTU = 14
IPV6_MTU_DISCOVER = 23
IPV6_MTU = 24
IPV6_RECVERR = 25
UDP_NO_CHECK6_TX = 101
UDP_NO_CHECK6_RX = 102
UDP_SEGMENT = 103

role = sys.argv[1]
options = json.loads(sys.argv[2])
address, port = options.get("address", ""), options["port"]
IPV6 = ":" in address or options.get("family") == "IPv6"
FAMILY = socket.AF_INET6 if IPV6 else socket.AF_INET


def tell(**message):
    print(json.dumps(message), flush=True)


def socket_of(kind):
    """
    A socket whose packets have the mark and the priority that were asked for; `unsummed`: UDP
    without a checksum, which over IPv6 has to be asked for by a receiver too (RFC 6935).
    """
    made = socket.socket(FAMILY, kind)
    for option, name in (("mark", socket.SO_MARK), ("priority", socket.SO_PRIORITY)):
        if option in options:
            made.setsockopt(socket.SOL_SOCKET, name, options[option])
    if options.get("unsummed") and IPV6:
        made.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_TX, 1)
        made.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
    elif options.get("unsummed"):
        made.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    if "from" in options:
        made.bind(("", options["from"]))
    return made


def set_discovery(made, discovery):
    """The values of both families' options are the same."""
    option = (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) if IPV6 else (socket.IPPROTO_IP, IP_MTU_DISCOVER)
    made.setsockopt(*option, discovery)


def path_mtu(connected):
    option = (socket.IPPROTO_IPV6, IPV6_MTU) if IPV6 else (socket.IPPROTO_IP, IP_MTU)
    return connected.getsockopt(*option)


def numbered(number, length):
    return number.to_bytes(4, "big").ljust(length, b".")


def drain():
    """Tells number and length of each datagram, in order, `count` of them."""
    with socket_of(socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        receiver.bind(("", port))
        tell(event="ready")
        seen = []
        while len(seen) < options["count"]:
            datagram = receiver.recv(65535)
            seen.append([int.from_bytes(datagram[:4], "big"), len(datagram)])
        tell(event="drained", seen=seen)


def bursts():
    """
    Sends numbered datagrams of `size`, `each` of them and a last one of `rest` bytes a call; after
    each call one of `rest` bytes alone, which the kernel sends as it is.
    """
    with socket_of(socket.SOCK_DGRAM) as sender:
        sender.connect((address, port))
        sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
        sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, options["size"])
        number = 0
        for _ in range(options["bursts"]):
            lengths = [options["size"]] * options["each"] + [options["rest"]]
            datagrams = [numbered(number + index, length) for index, length in enumerate(lengths)]
            sender.send(b"".join(datagrams))
            sender.send(numbered(number + len(lengths), options["rest"]))
            number += len(lengths) + 1
        tell(event="sent", count=number)


def segment_of(connection):
    """How much of its data it puts in one packet."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def sink():
    """
    Reads one connection of TCP to its end. With a small `buffer` the sender waits for it, and
    then sends several packets in one go.
    """
    with socket_of(socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if "buffer" in options:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["buffer"])
        listening.bind(("", port))
        listening.listen()
        tell(event="ready")
        with listening.accept()[0] as connection:
            received = 0
            while part := connection.recv(1 << 20):
                received += len(part)
            tell(event="received", bytes=received, segment=segment_of(connection))


def pour():
    """
    Writes blocks of these lengths in turn to a connection, `times` over. Each goes on its way at
    once, and no packet holds parts of two.
    """
    with socket_of(socket.SOCK_STREAM) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect((address, port))
        for _ in range(options["times"]):
            for length in options["lengths"]:
                connection.sendall(bytes(length), socket.MSG_EOR)
        # Closed by the peer once it has read all of it.
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        sent = options["times"] * sum(options["lengths"])
        tell(event="sent", bytes=sent, segment=segment_of(connection))


def error_of(call):
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def discover(connected, lengths):
    """
    Sends the first length, waits until the socket hears that it was too long, then sends each of
    the others once, and tells what became of them.
    """
    first, rest = lengths[0], lengths[1:]
    before = path_mtu(connected)
    connected.send(numbered(0, first))
    while not (pending := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)):
        time.sleep(0.002)
    after = path_mtu(connected)
    errors = [error_of(lambda: connected.send(numbered(1 + index, length)))
              for index, length in enumerate(rest)]
    tell(event="discovered", before=before, after=after,
         pending=errno.errorcode[pending], errors=errors)


def send_all(discovery):
    with socket_of(socket.SOCK_DGRAM) as sender:
        set_discovery(sender, discovery)
        for number, length in enumerate(options["lengths"]):
            sender.sendto(numbered(number, length), (address, port))
        tell(event="sent", count=len(options["lengths"]))


def fragmentable():
    """Sends datagrams of these lengths that any router may cut up."""
    send_all(IP_PMTUDISC_DONT)


def unfragmented():
    """Sends datagrams of these lengths that nobody may cut up."""
    send_all(IP_PMTUDISC_DO)


def probe():
    """Finds out about the path to a peer."""
    with socket_of(socket.SOCK_DGRAM) as sender:
        set_discovery(sender, IP_PMTUDISC_DO)
        sender.connect((address, port))
        discover(sender, options["lengths"])


def probe_back():
    """Finds out about the path to whoever sends it something first."""
    with socket_of(socket.SOCK_DGRAM) as sender:
        set_discovery(sender, IP_PMTUDISC_DO)
        sender.bind(("", port))
        tell(event="ready")
        _, peer = sender.recvfrom(65535)
        sender.connect(peer)
        discover(sender, options["lengths"])


def greet():
    """Sends something and tells number and length of each of the `count` answers."""
    with socket_of(socket.SOCK_DGRAM) as sender:
        sender.connect((address, port))
        sender.send(b"hello")
        seen = []
        while len(seen) < options["count"]:
            datagram = sender.recv(65535)
            seen.append([int.from_bytes(datagram[:4], "big"), len(datagram)])
        tell(event="drained", seen=seen)


def refused():
    """Sends, and tells the error that comes back. `ttl`: how many hops it may take."""
    with socket_of(socket.SOCK_DGRAM) as sender:
        if "ttl" in options:
            hops = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if IPV6 else (socket.IPPROTO_IP, socket.IP_TTL)
            sender.setsockopt(*hops, options["ttl"])
            # Without it the kernel takes "time exceeded" for a passing trouble.
            errors = (socket.IPPROTO_IPV6, IPV6_RECVERR) if IPV6 else (socket.IPPROTO_IP, IP_RECVERR)
            sender.setsockopt(*errors, 1)
        sender.connect((address, port))
        sender.send(numbered(0, options["length"]))
        tell(event="refused", error=error_of(lambda: sender.recv(100)))


signal.alarm(20)
{
    "drain": drain,
    "bursts": bursts,
    "sink": sink,
    "pour": pour,
    "fragmentable": fragmentable,
    "unfragmented": unfragmented,
    "probe": probe,
    "probeBack": probe_back,
    "greet": greet,
    "refused": refused,
}[role]()
