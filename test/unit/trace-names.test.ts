import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { outcomeNames } from "../../lib/index.ts";

it("the trace names every outcome as the counters do", () => {
  const source = readFileSync(new URL("../../bpf/trace.h", import.meta.url), "utf8");
  const names = [...source.matchAll(/\[SFUNNEL_(\w+)\] = "(\w+)"/g)];
  for (const [, constant, name] of names) expect(name).toBe(constant?.toLowerCase());
  expect(names.map(([, , name]) => name)).toEqual(outcomeNames);
});
