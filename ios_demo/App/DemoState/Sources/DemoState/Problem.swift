import Foundation
import LOLViT

/// A failure that the user can do something about: what failed, and what to do.
public struct Problem: Equatable, Sendable {
    /// A button that helps.
    public enum Action: Equatable, Sendable {
        case openSettings
        case tryAgain
    }

    public let title: Words
    public let text: Message
    public let action: Action?

    public init(_ title: Words, _ text: Message, action: Action? = nil) {
        self.title = title
        self.text = text
        self.action = action
    }

    /// What an error means for the user, where `title` is what failed; nil for a cancelled task.
    ///
    /// A bug is shown too, with its description: nothing ends the app.
    public init?(_ error: any Error, title: Words) {
        switch error {
        case is CancellationError: return nil
        case let error as LolvitError where error.code == .outOfMemory:
            self.init(.memoryTitle, Message(.memory), action: .tryAgain)
        case let error as LolvitError: self.init(Self.title(of: error, or: title), .verbatim(error))
        case let error as PhotoUnavailable: self.init(.photoTitle, error.message, action: .tryAgain)
        case let error as CameraFailure: self.init(error)
        default:
            self.init(.unforeseenTitle, Message(.unforeseen, .text(String(describing: error))))
        }
    }

    /// What failed, where the error itself tells.
    private static func title(of error: LolvitError, or title: Words) -> Words {
        switch error.code {
        case .photoInvalid, .photoUndecodable, .photoTooElongated: .photoTitle
        case .manifestMissing, .manifestInvalid, .schemaUnsupported, .taskUnsupported,
            .settingUnsupported, .tensorsUnsupported, .labelsMismatch, .artifactMissing,
            .artifactChanged, .pathLeavesFolder:
            .modelTitle
        default: title
        }
    }
}

extension Message {
    /// A message of the library as a sentence of its own.
    static func verbatim(_ error: LolvitError) -> Message {
        Message(.verbatim, .text(sentence(error.errorDescription ?? error.description)))
    }

    private static func sentence(_ text: String) -> String {
        let start = text.prefix(1)
        // A path or a file's name stays as it is.
        let isPath = text.prefix(while: { !$0.isWhitespace }).contains { "/._-".contains($0) }
        let upper = isPath ? String(start) : start.uppercased()
        return upper + text.dropFirst() + (text.hasSuffix(".") ? "" : ".")
    }
}

/// A photo of the library that is not on the phone, and can't be fetched.
///
/// The app itself never uses the network; a photo in iCloud is fetched by the system.
public struct PhotoUnavailable: Error, Equatable, Sendable {
    public init() {}

    var message: Message { Message(.photoOffline) }
}

/// Why there is no picture of the camera.
public enum CameraFailure: Error, Equatable, Sendable {
    /// The user refused it.
    case denied
    /// The phone's administrator, or Screen Time, forbids it.
    case restricted
    /// There is none.
    case absent
    /// Another app, a call or heat took it.
    case interrupted
    case failed(String)
}

extension Problem {
    /// What a failure of the camera means for the user.
    public init(_ failure: CameraFailure) {
        switch failure {
        case .denied:
            self.init(.cameraTitle, Message(.cameraDenied), action: .openSettings)
        case .restricted: self.init(.cameraTitle, Message(.cameraRestricted))
        case .absent: self.init(.cameraTitle, Message(.cameraAbsent))
        case .interrupted: self.init(.cameraTitle, Message(.cameraInterrupted), action: .tryAgain)
        case .failed(let reason):
            self.init(.cameraTitle, Message(.cameraFailed, .text(reason)), action: .tryAgain)
        }
    }
}
