"""Who sends so many messages, one after the other's echo."""
from datagrams import Datagrams
from loop import A_TURN, later
from payload import padded, text_of
from place import address, port
from connection import Connection
from tcp import connect
from starter import code_of, finish, on, options, tell

_count = options.get("count", 1)
_length = options.get("length", 0)


def udp():
    """With `echo: false` it waits for no echo."""
    echo = options.get("echo", True)
    sent = 0

    def send():
        nonlocal sent
        for _ in range(1 if echo else A_TURN):
            if sent == _count:
                finish("done", sent=sent)
            sent += 1
            try:
                datagrams.send(padded(f"datagram {sent - 1}", _length), port, address)
            except OSError as error:
                tell("error", code=code_of(error))
                return
        if not echo:
            later(0, send)

    def heard(payload, sender, sender_port):
        text = text_of(payload)
        tell("echo", text=text, length=len(payload), sender=sender, senderPort=sender_port)
        send()

    datagrams = Datagrams(heard).bind(options.get("from"))
    send()


def tcp():
    """Closes at the end. "stop" resets the connection."""
    sent = expected = received = 0

    class Sender(Connection):
        def connected(self):
            tell("connected", localPort=self.socket.getsockname()[1])
            self.send()

        def send(self):
            nonlocal sent, expected, received
            if sent == _count:
                self.end()
                return
            message = padded(f"message {sent}", _length)
            sent += 1
            expected, received = len(message), 0
            self.write(message)

        def heard(self, data):
            nonlocal received
            received += len(data)
            if received >= expected:
                tell("echo", length=received)
                self.send()

        def closed(self):
            finish("done", sent=sent)

    on("stop", connect(Sender).reset)
