/** One rule a side: the client funnels, the pod unfunnels, and the answers find back. */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import {
  census,
  checksumStates,
  clientRules,
  FLOW_PORT,
  PAIRS,
  type Pair,
  packets,
  SERVICE_PORT,
  serviceRules,
} from "../support/flows.ts";
import { eventually, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { CLIENT, counted, met, POD, twoHosts } from "../support/reply-lab.ts";
import { beginTalk, serve, talk } from "../support/talk.ts";

const MESSAGES = 10;
const PEER = { address: POD, port: FLOW_PORT };

describe.skipIf(skipReason)(titled("replies with one rule a side"), () => {
  it.each(PAIRS)("$inner over $over", async (pair) => {
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    await using near = await Funnel.load({ egress: clientRules(pair).out });
    await using far = await Funnel.load({ ingress: serviceRules(pair).ingress });
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: pod.netns });
    const wire = await lab.capture(pod, "eth0");
    await serve(lab, pod, pair.inner, { port: FLOW_PORT });
    const talking = await talk(lab, client, pair.inner, PEER);
    const senderPort = await talking.localPort();
    for (let message = 0; message < MESSAGES; message++) {
      const text = `message ${message}`;
      expect(await talking.ask(text)).toEqual({ text, sender: CLIENT, senderPort });
    }
    await talking.close();

    // A last ACK may still be on its way.
    const out = await packets(near, "egress", "funneled");
    await eventually(async () => (await packets(far, "ingress", "unfunneled")) === out);
    const back = await packets(far, "egress", "reply_funneled");
    await eventually(async () => (await packets(near, "ingress", "reply_unfunneled")) === back);
    expect(Math.min(out, back)).toBeGreaterThanOrEqual(MESSAGES);
    expect(await counted(near, "egress")).toEqual({ funneled: out });
    expect(await counted(near, "ingress")).toEqual({ reply_unfunneled: back });
    expect(await counted(far, "ingress")).toEqual({ unfunneled: out });
    expect(await counted(far, "egress")).toEqual({ reply_funneled: back });
    for (const funnel of [near, far]) {
      const { capacity: _, mssClamped, ...flows } = (await funnel.stats()).flows;
      const nothing = { evicted: 0, remapped: 0, moved: 0, notAdded: 0, direct: 0 };
      expect(flows).toEqual({ entries: 1, added: 1, ...nothing });
      expect(mssClamped > 0).toBe(pair.inner === "tcp");
    }

    // The service port is all that anybody in between sees, both ways.
    await wire.atLeast(out + back);
    const frames = await wire.stop();
    expect(census(frames)).toEqual({
      [`${pair.over} 540>179`]: out,
      [`${pair.over} 179>540`]: back,
    });
    expect(checksumStates(frames, pair.inner)).toEqual(["right right right"]);
  });

  it("and a rule of the pod, which takes precedence", async () => {
    const pair: Pair = { inner: "tcp", over: "tcp" };
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    await using near = await Funnel.load({ egress: clientRules(pair).out });
    await using far = await Funnel.load({
      ingress: serviceRules(pair).ingress,
      egress: `${pair.inner} sport ${FLOW_PORT} actions accept`,
    });
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: pod.netns });
    await serve(lab, pod, pair.inner, { port: FLOW_PORT });
    const talking = await talk(lab, client, pair.inner, PEER);
    // Nobody stands in between here who would mind the answer's own port.
    await talking.ask("one");
    await talking.close();
    expect(await met(far)).toEqual({ ingress: ["unfunneled"], egress: ["accepted"] });
    expect(await met(near)).toEqual({ ingress: ["no_match"], egress: ["funneled"] });
  });

  it("and a rule of the client, which takes precedence", async () => {
    const pair: Pair = { inner: "udp", over: "tcp" };
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    await using near = await Funnel.load({
      egress: clientRules(pair).out,
      ingress: `${pair.over} sport ${SERVICE_PORT} actions accept`,
    });
    await using far = await Funnel.load({ ingress: serviceRules(pair).ingress });
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: pod.netns });
    await serve(lab, pod, pair.inner, { port: FLOW_PORT });
    const talking = beginTalk(lab, client, pair.inner, PEER);
    talking.say("one");
    // The answer came in its carrier, and nobody took it out.
    await eventually(async () => (await packets(near, "ingress", "accepted")) > 0);
    expect((await met(near)).ingress).toEqual(["accepted"]);
    expect((await met(far)).egress).toEqual(["reply_funneled"]);
    expect(talking.answered).toEqual([]);
  });
});
