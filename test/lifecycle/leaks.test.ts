import { afterEach, describe, expect, test } from "vitest";
import { type AttachOptions, Funnel, type FunnelRuleset } from "../../lib/index.ts";
import { binding } from "../../lib/native/binding.ts";
import { CLIENT_RULES, closeFunnels, NOTHING, on, SERVER_RULES } from "../support/funnels.ts";
import { collectGarbage, openDescriptors, skipReason, titled } from "../support/native.ts";
import { deleteNetns, makeNetns } from "../support/netns.ts";

const CYCLES = 100;

/** Sets, so that their maps have something to keep. */
const WITH_SETS: FunnelRuleset = {
  egress:
    "udp saddr {10.0.0.0/8, 192.0.2.0/24} dport {2055, 4739} actions funnel tcp dport 179 sport 540-549",
};

describe.skipIf(skipReason !== undefined)(titled("leaks"), () => {
  afterEach(async () => {
    await closeFunnels();
    deleteNetns();
  });

  test("leaves nothing behind, whatever was done and failed", async () => {
    const netns = makeNetns();
    netns.run("ip", "link", "add", "blocked", "type", "veth", "peer", "other");
    netns.run("tc", "qdisc", "add", "dev", "blocked", "ingress");
    const place = { netns: netns.path };
    const fail = async (funnel: Funnel, way: AttachOptions) => {
      await funnel.replace(WITH_SETS);
      const failures = [
        funnel.attach("no-such-device", place),
        funnel.attach(netns.device, { netns: "no-such-namespace" }),
        funnel.attach("blocked", { ...place, hook: "clsact" }),
        funnel.attach(netns.device, { ...way, name: "other", signal: AbortSignal.abort() }),
        funnel.replace({ egress: "udp dport 0 actions drop" }),
        funnel.testRun(new Uint8Array(13), { direction: "egress" }),
        Funnel.load({ egress: "nonsense" }),
      ];
      for (const { status } of await Promise.allSettled(failures)) expect(status).toBe("rejected");
      await funnel.replace(CLIENT_RULES);
      await funnel.stats();
    };
    const before = openDescriptors();
    const programs = new Set<number>();
    // Two that take each other's place, with a fresh one now and then.
    let [one, two] = [await Funnel.load(CLIENT_RULES), await Funnel.load(SERVER_RULES)];
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const way: AttachOptions = {
        ...place,
        hook: cycle % 2 === 0 ? "tcx" : "clsact",
        lifetime: cycle % 4 < 2 ? "process" : "device",
      };
      await one.attach(netns.device, way);
      const attachment = await two.attach(netns.device, way);
      const { tcx, clsact } = await on(netns);
      for (const id of [tcx, clsact].flatMap(({ ingress, egress }) => [...ingress, ...egress])) {
        programs.add(id);
      }
      if (cycle % 10 === 0) await fail(one, way);
      await attachment.close();
      if (cycle % 25 === 24) {
        await one.close();
        [one, two] = [two, await Funnel.load(CLIENT_RULES)];
      }
    }
    await one.close();
    await two.close();
    expect(await on(netns)).toEqual(NOTHING);
    // What finished work held is given back by the next turn of the loop.
    await new Promise((resolve) => setImmediate(resolve));
    expect(openDescriptors()).toEqual(before);
    expect(programs.size).toBeGreaterThan(6);
    for (const id of programs) {
      await expect
        .poll(async () => "errno" in (await binding().program(id)), { timeout: 10_000 })
        .toBe(true);
    }
  });

  test("gives back what a Funnel held that was dropped unattached, or closed and dropped", async () => {
    const before = openDescriptors();
    await (async () => {
      for (let i = 0; i < 3; i++) await Funnel.load(CLIENT_RULES);
      const netns = makeNetns();
      const closed = await Funnel.load(CLIENT_RULES);
      await closed.attach(netns.device, { netns: netns.path });
      await closed.close();
    })();
    await expect
      .poll(
        async () => {
          await collectGarbage();
          return openDescriptors();
        },
        { timeout: 10_000 },
      )
      .toEqual(before);
  });
});
