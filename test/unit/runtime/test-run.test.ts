/** testRun as if on an interface: which one is found, and what of it counts. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Funnel, type TestRunOptions } from "../../../lib/index.ts";
import { skipReason, titled } from "../../support/native.ts";
import { makeNetns, type TestNetns } from "../../support/netns.ts";
import { ipv4, payload, tcpCarrier, udp } from "../../support/packet.ts";
import { replyTo } from "../../support/reply.ts";

const RULES = { egress: "udp dport 2055 actions funnel tcp dport 179 sport 540" };
/** 1500 bytes of IP; with its carrier, 1520. */
const LARGE = ipv4({ df: true }, udp({}, payload(1472)));
const SMALL = ipv4({}, udp({}, payload(100)));
const ANSWER = replyTo(ipv4({}, tcpCarrier({ sport: 540, dport: 179 }, udp({}, payload(9)))));

describe.skipIf(skipReason !== undefined)(titled("testRun as if on an interface"), () => {
  let netns: TestNetns;
  let funnel: Funnel;
  beforeAll(async () => {
    netns = makeNetns();
    netns.run("ip", "link", "set", netns.device, "mtu", "1519");
    netns.run("ip", "link", "set", netns.peer, "mtu", "1520");
    funnel = await Funnel.load(RULES);
  });
  afterAll(async () => {
    await funnel?.close();
    netns?.delete();
  });

  const outcome = async (frame: Uint8Array, options: TestRunOptions) =>
    (await funnel.testRun(frame, options)).outcome;

  test("its MTU counts, and no other's", async () => {
    for (const where of [netns.name, netns.path]) {
      const on = { direction: "egress", netns: where } as const;
      expect(await outcome(LARGE, { ...on, device: netns.device })).toBe("too_big_reported");
      expect(await outcome(LARGE, { ...on, device: netns.peer })).toBe("funneled");
      expect(await outcome(LARGE, { ...on, device: "lo" })).toBe("funneled");
    }
    expect(await outcome(LARGE, { direction: "egress" })).toBe("funneled");
    expect(await outcome(LARGE, { direction: "egress", device: "lo" })).toBe("funneled");
  });

  test("its flows count, and no other's", async () => {
    const on = { device: netns.device, netns: netns.name };
    const other = { device: netns.peer, netns: netns.name };
    await using fresh = await Funnel.load(RULES);
    const met = async (frame: Uint8Array, options: TestRunOptions) =>
      (await fresh.testRun(frame, options)).outcome;
    expect(await met(SMALL, { direction: "egress", ...on })).toBe("funneled");
    expect(await met(ANSWER, { direction: "ingress", ...other })).toBe("no_match");
    expect(await met(ANSWER, { direction: "ingress" })).toBe("no_match");
    expect(await met(ANSWER, { direction: "ingress", ...on })).toBe("reply_unfunneled");
  });

  test("a path to a namespace of a process will do", async () => {
    const own = { direction: "egress", device: "lo", netns: "/proc/self/ns/net" } as const;
    expect(await outcome(SMALL, own)).toBe("funneled");
  });
});
