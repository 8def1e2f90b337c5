import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { limits } from "../../lib/index.ts";
import { sfunnel } from "./sfunnel.ts";

const good = "tcp dport 179 actions unfunnel udp allow 2055";
const doubtful = "tcp dport 80 actions unfunnel tcp";
const bad = "tcp dport 99999 actions accept";

/** One rule more than fits; each has an address of its own. */
const tooMany = Array.from(
  { length: limits.rules + 1 },
  (_, index) => `saddr 10.${index >> 16}.${(index >> 8) & 255}.${index & 255} udp actions drop`,
);

const folder = mkdtempSync(join(tmpdir(), "sfunnel-check-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

describe("sfunnel check", () => {
  it("takes good rules from a file", () => {
    const path = file("good", `# flows\n${good}\n`);
    expect(sfunnel({ args: ["check", path] })).toEqual({
      ...{ code: 0, stdout: `${path}: 1 rule, 0 errors, 0 warnings\n`, stderr: "" },
    });
  });

  it("takes rules from stdin, with a byte order mark and ends of line of Windows", () => {
    expect(
      sfunnel({ args: ["check", "-"], input: `\uFEFF${good}\r\nudp dport 5 actions drop\r\n` }),
    ).toEqual({
      ...{ code: 0, stdout: "stdin: 2 rules, 0 errors, 0 warnings\n", stderr: "" },
    });
  });

  it("shows all errors and warnings with their places, and fails", () => {
    const input = `${doubtful}; ${bad}\n  udp actions funnel tcp dport 179 sport 540-549 every 9s\n`;
    const { code, stdout, stderr } = sfunnel({ args: ["check", "-"], input });
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
    expect(stdout.split("\n")).toEqual([
      expect.stringMatching(
        /^stdin: line 1, column 22: warning: .+ allow .+ \[unfunnel-without-allow\]$/,
      ),
      `  ${doubtful}; ${bad}`,
      `  ${" ".repeat(21)}^`,
      expect.stringMatching(/^stdin: line 1, column 46: error: .+ found "99999" \[bad-port\]$/),
      `  ${doubtful}; ${bad}`,
      `  ${" ".repeat(45)}^`,
      expect.stringMatching(
        /^stdin: line 2, column 56: error: .* comes round in 90 seconds .* \[every-too-fast\]$/,
      ),
      "    udp actions funnel tcp dport 179 sport 540-549 every 9s",
      `    ${" ".repeat(53)}^`,
      "stdin: 3 rules, 2 errors, 1 warning",
      "",
    ]);
  });

  it("lets warnings pass, unless it is strict", () => {
    const input = doubtful;
    expect(sfunnel({ args: ["check", "-"], input }).code).toBe(0);
    expect(sfunnel({ args: ["check", "--strict", "-"], input }).code).toBe(1);
    expect(sfunnel({ args: ["check", "--strict", "-"], input: good }).code).toBe(0);
  });

  it("finds more rules than fit", () => {
    const { code, stdout } = sfunnel({ args: ["check", "-"], input: tooMany.join("\n") });
    expect(code).toBe(1);
    expect(stdout).toContain(
      `stdin: error: at most ${limits.rules} rules in one direction, found ${limits.rules + 1}`,
    );
  });

  it("has a JSON document of a fixed shape", () => {
    const input = `${doubtful}\n${bad}`;
    const { code, stdout } = sfunnel({ args: ["check", "--json", "-"], input });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toEqual({
      ...{ ok: false, errors: 1, warnings: 1 },
      rulesets: [
        {
          ...{ source: "stdin", rules: 2 },
          diagnostics: [
            {
              ...{ severity: "warning", code: "unfunnel-without-allow", rule: 0 },
              ...{ message: expect.stringContaining("allow"), line: 1, column: 22 },
              ...{ source: doubtful, caret: `${" ".repeat(21)}^` },
            },
            {
              ...{ severity: "error", code: "bad-port", rule: 1, line: 2, column: 11 },
              ...{
                message: expect.stringContaining("99999"),
                source: bad,
                caret: `${" ".repeat(10)}^`,
              },
            },
          ],
        },
      ],
    });
    const many = sfunnel({ args: ["check", "--json", "-"], input: tooMany.join("\n") });
    expect(JSON.parse(many.stdout).rulesets[0].diagnostics).toEqual([
      {
        ...{ severity: "error", code: "too-many", message: expect.any(String), rule: null },
        ...{ line: null, column: null, source: null, caret: null },
      },
    ]);
  });

  it("checks what the environment would load where no file is named", () => {
    const env = { SFUNNEL_RULESET_INGRESS: good, SFUNNEL_RULESET_EGRESS: bad };
    const { code, stdout } = sfunnel({ args: ["check"], env });
    expect(code).toBe(1);
    expect(stdout).toContain("SFUNNEL_RULESET_INGRESS: 1 rule, 0 errors, 0 warnings\n");
    expect(stdout).toContain("SFUNNEL_RULESET_EGRESS: line 1, column 11: error: ");
    expect(sfunnel({ args: ["check"] })).toMatchObject({
      ...{ code: 2, stdout: "", stderr: expect.stringMatching(/^sfunnel: no ruleset: .+\n$/) },
    });
  });

  it("says which file cannot be read", () => {
    for (const [path, why] of [
      [join(folder, "none"), "ENOENT"],
      [folder, "EISDIR"],
    ] as const) {
      expect(sfunnel({ args: ["check", path] })).toEqual({
        ...{ code: 1, stdout: "", stderr: `sfunnel: ${path} cannot be read (${why})\n` },
      });
    }
  });

  it("needs no privileges", () => {
    const under = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    expect(sfunnel({ under, args: ["check", "-"], input: good }).code).toBe(0);
  });
});
