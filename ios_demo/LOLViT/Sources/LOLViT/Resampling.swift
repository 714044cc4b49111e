/// The filter of one output of a resize: the first input, and the weights from there on.
struct Tap {
    let start: Int
    let weights: [Int32]
}

/// The taps of consecutive outputs of a resize along one axis, computed as in Pillow: weights are
/// fixed-point numbers with 22 fractional bits.
struct Taps {
    private static let bits: Int32 = 22
    private static let one = Double(1 << bits)

    /// The initial value of a sum of weighted 8-bit levels, so that ``level(_:)`` rounds it.
    static let rounding: Int32 = 1 << (bits - 1)

    let taps: [Tap]

    /// The inputs that any output needs.
    let needed: Range<Int>

    /// The taps of `outputs`, when `from` inputs become `to`. Outputs beyond the image (a crop that is
    /// larger than it) have none, and come out black.
    init(from: Int, to: Int, outputs: Range<Int>, interpolation: Interpolation) {
        taps = outputs.map { Self.tap(from, to, $0, interpolation) }
        let used = taps.filter { !$0.weights.isEmpty }
        let first = used.map(\.start).min() ?? 0
        needed = first..<(used.map { $0.start + $0.weights.count }.max() ?? first)
    }

    /// The 8-bit level of a sum of weighted ones.
    static func level(_ sum: Int32) -> UInt8 {
        UInt8(clamping: sum >> bits)
    }

    private static func tap(_ from: Int, _ to: Int, _ output: Int, _ filter: Interpolation) -> Tap {
        guard (0..<to).contains(output) else { return Tap(start: 0, weights: []) }
        // Pillow leaves an axis that keeps its extent as it is.
        guard from != to else { return Tap(start: output, weights: [1 << bits]) }
        let scale = Double(from) / Double(to)
        let widened = max(scale, 1)
        let support = filter.support * widened
        let centre = (Double(output) + 0.5) * scale
        let start = max(Int(centre - support + 0.5), 0)
        let end = min(Int(centre + support + 0.5), from)
        let weights = (start..<end).map { filter.weight((Double($0) - centre + 0.5) * (1 / widened)) }
        return Tap(start: start, weights: fixedPoint(weights))
    }

    private static func fixedPoint(_ weights: [Double]) -> [Int32] {
        let sum = weights.reduce(0, +)
        return weights.map { weight in
            let scaled = (sum == 0 ? weight : weight / sum) * one
            return Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
        }
    }
}

extension Interpolation {
    fileprivate var support: Double { self == .bicubic ? 2 : 1 }

    fileprivate func weight(_ distance: Double) -> Double {
        let x = abs(distance)
        return self == .bicubic ? Self.cubic(x) : max(0, 1 - x)
    }

    /// Keys' cubic convolution with a = -0.5.
    private static func cubic(_ x: Double) -> Double {
        let a = -0.5
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
    }
}
