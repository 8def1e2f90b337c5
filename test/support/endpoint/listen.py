"""Who only listens."""
import tcp as ends
from connection import Connection
from datagrams import Datagrams
from place import address
from starter import options, tell


class _Silent(Connection):
    def failed(self, code):
        pass


def on_ports():
    """On ports of `tcp` and of `udp`; tells of whatever comes there."""
    for port in options.get("tcp", []):
        _tcp(port)
    for port in options.get("udp", []):
        heard = lambda _, sender, sender_port, port=port: tell("heard", port=port, senderPort=sender_port)
        Datagrams(heard).bind(port, address)
    tell("ready")


def _tcp(port):
    def accepted(connection, _, sender_port):
        tell("heard", port=port, senderPort=sender_port)
        _Silent(connection, True)

    ends.listen(accepted, port)
