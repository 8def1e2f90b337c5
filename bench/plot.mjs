// Lines over two logarithmic axes, as SVG in the style of the other pictures of docs/.

const WIDTH = 880;
const HEIGHT = 420;
/** The axes, and room for the legend on their right. */
const AREA = { left: 84, right: 560, top: 66, bottom: 360 };
const LEGEND = { left: 588, top: 84, row: 26, sample: 34 };

const STYLE = `
    text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 14px; fill: #1f2328; }
    .paper { fill: #ffffff; stroke: #d0d7de; }
    .grid { stroke: #d0d7de; }
    .small { font-size: 12px; fill: #59636e; }
    .strong { font-weight: 600; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .line { stroke-width: 2; fill: none; }
    .line.ours { stroke: #0969da; }
    .line.other { stroke: #bc6a00; }
    .point.ours { fill: #0969da; }
    .point.other { fill: #bc6a00; }
    .dashed { stroke-dasharray: 7 4; }
    .dotted { stroke-dasharray: 2 4; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .paper { fill: #0d1117; stroke: #30363d; }
      .grid { stroke: #30363d; }
      .small { fill: #9198a1; }
      .line.ours { stroke: #58a6ff; }
      .line.other { stroke: #f0a040; }
      .point.ours { fill: #58a6ff; }
      .point.other { fill: #f0a040; }
    }`;

/** The powers of ten from the one below the least to the one above the most. */
function decadesAround(values) {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.ceil(Math.log10(Math.max(...values)));
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Where a value lies between two ends that stand for the first and the last of the decades. */
function scale(decades, from, to) {
  const [first, last] = [decades[0], decades.at(-1)];
  return (value) => from + ((Math.log10(value) - first) / (last - first)) * (to - from);
}

const round = (value) => Number(value.toFixed(1));
const tick = (decade) => (10 ** decade).toLocaleString("en", { maximumFractionDigits: 9 });
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/**
 * A plot of lines.
 *
 * @param {{ title: string, description: string, across: string, up: string, lines: readonly {
 *   title: string, style: string, points: readonly (readonly [number, number])[] }[] }} plot
 *   `across` and `up` say what the axes are; `style` is "ours" or "other", and "dashed" or "dotted"
 */
export function drawPlot({ title, description, across, up, lines }) {
  const points = lines.flatMap((line) => line.points);
  const [columns, rows] = [0, 1].map((axis) => decadesAround(points.map((point) => point[axis])));
  const x = scale(columns, AREA.left, AREA.right);
  const y = scale(rows, AREA.bottom, AREA.top);
  const parts = [];
  for (const decade of columns) {
    const at = round(x(10 ** decade));
    parts.push(`<path class="grid" d="M ${at} ${AREA.top} V ${AREA.bottom}"/>`);
    parts.push(
      `<text class="small middle" x="${at}" y="${AREA.bottom + 20}">${tick(decade)}</text>`,
    );
  }
  for (const decade of rows) {
    const at = round(y(10 ** decade));
    parts.push(`<path class="grid" d="M ${AREA.left} ${at} H ${AREA.right}"/>`);
    parts.push(
      `<text class="small end" x="${AREA.left - 10}" y="${at + 4}">${tick(decade)}</text>`,
    );
  }
  const middle = (AREA.left + AREA.right) / 2;
  parts.push(
    `<text class="middle" x="${middle}" y="${AREA.bottom + 44}">${escaped(across)}</text>`,
  );
  parts.push(`<text x="20" y="${AREA.top - 18}">${escaped(up)}</text>`);
  for (const [index, line] of lines.entries()) {
    const [colour] = line.style.split(" ");
    const places = line.points.map(([across, up]) => [round(x(across)), round(y(up))]);
    parts.push(
      `<path class="line ${line.style}" d="M ${places.map((place) => place.join(" ")).join(" L ")}"/>`,
      ...places.map(
        ([cx, cy]) => `<circle class="point ${colour}" cx="${cx}" cy="${cy}" r="3.5"/>`,
      ),
    );
    const at = LEGEND.top + index * LEGEND.row;
    parts.push(
      `<path class="line ${line.style}" d="M ${LEGEND.left} ${at} h ${LEGEND.sample}"/>`,
      `<text class="small" x="${LEGEND.left + LEGEND.sample + 10}" y="${at + 4}">${escaped(line.title)}</text>`,
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-labelledby="title description">
  <title id="title">${escaped(title)}</title>
  <desc id="description">${escaped(description)}</desc>
  <style>${STYLE}
  </style>
  <rect class="paper" x="0.5" y="0.5" width="${WIDTH - 1}" height="${HEIGHT - 1}" rx="8"/>
  <text class="strong" x="20" y="30">${escaped(title)}</text>
  ${parts.join("\n  ")}
</svg>
`;
}
