/** The compiled program: from the file that the build made to a native object. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { SfunnelError } from "../errors.ts";
import { binding, isFailure, type NativeObject } from "../native/binding.ts";
import { errorOf, NEEDS } from "../native/failure.ts";

/** BPF_FUNC_loop, since Linux 5.17. */
const LOOP_HELPER = 181;

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

/**
 * Loads the program, with room for so many `flows`. Only where the kernel refuses it, and then
 * for want of a helper, the larger one that does without is tried.
 */
export async function loadProgram(flows: number): Promise<NativeObject> {
  const native = binding();
  const limits = { replies: flows };
  let object = await native.load(await readProgram("sfunnel"), limits);
  if (isFailure(object) && (await native.hasHelper(LOOP_HELPER)) === false) {
    object = await native.load(await readProgram("sfunnel-without-loop"), limits);
  }
  if (isFailure(object)) throw errorOf(object, "load", NEEDS.load ?? []);
  return object;
}
