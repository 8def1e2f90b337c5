/** How a guest runs tests: one file after the other, and with patience, being emulated. */
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Whether the program loads and attaches at all is known first. */
class AttachFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isInside = ({ moduleId }: TestSpecification) => moduleId.endsWith(".inside.ts");
    return [...sorted.filter(isInside), ...sorted.filter((file) => !isInside(file))];
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "test/kernels/*.inside.ts"],
    pool: "forks",
    fileParallelism: false,
    sequence: { sequencer: AttachFirst },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
