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

    /// Ranks classes by the softmax of the logits; ties go to the lower index.
    ///
    /// - Parameters:
    ///   - logits: one for each class of the model.
    ///   - spec: the model, for its labels.
    ///   - count: how many classes to return at most.
    /// - Throws: ``LolvitError`` if there is another number of logits, or they are not finite.
    public init(logits: [Float], spec: ModelSpec, count: Int = 5) throws {
        guard logits.count == spec.classes else {
            throw LolvitError(
                .outputMismatch,
                ["found": String(logits.count), "expected": String(spec.classes)])
        }
        guard let highest = logits.max(), logits.allSatisfy(\.isFinite) else {
            throw LolvitError(.outputNotFinite)
        }
        // Shifted, so that nothing overflows.
        let odds = logits.map { exp(Double($0) - Double(highest)) }
        let total = odds.reduce(0, +)
        let order = odds.indices.sorted { (odds[$1], $0) < (odds[$0], $1) }
        top = order.prefix(max(count, 0)).map {
            Score(index: $0, label: spec.label($0), probability: odds[$0] / total)
        }
    }
}
