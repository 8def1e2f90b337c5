// Results as tables.
import { table } from "../demo/table.mjs";

const TITLES = ["what", "against", "goal", "ratio", "min..max", "measured"];

function goalOf({ least, most }, unit = "") {
  if (least !== undefined) return `at least ${least}${unit}`;
  return most === undefined ? "" : `at most ${most}${unit}`;
}

const missedOf = ({ missed }) => (missed ? " (missed)" : "");

/** A row of `compare`. */
function cellsOfRatio(row) {
  const { what, against, unit, digits = 0, ratioDigits = 2 } = row;
  const [measured, base] = [row.measured, row.base].map((value) => value.toFixed(digits));
  return [
    what,
    against,
    goalOf(row),
    `${row.ratio.toFixed(ratioDigits)}${missedOf(row)}`,
    `${row.lowest.toFixed(2)}..${row.highest.toFixed(2)}`,
    `${measured} to ${base} ${unit}`,
  ];
}

/** A row of `state`. */
function cellsOfValue(row) {
  const { what, unit, digits = 0 } = row;
  const [lowest, highest, measured] = [row.lowest, row.highest, row.measured].map((value) =>
    value.toFixed(digits),
  );
  return [
    what,
    "",
    goalOf(row, ` ${unit}`),
    "",
    lowest === highest ? "" : `${lowest}..${highest}`,
    `${measured} ${unit}${missedOf(row)}`,
  ];
}

const cellsOf = (row) => (row.ratio === undefined ? cellsOfValue(row) : cellsOfRatio(row));

function markdownTable(titles, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(titles), line(titles.map(() => "---")), ...rows.map(line)].join("\n");
}

/** `tables`: what parts have beside the rows, `title`, `titles` and `rows` of cells. */
export function textReport(rows, tables) {
  return [
    table(TITLES, rows.map(cellsOf)),
    ...tables.map(({ title, titles, rows: cells }) => `${title}:\n\n${table(titles, cells)}`),
  ].join("\n\n");
}

export function markdownReport(machine, rows, tables) {
  return [
    markdownTable(TITLES, rows.map(cellsOf)),
    ...tables.map(
      ({ title, titles, rows: cells }) => `${title}:\n\n${markdownTable(titles, cells)}`,
    ),
    "Measured on:",
    machine.map(([name, value]) => `- ${name}: ${value}`).join("\n"),
  ].join("\n\n");
}
