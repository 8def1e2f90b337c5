import { readFileSync } from "node:fs";

/** Bits of the capability sets, capability.h. */
const BITS = { CAP_NET_ADMIN: 12n, CAP_SYS_ADMIN: 21n, CAP_PERFMON: 38n, CAP_BPF: 39n } as const;

/** CAP_SYS_ADMIN has included them since they were split off in 5.8. */
const PARTS_OF_SYS_ADMIN: ReadonlySet<Capability> = new Set(["CAP_BPF", "CAP_PERFMON"]);

export type Capability = keyof typeof BITS;

/** Which of these capabilities the process lacks; empty where /proc does not tell. */
export function missingCapabilities(wanted: readonly Capability[]): Capability[] {
  let status: string;
  try {
    status = readFileSync("/proc/self/status", "utf8");
  } catch {
    return [];
  }
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (mask === undefined) return [];
  const effective = BigInt(`0x${mask}`);
  const has = (name: Capability) => (effective & (1n << BITS[name])) !== 0n;
  return wanted.filter(
    (name) => !has(name) && !(PARTS_OF_SYS_ADMIN.has(name) && has("CAP_SYS_ADMIN")),
  );
}
