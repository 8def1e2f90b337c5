"""The test that has started this program: what it asks for, what it says, and what it is told."""
import errno
import json
import os
import selectors
import sys

import loop

options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}

_LONGEST = 65536
_rest = b""
_handlers = {}


def on(event, handler):
    """
    "stop": the test says the line "stop". "say": it says a line {"say": what}, and the handler gets it.
    "close": it says any other line.
    """
    _handlers[event] = handler


def tell(event, **what):
    """What is None is left out."""
    kept = {key: value for key, value in what.items() if value is not None}
    sys.stdout.write(f"{json.dumps({'event': event, **kept})}\n")
    sys.stdout.flush()


def finish(event, **what):
    tell(event, **what)
    os._exit(0)


def code_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def listen():
    loop.end_after(options.get("seconds", 30))
    loop.selector.register(0, selectors.EVENT_READ, _hear)


def _hear(_):
    global _rest
    data = os.read(0, _LONGEST)
    if not data:
        os._exit(1)
    *lines, _rest = (_rest + data).split(b"\n")
    for line in lines:
        _follow(line)


def _follow(line):
    if line == b"stop":
        _call("stop")
        return
    what = json.loads(line)
    if "say" in what:
        _call("say", what["say"])
    else:
        _call("close")


def _call(event, *arguments):
    if event in _handlers:
        _handlers[event](*arguments)
