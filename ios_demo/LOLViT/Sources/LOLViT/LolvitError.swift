import Foundation

/// A failure that a user can cause or must act on. Anything else that this library throws is a bug.
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
        case outputMismatch = "output_mismatch"
        case outputNotFinite = "output_not_finite"
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
            "{folder}/manifest.json: {owner} has {count} {kind}, classification has one; choose another"
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
        case .outputMismatch: "the model returned {found} values, its manifest has {expected} classes"
        case .outputNotFinite: "the model's outputs are not finite; try another compute unit"
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
