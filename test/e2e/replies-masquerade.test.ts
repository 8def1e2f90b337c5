/**
 * Two clients behind one masquerade, from the same port of their own, to the same pod at the same
 * time. The masquerade tells their carriers apart and cannot see what they hold, so under the
 * carriers both flows are the same five fields.
 */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { clientRules, FLOW_PORT, PAIRS, packets, serviceRules } from "../support/flows.ts";
import { eventually, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { GATEWAY, met, POD, routedLab } from "../support/reply-lab.ts";
import { beginTalk, heard, serve, talk } from "../support/talk.ts";

const SAME_PORT = 40000;
const PEER = { address: POD, port: FLOW_PORT, from: SAME_PORT };
const MESSAGES = 5;

describe.skipIf(skipReason)(titled("two clients behind one address, from the same port"), () => {
  it.each(PAIRS)("both get their own answers: $inner over $over", async (pair) => {
    using lab = new Lab(FAMILIES);
    const { clients, pod } = routedLab(lab, { clients: 2, masquerade: true });
    const [first, second] = clients;
    if (!first || !second) throw new Error("no clients");
    await using near = await Funnel.load({ egress: clientRules(pair).out });
    await using far = await Funnel.load({ ingress: serviceRules(pair).ingress });
    await near.attach("eth0", { netns: first.netns });
    await near.attach("eth0", { netns: second.netns });
    await far.attach("eth0", { netns: pod.netns });

    for (const [index, family] of FAMILIES.entries()) {
      const server = await serve(lab, pod, pair.inner, { port: FLOW_PORT, family });
      const peer = { ...PEER, address: inFamily(family, POD) };
      const sender = inFamily(family, GATEWAY);
      const one = await talk(lab, first, pair.inner, peer);
      // The first to be heard keeps its port.
      expect(await one.ask("one")).toEqual({ text: "one", sender, senderPort: SAME_PORT });
      const other = await talk(lab, second, pair.inner, peer);
      const { senderPort } = await other.ask("other");
      expect(senderPort).not.toBe(SAME_PORT);

      for (let message = 0; message < MESSAGES; message++) {
        const [ofOne, ofOther] = [`one ${message}`, `other ${message}`];
        const answers = await Promise.all([one.ask(ofOne), other.ask(ofOther)]);
        expect(answers).toEqual([
          { text: ofOne, sender, senderPort: SAME_PORT },
          { text: ofOther, sender, senderPort },
        ]);
      }
      // To each its own, and nothing of the other's.
      expect(one.answered.every((text) => /^one/.test(String(text)))).toBe(true);
      expect(other.answered.every((text) => /^other/.test(String(text)))).toBe(true);
      await one.close();
      // The one that stays is not taken for the one that has gone.
      expect(await other.ask("a last one")).toMatchObject({ senderPort });
      await other.close();
      await heard(server, "a last one");
      if (pair.inner === "tcp") expect(server.events("connection")).toHaveLength(2);

      const families = index + 1;
      expect((await far.stats()).flows).toMatchObject({
        entries: 2 * families,
        added: 2 * families,
        remapped: families,
        moved: 0,
      });
    }
    expect(await met(far)).toEqual({ ingress: ["unfunneled"], egress: ["reply_funneled"] });
    expect(await met(near)).toEqual({ ingress: ["reply_unfunneled"], egress: ["funneled"] });
  });

  it("which a stateless reply rule cannot do", async () => {
    const pair = { inner: "udp", over: "tcp" } as const;
    using lab = new Lab();
    const { clients, pod } = routedLab(lab, { clients: 2, masquerade: true });
    const [first, second] = clients;
    if (!first || !second) throw new Error("no clients");
    await using near = await Funnel.load({ egress: clientRules(pair).out });
    await using far = await Funnel.load(serviceRules(pair));
    await near.attach("eth0", { netns: first.netns });
    await near.attach("eth0", { netns: second.netns });
    await far.attach("eth0", { netns: pod.netns });
    const server = await serve(lab, pod, pair.inner, { port: FLOW_PORT });
    const one = await talk(lab, first, pair.inner, PEER);
    await one.ask("one");
    const other = beginTalk(lab, second, pair.inner, PEER);
    other.say("other");
    // It arrives, and its answer goes the way of the first client's.
    await server.message(({ text }) => text === "other");
    await eventually(async () => (await packets(near, "ingress", "no_match")) > 0);
    expect(other.answered).toEqual([]);
    expect(one.answered).toEqual(["one"]);
  });

  // The memory of who had which port is lost, and cannot be had from anywhere.
  it("which nothing is delivered to the wrong one of, when the pod's program is another", async () => {
    const pair = { inner: "tcp", over: "tcp" } as const;
    using lab = new Lab();
    const { clients, pod } = routedLab(lab, { clients: 2, masquerade: true });
    const [first, second] = clients;
    if (!first || !second) throw new Error("no clients");
    await using near = await Funnel.load({ egress: clientRules(pair).out });
    await near.attach("eth0", { netns: first.netns });
    await near.attach("eth0", { netns: second.netns });
    const rules = { ingress: serviceRules(pair).ingress };
    await using far = await Funnel.load(rules);
    await far.attach("eth0", { netns: pod.netns });
    const server = await serve(lab, pod, pair.inner, { port: FLOW_PORT });
    const one = await talk(lab, first, pair.inner, PEER);
    await one.ask("one");
    const other = await talk(lab, second, pair.inner, PEER);
    await other.ask("other");

    await using again = await Funnel.load(rules);
    await again.attach("eth0", { netns: pod.netns });
    other.say("other, whose port is not known");
    await eventually(async () => (await again.stats()).flows.added === 1);
    // Its numbers are not those of the connection that it was taken for, which goes on.
    for (const text of ["one, still", "one, again"]) {
      expect(await one.ask(text)).toMatchObject({ text, senderPort: SAME_PORT });
    }
    expect(await heard(server, "one, again")).toEqual([
      ...["one", "other", "one, still", "one, again"],
    ]);
    expect(other.answered).toEqual(["other"]);
  });
});
