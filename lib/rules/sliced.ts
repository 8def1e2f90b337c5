/**
 * Long work in slices: what takes long is a generator that yields every now and then. Here it is run to its
 * end at once; whoever has an event loop to share lets it turn in between (runtime/in-slices.ts).
 */

/** Work that may be left at each `yield`, and gone on with later. */
export type Sliced<Result> = Generator<void, Result, void>;

/** Runs it to its end. */
export function atOnce<Result>(work: Sliced<Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}
