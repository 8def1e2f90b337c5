// A table as text: columns as wide as their widest cell.

/** `paint(text, row, column)` may add colour; it does not count for the width. */
export function table(titles, rows, paint = (text) => text) {
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const line = (cells, separator) => `  ${cells.join(separator).trimEnd()}`;
  return [
    line(
      titles.map((title, column) => title.padEnd(widths[column])),
      " | ",
    ),
    line(
      widths.map((width) => "-".repeat(width)),
      "-|-",
    ),
    ...rows.map((row) =>
      line(
        row.map(
          (cell, column) => paint(cell, row, column) + " ".repeat(widths[column] - cell.length),
        ),
        " | ",
      ),
    ),
  ].join("\n");
}
