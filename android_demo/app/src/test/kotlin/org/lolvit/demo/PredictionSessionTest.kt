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
class PredictionSessionTest {
    private val photo = Uri.parse("content://photos/any")
    private val gate = CountDownLatch(1)

    @Before fun natives() = NativeLiteRt.load()

    @Test fun `a photo that comes before the models are known is predicted for once they are`() {
        val session = session { gate.await(); listOf(model(DIGITS)) }
        session.start(SavedChoices(engine = FAST))
        session.predict(photo) // as after the process was killed behind the camera app
        assertNull(session.screen.problem)
        gate.countDown()
        session.await { predicted != null }
        session.close()
    }

    @Test fun `cancel before the models are known does not lose them`() {
        val session = session { gate.await(); listOf(model(DIGITS)) }
        session.start(SavedChoices(engine = FAST))
        session.cancel()
        gate.countDown()
        session.await { models.isNotEmpty() && stage == Stage.IDLE }
        session.predict(photo)
        session.await { predicted != null }
        session.close()
    }

    @Test fun `closed before the models are known`() {
        val session = session { gate.await(); listOf(model(DIGITS)) }
        var calls = 0
        session.start(SavedChoices(engine = FAST))
        session.listener = { calls++ }
        session.close()
        gate.countDown()
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals("the state at once, and nothing after the end", 1, calls)
    }

    @Test fun `assets that can't be listed`() {
        val session = session { throw IOException("damaged") }
        session.start(SavedChoices(engine = FAST))
        session.await { problem != null }
        assertTrue(session.screen.problem?.detail.orEmpty(), "damaged" in session.screen.problem?.detail.orEmpty())
        session.close()
    }

    @Test fun `a second photo ends the work on the first`() {
        val session = session { listOf(model(DIGITS)) }
        session.start(SavedChoices(engine = FAST))
        session.await { stage == Stage.IDLE }
        session.predict(photo)
        session.predict(photo)
        session.await { stage == Stage.IDLE }
        assertNotNull(session.screen.predicted)
        session.close()
    }

    private fun session(models: () -> List<ModelSource>) =
        PredictionSession(models, 1) { Photos.decode { Fixtures.photo("size-64x64.png").inputStream() } }

    private fun PredictionSession.await(condition: Screen.() -> Boolean) {
        val end = System.nanoTime() + 30_000_000_000
        while (!screen.condition()) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(2)
            assertTrue("waited for half a minute: $screen", System.nanoTime() < end)
        }
    }
}
