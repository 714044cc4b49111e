package org.lolvit.benchmark

import java.util.concurrent.CancellationException

/** Callbacks of a running measurement, on the measuring thread: between slots, never during one. */
public interface Listener {
    /** [done] of [planned] rounds are made. */
    public fun progress(done: Int, planned: Int)

    /** Called before each block and after the last: the time to read the phone's state. */
    public fun betweenBlocks()
}

/** Times several models against each other, interleaved on one thread, as the harness does on a computer. */
public class Interleaved(
    private val models: List<Inference>,
    private val profile: Profile,
    clock: Clock = Clock.SYSTEM,
) {
    private val stopwatch = Stopwatch(clock)

    /**
     * Warms up, then fills [recording] by the profile. After a cancellation [recording] holds the rounds
     * that were completed.
     *
     * @throws CancellationException soon after [cancellation] is requested
     */
    public fun measure(recording: Recording, listener: Listener, cancellation: Cancellation = Cancellation.NEVER) {
        val runSeconds = models.map {
            stopwatch.warmUp(it, profile.warmUpRuns, profile.warmUpSeconds, cancellation) / 1e9
        }
        val warmUps = runSeconds.map { Schedule.slotWarmUpRuns(it) }
        val plan = profile.fitted(runSeconds)
        recording.plan = plan
        for (block in 0 until plan.blocks) {
            listener.betweenBlocks()
            System.gc() // so that no collection is due within the block
            repeat(plan.rounds) {
                recording.add(round(block, recording.rounds.size, warmUps, plan.burst, cancellation))
                listener.progress(recording.rounds.size, plan.blocks * plan.rounds)
            }
        }
        listener.betweenBlocks()
    }

    private fun round(block: Int, number: Int, warmUps: List<Int>, burst: Int, cancellation: Cancellation): Round {
        val slots = Schedule.order(models.size, number).map { place ->
            cancellation.check()
            repeat(warmUps[place]) { models[place].run() }
            Slot(place, stopwatch.durations(models[place], burst))
        }
        return Round(block, slots)
    }
}
