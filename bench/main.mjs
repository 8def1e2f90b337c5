// The bench from its beginning to its end. Needs a checkout that is set up.
import { setMaxListeners } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { measureLookup } from "./lookup.mjs";
import { describeMachine } from "./machine.mjs";
import { measurePush } from "./push.mjs";
import { measureReplace } from "./replace.mjs";
import { markdownReport, textReport } from "./report.mjs";
import { measureTcp } from "./tcp.mjs";
import { measureTranslate } from "./translate.mjs";
import { measureUdp } from "./udp.mjs";

const MEASURE = {
  push: measurePush,
  lookup: measureLookup,
  replace: measureReplace,
  udp: measureUdp,
  tcp: measureTcp,
  translate: measureTranslate,
};

const DOCS = new URL("../docs/", import.meta.url);

const HIGHEST_PRIORITY = -20;

const started = performance.now();
/** Takes precedence over all that is not real time, with all threads and whatever is started from here. */
function beUrgent() {
  for (const thread of readdirSync("/proc/self/task"))
    setPriority(Number(thread), HIGHEST_PRIORITY);
}

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
  beUrgent();
  setMaxListeners(0, signal); // Every command under way listens.
  const machine = describeMachine();
  if (!markdown) {
    for (const [name, value] of machine) console.log(`${`${name}:`.padEnd(12)}${value}`);
    console.log();
  }
  const rows = [];
  const tables = [];
  let sound = true;
  for (const part of parts) {
    progress(part);
    try {
      const found = await MEASURE[part]({ rounds, signal });
      rows.push(...(found.rows ?? found));
      tables.push(...(found.tables ?? []));
      if (markdown) {
        for (const { file, svg } of found.plots ?? []) writeFileSync(new URL(file, DOCS), svg);
      }
    } catch (error) {
      if (signal.aborted) throw error;
      sound = false;
      progress(`${part} could not be measured: ${error.message}`);
    }
  }
  progress("done");
  if (rows.length > 0) {
    console.log(markdown ? markdownReport(machine, rows, tables) : `\n${textReport(rows, tables)}`);
  }
  return sound;
}
