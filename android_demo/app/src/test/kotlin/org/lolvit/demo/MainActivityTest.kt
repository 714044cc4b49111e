package org.lolvit.demo

import android.content.Intent
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import kotlinx.coroutines.runBlocking
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
        val robot = MainScreenRobot(model(DIGITS), state = null)
        robot.pick(photo("full.png"))
        robot.await()
        val bitmap = Photos.decode { Fixtures.photo("full.png").inputStream() }
        val expected = Classifier(model(DIGITS)).use { runBlocking { it.predict(bitmap) } }.prediction
        val rows = robot.activity.view<ScoreList>(R.id.scores)
        val shown = (0 until rows.childCount).map { texts(rows.getChildAt(it)) }
        assertEquals(expected.top.map { listOf(it.label, robot.activity.percent(it.probability)) }, shown)
        val first = expected.top[0]
        assertEquals("Most likely: ${first.label}, ${robot.activity.percent(first.probability)}", rows.getChildAt(0).contentDescription)
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, rows.getChildAt(0).accessibilityLiveRegion)
    }

    @Test fun `latency is shown as now, median and p90 of runs after a warm-up`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.pick(photo("full.png"))
        robot.await()
        for (figure in listOf(R.id.now, R.id.median, R.id.p90)) {
            val spoken = robot.activity.view<View>(figure).contentDescription.toString()
            assertTrue(spoken, Regex("""[\w ]+: [\d,.]+ ms""").matches(spoken))
        }
        assertTrue(robot.text(R.id.runs), Regex("""\d+ runs? of the model alone.*""").matches(robot.text(R.id.runs)))
    }

    @Test fun `the system's photo picker is asked first`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.click(R.id.choose)
        assertEquals(MediaStore.ACTION_PICK_IMAGES, shadowOf(robot.activity).nextStartedActivityForResult.intent.action)
    }

    @Test fun `without the picker the file manager is asked, and without both the screen shows a problem`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.await()
        shadowOf(RuntimeEnvironment.getApplication()).checkActivities(true)
        robot.click(R.id.choose)
        assertTrue(robot.isShown(R.id.problem))
        assertEquals(robot.activity.getString(R.string.no_picker), robot.text(R.id.problem_text))
        install("files", Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"))
        robot.click(R.id.choose)
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, shadowOf(robot.activity).nextStartedActivityForResult.intent.action)
    }

    @Test fun `turning the device keeps photo, classes and the loaded model`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.pick(photo("full.png"))
        robot.await()
        val (before, shown) = robot.activity to texts(robot.activity.view(R.id.scores))
        turn(robot)
        assertNotSame(before, robot.activity)
        assertEquals(shown, texts(robot.activity.view(R.id.scores)))
        assertTrue(robot.isShown(R.id.photo))
    }

    @Test fun `a run goes on while the device is turned`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.pick(photo("full.png"))
        turn(robot)
        robot.await()
        assertEquals(5, robot.activity.view<ScoreList>(R.id.scores).childCount)
    }

    @Test fun `after the process was killed the same photo is predicted for by the same engine`() {
        val robot = MainScreenRobot(model(DIGITS), model(UNTRAINED))
        robot.await()
        chooseLast(robot.activity.view(R.id.models))
        robot.pick(photo("size-64x64.png"))
        robot.await()
        val shown = texts(robot.activity.view(R.id.scores))
        val saved = Bundle().also { robot.controller.saveInstanceState(it) }
        robot.controller.pause().stop().destroy()
        val again = MainScreenRobot(model(DIGITS), model(UNTRAINED), state = saved)
        again.await()
        assertEquals(shown, texts(again.activity.view(R.id.scores)))
        assertTrue(again.text(R.id.subtitle).startsWith("lolvit_x on "))
    }

    @Test fun `an untrained model has a warning, a trained one has none`() {
        val robot = MainScreenRobot(model(DIGITS), model(UNTRAINED))
        robot.pick(photo("full.png"))
        robot.await()
        assertFalse(robot.isShown(R.id.untrained))
        chooseLast(robot.activity.view(R.id.models))
        robot.await()
        assertTrue(robot.isShown(R.id.untrained))
        assertTrue(robot.isShown(R.id.scores))
    }

    @Test fun `another engine predicts for the same photo again`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.pick(photo("full.png"))
        robot.await()
        val engines = robot.activity.view<ChoiceList>(R.id.engines)
        val other = (0 until engines.childCount).map(engines::getChildAt).first { it.isEnabled }
        val classes = texts(robot.activity.view(R.id.scores)).filterIndexed { i, _ -> i % 2 == 0 }
        other.performClick()
        assertTrue(robot.isShown(R.id.progress))
        robot.await()
        assertTrue(robot.text(R.id.subtitle), robot.text(R.id.subtitle).endsWith((other as android.widget.TextView).text.toString()))
        assertEquals(classes, texts(robot.activity.view(R.id.scores)).filterIndexed { i, _ -> i % 2 == 0 })
    }

    @Test fun `an engine that is missing is shown with its reason and can't be chosen`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.await()
        val engines = robot.activity.view<ChoiceList>(R.id.engines)
        val gpu = (0 until engines.childCount).map(engines::getChildAt).single { "GPU" in texts(it).single() }
        assertFalse(gpu.isEnabled)
        assertTrue(texts(gpu).single().lines().size > 1)
    }

    @Test fun `cancel ends the work and keeps what is known`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.pick(photo("full.png"))
        robot.await { robot.isShown(R.id.scores) }
        robot.click(R.id.cancel)
        assertFalse(robot.isShown(R.id.progress))
        assertTrue(robot.isShown(R.id.scores))
        robot.pick(photo("size-64x64.png"))
        robot.await()
        assertTrue(robot.isShown(R.id.scores))
    }

    private fun turn(robot: MainScreenRobot) {
        RuntimeEnvironment.setQualifiers("+land")
        robot.controller.configurationChange(RuntimeEnvironment.getApplication().resources.configuration).visible()
    }

    private fun chooseLast(list: ChoiceList) = assertTrue(list.getChildAt(list.childCount - 1).performClick())
}
