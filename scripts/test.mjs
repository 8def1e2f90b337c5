// npm test: sets up what is missing, then lint and all tests. Arguments go to vitest.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setup } from "./setup.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const results = join(root, "build/test-results.json");

await setup();
const { lint } = await import("./lint.mjs");
if (!lint()) process.exit(1);

mkdirSync(join(root, "build"), { recursive: true });
rmSync(results, { force: true });
const { status } = spawnSync(
  "npx",
  [
    "--no-install",
    "vitest",
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${results}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: "inherit" },
);
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(
  readFileSync(results, "utf8"),
);
console.log(`${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped`);
process.exit(status ?? 1);
