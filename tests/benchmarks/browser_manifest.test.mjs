// Run by test_browser_modules.py: manifests and jobs of both schema versions become one form.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const file = (path) => readFile(new URL(path, import.meta.url), "utf8");
const PAGE = "../../benchmarks/lolvit_benchmarks/backends/browser/page/";
// Outside a package Node takes .js for CommonJS; a data URL is a module.
const source = await file(`${PAGE}manifest.js`);
const { readManifest, readJob, requireClassifier } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);
const [first, second] = await Promise.all(
  [1, 2].map(async (version) => JSON.parse(await file(`../fixtures/manifest-${version}.json`))),
);
const INPUT = {
  name: "image", shape: [1, 3, 64, 64], dtype: "float32", layout: "NCHW", meaning: "normalized",
};
const OUTPUT = { name: "logits", shape: [1, 10], dtype: "float32", layout: "NC", meaning: "logits" };
const PREPROCESSING = {
  size: [64, 64], resize: "crop", crop_pct: 1, interpolation: "bicubic",
  mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], color: "RGB",
};

for (const [version, json] of [[1, first], [2, second]]) {
  test(`a manifest of schema ${version} becomes the page's form`, () => {
    assert.equal(json.schema_version, version);
    assert.deepEqual(readManifest(json), {
      task: "classification",
      preprocessing: PREPROCESSING,
      labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
      artifacts: [{ path: "model-fp32.onnx", inputs: [INPUT], outputs: [OUTPUT] }],
    });
  });
}

for (const version of [3, 0, undefined, "2"]) {
  test(`a manifest of schema ${version} is rejected`, () => {
    const reason = /schema version .*; this page reads versions 1 to 2/;
    assert.throws(() => readManifest({ ...second, schema_version: version }), reason);
  });
}

test("a manifest without labels has none", () => {
  assert.deepEqual(readManifest({ ...first, labels: null }).labels, []);
});

test("specifications in a job may be of either schema", () => {
  const job = (preprocessing, inputs, outputs) => ({
    models: [],
    warm_up: { runs: 1, seconds: 0 },
    cases: [{
      runtime: "ort-web-wasm", precision: "fp32", threads: 1,
      candidates: [{ name: "a", artifact: "models/0/a.onnx", input: "inputs/a.f32",
        preprocessing, inputs, outputs }],
    }],
  });
  const expected = job(PREPROCESSING, [INPUT], [OUTPUT]);
  expected.cases[0].candidates[0].task = "classification";
  const [{ input: oldInput, output: oldOutput }] = first.artifacts;
  assert.deepEqual(readJob(job(first.preprocess, [oldInput], [oldOutput])), expected);
  assert.deepEqual(readJob(job(PREPROCESSING, [INPUT], [OUTPUT])), expected);
});

test("a classifier's input and its output of logits are found among several outputs", () => {
  const features = { ...OUTPUT, name: "features", meaning: "features" };
  const artifact = { task: "classification", inputs: [INPUT], outputs: [features, OUTPUT] };
  assert.deepEqual(requireClassifier(artifact), { input: INPUT, output: OUTPUT });
});

for (const task of ["tensors", "detection"]) {
  test(`the task ${task} is rejected with the supported ones`, () => {
    const manifest = readManifest({ ...second, task });
    assert.throws(
      () => requireClassifier({ task: manifest.task, ...manifest.artifacts[0] }),
      new Error(`this page can't run the task "${task}"; it supports classification`),
    );
  });
}

test("artifacts without logits or with several inputs are rejected", () => {
  const task = "classification";
  const boxes = { ...OUTPUT, meaning: "tensor" };
  assert.throws(() => requireClassifier({ task, inputs: [INPUT], outputs: [boxes] }), /no output of/);
  const two = { task, inputs: [INPUT, INPUT], outputs: [OUTPUT] };
  assert.throws(() => requireClassifier(two), /2 inputs; this page supports one image/);
});
