package org.lolvit

import kotlin.math.abs
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner

/** Postprocessing of detection and segmentation against `tests/vectors/predictions.json`, ties included. */
@RunWith(RobolectricTestRunner::class)
class PredictionVectorsTest {
    private val vectors = Fixtures.document("predictions.json")

    @Test fun `detections are Python's, in both layouts`() {
        val cases = vectors.getJSONArray("detection").objects()
        assertTrue(cases.size >= 8)
        for (case in cases) for (layout in listOf(Layout.NCL, Layout.NLC)) {
            val name = "${case.getString("name")} $layout"
            val parameters = boxes(case.getJSONObject("postprocessing"))
            val (distances, scores) = listOf("boxes" to 4, "scores" to CLASSES).map { (output, channels) ->
                channels(floats(case.getJSONArray(output)), channels, layout)
            }
            val spec = spec(ModelTask.DETECTION, parameters)
            val found = Detections.of(distances, scores, spec, parameters, placement(case)).objects
            compare(name, case.getJSONArray("detections").objects(), found)
        }
    }

    private fun compare(name: String, expected: List<JSONObject>, found: List<Detection>) {
        assertEquals(name, expected.map { it.getInt("index") to it.getDouble("score") }, found.map { it.index to it.score })
        for ((one, other) in expected.zip(found)) {
            val box = one.getJSONArray("box").let { DoubleArray(4, it::getDouble) }
            assertArrayEquals(name, box, other.box.run { doubleArrayOf(left, top, right, bottom) }, 1e-6)
        }
    }

    @Test fun `maps of classes are Python's, in both layouts, on the input and on the photo`() {
        val cases = vectors.getJSONArray("segmentation").objects()
        assertTrue(cases.size >= 5)
        for (case in cases) for (layout in listOf(Layout.NCHW, Layout.NHWC)) {
            val name = "${case.getString("name")} $layout"
            val (_, channels, height, width) = case.getJSONArray("logits_shape").let { List(4, it::getInt) }
            val values = floats(case.getJSONArray("logits"))
            val last = layout == Layout.NHWC
            val shape = if (last) listOf(1, height, width, channels) else listOf(1, channels, height, width)
            val ordered = if (last) channelsLast(values, channels) else values
            val maps = Maps.of(ordered, TensorSpec("logits", shape, "float32", layout, "logits"))
            val place = placement(case)
            assertArrayEquals(name, runs(case.getJSONArray("on_input")), Upsampling(maps, place.size).classes())
            val logits = Outputs(listOf(ordered), listOf(TensorSpec("logits", shape, "float32", layout, "logits")))
            val parameters = Postprocessing.Map(isComputed = false, case.getJSONObject("postprocessing").getInt("ignore"))
            val found = SegmentationMap.of(logits, spec(ModelTask.SEGMENTATION, parameters, channels), parameters, place)
            val onPhoto = runs(case.getJSONArray("on_photo"))
            assertArrayEquals(name, onPhoto, found.classes)
            for (share in found.shares) {
                assertEquals(onPhoto.count { it.toInt() and 255 == share.index }.toDouble() / onPhoto.size, share.share, 1e-12)
            }
        }
    }

    @Test fun `maps that the model computed are Python's on the photo, and have no class beyond its own`() {
        for (case in vectors.getJSONArray("segmentation").objects()) {
            val place = placement(case)
            val classes = case.getJSONArray("logits_shape").getInt(1)
            val parameters = Postprocessing.Map(isComputed = true, case.getJSONObject("postprocessing").getInt("ignore"))
            val spec = spec(ModelTask.SEGMENTATION, parameters, classes)
            val map = runs(case.getJSONArray("on_input")).let { onInput -> FloatArray(onInput.size) { onInput[it].toFloat() } }
            fun found() = SegmentationMap.of(computed(map, place.size), spec, parameters, place)
            assertArrayEquals(case.getString("name"), runs(case.getJSONArray("on_photo")), found().classes)
            map[map.size / 2] = classes.toFloat()
            val error = assertThrows(LolvitException::class.java) { found() }
            assertEquals(LolvitException.Code.OUTPUT_MISMATCH, error.code)
            assertEquals(mapOf("output" to "map", "found" to "class $classes", "expected" to "$classes classes"), error.details)
        }
    }

    private fun computed(map: FloatArray, size: ImageSize) =
        Outputs(listOf(map), listOf(TensorSpec("map", listOf(1, size.height, size.width), "int32", null, "classes")))

    @Test fun `a box that lies in the padding alone is none on the photo`() {
        val place = Placement(ImageSize(100, 50), ImageSize(64, 32), ImageSize(64, 96), 0, -32)
        val box = place.onPhoto(Box(2.0, 2.0, 20.0, 20.0))
        assertTrue(box.right <= box.left)
        assertTrue(abs(place.onPhoto(Box(32.0, 0.0, 64.0, 64.0)).right - 50.0) < 1e-9)
    }

    private fun boxes(json: JSONObject) = Postprocessing.Boxes(
        json.getJSONArray("strides").let { List(it.length(), it::getInt) }, json.getDouble("score_threshold"),
        json.getDouble("iou_threshold"), json.getInt("max_candidates"), json.getInt("max_detections"),
    )

    private fun channels(values: FloatArray, channels: Int, layout: Layout): Channels {
        val points = values.size / channels
        val last = layout == Layout.NLC
        val shape = if (last) listOf(1, points, channels) else listOf(1, channels, points)
        return Channels.of(if (last) channelsLast(values, channels) else values, TensorSpec("", shape, "float32", layout, ""))
    }

    private fun channelsLast(values: FloatArray, channels: Int): FloatArray {
        val places = values.size / channels
        return FloatArray(values.size) { values[it % channels * places + it / channels] }
    }

    private fun placement(case: JSONObject): Placement {
        fun size(array: JSONArray) = ImageSize(array.getInt(0), array.getInt(1))
        val json = case.getJSONObject("placement")
        val (top, left) = json.getJSONArray("offset").let { it.getInt(0) to it.getInt(1) }
        return Placement(size(json.getJSONArray("photo")), size(json.getJSONArray("resized")), size(case.getJSONArray("size")), top, left)
    }

    private fun floats(array: JSONArray) = FloatArray(array.length()) { array.getDouble(it).toFloat() }

    /** A map from its runs: class, count, class, count, … */
    private fun runs(array: JSONArray): ByteArray = (0 until array.length() step 2)
        .flatMap { List(array.getInt(it + 1)) { _ -> array.getInt(it).toByte() } }.toByteArray()

    private fun spec(task: ModelTask, postprocessing: Postprocessing, classes: Int = CLASSES): ModelSpec {
        val none = floatArrayOf(0f, 0f, 0f)
        val preprocessing = Preprocessing(
            ImageSize(64, 96), ResizeMode.STRETCH, 1.0, Interpolation.BICUBIC, none, floatArrayOf(1f, 1f, 1f), ColorMode.RGB,
        )
        return ModelSpec(
            "none", task, preprocessing, postprocessing, classes, emptyList(), Palette.of(classes), false, "", 0, 0, emptyList(),
            emptyList(),
        )
    }

    private companion object {
        const val CLASSES = 3
    }
}
