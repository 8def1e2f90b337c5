/** What translating is made of, each for itself. */

import { describe, expect, it } from "vitest";
import { classify } from "../../../lib/model/classify.ts";
import { Connection } from "../../../lib/model/connection.ts";
import { Connections } from "../../../lib/model/connections.ts";
import { type Flow, readFrame } from "../../../lib/model/frame.ts";
import { confirms, formOf, markedPort } from "../../../lib/model/mark.ts";
import { withFields } from "../../../lib/model/segment.ts";
import { headerEnd, isSigned, readOptions } from "../../../lib/model/tcp-options.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import {
  bytes,
  FLAG,
  ipv4,
  options,
  payload,
  type TcpFields,
  tcp,
  tcpCarrier,
  udp,
} from "../../support/packet.ts";

/** The header and payload of a packet with these fields. */
function segment(fields: TcpFields, content?: Uint8Array): Uint8Array {
  return ipv4({}, tcp(fields, content)).slice(34);
}

function packetOf(frame: Uint8Array) {
  const packet = readFrame(frame);
  if (typeof packet === "string") throw new Error(packet);
  return packet;
}

describe("a mark", () => {
  const right = { flags: FLAG.syn, ack: 0x5f0e1f90, urgent: 0xe06f };

  it.each<[string, TcpFields, number | undefined]>([
    ["as it is sent", right, 8080],
    ["of the highest port", { ...right, ack: 0x5f0effff, urgent: 0 }, 65535],
    ["of port 0", { ...right, ack: 0x5f0e0000, urgent: 0xffff }, 0],
    ["with flags that mean nothing here", { ...right, flags: 0xc0 | FLAG.syn | FLAG.psh }, 8080],
    ["with the URG flag", { ...right, flags: FLAG.syn | FLAG.urg }, undefined],
    ["in a SYN-ACK", { ...right, flags: FLAG.syn | FLAG.ack }, undefined],
    ["in a SYN that ends", { ...right, flags: FLAG.syn | FLAG.fin }, undefined],
    ["in no SYN", { ...right, flags: FLAG.ack }, undefined],
    ["of another upper half", { ...right, ack: 0x5f0d1f90 }, undefined],
    ["without its complement", { ...right, urgent: 8080 }, undefined],
  ])("%s", (_, fields, port) => {
    expect(markedPort(segment(fields))).toBe(port);
  });

  it("is one of three forms", () => {
    expect(formOf(packetOf(ipv4({}, tcp(right))))).toBe("marked");
    expect(formOf(packetOf(ipv4({}, tcp())))).toBe("plain");
    expect(formOf(packetOf(ipv4({}, udp())))).toBe("plain");
    expect(formOf(packetOf(ipv4({}, tcpCarrier({}, udp()))))).toBe("carrier");
  });

  it("is confirmed by the port alone", () => {
    const answer = { flags: FLAG.syn | FLAG.ack, urgent: 8080 };
    expect(confirms(segment(answer), 8080)).toBe(true);
    expect(confirms(segment(answer), 8081)).toBe(false);
    expect(confirms(segment({ ...answer, flags: answer.flags | FLAG.urg }), 8080)).toBe(false);
    expect(confirms(segment({ ...answer, flags: FLAG.ack }), 8080)).toBe(false);
    expect(confirms(segment({ ...answer, urgent: 0 }), 0)).toBe(false);
  });
});

describe("rules and forms", () => {
  const rules = parseRules(
    `tcp dport 1 actions unfunnel udp; tcp dport 1 actions unfunnel translate tcp allow 2;
     tcp dport 2 actions funnel translate tcp dport 1; tcp actions accept`,
  );
  const flow = (dport: number): Flow => packetOf(ipv4({}, tcp({ dport }))).flow;

  it.each([
    [1, "plain", 0],
    [1, "carrier", 0],
    [1, "marked", 1],
    [2, "plain", 2],
    [2, "marked", 2],
    [2, "carrier", 3],
    [3, "carrier", 3],
  ] as const)("to port %i, %s: rule %i", (port, form, rule) => {
    expect(classify(rules, flow(port), form)).toBe(rule);
  });
});

describe("TCP options", () => {
  const kinds = (content: Uint8Array) =>
    readOptions(segment({ options: content })).map(({ kind }) => kind);

  it.each<[string, Uint8Array, number[]]>([
    ["none", bytes(), []],
    ["several, with fillers", options([2, 5, 180], [4], [8, ...payload(8)]), [2, 4, 8]],
    ["up to the end of options", bytes("0402 00 22"), [4]],
    ["up to a length of zero", bytes("0402 0300"), [4]],
    ["up to a length of one", bytes("0402 0301"), [4]],
    ["up to one beyond the header", bytes("0402 0303"), [4]],
    ["up to one without a length", bytes("010402 03"), [4]],
  ])("%s", (_, content, expected) => {
    expect(kinds(content)).toEqual(expected);
  });

  it("are not read where the header is not all there", () => {
    expect(readOptions(segment({ dataOffset: 6 }))).toEqual([]);
    expect(readOptions(segment({ dataOffset: 4 }, bytes("22020101")))).toEqual([]);
  });

  it("tell what is signed", () => {
    expect(isSigned(segment({ options: options([19, ...payload(16)]) }))).toBe(true);
    expect(isSigned(segment({ options: options([4], [29, 1, 2]) }))).toBe(true);
    expect(isSigned(segment({ options: options([4], [34]) }))).toBe(false);
  });

  it("end where the payload begins", () => {
    expect(headerEnd(segment({}, payload(5)))).toBe(20);
    expect(headerEnd(segment({ options: options([4]) }, payload(5)))).toBe(24);
    expect(headerEnd(segment({ dataOffset: 15 }, payload(5)))).toBe(25);
    expect(headerEnd(segment({ dataOffset: 2 }, payload(5)))).toBe(20);
  });
});

describe("fields of a segment", () => {
  const changes = { sport: 7, dport: 9, acknowledgment: 1, flags: 0x12, urgent: 3 };

  it("take their checksum along, right or wrong", () => {
    const after: TcpFields = { sport: 7, dport: 9, ack: 1, flags: 0x12, urgent: 3 };
    for (const checksum of ["right", { wrongBy: 77 }] as const) {
      const content = payload(31);
      const changed = withFields(segment({ checksum }, content), changes);
      expect(changed).toEqual(segment({ ...after, checksum }, content));
    }
  });
});

describe("the life of a connection", () => {
  const SYN_ACK = FLAG.syn | FLAG.ack;
  const seg = (flags: number, fields: TcpFields = {}) => segment({ flags, ...fields });
  const answered = (seq: number) => {
    const connection = new Connection();
    connection.sees(seg(FLAG.syn), "there", "funnel");
    connection.sees(seg(SYN_ACK, { seq }), "back", "unfunnel_reply");
    return connection;
  };
  const live = () => {
    const connection = answered(7);
    connection.sees(seg(FLAG.ack, { ack: 8 }), "there", "funnel");
    return connection;
  };

  it.each([
    ["the handshake's last part", 7, FLAG.ack, 8, true],
    ["data that comes before it", 7, FLAG.ack | FLAG.psh, 8, true],
    ["as much as a window later", 7, FLAG.ack, 8 + 0xffff, true],
    ["more than that", 7, FLAG.ack, 8 + 0x10000, false],
    ["less than the answer", 7, FLAG.ack, 7, false],
    ["round the end of the numbers", 0xffffffff, FLAG.ack, 0, true],
    ["a little later, round the end", 0xfffffff0, FLAG.ack, 5, true],
    ["no acknowledgment", 7, FLAG.fin, 8, false],
    ["another SYN", 7, FLAG.syn | FLAG.ack, 8, false],
    ["a reset", 7, FLAG.rst | FLAG.ack, 8, false],
  ] as const)(
    "is established by its client, who has seen the answer: %s",
    (_, seq, flags, ack, isIt) => {
      const connection = answered(seq);
      connection.sees(seg(flags, { ack }), "there", "funnel");
      expect(connection.isEstablished).toBe(isIt);
    },
  );

  it("is not established without an answer, nor by the other side", () => {
    const connection = new Connection();
    connection.sees(seg(FLAG.ack, { ack: 1 }), "there", "funnel");
    connection.sees(seg(SYN_ACK, { seq: 0 }), "there", "funnel");
    connection.sees(seg(FLAG.ack, { ack: 1 }), "there", "funnel");
    expect(connection.isEstablished).toBe(false);
    connection.sees(seg(SYN_ACK, { seq: 0 }), "back", "unfunnel_reply");
    connection.sees(seg(FLAG.ack, { ack: 1 }), "back", "unfunnel_reply");
    expect(connection.isEstablished).toBe(false);
    connection.beginAgain();
    connection.sees(seg(FLAG.ack, { ack: 1 }), "there", "funnel");
    expect(connection.isEstablished).toBe(false);
  });

  it("that is real is established by any answer, as it may be known from its middle on", () => {
    const connection = new Connection();
    connection.sees(seg(SYN_ACK), "back", "direct");
    connection.sees(seg(FLAG.rst | FLAG.ack), "back", "direct");
    expect(connection.isEstablished).toBe(false);
    connection.sees(seg(FLAG.ack), "back", "direct");
    expect(connection.isEstablished).toBe(true);
  });

  it("is not over by a reset from the wire before that, which anybody can send", () => {
    const connection = new Connection();
    expect(connection.sees(seg(FLAG.rst), "there", "unfunnel")).toEqual({ isOver: false });
    connection.sees(seg(SYN_ACK, { seq: 7 }), "back", "funnel_reply");
    connection.sees(seg(FLAG.ack, { ack: 8 }), "there", "unfunnel");
    expect([connection.isEstablished, connection.isClosing]).toEqual([true, false]);
  });

  it("is over by a reset before that", () => {
    expect(new Connection().sees(seg(FLAG.rst), "back", "unfunnel_reply")).toEqual({
      isOver: true,
    });
    expect(new Connection().sees(seg(FLAG.rst), "there", "funnel")).toEqual({ isOver: true });
    expect(live().sees(seg(FLAG.rst), "back", "unfunnel_reply")).toEqual({ isOver: false });
  });

  it("closes by two FINs, or by a reset that its sender does not take back", () => {
    const connection = live();
    connection.sees(seg(FLAG.fin | FLAG.ack), "there", "funnel");
    connection.sees(seg(FLAG.fin | FLAG.ack), "there", "funnel");
    expect(connection.isClosing).toBe(false);
    connection.sees(seg(FLAG.fin | FLAG.ack), "back", "unfunnel_reply");
    expect(connection).toMatchObject({ isClosing: true, isDead: true });
    connection.beginAgain();
    expect(connection).toMatchObject({ isClosing: false, isDead: false, isEstablished: false });
  });

  it.each([
    ["there", false],
    ["back", true],
  ] as const)("a reset %s: dead beyond doubt %s", (side, isDead) => {
    const other = side === "there" ? "back" : "there";
    const kinds = { there: "unfunnel", back: "funnel_reply" } as const;
    const connection = live();
    connection.sees(seg(FLAG.rst), side, kinds[side]);
    expect(connection).toMatchObject({ isClosing: true, isDead });
    connection.sees(seg(FLAG.ack), other, kinds[other]);
    expect(connection.isClosing).toBe(true);
    connection.sees(seg(FLAG.ack), side, kinds[side]);
    expect(connection).toMatchObject({ isClosing: false, isDead: false });
  });
});

describe("the table of connections", () => {
  const { flow } = packetOf(ipv4({}, tcp({ sport: 40000, dport: 8080 })));
  const answer: Flow = {
    ...flow,
    saddr: flow.daddr,
    daddr: flow.saddr,
    sport: 80,
    dport: 40000,
  };

  it("knows the answers too, at the other hook", () => {
    const table = new Connections();
    const entry = table.add("funnel", flow, "egress", { sport: 40000, dport: 80 });
    expect(table.find(flow, "egress")).toBe(entry);
    expect(table.find(flow, "ingress")).toBeUndefined();
    const back = table.find(answer, "ingress");
    expect(back).toMatchObject({ kind: "unfunnel_reply", ports: { sport: 8080, dport: 40000 } });
    expect(back?.connection).toBe(entry.connection);
    if (back) table.remove(back);
    expect(table.find(flow, "egress")).toBeUndefined();
    expect(table.find(answer, "ingress")).toBeUndefined();
  });

  it("gives every flow a port of its own, until those that it tries are taken", () => {
    const table = new Connections();
    const port = () => table.freePort(flow, "egress", 80, 1);
    const given: number[] = [];
    for (let sport = port(); sport !== undefined; sport = port()) {
      given.push(sport);
      table.add("direct", { ...flow, sport, dport: 80 }, "egress", { sport, dport: 80 });
    }
    expect(given[0]).toBe(40000);
    expect(given).toHaveLength(9);
    expect(new Set(given).size).toBe(9);
    for (const one of given) expect(one).toBeGreaterThanOrEqual(1024);
    // Another sequence number tries others.
    expect(table.freePort(flow, "egress", 80, 2)).toBeDefined();
    expect(table.freePort(flow, "ingress", 80, 1)).toBe(40000);
  });
});
