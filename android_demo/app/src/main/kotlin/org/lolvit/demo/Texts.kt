package org.lolvit.demo

import android.content.Context
import android.icu.text.NumberFormat

/** [share], from 0 to 1, as a percentage with one decimal, in the user's language. */
internal fun Context.percent(share: Float): String = getString(R.string.percent, decimal(100.0 * share, 1))

/** A duration with as many decimals as tell something, in the user's language. */
internal fun Context.milliseconds(value: Double): String {
    val decimals = when {
        value < 1 -> 2
        value < 100 -> 1
        else -> 0
    }
    return getString(R.string.milliseconds, decimal(value, decimals))
}

private fun Context.decimal(value: Double, decimals: Int): String {
    val format = NumberFormat.getNumberInstance(resources.configuration.locales[0])
    format.minimumFractionDigits = decimals
    format.maximumFractionDigits = decimals
    return format.format(value)
}

/** The library's words, which may begin small as part of a longer line, as a sentence of their own. */
internal fun sentence(words: String): String = words.replaceFirstChar(Char::titlecase).let { if (it.endsWith('.')) it else "$it." }
