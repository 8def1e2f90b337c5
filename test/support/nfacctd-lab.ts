/**
 * The use case that the project began with, made of real programs: routers (bird speaks BGP,
 * softflowd exports NetFlow v9 and IPFIX), a gateway, a node with the rules that kube-proxy makes,
 * and pods that run nfacctd. What they are configured with is in examples/nfacctd.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Transport } from "../../lib/index.ts";
import { Running } from "../cli/sfunnel.ts";
import type { Endpoint } from "./endpoint.ts";
import { execute } from "./execute.ts";
import { type Host, Lab, onOneCpu } from "./lab.ts";
import { type FlowRecord, recordsOf, sessionsOf } from "./nfacctd-records.ts";
import { PYTHON } from "./python.ts";

const customersPath = fileURLToPath(new URL("./customers.py", import.meta.url));

export const exampleFile = (name: string): string =>
  fileURLToPath(new URL(`../../examples/nfacctd/${name}`, import.meta.url));
export const exampleText = (name: string): string => readFileSync(exampleFile(name), "utf8");

/** Imported by address, since it is plain JavaScript and says nothing of its types. */
const { kubeProxyRules } = (await import(
  new URL("../../demo/kube-proxy.mjs", import.meta.url).href
)) as {
  kubeProxyRules(service: object, backends: readonly { readonly address: string }[]): string;
};

/** As the example's rules and bird.conf have it. */
export const SERVICE = "203.0.113.1";
const ROUTERS = [1, 2, 3, 4];
const PODS = [1, 2, 3];

/** A host behind each router, the prefix that it is in, and the AS of that. */
const CUSTOMER = "198.51.100.1";
const CUSTOMERS = "198.51.100.0/24";
const ORIGIN = 65000;

/** Both exports of a router, and the port of the service that they go to. */
const EXPORTERS = [
  { version: 9, port: 2055 },
  { version: 10, port: 4739 },
];

/** Before a command that would go on for ever: it goes also when the test is killed. */
const ENDS_WITH_US = ["setpriv", "--pdeathsig", "KILL"];

/** Large enough for a datagram of a customer. */
const LAN_MTU = 9000;

export interface ServicePort {
  readonly name: string;
  readonly transport: Transport;
  readonly port: number;
}

export interface Router {
  readonly host: Host;
  readonly address: string;
  /** To the customers. Each router tells another one by BGP. */
  readonly path: string;
  /** The gateway's interface to it. */
  readonly device: string;
}

export class Pod {
  readonly host: Host;
  readonly address: string;
  readonly nfacctd: Endpoint;
  #seen = 0;

  constructor(host: Host, address: string, nfacctd: Endpoint) {
    this.host = host;
    this.address = address;
    this.nfacctd = nfacctd;
  }

  /** Records of flows, since `forget`. */
  get records(): readonly FlowRecord[] {
    return recordsOf(this.nfacctd.messages.slice(this.#seen));
  }

  /** Routers that have a BGP session here. */
  get sessions(): ReadonlySet<string> {
    return sessionsOf(this.nfacctd.messages);
  }

  forget(): void {
    this.#seen = this.nfacctd.messages.length;
  }
}

export class NfacctdLab implements Disposable {
  readonly gateway: Host;
  readonly routers: readonly Router[];
  /** For whatever a program needs in files. */
  readonly folder = mkdtempSync(join(tmpdir(), "sfunnel-nfacctd-"));
  readonly #lab = new Lab();
  readonly #node: Host;
  #pods: readonly Pod[];
  #ports: readonly ServicePort[] = [];

  /** The pods run. The routers do nothing yet, and there is no service. */
  constructor() {
    const lab = this.#lab;
    try {
      this.gateway = lab.router("gateway");
      this.#node = lab.router("node");
      lab.link(this.gateway, "uplink", "172.16.0.2/24", this.#node, "routers", "172.16.0.1/24");
      lab.route(this.gateway, "172.16.0.1");
      lab.route(this.#node, "172.16.0.2", "10.1.0.0/16");
      this.#pods = PODS.map((number) => this.#pod(number));
      this.routers = ROUTERS.map((number) => this.#router(number));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Those that are alive. */
  get pods(): readonly Pod[] {
    return this.#pods;
  }

  #pod(number: number): Pod {
    const lab = this.#lab;
    const address = `10.2.0.${number}`;
    const host = lab.host(`pod${number}`);
    lab.link(this.#node, `pod${number}`, "10.2.0.254/32", host, "eth0", `${address}/24`);
    lab.ip(this.#node, "route", "add", `${address}/32`, "dev", `pod${number}`);
    lab.route(host, "10.2.0.254");
    lab.run(host, "iptables", "--wait", ...iptablesArguments());
    const nfacctd = lab.spawn(
      // In a PID namespace, so that its processes go together, as those of a pod do. Through cat,
      // because it opens /dev/stdout, and what Node gives is a socket.
      ...[host, ...ENDS_WITH_US, "unshare", "--pid", "--fork", "--kill-child"],
      ...["sh", "-c", 'nfacctd -f "$0" | cat'],
      this.#nfacctdConfiguration(),
    );
    return new Pod(host, address, nfacctd);
  }

  /** The example's, for fewer routers and records than it has room for: that takes 200 MB less. */
  #nfacctdConfiguration(): string {
    const path = join(this.folder, "nfacctd.conf");
    const text = exampleText("base/nfacctd.conf").replace(/(?<=^bgp_daemon_max_peers: ).*/m, "16");
    writeFileSync(path, `${text}print_cache_entries: 1021\n`);
    return path;
  }

  #router(number: number): Router {
    const lab = this.#lab;
    const device = `router${number}`;
    const host = lab.router(device);
    const [address, gateway] = [`10.1.${number}.1`, `10.1.${number}.254`];
    lab.link(host, "eth0", `${address}/24`, this.gateway, device, `${gateway}/24`);
    lab.route(host, gateway);
    // It leads to the customers, of whom nobody is there, and nobody need be.
    const peer = ["type", "veth", "peer", "name", "customers"];
    lab.ip(host, "link", "add", "lan", "mtu", `${LAN_MTU}`, ...peer);
    lab.ip(host, "link", "set", "customers", "up");
    lab.configure(host, "lan", "198.51.100.254/24");
    const customer = ["lladdr", "02:00:00:00:00:01", "dev", "lan"];
    lab.ip(host, "neighbour", "add", CUSTOMER, ...customer);
    return { host, address, path: `${65100 + number} ${ORIGIN}`, device };
  }

  /** All routers begin: BGP, both exports, and traffic to be exported. */
  startRouters(): void {
    for (const router of this.routers) this.#startRouter(router);
  }

  #startRouter({ host, address, path, device }: Router): void {
    const lab = this.#lab;
    const folder = join(this.folder, device);
    mkdirSync(folder);
    // Two first packets of a client at the same moment on two CPUs may go to two pods, since
    // kube-proxy's list is looked at and written to in two steps.
    const start = (...command: string[]) => {
      lab.spawn(host, ...ENDS_WITH_US, ...onOneCpu(...command));
    };
    const bird = join(folder, "bird");
    writeFileSync(`${bird}.conf`, birdConfiguration(address, path));
    start("bird", "-f", "-c", `${bird}.conf`, "-s", `${bird}.ctl`, "-P", `${bird}.pid`);
    for (const { version, port } of EXPORTERS) {
      const softflowd = join(folder, `softflowd-${version}`);
      start(
        ...["softflowd", "-d", "-i", "lan", "-C", `${LAN_MTU}`],
        ...["-c", `${softflowd}.ctl`, "-p", `${softflowd}.pid`],
        ...["-t", "maxlife=1", "-t", "expint=1"],
        ...["-v", `${version}`, "-n", `${SERVICE}:${port}`, "udp"],
      );
    }
    start(PYTHON, customersPath, CUSTOMER);
  }

  /** Gives the service these ports. */
  serve(ports: readonly ServicePort[]): void {
    this.#ports = ports;
    this.#balance();
  }

  /** As kube-proxy does when ports or endpoints change. */
  #balance(): void {
    const service = {
      namespace: "telemetry",
      name: "collectors",
      address: SERVICE,
      affinitySeconds: 86400,
      ports: this.#ports,
    };
    const rules = kubeProxyRules(service, this.#pods);
    execute("ip", ["netns", "exec", this.#node.netns, "iptables-restore", "--wait"], rules);
  }

  /** What the init container does in every pod. */
  async unfunnel(rules: string): Promise<void> {
    const done = this.#pods.map(async ({ host }) => {
      using running = new Running({ host, env: { SFUNNEL_RULESET: rules } });
      const { code, stderr } = await running.ended();
      if (code !== 0) throw new Error(`sfunnel ended with ${code}: ${stderr}`);
    });
    await Promise.all(done);
  }

  /**
   * A pod is gone without a word to anybody: its link goes first, or its kernel would reset its
   * connections. kube-proxy hears of it, and does what it does.
   */
  async kill(pod: Pod): Promise<void> {
    this.#pods = this.#pods.filter((other) => other !== pod);
    this.#lab.ip(pod.host, "link", "delete", "eth0");
    await pod.nfacctd.gone();
    this.#lab.remove(pod.host);
    this.#balance();
    // Connections of TCP it leaves alone.
    await this.#deleteEntries("--orig-dst", SERVICE, "--dst-nat", pod.address);
  }

  /** What was recorded so far does not count any more. */
  forget(): void {
    for (const pod of this.#pods) pod.forget();
  }

  /** The node forgets who was where, and draws lots for flows again. */
  async redraw(): Promise<void> {
    const lists = "for list in /proc/net/xt_recent/KUBE-SEP-*; do echo / > $list; done";
    this.#lab.run(this.#node, "sh", "-c", lists);
    await this.#deleteEntries();
  }

  /** Waits for a carrier of a router from this port, and gives its entry in the node's conntrack. */
  async carrier({ address }: Router, sport: number): Promise<string> {
    const filter = `src host ${address} and tcp src port ${sport}`;
    await this.#lab.execute(this.#node, "tcpdump", "-n", "-c", "1", "-i", "routers", filter);
    const which = ["-p", "tcp", "--orig-src", address, "--orig-port-src", `${sport}`];
    return this.#lab.execute(this.#node, "conntrack", "-L", ...which);
  }

  /** Of UDP; there may be none. */
  async #deleteEntries(...which: string[]): Promise<void> {
    try {
      await this.#lab.execute(this.#node, "conntrack", "-D", "-p", "udp", ...which);
    } catch (error) {
      if (!/ 0 flow entries have been deleted/.test(String(error))) throw error;
    }
  }

  [Symbol.dispose](): void {
    try {
      this.#lab[Symbol.dispose]();
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

/** Of the init container that runs iptables. */
function iptablesArguments(): string[] {
  const [, list] =
    /command: \[iptables\]\n +args: \[(.*)\]/.exec(exampleText("base/deployment.yaml")) ?? [];
  if (list === undefined) throw new Error("deployment.yaml runs no iptables");
  return list.split(", ").map((word) => word.replaceAll('"', ""));
}

function birdConfiguration(address: string, path: string): string {
  const [first, origin] = path.split(" ");
  return `
    router id ${address};
    protocol device { }
    protocol static {
      ipv4;
      route ${CUSTOMERS} unreachable {
        bgp_path = +empty+;
        bgp_path.prepend(${origin});
        bgp_path.prepend(${first});
      };
    }
    include "${exampleFile("bird.conf")}";
  `;
}
