/** Translated connections, end to end: what one side sends the other one understands. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Outcome, Simulator, simulate } from "../../../lib/model/index.ts";
import { parseRules } from "../../../lib/rules/parse.ts";
import type { Direction, Family } from "../../../lib/rules/types.ts";
import { FAMILIES } from "../../support/both-ways.ts";
import {
  checksumsOf,
  describeFrame,
  FLAG,
  hex,
  ipv4,
  mss,
  nat,
  options,
  payload,
  tcp,
} from "../../support/packet.ts";
import {
  CLIENT_RULE,
  CLIENT_SEQ,
  confirmed,
  data,
  direct,
  FIN_ACK,
  type Fields,
  marked,
  markFor,
  own,
  RST_ACK,
  reset,
  SERVICE_RULE,
  syn,
  synAck,
  unconfirmed,
  WANTED,
  wire,
} from "../../support/translated.ts";

const EGRESS = { direction: "egress" } as const;
const INGRESS = { direction: "ingress" } as const;

const client = () => new Simulator({ egress: parseRules(CLIENT_RULE) });
const service = () => new Simulator({ ingress: parseRules(SERVICE_RULE) });

/** Runs a frame, and has it become this. */
function become(
  simulator: Simulator,
  direction: Direction,
  frame: Uint8Array,
  outcome: Outcome,
  out: Uint8Array = frame,
): void {
  const result = simulator.run(frame, { direction });
  expect([result.outcome, describeFrame(result.frame)]).toEqual([outcome, describeFrame(out)]);
  expect(hex(result.frame)).toBe(hex(out));
}

describe("the client's side", () => {
  it("marks the SYN, takes the confirmation out, and rewrites both ways", () => {
    const side = client();
    become(side, "egress", syn(), "funneled", marked());
    become(side, "ingress", confirmed(), "reply_unfunneled", synAck());
    become(side, "egress", own("there"), "funneled", wire("there"));
    become(side, "ingress", wire("back"), "reply_unfunneled", own("back"));
  });

  it("turns an answer without confirmation into a reset, and loses what comes after it", () => {
    const side = client();
    become(side, "egress", syn(), "funneled", marked());
    const refused = synAck({ tcp: { flags: RST_ACK } });
    become(side, "ingress", unconfirmed(), "translate_unconfirmed", refused);
    const answer = reset(own, {}, { flags: FLAG.rst, seq: 0x0a0b0c0d });
    become(side, "egress", own("there", data("there")), "translate_lost", answer);
  });

  it("says that a segment is dropped, and gives its answer", () => {
    const rules = { egress: parseRules(CLIENT_RULE) };
    const lost = simulate(rules, own("there", { content: payload(9) }), EGRESS);
    expect(lost).toMatchObject({ verdict: "drop", outcome: "translate_lost", rule: 0 });
    expect(checksumsOf(lost.frame)).toMatchObject({ ip: "right", outer: "right" });
    const resets = simulate(rules, own("there", { tcp: { flags: FLAG.rst } }), EGRESS);
    expect(resets).toMatchObject({ verdict: "drop", outcome: "translate_lost" });
    expect(hex(resets.frame)).toBe(hex(own("there", { tcp: { flags: FLAG.rst } })));
  });

  it("removes TCP fast open and its data", () => {
    const came = syn({ content: payload(33), tcp: { options: options([34, 1, 2, 3, 4], [3, 7]) } });
    const nops = new Uint8Array(6).fill(1);
    const left = new Uint8Array([...nops, ...options([3, 7]).subarray(0, 3), 1, 1, 1]);
    become(client(), "egress", came, "funneled", marked({ tcp: { options: left } }));
  });

  it("leaves what is signed", () => {
    const signed = syn({ tcp: { options: options([19, ...payload(16)]) } });
    become(client(), "egress", signed, "translate_signed");
  });
});

describe("the service's side", () => {
  it("puts the port back, confirms, and rewrites both ways", () => {
    const side = service();
    become(side, "ingress", marked(), "unfunneled", syn());
    become(side, "egress", synAck(), "reply_funneled", confirmed());
    become(side, "ingress", wire("there"), "unfunneled", own("there"));
    become(side, "egress", own("back"), "reply_funneled", wire("back"));
  });

  it("answers what is not allowed with a reset", () => {
    const answer = reset(wire, {}, { ack: CLIENT_SEQ + 1 });
    become(service(), "ingress", marked({ tcp: markFor(22) }), "translate_not_allowed", answer);
  });

  it("asks a connection that may be alive", () => {
    const side = service();
    become(side, "ingress", marked(), "unfunneled", syn());
    become(side, "egress", synAck(), "reply_funneled", confirmed());
    become(side, "ingress", wire("there"), "unfunneled", own("there"));
    const question = own("there", { tcp: { flags: FLAG.ack, ack: 0 } });
    become(side, "ingress", direct(), "translate_challenged", question);
  });

  it("lets real connections to the service port go on as they are", () => {
    const side = service();
    become(side, "ingress", direct(), "not_carrier");
    become(side, "egress", wire("back"), "no_match");
    become(side, "ingress", wire("there"), "not_carrier");
  });
});

/** A packet as both sides and what is between them leave it. */
class Way {
  readonly #client = client();
  readonly #service = service();
  readonly #translate: (frame: Uint8Array) => Uint8Array;
  readonly #back: (frame: Uint8Array) => Uint8Array;

  constructor(there = (frame: Uint8Array) => frame, back = (frame: Uint8Array) => frame) {
    this.#translate = there;
    this.#back = back;
  }

  there(frame: Uint8Array): Uint8Array {
    const left = this.#client.run(frame, EGRESS);
    expect(left.outcome).toBe("funneled");
    const came = this.#service.run(this.#translate(left.frame), INGRESS);
    expect(came.outcome).toBe("unfunneled");
    return came.frame;
  }

  back(frame: Uint8Array): Uint8Array {
    const left = this.#service.run(frame, EGRESS);
    expect(left.outcome).toBe("reply_funneled");
    const came = this.#client.run(this.#back(left.frame), INGRESS);
    expect(came.outcome).toBe("reply_unfunneled");
    return came.frame;
  }
}

const arbitrarySegment = fc.record({
  way: fc.constantFrom("there" as const, "back" as const),
  flags: fc.constantFrom(FLAG.ack, FLAG.ack | FLAG.psh, FLAG.ack | FLAG.urg, FIN_ACK),
  seq: fc.nat(0xffffffff),
  ack: fc.nat(0xffffffff),
  urgent: fc.nat(0xffff),
  content: fc.uint8Array({ maxLength: 70 }),
  wrongBy: fc.constantFrom(0, 0, 1, 0x1234),
});

describe("both sides together", () => {
  it.each(FAMILIES)("nobody sees that anything happened: %s", (family: Family) => {
    fc.assert(
      fc.property(fc.array(arbitrarySegment, { maxLength: 12 }), (segments) => {
        const way = new Way();
        const opening: Fields = { family, tcp: { options: mss(1460) } };
        expect(hex(way.there(syn(opening)))).toBe(hex(syn(opening)));
        expect(hex(way.back(synAck(opening)))).toBe(hex(synAck(opening)));
        for (const { way: direction, content, wrongBy, ...fields } of segments) {
          const frame = own(direction, {
            family,
            content,
            tcp: { ...fields, checksum: { wrongBy } },
          });
          const arrived = direction === "there" ? way.there(frame) : way.back(frame);
          expect(hex(arrived)).toBe(hex(frame));
        }
      }),
      { numRuns: 200 },
    );
  });

  it("a NAT on the way may pick other addresses and another port", () => {
    const inside = { src: "10.1.1.1" };
    const outside = { src: "203.0.113.1", sport: 61_000 };
    const way = new Way(
      (frame) => nat(frame, outside),
      (frame) => nat(frame, { dst: inside.src, dport: 40_000 }),
    );
    const seen = { ip: { src: outside.src }, tcp: { sport: outside.sport } };
    expect(hex(way.there(syn({ ip: inside })))).toBe(hex(syn(seen)));
    const answer = synAck({ ip: { dst: outside.src }, tcp: { dport: outside.sport } });
    expect(hex(way.back(answer))).toBe(hex(synAck({ ip: { dst: inside.src } })));
  });

  it("each of many connections from one port finds its own way, straight and funneled", () => {
    const near = new Simulator({
      egress: parseRules("tcp dport {8080, 9090} actions funnel translate tcp dport 80"),
    });
    const far = service();
    const begins = [direct(), syn(), syn({ tcp: { dport: 9090 } })];
    const shown = begins.map((frame) => near.run(frame, EGRESS).frame);
    const sources = shown.map((frame) => hex(frame.subarray(34, 36)));
    expect(new Set(sources).size).toBe(3);
    const arrived = shown.map((frame) => far.run(frame, INGRESS));
    expect(arrived.map(({ outcome }) => outcome)).toEqual([
      "not_carrier",
      "unfunneled",
      "unfunneled",
    ]);
    expect(arrived.map(({ frame }) => hex(frame.subarray(36, 38)))).toEqual([
      "0050",
      "1f90",
      "2382",
    ]);
  });
});

describe("a simulator", () => {
  it("never changes its input, nor gives it away", () => {
    const side = client();
    for (const [frame, direction] of [
      [syn({ content: payload(7) }), "egress"],
      [confirmed(), "ingress"],
      [own("there"), "egress"],
      [unconfirmed(), "ingress"],
      [own("there", { tcp: { sport: 1 } }), "egress"],
    ] as const) {
      const copy = new Uint8Array(frame);
      side.run(frame, { direction }).frame.fill(0);
      expect(frame).toEqual(copy);
    }
  });

  it("takes a Buffer, and gives plain bytes", () => {
    const { frame } = client().run(Buffer.from(syn()), EGRESS);
    expect(Object.getPrototypeOf(frame)).toBe(Uint8Array.prototype);
    expect(hex(frame)).toBe(hex(marked()));
  });

  it("remembers connections over other rules, and of both directions apart", () => {
    const side = client();
    become(side, "egress", syn(), "funneled", marked());
    side.replace({});
    become(side, "egress", own("there"), "funneled", wire("there"));
    become(side, "ingress", own("there"), "no_match");
    become(side, "egress", wire("back"), "no_match");
  });

  it("leaves a checksum alone where no port changes, though zero has two forms", () => {
    const rules = { egress: parseRules("tcp dport 80 actions funnel translate tcp dport 80") };
    const side = new Simulator(rules);
    expect(side.run(direct(), EGRESS).outcome).toBe("funneled");
    become(side, "egress", wire("there", { tcp: { checksum: 0xffff } }), "funneled");
  });

  it("knows nothing of other ports", () => {
    const frame = ipv4({}, tcp({ dport: WANTED + 1 }));
    become(client(), "egress", frame, "no_match");
  });
});
