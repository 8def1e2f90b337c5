/**
 * A thousand replaces under load, between two ends with nothing tuned: iperf3 and short connections over
 * TCP, and datagrams. Each packet is funneled by the old rules or by the new ones, and arrives where it was
 * meant to.
 */
import { describe, expect, it } from "vitest";
import {
  type Direction,
  Funnel,
  type FunnelRuleset,
  formatRules,
  type OutcomeName,
  parseRules,
} from "../../lib/index.ts";
import { counter } from "../support/bulk.ts";
import { outcomesMet, packets } from "../support/flows.ts";
import { iperf } from "../support/iperf.ts";
import { type Endpoint, eventually, type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";

const CLIENT = "10.0.0.1";
const SERVER = "10.0.0.2";
/** Of both ends together. */
const REPLACES = 1000;
/** Milliseconds that a busy machine may take. */
const LIMIT = 180_000;
/** At each end; so often it is looked at whether all packets follow the rules in force. */
const LOOK_EVERY = 50;

/** Where the flows go: two that iperf3 makes, short connections, and datagrams, one way and with echo. */
const PORTS = { translated: 5201, carried: 5202, short: 8080, oneWay: 2055, echo: 2056 } as const;

/** What is sent one way goes in one of two carriers, which have nothing in common. */
const ONE_WAY = {
  a: "udp dport 2055 actions funnel tcp dport 179 sport 540",
  b: "udp dport 2055 actions funnel udp dport 181 sport 541",
} as const;
const ARRIVING = {
  a: "tcp sport 540 dport 179 actions unfunnel udp allow 2055",
  b: "udp sport 541 dport 181 actions unfunnel udp allow 2055",
} as const;

/** Rules of the client, which change the way of all flows but that with echo. */
const NEAR: readonly FunnelRuleset[] = [
  {
    egress: `${ONE_WAY.a}
      udp dport 2056 actions funnel tcp dport 187 sport 547
      tcp dport { 5201, 8080 } actions funnel translate tcp dport 80
      tcp dport 5202 actions funnel tcp dport 183 sport 543`,
    ingress: "tcp sport { 183, 185 } dport { 543, 545 } actions unfunnel tcp",
  },
  {
    egress: `udp dport { 1-1000, 3000 } actions drop
      ip daddr != { 10.0.0.2, 192.0.2.0/24 } udp actions drop
      udp dport 2056 actions funnel tcp dport 187 sport 547
      ${ONE_WAY.b}
      tcp dport { 5201, 8080 } actions funnel translate tcp dport 81
      tcp dport 5202 actions funnel tcp dport 185 sport 545`,
    ingress: `udp dport 9 actions drop
      tcp sport 183 dport 543 actions unfunnel tcp
      tcp sport 185 dport 545 actions unfunnel tcp`,
  },
  {
    egress: `${Array.from({ length: 60 }, (_, index) => `udp sport ${1 + index} dport { ${3000 + index}, ${4000 + index} } actions drop`).join("\n")}
      tcp dport 5201 actions funnel translate tcp dport 81
      tcp dport 8080 actions funnel translate tcp dport 80
      tcp port 5202 sport != 5202 actions funnel tcp dport 185 sport 545
      ${ONE_WAY.a}
      udp dport 2056 actions funnel tcp dport 187 sport 547`,
    ingress: "ip saddr 10.0.0.0/24 tcp sport { 183, 185 } dport { 543, 545 } actions unfunnel tcp",
  },
];

/** Which of the two carriers each of them says. */
const WAYS = ["a", "b", "a"] as const;

/** Rules of the server, in other words each time: they take all ways. */
const FAR: readonly FunnelRuleset[] = [
  {
    ingress: `${ARRIVING.a}
      ${ARRIVING.b}
      tcp sport 547 dport 187 actions unfunnel udp allow 2056
      tcp dport { 80, 81 } actions unfunnel translate tcp allow { 5201, 8080 }
      tcp sport 543 dport 183 actions unfunnel tcp allow 5202
      tcp sport 545 dport 185 actions unfunnel tcp allow 5202`,
  },
  {
    ingress: `ip saddr != 10.0.0.0/24 udp actions drop
      tcp dport 80 actions unfunnel translate tcp allow 5201-8080
      tcp dport 81 actions unfunnel translate tcp allow 5201-8080
      tcp sport { 543, 545 } dport { 183, 185 } actions unfunnel tcp allow { 5202, 5203 }
      tcp sport 547 dport { 187, 188 } actions unfunnel udp allow { 2056, 2058 }
      ${ARRIVING.b}
      ${ARRIVING.a}`,
    egress: "udp dport 9 actions drop",
  },
];

/** Packets that a rule has met, which stands in all lists of its end. */
async function metBy(funnel: Funnel, direction: Direction, text: string): Promise<number> {
  const words = formatRules(parseRules(text));
  const { rules } = (await funnel.stats())[direction];
  const found = rules.find(({ rule }) => formatRules([rule]) === words);
  if (!found) throw new Error(`no rule says ${text}`);
  return found.packets;
}

const metOnTheWay = (far: Funnel, way: "a" | "b") => metBy(far, "ingress", ARRIVING[way]);

/** All packets from now on go the way that the rules in force say, once those on the way are past. */
async function expectWay(near: Funnel, far: Funnel, way: "a" | "b"): Promise<void> {
  const more = async (count: number) => {
    const enough = (await metOnTheWay(far, way)) + count;
    await eventually(async () => (await metOnTheWay(far, way)) >= enough);
  };
  const sent = await metBy(near, "egress", ONE_WAY[way]);
  await more(3);
  const other = way === "a" ? "b" : "a";
  const before = await metOnTheWay(far, other);
  await more(8);
  expect(await metOnTheWay(far, other)).toBe(before);
  expect(await metBy(near, "egress", ONE_WAY[way])).toBeGreaterThan(sent);
}

/** Puts each of the lists in force, again and again. */
async function replaceAgainAndAgain(
  times: number,
  lists: readonly FunnelRuleset[],
  funnel: Funnel,
  afterwards?: (round: number) => Promise<void>,
): Promise<void> {
  for (let round = 1; round <= times; round++) {
    await funnel.replace(rulesOf(lists, round));
    await afterwards?.(round);
  }
}

function rulesOf(lists: readonly FunnelRuleset[], round: number): FunnelRuleset {
  const { ingress = [], egress = [] } = lists[round % lists.length] as FunnelRuleset;
  return { ingress, egress };
}

/** One transfer after another until told to end; gives how many there were. */
function transfers(lab: Lab, server: Host, client: Host, port: number) {
  let goesOn = true;
  const ended = (async () => {
    let count = 0;
    while (goesOn) {
      await iperf(lab, server, client, SERVER, { port, bytes: "6M", bitrate: "16M" });
      count++;
    }
    return count;
  })();
  // It may fail long before anyone asks.
  ended.catch(() => undefined);
  return {
    end(): Promise<number> {
      goesOn = false;
      return ended;
    },
  };
}

/** No packet of a flow has met anything but these outcomes. */
async function expectOnly(
  funnel: Funnel,
  direction: Direction,
  outcomes: readonly OutcomeName[],
): Promise<void> {
  expect(outcomes).toEqual(expect.arrayContaining(await outcomesMet(funnel, direction)));
}

/** Everything that was funneled at either end was unfunneled at the other. */
async function expectNothingLost(near: Funnel, far: Funnel): Promise<void> {
  const out = await packets(near, "egress", "funneled");
  await eventually(async () => (await packets(far, "ingress", "unfunneled")) >= out);
  expect(await packets(far, "ingress", "unfunneled")).toBe(out);
  const back = await packets(far, "egress", "reply_funneled");
  const arrived = async () =>
    (await packets(near, "ingress", "unfunneled")) +
    (await packets(near, "ingress", "reply_unfunneled"));
  await eventually(async () => (await arrived()) >= back);
  expect(await arrived()).toBe(back);
  await expectOnly(near, "egress", ["funneled", "segmented"]);
  await expectOnly(far, "ingress", ["unfunneled"]);
  await expectOnly(far, "egress", ["reply_funneled", "segmented"]);
  await expectOnly(near, "ingress", ["unfunneled", "reply_unfunneled"]);
}

describe.skipIf(skipReason)(titled(`${REPLACES} replaces under load`), () => {
  it("lose no connection and no datagram, and funnel none wrongly", {
    timeout: LIMIT,
  }, async () => {
    using lab = new Lab();
    const [client, server] = [lab.host("client"), lab.host("server")];
    lab.link(client, "eth0", `${CLIENT}/24`, server, "eth0", `${SERVER}/24`);
    await using near = await Funnel.load(rulesOf(NEAR, 0));
    await using far = await Funnel.load(rulesOf(FAR, 0));
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: server.netns });

    const at = (host: Host, role: string, options: object): Endpoint =>
      lab.endpoint(host, role, { address: SERVER, seconds: LIMIT / 1000, ...options });
    // Whoever serves the service ports must never hear anything.
    const services = at(server, "listenOnly", { tcp: [80, 81, 179, 183, 185, 187], udp: [181] });
    const oneWay = at(server, "udpEcho", { port: PORTS.oneWay, silent: true });
    const echo = at(server, "udpEcho", { port: PORTS.echo, quiet: true });
    const short = at(server, "tcpEcho", { port: PORTS.short, quiet: true });
    await Promise.all([services, oneWay, echo, short].map((endpoint) => endpoint.ready()));

    const datagrams = { length: 40, window: 4, interval: 10 };
    const stream = at(client, "udpStream", { ...datagrams, port: PORTS.oneWay, echo: false });
    const echoed = at(client, "udpStream", { ...datagrams, port: PORTS.echo });
    const churn = at(client, "tcpChurn", { port: PORTS.short, length: 2000, interval: 30 });
    const bulk = [PORTS.translated, PORTS.carried].map((port) =>
      transfers(lab, server, client, port),
    );
    await oneWay.event("datagram");

    let looks = 0;
    await Promise.all([
      replaceAgainAndAgain(REPLACES / 2, NEAR, near, async (round) => {
        if (round % LOOK_EVERY !== 0) return;
        await expectWay(near, far, WAYS[round % WAYS.length] as "a" | "b");
        looks++;
      }),
      replaceAgainAndAgain(REPLACES / 2, FAR, far),
    ]);
    expect(looks).toBe(REPLACES / 2 / LOOK_EVERY);

    const counts = await Promise.all(bulk.map((each) => each.end()));
    expect(Math.min(...counts)).toBeGreaterThan(1);
    for (const each of [stream, echoed, churn]) each.say("stop");
    await Promise.all([stream.end(), echoed.end(), churn.end()]);
    const sent = Number((await stream.event("done")).sent);
    // Every datagram once, and every echo to one that was missing. A busy machine may let the receiving
    // program wait for longer than its socket has room for.
    const full = () => counter(lab, server, "Udp", "RcvbufErrors");
    await eventually(() => oneWay.events("datagram").length + full() >= sent);
    const texts = oneWay.events("datagram").map(({ text }) => text);
    const arrived = sent - full();
    expect([texts.length, new Set(texts).size]).toEqual([arrived, arrived]);
    expect((await echoed.event("done")).unexpected).toBe(0);
    expect([...churn.events("error"), ...churn.events("wrong")]).toEqual([]);
    expect(services.events("heard")).toEqual([]);
    await expectNothingLost(near, far);
    // Counters have gone on with their rules.
    const [one, other] = await Promise.all([metOnTheWay(far, "a"), metOnTheWay(far, "b")]);
    expect(Math.min(one, other)).toBeGreaterThan(sent / 10);
    expect(one + other).toBe(sent);
    for (const funnel of [near, far]) {
      const { connections, flows } = await funnel.stats();
      expect(connections).toMatchObject({ evicted: 0, notAdded: 0 });
      expect(flows).toMatchObject({ evicted: 0, notAdded: 0 });
    }

    // And it would be heard, if packets followed other rules than those at the other end.
    await far.replace({ ingress: ARRIVING.a });
    await near.replace({ egress: ONE_WAY.b });
    at(client, "udpSend", { port: PORTS.oneWay, echo: false });
    expect(await services.event("heard")).toMatchObject({ port: 181 });
    const out = await packets(near, "egress", "funneled");
    expect(await packets(far, "ingress", "unfunneled")).toBeLessThan(out);
  });
});
