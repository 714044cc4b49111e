package org.lolvit.demo.benchmark

import android.app.Activity
import java.io.File
import java.io.PrintWriter
import java.net.InetAddress
import java.net.Socket
import java.nio.file.Files
import org.json.JSONObject
import org.junit.Assume.assumeNotNull
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.NativeLiteRt
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/**
 * The app on a simulated phone, for the harness's own tests: they connect it to their adb daemon, and
 * what `am instrument` asks for is done by the app's real entry point.
 *
 * `lolvit.harness.port` is where to connect to, `lolvit.harness.folder` what the phone has as the app's
 * folder. One JSON object of extras a line comes in; what `am instrument -r` prints goes out, and an
 * empty line after it.
 */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class HarnessServer {
    @Test fun `what am instrument asks for is done until the other side hangs up`() {
        val port = System.getProperty("lolvit.harness.port")
        assumeNotNull(port)
        NativeLiteRt.load()
        InstrumentationHost.debugging(true)
        val folder = File(System.getProperty("lolvit.harness.folder"))
        Files.createSymbolicLink(InstrumentationHost.folder.toPath(), folder.toPath())
        Socket(InetAddress.getLoopbackAddress(), port.toInt()).use { socket ->
            val out = PrintWriter(socket.getOutputStream(), true)
            socket.getInputStream().bufferedReader().forEachLine { line -> answer(JSONObject(line), out, folder) }
        }
    }

    private fun answer(extras: JSONObject, out: PrintWriter, folder: File) {
        folder.mkdirs() // the harness has removed what the link leads to
        val pairs = extras.keys().asSequence().map { it to extras.getString(it) }.toList()
        val answer = InstrumentationHost.instrument(*pairs.toTypedArray()) { slots ->
            out.println("INSTRUMENTATION_STATUS: slots=$slots")
            out.println("INSTRUMENTATION_STATUS_CODE: 1")
        }
        for ((name, value) in answer.results) out.println("INSTRUMENTATION_RESULT: $name=${onPhone(value)}")
        out.println("INSTRUMENTATION_CODE: ${if (answer.code == Activity.RESULT_OK) -1 else 0}")
        out.println()
    }

    /** The folder as a phone would call it. */
    private fun onPhone(value: String) = value.replace(InstrumentationHost.folder.path, PHONE_FOLDER)

    private companion object {
        const val PHONE_FOLDER = "/storage/emulated/0/Android/data/org.lolvit.demo/files/bench"
    }
}
