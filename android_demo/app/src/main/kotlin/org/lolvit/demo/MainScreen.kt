package org.lolvit.demo

import android.app.Activity
import android.graphics.Bitmap
import android.view.TextureView
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import org.lolvit.ComputeUnit
import org.lolvit.Classification
import org.lolvit.Detections
import org.lolvit.EngineChoice
import org.lolvit.Prediction
import org.lolvit.SegmentationMap

/** The views of the main screen, and how they show a [Screen]. */
internal class MainScreen(private val activity: Activity) {
    val choose: Button = activity.view(R.id.choose)
    val take: Button = activity.view(R.id.take)
    val live: Button = activity.view(R.id.live)
    val cancel: Button = activity.view(R.id.cancel)
    val problemAction: Button = activity.view(R.id.problem_action)
    val models: ChoiceList = activity.view(R.id.models)
    val engines: ChoiceList = activity.view(R.id.engines)
    val preview: TextureView = activity.view(R.id.preview)

    private val photo: ImageView = activity.view(R.id.photo)
    private val overlay: PredictionOverlay = activity.view(R.id.overlay)
    private val scores: ScoreList = activity.view(R.id.scores)
    private val now = Figure(R.id.now, R.string.now)
    private val median = Figure(R.id.median, R.string.median)
    private val p90 = Figure(R.id.p90, R.string.p90)

    /** @param mirrored whether the preview is mirrored. */
    fun show(screen: Screen, mirrored: Boolean) {
        showPicture(screen.photo, screen.stage == Stage.LIVE)
        showOverlay(screen, mirrored)
        showProgress(screen.stage)
        showProblem(screen.problem)
        showPrediction(screen)
        showFallbacks(screen)
        showLatency(screen)
        showChoices(screen)
    }

    /** Leaves the camera's buttons enabled, or shows why they are not. */
    fun showCameras(camera: Boolean, app: Boolean) {
        live.isEnabled = camera
        take.isEnabled = camera && app
        val reason = activity.view<TextView>(R.id.camera_reason)
        reason.showIf(!camera || !app)
        if (!app) reason.setText(R.string.no_camera_app)
        if (!camera) reason.setText(R.string.no_camera)
    }

    private fun showPicture(bitmap: Bitmap?, live: Boolean) {
        photo.setImageBitmap(bitmap)
        photo.showIf(bitmap != null && !live)
        preview.showIf(live)
        activity.view<View>(R.id.empty).showIf(bitmap == null && !live)
        this.live.setText(if (live) R.string.stop_camera else R.string.live_camera)
        this.live.isActivated = live
    }

    private fun showOverlay(screen: Screen, mirrored: Boolean) {
        val (predicted, size, spec) = Triple(screen.predicted, screen.photoSize, screen.model?.spec)
        val drawn = if (predicted != null && size != null && spec != null) Drawn(predicted.prediction, size, spec) else null
        overlay.show(drawn, screen.stage == Stage.LIVE, mirrored)
    }

    private fun showProgress(stage: Stage) {
        val text = when (stage) {
            Stage.LOADING -> R.string.loading_model
            Stage.PREDICTING -> R.string.reading_photo
            Stage.TIMING -> R.string.timing
            Stage.IDLE, Stage.LIVE -> null
        }
        activity.view<View>(R.id.progress).showIf(text != null)
        if (text != null) activity.view<TextView>(R.id.progress_text).setText(text)
    }

    private fun showProblem(problem: Problem?) {
        activity.view<View>(R.id.problem).showIf(problem != null)
        if (problem == null) return
        activity.view<TextView>(R.id.problem_title).setText(problem.title)
        activity.view<TextView>(R.id.problem_text).text = remedy(problem)
        problemAction.showIf(problem.permission)
    }

    private fun remedy(problem: Problem): String =
        problem.error?.let(activity::describe) ?: problem.text?.let { activity.getString(it, problem.detail) }.orEmpty()

    private fun showPrediction(screen: Screen) {
        val prediction = screen.predicted?.prediction
        val untrained = screen.model?.spec?.trained == false
        activity.view<View>(R.id.untrained).showIf(untrained && prediction != null)
        activity.view<View>(R.id.nothing_found).showIf(prediction is Detections && prediction.objects.isEmpty())
        val shown = prediction?.let(::rows).orEmpty()
        scores.showIf(shown.isNotEmpty())
        scores.show(shown, spoken(prediction), screen.stage == Stage.LIVE)
    }

    /** The first classes or objects. */
    private fun rows(prediction: Prediction): List<ShownScore> = when (prediction) {
        is Classification -> prediction.top.map { ShownScore(it.label, it.probability) }
        is Detections -> prediction.objects.take(ROWS).map { ShownScore(it.label, it.score) }
        is SegmentationMap -> prediction.shares.take(ROWS).map { ShownScore(it.label, it.share) }
    }

    private fun spoken(prediction: Prediction?): Int = when (prediction) {
        is Classification, null -> R.string.spoken_first
        is Detections -> R.string.spoken_first_object
        is SegmentationMap -> R.string.spoken_first_share
    }

    /** Why another engine runs the model than the one that was chosen. */
    private fun showFallbacks(screen: Screen) {
        activity.view<View>(R.id.fallback).showIf(screen.fallbacks.isNotEmpty())
        activity.view<TextView>(R.id.fallback_text).text =
            screen.fallbacks.joinToString("\n") { activity.describe(it.reason) }
    }

    private fun showLatency(screen: Screen) {
        val latency = screen.latency
        activity.view<View>(R.id.latency).showIf(latency != null)
        if (latency == null) return
        now.show(latency.now)
        median.show(latency.median)
        p90.show(latency.p90)
        activity.view<TextView>(R.id.runs).text = howMeasured(screen, latency.runs)
    }

    private fun howMeasured(screen: Screen, count: Int): String {
        if (count == 0) return activity.getString(R.string.first_run)
        val runs = activity.resources.getQuantityString(R.plurals.runs, count, count)
        val onGpu = screen.engine?.unit == ComputeUnit.GPU
        val where = if (onGpu) activity.getString(R.string.on_gpu) else threads(screen.threads)
        val preparing = activity.milliseconds(screen.predicted?.preprocessMs ?: 0.0)
        return activity.getString(R.string.how_measured, runs, where, preparing)
    }

    private fun threads(count: Int): String = activity.resources.getQuantityString(R.plurals.threads, count, count)

    private fun showChoices(screen: Screen) {
        activity.view<View>(R.id.choices).showIf(screen.models.isNotEmpty())
        activity.view<View>(R.id.engines_heading).showIf(screen.engines.isNotEmpty())
        models.show(screen.models.map { Choice(it.id, it.title, detail(it)) }, screen.model?.id)
        engines.show(screen.engines.map(::choice), screen.engine?.id)
        activity.view<TextView>(R.id.subtitle).text = subtitle(screen)
    }

    private fun choice(engine: EngineChoice): Choice {
        val reason = engine.missing?.let(activity::describe).orEmpty()
        return Choice(engine.id, engine.title, reason, engine.missing == null)
    }

    private fun detail(model: PackagedModel): String {
        val spec = model.spec ?: return model.problem?.let(activity::describe).orEmpty()
        val trained = activity.getString(if (spec.trained) R.string.trained else R.string.not_trained)
        return activity.getString(R.string.model_detail, spec.size.height, spec.size.width, trained)
    }

    private fun subtitle(screen: Screen): String = when {
        screen.model == null -> activity.getString(R.string.tagline)
        screen.engine == null -> screen.model.title
        else -> activity.getString(R.string.model_on_engine, screen.model.title, screen.engine.title)
    }

    /** A number over its name, read out as one. */
    private inner class Figure(id: Int, private val name: Int) {
        private val view: View = activity.view(id)

        init {
            view.child<TextView>(R.id.figure_name).setText(name)
        }

        fun show(value: Double?) {
            val text = value?.let(activity::milliseconds) ?: activity.getString(R.string.not_yet)
            view.child<TextView>(R.id.figure_value).text = text
            view.contentDescription = activity.getString(R.string.spoken_figure, activity.getString(name), text)
        }
    }

    private companion object {
        const val ROWS = 5
    }
}
