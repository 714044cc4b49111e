package org.lolvit.benchmark

import java.util.Locale
import kotlin.math.log10

/** Whether a model that was timed computes after it what it computed before. */
public object Outputs {
    // The same engine computes the same image, and the order in which threads sum changes the last bits alone.
    private const val SAME_DB = 60.0

    /** How outputs differ from those of an earlier run on the same input; null where they agree. */
    public fun change(before: FloatArray, after: FloatArray): String? {
        if (before.size != after.size) return "${after.size} values, not ${before.size}"
        if (before.contentEquals(after)) return null
        val found = snrDb(before, after)
        if (found >= SAME_DB) return null
        return String.format(Locale.ROOT, "they agree by %.0f dB, less than %.0f dB", found, SAME_DB)
    }

    /** The signal-to-noise ratio in dB; negative infinity where a value is not finite. */
    private fun snrDb(reference: FloatArray, found: FloatArray): Double {
        if ((reference + found).any { !it.isFinite() }) return Double.NEGATIVE_INFINITY
        val signal = reference.sumOf { it.toDouble() * it }
        val noise = reference.indices.sumOf { (found[it].toDouble() - reference[it]).let { difference -> difference * difference } }
        return 10 * log10(signal / noise)
    }
}
