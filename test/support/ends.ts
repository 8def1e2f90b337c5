/**
 * A Funnel at either end of a path, attached once for the tests of a suite, each of which gives
 * them rules of its own and looks at what they have counted since.
 */
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { type Direction, Funnel, type FunnelRuleset, type OutcomeName } from "../../lib/index.ts";
import type { Capture } from "./capture.ts";
import { FAMILIES, type Family } from "./family.ts";
import {
  CARRIER_PORT,
  clientRules,
  counted,
  MESSAGES,
  type Pair,
  SERVICE_PORT,
  serviceRules,
} from "./flows.ts";
import { eventually, type Host, Lab } from "./lab.ts";
import { ALL_RIGHT, census, checksumStates } from "./wire.ts";

type Counts = Partial<Record<OutcomeName, number>>;

async function countsOf(funnel: Funnel): Promise<Record<Direction, Counts>> {
  return {
    ingress: await counted(funnel, "ingress"),
    egress: await counted(funnel, "egress"),
  };
}

export class End implements AsyncDisposable {
  readonly funnel: Funnel;
  #before: Record<Direction, Counts> = { ingress: {}, egress: {} };

  private constructor(funnel: Funnel) {
    this.funnel = funnel;
  }

  static async attach(host: Host, device: string): Promise<End> {
    const funnel = await Funnel.load({});
    try {
      await funnel.attach(device, { netns: host.netns });
    } catch (error) {
      await funnel.close();
      throw error;
    }
    return new End(funnel);
  }

  /** From here on it follows these rules, and counts from zero. */
  async begin(ruleset: FunnelRuleset): Promise<void> {
    await this.funnel.replace(ruleset);
    this.#before = await countsOf(this.funnel);
  }

  /** What packets of flows have met since; outcomes that none met are left out. */
  async counted(direction: Direction): Promise<Counts> {
    const now = (await countsOf(this.funnel))[direction];
    const since = Object.entries(now).map(
      ([name, packets]) =>
        [name, packets - (this.#before[direction][name as OutcomeName] ?? 0)] as const,
    );
    return Object.fromEntries(since.filter(([, packets]) => packets !== 0));
  }

  async packets(direction: Direction, outcome: OutcomeName): Promise<number> {
    return (await this.counted(direction))[outcome] ?? 0;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.funnel.close();
  }
}

/** Where the client's end is: flows go `out` at this hook of the device, and back at the other. */
export interface ClientsEnd {
  readonly host: Host;
  readonly device: string;
  readonly out: Direction;
}

export class Ends implements AsyncDisposable {
  readonly near: End;
  readonly far: End;
  readonly #out: Direction;
  readonly #back: Direction;

  private constructor(near: End, far: End, out: Direction) {
    this.near = near;
    this.far = far;
    this.#out = out;
    this.#back = out === "egress" ? "ingress" : "egress";
  }

  /** `server`: where the flows end, unfunneled on its eth0. */
  static async attach({ host, device, out }: ClientsEnd, server: Host): Promise<Ends> {
    const near = await End.attach(host, device);
    try {
      return new Ends(near, await End.attach(server, "eth0"), out);
    } catch (error) {
      await near[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Rules for flows there and back on both sides, as the original needs them. */
  async begin(pair: Pair): Promise<void> {
    const { out, back } = clientRules(pair);
    await Promise.all([
      this.near.begin({ [this.#out]: out, [this.#back]: back }),
      this.far.begin(serviceRules(pair)),
    ]);
  }

  /** One rule a side. */
  async beginReplies(pair: Pair): Promise<void> {
    await Promise.all([
      this.near.begin({ [this.#out]: clientRules(pair).out }),
      this.far.begin({ ingress: serviceRules(pair).ingress }),
    ]);
  }

  /**
   * Every packet went out in a carrier and was taken out of it, and so for what came back: so many
   * at least, by default as an exchange has. Waits for those that are still on their way. `replies`:
   * what came back followed no rule.
   */
  async expectAllFunneled({
    replies = false,
    messages = MESSAGES,
  }: {
    readonly replies?: boolean;
    readonly messages?: number;
  } = {}): Promise<{ out: number; back: number }> {
    const { near, far } = this;
    const answered = replies ? "reply_funneled" : "funneled";
    const cameBack = replies ? "reply_unfunneled" : "unfunneled";
    const out = await near.packets(this.#out, "funneled");
    await eventually(async () => (await far.packets("ingress", "unfunneled")) === out);
    const back = await far.packets("egress", answered);
    await eventually(async () => (await near.packets(this.#back, cameBack)) === back);
    expect(Math.min(out, back)).toBeGreaterThanOrEqual(messages);
    expect(await near.counted(this.#out)).toEqual({ funneled: out });
    expect(await near.counted(this.#back)).toEqual({ [cameBack]: back });
    expect(await far.counted("ingress")).toEqual({ unfunneled: out });
    expect(await far.counted("egress")).toEqual({ [answered]: back });
    return { out, back };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.near[Symbol.asyncDispose](), this.far[Symbol.asyncDispose]()]);
  }
}

/** Hosts of a lab, and between which of them the Funnels are. */
export interface Between<Hosts> {
  readonly hosts: Hosts;
  readonly near: ClientsEnd;
  readonly server: Host;
}

/**
 * A lab of both families with {@link Ends} in it, for all tests of the suite that calls this; what
 * runs on its hosts ends with each test. Gives where a test finds them.
 */
export function useEnds<Hosts>(
  build: (lab: Lab) => Between<Hosts>,
): () => { readonly lab: Lab; readonly hosts: Hosts; readonly ends: Ends } {
  let lab: Lab | undefined;
  let hosts: Hosts | undefined;
  let ends: Ends | undefined;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    const between = build(lab);
    hosts = between.hosts;
    ends = await Ends.attach(between.near, between.server);
  });

  afterEach(() => lab?.endPrograms());

  afterAll(async () => {
    await ends?.[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  return () => {
    if (!lab || !hosts || !ends) throw new Error("asked for before the tests");
    return { lab, hosts, ends };
  };
}

/**
 * All that a capture of one family has seen are so many carriers there and back, with every
 * checksum right; gives them.
 */
export async function expectCarriers(
  capture: Capture,
  family: Family,
  { inner, over }: Pair,
  { out, back }: { readonly out: number; readonly back: number },
): Promise<readonly Uint8Array[]> {
  await capture.atLeast(out + back);
  const frames = await capture.stop();
  expect(census(frames)).toEqual({
    [`${over} ${CARRIER_PORT}>${SERVICE_PORT}`]: out,
    [`${over} ${SERVICE_PORT}>${CARRIER_PORT}`]: back,
  });
  expect(checksumStates(frames, inner)).toEqual(ALL_RIGHT[family]);
  return frames;
}
