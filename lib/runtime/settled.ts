/** Waits for all of several things, and only then throws what one of them has failed with. */
export async function settled(works: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) {
    if (result.status === "rejected") throw result.reason;
  }
}
