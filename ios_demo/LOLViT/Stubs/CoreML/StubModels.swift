import Foundation

/// What the fake Core ML does with one model.
public struct StubModel: Sendable {
    public typealias Output = (shape: [Int], values: [Float])

    /// The outputs for the bytes of each input: of pixels in rows of red, green and blue.
    public var answer: @Sendable ([String: [UInt8]], MLComputeUnits) throws -> [String: Output]
    public var compileError: String?
    public var loadErrors: [MLComputeUnits: String] = [:]
    public var outputType = MLMultiArrayDataType.float32

    /// Elements that follow each row of an output.
    public var padding = 0

    public init(
        answer: @escaping @Sendable ([String: [UInt8]], MLComputeUnits) throws -> [String: Output]
    ) {
        self.answer = answer
    }
}

public struct StubError: LocalizedError {
    public let errorDescription: String?

    public init(_ reason: String) { errorDescription = reason }
}

/// The models that tests have registered, by the paths of their artifacts.
public final class StubModels: @unchecked Sendable {
    public static let shared = StubModels()

    private let lock = NSLock()
    private var models: [String: StubModel] = [:]
    private var compilations: [String: Int] = [:]

    /// The compute units that the device has.
    public let devices: [MLComputeUnits] = [.cpuOnly, .cpuAndGPU, .cpuAndNeuralEngine]

    public func register(_ url: URL, _ model: StubModel) {
        lock.withLock { models[url.path] = model }
    }

    /// How often a model was compiled.
    public func compiled(_ url: URL) -> Int { lock.withLock { compilations[url.path] ?? 0 } }

    func find(_ path: String) throws -> StubModel {
        guard let found = lock.withLock({ models[path] }) else { throw StubError("\(path): no model") }
        return found
    }

    func count(_ path: String) { lock.withLock { compilations[path, default: 0] += 1 } }
}
