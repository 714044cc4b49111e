package org.lolvit

import kotlin.math.floor

/**
 * Where a photo lies in a model's input: predictions are in the input's pixels, users see the photo's.
 *
 * Pixel centres are at half integers.
 *
 * @property photo the photo's size.
 * @property resized the size that it is resized to.
 * @property size the input's size: what it shows of the resized photo, from [top] and [left] on.
 * @property top first row of the resized photo in the input: positive where the input is a crop, negative
 *   where the photo is padded.
 * @property left first column, likewise.
 */
public data class Placement(
    val photo: ImageSize,
    val resized: ImageSize,
    val size: ImageSize,
    val top: Int = 0,
    val left: Int = 0,
) {
    /** Returns a box of the input's pixels in the photo's, clipped to it. */
    public fun onPhoto(box: Box): Box {
        val across = photo.width.toDouble() / resized.width
        val down = photo.height.toDouble() / resized.height
        return Box(
            left = ((box.left + left) * across).coerceIn(0.0, photo.width.toDouble()),
            top = ((box.top + top) * down).coerceIn(0.0, photo.height.toDouble()),
            right = ((box.right + left) * across).coerceIn(0.0, photo.width.toDouble()),
            bottom = ((box.bottom + top) * down).coerceIn(0.0, photo.height.toDouble()),
        )
    }

    /**
     * Returns a map of values of the input's pixels, row by row, for each pixel of the photo: that of the
     * input's pixel in which the photo's pixel centre lies; [outside] where there is none.
     */
    internal fun onPhoto(map: ByteArray, outside: Byte): ByteArray {
        val rows = nearest(photo.height, resized.height, top, size.height)
        val columns = nearest(photo.width, resized.width, left, size.width)
        val found = ByteArray(photo.height * photo.width)
        for (y in rows.indices) {
            val to = y * columns.size
            val from = rows[y] * size.width
            for (x in columns.indices) {
                val inside = rows[y] >= 0 && columns[x] >= 0
                found[to + x] = if (inside) map[from + columns[x]] else outside
            }
        }
        return found
    }

    /** The input's pixel for each of the photo's along an axis; -1 where there is none. */
    private fun nearest(photo: Int, resized: Int, offset: Int, size: Int): IntArray {
        val scale = resized.toDouble() / photo
        return IntArray(photo) {
            val pixel = floor((it + 0.5) * scale - offset).toInt()
            if (pixel in 0 until size) pixel else -1
        }
    }
}
