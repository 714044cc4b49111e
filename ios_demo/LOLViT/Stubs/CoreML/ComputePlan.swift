// Devices and plans: https://developer.apple.com/documentation/coreml/mlcomputeplan

import Foundation

@available(iOS 17, macOS 14, *)
public final class MLCPUComputeDevice {}
@available(iOS 17, macOS 14, *)
public final class MLGPUComputeDevice {}
@available(iOS 17, macOS 14, *)
public final class MLNeuralEngineComputeDevice {}

@available(iOS 17, macOS 14, *)
public enum MLComputeDevice {
    case cpu(MLCPUComputeDevice)
    case gpu(MLGPUComputeDevice)
    case neuralEngine(MLNeuralEngineComputeDevice)
}

extension MLModel {
    @available(iOS 17, macOS 14, *)
    public static var availableComputeDevices: [MLComputeDevice] {
        StubModels.shared.devices.map {
            switch $0 {
            case .cpuAndNeuralEngine: .neuralEngine(MLNeuralEngineComputeDevice())
            case .cpuAndGPU: .gpu(MLGPUComputeDevice())
            default: .cpu(MLCPUComputeDevice())
            }
        }
    }
}

@available(iOS 17.4, macOS 14.4, *)
public enum MLModelStructure {
    case program(Program)
    case unsupported

    public struct Program {
        public let functions: [String: Function]

        public struct Function {
            public let block: Block
        }

        public struct Block {
            public let operations: [Operation]
        }

        public struct Operation {
            public let operatorName: String
        }
    }
}

@available(iOS 17.4, macOS 14.4, *)
public final class MLComputePlan {
    public struct DeviceUsage {
        public let preferred: MLComputeDevice
    }

    public let modelStructure: MLModelStructure
    private let units: MLComputeUnits

    init(units: MLComputeUnits) {
        let names = ["const", "conv", "relu", "softmax", "unknown"]
        let operations = names.map(MLModelStructure.Program.Operation.init)
        modelStructure = .program(.init(functions: ["main": .init(block: .init(operations: operations))]))
        self.units = units
    }

    public static func load(contentsOf url: URL, configuration: MLModelConfiguration) async throws
        -> MLComputePlan
    {
        MLComputePlan(units: configuration.computeUnits)
    }

    /// The softmax runs on the CPU, whatever the units are.
    public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> DeviceUsage? {
        if operation.operatorName == "unknown" { return nil }
        if operation.operatorName == "softmax" { return DeviceUsage(preferred: .cpu(.init())) }
        switch units {
        case .cpuAndNeuralEngine: return DeviceUsage(preferred: .neuralEngine(.init()))
        case .cpuAndGPU: return DeviceUsage(preferred: .gpu(.init()))
        default: return DeviceUsage(preferred: .cpu(.init()))
        }
    }
}
