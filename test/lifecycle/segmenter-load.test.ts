/** The segmenter deleted again and again, with all that goes through it on its way. */
import { describe, expect, test } from "vitest";
import { Funnel } from "../../lib/index.ts";
import { expectTransfers } from "../support/http.ts";
import { eventually, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { SENDING } from "../support/segmenter.ts";

const PORT = 8080;
const LENGTH = 40_000_000;
const DELETIONS = 5;

describe.skipIf(skipReason !== undefined)(titled("a segmenter deleted under load"), () => {
  test("comes back, and what is in a transfer arrives whole", async () => {
    using lab = new Lab();
    const [client, server] = [lab.host("c"), lab.host("s")];
    lab.link(client, "eth0", "10.77.0.1/24", server, "eth0", "10.77.0.2/24");
    await using near = await Funnel.load({
      egress: `tcp dport ${PORT} actions funnel tcp dport 179 sport 540`,
    });
    await using far = await Funnel.load({
      ingress: `tcp dport 179 sport 540 actions unfunnel tcp allow ${PORT}`,
    });
    await near.attach("eth0", { netns: client.netns });
    await far.attach("eth0", { netns: server.netns });
    const segmented = async () => (await near.stats()).egress.outcomes.segmented.packets;
    let done = false;
    const transfer = expectTransfers(lab, server, client, "10.77.0.2", PORT, [
      { direction: "upload", length: LENGTH },
    ]).finally(() => {
      done = true;
    });
    let deletions = 0;
    while (!done && deletions < DELETIONS) {
      const before = await segmented();
      // It is in use, again.
      await eventually(async () => done || (await segmented()) > before);
      lab.run(client, "ip", "link", "del", SENDING);
      deletions++;
      await eventually(async () => (await near.stats()).segmenter.repairs >= deletions);
    }
    await transfer;
    const { segmenter, egress } = await near.stats();
    expect(segmenter).toMatchObject({ repairs: deletions, failedRepairs: 0 });
    expect(deletions).toBeGreaterThan(0);
    expect(egress.outcomes.segmented.packets).toBeGreaterThan(0);
    expect(egress.outcomes.failed.packets).toBe(0);
  });
});
