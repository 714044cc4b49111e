package org.lolvit.demo.benchmark

import org.lolvit.EngineChoice
import org.lolvit.Engines
import org.lolvit.LolvitException
import org.lolvit.ModelSource
import org.lolvit.ModelSpec

/** A model in the app, with its manifest read. */
internal class BenchmarkModel(val source: ModelSource, val spec: ModelSpec) {
    val engines: List<EngineChoice> = Engines.choices(spec)
    val title: String get() = "${spec.name}, ${spec.size}"

    companion object {
        /**
         * The models of the app, LOLViT first: the claim to check is about it.
         *
         * @throws org.lolvit.LolvitException a manifest is broken
         */
        fun all(sources: List<ModelSource>): List<BenchmarkModel> =
            sources.map { BenchmarkModel(it, ModelSpec.load(it)) }
                .sortedByDescending { it.spec.name.startsWith("lolvit") }
    }
}

/** Engines that two models can both be run by, and those that one lacks, with why. */
internal class SharedEngines(a: BenchmarkModel, b: BenchmarkModel) {
    val usable: List<EngineChoice>
    val missing: List<EngineChoice>

    init {
        val ofB = b.engines.associateBy { it.id }
        fun why(ofA: EngineChoice) = ofA.missing ?: if (ofA.id in ofB) ofB[ofA.id]?.missing else notPackaged(ofA, b)
        val (here, absent) = a.engines.partition { why(it) == null }
        usable = here
        missing = absent.map { it.copy(missing = why(it)) }
    }

    private fun notPackaged(engine: EngineChoice, model: BenchmarkModel): LolvitException {
        val format = if (engine.id.startsWith("onnx")) "onnx" else "tflite"
        return LolvitException(
            LolvitException.Code.ENGINE_NOT_PACKAGED, "engine" to engine.title, "format" to format, "path" to model.spec.name,
        )
    }
}

/** What is measured: two models in one engine, and for how long each runs alone afterwards (0: not). */
internal class BenchmarkPlan(
    val candidate: BenchmarkModel,
    val baseline: BenchmarkModel,
    val engine: EngineChoice,
    val threads: Int,
    val sustainedSeconds: Double,
)
