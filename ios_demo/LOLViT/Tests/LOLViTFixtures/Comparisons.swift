import LOLViT

/// How a prediction differs from Python's; nil where it does not.
extension Fixtures {
    public static func difference(_ found: Classification, _ expected: Prediction) -> String? {
        let top = expected.top ?? []
        guard found.top.map(\.index) == top.map(\.index) else {
            return "ranking \(found.top.map(\.index))"
        }
        guard found.top.map(\.label) == top.map({ $0.label ?? "class \($0.index)" }) else {
            return "labels \(found.top.map(\.label))"
        }
        let worst = zip(found.top, top).map { abs($0.probability - $1.score) }.max() ?? 0
        return worst <= 1e-12 ? nil : "probabilities differ by \(worst)"
    }

    /// Boxes within 1e-6 pixels, all else exactly.
    public static func difference(_ found: Detections, _ expected: [Detected]) -> String? {
        guard found.objects.map(\.index) == expected.map(\.index) else {
            return "\(found.objects.count) objects, not \(expected.count), or other classes"
        }
        guard found.objects.map(\.score) == expected.map(\.score) else { return "scores" }
        let worst = zip(found.objects, expected).map { own, other in
            zip([own.box.left, own.box.top, own.box.right, own.box.bottom], other.box)
                .map { abs($0 - $1) }.max() ?? 0
        }.max() ?? 0
        return worst <= 1e-6 ? nil : "boxes differ by \(worst)"
    }

    public static func difference(_ found: SegmentationMap, _ photo: PredictedPhoto) throws -> String? {
        guard let map = photo.map, found.classes == (try bytes(map)) else { return "map" }
        let shares = photo.prediction.classes ?? []
        guard found.shares.map(\.index) == shares.map(\.index),
            zip(found.shares, shares).allSatisfy({ abs($0.share - $1.share) <= 1e-12 })
        else { return "shares" }
        return nil
    }
}
