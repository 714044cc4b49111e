import Foundation

/// Numbers as the screens show them, in the user's locale.
public enum Figures {
    /// Milliseconds with three significant digits, such as "12.3".
    public static func milliseconds(_ value: Double, _ locale: Locale = .current) -> String {
        let digits = value >= 100 ? 0 : value >= 10 ? 1 : 2
        return fixed(value, digits: digits, locale)
    }

    /// A share of 1 as a percentage, such as "95.2 %".
    public static func percent(_ share: Double, _ locale: Locale = .current) -> String {
        share.formatted(.percent.precision(.fractionLength(1)).locale(locale))
    }

    /// A ratio with two digits after the point, such as "8.23".
    public static func times(_ ratio: Double, _ locale: Locale = .current) -> String {
        fixed(ratio, digits: 2, locale)
    }

    static func fixed(_ value: Double, digits: Int, _ locale: Locale = .current) -> String {
        value.formatted(.number.precision(.fractionLength(digits)).locale(locale))
    }
}
