package org.lolvit.benchmark

import java.util.concurrent.CancellationException
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

private const val MILLISECOND = 1_000_000L

/** Models that take made-up times on a made-up clock. */
class InterleavedTest {
    private var now = 0L
    private val runs = ArrayList<Int>()
    private val clock = Clock { now }
    private val profile = Profile("quick", blocks = 2, rounds = 2, burst = 3, seconds = 60.0, warmUpRuns = 4, warmUpSeconds = 0.0)

    private fun model(place: Int, milliseconds: Long) = Inference {
        runs.add(place)
        now += milliseconds * MILLISECOND
    }

    private val opened = ArrayList<Int>() // numbers of blocks
    private var closed = 0

    private fun open(vararg models: Inference): (Int) -> OpenModels = { block ->
        opened.add(block)
        object : OpenModels {
            override val models = models.toList()

            override fun close() {
                closed++
            }
        }
    }

    private class Silent(val onBlock: () -> Unit = {}, val onRound: (Int) -> Unit = {}) : Listener {
        override fun progress(done: Int, planned: Int) = onRound(done)

        override fun betweenBlocks() = onBlock()
    }

    @Test fun `models take turns there and back, and the first one rotates`() {
        val recording = Recording()
        Interleaved(profile, clock).measure(open(model(0, 30), model(1, 60)), recording, Silent())
        assertEquals(listOf(0, 1, 1, 0), recording.rounds[0].slots.map { it.model })
        assertEquals(listOf(1, 0, 0, 1), recording.rounds[1].slots.map { it.model })
        assertEquals(listOf(0, 0, 1, 1), recording.rounds.map { it.block })
        assertTrue(recording.complete)
    }

    @Test fun `warm-up runs of a slot are made and not recorded`() {
        val recording = Recording()
        Interleaved(profile, clock).measure(open(model(0, 15), model(1, 30)), recording, Silent())
        val each = 2 * 2 * 2 * 3 // blocks, rounds, slots, burst
        val samples = recording.samples(0)
        assertArrayEquals(DoubleArray(each) { 15.0 }, samples.milliseconds, 0.0)
        assertEquals(2 * 4 + each + 8 * 2, runs.count { it == 0 }) // 25 ms of warm-up take two runs of 15 ms
        assertEquals(2 * 4 + each + 8 * 1, runs.count { it == 1 })
        assertEquals(listOf(0, 1, 2, 9, 10, 11), samples.order.take(6).toList())
        assertEquals(listOf(0, 1, 2, 3), samples.round.distinct().toList())
    }

    @Test fun `models are opened for each block and closed after it, also after a cancellation`() {
        Interleaved(profile, clock).measure(open(model(0, 30), model(1, 60)), Recording(), Silent())
        assertEquals(listOf(0, 1), opened)
        assertEquals(2, closed)
        assertThrows(CancellationException::class.java) {
            Interleaved(profile, clock).measure(open(model(0, 30)), Recording(), Silent(), { true })
        }
        assertEquals(3, closed)
    }

    @Test fun `the phone is read before each block and after the last`() {
        var calls = 0
        Interleaved(profile, clock).measure(open(model(0, 30), model(1, 60)), Recording(), Silent(onBlock = { calls++ }))
        assertEquals(3, calls)
    }

    @Test fun `cancelled, whole rounds are left`() {
        val recording = Recording()
        var stop = false
        val interleaved = Interleaved(profile, clock)
        assertThrows(CancellationException::class.java) {
            interleaved.measure(open(model(0, 30), model(1, 60)), recording, Silent(onRound = { stop = it == 3 }), { stop })
        }
        assertEquals(3, recording.rounds.size)
        assertFalse(recording.complete)
        assertEquals(recording.samples(0).milliseconds.size, recording.samples(1).milliseconds.size)
    }

    @Test fun `a slow model gets fewer runs`() {
        val recording = Recording()
        Interleaved(profile.copy(seconds = 10.0), clock).measure(open(model(0, 3000), model(1, 500)), recording, Silent())
        assertEquals(1, recording.plan?.burst)
        assertEquals(2, recording.rounds.size)
    }

    @Test fun `a run that the clock does not see takes a nanosecond, never none`() {
        assertArrayEquals(longArrayOf(1, 1), Stopwatch(clock).durations({ }, 2))
    }

    @Test fun `a model that slows down shows burst and plateau`() {
        var made = 0
        val throttling = Inference { now += (if (made++ < 500) 10 else 20) * MILLISECOND }
        val curve = SustainedRun(clock, rest = {}).curve(throttling, 15.0)
        assertEquals(10.0, curve.burstMs, 1e-9)
        assertEquals(20.0, curve.plateauMs, 1e-9)
        assertEquals(15.0, curve.seconds, 0.02)
        assertTrue(curve.medianMs.size <= Curve.POINTS + 1)
    }

    @Test fun `an hour of readings is kept and cancelled between two runs`() {
        var shares = 0
        val sustained = SustainedRun(clock, rest = {})
        val curve = sustained.curve(model(0, 60), 3600.0, progress = { shares++ })
        assertEquals(60.0, curve.plateauMs, 0.0)
        assertEquals(100, shares)
        assertThrows(CancellationException::class.java) { sustained.curve(model(0, 60), 1.0, { true }) }
    }

    @Test fun `rounds of unequal sizes, and of an odd number of runs, have no ratio`() {
        fun error(rounds: IntArray) = assertThrows(IllegalArgumentException::class.java) {
            RoundRatios.logRatios(doubleArrayOf(1.0, 2.0, 3.0), doubleArrayOf(1.0, 2.0, 3.0), rounds)
        }.message
        assertEquals("rounds of unequal sizes", error(intArrayOf(0, 0, 1)))
        assertEquals("3 samples of a round are no two slots", error(intArrayOf(0, 0, 0)))
    }

    @Test fun `one round has no interval`() {
        val error = assertThrows(IllegalArgumentException::class.java) { RoundRatios.ratio(doubleArrayOf(0.1), intArrayOf(0)) }
        assertEquals("1 rounds with 1 block numbers", error.message)
    }

    @Test fun `outputs that change by more than rounding are found`() {
        val before = floatArrayOf(1f, -2f, 3f)
        assertEquals(null, Outputs.change(before, before.copyOf()))
        assertEquals(null, Outputs.change(before, floatArrayOf(1.00001f, -2f, 3f)))
        assertEquals("they agree by 31 dB, less than 60 dB", Outputs.change(before, floatArrayOf(1.1f, -2f, 3f)))
        assertEquals("2 values, not 3", Outputs.change(before, floatArrayOf(1f, -2f)))
        assertTrue(Outputs.change(before, floatArrayOf(1f, Float.NaN, 3f)).orEmpty().startsWith("they agree by -"))
    }
}
