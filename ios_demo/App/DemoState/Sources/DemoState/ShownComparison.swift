import Foundation

/// What the benchmark's screen shows of a result document, read from its JSON.
public struct ShownComparison: Equatable, Sendable {
    public let headline: Message
    public let interval: Message
    public let quality: Message

    /// Why the speedup can't be trusted, and what disturbed the measurement.
    public let findings: [String]
    public let latencies: [Message]
    public let placements: [Message]
    public let thermalState: Message?
    public let notes: [String]

    /// Candidate, baseline and time, as the name of a file.
    public let fileName: String

    /// - Throws: `DecodingError` if it is no result document with one result.
    public init(_ json: Data) throws {
        let document = try JSONDecoder().decode(Document.self, from: json)
        guard let result = document.results.first else {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "no result"))
        }
        headline = result.headline
        interval = result.interval
        quality = Message(
            .benchmarkQuality, .text(result.quality.state),
            .text(Figures.percent(result.quality.half_width)))
        findings = (result.quality.reasons + result.quality.findings).map(\.text)
        latencies = [result.candidate, result.baseline].map(\.latency)
        placements = [
            result.candidate.placed(result.placement.candidate),
            result.baseline.placed(result.placement.baseline),
        ]
        thermalState = result.thermalState.map { Message(.benchmarkThermal, .text($0)) }
        notes = result.notes
        fileName = document.fileName(result)
    }
}

/// The part of a result document of schema version 2 that is shown; its keys are JSON's.
private struct Document: Decodable {
    struct Environment: Decodable { let date: String }

    let environment: Environment
    let results: [Result]

    func fileName(_ result: Result) -> String {
        let time = environment.date.filter(\.isNumber).prefix(14)
        let names = [result.candidate.model, result.baseline.model].map { name in
            String(name.map { $0.isLetter || $0.isNumber || "_-".contains($0) ? $0 : "-" })
        }
        return "lolvit-\(names[0])-\(names[1])-\(time).json"
    }
}

private struct Result: Decodable {
    struct Speedup: Decodable { let ratio, low, high: Double }

    struct Quality: Decodable {
        struct Finding: Decodable { let text: String }

        let state: String
        let half_width: Double
        let winner: String?
        let reasons, findings: [Finding]
    }

    struct Placement: Decodable { let candidate, baseline: [String: Int] }

    struct Reading: Decodable { let thermal_state: String? }

    let candidate, baseline: Model
    let speedup: Speedup
    let quality: Quality
    let placement: Placement
    let readings: [Reading]
    let notes: [String]

    private var isInvalid: Bool { quality.state == "INVALID" }

    var headline: Message {
        let names = (Message.Argument.text(candidate.model), Message.Argument.text(baseline.model))
        if isInvalid { return Message(.benchmarkInvalid, names.0, names.1) }
        switch quality.winner {
        case "candidate":
            return Message(.benchmarkFaster, names.0, .text(Figures.times(speedup.ratio)), names.1)
        case "baseline":
            return Message(.benchmarkFaster, names.1, .text(Figures.times(1 / speedup.ratio)), names.0)
        default: return Message(.benchmarkEven, names.0, names.1)
        }
    }

    /// The ratio as the headline has it: over 1 for the winner.
    var interval: Message {
        let turned = quality.winner == "baseline" && !isInvalid
        let shown =
            turned
            ? [1 / speedup.ratio, 1 / speedup.high, 1 / speedup.low]
            : [speedup.ratio, speedup.low, speedup.high]
        let texts = shown.map { Message.Argument.text(Figures.times($0)) }
        return Message(.benchmarkInterval, texts[0], texts[1], texts[2])
    }

    /// The hottest state that was read.
    var thermalState: String? {
        let order = ["nominal", "fair", "serious", "critical"]
        let rank = { (state: String) in order.firstIndex(of: state) ?? order.count }
        return readings.compactMap(\.thermal_state).max { rank($0) < rank($1) }
    }
}

private struct Model: Decodable {
    let model: String
    let median_ms, p90_ms: Double

    var latency: Message {
        Message(
            .benchmarkLatency, .text(model), .text(Figures.milliseconds(median_ms)),
            .text(Figures.milliseconds(p90_ms)))
    }

    func placed(_ operations: [String: Int]) -> Message {
        guard !operations.isEmpty else { return Message(.benchmarkPlacementUnknown, .text(model)) }
        let listed = operations.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { "\($0.key) \($0.value)" }
        return Message(.benchmarkPlacement, .text(model), .text(listed.joined(separator: ", ")))
    }
}
