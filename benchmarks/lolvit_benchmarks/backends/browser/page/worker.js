// Runs artifacts, away from the page's own thread. A classic worker: LiteRT loads its WASM by
// importScripts, which module workers lack. Its threads start from this very file, under
// Emscripten's name for them, and have to run LiteRT's script then.
const LITERT = new URL("lib/@litertjs/core/", self.location.href).href;

const FINE_US = 10;

if (self.name === "em-pthread") {
  importScripts(`${LITERT}wasm/litert_wasm_threaded_internal.js`);
} else {
  let runtime = null;
  let tick_us = 0;
  const sessions = new Map();

  const answers = {
    async open({ runtime: name, threads, versions }) {
      const { openRuntime } = await import("./runtimes.js");
      runtime = await openRuntime(name, threads, versions);
      tick_us = clockTick();
      return { version: runtime.version, clock_us: tick_us };
    },

    async load({ name, model, input, spec, output }) {
      const bytes = new Uint8Array(await download(model));
      const values = new Float32Array(await download(input));
      // The first session of a page also compiles the runtime itself: the second one is timed.
      if (sessions.size === 0) (await runtime.load(bytes, spec, output)).close();
      const start = performance.now();
      const session = await runtime.load(bytes, spec, output);
      const loaded = performance.now();
      const logits = await session.run(values);
      const first_ms = performance.now() - loaded;
      sessions.set(name, { run: () => session.run(values), session });
      const { options, placement } = session;
      return { name, load_ms: loaded - start, first_ms, logits: [...logits], options, placement };
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
        if (times.length > 100000) throw new Error("the browser's clock stands still");
      }
      return median(times.slice(Math.floor(times.length / 2)));
    },

    // One round: slots in the order given, each a few unrecorded runs and a burst of recorded ones.
    async round({ order, burst, settling }) {
      const slots = [];
      const probes = [];
      for (const name of order) {
        const { run } = sessions.get(name);
        await timed(run, settling[name]);
        const times = await timed(run, burst);
        if (times.includes(0)) {
          throw new Error(`this browser's clock ticks every ${tick_us} µs: too coarse for ${name}`);
        }
        slots.push([name, times]);
        if (tick_us <= FINE_US) probes.push(probe());
      }
      return { slots, probes };
    },

    // For the classifier: one input, given as values.
    async classify({ name, values }) {
      const start = performance.now();
      const logits = await sessions.get(name).session.run(values);
      return { logits: [...logits], ms: performance.now() - start };
    },

    async openModel({ name, model, spec, output }) {
      const bytes = new Uint8Array(await download(model));
      const session = await runtime.load(bytes, spec, output);
      // The first inference also compiles: it would be shown as the artifact's time.
      await session.run(new Float32Array(spec.shape.reduce((size, side) => size * side, 1)));
      sessions.set(name, { session });
      return {};
    },
  };

  self.onmessage = async ({ data: { id, what, arguments: given } }) => {
    try {
      self.postMessage({ id, answer: await answers[what](given) });
    } catch (error) {
      self.postMessage({ id, error: explain(error) });
    }
  };
}

function explain(error) {
  return String(error?.message ?? error).slice(0, 500) || "failed without a message";
}

async function download(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.arrayBuffer();
}

// Milliseconds of `count` runs, one reading of the clock between two.
async function timed(run, count) {
  const marks = [performance.now()];
  for (let number = 0; number < count; number++) {
    await run();
    marks.push(performance.now());
  }
  // To the nanosecond: what a clock in floats adds below it is no time.
  return marks.slice(1).map((mark, number) => Math.round((mark - marks[number]) * 1e6) / 1e6);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Browsers round their clock: the smallest step seen, in microseconds.
function clockTick() {
  let smallest = Infinity;
  for (let step = 0; step < 20; step++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return smallest * 1000;
}

// A fixed piece of arithmetic, for clocks that are fine enough to see it change; in microseconds: the best of a few, about 1 ms in all.
function probe() {
  let best = Infinity;
  for (let attempt = 0; attempt < 4; attempt++) {
    const start = performance.now();
    let value = 1;
    for (let step = 0; step < 150000; step++) value = (Math.imul(value, 1664525) + 1013904223) | 0;
    const ms = performance.now() - start;
    if (value !== 0x7fffffff) best = Math.min(best, ms); // the result is used: it can't be left out
  }
  return best * 1000;
}
