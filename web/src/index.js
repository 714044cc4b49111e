/**
 * Runs models exported by lolvit in the browser, with onnxruntime-web or LiteRT.js: preprocessing and
 * postprocessing from the model's manifest, equal to Python's.
 *
 * @module lolvit
 */
export { classify } from "./classification.js";
export { detect } from "./detection.js";
export { drawDetections, drawSegmentation, palette } from "./drawing.js";
export { LolvitError, MESSAGES } from "./errors.js";
export { liteRt } from "./litert.js";
export { readManifest } from "./manifest.js";
export { onnxRuntime } from "./onnxruntime.js";
export { Photo } from "./photo.js";
export { Placement } from "./placement.js";
export { Classifier, Detector, Segmenter, loadPredictor } from "./predictor.js";
export { placementOf, resizedSize, toInput, toPixels } from "./preprocessing.js";
export { segment } from "./segmentation.js";
export { ModelSource } from "./source.js";

/**
 * @typedef {import("./classification.js").Classification} Classification
 * @typedef {import("./classification.js").Score} Score
 * @typedef {import("./detection.js").Detection} Detection
 * @typedef {import("./detection.js").DetectionOptions} DetectionOptions
 * @typedef {import("./detection.js").Detections} Detections
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./errors.js").ErrorCode} ErrorCode
 * @typedef {import("./manifest.js").ArtifactSpec} ArtifactSpec
 * @typedef {import("./manifest.js").ModelSpec} ModelSpec
 * @typedef {import("./photo.js").PhotoSource} PhotoSource
 * @typedef {import("./placement.js").Box} Box
 * @typedef {import("./predictor.js").LoadOptions} LoadOptions
 * @typedef {import("./predictor.js").Timing} Timing
 * @typedef {import("./segmentation.js").ClassShare} ClassShare
 * @typedef {import("./segmentation.js").SegmentationMap} SegmentationMap
 */
