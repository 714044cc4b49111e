package org.lolvit

import kotlin.math.floor

/** A class and the share of the photo's pixels that it has, from 0 to 1. */
public data class ClassShare(val index: Int, val label: String, val share: Double)

/**
 * Each pixel's class.
 *
 * Logits are upsampled to the input's size, bilinear with half-pixel centres; each pixel has the class of
 * the largest, ties by the lower class, unless the model does that itself; the photo's pixels take the class
 * of the input's pixel in which their centre lies.
 *
 * @property size the photo's size.
 * @property classes row by row; read as `classes[i].toInt() and 255`.
 * @property ignore the value of pixels that the model did not see.
 * @property shares of the classes that occur, largest first.
 */
public class SegmentationMap(
    public val size: ImageSize,
    public val classes: ByteArray,
    public val ignore: Int,
    public val shares: List<ClassShare>,
) : Prediction {
    internal companion object {
        fun of(outputs: Outputs, spec: ModelSpec, parameters: Postprocessing.Map, placement: Placement): SegmentationMap {
            val onInput = if (parameters.isComputed) computed(outputs, spec.classes) else classes(outputs.maps(), placement.size)
            val onPhoto = placement.onPhoto(onInput, parameters.ignore.toByte())
            return SegmentationMap(placement.photo, onPhoto, parameters.ignore, shares(onPhoto, spec, parameters.ignore))
        }

        /** The map that a model computed, of [count] classes. */
        private fun computed(outputs: Outputs, count: Int): ByteArray {
            val map = outputs.only()
            val other = map.find { it < 0 || it >= count } ?: return ByteArray(map.size) { map[it].toInt().toByte() }
            throw LolvitException(
                LolvitException.Code.OUTPUT_MISMATCH, "output" to outputs.name(),
                "found" to "class ${other.toInt()}", "expected" to "$count classes",
            )
        }

        private fun shares(map: ByteArray, spec: ModelSpec, ignore: Int): List<ClassShare> {
            val counts = IntArray(256)
            for (value in map) counts[value.toInt() and 255]++
            return counts.indices.filter { counts[it] > 0 && it != ignore }
                .sortedByDescending { counts[it] }
                .map { ClassShare(it, spec.label(it), counts[it].toDouble() / map.size) }
        }

        /** The classes of [size] pixels, row by row. */
        fun classes(logits: Maps, size: ImageSize): ByteArray {
            val down = Linear(logits.height, size.height)
            val across = Linear(logits.width, size.width)
            val row = FloatArray(logits.channels * logits.width)
            val found = ByteArray(size.height * size.width)
            for (y in 0 until size.height) {
                for (channel in 0 until logits.channels) for (x in 0 until logits.width) {
                    val first = logits[channel, down.low[y], x]
                    val second = logits[channel, down.high[y], x]
                    row[channel * logits.width + x] = first + (second - first) * down.share[y]
                }
                for (x in 0 until size.width) {
                    found[y * size.width + x] = largest(row, logits, across.low[x], across.high[x], across.share[x])
                }
            }
            return found
        }

        private fun largest(row: FloatArray, logits: Maps, low: Int, high: Int, share: Float): Byte {
            var best = 0
            var most = Float.NEGATIVE_INFINITY
            for (channel in 0 until logits.channels) {
                val first = row[channel * logits.width + low]
                val value = first + (row[channel * logits.width + high] - first) * share
                if (value > most) {
                    most = value
                    best = channel
                }
            }
            return best.toByte()
        }
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
}
