package org.lolvit.demo

import kotlin.math.ceil
import org.lolvit.Classifier
import org.lolvit.EngineChoice
import org.lolvit.ModelSource
import org.lolvit.ModelSpec

/** A model and the engine to run it in. */
internal data class Selection(val source: ModelSource, val spec: ModelSpec, val engine: EngineChoice)

/** A [classifier] and how long it took so far. */
internal class OpenModel(val classifier: Classifier) {
    val latencies = LatencyWindow(WINDOW)

    private companion object {
        const val WINDOW = 60 // at a live camera: the last few seconds
    }
}

/** The one model that is in memory; opening another closes it. For one thread. */
internal class LoadedModel(private val threads: Int) : AutoCloseable {
    private var selection: Selection? = null
    private var open: OpenModel? = null

    /** @throws ProblemException the model can't be loaded. */
    fun open(wanted: Selection): OpenModel {
        open?.let { if (selection == wanted) return it }
        close()
        val classifier = orProblem(R.string.engine_title) { Classifier(wanted.source, wanted.engine, threads) }
        selection = wanted
        return OpenModel(classifier).also { open = it }
    }

    override fun close() {
        selection = null
        open?.classifier?.close()
        open = null
    }
}

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
