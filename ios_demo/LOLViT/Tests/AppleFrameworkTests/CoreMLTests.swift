import CoreML
import Foundation
import LOLViT
import LOLViTFixtures
import Testing

@testable import LOLViTCoreML

/// The code that uses Core ML, executed with a fake of it that answers with what Python recorded.
@Suite struct CoreMLTests {
    private let ios18 = CoreMLKind(
        system: OperatingSystemVersion(majorVersion: 18, minorVersion: 0, patchVersion: 0))
    private let temporary: TemporaryFolder

    init() throws { temporary = try TemporaryFolder() }

    private func engines() -> Engines {
        Engines([ios18], cache: ModelCache(folder: temporary.url.appendingPathComponent("cache")))
    }

    /// Python's outputs for exactly these inputs; an error for any other one.
    private func recorded(_ predictions: Fixtures.Predictions, _ artifact: ArtifactSpec) throws -> StubModel {
        var answers: [[UInt8]: [String: StubModel.Output]] = [:]
        for photo in predictions.photos {
            let outputs = try Fixtures.outputs(photo, artifact)
            answers[try Fixtures.bytes(photo.input)] = outputs.mapValues { ($0.shape, $0.values) }
        }
        // The first inference, without a self-check, is one on black.
        let black = [UInt8](repeating: 0, count: answers.keys.first?.count ?? 0)
        answers[black] = answers.values.first
        return StubModel { [answers] inputs, _ in
            guard let found = inputs[artifact.input.name].flatMap({ answers[$0] }) else {
                throw StubError("another input than Python's")
            }
            return found
        }
    }

    /// A model whose outputs were recorded, without its self-check unless asked for.
    private func prepared(
        _ task: String, checked: Bool = false, _ change: (inout StubModel) -> Void = { _ in }
    ) throws -> (Fixtures.Predictions, ModelSource, URL) {
        let predictions = try #require(
            try Fixtures.predictions().first { $0.task == task && $0.runtime == "coreml-reference" })
        let source = try temporary.copy(predictions)
        if !checked { try FileManager.default.removeItem(at: source.url("self-check.json")) }
        let spec = try ModelSpec.load(source)
        let artifact = try #require(spec.artifacts.first { $0.path == predictions.artifact })
        var stub = try recorded(predictions, artifact)
        change(&stub)
        let url = try source.checked(artifact)
        StubModels.shared.register(url, stub)
        return (predictions, source, url)
    }

    private func photo(_ one: Fixtures.PredictedPhoto) throws -> Photo {
        try Fixtures.photo(one.size, one.decoded)
    }

    @Test(arguments: [0, 5]) func photosAreClassifiedAsByPython(padding: Int) async throws {
        let (predictions, source, _) = try prepared("classification") { $0.padding = padding }
        let classifier = try Classifier(source, engines: engines())
        for one in predictions.photos {
            let found = try await classifier.predict(try photo(one)).prediction
            #expect(Fixtures.difference(found, one.prediction) == nil, "\(one.photo)")
        }
    }

    @Test func objectsAreThoseOfPython() async throws {
        let (predictions, source, _) = try prepared("detection") { $0.padding = 3 }
        let detector = try Detector(source, engines: engines())
        for one in predictions.photos {
            let options = DetectionTask.Options(scoreThreshold: one.options.score_threshold)
            let found = try await detector.predict(try photo(one), options).prediction
            #expect(Fixtures.difference(found, one.prediction.detections ?? []) == nil, "\(one.photo)")
        }
    }

    @Test func mapsAreThoseOfPython() async throws {
        let (predictions, source, _) = try prepared("segmentation")
        let segmenter = try Segmenter(source, engines: engines())
        for one in predictions.photos {
            let found = try await segmenter.predict(try photo(one)).prediction
            #expect(try Fixtures.difference(found, one) == nil, "\(one.photo)")
        }
    }

    /// A model that computes the map itself, in whole numbers.
    @Test func mapsThatTheModelComputesAreTakenAsTheyAre() async throws {
        let (_, source, url) = try prepared("segmentation")
        let file = source.folder.appendingPathComponent("manifest.json")
        var manifest = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        let map: [String: Any] = [
            "name": "classes", "shape": [1, 96, 128], "dtype": "int32", "meaning": "classes",
        ]
        manifest["postprocessing"] = ["kind": "class_map", "num_classes": 4]
        let inputs = (manifest["signature"] as? [String: Any])?["inputs"] ?? []
        manifest["signature"] = ["inputs": inputs, "outputs": [map]]
        var artifacts = manifest["artifacts"] as? [[String: Any]] ?? []
        artifacts[0]["outputs"] = [map]
        manifest["artifacts"] = artifacts
        try JSONSerialization.data(withJSONObject: manifest).write(to: file)
        let expected = (0..<96 * 128).map { (place: Int) -> UInt8 in UInt8(place % 4) }
        let floats = expected.map { Float($0) }
        var stub = StubModel { _, _ in ["classes": ([1, 96, 128], floats)] }
        stub.outputType = .int32
        StubModels.shared.register(url, stub)
        let size = ImageSize(height: 96, width: 128)
        let photo = try Photo(size: size, levels: [UInt8](repeating: 9, count: 96 * 128 * 3))
        let segmenter = try Segmenter(source, engines: engines())
        #expect(try await segmenter.predict(photo).prediction.classes == expected)
        let beyond = floats.map { $0 + 3 }
        stub.answer = { _, _ in ["classes": ([1, 96, 128], beyond)] }
        StubModels.shared.register(url, stub)
        let error = await lolvitError {
            try await Segmenter(source, engines: engines()).predict(photo)
        }
        #expect(error?.details["expected"] == "4 classes" && error?.code == .outputMismatch)
    }

    /// What `lolvit package --ios` writes.
    @Test func theSelfCheckThatPythonWroteIsPassed() async throws {
        for task in ["classification", "detection", "segmentation"] {
            let (predictions, source, url) = try prepared(task, checked: true)
            let spec = try ModelSpec.load(source)
            let artifact = try #require(spec.artifacts.first { $0.path == predictions.artifact })
            let outputs = try Fixtures.selfCheckOutputs(source, artifact)
            StubModels.shared.register(url, StubModel { _, _ in outputs.mapValues { ($0.shape, $0.values) } })
            let opened = try await engines().open(nil, spec, source)
            #expect(opened.report.selfCheck == .passed(snrDb: 300), "\(task)")
        }
    }

    @Test func theModelIsCompiledOnceAndRunsOnTheChosenUnit() async throws {
        let (_, source, url) = try prepared("classification")
        let spec = try ModelSpec.load(source)
        for unit in ComputeUnit.allCases {
            let choice = try #require(
                engines().choices(spec).first { $0.unit == unit && $0.engine == "coreml" })
            let opened = try await engines().open(choice, spec, source)
            #expect(opened.report.choice.unit == unit && opened.report.fallbacks.isEmpty)
            var expected = ["CPU": 1, "unknown": 1]
            expected[unit.rawValue.uppercased(), default: 0] += 2
            #expect(await opened.engine.placement() == expected)
        }
        #expect(StubModels.shared.compiled(url) == 1)
    }

    @Test func failuresOfCoreMLNameTheirReason() async throws {
        let (_, source, _) = try prepared("classification") { $0.compileError = "no space" }
        var error = await lolvitError {
            try await Classifier(source, engines: engines()).prewarm()
        }
        #expect(error?.code == .compileFailed && error?.description.contains("no space") == true)
        let url = try source.url("model-fp16.mlpackage")
        var stub = StubModel { _, _ in throw StubError("busy") }
        stub.loadErrors = [.cpuAndNeuralEngine: "no Neural Engine", .cpuAndGPU: "no GPU"]
        StubModels.shared.register(url, stub)
        error = await lolvitError {
            try await Classifier(source, engines: engines()).prewarm()
        }
        #expect(error?.code == .allEnginesFailed)
        for reason in ["no Neural Engine", "no GPU", "busy"] {
            #expect(error?.description.contains(reason) == true)
        }
    }

    @Test func outputsOfAnotherTypeAreAnError() async throws {
        let (_, source, _) = try prepared("classification") { $0.outputType = .float16 }
        let error = await lolvitError {
            try await Classifier(source, engines: engines()).prewarm()
        }
        #expect(error?.description.contains("its output 'logits' is neither float32 nor int32") == true)
    }

    @Test func precisionsThatASystemIsTooOldForAreMissing() throws {
        let (_, source, _) = try prepared("classification")
        let artifact = try #require(try ModelSpec.load(source).artifacts.first { $0.format == "coreml" })
        let oldest = CoreMLKind(
            system: OperatingSystemVersion(majorVersion: 16, minorVersion: 4, patchVersion: 0))
        #expect(oldest.missing(artifact, .cpu) == nil)
        for (precision, needed) in [("int8", "iOS 17"), ("w8a16", "iOS 17"), ("w4", "iOS 18")] {
            let other = try named(precision, artifact, source)
            #expect(oldest.missing(other, .cpu)?.details["needed"] == needed)
            #expect(ios18.missing(other, .cpu) == nil)
        }
    }

    /// The artifact with another precision in its manifest.
    private func named(_ precision: String, _ artifact: ArtifactSpec, _ source: ModelSource) throws
        -> ArtifactSpec
    {
        let file = source.folder.appendingPathComponent("manifest.json")
        let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
        defer { try? Data(text.utf8).write(to: file) }
        let changed = text.replacingOccurrences(
            of: "\"precision\": \"\(artifact.precision)\"", with: "\"precision\": \"\(precision)\"")
        try Data(changed.utf8).write(to: file)
        return try #require(try ModelSpec.load(source).artifacts.first { $0.path == artifact.path })
    }
}
