package org.lolvit

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.tensorflow.lite.Delegate

/** What is decided before LiteRT's GPU delegate does anything, with stand-ins for its classes. */
@RunWith(RobolectricTestRunner::class)
class GpuDelegateTest {
    @get:Rule val temporary = TemporaryFolder()

    class KnownGpu : Compatibility(true)

    class UnknownGpu : Compatibility(false)

    open class Compatibility(private val supported: Boolean) : AutoCloseable {
        @Suppress("unused") // called by name
        fun isDelegateSupportedOnThisDevice() = supported

        override fun close() = Unit
    }

    /** A delegate that does not take the model. */
    class RejectingDelegate : Delegate, AutoCloseable {
        override fun getNativeHandle(): Long = throw IllegalArgumentException("Failed to apply delegate: no GPU")

        override fun close() {
            closed++
        }
    }

    /** A delegate whose native library is not there for this processor. */
    class UnlinkedDelegate : Delegate, AutoCloseable {
        init {
            throw UnsatisfiedLinkError("dlopen failed: libtensorflowlite_gpu_jni.so not found")
        }

        override fun getNativeHandle(): Long = 0

        override fun close() = Unit
    }

    private val delegate = RejectingDelegate::class.java.name

    @Before fun natives() {
        NativeLiteRt.load()
        closed = 0
    }

    @Test fun `an app without the delegate names the library that adds it`() {
        assertTrue("add com.google.ai.edge.litert:litert-gpu" in LiteRtGpu().missing().orEmpty())
    }

    @Test fun `the delegate's own list of GPUs decides where it is there`() {
        assertNull(LiteRtGpu(delegate, KnownGpu::class.java.name).missing())
        val unknown = LiteRtGpu(delegate, UnknownGpu::class.java.name).missing()
        assertEquals("the GPU delegate does not support this device's GPU; choose the CPU", unknown)
        assertNull(LiteRtGpu(delegate, "org.tensorflow.lite.gpu.NoSuchList").missing())
    }

    @Test fun `a delegate that rejects the model is closed, and reported in one line`() {
        val folder = ModelFolder(temporary.root)
        val artifact = ModelSpec.load(folder.source).artifacts.single { it.format == "tflite" }
        val model = ArtifactReader(folder.source).read(artifact)
        val kind = LiteRtGpu(delegate)
        val line = failureOf { opening(kind, artifact) { kind.open(model, artifact, 1) } }
        val reason = "Failed to apply delegate: no GPU"
        assertEquals("LiteRT, GPU: can't load model-fp32.tflite: $reason; choose another engine", line)
        assertEquals(1, closed)
    }

    @Test fun `a delegate without its native library is reported in one line`() {
        val folder = ModelFolder(temporary.root)
        val artifact = ModelSpec.load(folder.source).artifacts.single { it.format == "tflite" }
        val kind = LiteRtGpu(UnlinkedDelegate::class.java.name)
        val line = failureOf { opening(kind, artifact) { kind.open(directBytes(8), artifact, 1) } }
        assertTrue(line, "LiteRT, GPU: its native library is missing for this processor (dlopen failed" in line)
    }

    private companion object {
        var closed = 0
    }
}
