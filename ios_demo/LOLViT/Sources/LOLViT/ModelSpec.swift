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

/// The order of a tensor's axes: of an image, planes of channels or channels of each pixel together; of
/// an output, classes and, for a detector, points (L).
public enum Layout: String, Equatable, Sendable, CaseIterable {
    case nchw = "NCHW"
    case nhwc = "NHWC"
    case nc = "NC"
    case ncl = "NCL"
    case nlc = "NLC"
}

/// What a model finds.
public enum ModelTask: String, Equatable, Sendable, CaseIterable {
    case classification
    case detection
    case segmentation
}

/// How a photo of another aspect ratio becomes the input.
public enum ResizeMode: String, Equatable, Sendable, CaseIterable {
    /// Covers the input; what sticks out is cut off.
    case crop

    /// Becomes the input, distorted.
    case stretch

    /// Lies inside the input, with grey around it.
    case letterbox
}

/// The channels of an input.
public enum ColorMode: String, Equatable, Sendable, CaseIterable {
    case rgb = "RGB"

    /// One channel: grey levels by ITU-R 601.
    case grey = "L"

    var channels: Int { self == .rgb ? 3 : 1 }
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

    /// The order of the axes, where it is known.
    public let layout: Layout?

    /// Of an input: `normalized`, or `pixels` from 0 to 255, normalized inside the artifact; of an
    /// output: `logits`, `distances`, `scores`, or `classes` of a map.
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

    /// In the order of ``ModelSpec/outputs``, under their names in the artifact.
    public let outputs: [TensorSpec]

    /// Whether the model's folder has it.
    public let packaged: Bool
}

/// The preprocessing of a photo, as the manifest defines it: resize, crop or pad to `size`, normalize.
///
/// ```swift
/// let prepared = try spec.preprocessing.prepare(photo, for: artifact)
/// let outputs = try await engine.run(prepared.input)
/// ```
public struct Preprocessing: Equatable, Sendable {
    /// Height and width of the input.
    public let size: ImageSize
    public let resize: ResizeMode

    /// Crop size / resized size, in (0, 2]; above 1 the photo is surrounded by black.
    public let cropPct: Double
    public let interpolation: Interpolation

    /// One for each channel, of pixel values in [0, 1].
    public let mean: [Float]
    public let std: [Float]
    public let color: ColorMode

    /// - Precondition: sizes and deviations are positive, `cropPct` is in (0, 2], and 1 for a letterbox,
    ///   and there is a mean and a deviation for each channel.
    public init(
        size: ImageSize, resize: ResizeMode = .crop, cropPct: Double, interpolation: Interpolation,
        mean: [Float], std: [Float], color: ColorMode = .rgb
    ) {
        precondition(Self.problem(size, resize, cropPct, mean, std, color) == nil)
        self.size = size
        self.resize = resize
        self.cropPct = cropPct
        self.interpolation = interpolation
        self.mean = mean
        self.std = std
        self.color = color
    }

    /// The name of the first setting that is out of range, or nil.
    static func problem(
        _ size: ImageSize, _ resize: ResizeMode, _ cropPct: Double, _ mean: [Float], _ std: [Float],
        _ color: ColorMode
    ) -> String? {
        let sides = 1..<(1 << 16)
        if !sides.contains(size.height) || !sides.contains(size.width) { return "size \(size)" }
        if !(cropPct >= 0.001 && cropPct <= 2) || (resize == .letterbox && cropPct != 1) {
            return "crop_pct \(cropPct)"
        }
        let channels = color.channels
        if mean.count != channels || !mean.allSatisfy(\.isFinite) { return "mean \(mean)" }
        if std.count != channels || !std.allSatisfy({ $0 > 0 && $0.isFinite }) { return "std \(std)" }
        return nil
    }
}

/// How outputs become a prediction, with the manifest's parameters.
public enum Postprocessing: Equatable, Sendable {
    case softmax
    case boxes(BoxParameters)
    case map(MapParameters)
}

/// What an app needs of `manifest.json`. Schema versions 1 and 2 give the same.
///
/// ```swift
/// let spec = try ModelSpec.load(ModelSource(folder: folder))
/// print(spec.name, spec.task, spec.labels.count)
/// ```
public struct ModelSpec: Equatable, Sendable {
    /// The model's name, such as `lolvit_x`.
    public let name: String
    public let task: ModelTask
    public let preprocessing: Preprocessing
    public let postprocessing: Postprocessing

    /// The number of classes.
    public let classes: Int

    /// One for each class; empty where the model has none.
    public let labels: [String]

    /// One for each class, to draw predictions with.
    public let colors: [ClassColor]

    /// False for random weights, whose predictions are meaningless.
    public let trained: Bool

    /// The checkpoint that the weights come from.
    public let weightsSource: String

    /// The number of parameters, and the multiply-adds of one inference.
    public let params: Int
    public let macs: Int

    /// The model's outputs: one of logits, or a detector's `boxes` and `scores`.
    public let outputs: [TensorSpec]

    /// The Core ML and Core AI artifacts, packaged or not.
    public let artifacts: [ArtifactSpec]

    /// The label of a class, or `class 17` where there are none.
    public func label(_ index: Int) -> String {
        labels.indices.contains(index) ? labels[index] : "class \(index)"
    }

    /// Reads the manifest of a model's folder, and its labels.
    ///
    /// - Throws: ``LolvitError`` if the manifest is missing, invalid, or asks for what this library
    ///   does not implement, such as a task of another name.
    public static func load(_ source: ModelSource) throws -> ModelSpec {
        try ManifestReader(source: source).read()
    }
}
