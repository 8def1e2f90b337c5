/** What the program is told about its hooks, as the kernel holds it while something is attached. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HookTrait } from "../../../lib/compile/abi.gen.ts";
import type { Funnel } from "../../../lib/index.ts";
import { binding } from "../../../lib/native/binding.ts";
import { borrowFunnel, closeFunnels } from "../../support/funnels.ts";
import { addOddLink, ODD_LINK_TYPE } from "../../support/link-type.ts";
import { must, skipReason, titled } from "../../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../../support/netns.ts";

const { HOOK_REPLIES_ONLY: REPLIES, HOOK_WITHOUT_ETHERNET: BARE } = HookTrait;
const TUN = "tun0";

async function errorFrom(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error("no error");
    },
    (error: unknown) => error,
  );
}

describe.skipIf(skipReason !== undefined)(titled("traits of hooks"), () => {
  let netns: TestNetns;
  let other: TestNetns;
  let funnel: Funnel;
  let ifindex: number;

  const attach = (device: string, direction: "ingress" | "egress" | "both" = "both") =>
    funnel.attach(device, { netns: netns.name, direction });

  /** Traits of [ingress, egress] of an interface, as long as a program that knows them is given. */
  async function traits(programId: number, index: number): Promise<(number | undefined)[]> {
    for (const id of must(await binding().program(programId)).mapIds) {
      const key = (direction: number) => new Uint8Array(Uint32Array.of(index, direction).buffer);
      const [ingress, egress] = [0, 1].map((direction) => binding().lookup(id, key(direction)));
      const found = [must(await ingress), must(await egress)];
      if (found[0]?.name !== "special_hooks") continue;
      return found.map((each) => each?.value?.[0]);
    }
    throw new Error("no such map");
  }

  async function programOn(index: number): Promise<number> {
    const [id] = must(await binding().tcxPrograms(netns.path, index, 0));
    if (id === undefined) throw new Error("nothing is attached");
    return id;
  }

  beforeAll(async () => {
    netns = makeNetns();
    other = makeNetns();
    netns.run("ip", "tuntap", "add", TUN, "mode", "tun");
    ({ ifindex } = must(await binding().device(netns.path, TUN)));
    // Each namespace counts its own interfaces, so this one gets the same index.
    other.run("ip", "tuntap", "add", "same0", "mode", "tap");
    addOddLink(netns.name, "odd0");
    funnel = await borrowFunnel();
  });

  afterAll(async () => {
    await closeFunnels();
    deleteNetns();
  });

  test("tell that a tun device has no Ethernet header, and where rules are asked", async () => {
    // Another attachment keeps the program, and so its maps, within sight.
    const witness = await attach(netns.device);
    const { ifindex: veth } = must(await binding().device(netns.path, netns.device));
    const program = await programOn(veth);
    expect(await traits(program, veth)).toEqual([undefined, undefined]);

    const both = await attach(TUN);
    expect(await traits(program, ifindex)).toEqual([BARE, BARE]);
    await both.close();
    expect(await traits(program, ifindex)).toEqual([undefined, undefined]);
    const one = await attach(TUN, "egress");
    expect(await traits(program, ifindex)).toEqual([BARE | REPLIES, BARE]);
    await one.close();
    expect(await traits(program, ifindex)).toEqual([undefined, undefined]);
    await witness.close();
  });

  test("are as before when an attach fails", async () => {
    await using attachment = await attach(TUN, "ingress");
    const program = await programOn(ifindex);
    const before = await traits(program, ifindex);
    expect(before).toEqual([BARE, BARE | REPLIES]);
    const wrong = funnel.attach(TUN, { netns: netns.name, name: "another", direction: "egress" });
    expect(await errorFrom(wrong)).toMatchObject({ code: "SFUNNEL_OPTION" });
    expect(await traits(program, ifindex)).toEqual(before);
    expect(attachment.attached).toBe(true);
  });

  test("must not contradict those of the same index in another namespace", async () => {
    await using _ = await attach(TUN);
    expect(await errorFrom(funnel.attach("same0", { netns: other.name }))).toMatchObject({
      code: "SFUNNEL_OPTION",
      message: expect.stringContaining(
        `tun0 of another namespace, which has the same index as same0 (${ifindex}), but only one of the two has an Ethernet header`,
      ),
    });
  });

  test("of a link type that is neither cannot be told", async () => {
    expect(await errorFrom(attach("odd0"))).toMatchObject({
      code: "SFUNNEL_NOT_SUPPORTED",
      message: `attach: packets on odd0 begin neither with an Ethernet header nor with an IP header (link type ${ODD_LINK_TYPE}) (attach to an interface that carries IP)`,
    });
  });
});
