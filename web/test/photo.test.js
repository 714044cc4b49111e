// Photos from all sources that a page has; decoding itself is compared with Python's by pytest.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Photo } from "../src/index.js";
import { failureOf, inBrowser } from "./environment.js";

const skip = !inBrowser;
const LEVELS = [255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30]; // 2x2 pixels

function painted() {
  const canvas = new OffscreenCanvas(2, 2);
  const rgba = LEVELS.flatMap((level, i) => (i % 3 === 2 ? [level, 255] : [level]));
  canvas.getContext("2d").putImageData(new ImageData(Uint8ClampedArray.from(rgba), 2, 2), 0, 0);
  return canvas;
}

test("every source gives the same photo", { skip }, async () => {
  const canvas = painted();
  const blob = await canvas.convertToBlob({ type: "image/png" });
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  const data = canvas.getContext("2d").getImageData(0, 0, 2, 2);
  for (const source of [canvas, blob, image, data, await createImageBitmap(canvas)]) {
    const photo = await Photo.from(source);
    assert.deepEqual([photo.width, photo.height, Array.from(photo.rgb)], [2, 2, LEVELS]);
  }
  const photo = await Photo.from(canvas);
  assert.ok((await Photo.from(photo)) === photo);
});

test("what is no photo is an error that says what to do", { skip }, async () => {
  for (const blob of [new Blob([]), new Blob(["text"]), new Blob([Uint8Array.of(0xff, 0xd8, 0xff)])]) {
    const failure = await failureOf(() => Photo.from(blob));
    assert.equal(failure.code, "photo_undecodable");
    assert.equal(failure.message, "this browser can't decode that photo; save it as JPEG or PNG");
  }
});

test("a video without a frame is no photo", { skip }, async () => {
  const failure = await failureOf(() => Photo.from(document.createElement("video")));
  assert.equal(failure.code, "photo_invalid");
});

test("a canvas that is too large for the browser is an error with a code", { skip }, async () => {
  const failure = await failureOf(() => Photo.from(Object.assign(new OffscreenCanvas(1, 1), { width: 200000, height: 200000 })));
  assert.ok(["photo_too_large", "out_of_memory"].includes(failure.code), failure.code);
});
