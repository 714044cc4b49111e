package org.lolvit.benchmark

import java.util.Locale
import kotlin.math.abs

/** One of the two models of a comparison: fields of its manifest, and the times of its first use in milliseconds. */
public class MeasuredModel(
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

/** The phone's state [atSeconds] after the measurement began. */
public class Reading(public val atSeconds: Double, public val state: PhoneState)

/**
 * The result of measuring two models interleaved. [outputsChanged] says, of the candidate and of the
 * baseline, how its outputs differed after it was timed; null where they did not.
 */
public class Comparison(
    public val candidate: MeasuredModel,
    public val baseline: MeasuredModel,
    public val recording: Recording,
    public val readings: List<Reading>,
    cores: Int,
    public val curves: List<Curve?> = listOf(null, null),
    outputsChanged: List<String?> = listOf(null, null),
) {
    /** Recorded runs of the candidate and of the baseline. */
    public val samples: List<Samples> = listOf(recording.samples(0), recording.samples(1))

    /** The baseline's time over the candidate's, more than 1 where the candidate is faster. */
    public val speedup: RoundRatio = Quality.speedup(samples[0], samples[1])

    public val conditions: Conditions = conditionsOf(readings.map { it.state }, cores, !recording.complete)

    public val quality: Quality = Quality.of(
        Series(candidate.model, samples[0], outputsChanged[0]),
        Series(baseline.model, samples[1], outputsChanged[1]),
        conditions,
    )

    /** Notes to print beside the figures. */
    public val notes: List<String> = notesOf(candidate, baseline)

    public companion object {
        // Two models within this share of each other are of one size.
        private const val MATCHED_PARAMETERS = 0.03

        private fun conditionsOf(states: List<PhoneState>, cores: Int, interrupted: Boolean): Conditions {
            val hottest = states.mapNotNull { it.temperatureC }.maxOrNull()
            val statuses = states.mapNotNull { it.thermalStatus }
            return Conditions(
                cores = cores,
                throttleEvents = if (statuses.isEmpty()) null else statuses.count { it > 0 },
                tooHotC = hottest?.takeIf { it > Quality.MAX_BATTERY_CELSIUS },
                interrupted = interrupted,
            )
        }

        private fun notesOf(a: MeasuredModel, b: MeasuredModel): List<String> {
            val untrained = listOf(a, b).filter { !it.trained }.joinToString { it.model }
            return listOfNotNull(
                untrained(untrained).takeIf { untrained.isNotEmpty() },
                sizes(a, b).takeIf { a.height != b.height || a.width != b.width },
                parameters(a, b).takeIf { abs(a.params.toDouble() / b.params - 1) > MATCHED_PARAMETERS },
                "Measured by the app on its own: other apps' load and the processor's clock were not recorded, and " +
                    "activations were not checked for denormal numbers.",
            )
        }

        private fun untrained(models: String) = "Weights are untrained ($models; BatchNorm calibrated on photos): " +
            "the times are of the architecture; accuracy is meaningless."

        private fun sizes(a: MeasuredModel, b: MeasuredModel) = "The models take images of different sizes: " +
            listOf(a, b).joinToString(" and ") { "${it.model} ${it.height}x${it.width}" } + "."

        private fun parameters(a: MeasuredModel, b: MeasuredModel) = String.format(
            Locale.ROOT, "The models differ in parameters: %s has %.2f M, %s %.2f M.",
            a.model, a.params / 1e6, b.model, b.params / 1e6,
        )
    }
}
