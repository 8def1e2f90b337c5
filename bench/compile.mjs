// The bench's own C: senders for this machine, and programs for the kernel. Made anew when its
// sources are newer.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL(".", import.meta.url));
const results = fileURLToPath(new URL("../build/bench/", import.meta.url));

const newest = (paths) => Math.max(...paths.map((path) => statSync(path).mtimeMs));

/** Path of what `command` makes of a source in this folder. */
function made(source, name, command, flags) {
  const result = join(results, name);
  const headers = readdirSync(folder).filter((file) => file.endsWith(".h"));
  const sources = [source, ...headers].map((file) => join(folder, file));
  if (existsSync(result) && newest([result]) >= newest(sources)) return result;
  mkdirSync(results, { recursive: true });
  execFileSync(command, [...flags, "-o", result, join(folder, source)], { stdio: "inherit" });
  return result;
}

/** Path of a sender. */
export function sender(name) {
  const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"];
  return made(`${name}.c`, name, process.env.CC ?? "cc", flags);
}

/** Path of an object for the kernel. */
export function kernelObject(name) {
  // Where Debian keeps <asm/types.h>, which the kernel's headers include.
  const machine = execFileSync("cc", ["-dumpmachine"], { encoding: "utf8" }).trim();
  const flags = ["-O2", "-g", "-target", "bpf", "-std=gnu11", "-Wall", "-Wextra", "-Werror"];
  const headers = `-I/usr/include/${machine}`;
  const clang = process.env.CLANG ?? "clang";
  return made(`${name}.bpf.c`, `${name}.bpf.o`, clang, [...flags, headers, "-c"]);
}
