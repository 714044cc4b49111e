import LOLViT

/// One opened model of any task, and how long it has taken so far.
struct OpenModel: Sendable {
    private enum Actor: Sendable {
        case classifier(Classifier)
        case detector(Detector)
        case segmenter(Segmenter)
    }

    private let actor: Actor

    /// Reads the manifest; nothing is opened before `prewarm`.
    init(_ model: ModelEntry, _ task: ModelTask, engines: Engines, choice: EngineChoice) throws {
        actor =
            switch task {
            case .classification:
                .classifier(try Classifier(model.source, engines: engines, choice: choice))
            case .detection: .detector(try Detector(model.source, engines: engines, choice: choice))
            case .segmentation:
                .segmenter(try Segmenter(model.source, engines: engines, choice: choice))
            }
    }

    func prewarm(_ progress: @escaping @Sendable (PrewarmStep) -> Void) async throws -> OpenReport {
        switch actor {
        case .classifier(let model): try await model.prewarm(progress)
        case .detector(let model): try await model.prewarm(progress)
        case .segmenter(let model): try await model.prewarm(progress)
        }
    }

    /// The result, and the milliseconds of the model alone.
    func predict(_ photo: Photo) async throws -> (result: ShownResult, inferenceMs: Double) {
        switch actor {
        case .classifier(let model):
            shown(try await model.predict(photo)) { .classes($0.top) }
        case .detector(let model):
            shown(try await model.predict(photo)) { .objects($0.objects) }
        case .segmenter(let model): shown(try await model.predict(photo)) { .map($0) }
        }
    }

    private func shown<Prediction>(
        _ predicted: Predicted<Prediction>, _ outcome: (Prediction) -> Outcome
    ) -> (result: ShownResult, inferenceMs: Double) {
        let result = ShownResult(
            outcome: outcome(predicted.prediction), preprocessMs: predicted.preprocessMs,
            postprocessMs: predicted.postprocessMs)
        return (result, predicted.inferenceMs)
    }
}
