package org.lolvit

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/** The filter of one output of a resize: the first input pixel, and the [weights] from there on. */
internal class Tap(val start: Int, val weights: IntArray)

/**
 * The taps of consecutive outputs of a resize along one axis, computed as in Pillow: the weights are
 * fixed-point numbers with [BITS] fractional bits.
 */
internal class Taps private constructor(private val taps: List<Tap>) {
    val count: Int get() = taps.size

    /** The first input that any output needs. */
    val first: Int = taps.filter { it.weights.isNotEmpty() }.minOfOrNull { it.start } ?: 0

    /** One more than the last input that any output needs. */
    val end: Int = taps.filter { it.weights.isNotEmpty() }.maxOfOrNull { it.start + it.weights.size } ?: 0

    operator fun get(output: Int): Tap = taps[output]

    companion object {
        private const val BITS = 22
        private const val ONE = 1 shl BITS

        /** The initial value of a sum of weighted 8-bit levels, so that [level] rounds it. */
        const val ROUNDING: Int = ONE / 2

        /** The 8-bit level of a sum of weighted ones. */
        fun level(sum: Int): Byte = (sum shr BITS).coerceIn(0, 255).toByte()

        /**
         * The taps of outputs [first] to [first] + [count] - 1, when [from] inputs become [to].
         *
         * Outputs beyond the image (a crop larger than it) have none, and come out black.
         */
        fun of(from: Int, to: Int, first: Int, count: Int, filter: Interpolation): Taps =
            Taps(List(count) { number -> tap(from, to, first + number, filter) })

        private fun tap(from: Int, to: Int, output: Int, filter: Interpolation): Tap = when {
            output !in 0 until to -> Tap(0, IntArray(0))
            from == to -> Tap(output, intArrayOf(ONE)) // Pillow leaves such an axis as it is
            else -> weigh(from.toDouble() / to, from, output, filter)
        }

        private fun weigh(scale: Double, from: Int, output: Int, filter: Interpolation): Tap {
            val widened = max(scale, 1.0)
            val support = filter.support * widened
            val centre = (output + 0.5) * scale
            val start = max((centre - support + 0.5).toInt(), 0)
            val end = min((centre + support + 0.5).toInt(), from)
            val weights = DoubleArray(end - start) { filter.weight((it + start - centre + 0.5) * (1.0 / widened)) }
            return Tap(start, fixedPoint(weights))
        }

        private fun fixedPoint(weights: DoubleArray): IntArray {
            var sum = 0.0
            for (weight in weights) sum += weight
            return IntArray(weights.size) {
                val scaled = (if (sum == 0.0) weights[it] else weights[it] / sum) * ONE
                (if (scaled < 0) scaled - 0.5 else scaled + 0.5).toInt()
            }
        }

        private val Interpolation.support get() = if (this == Interpolation.BICUBIC) 2.0 else 1.0

        private fun Interpolation.weight(distance: Double): Double {
            val x = abs(distance)
            return if (this == Interpolation.BICUBIC) cubic(x) else max(0.0, 1.0 - x)
        }

        /** Keys' cubic convolution with a = -0.5. */
        private fun cubic(x: Double): Double {
            val a = -0.5
            return when {
                x < 1.0 -> ((a + 2.0) * x - (a + 3.0)) * x * x + 1
                x < 2.0 -> (((x - 5) * x + 8) * x - 4) * a
                else -> 0.0
            }
        }
    }
}
