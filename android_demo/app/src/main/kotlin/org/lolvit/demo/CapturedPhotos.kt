package org.lolvit.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.net.Uri
import android.os.ParcelFileDescriptor
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
        /** The address to hand to the camera app; what was taken before is gone. */
        fun fresh(context: Context): Uri {
            file(context).delete()
            return address(context)
        }

        /** Where the camera app writes, and the app reads. */
        fun address(context: Context): Uri = Uri.parse("content://${context.packageName}.captured/photo.jpg")

        private fun file(context: Context): File = File(context.cacheDir, "captured.jpg")
    }
}
