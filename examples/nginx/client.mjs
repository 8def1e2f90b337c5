// Client side: what goes to port 8080 of the service travels as port 80.
//
//   node client.mjs --service 203.0.113.1 --interface eth0 [--namespace NAME-OR-PATH]
//                   [--direction ingress]
//
// Funnels until Ctrl-C: at egress on the client itself, at ingress on a gateway, on the interface
// to its clients. The answers are handled at the other hook of the same interface.
import { once } from "node:events";
import { parseArgs } from "node:util";
import { Funnel, tcp } from "sfunnel";

const { values } = parseArgs({
  options: {
    service: { type: "string" },
    interface: { type: "string", default: "eth0" },
    namespace: { type: "string" },
    direction: { type: "string", default: "egress" },
  },
});
const { service, interface: device, namespace, direction } = values;
if (!service) throw new Error("the address of the service is missing: --service 203.0.113.1");

const funnel = await Funnel.load({
  [direction]: [tcp({ daddr: service, dport: 8080 }).funnel({ mode: "translate", dport: 80 })],
});
try {
  await funnel.attach(device, namespace ? { netns: namespace } : {});
  console.log(`${device}: ${service} port 8080 goes through port 80`);
  const idle = setInterval(() => {}, 60_000);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  clearInterval(idle);

  const { outcomes } = (await funnel.stats())[direction];
  console.log(`${outcomes.funneled.packets} packets funneled`);
} finally {
  await funnel.close();
}
