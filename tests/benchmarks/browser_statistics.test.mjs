// Run by test_browser_modules.py: the page's speedup is Python's, on the vectors that both share.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const file = (path) => readFile(new URL(path, import.meta.url), "utf8");
// Outside a package Node takes .js for CommonJS; a data URL is a module.
const source = await file(
  "../../benchmarks/lolvit_benchmarks/backends/browser/page/statistics.js",
);
const { median, ratioOverRounds, roundLogRatio, tQuantile } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);
const vectors = JSON.parse(await file("../vectors/statistics.json"));

function near(found, expected, what) {
  assert.ok(Math.abs(found - expected) <= 1e-12 * Math.max(1, Math.abs(expected)), what);
}

function slots(samples, sampleRound, round) {
  const own = samples.filter((_, place) => sampleRound[place] === round);
  return [own.slice(0, own.length / 2), own.slice(own.length / 2)];
}

for (const { name, candidate, baseline, sample_round, round_block, ...expected } of
  vectors.measurements) {
  test(`ratio and interval of the vector '${name}' are Python's`, () => {
    const logs = round_block.map((_, round) =>
      roundLogRatio(slots(baseline, sample_round, round), slots(candidate, sample_round, round)),
    );
    logs.forEach((log, round) => near(log, expected.round_log_ratios[round], `round ${round}`));
    const found = ratioOverRounds(logs, round_block);
    for (const key of ["ratio", "low", "high"]) near(found[key], expected[key], key);
    assert.equal(found.over, expected.over);
  });
}

test("quantiles of Student's t are Python's", () => {
  for (const [freedom, expected] of Object.entries(vectors.t_quantiles)) {
    near(tQuantile(Number(freedom)), expected, freedom);
  }
});

test("a median is the middle, or the mean of the middle two", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});
