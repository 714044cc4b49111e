// Detection and segmentation are Python's, on the vectors that all languages share.
import assert from "node:assert/strict";
import { test } from "node:test";
import { iou, suppress } from "../src/detection.js";
import { classesOnInput, segment } from "../src/segmentation.js";
import { Placement, classify, detect, readManifest } from "../src/index.js";
import { failureOf, manifestOf, readJson } from "./environment.js";

const vectors = await readJson("../../tests/vectors/predictions.json");

function specOf(task, { size, postprocessing, logits_shape: shape }) {
  const manifest = manifestOf(task, { postprocessing });
  manifest.preprocessing.size = size;
  if (shape) {
    manifest.signature.outputs[0].shape = shape;
    manifest.labels = null;
  }
  return readManifest(manifest, "test");
}

const placementOf = ({ placement: { photo, resized, offset }, size }) =>
  new Placement(photo, resized, size, offset);

for (const vector of vectors.detection) {
  test(`detections of the vector '${vector.name}' are Python's`, () => {
    const outputs = { boxes: Float32Array.from(vector.boxes), scores: Float32Array.from(vector.scores) };
    const { objects } = detect(outputs, specOf("detection", vector), placementOf(vector));
    assert.deepEqual(
      objects.map(({ index, score }) => ({ index, score })),
      vector.detections.map(({ index, score }) => ({ index, score })),
    );
    objects.forEach(({ box, label, index }, number) => {
      assert.equal(label, ["cat", "dog", "car"][index]);
      const sides = [box.left, box.top, box.right, box.bottom];
      const worst = Math.max(...sides.map((side, i) => Math.abs(side - vector.detections[number].box[i])));
      assert.ok(worst <= 1e-6, `box ${number} is ${worst} pixels off`);
    });
  });
}

test("an overlap of the threshold itself is kept, a larger one is not, nor more than the limit", () => {
  const box = (right) => ({ index: 0, left: 0, top: 0, right, bottom: 1 });
  const kept = (...parameters) => suppress([box(4), box(2), box(1)], ...parameters).map(({ right }) => right);
  assert.deepEqual(kept(0.5, 9), [4, 2, 1]);
  assert.deepEqual(kept(0.499, 9), [4, 1]);
  assert.deepEqual(kept(0.5, 2), [4, 2]);
  const empty = { index: 0, left: 1, top: 1, right: 1, bottom: 1 };
  assert.equal(iou(empty, empty), 0);
});

for (const vector of vectors.segmentation) {
  test(`the map of the vector '${vector.name}' is Python's`, () => {
    const spec = specOf("segmentation", vector);
    const outputs = { logits: Float32Array.from(vector.logits) };
    assert.deepEqual(runs(classesOnInput(outputs, spec)), vector.on_input);
    const map = segment(outputs, spec, placementOf(vector));
    assert.deepEqual([map.height, map.width], vector.placement.photo);
    assert.deepEqual(runs(map.classes), vector.on_photo);
    const seen = map.classes.filter((index) => index !== map.ignore).length / map.classes.length;
    const sum = map.shares.reduce((total, { share }) => total + share, 0);
    assert.ok(Math.abs(sum - seen) < 1e-12);
    const sorted = [...map.shares].sort((a, b) => b.share - a.share);
    assert.deepEqual(map.shares, sorted);
  });
}

function runs(classes) {
  const found = [];
  classes.forEach((index, place) => {
    if (place && classes[place - 1] === index) found[found.length - 1]++;
    else found.push(index, 1);
  });
  return found;
}

for (const vector of vectors.segmentation) {
  test(`the map of the vector '${vector.name}', computed by the model, is Python's on the photo`, async () => {
    const count = vector.logits_shape[1];
    const spec = computedMapOf(vector, count);
    const onInput = vector.on_input.flatMap((index, place, all) => (place % 2 ? [] : Array(all[place + 1]).fill(index)));
    const outputs = { map: Float32Array.from(onInput) };
    assert.deepEqual(runs(segment(outputs, spec, placementOf(vector)).classes), vector.on_photo);
    outputs.map[5] = count;
    const failure = await failureOf(() => segment(outputs, spec, placementOf(vector)));
    assert.deepEqual([failure.code, failure.details.found], ["output_mismatch", `class ${count}`]);
  });
}

function computedMapOf(vector, count) {
  const manifest = manifestOf("segmentation", { size: vector.size, labels: null });
  manifest.preprocessing.size = vector.size;
  manifest.postprocessing = { kind: "class_map", num_classes: count, ignore: vector.postprocessing.ignore };
  const output = { name: "map", shape: [1, ...vector.size], dtype: "int32", layout: null, meaning: "classes" };
  manifest.signature.inputs[0].shape = [1, 3, ...vector.size];
  manifest.signature = { ...manifest.signature, outputs: [output] };
  manifest.artifacts[0].outputs = [output];
  return readManifest(manifest, "test");
}

test("thresholds that are given take the place of the manifest's", () => {
  const vector = vectors.detection[0];
  const outputs = { boxes: Float32Array.from(vector.boxes), scores: Float32Array.from(vector.scores) };
  const found = (options) => detect(outputs, specOf("detection", vector), placementOf(vector), options).objects;
  assert.equal(found({ max_detections: 2 }).length, 2);
  assert.ok(found({ score_threshold: 0.9 }).every(({ score }) => score >= 0.9));
  assert.deepEqual(found({ score_threshold: undefined }), found({}));
  assert.equal(found({ score_threshold: 1 }).length, 0);
  assert.ok(found({ score_threshold: 0, max_candidates: 5000 }).length <= 100);
});

for (const options of [{ score_threshold: 1.5 }, { iou_threshold: NaN }, { max_detections: 0.5 }, { threshold: 1 }]) {
  test(`an option out of range is rejected: ${JSON.stringify(options)}`, async () => {
    const vector = vectors.detection[0];
    const outputs = { boxes: Float32Array.from(vector.boxes), scores: Float32Array.from(vector.scores) };
    const failure = await failureOf(() => detect(outputs, specOf("detection", vector), placementOf(vector), options));
    assert.equal(failure.code, "option_invalid");
  });
}

test("classes are ranked by softmax, ties by the lower class, whatever the logits' size", () => {
  const spec = readManifest(manifestOf("classification"), "test");
  const { top } = classify({ logits: Float32Array.of(1e4, -1e4, 1e4) }, spec);
  assert.deepEqual(top.map(({ label }) => label), ["cat", "car", "dog"]);
  assert.deepEqual(top.map(({ probability }) => probability), [0.5, 0.5, 0]);
  const [best, ...others] = classify({ logits: Float32Array.of(0, Math.log(3), 0) }, spec, { top: 1 }).top;
  assert.equal(others.length, 0);
  assert.ok(Math.abs(best.probability - 0.6) < 1e-7);
});

test("a class without a label is named by its number", () => {
  const spec = readManifest(manifestOf("classification", { labels: null }), "test");
  assert.equal(classify({ logits: Float32Array.of(0, 0, 1) }, spec).top[0].label, "class 2");
});

for (const value of [NaN, Infinity, -Infinity]) {
  test(`outputs with ${value} are rejected, in each task`, async () => {
    const failing = [
      () => classify({ logits: Float32Array.of(0, value, 0) }, readManifest(manifestOf("classification"), "t")),
      () => {
        const outputs = { boxes: new Float32Array(504), scores: new Float32Array(378).fill(value, 7, 8) };
        detect(outputs, readManifest(manifestOf("detection"), "t"), placementOf(vectors.detection[0]));
      },
      () => {
        const outputs = { logits: new Float32Array(288).fill(value, 3, 4) };
        segment(outputs, readManifest(manifestOf("segmentation"), "t"), placementOf(vectors.detection[0]));
      },
    ];
    for (const action of failing) assert.equal((await failureOf(action)).code, "output_not_finite");
  });
}
