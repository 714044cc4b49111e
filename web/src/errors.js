/**
 * English messages by code, one line each, with the names of their details in braces. Codes are
 * stable: an app's translations have them as keys.
 *
 * @type {Readonly<Record<ErrorCode, string>>}
 */
export const MESSAGES = Object.freeze({
  manifest_missing: "{url}: no manifest.json here ({reason}); export the model into this folder",
  manifest_invalid: "{url}: {reason}; export the model again",
  schema_unsupported:
    "{url}: schema version {version}, this app reads {supported}; export the model with the lolvit version that this app was built with",
  task_unsupported: "{url}: task '{task}', this app runs {supported} here; choose such a model",
  setting_unsupported:
    "{url}: {setting} '{value}', this app implements {supported} only; export the model with it",
  tensors_unsupported: "{url}: {owner} has {found}, {task} needs {expected}; choose another model",
  tensor_mismatch: "{path}: has {found}, its manifest has {expected}; export the model again",
  labels_mismatch: "{url}: {labels} labels for {classes} classes; give one for each class",
  artifact_missing: "{url}: missing ({reason}); put the exported file there",
  artifact_changed: "{url}: does not match its manifest, {reason}; export the model again",
  task_mismatch: "{model}: its task is {task}, this needs {expected}; choose another model",
  engine_not_exported: "{engine}: {model} has no {wanted} artifact; run: lolvit export --to {format}",
  engine_incompatible: "{engine}: {path} has {reason}, which this app can't provide; export another",
  path_leaves_folder: "{url}: '{path}' leaves the model's folder; export the model again",
  unreadable: "{url}: cannot be read: {reason}; check the network",
  photo_undecodable: "this browser can't decode that photo; save it as JPEG or PNG",
  photo_invalid: "a photo of {width}x{height} with {bytes} bytes is not valid",
  photo_too_large: "a photo of {width}x{height} is too large for this browser; make it smaller",
  photo_cross_origin:
    "this photo is of another site, whose pixels no page may read; fetch it with CORS, as a Blob",
  photo_too_elongated: "a photo of {width}x{height} is too elongated; crop it first",
  output_mismatch: "the model returned {found} as {name}, its manifest has {expected}; export the model again",
  output_not_finite: "the model's {name} are not finite; choose another engine or artifact",
  wasm_unavailable: "this browser has no WebAssembly; use another browser, or allow it here",
  webgpu_unavailable: "this browser offers no WebGPU; choose an engine on the CPU",
  webgl_unavailable:
    "this browser needs WebGL to read photos with transparency; save the photo without",
  insecure_context: "{what} a secure context: open this page on localhost or by https",
  load_failed: "{engine}: can't load {path}: {reason}; choose another engine",
  run_failed: "{engine}: failed in an inference: {reason}; choose another engine",
  all_engines_failed: "no engine here runs {model}: {reasons}",
  out_of_memory: "not enough memory for {what}; close other tabs, or choose a smaller model or photo",
  self_check_missed:
    "{engine}: computes {path} wrongly here: {snr_db} dB, at least {min_snr_db} are needed; choose another engine",
  option_invalid: "{option} is {value}, it has to be {expected}",
  closed: "this model was closed; load it again",
});

/**
 * A failure that a user or an app's developer can cause, or must act on. Anything else that this
 * library throws is a bug.
 *
 * `message` is one English line: what is wrong, where, and the remedy. An app translates it by
 * `error.format(template)`.
 *
 * @example
 * try {
 *   await detector.predict(file);
 * } catch (error) {
 *   if (!(error instanceof LolvitError)) throw error;
 *   status.textContent = error.format(translations[error.code]);
 * }
 */
export class LolvitError extends Error {
  /**
   * @param {ErrorCode} code what went wrong
   * @param {Record<string, string | number>} [details] values of the message, by name
   * @param {unknown} [cause] the error that led to this one
   */
  constructor(code, details = {}, cause = undefined) {
    super(fill(MESSAGES[code], details), cause === undefined ? undefined : { cause });
    this.name = "LolvitError";
    /** @readonly */
    this.code = code;
    /** @readonly */
    this.details = Object.freeze({ ...details });
  }

  /**
   * The message by another template, in which the details' names stand in braces.
   *
   * @param {string} [template] a translation; the English message by default
   * @returns {string} one line without control characters
   */
  format(template = MESSAGES[this.code]) {
    return fill(template, this.details);
  }
}

/**
 * @param {string} template
 * @param {Readonly<Record<string, string | number>>} details
 */
function fill(template, details) {
  const filled = template.replace(/\{(\w+)\}/g, (whole, name) =>
    Object.hasOwn(details, name) ? String(details[name]).slice(0, LONGEST_DETAIL) : whole,
  );
  return filled.replace(/\s+/g, " ").replace(/[\p{C}]/gu, "?").trim();
}

const LONGEST_DETAIL = 500;
const OUT_OF_MEMORY =
  /out of memory|bad_alloc|allocation failed|(failed to|could not) allocate|invalid (typed )?array (buffer )?length/i;

/**
 * Turn what a runtime threw into a typed error.
 *
 * @param {"load_failed" | "run_failed"} code
 * @param {unknown} error
 * @param {{ engine: string, path: string }} context
 * @returns {LolvitError}
 */
export function engineError(code, error, { engine, path }) {
  if (error instanceof LolvitError) return error;
  if (isOutOfMemory(error)) return new LolvitError("out_of_memory", { what: path }, error);
  return new LolvitError(code, { engine, path, reason: reasonOf(error) }, error);
}

/** @param {unknown} error */
export function isOutOfMemory(error) {
  return OUT_OF_MEMORY.test(reasonOf(error));
}

/**
 * The message of whatever was thrown: runtimes throw numbers and strings too.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function reasonOf(error) {
  const message = error instanceof Error ? error.message : String(error);
  return message || "failed without a message";
}

/**
 * @typedef {"manifest_missing" | "manifest_invalid" | "schema_unsupported" | "task_unsupported"
 *   | "setting_unsupported" | "tensors_unsupported" | "tensor_mismatch" | "labels_mismatch"
 *   | "task_mismatch" | "artifact_missing" | "artifact_changed" | "path_leaves_folder"
 *   | "unreadable" | "photo_undecodable" | "photo_invalid" | "photo_too_large"
 *   | "photo_cross_origin" | "photo_too_elongated" | "output_mismatch" | "output_not_finite"
 *   | "wasm_unavailable" | "webgpu_unavailable" | "webgl_unavailable" | "insecure_context"
 *   | "engine_not_exported" | "engine_incompatible" | "load_failed" | "run_failed"
 *   | "all_engines_failed" | "out_of_memory" | "self_check_missed" | "option_invalid"
 *   | "closed"} ErrorCode
 */
