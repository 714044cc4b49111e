// Models with a runtime that the tests control: loading, fallback, self-check, order, closing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Classifier, Detector, LolvitError, ModelSource, Photo, Segmenter, loadPredictor } from "../src/index.js";
import { bySignature } from "../src/outputs.js";
import { snrDb } from "../src/self-check.js";
import { sha256 } from "../src/sha256.js";
import { failureOf, manifestOf, serving } from "./environment.js";

const FOLDER = "https://example.org/m/";
const BYTES = Uint8Array.of(1, 2, 3, 4);
const DIGEST = await sha256(BYTES);
const PHOTO = new Photo(2, 2, new Uint8Array(12).fill(128));

/** A folder with a model of a task, and maybe a self-check. */
function folder(task, { check, change = (manifest) => manifest, files = {} } = {}) {
  const manifest = manifestOf(task);
  manifest.artifacts[0].sha256 = DIGEST;
  const served = { "manifest.json": JSON.stringify(change(manifest)), "model-fp32.onnx": BYTES, ...files };
  if (check) served["self-check.json"] = JSON.stringify(check);
  const named = Object.entries(served).map(([name, content]) => [FOLDER + name, content]);
  return new ModelSource(FOLDER, { fetch: serving(Object.fromEntries(named)) });
}

/** An engine whose outputs are constants. */
function engineOf(outputs, { id = "fake", format = "onnx", open, run } = {}) {
  const calls = [];
  const engine = {
    id, format, calls,
    async open(artifact, bytes) {
      calls.push(`open ${artifact.path} ${bytes.length}`);
      if (open) throw open;
      return {
        options: {},
        async run(values) {
          calls.push(`run ${values.length}`);
          if (run) throw run;
          return typeof outputs === "function" ? outputs(values) : outputs;
        },
        close: () => calls.push("close"),
      };
    },
  };
  return engine;
}

const LOGITS = { logits: Float32Array.of(1, 5, 2) };

test("a classifier is loaded by its folder, checked, and predicts", async () => {
  const engine = engineOf(LOGITS);
  const classifier = await Classifier.load(folder("classification"), engine);
  await classifier.prewarm();
  const { top, timing } = await classifier.predict(PHOTO, { top: 2 });
  assert.deepEqual(top.map(({ label }) => label), ["dog", "car"]);
  assert.deepEqual(Object.keys(timing), ["preprocessMs", "inferenceMs", "postprocessMs"]);
  await classifier.close();
  await classifier.close();
  const values = 3 * 64 * 96;
  assert.deepEqual(engine.calls, ["open model-fp32.onnx 4", `run ${values}`, `run ${values}`, "close"]);
  assert.equal((await failureOf(() => classifier.predict(PHOTO))).code, "closed");
  assert.equal((await failureOf(() => classifier.prewarm())).code, "closed");
});

test("a detector and a segmenter give predictions on the photo", async () => {
  const scores = new Float32Array(3 * 126).fill(0.9, 126, 127); // class 1, the first point
  const boxes = new Float32Array(4 * 126).fill(0.5);
  const detector = await loadPredictor(folder("detection"), engineOf({ boxes, scores }));
  assert.ok(detector instanceof Detector);
  const { objects } = await detector.predict(new Photo(192, 128, new Uint8Array(192 * 128 * 3)));
  assert.deepEqual(objects.map(({ label, box }) => [label, box]), [["dog", { left: 0, top: 0, right: 16, bottom: 16 }]]);
  const logits = new Float32Array(3 * 96).fill(1, 2 * 96);
  const segmenter = await Segmenter.load(folder("segmentation"), engineOf({ logits }));
  const map = await segmenter.predict(PHOTO);
  assert.deepEqual(Array.from(map.classes), [2, 2, 2, 2]);
  assert.deepEqual(map.shares, [{ index: 2, label: "car", share: 1 }]);
});

test("outputs in other layouts are those of the signature", async () => {
  const nlc = (values, [channels, points]) =>
    Float32Array.from(values, (_, i) => values[(i % channels) * points + Math.floor(i / channels)]);
  const scores = Float32Array.from({ length: 3 * 126 }, (_, i) => ((i * 7) % 128) / 128);
  const boxes = Float32Array.from({ length: 4 * 126 }, (_, i) => ((i * 5) % 64) / 32);
  const photo = new Photo(50, 40, new Uint8Array(6000));
  const expected = await (await Detector.load(folder("detection"), engineOf({ boxes, scores }))).predict(photo);
  const change = (manifest) => {
    const [one] = manifest.artifacts;
    one.inputs = [{ ...one.inputs[0], layout: "NHWC", shape: [1, 64, 96, 3] }];
    one.outputs = [
      { ...one.outputs[0], name: "a", layout: "NLC", shape: [1, 126, 4] },
      { ...one.outputs[1], name: "b", layout: "NLC", shape: [1, 126, 3] },
    ];
    return manifest;
  };
  const engine = engineOf({ b: nlc(scores, [3, 126]), a: nlc(boxes, [4, 126]) });
  const found = await (await Detector.load(folder("detection", { change }), engine)).predict(photo);
  assert.ok(expected.objects.length > 10);
  assert.deepEqual(found.objects, expected.objects);
});

test("axes are put in the signature's order", () => {
  const own = [{ name: "y", shape: [1, 2, 3, 2], layout: "NHWC" }];
  const wanted = [{ name: "x", shape: [1, 2, 2, 3], layout: "NCHW" }];
  const values = Float32Array.from({ length: 12 }, (_, i) => i);
  assert.deepEqual(Array.from(bySignature(wanted, own, { y: values }).x), [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]);
});

for (const outputs of [{}, { logits: new Float32Array(2) }, { other: new Float32Array(3) }]) {
  test(`outputs that are not the manifest's are refused: ${JSON.stringify(outputs)}`, async () => {
    const classifier = await Classifier.load(folder("classification"), engineOf(outputs));
    assert.equal((await failureOf(() => classifier.predict(PHOTO))).code, "output_mismatch");
  });
}

test("a model of another task is refused before anything is downloaded", async () => {
  const engine = engineOf(LOGITS);
  const failure = await failureOf(() => Detector.load(folder("classification"), engine));
  assert.equal(failure.message, "tiny: its task is classification, this needs detection; choose another model");
  assert.deepEqual(engine.calls, []);
});

test("the first engine that runs the model is used, and the reasons of the others are kept", async () => {
  const gpu = engineOf(LOGITS, { id: "gpu", open: new LolvitError("webgpu_unavailable") });
  const classifier = await Classifier.load(folder("classification"), [gpu, engineOf(LOGITS, { id: "cpu" })]);
  assert.equal(classifier.engine, "cpu");
  assert.deepEqual(classifier.failures.map(({ engine, error }) => [engine, error.code]), [["gpu", "webgpu_unavailable"]]);
});

test("where no engine runs the model, each one's reason is named; of one engine, its own error", async () => {
  const gpu = engineOf(LOGITS, { id: "gpu", open: new LolvitError("webgpu_unavailable") });
  const tflite = engineOf(LOGITS, { id: "tflite", format: "tflite" });
  const failure = await failureOf(() => Classifier.load(folder("classification"), [gpu, tflite]));
  assert.equal(failure.code, "all_engines_failed");
  assert.match(failure.message, /^no engine here runs tiny: this browser offers no WebGPU; .* tflite: tiny has no tflite artifact; run: lolvit export --to tflite$/);
  assert.equal((await failureOf(() => Classifier.load(folder("classification"), [gpu]))).code, "webgpu_unavailable");
  assert.equal((await failureOf(() => Classifier.load(folder("classification"), []))).code, "all_engines_failed");
});

test("a damaged file is no reason to try another engine", async () => {
  const source = folder("classification", { files: { "model-fp32.onnx": Uint8Array.of(9) } });
  const failure = await failureOf(() => Classifier.load(source, [engineOf(LOGITS), engineOf(LOGITS)]));
  assert.equal(failure.code, "artifact_changed");
});

test("an artifact is chosen by its precision or its path", async () => {
  const change = (manifest) => {
    manifest.artifacts.push({ ...manifest.artifacts[0], path: "b/int8.onnx", precision: "int8" });
    return manifest;
  };
  const source = folder("classification", { change, files: { "b/int8.onnx": BYTES } });
  const path = async (options) => (await Classifier.load(source, engineOf(LOGITS), options)).artifact.path;
  assert.equal(await path({}), "model-fp32.onnx");
  assert.equal(await path({ precision: "int8" }), "b/int8.onnx");
  assert.equal(await path({ artifact: "b/int8.onnx" }), "b/int8.onnx");
  assert.equal((await failureOf(() => path({ precision: "w4" }))).code, "engine_not_exported");
});

for (const [reason, changed] of [
  [/an input of pixels values as uint8/, { inputs: { meaning: "pixels", dtype: "uint8" } }],
  [/an input in the layout null/, { inputs: { layout: null } }],
  [/an output as int64/, { outputs: { dtype: "int64" } }],
]) {
  test(`an artifact that can't be fed is refused: ${reason.source}`, async () => {
    const change = (manifest) => {
      for (const [kind, fields] of Object.entries(changed)) {
        manifest.artifacts[0][kind] = manifest.artifacts[0][kind].map((tensor) => ({ ...tensor, ...fields }));
      }
      return manifest;
    };
    const failure = await failureOf(() => Classifier.load(folder("classification", { change }), engineOf(LOGITS)));
    assert.equal(failure.code, "engine_incompatible");
    assert.match(failure.message, reason);
  });
}

const encoded = (bytes) => btoa(String.fromCharCode(...bytes));

function checkOf({ expected = [1, 5, 2], levels = 3 * 64 * 96, sha256: digest = DIGEST, ...changed } = {}) {
  const values = encoded(new Uint8Array(Float32Array.from(expected).buffer));
  return {
    schema_version: 1, kind: "lolvit-self-check", size: [64, 96], levels: encoded(new Uint8Array(levels).fill(7)),
    artifacts: [{ path: "model-fp32.onnx", sha256: digest, min_snr_db: 60, outputs: [{ name: "logits", shape: [1, 3], values }] }],
    ...changed,
  };
}

test("an engine that computes what was computed elsewhere passes the self-check", async () => {
  const classifier = await Classifier.load(folder("classification", { check: checkOf() }), engineOf(LOGITS));
  assert.deepEqual(classifier.selfCheck, { snr_db: 300, min_snr_db: 60 });
});

test("an engine that computes something else is passed over, and closed", async () => {
  const wrong = engineOf({ logits: Float32Array.of(1, 5, 2.2) }, { id: "wrong" });
  const check = checkOf();
  const classifier = await Classifier.load(folder("classification", { check }), [wrong, engineOf(LOGITS)]);
  assert.equal(classifier.engine, "fake");
  assert.deepEqual(classifier.failures.map(({ error }) => error.code), ["self_check_missed"]);
  assert.match(classifier.failures[0].error.message, /^wrong: computes model-fp32.onnx wrongly here: 28.8 dB, at least 60 are needed/);
  assert.equal(wrong.calls.at(-1), "close");
});

test("a self-check of another artifact says nothing of this one", async () => {
  const check = checkOf({ sha256: "1".repeat(64) });
  const classifier = await Classifier.load(folder("classification", { check }), engineOf(LOGITS));
  assert.equal(classifier.selfCheck, null);
});

for (const [reason, check] of [
  [/schema_version is not an integer from 1 to 1/, checkOf({ schema_version: 2 })],
  [/its photo is not of 64x96 pixels/, checkOf({ levels: 5 })],
  [/levels: /, { ...checkOf(), levels: "%" }],
]) {
  test(`a damaged self-check is an error: ${reason.source}`, async () => {
    const failure = await failureOf(() => Classifier.load(folder("classification", { check }), engineOf(LOGITS)));
    assert.equal(failure.code, "manifest_invalid");
    assert.match(failure.message, reason);
  });
}

test("the ratio of signal to noise is Python's", () => {
  assert.equal(snrDb([1, 2], [1, 2]), 300);
  assert.equal(snrDb([1, 2], [1]), -300);
  assert.equal(snrDb([1, 2], [1, NaN]), -300);
  assert.equal(snrDb([0, 0], [1, 0]), -300);
  assert.ok(Math.abs(snrDb([10, 0], [10, 1]) - 20) < 1e-9);
});

test("predictions are made one after another; one that fails does not stop the next", async () => {
  let running = 0;
  let count = 0;
  const engine = engineOf(async () => {
    assert.equal(++running, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    if (++count === 1) throw new LolvitError("run_failed", { engine: "fake", reason: "once" });
    return LOGITS;
  });
  const classifier = await Classifier.load(folder("classification"), engine);
  const all = [0, 1, 2].map(() => classifier.predict(PHOTO));
  const closing = classifier.close();
  const settled = await Promise.allSettled(all);
  await closing;
  assert.deepEqual(settled.map(({ status }) => status), ["rejected", "fulfilled", "fulfilled"]);
  assert.equal(engine.calls.at(-1), "close");
});
