/// A prediction, and the milliseconds of its steps.
public struct Predicted<Prediction: Sendable>: Sendable {
    public let prediction: Prediction

    /// From the decoded photo to the input.
    public let preprocessMs: Double

    /// Of the model's run alone.
    public let inferenceMs: Double

    /// From the outputs to the prediction.
    public let postprocessMs: Double

    /// What ran the model.
    public let choice: EngineChoice
}

/// Classifies photos.
public typealias Classifier = Predictor<ClassificationTask>

/// Finds objects in photos.
public typealias Detector = Predictor<DetectionTask>

/// Finds each pixel's class.
public typealias Segmenter = Predictor<SegmentationTask>

/// A packaged model with its engine. It is an actor: nothing of it runs on the main thread, and one
/// prediction is made after another.
///
/// ```swift
/// let classifier = try Classifier(ModelSource(folder: folder), engines: Engines([CoreMLKind()]))
/// let report = try await classifier.prewarm { step in print(step.share) }
/// let best = try await classifier.predict(photo).prediction.top.first
/// ```
public actor Predictor<Work: VisionTask> {
    /// The model's manifest.
    public nonisolated let spec: ModelSpec

    private let source: ModelSource
    private let engines: Engines
    private let choice: EngineChoice?
    private let work: Work
    private var opening: Task<OpenedModel, any Error>?

    /// Reads the manifest; the model is opened by ``prewarm(_:)`` or by the first prediction.
    ///
    /// - Parameter choice: one of ``Engines/choices(_:)``; nil takes the first that is available.
    /// - Throws: ``LolvitError`` if the folder is no model, or one for another task.
    public init(_ source: ModelSource, engines: Engines, choice: EngineChoice? = nil) throws {
        spec = try ModelSpec.load(source)
        work = try Work(spec)
        self.source = source
        self.engines = engines
        self.choice = choice
    }

    /// Opens the model, unless it is open already, and makes a first inference. The first launch
    /// compiles, which may take minutes: `progress` is called with each step that begins.
    ///
    /// - Throws: ``LolvitError`` as ``Engines/open(_:_:_:progress:)``. It may be called again.
    @discardableResult
    public func prewarm(_ progress: @escaping PrewarmProgress = { _ in }) async throws -> OpenReport {
        try await opened(progress).report
    }

    /// Preprocesses a photo, runs the model on it, and interprets its outputs.
    ///
    /// - Throws: ``LolvitError`` if the photo is too elongated, the model can't be opened or fails, or
    ///   its outputs are not finite; `CancellationError`.
    public func predict(_ photo: Photo, _ options: Work.Options = .init()) async throws
        -> Predicted<Work.Prediction>
    {
        let model = try await opened { _ in }
        try Task.checkCancellation()
        let start = nanoseconds()
        let prepared = try spec.preprocessing.prepare(photo, for: model.artifact)
        let ready = nanoseconds()
        let outputs = try await model.run(prepared.input)
        let computed = nanoseconds()
        let prediction = try work.predict(outputs, prepared.placement, options)
        let end = nanoseconds()
        return Predicted(
            prediction: prediction, preprocessMs: Double(ready - start) / 1e6,
            inferenceMs: Double(computed - ready) / 1e6, postprocessMs: Double(end - computed) / 1e6,
            choice: model.report.choice)
    }

    /// The open model; callers at the same time wait for the same opening.
    private func opened(_ progress: @escaping PrewarmProgress) async throws -> OpenedModel {
        let task: Task<OpenedModel, any Error>
        if let opening {
            task = opening
        } else {
            task = Task { [engines, choice, spec, source] in
                try await engines.open(choice, spec, source, progress: progress)
            }
            opening = task
        }
        do {
            return try await task.value
        } catch {
            if opening == task { opening = nil }
            throw error
        }
    }
}
