"""Who sends back what it gets; with `quiet` without a word to the test."""
import tcp as ends
from connection import Connection
from datagrams import Datagrams
from payload import text_of
from place import address, port
from starter import options, tell

_is_quiet = options.get("quiet", False)


def udp():
    """Tells of every datagram and sends it back; with `silent` it does not answer."""

    def heard(payload, sender, sender_port):
        if not _is_quiet:
            text = text_of(payload)
            tell("datagram", text=text, length=len(payload), sender=sender, senderPort=sender_port)
        if not options.get("silent"):
            datagrams.send(payload, sender_port, sender)

    datagrams = Datagrams(heard).bind(port, address)
    tell("ready")


def tcp():
    """Answers every connection with what it sends."""

    class Echo(Connection):
        def heard(self, data):
            self.write(data)

    def accepted(connection, sender, sender_port):
        if not _is_quiet:
            tell("connection", sender=sender, senderPort=sender_port)
        Echo(connection, True)

    ends.listen(accepted)
    tell("ready")
