package org.lolvit.demo

import android.content.Context
import android.util.AttributeSet
import android.view.View
import android.widget.LinearLayout

/**
 * A row of equally wide children that becomes a column where the widest of them would not fit: long words of
 * another language, large fonts, a narrow screen.
 */
internal class AdaptiveRow(context: Context, attributes: AttributeSet?) : LinearLayout(context, attributes) {
    init {
        isBaselineAligned = false
    }

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        arrange(MeasureSpec.getSize(widthMeasureSpec) - paddingLeft - paddingRight)
        super.onMeasure(widthMeasureSpec, heightMeasureSpec)
    }

    private fun arrange(width: Int) {
        val children = (0 until childCount).map(::getChildAt).filter { it.visibility != View.GONE }
        val gaps = (dividerDrawable?.intrinsicWidth ?: 0) * (children.size - 1)
        val row = children.size * (children.maxOfOrNull(::preferredWidth) ?: 0) + gaps <= width
        orientation = if (row) HORIZONTAL else VERTICAL
        for (child in children) {
            val params = child.layoutParams as LayoutParams
            params.width = if (row) 0 else LayoutParams.MATCH_PARENT
            params.weight = if (row) 1f else 0f
        }
    }

    private fun preferredWidth(child: View): Int {
        val free = MeasureSpec.makeMeasureSpec(0, MeasureSpec.UNSPECIFIED)
        child.measure(free, free)
        return child.measuredWidth
    }
}
