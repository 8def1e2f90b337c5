"""Who begins many flows."""
import json

from datagrams import Datagrams
from place import address, port
from starter import on, options, tell


def udp():
    """
    Flows of one datagram and its answer, each from a port of its own: so many as it is told to begin, a few
    at a time.
    """
    window = options.get("window", 8)
    first = following = wanted = options["from"]
    open_flows = 0

    def begin():
        nonlocal following, open_flows
        while open_flows < window and following < wanted:
            open_flows += 1
            flow(following)
            following += 1
        if open_flows == 0:
            tell("begun", count=following - first)

    def flow(own):
        def heard(payload, _, __):
            nonlocal open_flows
            answer = json.loads(payload)
            if answer["text"] != f"from {own}" or answer["senderPort"] != own:
                tell("mistaken", own=own, answer=answer)
            datagrams.close()
            open_flows -= 1
            begin()

        datagrams = Datagrams(heard).bind(own)
        datagrams.send(f"from {own}".encode(), port, address)

    def say(more):
        nonlocal wanted
        wanted += more
        begin()

    on("say", say)
