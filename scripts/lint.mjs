// npm run lint: format and lint of TypeScript (biome), C and C++ (clang-format), and types.
// With --write it formats instead of complaining.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const write = process.argv.includes("--write");

function sources(...folders) {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => /\.(c|cc|h)$/.test(name))
      .map((name) => join(folder, name)),
  );
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`lint: ${command}: ${error.message}; npm run setup installs it`);
  return status === 0;
}

export function lint() {
  const results = [
    run("npx", [
      "--no-install",
      "biome",
      "check",
      "--error-on-warnings",
      ...(write ? ["--write"] : []),
    ]),
    run("clang-format", [
      ...(write ? ["-i"] : ["--dry-run", "--Werror"]),
      ...sources("bpf", "native", "test/fixtures", "bench"),
    ]),
    run("npx", ["--no-install", "tsc", "-p", "tsconfig.json"]),
  ];
  return results.every(Boolean);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(lint() ? 0 : 1);
