import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Files that take long come first: vitest goes by the time that each took before, or else by size. Unit
 * tests are done in no time, whatever their size: they come last, and fill what the long ones leave.
 */
class LongOnesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isUnit = ({ moduleId }: TestSpecification) => moduleId.includes("/test/unit/");
    return [...sorted.filter((file) => !isUnit(file)), ...sorted.filter(isUnit)];
  }
}

/**
 * Files at a time. One more than there are CPUs, because most of them wait half of the time: for the
 * kernel's grace periods, for packets, for processes. Four at most: the kernel makes and removes devices
 * one at a time, whoever asks.
 */
const AT_A_TIME = Math.min(availableParallelism() + 1, 4);

/** Files of folders that know neither addon nor Node (ARCHITECTURE.md), and short. */
const PURE = ["test/unit/{rules,plan,model}/**/*.test.ts"];

// Nothing here asks for a certificate. Where this is set, each process of Node reads them all, which takes
// longer than to start, and there are a thousand.
delete process.env.NODE_EXTRA_CA_CERTS;

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: AT_A_TIME,
    sequence: { sequencer: LongOnesFirst },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "pure",
          include: PURE,
          // They share processes, and what they import: to start one takes longer than such a file.
          isolate: false,
          setupFiles: "test/support/without-addon.ts",
        },
      },
      {
        extends: true,
        test: {
          name: "kernel",
          include: ["test/**/*.test.ts"],
          exclude: PURE,
          // The addon lives in the process: each file gets one of its own, so that a test can count
          // descriptors and a crash takes nobody else with it.
          isolate: true,
          globalSetup: "test/support/sweep.ts",
        },
      },
    ],
  },
});
