import LOLViT

/// What the app does just now.
public enum Stage: Equatable, Sendable {
    case readingModels
    case opening(PrewarmStep)
    case readingPhoto
    case predicting
    case timing
    case live
    case idle
}

/// A model of the app; without `spec`, `problem` is why it can't be read.
public struct ModelEntry: Equatable, Sendable, Identifiable {
    public let source: ModelSource
    public let spec: ModelSpec?
    public let problem: Problem?

    public var id: String { source.folder.lastPathComponent }
    public var title: String { spec?.name ?? id }

    init(_ source: ModelSource) {
        self.source = source
        do {
            spec = try ModelSpec.load(source)
            problem = nil
        } catch {
            spec = nil
            problem = Problem(error, title: .modelTitle)
        }
    }
}

/// What a model found in a photo.
public enum Outcome: Equatable, Sendable {
    case classes([Score])
    case objects([Detection])
    case map(SegmentationMap)
}

/// A prediction, with the milliseconds around the model's own.
public struct ShownResult: Equatable, Sendable {
    public let outcome: Outcome
    public let preprocessMs: Double
    public let postprocessMs: Double
}

/// Where a model runs: the engine after fallbacks, and what the self-check said.
public struct OpenedOn: Equatable, Sendable {
    /// A compute unit that was tried before, and why it is not used.
    public struct Tried: Equatable, Sendable {
        public let unit: ComputeUnit
        public let reason: Message
    }

    public let choice: EngineChoice
    public let tried: [Tried]
    public let selfCheck: Message

    init(_ report: OpenReport) {
        choice = report.choice
        tried = report.fallbacks.map { Tried(unit: $0.unit, reason: .verbatim($0.reason)) }
        selfCheck =
            switch report.selfCheck {
            case .passed(let decibels):
                Message(.selfCheckPassed, .text(Figures.fixed(decibels, digits: 0)))
            case .passedBefore(let decibels):
                Message(.selfCheckPassedBefore, .text(Figures.fixed(decibels, digits: 0)))
            case .absent: Message(.selfCheckAbsent)
            }
    }
}

/// All that the main screen shows, at one moment.
public struct Screen: Equatable, Sendable {
    public var stage = Stage.readingModels
    public var models: [ModelEntry] = []
    public var modelID: ModelEntry.ID?
    public var engines: [EngineChoice] = []
    public var engineID: EngineChoice.ID?
    public var openedOn: OpenedOn?
    public var photo: Photo?
    public var result: ShownResult?
    public var latency: Latency?
    public var problem: Problem?

    public init() {}

    public var model: ModelEntry? { models.first { $0.id == modelID } }
    public var engine: EngineChoice? { engines.first { $0.id == engineID } }

    public var isLive: Bool { stage == .live }

    /// Whether a task runs that "Cancel" ends.
    public var isBusy: Bool { stage != .idle && stage != .live }

    /// What runs now, for a progress view; nil where there is nothing to say.
    public var progress: Message? {
        switch stage {
        case .idle, .live: nil
        case .readingModels: Message(.readingModels)
        case .readingPhoto: Message(.readingPhoto)
        case .predicting: Message(.predicting)
        case .timing: Message(.timing)
        case .opening(let step): Message(opening: step)
        }
    }

    /// The completed share of the opening of a model; nil where it is unknown.
    public var share: Double? {
        if case .opening(let step) = stage { step.share } else { nil }
    }

    /// Whether the shown prediction is meaningless, because the weights are random.
    public var isUntrained: Bool { result != nil && model?.spec?.trained == false }
}

extension Message {
    init(opening step: PrewarmStep) {
        switch step {
        case .checkingFiles: self.init(.checkingFiles)
        case .compiling: self.init(.compiling)
        case .loading(let unit): self.init(.loading, .words(unit.words))
        case .checkingOutputs(let unit): self.init(.checkingOutputs, .words(unit.words))
        case .firstRun, .ready: self.init(.firstRun)
        }
    }
}

extension ComputeUnit {
    /// Its name in the catalogue.
    public var words: Words {
        switch self {
        case .neuralEngine: .neuralEngine
        case .gpu: .gpu
        case .cpu: .cpu
        }
    }
}

extension ModelTask {
    /// Its name in the catalogue.
    public var words: Words {
        switch self {
        case .classification: .taskClassification
        case .detection: .taskDetection
        case .segmentation: .taskSegmentation
        }
    }
}

extension EngineChoice {
    /// Engine and compute unit, such as "Core ML, fp16 on the Neural Engine".
    public var name: Message { Message(.engineOnUnit, .text(title), .words(unit.words)) }

    /// Why it can't be used here; nil if it can.
    public var reason: Message? { missing.map(Message.verbatim) }
}
