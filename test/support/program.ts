/** Programs of examples/, run as people run them: until someone stops them. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Host } from "./lab.ts";

/** However a test ends, its programs end by then. */
const LONGEST_RUN = 40_000;

class Program {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #lines: string[] = [];
  readonly #closed: Promise<unknown>;
  #stderr = "";

  constructor([command = "", ...args]: readonly string[], timeout: number) {
    this.#child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout,
      killSignal: "SIGKILL",
    });
    this.#closed = once(this.#child, "close");
  }

  /** Returns once it has printed a line. */
  async ready(): Promise<void> {
    const { stdout, stderr } = this.#child;
    stderr.on("data", (data) => {
      this.#stderr += data;
    });
    const lines = createInterface({ input: stdout });
    const first = once(lines, "line");
    lines.on("line", (line) => this.#lines.push(line));
    await Promise.race([first, this.#closed]);
    if (this.#lines.length === 0) throw new Error(`it ended without a word: ${this.#stderr}`);
  }

  /** The lines that it has printed so far. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Presses Ctrl-C, and gives the lines that it printed. Throws if it does not end well. */
  async stop(signal: "SIGINT" | "SIGTERM" = "SIGINT"): Promise<readonly string[]> {
    this.#child.kill(signal);
    await this.#closed;
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== 0) throw new Error(`it ended with ${exitCode ?? signalCode}: ${this.#stderr}`);
    return this.#lines;
  }

  /** Ends it in any case. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}

export type { Program };

/** The programs of one test, gone when it ends. */
export class Programs implements AsyncDisposable {
  readonly #programs: Program[] = [];
  readonly #longestRun: number;

  constructor(longestRun: number = LONGEST_RUN) {
    this.#longestRun = longestRun;
  }

  /** Starts one in a host's namespace, or where the test runs; it has printed a line by then. */
  async start(host: Host | undefined, ...args: readonly string[]): Promise<Program> {
    const inside = host ? ["ip", "netns", "exec", host.netns] : [];
    const program = new Program([...inside, process.execPath, ...args], this.#longestRun);
    this.#programs.push(program);
    await program.ready();
    return program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()));
  }
}
