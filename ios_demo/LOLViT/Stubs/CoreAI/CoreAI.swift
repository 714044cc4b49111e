// Models, functions and arrays: https://developer.apple.com/documentation/coreai

import Foundation

/// Swift 6.2's, as far as it is used; Debian 13's Swift is older.
@available(iOS 27, macOS 27, *)
public struct Span<Element> {
    private let elements: [Element]

    init(_ elements: [Element]) { self.elements = elements }

    public var count: Int { elements.count }
    public subscript(place: Int) -> Element { elements[place] }
}

@available(iOS 27, macOS 27, *)
public enum ComputeUnitKind: Hashable, Sendable {
    case cpu, gpu, neuralEngine

    public static var availableKinds: Set<ComputeUnitKind> { [.cpu, .gpu, .neuralEngine] }
}

@available(iOS 27, macOS 27, *)
public struct SpecializationOptions: Sendable {
    public static let `default` = SpecializationOptions(allowed: [.cpu, .gpu, .neuralEngine], preferred: nil)
    public static let cpuOnly = SpecializationOptions(allowed: [.cpu], preferred: nil)

    public let allowedComputeUnitKinds: Set<ComputeUnitKind>
    public let preferredComputeUnitKind: ComputeUnitKind?

    public init(preferredComputeUnitKind: ComputeUnitKind) {
        self.init(allowed: [.cpu, .gpu, .neuralEngine], preferred: preferredComputeUnitKind)
    }

    private init(allowed: Set<ComputeUnitKind>, preferred: ComputeUnitKind?) {
        allowedComputeUnitKinds = allowed
        preferredComputeUnitKind = preferred
    }
}

@available(iOS 27, macOS 27, *)
public struct NDArray: Sendable {
    public enum ScalarType: Sendable {
        case float32, float16, int32
    }

    public struct RawView {
        let array: NDArray

        public func withUnsafeBytes<R>(
            _ body: (UnsafeRawPointer, Span<Int>, Span<Int>) throws -> R
        ) rethrows -> R {
            try array.storage.withUnsafeBytes { bytes in
                try body(bytes.baseAddress!, Span(array.shape), Span(array.steps))
            }
        }
    }

    public let shape: [Int]
    public let scalarType: ScalarType
    let steps: [Int]
    let storage: [Float]

    public init(scalars: [Float], shape: [Int]) {
        self.init(stub: scalars, shape: shape, type: .float32, padding: 0)
    }

    /// `padding` elements follow each row of the last axis.
    init(stub scalars: [Float], shape: [Int], type: ScalarType, padding: Int) {
        var steps = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() {
            steps[axis] = steps[axis + 1] * (shape[axis + 1] + (axis + 2 == shape.count ? padding : 0))
        }
        let row = shape.last ?? 1
        storage = stride(from: 0, to: scalars.count, by: row).flatMap {
            Array(scalars[$0..<$0 + row]) + [Float](repeating: .nan, count: padding)
        }
        self.shape = shape
        self.steps = steps
        scalarType = type
    }

    public func rawView() -> RawView { RawView(array: self) }
}

@available(iOS 27, macOS 27, *)
public struct InferenceValue: Sendable {
    public let ndArray: NDArray?
}

@available(iOS 27, macOS 27, *)
public struct AIModel: Sendable {
    private let stub: StubFunction
    private let options: SpecializationOptions

    public init(contentsOf url: URL, options: SpecializationOptions = .default) async throws {
        guard let stub = StubFunctions.shared.find(url) else { throw StubFailure("no such model") }
        if let reason = stub.loadError { throw StubFailure(reason) }
        self.stub = stub
        self.options = options
    }

    public func loadFunction(named name: String) throws -> InferenceFunction? {
        name == stub.name ? InferenceFunction(stub: stub, options: options) : nil
    }
}

@available(iOS 27, macOS 27, *)
public struct InferenceFunction: Sendable {
    public struct Outputs {
        var values: [String: InferenceValue]

        public mutating func remove(_ name: String) -> InferenceValue? { values.removeValue(forKey: name) }
    }

    let stub: StubFunction
    let options: SpecializationOptions

    public func run(inputs: [String: NDArray]) async throws -> Outputs {
        let found = try stub.answer(inputs.mapValues(\.storage), options)
        return Outputs(
            values: found.mapValues {
                InferenceValue(
                    ndArray: NDArray(
                        stub: $0.values, shape: $0.shape, type: stub.outputType, padding: stub.padding))
            })
    }
}

public struct StubFailure: LocalizedError {
    public let errorDescription: String?

    public init(_ reason: String) { errorDescription = reason }
}

/// What the fake Core AI does with one model.
@available(iOS 27, macOS 27, *)
public struct StubFunction: Sendable {
    public typealias Output = (shape: [Int], values: [Float])

    public var name = "main"
    public var answer: @Sendable ([String: [Float]], SpecializationOptions) throws -> [String: Output]
    public var loadError: String?
    public var outputType = NDArray.ScalarType.float32
    public var padding = 0

    public init(
        answer: @escaping @Sendable ([String: [Float]], SpecializationOptions) throws -> [String: Output]
    ) {
        self.answer = answer
    }
}

/// The models that tests have registered, by their paths.
@available(iOS 27, macOS 27, *)
public final class StubFunctions: @unchecked Sendable {
    public static let shared = StubFunctions()

    private let lock = NSLock()
    private var functions: [String: StubFunction] = [:]

    public func register(_ url: URL, _ function: StubFunction) {
        lock.withLock { functions[url.path] = function }
    }

    func find(_ url: URL) -> StubFunction? { lock.withLock { functions[url.path] } }
}
