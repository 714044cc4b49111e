package org.lolvit.demo

import android.graphics.Bitmap
import android.net.Uri
import kotlin.math.max
import kotlin.math.roundToInt
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.lolvit.Engines
import org.lolvit.ImageSize
import org.lolvit.LolvitException
import org.lolvit.ModelSource
import org.lolvit.ModelSpec

/**
 * The state and the work of the main screen, on the main thread; what takes time is done by the library and by
 * coroutines in the background.
 *
 * It survives a rotation (`onRetainNonConfigurationInstance`), so a run continues and no model is loaded twice. A
 * process-wide singleton would do that too, but would keep the model in memory after the user has left. [choices]
 * survive the end of the process.
 *
 * @param models lists the models to offer; in the background.
 * @param threads that the model may use.
 * @param decode reads a photo, upright; in the background.
 */
internal class PredictionSession(
    private val models: () -> List<ModelSource>,
    threads: Int,
    private val decode: (Uri) -> Bitmap,
) {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main)
    private val loaded = LoadedModel(threads)
    private var job: Job = Job()
    private var frameJob: Job = Job()
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

    /** Reads the packaged models, loads the chosen one or the first, and predicts for the chosen photo. */
    fun start(choices: SavedChoices) {
        this.choices = choices
        photo = choices.photo?.let { uri -> { decode(uri) } }
        scope.launch {
            var found = emptyList<PackagedModel>()
            val problem = problemOf { found = withContext(Dispatchers.IO) { models().map(::packaged) } }
            listed(found, problem)
        }
    }

    /** Starts what the user has requested in the meantime. */
    private fun listed(models: List<PackagedModel>, problem: Problem?) {
        isListed = true
        change { copy(models = models) }
        if (problem == null) chooseModel(choices.model) else fail(problem)
    }

    /** Loads the model of that [id], or the first, and predicts for the shown photo again. */
    fun chooseModel(id: String?) {
        val models = screen.models
        val model = models.find { it.id == id } ?: models.find { it.spec != null } ?: models.firstOrNull()
        val engines = model?.spec?.let(Engines::choices).orEmpty()
        change { copy(model = model, engines = engines).withoutResult() }
        choices = choices.copy(model = model?.id)
        chooseEngine(choices.engine)
    }

    /** Loads the model into the engine of that [id], or the first available one. */
    fun chooseEngine(id: String?) {
        val usable = screen.engines.filter { it.missing == null }
        val engine = usable.find { it.id == id } ?: usable.firstOrNull()
        change { copy(engine = engine, latency = null, fallbacks = emptyList()) }
        choices = choices.copy(engine = engine?.id)
        if (screen.stage == Stage.LIVE) startLive() else again()
    }

    /** Shows the photo at [uri], and what the model predicts for it. */
    fun predict(uri: Uri) {
        choices = choices.copy(photo = uri)
        photo = { decode(uri) }
        change { copy(photo = null).withoutResult() }
        again()
    }

    /** Loads the model, then waits for [frame]s. */
    fun startLive() {
        if (!isListed) return
        photo = null
        choices = choices.copy(photo = null)
        val selection = selected() ?: return
        perform(Stage.LIVE, Stage.LIVE) { open(selection).latencies.clear() }
        change { copy(photo = null).withoutResult() }
    }

    /** Whether a picture of the camera is wanted: the one before is done. */
    val wantsFrame: Boolean get() = screen.stage == Stage.LIVE && !busyWithFrame

    /** Predicts for one picture of the camera, and closes it; to be called where [wantsFrame]. */
    fun frame(frame: Frame) {
        val selection = selected()
        if (selection == null) return frame.close()
        busyWithFrame = true
        frameJob = scope.launch {
            finishing(Stage.LIVE) {
                val model = open(selection)
                runOnce(model, withContext(Dispatchers.Default) { frame.bitmap() })
            }
        }
        frameJob.invokeOnCompletion { // also where it was cancelled before it began
            frame.close()
            busyWithFrame = false
        }
    }

    /** Ends the live camera; its last picture stays, for other engines too. */
    fun stopLive(last: Bitmap?) {
        if (screen.stage != Stage.LIVE) return
        photo = last?.let { bitmap -> { bitmap } }
        cancel()
        change { copy(photo = last) }
    }

    /** Ends what runs, after the model's present run; what is known stays on the screen. */
    fun cancel() {
        cancelJobs()
        change { copy(stage = Stage.IDLE) }
    }

    private fun cancelJobs() {
        job.cancel()
        frameJob.cancel()
    }

    /** Ends what runs, and shows [problem]. */
    fun fail(problem: Problem) {
        cancel()
        change { copy(problem = problem) }
    }

    /** Frees the model. Nothing is shown after this. */
    fun close() {
        listener = null
        scope.cancel()
        loaded.close()
    }

    private fun again() {
        if (!isListed) return
        val selection = selected() ?: return
        val photo = photo
        perform(if (photo == null) Stage.LOADING else Stage.PREDICTING) {
            val bitmap = photo?.let { read -> orProblem(R.string.photo_title) { withContext(Dispatchers.IO) { read() } } }
            if (bitmap != null) {
                val shown = withContext(Dispatchers.Default) { forScreen(bitmap) }
                change { copy(photo = shown) }
            }
            val model = open(selection)
            if (bitmap != null) runRepeatedly(model, bitmap)
        }
    }

    private suspend fun open(selection: Selection): OpenModel {
        val model = loaded.open(selection)
        val report = model.report
        if (report.fallbacks.isNotEmpty()) change { copy(engine = report.choice, fallbacks = report.fallbacks) }
        return model
    }

    private suspend fun runRepeatedly(model: OpenModel, bitmap: Bitmap) {
        model.latencies.clear()
        val end = System.nanoTime() + TIMING_NS
        repeat(RUNS + 1) { run -> // and the warm-up
            if (run <= MIN_RUNS || System.nanoTime() < end) runOnce(model, bitmap, Stage.TIMING)
        }
    }

    private suspend fun runOnce(model: OpenModel, bitmap: Bitmap, then: Stage? = null) {
        val predicted = orProblem(R.string.engine_title) { model.predict(bitmap) }
        val latency = model.latencies.add(predicted.inferenceMs)
        val size = ImageSize(bitmap.height, bitmap.width)
        change { copy(predicted = predicted, photoSize = size, latency = latency, stage = then ?: stage) }
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
                spec == null -> Problem(R.string.model_title, error = model.problem)
                else -> Problem(R.string.engine_title, R.string.no_engine)
            },
        )
        return null
    }

    private fun packaged(source: ModelSource): PackagedModel = try {
        PackagedModel(source, ModelSpec.load(source), null)
    } catch (e: LolvitException) {
        PackagedModel(source, null, e)
    }

    /** Cancels what runs, and does [task]. */
    private fun perform(stage: Stage, then: Stage = Stage.IDLE, task: suspend () -> Unit) {
        cancelJobs()
        change { copy(stage = stage, problem = null) }
        job = scope.launch { finishing(then, task) }
    }

    private suspend fun finishing(then: Stage, task: suspend () -> Unit) {
        val problem = problemOf { task() }
        change { copy(stage = if (problem == null) then else Stage.IDLE, problem = problem) }
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
