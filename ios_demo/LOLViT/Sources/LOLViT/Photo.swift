/// A decoded photo: 8-bit levels of red, green and blue, row by row, upright and without alpha.
///
/// ```swift
/// let photo = try Photo(size: ImageSize(height: 480, width: 640), levels: rgb)
/// ```
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

    /// A photo as a file stores it, turned and mirrored by its EXIF orientation.
    ///
    /// - Parameter orientation: 1 to 8, as EXIF defines it; anything else counts as 1.
    /// - Throws: ``LolvitError`` as ``init(size:levels:)``.
    public init(size: ImageSize, levels: [UInt8], orientation: Int) throws {
        let stored = try Photo(size: size, levels: levels)
        self = (2...8).contains(orientation) ? stored.turned(orientation) : stored
    }

    /// Orientations 5 to 8 exchange rows and columns; 2, 3, 7 and 8 begin with the last column of what
    /// is stored, and 3, 4, 6 and 7 with the last row.
    private func turned(_ orientation: Int) -> Photo {
        let exchanged = orientation >= 5
        let (fromRight, fromBottom) = ([2, 3, 7, 8].contains(orientation), [3, 4, 6, 7].contains(orientation))
        let upright =
            exchanged ? ImageSize(height: size.width, width: size.height) : size
        var turned = [UInt8](repeating: 0, count: levels.count)
        var to = 0
        for y in 0..<upright.height {
            for x in 0..<upright.width {
                let (row, column) = exchanged ? (x, y) : (y, x)
                let from =
                    (fromBottom ? size.height - 1 - row : row) * size.width
                    + (fromRight ? size.width - 1 - column : column)
                for channel in 0..<Self.channels {
                    turned[to] = levels[from * Self.channels + channel]
                    to += 1
                }
            }
        }
        return Photo(upright, turned)
    }

    /// Grey levels by ITU-R 601, as Pillow computes them, in every channel.
    var grey: Photo {
        var found = levels
        for pixel in stride(from: 0, to: levels.count, by: Self.channels) {
            let (red, green, blue) = (Int(levels[pixel]), Int(levels[pixel + 1]), Int(levels[pixel + 2]))
            let level = UInt8((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)
            for channel in 0..<Self.channels { found[pixel + channel] = level }
        }
        return Photo(size, found)
    }

    /// Levels that fit the size.
    private init(_ size: ImageSize, _ levels: [UInt8]) {
        self.size = size
        self.levels = levels
    }
}
