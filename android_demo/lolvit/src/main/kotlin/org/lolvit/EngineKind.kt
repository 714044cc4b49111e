package org.lolvit

import java.nio.ByteBuffer

/** One runtime on one accelerator. It loads the runtime's classes in [open] only. */
internal interface EngineKind {
    val id: String
    val title: String
    val accelerator: Accelerator

    /** The format of the artifacts that it opens, as the manifest names it. */
    val format: String

    /** Why it is unavailable in this app or on this device; null if it is available. */
    fun missing(): String?

    /** The runtime's version; its native library is loaded for it. */
    fun version(): String

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
internal fun opening(kind: EngineKind, artifact: ArtifactSpec, open: () -> Engine): Engine {
    fun failed(why: String, cause: Throwable) = LolvitException("${kind.title}: $why", cause)
    return try {
        open()
    } catch (e: IncompatibleClassChangeError) {
        throw failed("another version of it is in this app (${e.message}); use the one that the guide names", e)
    } catch (e: LinkageError) {
        throw failed("its native library is missing for this processor (${e.message}); choose another engine", e)
    } catch (e: OutOfMemoryError) {
        throw failed("not enough memory for ${artifact.path}; close other apps", e)
    } catch (e: LolvitException) {
        throw e
    } catch (e: Exception) { // runtimes throw many types for models that they reject
        throw failed("can't load ${artifact.path}: ${e.message}; choose another engine", e)
    }
}

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
    val expected = "${spec.dtype} ${shape(spec.shape)}"
    throw LolvitException(
        "${artifact.path}: its $what is $dtype ${shape(found)}, its manifest has $expected; export the model again",
    )
}
