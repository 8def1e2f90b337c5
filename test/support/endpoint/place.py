"""Which family a socket is of, and where that is everywhere."""
import socket

from starter import options

address = options.get("address")
port = options.get("port")
is_ipv6 = options.get("family") == "IPv6" or ":" in (address or "")


def socket_of(kind, ipv6=is_ipv6):
    """
    One that waits for nothing. Not of both families, for which a peer's address of IPv4 would come as one
    of IPv6.
    """
    made = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, kind)
    if ipv6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.setblocking(False)
    return made


def everywhere(ipv6=is_ipv6):
    return "::" if ipv6 else "0.0.0.0"
