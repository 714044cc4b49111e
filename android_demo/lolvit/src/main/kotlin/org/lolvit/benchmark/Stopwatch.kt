package org.lolvit.benchmark

import java.util.concurrent.CancellationException

/** One inference on an input that is there already: returns when its result is. */
public fun interface Inference {
    public fun run()
}

/** The clock of all measurements, in nanoseconds. */
public fun interface Clock {
    public fun nanoseconds(): Long

    public companion object {
        public val SYSTEM: Clock = Clock(System::nanoTime)
    }
}

/** Whether whoever asked for a measurement still wants it. */
public fun interface Cancellation {
    public fun isCancelled(): Boolean

    /** @throws CancellationException if it is no longer wanted */
    public fun check() {
        if (isCancelled()) throw CancellationException("the measurement was cancelled")
    }

    public companion object {
        public val NEVER: Cancellation = Cancellation { false }
    }
}

/** Times runs. Between two runs there is one reading of the clock and no allocation. */
public class Stopwatch(private val clock: Clock = Clock.SYSTEM) {
    private var marks = LongArray(0)

    /** The nanoseconds of [count] runs, at least 1 each. */
    public fun durations(inference: Inference, count: Int): LongArray {
        if (marks.size <= count) marks = LongArray(count + 1)
        val marks = marks
        marks[0] = clock.nanoseconds()
        for (number in 1..count) {
            inference.run()
            marks[number] = clock.nanoseconds()
        }
        return LongArray(count) { (marks[it + 1] - marks[it]).coerceAtLeast(1) }
    }

    /**
     * Runs at least [runs] times and for at least [seconds]; returns the nanoseconds that a run takes,
     * by the median of the later half.
     *
     * @throws CancellationException between two runs
     */
    public fun warmUp(inference: Inference, runs: Int, seconds: Double, cancellation: Cancellation): Double {
        val times = ArrayList<Long>()
        var total = 0L
        while (times.size < runs || total < seconds * 1e9) {
            cancellation.check()
            val took = durations(inference, 1)[0]
            times.add(took)
            total += took
        }
        val later = times.subList(times.size / 2, times.size)
        return Statistics.median(DoubleArray(later.size) { later[it].toDouble() })
    }
}
