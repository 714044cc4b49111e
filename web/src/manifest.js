// Reads manifests of schema version 2, as lolvit/manifest.py writes them, and of version 1, which is
// converted to version 2 first. Both become one ModelSpec.
import { LolvitError } from "./errors.js";
import { Fields, isInteger, isNumber, isString } from "./fields.js";

const SCHEMA_VERSIONS = [1, 2];
const FORMATS = ["onnx", "tflite"]; // others are of other platforms
const RESIZES = /** @type {const} */ (["crop", "stretch", "letterbox"]);
const INTERPOLATIONS = /** @type {const} */ (["bicubic", "bilinear"]);
const CHANNELS = { RGB: 3, L: 1 };
const COLORS = /** @type {(keyof typeof CHANNELS)[]} */ (Object.keys(CHANNELS));
const LARGEST_SIDE = 2 ** 16 - 1;
const LARGEST_EXTENT = 2 ** 31 - 1;
const MAX_CROP_PCT = 2;

/**
 * What an app needs of a manifest.
 *
 * @param {unknown} json the parsed document
 * @param {string} url where it is from, for messages
 * @returns {ModelSpec}
 * @throws {LolvitError} a field is missing or invalid, the document is of another schema version, or
 *   it asks for what this library does not implement, such as another task
 */
export function readManifest(json, url) {
  const document = upgraded(new Fields(json, url));
  const task = one(document, "task", TASKS, "task_unsupported");
  const signature = {
    inputs: document.object("signature").objects("inputs").map(readTensor),
    outputs: document.object("signature").objects("outputs").map(readTensor),
  };
  const preprocessing = readPreprocessing(document.object("preprocessing"));
  const postprocessing = readPostprocessing(document, task);
  const classes = RULES[task].classes({ url, preprocessing, postprocessing, signature });
  const weights = document.object("weights");
  return Object.freeze({
    url,
    name: document.string("model"),
    task,
    preprocessing,
    postprocessing,
    signature,
    classes,
    labels: readLabels(document, classes),
    colors: document.has("colors") ? document.list("colors", isColor, "a list of #rrggbb") : null,
    trained: weights.boolean("trained"),
    weightsSource: weights.string("source"),
    params: document.integer("params", 0),
    macs: document.integer("macs", 0),
    artifacts: document
      .objects("artifacts")
      .filter((artifact) => FORMATS.includes(artifact.string("format")))
      .map((artifact) => readArtifact(artifact, signature)),
  });
}

/**
 * Version 1 knows classifiers only. It has `preprocess` without `resize`, `num_classes` in place of the
 * signature, one `input` and one `output` for each artifact, and `values` for a tensor's `meaning`.
 *
 * @param {Fields} document
 */
function upgraded(document) {
  const version = document.get("schema_version");
  if (!SCHEMA_VERSIONS.includes(/** @type {number} */ (version))) {
    throw new LolvitError("schema_unsupported", {
      url: document.url, version: JSON.stringify(version), supported: SCHEMA_VERSIONS.join(" and "),
    });
  }
  if (version === 2) return document;
  const preprocessing = document.object("preprocess").with({ resize: "crop" });
  const size = preprocessing.checked("size", isSize, "a height and a width");
  const classes = document.integer("num_classes", 1, LARGEST_EXTENT);
  const image = { name: "image", shape: [1, 3, ...size], layout: "NCHW", meaning: "normalized" };
  const logits = { name: "logits", shape: [1, classes], layout: "NC", meaning: "logits" };
  return document.with({
    task: "classification",
    preprocessing: preprocessing.json,
    postprocessing: { kind: "softmax" },
    signature: { inputs: [image], outputs: [logits] },
    artifacts: document.objects("artifacts").map(
      (artifact) =>
        artifact.with({
          inputs: [upgradedTensor(artifact.object("input"))],
          outputs: [upgradedTensor(artifact.object("output"))],
        }).json,
    ),
  });
}

/** @param {Fields} tensor */
function upgradedTensor(tensor) {
  return tensor.with({ meaning: tensor.string("values") }).json;
}

/**
 * The value of a field among those that this library implements.
 *
 * @template {string} T
 * @param {Fields} fields
 * @param {string} setting
 * @param {readonly T[]} supported
 * @param {"setting_unsupported" | "task_unsupported"} [code]
 * @returns {T}
 */
function one(fields, setting, supported, code = "setting_unsupported") {
  const value = fields.string(setting);
  const found = supported.find((each) => each === value);
  if (found !== undefined) return found;
  const details = { url: fields.url, setting, value, task: value, supported: supported.join(", ") };
  throw new LolvitError(code, details);
}

/**
 * @param {Fields} fields
 * @returns {Preprocessing}
 */
function readPreprocessing(fields) {
  const color = one(fields.has("color") ? fields : fields.with({ color: "RGB" }), "color", COLORS);
  const resize = one(fields.has("resize") ? fields : fields.with({ resize: "crop" }), "resize", RESIZES);
  const size = fields.checked("size", isSize, "a height and a width");
  const crop_pct = fields.number("crop_pct", 0.001, MAX_CROP_PCT);
  if (resize === "letterbox" && crop_pct !== 1) {
    throw fields.invalid(`crop_pct is ${crop_pct}, resize 'letterbox' crops nothing`);
  }
  const mean = fields.list("mean", isNumber, "a list of numbers");
  const std = fields.list("std", isPositive, "a list of positive numbers");
  for (const [name, values] of Object.entries({ mean, std })) {
    if (values.length !== CHANNELS[color]) {
      throw fields.invalid(`${name} has ${values.length} values for the color ${color}`);
    }
  }
  const interpolation = one(fields, "interpolation", INTERPOLATIONS);
  return Object.freeze({ size, resize, crop_pct, interpolation, mean, std, color });
}

/**
 * @param {Fields} document
 * @param {TaskName} task
 * @returns {Postprocessing}
 */
function readPostprocessing(document, task) {
  const fields = document.object("postprocessing");
  const { kinds } = RULES[task];
  const kind = one(fields.has("kind") ? fields : fields.with({ kind: kinds[0] }), "kind", kinds);
  return Object.freeze({ kind, ...RULES[task].parameters(fields, kind) });
}

/** The kind of postprocessing of a model that computes the map of classes itself. */
export const CLASS_MAP = "class_map";

/** @type {Record<TaskName, TaskRules>} */
const RULES = {
  classification: {
    kinds: ["softmax"],
    parameters: () => ({}),
    classes(model) {
      const [logits] = requireOutputs(model, ["logits"], "classification");
      if (logits.shape.length !== 2) throw unfit(model, logits, "1x…");
      return logits.shape[1];
    },
  },
  detection: {
    kinds: ["boxes_ltrb"],
    parameters: (fields) => ({
      strides: fields.list("strides", isSide, "a list of integers"),
      score_threshold: fields.number("score_threshold", 0, 1),
      iou_threshold: fields.number("iou_threshold", 0, 1),
      max_candidates: fields.integer("max_candidates", 1),
      max_detections: fields.integer("max_detections", 1),
    }),
    classes(model) {
      const [boxes, scores] = requireOutputs(model, ["distances", "scores"], "detection");
      const { strides } = /** @type {BoxParameters} */ (model.postprocessing);
      const cells = (/** @type {number} */ stride) =>
        model.preprocessing.size.reduce((product, side) => product * Math.ceil(side / stride), 1);
      const points = strides.reduce((sum, stride) => sum + cells(stride), 0);
      if (String(boxes.shape) !== `1,4,${points}`) throw unfit(model, boxes, `1x4x${points}`);
      const [, classes, own] = scores.shape;
      if (scores.shape.length !== 3 || own !== points) throw unfit(model, scores, `1x…x${points}`);
      return classes;
    },
  },
  segmentation: {
    kinds: ["argmax", CLASS_MAP],
    parameters: (fields, kind) => ({
      ...(kind === CLASS_MAP
        ? { num_classes: fields.integer("num_classes", 2, 255) }
        : { upsample: one(fields, "upsample", ["bilinear_half_pixel"]) }),
      ignore: fields.integer("ignore", 0, 255),
    }),
    classes(model) {
      if (model.postprocessing.kind === CLASS_MAP) {
        const [map] = requireOutputs(model, ["classes"], "segmentation");
        const expected = [1, ...model.preprocessing.size];
        if (String(map.shape) !== String(expected)) throw unfit(model, map, expected.join("x"));
        return /** @type {ClassMapParameters} */ (model.postprocessing).num_classes;
      }
      const [logits] = requireOutputs(model, ["logits"], "segmentation");
      const { length, 1: classes } = logits.shape;
      if (length !== 4 || classes > 255) throw unfit(model, logits, "1x…x…x…");
      return classes;
    },
  },
};
const TASKS = /** @type {TaskName[]} */ (Object.keys(RULES));

/**
 * The signature's outputs, if they have the task's meanings, for one image.
 *
 * @param {ModelParts} model
 * @param {string[]} meanings
 * @param {TaskName} task
 */
function requireOutputs({ url, signature }, meanings, task) {
  const { inputs, outputs } = signature;
  const unsupported = (/** @type {string} */ found, /** @type {string} */ expected) =>
    new LolvitError("tensors_unsupported", { url, owner: "the model", found, task, expected });
  if (inputs.length !== 1) throw unsupported(`${inputs.length} inputs`, "one");
  const found = outputs.map(({ meaning }) => meaning);
  if (String(found) !== String(meanings)) {
    throw unsupported(`outputs of ${found.join(", ")}`, meanings.join(", "));
  }
  if ([...inputs, ...outputs].some(({ shape }) => shape[0] !== 1)) {
    throw unsupported("a batch of several images", "one");
  }
  return outputs;
}

/**
 * @param {ModelParts} model
 * @param {TensorSpec} tensor
 * @param {string} expected
 */
function unfit({ url }, { name, shape }, expected) {
  const reason = `'${name}' is ${shape.join("x")}, the model's size and task need ${expected}`;
  return new LolvitError("manifest_invalid", { url, reason });
}

/**
 * @param {Fields} document
 * @param {number} classes
 */
function readLabels(document, classes) {
  if (!document.has("labels")) return null;
  const labels = document.list("labels", isString, "a list of strings");
  if (labels.length !== classes) {
    throw new LolvitError("labels_mismatch", { url: document.url, labels: labels.length, classes });
  }
  return labels;
}

/**
 * @param {Fields} fields
 * @returns {TensorSpec}
 */
export function readTensor(fields) {
  return Object.freeze({
    name: fields.string("name"),
    shape: fields.list("shape", isInteger(1, LARGEST_EXTENT), "a list of positive integers"),
    dtype: fields.has("dtype") ? fields.string("dtype") : "float32",
    layout: fields.has("layout") ? fields.string("layout") : null,
    meaning: fields.string("meaning"),
  });
}

/**
 * @param {Fields} fields
 * @param {Signature} signature
 * @returns {ArtifactSpec}
 */
function readArtifact(fields, signature) {
  const path = fields.string("path");
  const inputs = fields.objects("inputs").map(readTensor);
  const outputs = fields.objects("outputs").map(readTensor);
  for (const [what, own, wanted] of /** @type {const} */ ([
    ["inputs", inputs, signature.inputs],
    ["outputs", outputs, signature.outputs],
  ])) {
    const agree = own.length === wanted.length && own.every((tensor, number) => holds(tensor, wanted[number]));
    if (!agree) throw fields.invalid(`the ${what} of ${path} are not those of the signature`);
  }
  return Object.freeze({
    path,
    format: fields.string("format"),
    precision: fields.string("precision"),
    sha256: fields.checked("sha256", isSha256, "64 hexadecimal digits"),
    bytes: fields.integer("bytes", 0),
    inputs,
    outputs,
  });
}

/**
 * Whether a tensor has as many values as the signature's.
 *
 * @param {TensorSpec} own
 * @param {TensorSpec} wanted
 */
function holds({ shape }, wanted) {
  const sorted = (/** @type {readonly number[]} */ sides) => String([...sides].sort((a, b) => a - b));
  return sorted(shape) === sorted(wanted.shape);
}

const isSide = isInteger(1, LARGEST_SIDE);
/** @type {(value: unknown) => value is readonly [number, number]} */
const isSize = (value) => Array.isArray(value) && value.length === 2 && value.every(isSide);
/** @type {(value: unknown) => value is number} */
const isPositive = (value) => isNumber(value) && value > 0;
/** @type {(value: unknown) => value is string} */
const isColor = (value) => isString(value) && /^#[0-9a-f]{6}$/.test(value);
/** @type {(value: unknown) => value is string} */
const isSha256 = (value) => isString(value) && /^[0-9a-f]{64}$/.test(value);

/**
 * @typedef {"classification" | "detection" | "segmentation"} TaskName
 * @typedef {object} TensorSpec one input or output
 * @property {string} name
 * @property {readonly number[]} shape
 * @property {string} dtype
 * @property {string | null} layout such as NCHW, NHWC, NC, NCL or NLC
 * @property {string} meaning
 * @typedef {object} Signature
 * @property {readonly TensorSpec[]} inputs
 * @property {readonly TensorSpec[]} outputs
 * @typedef {object} Preprocessing as lolvit/manifest.py defines it
 * @property {readonly [number, number]} size height and width of the input, in pixels
 * @property {"crop" | "stretch" | "letterbox"} resize
 * @property {number} crop_pct
 * @property {"bicubic" | "bilinear"} interpolation
 * @property {readonly number[]} mean one a channel
 * @property {readonly number[]} std one a channel
 * @property {"RGB" | "L"} color
 * @typedef {object} BoxParameters
 * @property {"boxes_ltrb"} kind
 * @property {readonly number[]} strides
 * @property {number} score_threshold
 * @property {number} iou_threshold
 * @property {number} max_candidates
 * @property {number} max_detections
 * @typedef {object} MapParameters
 * @property {"argmax"} kind
 * @property {"bilinear_half_pixel"} upsample
 * @property {number} ignore
 * @typedef {object} ClassMapParameters of a model that computes the map of classes itself
 * @property {"class_map"} kind
 * @property {number} num_classes
 * @property {number} ignore
 * @typedef {{ kind: string } | BoxParameters | MapParameters | ClassMapParameters} Postprocessing
 * @typedef {object} ArtifactSpec one file that a runtime opens
 * @property {string} path relative to the model's folder
 * @property {string} format `onnx` or `tflite`
 * @property {string} precision
 * @property {string} sha256
 * @property {number} bytes
 * @property {readonly TensorSpec[]} inputs
 * @property {readonly TensorSpec[]} outputs in the signature's order, maybe in other layouts
 * @typedef {object} ModelSpec what an app needs of a manifest
 * @property {string} url of the manifest
 * @property {string} name
 * @property {TaskName} task
 * @property {Preprocessing} preprocessing
 * @property {Postprocessing} postprocessing
 * @property {Signature} signature
 * @property {number} classes
 * @property {readonly string[] | null} labels one a class
 * @property {readonly string[] | null} colors `#rrggbb`, one a class
 * @property {boolean} trained false: random weights, whose predictions mean nothing
 * @property {string} weightsSource
 * @property {number} params
 * @property {number} macs multiply-adds of one inference
 * @property {readonly ArtifactSpec[]} artifacts those for browsers
 * @typedef {object} ModelParts
 * @property {string} url
 * @property {Preprocessing} preprocessing
 * @property {Postprocessing} postprocessing
 * @property {Signature} signature
 * @typedef {object} TaskRules
 * @property {readonly string[]} kinds of the postprocessing
 * @property {(fields: Fields, kind: string) => object} parameters
 * @property {(model: ModelParts) => number} classes checks the outputs
 */
