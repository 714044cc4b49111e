package org.lolvit.demo

import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraDevice.StateCallback
import android.util.Log
import java.util.concurrent.CancellationException
import org.lolvit.LolvitException
import org.lolvit.LolvitException.Code

/**
 * A failure that the user can do something about.
 *
 * @property title a string: what failed.
 * @property text a string: what to do, with [detail] in its place; null where [error] has one.
 * @property permission whether a button leads to the app's permissions.
 */
internal data class Problem(
    val title: Int,
    val text: Int? = null,
    val detail: String? = null,
    val permission: Boolean = false,
    val error: LolvitException? = null,
)

/** Ends a task with a [problem] for the screen. */
internal class ProblemException(val problem: Problem, cause: Throwable) : Exception(cause)

/** Does [task]; a failure of the library becomes a problem of that [title], with the text of its code. */
internal inline fun <T> orProblem(title: Int, task: () -> T): T = try {
    task()
} catch (e: LolvitException) {
    throw ProblemException(Problem(titleOf(e.code) ?: title, error = e), e)
}

/** The title of failures that are not the model's. */
internal fun titleOf(code: Code): Int? = when (code) {
    Code.PHOTO_UNDECODABLE, Code.PHOTO_UNAVAILABLE, Code.PHOTO_TOO_ELONGATED -> R.string.photo_title
    Code.OUT_OF_MEMORY -> R.string.memory_title
    else -> null
}

/** Does [task] and returns its problem, or null. A bug is shown too, and logged with its stack trace. */
internal inline fun problemOf(task: () -> Unit): Problem? = try {
    task()
    null
} catch (e: CancellationException) {
    throw e
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
