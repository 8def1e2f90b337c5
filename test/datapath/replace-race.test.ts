/** Replaces while one packet after another is judged on another CPU, each of them by a search of its own. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { layout } from "../../lib/compile/abi.gen.ts";
import { parseRules } from "../../lib/index.ts";
import { binding, type NativeObject } from "../../lib/native/binding.ts";
import { readStats } from "../../lib/runtime/stats.ts";
import { type Lists, RuleTables } from "../../lib/runtime/tables.ts";
import { EGRESS, must, putArray, skipReason, titled } from "../support/native.ts";
import { ipv4, udp } from "../support/packet.ts";

const REPLACES = 60;
/** Packets at a time, of which the kernel lets no other one in between. */
const AT_A_TIME = 5000;

const OTHERS = Array.from({ length: 300 }, (_, index) => `udp dport ${3000 + index} actions drop`);

/**
 * The packet meets the last rule of the one and the first of the other: what the index of either list says
 * of it is wrong of the other's rules.
 */
const LISTS: readonly Lists[] = [
  [...OTHERS, "udp dport 2055 actions drop"],
  ["udp dport 2055 actions accept", ...OTHERS],
].map((rules) => ({ ingress: [], egress: parseRules(rules.join("\n")) }));

const FRAME = ipv4({}, udp({ dport: 2055 }));

describe.skipIf(skipReason)(titled("replaces among searches"), () => {
  let object: NativeObject;
  let tables: RuleTables;
  beforeAll(async () => {
    const native = binding();
    const path = new URL("../../dist/bpf/sfunnel.bpf.o", import.meta.url);
    object = must(await native.load(readFileSync(path), {}, { keeps_answers: 0 }));
    tables = new RuleTables(object, native.cpuNumbers);
    await tables.replace(LISTS[0] as Lists, "replace");
  });
  afterAll(async () => {
    await tables?.cleaned;
    tables?.close();
    object?.close();
  });

  /** So many packets one after the other; gives how many. */
  async function packets(): Promise<number> {
    must(await object.testRun(EGRESS, FRAME, new Uint32Array(5), AT_A_TIME));
    return AT_A_TIME;
  }

  async function outcomes(): Promise<Record<string, number>> {
    const { egress } = await readStats(object, tables);
    const { outcomes } = egress;
    const met = Object.entries(outcomes).filter(([, { packets }]) => packets > 0);
    return Object.fromEntries(met.map(([name, { packets }]) => [name, packets]));
  }

  it("have each packet meet the old rules or the new ones", async () => {
    let goesOn = true;
    const sending = (async () => {
      let sent = 0;
      while (goesOn) sent += await packets();
      return sent;
    })();
    for (let round = 1; round <= REPLACES; round++) {
      await tables.replace(LISTS[round % 2] as Lists, "replace");
    }
    goesOn = false;
    const sent = await sending;
    const { dropped = 0, accepted = 0, ...others } = await outcomes();
    expect(others).toEqual({});
    expect(dropped + accepted).toBe(sent);
    expect(Math.min(dropped, accepted)).toBeGreaterThan(sent / 20);
  });

  it("would show a mixture: an index, and rules that are not those that it is of", async () => {
    const nothing = new Uint8Array(layout.rule.size);
    for (let place = 0; place < 4; place++)
      must((await putArray(object, "rulesets", place, nothing, 1)) ?? {});
    const { no_match: before = 0 } = await outcomes();
    const sent = await packets();
    expect((await outcomes()).no_match).toBe(before + sent);
  });
});
