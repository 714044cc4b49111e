package org.lolvit

import android.graphics.Bitmap
import kotlin.math.exp

/** A class and its probability. */
public class Score(public val index: Int, public val label: String, public val probability: Float)

/**
 * The result of classifying one photo.
 *
 * @property top the five classes of the highest probability, in descending order.
 * @property logits of all classes.
 * @property preprocessMs time of preprocessing, from bitmap to input, in milliseconds.
 * @property inferenceMs time of the model's run without preprocessing, in milliseconds.
 */
public class Prediction(
    public val top: List<Score>,
    public val logits: FloatArray,
    public val preprocessMs: Double,
    public val inferenceMs: Double,
)

/**
 * A packaged model loaded into an engine. Not thread-safe; don't use it on the main thread.
 *
 * ```
 * val classifier = Classifier(AssetSource(assets, "lolvit/lolvit_x-256x256"))
 * val prediction = classifier.classify(Photos.decode { contentResolver.openInputStream(uri) })
 * ```
 *
 * @param choice one of [Engines.choices]; null takes the first that is available.
 * @throws LolvitException the model's folder is damaged, or no engine can run it.
 * @throws UnsupportedModelException the manifest asks for what this library does not implement, such as
 *   another task.
 */
public class Classifier @Throws(LolvitException::class) constructor(
    source: ModelSource,
    choice: EngineChoice? = null,
    threads: Int = 1,
) : AutoCloseable {
    /** The model's manifest. */
    public val spec: ModelSpec = ModelSpec.load(source)

    /** The engine that runs the model. */
    public val engine: Engine = Engines.open(choice ?: first(spec), spec, source, threads)

    private val input = engine.newInput()
    private val layout = engine.artifact.input.layout ?: Layout.NCHW

    /**
     * Preprocesses a photo and runs the model on it once.
     *
     * @throws LolvitException the photo is too elongated, or the runtime failed.
     */
    @Throws(LolvitException::class)
    public fun classify(bitmap: Bitmap): Prediction {
        val start = System.nanoTime()
        Preprocess.fill(bitmap, spec, layout, input)
        val prepared = System.nanoTime()
        val logits = engine.run(input)
        val end = System.nanoTime()
        return Prediction(top(logits), logits.copyOf(), (prepared - start) / 1e6, (end - prepared) / 1e6)
    }

    private fun top(logits: FloatArray): List<Score> {
        val highest = logits.maxOf { it }
        val odds = FloatArray(logits.size) { exp(logits[it] - highest) } // softmax, shifted against overflow
        val total = odds.sum()
        val best = odds.indices.sortedByDescending { odds[it] }.take(TOP)
        return best.map { Score(it, spec.label(it), odds[it] / total) }
    }

    override fun close(): Unit = engine.close()

    private companion object {
        const val TOP = 5

        fun first(spec: ModelSpec): EngineChoice {
            val choices = Engines.choices(spec)
            choices.find { it.missing == null }?.let { return it }
            val reasons = choices.joinToString(". ") { "${it.title}: ${it.missing}" }
            throw LolvitException("no engine here runs ${spec.name}. $reasons")
        }
    }
}
