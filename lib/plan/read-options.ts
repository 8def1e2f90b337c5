/** The options of a plan, checked, with nothing left out. */
import { formatPrefix, parsePrefix } from "../rules/address.ts";
import { buildCarrierSource, readPortsInput } from "../rules/builders.ts";
import { nearestWord } from "../rules/nearest.ts";
import { checkOptionNames, optionError } from "../rules/options.ts";
import { isPort, PORT_WORDS } from "../rules/ports.ts";
import { listWords, quoteText, quoteValue } from "../rules/quote.ts";
import type { Family, PortRange, Transport } from "../rules/types.ts";
import type { CarrierPorts, PlanClient, TcpMode } from "./types.ts";

/** Flows as they were asked for. */
export interface AskedFlow {
  readonly protocol: Transport;
  readonly ports: readonly PortRange[];
  readonly mode: TcpMode;
}

export interface Asked {
  /** Addresses of the service in canonical text, by family; families without any are left out. */
  readonly addresses: ReadonlyMap<Family, readonly string[]>;
  readonly over: Transport;
  readonly servicePort: number;
  readonly flows: readonly AskedFlow[];
  readonly client: PlanClient;
  readonly sport: CarrierPorts;
}

const CLIENTS: readonly PlanClient[] = ["host", "gateway", "redundant-gateways"];
const TRANSPORTS: readonly Transport[] = ["tcp", "udp"];
const MODES: readonly TcpMode[] = ["translate", "encap"];

/** The source port that carriers of the original's examples have. */
const DEFAULT_SPORT = 540;

const ONLY_TCP = "only TCP can be translated, and only over TCP";

/** @throws OptionError for an option that is misspelt, missing, or out of range. */
export function readOptions(options: unknown): Asked {
  checkOptionNames("plan", options, ["service", "flows", "client", "tcp", "sport"]);
  const { service, addresses } = readService(options.service);
  const client = readWord("client", options.client ?? "host", CLIENTS);
  const tcp = readTcp(options.tcp, service.over, client);
  const sport = readSport(options.sport ?? DEFAULT_SPORT, service.over);
  const flows = readFlows(options.flows, service.over, tcp);
  return { ...service, addresses, client, sport, flows };
}

function readService(value: unknown) {
  if (value === undefined) {
    throw wrong("service", "{ address, port, protocol }", value);
  }
  checkOptionNames("plan: service", value, ["address", "port", "protocol"]);
  const over = readWord("service.protocol", value.protocol, TRANSPORTS);
  if (!isPort(value.port)) {
    throw wrong("service.port", PORT_WORDS, value.port);
  }
  return {
    service: { over, servicePort: value.port },
    addresses: readAddresses(value.address),
  };
}

function readAddresses(value: unknown): Map<Family, string[]> {
  const values: readonly unknown[] = Array.isArray(value) ? [...value] : [value];
  if (values.length === 0) {
    throw wrong("service.address", "at least one address", value);
  }
  const addresses = new Map<Family, string[]>();
  for (const each of values) {
    const parsed = typeof each === "string" ? parsePrefix(each) : { problem: undefined };
    if ("problem" in parsed) {
      const words = 'an address of the service, such as "203.0.113.1"';
      throw wrong("service.address", words, each, parsed.problem);
    }
    const address = formatPrefix(parsed.prefix);
    if (address.includes("/")) {
      throw wrong("service.address", "one address, or an array of such", each, "not a prefix");
    }
    const known = addresses.get(parsed.family) ?? [];
    addresses.set(parsed.family, known.includes(address) ? known : [...known, address]);
  }
  return addresses;
}

function readTcp(value: unknown, over: Transport, client: PlanClient): TcpMode {
  if (value === undefined) {
    return over === "udp" || client === "redundant-gateways" ? "encap" : "translate";
  }
  const tcp = readWord("tcp", value, MODES);
  assertTranslatable("tcp", tcp, "tcp", over);
  return tcp;
}

/** One port is a range as well. */
function readSport(value: unknown, over: Transport): CarrierPorts {
  if (isPort(value)) {
    return { first: value, last: value };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong("sport", `${PORT_WORDS}, or { first, last, every }`, value);
  }
  const source = buildCarrierSource("plan", value);
  if (source.kind !== "range") {
    throw wrong("sport", "{ first, last, every }", value);
  }
  const { first, last, every } = source;
  if (every === undefined) {
    return { first, last };
  }
  if (over === "udp") {
    const problem = "only carriers of TCP move, and those of UDP need not";
    throw optionError("plan", "sport.every", problem, "leave it out");
  }
  return { first, last, every };
}

function readFlows(value: unknown, over: Transport, tcp: TcpMode): AskedFlow[] {
  if (!Array.isArray(value)) {
    throw wrong("flows", "an array of { protocol, port }", value);
  }
  if (value.length === 0) {
    throw wrong("flows", "at least one flow", value);
  }
  // A copy has undefined where a sparse array has holes, which is refused.
  const flows = [...value].map((flow, index) => readFlow(flow, `flows[${index}]`, over, tcp));
  for (const [index, flow] of flows.entries()) {
    for (const earlier of flows.slice(0, index)) {
      assertApart(flow, earlier, `flows[${index}].port`);
    }
  }
  return flows;
}

function readFlow(value: unknown, path: string, over: Transport, tcp: TcpMode): AskedFlow {
  if (value === undefined) {
    throw wrong(path, "{ protocol, port }", value);
  }
  checkOptionNames(`plan: ${path}`, value, ["protocol", "port", "mode"]);
  const protocol = readWord(`${path}.protocol`, value.protocol, TRANSPORTS);
  const ports = readPortsInput("plan", `${path}.port`, value.port);
  if (value.mode === undefined) {
    return { protocol, ports, mode: protocol === "tcp" ? tcp : "encap" };
  }
  const mode = readWord(`${path}.mode`, value.mode, MODES);
  assertTranslatable(`${path}.mode`, mode, protocol, over);
  return { protocol, ports, mode };
}

function assertTranslatable(option: string, mode: TcpMode, flow: Transport, over: Transport) {
  if (mode === "translate" && (flow !== "tcp" || over !== "tcp")) {
    throw optionError("plan", option, ONLY_TCP, 'leave it out, or write "encap"');
  }
}

/** Two answers to the question how a port travels are refused. */
function assertApart(flow: AskedFlow, earlier: AskedFlow, option: string): void {
  if (flow.protocol !== earlier.protocol) {
    return;
  }
  for (const { first, last } of flow.ports) {
    const other = earlier.ports.find((range) => range.first <= last && range.last >= first);
    if (other !== undefined) {
      const port = Math.max(first, other.first);
      throw optionError("plan", option, `${flow.protocol} port ${port} stands in two flows`);
    }
  }
}

function readWord<Word extends string>(
  option: string,
  value: unknown,
  words: readonly Word[],
): Word {
  const found = words.find((word) => word === value);
  if (found !== undefined) {
    return found;
  }
  const meant = typeof value === "string" ? nearestWord(value, words) : undefined;
  const hint = meant === undefined ? undefined : `did you mean ${quoteText(meant)}?`;
  throw wrong(option, listWords(words.map(quoteText)), value, hint);
}

function wrong(option: string, expected: string, value: unknown, hint?: string) {
  const found = value === undefined ? "nothing" : quoteValue(value);
  return optionError("plan", option, `expected ${expected}, found ${found}`, hint);
}
