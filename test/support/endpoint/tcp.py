"""Both ends of TCP: who listens, and who connects."""
import errno
import selectors
import socket

from loop import A_TURN, selector
from place import address, everywhere, is_ipv6, port, socket_of
from starter import options

_BACKLOG = 511


def listen(accepted, on_port=port, on_address=address, ipv6=is_ipv6):
    """`accepted`: told of a connection, its peer and the peer's port."""
    ours = socket_of(socket.SOCK_STREAM, ipv6)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ours.bind((on_address or everywhere(ipv6), on_port))
    ours.listen(_BACKLOG)

    def ready(_):
        for _ in range(A_TURN):
            try:
                connection, peer = ours.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            connection.setblocking(False)
            accepted(without_delay(connection), peer[0], peer[1])

    selector.register(ours, selectors.EVENT_READ, ready)


def connect(kind):
    """A connection of this kind to the address and port of the options."""
    ours = without_delay(socket_of(socket.SOCK_STREAM))
    if options.get("from"):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ours.bind((everywhere(), options["from"]))
    error = ours.connect_ex((address, port))
    return kind(ours, False, 0 if error == errno.EINPROGRESS else error)


def without_delay(ours):
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours
