package org.lolvit.benchmark

import java.util.Locale
import kotlin.math.abs

/** What one side of a comparison is: from its manifest, and from opening its artifact. Times in milliseconds. */
public class Side(
    public val model: String,
    public val height: Int,
    public val width: Int,
    public val params: Long,
    public val macs: Long,
    public val trained: Boolean,
    public val weightsSource: String,
    public val precision: String,
    public val artifact: String,
    public val artifactBytes: Long,
    public val artifactSha256: String,
    public val loadMs: Double,
    public val firstMs: Double,
    public val options: Map<String, String>,
)

/** A look at the phone, [atSeconds] after the measurement began. */
public class Reading(public val atSeconds: Double, public val state: PhoneState)

/** Two models that were measured interleaved: the figures and how far they can be trusted. */
public class Comparison(
    public val a: Side,
    public val b: Side,
    public val recording: Recording,
    public val readings: List<Reading>,
    cores: Int,
    public val curves: List<Curve?> = listOf(null, null),
) {
    /** Recorded runs of `a` and of `b`. */
    public val samples: List<Samples> = listOf(recording.samples(0), recording.samples(1))

    /** median(b) / median(a), more than 1 where `a` is faster. */
    public val speedup: Interval =
        Bootstrap.ratioOfMedians(samples[1].milliseconds, samples[0].milliseconds, samples[0].round)

    public val conditions: Conditions = conditionsOf(readings.map { it.state }, cores, !recording.complete)

    /** What makes the result unstable; empty means stable. */
    public val reasons: List<Reason> =
        Verdict.reasons(listOf(a.model to samples[0], b.model to samples[1]), conditions)

    public val winner: Winner? = Verdict.winner(speedup)

    /** What a reader has to know beside the figures. */
    public val notes: List<String> = notesOf(a, b)

    public companion object {
        // Two models within this share of each other are of one size.
        private const val MATCHED_PARAMETERS = 0.03

        private fun conditionsOf(states: List<PhoneState>, cores: Int, interrupted: Boolean): Conditions {
            val hottest = states.mapNotNull { it.temperatureC }.maxOrNull()
            val statuses = states.mapNotNull { it.thermalStatus }
            return Conditions(
                cores = cores,
                throttleEvents = if (statuses.isEmpty()) null else statuses.count { it > 0 },
                tooHotC = hottest?.takeIf { it > Verdict.MOST_CELSIUS },
                interrupted = interrupted,
            )
        }

        private fun notesOf(a: Side, b: Side): List<String> {
            val untrained = listOf(a, b).filter { !it.trained }.joinToString { it.model }
            return listOfNotNull(
                untrained(untrained).takeIf { untrained.isNotEmpty() },
                sizes(a, b).takeIf { a.height != b.height || a.width != b.width },
                parameters(a, b).takeIf { abs(a.params.toDouble() / b.params - 1) > MATCHED_PARAMETERS },
                "Measured by the app on its own: other apps' load and the processor's clock were not seen, and " +
                    "activations were not checked for denormal numbers.",
            )
        }

        private fun untrained(models: String) = "Weights are untrained ($models; BatchNorm calibrated on photos): " +
            "these are times of the architecture, and say nothing of accuracy."

        private fun sizes(a: Side, b: Side) = "The models see images of different sizes: " +
            listOf(a, b).joinToString(" and ") { "${it.model} ${it.height}x${it.width}" } + "."

        private fun parameters(a: Side, b: Side) = String.format(
            Locale.ROOT, "The models differ in parameters: %s has %.2f M, %s %.2f M.",
            a.model, a.params / 1e6, b.model, b.params / 1e6,
        )
    }
}
