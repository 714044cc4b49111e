/// The keys of `Localizable.xcstrings`, the app's catalogue: every text that a screen shows.
///
/// `%@` in the catalogue stands for a text, `%lld` for a count.
public enum Words: String, CaseIterable, Sendable {
    case appName = "app.name"

    case choosePhoto = "photo.choose"
    case takePhoto = "photo.take"
    case photoEmpty = "photo.empty"
    case photoShown = "photo.shown"
    case photoWithObjects = "photo.with_objects"
    case photoWithMap = "photo.with_map"
    case startCamera = "camera.start"
    case stopCamera = "camera.stop"
    case cameraShown = "camera.shown"
    case cancel = "action.cancel"
    case openSettings = "action.open_settings"
    case tryAgain = "action.try_again"

    case readingModels = "stage.reading_models"
    case checkingFiles = "stage.checking_files"
    case compiling = "stage.compiling"
    case loading = "stage.loading"
    case checkingOutputs = "stage.checking_outputs"
    case firstRun = "stage.first_run"
    case readingPhoto = "stage.reading_photo"
    case predicting = "stage.predicting"
    case timing = "stage.timing"

    case result = "result.title"
    case nothingFound = "result.nothing_found"
    case spokenFirst = "result.spoken_first"
    case spokenScore = "result.spoken_score"
    case spokenObject = "result.spoken_object"
    case spokenShare = "result.spoken_share"
    case untrainedTitle = "result.untrained_title"
    case untrained = "result.untrained"

    case latency = "latency.title"
    case latencyNow = "latency.now"
    case latencyMedian = "latency.median"
    case latencyP90 = "latency.p90"
    case latencyFirst = "latency.first"
    case latencyRuns = "latency.runs"
    case latencyParts = "latency.parts"
    case spokenFigure = "latency.spoken_figure"
    case notYet = "latency.not_yet"

    case model = "model.title"
    case modelDetail = "model.detail"
    case trained = "model.trained"
    case notTrained = "model.not_trained"
    case taskClassification = "model.classification"
    case taskDetection = "model.detection"
    case taskSegmentation = "model.segmentation"
    case engine = "engine.title"
    case neuralEngine = "engine.ane"
    case gpu = "engine.gpu"
    case cpu = "engine.cpu"
    case engineOnUnit = "engine.on_unit"
    case fallback = "engine.fallback"
    case selfCheckPassed = "engine.self_check_passed"
    case selfCheckPassedBefore = "engine.self_check_passed_before"
    case selfCheckAbsent = "engine.self_check_absent"

    case noModelTitle = "problem.no_model_title"
    case noModel = "problem.no_model"
    case modelTitle = "problem.model_title"
    case engineTitle = "problem.engine_title"
    case noEngine = "problem.no_engine"
    case photoTitle = "problem.photo_title"
    case photoOffline = "problem.photo_offline"
    case memoryTitle = "problem.memory_title"
    case memory = "problem.memory"
    case cameraTitle = "problem.camera_title"
    case cameraDenied = "problem.camera_denied"
    case cameraRestricted = "problem.camera_restricted"
    case cameraAbsent = "problem.camera_absent"
    case cameraInterrupted = "problem.camera_interrupted"
    case cameraFailed = "problem.camera_failed"
    case unforeseenTitle = "problem.unforeseen_title"
    case unforeseen = "problem.unforeseen"
    /// `%@` alone: a message of the library, which comes translated.
    case verbatim = "problem.verbatim"

    case benchmark = "benchmark.title"
    case benchmarkOpen = "benchmark.open"
    case benchmarkExplained = "benchmark.explained"
    case benchmarkCandidate = "benchmark.candidate"
    case benchmarkBaseline = "benchmark.baseline"
    case benchmarkStart = "benchmark.start"
    case benchmarkNeedsTwo = "benchmark.needs_two"
    case benchmarkSame = "benchmark.same"
    case benchmarkNoEngine = "benchmark.no_engine"
    case benchmarkOpening = "benchmark.opening"
    case benchmarkRounds = "benchmark.rounds"
    case benchmarkLeft = "benchmark.left"
    case benchmarkTitle = "benchmark.problem_title"
    case benchmarkFaster = "benchmark.faster"
    case benchmarkEven = "benchmark.even"
    case benchmarkInvalid = "benchmark.invalid"
    case benchmarkInterval = "benchmark.interval"
    case benchmarkQuality = "benchmark.quality"
    case benchmarkLatency = "benchmark.latency"
    case benchmarkPlacement = "benchmark.placement"
    case benchmarkPlacementUnknown = "benchmark.placement_unknown"
    case benchmarkThermal = "benchmark.thermal"
    case benchmarkShare = "benchmark.share"
    case benchmarkUnshared = "benchmark.unshared"
}

/// A text of the catalogue with what stands in its places.
public struct Message: Equatable, Sendable {
    /// A value for `%@` or, a count, for `%lld`.
    public indirect enum Argument: Equatable, Sendable {
        case text(String)
        case count(Int)
        case words(Words)
        case message(Message)
    }

    public let words: Words
    public let arguments: [Argument]

    public init(_ words: Words, _ arguments: Argument...) { self.init(words, arguments) }

    public init(_ words: Words, _ arguments: [Argument]) {
        self.words = words
        self.arguments = arguments
    }
}
