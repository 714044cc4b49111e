package org.lolvit.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.content.Intent
import android.database.Cursor
import android.net.Uri
import android.os.Build
import android.os.ParcelFileDescriptor
import android.provider.MediaStore
import java.io.File
import java.io.FileNotFoundException

/**
 * The file that the camera app writes a photo to, in the app's cache: no storage permission on any Android, and
 * nothing of it in the user's gallery. Others reach it only while an intent grants it to them.
 */
internal class CapturedPhotos : ContentProvider() {
    override fun onCreate(): Boolean = true

    override fun getType(uri: Uri): String = "image/jpeg"

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        val context = context ?: throw FileNotFoundException(uri.toString())
        if (uri != address(context)) throw FileNotFoundException(uri.toString())
        return ParcelFileDescriptor.open(file(context), ParcelFileDescriptor.parseMode(mode))
    }

    override fun query(uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?): Cursor? =
        null

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, where: String?, arguments: Array<String>?): Int = 0

    override fun delete(uri: Uri, where: String?, arguments: Array<String>?): Int = 0

    companion object {
        /** The URI for the camera app; deletes the previous photo. */
        fun fresh(context: Context): Uri {
            file(context).delete()
            return address(context)
        }

        /** Where the camera app writes, and the app reads. */
        fun address(context: Context): Uri = Uri.parse("content://${context.packageName}.captured/photo.jpg")

        private fun file(context: Context): File = File(context.cacheDir, "captured.jpg")
    }
}

/** The ways to choose a photo, the best first: the system's picker needs no permission, and shows photos only. */
internal fun choosePhoto(): List<Intent> = listOfNotNull(
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) Intent(MediaStore.ACTION_PICK_IMAGES).setType("image/*") else null,
    Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"),
    Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*"),
)

/** Lets the camera app write a photo to [target]. */
internal fun takePhoto(target: Uri): Intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE)
    .putExtra(MediaStore.EXTRA_OUTPUT, target)
    .addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
