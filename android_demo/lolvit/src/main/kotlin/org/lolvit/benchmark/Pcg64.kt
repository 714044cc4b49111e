package org.lolvit.benchmark

/**
 * NumPy's default generator (PCG XSL RR 128/64, O'Neill 2014), so that a bootstrap made on the phone
 * draws the same numbers as the harness's, and both compute the same interval.
 *
 * The 128-bit state and increment come as two halves each: those that NumPy derives from a seed,
 * `numpy.random.default_rng(seed).bit_generator.state`.
 */
internal class Pcg64(private var high: Long, private var low: Long, private val addHigh: Long, private val addLow: Long) {
    private var kept = 0L
    private var keeps = false

    /** A number from 0 until [bound], by Lemire's method over halves of 64 bits, as NumPy's `integers`. */
    fun below(bound: Int): Int {
        require(bound > 0) { "no number below $bound" }
        if (bound == 1) return 0 // NumPy draws nothing here
        val limit = bound.toLong()
        val threshold = (WORD - limit + 1) % limit
        var product = next32() * limit
        while (product and WORD < threshold) product = next32() * limit
        return (product ushr 32).toInt()
    }

    private fun next32(): Long {
        if (keeps) {
            keeps = false
            return kept
        }
        val word = next64()
        keeps = true
        kept = word ushr 32
        return word and WORD
    }

    private fun next64(): Long {
        step()
        return java.lang.Long.rotateRight(high xor low, (high ushr 58).toInt())
    }

    /** state = state * multiplier + increment, modulo 2^128. */
    private fun step() {
        val productHigh = highProduct(low, TIMES_LOW) + high * TIMES_LOW + low * TIMES_HIGH
        val productLow = low * TIMES_LOW
        low = productLow + addLow
        val carry = if (java.lang.Long.compareUnsigned(low, addLow) < 0) 1 else 0
        high = productHigh + addHigh + carry
    }

    internal companion object {
        private const val WORD = 0xFFFFFFFFL
        private const val TIMES_HIGH = 0x2360ED051FC65DA4L
        private const val TIMES_LOW = 0x4385DF649FCCF645L

        /** The generator of `numpy.random.default_rng(20250803)`, the seed of the harness. */
        fun withHarnessSeed(): Pcg64 = Pcg64(
            high = -0x608bdec168d356a7L, // 0x9f74213e972ca959
            low = -0x20d9bf6f7dda2accL, // 0xdf2640908225d534
            addHigh = 0x053ccfc7273bd5faL,
            addLow = 0x5000cd491cee7129L,
        )

        /** The upper 64 bits of the product of two unsigned numbers (`Math.multiplyHigh` is newer than API 26). */
        private fun highProduct(a: Long, b: Long): Long {
            val (aLow, aHigh) = (a and WORD) to (a ushr 32)
            val (bLow, bHigh) = (b and WORD) to (b ushr 32)
            val cross = aHigh * bLow + (aLow * bLow ushr 32)
            val middle = aLow * bHigh + (cross and WORD)
            return aHigh * bHigh + (cross ushr 32) + (middle ushr 32)
        }
    }
}
