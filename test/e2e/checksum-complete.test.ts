/**
 * CHECKSUM_COMPLETE: the kernel keeps the sum of all bytes of a packet beside it, and whoever
 * changes bytes has to keep that true. Packets get it here as in life, by a tunnel: the kernel
 * verifies the checksum of VXLAN's UDP in software and leaves the sum to the packet inside. A
 * small program ahead of ours and one behind it compare the sum with the bytes.
 */
import { describe, expect, it } from "vitest";
import { Funnel, type FunnelRuleset } from "../../lib/index.ts";
import { binding, type NativeObject } from "../../lib/native/binding.ts";
import { outcomesMet, PAIRS, type Pair } from "../support/flows.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { fixture, INGRESS, must, skipReason, titled } from "../support/native.ts";
import {
  bytes,
  concat,
  ipv4,
  type Layer,
  payload,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
} from "../support/packet.ts";

const SENDER = "172.16.9.1";
const RECEIVER = "172.16.9.2";
const VXLAN_PORT = 4789;
const LENGTHS = [0, 1, 2, 3, 22, 23, 500, 501, 1200];

/** Enum finding of the fixture. */
async function findings(watcher: NativeObject) {
  const counts = must(await watcher.read("findings", 0, 3));
  const [right, wrong, other] = new Uint32Array(
    counts.buffer,
    counts.byteOffset,
    counts.byteLength / 4,
  );
  return { right, wrong, other };
}

/** A receiver with a VXLAN device, and who sends to it. */
function vxlanLab(lab: Lab): { sender: Host; receiver: Host } {
  const sender = lab.host("sender");
  const receiver = lab.host("receiver");
  lab.link(sender, "eth0", `${SENDER}/24`, receiver, "eth0", `${RECEIVER}/24`);
  const device = ["link", "add", "vx0", "type", "vxlan", "id", "7", "dev", "eth0"];
  const peers = ["local", RECEIVER, "remote", SENDER, "dstport", `${VXLAN_PORT}`, "udpcsum"];
  lab.run(receiver, "ip", ...device, ...peers);
  lab.configure(receiver, "vx0", "10.9.0.2/24");
  return { sender, receiver };
}

/** Makes a frame what VXLAN carries, in a datagram whose checksum is right and finished. */
function vxlanOf(lab: Lab, { sender, receiver }: { sender: Host; receiver: Host }) {
  const ip = {
    src: SENDER,
    dst: RECEIVER,
    srcMac: lab.mac(sender, "eth0"),
    dstMac: lab.mac(receiver, "eth0"),
  };
  // RFC 7348: flags with the I bit, then the VNI in the upper 24 bits of the second word.
  const header = bytes("08000000 00000700");
  return (frame: Uint8Array) => ipv4(ip, udp({ dport: VXLAN_PORT }, concat(header, frame)));
}

const PORTS = { sport: 540, dport: 179 };

function layers({ inner, over }: Pair): { plain: Layer[]; funneled: Layer[] } {
  const flow = inner === "tcp" ? tcp : udp;
  const plain = LENGTHS.map((length) => flow({ dport: 9 }, payload(length)));
  if (inner === "udp") plain.push(udp({ dport: 9, checksum: "none" }, payload(77)));
  const carrier = over === "tcp" ? tcpCarrier : udpCarrier;
  return { plain, funneled: plain.map((layer) => carrier(PORTS, layer)) };
}

const CASES = PAIRS.flatMap((pair) => [
  {
    title: `funnels ${pair.inner} over ${pair.over}`,
    ingress: `${pair.inner} dport 9 actions funnel ${pair.over} dport 179 sport 540`,
    layers: layers(pair).plain,
    outcome: "funneled",
  },
  {
    title: `unfunnels ${pair.inner} over ${pair.over}`,
    ingress: `${pair.over} dport 179 actions unfunnel ${pair.inner} allow 9`,
    layers: layers(pair).funneled,
    outcome: "unfunneled",
  },
]);

describe.skipIf(skipReason)(titled("CHECKSUM_COMPLETE at ingress"), () => {
  it.each(CASES)("stays true where it $title", async ({ ingress, layers, outcome }) => {
    using lab = new Lab();
    const hosts = vxlanLab(lab);
    const { receiver } = hosts;
    const ahead = must(await binding().load(fixture("complete"), {}));
    const behind = must(await binding().load(fixture("complete"), {}));
    try {
      const rules: FunnelRuleset = { ingress };
      await using funnel = await Funnel.load(rules);
      await funnel.attach("vx0", { netns: receiver.netns });
      const path = `/run/netns/${receiver.netns}`;
      const { ifindex } = must(await binding().device(path, "vx0"));
      must(await ahead.attachTcx(path, ifindex, INGRESS, true, true, 0));
      must(await behind.attachTcx(path, ifindex, INGRESS, false, true, 0));

      const ip = { src: "10.9.0.1", dst: "10.9.0.2", dstMac: lab.mac(receiver, "vx0") };
      const frames = layers.flatMap((layer) => [
        ipv4(ip, layer),
        ipv4({ ...ip, options: payload(12) }, layer),
      ]);
      lab.sendFrames(hosts.sender, "eth0", frames.map(vxlanOf(lab, hosts)));

      const all = { right: frames.length, wrong: 0, other: 0 };
      await eventually(async () => {
        const { right = 0, wrong = 0, other = 0 } = await findings(behind);
        return right + wrong + other === frames.length;
      });
      // It was kept by the kernel to begin with, or the test would show nothing.
      expect(await findings(ahead)).toEqual(all);
      expect(await findings(behind)).toEqual(all);
      expect(await outcomesMet(funnel, "ingress")).toEqual([outcome]);
    } finally {
      ahead.close();
      behind.close();
    }
  });
});
