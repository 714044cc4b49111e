package org.lolvit

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.lolvit.LolvitException.Code
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
        val missing = LiteRtGpu().missing()
        assertEquals(Code.ENGINE_ABSENT to "com.google.ai.edge.litert:litert-gpu", missing?.code to missing?.details?.get("library"))
    }

    @Test fun `the delegate's own list of GPUs decides where it is there`() {
        assertNull(LiteRtGpu(delegate, KnownGpu::class.java.name).missing())
        assertEquals(Code.COMPUTE_UNIT_ABSENT, LiteRtGpu(delegate, UnknownGpu::class.java.name).missing()?.code)
        assertNull(LiteRtGpu(delegate, "org.tensorflow.lite.gpu.NoSuchList").missing())
    }

    @Test fun `a delegate that rejects the model is closed, and reported`() {
        val folder = ModelFolder(temporary.root)
        val artifact = ModelSpec.load(folder.source).artifacts.single { it.format == "tflite" }
        val model = ArtifactReader(folder.source).read(artifact)
        val kind = LiteRtGpu(delegate)
        assertFails(Code.LOAD_FAILED, "LiteRT, GPU", "model-fp32.tflite", "Failed to apply delegate: no GPU") {
            opening(kind, artifact) { kind.open(model, artifact, 1) }
        }
        assertEquals(1, closed)
    }

    @Test fun `a delegate without its native library is reported`() {
        val folder = ModelFolder(temporary.root)
        val artifact = ModelSpec.load(folder.source).artifacts.single { it.format == "tflite" }
        val kind = LiteRtGpu(UnlinkedDelegate::class.java.name)
        assertFails(Code.NATIVE_LIBRARY_MISSING, "LiteRT, GPU", "dlopen failed") {
            opening(kind, artifact) { kind.open(directBytes(8), artifact, 1) }
        }
    }

    private companion object {
        var closed = 0
    }
}
