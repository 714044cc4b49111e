package org.lolvit

/** The colours of classes without colours of their own, as Python's `lolvit.drawing` has them. */
internal object Palette {
    private const val HUE_STEP = 0.61803398875 // the golden ratio's inverse: neighbouring classes differ most
    private const val SATURATION = 0.75
    private const val VALUE = 0.95

    fun of(classes: Int): List<ClassColor> = List(classes) { generated(it) }

    /** `#rrggbb`, which the caller has checked. */
    fun parsed(hex: String): ClassColor {
        val number = hex.substring(1).toInt(16)
        return ClassColor(number shr 16, number shr 8 and 255, number and 255)
    }

    private fun generated(index: Int): ClassColor {
        val hue = (index * HUE_STEP) % 1.0
        val sector = (hue * 6).toInt()
        val share = hue * 6 - sector
        val low = VALUE * (1 - SATURATION)
        val falling = VALUE * (1 - SATURATION * share)
        val rising = VALUE * (1 - SATURATION * (1 - share))
        val (red, green, blue) = when (sector % 6) {
            0 -> Triple(VALUE, rising, low)
            1 -> Triple(falling, VALUE, low)
            2 -> Triple(low, VALUE, rising)
            3 -> Triple(low, falling, VALUE)
            4 -> Triple(rising, low, VALUE)
            else -> Triple(VALUE, low, falling)
        }
        return ClassColor(level(red), level(green), level(blue))
    }

    private fun level(part: Double) = Math.rint(255 * part).toInt()
}
