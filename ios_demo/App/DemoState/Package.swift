// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "DemoState",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "DemoState", targets: ["DemoState"])],
    dependencies: [.package(path: "../../LOLViT")],
    targets: [
        .target(name: "DemoState", dependencies: ["LOLViT"]),
        .testTarget(name: "DemoStateTests", dependencies: ["DemoState", "LOLViT"]),
    ],
    swiftLanguageModes: [.v6]
)
