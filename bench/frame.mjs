// UDP and TCP packets in Ethernet frames, with right checksums.

const ADDRESSES = Buffer.from([10, 0, 0, 1, 10, 0, 0, 2]);
const SOURCE_PORT = 5000;

const UDP = 17;
const TCP = 6;

function checksum(bytes) {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Addresses of IPv6: 2001:db8::1 and 2001:db8::2. */
const ADDRESSES_6 = Buffer.from(
  "20010db800000000000000000000000120010db8000000000000000000000002",
  "hex",
);

/** Puts the checksum into a header with its payload, an even number of bytes, and a frame around it. */
function frame(protocol, l4, checksumPlace, addresses = ADDRESSES) {
  const pseudo = Buffer.from([...addresses, 0, protocol, l4.length >> 8, l4.length & 0xff]);
  l4.writeUInt16BE(checksum(Buffer.concat([pseudo, l4])) || 0xffff, checksumPlace);

  const ip = Buffer.alloc(20);
  ip[0] = 0x45; // version 4, five words
  ip.writeUInt16BE(ip.length + l4.length, 2);
  ip[8] = 64; // time to live
  ip[9] = protocol;
  addresses.copy(ip, 12);
  ip.writeUInt16BE(checksum(ip), 10);

  const ethernet = Buffer.alloc(14);
  ethernet.writeUInt16BE(0x0800, 12);
  return Buffer.concat([ethernet, ip, l4]);
}

function udpOf(port, length) {
  const udp = Buffer.alloc(8 + length);
  udp.writeUInt16BE(SOURCE_PORT, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  return udp;
}

/** `length` bytes of payload, an even number, to this port. */
export function udpFrame(port, length) {
  return frame(UDP, udpOf(port, length), 6);
}

/** The same over IPv6. */
export function udp6Frame(port, length) {
  const udp = udpOf(port, length);
  const pseudo = Buffer.from([...ADDRESSES_6, udp.length >> 8, udp.length & 0xff, 0, UDP]);
  udp.writeUInt16BE(checksum(Buffer.concat([pseudo, udp])) || 0xffff, 6);

  const ip = Buffer.alloc(8);
  ip[0] = 0x60; // version 6
  ip.writeUInt16BE(udp.length, 4);
  ip[6] = UDP;
  ip[7] = 64; // hops
  const ethernet = Buffer.alloc(14);
  ethernet.writeUInt16BE(0x86dd, 12);
  return Buffer.concat([ethernet, ip, ADDRESSES_6, udp]);
}

function tcpFrame(port, flags, options, length) {
  const tcp = Buffer.alloc(20 + options.length + length);
  tcp.writeUInt16BE(SOURCE_PORT, 0);
  tcp.writeUInt16BE(port, 2);
  tcp[12] = (5 + options.length / 4) << 4; // words
  tcp[13] = flags;
  options.copy(tcp, 20);
  return frame(TCP, tcp, 16);
}

/** MSS, SACK, timestamps and window scale, as Linux writes them. */
const OPTIONS_OF_SYN = Buffer.from("020405b40402080a000000010000000001030307", "hex");
/** And with all that comes behind: timestamps. */
const OPTIONS_OF_DATA = Buffer.from("0101080a0000000100000001", "hex");

/** A TCP connection to this port begins. */
export function synFrame(port) {
  return tcpFrame(port, 0x02, OPTIONS_OF_SYN, 0);
}

/** And goes on, with `length` bytes of payload, an even number. */
export function dataFrame(port, length) {
  return tcpFrame(port, 0x10, OPTIONS_OF_DATA, length);
}

/** The answer to the first, from this port; the second acknowledges it. */
export function answerFrame(port, urgent) {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(port, 0);
  tcp.writeUInt16BE(SOURCE_PORT, 2);
  tcp.writeUInt32BE(0xffffffff, 4); // acknowledged by 0
  tcp[12] = 5 << 4;
  tcp[13] = 0x12;
  tcp.writeUInt16BE(urgent, 18);
  return frame(TCP, tcp, 16, Buffer.concat([ADDRESSES.subarray(4), ADDRESSES.subarray(0, 4)]));
}
