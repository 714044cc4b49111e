package org.lolvit.demo

import android.net.Uri
import android.os.Looper
import java.io.IOException
import java.util.concurrent.CountDownLatch
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.Fixtures
import org.lolvit.ModelSource
import org.lolvit.NativeLiteRt
import org.lolvit.Photos
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** What happens in an unlucky order: the user is faster than the app. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class WorkbenchTest {
    private val photo = Uri.parse("content://photos/any")
    private val gate = CountDownLatch(1)

    @Before fun natives() = NativeLiteRt.load()

    @Test fun `a photo that comes before the models are known is classified once they are`() {
        val bench = bench { gate.await(); listOf(model(DIGITS)) }
        bench.start(Wish(engine = FAST))
        bench.classify(photo) // as after the process was killed behind the camera app
        assertNull(bench.screen.problem)
        gate.countDown()
        bench.await { prediction != null }
        bench.close()
    }

    @Test fun `cancel before the models are known does not lose them`() {
        val bench = bench { gate.await(); listOf(model(DIGITS)) }
        bench.start(Wish(engine = FAST))
        bench.cancel()
        gate.countDown()
        bench.await { models.isNotEmpty() && stage == Stage.IDLE }
        bench.classify(photo)
        bench.await { prediction != null }
        bench.close()
    }

    @Test fun `closed before the models are known`() {
        val bench = bench { gate.await(); listOf(model(DIGITS)) }
        var told = 0
        bench.start(Wish(engine = FAST))
        bench.listener = { told++ }
        bench.close()
        gate.countDown()
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals("the state at once, and nothing after the end", 1, told)
    }

    @Test fun `assets that can't be listed`() {
        val bench = bench { throw IOException("damaged") }
        bench.start(Wish(engine = FAST))
        bench.await { problem != null }
        assertTrue(bench.screen.problem?.detail.orEmpty(), "damaged" in bench.screen.problem?.detail.orEmpty())
        bench.close()
    }

    @Test fun `a second photo ends the work on the first`() {
        val bench = bench { listOf(model(DIGITS)) }
        bench.start(Wish(engine = FAST))
        bench.await { stage == Stage.IDLE }
        bench.classify(photo)
        bench.classify(photo)
        bench.await { stage == Stage.IDLE }
        assertNotNull(bench.screen.prediction)
        bench.close()
    }

    private fun bench(models: () -> List<ModelSource>) =
        Workbench(models, 1) { Photos.decode { Fixtures.photo("size-64x64.png").inputStream() } }

    private fun Workbench.await(condition: Screen.() -> Boolean) {
        val end = System.nanoTime() + 30_000_000_000
        while (!screen.condition()) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(2)
            assertTrue("waited for half a minute: $screen", System.nanoTime() < end)
        }
    }
}
