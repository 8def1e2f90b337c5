/** How each language of a snippet is checked. A language that is not here is a problem itself. */
import { type Host, Lab } from "../support/lab.ts";
import type { Snippet } from "./document.ts";
import { problemOfGrammar } from "./grammar-snippet.ts";
import { problemOfManifest } from "./manifest-snippet.ts";
import { problemOfProgram } from "./programs.ts";
import { problemOfRules } from "./rules-snippet.ts";
import { runCommands } from "./shell.ts";

type Problem = string | undefined;

/** Runs `work` in a namespace whose eth0 is up and has a neighbour. */
async function onHost<Result>(work: (host: Host) => Promise<Result>): Promise<Result> {
  using lab = new Lab();
  const host = lab.host("a");
  const other = lab.host("b");
  lab.link(host, "eth0", "192.0.2.1/24", other, "eth0", "192.0.2.10/24");
  return await work(host);
}

/** What a text shows is what the commands before it print. */
async function problemOfOutput({ text, previous }: Snippet): Promise<Problem> {
  if (previous?.language !== "sh") return "it is the output of nothing: no sh snippet before it";
  const { stdout, stderr } = await onHost((host) => runCommands(previous.text, host));
  const printed = `${stdout}${stderr}`;
  return printed === text ? undefined : `the commands before it print\n${printed}`;
}

/** Each line is a document of its own, as programs print them. */
function problemOfJson({ text }: Snippet): Problem {
  try {
    for (const line of text.trim().split("\n")) JSON.parse(line);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const checkers: Readonly<Record<string, (snippet: Snippet) => Problem | Promise<Problem>>> = {
  sfunnel: ({ text }) => problemOfRules(text),
  ebnf: ({ text }) => problemOfGrammar(text),
  js: problemOfProgram,
  ts: problemOfProgram,
  sh: ({ text }) => onHost(async (host) => (await runCommands(text, host)).problem),
  yaml: ({ text }) => onHost((host) => problemOfManifest(text, host)),
  json: problemOfJson,
  text: problemOfOutput,
};

/** What is wrong with a snippet; undefined if nothing is. */
export async function problemOf(snippet: Snippet): Promise<Problem> {
  const { language } = snippet;
  const checker = Object.hasOwn(checkers, language) ? checkers[language] : undefined;
  if (!checker) {
    return `"${language}" is no language that is checked (${Object.keys(checkers).join(", ")})`;
  }
  return checker(snippet);
}
