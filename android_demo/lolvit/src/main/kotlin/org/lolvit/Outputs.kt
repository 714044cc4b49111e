package org.lolvit

import kotlin.math.abs

/** The values of one output with channels and places, in whichever order the artifact has them. */
internal class Channels(private val values: FloatArray, val channels: Int, val places: Int, private val channelsLast: Boolean) {
    operator fun get(channel: Int, place: Int): Float =
        values[if (channelsLast) place * channels + channel else channel * places + place]

    companion object {
        /** Of shape (1, C, L), or (1, L, C). */
        fun of(values: FloatArray, spec: TensorSpec): Channels {
            val last = spec.layout == Layout.NLC
            val (channels, places) = spec.shape[if (last) 2 else 1] to spec.shape[if (last) 1 else 2]
            return Channels(values, channels, places, last)
        }
    }
}

/** As [Channels], of maps. */
internal class Maps(private val values: FloatArray, val channels: Int, val height: Int, val width: Int, private val channelsLast: Boolean) {
    operator fun get(channel: Int, y: Int, x: Int): Float =
        values[if (channelsLast) (y * width + x) * channels + channel else (channel * height + y) * width + x]

    fun largestMagnitude(): Float = values.maxOf(::abs)

    companion object {
        /** Of shape (1, C, H, W), or (1, H, W, C). */
        fun of(values: FloatArray, spec: TensorSpec): Maps {
            val (_, a, b, c) = spec.shape
            return if (spec.layout == Layout.NHWC) Maps(values, c, a, b, true) else Maps(values, a, b, c, false)
        }
    }
}

/** An inference's outputs, each with its description. */
internal class Outputs(private val values: List<FloatArray>, private val specs: List<TensorSpec>) {
    fun only(): FloatArray = values.single()

    /** The name of the only output. */
    fun name(): String = specs.single().name

    fun channels(meaning: String): Channels = specs.indexOfFirst { it.meaning == meaning }.let { Channels.of(values[it], specs[it]) }

    fun maps(): Maps = Maps.of(values.single(), specs.single())

    companion object {
        /** @throws LolvitException a value is not finite. */
        fun of(engine: Engine): Outputs {
            val values = engine.outputs()
            if (values.any { output -> output.any { !it.isFinite() } }) {
                throw LolvitException(LolvitException.Code.OUTPUT_NOT_FINITE, "engine" to engine.title)
            }
            return Outputs(values, engine.artifact.outputs)
        }
    }
}
