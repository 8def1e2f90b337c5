"""Who answers with its name and with whom it sees, over each family apart."""
import json

import tcp as ends
from connection import Connection
from datagrams import Datagrams
from starter import options, tell


def serve():
    """On ports of `tcp`, one answer a connection, and of `udp`."""
    for ipv6 in (False, True):
        for port in options.get("tcp", []):
            ends.listen(_accepted, port, None, ipv6)
        for port in options.get("udp", []):
            _udp(port, ipv6)
    tell("ready")


def _answer(sender, sender_port):
    named = {"name": options["name"], "sender": sender, "senderPort": sender_port}
    return json.dumps(named).encode()


class _Server(Connection):
    is_answered = False

    def heard(self, data):
        if not self.is_answered:
            self.is_answered = True
            self.write(self.answer)
            self.end()

    def failed(self, code):
        pass


def _accepted(connection, sender, sender_port):
    _Server(connection, True).answer = _answer(sender, sender_port)


def _udp(port, ipv6):
    def heard(_, sender, sender_port):
        datagrams.send(_answer(sender, sender_port), sender_port, sender)

    datagrams = Datagrams(heard, ipv6).bind(port)
