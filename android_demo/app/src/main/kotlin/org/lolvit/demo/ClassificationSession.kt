package org.lolvit.demo

import android.graphics.Bitmap
import android.net.Uri
import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors
import kotlin.math.max
import kotlin.math.roundToInt
import org.lolvit.Engines
import org.lolvit.LolvitException
import org.lolvit.ModelSource
import org.lolvit.ModelSpec

/**
 * The state and the work of the main screen: a worker thread owns the loaded model, the main thread owns the
 * [Screen].
 *
 * It survives a rotation (`onRetainNonConfigurationInstance`), so a run continues and no model is loaded twice. A
 * process-wide singleton would do that too, but would keep the model in memory after the user has left. [choices]
 * survive the end of the process.
 *
 * @param models lists the models to offer; on the worker.
 * @param threads that the model may use.
 * @param decode reads a photo, upright; on the worker.
 */
internal class ClassificationSession(
    private val models: () -> List<ModelSource>,
    threads: Int,
    private val decode: (Uri) -> Bitmap,
) {
    private class Job {
        @Volatile var cancelled = false
    }

    private val worker = Executors.newSingleThreadExecutor { Thread(it, "lolvit") }
    private val main = Handler(Looper.getMainLooper())
    private val loaded = LoadedModel(threads) // used on the worker only
    private var job = Job()
    private var photo: (() -> Bitmap)? = null
    private var busyWithFrame = false
    private var isListed = false

    var choices = SavedChoices()
        private set

    var screen = Screen(threads = threads)
        private set

    /** Gets every change, and the present state at once. */
    var listener: ((Screen) -> Unit)? = null
        set(value) {
            field = value
            value?.invoke(screen)
        }

    /** Reads the packaged models, loads the chosen one or the first, and classifies the chosen photo. */
    fun start(choices: SavedChoices) {
        this.choices = choices
        photo = choices.photo?.let { uri -> { decode(uri) } }
        worker.execute {
            var found = emptyList<PackagedModel>()
            val problem = problemOf { found = models().map(::packaged) }
            main.post { if (!worker.isShutdown) listed(found, problem) }
        }
    }

    /** Starts what the user has requested in the meantime. */
    private fun listed(models: List<PackagedModel>, problem: Problem?) {
        isListed = true
        change { copy(models = models) }
        if (problem == null) chooseModel(choices.model) else fail(problem)
    }

    /** Loads the model of that [id], or the first, and classifies the shown photo again. */
    fun chooseModel(id: String?) {
        val models = screen.models
        val model = models.find { it.id == id } ?: models.find { it.spec != null } ?: models.firstOrNull()
        val engines = model?.spec?.let(Engines::choices).orEmpty()
        change { copy(model = model, engines = engines, prediction = null, latency = null) }
        choices = choices.copy(model = model?.id)
        chooseEngine(choices.engine)
    }

    /** Loads the model into the engine of that [id], or the first available one. */
    fun chooseEngine(id: String?) {
        val usable = screen.engines.filter { it.missing == null }
        val engine = usable.find { it.id == id } ?: usable.firstOrNull()
        change { copy(engine = engine, latency = null) }
        choices = choices.copy(engine = engine?.id)
        if (screen.stage == Stage.LIVE) startLive() else again()
    }

    /** Shows and classifies the photo at [uri]. */
    fun classify(uri: Uri) {
        choices = choices.copy(photo = uri)
        photo = { decode(uri) }
        change { copy(photo = null, prediction = null, latency = null) }
        again()
    }

    /** Loads the model, then waits for [frame]s. */
    fun startLive() {
        if (!isListed) return
        photo = null
        choices = choices.copy(photo = null)
        val selection = selected() ?: return
        perform(Stage.LIVE, Stage.LIVE) { loaded.open(selection).latencies.clear() }
        change { copy(photo = null, prediction = null, latency = null) }
    }

    /** Whether a picture of the camera is wanted: the one before is classified. */
    val wantsFrame: Boolean get() = screen.stage == Stage.LIVE && !busyWithFrame

    /** Classifies one picture of the camera, and closes it; to be called where [wantsFrame]. */
    fun frame(frame: Frame) {
        val selection = selected()
        if (selection == null) return frame.close()
        busyWithFrame = true
        enqueue(job, Stage.LIVE, always = { frame.close(); main.post { busyWithFrame = false } }) { job ->
            runOnce(job, loaded.open(selection), frame.bitmap())
        }
    }

    /** Ends the live camera; its last picture stays, to be classified by other engines too. */
    fun stopLive(last: Bitmap?) {
        if (screen.stage != Stage.LIVE) return
        photo = last?.let { bitmap -> { bitmap } }
        cancel()
        change { copy(photo = last) }
    }

    /** Ends what runs, after the model's present run; what is known stays on the screen. */
    fun cancel() {
        job.cancelled = true
        job = Job()
        change { copy(stage = Stage.IDLE) }
    }

    /** Ends what runs, and shows [problem]. */
    fun fail(problem: Problem) {
        cancel()
        change { copy(problem = problem) }
    }

    /** Frees the model. Nothing is shown after this. */
    fun close() {
        job.cancelled = true
        listener = null
        worker.execute(loaded::close)
        worker.shutdown()
    }

    private fun again() {
        if (!isListed) return
        val selection = selected() ?: return
        val photo = photo
        perform(if (photo == null) Stage.LOADING else Stage.CLASSIFYING) { job ->
            val bitmap = photo?.let { orProblem(R.string.photo_title, it) }
            if (bitmap != null) post(job) { change { copy(photo = forScreen(bitmap)) } }
            val model = loaded.open(selection)
            if (bitmap != null) runRepeatedly(job, model, bitmap)
        }
    }

    private fun runRepeatedly(job: Job, model: OpenModel, bitmap: Bitmap) {
        model.latencies.clear()
        val end = System.nanoTime() + TIMING_NS
        repeat(RUNS + 1) { run -> // and the warm-up
            val wanted = run <= MIN_RUNS || System.nanoTime() < end
            if (wanted && !job.cancelled) runOnce(job, model, bitmap, Stage.TIMING)
        }
    }

    private fun runOnce(job: Job, model: OpenModel, bitmap: Bitmap, then: Stage? = null) {
        val prediction = orProblem(R.string.engine_title) { model.classifier.classify(bitmap) }
        val latency = model.latencies.add(prediction.inferenceMs)
        post(job) { change { copy(prediction = prediction, latency = latency, stage = then ?: stage) } }
    }

    /** The model and engine to work with; null if one is missing, which the screen then shows. */
    private fun selected(): Selection? {
        val model = screen.model
        val spec = model?.spec
        val engine = screen.engine
        if (spec != null && engine != null) return Selection(model.source, spec, engine)
        fail(
            when {
                model == null -> Problem(R.string.no_model_title, R.string.no_model)
                spec == null -> Problem(R.string.model_title, null, model.problem)
                else -> Problem(R.string.engine_title, R.string.no_engine)
            },
        )
        return null
    }

    private fun packaged(source: ModelSource): PackagedModel = try {
        PackagedModel(source, ModelSpec.load(source), null)
    } catch (e: LolvitException) {
        PackagedModel(source, null, e.message)
    }

    /** Cancels what runs, and does [task] on the worker. */
    private fun perform(stage: Stage, then: Stage = Stage.IDLE, task: (Job) -> Unit) {
        job.cancelled = true
        val mine = Job().also { job = it }
        change { copy(stage = stage, problem = null) }
        enqueue(mine, then, task = task)
    }

    private fun enqueue(job: Job, then: Stage, always: () -> Unit = {}, task: (Job) -> Unit) = worker.execute {
        if (!job.cancelled) {
            val problem = problemOf { task(job) }
            post(job) { change { copy(stage = if (problem == null) then else Stage.IDLE, problem = problem) } }
        }
        always()
    }

    private fun post(job: Job, action: () -> Unit) {
        main.post { if (!job.cancelled) action() }
    }

    private fun change(edit: Screen.() -> Screen) {
        screen = screen.edit()
        listener?.invoke(screen)
    }

    private companion object {
        const val RUNS = 20
        const val MIN_RUNS = 1
        const val TIMING_NS = 1_000_000_000L
        const val LONGEST_SHOWN = 1600 // pixels: more than a phone's photo frame has

        fun forScreen(photo: Bitmap): Bitmap {
            val scale = LONGEST_SHOWN.toFloat() / max(photo.width, photo.height)
            if (scale >= 1) return photo
            return Bitmap.createScaledBitmap(photo, atLeastOne(photo.width * scale), atLeastOne(photo.height * scale), true)
        }

        private fun atLeastOne(length: Float): Int = max(1, length.roundToInt())
    }
}
