// The speedup over rounds, as lolvit_benchmarks/analysis/statistics.py computes it; both are checked
// by tests/vectors/statistics.json. Sources: Tukey and McLaughlin, Sankhya A 25 (1963); Yuen,
// Biometrika 61 (1974).
const TRIMMED_SHARE = 0.2; // of the rounds, at either end
// Two-sided 95 % quantiles of Student's t with 1 to 4 degrees of freedom.
const T_975 = [12.706204736, 4.30265273, 3.182446305, 2.776445105];
const Z_975 = 1.959963985;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Of one round: the log ratio of two models' slot medians, from each model's slots.
export function roundLogRatio(above, below) {
  const level = (slots) => mean(slots.map((slot) => Math.log(median(slot))));
  return level(above) - level(below);
}

// The ratio whose logarithm is the 20 % trimmed mean of the rounds' log ratios, with Yuen's 95 %
// interval; over the medians of blocks where these differ by more than their rounds do. What the
// order of loading changes, which alternates with the block's number, is subtracted before.
export function ratioOverRounds(logRatios, blocks) {
  const { values, means } = withoutLoadingOrder(logRatios, blocks);
  const { center, half, error } = yuen(values);
  const medians = [...new Set(blocks)].map((block) =>
    median(values.filter((_, round) => blocks[round] === block)),
  );
  const freedom = medians.length - means;
  const errorOfBlocks = freedom > 0 ? Math.sqrt(sumOfSquares(medians) / medians.length / freedom) : 0;
  const halfOfBlocks = freedom > 0 ? tQuantile(freedom) * errorOfBlocks : 0;
  const differ = errorOfBlocks > error && halfOfBlocks > half;
  const width = differ ? halfOfBlocks : half;
  return {
    ratio: Math.exp(center),
    low: Math.exp(center - width),
    high: Math.exp(center + width),
    over: differ ? "blocks" : "rounds",
  };
}

// Log ratios from which half the difference between blocks of even and of odd number is subtracted,
// and the number of means that were estimated: one where such blocks are too few.
function withoutLoadingOrder(logRatios, blocks) {
  const numbers = [...new Set(blocks)];
  const least = Math.min(...[0, 1].map((kind) => numbers.filter((block) => block % 2 === kind).length));
  if (least < 2) return { values: logRatios, means: 1 };
  const [even, odd] = [0, 1].map(
    (kind) => yuen(logRatios.filter((_, round) => blocks[round] % 2 === kind)).center,
  );
  const change = (odd - even) / 2;
  const values = logRatios.map((x, round) => x + (blocks[round] % 2 === 1 ? -change : change));
  return { values, means: 2 };
}

// The two-sided 95 % quantile of Student's t: a table up to 4 degrees of freedom, from 5 the
// Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5).
export function tQuantile(freedom) {
  if (freedom <= T_975.length) return T_975[freedom - 1];
  const [z, v] = [Z_975, freedom];
  return (
    z +
    (z ** 3 + z) / (4 * v) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * v ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * v ** 3) +
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / (92160 * v ** 4)
  );
}

function yuen(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const trimmed = Math.floor(TRIMMED_SHARE * sorted.length);
  const kept = sorted.slice(trimmed, sorted.length - trimmed);
  const winsorized = sorted.map((x) => Math.min(Math.max(x, kept[0]), kept.at(-1)));
  const error = Math.sqrt(sumOfSquares(winsorized) / (kept.length * (kept.length - 1)));
  return { center: mean(kept), half: tQuantile(kept.length - 1) * error, error };
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function sumOfSquares(values) {
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
}
