package org.lolvit.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.ScrollView
import android.widget.TextView
import java.util.concurrent.TimeUnit
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.NativeLiteRt
import org.lolvit.benchmark.BenchFixtures
import org.lolvit.demo.benchmark.BenchmarkPlan
import org.lolvit.demo.benchmark.BenchmarkSession
import org.lolvit.demo.benchmark.BenchmarkState
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** A whole result with its curves, drawn: narrow, light and dark, and with letters twice as large. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], qualifiers = "w360dp-h720dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class BenchmarkPicturesTest {
    private lateinit var controller: ActivityController<QuickActivity>
    private val root get() = controller.get().window.decorView

    @Suppress("DEPRECATION")
    private val session get() = controller.get().onRetainNonConfigurationInstance() as BenchmarkSession

    @Before fun natives() = NativeLiteRt.load()

    private fun waitUntil(holds: () -> Boolean) {
        val limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(90)
        while (!holds()) {
            assertTrue("waited in vain at ${session.state}", System.nanoTime() < limit)
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(10)
        }
        shadowOf(Looper.getMainLooper()).idle()
    }

    private fun measure() {
        controller = Robolectric.buildActivity(QuickActivity::class.java).setup()
        waitUntil { session.models.size >= 2 && session.state is BenchmarkState.Ready }
        val (b, a) = session.models.sortedBy { it.spec.params }
        val engine = a.engines.first { it.id == FAST }
        session.start(BenchmarkPlan(a, b, engine, threads = 1, sustainedSeconds = 2.0))
        waitUntil { session.state is BenchmarkState.Done }
    }

    /** Draws all that can be scrolled to. */
    private fun picture(name: String) {
        val content = root.child<ScrollView>(R.id.benchmark_scroll).getChildAt(0)
        val bitmap = Bitmap.createBitmap(content.width, content.height, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(bitmap)
        canvas.drawColor(controller.get().getColor(R.color.page))
        content.draw(canvas)
        BenchFixtures.out("$name.png").outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    private fun texts(view: View): List<TextView> = when (view) {
        is TextView -> listOf(view)
        is ViewGroup -> (0 until view.childCount).flatMap { texts(view.getChildAt(it)) }
        else -> emptyList()
    }

    @Test fun `a result fits light, dark and large letters, and describes its curves to a screen reader`() {
        measure()
        picture("android-benchmark-light")
        RuntimeEnvironment.setQualifiers("+night")
        controller.recreate()
        shadowOf(Looper.getMainLooper()).idle()
        picture("android-benchmark-dark")
        RuntimeEnvironment.setQualifiers("+notnight")
        RuntimeEnvironment.setFontScale(2f)
        controller.recreate()
        shadowOf(Looper.getMainLooper()).idle()
        picture("android-benchmark-large")
        for (view in texts(root).filter(View::isShown)) {
            val layout = view.layout ?: continue
            for (line in 0 until layout.lineCount) {
                assertEquals("'${view.text}' is cut off", 0, layout.getEllipsisCount(line))
                assertTrue("'${view.text}' is wider than its view", layout.getLineMax(line) <= view.width)
            }
        }
        val description = root.child<View>(R.id.benchmark_curve).contentDescription.toString()
        assertTrue(description, "relative to each model's first runs" in description && "lolvit_xx" in description)
    }
}
