/**
 * Connections leave their table: those that are over after a minute, those that never came to be
 * and those that are silent later. Nobody waits for that here: the program is loaded with other
 * limits, which are constants of it.
 */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { type OutcomeName, parseRules } from "../../lib/index.ts";
import { binding, isFailure, type NativeObject } from "../../lib/native/binding.ts";
import { LOOP_HELPER } from "../../lib/runtime/program.ts";
import { readConnectionStats } from "../../lib/runtime/stats.ts";
import { RuleTables } from "../../lib/runtime/tables.ts";
import { testRun } from "../../lib/runtime/test-run.ts";
import { eventually } from "../support/lab.ts";
import { FLAG, ipv4, tcp } from "../support/packet.ts";

/** The program that this kernel loads. */
async function readProgram(): Promise<Uint8Array> {
  const hasLoop = await binding().hasHelper(LOOP_HELPER);
  const name = hasLoop === false ? "sfunnel-without-loop" : "sfunnel";
  return readFileSync(new URL(`../../dist/bpf/${name}.bpf.o`, import.meta.url));
}
const CAPACITY = 1024;
/** What the service's sequence numbers begin with. */
const ANSWER = 4711;
/** What no test lives to see. */
const LONG = 1_000_000;

type Limits = Partial<Record<"seconds_over" | "seconds_beginning" | "seconds_established", number>>;

let object: NativeObject | undefined;
afterEach(() => object?.close());

/** The client side of a service, with these limits and all others out of reach. */
async function clientSide(limits: Limits) {
  const constants = { seconds_over: LONG, seconds_beginning: LONG, seconds_established: LONG };
  const loaded = await binding().load(
    await readProgram(),
    { connections: CAPACITY, beginnings: CAPACITY, closings: CAPACITY / 4 },
    { ...constants, ...limits },
  );
  if (isFailure(loaded)) throw new Error(`${loaded.step}: ${loaded.log}`);
  object = loaded;
  const tables = new RuleTables(loaded, binding().cpuNumbers);
  const egress = parseRules("tcp dport 8080 actions funnel translate tcp dport 80");
  await tables.replace({ ingress: [], egress }, "load");

  const run = async (direction: "ingress" | "egress", frame: Uint8Array): Promise<OutcomeName> =>
    (await testRun(loaded, frame, direction)).outcome;
  return {
    stats: () => readConnectionStats(loaded, CAPACITY),
    /** A segment of the connection from this port. */
    sends: (sport: number, flags: number) =>
      run("egress", ipv4({}, tcp({ sport, dport: 8080, flags, ack: ANSWER + 1 }))),
    /** What the service answers to it. */
    answers: (dport: number, flags: number) => {
      const addresses = { src: "198.51.100.7", dst: "192.0.2.1" };
      const urgent = flags & FLAG.syn ? 8080 : 0;
      return run("ingress", ipv4(addresses, tcp({ sport: 80, dport, flags, urgent, seq: ANSWER })));
    },
  };
}

type Client = Awaited<ReturnType<typeof clientSide>>;

async function establish({ sends, answers }: Client, sport: number): Promise<void> {
  expect(await sends(sport, FLAG.syn)).toBe("funneled");
  expect(await answers(sport, FLAG.syn | FLAG.ack)).toBe("reply_unfunneled");
  expect(await sends(sport, FLAG.ack)).toBe("funneled");
}

/** Both say that they have no more to say. */
async function end({ sends, answers }: Client, sport: number): Promise<void> {
  expect(await sends(sport, FLAG.fin | FLAG.ack)).toBe("funneled");
  expect(await answers(sport, FLAG.fin | FLAG.ack)).toBe("reply_unfunneled");
  expect(await sends(sport, FLAG.ack)).toBe("funneled");
}

describe("a connection that is over", () => {
  it("stays for late segments", async () => {
    const client = await clientSide({});
    await establish(client, 1);
    await end(client, 1);
    expect(await client.answers(1, FLAG.fin | FLAG.ack)).toBe("reply_unfunneled");
    expect(await client.sends(1, FLAG.ack)).toBe("funneled");
    await establish(client, 2);
    const counts = { entries: 2, begun: 0, added: 2, removed: 0 };
    expect(await client.stats()).toMatchObject(counts);
  });

  it.each([
    ["both ends have said so", [FLAG.fin | FLAG.ack, FLAG.fin | FLAG.ack]],
    ["one of them has broken it off", [FLAG.ack, FLAG.rst]],
  ])("is none any more after a minute: %s", async (_, [there = 0, back = 0]) => {
    const client = await clientSide({ seconds_over: 0 });
    await establish(client, 1);
    expect(await client.sends(1, there)).toBe("funneled");
    expect(await client.answers(1, back)).toBe("reply_unfunneled");
    // The clock of the kernel moves in steps of some milliseconds.
    await eventually(async () => (await client.sends(1, FLAG.rst)) === "translate_lost");
    expect(await client.stats()).toMatchObject({ entries: 0, removed: 1, evicted: 0 });
  });

  it("goes when it is time, as others begin", async () => {
    const client = await clientSide({ seconds_over: 0 });
    for (const sport of [1, 2, 3]) {
      await establish(client, sport);
      await client.answers(sport, FLAG.rst);
    }
    let sport = 100;
    await eventually(async () => {
      await establish(client, sport++);
      return (await client.stats()).removed === 3;
    });
    const { entries, added, evicted } = await client.stats();
    expect({ entries, evicted }).toEqual({ entries: added - 3, evicted: 0 });
  });

  it("does not go if it has begun anew", async () => {
    const client = await clientSide({ seconds_over: 3 });
    for (const sport of [1, 2]) {
      await establish(client, sport);
      expect(await client.answers(sport, FLAG.rst)).toBe("reply_unfunneled");
    }
    await establish(client, 1);
    expect(await client.stats()).toMatchObject({ entries: 2, added: 2, removed: 0 });
    // The other one ended later, so what is said of the first was looked at when this has gone.
    let sport = 100;
    await eventually(async () => {
      await establish(client, sport++);
      return (await client.stats()).removed > 0;
    }, 50);
    expect(await client.sends(2, FLAG.ack)).toBe("translate_lost");
    expect(await client.sends(1, FLAG.ack)).toBe("funneled");
    expect(await client.stats()).toMatchObject({ removed: 1, evicted: 0 });
  });

  it("makes no room of one that lives", async () => {
    const client = await clientSide({});
    await establish(client, 1);
    const others = 2 * CAPACITY;
    for (let sport = 2; sport < others + 2; sport++) {
      await establish(client, sport);
      await client.answers(sport, FLAG.rst);
    }
    // Those that are over have a quarter of the table, and the oldest of them goes.
    const entries = CAPACITY / 4 + 1;
    const added = others + 1;
    const counts = { entries, added, removed: added - entries, evicted: 0 };
    expect(await client.stats()).toMatchObject(counts);
    expect(await client.sends(1, FLAG.ack)).toBe("funneled");
  });

  it("goes at once if it was refused", async () => {
    const client = await clientSide({});
    expect(await client.sends(1, FLAG.syn)).toBe("funneled");
    expect(await client.answers(1, FLAG.rst | FLAG.ack)).toBe("reply_unfunneled");
    expect(await client.stats()).toMatchObject({ entries: 0, added: 1, removed: 1 });
  });
});

describe("a connection that is silent", () => {
  it("is none any more after days", async () => {
    const client = await clientSide({ seconds_established: 0 });
    await establish(client, 1);
    await eventually(async () => (await client.sends(1, FLAG.ack)) === "translate_lost");
    expect(await client.stats()).toMatchObject({ entries: 0, removed: 1 });
  });

  it("is none any more after minutes if it never came to be", async () => {
    const client = await clientSide({ seconds_beginning: 0 });
    expect(await client.sends(1, FLAG.syn)).toBe("funneled");
    // The client's own segment would establish it.
    await eventually(async () => (await client.answers(1, FLAG.ack)) === "no_match");
    expect(await client.stats()).toMatchObject({ entries: 0, removed: 1 });
  });
});

it("makes room for others in a table that is full, and counts it", async () => {
  const client = await clientSide({});
  await establish(client, 60_000);
  const connections = 3 * CAPACITY;
  for (let sport = 1; sport <= connections; sport++) await client.sends(sport, FLAG.syn);
  const { entries, begun, added, evicted, begunEvicted } = await client.stats();
  expect({ added, kept: entries - begun }).toEqual({ added: connections + 1, kept: 1 });
  expect(begun).toBeLessThanOrEqual(CAPACITY);
  expect({ evicted, begunEvicted }).toEqual({ evicted: added - entries, begunEvicted: evicted });
  expect(await client.sends(60_000, FLAG.ack)).toBe("funneled");
});
