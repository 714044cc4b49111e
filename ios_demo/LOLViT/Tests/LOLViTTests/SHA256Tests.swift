import Testing

@testable import LOLViT

/// The examples of FIPS 180-4, and lengths around the borders of blocks.
@Suite struct SHA256Tests {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func knownTexts(text: String, expected: String) {
        var hash = SHA256()
        hash.update(text.utf8)
        #expect(hash.hex() == expected)
    }

    @Test func aMillionBytesInUnevenParts() {
        var hash = SHA256()
        var left = 1_000_000
        while left > 0 {
            let part = min(left, 977)
            hash.update([UInt8](repeating: 97, count: part))
            left -= part
        }
        #expect(hash.hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
        #expect(hash.hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }
}
