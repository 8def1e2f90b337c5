/**
 * Commands of the documents. The whole block runs in a shell, in a network namespace with an
 * eth0, and must succeed. `sfunnel` is the real command; what would leave the namespace (npm,
 * docker, kubectl) is played by the scripts in commands/, which check what they are given. No
 * other command may stand in a document: see KNOWN.
 */
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Host } from "../support/lab.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Played by a script of that name in commands/. */
const PLAYED = ["npm", "docker", "kubectl"];

/** Commands that a document may use. */
export const KNOWN: ReadonlySet<string> = new Set([
  ...PLAYED,
  ...["sfunnel", "cat", "echo", "export", "ip", "printf", "tc"],
]);

/** Longest time that one block may take, in milliseconds. */
const LONGEST_RUN = 30_000;

/** Path of the command that package.json offers; undefined if there is none. */
function commandPath(): string | undefined {
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    bin?: string | { sfunnel?: string };
  };
  const path = typeof bin === "string" ? bin : bin?.sfunnel;
  return path === undefined ? undefined : join(root, path);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A folder for PATH in which the commands are the ones that are meant. */
function commandFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "sfunnel-docs-"));
  const put = (name: string, script: string) => {
    const command = `#!/bin/sh\nexec ${quoted(process.execPath)} ${quoted(script)} "$@"\n`;
    writeFileSync(join(folder, name), command);
    chmodSync(join(folder, name), 0o755);
  };
  for (const name of PLAYED) put(name, join(root, "test/docs/commands", `${name}.mjs`));
  const command = commandPath();
  if (command !== undefined) put("sfunnel", command);
  return folder;
}

/** The commands of a block, without the assignments before them. */
export function commandsOf(text: string): string[] {
  const withoutHereDocuments = text.replace(/<<-?\s*'?(\w+)'?([^\n]*)\n[\s\S]*?\n\1\n/g, "$2\n");
  const joined = withoutHereDocuments.replace(/\\\n\s*/g, "");
  // What stands between quotes is no command, however many lines it takes.
  const masked = joined.replace(/"(?:[^"\\]|\\.)*"|'[^']*'/g, "Q");
  return masked
    .replace(/(^|\s)#.*$/gm, "")
    .split(/\n|;|&&|\|\|?|&/)
    .map((command) => command.trim().replace(/^(\w+=\S*\s+)*(\w+=\S*$)?/, ""))
    .filter((command) => command !== "")
    .map((command) => command.split(/\s/)[0] ?? "");
}

export interface Output {
  readonly problem: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a block. */
export async function runCommands(text: string, host: Host): Promise<Output> {
  const unknown = commandsOf(text).find((command) => !KNOWN.has(command));
  if (unknown !== undefined) {
    const problem = `the command "${unknown}" is not one that documents may use`;
    return { problem, stdout: "", stderr: "" };
  }
  const folder = commandFolder();
  try {
    return await new Promise((resolve) => {
      const child = execFile(
        "ip",
        ["netns", "exec", host.netns, "sh", "-eu", "-c", text],
        {
          cwd: root,
          // Nothing of our own environment: neither variables of sfunnel nor of npm.
          env: { PATH: `${folder}:/usr/sbin:/usr/bin:/sbin:/bin` },
          timeout: LONGEST_RUN,
          killSignal: "SIGKILL",
        },
        (error, stdout, stderr) => {
          const problem = error ? `it fails (${error.code ?? error.signal}): ${stderr}` : undefined;
          resolve({ problem, stdout, stderr });
        },
      );
      child.stdin?.end();
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
