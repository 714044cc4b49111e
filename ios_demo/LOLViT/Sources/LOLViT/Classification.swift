import Foundation

/// A class of a prediction, its label, and its probability.
public struct Score: Equatable, Sendable {
    public let index: Int
    public let label: String
    public let probability: Double
}

/// The most likely classes of a photo, most likely first.
public struct Classification: Equatable, Sendable {
    public let top: [Score]
}

/// Ranks classes by the softmax of the logits; ties go to the lower index.
///
/// ```swift
/// let best = try ClassificationTask(spec).predict(["logits": logits], placement, .init(top: 1)).top[0]
/// ```
public struct ClassificationTask: VisionTask {
    public struct Options: TaskOptions {
        /// How many classes to return at most.
        public var top: Int

        public init() { self.init(top: 5) }

        public init(top: Int) { self.top = top }
    }

    private let spec: ModelSpec

    public init(_ spec: ModelSpec) throws {
        try spec.require(.classification)
        self.spec = spec
    }

    public func predict(_ outputs: [String: Tensor], _ placement: Placement, _ options: Options) throws
        -> Classification
    {
        let logits = try spec.output(outputs, spec.outputs[0]).values
        let highest = Double(logits.max() ?? 0)
        // Shifted, so that nothing overflows.
        let odds = logits.map { exp(Double($0) - highest) }
        let total = odds.reduce(0, +)
        let order = odds.indices.sorted { (odds[$1], $0) < (odds[$0], $1) }
        return Classification(
            top: order.prefix(max(options.top, 0)).map {
                Score(index: $0, label: spec.label($0), probability: odds[$0] / total)
            })
    }
}
