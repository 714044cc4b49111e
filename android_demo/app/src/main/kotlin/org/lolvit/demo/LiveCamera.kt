package org.lolvit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.hardware.display.DisplayManager
import android.util.Size
import android.view.Display
import android.view.TextureView

/** Receives the frames of a [LiveCamera], on the main thread. */
internal interface FrameTaker {
    /** Whether the next picture is to be given to [take]; else it is dropped. */
    val wantsFrame: Boolean

    /** Receives a frame, and closes it when it is done. */
    fun take(frame: Frame)

    /** Called once, after the camera was closed. */
    fun onProblem(problem: Problem)
}

/** The back camera, or the only one: its preview in a [view], its pictures to a [taker]. For the main thread. */
internal class LiveCamera(context: Context, private val view: TextureView, private val taker: FrameTaker) {
    private val cameras = context.service<CameraManager>()
    private val screen = context.service<DisplayManager>().getDisplay(Display.DEFAULT_DISPLAY)
    private var stream: CameraStream? = null

    /** The last picture that was taken. */
    val last: Bitmap? get() = stream?.last

    /** Whether the preview is mirrored, as Android shows front cameras; the pictures never are. */
    val isMirrored: Boolean get() = stream?.traits?.front == true

    /** Opens the camera as soon as the view has a surface. The app has the permission. */
    fun start() {
        view.surfaceTextureListener = surfaceListener
        view.surfaceTexture?.let(::open)
    }

    fun stop() {
        view.surfaceTextureListener = null
        stream?.close()
        stream = null
    }

    private fun open(surface: SurfaceTexture) {
        try {
            val id = bestCamera() ?: return fail(Problem(R.string.no_camera_title, R.string.no_camera))
            val traits = CameraTraits.of(cameras.getCameraCharacteristics(id)) ?: return fail(cameraProblem(R.string.camera_lost))
            place(traits)
            stream = CameraStream(traits, degrees(screen.rotation), surface, taker, ::fail).also { it.open(cameras, id) }
        } catch (e: CameraAccessException) {
            fail(cameraError(e))
        } catch (e: SecurityException) { // the permission was taken back meanwhile
            fail(Problem(R.string.refused_title, R.string.refused, permission = true))
        }
    }

    private fun bestCamera(): String? {
        val ids = cameras.cameraIdList
        return ids.find { facing(it) == CameraCharacteristics.LENS_FACING_BACK } ?: ids.firstOrNull()
    }

    private fun facing(id: String): Int? = cameras.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING)

    private fun place(traits: CameraTraits) =
        view.setTransform(previewTransform(Size(view.width, view.height), traits.size, traits.sensor, degrees(screen.rotation)))

    private fun fail(problem: Problem) {
        stop()
        taker.onProblem(problem)
    }

    private val surfaceListener = object : TextureView.SurfaceTextureListener {
        override fun onSurfaceTextureAvailable(surface: SurfaceTexture, width: Int, height: Int) = open(surface)

        override fun onSurfaceTextureSizeChanged(surface: SurfaceTexture, width: Int, height: Int) {
            stream?.let { place(it.traits) }
        }

        override fun onSurfaceTextureDestroyed(surface: SurfaceTexture): Boolean {
            stop()
            return true
        }

        override fun onSurfaceTextureUpdated(surface: SurfaceTexture) = Unit
    }
}
