package org.lolvit.demo.benchmark

import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.security.MessageDigest
import java.util.Random

/**
 * The default input image of a measurement: smooth colours with noise over them, the
 * same on every phone. A convolution's time does not depend on its input.
 */
internal object BenchmarkPicture {
    const val NAME = "generated-1.png"
    private const val SIDE = 512
    private const val NOISE = 48

    fun bitmap(): Bitmap = Bitmap.createBitmap(pixels(), SIDE, SIDE, Bitmap.Config.ARGB_8888)

    /** The sha256 of its pixels: four bytes each, alpha first. */
    fun sha256(): String {
        val bytes = ByteBuffer.allocate(4 * SIDE * SIDE)
        bytes.asIntBuffer().put(pixels())
        val digest = MessageDigest.getInstance("SHA-256").digest(bytes.array())
        return digest.joinToString("") { String.format("%02x", it) }
    }

    private fun pixels(): IntArray {
        val random = Random(1)
        return IntArray(SIDE * SIDE) { place ->
            val (x, y) = place % SIDE to place / SIDE
            val red = level(255 * x / SIDE, random)
            val green = level(255 * y / SIDE, random)
            val blue = level(255 * (x + y) / (2 * SIDE), random)
            (0xFF shl 24) or (red shl 16) or (green shl 8) or blue
        }
    }

    private fun level(value: Int, random: Random) = (value + random.nextInt(NOISE) - NOISE / 2).coerceIn(0, 255)
}
