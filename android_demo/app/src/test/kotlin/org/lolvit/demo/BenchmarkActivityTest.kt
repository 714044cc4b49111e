package org.lolvit.demo

import android.content.Context
import android.content.Intent
import android.content.res.Configuration
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.Spinner
import android.widget.TextView
import java.io.File
import java.util.concurrent.TimeUnit
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.AssetSource
import org.lolvit.ModelSource
import org.lolvit.NativeLiteRt
import org.lolvit.benchmark.BenchFixtures
import org.lolvit.benchmark.Profile
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** The two classification models, for a shorter time. */
internal open class QuickActivity : BenchmarkActivity() {
    override val models: (Context) -> List<ModelSource> = { AssetSource.list(it.assets).filter { model -> "lolvit_x" in "$model" } }
    override val profile = Profile.QUICK
}

internal class OneModelActivity : BenchmarkActivity() {
    override val models: (Context) -> List<ModelSource> = { AssetSource.list(it.assets).take(1) }
}

internal class DamagedModelActivity : BenchmarkActivity() {
    override val models: (Context) -> List<ModelSource> = { AssetSource.list(it.assets) + AssetSource(it.assets, "nothing") }
}

/** The benchmark screen on the packaged models, with real interleaved runs. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], qualifiers = "w360dp-h720dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class BenchmarkActivityTest {
    private lateinit var controller: ActivityController<out BenchmarkActivity>
    private val activity get() = controller.get()
    private val root get() = activity.window.decorView

    @Before fun natives() = NativeLiteRt.load()

    private fun open() {
        controller = Robolectric.buildActivity(QuickActivity::class.java).setup()
        waitFor("the form") { shown(R.id.benchmark_form) }
        chooseOnnx()
    }

    /** The desktop's TFLite takes a second for a run. */
    private fun chooseOnnx() {
        val engines = root.child<Spinner>(R.id.benchmark_engine)
        val place = (0 until engines.count).first { "ONNX" in engines.getItemAtPosition(it).toString() }
        engines.setSelection(place)
        shadowOf(Looper.getMainLooper()).idle()
    }

    private fun waitFor(what: String, seconds: Long = 60, holds: () -> Boolean) {
        val limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds)
        while (!holds()) {
            assertTrue("waited for $what; the screen shows '${text(R.id.benchmark_message)}'", System.nanoTime() < limit)
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(5)
        }
    }

    private fun text(id: Int) = root.child<TextView>(id).text.toString()

    private fun shown(id: Int) = root.child<View>(id).visibility == View.VISIBLE

    private fun press(id: Int) = assertTrue(root.child<Button>(id).performClick())

    private fun measured(): String {
        waitFor("the result") { shown(R.id.benchmark_result) }
        return text(R.id.benchmark_headline)
    }

    private fun keepsScreenOn() =
        activity.window.attributes.flags and WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON != 0

    @Test fun `two models run interleaved, and the result is shown and shared as a document`() {
        open()
        press(R.id.benchmark_start)
        assertTrue(keepsScreenOn())
        assertEquals("Cancel", text(R.id.benchmark_start))
        val headline = measured()
        assertFalse(keepsScreenOn())
        assertTrue(headline, "lolvit_xx" in headline && "lolvit_x" in headline)
        assertTrue(text(R.id.benchmark_interval), "95\u00A0% interval" in text(R.id.benchmark_interval))
        assertTrue(text(R.id.benchmark_latencies), "p90" in text(R.id.benchmark_latencies))
        assertTrue(text(R.id.benchmark_quality), Regex("precise|fair|coarse|INVALID").containsMatchIn(text(R.id.benchmark_quality)))
        assertTrue(text(R.id.benchmark_thermal), "Thermal status" in text(R.id.benchmark_thermal))
        assertFalse(shown(R.id.benchmark_curves))
        press(R.id.benchmark_share)
        val send = sent()
        assertEquals(Intent.ACTION_SEND, send.action)
        val uri = checkNotNull(send.clipData).getItemAt(0).uri
        val document = activity.contentResolver.openInputStream(uri)!!.use { it.readBytes().decodeToString() }
        val result = JSONObject(document).getJSONArray("results").getJSONObject(0)
        assertEquals(result.getJSONObject("candidate").getJSONArray("samples").length(), result.getJSONObject("baseline").getJSONArray("samples").length())
        BenchFixtures.out("screen-result.json").writeText(document)
    }

    @Suppress("DEPRECATION") // their replacements are newer than API 26
    private fun sent(): Intent {
        val chooser = shadowOf(activity).nextStartedActivity
        assertEquals(Intent.ACTION_CHOOSER, chooser.action)
        return chooser.getParcelableExtra(Intent.EXTRA_INTENT)!!
    }

    @Test fun `a rotation while measuring loses nothing`() {
        open()
        root.child<Spinner>(R.id.benchmark_first).setSelection(1)
        root.child<Spinner>(R.id.benchmark_second).setSelection(0)
        shadowOf(Looper.getMainLooper()).idle()
        press(R.id.benchmark_start)
        RuntimeEnvironment.setQualifiers("+land")
        controller.recreate()
        assertEquals("Cancel", text(R.id.benchmark_start))
        assertEquals(1, root.child<Spinner>(R.id.benchmark_first).selectedItemPosition)
        assertNotNull(measured())
        controller.recreate()
        assertTrue(shown(R.id.benchmark_result))
    }

    @Test fun `cancelled, it shows that and can begin again`() {
        open()
        press(R.id.benchmark_start)
        waitFor("the first round") { "round" in text(R.id.benchmark_message) }
        press(R.id.benchmark_start)
        waitFor("the end") { "Cancelled" in text(R.id.benchmark_message) }
        assertFalse(shown(R.id.benchmark_result))
        assertFalse(keepsScreenOn())
        assertEquals("Measure", text(R.id.benchmark_start))
        assertTrue(root.child<Button>(R.id.benchmark_start).isEnabled)
    }

    @Test fun `an app in the background does not measure`() {
        open()
        press(R.id.benchmark_start)
        controller.pause().stop()
        waitFor("the end") { "left the screen" in text(R.id.benchmark_message) }
    }

    @Test fun `a model against itself is not measured`() {
        open()
        root.child<Spinner>(R.id.benchmark_second).setSelection(0)
        shadowOf(Looper.getMainLooper()).idle()
        assertFalse(root.child<Button>(R.id.benchmark_start).isEnabled)
        assertTrue("two different models" in text(R.id.benchmark_missing))
    }

    @Test fun `with one model the screen shows how to add the other`() {
        controller = Robolectric.buildActivity(OneModelActivity::class.java).setup()
        waitFor("the message") { "needs two models" in text(R.id.benchmark_message) }
        assertTrue("lolvit export mobilevit_xs --to tflite" in text(R.id.benchmark_message))
        assertFalse(shown(R.id.benchmark_form))
    }

    @Test fun `a damaged model is named on the screen`() {
        controller = Robolectric.buildActivity(DamagedModelActivity::class.java).setup()
        waitFor("the message") { "manifest.json" in text(R.id.benchmark_message) }
        assertFalse(shown(R.id.benchmark_form))
    }

    @Test fun `engines that are not here are named with the reason`() {
        open()
        assertTrue(text(R.id.benchmark_missing), "litert-gpu to it" in text(R.id.benchmark_missing))
    }
}
