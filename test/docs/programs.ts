/**
 * Programs of the documents, run for real: as root of a network namespace with an eth0, with
 * "sfunnel" resolved through the exports of package.json, as a user's program resolves it.
 *
 * Two programs of one document whose first lines say `// client side` and `// service side` run
 * together, with a router between them that lets no UDP through.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Host, Lab } from "../support/lab.ts";
import { type Snippet, snippetsOf } from "./document.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Inside the package, so that it can import itself by name. */
const folder = join(root, "build/snippets");

/** A program of a document that hangs is killed after this many milliseconds. */
const LONGEST_RUN = 20_000;

let written = 0;

/** A snippet as a file that Node can run; it goes with its owner. */
class ProgramFile implements Disposable {
  readonly folder: string;

  constructor({ document, language, text }: Snippet) {
    const name = `${basename(document.path, ".md")}-${process.pid}-${written++}`;
    this.folder = join(folder, name);
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(join(this.folder, `program.${language}`), text);
  }

  get path(): string {
    return join(this.folder, "program.js");
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** @throws Error with the compiler's words if TypeScript has a type error. */
async function prepareProgram(snippet: Snippet): Promise<ProgramFile> {
  const file = new ProgramFile(snippet);
  try {
    if (snippet.language === "ts") await compile(file.folder);
    return file;
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

async function compile(own: string): Promise<void> {
  writeFileSync(
    join(own, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.json"),
      compilerOptions: { noEmit: false, rootDir: ".", outDir: "." },
      files: ["program.ts"],
      include: [],
    }),
  );
  try {
    await promisify(execFile)(join(root, "node_modules/.bin/tsc"), ["-p", own]);
  } catch (error) {
    throw new Error(`it does not compile: ${(error as { stdout?: string }).stdout ?? error}`);
  }
}

/** A program that was started and tells what it prints. */
export class RunningProgram {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #ended: Promise<unknown>;
  readonly #timer: NodeJS.Timeout;
  #firstLine: () => void = () => {};
  readonly #printed = new Promise<void>((resolve) => {
    this.#firstLine = resolve;
  });
  #stderr = "";

  constructor(host: Host, path: string) {
    this.#child = spawn("ip", ["netns", "exec", host.netns, process.execPath, path], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { stdout, stderr } = this.#child;
    if (!stdout || !stderr) throw new Error("program without pipes");
    createInterface({ input: stdout }).on("line", (line) => {
      this.#lines.push(line);
      this.#firstLine();
    });
    stderr.on("data", (data) => {
      this.#stderr += data;
    });
    this.#ended = once(this.#child, "close");
    this.#timer = setTimeout(() => this.kill(), LONGEST_RUN);
  }

  /** Waits until it has printed a line, as the service side does when it is ready; or ended. */
  async printed(): Promise<void> {
    await Promise.race([this.#printed, this.#ended]);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /**
   * Waits for its end and gives the lines that it printed.
   *
   * @throws Error if it failed, with what it wrote to stderr.
   */
  async end(): Promise<readonly string[]> {
    await this.#ended;
    clearTimeout(this.#timer);
    const { exitCode, signalCode } = this.#child;
    if (signalCode) throw new Error(`it was killed after ${LONGEST_RUN / 1000} s: ${this.#stderr}`);
    if (exitCode !== 0) throw new Error(`it ended with ${exitCode}: ${this.#stderr}`);
    return this.#lines;
  }
}

/** The lines that a program says it prints: `console.log(...); // prints: text`. */
function toldOutput(text: string): string[] {
  return [...text.matchAll(/\/\/ prints: (.*)$/gm)].map(([, line]) => line ?? "");
}

/** Waits for its end; what is wrong with what it printed, undefined if nothing is. */
async function problemOfOutput(
  program: RunningProgram,
  { text }: Snippet,
): Promise<string | undefined> {
  const printed = (await program.end()).join("\n");
  const told = toldOutput(text).join("\n");
  return told === "" || told === printed
    ? undefined
    : `it says that it prints\n${told}\nand prints\n${printed}`;
}

type Side = "client" | "service";

function sideOf({ text }: Snippet): Side | undefined {
  return /^\/\/ (client|service) side/.exec(text)?.[1] as Side | undefined;
}

/** What is wrong with a program; undefined if nothing is. */
export async function problemOfProgram(snippet: Snippet): Promise<string | undefined> {
  try {
    return sideOf(snippet) === undefined
      ? await problemOfSingle(snippet)
      : await problemOfPair(snippetsOf(snippet.document));
  } catch (error) {
    return (error as Error).message;
  }
}

async function problemOfSingle(snippet: Snippet): Promise<string | undefined> {
  using lab = new Lab();
  const host = lab.host("a");
  lab.link(host, "eth0", "192.0.2.1/24", lab.host("b"), "eth0", "192.0.2.10/24");
  using file = await prepareProgram(snippet);
  return await problemOfOutput(new RunningProgram(host, file.path), snippet);
}

/**
 * Makes the hosts on the way learn each other's hardware addresses. A packet that waits for them
 * would leave later than its sender believes, after a program that sent it has ended perhaps.
 */
async function meet(lab: Lab, host: Host, address: string): Promise<void> {
  const discard = 9;
  const refused = lab.endpoint(host, "tcpSend", { address, port: discard });
  await refused.message(({ event }) => event === "error");
}

async function problemOfPair(snippets: readonly Snippet[]): Promise<string | undefined> {
  const [service, ...others] = snippets.filter((snippet) => sideOf(snippet) === "service");
  const [client, ...more] = snippets.filter((snippet) => sideOf(snippet) === "client");
  if (!service || !client || others.length + more.length > 0) {
    return "a document has one program for each side, or none";
  }
  using lab = new Lab();
  const clientHost = lab.host("c");
  const router = lab.router("r");
  const serviceHost = lab.host("s");
  lab.link(clientHost, "eth0", "198.51.100.1/24", router, "eth0", "198.51.100.254/24");
  lab.link(serviceHost, "eth0", "192.0.2.10/24", router, "eth1", "192.0.2.254/24");
  lab.run(clientHost, "ip", "route", "add", "default", "via", "198.51.100.254");
  lab.run(serviceHost, "ip", "route", "add", "default", "via", "192.0.2.254");
  lab.run(router, "iptables", "--append", "FORWARD", "--protocol", "udp", "--jump", "DROP");

  await meet(lab, clientHost, "192.0.2.10");

  using serviceFile = await prepareProgram(service);
  using clientFile = await prepareProgram(client);
  const serving = new RunningProgram(serviceHost, serviceFile.path);
  try {
    await serving.printed();
    const asking = new RunningProgram(clientHost, clientFile.path);
    return (await problemOfOutput(asking, client)) ?? (await problemOfOutput(serving, service));
  } finally {
    serving.kill();
  }
}
