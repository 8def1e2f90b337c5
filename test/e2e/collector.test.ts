/**
 * examples/collector, as its README has it: NetFlow v9 and IPFIX of softflowd, from a client that funnels
 * them through the one port of a service; what the collector and sfunnel count, as Prometheus would get
 * it; and its end.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { snippetsOf } from "../docs/document.ts";
import { readDocument } from "../docs/documents.ts";
import { FAMILIES, inFamily } from "../support/family.ts";
import { counted } from "../support/flows.ts";
import { NOTHING, onHooks } from "../support/funnels.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { ipv4, udp } from "../support/packet.ts";
import { CLIENT, planLab, SERVICE, type ServicePort } from "../support/plan-lab.ts";
import { type Program, Programs } from "../support/program.ts";
import { talk } from "../support/talk.ts";
import { pcapOf } from "../support/vm/pcap.ts";
import { census, portsOf } from "../support/wire.ts";

const CLIENT6 = inFamily("IPv6", CLIENT);
const SERVICE6 = inFamily("IPv6", SERVICE);
const SERVICE_PORT: ServicePort = { protocol: "tcp", port: 179 };

/** What the exporter has seen: flows of datagrams of 100 bytes, their headers included. */
const FLOWS = 3;
const PACKETS_OF_FLOW = 5;
const LENGTH = 100;
const seen = Array.from({ length: FLOWS * PACKETS_OF_FLOW }, (_, index) =>
  ipv4({}, udp({ sport: 5000 + (index % FLOWS), dport: 53 }, new Uint8Array(LENGTH - 28))),
);

/** The address that the README has for the service. */
const DOCUMENTED = "203.0.113.1";
const readme = readDocument("examples/collector/README.md");
const [collect = "", exporting = "", asking = ""] = snippetsOf(readme)
  .filter(({ language }) => language === "sh")
  .map(({ text }) => text);
const shown = snippetsOf(readme).find(({ language }) => language === "text")?.text ?? "";

let folder = "";

/** The command of the README, and more options; it listens and is attached when this returns. */
function startCollector(programs: Programs, pod: Host, ...options: string[]): Promise<Program> {
  const [node, ...args] = collect.replace(DOCUMENTED, SERVICE).trim().split(" ");
  expect(node).toBe("node");
  return programs.start(pod, ...args, "--service", SERVICE6, ...options);
}

/** NetFlow v9 over IPv4 and IPFIX over IPv6, one datagram each; they have left when this returns. */
async function exportFlows(lab: Lab, client: Host): Promise<void> {
  for (const [version, to] of [
    ["9", `${SERVICE}:2055`],
    ["10", `[${SERVICE6}]:4739`],
  ] as const) {
    const files = ["-r", join(folder, "seen.pcap"), "-p", join(folder, "pid"), "-c", "none"];
    const said = await lab.execute(client, "softflowd", ...files, "-v", version, "-n", to);
    expect(said).toContain(`Flows exported: ${FLOWS} (${FLOWS} records) in 1 packets (0 failures)`);
  }
}

/** The metrics by their names with labels, from inside the pod as the README has it. */
function scrape(lab: Lab, pod: Host): ReadonlyMap<string, number> {
  const [curl, address = "", ...others] = asking.trim().split(" ");
  expect([curl, others]).toEqual(["curl", []]);
  const text = lab.run(pod, "busybox", "wget", "-q", "-O", "-", address);
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map(metricIn));
}

function metricIn(line: string): [string, number] {
  const end = line.lastIndexOf(" ");
  return [line.slice(0, end), Number(line.slice(end + 1))];
}

/** What was counted of an exporter, or of a rule, or by a direction; what is zero is left out. */
function those(metrics: ReadonlyMap<string, number>, having: string): Record<string, number> {
  return Object.fromEntries(
    [...metrics].filter(([name, value]) => name.includes(having) && value !== 0),
  );
}

/** All that a collector counts of one message with all flows. */
function oneMessage(exporter: string, protocol: string): Record<string, number> {
  const labels = `{exporter="${exporter}",protocol="${protocol}"}`;
  return {
    [`collector_messages_total${labels}`]: 1,
    [`collector_records_total${labels}`]: FLOWS,
    [`collector_flow_packets_total${labels}`]: seen.length,
    [`collector_flow_bytes_total${labels}`]: seen.length * LENGTH,
  };
}

/** Sends SIGTERM: it ends well, and nothing of it is left. */
async function stop(lab: Lab, pod: Host, program: Program): Promise<void> {
  expect((await program.stop("SIGTERM")).at(-1)).toBe("stopped");
  expect(await onHooks(pod.netns, "eth0")).toEqual(NOTHING);
  expect(lab.ip(pod, "-brief", "link")).not.toContain("sfunnel");
}

describe.skipIf(skipReason)(titled("examples/collector"), () => {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "sfunnel-collector-"));
    writeFileSync(join(folder, "seen.pcap"), pcapOf(seen));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("gets what comes through the service port, counts it, and ends well", async () => {
    using lab = new Lab(FAMILIES);
    const { client, gateway, pod } = planLab(lab, SERVICE_PORT, 1);
    await using programs = new Programs();
    const collector = await startCollector(programs, pod);
    const [rules = ""] = collector.lines.map((line) => line.replace(/^clients: /, ""));
    // The README shows them for its one address.
    expect(exporting).toContain(`"${rules.split("; ")[0]?.replace(SERVICE, DOCUMENTED)}"`);
    expect(exporting).toContain(`softflowd -i eth0 -v 9 -n ${DOCUMENTED}:2055`);

    // Nobody funnels: it goes by its own ports, and nothing of it comes, as the counts below show.
    const without = await lab.capture(gateway, "uplink");
    await exportFlows(lab, client);
    await without.atLeast(2);
    expect((await without.stop()).map((frame) => portsOf(frame)?.dport).sort()).toEqual([
      2055, 4739,
    ]);
    await using funnel = await Funnel.load({ egress: rules });
    await funnel.attach("eth0", { netns: client.netns });
    const wire = await lab.capture(pod, "eth0");
    await exportFlows(lab, client);

    const isThere = (metrics: ReadonlyMap<string, number>) =>
      [...metrics.keys()].filter((name) => name.startsWith("collector_records_total")).length === 2;
    let metrics = scrape(lab, pod);
    await eventually(() => {
      metrics = isThere(metrics) ? metrics : scrape(lab, pod);
      return isThere(metrics);
    });
    expect(those(metrics, "collector_")).toEqual({
      ...oneMessage(CLIENT, "netflow9"),
      ...oneMessage(CLIENT6, "ipfix"),
    });
    expect(await counted(funnel, "egress")).toEqual({ funneled: 2 });
    expect(those(metrics, 'outcome="unfunneled"')).toMatchObject({
      'sfunnel_packets_total{direction="ingress",outcome="unfunneled"}': 2,
    });
    const rule = "tcp dport 179 actions unfunnel udp allow { 2055, 4739 }";
    const labels = `{direction="ingress",rule="${rule}"}`;
    const bytes = metrics.get('sfunnel_bytes_total{direction="ingress",outcome="unfunneled"}');
    expect(bytes).toBeGreaterThan(0);
    expect(those(metrics, "sfunnel_rule_")).toEqual({
      [`sfunnel_rule_packets_total${labels}`]: 2,
      [`sfunnel_rule_bytes_total${labels}`]: bytes,
    });
    expect(those(metrics, "sfunnel_flows_")).toEqual({
      sfunnel_flows_capacity: 65536,
      sfunnel_flows_entries: 2,
      sfunnel_flows_added_total: 2,
    });
    expect(those(metrics, "sfunnel_connections_")).toEqual({ sfunnel_connections_capacity: 32768 });
    expect(metrics.has("sfunnel_segmenter_repairs_total")).toBe(true);
    // All that the README shows is there, of this exporter.
    for (const line of shown.trim().split("\n")) {
      expect([...metrics.keys()]).toContain(metricIn(line)[0].replace("198.51.100.7", CLIENT));
    }
    // No NetFlow and no IPFIX was on the wire.
    expect(census(await wire.stop())).toEqual({ "tcp 540>179": 2 });

    // A scraper may keep its connection.
    await talk(lab, pod, "tcp", { address: "127.0.0.1", port: 9100 });
    await stop(lab, pod, collector);
  });

  it("counts what its rules do not allow", async () => {
    using lab = new Lab(FAMILIES);
    const { client, pod } = planLab(lab, SERVICE_PORT, 1);
    await using programs = new Programs();
    const collector = await startCollector(programs, pod, "--port", "2055");
    await using funnel = await Funnel.load({
      egress: "udp dport { 2055, 4739 } actions funnel tcp dport 179 sport 540",
    });
    await funnel.attach("eth0", { netns: client.netns });
    await exportFlows(lab, client);

    const dropped = 'sfunnel_packets_total{direction="ingress",outcome="not_allowed"}';
    let metrics = scrape(lab, pod);
    await eventually(() => {
      metrics = scrape(lab, pod);
      return metrics.get(dropped) === 1;
    });
    expect(metrics.get(dropped.replace("not_allowed", "unfunneled"))).toBe(1);
    expect(those(metrics, "collector_")).toEqual(oneMessage(CLIENT, "netflow9"));
    await stop(lab, pod, collector);
  });
});
