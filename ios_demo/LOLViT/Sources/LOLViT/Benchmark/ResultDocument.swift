import Foundation

/// A comparison as a result document of schema version 2, which `lolvit report` and `lolvit compare`
/// open, every sample in it.
public struct ResultDocument: Sendable {
    private static let device = "app"
    private static let matchedParameters = 0.03

    public let candidate: MeasuredModel
    public let baseline: MeasuredModel

    /// The baseline's time over the candidate's, more than 1 where the candidate is faster.
    public let speedup: RoundRatio
    public let quality: Quality
    public let conditions: Conditions
    public let readings: [Reading]

    /// What a reader has to know beside the figures.
    public let notes: [String]
    private let recording: Recording
    private let engineVersion: String
    private let phoneName: String
    private let photoName: String
    private let photoSha256: String
    private let date: String

    /// - Precondition: two rounds or more.
    init(
        candidate: MeasuredModel, baseline: MeasuredModel, changes: [String?], recording: Recording,
        readings: [Reading], engineVersion: String, phoneName: String, photoName: String, photo: Photo
    ) {
        self.candidate = candidate
        self.baseline = baseline
        self.recording = recording
        self.readings = readings
        self.engineVersion = engineVersion
        self.phoneName = phoneName
        self.photoName = photoName
        var hash = SHA256()
        hash.update(photo.levels)
        photoSha256 = hash.hex()
        date = Date().formatted(.iso8601)
        let throttled = readings.compactMap(\.state.isThrottled)
        conditions = Conditions(
            cores: ProcessInfo.processInfo.processorCount,
            throttleEvents: throttled.isEmpty ? nil : throttled.filter { $0 }.count,
            interrupted: !recording.complete)
        speedup = Quality.speedup(candidate.samples, baseline.samples)
        quality = Quality.evaluate(
            Series(name: candidate.spec.name, samples: candidate.samples, outputsChanged: changes[0]),
            Series(name: baseline.spec.name, samples: baseline.samples, outputsChanged: changes[1]),
            conditions)
        notes = Self.notes(candidate, baseline)
    }

    /// The document as JSON.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(document)
    }

    private var document: JSONValue {
        [
            "schema_version": 2,
            "kind": "lolvit-bench",
            "state": .string(recording.complete ? "complete" : "interrupted"),
            "profile": profile,
            "quality_rule": .string(Quality.rule),
            "photo": ["name": .string(photoName), "sha256": .string(photoSha256)],
            "environment": environment,
            "results": [result],
        ]
    }

    private var profile: JSONValue {
        [
            "name": .optional(recording.plan?.name), "seconds": .optional(recording.plan?.seconds),
            "cool_down_s": 0,
        ]
    }

    private var environment: JSONValue {
        let process = ProcessInfo.processInfo
        let first = readings.first?.state
        return [
            "device": .string(Self.device), "cpu": nil, "cpu_flags": nil,
            "architecture": .string(architecture), "virtual": nil,
            "cores": .int(process.processorCount), "cores_available": .int(process.activeProcessorCount),
            "governor": nil, "frequency_mhz": nil, "highest_frequency_mhz": nil, "temperature_c": nil,
            "battery_percent": .optional(first?.batteryPercent.map { Int($0) }),
            "on_mains": .optional(first?.plugged), "load_average": nil,
            "memory_bytes": .int(Int(clamping: process.physicalMemory)),
            "system": .string(process.operatingSystemVersionString),
            "python": "none: measured by the iOS library",
            "packages": [runtime: .string(engineVersion)],
            "lolvit_version": .string(Library.version), "lolvit_commit": nil,
            "date": .string(date),
        ]
    }

    private var architecture: String {
        #if arch(arm64)
            "arm64"
        #else
            "x86_64"
        #endif
    }

    /// As `lolvit bench` names it on a Mac, such as `coreml-ane`.
    private var runtime: String {
        "\(candidate.report.choice.engine)-\(candidate.report.choice.unit.rawValue)"
    }

    private var result: JSONValue {
        let precisions = Set([candidate, baseline].map(\.artifact.precision))
        return [
            "runtime": .string(runtime), "runtime_version": .string(engineVersion),
            "device": .string(Self.device), "device_info": deviceInfo,
            "precision": .string(precisions.count == 1 ? candidate.artifact.precision : "best"),
            "threads": 1,  // the runtimes choose their own, which `options` says
            "pinned_cores": nil,
            "placement": ["candidate": counts(candidate.placement), "baseline": counts(baseline.placement)],
            "candidate": model(candidate), "baseline": model(baseline),
            "speedup": [
                "ratio": .double(speedup.interval.value), "low": .double(speedup.interval.low),
                "high": .double(speedup.interval.high), "over": .string(speedup.over.rawValue),
            ],
            "quality": [
                "state": .string(quality.state.rawValue), "half_width": .double(quality.halfWidth),
                "winner": .optional(quality.winner?.rawValue), "reasons": findings(quality.reasons),
                "findings": findings(quality.findings),
            ],
            "notes": .array(notes.map(JSONValue.string)),
            "conditions": [
                "cores": .int(conditions.cores), "others_cores": nil, "stolen_share": nil,
                "frequency_change": nil, "probe_change": nil,
                "throttle_events": .optional(conditions.throttleEvents), "too_hot_c": nil,
                "interrupted": .bool(conditions.interrupted),
            ],
            "readings": .array(readings.map(reading)), "roofline": nil,
        ]
    }

    private var deviceInfo: JSONValue {
        var details: [String: JSONValue] = [
            "system": .string(ProcessInfo.processInfo.operatingSystemVersionString),
            "compute_unit": .string(candidate.report.choice.unit.title),
        ]
        details["low_power_mode"] = (readings.last?.state.lowPowerMode).map { .string($0 ? "on" : "off") }
        return [
            "id": .string(Self.device), "kind": "phone", "name": .string(phoneName), "software": false,
            "details": .object(details),
        ]
    }

    private func counts(_ placement: [String: Int]) -> JSONValue {
        .object(placement.mapValues(JSONValue.int))
    }

    private func findings(_ found: [Finding]) -> JSONValue {
        .array(found.map { ["code": .string($0.code), "text": .string($0.text)] })
    }

    private func reading(_ reading: Reading) -> JSONValue {
        [
            "at_s": .double(reading.atSeconds), "probe_us": nil, "frequency_mhz": nil,
            "temperature_c": nil, "throttle_events": .optional(reading.state.isThrottled.map { $0 ? 1 : 0 }),
            "battery_percent": .optional(reading.state.batteryPercent),
            "thermal_state": .optional(reading.state.thermal?.rawValue),
        ]
    }

    private func model(_ one: MeasuredModel) -> JSONValue {
        let (spec, artifact, samples) = (one.spec, one.artifact, one.samples)
        let ms = samples.milliseconds
        return [
            "model": .string(spec.name),
            "size": [.int(spec.preprocessing.size.height), .int(spec.preprocessing.size.width)],
            "params": .int(spec.params), "macs": .int(spec.macs), "trained": .bool(spec.trained),
            "weights_source": .string(spec.weightsSource), "precision": .string(artifact.precision),
            "artifact": .string(artifact.path), "artifact_bytes": .int(artifact.bytes),
            "artifact_sha256": .string(artifact.sha256),
            "median_ms": .double(Statistics.median(ms)),
            "p90_ms": .double(Statistics.percentile(ms, 0.9)), "p99_ms": .optional(Statistics.p99(ms)),
            "throughput_per_s": .double(1000 * Double(ms.count) / ms.reduce(0, +)),
            "variation": .double(Statistics.variation(ms)),
            "variation_trimmed": .double(Statistics.trimmedVariation(ms)),
            "between_block_range": .double(Statistics.betweenBlockRange(ms, samples.block)),
            "block_medians_ms": numbers(Statistics.groupMedians(ms, samples.block)),
            "load_ms": .double(one.report.loadMs), "first_ms": .double(one.report.firstMs),
            "preprocess_ms": nil, "peak_memory_bytes": nil, "denormal_share": nil,
            "options": .object(one.options.mapValues(JSONValue.string)),
            "samples": numbers(ms), "sample_block": numbers(samples.block),
            "sample_round": numbers(samples.round), "sample_order": numbers(samples.order),
            "sustained": nil,
        ]
    }

    private func numbers(_ values: [Double]) -> JSONValue { .array(values.map(JSONValue.double)) }

    private func numbers(_ values: [Int]) -> JSONValue { .array(values.map(JSONValue.int)) }

    private static func notes(_ candidate: MeasuredModel, _ baseline: MeasuredModel) -> [String] {
        let both = [candidate, baseline]
        var notes: [String] = []
        let untrained = both.filter { !$0.spec.trained }.map(\.spec.name).joined(separator: ", ")
        if !untrained.isEmpty {
            notes.append(
                "Weights are untrained (\(untrained); BatchNorm calibrated on photos): the times are of"
                    + " the architecture; accuracy is meaningless.")
        }
        if candidate.spec.preprocessing.size != baseline.spec.preprocessing.size {
            let sizes = both.map { "\($0.spec.name) \($0.spec.preprocessing.size)" }
            notes.append(
                "The models take images of different sizes: \(sizes.joined(separator: " and ")).")
        }
        let ratio = Double(candidate.spec.params) / Double(max(baseline.spec.params, 1))
        if abs(ratio - 1) > matchedParameters {
            let counts = both.map { String(format: "%.2f M", Double($0.spec.params) / 1e6) }
            notes.append(
                "The models differ in parameters: \(candidate.spec.name) has \(counts[0]),"
                    + " \(baseline.spec.name) \(counts[1]).")
        }
        for one in both {
            for fallback in one.report.fallbacks {
                notes.append("\(one.spec.name): \(fallback.reason.description)")
            }
        }
        notes.append(
            "Measured by the app on its own: other apps' load and the processor's clock were not recorded,"
                + " and activations were not checked for denormal numbers.")
        return notes
    }
}

/// A value of JSON; unknown ones are null rather than left out, as the schema requires.
enum JSONValue: Equatable, Sendable, Encodable, ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral,
    ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByNilLiteral
{
    case null
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(Dictionary(uniqueKeysWithValues: elements))
    }

    init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

    init(stringLiteral value: String) { self = .string(value) }

    init(integerLiteral value: Int) { self = .int(value) }

    init(booleanLiteral value: Bool) { self = .bool(value) }

    init(nilLiteral: ()) { self = .null }

    static func optional(_ value: String?) -> JSONValue { value.map(JSONValue.string) ?? .null }

    static func optional(_ value: Double?) -> JSONValue { value.map(JSONValue.double) ?? .null }

    static func optional(_ value: Int?) -> JSONValue { value.map(JSONValue.int) ?? .null }

    static func optional(_ value: Bool?) -> JSONValue { value.map(JSONValue.bool) ?? .null }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .int(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let values): try container.encode(values)
        case .object(let values): try container.encode(values)
        }
    }
}
