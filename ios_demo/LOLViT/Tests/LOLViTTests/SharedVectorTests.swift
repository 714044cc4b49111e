import LOLViTFixtures
import Testing

@testable import LOLViT

/// `tests/vectors/predictions.json`, by which the libraries of all languages are checked, ties included.
@Suite struct DetectionVectorTests {
    struct Document: Decodable {
        let detection: [Boxes]
        let segmentation: [Map]
    }

    struct Place: Decodable {
        let photo: [Int]
        let resized: [Int]
        let offset: [Int]

        func placement(_ size: [Int]) -> Placement {
            Placement(
                photo: ImageSize(height: photo[0], width: photo[1]),
                resized: ImageSize(height: resized[0], width: resized[1]),
                size: ImageSize(height: size[0], width: size[1]), top: offset[0], left: offset[1])
        }
    }

    struct Parameters: Decodable {
        let strides: [Int]
        let score_threshold: Double
        let iou_threshold: Double
        let max_candidates: Int
        let max_detections: Int
    }

    struct Boxes: Decodable {
        let name: String
        let size: [Int]
        let postprocessing: Parameters
        let placement: Place
        let boxes: [Float]
        let scores: [Float]
        let detections: [Found]
    }

    struct Found: Decodable {
        let index: Int
        let score: Double
        let box: [Double]
    }

    struct Map: Decodable {
        let name: String
        let size: [Int]
        let placement: Place
        let logits_shape: [Int]
        let logits: [Float]
        let on_input: [Int]
        let on_photo: [Int]
    }

    @Test func boxesAreDecodedAsByPython() throws {
        let document: Document = try Fixtures.decode("shared-predictions.json")
        #expect(document.detection.count >= 8)
        for vector in document.detection {
            let points = vector.boxes.count / 4
            let own = vector.postprocessing
            let parameters = BoxParameters(
                strides: own.strides, scoreThreshold: own.score_threshold,
                iouThreshold: own.iou_threshold, maxCandidates: own.max_candidates,
                maxDetections: own.max_detections)
            let shapes = [[1, 4, points], [1, vector.scores.count / points, points]]
            let spec = ModelSpec.example(
                .detection, .boxes(parameters), shapes, names: ["boxes", "scores"],
                size: ImageSize(height: vector.size[0], width: vector.size[1]))
            let outputs = [
                "boxes": Tensor(shape: shapes[0], values: vector.boxes),
                "scores": Tensor(shape: shapes[1], values: vector.scores),
            ]
            let found = try DetectionTask(spec).predict(
                outputs, vector.placement.placement(vector.size), .init())
            let expected = vector.detections.map {
                Fixtures.Detected(index: $0.index, label: nil, score: $0.score, box: $0.box)
            }
            #expect(Fixtures.difference(found, expected) == nil, "\(vector.name)")
        }
    }

    @Test func mapsAreThoseOfPython() throws {
        let document: Document = try Fixtures.decode("shared-predictions.json")
        #expect(document.segmentation.count >= 5)
        for vector in document.segmentation {
            let logits = Tensor(shape: vector.logits_shape, values: vector.logits)
            let size = ImageSize(height: vector.size[0], width: vector.size[1])
            #expect(Upsampling.classes(logits, on: size) == classes(vector.on_input))
            let spec = ModelSpec.example(
                .segmentation, .map(MapParameters(isComputed: false, ignore: 255)), [vector.logits_shape], size: size)
            let found = try SegmentationTask(spec).predict(
                ["output0": logits], vector.placement.placement(vector.size), .init())
            #expect(found.classes == classes(vector.on_photo), "\(vector.name)")
        }
    }

    /// A map that is written as class, count, class, count, …
    private func classes(_ runs: [Int]) -> [UInt8] {
        stride(from: 0, to: runs.count, by: 2).flatMap {
            [UInt8](repeating: UInt8(runs[$0]), count: runs[$0 + 1])
        }
    }

    @Test func pointsOfALastAxisAreBroughtIntoTheSignaturesLayout() {
        let found = Tensor(shape: [1, 3, 2], values: [0, 1, 2, 3, 4, 5]).arranged(.nlc, as: .ncl)
        #expect(found == Tensor(shape: [1, 2, 3], values: [0, 2, 4, 1, 3, 5]))
        #expect(found.arranged(nil, as: .ncl) == found && found.arranged(.ncl, as: .nc) == found)
    }

    /// Python's `lolvit.drawing.palette(8)`.
    @Test func coloursOfClassesArePythons() {
        let found = ClassColor.palette(3).map { [$0.red, $0.green, $0.blue] }
        #expect(found == [[242, 61, 61], [61, 114, 242], [167, 242, 61]])
        #expect(ClassColor(hex: "#0a10ff") == ClassColor(red: 10, green: 16, blue: 255))
        for text in ["0a10ff", "#0a10f", "#0a10fg", "#0a10ff0", "", "#+a10ff"] {
            #expect(ClassColor(hex: text) == nil, "\(text)")
        }
    }
}
