package org.lolvit.demo

import android.content.Context
import android.icu.text.MeasureFormat
import android.icu.text.NumberFormat
import android.icu.util.Measure
import android.icu.util.MeasureUnit
import java.util.Locale

/** [share], from 0 to 1, as a percentage with one decimal, as the user's language writes it. */
internal fun Context.percent(share: Double): String = NumberFormat.getPercentInstance(locale()).decimals(1).format(share)

/** A duration with as many decimals as are meaningful, as the user's language writes it. */
internal fun Context.milliseconds(value: Double): String {
    val decimals = when {
        value < 1 -> 2
        value < 100 -> 1
        else -> 0
    }
    val numbers = NumberFormat.getNumberInstance(locale()).decimals(decimals)
    val format = MeasureFormat.getInstance(locale(), MeasureFormat.FormatWidth.SHORT, numbers)
    return format.format(Measure(value, MeasureUnit.MILLISECOND))
}

private fun Context.locale(): Locale = resources.configuration.locales[0]

private fun NumberFormat.decimals(count: Int): NumberFormat = apply {
    minimumFractionDigits = count
    maximumFractionDigits = count
}
