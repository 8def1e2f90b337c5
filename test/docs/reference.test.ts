/** What the documents name exists: links, rules in the prose, codes, counters, pictures. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { limits } from "../../lib/compile/limits.ts";
import { outcomeNames } from "../../lib/compile/outcomes.ts";
import { anchorsOf, inlineRulesOf, linksOf } from "./document.ts";
import { documents, exampleDocuments, readDocument, root } from "./documents.ts";
import { problemOfRules } from "./rules-snippet.ts";

describe.each([...documents, ...exampleDocuments])("$path", (document) => {
  it("links to what is there", () => {
    const broken = linksOf(document).filter(({ value }) => {
      if (/^https:/.test(value)) return false;
      const [file = "", anchor] = value.split("#");
      const path = file === "" ? document.path : join(dirname(document.path), file);
      if (!existsSync(join(root, path))) return true;
      return anchor !== undefined && !anchorsOf(readDocument(path)).has(anchor);
    });
    expect(broken).toEqual([]);
  });

  it("has rules in its prose that are rules", () => {
    const problems = inlineRulesOf(document)
      .map(({ line, value }) => ({ line, value, problem: problemOfRules(value) }))
      .filter(({ problem }) => problem !== undefined);
    expect(problems).toEqual([]);
  });
});

/** First column of the table behind a heading of a document: the words between backticks. */
function tableOf(heading: string, path = "docs/rules.md"): string[] {
  const { text } = readDocument(path);
  const [, section = ""] = text.split(`\n## ${heading}\n`);
  const [own = ""] = section.split("\n## ");
  return [...own.matchAll(/^\| (`[^|]*`) \|/gm)]
    .flatMap(([, cell]) => [...(cell ?? "").matchAll(/`([^`]*)`/g)])
    .map(([, word]) => word ?? "")
    .sort();
}

/** Members of a union of strings. A type is nothing at run time, so its source is read. */
function unionOf(file: string, name: string): string[] {
  const source = readFileSync(join(root, file), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const [, members = ""] = new RegExp(`export type ${name} =([\\s\\S]*?);`).exec(source) ?? [];
  return [...members.matchAll(/\| "([^"]+)"/g)].map(([, member]) => member ?? "").sort();
}

describe("docs/rules.md names", () => {
  it("every warning", () => {
    const codes = unionOf("lib/rules/check.ts", "RuleWarningCode");
    expect(codes).toContain("host-bits");
    expect(tableOf("Warnings")).toEqual(codes);
  });

  it("every limit, and its number", () => {
    const { text } = readDocument("docs/rules.md");
    const [, section = ""] = text.split("\n## Limits\n");
    const [own = ""] = section.split("\n## ");
    const rows = [...own.matchAll(/^\| `(\w+)`[^|]* \| ([^|]+) \|/gm)];
    const written = (value: number) => value.toLocaleString("en-US");
    const numbers = Object.entries(limits).map(([name, value]) => [
      name,
      typeof value === "number"
        ? written(value)
        : `${written(value.least)} to ${written(value.most)}`,
    ]);
    expect(rows.map(([, name, number]) => [name, number])).toEqual(numbers);
  });

  it("every reason of an error", () => {
    const reasons = unionOf("lib/rules/rule-error.ts", "RuleErrorReason");
    expect(reasons).toContain("bad-port");
    expect(tableOf("Errors")).toEqual(reasons);
  });

  it("every counter", () => {
    expect(tableOf("Counters")).toEqual([...outcomeNames].sort());
  });
});

describe("docs/plan.md names", () => {
  it("every warning", () => {
    const codes = unionOf("lib/plan/types.ts", "PlanWarningCode");
    expect(codes).toContain("one-path");
    expect(tableOf("Warnings", "docs/plan.md")).toEqual(codes);
  });
});

describe("ARCHITECTURE.md names", () => {
  const { text } = readDocument("ARCHITECTURE.md");

  it.each(["bpf", "native", "lib", "test"])("every folder and file of %s", (folder) => {
    const known = readdirSync(join(root, folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || folder === "bpf")
      .map(({ name }) => name);
    expect(known.filter((name) => !text.includes(name))).toEqual([]);
  });

  it("no file that is not there", () => {
    const named = [...text.matchAll(/`((?:bpf|native|lib|test|scripts)\/[\w./-]*)`/g)];
    expect(
      named.map(([, path]) => path ?? "").filter((path) => !existsSync(join(root, path))),
    ).toEqual([]);
  });
});

const pictures = readdirSync(join(root, "docs"))
  .filter((name) => name.endsWith(".svg"))
  .map((name) => join(root, "docs", name));

describe.each(pictures.map((path) => [relative(root, path), path]))("%s", (_, path) => {
  const source = readFileSync(path, "utf8");

  it("closes every element that it opens", () => {
    const open: string[] = [];
    for (const [, end, name = "", empty] of source.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
      if (empty) continue;
      if (end) expect(open.pop()).toBe(name);
      else open.push(name);
    }
    expect(open).toEqual([]);
  });

  it("says in words what it shows, loads nothing, and has colours for dark pages", () => {
    expect(source).toMatch(/<title id="title">.+<\/title>/);
    expect(source).toMatch(/<desc id="description">.+<\/desc>/);
    expect(source.replace('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(
      /https?:|@import|@font-face|href|<script/,
    );
    expect(source).toContain("@media (prefers-color-scheme: dark)");
  });
});
