package org.lolvit

import kotlin.math.abs
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment

/** Each packaged artifact in its engine, from encoded photo to logits, against Python's runtimes. */
@RunWith(RobolectricTestRunner::class)
class EngineParityTest {
    private val assets get() = RuntimeEnvironment.getApplication().assets

    @Before fun natives() = NativeLiteRt.load()

    @Test fun `logits are Python's within 1e-4 with the same five classes`() {
        val artifacts = Fixtures.document("logits.json").getJSONArray("artifacts").objects()
        assertTrue(artifacts.size >= 4)
        for (artifact in artifacts) {
            val (model, format) = artifact.getString("model") to artifact.getString("format")
            val source = AssetSource(assets, "lolvit/$model")
            val id = if (format == "onnx") "onnx-cpu" else "litert-cpu"
            val wanted = "$id/${artifact.getString("precision")}"
            val choice = Engines.choices(ModelSpec.load(source)).single { it.id == wanted }
            val spec = ModelSpec.load(source)
            Engines.load(choice, spec, source).use { compare(it, spec, "$model-$format", artifact.getJSONObject("logits").toMap()) }
        }
    }

    private fun compare(engine: Engine, spec: ModelSpec, name: String, expected: Map<String, String>) {
        var worst = 0f
        val input = engine.newInput()
        for ((photo, file) in expected) {
            val logits = Fixtures.floats(file)
            val bitmap = Photos.decode { Fixtures.photo(photo).inputStream() }
            spec.preprocessing.fill(bitmap, checkNotNull(engine.artifact.input.layout), input)
            engine.run(input)
            val found = engine.outputs().single()
            worst = maxOf(worst, logits.indices.maxOf { abs(logits[it] - found[it]) })
            val top = logits.indices.sortedByDescending { logits[it] }.take(5)
            assertEquals("$name on $photo", top, Classification.of(found, spec, 5).top.map { it.index })
        }
        Fixtures.report(
            "logits-$name",
            "logits" to name, "engine" to "${engine.title} ${engine.version}", "photos" to expected.size,
            "largest_difference" to worst,
        )
        assertTrue("$name differs by $worst", worst <= 1e-4f)
    }

    private fun org.json.JSONObject.toMap() = keys().asSequence().associateWith { getString(it) }
}
