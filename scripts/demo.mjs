// npm run demo: sets up what is missing, then shows what sfunnel is for (demo/). Uses nothing but
// Node itself until that is done, because nothing else may be there yet.
//
// Two environment variables are for the tests: SFUNNEL_DEMO_SKIP_SETUP=1 takes the checkout as
// it is, SFUNNEL_DEMO_FAULT breaks the demo in a way that demo/run.mjs knows.
import { constants } from "node:os";
import { parseArgs } from "node:util";
import { setup } from "./setup.mjs";

const HELP = `usage: npm run demo [-- [--ipv6] [--show-rules]]

Builds a small cluster out of network namespaces: 8 clients, a node with the iptables rules that
kube-proxy writes for a service with sessionAffinity: ClientIP, and 3 backends. Shows in a table
which backend served each client on each port of the service, without sfunnel and with it.

  --ipv6        all of it on IPv6, with ip6tables
  --show-rules  print the node's rules as well, as iptables-save shows them
  --help        print this

Runs as root on Linux. Installs what is missing first (Debian packages, npm ci, build). It ends
with 0 if clients were split without sfunnel and none was with it, with every answer and every
source address in place; with 1 otherwise. It leaves no namespace and no process behind, also
after Ctrl-C.`;

function readArguments() {
  try {
    return parseArgs({
      options: {
        ipv6: { type: "boolean" },
        "show-rules": { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    console.error(`demo: ${error.message}\n\n${HELP}`);
    process.exit(2);
  }
}

/** Gives the exit status. */
async function main(options) {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(name, () => controller.abort(name));
  }
  // Whoever reads what we print has gone (| head): as good as a signal.
  process.stdout.on("error", () => controller.abort("SIGPIPE"));
  const { explain, runDemo } = await import("../demo/run.mjs");
  const { signal } = controller;
  try {
    const fault = process.env.SFUNNEL_DEMO_FAULT;
    const shown = await runDemo({
      ...{ signal, fault, showRules: options["show-rules"] },
      family: options.ipv6 ? "ipv6" : "ipv4",
    });
    if (shown) {
      explain();
      return 0;
    }
    console.error("\ndemo: this is not what should have come out, see above");
    return 1;
  } catch (error) {
    if (!signal.aborted) {
      console.error(`\ndemo: ${error.message}${error.hint ? `\n  ${error.hint}` : ""}`);
      return 1;
    }
    console.error(`\ndemo: stopped by ${signal.reason}, everything is cleaned up`);
    return 128 + constants.signals[signal.reason];
  }
}

const options = readArguments();
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
if (process.platform !== "linux" || process.getuid() !== 0) {
  console.error("demo: needs root on Linux, to make network namespaces and to load a BPF program");
  process.exit(1);
}
if (process.env.SFUNNEL_DEMO_SKIP_SETUP !== "1") await setup();
process.exitCode = await main(options);
