# A wire with somebody on it: `translate-relay.py`, between the devices "near" and "far" of its
# namespace. It passes all frames on as they came, super-packets and unfinished checksums too, tells
# of those of TCP as lines of JSON, and does to some of them what the lines of JSON on stdin ask
# for: {"rules": [RULE]}, {"release": true}, {"repeat": KIND, "from": END} or {"inject": END,
# "frames": [HEX]}, where END is "near" or "far". A RULE is {"from", "kind", "fate": "drop", "hold"
# or {FIELD: VALUE}} and, as needed, "family" and "times". Bounded by itself: it ends with
# its starter, and after two minutes.
import json
import os
import select
import signal
import socket
import struct
import sys

SOL_PACKET = 263
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3

VNET_HEADER = 10
NEEDS_CHECKSUM = 1
ETHERNET = 14
TCP = 6
FIN, SYN, RST, ACK = 1, 2, 4, 16
LONGEST = 1 << 17


def tell(**message):
    print(json.dumps(message), flush=True)


class Segment:
    """Of TCP, in a frame without tags and options of IP, behind what the kernel says of it."""

    def __init__(self, data):
        self.data = bytearray(data)
        kind, = struct.unpack_from("!H", data, VNET_HEADER + 12)
        ip = VNET_HEADER + ETHERNET
        is_ipv6 = kind == 0x86DD
        self.family = "IPv6" if is_ipv6 else "IPv4"
        self.is_tcp = (kind == 0x0800 and data[ip] == 0x45 and data[ip + 9] == TCP) or (
            is_ipv6 and data[ip + 6] == TCP)
        if not self.is_tcp:
            return
        size, addresses, length = (16, ip + 8, 40) if is_ipv6 else (4, ip + 12, 20)
        total, = struct.unpack_from("!H", data, ip + (4 if is_ipv6 else 2))
        self.addresses = data[addresses:addresses + 2 * size]
        self.start = ip + length
        self.end = self.start + total - (0 if is_ipv6 else length)
        (self.sport, self.dport, self.seq, self.ack, offset, self.flags, self.window, _,
         self.urgent) = struct.unpack_from("!HHIIBBHHH", data, self.start)
        self.content = self.start + (offset >> 4 << 2)

    def kind(self):
        if self.flags & RST:
            return "reset"
        if self.flags & SYN:
            return "synAck" if self.flags & ACK else "syn"
        if self.flags & FIN:
            return "fin"
        return "data" if self.end > self.content else "ack"

    def set(self, fields):
        for name, value in fields.items():
            setattr(self, name, value)
        struct.pack_into("!II", self.data, self.start + 4, self.seq, self.ack)
        self.data[self.start + 13] = self.flags
        struct.pack_into("!H", self.data, self.start + 18, self.urgent)
        # The field holds no more than a seed where somebody finishes the sum behind us.
        if not self.data[0] & NEEDS_CHECKSUM:
            self.put_checksum()

    def put_checksum(self):
        struct.pack_into("!H", self.data, self.start + 16, 0)
        content = bytes(self.data[self.start:self.end])
        summed = self.addresses + struct.pack("!HH", TCP, len(content)) + content
        summed += bytes(len(summed) % 2)
        total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", self.data, self.start + 16, ~total & 0xFFFF)

    def describe(self):
        return {
            "family": self.family, "kind": self.kind(),
            "sport": self.sport, "dport": self.dport, "seq": self.seq, "ack": self.ack,
            "flags": self.flags, "window": self.window, "urgent": self.urgent,
            "options": self.data[self.start + 20:self.content].hex(),
            "text": self.data[self.content:min(self.end, self.content + 100)].decode("latin1"),
        }


def opened(device):
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    made.bind((device, ETH_P_ALL))
    made.setblocking(False)
    return made


signal.alarm(120)
ends = {"near": opened("near"), "far": opened("far")}
opposite = {"near": "far", "far": "near"}
rules = []
held = []
# The last frame of each kind that has passed, as it went on.
passed = {}


def is_for(rule, side, segment):
    if rule["from"] != side or rule["kind"] != segment.kind() or rule.get("times") == 0:
        return False
    if rule.get("family", segment.family) != segment.family:
        return False
    if "times" in rule:
        rule["times"] -= 1
    return True


def carry(side, data):
    segment = Segment(data)
    if not segment.is_tcp:
        ends[opposite[side]].send(data)
        return
    said = segment.describe()
    fate = next((rule["fate"] for rule in rules if is_for(rule, side, segment)), "pass")
    tell(event="frame", side=side, fate=fate if isinstance(fate, str) else "change", **said)
    if fate == "drop":
        return
    if fate == "hold":
        held.append((opposite[side], data))
        return
    if fate != "pass":
        segment.set(fate)
    passed[side, said["kind"]] = bytes(segment.data)
    ends[opposite[side]].send(segment.data)


def obey(told):
    global rules, held
    if "rules" in told:
        rules, held = told["rules"], []
    if "release" in told:
        for side, data in held:
            ends[side].send(data)
        held = []
    if "repeat" in told:
        side = told["from"]
        ends[opposite[side]].send(passed[side, told["repeat"]])
    for frame in told.get("frames", []):
        ends[told["inject"]].send(bytes(VNET_HEADER) + bytes.fromhex(frame))
    tell(event="done", number=told["number"])


unread = b""


def lines_told():
    """All whole lines that are there: those that stdin itself would keep are not waited for."""
    global unread
    part = os.read(sys.stdin.fileno(), 1 << 16)
    if not part:
        sys.exit()
    *lines, unread = (unread + part).split(b"\n")
    return lines


tell(event="ready")
waiting = select.poll()
for descriptor in (*ends.values(), sys.stdin):
    waiting.register(descriptor, select.POLLIN)
while True:
    for descriptor, _ in waiting.poll():
        if descriptor == sys.stdin.fileno():
            for line in lines_told():
                obey(json.loads(line))
            continue
        side = next(name for name, end in ends.items() if end.fileno() == descriptor)
        try:
            carry(side, ends[side].recv(LONGEST))
        except BlockingIOError:
            pass
