/**
 * The example that the project began with (examples/nginx): a service with ClientIP affinity whose
 * pods serve 80 and 8080, behind the rules that kube-proxy makes of it.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { checkRules, formatRules, parseRules } from "../../lib/index.ts";
import { succeed } from "../cli/sfunnel.ts";
import { NOTHING, onHooks } from "../support/funnels.ts";
import { runKubeProxy } from "../support/kube-proxy.ts";
import { type Host, Lab, type Message } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { Programs } from "../support/program.ts";
import { pages, servePages } from "../support/talk.ts";

const example = (name: string) =>
  fileURLToPath(new URL(`../../examples/nginx/${name}`, import.meta.url));
const read = (name: string) => readFileSync(example(name), "utf8");

const SERVICE = "203.0.113.10";
const PODS = ["10.2.0.1", "10.2.0.2", "10.2.0.3"];
/** So many that they do not all meet the same pod on both ports by chance: 3 to the power of 16. */
const ADDRESSES_A_CLIENT = 8;
const CLIENTS = [0, 1].map((client) =>
  Array.from({ length: ADDRESSES_A_CLIENT }, (_, index) => `10.1.${client}.${index + 2}`),
);

interface Cluster {
  readonly clients: readonly Host[];
  readonly pods: readonly Host[];
}

/** Clients - node - pods; the service has these ports. */
async function cluster(lab: Lab, ports: readonly number[]): Promise<Cluster> {
  const node = lab.router("node");
  const clients = CLIENTS.map(([first, ...others], index) => {
    const client = lab.host(`client${index}`);
    const gateway = `10.1.${index}.1`;
    lab.link(client, "eth0", `${first}/24`, node, `client${index}`, `${gateway}/24`);
    for (const other of others)
      lab.run(client, "ip", "address", "add", `${other}/24`, "dev", "eth0");
    lab.route(client, gateway);
    return client;
  });
  const pods = PODS.map((address, index) => {
    const pod = lab.host(`pod${index}`);
    lab.link(node, `pod${index}`, "10.2.0.254/32", pod, "eth0", `${address}/24`);
    lab.run(node, "ip", "route", "add", `${address}/32`, "dev", `pod${index}`);
    lab.route(pod, "10.2.0.254");
    return pod;
  });
  const service = {
    namespace: "default",
    name: "my-loadbalancer-service",
    address: SERVICE,
    affinitySeconds: 10800,
    ports: ports.map((port) => ({ name: `p${port}`, transport: "tcp" as const, port })),
  };
  const backends = PODS.map((address) => ({ address }));
  runKubeProxy(lab, node, "iptables", { service, backends });
  for (const [index, pod] of pods.entries()) {
    await servePages(lab, pod, { ports: [80, 8080], name: `pod ${index}` });
  }
  return { clients, pods };
}

/** Each client's page of each port, in this order; every client asks from all of its addresses. */
async function askAll(lab: Lab, clients: readonly Host[], ports: readonly number[]) {
  const answers: Message[] = [];
  for (const [index, client] of clients.entries()) {
    const sources = CLIENTS[index] ?? [];
    answers.push(...(await pages(lab, client, { address: SERVICE, ports, sources })));
  }
  return answers;
}

/** Which pods served each client: "pod 1", or more than one. */
function podsOf(answers: readonly Message[]): Map<unknown, Set<unknown>> {
  const pods = new Map<unknown, Set<unknown>>();
  for (const { source, name } of answers) {
    pods.set(source, (pods.get(source) ?? new Set()).add(name));
  }
  return pods;
}

/** All pages came, and each from a pod that saw the client's own address. */
function expectAddressesPreserved(answers: readonly Message[], ports: readonly number[]): void {
  expect(answers.map(({ event, port, source, client }) => [event, port, source, client])).toEqual(
    CLIENTS.flat().flatMap((source) => ports.map((port) => ["page", port, source, source])),
  );
}

describe.skipIf(skipReason)(titled("the seed's example"), () => {
  it("without sfunnel: affinity of each port apart splits clients", async () => {
    using lab = new Lab();
    const { clients } = await cluster(lab, [80, 8080]);
    const answers = await askAll(lab, clients, [80, 8080]);
    expectAddressesPreserved(answers, [80, 8080]);
    const split = [...podsOf(answers).values()].filter((pods) => pods.size > 1);
    expect(split.length).toBeGreaterThan(0);
    // Each port for itself keeps to its pod.
    const again = await askAll(lab, clients, [80, 8080]);
    expect(again.map(({ name }) => name)).toEqual(answers.map(({ name }) => name));
  });

  it("with sfunnel: both ports of each client on one pod, from the client's own address", async () => {
    using lab = new Lab();
    const { clients, pods } = await cluster(lab, [80]);
    const [inside, named] = clients as [Host, Host];
    // Two pods with the program; the third has what the init container of the manifest does.
    await using programs = new Programs();
    const services = [
      await programs.start(pods[0], example("service.mjs")),
      await programs.start(undefined, example("service.mjs"), "--namespace", pods[1]?.netns ?? ""),
    ];
    succeed({ host: pods[2] as Host, env: environmentOf(read("deployment.yaml")) });

    // The service has no port 8080.
    const [refused] = await pages(lab, inside, { address: SERVICE, ports: [8080], limit: 1000 });
    expect(refused).toMatchObject({ event: "failed" });

    const funneling = [
      await programs.start(inside, example("client.mjs"), "--service", SERVICE),
      await programs.start(
        ...[undefined, example("client.mjs"), "--service", SERVICE],
        ...["--interface", "eth0", "--namespace", named.netns],
      ),
    ];
    for (const ports of [
      [80, 8080],
      [8080, 80],
    ]) {
      const answers = await askAll(lab, clients, ports);
      expectAddressesPreserved(answers, ports);
      const served = podsOf(answers);
      expect([...served.values()].filter((pods) => pods.size !== 1)).toEqual([]);
      // It does balance: not all went to one.
      expect(new Set(answers.map(({ name }) => name)).size).toBeGreaterThan(1);
    }

    for (const program of funneling) {
      expect(await program.stop()).toEqual([
        `eth0: ${SERVICE} port 8080 goes through port 80`,
        expect.stringMatching(/^[1-9]\d* packets funneled$/),
      ]);
    }
    for (const program of services) {
      expect(await program.stop()).toEqual([
        "eth0: 8080 comes through 80",
        expect.stringMatching(/^\d+ packets in, \d+ out$/),
      ]);
    }
    for (const host of [...clients, ...pods.slice(0, 2)]) {
      expect(await onHooks(host.netns, "eth0")).toEqual(NOTHING);
    }
    // What the init container leaves stays until the pod goes.
    expect(await onHooks(pods[2]?.netns ?? "", "eth0")).not.toEqual(NOTHING);
  });
});

/** The variables of the manifest's container. */
function environmentOf(manifest: string): Record<string, string> {
  const variables = [...manifest.matchAll(/- name: (SFUNNEL_\w+)\n\s+value: (.*)/g)];
  return Object.fromEntries(variables.map(([, name = "", value = ""]) => [name, value]));
}

describe("the manifests of the seed's example", () => {
  const deployment = read("deployment.yaml");
  const service = read("service.yaml");
  const { SFUNNEL_RULESET: ruleset = "" } = environmentOf(deployment);

  it("give rules that mean what the program's mean, and that nobody warns of", () => {
    const [, inProgram = ""] = /ingress: "(.*)"/.exec(read("service.mjs")) ?? [];
    expect(formatRules(parseRules(ruleset))).toBe(formatRules(parseRules(inProgram)));
    expect(parseRules(ruleset)).toHaveLength(1);
    expect(checkRules(ruleset)).toEqual([]);
  });

  it("ask for three capabilities, and mount nothing of the node", () => {
    expect(deployment).toMatch(/add: \[BPF, NET_ADMIN, SYS_ADMIN\]/);
    expect(deployment).toMatch(/privileged: false/);
    expect(deployment).not.toMatch(/hostPath|bpffs:/);
  });

  it("have a service of one port, with affinity, which finds the pods", () => {
    expect(service.match(/\bport: \d+/g)).toEqual(["port: 80"]);
    expect(service).toMatch(/^ {2}sessionAffinity: ClientIP$/m);
    expect(service).not.toMatch(/port: 8080/);
    expect(deployment).toMatch(/listen 80;\n\s+listen 8080;/);
    const labels = [service, deployment].map((text) => text.match(/app: \S+/g));
    expect(new Set(labels.flat())).toEqual(new Set(["app: my-nginx-app"]));
  });

  it.each(["deployment.yaml", "service.yaml"])("%s has an even indentation and no tabs", (name) => {
    for (const line of read(name).split("\n")) {
      expect(line).not.toMatch(/\t/);
      expect((/^ */.exec(line)?.[0].length ?? 0) % 2, line).toBe(0);
    }
  });
});
