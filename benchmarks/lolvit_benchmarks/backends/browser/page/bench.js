// Measures each benchmark case by the server's plan: one worker per case, its candidates interleaved. The
// page draws only between rounds, and sends the rounds of a block after it.
import { Engine } from "./engine.js";
import { ModelSource, Photo, toInput, toPixels } from "./lolvit/index.js";
import { drawRatios } from "./plot.js";
import { RejectedError, send } from "./server.js";
import { median, ratioOverRounds, roundLogRatio } from "./statistics.js";

const PREPROCESS_REPEATS = 5;
const HEARTBEAT_MS = 5000;
const element = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function measureAll(job, about) {
  let answer = await send("hello", { about });
  const wakeLock = requestWakeLock();
  const state = { done: 0, planned: 0 };
  const heartbeat = setInterval(() => send("heartbeat", state).catch(() => {}), HEARTBEAT_MS);
  try {
    while (answer.next !== null) {
      answer = await measureOrFail(job, caseOf(job, answer), answer.next, state);
    }
    showStatus("Done: the results are with the command line that started this page.");
  } finally {
    clearInterval(heartbeat);
    (await wakeLock)?.release();
    element("progress").hidden = true;
  }
}

// The case that is next; of a model in several precisions, the server leaves the fastest in the end.
function caseOf({ cases }, { next, candidates }) {
  const found = cases[next];
  if (!candidates) return found;
  return { ...found, candidates: found.candidates.filter(({ name }) => candidates.includes(name)) };
}

async function measureOrFail(job, benchmarkCase, number, state) {
  const engine = new Engine();
  try {
    return await measure(engine, job, benchmarkCase, number, state);
  } catch (error) {
    if (error instanceof RejectedError && error.final) throw error;
    addRow(benchmarkCase, null, null, error.message);
    return await send("failed", { case: number, reason: error.message.slice(0, 900) });
  } finally {
    engine.close();
  }
}

async function measure(engine, job, benchmarkCase, number, state) {
  showStatus(`${title(benchmarkCase)}: loading.`);
  const { runtime, threads } = benchmarkCase;
  const cores = navigator.hardwareConcurrency;
  if (threads > cores) throw new Error(`this browser has ${cores} cores, not ${threads}`);
  const { versions } = job;
  const { version, clock_us } = await engine.call("open", { runtime, threads, versions });
  const candidates = [];
  for (const candidate of benchmarkCase.candidates) candidates.push(await load(engine, candidate));
  for (const loaded of candidates) {
    loaded.run_ms = await engine.call("warmUp", { name: loaded.name, ...job.warm_up });
  }
  const runtime_version = version;
  const answer = await send("ready", { case: number, runtime_version, clock_us, candidates });
  if (!answer.plan) {
    const reason = "stopped: the outputs differ from those on the command line's machine";
    addRow(benchmarkCase, null, null, reason);
    return answer;
  }
  return await runBlocks(engine, benchmarkCase, number, answer.plan, state);
}

async function load(engine, candidate) {
  const loaded = await engine.call("load", candidate);
  loaded.preprocess_ms = await preprocessMs(candidate);
  return loaded;
}

async function preprocessMs({ folder, artifact: path }) {
  const photo = await Photo.from(await (await fetch("photo.png")).blob());
  const { preprocessing, artifacts } = await new ModelSource(folder).load();
  const [input] = artifacts.find((one) => one.path === path).inputs;
  const times = [];
  for (let repeat = 0; repeat < PREPROCESS_REPEATS; repeat++) {
    const start = performance.now();
    toInput(toPixels(photo, preprocessing), preprocessing, input);
    times.push(performance.now() - start);
  }
  return median(times);
}

async function runBlocks(engine, benchmarkCase, number, plan, state) {
  const samples = new Map(benchmarkCase.candidates.map(({ name }) => [name, []]));
  const logRatios = [];
  const blocks = []; // of each round
  state.planned = plan.blocks * plan.rounds;
  state.done = 0;
  showStatus(`${title(benchmarkCase)}: measuring ${state.planned} rounds.`);
  const start = performance.now();
  let answer = {};
  for (let block = 0; block < plan.blocks; block++) {
    if (block) await sleep(plan.cool_down_s * 1000);
    const rounds = [];
    for (let round = 0; round < plan.rounds; round++) {
      rounds.push(await runVisible(engine, roundOf(plan, state.done)));
      state.done++;
      logRatios.push(addRound(rounds.at(-1), samples));
      blocks.push(block);
      draw(benchmarkCase, samples, logRatios, blocks, state);
      await sleep(0); // lets the page draw before the next round
    }
    const at_s = (performance.now() - start) / 1000;
    answer = await send("block", { case: number, block, at_s, rounds });
  }
  // The same case again: this was to find the fastest precisions.
  if (answer.next !== number) addRow(benchmarkCase, samples, speedupOf(logRatios, blocks));
  return answer;
}

function roundOf({ orders, burst, warm_up }, number) {
  return { order: orders[number % orders.length], burst, warm_up };
}

// Browsers throttle hidden pages: a round in which this one was hidden is repeated.
async function runVisible(engine, round) {
  for (;;) {
    if (document.hidden) {
      showStatus("Waiting until this page is visible again.");
      await new Promise((resolve) => {
        document.addEventListener("visibilitychange", resolve, { once: true });
      });
      continue;
    }
    let hidden = false;
    const onChange = () => (hidden = true);
    document.addEventListener("visibilitychange", onChange);
    const measured = await engine.call("round", round);
    document.removeEventListener("visibilitychange", onChange);
    if (!hidden) return measured;
  }
}

// Add a round's times; return its log ratio, second candidate over first.
function addRound({ slots }, samples) {
  const own = new Map([...samples.keys()].map((name) => [name, []]));
  for (const [name, times] of slots) {
    samples.get(name).push(...times);
    own.get(name).push(times);
  }
  const [first, second] = own.values();
  return roundLogRatio(second, first);
}

// One round has a ratio without an interval.
function speedupOf(logRatios, blocks) {
  if (logRatios.length > 1) return ratioOverRounds(logRatios, blocks);
  const ratio = Math.exp(logRatios[0]);
  return { ratio, low: ratio, high: ratio };
}

function draw(benchmarkCase, samples, logRatios, blocks, { done, planned }) {
  const [first, second] = [...samples.keys()];
  const bar = element("progress");
  bar.hidden = false;
  bar.max = planned;
  bar.value = done;
  element("figure").hidden = false;
  element("caption").textContent =
    `${title(benchmarkCase)}: time of ${second} / time of ${first}; above 1, ${first} is faster.`;
  const [marks, text] = [element("plot-marks"), element("plot-text")];
  drawRatios(logRatios.map(Math.exp), speedupOf(logRatios, blocks), planned, marks, text);
}

// Add a result with its speedup, or, without samples, the reason why there is none.
function addRow(benchmarkCase, samples, speedup, reason) {
  const row = element("rows").insertRow();
  row.insertCell().textContent = title(benchmarkCase);
  if (!samples) {
    const note = row.insertCell();
    note.colSpan = 3;
    note.textContent = reason;
    return;
  }
  const [[first, own], ...others] = [...samples].map(([name, times]) => [name, median(times)]);
  const [second, other] = others[0];
  for (const [name, ms] of [[first, own], [second, other]]) {
    row.insertCell().append(name, document.createElement("br"), `${ms.toPrecision(3)} ms`);
  }
  const ratio = row.insertCell();
  const [value, low, high] = [speedup.ratio, speedup.low, speedup.high].map((x) => x.toFixed(2));
  ratio.textContent = `${value} (${low} to ${high})`;
  ratio.className = "number";
}

function title({ runtime, precision, threads }) {
  return `${runtime} ${precision}, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
}

export function showStatus(text) {
  element("status").textContent = text;
}

// A phone that goes to sleep would end the measurement. Not every browser has wake locks.
async function requestWakeLock() {
  try {
    return await navigator.wakeLock?.request("screen");
  } catch {
    return null;
  }
}
