"""Who answers each message with what it saw of it."""
import json

import tcp as ends
from connection import Lines
from datagrams import Datagrams
from place import port
from starter import on, options, tell

# A server may have a name, which its answers say.
_named = {"name": options["name"]} if "name" in options else {}


def tcp():
    """A line in, a line out. What it is to say by itself goes to who came last."""

    class Server(Lines):
        def line(self, text):
            seen = {"text": text, "sender": self.sender, "senderPort": self.sender_port}
            tell("said", **seen)
            self.say(seen)

        def say(self, what):
            self.write(f"{json.dumps({**what, **_named})}\n".encode())

    def accepted(connection, sender, sender_port):
        tell("connection", sender=sender, senderPort=sender_port)
        server = Server(connection, True)
        server.sender, server.sender_port = sender, sender_port
        on("say", lambda said: server.say({"text": said}))

    ends.listen(accepted)
    tell("ready")


def udp():
    """A datagram in, a datagram out."""

    def heard(payload, sender, sender_port):
        seen = {"text": payload.decode(errors="replace"), "sender": sender, "senderPort": sender_port}
        tell("said", **seen)
        datagrams.send(json.dumps({**seen, **_named}).encode(), sender_port, sender)

    datagrams = Datagrams(heard).bind(port)
    tell("ready")
