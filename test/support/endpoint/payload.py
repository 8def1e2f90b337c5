"""Payloads: a text, filled up with dots."""


def padded(text, size):
    """A payload of at least so many bytes that starts with the text."""
    return text.ljust(size, ".").encode()


def text_of(payload):
    """The text that a payload started with."""
    return payload.decode(errors="replace").rstrip(".")
