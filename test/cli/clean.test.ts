/** What CLEAN=1 and `sfunnel clean` take away, and what not. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Funnel } from "../../lib/runtime/funnel.ts";
import { type Host, Lab } from "../support/lab.ts";
import { fixturePath, skipReason, titled } from "../support/native.ts";
import { NO_SEGMENTER, segmenterFor, segmenterIn } from "../support/segmenter.ts";
import { attachedIn, sfunnel, shown, succeed } from "./sfunnel.ts";

const rule = "udp dport 5 actions accept";

function hostIn(lab: Lab): Host {
  const host = lab.host("a");
  lab.run(host, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1");
  return host;
}

/** Attaches three times: two names on eth0, one of them on eth1, all in both directions. */
function attachSeveral(host: Host): void {
  const env = { SFUNNEL_RULESET: rule, DIRECTION: "both" };
  succeed({ host, env });
  succeed({ host, env: { ...env, SFUNNEL_NAME: "mine", IFACES: "eth0" } });
}

const several = [
  `eth0 egress default: ${rule}`,
  `eth0 egress mine: ${rule}`,
  `eth0 ingress default: ${rule}`,
  `eth0 ingress mine: ${rule}`,
  `eth1 egress default: ${rule}`,
  `eth1 ingress default: ${rule}`,
];

describe.skipIf(skipReason !== undefined)(titled("cleaning"), () => {
  it.each<[string, Record<string, string>, RegExp]>([
    ["ingress of all interfaces", {}, / ingress /],
    ["DIRECTION", { DIRECTION: "egress" }, / egress /],
    ["all", { DIRECTION: "both" }, /./],
    ["IFACES", { IFACES: "eth1", DIRECTION: "both" }, /^eth1 /],
    ["SFUNNEL_NAME", { SFUNNEL_NAME: "mine", DIRECTION: "both" }, / mine:/],
  ])("takes %s", async (_, env, removed) => {
    using lab = new Lab();
    const host = hostIn(lab);
    const left = several.filter((each) => !removed.test(each));
    attachSeveral(host);
    const lines = succeed({ host, env: { CLEAN: "1", ...env } })
      .trimEnd()
      .split("\n");
    expect(lines).toHaveLength(several.length - left.length);
    for (const line of lines) {
      expect(line).toMatch(/^eth[01]: removed "(default|mine)" from (in|e)gress \((tcx|clsact)\)$/);
    }
    expect(await attachedIn(host)).toEqual(left);
  });

  it("by the command takes options, and both directions by default", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    attachSeveral(host);
    const args = ["clean", "eth0", "--name", "default", "--direction", "egress"];
    succeed({ args: [...args, "--netns", host.netns] });
    expect(await attachedIn(host)).toEqual(several.slice(1));
    succeed({ host, args: ["clean", "eth0"] });
    expect(await attachedIn(host)).toEqual(several.slice(4));
    succeed({ host, args: ["clean"] });
    expect(await attachedIn(host)).toEqual([]);
  });

  it("takes what serves the replies along", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    const SFUNNEL_RULESET = "tcp dport 80 actions unfunnel tcp allow 8080";
    succeed({ host, env: { SFUNNEL_RULESET } });
    succeed({ host, env: { CLEAN: "1" } });
    expect(await shown(host)).toEqual([]);
  });

  it("leaves what serves the replies of one that stays", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    const egress = "udp dport 2055 actions funnel tcp dport 179 sport 540";
    succeed({ host, env: { IFACES: "eth0", SFUNNEL_RULESET: rule } });
    succeed({ host, env: { IFACES: "eth0", SFUNNEL_RULESET_EGRESS: egress } });
    expect(await attachedIn(host)).toEqual([
      `eth0 egress default: ${egress}`,
      `eth0 ingress default: ${rule}`,
    ]);
    succeed({ host, env: { CLEAN: "1" } });
    const left = (await shown(host)).map(({ direction, repliesOnly }) => ({
      direction,
      repliesOnly,
    }));
    expect(left).toEqual([
      { direction: "ingress", repliesOnly: true },
      { direction: "egress", repliesOnly: false },
    ]);
  });

  it("says that there is nothing to take, and does so again", () => {
    using lab = new Lab();
    const host = hostIn(lab);
    for (let time = 0; time < 2; time++) {
      expect(sfunnel({ host, env: { CLEAN: "1" } })).toEqual({
        ...{ code: 0, stdout: "nothing of sfunnel to remove\n", stderr: "" },
      });
    }
  });

  it("takes the segmenter with the last one, or when it was left behind", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    const env = { SFUNNEL_RULESET: rule };
    succeed({ host, env: { ...env, IFACES: "eth0" } });
    succeed({ host, env: { ...env, SFUNNEL_NAME: "mine", IFACES: "eth1" } });
    expect(await segmenterIn(host.netns)).toEqual(segmenterFor(0, 2));
    succeed({ host, env: { CLEAN: "1" } });
    expect(await segmenterIn(host.netns)).toEqual(NO_SEGMENTER);
    succeed({ host, env });
    lab.run(host, "ip", "link", "delete", "eth0");
    expect(await segmenterIn(host.netns)).toEqual(segmenterFor(0, 1));
    expect(succeed({ host, args: ["clean"] })).toBe("removed a segmenter that was left behind\n");
    expect(await segmenterIn(host.netns)).toEqual(NO_SEGMENTER);
  });

  it("does not wait for an interface", () => {
    using lab = new Lab();
    const { code, stderr } = sfunnel({
      host: hostIn(lab),
      env: { CLEAN: "1", IFACES: "eth9", RETRY_DELAY: "60" },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^sfunnel: no interface "eth9" in this network namespace.*\n$/);
  });

  it("leaves foreign filters and the qdisc", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    const filters = () =>
      ["ingress", "egress"].map((direction) =>
        lab.run(host, "tc", "filter", "show", "dev", "eth0", direction),
      );
    lab.run(host, "tc", "qdisc", "add", "dev", "eth0", "clsact");
    for (const direction of ["ingress", "egress"]) {
      const add = ["tc", "filter", "add", "dev", "eth0", direction, "prio", "7"];
      lab.run(host, ...(add as [string]), "bpf", "da", "bytecode", "1,6 0 0 4294967295,");
    }
    // Called as ours, but not ours: it has no map of names.
    lab.run(
      ...[host, "tc", "filter", "add", "dev", "eth0", "ingress", "prio", "8", "handle", "1"],
      ...["bpf", "da", "object-file", fixturePath("half"), "section", "tc"],
    );
    const before = filters();
    // Without CAP_SYS_ADMIN it stands on clsact, among them.
    const under = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin"];
    succeed({ host, under, env: { SFUNNEL_RULESET: rule, IFACES: "eth0", DIRECTION: "both" } });
    expect(await shown(host)).toMatchObject([{ hook: "clsact" }, { hook: "clsact" }]);
    expect(filters()).not.toEqual(before);
    succeed({ host, env: { CLEAN: "1", DIRECTION: "both" } });
    expect(filters()).toEqual(before);
    expect(lab.run(host, "tc", "qdisc", "show", "dev", "eth0")).toContain("qdisc clsact");
  });

  it("takes what another process has attached for its lifetime, too", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    await using funnel = await Funnel.load({ ingress: rule });
    await funnel.attach("eth0", { netns: host.netns, name: "library" });
    expect(await attachedIn(host)).toContain(`eth0 ingress library: ${rule}`);
    succeed({ host, args: ["clean"] });
    expect(await shown(host)).toEqual([]);
  });
});

describe.skipIf(skipReason !== undefined)(titled("a filter of the original sfunnel"), () => {
  it("is named, with the command that removes it", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    const folder = mkdtempSync(join(tmpdir(), "sfunnel-original-"));
    try {
      const object = join(folder, "tc_sfunnel.o");
      copyFileSync(fixturePath("half"), object);
      lab.run(host, "tc", "qdisc", "add", "dev", "eth0", "clsact");
      lab.run(
        ...[host, "tc", "filter", "add", "dev", "eth0", "ingress", "bpf", "da"],
        ...["obj", object, "sec", "tc"],
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
    // From outside, so that the command has to enter the namespace.
    const env = { SFUNNEL_RULESET: rule, NETNS: host.netns };
    const { code, stderr } = sfunnel({ env });
    expect(code).toBe(0);
    const [line = "", ...more] = stderr.trimEnd().split("\n");
    expect(more).toEqual([]);
    expect(line).toMatch(
      /^sfunnel: warning: eth0: a filter "tc_sfunnel\.o:\[tc\]".* on ingress \(priority 49152, handle 0x1\)/,
    );
    const [command = "", ...args] = (line.split("remove it with: ")[1] ?? "").split(" ");
    expect([command, ...args].slice(0, 4)).toEqual(["ip", "netns", "exec", host.netns]);
    lab.run(host, ...(args.slice(3) as [string, ...string[]]));
    expect(sfunnel({ env })).toMatchObject({ code: 0, stderr: "" });
    expect(await attachedIn(host)).toContain(`eth0 ingress default: ${rule}`);
  });
});
