package org.lolvit.demo.benchmark

import org.json.JSONObject
import org.lolvit.LolvitException
import org.lolvit.Runtimes

/**
 * What the app answers to `lolvit bench --device adb:...`: docs/android-benchmark.md. It takes an action
 * and the name of a request from its caller, nothing else.
 */
internal class Harness(private val folder: BenchFolder, private val appVersion: String) {
    /** Makes the folder and tells what the app has: one line of JSON, schema `device-facts-1.json`. */
    fun prepare(): String {
        folder.create()
        return JSONObject()
            .put("schema_version", 1)
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
     * @throws LolvitException the request is none, or what it asks for can't be done
     */
    fun run(run: String, onSlot: (Int) -> Unit) {
        val content = folder.request(run)
        val request = DeviceRequest.parse(content.decodeToString())
        val recording = BlockRunner(folder, request, appVersion).run(BenchFolder.sha256(content), onSlot)
        folder.writeRecording(run, recording.json().toString())
    }
}
