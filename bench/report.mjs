// Results as tables.
import { table } from "../demo/table.mjs";

const TITLES = ["what", "against", "goal", "ratio", "min..max", "measured"];

function goalOf({ least, most }) {
  if (least !== undefined) return `at least ${least}`;
  return most === undefined ? "" : `at most ${most}`;
}

function cellsOf(row) {
  const { what, against, unit, digits = 0, ratioDigits = 2 } = row;
  const [measured, base] = [row.measured, row.base].map((value) => value.toFixed(digits));
  return [
    what,
    against,
    goalOf(row),
    `${row.ratio.toFixed(ratioDigits)}${row.missed ? " (missed)" : ""}`,
    `${row.lowest.toFixed(2)}..${row.highest.toFixed(2)}`,
    `${measured} to ${base} ${unit}`,
  ];
}

export function textReport(rows) {
  return table(TITLES, rows.map(cellsOf));
}

export function markdownReport(machine, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [
    line(TITLES),
    line(TITLES.map(() => "---")),
    ...rows.map((row) => line(cellsOf(row))),
    "",
    "Measured on:",
    "",
    ...machine.map(([name, value]) => `- ${name}: ${value}`),
  ].join("\n");
}
