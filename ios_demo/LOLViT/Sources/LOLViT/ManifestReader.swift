import Foundation

/// Reads `manifest.json` as lolvit/manifest.py writes it: schema version 2, or version 1, which is
/// converted to version 2.
struct ManifestReader {
    private static let name = "manifest.json"
    private static let labelsName = "labels.txt"
    private static let task = "classification"
    private static let formats: Set = ["coreml", "coreai"]
    private static let versions = [1, 2]

    let source: ModelSource

    private var folder: String { source.folder.path }

    func read() throws -> ModelSpec {
        guard source.exists(Self.name) else {
            throw LolvitError(.manifestMissing, ["folder": folder])
        }
        let data = try source.data(Self.name)
        switch try version(data) {
        case 1: return try spec(try decode(ManifestSchema1.self, data).upgraded())
        default: return try spec(try decode(ManifestSchema2.self, data))
        }
    }

    private func version(_ data: Data) throws -> Int {
        struct Versioned: Decodable {
            let version: Version

            enum CodingKeys: String, CodingKey {
                case version = "schema_version"
            }
        }
        let found = try decode(Versioned.self, data).version
        guard case .number(let number) = found, Self.versions.contains(number) else {
            let supported = Self.versions.map(String.init).joined(separator: " and ")
            throw LolvitError(
                .schemaUnsupported,
                ["folder": folder, "version": found.text, "supported": supported])
        }
        return number
    }

    private func decode<Document: Decodable>(_ type: Document.Type, _ data: Data) throws -> Document {
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch let error as DecodingError {
            throw invalid(error.reason)
        }
    }

    private func spec(_ manifest: ManifestSchema2) throws -> ModelSpec {
        try require("task", manifest.task, [Self.task], .taskUnsupported)
        try require("postprocessing", manifest.postprocessing?.kind ?? "softmax", ["softmax"])
        let classes = try classes(manifest.signature)
        return ModelSpec(
            name: manifest.model,
            preprocessing: try preprocessing(manifest.preprocessing),
            classes: classes,
            labels: try labels(manifest.labels, classes),
            trained: manifest.weights.trained,
            weightsSource: manifest.weights.source,
            params: manifest.params,
            macs: manifest.macs,
            artifacts: try manifest.artifacts
                .filter { Self.formats.contains($0.format) }
                .map(artifact)
        )
    }

    private func require(
        _ setting: String, _ value: String, _ supported: [String],
        _ code: LolvitError.Code = .settingUnsupported
    ) throws {
        guard supported.contains(value) else {
            let listed = supported.joined(separator: " and ")
            throw LolvitError(
                code,
                [
                    "folder": folder, "setting": setting, "value": value, "task": value,
                    "supported": listed,
                ])
        }
    }

    private func preprocessing(_ found: ManifestSchema2.Preprocessing) throws -> Preprocessing {
        try require("resize", found.resize ?? "crop", ["crop"])
        try require("color", found.color ?? "RGB", ["RGB"])
        let interpolation = found.interpolation ?? Interpolation.bicubic.rawValue
        try require("interpolation", interpolation, Interpolation.allCases.map(\.rawValue))
        guard found.size.count == 2 else { throw invalid("size \(found.size) is out of range") }
        let size = ImageSize(height: found.size[0], width: found.size[1])
        if let problem = Preprocessing.problem(size, found.cropPct, found.mean, found.std) {
            throw invalid("\(problem) is out of range")
        }
        return Preprocessing(
            size: size, cropPct: found.cropPct,
            interpolation: Interpolation(rawValue: interpolation) ?? .bicubic,
            mean: found.mean, std: found.std)
    }

    /// The number of classes: the last axis of the one output, logits of shape (1, classes).
    private func classes(_ signature: ManifestSchema2.Signature) throws -> Int {
        let logits = try only(signature.outputs, "outputs", "the signature")
        try require("meaning", logits.meaning, ["logits"])
        guard logits.shape.count == 2, logits.shape[0] == 1, logits.shape[1] > 0 else {
            throw invalid("shape \(logits.shape) of the logits is out of range")
        }
        return logits.shape[1]
    }

    private func artifact(_ found: ManifestSchema2.Artifact) throws -> ArtifactSpec {
        let parts = found.path.split(separator: "/", omittingEmptySubsequences: false)
        guard !parts.contains(""), !parts.contains(".."), !found.path.contains("\\") else {
            throw LolvitError(.pathLeavesFolder, ["folder": folder, "path": found.path])
        }
        return ArtifactSpec(
            path: found.path, format: found.format, precision: found.precision,
            sha256: found.sha256, bytes: found.bytes,
            input: tensor(try only(found.inputs, "inputs", found.path)),
            output: tensor(try only(found.outputs, "outputs", found.path)),
            packaged: source.exists(found.path))
    }

    private func only<Tensor>(_ tensors: [Tensor], _ kind: String, _ owner: String) throws -> Tensor {
        guard tensors.count == 1 else {
            throw LolvitError(
                .tensorsUnsupported,
                ["folder": folder, "owner": owner, "count": String(tensors.count), "kind": kind])
        }
        return tensors[0]
    }

    private func tensor(_ found: ManifestSchema2.Tensor) -> TensorSpec {
        TensorSpec(
            name: found.name, shape: found.shape, dtype: found.dtype ?? "float32",
            layout: found.layout.flatMap(Layout.init), meaning: found.meaning)
    }

    private func labels(_ listed: [String]?, _ classes: Int) throws -> [String] {
        var labels = listed ?? []
        if listed == nil, source.exists(Self.labelsName) {
            let text = String(decoding: try source.data(Self.labelsName), as: UTF8.self)
            labels = text.trimmingCharacters(in: .whitespacesAndNewlines)
                .split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
                .map(String.init)
        }
        guard labels.isEmpty || labels.count == classes else {
            throw LolvitError(
                .labelsMismatch,
                ["folder": folder, "labels": String(labels.count), "classes": String(classes)])
        }
        return labels
    }

    private func invalid(_ reason: String) -> LolvitError {
        LolvitError(.manifestInvalid, ["folder": folder, "reason": reason])
    }
}

/// A schema version as a manifest has it, which need not be a number.
private enum Version: Decodable {
    case number(Int)
    case other(String)

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let number = try? value.decode(Int.self) {
            self = .number(number)
        } else if let text = try? value.decode(String.self) {
            self = .other("'\(text)'")
        } else {
            self = .other("null or no number")
        }
    }

    var text: String {
        switch self {
        case .number(let number): String(number)
        case .other(let text): text
        }
    }
}

extension DecodingError {
    /// The field and what is wrong with it, as part of one line.
    fileprivate var reason: String {
        switch self {
        case .keyNotFound(let key, let context): "\(place(context, key)) is missing"
        case .typeMismatch(let type, let context): "\(place(context)) is not of type \(type)"
        case .valueNotFound(_, let context): "\(place(context)) is null"
        case .dataCorrupted(let context) where context.codingPath.isEmpty: "not a manifest"
        case .dataCorrupted(let context): "\(place(context)) is out of range"
        @unknown default: "not a manifest"
        }
    }

    private func place(_ context: Context, _ key: (any CodingKey)? = nil) -> String {
        let path = context.codingPath + [key].compactMap { $0 }
        let text = path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
        return text.isEmpty ? "the document" : "'\(text)'"
    }
}
