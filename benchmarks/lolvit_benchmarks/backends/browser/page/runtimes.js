// onnxruntime-web and LiteRT.js behind one interface, inside a worker:
// openRuntime(name, threads, versions) -> { version, load(bytes, input, output) -> session }, where
// session.run(values) returns the logits as a Float32Array.
const LIBRARY = new URL("lib/", import.meta.url).href;
const ORT = `${LIBRARY}onnxruntime-web/dist/`;
const LITERT = `${LIBRARY}@litertjs/core/`;

export async function openRuntime(name, threads, versions) {
  const makers = {
    "ort-web-wasm": () => openOrt("wasm", threads),
    "ort-web-webgpu": () => openOrt("webgpu", 1),
    "litert-web-wasm": () => openLiteRt("wasm", threads, versions),
    "litert-web-webgpu": () => openLiteRt("webgpu", 1, versions),
  };
  if (threads > 1 && !self.crossOriginIsolated) {
    throw new Error("threads need a secure context: open this page on localhost or by https");
  }
  if (name.endsWith("webgpu")) await requireGpu();
  return makers[name]();
}

async function requireGpu() {
  if (!self.isSecureContext) {
    throw new Error("WebGPU needs a secure context: open this page on localhost or by https");
  }
  if (!(await navigator.gpu?.requestAdapter())) throw new Error("this browser offers no WebGPU");
}

// Each bundle contains the loader of its WASM build, and fetches the build.
const BUNDLES = {
  wasm: ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"],
  webgpu: ["ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"],
};

async function openOrt(provider, threads) {
  const [bundle, build] = BUNDLES[provider];
  const ort = await import(`${ORT}${bundle}`);
  ort.env.wasm.wasmPaths = { wasm: `${ORT}${build}` };
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const options = {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
    // No silent fallback: what runs on the CPU is not a timing of the GPU.
    ...(provider === "webgpu" ? { extra: { session: { disable_cpu_ep_fallback: "1" } } } : {}),
  };
  return {
    version: ort.env.versions.web,
    load: async (bytes, input, output) =>
      ortSession(ort, await ort.InferenceSession.create(bytes, options), input, output, {
        execution_provider: provider,
        threads: String(threads),
      }),
  };
}

function ortSession(ort, session, input, output, options) {
  return {
    options,
    placement: {},
    async run(values) {
      const image = new ort.Tensor("float32", values, input.shape);
      const results = await session.run({ [input.name]: image });
      return results[output.name].getData();
    },
    close: () => session.release(),
  };
}

async function openLiteRt(accelerator, threads, versions) {
  // For LiteRT's loader, whose script doesn't know its own URL in a worker.
  self.Module = { locateFile: (file) => `${LITERT}wasm/${file}` };
  const litert = await import(`${LITERT}dist/index.js`);
  await litert.loadLiteRt(`${LITERT}wasm/`, { threads: threads > 1 });
  return {
    version: versions["@litertjs/core"],
    load: async (bytes, input, output) => {
      const compile = { accelerator, cpuOptions: { numThreads: threads } };
      if (accelerator === "webgpu") compile.gpuOptions = { precision: "fp32" };
      return liteRtSession(litert, await litert.loadAndCompile(bytes, compile), output, {
        accelerator,
        threads: String(threads),
      });
    },
  };
}

function liteRtSession(litert, model, output, options) {
  const { shape } = model.getInputDetails()[0];
  if (options.accelerator === "webgpu" && !model.isFullyAccelerated) {
    throw new Error("LiteRT.js runs a part of this artifact on the CPU, not by WebGPU");
  }
  const index = outputIndex(model.getOutputDetails(), output.name);
  return {
    options,
    placement: {},
    async run(values) {
      const image = new litert.Tensor(values, shape);
      const results = await model.run(image);
      const logits = Float32Array.from(await results[index].data());
      image.delete();
      for (const result of results) result.delete();
      return logits;
    },
    close: () => model.delete(),
  };
}

// Converters may rename a single output; among several the name decides.
function outputIndex(details, name) {
  if (details.length === 1) return 0;
  const index = details.findIndex((one) => one.name === name);
  if (index < 0) throw new Error(`the artifact has no output '${name}'`);
  return index;
}
