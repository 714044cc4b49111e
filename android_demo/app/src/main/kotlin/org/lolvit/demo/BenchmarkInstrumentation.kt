package org.lolvit.demo

import android.app.Activity
import android.app.Instrumentation
import android.content.Intent
import android.os.Bundle
import android.provider.Settings
import org.json.JSONObject
import org.lolvit.LolvitException
import org.lolvit.benchmark.Runtimes
import org.lolvit.demo.benchmark.BenchFolder
import org.lolvit.demo.benchmark.BlockRunner
import org.lolvit.demo.benchmark.DeviceRequest
import org.lolvit.demo.benchmark.HarnessException
import org.lolvit.demo.benchmark.appVersion

/**
 * The entry point of the harness, `am instrument -w -r -e action prepare|run [-e run RUN]`: see
 * docs/android-benchmark.md.
 *
 * Android has no permission that guards an instrumentation: any app could start this one. So its caller
 * can pass an action and a request's name only, it opens files of the app's own folder only, and it fails
 * unless debugging is on, which the harness needs anyway. (Open for tests only, which implement the
 * activity manager.)
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
        } catch (error: HarnessException) {
            failed(results, error.message)
        } catch (error: LolvitException) {
            failed(results, targetContext.describe(error).lines().joinToString(" "))
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
        val commands = HarnessCommands(BenchFolder.of(targetContext), appVersion(targetContext))
        when (val action = asked.getString("action")) {
            "prepare" -> results.putString("facts", commands.prepare())
            "run" -> measure(commands, asked.getString("run").orEmpty())
            else -> throw HarnessException("no action '${action.orEmpty()}': give prepare or run")
        }
    }

    private fun requireDebugging() {
        val resolver = targetContext.contentResolver
        val on = listOf(Settings.Global.ADB_ENABLED, WIRELESS).any { Settings.Global.getInt(resolver, it, 0) != 0 }
        if (!on) throw HarnessException("debugging is off: switch USB debugging on in the phone's developer options")
    }

    private fun measure(commands: HarnessCommands, run: String) {
        val front = startActivitySync(
            Intent(targetContext, MeasuringActivity::class.java).addFlags(Intent.FLAG_ACTIVITY_NEW_TASK),
        )
        try {
            commands.run(run) { done -> sendStatus(1, Bundle().apply { putString("slots", done.toString()) }) }
        } finally {
            runOnMainSync { front.finish() }
        }
    }

    private companion object {
        // Settings.Global's name of wireless debugging, which is hidden there.
        private const val WIRELESS = "adb_wifi_enabled"
    }
}

/**
 * The two actions of the instrumentation, for `lolvit bench --device adb:...`: docs/android-benchmark.md.
 */
private class HarnessCommands(private val folder: BenchFolder, private val appVersion: String) {
    /** Makes the folder and returns the app's facts: one line of JSON, schema `device-facts-2.json`. */
    fun prepare(): String {
        folder.create()
        return JSONObject()
            .put("schema_version", 2)
            .put("kind", "lolvit-device-facts")
            .put("app_version", appVersion)
            .put("folder", folder.path.path)
            .put("runtimes", JSONObject(Runtimes.versions()))
            .toString()
            .replace("\\/", "/") // org.json escapes slashes, for HTML's sake
    }

    /**
     * Measures the block that the request [run] asks for and writes its recording.
     *
     * @throws HarnessException the request is invalid, or can't be carried out
     * @throws LolvitException the runtime failed
     */
    fun run(run: String, onSlot: (Int) -> Unit) {
        val content = folder.request(run)
        val request = DeviceRequest.parse(content.decodeToString())
        val recording = BlockRunner(folder, request, appVersion).run(BenchFolder.sha256(content), onSlot)
        folder.writeRecording(run, recording.json().toString())
    }
}
