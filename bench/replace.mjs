// What it takes to replace many rules, how long the event loop is held meanwhile, how long a load with
// an attach takes, and the memory of it all. Each in a process of its own.
import { fileURLToPath } from "node:url";
import { run } from "../demo/host.mjs";
import { state } from "./rounds.mjs";

export const ROUNDS = 5;
/** Of load and attach, which takes far less than a replace of many rules. */
const ATTACH_ROUNDS = 31;

/** Milliseconds that a replace of so many rules may take. */
const GOALS = { 10000: 50, 100000: 500 };
const MOST_HOLD = 5;
const MOST_ATTACH = 30;

const PROCESS = fileURLToPath(new URL("./replace-process.mjs", import.meta.url));
const MEGABYTE = 1e6;

async function inProcess(signal, command, ...args) {
  const [file, ...rest] = [...command, process.execPath, "--expose-gc", PROCESS, ...args];
  return JSON.parse(await run(file, rest.map(String), { signal }));
}

const time = (what, measured, most) => state({ what, unit: "ms", digits: 1, most }, measured);
const memory = (what, bytes) => state({ what, unit: "MB", digits: 1 }, [bytes / MEGABYTE]);

async function measureSize(size, most, { rounds, signal }) {
  const rules = `${size.toLocaleString("en")} rules`;
  const what = `replace of ${rules}, all new`;
  const { times, turns, monitors } = await inProcess(signal, [], "time", size, rounds);
  const { kernel, rules: data, held, resident } = await inProcess(signal, [], "memory", size);
  return [
    time(what, times, most),
    time(`${what}: longest hold of the event loop`, turns, MOST_HOLD),
    time(`${what}: the same by monitorEventLoopDelay`, monitors),
    memory(`${rules}: memory in the kernel`, kernel),
    memory(`${rules}: memory of the rules as data, which are the caller's`, data),
    memory(`${rules}: memory of what sfunnel keeps beside them`, held),
    memory(`${rules}: resident memory of the process in all`, resident),
  ];
}

export async function measureReplace({ rounds, signal }) {
  const rows = [];
  for (const [size, most] of Object.entries(GOALS)) {
    rows.push(...(await measureSize(Number(size), most, { rounds: rounds ?? ROUNDS, signal })));
  }
  const alone = ["unshare", "--net", "--"];
  const attach = await inProcess(signal, alone, "attach", rounds ?? ATTACH_ROUNDS);
  const { fixed, resident } = await inProcess(signal, [], "memory", 2);
  return [
    ...rows,
    time("load and attach, 2 rules", attach.others, MOST_ATTACH),
    time("the first of a process", attach.first),
    memory("2 rules: memory in the kernel, of tables of fixed size", fixed),
    memory("2 rules: resident memory of the process in all", resident),
  ];
}
