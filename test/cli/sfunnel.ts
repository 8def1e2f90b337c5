/** Runs the command as people do: the built one, as a process of its own, in a namespace. */
import { spawn, spawnSync } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { inspect, removeAttachment } from "../../lib/runtime/inspect.ts";
import { cleanSegmenter } from "../../lib/runtime/segmenter.ts";
import type { Host } from "../support/lab.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Call {
  /** Where it runs; left out: where the test runs. */
  readonly host?: Host;
  readonly args?: readonly string[];
  /** All of its environment but PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** What to run it with, e.g. `setpriv ...`. */
  readonly under?: readonly string[];
}

function commandOf({ host, args = [], under = [] }: Call): [string, string[]] {
  const inside = host ? ["ip", "netns", "exec", host.netns] : [];
  const [command = "", ...rest] = [...inside, ...under, process.execPath, main, ...args];
  return [command, rest];
}

function environmentOf({ env = {} }: Call): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, ...env };
}

/** Runs it to its end. */
export function sfunnel(call: Call = {}): Ended {
  const { status, stdout, stderr, error } = spawnSync(...commandOf(call), {
    env: environmentOf(call),
    input: call.input ?? "",
    encoding: "utf8",
    timeout: 30_000,
  });
  if (error) throw error;
  return { code: status, stdout, stderr };
}

/** Runs it to its end, which must be a good one, and gives what it printed. */
export function succeed(call: Call): string {
  const { code, stdout, stderr } = sfunnel(call);
  if (code !== 0) throw new Error(`sfunnel ended with ${code}: ${stderr}`);
  return stdout;
}

/** A command that has not ended yet. */
export class Running implements Disposable {
  readonly #child;
  readonly #ended: Promise<Ended>;
  #stderr = "";

  constructor(call: Call) {
    this.#child = spawn(...commandOf(call), {
      env: environmentOf(call),
      stdio: ["ignore", "pipe", "pipe"],
    });
    const child = this.#child;
    child.stderr.setEncoding("utf8").on("data", (data: string) => {
      this.#stderr += data;
    });
    const code = new Promise<number | null>((resolve) => child.on("close", resolve));
    this.#ended = Promise.all([code, text(child.stdout)]).then(([code, stdout]) => ({
      code,
      stdout,
      stderr: this.#stderr,
    }));
  }

  /** Waits for words on stderr. The test's time-out bounds it. */
  async says(words: string): Promise<void> {
    while (!this.#stderr.includes(words)) {
      await Promise.race([
        new Promise((resolve) => this.#child.stderr.once("data", resolve)),
        this.#ended.then(({ code }) => {
          if (!this.#stderr.includes(words)) throw new Error(`ended with ${code}: ${this.#stderr}`);
        }),
      ]);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  ended(): Promise<Ended> {
    return this.#ended;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

/** One entry of `show --json` and `stats --json`. */
export interface Shown {
  readonly device: string;
  readonly direction: "ingress" | "egress";
  readonly hook: string;
  readonly name: string | null;
  readonly programId: number;
  readonly funnelId: number;
  readonly repliesOnly: boolean;
  readonly rules: readonly { rule: string; packets: number; bytes: number }[];
  readonly outcomes: Readonly<Record<string, { packets: number; bytes: number }>>;
}

/** What is attached in a host, by `stats --json`. */
export function shownByCommand(host: Host, ...devices: string[]): Shown[] {
  const args = ["stats", "--json", ...devices];
  return (JSON.parse(succeed({ host, args })) as { attachments: Shown[] }).attachments;
}

/** The same without the command, which is slow to start: by what it asks. */
export async function shown({ netns }: Host): Promise<Shown[]> {
  return (await inspect({ netns })).map(({ name = null, rules = [], outcomes = {}, ...rest }) => ({
    ...{ ...rest, name, outcomes },
    rules: rules.map(({ text, packets, bytes }) => ({ rule: text, packets, bytes })),
  }));
}

/** The same in short, replies left out: `eth0 ingress default: RULE; RULE`, sorted. */
export async function attachedIn(host: Host): Promise<string[]> {
  return (await shown(host))
    .filter(({ repliesOnly }) => !repliesOnly)
    .map(
      ({ device, direction, name, rules }) =>
        `${device} ${direction} ${name}: ${rules.map(({ rule }) => rule).join("; ")}`,
    )
    .sort();
}

/** Leaves a host with nothing of sfunnel, as `sfunnel clean` does. */
export async function empty({ netns }: Host): Promise<void> {
  for (const attachment of await inspect({ netns })) await removeAttachment(attachment);
  await cleanSegmenter(netns);
}
