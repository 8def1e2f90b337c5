# Customers of a router, as far as an exporter sees them: `customers.py ADDRESS` sends datagrams to it
# until it is killed, many flows a second.
import itertools
import socket
import sys
import time

DISCARD = 9
PORTS = 400
AT_A_TIME = 40
# softflowd gets packets from the kernel in blocks of 256 KiB, and no sooner than they are full.
LENGTH = 6000

sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PORTS)]
for one in sockets:
    one.connect((sys.argv[1], DISCARD))
turns = itertools.cycle(sockets)
print("{}", flush=True)
while True:
    for one in itertools.islice(turns, AT_A_TIME):
        one.send(bytes(LENGTH))
    time.sleep(AT_A_TIME / PORTS)
