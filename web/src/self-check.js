import { LolvitError, reasonOf } from "./errors.js";
import { Fields, isInteger, isString } from "./fields.js";
import { bySignature } from "./outputs.js";
import { Photo } from "./photo.js";
import { toInput } from "./preprocessing.js";

const SCHEMA_VERSION = 1;

/**
 * Run a loaded artifact on the photo of `self-check.json`, and compare its outputs with those that it
 * has where the model was packaged: a browser or a GPU driver may compute something else.
 *
 * @param {unknown} json the parsed document
 * @param {string} url where it is from, for messages
 * @param {Loaded} loaded
 * @returns {Promise<SelfCheck | null>} null: the document has no entry for the artifact
 * @throws {LolvitError} `self_check_missed`: an output is further off than the document allows;
 *   `manifest_invalid`: the document is damaged
 */
export async function selfCheck(json, url, { engine, spec, artifact, session }) {
  const document = new Fields(json, url);
  document.integer("schema_version", SCHEMA_VERSION, SCHEMA_VERSION);
  const entry = document.objects("artifacts").find(
    (one) => one.string("path") === artifact.path && one.string("sha256") === artifact.sha256,
  );
  if (!entry) return null;
  const photo = photoOf(document, spec.preprocessing);
  const found = await session.run(toInput(photo, spec.preprocessing, artifact.inputs[0]));
  bySignature(spec.signature.outputs, artifact.outputs, found); // checks their sizes
  const expected = entry.objects("outputs");
  const least = Math.min(
    ...expected.map((output) => snrDb(values(output), found[output.string("name")] ?? [])),
  );
  const min_snr_db = entry.number("min_snr_db", -300, 300);
  if (least >= min_snr_db) return { snr_db: least, min_snr_db };
  const snr_db = least.toFixed(1);
  throw new LolvitError("self_check_missed", { engine, path: artifact.path, snr_db, min_snr_db });
}

/**
 * @param {Fields} document
 * @param {import("./manifest.js").Preprocessing} preprocessing
 */
function photoOf(document, { size: [height, width], color }) {
  const size = document.list("size", isInteger(1, 65535), "a height and a width");
  const levels = bytes(document, "levels");
  const channels = color === "L" ? 1 : 3;
  if (String(size) !== `${height},${width}` || levels.length !== height * width * channels) {
    throw document.invalid(`its photo is not of ${height}x${width} pixels`);
  }
  if (color === "RGB") return new Photo(width, height, levels);
  return new Photo(width, height, Uint8Array.from({ length: 3 * levels.length }, (_, i) => levels[Math.floor(i / 3)]));
}

/** @param {Fields} output */
function values(output) {
  const data = bytes(output, "values");
  if (data.length % 4) throw output.invalid("values are not of 32 bits");
  const view = new DataView(data.buffer);
  return Float32Array.from({ length: data.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/**
 * @param {Fields} fields
 * @param {string} name of a field in base64
 */
function bytes(fields, name) {
  const text = fields.checked(name, isString, "text in base64");
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch (error) {
    throw fields.invalid(`${name}: ${reasonOf(error)}`);
  }
}

/**
 * 10 log10(Σ reference² / Σ (reference - output)²), limited to ±300; -300 of an output that is not finite
 * or of another size.
 *
 * @param {ArrayLike<number>} reference
 * @param {ArrayLike<number>} output
 */
export function snrDb(reference, output) {
  if (reference.length !== output.length) return -300;
  let [signal, noise] = [0, 0];
  for (let i = 0; i < reference.length; i++) {
    signal += reference[i] ** 2;
    noise += (reference[i] - output[i]) ** 2;
  }
  if (!Number.isFinite(noise)) return -300;
  if (noise === 0) return 300;
  return signal ? Math.max(-300, Math.min(300, 10 * Math.log10(signal / noise))) : -300;
}

/**
 * @typedef {object} Loaded
 * @property {string} engine
 * @property {import("./manifest.js").ModelSpec} spec
 * @property {import("./manifest.js").ArtifactSpec} artifact
 * @property {import("./engine.js").Session} session
 * @typedef {{ snr_db: number, min_snr_db: number }} SelfCheck the worst output's signal-to-noise ratio,
 *   and the least that is allowed
 */
