import { LolvitError } from "./errors.js";
import { labelOf, requireFinite } from "./outputs.js";

/**
 * The objects of one photo, as lolvit/tasks/detection.py finds them: candidates by their score (ties
 * by the lower class, then by the lower point), decoded, suppressed within each class, mapped to the
 * photo, the empty ones dropped. Arithmetic is in float64.
 *
 * @param {Outputs} outputs `boxes` (1, 4, N): distances from each point to the left, top, right and
 *   bottom side, in units of its stride; `scores` (1, C, N), 0 to 1
 * @param {ModelSpec} spec
 * @param {Placement} placement where the photo lies in the input
 * @param {DetectionOptions} [options] in place of the manifest's
 * @returns {Detections} highest score first
 * @throws {LolvitError} an output is not finite, or an option is out of range
 */
export function detect(outputs, spec, placement, options = {}) {
  const parameters = withOptions(/** @type {BoxParameters} */ (spec.postprocessing), options);
  requireFinite(outputs);
  const points = pointsOf(spec.preprocessing.size, parameters.strides);
  const count = points.length;
  const boxes = candidates(outputs.scores, parameters).map(({ at, score }) => {
    const point = at % count;
    return { index: Math.floor(at / count), score, ...decode(outputs.boxes, points, point) };
  });
  const objects = suppress(boxes, parameters.iou_threshold, parameters.max_detections)
    .map(({ index, score, ...box }) => ({
      index, label: labelOf(spec, index), score, box: placement.boxOnPhoto(box),
    }))
    .filter(({ box }) => box.right > box.left && box.bottom > box.top);
  return { objects };
}

/** @type {Readonly<Record<keyof DetectionOptions, (value: number) => boolean>>} */
const RANGES = {
  score_threshold: (value) => value >= 0 && value <= 1,
  iou_threshold: (value) => value >= 0 && value <= 1,
  max_detections: (value) => Number.isInteger(value) && value >= 1,
  max_candidates: (value) => Number.isInteger(value) && value >= 1,
};

/**
 * @param {BoxParameters} parameters
 * @param {DetectionOptions} options
 * @returns {BoxParameters}
 */
function withOptions(parameters, options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  for (const [option, value] of given) {
    const inRange = RANGES[/** @type {keyof DetectionOptions} */ (option)];
    if (typeof value === "number" && inRange?.(value)) continue;
    const expected = !inRange
      ? `one of ${Object.keys(RANGES).join(", ")}`
      : option.endsWith("threshold") ? "between 0 and 1" : "1 or more";
    throw new LolvitError("option_invalid", { option, value: String(value), expected });
  }
  return { ...parameters, ...Object.fromEntries(given) };
}

/**
 * The centres of the cells of each stride's map, row by row, stride by stride, in pixels.
 *
 * @param {readonly [number, number]} size of the input
 * @param {readonly number[]} strides
 */
export function pointsOf([height, width], strides) {
  const points = [];
  for (const stride of strides) {
    for (let y = 0; y < Math.ceil(height / stride); y++) {
      for (let x = 0; x < Math.ceil(width / stride); x++) {
        points.push({ x: x * stride + stride / 2, y: y * stride + stride / 2, stride });
      }
    }
  }
  return points;
}

/**
 * The pairs of a class and a point with a sufficient score, as places in `scores` (C, N).
 *
 * @param {Float32Array} scores
 * @param {BoxParameters} parameters
 */
function candidates(scores, { score_threshold, max_candidates }) {
  const enough = scores.filter((score) => score >= score_threshold).sort(); // ascending
  const least = enough.length > max_candidates ? enough[enough.length - max_candidates] : score_threshold;
  const chosen = [];
  for (let at = 0; at < scores.length; at++) {
    if (scores[at] >= least) chosen.push({ at, score: scores[at] });
  }
  return chosen.sort((a, b) => b.score - a.score || a.at - b.at).slice(0, max_candidates);
}

/**
 * A point's box; negative distances count as 0.
 *
 * @param {Float32Array} distances
 * @param {ReturnType<typeof pointsOf>} points
 * @param {number} point
 */
function decode(distances, points, point) {
  const { x, y, stride } = points[point];
  const length = (/** @type {number} */ side) =>
    Math.max(distances[side * points.length + point], 0) * stride;
  return { left: x - length(0), top: y - length(1), right: x + length(2), bottom: y + length(3) };
}

/**
 * Non-maximum suppression: of boxes in the order of their score, drop those whose intersection over
 * union with a kept one of their class is above `threshold`, and keep at most `limit`.
 *
 * @template {Box & { index: number }} Candidate
 * @param {Candidate[]} boxes
 * @param {number} threshold
 * @param {number} limit
 * @returns {Candidate[]}
 */
export function suppress(boxes, threshold, limit) {
  /** @type {Candidate[]} */
  const kept = [];
  for (const box of boxes) {
    if (kept.length >= limit) break;
    const covered = kept.some((one) => one.index === box.index && iou(one, box) > threshold);
    if (!covered) kept.push(box);
  }
  return kept;
}

/**
 * Intersection over union; 0 where the union is empty.
 *
 * @param {Box} first
 * @param {Box} second
 */
export function iou(first, second) {
  const width = Math.min(first.right, second.right) - Math.max(first.left, second.left);
  const height = Math.min(first.bottom, second.bottom) - Math.max(first.top, second.top);
  const shared = Math.max(width, 0) * Math.max(height, 0);
  const union = area(first) + area(second) - shared;
  return union > 0 ? shared / union : 0;
}

/** @param {Box} box */
function area({ left, top, right, bottom }) {
  return Math.max(right - left, 0) * Math.max(bottom - top, 0);
}

/**
 * @typedef {import("./manifest.js").ModelSpec} ModelSpec
 * @typedef {import("./manifest.js").BoxParameters} BoxParameters
 * @typedef {import("./outputs.js").Outputs} Outputs
 * @typedef {import("./placement.js").Box} Box
 * @typedef {import("./placement.js").Placement} Placement
 * @typedef {object} DetectionOptions
 * @property {number} [score_threshold] least score of a detection, 0 to 1
 * @property {number} [iou_threshold] boxes of a class that overlap by more count as one, 0 to 1
 * @property {number} [max_detections]
 * @property {number} [max_candidates] boxes that enter the suppression
 * @typedef {object} Detection
 * @property {number} index of the class
 * @property {string} label `class 17` without labels
 * @property {number} score 0 to 1
 * @property {Box} box in the photo's pixels
 * @typedef {{ objects: Detection[] }} Detections the objects in a photo, highest score first
 */
