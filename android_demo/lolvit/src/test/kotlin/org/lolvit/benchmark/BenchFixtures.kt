package org.lolvit.benchmark

import java.io.File

/** The driver's files for the benchmark's tests, and where they leave what Python reads afterwards. */
object BenchFixtures {
    /** Requests and the files that they name, as the harness puts them into the app's folder. */
    val requests: File = File(System.getProperty("lolvit.fixtures"), "bench")

    /** A file that a test leaves behind. */
    fun out(name: String): File = File(System.getProperty("lolvit.out"), "bench/$name").apply { parentFile.mkdirs() }
}
