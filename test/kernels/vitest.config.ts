/**
 * npm run test:kernels; one kernel alone: npm run test:kernels -- linux-6.1. (with the last dot). Not
 * part of npm test: it emulates a machine for each kernel.
 */
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/kernels/*.kernel.ts"],
    pool: "forks",
    // A guest keeps one CPU busy.
    maxWorkers: availableParallelism(),
    // The time of a whole guest, which the test itself bounds.
    hookTimeout: 0,
  },
});
