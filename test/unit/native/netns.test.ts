import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { binding } from "../../../lib/native/binding.ts";
import { errnoName } from "../../../lib/native/errno.ts";
import { must, mustFail, skipReason, titled } from "../../support/native.ts";
import { deleteNetns, makeNetns } from "../../support/netns.ts";

const own = () => statSync("/proc/self/ns/net", { bigint: true }).ino;

describe.skipIf(skipReason !== undefined)(titled("network namespaces"), () => {
  afterEach(deleteNetns);

  test("gives the inode of a namespace", async () => {
    const netns = makeNetns();
    expect(must(await binding().netnsInode(netns.path))).toBe(
      statSync(netns.path, { bigint: true }).ino,
    );
    expect(must(await binding().netnsInode(""))).toBe(own());
  });

  test("fails on what is no network namespace", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sfunnel-"));
    try {
      writeFileSync(join(folder, "file"), "");
      execFileSync("mkfifo", [join(folder, "fifo")]);
      const cases: [string, string][] = [
        [join(folder, "file"), "EINVAL"],
        [join(folder, "fifo"), "EINVAL"],
        [folder, "EINVAL"],
        ["/proc/self/ns/uts", "EINVAL"],
        ["/run/netns/\0x", "EINVAL"],
        [join(folder, "none"), "ENOENT"],
      ];
      for (const [path, errno] of cases) {
        const failure = mustFail(await binding().netnsInode(path));
        expect([path, errnoName(failure.errno)]).toEqual([path, errno]);
        expect(mustFail(await binding().devices(path))).toEqual(failure);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("finds devices, each namespace's own", async () => {
    const netns = makeNetns();
    netns.run("ip", "link", "set", netns.device, "mtu", "1234");
    const device = must(await binding().device(netns.path, netns.device));
    expect(device).toEqual({ ifindex: device.ifindex, name: netns.device, mtu: 1234, type: 1 });
    const all = must(await binding().devices(netns.path));
    expect(all.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["lo", netns.device, netns.peer]),
    );
    expect(all).toContainEqual(device);
    expect(must(await binding().device(netns.path, "lo")).type).toBe(772);
    expect(mustFail(await binding().device("", netns.device))).toEqual({
      errno: 19,
      step: "find device",
    });
  });

  test.each(["", "nope", "lo\0x", "a-name-of-17-char", "x".repeat(100_000), ".."])(
    "fails with ENODEV on a device that cannot be",
    async (name) => {
      expect(errnoName(mustFail(await binding().device("", name)).errno)).toBe("ENODEV");
    },
  );

  test("lists more devices than one message of the kernel holds", async () => {
    const netns = makeNetns();
    const names = Array.from({ length: 80 }, (_, i) => `many-${i}`);
    for (const name of names) netns.run("ip", "link", "add", name, "type", "veth");
    const all = must(await binding().devices(netns.path));
    expect(all.filter(({ name }) => names.includes(name))).toHaveLength(80);
  });

  test("leaves no thread behind in a foreign namespace", async () => {
    const netns = makeNetns();
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => binding().devices(i % 2 === 0 ? netns.path : "")),
    );
    results.forEach((devices, i) => {
      const names = must(devices).map(({ name }) => name);
      expect(names.includes(netns.device)).toBe(i % 2 === 0);
    });
    const threads = execFileSync("sh", ["-c", `readlink /proc/${process.pid}/task/*/ns/net`], {
      encoding: "utf8",
    });
    expect(new Set(threads.trim().split("\n"))).toEqual(new Set([`net:[${own()}]`]));
  });
});
