/// How many runs are made, and in which order.
///
/// A measurement is made of blocks, a block of rounds, a round of one slot a model there and one back (A
/// B B A for two), a slot of a few warm-up runs and a burst of recorded ones. A steady change of the
/// phone's speed thus affects both models alike. Rounds are short and many, so that a disturbance of a
/// second spoils few of them. The warm-up runs bring the model's weights back into the caches.
///
/// `blocks * rounds * 2 * burst` runs are recorded of each model. The models are loaded anew for each
/// block, of which there are therefore an even number: each is the first to be loaded in half of them.
public struct Profile: Equatable, Sendable {
    private static let shortBurst = 3  // of which half as many rounds are better than all of shorter ones

    public static let quick = Profile(name: "quick", blocks: 4, rounds: 4, burst: 3, seconds: 6)
    public static let `default` = Profile(name: "default", blocks: 6, rounds: 7, burst: 5, seconds: 13)

    public let name: String
    public var blocks: Int
    public var rounds: Int
    public var burst: Int

    /// The time limit for two models: slow ones get fewer runs.
    public var seconds: Double
    var warmUpRuns = 5
    var warmUpSeconds = 0.3

    /// This profile with the rounds and bursts that its time allows when one run of each model takes
    /// `runSeconds`: shorter bursts first, down to three runs, then half the rounds, then shorter bursts
    /// again. Never fewer than one round of bursts of one run in each block.
    func fitted(_ runSeconds: [Double]) -> Profile {
        var plan = self
        plan.seconds = seconds * max(1, Double(runSeconds.count) / 2)
        let blockSeconds = plan.seconds / Double(blocks)
        for fewer in stride(from: burst, through: 1, by: -1) {
            let fitting = Int(blockSeconds / Schedule.roundSeconds(fewer, runSeconds))
            let least = fewer > Self.shortBurst ? rounds : rounds / 2
            if fitting >= max(1, least) {
                plan.burst = fewer
                plan.rounds = min(rounds, fitting)
                return plan
            }
        }
        let fitting = Int(blockSeconds / Schedule.roundSeconds(1, runSeconds))
        plan.burst = 1
        plan.rounds = max(1, min(rounds, fitting))
        return plan
    }
}

/// The arithmetic of a schedule.
enum Schedule {
    private static let slots = 2.0  // of each model in a round
    private static let slotWarmUpSeconds = 0.025
    private static let maxSlotWarmUpRuns = 20.0

    /// The number of warm-up runs at the beginning of each slot of a model whose run takes `runSeconds`.
    static func slotWarmUpRuns(_ runSeconds: Double) -> Int {
        Int(min(max((slotWarmUpSeconds / runSeconds).rounded(.up), 1), maxSlotWarmUpRuns))
    }

    /// The seconds of one round of models that take `runSeconds` each.
    static func roundSeconds(_ burst: Int, _ runSeconds: [Double]) -> Double {
        slots * runSeconds.reduce(0) { $0 + Double(burst + slotWarmUpRuns($1)) * $1 }
    }

    /// The order of the slots in round `number`, by each model's place: there and back, the first one
    /// rotating.
    static func order(_ models: Int, _ number: Int) -> [Int] {
        let there = (0..<models).map { (number + $0) % models }
        return there + there.reversed()
    }
}

/// The recorded runs of one model in one slot, in nanoseconds.
struct Slot: Equatable, Sendable {
    let model: Int
    let durations: [UInt64]
}

/// The completed rounds of a measurement: a cancelled one, too, has equally many runs of each model.
struct Recording: Equatable, Sendable {
    var plan: Profile?
    private(set) var rounds: [(block: Int, slots: [Slot])] = []

    var complete: Bool { plan.map { rounds.count == $0.blocks * $0.rounds } ?? false }

    mutating func add(_ block: Int, _ slots: [Slot]) { rounds.append((block, slots)) }

    /// The recorded runs of the model at a place.
    func samples(_ model: Int) -> Samples {
        var found = Samples()
        var place = 0
        for (number, round) in rounds.enumerated() {
            for slot in round.slots {
                for duration in slot.durations {
                    if slot.model == model {
                        found.milliseconds.append(Double(duration) / 1e6)
                        found.block.append(round.block)
                        found.round.append(number)
                        found.order.append(place)
                    }
                    place += 1
                }
            }
        }
        return found
    }

    static func == (one: Recording, other: Recording) -> Bool {
        one.plan == other.plan && one.rounds.map(\.block) == other.rounds.map(\.block)
            && one.rounds.map(\.slots) == other.rounds.map(\.slots)
    }
}

/// The recorded runs of one model, in the order they were made: of run i its duration, its block, its
/// round (counted through all blocks), and its place among all recorded runs.
public struct Samples: Equatable, Sendable {
    public var milliseconds: [Double] = []
    public var block: [Int] = []
    public var round: [Int] = []
    public var order: [Int] = []
}
