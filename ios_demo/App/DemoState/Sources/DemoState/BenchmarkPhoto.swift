import LOLViT

/// The input of a measurement: smooth colours with noise over them, the same on every phone, and that
/// of the Android app. A convolution's time does not depend on its input.
public enum BenchmarkPhoto {
    public static let name = "generated-1.png"
    private static let side = 512
    private static let noise: Int32 = 48

    public static func photo() throws -> Photo {
        var random = JavaRandom(seed: 1)
        var levels: [UInt8] = []
        levels.reserveCapacity(3 * side * side)
        for place in 0..<side * side {
            let (x, y) = (place % side, place / side)
            for value in [255 * x / side, 255 * y / side, 255 * (x + y) / (2 * side)] {
                let noisy = value + Int(random.next(below: noise) - noise / 2)
                levels.append(UInt8(min(max(noisy, 0), 255)))
            }
        }
        return try Photo(size: ImageSize(height: side, width: side), levels: levels)
    }
}

/// `java.util.Random`: a linear congruential generator of 48 bits.
private struct JavaRandom {
    private static let multiplier: UInt64 = 0x5_DEEC_E66D
    private static let mask: UInt64 = (1 << 48) - 1

    private var state: UInt64

    init(seed: UInt64) { state = (seed ^ Self.multiplier) & Self.mask }

    /// A number from 0 to `bound` - 1, for a bound that is no power of two.
    mutating func next(below bound: Int32) -> Int32 {
        while true {
            state = (state &* Self.multiplier &+ 0xB) & Self.mask
            let bits = Int32(truncatingIfNeeded: state >> 17)
            let value = bits % bound
            if bits &- value &+ (bound - 1) >= 0 { return value }
        }
    }
}
