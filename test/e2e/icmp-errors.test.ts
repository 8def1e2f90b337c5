/**
 * Other errors about what travels in carriers: they reach the socket that sent, and quote what it
 * sent, through NAT as well.
 */
import { describe, expect, it } from "vitest";
import {
  ALL_FLOWS,
  AT_GATEWAYS_EGRESS,
  AT_GATEWAYS_INGRESS,
  bulkLab,
  CARRIER_SERVICE,
  CLIENT,
  flowsOver,
  isCarrier,
  ON_CLIENT,
  OVER,
  outcome,
  PLACES,
  PORTS,
  Sides,
  seenIn,
} from "../support/bulk.ts";
import { FAMILIES } from "../support/family.ts";
import { Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { bytes, checksumsOf, concat, hex, icmp, ipv4 } from "../support/packet.ts";
import { sockets } from "../support/sockets.ts";
import { ICMP_PROTOCOL, ipHeader, shown } from "../support/wire.ts";

const IP = 20;
const ICMP = 8;
const ETHERNET = 14;

/** Messages of ICMP among frames, behind their IP header. */
function messages(frames: readonly Uint8Array[]) {
  return frames.flatMap((frame) => {
    const { family, protocol, end } = ipHeader(frame) ?? {};
    const isMessage = family !== undefined && protocol === ICMP_PROTOCOL[family];
    return isMessage ? [{ frame, message: frame.subarray(end) }] : [];
  });
}

/** Their type, and what they quote as a frame of its own. */
function errors(frames: readonly Uint8Array[]) {
  return messages(frames).map(({ frame, message }) => {
    const quoted = concat(frame.subarray(0, ETHERNET), message.subarray(ICMP));
    return { type: message[0], code: message[1], shown: shown(quoted), ...checksumsOf(quoted) };
  });
}

const CASES = [
  { title: `funneled ${ON_CLIENT.title}`, place: ON_CLIENT, nat: false },
  ...PLACES.map((place) => ({ title: `funneled ${place.title}, with NAT`, place, nat: true })),
];

/**
 * Of the carrier's header and what is behind it. A carrier of TCP shows what it is in its first 8
 * bytes; without its inner header one of UDP is a datagram like any other.
 */
const SHORT_QUOTES = [
  { over: "tcp", quoted: 8 },
  { over: "tcp", quoted: 20 },
  { over: "tcp", quoted: 27 },
  { over: "udp", quoted: 8 },
  { over: "udp", quoted: 15 },
] as const;

/** "Port unreachable" and "time exceeded in transit", RFC 792 and RFC 4443. */
const UNREACHABLE = { IPv4: { type: 3, code: 3 }, IPv6: { type: 1, code: 4 } } as const;
const EXCEEDED = { IPv4: { type: 11, code: 0 }, IPv6: { type: 3, code: 0 } } as const;

describe.skipIf(skipReason)(titled("an error"), () => {
  it.each(FAMILIES)("reaches a socket whose datagrams are not funneled: %s", async (family) => {
    using lab = new Lab([family]);
    const { client, address } = seenIn(family, bulkLab(lab));
    const options = { address, port: PORTS.tcp, length: 100 };
    const refused = sockets(lab, client, "refused", options);
    expect(await refused.event("refused")).toMatchObject({ error: "ECONNREFUSED" });
    const expired = sockets(lab, client, "refused", { ...options, ttl: 2 });
    expect(await expired.event("refused")).toMatchObject({ error: "EHOSTUNREACH" });
  });

  it.each(CASES)(
    "of the pod or a router reaches the socket that sent, $title",
    async ({ place, nat }) => {
      using lab = new Lab(FAMILIES);
      const hosts = bulkLab(lab, nat ? { nat: CARRIER_SERVICE } : {});
      const { client, router } = hosts;
      await using sides = await Sides.attach(hosts, place, ALL_FLOWS);
      const wire = await lab.capture(router, "near");
      const clients = await lab.capture(client, "eth0");
      const cases = FAMILIES.flatMap((family) => OVER.map((over) => ({ family, over })));
      for (const [index, { family, over }] of cases.entries()) {
        const { address } = seenIn(family, hosts);
        const options = { address, port: PORTS[over], length: 100 };
        // No program listens there.
        const refused = sockets(lab, client, "refused", options);
        expect(await refused.event("refused")).toMatchObject({ error: "ECONNREFUSED" });
        expect(await outcome(sides.far, "egress", "error_funneled")).toBe(index + 1);
        expect(await outcome(sides.near, place.back, "error_unfunneled")).toBe(2 * index + 1);

        // The router is the second hop.
        const expired = sockets(lab, client, "refused", { ...options, ttl: 2 });
        expect(await expired.event("refused")).toMatchObject({ error: "EHOSTUNREACH" });
        expect(await outcome(sides.far, "egress", "error_funneled")).toBe(index + 1);
        expect(await outcome(sides.near, place.back, "error_unfunneled")).toBe(2 * index + 2);
      }

      for (const capture of [wire, clients]) {
        await capture.until((frames) => errors(frames).length === 2 * cases.length);
        const carriers = capture === wire || place === ON_CLIENT;
        const expected = cases.flatMap(({ family, over }) => {
          const shown = carriers
            ? `${over} 540>${flowsOver(over)[1].service}`
            : expect.stringMatching(new RegExp(`^udp \\d+>${PORTS[over]}$`));
          const quoted = { shown, ip: family === "IPv4" ? "right" : undefined, outer: "right" };
          return [
            { ...UNREACHABLE[family], ...quoted },
            { ...EXCEEDED[family], ...quoted },
          ];
        });
        expect(errors(await capture.stop())).toMatchObject(expected);
      }
    },
  );

  it("that quotes too little of a carrier is left alone", async () => {
    using lab = new Lab();
    const place = AT_GATEWAYS_EGRESS;
    const hosts = bulkLab(lab);
    const { client, gateway, router, pod, address } = hosts;
    await using sides = await Sides.attach(hosts, place, ALL_FLOWS);
    const wire = await lab.capture(router, "near");
    const clients = await lab.capture(client, "eth0");
    const carriers = new Map<string, Uint8Array>();
    for (const over of OVER) {
      const [, flow] = flowsOver(over);
      const { port } = flow;
      const drain = await sockets(lab, pod, "drain", { port, count: 1 }).ready();
      await sockets(lab, client, "fragmentable", { address, port, lengths: [50] }).end();
      await drain.end();
      const find = (frames: readonly Uint8Array[]) =>
        frames.find((frame) => isCarrier(frame, flow));
      await wire.until((frames) => find(frames) !== undefined);
      carriers.set(over, find(wire.frames) ?? new Uint8Array());
    }

    const fields = {
      src: "172.16.5.1",
      dst: CLIENT,
      srcMac: lab.mac(router, "near"),
      dstMac: lab.mac(gateway, "uplink"),
    };
    const sent = SHORT_QUOTES.map(({ over, quoted }) => {
      const quote = carriers.get(over)?.subarray(ETHERNET, ETHERNET + IP + quoted);
      const message = { type: 3, code: 4, rest: bytes(0, 0, 0x05, 0x78) };
      return ipv4(fields, icmp(message, quote));
    });
    lab.sendFrames(router, "near", sent);
    const hexes = (frames: readonly Uint8Array[]) =>
      messages(frames).map(({ message }) => hex(message));
    await clients.until((frames) => messages(frames).length === sent.length);
    expect(hexes(await clients.stop())).toEqual(hexes(sent));
    expect(await outcome(sides.near, place.back, "quote_too_short")).toBe(3);
    expect(await outcome(sides.near, place.back, "error_unfunneled")).toBe(0);
  });

  it("about what is not funneled passes as it is", async () => {
    using lab = new Lab();
    const hosts = bulkLab(lab);
    const { client, address } = hosts;
    await using sides = await Sides.attach(hosts, AT_GATEWAYS_INGRESS, flowsOver("tcp"));
    const options = { address, port: PORTS.tcp + 9, length: 100 };
    const refused = sockets(lab, client, "refused", options);
    expect(await refused.event("refused")).toMatchObject({ error: "ECONNREFUSED" });
    // And whatever hosts say to find each other.
    expect(await outcome(sides.near, "egress", "not_tcp_udp")).toBeGreaterThan(0);
    expect(await outcome(sides.near, "egress", "error_unfunneled")).toBe(0);
  });
});
