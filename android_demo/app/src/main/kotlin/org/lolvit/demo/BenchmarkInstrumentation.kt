package org.lolvit.demo

import android.app.Activity
import android.app.Instrumentation
import android.content.Intent
import android.os.Bundle
import android.provider.Settings
import org.lolvit.LolvitException
import org.lolvit.demo.benchmark.BenchFolder
import org.lolvit.demo.benchmark.Harness
import org.lolvit.demo.benchmark.appVersion

/**
 * The entry point of the harness, `am instrument -w -r -e action prepare|run [-e run RUN]`: see
 * docs/android-benchmark.md.
 *
 * Android guards no instrumentation by a permission: any app could start this one. So it takes nothing
 * from its caller but an action and a request's name, opens files of the app's own folder alone, and
 * refuses where debugging is off, without which there is no harness. (Open for tests alone, which play
 * the activity manager's side.)
 */
public open class BenchmarkInstrumentation : Instrumentation() {
    private var asked = Bundle.EMPTY

    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        asked = arguments ?: Bundle.EMPTY
        start()
    }

    /** On a thread of its own, which is not the main one. */
    override fun onStart() {
        super.onStart()
        val results = Bundle()
        val code = try {
            answer(results)
            Activity.RESULT_OK
        } catch (error: LolvitException) {
            failed(results, error.message)
        } catch (error: OutOfMemoryError) {
            failed(results, "not enough memory: ${error.message}")
        }
        finish(code, results)
    }

    private fun failed(results: Bundle, message: String?): Int {
        results.putString("error", message)
        return Activity.RESULT_CANCELED
    }

    private fun answer(results: Bundle) {
        requireDebugging()
        val harness = Harness(BenchFolder.of(targetContext), appVersion(targetContext))
        when (val action = asked.getString("action")) {
            "prepare" -> results.putString("facts", harness.prepare())
            "run" -> measure(harness, asked.getString("run").orEmpty())
            else -> throw LolvitException("no action '${action.orEmpty()}': give prepare or run")
        }
    }

    private fun requireDebugging() {
        val resolver = targetContext.contentResolver
        val on = listOf(Settings.Global.ADB_ENABLED, WIRELESS).any { Settings.Global.getInt(resolver, it, 0) != 0 }
        if (!on) throw LolvitException("debugging is off: switch USB debugging on in the phone's developer options")
    }

    private fun measure(harness: Harness, run: String) {
        val front = startActivitySync(
            Intent(targetContext, MeasuringActivity::class.java).addFlags(Intent.FLAG_ACTIVITY_NEW_TASK),
        )
        try {
            harness.run(run) { done -> sendStatus(1, Bundle().apply { putString("slots", done.toString()) }) }
        } finally {
            runOnMainSync { front.finish() }
        }
    }

    private companion object {
        // Settings.Global's name of wireless debugging, which is hidden there.
        private const val WIRELESS = "adb_wifi_enabled"
    }
}
