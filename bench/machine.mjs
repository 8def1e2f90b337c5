// On what was measured: ratios travel further than numbers, but not everywhere.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, machine, release } from "node:os";
import { binding } from "../dist/native/binding.js";

function firstLine(command, ...args) {
  return execFileSync(command, args, { encoding: "utf8" }).split("\n")[0];
}

function kernelSetting(path) {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "unknown";
  }
}

/** Pairs of a name and a value. */
export function describeMachine() {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const [{ model }] = cpus();
  return [
    ["kernel", `Linux ${release()} ${machine()}`],
    ["CPU", `${cpus().length} x ${model}`],
    ["Spectre v2", kernelSetting("/sys/devices/system/cpu/vulnerabilities/spectre_v2")],
    ["BPF JIT", kernelSetting("/proc/sys/net/core/bpf_jit_enable") === "0" ? "off" : "on"],
    ["sfunnel", `${version}, Node.js ${process.version}, libbpf ${binding().libbpfVersion}`],
    [
      "compilers",
      `${firstLine(process.env.CLANG ?? "clang", "--version")}; ${firstLine("cc", "--version")}`,
    ],
  ];
}
