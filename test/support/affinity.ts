/** Who serves whom: what the tests of affinity ask, and how they judge the answers. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Transport } from "../../lib/index.ts";
import { type Endpoint, eventually, type Host, type Lab } from "./lab.ts";

const askerPath = fileURLToPath(new URL("./asker.mjs", import.meta.url));

/** A pod is there for all tests of a file. */
const POD_SECONDS = 300;

/** What a client asks for: a port, over TCP or UDP. */
export interface AskedFlow {
  readonly transport: Transport;
  readonly port: number;
  /** The client's own port; any by default. */
  readonly from?: number;
}

/** What came of one flow from one of the client's addresses. */
export interface Answer extends AskedFlow {
  readonly source: string;
  /** The pod that has answered, and whom it has seen; or what went wrong. */
  readonly name?: string;
  readonly sender?: string;
  readonly senderPort?: number;
  readonly error?: string;
}

export interface Question {
  readonly address: string;
  readonly flows: readonly AskedFlow[];
  /** Addresses of this host, each of them a client of its own to a load balancer. */
  readonly sources: readonly string[];
  /** Milliseconds until a flow is given up. */
  readonly limit?: number;
}

/** A pod that answers on its ports, on both families. */
export function serveAs(
  lab: Lab,
  host: Host,
  options: {
    readonly name: string;
    readonly tcp: readonly number[];
    readonly udp: readonly number[];
  },
): Promise<Endpoint> {
  return lab.endpoint(host, "affinityServe", { ...options, seconds: POD_SECONDS }).ready();
}

/** A line of /proc/net/tcp in any state but 06 (TIME_WAIT, which says nothing more) and 0A (LISTEN). */
const OPEN_CONNECTION = /^\s*\d+: \S+ \S+ 0(?!6|A)/m;

/** Waits until all connections of the host where a program runs are over. */
export async function connectionsOver({ pid }: Endpoint): Promise<void> {
  const tables = ["tcp", "tcp6"].map((name) => `/proc/${pid}/net/${name}`);
  await eventually(() =>
    tables.every((path) => !OPEN_CONNECTION.test(readFileSync(path, "latin1"))),
  );
}

/** A host from which many clients ask. */
export class Asker {
  readonly endpoint: Endpoint;
  #questions = 0;

  private constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  static async on(lab: Lab, host: Host): Promise<Asker> {
    return new Asker(await lab.spawn(host, process.execPath, askerPath).ready());
  }

  /** All answers, those of each source together. */
  async ask(question: Question): Promise<readonly Answer[]> {
    const number = this.#questions++;
    this.endpoint.say(JSON.stringify({ number, ...question }));
    const { answers } = await this.endpoint.message(
      (message) => message.event === "answers" && message.number === number,
    );
    return answers as readonly Answer[];
  }
}

/** Pods that served each client. */
export function podsOf(answers: readonly Answer[]): ReadonlyMap<string, ReadonlySet<string>> {
  const pods = new Map<string, Set<string>>();
  for (const { source, name = "nobody" } of answers) {
    pods.set(source, (pods.get(source) ?? new Set()).add(name));
  }
  return pods;
}

/** Clients whose flows were served by more than one pod. */
export function splitClients(answers: readonly Answer[]): readonly string[] {
  return [...podsOf(answers)].flatMap(([source, pods]) => (pods.size > 1 ? [source] : []));
}

export function failures(answers: readonly Answer[]): readonly Answer[] {
  return answers.filter(({ error }) => error !== undefined);
}
