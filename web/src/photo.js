import { LolvitError, isOutOfMemory } from "./errors.js";

/**
 * A decoded photo: 8-bit levels of red, green and blue, row by row, upright, without alpha, as Pillow
 * decodes it (EXIF orientation applied, no colour management, alpha dropped without blending).
 */
export class Photo {
  /**
   * @param {number} width in pixels
   * @param {number} height in pixels
   * @param {Uint8Array} rgb height * width * 3 levels
   * @throws {LolvitError} there is no pixel, or another number of levels
   */
  constructor(width, height, rgb) {
    const sides = [width, height].every((side) => Number.isInteger(side) && side > 0);
    if (!sides || rgb.length !== width * height * 3) {
      throw new LolvitError("photo_invalid", { width, height, bytes: rgb.length });
    }
    /** @readonly */ this.width = width;
    /** @readonly */ this.height = height;
    /** @readonly */ this.rgb = rgb;
  }

  /**
   * A photo from any source; a video's is its present frame.
   *
   * @param {PhotoSource} source
   * @returns {Promise<Photo>}
   * @throws {LolvitError} it can't be decoded, is too large for this browser, or is empty
   */
  static async from(source) {
    if (source instanceof Photo) return source;
    if (source instanceof ImageData) {
      return new Photo(source.width, source.height, withoutAlpha(source.data));
    }
    if (!(source instanceof Blob)) return fromDrawable(source);
    const bitmap = await decoded(source);
    try {
      return fromDrawable(bitmap);
    } finally {
      bitmap.close();
    }
  }
}

/** @param {Blob} blob */
async function decoded(blob) {
  try {
    return await createImageBitmap(blob, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch (error) {
    throw new LolvitError("photo_undecodable", {}, error);
  }
}

/**
 * A canvas premultiplies alpha, which loses colours: it is used for opaque pictures only.
 *
 * @param {Drawable} source
 */
function fromDrawable(source) {
  const [width, height] = sizeOf(source);
  if (!width || !height) throw new LolvitError("photo_invalid", { width, height, bytes: 0 });
  let data;
  try {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (!context) throw new LolvitError("photo_too_large", { width, height });
    context.drawImage(source, 0, 0);
    ({ data } = context.getImageData(0, 0, width, height));
  } catch (error) {
    throw tooLarge(error, width, height);
  }
  if (hasTransparency(data)) data = readStraightAlpha(source, width, height);
  return new Photo(width, height, withoutAlpha(data));
}

/**
 * @param {Drawable} source
 * @returns {[number, number]}
 */
function sizeOf(source) {
  if ("videoWidth" in source) return [source.videoWidth, source.videoHeight];
  if ("naturalWidth" in source) return [source.naturalWidth, source.naturalHeight];
  return [source.width, source.height];
}

/**
 * Canvases of more pixels than a browser supports fail in several ways.
 *
 * @param {unknown} error
 * @param {number} width
 * @param {number} height
 */
function tooLarge(error, width, height) {
  if (error instanceof LolvitError) return error;
  if (isOutOfMemory(error)) {
    return new LolvitError("out_of_memory", { what: `a photo of ${width}x${height}` }, error);
  }
  if (error instanceof DOMException && error.name === "SecurityError") {
    return new LolvitError("photo_cross_origin", {}, error);
  }
  return new LolvitError("photo_too_large", { width, height }, error);
}

/** @param {Uint8ClampedArray} rgba */
function hasTransparency(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return true;
  return false;
}

/** @param {Uint8ClampedArray | Uint8Array} rgba */
function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

/**
 * A WebGL texture keeps a bitmap's colours, and a framebuffer returns them.
 *
 * @param {Drawable} source
 * @param {number} width
 * @param {number} height
 */
function readStraightAlpha(source, width, height) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl) throw new LolvitError("webgl_unavailable");
  if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new LolvitError("photo_too_large", { width, height });
  }
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, source);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const texture = gl.getParameter(gl.TEXTURE_BINDING_2D);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const data = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  const failed = gl.getError();
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  if (failed) throw new LolvitError("photo_too_large", { width, height });
  return data;
}

/**
 * @typedef {ImageBitmap | HTMLVideoElement | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas
 *   } Drawable
 * @typedef {Photo | Blob | ImageData | Drawable} PhotoSource
 */
