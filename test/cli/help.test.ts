import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { RULES_FILE, variables } from "../../lib/cli/env.ts";
import { exitCodes } from "../../lib/cli/output.ts";
import { checkRules } from "../../lib/rules/check.ts";
import { succeed } from "./sfunnel.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const help = succeed({ args: ["--help"] });
const page = readFileSync(`${root}docs/container.md`, "utf8");

describe("sfunnel --help", () => {
  it.each(variables.map(({ name, meaning, fallback }) => [name, meaning, fallback] as const))(
    "explains %s, and so does docs/container.md",
    (name, meaning, fallback) => {
      const ending = fallback === "" ? "" : ` [${fallback}]`;
      expect(help.split("\n").map((line) => line.trim().replace(/ {2,}/, "  "))).toContain(
        `${name}  ${meaning}${ending}`,
      );
      const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
      expect(row?.split("|").at(3)?.trim()).toBe(fallback);
    },
  );

  it("names the file, the commands and each exit code, and so does docs/container.md", () => {
    for (const word of [RULES_FILE, "plan", "check", "show", "stats", "clean"]) {
      expect(help).toContain(word);
      expect(page).toContain(word);
    }
    for (const code of Object.values(exitCodes)) {
      expect(help).toMatch(new RegExp(`^  ${code}  `, "m"));
      expect(page).toMatch(new RegExp(`^\\| ${code} \\|`, "m"));
    }
  });

  it("has no line that a terminal of 100 columns breaks", () => {
    expect(help.split("\n").filter((line) => line.length > 100)).toEqual([]);
  });

  it.each(["run", "plan", "check", "show", "stats", "clean"])("is there for %s", (command) => {
    expect(succeed({ args: [command, "--help"] })).toContain(`Usage: sfunnel ${command}`);
  });

  it("has examples with rules that are rules", () => {
    const rulesets = [...help.matchAll(/SFUNNEL_RULESET='([^']*)'/g)].map(([, text]) => text ?? "");
    expect(rulesets).toHaveLength(2);
    expect(rulesets.flatMap((text) => checkRules(text))).toEqual([]);
  });

  it("is what `sfunnel help` prints", () => {
    expect(succeed({ args: ["help"] })).toBe(help);
  });
});

describe("sfunnel --version", () => {
  it("prints that of the package", () => {
    const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
    expect(succeed({ args: ["--version"] })).toBe(`${version}\n`);
  });
});
