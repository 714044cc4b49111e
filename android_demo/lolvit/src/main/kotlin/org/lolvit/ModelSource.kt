package org.lolvit

import android.content.res.AssetManager
import java.io.File
import java.io.IOException
import java.io.InputStream

/** Where a model's folder is: `manifest.json`, the artifacts that it names, and maybe `labels.txt`. */
public interface ModelSource {
    /** Opens a file of the folder by its relative path. The caller closes it. */
    @Throws(IOException::class)
    public fun open(path: String): InputStream

    /** Whether [open] finds a file at [path]. */
    public fun exists(path: String): Boolean

    /** Names the folder in messages. */
    override fun toString(): String
}

/** A model in the app's assets; [folder] is relative to them: `lolvit/lolvit_x-256x256`. */
public class AssetSource(private val assets: AssetManager, private val folder: String) : ModelSource {
    override fun open(path: String): InputStream = assets.open("$folder/$path")

    override fun exists(path: String): Boolean {
        val (parent, name) = "$folder/$path".let { it.substringBeforeLast('/', "") to it.substringAfterLast('/') }
        return name in assets.list(parent).orEmpty()
    }

    override fun toString(): String = "assets/$folder"

    public companion object {
        /** Lists the models that are packaged in the app: the folders of `assets/lolvit`. */
        public fun list(assets: AssetManager): List<AssetSource> =
            assets.list(ROOT).orEmpty()
                .map { it.substringBefore('/') }.distinct() // Robolectric lists what is in folders below too
                .sorted().map { AssetSource(assets, "$ROOT/$it") }

        private const val ROOT = "lolvit"
    }
}

/** A model in a folder of the file system. A path that leaves the folder does not exist. */
public class FolderSource(private val folder: File) : ModelSource {
    override fun open(path: String): InputStream {
        if (!exists(path)) throw IOException("no file $path in $folder")
        return File(folder, path).inputStream()
    }

    override fun exists(path: String): Boolean {
        val file = File(folder, path).canonicalFile
        return file.isFile && file.startsWith(folder.canonicalFile)
    }

    override fun toString(): String = folder.path
}
