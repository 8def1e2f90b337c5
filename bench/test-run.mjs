// Programs in BPF_PROG_TEST_RUN. Reaches below the public API, which runs a frame once and takes
// no time; the parts are those of which Funnel is made.
import { readFileSync } from "node:fs";
import { parseRules } from "sfunnel";
import { Limit } from "../dist/compile/abi.gen.js";
import { binding, isFailure } from "../dist/native/binding.js";
import { directionIndex } from "../dist/runtime/directions.js";
import { loadProgram } from "../dist/runtime/program.js";
import { readStats } from "../dist/runtime/stats.js";
import { RuleTables } from "../dist/runtime/tables.js";

/** Words of skb->cb; zeros, so nothing is traced. */
const CONTROL_BLOCK = new Uint32Array(5);

/** What was asked for, or an error that says why not. */
export function must(result) {
  if (!isFailure(result)) return result;
  throw new Error(`${result.step}: errno ${result.errno}\n${result.log ?? ""}`);
}

async function run(object, direction, frame, repeat) {
  return must(await object.testRun(directionIndex(direction), frame, CONTROL_BLOCK, repeat));
}

/** sfunnel with these rules. */
export class RulesProgram {
  #object;
  #tables;

  static async load(rules) {
    const program = new RulesProgram();
    const loaded = await loadProgram({
      flows: Limit.DEFAULT_FLOWS,
      connections: Limit.DEFAULT_CONNECTIONS,
      trace: false,
    });
    program.#object = loaded.object;
    program.#tables = new RuleTables(program.#object, binding().cpuNumbers);
    try {
      const { ingress = "", egress = "" } = rules;
      const lists = { ingress: parseRules(ingress), egress: parseRules(egress) };
      await program.#tables.replace(lists, "load");
    } catch (error) {
      program.close();
      throw error;
    }
    return program;
  }

  /** Runs a frame through it, again and again as it then is. */
  run(direction, frame, repeat) {
    return run(this.#object, direction, frame, repeat);
  }

  /** Packets by outcome. */
  async outcomes(direction) {
    const { [direction]: stats } = await readStats(this.#object, this.#tables);
    const { outcomes } = stats;
    return Object.fromEntries(
      Object.entries(outcomes).map(([outcome, { packets }]) => [outcome, packets]),
    );
  }

  close() {
    this.#object.close();
  }
}

/** A program of the bench's own, from its object. */
export class PlainProgram {
  #object;

  static async load(path, constants) {
    const program = new PlainProgram();
    program.#object = must(await binding().load(readFileSync(path), {}, constants));
    return program;
  }

  run(direction, frame, repeat) {
    return run(this.#object, direction, frame, repeat);
  }

  close() {
    this.#object.close();
  }
}
