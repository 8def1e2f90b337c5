/** A program in a namespace that tells what it sees, a line of JSON at a time. */
import type { ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** A line of JSON that an endpoint printed. */
export type Message = Readonly<Record<string, unknown>>;

interface Waiting {
  readonly wanted: (message: Message) => boolean;
  readonly found: (message: Message) => void;
  readonly failed: (error: Error) => void;
}

/** Undefined for what is no message: words, or a line that breaks off where the program was killed. */
function messageIn(line: string): Message | undefined {
  try {
    return JSON.parse(line) as Message;
  } catch {
    return undefined;
  }
}

export class Endpoint {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #messages: Message[] = [];
  readonly #closed: Promise<number | null>;
  #waiting: Waiting[] = [];
  #stderr = "";
  #hasClosed = false;

  constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const message = messageIn(line);
      if (message === undefined) {
        this.#stderr += `${line}\n`;
        return;
      }
      this.#messages.push(message);
      const found = this.#waiting.filter(({ wanted }) => wanted(message));
      this.#waiting = this.#waiting.filter((one) => !found.includes(one));
      for (const one of found) one.found(message);
    });
    child.stderr.on("data", (data) => {
      this.#stderr += data;
    });
    // It may have gone when it is told something.
    child.stdin.on("error", () => {});
    this.#closed = new Promise((resolve) => {
      // "close" comes after the last line, "exit" may come before.
      child.on("close", (status) => {
        this.#hasClosed = true;
        for (const one of this.#waiting) one.failed(this.#failure());
        resolve(status);
      });
    });
  }

  /** Of the program itself, in its host's namespace; undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** The messages of one event so far. */
  events(event: string): readonly Message[] {
    return this.#messages.filter((message) => message.event === event);
  }

  /** The first message, seen or to come, for which `wanted` holds. The test's time-out bounds it. */
  message(wanted: (message: Message) => boolean): Promise<Message> {
    const seen = this.#messages.find(wanted);
    if (seen) return Promise.resolve(seen);
    if (this.#hasClosed) return Promise.reject(this.#failure());
    return new Promise((found, failed) => this.#waiting.push({ wanted, found, failed }));
  }

  /** The first message of an event, seen or to come. */
  event(event: string): Promise<Message> {
    return this.message((message) => message.event === event);
  }

  async ready(): Promise<this> {
    await this.event("ready");
    return this;
  }

  /** Tells it something: one line on its stdin. */
  say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** All messages, once it has ended by itself and well. */
  async end(): Promise<readonly Message[]> {
    const status = await this.#closed;
    if (status !== 0) throw this.#failure();
    return this.#messages;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Ends it in any case. What it held is free when this returns, its ports among it. */
  async gone(): Promise<void> {
    this.kill();
    await this.#closed;
  }

  #failure(): Error {
    const last = JSON.stringify(this.#messages.slice(-3));
    return new Error(
      `endpoint ended (${this.#child.exitCode ?? this.#child.signalCode}): ${this.#stderr}${last}`,
    );
  }
}
