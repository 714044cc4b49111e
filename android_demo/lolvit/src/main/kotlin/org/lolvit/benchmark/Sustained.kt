package org.lolvit.benchmark

import java.util.concurrent.CancellationException

/**
 * The latency of a model run back to back: the median of each time interval, by the second at which the
 * interval began. Burst and plateau are the medians of the first tenth and of the last three tenths.
 */
public class Curve(
    public val seconds: Double,
    public val atSeconds: DoubleArray,
    public val medianMs: DoubleArray,
    public val burstMs: Double,
    public val plateauMs: Double,
) {
    public companion object {
        /** The maximum number of points of a curve, not counting an incomplete last one. */
        public const val POINTS: Int = 60
        private const val SHORTEST_POINT_SECONDS = 0.25
        private const val BURST_SHARE = 0.1
        private const val PLATEAU_SHARE = 0.3

        /**
         * The curve of runs that began at these seconds and took these milliseconds.
         *
         * @throws IllegalArgumentException if there are no runs, or other numbers of starts and durations
         */
        public fun of(startSeconds: DoubleArray, durationMs: DoubleArray): Curve {
            require(startSeconds.isNotEmpty() && startSeconds.size == durationMs.size) {
                "${startSeconds.size} starts and ${durationMs.size} durations"
            }
            val seconds = startSeconds.last() + durationMs.last() / 1e3
            val step = maxOf(SHORTEST_POINT_SECONDS, seconds / POINTS)
            val stretches = startSeconds.indices.groupBy { (startSeconds[it] / step).toInt() }
            fun median(places: List<Int>) = Statistics.median(DoubleArray(places.size) { durationMs[places[it]] })
            val burst = startSeconds.indices.filter { startSeconds[it] < BURST_SHARE * seconds }
            val plateau = startSeconds.indices.filter { startSeconds[it] >= (1 - PLATEAU_SHARE) * seconds }
            return Curve(
                seconds = seconds,
                atSeconds = stretches.keys.map { it * step }.toDoubleArray(),
                medianMs = stretches.values.map { median(it) }.toDoubleArray(),
                burstMs = median(burst),
                plateauMs = if (plateau.isEmpty()) durationMs.last() else median(plateau),
            )
        }
    }
}

/** Runs one model without a pause, after a rest. */
public class SustainedRun(
    private val clock: Clock = Clock.SYSTEM,
    private val rest: (Double) -> Unit = { Thread.sleep((it * 1e3).toLong()) },
) {
    /**
     * Rests, runs for [seconds], and returns the curve. [progress] gets the completed share, 0 to 1.
     *
     * @throws CancellationException between two runs
     */
    public fun curve(
        inference: Inference,
        seconds: Double,
        cancellation: Cancellation = Cancellation.NEVER,
        progress: (Double) -> Unit = {},
    ): Curve {
        rest(minOf(REST_SECONDS, seconds))
        val marks = Marks()
        marks.add(clock.nanoseconds())
        val length = (seconds * 1e9).toLong()
        var reported = 0
        while (marks.last - marks[0] < length || marks.size < 2) {
            cancellation.check()
            inference.run()
            marks.add(clock.nanoseconds())
            val hundredths = ((marks.last - marks[0]) * 100 / length).toInt()
            if (hundredths > reported) {
                reported = hundredths
                progress(minOf(1.0, hundredths / 100.0))
            }
        }
        return marks.curve()
    }

    /** Readings of the clock that grow without boxing. */
    private class Marks {
        private var values = LongArray(1 shl 14)
        var size = 0
            private set
        val last: Long get() = values[size - 1]

        operator fun get(place: Int): Long = values[place]

        fun add(value: Long) {
            if (size == values.size) values = values.copyOf(2 * size)
            values[size++] = value
        }

        fun curve(): Curve = Curve.of(
            DoubleArray(size - 1) { (values[it] - values[0]) / 1e9 },
            DoubleArray(size - 1) { (values[it + 1] - values[it]) / 1e6 },
        )
    }

    private companion object {
        private const val REST_SECONDS = 5.0
    }
}
