import Foundation
import Testing

@testable import DemoState
@testable import LOLViT

/// What the main screen shows while photos, models and engines are chosen.
@MainActor
@Suite struct PhotoSessionTests {
    let folders = try! ModelFolders()

    @Test func aPhotoIsRankedAndTimed() async throws {
        try folders.add()
        let session = session(folders)
        await session.started()
        let photo = try photo()
        await session.shown { photo }
        let screen = session.screen
        guard case .classes(let scores) = screen.result?.outcome else {
            throw LolvitError(.taskMismatch)
        }
        #expect(scores.map(\.label) == ["dog", "owl", "cat"])
        #expect(screen.photo == photo)
        #expect(screen.stage == .idle)
        let latency = try #require(screen.latency)
        #expect(latency.runs >= 1 && latency.runs <= 20)
        #expect(latency.median != nil && latency.p90 != nil)
    }

    @Test func withoutAPhotoTheModelIsOpenedAndWaits() async throws {
        try folders.add(expected: FakeKind.logits)
        let session = session(folders)
        var stages: [Stage] = []
        session.onChange = { stages.append($0.stage) }
        await session.started()
        #expect(session.screen.openedOn?.selfCheck == Message(.selfCheckPassed, .text("300")))
        #expect(session.screen.openedOn?.choice.unit == .neuralEngine)
        #expect(session.screen.result == nil)
        #expect(stages.first == .readingModels && stages.last == .idle)
    }

    @Test func aUnitThatComputesSomethingElseIsLeftAndTheScreenSaysWhy() async throws {
        try folders.add(expected: FakeKind.logits)
        var kind = FakeKind()
        kind.wrong = [.neuralEngine: [3, 0, 0]]
        let session = session(folders, kind)
        await session.started()
        let opened = try #require(session.screen.openedOn)
        #expect(opened.choice.unit == .gpu)
        #expect(opened.tried.map(\.unit) == [.neuralEngine])
        #expect(session.screen.openedLines.count == 2)
        let line = session.screen.openedLines[0].english
        #expect(line.hasPrefix("engine.fallback engine.ane model-fp16.mlpackage: on the Neural Engine"))
    }

    @Test func missingEnginesHaveTheirReasons() async throws {
        try folders.add()
        var kind = FakeKind()
        kind.absent = [.neuralEngine]
        let session = session(folders, kind)
        await session.started()
        let engines = session.screen.engines
        #expect(
            engines[0].reason?.english
                == "This device has no Neural Engine; choose another compute unit.")
        #expect(session.screen.engine?.unit == .gpu)
        #expect(engines.last?.engine == "coreai" && engines.last?.missing?.code == .engineAbsent)
    }

    @Test func choicesAreKeptAndRestored() async throws {
        try folders.add("a_model")
        try folders.add("b_model")
        let first = session(folders)
        var kept = SavedChoices()
        first.onChoice = { kept = $0 }
        await first.started()
        first.chooseModel("b_model")
        first.chooseEngine("coreml/fp16/cpu")
        await first.settled()
        #expect(kept == SavedChoices(model: "b_model", engine: "coreml/fp16/cpu"))
        let second = session(folders)
        await second.started(kept)
        #expect(second.screen.modelID == "b_model")
        #expect(second.screen.openedOn?.choice.unit == .cpu)
    }

    @Test func anotherEngineAnalysesTheSamePhotoAgain() async throws {
        try folders.add()
        let session = session(folders)
        await session.started()
        let photo = try photo()
        await session.shown { photo }
        session.chooseEngine("coreml/fp16/cpu")
        #expect(session.screen.latency == nil)
        await session.settled()
        #expect(session.screen.openedOn?.choice.unit == .cpu)
        #expect(session.screen.photo == photo && session.screen.result != nil)
    }

    @Test func cancelledWorkShowsNothingMore() async throws {
        try folders.add()
        let gate = Gate()
        var kind = FakeKind()
        kind.gate = gate
        let session = session(folders, kind)
        session.start()
        while !session.screen.isBusy || session.screen.models.isEmpty { await Task.yield() }
        let work = session.work
        session.cancel()
        #expect(session.screen.stage == .idle)
        await gate.open()
        await work?.value
        #expect(session.screen.stage == .idle)
        #expect(session.screen.openedOn == nil && session.screen.problem == nil)
    }

    @Test func framesAreTakenOneAtATime() async throws {
        try folders.add()
        let session = session(folders)
        await session.started()
        #expect(!session.gate.enter())
        session.startLive()
        await session.settled()
        #expect(session.screen.isLive)
        #expect(session.gate.enter())
        #expect(!session.gate.enter())
        for _ in 0..<2 {
            session.predict(frame: try photo())
            await session.settled()
            #expect(session.gate.enter())
        }
        #expect(session.screen.result != nil && session.screen.isLive)
        #expect(session.screen.latency?.runs == 1)
        let last = try photo()
        session.stopLive(last: last)
        session.gate.finish()
        #expect(!session.gate.enter())
        #expect(session.screen.photo == last && session.screen.stage == .idle)
    }

    @Test func lowMemoryClosesAModelThatDoesNothing() async throws {
        try folders.add(expected: FakeKind.logits)
        let session = session(folders)
        await session.started()
        session.freeMemory()
        let photo = try photo()
        await session.shown { photo }
        #expect(session.screen.result != nil)
        #expect(session.screen.openedOn?.selfCheck == Message(.selfCheckPassedBefore, .text("300")))
    }
}

@Suite struct TextTests {
    @Test func latencyLeavesTheWarmUpOut() {
        var window = LatencyWindow()
        #expect(window.add(90) == Latency(now: 90, median: nil, p90: nil, runs: 0))
        for value in [10.0, 30] { _ = window.add(value) }
        let found = window.add(20)
        #expect(found.now == 20 && found.median == 20 && found.runs == 3)
        #expect((28...30).contains(found.p90 ?? 0))
        for _ in 0..<100 { _ = window.add(5) }
        #expect(window.add(5).runs == 60)
    }

    @Test func figuresFollowTheLocale() {
        let german = Locale(identifier: "de_DE")
        #expect(Figures.milliseconds(3.14159, german) == "3,14")
        #expect(Figures.milliseconds(31.4159, german) == "31,4")
        #expect(Figures.milliseconds(314.159, german) == "314")
        #expect(Figures.times(8.225, Locale(identifier: "en_US")) == "8.22")
    }

    @Test func boxesAreSharesOfThePhotoAndTheBestIsOnTop() throws {
        let folders = try ModelFolders()
        let spec = try ModelSpec.load(ModelSource(folder: try folders.add()))
        let objects = [
            Detection(index: 1, label: "dog", score: 0.9, box: Box(left: 10, top: 20, right: 60, bottom: 70)),
            Detection(index: 0, label: "cat", score: 0.5, box: Box(left: 0, top: 0, right: 200, bottom: 100)),
        ]
        let boxes = Overlay.boxes(objects, of: spec, on: ImageSize(height: 100, width: 200))
        #expect(boxes.map(\.id) == [1, 0])
        let best = boxes[1]
        #expect([best.left, best.top, best.width, best.height] == [0.05, 0.2, 0.25, 0.5])
        #expect(best.text.hasPrefix("dog ") && best.color == spec.colors[1])
    }

    @Test func masksAreTransparentWhereThereIsNoClass() throws {
        let folders = try ModelFolders()
        let spec = try ModelSpec.load(ModelSource(folder: try folders.add()))
        let map = SegmentationMap(
            size: ImageSize(height: 1, width: 2), classes: [2, 255], ignore: 255, shares: [])
        let pixels = Overlay.mask(map, of: spec)
        let color = spec.colors[2]
        let half = [color.red, color.green, color.blue].map { UInt8((Int($0) * 128 + 127) / 255) }
        #expect(pixels == half + [128] + [0, 0, 0, 0])
    }

    @Test func theBenchmarksPhotoIsThatOfTheAndroidApp() throws {
        let photo = try BenchmarkPhoto.photo()
        #expect(photo.size == ImageSize(height: 512, width: 512))
        #expect(Array(photo.levels.prefix(12)) == [0, 4, 0, 0, 0, 16, 0, 22, 0, 0, 1, 1])
    }
}
