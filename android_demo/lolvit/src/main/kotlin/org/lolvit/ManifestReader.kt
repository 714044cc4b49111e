package org.lolvit

import java.io.IOException
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/**
 * Reads `manifest.json` as lolvit/manifest.py writes it: schema version 2, or version 1, which is
 * converted to version 2 first ([schema1ToSchema2]).
 */
internal class ManifestReader(private val source: ModelSource) {
    private val where = "$source/$MANIFEST"

    fun read(): ModelSpec {
        val manifest = document()
        return try {
            spec(if (version(manifest) == 1) schema1ToSchema2(manifest) else manifest).also(::checkRanges)
        } catch (e: JSONException) {
            throw LolvitException("$where: ${e.message}; $AGAIN", e)
        }
    }

    private fun document(): JSONObject {
        val text = text(MANIFEST) ?: throw LolvitException("$source: no $MANIFEST here; run: lolvit package")
        return try {
            JSONObject(text)
        } catch (e: JSONException) {
            throw LolvitException("$where: not a manifest: ${e.message}; $AGAIN", e)
        } catch (e: StackOverflowError) {
            throw LolvitException("$where: not a manifest: nested too deeply; $AGAIN", e)
        }
    }

    private fun version(manifest: JSONObject): Int {
        val version = manifest.opt("schema_version")
        if (version is Int && version in SCHEMA_VERSIONS) return version
        unsupported(
            "schema version $version, this app reads ${SCHEMA_VERSIONS.joinToString(" and ")}",
            "package the model with the lolvit version that this app was built with",
        )
    }

    private fun spec(json: JSONObject): ModelSpec {
        checkTask(json)
        val preprocessing = json.getJSONObject("preprocessing")
        val color = one(preprocessing, "color", ColorMode.values())
        val classes = classes(json.getJSONObject("signature"))
        val weights = json.getJSONObject("weights")
        return ModelSpec(
            name = json.getString("model"),
            size = size(preprocessing.getJSONArray("size")),
            cropPct = preprocessing.getDouble("crop_pct"),
            interpolation = one(preprocessing, "interpolation", Interpolation.values()),
            mean = channels(preprocessing, "mean", color),
            std = channels(preprocessing, "std", color),
            classes = classes,
            labels = labels(json, classes),
            trained = weights.getBoolean("trained"),
            artifacts = json.getJSONArray("artifacts").objects()
                .filter { it.getString("format") in FORMATS }
                .map(::artifact),
            weightsSource = weights.getString("source"),
            params = json.getLong("params"),
            macs = json.getLong("macs"),
            resize = one(preprocessing, "resize", Resize.values()),
            color = color,
        )
    }

    private fun checkTask(json: JSONObject) {
        val task = json.getString("task")
        if (task != TASK) unsupported("task '$task', this app runs $TASK only", "choose a classification model")
        val kind = json.optJSONObject("postprocessing")?.optString("kind", SOFTMAX) ?: SOFTMAX
        if (kind != SOFTMAX) {
            unsupported("postprocessing '$kind', this app applies $SOFTMAX only", "choose another model")
        }
    }

    /** The value of a field of preprocessing among those that this library implements; the first if absent. */
    private fun <T : Enum<T>> one(json: JSONObject, field: String, implemented: Array<T>): T {
        val value = json.optString(field, implemented.first().name)
        val known = implemented.joinToString(" and ") { if (field == "color") it.name else it.name.lowercase() }
        return implemented.find { it.name.equals(value, ignoreCase = true) }
            ?: unsupported("$field '$value', this app implements $known only", "export with one of them")
    }

    /** The number of classes: the last axis of the one output, which holds logits of shape (1, classes). */
    private fun classes(signature: JSONObject): Int {
        val logits = only(signature.getJSONArray("outputs"), "outputs", "the signature")
        val meaning = logits.getString("meaning")
        if (meaning != LOGITS) unsupported("output of $meaning, $TASK needs $LOGITS", "choose another model")
        val shape = ints(logits.getJSONArray("shape"))
        expect(shape.size == 2 && shape[0] == 1 && shape[1] > 0) { "shape ${shape(shape)} of the logits" }
        return shape[1]
    }

    private fun checkRanges(spec: ModelSpec) {
        val (height, width) = spec.size
        expect(height > 0 && width > 0) { "size $height x $width" }
        expect(spec.cropPct > 0 && spec.cropPct <= MAX_CROP_PCT) { "crop_pct ${spec.cropPct}" }
        expect(spec.std.all { it > 0 }) { "std ${spec.std.toList()}" }
    }

    private fun expect(holds: Boolean, field: () -> String) {
        if (!holds) throw LolvitException("$where: ${field()} is out of range; $AGAIN")
    }

    private fun unsupported(what: String, remedy: String): Nothing =
        throw UnsupportedModelException("$where: $what; $remedy")

    private fun artifact(json: JSONObject): ArtifactSpec {
        val path = json.getString("path")
        if (path.startsWith("/") || path.isEmpty() || ".." in path.split("/", "\\")) {
            throw LolvitException("$where: artifact '$path' leaves the model's folder; $AGAIN")
        }
        return ArtifactSpec(
            path = path,
            format = json.getString("format"),
            precision = json.getString("precision"),
            sha256 = json.getString("sha256"),
            bytes = json.getLong("bytes"),
            input = tensor(only(json.getJSONArray("inputs"), "inputs", path)),
            output = tensor(only(json.getJSONArray("outputs"), "outputs", path)),
            packaged = source.exists(path),
        )
    }

    /** The only tensor of a list: classification has one input and one output. */
    private fun only(tensors: JSONArray, kind: String, owner: String): JSONObject {
        if (tensors.length() == 1) return tensors.getJSONObject(0)
        val names = tensors.objects().joinToString { it.optString("name") }
        unsupported("$owner has ${tensors.length()} $kind ($names), $TASK has one", "choose another model")
    }

    private fun tensor(json: JSONObject) = TensorSpec(
        name = json.getString("name"),
        shape = ints(json.getJSONArray("shape")),
        dtype = json.optString("dtype", "float32"),
        layout = Layout.values().find { it.name == json.optString("layout") },
        meaning = json.getString("meaning"),
    )

    private fun labels(json: JSONObject, classes: Int): List<String> {
        val listed = json.optJSONArray("labels")?.let { array -> List(array.length(), array::getString) }
        val labels = listed ?: text(LABELS)?.trim()?.lines().orEmpty()
        if (labels.isNotEmpty() && labels.size != classes) {
            throw LolvitException("$source: ${labels.size} labels for $classes classes; give one line for each class")
        }
        return labels
    }

    private fun size(array: JSONArray) = ImageSize(array.getInt(0), array.getInt(1))

    private fun channels(json: JSONObject, field: String, color: ColorMode): FloatArray {
        val array = json.getJSONArray(field)
        expect(array.length() == color.channels) { "$field $array for the color ${color.name}" }
        return FloatArray(color.channels) { array.getDouble(it).toFloat() }
    }

    private fun ints(array: JSONArray) = List(array.length(), array::getInt)

    private fun text(path: String): String? {
        if (!source.exists(path)) return null
        return try {
            source.open(path).use { it.readBytes().decodeToString() }
        } catch (e: IOException) {
            throw LolvitException("$source/$path: can't be read: ${e.message}; $AGAIN", e)
        }
    }

    private companion object {
        const val MANIFEST = "manifest.json"
        const val LABELS = "labels.txt"
        const val TASK = "classification"
        const val SOFTMAX = "softmax"
        const val LOGITS = "logits"
        const val MAX_CROP_PCT = 2.0
        const val AGAIN = "export the model again"
        val SCHEMA_VERSIONS = 1..2
        val FORMATS = setOf("tflite", "onnx")
    }
}

/**
 * Returns a manifest of schema version 1 in the form of version 2, as far as this library reads it.
 *
 * Version 1 knows classification only. It has `preprocess` without `resize`, `num_classes` in place of
 * the signature, one `input` and one `output` for each artifact, and `values` for a tensor's `meaning`.
 */
internal fun schema1ToSchema2(manifest: JSONObject): JSONObject {
    val converted = JSONObject(manifest.toString())
    val logits = JSONObject()
        .put("name", "logits")
        .put("shape", JSONArray(listOf(1, manifest.getInt("num_classes"))))
        .put("meaning", "logits")
    converted.remove("num_classes")
    val preprocessing = converted.getJSONObject("preprocess").put("resize", "crop")
    converted.remove("preprocess")
    return converted
        .put("schema_version", 2)
        .put("task", "classification")
        .put("preprocessing", preprocessing)
        .put("signature", JSONObject().put("outputs", JSONArray().put(logits)))
        .also { it.getJSONArray("artifacts").objects().forEach(::renameTensors) }
}

private fun renameTensors(artifact: JSONObject) {
    for (kind in listOf("input", "output")) {
        val tensor = artifact.getJSONObject(kind)
        tensor.put("meaning", tensor.getString("values")).remove("values")
        artifact.put("${kind}s", JSONArray().put(tensor)).remove(kind)
    }
}

private fun JSONArray.objects() = List(length(), ::getJSONObject)
