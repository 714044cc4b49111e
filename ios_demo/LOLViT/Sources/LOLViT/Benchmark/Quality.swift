import Foundation

/// One thing that was found of a measurement: a code for programs and a sentence for people.
public struct Finding: Equatable, Sendable {
    public let code: String
    public let text: String
}

/// The phone's conditions during a measurement; nil where it does not report them.
public struct Conditions: Equatable, Sendable {
    public var cores: Int
    public var throttleEvents: Int?
    public var interrupted = false
}

/// The samples of one model; `outputsChanged` says how its outputs differed after it was timed.
struct Series: Equatable, Sendable {
    let name: String
    let samples: Samples
    var outputsChanged: String?
}

/// The evaluation of a speedup, by the limits of `lolvit_benchmarks/analysis/quality.py`: `reasons` are why
/// it is INVALID, `findings` what slowed both models down, which leaves their ratio as it is.
public struct Quality: Equatable, Sendable {
    /// How precise a speedup is, by half the width of its interval; or that it can't be trusted.
    public enum State: String, Equatable, Sendable {
        case precise
        case fair
        case coarse
        case invalid = "INVALID"
    }

    public enum Winner: String, Equatable, Sendable {
        case candidate
        case baseline
    }

    private static let precise = 0.02
    private static let fair = 0.05
    private static let noDifference = 0.01
    private static let minBlocks = 3
    private static let ratioChange = 0.05
    private static let variation = 0.05
    private static let blockRange = 0.05
    private static let minSamples = 30

    public let state: State
    public let halfWidth: Double

    /// The faster model; nil where the difference may be as small as 1 %, or the result is INVALID.
    public let winner: Winner?
    public let reasons: [Finding]
    public let findings: [Finding]

    /// The limits as a paragraph, for readers of a result.
    static let rule =
        "The speedup is estimated over rounds, in each of which both models ran in turns; its quality is"
        + " half the width of its 95 % interval: precise up to \(percent(precise, 0)), fair up to"
        + " \(percent(fair, 0)), else coarse. It is INVALID when the measurement was interrupted, or has"
        + " fewer than \(minBlocks) blocks; when the system reported a serious thermal state while the"
        + " ratio changed by over \(percent(ratioChange, 0)) between blocks; when a model's outputs"
        + " changed while it was timed; or when the ratios of the first and the second half of the rounds"
        + " contradict the interval. What slows both models down alike is a finding: a coefficient of"
        + " variation over \(percent(variation, 0)) (without the slowest"
        + " \(percent(Statistics.slowestShare, 0)) of the runs), block medians that differ by over"
        + " \(percent(blockRange, 0)), fewer than \(minSamples) runs, and a serious thermal state. No"
        + " winner is named when the interval has values within 1 ± \(percent(noDifference, 0)). An app"
        + " can't read the load of other apps, the processor's clock or a temperature."

    /// Evaluates the speedup of a candidate over a baseline that was interleaved with it.
    ///
    /// - Precondition: two rounds or more.
    static func evaluate(_ candidate: Series, _ baseline: Series, _ conditions: Conditions) -> Quality {
        let (logs, blocks) = logRatios(candidate.samples, baseline.samples)
        let speedup = RoundRatios.ratio(logs, blocks)
        let reasons =
            [candidate, baseline].compactMap(outputsChanged) + invalid(logs, blocks, speedup, conditions)
        return Quality(
            state: reasons.isEmpty ? grade(speedup.halfWidth) : .invalid,
            halfWidth: speedup.halfWidth,
            winner: reasons.isEmpty ? winner(speedup.interval) : nil,
            reasons: reasons,
            findings: [candidate, baseline].flatMap(ofModel) + ofPhone(conditions))
    }

    /// The baseline's time over the candidate's: more than 1 where the candidate is faster.
    static func speedup(_ candidate: Samples, _ baseline: Samples) -> RoundRatio {
        let (logs, blocks) = logRatios(candidate, baseline)
        return RoundRatios.ratio(logs, blocks)
    }

    private static func logRatios(_ candidate: Samples, _ baseline: Samples) -> ([Double], [Int]) {
        (
            RoundRatios.logRatios(baseline.milliseconds, candidate.milliseconds, candidate.round),
            RoundRatios.blocks(candidate.block, candidate.round)
        )
    }

    private static func grade(_ halfWidth: Double) -> State {
        halfWidth <= precise ? .precise : halfWidth <= fair ? .fair : .coarse
    }

    private static func winner(_ speedup: Interval) -> Winner? {
        if speedup.low > 1 + noDifference { return .candidate }
        return speedup.high < 1 / (1 + noDifference) ? .baseline : nil
    }

    private static func outputsChanged(_ one: Series) -> Finding? {
        one.outputsChanged.map {
            Finding(
                code: "outputs-changed",
                text: "\(one.name): its outputs after timing are not those before: \($0)")
        }
    }

    private static func invalid(
        _ logs: [Double], _ blocks: [Int], _ speedup: RoundRatio, _ conditions: Conditions
    ) -> [Finding] {
        var found: [Finding] = []
        if conditions.interrupted {
            found.append(Finding(code: "interrupted", text: "interrupted before all runs were made"))
        }
        let medians = Statistics.groupMedians(logs, blocks).sorted()
        if medians.count < minBlocks {
            let text = "\(medians.count) blocks, fewer than \(minBlocks)"
            found.append(Finding(code: "too-few-blocks", text: text))
        }
        let change = medians[medians.count - 1] - medians[0]
        if (conditions.throttleEvents ?? 0) > 0, speedup.over == .blocks, change > ratioChange {
            let text =
                "the CPU throttled, and the ratio changed by \(percent(change)) between blocks, limit"
                + " \(percent(ratioChange, 0))"
            found.append(Finding(code: "throttled-unequally", text: text))
        }
        if RoundRatios.halvesDisagree(logs, blocks) {
            let text =
                "the ratios of the first and the second half of the rounds contradict the interval"
            found.append(Finding(code: "halves-disagree", text: text))
        }
        return found
    }

    private static func ofModel(_ one: Series) -> [Finding] {
        var found: [Finding] = []
        let ms = one.samples.milliseconds
        if ms.count < minSamples {
            let text = "\(one.name): \(ms.count) runs, fewer than \(minSamples)"
            found.append(Finding(code: "too-few-samples", text: text))
        }
        let trimmed = Statistics.trimmedVariation(ms)
        if trimmed > variation {
            let text =
                "\(one.name): coefficient of variation \(percent(trimmed)), limit"
                + " \(percent(variation, 0)) (all runs: \(percent(Statistics.variation(ms))))"
            found.append(Finding(code: "variation", text: text))
        }
        let range = Statistics.betweenBlockRange(ms, one.samples.block)
        if range > blockRange {
            let text =
                "\(one.name): block medians differ by \(percent(range)), limit \(percent(blockRange, 0))"
            found.append(Finding(code: "between-block-range", text: text))
        }
        return found
    }

    private static func ofPhone(_ conditions: Conditions) -> [Finding] {
        guard let events = conditions.throttleEvents, events > 0 else { return [] }
        return [Finding(code: "thermal", text: "the CPU throttled for heat \(events) times")]
    }

    private static func percent(_ share: Double, _ digits: Int = 1) -> String {
        String(format: "%.\(digits)f%%", 100 * share)
    }
}
