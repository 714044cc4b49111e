/// Numbers in rows: the last axis varies fastest. Whole numbers, such as classes, are floats too.
///
/// ```swift
/// let logits = Tensor(shape: [1, 3], values: [0.5, 2, -1])
/// ```
public struct Tensor: Equatable, Sendable {
    public let shape: [Int]
    public let values: [Float]

    /// - Precondition: there are as many values as the shape has elements.
    public init(shape: [Int], values: [Float]) {
        precondition(values.count == shape.reduce(1, *), "\(values.count) values of shape \(shape)")
        self.shape = shape
        self.values = values
    }

    /// Copies numbers that lie in memory with gaps, such as a runtime's output whose rows are padded.
    ///
    /// - Parameters:
    ///   - steps: For each axis, how many numbers lie between one index and the next.
    ///   - wholes: Whether they are int32, such as classes; else they are float32.
    package init(shape: [Int], steps: [Int], wholes: Bool, in memory: UnsafeRawPointer) {
        let places = Self.places(shape, steps)
        let values =
            wholes
            ? places.map { Float(memory.load(fromByteOffset: 4 * $0, as: Int32.self)) }
            : places.map { memory.load(fromByteOffset: 4 * $0, as: Float.self) }
        self.init(shape: shape, values: values)
    }

    /// The same numbers with the axes of one layout in the order of another one.
    ///
    /// Unchanged where a layout is unknown or has other axes.
    func arranged(_ own: Layout?, as wanted: Layout?) -> Tensor {
        guard let own, let wanted, own != wanted else { return self }
        let (from, to) = (Array(own.rawValue), Array(wanted.rawValue))
        guard from.count == shape.count, from.sorted() == to.sorted() else { return self }
        let axes = to.compactMap(from.firstIndex(of:))
        let (extents, steps) = (axes.map { shape[$0] }, strides)
        let places = Self.places(extents, axes.map { steps[$0] })
        return Tensor(shape: extents, values: places.map { values[$0] })
    }

    /// Where the numbers of a shape are, the last axis varying fastest, by the step of each axis.
    private static func places(_ shape: [Int], _ steps: [Int]) -> [Int] {
        var places = [0]
        for (extent, step) in zip(shape, steps) {
            places = places.flatMap { place in (0..<extent).map { place + $0 * step } }
        }
        return places
    }

    private var strides: [Int] {
        var steps = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() { steps[axis] = steps[axis + 1] * shape[axis + 1] }
        return steps
    }

    /// Whether every number is finite.
    var isFinite: Bool { values.allSatisfy(\.isFinite) }
}
