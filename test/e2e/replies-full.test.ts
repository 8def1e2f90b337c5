/** More flows than the table holds: the ones that were silent longest make room, no others. */
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { met, POD, twoHosts } from "../support/reply-lab.ts";
import { serve, talk } from "../support/talk.ts";

/**
 * The kernel keeps places for each CPU, which are a good part of the smallest table there is: there
 * even one who talks may be forgotten between two messages.
 */
const TABLES = [
  { capacity: 128, flows: 1200, batch: 50, forgotten: 10 },
  { capacity: 1024, flows: 3000, batch: 100, forgotten: 0 },
];

/** Of TCP: one that is silent, one that talks. */
const CONNECTIONS = 2;

const FUNNEL = `
  tcp dport 8080 actions funnel tcp dport 80 sport 540
  udp dport 2055 actions funnel tcp dport 81 sport 540`;
const UNFUNNEL = `
  tcp dport 80 actions unfunnel tcp allow 8080
  tcp dport 81 actions unfunnel udp allow 2055`;

describe.skipIf(skipReason)(titled("a full table of flows"), () => {
  it.each(TABLES)("of $capacity forgets who is silent and learns again", async (table) => {
    const { capacity, batch } = table;
    using lab = new Lab();
    const { client, pod } = twoHosts(lab);
    await using near = await Funnel.load({ egress: FUNNEL }, { flows: capacity });
    await using far = await Funnel.load({ ingress: UNFUNNEL }, { flows: capacity });
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: pod.netns });
    const flowsOf = async (funnel: Funnel) => (await funnel.stats()).flows;

    await serve(lab, pod, "tcp", { port: 8080 });
    await serve(lab, pod, "udp", { port: 2055 });
    const silent = await talk(lab, client, "tcp", { address: POD, port: 8080 });
    await silent.ask("before");
    const talking = [
      await talk(lab, client, "tcp", { address: POD, port: 8080 }),
      await talk(lab, client, "udp", { address: POD, port: 2055 }),
    ];
    const flood = lab.endpoint(client, "udpFlows", {
      address: POD,
      port: 2055,
      from: 2100,
      window: 4,
    });
    for (let count = batch; count <= table.flows; count += batch) {
      flood.say(JSON.stringify({ say: batch }));
      await flood.message((message) => message.event === "begun" && message.count === count);
      for (const one of talking) await one.ask(`after ${count}`);
    }
    // Each flow had its own answer, the first and the last.
    expect(flood.events("mistaken")).toEqual([]);

    const known = table.flows + talking.length + 1;
    for (const funnel of [near, far]) {
      const { entries, evicted, added, mssClamped, ...flows } = await flowsOf(funnel);
      expect(entries).toBeGreaterThan(capacity / 2);
      expect(entries).toBeLessThanOrEqual(capacity);
      expect(evicted).toBe(added - entries);
      // Hardly anybody was added a second time: who talks is not forgotten.
      expect(added).toBeGreaterThanOrEqual(known);
      expect(added).toBeLessThanOrEqual(known + table.forgotten);
      expect(flows).toEqual({ capacity, remapped: 0, moved: 0, notAdded: 0, direct: 0 });
      // Of each connection the client's SYN and the pod's; one that is sent again counts again.
      expect(mssClamped).toBeGreaterThanOrEqual(CONNECTIONS);
    }

    // The silent one was, as a rule (the kernel's LRU is an approximate one): whether or not, it
    // goes on as soon as its client speaks, and is learned again if it has to be.
    const before = [await flowsOf(near), await flowsOf(far)];
    await silent.ask("after");
    const after = [await flowsOf(near), await flowsOf(far)];
    for (const [index, { added }] of after.entries()) {
      const known = before[index]?.added ?? 0;
      expect([known, known + 1]).toContain(added);
    }
    expect(after).toMatchObject([{ moved: 0 }, { moved: 0 }]);
    expect(await met(near)).toEqual({ ingress: ["reply_unfunneled"], egress: ["funneled"] });
    expect(await met(far)).toEqual({ ingress: ["unfunneled"], egress: ["reply_funneled"] });
  });
});
