package org.lolvit

import java.io.IOException
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import org.lolvit.LolvitException.Code

/**
 * Reads `manifest.json` as lolvit/manifest.py writes it: schema version 2, or version 1, which is
 * converted to version 2 first ([schema1ToSchema2]).
 */
internal class ManifestReader(private val source: ModelSource) {
    fun read(): ModelSpec {
        val manifest = document()
        return try {
            spec(if (version(manifest) == 1) schema1ToSchema2(manifest) else manifest)
        } catch (e: JSONException) {
            throw invalid(e.message.orEmpty(), e)
        }
    }

    private fun document(): JSONObject {
        val text = text(MANIFEST) ?: throw failure(Code.MANIFEST_MISSING)
        return try {
            JSONObject(text)
        } catch (e: JSONException) {
            throw invalid("not a manifest: ${e.message}", e)
        } catch (e: StackOverflowError) {
            throw invalid("not a manifest: nested too deeply", e)
        }
    }

    private fun version(manifest: JSONObject): Int {
        val version = manifest.opt("schema_version")
        if (version is Int && version in SCHEMA_VERSIONS) return version
        throw failure(Code.SCHEMA_UNSUPPORTED, "version" to version, "supported" to SCHEMA_VERSIONS.joinToString())
    }

    private fun spec(json: JSONObject): ModelSpec {
        val task = task(json)
        val preprocessing = preprocessing(json.getJSONObject("preprocessing"))
        val postprocessing = postprocessing(task, json.optJSONObject("postprocessing") ?: JSONObject())
        val outputs = json.getJSONObject("signature").getJSONArray("outputs").objects().map(::tensor)
        val classes = TaskOutputs(source, task, postprocessing, preprocessing.size).classes(outputs, json)
        val labels = labels(json, classes)
        val weights = json.getJSONObject("weights")
        return ModelSpec(
            name = json.getString("model"),
            task = task,
            preprocessing = preprocessing,
            postprocessing = postprocessing,
            classes = classes,
            labels = labels,
            colors = colors(json, classes),
            trained = weights.getBoolean("trained"),
            weightsSource = weights.getString("source"),
            params = json.getLong("params"),
            macs = json.getLong("macs"),
            outputs = outputs,
            artifacts = json.getJSONArray("artifacts").objects()
                .filter { it.getString("format") in FORMATS }
                .map { artifact(it, outputs.size) },
        )
    }

    private fun task(json: JSONObject): ModelTask {
        val name = json.getString("task")
        return ModelTask.values().find { it.id == name }
            ?: throw failure(Code.TASK_UNSUPPORTED, "task" to name, "supported" to ModelTask.values().joinToString { it.id })
    }

    private fun preprocessing(json: JSONObject): Preprocessing {
        val color = one(json, "color", ColorMode.values()) { it.id }
        val size = json.getJSONArray("size").let { ImageSize(it.getInt(0), it.getInt(1)) }
        val cropPct = json.getDouble("crop_pct")
        val std = channels(json, "std", color)
        val sides = 1..MAX_SIDE
        expect(size.height in sides && size.width in sides) { "size $size" }
        expect(cropPct >= MIN_CROP_PCT && cropPct <= MAX_CROP_PCT) { "crop_pct $cropPct" }
        expect(std.all { it > 0 }) { "std ${std.toList()}" }
        val resize = one(json, "resize", ResizeMode.values()) { it.name.lowercase() }
        expect(resize != ResizeMode.LETTERBOX || cropPct == 1.0) { "crop_pct $cropPct of a letterbox" }
        val interpolation = one(json, "interpolation", Interpolation.values()) { it.name.lowercase() }
        return Preprocessing(size, resize, cropPct, interpolation, channels(json, "mean", color), std, color)
    }

    private fun postprocessing(task: ModelTask, json: JSONObject): Postprocessing {
        val kinds = KINDS.getValue(task)
        val kind = json.optString("kind", kinds[0])
        supported("postprocessing", kind, *kinds)
        return when (task) {
            ModelTask.CLASSIFICATION -> Postprocessing.Softmax
            ModelTask.DETECTION -> boxes(json)
            ModelTask.SEGMENTATION -> map(json, isComputed = kind == CLASS_MAP)
        }
    }

    private fun map(json: JSONObject, isComputed: Boolean): Postprocessing.Map {
        if (!isComputed) supported("upsample", json.optString("upsample", UPSAMPLE), UPSAMPLE)
        val ignore = json.optInt("ignore", NO_CLASS)
        expect(ignore in 0..NO_CLASS) { "ignore $ignore" }
        return Postprocessing.Map(isComputed, ignore)
    }

    private fun boxes(json: JSONObject): Postprocessing.Boxes {
        val found = Postprocessing.Boxes(
            strides = ints(json.getJSONArray("strides")),
            scoreThreshold = json.getDouble("score_threshold"),
            iouThreshold = json.getDouble("iou_threshold"),
            maxCandidates = json.getInt("max_candidates"),
            maxDetections = json.getInt("max_detections"),
        )
        expect(found.strides.isNotEmpty() && found.strides.all { it > 0 }) { "strides ${found.strides}" }
        expect(found.scoreThreshold in 0.0..1.0) { "score_threshold ${found.scoreThreshold}" }
        expect(found.iouThreshold in 0.0..1.0) { "iou_threshold ${found.iouThreshold}" }
        expect(found.maxCandidates > 0 && found.maxDetections > 0) { "max_candidates or max_detections" }
        return found
    }

    /** The value of a field of preprocessing among those that this library implements; the first if absent. */
    private fun <T : Enum<T>> one(json: JSONObject, field: String, implemented: Array<T>, id: (T) -> String): T {
        val value = json.optString(field, id(implemented.first()))
        return implemented.find { id(it) == value } ?: throw unsupported(field, value, implemented.map(id))
    }

    private fun unsupported(setting: String, value: String, implemented: List<String>) =
        failure(Code.SETTING_UNSUPPORTED, "setting" to setting, "value" to value, "supported" to implemented.joinToString())

    private fun supported(setting: String, value: String, vararg implemented: String) {
        if (value !in implemented) throw unsupported(setting, value, implemented.toList())
    }

    private fun expect(holds: Boolean, field: () -> String) {
        if (!holds) throw invalid("${field()} is out of range")
    }

    private fun invalid(reason: String, cause: Throwable? = null) =
        LolvitException(Code.MANIFEST_INVALID, "folder" to source, "reason" to reason, cause = cause)

    private fun failure(code: Code, vararg details: Pair<String, Any?>) =
        LolvitException(code, "folder" to source, *details)

    private fun artifact(json: JSONObject, outputs: Int): ArtifactSpec {
        val path = json.getString("path")
        if (path.startsWith("/") || path.isEmpty() || ".." in path.split("/", "\\")) {
            throw failure(Code.PATH_LEAVES_FOLDER, "path" to path)
        }
        val found = json.getJSONArray("outputs").objects().map(::tensor)
        if (found.size != outputs) throw tensors(path, "${found.size} outputs", "$outputs")
        val inputs = json.getJSONArray("inputs").objects().map(::tensor)
        if (inputs.size != 1) throw tensors(path, "${inputs.size} inputs", "1")
        return ArtifactSpec(
            path = path,
            format = json.getString("format"),
            precision = json.getString("precision"),
            sha256 = json.getString("sha256"),
            bytes = json.getLong("bytes"),
            input = inputs[0],
            outputs = found,
            packaged = source.exists(path),
        )
    }

    private fun tensors(owner: String, found: String, expected: String) =
        failure(Code.TENSORS_UNSUPPORTED, "owner" to owner, "found" to found, "expected" to expected)

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
            throw failure(Code.LABELS_MISMATCH, "labels" to labels.size, "classes" to classes)
        }
        return labels
    }

    private fun colors(json: JSONObject, classes: Int): List<ClassColor> {
        val listed = json.optJSONArray("colors")?.let { array -> List(array.length(), array::getString) }
            ?: return Palette.of(classes)
        expect(listed.size == classes) { "${listed.size} colors for $classes classes" }
        return listed.map { color ->
            expect(COLOR.matches(color)) { "color '$color'" }
            Palette.parsed(color)
        }
    }

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
            throw LolvitException(Code.UNREADABLE, "path" to "$source/$path", "reason" to e.message, cause = e)
        }
    }

    private companion object {
        const val MANIFEST = "manifest.json"
        const val LABELS = "labels.txt"
        const val CLASS_MAP = "class_map"
        const val UPSAMPLE = "bilinear_half_pixel"
        const val NO_CLASS = 255
        const val MIN_CROP_PCT = 0.001
        const val MAX_CROP_PCT = 2.0
        const val MAX_SIDE = 65_535
        val KINDS = mapOf(
            ModelTask.CLASSIFICATION to arrayOf("softmax"),
            ModelTask.DETECTION to arrayOf("boxes_ltrb"),
            ModelTask.SEGMENTATION to arrayOf("argmax", CLASS_MAP),
        )
        val COLOR = Regex("#[0-9a-f]{6}")
        val SCHEMA_VERSIONS = 1..2
        val FORMATS = setOf("tflite", "onnx")
    }
}

/** Checks that a signature's outputs belong to its task. */
private class TaskOutputs(
    private val source: ModelSource,
    private val task: ModelTask,
    private val postprocessing: Postprocessing,
    private val size: ImageSize,
) {
    private val isComputedMap = (postprocessing as? Postprocessing.Map)?.isComputed ?: false

    /** The number of classes; [manifest] has that of a map which the model computes. */
    fun classes(outputs: List<TensorSpec>, manifest: JSONObject): Int {
        val expected = if (isComputedMap) listOf("classes") else MEANINGS.getValue(task)
        val found = outputs.map { it.meaning }
        if (found.sorted() != expected) {
            throw LolvitException(
                Code.TENSORS_UNSUPPORTED, "folder" to source, "owner" to "signature",
                "found" to found.joinToString(), "expected" to expected.joinToString(),
            )
        }
        for (output in outputs) if (isComputedMap && output.dtype != INT32) throw outOfRange("type ${output.dtype} of the ${output.name}")
        for (output in outputs) if (!fits(output)) throw outOfRange("shape ${shape(output.shape)} of the ${output.name}")
        if (!isComputedMap) return outputs.first { it.meaning != DISTANCES }.shape[1]
        val classes = manifest.getJSONObject("postprocessing").getInt("num_classes")
        if (classes !in 2..MAX_MAP_CLASSES) throw outOfRange("num_classes $classes")
        return classes
    }

    private fun outOfRange(what: String) =
        LolvitException(Code.MANIFEST_INVALID, "folder" to source, "reason" to "$what is out of range")

    private fun fits(output: TensorSpec): Boolean {
        val shape = output.shape
        if (isComputedMap) return shape == listOf(1, size.height, size.width)
        if (shape.size != RANKS.getValue(task) || shape[0] != 1 || shape.any { it < 1 }) return false
        return when (postprocessing) {
            is Postprocessing.Boxes ->
                shape[2] == Points(size, postprocessing.strides).count && (output.meaning != DISTANCES || shape[1] == SIDES)
            is Postprocessing.Map -> shape[1] <= MAX_MAP_CLASSES
            is Postprocessing.Softmax -> true
        }
    }

    private companion object {
        const val SIDES = 4
        const val MAX_MAP_CLASSES = 255 // 255 means: no class
        const val DISTANCES = "distances"
        val MEANINGS = mapOf(
            ModelTask.CLASSIFICATION to listOf("logits"),
            ModelTask.DETECTION to listOf(DISTANCES, "scores"),
            ModelTask.SEGMENTATION to listOf("logits"),
        )
        val RANKS = mapOf(ModelTask.CLASSIFICATION to 2, ModelTask.DETECTION to 3, ModelTask.SEGMENTATION to 4)
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
