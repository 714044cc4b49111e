// Runs artifacts off the main thread. A classic worker: LiteRT loads its WASM by importScripts, which
// module workers lack. Its threads start from this file too, named `em-pthread` by Emscripten, and then
// have to run LiteRT's script.
const LITERT = new URL("lib/@litertjs/core/", self.location.href).href;

const FINE_CLOCK_US = 10;

if (self.name === "em-pthread") {
  importScripts(`${LITERT}wasm/litert_wasm_threaded_internal.js`);
} else {
  let engine = null;
  let predictor = null;
  let resolution_us = 0;
  const sessions = new Map();

  const methods = {
    async open({ runtime, threads, versions }) {
      const { openRuntime } = await import("./runtimes.js");
      const opened = await openRuntime(runtime, threads, versions);
      engine = opened.engine;
      resolution_us = clockResolution();
      return { version: opened.version, clock_us: resolution_us };
    },

    async load({ name, folder, artifact: path, input, steps }) {
      const { ModelSource } = await import("./lolvit/index.js");
      const source = new ModelSource(folder);
      const { artifacts } = await source.load();
      const artifact = artifacts.find((one) => one.path === path);
      const bytes = await source.read(artifact);
      const values = new Float32Array(await download(input));
      // The first session also compiles the runtime itself: the second one is timed.
      if (sessions.size === 0) await (await engine.open(artifact, bytes)).close();
      const start = performance.now();
      const session = await engine.open(artifact, bytes);
      const loaded = performance.now();
      const found = await session.run(values);
      const first_ms = performance.now() - loaded;
      const selected = Object.entries(steps).map(([key, step]) => [key, everyNth(found[key], step)]);
      const outputs = Object.fromEntries(selected);
      sessions.set(name, { run: () => session.run(values) });
      const { options } = session;
      return { name, load_ms: loaded - start, first_ms, outputs, options, placement: {} };
    },

    // Run for at least as many runs and seconds; the median of the later half, in milliseconds.
    async warmUp({ name, runs, seconds }) {
      const { run } = sessions.get(name);
      const times = [];
      let spent = 0;
      while (times.length < runs || spent < seconds * 1000) {
        const [ms] = await timed(run, 1);
        times.push(ms);
        spent += ms;
        if (times.length > 100000) throw new Error("the browser's clock doesn't advance");
      }
      return median(times.slice(Math.floor(times.length / 2)));
    },

    // One round: slots in the given order, each of warm-up runs and a burst of recorded ones.
    async round({ order, burst, warm_up }) {
      const slots = [];
      const probes = [];
      for (const name of order) {
        const { run } = sessions.get(name);
        await timed(run, warm_up[name]);
        const times = await timed(run, burst);
        if (times.includes(0)) {
          throw new Error(`the resolution of this browser's clock is ${resolution_us} µs: too coarse for ${name}`);
        }
        slots.push([name, times]);
        if (resolution_us <= FINE_CLOCK_US) probes.push(probe());
      }
      return { slots, probes };
    },

    async openModel({ folder, artifact }) {
      const { loadPredictor } = await import("./lolvit/index.js");
      predictor = await loadPredictor(folder, engine, { artifact });
      // The first inference also compiles; it is not shown as the artifact's time.
      await predictor.prewarm();
      const { task, classes, colors, trained, preprocessing } = predictor.spec;
      return { task, classes, colors, trained, preprocessing };
    },

    async predict({ width, height, rgb, options }) {
      const { Photo } = await import("./lolvit/index.js");
      return predictor.predict(new Photo(width, height, rgb), options);
    },
  };

  self.onmessage = async ({ data: { id, method, arguments: given } }) => {
    try {
      self.postMessage({ id, answer: await methods[method](given) });
    } catch (error) {
      self.postMessage({ id, error: messageOf(error) });
    }
  };
}

// Addresses in a message are relative to this page's, which contains the token.
function messageOf(error) {
  const message = String(error?.message ?? error).replaceAll(new URL(".", self.location.href).href, "");
  return message.slice(0, 500) || "failed without a message";
}

function everyNth(values, step) {
  const count = Math.ceil(values.length / step);
  return { size: values.length, values: Array.from({ length: count }, (_, place) => values[place * step]) };
}

async function download(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.arrayBuffer();
}

// Milliseconds of `count` runs; the clock is read once between two runs.
async function timed(run, count) {
  const marks = [performance.now()];
  for (let number = 0; number < count; number++) {
    await run();
    marks.push(performance.now());
  }
  // Rounded to nanoseconds: smaller differences are rounding errors of floats.
  return marks.slice(1).map((mark, number) => Math.round((mark - marks[number]) * 1e6) / 1e6);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Browsers round their clock: its smallest observed step, in microseconds.
function clockResolution() {
  let smallest = Infinity;
  for (let step = 0; step < 20; step++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return smallest * 1000;
}

// Time of a fixed piece of arithmetic in microseconds, the best of a few: about 1 ms in all, so for fine
// clocks only. Its changes show throttling and load.
function probe() {
  let best = Infinity;
  for (let attempt = 0; attempt < 4; attempt++) {
    const start = performance.now();
    let value = 1;
    for (let step = 0; step < 150000; step++) value = (Math.imul(value, 1664525) + 1013904223) | 0;
    const ms = performance.now() - start;
    if (value !== 0x7fffffff) best = Math.min(best, ms); // the result is used, so that it isn't optimized away
  }
  return best * 1000;
}
