package org.lolvit.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.view.View
import java.io.IOException
import java.io.InputStream
import kotlin.math.min
import org.lolvit.AssetSource
import org.lolvit.ModelSource
import org.lolvit.Photos

/** Predicts for a photo that the user chooses or takes, or for what a live camera sees. */
internal open class MainActivity : Activity(), FrameTaker {
    private lateinit var session: PredictionSession
    private lateinit var screen: MainScreen
    private lateinit var camera: LiveCamera
    private lateinit var access: CameraAccess

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.main)
        edgeToEdge(window, view(R.id.root), view(R.id.scroll))
        screen = MainScreen(this)
        access = CameraAccess(this)
        camera = LiveCamera(this, screen.preview, this)
        session = lastNonConfigurationInstance as PredictionSession? ?: newSession().also { it.start(choices(state)) }
        listen()
    }

    /** Lists the models to offer; overridden in tests. */
    internal open val models: (Context) -> List<ModelSource> = { AssetSource.list(it.assets) }

    /** It outlives this activity, so it holds the application context only. */
    private fun newSession(): PredictionSession {
        val (app, list) = applicationContext to models
        return PredictionSession({ list(app) }, min(MAX_THREADS, Runtime.getRuntime().availableProcessors())) { decode(app, it) }
    }

    private fun listen() {
        screen.choose.setOnClickListener { choose() }
        screen.take.setOnClickListener { withCamera(TAKE) }
        screen.live.setOnClickListener { if (session.screen.stage == Stage.LIVE) endLive() else withCamera(LIVE) }
        screen.cancel.setOnClickListener { session.cancel() }
        screen.problemAction.setOnClickListener { startActivity(access.settings()) }
        view<View>(R.id.benchmark_open).setOnClickListener {
            startActivity(Intent(this, BenchmarkActivity::class.java))
        }
        screen.models.onChosen = session::chooseModel
        screen.engines.onChosen = session::chooseEngine
    }

    override fun onStart() {
        super.onStart()
        screen.showCameras(access.hasCamera, access.hasCameraApp)
        session.listener = ::show
        if (session.screen.stage == Stage.LIVE) camera.start()
    }

    override fun onStop() {
        camera.stop() // it comes back with onStart
        session.listener = null
        super.onStop()
    }

    @Deprecated("the framework's way without AndroidX")
    override fun onRetainNonConfigurationInstance(): Any = session

    override fun onSaveInstanceState(state: Bundle) {
        super.onSaveInstanceState(state)
        state.putString(MODEL, session.choices.model)
        state.putString(ENGINE, session.choices.engine)
        state.putParcelable(PHOTO, session.choices.photo)
    }

    override fun onDestroy() {
        if (!isChangingConfigurations) session.close()
        super.onDestroy()
    }

    private fun show(state: Screen) {
        screen.show(state, camera.isMirrored)
        if (state.stage != Stage.LIVE) camera.stop()
    }

    private fun choose() {
        endLive()
        if (choosePhoto().none { start(it, CHOOSE) }) session.fail(Problem(R.string.no_picker_title, R.string.no_picker))
    }

    private fun start(intent: Intent, code: Int): Boolean = try {
        startActivityForResult(intent, code)
        true
    } catch (e: ActivityNotFoundException) {
        false
    }

    private fun withCamera(code: Int) = if (access.isAllowed) useCamera(code) else access.ask(code)

    override fun onRequestPermissionsResult(code: Int, permissions: Array<String>, results: IntArray) {
        if (results.isEmpty()) return // the user was interrupted; nothing was answered
        if (results[0] == PackageManager.PERMISSION_GRANTED) return useCamera(code)
        session.fail(Problem(R.string.refused_title, R.string.refused, permission = true))
    }

    private fun useCamera(code: Int) {
        if (code == LIVE) return startLive()
        endLive()
        val taken = start(takePhoto(CapturedPhotos.fresh(this)), TAKE)
        if (!taken) session.fail(Problem(R.string.no_camera_title, R.string.no_camera_app))
    }

    private fun startLive() {
        session.startLive()
        if (session.screen.stage == Stage.LIVE) camera.start()
    }

    private fun endLive() {
        session.stopLive(camera.last)
        camera.stop()
    }

    @Deprecated("the framework's way without AndroidX")
    override fun onActivityResult(request: Int, code: Int, data: Intent?) {
        val photo = if (request == TAKE) CapturedPhotos.address(this) else data?.data
        if (code == RESULT_OK && photo != null) session.predict(photo)
    }

    override val wantsFrame: Boolean get() = session.wantsFrame

    override fun take(frame: Frame) = session.frame(frame)

    override fun onProblem(problem: Problem) = session.fail(problem)

    private companion object {
        const val CHOOSE = 1
        const val TAKE = 2
        const val LIVE = 3
        const val MODEL = "model"
        const val ENGINE = "engine"
        const val PHOTO = "photo"

        /** Phones have at most four fast cores; more threads wait for the slow ones. */
        const val MAX_THREADS = 4

        fun decode(app: Context, photo: Uri): Bitmap = Photos.decode { open(app, photo) }

        /** Other apps' providers throw what they like; reported like any photo that can't be read. */
        fun open(app: Context, photo: Uri): InputStream = try {
            app.contentResolver.openInputStream(photo) ?: throw IOException("nothing at $photo")
        } catch (e: RuntimeException) {
            throw IOException(e.toString(), e)
        }

        @Suppress("DEPRECATION") // the typed call came with Android 13
        fun choices(state: Bundle?) = SavedChoices(state?.getString(MODEL), state?.getString(ENGINE), state?.getParcelable(PHOTO))
    }
}
