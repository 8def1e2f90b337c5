/**
 * Network namespaces, veth pairs and programs in them, all of one test, gone when it ends.
 * Offloads stay at the kernel's defaults.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const endpointPath = fileURLToPath(new URL("./endpoint.mjs", import.meta.url));

let nextLab = 0;

/** A host of the lab: one network namespace. */
export interface Host {
  /** As `ip netns` knows it. */
  readonly netns: string;
}

/** A line of JSON that an endpoint printed. */
export type Message = Readonly<Record<string, unknown>>;

/** A program in a namespace that tells what it sees, a line of JSON at a time. */
export class Endpoint {
  readonly #child: ChildProcess;
  readonly #messages: Message[] = [];
  readonly #waiting: {
    wanted: (message: Message) => boolean;
    found: (message: Message) => void;
  }[] = [];
  #stderr = "";
  #ended = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    if (!child.stdout || !child.stderr) throw new Error("endpoint without pipes");
    createInterface({ input: child.stdout }).on("line", (line) => {
      const message = JSON.parse(line) as Message;
      this.#messages.push(message);
      const index = this.#waiting.findIndex(({ wanted }) => wanted(message));
      if (index >= 0) this.#waiting.splice(index, 1)[0]?.found(message);
    });
    child.stderr.on("data", (data) => {
      this.#stderr += data;
    });
    child.on("exit", () => {
      this.#ended = true;
    });
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** The first message, seen or to come, for which `wanted` holds. The test's time-out bounds it. */
  async message(wanted: (message: Message) => boolean): Promise<Message> {
    const seen = this.#messages.find(wanted);
    if (seen) return seen;
    return new Promise((found, fail) => {
      const failed = () => fail(new Error(`endpoint ended: ${this.#stderr}`));
      this.#waiting.push({ wanted, found });
      if (this.#ended) failed();
      this.#child.once("exit", () => setImmediate(failed));
    });
  }

  async ready(): Promise<this> {
    await this.message(({ event }) => event === "ready");
    return this;
  }

  /** All messages, once it has ended by itself. */
  async end(): Promise<readonly Message[]> {
    if (!this.#ended) await once(this.#child, "close");
    return this.#messages;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

export class Lab implements Disposable {
  readonly #id = `sft${process.pid}x${nextLab++}`;
  readonly #hosts: string[] = [];
  readonly #endpoints: Endpoint[] = [];

  /** Makes a namespace with its loopback up. */
  host(name: string): Host {
    const netns = `${this.#id}${name}`;
    execFileSync("ip", ["netns", "add", netns]);
    this.#hosts.push(netns);
    const host = { netns };
    this.run(host, "ip", "link", "set", "lo", "up");
    return host;
  }

  /** Joins two hosts by a veth pair; addresses with prefix length, e.g. "10.0.0.1/24". */
  link(one: Host, device: string, address: string, two: Host, peer: string, peerAddress: string) {
    execFileSync("ip", [
      ...["link", "add", device, "netns", one.netns, "type", "veth"],
      ...["peer", "name", peer, "netns", two.netns],
    ]);
    for (const [host, name, cidr] of [
      [one, device, address],
      [two, peer, peerAddress],
    ] as const) {
      this.run(
        host,
        "ip",
        "address",
        "add",
        cidr,
        "dev",
        name,
        ...(cidr.includes(":") ? ["nodad"] : []),
      );
      this.run(host, "ip", "link", "set", name, "up");
    }
  }

  /** Runs a command in a host's namespace and gives its output. */
  run(host: Host, command: string, ...args: string[]): string {
    return execFileSync("ip", ["netns", "exec", host.netns, command, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Starts a role of endpoint.mjs in a host's namespace. */
  endpoint(host: Host, role: string, options: Readonly<Record<string, unknown>>): Endpoint {
    return this.spawn(host, process.execPath, endpointPath, role, JSON.stringify(options));
  }

  /** Starts a program that prints lines of JSON. */
  spawn(host: Host, command: string, ...args: string[]): Endpoint {
    const child = spawn("ip", ["netns", "exec", host.netns, command, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const endpoint = new Endpoint(child);
    this.#endpoints.push(endpoint);
    return endpoint;
  }

  [Symbol.dispose](): void {
    for (const endpoint of this.#endpoints) endpoint.kill();
    for (const netns of this.#hosts) execFileSync("ip", ["netns", "delete", netns]);
  }
}
