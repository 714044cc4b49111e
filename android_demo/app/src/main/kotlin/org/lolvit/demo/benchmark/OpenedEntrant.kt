package org.lolvit.demo.benchmark

import java.nio.FloatBuffer
import org.lolvit.Engine
import org.lolvit.benchmark.Inference

/** An entrant whose artifact is open and whose input is there; [run] is one inference. */
internal class OpenedEntrant(
    private val asked: RequestEntrant,
    val engine: Engine,
    private val input: FloatBuffer,
    private val loadMs: Double,
    private val threads: Int,
) : Inference {
    private var output = FloatArray(0)
    var firstMs = 0.0

    override fun run() {
        output = engine.run(input)
    }

    /** What was seen of it so far; the logits are the last run's. */
    fun recorded(runMs: Double): RecordedEntrant = RecordedEntrant(
        asked.name, asked.artifact.sha256, loadMs, firstMs, runMs,
        options = mapOf("engine" to engine.title, "threads" to threads.toString()),
        logits = output.copyOf(),
    )
}
