import Foundation
import LOLViTFixtures
import Testing

@testable import LOLViT

/// A device of which a test says the state.
private struct FakePhone: Phone {
    var name = "iPhone0,0"
    var found = PhoneState(thermal: .nominal, batteryPercent: 80, plugged: true, lowPowerMode: false)

    func state() async -> PhoneState { found }
}

/// Two models, interleaved.
@Suite struct ComparisonTests {
    private let model: CheckedModel

    init() throws { model = try CheckedModel() }

    private var quick: Profile {
        var profile = Profile.quick
        profile.seconds = 0.8
        profile.warmUpSeconds = 0.02
        return profile
    }

    private func plan(_ profile: Profile? = nil) -> ComparisonPlan {
        ComparisonPlan(
            candidate: (model.source, nil), baseline: (model.source, nil), profile: profile ?? quick)
    }

    private func run(
        _ kind: FakeKind, phone: FakePhone = FakePhone(),
        progress: @escaping @Sendable (ComparisonStep) -> Void = { _ in }
    ) async throws -> ResultDocument {
        try await Comparison.run(
            plan(), engines: model.engines(kind), photo: model.photo, photoName: "coffee",
            phone: phone, progress: progress)
    }

    /// A kind whose runs take at least a tenth of a millisecond.
    private func kind(_ answer: @escaping FakeKind.Answer) -> FakeKind {
        FakeKind { input, unit in
            let start = nanoseconds()
            while nanoseconds() - start < 100_000 {}
            return try answer(input, unit)
        }
    }

    @Test func aResultDocumentIsWritten() async throws {
        let steps = Calls()
        let kind = kind { [outputs = model.outputs] _, _ in outputs }
        let result = try await run(kind) { steps.add("\($0)") }
        #expect(result.candidate.samples.milliseconds.count == result.baseline.samples.milliseconds.count)
        #expect(result.candidate.samples.milliseconds.allSatisfy { $0 >= 0.1 })
        #expect(Set(result.candidate.samples.block) == [0, 1, 2, 3])
        #expect(result.speedup.interval.low <= 1.5 && result.speedup.interval.high >= 0.67)
        #expect(result.readings.count == 5 && result.conditions.throttleEvents == 0)
        #expect(steps.all.first == "opening" && steps.all.last?.hasPrefix("measuring(done:") == true)
        let json = try result.json()
        if let folder = Fixtures.results {
            try json.write(to: folder.appendingPathComponent("result.json"))
        }
        let document = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
        #expect(document["kind"] as? String == "lolvit-bench" && document["state"] as? String == "complete")
    }

    @Test func outputsThatChangedInvalidateTheResult() async throws {
        let runs = Calls()
        let kind = kind { [outputs = model.outputs, wrong = model.wrong] _, _ in
            runs.add("")
            return runs.all.count > 100 ? wrong : outputs
        }
        let result = try await run(kind)
        #expect(result.quality.state == .invalid && result.quality.winner == nil)
        #expect(result.quality.reasons.map(\.code).contains("outputs-changed"))
    }

    @Test func lowPowerModeIsRefused() async {
        let kind = kind { [outputs = model.outputs] _, _ in outputs }
        let error = await lolvitError {
            try await run(kind, phone: FakePhone(found: PhoneState(lowPowerMode: true)))
        }
        #expect(error?.code == .lowPowerMode && kind.calls.all.isEmpty)
    }

    @Test func aHotPhoneIsAFinding() async throws {
        let kind = kind { [outputs = model.outputs] _, _ in outputs }
        let result = try await run(kind, phone: FakePhone(found: PhoneState(thermal: .serious)))
        #expect(result.conditions.throttleEvents == result.readings.count)
        #expect(result.quality.findings.map(\.code).contains("thermal"))
    }

    @Test func aCancelledMeasurementKeepsItsRoundsAndIsInvalid() async throws {
        let kind = kind { [outputs = model.outputs] _, _ in outputs }
        let cancel = Cancellation()
        let task = Task {
            try await run(kind) { step in
                if case .measuring(let done, _) = step, done == 3 { cancel.now() }
            }
        }
        cancel.task = { task.cancel() }
        let result = try await task.value
        #expect(result.quality.reasons.map(\.code).contains("interrupted"))
        #expect(Set(result.candidate.samples.round) == [0, 1, 2])
    }

    @Test func modelsOnDifferentUnitsAreNotCompared() async throws {
        // The second model that is opened fails on the Neural Engine.
        let runs = Calls()
        let kind = FakeKind { [outputs = model.outputs] _, unit in
            runs.add(unit.rawValue)
            if runs.all == ["ane", "ane"] { throw LolvitError(.runFailed) }
            return outputs
        }
        let error = await lolvitError { try await run(kind) }
        #expect(error?.code == .unitsDiffer)
        #expect(error?.description.contains("runs on the Neural Engine, lolvit_xx on the GPU") == true)
    }
}

/// Cancels a task from within it, once it is known.
private final class Cancellation: @unchecked Sendable {
    private let lock = NSLock()
    private var action: (@Sendable () -> Void)?
    private var wanted = false

    var task: (@Sendable () -> Void)? {
        get { lock.withLock { action } }
        set {
            lock.withLock { action = newValue }
            if lock.withLock({ wanted }) { newValue?() }
        }
    }

    func now() {
        lock.withLock { wanted = true }
        task?()
    }
}
