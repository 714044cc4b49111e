package org.lolvit.demo.benchmark

import java.util.Locale

/** Figures as the harness writes them, so that a screen and a report read alike. */
internal object Figures {
    /** Three significant digits or more: 0.123, 3.21, 27.1, 271. */
    fun milliseconds(value: Double): String =
        String.format(Locale.ROOT, "%.${if (value < 1) 3 else if (value < 10) 2 else if (value < 100) 1 else 0}f", value)

    /** A ratio with its multiplication sign: 8.2x, 0.97x. */
    fun times(ratio: Double): String =
        String.format(Locale.ROOT, "%.${if (ratio < 2) 2 else if (ratio < 100) 1 else 0}fx", ratio)

    /** A change with its sign: +5.3 %. */
    fun change(share: Double): String = String.format(Locale.ROOT, "%+.1f %%", 100 * share)

    /** A share without a sign: 1.5 %. */
    fun percent(share: Double): String = String.format(Locale.ROOT, "%.1f %%", 100 * share)

    fun celsius(value: Double): String = String.format(Locale.ROOT, "%.1f", value)
}
