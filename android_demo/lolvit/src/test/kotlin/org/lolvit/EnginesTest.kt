package org.lolvit

import java.nio.FloatBuffer
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
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

    private fun assertRefused(engine: String, vararg parts: String) {
        val line = failureOf { model.open(engine).close() }
        for (part in parts) assertTrue("'$line' has no '$part'", part in line)
    }

    @Test fun `each engine is listed, with the reason where it is missing`() {
        val choices = Engines.choices(ModelSpec.load(model.source))
        assertEquals(listOf("litert-cpu/fp32", "litert-gpu/fp32", "onnx-cpu/fp32"), choices.map { it.id })
        assertNull(choices[0].missing)
        assertEquals(Accelerator.GPU, choices[1].accelerator)
        assertTrue(choices[1].missing.orEmpty(), "GPU delegate is not in this app" in choices[1].missing.orEmpty())
        assertRefused("litert-gpu", "LiteRT, GPU, fp32: the GPU delegate is not in this app; add")
    }

    @Test fun `an artifact that is not packaged is a reason`() {
        model.file("model-fp32.onnx").delete()
        val reason = "model-fp32.onnx is not in this app; run: lolvit package --format onnx"
        assertEquals(reason, choice("onnx-cpu").missing)
        assertRefused("onnx-cpu", "ONNX Runtime, CPU: $reason")
        assertEquals("LiteRT, CPU", Classifier(model.source).use { it.engine.title })
    }

    @Test fun `a format that was not exported is a reason`() {
        model.edit { manifest ->
            val artifacts = manifest.getJSONArray("artifacts").objects()
            manifest.put("artifacts", JSONArray(artifacts.filter { it.getString("format") == "tflite" }))
        }
        assertEquals("lolvit_xx was not exported for it; run: lolvit export --to onnx", choice("onnx-cpu").missing)
    }

    @Test fun `a model without any artifact gives the reason why each engine is missing`() {
        listOf("model-fp32.onnx", "model-fp32.tflite").forEach { model.file(it).delete() }
        val line = failureOf { Classifier(model.source).close() }
        assertTrue(line, "no engine here runs lolvit_xx" in line && "model-fp32.tflite is not in this app" in line)
    }

    @Test fun `a truncated artifact is refused before its runtime sees it`() {
        model.truncate("model-fp32.tflite", 1000)
        model.truncate("model-fp32.onnx", 0)
        assertRefused("litert-cpu", "model-fp32.tflite: has 1000 bytes, its manifest has", "package the model again")
        assertRefused("onnx-cpu", "model-fp32.onnx: has 0 bytes, its manifest has")
    }

    @Test fun `an artifact that is longer than in its manifest is refused`() {
        model.file("model-fp32.tflite").appendBytes(ByteArray(200_000))
        assertRefused("litert-cpu", "its manifest has")
    }

    @Test fun `a changed artifact is refused before its runtime sees it`() {
        val file = model.file("model-fp32.tflite")
        file.writeBytes(file.readBytes().also { it[it.size / 2]++ })
        assertRefused("litert-cpu", "does not match the sha256 in its manifest", "package the model again")
    }

    @Test fun `a size that no file has is refused`() {
        for (bytes in listOf(0L, -1L, 1L shl 40)) {
            model.editArtifacts { it.put("bytes", bytes) }
            assertRefused("litert-cpu", "$bytes bytes")
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
        assertRefused("litert-cpu", "its input is float32 1x256x256x3, its manifest has float32 1x224x224x3")
        assertRefused("onnx-cpu", "its input is float32 1x3x256x256, its manifest has float32 1x3x224x224")
    }

    @Test fun `classes that the model does not have are refused by both engines`() {
        model.edit { manifest ->
            putClasses(manifest, 12)
            for (artifact in manifest.getJSONArray("artifacts").objects()) {
                artifact.only("outputs").put("shape", JSONArray(listOf(1, 12)))
            }
        }
        for (engine in listOf("litert-cpu", "onnx-cpu")) {
            assertRefused(engine, "its output is float32 1x10, its manifest has float32 1x12; export the model again")
        }
    }

    @Test fun `a manifest that contradicts itself gives a reason`() {
        model.edit { it.getJSONObject("preprocessing").put("size", JSONArray(listOf(224, 320))) }
        val reason = "its input is 1x256x256x3, the manifest has size 224x320; export it again"
        assertEquals(reason, choice("litert-cpu").missing)
        model.edit { putClasses(it, 11) }
        assertRefused("onnx-cpu", "its input is 1x3x256x256, the manifest has size 224x320")
    }

    @Test fun `an input that is not of normalized floats gives a reason`() {
        model.editArtifacts { it.only("inputs").put("dtype", "float16") }
        assertTrue("input float16" in choice("litert-cpu").missing.orEmpty())
        model.editArtifacts { it.only("inputs").put("dtype", "float32").put("meaning", "pixels") }
        assertTrue("of pixels values" in choice("onnx-cpu").missing.orEmpty())
    }

    @Test fun `what a runtime rejects is one line`() {
        val garbage = "no model at all".toByteArray()
        val digest = MessageDigest.getInstance("SHA-256").digest(garbage).joinToString("") { "%02x".format(it) }
        for (name in listOf("model-fp32.tflite", "model-fp32.onnx")) model.file(name).writeBytes(garbage)
        model.editArtifacts { it.put("bytes", garbage.size).put("sha256", digest) }
        assertRefused("litert-cpu", "LiteRT, CPU: can't load model-fp32.tflite", "choose another engine")
        assertRefused("onnx-cpu", "ONNX Runtime, CPU: can't load model-fp32.onnx", "choose another engine")
    }

    @Test fun `an engine runs on any number of threads, and on one buffer after another`() {
        for (engine in listOf("litert-cpu", "onnx-cpu")) {
            model.open(engine).use { one ->
                model.open(engine, threads = 2).use { two ->
                    val (dark, bright) = one.newInput() to one.newInput()
                    while (bright.hasRemaining()) bright.put(1f)
                    val onDark = one.run(dark)
                    val logits = onDark.copyOf()
                    assertArrayEquals(logits, two.run(dark), 1e-4f)
                    assertSame(onDark, one.run(bright)) // the engine's own array
                    assertArrayEquals(two.run(bright), onDark, 1e-4f)
                    assertTrue(logits.indices.any { logits[it] != onDark[it] })
                    assertArrayEquals(logits, one.run(dark), 0f)
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
