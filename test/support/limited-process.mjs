// A process with few capabilities that does everything that the package offers, and tells, as one
// line of JSON, what each call gave: node limited-process.mjs DEVICE RULESET-AS-JSON NETNS-PATH
import { readFileSync } from "node:fs";
import { Funnel } from "../../dist/index.js";

const [device, text, foreign] = process.argv.slice(2);
const ruleset = JSON.parse(text);
const told = {};

async function tell(name, work) {
  try {
    const result = await work();
    told[name] = "done";
    return result;
  } catch ({ code, errno, message, hint }) {
    told[name] = { code, errno, message, hint };
  }
}

const [, effective] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
told.capabilities = effective;
told.user = process.getuid();
const funnel = await tell("load", () => Funnel.load(ruleset));
if (funnel) {
  const [second, third] = [await Funnel.load(ruleset), await Funnel.load(ruleset)];
  told.hooks = [];
  const attach = async (from, options) => {
    const attachment = await from.attach(device, options);
    told.hooks.push(attachment.hook);
  };
  await tell("attach", () => attach(funnel, {}));
  await tell("take over", () => attach(second, {}));
  await tell("attach clsact", () => attach(funnel, { name: "filter", hook: "clsact" }));
  // The hook is not empty; but all that stands there is this process's own.
  const onTcx = { name: "lasting", hook: "tcx", lifetime: "device" };
  await tell("attach tcx to device", () => attach(third, onTcx));
  await third.close();
  const [fourth, fifth] = [await Funnel.load(ruleset), await Funnel.load(ruleset)];
  // Now one stands there of which nobody can tell.
  await tell("attach tcx beside", () => attach(fourth, onTcx));
  // Where names on tcx cannot be read, "auto" takes the hook where they can.
  await tell("attach to device", () => attach(fifth, { name: "stays", lifetime: "device" }));
  await tell("replace", () => funnel.replace(ruleset));
  await tell("stats", () => funnel.stats());
  await tell("testRun", () => funnel.testRun(new Uint8Array(60), { direction: "egress" }));
  await tell("enter namespace", () => funnel.attach(device, { netns: foreign }));
  for (const one of [funnel, second, fourth, fifth]) await tell("close", () => one.close());
}
console.log(JSON.stringify(told));
