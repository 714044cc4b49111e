// Turns a photo into a model's input as the manifest defines it: equal to Python's, bit by bit, of the
// same decoded photo.
import { LolvitError } from "./errors.js";
import { Photo } from "./photo.js";
import { Placement } from "./placement.js";
import { resize } from "./resampling.js";

const LARGEST_RESIZED = 64e6; // pixels, as in Python
const PADDING = 128; // of a letterbox, in every channel
const CHANNELS = { RGB: 3, L: 1 };

/**
 * The photo, resized, and cropped or padded to the model's input; for a model of grey images the three
 * channels are equal.
 *
 * @param {Photo} photo
 * @param {Preprocessing} preprocessing
 * @returns {Photo} of the input's size
 * @throws {LolvitError} the photo is so elongated that the resized one would be too large
 */
export function toPixels(photo, preprocessing) {
  const { resized, size, offset } = placementOf([photo.height, photo.width], preprocessing);
  if (resized[0] * resized[1] > LARGEST_RESIZED) {
    throw new LolvitError("photo_too_elongated", { width: photo.width, height: photo.height });
  }
  const [top, left] = offset;
  const colored = preprocessing.color === "L" ? toGrey(photo) : photo;
  const { rgb } = resize(colored, resized, { top, left, size }, preprocessing.interpolation);
  if (preprocessing.resize === "letterbox") pad(rgb, resized, size, offset);
  return new Photo(size[1], size[0], rgb);
}

/**
 * Where a photo of this height and width lies in the input.
 *
 * @param {readonly [number, number]} photo
 * @param {Preprocessing} preprocessing
 * @returns {Placement}
 */
export function placementOf(photo, preprocessing) {
  const { size } = preprocessing;
  if (preprocessing.resize === "letterbox") {
    const ratio = Math.min(size[0] / photo[0], size[1] / photo[1]);
    const [height, width] = photo.map((side) => Math.max(1, roundHalfEven(side * ratio)));
    const top = -Math.floor((size[0] - height) / 2);
    const left = -Math.floor((size[1] - width) / 2);
    return new Placement(photo, [height, width], size, [top, left]);
  }
  const resized = resizedSize(photo, preprocessing);
  const offset = /** @type {const} */ ([middle(resized[0], size[0]), middle(resized[1], size[1])]);
  return new Placement(photo, resized, size, offset);
}

/**
 * The height and width that a photo is resized to before it is cropped.
 *
 * @param {readonly [number, number]} photo
 * @param {Pick<Preprocessing, "size" | "crop_pct" | "resize">} preprocessing
 * @returns {[number, number]}
 */
export function resizedSize([height, width], { size, crop_pct, resize }) {
  const [boxHeight, boxWidth] = size.map((side) => Math.floor(side / crop_pct));
  if (resize === "stretch") return [boxHeight, boxWidth];
  if (boxHeight === boxWidth) {
    const long = Math.floor((boxHeight * Math.max(height, width)) / Math.min(height, width));
    return height <= width ? [boxHeight, long] : [long, boxHeight];
  }
  const ratio = Math.min(height / boxHeight, width / boxWidth);
  return [roundHalfEven(height / ratio), roundHalfEven(width / ratio)];
}

/**
 * Where a crop begins; before the image, if that is smaller than the crop.
 *
 * @param {number} extent
 * @param {number} crop
 */
function middle(extent, crop) {
  return extent >= crop ? roundHalfEven((extent - crop) / 2) : -Math.floor((crop - extent) / 2);
}

/** @param {number} value */
function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

/**
 * Grey levels by ITU-R 601, as Pillow rounds them.
 *
 * @param {Photo} photo
 */
function toGrey({ width, height, rgb }) {
  const grey = new Uint8Array(rgb.length);
  for (let at = 0; at < rgb.length; at += 3) {
    const level = (rgb[at] * 19595 + rgb[at + 1] * 38470 + rgb[at + 2] * 7471 + 0x8000) >> 16;
    grey.fill(level, at, at + 3);
  }
  return new Photo(width, height, grey);
}

/**
 * Fill what the photo leaves of a letterbox, in place.
 *
 * @param {Uint8Array} rgb
 * @param {readonly [number, number]} resized
 * @param {readonly [number, number]} size
 * @param {readonly [number, number]} offset
 */
function pad(rgb, resized, [height, width], [top, left]) {
  const [first, last] = [-left * 3, (resized[1] - left) * 3];
  for (let y = 0; y < height; y++) {
    const row = rgb.subarray(y * width * 3, (y + 1) * width * 3);
    if (y + top < 0 || y + top >= resized[0]) {
      row.fill(PADDING);
    } else {
      row.fill(PADDING, 0, first).fill(PADDING, last);
    }
  }
}

/**
 * (level / 255 - mean) / std in float32, in the layout of an artifact's input.
 *
 * @param {Photo} pixels of the input's size
 * @param {Pick<Preprocessing, "mean" | "std" | "color">} preprocessing
 * @param {{ layout: string | null }} input
 * @returns {Float32Array}
 */
export function toInput({ width, height, rgb }, { mean, std, color }, { layout }) {
  const area = width * height;
  const channels = CHANNELS[color];
  const [step, plane] = layout === "NHWC" ? [channels, 1] : [1, area];
  const made = new Float32Array(channels * area);
  for (let channel = 0; channel < channels; channel++) {
    const [own, deviation] = [Math.fround(mean[channel]), Math.fround(std[channel])];
    const table = Float32Array.from({ length: 256 }, (_, level) =>
      Math.fround(Math.fround(Math.fround(level / 255) - own) / deviation),
    );
    for (let i = 0, to = channel * plane; i < area; i++, to += step) {
      made[to] = table[rgb[i * 3 + channel]];
    }
  }
  return made;
}

/** @typedef {import("./manifest.js").Preprocessing} Preprocessing */
