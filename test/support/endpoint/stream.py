"""Who sends until it is told to stop."""
from datagrams import Datagrams
from loop import later
from payload import padded, text_of
from place import address, port
from starter import finish, on, options, tell


def udp():
    """
    Sends numbered datagrams, `window` every `interval` milliseconds at most. With `echo` (default) no more
    than a window is on the way at any time, and it ends when all have come back. So no queue runs over, and
    whatever is missing was lost.
    """
    window = options.get("window", 16)
    interval = options.get("interval", 1) / 1000
    echo = options.get("echo", True)
    length = options.get("length", 0)
    missing = set()
    sent = unexpected = 0
    is_stopping = False

    def send():
        nonlocal sent
        if is_stopping:
            return
        for _ in range(window - len(missing)):
            if echo:
                missing.add(sent)
            datagrams.send(padded(f"datagram {sent}", length), port, address)
            sent += 1
        later(interval, send)

    def end_if_all_came_back():
        if is_stopping and not missing:
            finish("done", sent=sent, unexpected=unexpected)

    def heard(payload, _, sender_port):
        nonlocal unexpected
        number = int(text_of(payload).split(" ")[1])
        if sender_port == port and number in missing:
            missing.remove(number)
        else:
            unexpected += 1
        if number == 0:
            tell("first")
        end_if_all_came_back()

    def stop():
        nonlocal is_stopping
        is_stopping = True
        tell("stopping", sent=sent, missing=sorted(missing))
        end_if_all_came_back()

    on("stop", stop)
    datagrams = Datagrams(heard).bind(options.get("from"))
    later(interval, send)
