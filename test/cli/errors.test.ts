/** Whatever is wrong: one clear line, an exit code, nothing attached. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Host, Lab } from "../support/lab.ts";
import { skipReason, titled } from "../support/native.ts";
import { attachedIn, type Call, sfunnel, shown, succeed } from "./sfunnel.ts";

const rule = "udp dport 5 actions accept";
const good = { SFUNNEL_RULESET: rule, RETRY_DELAY: "0", N_ATTEMPTS: "1" };

/** The first line; a source line and a caret may follow it. */
const caret = /^ {2}.*\n {2} *\^\n$/;

describe.skipIf(skipReason !== undefined)(titled("sfunnel refuses"), () => {
  let lab: Lab;
  let host: Host;
  beforeAll(() => {
    lab = new Lab();
    host = lab.host("a");
    lab.link(host, "eth0", "10.1.0.1/24", lab.host("b"), "eth0", "10.1.0.2/24");
    lab.run(host, "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2");
  });
  afterAll(() => lab[Symbol.dispose]());

  it.each<[string, Omit<Call, "host">, number, string]>([
    ["no ruleset", { env: {} }, 2, "no ruleset: set SFUNNEL_RULESET, or put the rules into"],
    [
      "an empty ruleset",
      { env: { SFUNNEL_RULESET: "# later" } },
      1,
      "no ruleset: SFUNNEL_RULESET holds no rule",
    ],
    [
      "a bad rule",
      { env: { ...good, SFUNNEL_RULESET: `${rule}\nudp dport 0 actions accept` } },
      1,
      "SFUNNEL_RULESET: line 2, column 11: expected a port (1 to 65535)",
    ],
    [
      "a bad rule for one of two directions",
      { env: { SFUNNEL_RULESET_INGRESS: rule, SFUNNEL_RULESET_EGRESS: "udp actions dnat" } },
      1,
      "SFUNNEL_RULESET_EGRESS: line 1, column 13: ",
    ],
    [
      "a carrier that comes back too soon",
      {
        env: {
          ...good,
          SFUNNEL_RULESET: "udp actions funnel tcp dport 179 sport 540-549 every 9s",
        },
      },
      1,
      "SFUNNEL_RULESET: line 1, column 54: the range comes round in 90 seconds ",
    ],
    [
      "an unknown interface",
      { env: { ...good, IFACES: "eth9" } },
      1,
      'no interface "eth9" in this network namespace (there are: ',
    ],
    [
      "one unknown interface of two",
      { env: { ...good, IFACES: "eth0 eth9" } },
      1,
      'no interface "eth9" in this network namespace (there are: ',
    ],
    [
      "an unknown namespace",
      { env: { ...good, NETNS: "nowhere" } },
      1,
      'network namespace "nowhere": there is none',
    ],
    [
      "a path that is no namespace",
      { env: { ...good, NETNS: "/etc/passwd" } },
      1,
      'network namespace "/etc/passwd": this is no network namespace',
    ],
    ["a bad DIRECTION", { env: { ...good, DIRECTION: "in" } }, 2, "DIRECTION must be ingress"],
    ["a bad N_ATTEMPTS", { env: { ...good, N_ATTEMPTS: "0" } }, 2, "N_ATTEMPTS must be a whole"],
    ["a bad RETRY_DELAY", { env: { ...good, RETRY_DELAY: "x" } }, 2, "RETRY_DELAY must be a n"],
    ["a bad CLEAN", { env: { ...good, CLEAN: "true" } }, 2, 'CLEAN must be 0 or 1, found "true"'],
    ["a bad DEBUG", { env: { ...good, DEBUG: "-" } }, 2, 'DEBUG must be 0 or 1, found "-"'],
    ["bad IFACES", { env: { ...good, IFACES: "eth0,eth1" } }, 2, 'IFACES holds "eth0,eth1"'],
    [
      "a bad SFUNNEL_NAME",
      { env: { ...good, SFUNNEL_NAME: "n".repeat(64) } },
      2,
      "SFUNNEL_NAME takes at most 53 bytes, found 64",
    ],
    [
      "no capabilities",
      { env: good, under: ["setpriv", "--bounding-set", "-bpf,-net_admin,-sys_admin"] },
      1,
      "not permitted (load): CAP_BPF and CAP_NET_ADMIN missing (",
    ],
    [
      "no CAP_BPF",
      { env: good, under: ["setpriv", "--bounding-set", "-bpf,-sys_admin"] },
      1,
      "not permitted (load): CAP_BPF missing (",
    ],
    [
      "an unprivileged user",
      { env: good, under: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] },
      1,
      "not permitted (load): CAP_BPF and CAP_NET_ADMIN missing (",
    ],
  ])("%s", async (_, call, expected, words) => {
    const { code, stdout, stderr } = sfunnel({ host, ...call });
    expect({ code, stdout }).toEqual({ code: expected, stdout: "" });
    const end = stderr.indexOf("\n") + 1;
    expect(stderr.slice(0, end)).toContain(`sfunnel: ${words}`);
    const rest = stderr.slice(end);
    if (rest !== "") expect(rest).toMatch(caret);
    expect(await shown(host)).toEqual([]);
  });

  it("another namespace without CAP_SYS_ADMIN", () => {
    const { code, stderr } = sfunnel({
      under: ["setpriv", "--bounding-set", "-sys_admin"],
      env: { ...good, NETNS: host.netns },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^sfunnel: not permitted \(enter network namespace\): CAP_SYS_ADMIN /);
  });

  it("to show or clean what it cannot see, instead of saying that there is nothing", async () => {
    succeed({ host, env: { ...good, IFACES: "eth0" } });
    const under = ["setpriv", "--bounding-set", "-sys_admin"];
    for (const args of [["show"], ["stats"], ["clean"]]) {
      const { code, stdout, stderr } = sfunnel({ host, under, args });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^sfunnel: not permitted \(.+\): CAP_SYS_ADMIN missing/);
    }
    expect(await attachedIn(host)).toEqual([`eth0 ingress default: ${rule}`]);
    succeed({ host, args: ["clean"] });
  });

  it("an interface on which it cannot stand, and takes back the others", async () => {
    // Without CAP_SYS_ADMIN it stands on clsact, whose place for egress is taken on eth1.
    lab.run(host, "tc", "qdisc", "add", "dev", "eth1", "ingress");
    const { code, stdout, stderr } = sfunnel({
      host,
      under: ["setpriv", "--bounding-set", "-all,+bpf,+net_admin"],
      env: { ...good, IFACES: "eth0 eth1", DIRECTION: "egress" },
    });
    lab.run(host, "tc", "qdisc", "delete", "dev", "eth1", "ingress");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^sfunnel: eth1: .+; taken off again: eth0\n$/);
    expect(await shown(host)).toEqual([]);
  });

  it.each<[string, string[], RegExp]>([
    [
      "an unknown command",
      ["shwo"],
      /^sfunnel: unknown command 'shwo'\n\(Did you mean show\?\)\n$/,
    ],
    [
      "an unknown option",
      ["show", "--jsn"],
      /^sfunnel: unknown option '--jsn'\n\(Did you mean --json\?\)\n$/,
    ],
    [
      "an unknown option without a command",
      ["--direction"],
      /^sfunnel: unknown option '--direction'\n$/,
    ],
    ["a second file", ["check", "a", "b"], /^sfunnel: too many arguments for 'check'/],
    [
      "a bad direction to clean",
      ["clean", "--direction", "in"],
      /'in' is invalid\. Allowed choices are ingress, egress, both/,
    ],
  ])("%s", (_, args, words) => {
    const { code, stdout, stderr } = sfunnel({ args });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(words);
  });

  it.each([["show"], ["stats"], ["clean"]])("%s of what is not there", (command) => {
    const device = sfunnel({ host, args: [command, "eth9"] });
    expect(device).toMatchObject({ code: 1, stdout: "" });
    expect(device.stderr).toMatch(/^sfunnel: no interface "eth9" in this network namespace/);
    const netns = sfunnel({ args: [command, "--netns", "nowhere"] });
    expect(netns).toMatchObject({ code: 1, stdout: "" });
    expect(netns.stderr).toMatch(/^sfunnel: network namespace "nowhere": there is none/);
  });
});
