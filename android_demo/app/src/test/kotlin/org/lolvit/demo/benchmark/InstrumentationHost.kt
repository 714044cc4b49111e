package org.lolvit.demo.benchmark

import android.app.Activity
import android.app.Instrumentation
import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.provider.Settings
import androidx.test.platform.app.InstrumentationRegistry
import java.io.File
import java.util.concurrent.FutureTask
import java.util.concurrent.TimeUnit
import org.lolvit.demo.BenchmarkInstrumentation
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.util.ReflectionHelpers

/** What `am instrument -w -r` would have printed of one run: statuses, results and the final code. */
internal class Answer(val code: Int, val results: Map<String, String>, val slots: List<String>)

/** Runs the app's real instrumentation as Android's activity manager does, on a thread of its own. */
internal object InstrumentationHost {
    private const val SECONDS = 120L
    private val context: Context get() = RuntimeEnvironment.getApplication()

    /** The app's `bench` folder on the simulated phone. */
    val folder: File get() = File(context.getExternalFilesDir(null), "bench")

    fun debugging(on: Boolean) {
        Settings.Global.putInt(context.contentResolver, Settings.Global.ADB_ENABLED, if (on) 1 else 0)
    }

    fun instrument(vararg extras: Pair<String, String>, onSlot: (String) -> Unit = {}): Answer {
        val reports = Reports(onSlot)
        val instrumentation = HostedInstrumentation(reports)
        init(instrumentation)
        instrumentation.onCreate(Bundle().apply { extras.forEach { (name, value) -> putString(name, value) } })
        Thread.setDefaultUncaughtExceptionHandler { _, error -> reports.crash = error }
        val limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS)
        while (reports.answer == null) {
            check(System.nanoTime() < limit) { "the instrumentation did not end within $SECONDS s" }
            reports.crash?.let { throw AssertionError("the instrumentation crashed", it) }
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(2)
        }
        return checkNotNull(reports.answer)
    }

    private fun init(instrumentation: Instrumentation) {
        val thread = ReflectionHelpers.callStaticMethod<Any>(Class.forName("android.app.ActivityThread"), "currentActivityThread")
        val types = listOf(
            "android.app.ActivityThread", "android.content.Context", "android.content.Context", "android.content.ComponentName",
            "android.app.IInstrumentationWatcher", "android.app.IUiAutomationConnection",
        )
        val name = ComponentName(context, BenchmarkInstrumentation::class.java)
        val values = listOf(thread, context, context, name, null, null)
        val method = Instrumentation::class.java.getDeclaredMethod("init", *types.map { Class.forName(it) }.toTypedArray())
        method.isAccessible = true
        method.invoke(instrumentation, *values.toTypedArray())
    }
}

/** What an instrumentation reports to the activity manager. */
internal class Reports(val onSlot: (String) -> Unit) {
    val slots = ArrayList<String>()

    @Volatile
    var answer: Answer? = null

    @Volatile
    var crash: Throwable? = null
}

/** The app's instrumentation with the activity manager's side of it played by Robolectric. */
internal class HostedInstrumentation(private val reports: Reports) : BenchmarkInstrumentation() {
    override fun sendStatus(code: Int, results: Bundle) {
        check(code == 1)
        reports.slots.add(results.getString("slots").orEmpty())
        reports.onSlot(reports.slots.last())
    }

    override fun finish(code: Int, results: Bundle) {
        reports.answer = Answer(code, results.keySet().associateWith { results.getString(it).orEmpty() }, reports.slots)
    }

    override fun startActivitySync(intent: Intent): Activity {
        check(Looper.myLooper() != Looper.getMainLooper()) { "measured on the main thread" }
        return onMain { InstrumentationRegistry.getInstrumentation().startActivitySync(intent) }
    }

    override fun runOnMainSync(runner: Runnable) = onMain { runner.run() }

    private fun <T> onMain(work: () -> T): T {
        val task = FutureTask(work)
        Handler(Looper.getMainLooper()).post(task)
        return task.get()
    }
}
