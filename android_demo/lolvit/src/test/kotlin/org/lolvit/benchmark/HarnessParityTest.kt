package org.lolvit.benchmark

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

/** The app's statistics, schedule and verdict against the harness's own, on measurements that Python made up. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class HarnessParityTest {
    private val vectors by lazy { Fixtures.document("benchmark.json") }
    private val measurements by lazy { vectors.getJSONArray("measurements").objects() }

    @Test fun `figures of one model are Python's`() {
        for (measurement in measurements) for (side in listOf("a", "b")) {
            val expected = measurement.getJSONObject(side)
            val samples = expected.doubles("samples")
            val blocks = measurement.ints("block")
            near(expected, "median", Statistics.median(samples))
            near(expected, "p90", Statistics.percentile(samples, 0.9))
            near(expected, "p99", Statistics.percentile(samples, 0.99))
            near(expected, "variation", Statistics.variation(samples))
            near(expected, "variation_trimmed", Statistics.trimmedVariation(samples))
            near(expected, "drift", Statistics.betweenBlockRange(samples, blocks))
            near("block medians", expected.doubles("block_medians"), Statistics.groupMedians(samples, blocks))
        }
    }

    @Test fun `the bootstrap draws what NumPy draws, so that intervals are Python's`() {
        for (measurement in measurements) {
            val found = speedup(measurement)
            val expected = measurement.getJSONObject("speedup")
            near(expected, "value", found.value)
            near(expected, "low", found.low)
            near(expected, "high", found.high)
        }
    }

    @Test fun `winner and reasons are Python's`() {
        for (measurement in measurements) {
            val winner = Verdict.winner(speedup(measurement))
            assertEquals(measurement.optString("winner").takeIf { it != "null" }, winner?.name?.lowercase())
            val conditions = Conditions(cores = 8, throttleEvents = 2, tooHotC = 41.5, interrupted = true)
            val found = Verdict.reasons(listOf("a" to samples(measurement, "a"), "b" to samples(measurement, "b")), conditions)
            val expected = measurement.getJSONArray("reasons").objects().map { Reason(it.getString("code"), it.getString("text")) }
            assertEquals(expected, found)
        }
    }

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

    private fun speedup(measurement: JSONObject) = Bootstrap.ratioOfMedians(
        measurement.getJSONObject("b").doubles("samples"),
        measurement.getJSONObject("a").doubles("samples"),
        measurement.ints("round"),
    )

    private fun samples(measurement: JSONObject, side: String): Samples {
        val ms = measurement.getJSONObject(side).doubles("samples")
        return Samples(ms, measurement.ints("block"), measurement.ints("round"), IntArray(ms.size) { it })
    }

    private fun near(expected: JSONObject, name: String, found: Double) =
        near(name, doubleArrayOf(expected.getDouble(name)), doubleArrayOf(found))

    private fun near(name: String, expected: DoubleArray, found: DoubleArray) {
        assertEquals(name, expected.size, found.size)
        for (place in expected.indices) {
            assertEquals(name, expected[place], found[place], RELATIVE * maxOf(1.0, expected[place]))
        }
    }

    private fun JSONObject.doubles(name: String): DoubleArray =
        getJSONArray(name).let { DoubleArray(it.length(), it::getDouble) }

    private fun JSONObject.ints(name: String): IntArray = getJSONArray(name).let { IntArray(it.length(), it::getInt) }
}
