import Foundation
import LOLViTFixtures
import Testing

@testable import LOLViT

/// Artifacts are opened only if they are what the manifest says, and only inside of their folder.
@Suite struct ModelSourceTests {
    private let temporary: TemporaryFolder
    private let source: ModelSource

    init() throws {
        temporary = try TemporaryFolder()
        source = ModelSource(folder: temporary.url)
    }

    /// An exported model's artifact, copied to where the test may change it.
    private func copied(_ predictions: Fixtures.Predictions) throws -> ArtifactSpec {
        let folder = Fixtures.url(predictions.model)
        for name in ["manifest.json", predictions.artifact] {
            try FileManager.default.copyItem(
                at: folder.appendingPathComponent(name),
                to: temporary.url.appendingPathComponent(name))
        }
        let spec = try ModelSpec.load(source)
        return try #require(spec.artifacts.first { $0.path == predictions.artifact })
    }

    @Test func exportedFoldersMatchTheirSha256() throws {
        for predictions in try Fixtures.predictions() {
            let model = ModelSource(folder: Fixtures.url(predictions.model))
            let spec = try ModelSpec.load(model)
            let artifacts = spec.artifacts.filter(\.packaged)
            #expect(artifacts.contains { $0.path == predictions.artifact })
            for artifact in artifacts {
                #expect(try model.checked(artifact).lastPathComponent == artifact.path)
            }
        }
    }

    @Test func aChangedArtifactIsRejected() throws {
        let artifact = try copied(try #require(try Fixtures.predictions().first))
        let folder = temporary.url.appendingPathComponent(artifact.path)
        let first = try #require(try FileManager.default.subpathsOfDirectory(atPath: folder.path)
            .map { folder.appendingPathComponent($0) }
            .first { !$0.hasDirectoryPath && (try? Data(contentsOf: $0)) != nil })
        var data = try Data(contentsOf: first)
        data[data.count / 2] ^= 1
        try data.write(to: first)
        #expect(throws: changed(folder, "another sha256")) { try source.checked(artifact) }
        try data.dropLast().write(to: first)
        let reason = "\(artifact.bytes - 1) bytes instead of \(artifact.bytes)"
        #expect(throws: changed(folder, reason)) { try source.checked(artifact) }
        try FileManager.default.removeItem(at: folder)
        #expect(throws: LolvitError(.artifactMissing, ["path": folder.path])) {
            try source.checked(artifact)
        }
    }

    private func changed(_ folder: URL, _ reason: String) -> LolvitError {
        LolvitError(.artifactChanged, ["path": folder.path, "reason": reason])
    }

    @Test func aFoldersHashComparesPathsByComponentAsPythonDoes() throws {
        // As text, "a-b/x" comes before "a/x"; by component, after.
        for name in ["a/x", "a-b/x", "a/é", "a/z", "Z"] { try temporary.write(name, "folder/" + name) }
        let expected = try Fixtures.folderHash()
        let tensor = TensorSpec(
            name: "image", shape: [1, 3, 8, 8], dtype: "float32", layout: .nchw, meaning: "normalized")
        let artifact = ArtifactSpec(
            path: "folder", format: "coreml", precision: "fp16", sha256: expected.sha256,
            bytes: expected.bytes, input: tensor, outputs: [tensor], packaged: true)
        #expect(try source.checked(artifact).lastPathComponent == "folder")
    }

    @Test func aLinkOutOfTheFolderIsRejected() throws {
        let outside = try TemporaryFolder()
        try outside.write("secret", "file")
        try FileManager.default.createSymbolicLink(
            at: temporary.url.appendingPathComponent("link"),
            withDestinationURL: outside.url.appendingPathComponent("file"))
        let details = ["folder": temporary.url.path, "path": "link"]
        #expect(throws: LolvitError(.pathLeavesFolder, details)) { try source.data("link") }
        #expect(!source.exists("link") && !source.exists("../file") && !source.exists(""))
    }

    @Test func modelsAreListedByName() throws {
        for name in ["b", "a", "none"] { try temporary.write("{}", "\(name)/file") }
        for name in ["b", "a"] { try temporary.write("{}", "\(name)/manifest.json") }
        let found = ModelSource.list(in: temporary.url).map(\.folder.lastPathComponent)
        #expect(found == ["a", "b"])
        #expect(ModelSource.list(in: temporary.url.appendingPathComponent("absent")).isEmpty)
    }
}
