// swift-tools-version: 6.0
import PackageDescription

// Linux has none of Apple's frameworks. With LOLVIT_STUBS=1, as the tests there set it, the code that
// uses them is compiled against modules of the same names in Stubs, and executed.
let stubbed = Context.environment["LOLVIT_STUBS"] == "1"

func stubs(_ names: String...) -> [Target.Dependency] {
    stubbed ? names.map { .target(name: $0) } : []
}

func stub(_ name: String, _ uses: String...) -> Target {
    .target(name: name, dependencies: uses.map { .target(name: $0) }, path: "Stubs/\(name)")
}

let package = Package(
    name: "LOLViT",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "LOLViT", targets: ["LOLViT"]),
        .library(name: "LOLViTCoreML", targets: ["LOLViTCoreML"]),
        .library(name: "LOLViTCoreAI", targets: ["LOLViTCoreAI"]),
    ],
    targets: [
        .target(name: "LOLViT", dependencies: stubs("CoreGraphics", "CoreVideo", "ImageIO")),
        .target(name: "LOLViTCoreML", dependencies: ["LOLViT"] + stubs("CoreML", "CoreVideo")),
        .target(name: "LOLViTCoreAI", dependencies: ["LOLViT"] + stubs("CoreAI")),
        .target(name: "LOLViTFixtures", dependencies: ["LOLViT"], path: "Tests/LOLViTFixtures"),
        .testTarget(name: "LOLViTTests", dependencies: ["LOLViT", "LOLViTFixtures"]),
    ]
        + (stubbed
            ? [
                stub("CoreAI"), stub("CoreGraphics"), stub("CoreVideo"), stub("CoreML", "CoreVideo"),
                stub("ImageIO", "CoreGraphics"),
                .testTarget(
                    name: "AppleFrameworkTests",
                    dependencies: ["LOLViT", "LOLViTCoreML", "LOLViTCoreAI", "LOLViTFixtures"]
                        + stubs("CoreAI", "CoreGraphics", "CoreML", "CoreVideo", "ImageIO")),
            ] : []),
    swiftLanguageModes: [.v6]
)
