package org.lolvit

import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.security.MessageDigest

/** Reads artifacts whose size and sha256 match their manifest: native runtimes crash on damaged ones. */
internal class ArtifactReader(private val source: ModelSource) {
    fun read(artifact: ArtifactSpec): ByteBuffer {
        val where = "$source/${artifact.path}"
        if (!source.exists(artifact.path)) throw LolvitException("$where: missing; package the model again")
        if (artifact.bytes !in 1..Int.MAX_VALUE) throw LolvitException("$where: ${artifact.bytes} bytes; $AGAIN")
        return try {
            source.open(artifact.path).use { checked(it, artifact, where) }
        } catch (e: IOException) {
            throw LolvitException("$where: can't be read: ${e.message}; $AGAIN", e)
        } catch (e: OutOfMemoryError) {
            throw LolvitException("$where: not enough memory for ${artifact.bytes} bytes; close other apps", e)
        }
    }

    private fun checked(stream: InputStream, artifact: ArtifactSpec, where: String): ByteBuffer {
        val model = directBytes(artifact.bytes.toInt())
        val digest = MessageDigest.getInstance("SHA-256")
        val read = copy(stream, model, digest)
        if (read != artifact.bytes) {
            throw LolvitException("$where: has $read bytes, its manifest has ${artifact.bytes}; $AGAIN")
        }
        if (hex(digest.digest()) != artifact.sha256) {
            throw LolvitException("$where: does not match the sha256 in its manifest; $AGAIN")
        }
        model.rewind()
        return model
    }

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
        const val AGAIN = "package the model again"
    }
}
