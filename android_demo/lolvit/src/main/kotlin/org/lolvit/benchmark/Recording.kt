package org.lolvit.benchmark

/** The recorded runs of one model in one slot: its place among the models, and nanoseconds. */
public class Slot(public val model: Int, public val durations: LongArray)

/** One round: the block that it is of, and its slots in the order they were made. */
public class Round(public val block: Int, public val slots: List<Slot>)

/**
 * The recorded runs of one model, in the order they were made. Of run i: its duration in milliseconds,
 * its block, its round (counted through all blocks), and its place among all recorded runs.
 */
public class Samples(
    public val milliseconds: DoubleArray,
    public val block: IntArray,
    public val round: IntArray,
    public val order: IntArray,
)

/** The completed rounds of a measurement: a cancelled one, too, has equally many runs of each model. */
public class Recording {
    public var plan: Profile? = null
        internal set
    private val made = ArrayList<Round>()
    public val rounds: List<Round> get() = made

    /** Whether all rounds that were planned have been made. */
    public val complete: Boolean get() = plan?.let { made.size == it.blocks * it.rounds } ?: false

    internal fun add(round: Round) {
        made.add(round)
    }

    /** The recorded runs of the model at a place. */
    public fun samples(model: Int): Samples {
        val found = ArrayList<LongArray>() // nanoseconds, block, round, place
        var place = 0L
        made.forEachIndexed { number, round ->
            for (slot in round.slots) for (duration in slot.durations) {
                if (slot.model == model) found.add(longArrayOf(duration, round.block.toLong(), number.toLong(), place))
                place++
            }
        }
        fun column(index: Int) = IntArray(found.size) { found[it][index].toInt() }
        return Samples(DoubleArray(found.size) { found[it][0] / 1e6 }, column(1), column(2), column(3))
    }
}
