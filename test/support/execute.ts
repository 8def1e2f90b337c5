/**
 * Commands that a test waits for. They are started by a small shell and not by the test itself: to fork a
 * process as large as a test takes several times as long as to run ip(8), and a test starts hundreds.
 */
import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A command that did not end well. */
export class CommandError extends Error {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;

  constructor(command: string, status: number, stdout: string, stderr: string) {
    super(`Command failed (${status}): ${command}\n${stderr}`);
    this.status = status;
    this.stdout = stdout;
    this.stderr = stderr;
  }
}

/**
 * Runs the script in its folder for each line that it is told, and tells how that ended. It ends, and takes
 * the folder away, when nobody is left to tell it anything.
 */
const LOOP = `
exec 3<"$1/requests" 4>"$1/replies"
while read -r _ <&3; do . "$1/script"; echo $? >&4; done
rm -r "$1"
`;

class Shell {
  readonly #folder = mkdtempSync(join(tmpdir(), "sfunnel-test-"));
  readonly #requests: number;
  readonly #replies: number;

  constructor() {
    const [requests = "", replies = ""] = ["requests", "replies"].map(this.#path);
    execFileSync("mkfifo", [requests, replies]);
    const shell = spawn("sh", ["-c", LOOP, "sh", this.#folder], { stdio: "ignore" });
    if (shell.pid === undefined) throw new Error("there is no shell");
    shell.unref();
    // Each waits for the other side, so that either hears when the other one has gone.
    this.#requests = openSync(requests, "w");
    this.#replies = openSync(replies, "r");
  }

  #path = (name: string): string => join(this.#folder, name);

  run(command: string, args: readonly string[], input: string | undefined): string {
    const words = [command, ...args].map(quoted).join(" ");
    const streams = ["in", "out", "err"].map(this.#path).map(quoted);
    if (input !== undefined) writeFileSync(this.#path("in"), input);
    const from = input === undefined ? "/dev/null" : streams[0];
    const script = `${words} <${from} >${streams[1]} 2>${streams[2]} 3<&- 4>&-\n`;
    writeFileSync(this.#path("script"), script);
    const status = this.#request();
    const [stdout = "", stderr = ""] = ["out", "err"].map((name) =>
      readFileSync(this.#path(name), "utf8"),
    );
    if (status !== 0) throw new CommandError([command, ...args].join(" "), status, stdout, stderr);
    return stdout;
  }

  /** Has the script run; its exit status. */
  #request(): number {
    const reply = Buffer.alloc(16);
    writeSync(this.#requests, "\n");
    const length = readSync(this.#replies, reply);
    if (length > 0) return Number(reply.toString("latin1", 0, length));
    closeSync(this.#requests);
    closeSync(this.#replies);
    shell = undefined;
    throw new Error("the shell that runs commands has ended");
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

let shell: Shell | undefined;

/**
 * Runs a command to its end and gives what it printed. `input`: its stdin. It has the environment and the
 * working directory that this process had when it ran its first one.
 *
 * @throws CommandError if it does not end with 0.
 */
export function execute(command: string, args: readonly string[], input?: string): string {
  shell ??= new Shell();
  return shell.run(command, args, input);
}
