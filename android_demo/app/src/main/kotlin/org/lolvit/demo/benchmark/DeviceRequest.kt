package org.lolvit.demo.benchmark

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** A file in the folder, named by its own sha256 and its extension. */
internal class RequestFile(val name: String, val sha256: String, val bytes: Long)

/** One artifact to be timed, and the input that it is timed on. */
internal class RequestCandidate(
    val name: String,
    val artifact: RequestFile,
    val format: String,
    val input: RequestFile,
    val shape: List<Int>,
    val dtype: String,
)

/**
 * Consecutive runs of one candidate: [warmUpRuns] that are not recorded, then [burst] recorded ones.
 */
internal class RequestSlot(val candidate: String, val warmUpRuns: Int, val burst: Int)

/**
 * One block that the harness asks for: docs/android-benchmark.md, schema `device-request-2.json`.
 * A field that is not in the schema is an error: it would be silently ignored otherwise.
 */
internal class DeviceRequest(
    val runtime: String,
    val threads: Int,
    val candidates: List<RequestCandidate>,
    val warmUpRuns: Int,
    val warmUpSeconds: Double,
    val slots: List<RequestSlot>,
) {
    companion object {
        private const val SCHEMA_VERSION = 2
        private const val KIND = "lolvit-device-request"

        /** @throws HarnessException naming the field that is wrong */
        fun parse(text: String): DeviceRequest = try {
            val root = Fields(JSONObject(text), "")
            root.equal("kind", KIND)
            val version = root.int("schema_version", 0)
            if (version != SCHEMA_VERSION) {
                throw HarnessException(
                    "request of schema version $version, this app reads $SCHEMA_VERSION: " +
                        "install the app of the lolvit that asks",
                )
            }
            root.only(
                "schema_version", "kind", "runtime", "threads", "candidates", "warm_up_runs", "warm_up_s", "slots",
            )
            request(root)
        } catch (error: JSONException) {
            throw HarnessException("the request is not one: ${error.message}", error)
        }

        private fun request(root: Fields): DeviceRequest {
            val candidates = root.list("candidates").map(::candidate)
            val names = candidates.map { it.name }
            if (names.isEmpty() || names.distinct() != names) {
                throw HarnessException("request, field 'candidates': none, or two of one name")
            }
            val slots = root.list("slots").map(::slot)
            slots.firstOrNull { it.candidate !in names }?.let {
                throw HarnessException("request, field 'slots': no candidate '${it.candidate}'")
            }
            return DeviceRequest(
                root.string("runtime"), root.int("threads", 1), candidates,
                root.int("warm_up_runs", 1), root.seconds("warm_up_s"), slots,
            )
        }

        private fun candidate(fields: Fields): RequestCandidate {
            fields.only("name", "artifact", "format", "input", "shape", "dtype")
            return RequestCandidate(
                fields.string("name"), file(fields.sub("artifact")), fields.string("format"),
                file(fields.sub("input")), fields.ints("shape"), fields.string("dtype"),
            )
        }

        private fun slot(fields: Fields): RequestSlot {
            fields.only("candidate", "warm_up_runs", "burst")
            return RequestSlot(fields.string("candidate"), fields.int("warm_up_runs", 0), fields.int("burst", 1))
        }

        private fun file(fields: Fields): RequestFile {
            fields.only("name", "sha256", "bytes")
            val name = fields.string("name")
            val sha256 = fields.string("sha256")
            if (!DIGEST.matches(sha256)) throw fields.wrong("sha256")
            if (!NAME.matches(name) || !name.startsWith(sha256)) throw fields.wrong("name")
            return RequestFile(name, sha256, fields.long("bytes"))
        }

        private val DIGEST = Regex("[0-9a-f]{64}")
        private val NAME = Regex("[0-9a-f]{64}(\\.[a-z]+)?")
    }
}

/** A JSON object's fields with their place in the document, read strictly. */
private class Fields(private val json: JSONObject, private val place: String) {
    fun wrong(field: String) = HarnessException("request, field '$place$field': missing, or not as in the schema")

    fun only(vararg names: String) {
        json.keys().asSequence().firstOrNull { it !in names }?.let { throw wrong(it) }
    }

    fun string(name: String): String = json.opt(name) as? String ?: throw wrong(name)

    fun equal(name: String, value: String) {
        if (string(name) != value) throw wrong(name)
    }

    fun int(name: String, least: Int): Int = (json.opt(name) as? Int)?.takeIf { it >= least } ?: throw wrong(name)

    fun long(name: String): Long = whole(json.opt(name))?.takeIf { it in 0..Int.MAX_VALUE } ?: throw wrong(name)

    fun seconds(name: String): Double =
        (json.opt(name) as? Number)?.toDouble()?.takeIf { it >= 0 && it.isFinite() } ?: throw wrong(name)

    fun sub(name: String): Fields = Fields(json.opt(name) as? JSONObject ?: throw wrong(name), "$place$name.")

    fun list(name: String): List<Fields> {
        val array = json.opt(name) as? JSONArray ?: throw wrong(name)
        return List(array.length()) { Fields(array.opt(it) as? JSONObject ?: throw wrong(name), "$place$name.$it.") }
    }

    fun ints(name: String): List<Int> {
        val array = json.opt(name) as? JSONArray ?: throw wrong(name)
        return List(array.length()) { (array.opt(it) as? Int)?.takeIf { side -> side > 0 } ?: throw wrong(name) }
    }

    private fun whole(value: Any?): Long? = (value as? Int)?.toLong() ?: value as? Long
}
