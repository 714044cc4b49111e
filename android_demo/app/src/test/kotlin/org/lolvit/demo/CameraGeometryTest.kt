package org.lolvit.demo

import android.graphics.RectF
import android.util.Size
import android.view.Surface
import kotlin.math.abs
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class CameraGeometryTest {
    @Test fun `the smallest sufficient 4 to 3 size is taken`() {
        val sizes = listOf(Size(4000, 3000), Size(640, 480), Size(1280, 720), Size(320, 240), Size(800, 600))
        assertEquals(Size(640, 480), previewSize(sizes, 480))
    }

    @Test fun `without 4 to 3 the smallest sufficient one, and else the largest`() {
        assertEquals(Size(1280, 720), previewSize(listOf(Size(1920, 1080), Size(1280, 720), Size(320, 240)), 480))
        assertEquals(Size(320, 240), previewSize(listOf(Size(176, 144), Size(320, 240)), 480))
        assertNull(previewSize(emptyList(), 480))
    }

    @Test fun `a back camera mounted across stands upright in each way to hold the phone`() {
        val turns = listOf(Surface.ROTATION_0, Surface.ROTATION_90, Surface.ROTATION_180, Surface.ROTATION_270)
            .map { uprightRotation(90, degrees(it), front = false) }
        assertEquals(listOf(90, 0, 270, 180), turns)
    }

    @Test fun `a front camera turns the other way`() {
        assertEquals(listOf(270, 0, 90, 180), listOf(0, 90, 180, 270).map { uprightRotation(270, it, front = true) })
    }

    @Test fun `the preview covers the view, unstretched and centred, in each orientation`() {
        for (view in listOf(Size(656, 492), Size(492, 656), Size(300, 300))) {
            for (display in listOf(0, 90, 180, 270)) {
                for (sensor in listOf(0, 90)) check(view, Size(640, 480), sensor, display)
            }
        }
    }

    private fun check(view: Size, buffer: Size, sensor: Int, display: Int) {
        val shown = RectF(0f, 0f, view.width.toFloat(), view.height.toFloat())
        previewTransform(view, buffer, sensor, display).mapRect(shown)
        val what = "$view sensor $sensor display $display: $shown"
        assertEquals(what, view.width / 2f, shown.centerX(), 0.01f)
        assertEquals(what, view.height / 2f, shown.centerY(), 0.01f)
        val across = (sensor + display) % 180 == 0 // the picture's longer side lies across the view
        assertEquals(what, if (across) 4f / 3 else 3f / 4, shown.width() / shown.height(), 0.001f)
        val tight = minOf(abs(shown.width() - view.width), abs(shown.height() - view.height))
        assertTrue(what, tight < 0.01f && shown.width() > view.width - 0.01f && shown.height() > view.height - 0.01f)
    }
}
