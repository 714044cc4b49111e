import Foundation

/// Compiled models and the outcomes of their self-checks, kept in a folder by the artifact's sha256 and
/// the system's build: an update of the system compiles and checks again.
///
/// ```swift
/// let engines = Engines([CoreMLKind()], cache: ModelCache(folder: folder))
/// ```
public struct ModelCache: Sendable {
    private static let modelName = "model"
    private static let checksName = "checks.json"

    public let folder: URL

    /// What identifies the system's version.
    public let build: String

    /// In the app's folder of caches, which the system may empty.
    public static var standard: ModelCache {
        let caches = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first
        let base = caches ?? FileManager.default.temporaryDirectory
        return ModelCache(folder: base.appendingPathComponent("LOLViT"))
    }

    public init(folder: URL, build: String = ProcessInfo.processInfo.operatingSystemVersionString) {
        self.folder = folder
        self.build = build
    }

    /// Removes everything that is kept.
    public func clear() { try? FileManager.default.removeItem(at: folder) }

    /// The compiled model of an artifact, if there is one.
    func compiled(_ artifact: ArtifactSpec) -> URL? {
        let entry = entry(artifact)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: entry.path)) ?? []
        return names.first { $0.hasPrefix(Self.modelName + ".") }.map(entry.appendingPathComponent)
    }

    /// Moves a compiled model here and returns where it is: where it was, if this folder can't be
    /// written. Those of the same artifact for other versions of the system are removed.
    func store(_ model: URL, _ artifact: ArtifactSpec) -> URL {
        let manager = FileManager.default
        let entry = entry(artifact)
        let kept = entry.appendingPathComponent("\(Self.modelName).\(model.pathExtension)")
        do {
            try manager.createDirectory(at: entry, withIntermediateDirectories: true)
            removeOtherBuilds(artifact)
            try? manager.removeItem(at: kept)
            try manager.moveItem(at: model, to: kept)
            return kept
        } catch {
            return model
        }
    }

    /// Removes what is kept of an artifact.
    func discard(_ artifact: ArtifactSpec) { try? FileManager.default.removeItem(at: entry(artifact)) }

    /// The signal-to-noise ratios, in dB, that an artifact's self-check found on each compute unit.
    func checks(_ artifact: ArtifactSpec) -> [String: Double] {
        let file = entry(artifact).appendingPathComponent(Self.checksName)
        guard let data = try? Data(contentsOf: file) else { return [:] }
        return (try? JSONDecoder().decode([String: Double].self, from: data)) ?? [:]
    }

    /// Keeps what a self-check found. Where this folder can't be written, the next launch checks again.
    func record(_ snrDb: Double, _ artifact: ArtifactSpec, _ unit: ComputeUnit) {
        var found = checks(artifact)
        found[unit.rawValue] = snrDb
        let entry = entry(artifact)
        try? FileManager.default.createDirectory(at: entry, withIntermediateDirectories: true)
        let data = try? JSONEncoder().encode(found)
        try? data?.write(to: entry.appendingPathComponent(Self.checksName), options: .atomic)
    }

    private func entry(_ artifact: ArtifactSpec) -> URL {
        folder.appendingPathComponent(artifact.sha256).appendingPathComponent(Self.name(of: build))
    }

    private func removeOtherBuilds(_ artifact: ArtifactSpec) {
        let all = folder.appendingPathComponent(artifact.sha256)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: all.path)) ?? []
        for name in names where name != Self.name(of: build) {
            try? FileManager.default.removeItem(at: all.appendingPathComponent(name))
        }
    }

    /// A build as the name of a folder.
    private static func name(of build: String) -> String {
        var hash = SHA256()
        hash.update(build.utf8)
        return String(hash.hex().prefix(16))
    }
}
