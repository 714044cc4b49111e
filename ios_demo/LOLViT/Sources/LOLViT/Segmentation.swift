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
            ? try computed(output) : Self.classes(output, on: spec.preprocessing.size)
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

    /// The class of each of the input's pixels, from logits (1, C, h, w).
    static func classes(_ logits: Tensor, on size: ImageSize) -> [UInt8] {
        let (count, height, width) = (logits.shape[1], logits.shape[2], logits.shape[3])
        let rows = Steps(from: height, to: size.height)
        let columns = Steps(from: width, to: size.width)
        var classes = [UInt8](repeating: 0, count: size.height * size.width)
        var line = [Float](repeating: 0, count: count * width)  // one row of each class
        var best = [Float](repeating: 0, count: size.width)
        logits.values.withUnsafeBufferPointer { values in
            for y in 0..<size.height {
                let (low, high, share) = rows.steps[y]
                for plane in 0..<count {
                    let (first, second) = ((plane * height + low) * width, (plane * height + high) * width)
                    for x in 0..<width {
                        let start = values[first + x]
                        line[plane * width + x] = start + (values[second + x] - start) * share
                    }
                }
                for plane in 0..<count {
                    for x in 0..<size.width {
                        let (low, high, share) = columns.steps[x]
                        let start = line[plane * width + low]
                        let value = start + (line[plane * width + high] - start) * share
                        if plane == 0 || value > best[x] {
                            best[x] = value
                            classes[y * size.width + x] = UInt8(plane)
                        }
                    }
                }
            }
        }
        return classes
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

    /// The two inputs and the second's share for each output of a linear interpolation along one axis.
    private struct Steps {
        let steps: [(low: Int, high: Int, share: Float)]

        init(from own: Int, to extent: Int) {
            let scale = Double(own) / Double(extent)
            steps = (0..<extent).map { output in
                let place = min(max((Double(output) + 0.5) * scale - 0.5, 0), Double(own - 1))
                let low = Int(place)
                return (low, min(low + 1, own - 1), Float(place - Double(low)))
            }
        }
    }
}
