/**
 * Frames of other shapes: VLAN tags, which stay where they are, and devices of programs, whose
 * packets have no Ethernet header, come with super-packets or without, or with scattered headers.
 */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shapeOf, type Tag, tagging } from "../support/beside.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { python } from "../support/frames.ts";
import { expectTransfers, type Transfer } from "../support/http.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { CLIENT, onPod, POD, podIn, Sides, WANTED } from "../support/translating.ts";

const pumpPath = fileURLToPath(new URL("../support/pump.py", import.meta.url));

const bothWays = (length: number): readonly Transfer[] => [
  { direction: "upload", length },
  { direction: "download", length },
];

/** IEEE 802.1Q, and 802.1ad around it. */
const INNER: Tag = { type: 0x8100, id: 5 };
const OUTER: Tag = { type: 0x88a8, id: 7 };

const TAGS = [
  { title: "one", tags: [INNER] },
  { title: "two", tags: [OUTER, INNER] },
] as const;

describe.skipIf(skipReason)(titled("VLAN tags"), () => {
  let lab: Lab;
  let client: Host;
  let pod: Host;
  let sides: Sides;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    [client, pod] = [lab.host("client"), lab.host("pod")];
    lab.link(client, "eth0", "10.2.0.1/24", pod, "eth0", `${POD}/24`);
    sides = await Sides.attach({ host: client, device: "eth0", out: "egress" }, onPod({ pod }));
  });

  afterAll(async () => {
    await sides?.[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  it.each(TAGS)("$title", async ({ tags }) => {
    await using _there = await tagging(client, "eth0", tags);
    await using _here = await tagging(pod, "eth0", tags);
    const arriving = { host: pod, device: "eth0", direction: "ingress" } as const;
    await using shape = await shapeOf(arriving);
    await sides.begin();
    for (const family of FAMILIES) {
      await expectTransfers(lab, pod, client, podIn(family), WANTED, bothWays(1_000_000));
    }
    await sides.expectAllTranslated();
    const { packets, taggedBeside, taggedInFrame, superPackets } = await shape.seen();
    expect(superPackets).toBeGreaterThan(0);
    expect({ taggedBeside, taggedInFrame }).toEqual({
      taggedBeside: packets,
      taggedInFrame: tags.length > 1 ? packets : 0,
    });
  });
});

describe.skipIf(skipReason)(titled("devices of programs"), () => {
  it.each(["tun", "offload", "scattered"] as const)("%s", async (kind) => {
    using lab = new Lab(FAMILIES);
    const [client, gateway, pod] = [lab.host("client"), lab.router("gateway"), lab.host("pod")];
    await python(lab, client, pumpPath, kind, "dev0", client.netns, gateway.netns).ready();
    lab.configure(client, "dev0", `${CLIENT}/24`);
    lab.configure(gateway, "dev0", "10.1.0.1/24");
    lab.link(gateway, "uplink", "10.2.0.1/24", pod, "eth0", `${POD}/24`);
    lab.route(client, "10.1.0.1");
    lab.route(pod, "10.2.0.1");

    // From one device of this kind to the other, whose host is the server then; and on from there. A
    // program carries each packet, so there are not many of them.
    const near = { host: client, device: "dev0", out: "egress" } as const;
    const far = { host: gateway, device: "dev0", out: "ingress" } as const;
    await using shape = await shapeOf({ host: gateway, device: "dev0", direction: "ingress" });
    for (const [first, second, server, address] of [
      [near, far, gateway, "10.1.0.1"],
      [far, onPod({ pod }), pod, POD],
    ] as const) {
      await using sides = await Sides.attach(first, second);
      await sides.begin();
      for (const family of FAMILIES) {
        const at = inFamily(family, address);
        await expectTransfers(lab, server, client, at, WANTED, bothWays(150_000));
      }
      await sides.expectAllTranslated({ cutUp: true });
    }
    if (kind === "scattered") expect((await shape.seen()).nonLinear).toBeGreaterThan(0);
  });
});
