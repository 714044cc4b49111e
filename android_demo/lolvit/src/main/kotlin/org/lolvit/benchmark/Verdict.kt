package org.lolvit.benchmark

import java.util.Locale

/** One thing that makes a result unstable: a code for programs and a sentence for people. */
public data class Reason(val code: String, val text: String)

/** What a phone tells of itself while it measures; null where it doesn't. */
public data class Conditions(
    val cores: Int,
    val throttleEvents: Int? = null,
    val tooHotC: Double? = null,
    val interrupted: Boolean = false,
)

/** Which of two models is faster. */
public enum class Winner { A, B }

/**
 * Whether a comparison can be trusted, by the harness's limits (`lolvit_benchmarks/verdict.py`).
 *
 * An app can't see other processes' load, what a hypervisor takes, or reliably the clock: those of the
 * harness's reasons are left out here. `lolvit bench --device adb:...` reads clock limits and temperatures.
 */
public object Verdict {
    private const val VARIATION = 0.05
    private const val DRIFT = 0.05
    private const val MIN_SAMPLES = 30

    /** A battery hotter than this makes a result unstable, in degrees Celsius. */
    public const val MOST_CELSIUS: Double = 37.0

    /** The rule as a paragraph, for whoever reads a result. */
    public val RULE: String = "A result is UNSTABLE when, on either side, the coefficient of variation is over " +
        "${percent(VARIATION, 0)} (without the slowest ${percent(Statistics.SLOWEST_SHARE, 0)} of the runs), or the " +
        "medians of the blocks differ by over ${percent(DRIFT, 0)}, or there are fewer than $MIN_SAMPLES runs; when " +
        "Android's thermal status was above 0, or the battery over ${MOST_CELSIUS.toInt()} °C; or when the " +
        "measurement was interrupted. The load of other apps and the processor's clock are not seen by the app. " +
        "A winner is named only if the 95 % interval of the ratio excludes 1."

    /** All that makes a result unstable, of each side, given with its name, and of the phone; an empty list means STABLE. */
    public fun reasons(sides: List<Pair<String, Samples>>, conditions: Conditions): List<Reason> =
        sides.flatMap { (name, samples) -> ofSide(name, samples) } + ofPhone(conditions)

    /** The faster side of the ratio time(b) / time(a), or null where its interval spans 1. */
    public fun winner(speedup: Interval): Winner? = when {
        speedup.spans(1.0) -> null
        speedup.low > 1 -> Winner.A
        else -> Winner.B
    }

    private fun ofSide(name: String, samples: Samples): List<Reason> {
        val ms = samples.milliseconds
        val variation = Statistics.trimmedVariation(ms)
        val drift = Statistics.drift(ms, samples.block)
        return listOfNotNull(
            Reason("too-few-samples", "$name: ${ms.size} runs, fewer than $MIN_SAMPLES").takeIf { ms.size < MIN_SAMPLES },
            Reason(
                "variation",
                "$name: coefficient of variation ${percent(variation)}, limit ${percent(VARIATION, 0)} " +
                    "(all runs: ${percent(Statistics.variation(ms))})",
            ).takeIf { variation > VARIATION },
            Reason("drift", "$name: block medians differ by ${percent(drift)}, limit ${percent(DRIFT, 0)}")
                .takeIf { drift > DRIFT },
        )
    }

    private fun ofPhone(conditions: Conditions): List<Reason> = listOfNotNull(
        conditions.throttleEvents?.takeIf { it > 0 }?.let { Reason("thermal", "the CPU throttled for heat $it times") },
        conditions.tooHotC?.let { Reason("temperature", "the device reached $it °C, over its limit") },
        Reason("interrupted", "interrupted before all runs were made").takeIf { conditions.interrupted },
    )

    private fun percent(share: Double, digits: Int = 1): String = String.format(Locale.ROOT, "%.${digits}f%%", 100 * share)
}
