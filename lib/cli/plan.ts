/** The rules of both sides as text, from what is wanted. */
import { OptionError } from "../errors.ts";
import { plan as makePlan } from "../plan/plan.ts";
import type {
  CarrierPorts,
  Plan,
  PlanClient,
  PlanFlow,
  PlannedFlow,
  PlanOptions,
  PlanSide,
  TcpMode,
} from "../plan/types.ts";
import { DURATION_WORDS, formatDuration, parseDuration } from "../rules/carrier-source.ts";
import { formatRule, formatRules } from "../rules/format.ts";
import { formatPortRange, parsePort } from "../rules/ports.ts";
import { quoteText } from "../rules/quote.ts";
import type { Transport } from "../rules/types.ts";
import type { VariableName } from "./env.ts";
import { print, printJson } from "./output.ts";

/** The command line as it was typed. */
export interface PlanCommandOptions {
  /** "179/tcp" */
  readonly service: string;
  readonly address: readonly string[];
  readonly client?: string;
  readonly tcp?: string;
  readonly sport?: string;
  readonly json?: true;
}

/** @throws OptionError naming what on the command line is wrong. */
export function plan(flows: readonly string[], command: PlanCommandOptions): void {
  const planned = makePlan(readCommand(flows, command));
  if (command.json) printJson(toJson(planned));
  else print(describe(planned, command.client ?? "host"));
}

function readCommand(flows: readonly string[], command: PlanCommandOptions): PlanOptions {
  const { client, tcp, sport, address } = command;
  const [port, protocol, ...others] = command.service.split("/");
  if (protocol === undefined || others.length > 0) {
    throw wrong("--service", "PORT/PROTOCOL, such as 179/tcp", command.service);
  }
  // Words that are none are refused by the plan itself.
  return {
    service: { address, port: readPort("--service", port), protocol: transportOf(protocol) },
    flows: flows.map(readFlow),
    ...(client !== undefined && { client: client as PlanClient }),
    ...(tcp !== undefined && { tcp: tcp as TcpMode }),
    ...(sport !== undefined && { sport: readSport(sport) }),
  };
}

function readFlow(text: string): PlanFlow {
  const [ports = "", protocol, mode, ...others] = text.split("/");
  if (protocol === undefined || others.length > 0) {
    throw wrong("flow", "PORTS/PROTOCOL[/MODE], such as 2055,4739/udp or 8080/tcp/encap", text);
  }
  return {
    protocol: transportOf(protocol),
    port: ports.split(",").map((port) => port.trim()),
    ...(mode !== undefined && { mode: mode as TcpMode }),
  };
}

/** kubectl writes it in capitals. */
function transportOf(text: string): Transport {
  return text.toLowerCase() as Transport;
}

function readPort(option: string, text = ""): number {
  const port = parsePort(text.trim());
  if (port === undefined) throw wrong(option, "a port (1 to 65535)", text);
  return port;
}

const SPORT = /^(?<first>\d+)(?:-(?<last>\d+)(?:\s+every\s+(?<every>\S+))?)?$/;

/** A port, or ports as rules have them: 540-571 every 4s. */
function readSport(text: string): number | CarrierPorts {
  const words = SPORT.exec(text.trim())?.groups;
  if (words === undefined) {
    throw wrong("--sport", 'a port, or ports such as "540-571 every 4s"', text);
  }
  const first = readPort("--sport", words.first);
  if (words.last === undefined) return first;
  const last = readPort("--sport", words.last);
  if (words.every === undefined) return { first, last };
  const every = parseDuration(words.every);
  if (every === undefined) throw wrong("--sport", DURATION_WORDS, words.every);
  return { first, last, every };
}

function wrong(option: string, expected: string, found: string): OptionError {
  const message = `${option}: expected ${expected}, found ${quoteText(found)}`;
  return new OptionError(option, message, { operation: "plan" });
}

const PLACES: Readonly<Record<string, string>> = {
  host: "each client, on the interface to the service",
  gateway: "the gateway, on the interface to the clients",
  "redundant-gateways": "each gateway, on the interface to the clients",
};

/** Assignments as a shell reads them, and everything else as its comments. */
function describe({ client, service, flows, overhead, warnings }: Plan, place: string): string {
  return [
    `# Client side: ${PLACES[place]}`,
    ...assignments(client),
    "",
    "# Service side: each backend, in its network namespace",
    ...assignments(service),
    "",
    overhead === 0 ? "# No packet grows:" : `# A packet grows by ${overhead} bytes at most:`,
    ...flows.map((flow) => `#   ${describeFlow(flow)}`),
    ...warnings.flatMap(({ code, message }) => ["#", ...fold(`warning: ${message} [${code}]`)]),
  ].join("\n");
}

const WIDTH = 100;

/** A comment of several lines. */
function fold(text: string): readonly string[] {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = "#  ";
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function assignments({ ingress, egress }: PlanSide): readonly string[] {
  const lists: readonly (readonly [VariableName, PlanSide["ingress"]])[] = [
    ["SFUNNEL_RULESET_INGRESS", ingress],
    ["SFUNNEL_RULESET_EGRESS", egress],
  ];
  const written = lists.filter(([, rules]) => rules.length > 0);
  if (written.length === 0) return ["# no rule"];
  // The text of a planned rule has no quotes in it.
  return written.map(([name, rules]) => `${name}='${formatRules(rules)}'`);
}

function describeFlow({ protocol, ports, mode, overhead, sport }: PlannedFlow): string {
  const travels = {
    direct: "goes as it is",
    translate: "is translated",
    encap: `goes in carriers from ${describePorts(sport)}`,
  }[mode];
  const grows = overhead === 0 ? "" : `, ${overhead} bytes more`;
  return `${ports.map(formatPortRange).join(",")}/${protocol} ${travels}${grows}`;
}

function describePorts(sport: PlannedFlow["sport"]): string {
  if (typeof sport !== "object") return `port ${sport}`;
  const { every } = sport;
  return `ports ${formatPortRange(sport)}${every === undefined ? "" : ` every ${formatDuration(every)}`}`;
}

/** The document of --json: fields are added to it, never changed. */
function toJson({ client, service, flows, overhead, warnings }: Plan) {
  const side = ({ ingress, egress }: PlanSide) => ({
    ingress: ingress.map(formatRule),
    egress: egress.map(formatRule),
  });
  return {
    client: side(client),
    service: side(service),
    flows: flows.map(({ protocol, ports, mode, overhead: bytes, sport }) => ({
      ...{ protocol, ports: ports.map(formatPortRange), mode, overhead: bytes },
      sport: sport ?? null,
    })),
    overhead,
    warnings,
  };
}
