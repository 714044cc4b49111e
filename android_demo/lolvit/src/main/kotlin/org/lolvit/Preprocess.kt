package org.lolvit

import android.graphics.Bitmap
import java.nio.FloatBuffer
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/**
 * Turns a photo into an input by the manifest's `preprocessing`: resize so that it covers the box, crop
 * at the centre, normalize.
 *
 * The result is bit-exact with Pillow, which models are trained and verified with: fixed-point filter
 * weights, horizontal pass first, rounding to 8 bits between the passes. (`Bitmap.createScaledBitmap`
 * does not antialias, so its pixels differ.)
 *
 * A bitmap is read row by row, and only where the crop needs it. The memory allocated beside it is about
 * 3 bytes * its height * the input's width: 2.3 MB for 12 megapixels and an input of 256x256.
 */
public object Preprocess {
    private const val CHANNELS = 3
    private const val LEVELS = 256
    private const val LARGEST_RESIZED = 64_000_000L // pixels, as in Python

    /**
     * Returns (level / 255 - mean) / std in float32, in the order of [layout].
     *
     * @throws LolvitException the photo is so elongated that the resized one would be too large.
     */
    @Throws(LolvitException::class)
    public fun tensor(bitmap: Bitmap, spec: ModelSpec, layout: Layout): FloatArray {
        val values = FloatArray(CHANNELS * spec.size.height * spec.size.width)
        fill(bitmap, spec, layout, FloatBuffer.wrap(values))
        return values
    }

    /**
     * As [tensor], into the first elements of a buffer, such as an engine's.
     *
     * @throws LolvitException as [tensor].
     */
    @Throws(LolvitException::class)
    public fun fill(bitmap: Bitmap, spec: ModelSpec, layout: Layout, into: FloatBuffer) {
        val levels = levels(bitmap, spec)
        val area = spec.size.height * spec.size.width
        val (step, stride) = if (layout == Layout.NHWC) CHANNELS to 1 else 1 to area
        val (mean, std) = spec.mean to spec.std
        for (channel in 0 until CHANNELS) {
            val table = FloatArray(LEVELS) { (it / 255f - mean[channel]) / std[channel] }
            for (i in 0 until area) {
                into.put(channel * stride + i * step, table[levels[CHANNELS * i + channel].toInt() and 255])
            }
        }
    }

    /**
     * Returns the resized and cropped photo: its 8-bit levels, in rows of red, green, blue.
     *
     * @throws LolvitException as [tensor].
     */
    @Throws(LolvitException::class)
    public fun levels(bitmap: Bitmap, spec: ModelSpec): ByteArray {
        val (height, width) = resizedSize(ImageSize(bitmap.height, bitmap.width), spec)
        if (height.toLong() * width > LARGEST_RESIZED) {
            throw LolvitException("a photo of ${bitmap.width}x${bitmap.height} is too elongated; crop it first")
        }
        val (cropHeight, cropWidth) = spec.size
        val columns = Taps.of(bitmap.width, width, middle(width, cropWidth), cropWidth, spec.interpolation)
        val rows = Taps.of(bitmap.height, height, middle(height, cropHeight), cropHeight, spec.interpolation)
        return resizeColumns(resizeRows(bitmap, columns, rows), cropWidth * CHANNELS, rows)
    }

    /** Returns the size to resize a photo to, given its own, before the crop. */
    internal fun resizedSize(photo: ImageSize, spec: ModelSpec): ImageSize {
        val boxHeight = floor(spec.size.height / spec.cropPct).toInt()
        val boxWidth = floor(spec.size.width / spec.cropPct).toInt()
        val (height, width) = photo
        if (boxHeight == boxWidth) {
            val long = (boxHeight.toLong() * max(height, width)).toDouble() / min(height, width)
            return if (height <= width) ImageSize(boxHeight, long.toInt()) else ImageSize(long.toInt(), boxHeight)
        }
        val ratio = min(height.toDouble() / boxHeight, width.toDouble() / boxWidth)
        return ImageSize(Math.rint(height / ratio).toInt(), Math.rint(width / ratio).toInt()) // halves to even
    }

    private fun middle(extent: Int, crop: Int) = Math.rint((extent - crop) / 2.0).toInt()

    /** Resizes each row that [rows] needs: levels of (rows, [columns], 3). */
    private fun resizeRows(bitmap: Bitmap, columns: Taps, rows: Taps): ByteArray {
        val readable = readable(bitmap)
        val (left, span) = columns.first to columns.end - columns.first
        val row = IntArray(span)
        val stride = columns.count * CHANNELS
        val made = ByteArray((rows.end - rows.first) * stride)
        for (y in rows.first until rows.end) {
            readable.getPixels(row, 0, span, left, y, span, 1)
            resizeRow(row, left, columns, made, (y - rows.first) * stride)
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
}
