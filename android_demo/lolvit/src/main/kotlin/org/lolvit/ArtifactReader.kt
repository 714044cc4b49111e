package org.lolvit

import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.security.MessageDigest
import org.lolvit.LolvitException.Code

/** Reads artifacts whose size and sha256 match their manifest: native runtimes crash on damaged ones. */
internal class ArtifactReader(private val source: ModelSource) {
    fun read(artifact: ArtifactSpec): ByteBuffer {
        val where = "$source/${artifact.path}"
        if (!source.exists(artifact.path)) throw LolvitException(Code.ARTIFACT_MISSING, "path" to where)
        if (artifact.bytes !in 1..Int.MAX_VALUE) throw changed(where, "${artifact.bytes} bytes in the manifest")
        return try {
            source.open(artifact.path).use { checked(it, artifact, where) }
        } catch (e: IOException) {
            throw LolvitException(Code.UNREADABLE, "path" to where, "reason" to e.message, cause = e)
        } catch (e: OutOfMemoryError) {
            throw LolvitException(Code.OUT_OF_MEMORY, "what" to "$where, ${artifact.bytes} bytes", cause = e)
        }
    }

    private fun checked(stream: InputStream, artifact: ArtifactSpec, where: String): ByteBuffer {
        val model = directBytes(artifact.bytes.toInt())
        val digest = MessageDigest.getInstance("SHA-256")
        val read = copy(stream, model, digest)
        if (read != artifact.bytes) throw changed(where, "$read bytes instead of ${artifact.bytes}")
        if (hex(digest.digest()) != artifact.sha256) throw changed(where, "another sha256")
        model.rewind()
        return model
    }

    private fun changed(where: String, reason: String) =
        LolvitException(Code.ARTIFACT_CHANGED, "path" to where, "reason" to reason)

    /** Copies up to the model's size, and returns how many bytes the stream has. */
    private fun copy(stream: InputStream, model: ByteBuffer, digest: MessageDigest): Long {
        val block = ByteArray(BLOCK)
        var total = 0L
        while (true) {
            val count = stream.read(block)
            if (count < 0) return total
            total += count
            if (count <= model.remaining()) model.put(block, 0, count)
            digest.update(block, 0, count)
        }
    }

    private fun hex(bytes: ByteArray) = bytes.joinToString("") { "%02x".format(it) }

    private companion object {
        const val BLOCK = 1 shl 16
    }
}
