package org.lolvit

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONArray
import org.json.JSONObject

/** What the driver wrote for the tests: photos, and what Python makes of them. */
object Fixtures {
    private val folder = File(System.getProperty("lolvit.fixtures"))
    private val assets = File(System.getProperty("lolvit.assets"))

    fun photo(name: String): File = File(folder, "photos/$name")

    fun bytes(name: String): ByteArray = File(folder, name).readBytes()

    fun floats(name: String): FloatArray {
        val values = ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return FloatArray(values.remaining()).also(values::get)
    }

    fun document(name: String) = JSONObject(File(folder, name).readText())

    /** A packaged model's folder, as a file. */
    fun model(name: String): File = File(assets, "lolvit/$name")

    /** Hands figures to the driver, which prints them after the tests. */
    fun report(name: String, vararg figures: Pair<String, Any>) {
        val target = File(System.getProperty("lolvit.out"), "parity/$name.json")
        target.parentFile.mkdirs()
        target.writeText(JSONObject(mapOf(*figures)).toString())
    }
}

fun JSONArray.objects(): List<JSONObject> = List(length(), ::getJSONObject)

fun JSONArray.strings(): List<String> = List(length(), ::getString)

/**
 * Loads the desktop's TFLite. On Android its own classes do that; here nothing else does, and it has
 * to be asked for in Robolectric's class loader.
 */
object NativeLiteRt {
    init {
        System.loadLibrary("tensorflowlite_jni")
    }

    fun load() = Unit
}
