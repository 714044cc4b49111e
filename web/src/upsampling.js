/** Of the largest magnitude: more than float32 loses in an interpolation. */
const ROUNDING = 1e-5;

/**
 * Logits on a coarse grid, as lolvit/upsampling.py: the class of the largest at each pixel, bilinear, with
 * half-pixel centres; ties by the lower class.
 *
 * Four neighbouring logits are the corners of a cell of pixels, whose values lie between theirs: a class
 * that is below another one at all four is so in the whole cell. Most cells are left with one class, so
 * that nothing need be interpolated.
 *
 * @param {Float32Array} logits
 * @param {readonly number[]} shape (1, C, h, w)
 * @param {readonly number[]} size height and width in pixels
 * @returns {Uint8Array} of height * width, row by row
 */
export function upsampledClasses(logits, [, count, ownHeight, ownWidth], [height, width]) {
  const rows = steps(ownHeight, height);
  const columns = steps(ownWidth, width);
  const margin = ROUNDING * logits.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const classes = new Uint8Array(height * width);
  const best = new Float32Array(height * width).fill(-Infinity);
  const possible = new Uint8Array(count);
  for (const [top, bottom] of rows.cells) {
    const upper = rows.low[top] * ownWidth;
    const lower = rows.high[top] * ownWidth;
    for (const [left, right] of columns.cells) {
      const a = upper + columns.low[left];
      const b = upper + columns.high[left];
      const c = lower + columns.low[left];
      const d = lower + columns.high[left];
      const number = findPossible(logits, a, b, c, d, margin, possible);
      if (number === 1) {
        for (let y = top; y < bottom; y++) classes.fill(possible[0], y * width + left, y * width + right);
        continue;
      }
      for (let turn = 0; turn < number; turn++) {
        const plane = possible[turn] * ownHeight * ownWidth;
        for (let y = top; y < bottom; y++) {
          const first = between(logits[plane + a], logits[plane + c], rows.share[y]);
          const second = between(logits[plane + b], logits[plane + d], rows.share[y]);
          for (let x = left, at = y * width + left; x < right; x++, at++) {
            const value = between(first, second, columns.share[x]);
            if (value > best[at]) {
              best[at] = value;
              classes[at] = possible[turn];
            }
          }
        }
      }
    }
  }
  return classes;
}

/**
 * Write the classes that can be the largest between four places of the logits to `possible`, ascending:
 * the one whose smallest value is the largest, and those that it does not exceed by `margin` at all four.
 *
 * @param {Float32Array} logits
 * @param {number} a a place in a class's plane
 * @param {number} b
 * @param {number} c
 * @param {number} d
 * @param {number} margin
 * @param {Uint8Array} possible one for each class
 * @returns {number} how many there are
 */
function findPossible(logits, a, b, c, d, margin, possible) {
  const plane = logits.length / possible.length;
  let one = 0;
  let most = -Infinity;
  for (let at = 0; at < logits.length; at += plane) {
    const least = Math.min(logits[at + a], logits[at + b], logits[at + c], logits[at + d]);
    if (least > most) {
      most = least;
      one = at;
    }
  }
  const atA = logits[one + a] - margin;
  const atB = logits[one + b] - margin;
  const atC = logits[one + c] - margin;
  const atD = logits[one + d] - margin;
  let number = 0;
  for (let index = 0, at = 0; index < possible.length; index++, at += plane) {
    if (logits[at + a] >= atA || logits[at + b] >= atB || logits[at + c] >= atC || logits[at + d] >= atD) {
      possible[number++] = index;
    }
  }
  return number;
}

/**
 * Linear interpolation, each step rounded to float32.
 *
 * @param {number} first
 * @param {number} second
 * @param {number} share
 */
function between(first, second, share) {
  return Math.fround(first + Math.fround(Math.fround(second - first) * share));
}

/**
 * For each of `extent` pixels its two neighbours among `own`, and the share of the second; and the cells,
 * the first pixel and the one behind the last of those between the same neighbours.
 *
 * @param {number} own
 * @param {number} extent
 */
function steps(own, extent) {
  const places = Float64Array.from({ length: extent }, (_, number) =>
    Math.min(Math.max((number + 0.5) * (own / extent) - 0.5, 0), own - 1),
  );
  const low = Int32Array.from(places, Math.floor);
  const starts = [...low.keys()].filter((pixel) => low[pixel] !== low[pixel - 1]);
  return {
    cells: starts.map((start, number) => [start, starts[number + 1] ?? extent]),
    low,
    high: low.map((place) => Math.min(place + 1, own - 1)),
    share: Float32Array.from(places, (place, number) => place - low[number]),
  };
}
