/**
 * Many connections from few ports, some to the service port and some through it, ended in every way,
 * all at once: each byte gets where it was meant to.
 */
import { describe, expect, it } from "vitest";
import { eventually } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import {
  onClient,
  onGateway,
  podIn,
  SERVICE,
  threeHosts,
  useSides,
  WANTED,
} from "../support/translating.ts";

const ALSO_WANTED = 8443;
const PORTS = [SERVICE, WANTED, ALSO_WANTED];
const FROMS = Array.from({ length: 30 }, (_, index) => 3000 + index);
const TIMES = 20;

const RULES = {
  near: `tcp dport {${WANTED}, ${ALSO_WANTED}} actions funnel translate tcp dport ${SERVICE}`,
  far: `tcp dport ${SERVICE} actions unfunnel translate tcp allow {${WANTED}, ${ALSO_WANTED}}`,
};

const PLACES = [
  { title: "on the client, at egress", near: onClient, family: "IPv4" },
  { title: "on a gateway, at ingress", near: onGateway, family: "IPv6" },
] as const;

describe.skipIf(skipReason)(titled("many from few ports"), () => {
  describe.each(PLACES)("$title: $family", ({ near, family }) => {
    const shared = useSides(threeHosts, near);

    it("all get where they want to", async () => {
      const { sides, talk } = shared();
      await sides.begin(RULES);
      const { pod, client } = await talk(PORTS, { pinned: true });
      const address = podIn(family);
      const wrong = await client.churn({ address, ports: PORTS, froms: FROMS, times: TIMES });
      expect(wrong).toEqual([]);
      let heard = 0;
      for (const port of PORTS) {
        const lines = await pod.seen(port);
        expect(lines.every(([, , text]) => text.endsWith(`to ${port}`))).toBe(true);
        heard += lines.length;
      }
      expect(heard).toBe(2 * FROMS.length * TIMES);

      // There is a place for each port that they come from and each that they go to, and no more.
      await eventually(async () => (await sides.near.connections()).entries <= places());
      expect(await sides.far.connections()).toMatchObject({ remapped: 0, notAdded: 0 });
      for (const counts of Object.values(await sides.counts())) {
        for (const outcome of [
          "translate_lost",
          "translate_challenged",
          "no_free_port",
          "failed",
        ]) {
          expect(counts).not.toHaveProperty(outcome);
        }
      }
    });
  });

  const places = () => FROMS.length * PORTS.length;
});
