package org.lolvit.demo.benchmark

import android.content.Context
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest

/**
 * The folder that the harness and the app share: `bench` in the app's external files, which other apps
 * can't write since Android 11. Files in it are opened by plain names only, and only with the
 * requested content.
 */
internal class BenchFolder(val path: File) {
    private val files = File(path, "files")

    /** @throws HarnessException if the folders can't be made */
    fun create() {
        files.mkdirs()
        if (!files.isDirectory) {
            throw HarnessException("can't make the folder $files: is the storage full, or not mounted?")
        }
    }

    /** @throws HarnessException if [run] is not the name of a request, or there is no such request */
    fun request(run: String): ByteArray {
        val file = named(run, "request")
        if (file.length() > MAX_REQUEST_BYTES) {
            throw HarnessException("${file.name} has ${file.length()} bytes, over $MAX_REQUEST_BYTES")
        }
        return read(file)
    }

    /** Writes the answer under another name and renames it, so that a half-written one is never read. */
    fun writeRecording(run: String, text: String) {
        val target = named(run, "recording")
        val written = File(path, "${target.name}.part")
        try {
            written.writeText(text)
        } catch (error: IOException) {
            written.delete()
            throw HarnessException("can't write ${target.name}: ${error.message}", error)
        }
        if (!written.renameTo(target)) throw HarnessException("can't rename ${written.name}")
    }

    /**
     * The content of a requested file, whose size and sha256 have been checked. The file is read once, so
     * what was checked is what is returned.
     *
     * @throws HarnessException if it is missing, lies elsewhere, or has another content
     */
    fun content(asked: RequestFile): ByteBuffer {
        val file = File(files, asked.name)
        if (file.canonicalFile.parentFile != files.canonicalFile) {
            throw HarnessException("${asked.name} leaves its folder through a link")
        }
        if (!file.isFile) throw HarnessException("${asked.name} is not there: push it again")
        if (file.length() != asked.bytes) {
            throw HarnessException(
                "${asked.name} has ${file.length()} bytes, ${asked.bytes} were requested: push it again",
            )
        }
        val buffer = direct(file)
        if (sha256(buffer) != asked.sha256) {
            throw HarnessException("${asked.name} does not have the requested sha256: push it again")
        }
        return buffer
    }

    private fun named(run: String, kind: String): File {
        if (!RUN.matches(run)) throw HarnessException("a run is named by 16 hexadecimal digits")
        return File(path, "$run.$kind.json")
    }

    private fun read(file: File): ByteArray = try {
        file.readBytes()
    } catch (error: IOException) {
        throw HarnessException("can't read ${file.name}: ${error.message}", error)
    }

    private fun direct(file: File): ByteBuffer = try {
        file.inputStream().channel.use { channel ->
            val buffer = ByteBuffer.allocateDirect(channel.size().toInt()).order(ByteOrder.nativeOrder())
            while (buffer.hasRemaining() && channel.read(buffer) >= 0) Unit
            buffer.flip()
            buffer
        }
    } catch (error: IOException) {
        throw HarnessException("can't read ${file.name}: ${error.message}", error)
    }

    companion object {
        private const val MAX_REQUEST_BYTES = 1L shl 20
        private val RUN = Regex("[0-9a-f]{16}")

        /** @throws HarnessException if the external storage is not there */
        fun of(context: Context): BenchFolder {
            val external = context.getExternalFilesDir(null)
                ?: throw HarnessException("the phone's shared storage is not mounted")
            return BenchFolder(File(external, "bench"))
        }

        fun sha256(content: ByteArray): String = sha256(ByteBuffer.wrap(content))

        private fun sha256(content: ByteBuffer): String {
            val digest = MessageDigest.getInstance("SHA-256")
            digest.update(content.duplicate())
            return digest.digest().joinToString("") { String.format("%02x", it) }
        }
    }
}
