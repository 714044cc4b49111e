import Foundation

/// Reads `manifest.json` as lolvit/manifest.py writes it: schema version 2, or version 1, which is
/// converted to version 2.
struct ManifestReader {
    private static let name = "manifest.json"
    private static let labelsName = "labels.txt"
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
        let task = try setting("task", manifest.task, ModelTask.self, .taskUnsupported)
        let preprocessing = try preprocessing(manifest.preprocessing)
        let postprocessing = try postprocessing(manifest.postprocessing, task)
        let outputs = manifest.signature.outputs.map(tensor)
        let computed = manifest.postprocessing?.numClasses
        let classes = try classes(outputs, task, preprocessing.size, postprocessing, computed)
        return ModelSpec(
            name: manifest.model,
            task: task,
            preprocessing: preprocessing,
            postprocessing: postprocessing,
            classes: classes,
            labels: try labels(manifest.labels, classes),
            colors: try colors(manifest.colors, classes),
            trained: manifest.weights.trained,
            weightsSource: manifest.weights.source,
            params: manifest.params,
            macs: manifest.macs,
            outputs: outputs,
            artifacts: try manifest.artifacts
                .filter { Self.formats.contains($0.format) }
                .map { try artifact($0, outputs.count, task) }
        )
    }

    /// A setting of which this library implements the cases of an enumeration.
    private func setting<Setting: RawRepresentable<String> & CaseIterable>(
        _ name: String, _ value: String, _ type: Setting.Type,
        _ code: LolvitError.Code = .settingUnsupported
    ) throws -> Setting {
        try require(name, value, type.allCases.map(\.rawValue), code)
        guard let found = Setting(rawValue: value) else { preconditionFailure(value) }
        return found
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
        let resize = try setting("resize", found.resize ?? "crop", ResizeMode.self)
        let color = try setting("color", found.color ?? "RGB", ColorMode.self)
        let interpolation = try setting(
            "interpolation", found.interpolation ?? "bicubic", Interpolation.self)
        guard found.size.count == 2 else { throw invalid("size \(found.size) is out of range") }
        let size = ImageSize(height: found.size[0], width: found.size[1])
        if let problem = Preprocessing.problem(
            size, resize, found.cropPct, found.mean, found.std, color)
        {
            throw invalid("\(problem) is out of range")
        }
        return Preprocessing(
            size: size, resize: resize, cropPct: found.cropPct, interpolation: interpolation,
            mean: found.mean, std: found.std, color: color)
    }

    private func postprocessing(_ found: ManifestSchema2.Postprocessing?, _ task: ModelTask) throws
        -> Postprocessing
    {
        switch task {
        case .classification:
            try require("postprocessing", found?.kind ?? "softmax", ["softmax"])
            return .softmax
        case .detection:
            try require("postprocessing", found?.kind ?? "boxes_ltrb", ["boxes_ltrb"])
            return .boxes(try boxes(found))
        case .segmentation:
            let kind = found?.kind ?? "argmax"
            try require("postprocessing", kind, ["argmax", "class_map"])
            let upsample = found?.upsample ?? "bilinear_half_pixel"
            try require("upsample", upsample, ["bilinear_half_pixel"])
            guard let ignore = UInt8(exactly: found?.ignore ?? 255) else {
                throw invalid("ignore is out of range")
            }
            return .map(MapParameters(isComputed: kind == "class_map", ignore: ignore))
        }
    }

    /// The parameters of a detector; defaults are those of lolvit/tasks/detection.py.
    private func boxes(_ found: ManifestSchema2.Postprocessing?) throws -> BoxParameters {
        let read = BoxParameters(
            strides: found?.strides ?? [8, 16, 32],
            scoreThreshold: found?.scoreThreshold ?? 0.3,
            iouThreshold: found?.iouThreshold ?? 0.6,
            maxCandidates: found?.maxCandidates ?? 1000,
            maxDetections: found?.maxDetections ?? 100)
        let share = 0.0...1.0
        let problems = [
            "strides": read.strides.isEmpty || !read.strides.allSatisfy { (1...1 << 15).contains($0) },
            "score_threshold": !share.contains(read.scoreThreshold),
            "iou_threshold": !share.contains(read.iouThreshold),
            "max_candidates": read.maxCandidates < 1,
            "max_detections": read.maxDetections < 1,
        ]
        if let problem = problems.filter(\.value).keys.min() {
            throw invalid("\(problem) is out of range")
        }
        return read
    }

    /// The number of classes, from the outputs' shapes; `computed` is that of a model that computes a map.
    private func classes(
        _ outputs: [TensorSpec], _ task: ModelTask, _ size: ImageSize, _ parameters: Postprocessing,
        _ computed: Int?
    ) throws -> Int {
        if case .boxes(let boxes) = parameters { return try classes(outputs, size, boxes) }
        if case .map(let map) = parameters, map.isComputed {
            let output = try only(outputs, "outputs", "the signature", task)
            try require("meaning", output.meaning, ["classes"])
            guard output.shape == [1, size.height, size.width], let computed,
                (2...255).contains(computed)
            else { throw invalid("shape \(output.shape) of the map, or num_classes, is out of range") }
            return computed
        }
        let logits = try only(outputs, "outputs", "the signature", task)
        try require("meaning", logits.meaning, ["logits"])
        let rank = task == .segmentation ? 4 : 2
        guard logits.shape.count == rank, logits.shape[0] == 1, logits.shape.allSatisfy({ $0 > 0 }),
            task == .classification || logits.shape[1] <= 255
        else { throw invalid("shape \(logits.shape) of the logits is out of range") }
        return logits.shape[1]
    }

    /// The number of classes of a detector: the second axis of its scores.
    private func classes(_ outputs: [TensorSpec], _ size: ImageSize, _ parameters: BoxParameters) throws
        -> Int
    {
        let points = DetectorPoint.all(size, parameters.strides).count
        let found = Dictionary(outputs.map { ($0.name, $0.shape) }) { first, _ in first }
        guard outputs.count == 2, found["boxes"] == [1, 4, points], let scores = found["scores"],
            scores.count == 3, scores[0] == 1, scores[1] > 0, scores[2] == points
        else {
            let listed = outputs.map { "\($0.name) \($0.shape)" }.joined(separator: ", ")
            throw invalid("outputs \(listed) are not boxes and scores of \(points) points")
        }
        return scores[1]
    }

    private func colors(_ listed: [String]?, _ classes: Int) throws -> [ClassColor] {
        guard let listed else { return ClassColor.palette(classes) }
        let colors = listed.compactMap(ClassColor.init(hex:))
        guard colors.count == classes, listed.count == classes else {
            throw invalid("\(colors.count) colors for \(classes) classes")
        }
        return colors
    }

    private func artifact(_ found: ManifestSchema2.Artifact, _ outputs: Int, _ task: ModelTask) throws
        -> ArtifactSpec
    {
        let parts = found.path.split(separator: "/", omittingEmptySubsequences: false)
        guard !parts.contains(""), !parts.contains(".."), !found.path.contains("\\") else {
            throw LolvitError(.pathLeavesFolder, ["folder": folder, "path": found.path])
        }
        guard found.outputs.count == outputs else {
            throw unsupported(found.path, found.outputs.count, "outputs", outputs, task)
        }
        return ArtifactSpec(
            path: found.path, format: found.format, precision: found.precision,
            sha256: found.sha256, bytes: found.bytes,
            input: tensor(try only(found.inputs, "inputs", found.path, task)),
            outputs: found.outputs.map(tensor),
            packaged: source.exists(found.path))
    }

    private func only<Tensor>(_ tensors: [Tensor], _ kind: String, _ owner: String, _ task: ModelTask)
        throws -> Tensor
    {
        guard tensors.count == 1 else { throw unsupported(owner, tensors.count, kind, 1, task) }
        return tensors[0]
    }

    private func unsupported(
        _ owner: String, _ count: Int, _ kind: String, _ expected: Int, _ task: ModelTask
    ) -> LolvitError {
        LolvitError(
            .tensorsUnsupported,
            [
                "folder": folder, "owner": owner, "count": String(count), "kind": kind,
                "task": task.rawValue, "expected": String(expected),
            ])
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
