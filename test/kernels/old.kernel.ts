/**
 * The kernels of three releases of Debian, each in a guest that runs test files of this checkout:
 * does the verifier take the program, does it do what the vectors and tables say, does it attach,
 * does traffic go through.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Message } from "../support/lab.ts";
import { debianKernel } from "../support/vm/kernel.ts";
import { Vm, vmSkipReason, vmTitled } from "../support/vm/vm.ts";

const KERNELS = [
  { series: "5.10", suite: "bullseye" },
  { series: "6.1", suite: "bookworm" },
  { series: "6.12", suite: "trixie" },
] as const;

const FILES = [
  "test/kernels/attach.inside.ts",
  "test/e2e/pairs.test.ts",
  "test/datapath/vectors.test.ts",
  "test/datapath/allow.test.ts",
  "test/datapath/carrier.test.ts",
  "test/datapath/match.test.ts",
  "test/datapath/not-carrier.test.ts",
  "test/datapath/source-port.test.ts",
  "test/datapath/untouched.test.ts",
];

/** Milliseconds; six minutes are usual on two busy cores. */
const LIMIT = 1_200_000;

/** What these files need of the kernel. */
const MODULES = ["veth", "sch_ingress", "cls_bpf"];

describe.skipIf(vmSkipReason)(vmTitled("kernels of Debian"), () => {
  describe.each(KERNELS)("Linux $series", ({ series, suite }) => {
    let kernel: ReturnType<typeof debianKernel>;
    let messages: readonly Message[] | undefined;

    beforeAll(async () => {
      kernel = debianKernel(suite);
      using vm = new Vm({
        kernel,
        modules: MODULES,
        script: "test/fixtures/vm-vitest.mjs",
        options: { files: FILES },
        limit: LIMIT,
      });
      messages = await vm.guest.end();
    });

    /** A skip is not a pass: whoever runs this is told. */
    afterAll(() => {
      for (const { file, name, state, note } of messages ?? []) {
        if (state === "skipped") console.log(`${series}: skipped: ${file}: ${name}: ${note ?? ""}`);
      }
    });

    it("is what it is meant to be", () => {
      expect(kernel.release).toMatch(new RegExp(`^${series.replace(".", "\\.")}\\.`));
    });

    it.each(FILES)("%s", (path) => {
      const results = (messages ?? []).filter(({ file }) => file === path);
      const errors = results.flatMap((result) => result.errors as string[]);
      expect(errors).toEqual([]);
      expect(results.filter(({ state }) => state === "failed")).toEqual([]);
      expect(results.filter(({ state }) => state === "passed").length).toBeGreaterThan(0);
    });
  });
});
