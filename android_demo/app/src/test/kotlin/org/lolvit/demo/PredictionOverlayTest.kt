package org.lolvit.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Rect
import android.graphics.RectF
import android.util.Size
import android.view.View
import java.io.File
import java.nio.ByteBuffer
import kotlin.math.abs
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.Box
import org.lolvit.Detection
import org.lolvit.Detections
import org.lolvit.ImageSize
import org.lolvit.ModelSpec
import org.lolvit.Prediction
import org.lolvit.SegmentationMap
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/**
 * Boxes and masks lie on what they are of: over photos, and over the preview of each camera, however the phone is
 * held. The preview is drawn as a `TextureView` shows it.
 */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35], qualifiers = "xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PredictionOverlayTest {
    private val spec = ModelSpec.load(model(DETECTOR))

    @Test fun `a box encloses the object in each camera's preview, however the phone is held`() {
        for (front in listOf(false, true)) for (sensor in listOf(0, 90, 270)) for (display in listOf(0, 90, 180, 270)) {
            val camera = Scene(sensor, display, front)
            val shown = camera.preview()
            val (marked, pixels) = bright(shown) to bright(camera.frame())
            draw(shown, Detections(listOf(Detection(0, "", 0.9, box(pixels)))), camera.frame(), front)
            val color = spec.colors[0].argb
            val line = bounds(shown, from = marked.top + LINE) { it == color } // below the label
            val name = "front $front sensor $sensor display $display: $line around $marked"
            listOf(line.left to marked.left, line.right to marked.right, line.bottom to marked.bottom)
                .forEach { (a, b) -> assertTrue(name, abs(a - b) <= LINE) }
            assertTrue(name, (-LINE..LINE).any { shown.getPixel(marked.centerX(), marked.top + it) == color })
            if (sensor == 90 && display == 90 || sensor == 270 && display == 0) save(shown, "overlay-$front-$sensor-$display")
        }
    }

    @Test fun `a mask covers the object in each camera's preview, however the phone is held`() {
        for (front in listOf(false, true)) for (display in listOf(0, 90, 180, 270)) {
            val camera = Scene(if (front) 270 else 90, display, front)
            val shown = camera.preview()
            val before = bright(shown)
            val frame = camera.frame()
            val inside = bright(frame)
            val classes = ByteArray(frame.width * frame.height) {
                (if (inside.contains(it % frame.width, it / frame.width)) 1 else 255).toByte()
            }
            draw(shown, SegmentationMap(ImageSize(frame.height, frame.width), classes, 255, emptyList()), frame, front)
            val found = bounds(shown) { abs(Color.green(it) - Color.red(it)) > 20 || abs(Color.blue(it) - Color.red(it)) > 20 }
            val name = "front $front display $display: $found over $before"
            listOf(found.left to before.left, found.right to before.right, found.top to before.top, found.bottom to before.bottom)
                .forEach { (a, b) -> assertTrue(name, abs(a - b) <= 2) }
        }
    }

    @Test fun `a photo fits into the view, a preview covers it, and a mirrored one is turned about its middle`() {
        val photo = ImageSize(100, 200)
        val whole = RectF(0f, 0f, 200f, 100f)
        assertEquals(RectF(0f, 75f, 300f, 225f), mapped(photoTransform(photo, Size(300, 300), cover = false, mirrored = false), whole))
        assertEquals(RectF(-150f, 0f, 450f, 300f), mapped(photoTransform(photo, Size(300, 300), cover = true, mirrored = false), whole))
        val left = RectF(0f, 0f, 50f, 100f)
        assertEquals(RectF(225f, 75f, 300f, 225f), mapped(photoTransform(photo, Size(300, 300), cover = false, mirrored = true), left))
    }

    private fun mapped(matrix: Matrix, area: RectF) = RectF(area).also(matrix::mapRect)

    private fun box(area: Rect) = Box(area.left.toDouble(), area.top.toDouble(), area.right.toDouble(), area.bottom.toDouble())

    private fun draw(onto: Bitmap, prediction: Prediction, frame: Bitmap, mirrored: Boolean) {
        val overlay = PredictionOverlay(RuntimeEnvironment.getApplication(), null)
        overlay.measure(exactly(onto.width), exactly(onto.height))
        overlay.layout(0, 0, onto.width, onto.height)
        overlay.show(Drawn(prediction, ImageSize(frame.height, frame.width), spec), live = true, mirrored = mirrored)
        overlay.draw(Canvas(onto))
    }

    private fun exactly(pixels: Int) = View.MeasureSpec.makeMeasureSpec(pixels, View.MeasureSpec.EXACTLY)

    private fun save(picture: Bitmap, name: String) {
        val target = File(System.getProperty("lolvit.out"), "screens/$name.png")
        target.parentFile.mkdirs()
        target.outputStream().use { picture.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }

    private companion object {
        const val LINE = 6 // pixels: a line of 2.5 dp at xhdpi, half inside
    }
}

/** A bright object, not in the middle, as the sensor of a camera sees it; the phone is held so that it is upright. */
private class Scene(private val sensor: Int, private val display: Int, private val front: Boolean) {
    private val buffer = Size(64, 48)
    private val marked = Rect(20, 14, 30, 22)

    private fun level(x: Int, y: Int) = if (marked.contains(x, y)) 230 else 60

    /** The picture that the model gets. */
    fun frame(): Bitmap {
        val luma = ByteBuffer.allocate(buffer.width * buffer.height)
        for (y in 0 until buffer.height) for (x in 0 until buffer.width) luma.put(y * buffer.width + x, level(x, y).toByte())
        val grey = ByteBuffer.allocate(buffer.width * buffer.height).also { plane -> repeat(plane.capacity()) { plane.put(it, 128.toByte()) } }
        val planes = listOf(Plane(luma, buffer.width, 1), Plane(grey, buffer.width / 2, 1), Plane(grey, buffer.width / 2, 1))
        return FrameReader(buffer.width, buffer.height, uprightRotation(sensor, display, front)).read(planes)
    }

    /**
     * What the screen shows: the view stretches over itself the picture that is upright for the phone's natural
     * orientation, mirrored for a front camera, and applies its transform.
     */
    fun preview(): Bitmap {
        val seen = Bitmap.createBitmap(buffer.width, buffer.height, Bitmap.Config.ARGB_8888)
        for (y in 0 until buffer.height) for (x in 0 until buffer.width) level(x, y).let { seen.setPixel(x, y, Color.rgb(it, it, it)) }
        val turn = Matrix().apply { setRotate(sensor.toFloat()); if (front) postScale(-1f, 1f) }
        val natural = Bitmap.createBitmap(seen, 0, 0, buffer.width, buffer.height, turn, false)
        val view = if (display % 180 == 0) Size(400, 300) else Size(300, 220)
        val shown = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(shown)
        canvas.concat(previewTransform(view, buffer, sensor, display))
        canvas.drawBitmap(natural, null, Rect(0, 0, view.width, view.height), null)
        return shown
    }
}

private fun bright(picture: Bitmap): Rect = bounds(picture) { Color.red(it) > 180 && Color.blue(it) > 180 && Color.green(it) > 180 }

/** The area of the pixels that [fit]; its right and bottom are outside of it. */
private fun bounds(picture: Bitmap, from: Int = 0, fit: (Int) -> Boolean): Rect {
    val area = Rect(picture.width, picture.height, 0, 0)
    for (y in from until picture.height) for (x in 0 until picture.width) if (fit(picture.getPixel(x, y))) {
        area.set(minOf(area.left, x), minOf(area.top, y), maxOf(area.right, x + 1), maxOf(area.bottom, y + 1))
    }
    return area
}
