import LOLViT

/// How long the model took, in milliseconds: the last run, and median and 90th percentile of `runs`.
public struct Latency: Equatable, Sendable {
    public let now: Double

    /// nil after the first run, which is a warm-up and not counted.
    public let median: Double?
    public let p90: Double?
    public let runs: Int
}

/// The latest durations of a model; the first one is dropped, as the warm-up.
struct LatencyWindow {
    private static let capacity = 60  // at a live camera: the last few seconds

    private var times: [Double] = []
    private var isWarm = false

    /// Adds a duration in milliseconds, and returns what is known now.
    mutating func add(_ milliseconds: Double) -> Latency {
        guard isWarm else {
            isWarm = true
            return Latency(now: milliseconds, median: nil, p90: nil, runs: 0)
        }
        if times.count == Self.capacity { times.removeFirst() }
        times.append(milliseconds)
        return Latency(
            now: milliseconds, median: Statistics.median(times),
            p90: Statistics.percentile(times, 0.9), runs: times.count)
    }
}
