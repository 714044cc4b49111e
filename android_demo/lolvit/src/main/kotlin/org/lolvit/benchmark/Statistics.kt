package org.lolvit.benchmark

import kotlin.math.sqrt

/** A figure and the bounds of its 95 % interval. */
public data class Interval(val value: Double, val low: Double, val high: Double) {
    /** Whether [value] lies inside, its bounds included. */
    public fun spans(value: Double): Boolean = value in low..high
}

/**
 * Statistics of latencies, as `lolvit_benchmarks/analysis/statistics.py` computes them: pure functions.
 *
 * Samples are durations in any one unit, more than zero and finite; `groups` gives, for each sample,
 * the block or round that it was taken in.
 */
public object Statistics {
    /** Interruptions only ever lengthen a run: the trimmed variation leaves out this share, the slowest. */
    public const val SLOWEST_SHARE: Double = 0.05
    private const val SAMPLES_FOR_P99 = 500 // five of them are beyond it

    /** The value below which [share] (0 to 1) of the samples lie, linearly interpolated. */
    public fun percentile(samples: DoubleArray, share: Double): Double {
        val sorted = samples.sortedArray()
        val place = share * (sorted.size - 1)
        val below = place.toInt()
        val above = minOf(below + 1, sorted.size - 1)
        return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
    }

    /** The middle sample, or the mean of the middle two. */
    public fun median(samples: DoubleArray): Double = medianOfSorted(samples.sortedArray())

    /** The 99th percentile, or null of fewer than 500 samples. */
    public fun p99(samples: DoubleArray): Double? =
        if (samples.size >= SAMPLES_FOR_P99) percentile(samples, 0.99) else null

    /** Standard deviation (n - 1) over mean; 0 for one sample. */
    public fun variation(samples: DoubleArray): Double {
        if (samples.size < 2) return 0.0
        val mean = samples.average()
        return sqrt(samples.sumOf { (it - mean) * (it - mean) } / (samples.size - 1)) / mean
    }

    /** The coefficient of variation without the slowest share of the samples (rounded down). */
    public fun trimmedVariation(samples: DoubleArray, slowest: Double = SLOWEST_SHARE): Double {
        val kept = samples.size - (samples.size * slowest).toInt()
        return variation(samples.sortedArray().copyOf(kept))
    }

    /** The median of each group, in the order of the groups' numbers. */
    public fun groupMedians(samples: DoubleArray, groups: IntArray): DoubleArray =
        groups.distinct().sorted().map { group ->
            median(samples.filterIndexed { place, _ -> groups[place] == group }.toDoubleArray())
        }.toDoubleArray()

    /** The range of the groups' medians over the median of all samples. */
    public fun betweenBlockRange(samples: DoubleArray, groups: IntArray): Double {
        val medians = groupMedians(samples, groups)
        return (medians.max() - medians.min()) / median(samples)
    }

    internal fun medianOfSorted(sorted: DoubleArray): Double {
        require(sorted.isNotEmpty()) { "the median of no samples" }
        val middle = sorted.size / 2
        return if (sorted.size % 2 == 1) sorted[middle] else (sorted[middle - 1] + sorted[middle]) / 2
    }
}
