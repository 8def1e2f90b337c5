/** What nfacctd prints as JSON: its records of flows, and which routers come and go by BGP. */
import type { Message } from "./endpoint.ts";

/** Versions of exports, as their headers say them: NetFlow v9 and IPFIX. */
export const EXPORTS: readonly number[] = [9, 10];

export interface FlowRecord {
  /** Address that the export came from. */
  readonly router: string;
  readonly version: number;
  /** ASes up to the origin; "" where nfacctd knows no route of this router. */
  readonly path: string;
}

export function recordsOf(messages: readonly Message[]): readonly FlowRecord[] {
  return messages
    .filter((message) => message.event_type === "purge")
    .map((message) => ({
      router: String(message.peer_ip_src),
      version: Number(message.export_proto_version),
      path: String(message.as_path).replaceAll("_", " "),
    }));
}

/** Routers that have come and have not gone. */
export function sessionsOf(messages: readonly Message[]): ReadonlySet<string> {
  const routers = new Set<string>();
  for (const { event_type: event, peer_ip_src: router } of messages) {
    if (event === "log_init") routers.add(String(router));
    if (event === "log_close") routers.delete(String(router));
  }
  return routers;
}
