package org.lolvit.demo

import android.graphics.Color
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** WCAG's contrast of every pair of colours that the screens put on each other. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class ContrastTest {
    private val text = listOf(
        R.color.ink to R.color.page, R.color.ink to R.color.surface, R.color.muted to R.color.page,
        R.color.muted to R.color.surface, R.color.muted to R.color.disabled, R.color.on_accent to R.color.accent,
        R.color.accent to R.color.tonal, R.color.accent to R.color.surface, R.color.problem to R.color.problem_surface,
        R.color.ink to R.color.problem_surface,
    )

    @Test fun `text can be read in light`() = check()

    @Config(qualifiers = "night")
    @Test fun `text can be read in dark`() = check()

    private fun check() {
        val context = RuntimeEnvironment.getApplication()
        for ((front, back) in text) {
            val contrast = contrast(context.getColor(front), context.getColor(back))
            val names = listOf(front, back).map(context.resources::getResourceEntryName)
            assertTrue("$names: $contrast", contrast >= 4.5)
        }
    }

    private fun contrast(a: Int, b: Int): Double {
        val (dark, light) = listOf(luminance(a), luminance(b)).sorted()
        return (light + 0.05) / (dark + 0.05)
    }

    private fun luminance(color: Int): Double = Color.luminance(color).toDouble()
}
