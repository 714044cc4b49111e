package org.lolvit.benchmark

import java.util.Locale

/** One thing that makes a result unstable: a code for programs and a sentence for people. */
public data class Reason(val code: String, val text: String)

/** The phone's conditions during a measurement; null where it does not report them. */
public data class Conditions(
    val cores: Int,
    val throttleEvents: Int? = null,
    val tooHotC: Double? = null,
    val interrupted: Boolean = false,
)

/** Which of two models is faster. */
public enum class Winner { A, B }

/**
 * Whether a comparison can be trusted, by the limits of result documents of schema version 1.
 *
 * An app can't read other processes' load, CPU steal, or (reliably) the clock: those
 * are not checked here. `lolvit bench --device adb:...` reads clock limits and temperatures.
 */
public object Verdict {
    private const val VARIATION = 0.05
    private const val BLOCK_RANGE = 0.05
    private const val MIN_SAMPLES = 30

    /** A battery hotter than this makes a result unstable, in degrees Celsius. */
    public const val MAX_BATTERY_CELSIUS: Double = 37.0

    /** The rule as a paragraph, for readers of a result. */
    public val RULE: String = "A result is UNSTABLE when, for either model, the coefficient of variation is over " +
        "${percent(VARIATION, 0)} (without the slowest ${percent(Statistics.SLOWEST_SHARE, 0)} of the runs), or the " +
        "medians of the blocks differ by over ${percent(BLOCK_RANGE, 0)}, or there are fewer than $MIN_SAMPLES runs; when " +
        "Android's thermal status was above 0, or the battery over ${MAX_BATTERY_CELSIUS.toInt()} °C; or when the " +
        "measurement was interrupted. An app can't read the load of other apps or the processor's clock. " +
        "A winner is named only if the 95 % interval of the ratio excludes 1."

    /** Why a result is unstable, for each named model and for the phone; empty means STABLE. */
    public fun reasons(models: List<Pair<String, Samples>>, conditions: Conditions): List<Reason> =
        models.flatMap { (name, samples) -> ofModel(name, samples) } + ofPhone(conditions)

    /** The faster model of the ratio time(b) / time(a), or null where its interval spans 1. */
    public fun winner(speedup: Interval): Winner? = when {
        speedup.spans(1.0) -> null
        speedup.low > 1 -> Winner.A
        else -> Winner.B
    }

    private fun ofModel(name: String, samples: Samples): List<Reason> {
        val ms = samples.milliseconds
        val variation = Statistics.trimmedVariation(ms)
        val range = Statistics.betweenBlockRange(ms, samples.block)
        return listOfNotNull(
            Reason("too-few-samples", "$name: ${ms.size} runs, fewer than $MIN_SAMPLES").takeIf { ms.size < MIN_SAMPLES },
            Reason(
                "variation",
                "$name: coefficient of variation ${percent(variation)}, limit ${percent(VARIATION, 0)} " +
                    "(all runs: ${percent(Statistics.variation(ms))})",
            ).takeIf { variation > VARIATION },
            Reason("drift", "$name: block medians differ by ${percent(range)}, limit ${percent(BLOCK_RANGE, 0)}")
                .takeIf { range > BLOCK_RANGE },
        )
    }

    private fun ofPhone(conditions: Conditions): List<Reason> = listOfNotNull(
        conditions.throttleEvents?.takeIf { it > 0 }?.let { Reason("thermal", "the CPU throttled for heat $it times") },
        conditions.tooHotC?.let { Reason("temperature", "the device reached $it °C, over its limit") },
        Reason("interrupted", "interrupted before all runs were made").takeIf { conditions.interrupted },
    )

    private fun percent(share: Double, digits: Int = 1): String = String.format(Locale.ROOT, "%.${digits}f%%", 100 * share)
}
