// Images and contexts: https://developer.apple.com/documentation/coregraphics/cgimage

@_exported import Foundation

public typealias CFData = NSData
public typealias CFDictionary = NSDictionary
public typealias CFString = NSString

public enum CGColorSpaceModel: Int32, Sendable {
    case unknown = -1
    case monochrome, rgb, cmyk, lab, deviceN, indexed, pattern, XYZ
}

public final class CGColorSpace {
    nonisolated(unsafe) public static let sRGB: CFString = NSString(string: "kCGColorSpaceSRGB")
    public let model: CGColorSpaceModel

    public init?(name: CFString) { model = .rgb }

    init(_ model: CGColorSpaceModel) { self.model = model }
}

public enum CGImageAlphaInfo: UInt32, Sendable {
    case none, premultipliedLast, premultipliedFirst, last, first, noneSkipLast, noneSkipFirst, alphaOnly
}

public enum CGImageByteOrderInfo: UInt32, Sendable {
    case orderMask = 0x7000
    case orderDefault = 0
    case order16Little = 0x1000
    case order32Little = 0x2000
    case order16Big = 0x3000
    case order32Big = 0x4000
}

public final class CGDataProvider {
    public let data: CFData?

    init(_ data: CFData) { self.data = data }
}

public final class CGImage {
    public let width: Int
    public let height: Int
    public let bitsPerComponent: Int
    public let bitsPerPixel: Int
    public let bytesPerRow: Int
    public let colorSpace: CGColorSpace?
    public let alphaInfo: CGImageAlphaInfo
    public let byteOrderInfo: CGImageByteOrderInfo
    public let dataProvider: CGDataProvider?
    let drawn: [UInt8]  // red, green, blue in rows

    /// An image as a decoder might store red, green and blue in rows.
    public init(stub: StubImage) {
        width = stub.width
        height = stub.height
        bitsPerComponent = stub.bitsPerComponent
        bitsPerPixel = 8 * stub.bytesPerPixel
        bytesPerRow = (width * stub.bytesPerPixel + 15) / 16 * 16
        colorSpace = CGColorSpace(stub.model)
        alphaInfo = stub.alpha
        byteOrderInfo = stub.order
        drawn = stub.rgb
        dataProvider = CGDataProvider(NSData(data: Data(stub.bytes(bytesPerRow))))
    }
}

public final class CGContext {
    public let data: UnsafeMutableRawPointer?
    private let bytesPerRow: Int

    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int,
        bytesPerRow: Int, space: CGColorSpace, bitmapInfo: UInt32
    ) {
        guard data == nil, bitmapInfo == CGImageAlphaInfo.noneSkipLast.rawValue else { return nil }
        self.data = .allocate(byteCount: bytesPerRow * height, alignment: 16)
        self.bytesPerRow = bytesPerRow
    }

    deinit { data?.deallocate() }

    public func draw(_ image: CGImage, in rect: CGRect) {
        guard let start = data?.assumingMemoryBound(to: UInt8.self) else { return }
        for pixel in 0..<image.width * image.height {
            let to = pixel / image.width * bytesPerRow + 4 * (pixel % image.width)
            for channel in 0..<3 { start[to + channel] = image.drawn[3 * pixel + channel] }
        }
    }
}

/// How a decoder stores an image whose red, green and blue are known.
public struct StubImage: Sendable {
    public var width: Int
    public var height: Int
    public var rgb: [UInt8]
    public var model = CGColorSpaceModel.rgb
    public var alpha = CGImageAlphaInfo.none
    public var order = CGImageByteOrderInfo.orderDefault
    public var bitsPerComponent = 8

    public init(width: Int, height: Int, rgb: [UInt8]) {
        self.width = width
        self.height = height
        self.rgb = rgb
    }

    var bytesPerPixel: Int {
        ((model == .monochrome ? 1 : 3) + (alpha == .none ? 0 : 1)) * bitsPerComponent / 8
    }

    func bytes(_ bytesPerRow: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: bytesPerRow * height)
        guard bitsPerComponent == 8 else { return bytes }
        for pixel in 0..<width * height {
            let all = Array(rgb[3 * pixel..<3 * pixel + 3])
            var stored = model == .monochrome ? [all[0]] : all
            if alpha != .none {
                let first = alpha == .first || alpha == .noneSkipFirst || alpha == .premultipliedFirst
                stored.insert(0x77, at: first ? 0 : stored.count)
            }
            if order == .order32Little { stored.reverse() }
            let to = pixel / width * bytesPerRow + bytesPerPixel * (pixel % width)
            bytes.replaceSubrange(to..<to + stored.count, with: stored)
        }
        return bytes
    }
}
