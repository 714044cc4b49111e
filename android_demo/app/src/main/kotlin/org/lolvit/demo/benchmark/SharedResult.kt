package org.lolvit.demo.benchmark

import android.content.ClipData
import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.content.Intent
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import org.lolvit.demo.R

/**
 * The last result as a file that another app may read, once the user has shared it there. The provider
 * is not exported: what Android grants with the intent is all that anyone gets.
 */
public class SharedResult : ContentProvider() {
    override fun onCreate(): Boolean = true

    override fun getType(uri: Uri): String = TYPE

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (mode != "r") throw FileNotFoundException("results can only be read")
        return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(
        uri: Uri,
        projection: Array<String>?,
        selection: String?,
        selectionArgs: Array<String>?,
        sortOrder: String?,
    ): Cursor {
        val file = file(uri)
        val known = mapOf(OpenableColumns.DISPLAY_NAME to NAME, OpenableColumns.SIZE to file.length())
        val columns = projection?.filter(known::containsKey) ?: known.keys.toList()
        return MatrixCursor(columns.toTypedArray(), 1).apply { addRow(columns.map(known::get)) }
    }

    private fun file(uri: Uri): File {
        val file = context?.let(::resultFile)
        if (uri.path != "/$NAME" || file?.isFile != true) throw FileNotFoundException("no result at $uri")
        return file
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, selection: String?, selectionArgs: Array<String>?): Int = 0

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<String>?): Int = 0

    internal companion object {
        private const val NAME = "result.json"
        private const val TYPE = "application/json"

        /** Writes the result and asks the user which app gets it. */
        fun intent(context: Context, document: String): Intent {
            resultFile(context).apply { parentFile?.mkdirs() }.writeText(document)
            val uri = Uri.parse("content://${context.packageName}.results/$NAME")
            val send = Intent(Intent.ACTION_SEND)
                .setType(TYPE)
                .putExtra(Intent.EXTRA_STREAM, uri)
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
            send.clipData = ClipData.newRawUri(NAME, uri)
            return Intent.createChooser(send, context.getString(R.string.benchmark_share_title))
        }

        private fun resultFile(context: Context) = File(context.cacheDir, "shared/$NAME")
    }
}
