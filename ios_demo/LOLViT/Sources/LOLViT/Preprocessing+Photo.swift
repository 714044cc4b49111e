/// A photo as a model's input, and where it lies there.
public struct PreparedPhoto: Equatable, Sendable {
    public let input: ModelInput
    public let placement: Placement
}

extension Preprocessing {
    private static let largestResized = 64_000_000  // pixels, as in Python
    private static let padding: UInt8 = 128  // of a letterbox, in every channel

    /// Returns a photo as an artifact takes it, and where it lies in it.
    ///
    /// Bit-exact with Python, which models are trained and verified with.
    ///
    /// - Throws: ``LolvitError`` if the photo is so elongated that the resized one would be too large.
    public func prepare(_ photo: Photo, for artifact: ArtifactSpec) throws -> PreparedPhoto {
        let placement = try placement(photo.size)
        return PreparedPhoto(
            input: input(levels(photo, placement), for: artifact), placement: placement)
    }

    /// Returns the levels of ``levels(_:)`` as an artifact takes them.
    func input(_ levels: [UInt8], for artifact: ArtifactSpec) -> ModelInput {
        artifact.input.meaning == "pixels"
            ? .pixels(levels, size, color)
            : .values(
                Tensor(
                    shape: artifact.input.shape,
                    values: normalized(levels, layout: artifact.input.layout ?? .nchw)))
    }

    /// Returns (level / 255 - mean) / std in float32, in the order of `layout`.
    ///
    /// - Throws: ``LolvitError`` as ``prepare(_:for:)``.
    public func tensor(_ photo: Photo, layout: Layout) throws -> [Float] {
        normalized(try levels(photo), layout: layout)
    }

    /// Returns the resized and cropped or padded photo: its 8-bit levels in rows, of red, green and
    /// blue or of grey.
    ///
    /// Equal to Pillow's: fixed-point weights, rounding to 8 bits between the passes, of which the
    /// vertical one comes first in tall photos. (Vision's and Core Image's scaling is not.) Only what
    /// the crop needs is computed.
    ///
    /// - Throws: ``LolvitError`` as ``prepare(_:for:)``.
    public func levels(_ photo: Photo) throws -> [UInt8] {
        levels(photo, try placement(photo.size))
    }

    /// Returns where a photo of a size lies in the input.
    ///
    /// - Throws: ``LolvitError`` as ``prepare(_:for:)``.
    public func placement(_ photo: ImageSize) throws -> Placement {
        let resized = resizedSize(photo)
        guard resized.height <= Self.largestResized / resized.width else {
            throw LolvitError(
                .photoTooElongated, ["width": String(photo.width), "height": String(photo.height)])
        }
        return Placement(
            photo: photo, resized: resized, size: size,
            top: offset(resized.height, size.height), left: offset(resized.width, size.width))
    }

    private func normalized(_ levels: [UInt8], layout: Layout) -> [Float] {
        let channels = color.channels
        let area = size.height * size.width
        let (step, plane) = layout == .nhwc ? (channels, 1) : (1, area)
        var values = [Float](repeating: 0, count: levels.count)
        for channel in 0..<channels {
            let table = (0...255).map { (Float($0) / 255 - mean[channel]) / std[channel] }
            for i in 0..<area {
                values[channel * plane + i * step] = table[Int(levels[channels * i + channel])]
            }
        }
        return values
    }

    private func levels(_ photo: Photo, _ place: Placement) -> [UInt8] {
        let converted = color == .grey ? photo.grey : photo
        var found = resized(converted, place)
        if resize == .letterbox { Self.pad(&found, place) }
        return color == .grey
            ? stride(from: 0, to: found.count, by: Photo.channels).map { found[$0] } : found
    }

    private func resized(_ photo: Photo, _ place: Placement) -> [UInt8] {
        let columns = Taps(
            from: photo.size.width, to: place.resized.width,
            outputs: place.left..<place.left + size.width, interpolation: interpolation)
        let rows = Taps(
            from: photo.size.height, to: place.resized.height,
            outputs: place.top..<place.top + size.height, interpolation: interpolation)
        let photoStride = photo.size.width * Photo.channels
        if Self.isHeightFirst(photo.size, place.resized) {
            let needed = columns.needed
            let part = needed.lowerBound * Photo.channels..<needed.upperBound * Photo.channels
            let low = Self.resizeHeight(photo.levels, stride: photoStride, part: part, rows, firstRow: 0)
            return Self.resizeWidth(
                low, width: needed.count, columns, firstColumn: needed.lowerBound,
                rows: 0..<size.height)
        }
        let narrow = Self.resizeWidth(
            photo.levels, width: photo.size.width, columns, firstColumn: 0, rows: rows.needed)
        let stride = size.width * Photo.channels
        return Self.resizeHeight(
            narrow, stride: stride, part: 0..<stride, rows, firstRow: rows.needed.lowerBound)
    }

    /// Fills what lies outside of the photo.
    private static func pad(_ levels: inout [UInt8], _ place: Placement) {
        let columns = -place.left..<place.resized.width - place.left
        let rows = -place.top..<place.resized.height - place.top
        for y in 0..<place.size.height {
            for x in 0..<place.size.width where !(rows.contains(y) && columns.contains(x)) {
                let pixel = (y * place.size.width + x) * Photo.channels
                for channel in 0..<Photo.channels { levels[pixel + channel] = padding }
            }
        }
    }

    /// Whether Pillow 13 resizes the height before the width.
    private static func isHeightFirst(_ photo: ImageSize, _ resized: ImageSize) -> Bool {
        photo.height > resized.height
            && photo.height - resized.height > 2 * (photo.width - resized.width)
    }

    /// The size that a photo of `photo` is resized to before the crop.
    public func resizedSize(_ photo: ImageSize) -> ImageSize {
        let (height, width) = (photo.height, photo.width)
        if resize == .letterbox {
            let ratio = min(
                Double(size.height) / Double(height), Double(size.width) / Double(width))
            return ImageSize(
                height: max(1, Self.rounded(Double(height) * ratio)),
                width: max(1, Self.rounded(Double(width) * ratio)))
        }
        let boxHeight = Int((Double(size.height) / cropPct).rounded(.down))
        let boxWidth = Int((Double(size.width) / cropPct).rounded(.down))
        if resize == .stretch { return ImageSize(height: boxHeight, width: boxWidth) }
        if boxHeight == boxWidth {
            let long = Int(Double(boxHeight * max(height, width)) / Double(min(height, width)))
            return height <= width
                ? ImageSize(height: boxHeight, width: long) : ImageSize(height: long, width: boxHeight)
        }
        let ratio = min(Double(height) / Double(boxHeight), Double(width) / Double(boxWidth))
        return ImageSize(
            height: Self.rounded(Double(height) / ratio), width: Self.rounded(Double(width) / ratio))
    }

    /// Where the input begins in a resized photo; before it, if that is smaller.
    private func offset(_ extent: Int, _ side: Int) -> Int {
        extent >= side && resize != .letterbox
            ? Self.rounded(Double(extent - side) / 2) : -((side - extent) / 2)
    }

    private static func rounded(_ value: Double) -> Int {
        Int(value.rounded(.toNearestOrEven))
    }

    /// Resizes each of `rows` of levels (rows, `width`, 3), of which the first column is the photo's
    /// `firstColumn`.
    private static func resizeWidth(
        _ levels: [UInt8], width: Int, _ columns: Taps, firstColumn: Int, rows: Range<Int>
    ) -> [UInt8] {
        let count = rows.count * columns.taps.count * Photo.channels
        return [UInt8](unsafeUninitializedCapacity: count) { made, initialized in
            levels.withUnsafeBufferPointer { levels in
                var to = 0
                for y in rows {
                    let row = y * width - firstColumn
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

    /// Resizes each column in `part` of rows of `stride` levels, of which the first is the photo's
    /// `firstRow`.
    private static func resizeHeight(
        _ resized: [UInt8], stride: Int, part: Range<Int>, _ rows: Taps, firstRow: Int
    ) -> [UInt8] {
        let count = rows.taps.count * part.count
        return [UInt8](unsafeUninitializedCapacity: count) { made, initialized in
            resized.withUnsafeBufferPointer { levels in
                var to = 0
                for tap in rows.taps {
                    let from = (tap.start - firstRow) * stride
                    for x in part {
                        var sum = Taps.rounding
                        for (i, weight) in tap.weights.enumerated() {
                            sum &+= Int32(levels[from + i * stride + x]) &* weight
                        }
                        made[to] = Taps.level(sum)
                        to += 1
                    }
                }
            }
            initialized = count
        }
    }
}
