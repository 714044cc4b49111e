import LOLViT
import LOLViTFixtures
import Testing

/// Every photo of the fixtures, preprocessed: each level and each input is Python's.
@Suite struct PreprocessingTests {
    @Test func levelsAndInputsArePythons() throws {
        let vectors = try Fixtures.vectors()
        #expect(vectors.photos.count >= 20 && vectors.settings.count >= 9)
        for vector in vectors.photos {
            let photo = try Fixtures.photo(vector.size, vector.decoded)
            for (name, settings) in vectors.settings {
                let expected = try Fixtures.bytes(try #require(vector.levels[name]))
                let found = try settings.preprocessing.levels(photo)
                #expect(found == expected, "\(vector.photo) \(name)")
            }
            let name = try #require(vector.inputs["settings"])
            let settings = try #require(vectors.settings[name])
            for layout in [Layout.nchw, .nhwc] {
                let expected = try Fixtures.floats(try #require(vector.inputs[layout.rawValue]))
                let found = try settings.preprocessing.tensor(photo, layout: layout)
                #expect(found == expected, "\(vector.photo) \(layout)")
            }
        }
    }

    @Test func turnedPhotosAreUprightAsInPython() throws {
        var orientations: Set<Int> = []
        for vector in try Fixtures.vectors().photos {
            guard let stored = vector.stored, let size = vector.stored_size,
                let orientation = vector.orientation
            else { continue }
            let found = try Photo(
                size: ImageSize(height: size[0], width: size[1]), levels: Fixtures.bytes(stored),
                orientation: orientation)
            let upright = try Fixtures.photo(vector.size, vector.decoded)
            #expect(found == upright, "\(vector.photo)")
            orientations.insert(orientation)
        }
        #expect(orientations == Set(1...8))
    }

    private func square() -> Preprocessing {
        Preprocessing(
            size: ImageSize(height: 256, width: 256), cropPct: 0.9, interpolation: .bicubic,
            mean: [0, 0, 0], std: [1, 1, 1])
    }

    @Test func aPhotoThatWouldBecomeAGiantIsRejected() throws {
        let thread = try Photo(
            size: ImageSize(height: 1, width: 1_000_000),
            levels: [UInt8](repeating: 0, count: 3_000_000))
        let expected = LolvitError(.photoTooElongated, ["width": "1000000", "height": "1"])
        #expect(throws: expected) { try square().levels(thread) }
        #expect(expected.description == "a photo of 1000000x1 is too elongated; crop it first")
    }

    @Test(arguments: [(0, 1, 0), (1, 1, 2), (2, 2, 4), (-1, -1, 3), (Int.max, Int.max, 3)])
    func aPhotoOfAnotherNumberOfLevelsIsRejected(height: Int, width: Int, count: Int) {
        let size = ImageSize(height: height, width: width)
        let details = ["width": "\(width)", "height": "\(height)", "bytes": "\(count)"]
        #expect(throws: LolvitError(.photoInvalid, details)) {
            try Photo(size: size, levels: [UInt8](repeating: 0, count: count))
        }
    }
}
