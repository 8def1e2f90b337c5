import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/sweep.ts",
    // The addon lives in the process: each file gets one of its own, so that a test can count
    // descriptors and a crash takes nobody else with it.
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
