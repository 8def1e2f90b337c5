/** Programs that run as root with few capabilities; without CAP_PERFMON the verifier is stricter. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** A file of the built package, as an import in such a program names it. */
export const builtPath = (path: string): string =>
  fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));

/** Runs an ES module, given as text, with exactly these capabilities, e.g. ["bpf", "net_admin"]. */
export function runLimited(capabilities: readonly string[], program: string) {
  const list = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  const { status, stderr } = spawnSync(
    "setpriv",
    [
      ...[`--inh-caps=${list}`, "--ambient-caps=-all", `--bounding-set=${list}`],
      ...[process.execPath, "--input-type=module", "--eval", program],
    ],
    { encoding: "utf8" },
  );
  return { status, stderr };
}
