package org.lolvit

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
            val onInput = if (parameters.isComputed) computed(outputs, spec.classes) else Upsampling(outputs.maps(), placement.size).classes()
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
    }
}
