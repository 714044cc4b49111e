package org.lolvit

import java.io.File
import java.io.RandomAccessFile
import org.json.JSONObject
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows

/** A copy of a packaged model that a test may damage. */
class ModelFolder(private val folder: File, model: String = TRAINED) {
    val source = FolderSource(folder)

    init {
        Fixtures.model(model).copyRecursively(folder, overwrite = true)
    }

    fun file(name: String) = File(folder, name)

    fun edit(change: (JSONObject) -> Unit) {
        val manifest = JSONObject(file("manifest.json").readText())
        change(manifest)
        file("manifest.json").writeText(manifest.toString())
    }

    /** Edits each artifact's entry. */
    fun editArtifacts(change: (JSONObject) -> Unit) = edit { it.getJSONArray("artifacts").objects().forEach(change) }

    fun truncate(name: String, bytes: Long) = RandomAccessFile(file(name), "rw").use { it.setLength(bytes) }

    fun open(engine: String, threads: Int = 1): Engine {
        val spec = ModelSpec.load(source)
        return Engines.open(Engines.choices(spec).first { it.id.startsWith(engine) }, spec, source, threads)
    }

    companion object {
        const val TRAINED = "lolvit_xx-256x256"
    }
}

/** The one line that a failing call gives. */
fun refusal(call: () -> Unit): String {
    val line = assertThrows(LolvitException::class.java) { call() }.message.orEmpty()
    assertFalse(line, '\n' in line)
    return line
}
