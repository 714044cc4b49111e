package org.lolvit.benchmark

import org.json.JSONArray
import org.json.JSONObject

/** The device, runtime, app version and input of a measurement, as a result document names them. */
public class Provenance(
    public val runtime: String,
    public val runtimeVersion: String,
    public val threads: Int,
    public val phoneName: String,
    public val details: Map<String, String>,
    public val processor: String?,
    public val architecture: String,
    public val cores: Int,
    public val system: String,
    public val appVersion: String,
    public val date: String,
    public val pictureName: String,
    public val pictureSha256: String,
)

/**
 * A comparison as a result document of schema version 2, which `lolvit report` and
 * `lolvit compare` open, every sample in it.
 */
public class ResultDocument(private val comparison: Comparison, private val provenance: Provenance) {
    public fun json(): JSONObject = JSONObject()
        .put("schema_version", 2)
        .put("kind", "lolvit-bench")
        .put("state", if (comparison.recording.complete) "complete" else "interrupted")
        .put("profile", profile())
        .put("quality_rule", Quality.RULE)
        .put("photo", JSONObject().put("name", provenance.pictureName).put("sha256", provenance.pictureSha256))
        .put("environment", environment())
        .put("results", JSONArray().put(result()))

    private fun profile(): JSONObject {
        val plan = requireNotNull(comparison.recording.plan) { "a recording without a plan" }
        return JSONObject().put("name", plan.name).put("seconds", plan.seconds).put("cool_down_s", 0.0)
    }

    private fun environment(): JSONObject {
        val first = comparison.readings.firstOrNull()?.state
        return JSONObject()
            .put("device", DEVICE)
            .nullable("cpu", provenance.processor)
            .put("architecture", provenance.architecture)
            .put("cores", provenance.cores)
            .put("cores_available", provenance.cores)
            .nullable("temperature_c", first?.temperatureC)
            .nullable("battery_percent", first?.batteryPercent?.toInt())
            .nullable("on_mains", first?.plugged)
            .put("system", provenance.system)
            .put("python", "none: measured by the Android app")
            .put("packages", JSONObject().put(provenance.runtime, provenance.runtimeVersion))
            .put("lolvit_version", provenance.appVersion)
            .put("date", provenance.date)
            .nulls(
                "cpu_flags", "virtual", "governor", "frequency_mhz", "highest_frequency_mhz", "load_average",
                "memory_bytes", "lolvit_commit",
            )
    }

    private fun result(): JSONObject = JSONObject()
        .put("runtime", provenance.runtime)
        .put("runtime_version", provenance.runtimeVersion)
        .put("device", DEVICE)
        .put("device_info", deviceInfo())
        .put("precision", precision())
        .put("threads", provenance.threads)
        .put("placement", JSONObject().put("candidate", JSONObject()).put("baseline", JSONObject()))
        .put("candidate", model(0))
        .put("baseline", model(1))
        .put("speedup", speedup())
        .put("quality", quality())
        .put("notes", JSONArray(comparison.notes))
        .put("conditions", conditions())
        .put("readings", JSONArray(comparison.readings.map(::reading)))
        .nulls("pinned_cores", "roofline")

    private fun precision(): String {
        val precisions = listOf(comparison.candidate, comparison.baseline).map { it.precision }.distinct()
        return precisions.singleOrNull() ?: "best"
    }

    private fun deviceInfo(): JSONObject = JSONObject()
        .put("id", DEVICE)
        .put("kind", "phone")
        .put("name", provenance.phoneName)
        .put("software", false)
        .put("details", JSONObject(provenance.details))

    private fun speedup(): JSONObject {
        val found = comparison.speedup.interval
        return JSONObject()
            .put("ratio", found.value)
            .put("low", found.low)
            .put("high", found.high)
            .put("over", comparison.speedup.over.name.lowercase())
    }

    private fun quality(): JSONObject = JSONObject()
        .put("state", comparison.quality.state.id)
        .put("half_width", comparison.quality.halfWidth)
        .nullable("winner", comparison.quality.winner?.name?.lowercase())
        .put("reasons", JSONArray(comparison.quality.reasons.map(::finding)))
        .put("findings", JSONArray(comparison.quality.findings.map(::finding)))

    private fun finding(found: Finding): JSONObject = JSONObject().put("code", found.code).put("text", found.text)

    private fun conditions(): JSONObject = JSONObject()
        .put("cores", comparison.conditions.cores)
        .nullable("throttle_events", comparison.conditions.throttleEvents)
        .nullable("too_hot_c", comparison.conditions.tooHotC)
        .put("interrupted", comparison.conditions.interrupted)
        .nulls("others_cores", "stolen_share", "frequency_change", "probe_change")

    private fun reading(reading: Reading): JSONObject = JSONObject()
        .put("at_s", reading.atSeconds)
        .nullable("temperature_c", reading.state.temperatureC)
        .nullable("throttle_events", reading.state.thermalStatus?.let { if (it > 0) 1 else 0 })
        .nullable("battery_percent", reading.state.batteryPercent)
        .nulls("probe_us", "frequency_mhz")

    private fun model(place: Int): JSONObject = ModelJson(
        if (place == 0) comparison.candidate else comparison.baseline, comparison.samples[place], comparison.curves[place],
    ).json()

    private companion object {
        private const val DEVICE = "app"
    }
}

/** One model's part of a result document. */
private class ModelJson(private val candidate: MeasuredModel, private val samples: Samples, private val curve: Curve?) {
    fun json(): JSONObject = JSONObject().also {
        identity(it)
        figures(it)
        reported(it)
        columns(it)
    }

    private fun identity(json: JSONObject) {
        json.put("model", candidate.model)
            .put("size", JSONArray(listOf(candidate.height, candidate.width)))
            .put("params", candidate.params)
            .put("macs", candidate.macs)
            .put("trained", candidate.trained)
            .put("weights_source", candidate.weightsSource)
            .put("precision", candidate.precision)
            .put("artifact", candidate.artifact)
            .put("artifact_bytes", candidate.artifactBytes)
            .put("artifact_sha256", candidate.artifactSha256)
    }

    private fun figures(json: JSONObject) {
        val ms = samples.milliseconds
        json.put("median_ms", Statistics.median(ms))
            .put("p90_ms", Statistics.percentile(ms, 0.90))
            .nullable("p99_ms", Statistics.p99(ms))
            .put("throughput_per_s", 1000 * ms.size / ms.sum())
            .put("variation", Statistics.variation(ms))
            .put("variation_trimmed", Statistics.trimmedVariation(ms))
            .put("between_block_range", Statistics.betweenBlockRange(ms, samples.block))
            .put("block_medians_ms", JSONArray(Statistics.groupMedians(ms, samples.block).toList()))
    }

    private fun reported(json: JSONObject) {
        json.put("load_ms", candidate.loadMs)
            .put("first_ms", candidate.firstMs)
            .put("options", JSONObject(candidate.options))
            .nulls("preprocess_ms", "peak_memory_bytes", "denormal_share")
    }

    private fun columns(json: JSONObject) {
        json.put("samples", JSONArray(samples.milliseconds.toList()))
            .put("sample_block", JSONArray(samples.block.toList()))
            .put("sample_round", JSONArray(samples.round.toList()))
            .put("sample_order", JSONArray(samples.order.toList()))
            .nullable("sustained", curve?.let(::sustained))
    }

    private fun sustained(curve: Curve): JSONObject = JSONObject()
        .put("seconds", curve.seconds)
        .put("at_s", JSONArray(curve.atSeconds.toList()))
        .put("median_ms", JSONArray(curve.medianMs.toList()))
        .put("burst_ms", curve.burstMs)
        .put("plateau_ms", curve.plateauMs)
}

/** Puts a value, or JSON's null for an unknown one: `put` alone would leave the field out. */
private fun JSONObject.nullable(name: String, value: Any?): JSONObject = put(name, value ?: JSONObject.NULL)

/** Puts JSON's null for fields that are unknown to this phone or app. */
private fun JSONObject.nulls(vararg names: String): JSONObject = apply { names.forEach { put(it, JSONObject.NULL) } }
