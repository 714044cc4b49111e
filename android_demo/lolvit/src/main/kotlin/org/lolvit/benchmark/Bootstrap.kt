package org.lolvit.benchmark

import kotlin.math.exp
import kotlin.math.ln

/**
 * The ratio of two models' medians with its bootstrap 95 % interval, the estimator of result documents
 * of schema version 1. The draws are those of NumPy's PCG64 with the same seed.
 */
public object Bootstrap {
    public const val RESAMPLES: Int = 2000

    // Resamples are drawn in portions of at most this many samples, as the harness does.
    private const val PORTION = 1 shl 23

    /**
     * median([numerator]) / median([denominator]). Sample i of both was taken in round `rounds[i]`.
     *
     * Runs close in time resemble each other: a resample draws whole rounds, the same for both models,
     * then pairs of samples within each round drawn. The bounds are percentiles of the log of the
     * ratio, widened to hold the ratio itself where resampling misses it.
     *
     * @throws IllegalArgumentException if the models or the rounds differ in their number of samples
     */
    public fun ratioOfMedians(
        numerator: DoubleArray,
        denominator: DoubleArray,
        rounds: IntArray,
        resamples: Int = RESAMPLES,
    ): Interval {
        val above = byRound(numerator, rounds)
        val below = byRound(denominator, rounds)
        val ratio = Statistics.median(numerator) / Statistics.median(denominator)
        val logs = logRatios(above, below, resamples)
        val low = exp(Statistics.percentile(logs, 0.025))
        val high = exp(Statistics.percentile(logs, 0.975))
        return Interval(ratio, minOf(low, ratio), maxOf(high, ratio))
    }

    private fun byRound(samples: DoubleArray, rounds: IntArray): Array<DoubleArray> {
        require(samples.isNotEmpty() && samples.size == rounds.size) {
            "${samples.size} samples for ${rounds.size} round numbers"
        }
        val found = rounds.indices.groupBy { rounds[it] }.toSortedMap().values
        require(found.map { it.size }.distinct().size == 1) { "rounds of unequal sizes" }
        return found.map { places -> DoubleArray(places.size) { samples[places[it]] } }.toTypedArray()
    }

    private fun logRatios(above: Array<DoubleArray>, below: Array<DoubleArray>, resamples: Int): DoubleArray {
        val generator = Pcg64.withHarnessSeed()
        val portion = maxOf(1, PORTION / (above.size * above[0].size))
        val logs = DoubleArray(resamples)
        for (start in 0 until resamples step portion) {
            fill(logs, start, minOf(portion, resamples - start), above, below, generator)
        }
        return logs
    }

    /** Draws the rounds of all resamples of a portion first, then the samples within them. */
    private fun fill(
        logs: DoubleArray,
        start: Int,
        count: Int,
        above: Array<DoubleArray>,
        below: Array<DoubleArray>,
        generator: Pcg64,
    ) {
        val each = above[0].size
        val rows = IntArray(count * above.size) { generator.below(above.size) }
        val numerators = DoubleArray(above.size * each)
        val denominators = DoubleArray(above.size * each)
        for (resample in 0 until count) {
            for (place in numerators.indices) {
                val row = rows[resample * above.size + place / each]
                val column = generator.below(each)
                numerators[place] = above[row][column]
                denominators[place] = below[row][column]
            }
            logs[start + resample] = ln(medianOf(numerators)) - ln(medianOf(denominators))
        }
    }

    private fun medianOf(scratch: DoubleArray): Double {
        scratch.sort()
        return Statistics.medianOfSorted(scratch)
    }
}
