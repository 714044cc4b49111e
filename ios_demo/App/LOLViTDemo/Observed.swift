import DemoState
import SwiftUI

/// Publishes the screen of a photo session, and keeps its choices.
@MainActor
final class ObservedPhotos: ObservableObject {
    private static let key = "choices"

    @Published private(set) var screen: Screen
    let session: PhotoSession

    init(_ session: PhotoSession) {
        self.session = session
        screen = session.screen
        session.onChange = { [weak self] in self?.screen = $0 }
        session.onChoice = { choices in
            UserDefaults.standard.set(try? JSONEncoder().encode(choices), forKey: Self.key)
        }
    }

    func start() {
        let kept = UserDefaults.standard.data(forKey: Self.key)
            .flatMap { try? JSONDecoder().decode(SavedChoices.self, from: $0) }
        session.start(kept ?? SavedChoices())
    }
}

/// Publishes the screen of a benchmark session.
@MainActor
final class ObservedBenchmark: ObservableObject {
    @Published private(set) var screen: BenchmarkScreen
    let session: BenchmarkSession

    init(_ session: BenchmarkSession) {
        self.session = session
        screen = session.screen
        session.onChange = { [weak self] in self?.screen = $0 }
    }
}
