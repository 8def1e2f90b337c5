/** Both families of addresses, so that one test speaks of hosts and serves for either. */

export type Family = "IPv4" | "IPv6";

export const FAMILIES: readonly Family[] = ["IPv4", "IPv6"];

/** What a program listens on for everybody of a family. */
export const ANY: Readonly<Record<Family, string>> = { IPv4: "0.0.0.0", IPv6: "::" };

/** Bytes of an IP header without options. */
export const IP_HEADER: Readonly<Record<Family, number>> = { IPv4: 20, IPv6: 40 };

export function familyOf(address: string): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/**
 * A host's address in a family, by its address of IPv4: "10.1.5.77/24" is
 * "2001:db8:10:1:5::77/80" (a documentation prefix, RFC 3849), in the form in which the kernel
 * writes it (RFC 5952). The digits stay readable, and a prefix of whole bytes stays one.
 */
export function inFamily(family: Family, address: string): string {
  if (family === "IPv4") return address;
  const [host = "", length] = address.split("/");
  const [a, b, c, d] = host.split(".");
  // The parser of addresses in URLs knows how to shorten them.
  const { hostname } = new URL(`http://[2001:db8:${a}:${b}:${c}:0:0:${d}]`);
  const short = hostname.slice(1, -1);
  return length === undefined ? short : `${short}/${prefixLength(Number(length))}`;
}

/** Two groups of ours stand before the first byte, two more before the last. */
function prefixLength(length: number): number {
  if (length === 32) return 128;
  if (length % 8 !== 0 || length > 24) throw new Error(`no prefix of whole bytes: /${length}`);
  return 32 + length * 2;
}
