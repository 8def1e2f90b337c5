/**
 * Connections with TCP-MD5 (RFC 2385), as of BGP: the signature covers the ports, so they pass as they
 * are, and are counted. (TCP-AO, RFC 5925, does the same; the kernel of these tests has none of it, so
 * that its option is known is for the tests of frames to say.)
 */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  CLIENT,
  OTHER_POD,
  onClient,
  onGateway,
  podIn,
  SERVICE,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";

const KEY = "a secret of both";

const PLACES = [
  { title: "on the client, at egress", near: onClient },
  { title: "on a gateway, at ingress", near: onGateway },
] as const;

describe.skipIf(skipReason).each(PLACES)(titled("signed, past a rule $title"), ({ near }) => {
  const shared = useSides(threeHosts, near);

  it.each(FAMILIES)("%s", async (family) => {
    const { sides, talk } = shared();
    await sides.begin();
    const { pod, client } = await talk([SERVICE]);
    const [address, other, peer] = [
      podIn(family),
      inFamily(family, OTHER_POD),
      inFamily(family, CLIENT),
    ];
    await pod.listen({ port: WANTED, address, md5: { address: peer, key: KEY } });

    await client.open({ key: "signed", address, port: WANTED, md5: { address, key: KEY } });
    expect(await client.ask("signed", "signed")).toMatchObject({ port: WANTED, peer });
    const { out, ...others } = await sides.counts();
    expect(out).toEqual({ translate_signed: expect.any(Number) });
    expect(others).toEqual({
      arrived: { no_match: expect.any(Number) },
      answered: { no_match: expect.any(Number) },
      back: { no_match: expect.any(Number) },
    });
    expect((await sides.near.connections()).added).toBe(0);

    // Another that is not signed is translated as always.
    const before = await sides.counts();
    await pod.listen({ port: WANTED, address: other });
    await client.open({ key: "beside", address: other, port: WANTED });
    expect(await client.ask("beside", "beside")).toMatchObject({ port: WANTED, peer });
    const after = await sides.counts();
    expect(after.out.translate_signed).toBe(before.out.translate_signed);
    expect(after.arrived.unfunneled).toBeGreaterThan(1);
    expect(await client.ask("signed", "still")).toMatchObject({ port: WANTED, peer });
  });
});
