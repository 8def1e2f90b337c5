import { quoteText } from "./quote.ts";
import { expectedButFound, RuleError } from "./rule-error.ts";
import type { Family, Prefix } from "./types.ts";

/** An address: 4 bytes for "ip", 16 for "ip6", in network order. */
export interface ParsedAddress {
  readonly family: Family;
  readonly bytes: Uint8Array;
}

/** A prefix that was read, with its host bits already cleared. */
export interface ParsedPrefix {
  readonly family: Family;
  readonly prefix: Prefix;
  /** Whether the text had host bits set, e.g. "10.0.0.1/8". */
  readonly hostBits: boolean;
}

/** Why a text is not an address, in words that fit into parentheses. */
export interface AddressProblem {
  readonly problem: string | undefined;
}

/** How messages name what an address match takes. */
export const PREFIX_WORDS = "an address or prefix (10.0.0.1, 10.0.0.0/8, 2001:db8::/32)";

/** No text form of an address with a prefix length is longer. */
const LONGEST_TEXT = 50;

/** Number of address bits of a family: 32 or 128. */
export function addressBits(family: Family): 32 | 128 {
  return family === "ip" ? 32 : 128;
}

/** Family of a prefix or address in text form: only IPv6 has colons. */
export function familyOf(prefix: Prefix | string): Family {
  const text = typeof prefix === "string" ? prefix : prefix.address;
  return text.includes(":") ? "ip6" : "ip";
}

/**
 * Reads an IPv4 or IPv6 address; undefined if it is neither. IPv4 is four decimal numbers
 * without leading zeros and nothing else. No IPv6 zone ("%eth0") is taken.
 */
export function parseAddress(text: string): ParsedAddress | undefined {
  if (text.length > LONGEST_TEXT) {
    return undefined;
  }
  if (text.includes(":")) {
    const bytes = parseIPv6(text);
    return bytes === undefined ? undefined : { family: "ip6", bytes };
  }
  const bytes = parseIPv4(text);
  return bytes === undefined ? undefined : { family: "ip", bytes };
}

/**
 * Canonical text of an address of 4 or 16 bytes; IPv6 as RFC 5952 writes it, IPv4-mapped
 * addresses as "::ffff:10.0.0.1".
 */
export function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` : formatIPv6(bytes);
}

/** A copy of `bytes` in which all bits after the first `length` are zero. */
export function maskAddress(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, length - index * 8));
    return byte & (0xff00 >> kept) & 0xff;
  });
}

/** Reads "address" or "address/length" and clears the host bits. */
export function parsePrefix(text: string): ParsedPrefix | AddressProblem {
  const slash = text.indexOf("/");
  const written = slash === -1 ? text : text.slice(0, slash);
  const address = parseAddress(written);
  if (address === undefined) {
    return { problem: addressHint(written) };
  }
  const { family, bytes } = address;
  const bits = addressBits(family);
  const length = slash === -1 ? bits : parseLength(text.slice(slash + 1), bits);
  if (length === undefined) {
    return { problem: `a prefix length is a number from 0 to ${bits}` };
  }
  const mapped = mappedIPv4(bytes);
  if (mapped !== undefined && length >= 96) {
    // Programs show the IPv4 peers of a dual-stack socket so, but their packets are IPv4: as an
    // IPv6 prefix it would never match.
    const suffix = length === 128 ? "" : `/${length - 96}`;
    return { problem: `an IPv4-mapped address; packets carry ${formatAddress(mapped)}${suffix}` };
  }
  const masked = length === bits ? bytes : maskAddress(bytes, length);
  return {
    family,
    prefix: { address: formatAddress(masked), length },
    hostBits: masked.some((byte, index) => byte !== bytes[index]),
  };
}

/** The prefixes in their order, each once. */
export function distinctPrefixes(prefixes: readonly Prefix[]): Prefix[] {
  const [only] = prefixes;
  if (only !== undefined && prefixes.length === 1) {
    // A new array of the right size: one that grew by push() holds room for 17 elements, which
    // counts where there are 100,000 rules.
    return [only];
  }
  const byText = new Map(prefixes.map((prefix) => [formatPrefix(prefix), prefix]));
  return [...byText.values()];
}

/** "10.0.0.0/8", and a whole address without its length: "10.0.0.1". */
export function formatPrefix(prefix: Prefix): string {
  return prefix.length === addressBits(familyOf(prefix))
    ? prefix.address
    : `${prefix.address}/${prefix.length}`;
}

/**
 * The 16 bytes of an address, IPv4 in its mapped form ::ffff:a.b.c.d, as map keys hold it.
 *
 * @throws RuleError if `text` is not an address.
 */
export function addressBytes(text: string): Uint8Array {
  const address = parseAddress(text);
  if (address === undefined) {
    throw new RuleError(
      expectedButFound("bad-address", "an address", quoteText(text), addressHint(text)),
    );
  }
  return mappedBytes(address.bytes);
}

/**
 * A prefix on the 16-byte form: for "ip" the length grows by 96. IPv6 prefixes shorter than
 * /96, such as ::/0, then contain IPv4 as well, so a lookup must compare the family too.
 *
 * @throws RuleError if the prefix is not one of `family`.
 */
export function prefixBytes(
  prefix: Prefix,
  family: Family,
): { readonly address: Uint8Array; readonly length: number } {
  if (familyOf(prefix) !== family) {
    throw new RuleError(
      expectedButFound("mixed-families", `a prefix of ${family}`, `"${formatPrefix(prefix)}"`),
    );
  }
  return {
    address: addressBytes(prefix.address),
    length: family === "ip" ? prefix.length + 96 : prefix.length,
  };
}

/** The 4 bytes inside an IPv4-mapped address; undefined for all other addresses. */
function mappedIPv4(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length !== 16 || bytes[10] !== 0xff || bytes[11] !== 0xff) {
    return undefined;
  }
  return bytes.subarray(0, 10).every((byte) => byte === 0) ? bytes.slice(12) : undefined;
}

function mappedBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 16) {
    return bytes;
  }
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff], 10);
  mapped.set(bytes, 12);
  return mapped;
}

function parseLength(text: string, highest: number): number | undefined {
  if (!/^(0|[1-9][0-9]{0,2})$/.test(text)) {
    return undefined;
  }
  const length = Number(text);
  return length <= highest ? length : undefined;
}

function parseIPv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let index = 0;
  let digits = 0;
  let value = 0;
  for (let offset = 0; offset <= text.length; offset++) {
    const code = offset === text.length ? 0x2e : text.charCodeAt(offset);
    if (code === 0x2e) {
      if (digits === 0 || index === 4) {
        return undefined;
      }
      bytes[index++] = value;
      digits = 0;
      value = 0;
      continue;
    }
    const digit = code - 0x30;
    const leadingZero = digits === 1 && value === 0;
    if (digit < 0 || digit > 9 || leadingZero) {
      return undefined;
    }
    value = value * 10 + digit;
    digits++;
    if (value > 255) {
      return undefined;
    }
  }
  return index === 4 ? bytes : undefined;
}

function parseIPv6(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) {
    return undefined;
  }
  const compressed = halves.length === 2;
  const head = parseGroups(halves[0] ?? "", !compressed);
  const tail = compressed ? parseGroups(halves[1] ?? "", true) : [];
  if (head === undefined || tail === undefined) {
    return undefined;
  }
  const written = head.length + tail.length;
  // "::" stands for at least one group of zeros.
  if (compressed ? written > 14 : written !== 16) {
    return undefined;
  }
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** Bytes of groups separated by single colons; only the end of an address may be dotted. */
function parseGroups(text: string, mayEndInIPv4: boolean): number[] | undefined {
  if (text === "") {
    return [];
  }
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
      continue;
    }
    const last = index === groups.length - 1;
    const dotted = last && mayEndInIPv4 ? parseIPv4(group) : undefined;
    if (dotted === undefined) {
      return undefined;
    }
    bytes.push(...dotted);
  }
  return bytes;
}

function formatIPv6(bytes: Uint8Array): string {
  const mapped = mappedIPv4(bytes);
  if (mapped !== undefined) {
    return `::ffff:${formatAddress(mapped)}`;
  }
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) {
    groups.push(((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0));
  }
  const run = longestZeroRun(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(":");
  // RFC 5952, 4.2.2: a single group of zeros is written out.
  return run.length < 2
    ? text(groups)
    : `${text(groups.slice(0, run.start))}::${text(groups.slice(run.start + run.length))}`;
}

/** The first of the longest runs, as RFC 5952, 4.2.3 asks. */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let index = 0; index <= groups.length; index++) {
    if (groups[index] === 0) {
      continue;
    }
    if (index - start > best.length) {
      best = { start, length: index - start };
    }
    start = index + 1;
  }
  return best;
}

/** What is most likely wrong with a text that is not an address. */
function addressHint(text: string): string | undefined {
  if (text.includes("%")) {
    return "a zone cannot be matched";
  }
  if (/^[0-9.]+$/.test(text)) {
    const octets = text.split(".");
    if (octets.length !== 4) {
      return "an IPv4 address has four numbers";
    }
    if (octets.some((octet) => octet.length > 1 && octet.startsWith("0"))) {
      return "a number of an IPv4 address has no leading zero";
    }
    if (octets.some((octet) => Number(octet) > 255)) {
      return "a number of an IPv4 address is 255 at most";
    }
  }
  return undefined;
}
