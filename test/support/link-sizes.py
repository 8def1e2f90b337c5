# Sets how long super-packets of a device may be (BIG TCP), which ip(8) of Debian 12 knows for IPv6
# alone: `link-sizes.py DEVICE BYTES`.
import socket
import struct
import sys

RTM_NEWLINK = 16
NLM_F_REQUEST = 1
NLM_F_ACK = 4
NLMSG_ERROR = 2
IFLA_GSO_MAX_SIZE = 41
IFLA_GRO_MAX_SIZE = 58
IFLA_GSO_IPV4_MAX_SIZE = 63
IFLA_GRO_IPV4_MAX_SIZE = 64

device, size = sys.argv[1], int(sys.argv[2])
# struct ifinfomsg
body = struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, socket.if_nametoindex(device), 0, 0)
for attribute in (
    IFLA_GSO_MAX_SIZE,
    IFLA_GRO_MAX_SIZE,
    IFLA_GSO_IPV4_MAX_SIZE,
    IFLA_GRO_IPV4_MAX_SIZE,
):
    body += struct.pack("=HHI", 8, attribute, size)
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
    flags = NLM_F_REQUEST | NLM_F_ACK
    netlink.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, flags, 1, 0) + body)
    answer = netlink.recv(65536)
_, kind, _, _, _, error = struct.unpack("=IHHIIi", answer[:20])
if kind != NLMSG_ERROR or error:
    sys.exit(f"{device}: answer {kind}, error {error}")
