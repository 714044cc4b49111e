package org.lolvit

import java.lang.reflect.InvocationTargetException
import java.nio.ByteBuffer
import java.nio.FloatBuffer
import org.lolvit.LolvitException.Code
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.TensorFlowLite

private const val INTERPRETER = "org.tensorflow.lite.Interpreter"
private const val LITERT = "com.google.ai.edge.litert:litert"

private fun notInApp(kind: EngineKind, library: String) =
    LolvitException(Code.ENGINE_ABSENT, "engine" to kind.title, "library" to library)

/** LiteRT on the CPU: XNNPACK's kernels. */
internal object LiteRtCpu : EngineKind {
    override val id = "litert-cpu"
    override val title = "LiteRT, CPU"
    override val unit = ComputeUnit.CPU
    override val format = "tflite"

    override fun missing(): LolvitException? = if (isPresent(INTERPRETER)) null else notInApp(this, LITERT)

    override fun version(): String = TensorFlowLite.runtimeVersion()

    override fun open(model: ByteBuffer, artifact: ArtifactSpec, threads: Int): Engine =
        LiteRtEngine(title, model, artifact, Interpreter.Options().setNumThreads(threads).setUseXNNPACK(true), null)
}

/**
 * LiteRT's GPU delegate (OpenCL or OpenGL). Its classes come with a library of their own, which an
 * app may leave out, so they are accessed by name.
 */
internal class LiteRtGpu(
    private val delegateClass: String = "org.tensorflow.lite.gpu.GpuDelegate",
    private val compatibilityClass: String = "org.tensorflow.lite.gpu.CompatibilityList",
) : EngineKind {
    override val id = "litert-gpu"
    override val title = "LiteRT, GPU"
    override val unit = ComputeUnit.GPU
    override val format = "tflite"

    override fun missing(): LolvitException? = when {
        !isPresent(INTERPRETER) -> notInApp(this, LITERT)
        !isPresent(delegateClass) -> notInApp(this, "$LITERT-gpu")
        !supported() -> LolvitException(Code.COMPUTE_UNIT_ABSENT, "engine" to title)
        else -> null
    }

    override fun version(): String = TensorFlowLite.runtimeVersion()

    override fun open(model: ByteBuffer, artifact: ArtifactSpec, threads: Int): Engine {
        val delegate = make(delegateClass)
        return openWith(delegate, Interpreter.Options().addDelegate(delegate as Delegate), model, artifact)
    }

    // As an AutoCloseable: `Delegate` has `close` in some versions of TensorFlow Lite only.
    private fun openWith(
        delegate: AutoCloseable,
        options: Interpreter.Options,
        model: ByteBuffer,
        artifact: ArtifactSpec,
    ): Engine = try {
        LiteRtEngine(title, model, artifact, options, delegate)
    } catch (e: RuntimeException) { // the delegate does not take the model
        delegate.close()
        throw e
    }

    private fun make(name: String): AutoCloseable = try {
        Class.forName(name).getConstructor().newInstance() as AutoCloseable
    } catch (e: InvocationTargetException) {
        throw e.targetException
    }

    /** The delegate's own list of GPUs that it was tried on. */
    private fun supported(): Boolean = try {
        make(compatibilityClass).use {
            it.javaClass.getMethod("isDelegateSupportedOnThisDevice").invoke(it) as Boolean
        }
    } catch (e: ReflectiveOperationException) {
        true // an app without the list: opening the delegate fails if the GPU is unsupported
    } catch (e: LinkageError) {
        false // no native library for this processor
    }
}

private class LiteRtEngine(
    override val title: String,
    private val model: ByteBuffer, // the interpreter reads from it for as long as it lives
    artifact: ArtifactSpec,
    options: Interpreter.Options,
    private val delegate: AutoCloseable?,
) : Engine {
    private val interpreter = Interpreter(model, options)
    private val places: List<Int> // of the artifact's outputs among the interpreter's
    override val artifact: ArtifactSpec

    init {
        try {
            val specs = outputSpecs(artifact, interpreter.outputTensorCount)
            places = OutputOrder(interpreter).places(specs)
            check(artifact, "input", artifact.input, interpreter.getInputTensor(0))
            this.artifact = artifact.copy(
                outputs = specs.mapIndexed { i, spec ->
                    check(artifact, "output ${spec.name}", spec, interpreter.getOutputTensor(places[i]))
                },
            )
        } catch (e: LolvitException) {
            close()
            throw e
        }
    }

    private val buffers = this.artifact.outputs.map(::OutputBuffer)
    private val inputs = arrayOf<Any>(model) // the input's place
    private val outputs: Map<Int, Any> = places.zip(buffers.map { it.bytes }).toMap()

    override val version: String get() = TensorFlowLite.runtimeVersion()

    private fun check(artifact: ArtifactSpec, what: String, spec: TensorSpec, tensor: Tensor): TensorSpec {
        val type = ask(tensor, "dataType") as DataType
        val dtype = if (type == DataType.FLOAT32) "float32" else type.name.lowercase()
        return expectTensor(artifact, what, spec, (ask(tensor, "shape") as IntArray).toList(), dtype)
    }

    override fun run(input: FloatBuffer) {
        requireInput(input, artifact)
        for (buffer in buffers) buffer.bytes.rewind()
        inputs[0] = input
        try {
            interpreter.runForMultipleInputsOutputs(inputs, outputs)
        } catch (e: RuntimeException) {
            throw runFailed(title, e)
        }
    }

    override fun outputs(): List<FloatArray> = buffers.map(OutputBuffer::copy)

    override fun close() {
        interpreter.close()
        delegate?.close()
    }
}

/** By name: `Tensor` is a class up to TensorFlow Lite 2.6, as on desktops, and an interface since. */
private fun ask(tensor: Tensor, method: String): Any? = Tensor::class.java.getMethod(method).invoke(tensor)

/** The order of a file's outputs, which may not be the manifest's: that names those of the file's signature. */
private class OutputOrder(private val interpreter: Interpreter) {
    private val tensors = List(interpreter.outputTensorCount, interpreter::getOutputTensor)

    /** The place of each output among the interpreter's: by their shapes, and by name where two are of one shape. */
    fun places(specs: List<TensorSpec>): List<Int> {
        val asTheyAre = specs.indices.toList()
        if (specs.size < 2) return asTheyAre
        val byShape = specs.map { spec -> tensors.indexOfFirst { (ask(it, "shape") as IntArray).toList() == spec.shape } }
        val found = if (specs.distinctBy { it.shape }.size == specs.size) byShape else byName(specs)
        return if (found.sorted() == asTheyAre) found else asTheyAre
    }

    /** By reflection: runtimes before 2.9 have no such method. Theirs crashes where it does not know a name. */
    private fun byName(specs: List<TensorSpec>): List<Int> = try {
        val key = (Interpreter::class.java.getMethod("getSignatureKeys").invoke(interpreter) as Array<*>).firstOrNull()
        val method = Interpreter::class.java.getMethod("getOutputTensorFromSignature", String::class.java, String::class.java)
        specs.takeIf { key != null }.orEmpty().map { spec ->
            val named = method.invoke(interpreter, spec.name, key) as Tensor
            tensors.indexOfFirst { ask(it, "index") == ask(named, "index") }
        }
    } catch (e: ReflectiveOperationException) {
        emptyList()
    }
}
