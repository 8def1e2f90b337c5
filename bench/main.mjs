// The bench from its beginning to its end. Needs a checkout that is set up.
import { setMaxListeners } from "node:events";
import { describeMachine } from "./machine.mjs";
import { measurePush } from "./push.mjs";
import { markdownReport, textReport } from "./report.mjs";
import { measureTcp } from "./tcp.mjs";
import { measureTranslate } from "./translate.mjs";
import { measureUdp } from "./udp.mjs";

const MEASURE = {
  push: measurePush,
  udp: measureUdp,
  tcp: measureTcp,
  translate: measureTranslate,
};

const started = performance.now();
/** Beside the result, so that this can go into a file. */
function progress(text) {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5);
  console.error(`[${seconds} s] ${text}`);
}

/**
 * Measures these parts one after the other, prints what came out, and resolves to whether all of
 * them could be measured; a goal that is missed is a result. Gives everything back in any case,
 * also when the signal fires: it rejects then.
 */
export async function runBench({ parts, rounds, markdown, signal }) {
  signal.throwIfAborted();
  setMaxListeners(0, signal); // Every command under way listens.
  const machine = describeMachine();
  if (!markdown) {
    for (const [name, value] of machine) console.log(`${`${name}:`.padEnd(12)}${value}`);
    console.log();
  }
  const rows = [];
  let sound = true;
  for (const part of parts) {
    progress(part);
    try {
      rows.push(...(await MEASURE[part]({ rounds, signal })));
    } catch (error) {
      if (signal.aborted) throw error;
      sound = false;
      progress(`${part} could not be measured: ${error.message}`);
    }
  }
  progress("done");
  if (rows.length > 0) {
    console.log(markdown ? markdownReport(machine, rows) : `\n${textReport(rows)}`);
  }
  return sound;
}
