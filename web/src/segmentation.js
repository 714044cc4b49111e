import { LolvitError } from "./errors.js";
import { CLASS_MAP } from "./manifest.js";
import { labelOf, requireFinite } from "./outputs.js";

/**
 * The class of each pixel of a photo, as lolvit/tasks/segmentation.py finds it: bilinear upsampling of
 * the logits with half-pixel centres in float32, then the class of the largest, ties by the lower
 * class, unless the model does that itself; a pixel of the photo takes the class of the input's pixel
 * in which its centre lies.
 *
 * @param {Outputs} outputs one tensor, logits (1, C, h, w) or the map of classes (1, H, W)
 * @param {ModelSpec} spec
 * @param {Placement} placement where the photo lies in the input
 * @returns {SegmentationMap}
 * @throws {LolvitError} the logits are not finite, or there is a class that does not exist
 */
export function segment(outputs, spec, placement) {
  const { ignore } = /** @type {MapParameters} */ (spec.postprocessing);
  const classes = placement.mapOnPhoto(classesOnInput(outputs, spec), ignore);
  const [height, width] = placement.photo;
  return { width, height, classes, ignore, shares: sharesOf(classes, spec, ignore) };
}

/**
 * Each pixel's class on the model's input, row by row.
 *
 * @param {Outputs} outputs
 * @param {ModelSpec} spec
 * @returns {Uint8Array} of height * width of the input
 */
export function classesOnInput(outputs, spec) {
  requireFinite(outputs);
  if (spec.postprocessing.kind === CLASS_MAP) return computed(outputs, spec);
  const [logits] = Object.values(outputs);
  const [, count, ownHeight, ownWidth] = spec.signature.outputs[0].shape;
  const [height, width] = spec.preprocessing.size;
  const rows = steps(ownHeight, height);
  const { low: left, high: right, share: shares } = steps(ownWidth, width);
  const classes = new Uint8Array(height * width);
  const best = new Float32Array(height * width).fill(-Infinity);
  const row = new Float32Array(ownWidth);
  for (let index = 0; index < count; index++) {
    const plane = logits.subarray(index * ownHeight * ownWidth, (index + 1) * ownHeight * ownWidth);
    for (let y = 0; y < height; y++) {
      const low = rows.low[y] * ownWidth;
      const high = rows.high[y] * ownWidth;
      const share = rows.share[y];
      for (let x = 0; x < ownWidth; x++) row[x] = between(plane[low + x], plane[high + x], share);
      for (let x = 0, at = y * width; x < width; x++, at++) {
        const value = between(row[left[x]], row[right[x]], shares[x]);
        if (value > best[at]) {
          best[at] = value;
          classes[at] = index;
        }
      }
    }
  }
  return classes;
}

/**
 * The map that a model computed.
 *
 * @param {Outputs} outputs
 * @param {ModelSpec} spec
 */
function computed(outputs, spec) {
  const { num_classes } = /** @type {ClassMapParameters} */ (spec.postprocessing);
  const [[name, map]] = Object.entries(outputs);
  const other = map.find((index) => index < 0 || index >= num_classes);
  if (other === undefined) return Uint8Array.from(map);
  throw new LolvitError("output_mismatch", { name, found: `class ${other}`, expected: `${num_classes} classes` });
}

/**
 * Linear interpolation, each step rounded to float32.
 *
 * @param {number} first
 * @param {number} second
 * @param {number} share
 */
function between(first, second, share) {
  return Math.fround(first + Math.fround(Math.fround(second - first) * share));
}

/**
 * For each of `extent` pixels its two neighbours among `own`, and the share of the second.
 *
 * @param {number} own
 * @param {number} extent
 */
function steps(own, extent) {
  const places = Float64Array.from({ length: extent }, (_, number) =>
    Math.min(Math.max((number + 0.5) * (own / extent) - 0.5, 0), own - 1),
  );
  const low = Int32Array.from(places, Math.floor);
  return {
    low,
    high: low.map((place) => Math.min(place + 1, own - 1)),
    share: Float32Array.from(places, (place, number) => place - low[number]),
  };
}

/**
 * @param {Uint8Array} classes
 * @param {ModelSpec} spec
 * @param {number} ignore
 * @returns {ClassShare[]}
 */
function sharesOf(classes, spec, ignore) {
  const counts = new Float64Array(256);
  for (const index of classes) counts[index]++;
  return Array.from(counts, (pixels, index) => ({ index, pixels }))
    .filter(({ index, pixels }) => pixels && index !== ignore)
    .sort((a, b) => b.pixels - a.pixels || a.index - b.index)
    .map(({ index, pixels }) => ({
      index, label: labelOf(spec, index), share: pixels / classes.length,
    }));
}

/**
 * @typedef {import("./manifest.js").ModelSpec} ModelSpec
 * @typedef {import("./manifest.js").MapParameters} MapParameters
 * @typedef {import("./manifest.js").ClassMapParameters} ClassMapParameters
 * @typedef {import("./outputs.js").Outputs} Outputs
 * @typedef {import("./placement.js").Placement} Placement
 * @typedef {object} ClassShare
 * @property {number} index
 * @property {string} label `class 17` without labels
 * @property {number} share of the photo's pixels, 0 to 1
 * @typedef {object} SegmentationMap
 * @property {number} width of the photo
 * @property {number} height of the photo
 * @property {Uint8Array} classes each pixel's class, row by row
 * @property {number} ignore the value of pixels that the model does not see
 * @property {ClassShare[]} shares of the classes that occur, largest first
 */
