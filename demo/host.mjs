// A host of the demo: a process in a network namespace of its own. The namespace has no name
// and no other user, so the kernel takes it away with its process; and the process ends when
// its stdin does, which is when the demo ends, in whatever way. Nothing can be left behind.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Runs a command to its end with this input; gives what it prints, throws what it complains of. */
export async function run(command, args, { input = "", signal } = {}) {
  // A session of its own: Ctrl-C is for the demo, which then ends the rest in good order.
  const child = spawn(command, args, { detached: true, signal, killSignal: "SIGKILL" });
  const text = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) {
    child[stream].setEncoding("utf8").on("data", (data) => {
      text[stream] += data;
    });
  }
  child.stdin.on("error", () => {}); // It may end before it has read all.
  child.stdin.end(input);
  let failure;
  child.on("error", (error) => {
    failure = error;
  });
  // Killed is not gone yet: whoever gets our error may rely on it.
  const status = await new Promise((resolve) => child.on("close", resolve));
  if (failure) throw failure;
  if (status !== 0) {
    throw new Error(`${command} ${args.join(" ")} ended with ${status}\n${text.stderr.trim()}`);
  }
  return text.stdout;
}

/** Waits for all, also when one fails, so that nothing is under way behind an error. */
export async function all(promises) {
  const results = await Promise.allSettled(promises);
  const failed = results.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
  return results.map(({ value }) => value);
}

export class Host {
  #child;
  #lines;
  #closed;
  #signal;
  #stderr = "";

  constructor(name, signal, command, args) {
    this.name = name;
    this.#signal = signal;
    this.#child = spawn("unshare", ["--net", "--", command, ...args], { detached: true });
    this.#child.stderr.setEncoding("utf8").on("data", (data) => {
      this.#stderr += data;
    });
    this.#child.stdin.on("error", () => {}); // It may have gone when it is told something.
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#closed = new Promise((resolve) => {
      this.#child.on("error", (error) => {
        this.#stderr += error.message;
      });
      this.#child.on("close", resolve);
    });
  }

  /** A host that does no more than forward packets. */
  static router(name, signal) {
    return new Host(name, signal, "sh", ["-c", "echo ready; exec cat"]);
  }

  /** A host with one of the demo's own programs on it. */
  static program(name, signal, file, ...args) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    return new Host(name, signal, process.execPath, [path, ...args]);
  }

  /** Path of its network namespace. */
  get netns() {
    return `/proc/${this.#child.pid}/ns/net`;
  }

  /** The next line that its program prints. */
  async line() {
    const { done, value } = await this.#lines.next();
    if (!done) return value;
    await this.#closed;
    throw new Error(`${this.name} has ended\n${this.#stderr.trim()}`);
  }

  /** Tells its program something: one line. */
  say(line) {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Runs a command in its network namespace. */
  run(command, args, input) {
    return run("nsenter", [`--net=${this.netns}`, "--", command, ...args], {
      input,
      signal: this.#signal,
    });
  }

  /** Ends its program, and the network namespace with it. */
  async close() {
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}
