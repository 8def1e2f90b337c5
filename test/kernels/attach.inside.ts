/** Runs in a guest: which hook the kernel has, and that it is left as it was. */
import { release } from "node:os";
import { describe, expect, it } from "vitest";
import { Funnel, parseRules } from "../../lib/index.ts";
import { simulate } from "../../lib/model/index.ts";
import { binding } from "../../lib/native/binding.ts";
import { isSince } from "../support/kernel.ts";
import { Lab } from "../support/lab.ts";
import { builtPath, runLimited } from "../support/limited.ts";
import { must } from "../support/native.ts";
import { hex, ipv4, payload, tcp } from "../support/packet.ts";

/** tcx came with Linux 6.6. */
const HOOK = isSince(6, 6) ? "tcx" : "clsact";

/** Before 5.11 what BPF takes counts as locked memory, of which a process has little. */
const CAPABILITIES = ["bpf", "net_admin", ...(isSince(5, 11) ? [] : ["sys_resource"])];

const RULES = { egress: "udp dport 2055 actions funnel tcp dport 179 sport 540" };
const NOTHING = { kind: "", filters: [] };

describe(`attach on ${release()}`, () => {
  it.each([false, true])("the verifier takes the program (trace: %s)", async (trace) => {
    await using funnel = await Funnel.load(RULES, { trace });
    expect((await funnel.stats()).egress.outcomes.funneled.packets).toBe(0);
  });

  it(`${CAPABILITIES.join(" and ")} are enough to load it`, () => {
    const program = `import { Funnel } from "${builtPath("index.js")}";
      await (await Funnel.load({})).close();`;
    expect(runLimited(CAPABILITIES, program)).toEqual({ status: 0, stderr: "" });
  });

  it(`takes ${HOOK}, and gives it back`, async () => {
    using lab = new Lab();
    const host = lab.host("h");
    lab.link(host, "eth0", "10.0.0.1/24", host, "eth1", "10.0.0.2/24");
    const path = `/run/netns/${host.netns}`;
    const { ifindex } = must(await binding().device(path, "eth0"));
    await using funnel = await Funnel.load(RULES);

    const attachment = await funnel.attach("eth0", { netns: host.netns });
    expect(attachment).toMatchObject({ hook: HOOK, directions: ["ingress", "egress"] });
    const { kind, filters } = must(await binding().qdisc(path, ifindex));
    expect({ kind, filters: filters.length }).toEqual(
      HOOK === "tcx" ? { kind: "", filters: 0 } : { kind: "clsact", filters: 2 },
    );

    await attachment.close();
    expect(must(await binding().qdisc(path, ifindex))).toEqual(NOTHING);
  });

  it("knows the MTU of the interface", async () => {
    using lab = new Lab();
    const host = lab.host("h");
    lab.link(host, "eth0", "10.0.0.1/24", host, "eth1", "10.0.0.2/24");
    const egress = "tcp actions funnel tcp dport 80 sport 540";
    await using funnel = await Funnel.load({ egress });
    await funnel.attach("eth0", { netns: host.netns });
    const place = { direction: "egress", device: "eth0", netns: host.netns } as const;
    const full = ipv4({ df: true }, tcp({}, payload(1460)));
    const { outcome, frame } = await funnel.testRun(full, place);
    const expected = simulate({ egress: parseRules(egress) }, full, {
      direction: "egress",
      mtu: 1500,
    });
    expect({ outcome, frame: hex(frame) }).toEqual({
      outcome: "too_big_reported",
      frame: hex(expected.frame),
    });
  });

  it("says what is missing where tcx is asked for", async ({ skip }) => {
    if (HOOK === "tcx") skip("this kernel has it");
    using lab = new Lab();
    const host = lab.host("h");
    lab.link(host, "eth0", "10.0.0.1/24", host, "eth1", "10.0.0.2/24");
    await using funnel = await Funnel.load(RULES);
    const attached = funnel.attach("eth0", { netns: host.netns, hook: "tcx" });
    await expect(attached).rejects.toMatchObject({ code: expect.stringMatching(/^SFUNNEL_/) });
  });
});
