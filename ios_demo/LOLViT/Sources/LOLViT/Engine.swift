import Foundation

/// The image that an engine runs on: pixels where the artifact normalizes them itself, else values.
public enum ModelInput: Equatable, Sendable {
    /// Levels in rows, of red, green and blue or of grey.
    case pixels([UInt8], ImageSize, ColorMode)
    case values(Tensor)
}

/// What computes a model.
public enum ComputeUnit: String, Equatable, Hashable, Sendable, CaseIterable {
    /// The Neural Engine, and the CPU for what it can't compute.
    case neuralEngine = "ane"

    /// The GPU, and the CPU for what it can't compute.
    case gpu
    case cpu

    /// As messages name it.
    public var title: String {
        switch self {
        case .neuralEngine: "Neural Engine"
        case .gpu: "GPU"
        case .cpu: "CPU"
        }
    }
}

/// A model loaded into a runtime. Runs may be asked for from any task; they are made one after another.
public protocol Engine: Sendable {
    /// The runtime's version.
    var version: String { get }

    /// What the model was opened with, for the result of a benchmark.
    var options: [String: String] { get }

    /// Runs the model once; returns its outputs by their names in the artifact.
    ///
    /// - Throws: ``LolvitError`` with the code `run_failed`.
    func run(_ input: ModelInput) async throws -> [String: Tensor]

    /// The number of operations by the compute unit that runs them; empty where it is unknown.
    func placement() async -> [String: Int]
}

/// One runtime: ``Engines`` asks it for what it can open. `CoreMLKind` of the module LOLViTCoreML and
/// `CoreAIKind` of LOLViTCoreAI are the two that exist; a test may write its own.
public protocol EngineKind: Sendable {
    /// The format of the artifacts that it opens, as the manifest names it.
    var format: String { get }
    var title: String { get }

    /// The compute units, in the order of preference.
    var units: [ComputeUnit] { get }

    /// Why it can't open an artifact here; nil if it can.
    func missing(_ artifact: ArtifactSpec, _ unit: ComputeUnit) -> LolvitError?

    /// Compiles an artifact for this device, which may take minutes; returns the compiled model in a
    /// temporary folder, or nil where the runtime opens the artifact itself.
    ///
    /// - Throws: ``LolvitError`` with the code `compile_failed`.
    func compile(_ artifact: URL) async throws -> URL?

    /// Loads a compiled model, or an artifact that needs no compilation.
    ///
    /// - Throws: ``LolvitError`` with the code `load_failed`.
    func open(_ model: URL, _ artifact: ArtifactSpec, _ unit: ComputeUnit) async throws -> any Engine
}

/// A runtime, an artifact and a compute unit that a user may choose for a model.
public struct EngineChoice: Identifiable, Hashable, Sendable {
    /// Stable across launches, such as `coreml/fp16/ane`.
    public var id: String { [engine, precision, unit.rawValue].filter { !$0.isEmpty }.joined(separator: "/") }

    /// The runtime, by the format of its artifacts: `coreml` or `coreai`.
    public let engine: String

    /// Such as `Core ML, fp16`.
    public let title: String

    /// Of the artifact; empty where none is packaged.
    public let precision: String
    public let unit: ComputeUnit

    /// Why it can't be used here; nil if it can.
    public let missing: LolvitError?

    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

/// A step of opening a model, which may take minutes the first time.
public enum PrewarmStep: Equatable, Sendable {
    case checkingFiles
    case compiling
    case loading(ComputeUnit)
    case checkingOutputs(ComputeUnit)
    case firstRun
    case ready

    /// Roughly how much of the work is done, from 0 to 1.
    public var share: Double {
        switch self {
        case .checkingFiles: 0
        case .compiling: 0.1
        case .loading: 0.5
        case .checkingOutputs: 0.8
        case .firstRun: 0.9
        case .ready: 1
        }
    }
}

/// Receives the steps of opening a model, on any thread.
public typealias PrewarmProgress = @Sendable (PrewarmStep) -> Void

/// A compute unit that was tried before the one that runs the model, and what was wrong with it.
public struct Fallback: Equatable, Sendable {
    public let unit: ComputeUnit
    public let reason: LolvitError
}

/// Whether the model computed what it did when it was exported.
public enum SelfCheckOutcome: Equatable, Sendable {
    /// The signal-to-noise ratio of the worst output, in dB.
    case passed(snrDb: Double)

    /// By an earlier launch, on this version of the system.
    case passedBefore(snrDb: Double)

    /// The model's folder has no `self-check.json`.
    case absent
}

/// How a model was opened.
public struct OpenReport: Equatable, Sendable {
    /// What runs the model, after fallbacks.
    public let choice: EngineChoice

    /// The compute units that were tried before; an app shows them.
    public let fallbacks: [Fallback]
    public let selfCheck: SelfCheckOutcome

    /// Whether the model was compiled now, rather than by an earlier launch.
    public let compiledNow: Bool

    /// Milliseconds of loading the compiled model, and of the first inference after that.
    public let loadMs: Double
    public let firstMs: Double
}

/// A model that is ready to run.
public struct OpenedModel: Sendable {
    public let spec: ModelSpec
    public let artifact: ArtifactSpec
    public let engine: any Engine
    public let report: OpenReport

    /// Runs the model once; returns its outputs by the names, and in the layouts, of
    /// ``ModelSpec/outputs``.
    ///
    /// - Throws: ``LolvitError`` if the runtime failed, or an output is missing.
    public func run(_ input: ModelInput) async throws -> [String: Tensor] {
        try spec.outputs(of: artifact, from: try await engine.run(input))
    }
}

extension ModelSpec {
    func outputs(of artifact: ArtifactSpec, from found: [String: Tensor]) throws -> [String: Tensor] {
        var named: [String: Tensor] = [:]
        for (own, signature) in zip(artifact.outputs, outputs) {
            guard let tensor = found[own.name], tensor.shape == own.shape else {
                throw LolvitError(
                    .outputMismatch,
                    [
                        "output": own.name, "expected": shapeText(own.shape),
                        "found": found[own.name].map { shapeText($0.shape) } ?? "missing",
                    ])
            }
            named[signature.name] = tensor.arranged(own.layout, as: signature.layout)
        }
        return named
    }
}
