package org.lolvit

import android.graphics.Bitmap
import java.nio.FloatBuffer
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicBoolean
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.withContext
import org.lolvit.LolvitException.Code

/**
 * A prediction with the times of its steps, in milliseconds.
 *
 * @property preprocessMs from bitmap to input.
 * @property inferenceMs the model's run alone.
 * @property postprocessMs from outputs to prediction.
 * @property choice the engine that ran the model.
 */
public class Predicted<out P : Prediction>(
    public val prediction: P,
    public val preprocessMs: Double,
    public val inferenceMs: Double,
    public val postprocessMs: Double,
    public val choice: EngineChoice,
)

/**
 * A packaged model that predicts for photos: a [Classifier], a [Detector] or a [Segmenter].
 *
 * Making one opens nothing. All work is done on a thread of its own, so that the functions may be called on
 * the main thread, from several coroutines at once. A call that is cancelled while it waits is not made.
 */
public sealed class Predictor<P : Prediction>(
    private val source: ModelSource,
    private val task: ModelTask,
    private val choice: EngineChoice?,
    private val threads: Int,
) : AutoCloseable {
    private val executor = Executors.newSingleThreadExecutor { Thread(it, "lolvit-${task.id}").apply { isDaemon = true } }
    private val worker = executor.asCoroutineDispatcher()
    private val closed = AtomicBoolean()
    private var read: ModelSpec? = null // on the worker's thread, as all below
    private var opened: OpenedModel? = null
    private var input: FloatBuffer? = null

    /**
     * The model's manifest.
     *
     * @throws LolvitException it is missing or damaged, or asks for what this library does not implement.
     */
    public suspend fun spec(): ModelSpec = onWorker { loadedSpec() }

    /**
     * Loads the model, checks its outputs, and so runs it once; done by the first prediction otherwise.
     * Further calls return the same report.
     *
     * @throws LolvitException the model's folder is damaged, or no engine can run it.
     */
    public suspend fun prewarm(): OpenReport = onWorker { open().report }

    /** Frees the model after the prediction that is being made. No call may follow. */
    override fun close() {
        if (closed.getAndSet(true)) return
        executor.execute { opened?.close() }
        executor.shutdown()
    }

    internal suspend fun predictBy(photo: Bitmap, decode: (ModelSpec, Outputs, Placement) -> P): Predicted<P> = onWorker {
        try {
            predictNow(photo, decode)
        } catch (e: OutOfMemoryError) {
            throw LolvitException(Code.OUT_OF_MEMORY, "what" to "${photo.width}x${photo.height}", cause = e)
        }
    }

    private fun predictNow(photo: Bitmap, decode: (ModelSpec, Outputs, Placement) -> P): Predicted<P> {
        val model = open()
        val engine = model.engine
        val into = input ?: engine.newInput().also { input = it }
        val preprocessing = model.spec.preprocessing
        val start = System.nanoTime()
        preprocessing.fill(photo, engine.artifact.input.layout ?: Layout.NCHW, into)
        val prepared = System.nanoTime()
        engine.run(into)
        val ran = System.nanoTime()
        val placement = preprocessing.placement(ImageSize(photo.height, photo.width))
        val prediction = decode(model.spec, Outputs.of(engine), placement)
        val end = System.nanoTime()
        return Predicted(prediction, (prepared - start) / 1e6, (ran - prepared) / 1e6, (end - ran) / 1e6, model.report.choice)
    }

    private fun open(): OpenedModel =
        opened ?: Engines.open(choice, loadedSpec(), source, threads).also { opened = it }

    private fun loadedSpec(): ModelSpec {
        read?.let { return it }
        val spec = ModelSpec.load(source)
        if (spec.task != task) {
            throw LolvitException(Code.TASK_MISMATCH, "model" to spec.name, "task" to spec.task.id, "expected" to task.id)
        }
        read = spec
        return spec
    }

    private suspend fun <T> onWorker(work: () -> T): T {
        check(!closed.get()) { "the model was closed" }
        return withContext(worker) { work() }
    }
}

/**
 * Ranks the classes of a photo.
 *
 * ```
 * val classifier = Classifier(AssetSource(assets, "lolvit/lolvit_x-256x256"))
 * val photo = Photos.load { contentResolver.openInputStream(uri) ?: throw FileNotFoundException("$uri") }
 * val best = classifier.predict(photo).prediction.top.first()
 * ```
 *
 * @param source the model's folder.
 * @param choice one of [Engines.choices]; null takes the first that works.
 * @param threads the number of CPU threads that the runtime may use.
 */
public class Classifier(source: ModelSource, choice: EngineChoice? = null, threads: Int = 1) :
    Predictor<Classification>(source, ModelTask.CLASSIFICATION, choice, threads) {
    /**
     * Classifies a photo.
     *
     * @param top how many classes to return.
     * @throws LolvitException the model can't be opened, the photo is too elongated, or the runtime failed.
     */
    public suspend fun predict(photo: Bitmap, top: Int = 5): Predicted<Classification> =
        predictBy(photo) { spec, outputs, _ -> Classification.of(outputs.only(), spec, top) }
}

/** Finds the objects in a photo. Parameters are those of [Classifier]. */
public class Detector(source: ModelSource, choice: EngineChoice? = null, threads: Int = 1) :
    Predictor<Detections>(source, ModelTask.DETECTION, choice, threads) {
    /**
     * Finds objects; the parameters replace the manifest's.
     *
     * @param scoreThreshold the least score, from 0 to 1.
     * @param iouThreshold how far boxes of one class may overlap, from 0 to 1.
     * @throws LolvitException as [Classifier.predict].
     */
    public suspend fun predict(
        photo: Bitmap,
        scoreThreshold: Double? = null,
        iouThreshold: Double? = null,
        maxDetections: Int? = null,
    ): Predicted<Detections> {
        for (value in listOfNotNull(scoreThreshold, iouThreshold)) require(value in 0.0..1.0) { "threshold $value" }
        return predictBy(photo) { spec, outputs, placement ->
            val own = spec.postprocessing as Postprocessing.Boxes
            val parameters = own.copy(
                scoreThreshold = scoreThreshold ?: own.scoreThreshold,
                iouThreshold = iouThreshold ?: own.iouThreshold,
                maxDetections = maxDetections ?: own.maxDetections,
            )
            Detections.of(outputs.channels("distances"), outputs.channels("scores"), spec, parameters, placement)
        }
    }
}

/** Finds the class of each pixel of a photo. Parameters are those of [Classifier]. */
public class Segmenter(source: ModelSource, choice: EngineChoice? = null, threads: Int = 1) :
    Predictor<SegmentationMap>(source, ModelTask.SEGMENTATION, choice, threads) {
    /**
     * Returns the class of each pixel.
     *
     * @throws LolvitException as [Classifier.predict].
     */
    public suspend fun predict(photo: Bitmap): Predicted<SegmentationMap> = predictBy(photo) { spec, outputs, placement ->
        SegmentationMap.of(outputs, spec, spec.postprocessing as Postprocessing.Map, placement)
    }
}
