// Service side: in the pod, port 8080 comes through port 80. Replies follow by themselves.
//
//   node service.mjs --interface eth0 [--namespace NAME-OR-PATH]
//
// Funnels until Ctrl-C. In Kubernetes an init container does this instead: see deployment.yaml.
import { once } from "node:events";
import { parseArgs } from "node:util";
import { Funnel } from "sfunnel";

const { values } = parseArgs({
  options: {
    interface: { type: "string", default: "eth0" },
    namespace: { type: "string" },
  },
});
const { interface: device, namespace } = values;

const funnel = await Funnel.load({
  ingress: "tcp dport 80 actions unfunnel translate tcp allow 8080",
});
try {
  // "device" instead of "process" would outlive this program, and go with the interface.
  await funnel.attach(device, { lifetime: "process", ...(namespace && { netns: namespace }) });
  console.log(`${device}: 8080 comes through 80`);
  const idle = setInterval(() => {}, 60_000);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  clearInterval(idle);

  const { ingress, egress } = await funnel.stats();
  const { unfunneled } = ingress.outcomes;
  const { reply_funneled } = egress.outcomes;
  console.log(`${unfunneled.packets} packets in, ${reply_funneled.packets} out`);
} finally {
  await funnel.close();
}
