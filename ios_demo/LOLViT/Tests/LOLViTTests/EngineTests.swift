import Foundation
import LOLViTFixtures
import Testing

@testable import LOLViT

/// A runtime that answers with what a test gives it.
struct FakeKind: EngineKind {
    typealias Answer = @Sendable (ModelInput, ComputeUnit) throws -> [String: Tensor]

    var format = "coreml"
    var title = "Fake"
    var units: [ComputeUnit] = [.neuralEngine, .gpu, .cpu]
    var absent: Set<ComputeUnit> = []
    var loadError: (@Sendable (URL) -> String?)?
    let calls = Calls()
    let answer: Answer

    func missing(_ artifact: ArtifactSpec, _ unit: ComputeUnit) -> LolvitError? {
        absent.contains(unit) ? LolvitError(.computeUnitAbsent, ["unit": unit.title]) : nil
    }

    func compile(_ artifact: URL) async throws -> URL? {
        calls.add("compile")
        let made = FileManager.default.temporaryDirectory
            .appendingPathComponent("\(UUID().uuidString).compiled")
        try FileManager.default.createDirectory(at: made, withIntermediateDirectories: true)
        return made
    }

    func open(_ model: URL, _ artifact: ArtifactSpec, _ unit: ComputeUnit) async throws -> any Engine {
        calls.add("open \(unit.rawValue)")
        if let reason = loadError?(model) { throw LolvitError(.loadFailed, ["reason": reason]) }
        return FakeEngine(unit: unit, answer: answer)
    }

    struct FakeEngine: Engine {
        let version = "1"
        let unit: ComputeUnit
        let answer: Answer
        var options: [String: String] { ["compute_units": unit.rawValue] }

        func run(_ input: ModelInput) async throws -> [String: Tensor] { try answer(input, unit) }

        func placement() async -> [String: Int] { [unit.rawValue: 1] }
    }
}

/// What was called, in order.
final class Calls: @unchecked Sendable {
    private let lock = NSLock()
    private var names: [String] = []

    var all: [String] { lock.withLock { names } }

    func add(_ name: String) { lock.withLock { names.append(name) } }
}

/// A copy of the exported classifier, with a self-check made of Python's outputs for its first photo.
struct CheckedModel {
    let temporary: TemporaryFolder
    let source: ModelSource
    let spec: ModelSpec
    let artifact: ArtifactSpec
    let photo: Photo
    let outputs: [String: Tensor]

    init() throws {
        temporary = try TemporaryFolder()
        let predictions = try #require(try Fixtures.predictions().first { $0.runtime == "coreml-reference" })
        source = try temporary.copy(predictions)
        spec = try ModelSpec.load(source)
        artifact = try #require(spec.artifacts.first { $0.path == predictions.artifact })
        let first = predictions.photos[0]
        photo = try Fixtures.photo(first.size, first.decoded)
        outputs = try Fixtures.outputs(first, artifact)
        try writeSelfCheck { _ in }
    }

    var cache: ModelCache { ModelCache(folder: temporary.url.appendingPathComponent("cache"), build: "1") }

    func engines(_ kind: FakeKind, build: String = "1", free: Int? = nil) -> Engines {
        let cache = ModelCache(folder: cache.folder, build: build)
        return Engines([kind], cache: cache) { free }
    }

    func writeSelfCheck(_ change: (inout [String: Any]) -> Void) throws {
        func base64(_ values: [Float]) -> String {
            values.withUnsafeBytes { Data($0) }.base64EncodedString()
        }
        var document: [String: Any] = [
            "schema_version": 1, "kind": "lolvit-self-check",
            "size": [spec.preprocessing.size.height, spec.preprocessing.size.width],
            "levels": Data(try spec.preprocessing.levels(photo)).base64EncodedString(),
            "artifacts": [
                [
                    "path": artifact.path, "sha256": artifact.sha256, "min_snr_db": 30.0,
                    "outputs": outputs.map { name, tensor in
                        ["name": name, "shape": tensor.shape, "values": base64(tensor.values)]
                    },
                ]
            ],
        ]
        change(&document)
        let data = try JSONSerialization.data(withJSONObject: document)
        try data.write(to: source.folder.appendingPathComponent("self-check.json"))
    }

    /// The outputs of another model.
    var wrong: [String: Tensor] {
        outputs.mapValues { Tensor(shape: $0.shape, values: $0.values.map { -$0 }) }
    }
}

/// Opening a model: the choice, the self-check, fallbacks, the cache.
@Suite struct EngineTests {
    private let model: CheckedModel

    init() throws { model = try CheckedModel() }

    private func open(_ kind: FakeKind, choice: String? = nil, build: String = "1", free: Int? = nil)
        async throws -> OpenReport
    {
        let engines = model.engines(kind, build: build, free: free)
        let chosen = engines.choices(model.spec).first { $0.id == choice }
        return try await engines.open(chosen, model.spec, model.source).report
    }

    private func kind(_ answer: @escaping FakeKind.Answer) -> FakeKind { FakeKind(answer: answer) }

    private func good() -> FakeKind { kind { [outputs = model.outputs] _, _ in outputs } }

    @Test func choicesAreListedWithWhatIsMissing() throws {
        var kind = good()
        kind.absent = [.gpu]
        let found = model.engines(kind).choices(model.spec)
        #expect(found.map(\.id) == ["coreml/fp16/ane", "coreml/fp16/gpu", "coreml/fp16/cpu", "coreai/cpu"])
        #expect(found[0].title == "Fake, fp16" && found[0].missing == nil)
        #expect(found[1].missing?.description == "this device has no GPU; choose another compute unit")
        #expect(found[3].missing?.code == .engineAbsent)
        try FileManager.default.removeItem(at: model.source.url(model.artifact.path))
        let spec = try ModelSpec.load(model.source)
        #expect(model.engines(kind).choices(spec).first?.missing?.code == .engineNotPackaged)
    }

    @Test func theSelfCheckIsMadeOnceAndTheModelIsCompiledOnce() async throws {
        let kind = good()
        let first = try await open(kind)
        #expect(first.selfCheck == .passed(snrDb: 300) && first.compiledNow && first.fallbacks.isEmpty)
        #expect(first.choice.unit == .neuralEngine && first.loadMs > 0 && first.firstMs > 0)
        let second = try await open(kind)
        #expect(second.selfCheck == .passedBefore(snrDb: 300) && !second.compiledNow)
        #expect(kind.calls.all == ["compile", "open ane", "open ane"])
        let updated = try await open(kind, build: "2")
        #expect(updated.selfCheck == .passed(snrDb: 300) && updated.compiledNow)
    }

    @Test func aUnitThatComputesSomethingElseIsLeftForTheNextOne() async throws {
        let kind = kind { [outputs = model.outputs, wrong = model.wrong] _, unit in
            unit == .neuralEngine ? wrong : outputs
        }
        for _ in 1...2 {
            let report = try await open(kind)
            #expect(report.choice.unit == .gpu)
            #expect(report.fallbacks.map(\.unit) == [.neuralEngine])
            #expect(
                report.fallbacks[0].reason.description
                    == "\(model.artifact.path): on the Neural Engine its outputs are not those that it was"
                    + " exported with: -6.0 dB, threshold 30.0 dB; choose another compute unit")
        }
        // The second launch knew it.
        #expect(kind.calls.all == ["compile", "open ane", "open gpu", "open gpu"])
    }

    @Test func whereNoUnitPassesEachReasonIsGiven() async throws {
        let kind = kind { [wrong = model.wrong] _, _ in wrong }
        let error = await lolvitError { try await open(kind) }
        #expect(error?.code == .allEnginesFailed)
        for unit in ["Neural Engine", "GPU", "CPU"] { #expect(error?.description.contains(unit) == true) }
    }

    @Test func aChosenUnitFallsBackToThoseAfterItOnly() async throws {
        let wrong = kind { [wrong = model.wrong] _, _ in wrong }
        let error = await lolvitError {
            try await open(wrong, choice: "coreml/fp16/cpu")
        }
        #expect(error?.code == .selfCheckMissed)
        #expect(wrong.calls.all == ["compile", "open cpu"])
    }

    @Test func aFailureThatMayPassIsNotRemembered() async throws {
        let attempts = Calls()
        let kind = kind { [outputs = model.outputs] _, unit in
            attempts.add(unit.rawValue)
            if attempts.all == ["ane"] { throw LolvitError(.runFailed, ["reason": "in the background"]) }
            return outputs
        }
        #expect(try await open(kind).choice.unit == .gpu)
        #expect(try await open(kind).choice.unit == .neuralEngine)
    }

    @Test func aDamagedCompiledModelIsCompiledAgain() async throws {
        let kind = good()
        _ = try await open(kind)
        let kept = try #require(model.cache.compiled(model.artifact))
        try Data().write(to: kept.appendingPathComponent("damaged"))
        var second = good()
        second.loadError = { url in
            FileManager.default.fileExists(atPath: url.appendingPathComponent("damaged").path)
                ? "damaged" : nil
        }
        let report = try await open(second)
        #expect(report.choice.unit == .neuralEngine && report.compiledNow && report.fallbacks.isEmpty)
        #expect(second.calls.all == ["open ane", "compile", "open ane"])
    }

    @Test func withoutASelfCheckTheModelRunsUnchecked() async throws {
        try FileManager.default.removeItem(at: model.source.url("self-check.json"))
        #expect(try await open(good()).selfCheck == .absent)
    }

    @Test(arguments: [
        ("kind", "other"), ("schema_version", 2), ("size", [1, 1]), ("levels", ""), ("levels", 7),
        ("artifacts", "none"),
    ] as [(String, any Sendable)])
    func aDamagedSelfCheckIsAnError(field: String, value: any Sendable) async throws {
        try model.writeSelfCheck { $0[field] = value }
        let error = await lolvitError { try await open(good()) }
        #expect(error?.code == .selfCheckInvalid)
    }

    @Test(arguments: [("sha256", "00"), ("outputs", [] as [Int])] as [(String, any Sendable)])
    func aSelfCheckOfAnotherArtifactIsAnError(field: String, value: any Sendable) async throws {
        try model.writeSelfCheck { document in
            var artifacts = document["artifacts"] as? [[String: Any]] ?? []
            artifacts[0][field] = value
            document["artifacts"] = artifacts
        }
        let error = await lolvitError { try await open(good()) }
        #expect(error?.code == .selfCheckInvalid)
    }

    @Test func tooLittleMemoryIsSaidBeforeAnythingIsLoaded() async throws {
        let kind = good()
        let error = await lolvitError { try await open(kind, free: 1_000_000) }
        #expect(error?.code == .outOfMemory && kind.calls.all.isEmpty)
        #expect(error?.description.contains("1 MB are free; close other apps") == true)
        _ = try await open(kind, free: 1 << 30)
    }

    @Test func outputsOfAnotherShapeAreAnError() async throws {
        let kind = kind { _, _ in ["logits": Tensor(shape: [1], values: [0])] }
        let error = await lolvitError { try await open(kind, choice: "coreml/fp16/cpu") }
        #expect(error?.code == .outputMismatch)
    }

    @Test func anEngineThatIsMissingOrUnknownIsAnError() async throws {
        var kind = good()
        kind.absent = [.neuralEngine, .gpu, .cpu]
        var error = await lolvitError { try await open(kind) }
        #expect(error?.code == .computeUnitAbsent)
        let other = EngineChoice(
            engine: "coreml", title: "", precision: "w4", unit: .cpu, missing: nil)
        error = await lolvitError {
            try await model.engines(good()).open(other, model.spec, model.source)
        }
        #expect(error?.code == .engineUnknown)
    }

    @Test func aFolderThatCantBeWrittenKeepsNothing() async throws {
        try model.temporary.write("a file, not a folder", "cache")
        let kind = good()
        #expect(try await open(kind).compiledNow)
        #expect(try await open(kind).compiledNow)
    }
}

/// Predictions by the actor.
@Suite struct PredictorTests {
    private let model: CheckedModel

    init() throws { model = try CheckedModel() }

    @Test func predictionsComeWithTheirTimesAndSteps() async throws {
        let kind = FakeKind { [outputs = model.outputs] _, _ in outputs }
        let classifier = try Classifier(model.source, engines: model.engines(kind))
        let steps = Calls()
        let report = try await classifier.prewarm { steps.add("\($0.share)") }
        #expect(report.choice.id == "coreml/fp16/ane")
        #expect(steps.all == ["0.0", "0.1", "0.5", "0.8", "1.0"])
        let result = try await classifier.predict(model.photo, .init(top: 2))
        #expect(result.prediction.top.count == 2 && result.choice == report.choice)
        #expect(result.preprocessMs > 0 && result.inferenceMs >= 0 && result.postprocessMs > 0)
        #expect(try await classifier.predict(model.photo).prediction.top.count == 5)
    }

    @Test func manyCallersOpenTheModelOnce() async throws {
        let kind = FakeKind { [outputs = model.outputs] _, _ in outputs }
        let classifier = try Classifier(model.source, engines: model.engines(kind))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { _ = try await classifier.predict(model.photo) } }
            try await group.waitForAll()
        }
        #expect(kind.calls.all == ["compile", "open ane"])
    }

    @Test func aFailedOpeningMayBeTriedAgain() async throws {
        let attempts = Calls()
        let kind = FakeKind { [outputs = model.outputs] _, _ in
            attempts.add("run")
            if attempts.all.count <= 3 { throw LolvitError(.runFailed) }
            return outputs
        }
        let classifier = try Classifier(model.source, engines: model.engines(kind))
        await #expect(throws: LolvitError.self) { try await classifier.prewarm() }
        try await classifier.prewarm()
    }

    @Test func aCancelledPredictionThrows() async throws {
        let kind = FakeKind { [outputs = model.outputs] _, _ in outputs }
        let classifier = try Classifier(model.source, engines: model.engines(kind))
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            return try await classifier.predict(model.photo)
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }

    @Test func aModelForAnotherTaskIsNamed() {
        let engines = model.engines(FakeKind { _, _ in [:] })
        let details = ["model": "lolvit_xx", "task": "classification", "expected": "segmentation"]
        #expect(throws: LolvitError(.taskMismatch, details)) {
            try Segmenter(model.source, engines: engines)
        }
    }
}
