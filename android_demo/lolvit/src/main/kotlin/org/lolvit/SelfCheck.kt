package org.lolvit

import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.util.Base64
import kotlin.math.log10
import kotlin.math.max
import kotlin.math.min
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import org.lolvit.LolvitException.Code

/**
 * An input and the outputs that artifacts are to have for it, from a model's `self-check.json`.
 *
 * The file has the photo's levels after resize and crop, and of each artifact its outputs in its own layout,
 * and the least signal-to-noise ratio.
 */
internal class SelfCheck private constructor(private val levels: ByteArray, private val artifacts: Map<String, Expected>) {
    private class Expected(val sha256: String, val minSnrDb: Double, val outputs: List<FloatArray>)

    /** Writes the input for an engine. */
    fun fill(spec: ModelSpec, engine: Engine, into: FloatBuffer) =
        spec.preprocessing.normalize(levels, engine.artifact.input.layout ?: Layout.NCHW, into)

    /**
     * Compares the outputs of the last run with the expected ones.
     *
     * @throws LolvitException they do not agree.
     */
    fun compare(choice: EngineChoice, engine: Engine): SelfCheckOutcome {
        val expected = artifacts[engine.artifact.path]?.takeIf { it.sha256 == engine.artifact.sha256 }
            ?: return SelfCheckOutcome.Absent
        val gpu = choice.unit == ComputeUnit.GPU
        val least = if (gpu) min(expected.minSnrDb, HALF_PRECISION_DB) else expected.minSnrDb
        val found = engine.outputs()
        val snr = found.indices.minOf { snrDb(expected.outputs.getOrNull(it), found[it], engine.artifact.outputs[it]) }
        if (snr >= least) return SelfCheckOutcome.Passed(snr)
        throw LolvitException(
            Code.SELF_CHECK_MISSED, "engine" to choice.title, "snr_db" to oneDecimal(snr), "min_snr_db" to oneDecimal(least),
        )
    }

    private fun oneDecimal(value: Double) = (Math.rint(value * 10) / 10).toString()

    /** In dB, limited to ±300. That of `scores`, outputs from 0 to 1, is relative to 1, their full scale. */
    private fun snrDb(expected: FloatArray?, found: FloatArray, spec: TensorSpec): Double {
        if (expected == null || expected.size != found.size || found.any { !it.isFinite() }) return -LIMIT_DB
        var signal = if (spec.meaning == "scores") expected.size.toDouble() else 0.0
        var noise = 0.0
        for (i in expected.indices) {
            val difference = expected[i].toDouble() - found[i]
            noise += difference * difference
            if (spec.meaning != "scores") signal += expected[i].toDouble() * expected[i]
        }
        if (noise == 0.0) return LIMIT_DB
        return max(-LIMIT_DB, min(LIMIT_DB, 10 * log10(signal / noise)))
    }

    companion object {
        const val NAME = "self-check.json"
        private const val KIND = "lolvit-self-check"
        private const val VERSION = 1
        private const val LIMIT_DB = 300.0
        private const val HALF_PRECISION_DB = 30.0 // GPUs compute in fp16

        /**
         * Null for a model without one, and for one of a newer version.
         *
         * @throws LolvitException the file is damaged.
         */
        fun read(source: ModelSource, spec: ModelSpec): SelfCheck? {
            if (!source.exists(NAME)) return null
            return try {
                parse(JSONObject(source.open(NAME).use { it.readBytes().decodeToString() }), spec)
            } catch (e: IOException) {
                throw LolvitException(Code.UNREADABLE, "path" to "$source/$NAME", "reason" to e.message, cause = e)
            } catch (e: JSONException) {
                throw damaged(source, e)
            } catch (e: IllegalArgumentException) { // no base64, or another size
                throw damaged(source, e)
            }
        }

        private fun damaged(source: ModelSource, cause: Exception) =
            LolvitException(Code.SELF_CHECK_INVALID, "path" to "$source/$NAME", "reason" to cause.message, cause = cause)

        private fun parse(json: JSONObject, spec: ModelSpec): SelfCheck? {
            if (json.getString("kind") != KIND || json.getInt("schema_version") != VERSION) return null
            val size = json.getJSONArray("size").let { ImageSize(it.getInt(0), it.getInt(1)) }
            val stored = Base64.getDecoder().decode(json.getString("levels"))
            val channels = spec.preprocessing.color.channels
            require(size == spec.size && stored.size == channels * size.height * size.width) { "$size with ${stored.size} levels" }
            val levels = if (channels == 1) ByteArray(3 * stored.size) { stored[it / 3] } else stored
            return SelfCheck(levels, json.getJSONArray("artifacts").objects().associate { it.getString("path") to expected(it) })
        }

        private fun expected(json: JSONObject) = Expected(
            sha256 = json.getString("sha256"),
            minSnrDb = json.getDouble("min_snr_db"),
            outputs = json.getJSONArray("outputs").objects().map { floats(it.getString("values")) },
        )

        private fun floats(base64: String): FloatArray {
            val values = ByteBuffer.wrap(Base64.getDecoder().decode(base64)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            return FloatArray(values.remaining()).also(values::get)
        }

        private fun JSONArray.objects() = List(length(), ::getJSONObject)
    }
}
