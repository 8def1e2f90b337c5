/**
 * Mark and priority of packets survive the segmenter: the queueing discipline of the device, which
 * comes behind our program, sorts packets by them.
 */
import { describe, expect, it } from "vitest";
import {
  AT_GATEWAYS_EGRESS,
  type BulkLab,
  bulkLab,
  flowsOver,
  ON_CLIENT,
  outcome,
  type Place,
  PORTS,
  Sides,
} from "../support/bulk.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { sockets } from "../support/sockets.ts";

const MARK = 0x77;
const PRIORITY = 0x10030;

/**
 * Classic BPF, since a kernel may take u32's "match mark" and then match everything: load the
 * mark; if it is ours, return all ones for "the class that is named", else 0.
 */
const HAS_MARK = `4,32 0 0 4294963220,21 0 1 ${MARK},6 0 0 4294967295,6 0 0 0`;

/** Three classes: by the mark, by the priority (which is the class's own handle), and the rest. */
const CLASSES = { rest: "1:20", priority: "1:30", mark: "1:40" } as const;

type Class = keyof typeof CLASSES;

function sortPackets(lab: Lab, host: Host, device: string): void {
  const tc = (...args: string[]) => lab.run(host, "tc", ...args);
  tc("qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "20");
  for (const id of Object.values(CLASSES)) {
    const rate = ["rate", "10gbit", "burst", "1m", "cburst", "1m", "quantum", "60000"];
    tc("class", "add", "dev", device, "parent", "1:", "classid", id, "htb", ...rate);
  }
  const filter = ["filter", "add", "dev", device, "parent", "1:", "protocol", "ip"];
  tc(...filter, "bpf", "bytecode", HAS_MARK, "flowid", CLASSES.mark);
}

/** Packets of each class so far. */
function sorted(lab: Lab, host: Host, device: string): Record<Class, number> {
  const shown = lab.run(host, "tc", "-s", "class", "show", "dev", device);
  const of = (id: string) => {
    const [, count] =
      new RegExp(`class htb ${id} [^]*?Sent \\d+ bytes (\\d+) pkt`).exec(shown) ?? [];
    if (count === undefined) throw new Error(`no class ${id}:\n${shown}`);
    return Number(count);
  };
  return { rest: of(CLASSES.rest), priority: of(CLASSES.priority), mark: of(CLASSES.mark) };
}

interface Asked {
  readonly mark?: number;
  readonly priority?: number;
}

/** Bulk and small writes over TCP, and datagrams of UDP_SEGMENT. */
async function talk(lab: Lab, { client, pod, address }: BulkLab, asked: Asked): Promise<void> {
  const sink = await sockets(lab, pod, "sink", { port: PORTS.tcp }).ready();
  const writes = { lengths: [20_000, 50], times: 30 };
  await sockets(lab, client, "pour", { address, port: PORTS.tcp, ...writes, ...asked }).end();
  await sink.end();
  const drain = await sockets(lab, pod, "drain", { port: PORTS.tcp, count: 12 * 5 }).ready();
  const bursts = { size: 1000, each: 10, rest: 10, bursts: 5 };
  await sockets(lab, client, "bursts", { address, port: PORTS.tcp, ...bursts, ...asked }).end();
  await drain.event("drained");
}

/** Gives the packets that a gateway forwards what a socket would ask for. */
function onForwarding(lab: Lab, gateway: Host, { mark, priority }: Asked): void {
  const targets = [
    ...(mark === undefined ? [] : [["MARK", "--set-mark", `${mark}`]]),
    ...(priority === undefined ? [] : [["CLASSIFY", "--set-class", "1:30"]]),
  ];
  for (const target of targets) {
    const rule = ["-A", "POSTROUTING", "-o", "uplink", "-j", ...target];
    lab.run(gateway, "iptables", "-w", "-t", "mangle", ...rule);
  }
}

/** What is asked for, and the class that its packets come to. */
const WISHES: readonly { readonly asked: Asked; readonly found: Class }[] = [
  { asked: {}, found: "rest" },
  { asked: { mark: MARK }, found: "mark" },
  { asked: { priority: PRIORITY }, found: "priority" },
];

/** Makes packets with what is asked for, by the sockets that send them or as they are forwarded. */
async function talkWith(lab: Lab, hosts: BulkLab, place: Place, asked: Asked): Promise<void> {
  if (place === ON_CLIENT) {
    await talk(lab, hosts, asked);
    return;
  }
  lab.run(hosts.gateway, "iptables", "-w", "-t", "mangle", "-F");
  onForwarding(lab, hosts.gateway, asked);
  await talk(lab, hosts, {});
}

/** What ARP and the like may add to the rest. */
const OTHERS = 10;

describe.skipIf(skipReason)(titled("mark and priority"), () => {
  it.each([ON_CLIENT, AT_GATEWAYS_EGRESS])(
    "of packets are kept, funneled $title",
    async (place) => {
      using lab = new Lab();
      const hosts = bulkLab(lab);
      const host = hosts[place.host];
      sortPackets(lab, host, place.device);
      await using sides = await Sides.attach(hosts, place, flowsOver("tcp"));
      for (const { asked, found } of WISHES) {
        const before = sorted(lab, host, place.device);
        const funneledBefore = await outcome(sides.near, place.out, "funneled");
        const segmentedBefore = await outcome(sides.near, place.out, "segmented");
        await talkWith(lab, hosts, place, asked);
        const after = sorted(lab, host, place.device);
        const funneled = (await outcome(sides.near, place.out, "funneled")) - funneledBefore;
        const segmented = (await outcome(sides.near, place.out, "segmented")) - segmentedBefore;
        expect(segmented).toBeGreaterThan(0);
        // What is sorted is what was funneled, to the packet.
        for (const name of Object.keys(CLASSES) as Class[]) {
          const came = after[name] - before[name];
          if (name !== "rest")
            expect({ name, came }).toEqual({ name, came: name === found ? funneled : 0 });
          else if (found === "rest") expect(came).toBeGreaterThanOrEqual(funneled);
          else expect(came).toBeLessThan(OTHERS);
        }
      }
      await sides.expectAllFunneled();
    },
  );
});
