import Foundation

/// Two models to be measured against each other.
public struct ComparisonPlan: Sendable {
    /// A model, and its engine: one of ``Engines/choices(_:)``. nil takes the first that is available, or,
    /// for the baseline, one of the candidate's runtime and compute unit.
    public typealias Side = (source: ModelSource, choice: EngineChoice?)

    public let candidate: Side
    public let baseline: Side
    public let profile: Profile

    public init(candidate: Side, baseline: Side, profile: Profile = .default) {
        self.candidate = candidate
        self.baseline = baseline
        self.profile = profile
    }
}

/// The step that a measurement has reached.
public enum ComparisonStep: Equatable, Sendable {
    case opening
    case measuring(done: Int, planned: Int)  // rounds

    /// The completed share, from 0 to 1.
    public var share: Double {
        switch self {
        case .opening: 0
        case .measuring(let done, let planned): Double(done) / Double(planned)
        }
    }
}

/// The device's state `atSeconds` after the measurement began.
public struct Reading: Equatable, Sendable {
    public let atSeconds: Double
    public let state: PhoneState
}

/// One of the two models of a result, as it was opened first.
public struct MeasuredModel: Equatable, Sendable {
    public let spec: ModelSpec
    public let artifact: ArtifactSpec
    public let report: OpenReport
    public let options: [String: String]
    public let placement: [String: Int]
    public let samples: Samples
}

/// The comparison of two models on this device.
///
/// ```swift
/// let plan = ComparisonPlan(candidate: (lolvit, nil), baseline: (mobilevit, nil), profile: .quick)
/// let result = try await Comparison.run(plan, engines: engines, photo: photo, photoName: "coffee")
/// print(result.speedup.interval.value, result.quality.state)
/// try result.json().write(to: url)  // lolvit report and lolvit compare open it
/// ```
public struct Comparison: Sendable {
    /// Outputs that agree by less after the timing are those of another computation, in dB.
    private static let sameDb = 60.0

    /// Measures two models, interleaved. Cancelling the task stops it: with two rounds or more, the result
    /// is INVALID and has what was measured.
    ///
    /// - Parameters:
    ///   - photo: what both models run on, and its name in the result.
    ///   - phone: where the device's state comes from.
    ///   - progress: called between rounds, on any thread.
    /// - Throws: ``LolvitError`` in low-power mode, if a model can't be opened or fails, if the two run on
    ///   different compute units, or if fewer than two rounds were made.
    public static func run(
        _ plan: ComparisonPlan, engines: Engines, photo: Photo, photoName: String,
        phone: any Phone = SystemPhone(),
        progress: @escaping @Sendable (ComparisonStep) -> Void = { _ in }
    ) async throws -> ResultDocument {
        if await phone.state().lowPowerMode == true { throw LolvitError(.lowPowerMode) }
        let run = try ComparisonRun(plan, engines, photo, phone, progress)
        return try await run.measure(photoName)
    }

    /// How outputs differ from those of an earlier run on the same input; nil where they agree.
    static func change(_ before: [String: Tensor], _ after: [String: Tensor]) -> String? {
        if before == after { return nil }
        let found =
            before.map { name, tensor in
                after[name].map { snrDb(tensor.values, $0.values) } ?? -300
            }.min() ?? -300
        if found >= sameDb { return nil }
        return String(format: "they agree by %.0f dB, less than %.0f dB", found, sameDb)
    }
}

/// One measurement that is being made.
private actor ComparisonRun {
    private let plan: ComparisonPlan
    private let engines: Engines
    private let photo: Photo
    private let phone: any Phone
    private let progress: @Sendable (ComparisonStep) -> Void
    private let specs: [ModelSpec]
    private let start = nanoseconds()
    private var readings: [Reading] = []
    private var opened: [OpenedModel] = []  // of the first block
    private var placements: [[String: Int]] = []
    private var changes: [String?] = [nil, nil]

    init(
        _ plan: ComparisonPlan, _ engines: Engines, _ photo: Photo, _ phone: any Phone,
        _ progress: @escaping @Sendable (ComparisonStep) -> Void
    ) throws {
        self.plan = plan
        self.engines = engines
        self.photo = photo
        self.phone = phone
        self.progress = progress
        specs = try [plan.candidate, plan.baseline].map { try ModelSpec.load($0.source) }
    }

    func measure(_ photoName: String) async throws -> ResultDocument {
        progress(.opening)
        var recording = Recording()
        do {
            try await Interleaved(profile: plan.profile).measure(
                &recording, open: { try await self.open($0) },
                done: { [progress] in progress(.measuring(done: $0, planned: $1)) },
                betweenBlocks: { await self.read() })
        } catch is CancellationError where recording.rounds.count >= 2 {
            await read()
        }
        guard recording.rounds.count >= 2 else {
            throw LolvitError(.tooFewRounds, ["rounds": String(recording.rounds.count)])
        }
        let models = opened.indices.map { place in
            let one = opened[place]
            return MeasuredModel(
                spec: one.spec, artifact: one.artifact, report: one.report, options: one.engine.options,
                placement: placements[place], samples: recording.samples(place))
        }
        return ResultDocument(
            candidate: models[0], baseline: models[1], changes: changes, recording: recording,
            readings: readings, engineVersion: opened[0].engine.version, phoneName: phone.name,
            photoName: photoName, photo: photo)
    }

    /// Opens both models; the one that is opened first changes from block to block.
    private func open(_ number: Int) async throws -> Block {
        var models: [Int: OpenedModel] = [:]
        for place in number % 2 == 0 ? [0, 1] : [1, 0] { models[place] = try await open(model: place) }
        let both = [0, 1].compactMap { models[$0] }
        let units = both.map(\.report.choice.unit)
        guard units[0] == units[1], both[0].report.choice.engine == both[1].report.choice.engine else {
            throw LolvitError(
                .unitsDiffer,
                [
                    "candidate": specs[0].name, "first": units[0].title, "baseline": specs[1].name,
                    "second": units[1].title,
                ])
        }
        if opened.isEmpty {
            opened = both
            for one in both { placements.append(await one.engine.placement()) }
        }
        return try await block(both)
    }

    private func open(model place: Int) async throws -> OpenedModel {
        let source = (place == 0 ? plan.candidate : plan.baseline).source
        return try await engines.open(choice(place), specs[place], source)
    }

    /// What the plan asks for; for the baseline, else, what the candidate runs on.
    private func choice(_ place: Int) -> EngineChoice? {
        if place == 0 { return plan.candidate.choice }
        if let own = plan.baseline.choice { return own }
        let same = opened.first?.report.choice ?? plan.candidate.choice
        guard let same else { return nil }
        let all = engines.choices(specs[1]).filter { $0.engine == same.engine && $0.unit == same.unit }
        return all.first { $0.precision == same.precision } ?? all.first
    }

    private func block(_ models: [OpenedModel]) async throws -> Block {
        var inputs: [ModelInput] = []
        var before: [[String: Tensor]] = []
        for one in models {
            inputs.append(try one.spec.preprocessing.prepare(photo, for: one.artifact).input)
            before.append(try await one.run(inputs[inputs.count - 1]))
        }
        let inferences = zip(models, inputs).map { model, input -> Inference in
            { _ = try await model.engine.run(input) }
        }
        return Block(inferences: inferences) { [before, inputs] in
            for (place, one) in models.enumerated() {
                let after = try await one.run(inputs[place])
                await self.note(Comparison.change(before[place], after), place)
            }
        }
    }

    private func note(_ change: String?, _ place: Int) {
        if let change { changes[place] = change }
    }

    private func read() async {
        let state = await phone.state()
        readings.append(Reading(atSeconds: Double(nanoseconds() - start) / 1e9, state: state))
    }
}
