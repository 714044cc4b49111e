/// Where a photo lies in a model's input: predictions are in the input's pixels, users see the photo's.
///
/// The photo is resized to `resized`, of which the input shows `size` pixels from `top` and `left` on:
/// positive where the input is a crop, negative where the photo is padded. Pixel centres are at half
/// integers. As `lolvit/placement.py`.
///
/// ```swift
/// let place = try spec.preprocessing.placement(photo.size)
/// let box = place.onPhoto(Box(left: 10, top: 20, right: 110, bottom: 220))
/// ```
public struct Placement: Equatable, Sendable {
    public let photo: ImageSize
    public let resized: ImageSize
    public let size: ImageSize
    public let top: Int
    public let left: Int

    public init(photo: ImageSize, resized: ImageSize, size: ImageSize, top: Int = 0, left: Int = 0) {
        self.photo = photo
        self.resized = resized
        self.size = size
        self.top = top
        self.left = left
    }

    /// A box of the input's pixels in the photo's, clipped to it.
    public func onPhoto(_ box: Box) -> Box {
        let (width, height) = (Double(photo.width), Double(photo.height))
        let (scaleX, scaleY) = (width / Double(resized.width), height / Double(resized.height))
        let (x, y) = (Double(left), Double(top))
        return Box(
            left: Self.clipped((box.left + x) * scaleX, width),
            top: Self.clipped((box.top + y) * scaleY, height),
            right: Self.clipped((box.right + x) * scaleX, width),
            bottom: Self.clipped((box.bottom + y) * scaleY, height))
    }

    /// A map of classes on the input's pixels, row by row, for each pixel of the photo: that of the
    /// input's pixel in which its centre lies; `outside` where there is none.
    public func onPhoto(_ classes: [UInt8], outside: UInt8) -> [UInt8] {
        precondition(classes.count == size.height * size.width)
        let rows = nearest(photo.height, resized.height, size.height, top)
        let columns = nearest(photo.width, resized.width, size.width, left)
        var found = [UInt8](repeating: outside, count: photo.height * photo.width)
        for (y, row) in rows.enumerated() {
            guard let row else { continue }
            for (x, column) in columns.enumerated() {
                if let column { found[y * photo.width + x] = classes[row * size.width + column] }
            }
        }
        return found
    }

    private static func clipped(_ value: Double, _ limit: Double) -> Double { min(max(value, 0), limit) }

    /// The input's pixel for each of the photo's along an axis; nil where there is none.
    private func nearest(_ photo: Int, _ resized: Int, _ size: Int, _ offset: Int) -> [Int?] {
        let scale = Double(resized) / Double(photo)
        return (0..<photo).map { place in
            let center: Double = (Double(place) + 0.5) * scale - Double(offset)
            let pixel = Int(center.rounded(.down))
            return (0..<size).contains(pixel) ? pixel : nil
        }
    }
}
