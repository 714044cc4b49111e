package org.lolvit.benchmark

import org.json.JSONArray
import org.json.JSONObject

/** One side of a result document: what it is, and how long it took. */
internal class SideJson(private val side: Side, private val samples: Samples, private val curve: Curve?) {
    fun json(): JSONObject = JSONObject().also {
        identity(it)
        figures(it)
        told(it)
        columns(it)
    }

    private fun identity(json: JSONObject) {
        json.put("model", side.model)
            .put("size", JSONArray(listOf(side.height, side.width)))
            .put("params", side.params)
            .put("macs", side.macs)
            .put("trained", side.trained)
            .put("weights_source", side.weightsSource)
            .put("precision", side.precision)
            .put("artifact", side.artifact)
            .put("artifact_bytes", side.artifactBytes)
            .put("artifact_sha256", side.artifactSha256)
    }

    private fun figures(json: JSONObject) {
        val ms = samples.milliseconds
        json.put("median_ms", Statistics.median(ms))
            .put("p90_ms", Statistics.percentile(ms, 0.90))
            .put("p99_ms", Statistics.percentile(ms, 0.99))
            .put("throughput_per_s", 1000 * ms.size / ms.sum())
            .put("variation", Statistics.variation(ms))
            .put("variation_trimmed", Statistics.trimmedVariation(ms))
            .put("drift", Statistics.drift(ms, samples.block))
            .put("block_medians_ms", JSONArray(Statistics.groupMedians(ms, samples.block).toList()))
    }

    private fun told(json: JSONObject) {
        json.put("load_ms", side.loadMs)
            .put("first_ms", side.firstMs)
            .put("options", JSONObject(side.options))
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

/** Puts a value, or JSON's null for what isn't known: `put` alone would leave the field out. */
internal fun JSONObject.nullable(name: String, value: Any?): JSONObject = put(name, value ?: JSONObject.NULL)

/** Puts JSON's null for fields that this phone or app doesn't know. */
internal fun JSONObject.nulls(vararg names: String): JSONObject = apply { names.forEach { put(it, JSONObject.NULL) } }
