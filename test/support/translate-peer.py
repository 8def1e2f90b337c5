# Connections of TCP, as many as are wanted at a time: `translate-peer.py OPTIONS-AS-JSON`. Serves
# the ports of `listen` in both families: tells of every byte that it hears, and answers with its
# port before it. Does what lines of JSON on stdin ask for: {"open": ID, "address", "port"} and, as
# needed, "from", and "say" for what goes out at once (with "fast" in the SYN, if the kernel lets
# it); {"say": ID, "text"}, {"tell": PORT, "text"} for the one who came last to a port, {"close":
# ID}, and {"asked": NUMBER} for the same number back. Tells what becomes of it as lines of JSON.
# Bounded by itself: it ends with its starter, and after 50 seconds.
import errno
import json
import os
import resource
import selectors
import signal
import socket
import sys

options = json.loads(sys.argv[1])
selector = selectors.DefaultSelector()
accepted = {}
opened = {}


def tell(**message):
    print(json.dumps(message), flush=True)


def over(connection, told, error):
    selector.unregister(connection)
    connection.close()
    tell(event="over", error=errno.errorcode[error] if error else None, **told)


def is_over(connection):
    return connection.fileno() < 0


def send(connection, told, text):
    """What is said is short: the buffer of a connection has room for it."""
    if is_over(connection):
        return
    try:
        connection.sendall(text.encode())
    except OSError as error:
        # Whoever hears of an error takes it away: nobody who reads hears of it.
        over(connection, told, error.errno)


def shut(connection, told):
    if is_over(connection):
        return
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        over(connection, told, error.errno)


def read(connection, told, heard):
    try:
        data = connection.recv(1 << 16)
    except BlockingIOError:
        return
    except OSError as error:
        over(connection, told, error.errno)
        return
    if data:
        heard(data.decode("latin1"))
    else:
        over(connection, told, None)


def serve(listening, port):
    connection, sender = listening.accept()
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    told = {"port": port, "sender": sender[0], "senderPort": sender[1]}
    accepted[port] = (connection, told)
    tell(event="accepted", **told)

    def heard(text):
        tell(event="heard", text=text, **told)
        send(connection, told, f"{port}:{text}")

    selector.register(connection, selectors.EVENT_READ, lambda: read(connection, told, heard))


def listen(port, family, address):
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listening.bind((address, port))
    listening.listen(1024)
    listening.setblocking(False)
    selector.register(listening, selectors.EVENT_READ, lambda: serve(listening, port))


def connected(connection, told, rest):
    selector.unregister(connection)
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        connection.close()
        tell(event="failed", error=errno.errorcode[error], **told)
        return
    tell(event="connected", localPort=connection.getsockname()[1], **told)
    selector.register(connection, selectors.EVENT_READ, lambda: read(
        connection, told, lambda text: tell(event="answer", text=text, **told)))
    if rest:
        send(connection, told, rest)


def connect(connection, address, say, is_fast):
    """Gives what is left to say."""
    try:
        if is_fast:
            connection.sendto(say.encode(), socket.MSG_FASTOPEN, address)
            return ""
        connection.connect(address)
    except BlockingIOError:
        pass
    return say


def open_connection(told):
    address, own = told["address"], {"id": told["open"]}
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "from" in told:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind(("", told["from"]))
    opened[told["open"]] = (connection, own)
    peer, say = (address, told["port"]), told.get("say", "")
    rest = connect(connection, peer, say, told.get("fast", False))
    tell(event="opening", localPort=connection.getsockname()[1], **own)
    selector.register(connection, selectors.EVENT_WRITE, lambda: connected(connection, own, rest))


def obey(told):
    if "open" in told:
        open_connection(told)
    elif "say" in told:
        send(*opened[told["say"]], told["text"])
    elif "asked" in told:
        tell(event="asked", number=told["asked"])
    elif "tell" in told:
        send(*accepted[told["tell"]], told["text"])
    elif "close" in told:
        shut(*opened[told["close"]])


unread = b""


def lines_told():
    """All whole lines that are there: those that stdin itself would keep are not waited for."""
    global unread
    part = os.read(sys.stdin.fileno(), 1 << 16)
    if not part:
        sys.exit()
    *lines, unread = (unread + part).split(b"\n")
    return lines


def listen_to_starter():
    for line in lines_told():
        obey(json.loads(line))


signal.alarm(50)
# Packets are taken care of where they are sent from, and a table has places for each CPU.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
for port in options.get("listen", []):
    listen(port, socket.AF_INET, "0.0.0.0")
    listen(port, socket.AF_INET6, "::")
selector.register(sys.stdin, selectors.EVENT_READ, listen_to_starter)
tell(event="ready")
while True:
    for key, _ in selector.select():
        # Another one may have closed it.
        if key.fd in selector.get_map():
            key.data()
