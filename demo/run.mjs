// The demo from its beginning to its end. Needs a checkout that is set up.
import { setMaxListeners } from "node:events";
import { styleText } from "node:util";
import { Funnel, formatRule } from "sfunnel";
import { Cluster } from "./cluster.mjs";
import { judge, row, TITLES } from "./result.mjs";
import { rulesFor } from "./rules.mjs";
import { scene } from "./service.mjs";
import { table } from "./table.mjs";

const ROUNDS = 3;
const BACKEND_COLOURS = ["cyan", "magenta", "yellow"];

const coloured = process.stdout.isTTY && process.stdout.hasColors();
const paint = (format, text) => (coloured ? styleText(format, text) : text);

/** Each backend has its colour: a row of one colour is a client on one backend. */
function paintCell(text) {
  if (text === "yes") return paint("green", text);
  if (text.startsWith("no")) return paint("red", text);
  const [, backend] = /^backend (\d)$/.exec(text) ?? [];
  return backend === undefined ? text : paint(BACKEND_COLOURS[backend - 1], text);
}

const started = performance.now();
function progress(text) {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(4);
  console.log(paint("dim", `[${seconds} s] ${text}`));
}

function heading(text) {
  console.log(`\n${paint("bold", text)}`);
}

/** "10.0.0.1 - 8" */
function range(hosts) {
  return `${hosts[0].address} - ${hosts.at(-1).address.split(/[.:]/).at(-1)}`;
}

function introduce({ clients, backends, service }) {
  heading("sfunnel: all flows of a client on one backend");
  console.log(`
Kubernetes can keep a client on one backend (sessionAffinity: ClientIP), but it does so for
each port of a service apart. This is a service with three ports, in network namespaces:
`);
  const columns = [
    [`${clients.length} clients`, range(clients)],
    [`service ${service.address}`, "a node with kube-proxy's rules"],
    [`${backends.length} backends`, range(backends)],
  ];
  for (const [line, arrow] of ["     ", " --> "].entries()) {
    const cells = columns.map((column) =>
      column[line].padEnd(Math.max(...column.map(({ length }) => length))),
    );
    console.log(`  ${cells.join(arrow).trimEnd()}`);
  }
  console.log(`
Each backend answers HTTP on 80, HTTP on 8080 and UDP on 2055 with its name and with the address
from which it was asked.
`);
}

/** Puts sfunnel on both sides. Gives what counts the packets and takes it off again. */
async function funnel(cluster, { client, backend }, fault) {
  const funnels = [];
  try {
    const backendRules =
      fault === "no-unfunnel-udp"
        ? backend.filter(({ action }) => action.inner !== "udp")
        : backend;
    for (const [hosts, rules] of [
      [cluster.clients, { egress: client }],
      [cluster.backends, { ingress: backendRules }],
    ]) {
      const loaded = await Funnel.load(rules);
      funnels.push(loaded);
      for (const { host } of hosts) await loaded.attach("eth0", { netns: host.netns });
    }
  } catch (error) {
    for (const loaded of funnels) await loaded.close();
    throw error;
  }
  const [near, far] = funnels;
  return {
    async packets() {
      const { outcomes, rules } = (await near.stats()).egress;
      const out = outcomes.funneled.packets;
      const carried = rules
        .filter((_, index) => client[index].action.mode === "encap")
        .reduce((sum, { packets }) => sum + packets, 0);
      const back = (await far.stats()).egress.outcomes.reply_funneled.packets;
      return { out, carried, back };
    },
    async close() {
      for (const loaded of funnels) await loaded.close();
    },
  };
}

/** All clients ask; shows the table, and gives what it says. */
async function askAll(cluster) {
  const results = (await cluster.ask(ROUNDS)).map(judge);
  console.log(`\n${table(TITLES, results.map(row), paintCell)}\n`);
  return results;
}

/** One sentence on backends, one on addresses. `sound`: every answer came, and with the address. */
function report(results, how) {
  const [split, failed, strange] = [
    results.filter((client) => client.split),
    results.filter((client) => client.failed),
    results.filter((client) => client.strange.length > 0),
  ].map(({ length }) => length);
  const answers = results.flatMap((client) => client.answers).filter(({ error }) => !error).length;

  let served = "every client had one backend for all three ports.";
  if (failed > 0) served = `${failed} of ${results.length} clients missed answers.`;
  if (split > 0) served = `${split} of ${results.length} clients were split over several backends.`;
  console.log(paint("bold", `${how} ${served}`));
  console.log(
    strange > 0
      ? paint("red", `Source address lost: ${strange} of ${results.length} clients.`)
      : `In all ${answers} answers the backend had seen the client's own address.`,
  );
  return { split, sound: failed === 0 && strange === 0 };
}

/**
 * Shows both steps. Resolves to true if they came out as they must: clients split without
 * sfunnel, none with it, and no answer or address lost. Gives everything back in any case, also
 * when the signal fires: it rejects then.
 *
 * `fault` is for the tests, which see by it that the demo can fail: "no-funnels" leaves sfunnel
 * out of step 2, "no-unfunnel-udp" leaves a rule out on the backends, "always-funnels" puts it
 * into step 1, "source-nat" hides a client's address in step 2.
 */
export async function runDemo({ signal, fault, family = "ipv4", showRules = false }) {
  signal.throwIfAborted();
  setMaxListeners(0, signal); // Every command under way listens.
  const all = scene(family);
  const { clients, backends, service, strange } = all;
  const rules = rulesFor(service);
  const cluster = new Cluster(all, signal);
  const stop = () => cluster.close();
  signal.addEventListener("abort", stop);
  let funnels;
  try {
    introduce(all);
    progress(`making ${clients.length + backends.length + 1} network namespaces`);
    await cluster.start();
    progress("joining them to the node");
    await cluster.connect();
    progress(
      `writing kube-proxy's ${cluster.iptables} rules for ${service.address}, affinity by client`,
    );
    await cluster.balance();
    if (showRules) console.log(`\n${await cluster.rules()}`);
    if (fault === "always-funnels") funnels = await funnel(cluster, rules);

    heading("Step 1: without sfunnel");
    progress(`every client asks each of the three ports ${ROUNDS} times`);
    const without = report(await askAll(cluster), "Without sfunnel");

    heading("Step 2: with sfunnel");
    progress("the node forgets which backend served whom");
    await cluster.forget();
    if (fault === "source-nat") await cluster.hide(clients[2], strange);
    if (fault !== "no-funnels") {
      progress("attaching sfunnel to every client and every backend");
      funnels ??= await funnel(cluster, rules, fault);
    }
    console.log(`
  on clients, out   ${rules.client.map(formatRule).join("\n                    ")}
  on backends, in   ${rules.backend.map(formatRule).join("\n                    ")}
`);
    progress(`every client asks each of the three ports ${ROUNDS} times`);
    const withIt = report(await askAll(cluster), "With sfunnel");
    if (funnels) {
      const { out, carried, back } = await funnels.packets();
      console.log(
        `${out} packets travelled as TCP to port 80, ${carried} of them UDP in a TCP header; ${back} came back the same way.`,
      );
    }

    if (without.split === 0) {
      console.log(
        paint("red", "\nStep 1 should have split a client, or there is nothing to show."),
      );
    }
    return without.split > 0 && without.sound && withIt.split === 0 && withIt.sound;
  } finally {
    signal.removeEventListener("abort", stop);
    try {
      await funnels?.close();
    } finally {
      await cluster.close();
    }
  }
}

/** What has been seen, in few words. */
export function explain() {
  console.log(`
What happened: the node's affinity is by client and port. Before they reached the node, sfunnel
changed the port of HTTP on 8080 to 80 (translate, no byte more) and put a TCP header to port 80 in
front of UDP on 2055 (encap, 20 bytes more). It undid both in the backend, so all three followed the
choice that was made for port 80. HTTP on 80 itself went on as ever.

Nothing of it is left on this machine. Next: README.md has the shortest program that does this,
docs/plan.md how the rules were made, docs/rules.md what they say; npm run demo -- --help shows
more of the demo.`);
}
