package org.lolvit.demo

import android.Manifest
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.os.Looper
import android.util.Size
import android.view.TextureView
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.StreamConfigurationMapBuilder

/** The live camera against Robolectric's Camera2, which opens and fails, and gives no pictures. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CameraStreamTest {
    private val application = RuntimeEnvironment.getApplication()
    private val cameras = application.service<CameraManager>()
    private val problems = ArrayList<Problem>()
    private val taker = object : FrameTaker {
        override val wantsFrame = true

        override fun take(frame: Frame) = frame.close()

        override fun onProblem(problem: Problem) {
            problems.add(problem)
        }
    }

    @Before fun permission() = shadowOf(application).grantPermissions(Manifest.permission.CAMERA)

    @Test fun `the back camera is taken, and the smallest size that suffices`() {
        add("front", CameraCharacteristics.LENS_FACING_FRONT, 270)
        add("back", CameraCharacteristics.LENS_FACING_BACK, 90)
        val traits = checkNotNull(CameraTraits.of(cameras.getCameraCharacteristics("back")))
        assertEquals(listOf(Size(640, 480), 90, false), listOf(traits.size, traits.sensor, traits.front))
        assertTrue(checkNotNull(CameraTraits.of(cameras.getCameraCharacteristics("front"))).front)
        start()
        assertTrue(problems.toString(), problems.isEmpty())
    }

    @Test fun `a camera without ordinary pictures is no camera`() {
        shadowOf(cameras).addCamera("depth", ShadowCameraCharacteristics.newCameraCharacteristics())
        assertNull(CameraTraits.of(cameras.getCameraCharacteristics("depth")))
    }

    @Test fun `without any camera the screen shows a problem`() {
        start()
        assertEquals(R.string.no_camera_title, problems.single().title)
    }

    @Test fun `a camera that fails while it runs ends with a reason`() {
        add("back", CameraCharacteristics.LENS_FACING_BACK, 90)
        val traits = checkNotNull(CameraTraits.of(cameras.getCameraCharacteristics("back")))
        val stream = CameraStream(traits, 0, SurfaceTexture(0), taker) { problems.add(it) }
        var device: CameraDevice? = null
        cameras.openCamera("back", opened { device = it }, null)
        shadowOf(Looper.getMainLooper()).idle()
        stream.onError(checkNotNull(device), CameraDevice.StateCallback.ERROR_CAMERA_IN_USE)
        assertEquals(R.string.camera_busy, problems.single().text)
        stream.close()
        stream.onDisconnected(checkNotNull(device))
        assertEquals("what comes after the end is not reported", 1, problems.size)
    }

    private fun opened(then: (CameraDevice) -> Unit) = object : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) = then(camera)

        override fun onDisconnected(camera: CameraDevice) = Unit

        override fun onError(camera: CameraDevice, error: Int) = Unit
    }

    private fun start() {
        val view = TextureView(application)
        val camera = LiveCamera(application, view, taker)
        camera.start()
        view.surfaceTextureListener?.onSurfaceTextureAvailable(SurfaceTexture(0), 400, 300)
        shadowOf(Looper.getMainLooper()).idle()
        camera.stop()
        assertNull(view.surfaceTextureListener)
    }

    private fun add(id: String, facing: Int, orientation: Int) {
        val traits = ShadowCameraCharacteristics.newCameraCharacteristics()
        val sizes = StreamConfigurationMapBuilder.newBuilder()
        for (size in listOf(Size(1920, 1080), Size(640, 480), Size(320, 240))) sizes.addOutputSize(ImageFormat.YUV_420_888, size)
        shadowOf(traits).set(CameraCharacteristics.LENS_FACING, facing)
        shadowOf(traits).set(CameraCharacteristics.SENSOR_ORIENTATION, orientation)
        shadowOf(traits).set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, sizes.build())
        shadowOf(cameras).addCamera(id, traits)
    }
}
