package org.lolvit

import kotlin.math.max
import kotlin.math.min

/** A box by its sides, in pixels; the origin is the image's top left corner. */
public data class Box(val left: Double, val top: Double, val right: Double, val bottom: Double) {
    internal val area: Double get() = max(right - left, 0.0) * max(bottom - top, 0.0)

    /** Intersection over union; 0 where the union is empty. */
    internal fun iou(other: Box): Double {
        val width = max(min(right, other.right) - max(left, other.left), 0.0)
        val height = max(min(bottom, other.bottom) - max(top, other.top), 0.0)
        val shared = width * height
        val union = area + other.area - shared
        return if (union > 0) shared / union else 0.0
    }
}

/** One object: its class, its score from 0 to 1, and its box in the photo's pixels. */
public data class Detection(val index: Int, val label: String, val score: Double, val box: Box)

/**
 * The objects in a photo, highest score first.
 *
 * Candidates are the pairs of a class and a point whose score is at least the threshold; of too many the
 * highest are kept. A candidate is dropped if its intersection over union with a better one of its class
 * is above `iouThreshold`. All arithmetic is in double precision, as Python's.
 */
public data class Detections(val objects: List<Detection>) : Prediction {
    internal companion object {
        /**
         * @param distances from each point to the left, top, right and bottom side, in units of its stride.
         * @param scores of each class at each point.
         */
        fun of(
            distances: Channels,
            scores: Channels,
            spec: ModelSpec,
            parameters: Postprocessing.Boxes,
            placement: Placement,
        ): Detections {
            val points = Points(placement.size, parameters.strides)
            val found = suppress(candidates(scores, parameters).map { it.at(distances, points) }, parameters)
            val objects = found.map { Detection(it.index, spec.label(it.index), it.score, placement.onPhoto(it.box)) }
            return Detections(objects.filter { it.box.right > it.box.left && it.box.bottom > it.box.top })
        }

        /** The candidates, highest score first; ties by the lower class, then by the lower point. */
        private fun candidates(scores: Channels, parameters: Postprocessing.Boxes): List<Candidate> {
            var keys = LongArray(INITIAL)
            var count = 0
            for (index in 0 until scores.channels) for (point in 0 until scores.places) {
                val score = scores[index, point]
                if (score.toDouble() < parameters.scoreThreshold) continue
                if (count == keys.size) keys = keys.copyOf(2 * count)
                keys[count++] = key(score, index * scores.places + point)
            }
            keys.sort(0, count)
            return List(min(count, parameters.maxCandidates)) {
                val place = keys[it].toInt()
                val (index, point) = place / scores.places to place % scores.places
                Candidate(index, point, scores[index, point].toDouble())
            }
        }

        /** Sorts by falling score, then by rising place. Bits of floats that are not negative are in their order. */
        private fun key(score: Float, place: Int): Long {
            val bits = (score + 0f).toRawBits() // no negative zero
            return ((Int.MAX_VALUE - bits).toLong() shl Int.SIZE_BITS) or place.toLong()
        }

        private fun suppress(ordered: List<Found>, parameters: Postprocessing.Boxes): List<Found> {
            val kept = ArrayList<Found>()
            for (one in ordered) {
                if (kept.size >= parameters.maxDetections) break
                val covered = kept.any { it.index == one.index && it.box.iou(one.box) > parameters.iouThreshold }
                if (!covered) kept.add(one)
            }
            return kept
        }

        private const val INITIAL = 256
    }
}

private class Candidate(val index: Int, val point: Int, val score: Double) {
    /** With its box in the input's pixels. */
    fun at(distances: Channels, points: Points): Found {
        val (x, y, stride) = points[point]
        fun length(side: Int) = max(distances[side, point].toDouble(), 0.0) * stride
        return Found(index, score, Box(x - length(0), y - length(1), x + length(2), y + length(3)))
    }
}

private class Found(val index: Int, val score: Double, val box: Box)

/** The centres of the cells of each stride's map, row by row, stride by stride. */
internal class Points(private val size: ImageSize, private val strides: List<Int>) {
    private fun rows(stride: Int) = (size.height + stride - 1) / stride

    private fun columns(stride: Int) = (size.width + stride - 1) / stride

    val count: Int get() = strides.sumOf { rows(it) * columns(it) }

    /** The point's x and y in pixels, and its stride. */
    operator fun get(point: Int): Triple<Double, Double, Int> {
        var left = point
        for (stride in strides) {
            val columns = columns(stride)
            val here = rows(stride) * columns
            if (left < here) {
                return Triple((left % columns + 0.5) * stride, (left / columns + 0.5) * stride, stride)
            }
            left -= here
        }
        throw IndexOutOfBoundsException("point $point of $count")
    }
}
