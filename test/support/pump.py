# Joins two hosts by a device of this program in each, and carries what the one sends to the other:
# `pump.py KIND DEVICE NETNS NETNS`, where KIND is "tun" (packets without Ethernet header), "offload"
# (the same, but super-packets and unfinished checksums go through as they are) or "scattered"
# (Ethernet, and what arrives has its headers outside the linear part). Says when they are there.
import ctypes
import errno
import fcntl
import json
import os
import select
import struct
import sys

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
IFF_TUN = 0x0001
IFF_TAP = 0x0002
IFF_NAPI = 0x0010
IFF_NAPI_FRAGS = 0x0020
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
# Checksums; TCP over IPv4 and IPv6, with ECN; UDP over IPv4 and IPv6.
OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08 | 0x20 | 0x40
LONGEST = 1 << 17
ETHERNET = 14

KINDS = {
    "tun": IFF_TUN,
    "offload": IFF_TUN | IFF_VNET_HDR,
    "scattered": IFF_TAP | IFF_NAPI | IFF_NAPI_FRAGS,
}

kind, device, *namespaces = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)


def enter(netns):
    with open(f"/run/netns/{netns}", "rb") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {netns}")


def made(netns):
    enter(netns)
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = KINDS[kind] | IFF_NO_PI
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", device.encode(), flags))
    if kind == "offload":
        fcntl.ioctl(end, TUNSETOFFLOAD, OFFLOADS)
    return end


def parts_of(packet):
    """What goes into one piece of memory each. The first is the linear part."""
    if kind != "scattered":
        return [packet]
    cuts = [0, ETHERNET, ETHERNET + 7, ETHERNET + 27, len(packet)]
    return [packet[start:end] for start, end in zip(cuts, cuts[1:]) if packet[start:end]]


def carry(one, other):
    """All that is there."""
    while True:
        try:
            os.writev(other, parts_of(os.read(one, LONGEST)))
        except BlockingIOError:
            return
        except OSError as error:
            # A device that is not up yet takes nothing.
            if error.errno != errno.EIO:
                raise


left, right = [made(netns) for netns in namespaces]
print(json.dumps({"event": "ready"}), flush=True)
waiting = select.poll()
for end in (left, right):
    waiting.register(end, select.POLLIN)
# Its starter has gone when stdin ends.
waiting.register(sys.stdin, select.POLLIN)
while True:
    for descriptor, _ in waiting.poll():
        if descriptor == sys.stdin.fileno():
            sys.exit()
        carry(descriptor, right if descriptor == left else left)
