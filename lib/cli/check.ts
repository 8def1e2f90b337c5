/** Everything about rules that can be said without loading them. */
import { type Diagnosis, describe, diagnose } from "./diagnose.ts";
import { type Environment, readDirections, readRulesets } from "./env.ts";
import { counted, exitCodes, print, printJson } from "./output.ts";
import { readRules, readRulesFile } from "./rules-file.ts";

export interface CheckOptions {
  /** "-" is stdin; undefined: the rules that `sfunnel` without arguments would load. */
  readonly file: string | undefined;
  readonly json: boolean;
  /** Warnings fail as errors do. */
  readonly strict: boolean;
}

/** Gives the exit code. */
export async function check(options: CheckOptions, environment: Environment): Promise<number> {
  const { file, json, strict } = options;
  const texts =
    file === undefined
      ? readRulesets(environment, readDirections(environment), readRulesFile)
      : [{ source: file === "-" ? "stdin" : file, text: await readRules(file) }];
  const diagnoses = texts.map(diagnose);
  const errors = count(diagnoses, "error");
  const warnings = count(diagnoses, "warning");
  const ok = errors === 0 && !(strict && warnings > 0);
  if (json) printJson({ ok, errors, warnings, rulesets: diagnoses.map(toJson) });
  else for (const diagnosis of diagnoses) printFindings(diagnosis);
  return ok ? exitCodes.done : exitCodes.failed;
}

type Severity = "error" | "warning";

function count(diagnoses: readonly Diagnosis[], wanted: Severity): number {
  return diagnoses
    .flatMap(({ diagnostics }) => diagnostics)
    .filter(({ severity }) => severity === wanted).length;
}

function printFindings(diagnosis: Diagnosis): void {
  const { source, rules, diagnostics } = diagnosis;
  for (const diagnostic of diagnostics) {
    const { severity, code, message } = diagnostic;
    const coded = { ...diagnostic, message: `${message} [${code}]` };
    print(describe(source, coded, `${severity}: `));
  }
  const found = (["error", "warning"] as const).map((severity) =>
    counted(count([diagnosis], severity), severity),
  );
  print(`${source}: ${[counted(rules, "rule"), ...found].join(", ")}`);
}

/** The document of --json: fields are added to it, never changed. Unknown places are null. */
function toJson({ source, rules, diagnostics }: Diagnosis) {
  return {
    source,
    rules,
    diagnostics: diagnostics.map(({ severity, code, message, rule, line, column, ...text }) => ({
      ...{ severity, code, message, rule: rule ?? null, line: line ?? null },
      ...{ column: column ?? null, source: text.source ?? null, caret: text.caret ?? null },
    })),
  };
}
