// A photo becomes Python's input, bit by bit, on the vectors that all languages share.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Photo, placementOf, readManifest, resizedSize, toInput, toPixels } from "../src/index.js";
import { sha256 } from "../src/sha256.js";
import { failureOf, manifestOf, readJson } from "./environment.js";

const vectors = await readJson("../../tests/vectors/preprocessing.json");

function photoOf(seed, [height, width]) {
  let x = seed;
  const rgb = Uint8Array.from({ length: height * width * 3 }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x >>> 24;
  });
  return new Photo(width, height, rgb);
}

for (const { name, seed, photo, preprocessing, resized, offset, pixels, inputs } of vectors) {
  test(`a photo's pixels and values are Python's: ${name}`, async () => {
    const place = placementOf(photo, preprocessing);
    assert.deepEqual(Array.from(place.resized), resized);
    assert.deepEqual(Array.from(place.offset, (side) => side + 0), offset); // no negative zero
    const found = toPixels(photoOf(seed, photo), preprocessing);
    assert.deepEqual([found.height, found.width], preprocessing.size);
    const levels = preprocessing.color === "L" ? found.rgb.filter((_, i) => i % 3 === 0) : found.rgb;
    assert.equal(await sha256(levels), pixels);
    for (const [layout, digest] of Object.entries(inputs)) {
      const values = toInput(found, preprocessing, { layout });
      assert.equal(await sha256(new Uint8Array(values.buffer)), digest, layout);
    }
  });
}

test("a photo so elongated that resizing it would take too much memory is refused", async () => {
  const { preprocessing } = readManifest(manifestOf("detection"), "m");
  const photo = new Photo(300000, 1, new Uint8Array(900000));
  const failure = await failureOf(() => toPixels(photo, { ...preprocessing, size: [64, 64], resize: "crop" }));
  assert.equal(failure.code, "photo_too_elongated");
  assert.equal(failure.message, "a photo of 300000x1 is too elongated; crop it first");
  assert.deepEqual(resizedSize([1, 300000], { size: [64, 64], crop_pct: 1, resize: "crop" }), [64, 19200000]);
});

for (const [width, height, bytes] of [[0, 1, 0], [2, 2, 11], [1.5, 2, 9], [-1, -1, 3]]) {
  test(`a photo of ${width}x${height} with ${bytes} bytes is not valid`, async () => {
    const failure = await failureOf(() => new Photo(width, height, new Uint8Array(bytes)));
    assert.equal(failure.code, "photo_invalid");
  });
}
