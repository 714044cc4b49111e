import Foundation
import LOLViT

#if canImport(CoreAI)
    import CoreAI
#endif

/// Core AI, for artifacts of the format `coreai`: `.aimodel` folders. It needs iOS 27, and Xcode 27 to
/// be built; with an older one, every artifact has `system_too_old` as its reason.
///
/// ```swift
/// let engines = Engines([CoreMLKind(), CoreAIKind()])
/// ```
public struct CoreAIKind: EngineKind {
    public let format = "coreai"
    public let title = "Core AI"
    public let units: [ComputeUnit] = [.neuralEngine, .gpu, .cpu]

    public init() {}

    public func missing(_ artifact: ArtifactSpec, _ unit: ComputeUnit) -> LolvitError? {
        #if canImport(CoreAI)
            if #available(iOS 27, macOS 27, *) {
                return ComputeUnitKind.availableKinds.contains(unit.kind)
                    ? nil : LolvitError(.computeUnitAbsent, ["unit": unit.title])
            }
        #endif
        return tooOld(artifact)
    }

    /// Core AI specializes a model when it is loaded, and keeps the result itself.
    public func compile(_ artifact: URL) async throws -> URL? { nil }

    public func open(_ model: URL, _ artifact: ArtifactSpec, _ unit: ComputeUnit) async throws
        -> any Engine
    {
        #if canImport(CoreAI)
            if #available(iOS 27, macOS 27, *) {
                do {
                    return try await CoreAIEngine(model, artifact, unit)
                } catch let error as LolvitError {
                    throw error
                } catch {
                    throw LolvitError(
                        .loadFailed,
                        [
                            "path": artifact.path, "engine": title, "unit": unit.title,
                            "reason": error.localizedDescription,
                        ])
                }
            }
        #endif
        throw tooOld(artifact)
    }

    private func tooOld(_ artifact: ArtifactSpec) -> LolvitError {
        LolvitError(.systemTooOld, ["path": artifact.path, "needed": "iOS 27, macOS 27"])
    }
}
