// A process, or a worker in it, that uses the package as it is built, and ends as it is told to:
// node funnel-process.mjs TASK-AS-JSON, see ChildTask in funnels.ts. Prints "ready" when it
// stands, then: end, exit, throw, kill, close (its Funnel, then end), hold (until stdin ends),
// insist (attach and replace, over and over), churn (detach in between as well), terminate (for a
// worker: by its parent).
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { Funnel } from "../../dist/index.js";

const text = process.argv[2];
const task = JSON.parse(text);
const { where = "process", how, device, options, ruleset } = task;
const { also = [], delays = [0], from = "ready" } = task;
const places = [{ device, options }, ...also];

/** Held to the end: it is not for the garbage collector to clean up. */
const held = [];

function ready() {
  if (parentPort) parentPort.postMessage("ready");
  else process.stdout.write("ready\n");
}

async function attach() {
  const funnel = await Funnel.load(ruleset);
  held.push(funnel);
  for (const place of places) held.push(await funnel.attach(place.device, place.options));
  return funnel;
}

/** Takes the name again and again from whoever has it. */
async function insist(funnel, detach) {
  setTimeout(() => process.exit(1), 30_000);
  for (;;) {
    for (const place of places) {
      const attachment = await funnel.attach(place.device, place.options);
      if (detach) await attachment.close();
    }
    await funnel.replace(ruleset);
  }
}

const stay = () => setInterval(() => {}, 1000);

const ends = {
  end: () => {},
  exit: () => process.exit(0),
  throw: () => {
    throw new Error("on purpose");
  },
  kill: () => process.kill(process.pid, "SIGKILL"),
  close: (funnel) => funnel.close(),
  hold: async () => {
    process.stdin.resume();
    const timer = setTimeout(() => process.exit(1), 30_000);
    await new Promise((resolve) => process.stdin.once("end", resolve));
    clearTimeout(timer);
  },
  insist: (funnel) => insist(funnel, false),
  churn: (funnel) => insist(funnel, true),
  terminate: stay,
};

if (where === "worker" && isMainThread) {
  for (const delay of delays) {
    const worker = new Worker(new URL(import.meta.url), { argv: [text] });
    worker.on(from === "ready" ? "message" : "online", () =>
      setTimeout(() => worker.terminate(), delay),
    );
    worker.on("error", (error) => {
      if (error.message !== "on purpose") throw error;
    });
    await new Promise((resolve) => worker.on("exit", resolve));
  }
  // The process lives on until it is told to end: what a worker held must have gone by now.
  process.stdout.write("ready\n");
  await ends.hold();
} else {
  const funnel = await attach();
  ready();
  await ends[how](funnel);
}
