// Programs that search rules for many flows, one after the other (lookup.bpf.c, linear.bpf.c,
// structures.bpf.c).
import { readFileSync } from "node:fs";
import { parseRules } from "sfunnel";
import { Family, layout } from "../dist/compile/abi.gen.js";
import { binding } from "../dist/native/binding.js";
import { RuleTables } from "../dist/runtime/tables.js";
import { objectOfProgram } from "./compile.mjs";
import { udp6Frame, udpFrame } from "./frame.mjs";
import { must } from "./test-run.mjs";

/** Bytes of payload, enough for a header of TCP in the place of that of UDP. */
const PAYLOAD = 100;
const FRAMES = { 4: udpFrame(1, PAYLOAD), 16: udp6Frame(1, PAYLOAD) };

/** Tables that no packet here fills. */
const SMALL = { replies: 128, connections: 128, beginnings: 128, closings: 128 };

/** Packets before those that are timed: what a CPU keeps of the program and its rules is there then. */
const WARM_UP = 1024;

/** Directions whose programs take a packet, and search alone. */
const PACKET = 1;
const SEARCH = 0;

/** Flows of one run of the search alone; of the linear one a part, by the number of rules. */
const FLOWS_OF_RUN = 1024;
const LOOKS_OF_RUN = 1_000_000;
const flowsOfLinearRun = (rules) =>
  Math.min(FLOWS_OF_RUN, 2 ** Math.floor(Math.log2(LOOKS_OF_RUN / rules)));

const CONTROL_BLOCK = new Uint32Array(5);

/** Numbers 0 to `count` - 1 as keys. */
const keys = (count) => new Uint8Array(Uint32Array.from({ length: count }, (_, key) => key).buffer);

/** Flows as the program holds them (struct sfunnel_flow). */
function encodeFlows(flows) {
  const { size, fields } = layout.flow;
  const bytes = Buffer.alloc(flows.length * size);
  for (const [index, flow] of flows.entries()) {
    const at = index * size;
    for (const [field, address] of [
      [fields.saddr, flow.source],
      [fields.daddr, flow.destination],
    ]) {
      const place = at + field.offset;
      if (address.length === 4) bytes.fill(0xff, place + 10, place + 12);
      bytes.set(address, place + 16 - address.length);
    }
    bytes.writeUInt16LE(flow.sport, at + fields.sport.offset);
    bytes.writeUInt16LE(flow.dport, at + fields.dport.offset);
    bytes[at + fields.transport.offset] = flow.transport;
    bytes[at + fields.family.offset] = flow.source.length === 4 ? Family.IPV4 : Family.IPV6;
  }
  return bytes;
}

/** Of linear.bpf.c. */
const LINEAR_RULE = 28;
const RULES_OF_PART = 64;

/** Rules on a source prefix and a range of destination ports, as the linear search holds them. */
function encodeLinear(rules) {
  const count = Math.ceil(rules.length / RULES_OF_PART);
  const bytes = Buffer.alloc(count * RULES_OF_PART * LINEAR_RULE);
  for (const [index, { source, dports, transport }] of rules.entries()) {
    const at = index * LINEAR_RULE;
    bytes.set(source.bytes, at);
    bytes.writeUInt32BE((2 ** 32 - 2 ** (32 - source.length)) >>> 0, at + 4);
    bytes.writeUInt16LE(65535, at + 18);
    bytes.writeUInt16LE(dports.first, at + 20);
    bytes.writeUInt16LE(dports.last, at + 22);
    bytes.writeUInt32LE(transport, at + 24);
  }
  return { count, bytes };
}

/** Lists of flows one behind the other, and where each lies: its flows of IPv4 before those of IPv6. */
function layOut(lists) {
  const flows = [];
  const places = new Map();
  for (const [name, list] of Object.entries(lists)) {
    const parts = [];
    for (const length of [4, 16]) {
      const ofFamily = list.filter(({ source }) => source.length === length);
      if (ofFamily.length === 0) continue;
      parts.push({ frame: FRAMES[length], first: flows.length, count: ofFamily.length });
      flows.push(...ofFamily);
    }
    places.set(name, parts);
  }
  return { flows, places };
}

const countOf = (parts) => parts.reduce((sum, { count }) => sum + count, 0);

export class Searches {
  #object;
  #tables;
  #places;
  /** Where walks go on. */
  #next = new Map();
  #flowsOfRun;

  constructor(object, flowsOfRun) {
    this.#object = object;
    this.#flowsOfRun = flowsOfRun;
  }

  /** Our search; it asks nothing where there are no rules. */
  static async load(rules, lists) {
    const { flows, places } = layOut(lists);
    const limits = { ...SMALL, flows: flows.length };
    const constants = { keeps_answers: 0, asks: rules ? 1 : 0, flows_of_run: FLOWS_OF_RUN };
    const bytes = readFileSync(objectOfProgram("lookup"));
    const object = must(await binding().load(bytes, limits, constants));
    const searches = new Searches(object, FLOWS_OF_RUN);
    return searches.#fill(flows, places, async () => {
      if (!rules) return;
      const egress = parseRules(rules.join("\n"));
      searches.#tables = new RuleTables(searches.#object, binding().cpuNumbers);
      await searches.#tables.replace({ ingress: [], egress }, "load");
      await searches.#tables.cleaned;
    });
  }

  /** The linear one. */
  static loadLinear(rules, lists) {
    const { count, bytes } = encodeLinear(rules);
    return Searches.#loadOther("linear", lists, flowsOfLinearRun(rules.length), {
      limits: { parts: count },
      constants: { rule_count: rules.length },
      content: { parts: { keys: keys(count), values: bytes, count } },
    });
  }

  /** One of STRUCTURES. */
  static loadStructure(structure, lists) {
    return Searches.#loadOther("structures", lists, FLOWS_OF_RUN, structure);
  }

  static async #loadOther(program, lists, flowsOfRun, { limits, constants, content }) {
    const { flows, places } = layOut(lists);
    const bytes = readFileSync(objectOfProgram(program));
    const object = must(
      await binding().load(
        bytes,
        { ...limits, flows: flows.length },
        { ...constants, flows_of_run: flowsOfRun },
      ),
    );
    const searches = new Searches(object, flowsOfRun);
    return searches.#fill(flows, places, async () => {
      for (const [map, { keys: places, values, count }] of Object.entries(content)) {
        must(await object.update(map, places, values, count));
      }
    });
  }

  async #fill(flows, places, more) {
    try {
      this.#places = places;
      const count = flows.length;
      must(await this.#object.update("flows", keys(count), encodeFlows(flows), count));
      await more();
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Nanoseconds for a packet of a list, and what the search has said in all. */
  async packets(list, flows) {
    const parts = this.#places.get(list);
    const all = countOf(parts);
    const sum = { time: 0, asked: 0, matched: 0, ruleTotal: 0 };
    for (const part of parts) {
      const share = part.count / all;
      const { time, ...said } = await this.#walk(PACKET, part, Math.ceil(flows * share), 1);
      sum.time += time * share;
      for (const [what, value] of Object.entries(said)) sum[what] += value;
    }
    return sum;
  }

  /** The same for a search alone. */
  search(list, flows) {
    const parts = this.#places.get(list);
    const whole = { ...parts[0], count: countOf(parts) };
    return this.#walk(SEARCH, whole, flows, this.#flowsOfRun);
  }

  /** Goes through flows from where the last such walk has ended, first some that are not timed. */
  async #walk(direction, { frame, first, count }, flows, flowsOfRun) {
    const runs = Math.ceil(flows / flowsOfRun);
    const warmUp = Math.ceil(Math.min(flows, WARM_UP) / flowsOfRun);
    const place = `${direction} ${first}`;
    const next = this.#next.get(place) ?? 0;
    const words = BigUint64Array.from([first, count, next, 0, 0, 0].map(BigInt));
    must(await this.#object.update("walks", keys(1), new Uint8Array(words.buffer), 1));
    const run = async (times) =>
      must(await this.#object.testRun(direction, frame, CONTROL_BLOCK, times)).duration;
    await run(warmUp);
    const time = (await run(runs)) / flowsOfRun;
    const walked = must(await this.#object.read("walks", 0, 1)).slice();
    const [reached, asked, matched, ruleTotal] = [...new BigUint64Array(walked.buffer)]
      .slice(2)
      .map(Number);
    const expected = (warmUp + runs) * flowsOfRun;
    if (asked !== expected) throw new Error(`${asked} flows were asked about, not ${expected}`);
    this.#next.set(place, reached);
    return { time, asked, matched, ruleTotal };
  }

  close() {
    this.#tables?.close();
    this.#object.close();
  }
}
