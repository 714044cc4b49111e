import Foundation
import LOLViT
import LOLViTFixtures
import Testing

/// Manifests as `lolvit export` writes them, and damaged ones.
@Suite struct ManifestTests {
    private let temporary: TemporaryFolder

    init() throws {
        temporary = try TemporaryFolder()
    }

    private var source: ModelSource { ModelSource(folder: temporary.url) }

    private func use(_ schema: Int, _ change: (inout [String: Any]) -> Void = { _ in }) throws {
        let data = try Data(contentsOf: Fixtures.url("manifest-schema-\(schema).json"))
        var manifest = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        for (index, artifact) in (manifest["artifacts"] as? [[String: Any]] ?? []).enumerated() {
            // The same files as of Core ML: the library leaves out what a phone of Apple's can't open.
            var artifacts = manifest["artifacts"] as? [[String: Any]] ?? []
            artifacts[index] = artifact.merging(["format": "coreml"]) { $1 }
            manifest["artifacts"] = artifacts
        }
        change(&manifest)
        let changed = try JSONSerialization.data(withJSONObject: manifest)
        try changed.write(to: temporary.url.appendingPathComponent("manifest.json"))
    }

    /// The code and the English line of the failure to load what is there.
    private func failure() throws -> (code: LolvitError.Code, line: String) {
        do {
            _ = try ModelSpec.load(source)
        } catch let error as LolvitError {
            return (error.code, error.description)
        }
        throw Unexpected()
    }

    private struct Unexpected: Error {}

    @Test func bothSchemasGiveOneSpec() throws {
        try use(1)
        let first = try ModelSpec.load(source)
        try use(2)
        #expect(try ModelSpec.load(source) == first)
        #expect(first.name == "lolvit_xx" && first.classes == 10 && first.trained)
        #expect(first.artifacts.count == 2 && !first.artifacts[0].packaged)
        #expect(first.artifacts[0].input.meaning == "normalized")
        #expect(first.preprocessing.size == ImageSize(height: 256, width: 256))
        #expect(first.label(3) == "3" && first.label(10) == "class 10")
    }

    @Test func formatsOfOtherSystemsAreLeftOut() throws {
        let data = try Data(contentsOf: Fixtures.url("manifest-schema-2.json"))
        try data.write(to: temporary.url.appendingPathComponent("manifest.json"))
        #expect(try ModelSpec.load(source).artifacts.isEmpty)
    }

    @Test(arguments: ["tensors", "depth"])
    func anotherTaskIsUnsupported(task: String) throws {
        try use(2) { $0["task"] = task }
        let (code, line) = try failure()
        #expect(code == .taskUnsupported)
        #expect(line.contains("task '\(task)', this app runs classification and"))
    }

    @Test(arguments: [
        ("resize", "tile"), ("color", "RGBA"), ("interpolation", "nearest"),
    ])
    func anotherSettingOfPreprocessingIsUnsupported(setting: String, value: String) throws {
        try use(2) { manifest in
            var changed = manifest["preprocessing"] as? [String: Any] ?? [:]
            changed[setting] = value
            manifest["preprocessing"] = changed
        }
        let (code, line) = try failure()
        #expect(code == .settingUnsupported)
        #expect(line.contains("\(setting) '\(value)', this app implements"))
    }

    @Test func anotherPostprocessingIsUnsupported() throws {
        try use(2) { $0["postprocessing"] = ["kind": "sigmoid"] }
        #expect(try failure().line.contains("postprocessing 'sigmoid', this app implements softmax"))
    }

    @Test func twoOutputsAreUnsupported() throws {
        try use(2) { manifest in
            let one: [String: Any] = ["name": "a", "shape": [1, 4], "meaning": "tensor"]
            manifest["signature"] = ["inputs": [], "outputs": [one, one]]
        }
        let (code, line) = try failure()
        #expect(code == .tensorsUnsupported)
        #expect(line.contains("the signature has 2 outputs, classification has 1"))
    }

    @Test(arguments: [
        ("size", "[0, 256]"), ("size", "[256]"), ("size", "\"256\""), ("crop_pct", "0"),
        ("crop_pct", "2.5"), ("crop_pct", "1e-300"), ("mean", "[0.5]"), ("std", "[0.5, 0, 0.5]"),
        ("std", "null"),
    ])
    func aSettingThatIsOutOfRangeIsNamed(field: String, value: String) throws {
        let any = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
        try use(2) { manifest in
            var changed = manifest["preprocessing"] as? [String: Any] ?? [:]
            changed[field] = any
            manifest["preprocessing"] = changed
        }
        let (code, line) = try failure()
        #expect(code == .manifestInvalid && line.contains(field), "\(line)")
    }

    /// A detector of 96x128 pixels, whose manifest a test may change.
    private func useDetector(_ change: (inout [String: Any]) -> Void) throws {
        let detector = try #require(try Fixtures.predictions().first { $0.task == "detection" })
        let data = try detector.source.data("manifest.json")
        var manifest = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        change(&manifest)
        let changed = try JSONSerialization.data(withJSONObject: manifest)
        try changed.write(to: temporary.url.appendingPathComponent("manifest.json"))
    }

    @Test func aDetectorsParametersAreRead() throws {
        try useDetector { _ in }
        let spec = try ModelSpec.load(source)
        guard case .boxes(let parameters) = spec.postprocessing else { throw Unexpected() }
        #expect(spec.task == .detection && spec.classes == 3 && spec.labels == ["ant", "bee", "cat"])
        #expect(parameters.strides == [8, 16, 32] && parameters.maxDetections == 100)
        #expect(spec.preprocessing.resize == .letterbox && spec.colors.count == 3)
        try useDetector { $0["colors"] = ["#000001", "#000002", "#0000ff"] }
        #expect(try ModelSpec.load(source).colors[2] == ClassColor(red: 0, green: 0, blue: 255))
    }

    @Test(arguments: [
        ("strides", "[]"), ("strides", "[0]"), ("score_threshold", "1.5"), ("iou_threshold", "-1"),
        ("max_candidates", "0"), ("max_detections", "0"),
    ])
    func aDetectorsParameterThatIsOutOfRangeIsNamed(field: String, value: String) throws {
        let any = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
        try useDetector { manifest in
            var changed = manifest["postprocessing"] as? [String: Any] ?? [:]
            changed[field] = any
            manifest["postprocessing"] = changed
        }
        let (code, line) = try failure()
        #expect(code == .manifestInvalid && line.contains("\(field) is out of range"), "\(line)")
    }

    @Test func aDetectorWithOtherPointsThanItsStridesIsRejected() throws {
        try useDetector { manifest in
            var changed = manifest["postprocessing"] as? [String: Any] ?? [:]
            changed["strides"] = [8, 16]
            manifest["postprocessing"] = changed
        }
        #expect(try failure().line.contains("are not boxes and scores of 240 points"))
        try useDetector { $0["colors"] = ["#000001", "red", "#0000ff"] }
        #expect(try failure().line.contains("2 colors for 3 classes"))
    }

    @Test(arguments: [
        (1, "model"), (1, "num_classes"), (1, "preprocess"), (1, "weights"), (1, "artifacts"),
        (2, "model"), (2, "task"), (2, "signature"), (2, "preprocessing"), (2, "weights"),
        (2, "artifacts"),
    ])
    func aMissingFieldIsNamed(schema: Int, field: String) throws {
        try use(schema) { $0[field] = nil }
        #expect(try failure().line.contains("'\(field)' is missing; export the model again"))
    }

    @Test(arguments: ["3", "0", "\"1\"", "null", "true", "1.5"])
    func anotherSchemaVersionIsUnsupported(version: String) throws {
        try temporary.write("{\"schema_version\": \(version)}", "manifest.json")
        let (code, line) = try failure()
        #expect(code == .schemaUnsupported && line.contains("this app reads 1 and 2"), "\(line)")
    }

    @Test func whatIsNoJSONIsRejected() throws {
        let deep = [String(repeating: "{\"a\":", count: 100_000), String(repeating: "[", count: 100_000)]
        for text in ["", "{", "[1, 2]", "not json", "\u{0}\u{1}"] + deep {
            try temporary.write(text, "manifest.json")
            #expect(try failure().code == .manifestInvalid)
        }
    }

    @Test func aFolderWithoutAManifestIsNamed() throws {
        let (code, line) = try failure()
        #expect(code == .manifestMissing)
        #expect(line == "\(temporary.url.path): no manifest.json here; package the model again")
    }

    @Test(arguments: ["../other", "/etc/passwd", "a/../../b", "..\\x", "", "a//b"])
    func aPathThatLeavesTheFolderIsRejected(path: String) throws {
        try use(2) { manifest in
            var artifacts = manifest["artifacts"] as? [[String: Any]] ?? []
            artifacts[0]["path"] = path
            manifest["artifacts"] = artifacts
        }
        #expect(try failure().code == .pathLeavesFolder)
    }

    @Test func labelsComeFromTheirOwnFileWhereTheManifestHasNone() throws {
        try use(2) { $0["labels"] = nil }
        #expect(try ModelSpec.load(source).label(3) == "class 3")
        try temporary.write((0..<10).map { "digit \($0)\r\n" }.joined(), "labels.txt")
        #expect(try ModelSpec.load(source).label(3) == "digit 3")
        try temporary.write("one\ntwo\n", "labels.txt")
        let (code, line) = try failure()
        #expect(code == .labelsMismatch && line.contains("2 labels for 10 classes"))
    }

    @Test func messagesAreOneLineAndTranslatable() {
        for code in LolvitError.Code.allCases {
            #expect(!code.english.isEmpty && !code.english.contains("\n"))
        }
        let error = LolvitError(.artifactMissing, ["path": "a\nb\u{7}"])
        #expect(error.description == "a b?: missing; package the model again")
        #expect(error.localizedDescription == error.description)
        #expect(error.message(template: "Es fehlt: {path}") == "Es fehlt: a b?")
    }
}
