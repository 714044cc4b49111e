import LOLViTFixtures
import Testing

@testable import LOLViT

/// Figures of made-up measurements are those of the harness on a computer.
@Suite struct BenchmarkVectorTests {
    struct Document: Decodable {
        let ratios: Ratios
        let measurements: [Measurement]
        let plans: [Plan]
        let orders: [Order]
    }

    struct Ratios: Decodable {
        let measurements: [Ratio]
        let t_quantiles: [String: Double]
    }

    struct Ratio: Decodable {
        let name: String
        let candidate: [Double]
        let baseline: [Double]
        let sample_round: [Int]
        let round_block: [Int]
        let round_log_ratios: [Double]
        let ratio: Double
        let low: Double
        let high: Double
        let over: String
    }

    struct Measurement: Decodable {
        let round: [Int]
        let block: [Int]
        let candidate: Figures
        let baseline: Figures
        let quality: [Evaluation]
    }

    struct Figures: Decodable {
        let samples: [Double]
        let median: Double
        let p90: Double
        let p99: Double?
        let variation: Double
        let variation_trimmed: Double
        let between_block_range: Double
        let block_medians: [Double]
    }

    struct Evaluation: Decodable {
        struct Found: Decodable {
            let code: String
            let text: String
        }

        let state: String
        let half_width: Double
        let winner: String?
        let reasons: [Found]
        let findings: [Found]
    }

    struct Plan: Decodable {
        struct Fitted: Decodable {
            let blocks: Int
            let rounds: Int
            let burst: Int
            let seconds: Double
        }

        let profile: String
        let runs: [Double]
        let slot_warm_up_runs: [Int]
        let plan: Fitted
    }

    struct Order: Decodable {
        let models: Int
        let number: Int
        let order: [Int]
    }

    private let document: Document

    init() throws { document = try Fixtures.decode("benchmark.json") }

    private func close(_ one: Double, _ other: Double) -> Bool {
        abs(one - other) <= 1e-9 * max(abs(one), abs(other), 1e-3)
    }

    @Test func speedupsOverRoundsAreTheHarnesss() {
        #expect(document.ratios.measurements.count >= 7)
        for one in document.ratios.measurements {
            let logs = RoundRatios.logRatios(one.baseline, one.candidate, one.sample_round)
            #expect(zip(logs, one.round_log_ratios).allSatisfy(close), "\(one.name)")
            let found = RoundRatios.ratio(logs, one.round_block)
            let interval = found.interval
            #expect(close(interval.value, one.ratio) && close(interval.low, one.low), "\(one.name)")
            #expect(close(interval.high, one.high) && found.over.rawValue == one.over, "\(one.name)")
        }
        for (freedom, expected) in document.ratios.t_quantiles {
            #expect(close(RoundRatios.tQuantile(Int(freedom) ?? 0), expected))
        }
    }

    @Test func latenciesFiguresAreTheHarnesss() {
        for one in document.measurements {
            for figures in [one.candidate, one.baseline] {
                let ms = figures.samples
                #expect(close(Statistics.median(ms), figures.median))
                #expect(close(Statistics.percentile(ms, 0.9), figures.p90))
                #expect(Statistics.p99(ms).map { close($0, figures.p99 ?? -1) } ?? (figures.p99 == nil))
                #expect(close(Statistics.variation(ms), figures.variation))
                #expect(close(Statistics.trimmedVariation(ms), figures.variation_trimmed))
                #expect(close(Statistics.betweenBlockRange(ms, one.block), figures.between_block_range))
                let medians = Statistics.groupMedians(ms, one.block)
                #expect(zip(medians, figures.block_medians).allSatisfy(close))
            }
        }
    }

    @Test func qualityIsTheHarnesss() {
        for one in document.measurements {
            let conditions = [
                Conditions(cores: 8), Conditions(cores: 8, throttleEvents: 2, interrupted: true),
            ]
            let changes = [nil, "9 values, not 10"]
            for (place, expected) in one.quality.enumerated() {
                let found = Quality.evaluate(
                    Series(
                        name: "candidate", samples: samples(one.candidate, one),
                        outputsChanged: changes[place]),
                    Series(name: "baseline", samples: samples(one.baseline, one)),
                    conditions[place])
                #expect(found.state.rawValue == expected.state)
                #expect(close(found.halfWidth, expected.half_width))
                #expect(found.winner?.rawValue == expected.winner)
                #expect(found.reasons.map(\.text) == expected.reasons.map(\.text))
                // Apple's systems report no temperature.
                let findings = expected.findings.filter { $0.code != "temperature" }
                #expect(found.findings.map(\.text) == findings.map(\.text))
            }
        }
    }

    private func samples(_ figures: Figures, _ one: Measurement) -> Samples {
        Samples(
            milliseconds: figures.samples, block: one.block, round: one.round,
            order: Array(figures.samples.indices))
    }

    @Test func plansAndOrdersAreTheHarnesss() {
        for one in document.plans {
            let profile = one.profile == "quick" ? Profile.quick : .default
            let plan = profile.fitted(one.runs)
            #expect(plan.blocks == one.plan.blocks && plan.rounds == one.plan.rounds)
            #expect(plan.burst == one.plan.burst && close(plan.seconds, one.plan.seconds))
            #expect(one.runs.map(Schedule.slotWarmUpRuns) == one.slot_warm_up_runs)
        }
        for one in document.orders { #expect(Schedule.order(one.models, one.number) == one.order) }
    }
}
