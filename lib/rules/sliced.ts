/**
 * Long work in slices: what takes long is a generator that yields every now and then. Here it is run to its
 * end at once; whoever has an event loop to share lets it turn in between (runtime/in-slices.ts).
 */

/** Work that may be left at each `yield`, and gone on with later. */
export type Sliced<Result> = Generator<void, Result, void>;

/**
 * Does work from 0 to `count` in parts of so many. Loops are in `work` and not in generators, because only
 * what is called again and again is compiled well while it is under way.
 */
export function* inParts(
  count: number,
  part: number,
  work: (from: number, to: number) => void,
): Sliced<void> {
  for (let from = 0; from < count; from += part) {
    if (from > 0) yield;
    work(from, Math.min(count, from + part));
  }
}

/** Runs it to its end. */
export function atOnce<Result>(work: Sliced<Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}
