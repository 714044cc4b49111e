// Manifests of both schema versions become one ModelSpec; what can't be run is refused by a code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readManifest } from "../src/index.js";
import { failureOf, manifestOf, readJson } from "./environment.js";

const [first, second] = await Promise.all(
  [1, 2].map((version) => readJson(`../../tests/fixtures/manifest-${version}.json`)),
);
const INPUT = {
  name: "image", shape: [1, 3, 64, 64], dtype: "float32", layout: "NCHW", meaning: "normalized",
};
const OUTPUT = { name: "logits", shape: [1, 10], dtype: "float32", layout: "NC", meaning: "logits" };

for (const [version, json] of [[1, first], [2, second]]) {
  test(`a manifest of schema ${version} becomes a ModelSpec`, () => {
    assert.equal(json.schema_version, version);
    const { artifacts: [artifact, ...others], url, ...spec } = readManifest(json, "the/manifest");
    assert.equal(url, "the/manifest");
    assert.equal(others.length, 0);
    const { params, macs, weightsSource, ...rest } = spec;
    assert.deepEqual(rest, {
      name: json.model,
      task: "classification",
      preprocessing: {
        size: [64, 64], resize: "crop", crop_pct: 1, interpolation: "bicubic",
        mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], color: "RGB",
      },
      postprocessing: { kind: "softmax" },
      signature: { inputs: [INPUT], outputs: [OUTPUT] },
      classes: 10,
      labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
      colors: null,
      trained: true,
    });
    assert.deepEqual([params, macs, weightsSource], [json.params, json.macs, json.weights.source]);
    const { sha256, bytes } = json.artifacts[0];
    assert.deepEqual(artifact, {
      path: "model-fp32.onnx", format: "onnx", precision: "fp32", sha256, bytes, inputs: [INPUT], outputs: [OUTPUT],
    });
  });
}

for (const version of [3, 0, undefined, "2", null, 2.5]) {
  test(`a manifest of schema ${JSON.stringify(version)} is rejected`, async () => {
    const failure = await failureOf(() => readManifest({ ...second, schema_version: version }, "m"));
    assert.equal(failure.code, "schema_unsupported");
    assert.match(failure.message, /this app reads 1 and 2; /);
  });
}

for (const task of ["classification", "detection", "segmentation"]) {
  test(`the outputs of ${task} give the number of classes`, () => {
    const spec = readManifest(manifestOf(task), "m");
    assert.equal(spec.task, task);
    assert.equal(spec.classes, 3);
  });
}

test("artifacts of other platforms are left out, whatever they are like", () => {
  const coreml = { format: "coreml", inputs: "unknown" };
  const artifacts = [coreml, ...manifestOf("detection").artifacts];
  const spec = readManifest(manifestOf("detection", { artifacts }), "m");
  assert.deepEqual(spec.artifacts.map(({ format }) => format), ["onnx"]);
});

const preprocessing = (changed) => ({ preprocessing: { ...manifestOf("detection").preprocessing, ...changed } });
const postprocessing = (changed) => ({ postprocessing: { ...manifestOf("detection").postprocessing, ...changed } });
const artifact = (changed) => ({ artifacts: [{ ...manifestOf("detection").artifacts[0], ...changed }] });
const outputs = (change) => {
  const { signature } = manifestOf("detection");
  return { signature: { ...signature, outputs: change(signature.outputs) } };
};
const REJECTED = [
  ["task_unsupported", /'tensors', this app runs classification, detection, segmentation here/, { task: "tensors" }],
  ["manifest_invalid", /task is not a string/, { task: undefined }],
  ["setting_unsupported", /resize 'tile'/, preprocessing({ resize: "tile" })],
  ["setting_unsupported", /color 'RGBA'/, preprocessing({ color: "RGBA" })],
  ["setting_unsupported", /interpolation 'lanczos'/, preprocessing({ interpolation: "lanczos" })],
  ["setting_unsupported", /kind 'boxes_xyxy'/, postprocessing({ kind: "boxes_xyxy" })],
  ["manifest_invalid", /preprocessing.size is not a height and a width/, preprocessing({ size: [64] })],
  ["manifest_invalid", /preprocessing.size is not/, preprocessing({ size: [0, 96] })],
  ["manifest_invalid", /preprocessing.size is not/, preprocessing({ size: [64, 1e9] })],
  ["manifest_invalid", /crop_pct is not a number from 0.001 to 2/, preprocessing({ crop_pct: "1" })],
  ["manifest_invalid", /'letterbox' crops nothing/, preprocessing({ resize: "letterbox", crop_pct: 0.9 })],
  ["manifest_invalid", /mean has 1 values for the color RGB/, preprocessing({ mean: [0.5] })],
  ["manifest_invalid", /std is not a list of positive numbers/, preprocessing({ std: [1, 0, 1] })],
  ["manifest_invalid", /score_threshold is not a number from 0 to 1/, postprocessing({ score_threshold: 2 })],
  ["manifest_invalid", /strides is not a list of integers/, postprocessing({ strides: [0] })],
  ["manifest_invalid", /'boxes' is 1x4x126, the model's size and task need 1x4x96/, postprocessing({ strides: [8] })],
  ["manifest_invalid", /'scores' is 1x3x99, /, outputs(([boxes, scores]) => [boxes, { ...scores, shape: [1, 3, 99] }])],
  ["tensors_unsupported", /outputs of scores, distances, detection needs distances, scores/, outputs(([a, b]) => [b, a])],
  ["tensors_unsupported", /outputs of distances, /, outputs(([boxes]) => [boxes])],
  ["tensors_unsupported", /a batch of several images/, outputs(([boxes, scores]) => [{ ...boxes, shape: [2, 4, 126] }, scores])],
  ["labels_mismatch", /2 labels for 3 classes/, { labels: ["cat", "dog"] }],
  ["manifest_invalid", /labels is not a list of strings/, { labels: ["cat", "dog", 3] }],
  ["manifest_invalid", /colors is not a list of #rrggbb/, { colors: ["red", "#00ff00", "#0000ff"] }],
  ["manifest_invalid", /artifacts is not a list/, { artifacts: null }],
  ["manifest_invalid", /artifacts\[0\].sha256 is not 64 hexadecimal digits/, artifact({ sha256: "../x" })],
  ["manifest_invalid", /artifacts\[0\].bytes is not an integer/, artifact({ bytes: -1 })],
  ["manifest_invalid", /the inputs of model-fp32.onnx are not those of the signature/, artifact({ inputs: [] })],
  ["manifest_invalid", /weights is not an object/, { weights: [] }],
  ["manifest_invalid", /params is not an integer/, { params: "many" }],
];
for (const [code, message, changed] of REJECTED) {
  test(`a manifest is refused by ${code}: ${message.source}`, async () => {
    const failure = await failureOf(() => readManifest(manifestOf("detection", changed), "models/a/manifest.json"));
    assert.equal(failure.code, code);
    assert.match(failure.message, message);
    assert.match(failure.message, /^models\/a\/manifest.json: .*; (export|choose|give)/);
  });
}

for (const json of [null, [], "text", 7]) {
  test(`${JSON.stringify(json)} is no manifest`, async () => {
    assert.equal((await failureOf(() => readManifest(json, "m"))).code, "manifest_invalid");
  });
}
