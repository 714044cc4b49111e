import Foundation
import LOLViTFixtures
import Testing

@testable import LOLViT

/// From photo to prediction, as an app does it, with the runtime's outputs that Python recorded.
@Suite struct PredictionTests {
    /// The input that Swift prepares is, bit by bit, the one that Python ran the artifact on; what it
    /// makes of the outputs is Python's prediction.
    @Test func photosArePredictedAsByPython() throws {
        let all = try Fixtures.predictions()
        #expect(Set(all.map(\.task)) == ["classification", "detection", "segmentation"])
        for predictions in all {
            #expect(predictions.photos.count >= 20)
            let spec = try ModelSpec.load(predictions.source)
            let artifact = try #require(spec.artifacts.first { $0.path == predictions.artifact })
            for photo in predictions.photos {
                #expect(try difference(photo, spec, artifact) == nil, "\(predictions) \(photo.photo)")
            }
        }
    }

    private func difference(
        _ expected: Fixtures.PredictedPhoto, _ spec: ModelSpec, _ artifact: ArtifactSpec
    ) throws -> String? {
        let photo = try Fixtures.photo(expected.size, expected.decoded)
        let prepared = try spec.preprocessing.prepare(photo, for: artifact)
        let isSame =
            switch prepared.input {
            case .pixels(let levels, _, _): try levels == Fixtures.bytes(expected.input)
            case .values(let tensor): try tensor.values == Fixtures.floats(expected.input)
            }
        if !isSame { return "input" }
        let outputs = try spec.outputs(of: artifact, from: Fixtures.outputs(expected, artifact))
        switch spec.task {
        case .classification:
            let found = try ClassificationTask(spec).predict(outputs, prepared.placement, .init())
            return Fixtures.difference(found, expected.prediction)
        case .detection:
            let options = DetectionTask.Options(scoreThreshold: expected.options.score_threshold)
            let found = try DetectionTask(spec).predict(outputs, prepared.placement, options)
            return Fixtures.difference(found, expected.prediction.detections ?? [])
        case .segmentation:
            let found = try SegmentationTask(spec).predict(outputs, prepared.placement, .init())
            return try Fixtures.difference(found, expected)
        }
    }

    @Test func untrainedDetectorsGiveObjectsToCompare() throws {
        let detector = try #require(try Fixtures.predictions().first { $0.task == "detection" })
        let counts = detector.photos.map { $0.prediction.detections?.count ?? 0 }
        #expect(counts.filter { $0 >= 5 }.count >= 15)
    }
}

/// The ranking of classes.
@Suite struct ClassificationTests {
    private let whole = Placement(
        photo: ImageSize(height: 8, width: 8), resized: ImageSize(height: 8, width: 8),
        size: ImageSize(height: 8, width: 8))

    private func ranked(_ logits: [Float], top: Int = 5) throws -> [Score] {
        let spec = ModelSpec.example(.classification, .softmax, [[1, logits.count]])
        let outputs = ["output0": Tensor(shape: [1, logits.count], values: logits)]
        return try ClassificationTask(spec).predict(outputs, whole, .init(top: top)).top
    }

    @Test func tiesGoToTheLowerIndexAndLargeLogitsDoNotOverflow() throws {
        let found = try ranked([1e38, -1e38, 1e38], top: 2)
        #expect(found.map(\.index) == [0, 2])
        #expect(found.map(\.probability) == [0.5, 0.5])
        #expect(found.map(\.label) == ["class 0", "class 2"])
        #expect(try ranked([1], top: -1).isEmpty)
    }

    @Test func outputsThatAreNoLogitsAreRejected() throws {
        let spec = ModelSpec.example(.classification, .softmax, [[1, 3]])
        let task = try ClassificationTask(spec)
        let details = ["output": "output0", "found": "1x2", "expected": "1x3"]
        #expect(throws: LolvitError(.outputMismatch, details)) {
            try task.predict(["output0": Tensor(shape: [1, 2], values: [1, 2])], whole, .init())
        }
        for value in [Float.nan, .infinity, -.infinity] {
            #expect(throws: LolvitError(.outputNotFinite, ["output": "output0"])) {
                try task.predict(["output0": Tensor(shape: [1, 3], values: [1, value, 0])], whole, .init())
            }
        }
    }

    @Test func aModelForAnotherTaskIsRejected() {
        let spec = ModelSpec.example(.classification, .softmax, [[1, 3]])
        let details = ["model": "example", "task": "classification", "expected": "detection"]
        #expect(throws: LolvitError(.taskMismatch, details)) { try DetectionTask(spec) }
    }
}

extension ModelSpec {
    /// A model without artifacts, whose outputs have these shapes.
    static func example(
        _ task: ModelTask, _ postprocessing: Postprocessing, _ shapes: [[Int]],
        names: [String] = ["output0", "output1"], size: ImageSize = ImageSize(height: 8, width: 8)
    ) -> ModelSpec {
        let classes = shapes.last?[1] ?? 0
        return ModelSpec(
            name: "example", task: task,
            preprocessing: Preprocessing(
                size: size, cropPct: 1, interpolation: .bilinear, mean: [0, 0, 0], std: [1, 1, 1]),
            postprocessing: postprocessing, classes: classes, labels: [],
            colors: ClassColor.palette(classes), trained: false, weightsSource: "", params: 0, macs: 0,
            outputs: zip(names, shapes).map {
                TensorSpec(name: $0, shape: $1, dtype: "float32", layout: nil, meaning: "logits")
            },
            artifacts: [])
    }
}
