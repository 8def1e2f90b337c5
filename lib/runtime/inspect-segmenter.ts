/** The segmenter of a namespace, whoever made it, and what was lost in it. */
import { binding, isFailure } from "../native/binding.ts";
import { errnoName } from "../native/errno.ts";
import { findNetns, RECEIVING_END } from "./place.ts";
import { failed, Gone, indexKey, Maps } from "./program-maps.ts";
import { RETURN_PROGRAM, receivingEnd, returnsAt } from "./return-program.ts";
import { droppedIn, type SegmenterStats } from "./segmenter.ts";
import { STRAYS_MAP, sumCounter } from "./stats.ts";

/** As in SegmenterStats, of all Funnels together. */
export type InspectedSegmenter = Record<keyof Pick<SegmenterStats, "dropped" | "strays">, number>;

/**
 * Undefined where there is none. Throws NetnsError, or KernelError (SFUNNEL_PERMISSION) without
 * CAP_SYS_ADMIN.
 */
export async function inspectSegmenter(netns: string): Promise<InspectedSegmenter | undefined> {
  const namespace = await findNetns(netns, "inspect");
  const receiver = await binding().device(namespace.path, RECEIVING_END);
  if (isFailure(receiver)) {
    if (errnoName(receiver.errno) === "ENODEV") return undefined;
    throw failed(receiver);
  }
  const dropped = await droppedIn(namespace.path);
  if (isFailure(dropped)) throw failed(dropped);
  const returns = await returnsAt(receivingEnd(namespace, receiver.ifindex));
  if (isFailure(returns)) throw failed(returns);
  let strays = 0;
  for (const id of [...returns.tcx, ...returns.filters.map(({ programId }) => programId)]) {
    strays += await straysOf(id);
  }
  return { dropped, strays };
}

/** 0 for a program that is not ours, or has gone. */
async function straysOf(programId: number): Promise<number> {
  const program = await binding().program(programId);
  if (isFailure(program)) {
    if (errnoName(program.errno) === "ENOENT") return 0;
    throw failed(program);
  }
  if (program.name !== RETURN_PROGRAM) return 0;
  try {
    const maps = await Maps.of(program.mapIds);
    const value = await maps.lookup(STRAYS_MAP, indexKey(0));
    return value ? sumCounter(value, 0, value.length).packets : 0;
  } catch (error) {
    if (error instanceof Gone) return 0;
    throw error;
  }
}
