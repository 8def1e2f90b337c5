/** More SYNs, and more connections, than the table has room for. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { FAMILIES, inFamily } from "../support/family.ts";
import { python } from "../support/frames.ts";
import { skipReason, titled } from "../support/native.ts";
import { FLAG, hex, ipv4, tcp } from "../support/packet.ts";
import {
  CLIENT,
  expectNothingAtService,
  POD,
  useTranslatedLab,
  wired,
} from "../support/translate-lab.ts";
import { markFor, SERVICE, WANTED } from "../support/translated.ts";

const floodPath = fileURLToPath(new URL("../support/translate-flood.py", import.meta.url));

const CAPACITY = 256;
const SYNS = 20_000;

describe.skipIf(skipReason)(titled("a flood of marked SYNs"), () => {
  const { place } = useTranslatedLab(wired, { far: { connections: CAPACITY } });

  it("leaves connections alone, those that are silent too", async () => {
    const { lab, hosts, macs, client, pod, near, far } = place();
    // So that the pod answers them; the client is no router, and drops the answers.
    lab.route(hosts.pod, CLIENT, "198.18.0.0/16");
    lab.ip(hosts.pod, "route", "add", "198.19.0.0/16", "via", CLIENT);
    const open = (family: (typeof FAMILIES)[number]) =>
      client.open({ address: inFamily(family, POD), port: WANTED });
    const [idle, busy] = [FAMILIES.map(open), FAMILIES.map(open)];
    for (const connection of [...idle, ...busy]) await connection.ask("before ");

    const frame = ipv4(
      {
        srcMac: macs.client,
        dstMac: macs.pod,
        dst: POD,
      },
      tcp({ dport: SERVICE, flags: FLAG.syn, ...markFor(WANTED) }),
    );
    const options = { device: "eth0", frame: hex(frame), count: SYNS, seed: 1 };
    const flood = python(lab, hosts.client, floodPath, JSON.stringify(options));
    let isOver = false;
    const ended = flood.end();
    const stop = () => {
      isOver = true;
    };
    ended.then(stop, stop);
    for (let asked = 0; !isOver; asked++) {
      for (const connection of busy) {
        expect(await connection.ask(`during ${asked} `)).toBe(`${WANTED}:during ${asked} `);
      }
    }
    await ended;

    const { entries, begun, capacity, evicted, begunEvicted, added } = await far.table();
    expect(added).toBeGreaterThan(SYNS / 2);
    expect(capacity).toBe(CAPACITY);
    expect(begun).toBeLessThanOrEqual(CAPACITY);
    expect(entries - begun).toBe(idle.length + busy.length);
    // Those that had only begun made room for each other.
    expect(evicted).toBeGreaterThan(SYNS / 4);
    expect(begunEvicted).toBe(evicted);
    for (const connection of [...idle, ...busy]) {
      expect(await connection.ask("after ")).toBe(`${WANTED}:after `);
    }
    // And new ones get through.
    for (const connection of FAMILIES.map(open)) {
      expect(await connection.ask("new ")).toBe(`${WANTED}:new `);
    }
    expect(await near.special()).toEqual({});
    expect(await far.special()).toEqual({});
    expect(await pod.accepted(WANTED)).toBe(3 * FAMILIES.length);
    await expectNothingAtService(place());
  });
});
