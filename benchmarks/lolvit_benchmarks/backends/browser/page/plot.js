// Plots the ratio of the two models' times, one point per round, and the speedup over all of them.
const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 260, 66, 14, 16, 40];

export function drawRatios(ratios, { ratio, low, high }, planned, marks, text) {
  const highest = niceAbove(Math.max(...ratios, 1) * 1.15);
  const x = (number) => LEFT + ((number + 0.5) / planned) * (WIDTH - LEFT - RIGHT);
  const y = (ratio) => HEIGHT - BOTTOM - (ratio / highest) * (HEIGHT - TOP - BOTTOM);
  const parts = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => gridLine(share * highest, y));
  const bounds = `${ratio.toFixed(2)} (95 % interval ${low.toFixed(2)} to ${high.toFixed(2)})`;
  parts.push(
    shape("line", { class: "middle", x1: LEFT, x2: WIDTH - RIGHT, y1: y(ratio), y2: y(ratio) }),
    label(WIDTH - RIGHT, HEIGHT - 12, `speedup ${bounds}`, "end", "middle-text"),
    label(LEFT, HEIGHT - 12, `round 1 to ${planned}`, "start"),
    ...ratios.map((one, number) =>
      shape("circle", { class: "point", cx: x(number), cy: y(one), r: 5 }),
    ),
  );
  marks.replaceChildren(...parts);
  text.textContent =
    `${ratios.length} of ${planned} rounds: speedup ${bounds}; rounds ` +
    `from ${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}.`;
}

function gridLine(value, y) {
  return [
    shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    label(LEFT - 8, y(value) + 5, String(Number(value.toPrecision(3))), "end"),
  ];
}

function niceAbove(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * unit).find((step) => step >= value);
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function label(x, y, content, anchor, style = "") {
  const made = shape("text", { x, y, "text-anchor": anchor, class: style });
  made.textContent = content;
  return made;
}
