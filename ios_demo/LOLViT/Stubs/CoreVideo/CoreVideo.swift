// Pixel buffers: https://developer.apple.com/documentation/corevideo/cvpixelbuffer

import Foundation

public typealias CFDictionary = NSDictionary
public typealias CFString = NSString
public typealias CVReturn = Int32
public typealias OSType = UInt32

public let kCVReturnSuccess: CVReturn = 0
public let kCVReturnInvalidArgument: CVReturn = -6661
public let kCVPixelFormatType_32BGRA: OSType = 0x4247_5241
public let kCVPixelFormatType_OneComponent8: OSType = 0x4C30_3038
nonisolated(unsafe) public let kCVPixelBufferIOSurfacePropertiesKey: CFString = NSString(
    string: "IOSurfaceProperties")

public final class CFAllocator {}

public struct CVPixelBufferLockFlags: OptionSet, Sendable {
    public let rawValue: UInt64
    public static let readOnly = CVPixelBufferLockFlags(rawValue: 1)

    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

public final class CVPixelBuffer {
    let width: Int
    let height: Int
    let format: OSType
    let bytesPerRow: Int
    let memory: UnsafeMutableRawPointer
    var locks = 0

    init(width: Int, height: Int, format: OSType) {
        self.width = width
        self.height = height
        self.format = format
        let bytes = format == kCVPixelFormatType_32BGRA ? 4 : 1
        bytesPerRow = (width * bytes + 63) / 64 * 64  // rows are padded, as on a device
        memory = .allocate(byteCount: bytesPerRow * height, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0xAA, count: bytesPerRow * height)
    }

    deinit { memory.deallocate() }
}

public func CVPixelBufferCreate(
    _ allocator: CFAllocator?, _ width: Int, _ height: Int, _ pixelFormatType: OSType,
    _ pixelBufferAttributes: CFDictionary?, _ pixelBufferOut: UnsafeMutablePointer<CVPixelBuffer?>
) -> CVReturn {
    guard width > 0, height > 0 else { return kCVReturnInvalidArgument }
    pixelBufferOut.pointee = CVPixelBuffer(width: width, height: height, format: pixelFormatType)
    return kCVReturnSuccess
}

@discardableResult
public func CVPixelBufferLockBaseAddress(_ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags)
    -> CVReturn
{
    buffer.locks += 1
    return kCVReturnSuccess
}

@discardableResult
public func CVPixelBufferUnlockBaseAddress(_ buffer: CVPixelBuffer, _ flags: CVPixelBufferLockFlags)
    -> CVReturn
{
    buffer.locks -= 1
    return kCVReturnSuccess
}

/// Apple's returns the address of an unlocked buffer too, at which another processor may write.
public func CVPixelBufferGetBaseAddress(_ buffer: CVPixelBuffer) -> UnsafeMutableRawPointer? {
    buffer.locks > 0 ? buffer.memory : nil
}

public func CVPixelBufferGetBytesPerRow(_ buffer: CVPixelBuffer) -> Int { buffer.bytesPerRow }
public func CVPixelBufferGetWidth(_ buffer: CVPixelBuffer) -> Int { buffer.width }
public func CVPixelBufferGetHeight(_ buffer: CVPixelBuffer) -> Int { buffer.height }
public func CVPixelBufferGetPixelFormatType(_ buffer: CVPixelBuffer) -> OSType { buffer.format }

extension CVPixelBuffer {
    /// The pixels in rows without padding; of four bytes a pixel, as red, green, blue.
    public var stubLevels: [UInt8] {
        precondition(locks == 0, "a buffer that is still locked is given away")
        let start = memory.assumingMemoryBound(to: UInt8.self)
        let places = format == kCVPixelFormatType_32BGRA ? [2, 1, 0] : [0]
        let bytes = format == kCVPixelFormatType_32BGRA ? 4 : 1
        return (0..<height).flatMap { y in
            (0..<width).flatMap { x in places.map { start[y * bytesPerRow + x * bytes + $0] } }
        }
    }
}
