/**
 * The examples of docs/wire-format.md: what the page shows is what the reference model and the program in
 * the kernel make, under the rules that the page gives.
 */
import { describe, expect, it } from "vitest";
import {
  bytes,
  type Checksum,
  checksumsOf,
  concat,
  ETHERTYPE,
  ethernet,
  hex,
  icmpChecksumsOf,
  ipv4,
  ipv6,
  tcp,
  tcpCarrier,
  udp,
} from "../support/packet.ts";
import { type Earlier, type Row, table } from "../support/table.ts";
import { snippetsOf } from "./document.ts";
import { readDocument } from "./documents.ts";

const page = readDocument("docs/wire-format.md");

// ----------------------------------------------------------------------------- the page

/** The tables between a heading and the next one, as rows of cells; the first row names the columns. */
function tablesOf(heading: string): string[][][] {
  const [, section] = page.text.split(new RegExp(`^#+ ${heading}$`, "m"));
  if (section === undefined) throw new Error(`${page.path}: no heading "${heading}"`);
  const [own = ""] = section.split(/^#+ /m);
  return [...own.matchAll(/(?:^\|.*\n)+/gm)].map(([lines]) => {
    const rows = lines.trimEnd().split("\n").map(cellsOf);
    return rows.filter((_, index) => index !== 1);
  });
}

function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .split("|")
    .map((cell) => cell.trim());
}

/** The rows of the table whose first column has this name, below a heading. */
function rowsOf(heading: string, column: string): string[][] {
  const found = tablesOf(heading).find(([names]) => names?.[0] === column);
  if (found === undefined) throw new Error(`${page.path}: no table of "${column}" at "${heading}"`);
  return found.slice(1);
}

/** Bytes between backticks; none in a cell that is "-". */
function bytesIn(cell: string): Uint8Array {
  const [, digits] = /^`([0-9a-f ]+)`$/.exec(cell) ?? [];
  if (digits === undefined && cell !== "-") throw new Error(`${page.path}: no bytes: "${cell}"`);
  return bytes(digits ?? "");
}

/** A column of an example: its name, and an Ethernet frame with the bytes of its cells. */
function columnsOf(heading: string): { readonly names: readonly string[]; frames: Uint8Array[] } {
  const [example] = tablesOf(heading);
  const [[, ...names] = [], ...rows] = example ?? [];
  // A cell that is empty is as the one to its left.
  const whole = rows.map(([, ...cells]) =>
    cells.map((_, index) => cells.slice(0, index + 1).findLast((cell) => cell !== "") ?? ""),
  );
  const frames = names.map((_, index) => {
    const packet = concat(...whole.map((cells) => bytesIn(cells[index] ?? "")));
    const etherType = (packet[0] ?? 0) >> 4 === 6 ? ETHERTYPE.ipv6 : ETHERTYPE.ipv4;
    return ethernet({ etherType }, packet);
  });
  return { names, frames };
}

const [clientRules = "", serviceRules = ""] = snippetsOf(page)
  .filter(({ language }) => language === "sfunnel")
  .map(({ text }) => text);

// ---------------------------------------------------------------------------- examples

const EXAMPLES = {
  encap: "Example: UDP in a TCP carrier, IPv4",
  encap6: "Example: TCP in a UDP carrier, IPv6",
  reply: "Example: the reply",
  syn: "Example: the SYN, IPv4",
  synAck: "Example: the SYN-ACK, IPv4",
  segment: "Example: a segment after that, IPv4",
  syn6: "Example: the SYN, IPv6",
  unconfirmed: "Example: a SYN-ACK that does not confirm",
  question: "Example: a question to the pod",
  notAllowed: "Example: a mark that is not allowed",
  encapError: "Example: fragmentation needed, about a carrier",
  translateError: "Example: packet too big, about a translated segment",
} as const;

type Name = keyof typeof EXAMPLES;

/** The frame of a column whose name begins like that. */
function frameOf(name: Name, column: string): Uint8Array {
  const { names, frames } = columnsOf(EXAMPLES[name]);
  const frame = frames[names.findIndex((one) => one.startsWith(column))];
  if (frame === undefined) throw new Error(`${page.path}: no column "${column}" in "${name}"`);
  return frame;
}

interface Step extends Pick<Row, "direction" | "frame" | "outcome"> {
  readonly out: Uint8Array;
  /** Index of the rule that matches. */
  readonly rule?: number;
}

const CLIENT = { rules: clientRules, at: "egress" } as const;
const SERVICE = { rules: serviceRules, at: "ingress" } as const;

/** What becomes of a frame that passes a side by the hook of its rules, or by the other one. */
const step = (
  direction: Step["direction"],
  outcome: Step["outcome"],
  name: Name,
  from: string,
  to: string,
  rule?: number,
): Step => ({
  direction,
  outcome,
  frame: frameOf(name, from),
  out: frameOf(name, to),
  ...(rule === undefined ? {} : { rule }),
});

const WIRE = "on the wire";

/** By which hook each example passes each side, and what it is called there. */
const atClient = {
  encap: step("egress", "funneled", "encap", "the flow", WIRE, 0),
  encap6: step("egress", "funneled", "encap6", "at the client", WIRE, 1),
  reply: step("ingress", "reply_unfunneled", "reply", WIRE, "the flow"),
  syn: step("egress", "funneled", "syn", "at the client", WIRE, 2),
  synAck: step("ingress", "reply_unfunneled", "synAck", WIRE, "at the client"),
  segment: step("egress", "funneled", "segment", "at both ends", WIRE, 2),
  syn6: step("egress", "funneled", "syn6", "at both ends", WIRE, 2),
  unconfirmed: step("ingress", "translate_unconfirmed", "unconfirmed", WIRE, "at the client"),
  encapError: step("ingress", "error_unfunneled", "encapError", WIRE, "at the client"),
  translateError: step("ingress", "error_unfunneled", "translateError", WIRE, "at the client"),
};

const atService = {
  encap: step("ingress", "unfunneled", "encap", WIRE, "the flow", 0),
  encap6: step("ingress", "unfunneled", "encap6", WIRE, "at the pod", 1),
  reply: step("egress", "reply_funneled", "reply", "the flow", WIRE),
  syn: step("ingress", "unfunneled", "syn", WIRE, "at the pod", 2),
  synAck: step("egress", "reply_funneled", "synAck", "at the pod", WIRE),
  segment: step("ingress", "unfunneled", "segment", WIRE, "at both ends", 2),
  syn6: step("ingress", "unfunneled", "syn6", WIRE, "at both ends", 2),
  question: step("ingress", "translate_challenged", "question", WIRE, "at the pod", 2),
  notAllowed: step("ingress", "translate_not_allowed", "notAllowed", "comes", "is answered by", 2),
};

function row(
  side: typeof CLIENT | typeof SERVICE,
  name: string,
  { rule, direction, ...rest }: Step,
  before: readonly Step[] = [],
  more: Partial<Row> = {},
): Row {
  const isOwn = direction === side.at;
  const who = side === CLIENT ? "client side" : "service side";
  const earlier: Earlier[] = before.map(({ direction, outcome, frame }) => ({
    direction,
    outcome,
    frame,
  }));
  return {
    name: `${who}: ${name}`,
    direction,
    rules: isOwn ? side.rules : "",
    otherRules: isOwn ? "" : side.rules,
    rule,
    ...(earlier.length > 0 ? { earlier } : {}),
    ...rest,
    ...more,
  };
}

const { encap, encap6, reply, syn, synAck, segment, syn6 } = atClient;
const there = atService;

table("an example of docs/wire-format.md", [
  row(CLIENT, "UDP gets a carrier", encap),
  row(SERVICE, "and loses it", there.encap),
  row(CLIENT, "TCP gets a carrier, and a lower MSS", encap6, [], { mtu: 1500 }),
  row(SERVICE, "and loses it, the MSS stays", there.encap6, [], { mtu: 1500 }),
  row(SERVICE, "the reply gets a carrier", there.reply, [there.encap]),
  row(CLIENT, "and loses it", reply, [encap]),
  row(CLIENT, "a SYN gets its mark", syn),
  row(SERVICE, "and loses it", there.syn),
  row(SERVICE, "a SYN-ACK gets its confirmation", there.synAck, [there.syn]),
  row(CLIENT, "and loses it", synAck, [syn]),
  row(CLIENT, "a segment gets other ports", segment, [syn, synAck]),
  row(SERVICE, "and gets them back", there.segment, [there.syn, there.synAck]),
  row(CLIENT, "a SYN of IPv6 gets its mark", syn6),
  row(SERVICE, "and loses it again", there.syn6),
  row(CLIENT, "a SYN-ACK becomes a reset", atClient.unconfirmed, [syn]),
  row(SERVICE, "a SYN becomes a question", there.question, [
    there.syn,
    there.synAck,
    there.segment,
  ]),
  row(SERVICE, "a SYN is answered by a reset", addressedBack(there.notAllowed)),
  row(CLIENT, "an error about a carrier", atClient.encapError, [encap]),
  row(CLIENT, "an error about a translated segment", atClient.translateError, [syn6]),
]);

/** The answer goes back to the station that the frame came from. */
function addressedBack({ out, ...rest }: Step): Step {
  const answer = concat(out.subarray(6, 12), out.subarray(0, 6), out.subarray(12));
  return { ...rest, out: answer };
}

describe("docs/wire-format.md", () => {
  it("has no example that is not run", () => {
    const headings = [...page.text.matchAll(/^#+ (Example: .*)$/gm)].map(([, heading]) => heading);
    expect(headings.sort()).toEqual(Object.values(EXAMPLES).sort());
  });

  const inner: Partial<Record<Name, "tcp" | "udp">> = { encap: "udp", reply: "udp", encap6: "tcp" };
  const frames = (Object.keys(EXAMPLES) as Name[]).flatMap((name) => {
    const columns = columnsOf(EXAMPLES[name]);
    return columns.names.map((column, index) => [name, column, columns.frames[index]] as const);
  });

  it.each(frames)("has right checksums in its example %s, %s", (name, column, frame) => {
    if (frame === undefined) throw new Error("no frame");
    const {
      ip,
      outer,
      inner: inside,
    } = checksumsOf(frame, column === WIRE ? inner[name] : undefined);
    const { message, quotedIp } = icmpChecksumsOf(frame);
    const states = [ip, outer, inside, message, quotedIp].filter((state) => state !== undefined);
    expect(states.length).toBeGreaterThan(0);
    expect(new Set(states)).toEqual(new Set(["right"]));
  });

  it.each([
    ["TCP", "encap", 34, 20],
    ["UDP", "encap6", 54, 8],
  ] as const)("says of the %s carrier what its example shows", (transport, name, start, length) => {
    const carrier = frameOf(name, WIRE).subarray(start, start + length);
    let end = 0;
    for (const [offset, width, , value = ""] of rowsOf(`The ${transport} carrier`, "offset")) {
      expect(Number(offset)).toBe(end);
      end += Number(width);
      const [, fixed] = /^`0x([0-9a-f]+)`$/.exec(value) ?? [];
      if (fixed) expect(hex(carrier.subarray(Number(offset), end))).toBe(fixed);
    }
    expect(end).toBe(length);
  });
});

// --------------------------------------------------------------------------- test values

const [, udpClientRule = ""] = clientRules.split("\n");

/** A checksum field that is exactly this. */
function checksumIn(cell: string): Checksum {
  const field = Number.parseInt(hex(bytesIn(cell)), 16);
  return field === 0 ? "none" : field;
}

table(
  "checksums of docs/wire-format.md",
  rowsOf("The checksums", "payload").map(([content = "", own = "", inside = "", outer = ""]) => {
    const packet = udp({ checksum: checksumIn(own) }, bytesIn(content));
    const carried = udp({ checksum: checksumIn(inside) }, bytesIn(content));
    return {
      name: `of the payload ${content}`,
      rules: udpClientRule,
      direction: "egress",
      frame: ipv4({}, packet),
      outcome: "funneled",
      inner: "udp",
      out: ipv4({}, tcpCarrier({ sport: 540, dport: 179, checksum: checksumIn(outer) }, carried)),
    };
  }),
);

table(
  "the hash of docs/wire-format.md",
  rowsOf("The ports of a carrier", "protocol").flatMap((cells) => {
    const [protocol = "", source = "", sport, destination = "", dport, hash, ...ports] = cells;
    const build = protocol === "tcp" ? tcp : udp;
    const packet = build({ sport: Number(sport), dport: Number(dport) });
    const addresses = { src: source.slice(1, -1), dst: destination.slice(1, -1) };
    const frame = addresses.src.includes(":") ? ipv6 : ipv4;
    const ranges = [
      [540, 549],
      [1024, 65535],
    ] as const;
    return ranges.map(([first, last], index): Row => {
      const port = Number(ports[index]);
      // The page shows the hash beside the ports, and how they follow from it.
      const followed =
        first + Math.floor((Number(hash?.slice(1, -1)) * (last - first + 1)) / 2 ** 32);
      if (followed !== port)
        throw new Error(`${page.path}: ${hash} gives ${followed}, not ${port}`);
      return {
        name: `${protocol} from ${source} ${sport} to ${destination} ${dport}, ${first}-${last}`,
        rules: `${protocol} actions funnel tcp dport 179 sport ${first}-${last}`,
        direction: "egress",
        frame: frame(addresses, packet),
        outcome: "funneled",
        out: frame(addresses, tcpCarrier({ sport: port, dport: 179 }, packet)),
      };
    });
  }),
);
