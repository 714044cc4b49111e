import { LolvitError } from "./errors.js";
import { CLASS_MAP } from "./manifest.js";
import { labelOf, requireFinite } from "./outputs.js";
import { upsampledClasses } from "./upsampling.js";

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
  return upsampledClasses(logits, spec.signature.outputs[0].shape, spec.preprocessing.size);
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
