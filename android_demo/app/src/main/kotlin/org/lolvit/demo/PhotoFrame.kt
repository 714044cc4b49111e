package org.lolvit.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Path
import android.util.AttributeSet
import android.widget.FrameLayout
import kotlin.math.min

/** A frame of 4 to 3 with round corners, at most half as high as the screen. */
internal class PhotoFrame(context: Context, attributes: AttributeSet?) : FrameLayout(context, attributes) {
    private val outline = Path()
    private val radius = resources.getDimension(R.dimen.card_radius)

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val width = MeasureSpec.getSize(widthMeasureSpec)
        val height = min(width * 3 / 4, resources.displayMetrics.heightPixels / 2)
        super.onMeasure(widthMeasureSpec, MeasureSpec.makeMeasureSpec(maxOf(height, minimumHeight), MeasureSpec.EXACTLY))
    }

    override fun onSizeChanged(width: Int, height: Int, oldWidth: Int, oldHeight: Int) {
        super.onSizeChanged(width, height, oldWidth, oldHeight)
        outline.rewind()
        outline.addRoundRect(0f, 0f, width.toFloat(), height.toFloat(), radius, radius, Path.Direction.CW)
    }

    override fun draw(canvas: Canvas) {
        val count = canvas.save()
        canvas.clipPath(outline)
        super.draw(canvas)
        canvas.restoreToCount(count)
    }
}
