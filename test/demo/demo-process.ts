/** scripts/demo.mjs as a child, and everything that it might leave behind. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../scripts/demo.mjs", import.meta.url));

/** Children inherit it: it tells this demo's processes from all others. */
const MARK = "SFUNNEL_TEST_MARK";
let nextDemo = 0;

/** Network namespace of a process, e.g. "net:[4026531840]"; undefined once it has gone. */
function netnsOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function pids(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class DemoProcess implements Disposable {
  readonly #mark = `${process.pid}-${nextDemo++}`;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #netns = new Set<string>();
  readonly ended: Promise<Ended>;
  stdout = "";
  stderr = "";

  constructor({ args = [], fault }: { args?: readonly string[]; fault?: string } = {}) {
    this.#child = spawn(process.execPath, [script, ...args], {
      // A process group of its own, as a shell gives it: Ctrl-C goes to the whole group.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        [MARK]: this.#mark,
        SFUNNEL_DEMO_SKIP_SETUP: "1",
        ...(fault ? { SFUNNEL_DEMO_FAULT: fault } : {}),
      },
    });
    this.#child.stdout.setEncoding("utf8").on("data", (data) => {
      this.stdout += data;
    });
    this.#child.stderr.setEncoding("utf8").on("data", (data) => {
      this.stderr += data;
    });
    this.ended = new Promise((resolve) => {
      this.#child.on("close", (status, signal) =>
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr }),
      );
    });
  }

  /** Waits until it has printed this. */
  async printed(text: string): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = () => {
        if (this.stdout.includes(text)) resolve();
      };
      this.#child.stdout.on("data", look);
      this.#child.on("close", resolve);
      look();
    });
    if (!this.stdout.includes(text)) throw new Error(`it never said: ${text}\n${this.stderr}`);
  }

  /** Ctrl-C, or another signal to the whole group. */
  interrupt(signal: NodeJS.Signals): void {
    process.kill(-(this.#child.pid as number), signal);
  }

  /** Its processes that are there now. */
  processes(): string[] {
    return pids().filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1")
          .split("\0")
          .includes(`${MARK}=${this.#mark}`);
      } catch {
        return false; // It has gone.
      }
    });
  }

  /** Its network namespaces, ours aside; what this has seen, `leftovers` looks for. */
  namespaces(): ReadonlySet<string> {
    const own = netnsOf("self");
    for (const pid of this.processes()) {
      const netns = netnsOf(pid);
      if (netns && netns !== own) this.#netns.add(netns);
    }
    return this.#netns;
  }

  /** Its processes, whoever is in its namespaces, and mounts that hold one (`ip netns` makes them). */
  leftovers(): string[] {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    return [
      ...this.processes().map((pid) => `process ${pid}`),
      ...pids()
        .filter((pid) => this.#netns.has(netnsOf(pid) ?? ""))
        .map((pid) => `process ${pid} in a namespace of the demo`),
      ...mounts.filter((line) => this.#netns.has(line.split(" ")[3] ?? "")),
    ];
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
    for (const pid of this.processes()) process.kill(Number(pid), "SIGKILL");
  }
}
