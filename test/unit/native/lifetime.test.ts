import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { binding } from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import {
  attached,
  collectGarbage,
  EGRESS,
  fixture,
  fixturePath,
  INGRESS,
  loadFixture,
  must,
  mustFail,
  openDescriptors,
  putArray,
  releaseAll,
  skipReason,
  titled,
} from "../../support/native.ts";
import { deleteNetns, makeNetns } from "../../support/netns.ts";

const script = fileURLToPath(new URL("../../support/native-process.mjs", import.meta.url));
/** Pending calls at different stages when the worker is terminated; see the script. */
const terminations = [0, 2, 4, 8, 16].map((delay) => `terminateBusy ${delay}`);
const noWords = new Uint32Array(5);

async function place() {
  const { path, device } = makeNetns();
  const { ifindex } = must(await binding().device(path, device));
  return {
    path,
    ifindex,
    qdisc: async () => must(await binding().qdisc(path, ifindex)),
    programs: async (direction: 0 | 1) =>
      must(await binding().tcxPrograms(path, ifindex, direction)),
  };
}

describe.skipIf(skipReason !== undefined)(titled("lifetime"), () => {
  afterEach(async () => {
    await releaseAll();
    deleteNetns();
  });

  test("leaves no descriptor behind, whatever was done and failed", async () => {
    const { path, ifindex } = await place();
    const bytes = fixture("native");
    const before = openDescriptors();
    for (let cycle = 0; cycle < 200; cycle++) {
      const object = must(await binding().load(bytes, {}));
      must((await putArray(object, "rulesets", 0, new Uint8Array(80), 10)) ?? {});
      must(await object.testRun(INGRESS, new Uint8Array(60), noWords, 1));
      if (cycle % 10 === 0) {
        const attachments = [
          must(await object.attachTcx(path, ifindex, INGRESS, true, true, 0)),
          must(await object.attachTcx(path, ifindex, EGRESS, true, false, 0)),
          must(await object.attachClsact(path, ifindex, EGRESS, 1, 1, false)),
        ];
        for (const attachment of attachments) expect(await attachment.detach()).toBeUndefined();
        mustFail(await object.attachTcx(path, 9999, INGRESS, true, true, 0));
        mustFail(await object.attachClsact(path, 9999, INGRESS, 1, 1, false));
        mustFail(await putArray(object, "rulesets", 0, new Uint8Array(12), 1));
        mustFail(await binding().load(fixture("refused"), {}));
        mustFail(await binding().load(fixture("half"), {}));
        mustFail(await binding().netnsInode("/proc/self/ns/uts"));
        must(await binding().program(object.programIds()[0]));
        mustFail(await binding().detachTcx(path, ifindex, INGRESS, 1));
      }
      object.close();
    }
    // Lambdas of finished work are gone by the next turn of the loop.
    await new Promise((resolve) => setImmediate(resolve));
    expect(openDescriptors()).toEqual(before);
  });

  test("frees programs and maps in the kernel", async () => {
    const object = await loadFixture();
    const ids = object.programIds();
    object.close();
    for (const id of ids) {
      await expect
        .poll(async () => "errno" in (await binding().program(id)), { timeout: 5000 })
        .toBe(true);
    }
  });

  test("fails with EBADF after close, which may be repeated", async () => {
    const object = await loadFixture();
    object.close();
    object.close();
    expect(object.programIds()).toEqual([0, 0]);
    const bytes = new Uint8Array(8);
    for (const result of [
      object.update("ports", bytes, bytes, 1),
      object.remove("ports", bytes, 1),
      object.read("numbers", 0, 1),
      object.makeArray(8, 1),
      object.place("rulesets", 0, []),
      object.testRun(INGRESS, bytes, noWords, 1),
      object.attachTcx("", 1, INGRESS, true, true, 0),
      object.attachClsact("", 1, INGRESS, 1, 1, false),
    ]) {
      expect(errnoName(mustFail(await result).errno)).toBe("EBADF");
    }
  });

  test("finishes calls that are under way when it is closed", async () => {
    const object = await loadFixture();
    const calls = Array.from({ length: 20 }, () =>
      object.testRun(EGRESS, new Uint8Array(60), noWords, 10_000),
    );
    object.close();
    for (const run of await Promise.all(calls)) expect(must(run).verdict).toBe(0);
  });

  test("makes nothing attached or loaded through `constructor`", async () => {
    const object = await loadFixture();
    const { path, ifindex } = await place();
    const attachment = attached(await object.attachTcx(path, ifindex, INGRESS, true, true, 0));
    const empty = Reflect.construct(object.constructor, []) as typeof object;
    expect(empty.programIds()).toEqual([0, 0]);
    expect(errnoName(mustFail(await empty.read("numbers", 0, 1)).errno)).toBe("EBADF");
    const nowhere = Reflect.construct(attachment.constructor, []) as typeof attachment;
    expect(await nowhere.detach()).toBeUndefined();
    expect(() => attachment.detach.call(object as never)).toThrow(TypeError);
    expect(() => object.close.call(attachment as never)).toThrow(TypeError);
  });

  test("is collected with what it holds, and detaches what does not persist", async () => {
    const { path, ifindex, qdisc, programs } = await place();
    const before = openDescriptors();
    await (async () => {
      for (let i = 1; i <= 10; i++) {
        const object = must(await binding().load(fixture("native"), {}));
        must(await object.attachTcx(path, ifindex, INGRESS, true, true, 0));
        must(await object.attachClsact(path, ifindex, INGRESS, i, 1, i === 10));
      }
    })();
    await expect
      .poll(
        async () => {
          await collectGarbage();
          return openDescriptors().length - before.length;
        },
        { timeout: 10_000 },
      )
      .toBe(0);
    expect(await programs(INGRESS)).toEqual([]);
    expect((await qdisc()).filters.map(({ priority }) => priority)).toEqual([10]);
  });

  test("keeps alive what a pending call uses", async () => {
    const calls = await (async () => {
      const object = must(await binding().load(fixture("native"), {}));
      return Array.from({ length: 12 }, () =>
        object.testRun(EGRESS, new Uint8Array(60), noWords, 20_000),
      );
    })();
    await collectGarbage();
    for (const run of await Promise.all(calls)) expect(must(run).verdict).toBe(0);
  });

  test("prints nothing of what libbpf says", async () => {
    const { path, ifindex } = await place();
    const lines = [
      `const { load, detachClsact } = require("node-gyp-build")(${JSON.stringify(process.cwd())});`,
      `const bytes = require("fs").readFileSync(${JSON.stringify(fixturePath("refused"))});`,
      `load(bytes, {}).then(() => load(new Uint8Array(9), {}))`,
      `.then(() => detachClsact(${JSON.stringify(path)}, ${ifindex}, 0, 1, 1));`,
    ];
    const { stdout, stderr, status } = spawnSync(process.execPath, ["-e", lines.join("")], {
      encoding: "utf8",
    });
    expect({ stdout, stderr, status }).toEqual({ stdout: "", stderr: "", status: 0 });
  });

  describe.each(["process", "worker"])("of a %s", (where) => {
    const ways =
      where === "process"
        ? ["end", "exit", "throw", "busy 0", "busy 4", "busy 16", "persist", "kill"]
        : ["end", "exit", "throw", "busy 2", "terminate", ...terminations];

    test.each(ways)("that comes to: %s", { timeout: 30_000 }, async (way) => {
      const [how, delay = "0"] = way.split(" ");
      const { path, ifindex, qdisc, programs } = await place();
      const args = [where, how ?? "", path, `${ifindex}`, fixturePath("native"), delay];
      const ended = spawnSync(process.execPath, [script, ...args], { encoding: "utf8" });
      if (how === "kill") {
        // The kernel takes the link back, nobody the filters.
        expect(ended.signal).toBe("SIGKILL");
        expect((await qdisc()).filters).toHaveLength(2);
        expect(await programs(INGRESS)).toEqual([]);
        expect(await programs(EGRESS)).toHaveLength(1);
        return;
      }
      expect([ended.signal, ended.status]).toEqual([
        null,
        where === "process" && how === "throw" ? 1 : 0,
      ]);
      if (where === "worker") {
        expect(ended.stdout.split("\n")).toEqual(['{"kind":"","filters":[]}', "[]", ""]);
      }
      expect(await programs(INGRESS)).toEqual([]);
      expect(await programs(EGRESS)).toHaveLength(1);
      const { kind, filters } = await qdisc();
      expect(kind).toBe(how === "persist" ? "clsact" : "");
      expect(filters.map(({ priority }) => priority)).toEqual(how === "persist" ? [2] : []);
    });
  });
});
