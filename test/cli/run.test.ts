/** `sfunnel` without arguments, row by row of the environment's table, in namespaces. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { binding, isFailure } from "../../lib/native/binding.ts";
import { eventually, type Host, Lab } from "../support/lab.ts";
import { addOddLink } from "../support/link-type.ts";
import { skipReason, titled } from "../support/native.ts";
import { attachedIn, empty, Running, type Shown, sfunnel, shown, succeed } from "./sfunnel.ts";

const rule = "tcp dport 179 actions unfunnel udp allow 2055";
const other = "udp dport 5 actions accept";

/** A host with the devices eth0 and eth1 (the other ends are in another host). */
function hostIn(lab: Lab): Host {
  const [host, far] = [lab.host("a"), lab.host("b")];
  lab.link(host, "eth0", "10.1.0.1/24", far, "eth0", "10.1.0.2/24");
  lab.link(host, "eth1", "10.2.0.1/24", far, "eth1", "10.2.0.2/24");
  return host;
}

/** Runs it with a rules file of its own: a mount namespace hides the machine's /etc. */
function withFile(file: string): string[] {
  const script =
    'mount -t tmpfs none /etc && mkdir /etc/sfunnel && printf %s "$0" > /etc/sfunnel/ruleset && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, file];
}

function withoutReplies(entries: readonly Shown[]): Shown[] {
  return entries.filter(({ repliesOnly }) => !repliesOnly);
}

describe.skipIf(skipReason !== undefined)(titled("sfunnel"), () => {
  let lab: Lab;
  let host: Host;
  beforeAll(() => {
    lab = new Lab();
    host = hostIn(lab);
  });
  afterAll(() => lab[Symbol.dispose]());

  /** Runs it in an emptied host and tells what is attached then. */
  async function run(env: Readonly<Record<string, string>>, under?: readonly string[]) {
    await empty(host);
    succeed({ host, env, ...(under && { under }) });
    return attachedIn(host);
  }

  it("leaves out what has no IP packets, and refuses it by name", () => {
    using lab = new Lab();
    const mixed = lab.host("a");
    lab.ip(mixed, "tuntap", "add", "tun0", "mode", "tun");
    addOddLink(mixed.netns, "odd0");
    const env = { SFUNNEL_RULESET: rule };
    expect(sfunnel({ host: mixed, env })).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^tun0: attached to ingress .*\n$/),
      stderr:
        "sfunnel: warning: odd0 is left out: its packets begin with no Ethernet or IP header\n",
    });
    const { code, stderr } = sfunnel({ host: mixed, env: { ...env, IFACES: "odd0" } });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^sfunnel: odd0: packets on odd0 begin neither .*\n$/);
  });

  it("attaches SFUNNEL_RULESET to ingress of all interfaces but lo, and says so", async () => {
    await empty(host);
    const { code, stdout, stderr } = sfunnel({ host, env: { SFUNNEL_RULESET: rule } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n").sort();
    expect(lines).toHaveLength(2);
    for (const [index, line] of lines.entries()) {
      expect(line).toMatch(
        new RegExp(
          `^eth${index}: attached to ingress \\(1 rule\\).* with (tcx|clsact) as "default"$`,
        ),
      );
    }
    expect(await attachedIn(host)).toEqual([
      `eth0 ingress default: ${rule}`,
      `eth1 ingress default: ${rule}`,
    ]);
  });

  it("leaves out the segmenter that it made before, and does not show it", async () => {
    await empty(host);
    const env = { SFUNNEL_RULESET: rule };
    const first = succeed({ host, env });
    expect(lab.run(host, "ip", "link", "show")).toContain("sfunnel.seg");
    expect(succeed({ host, env })).toBe(first);
    expect((await shown(host)).map(({ device }) => device)).toEqual([
      "eth0",
      "eth0",
      "eth1",
      "eth1",
    ]);
    expect(
      sfunnel({ host, env: { ...env, IFACES: "sfunnel.seg", N_ATTEMPTS: "1" } }),
    ).toMatchObject({
      ...{ code: 1, stderr: expect.stringContaining('no interface "sfunnel.seg"') },
    });
  });

  it("reads the file where no variable has rules", async () => {
    expect(await run({ IFACES: "eth0" }, withFile(`# a comment\n${rule}\n`))).toEqual([
      `eth0 ingress default: ${rule}`,
    ]);
  });

  it("prefers SFUNNEL_RULESET to the file", async () => {
    expect(await run({ IFACES: "eth0", SFUNNEL_RULESET: rule }, withFile(other))).toEqual([
      `eth0 ingress default: ${rule}`,
    ]);
  });

  it("attaches SFUNNEL_RULESET_INGRESS and SFUNNEL_RULESET_EGRESS together", async () => {
    expect(
      await run({ IFACES: "eth0", SFUNNEL_RULESET_INGRESS: rule, SFUNNEL_RULESET_EGRESS: other }),
    ).toEqual([`eth0 egress default: ${other}`, `eth0 ingress default: ${rule}`]);
    const funnels = new Set((await shown(host)).map((entry) => entry.funnelId));
    expect(funnels.size).toBe(1);
  });

  it("attaches SFUNNEL_RULESET_EGRESS alone to egress", async () => {
    expect(await run({ IFACES: "eth0", SFUNNEL_RULESET_EGRESS: other })).toEqual([
      `eth0 egress default: ${other}`,
    ]);
  });

  it.each([
    ["egress", [`eth0 egress default: ${other}`]],
    ["both", [`eth0 egress default: ${other}`, `eth0 ingress default: ${other}`]],
  ])("takes DIRECTION=%s", async (DIRECTION, expected) => {
    expect(await run({ IFACES: "eth0", SFUNNEL_RULESET: other, DIRECTION })).toEqual(expected);
  });

  it("takes IFACES", async () => {
    expect(await run({ SFUNNEL_RULESET: rule, IFACES: "eth1" })).toEqual([
      `eth1 ingress default: ${rule}`,
    ]);
  });

  it("lets several names share an interface", async () => {
    await run({ IFACES: "eth0", SFUNNEL_RULESET: rule });
    succeed({ host, env: { IFACES: "eth0", SFUNNEL_RULESET: other, SFUNNEL_NAME: "mine" } });
    expect(await attachedIn(host)).toEqual([
      `eth0 ingress default: ${rule}`,
      `eth0 ingress mine: ${other}`,
    ]);
  });

  it.each([
    ["name", (netns: string) => netns],
    ["path", (netns: string) => `/run/netns/${netns}`],
  ])("takes NETNS as a %s", async (_, spell) => {
    await empty(host);
    succeed({ env: { SFUNNEL_RULESET: rule, IFACES: "eth0", NETNS: spell(host.netns) } });
    expect(await attachedIn(host)).toEqual([`eth0 ingress default: ${rule}`]);
    succeed({ env: { CLEAN: "1", NETNS: spell(host.netns) } });
    expect(await shown(host)).toEqual([]);
  });

  it("tells its steps with DEBUG=1, and says nothing there without", () => {
    const env = { SFUNNEL_RULESET: rule, IFACES: "eth0" };
    const quiet = sfunnel({ host, env });
    const loud = sfunnel({ host, env: { ...env, DEBUG: "1" } });
    expect(quiet).toMatchObject({ code: 0, stderr: "" });
    expect(loud).toMatchObject({ code: 0, stdout: quiet.stdout });
    expect(loud.stderr).toMatch(/^(sfunnel: debug: .+\n)+$/);
    expect(loud.stderr).toContain("eth0: attached to ingress");
  });

  it("prints what the rules probably do not mean, and loads them all the same", () => {
    const { code, stderr } = sfunnel({
      host,
      env: { IFACES: "eth0", SFUNNEL_RULESET: "tcp dport 80 actions unfunnel tcp" },
    });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^sfunnel: SFUNNEL_RULESET: line 1, column 22: warning: .+ allow /);
  });

  it("replaces what it attached before under the same name, and never stacks", async () => {
    await run({ SFUNNEL_RULESET: rule, IFACES: "eth0" });
    const [first] = withoutReplies(await shown(host));
    expect(succeed({ host, env: { SFUNNEL_RULESET: other, IFACES: "eth0" } })).toContain("eth0");
    const after = withoutReplies(await shown(host));
    expect(after).toHaveLength(1);
    expect(after[0]?.rules).toMatchObject([{ rule: other }]);
    expect(after[0]?.programId).not.toBe(first?.programId);
  });

  it("does the same as `sfunnel run`", async () => {
    await empty(host);
    succeed({ host, args: ["run"], env: { SFUNNEL_RULESET: rule, IFACES: "eth1" } });
    expect(await attachedIn(host)).toEqual([`eth1 ingress default: ${rule}`]);
  });

  it("keeps the directions of two runs of one name apart", async () => {
    await run({ SFUNNEL_RULESET_INGRESS: rule, IFACES: "eth0" });
    succeed({ host, env: { SFUNNEL_RULESET_EGRESS: other, IFACES: "eth0" } });
    expect(await attachedIn(host)).toEqual([
      `eth0 egress default: ${other}`,
      `eth0 ingress default: ${rule}`,
    ]);
  });
});

describe.skipIf(skipReason !== undefined)(titled("what sfunnel attached"), () => {
  it("outlives it, is pinned nowhere, and goes with the device", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    const bpffs = () => readdirSync("/sys/fs/bpf", { recursive: true }).sort();
    const before = bpffs();
    succeed({ host, env: { SFUNNEL_RULESET: rule, IFACES: "eth0" } });
    expect(bpffs()).toEqual(before);
    const programs = (await shown(host)).map(({ programId }) => programId);
    expect(programs.length).toBeGreaterThan(0);
    lab.run(host, "ip", "link", "delete", "eth0");
    // The kernel frees them when no packet is under way any more.
    for (const id of programs) {
      await eventually(async () => isFailure(await binding().program(id)));
    }
  });

  it("is found again by its filter without CAP_SYS_ADMIN, and replaced", async () => {
    using lab = new Lab();
    const host = hostIn(lab);
    const under = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin"];
    for (const SFUNNEL_RULESET of [rule, other]) {
      succeed({ host, under, env: { SFUNNEL_RULESET, IFACES: "eth0" } });
    }
    expect(withoutReplies(await shown(host))).toMatchObject([
      { device: "eth0", hook: "clsact", rules: [{ rule: other }] },
    ]);
  });
});

describe.skipIf(skipReason !== undefined)(titled("an interface that is not there"), () => {
  const absent = { SFUNNEL_RULESET: rule, IFACES: "late" };

  it("is waited for", async () => {
    using lab = new Lab();
    const host = lab.host("a");
    using running = new Running({
      host,
      env: { ...absent, N_ATTEMPTS: "1000", RETRY_DELAY: "0.05" },
    });
    await running.says("again in 0.05 s");
    lab.run(host, "ip", "link", "add", "late", "type", "veth", "peer", "name", "peer");
    const { code, stdout } = await running.ended();
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/^late: /) });
    expect(await attachedIn(host)).toEqual([`late ingress default: ${rule}`]);
  });

  it("is waited for where no interface is named and lo is alone", async () => {
    using lab = new Lab();
    const host = lab.host("a");
    const env = { SFUNNEL_RULESET: rule, N_ATTEMPTS: "1000", RETRY_DELAY: "0.05" };
    using running = new Running({ host, env });
    await running.says("no interface but lo in this network namespace; again");
    lab.run(host, "ip", "link", "add", "late", "type", "veth", "peer", "name", "peer");
    expect((await running.ended()).code).toBe(0);
    expect(await attachedIn(host)).toContain(`late ingress default: ${rule}`);
  });

  it.each([
    [{}, 6],
    [{ N_ATTEMPTS: "3" }, 3],
    [{ N_ATTEMPTS: "1" }, 1],
  ])("is given up with %j after %i attempts", async (given, attempts) => {
    using lab = new Lab();
    const host = hostIn(lab);
    const env = { ...absent, IFACES: "eth0 late", RETRY_DELAY: "0", ...given };
    const { code, stdout, stderr } = sfunnel({ host, env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(attempts);
    const what = 'sfunnel: no interface "late" in this network namespace (there are: ';
    for (const line of lines) expect(line).toContain(what);
    expect(lines.filter((line) => line.includes("again in 0 s"))).toHaveLength(attempts - 1);
    expect(await shown(host)).toEqual([]);
  });

  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("is waited for no longer after %s", async (signal, expected) => {
    using lab = new Lab();
    using running = new Running({ host: lab.host("a"), env: { ...absent, RETRY_DELAY: "60" } });
    await running.says("again in 60 s");
    running.signal(signal);
    const { code, stderr } = await running.ended();
    expect(code).toBe(expected);
    expect(stderr).toContain(`sfunnel: stopped by ${signal}; nothing is attached\n`);
  });
});
