// What the two runtimes have in common.
import { LolvitError } from "./errors.js";

/**
 * @param {boolean} gpu
 * @param {number} threads
 * @throws {LolvitError} this browser or this page lacks what an engine needs
 */
export async function requireSupport(gpu, threads) {
  if (typeof WebAssembly === "undefined") throw new LolvitError("wasm_unavailable");
  if (threads > 1 && !globalThis.crossOriginIsolated) {
    throw new LolvitError("insecure_context", { what: "threads need" });
  }
  if (!gpu) return;
  if (!globalThis.isSecureContext) throw new LolvitError("insecure_context", { what: "WebGPU needs" });
  const { gpu: api } = /** @type {{ gpu?: { requestAdapter(): Promise<unknown> } }} */ (
    /** @type {unknown} */ (navigator)
  );
  if (!(await api?.requestAdapter())) throw new LolvitError("webgpu_unavailable");
}

/**
 * Compare a tensor of a loaded artifact with its manifest's.
 *
 * @param {ArtifactSpec} artifact
 * @param {TensorSpec} wanted
 * @param {{ name: string, shape: readonly unknown[], dtype: string } | undefined} found
 * @throws {LolvitError} they disagree
 */
export function requireTensor(artifact, wanted, found) {
  const described = (/** @type {{ name: string, shape: readonly unknown[], dtype: string }} */ one) =>
    `${one.dtype} '${one.name}' of ${one.shape.join("x")}`;
  if (found && described(found) === described(wanted)) return;
  throw new LolvitError("tensor_mismatch", {
    path: artifact.path, found: found ? described(found) : `no '${wanted.name}'`, expected: described(wanted),
  });
}

/**
 * @typedef {import("./manifest.js").ArtifactSpec} ArtifactSpec
 * @typedef {import("./manifest.js").TensorSpec} TensorSpec
 * @typedef {import("./outputs.js").Outputs} Outputs
 * @typedef {object} Session a loaded artifact
 * @property {Record<string, string>} options how it was loaded
 * @property {(values: Float32Array) => Promise<Outputs>} run takes the input's values, and gives the
 *   outputs under the artifact's names and in its layouts
 * @property {() => void | Promise<void>} close
 * @typedef {object} Engine a runtime on a processor
 * @property {string} id such as `ort-web-wasm`
 * @property {string} format of the artifacts that it opens
 * @property {(artifact: ArtifactSpec, bytes: Uint8Array) => Promise<Session>} open throws a
 *   `LolvitError` if this browser lacks what it needs, or it rejects the artifact
 */
