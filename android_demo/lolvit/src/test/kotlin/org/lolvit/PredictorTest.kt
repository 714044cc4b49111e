package org.lolvit

import android.graphics.Bitmap
import java.util.concurrent.CountDownLatch
import kotlin.math.abs
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.yield
import org.json.JSONObject
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.LolvitException.Code
import org.robolectric.RobolectricTestRunner

/** Whole predictions of photos by packaged models, against Python's, and how the functions behave. */
@RunWith(RobolectricTestRunner::class)
class PredictorTest {
    private val cases by lazy { Fixtures.document("dense.json").getJSONArray("artifacts").objects() }

    @Before fun natives() = NativeLiteRt.load()

    private fun choice(source: ModelSource, case: JSONObject): EngineChoice {
        val id = if (case.getString("format") == "onnx") "onnx-cpu" else "litert-cpu"
        return Engines.choices(ModelSpec.load(source)).single { it.id == "$id/${case.getString("precision")}" }
    }

    private fun photo(name: String) = Photos.decode { Fixtures.photo(name).inputStream() }

    @Test fun `objects are Python's in both engines, on photos of each kind`() {
        for (case in cases.filter { it.getString("task") == "detection" }) {
            val (source, format) = FolderSource(Fixtures.model(case.getString("model"))) to case.getString("format")
            var (objects, matched) = 0 to 0
            Detector(source, choice(source, case)).use { detector ->
                for (one in case.getJSONArray("predictions").objects()) {
                    val found = runBlocking { detector.predict(photo(one.getString("photo"))) }.prediction.objects
                    val expected = one.getJSONArray("detections").objects()
                    objects += maxOf(expected.size, found.size)
                    matched += expected.count { wanted -> found.any { it.isSame(wanted) } }
                }
            }
            Fixtures.report("objects-$format", "objects" to format, "compared" to objects, "matched" to matched)
            assertTrue("$format: $objects objects", objects >= 20)
            // Other versions of the runtimes round otherwise, which turns near ties of overlapping boxes; TFLite's is older.
            assertTrue("$format: $matched of $objects", matched >= (if (format == "onnx") 0.99 else 0.95) * objects)
        }
    }

    private fun Detection.isSame(expected: JSONObject): Boolean {
        val sides = expected.getJSONArray("box").let { List(4, it::getDouble) }
        val near = sides.zip(listOf(box.left, box.top, box.right, box.bottom)).all { (a, b) -> abs(a - b) < 1e-2 }
        val named = expected.getInt("index") == index && expected.getString("label") == label
        return near && named && abs(expected.getDouble("score") - score) < 1e-5
    }

    @Test fun `maps are Python's in both engines, on photos of each kind`() {
        // The second one's class of each pixel is the model's own; its weights are random, and ties are near.
        for ((model, most) in mapOf("colour_segmenter-128x160" to 1e-4, "lolvit_xx-64x96" to 2e-3)) {
            val worst = cases.filter { it.getString("model") == model }.maxOf(::largestDifference)
            Fixtures.report("maps-$model", "maps" to model, "largest_difference" to worst)
            assertTrue("$model: $worst of the pixels", worst <= most)
        }
    }

    /** The largest share of a photo's pixels whose class is not Python's. */
    private fun largestDifference(case: JSONObject): Double {
        val source = FolderSource(Fixtures.model(case.getString("model")))
        return Segmenter(source, choice(source, case)).use { segmenter ->
            case.getJSONArray("predictions").objects().maxOf { one ->
                val bitmap = photo(one.getString("photo"))
                val found = runBlocking { segmenter.predict(bitmap) }.prediction
                assertEquals(ImageSize(bitmap.height, bitmap.width), found.size)
                val expected = Fixtures.bytes(one.getString("classes"))
                assertEquals(expected.size, found.classes.size)
                expected.indices.count { expected[it] != found.classes[it] }.toDouble() / expected.size
            }
        }
    }

    private val digits = FolderSource(Fixtures.model(ModelFolder.TRAINED))
    private val fast by lazy { Engines.choices(ModelSpec.load(digits)).single { it.id == "onnx-cpu/fp32" } }

    @Test fun `calls from several coroutines wait for each other, and none of them blocks its caller`() {
        Classifier(digits, fast).use { classifier ->
            val photos = listOf("full.png", "grey.png", "alpha.png").map(::photo)
            val alone = photos.map { runBlocking { classifier.predict(it) }.prediction }
            runBlocking {
                var turns = 0
                val others = photos.map { async { classifier.predict(it).prediction } }
                launch { while (others.any { it.isActive }) { turns++; yield() } }
                assertEquals(alone, others.awaitAll())
                assertTrue("the caller's thread did other work meanwhile", turns > 0)
            }
        }
    }

    @Test fun `results are the caller's own`() {
        Segmenter(FolderSource(Fixtures.model("colour_segmenter-128x160"))).use { segmenter ->
            val first = runBlocking { segmenter.predict(photo("full.png")) }.prediction
            val kept = first.classes.copyOf()
            runBlocking { segmenter.predict(photo("grey.png")) }
            assertArrayEquals(kept, first.classes)
        }
    }

    @Test fun `prewarm reports how the model was opened, and is done once`() {
        Classifier(digits, fast).use { classifier ->
            val report = runBlocking { classifier.prewarm() }
            assertEquals(fast.id, report.choice.id)
            assertTrue(report.loadMs > 0 && report.firstMs > 0 && report.fallbacks.isEmpty())
            assertSame(report, runBlocking { classifier.prewarm() })
            val predicted = runBlocking { classifier.predict(photo("full.png"), top = 3) }
            assertEquals(3, predicted.prediction.top.size)
            assertTrue(predicted.inferenceMs > 0 && predicted.preprocessMs > 0 && predicted.postprocessMs > 0)
        }
    }

    @Test fun `a cancelled call is not made`() {
        val release = CountDownLatch(1)
        val waiting = object : ModelSource by digits {
            override fun open(path: String) = release.await().let { digits.open(path) }

            override fun toString() = digits.toString()
        }
        Classifier(waiting, fast).use { classifier ->
            runBlocking {
                val first = async { classifier.spec() }
                yield()
                val second = launch { classifier.predict(Bitmap.createBitmap(8, 8, Bitmap.Config.ARGB_8888)) }
                yield()
                second.cancel()
                release.countDown()
                assertEquals("lolvit_xx", first.await().name)
                second.join()
                assertTrue(second.isCancelled)
            }
        }
    }

    @Test fun `a model of another task is refused by its code`() {
        Detector(digits).use { detector ->
            assertFails(Code.TASK_MISMATCH, "classification", "detection") { runBlocking { detector.prewarm() } }
        }
    }

    @Test fun `after a failure the next photo is predicted`() {
        Classifier(digits, fast).use { classifier ->
            val thread = Bitmap.createBitmap(60_000, 1, Bitmap.Config.ARGB_8888)
            assertFails(Code.PHOTO_TOO_ELONGATED) { runBlocking { classifier.predict(thread) } }
            assertEquals(5, runBlocking { classifier.predict(photo("full.png")) }.prediction.top.size)
        }
    }

    @Test fun `a closed model can be closed again, and a call after it is a mistake`() {
        val classifier = Classifier(digits, fast)
        runBlocking { classifier.prewarm() }
        classifier.close()
        classifier.close()
        assertThrows(IllegalStateException::class.java) { runBlocking { classifier.prewarm() } }
    }

    @Test fun `a detector's thresholds can be changed for a call, within their range`() {
        Detector(FolderSource(Fixtures.model("colour_detector-128x160"))).use { detector ->
            val bitmap = photo("full.png")
            val all = runBlocking { detector.predict(bitmap, scoreThreshold = 0.0, maxDetections = 1000) }.prediction.objects
            assertTrue("${all.size} objects", all.size > 20)
            assertEquals(7, runBlocking { detector.predict(bitmap, scoreThreshold = 0.0, maxDetections = 7) }.prediction.objects.size)
            assertFalse(runBlocking { detector.predict(bitmap, scoreThreshold = 1.0) }.prediction.objects.isNotEmpty())
            assertThrows(IllegalArgumentException::class.java) { runBlocking { detector.predict(bitmap, iouThreshold = 1.5) } }
            val tiny = Bitmap.createBitmap(1, 1, Bitmap.Config.ARGB_8888)
            runBlocking { detector.predict(tiny, scoreThreshold = 0.0) }.prediction.objects.forEach {
                assertTrue(it.box.right <= 1.0 && it.box.bottom <= 1.0)
            }
        }
    }
}
