package org.lolvit.demo.benchmark

import android.content.Context
import android.os.Handler
import android.os.Looper
import java.util.concurrent.CancellationException
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicBoolean
import org.lolvit.LolvitException
import org.lolvit.ModelSource
import org.lolvit.benchmark.Cancellation
import org.lolvit.benchmark.Phone
import org.lolvit.benchmark.Profile
import org.lolvit.benchmark.ResultDocument
import org.lolvit.demo.R
import org.lolvit.demo.describe

/** What the benchmark screen shows. */
internal sealed class BenchmarkState {
    object Loading : BenchmarkState()

    object Ready : BenchmarkState()

    class Running(val step: Step) : BenchmarkState()

    /** [document] is the result as `lolvit report` opens it. */
    class Done(val measured: Measured, val document: String) : BenchmarkState()

    /** [why] is a string's id. */
    class Cancelled(val why: Int) : BenchmarkState() {
        companion object {
            val ASKED = Cancelled(R.string.benchmark_cancelled)
            val LEFT = Cancelled(R.string.benchmark_left)
        }
    }

    class Failed(val message: String) : BenchmarkState()
}

/**
 * A measurement that survives a rotation of its screen: the activity passes it to the next one. All of
 * its methods are for the main thread; reading and measuring are done on a thread of its own.
 */
internal class BenchmarkSession(context: Context, private val profile: Profile) {
    private val context = context.applicationContext
    private val main = Handler(Looper.getMainLooper())
    private val worker = Executors.newSingleThreadExecutor { Thread(it, "lolvit-benchmark") }
    private var cancelled = AtomicBoolean()
    private var why = BenchmarkState.Cancelled.ASKED

    val chosen = Chosen()

    /** The models of the app; empty until they were read. */
    var models: List<BenchmarkModel> = emptyList()
        private set

    var state: BenchmarkState = BenchmarkState.Loading
        private set

    /** Gets each new state; null while there is no screen. */
    var observer: ((BenchmarkState) -> Unit)? = null

    /** Reads the manifests of the models that [list] gives. */
    fun load(list: (Context) -> List<ModelSource>) {
        worker.execute {
            val end = attempt {
                val found = BenchmarkModel.all(list(context))
                main.post { models = found }
                BenchmarkState.Ready
            }
            main.post { show(end) }
        }
    }

    fun start(plan: BenchmarkPlan) {
        if (state is BenchmarkState.Running) return
        val mine = AtomicBoolean()
        cancelled = mine
        show(BenchmarkState.Running(Step.Opening))
        worker.execute {
            val end = attempt { measure(plan, Cancellation(mine::get)) }
            main.post { show(end) }
        }
    }

    fun cancel(reason: BenchmarkState.Cancelled) {
        why = reason
        cancelled.set(true)
    }

    /** Ends it: the screen is gone for good. */
    fun close() {
        observer = null
        cancelled.set(true)
        worker.shutdown()
    }

    private fun measure(plan: BenchmarkPlan, cancellation: Cancellation): BenchmarkState {
        val run = ComparisonRun(plan, Phone.of(context), cancellation, profile) { step ->
            main.post { if (state is BenchmarkState.Running) show(BenchmarkState.Running(step)) }
        }
        val measured = run.measure()
        val document = ResultDocument(measured.comparison, provenance(context, measured))
        return BenchmarkState.Done(measured, document.json().toString(1))
    }

    private fun attempt(work: () -> BenchmarkState): BenchmarkState = try {
        work()
    } catch (cancellation: CancellationException) {
        why
    } catch (error: LolvitException) {
        BenchmarkState.Failed(context.describe(error))
    } catch (error: OutOfMemoryError) {
        BenchmarkState.Failed(context.getString(R.string.benchmark_out_of_memory))
    }

    private fun show(next: BenchmarkState) {
        state = next
        observer?.invoke(next)
    }
}
