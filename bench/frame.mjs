// A UDP packet in an Ethernet frame, with right checksums.

function checksum(bytes) {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** `length` bytes of payload, an even number, to this port. */
export function udpFrame(port, length) {
  const addresses = Buffer.from([10, 0, 0, 1, 10, 0, 0, 2]);
  const udp = Buffer.alloc(8 + length);
  udp.writeUInt16BE(5000, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  const pseudo = Buffer.from([...addresses, 0, 17, udp.length >> 8, udp.length & 0xff]);
  udp.writeUInt16BE(checksum(Buffer.concat([pseudo, udp])) || 0xffff, 6);

  const ip = Buffer.alloc(20);
  ip[0] = 0x45; // version 4, five words
  ip.writeUInt16BE(ip.length + udp.length, 2);
  ip[8] = 64; // time to live
  ip[9] = 17; // UDP
  addresses.copy(ip, 12);
  ip.writeUInt16BE(checksum(ip), 10);

  const ethernet = Buffer.alloc(14);
  ethernet.writeUInt16BE(0x0800, 12);
  return Buffer.concat([ethernet, ip, udp]);
}
