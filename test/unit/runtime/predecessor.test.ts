import { describe, expect, test } from "vitest";
import type { NativeFilter } from "../../../lib/native/binding.ts";
import { companionOf, LONGEST_NAME } from "../../../lib/runtime/companion.ts";
import { filtersOf, handleOf, nameOf, nameValue } from "../../../lib/runtime/predecessor.ts";

describe("handleOf", () => {
  // A later version must find what an earlier one has left: these never change.
  test.each([
    ["default", 0x933b5bde],
    ["a", 0xe40c292c],
    ["b", 0xe70c2de5],
    ["collector-1", 0xaec261fa],
    ["ä", 0x199de0e2],
  ])("is the same for ever: %s", (name, expected) => {
    expect(handleOf(name)).toBe(expected);
  });

  test("is never 0, which would let the kernel choose, and fits in 32 bits", () => {
    for (let i = 0; i < 10_000; i++) {
      const handle = handleOf(`name ${i}`);
      expect(handle >= 1 && handle <= 0xffffffff && Number.isInteger(handle)).toBe(true);
    }
  });
});

describe("filtersOf", () => {
  const ours: NativeFilter = {
    ...{ direction: 1, kind: "bpf", chain: 0, protocol: 3, priority: 10 },
    ...{ handle: handleOf("mine"), name: "sfunnel_egress:[12]", programId: 12 },
  };

  test.each([
    ["ours", {}, true],
    ["at another priority", { priority: 50_000 }, true],
    ["of another name", { handle: handleOf("yours") }, false],
    ["in the other direction", { direction: 0 }, false],
    ["of another program", { name: "cil_to_netdev" }, false],
    ["of another kind", { kind: "u32" }, false],
    ["in another chain", { chain: 1 }, false],
  ] as const)("takes a filter that is %s for ours: %o is %s", (_, differs, expected) => {
    expect(filtersOf([{ ...ours, ...differs }], "mine", "egress")).toHaveLength(expected ? 1 : 0);
  });
});

test("the longest name, and that of its companion, keep a zero behind them", () => {
  const longest = companionOf("x".repeat(LONGEST_NAME));
  const value = nameValue(longest);
  expect(nameOf(value)).toBe(longest);
  expect(value.indexOf(0)).toBe(longest.length);
});
