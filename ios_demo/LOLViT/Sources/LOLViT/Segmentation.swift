/// How outputs become a map of classes: the manifest's `postprocessing` of kind `argmax` or `class_map`.
public struct MapParameters: Equatable, Sendable {
    /// Whether the model computes the map (1, H, W) itself, rather than logits.
    public let isComputed: Bool

    /// The value of pixels without a class.
    public let ignore: UInt8
}

/// A class of a map and its share of the photo's pixels.
public struct ClassShare: Equatable, Sendable {
    public let index: Int
    public let label: String
    public let share: Double
}

/// Each pixel's class on the photo, row by row; `ignore` where the model did not see the photo.
public struct SegmentationMap: Equatable, Sendable {
    public let size: ImageSize
    public let classes: [UInt8]
    public let ignore: UInt8

    /// The classes that occur, largest share first.
    public let shares: [ClassShare]
}

/// Finds each pixel's class, as `lolvit/tasks/segmentation.py`: bilinear upsampling of the logits with
/// half-pixel centres to the input's pixels, the class of the largest, ties by the lower class, unless
/// the model does that itself; the photo's pixels take the class of the input's pixel in which their
/// centre lies.
///
/// ```swift
/// let map = try SegmentationTask(spec).predict(["logits": logits], placement, .init())
/// let share = map.shares.first?.share
/// ```
public struct SegmentationTask: VisionTask {
    public struct Options: TaskOptions {
        public init() {}
    }

    private let spec: ModelSpec
    private let parameters: MapParameters

    public init(_ spec: ModelSpec) throws {
        try spec.require(.segmentation)
        guard case .map(let parameters) = spec.postprocessing else {
            preconditionFailure("the reader of manifests gives a segmentation model its parameters")
        }
        self.spec = spec
        self.parameters = parameters
    }

    public func predict(_ outputs: [String: Tensor], _ placement: Placement, _ options: Options) throws
        -> SegmentationMap
    {
        let output = try spec.output(outputs, spec.outputs[0])
        let onInput =
            parameters.isComputed
            ? try computed(output) : Upsampling.classes(output, on: spec.preprocessing.size)
        let classes = placement.onPhoto(onInput, outside: parameters.ignore)
        return SegmentationMap(
            size: placement.photo, classes: classes, ignore: parameters.ignore, shares: shares(classes))
    }

    /// The class of each of the input's pixels, from a map (1, H, W).
    private func computed(_ map: Tensor) throws -> [UInt8] {
        let range = 0..<Float(spec.classes)
        if let other = map.values.first(where: { !range.contains($0) }) {
            throw LolvitError(
                .outputMismatch,
                [
                    "output": spec.outputs[0].name, "found": "class \(Int(other))",
                    "expected": "\(spec.classes) classes",
                ])
        }
        return map.values.map { UInt8($0) }
    }

    private func shares(_ classes: [UInt8]) -> [ClassShare] {
        var counts = [Int](repeating: 0, count: 256)
        for each in classes { counts[Int(each)] += 1 }
        let order = counts.indices.filter { counts[$0] > 0 && $0 != Int(parameters.ignore) }
            .sorted { (counts[$1], $0) < (counts[$0], $1) }
        return order.map {
            ClassShare(
                index: $0, label: spec.label($0), share: Double(counts[$0]) / Double(classes.count))
        }
    }
}
