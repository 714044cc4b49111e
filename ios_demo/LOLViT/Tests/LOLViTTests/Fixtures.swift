import Foundation
import LOLViT

/// What `make ios-test` wrote: decoded photos, what Python makes of them, and exported models.
enum Fixtures {
    struct Vectors: Decodable {
        let settings: [String: Settings]
        let photos: [PhotoVector]
    }

    struct Settings: Decodable {
        let size: [Int]
        let crop_pct: Double
        let interpolation: String
        let mean: [Float]
        let std: [Float]

        var preprocessing: Preprocessing {
            Preprocessing(
                size: ImageSize(height: size[0], width: size[1]), cropPct: crop_pct,
                interpolation: Interpolation(rawValue: interpolation)!, mean: mean, std: std)
        }
    }

    /// A decoded photo, Python's levels of it for each of the settings, and its inputs for one.
    struct PhotoVector: Decodable {
        let photo: String
        let size: [Int]
        let decoded: String
        let levels: [String: String]
        let inputs: [String: String]
    }

    /// What Python makes of photos with one artifact of an exported model.
    struct Predictions: Decodable {
        let model: String
        let artifact: String
        let runtime: String
        let photos: [PredictedPhoto]
    }

    struct PredictedPhoto: Decodable {
        let photo: String
        let size: [Int]
        let decoded: String
        let input: String
        let outputs: String
        let top: [Ranked]
    }

    struct Ranked: Decodable {
        let index: Int
        let label: String
        let score: Double
    }

    struct FolderHash: Decodable {
        let sha256: String
        let bytes: Int
    }

    static let folder = URL(
        fileURLWithPath: ProcessInfo.processInfo.environment["LOLVIT_FIXTURES"] ?? "/fixtures")

    static func url(_ name: String) -> URL { folder.appendingPathComponent(name) }

    static func vectors() throws -> Vectors { try decode("vectors.json") }

    static func predictions() throws -> [Predictions] { try decode("predictions.json") }

    /// Python's hash of a folder with files of awkward names.
    static func folderHash() throws -> FolderHash { try decode("folder-hash.json") }

    static func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: url(name))) }

    /// Little-endian float32 numbers.
    static func floats(_ name: String) throws -> [Float] {
        let data = try bytes(name)
        return stride(from: 0, to: data.count, by: 4).map { i in
            let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(data[i + $1]) << UInt32(8 * $1) }
            return Float(bitPattern: bits)
        }
    }

    static func photo(_ size: [Int], _ decoded: String) throws -> Photo {
        try Photo(
            size: ImageSize(height: size[0], width: size[1]), levels: try bytes(decoded))
    }

    private static func decode<Document: Decodable>(_ name: String) throws -> Document {
        try JSONDecoder().decode(Document.self, from: Data(contentsOf: url(name)))
    }
}

/// A copy of a folder that a test may change; removed when the test has ended.
final class TemporaryFolder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func write(_ text: String, _ name: String) throws {
        let file = url.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
}
