package org.lolvit

import android.graphics.Bitmap
import kotlin.math.abs
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner

/** Every photo of the fixtures, decoded and preprocessed, level by level against Python's. */
@RunWith(RobolectricTestRunner::class)
class PreprocessTest {
    private val vectors = Fixtures.document("vectors.json")
    private val settings = vectors.getJSONObject("settings")
    private val photos = vectors.getJSONArray("photos").objects()

    @Test fun `levels and inputs are Python's, exactly where nothing is lost`() {
        assertTrue(photos.size >= 20)
        val wrong = photos.map(::compare).filter { it.farthest > it.photo.getInt("tolerance") || it.mean > 0.2 }
        report()
        val lines = wrong.map { "${it.photo.getString("photo")}: ${it.farthest} levels, mean ${it.mean}" }
        assertEquals(emptyList<String>(), lines)
    }

    @Test fun `a photo that would be resized to a giant one is refused`() {
        val thread = Bitmap.createBitmap(60_000, 1, Bitmap.Config.ARGB_8888)
        assertFails(LolvitException.Code.PHOTO_TOO_ELONGATED, "60000") { spec("square").levels(thread) }
    }

    private class Compared(val photo: JSONObject, val values: Int, val farthest: Int, val mean: Double)

    private val compared = mutableListOf<Compared>()

    private fun compare(photo: JSONObject): Compared {
        val name = photo.getString("photo")
        val bitmap = Photos.decode { Fixtures.photo(name).inputStream() }
        val size = photo.getJSONArray("size")
        assertEquals(name, ImageSize(size.getInt(0), size.getInt(1)), ImageSize(bitmap.height, bitmap.width))
        val differences = settings.keys().asSequence().flatMap { setting ->
            val expected = Fixtures.bytes(photo.getJSONObject("levels").getString(setting))
            val found = spec(setting).levels(bitmap)
            assertEquals("$name $setting", expected.size, found.size)
            expected.indices.asSequence().map { abs((expected[it].toInt() and 255) - (found[it].toInt() and 255)) }
        }.toList()
        if (photo.getInt("tolerance") == 0) {
            for (inputs in listOf("inputs", "grey_inputs")) compareInputs(name, bitmap, photo.getJSONObject(inputs))
        }
        return Compared(photo, differences.size, differences.max(), differences.average()).also(compared::add)
    }

    private fun compareInputs(name: String, bitmap: Bitmap, inputs: JSONObject) {
        val spec = spec(inputs.getString("settings"))
        for (layout in listOf(Layout.NCHW, Layout.NHWC)) {
            val expected = Fixtures.floats(inputs.getString(layout.name))
            assertArrayEquals("$name $layout", expected, spec.tensor(bitmap, layout), 0f)
        }
    }

    private fun report() {
        for ((kind, some) in compared.groupBy { kind(it.photo) }) {
            Fixtures.report(
                "levels-$kind", "levels" to kind, "photos" to some.size, "values" to some.sumOf { it.values },
                "largest_difference" to some.maxOf { it.farthest }, "mean_difference" to some.map { it.mean }.average(),
            )
        }
    }

    private fun kind(photo: JSONObject) = when {
        photo.getInt("subsampling") > 1 -> "subsampled"
        photo.getInt("tolerance") > 0 -> "lossy"
        else -> "lossless"
    }

    private fun spec(setting: String) = preprocessingOf(settings.getJSONObject(setting))
}

/** A manifest's `preprocessing`. */
internal fun preprocessingOf(json: JSONObject): Preprocessing {
    fun floats(key: String) =
        json.getJSONArray(key).let { array -> FloatArray(array.length()) { array.getDouble(it).toFloat() } }
    val size = json.getJSONArray("size")
    return Preprocessing(
        size = ImageSize(size.getInt(0), size.getInt(1)),
        resize = ResizeMode.valueOf(json.getString("resize").uppercase()),
        cropPct = json.getDouble("crop_pct"),
        interpolation = Interpolation.valueOf(json.getString("interpolation").uppercase()),
        mean = floats("mean"),
        std = floats("std"),
        color = ColorMode.values().single { it.id == json.getString("color") },
    )
}
