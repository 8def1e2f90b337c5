/** Rules and programs that change under flows which go on. */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { packets } from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { CLIENT, met, POD, twoHosts } from "../support/reply-lab.ts";
import { heard, serve, type Talk, talk } from "../support/talk.ts";

function funnelRules(sport: number): string {
  return `
    tcp dport 8080 actions funnel tcp dport 80 sport ${sport}
    udp dport 2055 actions funnel tcp dport 81 sport ${sport}`;
}

const UNFUNNEL = `
  tcp dport 80 actions unfunnel tcp allow 8080
  tcp dport 81 actions unfunnel udp allow 2055`;

/** A TCP connection and a UDP exchange through a Funnel on either side, and who hears them. */
async function runningFlows(lab: Lab, client: Host, pod: Host) {
  const servers = {
    tcp: await serve(lab, pod, "tcp", { port: 8080 }),
    udp: await serve(lab, pod, "udp", { port: 2055 }),
  };
  const tcp = await talk(lab, client, "tcp", { address: POD, port: 8080 });
  const udp = await talk(lab, client, "udp", { address: POD, port: 2055 });
  return { servers, tcp, udp };
}

async function funnel(host: Host, rules: { egress: string } | { ingress: string }) {
  const loaded = await Funnel.load(rules);
  await loaded.attach("eth0", { netns: host.netns });
  return loaded;
}

async function askAll(talks: readonly Talk[], text: string): Promise<void> {
  const answers = await Promise.all(talks.map((one) => one.ask(text)));
  for (const answer of answers) expect(answer).toMatchObject({ text, sender: CLIENT });
}

describe.skipIf(skipReason)(titled("flows that go on while"), () => {
  it("the rules of both sides are replaced, over and over", async () => {
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    await using near = await funnel(client, { egress: funnelRules(540) });
    await using far = await funnel(pod, { ingress: UNFUNNEL });
    const { servers, tcp, udp } = await runningFlows(lab, client, pod);
    await askAll([tcp, udp], "before");

    let replacing = true;
    let asked = 0;
    const asking = (async () => {
      while (replacing) await askAll([tcp, udp], `meanwhile ${asked++}`);
    })();
    for (let round = 0; round < 10; round++) {
      const also = `udp dport ${9000 + round} actions drop`;
      await near.replace({ egress: `${also}; ${funnelRules(540)}` });
      await far.replace({ ingress: `${also}\n${UNFUNNEL}`, egress: also });
    }
    replacing = false;
    await asking;
    expect(asked).toBeGreaterThan(1);
    expect((await far.stats()).flows).toMatchObject({ added: 2, remapped: 0, moved: 0 });

    // Under another carrier a connection is the same, and a client of UDP is another.
    await near.replace({ egress: funnelRules(541) });
    await askAll([tcp, udp], "from another port");
    expect((await near.stats()).flows).toMatchObject({ added: 2, moved: 2 });
    expect((await far.stats()).flows).toMatchObject({ added: 3, moved: 1, remapped: 1 });

    // What is on its way when its rule goes is answered.
    await far.replace({ ingress: UNFUNNEL.replace(/.*8080.*/, "") });
    await askAll([udp], "a last one");
    expect(await met(near)).toEqual({ ingress: ["reply_unfunneled"], egress: ["funneled"] });

    const said = ["before", ...Array.from({ length: asked }, (_, n) => `meanwhile ${n}`)];
    expect(await heard(servers.tcp, "from another port")).toEqual([...said, "from another port"]);
    expect(await heard(servers.udp, "a last one")).toEqual([
      ...said,
      ...["from another port", "a last one"],
    ]);
    expect(servers.tcp.events("connection")).toHaveLength(1);
  });

  it("the pod's program gives way to another, which knows nothing of them", async () => {
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    await using near = await funnel(client, { egress: funnelRules(540) });
    const { servers, tcp, udp } = await (async () => {
      await using _first = await funnel(pod, { ingress: UNFUNNEL });
      const flows = await runningFlows(lab, client, pod);
      await askAll([flows.tcp, flows.udp], "to the first");
      // Of the same name, so it takes the place of the first in one step.
      await using second = await funnel(pod, { ingress: UNFUNNEL });
      await askAll([flows.tcp, flows.udp], "to the second");
      expect((await second.stats()).flows).toMatchObject({ added: 2, remapped: 0 });
      return flows;
    })();

    // Nobody is there, and what comes is no concern of the pod's; TCP sends it again.
    const before = await packets(near, "egress", "funneled");
    tcp.say("in the gap");
    await eventually(async () => (await packets(near, "egress", "funneled")) > before);
    await using third = await funnel(pod, { ingress: UNFUNNEL });
    await askAll([tcp, udp], "to the third");
    expect(tcp.answered).toEqual(["to the first", "to the second", "in the gap", "to the third"]);
    expect(await met(third)).toEqual({ ingress: ["unfunneled"], egress: ["reply_funneled"] });
    expect((await third.stats()).flows).toMatchObject({ added: 2, remapped: 0, moved: 0 });

    expect(await heard(servers.tcp, "to the third")).toEqual(tcp.answered);
    expect(servers.tcp.events("connection")).toHaveLength(1);
    await heard(servers.udp, "to the third");
    const ports = new Set(servers.udp.events("said").map(({ senderPort }) => senderPort));
    expect(ports.size).toBe(1);
  });

  it("the client's program gives way to another", async () => {
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    const first = await funnel(client, { egress: funnelRules(540) });
    await using far = await funnel(pod, { ingress: UNFUNNEL });
    const { servers, tcp, udp } = await runningFlows(lab, client, pod);
    await askAll([tcp, udp], "by the first");
    await first.close();
    await using second = await funnel(client, { egress: funnelRules(540) });
    await askAll([tcp, udp], "by the second");
    expect(await met(second)).toEqual({ ingress: ["reply_unfunneled"], egress: ["funneled"] });
    expect((await far.stats()).flows).toMatchObject({ added: 2, remapped: 0, moved: 0 });
    await heard(servers.tcp, "by the second");
    expect(servers.tcp.events("connection")).toHaveLength(1);
  });
});
