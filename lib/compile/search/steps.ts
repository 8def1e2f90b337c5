/** Lengths that masks have; an entry of one in between lies in a table of the next shorter one. */
const ADDRESS_STEPS = [
  16, 24, 32, 40, 48, 52, 56, 60, 64, 72, 80, 96, 104, 108, 112, 116, 120, 124, 128,
];
const PORT_STEPS = [4, 8, 10, 12, 14, 16];

export const LONGEST = 128;

/** The longest of the steps that is not above a length, for each length. */
function floors(steps: readonly number[], longest: number): Uint8Array {
  return Uint8Array.from({ length: longest + 1 }, (_, length) =>
    steps.reduce((found, step) => (step <= length ? step : found), 0),
  );
}

export const ADDRESS_FLOORS = floors(ADDRESS_STEPS, LONGEST);
export const PORT_FLOORS = floors(PORT_STEPS, 16);
