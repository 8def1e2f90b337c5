// npm run bench: sets up what is missing, then measures what funneling costs (bench/). Uses nothing
// but Node itself until that is done, because nothing else may be there yet.
import { constants } from "node:os";
import { parseArgs } from "node:util";
import { setup } from "./setup.mjs";

const PARTS = ["push", "lookup", "replace", "udp", "tcp", "translate"];

const HELP = `usage: npm run bench [-- PART... [--rounds N] [--markdown] [--skip-setup]]

Measures what funneling costs, as ratios to the same thing without it, in turn with it. All parts
together take some ten minutes:

  push       the program alone, in BPF_PROG_TEST_RUN, against bpf_skb_adjust_room
  lookup     the same for packets that ask 1 to 100,000 rules, against one rule, a linear search, and
             other structures
  replace    replaces of 10,000 and 100,000 rules, load and attach, memory
  udp        packets per second of UDP over TCP, local and forwarded, against plain UDP
  tcp        throughput of TCP over TCP in a carrier, cubic and bbr, against a plain connection
  translate  TCP over TCP without a carrier: iperf3, cubic and bbr, 1 stream and 16, and
             connections per second, against the same without us

  --rounds N    how often each ratio is measured; each part has its own default
  --markdown    print the tables for docs/performance.md, and draw the plot of lookup into docs/
  --skip-setup  take the checkout as it is: install and build nothing
  --help        print this

Runs as root on Linux, in network namespaces of its own. It ends with 0 if all could be measured,
also where a goal is missed, with 1 otherwise. It leaves nothing behind, also after Ctrl-C.
docs/performance.md says how to read the table.`;

function refuse(message) {
  console.error(`bench: ${message}\n\n${HELP}`);
  process.exit(2);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: "string" },
        markdown: { type: "boolean" },
        "skip-setup": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    return refuse(error.message);
  }
}

/** Gives the exit status. */
async function main({ parts, rounds, markdown }) {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(name, () => controller.abort(name));
  }
  // Whoever reads what we print has gone (| head): as good as a signal.
  process.stdout.on("error", () => controller.abort("SIGPIPE"));
  const { runBench } = await import("../bench/main.mjs");
  const { signal } = controller;
  try {
    return (await runBench({ parts, rounds, markdown, signal })) ? 0 : 1;
  } catch (error) {
    if (!signal.aborted) {
      console.error(`bench: ${error.message}${error.hint ? `\n  ${error.hint}` : ""}`);
      return 1;
    }
    console.error(`\nbench: stopped by ${signal.reason}, everything is cleaned up`);
    return 128 + constants.signals[signal.reason];
  }
}

const { values: options, positionals } = readArguments();
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const unknown = positionals.find((part) => !PARTS.includes(part));
if (unknown !== undefined) refuse(`there is no part "${unknown}"`);
if (options.rounds !== undefined && !/^[1-9]\d{0,2}$/.test(options.rounds)) {
  refuse(`--rounds takes a number from 1 to 999, found "${options.rounds}"`);
}
if (process.platform !== "linux" || process.getuid() !== 0) {
  console.error("bench: needs root on Linux, to make network namespaces and to load BPF programs");
  process.exit(1);
}
if (!options["skip-setup"]) await setup();
process.exitCode = await main({
  parts: PARTS.filter((part) => positionals.length === 0 || positionals.includes(part)),
  rounds: options.rounds === undefined ? undefined : Number(options.rounds),
  markdown: options.markdown ?? false,
});
