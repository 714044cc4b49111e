package org.lolvit.demo.benchmark

import android.content.res.Resources
import org.lolvit.benchmark.MeasuredModel
import org.lolvit.benchmark.Comparison
import org.lolvit.benchmark.Curve
import org.lolvit.benchmark.Finding
import org.lolvit.benchmark.Interval
import org.lolvit.benchmark.State
import org.lolvit.benchmark.Statistics
import org.lolvit.benchmark.Winner
import org.lolvit.demo.R

/** The texts that the screen shows of a comparison. */
internal class ResultText(private val resources: Resources, private val measured: Measured) {
    private val comparison: Comparison = measured.comparison
    private val names = listOf(comparison.candidate, comparison.baseline).map(MeasuredModel::model)

    fun headline(): String = when {
        comparison.quality.state == State.INVALID ->
            resources.getString(R.string.benchmark_invalid_headline, names[0], names[1])
        comparison.quality.winner == Winner.CANDIDATE -> faster(names[0], comparison.speedup.interval.value, names[1])
        comparison.quality.winner == Winner.BASELINE -> faster(names[1], winnersRatio().value, names[0])
        else -> resources.getString(R.string.benchmark_even, names[0], names[1])
    }

    private fun faster(name: String, times: Double, other: String) =
        resources.getString(R.string.benchmark_faster, name, Figures.times(times), other)

    fun interval(): String {
        val (value, low, high) = winnersRatio()
        return resources.getString(
            R.string.benchmark_interval, Figures.times(value), Figures.times(low), Figures.times(high),
            comparison.samples[0].milliseconds.size,
        )
    }

    /** The ratio as the headline has it: over 1 for the winner. */
    private fun winnersRatio(): Interval {
        val speedup = comparison.speedup.interval
        val turned = comparison.quality.winner == Winner.BASELINE
        return if (turned) Interval(1 / speedup.value, 1 / speedup.high, 1 / speedup.low) else speedup
    }

    fun latencies(): String {
        val figures = names.indices.map { place ->
            val ms = comparison.samples[place].milliseconds
            val (median, p90) = Statistics.median(ms) to Statistics.percentile(ms, 0.9)
            resources.getString(
                R.string.benchmark_latency, names[place], Figures.milliseconds(median), Figures.milliseconds(p90),
            )
        }
        return (figures + where()).joinToString("\n")
    }

    private fun where(): String {
        val threads = measured.plan.threads
        val counted = resources.getQuantityString(R.plurals.benchmark_thread_count, threads, threads)
        return resources.getString(R.string.benchmark_where, measured.plan.engine.title, measured.runtimeVersion, counted)
    }

    /** The quality of the ratio, or why it can't be trusted; then what disturbed the measurement. */
    fun quality(): String {
        val quality = comparison.quality
        val state = when (quality.state) {
            State.INVALID -> resources.getString(R.string.benchmark_invalid)
            else -> resources.getString(R.string.benchmark_quality, quality.state.id, Figures.percent(quality.halfWidth))
        }
        val disturbed = listOf(resources.getString(R.string.benchmark_findings)).filter { quality.findings.isNotEmpty() }
        return (listOf(state) + lines(quality.reasons) + disturbed + lines(quality.findings)).joinToString("\n")
    }

    private fun lines(findings: List<Finding>) = findings.map { "• ${it.text}" }

    /** The worst thermal status, and the battery's temperature at the end. */
    fun thermal(): String {
        val states = comparison.readings.map { it.state }
        val worst = states.mapNotNull { it.thermalStatus }.maxOrNull()
        val names = resources.getStringArray(R.array.benchmark_thermal_names)
        val status = worst?.let { names.getOrElse(it) { worst.toString() } }
            ?: resources.getString(R.string.benchmark_thermal_unknown)
        val battery = states.lastOrNull()?.temperatureC
            ?.let { resources.getString(R.string.benchmark_battery, Figures.celsius(it)) }
        return listOfNotNull(resources.getString(R.string.benchmark_thermal, status), battery).joinToString(", ")
    }

    fun notes(): String = comparison.notes.joinToString("\n")

    fun curves(): List<NamedCurve> =
        comparison.curves.mapIndexedNotNull { place, curve -> curve?.let { NamedCurve(names[place], it) } }

    fun curveLines(): String = curves().joinToString("\n") { line(it.name, it.curve) }

    fun curveDescription(): String {
        val seconds = curves().maxOfOrNull { it.curve.seconds } ?: 0.0
        return resources.getString(R.string.benchmark_curve_described, seconds.toInt(), curveLines())
    }

    private fun line(name: String, curve: Curve) = resources.getString(
        R.string.benchmark_curve_line, name, Figures.milliseconds(curve.burstMs), Figures.milliseconds(curve.plateauMs),
        Figures.change(curve.plateauMs / curve.burstMs - 1),
    )
}
