package org.lolvit.demo.benchmark

import java.io.File
import java.io.IOException
import java.nio.ByteOrder
import java.nio.FloatBuffer
import org.lolvit.Engine
import org.lolvit.LolvitException
import org.lolvit.benchmark.Cancellation
import org.lolvit.benchmark.Clock
import org.lolvit.benchmark.Inference
import org.lolvit.benchmark.Runtimes
import org.lolvit.benchmark.Stopwatch

/**
 * Measures one block of a request: opens every candidate, warms each up, and runs the slots in their
 * order, on the calling thread.
 */
internal class BlockRunner(
    private val folder: BenchFolder,
    private val request: DeviceRequest,
    private val appVersion: String,
    private val clock: Clock = Clock.SYSTEM,
) {
    private val stopwatch = Stopwatch(clock)

    /**
     * [onSlot] gets the number of completed slots, after each.
     *
     * @throws HarnessException a file differs from the requested one
     * @throws LolvitException the runtime rejects it
     */
    fun run(requestSha256: String, onSlot: (Int) -> Unit): DeviceRecording {
        val opened = LinkedHashMap<String, OpenedCandidate>()
        try {
            for (asked in request.candidates) opened[asked.name] = open(asked)
            val runMs = opened.values.associateWith(::warmedUp)
            val slots = request.slots.mapIndexed { number, slot ->
                val durations = durations(slot, opened.getValue(slot.candidate))
                onSlot(number + 1)
                slot.candidate to durations
            }
            val version = opened.values.first().engine.version
            val candidates = runMs.map { (candidate, ms) -> candidate.recorded(ms) }
            return DeviceRecording(requestSha256, version, appVersion, cpuset(), candidates, slots)
        } finally {
            opened.values.forEach { it.engine.close() }
        }
    }

    private fun durations(slot: RequestSlot, candidate: OpenedCandidate): LongArray {
        repeat(slot.warmUpRuns) { candidate.run() }
        return stopwatch.durations(candidate, slot.burst)
    }

    private fun open(asked: RequestCandidate): OpenedCandidate {
        val model = folder.content(asked.artifact)
        val values = folder.content(asked.input).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        if (asked.dtype != "float32") {
            throw HarnessException(
                "${asked.name} takes ${asked.dtype}, this app gives float32 only: export it in another precision",
            )
        }
        val start = clock.nanoseconds()
        val engine = Runtimes.open(request.runtime, asked.format, model, asked.shape, request.threads)
        val loadMs = milliseconds(clock.nanoseconds() - start)
        try {
            val candidate = OpenedCandidate(asked, engine, input(asked, engine, values), loadMs, request.threads)
            candidate.firstMs = milliseconds(stopwatch.durations(candidate, 1)[0])
            return candidate
        } catch (error: Exception) { // whatever it is, the engine is not used
            engine.close()
            throw error
        }
    }

    private fun input(asked: RequestCandidate, engine: Engine, values: FloatBuffer): FloatBuffer {
        val input = engine.newInput()
        if (values.remaining() != input.capacity()) {
            throw HarnessException(
                "the input of ${asked.name} has ${values.remaining()} values, its shape ${input.capacity()}",
            )
        }
        input.put(values)
        return input
    }

    private fun warmedUp(candidate: OpenedCandidate): Double =
        stopwatch.warmUp(candidate, request.warmUpRuns, request.warmUpSeconds, Cancellation.NEVER) / 1e6

    private fun milliseconds(nanoseconds: Long) = nanoseconds.coerceAtLeast(1) / 1e6

    private fun cpuset(): String? = try {
        File("/proc/self/cpuset").readText().trim().takeIf { it.isNotEmpty() }
    } catch (error: IOException) {
        null
    }
}

/** A candidate whose artifact is open and whose input is loaded; [run] is one inference. */
private class OpenedCandidate(
    private val asked: RequestCandidate,
    val engine: Engine,
    private val input: FloatBuffer,
    private val loadMs: Double,
    private val threads: Int,
) : Inference {
    var firstMs = 0.0

    override fun run() = engine.run(input)

    /** The record of it so far; the logits are the last run's. */
    fun recorded(runMs: Double): RecordedCandidate = RecordedCandidate(
        asked.name, asked.artifact.sha256, loadMs, firstMs, runMs,
        options = mapOf("engine" to engine.title, "threads" to threads.toString()),
        logits = engine.outputs().first(),
    )
}
