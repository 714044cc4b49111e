/// One model of a measurement: an inference on an input that is there already.
typealias Inference = @Sendable () async throws -> Void

/// The models of one block.
struct Block: Sendable {
    let inferences: [Inference]

    /// Called after the block's last run.
    let finish: @Sendable () async throws -> Void
}

/// Times several models against each other, interleaved, as the harness does on a computer.
///
/// The models are opened anew for each block: the same artifact, loaded again, is up to some percent
/// faster or slower, by where its weights and buffers lie in memory. While it stays open this is the same
/// in all rounds, so that no number of rounds shows it.
struct Interleaved: Sendable {
    let profile: Profile
    var clock: @Sendable () -> UInt64 = nanoseconds

    /// Opens the models for each block by its number, warms up, and fills a recording by the profile.
    ///
    /// - Parameters:
    ///   - open: gives the models of a block.
    ///   - recording: after a cancellation it holds the rounds that were completed.
    ///   - done: called between rounds with the rounds that are made, and those planned.
    ///   - betweenBlocks: called before each block and after the last.
    /// - Throws: what `open` and the models do; `CancellationError`.
    func measure(
        _ recording: inout Recording,
        open: @Sendable (Int) async throws -> Block,
        done: @Sendable (Int, Int) -> Void,
        betweenBlocks: @Sendable () async -> Void
    ) async throws {
        var number = 0
        while number < recording.plan?.blocks ?? 1 {
            let block = try await open(number)
            var runSeconds: [Double] = []
            for inference in block.inferences { runSeconds.append(try await warmUp(inference)) }
            let plan = recording.plan ?? profile.fitted(runSeconds)
            recording.plan = plan
            await betweenBlocks()
            for _ in 0..<plan.rounds {
                let slots = try await round(block, recording.rounds.count, runSeconds, plan.burst)
                recording.add(number, slots)
                done(recording.rounds.count, plan.blocks * plan.rounds)
            }
            try await block.finish()
            number += 1
        }
        await betweenBlocks()
    }

    private func round(_ block: Block, _ number: Int, _ runSeconds: [Double], _ burst: Int) async throws
        -> [Slot]
    {
        var slots: [Slot] = []
        for place in Schedule.order(block.inferences.count, number) {
            try Task.checkCancellation()
            let inference = block.inferences[place]
            for _ in 0..<Schedule.slotWarmUpRuns(runSeconds[place]) { try await inference() }
            slots.append(Slot(model: place, durations: try await durations(inference, burst)))
        }
        return slots
    }

    /// The nanoseconds of `count` runs, at least 1 each.
    private func durations(_ inference: Inference, _ count: Int) async throws -> [UInt64] {
        var marks = [UInt64](repeating: clock(), count: count + 1)
        for number in 1...count {
            try await inference()
            marks[number] = clock()
        }
        return zip(marks, marks.dropFirst()).map { max($1 - $0, 1) }
    }

    /// Runs for as long, and at least as often, as the profile says; returns the seconds that a run takes,
    /// by the median of the later half.
    private func warmUp(_ inference: Inference) async throws -> Double {
        var times: [Double] = []
        while times.count < profile.warmUpRuns || times.reduce(0, +) < profile.warmUpSeconds {
            try Task.checkCancellation()
            times.append(Double(try await durations(inference, 1)[0]) / 1e9)
        }
        return Statistics.median(Array(times.suffix(times.count - times.count / 2)))
    }
}
