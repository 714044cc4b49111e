/// What this library reads of a manifest of schema version 2.
struct ManifestSchema2: Decodable {
    struct Weights: Decodable {
        let trained: Bool
        let source: String
    }

    struct Preprocessing: Decodable {
        let size: [Int]
        let resize: String?
        let cropPct: Double
        let interpolation: String?
        let mean: [Float]
        let std: [Float]
        let color: String?

        enum CodingKeys: String, CodingKey {
            case size, resize, interpolation, mean, std, color
            case cropPct = "crop_pct"
        }
    }

    /// The parameters of all kinds; those of another kind are absent.
    struct Postprocessing: Decodable {
        let kind: String?
        let strides: [Int]?
        let scoreThreshold: Double?
        let iouThreshold: Double?
        let maxCandidates: Int?
        let maxDetections: Int?
        let upsample: String?
        let ignore: Int?
        let numClasses: Int?

        enum CodingKeys: String, CodingKey {
            case kind, strides, upsample, ignore
            case scoreThreshold = "score_threshold"
            case iouThreshold = "iou_threshold"
            case maxCandidates = "max_candidates"
            case maxDetections = "max_detections"
            case numClasses = "num_classes"
        }
    }

    struct Tensor: Decodable {
        let name: String
        let shape: [Int]
        let dtype: String?
        let layout: String?
        let meaning: String
    }

    struct Signature: Decodable {
        let outputs: [Tensor]
    }

    struct Artifact: Decodable {
        let path: String
        let format: String
        let precision: String
        let sha256: String
        let bytes: Int
        let inputs: [Tensor]
        let outputs: [Tensor]
    }

    let model: String
    let task: String
    let params: Int
    let macs: Int
    let weights: Weights
    let preprocessing: Preprocessing
    let postprocessing: Postprocessing?
    let labels: [String]?
    let colors: [String]?
    let signature: Signature
    let artifacts: [Artifact]
}

/// What this library reads of a manifest of schema version 1, which knows classification only.
///
/// It has `preprocess` without `resize`, `num_classes` in place of the signature, one `input` and one
/// `output` for each artifact, and `values` for a tensor's `meaning`.
struct ManifestSchema1: Decodable {
    struct Tensor: Decodable {
        let name: String
        let shape: [Int]
        let dtype: String?
        let layout: String?
        let values: String

        var upgraded: ManifestSchema2.Tensor {
            .init(name: name, shape: shape, dtype: dtype, layout: layout, meaning: values)
        }
    }

    struct Artifact: Decodable {
        let path: String
        let format: String
        let precision: String
        let sha256: String
        let bytes: Int
        let input: Tensor
        let output: Tensor
    }

    let model: String
    let params: Int
    let macs: Int
    let classes: Int
    let weights: ManifestSchema2.Weights
    let preprocess: ManifestSchema2.Preprocessing
    let labels: [String]?
    let artifacts: [Artifact]

    enum CodingKeys: String, CodingKey {
        case model, params, macs, weights, preprocess, labels, artifacts
        case classes = "num_classes"
    }

    func upgraded() -> ManifestSchema2 {
        let logits = ManifestSchema2.Tensor(
            name: "logits", shape: [1, classes], dtype: nil, layout: "NC", meaning: "logits")
        return ManifestSchema2(
            model: model, task: "classification", params: params, macs: macs, weights: weights,
            preprocessing: preprocess, postprocessing: nil, labels: labels, colors: nil,
            signature: .init(outputs: [logits]),
            artifacts: artifacts.map {
                .init(
                    path: $0.path, format: $0.format, precision: $0.precision, sha256: $0.sha256,
                    bytes: $0.bytes, inputs: [$0.input.upgraded], outputs: [$0.output.upgraded])
            })
    }
}
