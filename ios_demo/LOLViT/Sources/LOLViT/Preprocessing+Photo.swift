extension Preprocessing {
    private static let largestResized = 64_000_000  // pixels, as in Python

    /// Returns (level / 255 - mean) / std in float32, in the order of `layout`.
    ///
    /// Bit-exact with Python, which models are trained and verified with.
    ///
    /// - Throws: ``LolvitError`` if the photo is so elongated that the resized one would be too large.
    public func tensor(_ photo: Photo, layout: Layout) throws -> [Float] {
        let levels = try levels(photo)
        let area = size.height * size.width
        let (step, plane) = layout == .nhwc ? (Photo.channels, 1) : (1, area)
        var values = [Float](repeating: 0, count: levels.count)
        for channel in 0..<Photo.channels {
            let table = (0...255).map { (Float($0) / 255 - mean[channel]) / std[channel] }
            for i in 0..<area {
                values[channel * plane + i * step] = table[Int(levels[Photo.channels * i + channel])]
            }
        }
        return values
    }

    /// Returns the resized and cropped photo: its 8-bit levels, in rows of red, green, blue.
    ///
    /// Equal to Pillow's: fixed-point weights, the horizontal pass first, rounding to 8 bits between
    /// the passes. (Vision's and Core Image's scaling is not.) Only what the crop needs is computed.
    ///
    /// - Throws: ``LolvitError`` as ``tensor(_:layout:)``.
    public func levels(_ photo: Photo) throws -> [UInt8] {
        let resized = resizedSize(photo.size)
        guard resized.height <= Self.largestResized / resized.width else {
            throw LolvitError(
                .photoTooElongated,
                ["width": String(photo.size.width), "height": String(photo.size.height)])
        }
        let columns = Taps(
            from: photo.size.width, to: resized.width,
            outputs: Self.middle(resized.width, size.width), interpolation: interpolation)
        let rows = Taps(
            from: photo.size.height, to: resized.height,
            outputs: Self.middle(resized.height, size.height), interpolation: interpolation)
        let narrow = Self.resizeRows(photo, columns, rows.needed)
        return Self.resizeColumns(narrow, size.width * Photo.channels, rows)
    }

    /// The size that a photo of `photo` is resized to before the crop.
    public func resizedSize(_ photo: ImageSize) -> ImageSize {
        let boxHeight = Int((Double(size.height) / cropPct).rounded(.down))
        let boxWidth = Int((Double(size.width) / cropPct).rounded(.down))
        let (height, width) = (photo.height, photo.width)
        if boxHeight == boxWidth {
            let long = Int(Double(boxHeight * max(height, width)) / Double(min(height, width)))
            return height <= width
                ? ImageSize(height: boxHeight, width: long) : ImageSize(height: long, width: boxHeight)
        }
        let ratio = min(Double(height) / Double(boxHeight), Double(width) / Double(boxWidth))
        return ImageSize(
            height: Self.rounded(Double(height) / ratio), width: Self.rounded(Double(width) / ratio))
    }

    /// The `crop` positions in the middle of `extent` ones; some lie outside if it is larger.
    private static func middle(_ extent: Int, _ crop: Int) -> Range<Int> {
        let first = rounded(Double(extent - crop) / 2)
        return first..<first + crop
    }

    private static func rounded(_ value: Double) -> Int {
        Int(value.rounded(.toNearestOrEven))
    }

    /// Resizes each of `rows`: levels of (rows, columns, 3).
    private static func resizeRows(_ photo: Photo, _ columns: Taps, _ rows: Range<Int>) -> [UInt8] {
        let count = rows.count * columns.taps.count * Photo.channels
        return [UInt8](unsafeUninitializedCapacity: count) { made, initialized in
            photo.levels.withUnsafeBufferPointer { levels in
                var to = 0
                for y in rows {
                    let row = y * photo.size.width
                    for tap in columns.taps {
                        let pixel = resizePixel(levels, (row + tap.start) * Photo.channels, tap.weights)
                        (made[to], made[to + 1], made[to + 2]) = pixel
                        to += Photo.channels
                    }
                }
            }
            initialized = count
        }
    }

    private static func resizePixel(
        _ levels: UnsafeBufferPointer<UInt8>, _ start: Int, _ weights: [Int32]
    ) -> (UInt8, UInt8, UInt8) {
        var (red, green, blue) = (Taps.rounding, Taps.rounding, Taps.rounding)
        var from = start
        for weight in weights {
            red &+= Int32(levels[from]) &* weight
            green &+= Int32(levels[from + 1]) &* weight
            blue &+= Int32(levels[from + 2]) &* weight
            from += Photo.channels
        }
        return (Taps.level(red), Taps.level(green), Taps.level(blue))
    }

    /// Resizes each column of rows of `stride` levels, of which the first is `rows.needed`'s.
    private static func resizeColumns(_ resized: [UInt8], _ stride: Int, _ rows: Taps) -> [UInt8] {
        let count = rows.taps.count * stride
        return [UInt8](unsafeUninitializedCapacity: count) { made, initialized in
            resized.withUnsafeBufferPointer { levels in
                for (y, tap) in rows.taps.enumerated() {
                    let from = (tap.start - rows.needed.lowerBound) * stride
                    for x in 0..<stride {
                        var sum = Taps.rounding
                        for (i, weight) in tap.weights.enumerated() {
                            sum &+= Int32(levels[from + i * stride + x]) &* weight
                        }
                        made[y * stride + x] = Taps.level(sum)
                    }
                }
            }
            initialized = count
        }
    }
}
