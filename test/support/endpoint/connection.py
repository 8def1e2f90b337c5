"""Connections of TCP."""
import os
import selectors
import socket
import struct

from loop import selector
from starter import code_of, tell

_LONGEST = 65536


class Connection:
    """
    Ends when its peer does. For subclasses: `connected`, `heard` with what comes, `failed` with an error's
    code, and `closed` in any case.
    """

    def __init__(self, ours, is_connected, error=0):
        """`error`: why it will never be connected, which is told of when somebody listens."""
        self.socket = ours
        self._is_connected = is_connected
        self._error = error
        self._outgoing = bytearray()
        self._is_ending = self._has_ended = self._has_heard_all = False
        wanted = selectors.EVENT_READ if is_connected else selectors.EVENT_WRITE
        selector.register(ours, wanted, lambda mask: self.attempt(self._go_on, mask))

    def connected(self):
        pass

    def heard(self, data):
        pass

    def failed(self, code):
        tell("error", code=code)

    def closed(self):
        pass

    def write(self, data):
        self._outgoing += data
        if self._is_connected:
            self.attempt(self._flush)

    def end(self):
        """Once all is sent that was written."""
        self._is_ending = True
        if self._is_connected:
            self.attempt(self._flush)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        if not self._is_closed:
            selector.unregister(self.socket)
            self.socket.close()
            self.closed()

    def attempt(self, work, *arguments):
        try:
            work(*arguments)
        except OSError as error:
            self.failed(code_of(error))
            self.close()

    @property
    def _is_closed(self):
        return self.socket.fileno() < 0

    def _go_on(self, mask):
        if not self._is_connected:
            error = self._error or self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self._is_connected = True
            self.connected()
        if mask & selectors.EVENT_READ and not self._is_closed:
            self._read()
        self._flush()

    def _read(self):
        try:
            data = self.socket.recv(_LONGEST)
        except BlockingIOError:
            return
        if data:
            self.heard(data)
            return
        self._has_heard_all = True
        self._is_ending = True

    def _flush(self):
        if self._is_closed:
            return
        try:
            while self._outgoing:
                del self._outgoing[: self.socket.send(self._outgoing)]
        except BlockingIOError:
            pass
        if self._is_ending and not self._outgoing and not self._has_ended:
            self._has_ended = True
            self.socket.shutdown(socket.SHUT_WR)
        if self._has_ended and self._has_heard_all:
            self.close()
            return
        self._watch()

    def _watch(self):
        reading = 0 if self._has_heard_all else selectors.EVENT_READ
        writing = selectors.EVENT_WRITE if self._outgoing else 0
        key = selector.get_key(self.socket)
        if key.events != reading | writing:
            selector.modify(self.socket, reading | writing, key.data)


class Lines(Connection):
    """For subclasses: `line` with each text."""

    _rest = b""

    def heard(self, data):
        *lines, self._rest = (self._rest + data).split(b"\n")
        for each in lines:
            self.line(each.decode())
