package org.lolvit

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/**
 * For each of some neighbouring outputs of a resize along one axis: which inputs it is a sum of, and
 * their weights, as Pillow makes them: fixed-point numbers with [BITS] bits after the point.
 */
internal class Taps private constructor(private val starts: IntArray, private val weights: Array<IntArray>) {
    val count: Int get() = starts.size

    /** The first input that any output needs. */
    val first: Int = weights.indices.filter { weights[it].isNotEmpty() }.minOfOrNull { starts[it] } ?: 0

    /** One more than the last input that any output needs. */
    val end: Int = weights.indices.filter { weights[it].isNotEmpty() }.maxOfOrNull { starts[it] + weights[it].size } ?: 0

    fun start(output: Int): Int = starts[output]

    fun weights(output: Int): IntArray = weights[output]

    companion object {
        private const val BITS = 22
        private const val HALF = 1 shl (BITS - 1)

        /** What a sum of weighted 8-bit levels starts from, so that [level] rounds it. */
        const val ROUNDING: Int = HALF

        /** The 8-bit level of a sum of weighted ones. */
        fun level(sum: Int): Int = (sum shr BITS).coerceIn(0, 255)

        /**
         * The taps of outputs [first] to [first] + [count] - 1, when [from] inputs become [to].
         *
         * Outputs beyond the image (a crop larger than it) have none, and come out black.
         */
        fun of(from: Int, to: Int, first: Int, count: Int, filter: Interpolation): Taps {
            val starts = IntArray(count)
            val weights = Array(count) { number ->
                val output = first + number
                when {
                    output !in 0 until to -> IntArray(0)
                    from == to -> intArrayOf(1 shl BITS).also { starts[number] = output } // Pillow leaves it as it is
                    else -> weigh(from, to, output, filter) { starts[number] = it }
                }
            }
            return Taps(starts, weights)
        }

        private inline fun weigh(from: Int, to: Int, output: Int, filter: Interpolation, start: (Int) -> Unit): IntArray {
            val scale = from.toDouble() / to
            val widened = max(scale, 1.0)
            val support = reach(filter) * widened
            val centre = (output + 0.5) * scale
            val first = max((centre - support + 0.5).toInt(), 0)
            val end = min((centre + support + 0.5).toInt(), from)
            start(first)
            val plain = DoubleArray(end - first) { weight(filter, (it + first - centre + 0.5) * (1.0 / widened)) }
            return fixedPoint(plain)
        }

        private fun fixedPoint(plain: DoubleArray): IntArray {
            var sum = 0.0
            for (value in plain) sum += value
            return IntArray(plain.size) {
                val scaled = (if (sum == 0.0) plain[it] else plain[it] / sum) * (1 shl BITS)
                (if (scaled < 0) scaled - 0.5 else scaled + 0.5).toInt()
            }
        }

        private fun reach(filter: Interpolation) = if (filter == Interpolation.BICUBIC) 2.0 else 1.0

        private fun weight(filter: Interpolation, distance: Double): Double {
            val x = abs(distance)
            return if (filter == Interpolation.BICUBIC) cubic(x) else max(0.0, 1.0 - x)
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
