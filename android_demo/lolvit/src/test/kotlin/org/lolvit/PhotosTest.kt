package org.lolvit

import android.graphics.Bitmap
import android.graphics.Canvas
import java.io.ByteArrayInputStream
import java.io.IOException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.LolvitException.Code
import org.robolectric.RobolectricTestRunner

/** What can't be decoded is reported by its code. `PreprocessTest` covers the rest. */
@RunWith(RobolectricTestRunner::class)
class PhotosTest {
    private val photo = PhotoSource { Fixtures.photo("exif-6.jpg").inputStream() }

    @Test fun `what is no photo is refused`() {
        val header = Fixtures.photo("full.png").readBytes().copyOf(20)
        for (bytes in listOf(ByteArray(0), "no photo".toByteArray(), header)) {
            assertFails(Code.PHOTO_UNDECODABLE) { Photos.decode { ByteArrayInputStream(bytes) } }
        }
    }

    @Test fun `a photo that can't be opened is refused`() {
        assertFails(Code.PHOTO_UNAVAILABLE, "gone") { Photos.decode { throw IOException("gone") } }
        assertFails(Code.PHOTO_UNAVAILABLE, "Denial") { Photos.decode { throw SecurityException("Permission Denial") } }
    }

    @Test fun `a photo that memory does not hold is refused`() {
        val failure = OutOfMemoryError("Failed to allocate 48000000 bytes")
        assertFails(Code.OUT_OF_MEMORY, "photo") { Photos.decode(photo) { _, _, _ -> throw failure } }
    }

    @Test fun `a decoder that gives up is reported`() {
        assertFails(Code.PHOTO_UNDECODABLE) { Photos.decode(photo) { _, _, _ -> null } }
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
