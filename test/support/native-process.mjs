// A process, or a worker in it, that loads and attaches with the addon and then ends in the
// way it is told to: node native-process.mjs WHERE HOW NETNS IFINDEX OBJECT [DELAY], see `ends`.
// DELAY: milliseconds from the start of the calls to the end, to hit them at different stages.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";

const [where, how, netns, ifindex, object, delay = "0"] = process.argv.slice(2);
const root = fileURLToPath(new URL("../../", import.meta.url));
const addon = createRequire(import.meta.url)("node-gyp-build")(root);

function must(result) {
  if (result?.errno !== undefined) throw new Error(`${result.step}: errno ${result.errno}`);
  return result;
}

/** Held to the end: it is not for the garbage collector to clean up. */
const held = [];

async function attachAll() {
  const loaded = must(await addon.load(readFileSync(object), {}));
  held.push(loaded);
  const [path, device] = [netns, Number(ifindex)];
  held.push(must(await loaded.attachClsact(path, device, 0, 1, 1, false)));
  held.push(must(await loaded.attachClsact(path, device, 1, 2, 2, how === "persist")));
  held.push(must(await loaded.attachTcx(path, device, 0, true, true, 0)));
  held.push(must(await loaded.attachTcx(path, device, 1, true, false, 0)));
}

/** Calls that are under way, or queued, when the end comes. */
function startMuch() {
  const bytes = readFileSync(object);
  for (let i = 0; i < 20; i++) {
    addon.load(bytes, {}).then((loaded) => {
      must(loaded).attachClsact(netns, Number(ifindex), 0, 100 + i, 1, false);
      loaded.testRun(1, new Uint8Array(60), new Uint32Array(5), 10_000);
    });
    addon.devices(netns);
  }
}

const ends = {
  end: () => {},
  persist: () => {},
  exit: () => process.exit(0),
  throw: () => {
    throw new Error("on purpose");
  },
  kill: () => process.kill(process.pid, "SIGKILL"),
  busy: () => {
    startMuch();
    setTimeout(() => process.exit(0), Number(delay));
  },
  // For a worker: its parent terminates it.
  terminate: () => {
    parentPort.postMessage("ready");
    setInterval(() => {}, 1000);
  },
  terminateBusy: () => {
    startMuch();
    parentPort.postMessage("ready");
    setInterval(() => {}, 1000);
  },
};

if (where === "worker" && isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) });
  worker.on("message", () => setTimeout(() => worker.terminate(), Number(delay)));
  worker.on("error", (error) => {
    if (error.message !== "on purpose") throw error;
  });
  await new Promise((resolve) => worker.on("exit", resolve));
  // The process lives on; what the worker held must be gone all the same.
  console.log(JSON.stringify(await addon.qdisc(netns, Number(ifindex))));
  console.log(JSON.stringify(await addon.tcxPrograms(netns, Number(ifindex), 0)));
} else {
  await attachAll();
  ends[how]();
}
