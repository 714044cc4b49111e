#if canImport(CoreVideo)
    import CoreVideo

    extension Photo {
        /// A frame of the camera, in the pixel format `kCVPixelFormatType_32BGRA`.
        ///
        /// ```swift
        /// let photo = try Photo(pixelBuffer: frame, orientation: 6)  // a phone that is held upright
        /// ```
        ///
        /// - Parameter orientation: 1 to 8, as EXIF defines it.
        /// - Throws: ``LolvitError`` with the code `photo_undecodable` for another pixel format.
        public init(pixelBuffer: CVPixelBuffer, orientation: Int = 1) throws {
            CVPixelBufferLockBaseAddress(pixelBuffer, .readOnly)
            defer { CVPixelBufferUnlockBaseAddress(pixelBuffer, .readOnly) }
            guard CVPixelBufferGetPixelFormatType(pixelBuffer) == kCVPixelFormatType_32BGRA,
                let base = CVPixelBufferGetBaseAddress(pixelBuffer)
            else { throw LolvitError(.photoUndecodable) }
            let size = ImageSize(
                height: CVPixelBufferGetHeight(pixelBuffer), width: CVPixelBufferGetWidth(pixelBuffer))
            let bytesPerRow = CVPixelBufferGetBytesPerRow(pixelBuffer)
            let start = base.assumingMemoryBound(to: UInt8.self)
            var levels = [UInt8](repeating: 0, count: size.height * size.width * Self.channels)
            var to = 0
            for y in 0..<size.height {
                for x in 0..<size.width {
                    let pixel = y * bytesPerRow + 4 * x  // blue, green, red, alpha
                    levels[to] = start[pixel + 2]
                    levels[to + 1] = start[pixel + 1]
                    levels[to + 2] = start[pixel]
                    to += Self.channels
                }
            }
            try self.init(size: size, levels: levels, orientation: orientation)
        }
    }
#endif
