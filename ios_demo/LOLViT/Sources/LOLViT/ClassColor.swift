/// The colour in which a class is drawn.
public struct ClassColor: Equatable, Sendable {
    private static let hueStep = 0.61803398875  // the golden ratio's inverse: neighbours differ most
    private static let saturation = 0.75
    private static let value = 0.95

    public let red: UInt8
    public let green: UInt8
    public let blue: UInt8

    public init(red: UInt8, green: UInt8, blue: UInt8) {
        self.red = red
        self.green = green
        self.blue = blue
    }

    /// `#rrggbb`; nil for anything else.
    init?(hex: String) {
        let digits = hex.dropFirst()
        guard hex.hasPrefix("#"), digits.count == 6, digits.allSatisfy(\.isHexDigit),
            let number = Int(digits, radix: 16)
        else { return nil }
        self.init(
            red: UInt8(number >> 16), green: UInt8(number >> 8 & 255), blue: UInt8(number & 255))
    }

    /// The colours of `count` classes of a model that names none, as Python draws them.
    static func palette(_ count: Int) -> [ClassColor] {
        (0..<count).map { generated((Double($0) * hueStep).truncatingRemainder(dividingBy: 1)) }
    }

    /// Of hue, saturation and value in [0, 1].
    private static func generated(_ hue: Double) -> ClassColor {
        let sector = Int(hue * 6)
        let part = hue * 6 - Double(sector)
        let p = value * (1 - saturation)
        let q = value * (1 - saturation * part)
        let t = value * (1 - saturation * (1 - part))
        let (red, green, blue) = [
            (value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q),
        ][sector % 6]
        return ClassColor(red: level(red), green: level(green), blue: level(blue))
    }

    private static func level(_ share: Double) -> UInt8 {
        UInt8((255 * share).rounded(.toNearestOrEven))
    }
}
