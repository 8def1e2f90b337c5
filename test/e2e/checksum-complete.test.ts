/**
 * CHECKSUM_COMPLETE: the kernel keeps the sum of all bytes of a packet beside it, and whoever
 * changes bytes has to keep that true. Packets get it here as in life, by a tunnel: the kernel
 * verifies the checksum of VXLAN's UDP in software and leaves the sum to the packet inside. A
 * small program ahead of ours and one behind it compare the sum with the bytes.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { binding, type NativeAttachment, type NativeObject } from "../../lib/native/binding.ts";
import { End } from "../support/ends.ts";
import { FAMILIES, type Family, inFamily } from "../support/family.ts";
import { PAIRS, type Pair } from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { fixture, INGRESS, must, skipReason, titled } from "../support/native.ts";
import {
  bytes,
  concat,
  ipv4,
  ipv6,
  type Layer,
  payload,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
} from "../support/packet.ts";

/** What VXLAN's datagrams go by: IPv4, and IPv6, where it takes none without a checksum. */
const UNDERLAYS = [
  { underlay: "IPv4", device: "vx4", checksums: "udpcsum" },
  { underlay: "IPv6", device: "vx6", checksums: "noudp6zerocsumrx" },
] as const;

const SENDER = "172.16.9.1";
const RECEIVER = "172.16.9.2";
const VXLAN_PORT = 4789;
const LENGTHS = [0, 1, 2, 3, 22, 23, 500, 501, 1200];

interface VxlanLab {
  readonly sender: Host;
  readonly receiver: Host;
}

/** Enum finding of the fixture. */
async function findings(watcher: NativeObject) {
  const counts = must(await watcher.read("findings", 0, 3));
  const [right = 0, wrong = 0, other = 0] = new Uint32Array(
    counts.buffer,
    counts.byteOffset,
    counts.byteLength / 4,
  );
  return { right, wrong, other };
}

/** A receiver with a VXLAN device over each family, and who sends to it. */
function vxlanLab(lab: Lab): VxlanLab {
  const sender = lab.host("sender");
  const receiver = lab.host("receiver");
  lab.link(sender, "eth0", `${SENDER}/24`, receiver, "eth0", `${RECEIVER}/24`);
  for (const { underlay, device, checksums } of UNDERLAYS) {
    const vxlan = ["link", "add", device, "type", "vxlan", "id", "7", "dev", "eth0"];
    const peers = ["local", inFamily(underlay, RECEIVER), "remote", inFamily(underlay, SENDER)];
    lab.ip(receiver, ...vxlan, ...peers, "dstport", `${VXLAN_PORT}`, checksums);
    lab.ip(receiver, "link", "set", device, "up");
  }
  return { sender, receiver };
}

/** Makes a frame what VXLAN carries, in a datagram whose checksum is right and finished. */
function vxlanOf(lab: Lab, { sender, receiver }: VxlanLab, underlay: Family) {
  const ip = {
    src: inFamily(underlay, SENDER),
    dst: inFamily(underlay, RECEIVER),
    srcMac: lab.mac(sender, "eth0"),
    dstMac: lab.mac(receiver, "eth0"),
  };
  const packet = underlay === "IPv4" ? ipv4 : ipv6;
  // RFC 7348: flags with the I bit, then the VNI in the upper 24 bits of the second word.
  const header = bytes("08000000 00000700");
  return (frame: Uint8Array) => packet(ip, udp({ dport: VXLAN_PORT }, concat(header, frame)));
}

const PORTS = { sport: 540, dport: 179 };

/** Flows of a pair from a client's port, plain and in carriers. */
function layers({ inner, over }: Pair, sport: number): { plain: Layer[]; funneled: Layer[] } {
  const flow = inner === "tcp" ? tcp : udp;
  const plain = LENGTHS.map((length) => flow({ sport, dport: 9 }, payload(length)));
  if (inner === "udp") plain.push(udp({ sport, dport: 9, checksum: "none" }, payload(77)));
  const carrier = over === "tcp" ? tcpCarrier : udpCarrier;
  return { plain, funneled: plain.map((layer) => carrier(PORTS, layer)) };
}

const unfunnelRule = ({ inner, over }: Pair) =>
  `${over} dport 179 actions unfunnel ${inner} allow 9`;

/** A client's port for each pair: a flow that came in another carrier is another client's. */
const CASES = UNDERLAYS.flatMap((under) =>
  PAIRS.flatMap((pair, index) => {
    const { plain, funneled } = layers(pair, 40_000 + index);
    return [
      {
        ...under,
        title: `funnels ${pair.inner} over ${pair.over}`,
        ingress: `${pair.inner} dport 9 actions funnel ${pair.over} dport 179 sport 540`,
        layers: plain,
        outcome: "funneled",
      },
      {
        ...under,
        title: `unfunnels ${pair.inner} over ${pair.over}`,
        ingress: unfunnelRule(pair),
        layers: funneled,
        outcome: "unfunneled",
      },
    ];
  }),
);

type Findings = Awaited<ReturnType<typeof findings>>;

/** A program of the fixture on a device, and what it has found since it was last asked. */
class Watcher {
  readonly #object: NativeObject;
  /** Garbage as soon as nobody holds it, and then detached. */
  readonly #attachment: NativeAttachment;
  #before: Findings = { right: 0, wrong: 0, other: 0 };

  private constructor(object: NativeObject, attachment: NativeAttachment) {
    this.#object = object;
    this.#attachment = attachment;
  }

  static async attach({ receiver }: VxlanLab, device: string, ahead: boolean): Promise<Watcher> {
    const object = must(await binding().load(fixture("complete"), {}));
    const path = `/run/netns/${receiver.netns}`;
    const { ifindex } = must(await binding().device(path, device));
    return new Watcher(
      object,
      must(await object.attachTcx(path, ifindex, INGRESS, ahead, true, 0)),
    );
  }

  /** What it has found of so many packets, once they have come by. */
  async found(packets: number): Promise<Findings> {
    const before = this.#before;
    const since = async () => {
      const { right, wrong, other } = await findings(this.#object);
      return {
        right: right - before.right,
        wrong: wrong - before.wrong,
        other: other - before.other,
      };
    };
    await eventually(async () => {
      const { right, wrong, other } = await since();
      return right + wrong + other >= packets;
    });
    this.#before = await findings(this.#object);
    return since();
  }

  async close(): Promise<void> {
    await this.#attachment.detach();
    this.#object.close();
  }
}

describe.skipIf(skipReason)(titled("CHECKSUM_COMPLETE at ingress"), () => {
  let lab: Lab;
  let hosts: VxlanLab;
  let end: End;
  const ahead = new Map<string, Watcher>();
  const behind = new Map<string, Watcher>();

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    hosts = vxlanLab(lab);
    end = await End.attach(hosts.receiver, "vx4");
    await end.funnel.attach("vx6", { netns: hosts.receiver.netns });
    for (const { device } of UNDERLAYS) {
      ahead.set(device, await Watcher.attach(hosts, device, true));
      behind.set(device, await Watcher.attach(hosts, device, false));
    }
  });

  afterAll(async () => {
    for (const watcher of [...ahead.values(), ...behind.values()]) await watcher.close();
    await end?.[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  /** Each layer in packets of IPv4, with options too, and of IPv6: what they are and become. */
  async function expectTrue(under: (typeof UNDERLAYS)[number], sent: readonly Layer[]) {
    const { underlay, device } = under;
    const dstMac = lab.mac(hosts.receiver, device);
    const ip = { src: "10.9.0.1", dst: "10.9.0.2", dstMac };
    const ip6 = { src: inFamily("IPv6", ip.src), dst: inFamily("IPv6", ip.dst), dstMac };
    const frames = sent.flatMap((layer) => [
      ipv4(ip, layer),
      ipv4({ ...ip, options: payload(12) }, layer),
      ipv6(ip6, layer),
    ]);
    lab.sendFrames(hosts.sender, "eth0", frames.map(vxlanOf(lab, hosts, underlay)));

    const all = { right: frames.length, wrong: 0, other: 0 };
    expect(await behind.get(device)?.found(frames.length)).toEqual(all);
    // It was kept by the kernel to begin with, or the test would show nothing.
    expect(await ahead.get(device)?.found(frames.length)).toEqual(all);
    return frames.length;
  }

  it.each(CASES)("stays true where it $title, behind VXLAN over $underlay", async (row) => {
    await end.begin({ ingress: row.ingress });
    const sent = await expectTrue(row, row.layers);
    expect(await end.counted("ingress")).toEqual({ [row.outcome]: sent });
  });

  it("stays true where a client's port is remapped", async () => {
    const [under] = UNDERLAYS;
    const pairs = (["tcp", "udp"] as const).map((over) => ({ inner: "udp", over }) as const);
    await end.begin({ ingress: pairs.map(unfunnelRule).join("\n") });
    const before = (await end.funnel.stats()).flows.remapped;
    // The second has the same flow, and its carrier says that it comes from somebody else.
    for (const pair of pairs) await expectTrue(under, layers(pair, 41_000).funneled);
    // One flow of each family.
    expect((await end.funnel.stats()).flows.remapped).toBe(before + FAMILIES.length);
  });
});
