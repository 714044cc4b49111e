package org.lolvit.demo.benchmark

import android.app.Activity
import java.io.File
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.benchmark.BenchFixtures
import org.lolvit.NativeLiteRt
import org.lolvit.objects
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

private const val LITERT = "0123456789abcdef"
private const val ORT = "fedcba9876543210"

/**
 * The harness's entry point, run on requests that Python's own types wrote. Recordings are left to the
 * driver, whose Python reads them as the harness does.
 */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class BenchmarkContractTest {
    private val bench get() = InstrumentationHost.folder

    @Before fun aPhoneWithTheHarnessFiles() {
        NativeLiteRt.load()
        InstrumentationHost.debugging(true)
        InstrumentationHost.instrument("action" to "prepare")
        BenchFixtures.requests.copyRecursively(bench, overwrite = true)
    }

    private fun run(name: String) = InstrumentationHost.instrument("action" to "run", "run" to name)

    private fun request(name: String = LITERT) = JSONObject(File(BenchFixtures.requests, "$name.request.json").readText())

    private fun ask(request: JSONObject, name: String = LITERT): Answer {
        File(bench, "$name.request.json").writeText(request.toString())
        return run(name)
    }

    private fun assertFails(answer: Answer, vararg words: String) {
        assertEquals(Activity.RESULT_CANCELED, answer.code)
        val error = answer.results.getValue("error")
        for (word in words) assertTrue("'$error' lacks '$word'", word in error)
        assertEquals("one line", 1, error.lines().size)
        assertFalse("no half answer", bench.list().orEmpty().any { "recording" in it })
    }

    @Test fun `prepare makes the folders and returns the runtimes in one line`() {
        val answer = InstrumentationHost.instrument("action" to "prepare")
        assertEquals(Activity.RESULT_OK, answer.code)
        val line = answer.results.getValue("facts")
        assertEquals(1, line.lines().size)
        val facts = JSONObject(line)
        assertEquals(bench.path, facts.getString("folder"))
        assertEquals(setOf("litert", "ort"), facts.getJSONObject("runtimes").keys().asSequence().toSet())
        assertTrue(File(bench, "files").isDirectory)
        BenchFixtures.out("facts.json").writeText(line)
    }

    @Test fun `requests are run as asked, in both runtimes, with a status after each slot`() {
        for (name in listOf(LITERT, ORT)) {
            val answer = run(name)
            assertEquals(answer.results.toString(), Activity.RESULT_OK, answer.code)
            val asked = request(name).getJSONArray("slots").objects()
            assertEquals(List(asked.size) { (it + 1).toString() }, answer.slots)
            val recording = File(bench, "$name.recording.json")
            val made = JSONObject(recording.readText()).getJSONArray("slots").objects()
            assertEquals(
                asked.map { it.getString("candidate") to it.getInt("burst") },
                made.map { it.getString("candidate") to it.getJSONArray("durations_ns").length() },
            )
            recording.copyTo(BenchFixtures.out("$name.recording.json"), overwrite = true)
        }
        assertFalse(bench.list().orEmpty().any { it.endsWith(".part") })
    }

    @Test fun `a truncated file is refused before a runtime sees it`() {
        val file = artifact()
        file.writeBytes(file.readBytes().copyOf(1000))
        assertFails(run(LITERT), "has 1000 bytes", "push it again")
    }

    @Test fun `a changed file is refused before a runtime sees it`() {
        val file = artifact()
        file.writeBytes(file.readBytes().also { it[500] = (it[500] + 1).toByte() })
        assertFails(run(LITERT), "sha256")
    }

    @Test fun `a missing file is named`() {
        val file = artifact()
        file.delete()
        assertFails(run(LITERT), file.name, "not there")
    }

    @Test fun `a file that is a link out of the folder is refused`() {
        val file = artifact()
        val elsewhere = File(bench.parentFile, "elsewhere.tflite")
        file.renameTo(elsewhere)
        java.nio.file.Files.createSymbolicLink(file.toPath(), elsewhere.toPath())
        assertFails(run(LITERT), "leaves its folder")
    }

    @Test fun `names that leave the folder are refused`() {
        for (name in listOf("../../../../etc/hosts", "a/b", "..", "")) {
            val request = request()
            request.candidate().getJSONObject("artifact").put("name", name)
            assertFails(ask(request), "candidates.0.artifact.name")
        }
        for (name in listOf("../$LITERT", LITERT.uppercase(), "", "0123")) assertFails(run(name), "16 hexadecimal digits")
    }

    @Test fun `a file is only opened under the name of its own sha256`() {
        val request = request()
        request.candidate().getJSONObject("artifact").put("sha256", "0".repeat(64))
        assertFails(ask(request), "artifact.name")
    }

    @Test fun `an unknown runtime, and one that does not open the format, are named`() {
        assertFails(ask(request().put("runtime", "tarot")), "no runtime ‘tarot’", "litert")
        assertFails(ask(request().put("runtime", "ort")), "ort opens onnx, not tflite")
    }

    @Test fun `another schema version names the app that is needed`() {
        assertFails(ask(request().put("schema_version", 1)), "schema version 1", "install the app")
    }

    @Test fun `what is no request is refused by its first wrong field`() {
        assertFails(ask(request().put("surprise", 1)), "surprise")
        assertFails(ask(request().put("threads", 0)), "threads")
        assertFails(ask(request().put("threads", "1")), "threads")
        assertFails(ask(request().apply { remove("slots") }), "slots")
        File(bench, "$LITERT.request.json").writeText("{")
        assertFails(run(LITERT), "not one")
        File(bench, "$LITERT.request.json").delete()
        assertFails(run(LITERT), "can't read")
    }

    @Test fun `a slot of a candidate that is not there is refused`() {
        val request = request()
        request.getJSONArray("slots").getJSONObject(0).put("candidate", "nobody")
        assertFails(ask(request), "nobody")
    }

    @Test fun `an input of another shape or type is refused`() {
        val request = request()
        request.candidate().put("dtype", "uint8")
        assertFails(ask(request), "uint8")
    }

    @Test fun `an artifact that the runtime rejects is one line`() {
        val request = request()
        val garbage = ByteArray(4096) { it.toByte() }
        val digest = BenchFolder.sha256(garbage)
        File(bench, "files/$digest.tflite").writeBytes(garbage)
        request.candidate().put("artifact", JSONObject().put("name", "$digest.tflite").put("sha256", digest).put("bytes", 4096))
        assertFails(ask(request), "LiteRT")
    }

    @Test fun `without debugging nothing is done for anyone`() {
        InstrumentationHost.debugging(false)
        assertFails(run(LITERT), "debugging is off")
        assertFails(InstrumentationHost.instrument("action" to "prepare"), "debugging is off")
    }

    @Test fun `an unknown action is refused`() {
        assertFails(InstrumentationHost.instrument("action" to "dance"), "dance")
        assertFails(InstrumentationHost.instrument(), "prepare or run")
    }

    private fun artifact() = File(bench, "files/" + request().candidate().getJSONObject("artifact").getString("name"))

    private fun JSONObject.candidate(): JSONObject = getJSONArray("candidates").getJSONObject(0)
}
