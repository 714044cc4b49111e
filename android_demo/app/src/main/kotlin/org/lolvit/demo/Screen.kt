package org.lolvit.demo

import android.graphics.Bitmap
import android.net.Uri
import org.lolvit.EngineChoice
import org.lolvit.Fallback
import org.lolvit.ImageSize
import org.lolvit.LolvitException
import org.lolvit.ModelSource
import org.lolvit.ModelSpec
import org.lolvit.Predicted

/**
 * All that the main screen shows, at one moment. Made and read on the main thread.
 *
 * @property photoSize of the photo or picture that [predicted] is of.
 * @property fallbacks engines that were tried before [engine], with the reasons.
 */
internal data class Screen(
    val stage: Stage = Stage.LOADING,
    val models: List<PackagedModel> = emptyList(),
    val model: PackagedModel? = null,
    val engines: List<EngineChoice> = emptyList(),
    val engine: EngineChoice? = null,
    val photo: Bitmap? = null,
    val predicted: Predicted<*>? = null,
    val photoSize: ImageSize? = null,
    val latency: Latency? = null,
    val problem: Problem? = null,
    val threads: Int = 1,
    val fallbacks: List<Fallback> = emptyList(),
) {
    fun withoutResult() = copy(predicted = null, photoSize = null, latency = null)
}

/** What the app does just now. */
internal enum class Stage { LOADING, IDLE, PREDICTING, TIMING, LIVE }

/** A model in the app's assets; without [spec], [problem] is why it can't be read. */
internal class PackagedModel(val source: ModelSource, val spec: ModelSpec?, val problem: LolvitException?) {
    val id: String get() = source.toString()
    val title: String get() = spec?.name ?: id.substringAfterLast('/')
}

/** The user's choices, which outlive the process: ids of model and engine, and the photo. */
internal data class SavedChoices(val model: String? = null, val engine: String? = null, val photo: Uri? = null)
