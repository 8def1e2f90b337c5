/**
 * Network namespaces, veth pairs and programs in them, all of one test, gone when it ends.
 * Offloads stay at the kernel's defaults.
 *
 *     using lab = new Lab();
 *     const [client, server] = [lab.host("client"), lab.host("server")];
 *     lab.link(client, "eth0", "10.0.0.1/24", server, "eth0", "10.0.0.2/24");
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Capture } from "./capture.ts";
import { Endpoint } from "./endpoint.ts";

export { Endpoint, type Message } from "./endpoint.ts";

const endpointPath = fileURLToPath(new URL("./endpoint.mjs", import.meta.url));
const sendFramesPath = fileURLToPath(new URL("./send-frames.py", import.meta.url));

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
export async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((look) => setTimeout(look, LOOK_EVERY_MS));
}

export class Lab implements Disposable {
  readonly #id = `sft${process.pid}x${nextLab++}`;
  readonly #hosts: string[] = [];
  readonly #programs: { kill(): void }[] = [];

  /** Makes a namespace with its loopback up. */
  host(name: string): Host {
    const netns = `${this.#id}${name}`;
    execFileSync("ip", ["netns", "add", netns]);
    this.#hosts.push(netns);
    const host = { netns };
    this.ip(host, "link", "set", "lo", "up");
    return host;
  }

  /** A host that forwards IPv4. */
  router(name: string): Host {
    const router = this.host(name);
    this.run(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    return router;
  }

  /** Joins two hosts by a veth pair; addresses with prefix length, e.g. "10.0.0.1/24". */
  link(one: Host, device: string, address: string, two: Host, peer: string, peerAddress: string) {
    execFileSync("ip", [
      ...["link", "add", device, "netns", one.netns, "type", "veth"],
      ...["peer", "name", peer, "netns", two.netns],
    ]);
    this.configure(one, device, address);
    this.configure(two, peer, peerAddress);
  }

  /** Gives a device its address and brings it up. */
  configure(host: Host, device: string, address: string): void {
    const nodad = address.includes(":") ? ["nodad"] : [];
    this.ip(host, "address", "add", address, "dev", device, ...nodad);
    this.ip(host, "link", "set", device, "up");
  }

  /** Sends what is not on a host's links to a gateway. */
  route(host: Host, gateway: string): void {
    this.ip(host, "route", "add", "default", "via", gateway);
  }

  /** Runs ip(8) on a host; sooner done than to enter its namespace. */
  ip(host: Host, ...args: readonly string[]): string {
    return execFileSync("ip", ["-n", host.netns, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Runs a command in a host's namespace and gives its output. */
  run(host: Host, command: string, ...args: string[]): string {
    return execFileSync("ip", ["netns", "exec", host.netns, command, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Sends frames as they are, checksums and lengths included, out of a device. */
  sendFrames(host: Host, device: string, frames: readonly Uint8Array[]): void {
    const lines = frames.map((frame) => Buffer.from(frame).toString("hex")).join("\n");
    execFileSync("ip", ["netns", "exec", host.netns, "python3", sendFramesPath, device], {
      input: lines,
      stdio: ["pipe", "pipe", "pipe"],
    });
  }

  /** Hardware address of a device, e.g. "02:00:00:00:00:01". */
  mac(host: Host, device: string): string {
    return this.run(host, "cat", `/sys/class/net/${device}/address`).trim();
  }

  /** Starts a role of endpoint.mjs in a host's namespace. */
  endpoint(host: Host, role: string, options: Readonly<Record<string, unknown>>): Endpoint {
    return this.spawn(host, process.execPath, endpointPath, role, JSON.stringify(options));
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
    this.#programs.push({ kill: () => child.kill("SIGKILL") });
    const output = { stdout: "", stderr: "" };
    child.stdout.on("data", (data) => {
      output.stdout += data;
    });
    child.stderr.on("data", (data) => {
      output.stderr += data;
    });
    const [status, signal] = await once(child, "close");
    if (status === 0) return output.stdout;
    const said = `${output.stderr}${output.stdout}`;
    throw new Error(`${command[0]} ended with ${status ?? signal}: ${said}`);
  }

  /** Records the IPv4 frames that pass a device, from when this returns; GSO packets in part. */
  async capture(host: Host, device: string): Promise<Capture> {
    const capture = new Capture(
      spawn(
        "ip",
        [
          ...["netns", "exec", host.netns, "tcpdump", "-i", device, "-n"],
          ...[
            "-s",
            `${LONGEST_FRAME}`,
            "-B",
            `${BUFFER_KIB}`,
            "--immediate-mode",
            "-U",
            "-w",
            "-",
            "ip",
          ],
        ],
        { stdio: ["ignore", "pipe", "pipe"] },
      ),
    );
    this.#programs.push(capture);
    await capture.ready();
    return capture;
  }

  [Symbol.dispose](): void {
    for (const program of this.#programs) program.kill();
    const failures: unknown[] = [];
    for (const netns of this.#hosts) {
      try {
        execFileSync("ip", ["netns", "delete", netns], { stdio: ["ignore", "pipe", "pipe"] });
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
