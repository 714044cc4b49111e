/// A height and a width in pixels, in the manifest's order.
public struct ImageSize: Equatable, Sendable, CustomStringConvertible {
    public let height: Int
    public let width: Int

    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    public var description: String { "\(height)x\(width)" }
}

/// The order of an image tensor's axes: planes of channels, or channels of each pixel together.
public enum Layout: String, Equatable, Sendable, CaseIterable {
    case nchw = "NCHW"
    case nhwc = "NHWC"
}

/// The filter that a photo is resized with, as Pillow names it.
public enum Interpolation: String, Equatable, Sendable, CaseIterable {
    case bicubic
    case bilinear
}

/// One input or output of an artifact.
public struct TensorSpec: Equatable, Sendable {
    public let name: String
    public let shape: [Int]
    public let dtype: String

    /// The order of the axes; nil for a tensor that is not an image.
    public let layout: Layout?

    /// Of an input: `normalized`, or `pixels` from 0 to 255, normalized inside the artifact; of an
    /// output: `logits`.
    public let meaning: String
}

/// One artifact: a folder that Core ML or Core AI opens.
public struct ArtifactSpec: Equatable, Sendable {
    /// The relative path in the model's folder.
    public let path: String

    /// `coreml` or `coreai`.
    public let format: String

    /// `fp32`, `fp16`, `int8`, `w8a16` or `w4`.
    public let precision: String
    public let sha256: String
    public let bytes: Int
    public let input: TensorSpec
    public let output: TensorSpec

    /// Whether the model's folder has it.
    public let packaged: Bool
}

/// The preprocessing of a photo, as the manifest defines it: resize so that it covers the box
/// `size / cropPct`, crop `size` at the centre, normalize.
public struct Preprocessing: Equatable, Sendable {
    /// Height and width of the crop.
    public let size: ImageSize

    /// Crop size / resized size, in (0, 1].
    public let cropPct: Double
    public let interpolation: Interpolation

    /// Of red, green and blue, of pixel values in [0, 1].
    public let mean: [Float]
    public let std: [Float]

    /// - Precondition: sizes and deviations are positive, `cropPct` is in (0, 1], and there are three
    ///   means and deviations.
    public init(
        size: ImageSize, cropPct: Double, interpolation: Interpolation, mean: [Float], std: [Float]
    ) {
        precondition(Self.problem(size, cropPct, mean, std) == nil)
        self.size = size
        self.cropPct = cropPct
        self.interpolation = interpolation
        self.mean = mean
        self.std = std
    }

    /// The name of the first setting that is out of range, or nil.
    static func problem(
        _ size: ImageSize, _ cropPct: Double, _ mean: [Float], _ std: [Float]
    ) -> String? {
        let sides = 1...(1 << 15)
        if !sides.contains(size.height) || !sides.contains(size.width) { return "size \(size)" }
        let box = Double(max(size.height, size.width)) / cropPct
        if !(cropPct > 0 && cropPct <= 1 && box <= 1_048_576) { return "crop_pct \(cropPct)" }
        if mean.count != 3 || !mean.allSatisfy(\.isFinite) { return "mean \(mean)" }
        if std.count != 3 || !std.allSatisfy({ $0 > 0 && $0.isFinite }) { return "std \(std)" }
        return nil
    }
}

/// What an app needs of `manifest.json`, for a classification model. Schema versions 1 and 2 give the
/// same.
public struct ModelSpec: Equatable, Sendable {
    /// The model's name, such as `lolvit_x`.
    public let name: String
    public let preprocessing: Preprocessing

    /// The number of classes: the length of the logits.
    public let classes: Int

    /// One for each class; empty where the model has none.
    public let labels: [String]

    /// False for random weights, whose predictions are meaningless.
    public let trained: Bool

    /// The checkpoint that the weights come from.
    public let weightsSource: String

    /// The number of parameters, and the multiply-adds of one inference.
    public let params: Int
    public let macs: Int

    /// The Core ML and Core AI artifacts, packaged or not.
    public let artifacts: [ArtifactSpec]

    /// The label of a class, or `class 17` where there are none.
    public func label(_ index: Int) -> String {
        labels.indices.contains(index) ? labels[index] : "class \(index)"
    }

    /// Reads the manifest of a model's folder, and its labels.
    ///
    /// - Throws: ``LolvitError`` if the manifest is missing, invalid, or asks for what this library
    ///   does not implement, such as another task than classification.
    public static func load(_ source: ModelSource) throws -> ModelSpec {
        try ManifestReader(source: source).read()
    }
}
