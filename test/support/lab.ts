/**
 * Network namespaces, veth pairs and programs in them, all of one test, gone when it ends.
 * Offloads stay at the kernel's defaults.
 *
 *     using lab = new Lab();
 *     const [client, server] = [lab.host("client"), lab.host("server")];
 *     lab.link(client, "eth0", "10.0.0.1/24", server, "eth0", "10.0.0.2/24");
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Capture } from "./capture.ts";
import { Endpoint } from "./endpoint.ts";
import { execute } from "./execute.ts";
import { type Family, inFamily } from "./family.ts";
import { PYTHON } from "./python.ts";

export { Endpoint, type Message } from "./endpoint.ts";

const endpointPath = fileURLToPath(new URL("./endpoint/main.py", import.meta.url));
const compiledPath = fileURLToPath(new URL("../../build/python", import.meta.url));

/** Without what a user or the system add to Python; its modules are compiled once, outside of the sources. */
const ENDPOINT = [PYTHON, "-E", "-s", "-S", "-X", `pycache_prefix=${compiledPath}`, endpointPath];

const sendFramesPath = fileURLToPath(new URL("./send-frames.py", import.meta.url));

/**
 * What a capture takes of each family. Of IPv6 neither what neighbors say to find each other nor
 * what listens to groups (types from 128 on; behind an extension header): it comes at any time.
 */
const CAPTURED: Readonly<Record<Family, string>> = {
  IPv4: "ip",
  IPv6: "(ip6[6] == 6 or ip6[6] == 17 or ip6[6] == 44 or (ip6[6] == 58 and ip6[40] < 128))",
};

export const IPTABLES: Readonly<Record<Family, string>> = { IPv4: "iptables", IPv6: "ip6tables" };

/** So that addresses of IPv6, those of the links included, serve from the beginning. */
const WITHOUT_DETECTION =
  "cd /proc/sys/net/ipv6/conf; for i in all default; do echo 0 > $i/accept_dad; done";

/** The ring of a capture has room for BUFFER_KIB / LONGEST_FRAME frames, whatever their size. */
const LONGEST_FRAME = 2048;
const BUFFER_KIB = 16 * 1024;

let nextLab = 0;

/** A host of the lab: one network namespace. */
export interface Host {
  /** As `ip netns` knows it. */
  readonly netns: string;
}

/** However a test ends, what it executes ends by then. */
const LONGEST_RUN_MS = 40_000;

/**
 * What goes before a command that is to stay on one CPU. A veth pair queues packets on the CPU that
 * sends them: a program that moves to another CPU may overtake its own packets, funneled or not.
 */
export function onOneCpu(...command: readonly string[]): readonly string[] {
  const [first] =
    /(?<=^Cpus_allowed_list:\s*)\d+/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  if (first === undefined) throw new Error("no CPU is allowed");
  return ["taskset", "--cpu-list", first, ...command];
}

/** Between two looks at a condition; more often would take the time of those who work on it. */
const LOOK_EVERY_MS = 3;

/** Waits until a condition holds. The test's time-out bounds it. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  lookEvery: number = LOOK_EVERY_MS,
): Promise<void> {
  while (!(await condition())) await new Promise((look) => setTimeout(look, lookEvery));
}

/** What runs on a host. */
interface Program {
  kill(): void;
  /** Kills it; when this returns it has ended, and what it held is free. */
  gone(): Promise<void>;
}

export class Lab implements Disposable {
  /** Families of the addresses that its hosts have. */
  readonly families: readonly Family[];
  readonly #id = `sft${process.pid}x${nextLab++}`;
  readonly #hosts: string[] = [];
  #programs: Program[] = [];

  /**
   * `families`: of which the hosts get addresses. Tests name those of IPv4 and find the others by
   * {@link inFamily}.
   */
  constructor(families: readonly Family[] = ["IPv4"]) {
    this.families = families;
  }

  /** Makes a namespace with its loopback up. */
  host(name: string): Host {
    const netns = `${this.#id}${name}`;
    execute("ip", ["netns", "add", netns]);
    this.#hosts.push(netns);
    const host = { netns };
    if (this.families.includes("IPv6")) this.run(host, "sh", "-c", WITHOUT_DETECTION);
    this.ip(host, "link", "set", "lo", "up");
    return host;
  }

  /** A host that forwards. */
  router(name: string): Host {
    const router = this.host(name);
    const switches = { IPv4: "ipv4/ip_forward", IPv6: "ipv6/conf/all/forwarding" };
    const turnOn = this.families.map((family) => `echo 1 > /proc/sys/net/${switches[family]}`);
    this.run(router, "sh", "-c", turnOn.join("; "));
    return router;
  }

  /** Takes a host away, and its devices with it. What runs there must have ended. */
  remove({ netns }: Host): void {
    execute("ip", ["netns", "delete", netns]);
    this.#hosts.splice(this.#hosts.indexOf(netns), 1);
  }

  /** Joins two hosts by a veth pair; addresses with prefix length, e.g. "10.0.0.1/24". */
  link(one: Host, device: string, address: string, two: Host, peer: string, peerAddress: string) {
    execute("ip", [
      ...["link", "add", device, "netns", one.netns, "type", "veth"],
      ...["peer", "name", peer, "netns", two.netns],
    ]);
    this.configure(one, device, address);
    this.configure(two, peer, peerAddress);
  }

  /** Gives a device its addresses, of IPv4 in each family of the lab, and brings it up. */
  configure(host: Host, device: string, ...ofIpv4: readonly string[]): void {
    const addresses = ofIpv4
      .flatMap((address) => this.#inFamilies(address))
      .map((each) => {
        const nodad = each.includes(":") ? " nodad" : "";
        return `address add ${each} dev ${device}${nodad}`;
      });
    this.#batch(host, [...addresses, `link set dev ${device} up`]);
  }

  /** Sends what is not on a host's links, or only what goes to a prefix, to a gateway. */
  route(host: Host, gateway: string, prefix = "default"): void {
    const gateways = this.#inFamilies(gateway);
    const prefixes = prefix === "default" ? gateways.map(() => prefix) : this.#inFamilies(prefix);
    const lines = gateways.map((via, index) => `route add ${prefixes[index]} via ${via}`);
    this.#batch(host, lines);
  }

  /** The commands that write the rules of each family. */
  get iptables(): readonly string[] {
    return this.families.map((family) => IPTABLES[family]);
  }

  #inFamilies(address: string): readonly string[] {
    if (address.includes(":")) return [address];
    return this.families.map((family) => inFamily(family, address));
  }

  /** Several commands of ip(8) on a host. */
  #batch(host: Host, commands: readonly string[]): void {
    execute("ip", ["-n", host.netns, "-batch", "-"], commands.join("\n"));
  }

  /** Runs ip(8) on a host; sooner done than to enter its namespace. */
  ip(host: Host, ...args: readonly string[]): string {
    return execute("ip", ["-n", host.netns, ...args]);
  }

  /** Runs a command in a host's namespace and gives its output. */
  run(host: Host, command: string, ...args: string[]): string {
    return execute("ip", ["netns", "exec", host.netns, command, ...args]);
  }

  /** Sends frames as they are, checksums and lengths included, out of a device. */
  sendFrames(host: Host, device: string, frames: readonly Uint8Array[]): void {
    const lines = frames.map((frame) => Buffer.from(frame).toString("hex")).join("\n");
    execute("ip", ["netns", "exec", host.netns, PYTHON, sendFramesPath, device], lines);
  }

  /** Hardware address of a device, e.g. "02:00:00:00:00:01". */
  mac(host: Host, device: string): string {
    return this.run(host, "cat", `/sys/class/net/${device}/address`).trim();
  }

  /** Starts a role of endpoint/main.py in a host's namespace. */
  endpoint(host: Host, role: string, options: Readonly<Record<string, unknown>>): Endpoint {
    return this.spawn(host, ...ENDPOINT, role, JSON.stringify(options));
  }

  /** Starts a program that prints lines of JSON. */
  spawn(host: Host, ...command: readonly string[]): Endpoint {
    const endpoint = new Endpoint(
      spawn("ip", ["netns", "exec", host.netns, ...command], {
        stdio: ["pipe", "pipe", "pipe"],
      }),
    );
    this.#programs.push(endpoint);
    return endpoint;
  }

  /** Runs a program of any kind to its end while the test goes on, and gives what it printed. */
  async execute(host: Host, ...command: readonly string[]): Promise<string> {
    const child = spawn("ip", ["netns", "exec", host.netns, ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: LONGEST_RUN_MS,
      killSignal: "SIGKILL",
    });
    const closed = once(child, "close");
    const kill = () => {
      child.kill("SIGKILL");
    };
    this.#programs.push({
      kill,
      async gone() {
        kill();
        await closed;
      },
    });
    const output = { stdout: "", stderr: "" };
    child.stdout.on("data", (data) => {
      output.stdout += data;
    });
    child.stderr.on("data", (data) => {
      output.stderr += data;
    });
    const [status, signal] = await closed;
    if (status === 0) return output.stdout;
    const said = `${output.stderr}${output.stdout}`;
    throw new Error(`${command[0]} ended with ${status ?? signal}: ${said}`);
  }

  /**
   * Records the frames of the lab's families, or of some of them, that pass a device, from when this
   * returns; GSO packets in part.
   */
  async capture(
    host: Host,
    device: string,
    families: readonly Family[] = this.families,
  ): Promise<Capture> {
    const tcpdump = [
      ...["tcpdump", "-i", device, "-n", "-s", `${LONGEST_FRAME}`, "-B", `${BUFFER_KIB}`],
      ...["--immediate-mode", "-U", "-w", "-"],
      families.map((family) => CAPTURED[family]).join(" or "),
    ];
    const capture = new Capture(
      spawn("ip", ["netns", "exec", host.netns, ...tcpdump], {
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    this.#programs.push(capture);
    await capture.ready();
    return capture;
  }

  /** Ends whatever runs on its hosts, for a next test with the same ones. */
  async endPrograms(): Promise<void> {
    const programs = this.#programs;
    this.#programs = [];
    await Promise.all(programs.map((program) => program.gone()));
  }

  [Symbol.dispose](): void {
    for (const program of this.#programs) program.kill();
    const failures: unknown[] = [];
    for (const netns of this.#hosts) {
      try {
        execute("ip", ["netns", "delete", netns]);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
