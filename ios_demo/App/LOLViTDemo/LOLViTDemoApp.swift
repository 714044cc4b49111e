import DemoState
import LOLViT
import LOLViTCoreAI
import LOLViTCoreML
import LOLViTModels
import SwiftUI

private let linked = Engines([CoreMLKind(), CoreAIKind()])

private let packaged: @Sendable () -> [ModelSource] = {
    ModelSource.list(in: LOLViTModels.folder)
}

@main
struct LOLViTDemoApp: App {
    @StateObject private var photos = ObservedPhotos(PhotoSession(engines: linked, models: packaged))
    @StateObject private var benchmark = ObservedBenchmark(
        BenchmarkSession(engines: linked, folder: .documentsDirectory, models: packaged) {
            try await Comparison.run(
                $0, engines: $1, photo: BenchmarkPhoto.photo(), photoName: BenchmarkPhoto.name,
                progress: $2)
        })
    @Environment(\.scenePhase) private var phase

    var body: some Scene {
        WindowGroup {
            MainView(photos: photos, benchmark: benchmark)
                .task { photos.start() }
                .onReceive(NotificationCenter.default.publisher(for: .lowMemory)) { _ in
                    photos.session.freeMemory()
                }
        }
        .onChange(of: phase) { phase in
            // An app in the background gets less of the processor, and no GPU.
            if phase == .background { benchmark.session.leave() }
        }
    }
}

extension Notification.Name {
    static let lowMemory = UIApplication.didReceiveMemoryWarningNotification
}
