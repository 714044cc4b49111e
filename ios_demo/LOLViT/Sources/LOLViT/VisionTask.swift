/// What a user may change for one prediction; every setting has a default.
public protocol TaskOptions: Equatable, Sendable {
    init()
}

/// How a model's outputs become a prediction. ``ClassificationTask``, ``DetectionTask`` and
/// ``SegmentationTask`` are the three that exist.
///
/// ```swift
/// let task = try DetectionTask(spec)
/// let found = try task.predict(outputs, placement, .init(scoreThreshold: 0.5))
/// ```
public protocol VisionTask: Sendable {
    associatedtype Prediction: Sendable
    associatedtype Options: TaskOptions

    /// - Throws: ``LolvitError`` with the code `task_mismatch` if the model has another task.
    init(_ spec: ModelSpec) throws

    /// The prediction for one photo.
    ///
    /// - Parameters:
    ///   - outputs: by the names, and in the layouts, of ``ModelSpec/outputs``.
    ///   - placement: where the photo lies in the model's input.
    /// - Throws: ``LolvitError`` if outputs are missing, of another shape, or not finite.
    func predict(_ outputs: [String: Tensor], _ placement: Placement, _ options: Options) throws
        -> Prediction
}

extension ModelSpec {
    func require(_ task: ModelTask) throws {
        guard self.task == task else {
            throw LolvitError(
                .taskMismatch, ["model": name, "task": self.task.rawValue, "expected": task.rawValue])
        }
    }

    /// The output of a name, or the only one, once its shape and its values have been checked.
    func output(_ outputs: [String: Tensor], _ spec: TensorSpec) throws -> Tensor {
        guard let found = outputs[spec.name], found.shape == spec.shape else {
            throw LolvitError(
                .outputMismatch,
                [
                    "output": spec.name, "expected": shapeText(spec.shape),
                    "found": outputs[spec.name].map { shapeText($0.shape) } ?? "nothing",
                ])
        }
        guard found.isFinite else { throw LolvitError(.outputNotFinite, ["output": spec.name]) }
        return found
    }
}

func shapeText(_ shape: [Int]) -> String { shape.map(String.init).joined(separator: "x") }
