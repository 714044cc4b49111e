package org.lolvit

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.graphics.Matrix
import android.graphics.Rect
import android.media.ExifInterface
import android.os.Build
import java.io.IOException
import java.io.InputStream
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import org.lolvit.LolvitException.Code

/** Where an encoded photo is; it is opened several times. */
public fun interface PhotoSource {
    @Throws(IOException::class)
    public fun open(): InputStream
}

/** `BitmapFactory.decodeStream`, or a test's. */
internal typealias Decoder = (InputStream, Rect?, BitmapFactory.Options) -> Bitmap?

/** Decodes photos into bitmaps with the same pixel values as Python's `load_photo`. */
public object Photos {
    /**
     * The maximum number of pixels that are decoded; larger photos are subsampled by the decoder
     * (`inSampleSize`: every second, fourth, ... pixel in each direction). The input from a JPEG of 24
     * megapixels then differs by at most 8 of 255 levels, 0.2 on average; other formats, whose decoders
     * drop pixels, differ more. At 4 bytes per pixel, with two bitmaps while one is turned upright, this
     * bounds the native memory to 128 MB.
     */
    public const val LARGEST: Int = 16_000_000

    private val turnedByExif = setOf("image/jpeg", "image/png", "image/webp") // decoders turn HEIF and AVIF

    /**
     * Decodes a photo as [decode] does, on a thread for input and output.
     *
     * @throws LolvitException as [decode].
     */
    public suspend fun load(source: PhotoSource): Bitmap = withContext(Dispatchers.IO) { decode(source) }

    /**
     * Decodes a photo, turned upright by its EXIF orientation (for PNG and WebP from Android 11 on only).
     * The alpha channel is dropped; the colours under it stay. Colours of another profile than sRGB (and,
     * from Android 10 on, Display P3) are converted, which Python does not do. The missing part of a
     * truncated photo is blank. It blocks.
     *
     * @throws LolvitException the photo can't be read, is not an image, or needs too much memory.
     */
    @Throws(LolvitException::class)
    public fun decode(source: PhotoSource): Bitmap = decode(source, BitmapFactory::decodeStream)

    internal fun decode(source: PhotoSource, decoder: Decoder): Bitmap =
        try {
            val bounds = bounds(source)
            val decoded = source.open().use { decoder(it, null, options(bounds)) } ?: throw LolvitException(Code.PHOTO_UNDECODABLE)
            upright(plain(decoded), orientation(source, bounds.outMimeType))
        } catch (e: IOException) {
            throw unavailable(e)
        } catch (e: SecurityException) { // the permission to read it has ended
            throw unavailable(e)
        } catch (e: OutOfMemoryError) {
            throw LolvitException(Code.OUT_OF_MEMORY, "what" to "photo", cause = e)
        }

    private fun unavailable(cause: Exception) =
        LolvitException(Code.PHOTO_UNAVAILABLE, "reason" to (cause.message ?: cause.javaClass.simpleName), cause = cause)

    private fun bounds(source: PhotoSource): BitmapFactory.Options {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        source.open().use { BitmapFactory.decodeStream(it, null, bounds) }
        if (bounds.outWidth <= 0 || bounds.outHeight <= 0) throw LolvitException(Code.PHOTO_UNDECODABLE)
        return bounds
    }

    private fun options(bounds: BitmapFactory.Options) = BitmapFactory.Options().apply {
        inPreferredConfig = Bitmap.Config.ARGB_8888
        inPremultiplied = false // or colours under transparency are lost
        inScaled = false
        inSampleSize = sampling(bounds.outWidth, bounds.outHeight)
    }

    /** The smallest power of two that brings a photo to at most [LARGEST] pixels. */
    internal fun sampling(width: Int, height: Int): Int =
        generateSequence(1) { it * 2 }.first { (width / it).toLong() * (height / it) <= LARGEST }

    /** Keeps the stored levels: without transparency, and without a colour space to convert from. */
    private fun plain(bitmap: Bitmap): Bitmap = bitmap.apply {
        setHasAlpha(false)
        if (Build.VERSION.SDK_INT >= 29) setColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
    }

    private fun orientation(source: PhotoSource, type: String?): Int {
        val normal = ExifInterface.ORIENTATION_NORMAL
        if (type !in turnedByExif) return normal
        return try {
            source.open().use { ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, normal) }
        } catch (e: IOException) {
            normal // malformed EXIF is ignored
        }
    }

    private fun upright(bitmap: Bitmap, orientation: Int): Bitmap {
        val turn = turn(orientation) ?: return bitmap
        val turned = Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, turn, false)
        bitmap.recycle()
        return turned
    }

    private fun turn(orientation: Int): Matrix? = when (orientation) {
        ExifInterface.ORIENTATION_FLIP_HORIZONTAL -> turn(0f, mirrored = true)
        ExifInterface.ORIENTATION_ROTATE_180 -> turn(180f)
        ExifInterface.ORIENTATION_FLIP_VERTICAL -> turn(180f, mirrored = true)
        ExifInterface.ORIENTATION_TRANSPOSE -> turn(90f, mirrored = true)
        ExifInterface.ORIENTATION_ROTATE_90 -> turn(90f)
        ExifInterface.ORIENTATION_TRANSVERSE -> turn(270f, mirrored = true)
        ExifInterface.ORIENTATION_ROTATE_270 -> turn(270f)
        else -> null
    }

    private fun turn(degrees: Float, mirrored: Boolean = false) = Matrix().apply {
        setRotate(degrees)
        if (mirrored) postScale(-1f, 1f)
    }
}
