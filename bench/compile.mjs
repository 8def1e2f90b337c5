// The bench's own C: senders for this machine, and programs for the kernel. Made anew when its
// sources are newer.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileBpf } from "../scripts/build.mjs";

const folder = fileURLToPath(new URL(".", import.meta.url));
const results = fileURLToPath(new URL("../build/bench/", import.meta.url));

const newest = (paths) => Math.max(...paths.map((path) => statSync(path).mtimeMs));

/** Headers and more that any source may include. */
const included = (path) =>
  readdirSync(path)
    .filter((file) => /\.(h|bpf\.c)$/.test(file))
    .map((file) => join(path, file));

/** Path of what `make(source, result)` makes of a source in this folder. */
function made(source, name, make) {
  const result = join(results, name);
  const path = join(folder, source);
  const sources = [path, ...included(folder), ...included(join(folder, "../bpf"))];
  if (existsSync(result) && newest([result]) >= newest(sources)) return result;
  mkdirSync(results, { recursive: true });
  make(path, result);
  return result;
}

/** And with a command of its own. */
function madeBy(command, flags, source, name) {
  return made(source, name, (path, result) =>
    execFileSync(command, [...flags, "-o", result, path], { stdio: "inherit" }),
  );
}

/** Path of a sender. */
export function sender(name) {
  const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"];
  return madeBy(process.env.CC ?? "cc", flags, `${name}.c`, name);
}

/** Path of an object for the kernel. */
export function kernelObject(name) {
  // Where Debian keeps <asm/types.h>, which the kernel's headers include.
  const machine = execFileSync("cc", ["-dumpmachine"], { encoding: "utf8" }).trim();
  const flags = ["-O2", "-g", "-target", "bpf", "-std=gnu11", "-Wall", "-Wextra", "-Werror"];
  const headers = `-I/usr/include/${machine}`;
  const clang = process.env.CLANG ?? "clang";
  return madeBy(clang, [...flags, headers, "-c"], `${name}.bpf.c`, `${name}.bpf.o`);
}

/** Path of an object that is compiled as that of sfunnel is, of which it may have any part in it. */
export function objectOfProgram(name) {
  return made(`${name}.bpf.c`, `${name}.bpf.o`, (path, result) => compileBpf(path, result));
}
