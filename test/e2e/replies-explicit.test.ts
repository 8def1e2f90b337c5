/**
 * Rules for replies, as the original needs them, on both sides or on one of them: they take
 * precedence, and it is all the same to the other side. A side with such rules stands for the
 * original, which keeps no state.
 */
import { describe, expect, it } from "vitest";
import { Funnel, type FunnelRuleset } from "../../lib/index.ts";

import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { met, POD, twoHosts } from "../support/reply-lab.ts";
import { serve, talk } from "../support/talk.ts";
import { census } from "../support/wire.ts";

const FUNNEL = `
  tcp dport 8080 actions funnel tcp dport 80 sport 540
  udp dport 2055 actions funnel tcp dport 81 sport 540`;
const UNFUNNEL = `
  tcp dport 80 sport 540 actions unfunnel tcp
  tcp dport 81 sport 540 actions unfunnel udp`;

const CLIENT_ALONE: FunnelRuleset = { egress: FUNNEL };
const CLIENT_EXPLICIT: FunnelRuleset = {
  egress: FUNNEL,
  ingress: `
    tcp sport 80 dport 540 actions unfunnel tcp
    tcp sport 81 dport 540 actions unfunnel udp`,
};
const POD_ALONE: FunnelRuleset = { ingress: UNFUNNEL };
const POD_EXPLICIT: FunnelRuleset = {
  ingress: UNFUNNEL,
  egress: `
    tcp sport 8080 actions funnel tcp sport 80 dport 540
    udp sport 2055 actions funnel tcp sport 81 dport 540`,
};

const CASES = [
  { where: "both sides", client: CLIENT_EXPLICIT, pod: POD_EXPLICIT },
  { where: "the client's side", client: CLIENT_EXPLICIT, pod: POD_ALONE },
  { where: "the pod's side", client: CLIENT_ALONE, pod: POD_EXPLICIT },
];

describe.skipIf(skipReason)(titled("explicit rules for replies"), () => {
  it.each(CASES)("on $where", async ({ client: clientRules, pod: podRules }) => {
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    await using near = await Funnel.load(clientRules);
    await using far = await Funnel.load(podRules);
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: pod.netns });
    const wire = await lab.capture(pod, "eth0");
    await serve(lab, pod, "tcp", { port: 8080 });
    await serve(lab, pod, "udp", { port: 2055 });
    const tcp = await talk(lab, client, "tcp", { address: POD, port: 8080 });
    const udp = await talk(lab, client, "udp", { address: POD, port: 2055 });
    for (let message = 0; message < 5; message++) {
      for (const talking of [tcp, udp]) await talking.ask(`message ${message}`);
    }
    await tcp.close();

    expect(await met(near)).toEqual({
      egress: ["funneled"],
      ingress: [clientRules.ingress ? "unfunneled" : "reply_unfunneled"],
    });
    expect(await met(far)).toEqual({
      ingress: ["unfunneled"],
      egress: [podRules.egress ? "funneled" : "reply_funneled"],
    });
    // Whoever looks at the wire cannot tell the difference.
    await wire.atLeast(20);
    expect(Object.keys(census(await wire.stop())).sort()).toEqual([
      "tcp 540>80",
      "tcp 540>81",
      "tcp 80>540",
      "tcp 81>540",
    ]);
  });
});
