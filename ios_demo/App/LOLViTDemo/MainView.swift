import DemoState
import LOLViT
import PhotosUI
import SwiftUI

/// The main screen: a photo or the camera, what the model found, its latency, and the choices.
struct MainView: View {
    @ObservedObject var photos: ObservedPhotos
    @ObservedObject var benchmark: ObservedBenchmark
    @StateObject private var camera = Camera()
    @State private var picked: PhotosPickerItem?
    @State private var isTaking = false

    private var session: PhotoSession { photos.session }

    var body: some View {
        NavigationStack {
            ScrollView {
                VStack(alignment: .leading, spacing: 16) {
                    PictureView(screen: photos.screen, camera: camera)
                    buttons
                    ProgressLine(screen: photos.screen, cancel: session.cancel)
                    if let problem = photos.screen.problem {
                        ProblemView(problem: problem, tryAgain: session.tryAgain)
                    }
                    ResultView(screen: photos.screen)
                    LatencyView(screen: photos.screen)
                    ChoicesView(screen: photos.screen, session: session)
                }
                .padding()
            }
            .navigationTitle(Text(.appName))
            .toolbar {
                NavigationLink {
                    BenchmarkView(benchmark: benchmark)
                } label: {
                    Label(.benchmarkOpen, systemImage: "stopwatch")
                }
                .simultaneousGesture(TapGesture().onEnded { stopCamera() })
            }
        }
        .onChange(of: picked) { item in
            guard let item else { return }
            stopCamera()
            session.show(item.photo)
            picked = nil
        }
        .fullScreenCover(isPresented: $isTaking) {
            TakePhoto { data in
                isTaking = false
                if let data { session.show { try Photo(data: data) } }
            }
            .ignoresSafeArea()
        }
        .onDisappear(perform: stopCamera)
    }

    private var buttons: some View {
        ViewThatFits(in: .horizontal) {
            HStack { buttonList }
            VStack(alignment: .leading) { buttonList }
        }
        .buttonStyle(.bordered)
    }

    @ViewBuilder private var buttonList: some View {
        PhotosPicker(selection: $picked, matching: .images, preferredItemEncoding: .current) {
            Label(.choosePhoto, systemImage: "photo.on.rectangle")
        }
        Button {
            stopCamera()
            withCamera { isTaking = true }
        } label: {
            Label(.takePhoto, systemImage: "camera")
        }
        Button {
            if photos.screen.isLive { stopCamera() } else { withCamera(startCamera) }
        } label: {
            Label(
                photos.screen.isLive ? .stopCamera : .startCamera,
                systemImage: photos.screen.isLive ? "stop.circle" : "video")
        }
    }

    /// Does something once the camera may be used, or shows why it may not.
    private func withCamera(_ action: @escaping @MainActor () -> Void) {
        Task {
            do {
                try await Camera.requireAccess()
                action()
            } catch {
                session.fail(error, title: .cameraTitle)
            }
        }
    }

    private func startCamera() {
        session.startLive()
        camera.start(
            gate: session.gate,
            onFrame: { session.predict(frame: $0) },
            onFailure: { session.fail($0, title: .cameraTitle) })
    }

    private func stopCamera() {
        camera.stop()
        session.stopLive(last: camera.lastFrame)
    }
}

/// What runs now, with a button that ends it.
private struct ProgressLine: View {
    let screen: Screen
    let cancel: @MainActor () -> Void

    var body: some View {
        if let progress = screen.progress {
            HStack {
                ProgressView(value: screen.share) { Text(progress) }
                Button(action: cancel) { Text(.cancel) }.buttonStyle(.bordered)
            }
        }
    }
}

/// What failed and what to do, with a button that helps.
struct ProblemView: View {
    let problem: Problem
    let tryAgain: @MainActor () -> Void
    @Environment(\.openURL) private var open

    var body: some View {
        GroupBox {
            VStack(alignment: .leading, spacing: 8) {
                Text(problem.text).frame(maxWidth: .infinity, alignment: .leading)
                switch problem.action {
                case .openSettings:
                    Button {
                        if let url = URL(string: UIApplication.openSettingsURLString) { open(url) }
                    } label: {
                        Text(.openSettings)
                    }
                case .tryAgain: Button(action: tryAgain) { Text(.tryAgain) }
                case nil: EmptyView()
                }
            }
        } label: {
            Label(problem.title, systemImage: "exclamationmark.triangle")
        }
        .accessibilityElement(children: .contain)
        .accessibilityAddTraits(.isHeader)
    }
}
