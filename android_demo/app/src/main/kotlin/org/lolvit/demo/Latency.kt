package org.lolvit.demo

import kotlin.math.ceil

/**
 * The latest [capacity] durations of a model, in milliseconds; the first one given is dropped, as the warm-up.
 *
 * Used on one thread.
 */
internal class LatencyWindow(private val capacity: Int) {
    private val times = ArrayDeque<Double>()
    private var warm = false

    /** Adds one duration and returns what is known now; the warm-up counts only while nothing else is known. */
    fun add(milliseconds: Double): Latency {
        if (!warm) {
            warm = true
            return Latency(milliseconds, null, null, 0)
        }
        if (times.size == capacity) times.removeFirst()
        times.addLast(milliseconds)
        val sorted = times.sorted()
        return Latency(milliseconds, median(sorted), percentile(sorted, 0.9), sorted.size)
    }

    /** Forgets all; the next one is a warm-up again. */
    fun clear() {
        times.clear()
        warm = false
    }

    private fun median(sorted: List<Double>): Double {
        val middle = sorted.size / 2
        return if (sorted.size % 2 == 1) sorted[middle] else (sorted[middle - 1] + sorted[middle]) / 2
    }

    /** The smallest value that at least [share] of all do not exceed (nearest rank). */
    private fun percentile(sorted: List<Double>, share: Double): Double = sorted[ceil(share * sorted.size).toInt() - 1]
}

/** How long the model took: the last run, and median and 90th percentile of [runs]; milliseconds. */
internal data class Latency(val now: Double, val median: Double?, val p90: Double?, val runs: Int)
