package org.lolvit

/**
 * The processor that runs a model. NNAPI is not offered: it is deprecated since Android 15, and does
 * not report which operations it left to the CPU.
 */
public enum class Accelerator { CPU, GPU }

/**
 * An engine that a user may choose for a model.
 *
 * @property id stable across restarts of the app, such as `litert-cpu/fp32`.
 * @property missing why it can't be used here; null if it can.
 */
public data class EngineChoice(
    val id: String,
    val title: String,
    val accelerator: Accelerator,
    val missing: String?,
)

/** The available engines, and the artifacts of a model that each can open. */
public object Engines {
    private val kinds: List<EngineKind> = listOf(LiteRtCpu, LiteRtGpu(), OnnxCpu)

    /**
     * Lists the engines in the order of preference: one entry for each packaged artifact of its format. An
     * engine without any artifact has one entry, with the reason.
     */
    public fun choices(spec: ModelSpec): List<EngineChoice> = kinds.flatMap { kind -> choices(kind, spec) }

    /**
     * Loads an artifact, after checking its size, sha256 and tensor shapes against the manifest.
     *
     * @param threads the number of CPU threads that the runtime may use.
     * @throws LolvitException the choice is missing here, or its artifact is damaged, or the runtime rejects it.
     */
    @Throws(LolvitException::class)
    public fun open(choice: EngineChoice, spec: ModelSpec, source: ModelSource, threads: Int = 1): Engine {
        if (choice.missing != null) throw LolvitException("${choice.title}: ${choice.missing}")
        val (kind, artifact) = kinds.firstNotNullOfOrNull { kind ->
            packaged(kind, spec).find { id(kind, it) == choice.id }?.let { kind to it }
        } ?: throw LolvitException("${choice.title}: not an engine of ${spec.name}; choose another")
        val model = ArtifactReader(source).read(artifact)
        return opening(kind, artifact) { kind.open(model, artifact, threads) }
    }

    private fun choices(kind: EngineKind, spec: ModelSpec): List<EngineChoice> {
        val packaged = packaged(kind, spec)
        if (packaged.isEmpty()) {
            val missing = kind.missing() ?: notPackaged(kind, spec)
            return listOf(EngineChoice(kind.id, kind.title, kind.accelerator, missing))
        }
        return packaged.map { artifact ->
            val missing = kind.missing() ?: incompatibility(artifact, spec)
            EngineChoice(id(kind, artifact), "${kind.title}, ${artifact.precision}", kind.accelerator, missing)
        }
    }

    private fun packaged(kind: EngineKind, spec: ModelSpec) =
        spec.artifacts.filter { it.format == kind.format && it.packaged }

    private fun id(kind: EngineKind, artifact: ArtifactSpec) = "${kind.id}/${artifact.precision}"

    private fun notPackaged(kind: EngineKind, spec: ModelSpec): String {
        val named = spec.artifacts.filter { it.format == kind.format }
        if (named.isEmpty()) return "${spec.name} was not exported for it; run: lolvit export --to ${kind.format}"
        return "${named.joinToString { it.path }} is not in this app; run: lolvit package --format ${kind.format}"
    }

    /** Why this library can't feed an artifact; null if it can. */
    private fun incompatibility(artifact: ArtifactSpec, spec: ModelSpec): String? {
        val (input, output) = artifact.input to artifact.output
        val (height, width) = spec.size
        val expected = if (input.layout == Layout.NHWC) listOf(1, height, width, 3) else listOf(1, 3, height, width)
        return when {
            input.dtype != "float32" || output.dtype != "float32" ->
                "it has input ${input.dtype} and output ${output.dtype}, this app supports float32 only; " +
                    "export it in fp32"
            input.meaning != "normalized" || input.layout == null ->
                "its input is of ${input.meaning} values, this app supports normalized ones only; export it again"
            input.shape != expected ->
                "its input is ${shape(input.shape)}, the manifest has size ${spec.size}; export it again"
            output.shape != listOf(1, spec.classes) ->
                "its output is ${shape(output.shape)}, the manifest has ${spec.classes} classes; export it again"
            else -> null
        }
    }
}
