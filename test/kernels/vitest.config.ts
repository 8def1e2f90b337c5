/** npm run test:kernels. Not part of npm test: it emulates a machine for each kernel. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/kernels/*.kernel.ts"],
    pool: "forks",
    // The time of a whole guest, which the test itself bounds.
    hookTimeout: 0,
  },
});
