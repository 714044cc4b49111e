// Measures each cell as the server plans it: one worker a cell, its models interleaved in it. The
// page draws between rounds alone, and posts what it has after each block.
import { decode } from "./decode.js";
import { Engine } from "./engine.js";
import { drawRatios, median } from "./plot.js";
import { toInput, toPixels } from "./preprocess.js";
import { RefusedError, tell } from "./server.js";

const PREPROCESS_REPEATS = 5;
const ALIVE_MS = 5000;
const element = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function measureAll(job, about) {
  let { next } = await tell("hello", { about });
  const awake = stayAwake();
  const state = { done: 0, planned: 0 };
  const heart = setInterval(() => tell("alive", state).catch(() => {}), ALIVE_MS);
  try {
    while (next !== null) {
      const cell = job.cells[next];
      ({ next } = await measureOrFail(job, cell, next, state));
    }
    say("Done: the results are with the command line that started this page.");
  } finally {
    clearInterval(heart);
    (await awake)?.release();
    element("progress").hidden = true;
  }
}

async function measureOrFail(job, cell, number, state) {
  const engine = new Engine();
  try {
    return await measure(engine, job, cell, number, state);
  } catch (error) {
    if (error instanceof RefusedError && error.final) throw error;
    addRow(cell, null, error.message);
    return await tell("failed", { cell: number, what: error.message.slice(0, 900) });
  } finally {
    engine.close();
  }
}

async function measure(engine, job, cell, number, state) {
  say(`${title(cell)}: loading.`);
  if (cell.threads > navigator.hardwareConcurrency) {
    throw new Error(`this browser has ${navigator.hardwareConcurrency} cores, not ${cell.threads}`);
  }
  const { runtime, threads } = cell;
  const { version, clock_us } = await engine.ask("open", { runtime, threads, versions: job.versions });
  const sides = [];
  for (const one of cell.entrants) sides.push(await load(engine, one));
  for (const side of sides) {
    side.run_ms = await engine.ask("warmUp", { name: side.name, ...job.warm_up });
  }
  const answer = await tell("ready", { cell: number, runtime_version: version, clock_us, sides });
  if (!answer.plan) {
    addRow(cell, null, "stopped: the logits are not those of the command line's machine");
    return answer;
  }
  return await runBlocks(engine, cell, number, answer.plan, state);
}

async function load(engine, one) {
  const side = await engine.ask("load", one);
  side.preprocess_ms = await preprocessMs(one);
  return side;
}

async function preprocessMs({ preprocess, spec }) {
  const photo = await decode(await (await fetch("photo.png")).blob());
  const times = [];
  for (let repeat = 0; repeat < PREPROCESS_REPEATS; repeat++) {
    const start = performance.now();
    toInput(toPixels(photo, preprocess), preprocess, spec);
    times.push(performance.now() - start);
  }
  return median(times);
}

async function runBlocks(engine, cell, number, plan, state) {
  const seen = new Map(cell.entrants.map(({ name }) => [name, []]));
  const ratios = [];
  state.planned = plan.blocks * plan.rounds;
  state.done = 0;
  say(`${title(cell)}: measuring ${state.planned} rounds.`);
  const start = performance.now();
  let answer = {};
  for (let block = 0; block < plan.blocks; block++) {
    if (block) await pause(plan.cool_down_s * 1000);
    const rounds = [];
    for (let round = 0; round < plan.rounds; round++) {
      rounds.push(await inSight(engine, roundOf(plan, state.done)));
      state.done++;
      ratios.push(keep(rounds.at(-1), seen));
      draw(cell, seen, ratios, state);
      await pause(0); // lets the page draw before the next round
    }
    const at_s = (performance.now() - start) / 1000;
    answer = await tell("block", { cell: number, block, at_s, rounds });
  }
  addRow(cell, seen);
  return answer;
}

function roundOf({ orders, burst, settling }, number) {
  return { order: orders[number % orders.length], burst, settling };
}

// Browsers slow pages out of sight: a round in which this one was hidden is made again.
async function inSight(engine, round) {
  for (;;) {
    if (document.hidden) {
      say("Waiting until this page is in sight again.");
      await new Promise((resolve) => {
        document.addEventListener("visibilitychange", resolve, { once: true });
      });
      continue;
    }
    let hidden = false;
    const note = () => (hidden = true);
    document.addEventListener("visibilitychange", note);
    const made = await engine.ask("round", round);
    document.removeEventListener("visibilitychange", note);
    if (!hidden) return made;
  }
}

// Add a round's times; return its ratio of the second model's median to the first one's.
function keep({ slots }, seen) {
  const own = new Map();
  for (const [name, times] of slots) {
    seen.get(name).push(...times);
    own.set(name, [...(own.get(name) ?? []), ...times]);
  }
  const [first, second] = [...seen.keys()].map((name) => median(own.get(name)));
  return second / first;
}

function draw(cell, seen, ratios, { done, planned }) {
  const [first, second] = [...seen.keys()];
  const bar = element("progress");
  bar.hidden = false;
  bar.max = planned;
  bar.value = done;
  element("figure").hidden = false;
  element("caption").textContent =
    `${title(cell)}: time of ${second} over time of ${first}; more than 1: ${first} is faster.`;
  drawRatios(ratios, planned, element("plot-marks"), element("plot-text"));
}

function addRow(cell, seen, why) {
  const row = element("rows").insertRow();
  row.insertCell().textContent = title(cell);
  if (!seen) {
    const note = row.insertCell();
    note.colSpan = 3;
    note.textContent = why;
    return;
  }
  const [[first, own], ...others] = [...seen].map(([name, times]) => [name, median(times)]);
  const [second, other] = others[0];
  for (const [name, ms] of [[first, own], [second, other]]) {
    row.insertCell().append(name, document.createElement("br"), `${ms.toPrecision(3)} ms`);
  }
  const ratio = row.insertCell();
  ratio.textContent = (other / own).toPrecision(3);
  ratio.className = "number";
}

function title({ runtime, precision, threads }) {
  return `${runtime} ${precision}, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
}

export function say(text) {
  element("status").textContent = text;
}

// A phone that falls asleep would end the measurement; not every browser lets a page ask.
async function stayAwake() {
  try {
    return await navigator.wakeLock?.request("screen");
  } catch {
    return null;
  }
}
