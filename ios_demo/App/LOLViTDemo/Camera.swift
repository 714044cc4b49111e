@preconcurrency import AVFoundation
import DemoState
import LOLViT
import SwiftUI

/// The live camera: frames that pass the gate become photos.
@MainActor
final class Camera: ObservableObject {
    /// The last frame that was predicted; its size is that of the boxes over the preview.
    @Published private(set) var lastFrame: Photo?

    let session = AVCaptureSession()

    private let queue = DispatchQueue(label: "org.lolvit.demo.camera")
    private var frames: Frames?
    private var observers: [any NSObjectProtocol] = []

    /// Asks for the camera where the user has not decided yet.
    ///
    /// - Throws: ``CameraFailure`` if it may not be used, or there is none.
    static func requireAccess() async throws {
        guard AVCaptureDevice.default(for: .video) != nil else { throw CameraFailure.absent }
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .authorized: return
        case .notDetermined:
            guard await AVCaptureDevice.requestAccess(for: .video) else { throw CameraFailure.denied }
        case .restricted: throw CameraFailure.restricted
        case .denied: throw CameraFailure.denied
        @unknown default: throw CameraFailure.denied
        }
    }

    func start(
        gate: FrameGate, onFrame: @escaping @MainActor (Photo) -> Void,
        onFailure: @escaping @MainActor (CameraFailure) -> Void
    ) {
        stop()
        lastFrame = nil
        let frames = Frames(gate: gate) { [weak self] photo in
            self?.lastFrame = photo
            onFrame(photo)
        } onFailure: { [weak self] failure in
            self?.stop()
            onFailure(failure)
        }
        self.frames = frames
        observe(frames)
        let (session, queue) = (session, queue)
        queue.async {
            do {
                try Self.configure(session, frames, queue)
                session.startRunning()
            } catch {
                frames.fail(error as? CameraFailure ?? .failed(error.localizedDescription))
            }
        }
    }

    func stop() {
        observers.forEach { NotificationCenter.default.removeObserver($0) }
        observers = []
        guard frames != nil else { return }
        frames = nil
        let session = session
        queue.async { session.stopRunning() }
    }

    private func observe(_ frames: Frames) {
        let center = NotificationCenter.default
        observers = [
            center.addObserver(
                forName: .AVCaptureSessionWasInterrupted, object: session, queue: nil
            ) { _ in frames.fail(.interrupted) },
            center.addObserver(
                forName: .AVCaptureSessionRuntimeError, object: session, queue: nil
            ) { note in
                let error = note.userInfo?[AVCaptureSessionErrorKey] as? any Error
                frames.fail(.failed(error?.localizedDescription ?? ""))
            },
        ]
    }

    private nonisolated static func configure(
        _ session: AVCaptureSession, _ frames: Frames, _ queue: DispatchQueue
    ) throws {
        guard session.inputs.isEmpty else {
            (session.outputs.first as? AVCaptureVideoDataOutput)?
                .setSampleBufferDelegate(frames, queue: queue)
            return
        }
        guard let device = AVCaptureDevice.default(for: .video) else { throw CameraFailure.absent }
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        session.sessionPreset = .vga640x480
        let input = try AVCaptureDeviceInput(device: device)
        let output = AVCaptureVideoDataOutput()
        guard session.canAddInput(input), session.canAddOutput(output) else {
            throw CameraFailure.interrupted
        }
        session.addInput(input)
        output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
        output.alwaysDiscardsLateVideoFrames = true
        output.setSampleBufferDelegate(frames, queue: queue)
        session.addOutput(output)
        // The app is in portrait only.
        if let connection = output.connection(with: .video) { connection.videoOrientation = .portrait }
    }
}

/// Turns frames into photos, on the camera's queue.
private final class Frames: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, Sendable {
    private let gate: FrameGate
    private let onFrame: @MainActor (Photo) -> Void
    private let onFailure: @MainActor (CameraFailure) -> Void

    init(
        gate: FrameGate, onFrame: @escaping @MainActor (Photo) -> Void,
        onFailure: @escaping @MainActor (CameraFailure) -> Void
    ) {
        self.gate = gate
        self.onFrame = onFrame
        self.onFailure = onFailure
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput buffer: CMSampleBuffer, from connection: AVCaptureConnection
    ) {
        guard let pixels = CMSampleBufferGetImageBuffer(buffer), gate.enter() else { return }
        do {
            let photo = try Photo(pixelBuffer: pixels)
            Task { @MainActor in onFrame(photo) }
        } catch {
            gate.finish()
            fail(.failed(error.localizedDescription))
        }
    }

    func fail(_ failure: CameraFailure) {
        Task { @MainActor in onFailure(failure) }
    }
}

/// What the camera sees.
struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    final class PreviewView: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }

        var previewLayer: AVCaptureVideoPreviewLayer? { layer as? AVCaptureVideoPreviewLayer }
    }

    func makeUIView(context: Context) -> PreviewView {
        let view = PreviewView()
        view.previewLayer?.session = session
        view.previewLayer?.videoGravity = .resizeAspectFill
        return view
    }

    func updateUIView(_ view: PreviewView, context: Context) {}
}
