package org.lolvit.demo.benchmark

import android.content.Context
import android.graphics.Bitmap
import java.nio.FloatBuffer
import java.util.concurrent.CancellationException
import org.lolvit.Engine
import org.lolvit.Engines
import org.lolvit.Layout
import org.lolvit.LolvitException
import org.lolvit.Preprocess
import org.lolvit.benchmark.Cancellation
import org.lolvit.benchmark.Candidate
import org.lolvit.benchmark.Comparison
import org.lolvit.benchmark.Curve
import org.lolvit.benchmark.Inference
import org.lolvit.benchmark.Interleaved
import org.lolvit.benchmark.Listener
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
    private val profile: Profile = Profile.DEFAULT,
    private val sustained: SustainedRun = SustainedRun(),
    private val onStep: (Step) -> Unit,
) {
    private val start = System.nanoTime()
    private val readings = ArrayList<Reading>()

    constructor(context: Context, plan: BenchmarkPlan, cancellation: Cancellation, onStep: (Step) -> Unit) :
        this(plan, Phone.of(context), cancellation, onStep = onStep)

    /**
     * @throws LolvitException an artifact is damaged, or the runtime rejects it
     * @throws CancellationException it was cancelled
     */
    fun measure(): Measured {
        onStep(Step.Opening)
        val picture = BenchmarkPicture.bitmap()
        open(plan.candidate, picture).use { candidate ->
            candidate.first()
            open(plan.baseline, picture).use { baseline ->
                baseline.first()
                return measure(candidate, baseline)
            }
        }
    }

    private fun measure(candidate: Opened, baseline: Opened): Measured {
        val both = listOf(candidate, baseline)
        val before = both.map { it.outputs() }
        val recording = Recording()
        Interleaved(both, profile).measure(recording, Progress(), cancellation)
        val comparison = Comparison(
            candidate.candidate(), baseline.candidate(), recording, readings,
            cores = Runtime.getRuntime().availableProcessors(),
            outputsChanged = both.mapIndexed { place, one -> Outputs.change(before[place], one.outputs()) },
            curves = both.map { if (plan.sustainedSeconds > 0) curve(it) else null },
        )
        return Measured(comparison, candidate.engine.version, plan)
    }

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
        val engine = Engines.open(plan.engine, model.spec, model.source, plan.threads)
        val loaded = System.nanoTime()
        val input = engine.newInput()
        Preprocess.fill(picture, model.spec, engine.artifact.input.layout ?: Layout.NCHW, input)
        return Opened(model, engine, input, (loaded - before) / 1e6, plan.threads)
    }

    private inner class Progress : Listener {
        override fun progress(done: Int, planned: Int) = onStep(Step.Interleaving(done, planned))

        override fun betweenBlocks() = readPhone()
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

        /** The outputs of one more inference. */
        fun outputs(): FloatArray = engine.run(input).copyOf()

        fun candidate(): Candidate = Candidate(
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
