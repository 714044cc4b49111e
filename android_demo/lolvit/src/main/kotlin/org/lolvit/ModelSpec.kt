package org.lolvit

/** A height and a width in pixels, in the manifest's order. */
public data class ImageSize(val height: Int, val width: Int) {
    override fun toString(): String = "${height}x$width"
}

/** What a model predicts. */
public enum class ModelTask {
    CLASSIFICATION, DETECTION, SEGMENTATION,
    ;

    /** The task's name in the manifest. */
    public val id: String get() = name.lowercase()
}

/**
 * The order of a tensor's axes: N the batch, C channels or classes, H rows, W columns, L the points of a
 * detector.
 */
public enum class Layout { NCHW, NHWC, NC, NCL, NLC }

/**
 * One input or output of an artifact.
 *
 * @property layout the order of the axes; null if they have none of the listed meanings.
 * @property meaning of an input: `normalized` or `pixels`; of an output: `logits`, `distances`, `scores`,
 *   or `classes` of a map.
 */
public data class TensorSpec(
    val name: String,
    val shape: List<Int>,
    val dtype: String,
    val layout: Layout?,
    val meaning: String,
) {
    /** The number of elements. */
    val count: Int get() = shape.fold(1, Int::times)
}

/**
 * One file that an engine opens.
 *
 * @property outputs in the order of the model's signature.
 * @property packaged false where the app does not carry it.
 */
public data class ArtifactSpec(
    val path: String,
    val format: String,
    val precision: String,
    val sha256: String,
    val bytes: Long,
    val input: TensorSpec,
    val outputs: List<TensorSpec>,
    val packaged: Boolean,
)

/** The colour that a class is drawn in, from 0 to 255. */
public data class ClassColor(val red: Int, val green: Int, val blue: Int) {
    /** The colour as Android has it, opaque. */
    val argb: Int get() = (255 shl 24) or (red shl 16) or (green shl 8) or blue
}

/** How outputs become a prediction. */
public sealed class Postprocessing {
    /** Softmax of the logits. */
    public object Softmax : Postprocessing()

    /**
     * Boxes by distances from points: see [Detections].
     *
     * @property strides of the maps of points, in pixels of the input.
     */
    public data class Boxes(
        val strides: List<Int>,
        val scoreThreshold: Double,
        val iouThreshold: Double,
        val maxCandidates: Int,
        val maxDetections: Int,
    ) : Postprocessing()

    /**
     * Each pixel's class: see [SegmentationMap].
     *
     * @property isComputed whether the model computes the map itself, rather than logits.
     * @property ignore the value of pixels without a class.
     */
    public data class Map(val isComputed: Boolean, val ignore: Int) : Postprocessing()
}

/**
 * What an app needs of `manifest.json`. Schema versions 1 and 2 give the same.
 *
 * @property name the model's name, such as `lolvit_x`.
 * @property classes the number of classes.
 * @property labels one for each class; empty where the model has none.
 * @property colors one for each class: the manifest's, else generated ones.
 * @property trained false for random weights, whose predictions are meaningless.
 * @property weightsSource the checkpoint that the weights come from.
 * @property params the number of parameters.
 * @property macs multiply-adds of one inference.
 * @property outputs of the model's signature.
 * @property artifacts the ONNX and TFLite artifacts, packaged or not.
 */
public class ModelSpec internal constructor(
    public val name: String,
    public val task: ModelTask,
    public val preprocessing: Preprocessing,
    public val postprocessing: Postprocessing,
    public val classes: Int,
    public val labels: List<String>,
    public val colors: List<ClassColor>,
    public val trained: Boolean,
    public val weightsSource: String,
    public val params: Long,
    public val macs: Long,
    public val outputs: List<TensorSpec>,
    public val artifacts: List<ArtifactSpec>,
) {
    /** Height and width of the input, in pixels. */
    public val size: ImageSize get() = preprocessing.size

    /** The label of a class, or `class 17` where there are none. */
    public fun label(index: Int): String = labels.getOrNull(index) ?: "class $index"

    public companion object {
        /**
         * Reads the manifest of a model's folder, and its labels. It reads files: not for the main thread.
         *
         * @throws LolvitException the manifest is missing, is not valid JSON, contradicts itself, or asks
         *   for what this library does not implement.
         */
        @Throws(LolvitException::class)
        public fun load(source: ModelSource): ModelSpec = ManifestReader(source).read()
    }
}
