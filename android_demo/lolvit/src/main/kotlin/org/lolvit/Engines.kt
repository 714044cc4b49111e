package org.lolvit

import org.lolvit.LolvitException.Code

/**
 * The processor that runs a model. NNAPI is not offered: it is deprecated since Android 15, and does
 * not report which operations it left to the CPU.
 */
public enum class ComputeUnit { CPU, GPU }

/**
 * An engine that a user may choose for a model.
 *
 * @property id stable across restarts of the app, such as `litert-cpu/fp32`.
 * @property missing why it can't be used here; null if it can.
 */
public data class EngineChoice(
    val id: String,
    val title: String,
    val unit: ComputeUnit,
    val missing: LolvitException?,
)

/** An engine that was tried and not taken, with the reason. */
public class Fallback(public val choice: EngineChoice, public val reason: LolvitException)

/** How the first outputs of an engine compare with the expected ones. */
public sealed class SelfCheckOutcome {
    /** They agree: [snrDb] is the signal-to-noise ratio, in dB, of the output that agrees least. */
    public class Passed(public val snrDb: Double) : SelfCheckOutcome()

    /** The model's folder has no expected outputs of this artifact. */
    public object Absent : SelfCheckOutcome()
}

/**
 * How a model was opened.
 *
 * @property choice what runs it.
 * @property fallbacks engines that were tried before, each with the reason: show them.
 * @property loadMs time of reading, checking and loading the artifact.
 * @property firstMs time of the first inference.
 */
public class OpenReport(
    public val choice: EngineChoice,
    public val fallbacks: List<Fallback>,
    public val selfCheck: SelfCheckOutcome,
    public val loadMs: Double,
    public val firstMs: Double,
)

/** A loaded model; closing it frees the runtime's memory. */
public class OpenedModel internal constructor(
    public val spec: ModelSpec,
    public val engine: Engine,
    public val report: OpenReport,
) : AutoCloseable {
    override fun close(): Unit = engine.close()
}

/** The available engines, and the artifacts of a model that each can open. */
public object Engines {
    private val kinds: List<EngineKind> = listOf(LiteRtCpu, LiteRtGpu(), OnnxCpu)

    /**
     * Lists the engines in the order of preference: one entry for each packaged artifact of its format. An
     * engine without any artifact has one entry, with the reason.
     */
    public fun choices(spec: ModelSpec): List<EngineChoice> = kinds.flatMap { kind -> choices(kind, spec) }

    /**
     * Loads a model, and runs it once on the input of its folder's `self-check.json`: where the outputs are
     * not the expected ones, the next available engine is taken, and the report says why. It blocks.
     *
     * Size, sha256 and tensor shapes of an artifact are checked against the manifest before.
     *
     * @param choice the engine to begin with; null takes the first that is available, and others where it
     *   can't load the model.
     * @param threads the number of CPU threads that the runtime may use.
     * @throws LolvitException [choice] is missing here, or can't load the model; or no engine can.
     */
    @Throws(LolvitException::class)
    public fun open(choice: EngineChoice?, spec: ModelSpec, source: ModelSource, threads: Int = 1): OpenedModel {
        val check = SelfCheck.read(source, spec)
        val usable = choices(spec).filter { it.missing == null }
        val order = if (choice == null) usable else listOf(choice) + usable.filter { it.id != choice.id }
        val fallbacks = ArrayList<Fallback>()
        for (candidate in order) {
            try {
                return checked(candidate, spec, source, threads, check, fallbacks)
            } catch (e: LolvitException) {
                if (choice != null && candidate.id == choice.id && e.code != Code.SELF_CHECK_MISSED) throw e
                fallbacks.add(Fallback(candidate, e))
            }
        }
        throw allFailed(spec, fallbacks.ifEmpty { choices(spec).mapNotNull { one -> one.missing?.let { Fallback(one, it) } } })
    }

    /**
     * Loads an artifact and runs nothing; the checks of the file are those of [open]. It blocks.
     *
     * @throws LolvitException the choice is missing here, or its artifact is damaged, or the runtime rejects it.
     */
    @Throws(LolvitException::class)
    public fun load(choice: EngineChoice, spec: ModelSpec, source: ModelSource, threads: Int = 1): Engine {
        choice.missing?.let { throw it }
        val (kind, artifact) = kinds.firstNotNullOfOrNull { kind ->
            packaged(kind, spec).find { id(kind, it) == choice.id }?.let { kind to it }
        } ?: throw LolvitException(Code.ENGINE_UNKNOWN, "engine" to choice.title, "model" to spec.name)
        val model = ArtifactReader(source).read(artifact)
        return opening(kind, artifact) { kind.open(model, artifact, threads) }
    }

    private fun checked(
        choice: EngineChoice,
        spec: ModelSpec,
        source: ModelSource,
        threads: Int,
        check: SelfCheck?,
        fallbacks: List<Fallback>,
    ): OpenedModel {
        val start = System.nanoTime()
        val engine = load(choice, spec, source, threads)
        try {
            val input = engine.newInput()
            check?.fill(spec, engine, input)
            val loaded = System.nanoTime()
            engine.run(input)
            val ran = System.nanoTime()
            val outcome = check?.compare(choice, engine) ?: SelfCheckOutcome.Absent
            val report = OpenReport(choice, fallbacks.toList(), outcome, (loaded - start) / 1e6, (ran - loaded) / 1e6)
            return OpenedModel(spec, engine, report)
        } catch (e: LolvitException) {
            engine.close()
            throw e
        }
    }

    private fun allFailed(spec: ModelSpec, tried: List<Fallback>): LolvitException {
        if (tried.size == 1) return tried[0].reason
        val reasons = tried.joinToString("; ") { "${it.choice.title}: ${it.reason.message}" }
        return LolvitException(Code.ALL_ENGINES_FAILED, "model" to spec.name, "reasons" to reasons)
    }

    private fun choices(kind: EngineKind, spec: ModelSpec): List<EngineChoice> {
        val packaged = packaged(kind, spec)
        if (packaged.isEmpty()) {
            val missing = kind.missing() ?: notPackaged(kind, spec)
            return listOf(EngineChoice(kind.id, kind.title, kind.unit, missing))
        }
        return packaged.map { artifact ->
            val missing = kind.missing() ?: incompatibility(artifact, spec)
            EngineChoice(id(kind, artifact), "${kind.title}, ${artifact.precision}", kind.unit, missing)
        }
    }

    private fun packaged(kind: EngineKind, spec: ModelSpec) =
        spec.artifacts.filter { it.format == kind.format && it.packaged }

    private fun id(kind: EngineKind, artifact: ArtifactSpec) = "${kind.id}/${artifact.precision}"

    private fun notPackaged(kind: EngineKind, spec: ModelSpec): LolvitException {
        val named = spec.artifacts.filter { it.format == kind.format }
        val code = if (named.isEmpty()) Code.ENGINE_NOT_EXPORTED else Code.ENGINE_NOT_PACKAGED
        val path = named.joinToString { it.path }
        return LolvitException(code, "engine" to kind.title, "model" to spec.name, "format" to kind.format, "path" to path)
    }

    /** Why this library can't feed an artifact; null if it can. */
    private fun incompatibility(artifact: ArtifactSpec, spec: ModelSpec): LolvitException? {
        val input = artifact.input
        val (height, width) = spec.size
        val channels = spec.preprocessing.color.channels
        val expected = if (input.layout == Layout.NHWC) listOf(1, height, width, channels) else listOf(1, channels, height, width)
        val wrong = (listOf(input) + artifact.outputs).find { it.dtype != expectedType(it) }
        return when {
            wrong != null -> incompatible(artifact, "${wrong.name} is ${wrong.dtype}, not ${expectedType(wrong)}")
            input.meaning != "normalized" || input.layout !in listOf(Layout.NCHW, Layout.NHWC) ->
                incompatible(artifact, "input of ${input.meaning} values, not of normalized ones")
            input.shape != expected -> incompatible(artifact, "input ${shape(input.shape)}, the manifest has size ${spec.size}")
            else -> artifact.outputs.zip(spec.outputs).firstNotNullOfOrNull { (own, wanted) -> mismatch(artifact, own, wanted) }
        }
    }

    private fun expectedType(tensor: TensorSpec) = if (tensor.meaning == "classes") INT32 else FLOAT32

    private fun mismatch(artifact: ArtifactSpec, own: TensorSpec, wanted: TensorSpec): LolvitException? {
        val expected = if (own.layout in CHANNELS_LAST) wanted.shape.let { listOf(it[0]) + it.drop(2) + it[1] } else wanted.shape
        if (own.shape == expected) return null
        return incompatible(artifact, "output ${shape(own.shape)}, the manifest's signature has ${shape(expected)}")
    }

    private val CHANNELS_LAST = setOf(Layout.NHWC, Layout.NLC)
}
