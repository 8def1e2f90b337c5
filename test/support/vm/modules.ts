/**
 * Modules of a kernel, with all that they need. Each says so itself: the list modules.dep is made
 * where a kernel is installed, and these are not.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

const SUFFIX = /\.ko(\.xz)?$/;
const LARGEST = 64 * 1024 * 1024;

export interface Module {
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * These modules of a folder with all that they need, in an order in which they can be loaded.
 * What is built into the kernel is left out.
 */
export function modulesFor(folder: string, wanted: readonly string[]): readonly Module[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const fileOf = new Map(
    files.filter((file) => SUFFIX.test(file)).map((file) => [nameOf(file), file]),
  );
  const builtIn = new Set(
    readFileSync(join(folder, "modules.builtin"), "utf8").trim().split("\n").map(nameOf),
  );
  const found = new Map<string, Module>();
  const add = (name: string) => {
    if (found.has(name) || builtIn.has(name)) return;
    const file = fileOf.get(name);
    if (file === undefined) throw new Error(`${basename(folder)} has no module ${name}`);
    const content = read(join(folder, file));
    for (const need of needsOf(content)) add(need);
    found.set(name, { name, content });
  };
  for (const name of wanted) add(name);
  return [...found.values()];
}

/** "sch_ingress" of "kernel/net/sched/sch_ingress.ko.xz"; files may have dashes for underscores. */
function nameOf(file: string): string {
  return basename(file).replace(SUFFIX, "").replaceAll("-", "_");
}

function read(file: string): Buffer {
  if (!file.endsWith(".xz")) return readFileSync(file);
  return execFileSync("xz", ["--decompress", "--stdout", file], { maxBuffer: LARGEST });
}

/** The entry "depends=one,two" of its section .modinfo. */
function needsOf(module: Buffer): string[] {
  const key = "\0depends=";
  const start = module.indexOf(key) + key.length;
  const names = module.toString("latin1", start, module.indexOf(0, start));
  return names.split(",").filter((name) => name !== "");
}
