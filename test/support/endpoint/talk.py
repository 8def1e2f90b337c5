"""Who says what the test says, and tells of the answers."""
import json

from connection import Lines
from datagrams import Datagrams
from place import address, port
from tcp import connect
from starter import finish, on, options, tell


def tcp():
    class Talk(Lines):
        def connected(self):
            tell("ready", localPort=self.socket.getsockname()[1])

        def line(self, text):
            tell("answer", **json.loads(text))

        def closed(self):
            finish("closed")

    talk = connect(Talk)
    on("say", lambda said: talk.write(f"{said}\n".encode()))
    on("close", talk.end)


def udp():
    def heard(payload, _, __):
        tell("answer", **json.loads(payload))

    datagrams = Datagrams(heard).bind(options.get("from"))
    on("say", lambda said: datagrams.send(said.encode(), port, address))
    on("close", lambda: finish("closed"))
    tell("ready", localPort=datagrams.port)
