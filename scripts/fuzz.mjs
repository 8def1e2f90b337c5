// npm run fuzz: random input for as long as one likes, until something is wrong. Uses nothing but
// Node itself until all is set up, because nothing else may be there yet.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setup } from "./setup.mjs";

const PARTS = ["frames", "parser"];

const HELP = `usage: npm run fuzz [-- [PART] [--seed N] [--frames N] [--minutes N] [--skip-setup]]

Random input until something is wrong, or Ctrl-C:

  frames  rulesets and frames, of both families, through the program in the kernel and the
          reference model: any difference, checksum spoilt or packet not counted (default; needs root)
  parser  texts and data through parseRules, checkRules and formatRules: anything thrown but
          RuleError; 20000 of each, unless told otherwise, and then what n and 8n of many things
          take, in milliseconds and as a ratio

  --seed N      begin with this seed: what a failure names repeats it (default: the time)
  --frames N    stop after so many frames (or texts)
  --minutes N   stop after so many minutes
  --skip-setup  take the checkout as it is: install and build nothing
  --help        print this

It ends with 0 if nothing was wrong, with 1 at the first thing that was, after a report.`;

function refuse(message) {
  console.error(`fuzz: ${message}\n\n${HELP}`);
  process.exit(2);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        seed: { type: "string" },
        frames: { type: "string" },
        minutes: { type: "string" },
        "skip-setup": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    return refuse(error.message);
  }
}

function wholeNumber(name, text, otherwise) {
  if (text === undefined) return otherwise;
  if (!/^\d{1,10}$/.test(text)) refuse(`--${name} takes a whole number, found "${text}"`);
  return Number(text);
}

/** The tests' own helpers are TypeScript, which Node 20 does not run: vite, which vitest stands on, does. */
async function load(path) {
  const { createViteServer } = await import("vitest/node");
  const server = await createViteServer({
    root: fileURLToPath(new URL("..", import.meta.url)),
    configFile: false,
    appType: "custom",
    logLevel: "error",
    server: { middlewareMode: true, hmr: false, ws: false, watch: null },
    optimizeDeps: { noDiscovery: true },
  });
  return { server, module: await server.ssrLoadModule(path) };
}

const { values: options, positionals } = readArguments();
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const [part = "frames", ...more] = positionals;
if (more.length > 0 || !PARTS.includes(part)) refuse(`there is no part "${positionals.join(" ")}"`);
const seed = wholeNumber("seed", options.seed, Date.now() % 2 ** 32);
const frames = wholeNumber("frames", options.frames, Number.POSITIVE_INFINITY);
const minutes = wholeNumber("minutes", options.minutes, Number.POSITIVE_INFINITY);
if (part === "frames" && (process.platform !== "linux" || process.getuid() !== 0)) {
  console.error("fuzz: needs root on Linux, to make a network namespace and to load BPF programs");
  process.exit(1);
}
if (!options["skip-setup"]) await setup();

const controller = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(name, () => controller.abort(name));
}
const { server, module } = await load(`/test/support/fuzz-${part}.ts`);
try {
  const isRight = await module.fuzz({ seed, frames, minutes, signal: controller.signal });
  process.exitCode = isRight ? 0 : 1;
} finally {
  await server.close();
}
