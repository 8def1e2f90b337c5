/** Sockets on a host that do what a test says, many at a time. */
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { python } from "./frames.ts";
import { type Endpoint, type Host, type Lab, onOneCpu } from "./lab.ts";
import { PYTHON } from "./python.ts";

const programPath = fileURLToPath(new URL("./translating.py", import.meta.url));

/** A connection to open, under a name of the test's. */
export interface Opening {
  readonly key: string;
  readonly address: string;
  readonly port: number;
  /** Our own port and address; sockets may share them. */
  readonly from?: number;
  readonly source?: string;
  readonly mptcp?: boolean;
  /** Both ends have to know it (RFC 2385). */
  readonly md5?: { readonly address: string; readonly key: string };
}

export interface Listening {
  readonly port: number;
  /** Default: any, of both families. */
  readonly address?: string;
  readonly backlog?: number;
  readonly accepting?: boolean;
  readonly mptcp?: boolean;
  readonly md5?: Opening["md5"];
}

/** What a server has heard: from whom, and what. */
export type Heard = readonly [peer: string, peerPort: number, text: string];

/** What a server says of a line: where it heard it, and of whom. */
export interface Echo {
  readonly port: number;
  readonly peer: string;
  readonly peerPort: number;
  readonly text: string;
}

interface Opened {
  readonly localPort?: number;
  readonly error?: string;
}

/** `answer` is null where the peer has ended the connection instead. */
interface Asked {
  readonly answer?: Echo | null;
  readonly error?: string;
}

/** What a server says of all that it has read of a connection, once it is at its end. */
export interface Sum {
  readonly length: number;
  readonly sha256: string;
}

/** The program of a host that has the sockets. */
export class Sockets {
  readonly #endpoint: Endpoint;
  #commands = 0;

  private constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** `pinned`: see {@link onOneCpu}; where an acknowledgment must not come behind the next SYN. */
  static async on(lab: Lab, host: Host, { pinned = false } = {}): Promise<Sockets> {
    const command = [PYTHON, "-I", programPath];
    const endpoint = pinned
      ? lab.spawn(host, ...onOneCpu(...command))
      : python(lab, host, programPath);
    return new Sockets(await endpoint.ready());
  }

  /** Servers on these ports, for any address. */
  static async serving(
    lab: Lab,
    host: Host,
    ports: readonly number[],
    options: { readonly pinned?: boolean } = {},
  ): Promise<Sockets> {
    const sockets = await Sockets.on(lab, host, options);
    for (const port of ports) await sockets.listen({ port });
    return sockets;
  }

  async listen(listening: Listening): Promise<void> {
    await this.#run("listen", { ...listening });
  }

  /** From now on, what came to a port that was not accepting. */
  async accept(port: number): Promise<void> {
    await this.#run("accept", { port });
  }

  /** What the server on a port has heard so far. */
  async seen(port: number): Promise<readonly Heard[]> {
    return (await this.#run("seen", { port })).seen as readonly Heard[];
  }

  /** What became of the attempt. */
  async tryToOpen(opening: Opening): Promise<Opened> {
    const [result] = await this.#openAll([opening]);
    return result ?? {};
  }

  async open(opening: Opening): Promise<number> {
    const { localPort, error } = await this.tryToOpen(opening);
    if (localPort === undefined) throw new Error(`${opening.key}: ${error}`);
    return localPort;
  }

  /** All at once. */
  async openAll(openings: readonly Opening[]): Promise<void> {
    const results = await this.#openAll(openings);
    const errors = results.flatMap(({ error }) => (error === undefined ? [] : [error]));
    expect(errors).toEqual([]);
  }

  async #openAll(all: readonly Opening[]): Promise<readonly Opened[]> {
    return (await this.#run("open_all", { all })).results as readonly Opened[];
  }

  /** What became of a question. */
  async tryToAsk(key: string, text: string): Promise<Asked> {
    const [result] = await this.#askAll([{ key, text }]);
    return result ?? {};
  }

  async ask(key: string, text: string): Promise<Echo> {
    const { answer, error } = await this.tryToAsk(key, text);
    if (!answer) throw new Error(`${key}: ${error ?? "the connection has ended"}`);
    return answer;
  }

  /** A question on each of these connections, all at once. */
  async askAll(all: readonly { readonly key: string; readonly text: string }[]): Promise<Echo[]> {
    return (await this.#askAll(all)).map(({ answer, error }, index) => {
      if (!answer) throw new Error(`${all[index]?.key}: ${error ?? "the connection has ended"}`);
      return answer;
    });
  }

  async #askAll(all: readonly object[]): Promise<readonly Asked[]> {
    return (await this.#run("ask_all", { all })).results as readonly Asked[];
  }

  /** Sends so many bytes, to which nothing is answered before the end. */
  async pour(key: string, bytes: number): Promise<Sum> {
    const { length, sha256 } = await this.#run("pour", { key, bytes });
    return { length, sha256 } as Sum;
  }

  /** Says that nothing more comes; gives the server's sum of all that came, which it sends then. */
  async finish(key: string): Promise<Sum> {
    const { answers, error } = await this.#run("finish", { key });
    const last = (answers as readonly Sum[] | undefined)?.at(-1);
    if (last === undefined) throw new Error(`${key}: ${error ?? "no answer"}`);
    return last;
  }

  /** Closes without waiting for the peer; `reset`: with a reset in the place of a FIN. */
  async close(keys: readonly string[], { reset = false } = {}): Promise<void> {
    await this.#run("close", { keys, reset });
  }

  /** Closes what the peer has ended, and waits until it has acknowledged that. */
  async settle(key: string): Promise<void> {
    await this.#run("settle", { key });
  }

  /**
   * From each of these ports one connection after the other, `times` of them, to ports and with an
   * end that chance decides on. Gives those that were not answered as they were meant to be.
   */
  async churn(options: {
    readonly address: string;
    readonly ports: readonly number[];
    readonly froms: readonly number[];
    readonly times: number;
  }): Promise<readonly unknown[]> {
    return (await this.#run("churn", options)).wrong as readonly unknown[];
  }

  /** How the peer has ended a connection, once it has. */
  async ended(key: string): Promise<{ readonly rest?: string; readonly error?: string }> {
    const { rest, error } = await this.#run("ended", { key });
    return { rest, error } as { readonly rest?: string; readonly error?: string };
  }

  gone(): Promise<void> {
    return this.#endpoint.gone();
  }

  async #run(op: string, options: object): Promise<Readonly<Record<string, unknown>>> {
    const id = ++this.#commands;
    this.#endpoint.say(JSON.stringify({ id, op, ...options }));
    const answer = await this.#endpoint.message((message) => message.id === id);
    if (answer.failed !== undefined) throw new Error(`${op}: ${answer.failed}`);
    return answer;
  }
}
