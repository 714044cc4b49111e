/// A decoded photo: 8-bit levels of red, green and blue, row by row, upright and without alpha.
public struct Photo: Equatable, Sendable {
    static let channels = 3

    public let size: ImageSize

    /// `height * width * 3` levels.
    public let levels: [UInt8]

    /// - Throws: ``LolvitError`` if there is no pixel, or another number of levels.
    public init(size: ImageSize, levels: [UInt8]) throws {
        let pixels = size.height.multipliedReportingOverflow(by: size.width)
        let bytes = pixels.partialValue.multipliedReportingOverflow(by: Self.channels)
        guard size.height > 0, size.width > 0, !pixels.overflow, !bytes.overflow,
            levels.count == bytes.partialValue
        else {
            throw LolvitError(
                .photoInvalid,
                [
                    "width": String(size.width), "height": String(size.height),
                    "bytes": String(levels.count),
                ])
        }
        self.size = size
        self.levels = levels
    }
}
