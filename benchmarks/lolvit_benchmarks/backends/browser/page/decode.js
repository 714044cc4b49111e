// Decodes a photo or a camera frame to RGB as Pillow does: EXIF orientation applied, no colour
// management, alpha dropped without blending.

export async function decode(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch {
    throw new Error("this browser can't decode that photo");
  }
  try {
    return toRgb(bitmap);
  } finally {
    bitmap.close();
  }
}

// From a bitmap, a video or a canvas. A canvas premultiplies alpha, which loses colours: it is used for
// opaque pictures only.
export function toRgb(source) {
  const width = source.videoWidth ?? source.width;
  const height = source.videoHeight ?? source.height;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  let { data } = context.getImageData(0, 0, width, height);
  if (hasTransparency(data)) data = readStraightAlpha(source, width, height);
  return { width, height, rgb: withoutAlpha(data) };
}

function hasTransparency(rgba) {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return true;
  return false;
}

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

// A WebGL texture keeps a bitmap's colours, and a framebuffer returns them.
function readStraightAlpha(source, width, height) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl) throw new Error("this browser needs WebGL to read photos with transparency");
  if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new Error("the photo is too large to be read with transparency");
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
  if (failed) throw new Error("this browser's WebGL could not read the photo");
  return data;
}
