/** How much others get of the event loop while long work is under way. */

export interface LoopTurns {
  /** How often the loop has turned. */
  readonly turns: number;
  /**
   * The largest part of all the CPU time of the process that went by between two turns: 1 where there was no
   * turn in between. A busy machine makes turns late, but takes no CPU time from them.
   */
  readonly largestPart: number;
}

export async function turnsDuring(work: () => Promise<unknown>): Promise<LoopTurns> {
  const cpuTime = () => {
    const { user, system } = process.cpuUsage();
    return user + system;
  };
  const begun = cpuTime();
  let turned = begun;
  let turns = 0;
  let longest = 0;
  let goesOn = true;
  const turn = () => {
    const now = cpuTime();
    longest = Math.max(longest, now - turned);
    turned = now;
    if (!goesOn) return;
    turns++;
    setImmediate(turn);
  };
  setImmediate(turn);
  try {
    await work();
  } finally {
    goesOn = false;
    turn();
  }
  return { turns, largestPart: longest / (turned - begun) };
}
