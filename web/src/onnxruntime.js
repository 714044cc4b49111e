import { requireSupport, requireTensor } from "./engine.js";
import { engineError } from "./errors.js";

/**
 * onnxruntime-web, for `onnx` artifacts.
 *
 * @example
 * import * as ort from "onnxruntime-web/wasm";
 * const engine = onnxRuntime(ort, { threads: 2 });
 *
 * @param {OrtModule} ort the module, as the app imports it: `onnxruntime-web/wasm` for the CPU,
 *   `onnxruntime-web/webgpu` for the GPU
 * @param {{ provider?: "wasm" | "webgpu", threads?: number }} [options] `provider`: the CPU (default) or
 *   the GPU, without fallback to the CPU; `threads`: of the CPU, more than one needs a
 *   cross-origin isolated page
 * @returns {Engine}
 */
export function onnxRuntime(ort, { provider = "wasm", threads = 1 } = {}) {
  const id = `ort-web-${provider}`;
  const gpu = provider === "webgpu";
  return {
    id,
    format: "onnx",
    async open(artifact, bytes) {
      await requireSupport(gpu, threads);
      ort.env.wasm.numThreads = threads;
      const context = { engine: id, path: artifact.path };
      try {
        const session = await ort.InferenceSession.create(bytes, {
          executionProviders: [provider],
          graphOptimizationLevel: "all",
          // What runs on the CPU is not the GPU's speed.
          ...(gpu ? { extra: { session: { disable_cpu_ep_fallback: "1" } } } : {}),
        });
        requireAgreement(artifact, session);
        return sessionOf(ort, session, context, artifact, { execution_provider: provider, threads: String(threads) });
      } catch (error) {
        throw engineError("load_failed", error, context);
      }
    },
  };
}

/**
 * @param {ArtifactSpec} artifact
 * @param {OrtSession} session
 */
function requireAgreement(artifact, session) {
  for (const [wanted, metadata] of /** @type {const} */ ([
    [artifact.inputs, session.inputMetadata],
    [artifact.outputs, session.outputMetadata],
  ])) {
    for (const spec of wanted) {
      const found = metadata.find(({ name }) => name === spec.name);
      requireTensor(artifact, spec, found && { name: found.name, shape: found.shape ?? [], dtype: String(found.type) });
    }
  }
}

/**
 * @param {OrtModule} ort
 * @param {OrtSession} session
 * @param {{ engine: string, path: string }} context
 * @param {ArtifactSpec} artifact
 * @param {Record<string, string>} options
 * @returns {import("./engine.js").Session}
 */
function sessionOf(ort, session, context, { inputs: [input], outputs }, options) {
  return {
    options,
    async run(values) {
      try {
        const image = new ort.Tensor("float32", values, input.shape);
        const results = await session.run({ [input.name]: image });
        /** @type {Outputs} */
        const found = {};
        for (const { name } of outputs) {
          const data = await results[name].getData(); // whole numbers of a map of classes
          found[name] = data instanceof Float32Array ? data : Float32Array.from(data);
        }
        return found;
      } catch (error) {
        throw engineError("run_failed", error, context);
      }
    },
    close: () => session.release(),
  };
}

/**
 * @typedef {import("./engine.js").ArtifactSpec} ArtifactSpec
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./engine.js").Outputs} Outputs
 * @typedef {object} OrtModule what is used of onnxruntime-web
 * @property {{ wasm: { numThreads?: number } }} env
 * @property {new (type: "float32", data: Float32Array, dims: readonly number[]) => any} Tensor
 * @property {{ create(bytes: Uint8Array, options: any): Promise<any> }} InferenceSession
 * @typedef {{ name: string, shape?: readonly unknown[], type?: unknown }} OrtMetadata
 * @typedef {object} OrtSession
 * @property {readonly OrtMetadata[]} inputMetadata
 * @property {readonly OrtMetadata[]} outputMetadata
 * @property {(feeds: Record<string, any>) => Promise<Record<string, any>>} run
 * @property {() => Promise<void>} release
 */
