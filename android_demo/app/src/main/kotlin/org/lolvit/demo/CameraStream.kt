package org.lolvit.demo

import android.annotation.SuppressLint
import android.graphics.Bitmap
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.Looper
import android.util.Size
import android.view.Surface

/** A camera's frame size in pixels, and its [sensor] orientation in degrees. */
internal class CameraTraits(val size: Size, val sensor: Int, val front: Boolean) {
    companion object {
        /** Null for a camera that gives no ordinary pictures, such as one for depth. */
        fun of(characteristics: CameraCharacteristics): CameraTraits? {
            val sizes = characteristics.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
                ?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty().toList()
            val size = previewSize(sizes, SHORTEST) ?: return null
            val sensor = characteristics.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
            val facing = characteristics.get(CameraCharacteristics.LENS_FACING)
            return CameraTraits(size, sensor, facing == CameraCharacteristics.LENS_FACING_FRONT)
        }

        private const val SHORTEST = 480 // pixels: enough for a crop of 256, and quick to convert
    }
}

/**
 * One camera from its opening to its end.
 *
 * All callbacks come on the main thread, which only passes on in them: so nothing here needs a lock.
 */
internal class CameraStream(
    val traits: CameraTraits,
    display: Int,
    texture: SurfaceTexture,
    private val taker: FrameTaker,
    private val onProblem: (Problem) -> Unit,
) : CameraDevice.StateCallback(), AutoCloseable {
    private val main = Handler(Looper.getMainLooper())
    private val width = traits.size.width
    private val height = traits.size.height
    private val converter = FrameReader(width, height, uprightRotation(traits.sensor, display, traits.front))
    private val images = ImageReader.newInstance(width, height, ImageFormat.YUV_420_888, IMAGES)
    private val preview: Surface
    private var camera: CameraDevice? = null
    private var inUse: Image? = null
    private var closed = false

    /** The last picture that was taken, if any. */
    var last: Bitmap? = null
        private set

    init {
        texture.setDefaultBufferSize(width, height)
        preview = Surface(texture)
        images.setOnImageAvailableListener({ offer() }, main)
    }

    /** @throws CameraAccessException and SecurityException as the camera manager does. */
    @SuppressLint("MissingPermission") // the activity asks for it first
    fun open(cameras: CameraManager, id: String) = cameras.openCamera(id, this, main)

    override fun onOpened(camera: CameraDevice) {
        if (closed) return camera.close()
        this.camera = camera
        attempt {
            @Suppress("DEPRECATION") // its successor came with Android 9
            camera.createCaptureSession(listOf(preview, images.surface), session, main)
        }
    }

    override fun onDisconnected(camera: CameraDevice) = fail(camera, cameraProblem(R.string.camera_lost))

    override fun onError(camera: CameraDevice, error: Int) = fail(camera, cameraError(error))

    override fun close() {
        if (closed) return
        closed = true
        camera?.close()
        if (inUse == null) images.close()
        preview.release()
    }

    private val session = object : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) = attempt {
            session.setRepeatingRequest(request(session.device), null, main)
        }

        override fun onConfigureFailed(session: CameraCaptureSession) =
            fail(session.device, cameraProblem(R.string.camera_lost))
    }

    private fun request(camera: CameraDevice): CaptureRequest {
        val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
        request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
        request.addTarget(preview)
        request.addTarget(images.surface)
        return request.build()
    }

    private fun attempt(call: () -> Unit) {
        if (closed) return
        try {
            call()
        } catch (e: CameraAccessException) {
            onProblem(cameraError(e))
        } catch (e: IllegalStateException) { // closed from elsewhere meanwhile
            onProblem(cameraProblem(R.string.camera_lost))
        }
    }

    private fun fail(camera: CameraDevice, problem: Problem) {
        camera.close()
        if (!closed) onProblem(problem)
    }

    private fun offer() {
        if (closed) return
        val image = images.acquireLatestImage() ?: return
        if (!taker.wantsFrame) return image.close()
        inUse = image
        taker.take(CameraFrame(image))
    }

    /** A picture, until it is closed: then the camera may fill its memory again. */
    private inner class CameraFrame(private val image: Image) : Frame {
        override fun bitmap(): Bitmap = converter.read(image).also { read -> main.post { last = read } }

        override fun close() {
            main.post {
                image.close()
                inUse = null
                if (closed) images.close()
            }
        }
    }

    private companion object {
        const val IMAGES = 3 // one being classified, and two to find the latest among
    }
}
