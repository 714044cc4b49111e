package org.lolvit

import java.io.File
import java.io.RandomAccessFile
import java.security.MessageDigest
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue

/** A copy of a packaged model that a test may damage; its manifest is of schema version 2. */
class ModelFolder(private val folder: File, model: String = TRAINED) {
    val source = FolderSource(folder)

    init {
        Fixtures.model(model).copyRecursively(folder, overwrite = true)
        val manifest = JSONObject(file("manifest.json").readText())
        if (manifest.getInt("schema_version") == 1) write(schema1ToSchema2(manifest))
    }

    fun file(name: String) = File(folder, name)

    fun edit(change: (JSONObject) -> Unit) {
        val manifest = JSONObject(file("manifest.json").readText())
        change(manifest)
        write(manifest)
    }

    private fun write(manifest: JSONObject) = file("manifest.json").writeText(manifest.toString())

    /** Takes a manifest of the test resources, made for the files that are here. */
    fun useManifest(resource: String) {
        val text = checkNotNull(javaClass.getResource("/$resource")) { "no resource $resource" }.readText()
        write(JSONObject(text))
        editArtifacts { artifact ->
            val content = file(artifact.getString("path")).readBytes()
            val digest = MessageDigest.getInstance("SHA-256").digest(content)
            artifact.put("bytes", content.size).put("sha256", digest.joinToString("") { "%02x".format(it) })
        }
    }

    /** Edits each artifact's entry. */
    fun editArtifacts(change: (JSONObject) -> Unit) = edit { it.getJSONArray("artifacts").objects().forEach(change) }

    fun truncate(name: String, bytes: Long) = RandomAccessFile(file(name), "rw").use { it.setLength(bytes) }

    fun open(engine: String, threads: Int = 1): Engine {
        val spec = ModelSpec.load(source)
        return Engines.load(Engines.choices(spec).first { it.id.startsWith(engine) }, spec, source, threads)
    }

    companion object {
        const val TRAINED = "lolvit_xx-256x256"
    }
}

/** The only tensor in a list of an artifact or a signature. */
fun JSONObject.only(tensors: String): JSONObject = getJSONArray(tensors).objects().single()

/** The failure of a call; its message is one line. */
fun failureOf(call: () -> Unit): LolvitException {
    val failure = assertThrows(LolvitException::class.java) { call() }
    assertFalse(failure.message, '\n' in failure.message.orEmpty())
    return failure
}

/** Requires a failure of a code whose details contain [parts]. */
fun assertFails(code: LolvitException.Code, vararg parts: String, call: () -> Unit) {
    val failure = failureOf(call)
    assertEquals(failure.message, code, failure.code)
    for (part in parts) assertTrue("'${failure.message}' has no '$part'", failure.details.values.any { part in it })
}
