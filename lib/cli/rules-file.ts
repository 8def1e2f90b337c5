import { readFileSync } from "node:fs";
import { SfunnelError } from "../errors.ts";
import { RULES_FILE } from "./env.ts";

/** The rules file of the container; undefined where there is none. */
export function readRulesFile(): string | undefined {
  try {
    return decode(readFileSync(RULES_FILE));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw unreadable(RULES_FILE, error);
  }
}

/** A file of rules, or stdin for "-". */
export async function readRules(file: string): Promise<string> {
  try {
    if (file !== "-") return decode(readFileSync(file));
    const chunks: Uint8Array[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk);
    return decode(Buffer.concat(chunks));
  } catch (error) {
    throw unreadable(file === "-" ? "stdin" : file, error);
  }
}

/** Editors on Windows put a byte order mark at the start; the decoder takes it away. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown";
}

function unreadable(file: string, cause: unknown): SfunnelError {
  return new SfunnelError("SFUNNEL_SYSTEM", `${file} cannot be read (${codeOf(cause)})`, {
    operation: "read rules",
    cause,
  });
}
