/** What the documents of this repository hold: fenced snippets, inline rules, links. */

export interface Document {
  /** From the root of the repository, e.g. "docs/rules.md". */
  readonly path: string;
  readonly text: string;
}

/** A fenced block of a document. */
export interface Snippet {
  readonly document: Document;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** First word behind the fence; "" where there is none. */
  readonly language: string;
  readonly text: string;
  /** The snippet before it in the same document. */
  readonly previous: Snippet | undefined;
}

const OPENING = /^( *)(`{3,}|~{3,}) *([^\s`]*)[^`]*$/;

/**
 * All fenced blocks, in order.
 *
 * @throws Error for a fence that is never closed: all behind it would go unchecked.
 */
export function snippetsOf(document: Document): Snippet[] {
  const snippets: Snippet[] = [];
  const lines = document.text.split("\n");
  for (let index = 0; index < lines.length; index++) {
    const opening = OPENING.exec(lines[index] ?? "");
    if (!opening) continue;
    const [, indent = "", fence = "", language = ""] = opening;
    const line = index + 1;
    const body: string[] = [];
    const isEnd = (text: string) => new RegExp(`^ *${fence}${fence[0]}* *$`).test(text);
    for (index++; !isEnd(lines[index] ?? ""); index++) {
      if (index >= lines.length) {
        throw new Error(`${document.path}:${line}: this fence is never closed`);
      }
      const text = lines[index] ?? "";
      body.push(text.startsWith(indent) ? text.slice(indent.length) : text.trimStart());
    }
    const text = `${body.join("\n")}\n`;
    snippets.push({ document, line, language, text, previous: snippets.at(-1) });
  }
  return snippets;
}

/** The text without its fenced blocks, line numbers kept. */
function proseOf(document: Document): string {
  const lines = document.text.split("\n");
  for (const { line, text } of snippetsOf(document)) {
    lines.fill("", line - 1, line + text.split("\n").length);
  }
  return lines.join("\n");
}

export interface Place<Value> {
  readonly line: number;
  readonly value: Value;
}

function findAll(text: string, pattern: RegExp): Place<string>[] {
  return [...text.matchAll(pattern)].map((found) => ({
    line: text.slice(0, found.index).split("\n").length,
    value: found[1] ?? "",
  }));
}

/** Rules between backticks in the prose. */
export function inlineRulesOf(document: Document): Place<string>[] {
  return findAll(proseOf(document), /`([^`]*)`/g)
    .map(({ line, value }) => ({ line, value: value.replace(/\s*\n\s*/g, " ") }))
    .filter(({ value }) => /(^|\s)actions\s+\S/.test(value));
}

/** Targets of links and pictures, Markdown's and HTML's. */
export function linksOf(document: Document): Place<string>[] {
  return findAll(proseOf(document), /(?:\]\(|(?:src|srcset|href)=")([^)"\s]+)/g);
}

/** The anchors that GitHub gives to the headings of a document. */
export function anchorsOf(document: Document): Set<string> {
  return new Set(
    findAll(proseOf(document), /^#+ +(.*)$/gm).map(({ value }) =>
      value
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}
