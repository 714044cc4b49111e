package org.lolvit.demo

import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.net.Uri
import android.os.Looper
import android.provider.Settings
import android.view.View
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.FileNotFoundException
import java.security.MessageDigest
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.lolvit.Fixtures
import org.lolvit.FolderSource
import org.lolvit.LolvitException
import org.lolvit.ModelFolder
import org.lolvit.objects
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Each failure ends in a message on the screen that says what to do. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class FailuresTest {
    @get:Rule val temporary = TemporaryFolder()

    @Test fun `no packaged model`() {
        val robot = MainScreenRobot()
        robot.await()
        check(robot, R.string.no_model_title, "lolvit export")
    }

    @Test fun `a truncated model`() {
        val robot = MainScreenRobot(broken { File(it, "model-fp32.tflite").run { writeBytes(readBytes().copyOf(1000)) } }, state = engine("litert-cpu/fp32"))
        robot.await()
        check(robot, R.string.engine_title, "model-fp32.tflite does not match its manifest: 1000 bytes instead of")
    }

    @Test fun `a photo that is too elongated, with what to do`() {
        val robot = MainScreenRobot(model(DIGITS))
        val thread = ByteArrayOutputStream()
        Bitmap.createBitmap(60_000, 1, Bitmap.Config.ARGB_8888).compress(Bitmap.CompressFormat.PNG, 100, thread)
        robot.pick(offered("thread.png") { thread.toByteArray().inputStream() })
        robot.await()
        check(robot, R.string.photo_title, "60000 × 1 pixels is too elongated. Crop it first.")
    }

    @Test fun `an engine whose outputs are not the expected ones is left for another, and the screen says so`() {
        val folder = broken { folder ->
            edit(File(folder, "self-check.json")) { text ->
                val json = JSONObject(text)
                json.getJSONArray("artifacts").objects().first { it.getString("path").endsWith("onnx") }.put("min_snr_db", 1000)
                json.toString()
            }
        }
        val robot = MainScreenRobot(folder)
        robot.pick(photo("full.png"))
        robot.await()
        assertTrue(robot.isShown(R.id.scores) && robot.isShown(R.id.fallback))
        val reason = robot.text(R.id.fallback_text)
        assertTrue(reason, reason.startsWith("ONNX Runtime, CPU, fp32 computes other values than expected on this device"))
        assertTrue(robot.text(R.id.subtitle), robot.text(R.id.subtitle).endsWith("LiteRT, CPU, fp32"))
    }

    @Test fun `every code has a text, which its details fill`() {
        val context = RuntimeEnvironment.getApplication()
        val details = Regex("`(\\w+)`")
        val source = File(System.getProperty("lolvit.library")!!, "src/main/kotlin/org/lolvit/LolvitException.kt").readText()
        for (code in LolvitException.Code.entries) {
            val documented = source.substringBefore("        ${code.name},").substringAfterLast("/**")
            val names = details.findAll(documented).map { it.groupValues[1] }.toList()
            val text = context.describe(LolvitException(code, *names.map { it to "X$it" }.toTypedArray()))
            assertFalse("${code.id}: $text", "{" in text)
            assertTrue("${code.id}: $text", text.length > 20)
        }
    }

    @Test fun `a manifest that is none`() {
        val robot = MainScreenRobot(broken { File(it, "manifest.json").writeText("{\"schema_version\": 9}") })
        robot.await()
        check(robot, R.string.model_title, "9")
    }

    @Test fun `a manifest that disagrees with the model`() {
        val robot = MainScreenRobot(broken { edit(File(it, "manifest.json")) { text -> text.replace("256", "128") } })
        robot.await()
        assertTrue(robot.isShown(R.id.problem))
    }

    @Test fun `a model for another task`() {
        val robot = MainScreenRobot(broken { edit(File(it, "manifest.json")) { text -> text.replace("\"classification\"", "\"tensors\"") } })
        robot.await()
        check(robot, R.string.model_title, "is for the task ‘tensors’")
    }

    @Test fun `a model that no runtime can load`() {
        val folder = ModelFolder(temporary.newFolder(), DIGITS)
        val garbage = "no model at all".toByteArray()
        val digest = MessageDigest.getInstance("SHA-256").digest(garbage).joinToString("") { "%02x".format(it) }
        folder.editArtifacts {
            folder.file(it.getString("path")).writeBytes(garbage)
            it.put("bytes", garbage.size).put("sha256", digest)
        }
        val robot = MainScreenRobot(folder.source)
        robot.pick(photo("full.png"))
        robot.await()
        check(robot, R.string.engine_title, "ONNX Runtime, CPU can’t load model-fp32.onnx")
        assertTrue(robot.text(R.id.problem_text).endsWith("Choose another engine."))
    }

    @Test fun `a device on which every engine misses the self-check`() {
        val folder = broken { folder ->
            edit(File(folder, "self-check.json")) { text ->
                JSONObject(text).apply { getJSONArray("artifacts").objects().forEach { it.put("min_snr_db", 1000) } }.toString()
            }
        }
        val robot = MainScreenRobot(folder)
        robot.pick(photo("full.png"))
        robot.await()
        check(robot, R.string.engine_title, "No engine here runs lolvit_xx")
        assertTrue(robot.text(R.id.problem_text), "self_check_missed" in robot.text(R.id.problem_text))
        assertFalse(robot.isShown(R.id.scores))
    }

    @Test fun `a model whose artifacts are all missing names the engines with a reason each`() {
        val robot = MainScreenRobot(broken { folder -> folder.listFiles().orEmpty().filter { it.extension != "json" }.forEach { it.delete() } })
        robot.await()
        check(robot, R.string.engine_title, robot.activity.getString(R.string.no_engine))
        val engines = robot.activity.view<ChoiceList>(R.id.engines)
        assertTrue((0 until engines.childCount).all { texts(engines.getChildAt(it)).single().lines().size > 1 })
    }

    @Test fun `a broken model beside a sound one`() {
        val robot = MainScreenRobot(broken { File(it, "manifest.json").delete() }, model(DIGITS))
        robot.pick(photo("full.png"))
        robot.await()
        assertTrue(robot.isShown(R.id.scores))
        robot.activity.view<ChoiceList>(R.id.models).getChildAt(0).performClick()
        robot.await()
        check(robot, R.string.model_title, "manifest.json")
        assertFalse(robot.isShown(R.id.scores))
    }

    @Test fun `a photo that is no photo`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.pick(offered("text.jpg") { "no photo".byteInputStream() })
        robot.await()
        check(robot, R.string.photo_title, "Choose a JPEG or PNG")
    }

    @Test fun `a photo that another app gives no more`() {
        val failures = listOf(FileNotFoundException("gone"), SecurityException("not yours"), IllegalStateException("its own"))
        for (failure in failures) {
            val robot = MainScreenRobot(model(DIGITS))
            robot.pick(offered("gone.jpg") { throw failure })
            robot.await()
            check(robot, R.string.photo_title, "Choose it again")
            robot.controller.pause().stop().destroy()
        }
    }

    @Test fun `after a failure the next photo is classified`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.pick(offered("text.jpg") { "no photo".byteInputStream() })
        robot.await()
        robot.pick(photo("full.png"))
        robot.await()
        assertFalse(robot.isShown(R.id.problem))
        assertTrue(robot.isShown(R.id.scores))
    }

    @Test fun `memory that does not suffice, and a mistake of ours`() {
        assertEquals(R.string.memory_title, failed { throw OutOfMemoryError() }?.title)
        val mistake = failed { throw IllegalStateException("which") }
        assertEquals(R.string.unforeseen_title, mistake?.title)
        assertTrue(mistake?.detail.orEmpty(), "which" in mistake?.detail.orEmpty())
    }

    @Test fun `a device without a camera`() {
        val robot = MainScreenRobot(model(DIGITS))
        assertFalse(robot.activity.view<View>(R.id.take).isEnabled)
        assertFalse(robot.activity.view<View>(R.id.live).isEnabled)
        assertEquals(robot.activity.getString(R.string.no_camera), robot.text(R.id.camera_reason))
    }

    @Test fun `the camera refused leads to the settings`() {
        givePhoneACamera()
        val robot = MainScreenRobot(model(DIGITS))
        robot.await()
        robot.click(R.id.live)
        robot.answer(3, PackageManager.PERMISSION_DENIED)
        check(robot, R.string.refused_title, "settings")
        robot.click(R.id.problem_action)
        assertEquals(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, shadowOf(robot.activity).nextStartedActivity.action)
    }

    private fun failed(decode: () -> Nothing): Problem? {
        val bench = PredictionSession({ listOf(model(DIGITS)) }, 1) { decode() }
        bench.start(SavedChoices(engine = FAST, photo = Uri.parse("content://photos/any")))
        while (bench.screen.problem == null) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(5)
        }
        return bench.screen.problem.also { bench.close() }
    }

    private fun check(robot: MainScreenRobot, title: Int, remedy: String) {
        assertTrue(robot.isShown(R.id.problem))
        assertEquals(robot.activity.getString(title), robot.text(R.id.problem_title))
        assertTrue(robot.text(R.id.problem_text), remedy in robot.text(R.id.problem_text))
    }

    private fun broken(damage: (File) -> Unit): FolderSource {
        val folder = temporary.newFolder()
        Fixtures.model(DIGITS).copyRecursively(folder, overwrite = true)
        damage(folder)
        return FolderSource(folder)
    }

    private fun edit(file: File, change: (String) -> String) = file.writeText(change(file.readText()))
}
