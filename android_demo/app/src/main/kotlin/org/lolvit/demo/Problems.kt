package org.lolvit.demo

import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraDevice.StateCallback
import android.util.Log
import org.lolvit.LolvitException

/**
 * A failure that the user can do something about.
 *
 * @property title a string: what failed.
 * @property text a string: what to do. [detail] fills its place, or stands alone where there is no text.
 * @property permission whether a button leads to the app's permissions.
 */
internal data class Problem(val title: Int, val text: Int?, val detail: String? = null, val permission: Boolean = false)

/** Ends a task of the worker with a [problem] for the screen. */
internal class ProblemException(val problem: Problem, cause: Throwable) : Exception(cause)

/** Does [task]; a failure of the library becomes a problem of that [title], with the library's message. */
internal inline fun <T> orProblem(title: Int, task: () -> T): T = try {
    task()
} catch (e: LolvitException) {
    throw ProblemException(Problem(title, null, e.message), e)
}

/** Does [task] and returns its problem, or null. A bug is shown too, and logged with its stack trace. */
internal inline fun problemOf(task: () -> Unit): Problem? = try {
    task()
    null
} catch (e: ProblemException) {
    e.problem
} catch (e: OutOfMemoryError) {
    Problem(R.string.memory_title, R.string.memory)
} catch (e: Exception) { // nothing that a task throws may end the app
    Log.e("lolvit", "a task failed", e)
    Problem(R.string.unforeseen_title, R.string.unforeseen, e.toString())
}

/** What a camera's `onError` code means for the user. */
internal fun cameraError(code: Int): Problem = when (code) {
    StateCallback.ERROR_CAMERA_IN_USE, StateCallback.ERROR_MAX_CAMERAS_IN_USE -> cameraProblem(R.string.camera_busy)
    StateCallback.ERROR_CAMERA_DISABLED -> cameraProblem(R.string.camera_disabled)
    else -> cameraProblem(R.string.camera_lost)
}

/** What a failed call of the camera means for the user. */
internal fun cameraError(error: CameraAccessException): Problem = when (error.reason) {
    CameraAccessException.CAMERA_IN_USE, CameraAccessException.MAX_CAMERAS_IN_USE -> cameraProblem(R.string.camera_busy)
    CameraAccessException.CAMERA_DISABLED -> cameraProblem(R.string.camera_disabled)
    else -> cameraProblem(R.string.camera_lost)
}

internal fun cameraProblem(text: Int) = Problem(R.string.camera_title, text)
