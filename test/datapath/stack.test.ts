/** Whether the program's stack is small enough also for kernels that count more of it than this one. */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { deepestChain } from "../support/bpf-stack.ts";

const OBJECTS = ["sfunnel", "sfunnel-without-loop", "sfunnel-trace", "sfunnel-trace-without-loop"];
const ENTRIES = ["sfunnel_ingress", "sfunnel_egress", "sfunnel_return"];

/** Bytes: what the verifier allows to all functions that call each other. */
const LIMIT = 512;
/** Bytes: what kernels before 6.9, and any that interprets it, round each function's stack up to. */
const ROUNDING = 32;

it.each(OBJECTS)("%s", (name) => {
  const path = fileURLToPath(new URL(`../../dist/bpf/${name}.bpf.o`, import.meta.url));
  for (const entry of ENTRIES) {
    const { names, bytes } = deepestChain(path, entry, ROUNDING);
    expect(bytes, names.join(" > ")).toBeLessThanOrEqual(LIMIT);
  }
});
