import Foundation
import LOLViT

/// What `make ios-test` wrote: decoded photos, what Python makes of them, and exported models.
public enum Fixtures {
    public struct Vectors: Decodable {
        public let settings: [String: Settings]
        public let photos: [PhotoVector]
    }

    public struct Settings: Decodable {
        public let size: [Int]
        public let resize: String
        public let crop_pct: Double
        public let interpolation: String
        public let mean: [Float]
        public let std: [Float]
        public let color: String

        public var preprocessing: Preprocessing {
            Preprocessing(
                size: ImageSize(height: size[0], width: size[1]), resize: ResizeMode(rawValue: resize)!,
                cropPct: crop_pct, interpolation: Interpolation(rawValue: interpolation)!, mean: mean,
                std: std, color: ColorMode(rawValue: color)!)
        }
    }

    /// A decoded photo, Python's levels of it for each of the settings, and its inputs for one; a turned
    /// one also as its file has it.
    public struct PhotoVector: Decodable {
        public let photo: String
        public let size: [Int]
        public let decoded: String
        public let levels: [String: String]
        public let inputs: [String: String]
        public let orientation: Int?
        public let stored: String?
        public let stored_size: [Int]?
    }

    /// What Python makes of photos with one artifact of an exported model.
    public struct Predictions: Decodable, Sendable, CustomStringConvertible {
        public let model: String
        public let artifact: String
        public let runtime: String
        public let task: String
        public let photos: [PredictedPhoto]

        public var source: ModelSource { ModelSource(folder: url(model)) }
        public var description: String { "\(model)/\(artifact)" }
    }

    public struct PredictedPhoto: Decodable, Sendable {
        public let photo: String
        public let size: [Int]
        public let decoded: String
        public let input: String

        /// By their names in the artifact.
        public let outputs: [String: String]
        public let options: Options
        public let prediction: Prediction
        public let map: String?
    }

    public struct Options: Decodable, Sendable {
        public let score_threshold: Double?
    }

    /// The document of a prediction of any task.
    public struct Prediction: Decodable, Sendable {
        public let top: [Ranked]?
        public let detections: [Detected]?
        public let classes: [Share]?
    }

    public struct Ranked: Decodable, Sendable {
        public let index: Int
        public let label: String?
        public let score: Double
    }

    public struct Detected: Decodable, Sendable {
        public let index: Int
        public let label: String?
        public let score: Double
        public let box: [Double]

        public init(index: Int, label: String?, score: Double, box: [Double]) {
            self.index = index
            self.label = label
            self.score = score
            self.box = box
        }
    }

    public struct Share: Decodable, Sendable {
        public let index: Int
        public let share: Double
    }

    public struct FolderHash: Decodable {
        public let sha256: String
        public let bytes: Int
    }

    public static let folder = URL(
        fileURLWithPath: ProcessInfo.processInfo.environment["LOLVIT_FIXTURES"] ?? "/fixtures")

    /// Where tests write what Python checks; nil where nobody does.
    public static let results = ProcessInfo.processInfo.environment["LOLVIT_RESULTS"]
        .map { URL(fileURLWithPath: $0) }

    public static func url(_ name: String) -> URL { folder.appendingPathComponent(name) }

    public static func vectors() throws -> Vectors { try decode("vectors.json") }

    public static func predictions() throws -> [Predictions] { try decode("predictions.json") }

    /// Python's hash of a folder with files of awkward names.
    public static func folderHash() throws -> FolderHash { try decode("folder-hash.json") }

    public static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: url(name)))
    }

    /// Little-endian float32 numbers.
    public static func floats(_ name: String) throws -> [Float] { floats(try bytes(name)) }

    public static func floats(_ data: [UInt8]) -> [Float] {
        stride(from: 0, to: data.count, by: 4).map { i in
            let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(data[i + $1]) << UInt32(8 * $1) }
            return Float(bitPattern: bits)
        }
    }

    public static func photo(_ size: [Int], _ decoded: String) throws -> Photo {
        try Photo(
            size: ImageSize(height: size[0], width: size[1]), levels: try bytes(decoded))
    }

    /// An artifact's outputs for a photo, by their names in it.
    public static func outputs(_ photo: PredictedPhoto, _ artifact: ArtifactSpec) throws
        -> [String: Tensor]
    {
        var found: [String: Tensor] = [:]
        for spec in artifact.outputs {
            guard let name = photo.outputs[spec.name] else { continue }
            found[spec.name] = Tensor(shape: spec.shape, values: try floats(name))
        }
        return found
    }

    /// The outputs of the self-check that Python wrote beside a model.
    public static func selfCheckOutputs(_ source: ModelSource, _ artifact: ArtifactSpec) throws
        -> [String: Tensor]
    {
        struct Document: Decodable {
            struct Artifact: Decodable {
                let path: String
                let outputs: [Output]
            }

            struct Output: Decodable {
                let name: String
                let shape: [Int]
                let values: Data
            }

            let artifacts: [Artifact]
        }
        let file = source.folder.appendingPathComponent("self-check.json")
        let document = try JSONDecoder().decode(Document.self, from: Data(contentsOf: file))
        let own = document.artifacts.first { $0.path == artifact.path }?.outputs ?? []
        return Dictionary(
            uniqueKeysWithValues: own.map {
                ($0.name, Tensor(shape: $0.shape, values: floats([UInt8]($0.values))))
            })
    }

    public static func decode<Document: Decodable>(_ name: String) throws -> Document {
        try JSONDecoder().decode(Document.self, from: Data(contentsOf: url(name)))
    }
}

/// A folder for a test; removed when the test has ended.
public final class TemporaryFolder: Sendable {
    public let url: URL

    public init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    public func write(_ text: String, _ name: String) throws {
        let file = url.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    /// A copy of an exported model, which a test may change.
    public func copy(_ predictions: Fixtures.Predictions) throws -> ModelSource {
        let to = url.appendingPathComponent(predictions.model)
        try FileManager.default.copyItem(at: predictions.source.folder, to: to)
        return ModelSource(folder: to)
    }
}

/// The error that is expected of an operation; nil where it throws none, or another one.
public func lolvitError<Value>(_ operation: () async throws -> Value) async -> LolvitError? {
    do {
        _ = try await operation()
        return nil
    } catch {
        return error as? LolvitError
    }
}
