package org.lolvit.demo

import android.content.pm.PackageManager
import android.net.Uri
import android.os.Looper
import android.provider.Settings
import android.view.View
import java.io.File
import java.io.FileNotFoundException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.lolvit.Fixtures
import org.lolvit.FolderSource
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Each ends in a message on the screen that says what to do. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class FailuresTest {
    @get:Rule val temporary = TemporaryFolder()

    @Test fun `no packaged model`() {
        val rig = Rig()
        rig.await()
        check(rig, R.string.no_model_title, "lolvit export")
    }

    @Test fun `a truncated model`() {
        val rig = Rig(broken { File(it, "model-fp32.tflite").run { writeBytes(readBytes().copyOf(1000)) } }, state = engine("litert-cpu/fp32"))
        rig.await()
        check(rig, R.string.engine_title, "model-fp32.tflite")
    }

    @Test fun `a manifest that is none`() {
        val rig = Rig(broken { File(it, "manifest.json").writeText("{\"schema_version\": 9}") })
        rig.await()
        check(rig, R.string.model_title, "9")
    }

    @Test fun `a manifest that disagrees with the model`() {
        val rig = Rig(broken { edit(File(it, "manifest.json")) { text -> text.replace("256", "128") } })
        rig.await()
        assertTrue(rig.isShown(R.id.problem))
    }

    @Test fun `a model whose artifacts are all missing names the engines with a reason each`() {
        val rig = Rig(broken { folder -> folder.listFiles().orEmpty().filter { it.extension != "json" }.forEach { it.delete() } })
        rig.await()
        check(rig, R.string.engine_title, rig.activity.getString(R.string.no_engine))
        val engines = rig.activity.view<ChoiceList>(R.id.engines)
        assertTrue((0 until engines.childCount).all { texts(engines.getChildAt(it)).single().lines().size > 1 })
    }

    @Test fun `a broken model beside a sound one`() {
        val rig = Rig(broken { File(it, "manifest.json").delete() }, model(DIGITS))
        rig.pick(photo("full.png"))
        rig.await()
        assertTrue(rig.isShown(R.id.scores))
        rig.activity.view<ChoiceList>(R.id.models).getChildAt(0).performClick()
        rig.await()
        check(rig, R.string.model_title, "manifest.json")
        assertFalse(rig.isShown(R.id.scores))
    }

    @Test fun `a photo that is no photo`() {
        val rig = Rig(model(DIGITS))
        rig.pick(offered("text.jpg") { "no photo".byteInputStream() })
        rig.await()
        check(rig, R.string.photo_title, "choose")
    }

    @Test fun `a photo that another app gives no more`() {
        val failures = listOf(FileNotFoundException("gone"), SecurityException("not yours"), IllegalStateException("its own"))
        for (failure in failures) {
            val rig = Rig(model(DIGITS))
            rig.pick(offered("gone.jpg") { throw failure })
            rig.await()
            check(rig, R.string.photo_title, "choose")
            rig.controller.pause().stop().destroy()
        }
    }

    @Test fun `after a failure the next photo is classified`() {
        val rig = Rig(model(DIGITS))
        rig.pick(offered("text.jpg") { "no photo".byteInputStream() })
        rig.await()
        rig.pick(photo("full.png"))
        rig.await()
        assertFalse(rig.isShown(R.id.problem))
        assertTrue(rig.isShown(R.id.scores))
    }

    @Test fun `memory that does not suffice, and a mistake of ours`() {
        assertEquals(R.string.memory_title, failed { throw OutOfMemoryError() }?.title)
        val mistake = failed { throw IllegalStateException("which") }
        assertEquals(R.string.unforeseen_title, mistake?.title)
        assertTrue(mistake?.detail.orEmpty(), "which" in mistake?.detail.orEmpty())
    }

    @Test fun `a device without a camera`() {
        val rig = Rig(model(DIGITS))
        assertFalse(rig.activity.view<View>(R.id.take).isEnabled)
        assertFalse(rig.activity.view<View>(R.id.live).isEnabled)
        assertEquals(rig.activity.getString(R.string.no_camera), rig.text(R.id.camera_reason))
    }

    @Test fun `the camera refused leads to the settings`() {
        givePhoneACamera()
        val rig = Rig(model(DIGITS))
        rig.await()
        rig.click(R.id.live)
        rig.answer(3, PackageManager.PERMISSION_DENIED)
        check(rig, R.string.refused_title, "settings")
        rig.click(R.id.problem_action)
        assertEquals(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, shadowOf(rig.activity).nextStartedActivity.action)
    }

    private fun failed(decode: () -> Nothing): Problem? {
        val bench = Workbench({ listOf(model(DIGITS)) }, 1) { decode() }
        bench.start(Wish(engine = FAST, photo = Uri.parse("content://photos/any")))
        while (bench.screen.problem == null) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(5)
        }
        return bench.screen.problem.also { bench.close() }
    }

    private fun check(rig: Rig, title: Int, remedy: String) {
        assertTrue(rig.isShown(R.id.problem))
        assertEquals(rig.activity.getString(title), rig.text(R.id.problem_title))
        assertTrue(rig.text(R.id.problem_text), remedy in rig.text(R.id.problem_text))
    }

    private fun broken(damage: (File) -> Unit): FolderSource {
        val folder = temporary.newFolder()
        Fixtures.model(DIGITS).copyRecursively(folder, overwrite = true)
        damage(folder)
        return FolderSource(folder)
    }

    private fun edit(file: File, change: (String) -> String) = file.writeText(change(file.readText()))
}
