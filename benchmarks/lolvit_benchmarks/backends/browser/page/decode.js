// A photo's file, or a picture of the camera, into RGB as Pillow decodes it: upright as its EXIF
// orientation says, colours as they are stored, transparency dropped with the colours under it kept.

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

// From a bitmap, a video or a canvas. A canvas blends colours with their transparency, and can't
// give them back: only pictures without any are read that way.
export function toRgb(source) {
  const width = source.videoWidth ?? source.width;
  const height = source.videoHeight ?? source.height;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  let { data } = context.getImageData(0, 0, width, height);
  if (hasTransparency(data)) data = readUnblended(source, width, height);
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

// A texture takes a bitmap's colours as they are, and a framebuffer gives them back.
function readUnblended(source, width, height) {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl) throw new Error("this browser needs WebGL to read photos with transparency");
  if (Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new Error("the photo is too large to be read with its transparency");
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
