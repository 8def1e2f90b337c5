/**
 * The program for kernels without bpf_loop (before 5.17) is the same source compiled again. Here
 * it only runs on this kernel, which it must suit as well: loads, and makes the same frames.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { HookTrait } from "../../lib/compile/abi.gen.ts";
import { parseRules } from "../../lib/index.ts";
import { simulate } from "../../lib/model/index.ts";
import { binding, isFailure, type NativeObject } from "../../lib/native/binding.ts";
import { hookNumber, RuleTables } from "../../lib/runtime/tables.ts";
import { testRun } from "../../lib/runtime/test-run.ts";
import { builtPath, runLimited } from "../support/limited.ts";
import { FLAG, hex, ipv4, mss, payload, tcp, udp } from "../support/packet.ts";

const path = new URL("../../dist/bpf/sfunnel-without-loop.bpf.o", import.meta.url);
const vectors = JSON.parse(
  readFileSync(new URL("../vectors/encap.json", import.meta.url), "utf8"),
) as { ruleset: string; input: string; output: string }[];

let object: NativeObject;
let tables: RuleTables;

beforeAll(async () => {
  const loaded = await binding().load(readFileSync(path), {});
  if (isFailure(loaded)) throw new Error(`${loaded.step}: ${loaded.log}`);
  object = loaded;
  tables = new RuleTables(object, binding().cpuNumbers);
});
afterAll(() => object.close());

it("loads in the variant that traces", async () => {
  const traced = new URL("../../dist/bpf/sfunnel-trace-without-loop.bpf.o", import.meta.url);
  const loaded = await binding().load(readFileSync(traced), {});
  expect(loaded).not.toHaveProperty("log");
  if (!isFailure(loaded)) loaded.close();
});

it("loads with CAP_BPF and CAP_NET_ADMIN alone", () => {
  const program = `import { readFileSync } from "node:fs";
    import { binding } from "${builtPath("native/binding.js")}";
    const loaded = await binding().load(readFileSync("${path.pathname}"), {});
    if ("errno" in loaded) throw new Error(loaded.log ?? loaded.step);`;
  expect(runLimited(["bpf", "net_admin"], program)).toEqual({ status: 0, stderr: "" });
});

it("makes the frames of the original", async () => {
  for (const { ruleset, input, output } of vectors) {
    const direction = ruleset.includes("unfunnel") ? "ingress" : "egress";
    const lists = { ingress: [], egress: [], [direction]: parseRules(ruleset) };
    await tables.replace(lists, "replace");
    const result = await testRun(object, Buffer.from(input, "hex"), direction);
    expect([ruleset, hex(result.frame)]).toEqual([ruleset, output]);
  }
});

it("finds the last of as many rules as it takes, and none behind", async () => {
  const ports = Array.from({ length: 256 }, (_, index) => 1000 + index);
  const rules = ports.map((port) => `udp dport ${port} actions drop`).join("\n");
  await tables.replace({ ingress: parseRules(rules), egress: [] }, "replace");
  for (const [port, rule] of [
    [1000, 0],
    [1255, 255],
    [1256, undefined],
  ] as const) {
    const result = await testRun(object, ipv4({}, udp({ dport: port })), "ingress");
    expect([port, result.rule]).toEqual([port, rule]);
  }
});

it("knows the MTU that it is told, and no other", async () => {
  const lists = { ingress: [], egress: parseRules("tcp actions funnel tcp dport 80 sport 540") };
  const direction = "egress";
  const frames = [
    ipv4({}, tcp({ flags: FLAG.syn, options: mss(1460) })),
    ipv4({ df: true }, tcp({}, payload(1400))),
  ];
  /** Interface 1 is loopback, where a frame of a test run passes unless it is told another. */
  const tell = (mtu: number) =>
    tables.setTraits(
      new Map([[hookNumber(1, direction), mtu << HookTrait.HOOK_MTU_SHIFT]]),
      "attach",
    );
  await tables.replace(lists, "replace");
  for (const mtu of [1400, 9000]) {
    await tell(mtu);
    for (const frame of frames) {
      const { outcome, frame: left } = await testRun(object, frame, direction);
      const expected = simulate(lists, frame, { direction, mtu });
      expect([mtu, outcome, hex(left)]).toEqual([mtu, expected.outcome, hex(expected.frame)]);
    }
  }
  expect(simulate(lists, frames[1] as Uint8Array, { direction, mtu: 1400 }).outcome).toBe(
    "too_big_reported",
  );
  await tables.setTraits(new Map(), "attach");
});
