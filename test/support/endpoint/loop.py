"""The one thread waits here for sockets and for points in time."""
import os
import selectors
import time

selector = selectors.DefaultSelector()

# Of what is done at once, so many, that others have their turn.
A_TURN = 64

# Pairs of when and what; few.
_timers = []


def later(seconds, work):
    _timers.append((time.monotonic() + seconds, work))


def end_after(seconds):
    later(seconds, lambda: os._exit(1))


def run():
    """Each socket's data is what to call when it is ready, with what it is ready for."""
    while True:
        first = min(when for when, _ in _timers)
        for key, mask in selector.select(max(0, first - time.monotonic())):
            # What was called before may have closed it.
            if selector.get_map().get(key.fd) is key:
                key.data(mask)
        now = time.monotonic()
        for timer in [timer for timer in _timers if timer[0] <= now]:
            _timers.remove(timer)
            timer[1]()
