package org.lolvit

import android.graphics.Bitmap
import java.nio.FloatBuffer
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/**
 * Turns a photo into an input by the manifest's `preprocessing`: resize so that it covers the box, or
 * is stretched to it, crop at the centre, normalize.
 *
 * The result is bit-exact with Pillow 13, which models are verified with: fixed-point filter weights,
 * rounding to 8 bits between the horizontal and the vertical pass, and its order of the two.
 * (`Bitmap.createScaledBitmap` does not antialias, so its pixels differ.)
 *
 * A bitmap is read row by row, and only where the crop needs it. The memory allocated beside it is about
 * 3 bytes * its height * the input's width: 2.3 MB for 12 megapixels and an input of 256x256; less where
 * the vertical pass is first, with 3 bytes * its width * the input's height.
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
        val values = FloatArray(spec.color.channels * spec.size.height * spec.size.width)
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
        val channels = spec.color.channels
        val (step, stride) = if (layout == Layout.NHWC) channels to 1 else 1 to area
        val (mean, std) = spec.mean to spec.std
        for (channel in 0 until channels) {
            val table = FloatArray(LEVELS) { (it / 255f - mean[channel]) / std[channel] }
            for (i in 0 until area) {
                into.put(channel * stride + i * step, table[levels[CHANNELS * i + channel].toInt() and 255])
            }
        }
    }

    /**
     * Returns the resized and cropped photo: its 8-bit levels, in rows of red, green, blue; of a model of
     * grey images the three are equal.
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
        val source = Source(readable(bitmap), grey = spec.color == ColorMode.L)
        val shrunk = bitmap.height - height // the condition is Pillow's
        return if (shrunk > 0 && shrunk > 2L * (bitmap.width - width)) {
            resizeRows(mixRows(source, columns, rows), columns, rows.count)
        } else {
            resizeColumns(resizeRows(source, columns, rows), cropWidth * CHANNELS, rows)
        }
    }

    /** Returns the size to resize a photo to, given its own, before the crop. */
    internal fun resizedSize(photo: ImageSize, spec: ModelSpec): ImageSize {
        val boxHeight = floor(spec.size.height / spec.cropPct).toInt()
        val boxWidth = floor(spec.size.width / spec.cropPct).toInt()
        if (spec.resize == Resize.STRETCH) return ImageSize(boxHeight, boxWidth)
        val (height, width) = photo
        if (boxHeight == boxWidth) {
            val long = (boxHeight.toLong() * max(height, width)).toDouble() / min(height, width)
            return if (height <= width) ImageSize(boxHeight, long.toInt()) else ImageSize(long.toInt(), boxHeight)
        }
        val ratio = min(height.toDouble() / boxHeight, width.toDouble() / boxWidth)
        return ImageSize(Math.rint(height / ratio).toInt(), Math.rint(width / ratio).toInt()) // halves to even
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
}
