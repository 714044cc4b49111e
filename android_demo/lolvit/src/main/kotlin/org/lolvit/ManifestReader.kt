package org.lolvit

import java.io.IOException
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** Reads `manifest.json` as lolvit/manifest.py writes it, schema version 1. */
internal class ManifestReader(private val source: ModelSource) {
    private val where = "$source/$MANIFEST"

    fun read(): ModelSpec {
        val manifest = document()
        return try {
            spec(manifest).also(::check)
        } catch (e: JSONException) {
            throw LolvitException("$where: ${e.message}; $AGAIN", e)
        }
    }

    private fun document(): JSONObject {
        val text = text(MANIFEST) ?: throw LolvitException("$source: no $MANIFEST here; run: lolvit package")
        val json = try {
            JSONObject(text)
        } catch (e: JSONException) {
            throw LolvitException("$where: not a manifest: ${e.message}; $AGAIN", e)
        } catch (e: StackOverflowError) {
            throw LolvitException("$where: not a manifest: nested too deeply; $AGAIN", e)
        }
        val version = json.opt("schema_version")
        if (version != SCHEMA_VERSION) {
            throw LolvitException(
                "$where: schema version $version, this app reads $SCHEMA_VERSION; package the model again",
            )
        }
        return json
    }

    private fun spec(json: JSONObject): ModelSpec {
        val preprocess = json.getJSONObject("preprocess")
        val classes = json.getInt("num_classes")
        return ModelSpec(
            name = json.getString("model"),
            size = size(preprocess.getJSONArray("size")),
            cropPct = preprocess.getDouble("crop_pct"),
            interpolation = interpolation(preprocess.optString("interpolation", "bicubic")),
            mean = channels(preprocess.getJSONArray("mean")),
            std = channels(preprocess.getJSONArray("std")),
            classes = classes,
            labels = labels(json, classes),
            trained = json.getJSONObject("weights").getBoolean("trained"),
            artifacts = json.getJSONArray("artifacts").objects()
                .filter { it.getString("format") in FORMATS }
                .map(::artifact),
            weightsSource = json.getJSONObject("weights").getString("source"),
            params = json.getLong("params"),
            macs = json.getLong("macs"),
        )
    }

    private fun check(spec: ModelSpec) {
        val (height, width) = spec.size
        expect(height > 0 && width > 0) { "size $height x $width" }
        expect(spec.cropPct > 0 && spec.cropPct <= 1) { "crop_pct ${spec.cropPct}" }
        expect(spec.classes > 0) { "num_classes ${spec.classes}" }
        expect(spec.std.all { it > 0 }) { "std ${spec.std.toList()}" }
    }

    private fun expect(holds: Boolean, field: () -> String) {
        if (!holds) throw LolvitException("$where: $field is out of range; $AGAIN")
    }

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
            input = tensor(json.getJSONObject("input")),
            output = tensor(json.getJSONObject("output")),
            packaged = source.exists(path),
        )
    }

    private fun tensor(json: JSONObject) = TensorSpec(
        name = json.getString("name"),
        shape = json.getJSONArray("shape").let { array -> List(array.length(), array::getInt) },
        dtype = json.optString("dtype", "float32"),
        layout = Layout.values().find { it.name == json.getString("layout") },
        values = json.getString("values"),
    )

    private fun labels(json: JSONObject, classes: Int): List<String> {
        val listed = json.optJSONArray("labels")?.let { array -> List(array.length(), array::getString) }
        val labels = listed ?: text(LABELS)?.trim()?.lines().orEmpty()
        if (labels.isNotEmpty() && labels.size != classes) {
            throw LolvitException("$source: ${labels.size} labels for $classes classes; give one line for each class")
        }
        return labels
    }

    private fun interpolation(name: String): Interpolation =
        Interpolation.values().find { it.name.equals(name, ignoreCase = true) }
            ?: throw LolvitException("$where: interpolation '$name' is not known to this app; package the model again")

    private fun size(array: JSONArray) = ImageSize(array.getInt(0), array.getInt(1))

    private fun channels(array: JSONArray) = FloatArray(CHANNELS) { array.getDouble(it).toFloat() }

    private fun JSONArray.objects() = List(length(), ::getJSONObject)

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
        const val SCHEMA_VERSION = 1
        const val CHANNELS = 3
        const val AGAIN = "export the model again"
        val FORMATS = setOf("tflite", "onnx")
    }
}
