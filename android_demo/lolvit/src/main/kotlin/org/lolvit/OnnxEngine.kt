package org.lolvit

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import java.nio.ByteBuffer
import java.nio.FloatBuffer

private const val LIBRARY = "com.microsoft.onnxruntime:onnxruntime-android"

/** ONNX Runtime on the CPU. */
internal object OnnxCpu : EngineKind {
    override val id = "onnx-cpu"
    override val title = "ONNX Runtime, CPU"
    override val unit = ComputeUnit.CPU
    override val format = "onnx"

    override fun missing(): LolvitException? =
        if (isPresent("ai.onnxruntime.OrtEnvironment")) null
        else LolvitException(LolvitException.Code.ENGINE_ABSENT, "engine" to title, "library" to LIBRARY)

    override fun version(): String = environment().version

    override fun open(model: ByteBuffer, artifact: ArtifactSpec, threads: Int): Engine =
        OnnxEngine(title, model, artifact, threads)
}

/**
 * ONNX Runtime without its telemetry. It is on by default: in an app that may use the network it sends
 * events to Microsoft. The variable counts before the library is loaded, the call at once.
 */
private fun environment(): OrtEnvironment {
    setVariable("ORT_DISABLE_TELEMETRY", "1")
    return OrtEnvironment.getEnvironment().also { it.setTelemetry(false) }
}

/** Sets a variable of this process's environment on Android; the JVM of the tests has no way to. */
private fun setVariable(name: String, value: String) {
    try {
        Class.forName("android.system.Os")
            .getMethod("setenv", String::class.java, String::class.java, Boolean::class.javaPrimitiveType)
            .invoke(null, name, value, false)
    } catch (_: ReflectiveOperationException) {
        return
    } catch (_: LinkageError) { // the framework's classes without a device
        return
    }
}

private class OnnxEngine(
    override val title: String,
    model: ByteBuffer,
    artifact: ArtifactSpec,
    threads: Int,
) : Engine {
    private val environment: OrtEnvironment = environment()
    private val session = OrtSession.SessionOptions().use { options ->
        options.setIntraOpNumThreads(threads)
        options.setInterOpNumThreads(1)
        environment.createSession(model, options)
    }
    private val names: List<String> // of the outputs
    private var inputs: Map<String, OnnxTensor> = emptyMap()
    private var outputs: Map<String, OnnxTensor> = emptyMap()
    private var lastInput: FloatBuffer? = null
    override val artifact: ArtifactSpec

    init {
        try {
            val found = session.outputNames.toList()
            val specs = outputSpecs(artifact, found.size)
            val named = specs.map { it.name }
            names = if (named.toSet() == found.toSet()) named else found
            check(artifact, "input", artifact.input, session.inputInfo.values.first().info as TensorInfo)
            this.artifact = artifact.copy(
                outputs = specs.mapIndexed { i, spec ->
                    check(artifact, "output ${names[i]}", spec, session.outputInfo.getValue(names[i]).info as TensorInfo)
                },
            )
        } catch (e: LolvitException) {
            session.close()
            throw e
        }
    }

    private val buffers = this.artifact.outputs.map(::OutputBuffer)

    init {
        outputs = names.indices.associate { names[it] to tensor(buffers[it], this.artifact.outputs[it]) }
    }

    override val version: String get() = environment.version

    private fun check(artifact: ArtifactSpec, what: String, spec: TensorSpec, info: TensorInfo): TensorSpec {
        val dtype = if (info.type == OnnxJavaType.FLOAT) "float32" else info.type.name.lowercase()
        return expectTensor(artifact, what, spec, info.shape.map(Long::toInt), dtype)
    }

    private fun tensor(buffer: OutputBuffer, spec: TensorSpec): OnnxTensor {
        val wholes = buffer.wholes ?: return tensor(buffer.floats, spec)
        return OnnxTensor.createTensor(environment, wholes, shapeOf(spec))
    }

    private fun tensor(floats: FloatBuffer, spec: TensorSpec) = OnnxTensor.createTensor(environment, floats, shapeOf(spec))

    private fun shapeOf(spec: TensorSpec) = LongArray(spec.shape.size) { spec.shape[it].toLong() }

    override fun run(input: FloatBuffer) {
        requireInput(input, artifact)
        try {
            if (input !== lastInput) bind(input)
            session.run(inputs, emptySet(), outputs).close()
        } catch (e: OrtException) {
            throw runFailed(title, e)
        }
    }

    override fun outputs(): List<FloatArray> = buffers.map(OutputBuffer::copy)

    /** Wraps the caller's buffer without a copy, until another one is passed. */
    private fun bind(input: FloatBuffer) {
        inputs.values.forEach(OnnxTensor::close)
        val whole = input.duplicate().apply { clear() }
        inputs = mapOf(session.inputNames.first() to tensor(whole, artifact.input))
        lastInput = input
    }

    override fun close() {
        inputs.values.forEach(OnnxTensor::close)
        outputs.values.forEach(OnnxTensor::close)
        session.close()
    }
}
