/** Frames in words, for messages of tests. */

import type { Transport } from "../../lib/rules/types.ts";
import { CHECKSUM_OFFSET, FLAG, hex, view } from "./packet-bytes.ts";
import {
  type ChecksumState,
  checksumsOf,
  contentStart,
  type LocatedMessage,
  locate,
  locateIp,
  locateMessage,
} from "./packet-readers.ts";

/**
 * A frame in words, one line a header, for a readable diff: `expect(describeFrame(a)).toBe(
 * describeFrame(b))` shows the field that differs. Every byte shows up somewhere.
 */
export function describeFrame(frame: Uint8Array, inner?: Transport): string {
  if (frame.length < 14) return `${frame.length} bytes: ${hex(frame)}`;
  const mac = (start: number) => hex(frame.subarray(start, start + 6));
  const content = contentStart(frame);
  const types = (hex(frame.subarray(12, content)).match(/.{1,8}/g) ?? []).map((one) => `0x${one}`);
  const lines = [
    `ethernet ${mac(6)} > ${mac(0)} type ${types.join(" ")}, frame of ${frame.length} bytes`,
  ];
  const header = locateIp(frame);
  if (header === undefined) return [...lines, rest(frame.subarray(content))].join("\n");
  const { ip, isIpv6 } = header;
  const states = checksumsOf(frame, inner);
  lines.push(...(isIpv6 ? describeIpv6(frame, ip) : describeIpv4(frame, ip, states.ip)));

  const found = locate(frame);
  if (found === undefined) {
    const behind = frame.subarray(ip + (isIpv6 ? 40 : Math.max(((frame[ip] ?? 0) & 0x0f) * 4, 20)));
    const message = locateMessage(frame);
    return [...lines, ...(message ? describeIcmp(message) : [rest(behind)])].join("\n");
  }
  const packet = frame.subarray(found.start, found.end);
  const carrierLength = found.transport === "tcp" ? 20 : 8;
  if (inner !== undefined && states.inner !== undefined) {
    lines.push(
      ...describeTransport(packet.subarray(0, carrierLength), found.transport, states.outer),
    );
    lines.push(...describeTransport(packet.subarray(carrierLength), inner, states.inner));
  } else {
    lines.push(...describeTransport(packet, found.transport, states.outer));
  }
  const padding = frame.subarray(found.end);
  if (padding.length > 0) lines.push(`padding ${rest(padding)}`);
  return lines.join("\n");
}

function describeIpv4(
  frame: Uint8Array,
  start: number,
  state: ChecksumState | undefined,
): string[] {
  const body = frame.subarray(start);
  const ip = view(body);
  const ipLength = (ip.getUint8(0) & 0x0f) * 4;
  const fragment = ip.getUint16(6);
  const dotted = (at: number) => [...body.subarray(at, at + 4)].join(".");
  const line = [
    `ip ${dotted(12)} > ${dotted(16)} version ${ip.getUint8(0) >> 4} ihl ${ipLength / 4}`,
    `tos ${ip.getUint8(1)} total ${ip.getUint16(2)} id ${hex16(ip.getUint16(4))}`,
    `flags ${["-", "MF", "DF", "DF,MF"][(fragment >> 13) & 3]}${fragment >> 15 ? ",reserved" : ""}`,
    `offset ${fragment & 0x1fff} ttl ${ip.getUint8(8)} protocol ${ip.getUint8(9)}`,
    `checksum ${hex16(ip.getUint16(10))} ${state ?? ""}`.trimEnd(),
  ].join(" ");
  return ipLength > 20 ? [line, `ip options ${hex(body.subarray(20, ipLength))}`] : [line];
}

function describeIpv6(frame: Uint8Array, start: number): string[] {
  const body = frame.subarray(start);
  const ip = view(body);
  const groups = (at: number) => hex(body.subarray(at, at + 16)).replace(/....(?!$)/g, "$&:");
  const first = ip.getUint32(0);
  return [
    [
      `ip6 ${groups(8)} > ${groups(24)} version ${first >>> 28} class ${(first >>> 20) & 0xff}`,
      `label ${first & 0xfffff} payload ${ip.getUint16(4)} next ${ip.getUint8(6)}`,
      `hops ${ip.getUint8(7)}`,
    ].join(" "),
  ];
}

/** An ICMP message; where there is a quote, its IP header apart from the rest. */
function describeIcmp({ message, padding, state, quotedHeader }: LocatedMessage): string[] {
  const read = view(message);
  const lines = [
    [
      `icmp type ${read.getUint8(0)} code ${read.getUint8(1)}`,
      `rest ${hex16(read.getUint16(4))} ${read.getUint16(6)}`,
      `checksum ${hex16(read.getUint16(2))} ${state}`,
    ].join(" "),
    `quoted ${rest(message.subarray(8, 8 + quotedHeader))}`,
    `behind ${rest(message.subarray(8 + quotedHeader))}`,
  ];
  return padding.length > 0 ? [...lines, `padding ${rest(padding)}`] : lines;
}

function describeTransport(
  content: Uint8Array,
  transport: Transport,
  state: ChecksumState | undefined,
): string[] {
  const read = view(content);
  const ports = `${transport} ${read.getUint16(0)} > ${read.getUint16(2)}`;
  const checksum = `checksum ${hex16(read.getUint16(CHECKSUM_OFFSET[transport]))} ${state ?? ""}`;
  if (transport === "udp") {
    const lines = [`${ports} length ${read.getUint16(4)} ${checksum}`.trimEnd()];
    return content.length > 8 ? [...lines, rest(content.subarray(8))] : lines;
  }
  const flags = Object.entries(FLAG)
    .filter(([, bit]) => (read.getUint8(13) & bit) !== 0)
    .map(([name]) => name.toUpperCase());
  const lines = [
    [
      `${ports} seq ${hex32(read.getUint32(4))} ack ${hex32(read.getUint32(8))}`,
      `offset ${read.getUint8(12) >> 4} reserved ${read.getUint8(12) & 0x0f}`,
      `flags ${hex8(read.getUint8(13))} ${flags.join(",") || "-"} window ${read.getUint16(14)}`,
      `urgent ${read.getUint16(18)} ${checksum}`,
    ]
      .join(" ")
      .trimEnd(),
  ];
  return content.length > 20 ? [...lines, rest(content.subarray(20))] : lines;
}

const hex8 = (value: number) => `0x${value.toString(16).padStart(2, "0")}`;
const hex16 = (value: number) => `0x${value.toString(16).padStart(4, "0")}`;
const hex32 = (value: number) => `0x${value.toString(16).padStart(8, "0")}`;

/** Bytes that have no name, 32 a line. */
function rest(content: Uint8Array): string {
  const lines = [`${content.length} bytes`];
  for (let start = 0; start < content.length; start += 32) {
    lines.push(`  ${hex(content.subarray(start, start + 32))}`);
  }
  return lines.join("\n");
}
