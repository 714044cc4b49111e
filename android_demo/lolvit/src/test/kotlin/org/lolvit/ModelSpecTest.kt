package org.lolvit

import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment

/** Manifests as `lolvit export` writes them, and damaged ones. */
@RunWith(RobolectricTestRunner::class)
class ModelSpecTest {
    @get:Rule val temporary = TemporaryFolder()
    private lateinit var model: ModelFolder

    @Before fun copy() {
        model = ModelFolder(temporary.root)
    }

    private fun load() = ModelSpec.load(model.source)

    private fun assertRefused(vararg parts: String) {
        val line = refusal { load() }
        for (part in parts) assertTrue("'$line' has no '$part'", part in line)
    }

    @Test fun `every packaged model is listed and read`() {
        val sources = AssetSource.list(RuntimeEnvironment.getApplication().assets)
        val specs = sources.associate { it.toString() to ModelSpec.load(it) }
        assertEquals(setOf("assets/lolvit/lolvit_x-256x256", "assets/lolvit/lolvit_xx-256x256"), specs.keys)
        assertEquals(listOf(1000, 10), specs.values.map { it.classes })
        assertEquals(listOf(false, true), specs.values.map { it.trained })
        assertTrue(specs.values.all { spec -> spec.artifacts.all { it.packaged } && spec.artifacts.size == 2 })
    }

    @Test fun `a spec holds what the manifest says`() {
        val json = JSONObject(model.file("manifest.json").readText())
        val spec = load()
        assertEquals("lolvit_xx", spec.name)
        assertEquals(ImageSize(256, 256), spec.size)
        assertEquals(json.getJSONObject("preprocess").getDouble("crop_pct"), spec.cropPct, 0.0)
        val mean = json.getJSONObject("preprocess").getJSONArray("mean")
        assertArrayEquals(FloatArray(3) { mean.getDouble(it).toFloat() }, spec.mean, 0f)
        assertEquals(json.getJSONArray("labels").strings(), spec.labels)
    }

    @Test fun `artifacts of formats that phones don't open are left out`() {
        model.edit {
            val coreml = JSONObject(it.getJSONArray("artifacts").getJSONObject(0).toString())
            it.getJSONArray("artifacts").put(coreml.put("format", "coreml").put("path", "model-fp32.mlpackage"))
        }
        assertEquals(setOf("onnx", "tflite"), load().artifacts.map { it.format }.toSet())
    }

    @Test fun `labels come from labels_txt where the manifest has none`() {
        model.edit { it.put("labels", JSONObject.NULL) }
        assertEquals("class 3", load().label(3))
        model.file("labels.txt").writeText((0..9).joinToString("\n", postfix = "\n") { "digit $it" })
        assertEquals("digit 3", load().label(3))
    }

    @Test fun `labels of another number of classes are refused`() {
        model.edit { it.put("labels", JSONArray(listOf("a", "b"))) }
        assertRefused("2 labels for 10 classes", "one line for each class")
    }

    @Test fun `a folder without a manifest says which command makes one`() {
        model.file("manifest.json").delete()
        assertRefused("no manifest.json here", "run: lolvit package")
    }

    @Test fun `what is no JSON is refused`() {
        val deep = listOf("{\"a\":".repeat(100_000), "[".repeat(100_000))
        val texts = listOf("", "{", "[1, 2]", "not json", "\u0000\u0001") + deep
        for (text in texts) {
            model.file("manifest.json").writeText(text)
            assertRefused("not a manifest", "export the model again")
        }
    }

    @Test fun `another schema version is refused`() {
        for (version in listOf(2, 0, "1", JSONObject.NULL)) {
            model.edit { it.put("schema_version", version) }
            assertRefused("schema version $version, this app reads 1")
        }
    }

    @Test fun `a missing field is named`() {
        val whole = model.file("manifest.json").readText()
        for (field in listOf("model", "num_classes", "preprocess", "weights", "artifacts")) {
            model.file("manifest.json").writeText(whole)
            model.edit { it.remove(field) }
            assertRefused(field, "export the model again")
        }
    }

    @Test fun `fields of preprocessing that are wrong are refused`() {
        val whole = model.file("manifest.json").readText()
        for ((field, value) in mapOf(
            "size" to JSONArray(listOf(0, 256)), "crop_pct" to 0.0, "crop_pct" to 1.5, "mean" to JSONArray(listOf(0.5)),
            "std" to JSONArray(listOf(0.5, 0.0, 0.5)), "interpolation" to "nearest", "size" to "256",
        ).entries.map { it.toPair() }) {
            model.file("manifest.json").writeText(whole)
            model.edit { it.getJSONObject("preprocess").put(field, value) }
            assertRefused("manifest.json")
        }
    }

    @Test fun `a path that leaves the model's folder is refused`() {
        for (path in listOf("../other.tflite", "/etc/passwd", "a/../../b", "..\\x", "")) {
            model.editArtifacts { it.put("path", path) }
            assertRefused("leaves the model's folder")
        }
    }

    @Test fun `a folder source opens nothing outside of its folder`() {
        val outside = temporary.root.resolveSibling("outside.txt").apply { writeText("secret") }
        assertFalse(model.source.exists("../${outside.name}"))
        outside.delete()
    }
}
