package org.lolvit

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.lolvit.LolvitException.Code
import org.robolectric.RobolectricTestRunner

/** What the first outputs of an engine decide. */
@RunWith(RobolectricTestRunner::class)
class SelfCheckTest {
    @get:Rule val temporary = TemporaryFolder()
    private lateinit var model: ModelFolder

    @Before fun copy() {
        NativeLiteRt.load()
        model = ModelFolder(temporary.root)
    }

    private fun open(choice: EngineChoice? = null) = Engines.open(choice, ModelSpec.load(model.source), model.source)

    private fun choice(id: String) = Engines.choices(ModelSpec.load(model.source)).single { it.id == id }

    @Test fun `both engines agree with the outputs that Python packaged`() {
        for (id in listOf("litert-cpu/fp32", "onnx-cpu/fp32")) open(choice(id)).use { model ->
            assertEquals(id, model.report.choice.id)
            assertTrue(snr(model).toString(), snr(model) > 90)
            Fixtures.report("self-check-${id.substringBefore('/')}", "self-check" to id, "snr_db" to Math.round(snr(model)))
        }
    }

    @Test fun `a detector's and a segmenter's outputs are checked likewise`() {
        for (name in listOf("colour_detector-128x160", "colour_segmenter-128x160")) {
            val source = FolderSource(Fixtures.model(name))
            val spec = ModelSpec.load(source)
            for (choice in Engines.choices(spec).filter { it.missing == null }) {
                Engines.open(choice, spec, source).use { model -> assertTrue(name, snr(model) > 90) }
            }
        }
    }

    private fun snr(model: OpenedModel) = (model.report.selfCheck as SelfCheckOutcome.Passed).snrDb

    @Test fun `an engine with other outputs is left for the next one, and the report says why`() {
        edit("model-fp32.tflite") { it.getJSONArray("outputs").getJSONObject(0).put("values", base64(FloatArray(10) { i -> i.toFloat() })) }
        for (asked in listOf(null, choice("litert-cpu/fp32"))) open(asked).use { model ->
            assertEquals("onnx-cpu/fp32", model.report.choice.id)
            val fallback = model.report.fallbacks.single()
            assertEquals("litert-cpu/fp32" to Code.SELF_CHECK_MISSED, fallback.choice.id to fallback.reason.code)
            assertTrue(fallback.reason.details.getValue("snr_db").toDouble() < 60)
        }
    }

    @Test fun `where no engine agrees, that is the failure`() {
        for (name in listOf("model-fp32.tflite", "model-fp32.onnx")) edit(name) { it.put("min_snr_db", 1000.0) }
        assertFails(Code.ALL_ENGINES_FAILED, "self_check_missed") { open().close() }
    }

    @Test fun `expected outputs of another artifact, or none, are no check`() {
        edit("model-fp32.onnx") { it.put("sha256", "0".repeat(64)).put("min_snr_db", 1000.0) }
        assertEquals(SelfCheckOutcome.Absent, open(choice("onnx-cpu/fp32")).use { it.report.selfCheck })
        model.file(SelfCheck.NAME).delete()
        assertEquals(SelfCheckOutcome.Absent, open(choice("litert-cpu/fp32")).use { it.report.selfCheck })
    }

    @Test fun `a damaged file is named, and one of a newer version is left out`() {
        val whole = model.file(SelfCheck.NAME).readText()
        for (text in listOf("{", "[]", JSONObject(whole).put("levels", "AAAA").toString(), JSONObject(whole).put("levels", "?").toString())) {
            model.file(SelfCheck.NAME).writeText(text)
            assertFails(Code.SELF_CHECK_INVALID, SelfCheck.NAME) { open().close() }
        }
        model.file(SelfCheck.NAME).writeText(JSONObject(whole).put("schema_version", 2).toString())
        assertEquals(SelfCheckOutcome.Absent, open().use { it.report.selfCheck })
    }

    @Test fun `outputs that are not finite, or too few, agree with nothing`() {
        for (values in listOf(floatArrayOf(Float.NaN), FloatArray(3))) {
            edit("model-fp32.onnx") { it.put("outputs", JSONArray().put(JSONObject().put("values", base64(values)))) }
            edit("model-fp32.tflite") { it.put("min_snr_db", 1000.0) }
            assertFails(Code.ALL_ENGINES_FAILED, "snr_db=-300.0") { open().close() }
        }
    }

    /** Edits what is expected of an artifact. */
    private fun edit(path: String, change: (JSONObject) -> Unit) {
        val json = JSONObject(model.file(SelfCheck.NAME).readText())
        json.getJSONArray("artifacts").objects().filter { it.getString("path") == path }.forEach(change)
        model.file(SelfCheck.NAME).writeText(json.toString())
    }

    private fun base64(values: FloatArray): String {
        val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        values.forEach(bytes::putFloat)
        return Base64.getEncoder().encodeToString(bytes.array())
    }
}
