/** Programs in namespaces that talk with each other, one message at a time, as the test says. */
import { fileURLToPath } from "node:url";
import type { Transport } from "../../lib/index.ts";
import type { Family } from "./family.ts";
import type { Endpoint, Host, Lab, Message } from "./lab.ts";

const pagesPath = fileURLToPath(new URL("./pages.mjs", import.meta.url));

/** What a server says of a message that it got. */
export interface Answer {
  readonly text: string;
  /** Of the server. */
  readonly name?: string;
  /** The client as the server sees it. */
  readonly sender: string;
  readonly senderPort: number;
}

/** A server that answers each message with what it saw of it; ready when this returns. */
export function serve(
  lab: Lab,
  host: Host,
  transport: Transport,
  options: { readonly port: number; readonly name?: string; readonly family?: Family },
): Promise<Endpoint> {
  return lab.endpoint(host, `${transport}Serve`, options).ready();
}

/** All texts that a server has heard, once it has told of this one, in order. */
export async function heard(server: Endpoint, last: string): Promise<readonly unknown[]> {
  await server.message(({ event, text }) => event === "said" && text === last);
  return server.events("said").map(({ text }) => text);
}

/** A client's connection, or its socket of UDP. */
export class Talk {
  readonly endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /** The client's own port, once it is connected. */
  async localPort(): Promise<number> {
    return Number((await this.endpoint.event("ready")).localPort);
  }

  /** Sends a text that was not sent before, and does not wait. */
  say(text: string): void {
    this.endpoint.say(JSON.stringify({ say: text }));
  }

  /** Sends a text that was not sent before; its answer. The test's time-out bounds it. */
  async ask(text: string): Promise<Answer> {
    this.say(text);
    const { event: _, ...answer } = await this.endpoint.message(isAnswerTo(text));
    return answer as unknown as Answer;
  }

  /** Texts that were answered so far. */
  get answered(): readonly unknown[] {
    return this.endpoint.events("answer").map(({ text }) => text);
  }

  /** Closes it, and waits until it is. */
  async close(): Promise<void> {
    this.endpoint.say(JSON.stringify({ close: true }));
    await this.endpoint.end();
  }
}

function isAnswerTo(text: string): (message: Message) => boolean {
  return (message) => message.event === "answer" && message.text === text;
}

/** Where a client talks to; `from`: its own port. */
export interface Peer {
  readonly address: string;
  readonly port: number;
  readonly from?: number;
}

/** A client that is connected, or at least bound, when this returns. */
export async function talk(lab: Lab, host: Host, transport: Transport, peer: Peer): Promise<Talk> {
  const talk = beginTalk(lab, host, transport, peer);
  await talk.localPort();
  return talk;
}

/** A client that may never get a connection. */
export function beginTalk(lab: Lab, host: Host, transport: Transport, peer: Peer): Talk {
  return new Talk(lab.endpoint(host, `${transport}Talk`, { ...peer }));
}

/** Starts a role of pages.mjs in a host's namespace. */
function pagesProgram(lab: Lab, host: Host, role: string, options: object): Endpoint {
  return lab.spawn(host, process.execPath, pagesPath, role, JSON.stringify(options));
}

/** A server whose pages say who it is, on which port, and to whom; ready when this returns. */
export function servePages(
  lab: Lab,
  host: Host,
  options: { readonly ports: readonly number[]; readonly name: string },
): Promise<Endpoint> {
  return pagesProgram(lab, host, "serve", options).ready();
}

/** What became of each page that was to be got, in order. */
export async function pages(
  lab: Lab,
  host: Host,
  options: {
    readonly address: string;
    readonly ports: readonly number[];
    readonly sources?: readonly string[];
    readonly limit?: number;
  },
): Promise<readonly Message[]> {
  const messages = await pagesProgram(lab, host, "get", options).end();
  return messages.filter(({ event }) => event === "page" || event === "failed");
}
