package org.lolvit.benchmark

import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.sqrt

/** A ratio estimated over rounds: its 95 % interval, and what the interval is computed over. */
public data class RoundRatio(val interval: Interval, val over: Over) {
    public enum class Over { ROUNDS, BLOCKS }
}

/**
 * The speedup over rounds, as `lolvit_benchmarks/analysis/statistics.py` computes it; both are checked
 * by `tests/vectors/statistics.json`. Sources: Tukey and McLaughlin, Sankhya A 25 (1963); Yuen,
 * Biometrika 61 (1974).
 */
public object RoundRatios {
    private const val TRIMMED_SHARE = 0.2 // of the rounds, at either end
    private const val MIN_ROUNDS_OF_A_HALF = 4

    // Two-sided 95 % quantiles of Student's t with 1 to 4 degrees of freedom.
    private val T_975 = doubleArrayOf(12.706204736, 4.302652730, 3.182446305, 2.776445105)
    private const val Z_975 = 1.959963985

    /**
     * Of each round, the log ratio of two models' slot medians. Sample i of both was taken in round
     * `rounds[i]`, in the order of measuring; a round has two slots of each model, of equal length.
     *
     * @throws IllegalArgumentException the models or the rounds differ in their number of samples
     */
    public fun logRatios(numerator: DoubleArray, denominator: DoubleArray, rounds: IntArray): DoubleArray {
        val above = levels(numerator, rounds)
        val below = levels(denominator, rounds)
        return DoubleArray(above.size) { above[it] - below[it] }
    }

    /** The block of each round, in the rounds' order. */
    public fun blocks(blocks: IntArray, rounds: IntArray): IntArray =
        rounds.distinct().sorted().map { blocks[rounds.indexOf(it)] }.toIntArray()

    /**
     * The ratio whose logarithm is the 20 % trimmed mean of the rounds' log ratios, with Yuen's 95 %
     * interval; over the medians of blocks where these differ by more than their rounds do. What the
     * order of loading changes, which alternates with the block's number, is subtracted before.
     *
     * @throws IllegalArgumentException fewer than two rounds, or another number of blocks
     */
    public fun ratio(logRatios: DoubleArray, blocks: IntArray): RoundRatio {
        require(logRatios.size >= 2 && logRatios.size == blocks.size) {
            "${logRatios.size} rounds with ${blocks.size} block numbers"
        }
        val (values, means) = withoutLoadingOrder(logRatios, blocks)
        return overRounds(values, blocks, means)
    }

    /** Whether the ratios of the first and of the second half of the rounds contradict the interval. */
    public fun halvesDisagree(logRatios: DoubleArray, blocks: IntArray): Boolean {
        val middle = logRatios.size / 2
        if (middle < MIN_ROUNDS_OF_A_HALF) return false
        val (values, means) = withoutLoadingOrder(logRatios, blocks)
        fun half(from: Int, to: Int) = overRounds(values.copyOfRange(from, to), blocks.copyOfRange(from, to), 1).interval
        val whole = overRounds(values, blocks, means).interval
        val (first, second) = half(0, middle) to half(middle, values.size)
        val apart = first.high < second.low || second.high < first.low
        return apart && !(whole.spans(first.value) && whole.spans(second.value))
    }

    /**
     * Log ratios from which half the difference between blocks of even and of odd number is
     * subtracted, and the number of means that were estimated: one where such blocks are too few.
     */
    private fun withoutLoadingOrder(logRatios: DoubleArray, blocks: IntArray): Pair<DoubleArray, Int> {
        val kinds = blocks.distinct().groupBy { it % 2 }
        if (kinds.size < 2 || kinds.values.any { it.size < 2 }) return logRatios to 1
        fun center(kind: Int) = yuen(logRatios.filterIndexed { round, _ -> blocks[round] % 2 == kind }.toDoubleArray()).first
        val change = (center(1) - center(0)) / 2
        return DoubleArray(logRatios.size) { logRatios[it] + if (blocks[it] % 2 == 1) -change else change } to 2
    }

    private fun overRounds(values: DoubleArray, blocks: IntArray, means: Int): RoundRatio {
        val (center, half, error) = yuen(values)
        val medians = Statistics.groupMedians(values, blocks)
        val freedom = medians.size - means
        val errorOfBlocks = if (freedom > 0) sqrt(sumOfSquares(medians) / medians.size / freedom) else 0.0
        val halfOfBlocks = if (freedom > 0) tQuantile(freedom) * errorOfBlocks else 0.0
        val differ = errorOfBlocks > error && halfOfBlocks > half
        val width = if (differ) halfOfBlocks else half
        val interval = Interval(exp(center), exp(center - width), exp(center + width))
        return RoundRatio(interval, if (differ) RoundRatio.Over.BLOCKS else RoundRatio.Over.ROUNDS)
    }

    /** Half the interval's width on the logarithmic scale: 0.02 is 2 % of the figure. */
    public fun halfWidth(interval: Interval): Double = ln(interval.high / interval.low) / 2

    /**
     * The two-sided 95 % quantile of Student's t: a table up to 4 degrees of freedom, from 5 the
     * Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5).
     */
    public fun tQuantile(freedom: Int): Double {
        if (freedom <= T_975.size) return T_975[freedom - 1]
        val z = Z_975
        val v = freedom.toDouble()
        val (z3, z5, z7, z9) = listOf(z * z * z, power(z, 5), power(z, 7), power(z, 9))
        return z +
            (z3 + z) / (4 * v) +
            (5 * z5 + 16 * z3 + 3 * z) / (96 * power(v, 2)) +
            (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * power(v, 3)) +
            (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * power(v, 4))
    }

    /** Of each round, the mean of the logarithms of a model's two slot medians. */
    private fun levels(samples: DoubleArray, rounds: IntArray): DoubleArray {
        require(samples.isNotEmpty() && samples.size == rounds.size) {
            "${samples.size} samples for ${rounds.size} round numbers"
        }
        val found = rounds.indices.groupBy { rounds[it] }.toSortedMap().values
        require(found.map { it.size }.distinct().size == 1) { "rounds of unequal sizes" }
        val each = found.first().size
        require(each % 2 == 0) { "$each samples of a round are no two slots" }
        return found.map { places ->
            places.chunked(each / 2).map { slot -> ln(Statistics.median(DoubleArray(slot.size) { samples[slot[it]] })) }.average()
        }.toDoubleArray()
    }

    /** The trimmed mean, half the width of its 95 % interval, and its standard error. */
    private fun yuen(values: DoubleArray): Triple<Double, Double, Double> {
        val sorted = values.sortedArray()
        val trimmed = (TRIMMED_SHARE * sorted.size).toInt()
        val kept = sorted.copyOfRange(trimmed, sorted.size - trimmed)
        val winsorized = DoubleArray(sorted.size) { sorted[it].coerceIn(kept.first(), kept.last()) }
        val error = sqrt(sumOfSquares(winsorized) / (kept.size * (kept.size - 1.0)))
        return Triple(kept.average(), tQuantile(kept.size - 1) * error, error)
    }

    private fun sumOfSquares(values: DoubleArray): Double {
        val mean = values.average()
        return values.sumOf { (it - mean) * (it - mean) }
    }

    private fun power(base: Double, exponent: Int): Double = (1..exponent).fold(1.0) { product, _ -> product * base }
}
