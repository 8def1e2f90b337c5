/**
 * The kernel of a release of Debian, in a guest that runs test files of this checkout: does the
 * verifier take the program, does it do what the vectors and tables say, does it attach, does traffic
 * go through. One kernel a file, so that each can be run alone and none waits for another.
 */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Message } from "../support/lab.ts";
import { debianKernel, type Suite } from "../support/vm/kernel.ts";
import { Vm, vmSkipReason, vmTitled } from "../support/vm/vm.ts";

/** What these files need of the kernel. */
const MODULES = ["veth", "sch_ingress", "cls_bpf"];

/** Milliseconds within which a guest ends or is ended. */
const LIMIT = 1_500_000;

/** Real sockets and hooks. */
const LIVE = ["test/kernels/attach.inside.ts", "test/e2e/pairs.test.ts"];

/** Files of test/datapath that are left to npm test, and why. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  "model.test.ts": "100,000 random frames take an emulated machine too long",
  "without-loop.test.ts": "that program is what kernels before 5.17 load anyway",
  "stack.test.ts": "it reads the object alone",
  "classify-many.test.ts": "100,000 rules take an emulated machine too long",
  "replace.test.ts": "about the user's side of rules",
  "replace-counters.test.ts": "about the user's side of rules",
  "replace-failure.test.ts": "about the user's side of rules",
  "replace-race.test.ts": "the guest has one CPU",
  "sets.test.ts": "about the user's side of sets",
};

const folder = new URL("../datapath/", import.meta.url);

/** Vectors and tables of packets. */
const tables = readdirSync(folder)
  .filter((name) => name.endsWith(".test.ts") && !(name in LEFT_OUT))
  .map((name) => `test/datapath/${name}`);

const files = [...LIVE, ...tables];

/** What came of a guest: also of one that did not end well, as far as it got. */
interface Run {
  readonly messages: readonly Message[];
  /** Why it did not end well. */
  readonly failure?: string;
}

async function runGuest(suite: Suite): Promise<Run> {
  using vm = new Vm({
    kernel: debianKernel(suite),
    modules: MODULES,
    script: "test/fixtures/vm-vitest.mjs",
    options: { files },
    limit: LIMIT,
  });
  try {
    return { messages: await vm.guest.end() };
  } catch (error) {
    return { messages: [...vm.guest.messages], failure: String(error) };
  }
}

/** How many tests of which file were skipped for which reason, in words. */
function skipsIn(messages: readonly Message[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { file, state, note } of messages) {
    if (state !== "skipped") continue;
    const words = `${file}: ${note ?? "the title says why"}`;
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  return [...counts].map(([words, count]) => `${count} skipped: ${words}`);
}

/** A skip is not a pass, and what is left out is not either: whoever runs this is told. */
function tellOfRun(series: string, messages: readonly Message[]): void {
  const count = (wanted: string) => messages.filter(({ state }) => state === wanted).length;
  const leftOut = Object.entries(LEFT_OUT).map(
    ([name, reason]) => `left out: test/datapath/${name}: ${reason}`,
  );
  const sum = `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`;
  for (const line of [...leftOut, ...skipsIn(messages), sum]) console.log(`${series}: ${line}`);
}

/** Declares the tests of one kernel, e.g. kernelSuite("6.1", "bookworm"). */
export function kernelSuite(series: string, suite: Suite): void {
  describe.skipIf(vmSkipReason)(vmTitled(`Linux ${series} of ${suite}`), () => {
    let run: Run = { messages: [] };

    beforeAll(async () => {
      run = await runGuest(suite);
    });
    afterAll(() => tellOfRun(series, run.messages));

    it("is the kernel that it is meant to be, and its guest runs to its end", () => {
      expect(debianKernel(suite).release).toMatch(new RegExp(`^${series.replace(".", "\\.")}\\.`));
      expect(run.failure).toBeUndefined();
    });

    it.each(files)("%s", (path) => {
      const results = run.messages.filter(({ file }) => file === path);
      expect(results.flatMap(({ errors }) => errors as string[])).toEqual([]);
      expect(results.filter(({ state }) => state === "failed")).toEqual([]);
      expect(results.filter(({ state }) => state === "passed").length).toBeGreaterThan(0);
      // The message that comes behind the last test.
      expect(results.filter(({ event }) => event === "file")).toHaveLength(1);
    });
  });
}
