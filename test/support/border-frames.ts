/** Frames of flows at the borders of rules, with all that TCP may show beside its ports. */
import type { Rule } from "../../lib/rules/types.ts";
import { addressesOf, borderFlow } from "./border-flows.ts";
import {
  FLAG,
  ipv4,
  ipv6,
  type Layer,
  payload,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
} from "./packet.ts";
import type { Random } from "./random.ts";
import { randomMark, randomPort } from "./random-frames.ts";

export function borderFrame(random: Random, rules: readonly Rule[]): Uint8Array {
  const flow = borderFlow(random, rules);
  const { sport, dport } = flow;
  const ports = { sport, dport };
  const layer = flow.transport === "udp" ? udpLayer(random, ports) : tcpLayer(random, ports);
  return flow.family === "ip" ? ipv4(addressesOf(flow), layer) : ipv6(addressesOf(flow), layer);
}

interface Ports {
  readonly sport: number;
  readonly dport: number;
}

function innerLayer(random: Random): Layer {
  const ports = { sport: randomPort(random), dport: randomPort(random) };
  return random.chance(50) ? udp(ports, payload(8)) : tcp(ports, payload(8));
}

function udpLayer(random: Random, ports: Ports): Layer {
  return random.chance(30) ? udpCarrier(ports, innerLayer(random)) : udp(ports, payload(8));
}

function tcpLayer(random: Random, ports: Ports): Layer {
  switch (random.below(5)) {
    case 0:
      return tcpCarrier(ports, innerLayer(random));
    case 1:
      return tcp({ ...ports, flags: FLAG.syn, ack: 0, ...randomMark(random) });
    case 2:
      return tcp({ ...ports, flags: FLAG.syn, ack: 0 });
    default:
      return tcp(ports, payload(8));
  }
}
