package org.lolvit

import java.lang.management.ManagementFactory
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner

/** How much is allocated, as the JVM counts it: memory stays bounded, and timing is of the model. */
@RunWith(RobolectricTestRunner::class)
class AllocationTest {
    @get:Rule val temporary = TemporaryFolder()

    @Before fun natives() = NativeLiteRt.load()

    @Test fun `twelve megapixels are preprocessed in the memory that is promised`() {
        val preprocessing = preprocessingOf(Fixtures.document("vectors.json").getJSONObject("settings").getJSONObject("square"))
        val bitmap = Photos.decode { Fixtures.photo("12-megapixels-turned.jpg").inputStream() }
        preprocessing.levels(bitmap) // loads classes
        val allocated = allocated { preprocessing.levels(bitmap) }
        val promised = 3L * bitmap.height * preprocessing.size.width
        assertTrue("$allocated bytes", allocated in promised / 2..promised * 5 / 4)
    }

    @Test fun `runs of an engine copy nothing on the heap`() {
        val model = ModelFolder(temporary.root)
        for (name in listOf("litert-cpu", "onnx-cpu")) {
            model.open(name).use { engine ->
                val input = engine.newInput()
                repeat(3) { engine.run(input) }
                val allocated = allocated { repeat(10) { engine.run(input) } } / 10
                assertTrue("$name: $allocated bytes a run", allocated < 4096) // an input has 786,432
            }
        }
    }

    /** The bytes that this thread allocates meanwhile; by name, for it is not of the Java platform. */
    private fun allocated(work: () -> Unit): Long {
        val bean = ManagementFactory.getThreadMXBean()
        val type = Class.forName("com.sun.management.ThreadMXBean")
        val count = type.getMethod("getThreadAllocatedBytes", Long::class.java)
        val before = count.invoke(bean, Thread.currentThread().id) as Long
        work()
        return count.invoke(bean, Thread.currentThread().id) as Long - before
    }
}
