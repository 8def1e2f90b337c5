"""Who connects again and again until it is told to stop."""
import time

from connection import Connection
from loop import later
from payload import padded
from tcp import connect
from starter import finish, on, options, tell


def tcp():
    """
    Connections one after the other, one every `interval` milliseconds at most: each sends a message, waits
    for its echo, and closes.
    """
    interval = options.get("interval", 20) / 1000
    begun = 0
    is_stopping = False

    class Once(Connection):
        def begin(self, number):
            self.number = number
            self.message = padded(f"message {number - 1}", options.get("length", 0))
            self.received = bytearray()
            self.not_before = time.monotonic() + interval
            self.write(self.message)

        def heard(self, data):
            self.received += data
            if len(self.received) >= len(self.message):
                self.end()

        def failed(self, code):
            tell("error", code=code, number=self.number)

        def closed(self):
            if self.received != self.message:
                tell("wrong", number=self.number, length=len(self.received))
            later(max(0, self.not_before - time.monotonic()), begin_next)

    def begin_next():
        nonlocal begun
        if is_stopping:
            finish("done", begun=begun)
        begun += 1
        connect(Once).begin(begun)

    def stop():
        nonlocal is_stopping
        is_stopping = True

    on("stop", stop)
    begin_next()
