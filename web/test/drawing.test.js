import assert from "node:assert/strict";
import { test } from "node:test";
import { drawDetections, drawSegmentation, palette } from "../src/index.js";
import { inBrowser } from "./environment.js";

const skip = !inBrowser;
const SPEC = { classes: 3, colors: ["#ff0000", "#00ff00", "#0000ff"] };

test("classes have the manifest's colours, or those of Python's palette", () => {
  assert.deepEqual(palette(SPEC), [[255, 0, 0], [0, 255, 0], [0, 0, 255]]);
  // python -c "from lolvit.drawing import palette; print(palette(4))"
  assert.deepEqual(palette({ classes: 4, colors: null }), PYTHONS);
});

const PYTHONS = [[242, 61, 61], [61, 114, 242], [167, 242, 61], [242, 61, 220]];

function canvas(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  return context;
}

const pixel = (context, x, y) => Array.from(context.getImageData(x, y, 1, 1).data.slice(0, 3));

test("a box is drawn around its object, at the canvas's scale", { skip }, () => {
  const context = canvas(200, 100);
  const box = { left: 100, top: 100, right: 300, bottom: 180 };
  drawDetections(context, { objects: [{ index: 1, label: "dog", score: 0.5, box }] }, SPEC, 0.5);
  assert.deepEqual(pixel(context, 50, 70), [0, 255, 0]);
  assert.deepEqual(pixel(context, 149, 70), [0, 255, 0]);
  assert.deepEqual(pixel(context, 100, 89), [0, 255, 0]);
  assert.deepEqual(pixel(context, 100, 70), [0, 0, 0]);
  assert.deepEqual(pixel(context, 152, 70), [0, 0, 0]);
});

test("a label is drawn as text, whatever it contains, and no longer than the canvas is wide", { skip }, () => {
  const before = document.documentElement.outerHTML;
  const label = `<img src=x onerror="window.hacked = true">${"\u202e\n".repeat(5)}${"🚗".repeat(5000)}`;
  const objects = [{ index: 0, label, score: 1, box: { left: 190, top: 0, right: 200, bottom: 90 } }];
  const context = canvas(200, 100);
  drawDetections(context, { objects }, SPEC);
  assert.deepEqual(pixel(context, 1, 1), [255, 0, 0]); // the label begins inside of the canvas
  assert.equal(document.documentElement.outerHTML, before);
  assert.equal(window.hacked, undefined);
});

test("each class tints its pixels; those that the model does not see stay as they are", { skip }, () => {
  const context = canvas(40, 20);
  const map = { width: 4, height: 2, classes: Uint8Array.of(0, 1, 2, 255, 0, 1, 2, 255), ignore: 255 };
  drawSegmentation(context, map, SPEC);
  const tint = Math.round(255 * 0.55);
  [[tint, 0, 0], [0, tint, 0], [0, 0, tint], [0, 0, 0]].forEach((expected, column) => {
    const found = pixel(context, column * 10 + 5, 15);
    assert.ok(found.every((level, i) => Math.abs(level - expected[i]) <= 1), `${found}, not ${expected}`);
  });
});
