/** What is remembered from frame to frame, in the kernel and in the model. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel, type FunnelRuleset, type Transport } from "../../lib/index.ts";
import { Simulator } from "../../lib/model/index.ts";
import { parseRules } from "../../lib/rules/index.ts";
import { Dialogue } from "../support/dialogue.ts";
import { PAIRS } from "../support/flows.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  type Checksum,
  checksumsOf,
  FLAG,
  ipv4,
  payload,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
} from "../support/packet.ts";

const POD = "198.51.100.7";
const SERVICE_PORT = 80;
const FLOW_PORT = 8080;
const OWN_PORT = 40000;

interface Frame {
  readonly inner: Transport;
  readonly over?: Transport;
  /** The carrier's port on the client's side; none: a frame without a carrier. */
  readonly carrier?: number;
  /** The client's own. */
  readonly port?: number;
  readonly flowPort?: number;
  readonly servicePort?: number;
  readonly flags?: number;
  readonly length?: number;
  readonly checksum?: Checksum;
}

/** Header and payload of a flow, one way or the other. */
function layer(frame: Frame, back: boolean) {
  const { inner, port = OWN_PORT, flowPort = FLOW_PORT, length = 31 } = frame;
  const ports = back ? { sport: flowPort, dport: port } : { sport: port, dport: flowPort };
  const checksum = frame.checksum === undefined ? {} : { checksum: frame.checksum };
  if (inner === "udp") return udp({ ...ports, ...checksum }, payload(length));
  return tcp({ ...ports, ...checksum, flags: frame.flags ?? FLAG.ack }, payload(length));
}

function build(client: string, frame: Frame, back: boolean): Uint8Array {
  const { over = "tcp", carrier, servicePort = SERVICE_PORT } = frame;
  const addresses = back ? { src: POD, dst: client } : { src: client, dst: POD };
  const flow = layer(frame, back);
  if (carrier === undefined) return ipv4(addresses, flow);
  const ports = back
    ? { sport: servicePort, dport: carrier }
    : { sport: carrier, dport: servicePort };
  return ipv4(addresses, over === "tcp" ? tcpCarrier(ports, flow) : udpCarrier(ports, flow));
}

function portsOf(frame: Uint8Array): { readonly sport: number; readonly dport: number } {
  const view = new DataView(frame.buffer, frame.byteOffset);
  return { sport: view.getUint16(34), dport: view.getUint16(36) };
}

const unfunnel = (inner: Transport, over: Transport = "tcp") =>
  `${over} dport ${SERVICE_PORT} actions unfunnel ${inner} allow {${FLOW_PORT}, 9090}`;

describe.skipIf(skipReason)(titled("flows remembered from frame to frame"), () => {
  let funnel: Funnel;
  let client: string;
  let clients = 0;
  beforeAll(async () => {
    funnel = await Funnel.load({});
  });
  afterAll(() => funnel?.close());

  const there = (frame: Frame) => build(client, frame, false);
  const back = (frame: Frame) => build(client, frame, true);
  /** A client of its own for each, because the table remembers those of all. */
  const begin = (ruleset: FunnelRuleset) => {
    client = `192.0.2.${++clients}`;
    return Dialogue.begin(funnel, ruleset);
  };

  describe("where carriers arrive", () => {
    const CHECKSUMS: readonly { inner: Transport; checksum: Checksum }[] = [
      { inner: "tcp", checksum: "right" },
      { inner: "udp", checksum: "right" },
      { inner: "udp", checksum: "none" },
    ];
    const ROWS = (["tcp", "udp"] as const).flatMap((over) =>
      CHECKSUMS.flatMap(({ inner, checksum }) =>
        [0, 1, 31, 1400].map((length) => ({ inner, over, checksum, length })),
      ),
    );

    it.each(ROWS)(
      "a second client of the same port: $inner over $over, checksum $checksum, $length bytes",
      async ({ length, ...row }) => {
        const dialogue = await begin({ ingress: unfunnel(row.inner, row.over) });
        const first: Frame = { ...row, length, flags: FLAG.syn };
        await dialogue.send(
          "ingress",
          there({ ...first, carrier: 540 }),
          "unfunneled",
          there(first),
        );
        // The second gets another port, and nothing else of it changes.
        const arrived = await dialogue.send(
          "ingress",
          there({ ...first, carrier: 1024 }),
          "unfunneled",
        );
        const port = portsOf(arrived).sport;
        expect(port).not.toBe(OWN_PORT);
        expect(port).toBeGreaterThanOrEqual(1024);
        expect(Buffer.from(arrived).equals(there({ ...first, port }))).toBe(true);
        expect(checksumsOf(arrived)).toMatchObject({ ip: "right", outer: row.checksum });
        expect(await dialogue.flows()).toEqual({ added: 2, remapped: 1, moved: 0, direct: 0 });

        // To each its own answer: back to its own carrier, and to its own port under it.
        const answer: Frame = { ...row, length: length + 1, flags: FLAG.syn | FLAG.ack };
        for (const [carrier, shown] of [
          [540, OWN_PORT],
          [1024, port],
        ] as const) {
          await dialogue.send(
            "egress",
            back({ ...answer, port: shown }),
            "reply_funneled",
            back({ ...answer, carrier }),
          );
        }
        // And the same ports later on, whoever speaks.
        const later: Frame = { ...row, length: 5 };
        for (const [carrier, shown] of [
          [1024, port],
          [540, OWN_PORT],
          [1024, port],
        ] as const) {
          await dialogue.send(
            "ingress",
            there({ ...later, carrier }),
            "unfunneled",
            there({ ...later, port: shown }),
          );
        }
        expect(await dialogue.flows()).toEqual({ added: 2, remapped: 1, moved: 0, direct: 0 });
      },
    );

    it.each(PAIRS)("port 0 is a port: $inner over $over", async (pair) => {
      const dialogue = await begin({ ingress: unfunnel(pair.inner, pair.over) });
      const first: Frame = { ...pair, port: 0, flags: FLAG.syn };
      const carried = { ...first, carrier: 540 };
      await dialogue.send("ingress", there(carried), "unfunneled", there(first));
      await dialogue.send("egress", back(first), "reply_funneled", back(carried));
      // A second client of that port has to get another one.
      const second = await dialogue.send(
        "ingress",
        there({ ...first, carrier: 1024 }),
        "unfunneled",
      );
      const { sport: port } = portsOf(second);
      expect(port).toBeGreaterThanOrEqual(1024);
      await dialogue.send(
        "egress",
        back({ ...first, port }),
        "reply_funneled",
        back({ ...first, carrier: 1024 }),
      );
      await dialogue.send("egress", back(first), "reply_funneled", back(carried));
      expect(await dialogue.flows()).toEqual({ added: 2, remapped: 1, moved: 0, direct: 0 });
    });

    it.each(PAIRS)(
      "wrong checksums stay as wrong as they were: $inner over $over",
      async (pair) => {
        const dialogue = await begin({ ingress: unfunnel(pair.inner, pair.over) });
        const frame: Frame = { ...pair, flags: FLAG.syn };
        const checksum = { wrongBy: 7 };
        await dialogue.send("ingress", there({ ...frame, carrier: 540 }), "unfunneled");
        const arrived = await dialogue.send(
          "ingress",
          there({ ...frame, checksum, carrier: 1024 }),
          "unfunneled",
        );
        const port = portsOf(arrived).sport;
        expect(port).not.toBe(OWN_PORT);
        expect(checksumsOf(arrived).outer).toBe("wrong");
        const answered = await dialogue.send(
          "egress",
          back({ ...pair, checksum, port }),
          "reply_funneled",
        );
        expect(checksumsOf(answered, pair.inner).inner).toBe("wrong");
      },
    );

    /** The ports that a second client would get, one after the other, as each of them is taken. */
    function candidates(): readonly number[] {
      const found: number[] = [];
      for (;;) {
        const simulator = new Simulator({ ingress: parseRules(unfunnel("udp")) });
        const send = (frame: Partial<Frame>) =>
          simulator.run(there({ inner: "udp", ...frame }), { direction: "ingress" });
        for (const port of [OWN_PORT, ...found]) send({ carrier: 540, port });
        const { outcome, frame } = send({ carrier: 1024 });
        if (outcome !== "unfunneled") return found;
        found.push(portsOf(frame).sport);
      }
    }

    it("a second client gets the next port where the one it would get is taken", async () => {
      const dialogue = await begin({ ingress: unfunnel("udp") });
      const [wanted, next] = candidates();
      const carried: Frame = { inner: "udp", carrier: 540 };
      for (const port of [OWN_PORT, wanted as number]) {
        await dialogue.send("ingress", there({ ...carried, port }), "unfunneled");
      }
      const shown: Frame = { inner: "udp", port: next as number };
      const second: Frame = { inner: "udp", carrier: 1024 };
      await dialogue.send("ingress", there(second), "unfunneled", there(shown));
      await dialogue.send("egress", back(shown), "reply_funneled", back(second));
      expect(await dialogue.flows()).toEqual({ added: 3, remapped: 1, moved: 0, direct: 0 });
    });

    it("a second client is dropped where all of its ports are taken, and the first is not", async () => {
      const dialogue = await begin({ ingress: unfunnel("udp") });
      const taken = candidates();
      expect(new Set(taken).size).toBe(4);
      const carried: Frame = { inner: "udp", carrier: 540 };
      for (const port of [OWN_PORT, ...taken]) {
        await dialogue.send("ingress", there({ ...carried, port }), "unfunneled");
      }
      const before = (await funnel.stats()).ingress.outcomes.no_free_port.packets;
      for (let round = 0; round < 2; round++) {
        await dialogue.send("ingress", there({ inner: "udp", carrier: 1024 }), "no_free_port");
      }
      expect((await funnel.stats()).ingress.outcomes.no_free_port.packets).toBe(before + 2);
      expect(await dialogue.flows()).toEqual({ added: 5, remapped: 0, moved: 0, direct: 0 });
      await dialogue.send("egress", back({ inner: "udp" }), "reply_funneled", back(carried));
    });

    it.each([
      { title: "a segment", flags: FLAG.ack },
      { title: "a SYN with ACK", flags: FLAG.syn | FLAG.ack },
      { title: "a reset", flags: FLAG.rst },
    ])("a connection that goes on under another carrier is the same: $title", async ({ flags }) => {
      const dialogue = await begin({ ingress: unfunnel("tcp") });
      const tcpFrame: Frame = { inner: "tcp" };
      await dialogue.send(
        "ingress",
        there({ ...tcpFrame, carrier: 540, flags: FLAG.syn }),
        "unfunneled",
      );
      await dialogue.send(
        "ingress",
        there({ ...tcpFrame, carrier: 541, flags }),
        "unfunneled",
        there({ ...tcpFrame, flags }),
      );
      expect(await dialogue.flows()).toEqual({ added: 1, remapped: 0, moved: 1, direct: 0 });
      await dialogue.send(
        "egress",
        back(tcpFrame),
        "reply_funneled",
        back({ ...tcpFrame, carrier: 541 }),
      );
    });

    it("a SYN that is sent again is no other client's", async () => {
      const dialogue = await begin({ ingress: unfunnel("tcp") });
      const syn: Frame = { inner: "tcp", flags: FLAG.syn };
      for (let round = 0; round < 3; round++) {
        await dialogue.send("ingress", there({ ...syn, carrier: 540 }), "unfunneled", there(syn));
      }
      expect(await dialogue.flows()).toEqual({ added: 1, remapped: 0, moved: 0, direct: 0 });
    });

    it("a connection that nobody saw begin is learned from its next segment", async () => {
      const dialogue = await begin({ ingress: unfunnel("tcp") });
      await dialogue.send("egress", back({ inner: "tcp" }), "no_match");
      await dialogue.send("ingress", there({ inner: "tcp", carrier: 540 }), "unfunneled");
      await dialogue.send("egress", back({ inner: "tcp" }), "reply_funneled");
    });

    it.each([
      { title: "to another port of the client", frame: { port: OWN_PORT + 1 } },
      { title: "from another port of the pod", frame: { flowPort: 9090 } },
      { title: "of the other protocol", frame: { inner: "udp" } },
    ] satisfies { title: string; frame: Partial<Frame> }[])(
      "nothing else leaves funneled: $title",
      async ({ frame }) => {
        const dialogue = await begin({ ingress: unfunnel("tcp") });
        await dialogue.send("ingress", there({ inner: "tcp", carrier: 540 }), "unfunneled");
        await dialogue.send("egress", back({ inner: "tcp", ...frame }), "no_match");
        // Nor does the answer itself at the other hook.
        await dialogue.send("ingress", back({ inner: "tcp" }), "no_match");
        await dialogue.send("egress", back({ inner: "tcp" }), "reply_funneled");
      },
    );

    it("a carrier that is dropped is not remembered", async () => {
      const dialogue = await begin({ ingress: unfunnel("tcp") });
      const forbidden: Frame = { inner: "tcp", flowPort: 22 };
      await dialogue.send("ingress", there({ ...forbidden, carrier: 540 }), "not_allowed");
      await dialogue.send("egress", back(forbidden), "no_match");
      expect((await dialogue.flows()).added).toBe(0);
    });

    it.each([
      { title: "accepts", action: "accept", outcome: "accepted" },
      { title: "drops", action: "drop", outcome: "dropped" },
      { title: "funnels", action: "funnel udp dport 7 sport 8", outcome: "funneled" },
    ] as const)("a rule that $title them comes before", async ({ action, outcome }) => {
      const ingress = unfunnel("udp");
      const egress = `udp sport ${FLOW_PORT} actions ${action}`;
      const dialogue = await begin({ ingress, egress });
      await dialogue.send("ingress", there({ inner: "udp", carrier: 540 }), "unfunneled");
      await dialogue.send("egress", back({ inner: "udp" }), outcome);
      await dialogue.replace({ ingress });
      await dialogue.send("egress", back({ inner: "udp" }), "reply_funneled");
    });

    it("flows outlive their rule", async () => {
      const dialogue = await begin({ ingress: unfunnel("udp") });
      await dialogue.send("ingress", there({ inner: "udp", carrier: 540 }), "unfunneled");
      await dialogue.replace({});
      await dialogue.send("ingress", there({ inner: "udp", carrier: 540 }), "no_match");
      await dialogue.send("egress", back({ inner: "udp" }), "reply_funneled");
    });

    it.each([
      { title: "no rule", rule: "", outcome: "no_match" },
      { title: "accept", rule: `; tcp dport ${FLOW_PORT} actions accept`, outcome: "accepted" },
      {
        title: "a rule for carriers",
        rule: `; tcp dport ${FLOW_PORT} actions unfunnel tcp`,
        outcome: "not_carrier",
      },
    ] as const)(
      "a flow that comes without its carrier is answered so: $title",
      async ({ rule, outcome }) => {
        const dialogue = await begin({ ingress: unfunnel("tcp") + rule });
        await dialogue.send("ingress", there({ inner: "tcp", carrier: 540 }), "unfunneled");
        // Another flow's packet is no concern of this one's.
        await dialogue.send("ingress", there({ inner: "tcp", port: 7 }), outcome);
        await dialogue.send("egress", back({ inner: "tcp" }), "reply_funneled");
        expect((await dialogue.flows()).direct).toBe(0);

        await dialogue.send("ingress", there({ inner: "tcp", flags: FLAG.syn }), outcome);
        await dialogue.send("egress", back({ inner: "tcp" }), "no_match");
        expect(await dialogue.flows()).toEqual({ added: 1, remapped: 0, moved: 0, direct: 1 });

        await dialogue.send("ingress", there({ inner: "tcp", carrier: 541 }), "unfunneled");
        await dialogue.send(
          "egress",
          back({ inner: "tcp" }),
          "reply_funneled",
          back({ inner: "tcp", carrier: 541 }),
        );
      },
    );
  });

  describe("where flows leave", () => {
    const funnelRule = ({ inner, over }: { inner: Transport; over: Transport }, sport = "540") =>
      `${inner} dport ${FLOW_PORT} actions funnel ${over} dport ${SERVICE_PORT} sport ${sport}`;

    it.each(PAIRS)(
      "the answer is unfunneled, at the other hook: $inner over $over",
      async (pair) => {
        for (const [out, opposite] of [
          ["egress", "ingress"],
          ["ingress", "egress"],
        ] as const) {
          const dialogue = await begin({ [out]: funnelRule(pair) });
          await dialogue.send(opposite, back({ ...pair, carrier: 540 }), "no_match");
          await dialogue.send(out, there(pair), "funneled", there({ ...pair, carrier: 540 }));
          await dialogue.send(out, back({ ...pair, carrier: 540 }), "no_match");
          await dialogue.send(
            opposite,
            back({ ...pair, carrier: 540 }),
            "reply_unfunneled",
            back(pair),
          );
          expect(await dialogue.flows()).toEqual({ added: 1, remapped: 0, moved: 0, direct: 0 });
        }
      },
    );

    it.each(PAIRS)("and nothing else is: $inner over $over", async (pair) => {
      const dialogue = await begin({ egress: funnelRule(pair) });
      await dialogue.send("egress", there(pair), "funneled");
      const answer: Frame = { ...pair, carrier: 540 };
      for (const other of [
        { port: OWN_PORT + 1 },
        { flowPort: 9090 },
        { servicePort: 81 },
        { over: pair.over === "tcp" ? "udp" : "tcp" },
        // A carrier does not tell what it holds: for a flow of TCP, whatever can be read as such.
        ...(pair.inner === "udp" ? [{ inner: "tcp" as const }] : []),
      ] satisfies Partial<Frame>[]) {
        await dialogue.send("ingress", back({ ...answer, ...other }), "no_match");
      }
      // The port that it goes to may be another by now.
      await dialogue.send("ingress", back({ ...answer, carrier: 541 }), "reply_unfunneled");
    });

    it("a real connection from the service port is no answer", async () => {
      const pair = { inner: "udp", over: "tcp" } as const;
      const dialogue = await begin({ egress: funnelRule(pair) });
      await dialogue.send("egress", there(pair), "funneled");
      const ports = { sport: SERVICE_PORT, dport: 540 };
      const flow = layer(pair, true);
      for (const field of [{ seq: 1 }, { ack: 1 }, { flags: FLAG.syn | FLAG.ack }, { window: 1 }]) {
        const frame = ipv4({ src: POD, dst: client }, tcpCarrier({ ...ports, ...field }, flow));
        await dialogue.send("ingress", frame, "no_match");
      }
    });

    it("a flow that goes on under another carrier is counted", async () => {
      const pair = { inner: "udp", over: "tcp" } as const;
      const dialogue = await begin({ egress: funnelRule(pair) });
      await dialogue.send("egress", there(pair), "funneled");
      await dialogue.replace({ egress: funnelRule({ inner: "udp", over: "udp" }, "541") });
      await dialogue.send("egress", there(pair), "funneled");
      expect(await dialogue.flows()).toEqual({ added: 1, remapped: 0, moved: 1, direct: 0 });
      const answer: Frame = { inner: "udp", over: "udp", carrier: 541 };
      await dialogue.send("ingress", back(answer), "reply_unfunneled");
      await dialogue.send("ingress", back({ ...answer, over: "tcp" }), "no_match");
    });

    it("a flow that does not leave is not remembered", async () => {
      const pair = { inner: "udp", over: "tcp" } as const;
      const dialogue = await begin({ egress: `udp dport ${FLOW_PORT} actions drop` });
      await dialogue.send("egress", there(pair), "dropped");
      await dialogue.send("ingress", back({ ...pair, carrier: 540 }), "no_match");
    });
  });
});
