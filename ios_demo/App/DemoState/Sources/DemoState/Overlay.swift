import LOLViT

/// What is drawn over a photo, in shares of its width and height.
public enum Overlay {
    /// A detection's box and how it is labelled.
    public struct LabelledBox: Equatable, Sendable, Identifiable {
        public let id: Int
        public let left, top, width, height: Double
        public let text: String
        public let color: ClassColor
    }

    /// Boxes with their labels, of a photo of `size` pixels; those of higher scores come last, on
    /// top.
    public static func boxes(
        _ objects: [Detection], of spec: ModelSpec, on size: ImageSize
    ) -> [LabelledBox] {
        let (width, height) = (Double(size.width), Double(size.height))
        return objects.enumerated().reversed().map { place, object in
            LabelledBox(
                id: place,
                left: object.box.left / width, top: object.box.top / height,
                width: (object.box.right - object.box.left) / width,
                height: (object.box.bottom - object.box.top) / height,
                text: "\(object.label) \(Figures.percent(object.score))",
                color: spec.colors[object.index])
        }
    }

    /// The mask's pixels as red, green, blue and alpha, premultiplied, row by row; transparent where
    /// there is no class.
    public static func mask(_ map: SegmentationMap, of spec: ModelSpec, alpha: UInt8 = 128) -> [UInt8] {
        var table = [[UInt8]](repeating: [0, 0, 0, 0], count: 256)
        for (index, color) in spec.colors.prefix(256).enumerated() where index != Int(map.ignore) {
            table[index] =
                [color.red, color.green, color.blue].map { premultiplied($0, alpha) } + [alpha]
        }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(map.classes.count * 4)
        for index in map.classes { pixels.append(contentsOf: table[Int(index)]) }
        return pixels
    }

    private static func premultiplied(_ level: UInt8, _ alpha: UInt8) -> UInt8 {
        UInt8((Int(level) * Int(alpha) + 127) / 255)
    }
}
