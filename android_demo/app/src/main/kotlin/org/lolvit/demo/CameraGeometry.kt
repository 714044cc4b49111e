package org.lolvit.demo

import android.graphics.Matrix
import android.util.Size
import android.view.Surface
import kotlin.math.max
import kotlin.math.min

/** The smallest of the [sizes] whose shorter side has [shortest] pixels, best in 4 to 3; else the largest. */
internal fun previewSize(sizes: List<Size>, shortest: Int): Size? {
    val enough = sizes.filter { min(it.width, it.height) >= shortest }
    val likeThePhotos = enough.filter { it.width * 3 == it.height * 4 }.ifEmpty { enough }
    return likeThePhotos.minByOrNull(::area) ?: sizes.maxByOrNull(::area)
}

private fun area(size: Size): Int = size.width * size.height

/** Degrees of a `Surface.ROTATION_...`. */
internal fun degrees(rotation: Int): Int = when (rotation) {
    Surface.ROTATION_90 -> 90
    Surface.ROTATION_180 -> 180
    Surface.ROTATION_270 -> 270
    else -> 0
}

/** How far a camera's picture is to be turned clockwise to stand upright, in degrees. */
internal fun uprightRotation(sensor: Int, display: Int, front: Boolean): Int =
    if (front) (sensor + display) % 360 else (sensor - display + 360) % 360

/**
 * The transform of a `TextureView` of [view] pixels that shows a preview of [buffer] pixels unstretched, upright and
 * cropped at the centre.
 *
 * By itself the view stretches the picture, upright for the device's natural orientation, over its whole area.
 *
 * @param sensor the camera's orientation, and [display] the screen's, in degrees.
 */
internal fun previewTransform(view: Size, buffer: Size, sensor: Int, display: Int): Matrix {
    val natural = if (sensor % 180 == 0) buffer else Size(buffer.height, buffer.width)
    val shown = if (display % 180 == 0) natural else Size(natural.height, natural.width)
    val cover = max(view.width.toFloat() / shown.width, view.height.toFloat() / shown.height)
    val (x, y) = view.width / 2f to view.height / 2f
    return Matrix().apply {
        setScale(cover * natural.width / view.width, cover * natural.height / view.height, x, y)
        postRotate(-display.toFloat(), x, y)
    }
}
