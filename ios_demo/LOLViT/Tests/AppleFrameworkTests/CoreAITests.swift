import CoreAI
import Foundation
import LOLViT
import LOLViTCoreAI
import LOLViTFixtures
import Testing

/// The code that uses Core AI, executed with a fake of it that answers with what Apple's runtime computed
/// on Linux.
@Suite struct CoreAITests {
    private let temporary: TemporaryFolder

    init() throws { temporary = try TemporaryFolder() }

    private func engines() -> Engines {
        Engines([CoreAIKind()], cache: ModelCache(folder: temporary.url.appendingPathComponent("cache")))
    }

    private func prepared() throws -> (Fixtures.Predictions, ModelSource, URL, StubFunction) {
        let predictions = try #require(try Fixtures.predictions().first { $0.runtime == "coreai" })
        let source = try temporary.copy(predictions)
        try FileManager.default.removeItem(at: source.url("self-check.json"))
        let spec = try ModelSpec.load(source)
        let artifact = try #require(spec.artifacts.first { $0.path == predictions.artifact })
        var answers: [[Float]: [String: StubFunction.Output]] = [:]
        for photo in predictions.photos {
            let outputs = try Fixtures.outputs(photo, artifact)
            answers[try Fixtures.floats(photo.input)] = outputs.mapValues { ($0.shape, $0.values) }
        }
        let size = spec.preprocessing.size
        let black = try Photo(
            size: size, levels: [UInt8](repeating: 0, count: size.height * size.width * 3))
        let prepared = try spec.preprocessing.tensor(black, layout: .nchw)
        answers[prepared] = answers.values.first
        let stub = StubFunction { [answers] inputs, _ in
            guard let found = inputs[artifact.input.name].flatMap({ answers[$0] }) else {
                throw StubFailure("another input than Python's")
            }
            return found
        }
        return (predictions, source, try source.checked(artifact), stub)
    }

    @Test(arguments: [0, 7]) func photosAreClassifiedAsByPython(padding: Int) async throws {
        let (predictions, source, url, stub) = try prepared()
        var padded = stub
        padded.padding = padding
        StubFunctions.shared.register(url, padded)
        let classifier = try Classifier(source, engines: engines())
        let report = try await classifier.prewarm()
        #expect(report.choice.id == "coreai/fp16/ane" && !report.compiledNow)
        for one in predictions.photos {
            let photo = try Fixtures.photo(one.size, one.decoded)
            let found = try await classifier.predict(photo).prediction
            #expect(Fixtures.difference(found, one.prediction) == nil, "\(one.photo)")
        }
    }

    @Test func theUnitIsPreferredAndTheCPUAlone() async throws {
        let (_, source, url, stub) = try prepared()
        let spec = try ModelSpec.load(source)
        for unit in ComputeUnit.allCases {
            var asked = stub
            asked.answer = { inputs, options in
                let expected: [ComputeUnit: ComputeUnitKind] = [.gpu: .gpu, .neuralEngine: .neuralEngine]
                guard options.preferredComputeUnitKind == expected[unit],
                    options.allowedComputeUnitKinds.count == (unit == .cpu ? 1 : 3)
                else { throw StubFailure("another unit") }
                return try stub.answer(inputs, options)
            }
            StubFunctions.shared.register(url, asked)
            let choice = try #require(
                engines().choices(spec).first { $0.unit == unit && $0.engine == "coreai" })
            let opened = try await engines().open(choice, spec, source)
            #expect(opened.report.choice.unit == unit)
            #expect(await opened.engine.placement().isEmpty)
        }
    }

    @Test func failuresOfCoreAINameTheirReason() async throws {
        let (_, source, url, stub) = try prepared()
        var changed = stub
        changed.loadError = "another version"
        try await fails(source, url, changed, "another version")
        changed = stub
        changed.name = "other"
        try await fails(source, url, changed, "it has no function 'main'")
        changed = stub
        changed.outputType = .float16
        try await fails(source, url, changed, "its output 'logits' is neither float32 nor int32")
        changed = stub
        changed.answer = { _, _ in throw StubFailure("busy") }
        try await fails(source, url, changed, "busy")
    }

    private func fails(_ source: ModelSource, _ url: URL, _ stub: StubFunction, _ reason: String)
        async throws
    {
        StubFunctions.shared.register(url, stub)
        let error = await lolvitError {
            try await Classifier(source, engines: engines()).prewarm()
        }
        #expect(error?.description.contains(reason) == true, "\(reason)")
    }
}
