/**
 * What random frames and random rules both draw from: small, so that rules are hit often and
 * every outcome comes up.
 */

import type { Family, Prefix, Transport } from "../../lib/rules/types.ts";

export const FAMILIES: readonly Family[] = ["ip", "ip6"];
export const TRANSPORTS: readonly Transport[] = ["tcp", "udp"];

/**
 * Addresses of flows: neighbours in and out of the {@link PREFIXES}, and the extremes. Two of IPv6
 * are what the kernel's keys make of two of IPv4.
 */
export const ADDRESSES: Readonly<Record<Family, readonly string[]>> = {
  ip: [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "10.128.0.1",
    "192.0.2.1",
    "192.0.2.128",
    "198.51.100.7",
    "0.0.0.0",
  ],
  ip6: [
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:0:1::1",
    "2001:db8:8000::1",
    "fd00::1",
    "fe80::1",
    "::ffff:a00:1",
    "::ffff:a00:2",
    "::1",
    "::",
  ],
};

/**
 * Broadcast and multicast only where they may stand: with all ones in both addresses a TCP checksum
 * of 0xffff has two equally valid updates, 0 and 0xffff (RFC 1624 section 3), and nothing to compare.
 */
export const DESTINATIONS: Readonly<Record<Family, readonly string[]>> = {
  ip: [...ADDRESSES.ip, "224.0.0.251", "255.255.255.255"],
  ip6: [...ADDRESSES.ip6, "ff02::fb", "ff05::1:3"],
};

/** Prefixes of rules, as canonical as the parser makes them and in its order. */
export const PREFIXES: Readonly<Record<Family, readonly Prefix[]>> = {
  ip: [
    { address: "0.0.0.0", length: 0 },
    { address: "0.0.0.0", length: 1 },
    { address: "10.0.0.0", length: 8 },
    { address: "10.0.0.0", length: 9 },
    { address: "10.0.0.0", length: 24 },
    { address: "10.0.0.0", length: 31 },
    { address: "10.0.0.1", length: 32 },
    { address: "192.0.2.0", length: 25 },
    { address: "192.0.2.128", length: 32 },
    { address: "198.51.100.7", length: 32 },
  ],
  ip6: [
    { address: "::", length: 0 },
    { address: "::", length: 1 },
    { address: "::", length: 64 },
    { address: "::1", length: 128 },
    { address: "2001:db8::", length: 32 },
    { address: "2001:db8::", length: 33 },
    { address: "2001:db8::", length: 64 },
    { address: "2001:db8::", length: 127 },
    { address: "2001:db8::1", length: 128 },
    { address: "fd00::", length: 8 },
    { address: "fe80::", length: 10 },
    { address: "ff00::", length: 8 },
  ],
};

/** Ports of flows, carriers and rules alike: a carrier of one rule is a flow of another. */
export const PORTS = [1, 80, 179, 540, 541, 2055, 4739, 8080, 32768, 65534, 65535] as const;
