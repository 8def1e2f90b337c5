// NetFlow (UDP 2055) between two network namespaces, in the shape of BGP (TCP 179):
//   node examples/udp-through-tcp.mjs eth0 CLIENT-NAMESPACE SERVER-NAMESPACE
import { once } from "node:events";
import { Funnel } from "sfunnel";

const [device, client, server] = process.argv.slice(2);
const near = await Funnel.load({ egress: "udp dport 2055 actions funnel tcp dport 179 sport 540" });
const far = await Funnel.load({ ingress: "tcp dport 179 actions unfunnel udp allow 2055" });
try {
  await near.attach(device, { netns: client });
  await far.attach(device, { netns: server });
  console.log("UDP 2055 travels as TCP 179 until Ctrl-D");
  await once(process.stdin.resume(), "end");
} finally {
  await Promise.all([near.close(), far.close()]);
}
