// Tests run in Node and, by chromium.test.js, in a browser.
export const inBrowser = typeof document !== "undefined";

/** Read a file of the repository, by its path from the tests' folder. */
export async function readFile(path) {
  const url = new URL(path, import.meta.url);
  if (inBrowser) return new Uint8Array(await (await fetch(url)).arrayBuffer());
  const files = await import("node:fs/promises");
  return new Uint8Array(await files.readFile(url));
}

export async function readJson(path) {
  return JSON.parse(new TextDecoder().decode(await readFile(path)));
}

/** The code and the message of a function's LolvitError. */
export async function failureOf(action) {
  try {
    await action();
  } catch (error) {
    return { code: error.code, message: error.message, details: error.details };
  }
  throw new Error("nothing was thrown");
}

/** A function in place of fetch, which serves files by their URLs: bytes, text, or an error. */
export function serving(files) {
  return async (url) => {
    const content = files[String(url)];
    if (content instanceof Error) throw content;
    if (content instanceof Response) return content;
    if (content === undefined) return new Response("", { status: 404, statusText: "Not Found" });
    return new Response(content);
  };
}

const OUTPUTS = {
  classification: [["logits", [1, 3], "NC", "logits"]],
  detection: [["boxes", [1, 4, 126], "NCL", "distances"], ["scores", [1, 3, 126], "NCL", "scores"]],
  segmentation: [["logits", [1, 3, 8, 12], "NCHW", "logits"]],
};
const POSTPROCESSING = {
  classification: { kind: "softmax" },
  detection: {
    kind: "boxes_ltrb", strides: [8, 16, 32], score_threshold: 0.3, iou_threshold: 0.6,
    max_candidates: 1000, max_detections: 100,
  },
  segmentation: { kind: "argmax", upsample: "bilinear_half_pixel", ignore: 255 },
};

/** A manifest of schema 2, of a model of 64x96 pixels and three classes, with one ONNX artifact. */
export function manifestOf(task, changed = {}) {
  const tensor = ([name, shape, layout, meaning]) => ({ name, shape, dtype: "float32", layout, meaning });
  const inputs = [tensor(["image", [1, 3, 64, 96], "NCHW", "normalized"])];
  const outputs = OUTPUTS[task].map(tensor);
  const artifact = { path: "model-fp32.onnx", format: "onnx", precision: "fp32", sha256: "0".repeat(64), bytes: 4, inputs, outputs };
  return {
    schema_version: 2, model: "tiny", task, params: 1, macs: 2, size: [64, 96], rewritten: true,
    weights: { path: "weights.safetensors", sha256: "0".repeat(64), trained: true, source: "tests" },
    preprocessing: {
      size: [64, 96], resize: "stretch", crop_pct: 1, interpolation: "bicubic",
      mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], color: "RGB",
    },
    postprocessing: POSTPROCESSING[task],
    labels: ["cat", "dog", "car"],
    signature: { inputs, outputs },
    artifacts: [artifact],
    rewrites: [], recommended: {}, tools: {}, created: "2026-01-01T00:00:00Z",
    ...changed,
  };
}
