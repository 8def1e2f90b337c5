# Sends the frames on stdin, a line of hex each, out of a device as they are: what no socket of
# Node can (a UDP checksum of 0, lengths that contradict each other, tags).
import socket
import sys

with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as device:
    device.bind((sys.argv[1], 0))
    for line in sys.stdin:
        device.send(bytes.fromhex(line))
