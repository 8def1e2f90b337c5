/**
 * Two ends whose flows are funneled in all four pairs and both families, talk between them that is
 * compared byte for byte, and what devices show of it: for tests of unusual frames and devices.
 */
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { type Direction, type DirectionStats, Funnel, type OutcomeName } from "../../lib/index.ts";
import { ALL_FLOWS, CARRIER_PORT } from "./bulk.ts";
import { FAMILIES, type Family, inFamily } from "./family.ts";
import type { Endpoint, Host, Lab } from "./lab.ts";
import { PYTHON } from "./python.ts";

const framesPath = fileURLToPath(new URL("./frames.py", import.meta.url));
const sniffPath = fileURLToPath(new URL("./sniff.py", import.meta.url));

/** A port that no rule is about. */
export const OTHER_PORT = 5300;

/** Starts one of our programs in Python on a host. */
export function python(lab: Lab, host: Host, path: string, ...args: readonly string[]): Endpoint {
  return lab.spawn(host, PYTHON, "-I", path, ...args);
}

/** Of the two hosts of {@link wired}. Their sums differ. */
export const CLIENT = "10.1.0.77";
export const SERVER = "10.1.0.2";

export interface Wired {
  readonly client: Host;
  readonly server: Host;
}

/** A client and a server on one wire, each with a device eth0. */
export function wired(lab: Lab): Wired {
  const [client, server] = [lab.host("client"), lab.host("server")];
  lab.link(client, "eth0", `${CLIENT}/24`, server, "eth0", `${SERVER}/24`);
  return { client, server };
}

export interface Routed {
  readonly client: Host;
  readonly router: Host;
  readonly server: Host;
}

/** Of the server of {@link routed}. */
export const FAR_SERVER = "10.2.0.2";

/** client eth0 - near router far - eth0 server. */
export function routed(lab: Lab): Routed {
  const [client, router, server] = [lab.host("client"), lab.router("router"), lab.host("server")];
  lab.link(client, "eth0", `${CLIENT}/24`, router, "near", "10.1.0.1/24");
  lab.link(router, "far", "10.2.0.1/24", server, "eth0", `${FAR_SERVER}/24`);
  lab.route(client, "10.1.0.1");
  lab.route(server, "10.2.0.1");
  return { client, router, server };
}

/** One rule a flow, where they leave and where they arrive. */
export const FUNNEL = ALL_FLOWS.map(
  ({ inner, over, port, service }) =>
    `${inner} dport ${port} actions funnel ${over} dport ${service} sport ${CARRIER_PORT}`,
).join("\n");
export const UNFUNNEL = ALL_FLOWS.map(
  ({ inner, over, port, service }) =>
    `${over} dport ${service} actions unfunnel ${inner} allow ${port}`,
).join("\n");

/** Where flows are funneled or unfunneled, and at which hook as they leave the client. */
export interface End {
  readonly host: Host;
  readonly device: string;
  readonly out: Direction;
}

const opposite = (direction: Direction): Direction =>
  direction === "egress" ? "ingress" : "egress";

/** The four hooks in the order in which a question and its answer pass them. */
export type Passed = "out" | "arrived" | "answered" | "back";

/** Packets of each outcome; those that none met are left out. */
export type Counts = Readonly<Partial<Record<OutcomeName, number>>>;

/** What any host says to its neighbours, which is no part of a flow. */
const OF_NEIGHBOURS: ReadonlySet<string> = new Set(["not_ip", "not_tcp_udp", "extension_header"]);

/** All four pairs, funneled at one end and unfunneled at the other; answers follow. */
export class Ends implements AsyncDisposable {
  readonly near: Funnel;
  readonly far: Funnel;
  readonly #out: Direction;
  readonly #arriving: Direction;
  #before: Readonly<Record<Passed, Counts>> = { out: {}, arrived: {}, answered: {}, back: {} };

  private constructor(near: Funnel, far: Funnel, out: Direction, arriving: Direction) {
    this.near = near;
    this.far = far;
    this.#out = out;
    this.#arriving = arriving;
  }

  static async attach(near: End, far: End): Promise<Ends> {
    const [ofNear, ofFar] = await Promise.all([
      Funnel.load({ [near.out]: FUNNEL }),
      Funnel.load({ [far.out]: UNFUNNEL }),
    ]);
    const ends = new Ends(ofNear, ofFar, near.out, far.out);
    try {
      await ofNear.attach(near.device, { netns: near.host.netns });
      await ofFar.attach(far.device, { netns: far.host.netns });
    } catch (error) {
      await ends[Symbol.asyncDispose]();
      throw error;
    }
    return ends;
  }

  /** On the client's eth0 as it leaves, on the server's as it arrives. */
  static onWire({ client, server }: Wired): Promise<Ends> {
    return Ends.attach(
      { host: client, device: "eth0", out: "egress" },
      { host: server, device: "eth0", out: "ingress" },
    );
  }

  /** Counts from zero from here on. */
  async begin(): Promise<void> {
    this.#before = await this.#all();
  }

  /** What packets have met since, but for those of neighbours. */
  async counts(): Promise<Readonly<Record<Passed, Counts>>> {
    const all = await this.#all();
    const since = (passed: Passed) =>
      Object.fromEntries(
        Object.entries(all[passed])
          .map(([name, count]) => [name, count - (this.#before[passed][name as OutcomeName] ?? 0)])
          .filter(([name, count]) => count !== 0 && !OF_NEIGHBOURS.has(name as string)),
      );
    return {
      out: since("out"),
      arrived: since("arrived"),
      answered: since("answered"),
      back: since("back"),
    };
  }

  /** Everything since went in a carrier, there and back, whole or in segments. */
  async expectAllFunneled(...ignored: readonly OutcomeName[]): Promise<void> {
    const counts = await this.counts();
    const met = (passed: Passed) =>
      Object.keys(counts[passed]).filter(
        (name) => name !== "segmented" && !ignored.includes(name as OutcomeName),
      );
    expect({
      out: met("out"),
      arrived: met("arrived"),
      answered: met("answered"),
      back: met("back"),
    }).toEqual({
      out: ["funneled"],
      arrived: ["unfunneled"],
      answered: ["reply_funneled"],
      back: ["reply_unfunneled"],
    });
  }

  async #all(): Promise<Record<Passed, Counts>> {
    const [near, far] = [await this.near.stats(), await this.far.stats()];
    const of = ({ outcomes }: DirectionStats): Counts =>
      Object.fromEntries(Object.entries(outcomes).map(([name, { packets }]) => [name, packets]));
    return {
      out: of(near[this.#out]),
      arrived: of(far[this.#arriving]),
      answered: of(far[opposite(this.#arriving)]),
      back: of(near[opposite(this.#out)]),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.near.close(), this.far.close()]);
  }
}

/** What frames.py is to say: so many bytes of TCP at once, or datagrams of these lengths. */
export interface Asked {
  readonly address: string;
  readonly port: number;
  readonly transport: "tcp" | "udp";
  readonly bytes?: number;
  readonly lengths?: readonly number[];
  /** So many datagrams in a row, all of one length, instead. */
  readonly count?: number;
  readonly length?: number;
  /** The only device to use. */
  readonly device?: string;
  /** Of IPv4, in hex. */
  readonly options?: string;
}

/** How much of TCP and which datagrams are said on each flow. */
export interface Talk {
  readonly bytes: number;
  readonly lengths: readonly number[];
}

/** So much that there are super-packets; datagrams odd and even, empty and nearly full. */
export const TALK: Talk = { bytes: 200_000, lengths: [0, 1, 17, 500, 1400] };

/** The same on the flow of each pair. */
export function onAllFlows(
  address: string,
  talk: Talk = TALK,
  families: readonly Family[] = FAMILIES,
): readonly Asked[] {
  return families.flatMap((family) =>
    ALL_FLOWS.map(({ inner, port }) => ({
      address: inFamily(family, address),
      port,
      transport: inner,
      ...talk,
    })),
  );
}

/** Answers all that comes to the flows' ports, and to one that no rule is about, with the same. */
export function echo(
  lab: Lab,
  host: Host,
  member: { readonly groups?: readonly string[]; readonly device?: string } = {},
): Promise<Endpoint> {
  const ports = [...new Set(ALL_FLOWS.map(({ port }) => port)), OTHER_PORT];
  return python(lab, host, framesPath, "echo", JSON.stringify({ ports, ...member })).ready();
}

/** Says all of that from a host, one after the other; each byte comes back. */
export async function expectEchoes(
  lab: Lab,
  host: Host,
  asked: readonly Asked[],
): Promise<readonly { readonly segment?: number }[]> {
  const asking = python(lab, host, framesPath, "ask", JSON.stringify({ asked }));
  await asking.end();
  const answers = asking.events("answered");
  const heard = asked.map((one, index) => ({ ...one, same: answers[index]?.same }));
  expect(heard).toEqual(asked.map((one) => ({ ...one, same: true })));
  return answers;
}

/** Bytes of a carrier. */
const SIZE = { tcp: 20, udp: 8 } as const;

/**
 * A socket to an address whose datagrams nobody may cut up finds out what fits under each carrier,
 * the smaller one first, where the path takes `mtu` bytes by its devices and `room` with a carrier.
 */
export async function expectDiscoveries(
  lab: Lab,
  host: Host,
  address: string,
  { mtu, room = mtu }: { readonly mtu: number; readonly room?: number },
): Promise<void> {
  const tried = (["udp", "tcp"] as const).flatMap((over) =>
    ALL_FLOWS.filter((flow) => flow.inner === "udp" && flow.over === over),
  );
  const asked = JSON.stringify({ asked: tried.map(({ port }) => ({ address, port })) });
  const discovering = python(lab, host, framesPath, "discover", asked);
  await discovering.end();
  const told = { event: "discovered", error: "EMSGSIZE", same: true };
  expect(discovering.events("discovered")).toEqual([
    { ...told, before: mtu, after: room - SIZE.udp },
    { ...told, before: room - SIZE.udp, after: room - SIZE.tcp },
  ]);
  lab.ip(host, "route", "flush", "cache");
  lab.ip(host, "-6", "route", "flush", "cache");
}

/** Tells the next `count` datagrams that come to a port of a host, once they have come. */
export async function hear(
  lab: Lab,
  host: Host,
  port: number,
  count: number,
): Promise<() => Promise<readonly string[]>> {
  const hearing = python(lab, host, framesPath, "hear", JSON.stringify({ port, count }));
  await hearing.ready();
  return async () => (await hearing.event("heard")).datagrams as readonly string[];
}

/** Frames of TCP and UDP that show the same. */
export interface Kind {
  /** As the device's neighbour on the wire sees it. */
  readonly direction: "in" | "out";
  /** From the outermost to the innermost, e.g. "8100.5". */
  readonly tags: readonly string[];
  readonly family: "ip" | "ip6";
  /** Bytes of options of IPv4. */
  readonly options: number;
  /** Protocol and ports of the outermost header, e.g. "tcp 540>179". */
  readonly shows: string;
  /** Bytes behind the IP packet. */
  readonly padding: number;
  /** Of the IP header ("none" for IPv6), of the carrier, and of what it carries; each is right or not. */
  readonly checksums: string;
  readonly count: number;
  /** Bytes of the longest one's IP packet. */
  readonly longest: number;
}

const INNER = Object.fromEntries(ALL_FLOWS.map(({ service, inner }) => [service, inner]));

/** Watches a device, from when this returns; what it gives ends that and tells what was seen. */
export async function watch(lab: Lab, host: Host, device: string): Promise<() => Promise<Kind[]>> {
  const asked = JSON.stringify({ device, inner: INNER, carrierPort: CARRIER_PORT });
  const watching = await python(lab, host, sniffPath, asked).ready();
  return async () => {
    watching.say("stop");
    const { kinds, dropped } = await watching.event("seen");
    expect(dropped).toBe(0);
    return kinds as Kind[];
  };
}

const CARRIERS = new Set(
  ALL_FLOWS.flatMap(({ over, service }) => [
    `${over} ${CARRIER_PORT}>${service}`,
    `${over} ${service}>${CARRIER_PORT}`,
  ]),
);

/** All of them are carriers with every checksum right. */
export function expectRightCarriers(kinds: readonly Kind[]): void {
  const right = (family: Kind["family"]) => `${family === "ip" ? "right" : "none"} right right`;
  expect(
    kinds.filter(
      ({ shows, checksums, family }) => !CARRIERS.has(shows) || checksums !== right(family),
    ),
  ).toEqual([]);
}

const OF_TCP = new Set(
  ALL_FLOWS.filter(({ inner }) => inner === "tcp").flatMap(({ over, service }) => [
    `${over} ${CARRIER_PORT}>${service}`,
    `${over} ${service}>${CARRIER_PORT}`,
  ]),
);

/** TCP in bulk fills packets up to the last byte that fits, and none of any kind is longer. */
export function expectFull(kinds: readonly Kind[], mtu: number): void {
  for (const { shows, longest } of kinds) {
    if (OF_TCP.has(shows)) expect(longest).toBe(mtu);
    else expect(longest).toBeLessThanOrEqual(mtu);
  }
}

/** What the carriers of all flows show in both directions, in order. */
export const SHOWN: readonly string[] = [...CARRIERS].sort();
