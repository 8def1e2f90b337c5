// A process of its own for each number of rules, so that it has its memory and its garbage to itself:
// `replace-process.mjs time RULES ROUNDS`, `memory RULES`, or `attach ROUNDS` in a network namespace of
// its own; under `node --expose-gc`. Prints one line of JSON.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { Funnel, parseRules } from "sfunnel";
import { Limit } from "../dist/compile/abi.gen.js";
import { binding } from "../dist/native/binding.js";
import { loadProgram } from "../dist/runtime/program.js";
import { RuleTables } from "../dist/runtime/tables.js";
import { ruleset } from "./rulesets.mjs";

const FUNNEL = "funnel tcp dport 179 sport 540";
/** Behind a replace, in which what only the old rules had is given back, as part of its holds. */
const AFTERWARDS = 1000;

/** Rules for that many routers, as data; of each `set` all are others. */
function rulesOf(size, set) {
  const { rules } = ruleset("routers", size);
  const text = rules.map((rule) => rule.replace(" 10.", ` ${10 + set}.`).replace("accept", FUNNEL));
  return parseRules(text.join("\n"));
}

/**
 * Watches for how long nothing else had its turn, in milliseconds; ends with the longest time. The first
 * way misses nothing, and makes garbage of its own; the second one makes none.
 */
const WATCHES = {
  turns() {
    let longest = 0;
    let isOver = false;
    let last = performance.now();
    const turn = () => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    return () => {
      isOver = true;
      return longest;
    };
  },
  monitors() {
    const monitor = monitorEventLoopDelay({ resolution: RESOLUTION });
    monitor.enable();
    return () => {
      monitor.disable();
      // What it gives is the time from one of its timers to the next.
      return monitor.max / 1e6 - RESOLUTION;
    };
  },
};
const RESOLUTION = 1;

async function timeReplaces(size, rounds) {
  const funnel = await Funnel.load({ egress: rulesOf(size, 0) });
  const result = { turns: [], monitors: [], times: [] };
  for (let replace = 0; replace < 2 * rounds; replace++) {
    const way = replace % 2 === 0 ? "turns" : "monitors";
    const egress = rulesOf(size, 1 + replace);
    // That of parsing is not that of the replace.
    globalThis.gc();
    const end = WATCHES[way]();
    const begun = performance.now();
    await funnel.replace({ egress });
    const time = performance.now() - begun;
    await delay(AFTERWARDS);
    result[way].push(end());
    if (way === "monitors") result.times.push(time);
  }
  await funnel.close();
  return result;
}

async function timeAttaches(rounds) {
  execFileSync("ip", ["link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]);
  const rules = {
    egress: parseRules(`udp dport { 2055, 4739, 6343 } actions ${FUNNEL}`),
    ingress: parseRules("tcp dport 179 sport 540 actions unfunnel udp allow { 2055, 4739, 6343 }"),
  };
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const begun = performance.now();
    const funnel = await Funnel.load(rules);
    await funnel.attach("eth0");
    times.push(performance.now() - begun);
    await funnel.close();
  }
  const [first, ...others] = times;
  return { first: [first], others };
}

/** Bytes that the kernel says maps take which this process has open, by their ids (Linux 6.4). */
function openMaps() {
  const maps = new Map();
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) !== "anon_inode:bpf-map") continue;
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      const field = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)$`, "m").exec(info)?.[1]);
      maps.set(field("map_id"), field("memlock"));
    } catch {
      // The descriptor that listed them.
    }
  }
  return maps;
}

const sumOf = (maps) => [...maps.values()].reduce((sum, bytes) => sum + bytes, 0);

/**
 * An object that also notes all arrays that are made through it: they are closed once they have their
 * places. The first rules replace none, so all of these stay.
 */
function noting(object, noted) {
  const calls = ["update", "remove", "read", "entries", "place"];
  return {
    ...Object.fromEntries(calls.map((name) => [name, (...given) => object[name](...given)])),
    async makeArray(...given) {
      const array = await object.makeArray(...given);
      for (const [id, bytes] of openMaps()) noted.set(id, bytes);
      return array;
    },
  };
}

/** Bytes of JavaScript's objects and buffers. */
function heldBytes() {
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function measureMemory(size) {
  const { object } = await loadProgram({
    flows: Limit.DEFAULT_FLOWS,
    connections: Limit.DEFAULT_CONNECTIONS,
    trace: false,
  });
  const fixed = sumOf(openMaps());
  const noted = new Map();
  const tables = new RuleTables(noting(object, noted), binding().cpuNumbers);
  const before = heldBytes();
  const lists = { ingress: [], egress: rulesOf(size, 0) };
  const withRules = heldBytes();
  await tables.replace(lists, "load");
  await tables.cleaned;
  for (const [id, bytes] of openMaps()) noted.set(id, bytes);
  const result = {
    fixed,
    kernel: sumOf(noted) - fixed,
    rules: withRules - before,
    held: heldBytes() - withRules,
    resident: process.memoryUsage().rss,
  };
  tables.close();
  object.close();
  return result;
}

const [what, ...numbers] = process.argv.slice(2);
const measure = { time: timeReplaces, attach: timeAttaches, memory: measureMemory }[what];
console.log(JSON.stringify(await measure(...numbers.map(Number))));
