// swift-tools-version: 6.0
import PackageDescription

// Tests are executed once, and their macros expand to much code: optimizing it takes longer than it saves.
let stubbed = Context.environment["LOLVIT_STUBS"] == "1"
let unoptimized: [SwiftSetting] = stubbed ? [.unsafeFlags(["-Onone"])] : []

let package = Package(
    name: "DemoState",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "DemoState", targets: ["DemoState"])],
    dependencies: [.package(path: "../../LOLViT")],
    targets: [
        .target(name: "DemoState", dependencies: ["LOLViT"]),
        .testTarget(
            name: "DemoStateTests", dependencies: ["DemoState", "LOLViT"],
            swiftSettings: unoptimized),
    ],
    swiftLanguageModes: [.v6]
)
