/// How boxes and scores become detections: the manifest's `postprocessing` of kind `boxes_ltrb`.
public struct BoxParameters: Equatable, Sendable {
    public var strides: [Int]
    public var scoreThreshold: Double
    public var iouThreshold: Double
    public var maxCandidates: Int
    public var maxDetections: Int
}

/// One object: its class and score, and its box in the photo's pixels.
public struct Detection: Equatable, Sendable {
    public let index: Int
    public let label: String
    public let score: Double
    public let box: Box
}

/// The objects in a photo, highest score first.
public struct Detections: Equatable, Sendable {
    public let objects: [Detection]
}

/// Decodes a dense, anchor-free detector's outputs, as `lolvit/tasks/detection.py`.
///
/// With N points over all strides and C classes: `boxes` (1, 4, N), the distances from each point to
/// the left, top, right and bottom in units of its stride, and `scores` (1, C, N).
///
/// ```swift
/// let found = try DetectionTask(spec).predict(outputs, placement, .init(scoreThreshold: 0.5))
/// for object in found.objects { print(object.label, object.score, object.box) }
/// ```
public struct DetectionTask: VisionTask {
    /// Thresholds in place of the manifest's; nil keeps them.
    public struct Options: TaskOptions {
        public var scoreThreshold: Double?
        public var iouThreshold: Double?
        public var maxDetections: Int?

        public init() {}

        public init(
            scoreThreshold: Double? = nil, iouThreshold: Double? = nil, maxDetections: Int? = nil
        ) {
            self.scoreThreshold = scoreThreshold
            self.iouThreshold = iouThreshold
            self.maxDetections = maxDetections
        }
    }

    private let spec: ModelSpec
    private let parameters: BoxParameters
    private let points: [DetectorPoint]

    public init(_ spec: ModelSpec) throws {
        try spec.require(.detection)
        guard case .boxes(let parameters) = spec.postprocessing else {
            preconditionFailure("the reader of manifests gives a detector its parameters")
        }
        self.spec = spec
        self.parameters = parameters
        points = DetectorPoint.all(spec.preprocessing.size, parameters.strides)
    }

    public func predict(_ outputs: [String: Tensor], _ placement: Placement, _ options: Options) throws
        -> Detections
    {
        let boxes = try output("boxes", outputs).values
        let scores = try output("scores", outputs).values
        let chosen = candidates(scores, options.scoreThreshold ?? parameters.scoreThreshold)
        let count = points.count
        let decoded = chosen.map { candidate in
            let point = candidate % count
            return points[point].box(
                boxes[point], boxes[count + point], boxes[2 * count + point], boxes[3 * count + point])
        }
        let kept = suppress(
            decoded, chosen.map { $0 / count },
            threshold: options.iouThreshold ?? parameters.iouThreshold,
            limit: options.maxDetections ?? parameters.maxDetections)
        return Detections(
            objects: kept.compactMap { place in
                let box = placement.onPhoto(decoded[place])
                guard !box.isEmpty else { return nil }
                let index = chosen[place] / count
                return Detection(
                    index: index, label: spec.label(index), score: Double(scores[chosen[place]]),
                    box: box)
            })
    }

    private func output(_ name: String, _ outputs: [String: Tensor]) throws -> Tensor {
        guard let expected = spec.outputs.first(where: { $0.name == name }) else {
            preconditionFailure("the reader of manifests requires the output \(name)")
        }
        return try spec.output(outputs, expected)
    }

    /// The places in `scores` (C, N) of the candidates: highest score first, ties by the lower class,
    /// then by the lower point.
    private func candidates(_ scores: [Float], _ threshold: Double) -> [Int] {
        let enough = scores.indices.filter { Double(scores[$0]) >= threshold }
        let order = enough.sorted { (scores[$1], $0) < (scores[$0], $1) }
        return Array(order.prefix(parameters.maxCandidates))
    }
}
