# What passes a device, as the wire shows it: `sniff.py OPTIONS-AS-JSON`. Verifies each checksum, in
# its own way. Told "stop" on stdin, it tells of each kind of frame of TCP and UDP, as JSON: how many
# there were, and the longest one's packet. Bounded by itself: it ends after 100 seconds.
import json
import select
import signal
import socket
import struct
import sys

SOL_PACKET = 263
PACKET_STATISTICS = 6
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772
TP_STATUS_CSUMNOTREADY = 1 << 3
TP_STATUS_VLAN_VALID = 1 << 4
LONGEST = 1 << 18
TAGS = (0x8100, 0x88A8)
IPV4, IPV6 = 0x0800, 0x86DD
TCP, UDP = 6, 17

options = json.loads(sys.argv[1])
# Service port, and what its carriers hold.
inner_of = {int(port): inner for port, inner in options.get("inner", {}).items()}
carrier_port = options.get("carrierPort")


def word(frame, at):
    return int.from_bytes(frame[at : at + 2], "big")


def is_right(*parts):
    """RFC 1071: the sum over all of it, the checksum included, is a zero of ones' complement."""
    total = sum(int.from_bytes(part + bytes(len(part) % 2), "big") % 0xFFFF for part in parts)
    return total % 0xFFFF == 0


def transport_state(addresses, protocol, segment):
    if protocol == UDP and word(segment, 6) == 0:
        return "none"
    pseudo = addresses + struct.pack("!II", len(segment), protocol)
    return "right" if is_right(pseudo, segment) else "wrong"


def describe(frame, link, auxiliary):
    """What it shows, and the length of its IP packet; None for what is neither TCP nor UDP."""
    tags, at = [], 0
    if auxiliary["status"] & TP_STATUS_VLAN_VALID:
        tags.append(f"{auxiliary['tpid']:x}.{auxiliary['tci'] & 0xFFF}")
    if link in (ARPHRD_ETHER, ARPHRD_LOOPBACK):
        at, kind = 14, word(frame, 12)
        while kind in TAGS:
            tags.append(f"{kind:x}.{word(frame, at) & 0xFFF}")
            at, kind = at + 4, word(frame, at + 2)
    else:
        kind = IPV4 if frame[0] >> 4 == 4 else IPV6
    if kind == IPV4:
        header = (frame[at] & 15) * 4
        length, protocol = word(frame, at + 2) or len(frame) - at, frame[at + 9]
        addresses, fragment = frame[at + 12 : at + 20], word(frame, at + 6) & 0x3FFF
        ip = "right" if is_right(frame[at : at + header]) else "wrong"
    elif kind == IPV6:
        header, length, protocol, fragment = 40, 40 + word(frame, at + 4), frame[at + 6], 0
        addresses, ip = frame[at + 8 : at + 40], "none"
    else:
        return None
    if protocol not in (TCP, UDP) or fragment:
        return None
    segment = frame[at + header : at + length]
    source, destination = word(segment, 0), word(segment, 2)
    said = {
        "tags": tags,
        "family": "ip" if kind == IPV4 else "ip6",
        "options": header - 20 if kind == IPV4 else 0,
        "shows": f"{'tcp' if protocol == TCP else 'udp'} {source}>{destination}",
        "padding": len(frame) - at - length if length <= len(frame) - at else 0,
    }
    if auxiliary["status"] & TP_STATUS_CSUMNOTREADY:
        return {**said, "checksums": "left to the device"}, length
    checksums = [ip, transport_state(addresses, protocol, segment)]
    service = destination if source == carrier_port else source
    if carrier_port in (source, destination) and service in inner_of:
        inner = TCP if inner_of[service] == "tcp" else UDP
        behind = segment[20 if protocol == TCP else 8 :]
        checksums.append(transport_state(bytes(len(addresses)), inner, behind))
    return {**said, "checksums": " ".join(checksums)}, length


def auxiliary_of(ancillary):
    for _, _, data in ancillary:
        # struct tpacket_auxdata
        status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
        return {"status": status, "tci": tci, "tpid": tpid}
    return {"status": 0}


signal.alarm(100)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as device:
    device.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 128 << 20)
    device.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    device.bind((options["device"], ETH_P_ALL))
    device.setblocking(False)
    kinds = {}

    def look():
        """At all that has come so far."""
        while True:
            try:
                frame, ancillary, _, address = device.recvmsg(LONGEST, 256)
            except BlockingIOError:
                return
            found = describe(frame, address[3], auxiliary_of(ancillary))
            if found is None:
                continue
            said, length = found
            said["direction"] = "out" if address[2] == PACKET_OUTGOING else "in"
            kind = kinds.setdefault(json.dumps(said), {**said, "count": 0, "longest": 0})
            kind["count"] += 1
            kind["longest"] = max(kind["longest"], length)

    # What has come by the time that this is bound to the device may be of others.
    print(json.dumps({"event": "ready"}), flush=True)
    while True:
        readable, _, _ = select.select([device, sys.stdin], [], [])
        if device in readable:
            look()
        if sys.stdin in readable:
            sys.stdin.readline()
            break
    look()
    _, dropped = struct.unpack("@II", device.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print(json.dumps({"event": "seen", "dropped": dropped, "kinds": list(kinds.values())}), flush=True)
