/**
 * `sport a-b every t`: a carrier moves from port to port with time, and the service side takes it for
 * the same flow, whoever else is behind the same address.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { simulate } from "../../lib/model/index.ts";
import { parseRules } from "../../lib/rules/index.ts";
import { Dialogue } from "../support/dialogue.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { hex, ipv4, payload, tcp, tcpCarrier, udp } from "../support/packet.ts";

const CLIENT = "192.0.2.1";
const POD = "198.51.100.7";

/** Seconds on the kernel's monotonic clock. */
const now = () => process.hrtime()[0];

const portOf = (frame: Uint8Array) => new DataView(frame.buffer, frame.byteOffset).getUint16(34);
const urgentOf = (frame: Uint8Array) => new DataView(frame.buffer, frame.byteOffset).getUint16(52);

describe.skipIf(skipReason)(titled("carriers that move"), () => {
  describe.each(["tcp", "udp"] as const)("over %s", (over) => {
    const egress = parseRules(
      `udp dport 2055 actions funnel ${over} dport 179 sport 540-679 every 1s`,
    );
    let funnel: Funnel;
    beforeAll(async () => {
      funnel = await Funnel.load({ egress });
    });
    afterAll(() => funnel?.close());

    /** What the kernel makes of it, and in which second; never at the border of two. */
    async function within(frame: Uint8Array) {
      for (;;) {
        const time = now();
        const result = await funnel.testRun(frame, { direction: "egress" });
        // The kernel's cheap clock is behind by up to a jiffy.
        if (now() === time && process.hrtime()[1] > 10_000_000) return { ...result, time };
      }
    }

    it("show what the model says, second by second, and come to the next port", async () => {
      const flows = [40000, 40001, 40002].map((sport) =>
        ipv4({ src: CLIENT, dst: POD }, udp({ sport, dport: 2055 }, payload(20))),
      );
      const seen = flows.map(() => new Map<number, number>());
      const begun = now();
      await eventually(async () => {
        for (const [index, frame] of flows.entries()) {
          const { frame: out, outcome, time } = await within(frame);
          expect(outcome).toBe("funneled");
          const expected = simulate({ egress }, frame, { direction: "egress", time });
          expect(hex(out)).toBe(hex(expected.frame));
          seen[index]?.set(time, portOf(out));
        }
        return now() >= begun + 3;
      });
      for (const ports of seen) {
        expect(ports.size).toBeGreaterThan(2);
        for (const [time, port] of ports) {
          const [first = 0, begin = 0] = [...ports][0] ?? [];
          expect(port).toBe(540 + ((begin - 540 + time - first) % 140));
        }
      }
      expect((await funnel.stats()).flows.moved).toBeGreaterThan(5);
    });
  });

  it("tell whose flow it is in a TCP carrier, and nothing where they stay", async () => {
    const frame = ipv4({ src: CLIENT, dst: POD }, udp({ dport: 2055 }, payload(20)));
    const other = ipv4({ src: "192.0.2.2", dst: POD }, udp({ dport: 2055 }, payload(20)));
    const rule = (sport: string) => `udp dport 2055 actions funnel tcp dport 179 sport ${sport}`;
    await using funnel = await Funnel.load({ egress: rule("540-549 every 1h") });
    const send = async (out: Uint8Array) =>
      urgentOf((await funnel.testRun(out, { direction: "egress" })).frame);
    const id = await send(frame);
    expect(id).not.toBe(0);
    expect(await send(frame)).toBe(id);
    expect(await send(other)).not.toBe(id);
    await funnel.replace({ egress: rule("540-549") });
    expect(await send(frame)).toBe(0);
  });

  describe.each(["udp", "tcp"] as const)("of %s, where they arrive", (inner) => {
    let funnel: Funnel;
    beforeAll(async () => {
      funnel = await Funnel.load({});
    });
    afterAll(() => funnel?.close());

    let clients = 0;
    async function begin() {
      const client = `192.0.2.${10 + ++clients}`;
      const ingress = `tcp dport 179 actions unfunnel ${inner} allow 2055`;
      const dialogue = await Dialogue.begin(funnel, { ingress });
      const layer = (sport: number, dport: number) =>
        inner === "udp"
          ? udp({ sport, dport }, payload(9))
          : tcp({ sport, dport, flags: 0x02 }, payload(0));
      return {
        dialogue,
        there: (carrier: number, urgent: number) =>
          ipv4(
            { src: client, dst: POD },
            tcpCarrier({ sport: carrier, dport: 179, urgent }, layer(40000, 2055)),
          ),
        plain: (port: number) => ipv4({ src: client, dst: POD }, layer(port, 2055)),
        back: (port: number) => ipv4({ src: POD, dst: client }, layer(2055, port)),
        carried: (carrier: number) =>
          ipv4(
            { src: POD, dst: client },
            tcpCarrier({ sport: 179, dport: carrier }, layer(2055, 40000)),
          ),
      };
    }

    it("are one flow under its own port, and replies go to where it is now", async () => {
      const { dialogue, there, plain, back, carried } = await begin();
      for (const carrier of [540, 541, 542, 549, 540]) {
        await dialogue.send("ingress", there(carrier, 7), "unfunneled", plain(40000));
        await dialogue.send("egress", back(40000), "reply_funneled", carried(carrier));
      }
      expect(await dialogue.flows()).toEqual({ added: 1, remapped: 0, moved: 4, direct: 0 });
    });

    it("of two clients behind one address stay two, each under one port", async () => {
      const { dialogue, there, plain, back, carried } = await begin();
      await dialogue.send("ingress", there(540, 7), "unfunneled", plain(40000));
      const second = await dialogue.send("ingress", there(700, 8), "unfunneled");
      const port = portOf(second);
      expect(port).not.toBe(40000);
      for (const step of [1, 2, 3, 4, 5, 6]) {
        await dialogue.send("ingress", there(700 + step, 8), "unfunneled", plain(port));
        await dialogue.send("ingress", there(540 + step, 7), "unfunneled", plain(40000));
        await dialogue.send("egress", back(port), "reply_funneled", carried(700 + step));
        await dialogue.send("egress", back(40000), "reply_funneled", carried(540 + step));
      }
      expect(await dialogue.flows()).toEqual({ added: 2, remapped: 1, moved: 12, direct: 0 });
    });

    it("are one flow also if one packet under a carrier does not say so", async () => {
      const { dialogue, there, plain } = await begin();
      for (const [carrier, id] of [
        [540, 7],
        [541, 7],
        [541, 0],
        [542, 7],
      ] as const) {
        await dialogue.send("ingress", there(carrier, id), "unfunneled", plain(40000));
      }
      expect(await dialogue.flows()).toEqual({ added: 1, remapped: 0, moved: 2, direct: 0 });
    });

    it("of which a middlebox cleared that are another client's after a move", async () => {
      const { dialogue, there, plain } = await begin();
      await dialogue.send("ingress", there(540, 0), "unfunneled", plain(40000));
      const moved = await dialogue.send("ingress", there(541, 0), "unfunneled");
      expect(portOf(moved)).not.toBe(40000);
      expect((await dialogue.flows()).remapped).toBe(1);
    });
  });
});
