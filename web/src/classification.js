import { LolvitError } from "./errors.js";
import { labelOf, requireFinite } from "./outputs.js";

export const DEFAULT_TOP = 5;

/**
 * Rank classes by the softmax of the logits; ties go to the lower index.
 *
 * @param {Outputs} outputs one tensor, logits (1, classes)
 * @param {ModelSpec} spec the model, for its labels
 * @param {{ top?: number }} [options] `top`: how many classes to return at most, by default 5
 * @returns {Classification} the most likely classes, most likely first
 * @throws {LolvitError} the logits are not finite, or `top` is no positive integer
 */
export function classify(outputs, spec, { top = DEFAULT_TOP } = {}) {
  if (!Number.isInteger(top) || top < 1) {
    throw new LolvitError("option_invalid", { option: "top", value: top, expected: "1 or more" });
  }
  const [logits] = Object.values(outputs);
  requireFinite(outputs);
  const probabilities = softmax(logits);
  const order = Array.from(probabilities.keys()).sort(
    (a, b) => probabilities[b] - probabilities[a] || a - b,
  );
  return {
    top: order
      .slice(0, top)
      .map((index) => ({ index, label: labelOf(spec, index), probability: probabilities[index] })),
  };
}

/**
 * exp(x) / sum(exp(x)) in float64, shifted so that nothing overflows.
 *
 * @param {Float32Array} logits
 * @returns {Float64Array}
 */
export function softmax(logits) {
  const highest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const powers = Float64Array.from(logits, (value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}

/**
 * @typedef {import("./manifest.js").ModelSpec} ModelSpec
 * @typedef {import("./outputs.js").Outputs} Outputs
 * @typedef {object} Score a class, its label (`class 17` without labels), its probability
 * @property {number} index
 * @property {string} label
 * @property {number} probability
 * @typedef {{ top: Score[] }} Classification the most likely classes, most likely first
 */
