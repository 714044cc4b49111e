package org.lolvit.demo

import android.graphics.Color
import java.nio.ByteBuffer
import kotlin.math.abs
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class FrameTest {
    @Test fun `the primaries of JFIF come back within a level`() {
        // Y, Cb, Cr as JPEG's standard (T.871) computes them from red, green, blue, white, black and a grey
        val colors = mapOf(
            Color.RED to Triple(76, 85, 255), Color.GREEN to Triple(150, 44, 21), Color.BLUE to Triple(29, 255, 107),
            Color.WHITE to Triple(255, 128, 128), Color.BLACK to Triple(0, 128, 128), Color.GRAY to Triple(136, 128, 128),
        )
        for ((color, ycc) in colors) {
            val (y, cb, cr) = ycc
            val pixel = pixels(2, 2, 0, { _, _ -> y }, { cb }, { cr })[3]
            val far = maxOf(
                abs(Color.red(pixel) - Color.red(color)), abs(Color.green(pixel) - Color.green(color)),
                abs(Color.blue(pixel) - Color.blue(color)),
            )
            assertTrue("${Integer.toHexString(pixel)} for ${Integer.toHexString(color)}", far <= 1)
        }
    }

    @Test fun `a picture is turned clockwise`() {
        val level = { x: Int, y: Int -> 10 * (y * 4 + x) } // 4 wide, 2 high
        fun turned(rotation: Int) = pixels(4, 2, rotation, level, { 128 }, { 128 }).map { Color.red(it) / 10 }.toIntArray()
        assertArrayEquals(intArrayOf(0, 1, 2, 3, 4, 5, 6, 7), turned(0))
        assertArrayEquals(intArrayOf(4, 0, 5, 1, 6, 2, 7, 3), turned(90))
        assertArrayEquals(intArrayOf(7, 6, 5, 4, 3, 2, 1, 0), turned(180))
        assertArrayEquals(intArrayOf(3, 7, 2, 6, 1, 5, 0, 4), turned(270))
    }

    @Test fun `a reader writes each picture over the last one`() {
        val reader = FrameReader(4, 2, 90)
        val first = reader.read(planes(4, 2, { _, _ -> 10 }, { 128 }, { 128 }))
        val second = reader.read(planes(4, 2, { _, _ -> 200 }, { 128 }, { 128 }))
        assertTrue(first === second && second.width == 2 && second.height == 4)
        assertTrue(Color.red(second.getPixel(1, 3)) == 200)
    }

    private fun pixels(width: Int, height: Int, rotation: Int, y: (Int, Int) -> Int, cb: () -> Int, cr: () -> Int): IntArray =
        IntArray(width * height).also { uprightPixels(planes(width, height, y, cb, cr), width, height, rotation, it) }

    /** As cameras lay them out: rows padded, the chroma planes interleaved. */
    private fun planes(width: Int, height: Int, y: (Int, Int) -> Int, cb: () -> Int, cr: () -> Int): List<Plane> {
        val stride = width + 3
        val luma = ByteBuffer.allocate(stride * height)
        for (row in 0 until height) for (x in 0 until width) luma.put(row * stride + x, y(x, row).toByte())
        val chroma = ByteBuffer.allocate(stride * (height + 1) / 2 + 1)
        for (at in 0 until chroma.capacity()) chroma.put(at, (if (at % 2 == 0) cb() else cr()).toByte())
        val red = chroma.duplicate().apply { position(1) }.slice()
        return listOf(Plane(luma, stride, 1), Plane(chroma, width + 2, 2), Plane(red, width + 2, 2))
    }
}
