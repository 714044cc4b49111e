import DemoState
import LOLViT
import SwiftUI

/// The photo or the camera's picture, with boxes or a mask over it.
struct PictureView: View {
    let screen: Screen
    let camera: Camera

    var body: some View {
        if screen.isLive {
            CameraPreview(session: camera.session)
                .aspectRatio(3 / 4, contentMode: .fit)
                .overlay { live }
                .clipShape(RoundedRectangle(cornerRadius: 12))
                .accessibilityElement(children: .ignore)
                .accessibilityLabel(Text(.cameraShown))
        } else if let photo = screen.photo {
            PhotoImage(photo: photo)
                .equatable()
                .overlay { OutcomeOverlay(screen: screen, size: photo.size) }
                .clipShape(RoundedRectangle(cornerRadius: 12))
                .accessibilityElement(children: .ignore)
                .accessibilityLabel(Text(screen.photoDescription))
        } else {
            Text(.photoEmpty)
                .foregroundStyle(.secondary)
                .frame(maxWidth: .infinity, minHeight: 160)
                .background(.quaternary, in: RoundedRectangle(cornerRadius: 12))
        }
    }

    @ViewBuilder private var live: some View {
        if let size = camera.lastFrame?.size { OutcomeOverlay(screen: screen, size: size) }
    }
}

/// Boxes or a mask, of a photo of `size` pixels, over the view that shows the photo.
private struct OutcomeOverlay: View {
    let screen: Screen
    let size: ImageSize

    var body: some View {
        switch (screen.result?.outcome, screen.model?.spec) {
        case (.objects(let objects), let spec?):
            GeometryReader { area in
                ForEach(Overlay.boxes(objects, of: spec, on: size)) { box in
                    boxView(box, area.size)
                }
            }
        case (.map(let map), let spec?):
            MaskImage(map: map, spec: spec).equatable()
        default: EmptyView()
        }
    }

    private func boxView(_ box: Overlay.LabelledBox, _ area: CGSize) -> some View {
        let color = Color(box.color)
        return ZStack(alignment: .topLeading) {
            Rectangle().strokeBorder(color, lineWidth: 2)
            Text(verbatim: box.text)
                .font(.caption2)
                .foregroundStyle(.white)
                .padding(.horizontal, 4)
                .background(Color.black.opacity(0.7))
        }
        .frame(width: box.width * area.width, height: box.height * area.height)
        .offset(x: box.left * area.width, y: box.top * area.height)
    }
}

extension Color {
    init(_ color: ClassColor) {
        self.init(
            .sRGB, red: Double(color.red) / 255, green: Double(color.green) / 255,
            blue: Double(color.blue) / 255)
    }
}

/// The photo itself; made anew only where it is another one.
private struct PhotoImage: View, Equatable {
    let photo: Photo

    var body: some View {
        if let image {
            Image(decorative: image, scale: 1).resizable().scaledToFit()
        }
    }

    private var image: CGImage? {
        let count = photo.size.height * photo.size.width
        var rgba = [UInt8](repeating: 255, count: 4 * count)
        for pixel in 0..<count {
            for channel in 0..<3 { rgba[4 * pixel + channel] = photo.levels[3 * pixel + channel] }
        }
        return DemoImage.image(rgba: rgba, photo.size)
    }
}

/// The colours of each pixel's class; made anew only where a class has changed.
private struct MaskImage: View, Equatable {
    let map: SegmentationMap
    let spec: ModelSpec

    var body: some View {
        if let image = DemoImage.image(rgba: Overlay.mask(map, of: spec), map.size) {
            Image(decorative: image, scale: 1).resizable().interpolation(.none)
        }
    }
}

private enum DemoImage {
    /// An image of premultiplied red, green, blue and alpha, row by row.
    static func image(rgba: [UInt8], _ size: ImageSize) -> CGImage? {
        guard let provider = CGDataProvider(data: Data(rgba) as CFData),
            let space = CGColorSpace(name: CGColorSpace.sRGB)
        else { return nil }
        return CGImage(
            width: size.width, height: size.height, bitsPerComponent: 8, bitsPerPixel: 32,
            bytesPerRow: 4 * size.width, space: space,
            bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.premultipliedLast.rawValue),
            provider: provider, decode: nil, shouldInterpolate: true, intent: .defaultIntent)
    }
}
