#if canImport(ImageIO)
    import CoreGraphics
    import Foundation
    import ImageIO

    extension Photo {
        /// Larger photos are decoded at a half, a quarter or an eighth of their height and width, as on
        /// Android: with all copies that are made meanwhile, this bounds the memory to about 160 MB.
        static let largest = 16_000_000  // pixels
        private static let subsamplings = [1, 2, 4, 8]

        /// Decodes a photo, such as a JPEG, PNG or HEIC: upright by its EXIF orientation, its first image
        /// where there are several. The alpha channel is dropped; the colours under it stay, and so do
        /// the levels of another colour space than sRGB, as in Python.
        ///
        /// ```swift
        /// let photo = try Photo(data: try Data(contentsOf: url))
        /// ```
        ///
        /// - Throws: ``LolvitError`` with the code `photo_undecodable`.
        public init(data: Data) throws {
            let undecodable = LolvitError(.photoUndecodable)
            guard let source = CGImageSourceCreateWithData(NSData(data: data) as CFData, nil) else {
                throw undecodable
            }
            let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as NSDictionary?
            func number(_ key: CFString) -> Int? { (properties?[key] as? NSNumber)?.intValue }
            let width = number(kCGImagePropertyPixelWidth) ?? 0
            let height = number(kCGImagePropertyPixelHeight) ?? 0
            guard let factor = Self.subsampling(width, height),
                let image = CGImageSourceCreateImageAtIndex(source, 0, Self.options(factor)),
                let levels = Self.stored(image) ?? Self.drawn(image)
            else { throw undecodable }
            try self.init(
                size: ImageSize(height: image.height, width: image.width), levels: levels,
                orientation: number(kCGImagePropertyOrientation) ?? 1)
        }

        /// The smallest factor that brings a photo to at most ``largest`` pixels; nil where there is none.
        static func subsampling(_ width: Int, _ height: Int) -> Int? {
            subsamplings.first {
                (width / $0).multipliedReportingOverflow(by: height / $0).partialValue <= largest
            }
        }

        private static func options(_ factor: Int) -> CFDictionary? {
            factor == 1
                ? nil
                : NSDictionary(
                    object: NSNumber(value: factor), forKey: kCGImageSourceSubsampleFactor as NSString)
                    as CFDictionary
        }

        /// The levels as the file has them; nil where they have to be converted.
        private static func stored(_ image: CGImage) -> [UInt8]? {
            let bytes = image.bitsPerPixel / 8
            guard image.bitsPerComponent == 8, let channels = channels(image.colorSpace),
                let first = place(of: image, bytes: bytes, channels: channels),
                let data = image.dataProvider?.data as NSData?,
                data.length >= (image.height - 1) * image.bytesPerRow + image.width * bytes
            else { return nil }
            let start = data.bytes.assumingMemoryBound(to: UInt8.self)
            let step = channels == 1 ? 0 : first.step
            var levels: [UInt8] = []
            levels.reserveCapacity(image.height * image.width * Self.channels)
            for y in 0..<image.height {
                for x in 0..<image.width {
                    let pixel = y * image.bytesPerRow + x * bytes + first.offset
                    for channel in 0..<Self.channels { levels.append(start[pixel + channel * step]) }
                }
            }
            return levels
        }

        private static func channels(_ space: CGColorSpace?) -> Int? {
            switch space?.model {
            case .rgb: 3
            case .monochrome: 1
            default: nil
            }
        }

        /// Where red (or grey) is in the bytes of a pixel, and the step from one channel to the next.
        private static func place(of image: CGImage, bytes: Int, channels: Int)
            -> (offset: Int, step: Int)?
        {
            let alphaFirst: Bool
            switch image.alphaInfo {
            case .none: alphaFirst = false
            case .last, .noneSkipLast: alphaFirst = false
            case .first, .noneSkipFirst: alphaFirst = true
            default: return nil  // multiplied by alpha
            }
            let hasAlpha = image.alphaInfo != .none
            guard bytes == channels + (hasAlpha ? 1 : 0) else { return nil }
            switch image.byteOrderInfo {
            case .orderDefault, .order32Big: return (alphaFirst ? 1 : 0, 1)
            case .order32Little where bytes == 4: return (alphaFirst ? 2 : 3, -1)
            default: return nil
            }
        }

        /// The levels of an image drawn in sRGB.
        private static func drawn(_ image: CGImage) -> [UInt8]? {
            let bytesPerRow = image.width * 4
            guard let space = CGColorSpace(name: CGColorSpace.sRGB),
                let context = CGContext(
                    data: nil, width: image.width, height: image.height, bitsPerComponent: 8,
                    bytesPerRow: bytesPerRow, space: space,
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return nil }
            context.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
            guard let data = context.data else { return nil }
            let start = data.assumingMemoryBound(to: UInt8.self)
            return (0..<image.height * image.width).flatMap { pixel in
                (0..<Self.channels).map { start[pixel * 4 + $0] }
            }
        }
    }
#endif
