package org.lolvit.benchmark

import kotlin.math.abs
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.Fixtures
import org.lolvit.objects
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

private const val RELATIVE = 1e-12

/** The app's statistics, schedule and quality against the harness's own, on measurements that Python made up. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class HarnessParityTest {
    private val vectors by lazy { Fixtures.document("benchmark.json") }
    private val measurements by lazy { vectors.getJSONArray("measurements").objects() }

    @Test fun `figures of one model are Python's`() {
        for (measurement in measurements) for (model in listOf("candidate", "baseline")) {
            val expected = measurement.getJSONObject(model)
            val samples = expected.doubles("samples")
            val blocks = measurement.ints("block")
            near(expected, "median", Statistics.median(samples))
            near(expected, "p90", Statistics.percentile(samples, 0.9))
            assertEquals("p99", expected.isNull("p99"), Statistics.p99(samples) == null)
            Statistics.p99(samples)?.let { near(expected, "p99", it) }
            near(expected, "variation", Statistics.variation(samples))
            near(expected, "variation_trimmed", Statistics.trimmedVariation(samples))
            near(expected, "between_block_range", Statistics.betweenBlockRange(samples, blocks))
            near("block medians", expected.doubles("block_medians"), Statistics.groupMedians(samples, blocks))
        }
    }

    @Test fun `ratios over rounds and their intervals are those of the vectors that the browser page shares`() {
        for (case in vectors.getJSONObject("ratios").getJSONArray("measurements").objects()) {
            val name = case.getString("name")
            val rounds = case.ints("sample_round")
            val logs = RoundRatios.logRatios(case.doubles("baseline"), case.doubles("candidate"), rounds)
            near(name, case.doubles("round_log_ratios"), logs)
            val found = RoundRatios.ratio(logs, case.ints("round_block"))
            near(case, "ratio", found.interval.value)
            near(case, "low", found.interval.low)
            near(case, "high", found.interval.high)
            assertEquals(name, case.getString("over"), found.over.name.lowercase())
        }
    }

    @Test fun `quantiles of Student's t are Python's`() {
        val expected = vectors.getJSONObject("ratios").getJSONObject("t_quantiles")
        for (freedom in expected.keys()) near(expected, freedom, RoundRatios.tQuantile(freedom.toInt()))
    }

    @Test fun `quality, winner, reasons and findings are Python's`() {
        val disturbed = Conditions(cores = 8, throttleEvents = 2, tooHotC = 41.5, interrupted = true)
        for (measurement in measurements) {
            val (quiet, hot) = measurement.getJSONArray("quality").objects()
            val (candidate, baseline) = listOf("candidate", "baseline").map { Series(it, samples(measurement, it)) }
            assertQuality(quiet, Quality.of(candidate, baseline, Conditions(cores = 8)))
            val changed = Series("candidate", candidate.samples, outputsChanged = "9 values, not 10")
            assertQuality(hot, Quality.of(changed, baseline, disturbed))
        }
        val states = measurements.flatMap { it.getJSONArray("quality").objects() }.map { it.getString("state") }
        assertEquals(State.entries.map { it.id }.toSet(), states.toSet())
    }

    private fun assertQuality(expected: JSONObject, found: Quality) {
        assertEquals(expected.getString("state"), found.state.id)
        near(expected, "half_width", found.halfWidth)
        assertEquals(expected.optString("winner").takeIf { it != "null" }, found.winner?.name?.lowercase())
        assertEquals(findings(expected, "reasons"), found.reasons)
        assertEquals(findings(expected, "findings"), found.findings)
    }

    private fun findings(expected: JSONObject, name: String) =
        expected.getJSONArray(name).objects().map { Finding(it.getString("code"), it.getString("text")) }

    @Test fun `sustained curves are Python's`() {
        for (case in vectors.getJSONArray("curves").objects()) {
            val expected = case.getJSONObject("curve")
            val found = Curve.of(case.doubles("starts"), case.doubles("durations"))
            near(expected, "seconds", found.seconds)
            near(expected, "burst_ms", found.burstMs)
            near(expected, "plateau_ms", found.plateauMs)
            near("at_s", expected.doubles("at_s"), found.atSeconds)
            near("median_ms", expected.doubles("median_ms"), found.medianMs)
        }
    }

    @Test fun `plans and orders are Python's`() {
        for (case in vectors.getJSONArray("plans").objects()) {
            val profile = listOf(Profile.QUICK, Profile.DEFAULT).single { it.name == case.getString("profile") }
            val runs = case.doubles("runs").toList()
            val plan = profile.fitted(runs)
            val expected = case.getJSONObject("plan")
            assertEquals(listOf("blocks", "rounds", "burst").map(expected::getInt), listOf(plan.blocks, plan.rounds, plan.burst))
            near(expected, "seconds", plan.seconds)
            assertEquals(case.ints("slot_warm_up_runs").toList(), runs.map(Schedule::slotWarmUpRuns))
        }
        for (case in vectors.getJSONArray("orders").objects()) {
            assertEquals(case.ints("order").toList(), Schedule.order(case.getInt("models"), case.getInt("number")))
        }
    }

    private fun samples(measurement: JSONObject, model: String): Samples {
        val ms = measurement.getJSONObject(model).doubles("samples")
        return Samples(ms, measurement.ints("block"), measurement.ints("round"), IntArray(ms.size) { it })
    }

    private fun near(expected: JSONObject, name: String, found: Double) =
        near(name, doubleArrayOf(expected.getDouble(name)), doubleArrayOf(found))

    private fun near(name: String, expected: DoubleArray, found: DoubleArray) {
        assertEquals(name, expected.size, found.size)
        for (place in expected.indices) {
            assertEquals(name, expected[place], found[place], RELATIVE * maxOf(1.0, abs(expected[place])))
        }
    }

    private fun JSONObject.doubles(name: String): DoubleArray =
        getJSONArray(name).let { DoubleArray(it.length(), it::getDouble) }

    private fun JSONObject.ints(name: String): IntArray = getJSONArray(name).let { IntArray(it.length(), it::getInt) }
}
