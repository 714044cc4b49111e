import { requireSupport, requireTensor } from "./engine.js";
import { LolvitError, engineError } from "./errors.js";

/**
 * The WASM part of each module: it is loaded once.
 *
 * @type {WeakMap<object, Promise<unknown>>}
 */
const loading = new WeakMap();

/**
 * @param {LiteRtModule} litert
 * @param {string} wasm
 * @param {boolean} threads
 */
async function load(litert, wasm, threads) {
  if (!loading.has(litert)) loading.set(litert, litert.loadLiteRt(wasm, { threads }));
  try {
    await loading.get(litert);
  } catch (error) {
    loading.delete(litert); // so that it can be tried again
    throw error;
  }
}

/**
 * LiteRT.js, for `tflite` artifacts.
 *
 * @example
 * import * as litert from "@litertjs/core";
 * const engine = liteRt(litert, { wasm: "node_modules/@litertjs/core/wasm/" });
 *
 * @param {LiteRtModule} litert the module, as the app imports it
 * @param {{ wasm: string, accelerator?: "wasm" | "webgpu", threads?: number }} options `wasm`: the URL
 *   of the package's folder of that name, which is loaded with the first model; `accelerator`: the CPU (default) or the GPU, which has to
 *   run the whole graph; `threads`: of the CPU, more than one needs a cross-origin isolated page
 * @returns {Engine}
 */
export function liteRt(litert, { wasm, accelerator = "wasm", threads = 1 }) {
  const id = `litert-web-${accelerator}`;
  const gpu = accelerator === "webgpu";
  return {
    id,
    format: "tflite",
    async open(artifact, bytes) {
      await requireSupport(gpu, threads);
      const context = { engine: id, path: artifact.path };
      try {
        await load(litert, wasm, threads > 1);
        const model = await litert.loadAndCompile(bytes, {
          accelerator,
          cpuOptions: { numThreads: threads },
          ...(gpu ? { gpuOptions: { precision: "fp32" } } : {}),
        });
        if (gpu && !model.isFullyAccelerated) {
          const reason = "LiteRT.js runs a part of this artifact on the CPU, not by WebGPU";
          throw new LolvitError("load_failed", { ...context, reason });
        }
        return sessionOf(litert, model, context, artifact, { accelerator, threads: String(threads) });
      } catch (error) {
        throw engineError("load_failed", error, context);
      }
    },
  };
}

/**
 * @param {LiteRtModule} litert
 * @param {LiteRtModel} model
 * @param {{ engine: string, path: string }} context
 * @param {ArtifactSpec} artifact
 * @param {Record<string, string>} options
 * @returns {import("./engine.js").Session}
 */
function sessionOf(litert, model, context, artifact, options) {
  const [input] = matched(artifact, artifact.inputs, model.getInputDetails());
  const places = matched(artifact, artifact.outputs, model.getOutputDetails());
  const shape = model.getInputDetails()[input].shape;
  return {
    options,
    async run(values) {
      try {
        const image = new litert.Tensor(values, shape);
        const results = await model.run(image);
        /** @type {Outputs} */
        const found = {};
        for (const [number, { name }] of artifact.outputs.entries()) {
          found[name] = Float32Array.from(await results[places[number]].data());
        }
        image.delete();
        for (const result of results) result.delete();
        return found;
      } catch (error) {
        throw engineError("run_failed", error, context);
      }
    },
    close: () => model.delete(),
  };
}

/**
 * The places of the artifact's tensors among the model's. Converters may rename a single one; among
 * several the name decides.
 *
 * @param {ArtifactSpec} artifact
 * @param {readonly TensorSpec[]} wanted
 * @param {readonly LiteRtDetails[]} details
 */
function matched(artifact, wanted, details) {
  return wanted.map((spec) => {
    const place = wanted.length === 1 ? 0 : details.findIndex(({ name }) => name === spec.name);
    const found = details[place];
    requireTensor(artifact, spec, found && {
      name: wanted.length === 1 ? spec.name : found.name, shape: Array.from(found.shape), dtype: found.dtype,
    });
    return place;
  });
}

/**
 * @typedef {import("./engine.js").ArtifactSpec} ArtifactSpec
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./engine.js").Outputs} Outputs
 * @typedef {import("./engine.js").TensorSpec} TensorSpec
 * @typedef {object} LiteRtModule what is used of LiteRT.js
 * @property {(path: string, options: any) => Promise<unknown>} loadLiteRt
 * @property {(bytes: Uint8Array, options: any) => Promise<any>} loadAndCompile
 * @property {new (data: Float32Array, shape: any) => any} Tensor
 * @typedef {{ name: string, shape: ArrayLike<number>, dtype: string }} LiteRtDetails
 * @typedef {object} LiteRtModel
 * @property {boolean} isFullyAccelerated
 * @property {() => LiteRtDetails[]} getInputDetails
 * @property {() => LiteRtDetails[]} getOutputDetails
 * @property {(image: any) => Promise<any[]>} run
 * @property {() => void} delete
 */
