package org.lolvit.benchmark

import java.util.concurrent.CancellationException

/** Callbacks of a running measurement, on the measuring thread: between slots, never during one. */
public interface Listener {
    /** [done] of [planned] rounds are made. */
    public fun progress(done: Int, planned: Int)

    /** Called before each block and after the last: the time to read the phone's state. */
    public fun betweenBlocks()
}

/** The models of one block, in their order; closing it closes them. */
public interface OpenModels : AutoCloseable {
    public val models: List<Inference>
}

/**
 * Times several models against each other, interleaved on one thread, as the harness does on a computer.
 *
 * The models are opened anew for each block: the same artifact, loaded again, is up to some percent
 * faster or slower, by where its weights and buffers lie in memory. While it stays open this is the same
 * in all rounds, so that no number of rounds shows it.
 */
public class Interleaved(private val profile: Profile, clock: Clock = Clock.SYSTEM) {
    private val stopwatch = Stopwatch(clock)

    /**
     * Opens the models for each block by its number, warms up, and fills [recording] by the profile.
     * After a cancellation [recording] holds the rounds that were completed.
     *
     * @throws CancellationException soon after [cancellation] is requested
     */
    public fun measure(
        open: (Int) -> OpenModels,
        recording: Recording,
        listener: Listener,
        cancellation: Cancellation = Cancellation.NEVER,
    ) {
        var block = 0
        while (block < (recording.plan?.blocks ?: 1)) {
            open(block).use { block(it.models, block, recording, listener, cancellation) }
            block++
        }
        listener.betweenBlocks()
    }

    private fun block(
        models: List<Inference>,
        block: Int,
        recording: Recording,
        listener: Listener,
        cancellation: Cancellation,
    ) {
        val runSeconds = models.map {
            stopwatch.warmUp(it, profile.warmUpRuns, profile.warmUpSeconds, cancellation) / 1e9
        }
        val warmUps = runSeconds.map { Schedule.slotWarmUpRuns(it) }
        val plan = recording.plan ?: profile.fitted(runSeconds)
        recording.plan = plan
        listener.betweenBlocks()
        System.gc() // so that no collection is due within the block
        repeat(plan.rounds) {
            recording.add(round(models, block, recording.rounds.size, warmUps, plan.burst, cancellation))
            listener.progress(recording.rounds.size, plan.blocks * plan.rounds)
        }
    }

    private fun round(
        models: List<Inference>,
        block: Int,
        number: Int,
        warmUps: List<Int>,
        burst: Int,
        cancellation: Cancellation,
    ): Round {
        val slots = Schedule.order(models.size, number).map { place ->
            cancellation.check()
            repeat(warmUps[place]) { models[place].run() }
            Slot(place, stopwatch.durations(models[place], burst))
        }
        return Round(block, slots)
    }
}
