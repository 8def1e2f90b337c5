// iperf3 from the client of a path to its server, with the kernel's defaults and its own.
import { setTimeout } from "node:timers/promises";
import { run } from "../demo/host.mjs";
import { sender } from "./compile.mjs";

const SECONDS = 1;
/** After which either side is killed, whatever it hangs in. */
const LONGEST_SECONDS = 8;
const LOOK_EVERY_MS = 5;

/** What becomes iperf3 in the place of a role, with the arguments of `run`. */
function iperf3(role, host, args) {
  const words = [role, host.netns, LONGEST_SECONDS, "iperf3", ...args];
  return [sender("as-role"), words.map(String)];
}

/** Resolves when somebody listens at the port; whoever waits bounds it. */
async function listening(server, port, signal) {
  for (;;) {
    signal.throwIfAborted();
    if ((await server.run("ss", ["-Hltn", "sport", "=", `:${port}`])) !== "") return;
    await setTimeout(LOOK_EVERY_MS);
  }
}

/**
 * One transfer: what has arrived of it, and in which time.
 *
 * @returns {Promise<{ bytes: number, seconds: number }>}
 */
export async function iperf({ client, server, address }, options, signal) {
  const { port, congestionControl, streams } = options;
  // Neither side may go on when the other has failed.
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const words = ["--server", "--one-off", "--port", port];
  const served = run(...iperf3("receiver", server, words), { signal: either });
  try {
    await Promise.race([listening(server, port, either), served]);
    const report = await run(
      ...iperf3("sender", client, [
        ...["--client", address, "--port", port, "--json", "--time", SECONDS],
        ...["--congestion", congestionControl, "--parallel", streams],
      ]),
      { signal: either },
    );
    await served;
    const { bytes, seconds } = JSON.parse(report).end.sum_received;
    if (bytes === 0) throw new Error(`iperf3: nothing has arrived in ${seconds} seconds`);
    return { bytes, seconds };
  } finally {
    over.abort();
    // Killed is not gone yet; and of two that fail the first one is told.
    await served.catch(() => {});
  }
}
