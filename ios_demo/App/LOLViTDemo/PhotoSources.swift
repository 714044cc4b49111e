import DemoState
import LOLViT
import PhotosUI
import SwiftUI

extension PhotosPickerItem {
    /// Reads and decodes the photo.
    ///
    /// The system fetches a photo that is in iCloud only; without a network that fails.
    var photo: PhotoInput {
        { [self] in
            guard let data = try? await loadTransferable(type: Data.self) else {
                throw PhotoUnavailable()
            }
            return try Photo(data: data)
        }
    }
}

/// The system's camera, for one photo: its data, or nil if the user cancels.
struct TakePhoto: UIViewControllerRepresentable {
    let onDone: @MainActor (Data?) -> Void

    @MainActor
    final class Delegate: NSObject, UIImagePickerControllerDelegate, UINavigationControllerDelegate {
        private let onDone: @MainActor (Data?) -> Void

        init(_ onDone: @escaping @MainActor (Data?) -> Void) { self.onDone = onDone }

        func imagePickerController(
            _ picker: UIImagePickerController,
            didFinishPickingMediaWithInfo info: [UIImagePickerController.InfoKey: Any]
        ) {
            onDone((info[.originalImage] as? UIImage)?.jpegData(compressionQuality: 1))
        }

        func imagePickerControllerDidCancel(_ picker: UIImagePickerController) { onDone(nil) }
    }

    func makeCoordinator() -> Delegate { Delegate(onDone) }

    func makeUIViewController(context: Context) -> UIImagePickerController {
        let picker = UIImagePickerController()
        picker.sourceType = .camera
        picker.delegate = context.coordinator
        return picker
    }

    func updateUIViewController(_ picker: UIImagePickerController, context: Context) {}
}
