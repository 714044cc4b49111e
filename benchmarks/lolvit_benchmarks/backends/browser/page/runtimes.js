// The library's engines by their names in a benchmark, inside a worker, from the runtimes that the
// server has.
import { LolvitError, liteRt, onnxRuntime } from "./lolvit/index.js";

const LIBRARY = new URL("lib/", import.meta.url).href;
const ORT = `${LIBRARY}onnxruntime-web/dist/`;
const LITERT = `${LIBRARY}@litertjs/core/`;

// openRuntime(name, threads, versions) -> { version, engine }
export async function openRuntime(name, threads, versions) {
  const makers = {
    "ort-web-wasm": () => openOrt("wasm", threads),
    "ort-web-webgpu": () => openOrt("webgpu", 1),
    "litert-web-wasm": () => openLiteRt("wasm", threads, versions),
    "litert-web-webgpu": () => openLiteRt("webgpu", 1, versions),
  };
  if (typeof WebAssembly === "undefined") throw new LolvitError("wasm_unavailable");
  return makers[name]();
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
  ort.env.logLevel = "error";
  return { version: ort.env.versions.web, engine: onnxRuntime(ort, { provider, threads }) };
}

async function openLiteRt(accelerator, threads, versions) {
  // For LiteRT's loader, whose script doesn't know its own URL in a worker.
  self.Module = { locateFile: (file) => `${LITERT}wasm/${file}` };
  const litert = await import(`${LITERT}dist/index.js`);
  const engine = liteRt(litert, { wasm: `${LITERT}wasm/`, accelerator, threads });
  return { version: versions["@litertjs/core"], engine };
}
