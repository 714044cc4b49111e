package org.lolvit

import java.nio.ByteBuffer
import org.lolvit.LolvitException.Code

/** One runtime on one compute unit. It loads the runtime's classes in [open] only. */
internal interface EngineKind {
    val id: String
    val title: String
    val unit: ComputeUnit

    /** The format of the artifacts that it opens, as the manifest names it. */
    val format: String

    /** Why it is unavailable in this app or on this device; null if it is available. */
    fun missing(): LolvitException?

    /** The runtime's version; its native library is loaded for it. */
    fun version(): String

    /** Without outputs in [artifact], all that the model has are taken, in its order. */
    fun open(model: ByteBuffer, artifact: ArtifactSpec, threads: Int): Engine
}

/** Whether a class is part of this app, without running its initializer. */
internal fun isPresent(name: String): Boolean = try {
    Class.forName(name, false, EngineKind::class.java.classLoader)
    true
} catch (e: ClassNotFoundException) {
    false
} catch (e: LinkageError) {
    false
}

/** Opens an artifact; whatever the runtime throws becomes a [LolvitException]. */
internal fun opening(kind: EngineKind, artifact: ArtifactSpec, open: () -> Engine): Engine = try {
    open()
} catch (e: IncompatibleClassChangeError) {
    throw LolvitException(Code.RUNTIME_MISMATCH, "engine" to kind.title, "reason" to e.message, cause = e)
} catch (e: LinkageError) {
    throw LolvitException(Code.NATIVE_LIBRARY_MISSING, "engine" to kind.title, "reason" to e.message, cause = e)
} catch (e: OutOfMemoryError) {
    throw LolvitException(Code.OUT_OF_MEMORY, "what" to artifact.path, cause = e)
} catch (e: LolvitException) {
    throw e
} catch (e: Exception) { // runtimes throw many types for models that they reject
    val reason = e.message ?: e.javaClass.simpleName
    throw LolvitException(Code.LOAD_FAILED, "engine" to kind.title, "path" to artifact.path, "reason" to reason, cause = e)
}

internal fun runFailed(title: String, cause: Exception) =
    LolvitException(Code.RUN_FAILED, "engine" to title, "reason" to cause.message, cause = cause)

internal fun shape(axes: List<Int>): String = axes.joinToString("x")

/**
 * Checks a loaded model's tensor against the manifest's, and returns it. Without a shape in [spec] the
 * model's own is returned.
 */
internal fun expectTensor(
    artifact: ArtifactSpec,
    what: String,
    spec: TensorSpec,
    found: List<Int>,
    dtype: String,
): TensorSpec {
    val fits = if (spec.shape.isEmpty()) found.all { it > 0 } else found == spec.shape
    if (fits && dtype == spec.dtype) return spec.copy(shape = found)
    throw incompatible(artifact, "$what is $dtype ${shape(found)}, the manifest has ${spec.dtype} ${shape(spec.shape)}")
}

internal fun incompatible(artifact: ArtifactSpec, reason: String) =
    LolvitException(Code.ENGINE_INCOMPATIBLE, "path" to artifact.path, "reason" to reason)

/** The specs of all of a model's [count] outputs where the artifact's are not known. */
internal fun outputSpecs(artifact: ArtifactSpec, count: Int): List<TensorSpec> {
    if (artifact.outputs.isEmpty()) return List(count) { TensorSpec("", emptyList(), "float32", null, "") }
    if (artifact.outputs.size == count) return artifact.outputs
    throw incompatible(artifact, "$count outputs, the manifest has ${artifact.outputs.size}")
}
