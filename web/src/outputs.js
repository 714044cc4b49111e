// A model's outputs: tensors by the names of the manifest's signature, in its layouts.
import { LolvitError } from "./errors.js";

/**
 * An artifact's outputs, by its own names and in its own layouts, under the names and in the layouts
 * of the model's signature: both are in the same order.
 *
 * @param {readonly TensorSpec[]} signature
 * @param {readonly TensorSpec[]} own
 * @param {Outputs} outputs
 * @returns {Outputs}
 * @throws {LolvitError} an output is missing, or has another number of values
 */
export function bySignature(signature, own, outputs) {
  return Object.fromEntries(
    signature.map((wanted, number) => {
      const spec = own[number];
      const values = outputs[spec.name];
      const expected = spec.shape.reduce((product, side) => product * side, 1);
      if (values?.length !== expected) {
        const found = `${values?.length ?? "no"} values`;
        throw new LolvitError("output_mismatch", { found, name: spec.name, expected: `${expected} values` });
      }
      return [wanted.name, inLayout(values, spec, wanted.layout)];
    }),
  );
}

/**
 * @param {Float32Array} values
 * @param {TensorSpec} spec
 * @param {string | null} wanted
 */
function inLayout(values, { shape, layout }, wanted) {
  if (layout === null || wanted === null || layout === wanted) return values;
  const axes = Array.from(wanted, (axis) => layout.indexOf(axis));
  if (axes.length !== layout.length || axes.includes(-1)) return values;
  const steps = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const moved = new Float32Array(values.length);
  let to = 0;
  /** @type {(depth: number, from: number) => void} */
  const copy = (depth, from) => {
    const [side, step] = [shape[axes[depth]], steps[axes[depth]]];
    for (let i = 0; i < side; i++, from += step) {
      if (depth + 1 === axes.length) moved[to++] = values[from];
      else copy(depth + 1, from);
    }
  };
  copy(0, 0);
  return moved;
}

/**
 * @param {Outputs} outputs
 * @throws {LolvitError} a value is not finite
 */
export function requireFinite(outputs) {
  for (const [name, values] of Object.entries(outputs)) {
    if (!values.every(Number.isFinite)) throw new LolvitError("output_not_finite", { name });
  }
}

/**
 * The label of a class; `class 17` where the model has none.
 *
 * @param {{ labels: readonly string[] | null }} spec
 * @param {number} index
 */
export function labelOf({ labels }, index) {
  return labels?.[index] ?? `class ${index}`;
}

/**
 * @typedef {import("./manifest.js").TensorSpec} TensorSpec
 * @typedef {Record<string, Float32Array>} Outputs
 */
