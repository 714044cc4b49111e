// Compiled by test_npm_package.py in a project that has installed the package.
import * as ort from "onnxruntime-web/wasm";
import { Classifier, Detector, LolvitError, Segmenter, drawDetections, onnxRuntime } from "lolvit";
import type { Box, Detection, Engine, ErrorCode } from "lolvit";

const engine: Engine = onnxRuntime(ort, { threads: 2 });

export async function best(file: File): Promise<string> {
  const classifier = await Classifier.load("models/a", [engine], { precision: "fp32" });
  const { top, timing } = await classifier.predict(file, { top: 1 });
  return `${top[0].label} ${top[0].probability.toFixed(2)} ${timing.inferenceMs}`;
}

export async function draw(video: HTMLVideoElement, context: CanvasRenderingContext2D): Promise<Box[]> {
  const detector = await Detector.load(new URL("https://example.org/models/b"), engine);
  const found = await detector.predict(video, { score_threshold: 0.5 });
  drawDetections(context, found, detector.spec);
  return found.objects.map((one: Detection) => one.box);
}

export async function pixels(file: Blob): Promise<Uint8Array> {
  try {
    return (await (await Segmenter.load("models/c", engine)).predict(file)).classes;
  } catch (error) {
    if (!(error instanceof LolvitError)) throw error;
    const code: ErrorCode = error.code;
    console.log(code, error.details, error.format("{reason}"));
    return new Uint8Array();
  }
}

// @ts-expect-error a classifier has no threshold
void Classifier.load("models/a", engine).then((classifier) => classifier.predict(new Blob(), { score_threshold: 1 }));
