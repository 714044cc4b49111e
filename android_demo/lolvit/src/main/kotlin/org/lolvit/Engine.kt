package org.lolvit

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/**
 * An artifact loaded into a runtime with a fixed number of threads. Not thread-safe; a GPU engine can be
 * used on the thread that opened it only.
 */
public interface Engine : AutoCloseable {
    /** The runtime and its accelerator, such as `LiteRT, CPU`. */
    public val title: String

    /** The runtime's version. */
    public val version: String

    /** The artifact that is loaded. */
    public val artifact: ArtifactSpec

    /** Makes a buffer for [run]: direct, in native order, of the input's size. */
    public fun newInput(): FloatBuffer = directBytes(artifact.input.count * Float.SIZE_BYTES).asFloatBuffer()

    /**
     * Runs the model once on an image in the artifact's own layout, and returns its logits.
     *
     * This method allocates nothing; the runtime's own Java classes may. The returned array is reused:
     * the next run overwrites it.
     *
     * @param input from [newInput]; its position and limit are ignored and stay as they are.
     * @throws LolvitException the runtime failed.
     */
    @Throws(LolvitException::class)
    public fun run(input: FloatBuffer): FloatArray
}

/** Makes a buffer that native code reads without a copy. */
internal fun directBytes(count: Int): ByteBuffer = ByteBuffer.allocateDirect(count).order(ByteOrder.nativeOrder())

internal fun requireInput(input: FloatBuffer, artifact: ArtifactSpec) {
    require(input.isDirect && input.order() == ByteOrder.nativeOrder() && input.capacity() == artifact.input.count) {
        "the input is no buffer from newInput()"
    }
}
