package org.lolvit.demo

import android.graphics.Bitmap
import kotlin.math.ceil
import org.lolvit.Classifier
import org.lolvit.Detector
import org.lolvit.EngineChoice
import org.lolvit.ModelSource
import org.lolvit.ModelSpec
import org.lolvit.ModelTask
import org.lolvit.OpenReport
import org.lolvit.Predicted
import org.lolvit.Predictor
import org.lolvit.Segmenter

/** A model and the engine to run it in. */
internal data class Selection(val source: ModelSource, val spec: ModelSpec, val engine: EngineChoice)

/** An opened model and how long it took so far. */
internal class OpenModel(private val predictor: Predictor<*>, val report: OpenReport) {
    val latencies = LatencyWindow(WINDOW)

    suspend fun predict(photo: Bitmap): Predicted<*> = when (predictor) {
        is Classifier -> predictor.predict(photo)
        is Detector -> predictor.predict(photo)
        is Segmenter -> predictor.predict(photo)
    }

    private companion object {
        const val WINDOW = 60 // at a live camera: the last few seconds
    }
}

/** The one model that is in memory; opening another closes it. For the main thread. */
internal class LoadedModel(private val threads: Int) : AutoCloseable {
    private var selection: Selection? = null
    private var predictor: Predictor<*>? = null
    private var open: OpenModel? = null

    /** @throws ProblemException the model can't be loaded. */
    suspend fun open(wanted: Selection): OpenModel {
        if (selection != wanted) {
            close()
            selection = wanted
            predictor = predictor(wanted)
        }
        val mine = checkNotNull(predictor)
        val report = orProblem(R.string.engine_title) { mine.prewarm() }
        selection = wanted.copy(engine = report.choice) // which may be another
        return open ?: OpenModel(mine, report).also { open = it }
    }

    private fun predictor(wanted: Selection): Predictor<*> = when (wanted.spec.task) {
        ModelTask.CLASSIFICATION -> Classifier(wanted.source, wanted.engine, threads)
        ModelTask.DETECTION -> Detector(wanted.source, wanted.engine, threads)
        ModelTask.SEGMENTATION -> Segmenter(wanted.source, wanted.engine, threads)
    }

    override fun close() {
        predictor?.close()
        selection = null
        predictor = null
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
