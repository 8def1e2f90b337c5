/** The two tests that every network of a cluster has: affinity, and its control. */
import { it } from "vitest";
import {
  expectAddressesKept,
  type Network,
  type Place,
  planned,
  TRANSLATED,
  WAYS,
} from "./cluster-affinity.ts";
import type { Family } from "./family.ts";

export interface AffinityTests {
  /** Of the service, as clients ask for it; of IPv4. */
  readonly address: string;
  readonly families: readonly Family[];
  /** Clients that nobody else is, for the control and for each way. */
  readonly control: readonly string[];
  readonly groups: readonly (readonly string[])[];
}

/** Without sfunnel some clients are split; with it none is, whatever the way, and addresses stay. */
export function testAffinity<Each extends Network>(
  place: () => Place<Each>,
  { address, families, control, groups }: AffinityTests,
): void {
  it.each(families)("without sfunnel clients are split: %s", async (family) => {
    const clients = { family, address, sources: control, flows: TRANSLATED.asked };
    expectAddressesKept(await place().expectSplit(clients));
  });

  it.each(WAYS.map((way, index) => [way.title, way, groups[index] ?? []] as const))(
    "each client has one pod: %s",
    async (_, way, sources) => {
      const all = families.map((family) => ({ family, address, sources, flows: way.asked }));
      const rules = planned(way, [address], families);
      expectAddressesKept(await place().expectTogether(rules, all));
    },
  );
}
