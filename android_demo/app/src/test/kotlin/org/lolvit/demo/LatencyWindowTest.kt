package org.lolvit.demo

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test

class LatencyWindowTest {
    @Test fun `the warm-up is shown and not counted`() {
        val window = LatencyWindow(5)
        val warmUp = window.add(90.0)
        assertEquals(90.0, warmUp.now, 0.0)
        assertEquals(0, warmUp.runs)
        assertNull(warmUp.median)
        assertEquals(Latency(2.0, 2.0, 2.0, 1), window.add(2.0))
    }

    @Test fun `median of an even number is the mean of the middle two`() {
        assertEquals(2.5, fill(4.0, 1.0, 2.0, 3.0).median ?: 0.0, 0.0)
    }

    @Test fun `p90 is the smallest value that nine tenths do not exceed`() {
        val ten = fill(*DoubleArray(10) { it + 1.0 })
        assertEquals(9.0, ten.p90 ?: 0.0, 0.0)
        val eleven = fill(*DoubleArray(11) { it + 1.0 })
        assertEquals(10.0, eleven.p90 ?: 0.0, 0.0)
    }

    @Test fun `the oldest are dropped beyond the capacity`() {
        val latest = fill(100.0, 100.0, 1.0, 2.0, 3.0, capacity = 3)
        assertEquals(Latency(3.0, 2.0, 3.0, 3), latest)
    }

    @Test fun `after clear the next one is a warm-up again`() {
        val window = LatencyWindow(3)
        repeat(3) { window.add(1.0) }
        window.clear()
        assertEquals(0, window.add(50.0).runs)
        assertEquals(1, window.add(1.0).runs)
    }

    private fun fill(vararg times: Double, capacity: Int = 60): Latency {
        val window = LatencyWindow(capacity)
        window.add(1000.0)
        return times.map(window::add).last()
    }
}
