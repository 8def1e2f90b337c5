/** The compiled program: from the file that the build made to a native object. */
import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { Limit } from "../compile/abi.gen.ts";
import { limits } from "../compile/limits.ts";
import { SfunnelError } from "../errors.ts";
import { binding, isFailure, type NativeObject } from "../native/binding.ts";
import { type Capability, missingCapabilities } from "../native/capabilities.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { LoadOptions } from "./options.ts";

/** BPF_FUNC_loop, since Linux 5.17. */
export const LOOP_HELPER = 181;

/** Both lib/runtime/ and dist/runtime/ lie two levels below the package. */
function pathOf(name: string): string {
  return fileURLToPath(new URL(`../../dist/bpf/${name}.bpf.o`, import.meta.url));
}

async function readProgram(name: string): Promise<Uint8Array> {
  const path = pathOf(name);
  try {
    return await readFile(path);
  } catch (cause) {
    throw new SfunnelError("SFUNNEL_ADDON", `load: the BPF program is missing (${path})`, {
      operation: "load",
      hint: "in a checkout, build it with: npm run build",
      cause,
    });
  }
}

export interface LoadedProgram {
  readonly object: NativeObject;
  /** Whether it can ask the kernel for the MTU of an interface. */
  readonly asksMtu: boolean;
  /** Steps that the search for a rule may take. */
  readonly searchSteps: number;
}

/**
 * Loads the program as the options say. Only where the kernel refuses it, and then for want of a
 * helper, the larger one that does without is tried.
 */
export async function loadProgram({
  flows,
  connections,
  trace,
}: Required<LoadOptions>): Promise<LoadedProgram> {
  if (trace) assertMayTrace();
  const native = binding();
  const name = trace ? "sfunnel-trace" : "sfunnel";
  const part = (perCent: number) => Math.ceil((connections * perCent) / 100);
  const sizes = {
    replies: flows,
    connections,
    beginnings: part(Limit.BEGUN_PER_CENT),
    closings: part(Limit.OVER_PER_CENT),
  };
  let object = await native.load(await readProgram(name), sizes);
  let hasLoops = true;
  if (isFailure(object) && (await native.hasHelper(LOOP_HELPER)) === false) {
    hasLoops = false;
    object = await native.load(await readProgram(`${name}-without-loop`), sizes);
  }
  if (isFailure(object)) throw errorOf(object, "load", NEEDS.load ?? []);
  const searchSteps = hasLoops ? limits.searchSteps : limits.searchStepsBefore517;
  return { object, asksMtu: hasLoops, searchSteps };
}

/** The kernel would only say that a helper is unknown. */
function assertMayTrace(): void {
  const needs: readonly Capability[] = [...(NEEDS.load ?? []), "CAP_PERFMON"];
  if (missingCapabilities(needs).length === 0) return;
  throw errorOf({ errno: constants.errno.EPERM, step: "trace" }, "load", needs);
}
