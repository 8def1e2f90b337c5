/**
 * Hosts between which connections are translated, and a Funnel at either end.
 */
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { ConnectionStats, Direction, FunnelRuleset, OutcomeName } from "../../lib/index.ts";
import { End } from "./ends.ts";
import { FAMILIES, type Family, inFamily } from "./family.ts";
import { eventually, type Host, Lab } from "./lab.ts";
import { Sockets } from "./translating-sockets.ts";

/** The port that clients want, and the one through which they get to it. */
export const WANTED = 8080;
export const SERVICE = 80;

export const CLIENT_RULE = `tcp dport ${WANTED} actions funnel translate tcp dport ${SERVICE}`;
export const SERVICE_RULE = `tcp dport ${SERVICE} actions unfunnel translate tcp allow ${WANTED}`;

// ------------------------------------------------------------------------------ both sides

type Counts = Partial<Record<OutcomeName, number>>;

/** The four hooks in the order in which a question and its answer pass them. */
export interface AtHooks {
  readonly out: Counts;
  readonly arrived: Counts;
  readonly answered: Counts;
  readonly back: Counts;
}

/** Where a side stands: flows go `out` from the client at this hook, and back at the other. */
export interface Stand {
  readonly host: Host;
  readonly device: string;
  readonly out: Direction;
}

const opposite = (direction: Direction): Direction =>
  direction === "egress" ? "ingress" : "egress";

const COUNTED = ["added", "removed", "evicted", "remapped", "notAdded", "fastOpenRemoved"] as const;

/** What the table of connections has counted; `entries` more or less than there were. */
export type Connections = Readonly<Record<(typeof COUNTED)[number] | "entries", number>>;

/** One side, with what it has counted since its rules were given to it. */
export class Side {
  readonly end: End;
  readonly stand: Stand;
  #before: ConnectionStats | undefined;

  constructor(end: End, stand: Stand) {
    this.end = end;
    this.stand = stand;
  }

  /** Rules for what goes the way that flows go here, and what it counts begins with zero. */
  async begin(rules: string): Promise<void> {
    await this.end.begin({ [this.stand.out]: rules });
    this.#before = (await this.end.funnel.stats()).connections;
  }

  /** Rules in both directions, or others for the connections that there are; counting goes on. */
  async replace(ruleset: FunnelRuleset): Promise<void> {
    await this.end.funnel.replace(ruleset);
  }

  /** What packets have met as they went out from the client, or as they came back. */
  counted(way: "out" | "back"): Promise<Counts> {
    return this.end.counted(way === "out" ? this.stand.out : opposite(this.stand.out));
  }

  async connections(): Promise<Connections> {
    const { connections } = await this.end.funnel.stats();
    const names = [...COUNTED, "entries"] as const;
    const since = names.map((name) => [name, connections[name] - (this.#before?.[name] ?? 0)]);
    return Object.fromEntries(since) as Connections;
  }
}

export class Sides implements AsyncDisposable {
  readonly near: Side;
  readonly far: Side;

  private constructor(near: Side, far: Side) {
    this.near = near;
    this.far = far;
  }

  static async attach(near: Stand, far: Stand): Promise<Sides> {
    const [ofNear, ofFar] = await Promise.all([
      End.attach(near.host, near.device),
      End.attach(far.host, far.device),
    ]);
    return new Sides(new Side(ofNear, near), new Side(ofFar, far));
  }

  /** One rule a side unless told otherwise. */
  async begin({ near = CLIENT_RULE, far = SERVICE_RULE } = {}): Promise<void> {
    await Promise.all([this.near.begin(near), this.far.begin(far)]);
  }

  async counts(): Promise<AtHooks> {
    const { near, far } = this;
    return {
      out: await near.counted("out"),
      arrived: await far.counted("out"),
      answered: await far.counted("back"),
      back: await near.counted("back"),
    };
  }

  /**
   * All that has passed was translated, there and back, and nothing was cut up, dropped or lost.
   * Waits for what is still on its way. `cutUp`: the devices between the sides cut super-packets up,
   * so that more arrive than leave.
   */
  async expectAllTranslated({ cutUp = false } = {}): Promise<void> {
    await eventually(async () => {
      const { out, arrived, answered, back } = await this.counts();
      const all = out.funneled === arrived.unfunneled;
      return cutUp || (all && answered.reply_funneled === back.reply_unfunneled);
    });
    const some = expect.any(Number);
    expect(await this.counts()).toEqual({
      out: { funneled: some },
      arrived: { unfunneled: some },
      answered: { reply_funneled: some },
      back: { reply_unfunneled: some },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.near, this.far].map(({ end }) => end[Symbol.asyncDispose]()));
  }
}

// ------------------------------------------------------------------------------ hosts

// Addresses whose sums differ: a checksum that was made for the wrong ones shows.
export const CLIENT = "10.1.0.77";
export const POD = "10.2.0.77";
/** A second one of the pod. */
export const OTHER_POD = "10.2.0.79";
/** Of the gateway, as the pod sees it. */
export const GATEWAY = "10.2.0.254";

export interface Hosts {
  readonly client: Host;
  readonly gateway: Host;
  readonly pod: Host;
}

/** client eth0 - clients gateway pods - eth0 pod. */
export function threeHosts(lab: Lab): Hosts {
  const client = lab.host("client");
  const gateway = lab.router("gateway");
  const pod = lab.host("pod");
  lab.link(client, "eth0", `${CLIENT}/24`, gateway, "clients", "10.1.0.1/24");
  lab.link(gateway, "pods", `${GATEWAY}/24`, pod, "eth0", `${POD}/24`);
  lab.route(client, "10.1.0.1");
  lab.route(pod, GATEWAY);
  lab.configure(pod, "eth0", `${OTHER_POD}/24`);
  return { client, gateway, pod };
}

export const onClient = ({ client }: { readonly client: Host }): Stand => ({
  host: client,
  device: "eth0",
  out: "egress",
});

export const onGateway = ({ gateway }: Pick<Hosts, "gateway">): Stand => ({
  host: gateway,
  device: "clients",
  out: "ingress",
});

export const onPod = ({ pod }: { readonly pod: Host }): Stand => ({
  host: pod,
  device: "eth0",
  out: "ingress",
});

/** Servers on both ports of the pod, and a client's sockets. */
export interface Talk {
  readonly pod: Sockets;
  readonly client: Sockets;
}

/** What the tests of a suite share. */
export interface Shared<T> {
  readonly lab: Lab;
  readonly hosts: T;
  readonly sides: Sides;
  /** Starts what a test talks with, in the place of what the one before had. */
  talk(ports?: readonly number[], options?: { readonly pinned?: boolean }): Promise<Talk>;
}

/**
 * A lab of both families with {@link Sides} in it, for all tests of the suite that calls this; what
 * runs on its hosts ends with each test. Gives where a test finds them.
 */
export function useSides<T extends { readonly client: Host; readonly pod: Host }>(
  build: (lab: Lab) => T,
  near: (hosts: T) => Stand = onClient,
  families: readonly Family[] = FAMILIES,
): () => Shared<T> {
  let shared: Shared<T> | undefined;
  let made: Lab | undefined;

  beforeAll(async () => {
    const lab = new Lab(families);
    made = lab;
    const hosts = build(lab);
    const sides = await Sides.attach(near(hosts), onPod(hosts));
    const talk: Shared<T>["talk"] = async (ports = [SERVICE, WANTED], options = {}) => {
      await lab.endPrograms();
      const [pod, client] = await Promise.all([
        Sockets.serving(lab, hosts.pod, ports, options),
        Sockets.on(lab, hosts.client, options),
      ]);
      return { pod, client };
    };
    shared = { lab, hosts, sides, talk };
  });

  afterEach(() => made?.endPrograms());

  afterAll(async () => {
    await shared?.sides[Symbol.asyncDispose]();
    made?.[Symbol.dispose]();
  });

  return () => {
    if (!shared) throw new Error("asked for before the tests");
    return shared;
  };
}

/** Each test has ports of its own: what a client's port was used for is remembered for a minute. */
export function ownPorts(family: Family, first: number): number {
  return first + (family === "IPv6" ? 1 : 0);
}

/** The pod's address in a family. */
export const podIn = (family: Family): string => inFamily(family, POD);
