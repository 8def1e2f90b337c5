/**
 * Connections that would look alike on the way: from one port of a client to the service port itself
 * and, translated, through it. Both work at the same time, whichever was first.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, type Family, familyOf, inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  CLIENT,
  OTHER_POD,
  onClient,
  onGateway,
  podIn,
  SERVICE,
  type Shared,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";
import type { Opening } from "../support/translating-sockets.ts";

/** So many pairs at a time. */
const PAIRS = 1000;
const FEW = 50;

/** A second port that is wanted. */
const ALSO_WANTED = 8443;

const BOTH_WANTED = {
  near: `tcp dport {${WANTED}, ${ALSO_WANTED}} actions funnel translate tcp dport ${SERVICE}`,
  far: `tcp dport ${SERVICE} actions unfunnel translate tcp allow {${WANTED}, ${ALSO_WANTED}}`,
};

/** Ports of the client; none is used by two tests, since each is remembered for a minute. */
let nextPort = 2000;

function ports(count: number): readonly number[] {
  const first = nextPort;
  nextPort += count;
  return Array.from({ length: count }, (_, index) => first + index);
}

const to = (address: string, port: number, froms: readonly number[]): Opening[] =>
  froms.map((from) => ({ key: `${address} ${port} from ${from}`, address, port, from }));

/** One group after the other is opened; then all talk at once, each with whom it meant to. */
async function expectAllWork(
  { sides, talk }: Shared<unknown>,
  ...groups: readonly (readonly Opening[])[]
): Promise<void> {
  const { pod, client } = await talk([SERVICE, WANTED, ALSO_WANTED]);
  for (const group of groups) await client.openAll(group);
  const all = groups.flat();
  for (const round of [1, 2]) {
    const answers = await client.askAll(all.map(({ key }) => ({ key, text: `${key} ${round}` })));
    const expected = all.map(({ key, port, address }) => ({
      port,
      peer: inFamily(familyOf(address), CLIENT),
      text: `${key} ${round}`,
    }));
    expect(answers.map(({ peerPort: _, ...answer }) => answer)).toEqual(expected);
  }
  for (const port of new Set(all.map((opening) => opening.port))) {
    const heard = await pod.seen(port);
    expect(heard).toHaveLength(2 * all.filter((opening) => opening.port === port).length);
    expect(heard.every(([, , text]) => text.includes(` ${port} from `))).toBe(true);
  }
  await client.close(all.map(({ key }) => key));
  expect(await sides.near.connections()).toMatchObject({ evicted: 0, notAdded: 0 });
  expect(await sides.far.connections()).toMatchObject({ evicted: 0, notAdded: 0, remapped: 0 });
}

/** So many were added, and at least so many of them got another port than their own. */
async function expectRemapped({ sides }: Shared<unknown>, added: number, least: number) {
  const { near } = sides;
  const connections = await near.connections();
  expect(connections.added).toBe(added);
  // One or the other has met a port that another got instead of its own.
  expect(connections.remapped).toBeGreaterThanOrEqual(least);
  expect(connections.remapped).toBeLessThan(added);
}

const PLACES = [
  { title: "on the client, at egress", near: onClient, family: "IPv4" },
  { title: "on a gateway, at ingress", near: onGateway, family: "IPv6" },
] as const;

const ORDERS = [
  { first: SERVICE, second: WANTED, outcomes: ["no_match", "funneled"] },
  { first: WANTED, second: SERVICE, outcomes: ["funneled", "direct_remapped"] },
] as const;

describe.skipIf(skipReason).each(PLACES)(titled("alike, translated $title"), (place) => {
  const shared = useSides(threeHosts, place.near);
  const address = podIn(place.family);

  it.each(ORDERS)(`${PAIRS} pairs, to $first first`, async ({ first, second, outcomes }) => {
    const { sides } = shared();
    await sides.begin();
    const froms = ports(PAIRS);
    await expectAllWork(shared(), to(address, first, froms), to(address, second, froms));
    await expectRemapped(shared(), 2 * PAIRS, PAIRS);
    const met = Object.keys(await sides.near.counted("out"));
    expect(met).toEqual(expect.arrayContaining([...outcomes]));
  });
});

describe.skipIf(skipReason)(titled("from one port"), () => {
  const shared = useSides(threeHosts);

  /** In this order: what others have got of one address is nothing to the other. */
  it.each(FAMILIES)("to two addresses nothing is alike: %s", async (family: Family) => {
    const { sides } = shared();
    await sides.begin();
    const froms = ports(FEW);
    const other = inFamily(family, OTHER_POD);
    await expectAllWork(shared(), to(podIn(family), WANTED, froms), to(other, SERVICE, froms));
    expect(await sides.near.connections()).toMatchObject({ remapped: 0, added: 2 * FEW });
    expect(await sides.near.counted("out")).not.toHaveProperty("direct_remapped");
  });

  it.each(FAMILIES)("to two wanted ports through one: %s", async (family) => {
    const { sides } = shared();
    await sides.begin(BOTH_WANTED);
    const froms = ports(FEW);
    const address = podIn(family);
    await expectAllWork(
      shared(),
      to(address, ALSO_WANTED, froms),
      to(address, SERVICE, froms),
      to(address, WANTED, froms),
    );
    await expectRemapped(shared(), 3 * FEW, 2 * FEW);
  });
});
