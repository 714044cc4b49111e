import Foundation
import LOLViT

/// An engine that both models of a comparison can run in, or why one of them can't.
public struct SharedEngine: Equatable, Sendable, Identifiable {
    public let choice: EngineChoice
    public let reason: Message?

    public var id: EngineChoice.ID { choice.id }
}

/// All that the benchmark's screen shows, at one moment.
public struct BenchmarkScreen: Equatable, Sendable {
    public var models: [ModelEntry] = []
    public var candidateID: ModelEntry.ID?
    public var baselineID: ModelEntry.ID?
    public var engines: [SharedEngine] = []
    public var engineID: EngineChoice.ID?

    /// What runs now; nil where nothing does.
    public var progress: Message?
    public var share: Double?
    public var result: ShownComparison?

    /// Where the result's JSON is, to be shared.
    public var file: URL?
    public var problem: Problem?

    public init() {}

    public var isRunning: Bool { progress != nil }
    public var candidate: ModelEntry? { models.first { $0.id == candidateID } }
    public var baseline: ModelEntry? { models.first { $0.id == baselineID } }

    /// Why nothing can be measured; nil where it can.
    public var obstacle: Message? {
        if models.count < 2 { return Message(.benchmarkNeedsTwo, .count(models.count)) }
        if candidateID == baselineID { return Message(.benchmarkSame) }
        return engineID == nil ? Message(.benchmarkNoEngine) : nil
    }
}

/// The state and the work of the benchmark's screen: two models, interleaved.
@MainActor
public final class BenchmarkSession {
    /// Measures a plan; `Comparison.run`, but for tests.
    public typealias Measure = @Sendable (
        ComparisonPlan, Engines, @escaping @Sendable (ComparisonStep) -> Void
    ) async throws -> ResultDocument

    public private(set) var screen = BenchmarkScreen() {
        didSet { onChange(screen) }
    }

    /// Gets every change of ``screen``.
    public var onChange: @MainActor (BenchmarkScreen) -> Void = { _ in }

    /// The task that runs, or ran last.
    public private(set) var work: Task<Void, Never>?

    private let models: @Sendable () -> [ModelSource]
    private let engines: Engines
    private let folder: URL
    private let measure: Measure
    private var job = 0

    /// - Parameters:
    ///   - models: lists the models of the app; not called on the main thread.
    ///   - folder: where results are written; the Files app shows that of the app's documents.
    ///   - measure: measures a plan.
    public init(
        engines: Engines, folder: URL, models: @escaping @Sendable () -> [ModelSource],
        measure: @escaping Measure
    ) {
        self.engines = engines
        self.folder = folder
        self.models = models
        self.measure = measure
    }

    /// Reads the models, and chooses a LOLViT as the candidate and another one as the baseline.
    public func start() {
        guard screen.models.isEmpty else { return }
        let models = models
        work = Task {
            let found = await Task.detached { models().map(ModelEntry.init) }.value
            let readable = found.filter { $0.spec != nil }
            let candidate = readable.first { $0.title.hasPrefix("lolvit") } ?? readable.first
            screen.models = readable
            choose(
                candidate: candidate?.id, baseline: readable.first { $0.id != candidate?.id }?.id)
        }
    }

    public func choose(candidate: ModelEntry.ID?, baseline: ModelEntry.ID?) {
        screen.candidateID = candidate
        screen.baselineID = baseline
        screen.engines = sharedEngines()
        choose(engine: screen.engineID)
    }

    /// Chooses the engine of that id, or the first one that runs both models.
    public func choose(engine id: EngineChoice.ID?) {
        let usable = screen.engines.filter { $0.reason == nil }
        screen.engineID = (usable.first { $0.id == id } ?? usable.first)?.id
        screen.result = nil
        screen.file = nil
    }

    /// Measures the two models, and writes the result.
    public func run() {
        guard screen.obstacle == nil, let candidate = screen.candidate,
            let baseline = screen.baseline,
            let engine = screen.engines.first(where: { $0.id == screen.engineID })
        else { return }
        let plan = ComparisonPlan(
            candidate: (candidate.source, engine.choice), baseline: (baseline.source, engine.choice))
        cancel()
        let mine = job
        screen.progress = Message(.benchmarkOpening)
        screen.problem = nil
        screen.result = nil
        screen.file = nil
        work = Task { [engines, measure] in
            do {
                let document = try await measure(plan, engines) { step in
                    Task { @MainActor [weak self] in self?.show(step, mine) }
                }
                let json = try document.json()
                let shown = try ShownComparison(json)
                guard mine == job else { return }
                screen.progress = nil
                screen.result = shown
                write(json, shown)
            } catch {
                guard mine == job else { return }
                screen.progress = nil
                screen.problem = Problem(error, title: .benchmarkTitle)
            }
        }
    }

    /// Ends a measurement; its runs are discarded.
    public func cancel() {
        work?.cancel()
        job += 1
        screen.progress = nil
        screen.share = nil
    }

    /// The app left the screen: what runs in the background is no measurement.
    public func leave() {
        guard screen.isRunning else { return }
        cancel()
        screen.problem = Problem(.benchmarkTitle, Message(.benchmarkLeft), action: .tryAgain)
    }

    private func show(_ step: ComparisonStep, _ job: Int) {
        guard job == self.job, screen.isRunning else { return }
        screen.progress = Message(step)
        screen.share = step.share
    }

    private func sharedEngines() -> [SharedEngine] {
        guard let candidate = screen.candidate?.spec, let baseline = screen.baseline?.spec else {
            return []
        }
        let others = engines.choices(baseline)
        return engines.choices(candidate).map { choice in
            if let other = others.first(where: { $0.id == choice.id }) {
                return SharedEngine(choice: choice, reason: choice.reason ?? other.reason)
            }
            let absent = others.first { $0.engine == choice.engine && $0.missing != nil }
            let reason = choice.reason ?? absent?.reason ?? Message(.benchmarkNoEngine)
            return SharedEngine(choice: choice, reason: reason)
        }
    }

    private func write(_ json: Data, _ shown: ShownComparison) {
        let file = folder.appendingPathComponent(shown.fileName)
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try json.write(to: file, options: .atomic)
            screen.file = file
        } catch {
            screen.problem = Problem(
                .benchmarkTitle, Message(.benchmarkUnshared, .text(error.localizedDescription)))
        }
    }
}

extension Message {
    init(_ step: ComparisonStep) {
        switch step {
        case .opening: self.init(.benchmarkOpening)
        case .measuring(let done, let planned):
            self.init(.benchmarkRounds, .count(done), .count(planned))
        }
    }
}
