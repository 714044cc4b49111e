package org.lolvit.demo

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

    /** @throws Refusal the model can't be loaded. */
    fun open(wanted: Selection): OpenModel {
        open?.let { if (selection == wanted) return it }
        close()
        val classifier = refusing(R.string.engine_title) { Classifier(wanted.source, wanted.engine, threads) }
        selection = wanted
        return OpenModel(classifier).also { open = it }
    }

    override fun close() {
        selection = null
        open?.classifier?.close()
        open = null
    }
}
