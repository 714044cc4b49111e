import Foundation
import Testing

@testable import LOLViT

/// From photo to ranking, as an app does it, with the runtime's outputs that Python recorded.
@Suite struct ClassificationTests {
    /// The input that Swift prepares is, bit by bit, the one that Python ran the artifact on; its
    /// ranking of the outputs is that of Python's `predict`.
    @Test func photosAreClassifiedAsByPython() throws {
        let all = try Fixtures.predictions()
        #expect(all.count >= 2 && all.allSatisfy { $0.photos.count >= 20 })
        for predictions in all {
            let spec = try ModelSpec.load(ModelSource(folder: Fixtures.url(predictions.model)))
            let artifact = try #require(spec.artifacts.first { $0.path == predictions.artifact })
            for photo in predictions.photos { try compare(photo, spec, artifact) }
        }
    }

    private func compare(
        _ expected: Fixtures.PredictedPhoto, _ spec: ModelSpec, _ artifact: ArtifactSpec
    ) throws {
        let photo = try Fixtures.photo(expected.size, expected.decoded)
        if artifact.input.meaning == "pixels" {
            #expect(try spec.preprocessing.levels(photo) == Fixtures.bytes(expected.input))
        } else {
            let layout = try #require(artifact.input.layout)
            let input = try spec.preprocessing.tensor(photo, layout: layout)
            #expect(try input == Fixtures.floats(expected.input), "\(expected.photo)")
        }
        let found = try Classification(logits: Fixtures.floats(expected.outputs), spec: spec)
        #expect(found.top.map(\.index) == expected.top.map(\.index), "\(expected.photo)")
        #expect(found.top.map(\.label) == expected.top.map(\.label))
        for (one, other) in zip(found.top, expected.top) {
            #expect(abs(one.probability - other.score) <= 1e-12)
        }
    }

    private func spec(classes: Int, labels: [String] = []) -> ModelSpec {
        ModelSpec(
            name: "none",
            preprocessing: Preprocessing(
                size: ImageSize(height: 8, width: 8), cropPct: 1, interpolation: .bilinear,
                mean: [0, 0, 0], std: [1, 1, 1]),
            classes: classes, labels: labels, trained: false, weightsSource: "", params: 0, macs: 0,
            artifacts: [])
    }

    @Test func tiesGoToTheLowerIndexAndLargeLogitsDoNotOverflow() throws {
        let found = try Classification(logits: [1e38, -1e38, 1e38], spec: spec(classes: 3), count: 2)
        #expect(found.top.map(\.index) == [0, 2])
        #expect(found.top.map(\.probability) == [0.5, 0.5])
        #expect(found.top.map(\.label) == ["class 0", "class 2"])
        #expect(try Classification(logits: [1], spec: spec(classes: 1), count: -1).top.isEmpty)
    }

    @Test func outputsThatAreNoLogitsAreRejected() {
        #expect(throws: LolvitError(.outputMismatch, ["found": "2", "expected": "3"])) {
            try Classification(logits: [1, 2], spec: spec(classes: 3))
        }
        for value in [Float.nan, .infinity, -.infinity] {
            #expect(throws: LolvitError(.outputNotFinite)) {
                try Classification(logits: [1, value], spec: spec(classes: 2))
            }
        }
    }
}
