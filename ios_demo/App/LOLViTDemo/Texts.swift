import DemoState
import SwiftUI

extension Words {
    /// The text in the user's language.
    var text: String { NSLocalizedString(rawValue, comment: "") }
}

extension Message {
    /// The text in the user's language, with its places filled in.
    var text: String {
        String(format: words.text, locale: .current, arguments: arguments.map(\.value))
    }
}

extension Message.Argument {
    fileprivate var value: any CVarArg {
        switch self {
        case .text(let text): text
        case .count(let count): count
        case .words(let words): words.text
        case .message(let message): message.text
        }
    }
}

extension Text {
    /// A text of the catalogue.
    init(_ words: Words) { self.init(verbatim: words.text) }

    init(_ message: Message) { self.init(verbatim: message.text) }
}

extension Label where Title == Text, Icon == Image {
    init(_ words: Words, systemImage: String) {
        self.init { Text(words) } icon: { Image(systemName: systemImage) }
    }
}
