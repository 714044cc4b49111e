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

// Tests are executed once, and their macros expand to much code: optimizing it takes longer than it saves.
let unoptimized: [SwiftSetting] = stubbed ? [.unsafeFlags(["-Onone"])] : []

// Statements with types of their own: the compiler takes a minute for one long expression.
var targets: [Target] = [
    .target(name: "LOLViT", dependencies: stubs("CoreGraphics", "CoreVideo", "ImageIO")),
    .target(name: "LOLViTCoreML", dependencies: stubs("CoreML", "CoreVideo") + ["LOLViT"]),
    .target(name: "LOLViTCoreAI", dependencies: stubs("CoreAI") + ["LOLViT"]),
    .target(
        name: "LOLViTFixtures", dependencies: ["LOLViT"], path: "Tests/LOLViTFixtures",
        swiftSettings: unoptimized),
    .testTarget(
        name: "LOLViTTests", dependencies: ["LOLViT", "LOLViTFixtures"], swiftSettings: unoptimized),
]
if stubbed {
    let modules: [Target.Dependency] = ["LOLViT", "LOLViTCoreML", "LOLViTCoreAI", "LOLViTFixtures"]
    let frameworks = stubs("CoreAI", "CoreGraphics", "CoreML", "CoreVideo", "ImageIO")
    targets.append(stub("CoreAI"))
    targets.append(stub("CoreGraphics"))
    targets.append(stub("CoreVideo"))
    targets.append(stub("CoreML", "CoreVideo"))
    targets.append(stub("ImageIO", "CoreGraphics"))
    targets.append(
        .testTarget(
            name: "AppleFrameworkTests", dependencies: modules + frameworks,
            swiftSettings: unoptimized))
}

let package = Package(
    name: "LOLViT",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "LOLViT", targets: ["LOLViT"]),
        .library(name: "LOLViTCoreML", targets: ["LOLViTCoreML"]),
        .library(name: "LOLViTCoreAI", targets: ["LOLViTCoreAI"]),
    ],
    targets: targets,
    swiftLanguageModes: [.v6]
)
