// Resizes as Pillow does, bit-exact: fixed-point coefficients of 22 bits, rounding to 8 bits between
// the passes over columns and rows.
const BITS = 22;
const HALF = 1 << (BITS - 1);

/** @type {Record<"bilinear" | "bicubic", Filter>} */
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight(x) {
      const a = -0.5;
      const d = Math.abs(x);
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
    },
  },
};

/**
 * Resize an image, and take a window of the result; what lies outside of the resized image is black.
 *
 * @param {Image} image
 * @param {readonly [number, number]} resized height and width
 * @param {Window} window
 * @param {"bilinear" | "bicubic"} interpolation
 * @returns {Image} of the window's size
 */
export function resize(image, [height, width], { top, left, size }, interpolation) {
  const filter = FILTERS[interpolation];
  const columns = taps(image.width, width, left, size[1], filter);
  const rows = taps(image.height, height, top, size[0], filter);
  // The order of Pillow 13: it rounds to 8 bits between the two.
  const rowsFirst = image.height > height && image.height - height > 2 * (image.width - width);
  return rowsFirst
    ? resizeColumns(resizeRows(image, rows), columns)
    : resizeRows(resizeColumns(image, columns), rows);
}

/**
 * For each of `count` outputs from `first` on: its first input, and its weights, none outside of the
 * image. Where the extents are equal Pillow copies pixels.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} first
 * @param {number} count
 * @param {Filter} filter
 * @returns {Taps[]}
 */
function taps(from, to, first, count, { support: reach, weight }) {
  const scale = from / to;
  const widened = Math.max(scale, 1);
  const support = reach * widened;
  return Array.from({ length: count }, (_, number) => {
    const output = first + number;
    if (output < 0 || output >= to) return { start: 0, weights: new Int32Array(0) };
    if (from === to) return { start: output, weights: Int32Array.of(1 << BITS) };
    const centre = (output + 0.5) * scale;
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), from);
    const plain = Array.from({ length: end - start }, (_, i) =>
      weight((i + start - centre + 0.5) * (1 / widened)),
    );
    const sum = plain.reduce((total, value) => total + value, 0);
    const fixed = plain.map((value) => {
      const scaled = (sum === 0 ? value : value / sum) * (1 << BITS);
      return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return { start, weights: Int32Array.from(fixed) };
  });
}

/** @param {number} sum */
function toByte(sum) {
  const value = sum >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/**
 * @param {Image} image
 * @param {Taps[]} columns
 * @returns {Image}
 */
function resizeColumns({ width, height, rgb }, columns) {
  const newWidth = columns.length;
  const made = new Uint8Array(height * newWidth * 3);
  for (let y = 0, to = 0; y < height; y++) {
    const row = y * width * 3;
    for (let x = 0; x < newWidth; x++, to += 3) {
      const { start, weights } = columns[x];
      const count = weights.length;
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let i = 0, at = row + start * 3; i < count; i++, at += 3) {
        const weight = weights[i];
        red += rgb[at] * weight;
        green += rgb[at + 1] * weight;
        blue += rgb[at + 2] * weight;
      }
      made[to] = toByte(red);
      made[to + 1] = toByte(green);
      made[to + 2] = toByte(blue);
    }
  }
  return { width: newWidth, height, rgb: made };
}

/**
 * @param {Image} image
 * @param {Taps[]} rows
 * @returns {Image}
 */
function resizeRows({ width, rgb }, rows) {
  const stride = width * 3;
  const made = new Uint8Array(rows.length * stride);
  rows.forEach(({ start, weights }, y) => {
    const sums = new Int32Array(stride).fill(HALF);
    weights.forEach((weight, i) => {
      for (let x = 0, at = (start + i) * stride; x < stride; x++, at++) sums[x] += rgb[at] * weight;
    });
    for (let x = 0, to = y * stride; x < stride; x++, to++) made[to] = toByte(sums[x]);
  });
  return { width, height: rows.length, rgb: made };
}

/**
 * @typedef {{ width: number, height: number, rgb: Uint8Array }} Image levels of red, green, blue
 * @typedef {{ support: number, weight: (x: number) => number }} Filter
 * @typedef {{ start: number, weights: Int32Array }} Taps
 * @typedef {{ top: number, left: number, size: readonly [number, number] }} Window of the resized
 *   image: where it begins, its height and width
 */
