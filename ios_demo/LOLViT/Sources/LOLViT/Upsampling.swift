/// Logits on a coarse grid, as `lolvit/upsampling.py`: the class of the largest at each pixel, bilinear, with
/// half-pixel centres.
///
/// Four neighbouring logits are the corners of a cell of pixels, whose values lie between theirs: a class that is
/// below another one at all four is so in the whole cell. Most cells are left with one class, so that nothing
/// need be interpolated.
struct Upsampling {
    private let logits: UnsafeBufferPointer<Float>
    private let count: Int
    private let plane: Int
    private let width: Int
    private let margin: Float
    private let down: Steps
    private let across: Steps
    private var possible: [UInt8] = []
    private var best: [Float]
    private var classes: [UInt8]

    /// The class of each of `size` pixels, row by row, from logits (1, C, h, w); ties by the lower class.
    static func classes(_ logits: Tensor, on size: ImageSize) -> [UInt8] {
        logits.values.withUnsafeBufferPointer { values in
            var upsampling = Upsampling(values, logits.shape, size)
            upsampling.run()
            return upsampling.classes
        }
    }

    private init(_ logits: UnsafeBufferPointer<Float>, _ shape: [Int], _ size: ImageSize) {
        self.logits = logits
        (count, plane, width) = (shape[1], shape[2] * shape[3], size.width)
        // More than float loses in an interpolation.
        margin = 1e-5 * logits.reduce(0) { max($0, abs($1)) }
        down = Steps(from: shape[2], to: size.height, distance: shape[3])
        across = Steps(from: shape[3], to: size.width, distance: 1)
        best = [Float](repeating: -.infinity, count: size.height * size.width)
        classes = [UInt8](repeating: 0, count: best.count)
    }

    private mutating func run() {
        for rows in down.cells {
            let y = down.steps[rows.lowerBound]
            for columns in across.cells {
                let x = across.steps[columns.lowerBound]
                let corners = (y.low + x.low, y.low + x.high, y.high + x.low, y.high + x.high)
                findPossible(corners)
                if possible.count == 1 {
                    fill(rows, columns)
                } else {
                    interpolate(corners, rows, columns)
                }
            }
        }
    }

    /// Finds the classes that can be the largest between four places of each plane, ascending: the one whose
    /// smallest value is the largest, and those that it does not exceed by the margin at all four.
    private mutating func findPossible(_ corners: (Int, Int, Int, Int)) {
        let (a, b, c, d) = corners
        var (one, most) = (0, -Float.infinity)
        for at in stride(from: 0, to: logits.count, by: plane) {
            let least = min(logits[at + a], logits[at + b], logits[at + c], logits[at + d])
            if least > most { (one, most) = (at, least) }
        }
        let (atA, atB) = (logits[one + a] - margin, logits[one + b] - margin)
        let (atC, atD) = (logits[one + c] - margin, logits[one + d] - margin)
        possible.removeAll(keepingCapacity: true)
        for index in 0..<count {
            let at = index * plane
            let upper = logits[at + a] >= atA || logits[at + b] >= atB
            if upper || logits[at + c] >= atC || logits[at + d] >= atD { possible.append(UInt8(index)) }
        }
    }

    private mutating func fill(_ rows: Range<Int>, _ columns: Range<Int>) {
        for y in rows {
            for x in columns { classes[y * width + x] = possible[0] }
        }
    }

    private mutating func interpolate(
        _ corners: (Int, Int, Int, Int), _ rows: Range<Int>, _ columns: Range<Int>
    ) {
        for index in possible {
            let at = Int(index) * plane
            for y in rows {
                let first = between(logits[at + corners.0], logits[at + corners.2], down.steps[y].share)
                let second = between(logits[at + corners.1], logits[at + corners.3], down.steps[y].share)
                for x in columns {
                    let value = between(first, second, across.steps[x].share)
                    if value > best[y * width + x] {
                        best[y * width + x] = value
                        classes[y * width + x] = index
                    }
                }
            }
        }
    }

    private func between(_ first: Float, _ second: Float, _ share: Float) -> Float {
        first + (second - first) * share
    }

    /// The two inputs and the second's share for each output of a linear interpolation along one axis.
    private struct Steps {
        /// Places in a plane, whose neighbours along the axis have a distance.
        let steps: [(low: Int, high: Int, share: Float)]

        init(from own: Int, to extent: Int, distance: Int) {
            let scale = Double(own) / Double(extent)
            steps = (0..<extent).map { output in
                let place = min(max((Double(output) + 0.5) * scale - 0.5, 0), Double(own - 1))
                let low = Int(place)
                return (low * distance, min(low + 1, own - 1) * distance, Float(place - Double(low)))
            }
        }

        /// The ranges of outputs between the same two inputs.
        var cells: [Range<Int>] {
            let starts = steps.indices.filter { $0 == 0 || steps[$0].low != steps[$0 - 1].low }
            return zip(starts, starts.dropFirst() + [steps.count]).map { $0..<$1 }
        }
    }
}
