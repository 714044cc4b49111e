package org.lolvit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.util.Size
import android.util.TypedValue
import android.view.View
import kotlin.math.max
import kotlin.math.min
import org.lolvit.Detection
import org.lolvit.Detections
import org.lolvit.ImageSize
import org.lolvit.ModelSpec
import org.lolvit.Prediction
import org.lolvit.SegmentationMap

/** A prediction and the size of the photo that it is of, in pixels. */
internal class Drawn(val prediction: Prediction, val photo: ImageSize, val spec: ModelSpec)

/**
 * Boxes with labels, or a map of classes in translucent colours, over a photo or a camera's preview.
 *
 * It lies over the view that shows the picture, and is of its size.
 */
internal class PredictionOverlay(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val line = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        style = Paint.Style.STROKE
        strokeWidth = pixels(TypedValue.COMPLEX_UNIT_DIP, LINE_DP)
    }
    private val ground = Paint(Paint.ANTI_ALIAS_FLAG)
    private val letters = Paint(Paint.ANTI_ALIAS_FLAG).apply { textSize = pixels(TypedValue.COMPLEX_UNIT_SP, TEXT_SP) }
    private val space = pixels(TypedValue.COMPLEX_UNIT_DIP, SPACE_DP)
    private val translucent = Paint().apply {
        alpha = OPACITY
        isFilterBitmap = false // each pixel has one class, and none in between
    }
    private var drawn: Drawn? = null
    private var mask: Bitmap? = null
    private var live = false
    private var mirrored = false

    /**
     * Shows a prediction, or nothing.
     *
     * @param live whether the picture is a camera's preview, which covers the view, rather than a photo, which
     *   fits into it.
     * @param mirrored whether the preview is mirrored; predictions never are.
     */
    fun show(drawn: Drawn?, live: Boolean, mirrored: Boolean) {
        if (drawn?.prediction !== this.drawn?.prediction) {
            mask = drawn?.let { each -> (each.prediction as? SegmentationMap)?.let { maskOf(it, each.spec) } }
        }
        this.drawn = drawn
        this.live = live
        this.mirrored = mirrored
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val drawn = drawn ?: return
        val place = photoTransform(drawn.photo, Size(width, height), live, mirrored)
        mask?.let { drawMask(canvas, it, drawn.photo, place) }
        val objects = (drawn.prediction as? Detections)?.objects.orEmpty()
        for (one in objects.asReversed()) drawBox(canvas, one, drawn.spec, place) // those of higher scores on top
    }

    private fun drawMask(canvas: Canvas, mask: Bitmap, photo: ImageSize, place: Matrix) {
        val onPhoto = Matrix().apply {
            setScale(photo.width.toFloat() / mask.width, photo.height.toFloat() / mask.height)
            postConcat(place)
        }
        canvas.drawBitmap(mask, onPhoto, translucent)
    }

    private fun drawBox(canvas: Canvas, one: Detection, spec: ModelSpec, place: Matrix) {
        val (left, top, right, bottom) = one.box
        val box = RectF(left.toFloat(), top.toFloat(), right.toFloat(), bottom.toFloat())
        place.mapRect(box)
        val color = spec.colors[one.index].argb
        line.color = color
        canvas.drawRect(box, line)
        drawLabel(canvas, context.getString(R.string.box_label, one.label, context.percent(one.score)), box, color)
    }

    /** At the box's top: above it where there is room, and never outside of the view. */
    private fun drawLabel(canvas: Canvas, text: String, box: RectF, color: Int) {
        val (width, height) = letters.measureText(text) + 2 * space to letters.fontSpacing
        val x = max(0f, min(box.left - line.strokeWidth / 2, this.width - width))
        val y = if (box.top >= height) box.top - height else max(0f, box.top)
        ground.color = color
        canvas.drawRect(x, y, x + width, y + height, ground)
        letters.color = if (Color.luminance(color) < DARK) Color.WHITE else Color.BLACK
        canvas.drawText(text, x + space, y - letters.fontMetrics.top + (height - letters.fontMetrics.run { bottom - top }) / 2, letters)
    }

    private fun pixels(unit: Int, value: Float) = TypedValue.applyDimension(unit, value, resources.displayMetrics)

    private companion object {
        const val LINE_DP = 2.5f
        const val TEXT_SP = 13f
        const val SPACE_DP = 4f
        const val OPACITY = 140 // of 255: 0.55, as in Python
        const val DARK = 0.18f // luminance at which white and black text have the same contrast
    }
}

/**
 * Where the pixels of an upright photo lie in a view: centred, covering it or fitting into it.
 *
 * @param mirrored about the vertical axis.
 */
internal fun photoTransform(photo: ImageSize, view: Size, cover: Boolean, mirrored: Boolean): Matrix {
    val (across, down) = view.width.toFloat() / photo.width to view.height.toFloat() / photo.height
    val scale = if (cover) max(across, down) else min(across, down)
    return Matrix().apply {
        setTranslate(-photo.width / 2f, -photo.height / 2f)
        postScale(if (mirrored) -scale else scale, scale)
        postTranslate(view.width / 2f, view.height / 2f)
    }
}

private const val LONGEST_MASK = 640 // pixels

/** The map in the classes' colours, transparent where there is no class; smaller than a large photo. */
private fun maskOf(map: SegmentationMap, spec: ModelSpec): Bitmap {
    val (height, width) = map.size
    val scale = min(1.0, LONGEST_MASK.toDouble() / max(height, width))
    val (rows, columns) = max(1, (height * scale).toInt()) to max(1, (width * scale).toInt())
    val pixels = IntArray(rows * columns)
    for (y in 0 until rows) {
        val from = ((y + 0.5) * height / rows).toInt() * width
        for (x in 0 until columns) {
            val value = map.classes[from + ((x + 0.5) * width / columns).toInt()].toInt() and 255
            if (value != map.ignore) pixels[y * columns + x] = spec.colors[value].argb
        }
    }
    return Bitmap.createBitmap(pixels, columns, rows, Bitmap.Config.ARGB_8888)
}
