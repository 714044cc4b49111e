// The two runtimes' adapters, on modules in their place: what a runtime or a browser lacks, and models
// that are not what their manifest describes, are errors with a code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { liteRt, onnxRuntime, readManifest } from "../src/index.js";
import { failureOf, manifestOf } from "./environment.js";

const [ARTIFACT] = readManifest(manifestOf("detection"), "m").artifacts;
const BYTES = new Uint8Array(4);
const VALUES = new Float32Array(3 * 64 * 96);
const details = (tensors, name = "type") => tensors.map((one) => ({ name: one.name, shape: one.shape, [name]: one.dtype }));

function ortOf({ inputs = details(ARTIFACT.inputs), outputs = details(ARTIFACT.outputs), create, run } = {}) {
  const seen = {};
  return {
    seen,
    env: { wasm: {} },
    Tensor: class {
      constructor(type, data, dims) {
        Object.assign(this, { type, data, dims });
      }
    },
    InferenceSession: {
      async create(bytes, options) {
        seen.options = options;
        if (create) throw create;
        return {
          inputMetadata: inputs,
          outputMetadata: outputs,
          async run(feeds) {
            seen.feeds = feeds;
            if (run) throw run;
            return Object.fromEntries(ARTIFACT.outputs.map(({ name, shape }, number) => [
              name, { getData: async () => new Float32Array(shape.reduce((a, b) => a * b)).fill(number) },
            ]));
          },
          release: async () => (seen.released = true),
        };
      },
    },
  };
}

function liteRtOf({ inputs = details(ARTIFACT.inputs, "dtype"), outputs = details(ARTIFACT.outputs, "dtype"), compile, load } = {}) {
  const seen = { loads: [], deleted: 0 };
  const deleted = () => seen.deleted++;
  return {
    seen,
    async loadLiteRt(path, options) {
      seen.loads.push([path, options.threads]);
      if (load) throw load;
    },
    async loadAndCompile(bytes, options) {
      seen.options = options;
      if (compile) throw compile;
      return {
        isFullyAccelerated: false,
        getInputDetails: () => inputs,
        getOutputDetails: () => outputs,
        run: async () => outputs.map(({ name, shape }) => ({
          data: async () => new Float32Array(shape.reduce((a, b) => a * b)).fill(name === "scores" ? 1 : 0), delete: deleted,
        })),
        delete: deleted,
      };
    },
    Tensor: class {
      delete = deleted;
    },
  };
}

test("onnxruntime-web is given the input, and gives the outputs by their names", async () => {
  const ort = ortOf();
  const session = await onnxRuntime(ort).open(ARTIFACT, BYTES);
  const outputs = await session.run(VALUES);
  assert.deepEqual(Object.keys(ort.seen.feeds), ["image"]);
  assert.deepEqual([ort.seen.feeds.image.type, ort.seen.feeds.image.dims], ["float32", [1, 3, 64, 96]]);
  assert.deepEqual([outputs.boxes[0], outputs.scores[0]], [0, 1]);
  assert.deepEqual(ort.seen.options.executionProviders, ["wasm"]);
  assert.equal(ort.env.wasm.numThreads, 1);
  await session.close();
  assert.ok(ort.seen.released);
});

test("LiteRT.js is loaded once, and its outputs are found by their names", async () => {
  const litert = liteRtOf({ outputs: details(ARTIFACT.outputs, "dtype").reverse() });
  const engine = liteRt(litert, { wasm: "wasm/" });
  const sessions = await Promise.all([engine.open(ARTIFACT, BYTES), engine.open(ARTIFACT, BYTES)]);
  const outputs = await sessions[0].run(VALUES);
  assert.deepEqual([outputs.boxes[0], outputs.scores[0]], [0, 1]);
  assert.deepEqual(litert.seen.loads, [["wasm/", false]]);
  assert.equal(litert.seen.deleted, 3); // the input and both outputs
});

test("a LiteRT.js that could not be loaded is loaded again", async () => {
  const litert = liteRtOf({ load: new Error("no network") });
  const engine = liteRt(litert, { wasm: "wasm/" });
  for (let attempt = 0; attempt < 2; attempt++) {
    const failure = await failureOf(() => engine.open(ARTIFACT, BYTES));
    assert.equal(failure.code, "load_failed");
    assert.match(failure.message, /^litert-web-wasm: can't load model-fp32.onnx: no network; /);
  }
  assert.equal(litert.seen.loads.length, 2);
});

const other = (name, changed) => (tensors) => tensors.map((one) => (one.name === name ? { ...one, ...changed } : one));
for (const [message, which, change] of [
  [/has float32 'image' of 1x3x32x32, its manifest has float32 'image' of 1x3x64x96; export the model again/, "inputs", other("image", { shape: [1, 3, 32, 32] })],
  [/has float32 'scores' of 1x80x126, its manifest has float32 'scores' of 1x3x126/, "outputs", other("scores", { shape: [1, 80, 126] })],
  [/has no 'boxes', its manifest has float32 'boxes'/, "outputs", (tensors) => tensors.slice(1)],
]) {
  test(`a model that is not its manifest's is refused by both runtimes: ${message.source}`, async () => {
    const ort = ortOf({ [which]: change(details(ARTIFACT[which])) });
    const litert = liteRtOf({ [which]: change(details(ARTIFACT[which], "dtype")) });
    for (const engine of [onnxRuntime(ort), liteRt(litert, { wasm: "wasm/" })]) {
      const failure = await failureOf(() => engine.open(ARTIFACT, BYTES));
      assert.equal(failure.code, "tensor_mismatch");
      assert.match(failure.message, message);
    }
  });
}

for (const [code, thrown] of [
  ["load_failed", new Error("no such operation")],
  ["load_failed", 8123456],
  ["out_of_memory", new RangeError("Array buffer allocation failed")],
]) {
  test(`what a runtime throws on loading is ${code}: ${String(thrown)}`, async () => {
    for (const engine of [onnxRuntime(ortOf({ create: thrown })), liteRt(liteRtOf({ compile: thrown }), { wasm: "w" })]) {
      assert.equal((await failureOf(() => engine.open(ARTIFACT, BYTES))).code, code);
    }
  });
}

test("what a runtime throws in an inference is an error with a code", async () => {
  const session = await onnxRuntime(ortOf({ run: new Error("device lost") })).open(ARTIFACT, BYTES);
  const failure = await failureOf(() => session.run(VALUES));
  assert.equal(failure.code, "run_failed");
  assert.match(failure.message, /ort-web-wasm: failed in an inference: device lost; /);
});

/** Run with other properties of the global object. */
async function withGlobals(changed, action) {
  const before = Object.keys(changed).map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  for (const [name, value] of Object.entries(changed)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  try {
    return await action();
  } finally {
    for (const [name, descriptor] of before) {
      delete globalThis[name];
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
    }
  }
}

const noAdapter = { gpu: { requestAdapter: async () => null } };
for (const [code, globals, options] of [
  ["wasm_unavailable", { WebAssembly: undefined }, {}],
  ["insecure_context", { crossOriginIsolated: false }, { threads: 2 }],
  ["insecure_context", { isSecureContext: false }, { provider: "webgpu", accelerator: "webgpu" }],
  ["webgpu_unavailable", { isSecureContext: true, navigator: {} }, { provider: "webgpu", accelerator: "webgpu" }],
  ["webgpu_unavailable", { isSecureContext: true, navigator: noAdapter }, { provider: "webgpu", accelerator: "webgpu" }],
]) {
  test(`a browser without what an engine needs: ${code}, ${JSON.stringify(globals)}`, async () => {
    for (const engine of [onnxRuntime(ortOf(), options), liteRt(liteRtOf(), { wasm: "w", ...options })]) {
      const failure = await withGlobals(globals, () => failureOf(() => engine.open(ARTIFACT, BYTES)));
      assert.equal(failure.code, code);
    }
  });
}

test("a part of the graph on the CPU is no inference by WebGPU", async () => {
  const engine = liteRt(liteRtOf(), { wasm: "w", accelerator: "webgpu" });
  const gpu = { gpu: { requestAdapter: async () => ({}) } };
  const failure = await withGlobals({ isSecureContext: true, navigator: gpu }, () =>
    failureOf(() => engine.open(ARTIFACT, BYTES)));
  assert.match(failure.message, /LiteRT.js runs a part of this artifact on the CPU/);
});
