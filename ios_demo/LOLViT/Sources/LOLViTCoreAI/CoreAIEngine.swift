#if canImport(CoreAI)
    import CoreAI
    import Foundation
    import LOLViT

    @available(iOS 27, macOS 27, *)
    extension ComputeUnit {
        var kind: ComputeUnitKind {
            switch self {
            case .neuralEngine: .neuralEngine
            case .gpu: .gpu
            case .cpu: .cpu
            }
        }
    }

    /// The function of a loaded Core AI model.
    @available(iOS 27, macOS 27, *)
    struct CoreAIEngine: Engine {
        private static let function = "main"

        let version = ProcessInfo.processInfo.operatingSystemVersionString
        let options: [String: String]

        private let function: InferenceFunction
        private let artifact: ArtifactSpec
        private let unit: ComputeUnit

        init(_ url: URL, _ artifact: ArtifactSpec, _ unit: ComputeUnit) async throws {
            // Other units than the preferred one compute what it can't.
            let specialization =
                unit == .cpu
                ? SpecializationOptions.cpuOnly
                : SpecializationOptions(preferredComputeUnitKind: unit.kind)
            let model = try await AIModel(contentsOf: url, options: specialization)
            guard let function = try model.loadFunction(named: Self.function) else {
                throw LolvitError(
                    .loadFailed,
                    [
                        "path": artifact.path, "engine": "Core AI", "unit": unit.title,
                        "reason": "it has no function '\(Self.function)'",
                    ])
            }
            self.function = function
            self.artifact = artifact
            self.unit = unit
            options = ["compute_units": unit.rawValue, "threads": "chosen by Core AI"]
        }

        func run(_ input: ModelInput) async throws -> [String: Tensor] {
            guard case .values(let tensor) = input else { throw failed("it takes no pixels") }
            let array = NDArray(scalars: tensor.values, shape: tensor.shape)
            do {
                var found = try await function.run(inputs: [artifact.input.name: array])
                var outputs: [String: Tensor] = [:]
                for spec in artifact.outputs {
                    guard let output = found.remove(spec.name)?.ndArray else { continue }
                    guard let tensor = Self.tensor(output) else {
                        throw failed("its output '\(spec.name)' is neither float32 nor int32")
                    }
                    outputs[spec.name] = tensor
                }
                return outputs
            } catch let error as LolvitError {
                throw error
            } catch {
                throw failed(error.localizedDescription)
            }
        }

        /// Core AI reports no placement.
        func placement() async -> [String: Int] { [:] }

        /// The numbers of an array, whose rows may be padded; nil where they are neither float32 nor int32.
        private static func tensor(_ array: NDArray) -> Tensor? {
            let wholes = array.scalarType == .int32
            guard wholes || array.scalarType == .float32 else { return nil }
            return array.rawView().withUnsafeBytes { memory, shape, steps in
                Tensor(
                    shape: (0..<shape.count).map { shape[$0] },
                    steps: (0..<steps.count).map { steps[$0] }, wholes: wholes, in: memory)
            }
        }

        private func failed(_ reason: String) -> LolvitError {
            LolvitError(
                .runFailed,
                ["path": artifact.path, "engine": "Core AI", "unit": unit.title, "reason": reason])
        }
    }
#endif
