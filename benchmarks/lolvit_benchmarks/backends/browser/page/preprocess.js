// Turns a photo into an input by the manifest's preprocessing, bit-exact with Pillow: fixed-point
// coefficients of 22 bits, rounding to 8 bits between the passes over columns and rows.
const BITS = 22;
const HALF = 1 << (BITS - 1);
const LARGEST_RESIZED = 64e6; // pixels, as in Python
const RESIZES = ["crop", "stretch"];
const CHANNELS = { RGB: 3, L: 1 };

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

// { width, height, rgb: Uint8Array of height * width * 3 } -> the crop, in the same form; for a
// model of grey images its three channels are equal.
export function toPixels(photo, preprocessing) {
  requireSupported(preprocessing);
  const [height, width] = resizedSize([photo.height, photo.width], preprocessing);
  if (height * width > LARGEST_RESIZED) throw new Error("the photo is too elongated: crop it first");
  const [cropHeight, cropWidth] = preprocessing.size;
  const top = middle(height, cropHeight);
  const left = middle(width, cropWidth);
  const filter = FILTERS[preprocessing.interpolation];
  // Only the columns and rows of the crop are computed.
  const columns = coefficients(photo.width, width, left, cropWidth, filter);
  const rows = coefficients(photo.height, height, top, cropHeight, filter);
  const colored = preprocessing.color === "L" ? toGrey(photo) : photo;
  // The order of Pillow 13: it rounds to 8 bits between the two.
  const rowsFirst = photo.height > height && photo.height - height > 2 * (photo.width - width);
  return rowsFirst
    ? resizeColumns(resizeRows(colored, rows, cropHeight), columns, cropWidth)
    : resizeRows(resizeColumns(colored, columns, cropWidth), rows, cropHeight);
}

function requireSupported({ interpolation, resize, color }) {
  if (!FILTERS[interpolation]) throw new Error(`interpolation '${interpolation}' is not supported`);
  if (!RESIZES.includes(resize)) throw new Error(`resize '${resize}' is not supported by this page`);
  if (!CHANNELS[color]) throw new Error(`color '${color}' is not supported by this page`);
}

// Grey levels by ITU-R 601, as Pillow rounds them.
function toGrey({ width, height, rgb }) {
  const grey = new Uint8Array(rgb.length);
  for (let at = 0; at < rgb.length; at += 3) {
    const level = (rgb[at] * 19595 + rgb[at + 1] * 38470 + rgb[at + 2] * 7471 + 0x8000) >> 16;
    grey.fill(level, at, at + 3);
  }
  return { width, height, rgb: grey };
}

export function resizedSize([height, width], { size, crop_pct, resize = "crop" }) {
  const [boxHeight, boxWidth] = size.map((side) => Math.floor(side / crop_pct));
  if (resize === "stretch") return [boxHeight, boxWidth];
  if (boxHeight === boxWidth) {
    const long = Math.floor((boxHeight * Math.max(height, width)) / Math.min(height, width));
    return height <= width ? [boxHeight, long] : [long, boxHeight];
  }
  const ratio = Math.min(height / boxHeight, width / boxWidth);
  return [roundHalfEven(height / ratio), roundHalfEven(width / ratio)];
}

// Where a crop begins; before the image, if that is smaller than the crop.
function middle(extent, crop) {
  return extent >= crop ? roundHalfEven((extent - crop) / 2) : -Math.floor((crop - extent) / 2);
}

function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

// For each of `count` outputs from `first` on: its first input, and its weights. Where the extents are
// equal Pillow copies pixels. Outputs outside the photo (a larger crop) are black, as in Pillow.
function coefficients(from, to, first, count, { support: reach, weight }) {
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

function toByte(sum) {
  const value = sum >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function resizeColumns({ width, height, rgb }, columns, newWidth) {
  const made = new Uint8Array(height * newWidth * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < newWidth; x++) {
      const { start, weights } = columns[x];
      let [red, green, blue] = [HALF, HALF, HALF];
      let at = (y * width + start) * 3;
      for (let i = 0; i < weights.length; i++, at += 3) {
        red += rgb[at] * weights[i];
        green += rgb[at + 1] * weights[i];
        blue += rgb[at + 2] * weights[i];
      }
      const to = (y * newWidth + x) * 3;
      made[to] = toByte(red);
      made[to + 1] = toByte(green);
      made[to + 2] = toByte(blue);
    }
  }
  return { width: newWidth, height, rgb: made };
}

function resizeRows({ width, rgb }, rows, newHeight) {
  const stride = width * 3;
  const made = new Uint8Array(newHeight * stride);
  for (let y = 0; y < newHeight; y++) {
    const { start, weights } = rows[y];
    for (let x = 0; x < stride; x++) {
      let sum = HALF;
      for (let i = 0; i < weights.length; i++) sum += rgb[(start + i) * stride + x] * weights[i];
      made[y * stride + x] = toByte(sum);
    }
  }
  return { width, height: newHeight, rgb: made };
}

// (pixel / 255 - mean) / std in float32, in the layout of the artifact's input.
export function toInput({ width, height, rgb }, { mean, std, color = "RGB" }, { layout, meaning, dtype }) {
  if (meaning !== "normalized" || dtype !== "float32") {
    throw new Error(`an input of ${meaning} as ${dtype} is not supported by this page`);
  }
  const area = width * height;
  const channels = CHANNELS[color];
  const made = new Float32Array(channels * area);
  for (let channel = 0; channel < channels; channel++) {
    const table = Float32Array.from({ length: 256 }, (_, pixel) =>
      normalized(pixel, Math.fround(mean[channel]), Math.fround(std[channel])),
    );
    for (let i = 0; i < area; i++) {
      made[layout === "NHWC" ? i * channels + channel : channel * area + i] = table[rgb[i * 3 + channel]];
    }
  }
  return made;
}

function normalized(pixel, mean, std) {
  return Math.fround(Math.fround(Math.fround(pixel / 255) - mean) / std);
}
