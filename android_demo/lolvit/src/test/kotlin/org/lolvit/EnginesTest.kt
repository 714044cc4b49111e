package org.lolvit

import java.nio.FloatBuffer
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.lolvit.LolvitException.Code
import org.robolectric.RobolectricTestRunner

/** Which engines a model has here, and which artifacts they reject. */
@RunWith(RobolectricTestRunner::class)
class EnginesTest {
    @get:Rule val temporary = TemporaryFolder()
    private lateinit var model: ModelFolder

    @Before fun copy() {
        NativeLiteRt.load()
        model = ModelFolder(temporary.root)
    }

    private fun choice(engine: String) =
        Engines.choices(ModelSpec.load(model.source)).first { it.id.startsWith(engine) }

    /** Gives a manifest another number of classes, in its signature alone. */
    private fun putClasses(manifest: JSONObject, classes: Int) {
        manifest.getJSONObject("signature").only("outputs").put("shape", JSONArray(listOf(1, classes)))
        manifest.put("labels", JSONObject.NULL)
    }

    private fun assertRefused(engine: String, code: Code, vararg parts: String) =
        assertFails(code, *parts) { model.open(engine).close() }

    @Test fun `each engine is listed, with the reason where it is missing`() {
        val choices = Engines.choices(ModelSpec.load(model.source))
        assertEquals(listOf("litert-cpu/fp32", "litert-gpu/fp32", "onnx-cpu/fp32"), choices.map { it.id })
        assertNull(choices[0].missing)
        assertEquals(ComputeUnit.GPU, choices[1].unit)
        assertEquals(Code.ENGINE_ABSENT, choices[1].missing?.code)
        assertRefused("litert-gpu", Code.ENGINE_ABSENT, "LiteRT, GPU", "litert-gpu")
    }

    @Test fun `an artifact that is not packaged is a reason`() {
        model.file("model-fp32.onnx").delete()
        assertRefused("onnx-cpu", Code.ENGINE_NOT_PACKAGED, "ONNX Runtime, CPU", "model-fp32.onnx")
        assertEquals("litert-cpu/fp32", opened().use { it.report.choice.id })
    }

    @Test fun `a format that was not exported is a reason`() {
        model.edit { manifest ->
            val artifacts = manifest.getJSONArray("artifacts").objects()
            manifest.put("artifacts", JSONArray(artifacts.filter { it.getString("format") == "tflite" }))
        }
        assertEquals(Code.ENGINE_NOT_EXPORTED, choice("onnx-cpu").missing?.code)
    }

    @Test fun `a model without any artifact gives the reason why each engine is missing`() {
        listOf("model-fp32.onnx", "model-fp32.tflite").forEach { model.file(it).delete() }
        assertFails(Code.ALL_ENGINES_FAILED, "lolvit_xx", "path=model-fp32.tflite", "path=model-fp32.onnx") { opened().close() }
    }

    @Test fun `the next engine is taken where one can't load its artifact, and the report says why`() {
        model.truncate("model-fp32.tflite", 1000)
        opened().use { model ->
            assertEquals("onnx-cpu/fp32", model.report.choice.id)
            assertEquals(listOf("litert-cpu/fp32" to Code.ARTIFACT_CHANGED), model.report.fallbacks.map { it.choice.id to it.reason.code })
        }
        val asked = choice("litert-cpu")
        assertFails(Code.ARTIFACT_CHANGED) { Engines.open(asked, ModelSpec.load(model.source), model.source).close() }
    }

    private fun opened() = Engines.open(null, ModelSpec.load(model.source), model.source)

    @Test fun `a truncated artifact is refused before its runtime sees it`() {
        model.truncate("model-fp32.tflite", 1000)
        model.truncate("model-fp32.onnx", 0)
        assertRefused("litert-cpu", Code.ARTIFACT_CHANGED, "model-fp32.tflite", "1000 bytes instead of")
        assertRefused("onnx-cpu", Code.ARTIFACT_CHANGED, "model-fp32.onnx", "0 bytes instead of")
    }

    @Test fun `an artifact that is longer than in its manifest is refused`() {
        model.file("model-fp32.tflite").appendBytes(ByteArray(200_000))
        assertRefused("litert-cpu", Code.ARTIFACT_CHANGED, "bytes instead of")
    }

    @Test fun `a changed artifact is refused before its runtime sees it`() {
        val file = model.file("model-fp32.tflite")
        file.writeBytes(file.readBytes().also { it[it.size / 2]++ })
        assertRefused("litert-cpu", Code.ARTIFACT_CHANGED, "another sha256")
    }

    @Test fun `a size that no file has is refused`() {
        for (bytes in listOf(0L, -1L, 1L shl 40)) {
            model.editArtifacts { it.put("bytes", bytes) }
            assertRefused("litert-cpu", Code.ARTIFACT_CHANGED, "$bytes bytes")
        }
    }

    @Test fun `an input that the model does not have is refused by both engines`() {
        model.edit { manifest ->
            manifest.getJSONObject("preprocessing").put("size", JSONArray(listOf(224, 224)))
            for (artifact in manifest.getJSONArray("artifacts").objects()) {
                val nhwc = artifact.only("inputs").getString("layout") == "NHWC"
                val shape = if (nhwc) listOf(1, 224, 224, 3) else listOf(1, 3, 224, 224)
                artifact.only("inputs").put("shape", JSONArray(shape))
            }
        }
        val code = Code.ENGINE_INCOMPATIBLE
        assertRefused("litert-cpu", code, "input is float32 1x256x256x3, the manifest has float32 1x224x224x3")
        assertRefused("onnx-cpu", code, "input is float32 1x3x256x256, the manifest has float32 1x3x224x224")
    }

    @Test fun `classes that the model does not have are refused by both engines`() {
        model.edit { manifest ->
            putClasses(manifest, 12)
            for (artifact in manifest.getJSONArray("artifacts").objects()) {
                artifact.only("outputs").put("shape", JSONArray(listOf(1, 12)))
            }
        }
        for (engine in listOf("litert-cpu", "onnx-cpu")) {
            assertRefused(engine, Code.ENGINE_INCOMPATIBLE, "is float32 1x10, the manifest has float32 1x12")
        }
    }

    @Test fun `a manifest that contradicts itself gives a reason`() {
        model.edit { it.getJSONObject("preprocessing").put("size", JSONArray(listOf(224, 320))) }
        assertRefused("litert-cpu", Code.ENGINE_INCOMPATIBLE, "input 1x256x256x3, the manifest has size 224x320")
        model.edit { it.getJSONObject("preprocessing").put("size", JSONArray(listOf(256, 256))) }
        model.edit { putClasses(it, 11) }
        assertRefused("onnx-cpu", Code.ENGINE_INCOMPATIBLE, "output 1x10, the manifest's signature has 1x11")
    }

    @Test fun `an input that is not of normalized floats gives a reason`() {
        model.editArtifacts { it.only("inputs").put("dtype", "float16") }
        assertRefused("litert-cpu", Code.ENGINE_INCOMPATIBLE, "is float16, not float32")
        model.editArtifacts { it.only("inputs").put("dtype", "float32").put("meaning", "pixels") }
        assertRefused("onnx-cpu", Code.ENGINE_INCOMPATIBLE, "of pixels values")
    }

    @Test fun `what a runtime rejects is reported with its reason`() {
        val garbage = "no model at all".toByteArray()
        val digest = MessageDigest.getInstance("SHA-256").digest(garbage).joinToString("") { "%02x".format(it) }
        for (name in listOf("model-fp32.tflite", "model-fp32.onnx")) model.file(name).writeBytes(garbage)
        model.editArtifacts { it.put("bytes", garbage.size).put("sha256", digest) }
        assertRefused("litert-cpu", Code.LOAD_FAILED, "LiteRT, CPU", "model-fp32.tflite")
        assertRefused("onnx-cpu", Code.LOAD_FAILED, "ONNX Runtime, CPU", "model-fp32.onnx")
    }

    @Test fun `an engine runs on any number of threads, and on one buffer after another`() {
        for (engine in listOf("litert-cpu", "onnx-cpu")) {
            model.open(engine).use { one ->
                model.open(engine, threads = 2).use { two ->
                    val (dark, bright) = one.newInput() to one.newInput()
                    while (bright.hasRemaining()) bright.put(1f)
                    fun Engine.logits(input: FloatBuffer): FloatArray = run(input).let { outputs().single() }
                    val onDark = one.logits(dark)
                    val kept = onDark.copyOf()
                    assertArrayEquals(onDark, two.logits(dark), 1e-4f)
                    val onBright = one.logits(bright)
                    assertArrayEquals(two.logits(bright), onBright, 1e-4f)
                    assertTrue(onDark.indices.any { onDark[it] != onBright[it] })
                    assertArrayEquals("the caller's own array", kept, onDark, 0f)
                    assertArrayEquals(onDark, one.logits(dark), 0f)
                }
            }
        }
    }

    @Test fun `a buffer that is not from newInput is a mistake of the caller`() {
        model.open("litert-cpu").use { engine ->
            val onHeap = FloatBuffer.allocate(3 * 256 * 256)
            assertThrows(IllegalArgumentException::class.java) { engine.run(onHeap) }
        }
    }
}
