package org.lolvit.demo

import android.app.Activity
import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.content.pm.ActivityInfo
import android.content.pm.PackageManager
import android.content.pm.ResolveInfo
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Bundle
import android.os.Looper
import android.provider.MediaStore
import android.view.View
import android.view.ViewGroup
import android.widget.TextView
import java.io.File
import java.io.InputStream
import org.junit.Assert.assertTrue
import org.lolvit.Fixtures
import org.lolvit.FolderSource
import org.lolvit.ModelSource
import org.lolvit.NativeLiteRt
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController

/** The trained model of ten digits. */
internal const val DIGITS = "lolvit_xx-256x256"

/** Models of detection and segmentation: they find areas of a colour. */
internal const val DETECTOR = "colour_detector-128x160"
internal const val SEGMENTER = "colour_segmenter-128x160"

/** The default model, with random weights. */
internal const val UNTRAINED = "lolvit_x-256x256"

/**
 * The engine of most tests: the desktop's TFLite lacks the fast kernels of the phone's, so that one run takes a
 * second where ONNX Runtime takes a few milliseconds.
 */
internal const val FAST = "onnx-cpu/fp32"

/** The main screen on the models of a test. */
internal class TestedActivity : MainActivity() {
    override val models: (Context) -> List<ModelSource> = { offered }

    companion object {
        var offered = emptyList<ModelSource>()
    }
}

/** Operates the main screen in a test; [state] is what an earlier process saved. */
internal class MainScreenRobot(vararg models: ModelSource, state: Bundle? = engine(FAST)) {
    private val application = RuntimeEnvironment.getApplication()
    val controller: ActivityController<TestedActivity>
    val activity: MainActivity get() = controller.get()

    init {
        NativeLiteRt.load()
        TestedActivity.offered = models.toList()
        val name = ComponentName(application, TestedActivity::class.java)
        shadowOf(application.packageManager).addActivityIfNotPresent(name)
        controller = Robolectric.buildActivity(TestedActivity::class.java).create(state).start().resume().visible()
    }

    fun text(id: Int): String = activity.view<TextView>(id).text.toString()

    fun isShown(id: Int): Boolean = activity.view<View>(id).isShown

    fun click(id: Int) = assertTrue(activity.view<View>(id).performClick())

    /** Answers the picker that the app started. */
    fun pick(photo: Uri) {
        click(R.id.choose)
        val request = shadowOf(activity).nextStartedActivityForResult
        shadowOf(activity).receiveResult(request.intent, Activity.RESULT_OK, Intent().setData(photo))
    }

    /** Answers the permission dialog. */
    fun answer(code: Int, result: Int) =
        activity.onRequestPermissionsResult(code, arrayOf(android.Manifest.permission.CAMERA), intArrayOf(result))

    /** Lets the app work until nothing is in progress. */
    fun await() = await { !isShown(R.id.progress) }

    fun await(condition: () -> Boolean) {
        val end = System.nanoTime() + 60_000_000_000
        do {
            shadowOf(Looper.getMainLooper()).idle()
            if (condition()) return
            Thread.sleep(5)
        } while (System.nanoTime() < end)
        throw AssertionError("waited for a minute; the screen shows: ${texts(activity.view(R.id.root))}")
    }

    fun png(name: String) {
        val view = activity.window.decorView
        val picture = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(picture))
        val target = File(System.getProperty("lolvit.out"), "screens/$name.png")
        target.parentFile.mkdirs()
        target.outputStream().use { picture.compress(Bitmap.CompressFormat.PNG, 100, it) }
    }
}

/** A state in which the user had chosen that engine. */
internal fun engine(id: String) = Bundle().apply { putString("engine", id) }

internal fun model(name: String): ModelSource = FolderSource(Fixtures.model(name))

/** A photo that another app offers; it can be opened again and again. */
internal fun offered(name: String, open: () -> InputStream): Uri {
    val uri = Uri.parse("content://photos/$name")
    shadowOf(RuntimeEnvironment.getApplication().contentResolver).registerInputStreamSupplier(uri) { open() }
    return uri
}

internal fun photo(name: String): Uri = offered(name) { Fixtures.photo(name).inputStream() }

/** A view and all within it that are visible. */
internal fun shown(view: View): List<View> = when {
    view.visibility != View.VISIBLE -> emptyList()
    view is ViewGroup -> listOf(view) + (0 until view.childCount).flatMap { shown(view.getChildAt(it)) }
    else -> listOf(view)
}

internal fun texts(view: View): List<String> = shown(view).filterIsInstance<TextView>().map { it.text.toString() }

/** Gives the device a camera, and an app that takes photos. */
internal fun givePhoneACamera() {
    shadowOf(RuntimeEnvironment.getApplication().packageManager).setSystemFeature(PackageManager.FEATURE_CAMERA_ANY, true)
    install("camera", Intent(MediaStore.ACTION_IMAGE_CAPTURE))
}

/** Adds an app that answers [intent]. */
internal fun install(name: String, intent: Intent) {
    val app = ResolveInfo().apply { activityInfo = ActivityInfo().apply { packageName = name; this.name = "$name.Main" } }
    @Suppress("DEPRECATION") // its successor takes intent filters, which can't say "any image"
    shadowOf(RuntimeEnvironment.getApplication().packageManager).addResolveInfoForIntent(intent, app)
}
