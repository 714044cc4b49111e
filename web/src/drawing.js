// Draws predictions on a canvas, in the colours of `lolvit predict`. Labels are drawn as text: whatever
// they contain, nothing of it becomes part of the page.

const HUE_STEP = 0.61803398875; // the golden ratio's inverse: neighbouring classes differ most
const OPACITY = 0.55; // of a map of classes
const LONGEST_LABEL = 60; // characters

/**
 * The colours of a model's classes: the manifest's where it has some, else distinct ones.
 *
 * @param {{ classes: number, colors: readonly string[] | null }} spec
 * @returns {[number, number, number][]} red, green and blue, 0 to 255
 */
export function palette({ classes, colors }) {
  if (colors) return colors.map(parsed);
  return Array.from({ length: classes }, (_, index) => generated((index * HUE_STEP) % 1));
}

/**
 * @param {string} color #rrggbb
 * @returns {[number, number, number]}
 */
function parsed(color) {
  const value = Number.parseInt(color.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * @param {number} hue 0 to 1
 * @returns {[number, number, number]}
 */
function generated(hue) {
  const [saturation, value] = [0.75, 0.95];
  const channel = (/** @type {number} */ shift) => {
    const place = (shift + hue * 6) % 6;
    return Math.round(255 * value * (1 - saturation * Math.max(0, Math.min(place, 4 - place, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/**
 * Draw boxes with their labels and scores; those of higher scores are on top.
 *
 * @param {Context} context of a canvas that shows the photo
 * @param {Detections} detections
 * @param {{ classes: number, colors: readonly string[] | null }} spec
 * @param {number} [scale] the canvas's pixels for each of the photo's
 */
export function drawDetections(context, { objects }, spec, scale = 1) {
  const colors = palette(spec);
  const side = Math.min(context.canvas.width, context.canvas.height);
  const line = Math.max(2, Math.round(side / 250));
  context.save();
  context.font = `${Math.max(12, Math.round(side / 28))}px system-ui, sans-serif`;
  context.textBaseline = "top";
  context.lineWidth = line;
  for (const { index, label, score, box } of [...objects].reverse()) {
    const [left, top, right, bottom] = [box.left, box.top, box.right, box.bottom].map((s) => s * scale);
    const color = colors[index];
    context.strokeStyle = `rgb(${color})`;
    context.strokeRect(left + line / 2, top + line / 2, right - left - line, bottom - top - line);
    drawLabel(context, `${shortened(label)} ${score.toFixed(2)}`, left, top, color);
  }
  context.restore();
}

/**
 * @param {Context} context
 * @param {string} text
 * @param {number} left
 * @param {number} top
 * @param {[number, number, number]} color
 */
function drawLabel(context, text, left, top, color) {
  const margin = context.lineWidth;
  const metrics = context.measureText(text);
  const height = metrics.fontBoundingBoxDescent + 2 * margin;
  const width = metrics.width + 2 * margin;
  const x = Math.max(0, Math.min(left, context.canvas.width - width));
  const y = top >= height ? top - height : top;
  context.fillStyle = `rgb(${color})`;
  context.fillRect(x, y, width, height);
  context.fillStyle = color[0] + color[1] + color[2] < 380 ? "#fff" : "#000";
  context.fillText(text, x + margin, y + margin);
}

/** @param {string} label */
function shortened(label) {
  const characters = Array.from(label.replace(/\s+/g, " "));
  return characters.length > LONGEST_LABEL ? `${characters.slice(0, LONGEST_LABEL).join("")}…` : label;
}

/**
 * Draw each pixel's class as a translucent colour, over the whole canvas; pixels that the model does not
 * see stay as they are.
 *
 * @param {Context} context of a canvas that shows the photo
 * @param {SegmentationMap} map
 * @param {{ classes: number, colors: readonly string[] | null }} spec
 */
export function drawSegmentation(context, { width, height, classes, ignore }, spec) {
  const colors = palette(spec);
  const rgba = new Uint8ClampedArray(4 * classes.length);
  for (let from = 0, to = 0; from < classes.length; from++, to += 4) {
    const index = classes[from];
    if (index === ignore) continue;
    const [red, green, blue] = colors[index];
    rgba[to] = red;
    rgba[to + 1] = green;
    rgba[to + 2] = blue;
    rgba[to + 3] = 255;
  }
  const layer = new OffscreenCanvas(width, height);
  layer.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
  context.save();
  context.globalAlpha = OPACITY;
  context.imageSmoothingEnabled = false; // colours between two classes are of neither
  context.drawImage(layer, 0, 0, context.canvas.width, context.canvas.height);
  context.restore();
}

/**
 * @typedef {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context
 * @typedef {import("./detection.js").Detections} Detections
 * @typedef {import("./segmentation.js").SegmentationMap} SegmentationMap
 */
