package org.lolvit.demo

import android.content.pm.PackageManager
import android.graphics.Insets
import android.graphics.Rect
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import android.widget.Button
import android.widget.ScrollView
import android.widget.TextView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** The main screen as pixels, and what must hold of it in every size, language direction and font. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], qualifiers = "w360dp-h800dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ScreensTest {
    @Before fun aPhone() = givePhoneACamera()

    @Test fun `empty, without a camera`() {
        shadowOf(RuntimeEnvironment.getApplication().packageManager).setSystemFeature(PackageManager.FEATURE_CAMERA_ANY, false)
        empty().run { png("main-no-camera"); verify() }
    }

    @Test fun `empty, on a phone`() = empty().run { png("main-empty"); verify() }

    @Test fun `result, on a phone`() = result().run { png("main-light"); verify() }

    @Config(qualifiers = "w360dp-h800dp-night-xhdpi")
    @Test fun `result, in the dark`() = result().run { png("main-dark"); verify() }

    @Config(qualifiers = "w800dp-h1100dp-hdpi")
    @Test fun `result, on a tablet`() = result().run { png("main-tablet"); verify() }

    @Config(qualifiers = "w800dp-h360dp-land-night-xhdpi")
    @Test fun `result, on a phone held across`() = result().run { png("main-across"); verify() }

    @Config(qualifiers = "iw-ldrtl-w360dp-h800dp-xhdpi")
    @Test fun `result, from right to left`() = result().run { png("main-rtl"); verify() }

    @Test fun `result, in fonts of twice the size`() {
        RuntimeEnvironment.setFontScale(2f)
        result().run {
            png("main-large")
            activity.view<ScrollView>(R.id.scroll).scrollTo(0, activity.window.decorView.height * 3 / 4)
            png("main-large-scrolled")
            verify()
        }
    }

    @Test fun `choices, at the end of the page`() = result().run {
        activity.view<ScrollView>(R.id.scroll).fullScroll(View.FOCUS_DOWN)
        png("main-choices")
    }

    @Test fun `boxes over a photo`() = drawn(DETECTOR).run { png("main-boxes"); verify() }

    @Config(qualifiers = "w360dp-h800dp-night-xhdpi")
    @Test fun `a mask over a photo`() = drawn(SEGMENTER).run { png("main-mask"); verify() }

    @Test fun `a photo without objects has a sentence in their place`() = MainScreenRobot(model(DETECTOR)).run {
        pick(photo("digit-2.png"))
        await()
        assertTrue(isShown(R.id.nothing_found))
        assertFalse(isShown(R.id.scores))
        png("main-nothing")
        verify()
    }

    private fun drawn(name: String) = MainScreenRobot(model(name), model(DIGITS)).apply {
        pick(photo("scene.png"))
        await()
    }

    @Test fun `a failure`() = MainScreenRobot(model(DIGITS), model(UNTRAINED)).run {
        pick(offered("text.jpg") { "no photo".byteInputStream() })
        await()
        png("main-problem")
        verify()
    }

    @Config(qualifiers = "w360dp-h800dp-night-xhdpi")
    @Test fun `no model, in the dark`() = MainScreenRobot().run {
        await()
        png("main-no-model")
        verify()
    }

    @Test fun `an untrained model`() = MainScreenRobot(model(UNTRAINED)).run {
        pick(photo("digit-2.png"))
        await()
        png("main-untrained")
        verify()
    }

    @Test fun `content keeps out of the system's bars and scrolls through under the lower one`() = empty().run {
        val bars = WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), Insets.of(10, 48, 20, 96)).build()
        val (root, scroll) = activity.view<View>(R.id.root) to activity.view<ScrollView>(R.id.scroll)
        root.dispatchApplyWindowInsets(bars)
        assertEquals(listOf(10, 48, 20, 0), root.run { listOf(paddingLeft, paddingTop, paddingRight, paddingBottom) })
        assertEquals(96, scroll.paddingBottom)
        assertFalse(scroll.clipToPadding)
    }

    private fun empty() = MainScreenRobot(model(DIGITS), model(UNTRAINED)).apply { await() }

    private fun result() = MainScreenRobot(model(DIGITS), model(UNTRAINED)).apply {
        pick(photo("digit-2.png"))
        await()
    }

    private fun MainScreenRobot.verify() {
        val views = shown(activity.view(R.id.root))
        views.filterIsInstance<TextView>().forEach(::nothingIsCut)
        views.filter { it.isClickable && it.isEnabled }.forEach(::canBeTouched)
        views.forEach { insideOfParent(it) }
        keyboardOrder(views)
    }

    private fun nothingIsCut(view: TextView) {
        val layout = view.layout ?: return
        val name = "'${view.text}'"
        assertTrue("$name is cut below", layout.height + view.compoundPaddingTop + view.compoundPaddingBottom <= view.height)
        for (line in 0 until layout.lineCount) {
            assertEquals("$name ends in an ellipsis", 0, layout.getEllipsisCount(line))
            val room = view.width - view.compoundPaddingLeft - view.compoundPaddingRight
            assertTrue("$name is cut at the side", layout.getLineMax(line) <= room + 1)
        }
    }

    private fun canBeTouched(view: View) {
        val least = (48 * view.resources.displayMetrics.density).toInt()
        if (view is TextView && view.isTextSelectable) return
        assertTrue("$view is ${view.width} x ${view.height}", view.width >= least && view.height >= least)
        if (view is Button) assertTrue("$view has no text", view.text.isNotBlank())
    }

    private fun insideOfParent(view: View) {
        val parent = view.parent as? ViewGroup ?: return
        if (parent is ScrollView || view.width == 0) return
        val area = Rect(0, 0, parent.width, parent.height)
        assertTrue("$view leaves $parent", area.contains(view.left, view.top, view.right, view.bottom))
    }

    /** On a page of one column the keyboard goes down, never back up. */
    private fun keyboardOrder(views: List<View>) {
        val stops = ArrayList<View>()
        views.first().addFocusables(stops, View.FOCUS_FORWARD, View.FOCUSABLES_ALL)
        val buttons = stops.filter { it is Button && it.isShown }
        assertEquals(views.filter { it is Button && it.isEnabled }, buttons)
        if (views.first().resources.configuration.screenWidthDp >= 600) return
        val heights = buttons.map { view -> IntArray(2).also(view::getLocationInWindow)[1] }
        assertEquals(heights.sorted(), heights)
    }
}
