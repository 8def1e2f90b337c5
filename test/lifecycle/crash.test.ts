import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import {
  borrowFunnel,
  closeFunnels,
  countOf,
  NOTHING,
  on,
  startChild,
} from "../support/funnels.ts";
import { skipReason, titled } from "../support/native.ts";
import { deleteNetns, makeNetns } from "../support/netns.ts";
import { seededRandom } from "../support/random.ts";

const ROUNDS = 3;
const ONE_EACH = { tcx: [1, 1, 0, 0], clsact: [0, 0, 1, 1] };
/** Milliseconds within which a child goes through its calls several times. */
const SPAN = 60;

const WAYS = (["tcx", "clsact"] as const).flatMap((hook) =>
  (["process", "device"] as const).map((lifetime) => ({ hook, lifetime })),
);

describe.skipIf(skipReason !== undefined)(titled("crash"), () => {
  afterEach(async () => {
    await closeFunnels();
    deleteNetns();
  });

  /** Two processes that take their names from each other, killed at any point of that. */
  test.each(["insist", "churn"] as const)("by SIGKILL in the middle of it: %s", async (how) => {
    const random = seededRandom(5);
    for (let round = 0; round < ROUNDS; round++) {
      const places = WAYS.map((way) => ({ way, netns: makeNetns() }));
      const [first, ...also] = places.map(({ netns: { path, device }, way }) => ({
        device,
        options: { netns: path, ...way },
      }));
      if (!first) throw new Error("no ways");
      const task = { how, ...first, also };
      const children = await Promise.all([startChild(task), startChild(task)]);
      for (const child of children) {
        // Not to wait for anything: it chooses the point.
        setTimeout(() => child.kill("SIGKILL"), random.below(SPAN));
        expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
      }
      for (const { way, netns } of places) {
        const left = await on(netns);
        const { hook, lifetime } = way;
        const stays = lifetime === "device" || hook === "clsact";
        if (!stays) expect(left).toEqual(NOTHING);
        else if (how === "insist") expect(countOf(left)).toEqual(ONE_EACH[hook]);
        else for (const count of countOf(left)) expect(count).toBeLessThanOrEqual(1);
        const funnel = await borrowFunnel();
        const attachment = await funnel.attach(netns.device, { netns: netns.path, ...way });
        expect(countOf(await on(netns))).toEqual(ONE_EACH[hook]);
        await attachment.close();
        expect(countOf(await on(netns))).toEqual([0, 0, 0, 0]);
      }
    }
  });
});
