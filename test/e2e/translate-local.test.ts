/** Both ends on one host, over its loopback, with both rules there. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { FAMILIES } from "../support/family.ts";
import { counted } from "../support/flows.ts";
import { expectTransfers } from "../support/http.ts";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { CLIENT_RULE, SERVICE, SERVICE_RULE, WANTED } from "../support/translating.ts";
import { Sockets } from "../support/translating-sockets.ts";

const MB = 1_000_000;
const PAIRS = 100;
const LOOPBACK = { IPv4: "127.0.0.1", IPv6: "::1" } as const;

describe.skipIf(skipReason)(titled("over a loopback"), () => {
  let lab: Lab;
  let host: Host;
  let funnel: Funnel;

  beforeAll(async () => {
    lab = new Lab(FAMILIES);
    host = lab.host("host");
    funnel = await Funnel.load({ egress: CLIENT_RULE, ingress: SERVICE_RULE });
    await funnel.attach("lo", { netns: host.netns });
  });

  afterAll(async () => {
    await funnel?.close();
    lab?.[Symbol.dispose]();
  });

  it.each(FAMILIES)("%s", async (family) => {
    const address = LOOPBACK[family];
    await lab.endPrograms();
    const server = await Sockets.serving(lab, host, [SERVICE, WANTED]);
    const client = await Sockets.on(lab, host);
    const all = [SERVICE, WANTED].flatMap((port) =>
      Array.from({ length: PAIRS }, (_, index) => {
        const from = (family === "IPv4" ? 3000 : 4000) + index;
        return { key: `${port} from ${from}`, address, port, from };
      }),
    );
    const { connections: before } = await funnel.stats();
    for (const opening of all) await client.open(opening);
    const answers = await client.askAll(all.map(({ key }) => ({ key, text: key })));
    expect(answers).toMatchObject(all.map(({ key, port }) => ({ port, peer: address, text: key })));
    const { connections: after } = await funnel.stats();
    expect(after.remapped - before.remapped).toBeGreaterThanOrEqual(PAIRS);
    await server.gone();

    await expectTransfers(lab, host, host, address, WANTED, [
      { direction: "upload", length: 5 * MB },
      { direction: "download", length: 5 * MB },
    ]);
    // Each packet passes both hooks, whose rules are about different ones.
    for (const direction of ["egress", "ingress"] as const) {
      const met = await counted(funnel, direction);
      expect(met).not.toHaveProperty("translate_lost");
      expect(met).not.toHaveProperty("segmented");
    }
    expect(await counted(funnel, "egress")).toMatchObject({
      funneled: expect.any(Number),
      reply_funneled: expect.any(Number),
    });
    expect(await counted(funnel, "ingress")).toMatchObject({
      unfunneled: expect.any(Number),
      reply_unfunneled: expect.any(Number),
    });
  });
});
