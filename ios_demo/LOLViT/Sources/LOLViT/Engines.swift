import Foundation

/// The engines that an app has, and what each can do with a model.
///
/// ```swift
/// let engines = Engines([CoreMLKind(), CoreAIKind()])
/// for choice in engines.choices(spec) {
///     print(choice.title, choice.unit.title, choice.missing?.localizedDescription ?? "")
/// }
/// ```
public struct Engines: Sendable {
    /// A model in memory takes about this many times its artifact's size while it is loaded.
    private static let memoryFactor = 3
    private static let formats = ["coreml": "Core ML", "coreai": "Core AI"]

    private let kinds: [any EngineKind]
    private let cache: ModelCache
    private let freeMemory: @Sendable () -> Int?

    /// - Parameters:
    ///   - kinds: the runtimes that the app links, in the order of preference.
    ///   - cache: where compiled models are kept.
    public init(_ kinds: [any EngineKind], cache: ModelCache = .standard) {
        self.init(kinds, cache: cache, freeMemory: availableMemory)
    }

    /// - Parameter freeMemory: the bytes that the app may still use; nil where that is unknown.
    init(_ kinds: [any EngineKind], cache: ModelCache, freeMemory: @escaping @Sendable () -> Int?) {
        self.kinds = kinds
        self.cache = cache
        self.freeMemory = freeMemory
    }

    /// Lists the engines in the order of preference: one entry for each compute unit of each packaged
    /// artifact. A runtime without any has one entry, with the reason.
    public func choices(_ spec: ModelSpec) -> [EngineChoice] {
        let absent = Self.formats.keys.sorted().reversed().filter { format in
            !kinds.contains { $0.format == format }
        }
        return kinds.flatMap { choices($0, spec) } + absent.map(Self.absent)
    }

    /// Opens a model: checks its files, compiles it unless an earlier launch has, loads it, and checks
    /// its outputs once for each version of the system. Where a compute unit fails, the next one of the
    /// engine is taken, and the report says so.
    ///
    /// - Parameters:
    ///   - choice: one of ``choices(_:)``; nil takes the first that is available.
    ///   - progress: called with each step that begins.
    /// - Throws: ``LolvitError`` if the choice is missing, the artifact is damaged, or no compute unit
    ///   runs it; `CancellationError`.
    public func open(
        _ choice: EngineChoice?, _ spec: ModelSpec, _ source: ModelSource,
        progress: @escaping PrewarmProgress = { _ in }
    ) async throws -> OpenedModel {
        let chosen = try chosen(choice, spec)
        progress(.checkingFiles)
        let url = try source.checked(chosen.artifact)
        try requireMemory(chosen.artifact, url)
        let check = try SelfCheck.load(source, spec, chosen.artifact)
        let opening = Opening(
            chosen: chosen, spec: spec, url: url, check: check, cache: cache, progress: progress)
        return try await opening.open()
    }

    private func choices(_ kind: any EngineKind, _ spec: ModelSpec) -> [EngineChoice] {
        let packaged = Self.packaged(kind, spec)
        if packaged.isEmpty {
            let missing = LolvitError(.engineNotPackaged, ["model": spec.name, "engine": kind.title])
            return [
                EngineChoice(
                    engine: kind.format, title: kind.title, precision: "", unit: kind.units.first ?? .cpu,
                    missing: missing)
            ]
        }
        return packaged.flatMap { artifact in
            kind.units.map { Self.choice(kind, artifact, $0, spec) }
        }
    }

    private static func choice(
        _ kind: any EngineKind, _ artifact: ArtifactSpec, _ unit: ComputeUnit, _ spec: ModelSpec
    ) -> EngineChoice {
        EngineChoice(
            engine: kind.format, title: "\(kind.title), \(artifact.precision)",
            precision: artifact.precision, unit: unit,
            missing: incompatibility(artifact, spec) ?? kind.missing(artifact, unit))
    }

    private static func absent(_ format: String) -> EngineChoice {
        let title = formats[format] ?? format
        return EngineChoice(
            engine: format, title: title, precision: "", unit: .cpu,
            missing: LolvitError(.engineAbsent, ["engine": title]))
    }

    private static func packaged(_ kind: any EngineKind, _ spec: ModelSpec) -> [ArtifactSpec] {
        spec.artifacts.filter { $0.format == kind.format && $0.packaged }
    }

    /// Why this library can't feed an artifact; nil if it can.
    private static func incompatibility(_ artifact: ArtifactSpec, _ spec: ModelSpec) -> LolvitError? {
        let (input, size) = (artifact.input, spec.preprocessing.size)
        let channels = spec.preprocessing.color.channels
        let expected =
            input.layout == .nhwc
            ? [1, size.height, size.width, channels] : [1, channels, size.height, size.width]
        if input.layout != .nchw && input.layout != .nhwc || input.shape != expected {
            return incompatible(artifact, "its input is \(shapeText(input.shape)), not \(shapeText(expected))")
        }
        if input.meaning != "pixels" && !(input.meaning == "normalized" && input.dtype == "float32") {
            return incompatible(artifact, "its input takes \(input.meaning) values as \(input.dtype)")
        }
        let others = artifact.outputs.filter {
            $0.dtype != "float32" && !($0.dtype == "int32" && $0.meaning == "classes")
        }
        return others.first.map { incompatible(artifact, "its output '\($0.name)' is \($0.dtype)") }
    }

    private static func incompatible(_ artifact: ArtifactSpec, _ reason: String) -> LolvitError {
        LolvitError(.engineIncompatible, ["path": artifact.path, "reason": reason])
    }

    private func chosen(_ choice: EngineChoice?, _ spec: ModelSpec) throws -> Chosen {
        let all = choices(spec)
        let wanted =
            choice.map { choice in all.first { $0.id == choice.id } }
            ?? (all.first { $0.missing == nil } ?? all.first)
        guard let found = wanted else {
            throw LolvitError(.engineUnknown, ["choice": choice?.id ?? "none", "model": spec.name])
        }
        if let missing = found.missing { throw missing }
        guard let kind = kinds.first(where: { $0.format == found.engine }),
            let artifact = Self.packaged(kind, spec).first(where: { $0.precision == found.precision })
        else { throw LolvitError(.engineUnknown, ["choice": found.id, "model": spec.name]) }
        let units = kind.units.drop { $0 != found.unit }
        return Chosen(
            kind: kind, artifact: artifact, choices: units.map { Self.choice(kind, artifact, $0, spec) })
    }

    private func requireMemory(_ artifact: ArtifactSpec, _ url: URL) throws {
        let needed = Self.memoryFactor * artifact.bytes
        guard let free = freeMemory(), free < needed else { return }
        throw LolvitError(
            .outOfMemory,
            [
                "path": url.path, "needed": String(needed / 1_000_000 + 1),
                "available": String(free / 1_000_000),
            ])
    }
}

/// An engine for an artifact, and the choices of it, from the wanted compute unit on.
private struct Chosen: Sendable {
    let kind: any EngineKind
    let artifact: ArtifactSpec
    let choices: [EngineChoice]
}

/// One model that is being opened.
private struct Opening: Sendable {
    let chosen: Chosen
    let spec: ModelSpec
    let url: URL
    let check: SelfCheck?
    let cache: ModelCache
    let progress: PrewarmProgress

    private var kind: any EngineKind { chosen.kind }
    private var artifact: ArtifactSpec { chosen.artifact }

    func open() async throws -> OpenedModel {
        var (model, compiledNow) = try await compiled()
        var fallbacks: [Fallback] = []
        for choice in chosen.choices {
            do {
                if let missing = choice.missing { throw missing }
                return try await open(model, choice, fallbacks, compiledNow)
            } catch let error as LolvitError {
                var reason = error
                if error.code == .loadFailed, !compiledNow, model != url {
                    // What an earlier launch compiled may be damaged.
                    cache.discard(artifact)
                    (model, compiledNow) = try await compiled()
                    do {
                        return try await open(model, choice, fallbacks, compiledNow)
                    } catch let second as LolvitError {
                        reason = second
                    }
                }
                fallbacks.append(Fallback(unit: choice.unit, reason: reason))
            }
        }
        if fallbacks.count == 1 { throw fallbacks[0].reason }
        let reasons = fallbacks.map(\.reason.description).joined(separator: ". ")
        throw LolvitError(.allEnginesFailed, ["path": url.path, "reasons": reasons])
    }

    /// The compiled model, and whether it was compiled now.
    private func compiled() async throws -> (URL, Bool) {
        if let kept = cache.compiled(artifact) { return (kept, false) }
        progress(.compiling)
        guard let made = try await kind.compile(url) else { return (url, false) }
        return (cache.store(made, artifact), true)
    }

    private func open(
        _ model: URL, _ choice: EngineChoice, _ fallbacks: [Fallback], _ compiledNow: Bool
    ) async throws -> OpenedModel {
        try Task.checkCancellation()
        if let check, let before = cache.checks(artifact)[choice.unit.rawValue], before < check.minSnrDb {
            throw missed(before, check, choice.unit)
        }
        progress(.loading(choice.unit))
        let (engine, loadMs) = try await timed { try await kind.open(model, artifact, choice.unit) }
        let (outcome, firstMs) = try await checked(engine, choice.unit)
        progress(.ready)
        let report = OpenReport(
            choice: choice, fallbacks: fallbacks, selfCheck: outcome, compiledNow: compiledNow,
            loadMs: loadMs, firstMs: firstMs)
        return OpenedModel(spec: spec, artifact: artifact, engine: engine, report: report)
    }

    /// Makes the first inference: the self-check's, or one on black where there is none.
    private func checked(_ engine: any Engine, _ unit: ComputeUnit) async throws
        -> (SelfCheckOutcome, Double)
    {
        let size = spec.preprocessing.size
        let count = size.height * size.width * spec.preprocessing.color.channels
        let levels = check?.levels ?? [UInt8](repeating: 0, count: count)
        let input = spec.preprocessing.input(levels, for: artifact)
        let before = cache.checks(artifact)[unit.rawValue]
        progress(check == nil || before != nil ? .firstRun : .checkingOutputs(unit))
        let (outputs, firstMs) = try await timed { try await engine.run(input) }
        _ = try spec.outputs(of: artifact, from: outputs)
        guard let check else { return (.absent, firstMs) }
        if let before { return (.passedBefore(snrDb: before), firstMs) }
        let found = check.worst(outputs, artifact)
        cache.record(found, artifact, unit)
        guard found >= check.minSnrDb else { throw missed(found, check, unit) }
        return (.passed(snrDb: found), firstMs)
    }

    private func missed(_ found: Double, _ check: SelfCheck, _ unit: ComputeUnit) -> LolvitError {
        LolvitError(
            .selfCheckMissed,
            [
                "path": artifact.path, "unit": unit.title, "snr_db": oneDigit(found),
                "min_snr_db": oneDigit(check.minSnrDb),
            ])
    }

    private func oneDigit(_ value: Double) -> String {
        String(format: "%.1f", value)
    }
}

/// The result of an operation, and the milliseconds that it took.
func timed<Value: Sendable>(_ operation: @Sendable () async throws -> Value) async rethrows
    -> (Value, Double)
{
    let start = nanoseconds()
    let value = try await operation()
    return (value, Double(max(nanoseconds() - start, 1)) / 1e6)
}
