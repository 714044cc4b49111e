package org.lolvit.demo

import android.content.Context
import android.os.SystemClock
import android.util.AttributeSet
import android.view.LayoutInflater
import android.view.View
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import kotlin.math.roundToInt

/** A class or an object, and its probability, score or share, from 0 to 1. */
internal data class ShownScore(val label: String, val share: Double)

/** Classes or objects with a bar each; the first one is larger, and is read out when it changes. */
internal class ScoreList(context: Context, attributes: AttributeSet?) : LinearLayout(context, attributes) {
    private var spokenAt = 0L

    /**
     * @param spoken the string by which the first one is read out.
     * @param live whether they change many times a second; then not every change is read out.
     */
    fun show(scores: List<ShownScore>, spoken: Int, live: Boolean) {
        while (childCount > scores.size) removeViewAt(childCount - 1)
        scores.forEachIndexed { place, score -> fill(getChildAt(place) ?: row(place), place, score, spoken, live) }
    }

    private fun row(place: Int): View {
        val layout = if (place == 0) R.layout.score_first else R.layout.score_other
        val row = LayoutInflater.from(context).inflate(layout, this, false)
        if (place == 0) row.accessibilityLiveRegion = ACCESSIBILITY_LIVE_REGION_POLITE
        addView(row)
        return row
    }

    private fun fill(row: View, place: Int, score: ShownScore, spoken: Int, live: Boolean) {
        val share = context.percent(score.share)
        row.child<TextView>(R.id.score_label).text = score.label
        row.child<TextView>(R.id.score_share).text = share
        row.child<ProgressBar>(R.id.score_bar).progress = (score.share * BAR_STEPS).roundToInt()
        if (place > 0) {
            row.contentDescription = context.getString(R.string.spoken_score, place + 1, score.label, share)
        } else if (!live || isQuiet()) {
            row.contentDescription = context.getString(spoken, score.label, share)
        }
    }

    /** Whether TalkBack was left to finish its last sentence. */
    private fun isQuiet(): Boolean {
        val now = SystemClock.elapsedRealtime()
        if (now - spokenAt < QUIET_MS) return false
        spokenAt = now
        return true
    }

    private companion object {
        const val BAR_STEPS = 1000
        const val QUIET_MS = 2000
    }
}
