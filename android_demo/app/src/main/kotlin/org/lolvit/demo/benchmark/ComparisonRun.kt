package org.lolvit.demo.benchmark

import android.graphics.Bitmap
import java.nio.FloatBuffer
import java.util.concurrent.CancellationException
import org.lolvit.Engine
import org.lolvit.Engines
import org.lolvit.Layout
import org.lolvit.LolvitException
import org.lolvit.benchmark.Cancellation
import org.lolvit.benchmark.MeasuredModel
import org.lolvit.benchmark.Comparison
import org.lolvit.benchmark.Curve
import org.lolvit.benchmark.Inference
import org.lolvit.benchmark.Interleaved
import org.lolvit.benchmark.Listener
import org.lolvit.benchmark.OpenModels
import org.lolvit.benchmark.Outputs
import org.lolvit.benchmark.Phone
import org.lolvit.benchmark.Profile
import org.lolvit.benchmark.Reading
import org.lolvit.benchmark.Recording
import org.lolvit.benchmark.Stopwatch
import org.lolvit.benchmark.SustainedRun

/** The step that a measurement has reached, and its completed share. */
internal sealed class Step(val share: Double) {
    object Opening : Step(0.0)

    class Interleaving(val done: Int, val planned: Int) : Step(done.toDouble() / planned)

    class Sustaining(val model: String, share: Double) : Step(share)
}

/** A finished comparison with the plan and the runtime's version. */
internal class Measured(val comparison: Comparison, val runtimeVersion: String, val plan: BenchmarkPlan)

/** Measures a plan on the calling thread. */
internal class ComparisonRun(
    private val plan: BenchmarkPlan,
    private val phone: Phone,
    private val cancellation: Cancellation,
    private val profile: Profile,
    private val sustained: SustainedRun = SustainedRun(),
    private val onStep: (Step) -> Unit,
) {
    private val start = System.nanoTime()
    private val readings = ArrayList<Reading>()
    private val outputsChanged = arrayListOf<String?>(null, null)
    private var first: List<MeasuredModel>? = null // of the first block
    private var runtimeVersion = ""

    /**
     * @throws LolvitException an artifact is damaged, or the runtime rejects it
     * @throws CancellationException it was cancelled
     */
    fun measure(): Measured {
        onStep(Step.Opening)
        val picture = BenchmarkPicture.bitmap()
        val recording = Recording()
        Interleaved(profile).measure({ block -> openBoth(picture, block) }, recording, Progress(), cancellation)
        val curves = if (plan.sustainedSeconds > 0) curves(picture) else listOf(null, null)
        val (candidate, baseline) = first ?: error("nothing was opened")
        val cores = Runtime.getRuntime().availableProcessors()
        val comparison = Comparison(candidate, baseline, recording, readings, cores, curves, outputsChanged)
        return Measured(comparison, runtimeVersion, plan)
    }

    /** Opens both models; the one that is opened first changes from block to block. */
    private fun openBoth(picture: Bitmap, block: Int): Block {
        val order = if (block % 2 == 0) listOf(0, 1) else listOf(1, 0)
        val opened = arrayOfNulls<Opened>(2)
        var complete = false
        try {
            for (place in order) {
                opened[place] = open(if (place == 0) plan.candidate else plan.baseline, picture).also { it.first() }
            }
            complete = true
        } finally {
            if (!complete) opened.forEach { it?.close() }
        }
        val both = Block(opened.map { checkNotNull(it) })
        if (first == null) {
            first = both.models.map(Opened::candidate)
            runtimeVersion = both.models[0].engine.version
        }
        return both
    }

    private fun curves(picture: Bitmap): List<Curve?> = openBoth(picture, 0).use { it.models.map(::curve) }

    private fun curve(opened: Opened): Curve {
        val model = opened.model.spec.name
        onStep(Step.Sustaining(model, 0.0))
        val curve = sustained.curve(opened, plan.sustainedSeconds, cancellation) { onStep(Step.Sustaining(model, it)) }
        readPhone()
        return curve
    }

    private fun readPhone() {
        readings.add(Reading((System.nanoTime() - start) / 1e9, phone.state()))
    }

    private fun open(model: BenchmarkModel, picture: Bitmap): Opened {
        cancellation.check()
        val before = System.nanoTime()
        val engine = Engines.load(plan.engine, model.spec, model.source, plan.threads)
        val loaded = System.nanoTime()
        val input = engine.newInput()
        model.spec.preprocessing.fill(picture, engine.artifact.input.layout ?: Layout.NCHW, input)
        return Opened(model, engine, input, (loaded - before) / 1e6, plan.threads)
    }

    private inner class Progress : Listener {
        override fun progress(done: Int, planned: Int) = onStep(Step.Interleaving(done, planned))

        override fun betweenBlocks() = readPhone()
    }

    /** Both models of one block; closing it compares their outputs with those at first. */
    private inner class Block(override val models: List<Opened>) : OpenModels {
        private val before = models.map { it.outputs() }

        override fun close() {
            models.forEachIndexed { place, one ->
                one.use { Outputs.change(before[place], one.outputs())?.let { outputsChanged[place] = it } }
            }
        }
    }

    private class Opened(
        val model: BenchmarkModel,
        val engine: Engine,
        private val input: FloatBuffer,
        private val loadMs: Double,
        private val threads: Int,
    ) : Inference, AutoCloseable {
        private var firstMs = 0.0

        /** Makes the first inference. */
        fun first() {
            firstMs = Stopwatch().durations(this, 1)[0] / 1e6
        }

        override fun run() {
            engine.run(input)
        }

        /** The outputs of one more inference, one after another. */
        fun outputs(): FloatArray {
            engine.run(input)
            return engine.outputs().reduce(FloatArray::plus)
        }

        fun candidate(): MeasuredModel = MeasuredModel(
            model = model.spec.name,
            height = model.spec.size.height,
            width = model.spec.size.width,
            params = model.spec.params,
            macs = model.spec.macs,
            trained = model.spec.trained,
            weightsSource = model.spec.weightsSource,
            precision = engine.artifact.precision,
            artifact = engine.artifact.path,
            artifactBytes = engine.artifact.bytes,
            artifactSha256 = engine.artifact.sha256,
            loadMs = loadMs,
            firstMs = firstMs,
            options = mapOf("engine" to engine.title, "threads" to threads.toString()),
        )

        override fun close() = engine.close()
    }
}
