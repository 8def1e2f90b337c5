/** Rules to the bytes of `struct sfunnel_rule`. Pure: no kernel, no addon. */
import { formatPrefix, prefixBytes } from "../rules/address.ts";
import type { Sliced } from "../rules/sliced.ts";
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
import { Family, Form, layout, RuleKind, SourcePort } from "./abi.gen.ts";
import { type Field, Record } from "./record.ts";
import { addressPrefix } from "./search/addresses.ts";
import { addressMask } from "./search/mask.ts";
import { portPrefixes, portSetName, type SetWriter } from "./sets.ts";

const IP_PROTOCOL: { readonly [name in Transport]: number } = { tcp: 6, udp: 17 };
const ANY_PORT: PortMatch = { negate: false, ranges: [{ first: 0, last: 65535 }] };

/** Rules of one direction as the program reads them. */
export interface RuleList {
  /** Number of `struct sfunnel_rule` in `bytes`, at least 1, because no array is empty. */
  readonly count: number;
  readonly bytes: Uint8Array;
}

function families(family: FamilyName | undefined): number {
  if (family === "ip") return Family.IPV4;
  if (family === "ip6") return Family.IPV6;
  return Family.IPV4 | Family.IPV6;
}

/** Fields of a struct that lies inside a rule, counted from the start of the rule. */
function inside<Name extends string>(
  outer: Field,
  fields: { readonly [name in Name]: Field },
): { readonly [name in Name]: Field } {
  const moved = Object.entries<Field>(fields).map(([name, { offset, size }]) => [
    name,
    { offset: outer.offset + offset, size },
  ]);
  return Object.fromEntries(moved) as { readonly [name in Name]: Field };
}

type AddressFields = { readonly [name in keyof typeof layout.addressMatch.fields]: Field };
type PortFields = { readonly [name in keyof typeof layout.portMatch.fields]: Field };

const { fields } = layout.rule;
const SADDR: AddressFields = inside(fields.saddr, layout.addressMatch.fields);
const DADDR: AddressFields = inside(fields.daddr, layout.addressMatch.fields);
const SPORT: PortFields = inside(fields.sport, layout.portMatch.fields);
const DPORT: PortFields = inside(fields.dport, layout.portMatch.fields);
const PORT: PortFields = inside(fields.port, layout.portMatch.fields);
const ALLOW: PortFields = inside(fields.allow, layout.portMatch.fields);

function encodeAddress(
  record: Record,
  fields: AddressFields,
  match: AddressMatch,
  family: FamilyName,
  sets: SetWriter,
) {
  const { negate, prefixes } = match;
  const [only] = prefixes;
  if (prefixes.length === 1 && only) {
    const { words, length } = addressPrefix(only, family);
    record.setWords(fields.value, words);
    record.setWords(fields.mask, addressMask(length));
  } else {
    const members = () =>
      prefixes.map((prefix) => {
        const { address, length } = prefixBytes(prefix, family);
        return { bytes: address, length };
      });
    record.set(fields.set, sets.add(prefixes.map(formatPrefix).join(), members));
  }
  if (negate) record.set(fields.negate, 1);
}

function encodePorts(record: Record, fields: PortFields, match: PortMatch, sets: SetWriter) {
  const { negate, ranges } = match;
  const [only] = ranges;
  if (ranges.length === 1 && only) {
    record.set(fields.first, only.first);
    record.set(fields.last, only.last);
  } else {
    record.set(
      fields.set,
      sets.add(portSetName(ranges), () => ranges.flatMap(portPrefixes)),
    );
  }
  if (negate) record.set(fields.negate, 1);
}

function encodeSourcePort(record: Record, sport: CarrierSourcePort) {
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
  encodePorts(record, ALLOW, ports, sets);
}

function encodeRule(record: Record, rule: Rule, counter: number, sets: SetWriter) {
  const { family, transport, saddr, daddr, sport, dport, port } = rule.match;
  record.set(fields.counter, counter);
  record.set(fields.transport, IP_PROTOCOL[transport]);
  record.set(fields.families, families(family));
  encodePorts(record, SPORT, sport ?? ANY_PORT, sets);
  encodePorts(record, DPORT, dport ?? ANY_PORT, sets);
  encodePorts(record, PORT, port ?? ANY_PORT, sets);
  if (saddr && family) encodeAddress(record, SADDR, saddr, family, sets);
  if (daddr && family) encodeAddress(record, DADDR, daddr, family, sets);
  encodeAction(record, rule.action, sets);
}

/** Rules between two chances to leave. */
const PART = 128;

/** `counters[i]` is the counter of rule `i`; new sets go to `sets`. */
export function* encodeRules(
  rules: readonly Rule[],
  counters: ArrayLike<number>,
  sets: SetWriter,
): Sliced<RuleList> {
  const { size } = layout.rule;
  const count = Math.max(1, rules.length);
  const bytes = new Uint8Array(count * size);
  const record = new Record(bytes, 0);
  for (let index = 0; index < rules.length; index++) {
    if (index % PART === PART - 1) yield;
    record.moveTo(index * size);
    encodeRule(record, rules[index] as Rule, counters[index] ?? 0, sets);
  }
  return { count, bytes };
}
