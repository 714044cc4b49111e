import Foundation
import LOLViT

/// Folders of models in a temporary folder, which is removed with it.
final class ModelFolders: Sendable {
    static let side = 8
    static let labels = ["cat", "dog", "owl"]

    let root: URL

    init() throws {
        root = FileManager.default.temporaryDirectory
            .appendingPathComponent("lolvit-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: root) }

    var list: @Sendable () -> [ModelSource] { { [root] in ModelSource.list(in: root) } }

    /// Writes a classifier of three classes whose artifact is a file of a few bytes, and a self-check
    /// whose outputs are `expected`.
    @discardableResult
    func add(_ name: String = "lolvit_tiny", expected: [Float]? = nil) throws -> URL {
        let folder = root.appendingPathComponent(name)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let artifact = Data("the model \(name)".utf8)
        try artifact.write(to: folder.appendingPathComponent("model-fp16.mlpackage"))
        var hash = SHA256()
        hash.update(artifact)
        try write(Self.manifest(name, hash.hex(), artifact.count), folder, "manifest.json")
        if let expected { try write(Self.selfCheck(hash.hex(), expected), folder, "self-check.json") }
        return folder
    }

    /// Changes the text of a model's manifest.
    func edit(_ folder: URL, _ old: String, _ new: String) throws {
        let file = folder.appendingPathComponent("manifest.json")
        let text = try String(contentsOf: file, encoding: .utf8)
        guard text.contains(old) else { throw CocoaError(.formatting) }
        try Data(text.replacingOccurrences(of: old, with: new).utf8).write(to: file)
    }

    private func write(_ document: [String: Any], _ folder: URL, _ name: String) throws {
        try JSONSerialization.data(withJSONObject: document, options: .withoutEscapingSlashes)
            .write(to: folder.appendingPathComponent(name))
    }

    private static func manifest(_ name: String, _ sha256: String, _ bytes: Int) -> [String: Any] {
        let image: [String: Any] = [
            "name": "image", "shape": [1, 3, side, side], "dtype": "float32", "layout": "NCHW",
            "meaning": "pixels",
        ]
        let logits: [String: Any] = [
            "name": "logits", "shape": [1, 3], "dtype": "float32", "layout": "NC", "meaning": "logits",
        ]
        return [
            "schema_version": 2, "model": name, "task": "classification", "params": 1000,
            "macs": 2000, "size": [side, side], "labels": labels,
            "weights": ["trained": true, "source": "tests", "sha256": sha256],
            "preprocessing": [
                "size": [side, side], "crop_pct": 1, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
            ],
            "signature": ["inputs": [image], "outputs": [logits]],
            "artifacts": [
                [
                    "path": "model-fp16.mlpackage", "format": "coreml", "precision": "fp16",
                    "sha256": sha256, "bytes": bytes, "inputs": [image], "outputs": [logits],
                ] as [String: Any]
            ],
        ]
    }

    private static func selfCheck(_ sha256: String, _ expected: [Float]) -> [String: Any] {
        let values = expected.withUnsafeBytes { Data($0) }
        return [
            "schema_version": 1, "kind": "lolvit-self-check", "size": [side, side],
            "levels": Data(repeating: 100, count: 3 * side * side).base64EncodedString(),
            "artifacts": [
                [
                    "path": "model-fp16.mlpackage", "sha256": sha256, "min_snr_db": 30,
                    "outputs": [
                        ["name": "logits", "shape": [1, 3], "values": values.base64EncodedString()]
                            as [String: Any]
                    ],
                ] as [String: Any]
            ],
        ]
    }
}

/// A runtime of the tests, in place of Core ML: returns the same logits for every photo, or fails.
struct FakeKind: EngineKind {
    static let logits: [Float] = [0, 3, 1]

    let format = "coreml"
    let title = "Core ML"
    let units: [ComputeUnit] = [.neuralEngine, .gpu, .cpu]
    var absent: Set<ComputeUnit> = []
    var compileError: LolvitError?
    var openError: (any Error)?
    var runError: (any Error)?

    /// By compute unit, where it computes something else.
    var wrong: [ComputeUnit: [Float]] = [:]

    /// Waits for this before each run.
    var gate: Gate?

    func missing(_ artifact: ArtifactSpec, _ unit: ComputeUnit) -> LolvitError? {
        absent.contains(unit) ? LolvitError(.computeUnitAbsent, ["unit": unit.title]) : nil
    }

    func compile(_ artifact: URL) async throws -> URL? {
        if let compileError { throw compileError }
        return nil
    }

    func open(_ model: URL, _ artifact: ArtifactSpec, _ unit: ComputeUnit) async throws -> any Engine {
        if let openError { throw openError }
        return FakeEngine(logits: wrong[unit] ?? Self.logits, error: runError, gate: gate)
    }
}

struct FakeEngine: Engine {
    let version = "1"
    let options: [String: String] = [:]
    let logits: [Float]
    let error: (any Error)?
    let gate: Gate?

    func run(_ input: ModelInput) async throws -> [String: Tensor] {
        await gate?.pass()
        try? await Task.sleep(for: .milliseconds(1))  // as a small model takes
        if let error { throw error }
        return ["logits": Tensor(shape: [1, logits.count], values: logits)]
    }

    func placement() async -> [String: Int] { [:] }
}

/// Lets runs wait until it is opened.
actor Gate {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func pass() async {
        if !isOpen { await withCheckedContinuation { waiting.append($0) } }
    }

    func open() {
        isOpen = true
        waiting.forEach { $0.resume() }
        waiting = []
    }
}
