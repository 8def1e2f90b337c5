/**
 * Frames made by hand between the hosts of a wire, in carriers and without: what a server's sockets
 * get of them, it answers, and the answers are compared with what was sent.
 */
import { expect } from "vitest";
import { type BulkFlow, CARRIER_PORT } from "./bulk.ts";
import { type Family, inFamily } from "./family.ts";
import { CLIENT, type Ends, hear, SERVER, type Wired } from "./frames.ts";
import { eventually, type Lab } from "./lab.ts";
import {
  ENDPOINTS,
  hex,
  ipv4,
  ipv6,
  type Layer,
  tcp,
  tcpCarrier,
  udp,
  udpCarrier,
} from "./packet.ts";

/** Hardware addresses of a wire's two devices, as frames from the client to the server have them. */
export interface Macs {
  readonly srcMac: string;
  readonly dstMac: string;
}

export function macsOf(lab: Lab, { client, server }: Wired): Macs {
  return { srcMac: lab.mac(client, "eth0"), dstMac: lab.mac(server, "eth0") };
}

/** A frame from the client to the server, which nobody may fragment. */
export function frameOf(family: Family, macs: Macs, layer: Layer): Uint8Array {
  const fields = { ...macs, src: inFamily(family, CLIENT), dst: inFamily(family, SERVER) };
  return family === "IPv4" ? ipv4({ ...fields, df: true }, layer) : ipv6(fields, layer);
}

/** A packet of a flow, and the same in its carrier. */
export function bothForms({ inner, over, port, service }: BulkFlow, content: Uint8Array): Layer[] {
  const flow = (inner === "tcp" ? tcp : udp)({ dport: port }, content);
  const carrier = over === "tcp" ? tcpCarrier : udpCarrier;
  return [flow, carrier({ sport: CARRIER_PORT, dport: service }, flow)];
}

/**
 * Sends frames from the client, of which so many are of UDP, each of these contents as often as
 * the others. Every one of them is answered, in a carrier, and every datagram with what was in it.
 */
export async function expectAnswers(
  lab: Lab,
  hosts: Wired,
  ends: Ends,
  frames: readonly Uint8Array[],
  datagrams: { readonly count: number; readonly contents: readonly Uint8Array[] },
): Promise<void> {
  const { count, contents } = datagrams;
  await ends.begin();
  const heard = await hear(lab, hosts.client, ENDPOINTS.sport, count);
  lab.sendFrames(hosts.client, "eth0", frames);
  const times = count / contents.length;
  const all = contents.flatMap((content) => Array.from({ length: times }, () => hex(content)));
  expect([...(await heard())].sort()).toEqual(all.sort());
  // Resets may still be on their way.
  await eventually(async () => (await ends.counts()).back.reply_unfunneled === frames.length);
  const half = frames.length / 2;
  expect(await ends.counts()).toEqual({
    // Those that were put into carriers by hand are none of the client's business.
    out: { funneled: half, no_match: half },
    arrived: { unfunneled: frames.length },
    // A segment of no connection is answered by a reset, if its checksum is right.
    answered: { reply_funneled: frames.length },
    back: { reply_unfunneled: frames.length },
  });
}
