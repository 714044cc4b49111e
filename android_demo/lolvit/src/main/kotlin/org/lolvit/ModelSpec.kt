package org.lolvit

/** A height and a width in pixels, in the manifest's order. */
public data class ImageSize(val height: Int, val width: Int) {
    override fun toString(): String = "${height}x$width"
}

/** The order of an image tensor's axes: planes of channels, or channels of each pixel together. */
public enum class Layout { NCHW, NHWC }

/**
 * One input or output of an artifact.
 *
 * @property layout the order of the axes; null for a tensor that is not an image.
 * @property meaning of an input: `normalized` or `pixels`; of an output: `logits`.
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

    @Deprecated("renamed, as in the manifest", ReplaceWith("meaning"))
    val values: String get() = meaning
}

/** One file that an engine opens. [packaged] is false where the app does not carry it. */
public data class ArtifactSpec(
    val path: String,
    val format: String,
    val precision: String,
    val sha256: String,
    val bytes: Long,
    val input: TensorSpec,
    val output: TensorSpec,
    val packaged: Boolean,
)

/** The filter that a photo is resized with, as Pillow names it. */
public enum class Interpolation { BICUBIC, BILINEAR }

/** How a photo gets to the box that the input is cropped from: it covers the box, or is stretched to it. */
public enum class Resize { CROP, STRETCH }

/** The colours of the input, as Pillow names them: red, green and blue, or grey levels by ITU-R 601. */
public enum class ColorMode(internal val channels: Int) { RGB(3), L(1) }

/**
 * What an app needs of `manifest.json`, for a classification model. Schema versions 1 and 2 give the same.
 *
 * @property name the model's name, such as `lolvit_x`.
 * @property size height and width of the input, in pixels.
 * @property cropPct crop size / resized size, in (0, 2]; above 1 the photo is surrounded by black.
 * @property mean per channel (red, green, blue; or grey), of pixel values in [0, 1].
 * @property std per channel, likewise.
 * @property classes the number of classes: the length of the logits.
 * @property labels one for each class; empty where the model has none.
 * @property trained false for random weights, whose predictions are meaningless.
 * @property weightsSource the checkpoint that the weights come from.
 * @property params the number of parameters.
 * @property macs multiply-adds of one inference.
 * @property resize how a photo gets to the box that the input is cropped from.
 * @property color the colours of the input.
 * @property artifacts the ONNX and TFLite artifacts, packaged or not.
 */
public class ModelSpec internal constructor(
    public val name: String,
    public val size: ImageSize,
    public val cropPct: Double,
    public val interpolation: Interpolation,
    mean: FloatArray,
    std: FloatArray,
    public val classes: Int,
    public val labels: List<String>,
    public val trained: Boolean,
    public val artifacts: List<ArtifactSpec>,
    public val weightsSource: String = "",
    public val params: Long = 0,
    public val macs: Long = 0,
    public val resize: Resize = Resize.CROP,
    public val color: ColorMode = ColorMode.RGB,
) {
    private val means = mean.copyOf()
    private val deviations = std.copyOf()

    public val mean: FloatArray get() = means.copyOf()
    public val std: FloatArray get() = deviations.copyOf()

    /** The label of a class, or `class 17` where there are none. */
    public fun label(index: Int): String = labels.getOrNull(index) ?: "class $index"

    public companion object {
        /**
         * Reads the manifest of a model's folder, and its labels.
         *
         * @throws LolvitException the manifest is missing, is not valid JSON, or contradicts itself.
         * @throws UnsupportedModelException this library does not implement what the manifest asks for,
         *   such as another task than classification.
         */
        @Throws(LolvitException::class)
        public fun load(source: ModelSource): ModelSpec = ManifestReader(source).read()
    }
}
