import Foundation
import LOLViT

@testable import DemoState

/// A cache in a folder of its own, so that no test sees what another one has compiled or checked.
func engines(_ kind: FakeKind, _ folders: ModelFolders) -> Engines {
    Engines([kind], cache: ModelCache(folder: folders.root.appendingPathComponent(".cache")))
}

@MainActor
func session(_ folders: ModelFolders, _ kind: FakeKind = FakeKind()) -> PhotoSession {
    PhotoSession(engines: engines(kind, folders), models: folders.list)
}

func photo(_ size: ImageSize = ImageSize(height: 20, width: 30)) throws -> Photo {
    try Photo(
        size: size, levels: [UInt8](repeating: 120, count: 3 * size.height * size.width))
}

extension PhotoSession {
    /// Waits until nothing runs.
    func settled() async {
        var last: Task<Void, Never>?
        while last != work {
            last = work
            await last?.value
        }
    }

    func started(_ choices: SavedChoices = SavedChoices()) async {
        start(choices)
        await settled()
    }

    func shown(_ photo: @escaping PhotoInput) async {
        show(photo)
        await settled()
    }
}

extension BenchmarkSession {
    func settled() async { await work?.value }
}
