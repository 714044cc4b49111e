import Foundation

/// A preprocessed photo and the outputs that an artifact has for it, which the exporting machine wrote
/// into the model's folder: `self-check.json`, by `lolvit_runtimes/self_check.py`.
struct SelfCheck: Equatable, Sendable {
    static let name = "self-check.json"
    private static let kind = "lolvit-self-check"
    private static let version = 1

    /// Levels in rows, of the model's input size and channels.
    let levels: [UInt8]

    /// By their names in the artifact.
    let outputs: [String: Tensor]

    /// The least signal-to-noise ratio of an output, in dB.
    let minSnrDb: Double

    /// Reads what there is for an artifact; nil where the folder has no such file, or the file nothing
    /// for this artifact.
    ///
    /// - Throws: ``LolvitError`` with the code `self_check_invalid`.
    static func load(_ source: ModelSource, _ spec: ModelSpec, _ artifact: ArtifactSpec) throws
        -> SelfCheck?
    {
        guard source.exists(name) else { return nil }
        func invalid(_ reason: String) -> LolvitError {
            LolvitError(.selfCheckInvalid, ["folder": source.folder.path, "reason": reason])
        }
        let data = try source.data(name)
        guard let file = try? JSONDecoder().decode(File.self, from: data), file.kind == kind else {
            throw invalid("not a self-check")
        }
        guard file.version == version else { throw invalid("schema version \(file.version)") }
        guard let own = file.artifacts.first(where: { $0.path == artifact.path }) else { return nil }
        guard own.sha256 == artifact.sha256 else { throw invalid("another \(artifact.path)") }
        let size = spec.preprocessing.size
        let pixels = size.height * size.width * spec.preprocessing.color.channels
        guard file.levels.count == pixels, file.size == [size.height, size.width] else {
            throw invalid("levels of another size")
        }
        var tensors: [String: Tensor] = [:]
        for output in own.outputs { tensors[output.name] = output.tensor }
        guard artifact.outputs.allSatisfy({ tensors[$0.name]?.shape == $0.shape }) else {
            throw invalid("outputs of another shape")
        }
        return SelfCheck(levels: [UInt8](file.levels), outputs: tensors, minSnrDb: own.minSnrDb)
    }

    /// The signal-to-noise ratio, in dB, of the worst output against what is expected; of scores, which are
    /// from 0 to 1, relative to 1.
    func worst(_ found: [String: Tensor], _ artifact: ArtifactSpec) -> Double {
        artifact.outputs.map { spec in
            guard let expected = outputs[spec.name], let own = found[spec.name],
                own.shape == expected.shape
            else { return -300 }
            let ofFullScale = spec.meaning == "scores"
            return snrDb(expected.values, own.values, fullScale: ofFullScale ? 1 : nil)
        }.min() ?? -300
    }

    private struct File: Decodable {
        let version: Int
        let kind: String
        let size: [Int]
        let levels: Data  // base64
        let artifacts: [Artifact]

        enum CodingKeys: String, CodingKey {
            case version = "schema_version"
            case kind, size, levels, artifacts
        }
    }

    private struct Artifact: Decodable {
        let path: String
        let sha256: String
        let minSnrDb: Double
        let outputs: [Output]

        enum CodingKeys: String, CodingKey {
            case path, sha256, outputs
            case minSnrDb = "min_snr_db"
        }
    }

    private struct Output: Decodable {
        let name: String
        let shape: [Int]
        let values: Data  // base64 of little-endian float32

        /// nil where there are not as many values as the shape has elements.
        var tensor: Tensor? {
            let bytes = [UInt8](values)
            var count = 1
            for extent in shape {
                guard extent > 0, extent <= bytes.count else { return nil }
                count = count.multipliedReportingOverflow(by: extent).partialValue
            }
            guard bytes.count == 4 * count else { return nil }
            var floats: [Float] = []
            for place in stride(from: 0, to: bytes.count, by: 4) {
                var bits: UInt32 = 0
                for byte in bytes[place..<place + 4].reversed() { bits = bits << 8 | UInt32(byte) }
                floats.append(Float(bitPattern: bits))
            }
            return Tensor(shape: shape, values: floats)
        }
    }
}

/// 10 log10(sum of squares of `reference` / sum of squares of the difference), in dB, limited to ±300;
/// -300 where a number is not finite. As `lolvit_runtimes/snr.py`.
///
/// - Parameter fullScale: in place of the size of each of the reference's numbers.
func snrDb(_ reference: [Float], _ found: [Float], fullScale: Double? = nil) -> Double {
    guard found.allSatisfy(\.isFinite) else { return -300 }
    var (signal, noise) = (0.0, 0.0)
    for (expected, own) in zip(reference, found) {
        let size = fullScale ?? Double(expected)
        signal += size * size
        let difference = Double(expected) - Double(own)
        noise += difference * difference
    }
    if noise == 0 { return 300 }
    return signal > 0 ? min(max(10 * log10(signal / noise), -300), 300) : -300
}
