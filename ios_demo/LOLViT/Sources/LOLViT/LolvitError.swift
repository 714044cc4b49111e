import Foundation

/// A failure that a user can cause or must act on. Anything else that this library throws is a bug, but
/// for `CancellationError`, where the caller's task was cancelled.
///
/// ```swift
/// do {
///     try await classifier.prewarm()
/// } catch let error as LolvitError where error.code == .outOfMemory {
///     show(error.localizedDescription)
/// }
/// ```
///
/// The message is one English line. An app translates it in a strings table named `LOLViT`: the key is
/// ``Code-swift.enum``'s raw value, and `{name}` stands for the detail of that name.
public struct LolvitError: Error, Equatable, Sendable {
    /// What went wrong. Raw values are stable: translations and logs depend on them.
    public enum Code: String, CaseIterable, Sendable {
        case manifestMissing = "manifest_missing"
        case manifestInvalid = "manifest_invalid"
        case schemaUnsupported = "schema_unsupported"
        case taskUnsupported = "task_unsupported"
        case settingUnsupported = "setting_unsupported"
        case tensorsUnsupported = "tensors_unsupported"
        case labelsMismatch = "labels_mismatch"
        case artifactMissing = "artifact_missing"
        case artifactChanged = "artifact_changed"
        case pathLeavesFolder = "path_leaves_folder"
        case unreadable = "unreadable"
        case photoInvalid = "photo_invalid"
        case photoTooElongated = "photo_too_elongated"
        case photoUndecodable = "photo_undecodable"
        case outputMismatch = "output_mismatch"
        case outputNotFinite = "output_not_finite"
        case taskMismatch = "task_mismatch"
        case engineAbsent = "engine_absent"
        case engineNotPackaged = "engine_not_packaged"
        case engineUnknown = "engine_unknown"
        case engineIncompatible = "engine_incompatible"
        case systemTooOld = "system_too_old"
        case computeUnitAbsent = "compute_unit_absent"
        case outOfMemory = "out_of_memory"
        case compileFailed = "compile_failed"
        case loadFailed = "load_failed"
        case runFailed = "run_failed"
        case selfCheckInvalid = "self_check_invalid"
        case selfCheckMissed = "self_check_missed"
        case allEnginesFailed = "all_engines_failed"
        case lowPowerMode = "low_power_mode"
        case unitsDiffer = "units_differ"
        case tooFewRounds = "too_few_rounds"
    }

    public let code: Code

    /// Values of the message, by name: paths, sizes, the names of what is unsupported.
    public let details: [String: String]

    public init(_ code: Code, _ details: [String: String] = [:]) {
        self.code = code
        self.details = details
    }

    /// The message with its details filled in, one line without control characters.
    ///
    /// - Parameter template: a translation; the details' names stand in it in braces.
    public func message(template: String) -> String {
        let filled = details.reduce(template) { text, detail in
            text.replacingOccurrences(of: "{\(detail.key)}", with: detail.value)
        }
        let words = filled.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return String(words.map { $0.isPrintable ? $0 : "?" })
    }
}

extension LolvitError: LocalizedError, CustomStringConvertible {
    public var errorDescription: String? {
        let template = Bundle.main.localizedString(
            forKey: code.rawValue, value: code.english, table: "LOLViT")
        return message(template: template)
    }

    public var description: String { message(template: code.english) }
}

extension LolvitError.Code {
    /// The English message, with the names of its details in braces.
    public var english: String {
        switch self {
        case .manifestMissing: "{folder}: no manifest.json here; package the model again"
        case .manifestInvalid: "{folder}/manifest.json: {reason}; export the model again"
        case .schemaUnsupported:
            "{folder}/manifest.json: schema version {version}, this app reads {supported}; package the"
                + " model with the lolvit version that this app was built with"
        case .taskUnsupported:
            "{folder}/manifest.json: task '{task}', this app runs {supported} only; choose such a model"
        case .settingUnsupported:
            "{folder}/manifest.json: {setting} '{value}', this app implements {supported} only; export the"
                + " model with it"
        case .tensorsUnsupported:
            "{folder}/manifest.json: {owner} has {count} {kind}, {task} has {expected}; choose another"
                + " model"
        case .labelsMismatch:
            "{folder}: {labels} labels for {classes} classes; give one for each class"
        case .artifactMissing: "{path}: missing; package the model again"
        case .artifactChanged:
            "{path}: does not match its manifest, {reason}; package the model again"
        case .pathLeavesFolder:
            "{folder}: '{path}' leaves the model's folder; export the model again"
        case .unreadable: "{path}: cannot be read: {reason}; package the model again"
        case .photoInvalid: "a photo of {width}x{height} with {bytes} bytes is not valid"
        case .photoTooElongated: "a photo of {width}x{height} is too elongated; crop it first"
        case .photoUndecodable: "not a photo that this device can read; choose a JPEG, PNG or HEIC"
        case .outputMismatch:
            "the model's output '{output}' is {found}, its manifest has {expected}; package the model again"
        case .outputNotFinite: "the model's output '{output}' is not finite; try another compute unit"
        case .taskMismatch: "{model} is a model for {task}, not for {expected}; choose another model"
        case .engineAbsent: "{engine} is not part of this app; choose another engine"
        case .engineNotPackaged:
            "{model} has no artifact for {engine} here; run: lolvit package --ios"
        case .engineUnknown: "'{choice}' is not an engine of {model}; choose another"
        case .engineIncompatible: "{path}: {reason}; export the model again"
        case .systemTooOld: "{path} needs {needed} or newer; choose another engine or update the device"
        case .computeUnitAbsent: "this device has no {unit}; choose another compute unit"
        case .outOfMemory:
            "{path} needs about {needed} MB of memory, {available} MB are free; close other apps"
        case .compileFailed: "{path}: {engine} can't compile it: {reason}; package the model again"
        case .loadFailed: "{path}: {engine} can't load it on the {unit}: {reason}; choose another engine"
        case .runFailed: "{path}: {engine} failed on the {unit}: {reason}; try again"
        case .selfCheckInvalid: "{folder}/self-check.json: {reason}; package the model again"
        case .selfCheckMissed:
            "{path}: on the {unit} its outputs are not those that it was exported with: {snr_db} dB,"
                + " threshold {min_snr_db} dB; choose another compute unit"
        case .allEnginesFailed: "{path}: no compute unit here runs it: {reasons}"
        case .lowPowerMode: "low-power mode slows the device; switch it off in Settings to measure"
        case .unitsDiffer:
            "{candidate} runs on the {first}, {baseline} on the {second}; choose one that runs both"
        case .tooFewRounds: "stopped after {rounds} rounds, a result needs two; measure again"
        }
    }
}

extension Character {
    fileprivate var isPrintable: Bool {
        unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .privateUse, .unassigned: false
            default: true
            }
        }
    }
}
