#if canImport(CoreML)
    import CoreML
    import Foundation
    import LOLViT

    /// Core ML, for artifacts of the format `coreml`: ML Programs in `.mlpackage` folders.
    ///
    /// ```swift
    /// let engines = Engines([CoreMLKind()])
    /// ```
    public struct CoreMLKind: EngineKind {
        public let format = "coreml"
        public let title = "Core ML"
        public let units: [ComputeUnit] = [.neuralEngine, .gpu, .cpu]

        private let system: OperatingSystemVersion

        public init() {
            #if canImport(Darwin)
                self.init(system: ProcessInfo.processInfo.operatingSystemVersion)
            #else  // the stubs are of the newest system, and Linux has other version numbers
                self.init(
                    system: OperatingSystemVersion(majorVersion: 27, minorVersion: 0, patchVersion: 0))
            #endif
        }

        init(system: OperatingSystemVersion) { self.system = system }

        public func missing(_ artifact: ArtifactSpec, _ unit: ComputeUnit) -> LolvitError? {
            let oldest = Oldest(of: artifact.precision)
            if system.majorVersion < oldest.major {
                return LolvitError(.systemTooOld, ["path": artifact.path, "needed": oldest.name])
            }
            return Self.has(unit) ? nil : LolvitError(.computeUnitAbsent, ["unit": unit.title])
        }

        public func compile(_ artifact: URL) async throws -> URL? {
            do {
                return try await MLModel.compileModel(at: artifact)
            } catch {
                throw LolvitError(
                    .compileFailed,
                    [
                        "path": artifact.lastPathComponent, "engine": title,
                        "reason": error.localizedDescription,
                    ])
            }
        }

        public func open(_ model: URL, _ artifact: ArtifactSpec, _ unit: ComputeUnit) async throws
            -> any Engine
        {
            do {
                let loaded = try await MLModel.load(
                    contentsOf: model, configuration: Self.configuration(unit))
                return CoreMLEngine(loaded, compiled: model, artifact: artifact, unit: unit)
            } catch {
                throw LolvitError(
                    .loadFailed,
                    [
                        "path": artifact.path, "engine": title, "unit": unit.title,
                        "reason": error.localizedDescription,
                    ])
            }
        }

        static func configuration(_ unit: ComputeUnit) -> MLModelConfiguration {
            let configuration = MLModelConfiguration()
            configuration.computeUnits =
                switch unit {
                case .neuralEngine: .cpuAndNeuralEngine
                case .gpu: .cpuAndGPU
                case .cpu: .cpuOnly
                }
            return configuration
        }

        /// Whether this device has a compute unit; before iOS 17 that is known of no device, and a model
        /// that can't use one runs on the CPU.
        private static func has(_ unit: ComputeUnit) -> Bool {
            #if targetEnvironment(simulator)
                return unit == .cpu  // its GPU and Neural Engine compute other results
            #else
                guard #available(iOS 17, macOS 14, *) else { return true }
                return MLModel.availableComputeDevices.contains { ComputeUnit($0) == unit }
            #endif
        }
    }

    /// The oldest system that runs artifacts of a precision.
    private struct Oldest {
        let major: Int
        let name: String

        init(of precision: String) {
            let newer = ["int8": 1, "w8a16": 1, "w4": 2][precision] ?? 0
            #if os(macOS)
                major = 13 + newer
                name = "macOS \(major)"
            #else
                major = 16 + newer
                name = "iOS \(major)"
            #endif
        }
    }

    @available(iOS 17, macOS 14, *)
    extension ComputeUnit {
        init?(_ device: MLComputeDevice) {
            if case .cpu = device {
                self = .cpu
            } else if case .gpu = device {
                self = .gpu
            } else if case .neuralEngine = device {
                self = .neuralEngine
            } else {
                return nil
            }
        }
    }
#endif
