package org.lolvit.demo

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.provider.MediaStore
import android.provider.Settings

/** What this device and its user let the app do with cameras. */
internal class CameraAccess(private val activity: Activity) {
    private val packages = activity.packageManager

    /** Whether the device has a camera at all. */
    val hasCamera: Boolean get() = packages.hasSystemFeature(PackageManager.FEATURE_CAMERA_ANY)

    /** Whether an app here takes photos for others. */
    val hasCameraApp: Boolean get() = Intent(MediaStore.ACTION_IMAGE_CAPTURE).resolveActivity(packages) != null

    val isAllowed: Boolean
        get() = activity.checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    /** The answer comes to the activity's `onRequestPermissionsResult`, with that code. */
    fun ask(code: Int) = activity.requestPermissions(arrayOf(Manifest.permission.CAMERA), code)

    /** The system's screen with the permissions of this app. */
    fun settings(): Intent =
        Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", activity.packageName, null))
}
