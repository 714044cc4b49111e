import Foundation

/// A figure and the bounds of its 95 % interval.
public struct Interval: Equatable, Sendable {
    public let value: Double
    public let low: Double
    public let high: Double

    /// Whether `value` lies inside, its bounds included.
    public func spans(_ value: Double) -> Bool { (low...high).contains(value) }
}

/// Statistics of latencies, as `lolvit_benchmarks/analysis/statistics.py` computes them: pure functions.
///
/// Samples are durations in any one unit, more than zero and finite, and at least one; `groups` gives,
/// for each sample, the block or round that it was taken in.
///
/// ```swift
/// let typical = Statistics.median(milliseconds)
/// let slow = Statistics.percentile(milliseconds, 0.9)
/// ```
public enum Statistics {
    /// Interruptions only ever lengthen a run: the trimmed variation leaves out this share, the slowest.
    static let slowestShare = 0.05
    private static let samplesForP99 = 500  // five of them are beyond it

    /// The value below which `share` (0 to 1) of the samples lie, linearly interpolated.
    public static func percentile(_ samples: [Double], _ share: Double) -> Double {
        let sorted = samples.sorted()
        let place = share * Double(sorted.count - 1)
        let below = Int(place)
        let above = min(below + 1, sorted.count - 1)
        return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
    }

    /// The middle sample, or the mean of the middle two.
    public static func median(_ samples: [Double]) -> Double {
        let sorted = samples.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// The 99th percentile, or nil of fewer than 500 samples.
    public static func p99(_ samples: [Double]) -> Double? {
        samples.count >= samplesForP99 ? percentile(samples, 0.99) : nil
    }

    /// Standard deviation (n - 1) over mean; 0 for one sample.
    static func variation(_ samples: [Double]) -> Double {
        guard samples.count > 1 else { return 0 }
        return (squares(samples) / Double(samples.count - 1)).squareRoot() / mean(samples)
    }

    /// The coefficient of variation without the slowest share of the samples (rounded down).
    static func trimmedVariation(_ samples: [Double]) -> Double {
        variation(Array(samples.sorted().dropLast(Int(Double(samples.count) * slowestShare))))
    }

    /// The median of each group, in the order of the groups' numbers.
    static func groupMedians(_ samples: [Double], _ groups: [Int]) -> [Double] {
        Set(groups).sorted().map { group in
            median(zip(samples, groups).filter { $1 == group }.map(\.0))
        }
    }

    /// The range of the groups' medians over the median of all samples.
    static func betweenBlockRange(_ samples: [Double], _ groups: [Int]) -> Double {
        let medians = groupMedians(samples, groups).sorted()
        return (medians[medians.count - 1] - medians[0]) / median(samples)
    }

    static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

    /// The sum of the squares of the distances to the mean.
    static func squares(_ values: [Double]) -> Double {
        let mean = mean(values)
        return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    }
}

/// A ratio estimated over rounds, and its 95 % interval.
public struct RoundRatio: Equatable, Sendable {
    /// What the interval is computed over: blocks where they differ by more than their rounds do.
    public enum Over: String, Equatable, Sendable {
        case rounds
        case blocks
    }

    public let interval: Interval
    public let over: Over

    /// Half the interval's width on the logarithmic scale: 0.02 is 2 % of the figure.
    public var halfWidth: Double { log(interval.high / interval.low) / 2 }
}

/// The speedup over rounds, as `lolvit_benchmarks/analysis/statistics.py` computes it; both are checked by
/// `tests/vectors/statistics.json`. Sources: Tukey and McLaughlin, Sankhya A 25 (1963); Yuen, Biometrika
/// 61 (1974).
enum RoundRatios {
    private static let trimmedShare = 0.2  // of the rounds, at either end
    private static let minRoundsOfAHalf = 4
    // Two-sided 95 % quantiles of Student's t with 1 to 4 degrees of freedom.
    private static let t975 = [12.706204736, 4.302652730, 3.182446305, 2.776445105]
    private static let z975 = 1.959963985

    /// Of each round, the log ratio of two models' slot medians. Sample i of both was taken in round
    /// `rounds[i]`, in the order of measuring; a round has two slots of each model, of equal length.
    static func logRatios(_ numerator: [Double], _ denominator: [Double], _ rounds: [Int]) -> [Double] {
        zip(levels(numerator, rounds), levels(denominator, rounds)).map { $0 - $1 }
    }

    /// The block of each round, in the rounds' order.
    static func blocks(_ blocks: [Int], _ rounds: [Int]) -> [Int] {
        Set(rounds).sorted().compactMap { round in rounds.firstIndex(of: round).map { blocks[$0] } }
    }

    /// The ratio whose logarithm is the 20 % trimmed mean of the rounds' log ratios, with Yuen's 95 %
    /// interval; over the medians of blocks where these differ by more than their rounds do. What the
    /// order of loading changes, which alternates with the block's number, is subtracted before.
    ///
    /// - Precondition: two rounds or more, with as many numbers of blocks.
    static func ratio(_ logs: [Double], _ blocks: [Int]) -> RoundRatio {
        precondition(logs.count >= 2 && logs.count == blocks.count)
        let (values, means) = withoutLoadingOrder(logs, blocks)
        return overRounds(values[...], blocks[...], means)
    }

    /// Whether the ratios of the first and of the second half of the rounds contradict the interval.
    static func halvesDisagree(_ logs: [Double], _ blocks: [Int]) -> Bool {
        let middle = logs.count / 2
        guard middle >= minRoundsOfAHalf else { return false }
        let (values, means) = withoutLoadingOrder(logs, blocks)
        let whole = overRounds(values[...], blocks[...], means).interval
        let first = overRounds(values[..<middle], blocks[..<middle], 1).interval
        let second = overRounds(values[middle...], blocks[middle...], 1).interval
        let apart = first.high < second.low || second.high < first.low
        return apart && !(whole.spans(first.value) && whole.spans(second.value))
    }

    /// Log ratios from which half the difference between blocks of even and of odd number is subtracted,
    /// and the number of means that were estimated: one where such blocks are too few.
    private static func withoutLoadingOrder(_ logs: [Double], _ blocks: [Int]) -> ([Double], Int) {
        let odd = Set(blocks.filter { $0 % 2 == 1 })
        guard min(odd.count, Set(blocks).count - odd.count) >= 2 else { return (logs, 1) }
        func center(_ remainder: Int) -> Double {
            yuen(zip(logs, blocks).filter { $1 % 2 == remainder }.map(\.0)).0
        }
        let change = (center(1) - center(0)) / 2
        return (zip(logs, blocks).map { $1 % 2 == 1 ? $0 - change : $0 + change }, 2)
    }

    private static func overRounds(_ logs: ArraySlice<Double>, _ blocks: ArraySlice<Int>, _ means: Int)
        -> RoundRatio
    {
        let (center, half, error) = yuen(Array(logs))
        let medians = Statistics.groupMedians(Array(logs), Array(blocks))
        let freedom = medians.count - means
        let variance = Statistics.squares(medians) / Double(medians.count)
        let errorOfBlocks = freedom > 0 ? (variance / Double(freedom)).squareRoot() : 0
        let halfOfBlocks = freedom > 0 ? tQuantile(freedom) * errorOfBlocks : 0
        let differ = errorOfBlocks > error && halfOfBlocks > half
        let width = differ ? halfOfBlocks : half
        return RoundRatio(
            interval: Interval(
                value: exp(center), low: exp(center - width), high: exp(center + width)),
            over: differ ? .blocks : .rounds)
    }

    /// The two-sided 95 % quantile of Student's t: a table up to 4 degrees of freedom, then the
    /// Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5).
    static func tQuantile(_ freedom: Int) -> Double {
        guard freedom > t975.count else { return t975[freedom - 1] }
        let (z, v) = (z975, Double(freedom))
        let first = (pow(z, 3) + z) / (4 * v)
        let second = (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * pow(v, 2))
        let third = (3 * pow(z, 7) + 19 * pow(z, 5) + 17 * pow(z, 3) - 15 * z) / (384 * pow(v, 3))
        let fourth =
            (79 * pow(z, 9) + 776 * pow(z, 7) + 1482 * pow(z, 5) - 1920 * pow(z, 3) - 945 * z)
            / (92160 * pow(v, 4))
        return z + first + second + third + fourth
    }

    /// Of each round, the mean of the logarithms of a model's two slot medians.
    private static func levels(_ samples: [Double], _ rounds: [Int]) -> [Double] {
        precondition(!samples.isEmpty && samples.count == rounds.count)
        let places = Dictionary(grouping: rounds.indices) { rounds[$0] }
        return places.keys.sorted().map { round in
            let own = (places[round] ?? []).map { samples[$0] }
            precondition(own.count % 2 == 0, "a round's samples are two slots")
            let half = own.count / 2
            let slots = [Array(own.prefix(half)), Array(own.suffix(half))]
            return Statistics.mean(slots.map { log(Statistics.median($0)) })
        }
    }

    /// The trimmed mean, half the width of its 95 % interval, and its standard error.
    private static func yuen(_ values: [Double]) -> (Double, Double, Double) {
        let sorted = values.sorted()
        let trimmed = Int(trimmedShare * Double(sorted.count))
        let kept = Array(sorted[trimmed..<sorted.count - trimmed])
        let winsorized = sorted.map { min(max($0, kept[0]), kept[kept.count - 1]) }
        let count = Double(kept.count)
        let error = (Statistics.squares(winsorized) / (count * (count - 1))).squareRoot()
        return (Statistics.mean(kept), tQuantile(kept.count - 1) * error, error)
    }
}
