package org.lolvit.benchmark

import java.util.Locale

/** One thing that was found of a measurement: a code for programs and a sentence for people. */
public data class Finding(val code: String, val text: String)

/** The phone's conditions during a measurement; null where it does not report them. */
public data class Conditions(
    val cores: Int,
    val throttleEvents: Int? = null,
    val tooHotC: Double? = null,
    val interrupted: Boolean = false,
)

/** Which of two models is faster. */
public enum class Winner { CANDIDATE, BASELINE }

/** How precise a speedup is, by half the width of its interval; or that it can't be trusted. */
public enum class State(public val id: String) {
    PRECISE("precise"), FAIR("fair"), COARSE("coarse"), INVALID("INVALID")
}

/** The samples of one model; [outputsChanged] says how its outputs differed after it was timed. */
public class Series(public val name: String, public val samples: Samples, public val outputsChanged: String? = null)

/**
 * The evaluation of a speedup, by the limits of `lolvit_benchmarks/analysis/quality.py`: [reasons] are
 * why it is INVALID, [findings] what slowed both models down, which leaves their ratio as it is.
 *
 * An app can't read other processes' load, CPU steal, the clock (reliably), or intermediate
 * activations: those are not checked here. `lolvit bench --device adb:...` checks more.
 */
public class Quality private constructor(
    public val state: State,
    public val halfWidth: Double,
    public val winner: Winner?,
    public val reasons: List<Finding>,
    public val findings: List<Finding>,
) {
    public companion object {
        private const val PRECISE = 0.02
        private const val FAIR = 0.05
        private const val NO_DIFFERENCE = 0.01
        private const val MIN_BLOCKS = 3
        private const val RATIO_CHANGE = 0.05
        private const val VARIATION = 0.05
        private const val BLOCK_RANGE = 0.05
        private const val MIN_SAMPLES = 30

        /** A battery hotter than this is a finding, in degrees Celsius. */
        public const val MAX_BATTERY_CELSIUS: Double = 37.0

        /** The limits as a paragraph, for readers of a result. */
        public val RULE: String = "The speedup is estimated over rounds, in each of which both models ran in turns; its " +
            "quality is half the width of its 95 % interval: precise up to ${percent(PRECISE, 0)}, fair up to " +
            "${percent(FAIR, 0)}, else coarse. It is INVALID when the measurement was interrupted, or has fewer than " +
            "$MIN_BLOCKS blocks; when Android reported throttling, or the battery was over " +
            "${MAX_BATTERY_CELSIUS.toInt()} °C, while the ratio changed by over ${percent(RATIO_CHANGE, 0)} between " +
            "blocks; when a model's outputs changed while it was timed; or when the ratios of the first and the second " +
            "half of the rounds contradict the interval. What slows both models down alike is a finding: a coefficient " +
            "of variation over ${percent(VARIATION, 0)} (without the slowest ${percent(Statistics.SLOWEST_SHARE, 0)} of " +
            "the runs), block medians that differ by over ${percent(BLOCK_RANGE, 0)}, fewer than $MIN_SAMPLES runs, " +
            "throttling and heat. No winner is named when the interval has values within 1 ± ${percent(NO_DIFFERENCE, 0)}. " +
            "An app can't read the load of other apps or the processor's clock."

        /**
         * Evaluates the speedup of a candidate over a baseline that was interleaved with it.
         *
         * @throws IllegalArgumentException fewer than two rounds
         */
        public fun of(candidate: Series, baseline: Series, conditions: Conditions): Quality {
            val logs = logRatios(candidate.samples, baseline.samples)
            val blocks = RoundRatios.blocks(candidate.samples.block, candidate.samples.round)
            val speedup = RoundRatios.ratio(logs, blocks)
            val both = listOf(candidate, baseline)
            val reasons = both.mapNotNull(::outputsChanged) + invalid(logs, blocks, speedup, conditions)
            val halfWidth = RoundRatios.halfWidth(speedup.interval)
            val valid = reasons.isEmpty()
            return Quality(
                state = if (valid) grade(halfWidth) else State.INVALID,
                halfWidth = halfWidth,
                winner = if (valid) winner(speedup.interval) else null,
                reasons = reasons,
                findings = both.flatMap(::ofModel) + ofPhone(conditions),
            )
        }

        /** The baseline's time over the candidate's: more than 1 where the candidate is faster. */
        public fun speedup(candidate: Samples, baseline: Samples): RoundRatio =
            RoundRatios.ratio(logRatios(candidate, baseline), RoundRatios.blocks(candidate.block, candidate.round))

        /** How precise a ratio is, by half the width of its interval. */
        public fun grade(halfWidth: Double): State = when {
            halfWidth <= PRECISE -> State.PRECISE
            halfWidth <= FAIR -> State.FAIR
            else -> State.COARSE
        }

        /** The faster model, or null where the difference may be as small as 1 %. */
        public fun winner(speedup: Interval): Winner? = when {
            speedup.low > 1 + NO_DIFFERENCE -> Winner.CANDIDATE
            speedup.high < 1 / (1 + NO_DIFFERENCE) -> Winner.BASELINE
            else -> null
        }

        private fun logRatios(candidate: Samples, baseline: Samples) =
            RoundRatios.logRatios(baseline.milliseconds, candidate.milliseconds, candidate.round)

        private fun outputsChanged(one: Series): Finding? = one.outputsChanged?.let {
            Finding("outputs-changed", "${one.name}: its outputs after timing are not those before: $it")
        }

        private fun invalid(logs: DoubleArray, blocks: IntArray, speedup: RoundRatio, conditions: Conditions): List<Finding> {
            val medians = Statistics.groupMedians(logs, blocks)
            val throttled = (conditions.throttleEvents ?: 0) > 0 || conditions.tooHotC != null
            val change = medians.max() - medians.min()
            return listOfNotNull(
                Finding("interrupted", "interrupted before all runs were made").takeIf { conditions.interrupted },
                Finding("too-few-blocks", "${medians.size} blocks, fewer than $MIN_BLOCKS").takeIf { medians.size < MIN_BLOCKS },
                Finding(
                    "throttled-unequally",
                    "the CPU throttled, and the ratio changed by ${percent(change)} between blocks, " +
                        "limit ${percent(RATIO_CHANGE, 0)}",
                ).takeIf { throttled && speedup.over == RoundRatio.Over.BLOCKS && change > RATIO_CHANGE },
                Finding(
                    "halves-disagree",
                    "the ratios of the first and the second half of the rounds contradict the interval",
                ).takeIf { RoundRatios.halvesDisagree(logs, blocks) },
            )
        }

        private fun ofModel(one: Series): List<Finding> {
            val ms = one.samples.milliseconds
            val variation = Statistics.trimmedVariation(ms)
            val range = Statistics.betweenBlockRange(ms, one.samples.block)
            return listOfNotNull(
                Finding("too-few-samples", "${one.name}: ${ms.size} runs, fewer than $MIN_SAMPLES")
                    .takeIf { ms.size < MIN_SAMPLES },
                Finding(
                    "variation",
                    "${one.name}: coefficient of variation ${percent(variation)}, limit ${percent(VARIATION, 0)} " +
                        "(all runs: ${percent(Statistics.variation(ms))})",
                ).takeIf { variation > VARIATION },
                Finding(
                    "between-block-range",
                    "${one.name}: block medians differ by ${percent(range)}, limit ${percent(BLOCK_RANGE, 0)}",
                ).takeIf { range > BLOCK_RANGE },
            )
        }

        private fun ofPhone(conditions: Conditions): List<Finding> = listOfNotNull(
            conditions.throttleEvents?.takeIf { it > 0 }
                ?.let { Finding("thermal", "the CPU throttled for heat $it times") },
            conditions.tooHotC?.let { Finding("temperature", "the device reached $it °C, over its limit") },
        )

        private fun percent(share: Double, digits: Int = 1): String =
            String.format(Locale.ROOT, "%.${digits}f%%", 100 * share)
    }
}
