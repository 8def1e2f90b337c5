/**
 * What every network of a cluster is asked: without sfunnel the flows of some clients go to several
 * pods, and with it those of each client to one, in each of the ways that plan() knows.
 */
import { afterAll, beforeAll, expect } from "vitest";
import {
  type Direction,
  type FunnelRuleset,
  type Plan,
  type PlanClient,
  type PlanFlow,
  type PlanOptions,
  plan,
  type Transport,
} from "../../lib/index.ts";
import {
  type Answer,
  type AskedFlow,
  Asker,
  connectionsOver,
  failures,
  podsOf,
  serveAs,
  splitClients,
} from "./affinity.ts";
import type { Pod } from "./cluster.ts";
import { End } from "./ends.ts";
import { FAMILIES, type Family, inFamily } from "./family.ts";
import { type Endpoint, eventually, type Host, Lab } from "./lab.ts";

/** Ports that the pods serve, and of which kube-proxy knows each for itself. */
const SERVED = { tcp: [80, 8080, 179], udp: [2055, 4739] } as const;

export const SERVICE_PORTS: readonly { readonly transport: Transport; readonly port: number }[] = (
  ["tcp", "udp"] as const
).flatMap((transport) => SERVED[transport].map((port) => ({ transport, port })));

/** A way of flows through a service port. */
export interface Way {
  readonly title: string;
  readonly service: { readonly protocol: Transport; readonly port: number };
  readonly flows: readonly PlanFlow[];
  readonly tcp?: PlanOptions["tcp"];
  /** What clients ask for: the service port itself and all that is funneled to it. */
  readonly asked: readonly AskedFlow[];
}

/** Ports that all ways funnel and on which no server of ours is, for bulk traffic. */
export const BULK = { tcp: 8443, udp: 6343 } as const;

const web = {
  service: { protocol: "tcp", port: 80 },
  flows: [
    { protocol: "udp", port: [2055, BULK.udp] },
    { protocol: "tcp", port: [8080, BULK.tcp] },
  ],
  asked: [
    { transport: "tcp", port: 80 },
    { transport: "tcp", port: 8080 },
    { transport: "udp", port: 2055 },
  ],
} as const;

export const TRANSLATED: Way = {
  title: "TCP translated and UDP in carriers, through TCP/80",
  ...web,
};

export const ENCAPSULATED: Way = {
  title: "TCP and UDP in carriers, through TCP/80",
  ...web,
  tcp: "encap",
};

export const OVER_UDP: Way = {
  title: "TCP and UDP in carriers, through UDP/2055",
  service: { protocol: "udp", port: 2055 },
  flows: [
    { protocol: "udp", port: [2055, 4739, BULK.udp] },
    { protocol: "tcp", port: [179, BULK.tcp] },
  ],
  asked: [
    { transport: "udp", port: 2055 },
    { transport: "udp", port: 4739 },
    { transport: "tcp", port: 179 },
  ],
};

export const WAYS: readonly Way[] = [TRANSLATED, ENCAPSULATED, OVER_UDP];

/** Rules of both sides. */
export interface BothSides {
  readonly client: FunnelRuleset;
  readonly service: FunnelRuleset;
}

/** As plan() makes them for clients of these addresses of IPv4, in each family. */
export function planned(
  { service, flows, tcp }: Way,
  addresses: readonly string[],
  families: readonly Family[] = FAMILIES,
  client: PlanClient = "host",
): Plan {
  const address = families.flatMap((family) => addresses.map((each) => inFamily(family, each)));
  return plan({
    service: { ...service, address },
    ...{ flows, client },
    ...(tcp && { tcp }),
  });
}

/**
 * So many clients ask. Each of three flows goes to one of three pods: without affinity between
 * them, nobody is split with a probability of 9 to the power of -16, and all clients are on one pod
 * with one of 3 to the power of -15.
 */
export const CLIENTS = 16;

/** Every flow was seen with the address that it came from. */
export function expectAddressesKept(answers: readonly Answer[]): void {
  expect(answers.map(({ sender }) => sender)).toEqual(answers.map(({ source }) => source));
}

/** What a network looks like to its tests. */
export interface Network {
  /** Where clients ask, on whose eth0 flows are funneled. */
  readonly client: Host;
  /** Other clients, if there are two kinds. */
  readonly outside?: Host;
  readonly pods: readonly Pod[];
}

const NO_RULES: BothSides = { client: {}, service: {} };

/** What clients ask for, and from which of their addresses; of IPv4. */
export interface Clients {
  readonly family: Family;
  readonly address: string;
  readonly sources: readonly string[];
  readonly flows: readonly AskedFlow[];
  readonly limit?: number;
  /** The other kind of clients. */
  readonly fromOutside?: boolean;
}

/** Where flows are funneled as they go out, and unfunneled as they come back. */
export interface ClientHooks {
  readonly out: Direction;
  readonly back: Direction;
}

type Kept<Each extends Network> = Pick<
  Place<Each>,
  "lab" | "network" | "asker" | "outside" | "servers" | "near" | "far"
>;

export class Place<Each extends Network = Network> {
  readonly lab: Lab;
  readonly network: Each;
  readonly asker: Asker;
  readonly outside: Asker | undefined;
  /** One in each pod. */
  readonly servers: readonly Endpoint[];
  /** On the eth0 of all clients, and on that of every pod. */
  readonly near: End;
  readonly far: End;

  constructor({ lab, network, asker, outside, servers, near, far }: Kept<Each>) {
    this.lab = lab;
    this.network = network;
    this.asker = asker;
    this.outside = outside;
    this.servers = servers;
    this.near = near;
    this.far = far;
  }

  /** Both sides follow these rules and count from zero; nothing of before is still on its way. */
  async begin(rules: BothSides): Promise<void> {
    const askers = [this.asker, this.outside].flatMap((asker) => asker?.endpoint ?? []);
    await Promise.all([...askers, ...this.servers].map(connectionsOver));
    await Promise.all([this.near.begin(rules.client), this.far.begin(rules.service)]);
  }

  ask(clients: Clients): Promise<readonly Answer[]> {
    const { family, address, sources, fromOutside = false, ...rest } = clients;
    const asker = fromOutside ? this.outside : this.asker;
    if (!asker) throw new Error("nobody is outside");
    return asker.ask({
      ...rest,
      address: inFamily(family, address),
      sources: sources.map((source) => inFamily(family, source)),
    });
  }

  /**
   * The control: with no rules on either side, all is answered and some clients are split, though
   * each port for itself keeps each client on its pod. Gives the answers.
   */
  async expectSplit(clients: Clients): Promise<readonly Answer[]> {
    await this.begin(NO_RULES);
    const answers = await this.ask(clients);
    expect(failures(answers)).toEqual([]);
    expect(splitClients(answers).length).toBeGreaterThan(0);
    const again = await this.ask(clients);
    expect(again.map(({ name }) => name)).toEqual(answers.map(({ name }) => name));
    return answers;
  }

  /**
   * With these rules all is answered, each client by one pod, and not all of them by the same; every
   * rule has had its packets, and nothing but a way there and back has become of any. Gives the
   * answers. `at`: at which hooks the client's rules are, if not those of the clients themselves.
   */
  async expectTogether(
    rules: BothSides,
    all: readonly Clients[],
    at: ClientHooks = { out: "egress", back: "ingress" },
  ): Promise<readonly Answer[]> {
    await this.begin(rules);
    const answers: Answer[] = [];
    for (const clients of all) {
      const ofThese = await this.ask(clients);
      expect(failures(ofThese)).toEqual([]);
      expect(splitClients(ofThese)).toEqual([]);
      expect(new Set(ofThese.map(({ name }) => name)).size).toBeGreaterThan(1);
      answers.push(...ofThese);
    }
    await this.#expectAllFunneled(at);
    return answers;
  }

  async #expectAllFunneled({ out, back }: ClientHooks): Promise<void> {
    const { near, far } = this;
    // An ACK may still be on its way.
    await eventually(
      async () =>
        (await near.packets(out, "funneled")) === (await far.packets("ingress", "unfunneled")) &&
        (await far.packets("egress", "reply_funneled")) ===
          (await near.packets(back, "reply_unfunneled")),
    );
    for (const [end, direction] of [
      [near, out],
      [far, "ingress"],
    ] as const) {
      const { rules } = (await end.funnel.stats())[direction];
      expect(rules.filter(({ packets }) => packets === 0)).toEqual([]);
    }
    // The kernel may choose a port for a real connection that a translated one has.
    const met = async (end: End, direction: Direction) =>
      Object.keys(await end.counted(direction))
        .filter((name) => name !== "direct_remapped")
        .sort();
    expect(await met(near, out)).toEqual(["funneled", "no_match"]);
    expect(await met(near, back)).toEqual(["no_match", "reply_unfunneled"]);
    expect(await met(far, "egress")).toEqual(["no_match", "reply_funneled"]);
    const [arrived, ...more] = (await met(far, "ingress")).filter((name) => name !== "unfunneled");
    expect(more).toEqual([]);
    // What came to the service port itself.
    expect(["no_match", "not_carrier"]).toContain(arrived);
  }

  /** The pod that serves a client now. */
  async podOf(clients: Omit<Clients, "sources"> & { readonly source: string }): Promise<Pod> {
    const answers = await this.ask({ ...clients, sources: [clients.source] });
    const [name] = [...podsOf(answers).values()].flatMap((names) => [...names]);
    const pod = this.network.pods.find((each) => each.name === name);
    if (!pod) throw new Error(`no pod: ${JSON.stringify(answers)}`);
    return pod;
  }
}

/**
 * A lab for all tests of the suite that calls this: its network, Funnels without rules on both sides,
 * servers in all pods and somebody who asks on the client. Gives where a test finds them.
 */
export function useCluster<Each extends Network>(
  build: (lab: Lab) => Each | Promise<Each>,
  families: readonly Family[] = FAMILIES,
): () => Place<Each> {
  let lab: Lab | undefined;
  let ends: readonly End[] = [];
  let place: Place<Each> | undefined;

  beforeAll(async () => {
    lab = new Lab(families);
    const network = await build(lab);
    const [first, ...others] = network.pods;
    if (!first) throw new Error("no pods");
    const near = await End.attach(network.client, "eth0");
    ends = [near];
    const far = await End.attach(first.host, "eth0");
    ends = [near, far];
    for (const { host } of others) await far.funnel.attach("eth0", { netns: host.netns });
    if (network.outside) await near.funnel.attach("eth0", { netns: network.outside.netns });
    const [asker, outside, ...servers] = await Promise.all([
      Asker.on(lab, network.client),
      network.outside && Asker.on(lab, network.outside),
      ...network.pods.map(({ host, name }) =>
        serveAs(lab as Lab, host, { name, tcp: SERVED.tcp, udp: SERVED.udp }),
      ),
    ]);
    place = new Place({ lab, network, asker, outside, servers, near, far });
  });

  afterAll(async () => {
    for (const end of ends) await end[Symbol.asyncDispose]();
    lab?.[Symbol.dispose]();
  });

  return () => {
    if (!place) throw new Error("asked for before the tests");
    return place;
  };
}
