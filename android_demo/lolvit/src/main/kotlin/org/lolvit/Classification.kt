package org.lolvit

import kotlin.math.exp

/** What a model predicts for one photo: [Classification], [Detections] or [SegmentationMap]. */
public sealed interface Prediction

/** A class and its probability. */
public data class Score(val index: Int, val label: String, val probability: Double)

/**
 * The most likely classes of a photo.
 *
 * @property top in descending order of the probability; ties by the lower class.
 */
public data class Classification(val top: List<Score>) : Prediction {
    internal companion object {
        /** Ranks classes by the softmax of the logits, one for each class. */
        fun of(logits: FloatArray, spec: ModelSpec, count: Int): Classification {
            val highest = logits.maxOf { it.toDouble() }
            val odds = DoubleArray(logits.size) { exp(logits[it] - highest) } // shifted against overflow
            val total = odds.sum()
            val best = odds.indices.sortedByDescending { odds[it] }.take(count)
            return Classification(best.map { Score(it, spec.label(it), odds[it] / total) })
        }
    }
}
