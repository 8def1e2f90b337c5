// npm run build: the BPF program, the layout that TypeScript reads from it, the addon, and
// the JavaScript. Each step is skipped when its result is newer than all it is made from.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { generateAbi } from "./generate-abi.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const bpfObject = join(root, "dist/bpf/sfunnel.bpf.o");

/** All of the program; its headers lie beside it. */
export const SOURCE = "bpf/sfunnel.bpf.c";

/** For kernels before 5.17, which lack bpf_loop. */
const WITHOUT_LOOP = ["-DSFUNNEL_WITHOUT_LOOP_HELPER"];

/** One source, four objects: for older kernels, and for DEBUG. */
export const PROGRAMS = {
  sfunnel: [],
  "sfunnel-without-loop": WITHOUT_LOOP,
  "sfunnel-trace": ["-DSFUNNEL_TRACE"],
  "sfunnel-trace-without-loop": ["-DSFUNNEL_TRACE", ...WITHOUT_LOOP],
};
const addon = join(root, "build/Release/sfunnel.node");

const CLANG_FLAGS = [
  "-O2",
  "-g",
  "-target",
  "bpf",
  // Registers of 32 bits (v3) are saved in half a stack slot, over which kernels before 6.12 let
  // nobody write again without CAP_PERFMON.
  "-mcpu=v2",
  "-mllvm",
  "-no-stack-slot-sharing",
  "-std=gnu11",
  "-Wall",
  "-Wextra",
  "-Werror",
];
// Where Debian keeps <asm/types.h>, which the kernel's headers include.
const ASM_HEADERS = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

function filesIn(folder, endings) {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function isFresh(target, sources) {
  if (!existsSync(target)) return false;
  const made = statSync(target).mtimeMs;
  return sources.every((source) => statSync(source).mtimeMs <= made);
}

function run(command, args) {
  execFileSync(command, args, { cwd: root, stdio: "inherit" });
}

function step(target, sources, make) {
  const name = relative(root, target);
  if (isFresh(target, [...sources, fileURLToPath(import.meta.url)])) {
    console.log(`build: ${name} is up to date`);
    return;
  }
  console.log(`build: ${name}`);
  mkdirSync(dirname(target), { recursive: true });
  make();
}

/** Compiles a file of the BPF program, by default with the clang that the build takes. */
export function compileBpf(source, target, flags = [], clang = process.env.CLANG ?? "clang") {
  run(clang, [
    ...CLANG_FLAGS,
    ...flags,
    `-I/usr/include/${ASM_HEADERS[process.arch]}`,
    "-Ibpf",
    "-c",
    source,
    "-o",
    target,
  ]);
}

export function build() {
  const headers = filesIn("bpf", [".h"]);
  const program = filesIn("bpf", [".h", ".c"]);
  for (const [name, flags] of Object.entries(PROGRAMS)) {
    const object = join(root, `dist/bpf/${name}.bpf.o`);
    step(object, program, () => compileBpf(SOURCE, object, flags));
  }
  generateAbi(bpfObject, join(root, "lib/compile/abi.gen.ts"));

  const native = [...filesIn("native", [".cc", ".h"]), join(root, "binding.gyp")];
  step(addon, native, () =>
    run("npx", [
      "--no-install",
      "node-gyp",
      existsSync(join(root, "build/Makefile")) ? "build" : "rebuild",
      // As many files at a time as there are CPUs; by itself it compiles one after the other.
      "--jobs=max",
      "--loglevel=warn",
    ]),
  );

  // Behind the addon: node-gyp rebuild empties build/.
  for (const fixture of filesIn("test/fixtures", [".bpf.c"])) {
    const object = join(
      root,
      "build/fixtures",
      `${fixture.split("/").at(-1).replace(/\.c$/, ".o")}`,
    );
    step(object, [fixture, ...headers], () => compileBpf(fixture, object));
  }

  step(
    join(root, "dist/index.js"),
    [...filesIn("lib", [".ts"]), join(root, "tsconfig.build.json")],
    () => run("npx", ["--no-install", "tsc", "-p", "tsconfig.build.json"]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
