import Foundation
import Testing

@testable import DemoState
@testable import LOLViT

/// Each failure that a user can meet ends in a message that says what to do, and in a screen that works
/// on.
@MainActor
@Suite struct FailureTests {
    let folders = try! ModelFolders()

    /// The problem on the screen after a photo was chosen: its title, and its text in English.
    private func problem(_ kind: FakeKind = FakeKind(), _ input: PhotoInput? = nil) async throws -> (
        title: Words, text: String, action: Problem.Action?
    ) {
        let session = session(folders, kind)
        await session.started()
        let photo = try photo()
        await session.shown(input ?? { photo })
        let found = try #require(session.screen.problem)
        #expect(session.screen.stage == .idle)
        #expect(session.screen.result == nil)
        return (found.title, found.text.english, found.action)
    }

    @Test func noModel() async throws {
        let found = try await problem()
        #expect(found.title == .noModelTitle)
        #expect(found.text == "problem.no_model")
    }

    @Test func aModelWithoutAManifestIsNotListed() async throws {
        let folder = try folders.add()
        try FileManager.default.removeItem(at: folder.appendingPathComponent("manifest.json"))
        #expect(try await problem().title == .noModelTitle)
    }

    @Test func aTruncatedManifest() async throws {
        let file = try folders.add().appendingPathComponent("manifest.json")
        try Data(contentsOf: file).prefix(100).write(to: file)
        let found = try await problem()
        #expect(found.title == .modelTitle)
        #expect(found.text.contains("not a manifest; export the model again"))
    }

    @Test func aTruncatedArtifact() async throws {
        let file = try folders.add().appendingPathComponent("model-fp16.mlpackage")
        try Data(contentsOf: file).prefix(5).write(to: file)
        let found = try await problem()
        #expect(found.title == .modelTitle)
        #expect(found.text.contains("5 bytes instead of 21; package the model again"))
    }

    @Test func anotherSchemaVersion() async throws {
        try folders.edit(try folders.add(), "\"schema_version\":2", "\"schema_version\":3")
        let found = try await problem()
        #expect(found.title == .modelTitle)
        #expect(found.text.contains("schema version 3, this app reads 1 and 2"))
    }

    @Test func anotherTask() async throws {
        try folders.edit(try folders.add(), "\"classification\"", "\"tensors\"")
        let found = try await problem()
        #expect(found.title == .modelTitle)
        #expect(found.text.contains("task 'tensors'"))
        #expect(found.text.contains("choose such a model"))
    }

    @Test func aManifestThatDisagreesWithItself() async throws {
        try folders.edit(try folders.add(), "[1,3]", "[1,4]")
        let found = try await problem()
        #expect(found.title == .modelTitle)
        #expect(found.text.contains("3 labels for 4 classes; give one for each class"))
    }

    @Test func aManifestThatDisagreesWithTheModel() async throws {
        try folders.add()
        var kind = FakeKind()
        kind.wrong = [.neuralEngine: [1, 2], .gpu: [1, 2], .cpu: [1, 2]]
        let found = try await problem(kind)
        #expect(found.title == .engineTitle)
        #expect(found.text.contains("its manifest has 1x3; package the model again"))
    }

    @Test func noArtifactIsThere() async throws {
        let folder = try folders.add()
        try FileManager.default.removeItem(at: folder.appendingPathComponent("model-fp16.mlpackage"))
        let found = try await problem()
        #expect(found.title == .engineTitle)
        #expect(found.text == "problem.no_engine")
    }

    @Test func compilationFails() async throws {
        try folders.add()
        var kind = FakeKind()
        kind.compileError = LolvitError(
            .compileFailed, ["path": "m", "engine": "Core ML", "reason": "no space left"])
        let found = try await problem(kind)
        #expect(found.title == .engineTitle)
        #expect(found.text == "M: Core ML can't compile it: no space left; package the model again.")
    }

    @Test func notEnoughMemory() async throws {
        try folders.add()
        let engines = Engines(
            [FakeKind()], cache: ModelCache(folder: folders.root.appendingPathComponent(".cache")),
            freeMemory: { 10 })
        let session = PhotoSession(engines: engines, models: folders.list)
        await session.started()
        let found = try #require(session.screen.problem)
        #expect(found.title == .memoryTitle)
        #expect(found.text == Message(.memory))
        #expect(found.action == .tryAgain)
    }

    @Test func everyComputeUnitMissesTheSelfCheck() async throws {
        try folders.add(expected: [9, -9, 4])
        let found = try await problem()
        #expect(found.title == .engineTitle)
        for unit in ["Neural Engine", "GPU", "CPU"] {
            #expect(found.text.contains("on the \(unit) its outputs are not those"))
        }
    }

    @Test func theModelStopsWorking() async throws {
        try folders.add()
        var kind = FakeKind()
        kind.runError = LolvitError(
            .runFailed,
            ["path": "m", "engine": "Core ML", "unit": "GPU", "reason": "not allowed in the background"])
        #expect(try await problem(kind).text.contains("not allowed in the background; try again"))
    }

    @Test func aBugIsShownAndEndsNothing() async throws {
        struct Bug: Error {}
        try folders.add()
        let found = try await problem(FakeKind(), { throw Bug() })
        #expect(found.title == .unforeseenTitle)
        #expect(found.text == "problem.unforeseen Bug()")
    }

    @Test func aPhotoThatCannotBeDecoded() async throws {
        try folders.add()
        let found = try await problem(FakeKind(), { throw LolvitError(.photoUndecodable) })
        #expect(found.title == .photoTitle)
        #expect(found.text == "Not a photo that this device can read; choose a JPEG, PNG or HEIC.")
    }

    @Test func aPhotoThatIsOnlyInTheCloudInAirplaneMode() async throws {
        try folders.add()
        let found = try await problem(FakeKind(), { throw PhotoUnavailable() })
        #expect(found.title == .photoTitle)
        #expect(found.text == "problem.photo_offline")
        #expect(found.action == .tryAgain)
    }

    @Test(
        arguments: [
            (.denied, .cameraDenied, .openSettings),
            (.restricted, .cameraRestricted, nil),
            (.absent, .cameraAbsent, nil),
            (.interrupted, .cameraInterrupted, .tryAgain),
            (.failed("lens"), .cameraFailed, .tryAgain),
        ] as [(CameraFailure, Words, Problem.Action?)])
    func theCameraIsRefused(failure: CameraFailure, text: Words, action: Problem.Action?) async throws {
        try folders.add()
        let session = session(folders)
        await session.started()
        session.startLive()
        await session.settled()
        #expect(session.screen.isLive)
        session.fail(failure, title: .cameraTitle)
        let found = try #require(session.screen.problem)
        #expect(found.title == .cameraTitle)
        #expect(found.text.words == text)
        #expect(found.action == action)
        #expect(!session.screen.isLive)
        #expect(!session.gate.enter())
    }

    @Test func afterAProblemAnotherPhotoWorks() async throws {
        try folders.add()
        let session = session(folders)
        await session.started()
        await session.shown { throw LolvitError(.photoUndecodable) }
        #expect(session.screen.problem != nil)
        let photo = try photo()
        await session.shown { photo }
        #expect(session.screen.problem == nil)
        #expect(session.screen.result != nil)
    }

    @Test func aBrokenModelBesideASoundOneHasItsReason() async throws {
        try folders.edit(try folders.add("a_broken"), "\"schema_version\":2", "\"schema_version\":3")
        try folders.add()
        let session = session(folders)
        await session.started()
        #expect(session.screen.problem == nil)
        #expect(session.screen.modelID == "lolvit_tiny")
        let broken = try #require(session.screen.models.first)
        #expect(broken.detail.english.contains("schema version 3"))
        session.chooseModel(broken.id)
        await session.settled()
        #expect(session.screen.problem?.title == .modelTitle)
        #expect(session.screen.engines.isEmpty)
    }
}

extension Message {
    /// The key, then what stands in its places; a message of the library as it is.
    var english: String {
        let values = arguments.map { argument in
            switch argument {
            case .text(let text): text
            case .count(let count): String(count)
            case .words(let words): words.rawValue
            case .message(let message): message.english
            }
        }
        return words == .verbatim ? values[0] : ([words.rawValue] + values).joined(separator: " ")
    }
}
