// npm run test:compilers: compiles the BPF program with every clang that Debian offers here, from 14
// on, loads each result into this kernel and runs the vectors of the wire format through it. Installs
// the compilers that are missing; builds into a folder of its own. Arguments are versions: 14 19.
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { setup } from "./setup.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The one of Debian 12. */
const OLDEST = 14;

/** Loads and vectors wait for the kernel more than they compute. */
const AT_A_TIME = availableParallelism() + 1;

/** What a process keeps: all, or exactly what sfunnel asks for. */
const CAPABILITIES = {
  "all capabilities": [],
  "CAP_BPF and CAP_NET_ADMIN": [
    ...["setpriv", "--inh-caps=-all,+bpf,+net_admin"],
    ...["--bounding-set=-all,+bpf,+net_admin", "--ambient-caps=-all"],
  ],
};

const pathOf = (version) => `/usr/bin/clang-${version}`;

const isInstalled = (version) => spawnSync(pathOf(version), ["--version"]).status === 0;

/** Versions that the package lists have; Debian leaves out most. */
function offered() {
  const listed = spawnSync("apt-cache", ["search", "--names-only", "^clang-[0-9]+$"], {
    encoding: "utf8",
  });
  return [...(listed.stdout ?? "").matchAll(/^clang-(\d+) /gm)]
    .map(([, version]) => Number(version))
    .filter((version) => version >= OLDEST)
    .sort((a, b) => a - b);
}

/** Installs what is offered and missing; all that can be had then. */
function findCompilers() {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const mayInstall = process.getuid() === 0 && spawnSync("apt-get", ["--version"]).status === 0;
  const apt = (...args) => execFileSync("apt-get", ["-qq", ...args], { env, stdio: "inherit" });
  if (mayInstall) apt("update");
  const versions = offered();
  const newest = versions.at(-1) ?? OLDEST;
  const between = Array.from({ length: newest - OLDEST + 1 }, (_, index) => OLDEST + index);
  const gone = between.filter((version) => !versions.includes(version));
  console.log(`offered: clang ${versions.join(", ") || "none"}`);
  console.log(`not offered: ${[...gone, `any newer than ${newest}`].join(", ")}`);
  const missing = versions.filter((version) => !isInstalled(version));
  if (mayInstall && missing.length > 0) {
    console.log(`installing: clang ${missing.join(", ")}`);
    apt("install", "-y", "--no-install-recommends", ...missing.map((one) => `clang-${one}`));
  }
  return between.filter(isInstalled);
}

/** Runs work of all items, so many at a time, and keeps their order. */
async function mapSome(items, work) {
  const results = [];
  const queue = items.entries();
  const take = async () => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, take));
  return results;
}

/** Objects that can be loaded without CAP_PERFMON: tracing takes it. */
const cases = (programs) =>
  programs.flatMap((program) =>
    Object.keys(CAPABILITIES)
      .filter((_, index) => index === 0 || !program.includes("trace"))
      .map((capabilities) => ({ program, capabilities })),
  );

/** What scripts/try-object.mjs says of an object, under these capabilities. */
async function tryObject(object, capabilities) {
  const script = fileURLToPath(new URL("try-object.mjs", import.meta.url));
  const [command, ...args] = [...CAPABILITIES[capabilities], process.execPath, script, object];
  const { stdout } = await promisify(execFile)(command, args, { cwd: root, timeout: 120_000 });
  return JSON.parse(stdout);
}

/** One cell of the table. */
function words({ loaded, instructions, vectors }) {
  if (!loaded) return "**refused**";
  const most = Math.max(...instructions).toLocaleString("en");
  if (vectors.wrong.length > 0) return `**${vectors.wrong.length} wrong** (${most})`;
  return `${vectors.count} right (${most})`;
}

function printTable(versions, rows, tried) {
  const title = ({ program, capabilities }) => `${program}, ${capabilities}`;
  console.log(`\n| object, process | ${versions.map((one) => `clang ${one}`).join(" | ")} |`);
  console.log(`| --- |${" --- |".repeat(versions.length)}`);
  for (const row of rows) {
    const cells = versions.map((version) => {
      const one = tried.find((each) => each.version === version && title(each) === title(row));
      return words(one.result);
    });
    console.log(`| ${title(row)} | ${cells.join(" | ")} |`);
  }
}

await setup();
const { compileBpf, PROGRAMS, SOURCE } = await import("./build.mjs");
const wanted = process.argv.slice(2).map(Number);
const found = findCompilers();
const versions = wanted.length > 0 ? wanted : found;
const unknown = versions.filter((version) => !found.includes(version));
if (unknown.length > 0 || versions.length === 0) {
  console.error(
    `compilers: not to be had here: clang ${unknown.join(", ") || `from ${OLDEST} on`}`,
  );
  process.exit(2);
}

mkdirSync(join(root, "build"), { recursive: true });
const folder = mkdtempSync(join(root, "build/compilers-"));
try {
  const rows = cases(Object.keys(PROGRAMS));
  const objectOf = (program, version) => join(folder, `${program}-${version}.bpf.o`);
  for (const version of versions) {
    console.log(`compiling with clang ${version}, warnings being errors`);
    for (const [program, flags] of Object.entries(PROGRAMS)) {
      compileBpf(SOURCE, objectOf(program, version), flags, pathOf(version));
    }
  }
  const all = versions.flatMap((version) => rows.map((row) => ({ version, ...row })));
  const tried = await mapSome(all, async ({ version, program, capabilities }) => {
    const result = await tryObject(objectOf(program, version), capabilities);
    return { version, program, capabilities, result };
  });
  const failed = tried.filter(({ result }) => !result.loaded || result.vectors.wrong.length > 0);
  for (const { version, program, capabilities, result } of failed) {
    console.log(`\nclang ${version}, ${program}, ${capabilities}:`);
    console.log(result.loaded ? result.vectors.wrong.join("\n") : result.log);
  }
  printTable(versions, rows, tried);
  console.log(`\n${tried.length - failed.length} passed, ${failed.length} failed`);
  process.exitCode = failed.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
