#if canImport(CoreML)
    import CoreML
    import CoreVideo
    import Foundation
    import LOLViT

    /// A loaded Core ML model, which is used by one task at a time, as Core ML requires.
    actor CoreMLEngine: Engine {
        nonisolated let version = ProcessInfo.processInfo.operatingSystemVersionString
        nonisolated let options: [String: String]

        private let model: MLModel
        private nonisolated let compiled: URL
        private nonisolated let artifact: ArtifactSpec
        private nonisolated let unit: ComputeUnit
        private var buffer: CVPixelBuffer?  // reused

        init(_ model: MLModel, compiled: URL, artifact: ArtifactSpec, unit: ComputeUnit) {
            self.model = model
            self.compiled = compiled
            self.artifact = artifact
            self.unit = unit
            options = ["compute_units": unit.rawValue, "threads": "chosen by Core ML"]
        }

        func run(_ input: ModelInput) throws -> [String: Tensor] {
            do {
                let given = try MLDictionaryFeatureProvider(dictionary: [
                    artifact.input.name: try feature(input)
                ])
                let found = try model.prediction(from: given)
                var outputs: [String: Tensor] = [:]
                for spec in artifact.outputs {
                    guard let array = found.featureValue(for: spec.name)?.multiArrayValue else { continue }
                    outputs[spec.name] = try tensor(array, spec.name)
                }
                return outputs
            } catch let error as LolvitError {
                throw error
            } catch {
                throw failed(error.localizedDescription)
            }
        }

        nonisolated func placement() async -> [String: Int] {
            guard #available(iOS 17.4, macOS 14.4, *) else { return [:] }
            let configuration = CoreMLKind.configuration(unit)
            guard
                let plan = try? await MLComputePlan.load(contentsOf: compiled, configuration: configuration),
                case .program(let program) = plan.modelStructure
            else { return [:] }
            var counts: [String: Int] = [:]
            for operation in program.functions.values.flatMap(\.block.operations)
            where operation.operatorName != "const" {
                let device = plan.deviceUsage(for: operation)?.preferred
                counts[Self.name(device.flatMap(ComputeUnit.init)), default: 0] += 1
            }
            return counts
        }

        /// As results of `lolvit bench` name it.
        private static func name(_ unit: ComputeUnit?) -> String {
            unit?.rawValue.uppercased() ?? "unknown"
        }

        private func feature(_ input: ModelInput) throws -> MLFeatureValue {
            switch input {
            case .pixels(let levels, let size, let color):
                MLFeatureValue(pixelBuffer: try filled(levels, size, color))
            case .values(let tensor):
                MLFeatureValue(multiArray: try array(tensor))
            }
        }

        /// The pixel buffer, with levels in rows.
        private func filled(_ levels: [UInt8], _ size: ImageSize, _ color: ColorMode) throws
            -> CVPixelBuffer
        {
            let buffer = try self.buffer ?? made(size, color)
            self.buffer = buffer
            guard Self.fill(buffer, levels, size, color) else { throw failed("no pixel buffer") }
            return buffer
        }

        /// Whether the buffer's memory could be written.
        private static func fill(
            _ buffer: CVPixelBuffer, _ levels: [UInt8], _ size: ImageSize, _ color: ColorMode
        ) -> Bool {
            CVPixelBufferLockBaseAddress(buffer, [])
            defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
            guard let base = CVPixelBufferGetBaseAddress(buffer) else { return false }
            let start = base.assumingMemoryBound(to: UInt8.self)
            let bytesPerRow = CVPixelBufferGetBytesPerRow(buffer)
            var from = 0
            for y in 0..<size.height {
                for x in 0..<size.width {
                    if color == .grey {
                        start[y * bytesPerRow + x] = levels[from]
                        from += 1
                    } else {
                        let pixel = y * bytesPerRow + 4 * x  // blue, green, red, alpha
                        start[pixel] = levels[from + 2]
                        start[pixel + 1] = levels[from + 1]
                        start[pixel + 2] = levels[from]
                        start[pixel + 3] = 255
                        from += 3
                    }
                }
            }
            return true
        }

        private func made(_ size: ImageSize, _ color: ColorMode) throws -> CVPixelBuffer {
            let format =
                color == .grey ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
            // In memory that the GPU and the Neural Engine can use without a copy.
            let attributes = NSDictionary(
                object: NSDictionary(), forKey: kCVPixelBufferIOSurfacePropertiesKey as NSString)
            var buffer: CVPixelBuffer?
            let code = CVPixelBufferCreate(
                nil, size.width, size.height, format, attributes as CFDictionary, &buffer)
            guard code == kCVReturnSuccess, let buffer else { throw failed("no pixel buffer: \(code)") }
            return buffer
        }

        private func array(_ tensor: Tensor) throws -> MLMultiArray {
            let array = try MLMultiArray(
                shape: tensor.shape.map { NSNumber(value: $0) }, dataType: .float32)
            array.withUnsafeMutableBytes { bytes, _ in
                tensor.values.withUnsafeBytes { bytes.copyMemory(from: $0) }
            }
            return array
        }

        /// The numbers of an output, whose rows may be padded.
        private func tensor(_ array: MLMultiArray, _ name: String) throws -> Tensor {
            guard array.dataType == .float32 || array.dataType == .int32 else {
                throw failed("its output '\(name)' is neither float32 nor int32")
            }
            let (shape, steps) = (array.shape.map(\.intValue), array.strides.map(\.intValue))
            let wholes = array.dataType == .int32
            let tensor = array.withUnsafeBytes { bytes in
                bytes.baseAddress.map { Tensor(shape: shape, steps: steps, wholes: wholes, in: $0) }
            }
            guard let tensor else { throw failed("its output '\(name)' is empty") }
            return tensor
        }

        private func failed(_ reason: String) -> LolvitError {
            LolvitError(
                .runFailed,
                ["path": artifact.path, "engine": "Core ML", "unit": unit.title, "reason": reason])
        }
    }
#endif
