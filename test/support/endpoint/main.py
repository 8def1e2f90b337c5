# A program for the hosts of a Lab: `main.py ROLE OPTIONS-AS-JSON`. Tells what it sees as lines of JSON on
# stdout, and hears on stdin what the test wants (starter.py). Bounded by itself: it ends after `seconds` (30
# by default), and when whoever started it has gone. In Python, which starts in a fraction of the time that
# Node takes: a test has dozens of them.
import importlib
import sys

import loop
import starter

# Where each role is: a module and a function there, which sets it up.
ROLES = {
    "udpEcho": ("echo", "udp"),
    "tcpEcho": ("echo", "tcp"),
    "udpSend": ("send", "udp"),
    "tcpSend": ("send", "tcp"),
    "udpStream": ("stream", "udp"),
    "tcpChurn": ("churn", "tcp"),
    "listenOnly": ("listen", "on_ports"),
    "udpServe": ("serve", "udp"),
    "tcpServe": ("serve", "tcp"),
    "udpTalk": ("talk", "udp"),
    "tcpTalk": ("talk", "tcp"),
    "udpFlows": ("flows", "udp"),
    "affinityServe": ("affinity", "serve"),
}

module, function = ROLES[sys.argv[1]]
# Only what this role needs: to compile the others would take longer than to run it.
getattr(importlib.import_module(module), function)()
starter.listen()
loop.run()
