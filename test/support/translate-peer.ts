/** Programs with connections of TCP (translate-peer.py), as a test says. */
import { fileURLToPath } from "node:url";
import { python } from "./frames.ts";
import type { Endpoint, Host, Lab, Message } from "./lab.ts";

const peerPath = fileURLToPath(new URL("./translate-peer.py", import.meta.url));

export interface Opening {
  readonly address: string;
  readonly port: number;
  /** The client's own port. */
  readonly from?: number;
  /** What is said at once; `fast`: in the SYN, if the kernel lets it. */
  readonly say?: string;
  readonly fast?: boolean;
}

/** One that a client has opened. */
export class Connection {
  readonly #endpoint: Endpoint;
  readonly #id: number;

  constructor(endpoint: Endpoint, id: number) {
    this.#endpoint = endpoint;
    this.#id = id;
  }

  #first(...events: readonly string[]): Promise<Message> {
    return this.#endpoint.message(
      ({ id, event }) => id === this.#id && events.includes(`${event}`),
    );
  }

  /** Its own port, also of one that is never connected. */
  async localPort(): Promise<number> {
    return Number((await this.#first("opening")).localPort);
  }

  /** Why it could not be connected. */
  async refusal(): Promise<unknown> {
    const { event, error } = await this.#first("connected", "failed");
    return event === "failed" ? error : "connected";
  }

  say(text: string): void {
    this.#endpoint.say(JSON.stringify({ say: this.#id, text }));
  }

  /**
   * Says what it has not said before, once it is connected; gives the answer, or how it has ended.
   */
  async ask(text: string): Promise<string> {
    if ((await this.refusal()) === "connected") this.say(text);
    return this.answer(text);
  }

  /** The answer to what was said, or how the connection has ended. */
  async answer(text: string): Promise<string> {
    const { event, ...said } = await this.#endpoint.message(
      (message) =>
        message.id === this.#id &&
        (message.event === "over" ||
          message.event === "failed" ||
          (message.event === "answer" && endsWith(message, text))),
    );
    return event === "answer" ? `${said.text}` : `over: ${said.error}`;
  }

  /** The error that it ended with; null if the other side has closed it. */
  async end(): Promise<unknown> {
    return (await this.#first("over")).error;
  }

  close(): void {
    this.#endpoint.say(JSON.stringify({ close: this.#id }));
  }
}

function endsWith({ text }: Message, end: string): boolean {
  return `${text}`.endsWith(end);
}

export class Peer {
  readonly endpoint: Endpoint;
  #opened = 0;
  #asked = 0;

  private constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /** Serves the ports of `listen` when this returns. */
  static async start(lab: Lab, host: Host, listen: readonly number[] = []): Promise<Peer> {
    const endpoint = python(lab, host, peerPath, JSON.stringify({ listen }));
    return new Peer(await endpoint.ready());
  }

  open(opening: Opening): Connection {
    const id = this.#opened++;
    this.endpoint.say(JSON.stringify({ open: id, ...opening }));
    return new Connection(this.endpoint, id);
  }

  /** Every byte that a port of it has heard, up to what has been answered by now. */
  async heard(port: number): Promise<string> {
    return (await this.#of("heard", port)).map(({ text }) => text).join("");
  }

  /** How many connections a port of it has had. */
  async accepted(port: number): Promise<number> {
    return (await this.#of("accepted", port)).length;
  }

  async #of(event: string, port: number): Promise<readonly Message[]> {
    const number = this.#asked++;
    this.endpoint.say(JSON.stringify({ asked: number }));
    await this.endpoint.message(
      (message) => message.event === "asked" && message.number === number,
    );
    return this.endpoint.events(event).filter((message) => message.port === port);
  }

  /** Says something to whoever came last to a port of it. */
  tell(port: number, text: string): void {
    this.endpoint.say(JSON.stringify({ tell: port, text }));
  }

  /** How the first connection to a port of it to end has ended. */
  async endOf(port: number): Promise<unknown> {
    const { error } = await this.endpoint.message(
      (message) => message.event === "over" && message.port === port,
    );
    return error;
  }

  gone(): Promise<void> {
    return this.endpoint.gone();
  }
}
