import { describe, expect, test } from "vitest";
import type { NativeFilter } from "../../../lib/native/binding.ts";
import { choosePriority } from "../../../lib/runtime/priority.ts";

const IPV4 = 0x0800;

/** A foreign filter at ingress, of our kind unless said otherwise. */
function filter(priority: number, differs: Partial<NativeFilter> = {}): NativeFilter {
  const place = { direction: 0, chain: 0, protocol: 3, handle: 1 } as const;
  return { ...place, kind: "bpf", priority, name: "foreign", programId: 7, ...differs };
}

const u32 = { kind: "u32", name: "", programId: 0 };

describe("choosePriority", () => {
  test.each([
    ["nobody", [], 10],
    ["behind all that is usual", [filter(49_152)], 10],
    ["somebody at ours", [filter(10)], 9],
    ["somebody ahead of ours", [filter(3), filter(100)], 2],
    ["at the edge, of our kind", [filter(1)], 1],
    ["at the edge, several", [filter(1), filter(1, { handle: 2 })], 1],
    ["at the edge, of another kind", [filter(1, u32)], 2],
    ["at the edge, of another protocol", [filter(1, { protocol: IPV4 })], 2],
    ["at the edge and after it", [filter(1, u32), filter(2), filter(3), filter(5)], 4],
    ["in the other direction", [filter(1, { direction: 1 })], 10],
    ["in another chain", [filter(1, { chain: 5 })], 10],
  ])("goes ahead of: %s", (_, filters, expected) => {
    expect(choosePriority(filters, "ingress", "first")).toBe(expected);
  });

  test.each([
    ["nobody", [], 50_000],
    ["ahead of all that is usual", [filter(1), filter(49_152)], 50_000],
    ["somebody at ours", [filter(50_000)], 50_001],
    ["somebody behind ours", [filter(60_000), filter(50_000)], 60_001],
    ["at the edge", [filter(65_535)], 65_534],
    ["at the edge and before it", [filter(65_535), filter(65_534, u32)], 65_533],
    ["in the other direction", [filter(65_000, { direction: 1 })], 50_000],
    ["in another chain", [filter(65_000, { chain: 5 })], 50_000],
  ])("goes behind: %s", (_, filters, expected) => {
    expect(choosePriority(filters, "ingress", "last")).toBe(expected);
  });

  test("looks at egress for egress", () => {
    const filters = [filter(4), filter(8, { direction: 1 })];
    expect(choosePriority(filters, "egress", "first")).toBe(7);
    expect(choosePriority(filters, "ingress", "first")).toBe(3);
  });
});
