import Foundation

/// A model's folder: `manifest.json`, the artifacts that it names, and maybe `labels.txt`.
///
/// Nothing outside of the folder is opened, by `..` or by a link.
public struct ModelSource: Equatable, Sendable {
    private static let blockBytes = 1 << 20

    public let folder: URL

    public init(folder: URL) {
        self.folder = folder
    }

    /// The models in a folder: those of its subfolders that have a `manifest.json`, by name.
    public static func list(in folder: URL) -> [ModelSource] {
        let found = try? FileManager.default.contentsOfDirectory(
            at: folder, includingPropertiesForKeys: nil)
        return (found ?? [])
            .map(ModelSource.init(folder:))
            .filter { $0.exists("manifest.json") }
            .sorted { $0.folder.lastPathComponent < $1.folder.lastPathComponent }
    }

    /// The URL of a file or folder by its relative path.
    ///
    /// - Throws: ``LolvitError`` if it is missing, or lies outside of the folder.
    public func url(_ path: String) throws -> URL {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard !path.isEmpty, !parts.contains(".."), !parts.contains(""), !path.contains("\\") else {
            throw LolvitError(.pathLeavesFolder, ["folder": folder.path, "path": path])
        }
        let url = folder.appendingPathComponent(path)
        guard FileManager.default.fileExists(atPath: url.path) else {
            throw LolvitError(.artifactMissing, ["path": url.path])
        }
        let root = folder.resolvingSymlinksInPath().pathComponents
        guard url.resolvingSymlinksInPath().pathComponents.starts(with: root) else {
            throw LolvitError(.pathLeavesFolder, ["folder": folder.path, "path": path])
        }
        return url
    }

    /// Whether there is a file or folder of this relative path inside.
    public func exists(_ path: String) -> Bool {
        (try? url(path)) != nil
    }

    /// The content of a file.
    ///
    /// - Throws: ``LolvitError`` if it is missing or can't be read.
    public func data(_ path: String) throws -> Data {
        let url = try url(path)
        do {
            return try Data(contentsOf: url)
        } catch {
            throw unreadable(url, error)
        }
    }

    /// Returns the URL of an artifact once its size and sha256 have been checked: native runtimes
    /// crash on damaged files.
    ///
    /// - Throws: ``LolvitError`` if it is missing, was cut short or was changed.
    public func checked(_ artifact: ArtifactSpec) throws -> URL {
        let url = try url(artifact.path)
        let found = try digest(url)
        guard found.bytes == artifact.bytes else {
            let reason = "\(found.bytes) bytes instead of \(artifact.bytes)"
            throw LolvitError(.artifactChanged, ["path": url.path, "reason": reason])
        }
        guard found.sha256 == artifact.sha256 else {
            throw LolvitError(.artifactChanged, ["path": url.path, "reason": "another sha256"])
        }
        return url
    }

    /// The sha256 and the size of a file, or of a folder: of its files' relative paths, each ended by
    /// a zero byte, and contents, in the order of their paths' components as UTF-8.
    private func digest(_ url: URL) throws -> (sha256: String, bytes: Int) {
        var hash = SHA256()
        var bytes = 0
        let isFolder = (try? url.resourceValues(forKeys: [.isDirectoryKey]).isDirectory) ?? false
        guard isFolder else {
            bytes = try append(url, to: &hash)
            return (hash.hex(), bytes)
        }
        for components in try files(in: url).sorted(by: precedes) {
            let path = components.joined(separator: "/")
            hash.update(Array(path.utf8) + [0])
            bytes += try append(url.appendingPathComponent(path), to: &hash)
        }
        return (hash.hex(), bytes)
    }

    private func append(_ url: URL, to hash: inout SHA256) throws -> Int {
        var bytes = 0
        do {
            let handle = try FileHandle(forReadingFrom: url)
            defer { try? handle.close() }
            while let block = try handle.read(upToCount: Self.blockBytes), !block.isEmpty {
                hash.update(block)
                bytes += block.count
            }
        } catch {
            throw unreadable(url, error)
        }
        return bytes
    }

    /// The components of the relative paths of all files below a folder.
    private func files(in folder: URL) throws -> [[String]] {
        do {
            return try FileManager.default.subpathsOfDirectory(atPath: folder.path)
                .filter { path in
                    var isFolder: ObjCBool = false
                    let url = folder.appendingPathComponent(path)
                    let exists = FileManager.default.fileExists(
                        atPath: url.path, isDirectory: &isFolder)
                    return exists && !isFolder.boolValue
                }
                .map { $0.split(separator: "/").map(String.init) }
        } catch {
            throw unreadable(folder, error)
        }
    }

    private func precedes(_ first: [String], _ second: [String]) -> Bool {
        first.lexicographicallyPrecedes(second) { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private func unreadable(_ url: URL, _ error: any Error) -> LolvitError {
        LolvitError(.unreadable, ["path": url.path, "reason": error.localizedDescription])
    }
}
