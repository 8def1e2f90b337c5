/** Rules to the bytes of `struct sfunnel_rule`. Pure: no kernel, no addon. */
import { prefixBytes } from "../rules/address.ts";
import type {
  Action,
  AddressMatch,
  CarrierSourcePort,
  Family as FamilyName,
  PortMatch,
  PortRange,
  Rule,
  Transport,
} from "../rules/types.ts";
import { Family, Form, layout, ReplyKind, RuleKind, SourcePort } from "./abi.gen.ts";
import { Record } from "./record.ts";
import { portPrefixes, type SetWriter } from "./sets.ts";

const IP_PROTOCOL: { readonly [name in Transport]: number } = { tcp: 6, udp: 17 };
const ADDRESS_BYTES = 16;
const ANY_PORT: PortMatch = { negate: false, ranges: [{ first: 0, last: 65535 }] };

/** Rules of one direction, ready to be published. */
export interface RuleList {
  /** Number of `struct sfunnel_rule` in `bytes`, at least 1: an empty list is its end mark. */
  readonly count: number;
  readonly bytes: Uint8Array;
}

function families(family: FamilyName | undefined): number {
  if (family === "ip") return Family.IPV4;
  if (family === "ip6") return Family.IPV6;
  return Family.IPV4 | Family.IPV6;
}

/** The first `length` bits set. */
function maskBytes(length: number): Uint8Array {
  const mask = new Uint8Array(ADDRESS_BYTES);
  for (let bit = 0; bit < length; bit++) {
    mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  }
  return mask;
}

function encodeAddress(record: Record, match: AddressMatch, family: FamilyName, sets: SetWriter) {
  const { fields } = layout.addressMatch;
  const prefixes = match.prefixes.map((prefix) => prefixBytes(prefix, family));
  const [only] = prefixes;
  if (prefixes.length === 1 && only) {
    record.setBytes(fields.value, only.address);
    record.setBytes(fields.mask, maskBytes(only.length));
  } else {
    record.set(
      fields.set,
      sets.add(prefixes.map(({ address, length }) => ({ bytes: address, length }))),
    );
  }
  record.set(fields.negate, Number(match.negate));
}

function encodePorts(record: Record, match: PortMatch, sets: SetWriter) {
  const { fields } = layout.portMatch;
  const [only] = match.ranges;
  if (match.ranges.length === 1 && only) {
    record.set(fields.first, only.first);
    record.set(fields.last, only.last);
  } else {
    record.set(fields.set, sets.add(match.ranges.flatMap(portPrefixes)));
  }
  record.set(fields.negate, Number(match.negate));
}

function encodeSourcePort(record: Record, sport: CarrierSourcePort) {
  const { fields } = layout.rule;
  switch (sport.kind) {
    case "fixed":
      record.set(fields.carrierSportKind, SourcePort.SPORT_FIXED);
      record.set(fields.carrierSportFirst, sport.port);
      break;
    case "keep":
      record.set(fields.carrierSportKind, SourcePort.SPORT_KEEP);
      break;
    case "range":
      record.set(fields.carrierSportKind, SourcePort.SPORT_HASH);
      record.set(fields.carrierSportFirst, sport.first);
      record.set(fields.carrierSportLast, sport.last);
      record.set(fields.carrierEvery, sport.every ?? 0);
  }
}

function encodeAction(record: Record, action: Action, sets: SetWriter) {
  const { fields } = layout.rule;
  let allow: readonly PortRange[] | undefined;
  switch (action.kind) {
    case "accept":
      record.set(fields.kind, RuleKind.ACCEPT);
      break;
    case "drop":
      record.set(fields.kind, RuleKind.DROP);
      break;
    case "funnel":
      record.set(fields.otherTransport, IP_PROTOCOL[action.over]);
      record.set(fields.carrierDport, action.dport);
      if (action.mode === "encap") {
        record.set(fields.kind, RuleKind.FUNNEL_ENCAP);
        encodeSourcePort(record, action.sport);
      } else {
        record.set(fields.kind, RuleKind.FUNNEL_TRANSLATE);
        record.set(fields.passesOver, Form.CARRIER);
      }
      break;
    case "unfunnel":
      record.set(fields.otherTransport, IP_PROTOCOL[action.inner]);
      if (action.mode === "decap") {
        record.set(fields.kind, RuleKind.UNFUNNEL_DECAP);
        record.set(fields.passesOver, Form.MARKED);
      } else {
        record.set(fields.kind, RuleKind.UNFUNNEL_TRANSLATE);
        record.set(fields.passesOver, Form.CARRIER);
      }
      allow = action.allow;
  }
  const ports = allow ? { negate: false, ranges: allow } : ANY_PORT;
  encodePorts(record.inner(fields.allow), ports, sets);
}

function encodeRule(record: Record, rule: Rule, counter: number, sets: SetWriter) {
  const { fields } = layout.rule;
  const { match } = rule;
  record.set(fields.counter, counter);
  record.set(fields.transport, IP_PROTOCOL[match.transport]);
  record.set(fields.families, families(match.family));
  encodePorts(record.inner(fields.sport), match.sport ?? ANY_PORT, sets);
  encodePorts(record.inner(fields.dport), match.dport ?? ANY_PORT, sets);
  encodePorts(record.inner(fields.port), match.port ?? ANY_PORT, sets);
  for (const side of ["saddr", "daddr"] as const) {
    const addresses = match[side];
    if (addresses && match.family) {
      encodeAddress(record.inner(fields[side]), addresses, match.family, sets);
    }
  }
  encodeAction(record, rule.action, sets);
}

/** Which kinds of replies rules call for at the opposite hook: bits of ReplyKind. */
export function replyKinds(rules: readonly Rule[]): number {
  let kinds = 0;
  for (const { action } of rules) {
    if ("mode" in action && action.mode === "translate") continue;
    if (action.kind === "unfunnel") kinds |= ReplyKind.REPLY_TO_FUNNEL;
    else if (action.kind === "funnel") {
      kinds |= action.over === "tcp" ? ReplyKind.REPLY_IN_TCP : ReplyKind.REPLY_IN_UDP;
    }
  }
  return kinds;
}

/** Whether a rule translates ports: then either hook looks connections up. */
export function translates(rules: readonly Rule[]): boolean {
  return rules.some(({ action }) => "mode" in action && action.mode === "translate");
}

/**
 * The ports to which real connections could collide with translated ones: service ports of what is
 * funneled, and ports that are put back.
 */
export function sharedPorts(rules: readonly Rule[]): PortRange[] {
  return rules.flatMap(({ action }) => {
    if (!("mode" in action) || action.mode !== "translate") return [];
    if (action.kind === "unfunnel") return action.allow;
    return [{ first: action.dport, last: action.dport }];
  });
}

/** Ports that a match can hold for; all of them where it does not say which. */
function portsOf(match: PortMatch | undefined): readonly PortRange[] {
  return match === undefined || match.negate ? ANY_PORT.ranges : match.ranges;
}

/**
 * The ports that rules translate from or to. Connections that are translated, and real ones that
 * could collide with them, are between such a port and another one.
 */
export function translatedPorts(rules: readonly Rule[]): PortRange[] {
  return rules.flatMap(({ match, action }) => {
    if (!("mode" in action) || action.mode !== "translate") return [];
    return [...portsOf(match.dport), ...sharedPorts([{ match, action }])];
  });
}

/** `counters[i]` is the counter of rule `i`; new sets go to `sets`. */
export function encodeRules(
  rules: readonly Rule[],
  counters: readonly number[],
  sets: SetWriter,
): RuleList {
  const { size } = layout.rule;
  const count = Math.max(1, rules.length);
  const bytes = new Uint8Array(count * size);
  for (const [index, rule] of rules.entries()) {
    encodeRule(new Record(bytes, index * size), rule, counters[index] ?? 0, sets);
  }
  return { count, bytes };
}
