package org.lolvit.demo

import android.content.Intent
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotSame
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.Classifier
import org.lolvit.Fixtures
import org.lolvit.Photos
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class MainActivityTest {
    @Test fun `a chosen photo shows the five classes that the model gives`() {
        val rig = Rig(model(DIGITS), state = null)
        rig.pick(photo("full.png"))
        rig.await()
        val bitmap = Photos.decode { Fixtures.photo("full.png").inputStream() }
        val expected = Classifier(model(DIGITS)).use { it.classify(bitmap) }
        val rows = rig.activity.view<ScoreList>(R.id.scores)
        val shown = (0 until rows.childCount).map { texts(rows.getChildAt(it)) }
        assertEquals(expected.top.map { listOf(it.label, rig.activity.percent(it.probability)) }, shown)
        val first = expected.top[0]
        assertEquals("Most likely: ${first.label}, ${rig.activity.percent(first.probability)}", rows.getChildAt(0).contentDescription)
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, rows.getChildAt(0).accessibilityLiveRegion)
    }

    @Test fun `latency is shown as now, median and p90 of runs after a warm-up`() {
        val rig = Rig(model(DIGITS))
        rig.pick(photo("full.png"))
        rig.await()
        for (figure in listOf(R.id.now, R.id.median, R.id.p90)) {
            val spoken = rig.activity.view<View>(figure).contentDescription.toString()
            assertTrue(spoken, Regex("""[\w ]+: [\d,.]+ ms""").matches(spoken))
        }
        assertTrue(rig.text(R.id.runs), Regex("""\d+ runs? of the model alone.*""").matches(rig.text(R.id.runs)))
    }

    @Test fun `the system's photo picker is asked first`() {
        val rig = Rig(model(DIGITS))
        rig.click(R.id.choose)
        assertEquals(MediaStore.ACTION_PICK_IMAGES, shadowOf(rig.activity).nextStartedActivityForResult.intent.action)
    }

    @Test fun `without the picker the file manager is asked, and without both the screen says so`() {
        val rig = Rig(model(DIGITS))
        rig.await()
        shadowOf(RuntimeEnvironment.getApplication()).checkActivities(true)
        rig.click(R.id.choose)
        assertTrue(rig.isShown(R.id.problem))
        assertEquals(rig.activity.getString(R.string.no_picker), rig.text(R.id.problem_text))
        install("files", Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"))
        rig.click(R.id.choose)
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, shadowOf(rig.activity).nextStartedActivityForResult.intent.action)
    }

    @Test fun `turning the device keeps photo, classes and the loaded model`() {
        val rig = Rig(model(DIGITS))
        rig.pick(photo("full.png"))
        rig.await()
        val (before, shown) = rig.activity to texts(rig.activity.view(R.id.scores))
        turn(rig)
        assertNotSame(before, rig.activity)
        assertEquals(shown, texts(rig.activity.view(R.id.scores)))
        assertTrue(rig.isShown(R.id.photo))
    }

    @Test fun `a run goes on while the device is turned`() {
        val rig = Rig(model(DIGITS))
        rig.pick(photo("full.png"))
        turn(rig)
        rig.await()
        assertEquals(5, rig.activity.view<ScoreList>(R.id.scores).childCount)
    }

    @Test fun `after the process was killed the same photo is classified by the same engine`() {
        val rig = Rig(model(DIGITS), model(UNTRAINED))
        rig.await()
        chooseLast(rig.activity.view(R.id.models))
        rig.pick(photo("size-64x64.png"))
        rig.await()
        val shown = texts(rig.activity.view(R.id.scores))
        val saved = Bundle().also { rig.controller.saveInstanceState(it) }
        rig.controller.pause().stop().destroy()
        val again = Rig(model(DIGITS), model(UNTRAINED), state = saved)
        again.await()
        assertEquals(shown, texts(again.activity.view(R.id.scores)))
        assertTrue(again.text(R.id.subtitle).startsWith("lolvit_x on "))
    }

    @Test fun `an untrained model says that its classes mean nothing, a trained one does not`() {
        val rig = Rig(model(DIGITS), model(UNTRAINED))
        rig.pick(photo("full.png"))
        rig.await()
        assertFalse(rig.isShown(R.id.untrained))
        chooseLast(rig.activity.view(R.id.models))
        rig.await()
        assertTrue(rig.isShown(R.id.untrained))
        assertTrue(rig.isShown(R.id.scores))
    }

    @Test fun `another engine classifies the same photo again`() {
        val rig = Rig(model(DIGITS))
        rig.pick(photo("full.png"))
        rig.await()
        val engines = rig.activity.view<ChoiceList>(R.id.engines)
        val other = (0 until engines.childCount).map(engines::getChildAt).first { it.isEnabled }
        val classes = texts(rig.activity.view(R.id.scores)).filterIndexed { i, _ -> i % 2 == 0 }
        other.performClick()
        assertTrue(rig.isShown(R.id.progress))
        rig.await()
        assertTrue(rig.text(R.id.subtitle), rig.text(R.id.subtitle).endsWith((other as android.widget.TextView).text.toString()))
        assertEquals(classes, texts(rig.activity.view(R.id.scores)).filterIndexed { i, _ -> i % 2 == 0 })
    }

    @Test fun `an engine that is missing is shown with its reason and can't be chosen`() {
        val rig = Rig(model(DIGITS))
        rig.await()
        val engines = rig.activity.view<ChoiceList>(R.id.engines)
        val gpu = (0 until engines.childCount).map(engines::getChildAt).single { "GPU" in texts(it).single() }
        assertFalse(gpu.isEnabled)
        assertTrue(texts(gpu).single().lines().size > 1)
    }

    @Test fun `cancel ends the work and keeps what is known`() {
        val rig = Rig(model(DIGITS))
        rig.pick(photo("full.png"))
        rig.await { rig.isShown(R.id.scores) }
        rig.click(R.id.cancel)
        assertFalse(rig.isShown(R.id.progress))
        assertTrue(rig.isShown(R.id.scores))
        rig.pick(photo("size-64x64.png"))
        rig.await()
        assertTrue(rig.isShown(R.id.scores))
    }

    private fun turn(rig: Rig) {
        RuntimeEnvironment.setQualifiers("+land")
        rig.controller.configurationChange(RuntimeEnvironment.getApplication().resources.configuration).visible()
    }

    private fun chooseLast(list: ChoiceList) = assertTrue(list.getChildAt(list.childCount - 1).performClick())
}
