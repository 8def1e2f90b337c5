/** One rule a side: the client funnels, the pod unfunnels, and the answers find back. */
import { describe, expect, it } from "vitest";
import type { Direction } from "../../lib/index.ts";
import { expectCarriers, useEnds } from "../support/ends.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import {
  clientRules,
  FLOW_PORT,
  ownPort,
  PAIRS,
  type Pair,
  SERVICE_PORT,
  serviceRules,
} from "../support/flows.ts";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { CLIENT, POD, twoHosts } from "../support/reply-lab.ts";
import { beginTalk, serve, talk } from "../support/talk.ts";

const MESSAGES = 10;

describe.skipIf(skipReason)(titled("replies with one rule a side"), () => {
  const shared = useEnds((lab) => {
    const hosts = twoHosts(lab);
    const { client, pod } = hosts;
    return { hosts, near: { host: client, device: "eth0", out: "egress" }, server: pod };
  });

  /** What the table of flows of either end has counted. */
  const flows = () => {
    const { near, far } = shared().ends;
    return Promise.all([near, far].map(async ({ funnel }) => (await funnel.stats()).flows));
  };

  describe.each(FAMILIES)("%s", (family) => {
    const peer = { address: inFamily(family, POD), port: FLOW_PORT, from: 21_000 };

    it.each(PAIRS)("$inner over $over", async (pair) => {
      const from = ownPort(pair);
      const {
        lab,
        hosts: { client, pod },
        ends,
      } = shared();
      await ends.beginReplies(pair);
      const before = await flows();
      const wire = await lab.capture(pod, "eth0", [family]);
      await serve(lab, pod, pair.inner, { port: FLOW_PORT, family });
      const talking = await talk(lab, client, pair.inner, { ...peer, from });
      const sender = inFamily(family, CLIENT);
      for (let message = 0; message < MESSAGES; message++) {
        const text = `message ${message}`;
        expect(await talking.ask(text)).toEqual({ text, sender, senderPort: from });
      }
      await talking.close();

      const { out, back } = await ends.expectAllFunneled({ replies: true, messages: MESSAGES });
      const after = await flows();
      for (const [index, was] of before.entries()) {
        const { mssClamped = 0, ...counts } = after[index] ?? {};
        const { mssClamped: clampedBefore, ...countsBefore } = was;
        const { entries, added } = was;
        expect(counts).toEqual({ ...countsBefore, entries: entries + 1, added: added + 1 });
        expect(mssClamped > clampedBefore).toBe(pair.inner === "tcp");
      }

      // The service port is all that anybody in between sees, both ways.
      await expectCarriers(wire, family, pair, { out, back });
    });

    it("and a rule of the pod, which takes precedence", async () => {
      const { lab, hosts, ends } = shared();
      const pair: Pair = { inner: "tcp", over: "tcp" };
      await ends.near.begin({ egress: clientRules(pair).out });
      await ends.far.begin({
        ingress: serviceRules(pair).ingress,
        egress: `${pair.inner} sport ${FLOW_PORT} actions accept`,
      });
      await serve(lab, hosts.pod, pair.inner, { port: FLOW_PORT, family });
      const talking = await talk(lab, hosts.client, pair.inner, peer);
      // Nobody stands in between here who would mind the answer's own port.
      await talking.ask("one");
      await talking.close();
      const met = async (direction: Direction) => [
        Object.keys(await ends.near.counted(direction)),
        Object.keys(await ends.far.counted(direction)),
      ];
      expect(await met("egress")).toEqual([["funneled"], ["accepted"]]);
      expect(await met("ingress")).toEqual([["no_match"], ["unfunneled"]]);
    });

    it("and a rule of the client, which takes precedence", async () => {
      const { lab, hosts, ends } = shared();
      const pair: Pair = { inner: "udp", over: "tcp" };
      await ends.near.begin({
        egress: clientRules(pair).out,
        ingress: `${pair.over} sport ${SERVICE_PORT} actions accept`,
      });
      await ends.far.begin({ ingress: serviceRules(pair).ingress });
      await serve(lab, hosts.pod, pair.inner, { port: FLOW_PORT, family });
      const talking = beginTalk(lab, hosts.client, pair.inner, peer);
      talking.say("one");
      // The answer came in its carrier, and nobody took it out.
      await eventually(async () => (await ends.near.packets("ingress", "accepted")) > 0);
      expect(Object.keys(await ends.near.counted("ingress"))).toEqual(["accepted"]);
      expect(Object.keys(await ends.far.counted("egress"))).toEqual(["reply_funneled"]);
      expect(talking.answered).toEqual([]);
    });
  });

  it("both families at once, from the same port", async () => {
    const { lab, hosts, ends } = shared();
    const pair: Pair = { inner: "udp", over: "tcp" };
    await ends.beginReplies(pair);
    const talks = await Promise.all(
      FAMILIES.map(async (family) => {
        await serve(lab, hosts.pod, pair.inner, { port: FLOW_PORT, family });
        const peer = { address: inFamily(family, POD), port: FLOW_PORT, from: 22_000 };
        return talk(lab, hosts.client, pair.inner, peer);
      }),
    );
    for (let message = 0; message < MESSAGES; message++) {
      const text = `message ${message}`;
      expect(await Promise.all(talks.map((talking) => talking.ask(text)))).toEqual(
        FAMILIES.map((family) => ({ text, sender: inFamily(family, CLIENT), senderPort: 22_000 })),
      );
    }
    await ends.expectAllFunneled({ replies: true, messages: 2 * MESSAGES });
  });
});
