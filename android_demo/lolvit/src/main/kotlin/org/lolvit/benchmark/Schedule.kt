package org.lolvit.benchmark

import kotlin.math.ceil

/**
 * How many runs are made, and in which order.
 *
 * A measurement is made of blocks, a block of rounds, a round of one slot a model there and one back
 * (A B B A for two), a slot of a few warm-up runs and a burst of recorded ones. A steady change of the
 * phone's speed thus affects all models alike. Rounds are short and many, so that a disturbance of a
 * second spoils few of them. The warm-up runs bring the model's weights back into the caches after
 * another model's.
 *
 * [blocks] x [rounds] x 2 x [burst] runs are recorded of each model. [seconds] is the time limit for
 * two models, so slow ones get fewer runs. The models are loaded anew for each block, of which there
 * are therefore an even number: each of two models is the first to be loaded in half of them.
 */
public data class Profile(
    val name: String,
    val blocks: Int,
    val rounds: Int,
    val burst: Int,
    val seconds: Double,
    val warmUpRuns: Int = 5,
    val warmUpSeconds: Double = 0.3,
) {
    /**
     * This profile with the rounds and bursts that its time allows when one run of each model takes
     * [runSeconds]: shorter bursts first, down to three runs, then half the rounds, then shorter bursts
     * again. Never fewer than one round of bursts of one run in each block.
     */
    public fun fitted(runSeconds: List<Double>): Profile {
        val time = seconds * maxOf(1.0, runSeconds.size / 2.0)
        val blockSeconds = time / blocks
        for (fewer in burst downTo 1) {
            val fitting = (blockSeconds / Schedule.roundSeconds(fewer, runSeconds)).toInt()
            val least = if (fewer > SHORT_BURST) rounds else rounds / 2
            if (fitting >= maxOf(1, least)) {
                return copy(seconds = time, burst = fewer, rounds = minOf(rounds, fitting))
            }
        }
        val fitting = (blockSeconds / Schedule.roundSeconds(1, runSeconds)).toInt()
        return copy(seconds = time, burst = 1, rounds = maxOf(1, minOf(rounds, fitting)))
    }

    public companion object {
        private const val SHORT_BURST = 3 // of which half as many rounds are better than all of shorter ones

        public val QUICK: Profile = Profile("quick", blocks = 4, rounds = 4, burst = 3, seconds = 6.0)
        public val DEFAULT: Profile = Profile("default", blocks = 6, rounds = 7, burst = 5, seconds = 13.0)
    }
}

/** The arithmetic of a schedule. */
public object Schedule {
    /** Slots of each model in a round. */
    public const val SLOTS: Int = 2

    // Warm-up runs of a slot: as many as take this long, within these bounds.
    private const val SLOT_WARM_UP_SECONDS = 0.025
    private const val MAX_SLOT_WARM_UP_RUNS = 20

    /** The number of warm-up runs at the beginning of each slot of a model whose run takes [runSeconds]. */
    public fun slotWarmUpRuns(runSeconds: Double): Int =
        ceil(SLOT_WARM_UP_SECONDS / runSeconds).coerceIn(1.0, MAX_SLOT_WARM_UP_RUNS.toDouble()).toInt()

    /** The seconds of one round of models that take [runSeconds] each. */
    public fun roundSeconds(burst: Int, runSeconds: List<Double>): Double =
        SLOTS * runSeconds.sumOf { (burst + slotWarmUpRuns(it)) * it }

    /**
     * The order of the slots in round [number], by each model's place: there and back, the first one
     * rotating, so that no model always follows the same other.
     */
    public fun order(models: Int, number: Int): List<Int> {
        val there = List(models) { (number + it) % models }
        return there + there.reversed()
    }
}
