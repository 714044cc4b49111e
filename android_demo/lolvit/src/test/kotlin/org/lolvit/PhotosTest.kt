package org.lolvit

import android.graphics.Bitmap
import android.graphics.Canvas
import java.io.ByteArrayInputStream
import java.io.IOException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner

/** What can't be decoded is reported in one line. `PreprocessTest` covers the rest. */
@RunWith(RobolectricTestRunner::class)
class PhotosTest {
    private val photo = PhotoSource { Fixtures.photo("exif-6.jpg").inputStream() }

    @Test fun `what is no photo is refused`() {
        val header = Fixtures.photo("full.png").readBytes().copyOf(20)
        for (bytes in listOf(ByteArray(0), "no photo".toByteArray(), header)) {
            assertEquals(
                "not a photo that this phone can read; choose a JPEG or PNG",
                failureOf { Photos.decode { ByteArrayInputStream(bytes) } },
            )
        }
    }

    @Test fun `a photo that can't be opened is refused`() {
        val gone = failureOf { Photos.decode { throw IOException("gone") } }
        assertEquals("the photo can't be read: gone; choose another", gone)
        assertTrue("choose it again" in failureOf { Photos.decode { throw SecurityException("Permission Denial") } })
    }

    @Test fun `a photo that memory does not hold is refused`() {
        val failure = OutOfMemoryError("Failed to allocate 48000000 bytes")
        val line = failureOf { Photos.decode(photo) { _, _, _ -> throw failure } }
        assertEquals("not enough memory for this photo; close other apps or choose a smaller one", line)
    }

    @Test fun `a decoder that gives up is reported`() {
        assertTrue("choose a JPEG or PNG" in failureOf { Photos.decode(photo) { _, _, _ -> null } })
    }

    @Test fun `only photos beyond the bound are subsampled`() {
        assertEquals(1, Photos.sampling(4000, 4000))
        assertEquals(2, Photos.sampling(4001, 4000))
        assertEquals(2, Photos.sampling(8160, 6144)) // 50 megapixels
        assertEquals(4, Photos.sampling(16_320, 12_288)) // 200 megapixels
    }

    @Test fun `a decoded photo can be drawn whatever its transparency`() {
        val decoded = Photos.decode { Fixtures.photo("alpha.png").inputStream() }
        assertFalse(decoded.hasAlpha())
        Canvas(Bitmap.createBitmap(200, 200, Bitmap.Config.ARGB_8888)).drawBitmap(decoded, 0f, 0f, null)
    }
}
