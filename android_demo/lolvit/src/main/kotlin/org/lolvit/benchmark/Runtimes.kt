package org.lolvit.benchmark

import java.nio.ByteBuffer
import org.lolvit.ArtifactSpec
import org.lolvit.Engine
import org.lolvit.EngineKind
import org.lolvit.LiteRtCpu
import org.lolvit.LolvitException
import org.lolvit.LolvitException.Code
import org.lolvit.OnnxCpu
import org.lolvit.TensorSpec
import org.lolvit.opening

/** Runtimes by their names in `lolvit bench`, for artifacts that come without a manifest. */
public object Runtimes {
    private val kinds: Map<String, EngineKind> = mapOf("litert" to LiteRtCpu, "ort" to OnnxCpu)

    /** The available runtimes with their versions. One without a native library for this ABI is left out. */
    public fun versions(): Map<String, String> = kinds.entries
        .mapNotNull { (name, kind) -> version(kind)?.let { name to it } }
        .toMap()

    private fun version(kind: EngineKind): String? = try {
        if (kind.missing() == null) kind.version() else null
    } catch (e: LinkageError) {
        null
    }

    /**
     * Loads an artifact that the caller has checked. Its input is float32 in [inputShape], its outputs
     * float32, in the model's order; their shapes are read from the model.
     *
     * @param model a direct buffer in native order, which must not be changed while the engine lives.
     * @throws LolvitException the app lacks the runtime, or the runtime rejects the artifact.
     */
    @Throws(LolvitException::class)
    public fun open(runtime: String, format: String, model: ByteBuffer, inputShape: List<Int>, threads: Int): Engine {
        val kind = kinds[runtime]
            ?: throw LolvitException(Code.RUNTIME_UNKNOWN, "runtime" to runtime, "available" to versions().keys.joinToString())
        kind.missing()?.let { throw it }
        val artifact = ArtifactSpec(
            path = "the $format artifact",
            format = format,
            precision = "",
            sha256 = "",
            bytes = model.capacity().toLong(),
            input = TensorSpec("", inputShape, "float32", null, ""),
            outputs = emptyList(),
            packaged = true,
        )
        if (kind.format != format) {
            throw LolvitException(
                Code.ENGINE_INCOMPATIBLE, "path" to artifact.path, "reason" to "$runtime opens ${kind.format}, not $format",
            )
        }
        return opening(kind, artifact) { kind.open(model, artifact, threads) }
    }
}
