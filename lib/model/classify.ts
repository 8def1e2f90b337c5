/** Finds the first rule of a list that a flow matches. Linear on purpose: it is easy to believe. */

import { familyOf, prefixBytes } from "../rules/address.ts";
import { portsInclude } from "../rules/ports.ts";
import type { Action, AddressMatch, Match, PortMatch, Prefix, Rule } from "../rules/types.ts";
import type { Flow } from "./frame.ts";
import type { Form } from "./mark.ts";
import { isTranslating } from "./translate-rules.ts";

/** Index of the first rule that matches, or undefined. */
export function classify(rules: readonly Rule[], flow: Flow, form: Form): number | undefined {
  const index = rules.findIndex(
    ({ match, action }) => matches(match, flow) && isAbout(action, form),
  );
  return index === -1 ? undefined : index;
}

/**
 * Each way to unfunnel leaves what the other is about, so that both may stand for one port. And what is in
 * a carrier is no connection that could be translated.
 */
function isAbout(action: Action, form: Form): boolean {
  if (action.kind === "unfunnel" && action.mode === "decap") return form !== "marked";
  return form !== "carrier" || !isTranslating(action);
}

/** Whether all terms of a match hold for a flow. */
export function matches(match: Match, flow: Flow): boolean {
  return (
    match.transport === flow.transport &&
    (match.family === undefined || match.family === flow.family) &&
    matchesPorts(match.sport, [flow.sport]) &&
    matchesPorts(match.dport, [flow.dport]) &&
    matchesPorts(match.port, [flow.sport, flow.dport]) &&
    matchesAddress(match.saddr, flow, flow.saddr) &&
    matchesAddress(match.daddr, flow, flow.daddr)
  );
}

/** Negated, none of the ports may lie in the ranges; otherwise any one of them will do. */
function matchesPorts(match: PortMatch | undefined, ports: readonly number[]): boolean {
  if (match === undefined) return true;
  return ports.some((port) => portsInclude(match.ranges, port)) !== match.negate;
}

function matchesAddress(match: AddressMatch | undefined, flow: Flow, address: Uint8Array): boolean {
  if (match === undefined) return true;
  // An address term says which family the rule is about, negated or not: `saddr != 2001:db8::/32`
  // is no rule for IPv4.
  if (match.prefixes.some((prefix) => familyOf(prefix) !== flow.family)) return false;
  return match.prefixes.some((prefix) => isInside(address, prefix)) !== match.negate;
}

function isInside(address: Uint8Array, prefix: Prefix): boolean {
  const { address: network, length } = prefixBytes(prefix, familyOf(prefix));
  for (let bit = 0; bit < length; bit += 1) {
    if (bitAt(address, bit) !== bitAt(network, bit)) return false;
  }
  return true;
}

/** Bit 0 is the highest of the first byte, as prefix lengths count. */
function bitAt(bytes: Uint8Array, bit: number): number {
  return ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
}
