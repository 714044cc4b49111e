import Foundation
import Testing

@testable import DemoState
@testable import LOLViT

/// What the benchmark's screen shows, with real measurements of a fake runtime.
@MainActor
@Suite struct BenchmarkSessionTests {
    let folders = try! ModelFolders()

    private func session(_ kind: FakeKind = FakeKind(), lowPower: Bool = false) -> BenchmarkSession {
        BenchmarkSession(
            engines: engines(kind, folders), folder: folders.root.appendingPathComponent(".results"),
            models: folders.list
        ) { plan, engines, progress in
            let quick = ComparisonPlan(
                candidate: plan.candidate, baseline: plan.baseline,
                profile: Profile(name: "quick", blocks: 2, rounds: 2, burst: 1, seconds: 1))
            return try await Comparison.run(
                quick, engines: engines, photo: BenchmarkPhoto.photo(), photoName: BenchmarkPhoto.name,
                phone: FakePhone(lowPower: lowPower), progress: progress)
        }
    }

    private func started(_ kind: FakeKind = FakeKind(), lowPower: Bool = false) async throws
        -> BenchmarkSession
    {
        try folders.add("mobilevit_tiny")
        try folders.add("lolvit_tiny")
        let session = session(kind, lowPower: lowPower)
        session.start()
        await session.settled()
        return session
    }

    @Test func aLolvitIsTheCandidateAndTheResultIsWrittenAndShown() async throws {
        let session = try await started()
        #expect(session.screen.candidateID == "lolvit_tiny")
        #expect(session.screen.baselineID == "mobilevit_tiny")
        #expect(session.screen.obstacle == nil)
        session.run()
        #expect(session.screen.isRunning)
        await session.settled()
        #expect(session.screen.problem == nil && !session.screen.isRunning)
        let shown = try #require(session.screen.result)
        #expect(shown.interval.words == .benchmarkInterval)
        #expect(shown.quality.words == .benchmarkQuality)
        #expect(shown.thermalState == Message(.benchmarkThermal, .text("fair")))
        #expect(shown.latencies.map(\.words) == [.benchmarkLatency, .benchmarkLatency])
        #expect(shown.placements[0] == Message(.benchmarkPlacementUnknown, .text("lolvit_tiny")))
        let file = try #require(session.screen.file)
        #expect(file.lastPathComponent.hasPrefix("lolvit-lolvit_tiny-mobilevit_tiny-20"))
        let json = try Data(contentsOf: file)
        #expect(try ShownComparison(json) == shown)
        // For Python, which opens what the app shares.
        if let results = ProcessInfo.processInfo.environment["LOLVIT_RESULTS"] {
            try json.write(to: URL(fileURLWithPath: results).appendingPathComponent("app-result.json"))
        }
    }

    @Test func oneModelIsNotEnough() async throws {
        try folders.add()
        try folders.edit(try folders.add("b_broken"), "\"schema_version\":2", "\"schema_version\":3")
        let session = session()
        session.start()
        await session.settled()
        #expect(session.screen.obstacle == Message(.benchmarkNeedsTwo, .count(1)))
        session.run()
        #expect(!session.screen.isRunning)
    }

    @Test func twoDifferentModelsAreNeeded() async throws {
        let session = try await started()
        session.choose(candidate: "lolvit_tiny", baseline: "lolvit_tiny")
        #expect(session.screen.obstacle == Message(.benchmarkSame))
    }

    @Test func anEngineThatOneModelLacksHasItsReason() async throws {
        let session = try await started()
        let artifact = folders.root.appendingPathComponent("mobilevit_tiny/model-fp16.mlpackage")
        try FileManager.default.removeItem(at: artifact)
        let again = self.session()
        again.start()
        await again.settled()
        #expect(session.screen.engineID == "coreml/fp16/ane")
        #expect(again.screen.engineID == nil)
        #expect(again.screen.obstacle == Message(.benchmarkNoEngine))
        #expect(again.screen.engines.allSatisfy { $0.reason != nil })
    }

    @Test func lowPowerModeIsRefusedWithWhatToDo() async throws {
        let session = try await started(lowPower: true)
        session.run()
        await session.settled()
        let found = try #require(session.screen.problem)
        #expect(found.title == .benchmarkTitle)
        #expect(found.text.english.contains("switch it off in Settings"))
        #expect(session.screen.result == nil)
    }

    @Test func aModelThatFailsEndsTheMeasurement() async throws {
        var kind = FakeKind()
        kind.openError = LolvitError(
            .loadFailed, ["path": "m", "engine": "Core ML", "unit": "GPU", "reason": "no"])
        let session = try await started(kind)
        session.run()
        await session.settled()
        #expect(session.screen.problem?.title == .benchmarkTitle)
        #expect(!session.screen.isRunning)
    }

    @Test func leavingTheAppCancelsAndSaysSo() async throws {
        let gate = Gate()
        var kind = FakeKind()
        kind.gate = gate
        let session = try await started(kind)
        session.leave()
        #expect(session.screen.problem == nil)
        session.run()
        session.leave()
        #expect(session.screen.problem?.text == Message(.benchmarkLeft))
        #expect(!session.screen.isRunning)
        await gate.open()
        await session.settled()
        #expect(session.screen.result == nil && session.screen.file == nil)
    }

    @Test func aResultThatCannotBeWrittenIsShownAllTheSame() async throws {
        let session = try await started()
        let results = folders.root.appendingPathComponent(".results")
        try Data("a file".utf8).write(to: results)
        session.run()
        await session.settled()
        #expect(session.screen.result != nil && session.screen.file == nil)
        #expect(session.screen.problem?.text.words == .benchmarkUnshared)
    }

    @Test(arguments: [
        ("candidate", "precise", Words.benchmarkFaster, ["a", "2.00", "b"], ["2.00", "1.60", "2.50"]),
        ("baseline", "fair", .benchmarkFaster, ["b", "0.50", "a"], ["0.50", "0.40", "0.62"]),
        ("", "coarse", .benchmarkEven, ["a", "b"], ["2.00", "1.60", "2.50"]),
        ("candidate", "INVALID", .benchmarkInvalid, ["a", "b"], ["2.00", "1.60", "2.50"]),
    ])
    func headlineFollowsTheQuality(
        winner: String, state: String, words: Words, names: [String], interval: [String]
    ) throws {
        let document = """
            {"environment": {"date": "2026-11-28T10:00:00Z"}, "results": [{
             "candidate": {"model": "a", "median_ms": 1, "p90_ms": 2},
             "baseline": {"model": "b", "median_ms": 2, "p90_ms": 3},
             "speedup": {"ratio": 2, "low": 1.6, "high": 2.5},
             "quality": {"state": "\(state)", "half_width": 0.01, "reasons": [],
                "winner": \(winner.isEmpty ? "null" : "\"\(winner)\""),
                "findings": [{"code": "hot", "text": "The phone was hot."}]},
             "placement": {"candidate": {"CPU": 2, "NeuralEngine": 40}, "baseline": {}},
             "readings": [{"thermal_state": "serious"}, {"thermal_state": "nominal"}, {}],
             "notes": ["untrained"]}]}
            """
        let shown = try ShownComparison(Data(document.utf8))
        #expect(shown.headline == Message(words, names.map(Message.Argument.text)))
        #expect(shown.interval == Message(.benchmarkInterval, interval.map(Message.Argument.text)))
        #expect(shown.findings == ["The phone was hot."])
        #expect(
            shown.placements[0]
                == Message(.benchmarkPlacement, .text("a"), .text("NeuralEngine 40, CPU 2")))
        #expect(shown.thermalState == Message(.benchmarkThermal, .text("serious")))
        #expect(shown.fileName == "lolvit-a-b-20261128100000.json")
    }
}

private struct FakePhone: Phone {
    let name = "iPhone99,1"
    let lowPower: Bool

    func state() async -> PhoneState { PhoneState(thermal: .fair, lowPowerMode: lowPower) }
}
