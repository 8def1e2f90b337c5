/**
 * Network cards that find checksums by parsing headers, as qemu's e1000e and vmxnet3 do: what
 * they put on the wire, offloads at their defaults. A veth, which leaves a checksum alone that it
 * need not know, shows none of this. One guest has both cards, on one wire, and qemu records it.
 */
import { beforeAll, describe, expect, it } from "vitest";
import type { Direction, Stats } from "../../lib/index.ts";
import { PAIRS } from "../support/flows.ts";
import type { Message } from "../support/lab.ts";
import { debianKernel } from "../support/vm/kernel.ts";
import { framesOf } from "../support/vm/pcap.ts";
import { Vm, vmSkipReason, vmTitled } from "../support/vm/vm.ts";
import { checksumStates, shown } from "../support/wire.ts";

const LONGEST = 180_000;

const CARDS = {
  e1000e: "52:54:00:00:00:01",
  vmxnet3: "52:54:00:00:00:02",
};
const CARRIER_PORT = 540;

/** Payloads of even and odd length; also the shortest, whose frame Ethernet pads. */
const LENGTHS = [1, 100, 101, 1400];

/** TCP hands this to us in packets of many segments. */
const BULK = 100_000;

const FLOWS = PAIRS.map((pair, index) => ({
  ...pair,
  lengths: pair.inner === "tcp" ? [...LENGTHS, BULK] : LENGTHS,
  port: 2001 + index,
  service: 101 + index,
}));

const CONTROL = {
  inner: "udp" as const,
  port: 2055,
  from: 2054,
  lengths: LENGTHS,
  program: "build/fixtures/vm-push.bpf.o",
};

const OPTIONS = {
  cards: { near: CARDS.e1000e, far: CARDS.vmxnet3 },
  addresses: { near: "10.0.0.1", far: "10.0.0.2" },
  flows: FLOWS,
  rules: {
    near: {
      egress: FLOWS.map(
        ({ inner, over, port, service }) =>
          `${inner} dport ${port} actions funnel ${over} dport ${service} sport ${CARRIER_PORT}`,
      ).join("\n"),
    },
    far: {
      ingress: FLOWS.map(
        ({ inner, over, port, service }) =>
          `${over} dport ${service} actions unfunnel ${inner} allow ${port}`,
      ).join("\n"),
    },
  },
  control: CONTROL,
};

/** Both cards at one hub, which passes frames on as they are. */
function devices(folder: string): string[] {
  return [
    ...Object.entries(CARDS).flatMap(([model, mac], index) => [
      ...["-netdev", `hubport,id=port${index},hubid=0`],
      ...["-device", `${model},netdev=port${index},mac=${mac}`],
    ]),
    ...["-object", `filter-dump,id=dump,netdev=port0,queue=all,file=${folder}/wire`],
  ];
}

/** What a card has sent of TCP and UDP, by what it shows, e.g. "tcp 540>179". */
function sentBy(mac: string, frames: readonly Uint8Array[]): Map<string, Uint8Array[]> {
  const sent = new Map<string, Uint8Array[]>();
  for (const frame of frames) {
    const source = Buffer.from(frame.subarray(6, 12)).toString("hex");
    const isIpv4 = frame[12] === 0x08 && frame[13] === 0x00;
    if (source !== mac.replaceAll(":", "") || !isIpv4 || ![6, 17].includes(frame[23] ?? 0))
      continue;
    const key = shown(frame);
    sent.set(key, [...(sent.get(key) ?? []), frame]);
  }
  return sent;
}

/** What neighbours who look for each other count in. */
const OF_NEIGHBOURS: ReadonlySet<string> = new Set(["not_ip", "not_tcp_udp", "extension_header"]);

/** Names of the outcomes that packets of TCP and UDP have met, by direction. */
function met(stats: Stats): Record<Direction, string[]> {
  const names = ({ outcomes }: Stats[Direction]) =>
    Object.entries(outcomes)
      .filter(([name, { packets }]) => packets > 0 && !OF_NEIGHBOURS.has(name))
      .map(([name]) => name)
      .sort();
  return { egress: names(stats.egress), ingress: names(stats.ingress) };
}

describe.skipIf(vmSkipReason)(vmTitled("network cards that parse headers"), () => {
  let frames: readonly Uint8Array[];
  let lost: readonly Message[];
  let stats: { readonly near: Stats; readonly far: Stats };

  beforeAll(async () => {
    using vm = new Vm({
      kernel: debianKernel("bookworm"),
      modules: ["e1000e", "vmxnet3", "veth", "sch_ingress", "cls_bpf"],
      script: "test/fixtures/vm-nics.mjs",
      options: OPTIONS,
      devices,
    });
    await vm.guest.end();
    lost = vm.guest.events("lost");
    stats = (await vm.guest.event("stats")) as unknown as typeof stats;
    frames = framesOf(vm.read("wire"));
  }, LONGEST);

  it("the guest funnels all that it sends, and its peer takes it", () => {
    expect(lost).toEqual([]);
    expect(met(stats.near)).toEqual({
      egress: ["funneled", "segmented"],
      ingress: ["reply_unfunneled"],
    });
    expect(met(stats.far)).toEqual({
      egress: ["reply_funneled", "segmented"],
      ingress: ["unfunneled"],
    });
  });

  describe.each([
    { card: "e1000e" as const, ports: (here: number, there: number) => `${here}>${there}` },
    { card: "vmxnet3" as const, ports: (here: number, there: number) => `${there}>${here}` },
  ])("$card", ({ card, ports }) => {
    const control = `udp ${ports(CONTROL.from, CONTROL.port)}`;

    it.each(FLOWS)("$inner over $over", ({ inner, over, service }) => {
      const sent = sentBy(CARDS[card], frames).get(`${over} ${ports(CARRIER_PORT, service)}`) ?? [];
      expect(sent.length).toBeGreaterThanOrEqual(LENGTHS.length);
      expect(checksumStates(sent, inner)).toEqual(["right right right"]);
    });

    it("shows nothing but carriers, and the control", () => {
      const carriers = FLOWS.map(({ over, service }) => `${over} ${ports(CARRIER_PORT, service)}`);
      expect([...sentBy(CARDS[card], frames).keys()].sort()).toEqual([...carriers, control].sort());
    });

    it("spoils a checksum that is left to it", () => {
      const left = sentBy(CARDS[card], frames).get(control) ?? [];
      expect(left).toHaveLength(LENGTHS.length);
      expect(checksumStates(left, CONTROL.inner)).toEqual(["right right wrong"]);
    });
  });
});
