import { classify } from "./classification.js";
import { detect } from "./detection.js";
import { LolvitError } from "./errors.js";
import { bySignature } from "./outputs.js";
import { Photo } from "./photo.js";
import { placementOf, toInput, toPixels } from "./preprocessing.js";
import { segment } from "./segmentation.js";
import { selfCheck } from "./self-check.js";
import { ModelSource } from "./source.js";

/** After these the next engine is tried; a damaged file or model is no reason to. */
const FALLBACK = new Set([
  "wasm_unavailable", "webgpu_unavailable", "insecure_context", "engine_not_exported",
  "engine_incompatible", "load_failed", "run_failed", "out_of_memory", "output_not_finite",
  "self_check_missed",
]);

/**
 * A model that is loaded into an engine. Predictions are made one after another, in the order of the
 * calls; without a worker they block the page meanwhile.
 */
class Predictor {
  #session;
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();
  #closed = false;

  /** @param {Opened} opened */
  constructor({ spec, engine, artifact, session, checked, failures }) {
    this.#session = session;
    /** The model's manifest. @readonly */
    this.spec = spec;
    /** The engine that runs it, such as `ort-web-wasm`. @readonly */
    this.engine = engine.id;
    /** @readonly */
    this.artifact = artifact;
    /** The result of the self-check; null: the folder has none for this artifact. @readonly */
    this.selfCheck = checked;
    /** Why engines before this one can't run the model here. @readonly */
    this.failures = failures;
  }

  /**
   * Run the model once on a grey image: the first inference also compiles.
   *
   * @returns {Promise<void>}
   * @throws {LolvitError} the engine failed
   */
  async prewarm() {
    const { shape } = this.artifact.inputs[0];
    await this.#next(() => this.#session.run(new Float32Array(shape.reduce((a, b) => a * b, 1))));
  }

  /**
   * @template T
   * @param {import("./photo.js").PhotoSource} source
   * @param {(outputs: import("./outputs.js").Outputs, placement: import("./placement.js").Placement) => T} interpret
   * @returns {Promise<T & { timing: Timing }>}
   * @protected
   */
  async run(source, interpret) {
    const decoding = Photo.from(source); // a video's frame is that of the call
    decoding.catch(() => {}); // awaited below, unless the model is closed
    return this.#next(async () => {
      const photo = await decoding;
      const { preprocessing, signature } = this.spec;
      const start = performance.now();
      const values = toInput(toPixels(photo, preprocessing), preprocessing, this.artifact.inputs[0]);
      const prepared = performance.now();
      const found = await this.#session.run(values);
      const ran = performance.now();
      const outputs = bySignature(signature.outputs, this.artifact.outputs, found);
      const prediction = interpret(outputs, placementOf([photo.height, photo.width], preprocessing));
      const timing = {
        preprocessMs: prepared - start, inferenceMs: ran - prepared, postprocessMs: performance.now() - ran,
      };
      return { ...prediction, timing };
    });
  }

  /**
   * @template T
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  #next(action) {
    if (this.#closed) return Promise.reject(new LolvitError("closed"));
    const next = this.#last.then(action);
    this.#last = next.catch(() => {});
    return next;
  }

  /** Release the engine's memory, after the predictions that are under way. */
  async close() {
    if (this.#closed) return;
    const last = this.#last;
    this.#closed = true;
    await last;
    await this.#session.close();
  }
}

/**
 * Classifies photos.
 *
 * @example
 * const classifier = await Classifier.load("models/lolvit_x-256x256", onnxRuntime(ort));
 * const [best] = (await classifier.predict(file)).top;
 * console.log(best.label, best.probability);
 */
export class Classifier extends Predictor {
  /**
   * @param {Folder} folder of the exported model
   * @param {Engine | Engine[]} engines tried in their order
   * @param {LoadOptions} [options]
   * @returns {Promise<Classifier>}
   * @throws {LolvitError} the folder is damaged, has a model of another task, or no engine runs it
   */
  static async load(folder, engines, options) {
    return new Classifier(await open(folder, engines, options, "classification"));
  }

  /**
   * @param {import("./photo.js").PhotoSource} source
   * @param {{ top?: number }} [options] `top`: how many classes to return, by default 5
   * @returns {Promise<import("./classification.js").Classification & { timing: Timing }>}
   * @throws {LolvitError} the photo can't be decoded, or the engine failed
   */
  predict(source, options) {
    return this.run(source, (outputs) => classify(outputs, this.spec, options));
  }
}

/**
 * Finds objects in photos.
 *
 * @example
 * const detector = await Detector.load("models/lolvit_x-320x320", onnxRuntime(ort));
 * for (const { label, score, box } of (await detector.predict(file)).objects) {
 *   console.log(label, score, box.left, box.top, box.right, box.bottom);
 * }
 */
export class Detector extends Predictor {
  /**
   * @param {Folder} folder of the exported model
   * @param {Engine | Engine[]} engines tried in their order
   * @param {LoadOptions} [options]
   * @returns {Promise<Detector>}
   * @throws {LolvitError} the folder is damaged, has a model of another task, or no engine runs it
   */
  static async load(folder, engines, options) {
    return new Detector(await open(folder, engines, options, "detection"));
  }

  /**
   * @param {import("./photo.js").PhotoSource} source
   * @param {import("./detection.js").DetectionOptions} [options] in place of the manifest's
   * @returns {Promise<import("./detection.js").Detections & { timing: Timing }>}
   * @throws {LolvitError} the photo can't be decoded, or the engine failed
   */
  predict(source, options) {
    return this.run(source, (outputs, placement) => detect(outputs, this.spec, placement, options));
  }
}

/**
 * Finds the class of each pixel of photos.
 *
 * @example
 * const segmenter = await Segmenter.load("models/lolvit_x-384x640", onnxRuntime(ort));
 * const { classes, width, shares } = await segmenter.predict(file);
 * console.log(classes[y * width + x], shares[0]?.label);
 */
export class Segmenter extends Predictor {
  /**
   * @param {Folder} folder of the exported model
   * @param {Engine | Engine[]} engines tried in their order
   * @param {LoadOptions} [options]
   * @returns {Promise<Segmenter>}
   * @throws {LolvitError} the folder is damaged, has a model of another task, or no engine runs it
   */
  static async load(folder, engines, options) {
    return new Segmenter(await open(folder, engines, options, "segmentation"));
  }

  /**
   * @param {import("./photo.js").PhotoSource} source
   * @returns {Promise<import("./segmentation.js").SegmentationMap & { timing: Timing }>}
   * @throws {LolvitError} the photo can't be decoded, or the engine failed
   */
  predict(source) {
    return this.run(source, (outputs, placement) => segment(outputs, this.spec, placement));
  }
}

/**
 * Load a model of any task.
 *
 * @param {Folder} folder of the exported model
 * @param {Engine | Engine[]} engines tried in their order
 * @param {LoadOptions} [options]
 * @returns {Promise<Classifier | Detector | Segmenter>}
 * @throws {LolvitError} the folder is damaged, or no engine runs the model
 */
export async function loadPredictor(folder, engines, options) {
  const opened = await open(folder, engines, options);
  switch (opened.spec.task) {
    case "classification": return new Classifier(opened);
    case "detection": return new Detector(opened);
    case "segmentation": return new Segmenter(opened);
  }
}

/**
 * @param {Folder} folder
 * @param {Engine | Engine[]} engines
 * @param {LoadOptions} [options]
 * @param {import("./manifest.js").TaskName} [task]
 * @returns {Promise<Opened>}
 */
async function open(folder, engines, options = {}, task = undefined) {
  const source = folder instanceof ModelSource ? folder : new ModelSource(folder);
  const spec = await source.load();
  if (task && spec.task !== task) {
    throw new LolvitError("task_mismatch", { model: spec.name, task: spec.task, expected: task });
  }
  /** @type {{ engine: string, error: LolvitError }[]} */
  const failures = [];
  for (const engine of [engines].flat()) {
    try {
      return { ...(await openIn(engine, source, spec, options)), failures };
    } catch (error) {
      if (!(error instanceof LolvitError && FALLBACK.has(error.code))) throw error;
      failures.push({ engine: engine.id, error });
    }
  }
  if (failures.length === 1) throw failures[0].error;
  const reasons = failures.map(({ error }) => error.message).join(" ") || "none was given";
  throw new LolvitError("all_engines_failed", { model: spec.name, reasons }, failures);
}

/**
 * @param {Engine} engine
 * @param {ModelSource} source
 * @param {import("./manifest.js").ModelSpec} spec
 * @param {LoadOptions} options
 * @returns {Promise<Omit<Opened, "failures">>}
 */
async function openIn(engine, source, spec, { artifact: path, precision, onProgress }) {
  const artifact = spec.artifacts.find(
    (one) => one.format === engine.format && (precision ?? one.precision) === one.precision && (path ?? one.path) === one.path,
  );
  if (!artifact) {
    const wanted = [path, precision, engine.format].filter(Boolean).join(", ");
    throw new LolvitError("engine_not_exported", { engine: engine.id, model: spec.name, wanted, format: engine.format });
  }
  requireFeedable(engine, artifact);
  const session = await engine.open(artifact, await source.read(artifact, onProgress));
  try {
    const document = await source.selfCheck();
    const loaded = { engine: engine.id, spec, artifact, session };
    const checked = document && (await selfCheck(document.json, document.url, loaded));
    return { spec, engine, artifact, session, checked };
  } catch (error) {
    await session.close();
    throw error;
  }
}

/**
 * @param {Engine} engine
 * @param {import("./manifest.js").ArtifactSpec} artifact
 */
function requireFeedable(engine, { path, inputs: [input], outputs }) {
  const reason =
    input.meaning !== "normalized" || input.dtype !== "float32"
      ? `an input of ${input.meaning} values as ${input.dtype}`
      : input.layout !== "NCHW" && input.layout !== "NHWC"
        ? `an input in the layout ${input.layout}`
        : outputs
            .filter(({ dtype, meaning }) => dtype !== (meaning === "classes" ? "int32" : "float32"))
            .map(({ dtype }) => `an output as ${dtype}`)[0];
  if (reason) throw new LolvitError("engine_incompatible", { engine: engine.id, path, reason });
}

/**
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {string | URL | ModelSource} Folder a URL, absolute or relative to the page
 * @typedef {object} LoadOptions
 * @property {string} [precision] of the artifact; by default the first that fits the engine
 * @property {string} [artifact] its path in the folder
 * @property {(share: number) => void} [onProgress] called with the share of the artifact that has
 *   arrived, 0 to 1
 * @typedef {object} Timing in milliseconds, without decoding
 * @property {number} preprocessMs
 * @property {number} inferenceMs
 * @property {number} postprocessMs
 * @typedef {object} Opened
 * @property {import("./manifest.js").ModelSpec} spec
 * @property {Engine} engine
 * @property {import("./manifest.js").ArtifactSpec} artifact
 * @property {import("./engine.js").Session} session
 * @property {import("./self-check.js").SelfCheck | null} checked
 * @property {readonly { engine: string, error: LolvitError }[]} failures
 */
