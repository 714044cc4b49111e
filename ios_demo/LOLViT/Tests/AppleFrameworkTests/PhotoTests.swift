import CoreGraphics
import CoreVideo
import Foundation
import ImageIO
import LOLViT
import LOLViTFixtures
import Testing

/// Photos as ImageIO decodes them, and frames of a camera.
@Suite struct PhotoTests {
    private static let rgb: [UInt8] = (0..<5 * 3 * 3).map { UInt8(7 * $0 % 251) }

    private var image: StubImage { StubImage(width: 5, height: 3, rgb: Self.rgb) }

    private func decoded(_ photo: StubPhoto) throws -> Photo {
        let data = Data(UUID().uuidString.utf8)
        StubPhotos.shared.register(data, photo)
        return try Photo(data: data)
    }

    @Test(arguments: [
        (.none, .orderDefault), (.last, .orderDefault),
        (.noneSkipLast, .order32Big), (.first, .orderDefault), (.noneSkipFirst, .order32Little),
        (.last, .order32Little), (.premultipliedLast, .orderDefault),
    ] as [(CGImageAlphaInfo, CGImageByteOrderInfo)])
    func levelsAreThoseOfTheFile(alpha: CGImageAlphaInfo, order: CGImageByteOrderInfo) throws {
        var image = image
        image.alpha = alpha
        image.order = order
        let found = try decoded(StubPhoto(image))
        #expect(found.levels == Self.rgb && found.size == ImageSize(height: 3, width: 5))
    }

    @Test func otherFormatsAreDrawn() throws {
        var indexed = image
        indexed.model = .indexed
        #expect(try decoded(StubPhoto(indexed)).levels == Self.rgb)
        var deep = image
        deep.bitsPerComponent = 16
        #expect(try decoded(StubPhoto(deep)).levels == Self.rgb)
    }

    @Test func greyPhotosHaveTheirLevelInEachChannel() throws {
        let grey = (0..<15).flatMap { [UInt8](repeating: UInt8(16 * $0), count: 3) }
        for alpha in [CGImageAlphaInfo.none, .last] {
            var image = StubImage(width: 5, height: 3, rgb: grey)
            image.model = .monochrome
            image.alpha = alpha
            #expect(try decoded(StubPhoto(image)).levels == grey)
        }
    }

    /// Of the photos that Pillow has turned upright.
    @Test func photosAreTurnedByTheirOrientation() throws {
        for vector in try Fixtures.vectors().photos {
            guard let stored = vector.stored, let size = vector.stored_size else { continue }
            let image = StubImage(width: size[1], height: size[0], rgb: try Fixtures.bytes(stored))
            let found = try decoded(StubPhoto(image, orientation: vector.orientation))
            let upright = try Fixtures.photo(vector.size, vector.decoded)
            #expect(found == upright, "\(vector.photo)")
        }
    }

    @Test(arguments: [(4000, 3000, 1), (6000, 4000, 2), (12000, 9000, 4), (20000, 16000, 8)])
    func largePhotosAreDecodedSmaller(width: Int, height: Int, factor: Int) throws {
        let data = Data("\(width)".utf8)
        var photo = StubPhoto(image)
        photo.headerSize = (width, height)
        StubPhotos.shared.register(data, photo)
        _ = try Photo(data: data)
        #expect(StubPhotos.shared.factor(data) == factor)
    }

    @Test func whatIsNoPhotoIsRejected() throws {
        #expect(throws: LolvitError(.photoUndecodable)) { try Photo(data: Data("text".utf8)) }
        var damaged = StubPhoto(image)
        damaged.damaged = true
        #expect(throws: LolvitError(.photoUndecodable)) { try decoded(damaged) }
        var giant = StubPhoto(image)
        giant.headerSize = (1 << 20, 1 << 20)
        #expect(throws: LolvitError(.photoUndecodable)) { try decoded(giant) }
    }

    @Test func framesOfACameraArePhotos() throws {
        var buffer: CVPixelBuffer?
        let code = CVPixelBufferCreate(nil, 5, 3, kCVPixelFormatType_32BGRA, nil, &buffer)
        let frame = try #require(code == kCVReturnSuccess ? buffer : nil)
        CVPixelBufferLockBaseAddress(frame, [])
        let start = try #require(CVPixelBufferGetBaseAddress(frame))
        for pixel in 0..<15 {
            let to = pixel / 5 * CVPixelBufferGetBytesPerRow(frame) + 4 * (pixel % 5)
            for channel in 0..<3 {
                start.storeBytes(of: Self.rgb[3 * pixel + channel], toByteOffset: to + 2 - channel, as: UInt8.self)
            }
        }
        CVPixelBufferUnlockBaseAddress(frame, [])
        #expect(try Photo(pixelBuffer: frame).levels == Self.rgb)
        let turned = try Photo(pixelBuffer: frame, orientation: 6)
        #expect(turned.size == ImageSize(height: 5, width: 3))
        #expect(Array(turned.levels.prefix(3)) == Array(Self.rgb[30..<33]))
        #expect(CVPixelBufferCreate(nil, 5, 3, kCVPixelFormatType_OneComponent8, nil, &buffer) == 0)
        let grey = try #require(buffer)
        #expect(throws: LolvitError(.photoUndecodable)) { try Photo(pixelBuffer: grey) }
    }
}
