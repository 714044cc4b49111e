// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "LOLViT",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "LOLViT", targets: ["LOLViT"])],
    targets: [
        .target(name: "LOLViT"),
        .testTarget(name: "LOLViTTests", dependencies: ["LOLViT"]),
    ],
    swiftLanguageModes: [.v6]
)
