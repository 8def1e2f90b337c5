/** Every fenced snippet of README.md, docs/ and the other documents is run or checked. */
import { describe, expect, it } from "vitest";
import { snippetsOf } from "./document.ts";
import { documents } from "./documents.ts";
import { problemOf } from "./snippets.ts";

describe.each(documents)("$path", (document) => {
  it("closes its fences", () => {
    snippetsOf(document);
  });

  for (const snippet of snippetsOf(document)) {
    it(`line ${snippet.line}: ${snippet.language}`, async () => {
      expect(await problemOf(snippet)).toBeUndefined();
    });
  }
});

it("finds the snippets of the README", () => {
  const readme = documents.find(({ path }) => path === "README.md");
  const languages = readme ? snippetsOf(readme).map(({ language }) => language) : [];
  expect(new Set(languages)).toEqual(new Set(["sh", "js", "ts", "yaml"]));
});
