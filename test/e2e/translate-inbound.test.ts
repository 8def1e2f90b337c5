/**
 * Connections the other way round: what a client of translated connections serves itself, to peers
 * that happen to have the wanted port for their own, is none of them.
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  CLIENT,
  onClient,
  onGateway,
  POD,
  podIn,
  SERVICE,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";

/** A port of the client's own. */
const SERVED = 2222;

const PLACES = [
  { title: "on the client, at egress", near: onClient },
  { title: "on a gateway, at ingress", near: onGateway },
] as const;

describe.skipIf(skipReason).each(PLACES)(titled("inbound, a rule $title"), ({ near }) => {
  const shared = useSides(threeHosts, near);

  it.each(FAMILIES)("%s", async (family) => {
    const { sides, talk } = shared();
    await sides.begin();
    const { pod, client } = await talk([SERVICE]);
    await client.listen({ port: SERVED });
    const [ofClient, ofPod] = [inFamily(family, CLIENT), podIn(family)];
    const inbound = { key: "inbound", address: ofClient, port: SERVED };
    await pod.open({ ...inbound, source: ofPod, from: WANTED });
    const answer = await pod.ask("inbound", "hello");
    expect(answer).toEqual({ port: SERVED, peer: ofPod, peerPort: WANTED, text: "hello" });
    const { out, ...others } = await sides.counts();
    expect(Object.keys(out)).toEqual(["translate_inbound"]);
    expect(Object.keys(others.arrived)).toEqual(["no_match"]);
    expect(Object.keys(others.answered)).toEqual(["no_match"]);
    expect(Object.keys(others.back)).toEqual(["no_match"]);

    // Beside it the pod serves on that very port, and what goes there is translated.
    await pod.listen({ port: WANTED });
    await client.open({ key: "other", address: ofPod, port: WANTED });
    expect(await client.ask("other", "other")).toMatchObject({ port: WANTED, peer: ofClient });
    const bytes = 500_000;
    const poured = await pod.pour("inbound", bytes);
    const { length } = await pod.finish("inbound");
    expect(length).toBe(poured.length + "hello\n".length);
    expect((await sides.near.counted("out")).translate_lost).toBeUndefined();
  });

  // What no rule matches here does not depend on the place.
  if (near !== onClient) return;

  it.each(FAMILIES)("from the service port: %s", async (family) => {
    const { sides, talk } = shared();
    await sides.begin();
    const { pod, client } = await talk([WANTED]);
    await client.listen({ port: SERVED });
    const [ofClient, ofPod] = [inFamily(family, CLIENT), inFamily(family, POD)];
    const inbound = { key: "inbound", address: ofClient, port: SERVED };
    await pod.open({ ...inbound, source: ofPod, from: SERVICE });
    const answer = await pod.ask("inbound", "hello");
    expect(answer).toEqual({ port: SERVED, peer: ofPod, peerPort: SERVICE, text: "hello" });
    expect(await pod.pour("inbound", 100_000)).toMatchObject({ length: 100_000 });
    expect((await pod.finish("inbound")).length).toBe(100_000 + "hello\n".length);
    const { out, ...others } = await sides.counts();
    expect(Object.keys(out)).toEqual(["no_match"]);
    // The answers go to the port that the service side's rule is about, unmarked.
    expect(Object.keys(others.arrived)).toEqual(["not_carrier"]);
    expect(Object.keys(others.answered)).toEqual(["no_match"]);
    expect(Object.keys(others.back)).toEqual(["no_match"]);
  });
});
