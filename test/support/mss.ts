/** The MSS option of the SYNs among frames, in carriers or without. */
import { type BulkFlow, isCarrier } from "./bulk.ts";
import { ipHeader, portsOf } from "./wire.ts";

const SYN = 2;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;

export interface Advertised {
  /** Each value that was seen, once. */
  readonly toServer: readonly number[];
  readonly toClient: readonly number[];
}

/** What the connections of a flow of TCP advertise, where they go in carriers. */
export function advertisedInCarriers(frames: readonly Uint8Array[], flow: BulkFlow): Advertised {
  const carriers = frames.filter((frame) => isCarrier(frame, flow));
  return advertisedBehind(carriers, flow.over === "tcp" ? 20 : 8, flow.port);
}

/** The same where they go without. */
export function advertised(frames: readonly Uint8Array[], { port }: BulkFlow): Advertised {
  const segments = frames.filter((frame) => portsOf(frame)?.transport === "tcp");
  return advertisedBehind(segments, 0, port);
}

/** With a carrier of so many bytes between IP and TCP. */
function advertisedBehind(
  frames: readonly Uint8Array[],
  carrier: number,
  port: number,
): Advertised {
  const toServer = new Set<number>();
  const toClient = new Set<number>();
  for (const frame of frames) {
    const start = (ipHeader(frame)?.end ?? 0) + carrier;
    const tcp = new DataView(frame.buffer, frame.byteOffset + start, frame.byteLength - start);
    if ((tcp.getUint8(13) & SYN) === 0) continue;
    const size = mssOption(tcp);
    if (size === undefined) throw new Error("a SYN without the option");
    if (tcp.getUint16(2) === port) toServer.add(size);
    if (tcp.getUint16(0) === port) toClient.add(size);
  }
  return { toServer: [...toServer], toClient: [...toClient] };
}

function mssOption(tcp: DataView): number | undefined {
  const end = (tcp.getUint8(12) >> 4) * 4;
  for (let at = 20; at < end; ) {
    const kind = tcp.getUint8(at);
    if (kind === OPTION_END) return undefined;
    if (kind === OPTION_MSS) return tcp.getUint16(at + 2);
    at += kind === OPTION_NOP ? 1 : tcp.getUint8(at + 1);
  }
  return undefined;
}
