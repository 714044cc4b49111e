package com.example.photos

import android.content.Intent
import android.net.Uri
import android.view.ViewGroup
import android.widget.TextView
import java.io.File
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Gives the guide's activity a photo, and leaves what it shows for Python to compare. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class GuideTest {
    @Test
    fun `the activity names the photo's class`() {
        System.loadLibrary("tensorflowlite_jni") // on a desktop nothing else loads it
        val fixtures = File(System.getProperty("lolvit.fixtures")!!)
        val uri = Uri.parse("content://test/photo.jpg")
        shadowOf(RuntimeEnvironment.getApplication().contentResolver)
            .registerInputStreamSupplier(uri) { File(fixtures, "photo.jpg").inputStream() }
        val activity = Robolectric.buildActivity(ClassifyActivity::class.java, Intent(Intent.ACTION_VIEW, uri)).setup().get()
        val view = (activity.findViewById<ViewGroup>(android.R.id.content)!!).getChildAt(0) as TextView
        val limit = System.currentTimeMillis() + 60_000
        while (view.text.isEmpty() && System.currentTimeMillis() < limit) {
            Thread.sleep(20)
            shadowOf(activity.mainLooper).idle()
        }
        assertTrue("nothing was shown", view.text.isNotEmpty())
        File(fixtures, "shown.txt").writeText(view.text.toString())
    }
}
