// The speedup over rounds, as lolvit_benchmarks/analysis/statistics.py computes it; both are checked
// by tests/vectors/statistics.json. Sources: Tukey and McLaughlin, Sankhya A 25 (1963); Yuen,
// Biometrika 61 (1974).
const TRIMMED_SHARE = 0.2; // of the rounds, at either end
const BLOCK_VARIANCE_RATIO = 1.3;
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
// interval; over the medians of blocks where these differ by more than their rounds do.
export function ratioOverRounds(logRatios, blocks) {
  const { center, half, error } = yuen(logRatios);
  const medians = [...new Set(blocks)].map((block) =>
    median(logRatios.filter((_, round) => blocks[round] === block)),
  );
  const count = medians.length;
  const spread = count > 1 ? sumOfSquares(medians) / (count - 1) : 0;
  const overBlocks = count > 1 ? tQuantile(count - 1) * Math.sqrt(spread / count) : 0;
  const differ = spread > BLOCK_VARIANCE_RATIO * count * error ** 2 && overBlocks > half;
  const width = differ ? overBlocks : half;
  return {
    ratio: Math.exp(center),
    low: Math.exp(center - width),
    high: Math.exp(center + width),
    over: differ ? "blocks" : "rounds",
  };
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
