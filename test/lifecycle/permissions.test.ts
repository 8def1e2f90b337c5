import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { CLIENT_RULES, countOf, NOTHING, on } from "../support/funnels.ts";
import { skipReason, titled } from "../support/native.ts";
import { deleteNetns, makeNetns, type TestNetns } from "../support/netns.ts";

const script = fileURLToPath(new URL("../support/limited-process.mjs", import.meta.url));
/** The user nobody, who must be able to read the checkout and the node that runs it. */
const NOBODY = 65_534;

/** Bits as in /proc/PID/status. */
const BITS = { net_admin: 12n, sys_admin: 21n, bpf: 39n };
type Capability = keyof typeof BITS;

/** Runs it as nobody with exactly these capabilities, in the namespace, which root enters for it. */
function runLimited(netns: TestNetns, capabilities: readonly Capability[]) {
  const list = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  const output = netns.run(
    "setpriv",
    ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--no-new-privs"],
    ...[`--inh-caps=${list}`, `--ambient-caps=${list}`, `--bounding-set=${list}`],
    ...[process.execPath, script, netns.device, JSON.stringify(CLIENT_RULES), makeNetns().path],
  );
  const told = JSON.parse(output) as Record<string, unknown>;
  const mask = capabilities.reduce((sum, name) => sum | (1n << BITS[name]), 0n);
  expect([told.user, BigInt(`0x${told.capabilities}`)]).toEqual([NOBODY, mask]);
  return told;
}

describe.skipIf(skipReason !== undefined)(titled("permissions"), () => {
  afterEach(deleteNetns);

  test("CAP_BPF and CAP_NET_ADMIN are enough for all but other namespaces", () => {
    const netns = makeNetns();
    const told = runLimited(netns, ["bpf", "net_admin"]);
    expect(told).toMatchObject({
      load: "done",
      attach: "done",
      "take over": "done",
      "attach clsact": "done",
      "attach tcx to device": "done",
      "attach to device": "done",
      replace: "done",
      stats: "done",
      testRun: "done",
      close: "done",
      "enter namespace": {
        code: "SFUNNEL_PERMISSION",
        errno: "EPERM",
        message: expect.stringMatching(
          /^attach: not permitted \(enter network namespace\): CAP_SYS_ADMIN missing \(/,
        ),
      },
    });
  });

  test("without CAP_SYS_ADMIN what stays goes where later processes find it", async () => {
    const netns = makeNetns();
    const first = runLimited(netns, ["bpf", "net_admin"]);
    // In the order of the script: three of lifetime "process", one each of "device".
    expect(first.hooks).toEqual(["tcx", "tcx", "clsact", "tcx", "clsact"]);
    const nobodyCanTell = {
      code: "SFUNNEL_PERMISSION",
      message: expect.stringContaining("CAP_SYS_ADMIN missing"),
      hint: expect.stringContaining('hook "clsact"'),
    };
    expect(first["attach tcx beside"]).toMatchObject(nobodyCanTell);
    const left = await on(netns);
    expect(countOf(left)).toEqual([1, 1, 1, 1]);
    // Again: the filter gives way; on tcx, nobody can tell whose it is.
    const second = runLimited(netns, ["bpf", "net_admin"]);
    expect(second["attach tcx to device"]).toMatchObject(nobodyCanTell);
    expect(second["attach to device"]).toBe("done");
    const after = await on(netns);
    expect(after.tcx).toEqual(left.tcx);
    expect(countOf(after)).toEqual([1, 1, 1, 1]);
    expect(after.clsact.egress).not.toEqual(left.clsact.egress);
  });

  test.each([
    { has: [], lacks: "CAP_BPF and CAP_NET_ADMIN" },
    { has: ["bpf"], lacks: "CAP_NET_ADMIN" },
    { has: ["net_admin"], lacks: "CAP_BPF" },
  ] as const)("load with no more than $has says what is missing", async ({ has, lacks }) => {
    const netns = makeNetns();
    const told = runLimited(netns, has);
    expect(Object.keys(told)).toEqual(["capabilities", "user", "load"]);
    expect(told.load).toEqual({
      code: "SFUNNEL_PERMISSION",
      errno: "EPERM",
      message: `load: not permitted (load): ${lacks} missing (run as root, or grant the capabilities to the process or the container)`,
      hint: "run as root, or grant the capabilities to the process or the container",
    });
    expect(await on(netns)).toEqual(NOTHING);
  });
});
