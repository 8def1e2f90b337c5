# A flood of SYNs: `translate-flood.py OPTIONS-AS-JSON`. Sends `frame`, an Ethernet frame of IPv4
# and TCP without options in hex, `count` times out of `device`, each time from another address of
# 198.18.0.0/15 (RFC 2544) and another port, with right checksums; then tells how many it has sent.
import json
import os
import random
import signal
import socket
import struct
import sys

IP, TCP = 14, 34


def folded(total):
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def sum_of(data):
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


signal.alarm(30)
# Packets are taken care of where they are sent from, and a table has places for each CPU.
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
options = json.loads(sys.argv[1])
frame = bytearray.fromhex(options["frame"])
# All fields that differ, and the checksums, count as zero in what all frames share.
for at, length in ((IP + 10, 2), (IP + 12, 4), (TCP, 2), (TCP + 4, 4), (TCP + 16, 2)):
    frame[at:at + length] = bytes(length)
ip_sum = sum_of(frame[IP:TCP])
tcp_sum = sum_of(frame[IP + 16:]) + socket.IPPROTO_TCP + len(frame) - TCP
chance = random.Random(options["seed"])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as device:
    device.bind((options["device"], 0))
    for number in range(options["count"]):
        high, low = 0xC612 + chance.getrandbits(1), chance.getrandbits(16)
        port, seq = 1024 + chance.randrange(64512), chance.getrandbits(16)
        struct.pack_into("!HHH", frame, IP + 10, 0xFFFF & ~folded(ip_sum + high + low), high, low)
        struct.pack_into("!H", frame, TCP, port)
        struct.pack_into("!H", frame, TCP + 4, seq)
        struct.pack_into("!H", frame, TCP + 16, 0xFFFF & ~folded(tcp_sum + high + low + port + seq))
        device.send(frame)
print(json.dumps({"event": "sent", "count": options["count"]}), flush=True)
