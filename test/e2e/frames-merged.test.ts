/**
 * Carriers of UDP that a hop on the way merges into super-packets, as routers are told to for speed:
 * where they arrive each of them is one again.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ALL_FLOWS } from "../support/bulk.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import {
  Ends,
  echo,
  expectEchoes,
  FAR_SERVER,
  onAllFlows,
  type Routed,
  routed,
} from "../support/frames.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const DATAGRAMS = 2000;

/** How long a hop may hold packets back to merge them, in nanoseconds. */
const HOLD_BACK = 2_000_000;

const OVER_UDP = ALL_FLOWS.filter(({ inner, over }) => inner === "udp" && over === "udp");

describe.skipIf(skipReason)(titled("carriers that a router has merged"), () => {
  let lab: Lab;
  let hosts: Routed;
  let ends: Ends;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    hosts = routed(lab);
    await echo(lab, hosts.server);
    ends = await Ends.onWire(hosts);
  });

  afterAll(async () => {
    await ends?.[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  const ways = ["rx-udp-gro-forwarding", "rx-gro-list"] as const;

  it.each(ways)("with %s all arrive", async (way) => {
    const { client, router } = hosts;
    for (const device of ["near", "far"]) {
      const others = ways.filter((each) => each !== way).flatMap((each) => [each, "off"]);
      lab.run(router, "ethtool", "-K", device, "gro", "on", ...others, way, "on");
      const file = `/sys/class/net/${device}/gro_flush_timeout`;
      lab.run(router, "sh", "-c", `echo ${HOLD_BACK} > ${file}`);
    }
    for (const family of FAMILIES) {
      await ends.begin();
      const burst = { count: DATAGRAMS, length: 600 };
      await expectEchoes(
        lab,
        client,
        OVER_UDP.map(({ inner, port }) => ({
          address: inFamily(family, FAR_SERVER),
          port,
          transport: inner,
          ...burst,
        })),
      );
      const { out, arrived, answered, back } = await ends.counts();
      expect(out).toEqual({ funneled: DATAGRAMS });
      expect(answered).toEqual({ reply_funneled: DATAGRAMS });
      // They came merged, or the test would show nothing.
      expect(arrived).toEqual({ unfunneled: DATAGRAMS, segmented: expect.any(Number) });
      expect(back).toEqual({ reply_unfunneled: DATAGRAMS, segmented: expect.any(Number) });
    }
    // All other traffic goes through such a router as well.
    await ends.begin();
    await expectEchoes(lab, client, onAllFlows(FAR_SERVER));
    await ends.expectAllFunneled();
  });
});
