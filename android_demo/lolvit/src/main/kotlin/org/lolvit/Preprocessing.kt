package org.lolvit

import android.graphics.Bitmap
import java.nio.FloatBuffer
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/** The filter that a photo is resized with, as Pillow names it. */
public enum class Interpolation { BICUBIC, BILINEAR }

/**
 * How a photo gets to the input: it covers the box that is cropped at its centre, is stretched to that box,
 * or fits into the input, with grey around it.
 */
public enum class ResizeMode { CROP, STRETCH, LETTERBOX }

/** The colours of the input: red, green and blue, or grey levels by ITU-R 601; [id] is Pillow's name. */
public enum class ColorMode(public val id: String, internal val channels: Int) { RGB("RGB", 3), GREY("L", 1) }

/**
 * How a photo becomes an input, by the manifest: resize, crop at the centre or pad, normalize.
 *
 * The result is bit-exact with Pillow 13, which models are verified with: fixed-point filter weights,
 * rounding to 8 bits between the horizontal and the vertical pass, and its order of the two.
 * (`Bitmap.createScaledBitmap` does not antialias, so its pixels differ.)
 *
 * A bitmap is read row by row, and only where the crop needs it. The memory allocated beside it is about
 * 3 bytes * its height * the input's width: 2.3 MB for 12 megapixels and an input of 256x256; less where
 * the vertical pass is first, with 3 bytes * its width * the input's height.
 *
 * @property size height and width of the input, in pixels.
 * @property resize how a photo gets to the box that the input is cropped from.
 * @property cropPct crop size / resized size, in (0, 2]; above 1 the photo is surrounded by black.
 * @property color the colours of the input.
 */
public class Preprocessing internal constructor(
    public val size: ImageSize,
    public val resize: ResizeMode,
    public val cropPct: Double,
    public val interpolation: Interpolation,
    mean: FloatArray,
    std: FloatArray,
    public val color: ColorMode,
) {
    private val means = mean.copyOf()
    private val deviations = std.copyOf()

    /** One for each channel, of pixel values in [0, 1]. */
    public val mean: FloatArray get() = means.copyOf()

    /** One for each channel, likewise. */
    public val std: FloatArray get() = deviations.copyOf()

    /** Where a photo of this size lies in the input. */
    public fun placement(photo: ImageSize): Placement {
        if (resize == ResizeMode.LETTERBOX) {
            val ratio = min(size.height.toDouble() / photo.height, size.width.toDouble() / photo.width)
            val height = max(1, Math.rint(photo.height * ratio).toInt()) // halves to even
            val width = max(1, Math.rint(photo.width * ratio).toInt())
            return Placement(photo, ImageSize(height, width), size, -((size.height - height) / 2), -((size.width - width) / 2))
        }
        val resized = resizedSize(photo)
        return Placement(photo, resized, size, middle(resized.height, size.height), middle(resized.width, size.width))
    }

    /** The size that a photo is resized to, before the crop. */
    private fun resizedSize(photo: ImageSize): ImageSize {
        val boxHeight = floor(size.height / cropPct).toInt()
        val boxWidth = floor(size.width / cropPct).toInt()
        if (resize == ResizeMode.STRETCH) return ImageSize(boxHeight, boxWidth)
        val (height, width) = photo
        if (boxHeight == boxWidth) {
            val long = (boxHeight.toLong() * max(height, width)).toDouble() / min(height, width)
            return if (height <= width) ImageSize(boxHeight, long.toInt()) else ImageSize(long.toInt(), boxHeight)
        }
        val ratio = min(height.toDouble() / boxHeight, width.toDouble() / boxWidth)
        return ImageSize(Math.rint(height / ratio).toInt(), Math.rint(width / ratio).toInt())
    }

    /**
     * Returns (level / 255 - mean) / std in float32, in the order of [layout], NCHW or NHWC.
     *
     * @throws LolvitException the photo is so elongated that the resized one would be too large.
     */
    @Throws(LolvitException::class)
    public fun tensor(photo: Bitmap, layout: Layout): FloatArray {
        val values = FloatArray(color.channels * size.height * size.width)
        fill(photo, layout, FloatBuffer.wrap(values))
        return values
    }

    /**
     * As [tensor], into the first elements of a buffer, such as an engine's.
     *
     * @throws LolvitException as [tensor].
     */
    @Throws(LolvitException::class)
    public fun fill(photo: Bitmap, layout: Layout, into: FloatBuffer): Unit = normalize(levels(photo), layout, into)

    /** Writes the input of [levels], whose rows are of red, green, blue. */
    internal fun normalize(levels: ByteArray, layout: Layout, into: FloatBuffer) {
        val area = size.height * size.width
        val channels = color.channels
        val (step, stride) = if (layout == Layout.NHWC) channels to 1 else 1 to area
        for (channel in 0 until channels) {
            val table = FloatArray(LEVELS) { (it / 255f - means[channel]) / deviations[channel] }
            for (i in 0 until area) {
                into.put(channel * stride + i * step, table[levels[CHANNELS * i + channel].toInt() and 255])
            }
        }
    }

    /**
     * Returns the resized photo, cropped or padded: its 8-bit levels, in rows of red, green, blue; of a model
     * of grey images the three are equal.
     *
     * @throws LolvitException as [tensor].
     */
    @Throws(LolvitException::class)
    public fun levels(photo: Bitmap): ByteArray {
        val place = placement(ImageSize(photo.height, photo.width))
        val (height, width) = place.resized
        if (height.toLong() * width > LARGEST_RESIZED) {
            throw LolvitException(LolvitException.Code.PHOTO_TOO_ELONGATED, "width" to photo.width, "height" to photo.height)
        }
        val columns = Taps.of(photo.width, width, place.left, size.width, interpolation)
        val rows = Taps.of(photo.height, height, place.top, size.height, interpolation)
        val source = Source(readable(photo), grey = color == ColorMode.GREY)
        val shrunk = photo.height - height // the condition is Pillow's
        val levels = if (shrunk > 0 && shrunk > 2L * (photo.width - width)) {
            resizeRows(mixRows(source, columns, rows), columns, rows.count)
        } else {
            resizeColumns(resizeRows(source, columns, rows), size.width * CHANNELS, rows)
        }
        if (resize == ResizeMode.LETTERBOX) pad(levels, place)
        return levels
    }

    /** Paints what is beside the photo. */
    private fun pad(levels: ByteArray, place: Placement) {
        val stride = size.width * CHANNELS
        val (first, end) = -place.left * CHANNELS to (place.resized.width - place.left) * CHANNELS
        for (y in 0 until size.height) {
            val row = y * stride
            if (y + place.top in 0 until place.resized.height) {
                levels.fill(PADDING, row, row + first)
                levels.fill(PADDING, row + end, row + stride)
            } else {
                levels.fill(PADDING, row, row + stride)
            }
        }
    }

    /** Where a crop begins; before the image, if that is smaller than the crop. */
    private fun middle(extent: Int, crop: Int) =
        if (extent >= crop) Math.rint((extent - crop) / 2.0).toInt() else -((crop - extent) / 2)

    /** The pixels of a bitmap, as grey levels if asked for. */
    private class Source(val bitmap: Bitmap, val grey: Boolean) {
        fun read(row: IntArray, left: Int, y: Int, span: Int) {
            bitmap.getPixels(row, 0, span, left, y, span, 1)
            if (grey) for (x in 0 until span) row[x] = level(row[x]) * 0x010101
        }

        /** The grey level by ITU-R 601, as Pillow rounds it. */
        private fun level(pixel: Int) =
            (pixel shr 16 and 255) * 19595 + (pixel shr 8 and 255) * 38470 + (pixel and 255) * 7471 + 0x8000 shr 16
    }

    /** Resizes each row that [rows] needs: levels of (rows, [columns], 3). */
    private fun resizeRows(source: Source, columns: Taps, rows: Taps): ByteArray {
        val (left, span) = columns.first to columns.end - columns.first
        val row = IntArray(span)
        val stride = columns.count * CHANNELS
        val made = ByteArray((rows.end - rows.first) * stride)
        for (y in rows.first until rows.end) {
            source.read(row, left, y, span)
            resizeRow(row, left, columns, made, (y - rows.first) * stride)
        }
        return made
    }

    /** The vertical pass before the other: levels of ([rows], the pixels that [columns] need, 3). */
    private fun mixRows(source: Source, columns: Taps, rows: Taps): ByteArray {
        val span = columns.end - columns.first
        val row = IntArray(span)
        val sums = IntArray(span * CHANNELS)
        val made = ByteArray(rows.count * sums.size)
        for (y in 0 until rows.count) {
            sums.fill(Taps.ROUNDING)
            rows[y].weights.forEachIndexed { i, weight ->
                source.read(row, columns.first, rows[y].start + i, span)
                for (x in 0 until span) {
                    sums[CHANNELS * x] += (row[x] shr 16 and 255) * weight
                    sums[CHANNELS * x + 1] += (row[x] shr 8 and 255) * weight
                    sums[CHANNELS * x + 2] += (row[x] and 255) * weight
                }
            }
            for (i in sums.indices) made[y * sums.size + i] = Taps.level(sums[i])
        }
        return made
    }

    /** The horizontal pass over [count] rows of [mixRows]: levels of ([count], [columns], 3). */
    private fun resizeRows(mixed: ByteArray, columns: Taps, count: Int): ByteArray {
        val stride = (columns.end - columns.first) * CHANNELS
        val made = ByteArray(count * columns.count * CHANNELS)
        var to = 0
        for (y in 0 until count) for (x in 0 until columns.count) {
            val weights = columns[x].weights
            val from = y * stride + (columns[x].start - columns.first) * CHANNELS
            for (channel in 0 until CHANNELS) {
                var sum = Taps.ROUNDING
                for (i in weights.indices) sum += (mixed[from + i * CHANNELS + channel].toInt() and 255) * weights[i]
                made[to++] = Taps.level(sum)
            }
        }
        return made
    }

    private fun resizeRow(row: IntArray, left: Int, columns: Taps, into: ByteArray, offset: Int) {
        var to = offset
        for (x in 0 until columns.count) {
            val weights = columns[x].weights
            val from = columns[x].start - left
            var red = Taps.ROUNDING
            var green = Taps.ROUNDING
            var blue = Taps.ROUNDING
            for (i in weights.indices) {
                val pixel = row[from + i]
                red += (pixel shr 16 and 255) * weights[i]
                green += (pixel shr 8 and 255) * weights[i]
                blue += (pixel and 255) * weights[i]
            }
            into[to++] = Taps.level(red)
            into[to++] = Taps.level(green)
            into[to++] = Taps.level(blue)
        }
    }

    private fun resizeColumns(resized: ByteArray, stride: Int, rows: Taps): ByteArray {
        val made = ByteArray(rows.count * stride)
        for (y in 0 until rows.count) {
            val weights = rows[y].weights
            val from = (rows[y].start - rows.first) * stride
            for (x in 0 until stride) {
                var sum = Taps.ROUNDING
                for (i in weights.indices) sum += (resized[from + i * stride + x].toInt() and 255) * weights[i]
                made[y * stride + x] = Taps.level(sum)
            }
        }
        return made
    }

    /** A bitmap in the GPU's memory has to be copied before its pixels can be read. */
    private fun readable(bitmap: Bitmap): Bitmap =
        if (bitmap.config == Bitmap.Config.HARDWARE) bitmap.copy(Bitmap.Config.ARGB_8888, false) else bitmap

    private companion object {
        const val CHANNELS = 3
        const val LEVELS = 256
        const val PADDING: Byte = 128.toByte()
        const val LARGEST_RESIZED = 64_000_000L // pixels, as in Python
    }
}
