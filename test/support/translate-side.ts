/** One end of translated connections: its Funnel, and what that counts. */
import {
  type ConnectionStats,
  type Direction,
  Funnel,
  type FunnelRuleset,
  type LoadOptions,
  type OutcomeName,
} from "../../lib/index.ts";
import { counted } from "./flows.ts";
import type { Host } from "./lab.ts";

type Counts = Partial<Record<OutcomeName, number>>;
type Events = Omit<ConnectionStats, "capacity">;

/**
 * What a hostile wire may make of packets beside their way there and back. Not `direct_remapped`: the
 * kernel chooses the ports of the controls, and now and then one that a funneled connection has.
 */
const SPECIAL = /^translate_|^no_free_port$|^failed$|^no_segmenter$/;

/** One end's Funnel, and what it has counted since the test began. */
export class Side implements AsyncDisposable {
  readonly #host: Host;
  readonly #options: LoadOptions;
  #funnel: Funnel;
  #ruleset: FunnelRuleset;
  #counts: Record<Direction, Counts> = { ingress: {}, egress: {} };
  #events: Events | undefined;

  private constructor(host: Host, options: LoadOptions, funnel: Funnel, ruleset: FunnelRuleset) {
    this.#host = host;
    this.#options = options;
    this.#funnel = funnel;
    this.#ruleset = ruleset;
  }

  static async attach(host: Host, ruleset: FunnelRuleset, options: LoadOptions = {}) {
    const side = new Side(host, options, await Funnel.load(ruleset, options), ruleset);
    try {
      await side.#funnel.attach("eth0", { netns: host.netns });
    } catch (error) {
      await side.#funnel.close();
      throw error;
    }
    return side;
  }

  /** Follows these rules, and counts from zero. */
  async begin(ruleset: FunnelRuleset): Promise<void> {
    // A grace period is long beside most tests.
    if (ruleset !== this.#ruleset) await this.#funnel.replace(ruleset);
    this.#ruleset = ruleset;
    for (const direction of ["ingress", "egress"] as const) {
      this.#counts[direction] = await counted(this.#funnel, direction);
    }
    this.#events = (await this.#funnel.stats()).connections;
  }

  /** The program goes with all that it knew, and a new one comes. */
  async restart(ruleset: FunnelRuleset): Promise<void> {
    await this.#funnel.close();
    this.#funnel = await Funnel.load(ruleset, this.#options);
    await this.#funnel.attach("eth0", { netns: this.#host.netns });
    this.#ruleset = ruleset;
    await this.begin(ruleset);
  }

  /** What packets of flows have met. */
  async counted(direction: Direction): Promise<Counts> {
    const before = this.#counts[direction];
    const since = Object.entries(await counted(this.#funnel, direction)).map(
      ([name, packets]) => [name, packets - (before[name as OutcomeName] ?? 0)] as const,
    );
    return Object.fromEntries(since.filter(([, packets]) => packets !== 0));
  }

  /** What happened to packets that is neither their way there nor back, in both directions. */
  async special(): Promise<Counts> {
    const all: Counts = {};
    for (const direction of ["ingress", "egress"] as const) {
      for (const [name, packets] of Object.entries(await this.counted(direction))) {
        if (!SPECIAL.test(name)) continue;
        all[name as OutcomeName] = (all[name as OutcomeName] ?? 0) + packets;
      }
    }
    return all;
  }

  /** What the table of connections has counted; `entries`: how many there are more. */
  async connections(): Promise<Events> {
    const { capacity: _, ...now } = (await this.#funnel.stats()).connections;
    const since = Object.entries(now).map(([name, count]) => [
      name,
      count - (this.#events?.[name as keyof Events] ?? 0),
    ]);
    return Object.fromEntries(since);
  }

  /** The table as it is. */
  async table(): Promise<ConnectionStats> {
    return (await this.#funnel.stats()).connections;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#funnel.close();
  }
}
