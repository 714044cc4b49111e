// Sources of images: https://developer.apple.com/documentation/imageio/cgimagesource

@_exported import CoreGraphics
import Foundation

nonisolated(unsafe) public let kCGImagePropertyOrientation: CFString = NSString(string: "Orientation")
nonisolated(unsafe) public let kCGImagePropertyPixelWidth: CFString = NSString(string: "PixelWidth")
nonisolated(unsafe) public let kCGImagePropertyPixelHeight: CFString = NSString(string: "PixelHeight")
nonisolated(unsafe) public let kCGImageSourceSubsampleFactor: CFString = NSString(
    string: "kCGImageSourceSubsampleFactor")

/// A file that a test has registered, as its decoder would return it.
public struct StubPhoto: Sendable {
    public var image: StubImage
    public var orientation: Int?

    /// nil: the file's header can be read, its pixels can't.
    public var damaged = false

    /// The size that the header gives, where it differs.
    public var headerSize: (width: Int, height: Int)?

    public init(_ image: StubImage, orientation: Int? = nil) {
        self.image = image
        self.orientation = orientation
    }
}

/// The files that tests have registered, by their content.
public final class StubPhotos: @unchecked Sendable {
    public static let shared = StubPhotos()

    private let lock = NSLock()
    private var photos: [Data: StubPhoto] = [:]
    private var factors: [Data: Int] = [:]

    public func register(_ data: Data, _ photo: StubPhoto) { lock.withLock { photos[data] = photo } }

    /// The subsampling with which a file was decoded.
    public func factor(_ data: Data) -> Int? { lock.withLock { factors[data] } }

    func find(_ data: Data) -> StubPhoto? { lock.withLock { photos[data] } }

    func note(_ data: Data, _ factor: Int) { lock.withLock { factors[data] = factor } }
}

public final class CGImageSource {
    let data: Data
    let photo: StubPhoto

    init?(_ data: Data) {
        guard let photo = StubPhotos.shared.find(data) else { return nil }
        self.data = data
        self.photo = photo
    }
}

public func CGImageSourceCreateWithData(_ data: CFData, _ options: CFDictionary?) -> CGImageSource? {
    CGImageSource(Data(referencing: data))
}

public func CGImageSourceCopyPropertiesAtIndex(
    _ source: CGImageSource, _ index: Int, _ options: CFDictionary?
) -> CFDictionary? {
    let properties = NSMutableDictionary()
    let photo = source.photo
    let (width, height) = photo.headerSize ?? (photo.image.width, photo.image.height)
    properties[kCGImagePropertyPixelWidth] = NSNumber(value: width)
    properties[kCGImagePropertyPixelHeight] = NSNumber(value: height)
    if let orientation = photo.orientation {
        properties[kCGImagePropertyOrientation] = NSNumber(value: orientation)
    }
    return properties
}

public func CGImageSourceCreateImageAtIndex(
    _ source: CGImageSource, _ index: Int, _ options: CFDictionary?
) -> CGImage? {
    let factor = (options?[kCGImageSourceSubsampleFactor] as? NSNumber)?.intValue ?? 1
    StubPhotos.shared.note(source.data, factor)
    return source.photo.damaged ? nil : CGImage(stub: source.photo.image)
}
