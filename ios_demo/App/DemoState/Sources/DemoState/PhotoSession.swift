import LOLViT

/// Reads and decodes a photo; off the main thread.
public typealias PhotoInput = @Sendable () async throws -> Photo

/// The choices that outlive the process.
public struct SavedChoices: Codable, Equatable, Sendable {
    public var model: String?
    public var engine: String?

    public init(model: String? = nil, engine: String? = nil) {
        self.model = model
        self.engine = engine
    }
}

/// The state and the work of the main screen. Views show ``screen`` and call these functions; models
/// work on their own actors, never on the main thread.
@MainActor
public final class PhotoSession {
    private static let runs = 20
    private static let leastRuns = 2
    private static let timing = Duration.seconds(1)

    public private(set) var screen = Screen() {
        didSet { onChange(screen) }
    }

    /// Gets every change of ``screen``.
    public var onChange: @MainActor (Screen) -> Void = { _ in }

    /// Gets the choices that should be kept.
    public var onChoice: @MainActor (SavedChoices) -> Void = { _ in }

    /// What camera frames must pass.
    public nonisolated let gate = FrameGate()

    /// The task that runs, or ran last.
    public private(set) var work: Task<Void, Never>?

    private let models: @Sendable () -> [ModelSource]
    private let engines: Engines
    private var choices = SavedChoices()
    private var opened: (key: String, model: OpenModel)?
    private var input: PhotoInput?
    private var latencies = LatencyWindow()
    private var job = 0

    /// - Parameters:
    ///   - models: lists the models of the app; not called on the main thread.
    ///   - engines: those that the app links.
    public init(engines: Engines, models: @escaping @Sendable () -> [ModelSource]) {
        self.engines = engines
        self.models = models
    }

    /// Reads the models, opens the one that was chosen last, or the first that can be read.
    public func start(_ choices: SavedChoices = SavedChoices()) {
        self.choices = choices
        let models = models
        perform(.readingModels, title: .modelTitle) { [self] job in
            let found = await Task.detached { models().map(ModelEntry.init) }.value
            guard isCurrent(job) else { return }
            screen.models = found
            chooseModel(choices.model)
        }
    }

    /// Opens the model of that id, or the first one that can be read, and predicts again.
    public func chooseModel(_ id: ModelEntry.ID?) {
        let model =
            screen.models.first { $0.id == id } ?? screen.models.first { $0.spec != nil }
            ?? screen.models.first
        screen.modelID = model?.id
        screen.engines = model?.spec.map(engines.choices) ?? []
        screen.result = nil
        choices.model = model?.id
        chooseEngine(choices.engine)
    }

    /// Opens the model in the engine of that id, or in the first one that is not missing.
    public func chooseEngine(_ id: EngineChoice.ID?) {
        let usable = screen.engines.filter { $0.missing == nil }
        let engine = usable.first { $0.id == id } ?? usable.first
        screen.engineID = engine?.id
        screen.openedOn = nil
        screen.latency = nil
        choices.engine = engine?.id
        onChoice(choices)
        if screen.isLive { startLive() } else { again() }
    }

    /// Shows a photo and predicts.
    public func show(_ photo: @escaping PhotoInput) {
        input = photo
        screen.photo = nil
        screen.result = nil
        screen.latency = nil
        again()
    }

    /// Opens the model, then takes frames.
    public func startLive() {
        input = nil
        gate.close()
        guard let chosen = selected() else { return }
        screen.photo = nil
        screen.result = nil
        perform(.readingModels, then: .live, title: .engineTitle) { [self] job in
            _ = try await open(chosen, job)
            guard isCurrent(job) else { return }
            latencies = LatencyWindow()
            gate.open()
        }
    }

    /// Predicts a frame that has entered ``gate``.
    public func predict(frame: Photo) {
        guard screen.isLive, let chosen = selected() else { return gate.finish() }
        let job = job
        work = Task {
            defer { gate.finish() }
            do {
                try await predictOnce(try await open(chosen, job), frame, job)
            } catch {
                if isCurrent(job) { fail(error, title: .engineTitle) }
            }
        }
    }

    /// Ends the live camera. Its last frame stays, to be predicted by other engines too.
    public func stopLive(last: Photo?) {
        guard screen.isLive else { return }
        cancel()
        screen.photo = last
        if let last { input = { last } }
    }

    /// Ends what runs; what is known stays on the screen.
    public func cancel() {
        work?.cancel()
        job += 1
        gate.close()
        screen.stage = .idle
    }

    /// Ends what runs, and shows why.
    public func fail(_ error: any Error, title: Words) {
        cancel()
        screen.problem = Problem(error, title: title)
    }

    /// Does again what failed.
    public func tryAgain() {
        if screen.models.isEmpty { start(choices) } else { again() }
    }

    /// Closes the model where nothing runs: the system wants memory.
    public func freeMemory() {
        if screen.stage == .idle { opened = nil }
    }

    private struct Chosen {
        let model: ModelEntry
        let spec: ModelSpec
        let engine: EngineChoice

        var key: String { "\(model.id) \(engine.id)" }
    }

    /// The model and engine to work with; nil where one is missing, which the screen then shows.
    private func selected() -> Chosen? {
        guard let model = screen.model else {
            return refuse(Problem(.noModelTitle, Message(.noModel)))
        }
        guard let spec = model.spec else { return refuse(model.problem) }
        guard let engine = screen.engine else {
            return refuse(Problem(.engineTitle, Message(.noEngine)))
        }
        return Chosen(model: model, spec: spec, engine: engine)
    }

    private func refuse(_ problem: Problem?) -> Chosen? {
        cancel()
        screen.problem = problem
        return nil
    }

    private func again() {
        guard let chosen = selected() else { return }
        let input = input
        let stage: Stage = input == nil ? .opening(.checkingFiles) : .readingPhoto
        perform(stage, title: .engineTitle) { [self] job in
            var photo: Photo?
            if let input {
                photo = try await decoded(input)
                guard isCurrent(job) else { return }
                screen.photo = photo
            }
            let model = try await open(chosen, job)
            if let photo { try await predictRepeatedly(model, photo, job) }
        }
    }

    /// A failure of decoding that is none of the library's is about the photo all the same.
    private func decoded(_ input: @escaping PhotoInput) async throws -> Photo {
        try await Task.detached { try await input() }.value
    }

    private func open(_ chosen: Chosen, _ job: Int) async throws -> OpenModel {
        if let opened, opened.key == chosen.key { return opened.model }
        opened = nil  // before the next one is in memory
        let model = try OpenModel(
            chosen.model, chosen.spec.task, engines: engines, choice: chosen.engine)
        let report = try await model.prewarm { step in
            Task { @MainActor [weak self] in self?.show(step, job) }
        }
        try Task.checkCancellation()
        guard isCurrent(job) else { throw CancellationError() }
        opened = (chosen.key, model)
        screen.openedOn = OpenedOn(report)
        return model
    }

    private func show(_ step: PrewarmStep, _ job: Int) {
        guard isCurrent(job), screen.isBusy, screen.openedOn == nil else { return }
        screen.stage = .opening(step)
    }

    private func predictRepeatedly(_ model: OpenModel, _ photo: Photo, _ job: Int) async throws {
        guard isCurrent(job) else { return }
        latencies = LatencyWindow()
        screen.stage = .predicting
        let end = ContinuousClock.now + Self.timing
        for run in 0...Self.runs where run < Self.leastRuns || ContinuousClock.now < end {
            guard isCurrent(job) else { return }
            try await predictOnce(model, photo, job)
            if isCurrent(job) { screen.stage = .timing }
        }
    }

    private func predictOnce(_ model: OpenModel, _ photo: Photo, _ job: Int) async throws {
        let (result, milliseconds) = try await model.predict(photo)
        guard isCurrent(job) else { return }
        screen.result = result
        screen.latency = latencies.add(milliseconds)
    }

    /// Cancels what runs, and does a task; its error becomes a problem of that title.
    private func perform(
        _ stage: Stage, then last: Stage = .idle, title: Words,
        _ task: @escaping @MainActor (Int) async throws -> Void
    ) {
        work?.cancel()
        job += 1
        let mine = job
        screen.stage = stage
        screen.problem = nil
        work = Task {
            do {
                try await task(mine)
                if isCurrent(mine) { screen.stage = last }
            } catch {
                if isCurrent(mine) { fail(error, title: title) }
            }
        }
    }

    private func isCurrent(_ job: Int) -> Bool { job == self.job }
}
