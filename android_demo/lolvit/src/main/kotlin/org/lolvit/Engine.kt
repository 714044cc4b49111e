package org.lolvit

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.IntBuffer

/**
 * An artifact loaded into a runtime with a fixed number of threads. Not thread-safe; a GPU engine can be
 * used on the thread that opened it only.
 *
 * [Classifier], [Detector] and [Segmenter] need none of this: it is for what they don't do, such as timing.
 */
public interface Engine : AutoCloseable {
    /** The runtime and its compute unit, such as `LiteRT, CPU`. */
    public val title: String

    /** The runtime's version. */
    public val version: String

    /** The artifact that is loaded. */
    public val artifact: ArtifactSpec

    /** Makes a buffer for [run]: direct, in native order, of the input's size. */
    public fun newInput(): FloatBuffer = directBytes(artifact.input.count * Float.SIZE_BYTES).asFloatBuffer()

    /**
     * Runs the model once on an image in the artifact's own layout.
     *
     * This method allocates nothing; the runtime's own Java classes may.
     *
     * @param input from [newInput]; its position and limit are ignored and stay as they are.
     * @throws LolvitException the runtime failed.
     */
    @Throws(LolvitException::class)
    public fun run(input: FloatBuffer)

    /**
     * Returns the outputs of the last run, in the order of [artifact] and in its layout: arrays that are
     * the caller's own.
     */
    public fun outputs(): List<FloatArray>
}

/** Makes a buffer that native code reads without a copy. */
internal fun directBytes(count: Int): ByteBuffer = ByteBuffer.allocateDirect(count).order(ByteOrder.nativeOrder())

internal fun requireInput(input: FloatBuffer, artifact: ArtifactSpec) {
    require(input.isDirect && input.order() == ByteOrder.nativeOrder() && input.capacity() == artifact.input.count) {
        "the input is no buffer from newInput()"
    }
}

/** A buffer that a runtime writes an output into: of float32, or of int32, such as classes. */
internal class OutputBuffer(spec: TensorSpec) {
    val bytes: ByteBuffer = directBytes(spec.count * Float.SIZE_BYTES)

    /** As whole numbers; null where they are floats. */
    val wholes: IntBuffer? = if (spec.dtype == INT32) bytes.asIntBuffer() else null
    val floats: FloatBuffer = bytes.asFloatBuffer()

    /** The numbers, whole ones as floats too. */
    fun copy(): FloatArray {
        if (wholes != null) return FloatArray(wholes.capacity()) { wholes[it].toFloat() }
        val values = FloatArray(floats.capacity())
        floats.rewind()
        floats.get(values)
        return values
    }
}

internal const val FLOAT32 = "float32"
internal const val INT32 = "int32"
