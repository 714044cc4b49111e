/// The sides of a rectangle, in pixels.
public struct Box: Equatable, Sendable {
    public var left: Double
    public var top: Double
    public var right: Double
    public var bottom: Double

    public init(left: Double, top: Double, right: Double, bottom: Double) {
        self.left = left
        self.top = top
        self.right = right
        self.bottom = bottom
    }

    var isEmpty: Bool { !(right > left && bottom > top) }

    private var area: Double { max(right - left, 0) * max(bottom - top, 0) }

    /// Intersection over union; 0 where the union is empty.
    func overlap(_ other: Box) -> Double {
        let width = max(min(right, other.right) - max(left, other.left), 0)
        let height = max(min(bottom, other.bottom) - max(top, other.top), 0)
        let shared = width * height
        let union = area + other.area - shared
        return union > 0 ? shared / union : 0
    }
}

/// One point of a detector: the centre of a cell of a stride's map, in the input's pixels.
struct DetectorPoint {
    let x: Double
    let y: Double
    let stride: Double

    /// The points of all strides' maps of an image, row by row, stride by stride.
    static func all(_ size: ImageSize, _ strides: [Int]) -> [DetectorPoint] {
        strides.flatMap { stride in
            let rows = (size.height + stride - 1) / stride
            let columns = (size.width + stride - 1) / stride
            let (step, half) = (Double(stride), Double(stride) / 2)
            return (0..<rows).flatMap { y in
                (0..<columns).map { x in
                    DetectorPoint(x: Double(x) * step + half, y: Double(y) * step + half, stride: step)
                }
            }
        }
    }

    /// The box of distances to the left, top, right and bottom in units of the stride. Negative ones
    /// count as 0.
    func box(_ left: Float, _ top: Float, _ right: Float, _ bottom: Float) -> Box {
        Box(
            left: x - max(Double(left), 0) * stride, top: y - max(Double(top), 0) * stride,
            right: x + max(Double(right), 0) * stride, bottom: y + max(Double(bottom), 0) * stride)
    }
}

/// Non-maximum suppression within each class, as `lolvit/boxes.py`: of boxes in order of their score,
/// highest first, one is dropped if its overlap with a kept one of its class is above `threshold`.
///
/// Returns the places of at most `limit` boxes.
func suppress(_ boxes: [Box], _ classes: [Int], threshold: Double, limit: Int) -> [Int] {
    var kept: [Int] = []
    var left = Array(boxes.indices)
    while let best = left.first, kept.count < limit {
        kept.append(best)
        left = left.dropFirst().filter {
            classes[$0] != classes[best] || boxes[best].overlap(boxes[$0]) <= threshold
        }
    }
    return kept
}
