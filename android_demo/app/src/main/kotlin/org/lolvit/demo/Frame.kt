package org.lolvit.demo

import android.graphics.Bitmap
import android.media.Image
import java.nio.ByteBuffer

/** One picture of the camera. */
internal interface Frame : AutoCloseable {
    /** The picture, upright; it may be the bitmap of the frame before, written over. */
    fun bitmap(): Bitmap
}

/** One plane of an image: levels from 0 to 255, [rowStride] bytes from row to row, [pixelStride] from pixel to pixel. */
internal class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/** Turns pictures of one size and format, `YUV_420_888`, into one bitmap that is used again and again. */
internal class FrameReader(private val width: Int, private val height: Int, private val rotation: Int) {
    private val turned = rotation % 180 != 0
    private val pixels = IntArray(width * height)

    /** The last picture. */
    val bitmap: Bitmap =
        Bitmap.createBitmap(if (turned) height else width, if (turned) width else height, Bitmap.Config.ARGB_8888)

    fun read(image: Image): Bitmap = read(image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) })

    fun read(planes: List<Plane>): Bitmap {
        uprightPixels(planes, width, height, rotation, pixels)
        bitmap.setPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        return bitmap
    }
}

/**
 * Converts Y, Cb and Cr, the latter two at half the resolution, to opaque ARGB, turned clockwise by [rotation].
 *
 * Camera2 gives JFIF's range: all three from 0 to 255, with the weights of ITU-R BT.601. They are in 16-bit fixed
 * point here.
 */
internal fun uprightPixels(planes: List<Plane>, width: Int, height: Int, rotation: Int, into: IntArray) {
    val (luma, blue, red) = planes
    val step = Turn.of(rotation, width, height)
    for (y in 0 until height) {
        var target = step.start + y * step.perRow
        for (x in 0 until width) {
            val level = luma.at(x, y) shl 16
            val cb = blue.at(x / 2, y / 2) - 128
            val cr = red.at(x / 2, y / 2) - 128
            into[target] = argb(level + 91881 * cr, level - 22554 * cb - 46802 * cr, level + 116130 * cb)
            target += step.perPixel
        }
    }
}

private fun Plane.at(x: Int, y: Int): Int = bytes.get(y * rowStride + x * pixelStride).toInt() and 255

private fun argb(red: Int, green: Int, blue: Int): Int =
    (255 shl 24) or (level(red) shl 16) or (level(green) shl 8) or level(blue)

private fun level(fixed: Int): Int = ((fixed + (1 shl 15)) shr 16).coerceIn(0, 255)

/** Where the pixels of a picture go when it is turned: the first one, and the way to the next pixel and row. */
private class Turn(val start: Int, val perPixel: Int, val perRow: Int) {
    companion object {
        fun of(rotation: Int, width: Int, height: Int): Turn = when (rotation) {
            90 -> Turn(height - 1, height, -1)
            180 -> Turn(width * height - 1, -1, -width)
            270 -> Turn((width - 1) * height, -height, 1)
            else -> Turn(0, 1, width)
        }
    }
}
