/** One at a time, of all processes, works on what they share in a network namespace. */
import { setTimeout as wait } from "node:timers/promises";
import { KernelError } from "../errors.ts";
import { binding, isFailure, type NativeLock } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { errorOf, NEEDS } from "../native/failure.ts";
import type { Namespace } from "./place.ts";

/** What is done under the lock takes milliseconds: whoever holds it longer hangs. */
const PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 2;

/** By namespace: those of this thread queue up here, instead of asking the kernel in turns. */
const turns = new Map<bigint, Promise<unknown>>();

/**
 * Does the work while no other process, and nobody else here, does any under this lock.
 * `mayWait` is asked while another process has it, and throws when the wait is to end.
 *
 * Throws KernelError (SFUNNEL_SYSTEM, EBUSY) where somebody keeps it.
 */
export async function inNamespace<Result>(
  namespace: Namespace,
  operation: string,
  work: () => Promise<Result>,
  mayWait: () => void = () => undefined,
): Promise<Result> {
  const before = turns.get(namespace.inode);
  const turn = (async () => {
    await before;
    const lock = await acquire(namespace, operation, mayWait);
    try {
      return await work();
    } finally {
      lock.release();
    }
  })();
  const over = turn.catch(() => undefined);
  turns.set(namespace.inode, over);
  try {
    return await turn;
  } finally {
    if (turns.get(namespace.inode) === over) turns.delete(namespace.inode);
  }
}

async function acquire(
  namespace: Namespace,
  operation: string,
  mayWait: () => void,
): Promise<NativeLock> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    mayWait();
    const lock = await binding().lockNetns(namespace.path);
    if (!isFailure(lock)) return lock;
    if (errnoName(lock.errno) !== "EAGAIN") throw errorOf(lock, operation, NEEDS.attach ?? []);
    if (performance.now() > end) throw keptBySomebody(operation);
    await wait(LOOK_EVERY_MS);
  }
}

function keptBySomebody(operation: string): KernelError {
  return new KernelError(
    "SFUNNEL_SYSTEM",
    `${operation}: another process has locked this network namespace for ${PATIENCE_MS / 1000} s (EBUSY)`,
    {
      operation,
      errno: "EBUSY",
      hint: "see which process attaches or detaches there and does not come to an end",
    },
  );
}
