package org.lolvit

import java.lang.reflect.InvocationTargetException
import java.nio.ByteBuffer
import java.nio.FloatBuffer
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.TensorFlowLite

private const val INTERPRETER = "org.tensorflow.lite.Interpreter"
private const val ADD = "add com.google.ai.edge.litert:litert to the app"

/** LiteRT on the CPU: XNNPACK's kernels. */
internal object LiteRtCpu : EngineKind {
    override val id = "litert-cpu"
    override val title = "LiteRT, CPU"
    override val accelerator = Accelerator.CPU
    override val format = "tflite"

    override fun missing(): String? = if (isPresent(INTERPRETER)) null else "LiteRT is not in this app; $ADD"

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
    override val accelerator = Accelerator.GPU
    override val format = "tflite"

    override fun missing(): String? = when {
        !isPresent(INTERPRETER) -> "LiteRT is not in this app; $ADD"
        !isPresent(delegateClass) ->
            "the GPU delegate is not in this app; add com.google.ai.edge.litert:litert-gpu to it"
        !supported() -> "the GPU delegate does not support this device's GPU; choose the CPU"
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
    override val artifact: ArtifactSpec,
    options: Interpreter.Options,
    private val delegate: AutoCloseable?,
) : Engine {
    private val interpreter = Interpreter(model, options)
    private val output = checked()
    private val outputBytes = directBytes(output.count * Float.SIZE_BYTES)
    private val outputFloats = outputBytes.asFloatBuffer()
    private val logits = FloatArray(output.count)

    override val version: String get() = TensorFlowLite.runtimeVersion()

    private fun checked(): TensorSpec = try {
        check("input", artifact.input, interpreter.getInputTensor(0))
        check("output", artifact.output, interpreter.getOutputTensor(0))
    } catch (e: LolvitException) {
        close()
        throw e
    }

    private fun check(what: String, spec: TensorSpec, tensor: Tensor): TensorSpec {
        val type = ask(tensor, "dataType") as DataType
        val dtype = if (type == DataType.FLOAT32) "float32" else type.name.lowercase()
        return expectTensor(artifact, what, spec, (ask(tensor, "shape") as IntArray).toList(), dtype)
    }

    /** By name: `Tensor` is a class up to TensorFlow Lite 2.6, as on desktops, and an interface since. */
    private fun ask(tensor: Tensor, method: String): Any? = Tensor::class.java.getMethod(method).invoke(tensor)

    override fun run(input: FloatBuffer): FloatArray {
        requireInput(input, artifact)
        outputBytes.rewind()
        outputFloats.rewind()
        try {
            interpreter.run(input, outputBytes)
        } catch (e: RuntimeException) {
            throw LolvitException("$title failed: ${e.message}; choose another engine", e)
        }
        outputFloats.get(logits)
        return logits
    }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }
}
