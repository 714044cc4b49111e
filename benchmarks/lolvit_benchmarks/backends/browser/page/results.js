// Shows predictions: a table for each task, and the model's input, or the photo with boxes or a mask.
// Labels come from users' files: they are text, never markup.
import { drawDetections, drawSegmentation, palette, toPixels } from "./lolvit/index.js";

const LARGEST_SIDE = 1280; // pixels of a drawn photo
const MOST_ROWS = 20;
const element = (id) => document.getElementById(id);

export class Results {
  // Show a prediction for a photo; return a line about it.
  show(photo, prediction, model) {
    const { found, value, rows, line } = VIEWS[model.task](photo, prediction, model);
    element("found-caption").textContent = found;
    element("found-value").textContent = value;
    element("found").replaceChildren(...rows.slice(0, MOST_ROWS).map(rowOf));
    element("found-place").hidden = false;
    element("picture-figure").hidden = false;
    return `${line} The artifact took ${prediction.timing.inferenceMs.toFixed(1)} ms.`;
  }

  clear() {
    element("found-place").hidden = true;
    element("picture-figure").hidden = true;
  }
}

const VIEWS = {
  classification(photo, { top }, { preprocessing }) {
    const { width, height, rgb } = toPixels(photo, preprocessing);
    paint({ width, height, rgb }, 1);
    describePicture("The model's input", "The crop of the photo that is the model's input", false);
    const [best] = top;
    return {
      found: "Top classes",
      value: "probability",
      rows: top.map(({ label, probability }) => ({ label, value: percent(probability) })),
      line: `${best.label}: ${percent(best.probability)}.`,
    };
  },

  detection(photo, prediction, model) {
    const { context, scale } = paint(photo, scaleOf(photo));
    drawDetections(context, prediction, model, scale);
    const { objects } = prediction;
    describePicture("The photo with the objects found", `The photo with ${objects.length} objects found`, true);
    const colors = palette(model);
    return {
      found: objects.length > MOST_ROWS ? `Objects: the first ${MOST_ROWS} of ${objects.length}` : "Objects",
      value: "score",
      rows: objects.map(({ label, score, index }) => ({ label, value: score.toFixed(2), color: colors[index] })),
      line: objects.length === 1 ? "1 object." : `${objects.length} objects.`,
    };
  },

  segmentation(photo, prediction, model) {
    const { context } = paint(photo, scaleOf(photo));
    drawSegmentation(context, prediction, model);
    const { shares } = prediction;
    describePicture("The photo with each pixel's class", `The photo with ${shares.length} classes`, true);
    const colors = palette(model);
    return {
      found: "Classes",
      value: "pixels",
      rows: shares.map(({ label, share, index }) => ({ label, value: percent(share), color: colors[index] })),
      line: shares.length === 1 ? "1 class." : `${shares.length} classes.`,
    };
  },
};

function describePicture(caption, text, wide) {
  element("picture-caption").textContent = caption;
  element("picture").setAttribute("aria-label", text);
  element("picture-figure").classList.toggle("wide", wide);
}

function scaleOf({ width, height }) {
  return Math.min(1, LARGEST_SIDE / Math.max(width, height));
}

// Draw a photo on the page's canvas.
function paint({ width, height, rgb }, scale) {
  const canvas = element("picture");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    rgba[to] = rgb[from];
    rgba[to + 1] = rgb[from + 1];
    rgba[to + 2] = rgb[from + 2];
  }
  const whole = new OffscreenCanvas(width, height);
  whole.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  const context = canvas.getContext("2d");
  context.drawImage(whole, 0, 0, canvas.width, canvas.height);
  return { context, scale };
}

function rowOf({ label, value, color }) {
  const row = document.createElement("tr");
  const name = row.insertCell();
  if (color) name.append(swatch(color));
  name.append(label);
  const cell = row.insertCell();
  cell.textContent = value;
  cell.className = "number";
  return row;
}

function swatch(color) {
  const made = document.createElement("span");
  made.className = "swatch";
  made.style.backgroundColor = `rgb(${color})`;
  return made;
}

function percent(probability) {
  return `${(100 * probability).toFixed(1)} %`;
}
