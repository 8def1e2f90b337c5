/** What a rule asks for beyond what its entries say: whether it is the same as with another rule. */
import type { AddressMatch, PortMatch, Rule } from "../../rules/types.ts";
import { formPassedOver } from "./form.ts";

/** A hash of all that {@link isSameCondition} looks at, never 0. */
export function conditionHash(rule: Rule): number {
  const { saddr, daddr, sport, dport, port } = rule.match;
  let hash = 1 + formPassedOver(rule);
  hash = addAddresses(hash, saddr);
  hash = addAddresses(hash, daddr);
  hash = addPorts(hash, sport);
  hash = addPorts(hash, dport);
  hash = addPorts(hash, port);
  return hash === 0 ? 1 : hash;
}

function add(hash: number, number: number): number {
  const sum = Math.imul(hash ^ number, 0x9e3779b1);
  return sum ^ (sum >>> 15);
}

function addAddresses(before: number, match: AddressMatch | undefined): number {
  if (match === undefined) return add(before, 0);
  let hash = add(before, match.negate ? 1 : 2);
  for (const { address, length } of match.prefixes) {
    hash = add(hash, length);
    for (let at = 0; at < address.length; at++) hash = add(hash, address.charCodeAt(at));
  }
  return hash;
}

function addPorts(before: number, match: PortMatch | undefined): number {
  if (match === undefined) return add(before, 0);
  let hash = add(before, match.negate ? 1 : 2);
  for (const { first, last } of match.ranges) hash = add(hash, first * 65536 + last);
  return hash;
}

/** Whether two rules about flows of one group match the same ones of them. */
export function isSameCondition(one: Rule, other: Rule): boolean {
  const [here, there] = [one.match, other.match];
  return (
    formPassedOver(one) === formPassedOver(other) &&
    areSameAddresses(here.saddr, there.saddr) &&
    areSameAddresses(here.daddr, there.daddr) &&
    areSamePorts(here.sport, there.sport) &&
    areSamePorts(here.dport, there.dport) &&
    areSamePorts(here.port, there.port)
  );
}

function areSameAddresses(one: AddressMatch | undefined, other: AddressMatch | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one.negate === other.negate &&
    one.prefixes.length === other.prefixes.length &&
    one.prefixes.every(({ address, length }, index) => {
      const prefix = other.prefixes[index];
      return prefix?.address === address && prefix.length === length;
    })
  );
}

function areSamePorts(one: PortMatch | undefined, other: PortMatch | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one.negate === other.negate &&
    one.ranges.length === other.ranges.length &&
    one.ranges.every(({ first, last }, index) => {
      const range = other.ranges[index];
      return range?.first === first && range.last === last;
    })
  );
}
