/** One side's program goes in mid-flow, and a new one that knows nothing comes. */
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  expectNothingAtService,
  FAR_RULES,
  NEAR_RULES,
  POD,
  useRelayedLab,
} from "../support/translate-lab.ts";
import { WANTED } from "../support/translated.ts";

describe.skipIf(skipReason)(titled("after a restart of the program"), () => {
  const { place } = useRelayedLab();

  /** A connection of each family that has been used. */
  async function connections() {
    const { client } = place();
    const opened = FAMILIES.map((family) =>
      client.open({ address: inFamily(family, POD), port: WANTED }),
    );
    for (const connection of opened) await connection.ask("before ");
    return opened;
  }

  /** New ones work, and nobody has said anything to the service port. */
  async function expectNewOnes(heard: string): Promise<void> {
    const { pod, near, far } = place();
    const before = [await near.connections(), await far.connections()];
    for (const connection of await connections()) {
      expect(await connection.ask("again ")).toBe(`${WANTED}:again `);
    }
    const after = [await near.connections(), await far.connections()];
    for (const [index, { added }] of after.entries()) {
      expect(added).toBe((before[index]?.added ?? 0) + FAMILIES.length);
    }
    expect(await pod.heard(WANTED)).toBe(`${heard}before before again again `);
    await expectNothingAtService(place());
  }

  it("on the client's side, connections end in a reset", async () => {
    const { near, far, relay } = place();
    const opened = await connections();
    await near.restart(NEAR_RULES);
    const data = (await relay.of("near", "data")).length;
    for (const connection of opened)
      expect(await connection.ask("secret")).toBe("over: ECONNRESET");
    // By the program itself: nothing of it was on the wire.
    expect(await relay.of("near", "data")).toHaveLength(data);
    expect(await relay.of("far", "reset")).toEqual([]);
    expect(await near.special()).toEqual({ translate_lost: opened.length });
    expect(await far.special()).toEqual({});
    await expectNewOnes("before before ");
  });

  it("on the client's side, the pod's ends are reset when they say something", async () => {
    const { pod, near, relay } = place();
    await connections();
    await near.restart(NEAR_RULES);
    pod.tell(WANTED, "anybody there?");
    expect(await pod.endOf(WANTED)).toBe("ECONNRESET");
    expect(await relay.of("near", "reset")).toHaveLength(1);
    await expectNewOnes("before before ");
  });

  it("on the service's side, connections end in a reset", async () => {
    const { near, far, relay } = place();
    const opened = await connections();
    await far.restart(FAR_RULES);
    for (const connection of opened)
      expect(await connection.ask("secret")).toBe("over: ECONNRESET");
    // The pod's kernel knows of no such connection to the service port.
    expect(await relay.of("far", "reset")).toHaveLength(opened.length);
    expect(await near.special()).toEqual({});
    await expectNewOnes("before before ");
  });

  it("on the service's side, clients are reset when the pod says something", async () => {
    const { client, pod, far } = place();
    const connection = client.open({ address: POD, port: WANTED });
    await connection.ask("before ");
    await far.restart(FAR_RULES);
    pod.tell(WANTED, "anybody there?");
    expect(await connection.end()).toBe("ECONNRESET");
    await expectNewOnes("before ");
  });

  it("on the client's side, a port can be used again at once", async () => {
    const { client, pod, near, far } = place();
    const peer = { address: POD, port: WANTED, from: 31_000 };
    const old = client.open(peer);
    await old.ask("before ");
    await near.restart(NEAR_RULES);
    expect(await old.ask("secret")).toBe("over: ECONNRESET");
    // The pod still has its end of the old one, and has to hear from the client's kernel that it is
    // over.
    const again = client.open(peer);
    expect(await again.ask("again ")).toBe(`${WANTED}:again `);
    expect(await pod.endOf(WANTED)).toBe("ECONNRESET");
    expect(await far.special()).toEqual({});
    await expectNothingAtService(place());
  });
});
