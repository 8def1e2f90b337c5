/**
 * A client's port that is used again at once, for the same port of the pod or for another one, by
 * whichever side the connection before was closed.
 */
import { describe, expect, it } from "vitest";
import { inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  CLIENT,
  onClient,
  onGateway,
  podIn,
  SERVICE,
  type Talk,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";

const TIMES = 40;

const PLACES = [
  { title: "on the client, at egress", near: onClient, family: "IPv4" },
  { title: "on a gateway, at ingress", near: onGateway, family: "IPv6" },
] as const;

/** How a connection ends: who says so first, or that it is reset. */
const ENDS = {
  "the client": (client: Talk["client"], key: string) => client.finish(key),
  "the server": async (client: Talk["client"], key: string) => {
    expect(await client.tryToAsk(key, "close")).toEqual({ answer: null });
    await client.settle(key);
  },
  "a reset of the client": (client: Talk["client"], key: string) =>
    client.close([key], { reset: true }),
  "a reset of the server": async (client: Talk["client"], key: string) => {
    expect(await client.tryToAsk(key, "reset")).toEqual({ error: "ECONNRESET" });
    await client.close([key]);
  },
} as const;

const names = Object.keys(ENDS) as (keyof typeof ENDS)[];

describe.skipIf(skipReason).each(PLACES)(
  titled("used again, translated $title: $family"),
  (place) => {
    const shared = useSides(threeHosts, place.near);

    const { family } = place;

    // Each from a port that no other has used, since it stays known.
    it.each(names.map((by, index) => ({ by, from: 3000 + index })))(
      `${TIMES} times from one port, ended by $by`,
      async ({ by, from }) => {
        const { sides, talk } = shared();
        await sides.begin();
        const { pod, client } = await talk([SERVICE, WANTED], { pinned: true });
        const [address, peer] = [podIn(family), inFamily(family, CLIENT)];
        // Twice to the one port and twice to the other: each comes after the same and after the other.
        const ports = Array.from({ length: TIMES }, (_, index) => (index & 2 ? SERVICE : WANTED));
        for (const [index, port] of ports.entries()) {
          const key = `${index} to ${port}`;
          await client.open({ key, address, port, from });
          expect(await client.ask(key, key)).toMatchObject({ port, peer, text: key });
          await ENDS[by](client, key);
        }
        for (const port of [SERVICE, WANTED]) expect(await pod.seen(port)).toHaveLength(TIMES / 2);

        // There is one place for each of both in the table, which they all had one after the other.
        const { added, entries, remapped } = await sides.near.connections();
        expect({ added, entries, remapped }).toEqual({ added: 2, entries: 2, remapped: 1 });
        expect(await sides.far.connections()).toMatchObject({ added: 1, entries: 1, remapped: 0 });
        const { out, back } = await sides.counts();
        expect(Object.keys(out).sort()).toEqual(["direct_remapped", "funneled"]);
        expect(Object.keys(back).sort()).toEqual(["direct_remapped", "reply_unfunneled"]);
      },
    );
  },
);
