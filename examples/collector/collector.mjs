// A collector of NetFlow v9 and IPFIX, in the pod of a service that has port TCP/179 alone:
//
//   node collector.mjs --service 203.0.113.1 [--service 2001:db8::1] [--interface eth0]
//                      [--port 2055 --port 4739] [--metrics 9100]
//
// Counts the flow records of each exporter, serves what it and sfunnel count at /metrics, and ends on
// SIGTERM or Ctrl-C with nothing left attached.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Counter, Registry } from "prom-client";
import { Funnel, formatRules, plan } from "sfunnel";
import { funnelMetrics } from "./funnel-metrics.mjs";
import { Decoder } from "./messages.mjs";

const { values } = parseArgs({
  options: {
    service: { type: "string", multiple: true },
    interface: { type: "string", default: "eth0" },
    port: { type: "string", multiple: true, default: ["2055", "4739"] },
    metrics: { type: "string", default: "9100" },
  },
});
if (!values.service) throw new Error("the service's address is missing: --service 203.0.113.1");
const ports = values.port.map(Number);

/** Either signal, also one that comes before all of it has begun. */
const stopped = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);

const registry = new Registry();
const counter = (name, help, ...labelNames) =>
  new Counter({ name, help, labelNames, registers: [registry] });
const received = {
  messages: counter("collector_messages_total", "Messages", "exporter", "protocol"),
  records: counter("collector_records_total", "Flow records", "exporter", "protocol"),
  packets: counter("collector_flow_packets_total", "Packets of the flows", "exporter", "protocol"),
  octets: counter("collector_flow_bytes_total", "Bytes of the flows", "exporter", "protocol"),
  undecoded: counter("collector_undecoded_total", "Data without a template", "exporter"),
  malformed: counter("collector_malformed_total", "Datagrams that are no message", "exporter"),
};

/** Anybody may send us datagrams: only so many have counters of their own. */
const MOST_EXPORTERS = 1000;
const exporters = new Set();
function nameOf(address) {
  if (exporters.size < MOST_EXPORTERS) exporters.add(address);
  return exporters.has(address) ? address : "others";
}

const decoder = new Decoder();
function receive(datagram, { address }) {
  // A socket of both families has addresses of IPv4 in this form.
  const exporter = nameOf(address.replace(/^::ffff:/, ""));
  try {
    const { protocol, records, undecoded } = decoder.decode(datagram, exporter);
    received.messages.inc({ exporter, protocol });
    received.records.inc({ exporter, protocol }, records.length);
    for (const { packets = 0, octets = 0 } of records) {
      received.packets.inc({ exporter, protocol }, packets);
      received.octets.inc({ exporter, protocol }, octets);
    }
    received.undecoded.inc({ exporter }, undecoded);
  } catch {
    received.malformed.inc({ exporter });
  }
}

const { client, service } = plan({
  service: { address: values.service, port: 179, protocol: "tcp" },
  flows: [{ protocol: "udp", port: ports }],
});
const funnel = await Funnel.load(service);
const update = funnelMetrics(registry);

const sockets = ports.map(() => createSocket("udp6", receive));
const server = createServer(async ({ url }, response) => {
  if (url !== "/metrics") return response.writeHead(404).end();
  try {
    update(await funnel.stats());
    const text = await registry.metrics();
    response.setHeader("content-type", registry.contentType).end(text);
  } catch (error) {
    response.writeHead(500).end(`${error.message}\n`);
  }
});

try {
  for (const [index, port] of ports.entries()) {
    await once(sockets[index].bind(port), "listening");
  }
  await once(server.listen(Number(values.metrics)), "listening");
  await funnel.attach(values.interface);
  console.log(`clients: ${formatRules(client.egress).trim().replaceAll("\n", "; ")}`);
  await stopped;
  console.log("stopped");
} finally {
  await funnel.close();
  for (const socket of sockets) socket.close();
  server.close();
  server.closeAllConnections();
}
