// Models, features and arrays: https://developer.apple.com/documentation/coreml

@_exported import CoreVideo
import Foundation

public enum MLComputeUnits: Int, Sendable {
    case cpuOnly = 0
    case cpuAndGPU = 1
    case all = 2
    case cpuAndNeuralEngine = 3
}

public final class MLModelConfiguration {
    public var computeUnits: MLComputeUnits = .all

    public init() {}
}

public enum MLMultiArrayDataType: Int, Sendable {
    case double = 0x10040
    case float32 = 0x10020
    case float16 = 0x10010
    case int32 = 0x20020
}

public final class MLMultiArray {
    public let shape: [NSNumber]
    public let strides: [NSNumber]
    public let dataType: MLMultiArrayDataType
    private let memory: UnsafeMutableRawBufferPointer

    public convenience init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {
        self.init(stubShape: shape.map(\.intValue), dataType: dataType, padding: 0)
    }

    /// `padding` elements follow each row of the last axis, as outputs of the Neural Engine have them.
    init(stubShape: [Int], dataType: MLMultiArrayDataType, padding: Int) {
        var steps = [Int](repeating: 1, count: stubShape.count)
        for axis in stubShape.indices.dropLast().reversed() {
            let extent = stubShape[axis + 1] + (axis + 1 == stubShape.count - 1 ? padding : 0)
            steps[axis] = steps[axis + 1] * extent
        }
        shape = stubShape.map { NSNumber(value: $0) }
        strides = steps.map { NSNumber(value: $0) }
        self.dataType = dataType
        let count = stubShape.isEmpty ? 0 : steps[0] * stubShape[0]
        memory = .allocate(byteCount: 4 * max(count, 1), alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0xFF)
    }

    deinit { memory.deallocate() }

    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(memory))
    }

    public func withUnsafeMutableBytes<R>(
        _ body: (UnsafeMutableRawBufferPointer, [Int]) throws -> R
    ) rethrows -> R {
        try body(memory, strides.map(\.intValue))
    }
}

public final class MLFeatureValue {
    public let imageBufferValue: CVPixelBuffer?
    public let multiArrayValue: MLMultiArray?

    public init(pixelBuffer: CVPixelBuffer) {
        imageBufferValue = pixelBuffer
        multiArrayValue = nil
    }

    public init(multiArray: MLMultiArray) {
        imageBufferValue = nil
        multiArrayValue = multiArray
    }
}

public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    private let features: [String: MLFeatureValue]

    public init(dictionary: [String: Any]) throws {
        features = dictionary.compactMapValues { $0 as? MLFeatureValue }
    }

    public var featureNames: Set<String> { Set(features.keys) }

    public func featureValue(for featureName: String) -> MLFeatureValue? { features[featureName] }
}

public final class MLModel {
    private static let sourceName = "stub-source.txt"
    private let source: String
    private let units: MLComputeUnits
    private let stub: StubModel

    init(source: String, units: MLComputeUnits, stub: StubModel) {
        self.source = source
        self.units = units
        self.stub = stub
    }

    public static func compileModel(at modelURL: URL) async throws -> URL {
        let stub = try StubModels.shared.find(modelURL.path)
        StubModels.shared.count(modelURL.path)
        if let reason = stub.compileError { throw StubError(reason) }
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("\(UUID().uuidString).mlmodelc")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(modelURL.path.utf8).write(to: folder.appendingPathComponent(sourceName))
        return folder
    }

    public static func load(
        contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
    ) async throws -> MLModel {
        guard let data = try? Data(contentsOf: url.appendingPathComponent(sourceName)) else {
            throw StubError("no compiled model")
        }
        let source = String(decoding: data, as: UTF8.self)
        let stub = try StubModels.shared.find(source)
        if let reason = stub.loadErrors[configuration.computeUnits] { throw StubError(reason) }
        return MLModel(source: source, units: configuration.computeUnits, stub: stub)
    }

    public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider {
        var given: [String: [UInt8]] = [:]
        for name in input.featureNames {
            guard let value = input.featureValue(for: name) else { continue }
            given[name] =
                value.imageBufferValue?.stubLevels
                ?? value.multiArrayValue?.withUnsafeBytes { [UInt8]($0) }
        }
        let outputs = try stub.answer(given, units)
        let features = outputs.mapValues { output in
            let array = MLMultiArray(
                stubShape: output.shape, dataType: stub.outputType, padding: stub.padding)
            array.fill(output.values)
            return MLFeatureValue(multiArray: array)
        }
        return try MLDictionaryFeatureProvider(dictionary: features)
    }
}

extension MLMultiArray {
    fileprivate func fill(_ values: [Float]) {
        var places = [0]
        for (extent, step) in zip(shape, strides) {
            places = places.flatMap { place in
                (0..<extent.intValue).map { place + $0 * step.intValue }
            }
        }
        withUnsafeMutableBytes { bytes, _ in
            for (place, value) in zip(places, values) {
                if dataType == .int32 {
                    bytes.storeBytes(of: Int32(value), toByteOffset: 4 * place, as: Int32.self)
                } else {
                    bytes.storeBytes(of: value, toByteOffset: 4 * place, as: Float.self)
                }
            }
        }
    }
}
