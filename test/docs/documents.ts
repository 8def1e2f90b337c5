/** The documents of this repository that make promises to users. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Document } from "./document.ts";

export const root = fileURLToPath(new URL("../../", import.meta.url));

export function readDocument(path: string): Document {
  return { path, text: readFileSync(join(root, path), "utf8") };
}

function markdownIn(folder: string): string[] {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name));
}

/** Those whose snippets are run as they stand. */
export const documents: readonly Document[] = [...markdownIn("."), ...markdownIn("docs")].map(
  readDocument,
);

/** Those of examples: what they show is run by the tests of the examples. */
export const exampleDocuments: readonly Document[] = readdirSync(join(root, "examples"), {
  withFileTypes: true,
})
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => markdownIn(join("examples", name)))
  .map(readDocument);
