package org.lolvit.demo

import android.app.Activity
import android.content.Context
import android.os.Bundle
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.ProgressBar
import android.widget.TextView
import java.io.IOException
import org.lolvit.AssetSource
import org.lolvit.ModelSource
import org.lolvit.benchmark.Profile
import org.lolvit.demo.benchmark.BenchmarkForm
import org.lolvit.demo.benchmark.BenchmarkSession
import org.lolvit.demo.benchmark.BenchmarkState
import org.lolvit.demo.benchmark.CurveView
import org.lolvit.demo.benchmark.ResultText
import org.lolvit.demo.benchmark.SharedResult
import org.lolvit.demo.benchmark.Step

/** Measures two packaged models against each other, shows the ratio and how far to trust it, and shares it. */
internal open class BenchmarkActivity : Activity() {
    private lateinit var session: BenchmarkSession
    private var form: BenchmarkForm? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.benchmark)
        edgeToEdge(window, view(R.id.benchmark), view(R.id.benchmark_scroll))
        val kept = lastNonConfigurationInstance as? BenchmarkSession
        session = kept ?: BenchmarkSession(this, profile)
        view<Button>(R.id.benchmark_start).setOnClickListener { startOrCancel() }
        view<Button>(R.id.benchmark_share).setOnClickListener { share() }
        session.observer = ::show
        show(session.state)
        if (kept == null) session.load(models)
    }

    /** Lists the models to offer; overridden in tests. */
    internal open val models: (Context) -> List<ModelSource> = { AssetSource.list(it.assets) }

    /** How long to measure; overridden in tests. */
    internal open val profile: Profile = Profile.DEFAULT

    @Deprecated("the framework's way without AndroidX")
    override fun onRetainNonConfigurationInstance(): Any = session

    override fun onStop() {
        super.onStop()
        if (!isChangingConfigurations) session.cancel(BenchmarkState.Cancelled.LEFT)
    }

    override fun onDestroy() {
        super.onDestroy()
        session.observer = null
        if (!isChangingConfigurations) session.close()
    }

    private fun startOrCancel() {
        if (session.state is BenchmarkState.Running) {
            session.cancel(BenchmarkState.Cancelled.ASKED)
        } else {
            form?.plan()?.let(session::start)
        }
    }

    private fun share() {
        val done = session.state as? BenchmarkState.Done ?: return
        try {
            startActivity(SharedResult.intent(this, done.document))
        } catch (error: IOException) {
            showText(getString(R.string.benchmark_unshared, error.message))
        }
    }

    private fun show(state: BenchmarkState) {
        keepScreenOn(state is BenchmarkState.Running)
        showForm(state)
        showProgress(state)
        showMessage(state)
        view<View>(R.id.benchmark_result).showIf(state is BenchmarkState.Done)
        if (state is BenchmarkState.Done) showResult(ResultText(resources, state.measured))
    }

    private fun keepScreenOn(on: Boolean) {
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (on) window.addFlags(flag) else window.clearFlags(flag)
    }

    private fun showForm(state: BenchmarkState) {
        val models = session.models
        view<View>(R.id.benchmark_form).showIf(models.size >= 2)
        if (models.size >= 2 && form == null) {
            form = BenchmarkForm(view(R.id.benchmark_form), models, session.chosen, ::enableStart)
        }
        view<Button>(R.id.benchmark_start)
            .setText(if (state is BenchmarkState.Running) R.string.benchmark_cancel else R.string.benchmark_start)
        for (id in CHOICES) view<View>(id).isEnabled = state !is BenchmarkState.Running
        enableStart()
    }

    private fun enableStart() {
        view<Button>(R.id.benchmark_start).isEnabled =
            session.state is BenchmarkState.Running || form?.plan() != null
    }

    private fun showProgress(state: BenchmarkState) {
        val bar = view<ProgressBar>(R.id.benchmark_progress)
        bar.showIf(state is BenchmarkState.Running)
        val step = (state as? BenchmarkState.Running)?.step ?: return
        bar.isIndeterminate = step is Step.Opening
        bar.progress = (100 * step.share).toInt()
    }

    private fun showMessage(state: BenchmarkState) {
        val message = when (state) {
            is BenchmarkState.Loading -> getString(R.string.benchmark_loading)
            is BenchmarkState.Running -> describe(state.step)
            is BenchmarkState.Cancelled -> getString(state.why)
            is BenchmarkState.Failed -> state.message
            is BenchmarkState.Done -> null
            is BenchmarkState.Ready ->
                getString(R.string.benchmark_needs_two, session.models.size).takeIf { session.models.size < 2 }
        }
        showText(message)
    }

    private fun showText(message: String?) {
        val shown = view<TextView>(R.id.benchmark_message)
        shown.text = message
        shown.showIf(message != null)
    }

    private fun describe(step: Step): String = when (step) {
        is Step.Opening -> getString(R.string.benchmark_opening)
        is Step.Interleaving -> getString(R.string.benchmark_interleaving, step.done, step.planned)
        is Step.Sustaining -> getString(R.string.benchmark_sustaining, step.model, (100 * step.share).toInt())
    }

    private fun showResult(text: ResultText) {
        val lines = mapOf(
            R.id.benchmark_headline to text.headline(),
            R.id.benchmark_interval to text.interval(),
            R.id.benchmark_latencies to text.latencies(),
            R.id.benchmark_quality to text.quality(),
            R.id.benchmark_thermal to text.thermal(),
            R.id.benchmark_curve_text to text.curveLines(),
            R.id.benchmark_notes to text.notes(),
        )
        for ((id, line) in lines) view<TextView>(id).text = line
        val curves = text.curves()
        view<View>(R.id.benchmark_curves).showIf(curves.isNotEmpty())
        view<CurveView>(R.id.benchmark_curve).show(curves, text.curveDescription())
    }

    private companion object {
        private val CHOICES = listOf(
            R.id.benchmark_first, R.id.benchmark_second, R.id.benchmark_engine, R.id.benchmark_threads,
            R.id.benchmark_sustained,
        )
    }
}
