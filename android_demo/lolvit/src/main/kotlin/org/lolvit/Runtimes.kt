package org.lolvit

import java.nio.ByteBuffer

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
     * Loads an artifact that the caller has checked. Its input is float32 in [inputShape], its
     * output float32; the output's shape is read from the model.
     *
     * @param model a direct buffer in native order, which must not be changed while the engine lives.
     * @throws LolvitException the app lacks the runtime, or the runtime rejects the artifact.
     */
    @Throws(LolvitException::class)
    public fun open(runtime: String, format: String, model: ByteBuffer, inputShape: List<Int>, threads: Int): Engine {
        val kind = kinds[runtime]
            ?: throw LolvitException("no runtime '$runtime': this app has ${versions().keys.joinToString()}")
        kind.missing()?.let { throw LolvitException("$runtime: $it") }
        if (kind.format != format) throw LolvitException("$runtime opens ${kind.format}, not $format")
        val artifact = ArtifactSpec(
            path = "the $format artifact",
            format = format,
            precision = "",
            sha256 = "",
            bytes = model.capacity().toLong(),
            input = TensorSpec("", inputShape, "float32", null, ""),
            output = TensorSpec("", emptyList(), "float32", null, ""),
            packaged = true,
        )
        return opening(kind, artifact) { kind.open(model, artifact, threads) }
    }
}
