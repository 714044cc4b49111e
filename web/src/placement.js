/**
 * A photo, resized to `resized`, of which the model's input shows `size` pixels from `offset` on.
 *
 * All are [height, width] in pixels, `offset` [top, left]: positive where the input is a crop,
 * negative where the photo is padded. Pixel centres are at half integers.
 */
export class Placement {
  /**
   * @param {Pair} photo
   * @param {Pair} resized
   * @param {Pair} size
   * @param {Pair} offset
   */
  constructor(photo, resized, size, offset = [0, 0]) {
    /** @readonly */ this.photo = photo;
    /** @readonly */ this.resized = resized;
    /** @readonly */ this.size = size;
    /** @readonly */ this.offset = offset;
  }

  /**
   * A box on the input in the photo's pixels, clipped to the photo.
   *
   * @param {Box} box in the input's pixels
   * @returns {Box}
   */
  boxOnPhoto({ left, top, right, bottom }) {
    const [height, width] = this.photo;
    const x = (/** @type {number} */ value) =>
      clip((value + this.offset[1]) * (width / this.resized[1]), width);
    const y = (/** @type {number} */ value) =>
      clip((value + this.offset[0]) * (height / this.resized[0]), height);
    return { left: x(left), top: y(top), right: x(right), bottom: y(bottom) };
  }

  /**
   * A map of classes on the input's pixels for each pixel of the photo: the class of the input's
   * pixel in which the photo's pixel centre lies, `outside` where there is none.
   *
   * @param {Uint8Array} classes of height * width of `size`, row by row
   * @param {number} outside
   * @returns {Uint8Array} of height * width of `photo`
   */
  mapOnPhoto(classes, outside) {
    const [height, width] = this.photo;
    const rows = this.#nearest(0);
    const columns = this.#nearest(1);
    const found = new Uint8Array(height * width).fill(outside);
    for (let y = 0; y < height; y++) {
      if (rows[y] < 0) continue;
      const from = rows[y] * this.size[1];
      const to = y * width;
      for (let x = 0; x < width; x++) {
        if (columns[x] >= 0) found[to + x] = classes[from + columns[x]];
      }
    }
    return found;
  }

  /**
   * The input's pixel for each of the photo's along an axis; -1: there is none.
   *
   * @param {0 | 1} axis
   */
  #nearest(axis) {
    const scale = this.resized[axis] / this.photo[axis];
    return Int32Array.from({ length: this.photo[axis] }, (_, number) => {
      const pixel = Math.floor((number + 0.5) * scale - this.offset[axis]);
      return pixel < this.size[axis] ? Math.max(pixel, -1) : -1;
    });
  }
}

/**
 * @param {number} value
 * @param {number} limit
 */
function clip(value, limit) {
  return Math.min(Math.max(value, 0), limit);
}

/**
 * @typedef {readonly [number, number]} Pair height and width, or top and left, in pixels
 * @typedef {object} Box sides in pixels, from the left and the top
 * @property {number} left
 * @property {number} top
 * @property {number} right
 * @property {number} bottom
 */
