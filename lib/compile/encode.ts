/** Rules to the bytes of `struct sfunnel_rule`. Pure: no kernel, no addon. */
import { formatPrefix, prefixBytes } from "../rules/address.ts";
import type { Sliced } from "../rules/sliced.ts";
import type {
  Action,
  AddressMatch,
  CarrierSourcePort,
  Family as FamilyName,
  PortRange,
  Rule,
  Transport,
} from "../rules/types.ts";
import { Family, Limit, layout, MatchField, RuleKind, SourcePort } from "./abi.gen.ts";
import { type Field, Record } from "./record.ts";
import { addressPrefix } from "./search/addresses.ts";
import { formPassedOver } from "./search/form.ts";
import { portPrefixes, portSetName, type SetWriter } from "./sets.ts";

const IP_PROTOCOL: { readonly [name in Transport]: number } = { tcp: 6, udp: 17 };
const ANY_PORT: readonly PortRange[] = [{ first: 0, last: 65535 }];
const SET_NUMBER_BYTES = 4;

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

const { fields } = layout.rule;

/** Where a rule says what an address has to be. */
interface AddressPlace {
  /** Its number among the fields, as in bpf/abi.h. */
  readonly field: number;
  readonly prefix: Field;
  readonly length: Field;
}

/** Where a rule says what a port has to be. */
interface PortPlace {
  readonly field: number;
  readonly ranges: readonly { readonly first: Field; readonly last: Field }[];
}

function rangesOf({ offset }: Field): PortPlace["ranges"] {
  const { size, fields: range } = layout.portRange;
  return Array.from({ length: Limit.RULE_RANGES }, (_, index) => {
    const moved = (field: Field) => ({ ...field, offset: offset + index * size + field.offset });
    return { first: moved(range.first), last: moved(range.last) };
  });
}

const SADDR: AddressPlace = {
  field: MatchField.MATCH_SADDR,
  prefix: fields.saddr,
  length: fields.saddrLength,
};
const DADDR: AddressPlace = {
  field: MatchField.MATCH_DADDR,
  prefix: fields.daddr,
  length: fields.daddrLength,
};
const SPORT: PortPlace = { field: MatchField.MATCH_SPORT, ranges: rangesOf(fields.sport) };
const DPORT: PortPlace = { field: MatchField.MATCH_DPORT, ranges: rangesOf(fields.dport) };
const PORT: PortPlace = { field: MatchField.MATCH_PORT, ranges: rangesOf(fields.port) };
const ALLOW: PortPlace = { field: MatchField.MATCH_ALLOW, ranges: rangesOf(fields.allow) };

/** Places of the numbers of sets, by field. */
const SETS: readonly Field[] = Array.from({ length: MatchField.MATCH_FIELDS }, (_, field) => ({
  offset: fields.sets.offset + field * SET_NUMBER_BYTES,
  size: SET_NUMBER_BYTES,
}));

/** Bit of a field whose match is negated. */
function negatedBit({ field }: { readonly field: number }, match: { negate: boolean } | undefined) {
  return match?.negate ? 1 << field : 0;
}

/** Writes the number of a set; the bit of its field. */
function encodeSet(record: Record, field: number, set: number): number {
  record.set(SETS[field] as Field, set);
  return 1 << field;
}

/** The bit of the field, where it is a set. */
function encodeAddress(
  record: Record,
  place: AddressPlace,
  match: AddressMatch | undefined,
  family: FamilyName | undefined,
  sets: SetWriter,
): number {
  if (match === undefined || family === undefined) return 0;
  const { prefixes } = match;
  const [only] = prefixes;
  if (prefixes.length === 1 && only) {
    const { words, length } = addressPrefix(only, family);
    record.setWords(place.prefix, words);
    record.set(place.length, length);
    return 0;
  }
  const members = () =>
    prefixes.map((prefix) => {
      const { address, length } = prefixBytes(prefix, family);
      return { bytes: address, length };
    });
  const set = sets.add(prefixes.map(formatPrefix).join(), members);
  return encodeSet(record, place.field, set);
}

/** The bit of the field, where it is a set: of more ranges than have room in a rule. */
function encodePorts(
  record: Record,
  place: PortPlace,
  ranges: readonly PortRange[],
  sets: SetWriter,
): number {
  if (ranges.length > place.ranges.length) {
    const set = sets.add(portSetName(ranges), () => ranges.flatMap(portPrefixes));
    return encodeSet(record, place.field, set);
  }
  for (let index = 0; index < place.ranges.length; index++) {
    // Those that are not needed repeat the first one.
    const { first, last } = (ranges[index] ?? ranges[0]) as PortRange;
    const at = place.ranges[index] as PortPlace["ranges"][number];
    record.set(at.first, first);
    record.set(at.last, last);
  }
  return 0;
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

/** The bit of `allow`, where it is a set. */
function encodeAction(record: Record, action: Action, sets: SetWriter): number {
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
      }
      break;
    case "unfunnel":
      record.set(fields.otherTransport, IP_PROTOCOL[action.inner]);
      if (action.mode === "decap") {
        record.set(fields.kind, RuleKind.UNFUNNEL_DECAP);
      } else {
        record.set(fields.kind, RuleKind.UNFUNNEL_TRANSLATE);
      }
      allow = action.allow;
  }
  return encodePorts(record, ALLOW, allow ?? ANY_PORT, sets);
}

function encodeRule(record: Record, rule: Rule, counter: number, sets: SetWriter) {
  const { family, transport, saddr, daddr, sport, dport, port } = rule.match;
  record.set(fields.counter, counter);
  record.set(fields.transport, IP_PROTOCOL[transport]);
  record.set(fields.families, families(family));
  record.set(fields.passesOver, formPassedOver(rule));
  record.set(
    fields.negated,
    negatedBit(SADDR, saddr) |
      negatedBit(DADDR, daddr) |
      negatedBit(SPORT, sport) |
      negatedBit(DPORT, dport) |
      negatedBit(PORT, port),
  );
  record.set(
    fields.inSet,
    encodeAddress(record, SADDR, saddr, family, sets) |
      encodeAddress(record, DADDR, daddr, family, sets) |
      encodePorts(record, SPORT, sport?.ranges ?? ANY_PORT, sets) |
      encodePorts(record, DPORT, dport?.ranges ?? ANY_PORT, sets) |
      encodePorts(record, PORT, port?.ranges ?? ANY_PORT, sets) |
      encodeAction(record, rule.action, sets),
  );
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
