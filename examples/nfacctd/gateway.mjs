// The gateway between the routers and the collectors' service: what goes to any port of the rules
// travels as the service's one port, and answers come back the same way.
//
//   node gateway.mjs --rules over-tcp/gateway.rules --interface eth1 --interface eth2
//
// Funnels until Ctrl-C. `--interface`: each one that leads to routers.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Funnel } from "sfunnel";

const { values } = parseArgs({
  options: {
    rules: { type: "string" },
    interface: { type: "string", multiple: true },
  },
});
const { rules, interface: interfaces = [] } = values;
if (!rules || interfaces.length === 0) throw new Error("give --rules and at least one --interface");

const funnel = await Funnel.load({ ingress: await readFile(rules, "utf8") });
try {
  for (const device of interfaces) await funnel.attach(device);
  console.log(`funneling on ${interfaces.join(", ")}`);
  const idle = setInterval(() => {}, 60_000);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  clearInterval(idle);

  const { outcomes } = (await funnel.stats()).ingress;
  console.log(`${outcomes.funneled.packets} packets funneled`);
} finally {
  await funnel.close();
}
