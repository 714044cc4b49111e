package org.lolvit.demo.benchmark

import org.json.JSONArray
import org.json.JSONObject

/** The record of one candidate; fields that the result schema has too mean the same here. */
internal class RecordedCandidate(
    val name: String,
    val artifactSha256: String,
    val loadMs: Double,
    val firstMs: Double,
    val runMs: Double,
    val options: Map<String, String>,
    val logits: FloatArray,
)

/** The answer to a request: schema `device-recording-2.json`. */
internal class DeviceRecording(
    private val requestSha256: String,
    private val runtimeVersion: String,
    private val appVersion: String,
    private val cpuset: String?,
    private val candidates: List<RecordedCandidate>,
    private val slots: List<Pair<String, LongArray>>,
) {
    fun json(): JSONObject = JSONObject()
        .put("schema_version", 2)
        .put("kind", "lolvit-device-recording")
        .put("request_sha256", requestSha256)
        .put("runtime_version", runtimeVersion)
        .put("app_version", appVersion)
        .put("cpuset", cpuset ?: JSONObject.NULL)
        .put("candidates", JSONArray(candidates.map(::candidate)))
        .put("slots", JSONArray(slots.map { (name, durations) ->
            JSONObject().put("candidate", name).put("durations_ns", JSONArray(durations.toList()))
        }))

    private fun candidate(recorded: RecordedCandidate): JSONObject = JSONObject()
        .put("name", recorded.name)
        .put("artifact_sha256", recorded.artifactSha256)
        .put("load_ms", recorded.loadMs)
        .put("first_ms", recorded.firstMs)
        .put("run_ms", recorded.runMs)
        .put("peak_memory_bytes", JSONObject.NULL) // Android reports it for the whole process only
        .put("placement", JSONObject()) // neither runtime reports it on a phone
        .put("options", JSONObject(recorded.options))
        .put("logits", JSONArray(recorded.logits.map { it.toDouble() }))
}
