package org.lolvit.demo.benchmark

import java.io.File
import java.io.IOException
import java.nio.ByteOrder
import java.nio.FloatBuffer
import org.lolvit.Engine
import org.lolvit.LolvitException
import org.lolvit.Runtimes
import org.lolvit.benchmark.Cancellation
import org.lolvit.benchmark.Clock
import org.lolvit.benchmark.Stopwatch

/**
 * Makes one block as the harness asks for it: opens every entrant, warms each up, and goes through the
 * slots in their order, on the calling thread.
 */
internal class BlockRunner(
    private val folder: BenchFolder,
    private val request: DeviceRequest,
    private val appVersion: String,
    private val clock: Clock = Clock.SYSTEM,
) {
    private val stopwatch = Stopwatch(clock)

    /**
     * [onSlot] hears how many slots are done, after each.
     *
     * @throws LolvitException a file is not what was asked for, or the runtime refused it
     */
    fun run(requestSha256: String, onSlot: (Int) -> Unit): DeviceRecording {
        val opened = LinkedHashMap<String, OpenedEntrant>()
        try {
            for (asked in request.entrants) opened[asked.name] = open(asked)
            val seen = opened.values.associateWith(::warmedUp)
            val slots = request.slots.mapIndexed { number, slot ->
                val durations = durations(slot, opened.getValue(slot.entrant))
                onSlot(number + 1)
                slot.entrant to durations
            }
            val version = opened.values.first().engine.version
            val entrants = seen.map { (entrant, runMs) -> entrant.recorded(runMs) }
            return DeviceRecording(requestSha256, version, appVersion, cpuset(), entrants, slots)
        } finally {
            opened.values.forEach { it.engine.close() }
        }
    }

    private fun durations(slot: RequestSlot, entrant: OpenedEntrant): LongArray {
        repeat(slot.settling) { entrant.run() }
        return stopwatch.durations(entrant, slot.burst)
    }

    private fun open(asked: RequestEntrant): OpenedEntrant {
        val model = folder.content(asked.artifact)
        val values = folder.content(asked.input).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        if (asked.dtype != "float32") {
            val told = "takes ${asked.dtype}, this app gives float32 alone"
            throw LolvitException("${asked.name} $told: export it in another precision")
        }
        val start = clock.nanoseconds()
        val engine = Runtimes.open(request.runtime, asked.format, model, asked.shape, request.threads)
        val loadMs = milliseconds(clock.nanoseconds() - start)
        try {
            val entrant = OpenedEntrant(asked, engine, input(asked, engine, values), loadMs, request.threads)
            entrant.firstMs = milliseconds(stopwatch.durations(entrant, 1)[0])
            return entrant
        } catch (error: LolvitException) {
            engine.close()
            throw error
        }
    }

    private fun input(asked: RequestEntrant, engine: Engine, values: FloatBuffer): FloatBuffer {
        val input = engine.newInput()
        if (values.remaining() != input.capacity()) {
            val told = "${values.remaining()} values, its shape ${input.capacity()}"
            throw LolvitException("the input of ${asked.name} has $told")
        }
        input.put(values)
        return input
    }

    private fun warmedUp(entrant: OpenedEntrant): Double =
        stopwatch.warmUp(entrant, request.warmUpRuns, request.warmUpSeconds, Cancellation.NEVER) / 1e6

    private fun milliseconds(nanoseconds: Long) = nanoseconds.coerceAtLeast(1) / 1e6

    private fun cpuset(): String? = try {
        File("/proc/self/cpuset").readText().trim().takeIf { it.isNotEmpty() }
    } catch (error: IOException) {
        null
    }
}
