/**
 * Kubernetes manifests of the documents: the variables that they give to sfunnel go to the real
 * command, in a network namespace with an eth0, as the container would get them.
 */
import type { Host } from "../support/lab.ts";
import { runCommands } from "./shell.ts";

/** The environment in a manifest; a value is plain, quoted, or a block behind `|` or `>-`. */
export function environmentOf(text: string): Map<string, string> {
  const environment = new Map<string, string>();
  const lines = text.split("\n");
  for (const [index, line] of lines.entries()) {
    const name = /^\s*- name: ([A-Z_]+)$/.exec(line)?.[1];
    const [, indent = "", value = ""] = /^( *)value: (.*)$/.exec(lines[index + 1] ?? "") ?? [];
    if (name === undefined || value === "") continue;
    if (!/^[|>]-?$/.test(value)) {
      environment.set(name, value.replace(/^(["'])(.*)\1$/, "$2"));
      continue;
    }
    const inside = new RegExp(`^ {${indent.length + 1},}\\S|^\\s*$`);
    const behind = lines.slice(index + 2);
    const end = behind.findIndex((each) => !inside.test(each));
    const block = (end === -1 ? behind : behind.slice(0, end)).map((each) => each.trim());
    environment.set(name, block.join(value.startsWith("|") ? "\n" : " ").trim());
  }
  return environment;
}

/** What is wrong with a manifest; undefined if nothing is. */
export async function problemOfManifest(text: string, host: Host): Promise<string | undefined> {
  if (/\t/.test(text)) return "YAML takes no tabs";
  const uneven = text.split("\n").find((line) => (/^ */.exec(line)?.[0].length ?? 0) % 2 === 1);
  if (uneven !== undefined) return `the indentation is not even: ${uneven}`;
  const environment = environmentOf(text);
  if (environment.size === 0) {
    return /sfunnel/.test(text) ? "sfunnel gets no environment in it" : undefined;
  }
  const assignments = [...environment].map(
    ([name, value]) => `${name}='${value.replaceAll("'", "'\\''")}'`,
  );
  return (await runCommands(`${assignments.join(" ")} sfunnel\n`, host)).problem;
}
