package org.lolvit

import java.io.File
import java.net.URL
import java.net.URLClassLoader
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** The library in an app that lacks a runtime: this one, in a class loader without it. */
class AbsentLibraryTest {
    private val folder = Fixtures.model(ModelFolder.TRAINED)

    @Test fun `without ONNX Runtime its engine is listed as missing, and the others are there`() {
        val missing = missing(without = "onnxruntime")
        assertEquals("engine_absent com.microsoft.onnxruntime:onnxruntime-android", missing["onnx-cpu/fp32"])
        assertEquals("", missing["litert-cpu/fp32"])
    }

    @Test fun `without LiteRT both of its engines are listed as missing`() {
        val missing = missing(without = "tflite-engine")
        for (id in listOf("litert-cpu/fp32", "litert-gpu/fp32")) {
            assertEquals("engine_absent com.google.ai.edge.litert:litert", missing[id])
        }
        assertEquals("", missing["onnx-cpu/fp32"])
    }

    @Test fun `classes without their native library are reported as such`() {
        val line = call(without = "onnxruntime", function = "openFirst") as String
        assertTrue(line, line.startsWith("native_library_missing: engine=LiteRT, CPU, reason="))
    }

    private fun missing(without: String): Map<*, *> = call(without, "missing") as Map<*, *>

    /** Calls a function of [Probe] as an app would that does not carry the named library. */
    private fun call(without: String, function: String): Any {
        val path = System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
        val (left, kept) = path.split(File.pathSeparator).partition { without in File(it).name }
        assertTrue("nothing to leave out in $path", left.isNotEmpty())
        val urls = kept.map { File(it).toURI().toURL() }.toTypedArray<URL>()
        URLClassLoader(urls, ClassLoader.getSystemClassLoader().parent).use { app ->
            return app.loadClass("org.lolvit.Probe").getMethod(function, String::class.java).invoke(null, folder.path)
        }
    }
}

/** What [AbsentLibraryTest] calls in the other class loader; its results are of `java.lang` alone. */
object Probe {
    @JvmStatic
    fun missing(folder: String): Map<String, String> =
        Engines.choices(ModelSpec.load(FolderSource(File(folder)))).associate { choice ->
            choice.id to choice.missing?.let { "${it.code.id} ${it.details["library"]}" }.orEmpty()
        }

    @JvmStatic
    fun openFirst(folder: String): String = try {
        val source = FolderSource(File(folder))
        Engines.open(null, ModelSpec.load(source), source).use { it.engine.title }
    } catch (e: LolvitException) {
        e.message.orEmpty()
    }
}
