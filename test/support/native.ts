/** What the tests of the addon share. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  binding,
  isFailure,
  type NativeAttachment,
  type NativeFailure,
  type NativeObject,
} from "../../lib/native/binding.ts";

export const INGRESS = 0;
export const EGRESS = 1;

/** Why nothing of this runs here; undefined where it does. */
export const skipReason =
  process.platform !== "linux"
    ? "the addon is for Linux"
    : process.getuid?.() !== 0
      ? "loading programs needs root"
      : undefined;

/** The title of a suite, which says why it is skipped where it is. */
export function titled(title: string): string {
  return skipReason === undefined ? title : `${title} (skipped: ${skipReason})`;
}

export const fixturePath = (name: string): string =>
  fileURLToPath(new URL(`../../build/fixtures/${name}.bpf.o`, import.meta.url));

export const fixture = (name: string): Uint8Array => readFileSync(fixturePath(name));

/** The value, where no failure is expected. */
export function must<T>(result: T | NativeFailure): T {
  if (isFailure(result)) {
    throw new Error(`${result.step}: errno ${result.errno}\n${result.log ?? ""}`);
  }
  return result;
}

/** The failure, where one is expected. */
export function mustFail(result: unknown): NativeFailure {
  if (!isFailure(result)) throw new Error(`no failure but ${String(result)}`);
  return result;
}

const objects = new Set<NativeObject>();
const attachments = new Set<NativeAttachment>();

export async function loadFixture(limits: Record<string, number> = {}): Promise<NativeObject> {
  const object = must(await binding().load(fixture("native"), limits));
  objects.add(object);
  return object;
}

/** Keeps an attachment to be detached by {@link releaseAll}. */
export function attached(result: NativeAttachment | NativeFailure): NativeAttachment {
  const attachment = must(result);
  attachments.add(attachment);
  return attachment;
}

/** For afterEach. */
export async function releaseAll(): Promise<void> {
  for (const attachment of attachments) await attachment.detach();
  for (const object of objects) object.close();
  attachments.clear();
  objects.clear();
}

/** What this process has open that the addon may have opened, e.g. "anon_inode:bpf-map". */
export function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd")
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ""; // The one that listed them.
      }
    })
    .filter((target) => /bpf|^net:|^socket:|^\/run\/netns\//.test(target))
    .sort();
}

/** Collects garbage, finalizers included. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as () => void;
  for (let round = 0; round < 3; round++) {
    gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function u32(...numbers: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

/** A new array of these entries at a place of an array of maps, as the runtime makes it. */
export async function putArray(
  object: NativeObject,
  map: string,
  slot: number,
  values: Uint8Array,
  count: number,
): Promise<NativeFailure | undefined> {
  const array = must(await object.makeArray(values.length / count, count));
  try {
    return (await array.write(0, values, count)) ?? (await object.place(map, slot, [array]));
  } finally {
    array.close();
  }
}
