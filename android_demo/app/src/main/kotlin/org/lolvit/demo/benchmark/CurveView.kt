package org.lolvit.demo.benchmark

import android.content.Context
import android.graphics.Canvas
import android.graphics.DashPathEffect
import android.graphics.Paint
import android.graphics.Path
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import kotlin.math.ceil
import kotlin.math.roundToInt
import org.lolvit.benchmark.Curve
import org.lolvit.demo.R

/** A model's sustained curve with its name. */
internal class NamedCurve(val name: String, val curve: Curve)

/**
 * Sustained curves: each model's latency over the seconds, as a multiple of its own at first, so that
 * two of very different speed can be seen in one drawing. The second line is dashed.
 */
internal class CurveView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val ink = textPaint(color(android.R.attr.textColorSecondary))
    private val grid = linePaint(color(android.R.attr.textColorSecondary), 1f).apply { alpha = 64 }
    private val lines = listOf(
        linePaint(color(android.R.attr.colorAccent), 2.5f),
        linePaint(color(android.R.attr.textColorPrimary), 2.5f).apply {
            pathEffect = DashPathEffect(floatArrayOf(dp(6f), dp(4f)), 0f)
        },
    )
    private var curves: List<NamedCurve> = emptyList()

    /** Shows curves, the first one in the accent's colour; [description] is for screen readers. */
    fun show(curves: List<NamedCurve>, description: String) {
        this.curves = curves
        contentDescription = description
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        if (curves.isEmpty()) return
        val scale = Scale.of(curves, Frame(this, ink.textSize))
        drawGrid(canvas, scale)
        curves.forEachIndexed { place, curve -> canvas.drawPath(scale.path(curve.curve), lines[place % lines.size]) }
        drawLegend(canvas, scale.frame)
    }

    private fun drawGrid(canvas: Canvas, scale: Scale) {
        val frame = scale.frame
        for (level in scale.levels) {
            val y = scale.y(level)
            canvas.drawLine(frame.left, y, frame.right, y, grid)
            canvas.drawText(Figures.times(level), paddingLeft.toFloat(), y + ink.textSize / 3, ink)
        }
        val baseline = frame.bottom + 1.3f * ink.textSize
        val end = resources.getString(R.string.benchmark_seconds, scale.seconds.roundToInt())
        canvas.drawText(resources.getString(R.string.benchmark_seconds, 0), frame.left, baseline, ink)
        canvas.drawText(end, frame.right - ink.measureText(end), baseline, ink)
    }

    private fun drawLegend(canvas: Canvas, frame: Frame) {
        var x = frame.left
        val y = paddingTop + ink.textSize
        curves.forEachIndexed { place, curve ->
            val middle = y - ink.textSize / 3
            canvas.drawLine(x, middle, x + dp(24f), middle, lines[place % lines.size])
            canvas.drawText(curve.name, x + dp(28f), y, ink)
            x += dp(44f) + ink.measureText(curve.name)
        }
    }

    private fun dp(value: Float) = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_DIP, value, resources.displayMetrics)

    private fun color(attribute: Int): Int {
        val colors = context.obtainStyledAttributes(intArrayOf(attribute))
        val found = colors.getColor(0, 0)
        colors.recycle()
        return found
    }

    private fun linePaint(color: Int, width: Float) = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        this.color = color
        style = Paint.Style.STROKE
        strokeWidth = dp(width)
        strokeJoin = Paint.Join.ROUND
    }

    private fun textPaint(color: Int) = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        this.color = color
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 12f, resources.displayMetrics)
    }

    /** Where the lines go, in pixels: beside and below it stand the axes' figures, above it the names. */
    private class Frame(view: View, textSize: Float) {
        val left = view.paddingLeft + 4 * textSize
        val right = (view.width - view.paddingRight).toFloat()
        val top = view.paddingTop + 2.2f * textSize
        val bottom = view.height - view.paddingBottom - 1.6f * textSize
    }

    /** From seconds and multiples to pixels. */
    private class Scale(val frame: Frame, val seconds: Double, private val low: Double, private val high: Double) {
        val levels: List<Double> = listOf(low, (low + high) / 2, high)

        fun x(second: Double) = (frame.left + second / seconds * (frame.right - frame.left)).toFloat()

        fun y(multiple: Double) = (frame.bottom - (multiple - low) / (high - low) * (frame.bottom - frame.top)).toFloat()

        fun path(curve: Curve) = Path().apply {
            curve.medianMs.forEachIndexed { place, ms ->
                val x = x(curve.atSeconds[place])
                val y = y((ms / curve.burstMs).coerceIn(low, high))
                if (place == 0) moveTo(x, y) else lineTo(x, y)
            }
        }

        companion object {
            private const val STEP = 0.2

            fun of(curves: List<NamedCurve>, frame: Frame): Scale {
                val multiples = curves.flatMap { named -> named.curve.medianMs.map { it / named.curve.burstMs } }
                val low = minOf(1 - STEP, STEP * ((multiples.min()) / STEP).toInt())
                val high = maxOf(1 + STEP, STEP * ceil(multiples.max() / STEP))
                return Scale(frame, curves.maxOf { it.curve.seconds }, low, high)
            }
        }
    }
}
