package org.lolvit

import kotlin.math.floor

/**
 * [logits] on a coarse grid, as `lolvit/upsampling.py`: the class of the largest at each of [size] pixels, bilinear,
 * with half-pixel centres.
 *
 * Four neighbouring logits are the corners of a cell of pixels, whose values lie between theirs: a class that
 * is below another one at all four is so in the whole cell. Most cells are left with one class, so that
 * nothing need be interpolated.
 */
internal class Upsampling(private val logits: Maps, private val size: ImageSize) {
    private val down = Linear(logits.height, size.height)
    private val across = Linear(logits.width, size.width)
    private val margin = ROUNDING * logits.largestMagnitude()
    private val cell = Cell()
    private val possible = IntArray(logits.channels) // in the cell, ascending
    private val best = FloatArray(size.width)
    private val found = ByteArray(size.height * size.width)

    /** Row by row; ties by the lower class. */
    fun classes(): ByteArray {
        var top = 0
        while (top < size.height) {
            val bottom = down.end(top)
            var left = 0
            while (left < size.width) {
                val right = across.end(left)
                cell.moveTo(top, left)
                val number = findPossible()
                for (y in top until bottom) {
                    if (number == 1) {
                        found.fill(possible[0].toByte(), y * size.width + left, y * size.width + right)
                    } else {
                        interpolate(number, y, left until right)
                    }
                }
                left = right
            }
            top = bottom
        }
        return found
    }

    /** The logits at the corners of the present cell. */
    private inner class Cell {
        private var upper = 0
        private var lower = 0
        private var left = 0
        private var right = 0

        /** To the cell of which this is the first pixel. */
        fun moveTo(y: Int, x: Int) {
            upper = down.low[y]
            lower = down.high[y]
            left = across.low[x]
            right = across.high[x]
        }

        fun upperLeft(channel: Int) = logits[channel, upper, left]
        fun upperRight(channel: Int) = logits[channel, upper, right]
        fun lowerLeft(channel: Int) = logits[channel, lower, left]
        fun lowerRight(channel: Int) = logits[channel, lower, right]
    }

    /**
     * Finds the classes that can be the largest in the cell: the one whose smallest value is the largest, and
     * those that it does not exceed by the margin at all corners. Returns how many there are.
     */
    private fun findPossible(): Int {
        var one = 0
        var most = Float.NEGATIVE_INFINITY
        for (channel in possible.indices) {
            val left = minOf(cell.upperLeft(channel), cell.lowerLeft(channel))
            val least = minOf(left, cell.upperRight(channel), cell.lowerRight(channel))
            if (least > most) {
                most = least
                one = channel
            }
        }
        var number = 0
        for (channel in possible.indices) {
            val below = cell.upperLeft(channel) < cell.upperLeft(one) - margin &&
                cell.upperRight(channel) < cell.upperRight(one) - margin &&
                cell.lowerLeft(channel) < cell.lowerLeft(one) - margin &&
                cell.lowerRight(channel) < cell.lowerRight(one) - margin
            if (!below) possible[number++] = channel
        }
        return number
    }

    private fun interpolate(number: Int, y: Int, columns: IntRange) {
        best.fill(Float.NEGATIVE_INFINITY, columns.first, columns.last + 1)
        for (turn in 0 until number) {
            val channel = possible[turn]
            val first = between(cell.upperLeft(channel), cell.lowerLeft(channel), down.share[y])
            val second = between(cell.upperRight(channel), cell.lowerRight(channel), down.share[y])
            for (x in columns) {
                val value = between(first, second, across.share[x])
                if (value > best[x]) {
                    best[x] = value
                    found[y * size.width + x] = channel.toByte()
                }
            }
        }
    }

    private fun between(first: Float, second: Float, share: Float) = first + (second - first) * share

    private companion object {
        const val ROUNDING = 1e-5f // of the largest magnitude: more than is lost in an interpolation
    }
}

/** Where each of [extent] outputs lies among [own] inputs along an axis: between two, and how far. */
private class Linear(own: Int, extent: Int) {
    val low = IntArray(extent)
    val high = IntArray(extent)
    val share = FloatArray(extent)

    init {
        val scale = own.toDouble() / extent
        for (i in 0 until extent) {
            val place = ((i + 0.5) * scale - 0.5).coerceIn(0.0, (own - 1).toDouble())
            low[i] = floor(place).toInt()
            high[i] = minOf(low[i] + 1, own - 1)
            share[i] = (place - low[i]).toFloat()
        }
    }

    /** Where outputs begin that lie between others than those from [first] on. */
    fun end(first: Int): Int {
        var end = first + 1
        while (end < low.size && low[end] == low[first]) end++
        return end
    }
}
