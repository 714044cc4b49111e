package org.lolvit.demo

import android.content.Context
import android.icu.text.NumberFormat

/** [share], from 0 to 1, as a percentage with one decimal, in the user's language. */
internal fun Context.percent(share: Float): String = getString(R.string.percent, decimal(100.0 * share, 1))

/** A duration with one decimal, or two where it is under a millisecond, in the user's language. */
internal fun Context.milliseconds(value: Double): String =
    getString(R.string.milliseconds, decimal(value, if (value < 1) 2 else 1))

private fun Context.decimal(value: Double, decimals: Int): String {
    val format = NumberFormat.getNumberInstance(resources.configuration.locales[0])
    format.minimumFractionDigits = decimals
    format.maximumFractionDigits = decimals
    return format.format(value)
}
