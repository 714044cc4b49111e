package org.lolvit.demo

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraDevice
import android.net.Uri
import android.os.Looper
import android.provider.MediaStore
import java.io.FileNotFoundException
import java.util.concurrent.CountDownLatch
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.lolvit.Classification
import org.lolvit.Fixtures
import org.lolvit.NativeLiteRt
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Taking photos, and the live camera up to the frames: Robolectric has no camera that gives pictures. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CameraTest {
    private val application = RuntimeEnvironment.getApplication()

    @Before fun aDeviceWithCamera() {
        NativeLiteRt.load()
        givePhoneACamera()
    }

    @Test fun `a photo is taken by the camera app, into the app's own file, and predicted for`() {
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA)
        val robot = MainScreenRobot(model(DIGITS))
        robot.click(R.id.take)
        val request = shadowOf(robot.activity).nextStartedActivityForResult
        val target = request.intent.extras?.getParcelable(MediaStore.EXTRA_OUTPUT, Uri::class.java)
        assertNotNull(target)
        assertTrue(request.intent.flags and Intent.FLAG_GRANT_WRITE_URI_PERMISSION != 0)
        application.contentResolver.openOutputStream(checkNotNull(target), "w").use { output ->
            Fixtures.photo("full.png").inputStream().use { it.copyTo(checkNotNull(output)) }
        }
        shadowOf(robot.activity).receiveResult(request.intent, Activity.RESULT_OK, null)
        robot.await()
        assertTrue(robot.isShown(R.id.scores))
    }

    @Test fun `a photo that was not taken changes nothing`() {
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA)
        val robot = MainScreenRobot(model(DIGITS))
        robot.await()
        robot.click(R.id.take)
        val request = shadowOf(robot.activity).nextStartedActivityForResult
        shadowOf(robot.activity).receiveResult(request.intent, Activity.RESULT_CANCELED, null)
        assertFalse(robot.isShown(R.id.progress))
        assertFalse(robot.isShown(R.id.problem))
    }

    @Test fun `the permission is asked when the camera is wanted, not before`() {
        val robot = MainScreenRobot(model(DIGITS))
        robot.await()
        assertEquals(null, shadowOf(robot.activity).lastRequestedPermission)
        robot.click(R.id.take)
        val asked = shadowOf(robot.activity).lastRequestedPermission
        assertEquals(listOf(Manifest.permission.CAMERA), asked.requestedPermissions.toList())
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA)
        robot.answer(asked.requestCode, PackageManager.PERMISSION_GRANTED)
        assertEquals(MediaStore.ACTION_IMAGE_CAPTURE, shadowOf(robot.activity).nextStartedActivityForResult.intent.action)
    }

    @Test fun `other files of the app can't be reached through the provider`() {
        val stranger = Uri.parse("content://org.lolvit.demo.captured/../databases/secret")
        assertThrows(FileNotFoundException::class.java) { application.contentResolver.openInputStream(stranger) }
    }

    @Test fun `the live camera shows classes and a growing number of runs, until it is stopped`() {
        val bench = live()
        repeat(4) { bench.give(Colour(it)) }
        assertEquals(3, bench.screen.latency?.runs)
        assertEquals(5, (bench.screen.predicted?.prediction as Classification).top.size)
        val last = Bitmap.createBitmap(64, 48, Bitmap.Config.ARGB_8888)
        bench.stopLive(last)
        assertFalse(bench.wantsFrame)
        assertSame(last, bench.screen.photo)
        assertNotNull(bench.screen.predicted)
        bench.close()
    }

    @Test fun `a frame is dropped while the one before is worked on`() {
        val bench = live()
        val held = CountDownLatch(1)
        val slow = Colour(0) { held.await() }
        bench.frame(slow)
        assertFalse(bench.wantsFrame)
        held.countDown()
        idle { bench.wantsFrame }
        assertTrue(slow.closed)
        bench.close()
    }

    @Test fun `a frame that was cancelled is closed, and the next one is wanted`() {
        val bench = live()
        val held = CountDownLatch(1)
        val frame = Colour(0) { held.await() }
        bench.frame(frame)
        bench.stopLive(null)
        held.countDown()
        idle { frame.closed }
        bench.startLive()
        idle { bench.wantsFrame }
        bench.close()
    }

    @Test fun `each way a camera fails has words for it`() {
        val codes = mapOf(
            CameraDevice.StateCallback.ERROR_CAMERA_IN_USE to R.string.camera_busy,
            CameraDevice.StateCallback.ERROR_CAMERA_DISABLED to R.string.camera_disabled,
            CameraDevice.StateCallback.ERROR_CAMERA_DEVICE to R.string.camera_lost,
        )
        assertEquals(codes.values.toList(), codes.keys.map { cameraError(it).text })
        val reasons = mapOf(
            CameraAccessException.CAMERA_IN_USE to R.string.camera_busy,
            CameraAccessException.CAMERA_DISABLED to R.string.camera_disabled,
            CameraAccessException.CAMERA_DISCONNECTED to R.string.camera_lost,
        )
        assertEquals(reasons.values.toList(), reasons.keys.map { cameraError(CameraAccessException(it)).text })
    }

    private fun live(): PredictionSession {
        val bench = PredictionSession({ listOf(model(DIGITS)) }, 1) { throw AssertionError("no photo was chosen") }
        bench.start(SavedChoices(engine = FAST))
        idle { bench.screen.stage == Stage.IDLE }
        bench.startLive()
        idle { bench.wantsFrame }
        return bench
    }

    private fun PredictionSession.give(frame: Frame) {
        frame(frame)
        idle { wantsFrame }
    }

    private fun idle(condition: () -> Boolean) {
        val end = System.nanoTime() + 30_000_000_000
        while (!condition()) {
            shadowOf(Looper.getMainLooper()).idle()
            Thread.sleep(2)
            assertTrue("waited for half a minute", System.nanoTime() < end)
        }
    }

    private class Colour(private val number: Int, private val before: () -> Unit = {}) : Frame {
        @Volatile var closed = false

        override fun bitmap(): Bitmap {
            before()
            return Bitmap.createBitmap(64, 48, Bitmap.Config.ARGB_8888).apply { eraseColor(-0x1000000 or number * 1000) }
        }

        override fun close() {
            closed = true
        }
    }
}
