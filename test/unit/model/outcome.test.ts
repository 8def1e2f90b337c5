import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { OUTCOMES } from "../../../lib/model/index.ts";

it("names the kernel's outcomes, in the kernel's order", () => {
  const header = readFileSync(new URL("../../../bpf/abi.h", import.meta.url), "utf8");
  const body = /enum sfunnel_outcome \{(?<body>[^}]*)\}/.exec(header)?.groups?.body ?? "";
  const names = [...body.matchAll(/^\s*SFUNNEL_(\w+),/gm)].map((found) => found[1]?.toLowerCase());
  expect(names.pop()).toBe("outcomes");
  expect(OUTCOMES).toEqual(names);
});
