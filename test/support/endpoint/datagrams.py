"""Sockets of UDP."""
import collections
import selectors
import socket

from loop import A_TURN, selector
from place import everywhere, is_ipv6, socket_of

_LONGEST = 65536


class Datagrams:
    """`heard`: told of a datagram, its sender and the sender's port."""

    def __init__(self, heard, ipv6=is_ipv6):
        self.socket = socket_of(socket.SOCK_DGRAM, ipv6)
        self._everywhere = everywhere(ipv6)
        self._heard = heard
        self._waiting = collections.deque()

    def bind(self, port, address=None):
        self.socket.bind((address or self._everywhere, port or 0))
        selector.register(self.socket, selectors.EVENT_READ, self._ready)
        return self

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def send(self, payload, port, address):
        """Throws what the kernel says at once; waits in order while its buffer is full."""
        if not self._waiting:
            try:
                self.socket.sendto(payload, (address, port))
                return
            except BlockingIOError:
                pass
        self._waiting.append((payload, (address, port)))
        self._watch()

    def close(self):
        selector.unregister(self.socket)
        self.socket.close()

    def _watch(self):
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._waiting else 0)
        selector.modify(self.socket, wanted, self._ready)

    def _ready(self, mask):
        if mask & selectors.EVENT_WRITE:
            self._send_waiting()
        if mask & selectors.EVENT_READ:
            self._read()

    def _send_waiting(self):
        try:
            while self._waiting:
                self.socket.sendto(*self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            pass
        self._watch()

    def _read(self):
        for _ in range(A_TURN):
            try:
                payload, sender = self.socket.recvfrom(_LONGEST)
            except BlockingIOError:
                return
            self._heard(payload, sender[0], sender[1])
            # Whoever heard it may have closed it.
            if self.socket.fileno() < 0:
                return
