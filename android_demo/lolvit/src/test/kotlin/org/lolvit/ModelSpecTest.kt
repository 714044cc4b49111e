package org.lolvit

import kotlinx.coroutines.runBlocking
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
import org.lolvit.LolvitException.Code
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

    private fun assertRefused(code: Code, vararg parts: String) = assertFails(code, *parts) { load() }

    @Test fun `every packaged model is listed and read`() {
        val sources = AssetSource.list(RuntimeEnvironment.getApplication().assets)
        val specs = sources.associate { it.toString() to ModelSpec.load(it) }
        val colours = listOf("colour_detector-128x160", "colour_segmenter-128x160")
        val names = colours + listOf("lolvit_x-256x256", "lolvit_xx-256x256", "lolvit_xx-64x96")
        assertEquals(names.map { "assets/lolvit/$it" }, specs.keys.toList())
        val tasks = listOf("detection", "segmentation", "classification", "classification", "segmentation")
        assertEquals(tasks, specs.values.map { it.task.id })
        assertEquals(listOf(3, 4, 1000, 10, 4), specs.values.map { it.classes })
        assertEquals(listOf(true, true, false, true, false), specs.values.map { it.trained })
        assertTrue(specs.values.all { spec -> spec.artifacts.all { it.packaged } && spec.artifacts.size == 2 })
    }

    @Test fun `a spec holds the values of the manifest`() {
        val json = JSONObject(model.file("manifest.json").readText())
        val spec = load()
        assertEquals("lolvit_xx", spec.name)
        assertEquals(ImageSize(256, 256), spec.size)
        assertEquals(json.getJSONObject("preprocessing").getDouble("crop_pct"), spec.preprocessing.cropPct, 0.0)
        val mean = json.getJSONObject("preprocessing").getJSONArray("mean")
        assertArrayEquals(FloatArray(3) { mean.getDouble(it).toFloat() }, spec.preprocessing.mean, 0f)
        assertEquals(json.getJSONArray("labels").strings(), spec.labels)
    }

    @Test fun `a stretched photo and grey levels are read`() {
        model.edit {
            val grey = JSONArray(listOf(0.5))
            it.getJSONObject("preprocessing").put("resize", "stretch").put("crop_pct", 1.15)
                .put("color", "L").put("mean", grey).put("std", grey)
        }
        val found = load().preprocessing
        assertEquals(listOf(ResizeMode.STRETCH, ColorMode.GREY, 1.15), listOf(found.resize, found.color, found.cropPct))
        assertEquals(listOf(0.5f), found.mean.toList())
        model.edit { it.getJSONObject("preprocessing").put("color", "RGB") }
        assertRefused(Code.MANIFEST_INVALID, "[0.5] for the color RGB")
    }

    @Test fun `a manifest of schema 1 and the same model's of schema 2 give one spec`() {
        val specs = listOf(SCHEMA_1, SCHEMA_2).map { manifest ->
            model.useManifest(manifest)
            fields(load())
        }
        assertEquals(specs[0], specs[1])
        assertEquals(10, specs[0]["classes"])
        assertTrue("${specs[0]}", "meaning=normalized" in specs[0].getValue("artifacts").toString())
    }

    /** All public fields of a spec; arrays as lists, so that they can be compared. */
    private fun fields(spec: ModelSpec): Map<String, Any> = mapOf(
        "name" to spec.name, "task" to spec.task, "size" to spec.size, "cropPct" to spec.preprocessing.cropPct,
        "interpolation" to spec.preprocessing.interpolation, "mean" to spec.preprocessing.mean.toList(),
        "std" to spec.preprocessing.std.toList(), "classes" to spec.classes, "labels" to spec.labels, "colors" to spec.colors,
        "trained" to spec.trained, "weightsSource" to spec.weightsSource, "params" to spec.params, "macs" to spec.macs,
        "artifacts" to spec.artifacts, "resize" to spec.preprocessing.resize, "color" to spec.preprocessing.color,
    )

    @Test fun `a manifest of schema 1 and one of schema 2 classify equally`() {
        NativeLiteRt.load()
        val photo = Photos.decode { Fixtures.photo("full.png").inputStream() }
        for (engine in listOf("litert-cpu", "onnx-cpu")) {
            val (first, second) = listOf(SCHEMA_1, SCHEMA_2).map { manifest ->
                model.useManifest(manifest)
                val choice = Engines.choices(load()).single { it.id.startsWith(engine) }
                Classifier(model.source, choice).use { runBlocking { it.predict(photo, top = 10) } }.prediction
            }
            assertEquals(engine, first, second)
        }
    }

    @Test fun `an unknown task is unsupported`() {
        for (task in listOf("tensors", "depth")) {
            model.edit { it.put("task", task) }
            assertRefused(Code.TASK_UNSUPPORTED, task, "classification, detection, segmentation")
        }
    }

    @Test fun `another way to resize, colour mode or postprocessing is unsupported`() {
        model.useManifest(SCHEMA_2)
        model.edit { it.getJSONObject("preprocessing").put("resize", "pad") }
        assertRefused(Code.SETTING_UNSUPPORTED, "resize", "pad", "crop, stretch, letterbox")
        model.useManifest(SCHEMA_2)
        model.edit { it.getJSONObject("preprocessing").put("color", "RGBA") }
        assertRefused(Code.SETTING_UNSUPPORTED, "color", "RGBA", "RGB, L")
        model.useManifest(SCHEMA_1)
        model.edit { it.getJSONObject("preprocess").put("color", "RGBA") }
        assertRefused(Code.SETTING_UNSUPPORTED, "RGBA")
        model.useManifest(SCHEMA_2)
        model.edit { it.getJSONObject("postprocessing").put("kind", "sigmoid") }
        assertRefused(Code.SETTING_UNSUPPORTED, "postprocessing", "sigmoid", "softmax")
    }

    @Test fun `more outputs or inputs than the task has are unsupported`() {
        val second = JSONObject("""{"name": "boxes", "shape": [1, 4], "dtype": "float32", "layout": null, "meaning": "tensor"}""")
        model.useManifest(SCHEMA_2)
        model.edit { it.getJSONObject("signature").getJSONArray("outputs").put(second) }
        assertRefused(Code.TENSORS_UNSUPPORTED, "signature", "logits, tensor")
        model.useManifest(SCHEMA_2)
        model.editArtifacts { it.getJSONArray("outputs").put(second) }
        assertRefused(Code.TENSORS_UNSUPPORTED, "model-fp32.onnx", "2 outputs")
        model.useManifest(SCHEMA_2)
        model.editArtifacts { it.getJSONArray("inputs").put(second) }
        assertRefused(Code.TENSORS_UNSUPPORTED, "model-fp32.onnx", "2 inputs")
        model.useManifest(SCHEMA_2)
        model.edit { it.getJSONObject("signature").put("outputs", JSONArray()) }
        assertRefused(Code.TENSORS_UNSUPPORTED, "signature")
    }

    @Test fun `an output that is not of logits is unsupported, one of another shape is an error`() {
        model.edit { it.getJSONObject("signature").only("outputs").put("meaning", "features") }
        assertRefused(Code.TENSORS_UNSUPPORTED, "features", "logits")
        for (shape in listOf(listOf(1, 0), listOf(2, 10), listOf(10), listOf(1, 10, 7))) {
            model.useManifest(SCHEMA_2)
            model.edit { it.getJSONObject("signature").only("outputs").put("shape", JSONArray(shape)) }
            assertRefused(Code.MANIFEST_INVALID, "shape ${shape.joinToString("x")} of the logits is out of range")
        }
    }

    @Test fun `a detector's parameters, and the number of its points, are checked`() {
        val detector = ModelFolder(temporary.newFolder(), "colour_detector-128x160")
        val spec = ModelSpec.load(detector.source)
        assertEquals(Postprocessing.Boxes(listOf(8, 16, 32), 0.3, 0.6, 1000, 100), spec.postprocessing)
        assertEquals(listOf("red", "green", "blue"), spec.labels)
        val whole = detector.file("manifest.json").readText()
        for ((field, value) in mapOf("strides" to JSONArray(), "score_threshold" to 1.5, "max_detections" to 0, "iou_threshold" to -1)) {
            detector.file("manifest.json").writeText(whole)
            detector.edit { it.getJSONObject("postprocessing").put(field, value) }
            assertFails(Code.MANIFEST_INVALID, "out of range") { ModelSpec.load(detector.source) }
        }
        detector.file("manifest.json").writeText(whole)
        detector.edit { it.getJSONObject("postprocessing").put("strides", JSONArray(listOf(8, 16))) }
        assertFails(Code.MANIFEST_INVALID, "of the boxes is out of range") { ModelSpec.load(detector.source) }
    }

    @Test fun `a map that the model computes is checked against its size, its type and its classes`() {
        val folder = ModelFolder(temporary.newFolder(), "lolvit_xx-64x96")
        val spec = ModelSpec.load(folder.source)
        assertEquals(Postprocessing.Map(isComputed = true, ignore = 255), spec.postprocessing)
        assertEquals(listOf(1, 64, 96) to "int32", spec.outputs.single().run { shape to dtype })
        val whole = folder.file("manifest.json").readText()
        fun refused(part: String, edit: (JSONObject) -> Unit) {
            folder.file("manifest.json").writeText(whole)
            folder.edit(edit)
            assertFails(Code.MANIFEST_INVALID, part) { ModelSpec.load(folder.source) }
        }
        fun output(json: JSONObject) = json.getJSONObject("signature").only("outputs")
        refused("num_classes 256 is out of range") { it.getJSONObject("postprocessing").put("num_classes", 256) }
        refused("shape 1x64x64 of the") { output(it).put("shape", JSONArray(listOf(1, 64, 64))) }
        refused("type float32 of the") { output(it).put("dtype", "float32") }
        folder.file("manifest.json").writeText(whole)
        folder.edit { it.getJSONObject("postprocessing").put("kind", "argmax") }
        assertFails(Code.TENSORS_UNSUPPORTED, "classes", "logits") { ModelSpec.load(folder.source) }
    }

    @Test fun `colours are the manifest's, else Python's generated ones`() {
        val generated = Fixtures.document("predictions.json").getJSONArray("palette").objects()
            .map { ClassColor(it.getInt("red"), it.getInt("green"), it.getInt("blue")) }
        assertEquals(generated.take(10), load().colors)
        assertEquals(generated, Palette.of(generated.size))
        model.edit { it.put("colors", JSONArray(List(10) { "#0a0b0c" })) }
        assertEquals(ClassColor(10, 11, 12), load().colors[9])
        model.edit { it.put("colors", JSONArray(List(10) { "red" })) }
        assertRefused(Code.MANIFEST_INVALID, "'red'")
    }

    @Test fun `a tensor without a layout is read`() {
        model.editArtifacts { it.only("outputs").put("layout", JSONObject.NULL) }
        assertTrue(load().artifacts.all { it.outputs.single().layout == null && it.input.layout != null })
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
        assertRefused(Code.LABELS_MISMATCH, "2", "10")
    }

    @Test fun `a folder without a manifest is refused`() {
        model.file("manifest.json").delete()
        assertRefused(Code.MANIFEST_MISSING, temporary.root.path)
    }

    @Test fun `what is no JSON is refused`() {
        val deep = listOf("{\"a\":".repeat(100_000), "[".repeat(100_000))
        val texts = listOf("", "{", "[1, 2]", "not json", "\u0000\u0001") + deep
        for (text in texts) {
            model.file("manifest.json").writeText(text)
            assertRefused(Code.MANIFEST_INVALID, "not a manifest")
        }
    }

    @Test fun `another schema version is refused`() {
        for (version in listOf(3, 0, "1", JSONObject.NULL)) {
            model.edit { it.put("schema_version", version) }
            assertRefused(Code.SCHEMA_UNSUPPORTED, "$version", "1, 2")
        }
    }

    @Test fun `a missing field is named`() {
        val fields = mapOf(
            SCHEMA_1 to listOf("model", "num_classes", "preprocess", "weights", "artifacts"),
            SCHEMA_2 to listOf("model", "task", "signature", "preprocessing", "weights", "artifacts"),
        )
        for ((manifest, names) in fields) for (field in names) {
            model.useManifest(manifest)
            model.edit { it.remove(field) }
            assertRefused(Code.MANIFEST_INVALID, field)
        }
    }

    @Test fun `fields of preprocessing that are wrong are refused`() {
        val whole = model.file("manifest.json").readText()
        for ((field, value) in mapOf(
            "size" to JSONArray(listOf(0, 256)), "crop_pct" to 0.0, "crop_pct" to 2.5, "mean" to JSONArray(listOf(0.5)),
            "std" to JSONArray(listOf(0.5, 0.0, 0.5)), "interpolation" to "nearest", "size" to "256",
        ).entries.map { it.toPair() }) {
            model.file("manifest.json").writeText(whole)
            model.edit { it.getJSONObject("preprocessing").put(field, value) }
            assertRefused(if (field == "interpolation") Code.SETTING_UNSUPPORTED else Code.MANIFEST_INVALID)
        }
    }

    @Test fun `a path that leaves the model's folder is refused`() {
        for (path in listOf("../other.tflite", "/etc/passwd", "a/../../b", "..\\x", "")) {
            model.editArtifacts { it.put("path", path) }
            assertRefused(Code.PATH_LEAVES_FOLDER, path)
        }
    }

    @Test fun `a folder source opens nothing outside of its folder`() {
        val outside = temporary.root.resolveSibling("outside.txt").apply { writeText("secret") }
        assertFalse(model.source.exists("../${outside.name}"))
        outside.delete()
    }

    private companion object {
        /** What `lolvit export` of schema version 1 wrote for the trained model, and the same in version 2. */
        const val SCHEMA_1 = "manifest-schema-1.json"
        const val SCHEMA_2 = "manifest-schema-2.json"
    }
}
